/*-------------------------------------------------------------------------
 *
 * kept.c
 *		Replies of transactions that failed, for those that follow.
 *
 * What a failed statement has fetched was paid for in requests and time.  It
 * serves the next transactions of the session for some seconds, so that a
 * retry goes on where the failure came.
 *
 * The ring is filled while a transaction aborts, where nothing may raise:
 * hence memory is malloc'd, and a reply that finds none is simply not kept.
 * A change of any server or user mapping empties it, whoever makes it.
 *
 * Not here: which replies deserve it, and the bound (xact_cache.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "clock.h"
#include "kept.h"
#include "option.h"

/* Lists of replies, by hash of their key. */
#define NLISTS 1024

typedef struct KeptReply
{
	dlist_node	node;			/* in lists[] */
	char	   *key;			/* malloc'd */
	char	   *table;			/* malloc'd */
	Oid			serverid;
	int64		since;			/* us, monotonic */
	ApigouvSaved saved;
} KeptReply;

static dlist_head lists[NLISTS];
static int64 nkept = 0;
static uint64 epoch = 0;
static size_t kept_bytes = 0;
static int64 oldest = 0;		/* no reply is kept since before */
static bool watching = false;

static dlist_head *
list_of(const char *key)
{
	return &lists[hash_bytes((const unsigned char *) key,
							 (int) strlen(key)) % NLISTS];
}

/* Take a reply out of its list; the caller frees it. */
static void
unlink_kept(KeptReply *kept)
{
	dlist_delete(&kept->node);
	nkept--;
	kept_bytes -= kept->saved.body_len;
}

static void
free_kept(KeptReply *kept)
{
	free(kept->saved.body);
	free(kept->key);
	free(kept->table);
	free(kept);
}

/* Forget what fits. */
static int64
clear_fitting(Oid serverid, const char *table, int64 before)
{
	int64		n = 0;

	if (nkept == 0)
		return 0;
	for (int i = 0; i < NLISTS; i++)
	{
		dlist_mutable_iter iter;

		if (lists[i].head.next == NULL)
			continue;			/* never used */
		dlist_foreach_modify(iter, &lists[i])
		{
			KeptReply  *kept = dlist_container(KeptReply, node, iter.cur);

			if ((OidIsValid(serverid) && kept->serverid != serverid) ||
				(table != NULL && strcmp(kept->table, table) != 0) ||
				kept->since >= before)
				continue;
			unlink_kept(kept);
			free_kept(kept);
			n++;
		}
	}
	return n;
}

int64
apigouv_kept_clear(Oid serverid, const char *table)
{
	epoch++;
	return clear_fitting(serverid, table, PG_INT64_MAX);
}

/* A server or a user mapping has changed. */
static void
definition_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	(void) apigouv_kept_clear(InvalidOid, NULL);
}

/* The moment before which replies are too old. */
static int64
horizon(void)
{
	return monotonic_us() - (int64) apigouv_keep_after_error_s * 1000000;
}

size_t
apigouv_kept_bytes(void)
{
	int64		before = horizon();

	if (!watching)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, definition_changed,
									  (Datum) 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, definition_changed,
									  (Datum) 0);
		watching = true;
	}
	if (nkept > 0 && oldest < before)
	{
		(void) clear_fitting(InvalidOid, NULL, before);
		oldest = before;
	}
	return kept_bytes;
}

void
apigouv_kept_add(const char *key, Oid serverid, const char *table,
				 const ApigouvSaved *saved, int64 since)
{
	KeptReply  *kept = calloc(1, sizeof(KeptReply));
	ApigouvSaved older;
	int64		older_since;

	if (apigouv_kept_take(key, &older, &older_since))
		free(older.body);
	if (kept != NULL)
	{
		kept->key = strdup(key);
		kept->table = strdup(table);
		kept->saved = *saved;
	}
	if (kept == NULL || kept->key == NULL || kept->table == NULL)
	{
		free(saved->body);
		if (kept != NULL)
		{
			free(kept->key);
			free(kept->table);
		}
		free(kept);
		return;
	}
	kept->serverid = serverid;
	kept->since = since != 0 ? since : monotonic_us();
	if (nkept == 0 || kept->since < oldest)
		oldest = kept->since;
	dlist_push_tail(list_of(key), &kept->node);
	nkept++;
	kept_bytes += saved->body_len;
}

uint64
apigouv_kept_epoch(void)
{
	return epoch;
}

bool
apigouv_kept_has(const char *key)
{
	dlist_head *list = list_of(key);
	dlist_iter	iter;

	if (nkept == 0 || list->head.next == NULL)
		return false;
	dlist_foreach(iter, list)
	{
		const KeptReply *kept = dlist_container(KeptReply, node, iter.cur);

		if (strcmp(kept->key, key) == 0)
			return kept->since >= horizon();
	}
	return false;
}

bool
apigouv_kept_take(const char *key, ApigouvSaved *saved, int64 *since)
{
	dlist_head *list = list_of(key);
	dlist_iter	iter;

	if (nkept == 0 || list->head.next == NULL)
		return false;
	dlist_foreach(iter, list)
	{
		KeptReply  *kept = dlist_container(KeptReply, node, iter.cur);

		if (strcmp(kept->key, key) != 0)
			continue;
		unlink_kept(kept);
		if (kept->since < horizon())
		{
			free_kept(kept);
			return false;
		}
		*saved = kept->saved;
		*since = kept->since;
		kept->saved.body = NULL;
		free_kept(kept);
		return true;
	}
	return false;
}
