\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
SET search_path = marche_travail, outils;

-- ====================================================================
-- A list has three requests: one object, one type, everything
-- ====================================================================
SELECT code_periode, libelle_periode, ordre_periode, date_debut_periode, date_fin_periode FROM marche_travail_periodes WHERE code_type_periode = 'TRIMESTRE' AND code_periode = '2025T4';
SELECT code_periode, libelle_periode, date_debut_periode, date_fin_periode FROM marche_travail_periodes WHERE code_type_periode = 'MOIS' AND code_periode = '2024M02';
SELECT count(*), min(date_debut_periode), max(date_fin_periode) FROM marche_travail_periodes WHERE code_type_periode = 'ANNEE';
SELECT count(DISTINCT code_type_periode) FROM marche_travail_periodes;
\! $sent
SELECT code_nomenclature, libelle_nomenclature FROM marche_travail_nomenclatures WHERE code_type_nomenclature = 'CATCAND' AND code_nomenclature = 'G';
SELECT count(*) FROM marche_travail_nomenclatures WHERE code_type_nomenclature = 'ORIGINEOFF';
SELECT count(DISTINCT code_type_nomenclature) FROM marche_travail_nomenclatures;
SELECT code_caracteristique, libelle_caracteristique, masque FROM marche_travail_caracteristiques WHERE code_type_caracteristique = 'GENRE' AND code_caracteristique = 'F';
SELECT count(*), bool_or(masque) FROM marche_travail_caracteristiques WHERE code_type_caracteristique = 'AGC_RAT';
SELECT count(*) FROM marche_travail_caracteristiques WHERE code_caracteristique IN ('EXP2', 'exp2');
\! $sent
SELECT code_type_activite, code_activite, libelle_activite, attribut, code_rome FROM marche_travail_activites WHERE code_type_activite = 'FORM65';
SELECT code_territoire, libelle_territoire, code_region, code_departement, code_commune FROM marche_travail_territoires
WHERE code_type_territoire = 'COM' AND code_territoire = '2A004';
\! $sent
-- an object that does not exist is no row
SELECT count(*) FROM marche_travail_periodes WHERE code_type_periode = 'ANNEE' AND code_periode = '1789';
\! $sent

-- ====================================================================
-- Types of each kind
-- ====================================================================
SELECT (SELECT count(*) FROM marche_travail_types_territoires), (SELECT count(*) FROM marche_travail_types_activites), (SELECT count(*) FROM marche_travail_types_periodes),
	(SELECT count(*) FROM marche_travail_types_nomenclatures), (SELECT count(*) FROM marche_travail_types_caracteristiques);
SELECT libelle_type_territoire FROM marche_travail_types_territoires WHERE code_type_territoire = 'BASBMO';
SELECT libelle_type_activite FROM marche_travail_types_activites WHERE code_type_activite IN ('NAF88', 'NAF99');
SELECT libelle_type_periode FROM marche_travail_types_periodes WHERE code_type_periode = 'MOIS';
SELECT libelle_type_nomenclature FROM marche_travail_types_nomenclatures WHERE code_type_nomenclature = 'CATCAND';
SELECT libelle_type_caracteristique FROM marche_travail_types_caracteristiques WHERE code_type_caracteristique = 'GENRE';
\! $sent

-- ====================================================================
-- Communes, families of jobs, indicators
-- ====================================================================
SELECT code_type_territoire, libelle_territoire, code_region, code_departement, code_commune, code_territoire_parent_epci, code_territoire_parent_bassin
FROM marche_travail_communes WHERE code_commune = '97411';
SELECT count(*) FROM marche_travail_communes WHERE code_type_territoire = 'EPCI';
SELECT count(*) > 60 FROM marche_travail_correspondances_rome_fap;
SELECT code_rome, code_fap FROM marche_travail_correspondances_rome_fap WHERE code_rome = 'J1506';
\! $sent
SELECT code_indicateur, code_famille, disponibilite_indicateur, codes_types_activites, codes_types_periodes, codes_types_nomenclatures, liste_croisements_indicateur FROM marche_travail_indicateurs
WHERE code_indicateur IN ('DYN_1', 'PERSP_2') ORDER BY 1;
SELECT code_indicateur, codes_types_caracteristiques, jsonb_array_length(liste_croisements_indicateur) > 0, jsonb_array_length(liste_caracteristique_indicateur) > 0
FROM marche_travail_details_indicateurs WHERE code_indicateur = 'DE_5';
SELECT code_indicateur FROM marche_travail_details_indicateurs WHERE code_famille = 'DEMANDEURS' ORDER BY 1;
SELECT code_famille, count(*) FROM marche_travail_familles_indicateurs GROUP BY 1 ORDER BY 1;
SELECT code_famille, code_indicateur FROM marche_travail_familles_indicateurs WHERE code_famille = 'OFFRES';
\! $sent

-- ====================================================================
-- What the upstream filters by rules of its own: keys sent as they are
-- ====================================================================
SELECT code_territoire, filtre_territoire FROM marche_travail_territoires WHERE code_type_territoire = 'DEP' AND filtre_territoire = 'GIR';
SELECT code_commune, filtre_territoire FROM marche_travail_communes WHERE filtre_territoire = '35' ORDER BY 1;
SELECT code_rome FROM marche_travail_activites WHERE code_type_activite = 'ROME' AND filtre_activite = 'A12' ORDER BY 1;
SELECT code_periode, nb_periode FROM marche_travail_periodes WHERE code_type_periode = 'ANNEE' AND nb_periode = 2;
SELECT code_periode, filtre_code_periode FROM marche_travail_periodes WHERE code_type_periode = 'ANNEE' AND filtre_code_periode = '2024' AND critere_temporel = 'A';
\! $sent
-- only the list of a type takes them
SELECT count(*) FROM marche_travail_territoires WHERE filtre_territoire = 'G'; -- ERROR
SELECT count(*) FROM marche_travail_periodes WHERE nb_periode = 2; -- ERROR
\! $sent

-- ====================================================================
-- The same rows without push-down
-- ====================================================================
SELECT * FROM proof($$SELECT code_indicateur, liste_croisements_indicateur FROM marche_travail.marche_travail_details_indicateurs WHERE code_indicateur IN ('DE_1', 'DYN_1')$$);
SELECT * FROM proof($$SELECT code_famille, code_indicateur FROM marche_travail.marche_travail_familles_indicateurs WHERE code_famille = 'DEMANDEURS'$$);
SELECT * FROM proof($$SELECT code_rome, code_fap FROM marche_travail.marche_travail_correspondances_rome_fap WHERE code_rome IN ('J1506', 'K1304')$$);
SELECT * FROM proof($$SELECT code_periode, ordre_periode FROM marche_travail.marche_travail_periodes WHERE code_type_periode = 'TRIMESTRE'$$);
