\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
\setenv vu '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"statut": "vu", "resultat": "vu"}}}]'

-- ====================================================================
-- EXPLAIN shows no value that is compared with personal data, wherever it comes from
-- ====================================================================
PREPARE fiche (text, text[], date, text) AS SELECT statut FROM personnes.fiches
WHERE nom_naissance = $1 AND prenoms = $2 AND date_naissance = $3 AND statut <> $4 AND depuis IS NULL;
SET plan_cache_mode = force_custom_plan;
SELECT plan($$EXECUTE fiche ('Lefèvre', '{Zoé}', '2001-02-03', 'inconnu')$$, 'COSTS OFF');
SELECT plan($$EXECUTE fiche ('Lefèvre', '{Zoé}', '2001-02-03', 'inconnu')$$);
SET plan_cache_mode = force_generic_plan;
SELECT plan($$EXECUTE fiche ('Lefèvre', '{Zoé}', '2001-02-03', 'inconnu')$$);
-- whatever the form, the format and the kind of plan
CREATE TEMP TABLE registre (nom text, prenoms text[], ne_le date);
INSERT INTO registre VALUES ('Lefèvre', '{Zoé}', '2001-02-03');
ANALYZE registre;
CREATE FUNCTION pg_temp.dit(query text, OUT plans int, OUT values_shown int) LANGUAGE plpgsql AS $$
DECLARE
	mode text;
	options text;
	line text;
BEGIN
	plans := 0;
	values_shown := 0;
	FOREACH mode IN ARRAY '{force_custom_plan,force_generic_plan}'::text[] LOOP
		FOREACH options IN ARRAY '{"FORMAT text","VERBOSE","FORMAT json, VERBOSE","FORMAT xml, VERBOSE","FORMAT yaml, VERBOSE","ANALYZE, VERBOSE","ANALYZE, FORMAT json, VERBOSE, BUFFERS, SETTINGS"}'::text[] LOOP
			PERFORM set_config('plan_cache_mode', mode, true);
			plans := plans + 1;
			FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP
				values_shown := values_shown + (line ~* 'lef|zo|2001|inconnu')::int;
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;
\! $stub faults "$vu"
SELECT * FROM pg_temp.dit($$EXECUTE fiche ('Lefèvre', '{Zoé}', '2001-02-03', 'inconnu')$$);
SELECT * FROM pg_temp.dit($$SELECT statut FROM personnes.fiches AS f WHERE nom_naissance IN ('Lefèvre', 'Lefort') AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03'$$);
SELECT * FROM pg_temp.dit($$SELECT statut FROM personnes.fiches AS f WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND (statut ~ 'inconnu' OR upper(nom_naissance) LIKE 'LEF%')$$);
SELECT * FROM pg_temp.dit($$SELECT statut FROM registre AS r JOIN personnes.fiches AS f ON f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le AND f.statut <> 'inconnu'$$);
RESET plan_cache_mode;
\! $sent count
-- elsewhere values are shown as before
SELECT plan('SELECT resultat FROM personnes.saisies WHERE grand = 7 AND resultat <> ''x''');

-- ====================================================================
-- The conditions hold all the same
-- ====================================================================
\! $stub faults "$vu"
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND statut = 'vu';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND statut <> 'vu';
SELECT nom_naissance FROM personnes.fiches WHERE nom_naissance IN ('Lefèvre', 'Lefort', 'Leduc') AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND nom_naissance ~ 't$';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND tableoid = 'personnes.fiches'::regclass;
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND tableoid = 'pg_class'::regclass;
SELECT count(*) FROM personnes.fiches AS f WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03'
	AND EXISTS (SELECT FROM registre AS r WHERE r.nom = f.nom_naissance AND r.prenoms = f.prenoms) AND statut IN (SELECT 'vu' FROM registre);
SELECT r.nom, f.statut FROM registre AS r LEFT JOIN personnes.fiches AS f ON f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le AND f.statut = 'autre';
-- under a row lock
BEGIN;
SELECT r.nom, f.statut FROM registre AS r JOIN personnes.fiches AS f ON f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le FOR UPDATE OF r;
COMMIT;
-- the row of a failed key names its key
SET apigouv_fdw.on_failure = 'row';
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 500, "body": ""}]'
SELECT nom_naissance, prenoms, statut, erreur FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
RESET apigouv_fdw.on_failure;
\! $sent count

