\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- Limits of a server: names of the definition, requests and a window each
-- ====================================================================
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50/60s, ip=900/60s');
ALTER SERVER entreprise OPTIONS (SET limits ' attestation_fiscale = 2/1500ms ');
ALTER SERVER entreprise OPTIONS (SET limits 'attestation_fiscal=5/60s');
ALTER SERVER marche_travail OPTIONS (SET limits 'json=5/60s');
ALTER SERVER marche_inclusion OPTIONS (ADD limits 'json=5/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=0/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=-5/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50/0s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50/60');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50/1min');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=50/60s json=1/1s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=1e3/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=100000/86400s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=100001/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=5/86401s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=99999999999999999999/60s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=5/9223372036854775807s');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=5/60s,');
ALTER SERVER entreprise OPTIONS (SET limits 'urssaf=5/60s, urssaf=6/60s');
ALTER SERVER entreprise OPTIONS (SET limits '');
-- without them, those of the definition hold
ALTER SERVER entreprise OPTIONS (DROP limits);
ALTER SERVER entreprise OPTIONS (ADD limits 'ip=1000/60s');

-- ====================================================================
-- Shares of roles; who counts together; how long to wait
-- ====================================================================
ALTER SERVER entreprise OPTIONS (ADD role_limits 'batch=60%, interactif=100%');
ALTER SERVER entreprise OPTIONS (SET role_limits 'batch=0%');
ALTER SERVER entreprise OPTIONS (SET role_limits 'batch=101%');
ALTER SERVER entreprise OPTIONS (SET role_limits 'batch=60');
ALTER SERVER entreprise OPTIONS (SET role_limits '=60%');
ALTER SERVER entreprise OPTIONS (SET role_limits 'batch');
ALTER SERVER entreprise OPTIONS (SET role_limits 'batch=10%, batch=90%');
ALTER SERVER entreprise OPTIONS (DROP role_limits);
ALTER SERVER entreprise OPTIONS (ADD limit_identity '');
ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '-1');
ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '1s');
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (ADD role_limits 'batch=100%');
SELECT state, message FROM failure($$CREATE FOREIGN TABLE ailleurs (siren text) SERVER entreprise
	OPTIONS (table 'entreprise_attestation_fiscale', limits 'json=1/1s')$$);

-- ====================================================================
-- EXPLAIN names the limits, those of the role too, and the time that they impose at least
-- ====================================================================
CREATE TEMP TABLE entreprises AS
	SELECT DISTINCT siren FROM marche_inclusion.structures WHERE siren IS NOT NULL ORDER BY siren LIMIT 20;
CREATE FUNCTION fiscale(n int) RETURNS text LANGUAGE sql AS $$
	SELECT 'SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN (' ||
		string_agg(quote_literal(siren), ', ') || ')'
	FROM (SELECT siren FROM pg_temp.entreprises ORDER BY siren LIMIT n) AS e
$$;
CREATE FUNCTION limites(n int) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT trim(line) FROM plan(fiscale(n)) AS line WHERE line ~ 'Limits|Duration|Foreseen'
$$;
ALTER SERVER entreprise OPTIONS (SET limits 'attestation_fiscale=5/60s', ADD quota_wait_ms '0');
SELECT limites(5);
SELECT limites(6);
SELECT limites(20);
ALTER SERVER entreprise OPTIONS (SET limits 'attestation_fiscale=100/60s, ip=10/1500ms');
SELECT limites(20);
DO $$ BEGIN
	EXECUTE format('ALTER SERVER entreprise OPTIONS (SET limits ''attestation_fiscale=5/60s'', ADD role_limits ''%s=40%%'')', current_user);
END $$;
SELECT replace(limites, current_user, 'moi') FROM limites(5);
SELECT trim(line) FROM plan($$SELECT id FROM marche_inclusion.structures WHERE id = 1001$$) AS line WHERE line ~ 'Limits|Duration';
SELECT replace(trim(line), current_user, 'moi') FROM plan($$SELECT statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'DGFIP')$$) AS line
WHERE line ~ 'Limits|Duration';
ALTER SERVER entreprise OPTIONS (DROP role_limits);

