/*-------------------------------------------------------------------------
 *
 * wanted.c
 *		How many rows a query will want of one of its scans.
 *
 * A LIMIT or an EXISTS stops early, but what lies between it and the scan
 * decides what that means: a sort, an aggregate or the hashed side of a join
 * read the scan to its end all the same, while a nested loop asks its outer
 * side for a row at a time.  When plans are made, the paths above the scan are
 * known: they are walked down from the top.
 *
 * All of this is a hint for the number and the size of requests.  A wrong one
 * costs a request or some bytes, never a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"

#include "wanted.h"

/* A walk down the paths of a query. */
typedef struct Walk
{
	PlannerInfo *root;
	const Path *sought;
	ApigouvWanted found;
} Walk;

static bool find(Walk *walk, const Path *path, ApigouvWanted wanted);

static const ApigouvWanted ALL = {true, 0};

/* The number that an expression of a LIMIT clause stands for, -1 = unknown. */
static double
number_of(PlannerInfo *root, Node *node)
{
	Node	   *value = estimate_expression_value(root, node);

	if (!IsA(value, Const) || ((Const *) value)->constisnull)
		return -1;
	return Max(0, (double) DatumGetInt64(((Const *) value)->constvalue));
}

/* Below a LIMIT: its rows, and those that it passes over. */
static bool
find_below_limit(Walk *walk, const LimitPath *path, ApigouvWanted wanted)
{
	double		count = path->limitCount == NULL ? -1
	: number_of(walk->root, path->limitCount);
	double		offset = path->limitOffset == NULL ? 0
	: number_of(walk->root, path->limitOffset);

	if (count >= 0 && (wanted.rows == 0 || count < wanted.rows))
		wanted.rows = count;
	if (path->limitCount != NULL)
		wanted.all = false;
	if (wanted.rows > 0)
		wanted.rows = offset >= 0 ? wanted.rows + offset : 0;
	return find(walk, path->subpath, wanted);
}

/* Rows of its outer side that a join reads for so many of its own. */
static ApigouvWanted
of_outer(const JoinPath *path, ApigouvWanted wanted)
{
	double		per_row = path->outerjoinpath->rows / Max(path->path.rows, 1);

	wanted.rows *= Max(per_row, 1);
	return wanted;
}

/* Below a join, each kind of which reads its sides in its own way. */
static bool
find_below_join(Walk *walk, const JoinPath *path, ApigouvWanted wanted)
{
	ApigouvWanted outer = of_outer(path, wanted);
	ApigouvWanted inner = {wanted.all, 0};

	switch (nodeTag(path))
	{
		case T_NestPath:
			if (path->jointype == JOIN_SEMI || path->jointype == JOIN_ANTI ||
				path->inner_unique)
				inner.rows = 1;
			break;
		case T_HashPath:
			inner = ALL;
			break;
		default:				/* a merge join */
			outer.rows = 0;
			if (((const MergePath *) path)->outersortkeys != NIL)
				outer = ALL;
			if (((const MergePath *) path)->innersortkeys != NIL)
				inner = ALL;
			break;
	}
	return find(walk, path->outerjoinpath, outer) ||
		find(walk, path->innerjoinpath, inner);
}

/* Below any of several paths. */
static bool
find_below_any(Walk *walk, const List *paths, ApigouvWanted wanted)
{
	ListCell   *lc;

	foreach(lc, paths)
	{
		if (find(walk, lfirst(lc), wanted))
			return true;
	}
	return false;
}

/*
 * find
 *		Look for the path sought at and below a path; note what is wanted of it
 *		when wanted is what is wanted of that one.
 */
static bool
find(Walk *walk, const Path *path, ApigouvWanted wanted)
{
	ApigouvWanted some = {wanted.all, 0};

	if (path == walk->sought)
	{
		walk->found = wanted;
		return true;
	}
	switch (nodeTag(path))
	{
		case T_LimitPath:
			return find_below_limit(walk, (const LimitPath *) path, wanted);
		case T_ProjectionPath:
			return find(walk, ((const ProjectionPath *) path)->subpath,
						wanted);
		case T_ProjectSetPath:
			return find(walk, ((const ProjectSetPath *) path)->subpath,
						wanted);
		case T_MaterialPath:
			return find(walk, ((const MaterialPath *) path)->subpath, wanted);
		case T_MemoizePath:
			return find(walk, ((const MemoizePath *) path)->subpath, some);
		case T_GroupPath:
			return find(walk, ((const GroupPath *) path)->subpath, some);
		case T_WindowAggPath:
			return find(walk, ((const WindowAggPath *) path)->subpath, some);
		case T_SortPath:
		case T_IncrementalSortPath:
			return find(walk, ((const SortPath *) path)->subpath, ALL);
		case T_AggPath:
			if (((const AggPath *) path)->aggstrategy != AGG_SORTED)
				some = ALL;
			return find(walk, ((const AggPath *) path)->subpath, some);
		case T_NestPath:
		case T_MergePath:
		case T_HashPath:
			return find_below_join(walk, (const JoinPath *) path, wanted);
		case T_AppendPath:
			return find_below_any(walk, ((const AppendPath *) path)->subpaths,
								  wanted);
		case T_MergeAppendPath:
			return find_below_any(walk,
								  ((const MergeAppendPath *) path)->subpaths,
								  some);
		case T_CustomPath:
			return find_below_any(walk,
								  ((const CustomPath *) path)->custom_paths,
								  wanted);
		case T_ModifyTablePath:
			return find(walk, ((const ModifyTablePath *) path)->subpath,
						wanted);
		default:
			return false;
	}
}

/*
 * apigouv_wanted_of
 *		What the paths above a scan's want of it.
 *
 * To be asked when the plan is made.  False when the path was not found: then
 * nothing is known.
 */
bool
apigouv_wanted_of(PlannerInfo *root, const Path *path, ApigouvWanted *wanted)
{
	Walk		walk = {root, path, ALL};
	const RelOptInfo *final = fetch_upper_rel(root, UPPERREL_FINAL, NULL);
	ApigouvWanted of_query = {root->tuple_fraction <= 0, 0};

	/* a fraction of 1 or more is a number of rows */
	if (root->tuple_fraction >= 1)
		of_query.rows = root->tuple_fraction;
	if (!find_below_any(&walk, final->pathlist, of_query))
		return false;
	*wanted = walk.found;
	return true;
}
