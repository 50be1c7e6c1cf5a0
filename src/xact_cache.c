/*-------------------------------------------------------------------------
 *
 * xact_cache.c
 *		Replies of this transaction, by request.
 *
 * The same request gets the same reply until the transaction ends: a 404 is
 * kept as well, while a reply that raised an error is forgotten, so that a
 * retry asks again.  Two scans that ask the same thing
 * at once share one transfer.  The key holds the foreign server, the role's
 * credentials and the whole request, its purpose included, so two roles or
 * two purposes never share a reply.
 *
 * A request that this transaction has not asked yet may be answered by what
 * a failed transaction left (kept.c) or by the cluster's files
 * (shared_cache.c), before it is sent; or another session has sent it a
 * moment ago, and its reply is waited for (flight.c).
 *
 * Everything here lives under TopTransactionContext.  At the end of the
 * transaction all transfers are cancelled and forgotten.  A subtransaction
 * that aborts leaves the replies it obtained; a transfer that it leaves
 * unfinished, such as one whose query was cancelled, is cancelled as soon as
 * no scan holds it, so that the same question is asked anew.  Scans are freed
 * after the abort was announced, hence the count of holders.
 *
 * Bodies may be in the temporary file (reply_body.c): whoever reads one pins
 * it first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "flight.h"
#include "kept.h"
#include "messages.h"
#include "reply_body.h"
#include "rowstream.h"
#include "send.h"
#include "texthash.h"
#include "token.h"
#include "xact_cache.h"

/* The hash table's entry; its key is the text itself, through a pointer. */
typedef struct CacheEntry
{
	const char *key;
	ApigouvReply *reply;
} CacheEntry;

static MemoryContext cache_cxt = NULL;
static HTAB *cache = NULL;
static bool callback_registered = false;
static uint64 generation = 0;	/* of the cache, so that late holders know */

/* replies first asked in a subtransaction that has not ended */
static dlist_head nested = DLIST_STATIC_INIT(nested);

static dlist_head all_replies = DLIST_STATIC_INIT(all_replies);

struct ApigouvHold
{
	ApigouvReply *reply;
	uint64		generation;
	bool		pinned;
	MemoryContextCallback callback;
};

/* ----------------------------------------------------------------
 *		bodies that are read
 * ----------------------------------------------------------------
 */

/*
 * apigouv_cache_pin
 *		Have the body of a reply in memory until it is unpinned, or its hold
 *		ends.
 */
void
apigouv_cache_pin(ApigouvHold *hold)
{
	ApigouvReply *reply = hold->reply;

	if (hold->pinned)
		return;
	if (apigouv_body_is_spilled(reply))
	{
		char	   *body = apigouv_body_load(reply);

		if (body == NULL)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read from temporary file: %m")));
		reply->transfer->body = body;
		reply->transfer->body_len = reply->spilled_len;
		apigouv_body_enter(reply);
	}
	apigouv_cache_whole(reply);
	apigouv_body_keep(reply);
	reply->pins++;
	hold->pinned = true;
}

static void
unpin(ApigouvHold *hold)
{
	if (!hold->pinned)
		return;
	hold->pinned = false;
	hold->reply->pins--;
	if (hold->reply->transfer != NULL)
		apigouv_body_enter(hold->reply);
}

/*
 * apigouv_cache_unpin
 *		The body of a reply is not read any more, for now.
 */
void
apigouv_cache_unpin(ApigouvHold *hold)
{
	unpin(hold);
	apigouv_cache_trim();
}

/* ----------------------------------------------------------------
 *		replies that were not sent in this transaction
 * ----------------------------------------------------------------
 */

