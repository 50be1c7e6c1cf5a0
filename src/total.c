/*-------------------------------------------------------------------------
 *
 * total.c
 *		Executing count(*) by the total that a list announces.
 *
 * The scan gives one row, the counts, all of them the same number: the sum of
 * the totals of its tasks, a request each, for a page of one row.  Where the
 * transaction or a cache has the first page of a list as a scan of its rows
 * would ask for it, that page is read instead, and nothing is sent for it.
 *
 * Never a number that is in doubt: a value that cannot be sent as it is, tasks
 * whose rows may overlap, a reply that makes a row of its own, without total,
 * or whose total is no number that its rows bear out, and the plan below
 * reads the rows and counts them.  It is begun with this scan and costs
 * nothing until then.
 *
 * Not here: when a total may be asked for (upper.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "binding.h"
#include "budget.h"
#include "compat.h"
#include "messages.h"
#include "progress.h"
#include "total.h"
#include "value.h"

/* Of a scan that asks for totals. */
typedef struct ApigouvTotal
{
	bool		given;			/* the row was */
} ApigouvTotal;

/* No total that can be relied on. */
#define NO_TOTAL (-1)

/* The foreign table that a scan reads or counts, in the range table. */
Index
apigouv_total_relid(const ForeignScanState *node)
{
	const ForeignScan *plan = (const ForeignScan *) node->ss.ps.plan;

	if (plan->scan.scanrelid > 0)
		return plan->scan.scanrelid;
	return bms_singleton_member(apigouv_scan_relids(plan));
}

/* Make a scan one that counts a foreign table, which the plan has locked. */
void
apigouv_total_begin(ApigouvScanState *state, Oid relid)
{
	state->rel = table_open(relid, NoLock);
	state->total = MemoryContextAllocZero(state->scan_cxt,
										  sizeof(ApigouvTotal));
}

void
apigouv_total_again(ApigouvScanState *state)
{
	state->total->given = false;
}

void
apigouv_total_end(ApigouvScanState *state)
{
	table_close(state->rel, NoLock);
}

/*
 * are_plain
 *		Is every value of the conditions sent, and as it is?
 *
 * Values that are left out, dropped or for another route are the business of
 * the scan that reads rows, with its warnings and errors.
 */
static bool
are_plain(const ApigouvScanState *state, ExprContext *econtext)
{
	const ApigouvScanRoute *sroute = &state->routes[0];

	for (int i = 0; i < sroute->nbindings; i++)
	{
		const ApigouvScanBinding *binding = &sroute->bindings[i];
		const ApigouvParam *param = &sroute->route->params[binding->target];
		ApigouvBindValues values;
		bool		isnull;
		Datum		value = ExecEvalExpr(list_nth(state->expr_states,
												  binding->expr),
										 econtext, &isnull);
		Oid			type = exprType(list_nth(state->exprs, binding->expr));

		if (apigouv_binding_values(param, binding->op, value, isnull, type,
								   binding->is_array,
								   &values) != APIGOUV_BIND_OK ||
			values.values == NIL || values.malformed > 0)
			return false;
	}
	return true;
}

/*
 * prepare
 *		Ask for a page of one row, but where a cache has the first page that a
 *		scan of the rows would ask for: it announces the total as well.
 */
static void
prepare(ApigouvScanState *state)
{
	state->first_rows = 1;
	for (int i = 0; i < state->ntasks; i++)
	{
		ApigouvTask *task = &state->tasks[i];

		task->is_at_hand = apigouv_ask_is_entitled(state,
												   task->sroute->route) &&
			apigouv_ask_has_list(state, task);
	}
}

/* The whole number that a JSON value is, or NO_TOTAL. */
static int64
whole_number(const ApigouvValue *value)
{
	char	   *text;
	char	   *end;
	int64		number;

	if (value->kind != APIGOUV_NUMBER)
		return NO_TOTAL;
	text = apigouv_value_cstring(value);
	errno = 0;
	number = strtoi64(text, &end, 10);
	return errno == 0 && *end == '\0' && number >= 0 ? number : NO_TOTAL;
}

/*
 * total_of
 *		The total that a page announces, NO_TOTAL when it is in doubt.
 *
 * The page is read to its end: it must hold the rows that such a total leaves
 * it.
 */
static int64
total_of(const ApigouvReader *reader, const ApigouvPage *page,
		 ApigouvValue *values)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	ApigouvUnnest *stream = apigouv_unnest_create(reader->nesting);
	ApigouvRowResult result;
	int64		rows;
	int64		total = NO_TOTAL;

	if (stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	do
		result = apigouv_unnest_next(stream, transfer->body,
									 transfer->body_len, true, values);
	while (result == APIGOUV_ROW);
	rows = apigouv_unnest_position(stream, 0);
	if (result == APIGOUV_ROW_END && reader->total_index >= 0 &&
		apigouv_rowstream_found(apigouv_unnest_outer(stream)))
	{
		ApigouvValue value =
		apigouv_rowstream_envelope(apigouv_unnest_outer(stream),
								   transfer->body, reader->total_index);

		total = whole_number(&value);
	}
	apigouv_unnest_free(stream);
	return total != NO_TOTAL && rows == Min(total, page->size) ? total
		: NO_TOTAL;
}

