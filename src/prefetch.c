/*-------------------------------------------------------------------------
 *
 * prefetch.c
 *		Pages asked for before the scan comes to them.
 *
 * As soon as it is known that pages follow the one that is read, they are
 * asked for, so that they travel while its rows are given: as many as
 * max_concurrency when all rows are wanted or a LIMIT is certain to need
 * them, else so many that 1, 2, 4 ... are in hand, a doubling for each page
 * that was read.  The total tells how many follow, and most replies announce
 * it before their rows; a reply that does not is looked through as soon as it
 * is whole.
 *
 * Rules that no single function shows:
 *
 * - A page asked ahead raises nothing: not that the query's requests are
 *	 spent, nor that a cache lacks it, nor any error of its reply.  All that
 *	 waits until the scan comes to it, and never comes when a LIMIT stops
 *	 before.  But a query that wants all rows and may not ask for all pages
 *	 fails as soon as a page has been read.
 *
 * - What is foreseen here decides only when to ask.  Which pages make the
 *	 list is decided at the end of each (page.c).
 *
 * - Bodies on their way count like those in memory: pages ahead take half of
 *	 cache_size at most, but for one.
 *
 * libcurl moves only when it is called: apigouv_prefetch_serve calls it while
 * rows are given.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "audit.h"
#include "budget.h"
#include "clock.h"
#include "progress.h"
#include "scan_state.h"

/*
 * How long rows are given before the network has its turn, in us.  At 1 Gbit/s
 * that is what the smallest of socket buffers holds; a turn without news takes
 * 2 us.
 */
#define SERVE_US		500

/* Bytes of a reply under way that are not read yet, past which it may wait. */
#define ENOUGH_BYTES	(8 * 1024 * 1024)

static int64 served_at = 0;		/* the network's last turn; us, monotonic */

/* Most pages in hand when the query may stop early, the one read included. */
static int
early_window(const ApigouvTask *task, int most)
{
	if (task->sroute->route->is_personal)
		return 1;
	return task->ended < 16 ? Min(1 << task->ended, most) : most;
}

/* How many pages like this one may be in memory before they are read. */
static int
room_for(const ApigouvTask *task, const ApigouvPage *page)
{
	int64		bytes = Max(task->row_bytes, 1) * Max(page->size, 1);
	int64		room = (int64) apigouv_cache_size * 1024 / 2;

	return (int) Max(Min(room / bytes, INT_MAX - 1), 1);
}

/*
 * is_certain
 *		Will the query need a page, whatever the rows before it are?
 *
 * It will when it wants all, or more than those before.
 */
static bool
is_certain(const ApigouvScanState *state, const ApigouvTask *task,
		   const ApigouvPage *page)
{
	return !state->may_stop_early ||
		(state->current == 0 &&
		 apigouv_page_start(task, page) + page->skip < state->least_rows);
}

/* May one more page be in hand? */
static bool
may_ask(const ApigouvScanState *state, const ApigouvTask *task,
		const ApigouvPage *page)
{
	int			most = Min(state->options->max_concurrency,
						   room_for(task, page)) + 1;

	return list_length(task->pages) < (is_certain(state, task, page) ? most
									   : early_window(task, most));
}

/* Would the pages that follow take more requests than the query may make? */
static bool
is_too_much(const ApigouvScanState *state, const ApigouvTask *task,
			ApigouvPage last, int64 total)
{
	int64		left = apigouv_max_requests_per_query - state->budget->made;
	ApigouvPage next;

	if (state->may_stop_early || apigouv_max_requests_per_query < 0)
		return false;
	while (left >= 0 && apigouv_page_foresee(task, &last, total, &next))
	{
		last = next;
		left--;
	}
	return left < 0;
}

/* Ask for the pages that follow a task's last, as far as is good. */
static void
ask(ApigouvScanState *state, ApigouvTask *task, const ApigouvPage *last,
	int64 total, bool may_raise)
{
	MemoryContext old = MemoryContextSwitchTo(state->batch_cxt);
	ApigouvPage next;

	for (;;)
	{
		if (task->pages != NIL)
			last = llast(task->pages);
		if (!apigouv_page_foresee(task, last, total, &next) ||
			!may_ask(state, task, &next))
			break;
		if (may_raise)
			apigouv_ask_queue(state, task, &next);
		else if (!apigouv_ask_ahead(state, task, &next))
			break;
		served_at = 0;			/* it is to leave now */
	}
	MemoryContextSwitchTo(old);
}

/*
 * Rows of a list that a whole reply announces; or, of one that announces none,
 * as many as lead to the next page if it is full.  -1 when that is not known.
 */
static int64
look_through(const ApigouvTask *task, const ApigouvPage *page)
{
	const ApigouvRoute *route = task->sroute->route;
	const ApigouvTransfer *transfer = page->reply->transfer;
	const char *paths[1] = {""};
	const char *const totals[1] = {route->total_path};
	char	   *rows_path = pstrdup(route->rows_path);
	char	   *list = strstr(rows_path, "[]");
	ApigouvProjection *projection;
	ApigouvRowstream *stream = NULL;
	ApigouvRowResult result = APIGOUV_ROW_ERROR;
	ApigouvValue value;
	const char *error;
	int64		rows = 0;
	int64		total = -1;

	if (list != NULL)
		list[2] = '\0';			/* pages are of the outermost */
	projection = apigouv_projection_create(rows_path, 1, paths,
										   route->total_path ? 1 : 0,
										   totals, &error);
	if (projection != NULL)
		stream = apigouv_rowstream_create(projection);
	if (stream != NULL)
	{
		do
		{
			result = apigouv_rowstream_next(stream, transfer->body,
											transfer->body_len, true, &value);
			rows += result == APIGOUV_ROW;
		} while (result == APIGOUV_ROW && !InterruptPending);
	}
	if (result == APIGOUV_ROW_END && route->total_path != NULL)
		total = apigouv_page_total(apigouv_rowstream_envelope(stream,
															  transfer->body,
															  0));
	else if (result == APIGOUV_ROW_END && rows == page->size)
		total = apigouv_page_start(task, page) + rows + 1;
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
	pfree(rows_path);
	return total;
}

