/*-------------------------------------------------------------------------
 *
 * plan.h
 *		What a path of a foreign table will do, for whoever makes its plan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_PLAN_H
#define APIGOUV_PLAN_H

#include "route.h"

/* What a path will do; ForeignPath.fdw_private holds one in a list. */
typedef struct ApigouvPathPlan
{
	List	   *routes;			/* of ApigouvRouteMatch: of a union, one per
								 * source; else the best, then those that may
								 * replace it at execution */
	List	   *constant_quals; /* of ApigouvQual */
	double		requests;
	double		in_turn;		/* requests before the first row */
	Cost		cost;			/* of the requests and their rows */
	const char *missing;		/* key column without a value, or NULL */
	bool		is_probe;		/* probe.c's: no row may stand for that */
} ApigouvPathPlan;

#endif							/* APIGOUV_PLAN_H */
