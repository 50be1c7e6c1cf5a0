/*-------------------------------------------------------------------------
 *
 * scan.c
 *		The executor's callbacks of a foreign scan.
 *
 * Nothing is sent before the first row is asked for, so EXPLAIN without
 * ANALYZE, and a branch that is never executed, cost no request.  Secrets
 * are read at that moment too.
 *
 * A rescan makes new tasks from the new values; what was asked before comes
 * from the transaction's cache.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "ahead.h"
#include "messages.h"
#include "budget.h"
#include "probe.h"
#include "progress.h"
#include "redact.h"
#include "scan_state.h"
#include "total.h"

/* Bindings of the plan, as an array. */
static ApigouvScanBinding *
read_bindings(const List *list)
{
	ApigouvScanBinding *bindings =
	palloc0(sizeof(ApigouvScanBinding) * Max(list_length(list), 1));
	int			i = 0;
	ListCell   *lc;

	foreach(lc, list)
	{
		const List *item = lfirst(lc);

		bindings[i].target = list_nth_int(item, APIGOUV_BINDING_TARGET);
		bindings[i].expr = list_nth_int(item, APIGOUV_BINDING_EXPR);
		bindings[i].op = (uint32) list_nth_int(item, APIGOUV_BINDING_OP);
		bindings[i].is_array = list_nth_int(item,
											APIGOUV_BINDING_IS_ARRAY) != 0;
		i++;
	}
	return bindings;
}

/* Routes of the plan. */
static void
read_routes(ApigouvScanState *state, const List *list)
{
	ListCell   *lc;

	state->routes = palloc0(sizeof(ApigouvScanRoute) *
							Max(list_length(list), 1));
	foreach(lc, list)
	{
		const List *item = lfirst(lc);
		ApigouvScanRoute *route = &state->routes[state->nroutes++];

		route->position = intVal(linitial(item));
		if (route->position >= state->options->table->nroutes)
			elog(ERROR, "plan of foreign table \"%s\" is out of date",
				 RelationGetRelationName(state->rel));
		route->route = &state->options->table->routes[route->position];
		route->nbindings = list_length(lsecond(item));
		route->bindings = read_bindings(lsecond(item));
		for (int i = 0; i < route->nbindings; i++)
		{
			if (route->bindings[i].target >= route->route->nparams)
				elog(ERROR, "plan of foreign table \"%s\" is out of date",
					 RelationGetRelationName(state->rel));
		}
	}
}

/* Read what the planner decided. */
static void
read_plan(ApigouvScanState *state, const ForeignScan *plan)
{
	const List *private = plan->fdw_private;
	const List *hints = list_nth(private, APIGOUV_PLAN_HINTS);
	const List *constants = list_nth(private, APIGOUV_PLAN_CONSTANT_QUALS);
	int			nhidden;

	read_routes(state, list_nth(private, APIGOUV_PLAN_ROUTES));
	state->nconstants = list_length(constants);
	state->constants = read_bindings(constants);
	state->columns = list_nth(private, APIGOUV_PLAN_COLUMNS);
	state->may_stop_early = linitial_int(hints) != 0;
	state->first_rows = lsecond_int(hints);
	state->least_rows = lthird_int(hints);
	state->missing = strVal(list_nth(private, APIGOUV_PLAN_MISSING));
	state->foreseen = floatVal(list_nth(private, APIGOUV_PLAN_REQUESTS));
	nhidden = intVal(list_nth(private, APIGOUV_PLAN_HIDDEN));
	state->is_probe = intVal(list_nth(private, APIGOUV_PLAN_PROBE)) != 0;
	state->exprs = list_truncate(list_copy(plan->fdw_exprs),
								 list_length(plan->fdw_exprs) - nhidden);
	state->hidden = list_copy_tail(plan->fdw_exprs,
								   list_length(plan->fdw_exprs) - nhidden);
}

/* Is a column the key of some route? */
static bool
is_key_column(const ApigouvTable *table, int column)
{
	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];

		for (int j = 0; j < route->nparams; j++)
		{
			if (route->params[j].required && route->params[j].column == column)
				return true;
		}
	}
	return false;
}

/* The key columns that conditions look at, as numbers from 0 in the slot. */
static Bitmapset *
filtered_keys(const ApigouvScanState *state, const ForeignScan *plan)
{
	Bitmapset  *filtered = NULL;
	Bitmapset  *keys = NULL;
	int			member = -1;

	pull_varattnos((Node *) plan->scan.plan.qual, plan->scan.scanrelid,
				   &filtered);
	pull_varattnos((Node *) state->hidden, plan->scan.scanrelid, &filtered);
	while ((member = bms_next_member(filtered, member)) >= 0)
	{
		int			att = member + FirstLowInvalidHeapAttributeNumber - 1;

		if (att >= 0 && state->map.column_of[att] >= 0 &&
			is_key_column(state->options->table, state->map.column_of[att]))
			keys = bms_add_member(keys, att);
	}
	bms_free(filtered);
	return keys;
}

/* Columns that the engine reads for itself. */
static void
need_unique_columns(ApigouvScanState *state)
{
	for (int i = 0; i < state->nroutes; i++)
	{
		int			column = state->routes[i].route->paging.unique_column;

		if (column >= 0)
			apigouv_tuple_need(state->tupler, column);
	}
}

