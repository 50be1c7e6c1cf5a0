/*-------------------------------------------------------------------------
 *
 * limit.h
 *		Which limits a request has to fit, and who counts with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_LIMIT_H
#define APIGOUV_LIMIT_H

#include "option.h"
#include "quota.h"

/*
 * Limits of a server: those of the definition, and what option "limits" says
 * (NULL: nothing).  As many as api->limits, in their order, in the current
 * context.  Raises ERRCODE_INVALID_PARAMETER_VALUE.
 */
extern ApigouvLimit *apigouv_limit_parse(const ApigouvApi *api,
										 const char *text);

/* Check option "role_limits"; raises ERRCODE_INVALID_PARAMETER_VALUE. */
extern void apigouv_limit_check_shares(const char *text);

/*
 * The limits of one request.  limit: of its route, -1 for none; from_host: it
 * goes to the API's host, so that the limit of the address counts as well.
 */
extern void apigouv_limit_find(const ApigouvOptions *options, Oid userid,
							   const ApigouvSecrets *secrets, int limit,
							   bool from_host, ApigouvQuotaLimits *limits);

/* Requests that a role may make in a window of a limit of the API. */
extern int	apigouv_limit_rate(const ApigouvOptions *options, Oid userid,
							   int limit);

/* "250 requests per 60 seconds", for EXPLAIN: in no other language; palloc'd. */
extern char *apigouv_limit_window(int requests, int64 window_ms);

/* The same in the user's language, for a message. */
extern char *apigouv_limit_words(int requests, int64 window_ms);

/*
 * The least time that limits impose on n requests when nothing was sent yet,
 * in ms.
 */
extern double apigouv_limit_least_ms(const ApigouvQuotaLimits *limits,
									 double n);

#endif							/* APIGOUV_LIMIT_H */
