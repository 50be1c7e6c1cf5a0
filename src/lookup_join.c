/*-------------------------------------------------------------------------
 *
 * lookup_join.c
 *		Planning of lookup joins: nested loops that ask for the keys of many
 *		outer rows together.
 *
 * A foreign table that is read by key joins as the inner side of a nested
 * loop, key after key: a round trip for each.  Here that loop gets an outer
 * side that reads its rows ahead and has their keys asked for before the loop
 * comes to them (lookup_scan.c, ahead.c).  The join is the server's: its
 * kinds, its conditions and its order are those of any nested loop.
 *
 * It is offered for any outer path, whose order it keeps, and any inner path
 * that has scans of ours which take values from the outer side.  Not
 * where rows are locked, updated, deleted or merged: rows read ahead could be
 * others than those that the server rechecks.
 *
 * It needs no preloading: planning the foreign table has loaded the library
 * before joins are considered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/selfuncs.h"

#include "apigouv_fdw.h"
#include "compat.h"
#include "lookup_join.h"
#include "wanted.h"

bool		apigouv_enable_lookup_join = true;

static set_join_pathlist_hook_type previous_hook = NULL;

/*
 * What a lookup join costs at most of the plain loop: an outer side that was
 * thought to have one row may have a thousand, and only then do they differ.
 */
#define PREFERENCE 0.98

/* What the join of an outer path with an inner path asks for. */
typedef struct Lookup
{
	List	   *scans;			/* of ForeignPath, ours */
	List	   *keys;			/* of Expr: values that the outer side gives */
	bool		any_key;		/* some are not known: of a subquery */
	List	   *values;			/* of Expr: what all scans are asked by */
	List	   *conditions;		/* of Expr: on the outer side alone */
} Lookup;

/* Does a path take values from a relation? */
static bool
takes_from(const Path *path, const RelOptInfo *rel)
{
	return bms_overlap(PATH_REQ_OUTER(path), rel->relids);
}

/* Is a path a scan of one of our foreign tables? */
static bool
is_our_scan(const Path *path)
{
	return IsA(path, ForeignPath) && IS_SIMPLE_REL(path->parent) &&
		apigouv_plan_is_ours(path->parent);
}

/* The paths below one. */
static List *
children_of(Path *path)
{
	switch (nodeTag(path))
	{
		case T_AppendPath:
			return ((AppendPath *) path)->subpaths;
		case T_MergeAppendPath:
			return ((MergeAppendPath *) path)->subpaths;
		case T_NestPath:
			return list_make2(((NestPath *) path)->jpath.outerjoinpath,
							  ((NestPath *) path)->jpath.innerjoinpath);
		case T_HashPath:
			return list_make2(((HashPath *) path)->jpath.outerjoinpath,
							  ((HashPath *) path)->jpath.innerjoinpath);
		case T_MergePath:
			return list_make2(((MergePath *) path)->jpath.outerjoinpath,
							  ((MergePath *) path)->jpath.innerjoinpath);
		case T_CustomPath:
			return ((CustomPath *) path)->custom_paths;
		case T_SubqueryScanPath:
			return list_make1(((SubqueryScanPath *) path)->subpath);
		case T_ProjectionPath:
			return list_make1(((ProjectionPath *) path)->subpath);
		case T_ProjectSetPath:
			return list_make1(((ProjectSetPath *) path)->subpath);
		case T_MaterialPath:
			return list_make1(((MaterialPath *) path)->subpath);
		case T_MemoizePath:
			return list_make1(((MemoizePath *) path)->subpath);
		case T_LimitPath:
			return list_make1(((LimitPath *) path)->subpath);
		case T_SortPath:
		case T_IncrementalSortPath:
			return list_make1(((SortPath *) path)->subpath);
		case T_AggPath:
			return list_make1(((AggPath *) path)->subpath);
		case T_GroupPath:
			return list_make1(((GroupPath *) path)->subpath);
		case T_WindowAggPath:
			return list_make1(((WindowAggPath *) path)->subpath);
		default:
			return NIL;
	}
}

/*
 * collect_scans
 *		Add our scans of an inner path that take values from the outer side,
 *		and from no relation of the inner one.
 *
 * in_subquery: the path is of a query below, where the values of the outer
 * side are parameters.
 */
static void
collect_scans(Path *path, RelOptInfo *outerrel, RelOptInfo *innerrel,
			  bool in_subquery, Lookup *lookup)
{
	ListCell   *lc;

	check_stack_depth();
	if (is_our_scan(path))
	{
		List	   *keys = apigouv_plan_keys((ForeignPath *) path,
											 in_subquery ? NULL
											 : outerrel->relids);

		if (keys == NIL || (!in_subquery && takes_from(path, innerrel)))
			return;
		lookup->scans = lappend(lookup->scans, path);
		lookup->values = list_concat(lookup->values, keys);
		if (in_subquery)
			lookup->any_key = true;
		else
			lookup->keys = list_concat_unique(lookup->keys, keys);
		return;
	}
	in_subquery |= IsA(path, SubqueryScanPath);
	foreach(lc, children_of(path))
		collect_scans(lfirst(lc), outerrel, innerrel, in_subquery, lookup);
}

