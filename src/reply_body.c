/*-------------------------------------------------------------------------
 *
 * reply_body.c
 *		Bodies of the transaction's replies: in memory, or in its file.
 *
 * Bodies of replies that have ended count against cache_size.  Past it, those
 * that nobody has pinned go to the transaction's temporary file, the longest
 * unread first; pinning brings one back.  A body is written once: what was in
 * the file is only freed when it has to go again.
 *
 * A long body goes there piece by piece while its rows are read: what lies
 * behind the row is written, and its memory given back to the system.  The
 * bytes keep their addresses, which then hold zeros: the body is lost until
 * it is restored.  Only what one reader alone has pinned can be.
 *
 * Replies that hold personal data or secrets are not counted: they stay in
 * memory, and leave with the transaction.
 *
 * Not here: the file (spill.c), pins (xact_cache.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "utils/memutils.h"

#include "messages.h"
#include "reply_body.h"
#include "spill.h"

/* A piece is so long at least; what is read behind it stays in memory. */
#define PIECE_BYTES (4 * 1024 * 1024)

/* A body so long leaves no hole in the heap when it goes to the file. */
#define LONG_BODY (1024 * 1024)

/* those whose body could go to the temporary file, the longest unread first */
static dlist_head resident = DLIST_STATIC_INIT(resident);
static size_t bytes_in_memory = 0;	/* of all replies that could */

/* Is a reply whole? */
bool
apigouv_body_is_whole(const ApigouvReply *reply)
{
	return reply->transfer->state == APIGOUV_TRANSFER_ENDED &&
		reply->transfer->failure == APIGOUV_FAILURE_NONE;
}

bool
apigouv_body_is_spilled(const ApigouvReply *reply)
{
	return reply->spilled && reply->transfer->body == NULL;
}

/* The body of a reply is about to be read: it stays in memory. */
void
apigouv_body_keep(ApigouvReply *reply)
{
	if (reply->is_resident)
		dlist_delete(&reply->resident_node);
	reply->is_resident = false;
}

/* The body of a reply counts no more: it goes, or is nobody's business. */
void
apigouv_body_leave(ApigouvReply *reply)
{
	apigouv_body_keep(reply);
	bytes_in_memory -= reply->in_memory;
	reply->in_memory = 0;
}

/*
 * Count the body of a reply that has ended, and let it go to the file unless
 * somebody reads it.  Neither raises nor allocates.
 */
void
apigouv_body_enter(ApigouvReply *reply)
{
	if (!reply->route->may_be_kept || !apigouv_body_is_whole(reply) ||
		reply->transfer->body == NULL)
		return;
	bytes_in_memory -= reply->in_memory;
	reply->in_memory = reply->transfer->body_len;
	if (reply->is_lost)
		reply->in_memory -= reply->written_to - reply->written_from;
	bytes_in_memory += reply->in_memory;
	if (reply->pins > 0 || reply->is_resident)
		return;
	dlist_push_tail(&resident, &reply->resident_node);
	reply->is_resident = true;
}

/*
 * Give the memory of a body's part back to the system; it then reads as
 * zeros.  False when it is all still there.
 */
static bool
give_back(char *body, size_t from, size_t to)
{
	uintptr_t	page = (uintptr_t) sysconf(_SC_PAGESIZE);
	uintptr_t	first = ((uintptr_t) body + from + page - 1) / page * page;
	uintptr_t	last = ((uintptr_t) body + to) / page * page;

	return first < last &&
		madvise((void *) first, last - first, MADV_DONTNEED) == 0;
}

/* Write a part of a body to the temporary file. */
static void
write_piece(ApigouvReply *reply, size_t from, size_t to)
{
	ApigouvPiece *piece;

	if (from == to)
		return;
	/* the room first: what was written must not be forgotten */
	if (reply->pieces == NULL)
		reply->pieces = MemoryContextAlloc(GetMemoryChunkContext(reply),
										   sizeof(ApigouvPiece));
	else
		reply->pieces = repalloc(reply->pieces, sizeof(ApigouvPiece) *
								 (reply->npieces + 1));
	piece = &reply->pieces[reply->npieces];
	piece->at = from;
	piece->len = to - from;
	piece->written_at = apigouv_spill_write(reply->transfer->body + from,
											piece->len);
	reply->npieces++;
}

