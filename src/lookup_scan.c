/*-------------------------------------------------------------------------
 *
 * lookup_scan.c
 *		Execution of a lookup join: the node that reads its outer rows ahead.
 *
 * The node gives the rows of its child as they are, in their order, to the
 * nested loop above it.  Beforehand it sets the loop's parameters from rows
 * that the loop has not come to yet, and has the loop's inner scans begin
 * their tasks; when it gives a row, these scans are given the tasks that were
 * begun for it.  The loop then sets the same parameters itself.
 *
 * When all rows are wanted, rows are read ahead as long as few replies are
 * under way.  When the query may stop early, 1, 2, 4 ... rows are read, each
 * time when those before have been given.
 *
 * A row that fails a condition on the outer side alone matches nothing: the
 * inner scans are told so, and ask for nothing.  Not those whose rows a
 * Memoize keeps: another row with the same key may match.
 *
 * A key that a subquery computes for each row is not known ahead: the executor
 * evaluates such a subquery once between two rescans.
 *
 * Scans that the loop may not execute for each row are not begun ahead: those
 * behind a one-time filter that is not true, partitions that each row chooses
 * among, and sides of joins that each row decides to read.
 *
 * The loop is found in the plan of the query, as the node whose outer side is
 * this one.  Where it is not found, such as under a node that the planner put
 * in between, rows are passed through.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ahead.h"
#include "clock.h"
#include "compat.h"
#include "lookup_join.h"
#include "progress.h"

/* Rows read ahead, at most. */
#define MAX_ROWS 2048

/* Replies under way for each that max_concurrency lets travel. */
#define DEPTH 4

/* How long requests may wait for the child to give rows. */
#define MOVE_EVERY_US 5000

/* A scan of the loop's inner side. */
typedef struct LookupInner
{
	ApigouvScanState *scan;
	ExprState  *gate;			/* where it is not true, the scan is not
								 * executed; NULL: always true */
	bool		is_memoized;	/* its rows may serve another outer row */
} LookupInner;

/* What is known of a node of the inner side from those above it. */
typedef struct LookupWay
{
	List	   *unknown;		/* of NestLoopParam, of loops in between */
	List	   *gate;			/* of Expr: one-time filters */
	bool		certain;		/* it is executed whenever the loop's inner
								 * side is */
	bool		may_stop;		/* not all of its rows may be read */
	bool		is_memoized;
} LookupWay;

/* A row read ahead. */
typedef struct LookupRow
{
	MinimalTuple tuple;
	bool		matches_none;	/* no row of the inner side */
	ApigouvAhead **aheads;		/* per inner scan; NULL: nothing was begun */
} LookupRow;

typedef struct LookupState
{
	CustomScanState css;		/* must be first */
	bool		may_stop_early;
	bool		is_linked;		/* the loop was looked for */
	List	   *params;			/* of NestLoopParam, of the loop */
	int			nscans;
	LookupInner *inner;			/* our scans there, which depend on them */
	bool		may_guess;		/* rows may be looked at before their turn */
	ExprState  *conditions;		/* NULL: none */
	int			depth;			/* replies under way that are enough */
	MemoryContext rows_cxt;
	LookupRow  *rows;			/* a ring */
	int			nrows;
	int			first;
	Size		row_bytes;		/* of the rows */
	int			wanted;			/* if may_stop_early: rows to read next */
	bool		exhausted;		/* the child has no more rows */
	ApigouvAheadReader reader;
	int64		batches;
	int64		keys;
} LookupState;

/* ---- the loop ---- */

static NestLoop *find_loop(Plan *plan, const Plan *outer);

/* The same among several plans. */
static NestLoop *
find_loop_in(List *plans, const Plan *outer)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		NestLoop   *loop = find_loop(lfirst(lc), outer);

		if (loop != NULL)
			return loop;
	}
	return NULL;
}

/*
 * find_loop
 *		The nested loop in a plan whose outer side is a given node, or NULL.
 */
static NestLoop *
find_loop(Plan *plan, const Plan *outer)
{
	NestLoop   *loop;

	if (plan == NULL)
		return NULL;
	check_stack_depth();
	if (IsA(plan, NestLoop) && plan->lefttree == outer)
		return (NestLoop *) plan;
	loop = find_loop(plan->lefttree, outer);
	if (loop == NULL)
		loop = find_loop(plan->righttree, outer);
	if (loop == NULL)
		loop = find_loop_in(apigouv_lookup_children(plan), outer);
	return loop;
}