/* Tell how many requests the whole of a list takes, when all is wanted. */
static void
foresee_pages(const ApigouvScanState *state, const ApigouvPage *page,
			  int64 total)
{
	if (state->ntasks == 1 && !state->may_stop_early && page->size > 0)
		apigouv_progress_foresee(state->progress,
								 (double) Max((total + page->size - 1) /
											  page->size, 1));
}

/*
 * apigouv_prefetch_look
 *		Ask for the pages after the one that is read, if enough is known.
 *
 * To be called as its rows are given, until task->looked.  total: what it has
 * announced so far, -1 if nothing.  row_bytes: of one of its rows.
 */
void
apigouv_prefetch_look(ApigouvScanState *state, ApigouvTask *task,
					  int64 total, size_t row_bytes)
{
	ApigouvPage *page = linitial(task->pages);
	ApigouvPage next;

	task->row_bytes = Max(task->row_bytes, (int64) row_bytes);
	if (task->total >= 0)
		total = task->total;
	if (total < 0)
	{
		if (page->reply->transfer->state != APIGOUV_TRANSFER_ENDED)
			return;
		/* what rows were read from may be in the file: its end tells then */
		if (list_length(task->pages) == 1 && !page->reply->is_lost &&
			apigouv_page_foresee(task, page, PG_INT64_MAX, &next) &&
			may_ask(state, task, &next))
			total = look_through(task, page);
	}
	task->looked = true;
	if (total >= 0)
		foresee_pages(state, page, total);
	if (total >= 0 && !is_too_much(state, task, *page, total))
		ask(state, task, page, total, false);
}

/*
 * Without a page that was asked for: its list turned out shorter than it had
 * announced.
 */
static void
leave_last(ApigouvTask *task)
{
	ApigouvPage *page = llast(task->pages);

	task->pages = list_delete_ptr(task->pages, page);
	task->read = list_delete_ptr(task->read, page->reply);
}

/*
 * apigouv_prefetch_ended
 *		A page was read to its end and checked: ask for what follows.
 *
 * It is no more among the task's pages; task->total says what is known now.
 * The next page is asked for in any case, and may raise; those after it are
 * asked ahead, if they are known.
 */
void
apigouv_prefetch_ended(ApigouvScanState *state, ApigouvTask *task,
					   const ApigouvPage *page)
{
	const ApigouvPage *last = page;
	ApigouvPage next;

	if (!is_certain(state, task, page) || state->least_rows == 0)
		task->ended++;
	if (page->size > 0)
		task->row_bytes = Max(page->reply->transfer->body_len,
							  page->reply->spilled_len) / page->size;
	if (task->total >= 0)
	{
		/* told twice, differently: the last word counts */
		while (task->pages != NIL &&
			   apigouv_page_start(task, llast(task->pages)) >= task->total)
			leave_last(task);
	}
	if (task->pages == NIL)
	{
		if (!apigouv_page_next(state, task, last, &next))
			return;
		apigouv_ask_queue(state, task, &next);
	}
	task->looked = task->total >= 0;
	if (task->looked)
		ask(state, task, last, task->total, !state->may_stop_early);
}

/*
 * apigouv_prefetch_again
 *		Ask anew for a page that the scan has come to, if it was asked ahead
 *		and refused for want of a slot; true when it is under way again.
 *
 * Nobody has waited for it until now.
 */
bool
apigouv_prefetch_again(ApigouvScanState *state, const ApigouvTask *task,
					   ApigouvPage *page)
{
	ApigouvReply *reply = page->reply;

	if (!reply->ahead || reply->transfer->state != APIGOUV_TRANSFER_ENDED ||
		reply->transfer->failure != APIGOUV_FAILURE_QUOTA)
		return false;
	reply->ahead = false;
	apigouv_http_wait_anew();
	apigouv_cache_resend(page->reply, state->options, state->userid,
						 apigouv_ask_secrets(state, reply->route),
						 &page->built);
	apigouv_audit_page(state, task, page, false, APIGOUV_RING_SENT);
	return true;
}

/*
 * Has a long reply under way so much that is not read yet that more would only
 * take memory?  The sender then waits, as the kernel's buffers are full.
 */
static bool
has_enough(const ApigouvScanState *state)
{
	const ApigouvTask *task = state->current < state->ntasks
	? &state->tasks[state->current] : NULL;
	const ApigouvTransfer *transfer;
	size_t		from;
	size_t		to;

	if (task == NULL || task->stream == NULL || task->pages == NIL)
		return false;
	transfer = ((ApigouvPage *) linitial(task->pages))->reply->transfer;
	if (transfer->state == APIGOUV_TRANSFER_ENDED)
		return false;
	apigouv_unnest_behind(task->stream, &from, &to);
	return to > 0 && transfer->body_len - to > ENOUGH_BYTES;
}

/*
 * apigouv_prefetch_serve
 *		Let the transfers move while rows are given.
 *
 * To be called for each row.  Raises on interrupt.
 */
void
apigouv_prefetch_serve(ApigouvScanState *state)
{
	if (!apigouv_http_is_busy() || monotonic_us() - served_at < SERVE_US ||
		has_enough(state))
		return;
	apigouv_advance_move(state, 0);
	served_at = monotonic_us();
}