/* A transfer that has ended and brought what was saved; takes the body. */
static ApigouvTransfer *
restore_transfer(ApigouvSaved *saved)
{
	ApigouvTransfer *transfer = calloc(1, sizeof(ApigouvTransfer));

	if (transfer == NULL)
	{
		free(saved->body);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	transfer->state = APIGOUV_TRANSFER_ENDED;
	transfer->status = saved->status;
	transfer->body = saved->body;
	transfer->body_len = saved->body_len;
	strlcpy(transfer->request_id, saved->request_id,
			sizeof(transfer->request_id));
	strlcpy(transfer->content_type, saved->content_type,
			sizeof(transfer->content_type));
	transfer->retry_after_s = -1;
	transfer->limit_total = -1;
	transfer->limit_remaining = -1;
	transfer->limit_reset = -1;
	transfer->replied_at = saved->received;
	return transfer;
}

/* What a cache keeps of a reply, but its body. */
static void
save_head(const ApigouvReply *reply, ApigouvSaved *saved)
{
	const ApigouvTransfer *transfer = reply->transfer;

	memset(saved, 0, sizeof(*saved));
	saved->status = transfer->status;
	strlcpy(saved->request_id, transfer->request_id,
			sizeof(saved->request_id));
	strlcpy(saved->content_type, transfer->content_type,
			sizeof(saved->content_type));
	saved->received = transfer->replied_at;
	saved->body_len = apigouv_body_is_spilled(reply) ? reply->spilled_len
		: transfer->body_len;
}

/* Free the transfer of a reply, cancelled if it has not ended. */
static void
drop_transfer(ApigouvReply *reply)
{
	ApigouvTransfer *transfer = reply->transfer;

	apigouv_body_leave(reply);
	reply->transfer = NULL;
	if (transfer->private != NULL)
		apigouv_http_release(transfer);
	else
	{
		free(transfer->body);
		free(transfer);
	}
}

/*
 * is_final
 *		Does a reply say what the API holds, or that it holds nothing?
 *
 * Then it is worth keeping; errors and what would be asked again are not.
 * One that no scan has read to its end must be JSON at least.  Neither raises
 * nor allocates: the judgement of an error's body does, and was made when it
 * came.
 */
static bool
is_final(const ApigouvReply *reply, const char *body, size_t len)
{
	ApigouvJudgement judgement;
	ApigouvTransfer transfer;
	ApigouvValue document;
	const char *error;

	if (!apigouv_body_is_whole(reply))
		return false;
	if (reply->read_whole || reply->says_nothing)
		return true;
	if (reply->transfer->status >= 300 || reply->is_lost)
		return false;
	transfer = *reply->transfer;
	transfer.body = unconstify(char *, body);
	transfer.body_len = len;
	apigouv_reply_judge(reply->api, reply->route, &transfer, true,
						&judgement);
	switch (judgement.verdict)
	{
		case APIGOUV_REPLY_NO_ROW:
		case APIGOUV_REPLY_ROW:
			return true;
		case APIGOUV_REPLY_ROWS:
			return body != NULL &&
				apigouv_value_parse(body, len, &document, &error);
		default:
			return false;
	}
}

/*
 * apigouv_cache_is_final
 *		Does a reply say what the API holds, or that it holds nothing?
 */
bool
apigouv_cache_is_final(const ApigouvReply *reply)
{
	return is_final(reply, reply->transfer->body, reply->transfer->body_len);
}

/*
 * keep_replies
 *		At the end of the transaction, keep what it has paid for if it failed,
 *		and what an earlier failure left in any case.
 *
 * In the order of asking, as much as cache_size allows: the first page of a
 * list is what a retry needs first.  What does not fit is freed before more
 * is brought back from the temporary file.  Does not raise.
 */
static void
keep_replies(bool failed)
{
	size_t		room = (size_t) apigouv_cache_size * 1024;
	bool		lists_end = false;
	dlist_iter	iter;

	if (apigouv_keep_after_error_s == 0 || proc_exit_inprogress)
		return;
	room -= Min(room, apigouv_kept_bytes());
	dlist_foreach(iter, &all_replies)
	{
		ApigouvReply *reply = dlist_container(ApigouvReply, all_node,
											  iter.cur);
		ApigouvSaved saved;
		bool		is_page;

		if (reply->forgotten || reply->transfer == NULL ||
			reply->kept_epoch != apigouv_kept_epoch() ||
			!reply->route->may_be_kept || reply->fresh ||
			!apigouv_body_is_whole(reply) ||
			reply->origin == APIGOUV_RING_SHARED ||
			(reply->origin == APIGOUV_RING_SENT && !failed))
			continue;
		save_head(reply, &saved);
		is_page = reply->route->paging.style != APIGOUV_PAGING_NONE;
		if (saved.body_len > room || (is_page && lists_end))
		{
			/* the pages that follow would be of no use without it */
			lists_end = lists_end || is_page;
			if (!apigouv_body_is_spilled(reply))
				drop_transfer(reply);
			continue;
		}
		if (!apigouv_body_take(reply, &saved))
			continue;
		if (is_final(reply, saved.body, saved.body_len))
		{
			room -= saved.body_len;
			apigouv_kept_add(reply->key, reply->serverid, reply->table,
							 &saved, reply->kept_since);
		}
		else
			free(saved.body);
	}
}

/* ----------------------------------------------------------------
 *		ends of transactions and subtransactions
 * ----------------------------------------------------------------
 */

/*
 * Is this the end that an error has brought about?  The server forgets the
 * statement's text before it recovers from an error, while a ROLLBACK that
 * the user asked for is a statement under way: whoever rolls back wants to
 * begin afresh.
 */
static bool
is_failure(XactEvent event)
{
	return event == XACT_EVENT_ABORT && debug_query_string == NULL;
}

/* Free what is not in memory contexts.  Does not raise. */
static void
free_all(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_replies)
	{
		ApigouvReply *reply = dlist_container(ApigouvReply, all_node,
											  iter.cur);

		if (reply->transfer != NULL && reply->transfer->private == NULL)
			drop_transfer(reply);
		if (reply->set != NULL)
			apigouv_shared_close(reply->set);
	}
	apigouv_http_abort_all();
}

