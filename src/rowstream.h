/*-------------------------------------------------------------------------
 *
 * rowstream.h
 *		Bytes of a JSON reply, as they arrive, to projected row values.
 *
 * No PostgreSQL header: this module also builds stand-alone, for fuzzing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ROWSTREAM_H
#define APIGOUV_ROWSTREAM_H

#include <stdbool.h>
#include <stddef.h>

typedef enum ApigouvValueKind
{
	APIGOUV_ABSENT = 0,			/* no such member */
	APIGOUV_NULL,
	APIGOUV_FALSE,
	APIGOUV_TRUE,
	APIGOUV_NUMBER,
	APIGOUV_STRING,
	APIGOUV_ARRAY,
	APIGOUV_OBJECT
} ApigouvValueKind;

/*
 * A value found in a reply.  It points into the caller's bytes and lives as
 * long as they do.
 */
typedef struct ApigouvValue
{
	ApigouvValueKind kind;
	bool		escaped;		/* string that holds a backslash */
	const char *text;			/* raw JSON; a string without its quotes */
	size_t		len;			/* bytes of text */
} ApigouvValue;

/* What to read: a compiled set of paths.  Shared by all replies of a route. */
typedef struct ApigouvProjection ApigouvProjection;

/* The state of reading one reply. */
typedef struct ApigouvRowstream ApigouvRowstream;

typedef enum ApigouvRowResult
{
	APIGOUV_ROW,				/* a row: values[] are filled */
	APIGOUV_ROW_MORE,			/* more bytes are needed */
	APIGOUV_ROW_END,			/* the whole document was read */
	APIGOUV_ROW_ERROR			/* not JSON, or not shaped as expected */
} ApigouvRowResult;

/*
 * rows_path: where the rows are ("", "data", "results[]", "[]", "a.b[]").
 * row_paths: values wanted of each row, dotted member names; "" = whole row.
 * envelope_paths: values wanted of the reply outside its rows, dotted.
 * Returns NULL and sets *error (static text) when a path is malformed.
 */
extern ApigouvProjection *apigouv_projection_create(const char *rows_path,
													int nrow,
													const char *const *row_paths,
													int nenvelope,
													const char *const *envelope_paths,
													const char **error);
extern void apigouv_projection_free(ApigouvProjection *projection);

extern ApigouvRowstream *apigouv_rowstream_create(const ApigouvProjection *projection);
extern void apigouv_rowstream_free(ApigouvRowstream *stream);
extern void apigouv_rowstream_restart(ApigouvRowstream *stream);

/*
 * The next row.  base, len: all bytes received since the start of the reply
 * (base may have moved since the last call; values of earlier rows are then
 * void).  complete: no more bytes will come.
 */
extern ApigouvRowResult apigouv_rowstream_next(ApigouvRowstream *stream,
											   const char *base, size_t len,
											   bool complete,
											   ApigouvValue *values);

/* Was the rows path present?  (Absent or null: false.)  Known at the end. */
extern bool apigouv_rowstream_found(const ApigouvRowstream *stream);

/* An envelope value, ABSENT while not seen.  base as in the last call. */
extern ApigouvValue apigouv_rowstream_envelope(const ApigouvRowstream *stream,
											   const char *base, int index);

/*
 * The bytes from *from to *to were read and hold nothing that will be asked
 * for: rows already given, not the last.  Envelope values never stand there.
 */
extern void apigouv_rowstream_behind(const ApigouvRowstream *stream,
									 size_t *from, size_t *to);

/* After APIGOUV_ROW_ERROR: static text without period, and where. */
extern const char *apigouv_rowstream_error(const ApigouvRowstream *stream,
										   size_t *offset);

/* ---- rowvalue.c ---- */

/*
 * Is a value that is about to be used strictly right?  Checks escapes, control
 * characters, surrogate pairs, UTF-8, number grammar.  NULL when it is, else
 * static text.  nul_ok: accept \u0000 in a string (the caller refuses it).
 */
extern const char *apigouv_value_check(const ApigouvValue *value, bool nul_ok);

/*
 * Text of a checked string value in UTF-8.  out: room for value->len + 1
 * bytes; a final NUL is written.  Returns its length, or (size_t) -1 when the
 * text holds \u0000.
 */
extern size_t apigouv_value_text(const ApigouvValue *value, char *out);

/*
 * A value inside another (which must be an object, or an array for number
 * steps): dotted path as above.  ABSENT when there is none.
 */
extern ApigouvValue apigouv_value_get(const ApigouvValue *value,
									  const char *path);

/*
 * Elements of an array, one by one: *position starts at 0; false at the end.
 * The array must come from a stream or a check, so that its structure is known
 * to be right.
 */
extern bool apigouv_value_next(const ApigouvValue *array, size_t *position,
							   ApigouvValue *element);

/* Members of an object likewise, repeated ones too, in their order. */
extern bool apigouv_value_member(const ApigouvValue *object, size_t *position,
								 ApigouvValue *name, ApigouvValue *value);

/*
 * A whole small document held in memory, structure checked.  False and *error
 * (static text) when it is not JSON.
 */
extern bool apigouv_value_parse(const char *text, size_t len,
								ApigouvValue *value, const char **error);

#endif							/* APIGOUV_ROWSTREAM_H */