/* Describe an inner path; false when no lookup join can use it. */
static bool
describe(Path *inner, RelOptInfo *outerrel, RelOptInfo *innerrel,
		 Lookup *lookup)
{
	memset(lookup, 0, sizeof(*lookup));
	if (takes_from(inner, outerrel))
		collect_scans(inner, outerrel, innerrel, false, lookup);
	return lookup->scans != NIL;
}

/* Different keys that a number of outer rows gives. */
static double
different_keys(PlannerInfo *root, const Lookup *lookup, double rows)
{
	if (lookup->any_key)
		return rows;
	return clamp_row_est(estimate_num_groups(root, lookup->keys, rows, NULL,
											 NULL));
}

static struct Plan *plan_lookup(PlannerInfo *root, RelOptInfo *rel,
								struct CustomPath *best_path, List *tlist,
								List *clauses, List *custom_plans);

static const CustomPathMethods path_methods = {
	.CustomName = "Lookup Join",
	.PlanCustomPath = plan_lookup
};

/* Items of CustomPath.custom_private. */
enum PathItem
{
	PATH_KEYS,					/* Float */
	PATH_REQUESTS,				/* Float */
	PATH_VALUES,				/* list of Expr: what is asked by */
	PATH_CONDITIONS				/* list of Expr, on the outer side */
};

/*
 * read_ahead_path
 *		The path of an outer side that reads ahead; costs what it reads.
 */
static CustomPath *
read_ahead_path(Path *outer, double keys, double requests,
				const Lookup *lookup)
{
	CustomPath *path = makeNode(CustomPath);

	path->path = *outer;
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	path->path.parallel_aware = false;
	path->path.parallel_safe = false;
	path->path.parallel_workers = 0;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_paths = list_make1(outer);
	path->custom_private = list_make4(apigouv_plan_number(keys),
									  apigouv_plan_number(requests),
									  lookup->values, lookup->conditions);
	path->methods = &path_methods;
	return path;
}

/* May the query stop before it has read all rows of a path? */
static bool
may_stop_early(PlannerInfo *root, const Path *path)
{
	ApigouvWanted wanted;

	if (apigouv_wanted_of(root, path, &wanted))
		return !wanted.all;
	return root->tuple_fraction > 0 || root->limit_tuples > 0;
}

/* Make the plan of a path that reads ahead. */
static struct Plan *
plan_lookup(PlannerInfo *root, RelOptInfo *rel, struct CustomPath *best_path,
			List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);
	List	   *private = best_path->custom_private;
	List	   *child_tlist = ((Plan *) linitial(custom_plans))->targetlist;
	bool		early = may_stop_early(root, &best_path->path);
	bool		may_guess = !early ||
	!(apigouv_lookup_may_fail(list_nth(private, PATH_VALUES)) ||
	  apigouv_lookup_plan_may_act(root->glob, linitial(custom_plans)));

	scan->flags = best_path->flags;
	scan->custom_plans = custom_plans;
	scan->custom_private = list_make4(makeBoolean(early),
									  makeBoolean(may_guess),
									  list_nth(private, PATH_KEYS),
									  list_nth(private, PATH_REQUESTS));
	scan->custom_exprs = apigouv_lookup_refer(list_nth(private,
													   PATH_CONDITIONS),
											  child_tlist);
	scan->custom_scan_tlist = child_tlist;
	scan->scan.plan.targetlist = tlist;
	scan->methods = &apigouv_lookup_scan_methods;
	return (Plan *) scan;
}

/*
 * is_worth_having
 *		Would core consider a nested loop that needs these relations?
 *
 * The rules of its own nested loops: values from outside the join only where
 * they serve, and none that pass through a placeholder.
 */
static bool
is_worth_having(PlannerInfo *root, RelOptInfo *outerrel, Path *inner,
				Relids required, const JoinPathExtraData *extra)
{
	if (bms_is_empty(required))
		return true;
	return (bms_overlap(required, extra->param_source_rels) ||
			(bms_overlap(PATH_REQ_OUTER(inner), outerrel->relids) &&
			 bms_nonempty_difference(PATH_REQ_OUTER(inner),
									 outerrel->relids))) &&
		!apigouv_have_dangerous_phv(root, outerrel->relids,
									PATH_REQ_OUTER(inner));
}

/*
 * cost_without
 *		Cost of core's nested loop of the same paths, with or without Memoize,
 *		if it is less than `most`.
 *
 * It knows nothing of limits, which do not make its requests fewer.
 */
static Cost
cost_without(const RelOptInfo *joinrel, const Path *outer, const Path *inner,
			 Cost most)
{
	ListCell   *lc;

	foreach(lc, joinrel->pathlist)
	{
		const NestPath *join = lfirst(lc);
		const Path *below;

		if (!IsA(join, NestPath) || join->jpath.outerjoinpath != outer)
			continue;
		below = join->jpath.innerjoinpath;
		if (IsA(below, MemoizePath))
			below = ((const MemoizePath *) below)->subpath;
		if (below == inner)
			most = Min(most, join->jpath.path.total_cost);
	}
	return most;
}

