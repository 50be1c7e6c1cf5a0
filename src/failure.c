/*-------------------------------------------------------------------------
 *
 * failure.c
 *		Errors about the reply to a task.
 *
 * Each names in CONTEXT the key that was asked, so that one bad key among
 * hundreds can be found; where keys are personal data, by a keyed hash.  Then
 * nothing of the reply is told, either, that repeats a value or that the API
 * has not given a code: what a gateway says can hold the address asked.  The
 * reply is forgotten first, so that a retry within the transaction asks again.
 *
 * Not here: what a reply means and the words for it (reply.c), which failure
 * gives a row instead of an error (fetch.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/rel.h"

#include "messages.h"
#include "redact.h"
#include "scan_state.h"

/* Whose error is raised. */
typedef struct KeyContext
{
	ErrorContextCallback callback;
	const ApigouvScanState *state;
	const ApigouvTask *task;
	char	   *hash;			/* of a personal key; NULL if none */
} KeyContext;

/* Is a parameter of a route the first one that takes its column? */
static bool
takes_column_first(const ApigouvRoute *route, int param)
{
	for (int i = 0; i < param; i++)
	{
		if (route->params[i].required &&
			route->params[i].column == route->params[param].column)
			return false;
	}
	return true;
}

/* Error context: the key asked, or the hash of one that is personal data. */
static void
explain_key(void *arg)
{
	const KeyContext *context = arg;
	const ApigouvTable *table = context->state->options->table;
	const ApigouvRoute *route = context->task->sroute->route;
	StringInfoData keys;

	if (context->hash != NULL)
		errcontext("foreign table \"%s\", key with hash %s",
				   RelationGetRelationName(context->state->rel),
				   context->hash);
	if (table->personal_data || context->hash != NULL)
		return;
	initStringInfo(&keys);
	for (int i = 0; i < route->nparams; i++)
	{
		int			column = route->params[i].column;
		const char *asked = column >= 0 ? context->task->echo[column] : NULL;

		if (asked == NULL || !route->params[i].required ||
			route->params[i].purpose != APIGOUV_PURPOSE_NONE ||
			!takes_column_first(route, i) || table->columns[column].personal)
			continue;
		appendStringInfo(&keys, "%s%s = \"%s\"", keys.len > 0 ? ", " : "",
						 table->columns[column].name,
						 apigouv_clean_text(asked, strlen(asked), 100));
	}
	if (keys.len > 0)
		errcontext("foreign table \"%s\", key %s",
				   RelationGetRelationName(context->state->rel), keys.data);
}

/* Is a parameter's value part of what tells a task's key? */
bool
apigouv_failure_is_of_key(const ApigouvParam *param)
{
	return param->column >= 0 && param->purpose == APIGOUV_PURPOSE_NONE;
}

/* The values asked by a task: list of texts. */
static List *
key_values(const ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;
	List	   *values = NIL;

	for (int i = 0; i < route->nparams; i++)
	{
		if (apigouv_failure_is_of_key(&route->params[i]))
			values = list_concat(values, task->wires[i]);
	}
	return values;
}

/* Does a task ask with values? */
bool
apigouv_failure_has_key(const ApigouvTask *task)
{
	return key_values(task) != NIL;
}