/* End of a transaction: nothing of it may stay. */
static void
forget_all(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			if (cache != NULL)
				keep_replies(is_failure(event));
			free_all();
			apigouv_flight_release_all();
			cache = NULL;
			cache_cxt = NULL;
			dlist_init(&nested);
			dlist_init(&all_replies);
			apigouv_body_reset();
			generation++;
			break;
		default:
			break;
	}
}

/* A reply of a subtransaction becomes the transaction's. */
static void
leave_nested(ApigouvReply *reply)
{
	if (reply->is_nested)
		dlist_delete(&reply->node);
	reply->is_nested = false;
}

/*
 * apigouv_cache_land
 *		Nobody is to wait for a reply any more: the cluster has it, or will not
 *		get it from here.  Never raises.
 */
void
apigouv_cache_land(ApigouvReply *reply)
{
	if (reply->claimed)
		apigouv_flight_release(&reply->name);
	reply->claimed = false;
}

/* Let the next asking of this transaction send the request anew. */
static void
forget_here(ApigouvReply *reply)
{
	apigouv_cache_land(reply);
	if (!reply->forgotten)
		hash_search(cache, &reply->key, HASH_REMOVE, NULL);
	reply->forgotten = true;
}

/* Free a reply that nobody holds, and forget its request. */
static void
discard_reply(ApigouvReply *reply)
{
	forget_here(reply);
	leave_nested(reply);
	if (reply->transfer != NULL)
		drop_transfer(reply);
	if (reply->set != NULL)
		apigouv_shared_close(reply->set);
	dlist_delete(&reply->all_node);
	pfree(unconstify(char *, reply->key));
	if (reply->pieces != NULL)
		pfree(reply->pieces);
	pfree(reply);
}

/*
 * end_subtransaction
 *		What an aborted subtransaction left unfinished, or broken, is not to be
 *		waited for; what it obtained is its parent's.
 */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subid,
				   SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	if (cache == NULL || (event != SUBXACT_EVENT_COMMIT_SUB &&
						  event != SUBXACT_EVENT_ABORT_SUB))
		return;
	dlist_foreach_modify(iter, &nested)
	{
		ApigouvReply *reply = dlist_container(ApigouvReply, node, iter.cur);

		if (reply->subid != subid)
			continue;
		reply->subid = parent;
		if (parent == TopSubTransactionId)
			leave_nested(reply);
		if (event == SUBXACT_EVENT_ABORT_SUB)
			apigouv_cache_land(reply);
		if (event == SUBXACT_EVENT_COMMIT_SUB || reply->transfer == NULL ||
			apigouv_body_is_whole(reply))
			continue;
		if (reply->users == 0)
			discard_reply(reply);
		else
			reply->suspect = true;
	}
}

