\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset null '-'

-- ====================================================================
-- A key column holds what was asked, or what the reply tells in its place
-- ====================================================================
-- each row has both numbers of the association, whichever was asked
SELECT DISTINCT siren, rna, siren_retourne FROM entreprise.entreprise_association_etablissements
WHERE siren = '000005017' ORDER BY 1, 2, 3;
SELECT DISTINCT siren, rna FROM entreprise.entreprise_association_documents_dac WHERE siren = '000005017';
-- the reply names its establishment, and a subsidiary is not the company
SELECT siret, siret_retourne, siren FROM entreprise.entreprise_certification_qualiopi WHERE siret = '00000301200010';
SELECT siren, siren_filiale, annee FROM entreprise.entreprise_liens_capitalistiques_filiales
WHERE siren = '000005017' AND annee = 2024 ORDER BY siren_filiale;

-- ====================================================================
-- Codes are texts of their full length
-- ====================================================================
SELECT numero_idcc, code_idcc FROM entreprise.entreprise_conventions_collectives WHERE siret = '00009101700020' ORDER BY 1;

-- ====================================================================
-- An input that the API would take is sent, another one is told
-- ====================================================================
SELECT plan($$SELECT value FROM entreprise.entreprise_effectifs_mensuels
WHERE siret = '00000501700017' AND annee = 2025 AND mois = '03' AND profondeur = 13$$);
SELECT value FROM entreprise.entreprise_effectifs_mensuels
WHERE siret = '00000501700017' AND annee = 2025 AND mois = '03' AND profondeur = 14; -- ERROR
