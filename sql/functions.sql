\i test/fixtures/regress_setup.sql

-- ====================================================================
-- apigouv_siret: 14 digits from any way of writing a SIRET, else NULL
-- ====================================================================
\pset null '(null)'
SELECT texte, apigouv_siret(texte) FROM (VALUES
	(1, '00000301200010'),
	(2, '000 003 012 00010'),
	(3, '000.003.012.00010'),
	(4, E'000\u00a0003\u00a0012\u00a000010'),
	(5, E'000\u202f003\u202f012 00010'),
	(6, E'  00000301200010 \t'),
	(7, '00000301200011'),
	(8, '0000030120001'),
	(9, '000003012000100'),
	(10, '0000030120001O'),
	(11, ''),
	(12, '   '),
	(13, NULL),
	(14, '٠٠٠٠٠٣٠١٢٠٠٠١٠')) AS v (n, texte) ORDER BY n;
-- La Poste: its establishments break the checksum, its head office does not
SELECT texte, apigouv_siret(texte) FROM (VALUES
	(1, '35600000000048'),
	(2, '35600000012345'),
	(3, '356 000 000 12346'),
	(4, '356000000123'),
	(5, '35600000112345')) AS v (n, texte) ORDER BY n;

-- ====================================================================
-- apigouv_siren: 9 digits, from a SIREN or from a SIRET
-- ====================================================================
SELECT texte, apigouv_siren(texte) FROM (VALUES
	(1, '000003012'),
	(2, '000 003 012'),
	(3, '000.003.012'),
	(4, E'000\u00a0003\u00a0012'),
	(5, '00000301200010'),
	(6, '000 003 012 00010'),
	(7, '00000301200011'),
	(8, '000003013'),
	(9, '00000301'),
	(10, '0000030120'),
	(11, '356000000'),
	(12, '35600000012345'),
	(13, 'FR12000003012'),
	(14, ''),
	(15, NULL)) AS v (n, texte) ORDER BY n;

-- they can stand in an index and in a key
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc
WHERE proname IN ('apigouv_siret', 'apigouv_siren', 'apigouv_regions', 'apigouv_departements') ORDER BY 1;
CREATE TEMP TABLE saisie (siret text);
CREATE INDEX ON saisie (apigouv_siret(siret));
INSERT INTO saisie VALUES ('000 003 012 00010'), ('000 003 020 00013'), ('n''importe quoi');
SELECT s.id, s.name FROM saisie JOIN marche_inclusion.structures AS s ON s.siret = apigouv_siret(saisie.siret) ORDER BY id;

-- ====================================================================
-- Regions and departments: codes, names, the region of each
-- ====================================================================
SELECT * FROM apigouv_regions();
SELECT count(*), count(DISTINCT code), count(DISTINCT code_region), count(*) FILTER (WHERE code_region IS NULL) AS collectivites
FROM apigouv_departements();
SELECT * FROM apigouv_departements() WHERE code IN ('01', '20', '2A', '2B', '35', '69', '75', '976') OR code >= '97' ORDER BY code COLLATE "C";
-- every department's region is in the list, under its name
SELECT d.* FROM apigouv_departements() AS d LEFT JOIN apigouv_regions() AS r ON r.code = d.code_region AND r.nom = d.region
WHERE r.code IS NULL AND d.code_region IS NOT NULL;
SELECT r.nom, string_agg(d.code, ' ' ORDER BY d.code COLLATE "C") FROM apigouv_regions() AS r JOIN apigouv_departements() AS d ON d.code_region = r.code
GROUP BY r.nom HAVING r.nom IN ('Bretagne', 'Corse', 'Île-de-France', 'La Réunion') ORDER BY r.nom COLLATE "C";
