\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Réglage';
CREATE TEMP TABLE dossiers (objet text);
INSERT INTO dossiers VALUES ('Dossier 1'), ('Dossier 2');
CREATE TEMP TABLE cles (siret text);
INSERT INTO cles VALUES ('00000301200010'), ('00000302000013');
ANALYZE dossiers, cles;

-- ====================================================================
-- A column that tells what was asked is fed by its condition, whatever the
-- plan: never by a setting instead
-- ====================================================================
SELECT a.siret, a.objet FROM entreprise.entreprise_attestation_vigilance a JOIN dossiers d ON a.objet = d.objet
WHERE a.siret = '00000301200010' ORDER BY a.objet;
\! $sent purpose
SELECT a.siret, a.objet FROM cles c JOIN entreprise.entreprise_attestation_vigilance a ON a.siret = c.siret JOIN dossiers d ON a.objet = d.objet
ORDER BY a.siret, a.objet;
SET enable_nestloop = off;
SELECT a.siret, a.objet FROM entreprise.entreprise_attestation_vigilance a JOIN dossiers d ON a.objet = d.objet
WHERE a.siret = '00000301200010' ORDER BY a.objet;
RESET enable_nestloop;
\! $sent purpose
-- one that was not sent tells nothing, by constant and by parameter
PREPARE derniere(boolean) AS SELECT derniere_periode, count(*) FROM marche_travail.marche_travail_tensions WHERE code_region = '53' AND derniere_periode = $1 GROUP BY 1;
SET plan_cache_mode = force_custom_plan;
EXECUTE derniere(false);
EXECUTE derniere(true);
SET plan_cache_mode = force_generic_plan;
EXECUTE derniere(false);
EXECUTE derniere(true);
RESET plan_cache_mode;

-- ====================================================================
-- A company and its establishments: the SIRET that is asked decides, by
-- constant or by join
-- ====================================================================
CREATE TEMP TABLE etablissements (siret text);
INSERT INTO etablissements VALUES ('00000303800015'), ('00000301200028');
ANALYZE etablissements;
SELECT t.siret, count(*) FROM etablissements r JOIN entreprise.entreprise_attestations t ON t.siret = r.siret
WHERE t.siren IN ('000003038', '000003046') AND t.categorie = 'regularite' GROUP BY 1;
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND categorie = 'regularite';
SELECT siret, count(*) FROM entreprise.entreprise_attestations
WHERE siret IN (SELECT siret FROM etablissements) AND siren = '000003012' AND niveau = 'etablissement' GROUP BY 1;

-- ====================================================================
-- A condition above an outer join is none of the scan's
-- ====================================================================
CREATE TEMP TABLE metiers (rome text);
INSERT INTO metiers VALUES ('D1102');
ANALYZE metiers;
SELECT m.rome, t.code_territoire FROM metiers m LEFT JOIN marche_travail.marche_travail_tensions t
       ON t.code_region = '94' AND t.code_rome = m.rome AND t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode
WHERE t.code_departement IS NULL;
-- nor does IS NULL ask for anything
SELECT count(*) > 0 FROM marche_travail.marche_travail_tensions WHERE code_region = '94' AND code_rome = 'D1102' AND code_departement IS NULL;

-- ====================================================================
-- Three tables that feed one key each, whatever their estimated sizes
-- ====================================================================
CREATE TEMP TABLE types_t (a text);
CREATE TEMP TABLE codes (b text);
CREATE TEMP TABLE romes (c text);
INSERT INTO types_t VALUES ('REG');
INSERT INTO codes VALUES ('53');
INSERT INTO romes VALUES ('D1102');
SELECT count(*) > 0 FROM types_t, codes, romes, marche_travail.marche_travail_tensions t WHERE t.code_type_territoire = a AND t.code_territoire = b AND t.code_rome = c;
-- a value that no way of asking takes
PREPARE type_et_region(text) AS SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = $1 AND code_region = '53';
SET plan_cache_mode = force_generic_plan;
EXECUTE type_et_region('NAT'); -- ERROR

-- ====================================================================
-- A switch: true is sent, false is not and has its rows; both are two requests
-- ====================================================================
DEALLOCATE ALL;
RESET plan_cache_mode;
\! $sent count > /dev/null
SELECT count(*) = (SELECT count(*) FROM data_inclusion.structures), bool_or(exclure_doublons) FROM data_inclusion.structures WHERE NOT exclure_doublons;
SELECT count(*) < (SELECT count(*) FROM data_inclusion.structures), bool_and(exclure_doublons) FROM data_inclusion.structures WHERE exclure_doublons = true;
SELECT avec_extra, count(extra) FROM data_inclusion.services WHERE avec_extra = false AND code_departement = '35' GROUP BY 1;
SELECT exclure_doublons, count(*) > 0 FROM data_inclusion.recherches_services WHERE commune_recherchee = '35238' AND exclure_doublons IS FALSE GROUP BY 1;
SELECT exclure_doublons, count(*) > 0 FROM data_inclusion.recherches_services WHERE commune_recherchee = '35238' AND exclure_doublons = ANY ('{f,f}') GROUP BY 1;
\! $sent
SELECT b, count(id) > 0 FROM (VALUES (true), (false), (NULL)) AS v (b) LEFT JOIN data_inclusion.structures ON exclure_doublons = b AND code_departement = '35' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM data_inclusion.structures WHERE exclure_doublons IN (true, false); -- ERROR
SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_region = '53' AND derniere_periode IN (true, false); -- ERROR
PREPARE doublons(boolean[]) AS SELECT exclure_doublons, count(*) > 0 FROM data_inclusion.structures WHERE exclure_doublons = ANY ($1) GROUP BY 1;
SET plan_cache_mode = force_generic_plan;
EXECUTE doublons('{t}');
EXECUTE doublons('{f,NULL}');
EXECUTE doublons('{t,f}'); -- ERROR
RESET plan_cache_mode;
\! $sent count > /dev/null

