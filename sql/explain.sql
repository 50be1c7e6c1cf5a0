\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- EXPLAIN alone names the route; VERBOSE shows the request and what is sent
-- ====================================================================
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret = '00000301200010'$$, 'COSTS OFF');
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret = '00000301200010'$$);
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE kind = 'EI' AND is_active AND name LIKE 'A%'$$);
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE region = 'Bretagne' AND presta_types @> '{BUILD}' AND updated_at > '2026-01-01 00:00+00'$$);
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret LIKE '00000301200%'$$);
SELECT plan($$SELECT id FROM marche_inclusion.structures$$);
SELECT plan($$SELECT id FROM data_inclusion.services WHERE recherche_public = 'jeunes' AND code_region = '53' AND score_qualite > 0.5$$);
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013', '00000302000013')$$);

-- ====================================================================
-- Unions: the sources that remain; the head office from a SIREN
-- ====================================================================
SELECT plan($$SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND categorie = 'certification'$$);
SELECT plan($$SELECT statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'MSA') AND objet = 'Lot 1'$$);
-- none: no request
SELECT plan($$SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' AND type = 'autre'$$);

-- ====================================================================
-- Limits impose a least duration; ten values stand for those that are not known yet
-- ====================================================================
ALTER SERVER entreprise OPTIONS (SET limits 'attestation_fiscale=5/60s');
SET outils.sirets = '1 2 3';
SELECT plan($$SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret = ANY (string_to_array(current_setting('outils.sirets'), ' '))$$);
SELECT plan($$SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siren IN ('000003012', '000003020', '000003038', '000003046', '000003053', '000003061', '000003079', '000003087', '000003095', '000003103', '000003111')$$);
ALTER SERVER entreprise OPTIONS (SET limits 'json=10000/1s, documents=10000/1s, urssaf=10000/1s, ip=10000/1s');

-- ====================================================================
-- A key that lacks; a join that feeds it (the filter's two sides depend on the version)
-- ====================================================================
SELECT plan($$SELECT siren FROM entreprise.entreprise_attestation_fiscale$$);
CREATE TEMP TABLE registre (siret text);
INSERT INTO registre VALUES ('00000301200010'), ('00000302000013'), ('00000301200010');
ANALYZE registre;
SET enable_memoize = off;
SELECT regexp_replace(plan, 'pg_temp_\d+', 'pg_temp') FROM plan($$SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret$$) AS plan
WHERE plan !~ 'Filter';
RESET enable_memoize;

-- ====================================================================
-- EXPLAIN asks nothing; ANALYZE adds what was done
-- ====================================================================
\! $sent all
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013', '1')$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013')$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;
\! $stub faults '[{"api": "marche_inclusion", "path": "/api/siae/1001/", "status": 503, "times": 1, "headers": {"Retry-After": "0"}}]'
SELECT plan($$SELECT id FROM marche_inclusion.structures WHERE id = 1001$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
SELECT plan($$SELECT id FROM marche_inclusion.structures LIMIT 2$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
\! $sent

-- ====================================================================
-- JSON, for tools
-- ====================================================================
CREATE FUNCTION outils.plan_json(query text, options text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (%s, FORMAT JSON) %s', options, query) INTO plan;
	RETURN (SELECT jsonb_object_agg(key, CASE WHEN key = 'Bytes' THEN '"N"'::jsonb ELSE value END) FROM jsonb_each(plan::jsonb -> 0 -> 'Plan')
		WHERE key !~ '^(Actual|Output|Parallel|Async|Plan|Startup|Total|Disabled|Rows|Alias|Schema|Shared|Local|Temp|WAL|I/O|Buffers)');
END
$$;
SELECT jsonb_pretty(plan_json($$SELECT id FROM marche_inclusion.structures WHERE region = 'Corse' AND kind = 'EI'$$, 'VERBOSE, COSTS OFF'));
SELECT jsonb_pretty(plan_json($$SELECT statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'MSA')$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF'));
-- no token in any of it
SELECT bool_or(plan LIKE '%' || :'entreprise' || '%' OR plan LIKE '%Bearer%') FROM plan($$SELECT * FROM entreprise.entreprise_attestations WHERE siret = '00000301200010'$$, 'ANALYZE, VERBOSE') AS plan;
