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

CREATE FUNCTION apigouv_tokens(
	OUT server name,
	OUT api text,
	OUT user_name text,
	OUT kind text,
	OUT in_file boolean,
	OUT ends_at timestamptz,
	OUT days_left integer,
	OUT scopes text[],
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION apigouv_tokens()
	IS 'User mappings that the caller may know of, and what their tokens say';

CREATE VIEW apigouv_tokens AS
	SELECT * FROM apigouv_tokens();

COMMENT ON VIEW apigouv_tokens
	IS 'User mappings that the caller may know of, and what their tokens say';

GRANT SELECT ON apigouv_tokens TO PUBLIC;

CREATE FUNCTION apigouv_key_hash(VARIADIC "values" text[])
RETURNS text
AS 'MODULE_PATHNAME', 'apigouv_key_hash'
LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION apigouv_key_hash(text[])
	IS 'Hash by which the audit and errors tell a key that is personal data, or a link';

REVOKE ALL ON FUNCTION apigouv_key_hash(text[]) FROM PUBLIC;

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

CREATE FUNCTION apigouv_create_structures_inclusion(marche regclass, data regclass,
	view_name name DEFAULT 'structures_inclusion', view_schema name DEFAULT current_schema())
RETURNS regclass
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- name; of each API, the column of its definition (none: NULL) and how it gives the value
	common CONSTANT text[] := ARRAY[
		['id', 'id', '%s::text', 'id', '%s::text'],
		['nom', 'name', '%s::text', 'nom', '%s::text'],
		['siret', 'siret', '%s::text', 'siret', '%s::text'],
		['siren', 'siren', '%s::text', 'siren', '%s::text'],
		['type', 'kind', '%s::text', '', '%s::text'],
		['adresse', 'address', '%s::text', 'adresse', '%s::text'],
		['code_postal', 'post_code', '%s::text', 'code_postal', '%s::text'],
		['commune', 'city', '%s::text', 'commune', '%s::text'],
		['code_commune', '', '%s::text', 'code_commune', '%s::text'],
		['code_departement', 'code_departement', '%s::text', 'code_departement', '%s::text'],
		['code_region', 'code_region', '%s::text', 'code_region', '%s::text'],
		['longitude', '', '%s::float8', 'longitude', '%s::float8'],
		['latitude', '', '%s::float8', 'latitude', '%s::float8'],
		['site_web', 'contact_website', '%s::text', 'site_web', '%s::text'],
		['reseaux', 'networks_slugs', '%s::text[]', 'reseaux_porteurs', '%s::text[]'],
		['est_active', 'is_active', '%s::boolean', '', '%s::boolean'],
		['date_maj', 'updated_at', '(%s::timestamptz AT TIME ZONE ''Europe/Paris'')::date', 'date_maj', '%s::date'],
		['obtenu_le', 'obtenu_le', '%s::timestamptz', 'obtenu_le', '%s::timestamptz']];
	apis CONSTANT text[] := ARRAY['marche_inclusion', 'data_inclusion'];
	relations CONSTANT regclass[] := ARRAY[marche, data];
	branches text[] := '{}';
	comments text[] := array_fill(''::text, ARRAY[array_length(common, 1)]);
	place smallint;
	outputs text;
	made regclass;
BEGIN
	IF marche IS NULL OR data IS NULL OR view_name IS NULL OR view_schema IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'foreign tables, name and schema of the view must be given';
	END IF;
	FOR i IN 1 .. 2 LOOP
		PERFORM FROM pg_foreign_table AS t
			JOIN pg_foreign_server AS s ON s.oid = t.ftserver
			JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
			JOIN pg_proc AS h ON h.oid = w.fdwhandler
			JOIN pg_class AS c ON c.oid = t.ftrelid
		WHERE t.ftrelid = relations[i] AND h.proname = 'apigouv_fdw_handler'
			AND EXISTS (SELECT FROM pg_options_to_table(s.srvoptions) AS o
				WHERE o.option_name = 'api' AND o.option_value = apis[i])
			AND coalesce((SELECT o.option_value FROM pg_options_to_table(t.ftoptions) AS o
				WHERE o.option_name = 'table'), c.relname) = 'structures';
		IF NOT FOUND THEN
			RAISE wrong_object_type USING
				MESSAGE = format('"%s" is not the foreign table of table "structures" of API "%s"', relations[i], apis[i]);
		END IF;
		outputs := format('SELECT %L::text AS origine', apis[i]);
		FOR n IN 1 .. array_length(common, 1) LOOP
			-- the first column that the definition knows by this name
			SELECT a.attnum INTO place FROM pg_attribute AS a
			WHERE a.attrelid = relations[i] AND a.attnum > 0 AND NOT a.attisdropped
				AND coalesce((SELECT o.option_value FROM pg_options_to_table(a.attfdwoptions) AS o
					WHERE o.option_name = 'column'), a.attname) = common[n][2 * i]
			ORDER BY a.attnum LIMIT 1;
			outputs := outputs || ', ' || format(common[n][2 * i + 1], coalesce((SELECT 't.' || quote_ident(a.attname)
				FROM pg_attribute AS a WHERE a.attrelid = relations[i] AND a.attnum = place), 'NULL'))
				|| ' AS ' || quote_ident(common[n][1]);
			comments[n] := concat_ws(' / ', nullif(comments[n], ''),
				apis[i] || ' : ' || coalesce(col_description(relations[i], place), CASE WHEN place IS NULL THEN 'NULL' END));
		END LOOP;
		branches := branches || (outputs || format(' FROM %s AS t', relations[i]));
	END LOOP;
	EXECUTE format('CREATE VIEW %I.%I AS %s', view_schema, view_name, array_to_string(branches, ' UNION ALL '));
	made := to_regclass(format('%I.%I', view_schema, view_name));
	EXECUTE format('COMMENT ON VIEW %s IS %L', made,
		'Structures de marche_inclusion et de data_inclusion : leurs colonnes communes');
	EXECUTE format('COMMENT ON COLUMN %s.origine IS %L', made, 'API de la ligne : marche_inclusion ou data_inclusion');
	FOR n IN 1 .. array_length(common, 1) LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', made, common[n][1], nullif(comments[n], ''));
	END LOOP;
	RETURN made;
END
$$;

COMMENT ON FUNCTION apigouv_create_structures_inclusion(regclass, regclass, name, name)
	IS 'Make a view that unites the tables "structures" of the two inclusion APIs';

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
