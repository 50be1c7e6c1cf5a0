/*-------------------------------------------------------------------------
 *
 * progress.h
 *		How far this backend is, for other sessions to see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_PROGRESS_H
#define APIGOUV_PROGRESS_H

#include "tally.h"

typedef enum ApigouvPhase
{
	APIGOUV_PHASE_NONE,			/* nothing of ours is under way */
	APIGOUV_PHASE_ROWS,			/* does not wait for anything of ours */
	APIGOUV_PHASE_REQUESTS,		/* waits for replies */
	APIGOUV_PHASE_RETRY,		/* ... for the moment to ask again */
	APIGOUV_PHASE_QUOTA,		/* ... for a slot of a limit */
	APIGOUV_PHASE_CACHE			/* ... for a reply that another session has
								 * asked for */
} ApigouvPhase;

/* Something under way: a scan, or a document. */
typedef struct ApigouvProgress ApigouvProgress;

/*
 * Something begins that asks for a tally's table, or server; requests: how
 * many are foreseen.  It ends with apigouv_progress_leave, or when its memory
 * context goes.
 */
extern ApigouvProgress *apigouv_progress_enter(const ApigouvTally *tally,
											   double requests,
											   MemoryContext cxt);
extern void apigouv_progress_leave(ApigouvProgress *progress);

/* More is known of how many requests something takes.  Both may be NULL. */
extern void apigouv_progress_foresee(ApigouvProgress *progress,
									 double requests);

/* This is what the backend is at.  NULL: still what it was. */
extern void apigouv_progress_at(ApigouvProgress *progress);

/* None of the following raises, and each is a few instructions. */

/* A row was given. */
extern void apigouv_progress_row(void);

/* A request has its reply; or a cache had it. */
extern void apigouv_progress_reply(void);
extern void apigouv_progress_hit(void);

/*
 * The backend begins to wait, or goes on (APIGOUV_PHASE_ROWS).  until: when
 * the wait should end (us, monotonic), APIGOUV_NEVER if that is not known;
 * limit: which one makes it wait, or NULL.
 */
extern void apigouv_progress_phase(ApigouvPhase phase, int64 until,
								   const char *limit);

#endif							/* APIGOUV_PROGRESS_H */
