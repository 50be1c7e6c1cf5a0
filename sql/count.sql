\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- count(*) is the total that a list announces: one request, for one row
-- ====================================================================
SELECT plan($$SELECT count(*) FROM marche_inclusion.structures$$);
SELECT plan($$SELECT count(*) FROM marche_inclusion.structures WHERE kind IN ('EI', 'ACI') AND is_active$$, 'COSTS OFF');
SELECT count(*) FROM marche_inclusion.structures;
SELECT count(*) AS n, count(1) + 1 AS more, count('x'::text) > 10 AS many FROM marche_inclusion.structures;
SELECT count(*) > 100 FROM marche_inclusion.structures WHERE kind IN ('EI', 'ACI') AND is_active;
SELECT count(*) > 100 FROM data_inclusion.services WHERE frais = 'gratuit' AND modes_accueil && '{en-presentiel}';
SELECT count(*) FROM marche_inclusion.types_structures;
\! $sent
-- an input that every row repeats
SELECT count(*) > 100 FROM data_inclusion.structures WHERE exclure_doublons;
SELECT count(*) > 0 FROM data_inclusion.recherches WHERE q = 'formation';
\! $sent
-- several departments have no row in common: their totals add up
SELECT count(*) > 40 FROM marche_inclusion.structures WHERE department IN ('35', '29', '35');
SELECT count(*) > 40 FROM marche_inclusion.structures WHERE code_region = '53';
\! $sent

-- ====================================================================
-- Not where the API counts other rows, or rows are looked at: they are read
-- ====================================================================
CREATE FUNCTION outils.asks_total(query text) RETURNS boolean LANGUAGE sql AS
$$SELECT bool_or(plan ~ 'Total Of') FROM outils.plan(query, 'COSTS OFF') AS plan$$;
CREATE VIEW outils.actives WITH (security_barrier) AS SELECT * FROM marche_inclusion.structures WHERE is_active;
CREATE FOREIGN TABLE outils.courte (id integer, department varchar(2)) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT condition, asks_total('SELECT count(*) FROM marche_inclusion.structures ' || condition) FROM (VALUES
	-- a rule of the API's, a bound that it includes, a list of which it wants one
	($$WHERE region = 'Bretagne'$$), ($$WHERE updated_at > '2026-07-01 00:00+00'$$), ($$WHERE updated_at >= '2026-07-01 00:00+00'$$),
	($$WHERE presta_types @> '{BUILD}'$$), ($$WHERE presta_types && '{BUILD, DISP}'$$),
	-- a row for each of them that it has
	($$WHERE sectors_slugs && '{peinture, menuiserie}'$$), ($$WHERE 'peinture' = ANY (sectors_slugs)$$),
	-- not sent at all: no such parameter, no such value, a second condition on one column, part of an OR
	($$WHERE name LIKE 'A%'$$), ($$WHERE kind = 'autre'$$), ($$WHERE kind = 'EI' AND kind IN ('EI', 'ACI')$$),
	($$WHERE department = ''$$), ($$WHERE kind = 'EI' OR department = '35'$$), ($$WHERE kind IS NOT NULL$$), ($$WHERE kind <> 'EI'$$),
	($$WHERE random() < 2$$), ($$WHERE now() > '2020-01-01'$$), ($$WHERE tableoid = 1$$), ($$WHERE kind = 'EI' AND false$$),
	($$WHERE department = (SELECT max(fournisseur) FROM (VALUES ('35')) AS v (fournisseur))$$),
	-- rows that a key finds, with or without others
	($$WHERE siret = '00000301200010'$$), ($$WHERE siret = '00000301200010' AND kind = 'EI'$$),
	-- more than the number is computed
	($$GROUP BY kind$$), ($$HAVING count(*) > 1$$), ($$AS s, generate_series(1, 2)$$)) AS v (condition);
