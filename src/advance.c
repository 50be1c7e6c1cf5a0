/*-------------------------------------------------------------------------
 *
 * advance.c
 *		Tasks of a scan, from their values to a reply that holds rows.
 *
 * Tasks of the window are begun together, so that their replies travel
 * together; a first request that has ended feeds the second; a reply that
 * refuses an access token is asked again with a new one.
 *
 * What a reply means is decided by reply.c.  A source of a union that is
 * refused or unavailable gives a row that says so; a key of another table
 * does with on_failure = row; everything else is an error.
 *
 * A scan that is_ahead begins tasks for a row that may never be asked for: it
 * raises no error about a reply, and leaves it to the scan that takes over.
 *
 * Not here: the rows of a reply (fetch.c), which pages follow (page.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "ahead.h"
#include "audit.h"
#include "budget.h"
#include "messages.h"
#include "scan_state.h"
#include "value.h"

/* ---- beginning ---- */

/* Let a task give one row that no reply holds. */
void
apigouv_advance_make_row(ApigouvTask *task, const ApigouvSettings *first,
						 const ApigouvSettings *second, char *error,
						 const ApigouvTransfer *from)
{
	task->state = APIGOUV_TASK_MADE_ROW;
	task->made[0] = first;
	task->made[1] = second;
	task->made_error = error;
	task->made_from = unconstify(ApigouvTransfer *, from);
}

/*
 * begin_reading
 *		Begin the pages of a task whose values are all known.
 *
 * Ahead, what would raise is left to the scan: the task stays as it was.
 */
static void
begin_reading(ApigouvScanState *state, ApigouvTask *task)
{
	ApigouvPage page = {0};

	if (state->first_rows > 0 && state->total == NULL)
		task->is_at_hand = apigouv_ask_has_list(state, task);
	apigouv_page_first(state, task, &page);
	if (!state->is_ahead)
		apigouv_ask_queue(state, task, &page);
	else if (!apigouv_ask_ahead(state, task, &page))
		return;
	task->state = APIGOUV_TASK_READING;
}

/* Begin a task: send its first request, if it needs one. */
static void
begin_task(ApigouvScanState *state, ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;

	if (!apigouv_ask_is_entitled(state, route))
		apigouv_advance_make_row(task, &route->not_entitled, NULL, NULL, NULL);
	else if (route->lookup.path != NULL && task->lookup.reply == NULL)
	{
		if (state->is_ahead && apigouv_budget_is_spent(state))
			return;				/* the error is for the scan to raise */
		apigouv_ask_page(state, task, &task->lookup, true);
		task->state = APIGOUV_TASK_LOOKUP;
	}
	else
		begin_reading(state, task);
}

/* ---- replies that hold no rows to decode ---- */

/* Count what a transfer cost, once. */
void
apigouv_advance_count(ApigouvScanState *state, ApigouvPage *page)
{
	if (page->counted)
		return;
	page->counted = true;
	if (!page->begun)
		state->counts.pages++;
	if (page->ours)
	{
		state->counts.attempts += page->reply->transfer->attempts;
		state->counts.bytes += page->reply->transfer->bytes;
		state->counts.upstream_us += page->reply->transfer->upstream_us;
	}
}

/* Does a failed key of this table give a row instead of an error? */
static bool
failure_gives_row(const ApigouvScanState *state, const ApigouvRoute *route,
				  ApigouvVerdict verdict)
{
	if (verdict == APIGOUV_REPLY_TOKEN || verdict == APIGOUV_REPLY_QUOTA)
		return false;
	if (state->options->table->is_union)
		return verdict != APIGOUV_REPLY_ERROR ||
			apigouv_on_failure == APIGOUV_ON_FAILURE_ROW;
	return verdict != APIGOUV_REPLY_REFUSED && route->keyed &&
		apigouv_on_failure == APIGOUV_ON_FAILURE_ROW;
}

/*
 * settle
 *		Do what the verdict on a page says, but for decoding rows.
 *
 * Raises the error that the verdict stands for; the reply is then forgotten,
 * so that a retry within the transaction asks again.
 */
