/*-------------------------------------------------------------------------
 *
 * check_request.c
 *		The request by which a foreign server is checked.
 *
 * Which one is an API's own affair: member "check" of its definition names a
 * route.  It is sent as any request is, with its slots in the quota ledger,
 * its audit lines and its way out, but once: it is not sent again, and it does
 * not wait for its turn, since that there is none is what is to be told.  An
 * OAuth2 access token is obtained anew, so that the client's credentials are
 * checked too: two requests at most.
 *
 * Not here: what can be seen without asking (check_server.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "audit.h"
#include "budget.h"
#include "checkup.h"
#include "json.h"
#include "messages.h"
#include "send.h"
#include "xact_cache.h"

/* The route to ask, and its table; raises when the definition has none. */
static const ApigouvRoute *
find_route(const ApigouvApi *api, const ApigouvTable **table)
{
	*table = apigouv_apidef_table(api, api->check_table, false);
	for (int i = 0; i < (*table)->nroutes; i++)
	{
		if (strcmp((*table)->routes[i].name, api->check_route) == 0)
			return &(*table)->routes[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("invalid API definition \"%s.json\": check: table \"%s\" has no route \"%s\"",
					api->name, api->check_table, api->check_route)));
}

/* What a parameter sends: one text, or nothing. */
static List *
values_of(const ApigouvApi *api, const ApigouvTable *table,
		  const ApigouvParam *param)
{
	for (int i = 0; i < api->nchecks; i++)
	{
		if (strcmp(api->checks[i].name, param->name) == 0)
			return list_make1(api->checks[i].value);
	}
	if (param->required || param->constant != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition \"%s.json\": check: parameter \"%s\" of table \"%s\" has no value",
						api->name, param->name, table->name)));
	return NIL;
}

/* Make the request; of a list in pages, for one row. */
static void
build(const ApigouvOptions *options, const ApigouvTable *table,
	  const ApigouvRoute *route, ApigouvBuilt *built)
{
	ApigouvCall call = {0};

	call.route = route;
	call.wires = palloc0(sizeof(List *) * Max(route->nparams, 1));
	for (int i = 0; i < route->nparams; i++)
		call.wires[i] = values_of(options->api, table, &route->params[i]);
	if (route->paging.style != APIGOUV_PAGING_NONE)
		call.size = 1;
	if (route->paging.style == APIGOUV_PAGING_PAGE)
		call.at = 1;
	apigouv_request_build(options, &call, built);
}

/* What the retry hook must know, until the transfer has ended. */
typedef struct RetryRule
{
	const ApigouvApi *api;
	const ApigouvRoute *route;
} RetryRule;

/* Retry hook: never again; but a refusal closes its limit for everybody. */
static bool
never_again(const ApigouvTransfer *transfer, void *arg, int *delay_ms)
{
	const RetryRule *rule = arg;

	return apigouv_reply_wants_retry(rule->api, rule->route, 0, transfer,
									 delay_ms);
}

/* Queue the request.  rule: lives as long as the transfer. */
static ApigouvTransfer *
start(ApigouvCheckup *checkup, const ApigouvBuilt *built, RetryRule *rule)
{
	const ApigouvOptions *options = checkup->options;
	uint32		generation;

	apigouv_cache_prepare();	/* so that the transaction's end cancels it */
	return apigouv_send(options, checkup->userid, checkup->secrets, built,
						apigouv_token_generation(options, checkup->secrets),
						never_again, rule, &generation);
}