/* Does a node use a parameter of a loop? */
static bool
depends_on(const Plan *plan, List *params)
{
	ListCell   *lc;

	foreach(lc, params)
	{
		if (bms_is_member(((NestLoopParam *) lfirst(lc))->paramno,
						  plan->allParam))
			return true;
	}
	return false;
}

/* Note a scan of ours. */
static void
add_scan(LookupState *state, ApigouvScanState *scan, const LookupWay *way)
{
	LookupInner *inner;

	state->inner = state->inner == NULL
		? palloc(sizeof(LookupInner))
		: repalloc(state->inner, sizeof(LookupInner) * (state->nscans + 1));
	inner = &state->inner[state->nscans++];
	inner->scan = scan;
	inner->gate = ExecInitQual(way->gate, &state->css.ss.ps);
	inner->is_memoized = way->is_memoized;
}

/*
 * add_gate
 *		Note the one-time filter of a node; false when it cannot be evaluated
 *		before the loop does.
 */
static bool
add_gate(const LookupState *state, const Result *result, LookupWay *way)
{
	List	   *gate = (List *) result->resconstantqual;

	if (gate == NIL)
		return true;
	if (depends_on(&result->plan, way->unknown) ||
		!apigouv_lookup_is_pure(gate) ||
		((state->may_stop_early || !way->certain) &&
		 apigouv_lookup_may_fail(gate)))
		return false;
	way->gate = list_concat_copy(way->gate, gate);
	return true;
}

/* Does each row of the loop choose among the children of an Append? */
static bool
is_pruned_by_row(const PartitionPruneInfo *info)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (info == NULL)
		return false;
	foreach(lc, info->prune_infos)
	{
		foreach(lc2, (List *) lfirst(lc))
		{
			if (lfirst_node(PartitionedRelPruneInfo,
							lc2)->exec_pruning_steps != NIL)
				return true;
		}
	}
	return false;
}

/*
 * is_in_vain
 *		May a child of a node be one that is not executed for a row?
 *
 * Such as a partition that the row has no key for; or one that follows
 * another, when a row of that one is enough.
 */
static bool
is_in_vain(const LookupState *state, Plan *plan, Plan *child,
		   const LookupWay *way)
{
	EState	   *estate = state->css.ss.ps.state;

	if (IsA(plan, MergeAppend))
		return is_pruned_by_row(apigouv_prune_info(estate,
												   (MergeAppend *) plan));
	if (!IsA(plan, Append))
		return false;
	return is_pruned_by_row(apigouv_prune_info(estate, (Append *) plan)) ||
		(way->may_stop && !child->async_capable &&
		 child != linitial(((Append *) plan)->appendplans));
}

/* What is known of the children of a node; false: not to be looked at. */
static bool
go_below(const LookupState *state, const Plan *plan, LookupWay *way)
{
	switch (nodeTag(plan))
	{
		case T_Result:
			return add_gate(state, (const Result *) plan, way);
		case T_HashJoin:
		case T_MergeJoin:
			way->certain = false;
			return true;
		case T_Limit:
			way->may_stop = true;
			return true;
		case T_Sort:
		case T_Agg:
		case T_Hash:
			way->may_stop = false;
			return true;
		case T_Memoize:
			way->is_memoized = true;
			return true;
		default:
			return true;
	}
}

/*
 * is_second
 *		Is a side of a join executed only if the other has rows, which each
 *		row of the loop decides?
 *
 * Of a hash join, the hashed side is mostly the first.
 */
static bool
is_second(const LookupState *state, const Plan *plan, const Plan *side)
{
	bool		right_first = IsA(plan, HashJoin) &&
	((const Join *) plan)->jointype != JOIN_LEFT &&
	((const Join *) plan)->jointype != JOIN_ANTI;
	const Plan *first = right_first ? plan->righttree : plan->lefttree;

	if (!IsA(plan, NestLoop) && !IsA(plan, HashJoin) && !IsA(plan, MergeJoin))
		return false;
	return side != first && depends_on(first, state->params);
}

/*
 * is_computed_by_row
 *		Does a node have subqueries that are evaluated anew when parameters
 *		change?
 *
 * Only a rescan makes the executor do so: read ahead, all rows would get the
 * value of the first.  In doubt, it does.
 */
