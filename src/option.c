/*-------------------------------------------------------------------------
 *
 * option.c
 *		Options of servers, user mappings, foreign tables and columns.
 *
 * Every option is one row of the table below: where it may stand, how its
 * text is read, whether only a superuser may set it, and which field it
 * fills.  The validator and the readers both follow that table, so nothing
 * else in the extension compares an option's name.
 *
 * Secrets live in user mappings only, since pg_foreign_server is readable by
 * everybody, or in a file that a mapping names.  An option that decides which
 * host receives a token is for superusers, and so is the name of a file, which
 * is read with the server's rights.  Secrets are read at execution, never at
 * planning: the plan cache does not watch user mappings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "limit.h"
#include "messages.h"
#include "option.h"
#include "redact.h"
#include "token_file.h"

/* where an option may stand */
#define ON_SERVER	0x01
#define ON_MAPPING	0x02
#define ON_TABLE	0x04
#define ON_COLUMN	0x08

typedef enum OptionKind
{
	KIND_TEXT,					/* any text, not empty */
	KIND_URL,					/* https, or http to the loopback */
	KIND_PROXY,					/* address of a proxy, without password */
	KIND_NETWORKS,				/* list of addresses and networks */
	KIND_SIRET,
	KIND_INTEGER,				/* min to max */
	KIND_NUMBER,				/* min to max */
	KIND_BOOLEAN,
	KIND_SECRET,
	KIND_FILE					/* absolute path of a file of the server */
} OptionKind;

typedef struct OptionRow
{
	const char *name;
	int			where;
	OptionKind	kind;
	bool		superuser_only;
	int			min;
	int			max;
	size_t		offset;			/* in ApigouvOptions, or in ApigouvSecrets */
} OptionRow;

#define IN_OPTIONS(field) offsetof(ApigouvOptions, field)
#define IN_SECRETS(field) offsetof(ApigouvSecrets, field)
#define NOWHERE ((size_t) -1)

static const OptionRow option_rows[] = {
	{"api", ON_SERVER, KIND_TEXT, false, 0, 0, IN_OPTIONS(api_name)},
	{"base_url", ON_SERVER, KIND_URL, true, 0, 0, IN_OPTIONS(base_url)},
	{"token_url", ON_SERVER, KIND_URL, true, 0, 0, IN_OPTIONS(token_url)},
	{"ca_file", ON_SERVER, KIND_TEXT, true, 0, 0, IN_OPTIONS(ca_file)},
	{"proxy", ON_SERVER, KIND_PROXY, true, 0, 0, IN_OPTIONS(proxy)},
	{"private_addresses", ON_SERVER, KIND_NETWORKS, true, 0, 0, IN_OPTIONS(private_addresses)},
	{"connect_timeout_ms", ON_SERVER, KIND_INTEGER, false, 1, 600000, IN_OPTIONS(connect_timeout_ms)},
	{"timeout_ms", ON_SERVER, KIND_INTEGER, false, 1, 3600000, IN_OPTIONS(timeout_ms)},
	{"retries", ON_SERVER, KIND_INTEGER, false, 0, 20, IN_OPTIONS(retries)},
	{"max_concurrency", ON_SERVER, KIND_INTEGER, false, 1, 256, IN_OPTIONS(max_concurrency)},
	{"response_max_bytes", ON_SERVER, KIND_INTEGER, false, 1024, INT_MAX, IN_OPTIONS(response_max_bytes)},
	{"limits", ON_SERVER, KIND_TEXT, false, 0, 0, IN_OPTIONS(limits_text)},
	{"limit_identity", ON_SERVER, KIND_TEXT, false, 0, 0, IN_OPTIONS(limit_identity)},
	{"role_limits", ON_SERVER, KIND_TEXT, false, 0, 0, IN_OPTIONS(role_limits)},
	{"quota_wait_ms", ON_SERVER, KIND_INTEGER, false, 0, INT_MAX, IN_OPTIONS(quota_wait_ms)},
	{"recipient", ON_SERVER, KIND_SIRET, false, 0, 0, IN_OPTIONS(recipient)},
	{"request_cost", ON_SERVER | ON_TABLE, KIND_NUMBER, false, 0, INT_MAX, IN_OPTIONS(request_cost)},
	{"table", ON_TABLE, KIND_TEXT, false, 0, 0, IN_OPTIONS(table_name)},
	{"rows", ON_TABLE, KIND_NUMBER, false, 0, INT_MAX, IN_OPTIONS(rows)},
	{"cache_ttl_s", ON_SERVER | ON_TABLE, KIND_INTEGER, false, 0, 31536000, IN_OPTIONS(cache_ttl_s)},
	{"derived", ON_TABLE, KIND_BOOLEAN, false, 0, 0, IN_OPTIONS(derived)},
	{"async_capable", ON_SERVER | ON_TABLE, KIND_BOOLEAN, false, 0, 0, IN_OPTIONS(async_capable)},
	{"column", ON_COLUMN, KIND_TEXT, false, 0, 0, NOWHERE},
	{"token", ON_MAPPING, KIND_SECRET, false, 0, 0, IN_SECRETS(token)},
	{"token_file", ON_MAPPING, KIND_FILE, true, 0, 0, IN_SECRETS(token_file)},
	{"client_id", ON_MAPPING, KIND_SECRET, false, 0, 0, IN_SECRETS(client_id)},
	{"client_secret", ON_MAPPING, KIND_SECRET, false, 0, 0, IN_SECRETS(client_secret)},
};

