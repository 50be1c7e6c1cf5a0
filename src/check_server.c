/*-------------------------------------------------------------------------
 *
 * check_server.c
 *		SQL function that checks a foreign server: apigouv_check_server.
 *
 * A row for each step, from the definition to the tables, in plain words, with
 * what to type where something is wrong.  What is wrong with the server is
 * never an error of the function, so that the steps after it are told too;
 * wrong arguments and the want of a right are.
 *
 * Errors are those that a query would raise: a part that may fail runs in a
 * subtransaction, and its error becomes a row.  Nothing tells a secret that
 * those errors do not.
 *
 * Not here: what is asked of the API (check_request.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "audit.h"
#include "budget.h"
#include "checkup.h"
#include "compat.h"
#include "limit.h"
#include "messages.h"
#include "quota_view.h"
#include "redact.h"
#include "tally.h"

#define CHECK_COLUMNS	4

/* Longest reply that is taken, in bytes. */
#define MAX_REPLY_BYTES (1024 * 1024)

/* Tables that are named, at most. */
#define MAX_NAMED		8

PG_FUNCTION_INFO_V1(apigouv_check_server);

/* ----------------------------------------------------------------
 *		rows
 * ----------------------------------------------------------------
 */

void
apigouv_checkup_tell(ApigouvCheckup *checkup, const char *step,
					 ApigouvChecked state, const char *message,
					 const char *hint)
{
	static const char *const states[] = {"ok", "warning", "error", "skipped"};
	Datum		values[CHECK_COLUMNS] = {0};
	bool		nulls[CHECK_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(step);
	values[1] = CStringGetTextDatum(states[state]);
	values[2] = CStringGetTextDatum(message);
	nulls[3] = hint == NULL;
	if (hint != NULL)
		values[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(checkup->result->setResult,
						 checkup->result->setDesc, values, nulls);
}

void
apigouv_checkup_tell_error(ApigouvCheckup *checkup, const char *step,
						   const ErrorData * error, const char *hint)
{
	char	   *message = error->detail == NULL ? pstrdup(error->message)
	: psprintf("%s: %s", error->message, error->detail);

	if (error->hint != NULL)
		hint = hint == NULL ? error->hint
			: psprintf("%s %s", error->hint, hint);
	apigouv_checkup_tell(checkup, step, APIGOUV_CHECKED_ERROR, message, hint);
}

/* Is an error about the session rather than the server that is checked? */
static bool
is_of_session(const ErrorData * error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error->sqlerrcode != ERRCODE_CONFIGURATION_LIMIT_EXCEEDED &&
		(category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		 category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		 category == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR));
}

ErrorData *
apigouv_checkup_try(ApigouvCheckup *checkup, ApigouvCheckupPart part)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		part(checkup);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	if (error != NULL && is_of_session(error))
		ReThrowError(error);
	return error;
}

/* Append a name to a list for people, unless it has as many as are named. */
static void
append_name(StringInfo buf, int n, const char *name)
{
	if (n < MAX_NAMED)
		appendStringInfo(buf, "%s%s", n > 0 ? ", " : "", name);
	else if (n == MAX_NAMED)
		appendStringInfoString(buf, ", ...");
}

/* ----------------------------------------------------------------
 *		what can be seen without asking
 * ----------------------------------------------------------------
 */

/*
 * Read the options.  The requests of a check are made once, do not wait for
 * their turn, and ask for little.  Each makes its own connection: one that was
 * kept would hide what has gone wrong with names and certificates since, and
 * when it is dead libcurl sends again.
 */
static void
read_options(ApigouvCheckup *checkup)
{
	ApigouvOptions *options = apigouv_option_server(checkup->serverid);

	options->retries = 0;
	options->quota_wait_ms = 0;
	options->new_connections = true;
	options->response_max_bytes = Min(options->response_max_bytes,
									  MAX_REPLY_BYTES);
	options->tally = apigouv_tally_of(options, NULL);
	checkup->options = options;
}

