/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Row estimates and paths of foreign tables.
 *
 * Each usable route of a table makes a path; a table that is a union makes
 * one path of one route per source.  Routes fed by join clauses make
 * parameterized paths, with core's get_baserel_parampathinfo, so that the
 * executor's Memoize works.
 *
 * A table that cannot be read without a key, and has none, still needs a
 * path.  It gets one that is dearer than any other, disabled ones included;
 * executing it is an error that names the column.
 *
 * Not here: what a request and a row cost (cost.c), the plan that is made of a
 * path (plan_node.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/selfuncs.h"

#include "apigouv_fdw.h"
#include "compat.h"
#include "cost.h"
#include "plan.h"
#include "probe.h"

/*
 * Cost of a path that must lose against any other, disabled ones and joins
 * of many rows included.
 */
#define KEYLESS_COST 1.0e20

/* Keys of a table that cannot be listed. */
#define SUPPOSED_KEYS 1000000

/* Sets of outer relations tried for parameterized paths, at most. */
#define MAX_OUTER_SETS 32

/* Add the columns that a clause mentions. */
static Bitmapset *
add_columns_of(Bitmapset *columns, const RestrictInfo *rinfo, RelOptInfo *rel,
			   const ApigouvColumnMap *map)
{
	return bms_add_members(columns,
						   apigouv_qual_columns((Node *) rinfo->clause,
												rel->relid, map));
}

/* Columns that the scan must read. */
static Bitmapset *
columns_to_read(RelOptInfo *rel, const ApigouvColumnMap *map)
{
	Bitmapset  *columns;
	ListCell   *lc;

	columns = apigouv_qual_columns((Node *) rel->reltarget->exprs, rel->relid,
								   map);
	foreach(lc, rel->baserestrictinfo)
		columns = add_columns_of(columns, lfirst(lc), rel, map);
	return columns;
}

/* "column IS NULL": it holds for rows that have no such value. */
static bool
is_null_test(const RestrictInfo *rinfo)
{
	return IsA(rinfo->clause, NullTest) &&
		((NullTest *) rinfo->clause)->nulltesttype == IS_NULL;
}

/*
 * columns_conditioned
 *		Columns on whose value a condition that this scan can check bears.
 *
 * A clause above an outer join is none: it sees rows that this scan lacks.
 */
static Bitmapset *
columns_conditioned(RelOptInfo *rel, const ApigouvRelInfo *info)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		if (!is_null_test(lfirst(lc)))
			columns = add_columns_of(columns, lfirst(lc), rel, &info->map);
	}
	foreach(lc, rel->joininfo)
	{
		if (join_clause_is_movable_to(lfirst(lc), rel))
			columns = add_columns_of(columns, lfirst(lc), rel, &info->map);
	}
	foreach(lc, info->quals)
		columns = bms_add_member(columns,
								 ((ApigouvQual *) lfirst(lc))->column);
	return columns;
}

/*
 * add_compared
 *		Add the columns that a condition compares: it, or its part, is null
 *		when the column is.
 *
 * The parts of an OR count as well.  Where a column only tells what was asked,
 * a part that asks for nothing would be missed in the result.
 */
static Bitmapset *
add_compared(Bitmapset *columns, Node *node, RelOptInfo *rel,
			 const ApigouvColumnMap *map)
{
	ListCell   *lc;

	if (IsA(node, BoolExpr))
	{
		foreach(lc, ((BoolExpr *) node)->args)
			columns = add_compared(columns, lfirst(lc), rel, map);
		return columns;
	}
	if (contain_nonstrict_functions(node))
		return columns;
	return bms_add_members(columns,
						   apigouv_qual_columns(node, rel->relid, map));
}

/* Columns that this scan's conditions compare. */
static Bitmapset *
columns_compared(RelOptInfo *rel, const ApigouvRelInfo *info)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		columns = add_compared(columns, (Node *) rinfo->clause, rel,
							   &info->map);
	}
	foreach(lc, rel->joininfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (join_clause_is_movable_to(rinfo, rel))
			columns = add_compared(columns, (Node *) rinfo->clause, rel,
								   &info->map);
	}
	return columns;
}