SELECT query, asks_total(query) FROM (VALUES
	('SELECT count(id) FROM marche_inclusion.structures'), ('SELECT count(NULL::int) FROM marche_inclusion.structures'),
	('SELECT count(*), max(id) FROM marche_inclusion.structures'), ('SELECT count(DISTINCT 1) FROM marche_inclusion.structures'),
	('SELECT count(*) FILTER (WHERE is_active) FROM marche_inclusion.structures'), ('SELECT count(s) FROM marche_inclusion.structures AS s'),
	('SELECT min(id) FROM marche_inclusion.structures'), ('SELECT count(*), generate_series(1, 2) FROM marche_inclusion.structures'),
	('SELECT count(*) OVER () FROM marche_inclusion.structures'), ('SELECT sum(1) FROM marche_inclusion.structures'),
	('SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures LIMIT 5) AS s'),
	('SELECT count(*) FROM (SELECT DISTINCT kind FROM marche_inclusion.structures) AS s'),
	('SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures OFFSET 0) AS s'),
	('SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE is_active) AS s'),
	('SELECT DISTINCT count(*) FROM marche_inclusion.structures ORDER BY 1 LIMIT 1'),
	('SELECT count(*) FROM outils.actives'), ($$SELECT count(*) FROM outils.actives WHERE kind = 'EI'$$),
	($$SELECT count(*) FROM outils.courte WHERE department = '35'$$), ($$SELECT count(*) FROM outils.courte$$),
	($$SELECT count(*) FROM data_inclusion.services WHERE publics && '{jeunes}'$$),
	($$SELECT count(*) FROM data_inclusion.structures WHERE exclure_doublons AND source = 'dora'$$),
	($$SELECT count(*) FROM data_inclusion.structures WHERE code_region = '53'$$),
	($$SELECT count(*) FROM data_inclusion.structures WHERE code_departement = '35'$$),
	($$SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010'$$),
	('SELECT count(*) FROM marche_inclusion.secteurs')) AS v (query);
SET apigouv_fdw.enable_pushdown = off;
SELECT asks_total('SELECT count(*) FROM marche_inclusion.structures');
RESET apigouv_fdw.enable_pushdown;

-- ====================================================================
-- The number of the rows that a scan gives: every list, and conditions
-- ====================================================================
CREATE FUNCTION outils.counted(query text, OUT by_total bigint, OUT by_rows bigint) LANGUAGE plpgsql AS $$
BEGIN
	IF NOT outils.asks_total(query) THEN
		RAISE 'rows are read for %', query;
	END IF;
	EXECUTE query INTO by_total;
	PERFORM set_config('apigouv_fdw.enable_pushdown', 'off', true);
	EXECUTE query INTO by_rows;
	PERFORM set_config('apigouv_fdw.enable_pushdown', 'on', true);
END
$$;
-- inputs are sent in any case, so that the same rows are asked for
SELECT format('%I.%I', n, t) FROM (SELECT DISTINCT foreign_table_schema AS n, foreign_table_name AS t FROM information_schema.foreign_tables
	WHERE foreign_table_schema ~ 'inclusion$') AS v, counted(format('SELECT count(*) FROM %I.%I', n, t)) AS c
WHERE outils.asks_total(format('SELECT count(*) FROM %I.%I', n, t)) AND by_total = by_rows ORDER BY 1;
-- so many rows that a request for each department costs less than all of them
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
SELECT query FROM (VALUES ($$marche_inclusion.structures WHERE kind = 'ESAT'$$), ($$marche_inclusion.structures WHERE NOT is_active$$),
	($$marche_inclusion.structures WHERE department IN ('35', '29', '2A', 'zz') AND kind = ANY ('{EI,ACI}')$$),
	($$marche_inclusion.structures WHERE code_region IN ('53', '94') AND is_active IS TRUE$$),
	($$marche_inclusion.structures WHERE updated_at <= '2026-06-01 00:00+00'$$),
	($$marche_inclusion.structures WHERE updated_at BETWEEN '2026-01-01 00:00+00' AND '2026-09-01 00:00+00'$$),
	($$marche_inclusion.structures WHERE 'BUILD' = ANY (presta_types)$$), ($$marche_inclusion.structures WHERE presta_types && '{BUILD,DISP}'$$),
	($$marche_inclusion.structures WHERE 'inconnu' = ANY (sectors_slugs)$$), ($$marche_inclusion.perimetres WHERE kind = 'REGION'$$),
	($$marche_inclusion.structures WHERE code_departement = '35' OR code_departement = '29'$$),
	($$data_inclusion.structures WHERE source IN ('dora', 'soliguide', 'inconnue')$$), ($$data_inclusion.structures WHERE code_insee = '35238'$$),
	($$data_inclusion.structures WHERE code_departement IN ('35', '75', '971')$$), ($$data_inclusion.structures WHERE reseaux_porteurs && '{ei,aci}'$$),
	($$data_inclusion.services WHERE score_qualite >= 0.5 AND type IN ('formation', 'atelier')$$), ($$data_inclusion.services WHERE recherche_public = 'jeunes'$$),
	($$data_inclusion.services WHERE thematiques && '{mobilite--preparer-un-permis}' AND frais = 'gratuit'$$),
	($$data_inclusion.recherches WHERE q IN ('formation', 'emploi', 'FORMATION', 'formation')$$),
	($$data_inclusion.recherches_services WHERE commune_recherchee = '35238' AND exclure_doublons$$)) AS v (query), counted('SELECT count(*) FROM ' || query)
WHERE by_total IS DISTINCT FROM by_rows;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP rows);
-- what comes for two inputs makes a row of each, counted or read
SELECT count(*) - count(DISTINCT id) > 0 AS twice, count(*) = (SELECT count(*) FROM data_inclusion.recherches WHERE q IN ('formation', 'emploi')) AS counted
FROM data_inclusion.recherches WHERE q IN ('formation', 'emploi');
\! $sent count > /dev/null

