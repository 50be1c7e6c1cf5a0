/*-------------------------------------------------------------------------
 *
 * unnest.c
 *		Rows of a reply, when they may stand in lists inside lists.
 *
 * Each list on the way to the rows has a stream of its own (rowstream.c).
 * The stream of the outermost one reads the reply as it arrives.  What it is
 * to find in an element are the values wanted of that element, and the list
 * inside it, as one piece of text.  Once the element was read to its end, the
 * stream of the next level reads that piece as a document, and so on inwards.
 * So what an element says counts for its rows, be it before or after its
 * list, and no more than one element of the outermost list need be there.
 *
 * A list that is absent, null or empty has no rows, and neither has the
 * element that should hold it.  A list that is something else is an error; so
 * is an element that holds no members, and a way to the list that leads
 * through something else than objects.
 *
 * The caller's bytes may move between two calls: what is kept of an element
 * are offsets.  Bytes inside the element were checked by the outer stream, so
 * the inner ones meet no error of structure.
 *
 * Rows that stand in one list, or in none, are read by one stream, which this
 * module only counts.
 *
 * Memory is malloc'ed by the create functions only.
 *
 *-------------------------------------------------------------------------
 */
#include "unnest.h"
#include "rowstream_scan.h"

#include <stdlib.h>
#include <string.h>

#define TOO_MANY_LISTS	gettext_noop("path of the rows names too many lists")
#define NO_LIST_NAME	gettext_noop("list inside a list needs a name")
#define NO_LIST_END		gettext_noop("path of the rows goes on after its last list")
#define NOT_AN_OBJECT	gettext_noop("element that holds a list of rows is not an object")

/* The elements of one list. */
typedef struct Level
{
	ApigouvProjection *projection;
	int			first;			/* where its values are among those of a row */
	int			nwanted;		/* how many the caller wants */

	/*
	 * What is read of an element that holds a list, after what the caller
	 * wants: the element itself, what is on the way to the list, the list.
	 */
	int			nvalues;
} Level;

struct ApigouvNesting
{
	int			nlevels;
	Level		levels[APIGOUV_MAX_LISTS];	/* 0: the rows */
};

/* A value of an element, wherever the bytes are next time. */
typedef struct Kept
{
	ApigouvValueKind kind;
	bool		escaped;
	size_t		offset;
	size_t		len;
} Kept;

/* Reading of one list. */
typedef struct Cursor
{
	ApigouvRowstream *stream;
	size_t		start;			/* of the list, among the reply's bytes */
	size_t		len;
	int64_t		position;		/* of the element last read */
	ApigouvValue *values;		/* of an element that holds a list */
	Kept	   *kept;			/* what the caller wants of it */
} Cursor;

struct ApigouvUnnest
{
	const ApigouvNesting *nesting;
	int			level;			/* whose stream is to be asked next */
	Cursor		cursors[APIGOUV_MAX_LISTS];
	const char *error;			/* NULL if none */
	size_t		error_at;
};

/* ----------------------------------------------------------------
 *		Compiling paths
 * ----------------------------------------------------------------
 */

int
apigouv_nesting_lists(const char *rows_path)
{
	int			n = 0;

	while ((rows_path = strstr(rows_path, "[]")) != NULL)
	{
		n++;
		rows_path += 2;
	}
	return n;
}

/*
 * cut
 *		Cut a path of rows after each of its lists.
 *
 * path is changed: part i becomes the way to list i, without brackets.
 * Returns NULL, or what is wrong.
 */
static const char *
cut(char *path, int nparts, const char **parts)
{
	int			i;

	for (i = 0; i < nparts; i++)
	{
		char	   *end = strstr(path, "[]");

		*end = '\0';
		parts[i] = path;
		path = end + 2;
		if (i == nparts - 1)
			return *path == '\0' ? NULL : NO_LIST_END;
		if (path[0] != '.' || path[1] == '[' || path[1] == '\0')
			return NO_LIST_NAME;
		path++;
	}
	return NULL;
}