/*
 * total_rows
 *		Estimated rows of the whole table.
 *
 * A table that cannot be listed is supposed to hold the rows of more keys than
 * any query joins it with.  Those of its columns that are keys have as many
 * values (stats.c), so that each key brings the rows of one request.
 */
static double
total_rows(RelOptInfo *rel, const ApigouvOptions *options)
{
	if (options->rows >= 0)
		return options->rows;
	if (rel->tuples > 0)
		return rel->tuples;
	if (!apigouv_route_is_listable(options->table))
		return options->table->rows * SUPPOSED_KEYS;
	return options->table->rows;
}

/*
 * apigouvGetForeignRelSize
 *		Estimate the rows of a foreign table under its own conditions.
 */
void
apigouvGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
						 Oid foreigntableid)
{
	ApigouvRelInfo *info = palloc0(sizeof(ApigouvRelInfo));
	const ApigouvTable *table;

	info->options = apigouv_option_table(foreigntableid);
	table = info->options->table;
	apigouv_qual_map_columns(foreigntableid, table, &info->map);
	info->quals = apigouv_qual_collect(root, baserel, table, &info->map);
	info->tuples = total_rows(baserel, info->options);
	info->may_stop_early = root->tuple_fraction > 0 || root->limit_tuples > 0;
	baserel->fdw_private = info;
	baserel->tuples = info->tuples;
	set_baserel_size_estimates(root, baserel);
}

/* Conditions on columns that are constant within a route of a union. */
static List *
constant_quals(const ApigouvRelInfo *info, Relids outer)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (!apigouv_enable_pushdown)
		return NIL;
	foreach(lc, info->quals)
	{
		ApigouvQual *qual = lfirst(lc);

		if (qual->op == APIGOUV_OP_EQ && bms_is_subset(qual->outer, outer) &&
			apigouv_route_has_constant(info->options->table, qual->column))
			result = lappend(result, qual);
	}
	return result;
}

/* Add the path of a plan. */
static void
add_one_path(PlannerInfo *root, RelOptInfo *rel, ApigouvPathPlan *plan,
			 double rows_sent, Relids outer)
{
	const ApigouvRelInfo *info = rel->fdw_private;
	double		rows = rel->rows;
	Cost		startup;
	Cost		total;

	if (!bms_is_empty(outer))
		rows = get_baserel_parampathinfo(root, rel, outer)->ppi_rows;
	startup = plan->in_turn * info->options->request_cost;
	total = plan->cost +
		rows_sent * (cpu_tuple_cost + rel->baserestrictcost.per_tuple) +
		rel->baserestrictcost.startup;
	if (plan->missing != NULL)
		startup = total = KEYLESS_COST;
	add_path(rel, (Path *)
			 apigouv_create_foreignscan_path(root, rel, rows,
											 plan->missing != NULL,
											 startup, Max(startup, total),
											 outer, list_make1(plan)));
}

/*
 * lookups_of
 *		First requests of a route that no earlier route of the union makes.
 */
static double
lookups_of(const ApigouvTable *table, List *earlier,
		   const ApigouvRouteMatch *match)
{
	const char *path = table->routes[match->route].lookup.path;
	ListCell   *lc;

	foreach(lc, earlier)
	{
		const ApigouvRouteMatch *other = lfirst(lc);
		const char *other_path = table->routes[other->route].lookup.path;

		if (path != NULL && other_path != NULL &&
			strcmp(path, other_path) == 0)
			return 0;
	}
	return match->lookups;
}

/*
 * cost_of_routes
 *		Cost of the requests and rows of a plan's routes, when the plan is run
 *		for a number of different sets of parameters at once.
 *
 * A first request must have its reply before the one that needs it, and the
 * first page of a list before the others.  Beside that, all travel together.
 * *requests, *in_turn: how many there are, and how many the first row needs.
 */
