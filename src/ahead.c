/*-------------------------------------------------------------------------
 *
 * ahead.c
 *		Beginning the tasks of a scan for values that it will be given later.
 *
 * A join that knows the next values of its inner scan has their tasks made
 * and their requests begun here, by a copy of the scan's state.  When the
 * scan is at these values it takes the copy's tasks over, and reads their
 * rows as if it had begun them itself.  So what a join gives, its errors
 * included, does not depend on what was begun ahead.
 *
 * Each copy has a memory context of its own, below the scan's, which holds
 * its replies.  A copy whose replies were all known already is of no use, and
 * goes at once.
 *
 * Lookups that feed a second request, and tokens to be renewed, go on while
 * their row waits for its turn: apigouv_advance_move, which moves transfers,
 * moves these as well.  Not after a subtransaction has aborted: a cursor that
 * failed in it keeps its memory, and what was begun for it would go on in the
 * middle of other statements, without its locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "ahead.h"
#include "budget.h"
#include "progress.h"

struct ApigouvAhead
{
	ApigouvScanState scan;		/* the copy */
	ApigouvScanState *owner;	/* the scan that it was made of */
	ApigouvAheadReader *reader;
	int			pending;		/* tasks whose replies are under way */
	bool		is_linked;
	dlist_node	link;			/* if is_linked: in unsettled */
	MemoryContextCallback callback;
};

/* Scans of this backend that a join may begin tasks for. */
static dlist_head scans = DLIST_STATIC_INIT(scans);

/* Copies with replies under way. */
static dlist_head unsettled = DLIST_STATIC_INIT(unsettled);

static uint32 last_reader = 0;
static bool callback_registered = false;

static void end_subtransaction(SubXactEvent event, SubTransactionId subid,
							   SubTransactionId parent, void *arg);

/* Called when a scan's memory goes. */
static void
forget_scan(void *arg)
{
	dlist_delete(&((ApigouvScanState *) arg)->node_link);
}

/*
 * apigouv_ahead_enter
 *		Let a scan be found by its plan.  Its node and scan_cxt are set.
 */
void
apigouv_ahead_enter(ApigouvScanState *state)
{
	MemoryContextCallback *callback =
	MemoryContextAllocZero(state->scan_cxt, sizeof(MemoryContextCallback));

	if (!callback_registered)
		RegisterSubXactCallback(end_subtransaction, NULL);
	callback_registered = true;
	dlist_push_head(&scans, &state->node_link);
	callback->func = forget_scan;
	callback->arg = state;
	MemoryContextRegisterResetCallback(state->scan_cxt, callback);
}

/*
 * apigouv_ahead_find
 *		The scan that executes a node of a query's plan; NULL when it is none
 *		of ours, or was not begun.
 */
ApigouvScanState *
apigouv_ahead_find(const EState *estate, const Plan *plan)
{
	dlist_iter	iter;

	dlist_foreach(iter, &scans)
	{
		ApigouvScanState *state =
		dlist_container(ApigouvScanState, node_link, iter.cur);

		if (state->node->ss.ps.plan == plan &&
			state->node->ss.ps.state == estate)
			return state;
	}
	return NULL;
}

/*
 * apigouv_ahead_may_guess
 *		May a scan begin tasks for values that it may never be given?
 *
 * Not on personal data: nobody is asked about without need.
 */
bool
apigouv_ahead_may_guess(const ApigouvScanState *state)
{
	const ApigouvTable *table = state->options->table;

	if (table->personal_data)
		return false;
	for (int column = 0; column < table->ncolumns; column++)
	{
		if (apigouv_apidef_is_personal(table, column))
			return false;
	}
	return true;
}

/* Prepare a reader, which must be zeroed. */
void
apigouv_ahead_open(ApigouvAheadReader *reader)
{
	reader->id = ++last_reader;
}

/* Is the reply to a page under way? */
static bool
is_under_way(const ApigouvPage *page)
{
	return page->reply != NULL &&
		page->reply->transfer->state != APIGOUV_TRANSFER_ENDED;
}

