\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
CREATE TEMP TABLE registre (n int PRIMARY KEY, siret text, actif bool, diviseur int);
INSERT INTO registre SELECT n, siret, n % 3 <> 0, 6 - n FROM (VALUES (1, '00000301200010'), (2, '00000302000013'), (3, '00000301200010'), (4, '00009999900018'),
	(5, '00000311100010'), (6, '00000302000013'), (7, '00000304600018'), (8, NULL), (9, '00000305300014')) AS v (n, siret);
ANALYZE registre;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
\pset tuples_only on
\pset format unaligned
\pset null '-'
\! $sent count > /dev/null

-- ====================================================================
-- A condition on the outer side alone spares the requests of the rows that fail it
-- ====================================================================
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND r.n IN (3, 9) ORDER BY 1, 2;
\! $sent
SELECT n FROM registre AS r WHERE NOT EXISTS (SELECT FROM marche_inclusion.structures AS s WHERE s.siret = r.siret AND r.n IN (3, 9)) ORDER BY 1;
\! $sent
-- null is not true
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND (r.n < 3 AND NULLIF(r.actif, true)) ORDER BY 1, 2;
\! $sent
-- of a table that may be null itself, below another outer join
SELECT r.n, a.statut, s.id FROM registre AS r LEFT JOIN entreprise.entreprise_attestations AS a ON a.siret = r.siret AND a.type = 'attestation_vigilance' AND r.n < 5
	LEFT JOIN marche_inclusion.structures AS s ON s.siret = a.siret AND a.statut = 'conforme' ORDER BY 1, 3;
\! $sent
-- one above the outer join drops its rows, and spares nothing of them here
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND r.actif WHERE r.n < 4 OR s.id IS NULL ORDER BY 1, 2;
\! $sent count
-- the same rows without
SET apigouv_fdw.enable_lookup_join = off;
SELECT r.n, s.id FROM registre AS r LEFT JOIN marche_inclusion.structures AS s ON s.siret = r.siret AND r.actif WHERE r.n < 4 OR s.id IS NULL ORDER BY 1, 2;
\! $sent count
RESET apigouv_fdw.enable_lookup_join;

-- ====================================================================
-- What could raise an error is not evaluated for rows that a query may not come to
-- ====================================================================
SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.id = 1000 + 6 / r.diviseur LIMIT 4;
\! $sent count
SELECT r.n, s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.id = 1000 + 6 / r.diviseur; -- ERROR
\! $sent count > /dev/null
-- text functions cannot raise any
SELECT r.n, s.kind FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = btrim(apigouv_siret(r.siret) || '') AND s.kind = 'GEIQ' LIMIT 1;
\! $sent count

-- ====================================================================
-- What a sort reads to its end is all wanted
-- ====================================================================
SELECT plan FROM plan('SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret ORDER BY s.name LIMIT 1', 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF') AS plan WHERE plan ~ 'Batches|Keys';