-- ====================================================================
-- What the token may not see is absent: null, whatever the type
-- ====================================================================
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {}}}]'
SELECT statut, quotient, echelon, dossier, montant, taux, est_boursier, depuis, calcule_le, enfants, enfants_prenoms, rangs, identite_prenoms, reponse
FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"bourse": null, "identite": {"etat_civil": null}, "enfants": [], "quotient": {}}}}]'
SELECT statut, quotient, echelon, dossier, montant, taux, est_boursier, depuis, calcule_le, enfants, enfants_prenoms, rangs, identite_prenoms
FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"statut": "s", "quotient": {"valeur": 1}, "bourse": {"echelon": 2, "dossier": 3, "montant": 4.50, "taux": 0.5, "est_boursier": false, "depuis": "2020-01-02", "calcule_le": "2020-01-02T03:04:05Z", "rangs": [1, null]}, "enfants": [{"prenom": "A"}, {}], "identite": {"etat_civil": {"prenoms": ["B", "C"]}}}}}]'
SELECT statut, quotient, echelon, dossier, montant, taux, est_boursier, depuis, calcule_le AT TIME ZONE 'UTC', enfants, enfants_prenoms, rangs, identite_prenoms
FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
-- "nobody" is no row; several persons are an error
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "status": 404, "body": {"errors": [{"code": "35003", "title": "Dossier allocataire inexistant"}]}}, {"api": "entreprise", "path": "/v3/*", "status": 409, "body": {"errors": [{"code": "26015", "title": "Plusieurs personnes"}]}}]'
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
SELECT state, message, detail FROM failure($$SELECT statut FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03'$$);
\! $sent count

-- ====================================================================
-- No message tells a value of a reply
-- ====================================================================
\set VERBOSITY verbose
\set SHOW_CONTEXT always
CREATE FUNCTION pg_temp.bavarde(column_name text, OUT state text, OUT message text, OUT detail text, OUT context text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$SELECT %I FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03'$q$, column_name);
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
	context := split_part(context, E'\n', 1);
END
$$;
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"statut": "Ma\u0000rie", "quotient": {"valeur": "Marie"}, "bourse": {"echelon": 123456, "dossier": "12 rue", "montant": "Marie", "taux": "Marie", "est_boursier": "Marie", "depuis": "3 mai 1970", "calcule_le": "3 mai 1970", "rangs": ["Marie"]}, "enfants": "Marie", "identite": {"etat_civil": {"prenoms": "{Marie"}}}}}]'
SELECT c, b.* FROM unnest('{statut,quotient,echelon,dossier,montant,taux,est_boursier,depuis,calcule_le,rangs,identite_prenoms,enfants_prenoms}'::text[]) AS c, pg_temp.bavarde(c) AS b;
\! $sent count
-- of an error, nothing that repeats what was asked, nor what came without a code
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Le nom est refusé"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Le nom Lefèvre est refusé"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "prenoms[]=zo%C3%A9 refusé"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Mme LEFÈVRE est refusée"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Mme LEFEVRE est refusée"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Mme (Zoe) est refusée"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 422, "body": {"errors": [{"code": "00420", "title": "Mme Lefèvres est refusée"}]}}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 400, "headers": {"Content-Type": "text/plain"}, "body": "Bad request /v3/fiche/identite?nomNaissance=Lef"}, {"api": "entreprise", "path": "/v3/*", "times": 1, "status": 400, "body": {"errors": [{"title": "Madame Lef..."}]}}]'
SELECT regexp_replace(detail, ' X-Request-Id.*', '') FROM generate_series(1, 9) AS i, LATERAL pg_temp.bavarde(CASE WHEN i > 0 THEN 'statut' END) AS b;
-- the same key has the same hash, which is not that of another, nor one that anybody could compute
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 500, "body": ""}]'
CREATE TEMP TABLE contextes AS SELECT i, b.context FROM generate_series(1, 2) AS i, LATERAL pg_temp.bavarde(CASE WHEN i > 0 THEN 'statut' END) AS b;
SELECT count(DISTINCT context), bool_and(context ~ '^foreign table "fiches", key with hash [0-9a-f]{16}$') FROM contextes;
DO $$
DECLARE
	context text;
BEGIN
	PERFORM statut FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-04';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
	INSERT INTO contextes VALUES (3, split_part(context, E'\n', 1));
END
$$;
SELECT count(DISTINCT context) FROM contextes;
SELECT count(*) FROM contextes, (VALUES ('Lefèvre'), ('LefèvreZoé20010203'), ('Lefèvre Zoé 2001-02-03')) AS v (t) WHERE context ~ left(encode(sha256(convert_to(t, 'UTF8')), 'hex'), 16);
\! $sent count
\set VERBOSITY default

-- ====================================================================
-- Personal data are never kept
-- ====================================================================
\! $stub faults "$vu"
ALTER SERVER personnes OPTIONS (ADD cache_ttl_s '60');
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03';
\! $sent count
ALTER FOREIGN TABLE personnes.fiches OPTIONS (ADD cache_ttl_s '60');
SELECT * FROM failure('SELECT statut FROM personnes.fiches WHERE nom_naissance = ''Lefèvre''');
\i test/fixtures/regress_definitions_end.sql