/* Tasks of a copy whose first reply is under way. */
static int
count_pending(const ApigouvScanState *scan)
{
	int			n = 0;

	for (int i = 0; i < scan->ntasks; i++)
	{
		const ApigouvTask *task = &scan->tasks[i];

		if (task->state == APIGOUV_TASK_LOOKUP)
			n += is_under_way(&task->lookup);
		else if (task->state == APIGOUV_TASK_READING && task->pages != NIL)
			n += is_under_way(linitial(task->pages));
	}
	return n;
}

/* Take a copy out of those to be moved. */
static void
unlink_copy(ApigouvAhead *ahead)
{
	if (!ahead->is_linked)
		return;
	ahead->is_linked = false;
	dlist_delete(&ahead->link);
	ahead->reader->pending -= ahead->pending;
	ahead->pending = 0;
}

/* Called when a copy's memory goes, or its tasks' after they were taken. */
static void
forget_copy(void *arg)
{
	unlink_copy(arg);
}

/*
 * tell_owner
 *		Give what a copy has spent to the scan's counts.
 *
 * Not the malformed values and the hits in the transaction's cache: the scan
 * counts these when it is at the row.
 */
static void
tell_owner(ApigouvAhead *ahead)
{
	ApigouvScanCounts *from = &ahead->scan.counts;
	ApigouvScanCounts *to = &ahead->owner->counts;

	to->requests += from->requests;
	to->attempts += from->attempts;
	to->kept_hits += from->kept_hits;
	to->shared_hits += from->shared_hits;
	to->pages += from->pages;
	to->bytes += from->bytes;
	to->upstream_us += from->upstream_us;
	from->requests = from->attempts = from->kept_hits = 0;
	from->shared_hits = from->pages = from->bytes = from->upstream_us = 0;
}

/* Count where the reply to a page was. */
static void
count_reply(ApigouvAheadReader *reader, ApigouvPage *page)
{
	ApigouvReply *reply = page->reply;

	if (reply == NULL)
		return;
	if (page->ours)
	{
		reader->requests++;
		reply->reader = reader->id;
	}
	else if (reply->reader == reader->id)
		reader->duplicates++;
	else
		reader->from_cache++;
}

/* Count the first replies of a copy's tasks, and the second of lookups. */
static void
count_replies(ApigouvAhead *ahead)
{
	for (int i = 0; i < ahead->scan.ntasks; i++)
	{
		ApigouvTask *task = &ahead->scan.tasks[i];

		if (task->sroute->route->lookup.path != NULL)
			count_reply(ahead->reader, &task->lookup);
		else if (task->pages != NIL)
			count_reply(ahead->reader, linitial(task->pages));
	}
}

/* Move a copy, and see what of it is under way still. */
static void
move(ApigouvAhead *ahead)
{
	int			pending;

	apigouv_advance_window(&ahead->scan);
	tell_owner(ahead);
	pending = count_pending(&ahead->scan);
	ahead->reader->pending += pending - ahead->pending;
	ahead->pending = pending;
	if (pending == 0)
		unlink_copy(ahead);
}

/* What a scan and its copies read once. */
static void
share_secrets(ApigouvScanState *to, const ApigouvScanState *from)
{
	memcpy(to->secrets, from->secrets, sizeof(to->secrets));
	to->scopes_known = from->scopes_known;
	to->scopes_asked = from->scopes_asked;
	to->scopes = from->scopes;
}

/* Replies that a scan has brought to the transaction. */
static int64
fetched_by(const ApigouvScanState *state)
{
	return state->counts.requests + state->counts.kept_hits +
		state->counts.shared_hits;
}

/* A copy of a scan without tasks, in a memory context of its own. */
static ApigouvAhead *
copy_scan(ApigouvScanState *state)
{
	MemoryContext cxt = AllocSetContextCreate(state->scan_cxt,
											  "apigouv_fdw ahead",
											  ALLOCSET_SMALL_SIZES);
	ApigouvAhead *ahead = MemoryContextAllocZero(cxt, sizeof(ApigouvAhead));
	ApigouvScanState *scan = &ahead->scan;

	*scan = *state;
	scan->batch_cxt = cxt;
	scan->is_ahead = true;
	scan->prepared = NULL;
	scan->ntasks = 0;
	scan->tasks = NULL;
	scan->current = 0;
	scan->window = 0;
	scan->may_repeat = false;
	memset(&scan->counts, 0, sizeof(scan->counts));
	ahead->owner = state;
	ahead->callback.func = forget_copy;
	ahead->callback.arg = ahead;
	MemoryContextRegisterResetCallback(cxt, &ahead->callback);
	return ahead;
}

