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
#include "shared_cache.h"

/* Where a reply came from, when it was asked for. */
typedef enum ApigouvRing
{
	APIGOUV_RING_SENT,			/* nowhere: its request is sent */
	APIGOUV_RING_XACT,			/* this transaction had asked before */
	APIGOUV_RING_KEPT,			/* a transaction that failed left it */
	APIGOUV_RING_SHARED,		/* the cluster's files */
	APIGOUV_RING_REFUSED		/* nowhere, and it may not be sent */
} ApigouvRing;

/* A part of a body that is in the temporary file. */
typedef struct ApigouvPiece
{
	size_t		at;				/* in the body */
	size_t		len;
	off_t		written_at;		/* in the file */
}			ApigouvPiece;

/* A request of this transaction and its transfer. */
typedef struct ApigouvReply
{
	const char *key;
	const ApigouvApi *api;
	const ApigouvRoute *route;
	const char *table;			/* its name in the definition */
	Oid			serverid;
	int			retries;
	ApigouvTransfer *transfer;	/* with its body while pinned */
	uint32		token_generation;	/* of the token it was sent with */
	bool		renewed;		/* sent again with a new token */
	bool		forgotten;		/* a newer one stands under the same key */
	SubTransactionId subid;		/* that asked first */
	int			users;			/* memory contexts that hold it */
	dlist_node	node;			/* if is_nested */
	bool		fresh;			/* of this transaction only */
	bool		is_nested;		/* its subtransaction has not ended */
	bool		suspect;		/* its subtransaction aborted meanwhile */

	ApigouvRing origin;			/* never APIGOUV_RING_XACT */
	int64		kept_since;		/* of a KEPT one */
	uint64		kept_epoch;		/* kept.c's, when it was asked for */
	dlist_node	all_node;		/* in the order of asking */
	int			pins;			/* who reads the body now */
	size_t		in_memory;		/* bytes counted against cache_size */
	bool		is_resident;	/* counted, and not pinned */
	dlist_node	resident_node;	/* if is_resident */
	bool		spilled;		/* all of it is in the temporary file */
	size_t		spilled_len;
	ApigouvPiece *pieces;		/* of it, in the file; NULL if none */
	int			npieces;
	size_t		written_from;	/* what they hold, one after the other; the */
	size_t		written_to;		/* last two of a spilled body apart */
	bool		is_lost;		/* that is not in memory, but for its ends */
	bool		read_whole;		/* a scan has read it to its end */
	bool		says_nothing;	/* an error's status that means "no row" */
	bool		ahead;			/* asked before a scan came to it; until one
								 * has sent it again for want of a slot */
	uint32		reader;			/* ahead.c's, that asked for it; 0 = none */
	uint32		brought_by;		/* number of the scan that asked first */

	TimestampTz noted_in;		/* audit.c's: statement that last had a line */
	Oid			noted_for;		/* ... for this role */
	Oid			noted_of;		/* ... foreign table */
	uint64		noted_why;		/* ... and purpose, by its hash */

	bool		has_name;		/* may go to the cluster's files */
	bool		is_shared;		/* stands in them as the first of its set */
	bool		claimed;		/* other sessions wait for it (flight.c) */
	ApigouvName name;
	ApigouvSharedSet *set;		/* it came from, as the first; or NULL */
} ApigouvReply;

/* What a request is asked for. */
typedef struct ApigouvRead
{
	const ApigouvReply *first;	/* of the read; NULL: this one */
	const ApigouvReply *before; /* the page before; likewise */
	bool		to_its_end;		/* the read may go to the cluster: only one
								 * session at a time is to ask, and this one
								 * may wait for another's reply */
	bool		may_send;		/* else only caches are looked at */
} ApigouvRead;

/* A memory context's hold on a reply. */
typedef struct ApigouvHold ApigouvHold;

extern void apigouv_cache_prepare(void);
extern ApigouvReply *apigouv_cache_ask(const ApigouvOptions *options,
									   Oid userid,
									   const ApigouvSecrets *secrets,
									   const ApigouvRoute *route,
									   const ApigouvBuilt *built,
									   const ApigouvRead *read,
									   ApigouvRing *ring);
extern bool apigouv_cache_has(const ApigouvOptions *options,
							  const ApigouvSecrets *secrets,
							  const ApigouvRoute *route,
							  const ApigouvBuilt *built);
extern ApigouvHold *apigouv_cache_hold(ApigouvReply *reply,
									   MemoryContext cxt);
extern void apigouv_cache_pin(ApigouvHold *hold);
extern void apigouv_cache_unpin(ApigouvHold *hold);
extern void apigouv_cache_trim(void);
extern void apigouv_cache_behind(ApigouvReply *reply, size_t from, size_t to);
extern void apigouv_cache_whole(ApigouvReply *reply);
extern void apigouv_cache_renew(ApigouvReply *reply,
								const ApigouvOptions *options, Oid userid,
								const ApigouvSecrets *secrets,
								const ApigouvBuilt *built);
extern void apigouv_cache_resend(ApigouvReply *reply,
								 const ApigouvOptions *options, Oid userid,
								 const ApigouvSecrets *secrets,
								 const ApigouvBuilt *built);
extern bool apigouv_cache_is_final(const ApigouvReply *reply);
extern void apigouv_cache_forget(ApigouvReply *reply);
extern void apigouv_cache_land(ApigouvReply *reply);
extern void apigouv_cache_share(const ApigouvOptions *options,
								const ApigouvSecrets *secrets,
								List *replies);

#endif							/* APIGOUV_XACT_CACHE_H */
