\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
SET search_path = marche_travail, outils;

-- ====================================================================
-- Characteristics: a row each, with what the row around them says
-- ====================================================================
SELECT code_type_territoire, lib_territoire, code_region, code_departement, code_commune, code_rome, code_type_periode, code_periode, date_debut_periode, date_fin_periode, code_nomenclature,
	code_type_caract, code_caract, lib_caract, nombre > 0, pourcentage > 0, masque
FROM marche_travail_offres_caracteristiques
WHERE code_commune = '35238' AND code_rome = 'K1304' AND derniere_periode AND code_nomenclature = 'PE' AND code_type_caract = 'SALAIRE' ORDER BY code_caract;
\! $sent
-- deciles are euros, and given under PE only
SELECT code_nomenclature, code_caract, nombre BETWEEN 1500 AND 3000, pourcentage FROM marche_travail_offres_caracteristiques
WHERE code_region = '53' AND derniere_periode AND code_caract IN ('SAL_D10', 'SAL_D90') ORDER BY 1, 2;
-- an old publication has other words, and no masque
SELECT code_caract, lib_caract, masque FROM marche_travail_demandeurs_caracteristiques
WHERE code_type_territoire = 'BASBMO' AND code_territoire = '5312' AND derniere_periode AND code_nomenclature = 'A' AND code_type_caract = 'GENRE' ORDER BY 1;
-- lower case is another code
SELECT DISTINCT code_type_caract, code_caract FROM marche_travail_demandeurs_entrants_caracteristiques
WHERE code_departement = '35' AND derniere_periode AND code_caract IN ('exp2', 'EXP2');
SELECT code_periode, count(*) FROM marche_travail_embauches_caracteristiques WHERE code_region = '53' AND derniere_periode AND code_nomenclature = 'TOUT-TOUTE' GROUP BY 1;
-- no data, no row
SELECT (SELECT count(*) FROM marche_travail_demandeurs_caracteristiques WHERE code_region = '06'), (SELECT count(*) FROM marche_travail_offres_caracteristiques WHERE code_departement = '977'),
	(SELECT count(*) FROM marche_travail_embauches_caracteristiques WHERE code_region = '03'), (SELECT count(*) FROM marche_travail_demandeurs_entrants_caracteristiques WHERE code_departement = '99');
\! $sent
-- as many as the elements of the main table's column, with their values
SELECT count(*) AS caracteristiques,
	count(*) FILTER (WHERE (c.nombre, c.pourcentage, c.lib_caract, c.masque, c.valeur_principale_nombre)
		IS NOT DISTINCT FROM ((e ->> 'nombre')::int, (e ->> 'pourcentage')::numeric, e ->> 'libCaract', (e ->> 'masque')::boolean, d.valeur_principale_nombre)) AS egales
FROM marche_travail_demandeurs AS d CROSS JOIN jsonb_array_elements(d.caracteristiques) AS e
     FULL JOIN (SELECT * FROM marche_travail_demandeurs_caracteristiques WHERE code_departement = '35' AND code_periode IN ('2025T1', '2025T2')) AS c
	ON (c.code_periode, c.code_nomenclature, c.code_type_caract, c.code_caract) = (d.code_periode, d.code_nomenclature, e ->> 'codeTypeCaract', e ->> 'codeCaract')
WHERE d.code_departement = '35' AND d.code_periode IN ('2025T1', '2025T2');
\! $sent count
SELECT p.*
FROM (VALUES ('demandeurs'), ('demandeurs_entrants'), ('offres'), ('embauches')) AS t (name),
     proof(format($$SELECT code_periode, code_nomenclature, code_type_caract, code_caract, nombre, pourcentage FROM marche_travail.%I
	WHERE code_departement = '35' AND code_rome = 'J1506' AND code_periode IN ('2025T1', '2024T4')
	AND code_nomenclature IN ('A', 'MOIS EN COURS', 'TOFF', 'TOUT-TOUTE') AND code_type_caract IN ('AGE', 'NIVEXP7T')$$, 'marche_travail_' || name || '_caracteristiques')) AS p;

