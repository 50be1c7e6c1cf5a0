-- Foreign tables over the local server of the benchmarks; :url is its address,
-- :definitions the absolute path of bench/apis.
SET apigouv_fdw.definition_dir = :'definitions';
ALTER DATABASE :"DBNAME" SET apigouv_fdw.definition_dir = :'definitions';
DROP SERVER IF EXISTS bench CASCADE;
CREATE SERVER bench FOREIGN DATA WRAPPER apigouv_fdw
	OPTIONS (api 'bench', base_url :'url', max_concurrency '16');
IMPORT FOREIGN SCHEMA bench FROM SERVER bench INTO public;
