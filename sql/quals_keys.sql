\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- A key without a value is no row and no request
-- ====================================================================
SELECT essai($$siret = NULL$$);
SELECT essai($$siret = (SELECT NULL::text)$$);
SELECT essai($$siret = ANY (NULL::text[])$$);
SELECT essai($$siret = ANY ('{NULL}')$$);
SELECT essai($$siret IN (NULL, '00000301200010')$$);
\! $sent

-- ====================================================================
-- Malformed keys are not sent: one warning per statement, with their count
-- ====================================================================
SELECT essai($$siret = ''$$);
SELECT essai($$siret = '0000030120001'$$);
SELECT essai($$siret = '00000301200010 '$$);
SELECT essai($$siret = ' 00000301200010'$$);
SELECT essai($$siret = '000003012000100'$$);
SELECT essai($$siret = '0000030120001/'$$);
SELECT essai($$id = -1$$);
SELECT essai($$siret IN ('', '1', '123', '00000301200010', '00000302000013')$$);
\! $sent
-- a SIRET is 14 characters here: the API does not look at its checksum
SELECT essai($$siret = '00000301200011'$$);
SELECT essai($$siret = '0000030120001é'$$);
\! $sent

-- ====================================================================
-- Keys are texts: case, blanks, signs of the address
-- ====================================================================
SELECT essai($$slug = 'Ateliers-du-phare-35-1001'$$);
SELECT essai($$slug = 'ateliers-du-phare-35-1001 '$$);
SELECT essai($$slug = 'ateliers-du-phare-35-1001?kind=EA#x'$$);
SELECT essai($$slug = '100%&é "'$$);
\! $sent
-- a slash would be another address
SELECT essai($$slug = 'a/b'$$);
SELECT essai($$slug = '..'$$);
SELECT essai($$slug = '.'$$);
SELECT essai($$slug = ''$$);
\! $sent
-- a line end stays within the value
SELECT essai($$slug = E'a\r\nX-Header: 1'$$);
SELECT essai($$slug = E'a\nb'$$);
\! $sent

-- ====================================================================
-- Where the API checks a checksum, so do we: nothing is spent
-- ====================================================================
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200011';
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003013';
SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siren IN ('000003013', '00000301', '000003012', NULL, '000 003 012');
\! $sent
-- La Poste's SIRETs are right without checksum
SELECT count(*) FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret IN ('35600000012345', '35600000012346');
\! $sent
-- in a union one warning too, counting a key once
SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret IN ('00000301200011', '1') AND categorie = 'regularite';
\! $sent
-- from a join, rows without a usable key: one warning for the statement
SELECT r.n, a.statut FROM (VALUES (1, '00000301200010'), (2, '1'), (3, '2'), (4, NULL), (5, '')) AS r (n, siret)
     LEFT JOIN entreprise.entreprise_attestations AS a ON a.siret = r.siret AND a.type = 'attestation_vigilance'
ORDER BY n;
\! $sent

-- ====================================================================
-- Filters: what the API would refuse or read otherwise is checked here
-- ====================================================================
SELECT essai($$kind = 'XX'$$);
\! $sent
SELECT essai($$kind IN ('EA', 'XX')$$);
\! $sent
SELECT essai($$department = ' 35 '$$);
\! $sent
SELECT essai($$department = '' AND kind = 'EA'$$);
\! $sent
SELECT essai($$department = '2a'$$);
\! $sent
SELECT essai($$department = '99'$$);
\! $sent
SELECT essai($$department IN ('35', '', '29')$$);
\! $sent

SET apigouv_fdw.enable_pushdown = off;
SET client_min_messages = error;
SELECT count(*), essai(condition) ~ 'right' AS right FROM outils.conditions GROUP BY 2;

-- ====================================================================
-- A key of several segments: its slashes part the path
-- ====================================================================
RESET apigouv_fdw.enable_pushdown;
RESET client_min_messages;
\! $sent count > /dev/null
\! $stub faults '[{"api": "entreprise", "path": "/ping/port/bac_3", "status": 502, "body": {"status": "bad_gateway"}}]'
SELECT fournisseur, status FROM entreprise.entreprise_ping WHERE fournisseur = 'port/bac_3';
-- what is not segments is no request
SELECT fournisseur, status FROM entreprise.entreprise_ping
WHERE fournisseur IN ('port/', '/port', 'port//bac', '../privileges', 'port/%2e%2e', 'port?x', 'port/marées');
\! $sent
