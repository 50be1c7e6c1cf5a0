\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- ====================================================================
-- A route without token: none is sent, no mapping is read, no purpose demanded
-- ====================================================================
SELECT attname FROM pg_attribute WHERE attrelid = 'personnes.pings'::regclass AND attnum > 0 ORDER BY attnum;
\! $personnes
SELECT fournisseur, etat FROM personnes.pings ORDER BY 1;
\! $sent auth
ALTER SERVER personnes OPTIONS (DROP recipient);
CREATE ROLE regress_sans_jeton;
GRANT USAGE ON SCHEMA personnes, outils TO regress_sans_jeton;
GRANT SELECT ON ALL TABLES IN SCHEMA personnes TO regress_sans_jeton;
SET ROLE regress_sans_jeton;
\! $personnes
BEGIN;
SELECT fournisseur, etat FROM personnes.pings ORDER BY 1;
-- a transaction's reply without token is everybody's
RESET ROLE;
SELECT count(*) FROM personnes.pings;
COMMIT;
\! $sent auth
-- a refusal does not speak of a mapping
SET ROLE regress_sans_jeton;
\! $stub faults '[{"api": "entreprise", "path": "/pings", "status": 401, "body": {"errors": [{"code": "00101", "title": "Jeton attendu"}]}}]'
SELECT * FROM failure('TABLE personnes.pings');
\! $stub faults '[{"api": "entreprise", "path": "/pings", "status": 403, "body": ""}]'
SELECT * FROM failure('TABLE personnes.pings');
-- the other routes need both
SELECT * FROM failure('SELECT statut FROM personnes.sources WHERE source = ''identite''');
RESET ROLE;
ALTER SERVER personnes OPTIONS (ADD recipient '00000900100017');
SET ROLE regress_sans_jeton;
SELECT * FROM failure('SELECT statut FROM personnes.sources WHERE source = ''identite''');
RESET ROLE;
\! $sent count

-- ====================================================================
-- A route for a person: the session's token, and no mapping
-- ====================================================================
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
\! $sent
SET ROLE regress_sans_jeton;
\! $personnes
BEGIN;
SELECT set_config('apigouv_fdw.france_connect_token', 'jeton-de-Camille', true);
SELECT statut, annee FROM personnes.france_connect;
SELECT statut, annee FROM personnes.france_connect WHERE annee = 2024;
-- another person: another reply, even within the transaction; the first one's is still there
SET LOCAL apigouv_fdw.france_connect_token = 'jeton-de-Dominique';
SELECT statut, annee FROM personnes.france_connect;
SET LOCAL apigouv_fdw.france_connect_token = 'jeton-de-Camille';
SELECT statut, annee FROM personnes.france_connect;
COMMIT;
\! $sent auth
-- it ended with the transaction
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
RESET ROLE;
-- refused: the error is about this token; no second try
SET apigouv_fdw.france_connect_token = 'jeton-de-Camille';
\! $stub faults '[{"api": "entreprise", "times": -1, "status": 401, "body": {"errors": [{"code": "50002", "title": "Jeton jeton-de-Camille inconnu ou expiré"}]}}]'
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
\! $sent
\! $stub faults '[{"api": "entreprise", "times": -1, "status": 401, "body": {"errors": [{"code": "51503", "title": "Jeton FranceConnect refusé"}]}}]'
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
\! $stub faults '[{"api": "entreprise", "times": -1, "status": 403, "body": ""}]'
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
\! $sent

-- ====================================================================
-- A union asks each source as that source wants; what lacks is told before any request
-- ====================================================================
\! $personnes
SELECT source, statut FROM personnes.sources ORDER BY source;
\! $sent auth
RESET apigouv_fdw.france_connect_token;
SELECT * FROM failure('SELECT statut FROM personnes.sources');
BEGIN;
DECLARE c CURSOR FOR SELECT statut FROM personnes.sources;
FETCH 1 FROM c; -- ERROR
ROLLBACK;
\! $sent
-- also within a bound of time
SET apigouv_fdw.max_duration_ms = 1000;
SET apigouv_fdw.france_connect_token = 'jeton-de-Camille';
\! $personnes
SELECT count(*) FROM personnes.sources;
RESET apigouv_fdw.max_duration_ms;
\! $sent count

