/*-------------------------------------------------------------------------
 *
 * quota_view.c
 *		SQL functions on the quota ledger.
 *
 * Not here: the ledger itself (quota.c, ledger.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "messages.h"
#include "quota_view.h"

/* Longest that a function tries to lock the ledger, in ms. */
#define LOCK_PATIENCE_MS 10000

#define QUOTA_COLUMNS	11

PG_FUNCTION_INFO_V1(apigouv_quota);
PG_FUNCTION_INFO_V1(apigouv_quota_forget_sent);

/* Called with the ledger locked: must not raise. */
static void
keep_row(const ApigouvQuotaRow *row, void *arg)
{
	ApigouvQuotaRows *rows = arg;

	rows->rows[rows->n++] = *row;
}

/* Is another attempt to lock the ledger wanted?  Raises when it is not. */
static bool
try_again(ApigouvGrant result, int tries)
{
	if (result == APIGOUV_QUOTA_GRANTED)
		return false;
	if (result == APIGOUV_QUOTA_BROKEN)
		ereport(ERROR,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("the quota ledger cannot be used"),
				 errdetail("%s.", apigouv_ledger_error())));
	if (tries >= LOCK_PATIENCE_MS)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the quota ledger within %d ms",
						LOCK_PATIENCE_MS)));
	CHECK_FOR_INTERRUPTS();
	pg_usleep(1000);
	return true;
}

ApigouvQuotaRows *
apigouv_quota_rows(void)
{
	ApigouvQuotaRows *rows = palloc(sizeof(ApigouvQuotaRows));
	int			tries = 0;

	do
		rows->n = 0;
	while (try_again(apigouv_quota_list(keep_row, rows), tries++));
	return rows;
}

/*
 * apigouv_quota
 *		The counters of the ledger, a row each.
 *
 * Makes the ledger if there is none, so that its first window has begun when
 * the first query comes.
 */
Datum
apigouv_quota(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ApigouvQuotaRows *rows;
	TimestampTz now;

	InitMaterializedSRF(fcinfo, 0);
	rows = apigouv_quota_rows();
	now = GetCurrentTimestamp();
	for (int i = 0; i < rows->n; i++)
	{
		const ApigouvQuotaRow *row = &rows->rows[i];
		Datum		values[QUOTA_COLUMNS] = {0};
		bool		nulls[QUOTA_COLUMNS] = {0};

		values[0] = CStringGetTextDatum(row->counter.api);
		values[1] = CStringGetTextDatum(row->counter.name);
		values[2] = CStringGetTextDatum(row->counter.counted_by);
		values[3] = CStringGetTextDatum(psprintf("%08x",
												 (uint32) row->counter.key[0]));
		nulls[4] = row->counter.role[0] == '\0';
		values[4] = CStringGetTextDatum(row->counter.role);
		values[5] = Int64GetDatum(row->allowed);
		values[6] = Int64GetDatum(row->counter.window_us / 1000);
		values[7] = Int64GetDatum(row->used);
		values[8] = Int64GetDatum(row->left);
		nulls[9] = row->closed_us == 0;
		values[9] = TimestampTzGetDatum(now + row->closed_us);
		values[10] = Int32GetDatum(row->waiting);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/*
 * apigouv_quota_forget
 *		Declare that nothing was sent.
 *
 * For superusers: it lifts every bound.
 */
Datum
apigouv_quota_forget_sent(PG_FUNCTION_ARGS)
{
	int			tries = 0;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to forget what was sent"),
				 errhint("Only a superuser may declare that no request was sent.")));
	while (try_again(apigouv_quota_forget(), tries++))
		;
	PG_RETURN_VOID();
}