/*
 * A memory context that held a reply goes.  A request that waits to be sent,
 * be it for a connection, and is nobody's any more is not to be sent, nor to
 * keep a slot or a place in the queue for one; what an aborted subtransaction
 * left unfinished is cancelled.
 */
static void
release_hold(void *arg)
{
	ApigouvHold *hold = arg;
	ApigouvReply *reply = hold->reply;

	if (hold->generation != generation)
		return;
	unpin(hold);
	if (--reply->users > 0)
		return;
	apigouv_cache_land(reply);
	if (reply->transfer == NULL)
		return;
	if (reply->forgotten || apigouv_http_is_unsent(reply->transfer) ||
		(reply->suspect && !apigouv_body_is_whole(reply)))
		discard_reply(reply);
}

/*
 * apigouv_cache_hold
 *		Let a reply be held until a memory context is reset.
 */
ApigouvHold *
apigouv_cache_hold(ApigouvReply *reply, MemoryContext cxt)
{
	ApigouvHold *hold = MemoryContextAlloc(cxt, sizeof(ApigouvHold));

	hold->reply = reply;
	hold->generation = generation;
	hold->pinned = false;
	hold->callback.func = release_hold;
	hold->callback.arg = hold;
	MemoryContextRegisterResetCallback(cxt, &hold->callback);
	reply->users++;
	return hold;
}

/*
 * apigouv_cache_prepare
 *		Make the cache of this transaction, if there is none yet.
 *
 * From then on the end of the transaction cancels every transfer.
 */
void
apigouv_cache_prepare(void)
{
	if (!callback_registered)
	{
		RegisterXactCallback(forget_all, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		callback_registered = true;
	}
	if (cache != NULL)
		return;
	(void) apigouv_kept_bytes();	/* drops what is past its time */
	cache_cxt = AllocSetContextCreate(TopTransactionContext,
									  "apigouv_fdw replies",
									  ALLOCSET_DEFAULT_SIZES);
	cache = texthash_create("apigouv_fdw replies", sizeof(CacheEntry), 64,
							cache_cxt);
}

/* ----------------------------------------------------------------
 *		asking
 * ----------------------------------------------------------------
 */

/*
 * Retry hook of the replies kept here; takes note of one that is final.  One
 * that the cluster cannot have is not waited for any more, unless it will be
 * asked again with a new token.
 */
static bool
retry_reply(const ApigouvTransfer *transfer, void *arg, int *delay_ms)
{
	ApigouvReply *reply = arg;
	ApigouvJudgement judgement = {0};

	if (apigouv_reply_wants_retry(reply->api, reply->route, reply->retries,
								  transfer, delay_ms))
		return true;
	if (reply->transfer == transfer)
		apigouv_body_enter(reply);
	if (transfer->failure == APIGOUV_FAILURE_NONE && transfer->status >= 300)
	{
		apigouv_reply_judge(reply->api, reply->route, transfer, true,
							&judgement);
		reply->says_nothing = judgement.verdict == APIGOUV_REPLY_NO_ROW ||
			judgement.verdict == APIGOUV_REPLY_ROW;
	}
	if (transfer->failure != APIGOUV_FAILURE_NONE ||
		(transfer->status >= 300 && !reply->says_nothing &&
		 judgement.verdict != APIGOUV_REPLY_TOKEN))
		apigouv_cache_land(reply);
	return false;
}

/* Text that identifies a request and who makes it. */
static char *
make_key(const ApigouvOptions *options, const ApigouvSecrets *secrets,
		 const ApigouvBuilt *built)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	appendStringInfo(&key, "%u %u " UINT64_FORMAT "%s%s %s %s",
					 options->serverid, secrets->umid,
					 apigouv_token_identity(secrets),
					 built->fresh ? " fresh" : "",
					 built->total ? " total" : "",
					 built->post ? "POST" : "GET", built->url);
	foreach(lc, built->headers)
		appendStringInfo(&key, "\n%s", (char *) lfirst(lc));
	if (built->body != NULL)
		appendStringInfo(&key, "\n\n%s", built->body);
	return key.data;
}

