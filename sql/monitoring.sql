\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset tuples_only on
\pset format unaligned

-- What was counted: the columns that are not zero, without times; bytes when there are any.
CREATE FUNCTION outils.counted() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', server, coalesce("schema" || '.' || "table", '-'), string_agg(CASE key WHEN 'bytes' THEN 'bytes' ELSE key || '=' || value END, ' ' ORDER BY key COLLATE "C"))
	FROM apigouv_stats AS s, json_each_text(row_to_json(s))
	WHERE database = current_database() AND key !~ '^(database|server|schema|table|since|.*_ms)$' AND value <> '0'
	GROUP BY server, "schema", "table" ORDER BY 1
$$;

-- ====================================================================
-- apigouv_stats: what was asked, by server and table
-- ====================================================================
SELECT apigouv_stats_reset();
SELECT count(*) FROM apigouv_stats;
SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013');
SELECT * FROM counted();
-- replies of the transaction, and those that a failed one has left
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT 1 / 0;
COMMIT;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT * FROM counted();
-- another attempt; a status that means "no row"; an access token, which no table has asked for
SELECT apigouv_stats_reset();
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/1004/", "status": 503, "times": 1, "headers": {"Retry-After": "0"}}]'
SELECT count(*) FROM marche_inclusion.structures WHERE id IN (1004, 999999);
SELECT count(*) FROM marche_travail.marche_travail_types_territoires;
SELECT * FROM counted();
-- what fails, and what is rolled back, is counted as well
SELECT apigouv_stats_reset();
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/1001/", "action": "close", "times": -1}, {"api": "marche_inclusion", "path": "/api/siae/1002/", "status": 500, "times": 1}]'
ALTER SERVER marche_inclusion OPTIONS (ADD retries '0');
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1003;
ROLLBACK;
SELECT state FROM failure('SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001');
SELECT state FROM failure('SELECT count(*) FROM marche_inclusion.structures WHERE id = 1002');
ALTER SERVER marche_inclusion OPTIONS (DROP retries);
\! $stub faults '[]'
SELECT * FROM counted();
-- a lookup join: equal keys are merged
SELECT apigouv_stats_reset();
CREATE TEMP TABLE registre (siret text);
INSERT INTO registre VALUES ('00000301200010'), ('00000302000013'), ('00000301200010'), ('00000301200010');
ANALYZE registre;
SET enable_memoize = off;
SELECT count(*) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
RESET enable_memoize;
SELECT * FROM counted();
-- times, and since when
SELECT upstream_ms >= slowest_ms, slowest_ms > 0, quota_wait_ms, since BETWEEN now() - interval '1 hour' AND clock_timestamp() FROM apigouv_stats WHERE "table" = 'structures';

-- ====================================================================
-- A name is what is counted by: renamed, or made again
-- ====================================================================
SELECT apigouv_stats_reset();
CREATE FOREIGN TABLE "A ""b"" é" (id integer) SERVER marche_inclusion OPTIONS (table 'structures');
SELECT count(*) FROM "A ""b"" é" WHERE id = 1001;
ALTER FOREIGN TABLE "A ""b"" é" RENAME TO c;
SELECT count(*) FROM c WHERE id = 1001;
DROP FOREIGN TABLE c;
SELECT * FROM counted();

-- ====================================================================
-- Who may see and reset
-- ====================================================================
SET client_min_messages = error;
DROP ROLE IF EXISTS outils_agent, outils_surveillant;
RESET client_min_messages;
CREATE ROLE outils_agent;
CREATE ROLE outils_surveillant IN ROLE pg_monitor;
SET ROLE outils_agent;
SELECT count(*) FROM apigouv_stats;
SELECT count(*) FROM apigouv_stats();
SELECT apigouv_stats_reset();
SELECT count(*) FROM apigouv_progress;
SET ROLE outils_surveillant;
SELECT count(*) > 0 FROM apigouv_stats;
SELECT apigouv_stats_reset();
RESET ROLE;
GRANT EXECUTE ON FUNCTION apigouv_stats_reset() TO outils_surveillant;
SET ROLE outils_surveillant;
SELECT apigouv_stats_reset();
SELECT count(*) FROM apigouv_stats;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION apigouv_stats_reset() FROM outils_surveillant;
DROP ROLE outils_agent, outils_surveillant;

-- ====================================================================
-- apigouv_progress: an open cursor; then nothing
-- ====================================================================
SELECT count(*) FROM apigouv_progress;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM marche_inclusion.structures WHERE kind = 'EI';
SELECT count(*) FROM apigouv_progress;
FETCH 3 c \g /dev/null
SELECT pid = pg_backend_pid(), role = current_user, database = current_database(), server, schema, "table", phase, requests, cache_hits, requests_foreseen, rows, waits_until, "limit", begun_at BETWEEN now() AND clock_timestamp() FROM apigouv_progress;
CLOSE c;
SELECT count(*) FROM apigouv_progress;
-- an error leaves nothing, be it caught
SELECT state FROM failure('SELECT 1 / (id - id) FROM marche_inclusion.structures WHERE id = 1001');
SELECT count(*) FROM apigouv_progress;
DECLARE c CURSOR FOR SELECT id FROM marche_inclusion.structures WHERE id IN (1001, 1002, 1003);
FETCH 1 c \g /dev/null
SELECT 1 / 0;
COMMIT;
SELECT count(*) FROM apigouv_progress;
-- the query itself, while it runs: three keys
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT s.id, p.requests + p.cache_hits BETWEEN 1 AND 3 AS some, p.requests_foreseen FROM marche_inclusion.structures AS s, LATERAL (SELECT * FROM apigouv_progress() AS p WHERE s.id > 0 OFFSET 0) AS p WHERE s.id IN (1001, 1002, 1003) ORDER BY s.id;
COMMIT;
