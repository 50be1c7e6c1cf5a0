/*-------------------------------------------------------------------------
 *
 * explain.c
 *		What EXPLAIN shows of a foreign scan.
 *
 * Route, request and conditions sent come with VERBOSE; so do the requests
 * foreseen and the least time that the API's limits impose on them.  ANALYZE
 * adds what was done.  Values that the user typed are shown, unless they are
 * compared with personal data; tokens are not part of a request here, so none
 * can appear.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "utils/ruleutils.h"

#include "binding.h"
#include "compat.h"
#include "limit.h"
#include "probe.h"
#include "scan_state.h"
#include "total.h"

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

/* Values shown of one parameter, at most. */
#define MAX_VALUES_SHOWN 4

/* The binding of a parameter, NULL if no condition feeds it. */
static const ApigouvScanBinding *
binding_of(const ApigouvScanRoute *sroute, int param)
{
	for (int i = 0; i < sroute->nbindings; i++)
	{
		if (sroute->bindings[i].target == param)
			return &sroute->bindings[i];
	}
	return NULL;
}

/*
 * known_values
 *		Texts that a parameter sends, when they are known before execution;
 *		else NIL.
 *
 * Values on personal data are never shown.
 */
static List *
known_values(const ApigouvScanState *state, const ApigouvParam *param,
			 const ApigouvScanBinding *binding)
{
	const Const *value = list_nth(state->exprs, binding->expr);
	ApigouvBindValues values;

	if (!IsA(value, Const) ||
		apigouv_apidef_is_personal(state->options->table, param->column) ||
		apigouv_binding_values(param, binding->op, value->constvalue,
							   value->constisnull, value->consttype,
							   binding->is_array, &values) != APIGOUV_BIND_OK)
		return NIL;
	return apigouv_binding_wires(&values);
}

/*
 * append_value
 *		Append what a parameter sends: a value, {one|of|several}, or the
 *		{column} that gives it.
 */
static void
append_value(StringInfo buf, const ApigouvScanState *state,
			 const ApigouvScanRoute *sroute, int position)
{
	const ApigouvParam *param = &sroute->route->params[position];
	const ApigouvScanBinding *binding = binding_of(sroute, position);
	List	   *values;
	ListCell   *lc;
	int			n = 0;

	if (binding == NULL)
	{
		appendStringInfo(buf, "{%s}", param->name);
		return;
	}
	values = known_values(state, param, binding);
	if (values == NIL)
	{
		appendStringInfo(buf, "{%s}",
						 state->options->table->columns[param->column].name);
		return;
	}
	if (list_length(values) > 1)
		appendStringInfoChar(buf, '{');
	foreach(lc, values)
	{
		const char *wire = lfirst(lc);

		if (n == MAX_VALUES_SHOWN)
		{
			appendStringInfo(buf, "|... %d values", list_length(values));
			break;
		}
		appendStringInfo(buf, "%s%s", n++ > 0 ? "|" : "",
						 pg_any_to_server(wire, strlen(wire), PG_UTF8));
	}
	if (list_length(values) > 1)
		appendStringInfoChar(buf, '}');
}

/* A route of a scan, for the writer below. */
typedef struct ScanAndRoute
{
	const ApigouvScanState *state;
	const ApigouvScanRoute *sroute;
} ScanAndRoute;

/* Fill a place of a path as EXPLAIN shows it. */
static void
write_place(StringInfo buf, int param, const void *arg)
{
	const ScanAndRoute *both = arg;

	append_value(buf, both->state, both->sroute, param);
}

