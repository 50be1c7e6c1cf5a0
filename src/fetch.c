/*-------------------------------------------------------------------------
 *
 * fetch.c
 *		The rows of a scan's tasks, one by one.
 *
 * Tasks are read in order; those that follow are begun ahead, so that their
 * replies travel together: at once when all rows are wanted, by 1, 2, 4 ...
 * when the query may stop early.  Replies in pages, and long lists that come
 * in one reply, are decoded as their bytes arrive; others once they are whole,
 * since they are small.
 *
 * Not here: what a reply means, and which tasks are begun (advance.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "messages.h"
#include "pivot.h"
#include "progress.h"
#include "scan_state.h"
#include "texthash.h"
#include "value.h"

/*
 * A list that does not come in pages is long from so many bytes on.  A shorter
 * one is read when it is whole: if it is lost on its way it is asked again,
 * and a key whose reply is no JSON can give the row of a failure.
 */
#define LONG_LIST_BYTES (1024 * 1024)

/* ---- rows ---- */

/* Frees a task's streams, at the latest when its scan's memory goes. */
static void
free_streams(void *arg)
{
	ApigouvTask *task = arg;

	apigouv_unnest_free(task->stream);
	apigouv_unnest_free(task->envelope);
	task->stream = NULL;
	task->envelope = NULL;
}

/* Let the streams that a task is about to open go with the scan's memory. */
static void
own_streams(ApigouvScanState *state, ApigouvTask *task)
{
	MemoryContextCallback *callback =
	MemoryContextAllocZero(state->batch_cxt,
						   sizeof(MemoryContextCallback));

	free_streams(task);
	callback->func = free_streams;
	callback->arg = task;
	MemoryContextRegisterResetCallback(state->batch_cxt, callback);
}

static void
raise_no_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* The reader of a task's route, made on first use. */
static ApigouvReader *
reader_of(ApigouvScanState *state, ApigouvTask *task)
{
	ApigouvScanRoute *sroute = task->sroute;

	if (sroute->reader == NULL)
		sroute->reader = apigouv_tuple_reader(state->tupler, sroute->route);
	if (sroute->reader->nvalues > state->nvalues)
	{
		state->values = MemoryContextAlloc(state->scan_cxt,
										   sizeof(ApigouvValue) *
										   sroute->reader->nvalues);
		state->nvalues = sroute->reader->nvalues;
	}
	return sroute->reader;
}

/* Read a whole reply for the values around its rows; false if it cannot be. */
static bool
read_envelope(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
			  ApigouvReader *reader)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	ApigouvUnnest *stream;
	ApigouvRowResult result;
	size_t		offset;
	const char *why;

	stream = task->envelope = apigouv_unnest_create(reader->nesting);
	if (stream == NULL)
		raise_no_memory();
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = apigouv_unnest_next(stream, transfer->body,
									 transfer->body_len, true,
									 state->values);
	} while (result == APIGOUV_ROW);
	if (result != APIGOUV_ROW_ERROR)
		return true;
	why = apigouv_unnest_error(stream, &offset);
	apigouv_advance_refuse_body(state, task, page, why, offset);
	return false;
}

/* The facts of a row that are the same for all rows of a page. */
static void
fill_row(const ApigouvTask *task, const ApigouvReader *reader,
		 const ApigouvTransfer *transfer, ApigouvRow *row)
{
	memset(row, 0, sizeof(*row));
	row->reader = reader;
	row->echo = task->echo;
	row->received = transfer && transfer->replied_at != 0
		? transfer->replied_at : GetCurrentTimestamp();
	row->status = transfer ? transfer->status : 0;
	row->code = task->judgement.code;
	row->title = task->judgement.title;
}

/*
 * tells_its_key
 *		Will the row made for a failed key pass the conditions on keys?
 *
 * It does not when one request was to answer for several keys, which the
 * row cannot name: the filter would drop it, and nothing be left of the
 * failure but a warning.
 */
