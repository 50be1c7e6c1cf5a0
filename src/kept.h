/*-------------------------------------------------------------------------
 *
 * kept.h
 *		Replies of transactions that failed, for those that follow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_KEPT_H
#define APIGOUV_KEPT_H

#include "saved.h"

/*
 * Keep a reply; its body is the ring's from then on, freed when there is no
 * memory for it.  since: as apigouv_kept_take gave it, 0 = now.  table: name
 * in the definition.  Does not raise.
 */
extern void apigouv_kept_add(const char *key, Oid serverid,
							 const char *table, const ApigouvSaved *saved,
							 int64 since);

/* Is a reply kept? */
extern bool apigouv_kept_has(const char *key);

/* Take a reply out, its body with it; false when there is none. */
extern bool apigouv_kept_take(const char *key, ApigouvSaved *saved,
							  int64 *since);

/* Bytes of the bodies kept, once those past their time are gone. */
extern size_t apigouv_kept_bytes(void);

/* Changes when replies were forgotten: what is older is not to be kept. */
extern uint64 apigouv_kept_epoch(void);

/*
 * Forget the replies of a server (InvalidOid: of all), of one table (NULL: of
 * all).  Returns how many there were.
 */
extern int64 apigouv_kept_clear(Oid serverid, const char *table);

#endif							/* APIGOUV_KEPT_H */
