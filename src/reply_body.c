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
 * Replies that hold personal data or secrets are not counted: they stay in
 * memory, and leave with the transaction.
 *
 * Not here: the file (spill.c), pins (xact_cache.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "reply_body.h"
#include "spill.h"

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
	return reply->spilled_at >= 0 && reply->transfer->body == NULL;
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
	bytes_in_memory += reply->transfer->body_len - reply->in_memory;
	reply->in_memory = reply->transfer->body_len;
	if (reply->pins > 0 || reply->is_resident)
		return;
	dlist_push_tail(&resident, &reply->resident_node);
	reply->is_resident = true;
}

/* Move a body to the temporary file, or drop it when it is there already. */
static void
spill(ApigouvReply *reply)
{
	ApigouvTransfer *transfer = reply->transfer;

	if (reply->spilled_at < 0)
	{
		reply->spilled_at = apigouv_spill_write(transfer->body,
												transfer->body_len);
		reply->spilled_len = transfer->body_len;
	}
	apigouv_body_leave(reply);
	free(transfer->body);
	transfer->body = NULL;
	transfer->body_len = 0;
}

/* Bring a body back from the file; malloc'd, NULL (errno is set) if not. */
char *
apigouv_body_load(const ApigouvReply *reply)
{
	char	   *body = malloc(reply->spilled_len + 1);

	if (body == NULL)
		return NULL;
	body[reply->spilled_len] = '\0';
	if (apigouv_spill_read(reply->spilled_at, body, reply->spilled_len))
		return body;
	free(body);
	return NULL;
}

/*
 * apigouv_cache_trim
 *		Bring the replies in memory back under cache_size.
 *
 * To be called where many may have come.  Raises what the server raises when
 * a temporary file cannot be written or is too large.
 */
void
apigouv_cache_trim(void)
{
	size_t		bound = (size_t) apigouv_cache_size * 1024;

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
