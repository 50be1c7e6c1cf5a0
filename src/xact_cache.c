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
 * Everything here lives under TopTransactionContext.  At the end of the
 * transaction all transfers are cancelled and forgotten.  A subtransaction
 * that aborts leaves the replies it obtained; a transfer that it leaves
 * unfinished, such as one whose query was cancelled, is cancelled as soon as
 * no scan holds it, so that the same question is asked anew.  Scans are freed
 * after the abort was announced, hence the count of holders.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "limit.h"
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

/* A memory context's hold on a reply. */
typedef struct Hold
{
	ApigouvReply *reply;
	uint64		generation;
	MemoryContextCallback callback;
} Hold;

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
			apigouv_http_abort_all();
			cache = NULL;
			cache_cxt = NULL;
			dlist_init(&nested);
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

/* Cancel a transfer that nobody waits for, and forget its request. */
static void
discard_reply(ApigouvReply *reply)
{
	apigouv_cache_forget(reply);
	leave_nested(reply);
	apigouv_http_release(reply->transfer);
	reply->transfer = NULL;
}

/* Is a reply whole? */
static bool
is_sound(const ApigouvReply *reply)
{
	return reply->transfer->state == APIGOUV_TRANSFER_ENDED &&
		reply->transfer->failure == APIGOUV_FAILURE_NONE;
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
		if (event == SUBXACT_EVENT_COMMIT_SUB || is_sound(reply))
			continue;
		if (reply->users == 0)
			discard_reply(reply);
		else
			reply->suspect = true;
	}
}

/* A memory context that held a reply goes. */
static void
release_hold(void *arg)
{
	Hold	   *hold = arg;

	if (hold->generation == generation)
		hold->reply->users--;
}

/*
 * apigouv_cache_hold
 *		Let a reply be held until a memory context is reset.
 */
void
apigouv_cache_hold(ApigouvReply *reply, MemoryContext cxt)
{
	Hold	   *hold = MemoryContextAlloc(cxt, sizeof(Hold));

	hold->reply = reply;
	hold->generation = generation;
	hold->callback.func = release_hold;
	hold->callback.arg = hold;
	MemoryContextRegisterResetCallback(cxt, &hold->callback);
	reply->users++;
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
	cache_cxt = AllocSetContextCreate(TopTransactionContext,
									  "apigouv_fdw replies",
									  ALLOCSET_DEFAULT_SIZES);
	cache = texthash_create("apigouv_fdw replies", sizeof(CacheEntry), 64,
							cache_cxt);
}

/* Retry hook of the replies kept here. */
static bool
retry_reply(const ApigouvTransfer *transfer, void *arg, int *delay_ms)
{
	const ApigouvReply *reply = arg;

	return apigouv_reply_wants_retry(reply->api, reply->route, reply->retries,
									 transfer, delay_ms);
}

/* Text that identifies a request and who makes it. */
static char *
make_key(const ApigouvOptions *options, const ApigouvSecrets *secrets,
		 const ApigouvBuilt *built)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	appendStringInfo(&key, "%u %u " UINT64_FORMAT " %s %s", options->serverid,
					 secrets->umid, apigouv_token_identity(secrets),
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
	ApigouvHttpSettings settings;
	ApigouvHttpRequest request = {0};
	ApigouvLimitHeaders names;
	ApigouvQuotaLimits limits;
	char	   *authorization;
	const char **headers;
	int			n = 0;
	ListCell   *lc;

	authorization = apigouv_token_header(options, userid, secrets,
										 stale_generation,
										 &reply->token_generation);
	headers = palloc(sizeof(char *) * (list_length(built->headers) + 1));
	foreach(lc, built->headers)
		headers[n++] = lfirst(lc);
	if (authorization != NULL)
		headers[n++] = authorization;

	request.post = built->post;
	request.url = built->url;
	request.nheaders = n;
	request.headers = headers;
	request.body = built->body;
	request.body_len = built->body ? strlen(built->body) : 0;
	names.limit = options->api->limit_header;
	names.remaining = options->api->remaining_header;
	names.reset = options->api->reset_header;
	apigouv_limit_find(options, userid, secrets, built->limit, true, &limits);
	request.limits = &limits;
	apigouv_option_http(options, userid, &settings);
	reply->transfer = apigouv_http_start(&settings, &request, &names,
										 retry_reply, reply);
	pfree(headers);
}

/*
 * apigouv_cache_has
 *		Would a request be answered without being sent?
 */
bool
apigouv_cache_has(const ApigouvOptions *options,
				  const ApigouvSecrets *secrets, const ApigouvBuilt *built)
{
	char	   *key = make_key(options, secrets, built);
	bool		found = cache != NULL &&
	hash_search(cache, &key, HASH_FIND, NULL) != NULL;

	pfree(key);
	return found;
}

/*
 * apigouv_cache_ask
 *		The reply to a request, begun if this transaction has not asked yet.
 *
 * The result lives until the transaction ends.  May wait for an access token.
 * *was_there: the request was not sent anew.
 */
ApigouvReply *
apigouv_cache_ask(const ApigouvOptions *options, Oid userid,
				  const ApigouvSecrets *secrets, const ApigouvRoute *route,
				  const ApigouvBuilt *built, bool *was_there)
{
	char	   *key = make_key(options, secrets, built);
	CacheEntry *entry;
	ApigouvReply *reply;

	apigouv_cache_prepare();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->reply->suspect &&
		entry->reply->users == 0 && !is_sound(entry->reply))
	{
		discard_reply(entry->reply);
		entry = NULL;
	}
	if (entry != NULL)
	{
		*was_there = true;
		pfree(key);
		return entry->reply;
	}

	*was_there = false;
	reply = MemoryContextAllocZero(cache_cxt, sizeof(ApigouvReply));
	reply->key = MemoryContextStrdup(cache_cxt, key);
	reply->api = options->api;
	reply->route = route;
	reply->retries = options->retries;
	reply->subid = GetCurrentSubTransactionId();
	send_request(reply, options, userid, secrets, built, 0);
	entry = hash_search(cache, &reply->key, HASH_ENTER, NULL);
	entry->reply = reply;
	if (reply->subid != TopSubTransactionId)
	{
		dlist_push_tail(&nested, &reply->node);
		reply->is_nested = true;
	}
	pfree(key);
	return reply;
}

/*
 * apigouv_cache_renew
 *		Send a request again with a new access token.
 */
void
apigouv_cache_renew(ApigouvReply *reply, const ApigouvOptions *options,
					Oid userid, const ApigouvSecrets *secrets,
					const ApigouvBuilt *built)
{
	ApigouvTransfer *refused = reply->transfer;

	reply->renewed = true;
	send_request(reply, options, userid, secrets, built,
				 reply->token_generation);
	apigouv_http_release(refused);
}

/*
 * apigouv_cache_forget
 *		Let the next asking send the request anew.
 *
 * Whoever holds the reply may go on reading it.
 */
void
apigouv_cache_forget(ApigouvReply *reply)
{
	if (reply->forgotten)
		return;
	reply->forgotten = true;
	hash_search(cache, &reply->key, HASH_REMOVE, NULL);
}
