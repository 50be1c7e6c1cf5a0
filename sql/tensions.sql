\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- ====================================================================
-- Territories: by type and code, by department, by region, the country
-- ====================================================================
SELECT code_type_territoire, code_territoire, lib_territoire, code_region, code_departement, code_activite FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = 'DEP' AND code_territoire = '35' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent all
SELECT code_type_territoire, lib_territoire, code_region, code_departement FROM marche_travail.marche_travail_tensions
WHERE code_departement = '2A' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent
SELECT code_type_territoire, lib_territoire, code_region, code_departement FROM marche_travail.marche_travail_tensions
WHERE code_region = '53' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent
SELECT code_type_territoire, lib_territoire, code_region, code_departement FROM marche_travail.marche_travail_tensions
WHERE code_region = '94' AND code_type_territoire = 'DEP' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode ORDER BY 2;
\! $sent
SELECT code_territoire, lib_territoire, code_region, code_departement FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = 'NAT' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent
SELECT code_territoire, code_region FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = 'NAT' AND code_territoire = 'FMO' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
SELECT lib_territoire, code_region, code_departement FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = 'BASBMO' AND code_territoire = '5312' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent count
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_region = '53' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_region = '94' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent count

-- ====================================================================
-- Activities: a job, a type and code; the total when none is asked
-- ====================================================================
SELECT code_type_activite, code_activite, code_rome FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
SELECT code_type_activite, code_activite, code_rome, lib_activite FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_rome = 'J1506' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
SELECT code_activite, code_rome FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_type_activite = 'ROME' AND code_activite IN ('J1506', 'K1304') AND code_indicateur = 'PERSPECTIVE' AND derniere_periode ORDER BY 1;
SELECT code_type_activite, code_activite FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_type_activite = 'CUMUL' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode;
\! $sent
-- a type alone would be all its jobs
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_type_activite = 'ROME'; -- ERROR
\! $sent

-- ====================================================================
-- Periods: years asked, the newest, all of them
-- ====================================================================
SELECT code_periode, lib_periode, date_debut_periode, date_fin_periode, derniere_periode FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' ORDER BY 1;
\! $sent
SELECT code_periode, derniere_periode FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' AND code_periode IN ('2021', '2023') ORDER BY 1;
\! $sent
SELECT code_periode, derniere_periode FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode IS TRUE AND code_periode = '2024';
\! $sent
-- what is no year is checked here
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' AND code_periode IN ('2023', '2023T4');
\! $sent
-- true when it was asked, else unknown: never false
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_indicateur = 'PERSPECTIVE' AND NOT derniere_periode;
SELECT DISTINCT derniere_periode FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND derniere_periode IS NOT TRUE;
\! $sent

-- ====================================================================
-- Indicators: rows; the level is read in both shapes, its label with it
-- ====================================================================
SELECT code_indicateur, niveau BETWEEN 1 AND 5, niveau_libelle IS NOT NULL, indice IS NOT NULL FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND derniere_periode ORDER BY 1;
SELECT code_indicateur, niveau BETWEEN 1 AND 5, niveau_libelle IS NOT NULL, indice FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = 'BASBMO' AND code_territoire = '1126' AND derniere_periode ORDER BY 1;
SELECT code_indicateur, niveau BETWEEN 1 AND 5, indice FROM marche_travail.marche_travail_tensions
WHERE code_departement = '35' AND code_rome = 'L1401' AND derniere_periode AND code_indicateur IN ('PERSPECTIVE', 'INT_EMB') ORDER BY 1;
\! $sent count
-- the level as the API sent it, in a number or in a text
SELECT bool_and(niveau = coalesce(reponse ->> 'valeurPrincipaleNombre', reponse ->> 'valeurPrincipaleNom')::float8),
	bool_and(niveau_libelle = CASE WHEN code_indicateur = 'PERSPECTIVE' THEN (ARRAY['tension très faible', 'tension faible', 'tension moyenne', 'tension forte', 'tension très forte'])[niveau]
		ELSE (ARRAY['réduit nettement la tension', 'réduit la tension', 'effet moyen sur la tension', 'accroît la tension', 'accroît nettement la tension'])[niveau] END)
FROM marche_travail.marche_travail_tensions WHERE code_departement IN ('35', '29', '75') AND code_rome IN ('J1506', 'L1401');
\! $sent count
SELECT count(*) > 0 FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_indicateur NOT IN ('PERSPECTIVE') AND derniere_periode;
\! $sent

-- ====================================================================
-- No data has four faces upstream, and is no row: 204, no body, no list, 500
-- ====================================================================
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_region = '06';
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '976';
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '977';
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_region = '03';
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '99';
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_departement = '35' AND code_rome = 'Z9999';
\! $sent

-- ====================================================================
-- All ROME jobs of one region, the hardest first
-- ====================================================================
CREATE TEMP TABLE metiers AS
SELECT m.code_activite, m.libelle_activite, t.niveau, t.indice
FROM marche_travail.marche_travail_activites AS m
     JOIN marche_travail.marche_travail_tensions AS t ON t.code_type_activite = m.code_type_activite AND t.code_activite = m.code_activite
WHERE m.code_type_activite = 'ROME' AND t.code_type_territoire = 'REG' AND t.code_territoire = '53' AND t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode
ORDER BY t.niveau DESC, t.indice DESC NULLS LAST;
\! $sent count
SELECT count(*) FROM marche_travail.marche_travail_activites WHERE code_type_activite = 'ROME';
SELECT count(*) > 40, count(*) = count(DISTINCT code_activite), min(niveau) >= 1, max(niveau) <= 5 FROM metiers;
-- by code_rome, the same
SELECT count(*) FROM metiers AS a FULL JOIN (SELECT t.code_rome, t.niveau FROM marche_travail.marche_travail_activites AS m
     JOIN marche_travail.marche_travail_tensions AS t ON t.code_rome = m.code_rome
WHERE m.code_type_activite = 'ROME' AND t.code_region = '53' AND t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode) AS b
	ON a.code_activite = b.code_rome AND a.niveau = b.niveau WHERE a.code_activite IS NULL OR b.code_rome IS NULL;

-- ====================================================================
-- The lists of activities and territories
-- ====================================================================
\! $sent count > /dev/null
SELECT code_type_territoire, code_territoire, libelle_territoire, code_region, code_departement FROM marche_travail.marche_travail_territoires
WHERE code_type_territoire = 'DEP' AND code_territoire = '976';
SELECT count(*) FROM marche_travail.marche_travail_territoires WHERE code_type_territoire = 'REG';
SELECT code_activite, code_rome FROM marche_travail.marche_travail_activites WHERE code_rome = 'J1506';
\! $sent

-- ====================================================================
-- The same rows without push-down
-- ====================================================================
SELECT * FROM proof($$SELECT code_territoire, code_periode, code_indicateur, niveau, indice FROM marche_travail.marche_travail_tensions
	WHERE code_departement = '35' AND code_periode IN ('2021', '2023') AND code_indicateur IN ('PERSPECTIVE', 'INT_EMB')$$);
