\i test/fixtures/regress_setup.sql

-- ====================================================================
-- A server: every option, with a value that is right
-- ====================================================================
CREATE SERVER complet FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (
	api 'entreprise', base_url 'https://localhost/entreprise/', token_url 'https://localhost/jeton?realm=a',
	ca_file '/nowhere/ca.pem', proxy 'http://127.0.0.1:3128', connect_timeout_ms '1', timeout_ms '3600000',
	retries '0', max_concurrency '256', response_max_bytes '1024', recipient '00000900100017', request_cost '0.5',
	cache_ttl_s '0');
ALTER SERVER complet OPTIONS (SET cache_ttl_s '31536000', SET retries '20', SET connect_timeout_ms '600000', SET timeout_ms '1',
	SET max_concurrency '1', SET response_max_bytes '2147483647', SET request_cost '2147483647', DROP proxy);
-- La Poste's SIRETs need no checksum
ALTER SERVER complet OPTIONS (SET recipient '35600000012345');
SELECT option_name, option_value FROM pg_options_to_table(
	(SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'complet')) ORDER BY option_name COLLATE "C";

-- ====================================================================
-- A server needs an API, and an API that exists
-- ====================================================================
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw; -- ERROR
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (base_url 'https://localhost'); -- ERROR
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api ''); -- ERROR
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'meteo'); -- ERROR
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '../apis/entreprise'); -- ERROR
ALTER SERVER complet OPTIONS (DROP api); -- ERROR

