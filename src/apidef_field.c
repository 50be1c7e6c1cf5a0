/*-------------------------------------------------------------------------
 *
 * apidef_field.c
 *		Values of a definition file that know where they stand.
 *
 * A definition is read with these functions only, so every mistake in one is
 * reported alike: file, field, and what is wrong there.  A reader names the
 * members that an object may have; any other is an error, so that a typing
 * mistake is not a silent default.
 *
 * A field is a small struct on its reader's stack that points to its parent's:
 * the text of its place is only made when there is an error to tell.
 *
 * Texts are copied to the current context, names of members are not.  They
 * stay in UTF-8, as replies and requests are; only what people read, and what
 * the server's regular expressions read, is put into the server's encoding.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/namespace.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "apidef_read.h"
#include "messages.h"

/* a member that every object may have, for people */
#define NOTE "note"

/* ---- errors ---- */

/* Append the place of a field within its file; nothing for the file. */
static void
append_place(StringInfo place, const ApigouvField *field)
{
	if (field->parent == NULL)
		return;
	append_place(place, field->parent);
	if (field->name == NULL)
		appendStringInfo(place, "[%zu]", field->index);
	else
		appendStringInfo(place, "%s%s", place->len > 0 ? "." : "", field->name);
}

/*
 * apigouv_field_error
 *		Raise the error for a mistake at a field.
 *
 * hint: a sentence, or NULL.  format: what is wrong, as in a primary message.
 */
void
apigouv_field_error(const ApigouvField *at, const char *hint,
					const char *format,...)
{
	const ApigouvField *file = at;
	StringInfoData place;
	StringInfoData problem;

	initStringInfo(&place);
	append_place(&place, at);
	if (place.len > 0)
		appendStringInfoString(&place, ": ");

	/* the values are UTF-8, whatever the server's encoding */
	format = _(format);
	if (!pg_is_ascii(format) && GetDatabaseEncoding() != PG_SQL_ASCII)
		format = pg_server_to_any(format, strlen(format), PG_UTF8);
	initStringInfo(&problem);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&problem, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&problem, needed);
	}

	while (file->parent != NULL)
		file = file->parent;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("invalid API definition \"%s\": %s%s", file->name,
					apigouv_field_server_text(place.data),
					apigouv_field_server_text(problem.data)),
			 hint ? errhint("%s", hint) : 0));
}

/* A sentence that lists names, for hints; empty ones are left out. */
char *
apigouv_field_names(const char *const *names)
{
	StringInfoData text;
	const char *comma = "";
	int			i;

	initStringInfo(&text);
	for (i = 0; names[i] != NULL; i++)
	{
		if (names[i][0] == '\0')
			continue;
		appendStringInfo(&text, "%s\"%s\"", comma, names[i]);
		comma = ", ";
	}
	return psprintf(_("Allowed here: %s."), text.data);
}

/* ---- walking ---- */

/* Raise an error unless a value is of this kind. */
static void
need_kind(const ApigouvField *field, ApigouvJsonKind kind)
{
	if (apigouv_json_kind(field->json) == kind)
		return;
	switch (kind)
	{
		case APIGOUV_JSON_OBJECT:
			apigouv_field_error(field, NULL, "must be an object");
		case APIGOUV_JSON_ARRAY:
			apigouv_field_error(field, NULL, "must be a list");
		case APIGOUV_JSON_STRING:
			apigouv_field_error(field, NULL, "must be a text");
		case APIGOUV_JSON_BOOLEAN:
			apigouv_field_error(field, NULL, "must be true or false");
		default:
			apigouv_field_error(field, NULL, "must be an integer");
	}
}

void
apigouv_field_members(const ApigouvField *object, const char *const *names)
{
	void	   *iterator = NULL;
	const char *name;
	ApigouvJson *value;

	need_kind(object, APIGOUV_JSON_OBJECT);
	while (apigouv_json_next(object->json, &iterator, &name, &value))
	{
		int			i = 0;

		while (names[i] != NULL && strcmp(names[i], name) != 0)
			i++;
		if (names[i] == NULL && strcmp(name, NOTE) != 0)
			apigouv_field_error(object, apigouv_field_names(names),
								"unrecognized member \"%s\"", name);
	}
}

