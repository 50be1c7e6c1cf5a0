\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'
\! $sent count > /dev/null

-- ====================================================================
-- A table and a route of one's own need no C
-- ====================================================================
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'essai.secteurs'::regclass AND attnum > 0 ORDER BY attnum;
SELECT slug, nom, groupe, famille, debut, origine FROM essai.secteurs ORDER BY slug COLLATE "C" LIMIT 4;
\! $sent
SELECT name, kind, code_region, codes_postaux FROM essai.perimetres WHERE kind = 'REGION' AND name = 'Corse';
\! $sent
-- a closed list: no row can have another value
SELECT count(*) FROM essai.perimetres WHERE kind = 'PAYS';
\! $sent
SELECT jsonb_object_keys(reponse) FROM essai.secteurs WHERE slug = 'peinture';
-- a new table joins with the old ones
SELECT m.id, count(s.slug) = cardinality(m.sectors_slugs) FROM marche_inclusion.structures AS m JOIN essai.secteurs AS s ON s.slug = ANY (m.sectors_slugs)
WHERE m.siren = '000003012' GROUP BY 1, m.sectors_slugs ORDER BY 1;
-- a definition read once serves until the directory changes
\! mv "$definitions/essai" "$definitions/essai2"
SELECT count(*) FROM essai.secteurs;
SET apigouv_fdw.definition_dir = '';
SELECT count(*) FROM essai.secteurs; -- ERROR
SELECT set_config('apigouv_fdw.definition_dir', :'definitions', false) = :'definitions';
SELECT count(*) FROM essai.secteurs; -- ERROR
\! mv "$definitions/essai2" "$definitions/essai"
SELECT count(*) FROM essai.secteurs;

-- ====================================================================
-- What may be an API or a table, and where its file is
-- ====================================================================
\set VERBOSITY terse
CREATE SERVER faux FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '../essai'); -- ERROR
CREATE SERVER faux FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'Essai'); -- ERROR
CREATE FOREIGN TABLE essai.faux (id int) SERVER essai OPTIONS ("table" '../pages/structures');
SELECT * FROM essai.faux; -- ERROR
DROP FOREIGN TABLE essai.faux;
\set VERBOSITY default
-- a table that the API lists and that has no file
\! mv "$definitions/pages/structures.json" "$definitions/pages/autre.json"
\c -
\set ECHO none
SET search_path = public, outils;
SET apigouv_fdw.definition_dir = :'definitions';
\set ECHO all
SELECT message, hint FROM failure('SELECT * FROM pages.structures');
\! mv "$definitions/pages/autre.json" "$definitions/pages/structures.json"

-- ====================================================================
-- Mistakes: the message names file, table and field
-- ====================================================================
CREATE FUNCTION outils.faute (fichier text, chemin text[], valeur jsonb, dossier text) RETURNS text LANGUAGE plpgsql AS $$
-- the fixture's file, with the value at that path replaced (taken away when NULL), under the name "fautes"
DECLARE
	api jsonb := pg_read_file(dossier || '/essai.json')::jsonb || '{"api": "fautes", "tables": ["perimetres"]}';
	tab jsonb := pg_read_file(dossier || '/essai/perimetres.json');
	message text;
