\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE FUNCTION outils.estimate(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' -> 'Plan Rows';
END
$$;

-- ====================================================================
-- A list is read once, and its rows are counted and sampled
-- ====================================================================
SELECT estimate('SELECT * FROM marche_inclusion.structures') AS rows;
ANALYZE marche_inclusion.structures;
\! $sent
SELECT reltuples FROM pg_class WHERE oid = 'marche_inclusion.structures'::regclass;
SELECT estimate('SELECT * FROM marche_inclusion.structures') AS rows;
SELECT count(*) > 20, bool_and(NOT inherited) FROM pg_stats WHERE schemaname = 'marche_inclusion' AND tablename = 'structures';
SELECT attname, n_distinct, cardinality(most_common_freqs) FROM pg_stats
WHERE schemaname = 'marche_inclusion' AND tablename = 'structures' AND attname IN ('id', 'kind', 'slug') ORDER BY 1;
-- the frequency of a value, which the definition's number of values does not tell
SELECT estimate($$SELECT * FROM marche_inclusion.structures WHERE kind = 'EI'$$)
	BETWEEN 0.9 * count(*) AND 1.1 * count(*) AS near FROM marche_inclusion.structures WHERE kind = 'EI';
-- ... and without them
DELETE FROM pg_statistic WHERE starelid = 'marche_inclusion.structures'::regclass;
SELECT estimate($$SELECT * FROM marche_inclusion.structures WHERE kind = 'EI'$$) AS rows;
-- the option wins
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (rows '50');
SELECT estimate('SELECT * FROM marche_inclusion.structures') AS rows;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP rows);
-- a small target: each row once, at most
SET default_statistics_target = 1;
ANALYZE marche_inclusion.structures;
SELECT reltuples FROM pg_class WHERE oid = 'marche_inclusion.structures'::regclass;
SELECT count(*) - count(DISTINCT b) FROM pg_stats, unnest(histogram_bounds::text::int[]) AS b
WHERE schemaname = 'marche_inclusion' AND tablename = 'structures' AND attname = 'id';
RESET default_statistics_target;
ANALYZE marche_inclusion.types_structures (id), marche_inclusion.secteurs;
SELECT tablename, count(*) FROM pg_stats WHERE schemaname = 'marche_inclusion' AND tablename ~ '^(types|sect)' GROUP BY 1 ORDER BY 1;
\! $sent

-- ====================================================================
-- Inputs were not asked: ANALYZE knows nothing of them
-- ====================================================================
SET apigouv_fdw.enable_pushdown = off;
SELECT estimate('SELECT * FROM data_inclusion.structures WHERE exclure_doublons') > 1;
ANALYZE data_inclusion.structures;
SELECT null_frac, n_distinct FROM pg_stats WHERE tablename = 'structures' AND attname = 'exclure_doublons';
SELECT estimate('SELECT * FROM data_inclusion.structures WHERE exclure_doublons') > 1;
RESET apigouv_fdw.enable_pushdown;

-- ====================================================================
-- No statistics of personal data; columns can be left out
-- ====================================================================
DO $$
DECLARE
	c text;
BEGIN
	FOR c IN SELECT "column" FROM apigouv_columns WHERE api = 'data_inclusion' AND "table" = 'services' AND personal
	LOOP
		EXECUTE format('ALTER FOREIGN TABLE data_inclusion.services ALTER COLUMN %I SET STATISTICS 0', c);
	END LOOP;
END
$$;
SELECT count(*) AS left_out FROM apigouv_columns WHERE api = 'data_inclusion' AND "table" = 'services' AND personal;
ANALYZE data_inclusion.services;
SELECT count(*) > 20, count(*) FILTER (WHERE attname IN ('contact_nom_prenom', 'reponse')) FROM pg_stats WHERE tablename = 'services';
\! $sent
-- what cannot be listed cannot be analyzed
ANALYZE entreprise.entreprise_attestations;
ANALYZE marche_inclusion.potentiel_inclusif;
\! $sent count

-- ====================================================================
-- Trees, dropped columns, the owner's mapping, the bounds of a query
-- ====================================================================
CREATE TABLE outils.toutes (id integer, kind text) PARTITION BY LIST (kind);
CREATE FOREIGN TABLE outils.toutes_ei PARTITION OF outils.toutes FOR VALUES IN ('EI') SERVER marche_inclusion OPTIONS ("table" 'structures');
CREATE TABLE outils.toutes_autres PARTITION OF outils.toutes DEFAULT;
INSERT INTO outils.toutes VALUES (1, 'ici');
ANALYZE outils.toutes;
SELECT inherited, n_distinct < -0.9 FROM pg_stats WHERE tablename = 'toutes' AND attname = 'id';
CREATE FOREIGN TABLE outils.moins (id integer, name text, kind text) SERVER marche_inclusion OPTIONS ("table" 'structures');
ALTER FOREIGN TABLE outils.moins DROP COLUMN name;
ANALYZE outils.moins;
SELECT attname, n_distinct FROM pg_stats WHERE tablename = 'moins' ORDER BY 1;
\! $sent count
CREATE ROLE regress_apigouv_autre;
GRANT USAGE ON SCHEMA outils TO regress_apigouv_autre;
ALTER FOREIGN TABLE outils.moins OWNER TO regress_apigouv_autre;
ANALYZE outils.moins; -- ERROR
DROP OWNED BY regress_apigouv_autre;
DROP ROLE regress_apigouv_autre;
SET apigouv_fdw.max_requests_per_query = 0;
ANALYZE marche_inclusion.reseaux; -- ERROR
RESET apigouv_fdw.max_requests_per_query;
\! $sent count