static bool
tells_its_key(const ApigouvScanState *state, const TupleTableSlot *slot)
{
	int			att = -1;

	while ((att = bms_next_member(state->filtered_keys, att)) >= 0)
	{
		if (slot->tts_isnull[att])
			return false;
	}
	return true;
}

/* Give the row that a task makes. */
static bool
give_made_row(ApigouvScanState *state, ApigouvTask *task,
			  TupleTableSlot *slot)
{
	ApigouvReader *reader = reader_of(state, task);
	ApigouvTransfer *from = task->made_from;
	ApigouvRow	row;
	ApigouvValue whole;
	const char *error;

	fill_row(task, reader, from, &row);
	row.set[0] = task->made[0];
	row.set[1] = task->made[1];
	row.error = task->made_error;
	if (from != NULL && from->body_len > 0 &&
		apigouv_value_parse(from->body, from->body_len, &whole, &error))
		row.whole = &whole;
	apigouv_tuple_store(state->tupler, &row, slot);
	if (row.error != NULL && !state->options->table->is_union &&
		!tells_its_key(state, slot))
		apigouv_failure_raise(state, task, NULL, from);
	task->emitted++;
	task->state = APIGOUV_TASK_DONE;
	return true;
}

/* An entry of the table of rows returned: the text of a unique column. */
typedef struct SeenEntry
{
	char	   *key;
} SeenEntry;

/*
 * key_of_row
 *		What tells a row from another: its unique column, and the inputs that
 *		it came for.  NULL if it has no such value.
 *
 * What comes for two inputs makes a row of each.
 */
static char *
key_of_row(const ApigouvScanState *state, const ApigouvTask *task,
		   const ApigouvRow *row, int unique)
{
	const ApigouvRoute *route = task->sroute->route;
	char	   *key = apigouv_tuple_text(state->tupler, row, unique);

	for (int i = 0; key != NULL && i < state->options->table->ncolumns; i++)
	{
		if (route->sources[i].kind == APIGOUV_SOURCE_ECHO &&
			task->echo[i] != NULL)
			key = psprintf("%s\n%s", key, task->echo[i]);
	}
	return key;
}

/*
 * is_duplicate
 *		Was this row returned before, by another page or task?
 *
 * Asked only where rows can come twice.
 */
static bool
is_duplicate(ApigouvScanState *state, ApigouvTask *task,
			 const ApigouvRow *row)
{
	int			column = task->sroute->route->paging.unique_column;
	bool		unstable = task->sroute->route->paging.style !=
	APIGOUV_PAGING_NONE && !task->sroute->route->paging.stable;
	char	   *key;
	bool		found;

	if (column < 0 ||
		!(state->may_repeat ||
		  (unstable && (state->first_rows > 0 || task->may_grow))))
		return false;
	if (state->seen == NULL)
		state->seen = texthash_create("apigouv_fdw rows seen",
									  sizeof(SeenEntry), 256,
									  state->batch_cxt);
	key = key_of_row(state, task, row, column);
	if (key == NULL)
		return false;
	if (hash_search(state->seen, &key, HASH_FIND, NULL) != NULL)
	{
		state->counts.duplicates++;
		return true;
	}
	key = MemoryContextStrdup(state->batch_cxt, key);
	hash_search(state->seen, &key, HASH_ENTER, &found);
	return false;
}

/* The total that a page has announced so far, -1 if none. */
static int64
announced_total(const ApigouvTask *task, const ApigouvReader *reader,
				const ApigouvTransfer *transfer)
{
	const ApigouvRowstream *outer = apigouv_unnest_outer(task->stream);

	if (reader->total_index < 0)
		return -1;
	return apigouv_page_total(apigouv_rowstream_envelope(outer,
														 transfer->body,
														 reader->total_index));
}

/*
 * A total that comes before the rows tells at once that the list has changed
 * since the page before: a LIMIT may stop before the page's end, where it is
 * looked at again.
 */
