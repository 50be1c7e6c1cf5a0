\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- ====================================================================
-- Without a purpose: an error before any request, that says what lacks
-- ====================================================================
SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance'; -- ERROR
SET apigouv_fdw.context = 'Marchés publics';
SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance'; -- ERROR
SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010'; -- ERROR
SELECT state FROM failure($$SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010'$$);
\! $sent
-- APIs that demand none need none
SELECT id FROM marche_inclusion.structures WHERE id = 1001;
\! $sent purpose

-- ====================================================================
-- The settings, and the server's recipient, go with every request
-- ====================================================================
SET apigouv_fdw.object = 'Dossier 2026-017 & suites';
SELECT siret, statut, objet, contexte, destinataire FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance';
\! $sent purpose
-- the setting of a recipient wins over the server's, which is only its default
SET apigouv_fdw.recipient = '35600000012345';
SELECT siren, destinataire FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010';
\! $sent purpose
RESET apigouv_fdw.recipient;
ALTER SERVER entreprise OPTIONS (DROP recipient);
SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010'; -- ERROR
\! $sent
SET apigouv_fdw.recipient = '00000900100017';
SELECT siren, destinataire FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010';
RESET apigouv_fdw.recipient;
ALTER SERVER entreprise OPTIONS (ADD recipient '00000900100017');
\! $sent count

-- ====================================================================
-- Key columns objet and contexte win over the settings
-- ====================================================================
SELECT objet, contexte, statut FROM entreprise.entreprise_attestations
WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND objet = 'Dossier 42' AND contexte = 'Subventions';
\! $sent purpose
SELECT objet, statut FROM entreprise.entreprise_attestations
WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND objet IN ('Dossier 1', 'Dossier 2') ORDER BY objet;
\! $sent purpose
-- each row of a join carries its own file number
SELECT d.siret, a.objet, a.statut FROM (VALUES ('00000301200010', 'Lot 1'), ('00000301200010', 'Lot 2'), ('00000302000013', 'Lot 1'), ('00000302000013', NULL)) AS d (siret, dossier)
	JOIN entreprise.entreprise_attestations AS a ON a.siret = d.siret AND a.objet = d.dossier
WHERE a.type = 'attestation_vigilance' ORDER BY 1, 2;
\! $sent purpose
-- with them no setting is needed
RESET apigouv_fdw.object;
RESET apigouv_fdw.context;
SELECT d.dossier, a.contexte, a.statut FROM (VALUES ('00000301200010', 'Lot 1')) AS d (siret, dossier)
	JOIN entreprise.entreprise_attestations AS a ON a.siret = d.siret AND a.objet = d.dossier AND a.contexte = 'Marché ' || d.dossier
WHERE a.type = 'attestation_vigilance';
\! $sent purpose
-- an empty text or null is no purpose: no row, and nothing sent
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND objet = NULL AND contexte = 'x';
\! $sent
-- so are blanks of any kind; among others, the others are sent
SELECT d.dossier, a.objet FROM (VALUES (''), ('  '), (E'\t\n'), (U&'\00a0\2003'), (U&'\200b'), (NULL), ('Lot 3')) AS d (dossier)
	JOIN entreprise.entreprise_attestations AS a ON a.objet = d.dossier
WHERE a.siret = '00000301200010' AND a.type = 'attestation_vigilance' AND a.contexte = 'x';
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND objet IN ('', ' ', U&'\3000') AND contexte = 'x';
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance' AND objet = 'x' AND contexte = '  ';
\! $sent purpose
-- nor is a setting that shows nothing a purpose
SET apigouv_fdw.context = 'Marchés publics';
SELECT state FROM unnest(ARRAY['', '  ', E'\t\r\n', U&'\00a0', U&'\2003\feff', U&'\0085\3000']) AS texte, set_config('apigouv_fdw.object', texte, false),
	LATERAL failure($$SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010'$$) OFFSET 0;
SET apigouv_fdw.context = ' ';
SET apigouv_fdw.object = 'x';
SELECT state FROM failure($$SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010'$$);
RESET apigouv_fdw.object;
PREPARE sans (text) AS SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010' AND objet = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE sans (NULL);
EXECUTE sans ('');
RESET plan_cache_mode;
\! $sent
-- they are sent whatever enable_pushdown says: they are keys
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.enable_pushdown = off;
SELECT siren, objet FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND objet = 'Dossier 43';
RESET apigouv_fdw.enable_pushdown;
\! $sent purpose

-- ====================================================================
-- A reply is kept by purpose: another one asks again
-- ====================================================================
BEGIN;
SET LOCAL apigouv_fdw.object = 'Un';
SELECT statut, objet FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance';
SELECT statut, objet FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance';
SET LOCAL apigouv_fdw.object = 'Deux';
SELECT statut, objet FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'attestation_vigilance';
COMMIT;
\! $sent purpose
-- a prepared statement takes the setting of the moment
SET plan_cache_mode = force_generic_plan;
PREPARE vigilance (text) AS SELECT objet FROM entreprise.entreprise_attestations WHERE siret = $1 AND type = 'attestation_vigilance';
SET apigouv_fdw.object = 'Trois';
EXECUTE vigilance ('00000301200010');
SET apigouv_fdw.object = 'Quatre';
EXECUTE vigilance ('00000301200010');
\! $sent purpose
RESET plan_cache_mode;

-- ====================================================================
-- The recipient as a condition: for roles that may set the recipient
-- ====================================================================
SELECT siren, destinataire FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND destinataire = '35600000012345';
\! $sent purpose
CREATE ROLE regress_apigouv_agent;
GRANT USAGE ON SCHEMA entreprise TO regress_apigouv_agent;
GRANT SELECT ON ALL TABLES IN SCHEMA entreprise TO regress_apigouv_agent;
CREATE USER MAPPING FOR regress_apigouv_agent SERVER entreprise OPTIONS (token :'entreprise');
SET ROLE regress_apigouv_agent;
SELECT siren, destinataire FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010';
SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND destinataire = '35600000012345'; -- ERROR
-- naming the one that is set is no choice
SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND destinataire = '00000900100017';
RESET ROLE;
\! $sent purpose
GRANT SET ON PARAMETER apigouv_fdw.recipient TO regress_apigouv_agent;
SET ROLE regress_apigouv_agent;
SET apigouv_fdw.recipient = '35600000012345';
RESET apigouv_fdw.recipient;
SELECT siren, destinataire FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND destinataire = '35600000012345';
RESET ROLE;
-- a malformed recipient is no row, and nothing is sent
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' AND destinataire = '35600000112345';
\! $sent purpose
REVOKE ALL ON PARAMETER apigouv_fdw.recipient FROM regress_apigouv_agent;
DROP OWNED BY regress_apigouv_agent;
DROP ROLE regress_apigouv_agent;