BEGIN
	IF fichier = 'api' THEN
		api := CASE WHEN valeur IS NULL THEN api #- chemin ELSE jsonb_set(api, chemin, valeur) END;
	ELSE
		tab := CASE WHEN valeur IS NULL THEN tab #- chemin ELSE jsonb_set(tab, chemin, valeur) END;
	END IF;
	EXECUTE format('COPY (SELECT %L) TO %L', api, dossier || '/fautes.json');
	EXECUTE format('COPY (SELECT %L) TO %L', tab, dossier || '/fautes/perimetres.json');
	-- forget what was read
	PERFORM set_config('apigouv_fdw.definition_dir', '', false), set_config('apigouv_fdw.definition_dir', dossier, false);
	SELECT CASE f.state WHEN 'F0000' THEN '' ELSE f.state || ' ' END || f.message || coalesce(' (' || nullif(f.hint, '') || ')', '') INTO message
	FROM outils.failure('DROP SERVER IF EXISTS fautes CASCADE; CREATE SERVER fautes FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api ''fautes'');
		DROP SCHEMA IF EXISTS essais CASCADE; CREATE SCHEMA essais; IMPORT FOREIGN SCHEMA fautes FROM SERVER fautes INTO essais') AS f;
	RETURN message;
END
$$;
SET client_min_messages = warning;
SELECT faute('table', '{comment}', '"right"', :'definitions');
SELECT faute(fichier, chemin::text[], valeur::jsonb, :'definitions') FROM (VALUES
	('api', '{api}', '"autre"'),
	('api', '{base_url}', NULL),
	('api', '{base_url}', '"http://example.org"'),
	('api', '{base_url}', '"https://example.org/"'),
	('api', '{auth,scheme}', '"basic"'),
	('api', '{auth,token_url}', '"https://example.org/x"'),
	('api', '{tables}', '"perimetres"'),
	('api', '{tables}', '["perimetres", "perimetres"]'),
	('api', '{tables}', '["Perimetres"]'),
	('api', '{tables}', '[]'),
	('api', '{headers}', '{"X A": "b"}'),
	('api', '{limits}', '{"json": {"requests": 0, "window_s": 60, "counted_by": "token"}}'),
	('api', '{limits}', '{"json": {"requests": 5, "window_s": 60, "counted_by": "cluster"}}'),
	('api', '{autre}', '1'),
	('api', '{replies}', '[{"is": "no_row"}]'),
	('api', '{replies}', '[{"status": 404, "is": "nothing"}]'),
	('api', '{replies}', '[{"status": 404, "is": "dead_link"}]'),
	('api', '{fresh}', '{"X A": "b"}'),
	('api', '{documents}', '{}'),
	('api', '{documents}', '{"hosts": []}'),
	('api', '{documents}', '{"hosts": [{"host": "https://example.org"}]}'),
	('api', '{documents}', '{"hosts": [{"host": "Example.org"}]}'),
	('api', '{documents}', '{"hosts": [{"host": "example.org:"}]}'),
	('api', '{documents}', '{"hosts": [{"host": "example.org", "token": true}]}'),
	('api', '{documents}', '{"hosts": [{"path": "/fichiers"}]}'),
	('api', '{documents}', '{"hosts": [{"limit": "json"}]}'),
	('api', '{documents}', '{"hosts": [{"link": "data[]"}]}'),
	('api', '{documents}', '{"hosts": [{}], "replies": [{"status": 404, "is": "no_row", "set": {"name": "x"}}]}'),
	('table', '{table}', '"secteurs"'),
	('table', '{rows}', '"many"'),
	('table', '{rows}', '-1'),
	('table', '{comment}', NULL),
	('table', '{columns}', '[]'),
	('table', '{columns,0,type}', '"varchar"'),
	('table', '{columns,0,name}', '"name"'),
	('table', '{columns,0,chemin}', '"id"'),
	('table', '{columns,3,path}', '"post_codes[].a[].b"'),
	('table', '{columns,5,derive,from}', '"code"'),
	('table', '{columns,5,derive,steps,0}', '"map departements code region_code"'),
	('table', '{columns,5,derive,steps,0}', '"upper"'),
	('table', '{columns,5,derive,steps,0}', '"left x"'),
	('table', '{columns,5,derive,steps,0}', '"matches ("'),
	('table', '{columns,4}', '{"name": "code_departement", "type": "text", "derive": {"from": "code_region", "steps": []}}'),
	('table', '{columns,1,constant}', '"x"'),
	('table', '{columns,1,else}', 'null'),
	('table', '{columns,1,sorted}', 'true'),
	('table', '{columns,1,format}', '"unix_paris"'),
	('table', '{routes}', '[]'),
	('table', '{routes,0,rows}', NULL),
	('table', '{routes,0,name}', NULL),
	('table', '{routes,0,path}', '"perimeters/"'),
	('table', '{routes,0,path}', '"/perimeters/{id}/"'),
	('table', '{routes,0,method}', '"PUT"'),
	('table', '{routes,0,limit}', '"json"'),
	('table', '{routes,0,otherwise}', '"autre"'),
	('table', '{routes,0,constants}', '{"autre": "x"}'),
	('table', '{routes,0,parameters,0,column}', '"autre"'),
	('table', '{routes,0,parameters,0,ops}', '["<>"]'),
	('table', '{routes,0,parameters,0,ops}', '["&&"]'),
	('table', '{routes,0,parameters,0,list}', '"each,"'),
	('table', '{routes,0,parameters,0,exactness}', '"derived"'),
	('table', '{routes,0,parameters,0,in}', '"path"'),
	('table', '{routes,0,parameters,0,pattern}', '"("'),
	('table', '{routes,0,parameters,0,slashes}', 'true'),
	('table', '{routes,0,parameters,0,values}', NULL),
	('table', '{routes,0,parameters,0,type}', '"number"'),
	('table', '{routes,0,paging,style}', '"cursor"'),
	('table', '{routes,0,paging,default_size}', '71'),
	('table', '{routes,0,paging,limit}', NULL),
	('table', '{routes,0,paging,unique}', '"autre"')) AS v (fichier, chemin, valeur);
-- a file that is no JSON
\! printf '{"api": "fautes",\n}' > "$definitions/syntaxe.json"; printf '\377' > "$definitions/octets.json"; printf '[]' > "$definitions/liste.json"; : > "$definitions/vide.json"
SELECT message FROM (VALUES ('syntaxe'), ('octets'), ('liste'), ('vide')) AS v (api), failure(format('CREATE SERVER faux FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api %L)', api));
DROP SERVER IF EXISTS fautes CASCADE;
DROP SCHEMA IF EXISTS essais CASCADE;
\i test/fixtures/regress_definitions_end.sql
