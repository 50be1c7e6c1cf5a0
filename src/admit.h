/*-------------------------------------------------------------------------
 *
 * admit.h
 *		Slots of the quota ledger for the attempts of http.c.
 *
 * Only http.c and attempt.c include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ADMIT_H
#define APIGOUV_ADMIT_H

#include "attempt.h"

typedef enum ApigouvAdmission
{
	APIGOUV_ADMIT_NOW,			/* the attempt has its slot */
	APIGOUV_ADMIT_LATER,
	APIGOUV_ADMIT_NEVER			/* the transfer's failure is set */
} ApigouvAdmission;

/*
 * Ask the ledger for a slot of a transfer's limits.  LATER: *due becomes the
 * moment to ask again (us, monotonic), unless it is earlier already.
 */
extern ApigouvAdmission apigouv_admit_slot(ApigouvTransfer *transfer,
										   int64 now, int64 *due);

/* Has this backend sent as much as apigouv_http_bound lets it? */
extern bool apigouv_admit_is_bound(void);

/* An attempt has begun: it counts as sent until it ends without. */
extern void apigouv_admit_begun(void);

/*
 * A request is about to be sent, for the first time or again.  False: it must
 * not be.  Called inside libcurl.
 */
extern bool apigouv_admit_send(ApigouvTransfer *transfer);

/*
 * libcurl has returned: date the slots of what it was let send, and tell the
 * ledger what it could not be told before.
 */
extern void apigouv_admit_sent(void);

/*
 * What limits make wait: the first moment when a slot can be expected (us,
 * monotonic), and the name of the limit; false when that is nothing.
 */
extern bool apigouv_admit_expects(int64 *moment, const char **limit);

/* Has any transfer a slot that is not dated yet? */
extern bool apigouv_admit_holds_slots(void);

/*
 * Give back a slot that is not used yet: it may take long until it is.  One
 * that is used is dated.
 */
extern void apigouv_admit_pause(ApigouvTransfer *transfer);

/* An attempt is over: give back what was not used, note what was told. */
extern void apigouv_admit_ended(ApigouvTransfer *transfer);

/* Nothing waits any more: leave all queues. */
extern void apigouv_admit_leave(void);

#endif							/* APIGOUV_ADMIT_H */
