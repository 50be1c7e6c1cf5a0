/*-------------------------------------------------------------------------
 *
 * lookup_join.h
 *		Joins that ask for the keys of many outer rows together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_LOOKUP_JOIN_H
#define APIGOUV_LOOKUP_JOIN_H

#include "nodes/extensible.h"

/* Items of CustomScan.custom_private. */
enum ApigouvLookupItem
{
	APIGOUV_LOOKUP_MAY_STOP_EARLY,	/* Boolean */
	APIGOUV_LOOKUP_KEYS,		/* Float: different keys foreseen */
	APIGOUV_LOOKUP_REQUESTS		/* Float: requests foreseen */
};

/* setting apigouv_fdw.enable_lookup_join */
extern bool apigouv_enable_lookup_join;

/* lookup_join.c: planning.  From _PG_init. */
extern void apigouv_lookup_install(void);

/* lookup_scan.c: execution */
extern const CustomScanMethods apigouv_lookup_scan_methods;

#endif							/* APIGOUV_LOOKUP_JOIN_H */
