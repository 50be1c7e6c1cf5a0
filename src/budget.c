/*-------------------------------------------------------------------------
 *
 * budget.c
 *		How many requests a query may make, and how long limits may make it.
 *
 * Only what is certain is refused beforehand: the tasks of a scan whose rows
 * are all wanted, a request each, unless a cache has its reply.  What cannot
 * be known, such as the pages of a list, the keys of a join or the rows that
 * a LIMIT will take, is stopped when the bound is reached.
 *
 * A query is an executor state: a cursor has its own, and so has each
 * statement of a function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "budget.h"
#include "limit.h"
#include "messages.h"
#include "texthash.h"

int			apigouv_max_requests_per_query;
int			apigouv_max_duration_ms;

/* Times that the ledger's lock is tried for a forecast, a ms apart. */
#define MAX_TRIES		1000

/* A budget, and the callback that forgets it. */
typedef struct Entry
{
	ApigouvBudget budget;
	dlist_node	node;			/* in entries */
	MemoryContextCallback callback;
} Entry;

static dlist_head entries = DLIST_STATIC_INIT(entries);

/* Called when a query's executor state goes. */
static void
forget(void *arg)
{
	dlist_delete(&((Entry *) arg)->node);
}

ApigouvBudget *
apigouv_budget_of(EState *estate)
{
	dlist_iter	iter;
	Entry	   *entry;

	dlist_foreach(iter, &entries)
	{
		entry = dlist_container(Entry, node, iter.cur);
		if (entry->budget.estate == estate)
			return &entry->budget;
	}
	entry = MemoryContextAllocZero(estate->es_query_cxt, sizeof(Entry));
	entry->budget.estate = estate;
	dlist_push_head(&entries, &entry->node);
	entry->callback.func = forget;
	entry->callback.arg = entry;
	MemoryContextRegisterResetCallback(estate->es_query_cxt,
									   &entry->callback);
	return &entry->budget;
}

static void raise_too_many(const ApigouvScanState *state, int64 needed)
			APIGOUV_NORETURN;

static void
raise_too_many(const ApigouvScanState *state, int64 needed)
{
	int64		made = state->budget->made;
	const char *table = RelationGetRelationName(state->rel);
	bool		caches_only = apigouv_max_requests_per_query == 0;

	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 caches_only
			 ? errmsg("foreign table \"%s\" needs a request, but only caches may be read",
					  table)
			 : errmsg("query needs more requests than allowed"),
			 errdetail("Setting apigouv_fdw.max_requests_per_query is %d; this query has made %lld and needs at least %lld more for foreign table \"%s\".",
					   apigouv_max_requests_per_query, (long long) made,
					   (long long) needed, table),
			 caches_only ? 0
			 : errhint("Add conditions that leave fewer keys or pages, or ask for more with that setting.")));
}

bool
apigouv_budget_is_spent(const ApigouvScanState *state)
{
	return apigouv_max_requests_per_query >= 0 &&
		state->budget->made >= apigouv_max_requests_per_query;
}

void
apigouv_budget_refuse(ApigouvScanState *state)
{
	HTAB	   *counted = texthash_create("apigouv_fdw requests counted",
										  sizeof(char *), 64,
										  CurrentMemoryContext);
	int64		needed = 0;

	for (int i = 0; i < state->ntasks; i++)
	{
		if (state->tasks[i].state == APIGOUV_TASK_NEW)
			needed += apigouv_ask_count_new(state, &state->tasks[i], counted);
	}
	raise_too_many(state, Max(needed, 1));
}

/* ---- duration ---- */

int64
apigouv_budget_forecast(const ApigouvQuotaLimits *limits, int64 n)
{
	int64		wait_us = 0;

	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		if (apigouv_quota_forecast(limits, n, &wait_us) != APIGOUV_QUOTA_BUSY)
			break;				/* one that is broken tells when we send */
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
	return wait_us;
}

/* Requests that have the same credentials. */
typedef struct CountedRequests
{
	const ApigouvRoute *route;	/* one that makes such requests; NULL: none */
	int64	   *of_limit;		/* beside the limits of the API; at the end
								 * those without */
} CountedRequests;

