/*-------------------------------------------------------------------------
 *
 * upper.c
 *		Planning of count(*) by the total that a list announces.
 *
 * Each page of a list tells how many rows match in all.  A count of a foreign
 * table needs nothing else, so a page of one row is asked for, whose total is
 * the count.  That is right only where the API counts exactly the rows that
 * the scan would give:
 *
 * - every condition of the query is sent, and means upstream what it means
 *   here.  One that the API widens, applies by a rule of its own, or does not
 *   take, forbids it.  An input that is only echoed is as good as exact: all
 *   rows that come for it have it;
 * - a row is an element of the one list that the total counts, and the scan
 *   drops none of them;
 * - nothing but the counts is computed from the rows.
 *
 * What cannot be known before execution, such as a bind parameter's value that
 * cannot be sent, is for the executor: the path carries another below it,
 * which reads and counts the rows, and total.c turns to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/prep.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "apigouv_fdw.h"
#include "compat.h"
#include "cost.h"
#include "route.h"
#include "upper.h"

/* What a path will do; ForeignPath.fdw_private holds one in a list. */
typedef struct TotalPlan
{
	const ApigouvRelInfo *info;
	ApigouvRouteMatch *match;
	List	   *counts;			/* of Aggref: all of them the same number */
}			TotalPlan;

/* Does an aggregate count all rows? */
static bool
counts_all(const Aggref * agg)
{
	const Expr *arg;

	if (agg->aggdistinct != NIL || agg->aggorder != NIL ||
		agg->aggfilter != NULL || agg->agglevelsup != 0)
		return false;
	if (agg->aggfnoid == F_COUNT_)
		return true;
	if (agg->aggfnoid != F_COUNT_ANY || list_length(agg->args) != 1)
		return false;
	arg = linitial_node(TargetEntry, agg->args)->expr;
	return IsA(arg, Const) && !((const Const *) arg)->constisnull;
}

/*
 * counts_of
 *		The aggregates of a target, each once; NIL when something else than
 *		counts of all rows is computed from the rows.
 */
static List *
counts_of(const PathTarget * target)
{
	List	   *nodes = pull_var_clause((Node *) target->exprs,
										PVC_INCLUDE_AGGREGATES |
										PVC_INCLUDE_PLACEHOLDERS |
										PVC_INCLUDE_WINDOWFUNCS);
	List	   *counts = NIL;
	ListCell   *lc;

	foreach(lc, nodes)
	{
		if (!IsA(lfirst(lc), Aggref) || !counts_all(lfirst(lc)))
			return NIL;
		counts = list_append_unique(counts, lfirst(lc));
	}
	return counts;
}

/* Does a query do nothing with one foreign table of ours but aggregate it? */
static bool
is_plain(PlannerInfo *root, RelOptInfo *input)
{
	const Query *parse = root->parse;

	return input->reloptkind == RELOPT_BASEREL &&
		input->rtekind == RTE_RELATION && apigouv_plan_is_ours(input) &&
		input->fdw_private != NULL && !IS_DUMMY_REL(input) &&
		!planner_rt_fetch(input->relid, root)->inh &&
		bms_membership(root->all_baserels) == BMS_SINGLETON &&
		bms_is_member(input->relid, root->all_baserels) &&
		input->joininfo == NIL && bms_is_empty(input->lateral_relids) &&
		parse->groupClause == NIL && parse->groupingSets == NIL &&
		parse->havingQual == NULL && !parse->hasWindowFuncs &&
		!parse->hasTargetSRFs && parse->rowMarks == NIL;
}

/*
 * keeps_values
 *		Is a condition's column of a type that holds what the API sends?
 *
 * A length or a domain's check would refuse values, which nobody reads here.
 */
static bool
keeps_values(const Expr *clause)
{
	List	   *vars = pull_var_clause((Node *) unconstify(Expr *, clause), 0);
	ListCell   *lc;

	foreach(lc, vars)
	{
		const Var  *var = lfirst_node(Var, lc);

		if (var->vartypmod >= 0 ||
			getBaseType(var->vartype) != var->vartype)
			return false;
	}
	return true;
}

/* Do all rows that come for a condition's value have it, whatever it means? */
static bool
is_echoed(const ApigouvRoute *route, const ApigouvParam *param,
		  const ApigouvQual *qual)
{
	const ApigouvSource *source = &route->sources[qual->column];

	return qual->op == APIGOUV_OP_EQ &&
		source->kind == APIGOUV_SOURCE_ECHO &&
		source->column == qual->column &&
		(!qual->is_array || param->list == APIGOUV_LIST_EACH);
}

/*
 * sends_exactly
 *		Do the rows that a condition's parameter leaves upstream, and no
 *		others, satisfy it?
 *
 * Several values that make a request each are summed: that is right for an
 * equality, where a row has one of them.
 */
static bool
sends_exactly(const ApigouvTable *table, const ApigouvRoute *route,
			  const ApigouvMatch *match)
{
	const ApigouvParam *param = &route->params[match->param];
	const ApigouvQual *qual = match->qual;

	if (!bms_is_empty(qual->outer) ||
		apigouv_apidef_is_personal(table, qual->column) ||
		!keeps_values(qual->clause))
		return false;
	if (param->exactness == APIGOUV_OPAQUE)
		return is_echoed(route, param, qual);
	if (param->exactness != APIGOUV_EXACT)
		return false;
	switch (qual->op)
	{
		case APIGOUV_OP_EQ:
			return true;
		case APIGOUV_OP_GE:
		case APIGOUV_OP_LE:
		case APIGOUV_OP_ANY:
			return !qual->is_array;
		case APIGOUV_OP_OVERLAPS:
			return param->list != APIGOUV_LIST_EACH;
		default:
			return false;		/* bounds and the like are checked here */
	}
}

