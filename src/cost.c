/*-------------------------------------------------------------------------
 *
 * cost.c
 *		What requests and rows cost.
 *
 * A query on an API waits: for round trips, max_concurrency at a time; for
 * its turn, when it makes more requests than a limit allows in one window;
 * for the bytes of its rows.  All three are times, and one unit of cost
 * stands for UNIT_MS of them, so that they can be compared.  What the server
 * itself does is priced in the same unit by its own settings, a little too
 * high: it hardly matters beside a request.
 *
 * The price of a request is the DBA's (request_cost).  What limits impose is
 * not priced but known: the rates are those of the definition and of the
 * server's options limits and role_limits.  How much of a window is spent
 * already is not looked at: a plan may be used for days.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "budget.h"
#include "cost.h"
#include "limit.h"

/*
 * Time that one unit of cost stands for: a request of cost 200, the default,
 * takes 50 ms.  A shorter one would start the server's JIT compiler while a
 * query only waits.
 */
#define UNIT_MS 0.25

/* What a row takes to travel, at 20 MB/s, and to be read. */
#define TRANSFER_BYTES_PER_MS 20000.0
#define DECODING_BYTES_PER_MS 250000.0
#define DECODING_ROW_MS 0.003

/*
 * What a request takes beside its round trip, relative to it.  Of two plans
 * that wait for as many round trips, that of fewer requests is better.
 */
#define EACH_REQUEST 0.004

/*
 * How much dearer a plan is that would be refused for its requests.  Not more:
 * a LIMIT may stop it before that.
 */
#define REFUSED_TIMES 10

/* Time that a number of requests takes without limits, in ms. */
static double
round_trips_ms(const ApigouvOptions *options, double requests)
{
	return options->request_cost * UNIT_MS *
		(ceil(requests / options->max_concurrency) +
		 requests * EACH_REQUEST);
}

/*
 * under_limit_ms
 *		Time that a number of requests takes under one limit, in ms.
 *
 * All windows but the last are full; in each, the requests may take longer
 * than the window.
 */
static double
under_limit_ms(const ApigouvOptions *options, int limit, double requests)
{
	double		rate = apigouv_limit_rate(options, GetUserId(), limit);
	double		full = Max(ceil(requests / rate) - 1, 0);
	double		window_ms = options->limits[limit].window_ms +
	options->limits[limit].margin_ms;

	if (full == 0)
		return 0;
	return full * Max(window_ms, round_trips_ms(options, rate)) +
		round_trips_ms(options, requests - full * rate);
}

void
apigouv_cost_count(const ApigouvOptions *options, int limit, double requests,
				   ApigouvRequestCount *count)
{
	const ApigouvApi *api = options->api;

	count->total += requests;
	if (api->nlimits == 0)
		return;
	if (count->of_limit == NULL)
		count->of_limit = palloc0(sizeof(double) * api->nlimits);
	if (limit >= 0)
		count->of_limit[limit] += requests;
	if (api->ip_limit >= 0 && api->ip_limit != limit)
		count->of_limit[api->ip_limit] += requests;
}

Cost
apigouv_cost_of_count(const ApigouvOptions *options,
					  const ApigouvRequestCount *count)
{
	double		limited_ms = 0;
	Cost		cost;

	if (count->total <= 0)
		return 0;
	for (int i = 0; count->of_limit != NULL && i < options->api->nlimits; i++)
	{
		if (count->of_limit[i] > 0)
			limited_ms = Max(limited_ms,
							 under_limit_ms(options, i, count->of_limit[i]));
	}
	cost = Max(round_trips_ms(options, count->total), limited_ms) / UNIT_MS;
	if ((apigouv_max_requests_per_query > 0 &&
		 count->total > apigouv_max_requests_per_query) ||
		(apigouv_max_duration_ms >= 0 &&
		 limited_ms > apigouv_max_duration_ms))
		cost *= REFUSED_TIMES;
	return cost;
}

Cost
apigouv_cost_requests(const ApigouvOptions *options,
					  const ApigouvRoute *route, double requests)
{
	ApigouvRequestCount count = {0};
	Cost		cost;

	apigouv_cost_count(options, route->limit, requests, &count);
	cost = apigouv_cost_of_count(options, &count);
	if (count.of_limit != NULL)
		pfree(count.of_limit);
	return cost;
}

Cost
apigouv_cost_rows(const ApigouvOptions *options, const ApigouvRoute *route,
				  double rows)
{
	double		bytes = options->table->row_bytes;

	return rows / UNIT_MS *
		(bytes / TRANSFER_BYTES_PER_MS + bytes / DECODING_BYTES_PER_MS +
		 DECODING_ROW_MS);
}
