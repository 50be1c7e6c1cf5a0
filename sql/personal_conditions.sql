\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- ====================================================================
-- Conditions on personal data hold as they would on a local table
-- ====================================================================
CREATE TEMP TABLE copie AS SELECT id, nom, siret, source, code_departement, code_insee FROM pages.responsables;
CREATE TEMP TABLE agents AS SELECT siret, count(*) AS n, min(nom) AS nom, min(code_departement) AS departement FROM copie WHERE id ~ '[05]$' GROUP BY 1;
ANALYZE copie, agents;
-- a query on the foreign table, and the same on the copy; with plans of both kinds
CREATE FUNCTION pg_temp.pareil(query text, jit text DEFAULT 'off') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	mode text;
	told text := '';
BEGIN
	CREATE TEMP TABLE attendu ON COMMIT DROP AS SELECT NULL::text AS r WHERE false;
	CREATE TEMP TABLE obtenu ON COMMIT DROP AS SELECT NULL::text AS r WHERE false;
	PERFORM set_config('jit', jit, true), set_config('jit_above_cost', '0', true);
	EXECUTE 'INSERT INTO attendu SELECT q::text FROM (' || replace(query, 'FICHES', 'copie') || ') AS q' USING 'e', 3;
	FOREACH mode IN ARRAY '{force_custom_plan,force_generic_plan}'::text[] LOOP
		PERFORM set_config('plan_cache_mode', mode, true);
		TRUNCATE obtenu;
		EXECUTE 'INSERT INTO obtenu SELECT q::text FROM (' || replace(query, 'FICHES', 'pages.responsables') || ') AS q' USING 'e', 3;
		told := told || CASE WHEN EXISTS (TABLE attendu EXCEPT ALL TABLE obtenu) OR EXISTS (TABLE obtenu EXCEPT ALL TABLE attendu)
			THEN format(' WRONG: %s', (SELECT count(*) FROM obtenu)) ELSE ' right' END;
	END LOOP;
	told := CASE WHEN EXISTS (TABLE attendu) THEN 'some rows' ELSE 'no row' END || told;
	DROP TABLE attendu, obtenu;
	RETURN told;
END
$$;
SELECT n, pg_temp.pareil(query) FROM (VALUES
	(1, $$SELECT id FROM FICHES WHERE nom ~ $1$$),
	(2, $$SELECT count(*) FROM FICHES WHERE siret IS NULL$$),
	(3, $$SELECT id FROM FICHES WHERE (siret ~ '1$') IS NOT TRUE AND source <> 'dora'$$),
	(4, $$SELECT id, siret FROM FICHES AS s WHERE siret = (SELECT a.siret FROM agents AS a WHERE a.departement = s.code_departement ORDER BY 1 LIMIT 1)$$),
	(5, $$SELECT id FROM FICHES AS s WHERE EXISTS (SELECT FROM agents AS a WHERE a.nom = s.nom AND a.n < $2) OR s.siret IS NULL$$),
	(6, $$SELECT id FROM FICHES AS s WHERE siret NOT IN (SELECT siret FROM agents WHERE siret IS NOT NULL AND n < $2)$$),
	(7, $$SELECT id FROM FICHES AS s WHERE siret NOT IN (SELECT siret FROM agents)$$),
	(8, $$SELECT a.siret, s.id FROM agents AS a LEFT JOIN FICHES AS s ON s.siret = a.siret AND s.nom ~ $1$$),
	(9, $$SELECT a.siret, s.id FROM agents AS a LEFT JOIN FICHES AS s ON s.siret = a.siret WHERE s.siret IS NULL OR s.nom ~ $1$$),
	(10, $$SELECT a.nom, s.n FROM (SELECT * FROM agents WHERE n = 1 AND siret ~ '[1-3]$') AS a, LATERAL (SELECT count(*) AS n FROM FICHES AS s WHERE s.nom = a.nom) AS s$$),
	(11, $$SELECT a.nom, (SELECT min(s.id) FROM FICHES AS s WHERE s.nom > a.nom AND s.code_departement = a.departement) FROM agents AS a WHERE n = 1 AND siret ~ '[1-3]$'$$),
	(12, $$SELECT count(*) FROM (SELECT id FROM FICHES WHERE nom ~ $1 LIMIT 107) AS l$$),
	(13, $$SELECT 1 FROM FICHES WHERE nom ~ $1 AND random() < 2 AND now() > '2001-01-01'$$),
	(14, $$SELECT id FROM FICHES WHERE (SELECT $2) = 3 AND nom ~ (SELECT $1)$$),
	(15, $$SELECT id FROM FICHES WHERE $2 = 4 AND nom ~ $1$$),
	(16, $$SELECT count(*) FROM FICHES AS s JOIN FICHES AS t ON t.nom = s.nom AND t.id < s.id WHERE s.siret ~ '1$'$$),
	(17, $$SELECT source FROM FICHES WHERE nom ~ $1 UNION ALL SELECT nom FROM FICHES WHERE NOT nom ~ $1$$),
	(18, $$SELECT s.nom FROM (SELECT nom, count(*) OVER (PARTITION BY source) AS c FROM FICHES) AS s WHERE s.nom ~ $1 AND s.c > $2$$),
	(19, $$SELECT code_insee FROM FICHES WHERE siret = ANY (ARRAY(SELECT siret FROM agents WHERE n < $2))$$),
	(20, $$SELECT id FROM FICHES WHERE CASE WHEN siret IS NULL THEN nom ~ $1 ELSE siret::bigint % 3 = 0 END$$)
) AS v (n, query);
-- compiled
SELECT pg_temp.pareil($$SELECT id FROM FICHES WHERE nom ~ $1 AND length(nom) > $2$$, 'on');
-- of the whole row, of system columns; under a cursor that stops and goes back
SELECT count(*) = (SELECT count(siret) FROM copie) FROM pages.responsables AS s WHERE to_jsonb(s) ->> 'siret' IS NOT NULL;
SELECT count(*) = (SELECT count(siret) FROM copie) FROM pages.responsables WHERE siret || tableoid::regclass::text ~ 'responsables$';
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT nom ~ 'e' FROM pages.responsables WHERE nom ~ 'e';
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE ALL FROM c;
CLOSE c;
COMMIT;