-- ====================================================================
-- Option names: the hint lists those that are valid there
-- ====================================================================
ALTER SERVER complet OPTIONS (ADD timeout '5'); -- ERROR
ALTER SERVER complet OPTIONS (ADD "table" 'structures'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (password 'x'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (recipient '00000900100017'); -- ERROR
CREATE FOREIGN TABLE t (siret text) SERVER complet OPTIONS (url 'x'); -- ERROR
CREATE FOREIGN TABLE t (siret text OPTIONS (path 'x')) SERVER complet; -- ERROR
CREATE FOREIGN DATA WRAPPER autre HANDLER apigouv_fdw_handler VALIDATOR apigouv_fdw_validator OPTIONS (api 'x'); -- ERROR

-- ====================================================================
-- Option values
-- ====================================================================
ALTER SERVER complet OPTIONS (SET retries '21'); -- ERROR
ALTER SERVER complet OPTIONS (SET retries '-1'); -- ERROR
ALTER SERVER complet OPTIONS (SET retries '1.5'); -- ERROR
ALTER SERVER complet OPTIONS (SET retries '3x'); -- ERROR
ALTER SERVER complet OPTIONS (SET retries ''); -- ERROR
ALTER SERVER complet OPTIONS (SET connect_timeout_ms '0'); -- ERROR
ALTER SERVER complet OPTIONS (SET timeout_ms '3600001'); -- ERROR
ALTER SERVER complet OPTIONS (SET timeout_ms '30s'); -- ERROR
ALTER SERVER complet OPTIONS (SET max_concurrency '0'); -- ERROR
ALTER SERVER complet OPTIONS (SET cache_ttl_s '-1'); -- ERROR
ALTER SERVER complet OPTIONS (SET cache_ttl_s '31536001'); -- ERROR
CREATE FOREIGN TABLE t (siret text) SERVER complet OPTIONS (cache_ttl_s '1 h'); -- ERROR
ALTER SERVER complet OPTIONS (SET max_concurrency '257'); -- ERROR
ALTER SERVER complet OPTIONS (SET response_max_bytes '1023'); -- ERROR
ALTER SERVER complet OPTIONS (SET response_max_bytes '2147483648'); -- ERROR
ALTER SERVER complet OPTIONS (SET request_cost '-0.1'); -- ERROR
ALTER SERVER complet OPTIONS (SET request_cost 'NaN'); -- ERROR
ALTER SERVER complet OPTIONS (SET request_cost 'Infinity'); -- ERROR
ALTER SERVER complet OPTIONS (SET recipient '00000900100018'); -- ERROR
ALTER SERVER complet OPTIONS (SET recipient '000 009 001 00017'); -- ERROR
ALTER SERVER complet OPTIONS (SET ca_file ''); -- ERROR
CREATE FOREIGN TABLE t (siret text) SERVER complet OPTIONS (derived 'maybe'); -- ERROR
CREATE FOREIGN TABLE t (siret text) SERVER complet OPTIONS (rows '-1'); -- ERROR
CREATE FOREIGN TABLE t (siret text) SERVER complet OPTIONS ("table" ''); -- ERROR
CREATE FOREIGN TABLE t (siret text OPTIONS ("column" '')) SERVER complet; -- ERROR
CREATE FOREIGN TABLE t (s text OPTIONS ("column" 'siret')) SERVER complet
	OPTIONS ("table" 'entreprise_attestations', derived 'off', rows '10', request_cost '3');

-- ====================================================================
-- Addresses: https, or http to the loopback; no credentials, no query string
-- ====================================================================
ALTER SERVER complet OPTIONS (SET base_url 'http://127.0.0.1:8080/x');
ALTER SERVER complet OPTIONS (SET base_url 'http://localhost:8080/x');
ALTER SERVER complet OPTIONS (SET base_url 'http://[::1]:8080/x');
ALTER SERVER complet OPTIONS (SET base_url 'http://example.org/x'); -- ERROR
-- why a URL is none is libcurl's word, which depends on its version
\set VERBOSITY terse
ALTER SERVER complet OPTIONS (SET base_url 'http://127.0.0.1.example.org/x'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url 'http://localhost@example.org/x'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url 'https://user:motdepasse@example.org/'); -- ERROR, without the password
ALTER SERVER complet OPTIONS (SET base_url 'ftp://localhost/x'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url 'file:///etc/passwd'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url 'localhost/x'); -- ERROR
-- one slash: not the host that libcurl would make of it
ALTER SERVER complet OPTIONS (SET base_url 'https:/localhost'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url 'https://example.org/x?y=1'); -- ERROR
ALTER SERVER complet OPTIONS (SET base_url ''); -- ERROR
ALTER SERVER complet OPTIONS (SET token_url 'http://example.org/jeton'); -- ERROR
\set VERBOSITY default

-- ====================================================================
-- Secrets: in a user mapping only, whole, and never repeated in a message
-- ====================================================================
ALTER SERVER complet OPTIONS (ADD token 'abc'); -- ERROR
ALTER SERVER complet OPTIONS (ADD client_secret 'abc'); -- ERROR
CREATE FOREIGN TABLE t2 (siret text) SERVER complet OPTIONS (token 'abc'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (client_id 'abc'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (client_secret 'abc'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (token 'abc', client_id 'a', client_secret 'b'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (token 'se cret'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (token E'secret\r\nX-Header: 1'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (token 'sécret'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (token ''); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (client_id 'abc', client_secret 'def');
ALTER USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (DROP client_secret); -- ERROR
ALTER USER MAPPING FOR CURRENT_USER SERVER complet OPTIONS (DROP client_secret, DROP client_id, ADD token 'abc');

-- ====================================================================
-- The mapping must exist, and hold what the API needs; no request before
-- ====================================================================
CREATE ROLE regress_apigouv_owner;
GRANT USAGE ON SCHEMA marche_inclusion, marche_travail TO regress_apigouv_owner;
GRANT SELECT ON marche_inclusion.structures, marche_travail.marche_travail_activites TO regress_apigouv_owner;
SET ROLE regress_apigouv_owner;
SELECT id FROM marche_inclusion.structures WHERE id = 1001; -- ERROR
SELECT * FROM marche_travail.marche_travail_activites WHERE code_rome = 'J1501'; -- ERROR
RESET ROLE;
CREATE USER MAPPING FOR regress_apigouv_owner SERVER marche_inclusion;
CREATE USER MAPPING FOR regress_apigouv_owner SERVER marche_travail OPTIONS (token 'abc');
SET ROLE regress_apigouv_owner;
SELECT id FROM marche_inclusion.structures WHERE id = 1001; -- ERROR
SELECT * FROM marche_travail.marche_travail_activites WHERE code_rome = 'J1501'; -- ERROR
\! $sent all
RESET ROLE;
-- PUBLIC's mapping serves everybody
DROP USER MAPPING FOR regress_apigouv_owner SERVER marche_inclusion;
CREATE USER MAPPING FOR PUBLIC SERVER marche_inclusion OPTIONS (token :'marche_inclusion');
SET ROLE regress_apigouv_owner;
SELECT id FROM marche_inclusion.structures WHERE id = 1001;
RESET ROLE;

-- ====================================================================
-- Who may set an address: superusers; the rest is for the server's owner
-- ====================================================================
GRANT USAGE ON FOREIGN DATA WRAPPER apigouv_fdw TO regress_apigouv_owner;
SET ROLE regress_apigouv_owner;
CREATE SERVER sien FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', base_url 'https://localhost'); -- ERROR
CREATE SERVER sien FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', retries '1');
ALTER SERVER sien OPTIONS (ADD token_url 'https://localhost'); -- ERROR
ALTER SERVER sien OPTIONS (ADD ca_file '/x'); -- ERROR
ALTER SERVER sien OPTIONS (ADD proxy 'https://localhost'); -- ERROR
SET apigouv_fdw.definition_dir = '/nowhere'; -- ERROR
SET apigouv_fdw.recipient = '00000900100017'; -- ERROR
SET apigouv_fdw.context = 'Marchés publics';
RESET ROLE;
DROP OWNED BY regress_apigouv_owner;
DROP ROLE regress_apigouv_owner;

-- ====================================================================
-- Settings
-- ====================================================================
SET apigouv_fdw.on_failure = 'warning'; -- ERROR
SET apigouv_fdw.recipient = '123'; -- ERROR
SET apigouv_fdw.enable_pushdown = 'maybe'; -- ERROR
SET apigouv_fdw.contexte = 'x'; -- ERROR
