\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- A parameter that is a key is sent, in custom and in generic plans
-- ====================================================================
PREPARE par_siret (text) AS SELECT array_agg(id ORDER BY id) FROM marche_inclusion.structures WHERE siret = $1;
SET plan_cache_mode = auto;
EXECUTE par_siret ('00000301200010');
EXECUTE par_siret ('00000301200028');
EXECUTE par_siret ('00000301200036');
EXECUTE par_siret ('00000302000013');
EXECUTE par_siret ('00000303800015');
EXECUTE par_siret ('00000304600018');
EXECUTE par_siret ('00000305300014');
EXECUTE par_siret ('00000306100017');
\! $sent
EXECUTE par_siret (NULL);
EXECUTE par_siret ('');
\! $sent
SET plan_cache_mode = force_generic_plan;
EXECUTE par_siret ('00000301200010');
EXECUTE par_siret ('00000302000013');
EXECUTE par_siret (NULL);
EXECUTE par_siret ('1');
PREPARE par_siren (text) AS SELECT id FROM marche_inclusion.structures WHERE siren = $1;
SELECT plan('EXECUTE par_siren (''000003012'')');
\! $sent
SET plan_cache_mode = force_custom_plan;
EXECUTE par_siret ('00000301200010');
\! $sent

-- ====================================================================
-- An array parameter: a request per value, whatever the plan
-- ====================================================================
PREPARE par_sirets (text[]) AS SELECT array_agg(id ORDER BY id) FROM marche_inclusion.structures WHERE siret = ANY ($1);
SET plan_cache_mode = auto;
EXECUTE par_sirets ('{00000301200010, 00000302000013}');
EXECUTE par_sirets ('{00000301200010}');
EXECUTE par_sirets ('{}');
EXECUTE par_sirets (NULL);
EXECUTE par_sirets ('{NULL, 1, 00000301200010}');
EXECUTE par_sirets ('{00000301200010, 00000301200010}');
EXECUTE par_sirets ('{00000303800015, 00000304600018, 00000305300014}');
\! $sent
SET plan_cache_mode = force_generic_plan;
EXECUTE par_sirets ('{00000301200010, 00000302000013}');
EXECUTE par_sirets ('{}');
EXECUTE par_sirets (NULL);
EXECUTE par_sirets ('{NULL, 00000301200010}');
\! $sent

-- ====================================================================
-- Parameters of the list: the values decide at execution what is sent
-- ====================================================================
-- said to be so large that any filter is worth its requests, even when its values are not known
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000');
PREPARE par_filtre (text, text[], timestamptz, boolean) AS
SELECT (SELECT count(*) FROM marche_inclusion.structures
        WHERE kind = $1 AND department = ANY ($2) AND updated_at >= $3 AND is_active = $4)
     - (SELECT count(*) FROM copie WHERE kind = $1 AND department = ANY ($2) AND updated_at >= $3 AND is_active = $4);
SET plan_cache_mode = force_generic_plan;
EXECUTE par_filtre ('EI', '{35, 29}', '2026-07-01 00:00+00', true);
\! $sent
EXECUTE par_filtre ('XX', '{35}', '2026-07-01 00:00+00', false);
\! $sent
EXECUTE par_filtre ('EI', '{35, ""}', '-infinity', true);
\! $sent
EXECUTE par_filtre (NULL, '{35}', '2026-07-01 00:00+00', true);
\! $sent
SET plan_cache_mode = force_custom_plan;
EXECUTE par_filtre ('EI', '{35, 29}', '2026-07-01 00:00+00', true);
\! $sent

-- ====================================================================
-- A generic plan takes another route when the value is for another one
-- ====================================================================
SET plan_cache_mode = force_generic_plan;
PREPARE par_id (text) AS SELECT id, source FROM data_inclusion.structures WHERE id = $1;
EXECUTE par_id ('dora--ateliers-du-phare-1');
\! $sent
EXECUTE par_id ('dora--a/b');
\! $sent
PREPARE territoire (text, text) AS SELECT code_territoire, code_region FROM marche_travail.marche_travail_tensions
WHERE code_type_territoire = $1 AND code_region = $2 AND code_indicateur = 'PERSPECTIVE' AND derniere_periode ORDER BY code_territoire;
EXECUTE territoire ('REG', '53');
\! $sent
EXECUTE territoire ('DEP', '53');
\! $sent

-- ====================================================================
-- Never a generic plan that drops the key
-- ====================================================================
PREPARE attestation (text, text) AS SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = $1 AND type = $2;
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
SET plan_cache_mode = auto;
EXECUTE attestation ('00000301200010', 'attestation_vigilance');
EXECUTE attestation ('00000301200010', 'attestation_fiscale');
EXECUTE attestation ('00000301200010', 'conformite_cotisations_msa');
EXECUTE attestation ('00000301200010', 'certification_qualibat');
EXECUTE attestation ('00000301200010', 'certification_opqibi');
EXECUTE attestation ('00000301200010', 'carte_professionnelle_fntp');
EXECUTE attestation ('00000301200010', 'attestation_vigilance');
EXECUTE attestation ('00000302000013', 'attestation_vigilance');
EXECUTE attestation (NULL, 'attestation_vigilance');
EXECUTE attestation ('00000301200010', NULL);
EXECUTE attestation ('00000301200010', 'autre');
\! $sent
SET plan_cache_mode = force_generic_plan;
EXECUTE attestation ('00000301200010', 'attestation_vigilance');
\! $sent
PREPARE types (text[]) AS SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = ANY ($1) ORDER BY type;
EXECUTE types ('{attestation_vigilance, attestation_fiscale}');
\! $sent

-- ====================================================================
-- A plan sees a changed definition of the table and a changed mapping
-- ====================================================================
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD derived 'off');
PREPARE region (text) AS SELECT count(*) > 0 FROM marche_inclusion.structures WHERE region = $1;
EXECUTE region ('Corse');
\! $sent
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (SET derived 'on');
EXECUTE region ('Corse');
\! $sent
ALTER USER MAPPING FOR CURRENT_USER SERVER marche_inclusion OPTIONS (SET token 'faux');
\set VERBOSITY terse
EXECUTE region ('Corse'); -- ERROR
\set VERBOSITY default
ALTER USER MAPPING FOR CURRENT_USER SERVER marche_inclusion OPTIONS (SET token :'marche_inclusion');
EXECUTE region ('Corse');