-- ====================================================================
-- Values that come late: the rows are read where one cannot be sent
-- ====================================================================
SET plan_cache_mode = force_generic_plan;
PREPARE par_type (text[]) AS SELECT count(*) > 0 FROM marche_inclusion.structures WHERE kind = ANY ($1);
EXECUTE par_type ('{EI, ACI}');
EXECUTE par_type ('{EI, autre}');
EXECUTE par_type (NULL);
\! $sent
SELECT plan($$EXECUTE par_type ('{EI, autre}')$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
RESET plan_cache_mode;
-- an empty text would switch the filter off
SELECT d, (SELECT count(*) FROM marche_inclusion.structures WHERE department = d) > 0 FROM unnest('{35, 29, zz, "", NULL}'::text[]) AS d;
\! $sent

-- ====================================================================
-- One reply within a transaction; a list that was read counts as well
-- ====================================================================
BEGIN;
SELECT count(*) FROM marche_inclusion.structures;
\! $stub data '{"api": "marche_inclusion", "remove": 10}'
SELECT plan($$SELECT count(*) FROM marche_inclusion.structures$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
SELECT count(*) FROM marche_inclusion.structures;
COMMIT;
BEGIN;
SELECT max(id) > 0 FROM marche_inclusion.structures;
\! $stub data '{"api": "marche_inclusion", "remove": 20}'
SELECT count(*) FROM marche_inclusion.structures;
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT count(*) FROM marche_inclusion.structures;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
FETCH ABSOLUTE 1 FROM c;
CLOSE c;
\! $sent
-- of several lists, those that were read
BEGIN;
SELECT max(id) > 0 FROM marche_inclusion.structures WHERE department = '29';
SELECT count(*) FROM marche_inclusion.structures WHERE department IN ('29', '35');
COMMIT;
\! $sent
-- an Append of tables counts their rows; each alone is a total
SELECT (SELECT count(*) FROM (SELECT id::text FROM marche_inclusion.structures UNION ALL SELECT id FROM data_inclusion.structures) AS u)
	= (SELECT sum(n) FROM (SELECT count(*) AS n FROM marche_inclusion.structures UNION ALL SELECT count(*) FROM data_inclusion.structures) AS u);
\! $sent
-- tables that inherit: the parent alone, or all
CREATE FOREIGN TABLE outils.heritiere () INHERITS (outils.courte) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT count(*) FROM ONLY outils.courte;
SELECT count(*) FROM outils.courte;
\! $sent

-- ====================================================================
-- A total that cannot be right is not believed: the rows are read
-- ====================================================================
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}]}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}], "count": -1}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}], "count": 1.5}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}], "count": "7"}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}], "count": 99999999999999999999}}]'
SELECT count(*) FROM marche_inclusion.structures;
-- fewer rows than it says, or more
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [], "count": 7}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"results": [{"id": 1}], "count": 0}}]'
SELECT count(*) FROM marche_inclusion.structures;
\! $sent
-- it is the reply that is wrong, however it is read
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "times": 2, "body": {"count": 7}}]'
SELECT count(*) FROM marche_inclusion.structures; -- ERROR
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 500, "body": {"detail": "non"}}]'
SELECT count(*) FROM marche_inclusion.structures; -- ERROR
\! $sent
-- and is not kept for a retry, unlike what was right
SELECT count(*) FROM marche_inclusion.structures;
\! $sent
-- the bounds of a query hold: more requests than it may make are dearer than the list, unless that is very large
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '10000000');
SET apigouv_fdw.max_requests_per_query = 1;
SELECT state, message FROM failure($$SELECT count(*) FROM marche_inclusion.structures WHERE department IN ('35', '29')$$);
RESET apigouv_fdw.max_requests_per_query;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP rows);
\! $sent count
