/*-------------------------------------------------------------------------
 *
 * route.h
 *		Which routes can serve a foreign table under given conditions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ROUTE_H
#define APIGOUV_ROUTE_H

#include "option.h"
#include "qual.h"

/* A foreign table during planning; RelOptInfo.fdw_private. */
typedef struct ApigouvRelInfo
{
	ApigouvOptions *options;
	ApigouvColumnMap map;
	List	   *quals;			/* of ApigouvQual: own, then join clauses' */
	Bitmapset  *columns;		/* of the definition: to be read */
	Bitmapset  *conditioned;	/* mentioned by any condition */
	Bitmapset  *compared;		/* by one, or its part, that no null passes */
	double		tuples;			/* rows of the whole table */
	bool		may_stop_early; /* the query may not want all rows */
} ApigouvRelInfo;

/* A parameter of a route, and the condition that feeds it. */
typedef struct ApigouvMatch
{
	int			param;
	ApigouvQual *qual;
} ApigouvMatch;

/* A usable route. */
typedef struct ApigouvRouteMatch
{
	int			route;			/* position in the table */
	List	   *matches;		/* of ApigouvMatch */
	Relids		outer;			/* relations that feed it */
	Bitmapset  *spread;			/* filters that make several requests and
								 * could be left out */
	double		requests;		/* foreseen, lookups aside: all pages */
	double		lookups;		/* first requests foreseen */
	double		tasks;			/* sets of values, each a request or pages */
	double		rows;			/* that the API sends, foreseen */
	bool		exact;			/* every condition of the query is sent, and
								 * exactly so */
} ApigouvRouteMatch;

extern ApigouvRouteMatch *apigouv_route_match(PlannerInfo *root,
											  RelOptInfo *rel,
											  const ApigouvRelInfo *info,
											  int route, Relids outer,
											  const Bitmapset *left_out);
extern bool apigouv_route_is_listable(const ApigouvTable *table);
extern bool apigouv_route_needs_condition(const ApigouvParam *param);
extern bool apigouv_route_is_fed(const ApigouvRelInfo *info,
								 const ApigouvParam *param);
extern bool apigouv_route_lacks_input(const ApigouvRelInfo *info,
									  const ApigouvRoute *route);
extern bool apigouv_route_is_shut(const ApigouvRelInfo *info,
								  const ApigouvRoute *route);
extern bool apigouv_route_excluded(PlannerInfo *root, RelOptInfo *rel,
								   const ApigouvRelInfo *info, int route);
extern bool apigouv_route_has_constant(const ApigouvTable *table, int column);
extern const char *apigouv_route_constant(const ApigouvRoute *route,
										  int column, bool *found);

#endif							/* APIGOUV_ROUTE_H */