/*
 * make_level
 *		Compile what to read of the elements of one list.
 *
 * rows: where its stream finds them.  inner: where an element holds the list
 * of the next level, NULL if it is a row.
 */
static const char *
make_level(Level *level, const char *rows, const char *inner,
		   const char *const *paths, int nenvelope,
		   const char *const *envelope_paths)
{
	size_t		len = inner != NULL ? strlen(inner) : 0;
	size_t		nmore = inner != NULL ? 2 : 0;
	const char **all;
	char	   *names;
	char	   *name;
	const char *error = gettext_noop("out of memory");
	size_t		i;

	for (i = 0; i < len; i++)
		nmore += inner[i] == '.';
	level->nvalues = level->nwanted + (int) nmore;
	all = malloc(((size_t) level->nvalues + 1) * sizeof(char *));
	names = name = malloc(nmore * (len + 1) + 1);
	if (all != NULL && names != NULL)
	{
		int			n;

		for (n = 0; n < level->nwanted; n++)
			all[n] = paths[n];
		/* the element, then what is on the way, then the list */
		for (i = 0; i <= len && inner != NULL; i++)
		{
			if (i > 0 && i < len && inner[i] != '.')
				continue;
			memcpy(name, inner, i);
			name[i] = '\0';
			all[n++] = name;
			name += i + 1;
		}
		level->projection = apigouv_projection_create(rows, level->nvalues,
													  all, nenvelope,
													  envelope_paths, &error);
	}
	free(names);
	free(all);
	return level->projection != NULL ? NULL : error;
}

/*
 * apigouv_nesting_create
 *		Compile what to read of the replies of one route.
 *
 * Paths are copied.
 */
ApigouvNesting *
apigouv_nesting_create(const char *rows_path,
					   int nrow, const char *const *row_paths,
					   const int *row_levels,
					   int nenvelope, const char *const *envelope_paths,
					   const char **error)
{
	int			nlists = apigouv_nesting_lists(rows_path);
	ApigouvNesting *nesting = calloc(1, sizeof(ApigouvNesting));
	char	   *path = malloc(strlen(rows_path) + 1);
	const char *parts[APIGOUV_MAX_LISTS];
	int			i;

	*error = gettext_noop("out of memory");
	if (nesting != NULL && path != NULL)
	{
		*error = nlists > APIGOUV_MAX_LISTS ? TOO_MANY_LISTS : NULL;
		nesting->nlevels = nlists > 1 ? nlists : 1;
		strcpy(path, rows_path);
		if (*error == NULL && nlists > 1)
			*error = cut(path, nlists, parts);
		if (*error == NULL && nlists > 1)
			strcat(path, "[]"); /* the way to the outermost list */
	}
	for (i = 0; i < nrow && *error == NULL; i++)
	{
		int			level = row_levels != NULL ? row_levels[i] : 0;

		if (level < 0 || level >= nesting->nlevels)
			*error = gettext_noop("value of a level that there is not");
		else if (nesting->levels[level].nwanted++ == 0)
			nesting->levels[level].first = i;
	}
	for (i = 0; *error == NULL && i < nesting->nlevels; i++)
	{
		Level	   *level = &nesting->levels[i];
		bool		outer = i == nesting->nlevels - 1;

		*error = make_level(level, outer ? path : "[]",
							i > 0 ? parts[nlists - i] : NULL,
							row_paths + level->first, outer ? nenvelope : 0,
							envelope_paths);
	}
	free(path);
	if (*error == NULL)
		return nesting;
	apigouv_nesting_free(nesting);
	return NULL;
}

void
apigouv_nesting_free(ApigouvNesting *nesting)
{
	int			i;

	if (nesting == NULL)
		return;
	for (i = 0; i < nesting->nlevels && i < APIGOUV_MAX_LISTS; i++)
		apigouv_projection_free(nesting->levels[i].projection);
	free(nesting);
}