/* Send the request of a reply, with the token of its role. */
static void
send_request(ApigouvReply *reply, const ApigouvOptions *options, Oid userid,
			 const ApigouvSecrets *secrets, const ApigouvBuilt *built,
			 uint32 stale_generation)
{
	uint32		generation;

	reply->transfer = apigouv_send(options, userid, secrets, built,
								   stale_generation, retry_reply, reply,
								   &generation);
	reply->token_generation = generation;
}

/*
 * find_kept
 *		Take the reply from what a failed transaction left.
 *
 * A later page only where the one before came from there as well: a page must
 * not be older than those before it.
 */
static bool
find_kept(ApigouvReply *reply, const ApigouvReply *before)
{
	ApigouvSaved saved;

	if (apigouv_keep_after_error_s == 0 || !reply->route->may_be_kept ||
		reply->fresh ||
		(before != NULL && before->origin != APIGOUV_RING_KEPT) ||
		!apigouv_kept_take(reply->key, &saved, &reply->kept_since))
		return false;
	reply->transfer = restore_transfer(&saved);
	reply->origin = APIGOUV_RING_KEPT;
	return true;
}

/*
 * Take the first reply of a read from the cluster's files.  An
 * ApigouvFlightLook.
 */
static bool
find_first(void *arg, const ApigouvOptions *options)
{
	ApigouvReply *reply = arg;
	MemoryContext old = MemoryContextSwitchTo(cache_cxt);
	ApigouvSharedSet *set = apigouv_shared_open(&reply->name,
												options->cache_ttl_s);
	ApigouvSaved saved;

	MemoryContextSwitchTo(old);
	if (set == NULL)
		return false;
	if (!apigouv_shared_read(set, &reply->name, options->response_max_bytes,
							 &saved))
	{
		apigouv_shared_close(set);
		return false;
	}
	if (apigouv_shared_set_size(set) == 1)
		apigouv_shared_close(set);
	reply->set = set;
	reply->is_shared = true;
	reply->transfer = restore_transfer(&saved);
	reply->origin = APIGOUV_RING_SHARED;
	return true;
}

/* Take another page of a read whose first page came from the files. */
static bool
find_next(ApigouvReply *reply, const ApigouvOptions *options,
		  const ApigouvReply *first)
{
	ApigouvSaved saved;

	if (!apigouv_shared_read(first->set, &reply->name,
							 options->response_max_bytes, &saved))
		return false;
	reply->transfer = restore_transfer(&saved);
	reply->origin = APIGOUV_RING_SHARED;
	return true;
}

/*
 * bring
 *		Bring a reply that this transaction has not asked for yet: from a
 *		cache, or by sending its request.
 *
 * False when its first page came from the cluster's files, which hold no such
 * page, or when it would have to be sent and may not.
 */
static bool
bring(ApigouvReply *reply, const ApigouvOptions *options, Oid userid,
	  const ApigouvSecrets *secrets, const ApigouvBuilt *built,
	  const ApigouvRead *read, bool *refused)
{
	const ApigouvReply *first = read->first;

	reply->fresh = built->fresh;
	reply->has_name = options->cache_ttl_s > 0 &&
		reply->route->may_be_kept && !reply->fresh &&
		apigouv_shared_name(options, secrets, built, &reply->name);
	if (first != NULL && first->set != NULL)
		return reply->has_name && find_next(reply, options, first);
	if (find_kept(reply, read->before))
		return true;
	if (first == NULL && reply->has_name &&
		(find_first(reply, options) ||
		 (read->to_its_end && read->may_send &&
		  apigouv_flight_join(&reply->name, options, find_first,
							  reply, &reply->claimed))))
		return true;
	*refused = !read->may_send;
	if (*refused)
		return false;
	send_request(reply, options, userid, secrets, built, 0);
	return true;
}

