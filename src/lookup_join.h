/*-------------------------------------------------------------------------
 *
 * lookup_join.h
 *		Joins that ask for the keys of many outer rows together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_LOOKUP_JOIN_H
#define APIGOUV_LOOKUP_JOIN_H

#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

/* Items of CustomScan.custom_private. */
enum ApigouvLookupItem
{
	APIGOUV_LOOKUP_MAY_STOP_EARLY,	/* Boolean */
	APIGOUV_LOOKUP_MAY_GUESS,	/* Boolean: rows that the loop may never come
								 * to may be looked at */
	APIGOUV_LOOKUP_KEYS,		/* Float: different keys foreseen */
	APIGOUV_LOOKUP_REQUESTS		/* Float: requests foreseen */
};

/* CustomScan.custom_exprs: conditions without which no inner row matches. */

/* setting apigouv_fdw.enable_lookup_join */
extern bool apigouv_enable_lookup_join;

/* lookup_join.c: planning.  From _PG_init. */
extern void apigouv_lookup_install(void);

/* lookup_clause.c: what is evaluated ahead */
extern bool apigouv_lookup_may_fail(List *exprs);
extern bool apigouv_lookup_is_pure(List *exprs);
extern bool apigouv_lookup_plan_may_act(const PlannerGlobal *glob,
										Plan *plan);
extern List *apigouv_lookup_children(const Plan *plan);
extern List *apigouv_lookup_conditions(RelOptInfo *joinrel,
									   RelOptInfo *outerrel,
									   JoinType jointype, List *restrictlist);
extern List *apigouv_lookup_refer(List *conditions, List *tlist);

/* lookup_scan.c: execution */
extern const CustomScanMethods apigouv_lookup_scan_methods;

#endif							/* APIGOUV_LOOKUP_JOIN_H */