/* Add the lookup join of an outer and an inner path. */
static void
add_lookup(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
		   RelOptInfo *innerrel, JoinType jointype, JoinPathExtraData *extra,
		   Path *outer, Path *inner, const Lookup *lookup)
{
	Relids		required =
	calc_nestloop_required_outer(outerrel->relids, PATH_REQ_OUTER(outer),
								 innerrel->relids, PATH_REQ_OUTER(inner));
	double		keys;
	double		requests = 0;
	Cost		first = 0;
	Cost		rest = inner->total_cost;
	Cost		all = 0;
	Cost		plain;
	JoinCostWorkspace workspace;
	CustomPath *ahead;
	NestPath   *join;
	ListCell   *lc;

	if (apigouv_needs_own_join(extra, inner) ||
		apigouv_needs_own_join(extra, outer) ||
		!is_worth_having(root, outerrel, inner, required, extra))
		return;
	keys = different_keys(root, lookup, outer->rows);
	foreach(lc, lookup->scans)
	{
		Cost		one = apigouv_plan_cost(lfirst(lc), 1, 1);

		requests += keys * apigouv_plan_requests(lfirst(lc));
		first = Max(first, one);
		rest -= one;
		all += apigouv_plan_cost(lfirst(lc), outer->rows, keys);
	}
	all += outer->rows * Max(rest, 0);
	ahead = read_ahead_path(outer, keys, requests, lookup);
	initial_cost_nestloop(root, &workspace, jointype, &ahead->path, inner,
						  extra);
	join = create_nestloop_path(root, joinrel, jointype, &workspace, extra,
								&ahead->path, inner, extra->restrictlist,
								build_join_pathkeys(root, joinrel, jointype,
													outer->pathkeys),
								required);
	plain = cost_without(joinrel, outer, inner, join->jpath.path.total_cost);
	all = outer->total_cost + Max(first, all) + apigouv_nestloop_penalty() +
		joinrel->rows * cpu_tuple_cost;
	join->jpath.path.startup_cost = outer->startup_cost + first +
		apigouv_nestloop_penalty();
	join->jpath.path.total_cost = Max(Min(all, plain * PREFERENCE),
									  join->jpath.path.startup_cost);
	add_path(joinrel, (Path *) join);
}

/*
 * add_lookups
 *		Add the lookup joins of all outer paths with an inner path.
 */
static void
add_lookups(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
			RelOptInfo *innerrel, JoinType jointype, JoinPathExtraData *extra,
			Path *inner)
{
	Lookup		lookup;
	ListCell   *lc;

	if (!describe(inner, outerrel, innerrel, &lookup))
		return;
	lookup.conditions = apigouv_lookup_conditions(joinrel, outerrel, jointype,
												  extra->restrictlist);
	if (jointype == JOIN_UNIQUE_OUTER)
	{
		Path	   *unique = (Path *)
		create_unique_path(root, outerrel, outerrel->cheapest_total_path,
						   extra->sjinfo);

		if (unique != NULL)
			add_lookup(root, joinrel, outerrel, innerrel, JOIN_INNER, extra,
					   unique, inner, &lookup);
		return;
	}
	foreach(lc, outerrel->pathlist)
	{
		Path	   *outer = lfirst(lc);

		if (!takes_from(outer, innerrel))
			add_lookup(root, joinrel, outerrel, innerrel, jointype, extra,
					   outer, inner, &lookup);
	}
}

/* Can a nested loop with our table inside do this kind of join? */
static bool
suits(JoinType jointype)
{
	return jointype == JOIN_INNER || jointype == JOIN_LEFT ||
		jointype == JOIN_SEMI || jointype == JOIN_ANTI ||
		jointype == JOIN_UNIQUE_OUTER;
}

/* Does the query lock or change rows? */
static bool
locks_rows(const PlannerInfo *root)
{
	return root->rowMarks != NIL ||
		(root->parse->commandType != CMD_SELECT &&
		 root->parse->commandType != CMD_INSERT);
}

/* The planner's hook: add lookup joins to a join relation. */
static void
join_pathlist(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
			  RelOptInfo *innerrel, JoinType jointype,
			  JoinPathExtraData *extra)
{
	ListCell   *lc;

	if (previous_hook != NULL)
		previous_hook(root, joinrel, outerrel, innerrel, jointype, extra);
	if (!apigouv_enable_lookup_join || IS_OTHER_REL(joinrel) ||
		!suits(jointype) || locks_rows(root))
		return;
	foreach(lc, innerrel->pathlist)
		add_lookups(root, joinrel, outerrel, innerrel, jointype, extra,
					lfirst(lc));
}

/* Install the hook and the node; from _PG_init. */
void
apigouv_lookup_install(void)
{
	previous_hook = set_join_pathlist_hook;
	set_join_pathlist_hook = join_pathlist;
	RegisterCustomScanMethods(&apigouv_lookup_scan_methods);
}
