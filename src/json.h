/*-------------------------------------------------------------------------
 *
 * json.h
 *		The jansson boundary: small documents, read once, as trees.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_JSON_H
#define APIGOUV_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A JSON value.  Owned by the document it came from. */
typedef struct json_t ApigouvJson;

typedef enum ApigouvJsonKind
{
	APIGOUV_JSON_NONE,			/* NULL pointer */
	APIGOUV_JSON_NULL,
	APIGOUV_JSON_BOOLEAN,
	APIGOUV_JSON_INTEGER,
	APIGOUV_JSON_REAL,
	APIGOUV_JSON_STRING,
	APIGOUV_JSON_ARRAY,
	APIGOUV_JSON_OBJECT
} ApigouvJsonKind;

/*
 * Parse a document.  It belongs to CurrentMemoryContext: freed when that is
 * reset.  On a syntax error returns NULL and writes a sentence without period
 * to error (error_size bytes).  Duplicate member names are errors.
 */
extern ApigouvJson *apigouv_json_parse(const char *text, size_t len,
									   char *error, size_t error_size);

extern ApigouvJsonKind apigouv_json_kind(const ApigouvJson *json);

/* Member of an object, element of an array; NULL when there is none. */
extern ApigouvJson *apigouv_json_get(const ApigouvJson *object,
									 const char *name);
extern ApigouvJson *apigouv_json_at(const ApigouvJson *array, size_t index);
extern size_t apigouv_json_size(const ApigouvJson *container);

/* Dotted path; number steps index lists.  NULL when there is none. */
extern ApigouvJson *apigouv_json_path(const ApigouvJson *json,
									  const char *path);

/* The text of a string (owned by the document), else NULL. */
extern const char *apigouv_json_string(const ApigouvJson *json);
extern bool apigouv_json_is_true(const ApigouvJson *json);

/* The number, or fallback when it is not one. */
extern int64_t apigouv_json_integer(const ApigouvJson *json, int64_t fallback);
extern double apigouv_json_number(const ApigouvJson *json, double fallback);

/*
 * Members of an object in the document's order: *iterator starts at NULL;
 * false at the end.
 */
extern bool apigouv_json_next(const ApigouvJson *object, void **iterator,
							  const char **name, ApigouvJson **value);

/* Text of any value, as compact JSON, palloc'd; a string without quotes. */
extern char *apigouv_json_text(const ApigouvJson *json);

/* The same, a string with its quotes and escapes. */
extern char *apigouv_json_dump(const ApigouvJson *json);

#endif							/* APIGOUV_JSON_H */
