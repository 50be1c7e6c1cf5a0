/*-------------------------------------------------------------------------
 *
 * probe.h
 *		Queries of tools that look at a table without knowing its key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_PROBE_H
#define APIGOUV_PROBE_H

#include "route.h"
#include "scan_state.h"

/* setting, defined in apigouv_fdw.c */
extern int	apigouv_missing_key;

#define APIGOUV_MISSING_KEY_ERROR	0
#define APIGOUV_MISSING_KEY_EMPTY	1

/* Does a statement only read rows of a table, and name none of its keys? */
extern bool apigouv_probe_is_one(PlannerInfo *root, const RelOptInfo *rel,
								 const ApigouvRelInfo *info);

/*
 * Is a scan whose key is missing to give no row instead of an error?  Warns
 * when it is, once.
 */
extern bool apigouv_probe_is_empty(ApigouvScanState *state);

#endif							/* APIGOUV_PROBE_H */
