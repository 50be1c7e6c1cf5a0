\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
\setenv vu '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"statut": "vu", "resultat": "vu"}}}]'

-- ====================================================================
-- An array that is a key goes whole: in order, with its repetitions, and comes back
-- ====================================================================
\! $stub faults "$vu"
SELECT nom_naissance, prenoms, date_naissance, statut FROM personnes.fiches
WHERE nom_naissance = 'Lefèvre' AND prenoms = ARRAY['Zoé', 'Anne-Lise', 'Zoé'] AND date_naissance = '2001-02-03';
\! $sent
\! $stub faults "$vu"
SELECT prenoms FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne-Lise,Zoé}' AND date_naissance = '2001-02-03';
-- bounds are part of an array's value
SELECT prenoms FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '[0:1]={Ève,D''Arc}' AND date_naissance = '2001-02-03';
SELECT prenoms FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND ARRAY['Ève'] = prenoms AND date_naissance = '2001-02-03';
\! $sent
-- parameters, in custom and generic plans
PREPARE fiche (text, text[], date) AS SELECT nom_naissance, prenoms, date_naissance FROM personnes.fiches
WHERE nom_naissance = $1 AND prenoms = $2 AND date_naissance = $3;
SET plan_cache_mode = force_custom_plan;
\! $stub faults "$vu"
EXECUTE fiche ('Lefèvre', '{Zoé,Anne}', '2001-02-03');
SET plan_cache_mode = force_generic_plan;
EXECUTE fiche ('Lefèvre', '{Anne,Zoé}', '2001-02-03');
EXECUTE fiche ('Lefèvre', NULL, '2001-02-03');
RESET plan_cache_mode;
\! $sent
-- a join gives it, row by row
CREATE TEMP TABLE registre (n int, nom text, prenoms text[], ne_le date);
INSERT INTO registre VALUES (1, 'Lefèvre', '{Zoé,Anne}', '2001-02-03'), (2, 'Le Goff', '{Anne}', '1999-12-31'), (3, 'Lefèvre', '{Anne,Zoé}', '2001-02-03'),
	(4, 'Le Goff', '{}', '1999-12-31'), (5, 'Le Goff', NULL, '1999-12-31'), (6, 'Le Goff', '{Anne,NULL}', '1999-12-31'), (7, 'Le Goff', '{{Anne},{Zoé}}', '1999-12-31'),
	(8, 'Le Goff', '{An0ne}', '1999-12-31'), (9, 'Le Goff', '{A,B,C,D}', '1999-12-31'), (10, 'Le Goff', '{"A&nom=B"}', '1999-12-31'), (11, 'Le Goff', '{Anne}', 'infinity'),
	(12, 'Le Goff', '{Anne}', '0044-03-15 BC'), (13, 'Le Goff', '{Anne}', '1899-12-31');
ANALYZE registre;
\! $stub faults "$vu"
SELECT r.n, f.prenoms, f.date_naissance, f.statut FROM registre AS r JOIN personnes.fiches AS f
	ON f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le ORDER BY 1;
\! $sent
-- the same arrays one by one: no request, a warning
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '{}' AND date_naissance = '2001-02-03';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne,NULL}' AND date_naissance = '2001-02-03';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = ARRAY[ARRAY['Anne']] AND date_naissance = '2001-02-03';
SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '{"",Anne}' AND date_naissance = '2001-02-03';
\! $sent
-- what is no equality with the array feeds nothing
SELECT state, message FROM failure($$SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms @> '{Anne}' AND date_naissance = '2001-02-03'$$);
SELECT state, message FROM failure($$SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND 'Anne' = ANY (prenoms) AND date_naissance = '2001-02-03'$$);
SELECT state, message FROM failure($$SELECT count(*) FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms IN ('{Anne}', '{Zoé}') AND date_naissance = '2001-02-03'$$);
\! $sent

-- ====================================================================
-- One date feeds three parameters, or three columns do; several dates keep together
-- ====================================================================
\! $stub faults "$vu"
SELECT date_naissance, statut FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND date_naissance IN ('2001-02-03', '1999-12-31', '2001-12-03') ORDER BY 1;
\! $sent
-- as many as one likes
SET apigouv_fdw.max_requests_per_query = 100;
SELECT f.message, f.detail FROM failure($$SELECT statut FROM personnes.fiches WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}'
	AND date_naissance = ANY (ARRAY(SELECT '1950-01-01'::date + n FROM generate_series(1, 3000) AS n))$$) AS f;
RESET apigouv_fdw.max_requests_per_query;
\! $stub faults "$vu"
SELECT annee_date_naissance, mois_date_naissance, jour_date_naissance, date_naissance FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND annee_date_naissance = 2001 AND mois_date_naissance IN (2, 13, 11) AND jour_date_naissance = 3 ORDER BY 2;
\! $sent