PG_FUNCTION_INFO_V1(apigouv_fdw_validator);

/* Row of an option for one kind of object, or NULL. */
static const OptionRow *
find_row(const char *name, int where)
{
	for (size_t i = 0; i < lengthof(option_rows); i++)
	{
		if ((option_rows[i].where & where) &&
			strcmp(option_rows[i].name, name) == 0)
			return &option_rows[i];
	}
	return NULL;
}

/* Bit of the catalog that holds an object's options. */
static int
where_of_catalog(Oid catalog)
{
	if (catalog == ForeignServerRelationId)
		return ON_SERVER;
	if (catalog == UserMappingRelationId)
		return ON_MAPPING;
	if (catalog == ForeignTableRelationId)
		return ON_TABLE;
	if (catalog == AttributeRelationId)
		return ON_COLUMN;
	return 0;
}

/*
 * raise_unknown_option
 *		Raise the error for an option that does not exist there.
 *
 * The hint lists those that do, or says where a secret belongs.
 */
static void
raise_unknown_option(const char *name, int where)
{
	StringInfoData valid;
	const OptionRow *elsewhere = find_row(name, ON_MAPPING);

	initStringInfo(&valid);
	for (size_t i = 0; i < lengthof(option_rows); i++)
	{
		if (option_rows[i].where & where)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
							 option_rows[i].name);
	}

	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 elsewhere != NULL
			 ? errhint("Secrets are accepted in a user mapping only: CREATE USER MAPPING FOR CURRENT_USER SERVER ... OPTIONS (%s '...').",
					   name)
			 : valid.len > 0
			 ? errhint("Valid options in this context are: %s.", valid.data)
			 : errhint("There are no valid options in this context.")));
}

/* Raise the error for a value that an option cannot have. */
static void
raise_bad_value(const OptionRow *row, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"",
					row->name, value),
			 errhint("%s", hint)));
}

/* Refuse an address that holds a password, without repeating it. */
static void
check_no_password(const OptionRow *row, const char *value)
{
	if (strchr(value, '@') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", row->name),
				 errhint("The options of a server are readable by everybody: an address there cannot hold a user name or a password.")));
}

/* Check a URL option. */
static void
check_url(const OptionRow *row, const char *value)
{
	bool		is_http;
	bool		loopback;
	const char *why;

	check_no_password(row, value);
	if (!apigouv_http_check_url(value, &is_http, &loopback, &why))
		raise_bad_value(row, value,
						psprintf(_("Give a URL such as https://host/path: %s."), why));
	if (row->offset == IN_OPTIONS(base_url) && strchr(value, '?') != NULL)
		raise_bad_value(row, value, _("Paths are appended to it: it cannot have a query string."));
	if (is_http && !loopback)
		raise_bad_value(row, value,
						_("The scheme must be https; http is accepted for a loopback address only."));
}

