/*-------------------------------------------------------------------------
 *
 * apidef_read.h
 *		Private to apidef*.c and steps.c: from definition files to structures.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_APIDEF_READ_H
#define APIGOUV_APIDEF_READ_H

#include "apidef.h"
#include "json.h"

/* ---- apidef_field.c: values that know where they stand ---- */

/*
 * A JSON value and its place in a file, for error messages.  Lives on the
 * stack of the function that reads it, its parent in a caller's.
 */
typedef struct ApigouvField
{
	const struct ApigouvField *parent;	/* NULL: the whole file */
	const char *name;			/* of the member, or of the file; NULL: an
								 * element of a list */
	size_t		index;			/* of an element */
	ApigouvJson *json;			/* NULL: not given */
} ApigouvField;

/* what a text is for decides its encoding */
typedef enum ApigouvTextUse
{
	APIGOUV_TEXT_DATA,			/* of requests, replies, conditions: UTF-8 */
	APIGOUV_TEXT_PROSE,			/* for people: the server's, with "?" for a
								 * character that it cannot hold */
	APIGOUV_TEXT_PATTERN		/* regular expression: the server's */
} ApigouvTextUse;

extern void apigouv_field_error(const ApigouvField *at, const char *hint,
								const char *format,...)
			__attribute__((noreturn, format(printf, 3, 4)));
extern char *apigouv_field_names(const char *const *names);

/* An object with these members at most (and a note). */
extern void apigouv_field_members(const ApigouvField *object,
								  const char *const *names);
extern ApigouvField apigouv_field_get(const ApigouvField *object,
									  const char *name);
extern ApigouvField apigouv_field_need(const ApigouvField *object,
									   const char *name);

/* Members of an object used as a map, in order, without its note. */
extern bool apigouv_field_next(const ApigouvField *map, void **iterator,
							   ApigouvField *member);

/* Number of elements of a list that may be absent; its elements. */
extern int	apigouv_field_length(const ApigouvField *list);
extern ApigouvField apigouv_field_at(const ApigouvField *list, int index);

/* The value itself. */
extern char *apigouv_field_value(const ApigouvField *field,
								 ApigouvTextUse use);
extern char *apigouv_field_value_or_null(const ApigouvField *field);

/* A member of an object. */
extern char *apigouv_field_text(const ApigouvField *object, const char *name,
								ApigouvTextUse use);
extern char *apigouv_field_need_text(const ApigouvField *object,
									 const char *name, ApigouvTextUse use);
extern char **apigouv_field_texts(const ApigouvField *object, const char *name,
								  ApigouvTextUse use, int *count);
extern char **apigouv_field_text_or_texts(const ApigouvField *object,
										  const char *name,
										  ApigouvTextUse use, int *count);
extern bool apigouv_field_boolean(const ApigouvField *object, const char *name,
								  bool fallback);
extern int	apigouv_field_integer(const ApigouvField *object, const char *name,
								  int smallest, int fallback);
extern double apigouv_field_number(const ApigouvField *object,
								   const char *name, double smallest,
								   double fallback);
extern int	apigouv_field_choice(const ApigouvField *object, const char *name,
								 const char *const *words, int fallback);
extern void apigouv_field_check_json_path(const ApigouvField *at,
										  const char *path);
extern char *apigouv_field_server_text(const char *utf8);

/* ---- apidef.c: files, and what is common to an API ---- */

/* A reply rule whose settings may not have met their table yet. */
typedef struct ApigouvRawRule
{
	ApigouvReplyRule rule;		/* its set is filled by a table */
	int			nset;
	char	  **set_columns;	/* names */
	char	  **set_texts;
} ApigouvRawRule;

/* An API with what its tables need to be read. */
typedef struct ApigouvApiFile
{
	ApigouvApi	api;			/* first: the const ApigouvApi * of callers */
	char	   *directory;
	bool		empty_is_null;
	int			nrules;
	ApigouvRawRule *rules;
	ApigouvTable purpose;		/* only its columns: the key columns that
								 * every table gets */
	int			npurpose;
	ApigouvParam *purpose_params;	/* column: position in purpose.columns */
	ApigouvTable **loaded;		/* beside api.tables; NULL: not read yet */
} ApigouvApiFile;

/* Makes the structure of a file in the current context. */
typedef void *(*ApigouvBuilder) (const ApigouvField *file, void *arg);

extern char *apigouv_apidef_directory(void);
extern void *apigouv_apidef_load(const char *directory, const char *file,
								 bool keep, ApigouvBuilder build,
								 void *arg);
extern bool apigouv_apidef_is_name(const char *name);
extern void apigouv_apidef_check_name(const ApigouvField *at,
									  const char *name);

/* ---- apidef_request.c: parameters and reply rules ---- */

extern int	apigouv_apidef_read_column(const ApigouvField *field,
									   const ApigouvTable *table);
extern int	apigouv_apidef_need_column(const ApigouvField *at,
									   const ApigouvTable *table,
									   const char *name);
extern int *apigouv_apidef_read_columns(const ApigouvField *object,
										const char *name,
										const ApigouvTable *table, int *count);
extern ApigouvStep *apigouv_apidef_read_steps(const ApigouvField *object,
											  const char *name, int *count);
extern void apigouv_apidef_read_param(const ApigouvField *at,
									  const ApigouvTable *table,
									  ApigouvParam *param);
extern void apigouv_apidef_read_rule(const ApigouvField *at,
									 bool of_document, ApigouvRawRule *raw);
extern int	apigouv_apidef_limit(const ApigouvField *object, const char *name,
								 const ApigouvApi *api);

/* ---- apidef_document.c: where documents come from ---- */

extern void apigouv_apidef_read_documents(const ApigouvField *file,
										  ApigouvApiFile *api);

/* ---- apidef_column.c: columns and sources ---- */

extern void apigouv_apidef_read_table_columns(const ApigouvField *file,
											  const ApigouvApiFile *api,
											  ApigouvTable *table,
											  bool empty_is_null);
extern ApigouvSource *apigouv_apidef_route_sources(const ApigouvField *route,
												   const ApigouvTable *table);

/* ---- apidef_rows.c: where rows are ---- */

extern void apigouv_apidef_read_rows(const ApigouvField *holder,
									 ApigouvRoute *route);
extern void apigouv_apidef_read_pivot(const ApigouvField *holder,
									  const ApigouvTable *table,
									  ApigouvRoute *route);
extern void apigouv_apidef_check_nesting(const ApigouvField *at,
										 const ApigouvTable *table,
										 ApigouvRoute *route);

/* ---- apidef_read.c: one table ---- */

extern void apigouv_apidef_read_table(const ApigouvField *file,
									  ApigouvApiFile *api,
									  ApigouvTable *table);

/* ---- steps.c ---- */

extern const ApigouvMap *apigouv_steps_map(const char *list, const char *from,
										   const char *to,
										   const char **missing);
extern void apigouv_steps_reset(void);

#endif							/* APIGOUV_APIDEF_READ_H */
