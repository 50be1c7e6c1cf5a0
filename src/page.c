/*-------------------------------------------------------------------------
 *
 * page.c
 *		A list that comes in pages: which to ask for, and whether all rows
 *		have come.
 *
 * When the order of a list is stable, pages follow each other.  When it is
 * not, a page can repeat rows of another and lose some, so all rows are
 * asked for in one request; under a LIMIT a small page comes first, and its
 * rows are dropped from the big one by their unique column.
 *
 * The total that each page announces is held to: one that changes while rows
 * are being read means that the API reloaded its data.  The query fails then,
 * since it would mix two states; run again, even within the transaction, it
 * asks anew.  Rows that lack, or that were not asked for, are errors as well,
 * never a shorter or longer result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "messages.h"
#include "scan_state.h"
#include "value.h"

/* Room above an announced total, for rows that come meanwhile. */
#define everything_above(total) ((total) + (total) / 10 + 1000)

static const ApigouvPaging *
paging_of(const ApigouvTask *task)
{
	return &task->sroute->route->paging;
}

/* Largest page that the API accepts, at most `size` rows. */
static int
accepted_size(const ApigouvPaging *paging, int64 size)
{
	if (paging->max_size > 0 && size > paging->max_size)
		return paging->max_size;
	return (int) Min(size, INT_MAX);
}

/* Ask for all rows in one request. */
static void
ask_everything(const ApigouvPaging *paging, int64 size, ApigouvPage *page)
{
	page->size = accepted_size(paging, size);
	page->at = 0;
	page->everything = true;
}

/*
 * apigouv_page_first
 *		Fill what the first page of a task asks for.
 *
 * Under a LIMIT as many rows as it wants; the total tells whether more
 * follow.  But nothing need be sent where a cache has the page that all rows
 * begin with.
 */
void
apigouv_page_first(const ApigouvScanState *state, const ApigouvTask *task,
				   ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);

	if (paging->style == APIGOUV_PAGING_NONE)
		return;
	page->at = paging->style == APIGOUV_PAGING_PAGE ? 1 : 0;
	if (state->first_rows > 0 && !task->is_at_hand &&
		state->first_rows < (paging->stable ? paging->default_size
							 : paging->all_size))
		page->size = accepted_size(paging, state->first_rows);
	else if (paging->stable)
		page->size = accepted_size(paging, paging->default_size);
	else
		ask_everything(paging, paging->all_size, page);
}

/* The page that follows in a list of a total, whose order is stable. */
static bool
next_stable(const ApigouvTask *task, const ApigouvPage *last, int64 total,
			ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);
	int			size = accepted_size(paging, paging->default_size);
	int64		seen = paging->style == APIGOUV_PAGING_PAGE
	? (int64) last->at * last->size : (int64) last->at + last->size;

	if (total >= 0 && seen >= total)
		return false;
	page->size = size;
	if (paging->style == APIGOUV_PAGING_OFFSET)
		page->at = (int) seen;
	else
	{
		page->at = (int) (seen / size) + 1;
		page->skip = (int) (seen % size);
	}
	return true;
}

/* Number of rows before those of a page, in a list whose order is stable. */
int64
apigouv_page_start(const ApigouvTask *task, const ApigouvPage *page)
{
	return paging_of(task)->style == APIGOUV_PAGING_PAGE
		? (int64) (page->at - 1) * page->size : page->at;
}

/*
 * apigouv_page_next
 *		Fill what the page after `last` asks for; false when there is none.
 *
 * Without a total, a list goes on while its pages are full, so the next page
 * is known only once the last one was read.
 */
bool
apigouv_page_next(ApigouvScanState *state, ApigouvTask *task,
				  const ApigouvPage *last, ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);

	memset(page, 0, sizeof(*page));
	if (paging->style == APIGOUV_PAGING_NONE)
		return false;
	if (paging->stable)
		return next_stable(task, last, task->total, page);
	if (task->total >= 0 && last->size >= task->total)
		return false;
	ask_everything(paging,
				   Max(paging->all_size,
					   task->total >= 0 ? everything_above(task->total) : 0),
				   page);
	if (last->everything && page->size <= last->size)
	{
		apigouv_page_forget(task);
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
				 errmsg("foreign server \"%s\" holds more rows than one request can bring",
						state->options->server_name),
				 errhint("Add conditions to the query.")));
	}
	return true;
}

