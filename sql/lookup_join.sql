\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
CREATE TEMP TABLE registre (n int PRIMARY KEY, siret text, siren text);
INSERT INTO registre SELECT n, siret, left(siret, 9) FROM (VALUES (1, '00000301200010'), (2, '00000302000013'), (3, '00000301200010'), (4, '00009999900018'),
	(5, NULL), (6, '00000311100010'), (7, '00000301200028'), (8, '0000030120001'), (9, '00000301200036'), (10, '')) AS v (n, siret);
ANALYZE registre;
-- all different; fewer than are asked for ahead at once
CREATE TEMP TABLE grand (n int PRIMARY KEY, id int);
INSERT INTO grand SELECT n, 1000 + n FROM generate_series(1, 30) AS n;
ANALYZE grand;
-- so many rows that reading them all is dearer than any number of keys here
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
\pset tuples_only on
\pset format unaligned
\pset null '-'
-- a plan, or what it did, without what other cases show
CREATE FUNCTION outils.forme(query text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(plan, 'pg_temp_\d+|Async ', ''), '\((actual )?rows=[0-9.]+ loops=(\d+)\)', '(loops=\2)')
	FROM outils.plan(query, options) AS plan
	WHERE plan !~ '^\s*(Filter|Join Filter|Sent|Pages|Bytes|Attempts|Rows Removed|Kept Hits|Cluster Hits|Inner Unique|Full Read)'
$$;
CREATE FUNCTION outils.fait(query text) RETURNS SETOF text LANGUAGE sql AS
'SELECT * FROM outils.forme(query, ''ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF'')';
\! $sent count > /dev/null