-- ====================================================================
-- A query that the limits would make too long is refused before it begins
-- ====================================================================
SELECT apigouv_quota_forget();
\! $sent count > /dev/null
SET apigouv_fdw.max_duration_ms = '2min';
SELECT * FROM failure(fiscale(20));
SET apigouv_fdw.max_duration_ms = 0;
SELECT * FROM failure(fiscale(6));
\! $sent count
-- what the limits grant at once takes no time
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020');
\! $sent count
-- what others have spent counts
SELECT regexp_replace(detail, 'take \d+ ms', 'take N ms') FROM failure(fiscale(5));
SET apigouv_fdw.max_duration_ms = -1;
-- nothing is known of a query whose keys come later: it ends when a slot is too far
SELECT regexp_replace(detail, ';.*', '') FROM failure(fiscale(5));
\! $sent count
RESET apigouv_fdw.max_duration_ms;

-- ====================================================================
-- A query has a number of requests; what is certain to be more is refused before it begins
-- ====================================================================
ALTER SERVER entreprise OPTIONS (SET limits 'attestation_fiscale=10000/1s');
SHOW apigouv_fdw.max_requests_per_query;
\! $sent count > /dev/null
SET apigouv_fdw.max_requests_per_query = 4;
SELECT * FROM failure(fiscale(5));
\! $sent count
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020', '000003061', '000003103');
\! $sent count
-- all scans of a query count together
SELECT * FROM failure($$SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020', '000003061')
	UNION ALL SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013')$$);
\! $sent count
-- what a cache has costs nothing
BEGIN;
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020');
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020', '000003061', '000003103', '000003111', '000003129');
\! $sent count
COMMIT;

-- ====================================================================
-- What cannot be known before is stopped when the number is reached: pages, keys of a join
-- ====================================================================
SET apigouv_fdw.max_requests_per_query = 3;
\i test/fixtures/regress_definitions.sql
\! $sent count > /dev/null
SELECT * FROM failure('SELECT count(id) FROM essai.perimetres');
\! $sent count
\i test/fixtures/regress_definitions_end.sql
CREATE TEMP TABLE registre AS SELECT siret FROM (VALUES ('00000301200010'), ('00000302000013'), ('00000303800015'),
	('00000304600018'), ('00000305300014')) AS v (siret);
ANALYZE registre;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT * FROM failure($$SELECT count(*) FROM registre JOIN marche_inclusion.structures USING (siret)$$);
\! $sent count
SELECT count(*) FROM (SELECT s.id FROM registre AS r CROSS JOIN LATERAL
	(SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = r.siret) AS s LIMIT 2) AS l;
\! $sent count
RESET enable_hashjoin;
RESET enable_mergejoin;
-- a query is a statement: those of a function have a number each
DO $$
BEGIN
	PERFORM count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013', '00000303800015');
	PERFORM count(*) FROM marche_inclusion.structures WHERE siret IN ('00000304600018', '00000305300014', '00000306100017');
END
$$;
\! $sent count

-- ====================================================================
-- 0: caches only; -1: no bound
-- ====================================================================
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';
SET LOCAL apigouv_fdw.max_requests_per_query = 0;
\! $sent count
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';
SELECT * FROM failure($$SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000302000013'$$);
SELECT * FROM failure($$SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013')$$);
SELECT * FROM failure($$SELECT count(*) FROM marche_inclusion.structures LIMIT 1$$);
\! $sent count
COMMIT;
SET apigouv_fdw.max_requests_per_query = -1;
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020', '000003061', '000003103', '000003111');
\! $sent count
SET apigouv_fdw.max_requests_per_query = -2;

-- ====================================================================
-- A superuser raises it, or whom a superuser let; anyone bounds the duration
-- ====================================================================
CREATE ROLE regress_lecteur;
SET ROLE regress_lecteur;
SET apigouv_fdw.max_requests_per_query = 10000;
SET apigouv_fdw.max_requests_per_query = 1;
SET apigouv_fdw.max_duration_ms = 1000;
RESET ROLE;
GRANT SET ON PARAMETER apigouv_fdw.max_requests_per_query TO regress_lecteur;
SET ROLE regress_lecteur;
SET apigouv_fdw.max_requests_per_query = 10000;
SHOW apigouv_fdw.max_requests_per_query;
RESET ROLE;
REVOKE SET ON PARAMETER apigouv_fdw.max_requests_per_query FROM regress_lecteur;
DROP ROLE regress_lecteur;