/* The total of a task whose reply holds rows, or NO_TOTAL. */
static int64
read_total(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page)
{
	ApigouvScanRoute *sroute = task->sroute;
	ApigouvValue *values;
	int64		total;

	if (sroute->reader == NULL)
		sroute->reader = apigouv_tuple_reader(state->tupler, sroute->route);
	values = palloc(sizeof(ApigouvValue) * sroute->reader->nvalues);
	total = total_of(sroute->reader, page, values);
	apigouv_advance_count(state, page);
	if (total != NO_TOTAL && !task->is_at_hand)
		apigouv_ask_confirm(state, page);
	return total;
}

/* Wait for a task's reply, and judge it; true when it holds rows. */
static bool
await(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page)
{
	MemoryContext old;
	bool		rows;

	while (page->reply->transfer->state != APIGOUV_TRANSFER_ENDED)
		apigouv_advance_move(state, -1);
	apigouv_cache_pin(page->hold);
	old = MemoryContextSwitchTo(state->batch_cxt);
	rows = apigouv_advance_judge(state, task, page);
	MemoryContextSwitchTo(old);
	return rows;
}

/*
 * count_task
 *		The number of rows of a task, NO_TOTAL when they must be read.
 *
 * Raises the errors that a scan of the rows would raise for such a reply.
 */
static int64
count_task(ApigouvScanState *state, ApigouvTask *task)
{
	int64		total = NO_TOTAL;

	apigouv_advance_window(state);
	while (task->state == APIGOUV_TASK_READING)
	{
		ApigouvPage *page = linitial(task->pages);

		CHECK_FOR_INTERRUPTS();
		if (!await(state, task, page))
			continue;			/* its state changed, or it is asked again */
		total = read_total(state, task, page);
		apigouv_advance_leave(task);
		if (total == NO_TOTAL && !task->is_at_hand)
			apigouv_page_forget(task);	/* nobody else has use for it */
		task->state = APIGOUV_TASK_DONE;
		return total;
	}
	apigouv_advance_leave(task);
	/* a reply that says "none", unlike one that makes a row */
	return task->state == APIGOUV_TASK_DONE ? 0 : NO_TOTAL;
}

/* The sum of the totals, NO_TOTAL when one of them is in doubt. */
static int64
sum_of_totals(ForeignScanState *node)
{
	ApigouvScanState *state = node->fdw_state;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	int64		sum = 0;

	if (!are_plain(state, econtext))
		return NO_TOTAL;
	apigouv_ask_begin(state);
	apigouv_progress_at(state->progress);
	apigouv_task_make(state, econtext);
	if (state->may_repeat)
		return NO_TOTAL;
	prepare(state);
	apigouv_budget_check(state);
	state->begun = true;
	for (int i = 0; i < state->ntasks; i++)
	{
		int64		total;

		state->current = i;
		total = count_task(state, &state->tasks[i]);
		if (total == NO_TOTAL || pg_add_s64_overflow(sum, total, &sum))
			return NO_TOTAL;
	}
	return sum;
}

/*
 * count_rows
 *		Let the plan below read the rows, and take its first count.
 *
 * Like any node it expects the query's context, and keeps tuples there; this
 * scan's own is reset for each row.
 */
static int64
count_rows(ForeignScanState *node)
{
	MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);
	TupleTableSlot *slot = ExecProcNode(outerPlanState(node));
	bool		isnull;

	MemoryContextSwitchTo(old);
	return DatumGetInt64(slot_getattr(slot, 1, &isnull));
}

/*
 * apigouv_total_next
 *		The row of counts, then an empty slot.
 */
TupleTableSlot *
apigouv_total_next(ForeignScanState *node)
{
	ApigouvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	int64		waited = apigouv_http_quota_waited();
	int64		count;

	ExecClearTuple(slot);
	if (state->total->given)
		return slot;
	count = sum_of_totals(node);
	state->counts.quota_wait_us += apigouv_http_quota_waited() - waited;
	if (count == NO_TOTAL)
		count = count_rows(node);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = Int64GetDatum(count);
		slot->tts_isnull[i] = false;
	}
	state->total->given = true;
	return ExecStoreVirtualTuple(slot);
}

/* Tell whose total is asked for. */
void
apigouv_total_explain(const ApigouvScanState *state, ExplainState *es)
{
	const char *schema = es->verbose
	? get_namespace_name(RelationGetNamespace(state->rel)) : NULL;

	ExplainPropertyText("Total Of",
						quote_qualified_identifier(schema,
												   RelationGetRelationName(state->rel)),
						es);
}
