/*-------------------------------------------------------------------------
 *
 * xact_cache.h
 *		Replies of this transaction, by request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_XACT_CACHE_H
#define APIGOUV_XACT_CACHE_H

#include "lib/ilist.h"

#include "reply.h"
#include "request.h"

/* A request of this transaction and its transfer. */
typedef struct ApigouvReply
{
	const char *key;
	const ApigouvApi *api;
	const ApigouvRoute *route;
	int			retries;
	ApigouvTransfer *transfer;
	uint32		token_generation;	/* of the token it was sent with */
	bool		renewed;		/* sent again with a new token */
	bool		forgotten;		/* a newer one stands under the same key */
	SubTransactionId subid;		/* that asked first */
	int			users;			/* memory contexts that hold it */
	dlist_node	node;			/* if is_nested */
	bool		is_nested;		/* its subtransaction has not ended */
	bool		suspect;		/* its subtransaction aborted meanwhile */
} ApigouvReply;

extern void apigouv_cache_prepare(void);
extern ApigouvReply *apigouv_cache_ask(const ApigouvOptions *options,
									   Oid userid,
									   const ApigouvSecrets *secrets,
									   const ApigouvRoute *route,
									   const ApigouvBuilt *built,
									   bool *was_there);
extern bool apigouv_cache_has(const ApigouvOptions *options,
							  const ApigouvSecrets *secrets,
							  const ApigouvBuilt *built);
extern void apigouv_cache_hold(ApigouvReply *reply, MemoryContext cxt);
extern void apigouv_cache_renew(ApigouvReply *reply,
								const ApigouvOptions *options, Oid userid,
								const ApigouvSecrets *secrets,
								const ApigouvBuilt *built);
extern void apigouv_cache_forget(ApigouvReply *reply);

#endif							/* APIGOUV_XACT_CACHE_H */