static void
check_total(ApigouvScanState *state, ApigouvTask *task,
			const ApigouvPage *page, const ApigouvReader *reader)
{
	int64		total;

	if (task->page_rows > 0 || task->total < 0)
		return;
	total = announced_total(task, reader, page->reply->transfer);
	if (total >= 0 && total != task->total)
		apigouv_page_changed(state, task);
}

/* The level of the outermost list that a reader's rows stand in. */
static int
outermost(const ApigouvReader *reader)
{
	return Max(reader->route->nlists - 1, 0);
}

/* What a row is made of that a stream has just given. */
static void
fill_read_row(const ApigouvScanState *state, const ApigouvTask *task,
			  const ApigouvPage *page, const ApigouvReader *reader,
			  ApigouvRow *row)
{
	fill_row(task, reader, page->reply->transfer, row);
	row->values = state->values;
	row->base = page->reply->transfer->body;
	if (task->envelope != NULL)
		row->stream = apigouv_unnest_outer(task->envelope);
	row->read = task->stream;
	row->before = apigouv_page_start(task, page);
}

/*
 * give_row
 *		Give a row of the page being read, unless it came before.
 *
 * Pages are of the outermost list: its elements are counted, and one that came
 * before did so with all its rows.
 */
static bool
give_row(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
		 ApigouvReader *reader, TupleTableSlot *slot)
{
	int			levels = outermost(reader);
	int			element = (int) apigouv_unnest_position(task->stream, levels);
	bool		is_first = element != task->page_rows;
	ApigouvRow	row;

	task->page_rows = element;
	if (state->values[reader->whole_index].kind != APIGOUV_OBJECT &&
		!reader->any_rows)
		apigouv_failure_not_object(state, task, page);
	if (element <= page->skip)
		return false;
	fill_read_row(state, task, page, reader, &row);
	if (is_first)
		task->came_before = is_duplicate(state, task, &row);
	if (task->came_before)
		return false;
	apigouv_tuple_store(state->tupler, &row, slot);
	task->emitted++;
	return true;
}

/* While rows of a page are given, those that follow travel. */
static void
look_ahead(ApigouvScanState *state, ApigouvTask *task)
{
	if (task->stream != NULL && !task->looked)
	{
		const ApigouvReader *reader = task->sroute->reader;
		const ApigouvPage *page = linitial(task->pages);

		apigouv_prefetch_look(state, task,
							  announced_total(task, reader,
											  page->reply->transfer),
							  state->values[reader->whole_index].len);
	}
	apigouv_prefetch_serve(state);
}

/* All pages of a task have been read: give them to the cluster. */
static void
share_read(ApigouvScanState *state, const ApigouvTask *task)
{
	if (task->all_ours)
		apigouv_cache_share(state->options,
							apigouv_ask_secrets(state, task->sroute->route),
							task->read);
}

/*
 * end_page
 *		A page was read to its end: check it, and ask for what follows.
 *
 * A route whose reply holds no row gives none, or the row that a union owes
 * for each source.
 */
static void
end_page(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
		 ApigouvReader *reader)
{
	const ApigouvRoute *route = task->sroute->route;
	const ApigouvTransfer *transfer = page->reply->transfer;
	bool		found =
	apigouv_rowstream_found(apigouv_unnest_outer(task->stream));
	int64		total = announced_total(task, reader, transfer);
	MemoryContext old;

	apigouv_advance_count(state, page);
	/* some elements may have had no row */
	task->page_rows = (int) apigouv_unnest_position(task->stream,
													outermost(reader));
	free_streams(task);
	if (!found && !route->rows_optional)
		apigouv_failure_no_rows(state, task, page);
	apigouv_page_ended(state, task, page, total);
	page->reply->read_whole = true;
	if (state->options->table->is_union && task->emitted == 0 &&
		route->paging.style == APIGOUV_PAGING_NONE)
	{
		share_read(state, task);
		apigouv_advance_make_row(task, &route->none, NULL, NULL, transfer);
		return;
	}

	apigouv_cache_unpin(page->hold);
	task->pages = list_delete_first(task->pages);
	task->page_rows = 0;
	old = MemoryContextSwitchTo(state->batch_cxt);
	apigouv_prefetch_ended(state, task, page);
	MemoryContextSwitchTo(old);
	if (task->pages == NIL)
	{
		share_read(state, task);
		task->state = APIGOUV_TASK_DONE;
	}
}