ApigouvField
apigouv_field_get(const ApigouvField *object, const char *name)
{
	ApigouvField member;

	member.parent = object;
	member.name = name;
	member.index = 0;
	member.json = apigouv_json_get(object->json, name);
	return member;
}

ApigouvField
apigouv_field_need(const ApigouvField *object, const char *name)
{
	ApigouvField member = apigouv_field_get(object, name);

	if (member.json == NULL)
		apigouv_field_error(object, NULL, "member \"%s\" is missing", name);
	return member;
}

/* False at once when the map is not given. */
bool
apigouv_field_next(const ApigouvField *map, void **iterator,
				   ApigouvField *member)
{
	if (map->json == NULL)
		return false;
	need_kind(map, APIGOUV_JSON_OBJECT);
	member->parent = map;
	member->index = 0;
	do
	{
		if (!apigouv_json_next(map->json, iterator, &member->name,
							   &member->json))
			return false;
	} while (strcmp(member->name, NOTE) == 0);
	return true;
}

int
apigouv_field_length(const ApigouvField *list)
{
	if (list->json == NULL)
		return 0;
	need_kind(list, APIGOUV_JSON_ARRAY);
	return (int) apigouv_json_size(list->json);
}

ApigouvField
apigouv_field_at(const ApigouvField *list, int index)
{
	ApigouvField element;

	element.parent = list;
	element.name = NULL;
	element.index = index;
	element.json = apigouv_json_at(list->json, index);
	return element;
}

/* ---- texts ---- */

/*
 * convert
 *		A text in the server's encoding, in the current context.
 *
 * Characters that it cannot hold become "?" when lossy, else the result is
 * NULL.
 */
static char *
convert(const char *utf8, bool lossy)
{
	int			encoding = GetDatabaseEncoding();
	int			len = strlen(utf8);
	int			size = (len + 2) * MAX_CONVERSION_GROWTH + 1;
	unsigned char *from = (unsigned char *) utf8;
	unsigned char *result;
	unsigned char *to;
	Oid			proc;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || pg_is_ascii(utf8))
		return pstrdup(utf8);

	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return lossy ? pstrdup("?") : NULL;
	result = to = palloc(size);
	for (;;)
	{
		int			done;

		done = pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
											 from, len, to,
											 size - (int) (to - result), true);
		from += done;
		len -= done;
		to += strlen((char *) to);
		if (len == 0)
			return (char *) result;
		if (!lossy)
			return NULL;
		done = Min(pg_utf_mblen(from), len);
		from += done;
		len -= done;
		*to++ = '?';
		*to = '\0';
	}
}

/*
 * apigouv_field_server_text
 *		A text in the server's encoding, in the current context, with "?" for
 *		characters that it cannot hold.
 */
char *
apigouv_field_server_text(const char *utf8)
{
	return convert(utf8, true);
}

char *
apigouv_field_value(const ApigouvField *field, ApigouvTextUse use)
{
	const char *utf8;
	char	   *text;

	need_kind(field, APIGOUV_JSON_STRING);
	utf8 = apigouv_json_string(field->json);
	if (use == APIGOUV_TEXT_DATA)
		return pstrdup(utf8);
	text = convert(utf8, use != APIGOUV_TEXT_PATTERN);
	if (text == NULL)
		apigouv_field_error(field, NULL,
							"has a character that encoding %s does not hold",
							GetDatabaseEncodingName());
	return text;
}

/* The same as data; JSON null is NULL. */
char *
apigouv_field_value_or_null(const ApigouvField *field)
{
	if (apigouv_json_kind(field->json) == APIGOUV_JSON_NULL)
		return NULL;
	if (apigouv_json_kind(field->json) != APIGOUV_JSON_STRING)
		apigouv_field_error(field, NULL, "must be a text or null");
	return apigouv_field_value(field, APIGOUV_TEXT_DATA);
}

/* NULL when it is not given. */
char *
apigouv_field_text(const ApigouvField *object, const char *name,
				   ApigouvTextUse use)
{
	ApigouvField member = apigouv_field_get(object, name);

	return member.json ? apigouv_field_value(&member, use) : NULL;
}

char *
apigouv_field_need_text(const ApigouvField *object, const char *name,
						ApigouvTextUse use)
{
	ApigouvField member = apigouv_field_need(object, name);

	return apigouv_field_value(&member, use);
}

