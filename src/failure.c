/*-------------------------------------------------------------------------
 *
 * failure.c
 *		Errors about the reply to a task.
 *
 * Each names in CONTEXT the key that was asked, so that one bad key among
 * hundreds can be found, unless keys are personal data.  The reply is
 * forgotten first, so that a retry within the transaction asks again.
 *
 * Not here: what a reply means and the words for it (reply.c), which failure
 * gives a row instead of an error (fetch.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
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

/* Error context: the key asked, unless it is personal data. */
static void
explain_key(void *arg)
{
	const KeyContext *context = arg;
	const ApigouvTable *table = context->state->options->table;
	const ApigouvRoute *route = context->task->sroute->route;
	StringInfoData keys;

	if (table->personal_data)
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
	error_context_stack = &context->callback;
}

/*
 * apigouv_failure_raise
 *		Raise the error that the judgement on a task's reply stands for.
 *
 * page: NULL when it is not known which one it is about.
 */
void
apigouv_failure_raise(const ApigouvScanState *state, ApigouvTask *task,
					  const ApigouvPage *page,
					  const ApigouvTransfer *transfer)
{
	KeyContext	context;

	begin_error(state, task, page, &context);
	apigouv_reply_raise(state->options, task->sroute->route, state->userid,
						transfer, &task->judgement);
}

/*
 * apigouv_failure_unreadable
 *		Raise the error of a reply that cannot be decoded.
 *
 * A reply that is JSON, but not shaped as the definition says, has an error
 * code of its own.  why: static text; offset: where.
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
					state->options->server_name, why),
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
 */
void
apigouv_failure_no_rows(const ApigouvScanState *state, ApigouvTask *task,
						const ApigouvPage *page)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	KeyContext	context;

	begin_error(state, task, page, &context);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("response of foreign server \"%s\" has no \"%s\"",
					state->options->server_name,
					task->sroute->route->rows_path),
			 transfer->request_id[0]
			 ? errdetail("X-Request-Id: %s.", apigouv_reply_request_id(transfer))
			 : 0));
}