static Cost
cost_of_routes(const ApigouvOptions *options, const ApigouvPathPlan *plan,
			   double times, double *requests, double *in_turn)
{
	const ApigouvTable *table = options->table;
	ApigouvRequestCount lookups = {0};
	ApigouvRequestCount first = {0};
	ApigouvRequestCount further = {0};
	List	   *earlier = NIL;
	Cost		cost = 0;
	ListCell   *lc;

	foreach(lc, plan->routes)
	{
		ApigouvRouteMatch *match = lfirst(lc);
		const ApigouvRoute *route = &table->routes[match->route];

		apigouv_cost_count(options, route->lookup.limit,
						   times * lookups_of(table, earlier, match),
						   &lookups);
		apigouv_cost_count(options, route->limit, times * match->tasks,
						   &first);
		apigouv_cost_count(options, route->limit,
						   times * (match->requests - match->tasks),
						   &further);
		cost += apigouv_cost_rows(options, route, times * match->rows);
		if (!table->is_union)
			break;				/* the others only serve in its place */
		earlier = lappend(earlier, match);
	}
	*requests = lookups.total + first.total + further.total;
	*in_turn = (lookups.total > 0 ? 1 : 0) + (first.total > 0 ? 1 : 0);
	return cost + apigouv_cost_of_count(options, &lookups) +
		apigouv_cost_of_count(options, &first) +
		apigouv_cost_of_count(options, &further);
}

/* Find what a plan costs. */
static void
add_cost(ApigouvPathPlan *plan, const ApigouvOptions *options)
{
	plan->cost = cost_of_routes(options, plan, 1, &plan->requests,
								&plan->in_turn);
}

/*
 * add_union_path
 *		The path of a union table: one route for each source.
 *
 * Within a source the first usable variant serves.  No path when a source
 * that the conditions do not exclude has none.
 */
static bool
add_union_path(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	const ApigouvRelInfo *info = rel->fdw_private;
	const ApigouvTable *table = info->options->table;
	ApigouvPathPlan *plan = palloc0(sizeof(ApigouvPathPlan));
	Relids		used = NULL;
	double		rows = 0;
	int			source = -1;

	for (int i = 0; i < table->nroutes; i++)
	{
		ApigouvRouteMatch *match;

		if (table->routes[i].source == source)
			continue;			/* this source has its route */
		if (apigouv_enable_pushdown &&
			apigouv_route_excluded(root, rel, info, i))
		{
			source = table->routes[i].source;
			continue;
		}
		match = apigouv_route_match(root, rel, info, i, outer, NULL);
		if (match == NULL)
		{
			if (i + 1 == table->nroutes ||
				table->routes[i + 1].source != table->routes[i].source)
				return false;
			continue;
		}
		source = table->routes[i].source;
		plan->routes = lappend(plan->routes, match);
		rows += match->rows;
		used = bms_add_members(used, match->outer);
	}
	add_cost(plan, info->options);
	plan->constant_quals = constant_quals(info, outer);
	if (!bms_is_subset(outer, bms_union(used, rel->lateral_relids)))
		return false;
	add_one_path(root, rel, plan, rows, outer);
	return true;
}

/*
 * add_route_path
 *		Add the path of one route; false when outer feeds nothing of it.
 *
 * others: routes that may replace it.
 */
static bool
add_route_path(PlannerInfo *root, RelOptInfo *rel, Relids outer,
			   ApigouvRouteMatch *match, List *others)
{
	const ApigouvRelInfo *info = rel->fdw_private;
	ApigouvPathPlan *plan;

	if (!bms_is_subset(outer, bms_union(match->outer, rel->lateral_relids)))
		return false;
	plan = palloc0(sizeof(ApigouvPathPlan));
	plan->routes = list_concat(list_make1(match), others);
	add_cost(plan, info->options);
	add_one_path(root, rel, plan, match->rows, outer);
	return true;
}

/*
 * add_wider_paths
 *		Paths of a route with fewer filters than could be sent: those that
 *		take a request for each of their values may cost more than they save.
 *
 * Without any of them, and without each one alone.
 */
static void
add_wider_paths(PlannerInfo *root, RelOptInfo *rel, Relids outer,
				const ApigouvRouteMatch *match, List *others)
{
	const ApigouvRelInfo *info = rel->fdw_private;
	ApigouvRouteMatch *wider;
	int			param = -1;

	if (bms_is_empty(match->spread))
		return;
	wider = apigouv_route_match(root, rel, info, match->route, outer,
								match->spread);
	if (wider != NULL)
		add_route_path(root, rel, outer, wider, list_copy(others));
	if (bms_membership(match->spread) == BMS_SINGLETON)
		return;
	while ((param = bms_next_member(match->spread, param)) >= 0)
	{
		wider = apigouv_route_match(root, rel, info, match->route, outer,
									bms_make_singleton(param));
		if (wider != NULL)
			add_route_path(root, rel, outer, wider, list_copy(others));
	}
}