-- ====================================================================
-- Each person's token is counted alone, whatever the server's authorisation
-- ====================================================================
ALTER SERVER personnes OPTIONS (ADD limits 'json=1/60s', ADD limit_identity 'mairie', ADD quota_wait_ms '1');
SELECT apigouv_quota_forget() AS forgotten \gset
\! $personnes
SELECT statut FROM personnes.france_connect;
SELECT state, message FROM failure('SELECT statut FROM personnes.france_connect WHERE annee = 2024');
SET apigouv_fdw.france_connect_token = 'jeton-de-Dominique';
SELECT statut FROM personnes.france_connect;
SELECT statut FROM personnes.sources WHERE source = 'identite';
SELECT state, message FROM failure('SELECT statut FROM personnes.sources WHERE source = ''identite''');
\! $sent count
ALTER SERVER personnes OPTIONS (DROP limits, DROP limit_identity, DROP quota_wait_ms);
SET apigouv_fdw.france_connect_token = 'jeton-de-Camille';

-- ====================================================================
-- Replies without token may be kept for the cluster, those of a person never
-- ====================================================================
ALTER SERVER personnes OPTIONS (ADD cache_ttl_s '60');
\! $personnes
SELECT count(*) FROM personnes.pings;
SELECT count(*) FROM personnes.pings;
SELECT statut FROM personnes.france_connect;
SELECT statut FROM personnes.france_connect;
\! $sent
-- they are cleared with the server's
SELECT apigouv_clear_cache('personnes', 'personnes.sources'), apigouv_clear_cache('personnes', 'personnes.pings');
\! $personnes
SELECT count(*) FROM personnes.pings;
SELECT apigouv_clear_cache('personnes');
\! $sent count
ALTER FOREIGN TABLE personnes.france_connect OPTIONS (ADD cache_ttl_s '60');
SELECT * FROM failure('SELECT statut FROM personnes.france_connect');
ALTER FOREIGN TABLE personnes.france_connect OPTIONS (DROP cache_ttl_s);
ALTER SERVER personnes OPTIONS (DROP cache_ttl_s);

-- ====================================================================
-- The setting: never shown, never stored, never a header of its own
-- ====================================================================
SHOW apigouv_fdw.france_connect_token;
SELECT current_setting('apigouv_fdw.france_connect_token'), set_config('apigouv_fdw.france_connect_token', 'jeton-de-Dominique', false);
SELECT count(*) FROM pg_settings WHERE name = 'apigouv_fdw.france_connect_token';
SELECT count(*) FROM pg_show_all_settings() WHERE name LIKE '%france_connect%';
SELECT bool_or(plan ~ 'jeton') FROM plan('SELECT statut FROM personnes.france_connect', 'SETTINGS, VERBOSE, COSTS OFF') AS plan;
DISCARD ALL;
SHOW apigouv_fdw.france_connect_token;
SET search_path = public, outils;
SET apigouv_fdw.definition_dir = :'definitions';
SET apigouv_fdw.france_connect_token = 'jeton-de-Camille';
RESET ALL;
SHOW apigouv_fdw.france_connect_token;
SET search_path = public, outils;
SET apigouv_fdw.definition_dir = :'definitions';
SELECT * FROM failure('ALTER ROLE regress_sans_jeton SET apigouv_fdw.france_connect_token = ''jeton-de-Camille''');
SELECT * FROM failure('ALTER ROLE ALL SET apigouv_fdw.france_connect_token = ''jeton-de-Camille''');
SELECT * FROM failure('ALTER DATABASE contrib_regression SET apigouv_fdw.france_connect_token = ''jeton-de-Camille''');
SELECT * FROM failure('CREATE FUNCTION f() RETURNS int LANGUAGE sql SET apigouv_fdw.france_connect_token = ''jeton-de-Camille'' AS ''SELECT 1''');
SET apigouv_fdw.france_connect_token = 'jeton-de-Camille';
SELECT * FROM failure('ALTER ROLE regress_sans_jeton SET apigouv_fdw.france_connect_token FROM CURRENT');
ALTER SYSTEM SET apigouv_fdw.france_connect_token = 'jeton-de-Camille'; -- ERROR
SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text ~ 'jeton';
-- to store that there is none is allowed
ALTER ROLE regress_sans_jeton SET apigouv_fdw.france_connect_token = '';
SELECT * FROM failure('SET apigouv_fdw.france_connect_token = E''jeton\r\nX-Api-Key: autre''');
SELECT * FROM failure('SET apigouv_fdw.france_connect_token = ''jeton de Camille''');
SELECT * FROM failure('SET apigouv_fdw.france_connect_token = ''jetôn''');
SELECT * FROM failure('SET apigouv_fdw.france_connect_token = ''' || repeat('a', 4097) || '''');
SHOW apigouv_fdw.france_connect_token;

DROP OWNED BY regress_sans_jeton;
DROP ROLE regress_sans_jeton;
\i test/fixtures/regress_definitions_end.sql
