/*-------------------------------------------------------------------------
 *
 * flight.h
 *		Who of the cluster sends a request that several sessions miss.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_FLIGHT_H
#define APIGOUV_FLIGHT_H

#include "shared_cache.h"

/* Take a reply from the cluster's files, if it is there. */
typedef bool (*ApigouvFlightLook) (void *reply,
								   const ApigouvOptions *options);

/*
 * Join the sessions that miss a reply.  True when it has come meanwhile, by
 * look.  False when the request is to be sent: with a claim if *claimed, for
 * which others wait from now on, or without.  Waits for timeout_ms at most,
 * and moves this session's transfers meanwhile.  Raises on interrupt, and what
 * look raises; *claimed is right then too.
 */
extern bool apigouv_flight_join(const ApigouvName *name,
								const ApigouvOptions *options,
								ApigouvFlightLook look, void *reply,
								bool *claimed);

/* The request of a claim has its reply, or will not get one.  Never raises. */
extern void apigouv_flight_release(const ApigouvName *name);

/* End of the transaction: release every claim.  Never raises. */
extern void apigouv_flight_release_all(void);

#endif							/* APIGOUV_FLIGHT_H */
