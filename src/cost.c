/*-------------------------------------------------------------------------
 *
 * cost.c
 *		What requests and rows cost.
 *
 * What costs is the request: a round trip to the API.  One unit of cost is
 * a page read from disk, as everywhere; request_cost says how many of them a
 * request is worth, and a row that travels costs one row_cost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cost.h"

/*
 * Cost of one row of a list: the API's work, its way here, parsing.  About
 * 0.2 ms where a request of cost 200 takes 100 ms.  These costs stand for
 * waiting, which is why they are not higher: a list of some ten thousand rows
 * would start the server's JIT compiler for nothing.
 */
#define ROW_COST 0.4

Cost
apigouv_cost_requests(const ApigouvOptions *options,
					  const ApigouvRoute *route, double requests)
{
	if (requests <= 0)
		return 0;
	return options->request_cost *
		(1 + (requests - 1) / options->max_concurrency);
}

Cost
apigouv_cost_rows(const ApigouvOptions *options, const ApigouvRoute *route,
				  double rows)
{
	return rows * ROW_COST;
}
