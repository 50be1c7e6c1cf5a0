\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
CREATE FUNCTION outils.wanted(query text) RETURNS SETOF text LANGUAGE sql AS
$$SELECT trim(plan) FROM outils.plan(query, 'COSTS OFF') AS plan WHERE plan ~ 'First Page|Full Read'$$;
CREATE TEMP TABLE registre AS SELECT id, siret FROM marche_inclusion.structures WHERE siret ~ '^[0-9]{14}$';
ANALYZE registre;
ANALYZE marche_inclusion.structures;
\! $sent count > /dev/null

-- ====================================================================
-- LIMIT and EXISTS make one small request, wherever they are written
-- ====================================================================
SELECT EXISTS (SELECT 1 FROM marche_inclusion.structures);
SELECT count(*) FROM registre WHERE EXISTS (SELECT 1 FROM marche_inclusion.structures WHERE kind = 'EI') AND id < 1003;
SELECT (SELECT id FROM marche_inclusion.structures LIMIT 1) > 0;
\! $sent
WITH c AS MATERIALIZED (SELECT id FROM marche_inclusion.structures LIMIT 3) SELECT count(*) FROM c;
WITH c AS (SELECT id FROM marche_inclusion.structures) SELECT count(*) FROM (SELECT id FROM c OFFSET 2 LIMIT 3) AS s;
SELECT count(*) FROM (SELECT s.id FROM (SELECT id FROM marche_inclusion.structures OFFSET 4) AS s LIMIT 3) AS l;
SELECT count(*) FROM (SELECT generate_series(1, 2) FROM marche_inclusion.structures LIMIT 6) AS s;
SELECT count(*) FROM (SELECT id::text FROM marche_inclusion.structures UNION ALL SELECT id FROM data_inclusion.structures LIMIT 8) AS u;
\! $sent
PREPARE premiers (int) AS SELECT id > 0 FROM marche_inclusion.structures LIMIT $1;
EXECUTE premiers (2);
\! $sent

-- ====================================================================
-- What lies between reads all rows: one full read
-- ====================================================================
SELECT query, wanted(query) FROM (VALUES ('SELECT id FROM marche_inclusion.structures LIMIT 5'),
	('SELECT id FROM marche_inclusion.structures ORDER BY id LIMIT 5'), ('SELECT DISTINCT kind FROM marche_inclusion.structures LIMIT 5'),
	('SELECT kind, count(*) FROM marche_inclusion.structures GROUP BY kind LIMIT 5'), ('SELECT max(id) FROM marche_inclusion.structures LIMIT 1'),
	('SELECT id, row_number() OVER (ORDER BY name) FROM marche_inclusion.structures LIMIT 5'),
	('SELECT id, count(*) OVER () FROM marche_inclusion.structures LIMIT 5'),
	('SELECT id FROM marche_inclusion.structures'), ('SELECT id FROM marche_inclusion.structures LIMIT ALL'),
	('SELECT id FROM marche_inclusion.structures OFFSET 5'), ('SELECT id FROM marche_inclusion.structures LIMIT 200000'),
	('SELECT id FROM (SELECT id FROM marche_inclusion.structures ORDER BY name LIMIT 100) AS s LIMIT 5')) AS v (query);

-- ====================================================================
-- Joins: the outer side of a nested loop is asked row by row, a hashed one whole
-- ====================================================================
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*) FROM (SELECT s.id FROM marche_inclusion.structures AS s CROSS JOIN LATERAL (SELECT s.id OFFSET 0) AS l LIMIT 4) AS l;
\! $sent
SELECT wanted('SELECT s.id FROM marche_inclusion.structures AS s CROSS JOIN LATERAL (SELECT s.id OFFSET 0) AS l LIMIT 4');
RESET enable_hashjoin;
SELECT wanted('SELECT s.id FROM marche_inclusion.structures AS s JOIN registre AS r ON r.id = s.id ORDER BY s.id LIMIT 4');
RESET enable_mergejoin;

