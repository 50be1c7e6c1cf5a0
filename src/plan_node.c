/*-------------------------------------------------------------------------
 *
 * plan_node.c
 *		Plans of foreign scans, from the paths that were chosen.
 *
 * A plan tells the executor positions and numbers only: routes, parameters,
 * columns, hints.  Values travel as expressions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"

#include "apigouv_fdw.h"
#include "cost.h"
#include "plan.h"
#include "upper.h"
#include "wanted.h"

/* Rows of a LIMIT that still make a small first page, at most. */
#define MAX_FIRST_ROWS 100000

/*
 * Where rows are dropped here: the least that are asked for at first, and how
 * many may come, as far as is known, for each that is kept.
 */
#define MIN_FIRST_ROWS 20
#define MAX_DROPPED 10

/*
 * apigouv_plan_number
 *		A number as it travels in fdw_private.
 *
 * With a point: a plan that is written as text and read would have an Integer
 * in place of a Float without.
 */
Node *
apigouv_plan_number(double number)
{
	return (Node *) makeFloat(psprintf("%.1f", number));
}

/* A binding, as it travels in fdw_private; adds its expression to *exprs. */
static List *
make_binding(int target, const ApigouvQual *qual, List **exprs)
{
	int			position = 0;
	ListCell   *lc;

	foreach(lc, *exprs)
	{
		if (lfirst(lc) == qual->value)
			break;
		position++;
	}
	if (position == list_length(*exprs))
		*exprs = lappend(*exprs, qual->value);
	return list_make4_int(target, position, (int) qual->op,
						  qual->is_array ? 1 : 0);
}

/*
 * apigouv_plan_routes
 *		Routes (of ApigouvRouteMatch) as they travel in fdw_private; adds their
 *		expressions to *exprs.
 */
List *
apigouv_plan_routes(const List *matched, List **exprs)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, matched)
	{
		const ApigouvRouteMatch *match = lfirst(lc);
		List	   *bindings = NIL;

		foreach(lc2, match->matches)
		{
			const ApigouvMatch *one = lfirst(lc2);

			bindings = lappend(bindings,
							   make_binding(one->param, one->qual, exprs));
		}
		result = lappend(result,
						 list_make2(makeInteger(match->route), bindings));
	}
	return result;
}

/* Conditions that the plan's first choice sends, for EXPLAIN. */
static List *
sent_clauses(const ApigouvPathPlan *plan, bool is_union)
{
	List	   *clauses = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, plan->constant_quals)
		clauses = list_append_unique(clauses,
									 ((ApigouvQual *) lfirst(lc))->clause);
	foreach(lc, plan->routes)
	{
		foreach(lc2, ((ApigouvRouteMatch *) lfirst(lc))->matches)
			clauses = list_append_unique(clauses,
										 ((ApigouvMatch *) lfirst(lc2))->qual->clause);
		if (!is_union)
			break;
	}
	return clauses;
}

/*
 * rows_wanted_first
 *		Rows to ask of the API at first, 0 for all, when so many are wanted of
 *		the scan.
 *
 * Conditions that are checked here drop rows: more are asked for, or all where
 * a guess would often fall short and cost a second request, or where all cost
 * no more than that request.
 */
static int
rows_wanted_first(const ApigouvOptions *options, const ApigouvPathPlan *plan,
				  const Path *path, double wanted)
{
	const ApigouvRouteMatch *match;
	double		dropped;

	if (wanted <= 0 || plan->routes == NIL)
		return 0;
	match = linitial(plan->routes);
	if (!match->exact)
	{
		dropped = match->rows / Max(path->rows, 1);
		if (dropped > MAX_DROPPED)
			return 0;
		wanted = Max(wanted * Max(dropped, 1) * 2, MIN_FIRST_ROWS);
		if (wanted > match->rows / 2 ||
			apigouv_cost_rows(options, &options->table->routes[match->route],
							  match->rows) <= options->request_cost)
			return 0;
	}
	return wanted > MAX_FIRST_ROWS ? 0 : (int) ceil(wanted);
}

/*
 * hints_of
 *		The hints of a plan: may the query stop before its last row, and how
 *		many rows to ask for at first?
 */
static List *
hints_of(PlannerInfo *root, const ApigouvPathPlan *plan, const Path *path)
{
	const ApigouvRelInfo *info = path->parent->fdw_private;
	bool		may_stop_early = root->tuple_fraction > 0 ||
	root->limit_tuples > 0;
	ApigouvWanted wanted;

	if (!may_stop_early || !apigouv_wanted_of(root, path, &wanted))
		return list_make3_int(may_stop_early ? 1 : 0, 0, 0);
	if (wanted.all)
		return list_make3_int(0, 0, 0);
	return list_make3_int(1, rows_wanted_first(info->options, plan, path,
											   wanted.rows),
						  (int) ceil(Min(wanted.rows, MAX_FIRST_ROWS)));
}