/*
 * wait_for
 *		Wait until the transfer of a page has ended, or streams more than seen
 *		bytes.
 *
 * Meanwhile the tasks begun ahead go on, which may replace the transfer by
 * one with a newer token.  Bytes are used only after apigouv_http_wait has
 * given them: from then on the HTTP engine does not send that request again.
 *
 * False when there is nothing yet and the scan must not block; would_block
 * then says so to whoever asked for a row.
 */
static bool
wait_for(ApigouvScanState *state, const ApigouvTask *task, ApigouvPage *page,
		 size_t seen, bool streaming)
{
	const ApigouvReply *reply = page->reply;

	do
	{
		while (reply->transfer->state != APIGOUV_TRANSFER_ENDED &&
			   !(streaming && reply->transfer->streaming &&
				 reply->transfer->body_len > seen))
		{
			if (state->must_not_block)
			{
				state->would_block = true;
				return false;
			}
			apigouv_advance_move(state, -1);
		}
	} while (apigouv_prefetch_again(state, task, page));
	if (reply->transfer->state != APIGOUV_TRANSFER_ENDED)
		apigouv_http_wait(reply->transfer, seen);
	return true;
}

/*
 * is_too_small
 *		Does a page that was to hold all rows announce more than it can?
 *
 * Then it is asked again larger, before any of its rows is returned.  When
 * the total comes after the rows, these are noted, to be dropped from the
 * larger page.
 */
static bool
is_too_small(ApigouvScanState *state, ApigouvTask *task,
			 const ApigouvPage *page, const ApigouvReader *reader)
{
	int64		total;
	ApigouvPage larger;
	MemoryContext old;

	if (!page->everything || task->page_rows > 0)
		return false;
	total = announced_total(task, reader, page->reply->transfer);
	task->may_grow = total < 0;
	if (total <= page->size)
		return false;
	old = MemoryContextSwitchTo(state->batch_cxt);
	free_streams(task);
	task->total = total;
	task->pages = NIL;
	apigouv_cache_unpin(page->hold);
	task->read = NIL;			/* the read begins again, larger */
	if (apigouv_page_next(state, task, page, &larger))
		apigouv_ask_queue(state, task, &larger);
	task->total = -1;			/* the larger page will tell its own */
	apigouv_cache_forget(page->reply);
	MemoryContextSwitchTo(old);
	return true;
}

/* Sort all elements of a reply into groups; false if it cannot be read. */
static bool
gather_groups(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
			  ApigouvReader *reader)
{
	const ApigouvTransfer *transfer = page->reply->transfer;
	ApigouvRowResult result;
	ApigouvRow	row;
	const char *why = NULL;
	size_t		offset = 0;

	task->pivot = apigouv_pivot_create(reader, state->batch_cxt);
	while ((result = apigouv_unnest_next(task->stream, transfer->body,
										 transfer->body_len, true,
										 state->values)) == APIGOUV_ROW)
	{
		const ApigouvValue *whole = &state->values[reader->whole_index];

		CHECK_FOR_INTERRUPTS();
		task->page_rows++;
		if (whole->kind != APIGOUV_OBJECT)
			apigouv_failure_not_object(state, task, page);
		fill_read_row(state, task, page, reader, &row);
		why = apigouv_pivot_add(task->pivot, &row);
		if (why != NULL)
			apigouv_failure_unreadable(state, task, page, true, why,
									   whole->text - transfer->body);
	}
	if (result == APIGOUV_ROW_END)
		return true;
	why = apigouv_unnest_error(task->stream, &offset);
	apigouv_pivot_free(task->pivot);
	task->pivot = NULL;
	apigouv_advance_refuse_body(state, task, page, why, offset);
	return false;
}

