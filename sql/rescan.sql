\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
CREATE TEMP TABLE registre (n serial, siret text, siren text);
INSERT INTO registre (siret) SELECT unnest(ARRAY['00000301200010', '00000301200010', '00000301200010', '00000302000013', '00000302000013', '00000303800015',
	'00000304600018', '00000304600018', '00000305300014', '00000306100017', '00000306100017', '00000307900019', '00000308700012', '00000309500015', '00000309500015',
	'00000310300017', '00000310300017', '00000311100010', '00000311100010', '00000312900012']);
UPDATE registre SET siren = left(siret, 9);
INSERT INTO registre (siret) VALUES (NULL), ('');
ANALYZE registre;
ANALYZE copie;
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- A join asks each key once: 20 rows, 12 distinct SIRETs, 12 requests
-- ====================================================================
SELECT count(*), count(DISTINCT s.siret) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
SELECT count(*), count(DISTINCT s.siret) FROM registre AS r JOIN copie AS s ON s.siret = r.siret;
\! $sent count
-- from here on the table is said to be so large that reading all of it is dearer than any number of keys
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
-- where keys are asked for one after the other
SET apigouv_fdw.enable_lookup_join = off;
SELECT bool_or(plan ~ 'Memoize') FROM plan('SELECT count(*) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret') AS plan;
RESET apigouv_fdw.enable_lookup_join;
-- without Memoize the transaction's cache serves
SET enable_memoize = off;
SELECT count(*), count(DISTINCT s.siret) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
\! $sent count
RESET enable_memoize;
-- whatever join the planner is left with
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*), count(DISTINCT s.siret) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
\! $sent count
RESET enable_hashjoin;
SET enable_nestloop = off;
SELECT count(*), count(DISTINCT s.siret) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret;
\! $sent
RESET enable_mergejoin;
-- where a key is demanded there is no other way than the loop
SELECT count(*), count(DISTINCT a.siret) FROM registre AS r JOIN entreprise.entreprise_attestations AS a ON a.siret = r.siret
WHERE a.type = 'conformite_cotisations_msa' AND r.siret <> '00000305300014';
\! $sent count
RESET enable_nestloop;

-- ====================================================================
-- LATERAL, correlated sub-queries
-- ====================================================================
SELECT r.n, l.id FROM registre AS r CROSS JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siret = r.siret ORDER BY id LIMIT 1) AS l WHERE r.n IN (1, 2, 4) ORDER BY 1;
\! $sent
SELECT r.n, (SELECT count(*) FROM marche_inclusion.structures AS s WHERE s.siret = r.siret) FROM registre AS r WHERE r.n IN (1, 2, 4, 21) ORDER BY 1;
\! $sent
SELECT r.n, (SELECT count(*) FROM marche_inclusion.structures AS s WHERE s.siret = r.siret AND s.id >= r.n) FROM registre AS r WHERE r.n IN (1, 2, 4, 22) ORDER BY 1;
\! $sent
SELECT r.n, a.statut FROM registre AS r, LATERAL (SELECT statut FROM entreprise.entreprise_attestations AS a WHERE a.siret = r.siret AND a.type = 'attestation_vigilance') AS a WHERE r.n IN (1, 2, 4) ORDER BY 1;
\! $sent
-- of two tables, one feeding the other
SELECT s.id, a.statut FROM marche_inclusion.structures AS s JOIN entreprise.entreprise_attestations AS a ON a.siret = s.siret
WHERE s.siren = '000003012' AND a.type = 'conformite_cotisations_msa' ORDER BY 1;
\! $sent count
-- two keys from two tables
SELECT d.code, m.code, t.code_rome FROM (VALUES ('35'), ('29')) AS d (code) CROSS JOIN (VALUES ('J1506'), ('K1304')) AS m (code)
	JOIN marche_travail.marche_travail_tensions AS t ON t.code_departement = d.code AND t.code_rome = m.code
WHERE t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode ORDER BY 1, 2;
\! $sent count
-- the same key again, and others between: Memoize or cache, each once
SELECT count(*) = 3 * (SELECT count(*) FROM copie WHERE siren IN ('000003012', '000003020')) FROM generate_series(1, 3) AS g
	CROSS JOIN (VALUES ('000003012'), ('000003020')) AS v (siren) CROSS JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.siren = v.siren OFFSET 0) AS s;
\! $sent

-- ====================================================================
-- A scan that starts again reads what it had
-- ====================================================================
SET enable_material = off;
SELECT count(*) FROM (VALUES (1), (2), (3)) AS v (n) LEFT JOIN marche_inclusion.structures AS s ON s.id > 1000 * v.n AND s.siren = '000003012';
\! $sent
RESET enable_material;
SELECT count(*) FROM marche_inclusion.structures AS a JOIN marche_inclusion.structures AS b ON a.siret = b.siret WHERE a.siren = '000003012' AND b.siren = '000003012';
\! $sent

-- ====================================================================
-- One request, one answer, until the transaction ends; 404s too
-- ====================================================================
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010' AND kind = 'EI';
SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013');
SELECT count(*) FROM marche_inclusion.structures WHERE id = 99;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 99;
\! $sent
SAVEPOINT s;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT 1 / 0; -- ERROR
ROLLBACK TO s;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT obtenu_le = (SELECT obtenu_le FROM marche_inclusion.structures WHERE id = 1001) FROM marche_inclusion.structures WHERE id = 1001;
\! $sent
COMMIT;
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';
SELECT count(*) FROM marche_inclusion.structures WHERE id = 99;
\! $sent
-- a list is kept as well, and what changes meanwhile is not seen
BEGIN;
SELECT count(id) - 1000 FROM marche_inclusion.structures;
\! $stub data '{"api": "marche_inclusion", "remove": 10}'
SELECT count(id) - 1000 FROM marche_inclusion.structures;
COMMIT;
SELECT count(id) - 1000 FROM marche_inclusion.structures;
\! $sent
-- another user mapping does not read what this one was answered
CREATE ROLE regress_apigouv_autre;
GRANT USAGE ON SCHEMA marche_inclusion TO regress_apigouv_autre;
GRANT SELECT ON marche_inclusion.structures TO regress_apigouv_autre;
CREATE USER MAPPING FOR regress_apigouv_autre SERVER marche_inclusion OPTIONS (token :'marche_inclusion');
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SET ROLE regress_apigouv_autre;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
COMMIT;
RESET ROLE;
\! $sent
DROP OWNED BY regress_apigouv_autre;
DROP ROLE regress_apigouv_autre;
