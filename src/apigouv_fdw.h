/*-------------------------------------------------------------------------
 *
 * apigouv_fdw.h
 *		What crosses from the planner to the executor, and the callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_FDW_H
#define APIGOUV_FDW_H

#include "foreign/fdwapi.h"
#include "nodes/pathnodes.h"

#include "option.h"

/*
 * Items of ForeignScan.fdw_private, made by plan.c and upper.c.  Columns are
 * positions in the API definition, expressions are positions in fdw_exprs.
 */
enum ApigouvPlanItem
{
	/* list of routes: (Integer route, list of bindings) */
	APIGOUV_PLAN_ROUTES,
	/* bindings on columns that are constant within a route of a union */
	APIGOUV_PLAN_CONSTANT_QUALS,
	/* IntList: columns to read */
	APIGOUV_PLAN_COLUMNS,

	/*
	 * IntList: may stop early (0 or 1), rows wanted at first (0 = all), rows
	 * that are read in any case (0 = not known)
	 */
	APIGOUV_PLAN_HINTS,

	/*
	 * String: key column without a value, or APIGOUV_NO_COLUMN; empty when a
	 * route serves
	 */
	APIGOUV_PLAN_MISSING,
	/* Float: requests foreseen */
	APIGOUV_PLAN_REQUESTS,

	/*
	 * Integer: conditions that the scan checks itself, so that EXPLAIN does
	 * not show them: the last of fdw_exprs and of fdw_recheck_quals
	 */
	APIGOUV_PLAN_HIDDEN,
	/* Integer: 1 when a missing key may give no row (probe.c), else 0 */
	APIGOUV_PLAN_PROBE
};

/* No route takes the conditions together, and no column is to blame. */
#define APIGOUV_NO_COLUMN "*"

/* Items of a binding: an IntList. */
enum ApigouvBindingItem
{
	APIGOUV_BINDING_TARGET,		/* parameter of the route, or column */
	APIGOUV_BINDING_EXPR,
	APIGOUV_BINDING_OP,
	APIGOUV_BINDING_IS_ARRAY
};

/* plan.c */
extern void apigouvGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
									 Oid foreigntableid);
extern void apigouvGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
								   Oid foreigntableid);
extern ForeignScan *apigouvGetForeignPlan(PlannerInfo *root,
										  RelOptInfo *baserel,
										  Oid foreigntableid,
										  ForeignPath *best_path, List *tlist,
										  List *scan_clauses,
										  Plan *outer_plan);
extern bool apigouv_plan_is_ours(const RelOptInfo *rel);
extern List *apigouv_plan_keys(const ForeignPath *path, Relids relids);
extern double apigouv_plan_requests(const ForeignPath *path);
extern Cost apigouv_plan_cost(const ForeignPath *path, double times,
							  double different);

extern List *apigouv_plan_routes(const List *matched, List **exprs);
extern Node *apigouv_plan_number(double number);
extern List *apigouv_plan_columns(const Bitmapset *columns);

/* upper.c */
extern void apigouvGetForeignUpperPaths(PlannerInfo *root,
										UpperRelationKind stage,
										RelOptInfo *input_rel,
										RelOptInfo *output_rel, void *extra);

/* scan.c */
extern void apigouvBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *apigouvIterateForeignScan(ForeignScanState *node);
extern void apigouvReScanForeignScan(ForeignScanState *node);
extern void apigouvEndForeignScan(ForeignScanState *node);

/* async.c */
extern bool apigouvIsForeignPathAsyncCapable(ForeignPath *path);
extern void apigouvForeignAsyncRequest(AsyncRequest *areq);
extern void apigouvForeignAsyncConfigureWait(AsyncRequest *areq);
extern void apigouvForeignAsyncNotify(AsyncRequest *areq);

/* explain.c */
extern void apigouvExplainForeignScan(ForeignScanState *node,
									  struct ExplainState *es);

/* analyze.c */
extern bool apigouvAnalyzeForeignTable(Relation relation,
									   AcquireSampleRowsFunc * func,
									   BlockNumber * totalpages);

/* import.c */
extern List *apigouvImportForeignSchema(ImportForeignSchemaStmt *stmt,
										Oid serverOid);

#endif							/* APIGOUV_FDW_H */
