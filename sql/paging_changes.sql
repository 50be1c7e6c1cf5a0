\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- Pages by offset: as many as needed
-- ====================================================================
SELECT count(id) FROM essai.perimetres;
\! $sent
SELECT count(id) FROM essai.perimetres WHERE kind = 'REGION';
\! $sent
SELECT count(*) FROM (SELECT id FROM essai.perimetres LIMIT 20) AS s;
\! $sent
SELECT count(*) FROM (SELECT id FROM essai.perimetres LIMIT 75) AS s;
\! $sent
SELECT count(*) FROM (SELECT id FROM essai.perimetres OFFSET 100 LIMIT 20) AS s;
\! $sent

-- ====================================================================
-- Pages by number, in a stable order: each row once
-- ====================================================================
SELECT count(id) FROM pages.structures WHERE code_departement = '35';
\! $sent
SELECT count(*) = count(DISTINCT id) FROM pages.structures;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM pages.structures LIMIT 250) AS s;
\! $sent
SELECT (SELECT count(id) FROM pages.structures) - (SELECT count(id) FROM data_inclusion.structures);
\! $sent count

-- ====================================================================
-- Pages are asked as rows are fetched: one, then two at once
-- ====================================================================
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures;
MOVE 1 FROM c;
\! $sent count
MOVE 150 FROM c;
MOVE 10 FROM c;
ROLLBACK;
SELECT count(*) FROM (SELECT id FROM pages.structures WHERE nom <> '' LIMIT 150) AS s;
\! $sent

-- ====================================================================
-- An unstable order and more rows than foreseen: all at once, again
-- ====================================================================
SELECT count(*), count(DISTINCT id) FROM essai.structures;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM essai.structures LIMIT 100) AS s;
\! $sent
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM essai.structures LIMIT 500) AS s;
\! $sent
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM essai.structures WHERE name <> '';
MOVE 150 FROM c;
MOVE ALL FROM c;
COMMIT;
\! $sent

-- ====================================================================
-- The total changes between two pages: 40001, never a mixture
-- ====================================================================
\! $stub data '{"api": "data_inclusion", "remove": 50, "after": 1}'
SELECT count(id) FROM pages.structures; -- ERROR
\! $sent count > /dev/null
\! $stub data '{"api": "data_inclusion", "add": 5, "after": 1}'
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures;
MOVE 1 FROM c;
MOVE ALL FROM c; -- ERROR
ROLLBACK;
\! $sent count > /dev/null
-- a page that turns out too small is asked larger before any row is returned: one state
\! $stub data '{"api": "marche_inclusion", "remove": 1, "after": 1}'
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM essai.structures LIMIT 2000;
MOVE 1 FROM c;
MOVE ALL FROM c;
ROLLBACK;
\! $sent count > /dev/null
\! $stub data '{"api": "data_inclusion", "add": 5, "after": 2}'
SELECT state, message FROM failure('SELECT id FROM pages.structures ORDER BY id');
\! $sent count > /dev/null
-- at once, no query sees anything but one state
\! $stub data '{"api": "data_inclusion", "add": 5}'
SELECT count(*) = count(DISTINCT id) AND count(*) = (SELECT count(*) FROM data_inclusion.structures) FROM pages.structures;
\! $sent count > /dev/null

-- ====================================================================
-- Fewer rows than announced is an error, never a shorter result
-- ====================================================================
\! $stub faults '[{"api": "data_inclusion", "path": "/api/v1/structures", "status": 200, "body": {"items": [], "total": 21, "page": 1, "size": 100, "pages": 1}}]'
SELECT count(id) FROM pages.structures WHERE code_departement = '35'; -- ERROR
\! $sent count > /dev/null
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/", "status": 200, "body": {"count": 2, "results": [{"id": 1}]}}]'
SELECT count(id) FROM marche_inclusion.structures; -- ERROR
\i test/fixtures/regress_definitions_end.sql