/* The hash of a task's key, NULL when it has none. */
char *
apigouv_failure_hash(const ApigouvTask *task)
{
	List	   *values = key_values(task);
	const char **texts = palloc(sizeof(char *) *
								Max(list_length(values), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, values)
		texts[n++] = lfirst(lc);
	return n == 0 ? NULL : apigouv_redact_key(n, texts);
}

/*
 * silence
 *		Let the judgement on a reply about a person tell no more than it must.
 */
static void
silence(ApigouvTask *task)
{
	ApigouvJudgement *judgement = &task->judgement;
	const char *title = pg_server_to_any(judgement->title,
										 strlen(judgement->title), PG_UTF8);
	ListCell   *lc;

	judgement->is_silent = true;
	/* who a token stands for is not known here: no name to look for */
	if (judgement->code[0] == '\0' ||
		task->sroute->route->auth == APIGOUV_ROUTE_AUTH_SESSION)
		judgement->title[0] = '\0';
	/* a letter that the server's encoding lacks was replaced: no comparing */
	if (GetDatabaseEncoding() != PG_UTF8 && strchr(title, '?') != NULL)
		judgement->title[0] = '\0';
	foreach(lc, key_values(task))
	{
		const char *value = lfirst(lc);
		StringInfoData escaped;

		initStringInfo(&escaped);
		apigouv_http_escape(&escaped, value);
		if (apigouv_redact_has_word(title, value) ||
			apigouv_redact_has_word(title, escaped.data))
			judgement->title[0] = '\0';
	}
}

/*
 * begin_error
 *		Let what failed be asked anew, and the error that follows tell its key.
 *
 * page: that failed; NULL: any of the task's.
 * context: the caller's, who must raise; nothing else takes it back.
 */
static void
begin_error(const ApigouvScanState *state, ApigouvTask *task,
			const ApigouvPage *page, KeyContext *context)
{
	if (page == NULL)
		apigouv_page_forget(task);
	else
		apigouv_page_failed(task, page);
	context->callback.callback = explain_key;
	context->callback.arg = context;
	context->callback.previous = error_context_stack;
	context->state = state;
	context->task = task;
	context->hash = NULL;
	if (task->sroute->route->is_personal)
	{
		context->hash = apigouv_failure_hash(task);
		silence(task);
	}
	error_context_stack = &context->callback;
}

/*
 * apigouv_failure_raise
 *		Raise the error that the judgement on a task's reply stands for.
 *
 * page: NULL when it is not known which one it is about.
 *
 * The first request of a route that has one needs scopes of its own.
 */
void
apigouv_failure_raise(const ApigouvScanState *state, ApigouvTask *task,
					  const ApigouvPage *page,
					  const ApigouvTransfer *transfer)
{
	ApigouvRoute asked = *task->sroute->route;
	KeyContext	context;

	if (page == &task->lookup)
	{
		asked.scopes = asked.lookup.scopes;
		asked.nscopes = asked.lookup.nscopes;
	}
	begin_error(state, task, page, &context);
	apigouv_reply_raise(state->options, &asked, state->userid, transfer,
						&task->judgement);
}

/*
 * apigouv_failure_unreadable
 *		Raise the error of a reply that cannot be decoded.
 *
 * A reply that is JSON, but not shaped as the definition says, has an error
 * code of its own.  why: without period; offset: where.
 */
void
apigouv_failure_unreadable(const ApigouvScanState *state, ApigouvTask *task,
						   const ApigouvPage *page, bool is_json,
						   const char *why, size_t offset)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	KeyContext	context;

	begin_error(state, task, page, &context);
	ereport(ERROR,
			(errcode(is_json ? ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION
					 : ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("could not read the response of foreign server \"%s\": %s",
					state->options->server_name, _(why)),
			 errdetail("Reading stopped at byte %zu of %zu; the content type is \"%s\"%s%s.",
					   offset, transfer->body_len, transfer->content_type,
					   transfer->request_id[0] ? "; X-Request-Id: " : "",
					   apigouv_reply_request_id(transfer))));
}

/*
 * apigouv_failure_not_object
 *		Raise the error of a row that has no members to read.
 */
void
apigouv_failure_not_object(const ApigouvScanState *state, ApigouvTask *task,
						   const ApigouvPage *page)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	KeyContext	context;

	begin_error(state, task, page, &context);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("could not read the response of foreign server \"%s\": row %d is not an object",
					state->options->server_name, task->page_rows),
			 transfer->request_id[0]
			 ? errdetail("X-Request-Id: %s.", apigouv_reply_request_id(transfer))
			 : 0));
}

/*
 * apigouv_failure_no_rows
 *		Raise the error of a reply that lacks the place of its rows.
 *
 * A list that a scope hides is no empty list.
 */
void
apigouv_failure_no_rows(const ApigouvScanState *state, ApigouvTask *task,
						const ApigouvPage *page)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	const ApigouvRoute *route = task->sroute->route;
	KeyContext	context;

	begin_error(state, task, page, &context);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("response of foreign server \"%s\" has no \"%s\"",
					state->options->server_name,
					route->rows_path),
			 transfer->request_id[0]
			 ? errdetail("X-Request-Id: %s.", apigouv_reply_request_id(transfer))
			 : 0,
			 route->nscopes > 0
			 ? errhint("The API may hide it from a token without its scope: %s.",
					   apigouv_reply_scopes(route))
			 : 0));
}
