/*-------------------------------------------------------------------------
 *
 * cost.h
 *		What requests and rows cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_COST_H
#define APIGOUV_COST_H

#include "nodes/nodes.h"

#include "option.h"

/* Requests that are made in one go. */
typedef struct ApigouvRequestCount
{
	double		total;
	double	   *of_limit;		/* beside the limits of the API, at most */
} ApigouvRequestCount;

/*
 * Count requests under a limit of the API, -1 for none, besides that of the
 * address.  The first call is on a count full of zeros.
 */
extern void apigouv_cost_count(const ApigouvOptions *options, int limit,
							   double requests, ApigouvRequestCount *count);

/* Cost of the requests counted. */
extern Cost apigouv_cost_of_count(const ApigouvOptions *options,
								  const ApigouvRequestCount *count);

/*
 * Cost of a number of requests of a route, made in one go: their round trips,
 * or what the limits make them wait if that is more.
 */
extern Cost apigouv_cost_requests(const ApigouvOptions *options,
								  const ApigouvRoute *route, double requests);

/* Cost of the transfer and decoding of a number of rows of a route. */
extern Cost apigouv_cost_rows(const ApigouvOptions *options,
							  const ApigouvRoute *route, double rows);

#endif							/* APIGOUV_COST_H */