/* The same; a reply that could not be brought is freed. */
static bool
bring_or_free(ApigouvReply *reply, const ApigouvOptions *options, Oid userid,
			  const ApigouvSecrets *secrets, const ApigouvBuilt *built,
			  const ApigouvRead *read, bool *refused)
{
	volatile bool brought = false;

	PG_TRY();
	{
		brought = bring(reply, options, userid, secrets, built, read,
						refused);
	}
	PG_CATCH();
	{
		discard_reply(reply);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!brought)
		discard_reply(reply);
	return brought;
}

/* A reply of this transaction, not brought yet. */
static ApigouvReply *
new_reply(const ApigouvOptions *options, const ApigouvRoute *route,
		  const char *key)
{
	ApigouvReply *reply = MemoryContextAllocZero(cache_cxt,
												 sizeof(ApigouvReply));

	reply->key = MemoryContextStrdup(cache_cxt, key);
	reply->api = options->api;
	reply->route = route;
	reply->table = options->table->name;
	reply->serverid = options->serverid;
	reply->retries = options->retries;
	reply->subid = GetCurrentSubTransactionId();
	reply->kept_epoch = apigouv_kept_epoch();
	reply->forgotten = true;	/* until it stands under its key */
	return reply;
}

/*
 * apigouv_cache_has
 *		Would the first request of a read be answered without being sent, as
 *		far as can be told without reading the reply?
 */
bool
apigouv_cache_has(const ApigouvOptions *options,
				  const ApigouvSecrets *secrets, const ApigouvRoute *route,
				  const ApigouvBuilt *built)
{
	char	   *key = make_key(options, secrets, built);
	ApigouvName name;
	ApigouvSharedSet *set;
	bool		found;

	found = cache != NULL &&
		hash_search(cache, &key, HASH_FIND, NULL) != NULL;
	if (!found && route->may_be_kept && !built->fresh &&
		apigouv_keep_after_error_s > 0)
		found = apigouv_kept_has(key);
	pfree(key);
	if (found || !route->may_be_kept || built->fresh ||
		options->cache_ttl_s <= 0 ||
		!apigouv_shared_name(options, secrets, built, &name))
		return found;
	set = apigouv_shared_open(&name, options->cache_ttl_s);
	if (set != NULL)
		apigouv_shared_close(set);
	return set != NULL;
}

/*
 * apigouv_cache_ask
 *		The reply to a request, begun if this transaction has not asked yet.
 *
 * *ring: where the reply was; APIGOUV_RING_SENT when its request is sent now.
 *
 * The result lives until the transaction ends.  NULL when the read began with
 * kept pages that this one does not belong to: the read is to fail and all of
 * it to be forgotten; or, with APIGOUV_RING_REFUSED, when the request may not
 * be sent.  May wait for an access token.
 */
ApigouvReply *
apigouv_cache_ask(const ApigouvOptions *options, Oid userid,
				  const ApigouvSecrets *secrets, const ApigouvRoute *route,
				  const ApigouvBuilt *built, const ApigouvRead *read,
				  ApigouvRing *ring)
{
	char	   *key = make_key(options, secrets, built);
	bool		refused = false;
	CacheEntry *entry;
	ApigouvReply *reply;

	apigouv_cache_prepare();
	apigouv_cache_trim();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->reply->suspect &&
		entry->reply->users == 0 && !apigouv_body_is_whole(entry->reply))
	{
		discard_reply(entry->reply);
		entry = NULL;
	}
	if (entry != NULL)
	{
		*ring = APIGOUV_RING_XACT;
		pfree(key);
		return entry->reply;
	}

	reply = new_reply(options, route, key);
	dlist_push_tail(&all_replies, &reply->all_node);
	pfree(key);
	if (!bring_or_free(reply, options, userid, secrets, built, read,
					   &refused))
	{
		*ring = refused ? APIGOUV_RING_REFUSED : APIGOUV_RING_SHARED;
		return NULL;
	}
	*ring = reply->origin;
	reply->forgotten = false;
	entry = hash_search(cache, &reply->key, HASH_ENTER, NULL);
	entry->reply = reply;
	if (reply->subid != TopSubTransactionId)
	{
		dlist_push_tail(&nested, &reply->node);
		reply->is_nested = true;
	}
	apigouv_body_enter(reply);
	return reply;
}

