\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
SET search_path = marche_travail, outils;

-- ====================================================================
-- Characteristics weigh most of a reply: left out unless they are read
-- ====================================================================
SELECT code_type_territoire, lib_territoire, code_region, code_type_activite, code_type_periode, code_periode, lib_periode, date_debut_periode, date_fin_periode, derniere_periode,
	valeur_principale_nombre % 10, valeur_secondaire_pourcentage
FROM marche_travail_demandeurs WHERE code_region = '53' AND code_nomenclature = 'ABCDEFG' AND derniere_periode;
\! $sent
SELECT jsonb_array_length(caracteristiques), caracteristiques -> 0 ->> 'codeTypeCaract' FROM marche_travail_demandeurs
WHERE code_region = '53' AND code_nomenclature = 'A' AND derniere_periode;
SELECT code_nomenclature FROM marche_travail_demandeurs
WHERE code_region = '53' AND code_nomenclature = 'B' AND derniere_periode AND caracteristiques @> '[{"codeCaract": "AGE1"}]';
SELECT jsonb_array_length(reponse -> 'listeValeurParCaract') FROM marche_travail_demandeurs
WHERE code_region = '53' AND code_nomenclature = 'C' AND derniere_periode;
\! $sent

-- ====================================================================
-- Territories: as for the tensions, and communes where they are published
-- ====================================================================
SELECT DISTINCT code_type_territoire, lib_territoire, code_region, code_departement, code_commune FROM marche_travail_offres
WHERE code_commune = '2A004' AND derniere_periode;
SELECT DISTINCT code_type_territoire, code_territoire FROM marche_travail_offres WHERE code_departement = '2A' AND derniere_periode;
SELECT DISTINCT code_type_territoire, code_territoire FROM marche_travail_offres WHERE code_departement = '2A' AND code_type_territoire = 'DEP' AND derniere_periode;
SELECT DISTINCT code_territoire, code_region FROM marche_travail_offres WHERE code_region = '94' AND code_type_territoire = 'DEP' AND derniere_periode ORDER BY 1;
SELECT DISTINCT code_territoire, code_departement FROM marche_travail_offres
WHERE code_type_territoire = 'COM' AND code_territoire IN ('35238', '35288') AND code_departement = '35' AND derniere_periode ORDER BY 1;
SELECT DISTINCT code_territoire, code_region FROM marche_travail_embauches WHERE code_type_territoire = 'NAT' AND derniere_periode;
SELECT DISTINCT lib_territoire, code_region, code_departement FROM marche_travail_demandeurs
WHERE code_type_territoire = 'EPCI' AND code_territoire = '243500139' AND derniere_periode;
\! $sent
-- a department's communes are not listed: they are asked one by one
SELECT count(*) FROM marche_travail_offres WHERE code_departement = '35' AND code_type_territoire = 'COM'; -- ERROR

-- ====================================================================
-- Activities: the total, a job, a sector
-- ====================================================================
SELECT DISTINCT code_type_activite, code_activite, code_rome FROM marche_travail_embauches WHERE code_region = '53' AND derniere_periode;
SELECT DISTINCT code_activite, code_rome, lib_activite FROM marche_travail_embauches WHERE code_region = '53' AND code_rome = 'J1506' AND derniere_periode;
SELECT DISTINCT code_type_activite, code_activite, code_rome FROM marche_travail_embauches
WHERE code_region = '53' AND code_type_activite = 'NAF88' AND code_activite = '02' AND derniere_periode;
\! $sent

-- ====================================================================
-- Periods: quarters unless months are asked; each has its days
-- ====================================================================
SELECT DISTINCT code_type_periode, code_periode, date_debut_periode, date_fin_periode FROM marche_travail_offres
WHERE code_region = '53' AND code_periode IN ('2024T1', '2025T3') ORDER BY 2;
SELECT DISTINCT code_type_periode, code_periode, lib_periode, date_debut_periode, date_fin_periode FROM marche_travail_offres
WHERE code_region = '53' AND code_type_periode = 'MOIS' AND code_periode = '2024M02';
SELECT DISTINCT code_type_periode FROM marche_travail_offres
WHERE code_region = '53' AND code_type_periode IN ('MOIS', 'TRIMESTRE') AND derniere_periode ORDER BY 1;
-- a year is no quarter: not sent, and no row
SELECT count(*) FROM marche_travail_demandeurs WHERE code_region = '53' AND code_periode = '2025';
\! $sent
-- new registrations: by month for agencies and communes, jobs and domains
SELECT code_type_territoire, code_rome, code_periode, code_nomenclature FROM marche_travail_demandeurs_entrants
WHERE code_type_territoire = 'AGC' AND code_territoire = '35012' AND code_type_periode = 'MOIS' AND code_rome = 'K1304' AND derniere_periode;
SELECT count(*), count(DISTINCT code_periode) FROM marche_travail_demandeurs_entrants WHERE code_departement = '35';
\! $sent
-- a combination that is not published is an error, not an empty result
SELECT detail ~ 'COM, CUMUL, TRIMESTRE n''est pas disponible' AS detail, hint FROM failure($$SELECT * FROM marche_travail_demandeurs_entrants WHERE code_commune = '35238'$$);
SELECT detail ~ 'COM n''est pas disponible' AS detail, hint FROM failure($$SELECT * FROM marche_travail_demandeurs WHERE code_type_territoire = 'COM' AND code_territoire = '35238'$$);
\! $sent count

