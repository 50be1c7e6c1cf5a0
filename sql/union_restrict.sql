\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- Conditions on type, categorie, niveau, fournisseur choose the sources
-- ====================================================================
SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance';
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND categorie = 'regularite' ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND categorie = 'regularite' AND niveau = 'entreprise' ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND fournisseur = 'ProBTP' ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND type IN ('certification_rge', 'certification_qualifelec') ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND categorie <> 'regularite' AND niveau <> 'etablissement' ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND type LIKE 'conformite%' ORDER BY type;
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND upper(fournisseur) = 'CNETP';
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND (fournisseur = 'FNTP' OR type = 'certification_opqibi') ORDER BY type;
\! $sent
-- none is left: no request
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'autre';
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type IS NULL;
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND fournisseur = 'MSA';
\! $sent
-- a condition on what a source answers does not choose
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000303800015' AND statut = 'conforme';
\! $sent count

-- ====================================================================
-- By a stable expression, a sub-query, a join
-- ====================================================================
SET outils.type = 'attestation_vigilance';
SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = current_setting('outils.type');
\! $sent
SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = (SELECT 'attestation_' || 'fiscale');
\! $sent
SELECT type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = ANY (ARRAY(SELECT 'attestation_' || x FROM (VALUES ('fiscale'), ('vigilance')) AS v (x))) ORDER BY type;
\! $sent
SELECT d.siret, a.type, a.statut FROM (VALUES ('00000301200010', 'attestation_vigilance'), ('00000302000013', 'conformite_cotisations_msa'), ('00000303800015', NULL)) AS d (siret, piece)
	LEFT JOIN entreprise.entreprise_attestations AS a ON a.siret = d.siret AND a.type = d.piece ORDER BY d.siret;
\! $sent

-- ====================================================================
-- A source keyed by SIREN is asked once for all its establishments
-- ====================================================================
SELECT siret, siren, statut FROM entreprise.entreprise_attestations
WHERE siret IN ('00000301200010', '00000301200028', '00000301200036') AND type = 'attestation_vigilance' ORDER BY siret;
\! $sent
SELECT d.siret, a.statut FROM (VALUES ('00000301200010'), ('00000301200028'), ('00000301200036'), ('00000301200036')) AS d (siret)
	JOIN entreprise.entreprise_attestations AS a ON a.siret = d.siret WHERE a.type = 'attestation_vigilance' ORDER BY 1;
\! $sent

-- ====================================================================
-- By SIREN: five sources at once, the others through the head office
-- ====================================================================
SELECT siret, type, statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND categorie = 'regularite' ORDER BY type;
\! $sent
SELECT plan($$SELECT * FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND type IN ('attestation_vigilance', 'certification_qualibat')$$);
-- INSEE redirects to another SIREN, knows several head offices, knows none, or is down
SELECT siren, siret, type, statut, motif, code_fournisseur FROM entreprise.entreprise_attestations WHERE siren = '000003095' AND type = 'conformite_cotisations_msa';
\! $sent
SELECT siren, siret, type, statut, motif, code_fournisseur FROM entreprise.entreprise_attestations WHERE siren = '000003103' AND type = 'conformite_cotisations_msa';
SELECT siren, siret, type, statut, motif, code_fournisseur FROM entreprise.entreprise_attestations WHERE siren = '000003087' AND type = 'conformite_cotisations_msa';
SELECT siren, siret, type, statut, motif, code_fournisseur FROM entreprise.entreprise_attestations WHERE siren = '000003053' AND type = 'conformite_cotisations_msa';
\! $sent
-- both given: the SIRET is the key, the SIREN is checked
SELECT siret, siren, type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND siren = '000003012' AND type = 'conformite_cotisations_msa';
SELECT siret, siren, type FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND siren = '000003020' AND type = 'conformite_cotisations_msa';
\! $sent

-- ====================================================================
-- The same rows when the sources are not chosen
-- ====================================================================
SELECT * FROM proof($$SELECT siret, type, statut, motif FROM entreprise.entreprise_attestations WHERE siret IN ('00000302000013', '00000304600018') AND categorie = 'regularite'$$);
SELECT * FROM proof($$SELECT siret, type, statut, motif FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND type IN ('certification_rge', 'attestation_fiscale')$$);
SELECT * FROM proof($$SELECT d.siret, a.type, a.statut FROM (VALUES ('00000301200010', 'attestation_vigilance'), ('00000302000013', NULL)) AS d (siret, piece)
	LEFT JOIN entreprise.entreprise_attestations AS a ON a.siret = d.siret AND a.type = d.piece$$);

-- ====================================================================
-- A token without a source's scope: its row says so, without request
-- ====================================================================
\! $sent count
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token :'entreprise_peu');
SELECT statut, a_jour, motif, count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' GROUP BY 1, 2, 3 ORDER BY 1, 3;
\! $sent
SELECT siret, siren, type, motif FROM entreprise.entreprise_attestations WHERE siret IN ('00000301200010', '00000302000013') AND type = 'attestation_vigilance' ORDER BY 1;
SELECT siret, siren, type, motif FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND type IN ('attestation_vigilance', 'certification_rge') ORDER BY type;
\! $sent
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token :'entreprise_sans_scope');
SELECT motif, count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' GROUP BY 1;
\! $sent
-- not a JWT: the API tells the scopes, asked once per transaction
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token :'entreprise_opaque');
SELECT statut, motif, count(DISTINCT type) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' GROUP BY 1, 2 ORDER BY 1, 2;
\! $sent
SELECT statut, motif FROM entreprise.entreprise_attestations WHERE siret = '00000302000013' AND type = 'attestation_vigilance';
\! $sent
-- a table of one source: the API's refusal is an error
\set VERBOSITY terse
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010'; -- ERROR
\! $sent