-- ====================================================================
-- Tensions in columns: those of marche_travail_tensions, a row per year
-- ====================================================================
\! $sent count > /dev/null
SELECT code_territoire, code_rome, code_periode, date_debut_periode, derniere_periode, perspective BETWEEN 1 AND 5, perspective_indice IS NOT NULL, attractivite_salariale, attractivite_salariale_indice
FROM marche_travail_tensions_indicateurs WHERE code_departement = '35' AND code_rome = 'L1401' AND code_periode IN ('2024', '2022') ORDER BY 3;
\! $sent
SELECT count(*) AS lignes, count(DISTINCT (code_territoire, code_activite, code_periode)) AS annees,
	count(*) FILTER (WHERE (l.niveau, l.indice) IS DISTINCT FROM (t.niveau, t.indice)) AS differentes
FROM (SELECT code_territoire, code_activite, code_periode, v.*
	FROM marche_travail_tensions_indicateurs AS w CROSS JOIN LATERAL (VALUES
		('PERSPECTIVE', perspective, perspective_indice), ('INT_EMB', intensite_embauche, intensite_embauche_indice),
		('COND_TRAVAIL', conditions_travail, conditions_travail_indice), ('DUR_EMPL', durabilite_emploi, durabilite_emploi_indice),
		('MAIN_OEUVRE', manque_main_oeuvre, manque_main_oeuvre_indice), ('SPECIF_FORM_EMPL', lien_formation_metier, lien_formation_metier_indice),
		('MISMATCH_GEO', inadequation_geographique, inadequation_geographique_indice),
		('ATTR_SALARIALE', attractivite_salariale, attractivite_salariale_indice)) AS v (code_indicateur, niveau, indice)
	WHERE w.code_departement IN ('35', '2A') AND w.code_rome IN ('J1506', 'L1401', 'K1304')) AS l
     LEFT JOIN (SELECT * FROM marche_travail_tensions WHERE code_departement IN ('35', '2A') AND code_rome IN ('J1506', 'L1401', 'K1304')) AS t
	USING (code_territoire, code_activite, code_periode, code_indicateur);
SELECT jsonb_array_length(reponse), reponse -> 0 ? 'codeNomenclature' FROM marche_travail_tensions_indicateurs WHERE code_type_territoire = 'NAT' AND derniere_periode;
SELECT count(*) FROM marche_travail_tensions_indicateurs WHERE code_region = '06';
SELECT * FROM proof($$SELECT code_territoire, code_periode, perspective, inadequation_geographique_indice FROM marche_travail.marche_travail_tensions_indicateurs
	WHERE code_region = '53' AND code_type_territoire = 'DEP' AND code_periode IN ('2021', '2023')$$);

