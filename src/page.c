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
 * are being read means that the API reloaded its data.  If no row has been
 * returned yet the list is read anew; otherwise the query fails, since it
 * would mix two states.  Fewer rows than announced is an error as well,
 * never a shorter result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan_state.h"

/* Times a list is read anew because it changed. */
#define MAX_RESTARTS 5

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
 * A row more than wanted is asked for, so that a LIMIT that meets the end of
 * the list needs no second request to know it: the total tells.
 */
void
apigouv_page_first(const ApigouvScanState *state, const ApigouvTask *task,
				   ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);

	if (paging->style == APIGOUV_PAGING_NONE)
		return;
	page->at = paging->style == APIGOUV_PAGING_PAGE ? 1 : 0;
	if (state->first_rows > 0 &&
		state->first_rows < (paging->stable ? paging->default_size
							 : paging->all_size))
		page->size = accepted_size(paging, state->first_rows);
	else if (paging->stable)
		page->size = accepted_size(paging, paging->default_size);
	else
		ask_everything(paging, paging->all_size, page);
}

/* The page that follows in a list whose order is stable. */
static bool
next_stable(const ApigouvTask *task, const ApigouvPage *last,
			ApigouvPage *page)
{
	const ApigouvPaging *paging = paging_of(task);
	int			size = accepted_size(paging, paging->default_size);
	int64		seen = paging->style == APIGOUV_PAGING_PAGE
	? (int64) last->at * last->size : (int64) last->at + last->size;

	if (task->total >= 0 && seen >= task->total)
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
		return next_stable(task, last, page);
	if (task->total >= 0 && last->size >= task->total)
		return false;
	ask_everything(paging,
				   Max(paging->all_size,
					   task->total >= 0 ? everything_above(task->total) : 0),
				   page);
	if (last->everything && page->size <= last->size)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
				 errmsg("foreign server \"%s\" holds more rows than one request can bring",
						state->options->server_name),
				 errhint("Add conditions to the query.")));
	return true;
}

/* Read a list anew: its replies no longer count. */
static void
restart(ApigouvScanState *state, ApigouvTask *task)
{
	ListCell   *lc;

	if (state->returned > 0 || task->restarts >= MAX_RESTARTS)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("data of foreign server \"%s\" changed while they were read",
						state->options->server_name),
				 errhint("Run the query again.")));
	foreach(lc, task->pages)
		apigouv_cache_forget(((ApigouvPage *) lfirst(lc))->reply);
	task->restarts++;
	task->pages = NIL;
	task->total = -1;
	task->position = 0;
	task->page_rows = 0;
	task->state = APIGOUV_TASK_NEW;
}

/* Raise the error of a list that ends before its announced total. */
static void
raise_incomplete(const ApigouvScanState *state, int64 rows, int64 total)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("foreign server \"%s\" announced " INT64_FORMAT " rows and sent " INT64_FORMAT,
					state->options->server_name, total, rows),
			 errhint("Run the query again.")));
}

/*
 * apigouv_page_ended
 *		Check a page that was read to its end.
 *
 * total: rows it announced, -1 = none.  False when the list must be read
 * anew.  Raises ERRCODE_T_R_SERIALIZATION_FAILURE when it is too late for
 * that.
 */
bool
apigouv_page_ended(ApigouvScanState *state, ApigouvTask *task,
				   const ApigouvPage *page, int64 total)
{
	const ApigouvPaging *paging = paging_of(task);

	if (paging->style == APIGOUV_PAGING_NONE)
		return true;
	if (task->total >= 0 && total != task->total)
	{
		restart(state, task);
		return false;
	}
	if (total < 0)				/* no total: a short page is the last */
		task->total = task->page_rows < page->size
			? task->position + task->page_rows : -1;
	else
		task->total = total;
	if (page->everything || !paging->stable)
	{
		if (total >= 0 && task->page_rows < Min(total, page->size))
			raise_incomplete(state, task->page_rows, total);
	}
	else
	{
		int64		start = paging->style == APIGOUV_PAGING_PAGE
		? (int64) (page->at - 1) * page->size : page->at;

		if (total >= 0 &&
			task->page_rows < Min(page->size, Max(total - start, 0)))
			raise_incomplete(state, start + task->page_rows, total);
	}
	task->position += task->page_rows - page->skip;
	return true;
}