/*
 * apigouv_cache_renew
 *		Send a request again with a new access token.
 *
 * When there is no new token, the error leaves the reply as it was: asked
 * again after a rollback to a savepoint, it is renewed then.
 */
void
apigouv_cache_renew(ApigouvReply *reply, const ApigouvOptions *options,
					Oid userid, const ApigouvSecrets *secrets,
					const ApigouvBuilt *built)
{
	ApigouvTransfer *refused = reply->transfer;

	send_request(reply, options, userid, secrets, built,
				 reply->token_generation);
	reply->renewed = true;
	apigouv_body_leave(reply);
	apigouv_body_renew(reply);	/* what is there was the refusal */
	apigouv_http_release(refused);
}

/*
 * apigouv_cache_resend
 *		Send a request that was refused before it was sent.
 */
void
apigouv_cache_resend(ApigouvReply *reply, const ApigouvOptions *options,
					 Oid userid, const ApigouvSecrets *secrets,
					 const ApigouvBuilt *built)
{
	ApigouvTransfer *refused = reply->transfer;

	send_request(reply, options, userid, secrets, built, 0);
	apigouv_http_release(refused);
}

/*
 * apigouv_cache_forget
 *		Let the next asking send the request anew, whoever asks.
 *
 * Whoever holds the reply may go on reading it.
 */
void
apigouv_cache_forget(ApigouvReply *reply)
{
	if (reply->is_shared)
		apigouv_shared_remove(&reply->name);
	reply->is_shared = false;
	forget_here(reply);
}

/* ----------------------------------------------------------------
 *		giving replies to the whole cluster
 * ----------------------------------------------------------------
 */

/* Bodies of the replies that are written. */
typedef struct Bodies
{
	List	   *replies;
	char	   *loaded;			/* of the one being written; NULL = its own */
} Bodies;

/* An ApigouvBodyLoader: the body of a reply, from the file if need be. */
static bool
load_body(int i, ApigouvSaved *saved, void *arg)
{
	Bodies	   *bodies = arg;
	ApigouvReply *reply = list_nth(bodies->replies, i);

	free(bodies->loaded);
	bodies->loaded = NULL;
	if (!apigouv_body_restore(reply))
		return false;
	saved->body = reply->transfer->body;
	if (apigouv_body_is_spilled(reply))
		saved->body = bodies->loaded = apigouv_body_load(reply);
	return saved->body != NULL || saved->body_len == 0;
}

/*
 * apigouv_cache_share
 *		Give the replies of one read, all of its pages, to the whole cluster.
 *
 * All must have been sent by this read, and have ended.  Whatever may not be
 * kept, or cannot, is left out without error.
 */
void
apigouv_cache_share(const ApigouvOptions *options,
					const ApigouvSecrets *secrets, List *replies)
{
	ApigouvSharedPage *pages;
	ApigouvTags tags;
	Bodies		bodies = {replies, NULL};
	int			n = list_length(replies);
	ApigouvReply *first;
	bool		wanted = options->cache_ttl_s > 0 && n > 0;
	ListCell   *lc;

	foreach(lc, replies)
	{
		const ApigouvReply *reply = lfirst(lc);

		wanted = wanted && reply->has_name && !reply->forgotten &&
			reply->origin == APIGOUV_RING_SENT &&
			apigouv_cache_is_final(reply);
	}
	if (!wanted ||
		!apigouv_shared_tags(options, secrets, options->table->name, &tags))
		return;
	pages = palloc0(sizeof(ApigouvSharedPage) * n);
	for (int i = 0; i < n; i++)
	{
		const ApigouvReply *reply = list_nth(replies, i);

		pages[i].name = reply->name;
		save_head(reply, &pages[i].saved);
	}
	first = linitial(replies);
	if (apigouv_shared_store(&tags, options->cache_ttl_s, n, pages,
							 load_body, &bodies))
		first->is_shared = true;
	apigouv_cache_land(first);
	free(bodies.loaded);
	pfree(pages);
}
