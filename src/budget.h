/*-------------------------------------------------------------------------
 *
 * budget.h
 *		How many requests a query may make, and how long limits may make it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_BUDGET_H
#define APIGOUV_BUDGET_H

#include "compat.h"
#include "scan_state.h"

/* What a query has spent; shared by all its scans. */
typedef struct ApigouvBudget
{
	struct EState *estate;		/* which query */
	int64		made;			/* requests sent anew */
} ApigouvBudget;

/* The budget of a query; lives as long as its executor state. */
extern ApigouvBudget *apigouv_budget_of(struct EState *estate);

/*
 * Refuse a scan whose tasks are made and whose requests are certain to be too
 * many, or to take too long, before the first is sent.  Raises
 * ERRCODE_CONFIGURATION_LIMIT_EXCEEDED.
 */
extern void apigouv_budget_check(ApigouvScanState *state);

/* Has the query made as many requests as it may? */
extern bool apigouv_budget_is_spent(const ApigouvScanState *state);

/* Raise the error for one more.  ERRCODE_CONFIGURATION_LIMIT_EXCEEDED. */
extern void apigouv_budget_refuse(ApigouvScanState *state)
			APIGOUV_NORETURN;

/*
 * Refuse a document when as many requests were made for documents as a query
 * may make, or when the limits would make it wait for too long.  The same
 * error.
 */
extern void apigouv_budget_check_document(const char *server,
										  const ApigouvQuotaLimits *limits,
										  int64 made);

/* The least time until n requests could be sent, in us. */
extern int64 apigouv_budget_forecast(const ApigouvQuotaLimits *limits,
									 int64 n);

/* settings */
extern int	apigouv_max_requests_per_query;
extern int	apigouv_max_duration_ms;

#endif							/* APIGOUV_BUDGET_H */
