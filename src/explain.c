/*-------------------------------------------------------------------------
 *
 * explain.c
 *		What EXPLAIN shows of a foreign scan.
 *
 * Route, request and conditions sent come with VERBOSE; so do the requests
 * foreseen and the least time that the API's limits impose on them.  ANALYZE
 * adds what was done.  Values that the user typed are shown; tokens are not
 * part of a request here, so none can appear.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "commands/explain.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "scan_state.h"

/* Word for an exactness. */
static const char *
exactness_word(ApigouvExactness exactness)
{
	switch (exactness)
	{
		case APIGOUV_EXACT:
			return "exact";
		case APIGOUV_SUPERSET:
			return "superset";
		case APIGOUV_DERIVED:
			return "derived";
		case APIGOUV_OPAQUE:
			return "opaque";
	}
	return "";
}

/* A route's method and path, with the parameters that conditions fill. */
static char *
request_of(const ApigouvScanState *state, const ApigouvScanRoute *sroute)
{
	const ApigouvRoute *route = sroute->route;
	StringInfoData buf;
	char		separator = '?';

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s %s", route->post ? "POST" : "GET",
					 route->path);
	for (int i = 0; i < sroute->nbindings; i++)
	{
		const ApigouvParam *param =
			&route->params[sroute->bindings[i].target];

		if (param->place != APIGOUV_IN_QUERY &&
			param->place != APIGOUV_IN_BODY)
			continue;
		appendStringInfo(&buf, "%c%s=%s", separator, param->name,
						 state->options->table->columns[param->column].name);
		separator = '&';
	}
	if (route->lookup.path != NULL)
		appendStringInfo(&buf, " after GET %s", route->lookup.path);
	return buf.data;
}

/* Parameters that are not exact, each with its word. */
static char *
inexact_of(const ApigouvScanState *state, const ApigouvScanRoute *sroute)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < sroute->nbindings; i++)
	{
		const ApigouvParam *param =
			&sroute->route->params[sroute->bindings[i].target];

		if (param->exactness == APIGOUV_EXACT)
			continue;
		appendStringInfo(&buf, "%s%s (%s)", buf.len > 0 ? ", " : "",
						 state->options->table->columns[param->column].name,
						 exactness_word(param->exactness));
	}
	return buf.data;
}

/* Routes, and the requests they make. */
static void
explain_routes(const ApigouvScanState *state, ExplainState *es)
{
	List	   *names = NIL;
	List	   *requests = NIL;
	int			n = state->options->table->is_union ? state->nroutes
		: Min(state->nroutes, 1);

	for (int i = 0; i < n; i++)
	{
		char	   *inexact = inexact_of(state, &state->routes[i]);

		names = lappend(names, state->routes[i].route->name);
		requests = lappend(requests, request_of(state, &state->routes[i]));
		if (*inexact != '\0' && i == 0)
			ExplainPropertyText("Inexact", inexact, es);
	}
	if (names == NIL)
		return;
	ExplainPropertyList("Route", names, es);
	if (es->verbose)
		ExplainPropertyList("Request", requests, es);
}

/* Conditions sent, in SQL. */
static void
explain_sent(ForeignScanState *node, List *ancestors, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List	   *context;
	Node	   *clauses;

	if (plan->fdw_recheck_quals == NIL || es->deparse_cxt == NIL)
		return;
	clauses = (Node *) make_ands_explicit(plan->fdw_recheck_quals);
	context = set_deparse_context_plan(es->deparse_cxt,
									   (Plan *) plan, ancestors);
	ExplainPropertyText("Sent",
						deparse_expression(clauses, context,
										   es->verbose ||
										   list_length(es->rtable) > 1,
										   false),
						es);
}

/*
 * least_seconds
 *		The least time that the limits impose on a number of requests.
 *
 * The slowest limit of the routes decides.
 */
static double
least_seconds(const ApigouvScanState *state)
{
	const ApigouvApi *api = state->options->api;
	double		seconds = 0;
	int			n = state->options->table->is_union
		? Max(state->nroutes, 1) : 1;

	for (int i = 0; i < Min(n, state->nroutes); i++)
	{
		int			limit = state->routes[i].route->limit;
		double		share = state->foreseen / n;

		if (limit < 0 || api->limits[limit].requests <= 0)
			continue;
		seconds = Max(seconds,
					  (ceil(share / api->limits[limit].requests) - 1) *
					  api->limits[limit].window_s);
	}
	return Max(seconds, 0);
}

/*
 * apigouvExplainForeignScan
 *		Add to EXPLAIN what this scan asks, and under ANALYZE what it did.
 */
void
apigouvExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	const ApigouvScanState *state = node->fdw_state;
	const ApigouvScanCounts *counts = &state->counts;

	if (*state->missing != '\0')
	{
		ExplainPropertyText("Missing Key", state->missing, es);
		return;
	}
	explain_routes(state, es);
	if (es->verbose)
	{
		explain_sent(node, NIL, es);
		ExplainPropertyFloat("Requests Foreseen", NULL, state->foreseen, 0,
							 es);
		if (least_seconds(state) > 0)
			ExplainPropertyFloat("Minimum Duration", "s",
								 least_seconds(state), 0, es);
	}
	if (!es->analyze)
		return;
	ExplainPropertyInteger("Requests", NULL, counts->requests, es);
	ExplainPropertyInteger("Attempts", NULL, counts->attempts, es);
	ExplainPropertyInteger("Cache Hits", NULL, counts->cache_hits, es);
	ExplainPropertyInteger("Pages", NULL, counts->pages, es);
	ExplainPropertyInteger("Bytes", NULL, counts->bytes, es);
	if (counts->duplicates > 0)
		ExplainPropertyInteger("Duplicates", NULL, counts->duplicates, es);
	if (counts->malformed > 0)
		ExplainPropertyInteger("Malformed Keys", NULL, counts->malformed, es);
}
