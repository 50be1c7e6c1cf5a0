/*-------------------------------------------------------------------------
 *
 * audit.h
 *		Audit lines: who asked what, about whom, and why.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_AUDIT_H
#define APIGOUV_AUDIT_H

#include "scan_state.h"

/* setting, defined in apigouv_fdw.c */
extern int	apigouv_audit;

#define APIGOUV_AUDIT_AUTO	0	/* APIs whose definition demands it */
#define APIGOUV_AUDIT_ON	1
#define APIGOUV_AUDIT_OFF	2

/*
 * Raise an error unless the lines of a server's requests are not wanted, or
 * can reach the server log.  To be called before anything is sent.
 */
extern void apigouv_audit_check(const ApigouvOptions *options);

/*
 * A page of a task has been asked for, and came from ring: note that a cache
 * gave its reply, or have the request that was queued for it noted when it is
 * sent, and at its end.  Nothing when no lines are wanted.
 */
extern void apigouv_audit_page(ApigouvScanState *state,
							   const ApigouvTask *task,
							   const ApigouvPage *page, bool lookup,
							   ApigouvRing ring);

/* The same for the request that was queued to check a server. */
extern void apigouv_audit_server_check(ApigouvTransfer *transfer,
									   const ApigouvOptions *options,
									   Oid userid, const ApigouvTable *table,
									   const ApigouvRoute *route);

/* The same for the request that was queued for a document. */
extern void apigouv_audit_document(ApigouvTransfer *transfer,
								   const ApigouvOptions *options, Oid userid,
								   const ApigouvRoute *route,
								   const char *url);

#endif							/* APIGOUV_AUDIT_H */
