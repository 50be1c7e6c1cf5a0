/*-------------------------------------------------------------------------
 *
 * upper.h
 *		Counts of a whole table, or of a condition's rows, in one request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_UPPER_H
#define APIGOUV_UPPER_H

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

extern ForeignScan *apigouv_upper_plan(ForeignPath *path, List *tlist,
									   Plan *outer_plan);

#endif							/* APIGOUV_UPPER_H */
