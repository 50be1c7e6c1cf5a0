/*-------------------------------------------------------------------------
 *
 * tuple.h
 *		Values of replies to rows of a foreign table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TUPLE_H
#define APIGOUV_TUPLE_H

#include "apidef.h"
#include "qual.h"
#include "unnest.h"

#include "executor/tuptable.h"
#include "utils/rel.h"

/* How rows of one foreign table are made, by any of its routes. */
typedef struct ApigouvTupler ApigouvTupler;

/* An element of a group, by its name. */
typedef struct ApigouvGroupMember
{
	char	   *name;
	ApigouvValue whole;
} ApigouvGroupMember;

/* Elements that make one row: see pivot.c. */
typedef struct ApigouvGroup
{
	List	   *members;		/* of ApigouvGroupMember, in order */
	ApigouvValue *values;		/* of the first, as for a row */
	int64		positions[APIGOUV_MAX_LISTS];	/* likewise, by level */
} ApigouvGroup;

/* How rows of one route are read. */
typedef struct ApigouvReader
{
	const ApigouvRoute *route;
	ApigouvNesting *nesting;
	int			nvalues;		/* of a row */
	int			whole_index;	/* among them: the whole row */
	bool		any_rows;		/* rows need not be objects */
	int			pivot_index;	/* of the pivot's name among the values, then
								 * what it groups by; -1 = no pivot */
	struct ApigouvCompiled *columns;	/* one per column of the definition */
	bool		needs_envelope; /* read the whole reply before its rows */
	int			total_index;	/* of the total among envelope values, or -1 */
} ApigouvReader;

/* What a row is made of, besides the reply's bytes. */
typedef struct ApigouvRow
{
	const ApigouvReader *reader;
	const ApigouvValue *values; /* of the row; NULL for a row that is made */
	const ApigouvUnnest *read;	/* what gave it: its places; or NULL */
	int64		before;			/* of its outermost list, not in its page */
	const ApigouvGroup *group;	/* NULL: the row is one element */
	const ApigouvRowstream *stream; /* for envelope values; NULL if none */
	const char *base;			/* the stream's bytes */
	const ApigouvValue *whole;	/* made row: the body, NULL if none */
	char	  **echo;			/* per column: text asked, NULL if none */
	const ApigouvSettings *set[2];	/* made row: texts, first wins; or NULL */
	TimestampTz received;		/* now, without reply */
	int			status;			/* of HTTP; 0 = there is no reply */
	const char *code;			/* of an error body; NULL or empty if none */
	const char *title;
	const char *error;			/* for column "erreur"; NULL if none */
} ApigouvRow;

extern ApigouvTupler *apigouv_tuple_begin(Relation rel,
										  const ApigouvTable *table,
										  const ApigouvColumnMap *map,
										  const List *columns);
extern void apigouv_tuple_need(ApigouvTupler *tupler, int column);
extern bool apigouv_tuple_runs_code(const ApigouvTupler *tupler);
extern ApigouvReader *apigouv_tuple_reader(ApigouvTupler *tupler,
										   const ApigouvRoute *route);
extern void apigouv_tuple_store(ApigouvTupler *tupler, const ApigouvRow *row,
								TupleTableSlot *slot);
extern int64 apigouv_tuple_position(const ApigouvRow *row, int level);
extern char *apigouv_tuple_text(ApigouvTupler *tupler, const ApigouvRow *row,
								int column);

#endif							/* APIGOUV_TUPLE_H */