/*
 * apigouv_option_is_secret
 *		Can a text be a token or a client secret?
 *
 * No byte of it can end a header, and messages hide texts of that length.
 */
bool
apigouv_option_is_secret(const char *text)
{
	size_t		len = strlen(text);

	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) text[i] <= ' ' || (unsigned char) text[i] >= 0x7f)
			return false;
	}
	return len > 0 && len <= APIGOUV_MAX_SECRET_BYTES;
}

/* Read a list of addresses that may be connected to. */
static void
read_networks(const char *list, ApigouvEgress *egress)
{
	const char *at;
	size_t		len;
	const char *why = apigouv_egress_networks(list, egress, &at, &len);

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid address in option \"private_addresses\": \"%s\"",
						pnstrdup(at, len)),
				 errdetail("%s.", _(why)),
				 errhint("Give at most %d addresses or networks, such as 10.1.2.0/24, fd12:3456:789a::/48.",
						 APIGOUV_MAX_NETWORKS)));
}

/* Check a secret without ever repeating it in a message. */
static void
check_secret(const OptionRow *row, const char *value)
{
	if (!apigouv_option_is_secret(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", row->name),
				 errhint("Secrets are at most %d printable ASCII characters without blanks; a token goes without the word \"Bearer\".",
						 APIGOUV_MAX_SECRET_BYTES)));
}

/*
 * read_number
 *		Text of a numeric option to a number within the row's bounds.
 *
 * Raises ERRCODE_INVALID_PARAMETER_VALUE.
 */
static double
read_number(const OptionRow *row, const char *value)
{
	char	   *end;
	double		number;

	errno = 0;
	number = strtod(value, &end);
	if (end == value || *end != '\0' || errno != 0 || isnan(number) ||
		number < row->min || number > row->max ||
		(row->kind == KIND_INTEGER && number != rint(number)))
		raise_bad_value(row, value,
						psprintf(row->kind == KIND_INTEGER
								 ? _("Give an integer between %d and %d.")
								 : _("Give a number between %d and %d."),
								 row->min, row->max));
	return number;
}

/* Check the value of one option; raises ERRCODE_INVALID_PARAMETER_VALUE. */
static void
check_value(const OptionRow *row, const char *value)
{
	bool		flag;
	ApigouvEgress egress;

	if (*value == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" cannot be empty", row->name)));
	switch (row->kind)
	{
		case KIND_TEXT:
			break;
		case KIND_URL:
			check_url(row, value);
			break;
		case KIND_PROXY:
			check_no_password(row, value);
			if (!apigouv_http_check_proxy(value))
				raise_bad_value(row, value, _("Give the address of a proxy, such as http://host:port."));
			break;
		case KIND_NETWORKS:
			read_networks(value, &egress);
			break;
		case KIND_SIRET:
			if (!apigouv_check_siret(value))
				raise_bad_value(row, value,
								_("Give the SIRET of an administration: 14 digits whose checksum is right."));
			break;
		case KIND_INTEGER:
		case KIND_NUMBER:
			(void) read_number(row, value);
			break;
		case KIND_BOOLEAN:
			if (!parse_bool(value, &flag))
				raise_bad_value(row, value, _("Give true or false."));
			break;
		case KIND_SECRET:
			check_secret(row, value);
			break;
		case KIND_FILE:
			if (!is_absolute_path(value))
				raise_bad_value(row, value, _("Give the absolute path of a file of the server."));
			break;
	}
}

/* The name of an API definition, for an example. */
static const char *
some_api(void)
{
	List	   *names = apigouv_apidef_names();

	return names != NIL ? linitial(names) : "...";
}

