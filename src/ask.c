/*-------------------------------------------------------------------------
 *
 * ask.c
 *		Asking for the replies of a scan's tasks.
 *
 * Between the tasks and the caches: the request of a page is made, the
 * query's budget is looked at, and the reply comes from a cache or is sent
 * for.
 *
 * Not here: what is done with a reply (fetch.c), which page (page.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "audit.h"
#include "budget.h"
#include "messages.h"
#include "progress.h"
#include "scan_state.h"
#include "token.h"

/*
 * apigouv_ask_secrets
 *		The secrets that a route's requests need, read when first needed.
 *
 * A scan keeps them: a setting that changes meanwhile is for the next one.
 */
const ApigouvSecrets *
apigouv_ask_secrets(ApigouvScanState *state, const ApigouvRoute *route)
{
	ApigouvSecrets **secrets = &state->secrets[route->auth];

	if (*secrets == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(state->scan_cxt);
		ApigouvSecrets *found;

		apigouv_audit_check(state->options);
		found = apigouv_option_secrets(state->options, route->auth,
									   state->userid);
		apigouv_token_check(state->options, state->userid, found);
		*secrets = found;
		MemoryContextSwitchTo(old);
	}
	return *secrets;
}

/*
 * apigouv_ask_begin
 *		The scan is about to ask: let it be counted, and seen.
 */
void
apigouv_ask_begin(ApigouvScanState *state)
{
	if (state->progress != NULL)
		return;
	state->options->tally = apigouv_tally_of(state->options, state->rel);
	state->progress = apigouv_progress_enter(state->options->tally,
											 state->foreseen,
											 state->scan_cxt);
}

/*
 * apigouv_ask_foresee
 *		Tell how many requests the tasks take that were made: the planner did
 *		not know all values.  Lists in pages tell their totals later.
 */
void
apigouv_ask_foresee(ApigouvScanState *state)
{
	int64		requests = 0;

	for (int i = 0; i < state->ntasks; i++)
	{
		const ApigouvRoute *route = state->tasks[i].sroute->route;

		if (route->paging.style != APIGOUV_PAGING_NONE)
			return;
		requests += route->lookup.path != NULL ? 2 : 1;
	}
	apigouv_progress_foresee(state->progress, (double) requests);
}

/*
 * Count a reply that the transaction had.  One begun ahead is counted when a
 * scan takes it over, else the scan asks for it again.
 */
static void
count_hit(ApigouvScanState *state, const ApigouvReply *reply)
{
	bool		merged = reply->brought_by == state->number;

	state->counts.cache_hits++;
	state->counts.merged += merged;
	if (state->is_ahead)
		return;
	apigouv_progress_hit();
	apigouv_tally_add(state->options->tally, APIGOUV_TALLY_XACT_HITS, 1);
	apigouv_tally_add(state->options->tally, APIGOUV_TALLY_MERGED, merged);
}

/* Count where a reply was. */
static void
count_ring(ApigouvScanState *state, ApigouvReply *reply, ApigouvRing ring)
{
	ApigouvScanCounts *counts = &state->counts;
	ApigouvTally *tally = state->options->tally;

	if (ring != APIGOUV_RING_XACT)
		reply->brought_by = state->number;

	switch (ring)
	{
		case APIGOUV_RING_SENT:
			counts->requests++;
			state->budget->made++;
			break;
		case APIGOUV_RING_XACT:
			count_hit(state, reply);
			break;
		case APIGOUV_RING_KEPT:
			counts->kept_hits++;
			apigouv_progress_hit();
			apigouv_tally_add(tally, APIGOUV_TALLY_KEPT_HITS, 1);
			break;
		case APIGOUV_RING_SHARED:
			counts->shared_hits++;
			apigouv_progress_hit();
			apigouv_tally_add(tally, APIGOUV_TALLY_SHARED_HITS, 1);
			break;
		case APIGOUV_RING_REFUSED:
			break;
	}
}

/* Make the request of a page of a task. */
static void
build_page(const ApigouvScanState *state, const ApigouvTask *task,
		   const ApigouvPage *page, bool lookup, ApigouvBuilt *built)
{
	ApigouvCall call = {0};

	call.route = task->sroute->route;
	call.wires = task->wires;
	call.lookup = lookup;
	call.size = page->size;
	call.at = page->at;
	call.fresh = state->fresh;
	call.total = state->total != NULL && state->first_rows > 0 &&
		!task->is_at_hand;
	apigouv_request_build(state->options, &call, built);
}

/*
 * ask
 *		Ask for a page, through the caches.
 *
 * All pages of a read are of one generation: a later one comes from where
 * the first came from.  False when it is not there, or, with *ring
 * APIGOUV_RING_REFUSED, when the query may not send its request.
 */
static bool
ask(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
	bool lookup, ApigouvRing *ring)
{
	ApigouvRead read = {0};

	apigouv_audit_check(state->options);
	/* what a LIMIT leaves of a list in pages is not kept */
	read.to_its_end = lookup || !state->may_stop_early ||
		task->sroute->route->paging.style == APIGOUV_PAGING_NONE;
	read.may_send = !apigouv_budget_is_spent(state);
	if (!lookup && task->read != NIL)
	{
		read.first = linitial(task->read);
		read.before = llast(task->read);
	}
	build_page(state, task, page, lookup, &page->built);
	page->reply = apigouv_cache_ask(state->options, state->userid,
									apigouv_ask_secrets(state,
														task->sroute->route),
									task->sroute->route, &page->built, &read,
									ring);
	if (page->reply == NULL)
		return false;
	page->hold = apigouv_cache_hold(page->reply, state->batch_cxt);
	task->asked = lappend(task->asked, page->reply);
	page->ours = *ring == APIGOUV_RING_SENT;
	apigouv_audit_page(state, task, page, lookup, *ring);
	count_ring(state, page->reply, *ring);
	if (lookup)
		return true;
	task->read = lappend(task->read, page->reply);
	task->all_ours = page->ours && (read.first == NULL || task->all_ours);
	return true;
}

