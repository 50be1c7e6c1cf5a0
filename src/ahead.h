/*-------------------------------------------------------------------------
 *
 * ahead.h
 *		Beginning the tasks of a scan for values that it will be given later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_AHEAD_H
#define APIGOUV_AHEAD_H

#include "scan_state.h"

/* Who begins tasks ahead, and what came of it.  Zeroed, then opened. */
typedef struct ApigouvAheadReader
{
	uint32		id;				/* in the backend */
	int			pending;		/* tasks whose replies are under way */
	int64		requests;		/* sent */
	int64		from_cache;		/* replies that were known before */
	int64		duplicates;		/* replies asked for by this reader already */
} ApigouvAheadReader;

/* The tasks of a scan for one set of values. */
typedef struct ApigouvAhead ApigouvAhead;

/* scan.c tells which scans there are. */
extern void apigouv_ahead_enter(ApigouvScanState *state);
extern bool apigouv_ahead_take(ApigouvScanState *state);

/* What moves transfers moves these as well. */
extern void apigouv_ahead_advance(void);

/* For those who know the values. */
extern ApigouvScanState *apigouv_ahead_find(const EState *estate,
											const Plan *plan);
extern bool apigouv_ahead_may_guess(const ApigouvScanState *state);
extern void apigouv_ahead_open(ApigouvAheadReader *reader);
extern ApigouvAhead *apigouv_ahead_begin(ApigouvAheadReader *reader,
										 ApigouvScanState *state);
extern ApigouvAhead *apigouv_ahead_nothing(ApigouvScanState *state);
extern void apigouv_ahead_give(ApigouvScanState *state, ApigouvAhead *ahead);
extern void apigouv_ahead_drop(ApigouvAhead *ahead);

#endif							/* APIGOUV_AHEAD_H */
