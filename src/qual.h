/*-------------------------------------------------------------------------
 *
 * qual.h
 *		Conditions of a query that an API could take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_QUAL_H
#define APIGOUV_QUAL_H

#include "apidef.h"

#include "nodes/pathnodes.h"

/*
 * A condition "column operator value" on one column of a foreign table.
 * value is free of that table's columns; evaluated at execution.
 */
typedef struct ApigouvQual
{
	int			column;			/* position in the API definition */
	uint32		op;				/* one APIGOUV_OP_ bit */
	Expr	   *value;
	bool		is_array;		/* value is an array: any of its elements */
	Expr	   *clause;			/* the whole condition */
	Relids		outer;			/* relations of the value; NULL = none */
} ApigouvQual;

/* A foreign table as the planner sees it: its definition and its columns. */
typedef struct ApigouvColumnMap
{
	int			natts;
	int		   *column_of;		/* by attnum - 1: position in the definition,
								 * -1 = dropped or not in it */
} ApigouvColumnMap;

extern void apigouv_qual_map_columns(Oid relid, const ApigouvTable *table,
									 ApigouvColumnMap *map);
extern List *apigouv_qual_collect(PlannerInfo *root, RelOptInfo *rel,
								  const ApigouvTable *table,
								  const ApigouvColumnMap *map);
extern List *apigouv_qual_collect_ec(PlannerInfo *root, RelOptInfo *rel,
									 const ApigouvTable *table,
									 const ApigouvColumnMap *map);

/* Columns (of the definition) that a node mentions, as a Bitmapset. */
extern Bitmapset *apigouv_qual_columns(Node *node, Index varno,
									   const ApigouvColumnMap *map);

#endif							/* APIGOUV_QUAL_H */
