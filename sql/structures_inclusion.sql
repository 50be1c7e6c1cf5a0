\i test/fixtures/regress_setup.sql
CREATE SCHEMA essai;
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', view_schema => 'essai');

-- ====================================================================
-- One view of both tables: the columns that they share
-- ====================================================================
SELECT attname, format_type(atttypid, atttypmod) AS type,
	col_description(attrelid, attnum) ~ '^marche_inclusion : .+ / data_inclusion : .+' AS tells_both
FROM pg_attribute WHERE attrelid = 'essai.structures_inclusion'::regclass AND attnum > 0 ORDER BY attnum;
SELECT left(obj_description('essai.structures_inclusion'::regclass, 'pg_class'), 40);
\! $sent count > /dev/null
SELECT origine, id, nom, siret, siren, type, commune, code_postal, code_departement, code_region, est_active, date_maj IS NOT NULL AS datee,
	obtenu_le IS NOT NULL AS obtenue
FROM essai.structures_inclusion WHERE siren = '000003012' ORDER BY origine, id COLLATE "C";
-- every row of both
SELECT (SELECT count(*) FROM essai.structures_inclusion)
	= (SELECT count(*) FROM marche_inclusion.structures) + (SELECT count(*) FROM data_inclusion.structures) AS all;

-- ====================================================================
-- Conditions reach both; one on the origin leaves the other out
-- ====================================================================
\! $sent count > /dev/null
SELECT count(*) > 0 AS rows FROM essai.structures_inclusion WHERE code_departement = '35';
\! $sent
SELECT DISTINCT origine FROM essai.structures_inclusion WHERE siret = '00000301200010' ORDER BY 1;
\! $sent
SELECT count(*) > 0 AS rows FROM essai.structures_inclusion WHERE origine = 'marche_inclusion' AND siret = '00000301200010';
\! $sent
SELECT count(*) > 0 AS rows FROM essai.structures_inclusion WHERE origine = 'data_inclusion' AND code_region = '53';
\! $sent
SELECT count(*) FROM essai.structures_inclusion WHERE origine = 'autre' AND siret = '00000301200010';
\! $sent
SELECT * FROM plan('SELECT nom FROM essai.structures_inclusion WHERE origine = ''data_inclusion'' AND code_departement = ''2A''');
-- a join asks both for each key
SELECT v.siret, count(s.id) > 0 AS rows FROM (VALUES ('00000301200010'), ('00000302000013')) AS v (siret)
	JOIN essai.structures_inclusion AS s USING (siret) GROUP BY 1 ORDER BY 1;
\! $sent count > /dev/null
-- a prepared statement leaves a branch out when it runs
PREPARE par_origine (text) AS SELECT count(*) > 0 AS rows FROM essai.structures_inclusion WHERE origine = $1 AND siret = '00000301200010';
SET plan_cache_mode = force_generic_plan;
EXECUTE par_origine('marche_inclusion');
\! $sent
RESET plan_cache_mode;
-- the same rows without push-down
SELECT * FROM proof('SELECT origine, id, nom, siret, commune, code_departement, date_maj FROM essai.structures_inclusion WHERE code_departement = ''35''');

-- ====================================================================
-- Tables with other names, fewer columns, other names of columns
-- ====================================================================
CREATE FOREIGN TABLE essai."Le ""Marché""" (
	"N°" integer OPTIONS ("column" 'id'),
	parti text,
	name varchar OPTIONS ("column" 'siret'),
	code_departement text) SERVER marche_inclusion OPTIONS ("table" 'structures');
ALTER FOREIGN TABLE essai."Le ""Marché""" DROP COLUMN parti;
SELECT apigouv_create_structures_inclusion('essai."Le ""Marché"""', 'data_inclusion.structures', 'L''union', 'essai');
SELECT origine, id, siret, siren, nom, date_maj FROM essai."L'union" WHERE siret = '00000301200010' AND origine = 'marche_inclusion' ORDER BY id;
\! $sent count > /dev/null
SELECT count(*) > 0 AS rows FROM essai."L'union" WHERE siret = '00000301200010' AND origine = 'marche_inclusion';
\! $sent

-- ====================================================================
-- By the caller's rights and for the caller's schema; mistakes
-- ====================================================================
SET search_path = essai, public, outils;
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', 'autre');
SET search_path = public, outils;
SELECT 'essai.autre'::regclass;
\set VERBOSITY terse
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', 'autre', 'essai'); -- ERROR
SELECT apigouv_create_structures_inclusion('data_inclusion.structures', 'marche_inclusion.structures', 'faux', 'essai'); -- ERROR
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.services', 'faux', 'essai'); -- ERROR
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'pg_class', 'faux', 'essai'); -- ERROR
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', NULL, 'faux', 'essai'); -- ERROR
DROP ROLE IF EXISTS regress_lecteur;
CREATE ROLE regress_lecteur;
GRANT USAGE ON SCHEMA marche_inclusion, data_inclusion, essai TO regress_lecteur;
SET ROLE regress_lecteur;
SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', 'faux', 'essai'); -- ERROR
RESET ROLE;
DROP OWNED BY regress_lecteur;
DROP ROLE regress_lecteur;
DROP SCHEMA essai CASCADE;
