/*-------------------------------------------------------------------------
 *
 * unnest.h
 *		Rows of a reply, when they may stand in lists inside lists.
 *
 * No PostgreSQL header: this module also builds stand-alone, for fuzzing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_UNNEST_H
#define APIGOUV_UNNEST_H

#include "rowstream.h"

#include <stdint.h>

/* Lists on the way to the rows; the deepest that APIs nest them is three. */
#define APIGOUV_MAX_LISTS	8

/*
 * What to read, compiled; shared by all replies of a route.
 *
 * Levels count outwards: 0 is the row, 1 the element that holds the list that
 * the row stands in, and so on.
 */
typedef struct ApigouvNesting ApigouvNesting;

/* The state of reading one reply. */
typedef struct ApigouvUnnest ApigouvUnnest;

/*
 * rows_path: as for a projection, or with several lists ("a.b[].c[]"); the
 * last must then end the path.  row_paths: values wanted, row_levels: of which
 * level each (NULL: of the row), in an order that never goes back to a lower
 * level.  Returns NULL and sets *error (static text) when a path is malformed.
 */
extern ApigouvNesting *apigouv_nesting_create(const char *rows_path,
											  int nrow,
											  const char *const *row_paths,
											  const int *row_levels,
											  int nenvelope,
											  const char *const *envelope_paths,
											  const char **error);
extern void apigouv_nesting_free(ApigouvNesting *nesting);

/* How the outermost list and the envelope are read. */
extern const ApigouvProjection *apigouv_nesting_outer(const ApigouvNesting *nesting);

/* Number of lists that a rows path names. */
extern int	apigouv_nesting_lists(const char *rows_path);

extern ApigouvUnnest *apigouv_unnest_create(const ApigouvNesting *nesting);
extern void apigouv_unnest_free(ApigouvUnnest *unnest);

/* As apigouv_rowstream_next; values: of all levels, in the order given. */
extern ApigouvRowResult apigouv_unnest_next(ApigouvUnnest *unnest,
											const char *base, size_t len,
											bool complete,
											ApigouvValue *values);

/*
 * Place of the last row's element of that level in its own list, from 1.  At
 * the end: the number of elements that were read of the outermost list.
 */
extern int64_t apigouv_unnest_position(const ApigouvUnnest *unnest, int level);

/* The stream of the outermost list: its envelope, whether it was found. */
extern const ApigouvRowstream *apigouv_unnest_outer(const ApigouvUnnest *unnest);

/* As apigouv_rowstream_behind; nothing while lists stand inside lists. */
extern void apigouv_unnest_behind(const ApigouvUnnest *unnest,
								  size_t *from, size_t *to);

/* After APIGOUV_ROW_ERROR: static text without period, and where. */
extern const char *apigouv_unnest_error(const ApigouvUnnest *unnest,
										size_t *offset);

#endif							/* APIGOUV_UNNEST_H */
