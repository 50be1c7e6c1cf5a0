/*-------------------------------------------------------------------------
 *
 * quota_view.h
 *		The counters of the quota ledger, for those who show them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_QUOTA_VIEW_H
#define APIGOUV_QUOTA_VIEW_H

#include "postgres.h"

#include "quota.h"

/* What was read of the ledger, in the order of its counters. */
typedef struct ApigouvQuotaRows
{
	ApigouvQuotaRow rows[APIGOUV_LEDGER_COUNTERS];
	int			n;
} ApigouvQuotaRows;

/*
 * All counters, in the current context.  Raises ERRCODE_IO_ERROR,
 * ERRCODE_LOCK_NOT_AVAILABLE.
 */
extern ApigouvQuotaRows *apigouv_quota_rows(void);

#endif							/* APIGOUV_QUOTA_VIEW_H */