/* A route's request, with the values known before execution. */
static char *
request_of(const ApigouvScanState *state, const ApigouvScanRoute *sroute)
{
	const ApigouvRoute *route = sroute->route;
	ScanAndRoute both = {state, sroute};
	StringInfoData buf;
	char		separator = route->post ? ' ' : '?';

	initStringInfo(&buf);
	appendStringInfoString(&buf, route->post ? "POST " : "GET ");
	apigouv_request_path(&buf, route, route->path, write_place, &both);
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];
		bool		in_body = param->place == APIGOUV_IN_BODY;

		if (!in_body && param->place != APIGOUV_IN_QUERY)
			continue;
		if (binding_of(sroute, i) == NULL &&
			!(in_body && param->constant != NULL))
			continue;
		appendStringInfo(&buf, "%c%s=", separator, param->name);
		separator = route->post ? ' ' : '&';
		if (param->constant != NULL)
			appendStringInfoString(&buf, param->constant);
		else
			append_value(&buf, state, sroute, i);
	}
	if (route->lookup.path != NULL)
	{
		appendStringInfoString(&buf, " after GET ");
		apigouv_request_path(&buf, route, route->lookup.path, write_place,
							 &both);
	}
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
	List	   *inexact = NIL;
	int			n = state->options->table->is_union ? state->nroutes
	: Min(state->nroutes, 1);

	for (int i = 0; i < n; i++)
	{
		const ApigouvScanRoute *sroute = &state->routes[i];
		char	   *words;

		/* the route that served may be another than the planner's choice */
		if (!state->options->table->is_union && state->ntasks > 0)
			sroute = state->tasks[0].sroute;
		words = inexact_of(state, sroute);
		names = lappend(names, sroute->route->name);
		requests = lappend(requests, request_of(state, sroute));
		if (*words != '\0')
			inexact = lappend(inexact, words);
	}
	if (names == NIL)
		return;
	ExplainPropertyList("Route", names, es);
	if (!es->verbose)
		return;
	ExplainPropertyList("Request", requests, es);
	if (inexact != NIL)
		ExplainPropertyList("Inexact", inexact, es);
}

/*
 * explain_full_read
 *		Tell that no condition narrows what is asked of a list, or that only
 *		its beginning is asked at first.
 */
static void
explain_full_read(const ApigouvScanState *state, ExplainState *es)
{
	const ApigouvScanRoute *sroute = &state->routes[0];

	if (state->nroutes == 0 || state->options->table->is_union ||
		sroute->route->keyed)
		return;
	for (int i = 0; i < sroute->nbindings; i++)
	{
		if (sroute->route->params[sroute->bindings[i].target].purpose ==
			APIGOUV_PURPOSE_NONE)
			return;
	}
	if (state->first_rows > 0)
	{
		ExplainPropertyInteger("First Page", "rows", state->first_rows, es);
		return;
	}
	ExplainPropertyText("Full Read",
						psprintf("%.0f %s", state->foreseen,
								 state->foreseen == 1 ? "request" : "requests"),
						es);
}

/*
 * add_unfinished
 *		Add what transfers that are not read to their end have cost so far.
 */
static void
add_unfinished(const ApigouvScanState *state, ApigouvScanCounts *counts)
{
	for (int i = 0; i < state->ntasks; i++)
	{
		ListCell   *lc;

		foreach(lc, state->tasks[i].pages)
		{
			const ApigouvPage *page = lfirst(lc);

			if (page->counted || !page->ours || page->reply == NULL)
				continue;
			counts->attempts += page->reply->transfer->attempts;
			counts->bytes += page->reply->transfer->bytes;
			counts->upstream_us += page->reply->transfer->upstream_us;
		}
	}
}

/* Conditions sent, in SQL, but for those on personal data. */
static void
explain_sent(ForeignScanState *node, List *ancestors, ExplainState *es)
{
	const ApigouvScanState *state = node->fdw_state;
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List	   *sent = list_copy(plan->fdw_recheck_quals);
	List	   *context;
	Node	   *clauses;

	sent = list_truncate(sent, list_length(sent) - list_length(state->hidden));
	if (sent == NIL || es->deparse_cxt == NIL)
		return;
	clauses = (Node *) make_ands_explicit(sent);
	context = set_deparse_context_plan(es->deparse_cxt,
									   (Plan *) plan, ancestors);
	ExplainPropertyText("Sent",
						deparse_expression(clauses, context,
										   es->verbose ||
										   list_length(es->rtable) > 1,
										   false),
						es);
}

/* A list of texts with one more, unless it is there. */
static List *
append_text(List *texts, char *text)
{
	ListCell   *lc;

	foreach(lc, texts)
	{
		if (strcmp(lfirst(lc), text) == 0)
			return texts;
	}
	return lappend(texts, text);
}

/* A list of texts with those limits of a kind of request that it lacks. */
static List *
append_limits(List *texts, const ApigouvScanState *state, int which)
{
	static const ApigouvSecrets none;
	ApigouvQuotaLimits limits;

	apigouv_limit_find(state->options, state->userid, &none, which, true,
					   &limits);
	for (int i = 0; i < limits.n; i++)
	{
		const ApigouvQuotaLimit *limit = &limits.limits[i];
		char	   *text;

		text = psprintf("%s%s%s (%s)", limit->name,
						limit->role[0] ? " of role " : "", limit->role,
						apigouv_limit_window(limit->requests,
											 limit->window_us / 1000));
		texts = append_text(texts, text);
	}
	return texts;
}