/*
 * read_groups
 *		The next row of a reply several of whose elements make a row.
 *
 * Such replies do not come in pages.  False: as for read_page.
 */
static bool
read_groups(ApigouvScanState *state, ApigouvTask *task, ApigouvPage *page,
			ApigouvReader *reader, TupleTableSlot *slot)
{
	const ApigouvGroup *group;
	ApigouvRow	row;

	if (task->pivot == NULL && !gather_groups(state, task, page, reader))
		return false;
	group = apigouv_pivot_next(task->pivot);
	if (group == NULL)
	{
		apigouv_pivot_free(task->pivot);
		task->pivot = NULL;
		end_page(state, task, page, reader);
		return false;
	}
	fill_read_row(state, task, page, reader, &row);
	row.group = group;
	row.values = group->values;
	apigouv_tuple_store(state->tupler, &row, slot);
	task->emitted++;
	return true;
}

/*
 * leave_behind
 *		Let the memory go of rows of a long reply that were given.
 */
static void
leave_behind(const ApigouvTask *task, const ApigouvPage *page)
{
	size_t		from;
	size_t		to;

	if (page->reply->transfer->state == APIGOUV_TRANSFER_ENDED ||
		task->envelope != NULL)
		return;
	apigouv_unnest_behind(task->stream, &from, &to);
	apigouv_cache_behind(page->reply, from, to);
}

/*
 * stream_from
 *		Bytes of a task's reply after which its rows are given while it comes;
 *		SIZE_MAX: once it is whole.
 *
 * A failure that is to give a row must be known before the first one.
 */
static size_t
stream_from(const ApigouvScanState *state, const ApigouvTask *task,
			const ApigouvReader *reader)
{
	const ApigouvRoute *route = task->sroute->route;
	bool		in_pages = route->paging.style != APIGOUV_PAGING_NONE;

	if (reader->needs_envelope || reader->pivot_index >= 0 ||
		apigouv_tuple_runs_code(state->tupler) ||
		!apigouv_reply_is_rows(route, !in_pages))
		return SIZE_MAX;
	if (in_pages)
		return 0;
	if (route->nlists == 0 || state->options->table->is_union ||
		(route->keyed && apigouv_on_failure == APIGOUV_ON_FAILURE_ROW))
		return SIZE_MAX;
	return LONG_LIST_BYTES;
}

/*
 * read_page
 *		The next row of the page at the head of a task's queue.
 *
 * False when the caller must look at the task's state again.
 */
static bool
read_page(ApigouvScanState *state, ApigouvTask *task, TupleTableSlot *slot)
{
	ApigouvPage *page = linitial(task->pages);
	ApigouvReader *reader = reader_of(state, task);
	const ApigouvTransfer *transfer;
	bool		complete;
	const char *why;
	size_t		offset;

	if (task->stream == NULL)
	{
		if (!wait_for(state, task, page, stream_from(state, task, reader),
					  true))
			return false;
		apigouv_cache_pin(page->hold);
		transfer = page->reply->transfer;
		if (transfer->state == APIGOUV_TRANSFER_ENDED)
		{
			MemoryContext old = MemoryContextSwitchTo(state->batch_cxt);
			bool		rows = apigouv_advance_judge(state, task, page);

			MemoryContextSwitchTo(old);
			if (!rows)
				return false;
		}
		own_streams(state, task);
		if (reader->needs_envelope &&
			!read_envelope(state, task, page, reader))
			return false;
		task->stream = apigouv_unnest_create(reader->nesting);
		if (task->stream == NULL)
			raise_no_memory();
		task->page_rows = 0;
		page->begun = true;
		state->counts.pages++;
	}

	transfer = page->reply->transfer;
	for (;;)
	{
		if (transfer->state == APIGOUV_TRANSFER_ENDED &&
			transfer->failure != APIGOUV_FAILURE_NONE)
		{
			/* lost while its rows were being returned */
			apigouv_cache_whole(page->reply);
			(void) apigouv_advance_judge(state, task, page);
			return false;
		}
		complete = transfer->state == APIGOUV_TRANSFER_ENDED;
		if (reader->pivot_index >= 0)
			return read_groups(state, task, page, reader, slot);
		leave_behind(task, page);
		switch (apigouv_unnest_next(task->stream, transfer->body,
									transfer->body_len, complete,
									state->values))
		{
			case APIGOUV_ROW:
				if (is_too_small(state, task, page, reader))
					return false;
				check_total(state, task, page, reader);
				if (give_row(state, task, page, reader, slot))
					return true;
				break;
			case APIGOUV_ROW_MORE:
				if (!wait_for(state, task, page, transfer->body_len, true))
					return false;
				break;
			case APIGOUV_ROW_END:
				if (!complete)
				{
					if (!wait_for(state, task, page, SIZE_MAX, false))
						return false;
					break;
				}
				end_page(state, task, page, reader);
				return false;
			case APIGOUV_ROW_ERROR:
				apigouv_cache_whole(page->reply);
				why = apigouv_unnest_error(task->stream, &offset);
				apigouv_advance_refuse_body(state, task, page, why, offset);
				return false;
		}
	}
}