-- ====================================================================
-- Salaries: the territory and the job are those asked
-- ====================================================================
\! $sent count > /dev/null
SELECT code_type_territoire, code_territoire, code_region, code_rome, code_fap, lib_fap, code_periode, date_debut_periode, date_fin_periode, code_nomenclature, valeur_principale_montant > 1000
FROM marche_travail_salaires WHERE code_type_territoire = 'NAT' AND code_rome = 'J1506';
SELECT code_type_territoire, code_territoire, code_region, code_rome, count(*) FROM marche_travail_salaires WHERE code_region IN ('53', '94') AND code_rome = 'K1304' GROUP BY 1, 2, 3, 4 ORDER BY 2;
SELECT code_type_territoire, code_territoire, count(*) FROM marche_travail_salaires
WHERE code_type_territoire = 'NAT' AND code_territoire = 'FMO' AND code_rome IN ('K1304', 'Z9999') GROUP BY 1, 2;
SELECT count(*) FROM marche_travail_salaires WHERE code_region = '06' AND code_rome = 'J1506';
\! $sent
SELECT detail ~ 'DEP n''est pas disponible' FROM failure($$SELECT * FROM marche_travail_salaires WHERE code_departement = '35' AND code_rome = 'J1506'$$);
-- the type may be said beside a department or a region, as in the other statistics
SELECT code_type_territoire, code_territoire, code_region, code_departement, count(*) FROM marche_travail_salaires
WHERE code_type_territoire = 'REG' AND code_region = '53' AND code_rome = 'K1304' GROUP BY 1, 2, 3, 4;
\! $sent count > /dev/null
\! $stub replay '[{"api": "marche_travail", "path": "/partenaire/stats-offres-demandes-emploi/v1/indicateur/salaire-rome-fap/DEP/2A", "status": 200, "reply": {"valeursParPeriode": [{"codeActivite": "X1Z60", "codePeriode": "2022", "salaireValeurMontant": [{"codeNomenclature": "SAL1", "valeurPrincipaleMontant": 1800.0}]}]}}, {"api": "marche_travail", "path": "/partenaire/stats-offres-demandes-emploi/v1/indicateur/salaire-rome-fap/DEP/2B", "status": 204, "reply": null}]'
SELECT code_type_territoire, code_territoire, code_region, code_departement, code_nomenclature FROM marche_travail_salaires
WHERE code_type_territoire = 'DEP' AND code_region = '94' AND code_rome = 'K1304';
SELECT code_type_territoire, code_territoire, code_region, code_departement, code_nomenclature FROM marche_travail_salaires
WHERE code_type_territoire = 'DEP' AND code_departement = '2A' AND code_rome = 'K1304';
SELECT count(*) FROM marche_travail_salaires WHERE code_type_territoire = 'REG' AND code_departement = '2A' AND code_rome = 'K1304';
\! $sent
\! $stub replay '[]'
SELECT count(*) FROM marche_travail_salaires WHERE code_type_territoire = 'NAT'; -- ERROR
-- the envelope that the document declares would read as no row: it is an error
\! $stub replay '[{"api": "marche_travail", "path": "/partenaire/stats-offres-demandes-emploi/v1/indicateur/salaire-rome-fap/NAT/FR", "status": 200, "reply": {"codeIndicateur": "SAL_3", "listeValeursParPeriode": [{"codePeriode": "2022", "valeurPrincipaleMontant": 2000.0}]}}]'
SELECT message, hint FROM failure($$SELECT * FROM marche_travail_salaires WHERE code_type_territoire = 'NAT' AND code_rome = 'M1607'$$);
\! $sent count > /dev/null

-- ====================================================================
-- What is published: the combinations of the catalogue
-- ====================================================================
SELECT code_famille, code_type_territoire, code_type_activite, code_nomenclature FROM marche_travail_croisements_indicateurs
WHERE code_indicateur = 'DE_5' AND code_type_periode = 'MOIS' ORDER BY 2, 3, 4;
SELECT code_indicateur, count(*) FROM marche_travail_croisements_indicateurs GROUP BY 1 ORDER BY 1;
\! $sent

-- ====================================================================
-- What a column is made from is asked for as well
-- ====================================================================
\i test/fixtures/regress_definitions.sql
\! sed -i 's/"columns": \[/&{"name": "texte", "type": "text", "only_if": {"column": "code_territoire", "is": "53"}, "derive": {"from": "caracteristiques", "steps": ["trim"]}},/' "$definitions/marche_travail/marche_travail_demandeurs.json"
CREATE FOREIGN TABLE essai.demandeurs (code_territoire text, code_type_territoire text, derniere_periode boolean, texte text, caracteristiques jsonb) SERVER marche_travail OPTIONS ("table" 'marche_travail_demandeurs');
SELECT texte IS NULL AS lacks, count(*) > 0 AS some FROM essai.demandeurs WHERE code_type_territoire = 'REG' AND code_territoire = '53' AND derniere_periode GROUP BY 1;
SELECT count(*) FROM essai.demandeurs WHERE code_type_territoire = 'REG' AND code_territoire = '53' AND derniere_periode AND texte::jsonb <> caracteristiques;
DROP FOREIGN TABLE essai.demandeurs;
\! $sent
\i test/fixtures/regress_definitions_end.sql
