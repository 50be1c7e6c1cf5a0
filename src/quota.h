/*-------------------------------------------------------------------------
 *
 * quota.h
 *		Ledger of API requests, shared by the whole cluster.
 *
 * No PostgreSQL header: this module also builds stand-alone, for its test.
 * Nothing here raises, waits or allocates from a memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_QUOTA_H
#define APIGOUV_QUOTA_H

#include "ledger.h"

/* Limits that one request may have to fit: group and address, for all and for
 * a role's share. */
#define APIGOUV_MAX_LIMITS APIGOUV_LEDGER_LIMITS

/* One limit that a request must fit. */
typedef struct ApigouvQuotaLimit
{
	uint64_t	key[2];			/* of its counter: who else counts there */
	int32_t		requests;		/* at most, in any window */
	int64_t		window_us;
	int32_t		margin_ms;		/* added to the window: requests travel */
	bool		is_group;		/* the reply's headers are about this one */
	char		api[APIGOUV_LEDGER_TEXT];
	char		name[APIGOUV_LEDGER_TEXT];
	char		role[APIGOUV_LEDGER_TEXT];	/* empty: everybody */
	char		counted_by[16];
} ApigouvQuotaLimit;

/* The limits of one request. */
typedef struct ApigouvQuotaLimits
{
	int			n;				/* 0: nothing limits it */
	uint64_t	set;			/* hash of the keys */
	ApigouvQuotaLimit limits[APIGOUV_MAX_LIMITS];
} ApigouvQuotaLimits;

static inline int64_t
max_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t
min_of(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The window that counts. */
static inline int64_t
span_of(const ApigouvQuotaLimit *limit)
{
	return limit->window_us + limit->margin_ms * INT64_C(1000);
}

typedef enum ApigouvGrant
{
	APIGOUV_QUOTA_GRANTED,
	APIGOUV_QUOTA_WAIT,			/* not now: see the answer */
	APIGOUV_QUOTA_BUSY,			/* the ledger is held: ask again in a ms */
	APIGOUV_QUOTA_BROKEN		/* see apigouv_ledger_error() */
} ApigouvGrant;

/* Why a request has to wait. */
typedef struct ApigouvQuotaAnswer
{
	int			blocking;		/* the limit that is the latest */
	int64_t		ask_us;			/* ask again after so long */
	int64_t		wait_us;		/* when a slot can be expected */
	int64_t		certain_us;		/* before that there can be none */
} ApigouvQuotaAnswer;

/* A counter, for the view apigouv_quota. */
typedef struct ApigouvQuotaRow
{
	ApigouvCounter counter;
	int64_t		allowed;		/* per window, as last asked or told */
	int64_t		used;			/* in the window that ends now */
	int64_t		left;
	int64_t		closed_us;		/* nothing is sent for so long; 0 = open */
	int			waiting;		/* processes */
} ApigouvQuotaRow;

/*
 * Reserve a slot in all limits of a request, or queue for it.  *id: of the
 * slot, to settle or give back; set when it is granted.
 */
extern ApigouvGrant apigouv_quota_reserve(const ApigouvQuotaLimits *limits,
										  uint64_t *id,
										  ApigouvQuotaAnswer *answer);

/*
 * The request is about to be sent.  WAIT: it must not be, since the limit was
 * closed or the ledger begun anew meanwhile; the slot is then given back.
 */
extern ApigouvGrant apigouv_quota_may_send(const ApigouvQuotaLimits *limits,
										   uint64_t id);

/* The request has been sent: date its slot.  *sent_at: boot clock, us. */
extern ApigouvGrant apigouv_quota_settle(const ApigouvQuotaLimits *limits,
										 uint64_t id, int64_t *sent_at);

/* The request is not sent after all.  BUSY: try again, or it stays counted. */
extern ApigouvGrant apigouv_quota_give_back(const ApigouvQuotaLimits *limits,
											uint64_t id);

/* The upstream has refused: send nothing of this group for so long. */
extern ApigouvGrant apigouv_quota_close(const ApigouvQuotaLimits *limits,
										int64_t for_us);

/*
 * What the upstream told of the group in the reply to a request sent at a
 * moment: allowed per window (-1: not told), left, and microseconds until its
 * window ends (-1: not told).  Corrects downwards only.
 */
extern ApigouvGrant apigouv_quota_correct(const ApigouvQuotaLimits *limits,
										  int64_t sent_at, int64_t allowed,
										  int64_t remaining, int64_t reset_us);

/* This process waits no more for these limits; NULL: for any. */
extern ApigouvGrant apigouv_quota_leave(const ApigouvQuotaLimits *limits);

/*
 * The least time until n requests could all be sent, from now on and if
 * nobody else sends any.
 */
extern ApigouvGrant apigouv_quota_forecast(const ApigouvQuotaLimits *limits,
										   int64_t n, int64_t *wait_us);

/* All counters: calls give() for each, with the ledger locked. */
typedef void (*ApigouvQuotaTaker) (const ApigouvQuotaRow *row, void *arg);

extern ApigouvGrant apigouv_quota_list(ApigouvQuotaTaker give, void *arg);

/* Forget what was sent. */
extern ApigouvGrant apigouv_quota_forget(void);

#endif							/* APIGOUV_QUOTA_H */
