/*-------------------------------------------------------------------------
 *
 * token_view.c
 *		SQL function that tells what tokens say: apigouv_tokens.
 *
 * A row for each user mapping of this wrapper that the caller may know of:
 * its own, that of PUBLIC, which is everybody's, and those of the servers
 * that it owns, by itself or as a member of the owner.  USAGE on the server is
 * not asked for: when a token ends, and what it may ask, are no secrets to who
 * uses it.  The token is one: no part of it is shown, nor the name of a file
 * that holds it.
 *
 * Nothing is sent.  What is wrong with one mapping is told in its row and
 * hides no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "messages.h"
#include "redact.h"
#include "token.h"
#include "token_file.h"

#define TOKEN_COLUMNS	9

/* Longest scope that is shown, in bytes. */
#define MAX_SCOPE_BYTES 200

PG_FUNCTION_INFO_V1(apigouv_tokens);

/* What a row tells. */
typedef struct TokenRow
{
	const char *server;
	const char *api;			/* NULL when the server names none */
	const char *user;
	const char *kind;			/* NULL when there is no credential */
	bool		in_file;
	ApigouvTokenFacts facts;
	const char *error;			/* NULL when nothing is wrong */
} TokenRow;

/* May the current role know of a user mapping?  umuser 0: PUBLIC's. */
static bool
is_visible(Oid umuser, Oid serverid)
{
	return !OidIsValid(umuser) || umuser == GetUserId() ||
		apigouv_owns_server(serverid, GetUserId());
}

/* The options of a server, as far as its address and API go. */
typedef struct Address
{
	const ForeignServer *server;
	ApigouvOptions options;
	bool		found;			/* is there such a definition? */
} Address;

static void
read_address(void *arg)
{
	Address    *address = arg;

	address->found = apigouv_option_address(address->server->options,
											&address->options);
}

/*
 * definition_of
 *		The API of a server, in row; NULL, with row->error, when its
 *		definition cannot be read.
 */
static const ApigouvApi *
definition_of(const ForeignServer *server, TokenRow *row)
{
	Address    *address = palloc0(sizeof(Address));

	address->server = server;
	row->error = apigouv_apidef_file_error(read_address, address);
	row->api = address->options.api_name;
	if (row->error != NULL)
		return NULL;
	if (!address->found)
		row->error = _("there is no such API definition");
	return address->options.api;
}

/* Fill a row by what a bearer token says. */
static void
describe_bearer(const ApigouvApi *api, const char *token, TokenRow *row)
{
	apigouv_token_read(token, &row->facts);
	row->kind = row->facts.is_jwt ? "jwt" : "opaque";
	if (api->jwt && row->facts.looks_like_jwt && !row->facts.is_jwt)
		row->error = _("token begins as a JWT and is none: was it copied whole?");
	else if (row->facts.ends_at <= GetCurrentTimestamp())
		row->error = _("token has ended");
}

/* Fill a row by the credentials of a user mapping. */
static void
describe(const ApigouvApi *api, const ApigouvSecrets *secrets, TokenRow *row)
{
	ApigouvTokenFile file;

	row->in_file = secrets->token_file != NULL;
	switch (api->auth)
	{
		case APIGOUV_AUTH_NONE:
			return;
		case APIGOUV_AUTH_OAUTH2:
			if (secrets->client_id != NULL)
				row->kind = "oauth2";
			else
				row->error = _("user mapping has no option \"client_id\"");
			return;
		case APIGOUV_AUTH_BEARER:
			break;
	}
	if (secrets->token != NULL)
		describe_bearer(api, secrets->token, row);
	else if (secrets->token_file == NULL)
		row->error = _("user mapping has no option \"token\"");
	else
	{
		apigouv_token_file_read(secrets->token_file, &file);
		if (file.token != NULL)
			describe_bearer(api, file.token, row);
		else
			row->error = psprintf(_("could not read the token file: %s"),
								  file.problem);
	}
}

/* Scopes as text[], made fit to be shown. */
static Datum
scopes_datum(const List *scopes)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(list_length(scopes), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, scopes)
	{
		const char *scope = lfirst(lc);

		datums[n++] = CStringGetTextDatum(apigouv_clean_text(scope,
															 strlen(scope),
															 MAX_SCOPE_BYTES));
	}
	return PointerGetDatum(construct_array(datums, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Whole days until a moment; below zero when it has passed. */
static int32
days_until(TimestampTz end)
{
	TimestampTz left = end - GetCurrentTimestamp();
	int64		days = left / USECS_PER_DAY;

	return (int32) (left < 0 && left % USECS_PER_DAY != 0 ? days - 1 : days);
}

/* Add a row to the result. */
static void
put_row(const TokenRow *row, ReturnSetInfo *result)
{
	Datum		values[TOKEN_COLUMNS] = {0};
	bool		nulls[TOKEN_COLUMNS] = {0};
	const char *texts[TOKEN_COLUMNS] = {0};

	texts[1] = row->api;
	texts[2] = row->user;
	texts[3] = row->kind;
	texts[8] = row->error;
	for (int i = 0; i < TOKEN_COLUMNS; i++)
	{
		nulls[i] = texts[i] == NULL;
		if (texts[i] != NULL)
			values[i] = CStringGetTextDatum(texts[i]);
	}
	nulls[0] = nulls[4] = false;
	values[0] = DirectFunctionCall1(namein, CStringGetDatum(row->server));
	values[4] = BoolGetDatum(row->in_file);
	if (row->facts.ends_at != DT_NOEND)
	{
		nulls[5] = nulls[6] = false;
		values[5] = TimestampTzGetDatum(row->facts.ends_at);
		values[6] = Int32GetDatum(days_until(row->facts.ends_at));
	}
	if (row->facts.has_scopes)
	{
		nulls[7] = false;
		values[7] = scopes_datum(row->facts.scopes);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Give the row of a user mapping, if there is one for the caller. */
static void
show_mapping(HeapTuple tuple, Relation catalog, ReturnSetInfo *result)
{
	Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);
	ForeignServer *server = GetForeignServerExtended(mapping->umserver,
													 FSV_MISSING_OK);
	TokenRow	row = {.facts = {.ends_at = DT_NOEND}};
	ApigouvSecrets secrets;
	const ApigouvApi *api;
	Datum		options;
	bool		isnull;

	if (server == NULL || apigouv_option_is_foreign(server->fdwid) ||
		!is_visible(mapping->umuser, mapping->umserver))
		return;
	row.server = server->servername;
	row.user = OidIsValid(mapping->umuser)
		? GetUserNameFromId(mapping->umuser, true) : "public";
	if (row.user == NULL)
		return;					/* dropped meanwhile */
	options = heap_getattr(tuple, Anum_pg_user_mapping_umoptions,
						   RelationGetDescr(catalog), &isnull);
	apigouv_option_credentials(isnull ? NIL : untransformRelOptions(options),
							   &secrets);
	api = definition_of(server, &row);
	if (api != NULL)
		describe(api, &secrets, &row);
	put_row(&row, result);
}

/*
 * apigouv_tokens
 *		The user mappings that the caller may know of, and what their tokens
 *		say.
 */
Datum
apigouv_tokens(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "apigouv_fdw token shown",
												  ALLOCSET_SMALL_SIZES);
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitMaterializedSRF(fcinfo, 0);
	catalog = table_open(UserMappingRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		MemoryContext old = MemoryContextSwitchTo(row_cxt);

		CHECK_FOR_INTERRUPTS();
		show_mapping(tuple, catalog, result);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_cxt);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	MemoryContextDelete(row_cxt);
	return (Datum) 0;
}