-- ====================================================================
-- Conditions checked here: more rows at first when most pass, all when few do
-- ====================================================================
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE name <> 'Chantier' LIMIT 1) AS s;
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE updated_at > '2020-01-01 00:00+00' LIMIT 1) AS s;
SELECT EXISTS (SELECT FROM marche_inclusion.structures WHERE kind <> 'SEP');
\! $sent
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE id = 1001 OR name = 'Ateliers du Phare' LIMIT 1) AS s;
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE name LIKE 'Chantier%' LIMIT 1) AS s;
\! $sent
-- where the guess is wrong, the rest is one more request, and no row is lost
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM marche_inclusion.structures WHERE length(kind || department) IS NOT NULL LIMIT 900) AS s;
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE id <> 0 LIMIT 5000) AS s;
\! $sent
SELECT id FROM marche_inclusion.structures WHERE length(name) > 1000 LIMIT 1;
\! $sent
SELECT id FROM data_inclusion.structures WHERE length(nom) > 1000 LIMIT 1;
SELECT count(*) = count(DISTINCT id) AS once FROM (SELECT id FROM data_inclusion.structures WHERE md5(id) LIKE '0%' OR length(nom) > 100 LIMIT 90) AS s;
\! $sent
CREATE FUNCTION outils.same(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	pushed bigint;
	kept bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || query || ') AS s' INTO pushed;
	PERFORM set_config('apigouv_fdw.enable_pushdown', 'off', true);
	EXECUTE 'SELECT count(*) FROM (' || query || ') AS s' INTO kept;
	PERFORM set_config('apigouv_fdw.enable_pushdown', 'on', true);
	RETURN pushed = kept;
END
$$;
SELECT query FROM (VALUES ('SELECT id FROM marche_inclusion.structures WHERE is_qpv LIMIT 7'),
	($$SELECT id FROM marche_inclusion.structures WHERE kind = 'EI' AND id <> 1001 LIMIT 300$$),
	($$SELECT id FROM marche_inclusion.structures WHERE region = 'Bretagne' AND is_active OFFSET 3 LIMIT 30$$),
	($$SELECT id FROM data_inclusion.services WHERE publics && '{jeunes}' AND score_qualite > 0.2 LIMIT 40$$),
	-- rows that come for two inputs, after a small first page
	($$SELECT id FROM data_inclusion.recherches WHERE q IN ('formation', 'emploi') AND (id > '' OR nom > '') LIMIT 300$$),
	($$SELECT id FROM data_inclusion.recherches WHERE q IN ('formation', 'emploi') LIMIT 300$$),
	('SELECT a.id FROM data_inclusion.structures AS a, generate_series(1, 3) AS g (n) WHERE a.id > g.n::text LIMIT 50')) AS v (query)
WHERE NOT same(query);
\! $sent count > /dev/null

-- the whole list costs no more than the second request that a wrong guess would take: it is asked for at once
SELECT wanted($$SELECT id FROM marche_inclusion.structures WHERE department = '35' AND length(name) > 1000 LIMIT 1$$),
	wanted('SELECT id FROM marche_inclusion.structures WHERE length(name) > 1000 LIMIT 1');
SELECT id FROM marche_inclusion.structures WHERE department = '35' AND length(name) > 1000 LIMIT 1;
\! $sent

-- ====================================================================
-- A list that was read serves a LIMIT as well: no request
-- ====================================================================
BEGIN;
SELECT count(DISTINCT kind) > 0 FROM marche_inclusion.structures;
SELECT id > 0 FROM marche_inclusion.structures LIMIT 2;
SELECT EXISTS (SELECT FROM marche_inclusion.structures), EXISTS (SELECT FROM marche_inclusion.structures WHERE kind <> 'SEP');
COMMIT;
\! $sent
-- a list in pages: its first pages, then others
BEGIN;
SELECT count(*) FROM (SELECT id FROM data_inclusion.structures OFFSET 0) AS s WHERE id > '';
SELECT id > '' FROM data_inclusion.structures OFFSET 990 LIMIT 2;
COMMIT;
\! $sent
ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '600');
SELECT max(id) > 0 FROM marche_inclusion.structures;
SET apigouv_fdw.max_requests_per_query = 0;
SELECT id > 0 FROM marche_inclusion.structures LIMIT 1;
SELECT id > 0 FROM marche_inclusion.structures WHERE kind = 'EI' LIMIT 1; -- ERROR
SET apigouv_fdw.fresh = on;
SELECT id > 0 FROM marche_inclusion.structures LIMIT 1; -- ERROR
RESET apigouv_fdw.fresh;
RESET apigouv_fdw.max_requests_per_query;
\! $sent
