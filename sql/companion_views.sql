\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Outil';

-- ====================================================================
-- A view of each foreign table, of the same name, in another schema
-- ====================================================================
CREATE SCHEMA vues;
SELECT done, count(*) FROM apigouv_create_views('entreprise', 'vues') GROUP BY done;
SELECT count(*) = (SELECT count(*) FROM apigouv_tables WHERE api = 'entreprise') AS all FROM pg_views WHERE schemaname = 'vues';
-- columns in their order, with their types; comments of both
SELECT count(*) AS different FROM
	(SELECT c.relname, a.attnum, a.attname, a.atttypid, col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')
	 FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND attnum > 0 WHERE c.relnamespace = 'entreprise'::regnamespace
	 EXCEPT
	 SELECT c.relname, a.attnum, a.attname, a.atttypid, col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')
	 FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND attnum > 0 WHERE c.relnamespace = 'vues'::regnamespace) AS d;
-- no grants, no barrier, the rights of its owner
SELECT DISTINCT relkind, relacl, reloptions FROM pg_class WHERE relnamespace = 'vues'::regnamespace AND relkind = 'v';
-- making them has asked nothing
\! $sent count

-- ====================================================================
-- Conditions, joins and limits pass through: the same plans, the same requests
-- ====================================================================
SELECT apigouv_create_views('marche_inclusion', 'vues') \g /dev/null
CREATE TEMP TABLE registre (siret text);
INSERT INTO registre VALUES ('00000301200010'), ('00000302000013'), ('00000303800015');
ANALYZE registre;
CREATE FUNCTION outils.same_plan(query text, foreign_schema text) RETURNS boolean LANGUAGE sql AS $$
	SELECT (SELECT string_agg(p, E'\n') FROM plan(replace(query, 'schema.', foreign_schema || '.')) AS p) =
		(SELECT string_agg(p, E'\n') FROM plan(replace(query, 'schema.', 'vues.')) AS p) $$;
SELECT same_plan($$SELECT id, name FROM schema.structures AS apigouv_view WHERE siret = '00000301200010'$$, 'marche_inclusion');
SELECT same_plan($$SELECT id FROM schema.structures AS apigouv_view WHERE siret LIKE '000003012%' AND name ILIKE '%phare%'$$, 'marche_inclusion');
SELECT same_plan($$SELECT id FROM schema.structures AS apigouv_view WHERE kind = 'EI' AND region = 'Bretagne' LIMIT 3$$, 'marche_inclusion');
SELECT same_plan($$SELECT count(*) FROM schema.structures AS apigouv_view WHERE kind = 'EI'$$, 'marche_inclusion');
SELECT same_plan($$SELECT statut FROM schema.entreprise_attestations AS apigouv_view WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'MSA')$$, 'entreprise');
SELECT same_plan($$SELECT apigouv_view.id FROM registre AS r JOIN schema.structures AS apigouv_view USING (siret)$$, 'marche_inclusion');
SELECT same_plan($$SELECT r.siret FROM registre AS r LEFT JOIN schema.structures AS apigouv_view ON apigouv_view.siret = r.siret AND apigouv_view.kind = 'EI'$$, 'marche_inclusion');
SELECT plan($$SELECT id, name FROM vues.structures WHERE siret = '00000301200010'$$);
\! $sent count
SELECT count(*) FROM vues.structures WHERE siret = '00000301200010';
\! $sent
SELECT r.siret, count(s.id) FROM registre AS r LEFT JOIN vues.structures AS s USING (siret) GROUP BY 1 ORDER BY 1;
\! $sent count
SELECT type, statut FROM vues.entreprise_attestations WHERE siren = '000003012' AND fournisseur = 'URSSAF';
\! $sent count

