-- Foreign tables over the local server of the benchmarks, in schema public over HTTP/1.1, in schema tls over HTTP/2; :url and
-- :url_tls are its addresses, :ca the authority of its certificate, :definitions a directory with bench/apis in it.
SET apigouv_fdw.definition_dir = :'definitions';
ALTER DATABASE :"DBNAME" SET apigouv_fdw.definition_dir = :'definitions';
ALTER DATABASE :"DBNAME" SET apigouv_fdw.max_requests_per_query = -1;
DROP SERVER IF EXISTS bench CASCADE;
DROP SERVER IF EXISTS bench_tls CASCADE;
CREATE SERVER bench FOREIGN DATA WRAPPER apigouv_fdw
	OPTIONS (api 'bench', base_url :'url', max_concurrency '16', response_max_bytes '200000000');
CREATE SERVER bench_tls FOREIGN DATA WRAPPER apigouv_fdw
	OPTIONS (api 'bench', base_url :'url_tls', ca_file :'ca', max_concurrency '16');
IMPORT FOREIGN SCHEMA bench FROM SERVER bench INTO public;
CREATE SCHEMA IF NOT EXISTS tls;
IMPORT FOREIGN SCHEMA bench FROM SERVER bench_tls INTO tls;
SELECT apigouv_quota_forget() \gset