/* Is a route's announced total the number of rows of a scan? */
static bool
tells_rows(const ApigouvRoute *route)
{
	return route->exact && route->total_path != NULL &&
		route->paging.style != APIGOUV_PAGING_NONE && route->nlists == 1 &&
		route->pivot.nby == 0 && route->lookup.path == NULL &&
		!route->is_personal;
}

/* Is a clause among those that a route sends exactly? */
static bool
is_sent(const ApigouvTable *table, const ApigouvRouteMatch *match,
		const Expr *clause)
{
	const ApigouvRoute *route = &table->routes[match->route];
	ListCell   *lc;

	foreach(lc, match->matches)
	{
		const ApigouvMatch *one = lfirst(lc);

		if (one->qual->clause == clause && sends_exactly(table, route, one))
			return true;
	}
	return false;
}

/* Does each condition feed one parameter? */
static bool
feeds_once(const ApigouvRouteMatch *match)
{
	List	   *quals = NIL;
	ListCell   *lc;

	foreach(lc, match->matches)
		quals = list_append_unique_ptr(quals,
									   ((ApigouvMatch *) lfirst(lc))->qual);
	return list_length(quals) == list_length(match->matches);
}

/* Does a route announce how many rows satisfy all conditions of a table? */
static bool
counts_exactly(RelOptInfo *rel, const ApigouvTable *table,
			   const ApigouvRouteMatch *match)
{
	ListCell   *lc;

	if (!tells_rows(&table->routes[match->route]) || !feeds_once(match))
		return false;
	foreach(lc, rel->baserestrictinfo)
	{
		const RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant || rinfo->security_level > 0 ||
			!is_sent(table, match, rinfo->clause))
			return false;
	}
	return true;
}

/* The path that reads the rows and counts them, for what total.c cannot. */
static Path *
reading_path(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output,
			 List *counts)
{
	PathTarget *target = create_empty_pathtarget();
	AggClauseCosts costs = {0};
	ListCell   *lc;

	foreach(lc, counts)
		add_column_to_pathtarget(target, lfirst(lc), 0);
	get_agg_clause_costs(root, AGGSPLIT_SIMPLE, &costs);
	return (Path *) create_agg_path(root, output, input->cheapest_total_path,
									set_pathtarget_cost_width(root, target),
									AGG_PLAIN, AGGSPLIT_SIMPLE, NIL, NIL,
									&costs, 1);
}

/* Add the path that asks a route for its total. */
static void
add_total_path(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output,
			   ApigouvRouteMatch *match, List *counts)
{
	TotalPlan  *plan = palloc(sizeof(TotalPlan));
	PathTarget *target = root->upper_targets[UPPERREL_GROUP_AGG];
	const ApigouvOptions *options;
	Cost		startup;

	plan->info = input->fdw_private;
	plan->match = match;
	plan->counts = counts;
	options = plan->info->options;
	startup = target->cost.startup +
		apigouv_cost_requests(options, &options->table->routes[match->route],
							  match->tasks);
	add_path(output, (Path *)
			 apigouv_create_foreign_upper_path(root, output, target, 1,
											   startup,
											   startup + cpu_tuple_cost +
											   target->cost.per_tuple,
											   reading_path(root, input,
															output, counts),
											   list_make1(plan)));
}

/*
 * apigouvGetForeignUpperPaths
 *		Offer to ask for the total, where the query counts a table's rows.
 */
void
apigouvGetForeignUpperPaths(PlannerInfo *root, UpperRelationKind stage,
							RelOptInfo *input_rel, RelOptInfo *output_rel,
							void *extra)
{
	const ApigouvRelInfo *info;
	const ApigouvTable *table;
	List	   *counts;

	if (stage != UPPERREL_GROUP_AGG || !apigouv_enable_pushdown ||
		!is_plain(root, input_rel))
		return;
	info = input_rel->fdw_private;
	table = info->options->table;
	counts = counts_of(root->upper_targets[UPPERREL_GROUP_AGG]);
	if (counts == NIL || table->is_union || table->personal_data ||
		input_rel->cheapest_total_path->param_info != NULL)
		return;
	for (int i = 0; i < table->nroutes; i++)
	{
		ApigouvRouteMatch *match = apigouv_route_match(root, input_rel, info,
													   i, NULL, NULL);

		if (match != NULL && counts_exactly(input_rel, table, match))
			add_total_path(root, input_rel, output_rel, match, counts);
	}
}

/*
 * apigouv_upper_plan
 *		Make the plan of such a path.
 *
 * It scans no relation: its rows are the counts.  outer_plan: reads the rows.
 */
ForeignScan *
apigouv_upper_plan(ForeignPath *path, List *tlist, Plan *outer_plan)
{
	const		TotalPlan *plan = linitial(path->fdw_private);
	List	   *exprs = NIL;
	List	   *routes = apigouv_plan_routes(list_make1(plan->match), &exprs);
	List	   *private;
	List	   *scan_tlist = NIL;
	ListCell   *lc;

	private = list_make5(routes, NIL,
						 apigouv_plan_columns(plan->info->columns),
						 list_make3_int(0, 0, 0), makeString(pstrdup("")));
	private = lappend(private, apigouv_plan_number(plan->match->tasks));
	private = lappend(private, makeInteger(0));
	private = lappend(private, makeInteger(0));
	foreach(lc, plan->counts)
		scan_tlist = lappend(scan_tlist,
							 makeTargetEntry(lfirst(lc),
											 list_length(scan_tlist) + 1,
											 NULL, false));
	return make_foreignscan(tlist, NIL, 0, exprs, private, scan_tlist, NIL,
							outer_plan);
}