-- ====================================================================
-- Inputs go together, and in every form of a number
-- ====================================================================
SELECT count(*) > 0, min(recherche_public) FROM data_inclusion.recherches_services WHERE recherche_public = 'jeunes' AND exclure_doublons AND type = 'atelier';
SELECT min(latitude_recherchee), max(longitude_recherchee) FROM data_inclusion.recherches_services
WHERE commune_recherchee = '35238' AND latitude_recherchee = '-0' AND longitude_recherchee = 1e-5;
SELECT count(*) FROM data_inclusion.recherches WHERE latitude_recherchee = -2.5e-7 AND longitude_recherchee = 48;
\! $sent
SELECT count(*) FROM data_inclusion.recherches WHERE latitude_recherchee = 'Infinity' AND longitude_recherchee = 48; -- ERROR
-- a service found for two communes comes twice
SELECT count(*) = 2 * count(DISTINCT id), count(DISTINCT commune_recherchee) FROM data_inclusion.recherches_services
WHERE commune_recherchee IN ('35238', '29019') AND id IN (SELECT id FROM data_inclusion.recherches_services WHERE commune_recherchee = '35238'
	INTERSECT SELECT id FROM data_inclusion.recherches_services WHERE commune_recherchee = '29019');
\! $sent count > /dev/null

-- ====================================================================
-- Nothing can be asked by a comparison: an error, since no row would pass
-- ====================================================================
SELECT count(*) FROM data_inclusion.recherches WHERE q LIKE 'emploi%'; -- ERROR
SELECT count(*) FROM data_inclusion.services WHERE recherche_public <> 'jeunes'; -- ERROR
SELECT count(*) FROM marche_inclusion.potentiel_inclusif WHERE sector_slug = 'peinture' AND budget > 1000; -- ERROR
SELECT count(*) FROM marche_inclusion.potentiel_inclusif WHERE sector_slug = 'peinture' AND perimeter_slug LIKE 'rennes%'; -- ERROR
SELECT count(*) FROM (VALUES ('a')) AS v (mot) LEFT JOIN data_inclusion.services s ON s.recherche_public > v.mot; -- ERROR
-- nor by a part of an OR, be it an equality; what all parts ask for in one list is
SELECT count(*) FROM data_inclusion.services WHERE (recherche_public = 'jeunes' OR frais = 'gratuit') AND code_departement = '35'; -- ERROR
SELECT count(*) FROM data_inclusion.recherches_services
WHERE (commune_recherchee, latitude_recherchee, longitude_recherchee) IN (('35238', 48.1, -1.6), ('29019', 48.2, -1.7)); -- ERROR
PREPARE au_choix(text) AS SELECT count(*) > 0 FROM data_inclusion.services WHERE (recherche_public = $1 OR $1 IS NULL) AND code_departement = '35';
SET plan_cache_mode = force_custom_plan;
EXECUTE au_choix('jeunes');
EXECUTE au_choix(NULL);
SET plan_cache_mode = force_generic_plan;
EXECUTE au_choix('jeunes'); -- ERROR
RESET plan_cache_mode;
SELECT recherche_public, count(*) > 0 FROM data_inclusion.services
WHERE (recherche_public = 'jeunes' OR recherche_public = 'femmes') AND code_departement = '35' GROUP BY 1 ORDER BY 1;
-- beside an equality it drops rows as elsewhere, and what passes a null asks for nothing
SELECT count(*) > 0 FROM data_inclusion.services WHERE recherche_public = 'jeunes' AND recherche_public > 'a';
SELECT count(*) > 0 FROM data_inclusion.services WHERE recherche_public IS DISTINCT FROM 'jeunes' AND code_departement = '35';
SELECT count(*) > 0 FROM data_inclusion.services WHERE (coalesce(recherche_public, 'a') = 'a' OR frais = 'gratuit') AND code_departement = '35';
SELECT perimeter_slug IS NULL FROM marche_inclusion.potentiel_inclusif WHERE sector_slug = 'peinture' AND perimeter_slug IS NULL;
SELECT count(*) FROM marche_inclusion.potentiel_inclusif WHERE sector_slug = 'peinture' AND perimeter_slug IN ('rennes-35', 'inconnu') AND perimeter_slug > 'a';
-- one that has a default, or that the session gives, has a value all the same
SELECT count(*) > 0 FROM data_inclusion.structures WHERE exclure_doublons < true AND code_departement = '35';
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010' AND objet LIKE '%';
\! $sent