/* Checks that concern several options of one object. */
static void
check_together(int where, List *options)
{
	const char *api_name = NULL;
	const char *limits = NULL;
	bool		has_token = false;
	bool		has_file = false;
	bool		has_id = false;
	bool		has_secret = false;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		const OptionRow *row = find_row(def->defname, where);

		if (where == ON_MAPPING)
		{
			has_token |= row->offset == IN_SECRETS(token);
			has_file |= row->offset == IN_SECRETS(token_file);
			has_id |= row->offset == IN_SECRETS(client_id);
			has_secret |= row->offset == IN_SECRETS(client_secret);
		}
		else if (row->offset == IN_OPTIONS(api_name))
		{
			api_name = defGetString(def);
			(void) apigouv_apidef_api(api_name, false);
		}
		else if (row->offset == IN_OPTIONS(limits_text))
			limits = defGetString(def);
		else if (row->offset == IN_OPTIONS(role_limits))
			apigouv_limit_check_shares(defGetString(def));
	}

	if (limits != NULL && api_name != NULL)
		(void) apigouv_limit_parse(apigouv_apidef_api(api_name, false),
								   limits);
	if (where == ON_SERVER && api_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"api\" is required for a foreign server of apigouv_fdw"),
				 errhint("Name an API definition, such as OPTIONS (api '%s').",
						 some_api())));
	if (where == ON_MAPPING && has_id != has_secret)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("options \"client_id\" and \"client_secret\" go together")));
	if (has_token + has_file + has_id > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("a user mapping holds either \"token\", or \"token_file\", or \"client_id\" and \"client_secret\"")));
}

/*
 * apigouv_fdw_validator
 *		Check the options of one object.
 *
 * Raises ERRCODE_FDW_INVALID_OPTION_NAME, ERRCODE_INVALID_PARAMETER_VALUE,
 * ERRCODE_FDW_OPTION_NAME_NOT_FOUND, ERRCODE_INSUFFICIENT_PRIVILEGE.
 */
Datum
apigouv_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	int			where = where_of_catalog(PG_GETARG_OID(1));
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		const OptionRow *row = find_row(def->defname, where);

		if (row == NULL)
			raise_unknown_option(def->defname, where);
		if (row->superuser_only && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", row->name),
					 row->kind == KIND_FILE
					 ? errhint("Only a superuser may name a file that the server reads.")
					 : errhint("Only a superuser may set an option that decides where tokens are sent.")));
		check_value(row, defGetString(def));
	}
	check_together(where, options);

	PG_RETURN_VOID();
}

/* Store the values of a list of options into a structure. */
static void
store_options(List *options, int where, void *target)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		const OptionRow *row = find_row(def->defname, where);
		char	   *field;

		if (row == NULL || row->offset == NOWHERE)
			continue;
		field = (char *) target + row->offset;
		switch (row->kind)
		{
			case KIND_INTEGER:
				*(int *) field = (int) read_number(row, defGetString(def));
				break;
			case KIND_NUMBER:
				*(double *) field = read_number(row, defGetString(def));
				break;
			case KIND_BOOLEAN:
				*(bool *) field = defGetBoolean(def);
				break;
			case KIND_TEXT:
			case KIND_URL:
			case KIND_PROXY:
			case KIND_NETWORKS:
			case KIND_SIRET:
			case KIND_SECRET:
			case KIND_FILE:
				*(char **) field = pstrdup(defGetString(def));
				break;
		}
	}
}

