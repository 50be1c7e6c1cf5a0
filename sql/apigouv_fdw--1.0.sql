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

CREATE VIEW apigouv_regions AS
	SELECT * FROM apigouv_regions();

COMMENT ON VIEW apigouv_regions
	IS 'Regions: INSEE code and name';

CREATE VIEW apigouv_departements AS
	SELECT * FROM apigouv_departements();

COMMENT ON VIEW apigouv_departements
	IS 'Departments and overseas collectivities: INSEE code and name, and their region''s';

GRANT SELECT ON apigouv_regions, apigouv_departements TO PUBLIC;
