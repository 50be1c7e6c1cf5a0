\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
CREATE TEMP TABLE registre (n int PRIMARY KEY, siret text);
INSERT INTO registre VALUES (1, '00000301200010'), (2, '00000302000013'), (3, '00000301200010'), (4, '00009999900018'), (5, NULL), (6, '00000311100010');
ANALYZE registre;
\pset tuples_only on
\pset format unaligned
\pset null '-'
-- so many rows that reading them all is dearer than any number of keys here
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
\! $sent count > /dev/null

-- ====================================================================
-- Inner, left, full; the same as with a local table
-- ====================================================================
SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret ORDER BY 1, 2;
\! $sent
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND s.is_active ORDER BY 1, 2;
\! $sent
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE s.id IS NULL ORDER BY 1;
\! $sent count
-- all rows of the table are wanted: the list
SELECT count(*) - (SELECT count(*) FROM registre AS r FULL JOIN copie AS s ON s.siret = r.siret) FROM registre AS r FULL JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
\! $sent
SELECT count(*) - 1000 FROM marche_inclusion.structures AS s LEFT JOIN registre AS r ON s.siret = r.siret AND r.n <> 3;
\! $sent
SELECT count(*) FROM registre AS r RIGHT JOIN (SELECT * FROM marche_inclusion.structures WHERE siren = '000003012') AS s ON s.siret = r.siret;
\! $sent

-- ====================================================================
-- Semi and anti joins, NOT IN
-- ====================================================================
SELECT n FROM registre AS r WHERE EXISTS (SELECT FROM marche_inclusion.structures AS s WHERE s.siret = r.siret) ORDER BY 1;
\! $sent count
SELECT n FROM registre AS r WHERE NOT EXISTS (SELECT FROM marche_inclusion.structures AS s WHERE s.siret = r.siret) ORDER BY 1;
\! $sent count
SELECT n FROM registre WHERE siret IN (SELECT siret FROM marche_inclusion.structures WHERE kind = 'EI' AND department = '35') ORDER BY 1;
SELECT n FROM registre WHERE siret NOT IN (SELECT siret FROM marche_inclusion.structures WHERE siren = '000003012') ORDER BY 1;
SELECT id FROM marche_inclusion.structures WHERE siret IN (SELECT siret FROM registre) ORDER BY 1;
SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003012' AND siret NOT IN (SELECT siret FROM registre WHERE siret IS NOT NULL);
\! $sent count > /dev/null
SELECT n FROM registre AS r WHERE EXISTS (SELECT FROM entreprise.entreprise_attestations AS a WHERE a.siret = r.siret AND a.type = 'attestation_vigilance' AND a.statut = 'conforme') ORDER BY 1;
\! $sent
SELECT siret, type FROM entreprise.entreprise_attestations WHERE siret IN (SELECT siret FROM registre WHERE n < 4) AND type = 'attestation_fiscale' ORDER BY 1;
\! $sent

-- ====================================================================
-- Set operations, CTE, views, functions
-- ====================================================================
SELECT id FROM marche_inclusion.structures WHERE siret = '00000301200010' UNION SELECT id FROM marche_inclusion.structures WHERE siret = '00000302000013' ORDER BY 1;
SELECT id FROM marche_inclusion.structures WHERE siren = '000003012' EXCEPT SELECT id FROM marche_inclusion.structures WHERE siret = '00000301200010' ORDER BY 1;
\! $sent
WITH s AS MATERIALIZED (SELECT * FROM marche_inclusion.structures WHERE siren = '000003012') SELECT count(*) FROM s AS a JOIN s AS b USING (siret);
WITH s AS (SELECT * FROM marche_inclusion.structures) SELECT id FROM s WHERE siret = '00000302000013';
WITH RECURSIVE t (n, id) AS (VALUES (1, 1001) UNION ALL SELECT n + 1, s.id FROM t JOIN marche_inclusion.structures AS s ON s.id = t.id + 1 WHERE n < 4) SELECT * FROM t;
\! $sent
CREATE VIEW actives AS SELECT id, siret, kind FROM marche_inclusion.structures WHERE is_active;
SELECT id FROM actives WHERE siret = '00000301200010' AND kind = 'EI';
\! $sent
CREATE FUNCTION ids (text) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM marche_inclusion.structures WHERE siret = $1 ORDER BY id';
SELECT * FROM ids('00000301200010');
SELECT n, ids(siret) FROM registre WHERE n < 4 ORDER BY 1, 2;
\! $sent
SELECT kind, count(*) FROM marche_inclusion.structures WHERE siren IN ('000003012', '000003020') GROUP BY ROLLUP (kind) ORDER BY 1;
SELECT id, row_number() OVER (PARTITION BY siret ORDER BY id) FROM marche_inclusion.structures WHERE siren = '000003012' ORDER BY 1;
\! $sent count > /dev/null

-- ====================================================================
-- Into local tables; row locks; writing
-- ====================================================================
CREATE TEMP TABLE depuis AS SELECT r.n, s.id, s.name FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
WITH i AS (INSERT INTO depuis SELECT r.n, s.id, s.name FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret RETURNING n, id)
SELECT * FROM i ORDER BY 1, 2;
SELECT count(*), count(DISTINCT id) FROM depuis;
\! $sent
UPDATE depuis SET name = s.name || ' !' FROM marche_inclusion.structures AS s WHERE s.id = depuis.id AND depuis.n = 2;
DELETE FROM depuis USING marche_inclusion.structures AS s WHERE s.id = depuis.id AND NOT s.is_active;
MERGE INTO depuis AS d USING (SELECT id, name FROM marche_inclusion.structures WHERE siren = '000003012') AS s ON d.id = s.id
	WHEN MATCHED THEN UPDATE SET name = upper(s.name) WHEN NOT MATCHED THEN INSERT VALUES (0, s.id, s.name);
SELECT * FROM depuis ORDER BY id, n;
\! $sent count > /dev/null
SELECT id FROM marche_inclusion.structures WHERE siret = '00000301200010' ORDER BY id FOR UPDATE;
SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n < 3 ORDER BY 1, 2 FOR UPDATE OF r;
SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret WHERE r.n < 3 ORDER BY 1, 2 FOR SHARE;
\! $sent

-- ====================================================================
-- No parallel worker reads an API
-- ====================================================================
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT bool_or(plan ~ 'Parallel Foreign') FROM plan('SELECT count(*) FROM marche_inclusion.structures AS s JOIN copie AS c ON c.id = s.id') AS plan;
SELECT count(*) - 1000 FROM marche_inclusion.structures AS s JOIN copie AS c ON c.id = s.id;
