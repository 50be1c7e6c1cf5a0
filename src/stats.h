/*-------------------------------------------------------------------------
 *
 * stats.h
 *		What the API definitions know of a column's values, for the planner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_STATS_H
#define APIGOUV_STATS_H

extern void apigouv_stats_install(void);

#endif							/* APIGOUV_STATS_H */