static char **
list_of_texts(const ApigouvField *list, ApigouvTextUse use, int *count)
{
	char	  **texts;
	int			i;

	*count = apigouv_field_length(list);
	if (*count == 0)
		return NULL;
	texts = palloc(*count * sizeof(char *));
	for (i = 0; i < *count; i++)
	{
		ApigouvField element = apigouv_field_at(list, i);

		texts[i] = apigouv_field_value(&element, use);
	}
	return texts;
}

/* A list of texts; none when it is not given. */
char **
apigouv_field_texts(const ApigouvField *object, const char *name,
					ApigouvTextUse use, int *count)
{
	ApigouvField list = apigouv_field_get(object, name);

	return list_of_texts(&list, use, count);
}

/* One text, or a list that is not empty. */
char **
apigouv_field_text_or_texts(const ApigouvField *object, const char *name,
							ApigouvTextUse use, int *count)
{
	ApigouvField member = apigouv_field_get(object, name);
	ApigouvJsonKind kind = apigouv_json_kind(member.json);
	char	  **texts;

	if (kind != APIGOUV_JSON_STRING)
	{
		if (kind != APIGOUV_JSON_NONE && kind != APIGOUV_JSON_ARRAY)
			apigouv_field_error(&member, NULL,
								"must be a text or a list of texts");
		texts = list_of_texts(&member, use, count);
		if (kind == APIGOUV_JSON_ARRAY && *count == 0)
			apigouv_field_error(&member, NULL, "must not be empty");
		return texts;
	}
	texts = palloc(sizeof(char *));
	texts[0] = apigouv_field_value(&member, use);
	*count = 1;
	return texts;
}

/* ---- other scalars ---- */

bool
apigouv_field_boolean(const ApigouvField *object, const char *name,
					  bool fallback)
{
	ApigouvField member = apigouv_field_get(object, name);

	if (member.json == NULL)
		return fallback;
	need_kind(&member, APIGOUV_JSON_BOOLEAN);
	return apigouv_json_is_true(member.json);
}

int
apigouv_field_integer(const ApigouvField *object, const char *name,
					  int smallest, int fallback)
{
	ApigouvField member = apigouv_field_get(object, name);
	int64_t		value;

	if (member.json == NULL)
		return fallback;
	need_kind(&member, APIGOUV_JSON_INTEGER);
	value = apigouv_json_integer(member.json, 0);
	if (value < smallest || value > INT_MAX)
		apigouv_field_error(&member, NULL, "must be from %d to %d",
							smallest, INT_MAX);
	return (int) value;
}

double
apigouv_field_number(const ApigouvField *object, const char *name,
					 double smallest, double fallback)
{
	ApigouvField member = apigouv_field_get(object, name);
	double		value;

	if (member.json == NULL)
		return fallback;
	if (apigouv_json_kind(member.json) != APIGOUV_JSON_REAL &&
		apigouv_json_kind(member.json) != APIGOUV_JSON_INTEGER)
		apigouv_field_error(&member, NULL, "must be a number");
	value = apigouv_json_number(member.json, 0);
	if (value < smallest)
		apigouv_field_error(&member, NULL, "must be %g at least", smallest);
	return value;
}

/*
 * apigouv_field_choice
 *		Position of a text in a list of words that ends with NULL.
 *
 * An empty word stands for what is only had by not giving the member.
 */
int
apigouv_field_choice(const ApigouvField *object, const char *name,
					 const char *const *words, int fallback)
{
	ApigouvField member = apigouv_field_get(object, name);
	const char *text;
	int			i;

	if (member.json == NULL)
		return fallback;
	need_kind(&member, APIGOUV_JSON_STRING);
	text = apigouv_json_string(member.json);
	for (i = 0; words[i] != NULL; i++)
	{
		if (words[i][0] != '\0' && strcmp(words[i], text) == 0)
			return i;
	}
	apigouv_field_error(&member, apigouv_field_names(words),
						"invalid value \"%s\"", text);
}

/* Raise an error unless a text is member names or numbers joined by dots. */
void
apigouv_field_check_json_path(const ApigouvField *at, const char *path)
{
	const char *p = path;

	for (;;)
	{
		size_t		len = strcspn(p, ".[]");

		if (len == 0 || p[len] == '[' || p[len] == ']')
			apigouv_field_error(at, NULL, "invalid path \"%s\"", path);
		if (p[len] == '\0')
			return;
		p += len + 1;
	}
}
