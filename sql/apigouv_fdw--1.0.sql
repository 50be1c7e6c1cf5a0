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

-- the ledger begins now, so that its first windows have passed when it is needed
DO $$ BEGIN PERFORM FROM apigouv_quota(); END $$;