-- ====================================================================
-- Groups of keys: by a code, or by a name and a department, or neither; not both
-- ====================================================================
\! $stub faults "$vu"
SELECT code_commune_naissance, nom_commune_naissance FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND date_naissance = '2001-02-03' AND code_commune_naissance = '2A004';
SELECT code_commune_naissance, nom_commune_naissance FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND date_naissance = '2001-02-03' AND nom_commune_naissance = 'Ajaccio' AND code_departement_naissance = '2A';
SELECT state, message, hint FROM failure($$SELECT count(*) FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND date_naissance = '2001-02-03' AND nom_commune_naissance = 'Ajaccio'$$);
SELECT state, message, hint FROM failure($$SELECT count(*) FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}' AND date_naissance = '2001-02-03' AND code_commune_naissance = '2A004' AND nom_commune_naissance = 'Ajaccio' AND code_departement_naissance = '2A'$$);
SELECT state, message, hint FROM failure($$SELECT count(*) FROM personnes.fiches
WHERE nom_naissance = 'Le Goff' AND prenoms = '{Anne}'$$);
\! $sent

-- ====================================================================
-- Keys of every type: written for the API, whatever the session; given back as asked
-- ====================================================================
SET DateStyle = 'German, DMY';
SET TimeZone = 'Asia/Tokyo';
SET extra_float_digits = -10;
\! $stub faults "$vu"
SELECT petit, entier, grand, vrai, reel, nombre, resultat FROM personnes.saisies
WHERE petit = 7 AND entier = -12 AND grand = 9999999999 AND vrai AND reel = 0.1::float8 + 0.2::float8 AND nombre = 1.50;
SELECT entier, vrai FROM personnes.saisies WHERE grand = 1 AND entier IN (2, 3) AND NOT vrai ORDER BY 1;
SET DateStyle = 'ISO';
SELECT jour, instant AT TIME ZONE 'UTC' FROM personnes.saisies WHERE grand = 2 AND jour = '2001-02-03' AND instant = '2001-02-03 04:05:06.5+09';
\! $sent
RESET ALL;
SET search_path = public, outils;
SET apigouv_fdw.definition_dir = :'definitions';
-- numbers beyond their bounds, or beyond their column's type
\! $stub faults "$vu"
SELECT count(*) FROM personnes.saisies WHERE grand IN (-1, 10000000000);
SELECT count(*) FROM personnes.saisies WHERE grand = 3 AND entier = 9999999999;
SELECT count(*) FROM personnes.saisies WHERE grand = 3 AND petit IN (70000, 5);
SELECT state, message FROM failure('SELECT count(*) FROM personnes.saisies WHERE grand = 3 AND reel = ''NaN''');
\! $sent
-- arrays in other forms: with commas, as a list in a body
\! $stub faults "$vu"
SELECT virgules FROM personnes.saisies WHERE grand = 4 AND virgules = '{" b",a,b}';
SELECT state, message FROM failure('SELECT virgules FROM personnes.saisies WHERE grand = 4 AND virgules = ''{"a,b"}''');
SELECT liste, entier, vrai FROM personnes.saisies WHERE liste = '{b,"a\"é",b}' AND entier = 5 AND vrai;
\! $sent

-- ====================================================================
-- What a definition may not say
-- ====================================================================
\setenv fautes :definitions
\! mkdir "$fautes/sequences" && chmod a+w "$fautes/sequences"
\! echo '{"api": "sequences", "base_url": "https://a.invalid", "auth": {"scheme": "none"}, "tables": ["t"]}' > "$fautes/sequences.json"
CREATE FUNCTION pg_temp.essaie(parameter text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('COPY (SELECT %L) TO %L', format('{"table": "t", "comment": "t", "rows": 1, "columns": [{"name": "a", "type": "text[]", "echo": "a"}, {"name": "n", "type": "integer", "echo": "n"}], "routes": [{"name": "r", "path": "/", "rows": "", "parameters": [{"name": "n", "column": "n"}, {"name": "p", "column": "a", %s}]}]}', parameter),
		current_setting('apigouv_fdw.definition_dir') || '/sequences/t.json');
	RETURN (failure('IMPORT FOREIGN SCHEMA sequences FROM SERVER sequences INTO pg_temp')).message;
END
$$;
CREATE SERVER sequences FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'sequences');
SELECT pg_temp.essaie('"ops": ["="]');
SELECT pg_temp.essaie('"ops": ["=", "&&"], "list": "repeat"');
SELECT pg_temp.essaie('"ops": ["&&"], "list": "repeat", "max_items": 2');
SELECT pg_temp.essaie('"list": "repeat", "min_items": 3, "max_items": 2');
SELECT pg_temp.essaie('"list": "repeat", "min": 3, "max": 2');
SELECT pg_temp.essaie('"list": "repeat", "steps": ["pad"]');
SELECT pg_temp.essaie('"list": "repeat", "steps": ["year 4"]');
SELECT pg_temp.essaie('"list": "repeat"}], "auth": {"scheme": "bearer"}, "replies": [{"status": 404, "is": "no_row"');
SELECT pg_temp.essaie('"list": "repeat"}], "auth": {"scheme": "none", "setting": "france_connect_token"}, "replies": [{"status": 404, "is": "no_row"');
SELECT pg_temp.essaie('"list": "repeat"}], "auth": {"scheme": "bearer", "setting": "autre"}, "replies": [{"status": 404, "is": "no_row"');
DROP SERVER sequences;
\i test/fixtures/regress_definitions_end.sql
