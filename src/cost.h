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

/* Cost of a number of requests of a route, made in one go. */
extern Cost apigouv_cost_requests(const ApigouvOptions *options,
								  const ApigouvRoute *route, double requests);

/* Cost of the transfer and decoding of a number of rows of a route. */
extern Cost apigouv_cost_rows(const ApigouvOptions *options,
							  const ApigouvRoute *route, double rows);

#endif							/* APIGOUV_COST_H */