/* The definition, and where requests go; false when there is none. */
static bool
check_definition(ApigouvCheckup *checkup)
{
	ErrorData  *error = apigouv_checkup_try(checkup, read_options);
	const ApigouvOptions *options = checkup->options;

	if (error != NULL)
	{
		apigouv_checkup_tell_error(checkup, "definition", error, NULL);
		return false;
	}
	apigouv_checkup_tell(checkup, "definition", APIGOUV_CHECKED_OK,
						 psprintf(_("API \"%s\" (%s), %d tables"),
								  options->api->name,
								  options->api->title ? options->api->title
								  : "", options->api->ntables), NULL);
	apigouv_checkup_tell(checkup, "address", APIGOUV_CHECKED_OK,
						 options->proxy != NULL
						 ? psprintf(_("requests go to %s through proxy %s"),
									options->base_url, options->proxy)
						 : psprintf(_("requests go to %s"),
									options->base_url), NULL);
	return true;
}

static void
read_secrets(ApigouvCheckup *checkup)
{
	checkup->secrets = apigouv_option_secrets(checkup->options,
											  APIGOUV_ROUTE_AUTH_API,
											  checkup->userid);
}

/* The user mapping of the role. */
static void
check_mapping(ApigouvCheckup *checkup)
{
	ErrorData  *error = apigouv_checkup_try(checkup, read_secrets);
	const char *role = GetUserNameFromId(checkup->userid, false);

	if (error != NULL)
	{
		checkup->blocked = true;
		apigouv_checkup_tell_error(checkup, "user mapping", error, NULL);
		return;
	}
	apigouv_checkup_tell(checkup, "user mapping", APIGOUV_CHECKED_OK,
						 checkup->secrets->auth == APIGOUV_AUTH_NONE
						 ? _("the API needs none")
						 : checkup->secrets->of_public
						 ? psprintf(_("role \"%s\" uses that of PUBLIC"), role)
						 : psprintf(_("role \"%s\" has one"), role), NULL);
}

/* What a token that ends says of that. */
static void
check_end(ApigouvCheckup *checkup, const ApigouvTokenFacts *facts)
{
	TimestampTz left = facts->ends_at - GetCurrentTimestamp();
	char	   *end = pstrdup(timestamptz_to_str(facts->ends_at));
	char	   *renewal = apigouv_token_renewal(checkup->options,
												checkup->userid,
												checkup->secrets);

	if (left <= 0)
	{
		checkup->blocked = true;
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_ERROR,
							 psprintf(_("it has ended, at %s"), end), renewal);
	}
	else if (left <= APIGOUV_TOKEN_WARN_US)
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_WARNING,
							 psprintf(_("it ends soon, at %s"), end), renewal);
	else
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_OK,
							 psprintf(_("it ends at %s"), end), NULL);
}

/* What the credentials say of themselves. */
static void
check_token(ApigouvCheckup *checkup)
{
	const ApigouvSecrets *secrets = checkup->secrets;
	const ApigouvApi *api = checkup->options->api;
	ApigouvTokenFacts facts;

	if (secrets == NULL)
	{
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_SKIPPED,
							 _("there is none to look at"), NULL);
		return;
	}
	if (secrets->auth != APIGOUV_AUTH_BEARER)
	{
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_OK,
							 secrets->auth == APIGOUV_AUTH_NONE
							 ? _("the API needs none")
							 : _("access tokens are obtained with the client's credentials"),
							 NULL);
		return;
	}
	apigouv_token_read(secrets->token, &facts);
	checkup->knows_scopes = api->jwt && facts.has_scopes;
	checkup->scopes = facts.scopes;
	if (api->jwt && facts.looks_like_jwt && !facts.is_jwt)
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_ERROR,
							 _("it begins as a JWT and is none: it was not copied whole"),
							 apigouv_token_renewal(checkup->options,
												   checkup->userid, secrets));
	else if (api->jwt && facts.ends_at != DT_NOEND)
		check_end(checkup, &facts);
	else
		apigouv_checkup_tell(checkup, "token", APIGOUV_CHECKED_OK,
							 _("it does not tell when it ends"), NULL);
}