-- ====================================================================
-- Inner, left, semi, anti; no other kind
-- ====================================================================
SELECT forme('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
SELECT forme('SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND s.is_active AND s.id > r.n');
SELECT forme('SELECT r.n, s.id FROM marche_inclusion.structures AS s RIGHT JOIN registre AS r ON s.siret = r.siret');
SELECT forme('SELECT r.n FROM registre AS r WHERE EXISTS (SELECT FROM entreprise.entreprise_attestation_fiscale AS s WHERE s.siret = r.siret)');
SELECT forme('SELECT r.n FROM registre AS r WHERE siret IN (SELECT siret FROM entreprise.entreprise_attestation_fiscale)');
SELECT forme('SELECT r.n FROM registre AS r WHERE NOT EXISTS (SELECT FROM entreprise.entreprise_attestation_fiscale AS s WHERE s.siret = r.siret)');
SELECT forme('SELECT id FROM marche_inclusion.structures WHERE siret IN (SELECT siret FROM registre)');
SELECT forme('SELECT r.n, s.id FROM registre AS r FULL JOIN marche_inclusion.structures AS s ON s.siret = r.siret');

-- ====================================================================
-- Keys by expressions, several of them, with constants; sources of a union
-- ====================================================================
SELECT forme($$SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siren = left(coalesce(r.siret, '000003012'), 9)$$, 'VERBOSE, COSTS OFF');
SELECT forme($$SELECT r.n, t.niveau FROM (VALUES (1, 'REG', '53'), (2, 'DEP', '35'), (3, 'DEP', '29')) AS r (n, type, code) JOIN marche_travail.marche_travail_tensions AS t
	ON t.code_type_territoire = r.type AND t.code_territoire = r.code AND t.code_rome = 'D1102' AND t.derniere_periode$$);
SELECT forme($$SELECT r.n, a.statut FROM registre AS r LEFT JOIN entreprise.entreprise_attestations AS a ON a.siret = r.siret AND a.type IN ('attestation_fiscale', 'attestation_vigilance')$$);

-- ====================================================================
-- One in the other; tables behind an Append; below other nodes
-- ====================================================================
SELECT forme($$SELECT r.n, s.id, a.siren FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret LEFT JOIN entreprise.entreprise_attestation_fiscale AS a ON a.siren = s.siren$$);
CREATE FOREIGN TABLE marche_inclusion.autres (id int, siret text) SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
CREATE VIEW toutes AS SELECT 'structures' AS de, id, siret FROM marche_inclusion.structures UNION ALL SELECT 'autres', id, siret FROM marche_inclusion.autres;
SELECT forme('SELECT r.n, t.de, t.id FROM registre AS r JOIN toutes AS t ON t.siret = r.siret');
CREATE TABLE parts (id int, siret text, kind text) PARTITION BY LIST (kind);
CREATE FOREIGN TABLE parts_ei PARTITION OF parts FOR VALUES IN ('EI') SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
CREATE FOREIGN TABLE parts_autres PARTITION OF parts DEFAULT SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
SELECT forme('SELECT r.n, t.id FROM registre AS r JOIN parts AS t ON t.siret = r.siret');
-- a partition that is local
DROP FOREIGN TABLE parts_ei, parts_autres;
CREATE TABLE parts_anciennes PARTITION OF parts FOR VALUES IN ('ANCIENNE');
CREATE FOREIGN TABLE parts_api PARTITION OF parts DEFAULT SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
INSERT INTO parts VALUES (1, '00000301200010', 'ANCIENNE');
SELECT forme('SELECT r.n, count(t.id) FROM registre AS r LEFT JOIN marche_inclusion.structures AS t ON t.siret = r.siret GROUP BY r.n ORDER BY 1');
SELECT forme('WITH r AS MATERIALIZED (SELECT siret, count(*) FROM registre GROUP BY siret) SELECT * FROM r JOIN marche_inclusion.structures AS s USING (siret)');
\! $sent
-- what these give
SELECT r.n, t.de, t.id FROM registre AS r JOIN toutes AS t ON t.siret = r.siret WHERE r.n < 4 ORDER BY 1, 2, 3;
SELECT r.n, t.id, t.kind FROM registre AS r JOIN parts AS t ON t.siret = r.siret WHERE r.n < 4 ORDER BY 1, 2;
\! $sent

-- ====================================================================
-- The order of the outer rows is kept: no Sort
-- ====================================================================
SET enable_seqscan = off;
SELECT forme('SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret ORDER BY r.n');
SELECT string_agg(n::text, ' ') FROM (SELECT r.n FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret ORDER BY r.n DESC) AS t;
RESET enable_seqscan;
\! $sent count

-- ====================================================================
-- Where it is not: rows locked or changed; switched off
-- ====================================================================
CREATE TEMP TABLE cible (n int PRIMARY KEY, id int);
INSERT INTO cible VALUES (1, 1), (2, 2);
CREATE FUNCTION outils.nus(query text) RETURNS text LANGUAGE sql AS
'SELECT CASE WHEN bool_or(plan ~ ''Lookup Join'') THEN ''lookup join'' WHEN bool_or(plan ~ ''Nested Loop'') THEN ''nested loop'' END FROM outils.plan(query, ''COSTS OFF'') AS plan';
SELECT nus('SELECT r.n FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret FOR UPDATE OF r');
SELECT nus('SELECT r.n FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret FOR SHARE');
SELECT nus('UPDATE cible SET id = s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n = cible.n');
SELECT nus('DELETE FROM cible USING registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n = cible.n');
SELECT nus('MERGE INTO cible USING (SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret) AS v ON v.n = cible.n WHEN MATCHED THEN UPDATE SET id = v.id');
SELECT nus('WITH u AS (UPDATE cible SET id = 3 RETURNING n) SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
-- but in the nightly load
SELECT nus('INSERT INTO cible SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret ON CONFLICT (n) DO UPDATE SET id = excluded.id');
SELECT nus('CREATE TABLE nouvelle AS SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
SELECT nus('CREATE MATERIALIZED VIEW nouvelle AS SELECT r.id FROM marche_inclusion.autres AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.id IN (1001, 1002)');
SELECT nus('SELECT r.n FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
SET apigouv_fdw.enable_lookup_join = off;
SELECT nus('SELECT r.n FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
RESET apigouv_fdw.enable_lookup_join;
\! $sent count
INSERT INTO cible SELECT r.n, min(s.id) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret GROUP BY r.n ON CONFLICT (n) DO UPDATE SET id = excluded.id;
SELECT * FROM cible ORDER BY n;
\! $sent

-- ====================================================================
-- What was done: nulls, malformed, duplicate and known keys cost nothing
-- ====================================================================
SELECT fait('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
\! $sent
-- three establishments of one company
SELECT fait('SELECT r.n, a.siren FROM registre AS r JOIN entreprise.entreprise_attestation_fiscale AS a ON a.siret = r.siret');
\! $sent
SELECT fait($$SELECT r.n, a.type FROM registre AS r LEFT JOIN entreprise.entreprise_attestations AS a ON a.siren = r.siren AND a.type IN ('attestation_vigilance', 'conformite_cotisations_msa') WHERE r.n IN (1, 2, 7)$$);
\! $sent
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013');
SELECT fait('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret');
COMMIT;
\! $sent

-- ====================================================================
-- In other formats
-- ====================================================================
CREATE FUNCTION outils.noeud(query text, options text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (%s, FORMAT JSON) %s', options, query) INTO plan;
	RETURN (SELECT jsonb_object_agg(key, value) FROM jsonb_each(jsonb_path_query_first(plan::jsonb, '$.** ? (@."Custom Plan Provider" == "Lookup Join")'))
		WHERE key IN ('Node Type', 'Custom Plan Provider', 'Lookup Of', 'Keys Foreseen', 'Requests Foreseen', 'Batches', 'Keys', 'Requests', 'Saved by Cache', 'Saved as Duplicates'));
END
$$;
SELECT jsonb_pretty(noeud('SELECT r.n, t.id FROM registre AS r JOIN toutes AS t ON t.siret = r.siret', 'COSTS OFF'));
SELECT jsonb_pretty(noeud('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret', 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF'));
CREATE FUNCTION outils.texte(query text, options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan text;
BEGIN
	EXECUTE format('EXPLAIN (%s) %s', options, query) INTO plan;
	RETURN (SELECT string_agg(line, E'\n') FROM regexp_split_to_table(plan, '\n') AS line WHERE line ~ '(Lookup|Item|Batches|Keys|Duplicates|Saved|Foreseen)' AND line !~ 'Malformed');
END
$$;
SELECT texte('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret', 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT XML');
SELECT texte('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret', 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT YAML');
\! $sent count > /dev/null

-- ====================================================================
-- All rows wanted: all at once; a query that may stop early: few
-- ====================================================================
SELECT fait('SELECT g.n, s.id FROM grand AS g JOIN marche_inclusion.structures AS s ON s.id = g.id');
\! $sent count
SELECT count(*) FROM (SELECT g.n, s.id FROM grand AS g JOIN marche_inclusion.structures AS s ON s.id = g.id LIMIT 1) AS t;
\! $sent count
SELECT EXISTS (SELECT FROM grand AS g JOIN marche_inclusion.structures AS s ON s.id = g.id);
\! $sent count
-- the first that is not active is the fourteenth: 1, 2, 4, 8
SELECT fait('SELECT g.n FROM grand AS g JOIN marche_inclusion.structures AS s ON s.id = g.id WHERE NOT s.is_active LIMIT 1');
\! $sent count
BEGIN;
DECLARE c CURSOR FOR SELECT g.n, s.id FROM grand AS g JOIN marche_inclusion.structures AS s ON s.id = g.id;
FETCH 1 FROM c;
\! $sent count
FETCH 1 FROM c;
\! $sent count
FETCH 1 FROM c;
\! $sent count
FETCH 1 FROM c;
\! $sent count
MOVE ALL FROM c;
\! $sent count
COMMIT;
-- all that was asked has served, when the cursor is read to its end
BEGIN;
DECLARE c CURSOR FOR SELECT r.n FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
FETCH 2 FROM c;
MOVE ALL FROM c;
COMMIT;
\! $sent

-- ====================================================================
-- Started again for each row of another table: the transaction's cache serves
-- ====================================================================
SET enable_material = off;
SET enable_memoize = off;
SELECT forme('SELECT v.x, t.* FROM (VALUES (1), (3), (2)) AS v (x) CROSS JOIN LATERAL (SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n >= v.x OFFSET 0) AS t');
SELECT v.x, count(*), count(DISTINCT t.n), count(DISTINCT t.id) FROM (VALUES (1), (3), (2)) AS v (x) CROSS JOIN LATERAL (SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n >= v.x OFFSET 0) AS t GROUP BY v.x ORDER BY 1;
\! $sent
-- and the loop may be left at any row: how many malformed keys it has come to by then is the planner's affair
SET client_min_messages = error;
SELECT v.x, (SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n >= v.x ORDER BY r.n, s.id LIMIT 1) FROM (VALUES (1), (3), (2), (8)) AS v (x);
RESET client_min_messages;
\! $sent
RESET enable_material;
RESET enable_memoize;

-- ====================================================================
-- What the loop does not execute for a row is not asked for
-- ====================================================================
-- a one-time filter: of eight keys, five
SELECT forme('SELECT g.n, x.id FROM grand AS g LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.id = g.id AND g.n > 3 OFFSET 0) AS x ON true WHERE g.n < 9');
SELECT count(*), count(x.id) FROM grand AS g LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.id = g.id AND g.n > 3 OFFSET 0) AS x ON true WHERE g.n < 9;
\! $sent count
-- about nobody either
SELECT count(*) FROM registre AS r LEFT JOIN LATERAL (SELECT m.siren FROM entreprise.entreprise_mandataires_sociaux AS m WHERE m.siren = r.siren AND r.n = 2 OFFSET 0) AS m ON true;
\! $sent
-- one that may raise an error is left to the loop, which ends before
SELECT g.n, x.id FROM grand AS g LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.id = g.id AND 10 / (3 - g.n) > 0 OFFSET 0) AS x ON true LIMIT 2;
\! $sent count
-- a key that a subquery computes for each row is asked for row by row; one that is the same for all rows is no hindrance
SELECT r.n, x.id FROM registre AS r LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = (SELECT r.siret) OFFSET 0) AS x ON true ORDER BY 1, 2;
SELECT r.n, x.id FROM registre AS r LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = (SELECT max(q.siret) FROM registre AS q WHERE q.n <= r.n) OFFSET 0) AS x ON true WHERE r.n < 5 ORDER BY 1, 2;
\! $sent count
SELECT count(x.id) FROM grand AS g LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.id = g.id AND s.id > (SELECT min(q.id) FROM grand AS q) OFFSET 0) AS x ON true WHERE g.n < 9;
\! $sent count
-- so is one of an array, of a row, of a WITH query, of a side of a UNION ALL, of a recursion
SELECT string_agg(r.n || ' ' || coalesce(x.id::text, '-'), ', ' ORDER BY r.n, x.id) FROM registre AS r LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = ANY (ARRAY(SELECT q.siret FROM registre AS q WHERE q.n BETWEEN r.n - 1 AND r.n)) OFFSET 0) AS x ON true WHERE r.n < 8;
SELECT string_agg(r.n || ' ' || coalesce(x.id::text, '-'), ', ' ORDER BY r.n, x.id) FROM registre AS r LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE (s.siret, s.siren) = (SELECT r.siret, r.siren) OFFSET 0) AS x ON true WHERE r.n < 8;
SELECT string_agg(r.n || ' ' || coalesce(x.id::text, '-'), ', ' ORDER BY r.n, x.id) FROM registre AS r LEFT JOIN LATERAL (WITH c AS MATERIALIZED (SELECT r.siret) SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = (SELECT siret FROM c) OFFSET 0) AS x ON true WHERE r.n < 8;
SELECT string_agg(r.n || ' ' || coalesce(x.id::text, '-'), ', ' ORDER BY r.n, x.id) FROM registre AS r LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = (SELECT r.siret) UNION ALL SELECT id FROM marche_inclusion.autres AS s WHERE s.siret = r.siret OFFSET 0) AS x ON true WHERE r.n < 8;
WITH RECURSIVE w (siret, id, k) AS (SELECT siret, n, 0 FROM registre WHERE n < 4
	UNION ALL SELECT x.siret, x.id, k + 1 FROM w JOIN LATERAL (SELECT s.siret, s.id FROM marche_inclusion.structures AS s WHERE s.siret = (SELECT w.siret) OFFSET 0) AS x ON true WHERE k < 2)
	SELECT k, count(*), min(id), max(id) FROM w GROUP BY k ORDER BY k;
\! $sent count > /dev/null
-- the partition that a row's key is of, and no other
CREATE TABLE par_siret (siret text) PARTITION BY RANGE (siret);
CREATE FOREIGN TABLE par_siret_1 PARTITION OF par_siret FOR VALUES FROM (MINVALUE) TO ('00000302') SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
CREATE FOREIGN TABLE par_siret_2 PARTITION OF par_siret FOR VALUES FROM ('00000302') TO (MAXVALUE) SERVER entreprise OPTIONS ("table" 'entreprise_attestation_fiscale');
SELECT r.n, t.tableoid::regclass FROM registre AS r JOIN par_siret AS t ON t.siret = r.siret WHERE r.n < 3 ORDER BY 1;
\! $sent
-- the first of several tables, when one row is enough
SET enable_async_append = off;
SELECT count(*) FROM registre AS r WHERE n < 3 AND EXISTS (SELECT FROM (SELECT siret FROM marche_inclusion.structures UNION ALL SELECT siret FROM entreprise.entreprise_attestation_fiscale) AS t WHERE t.siret = r.siret);
\! $sent
RESET enable_async_append;
-- a table behind another that has rows for few
CREATE TEMP TABLE quelques (n int PRIMARY KEY);
INSERT INTO quelques VALUES (1), (2), (3);
ANALYZE quelques;
SELECT count(*), count(s.id) FROM grand AS g LEFT JOIN (quelques AS q JOIN marche_inclusion.structures AS s ON true) ON s.id = g.id AND q.n = g.n;
\! $sent count
-- rows that a Memoize keeps serve others with the same key: those of 1, which match nothing, are kept for 2
CREATE TEMP TABLE paires AS SELECT n, 1001 AS id, n = 2 AS actif FROM generate_series(1, 2) AS n;
CREATE TEMP TABLE rangs AS SELECT generate_series(1, 200) AS rang;
ANALYZE paires, rangs;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT forme('SELECT p.n, x.rang, x.id FROM paires AS p LEFT JOIN LATERAL (SELECT rang, s.id FROM rangs LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures WHERE id = p.id OFFSET 0) AS s ON true) AS x ON p.actif');
SELECT p.n, count(*), count(x.id) FROM paires AS p LEFT JOIN LATERAL (SELECT rang, s.id FROM rangs LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures WHERE id = p.id OFFSET 0) AS s ON true) AS x ON p.actif GROUP BY p.n ORDER BY 1;
\! $sent count
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- ====================================================================
-- A query that may stop early: outer rows that raise an error or do something are read one by one
-- ====================================================================
SELECT r.n, r.inverse, s.id FROM (SELECT n, 6 / (3 - n) AS inverse, id FROM grand OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
SELECT r.n, s.id FROM (SELECT n, id FROM grand WHERE 6 / (3 - n) > 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
SELECT r.n, s.id FROM (VALUES (1, 1001), (2, 1002), (3, 1 / (random() * 0)::int)) AS r (n, id) JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
WITH r AS MATERIALIZED (SELECT n, 6 / (3 - n), id FROM grand) SELECT r.n, s.id FROM r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
CREATE TEMP SEQUENCE suite;
SELECT r.numero, s.id FROM (SELECT nextval('suite') AS numero, id FROM grand OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
SELECT last_value FROM suite;
\! $sent count
-- the others are read ahead: after a LIKE, a sort, or a count
SELECT r.n, s.id FROM (SELECT n, id FROM grand WHERE lpad(n::text, 2, '0') < '04' AND n::text LIKE '%' OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
\! $sent count
SELECT r.n, s.id FROM (SELECT n, id FROM grand WHERE n::text LIKE '%' OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
\! $sent count
SELECT r.n, s.id FROM (SELECT n, id FROM grand WHERE 1 / n < 2 ORDER BY n DESC OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2;
\! $sent count
SELECT count(*) FROM (SELECT FROM (SELECT id, sum(1 / n) FROM grand GROUP BY id) AS r JOIN marche_inclusion.structures AS s ON s.id = r.id LIMIT 2) AS t;
\! $sent count

-- ====================================================================
-- Prepared: the generic plan
-- ====================================================================
PREPARE p (int, text) AS SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n >= $1 AND s.kind = $2 ORDER BY 1, 2;
SET plan_cache_mode = force_generic_plan;
SELECT forme('EXECUTE p (1, ''EI'')');
EXECUTE p (1, 'EI');
EXECUTE p (3, 'ACI');
EXECUTE p (100, 'EI');
\! $sent
RESET plan_cache_mode;

-- ====================================================================
-- Functions that may do something are called as often as without; they make no key
-- ====================================================================
CREATE FUNCTION outils.dite(text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$BEGIN RAISE NOTICE 'key %', $1; RETURN $1; END$$;
SELECT forme('SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = dite(r.siret) WHERE r.n < 3');
SELECT r.n, s.id FROM (SELECT n, dite(siret) AS siret FROM registre WHERE n < 4 OFFSET 0) AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret ORDER BY 1, 2;
\! $sent count