/* A URL without its final slashes, so that paths can be appended. */
static char *
without_final_slash(const char *url)
{
	char	   *copy = pstrdup(url);
	size_t		len = strlen(copy);

	while (len > 0 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

/* Addresses that no option gave are the definition's. */
static void
complete_address(ApigouvOptions *options)
{
	options->base_url_given = options->base_url != NULL;
	options->token_url_given = options->token_url != NULL;
	options->base_url = without_final_slash(options->base_url
											? options->base_url
											: options->api->base_url);
	if (options->token_url == NULL)
		options->token_url = options->api->token_url;
}

/* Options of a server, with defaults; table fields are left empty. */
static ApigouvOptions *
read_server(ForeignServer *server)
{
	ApigouvOptions *options = palloc0(sizeof(ApigouvOptions));

	options->serverid = server->serverid;
	options->server_name = server->servername;
	options->connect_timeout_ms = 5000;
	options->timeout_ms = 30000;
	options->retries = 3;
	options->max_concurrency = 8;
	options->quota_wait_ms = 120000;
	options->response_max_bytes = 64 * 1024 * 1024;
	options->request_cost = -1;
	options->rows = -1;
	options->derived = true;
	options->async_capable = true;
	store_options(server->options, ON_SERVER, options);

	if (options->api_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("foreign server \"%s\" has no option \"api\"",
						server->servername)));
	options->api = apigouv_apidef_api(options->api_name, false);
	options->limits = apigouv_limit_parse(options->api, options->limits_text);
	complete_address(options);
	return options;
}

/*
 * apigouv_option_address
 *		Which API a server's options name, and where; false when none.
 *
 * For a server that may be gone from the catalogs: fills nothing else.
 */
bool
apigouv_option_address(List *server_options, ApigouvOptions *options)
{
	memset(options, 0, sizeof(*options));
	store_options(server_options, ON_SERVER, options);
	if (options->api_name == NULL)
		return false;
	options->api = apigouv_apidef_api(options->api_name, true);
	if (options->api == NULL)
		return false;
	complete_address(options);
	return true;
}

/*
 * The secrets that a user mapping's options hold, checked by nobody; a file
 * that they name is not read.
 */
void
apigouv_option_credentials(List *mapping_options, ApigouvSecrets *secrets)
{
	memset(secrets, 0, sizeof(*secrets));
	store_options(mapping_options, ON_MAPPING, secrets);
}

/* A cost that no option gave is the definition's. */
static void
default_cost(ApigouvOptions *options)
{
	if (options->request_cost < 0)
		options->request_cost = options->api->request_cost;
}

/*
 * apigouv_option_server
 *		Options of a foreign server, in the current context.
 */
ApigouvOptions *
apigouv_option_server(Oid serverid)
{
	ApigouvOptions *options = read_server(GetForeignServer(serverid));

	default_cost(options);
	return options;
}

/*
 * settle_ttl
 *		Decide how long replies of a table are kept past the transaction.
 *
 * The table's option wins over the server's, which skips the tables that it
 * cannot have been meant for.
 */
static void
settle_ttl(ApigouvOptions *options, int server_ttl_s, Oid relid)
{
	const ApigouvTable *table = options->table;

	if (options->cache_ttl_s < 0)
		options->cache_ttl_s = table->may_be_kept ? server_ttl_s : 0;
	if (options->cache_ttl_s == 0 || table->may_be_kept)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot keep replies of foreign table \"%s\" past the transaction",
					get_rel_name(relid)),
			 table->holds_secrets
			 ? errdetail("They hold links that open documents.")
			 : errdetail("They hold personal data."),
			 errhint("Drop option \"cache_ttl_s\" of the foreign table.")));
}

/*
 * apigouv_option_table
 *		Options of a foreign table and its server, in the current context.
 *
 * Raises ERRCODE_FDW_TABLE_NOT_FOUND when the API has no such table,
 * ERRCODE_INVALID_PARAMETER_VALUE when its replies cannot be kept as asked.
 */
ApigouvOptions *
apigouv_option_table(Oid relid)
{
	ForeignTable *table = GetForeignTable(relid);
	ApigouvOptions *options = read_server(GetForeignServer(table->serverid));
	int			server_ttl_s = options->cache_ttl_s;

	options->cache_ttl_s = -1;	/* not given */
	store_options(table->options, ON_TABLE, options);
	default_cost(options);
	if (options->table_name == NULL)
		options->table_name = get_rel_name(relid);
	options->table = apigouv_apidef_table(options->api, options->table_name,
										  false);
	settle_ttl(options, server_ttl_s, relid);
	return options;
}

/*
 * apigouv_option_is_foreign
 *		Is a server, or was it, of another wrapper than ours?  Not if that
 *		cannot be told.
 */
bool
apigouv_option_is_foreign(Oid wrapperid)
{
	ForeignDataWrapper *wrapper =
	GetForeignDataWrapperExtended(wrapperid, FDW_MISSING_OK);
	char	   *handler;

	if (wrapper == NULL)
		return false;
	handler = OidIsValid(wrapper->fdwhandler)
		? get_func_name(wrapper->fdwhandler) : NULL;
	return handler == NULL || strcmp(handler, "apigouv_fdw_handler") != 0;
}

/*
 * apigouv_option_usable
 *		A server of ours that the current role may use, or also owns.
 *
 * Raises ERRCODE_UNDEFINED_OBJECT, ERRCODE_INSUFFICIENT_PRIVILEGE, or
 * ERRCODE_WRONG_OBJECT_TYPE when it is of another wrapper.
 */