/*
 * apigouv_page_foresee
 *		Fill what the page after `last` asks for, were the total this one.
 *
 * False as well when that cannot be told before the last page was read.
 */
bool
apigouv_page_foresee(const ApigouvTask *task, const ApigouvPage *last,
					 int64 total, ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);

	memset(page, 0, sizeof(*page));
	return paging->style != APIGOUV_PAGING_NONE && paging->stable &&
		next_stable(task, last, total, page);
}

/* The total that a value of a reply tells; -1 if it is none. */
int64
apigouv_page_total(ApigouvValue value)
{
	char	   *text;
	char	   *end;
	int64		total;

	if (value.kind != APIGOUV_NUMBER)
		return -1;
	text = apigouv_value_cstring(&value);
	total = strtoll(text, &end, 10);
	return *end == '\0' && total >= 0 ? total : -1;
}

/*
 * apigouv_page_forget
 *		Let the pages of a task be asked anew, whoever asks.
 *
 * To be called before an error that running the query again may cure.
 */
void
apigouv_page_forget(ApigouvTask *task)
{
	ListCell   *lc;

	foreach(lc, task->asked)
		apigouv_cache_forget(lfirst(lc));
	task->asked = NIL;
}

/*
 * apigouv_page_failed
 *		Let a page that got an error be asked anew, and those ahead that were
 *		not answered either.
 *
 * The pages read so far are as good as before: a retry goes on from there.
 * Not so when they came from the cluster's files, which go as a whole.
 */
void
apigouv_page_failed(ApigouvTask *task, const ApigouvPage *page)
{
	ListCell   *lc;

	if (page->reply->origin == APIGOUV_RING_SHARED)
	{
		apigouv_page_forget(task);
		return;
	}
	foreach(lc, task->asked)
	{
		ApigouvReply *reply = lfirst(lc);

		if (reply == page->reply || !apigouv_cache_is_final(reply))
			apigouv_cache_forget(reply);
	}
}

/*
 * apigouv_page_changed
 *		Raise the error of a list that changed between two of its pages.
 */
void
apigouv_page_changed(const ApigouvScanState *state, ApigouvTask *task)
{
	apigouv_page_forget(task);
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("data of foreign server \"%s\" changed while they were read",
					state->options->server_name),
			 errhint("Run the query again.")));
}

/* Raise the error of a list that ends before its announced total. */
static void
raise_incomplete(const ApigouvScanState *state, ApigouvTask *task,
				 int64 rows, int64 total)
{
	apigouv_page_forget(task);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("foreign server \"%s\" announced %lld rows and sent %lld",
					state->options->server_name, (long long) total,
					(long long) rows),
			 errhint("Run the query again.")));
}

/* Raise the error of a page that holds more rows than were asked for. */
static void
raise_surplus(const ApigouvScanState *state, ApigouvTask *task,
			  const ApigouvPage *page)
{
	apigouv_page_forget(task);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("foreign server \"%s\" was asked for %d rows and sent %d",
					state->options->server_name, page->size,
					task->page_rows)));
}

/*
 * apigouv_page_ended
 *		Check a page that was read to its end.
 *
 * total: rows it announced, -1 = none.  Raises
 * ERRCODE_T_R_SERIALIZATION_FAILURE when it is not the total of the pages
 * before, ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION when rows lack or
 * are too many.
 */
void
apigouv_page_ended(const ApigouvScanState *state, ApigouvTask *task,
				   const ApigouvPage *page, int64 total)
{
	const ApigouvPaging *paging = paging_of(task);
	int64		start = page->everything ? 0 : apigouv_page_start(task, page);

	if (paging->style == APIGOUV_PAGING_NONE)
		return;
	if (task->total >= 0 && total != task->total)
		apigouv_page_changed(state, task);
	if (task->page_rows > page->size)
		raise_surplus(state, task, page);
	if (total < 0)				/* no total: a short page is the last */
		task->total = task->page_rows < page->size
			? start + task->page_rows : -1;
	else
		task->total = total;
	if (total >= 0 &&
		task->page_rows < Min(page->size, Max(total - start, 0)))
		raise_incomplete(state, task, start + task->page_rows, total);
}
