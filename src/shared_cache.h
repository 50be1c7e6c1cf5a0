/*-------------------------------------------------------------------------
 *
 * shared_cache.h
 *		Replies kept for the whole cluster, in files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SHARED_CACHE_H
#define APIGOUV_SHARED_CACHE_H

#include "option.h"
#include "request.h"
#include "saved.h"

#define APIGOUV_NAME_BYTES	32
#define APIGOUV_TAG_BYTES	16

/* A request's name: a keyed hash of all that determines its reply. */
typedef struct ApigouvName
{
	uint8		bytes[APIGOUV_NAME_BYTES];
} ApigouvName;

/* Keyed hashes by which replies are purged. */
typedef struct ApigouvTags
{
	uint8		server[APIGOUV_TAG_BYTES];	/* API and base URL */
	uint8		credentials[APIGOUV_TAG_BYTES];
	uint8		table[APIGOUV_TAG_BYTES];
} ApigouvTags;

/* The replies of one read, in one file. */
typedef struct ApigouvSharedSet ApigouvSharedSet;

/* One reply to be written. */
typedef struct ApigouvSharedPage
{
	ApigouvName name;
	ApigouvSaved saved;
} ApigouvSharedPage;

/*
 * Name a request; false when the cache is off or has no key, which the log
 * then tells.
 */
extern bool apigouv_shared_name(const ApigouvOptions *options,
								const ApigouvSecrets *secrets,
								const ApigouvBuilt *built, ApigouvName *name);

/*
 * The first bytes, 32 at most, of a hash of texts with the cluster's key; what
 * says what they are.  False when there is no key and none can be made, about
 * which nothing is told.
 */
extern bool apigouv_shared_hash(const char *what, int n,
								const char *const *texts, uint8 *bytes,
								size_t len);

/* Has this cluster a key, which it needs to keep a reply? */
extern bool apigouv_shared_in_use(void);

/* The tags of what a table of a server reads with some secrets. */
extern bool apigouv_shared_tags(const ApigouvOptions *options,
								const ApigouvSecrets *secrets,
								const char *table, ApigouvTags *tags);

/*
 * The set whose first request has this name, if it is whole and younger than
 * ttl_s; else NULL.  Palloc'd in the current context; to be closed by hand.
 */
extern ApigouvSharedSet *apigouv_shared_open(const ApigouvName *first,
											 int ttl_s);

/* A reply of a set; false when it holds none of this name, or is damaged. */
extern bool apigouv_shared_read(ApigouvSharedSet *set,
								const ApigouvName *name, int max_bytes,
								ApigouvSaved *saved);
extern int	apigouv_shared_set_size(const ApigouvSharedSet *set);
extern void apigouv_shared_close(ApigouvSharedSet *set);

/*
 * Keep the replies of one read.  load: brings the body of page i, false when
 * it cannot.  Raises nothing: what cannot be kept is not, and the session is
 * told once.
 */
typedef bool (*ApigouvBodyLoader) (int i, ApigouvSaved *saved, void *arg);
extern bool apigouv_shared_store(const ApigouvTags *tags, int ttl_s,
								 int npages, ApigouvSharedPage *pages,
								 ApigouvBodyLoader load, void *arg);

/* Remove the set whose first request has this name. */
extern void apigouv_shared_remove(const ApigouvName *first);

/*
 * Remove every set whose tags fit: server and credentials of tags, the table
 * too when by_table.  tags NULL: every set.  Returns the number of replies.
 */
extern int64 apigouv_shared_purge(const ApigouvTags *tags, bool by_table);

#endif							/* APIGOUV_SHARED_CACHE_H */
