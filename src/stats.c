/*-------------------------------------------------------------------------
 *
 * stats.c
 *		What the API definitions know of a column's values, for the planner.
 *
 * A foreign table has no statistics of its own, and the planner then supposes
 * 200 distinct values in every column: an equality on a SIRET would leave
 * forty structures and one on their kind as many.  The definition's
 * n_distinct stands in, so that the sizes of joins, and the choice between
 * look-ups and a list, are right.
 *
 * Where ANALYZE has looked at a column, it knows better.  But not of a column
 * that only tells what was asked: nothing was, so that it was always null.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_statistic.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "apigouv_fdw.h"
#include "route.h"
#include "stats.h"

static get_relation_stats_hook_type previous_hook = NULL;

/* A tuple of pg_statistic that tells the number of distinct values alone. */
static HeapTuple
make_statistics(Oid relid, AttrNumber attnum, double n_distinct)
{
	Datum		values[Natts_pg_statistic] = {0};
	bool		nulls[Natts_pg_statistic];
	Relation	catalog = table_open(StatisticRelationId, AccessShareLock);
	HeapTuple	tuple;

	memset(nulls, true, sizeof(nulls));
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relid);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(attnum);
	values[Anum_pg_statistic_stainherit - 1] = BoolGetDatum(false);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(0);
	values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(0);
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(n_distinct);
	memset(nulls, false, sizeof(bool) * Anum_pg_statistic_stadistinct);
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
	{
		/* no slot holds anything */
		values[Anum_pg_statistic_stakind1 - 1 + i] = Int16GetDatum(0);
		nulls[Anum_pg_statistic_stakind1 - 1 + i] = false;
		values[Anum_pg_statistic_staop1 - 1 + i] =
			ObjectIdGetDatum(InvalidOid);
		nulls[Anum_pg_statistic_staop1 - 1 + i] = false;
		values[Anum_pg_statistic_stacoll1 - 1 + i] =
			ObjectIdGetDatum(InvalidOid);
		nulls[Anum_pg_statistic_stacoll1 - 1 + i] = false;
	}
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
	table_close(catalog, AccessShareLock);
	return tuple;
}

/* Has ANALYZE looked at a column? */
static bool
is_analyzed(const RangeTblEntry *rte, AttrNumber attnum)
{
	return SearchSysCacheExists3(STATRELATTINH,
								 ObjectIdGetDatum(rte->relid),
								 Int16GetDatum(attnum),
								 BoolGetDatum(rte->inh));
}

/*
 * distinct_values
 *		How many a column of a table holds, as in pg_stats; 0 if not known.
 *
 * Of the key of a table that cannot be listed: one for each reply, so that a
 * join has the rows of one request for each key.
 */
static double
distinct_values(const ApigouvTable *table, int column)
{
	double		n_distinct = table->columns[column].n_distinct;

	if (n_distinct < 0 || apigouv_route_is_listable(table))
		return n_distinct;
	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];
		int			first = 0;

		while (first < route->nparams &&
			   !apigouv_route_needs_condition(&route->params[first]))
			first++;
		if (first < route->nparams && route->params[first].column == column)
			return -1 / Max(table->rows, 1);
	}
	return n_distinct;
}

/*
 * relation_stats
 *		The planner's hook: statistics of a column of our foreign tables.
 */
static bool
relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
			   VariableStatData *vardata)
{
	const ApigouvRelInfo *info;
	int			column;
	double		n_distinct;

	if (previous_hook != NULL && previous_hook(root, rte, attnum, vardata))
		return true;
	if (vardata->rel == NULL || !apigouv_plan_is_ours(vardata->rel) ||
		vardata->rel->fdw_private == NULL)
		return false;
	info = vardata->rel->fdw_private;
	if (attnum <= 0 || attnum > info->map.natts)
		return false;
	column = info->map.column_of[attnum - 1];
	if (column < 0)
		return false;
	n_distinct = distinct_values(info->options->table, column);
	if (info->options->table->columns[column].source.kind ==
		APIGOUV_SOURCE_ECHO)
	{
		if (n_distinct == 0)
			return true;		/* no statistics, rather than false ones */
	}
	else if (n_distinct == 0 || is_analyzed(rte, attnum))
		return false;

	vardata->statsTuple = make_statistics(rte->relid, attnum, n_distinct);
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = true;
	return true;
}

/* Install the hook; from _PG_init. */
void
apigouv_stats_install(void)
{
	previous_hook = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
}
