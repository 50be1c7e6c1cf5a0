/*-------------------------------------------------------------------------
 *
 * pivot.h
 *		Several elements of a list that make one row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_PIVOT_H
#define APIGOUV_PIVOT_H

#include "tuple.h"

/* The elements of one reply, in groups. */
typedef struct ApigouvPivot ApigouvPivot;

/*
 * cxt: what the pivot lives in.  Bytes of the reply must stay where they are
 * as long as it does.
 */
extern ApigouvPivot *apigouv_pivot_create(const ApigouvReader *reader,
										  MemoryContext cxt);
extern void apigouv_pivot_free(ApigouvPivot *pivot);

/*
 * Put an element that was read into its group.  Returns NULL, or what is wrong
 * with its name, palloc'd.
 */
extern const char *apigouv_pivot_add(ApigouvPivot *pivot,
									 const ApigouvRow *row);

/* The next group, in the order of first elements; NULL at the end. */
extern const ApigouvGroup *apigouv_pivot_next(ApigouvPivot *pivot);

#endif							/* APIGOUV_PIVOT_H */