-- ====================================================================
-- A policy comes before what the user wrote, on personal data too
-- ====================================================================
CREATE TABLE annuaire (id text, commune text, services jsonb);
CREATE FOREIGN TABLE annuaire_distant () INHERITS (annuaire) SERVER data_inclusion OPTIONS ("table" 'structures');
ALTER TABLE annuaire ENABLE ROW LEVEL SECURITY;
CREATE POLICY rennes ON annuaire USING (commune ~ 'Rennes');
CREATE FUNCTION curieuse(services jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	RAISE NOTICE 'sees %', services -> 0 ->> 'id';
	RETURN true;
END
$$;
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_curieux;
RESET client_min_messages;
CREATE ROLE regress_curieux;
GRANT USAGE ON SCHEMA outils TO regress_curieux;
GRANT SELECT ON annuaire TO regress_curieux;
CREATE USER MAPPING FOR regress_curieux SERVER data_inclusion OPTIONS (token :'data_inclusion');
SET ROLE regress_curieux;
SELECT id FROM annuaire WHERE curieuse(services) AND id IN ('dora--ateliers-du-phare-1', 'dora--ateliers-du-phare-2');
RESET ROLE;
-- without policy both are seen
SELECT count(*) FROM annuaire WHERE curieuse(services) AND id IN ('dora--ateliers-du-phare-1', 'dora--ateliers-du-phare-2');
DROP TABLE annuaire CASCADE;
DROP FUNCTION curieuse;
DROP USER MAPPING FOR regress_curieux SERVER data_inclusion;
DROP OWNED BY regress_curieux;
DROP ROLE regress_curieux;

-- ====================================================================
-- The row as it was sent is personal where one of its columns is
-- ====================================================================
PREPARE mandataire (text) AS SELECT siren FROM entreprise.entreprise_mandataires_sociaux
WHERE siren = '000003012' AND reponse ->> 'nom' = $1 AND fonction = $1;
SELECT plan($$EXECUTE mandataire ('Lefèvre')$$);
SELECT "table", personal FROM apigouv_columns WHERE "table" IN ('entreprise_mandataires_sociaux', 'entreprise_numero_tva') AND "column" = 'reponse' ORDER BY 1;

-- ====================================================================
-- An error of a condition tells no value, of the reply or asked; what a
-- condition asks elsewhere may fail in its own words
-- ====================================================================
CREATE FUNCTION severe(statut text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'status %', statut USING HINT = statut;
END
$$;
\! $stub faults '[{"api": "entreprise", "path": "/v3/*", "times": -1, "status": 200, "body": {"data": {"statut": "Marie"}}}]'
SELECT n, f.* FROM (VALUES
	(1, 'statut::int = 1'),
	(2, 'nom_naissance::date = current_date'),
	(3, '1 / (length(statut) - 5) = 1'),
	(4, 'severe(statut)'),
	(5, $$statut IN (SELECT id FROM pages.responsables WHERE nom::int = 1)$$),
	(6, $$statut IN (SELECT reponse::text FROM personnes.france_connect)$$),
	(7, 'statut <> ''Anne''')
) AS v (n, condition), failure(format($$SELECT statut FROM personnes.fiches WHERE nom_naissance = 'Lefèvre' AND prenoms = '{Zoé}' AND date_naissance = '2001-02-03' AND %s$$, condition)) AS f;
-- elsewhere, as ever
SELECT f.message FROM failure($$SELECT id FROM marche_inclusion.structures WHERE name::int = 1$$) AS f;
DROP FUNCTION severe;
\! $stub reset
\i test/fixtures/regress_definitions_end.sql
