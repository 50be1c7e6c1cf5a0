/*-------------------------------------------------------------------------
 *
 * tally.h
 *		Counting what is asked, per foreign table, for the whole cluster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TALLY_H
#define APIGOUV_TALLY_H

#include "http.h"
#include "option.h"
#include "utils/relcache.h"

/* What is counted. */
typedef enum ApigouvTallyCount
{
	APIGOUV_TALLY_REQUESTS,		/* sent, at their first attempt */
	APIGOUV_TALLY_RETRIES,		/* further attempts */
	/* how attempts have ended: the status */
	APIGOUV_TALLY_2XX,
	APIGOUV_TALLY_3XX,
	APIGOUV_TALLY_4XX,			/* but 429 */
	APIGOUV_TALLY_429,
	APIGOUV_TALLY_5XX,
	APIGOUV_TALLY_FAILED,		/* no whole reply */
	APIGOUV_TALLY_CANCELLED,	/* given up here */
	APIGOUV_TALLY_NOT_SENT,		/* refused before an attempt */
	/* replies that were not asked for */
	APIGOUV_TALLY_XACT_HITS,
	APIGOUV_TALLY_KEPT_HITS,
	APIGOUV_TALLY_SHARED_HITS,
	APIGOUV_TALLY_MERGED,		/* of XACT_HITS: the scan had asked itself */
	/* lookup joins */
	APIGOUV_TALLY_BATCHES,
	APIGOUV_TALLY_KEYS,

	APIGOUV_TALLY_BYTES,
	APIGOUV_TALLY_UPSTREAM_US,	/* of all attempts */
	APIGOUV_TALLY_SLOWEST_US,	/* of one attempt; a maximum */
	APIGOUV_TALLY_QUOTA_US		/* slept because of limits alone */
} ApigouvTallyCount;

#define APIGOUV_TALLY_COUNTS	(APIGOUV_TALLY_QUOTA_US + 1)

/* Bytes of a name in UTF-8, the last one NUL; longer ones are cut. */
#define APIGOUV_TALLY_NAME_BYTES 128

/* Names that a row goes by. */
typedef enum ApigouvTallyName
{
	APIGOUV_TALLY_DATABASE,
	APIGOUV_TALLY_SERVER,
	APIGOUV_TALLY_SCHEMA,		/* empty: of the server, not of a table */
	APIGOUV_TALLY_TABLE
} ApigouvTallyName;

#define APIGOUV_TALLY_NAMES		(APIGOUV_TALLY_TABLE + 1)

/* Where this backend counts what is asked for a table or a server. */
typedef struct ApigouvTally ApigouvTally;

/*
 * The tally of a foreign table, or with NULL of what is asked for its server
 * alone, such as access tokens.  Lives as long as the backend.
 */
extern ApigouvTally *apigouv_tally_of(const ApigouvOptions *options,
									  Relation rel);

extern bool apigouv_tally_is_table(const ApigouvTally *tally);

/* A name, in UTF-8. */
extern const char *apigouv_tally_name(const ApigouvTally *tally,
									  ApigouvTallyName which);

/*
 * Count.  None of these raises, waits or allocates; a tally of NULL counts
 * nothing.
 */
extern void apigouv_tally_add(ApigouvTally *tally, ApigouvTallyCount what,
							  int64 n);

/* What is to be counted of an attempt that is over. */
typedef struct ApigouvTallyAttempt
{
	bool		cancelled;
	int			before;			/* attempts of its transfer before it */
	int64		us;				/* that it took */
	int64		bytes;			/* that it received */
} ApigouvTallyAttempt;

/*
 * An attempt of a transfer is over.  What libcurl sent again by itself, in the
 * transfer's attempts as well, counts as another, after a failure.
 */
extern void apigouv_tally_attempt(ApigouvTally *tally,
								  const ApigouvTransfer *transfer,
								  const ApigouvTallyAttempt *attempt);

#endif							/* APIGOUV_TALLY_H */
