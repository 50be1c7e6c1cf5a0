\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\i test/fixtures/regress_listes.sql
\pset format unaligned
\pset null '-'
\! $sent count > /dev/null; eval "$replies"

-- ====================================================================
-- Elements that agree in what the route groups by are one row, wherever they stand
-- ====================================================================
-- in the order of first elements; a column whose element lacks is NULL; what lacks is like null among what is grouped by
SELECT annee, territoire, tension, niveau, embauche, salaire, famille, rang, premier FROM listes.indicateurs WHERE metier = 'M1';
SELECT territoire, jour, notes, detail, reponse FROM listes.indicateurs WHERE metier = 'M1' AND territoire = '53' AND annee = 2024;
SELECT annee, jsonb_array_length(reponse) AS elements, metier FROM listes.indicateurs WHERE metier IN ('M1', 'vide');
SELECT count(*) FROM (VALUES ('M1'), ('vide'), ('M1')) AS v (m), LATERAL (SELECT * FROM listes.indicateurs WHERE metier = m OFFSET 0) AS i;
SELECT territoire FROM listes.indicateurs WHERE metier = 'M1' LIMIT 2;
SELECT count(*) FROM listes.indicateurs WHERE metier = 'M1';

-- ====================================================================
-- Rows that a cursor has still to give stay as they are, whatever happens meanwhile
-- ====================================================================
BEGIN;
SET LOCAL apigouv_fdw.cache_size = 0;
DECLARE c CURSOR FOR SELECT territoire, tension, detail FROM listes.indicateurs WHERE metier = 'M1';
DECLARE n CURSOR FOR SELECT rang_periode, caracteristique, mots FROM listes.mesures WHERE territoire = 'D';
SAVEPOINT s;
FETCH 1 FROM c;
FETCH 1 FROM n;
ROLLBACK TO s;
SELECT count(*) FROM marche_inclusion.structures, generate_series(1, 20);
SAVEPOINT s;
SELECT annee / 0 FROM listes.indicateurs WHERE metier = 'M1'; -- ERROR
ROLLBACK TO s;
FETCH 1 FROM c;
FETCH 1 FROM n;
SELECT state FROM failure($$SELECT detail::text::int FROM listes.indicateurs WHERE metier = 'M1' AND tension IS NOT NULL$$);
SELECT apigouv_clear_cache('listes') IS NOT NULL AS cleared;
ALTER SERVER listes OPTIONS (ADD timeout_ms '20000');
FETCH ALL FROM c;
FETCH ALL FROM n;
COMMIT;

-- ====================================================================
-- Never silently one of two, nor a row that lacks
-- ====================================================================
SELECT m, f.state, f.message, f.detail FROM (VALUES ('double'), ('anonyme'), ('texte')) AS v (m),
	failure(format('SELECT annee FROM listes.indicateurs WHERE metier = %L', m)) AS f;

-- ====================================================================
-- Mistakes in a definition
-- ====================================================================
SET client_min_messages = error;
SELECT faute(nom, chemin::text[], valeur::jsonb, :'definitions') FROM (VALUES
	('indicateurs', '{comment}', '"right"'),
	('indicateurs', '{routes,0,pivot}', '"nom"'),
	('indicateurs', '{routes,0,pivot}', '{"by": ["annee"]}'),
	('indicateurs', '{routes,0,pivot}', '{"by": [], "name": "nom"}'),
	('indicateurs', '{routes,0,pivot}', '{"by": ["a[]"], "name": "nom"}'),
	('indicateurs', '{routes,0,pivot}', '{"by": ["annee"], "name": "nom.."}'),
	('indicateurs', '{routes,0,pivot}', '{"by": ["annee"], "name": "nom", "column": "niveau"}'),
	('indicateurs', '{columns,5,path}', '["a..b"]'),
	('indicateurs', '{columns,2,pivot}', '3'),
	('indicateurs', '{columns,1,pivot}', '"TENSION"'),
	('indicateurs', '{routes,0,rows}', '"familles"'),
	('indicateurs', '{routes,0,paging}', '{"style": "page", "size": "size", "page": "page", "default_size": 10, "stable": true}'),
	('mesures', '{columns,6,pivot}', '"X"')) AS v (nom, chemin, valeur);
\i test/fixtures/regress_listes_end.sql
