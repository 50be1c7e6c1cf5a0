/* apigouv_fdw--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION apigouv_fdw" to load this file. \quit

CREATE FUNCTION apigouv_fdw_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT;

CREATE FUNCTION apigouv_fdw_validator(text[], oid)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER apigouv_fdw
	HANDLER apigouv_fdw_handler
	VALIDATOR apigouv_fdw_validator;

COMMENT ON FOREIGN DATA WRAPPER apigouv_fdw
	IS 'French public-sector APIs as foreign tables';

CREATE FUNCTION apigouv_siret(text)
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION apigouv_siret(text)
	IS 'SIRET of 14 digits from any way of writing it; NULL when it cannot be one';

CREATE FUNCTION apigouv_siren(text)
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION apigouv_siren(text)
	IS 'SIREN of 9 digits from a SIREN or a SIRET in any way of writing it; NULL when it cannot be one';

CREATE FUNCTION apigouv_regions(OUT code text, OUT nom text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 18;

COMMENT ON FUNCTION apigouv_regions()
	IS 'Regions: INSEE code and name';

CREATE FUNCTION apigouv_departements(OUT code text, OUT nom text, OUT code_region text, OUT region text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 109;

COMMENT ON FUNCTION apigouv_departements()
	IS 'Departments and overseas collectivities: INSEE code and name, and their region''s';

CREATE FUNCTION apigouv_clear_cache(server name DEFAULT NULL, "table" regclass DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE;

COMMENT ON FUNCTION apigouv_clear_cache(name, regclass)
	IS 'Remove the replies kept past transactions: all, of a server, or of one of its tables; how many there were';

CREATE FUNCTION apigouv_cache_ddl()
RETURNS event_trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

-- what was read through an object goes when the object changes or goes; no other command loads the library
CREATE EVENT TRIGGER apigouv_cache_dropped ON sql_drop
	WHEN TAG IN ('DROP SERVER', 'DROP USER MAPPING', 'DROP FOREIGN TABLE', 'DROP FOREIGN DATA WRAPPER', 'DROP SCHEMA',
		'DROP OWNED')
	EXECUTE FUNCTION apigouv_cache_ddl();

CREATE EVENT TRIGGER apigouv_cache_altered ON ddl_command_end
	WHEN TAG IN ('ALTER SERVER', 'ALTER USER MAPPING', 'ALTER FOREIGN TABLE')
	EXECUTE FUNCTION apigouv_cache_ddl();

CREATE VIEW apigouv_regions AS
	SELECT * FROM apigouv_regions();

COMMENT ON VIEW apigouv_regions
	IS 'Regions: INSEE code and name';

CREATE VIEW apigouv_departements AS
	SELECT * FROM apigouv_departements();

COMMENT ON VIEW apigouv_departements
	IS 'Departments and overseas collectivities: INSEE code and name, and their region''s';

GRANT SELECT ON apigouv_regions, apigouv_departements TO PUBLIC;

CREATE FUNCTION apigouv_quota(
	OUT api text,
	OUT "limit" text,
	OUT counted_by text,
	OUT counter text,
	OUT role text,
	OUT allowed bigint,
	OUT window_ms bigint,
	OUT used bigint,
	OUT "left" bigint,
	OUT closed_until timestamptz,
	OUT waiting integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT ROWS 20;

COMMENT ON FUNCTION apigouv_quota()
	IS 'Requests counted against the limits of the APIs, in the whole cluster';

CREATE VIEW apigouv_quota AS
	SELECT * FROM apigouv_quota();

COMMENT ON VIEW apigouv_quota
	IS 'Requests counted against the limits of the APIs, in the whole cluster';

CREATE FUNCTION apigouv_quota_forget()
RETURNS void
AS 'MODULE_PATHNAME', 'apigouv_quota_forget_sent'
LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION apigouv_quota_forget()
	IS 'Declares that no request was sent to any API for as long as the longest window';

REVOKE ALL ON FUNCTION apigouv_quota(), apigouv_quota_forget() FROM PUBLIC;
GRANT SELECT ON apigouv_quota TO pg_monitor;
GRANT EXECUTE ON FUNCTION apigouv_quota() TO pg_monitor;

CREATE FUNCTION apigouv_tables(
	OUT api text,
	OUT "table" text,
	OUT comment text,
	OUT source text,
	OUT operations text[],
	OUT rows double precision,
	OUT "union" boolean,
	OUT listable boolean,
	OUT keys text[],
	OUT limits text[],
	OUT personal_data boolean,
	OUT may_be_kept boolean,
	OUT recommended_cache_ttl_s integer,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100000 ROWS 100;

COMMENT ON FUNCTION apigouv_tables()
	IS 'Tables of the API definitions: what they hold, which keys they need';

CREATE FUNCTION apigouv_columns(
	OUT api text,
	OUT "table" text,
	OUT "position" integer,
	OUT "column" text,
	OUT type text,
	OUT comment text,
	OUT key_of text[],
	OUT operators text[],
	OUT exactness text[],
	OUT rule text,
	OUT personal boolean,
	OUT secret boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100000 ROWS 2000;

COMMENT ON FUNCTION apigouv_columns()
	IS 'Columns of the tables of the API definitions, and the conditions on them that are sent';

CREATE VIEW apigouv_tables AS
	SELECT * FROM apigouv_tables();

COMMENT ON VIEW apigouv_tables
	IS 'Tables of the API definitions: what they hold, which keys they need';

CREATE VIEW apigouv_columns AS
	SELECT * FROM apigouv_columns();

COMMENT ON VIEW apigouv_columns
	IS 'Columns of the tables of the API definitions, and the conditions on them that are sent';

GRANT SELECT ON apigouv_tables, apigouv_columns TO PUBLIC;

CREATE FUNCTION apigouv_document(server name, url text, fresh boolean DEFAULT false)
RETURNS bytea
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100000;

COMMENT ON FUNCTION apigouv_document(name, text, boolean)
	IS 'The document that a link of a table leads to, only from the hosts that the API definition lists';

CREATE FUNCTION apigouv_comment_tables(schema name)
RETURNS bigint
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION apigouv_comment_tables(name)
	IS 'Comment the foreign tables of a schema and their columns from the API definitions; how many comments have changed';

CREATE FUNCTION apigouv_comment_imported()
RETURNS event_trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

-- IMPORT FOREIGN SCHEMA itself can only make tables
CREATE EVENT TRIGGER apigouv_comment_imported ON ddl_command_end
	WHEN TAG IN ('IMPORT FOREIGN SCHEMA')
	EXECUTE FUNCTION apigouv_comment_imported();

-- the ledger begins now, so that its first windows have passed when it is needed
DO $$ BEGIN PERFORM FROM apigouv_quota(); END $$;
