\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- structures: by id, slug, SIRET, SIREN; the most telling key wins
-- ====================================================================
SELECT essai($$id = 1001$$);
\! $sent
SELECT essai($$slug = 'ateliers-du-phare-35-1002'$$);
\! $sent
SELECT essai($$siret = '00000301200010'$$);
\! $sent
SELECT essai($$siren = '000003012'$$);
\! $sent
SELECT essai($$siren = '000003012' AND siret = '00000301200010' AND id = 1002$$);
\! $sent
SELECT essai($$siren = '000003012' AND siret = '00000301200010'$$);
\! $sent
SELECT essai($$siret IN ('00000301200010', '00000301200028') AND siren = '000003012'$$);
\! $sent
SELECT essai($$siren IN ('000003012', '000003020')$$);
\! $sent
-- a condition that a lookup cannot take is checked here
SELECT essai($$siret = '00000301200010' AND kind = 'ACI'$$);
\! $sent
SELECT essai($$id = 1001 AND NOT is_active$$);
\! $sent
-- nothing asked: the list
SELECT essai($$true$$);
\! $sent
-- the same row whichever route brings it
SELECT count(*) FROM (
	SELECT * FROM marche_inclusion.structures WHERE id = 1001
	UNION ALL SELECT * FROM marche_inclusion.structures WHERE slug = 'ateliers-du-phare-35-1001'
	UNION ALL SELECT * FROM marche_inclusion.structures WHERE siret = '00000301200010' AND kind = 'EI'
	UNION ALL SELECT * FROM marche_inclusion.structures WHERE siren = '000003012' AND id + 0 = 1001
	UNION ALL SELECT * FROM marche_inclusion.structures WHERE kind = 'EI' AND department = '35' AND name = 'Ateliers du Phare') AS s
WHERE to_jsonb(s) - '{obtenu_le,reponse,sectors,networks,offers,client_references,labels_old}'::text[] =
      (SELECT to_jsonb(c) - '{obtenu_le,reponse,sectors,networks,offers,client_references,labels_old}'::text[] FROM copie AS c WHERE id = 1001);
\! $sent

-- ====================================================================
-- data_inclusion.structures: detail, or list
-- ====================================================================
SELECT id, nom FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1';
\! $sent
SELECT id FROM data_inclusion.structures WHERE id IN ('dora--ateliers-du-phare-1', 'dora--inconnue');
\! $sent
-- an unknown id is asked as it is: its case counts
SELECT id FROM data_inclusion.structures WHERE id = 'DORA--ateliers-du-phare-1';
\! $sent
-- a slash cannot be sent: the list serves instead
SELECT id FROM data_inclusion.structures WHERE id = 'dora--a/b';
\! $sent
SELECT id FROM data_inclusion.structures WHERE id IN ('dora--ateliers-du-phare-1', 'dora--a/b');
\! $sent
-- soliguide's are never read by key, since that has the API call Soliguide
SELECT count(*) FROM data_inclusion.structures WHERE id LIKE 'soliguide--%';
\! $sent
SELECT id FROM data_inclusion.structures WHERE id = 'soliguide--1';
\! $sent
-- no route by SIRET: the list, and EXPLAIN says so
SELECT id FROM data_inclusion.structures WHERE siret = '00000301200010';
\! $sent
SELECT plan($$SELECT id FROM data_inclusion.structures WHERE siret = '00000301200010'$$);

-- ====================================================================
-- data_inclusion.services: detail, those of a structure, or list
-- ====================================================================
SELECT id, structure_id FROM data_inclusion.services WHERE structure_id = 'dora--ateliers-du-phare-1' ORDER BY id;
\! $sent
SELECT id, structure_id FROM data_inclusion.services WHERE id = 'dora--service-ateliers-du-phare-1-0';
\! $sent
SELECT id FROM data_inclusion.services WHERE id = 'dora--service-ateliers-du-phare-1-0' AND structure_id = 'dora--ateliers-du-phare-1';
\! $sent
-- with a condition that only the list understands, the list
SELECT id, avec_extra, extra IS NOT NULL FROM data_inclusion.services WHERE structure_id = 'dora--ateliers-du-phare-1' AND avec_extra AND code_departement = '35' ORDER BY id;
\! $sent
-- equal rows whichever route serves
SELECT rows, lost, gained FROM proof($$SELECT id, structure_id, nom, type, thematiques, publics, code_insee, score_qualite, date_maj FROM data_inclusion.services
	WHERE structure_id = 'dora--ateliers-du-phare-1'$$);
SELECT count(*) FROM (
	(SELECT s.* FROM data_inclusion.services AS s WHERE structure_id = 'dora--ateliers-du-phare-1')
	UNION ALL (SELECT s.* FROM data_inclusion.services AS s WHERE id = 'dora--service-ateliers-du-phare-1-0')
	UNION ALL (SELECT s.* FROM data_inclusion.services AS s WHERE code_departement = '35' AND structure_id || '' = 'dora--ateliers-du-phare-1')) AS s
GROUP BY to_jsonb(s) - '{obtenu_le,reponse,structure,extra}'::text[] ORDER BY 1;
\! $sent count

-- ====================================================================
-- A route may be reserved to queries without some condition
-- ====================================================================
SELECT count(*), count(DISTINCT code_activite) FROM marche_travail.marche_travail_tensions
WHERE code_region = '53' AND derniere_periode AND code_indicateur = 'PERSPECTIVE';
SELECT lib_activite FROM marche_travail.marche_travail_tensions
WHERE code_region = '53' AND derniere_periode AND lib_activite = 'x'; -- ERROR
\! $sent

-- ====================================================================
-- A table that cannot be listed: the error names the column, before any request
-- ====================================================================
SELECT * FROM entreprise.entreprise_attestation_vigilance; -- ERROR
SELECT count(*) FROM entreprise.entreprise_attestations WHERE type = 'attestation_vigilance'; -- ERROR
SELECT count(*) FROM marche_travail.marche_travail_tensions; -- ERROR
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = 'DEP'; -- ERROR
SELECT state FROM failure('SELECT * FROM entreprise.entreprise_attestation_vigilance');
\! $sent
-- a condition that is false needs no key
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE false;
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance LIMIT 0;
\! $sent

SET apigouv_fdw.enable_pushdown = off;
SELECT count(*), essai(condition) ~ 'right' AS right FROM outils.conditions GROUP BY 2;