/* The columns to read, as an IntList. */
List *
apigouv_plan_columns(const Bitmapset *columns)
{
	List	   *list = NIL;
	int			column = -1;

	while ((column = bms_next_member(columns, column)) >= 0)
		list = lappend_int(list, column);
	return list;
}

/* Does a condition compare personal data, or secrets such as links? */
static bool
is_private(const ApigouvRelInfo *info, Node *clause, Index varno)
{
	const ApigouvTable *table = info->options->table;
	Bitmapset  *columns;
	int			column = -1;

	if (table->personal_data)
		return true;
	columns = apigouv_qual_columns(clause, varno, &info->map);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		if (apigouv_apidef_is_personal(table, column) ||
			apigouv_apidef_is_secret(table, column))
			return true;
	}
	return false;
}

/*
 * split_clauses
 *		The conditions that EXPLAIN may show, and those that it may not: a
 *		value of theirs may be a bind parameter, or come from a join.
 *
 * The latter are checked first.  So a condition that must come before one of
 * them, as a policy before what the user wrote, goes with them.  rinfos: in
 * the order in which they must be checked.
 */
static void
split_clauses(const ApigouvRelInfo *info, Index varno, List *rinfos,
			  List **shown, List **hidden)
{
	Index		highest = 0;	/* security level of those to hide */
	ListCell   *lc;

	foreach(lc, rinfos)
	{
		const RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!rinfo->pseudoconstant &&
			is_private(info, (Node *) rinfo->clause, varno))
			highest = Max(highest, rinfo->security_level);
	}
	*shown = NIL;
	*hidden = NIL;
	foreach(lc, rinfos)
	{
		const RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant)
			continue;			/* checked once, by a node above */
		if (rinfo->security_level < highest ||
			is_private(info, (Node *) rinfo->clause, varno))
			*hidden = lappend(*hidden, rinfo->clause);
		else
			*shown = lappend(*shown, rinfo->clause);
	}
}

/* The conditions sent that EXPLAIN may show. */
static List *
sent_and_shown(const ApigouvRelInfo *info, Index varno,
			   const ApigouvPathPlan *plan)
{
	List	   *sent = sent_clauses(plan, info->options->table->is_union);
	List	   *shown = NIL;
	ListCell   *lc;

	foreach(lc, sent)
	{
		if (!is_private(info, lfirst(lc), varno))
			shown = lappend(shown, lfirst(lc));
	}
	return shown;
}

/*
 * apigouvGetForeignPlan
 *		Make the plan of a path.
 *
 * Every condition is checked by the executor, or, where it compares personal
 * data or secrets, by the scan: EXPLAIN shows the executor's only.  The
 * clauses sent are carried in fdw_recheck_quals, where EXPLAIN finds them, and
 * behind them those that EvalPlanQual must check since the executor's filter
 * lacks them.
 */
ForeignScan *
apigouvGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel,
					  Oid foreigntableid, ForeignPath *best_path,
					  List *tlist, List *scan_clauses, Plan *outer_plan)
{
	const ApigouvRelInfo *info = baserel->fdw_private;
	const ApigouvPathPlan *plan = linitial(best_path->fdw_private);
	List	   *exprs = NIL;
	List	   *routes;
	List	   *constants = NIL;
	List	   *private;
	List	   *shown;
	List	   *hidden;
	List	   *sent;
	ListCell   *lc;

	if (IS_UPPER_REL(baserel))
		return apigouv_upper_plan(best_path, tlist, outer_plan);
	routes = apigouv_plan_routes(plan->routes, &exprs);
	sent = sent_and_shown(info, baserel->relid, plan);
	foreach(lc, plan->constant_quals)
	{
		const ApigouvQual *qual = lfirst(lc);

		constants = lappend(constants,
							make_binding(qual->column, qual, &exprs));
	}
	private = list_make5(routes, constants,
						 apigouv_plan_columns(info->columns),
						 hints_of(root, plan, &best_path->path),
						 makeString(pstrdup(plan->missing ? plan->missing : "")));
	private = lappend(private, apigouv_plan_number(plan->requests));

	split_clauses(info, baserel->relid, scan_clauses, &shown, &hidden);
	private = lappend(private, makeInteger(list_length(hidden)));
	private = lappend(private, makeInteger(plan->is_probe ? 1 : 0));
	return make_foreignscan(tlist, shown, baserel->relid,
							list_concat(exprs, hidden), private, NIL,
							list_concat(sent, hidden), outer_plan);
}