static bool
is_computed_by_row(const LookupState *state, const Plan *plan)
{
	const List *subplans = state->css.ss.ps.state->es_plannedstmt->subplans;
	ListCell   *lc;

	foreach(lc, plan->initPlan)
	{
		const SubPlan *subplan = lfirst_node(SubPlan, lc);
		const Plan *below = list_nth(subplans, subplan->plan_id - 1);

		if (!bms_is_empty(below->extParam))
			return true;
	}
	return false;
}

/*
 * collect_scans
 *		Note our scans below a node that depend on the loop's parameters, and
 *		not on those of a loop in between.
 *
 * A hash or merge join may end without having read one of its sides: what is
 * below is not certain.
 */
static void
collect_scans(LookupState *state, Plan *plan, LookupWay way)
{
	ApigouvScanState *scan;
	ListCell   *lc;

	if (plan == NULL)
		return;
	check_stack_depth();
	if (is_computed_by_row(state, plan))
		return;
	if (IsA(plan, ForeignScan))
	{
		scan = apigouv_ahead_find(state->css.ss.ps.state, plan);
		if (scan != NULL && scan->total == NULL &&
			depends_on(plan, state->params) &&
			!depends_on(plan, way.unknown) &&
			(way.certain || apigouv_ahead_may_guess(scan)))
			add_scan(state, scan, &way);
		return;
	}
	if (!go_below(state, plan, &way))
		return;
	if (!is_second(state, plan, plan->lefttree))
		collect_scans(state, plan->lefttree, way);
	foreach(lc, apigouv_lookup_children(plan))
	{
		if (!is_in_vain(state, plan, lfirst(lc), &way))
			collect_scans(state, lfirst(lc), way);
	}
	if (IsA(plan, NestLoop))
	{
		way.unknown = list_concat_copy(way.unknown,
									   ((NestLoop *) plan)->nestParams);
		way.certain = false;
	}
	if (!is_second(state, plan, plan->righttree))
		collect_scans(state, plan->righttree, way);
}

/* Find the loop and its inner scans, once all nodes have begun. */
static void
link_loop(LookupState *state)
{
	EState	   *estate = state->css.ss.ps.state;
	const Plan *plan = state->css.ss.ps.plan;
	MemoryContext old;
	NestLoop   *loop;
	LookupWay	way = {.certain = true};

	if (state->is_linked)
		return;
	state->is_linked = true;
	loop = find_loop(estate->es_plannedstmt->planTree, plan);
	if (loop == NULL)
		loop = find_loop_in(estate->es_plannedstmt->subplans, plan);
	if (loop == NULL)
		return;
	state->params = loop->nestParams;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	way.may_stop = loop->join.inner_unique ||
		loop->join.jointype == JOIN_SEMI || loop->join.jointype == JOIN_ANTI;
	collect_scans(state, loop->join.plan.righttree, way);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < state->nscans; i++)
	{
		const ApigouvScanState *scan = state->inner[i].scan;

		state->depth += scan->options->max_concurrency * DEPTH;
		if (state->may_stop_early && !apigouv_ahead_may_guess(scan))
			state->may_guess = false;
	}
}

/* ---- rows ahead ---- */

/* Set the loop's parameters from a row as this node gives it. */
static void
set_params(LookupState *state, TupleTableSlot *slot)
{
	ParamExecData *values =
	state->css.ss.ps.state->es_param_exec_vals;
	ListCell   *lc;

	foreach(lc, state->params)
	{
		const NestLoopParam *param = lfirst(lc);
		ParamExecData *value = &values[param->paramno];

		value->value = slot_getattr(slot, param->paramval->varattno,
									&value->isnull);
	}
}

/* The row of the child in the node's scan slot, as the node gives it. */
static TupleTableSlot *
project(LookupState *state)
{
	ScanState  *ss = &state->css.ss;

	ResetExprContext(ss->ps.ps_ExprContext);
	ss->ps.ps_ExprContext->ecxt_scantuple = ss->ss_ScanTupleSlot;
	if (ss->ps.ps_ProjInfo == NULL)
		return ss->ss_ScanTupleSlot;
	return ExecProject(ss->ps.ps_ProjInfo);
}

/*
 * read_row
 *		Read a row of the child, and begin the inner scans' tasks for it.
 *
 * False at the end of the child.
 */