/* A part of the purpose: its value, or what to type for it. */
static void
check_part(StringInfo given, StringInfo missing, const char *name,
		   const char *value, const char *command)
{
	if (value != NULL && *value != '\0')
		appendStringInfo(given, "%s%s \"%s\"", given->len > 0 ? ", " : "",
						 name, value);
	else
		appendStringInfo(missing, "%s%s", missing->len > 0 ? " " : "",
						 command);
}

/* What the API demands to be told of each request. */
static void
check_purpose(ApigouvCheckup *checkup)
{
	const ApigouvOptions *options = checkup->options;
	int			demanded = options->api->purposes;
	const char *recipient = apigouv_recipient;
	StringInfoData given;
	StringInfoData missing;

	initStringInfo(&given);
	initStringInfo(&missing);
	if (recipient == NULL || *recipient == '\0')
		recipient = options->recipient;
	if (demanded & (1 << APIGOUV_PURPOSE_RECIPIENT))
		check_part(&given, &missing, "recipient", recipient,
				   psprintf("ALTER SERVER %s OPTIONS (ADD recipient '...');",
							quote_identifier(options->server_name)));
	if (demanded & (1 << APIGOUV_PURPOSE_CONTEXT))
		check_part(&given, &missing, "context", apigouv_context,
				   "SET apigouv_fdw.context = '...';");
	if (demanded & (1 << APIGOUV_PURPOSE_OBJECT))
		check_part(&given, &missing, "object", apigouv_object,
				   "SET apigouv_fdw.object = '...';");
	if (demanded == 0)
		apigouv_checkup_tell(checkup, "purpose", APIGOUV_CHECKED_OK,
							 _("the API demands none"), NULL);
	else if (missing.len == 0)
		apigouv_checkup_tell(checkup, "purpose", APIGOUV_CHECKED_OK,
							 given.data, NULL);
	else
		apigouv_checkup_tell(checkup, "purpose", APIGOUV_CHECKED_ERROR,
							 _("the API demands the purpose of each request, and a part of it is not set"),
							 psprintf(_("%s Conditions on the columns of the purpose do as well, in each query."),
									  missing.data));
}

static void
check_audit_lines(ApigouvCheckup *checkup)
{
	apigouv_audit_check(checkup->options);
}

/* Can the audit lines be written? */
static void
check_audit(ApigouvCheckup *checkup)
{
	ErrorData  *error = apigouv_checkup_try(checkup, check_audit_lines);

	if (error == NULL)
		return;
	checkup->blocked = true;
	apigouv_checkup_tell_error(checkup, "audit", error, NULL);
}

/* ----------------------------------------------------------------
 *		the ledger
 * ----------------------------------------------------------------
 */

/* What the ledger says of the limits that count this role's requests. */
typedef struct Quota
{
	StringInfoData used;		/* counters with requests */
	StringInfoData shut;		/* those under which nothing may go now */
} Quota;

/* Add what is said of a limit to a list for people. */
static void
append_limit(StringInfo buf, const char *text)
{
	appendStringInfo(buf, "%s%s", buf->len > 0 ? "; " : "", text);
}

/* What is said of a limit that is closed for so long, palloc'd. */
static char *
describe_closed(const char *text, int64 us)
{
	return psprintf(_("%s, closed until %s"), text,
					timestamptz_to_str(GetCurrentTimestamp() + us));
}

/* What a counter of the ledger says of a limit, palloc'd. */
static char *
describe_counter(const ApigouvQuotaRow *row, const ApigouvQuotaLimit *limit)
{
	char	   *rate = apigouv_limit_window((int) row->allowed,
											limit->window_us / 1000);
	char	   *text = limit->role[0] == '\0'
	? psprintf(_("\"%s\": %lld used of %s, %lld left"), limit->name,
			   (long long) row->used, rate, (long long) row->left)
	: psprintf(_("\"%s\" of role \"%s\": %lld used of %s, %lld left"),
			   limit->name, limit->role, (long long) row->used, rate,
			   (long long) row->left);

	return row->closed_us == 0 ? text : describe_closed(text, row->closed_us);
}