const ForeignServer *
apigouv_option_usable(const char *name, bool or_own)
{
	const ForeignServer *server = GetForeignServerByName(name, false);
	AclResult	result = apigouv_server_aclcheck(server->serverid,
												 GetUserId());

	if (result != ACLCHECK_OK &&
		!(or_own && apigouv_owns_server(server->serverid, GetUserId())))
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, server->servername);
	if (apigouv_option_is_foreign(server->fdwid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("foreign server \"%s\" is not of apigouv_fdw",
						server->servername)));
	return server;
}

/*
 * apigouv_option_definition
 *		The definition of what a foreign table reads, for whoever only looks
 *		at it; NULL when there is none.
 *
 * The table may be of another wrapper, or name what does not exist; a wrong
 * definition is an error.  Made in the current context.
 */
const ApigouvTable *
apigouv_option_definition(Oid relid)
{
	ForeignTable *table = GetForeignTable(relid);
	ForeignServer *server = GetForeignServer(table->serverid);
	ApigouvOptions options;

	if (apigouv_option_is_foreign(server->fdwid) ||
		!apigouv_option_address(server->options, &options))
		return NULL;
	store_options(table->options, ON_TABLE, &options);
	if (options.table_name == NULL)
		options.table_name = get_rel_name(relid);
	if (options.table_name == NULL)
		return NULL;			/* dropped meanwhile */
	return apigouv_apidef_table_once(options.api, options.table_name);
}

/*
 * apigouv_option_column
 *		Name in the API definition of a foreign table's column.
 */
char *
apigouv_option_column(Oid relid, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, GetForeignColumnOptions(relid, attnum))
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (find_row(def->defname, ON_COLUMN) != NULL)
			return defGetString(def);
	}
	return get_attname(relid, attnum, false);
}

/* Raise the error for a role that has no user mapping. */
static void
raise_no_mapping(const ApigouvOptions *options, Oid userid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("user mapping not found for role \"%s\" on foreign server \"%s\"",
					GetUserNameFromId(userid, false), options->server_name),
			 errhint("Create one with CREATE USER MAPPING FOR %s SERVER %s OPTIONS (%s).",
					 quote_identifier(GetUserNameFromId(userid, false)),
					 quote_identifier(options->server_name),
					 options->api->auth == APIGOUV_AUTH_OAUTH2
					 ? "client_id '...', client_secret '...'"
					 : "token '...'")));
}

/* Has a role a user mapping of its own on a server?  InvalidOid: PUBLIC. */
static bool
has_mapping(Oid serverid, Oid userid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER,
								 ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid));
}

/* HINT: how a user mapping gets what the API needs instead of what it has. */
static int
hint_add_secret(const ApigouvOptions *options, Oid userid,
				const ApigouvSecrets *secrets)
{
	const char *role = secrets->of_public ? "PUBLIC"
	: quote_identifier(GetUserNameFromId(userid, false));
	const char *drop = "";

	if (options->api->auth == APIGOUV_AUTH_OAUTH2)
		drop = secrets->token != NULL ? "DROP token, "
			: secrets->token_file != NULL ? "DROP token_file, " : "";
	else if (secrets->client_id != NULL)
		drop = "DROP client_id, DROP client_secret, ";
	return errhint("Give it with ALTER USER MAPPING FOR %s SERVER %s OPTIONS (%s%s).",
				   role, quote_identifier(options->server_name), drop,
				   options->api->auth == APIGOUV_AUTH_OAUTH2
				   ? "ADD client_id '...', ADD client_secret '...'"
				   : "ADD token '...'");
}

/* Read the token from the file that a user mapping names. */
static void
read_token_file(const ApigouvOptions *options, Oid userid,
				ApigouvSecrets *secrets)
{
	ApigouvTokenFile file;

	apigouv_token_file_read(secrets->token_file, &file);
	secrets->token = file.token;
	if (file.token != NULL)
		return;
	errno = file.file_errno;
	ereport(ERROR,
			(file.file_errno != 0 ? errcode_for_file_access()
			 : errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("could not read token file \"%s\": %s",
					secrets->token_file, file.problem),
			 errdetail("The user mapping of role \"%s\" on foreign server \"%s\" names it.  No request was made.",
					   GetUserNameFromId(userid, false),
					   options->server_name),
			 errhint("It must hold the token alone, and be readable by the database user only: owned by it with permissions u=rw (0600) or less, or by root with u=rw,g=r (0640) or less.")));
}