/*
 * apigouv_ask_page
 *		Ask for a page that the scan has come to.
 *
 * Raises when the query has made all the requests that it may; or when caches
 * lack a page of a list that they gave the first of: the read begins anew.
 */
void
apigouv_ask_page(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
				 bool lookup)
{
	ApigouvRing ring;

	if (ask(state, task, page, lookup, &ring))
		return;
	if (ring == APIGOUV_RING_REFUSED)
		apigouv_budget_refuse(state);
	apigouv_page_changed(state, task);
}

/* A reply was read to its end and makes sense: it is worth keeping. */
void
apigouv_ask_confirm(ApigouvScanState *state, ApigouvPage *page)
{
	page->reply->read_whole = true;
	if (page->ours)
		apigouv_cache_share(state->options,
							apigouv_ask_secrets(state, page->reply->route),
							list_make1(page->reply));
}

/* Ask for a page and put it at the end of a task's queue. */
void
apigouv_ask_queue(ApigouvScanState *state, ApigouvTask *task,
				  const ApigouvPage *wanted)
{
	ApigouvPage *page = palloc(sizeof(ApigouvPage));

	*page = *wanted;
	apigouv_ask_page(state, task, page, false);
	task->pages = lappend(task->pages, page);
}

/*
 * apigouv_ask_ahead
 *		The same for a page that the scan has not come to: where it would
 *		raise, nothing is asked, and false is returned.
 */
bool
apigouv_ask_ahead(ApigouvScanState *state, ApigouvTask *task,
				  const ApigouvPage *wanted)
{
	ApigouvPage *page = palloc(sizeof(ApigouvPage));
	ApigouvRing ring;

	*page = *wanted;
	if (!ask(state, task, page, false, &ring))
		return false;
	if (page->ours)
		page->reply->ahead = true;
	task->pages = lappend(task->pages, page);
	return true;
}

/* Does the token hold one of the scopes of a route, as far as is known? */
bool
apigouv_ask_is_entitled(ApigouvScanState *state, const ApigouvRoute *route)
{
	if (route->not_entitled.n == 0 || apigouv_apidef_is_entitled(route, NIL))
		return true;
	if (!state->scopes_asked)
	{
		MemoryContext old = MemoryContextSwitchTo(state->scan_cxt);

		/* with caches only, the API is not asked for them either */
		state->scopes_known =
			apigouv_token_scopes(state->options, state->userid,
								 apigouv_ask_secrets(state, route),
								 apigouv_max_requests_per_query != 0,
								 &state->scopes);
		state->scopes_asked = true;
		MemoryContextSwitchTo(old);
	}
	return !state->scopes_known ||
		apigouv_apidef_is_entitled(route, state->scopes);
}

/* All that tells a request of a scan from another. */
static char *
text_of(const ApigouvBuilt *built)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	appendStringInfoString(&text, built->url);
	foreach(lc, built->headers)
		appendStringInfo(&text, "\n%s", (char *) lfirst(lc));
	if (built->body != NULL)
		appendStringInfo(&text, "\n\n%s", built->body);
	return text.data;
}

/*
 * apigouv_ask_has_list
 *		Has a cache the page that a read of all rows of a task begins with?
 */
bool
apigouv_ask_has_list(ApigouvScanState *state, const ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;
	ApigouvTask whole = *task;
	ApigouvPage page = {0};
	ApigouvBuilt built;
	MemoryContext cxt;
	MemoryContext old;
	bool		found;

	if (route->paging.style == APIGOUV_PAGING_NONE)
		return false;
	cxt = AllocSetContextCreate(CurrentMemoryContext,
								"apigouv_fdw list sought",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	whole.is_at_hand = true;
	apigouv_page_first(state, &whole, &page);
	build_page(state, &whole, &page, false, &built);
	found = apigouv_cache_has(state->options,
							  apigouv_ask_secrets(state, route), route,
							  &built);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return found;
}

/*
 * apigouv_ask_count_new
 *		How many requests a task that has not begun is certain to send.
 *
 * None when a cache holds the reply or the token lacks the right.  After a
 * lookup that must be sent, the request that it feeds counts only if it
 * cannot end with the lookup, which nobody knows: so it does not.  counted:
 * texts of the requests that other tasks make as well.
 */
int
apigouv_ask_count_new(ApigouvScanState *state, const ApigouvTask *task,
					  HTAB *counted)
{
	bool		lookup = task->sroute->route->lookup.path != NULL;
	ApigouvPage page = {0};
	ApigouvBuilt built;
	MemoryContext cxt;
	MemoryContext old;
	char	   *text;
	bool		known;

	if (!apigouv_ask_is_entitled(state, task->sroute->route))
		return 0;
	cxt = AllocSetContextCreate(CurrentMemoryContext,
								"apigouv_fdw request counted",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	if (!lookup)
		apigouv_page_first(state, task, &page);
	build_page(state, task, &page, lookup, &built);
	text = text_of(&built);
	known = hash_search(counted, &text, HASH_FIND, NULL) != NULL ||
		apigouv_cache_has(state->options,
						  apigouv_ask_secrets(state, task->sroute->route),
						  task->sroute->route, &built);
	MemoryContextSwitchTo(old);
	if (!known)
	{
		text = pstrdup(text);
		(void) hash_search(counted, &text, HASH_ENTER, NULL);
	}
	MemoryContextDelete(cxt);
	return known ? 0 : 1;
}