/*
 * apigouv_ahead_nothing
 *		Tasks of a scan whose rows nobody would use: none.  To be given.
 */
ApigouvAhead *
apigouv_ahead_nothing(ApigouvScanState *state)
{
	return copy_scan(state);
}

/*
 * apigouv_ahead_begin
 *		Begin the tasks of a scan for the values that its parameters have now.
 *
 * Result: below the scan's memory, to be given or dropped; NULL when nothing
 * had to be asked for.  Raises what making the tasks raises, such as a purpose
 * that lacks.
 */
ApigouvAhead *
apigouv_ahead_begin(ApigouvAheadReader *reader, ApigouvScanState *state)
{
	ApigouvAhead *ahead;
	ApigouvScanState *scan;
	int64		fetched;

	apigouv_ask_begin(state);
	ahead = copy_scan(state);
	scan = &ahead->scan;
	ahead->reader = reader;
	apigouv_task_make(scan, state->node->ss.ps.ps_ExprContext);
	apigouv_budget_check(scan);
	fetched = fetched_by(state);
	ahead->is_linked = true;
	dlist_push_tail(&unsettled, &ahead->link);
	move(ahead);
	share_secrets(state, scan);
	count_replies(ahead);
	if (ahead->is_linked || fetched_by(state) != fetched)
		return ahead;
	MemoryContextDelete(scan->batch_cxt);
	return NULL;
}

/*
 * apigouv_ahead_give
 *		Tell a scan that its next values are those of a copy; NULL: of none.
 */
void
apigouv_ahead_give(ApigouvScanState *state, ApigouvAhead *ahead)
{
	if (state->prepared != NULL)
		apigouv_ahead_drop(state->prepared);
	state->prepared = ahead;
}

/* Free a copy that no scan has taken over. */
void
apigouv_ahead_drop(ApigouvAhead *ahead)
{
	if (ahead->owner->prepared == ahead)
		ahead->owner->prepared = NULL;
	MemoryContextDelete(ahead->scan.batch_cxt);
}

/*
 * apigouv_ahead_take
 *		Take over the tasks that were begun for the values that a scan is at;
 *		false if there are none.
 */
bool
apigouv_ahead_take(ApigouvScanState *state)
{
	ApigouvAhead *ahead = state->prepared;
	ApigouvScanState *scan;

	if (ahead == NULL)
		return false;
	scan = &ahead->scan;
	state->prepared = NULL;
	unlink_copy(ahead);
	tell_owner(ahead);
	state->counts.cache_hits += scan->counts.cache_hits;
	state->counts.merged += scan->counts.merged;
	apigouv_tally_add(state->options->tally, APIGOUV_TALLY_XACT_HITS,
					  scan->counts.cache_hits);
	apigouv_tally_add(state->options->tally, APIGOUV_TALLY_MERGED,
					  scan->counts.merged);
	for (int64 i = 0; i < scan->counts.cache_hits; i++)
		apigouv_progress_hit();
	state->counts.malformed += scan->counts.malformed;
	MemoryContextDelete(state->batch_cxt);
	state->batch_cxt = scan->batch_cxt;
	state->ntasks = scan->ntasks;
	state->tasks = scan->tasks;
	state->current = scan->current;
	state->window = scan->window;
	state->may_repeat = scan->may_repeat;
	state->seen = NULL;
	share_secrets(state, scan);
	return true;
}

/*
 * Which cursors failed is not known here, so no copy is moved any more but by
 * the scan that takes it over: only its second request, if it has one, leaves
 * later than it could.
 */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subid,
				   SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (!dlist_is_empty(&unsettled))
		unlink_copy(dlist_head_element(ApigouvAhead, link, &unsettled));
}

/* Move the copies that have replies under way. */
void
apigouv_ahead_advance(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &unsettled)
		move(dlist_container(ApigouvAhead, link, iter.cur));
}