const ApigouvProjection *
apigouv_nesting_outer(const ApigouvNesting *nesting)
{
	return nesting->levels[nesting->nlevels - 1].projection;
}

/* ----------------------------------------------------------------
 *		A reply
 * ----------------------------------------------------------------
 */

/* NULL when there is no memory. */
ApigouvUnnest *
apigouv_unnest_create(const ApigouvNesting *nesting)
{
	ApigouvUnnest *unnest = calloc(1, sizeof(ApigouvUnnest));
	int			i;

	if (unnest == NULL)
		return NULL;
	unnest->nesting = nesting;
	unnest->level = nesting->nlevels - 1;
	for (i = 0; i < nesting->nlevels; i++)
	{
		const Level *level = &nesting->levels[i];
		Cursor	   *cursor = &unnest->cursors[i];

		cursor->stream = apigouv_rowstream_create(level->projection);
		if (i > 0)
		{
			cursor->values = calloc((size_t) level->nvalues,
									sizeof(ApigouvValue));
			cursor->kept = calloc((size_t) level->nvalues, sizeof(Kept));
		}
		if (cursor->stream == NULL ||
			(i > 0 && (cursor->values == NULL || cursor->kept == NULL)))
		{
			apigouv_unnest_free(unnest);
			return NULL;
		}
	}
	return unnest;
}

void
apigouv_unnest_free(ApigouvUnnest *unnest)
{
	int			i;

	if (unnest == NULL)
		return;
	for (i = 0; i < unnest->nesting->nlevels; i++)
	{
		apigouv_rowstream_free(unnest->cursors[i].stream);
		free(unnest->cursors[i].values);
		free(unnest->cursors[i].kept);
	}
	free(unnest);
}

static ApigouvRowResult
fail_at(ApigouvUnnest *unnest, const char *error, size_t offset)
{
	unnest->error = error;
	unnest->error_at = offset;
	return APIGOUV_ROW_ERROR;
}

/* Where a value begins; a string's text is after its quote. */
static size_t
offset_of(const ApigouvValue *value, const char *base)
{
	return (size_t) (value->text - base) - (value->kind == APIGOUV_STRING);
}

/*
 * enter
 *		Go into the list of an element that was read.
 *
 * Keeps what the caller wants of the element.  ROW: its list is to be read;
 * MORE: it has none; ERROR: it is not shaped as expected.
 */
static ApigouvRowResult
enter(ApigouvUnnest *unnest, int number, const char *base)
{
	const Level *level = &unnest->nesting->levels[number];
	Cursor	   *cursor = &unnest->cursors[number];
	Cursor	   *inner = cursor - 1;
	const ApigouvValue *list = &cursor->values[level->nvalues - 1];
	const ApigouvValue *value;
	int			i;

	for (value = &cursor->values[level->nwanted]; value < list; value++)
	{
		/* the element itself must be there; what follows may lack */
		if (value->kind == APIGOUV_OBJECT)
			continue;
		if (value == &cursor->values[level->nwanted])
			return fail_at(unnest, NOT_AN_OBJECT, offset_of(value, base));
		if (value->kind != APIGOUV_ABSENT && value->kind != APIGOUV_NULL)
			return fail_at(unnest, NOT_A_LIST, offset_of(value, base));
	}
	if (list->kind == APIGOUV_ABSENT || list->kind == APIGOUV_NULL)
		return APIGOUV_ROW_MORE;
	if (list->kind != APIGOUV_ARRAY)
		return fail_at(unnest, NOT_A_LIST, offset_of(list, base));
	for (i = 0; i < level->nwanted; i++)
	{
		Kept	   *kept = &cursor->kept[i];

		value = &cursor->values[i];
		kept->kind = value->kind;
		kept->escaped = value->escaped;
		kept->len = value->len;
		kept->offset = value->kind == APIGOUV_ABSENT ? 0 :
			(size_t) (value->text - base);
	}
	inner->start = (size_t) (list->text - base);
	inner->len = list->len;
	inner->position = 0;
	apigouv_rowstream_restart(inner->stream);
	return APIGOUV_ROW;
}