/* The token that the session has for the person who is before it. */
static void
session_secrets(const ApigouvOptions *options, ApigouvSecrets *secrets)
{
	if (apigouv_france_connect_token == NULL ||
		*apigouv_france_connect_token == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("request to foreign server \"%s\" needs the FranceConnect token of a person",
						options->server_name),
				 errdetail("Setting \"apigouv_fdw.france_connect_token\" is empty.  No request was made."),
				 errhint("SELECT set_config('apigouv_fdw.france_connect_token', $1, true) in the same transaction, with the access token of the person concerned.")));
	secrets->auth = APIGOUV_AUTH_BEARER;
	secrets->of_session = true;
	secrets->token = pstrdup(apigouv_france_connect_token);
}

/*
 * apigouv_option_secrets
 *		The secrets that a route's requests need, in the current context: of
 *		the role's user mapping, of the session, or none.
 *
 * A mapping is only read where one is needed.  Raises
 * ERRCODE_UNDEFINED_OBJECT when there is no mapping,
 * ERRCODE_FDW_OPTION_NAME_NOT_FOUND when it lacks what the API needs, an error
 * about a file that cannot be used,
 * ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION when the session lacks it.
 */
ApigouvSecrets *
apigouv_option_secrets(const ApigouvOptions *options, ApigouvRouteAuth auth,
					   Oid userid)
{
	ApigouvSecrets *secrets = palloc0(sizeof(ApigouvSecrets));
	UserMapping *mapping;
	const char *missing = NULL;

	if (auth == APIGOUV_ROUTE_AUTH_SESSION)
		session_secrets(options, secrets);
	if (auth != APIGOUV_ROUTE_AUTH_API ||
		options->api->auth == APIGOUV_AUTH_NONE)
		return secrets;
	secrets->auth = options->api->auth;

	/*
	 * In a transaction that holds all its locks, a statement may begin
	 * without hearing that another session has changed a mapping.
	 */
	AcceptInvalidationMessages();
	secrets->of_public = !has_mapping(options->serverid, userid);
	if (secrets->of_public && !has_mapping(options->serverid, InvalidOid))
		raise_no_mapping(options, userid);

	mapping = GetUserMapping(userid, options->serverid);
	secrets->umid = mapping->umid;
	store_options(mapping->options, ON_MAPPING, secrets);

	if (options->api->auth == APIGOUV_AUTH_BEARER &&
		secrets->token == NULL && secrets->token_file == NULL)
		missing = "token";
	if (options->api->auth == APIGOUV_AUTH_OAUTH2 &&
		secrets->client_id == NULL)
		missing = "client_id";
	if (missing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("user mapping of role \"%s\" on foreign server \"%s\" has no option \"%s\"",
						GetUserNameFromId(userid, false),
						options->server_name, missing),
				 hint_add_secret(options, userid, secrets)));
	if (options->api->auth == APIGOUV_AUTH_BEARER &&
		secrets->token_file != NULL)
		read_token_file(options, userid, secrets);
	return secrets;
}

/*
 * apigouv_option_http
 *		What the HTTP engine must know of a server.
 *
 * Strings are the options' own.
 */
void
apigouv_option_http(const ApigouvOptions *options, Oid userid,
					ApigouvHttpSettings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->ca_file = options->ca_file;
	settings->proxy = options->proxy;
	if (options->base_url_given)
		settings->given_urls[0] = options->base_url;
	if (options->token_url_given)
		settings->given_urls[1] = options->token_url;
	if (options->private_addresses != NULL)
		read_networks(options->private_addresses, &settings->egress);
	settings->connect_timeout_ms = options->connect_timeout_ms;
	settings->timeout_ms = options->timeout_ms;
	settings->max_concurrency = options->max_concurrency;
	settings->quota_wait_ms = options->quota_wait_ms;
	settings->response_max_bytes = options->response_max_bytes;
	settings->new_connection = options->new_connections;
	settings->pool = hash_combine(murmurhash32(options->serverid),
								  murmurhash32(userid));
}