/* The least time that n requests of a route and one limit take. */
static int64
least_us(ApigouvScanState *state, const ApigouvRoute *route, int limit,
		 int64 n)
{
	ApigouvQuotaLimits limits;

	apigouv_limit_find(state->options, state->userid,
					   apigouv_ask_secrets(state, route), limit, true,
					   &limits);
	return limits.n == 0 || n == 0 ? 0 : apigouv_budget_forecast(&limits, n);
}

/*
 * check_duration
 *		Refuse requests that the limits would spread over too long.
 *
 * counts: by ApigouvRouteAuth; all of them share the limit of the address.
 */
static void
check_duration(ApigouvScanState *state, const CountedRequests *counts,
			   int64 total)
{
	int			n = state->options->api->nlimits;
	int64		longest = 0;

	for (int auth = 0; auth < APIGOUV_NROUTE_AUTHS; auth++)
	{
		const ApigouvRoute *route = counts[auth].route;

		if (route == NULL)
			continue;
		for (int i = 0; i < n; i++)
			longest = Max(longest, least_us(state, route, i,
											counts[auth].of_limit[i]));
		longest = Max(longest, least_us(state, route, -1, total));
	}
	if (longest / 1000 <= apigouv_max_duration_ms)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("query would take longer than allowed"),
			 errdetail("Setting apigouv_fdw.max_duration_ms is %d ms; %lld requests for foreign table \"%s\" take %lld ms under the limits of the API.",
					   apigouv_max_duration_ms, (long long) total,
					   RelationGetRelationName(state->rel),
					   (long long) (longest / 1000)),
			 errhint("Add conditions that leave fewer keys, or allow more time with that setting.")));
}

/* Limit of a task's first request. */
static int
limit_of(const ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;

	return route->lookup.path != NULL ? route->lookup.limit : route->limit;
}

void
apigouv_budget_check(ApigouvScanState *state)
{
	int64		most = apigouv_max_requests_per_query;
	CountedRequests counts[APIGOUV_NROUTE_AUTHS] = {{0}};
	int64		total = 0;
	HTAB	   *counted;
	MemoryContext cxt;
	MemoryContext old;
	int			nlimits = state->options->api->nlimits;

	if (state->may_stop_early ||
		(apigouv_max_duration_ms < 0 &&
		 (most < 0 || state->budget->made + state->ntasks <= most)))
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext,
								"apigouv_fdw requests counted",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	counted = texthash_create("apigouv_fdw requests counted", sizeof(char *),
							  256, cxt);
	for (int i = 0; i < APIGOUV_NROUTE_AUTHS; i++)
		counts[i].of_limit = palloc0(sizeof(int64) * (nlimits + 1));
	for (int i = 0; i < state->ntasks; i++)
	{
		ApigouvTask *task = &state->tasks[i];
		CountedRequests *count = &counts[task->sroute->route->auth];
		int			n = apigouv_ask_count_new(state, task, counted);
		int			limit = limit_of(task);

		total += n;
		count->route = task->sroute->route;
		count->of_limit[limit >= 0 ? limit : nlimits] += n;
	}
	if (most >= 0 && state->budget->made + total > most)
		raise_too_many(state, total);
	if (apigouv_max_duration_ms >= 0 && total > 0)
		check_duration(state, counts, total);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

void
apigouv_budget_check_document(const char *server,
							  const ApigouvQuotaLimits *limits, int64 made)
{
	bool		caches_only = apigouv_max_requests_per_query == 0;
	int64		wait_ms;

	if (apigouv_max_requests_per_query >= 0 &&
		made >= apigouv_max_requests_per_query)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 caches_only
				 ? errmsg("a document of foreign server \"%s\" needs a request, but only caches may be read",
						  server)
				 : errmsg("query needs more requests than allowed"),
				 errdetail("Setting apigouv_fdw.max_requests_per_query is %d; this query has made %lld for documents of foreign server \"%s\".",
						   apigouv_max_requests_per_query, (long long) made,
						   server)));
	if (apigouv_max_duration_ms < 0 || limits->n == 0)
		return;
	wait_ms = apigouv_budget_forecast(limits, 1) / 1000;
	if (wait_ms > apigouv_max_duration_ms)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("query would take longer than allowed"),
				 errdetail("Setting apigouv_fdw.max_duration_ms is %d ms; a request for a document of foreign server \"%s\" has to wait %lld ms under the limits of the API.",
						   apigouv_max_duration_ms, server,
						   (long long) wait_ms)));
}