static void
settle(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	const ApigouvRoute *route = task->sroute->route;
	const ApigouvJudgement *judgement = &task->judgement;
	const ApigouvSettings *set = judgement->rule ? &judgement->rule->set
	: NULL;

	switch (judgement->verdict)
	{
		case APIGOUV_REPLY_NO_ROW:
			apigouv_ask_confirm(state, page);
			if (state->options->table->is_union)
				apigouv_advance_make_row(task, set, &route->none, NULL,
										 transfer);
			else
				task->state = APIGOUV_TASK_DONE;
			return;
		case APIGOUV_REPLY_ROW:
			apigouv_ask_confirm(state, page);
			apigouv_advance_make_row(task, set, NULL, NULL, transfer);
			return;
		default:
			break;
	}
	if (state->is_ahead)
		return;					/* it is told when its row's turn comes */
	if (!failure_gives_row(state, route, judgement->verdict))
		apigouv_failure_raise(state, task, page, transfer);
	if (!state->options->table->is_union)
		state->counts.failed++;
	apigouv_advance_make_row(task, set, &route->failed,
							 apigouv_reply_describe(transfer, judgement),
							 transfer);
}

/* Can a refused access token be replaced, for this reply? */
static bool
is_renewable(const ApigouvReply *reply)
{
	return reply->token_generation != 0 && !reply->renewed;
}

/* Ask for a page again, with a new access token. */
static void
renew_page(ApigouvScanState *state, const ApigouvTask *task, ApigouvPage *page)
{
	apigouv_advance_count(state, page);
	page->counted = false;
	apigouv_cache_renew(page->reply, state->options, state->userid,
						apigouv_ask_secrets(state, page->reply->route),
						&page->built);
	apigouv_audit_page(state, task, page, page == &task->lookup,
					   APIGOUV_RING_SENT);
}

/*
 * renew_ahead
 *		The same before a task's turn to be read.
 *
 * When a token ends, everything in flight is refused: what is begun ahead
 * must travel together again, not one after the other.
 */
static void
renew_ahead(ApigouvScanState *state, ApigouvTask *task)
{
	ApigouvPage *page = task->pages != NIL ? linitial(task->pages) : NULL;
	ApigouvJudgement judgement;

	if (page == NULL || !is_renewable(page->reply) ||
		page->reply->transfer->state != APIGOUV_TRANSFER_ENDED)
		return;
	apigouv_reply_judge(state->options->api, task->sroute->route,
						page->reply->transfer, true, &judgement);
	if (judgement.verdict == APIGOUV_REPLY_TOKEN)
		renew_page(state, task, page);
}

/*
 * apigouv_advance_judge
 *		Judge the ended transfer of a page; true when it holds rows.
 *
 * A reply that refuses an access token is asked again once with a new one:
 * then the transfer is under way again, and false is returned with the task
 * unchanged.
 */
bool
apigouv_advance_judge(ApigouvScanState *state, ApigouvTask *task,
					  ApigouvPage *page)
{
	ApigouvReply *reply = page->reply;

	apigouv_reply_judge(state->options->api, task->sroute->route,
						reply->transfer, true, &task->judgement);
	if (task->judgement.verdict == APIGOUV_REPLY_ROWS)
		return true;
	if (task->judgement.verdict == APIGOUV_REPLY_TOKEN && is_renewable(reply))
	{
		renew_page(state, task, page);
		return false;
	}
	apigouv_advance_count(state, page);
	settle(state, task, page);
	return false;
}

/* ---- replies that cannot be read ---- */

/*
 * apigouv_advance_refuse_body
 *		Do what a reply that cannot be decoded deserves.
 *
 * Raises an error; but something that is not JSON, such as the page of a
 * gateway, is a failure of this key or source alone, and gives the row that
 * other failures give.  why: static text; offset: where.
 */