/*
 * Add a limit that has no counter when it is closed all the same: what was
 * sent before the ledger was made is not known.
 */
static void
add_unused(Quota *quota, const ApigouvQuotaLimit *limit)
{
	ApigouvQuotaLimits alone = {.n = 1};
	int64		us;

	alone.limits[0] = *limit;
	us = apigouv_budget_forecast(&alone, 1);
	if (us > 0)
		append_limit(&quota->shut,
					 describe_closed(psprintf("\"%s\"", limit->name), us));
}

/* Add what a limit's counter says, if anybody has counted there. */
static void
add_counter(Quota *quota, const ApigouvQuotaRows *rows,
			const ApigouvQuotaLimit *limit)
{
	bool		is_used = false;

	for (int i = 0; i < rows->n; i++)
	{
		const ApigouvQuotaRow *row = &rows->rows[i];
		bool		is_shut = row->left == 0 || row->closed_us > 0;

		if (memcmp(row->counter.key, limit->key, sizeof(limit->key)) != 0)
			continue;
		is_used = true;
		if (is_shut || row->used > 0)
			append_limit(is_shut ? &quota->shut : &quota->used,
						 describe_counter(row, limit));
	}
	if (!is_used)
		add_unused(quota, limit);
}

/* Tell what was used of the limits, and which are closed. */
static void
tell_quota(ApigouvCheckup *checkup)
{
	const ApigouvOptions *options = checkup->options;
	ApigouvQuotaRows *rows = apigouv_quota_rows();
	Quota		quota;

	initStringInfo(&quota.used);
	initStringInfo(&quota.shut);
	for (int i = 0; i < options->api->nlimits; i++)
	{
		ApigouvQuotaLimits limits;

		apigouv_limit_find(options, checkup->userid, checkup->secrets, i,
						   false, &limits);
		for (int j = 0; j < limits.n; j++)
			add_counter(&quota, rows, &limits.limits[j]);
	}
	pfree(rows);
	if (quota.shut.len > 0)
		apigouv_checkup_tell(checkup, "quota", APIGOUV_CHECKED_WARNING,
							 psprintf(_("nothing can be sent now under %s"),
									  quota.shut.data),
							 _("Queries wait for their turn, as long as server option \"quota_wait_ms\" lets them. A limit that nobody has used is closed for a window after the cluster was made, restored or has crashed: what was sent before is not known."));
	else
		apigouv_checkup_tell(checkup, "quota", APIGOUV_CHECKED_OK,
							 quota.used.len > 0 ? quota.used.data
							 : options->api->nlimits > 0
							 ? _("nothing was sent lately")
							 : _("the API publishes no limit"), NULL);
}

/* The limits of the API, and what is left of them. */
static void
check_quota(ApigouvCheckup *checkup)
{
	ErrorData  *error;

	if (checkup->secrets == NULL)
	{
		apigouv_checkup_tell(checkup, "quota", APIGOUV_CHECKED_SKIPPED,
							 _("without a user mapping, nobody counts"), NULL);
		return;
	}
	error = apigouv_checkup_try(checkup, tell_quota);
	if (error != NULL)
	{
		checkup->blocked = true;
		apigouv_checkup_tell_error(checkup, "quota", error, NULL);
	}
}

/* ----------------------------------------------------------------
 *		scopes and tables
 * ----------------------------------------------------------------
 */

/* Do the scopes of the token open some route of a table? */
static bool
is_open_table(const ApigouvCheckup *checkup, const ApigouvTable *table)
{
	for (int i = 0; i < table->nroutes; i++)
	{
		if (apigouv_apidef_is_entitled(&table->routes[i],
									   checkup->scopes))
			return true;
	}
	return false;
}

