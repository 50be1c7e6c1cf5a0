\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\i test/fixtures/regress_listes.sql
\pset format unaligned
\pset null '-'
\! $sent count > /dev/null; eval "$replies"

-- ====================================================================
-- A row for each element of the inner list, with values of the elements around it
-- ====================================================================
-- wherever these stand: before or after the list; a list that is absent, null or empty has no rows
SELECT periode, debut, rang_periode, caracteristique, rang, valeur, niveau, source FROM listes.mesures WHERE territoire = 'D';
SELECT mots, mots_periode, detail_periode, jour, mise_a_jour, statut, territoire, reponse FROM listes.mesures WHERE territoire = 'D';
\! $sent; eval "$replies"
-- three lists, the last of texts; empty text is NULL
SELECT imprime, rang_imprime, code, rang_donnee, rang, valeur, reponse FROM listes.valeurs WHERE siren = '000003012';
SELECT count(*), count(valeur), sum(rang) FROM listes.valeurs WHERE siren IN ('000003012', '000003020');
-- one list of numbers; a reply that is a value, or null
SELECT code, rang FROM listes.codes;
SELECT service, etat, reponse FROM listes.etats WHERE service IN ('un', 'deux', 'trois');
-- names that are data; counters in each element and beside them
SELECT annees, annees_2024, compte, total FROM listes.annees WHERE siren = '000003012';

-- ====================================================================
-- Joins, rescans, a LIMIT, a cursor that goes back
-- ====================================================================
SELECT t, m.periode, m.caracteristique FROM (VALUES ('D'), ('R'), ('D')) AS v (t) LEFT JOIN LATERAL (SELECT * FROM listes.mesures WHERE territoire = t) AS m ON true;
SELECT periode, caracteristique FROM listes.mesures WHERE territoire = 'D' AND caracteristique = 'X' AND rang_periode > 1;
SELECT valeur FROM listes.valeurs WHERE siren = '000003012' LIMIT 3;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT periode, rang FROM listes.mesures WHERE territoire = 'D';
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ALL FROM c;
COMMIT;

-- ====================================================================
-- Pages are of the outer list: what is asked for, and the total, count its elements
-- ====================================================================
-- the same rows as from the elements as they were sent; NULL lists have none
SELECT count(*) > 10 AS several FROM listes.contacts;
SELECT count(*) FROM (
	(SELECT structure, rang, id FROM listes.contacts EXCEPT ALL
	 SELECT s.id, d.rang, d.doublon ->> 'id' FROM data_inclusion.structures AS s, jsonb_array_elements(nullif(s.reponse -> 'doublons', 'null')) WITH ORDINALITY AS d (doublon, rang))
	UNION ALL
	(SELECT s.id, d.rang, d.doublon ->> 'id' FROM data_inclusion.structures AS s, jsonb_array_elements(nullif(s.reponse -> 'doublons', 'null')) WITH ORDINALITY AS d (doublon, rang)
	 EXCEPT ALL SELECT structure, rang, id FROM listes.contacts)) AS differences;
-- places go on from page to page
SELECT max(rang_structure) > 200 AS several_pages, count(DISTINCT rang_structure) = count(DISTINCT structure) AS each_its_own FROM listes.contacts;
-- and from a first page under a LIMIT to the larger ones that follow
SELECT count(*) FROM ((SELECT structure, rang_structure, rang, id FROM listes.contacts LIMIT 12) EXCEPT ALL SELECT structure, rang_structure, rang, id FROM listes.contacts) AS others;
SELECT * FROM proof($$SELECT structure, id FROM listes.contacts WHERE code_departement IN ('35', '59')$$) AS p WHERE lost + gained > 0;
-- an unstable list: the first request was too small for it; under a LIMIT elements that came before are left out with their rows
SELECT count(*) > 50 AS several, count(*) = (SELECT sum(jsonb_array_length(reponse -> 'client_references')) FROM marche_inclusion.structures) AS all_rows FROM listes."references";
\! $sent count > /dev/null
SELECT count(*), count(DISTINCT (id, rang)) FROM (SELECT id, rang FROM listes."references" LIMIT 50) AS s;
\! $sent | sed 's/offset=0&//' | sort | head -3

\! eval "$replies"

-- ====================================================================
-- A reply that is shaped otherwise is an error, never fewer rows
-- ====================================================================
SELECT t, f.state, f.message, f.detail FROM (VALUES ('objet'), ('nul'), ('texte'), ('sans')) AS v (t),
	failure(format('SELECT count(*) FROM listes.mesures WHERE territoire = %L', t)) AS f;

-- ====================================================================
-- Mistakes in a definition
-- ====================================================================
SET client_min_messages = error;
SELECT faute(nom, chemin::text[], valeur::jsonb, :'definitions') FROM (VALUES
	('mesures', '{comment}', '"right"'),
	('mesures', '{routes,0,rows}', '"periodes[].caracteristiques"'),
	('mesures', '{routes,0,rows}', '"periodes[][]"'),
	('mesures', '{routes,0,rows}', '"periodes[].[]"'),
	('mesures', '{routes,0,rows}', '"periodes[]caracteristiques[]"'),
	('mesures', '{routes,0,rows}', '"periodes[0].caracteristiques[]"'),
	('mesures', '{routes,0,rows}', '"a[].a[].a[].a[].a[].a[].a[].a[].a[]"'),
	('mesures', '{routes,0,rows}', '"caracteristiques[]"'),
	('mesures', '{columns,1,level}', '0'),
	('mesures', '{columns,1,level}', '2'),
	('mesures', '{columns,3,level}', '2'),
	('mesures', '{columns,3,position}', 'false'),
	('mesures', '{columns,3,path}', '"code"'),
	('mesures', '{columns,4,level}', '1'),
	('mesures', '{columns,1,parent}', '"periode..code"'),
	('mesures', '{columns,1,parent}', '"mots[].mot"'),
	('codes', '{routes,0,rows}', '"data"'),
	('references', '{routes,0,paging,unique}', '"nom"'),
	('references', '{columns,2,level}', '1')) AS v (nom, chemin, valeur);
\i test/fixtures/regress_listes_end.sql