/* Give the row the values of the elements around it. */
static void
put_kept(const ApigouvUnnest *unnest, const char *base, ApigouvValue *values)
{
	int			number;
	int			i;

	for (number = 1; number < unnest->nesting->nlevels; number++)
	{
		const Level *level = &unnest->nesting->levels[number];

		for (i = 0; i < level->nwanted; i++)
		{
			const Kept *kept = &unnest->cursors[number].kept[i];
			ApigouvValue *value = &values[level->first + i];

			value->kind = kept->kind;
			value->escaped = kept->escaped;
			value->len = kept->len;
			value->text = kept->kind == APIGOUV_ABSENT ? NULL :
				base + kept->offset;
		}
	}
}

/* Ask the stream of a level for its next element. */
static ApigouvRowResult
next_element(ApigouvUnnest *unnest, int number, const char *base, size_t len,
			 bool complete, ApigouvValue *values)
{
	const Level *level = &unnest->nesting->levels[number];
	Cursor	   *cursor = &unnest->cursors[number];
	bool		outer = number == unnest->nesting->nlevels - 1;
	ApigouvRowResult result;

	result = apigouv_rowstream_next(cursor->stream,
									outer ? base : base + cursor->start,
									outer ? len : cursor->len,
									outer ? complete : true,
									number > 0 ? cursor->values :
									values + level->first);
	if (result == APIGOUV_ROW)
		cursor->position++;
	else if (result == APIGOUV_ROW_ERROR)
	{
		size_t		offset;
		const char *error = apigouv_rowstream_error(cursor->stream, &offset);

		return fail_at(unnest, error, cursor->start + offset);
	}
	return result;
}

/*
 * apigouv_unnest_next
 *		Read on to the next row, as apigouv_rowstream_next does.
 */
ApigouvRowResult
apigouv_unnest_next(ApigouvUnnest *unnest, const char *base, size_t len,
					bool complete, ApigouvValue *values)
{
	int			outermost = unnest->nesting->nlevels - 1;

	if (unnest->error != NULL)
		return APIGOUV_ROW_ERROR;
	if (outermost == 0)
		return next_element(unnest, 0, base, len, complete, values);
	for (;;)
	{
		int			number = unnest->level;
		ApigouvRowResult result = next_element(unnest, number, base, len,
											   complete, values);

		if (result == APIGOUV_ROW_END && number < outermost)
		{
			unnest->level++;
			continue;
		}
		if (result == APIGOUV_ROW && number > 0)
		{
			result = enter(unnest, number, base);
			if (result == APIGOUV_ROW_ERROR)
				return result;
			unnest->level -= result == APIGOUV_ROW;
			continue;
		}
		if (result == APIGOUV_ROW)
			put_kept(unnest, base, values);
		return result;
	}
}

int64_t
apigouv_unnest_position(const ApigouvUnnest *unnest, int level)
{
	return unnest->cursors[level].position;
}

const ApigouvRowstream *
apigouv_unnest_outer(const ApigouvUnnest *unnest)
{
	return unnest->cursors[unnest->nesting->nlevels - 1].stream;
}

void
apigouv_unnest_behind(const ApigouvUnnest *unnest, size_t *from, size_t *to)
{
	*from = *to = 0;
	if (unnest->nesting->nlevels == 1)
		apigouv_rowstream_behind(unnest->cursors[0].stream, from, to);
}

const char *
apigouv_unnest_error(const ApigouvUnnest *unnest, size_t *offset)
{
	*offset = unnest->error_at;
	return unnest->error;
}