/*
 * add_route_paths
 *		A path for each route that the conditions allow.
 *
 * The other usable routes follow in each plan: they serve when a key whose
 * value comes late turns out to be for another route.
 */
static bool
add_route_paths(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	const ApigouvRelInfo *info = rel->fdw_private;
	List	   *usable = NIL;
	bool		added = false;
	ListCell   *lc;

	for (int i = 0; i < info->options->table->nroutes; i++)
	{
		ApigouvRouteMatch *match = apigouv_route_match(root, rel, info, i,
													   outer, NULL);

		if (match != NULL)
			usable = lappend(usable, match);
	}
	foreach(lc, usable)
	{
		ApigouvRouteMatch *match = lfirst(lc);
		List	   *others = list_delete_ptr(list_copy(usable), match);

		if (add_route_path(root, rel, outer, match, list_copy(others)))
			added = true;
		add_wider_paths(root, rel, outer, match, others);
	}
	return added;
}

/* Paths under the values that a set of outer relations gives. */
static bool
add_paths(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	const ApigouvRelInfo *info = rel->fdw_private;

	if (info->options->table->is_union)
		return add_union_path(root, rel, outer);
	return add_route_paths(root, rel, outer);
}

/* Add a set of relations to a list unless it is there. */
static List *
add_outer_set(List *sets, Relids set)
{
	ListCell   *lc;

	if (bms_is_empty(set) || list_length(sets) >= MAX_OUTER_SETS)
		return sets;
	foreach(lc, sets)
	{
		if (bms_equal(lfirst(lc), set))
			return sets;
	}
	return lappend(sets, set);
}

/*
 * outer_of_route
 *		Relations that feed all keys of a route: for each key those of the
 *		first condition on it, the smallest set first.
 */
static Relids
outer_of_route(const ApigouvRelInfo *info, const ApigouvRoute *route)
{
	Relids		all = NULL;

	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];
		Relids		best = NULL;
		bool		found = false;
		ListCell   *lc;

		if (!apigouv_route_needs_condition(param))
			continue;
		foreach(lc, info->quals)
		{
			const ApigouvQual *qual = lfirst(lc);

			if (qual->column != param->column ||
				(found && bms_num_members(qual->outer) >=
				 bms_num_members(best)))
				continue;
			best = qual->outer;
			found = true;
		}
		if (!found)
			return NULL;
		all = bms_add_members(all, best);
	}
	return all;
}

/*
 * outer_sets
 *		Sets of relations that could feed parameterized paths: those that feed
 *		all keys of a route, those of each condition, and of each two together.
 */
static List *
outer_sets(RelOptInfo *rel, const ApigouvRelInfo *info)
{
	const ApigouvTable *table = info->options->table;
	List	   *sets = NIL;
	List	   *single = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	for (int i = 0; i < table->nroutes; i++)
		sets = add_outer_set(sets, outer_of_route(info, &table->routes[i]));
	foreach(lc, info->quals)
		single = add_outer_set(single, ((ApigouvQual *) lfirst(lc))->outer);
	foreach(lc, single)
		sets = add_outer_set(sets, lfirst(lc));
	foreach(lc, single)
	{
		foreach(lc2, single)
			sets = add_outer_set(sets, bms_union(lfirst(lc), lfirst(lc2)));
	}
	return sets;
}

/* Keys of a route that no condition could feed; *first: the first of them. */
static int
missing_keys(const ApigouvRelInfo *info, const ApigouvRoute *route,
			 int *first)
{
	int			n = 0;

	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (!apigouv_route_needs_condition(param) ||
			apigouv_route_is_fed(info, param))
			continue;
		if (n++ == 0)
			*first = param->column;
	}
	return n;
}

/*
 * missing_key
 *		The key column to name in the error: of the route that lacks fewest,
 *		among those that know every input of the query.
 *
 * None, when each route lacks an input that a condition bears on, or could
 * have all its keys: then the conditions do not go together.
 */