-- ====================================================================
-- The dynamics: the average of all activities, a level in either shape
-- ====================================================================
SELECT code_activite, code_periode, niveau BETWEEN 1 AND 5, reponse ? 'valeurPrincipaleNombre' FROM marche_travail_dynamiques_emploi WHERE code_type_territoire = 'NAT' AND derniere_periode;
SELECT code_activite, code_periode, niveau::text = reponse ->> 'valeurPrincipaleNom' FROM marche_travail_dynamiques_emploi
WHERE code_departement = '35' AND code_periode IN ('2025T4', '2024T1') ORDER BY 2;
SELECT count(*) FROM marche_travail_dynamiques_emploi WHERE code_departement = '35' AND code_type_activite = 'MOYENNE';
\! $sent

-- ====================================================================
-- Codes are not written here: those of another day pass through
-- ====================================================================
-- an old publication has three categories less
SELECT string_agg(code_nomenclature, ' ' ORDER BY code_nomenclature) FROM marche_travail_demandeurs WHERE code_region = '53' AND derniere_periode;
SELECT string_agg(code_nomenclature, ' ' ORDER BY code_nomenclature) FROM marche_travail_demandeurs
WHERE code_type_territoire = 'BASBMO' AND code_territoire = '5312' AND derniere_periode;
\! $sent count > /dev/null
SELECT count(*) FROM marche_travail_demandeurs WHERE code_region = '53' AND code_nomenclature IN ('A', 'H') AND derniere_periode;
\! $sent

-- ====================================================================
-- No data: 204, no body, no list, and a 500 that is not sent again
-- ====================================================================
SELECT count(*) FROM marche_travail_demandeurs WHERE code_region = '06';
SELECT count(*) FROM marche_travail_offres WHERE code_departement = '977';
SELECT count(*) FROM marche_travail_embauches WHERE code_region = '03';
SELECT count(*) FROM marche_travail_demandeurs_entrants WHERE code_departement = '35' AND code_rome = 'Z9999';
SELECT count(*) FROM marche_travail_dynamiques_emploi WHERE code_departement = '99';
\! $sent

-- ====================================================================
-- A join with a table of jobs, and the same rows without push-down
-- ====================================================================
SELECT count(*) > 40, bool_and(d.valeur_principale_nombre >= 0) FROM marche_travail_activites AS m
     JOIN marche_travail_demandeurs AS d ON d.code_rome = m.code_rome
WHERE m.code_type_activite = 'ROME' AND d.code_region = '53' AND d.code_nomenclature = 'A' AND d.derniere_periode;
\! $sent count
SELECT p.*
FROM (VALUES ('marche_travail_demandeurs'), ('marche_travail_demandeurs_entrants'), ('marche_travail_offres'), ('marche_travail_embauches')) AS t (name),
     proof(format($$SELECT code_territoire, code_periode, code_nomenclature, valeur_principale_nombre, valeur_secondaire_pourcentage, caracteristiques FROM marche_travail.%I
	WHERE code_departement = '35' AND code_rome = 'J1506' AND code_periode IN ('2024T4', '2025T1', '2019T1')
	AND code_nomenclature IN ('A', 'ABC', 'MOIS EN COURS', 'TOFF', 'TOUT-TOUTE')$$, name)) AS p;
SELECT * FROM proof($$SELECT code_territoire, code_periode, niveau FROM marche_travail.marche_travail_dynamiques_emploi
	WHERE code_region = '53' AND code_type_territoire = 'DEP' AND code_periode IN ('2024T4', '2019T1')$$);
SELECT * FROM proof($$SELECT code_type_periode, code_periode, code_nomenclature, valeur_principale_nombre FROM marche_travail.marche_travail_offres
	WHERE code_commune = '35238' AND code_type_periode IN ('MOIS', 'TRIMESTRE') AND code_periode IN ('2024T4', '2024M10')$$);
