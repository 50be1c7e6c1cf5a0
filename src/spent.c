/*-------------------------------------------------------------------------
 *
 * spent.c
 *		Requests that this session has sent, and a bound on them.
 *
 * For work that spans transactions under a budget, such as apigouv_refresh:
 * apigouv_fdw.max_requests_per_query bounds one statement, does not count
 * retries, and not everybody may set it.  A bound set here can only take away,
 * from the session that sets it, so everybody may.
 *
 * It ends with its transaction: a session that is handed to somebody else by
 * a pool, or goes on after an error, has none.
 *
 * Not here: counting (admit.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/int.h"
#include "fmgr.h"

#include "http.h"
#include "messages.h"

PG_FUNCTION_INFO_V1(apigouv_session_requests);
PG_FUNCTION_INFO_V1(apigouv_bound_requests);

/* At the end of every transaction. */
static void
end_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		apigouv_http_bound(PG_INT64_MAX);
}

/*
 * apigouv_session_requests()
 *		Requests that this session has sent since it began, retries, access
 *		tokens and documents included.
 */
Datum
apigouv_session_requests(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(apigouv_http_sent());
}

/*
 * apigouv_bound_requests(bigint)
 *		Until the transaction ends, the session sends at most so many more
 *		requests, counted as above; NULL: as many as it likes.
 */
Datum
apigouv_bound_requests(PG_FUNCTION_ARGS)
{
	static bool is_registered = false;
	int64		most = PG_INT64_MAX;

	if (!PG_ARGISNULL(0))
	{
		if (PG_GETARG_INT64(0) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("number of requests must not be negative")));
		if (pg_add_s64_overflow(apigouv_http_sent(), PG_GETARG_INT64(0),
								&most))
			most = PG_INT64_MAX;
	}
	if (!is_registered)
		RegisterXactCallback(end_transaction, NULL);
	is_registered = true;
	apigouv_http_bound(most);
	PG_RETURN_VOID();
}
