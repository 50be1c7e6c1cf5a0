\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- An unstable order (marche_inclusion): every row once, at any size
-- ====================================================================
SELECT count(*) = count(DISTINCT id), count(*) FROM marche_inclusion.structures;
\! $sent
\! $stub data '{"api": "marche_inclusion", "remove": 1000}'
SELECT count(*) = count(DISTINCT id), count(*) FROM marche_inclusion.structures;
\! $sent
\! $stub data '{"api": "marche_inclusion", "remove": 999}'
SELECT count(*) = count(DISTINCT id), count(*) FROM marche_inclusion.structures;
\! $sent
\! $stub data '{"api": "marche_inclusion", "remove": 894}'
SELECT count(*) = count(DISTINCT id), count(*) FROM marche_inclusion.structures;
\! $sent
-- a LIMIT next to the total
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM marche_inclusion.structures LIMIT 999) AS s;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM marche_inclusion.structures LIMIT 1000) AS s;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM marche_inclusion.structures LIMIT 1001) AS s;
\! $sent

-- ====================================================================
-- LIMIT n is one small request
-- ====================================================================
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures LIMIT 5) AS s;
\! $sent
SELECT count(*) FROM (SELECT id, city FROM marche_inclusion.structures WHERE kind = 'EI' AND department = '35' LIMIT 1) AS s;
\! $sent
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures FETCH FIRST ROW ONLY) AS s;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM marche_inclusion.structures OFFSET 10 LIMIT 5) AS s;
\! $sent
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures LIMIT 0) AS s;
\! $sent
SELECT EXISTS (SELECT FROM marche_inclusion.structures WHERE kind = 'EI');
\! $sent
-- by region the first department may not be enough
SELECT count(*) FROM (SELECT id FROM marche_inclusion.structures WHERE region = 'Bretagne' LIMIT 3) AS s;
\! $sent
-- a sort, an aggregate or a condition kept here need all rows
SELECT id FROM marche_inclusion.structures ORDER BY id LIMIT 2;
\! $sent
SELECT count(*) FROM (SELECT DISTINCT kind FROM marche_inclusion.structures LIMIT 100) AS s;
\! $sent
SELECT id FROM marche_inclusion.structures WHERE name = 'Chantier de l''Écluse' LIMIT 1;
\! $sent count
SELECT count(*) FROM (SELECT id FROM data_inclusion.structures LIMIT 5) AS s;
\! $sent

-- ====================================================================
-- Cursors: pages are asked as rows are fetched
-- ====================================================================
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013') ORDER BY id;
\! $sent
FETCH 1 FROM c;
FETCH 1 FROM c;
\! $sent
FETCH ALL FROM c;
CLOSE c;
DECLARE d SCROLL CURSOR FOR SELECT id FROM marche_inclusion.structures WHERE siren = '000003012' ORDER BY id;
FETCH 3 FROM d;
FETCH BACKWARD 2 FROM d;
MOVE ABSOLUTE 0 FROM d;
FETCH ALL FROM d;
COMMIT;
\! $sent
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM marche_inclusion.structures WHERE siren = '000003012' ORDER BY id;
\! $sent
FETCH ALL FROM h;
CLOSE h;
\! $sent
BEGIN;
DECLARE t CURSOR FOR SELECT id FROM marche_inclusion.structures;
MOVE 10 FROM t;
MOVE 2000 FROM t;
FETCH 1 FROM t;
COMMIT;
\! $sent
