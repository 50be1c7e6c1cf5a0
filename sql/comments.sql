\i test/fixtures/regress_setup.sql
CREATE SCHEMA essai;
SET client_min_messages = warning;
-- ====================================================================
-- IMPORT FOREIGN SCHEMA comments what it makes, as the definition says
-- ====================================================================
SELECT count(*) FROM pg_class AS c JOIN pg_foreign_table AS t ON t.ftrelid = c.oid WHERE obj_description(c.oid, 'pg_class') IS NULL;
SELECT c.api, c."table", c."column" FROM apigouv_columns AS c
WHERE c.api IN ('marche_inclusion', 'data_inclusion', 'entreprise', 'marche_travail') AND c.comment IS DISTINCT FROM
	col_description(format('%I.%I', c.api, c."table")::regclass, c.position);
SELECT left(obj_description('marche_travail.marche_travail_activites'::regclass, 'pg_class'), 17);
-- what it makes only, and only then
SELECT apigouv_comment_tables('marche_travail');
COMMENT ON FOREIGN TABLE marche_travail.marche_travail_activites IS 'À nous';
IMPORT FOREIGN SCHEMA marche_travail LIMIT TO (marche_travail_territoires) FROM SERVER marche_travail INTO essai;
SELECT obj_description('marche_travail.marche_travail_activites'::regclass, 'pg_class');

-- ====================================================================
-- apigouv_comment_tables: names given by options, columns that are gone
-- ====================================================================
CREATE FOREIGN TABLE essai."Activités ""2""" (
	"c'ode" text OPTIONS ("column" 'code_activite'),
	parti text,
	libelle_activite text,
	sans_pareil text)
	SERVER marche_travail OPTIONS ("table" 'marche_travail_activites');
ALTER FOREIGN TABLE essai."Activités ""2""" DROP COLUMN parti;
CREATE FOREIGN TABLE essai.marche_travail_tensions (niveau smallint) SERVER marche_travail;
CREATE FOREIGN TABLE essai.sans_pareille (niveau smallint) SERVER marche_travail;
-- a table that may not be kept as its option says cannot be planned, and is commented all the same
CREATE FOREIGN TABLE essai.entreprise_attestations (siret text) SERVER entreprise OPTIONS (cache_ttl_s '60');
CREATE FOREIGN DATA WRAPPER autre;
CREATE SERVER autre FOREIGN DATA WRAPPER autre;
CREATE FOREIGN TABLE essai.structures (id integer) SERVER autre;
CREATE TABLE essai.ordinaire (niveau smallint);
SELECT apigouv_comment_tables('essai');
SELECT apigouv_comment_tables('essai') AS again;
SELECT c.relname, coalesce(a.attname, '') AS attname,
	left(CASE WHEN a.attname IS NULL THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END, 20) AS comment
FROM pg_class AS c LEFT JOIN LATERAL (SELECT NULL::name, 0 UNION ALL SELECT attname, attnum FROM pg_attribute
	WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a (attname, attnum) ON true
WHERE c.relnamespace = 'essai'::regnamespace AND c.relkind IN ('r', 'f') AND c.relname <> 'marche_travail_territoires'
ORDER BY c.relname COLLATE "C", a.attnum;
-- one that was changed comes back; the function counts it alone
COMMENT ON COLUMN essai.marche_travail_tensions.niveau IS 'autre';
SELECT apigouv_comment_tables('essai');
-- twice in one query; never where nothing may be written
COMMENT ON FOREIGN TABLE essai.marche_travail_tensions IS 'autre';
COMMENT ON COLUMN essai.marche_travail_tensions.niveau IS NULL;
SELECT apigouv_comment_tables('essai') AS first, apigouv_comment_tables('essai') AS second;
BEGIN READ ONLY;
SELECT apigouv_comment_tables('essai'); -- ERROR
ROLLBACK;
-- what a search path would put in the way is of no consequence
CREATE TABLE essai.pg_class (oid oid);
CREATE TABLE essai.pg_description (objoid oid);
COMMENT ON COLUMN essai.marche_travail_tensions.niveau IS NULL;
SET search_path = essai, pg_catalog, public;
SELECT public.apigouv_comment_tables('essai');
RESET search_path;

-- ====================================================================
-- By the caller's rights: as COMMENT, for the owner
-- ====================================================================
SET search_path = public, outils;
DROP ROLE IF EXISTS regress_lecteur;
CREATE ROLE regress_lecteur;
SET ROLE regress_lecteur;
SELECT apigouv_comment_tables('essai'); -- ERROR
RESET ROLE;
GRANT USAGE ON SCHEMA essai TO regress_lecteur;
GRANT USAGE ON SCHEMA outils TO regress_lecteur;
SET ROLE regress_lecteur;
SELECT state, regexp_replace(message, '(table ).*', '\1...') AS message FROM outils.failure('SELECT public.apigouv_comment_tables(''essai'')');
RESET ROLE;
SELECT apigouv_comment_tables('sans_pareil'); -- ERROR
-- who imports owns what is made, and comments it
GRANT CREATE ON SCHEMA essai TO regress_lecteur;
GRANT USAGE ON FOREIGN SERVER data_inclusion TO regress_lecteur;
SET ROLE regress_lecteur;
IMPORT FOREIGN SCHEMA data_inclusion LIMIT TO (services) FROM SERVER data_inclusion INTO essai;
RESET ROLE;
SELECT left(obj_description('essai.services'::regclass, 'pg_class'), 40);
-- another event trigger may give away what was made: it has no comment then, and the import goes on
CREATE FUNCTION outils.donne() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	ALTER FOREIGN TABLE essai.sources OWNER TO CURRENT_USER;
END $$;
CREATE EVENT TRIGGER a_donne ON ddl_command_end WHEN TAG IN ('IMPORT FOREIGN SCHEMA') EXECUTE FUNCTION outils.donne();
SET ROLE regress_lecteur;
IMPORT FOREIGN SCHEMA data_inclusion LIMIT TO (sources, publics) FROM SERVER data_inclusion INTO essai;
RESET ROLE;
DROP EVENT TRIGGER a_donne;
SELECT obj_description('essai.sources'::regclass, 'pg_class') IS NULL AS given_away,
	obj_description('essai.publics'::regclass, 'pg_class') IS NOT NULL AS kept;
-- nothing was asked of anybody
\! $sent all
DROP SCHEMA essai CASCADE;
DROP FOREIGN DATA WRAPPER autre CASCADE;
DROP OWNED BY regress_lecteur;
DROP ROLE regress_lecteur;
