\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset null '-'

-- ====================================================================
-- Every source that is asked answers with a row, whatever it said
-- ====================================================================
-- all say yes; some twice
SELECT type, statut, a_jour, motif, date_fin, code_fournisseur AS code FROM entreprise.entreprise_attestations
WHERE siret = '00000301200010' ORDER BY type, numero;
\! $sent
-- refusals, and sources that know nothing
SELECT type, statut, a_jour, motif, code_fournisseur AS code FROM entreprise.entreprise_attestations
WHERE siret = '00000302000013' ORDER BY type;
-- nobody knows it: an absence of yes is not a no
SELECT statut, a_jour, motif, count(*), min(code_fournisseur), max(code_fournisseur) FROM entreprise.entreprise_attestations
WHERE siret = '00000303800015' GROUP BY 1, 2, 3;
-- under examination, or undecided
SELECT type, statut, a_jour, motif, code_fournisseur AS code FROM entreprise.entreprise_attestations
WHERE siret = '00000304600018' AND motif <> 'non_referencee' ORDER BY type;
-- sources that are down: the others would still answer
SELECT type, statut, a_jour, motif, code_fournisseur AS code, erreur FROM entreprise.entreprise_attestations
WHERE siret = '00000305300014' ORDER BY type;
\! $sent count
-- documents out of date
SELECT type, statut, a_jour, motif, date_fin FROM entreprise.entreprise_attestations
WHERE siret = '00000306100017' ORDER BY type, numero;
-- yes, with gaps
SELECT type, statut, motif, date_debut, date_fin, numero FROM entreprise.entreprise_attestations
WHERE siret = '00000307900019' AND type IN ('attestation_vigilance', 'conformite_retraite_probtp', 'attestation_conges_payes_cibtp', 'certification_qualibat') ORDER BY type;
-- several certificates of one source, some past
SELECT type, statut, motif, date_fin FROM entreprise.entreprise_attestations
WHERE siret = '00000311100010' AND type IN ('certification_rge', 'certification_qualifelec') ORDER BY type, statut, date_fin;
-- a source that answers an empty list still gives its row
SELECT type, statut, motif, code_fournisseur AS code FROM entreprise.entreprise_attestations
WHERE siret = '00000312900012' ORDER BY type;

-- ====================================================================
-- Closed lists, and a_jour: true, false or unknown
-- ====================================================================
SELECT statut, a_jour, motif, count(DISTINCT type) AS types FROM entreprise.entreprise_attestations
WHERE siret IN ('00000301200010', '00000302000013', '00000303800015', '00000304600018', '00000306100017', '00000307900019', '00000311100010', '00000312900012')
GROUP BY 1, 2, 3 ORDER BY 1, 3;
\! $sent count
-- a row per source and key, thirteen sources, each with its constants
SELECT count(*) FROM (SELECT siret, type FROM entreprise.entreprise_attestations
	WHERE siret IN ('00000301200010', '00000302000013', '00000303800015', '00000304600018', '00000312900012') GROUP BY 1, 2) AS t;
SELECT type, categorie, niveau, fournisseur FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' ORDER BY type;

-- ====================================================================
-- One source alone, as a table: the same outcome; what fails is an error
-- ====================================================================
SELECT siren, siret FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010';
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000303800015';
\set VERBOSITY terse
SELECT count(*) FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '00000305300014'; -- ERROR