static const char *
missing_key(const ApigouvRelInfo *info)
{
	const ApigouvTable *table = info->options->table;
	int			column = -1;
	int			fewest = INT_MAX;

	for (int i = 0; i < table->nroutes; i++)
	{
		int			first = -1;
		int			n = missing_keys(info, &table->routes[i], &first);

		if (n == 0 || n >= fewest ||
			apigouv_route_is_shut(info, &table->routes[i]) ||
			apigouv_route_lacks_input(info, &table->routes[i]))
			continue;
		fewest = n;
		column = first;
	}
	return column < 0 ? APIGOUV_NO_COLUMN : table->columns[column].name;
}

/*
 * apigouvGetForeignPaths
 *		Make the paths of a foreign table.
 */
void
apigouvGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
					   Oid foreigntableid)
{
	ApigouvRelInfo *info = baserel->fdw_private;
	bool		added;
	ListCell   *lc;

	info->quals = list_concat(info->quals,
							  apigouv_qual_collect_ec(root, baserel,
													  info->options->table,
													  &info->map));
	info->columns = columns_to_read(baserel, &info->map);
	info->conditioned = columns_conditioned(baserel, info);
	info->compared = columns_compared(baserel, info);

	added = add_paths(root, baserel, baserel->lateral_relids);
	foreach(lc, outer_sets(baserel, info))
	{
		Relids		outer = bms_union(lfirst(lc), baserel->lateral_relids);

		if (!bms_equal(outer, baserel->lateral_relids))
			add_paths(root, baserel, outer);
	}
	if (!added)
	{
		ApigouvPathPlan *plan = palloc0(sizeof(ApigouvPathPlan));

		plan->missing = missing_key(info);
		plan->is_probe = strcmp(plan->missing, APIGOUV_NO_COLUMN) != 0 &&
			apigouv_probe_is_one(root, baserel, info);
		add_one_path(root, baserel, plan, 0, baserel->lateral_relids);
	}
}

/* Is a relation one of our foreign tables? */
bool
apigouv_plan_is_ours(const RelOptInfo *rel)
{
	return rel->fdwroutine != NULL &&
		rel->fdwroutine->GetForeignPaths == apigouvGetForeignPaths;
}

/* Is a node a value that a query above gives? */
static bool
has_outer_param(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC;
	return expression_tree_walker(node, has_outer_param, unused);
}

/*
 * apigouv_plan_keys
 *		Values that a path takes from relations: its keys of a join.  relids
 *		NULL: values that a query above gives.
 *
 * Result: list of Expr, in the current context.
 */
List *
apigouv_plan_keys(const ForeignPath *path, Relids relids)
{
	const ApigouvPathPlan *plan = linitial(path->fdw_private);
	List	   *keys = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, plan->routes)
	{
		foreach(lc2, ((ApigouvRouteMatch *) lfirst(lc))->matches)
		{
			const ApigouvQual *qual = ((ApigouvMatch *) lfirst(lc2))->qual;

			if (relids != NULL ? bms_overlap(qual->outer, relids)
				: has_outer_param((Node *) qual->value, NULL))
				keys = list_append_unique(keys, qual->value);
		}
	}
	return keys;
}

/* Requests that a path foresees for one set of its parameters. */
double
apigouv_plan_requests(const ForeignPath *path)
{
	return ((ApigouvPathPlan *) linitial(path->fdw_private))->requests;
}

/*
 * apigouv_plan_cost
 *		Cost of a path that is run a number of times in a row, for different
 *		sets of parameters and their repetitions, all of them known at once.
 */
Cost
apigouv_plan_cost(const ForeignPath *path, double times, double different)
{
	const ApigouvPathPlan *plan = linitial(path->fdw_private);
	const ApigouvRelInfo *info = path->path.parent->fdw_private;
	double		requests;
	double		in_turn;
	Cost		cost;

	cost = cost_of_routes(info->options, plan, different, &requests, &in_turn);
	return cost + times * (path->path.rows + 1) *
		(cpu_tuple_cost + path->path.parent->baserestrictcost.per_tuple);
}