/*
 * apigouv_fetch_stop
 *		The scan ends, or begins anew, perhaps before its last row.
 *
 * A LIMIT or an EXISTS leaves a reply half read.  One that is whole by itself
 * is worth keeping for the cluster all the same.
 */
void
apigouv_fetch_stop(ApigouvScanState *state)
{
	for (int i = state->current; i < state->ntasks; i++)
	{
		ApigouvTask *task = &state->tasks[i];
		ListCell   *lc;

		foreach(lc, task->pages)
		{
			ApigouvPage *page = lfirst(lc);

			page->begun = true; /* one not begun is no page read */
			apigouv_advance_count(state, page);
		}
		if (state->options->cache_ttl_s > 0 &&
			task->state == APIGOUV_TASK_READING && task->emitted > 0 &&
			task->sroute->route->paging.style == APIGOUV_PAGING_NONE)
			share_read(state, task);
	}
}

/*
 * Go on with the tasks until there is a row; false at the end, or when there
 * would be something to wait for and the scan must not block.
 */
static bool
next_row(ApigouvScanState *state, TupleTableSlot *slot)
{
	state->would_block = false;
	while (state->current < state->ntasks && !state->would_block)
	{
		ApigouvTask *task = &state->tasks[state->current];
		bool		given = false;

		CHECK_FOR_INTERRUPTS();
		switch (task->state)
		{
			case APIGOUV_TASK_NEW:
				apigouv_advance_window(state);
				break;
			case APIGOUV_TASK_LOOKUP:
				if (wait_for(state, task, &task->lookup, SIZE_MAX, false))
					apigouv_advance_window(state);
				break;
			case APIGOUV_TASK_READING:
				look_ahead(state, task);
				given = read_page(state, task, slot);
				break;
			case APIGOUV_TASK_MADE_ROW:
				given = give_made_row(state, task, slot);
				break;
			case APIGOUV_TASK_DONE:
				apigouv_advance_leave(task);
				state->current++;
				if (state->may_stop_early)
					state->window = Min(state->window * 2,
										state->options->max_concurrency * 2);
				apigouv_advance_window(state);
				break;
		}
		if (given)
			return true;
	}
	return false;
}

/*
 * apigouv_fetch_next
 *		Store the next row of a scan into a slot; false at the end, or with
 *		would_block set.
 */
bool
apigouv_fetch_next(ApigouvScanState *state, TupleTableSlot *slot)
{
	int64		waited = apigouv_http_quota_waited();
	bool		given;

	apigouv_progress_at(state->progress);
	given = next_row(state, slot);
	state->counts.quota_wait_us += apigouv_http_quota_waited() - waited;
	if (given && state->may_stop_early)
		apigouv_http_pause();	/* a cursor's client may think for long */
	return given;
}