void
apigouv_advance_refuse_body(ApigouvScanState *state, ApigouvTask *task,
							ApigouvPage *page, const char *why, size_t offset)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	const ApigouvRoute *route = task->sroute->route;
	ApigouvValue document;
	const char *error;
	bool		is_json;

	if (state->is_ahead)
		return;					/* as above */
	is_json = transfer->body != NULL &&
		apigouv_value_parse(transfer->body, transfer->body_len, &document,
							&error);
	if (is_json || task->emitted > 0 ||
		!failure_gives_row(state, route, APIGOUV_REPLY_UNAVAILABLE))
		apigouv_failure_unreadable(state, task, page, is_json, why, offset);
	apigouv_advance_count(state, page);
	if (!state->options->table->is_union)
		state->counts.failed++;
	task->judgement.verdict = APIGOUV_REPLY_UNAVAILABLE;
	why = psprintf(_("could not read the response: %s"), _(why));
	apigouv_advance_make_row(task, NULL, &route->failed,
							 MemoryContextStrdup(state->batch_cxt, why),
							 transfer);
}

/* ---- lookups ---- */

/* Put the value that a lookup found where the route wants it. */
static void
use_lookup(ApigouvScanState *state, ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;
	const ApigouvTransfer *transfer = task->lookup.reply->transfer;
	ApigouvValue document;
	ApigouvValue found;
	const char *error;

	if (!apigouv_value_parse(transfer->body ? transfer->body : "",
							 transfer->body_len, &document, &error))
	{
		apigouv_advance_refuse_body(state, task, &task->lookup, error, 0);
		return;
	}
	found = apigouv_value_get(&document, route->lookup.value_path);
	if (found.kind != APIGOUV_STRING && found.kind != APIGOUV_NUMBER)
	{
		task->judgement.verdict = APIGOUV_REPLY_NO_ROW;
		task->judgement.rule = NULL;
		settle(state, task, &task->lookup);
		return;
	}
	for (int i = 0; i < route->nparams; i++)
	{
		if (strcmp(route->params[i].name, route->lookup.gives) == 0)
			task->wires[i] = list_make1(apigouv_value_cstring(&found));
	}
	apigouv_ask_confirm(state, &task->lookup);
	apigouv_cache_unpin(task->lookup.hold);
	apigouv_task_echo_names(state, task);
	begin_reading(state, task);
}

/* Move a task whose lookup may have ended. */
static void
advance_lookup(ApigouvScanState *state, ApigouvTask *task)
{
	if (task->lookup.reply->transfer->state != APIGOUV_TRANSFER_ENDED ||
		(state->is_ahead && apigouv_budget_is_spent(state)))
		return;
	apigouv_cache_pin(task->lookup.hold);
	if (apigouv_advance_judge(state, task, &task->lookup))
	{
		apigouv_advance_count(state, &task->lookup);
		use_lookup(state, task);
	}
}

/* Begin the tasks of the window, move their lookups, renew their tokens. */
void
apigouv_advance_window(ApigouvScanState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->batch_cxt);
	int			last = Min(state->ntasks, state->current + state->window);

	for (int i = state->current; i < last; i++)
	{
		ApigouvTask *task = &state->tasks[i];

		if (task->state == APIGOUV_TASK_NEW)
			begin_task(state, task);
		if (task->state == APIGOUV_TASK_LOOKUP)
			advance_lookup(state, task);
		else if (task->state == APIGOUV_TASK_READING)
			renew_ahead(state, task);
	}
	MemoryContextSwitchTo(old);
}

/*
 * apigouv_advance_move
 *		Let the transfers move, as apigouv_http_pump does, and what waits for
 *		them: the tasks of a scan, if any is given, and those begun ahead.
 */
void
apigouv_advance_move(ApigouvScanState *state, int timeout_ms)
{
	apigouv_http_pump(timeout_ms);
	apigouv_cache_trim();
	if (state != NULL)
		apigouv_advance_window(state);
	apigouv_ahead_advance();
}

/* Nothing of a task is read any more, nor waited for by other sessions. */
void
apigouv_advance_leave(ApigouvTask *task)
{
	ListCell   *lc;

	foreach(lc, task->asked)
		apigouv_cache_land(lfirst(lc));

	if (task->lookup.hold != NULL)
		apigouv_cache_unpin(task->lookup.hold);
	foreach(lc, task->pages)
		apigouv_cache_unpin(((ApigouvPage *) lfirst(lc))->hold);
}