static bool
read_row(LookupState *state)
{
	ScanState  *ss = &state->css.ss;
	TupleTableSlot *slot = ExecProcNode(linitial(state->css.custom_ps));
	LookupRow  *row = &state->rows[(state->first + state->nrows) % MAX_ROWS];
	MemoryContext old;

	if (TupIsNull(slot))
	{
		state->exhausted = true;
		return false;
	}
	ExecCopySlot(ss->ss_ScanTupleSlot, slot);
	old = MemoryContextSwitchTo(state->rows_cxt);
	row->tuple = ExecCopySlotMinimalTuple(ss->ss_ScanTupleSlot);
	row->aheads = palloc0(sizeof(ApigouvAhead *) * Max(state->nscans, 1));
	MemoryContextSwitchTo(old);
	state->row_bytes += row->tuple->t_len;
	state->nrows++;

	slot = project(state);
	row->matches_none = !ExecQual(state->conditions, ss->ps.ps_ExprContext);
	state->keys++;
	if (row->matches_none)
		return true;
	set_params(state, slot);
	for (int i = 0; i < state->nscans; i++)
	{
		const LookupInner *inner = &state->inner[i];

		if (ExecQual(inner->gate, ss->ps.ps_ExprContext))
			row->aheads[i] = apigouv_ahead_begin(&state->reader, inner->scan);
	}
	return true;
}

/* Is another row to be read ahead? */
static bool
wants_row(const LookupState *state, int read)
{
	if (state->exhausted || state->nrows == MAX_ROWS)
		return false;
	if (state->nrows == 0)
		return true;
	if (!state->may_guess || state->nscans == 0)
		return false;
	if (state->may_stop_early)
		return read > 0 && read < state->wanted;
	return state->reader.pending < state->depth &&
		state->row_bytes < (Size) work_mem * 1024;
}

/*
 * Tell how many requests the join takes: each of its scans knows but those of
 * one row.
 */
static void
foresee(const LookupState *state)
{
	const		CustomScan *plan = (CustomScan *) state->css.ss.ps.plan;
	double		requests = floatVal(list_nth(plan->custom_private,
											 APIGOUV_LOOKUP_REQUESTS));

	for (int i = 0; i < state->nscans; i++)
		apigouv_progress_foresee(state->inner[i].scan->progress,
								 requests / state->nscans);
}

/*
 * read_ahead
 *		Read rows ahead, as many as it takes to keep requests travelling.
 *
 * They travel while the child makes its rows, when that takes long.
 */
static void
read_ahead(LookupState *state)
{
	int			read = 0;
	int64		moved_us = monotonic_us();

	while (wants_row(state, read))
	{
		CHECK_FOR_INTERRUPTS();
		if (!read_row(state))
			break;
		read++;
		if (state->reader.pending > 0 &&
			monotonic_us() - moved_us > MOVE_EVERY_US)
		{
			apigouv_advance_move(NULL, 0);
			moved_us = monotonic_us();
		}
	}
	if (read == 0)
		return;
	if (state->batches++ == 0)
		foresee(state);
	for (int i = 0; i < state->nscans; i++)
	{
		ApigouvTally *tally = state->inner[i].scan->options->tally;

		apigouv_tally_add(tally, APIGOUV_TALLY_BATCHES, 1);
		apigouv_tally_add(tally, APIGOUV_TALLY_KEYS, read);
	}
	state->wanted = Min(state->wanted * 2, Max(state->depth, 1));
}

/* Free the row at the head of the ring. */
static void
remove_row(LookupState *state)
{
	LookupRow  *row = &state->rows[state->first];

	state->row_bytes -= row->tuple->t_len;
	heap_free_minimal_tuple(row->tuple);
	pfree(row->aheads);
	state->first = (state->first + 1) % MAX_ROWS;
	state->nrows--;
}

/* Forget all rows read ahead, and the tasks begun for them. */
static void
forget_rows(LookupState *state)
{
	while (state->nrows > 0)
	{
		for (int i = 0; i < state->nscans; i++)
		{
			ApigouvAhead *ahead = state->rows[state->first].aheads[i];

			if (ahead != NULL)
				apigouv_ahead_drop(ahead);
		}
		remove_row(state);
	}
	for (int i = 0; i < state->nscans; i++)
		apigouv_ahead_give(state->inner[i].scan, NULL);
}

/* ---- callbacks ---- */