/* Limits that the requests have to fit, each once. */
static void
explain_limits(const ApigouvScanState *state, ExplainState *es)
{
	List	   *texts = NIL;

	for (int i = 0; i < state->nroutes; i++)
	{
		const ApigouvRoute *route = state->routes[i].route;

		if (route->lookup.path != NULL)
			texts = append_limits(texts, state, route->lookup.limit);
		texts = append_limits(texts, state, route->limit);
	}
	if (texts != NIL)
		ExplainPropertyList("Limits", texts, es);
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
	static const ApigouvSecrets none;
	double		ms = 0;
	int			n = state->options->table->is_union
	? Max(state->nroutes, 1) : 1;

	for (int i = 0; i < Min(n, state->nroutes); i++)
	{
		ApigouvQuotaLimits limits;

		apigouv_limit_find(state->options, state->userid, &none,
						   state->routes[i].route->limit, true, &limits);
		ms = Max(ms, apigouv_limit_least_ms(&limits, state->foreseen / n));
	}
	return ms / 1000;
}

/*
 * explain_hits
 *		Tell how many replies were not asked of the API, and why.
 *
 * Those of the transaction always; the others where there are any, and in
 * the formats that programs read.
 */
static void
explain_hits(const ApigouvScanCounts *counts, ExplainState *es)
{
	bool		all = es->format != EXPLAIN_FORMAT_TEXT;

	ExplainPropertyInteger("Cache Hits", NULL, counts->cache_hits, es);
	if (all || counts->kept_hits > 0)
		ExplainPropertyInteger("Kept Hits", NULL, counts->kept_hits, es);
	if (all || counts->shared_hits > 0)
		ExplainPropertyInteger("Cluster Hits", NULL, counts->shared_hits, es);
	if (all || (es->verbose && counts->merged > 0))
		ExplainPropertyInteger("Duplicates Merged", NULL, counts->merged, es);
}

/*
 * explain_rest
 *		Tell what else was done: what is seldom or zero, and times, are left
 *		out of the text, not of the formats that programs read.
 */
static void
explain_rest(const ApigouvScanCounts *counts, ExplainState *es)
{
	bool		all = es->format != EXPLAIN_FORMAT_TEXT;

	if (es->timing)
		ExplainPropertyFloat("Upstream Time", "ms",
							 counts->upstream_us / 1000.0, 3, es);
	if (all || counts->quota_wait_us > 0)
		ExplainPropertyFloat("Quota Wait", "ms",
							 counts->quota_wait_us / 1000.0, 0, es);
	if (all || counts->duplicates > 0)
		ExplainPropertyInteger("Duplicates", NULL, counts->duplicates, es);
	if (all || counts->malformed > 0)
		ExplainPropertyInteger("Malformed Keys", NULL, counts->malformed, es);
}

/*
 * apigouvExplainForeignScan
 *		Add to EXPLAIN what this scan asks, and under ANALYZE what it did.
 */
void
apigouvExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	const ApigouvScanState *state = node->fdw_state;
	ApigouvScanCounts counts = state->counts;

	if (*state->missing != '\0')
	{
		ExplainPropertyText("Missing Key",
							strcmp(state->missing, APIGOUV_NO_COLUMN) != 0
							? state->missing
							: "no route takes these conditions together",
							es);
		if (state->is_probe &&
			apigouv_missing_key == APIGOUV_MISSING_KEY_EMPTY)
			ExplainPropertyText("Without Key",
								"no rows, and a warning, where rows go to the client; else an error",
								es);
		return;
	}
	explain_routes(state, es);
	if (state->total != NULL)
		apigouv_total_explain(state, es);
	else
		explain_full_read(state, es);
	if (es->verbose)
	{
		explain_sent(node, NIL, es);
		ExplainPropertyFloat("Requests Foreseen", NULL, state->foreseen, 0,
							 es);
		explain_limits(state, es);
		if (least_seconds(state) > 0)
			ExplainPropertyFloat("Minimum Duration", "s",
								 least_seconds(state),
								 least_seconds(state) < 10 ? 1 : 0, es);
	}
	if (!es->analyze)
		return;
	add_unfinished(state, &counts);
	ExplainPropertyInteger("Requests", NULL, counts.requests, es);
	ExplainPropertyInteger("Attempts", NULL, counts.attempts, es);
	explain_hits(&counts, es);
	ExplainPropertyInteger("Pages", NULL, counts.pages, es);
	ExplainPropertyInteger("Bytes", NULL, counts.bytes, es);
	explain_rest(&counts, es);
}