/* Raise an error unless a reply is what the API's would be. */
static ApigouvJson *
read_reply(const ApigouvOptions *options, const ApigouvRoute *route,
		   const ApigouvTransfer *transfer)
{
	char		problem[256];
	char	   *path = pstrdup(route->rows_path);
	char	   *list = strstr(path, "[]");
	ApigouvJson *reply = transfer->body_len == 0 ? NULL
	: apigouv_json_parse(transfer->body, transfer->body_len, problem,
						 sizeof(problem));

	if (list != NULL)
		*list = '\0';
	if (reply != NULL &&
		(*path == '\0' || apigouv_json_path(reply, path) != NULL))
		return reply;
	ereport(ERROR,
			(errcode(reply != NULL
					 ? ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION
					 : ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("what answers at the address of foreign server \"%s\" is not API \"%s\"",
					options->server_name, options->api->name),
			 reply != NULL
			 ? errdetail("Its reply has no \"%s\".", path)
			 : errdetail("Its reply is not JSON; the content type is \"%s\".",
						 transfer->content_type),
			 errhint("Check options \"base_url\" and \"proxy\" of the foreign server; a proxy may answer in its own name.")));
}

/* Take the scopes of a reply, if that is what it tells. */
static void
take_scopes(ApigouvCheckup *checkup, const ApigouvRoute *route,
			const ApigouvJson *reply)
{
	const ApigouvApi *api = checkup->options->api;
	const ApigouvJson *scopes;

	if (api->scopes_path == NULL || strcmp(api->scopes_path, route->path) != 0)
		return;
	scopes = apigouv_json_path(reply, api->scopes_value);
	checkup->knows_scopes = apigouv_json_kind(scopes) == APIGOUV_JSON_ARRAY;
	checkup->scopes = NIL;
	for (size_t i = 0; i < apigouv_json_size(scopes); i++)
	{
		const char *scope = apigouv_json_string(apigouv_json_at(scopes, i));

		if (scope != NULL)
			checkup->scopes = lappend(checkup->scopes, pstrdup(scope));
	}
}

/*
 * ask
 *		Send the request, and raise the error that its reply, or the want of
 *		one, stands for.
 *
 * The transfer is freed in any case, since the transaction goes on.
 */
static void
ask(ApigouvCheckup *checkup)
{
	const ApigouvOptions *options = checkup->options;
	const ApigouvTable *table;
	const ApigouvRoute *route = find_route(options->api, &table);
	ApigouvJudgement judgement;
	RetryRule	rule = {options->api, route};
	ApigouvBuilt built;
	ApigouvTransfer *transfer;

	build(options, table, route, &built);
	transfer = start(checkup, &built, &rule);
	PG_TRY();
	{
		apigouv_audit_server_check(transfer, options, checkup->userid, table,
								   route);
		while (transfer->state != APIGOUV_TRANSFER_ENDED)
			apigouv_http_wait(transfer, SIZE_MAX);
		checkup->replied = transfer->failure == APIGOUV_FAILURE_NONE;
		apigouv_reply_judge(options->api, route, transfer, true, &judgement);
		if (judgement.verdict != APIGOUV_REPLY_ROWS &&
			judgement.verdict != APIGOUV_REPLY_NO_ROW &&
			judgement.verdict != APIGOUV_REPLY_ROW)
			apigouv_reply_raise(options, route, checkup->userid, transfer,
								&judgement);
		if (judgement.verdict == APIGOUV_REPLY_ROWS)
			take_scopes(checkup, route,
						read_reply(options, route, transfer));
	}
	PG_FINALLY();
	{
		apigouv_http_release(transfer);
	}
	PG_END_TRY();
}

/* How far the request went. */
typedef enum Reach
{
	NOT_SENT,
	NOT_CONNECTED,
	ANSWERED					/* by the API, or by its token endpoint */
} Reach;

/* How far the request went that an error stopped. */
static Reach
reach_of(const ApigouvCheckup *checkup, const ErrorData * error)
{
	if (checkup->replied)
		return ANSWERED;
	switch (error->sqlerrcode)
	{
		case ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION:
		case ERRCODE_CONNECTION_FAILURE:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:	/* a private address */
			return NOT_CONNECTED;
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
		case ERRCODE_IO_ERROR:	/* of the quota ledger */
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:	/* of its audit */
		case ERRCODE_CONFIG_FILE_ERROR:
			return NOT_SENT;
		default:
			return ANSWERED;
	}
}

/* How the credentials that an API has refused are replaced; NULL: not so. */
static char *
replacement(const ApigouvCheckup *checkup, const ErrorData * error)
{
	const ApigouvOptions *options = checkup->options;

	if (error->sqlerrcode != ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		return NULL;
	if (checkup->secrets->auth == APIGOUV_AUTH_BEARER)
		return apigouv_token_renewal(options, checkup->userid,
									 checkup->secrets);
	return psprintf(_("Set others with ALTER USER MAPPING FOR %s SERVER %s OPTIONS (SET client_id '...', SET client_secret '...')."),
					checkup->secrets->of_public ? "PUBLIC"
					: quote_identifier(GetUserNameFromId(checkup->userid,
														 false)),
					quote_identifier(options->server_name));
}

/* Why nothing is to be sent; NULL: it is. */
static const char *
why_not(const ApigouvCheckup *checkup)
{
	if (checkup->blocked)
		return _("not asked, because of what is said above");
	if (checkup->options->api->check_table == NULL)
		return _("not asked: the API definition names no request for it");
	if (apigouv_max_requests_per_query == 0)
		return _("not asked: setting \"apigouv_fdw.max_requests_per_query\" is 0, so that only caches are read");
	return NULL;
}

void
apigouv_checkup_ask(ApigouvCheckup *checkup)
{
	const char *why = why_not(checkup);
	ErrorData  *error = NULL;
	Reach		reach = why == NULL ? ANSWERED : NOT_SENT;

	if (why == NULL)
		error = apigouv_checkup_try(checkup, ask);
	if (error != NULL)
	{
		reach = reach_of(checkup, error);
		why = reach == NOT_SENT ? _("not known: no request was made")
			: _("not known: nothing has answered");
	}
	if (reach == NOT_CONNECTED)
		apigouv_checkup_tell_error(checkup, "connection", error, NULL);
	else
		apigouv_checkup_tell(checkup, "connection",
							 reach == ANSWERED ? APIGOUV_CHECKED_OK
							 : APIGOUV_CHECKED_SKIPPED,
							 reach == ANSWERED
							 ? _("the address was found, connected to, and has answered")
							 : why, NULL);
	if (error != NULL && reach != NOT_CONNECTED)
		apigouv_checkup_tell_error(checkup, "answer", error,
								   replacement(checkup, error));
	else
		apigouv_checkup_tell(checkup, "answer",
							 why == NULL ? APIGOUV_CHECKED_OK
							 : APIGOUV_CHECKED_SKIPPED,
							 why == NULL
							 ? _("the API accepts what this role sends")
							 : why, NULL);
}
