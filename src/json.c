/*-------------------------------------------------------------------------
 *
 * json.c
 *		The jansson boundary: small documents, read once, as trees.
 *
 * Definitions, tokens, error bodies and JWT claims come through here, where
 * a tree is handy; rows never do (rowstream.c).
 *
 * This is the only file that includes jansson.h.  The server exports a
 * function named as jansson's constructor of objects, and at run time the
 * server's wins: a call to it would crash the backend.  Hence the poison
 * below, and hence no server header that declares the other one.
 *
 * jansson's memory is the current memory context's while it works for us: a
 * tree ends with its context, and want of memory raises where it is met.  Of
 * itself jansson would not always say so: it drops a byte of a text that it
 * could not store, and a dump without memory is an empty one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <jansson.h>
#pragma GCC poison json_object

#include "json.h"
#include "messages.h"

/* What jansson allocated with before. */
typedef struct Allocation
{
	json_malloc_t allocate;
	json_free_t release;
} Allocation;

static void *
allocate(size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, size);
}

/* From here jansson allocates in the current context, until leave(). */
static Allocation
enter(void)
{
	Allocation	before;

	json_get_alloc_funcs(&before.allocate, &before.release);
	json_set_alloc_funcs(allocate, pfree);
	return before;
}

static void
leave(Allocation before)
{
	json_set_alloc_funcs(before.allocate, before.release);
}

/*
 * describe
 *		Write what is wrong and where.
 *
 * jansson ends most of its texts with the bytes it met, which may be part of
 * a token or of somebody's identity: they are cut off.
 */
static void
describe(const json_error_t *problem, char *error, size_t error_size)
{
	const char *met = strstr(problem->text, " near ");
	int			len = met ? (int) (met - problem->text) :
	(int) strlen(problem->text);

	if (problem->line > 0)
		snprintf(error, error_size, _("%.*s at line %d, column %d"),
				 len, problem->text, problem->line, problem->column);
	else
		snprintf(error, error_size, "%.*s", len, problem->text);
}

ApigouvJson *
apigouv_json_parse(const char *text, size_t len, char *error,
				   size_t error_size)
{
	Allocation	before = enter();
	json_error_t problem;
	json_t	   *volatile json;

	PG_TRY();
	{
		json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
						  &problem);
	}
	PG_FINALLY();
	{
		leave(before);
	}
	PG_END_TRY();
	if (json == NULL)
		describe(&problem, error, error_size);
	return json;
}

ApigouvJsonKind
apigouv_json_kind(const ApigouvJson *json)
{
	if (json == NULL)
		return APIGOUV_JSON_NONE;
	switch (json_typeof(json))
	{
		case JSON_OBJECT:
			return APIGOUV_JSON_OBJECT;
		case JSON_ARRAY:
			return APIGOUV_JSON_ARRAY;
		case JSON_STRING:
			return APIGOUV_JSON_STRING;
		case JSON_INTEGER:
			return APIGOUV_JSON_INTEGER;
		case JSON_REAL:
			return APIGOUV_JSON_REAL;
		case JSON_TRUE:
		case JSON_FALSE:
			return APIGOUV_JSON_BOOLEAN;
		case JSON_NULL:
			break;
	}
	return APIGOUV_JSON_NULL;
}

ApigouvJson *
apigouv_json_get(const ApigouvJson *object, const char *name)
{
	return json_object_get(object, name);
}

ApigouvJson *
apigouv_json_at(const ApigouvJson *array, size_t index)
{
	return json_array_get(array, index);
}

/* Members of an object, elements of an array; 0 for anything else. */
size_t
apigouv_json_size(const ApigouvJson *container)
{
	if (json_is_object(container))
		return json_object_size(container);
	return json_array_size(container);
}

/*
 * array_index
 *		Read a step of len bytes as an index of a list; -1 when it is none.
 */
static int
array_index(const char *step, size_t len)
{
	int			index = 0;
	size_t		i;

	if (len == 0 || len > 9)
		return -1;
	for (i = 0; i < len; i++)
	{
		if (step[i] < '0' || step[i] > '9')
			return -1;
		index = index * 10 + (step[i] - '0');
	}
	return index;
}

ApigouvJson *
apigouv_json_path(const ApigouvJson *json, const char *path)
{
	ApigouvJson *at = (ApigouvJson *) json;
	char		name[256];

	while (at != NULL && *path != '\0')
	{
		size_t		len = strcspn(path, ".");

		if (json_is_array(at))
		{
			int			index = array_index(path, len);

			at = index < 0 ? NULL : json_array_get(at, index);
		}
		else if (len < sizeof(name))
		{
			memcpy(name, path, len);
			name[len] = '\0';
			at = json_object_get(at, name);
		}
		else
			at = NULL;
		path += len;
		if (*path == '.')
			path++;
	}
	return at;
}

const char *
apigouv_json_string(const ApigouvJson *json)
{
	return json_string_value(json);
}

bool
apigouv_json_is_true(const ApigouvJson *json)
{
	return json_is_true(json);
}

int64_t
apigouv_json_integer(const ApigouvJson *json, int64_t fallback)
{
	return json_is_integer(json) ? json_integer_value(json) : fallback;
}

double
apigouv_json_number(const ApigouvJson *json, double fallback)
{
	return json_is_number(json) ? json_number_value(json) : fallback;
}

bool
apigouv_json_next(const ApigouvJson *object, void **iterator,
				  const char **name, ApigouvJson **value)
{
	json_t	   *json = (json_t *) object;

	if (*iterator == NULL)
		*iterator = json_object_iter(json);
	else
		*iterator = json_object_iter_next(json, *iterator);
	if (*iterator == NULL)
		return false;
	*name = json_object_iter_key(*iterator);
	*value = json_object_iter_value(*iterator);
	return true;
}

char *
apigouv_json_text(const ApigouvJson *json)
{
	if (json_is_string(json))
		return pnstrdup(json_string_value(json), json_string_length(json));
	return apigouv_json_dump(json);
}

/*
 * apigouv_json_dump
 *		NULL for a NULL pointer.
 *
 * Measured first, then written: jansson's callback must not raise, for it is
 * deep in its own frames; its own memory may, see above.
 */
char *
apigouv_json_dump(const ApigouvJson *json)
{
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	Allocation	before;
	size_t		size;
	char	   *volatile text;

	if (json == NULL)
		return NULL;
	before = enter();
	PG_TRY();
	{
		size = json_dumpb(json, NULL, 0, flags);
		text = palloc(size + 1);
		size = json_dumpb(json, text, size, flags);
		text[size] = '\0';
	}
	PG_FINALLY();
	{
		leave(before);
	}
	PG_END_TRY();
	return text;
}