/*
 * apigouvBeginForeignScan
 *		Prepare a scan; sends nothing.
 */
void
apigouvBeginForeignScan(ForeignScanState *node, int eflags)
{
	EState	   *estate = node->ss.ps.state;
	ApigouvScanState *state = palloc0(sizeof(ApigouvScanState));
	static uint32 last_number = 0;
	Index		relid = apigouv_total_relid(node);
	Oid			role = apigouv_scan_role(node, relid);

	node->fdw_state = state;
	state->node = node;
	state->number = ++last_number;
	state->scan_cxt = AllocSetContextCreate(estate->es_query_cxt,
											"apigouv_fdw scan",
											ALLOCSET_SMALL_SIZES);
	state->batch_cxt = AllocSetContextCreate(state->scan_cxt,
											 "apigouv_fdw batch",
											 ALLOCSET_DEFAULT_SIZES);
	state->rel = node->ss.ss_currentRelation;
	if (state->rel == NULL)
		apigouv_total_begin(state, exec_rt_fetch(relid, estate)->relid);
	state->userid = OidIsValid(role) ? role : GetUserId();
	state->options = apigouv_option_table(RelationGetRelid(state->rel));
	state->fresh = apigouv_fresh;
	apigouv_qual_map_columns(RelationGetRelid(state->rel),
							 state->options->table, &state->map);
	read_plan(state, (ForeignScan *) node->ss.ps.plan);
	state->expr_states = ExecInitExprList(state->exprs, &node->ss.ps);
	state->hidden_state = ExecInitQual(state->hidden, &node->ss.ps);
	apigouv_ahead_enter(state);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state->budget = apigouv_budget_of(estate);
	state->tupler = apigouv_tuple_begin(state->rel, state->options->table,
										&state->map, state->columns);
	need_unique_columns(state);
	state->filtered_keys = filtered_keys(state,
										 (ForeignScan *) node->ss.ps.plan);
}

/*
 * passes_hidden
 *		Does a row pass the conditions that only the scan checks?
 *
 * They see what the executor's filter would: the slot, and its table.  An
 * error of theirs may quote what they compare: it is raised without its words.
 */
static bool
passes_hidden(ForeignScanState *node, TupleTableSlot *slot)
{
	const ApigouvScanState *state = node->fdw_state;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	MemoryContext old = CurrentMemoryContext;
	volatile bool passes = true;

	if (state->hidden_state == NULL)
		return true;
	slot->tts_tableOid = RelationGetRelid(state->rel);
	econtext->ecxt_scantuple = slot;
	PG_TRY();
	{
		passes = ExecQual(state->hidden_state, econtext);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		apigouv_redact_error(RelationGetRelationName(state->rel));
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!passes)
		ResetExprContext(econtext);
	return passes;
}

/*
 * apigouvIterateForeignScan
 *		The next row, or an empty slot at the end.
 */
TupleTableSlot *
apigouvIterateForeignScan(ForeignScanState *node)
{
	ApigouvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->total != NULL)
		return apigouv_total_next(node);
	if (!state->begun)
	{
		bool		is_first = state->progress == NULL;

		if (apigouv_probe_is_empty(state))
			return ExecClearTuple(slot);
		apigouv_ask_begin(state);
		if (!apigouv_ahead_take(state))
		{
			apigouv_task_make(state, node->ss.ps.ps_ExprContext);
			apigouv_budget_check(state);
			if (is_first)
				apigouv_ask_foresee(state);
		}
		state->begun = true;
	}
	while (apigouv_fetch_next(state, slot))
	{
		if (passes_hidden(node, slot))
		{
			apigouv_progress_row();
			return slot;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return ExecClearTuple(slot);
}

/*
 * apigouvReScanForeignScan
 *		Begin again, with the values that the expressions have now.
 */
void
apigouvReScanForeignScan(ForeignScanState *node)
{
	ApigouvScanState *state = node->fdw_state;

	apigouv_fetch_stop(state);
	if (state->total != NULL)
		apigouv_total_again(state);
	state->begun = false;
	state->ntasks = 0;
	state->tasks = NULL;
	state->seen = NULL;
	state->current = 0;
	MemoryContextReset(state->batch_cxt);
}

/*
 * apigouvEndForeignScan
 *		Tell what was left out, and free the scan.
 */
void
apigouvEndForeignScan(ForeignScanState *node)
{
	ApigouvScanState *state = node->fdw_state;
	const char *table;

	if (state == NULL)
		return;
	apigouv_fetch_stop(state);
	table = RelationGetRelationName(state->rel);
	if (state->counts.malformed > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg_plural("%lld malformed key value of foreign table \"%s\" was not sent",
							   "%lld malformed key values of foreign table \"%s\" were not sent",
							   (unsigned long) state->counts.malformed,
							   (long long) state->counts.malformed, table),
				 errdetail("The API refuses such values, so there is no row for them.")));
	if (state->counts.failed > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg_plural("%lld key of foreign table \"%s\" got an error",
							   "%lld keys of foreign table \"%s\" got errors",
							   (unsigned long) state->counts.failed,
							   (long long) state->counts.failed, table),
				 errdetail("Their rows tell why in column \"erreur\".")));
	if (state->total != NULL)
		apigouv_total_end(state);
	MemoryContextDelete(state->scan_cxt);
	node->fdw_state = NULL;
}