/* Move a body to the temporary file, or drop it when it is there already. */
static void
spill(ApigouvReply *reply)
{
	ApigouvTransfer *transfer = reply->transfer;

	if (!reply->spilled)
	{
		write_piece(reply, reply->written_to, transfer->body_len);
		reply->written_to = transfer->body_len;
		write_piece(reply, 0, reply->written_from);
		reply->written_from = 0;
		reply->spilled_len = transfer->body_len;
		reply->spilled = true;
	}
	apigouv_body_leave(reply);
	/* the heap would keep what stands between other bodies */
	if (transfer->body_len >= LONG_BODY)
		(void) give_back(transfer->body, 0, transfer->body_len);
	free(transfer->body);
	transfer->body = NULL;
	transfer->body_len = 0;
	reply->is_lost = false;
}

/* Read what the file holds of a body; false (errno is set) if it cannot be. */
static bool
read_pieces(const ApigouvReply *reply, char *body)
{
	for (int i = 0; i < reply->npieces; i++)
	{
		const		ApigouvPiece *piece = &reply->pieces[i];

		if (!apigouv_spill_read(piece->written_at, body + piece->at,
								piece->len))
			return false;
	}
	return true;
}

/* Bring a body back from the file; malloc'd, NULL (errno is set) if not. */
char *
apigouv_body_load(const ApigouvReply *reply)
{
	char	   *body = malloc(reply->spilled_len + 1);

	if (body == NULL)
		return NULL;
	body[reply->spilled_len] = '\0';
	if (read_pieces(reply, body))
		return body;
	free(body);
	return NULL;
}

/*
 * apigouv_body_restore
 *		Have all of a body in memory again that has lost a part of it.
 *
 * False (errno is set) when it cannot be.  Does not raise.
 */
bool
apigouv_body_restore(ApigouvReply *reply)
{
	if (!reply->is_lost)
		return true;
	if (!read_pieces(reply, reply->transfer->body))
		return false;
	reply->is_lost = false;
	if (reply->in_memory > 0)
		apigouv_body_enter(reply);
	return true;
}

/* Take the body of a reply for another cache; malloc'd.  Does not raise. */
bool
apigouv_body_take(ApigouvReply *reply, ApigouvSaved *saved)
{
	if (apigouv_body_is_spilled(reply))
	{
		saved->body = apigouv_body_load(reply);
		return saved->body != NULL;
	}
	if (!apigouv_body_restore(reply))
		return false;
	saved->body = reply->transfer->body;
	apigouv_body_leave(reply);
	reply->transfer->body = NULL;
	reply->transfer->body_len = 0;
	return true;
}

/* The body is to come anew: what is in the file is not its own. */
void
apigouv_body_renew(ApigouvReply *reply)
{
	reply->spilled = false;
	reply->is_lost = false;
	reply->npieces = 0;
	reply->written_from = reply->written_to = 0;
}

/*
 * apigouv_cache_behind
 *		Rows have been read to the end of a body's part from "from" to "to",
 *		and only they would be read again: its memory is wanted for the rows
 *		that follow.
 *
 * Does nothing while that is not worth it, or somebody else reads the body.
 * Raises as apigouv_cache_trim does.
 */
void
apigouv_cache_behind(ApigouvReply *reply, size_t from, size_t to)
{
	if (reply->written_to > 0)
		from = reply->written_to;
	if (to < from + PIECE_BYTES || reply->pins != 1 || reply->spilled ||
		!reply->route->may_be_kept)
		return;
	write_piece(reply, from, to);
	if (reply->written_to == 0)
		reply->written_from = from;
	reply->written_to = to;
	if (give_back(reply->transfer->body, reply->written_from, to))
		reply->is_lost = true;
}

/*
 * apigouv_cache_whole
 *		Have all of a body in memory again, to look at more than its next row.
 */
void
apigouv_cache_whole(ApigouvReply *reply)
{
	if (!apigouv_body_restore(reply))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file: %m")));
}

/*
 * apigouv_cache_trim
 *		Bring the replies in memory back under cache_size; under half of it
 *		while others are on their way, which may take the other half.
 *
 * To be called where many may have come.  Raises what the server raises when
 * a temporary file cannot be written or is too large.
 */
void
apigouv_cache_trim(void)
{
	size_t		bound = (size_t) apigouv_cache_size * 1024;

	if (apigouv_http_is_busy())
		bound /= 2;
	while (bytes_in_memory > bound && !dlist_is_empty(&resident))
		spill(dlist_head_element(ApigouvReply, resident_node, &resident));
}

/* End of the transaction: count anew, and remove the file.  Does not raise. */
void
apigouv_body_reset(void)
{
	dlist_init(&resident);
	bytes_in_memory = 0;
	apigouv_spill_close();
}