static void
begin_lookup(CustomScanState *node, EState *estate, int eflags)
{
	LookupState *state = (LookupState *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;

	node->custom_ps = list_make1(ExecInitNode(linitial(plan->custom_plans),
											  estate, eflags));
	state->may_stop_early =
		boolVal(list_nth(plan->custom_private,
						 APIGOUV_LOOKUP_MAY_STOP_EARLY));
	state->may_guess = boolVal(list_nth(plan->custom_private,
										APIGOUV_LOOKUP_MAY_GUESS));
	state->conditions = ExecInitQual(plan->custom_exprs, &node->ss.ps);
	state->wanted = 1;
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state->rows = palloc(sizeof(LookupRow) * MAX_ROWS);
	state->rows_cxt = AllocSetContextCreate(estate->es_query_cxt,
											"apigouv_fdw rows ahead",
											ALLOCSET_DEFAULT_SIZES);
	apigouv_ahead_open(&state->reader);
}

/* The next row of the child; or an empty slot at the end. */
static TupleTableSlot *
exec_lookup(CustomScanState *node)
{
	LookupState *state = (LookupState *) node;
	LookupRow  *row;

	link_loop(state);
	read_ahead(state);
	if (state->nrows == 0)
	{
		for (int i = 0; i < state->nscans; i++)
			apigouv_ahead_give(state->inner[i].scan, NULL);
		return ExecClearTuple(node->ss.ps.ps_ResultTupleSlot);
	}
	row = &state->rows[state->first];
	ExecForceStoreMinimalTuple(row->tuple, node->ss.ss_ScanTupleSlot, false);
	ExecMaterializeSlot(node->ss.ss_ScanTupleSlot);
	for (int i = 0; i < state->nscans; i++)
	{
		const LookupInner *inner = &state->inner[i];

		apigouv_ahead_give(inner->scan,
						   row->matches_none && !inner->is_memoized
						   ? apigouv_ahead_nothing(inner->scan)
						   : row->aheads[i]);
	}
	remove_row(state);
	return project(state);
}

static void
rescan_lookup(CustomScanState *node)
{
	LookupState *state = (LookupState *) node;
	PlanState  *child = linitial(node->custom_ps);

	forget_rows(state);
	state->exhausted = false;
	state->wanted = 1;
	if (node->ss.ps.chgParam != NULL)
		UpdateChangedParamSet(child, node->ss.ps.chgParam);
	/* a child whose parameters changed is scanned anew when it is asked */
	if (child->chgParam == NULL)
		ExecReScan(child);
}

static void
end_lookup(CustomScanState *node)
{
	LookupState *state = (LookupState *) node;

	if (state->rows != NULL)
		forget_rows(state);
	ExecEndNode(linitial(node->custom_ps));
}

/* Foreign tables that are looked up, as a list of names. */
static List *
tables_of(const LookupState *state)
{
	List	   *names = NIL;

	for (int i = 0; i < state->nscans; i++)
		names = lappend(names,
						RelationGetRelationName(state->inner[i].scan->rel));
	return names;
}

static void
explain_lookup(CustomScanState *node, List *ancestors, ExplainState *es)
{
	LookupState *state = (LookupState *) node;
	const List *private = ((CustomScan *) node->ss.ps.plan)->custom_private;

	link_loop(state);
	ExplainPropertyList("Lookup Of", tables_of(state), es);
	if (es->verbose)
	{
		ExplainPropertyFloat("Keys Foreseen", NULL,
							 floatVal(list_nth(private,
											   APIGOUV_LOOKUP_KEYS)), 0, es);
		ExplainPropertyFloat("Requests Foreseen", NULL,
							 floatVal(list_nth(private,
											   APIGOUV_LOOKUP_REQUESTS)),
							 0, es);
	}
	if (!es->analyze)
		return;
	ExplainPropertyInteger("Batches", NULL, state->batches, es);
	ExplainPropertyInteger("Keys", NULL, state->keys, es);
	ExplainPropertyInteger("Requests", NULL, state->reader.requests, es);
	ExplainPropertyInteger("Saved by Cache", NULL, state->reader.from_cache,
						   es);
	ExplainPropertyInteger("Saved as Duplicates", NULL,
						   state->reader.duplicates, es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "Lookup Join",
	.BeginCustomScan = begin_lookup,
	.ExecCustomScan = exec_lookup,
	.EndCustomScan = end_lookup,
	.ReScanCustomScan = rescan_lookup,
	.ExplainCustomScan = explain_lookup
};

static Node *
create_state(CustomScan * scan)
{
	LookupState *state = palloc0(sizeof(LookupState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}

const		CustomScanMethods apigouv_lookup_scan_methods = {
	.CustomName = "Lookup Join",
	.CreateCustomScanState = create_state
};
