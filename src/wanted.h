/*-------------------------------------------------------------------------
 *
 * wanted.h
 *		How many rows a query will want of one of its scans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_WANTED_H
#define APIGOUV_WANTED_H

#include "nodes/pathnodes.h"

/* What the nodes above a scan want of it. */
typedef struct ApigouvWanted
{
	bool		all;			/* they read it to its end */
	double		rows;			/* they may stop after so many; 0 = unknown */
} ApigouvWanted;

extern bool apigouv_wanted_of(PlannerInfo *root, const Path *path,
							  ApigouvWanted *wanted);

#endif							/* APIGOUV_WANTED_H */