-- ====================================================================
-- Again: nothing changes, but for comments and columns added since
-- ====================================================================
SELECT done, count(*) FROM apigouv_create_views('marche_inclusion', 'vues') GROUP BY done;
ALTER FOREIGN TABLE marche_inclusion.reseaux ADD COLUMN "Nom 2" text OPTIONS (column 'name');
COMMENT ON COLUMN marche_inclusion.reseaux."Nom 2" IS 'L''autre nom';
COMMENT ON FOREIGN TABLE marche_inclusion.reseaux IS NULL;
GRANT SELECT ON vues.reseaux TO pg_monitor;
SELECT * FROM apigouv_create_views('marche_inclusion', 'vues') WHERE done <> 'unchanged';
SELECT attname, col_description(attrelid, attnum), obj_description(attrelid, 'pg_class') FROM pg_attribute
WHERE attrelid = 'vues.reseaux'::regclass ORDER BY attnum DESC LIMIT 1;
SELECT has_table_privilege('pg_monitor', 'vues.reseaux', 'SELECT') AS grant_is_kept;
SELECT "Nom 2" = name AS read FROM vues.reseaux LIMIT 1;
-- one that was dropped comes back
DROP VIEW vues.secteurs;
SELECT * FROM apigouv_create_views('marche_inclusion', 'vues') WHERE done <> 'unchanged';

-- ====================================================================
-- What it has not made is not replaced, and then nothing is
-- ====================================================================
CREATE SCHEMA "Vues à moi";
CREATE VIEW "Vues à moi".secteurs AS SELECT * FROM marche_inclusion.secteurs;
SELECT * FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues à moi')$$);
SELECT count(*) FROM pg_views WHERE schemaname = 'Vues à moi';
-- not by its alias alone, either: one with a condition hides rows on purpose
CREATE OR REPLACE VIEW "Vues à moi".secteurs AS SELECT * FROM marche_inclusion.secteurs AS apigouv_view WHERE slug <> '';
SELECT message FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues à moi')$$);
CREATE OR REPLACE VIEW "Vues à moi".secteurs AS SELECT * FROM marche_inclusion.secteurs AS apigouv_view LIMIT 1;
SELECT message FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues à moi')$$);
DROP VIEW "Vues à moi".secteurs;
CREATE TABLE "Vues à moi".secteurs (a int);
SELECT message FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues à moi')$$);
DROP TABLE "Vues à moi".secteurs;
CREATE MATERIALIZED VIEW "Vues à moi".secteurs AS SELECT 1;
SELECT message FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues à moi')$$);
DROP MATERIALIZED VIEW "Vues à moi".secteurs;
SELECT done, count(*) FROM apigouv_create_views('marche_inclusion', 'Vues à moi') GROUP BY done;
SELECT done, count(*) FROM apigouv_create_views('marche_inclusion', 'Vues à moi') GROUP BY done;

-- ====================================================================
-- Arguments, tables of others, rights
-- ====================================================================
SELECT state, message, hint FROM failure($$SELECT apigouv_create_views('marche_inclusion', 'Vues 2')$$);
SELECT state, message, hint FROM failure($$SELECT apigouv_create_views('marche', 'vues')$$);
SELECT state, message FROM failure($$SELECT apigouv_create_views('vues', 'vues')$$);
SELECT state, message FROM failure($$SELECT apigouv_create_views(NULL, 'vues')$$);
-- local tables have no views
SELECT count(*) FROM apigouv_create_views('vues', 'Vues à moi');
-- the caller's rights; a view reads with its owner's user mapping
CREATE ROLE regress_outil;
GRANT USAGE ON SCHEMA marche_inclusion, vues, outils TO regress_outil;
SET ROLE regress_outil;
SELECT state, message FROM failure($$SELECT public.apigouv_create_views('marche_inclusion', 'vues')$$);
RESET ROLE;
GRANT SELECT ON vues.structures TO regress_outil;
SET ROLE regress_outil;
SELECT count(*) FROM vues.structures WHERE siret = '00000301200010';
SELECT state, message FROM failure($$SELECT FROM vues.types_structures$$);
SELECT state, message FROM failure($$SELECT FROM marche_inclusion.structures$$);
RESET ROLE;
DROP OWNED BY regress_outil;
DROP ROLE regress_outil;
SET client_min_messages = error;
DROP SCHEMA vues, "Vues à moi" CASCADE;