/* Which tables the scopes open. */
static void
tell_scopes(ApigouvCheckup *checkup)
{
	const ApigouvApi *api = checkup->options->api;
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "apigouv_fdw definition looked at",
											  ALLOCSET_DEFAULT_SIZES);
	StringInfoData shut;
	int			nshut = 0;

	initStringInfo(&shut);
	for (int i = 0; i < api->ntables; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(cxt);
		bool		is_open =
		is_open_table(checkup, apigouv_apidef_table_once(api, api->tables[i]));

		MemoryContextSwitchTo(old);
		MemoryContextReset(cxt);
		if (!is_open)
			append_name(&shut, nshut++, api->tables[i]);
	}
	MemoryContextDelete(cxt);
	apigouv_checkup_tell(checkup, "scopes",
						 checkup->scopes == NIL ? APIGOUV_CHECKED_WARNING
						 : APIGOUV_CHECKED_OK,
						 psprintf(_("the token holds %d scopes, which open %d of %d tables"),
								  list_length(checkup->scopes),
								  api->ntables - nshut, api->ntables),
						 nshut == 0 ? NULL
						 : psprintf(_("Closed: %s. Their scopes are asked for where the token was."),
									shut.data));
}

/* What the token may ask for, where it or the API tells. */
static void
check_scopes(ApigouvCheckup *checkup)
{
	ErrorData  *error;

	if (!checkup->knows_scopes)
		return;
	error = apigouv_checkup_try(checkup, tell_scopes);
	if (error != NULL)
		apigouv_checkup_tell_error(checkup, "scopes", error, NULL);
}

/* Foreign tables of the server in this database. */
static int
count_tables(Oid serverid)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	tuple;
	int			n = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		n += ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver == serverid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return n;
}

/* Whether there is something to query. */
static void
check_tables(ApigouvCheckup *checkup)
{
	const char *api = checkup->options->api->name;
	int			n = count_tables(checkup->serverid);

	if (n > 0)
		apigouv_checkup_tell(checkup, "tables", APIGOUV_CHECKED_OK,
							 psprintf(ngettext("%d foreign table in this database",
											   "%d foreign tables in this database",
											   (unsigned long) n), n), NULL);
	else
		apigouv_checkup_tell(checkup, "tables", APIGOUV_CHECKED_WARNING,
							 _("there is no foreign table in this database yet"),
							 psprintf("CREATE SCHEMA %s; IMPORT FOREIGN SCHEMA %s FROM SERVER %s INTO %s;",
									  api, api,
									  quote_identifier(checkup->server_name),
									  api));
}

/* ----------------------------------------------------------------
 *		the function
 * ----------------------------------------------------------------
 */

/* Find the server, and the role to check it for; raises without the rights. */
static void
find_server(FunctionCallInfo fcinfo, ApigouvCheckup *checkup)
{
	const ForeignServer *server;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the foreign server must be given")));
	server = apigouv_option_usable(NameStr(*PG_GETARG_NAME(0)), true);
	checkup->serverid = server->serverid;
	checkup->server_name = server->servername;
	checkup->userid = PG_ARGISNULL(1) ? GetUserId()
		: get_role_oid(NameStr(*PG_GETARG_NAME(1)), false);
	if (!has_privs_of_role(GetUserId(), checkup->userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to use the user mapping of role \"%s\"",
						GetUserNameFromId(checkup->userid, false)),
				 errhint("Only members of that role, with its rights, and superusers may check what it can ask.")));
}

/*
 * apigouv_check_server(server name, role name) returns setof record
 *		What works of a foreign server for a role, and what does not: a row for
 *		each step.
 *
 * role: NULL: the current one.  Makes two requests at most.  Needs USAGE on
 * the server, or to own it.
 */
Datum
apigouv_check_server(PG_FUNCTION_ARGS)
{
	ApigouvCheckup checkup = {0};

	find_server(fcinfo, &checkup);
	InitMaterializedSRF(fcinfo, 0);
	checkup.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (!check_definition(&checkup))
		return (Datum) 0;
	check_mapping(&checkup);
	check_token(&checkup);
	check_purpose(&checkup);
	check_audit(&checkup);
	check_quota(&checkup);
	apigouv_checkup_ask(&checkup);
	check_scopes(&checkup);
	check_tables(&checkup);
	return (Datum) 0;
}
