/*-------------------------------------------------------------------------
 *
 * rowstream_fuzz.c
 *		Differential fuzzing of the row scanner; jansson is the oracle.
 *
 * Input: one byte that chooses the rows path and the paths (and, with bit 4,
 * lists inside lists as well), two bytes that choose how the document is cut,
 * the document.
 *
 * Said of every document:
 *	 - a document whose every value is checked is accepted exactly when jansson
 *	   accepts it; what is only skipped may be wrong in UTF-8, surrogate
 *	   pairs and \u0000 alone.  Two rules are ours: 512 containers deep is the
 *	   most, and a number may be larger than a C type (the column's type says
 *	   what fits).  A NUL byte is always wrong; jansson loses one that follows
 *	   a number;
 *	 - a reply cut in any way, in buffers of the exact size that move at each
 *	   piece, gives the rows, the envelope and the error that it gives whole;
 *	 - so it does when the bytes of rows that were given are wiped meanwhile;
 *	 - rows and values are those of jansson's tree;
 *	 - so are rows in lists inside lists, with values and places of the
 *	   elements around them, up to the first that is not shaped as it should.
 *
 *-------------------------------------------------------------------------
 */
#include "../../src/unnest.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NROW		10
#define NENVELOPE	8
#define MAX_DEPTH	512
#define CHECK(ok) ((ok) ? (void) 0 : complain(#ok, __LINE__))

static const char *const rows_paths[] = {
	"", "[]", "a", "a[]", "a.b[]", "body.data", "body.results[]", "data.0"
};
static const char *const row_paths[NROW] = {
	"a", "", "a.b", "b", "a.b.c", "siret", "a", "id.x", "name", "attributs.a"
};
static const char *const envelope_paths[NENVELOPE] = {
	"a", "count", "a.b.c", "body", "a.c", "status", "", "body.data.a"
};

/* All that a reading gave, to compare two readings. */
typedef struct Trace
{
	uint64_t	hash;
	long		rows;
	ApigouvRowResult result;
	const char *error;
	size_t		error_at;
	bool		found;
} Trace;

/* Where and how to read. */
typedef struct Case
{
	ApigouvProjection *projection;
	int			nrow;
	unsigned	seed;
	const char *text;
	size_t		len;
	const json_t *rows;			/* compare with it; NULL = do not */
	const json_t *root;
	bool		list;
} Case;

static void
complain(const char *what, int line)
{
	fprintf(stderr, "line %d: not so: %s\n", line, what);
	abort();
}

static unsigned
next_random(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static void
mix(Trace *trace, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len-- > 0)
		trace->hash = (trace->hash ^ *p++) * 1099511628211u;
}

static void
mix_value(Trace *trace, const ApigouvValue *value)
{
	int			kind = (int) value->kind * 2 + value->escaped;

	mix(trace, &kind, sizeof(kind));
	mix(trace, &value->len, sizeof(value->len));
	if (value->kind != APIGOUV_ABSENT)
		mix(trace, value->text, value->len);
}

static const json_t *
walk(const json_t *json, const char *path)
{
	char		name[64];

	while (*path != '\0' && json != NULL)
	{
		size_t		len = strcspn(path, ".");

		memcpy(name, path, len);
		name[len] = '\0';
		json = json_is_object(json) ? json_object_get(json, name) : NULL;
		path += len + (path[len] == '.');
	}
	return json;
}

/* The tree of a document, NULL when it is wrong. */
static json_t *
load(const char *text, size_t len, size_t flags, json_error_t *error)
{
	memset(error, 0, sizeof(*error));
	if (memchr(text, 0, len) != NULL)
		return NULL;
	return json_loadb(text, len, flags | JSON_DECODE_ANY |
					  JSON_DECODE_INT_AS_REAL, error);
}

/* Same value?  json: NULL when absent. */
static void
compare(const ApigouvValue *value, const json_t *json)
{
	json_error_t error;
	json_t	   *mine;
	char	   *text;
	size_t		len;

	if (json == NULL)
	{
		CHECK(value->kind == APIGOUV_ABSENT);
		return;
	}
	CHECK(value->kind != APIGOUV_ABSENT);
	CHECK(apigouv_value_check(value, true) == NULL);
	switch (json_typeof(json))
	{
		case JSON_NULL:
			CHECK(value->kind == APIGOUV_NULL);
			break;
		case JSON_FALSE:
			CHECK(value->kind == APIGOUV_FALSE);
			break;
		case JSON_TRUE:
			CHECK(value->kind == APIGOUV_TRUE);
			break;
		case JSON_STRING:
			CHECK(value->kind == APIGOUV_STRING);
			CHECK(value->escaped ==
				  (memchr(value->text, '\\', value->len) != NULL));
			text = malloc(value->len + 1);
			len = apigouv_value_text(value, text);
			if (memchr(json_string_value(json), 0, json_string_length(json)))
			{
				CHECK(len == (size_t) -1);
				CHECK(apigouv_value_check(value, false) != NULL);
			}
			else
			{
				CHECK(len == json_string_length(json));
				CHECK(memcmp(text, json_string_value(json), len + 1) == 0);
				CHECK(apigouv_value_check(value, false) == NULL);
			}
			free(text);
			break;
		default:
			CHECK((value->kind == APIGOUV_NUMBER) == json_is_real(json));
			CHECK((value->kind == APIGOUV_ARRAY) == json_is_array(json));
			CHECK((value->kind == APIGOUV_OBJECT) == json_is_object(json));
			mine = load(value->text, value->len, JSON_ALLOW_NUL, &error);
			CHECK(mine != NULL && json_equal(mine, json));
			json_decref(mine);
	}
}

/*
 * The members that apigouv_value_member gives are those of the tree: each name
 * is in it, the last value of a name is the tree's, none is left out.
 */
static void
compare_members(const ApigouvValue *object, const json_t *json)
{
	ApigouvValue name;
	ApigouvValue value;
	size_t		position = 0;
	size_t		n = 0;

	while (apigouv_value_member(object, &position, &name, &value))
	{
		char	   *text = malloc(name.len + 1);
		ApigouvValue last;

		CHECK(name.kind == APIGOUV_STRING);
		CHECK(apigouv_value_text(&name, text) != (size_t) -1);
		CHECK(json_object_get(json, text) != NULL);
		if (*text != '\0' && strchr(text, '.') == NULL)
		{
			last = apigouv_value_get(object, text);
			CHECK(value.text <= last.text);
			n += value.text == last.text && value.len == last.len;
		}
		else
			n += *text == '\0' || strchr(text, '.') != NULL;
		free(text);
	}
	CHECK(n >= json_object_size(json));
	CHECK(position == 0 || position < object->len);
}

/* The same through apigouv_value_get and apigouv_value_next. */
static void
compare_inside(const ApigouvValue *value, const json_t *json, int *budget)
{
	ApigouvValue element;
	size_t		position = 0;
	size_t		i = 0;
	const char *key;
	json_t	   *member;

	if (--*budget < 0)
		return;
	compare(value, json);
	if (json_is_array(json))
	{
		while (apigouv_value_next(value, &position, &element))
		{
			ApigouvValue again;
			char		number[24];

			CHECK(i < json_array_size(json));
			if (*budget < 0)
			{
				i++;
				continue;
			}
			snprintf(number, sizeof(number), "%zu", i);
			again = apigouv_value_get(value, number);
			CHECK(again.text == element.text && again.len == element.len);
			compare_inside(&element, json_array_get(json, i++), budget);
		}
		CHECK(i == json_array_size(json));
	}
	if (json_is_object(json))
		compare_members(value, json);
	json_object_foreach((json_t *) json, key, member)
	{
		if (*key == '\0' || strchr(key, '.') != NULL)
			continue;
		element = apigouv_value_get(value, key);
		compare_inside(&element, member, budget);
	}
}

static void
compare_row(const Case *c, const ApigouvValue *values, long row)
{
	const json_t *json = c->rows;
	int			i;

	if (json == NULL)
		return;
	if (c->list)
	{
		CHECK(row < (long) json_array_size(json));
		json = json_array_get(json, (size_t) row);
	}
	else
		CHECK(row == 0);
	for (i = 0; i < c->nrow; i++)
		compare(&values[i], walk(json, row_paths[i]));
}

/* How many bytes of the document there are next time. */
static size_t
grow(const Case *c, unsigned *seed, size_t have)
{
	size_t		most = c->seed % 4 == 0 ? 1
		: c->seed % 4 == 1 ? 16 : c->len / 4;

	if (most < c->len / 64)
		most = c->len / 64;
	have += 1 + next_random(seed) % (most + 1);
	return have < c->len ? have : c->len;
}

/* Read a document, whole or in pieces. */
static Trace
read_document(const Case *c, bool in_pieces)
{
	ApigouvRowstream *stream = apigouv_rowstream_create(c->projection);
	ApigouvValue values[NROW];
	Trace		trace = {14695981039346656037u, 0, APIGOUV_ROW_MORE, NULL, 0,
	false};
	unsigned	seed = c->seed;
	size_t		have = in_pieces ? 0 : c->len;
	bool		complete = !in_pieces;
	char	   *base = NULL;
	size_t		from = 0;
	size_t		to = 0;
	int			i;

	for (;;)
	{
		char	   *moved = malloc(have > 0 ? have : 1);

		free(base);
		base = moved;
		memcpy(base, c->text, have);
		memset(base + from, 0, to - from);	/* nobody may look there */
		while ((trace.result = apigouv_rowstream_next(stream, base, have,
													  complete, values)) ==
			   APIGOUV_ROW)
		{
			for (i = 0; i < c->nrow; i++)
				mix_value(&trace, &values[i]);
			compare_row(c, values, trace.rows++);
			apigouv_rowstream_behind(stream, &from, &to);
			CHECK(from <= to && to <= have);
			for (i = 0; i < c->nrow; i++)
				CHECK(values[i].kind == APIGOUV_ABSENT || to == 0 ||
					  values[i].text >= base + to);
			if (!in_pieces)
				from = to = 0;
			memset(base + from, 0, to - from);
		}
		if (trace.result != APIGOUV_ROW_MORE)
			break;
		CHECK(!complete);
		complete = have == c->len;
		have = grow(c, &seed, have);
		complete = complete || (have == c->len && c->seed & 8);
	}
	memcpy(base, c->text, have);	/* the rows may be part of the envelope */
	trace.found = apigouv_rowstream_found(stream);
	trace.error = apigouv_rowstream_error(stream, &trace.error_at);
	CHECK((trace.error != NULL) == (trace.result == APIGOUV_ROW_ERROR));
	CHECK(trace.error_at <= c->len);
	for (i = 0; i < NENVELOPE; i++)
	{
		values[0] = apigouv_rowstream_envelope(stream, base, i);
		mix_value(&trace, &values[0]);
		/* below a list there is no member, whatever the tree says */
		if (trace.result == APIGOUV_ROW_END && c->root != NULL)
			compare(&values[0], walk(c->root, envelope_paths[i]));
	}
	free(base);
	apigouv_rowstream_free(stream);
	return trace;
}

static int
depth_of(const char *p, size_t len)
{
	const char *end = p + len;
	int			depth = 0;
	int			deepest = 0;

	for (; p < end; p++)
	{
		if (*p == '[' || *p == '{')
			deepest = ++depth > deepest ? depth : deepest;
		else if (*p == ']' || *p == '}')
			depth--;
		else if (*p == '"')
			for (p++; p < end && *p != '"'; p++)
				p += *p == '\\';
	}
	return deepest;
}

/* Is the document right, as jansson says?  Tells if its structure is. */
static bool
judge(const Case *c, bool nul_ok, size_t flags)
{
	json_error_t error;
	json_t	   *tree = load(c->text, c->len, flags, &error);
	ApigouvValue value;
	const char *wrong;
	const char *strict = NULL;
	bool		parsed = apigouv_value_parse(c->text, c->len, &value, &wrong);

	if (parsed)
		strict = apigouv_value_check(&value, nul_ok);
	if (tree != NULL && (!parsed || strict != NULL))
	{
		CHECK(!parsed && strcmp(wrong, "nested too deeply") == 0);
		CHECK(depth_of(c->text, c->len) > MAX_DEPTH);
	}
	CHECK(!parsed || memchr(c->text, 0, c->len) == NULL);
	if (tree == NULL && parsed && strict == NULL)
		CHECK(json_error_code(&error) == json_error_numeric_overflow);
	if (parsed && strict != NULL)
		CHECK(strstr(strict, "UTF-8") != NULL ||
			  strstr(strict, "surrogate") != NULL ||
			  strstr(strict, "u0000") != NULL);
	if (parsed)
		CHECK(depth_of(c->text, c->len) <= MAX_DEPTH);
	if (tree != NULL && parsed)
	{
		int			budget = 100;

		compare_inside(&value, tree, &budget);
	}
	json_decref(tree);
	return parsed;
}

static bool
has_duplicates(const Case *c)
{
	json_error_t error;
	json_t	   *tree = load(c->text, c->len,
							JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);

	json_decref(tree);
	return tree == NULL;
}

/* What reading the document whole has given, against its tree (or NULL). */
static void
judge_result(Case *c, const Trace *whole, const json_t *tree,
			 const char *rows_path)
{
	char		path[32];
	const json_t *rows;

	snprintf(path, sizeof(path), "%s", rows_path);
	if (c->list)
		path[strlen(path) - 2] = '\0';
	if (whole->error != NULL && strstr(whole->error, "twice") != NULL)
	{
		CHECK(has_duplicates(c));
		return;
	}
	if (tree == NULL)
		return;
	rows = walk(tree, path);
	if (whole->error != NULL && strstr(whole->error, "not a list") != NULL)
	{
		/* or the tree has a later member of the same name */
		CHECK(c->list && (has_duplicates(c) ||
						  (rows != NULL && !json_is_null(rows) &&
						   !json_is_array(rows))));
		return;
	}
	if (whole->result == APIGOUV_ROW_ERROR)
	{
		CHECK(strcmp(whole->error, "nested too deeply") == 0);
		return;
	}
	if (rows == NULL || json_is_null(rows))
		CHECK(whole->rows == 0 && !whole->found);
	else
	{
		CHECK(whole->found);
		CHECK(whole->rows == (c->list ? (long) json_array_size(rows) : 1));
	}
	c->rows = rows;
	c->root = tree;
}

static ApigouvProjection *
projection_of(unsigned selector, int nrow)
{
	static ApigouvProjection *known[16];
	const char *error;

	if (known[selector] == NULL)
		known[selector] = apigouv_projection_create(rows_paths[selector & 7],
													nrow, row_paths, NENVELOPE,
													envelope_paths, &error);
	CHECK(known[selector] != NULL);
	return known[selector];
}

/* ----------------------------------------------------------------
 *		Lists inside lists
 * ----------------------------------------------------------------
 */

#define NNESTED		4
#define MAX_STEPS	3			/* lists in a path below */

/* the same path as a text and as its lists, outermost first */
static const struct
{
	const char *path;
	const char *lists[MAX_STEPS + 1];
}			nested[NNESTED] =
{
	{"[].a[]", {"", "a"}},
	{"a[].b[]", {"a", "b"}},
	{"a[].a.b[]", {"a", "a.b"}},
	{"[].a[].b[]", {"", "a", "b"}}
};

/* What is read of a row, and of each element around it. */
#define NNEST_VALUES	3
static const char *const nest_paths[NNEST_VALUES] = {"", "a", "b"};

/* The rows that a tree says there are, walked as far as there are some. */
typedef struct Walk
{
	const char *const *lists;
	int			nlevels;
	long		wanted;			/* the row to find */
	long		row;			/* rows met */
	const json_t *elements[MAX_STEPS];	/* by level, of the row found */
	size_t		places[MAX_STEPS];
	bool		wrong;			/* an element is not shaped as it should */
} Walk;

/* Is everything on the way to a list an object, or nothing? */
static bool
way_is_right(const json_t *json, const char *path)
{
	char		name[64];

	for (; *path != '\0'; path += strcspn(path, ".") + (strchr(path, '.') != NULL))
	{
		size_t		len = strcspn(path, ".");

		if (json == NULL || json_is_null(json))
			return true;
		if (!json_is_object(json))
			return false;
		memcpy(name, path, len);
		name[len] = '\0';
		json = json_object_get(json, name);
	}
	return json == NULL || json_is_null(json) || json_is_array(json);
}

/* Walks the elements of a list; true when the row is found. */
static bool
walk_list(Walk *way, const json_t *list, int level)
{
	size_t		i;

	for (i = 0; i < json_array_size(list) && !way->wrong; i++)
	{
		const json_t *element = json_array_get(list, i);
		const char *path;

		way->elements[level] = element;
		way->places[level] = i + 1;
		if (level == 0)
		{
			if (way->row++ == way->wanted)
				return true;
			continue;
		}
		path = way->lists[way->nlevels - level];
		way->wrong = !json_is_object(element) || !way_is_right(element, path);
		if (!way->wrong)
		{
			const json_t *inner = element;

			inner = walk(inner, path);
			if (inner != NULL && !json_is_null(inner) &&
				walk_list(way, inner, level - 1))
				return true;
		}
	}
	return false;
}

/* Is that row the tree's?  row: one more than the last means the end. */
static void
compare_nested(int which, const json_t *tree, long row, bool there,
			   const ApigouvValue *values, const ApigouvUnnest *unnest)
{
	Walk		way;
	int			level;
	int			i;

	memset(&way, 0, sizeof(way));
	way.lists = nested[which].lists;
	while (way.nlevels < MAX_STEPS && way.lists[way.nlevels] != NULL)
		way.nlevels++;
	way.wanted = row;
	CHECK(walk_list(&way, walk(tree, way.lists[0]),
					way.nlevels - 1) == there);
	if (!there)
		CHECK(way.wrong == (apigouv_unnest_error(unnest,
												  &(size_t) {0}) != NULL));
	for (level = 0; there && level < way.nlevels; level++)
	{
		CHECK(apigouv_unnest_position(unnest, level) ==
			  (int64_t) way.places[level]);
		for (i = 0; i < NNEST_VALUES; i++)
			compare(&values[level * NNEST_VALUES + i],
					walk(way.elements[level], nest_paths[i]));
	}
}

static ApigouvNesting *
nesting_of(int which)
{
	static ApigouvNesting *known[NNESTED];
	const char *paths[MAX_STEPS * NNEST_VALUES];
	int			levels[MAX_STEPS * NNEST_VALUES];
	const char *error;
	int			n = 0;

	if (known[which] != NULL)
		return known[which];
	for (; nested[which].lists[n / NNEST_VALUES] != NULL; n++)
	{
		paths[n] = nest_paths[n % NNEST_VALUES];
		levels[n] = n / NNEST_VALUES;
	}
	known[which] = apigouv_nesting_create(nested[which].path, n, paths, levels,
										  0, NULL, &error);
	CHECK(known[which] != NULL);
	return known[which];
}

/* Read a document, whole or in pieces.  tree: compare with it, unless NULL. */
static Trace
read_nested(const Case *c, int which, const json_t *tree, bool in_pieces)
{
	ApigouvUnnest *unnest = apigouv_unnest_create(nesting_of(which));
	ApigouvValue values[MAX_STEPS * NNEST_VALUES];
	Trace		trace = {14695981039346656037u, 0, APIGOUV_ROW_MORE, NULL, 0,
	false};
	unsigned	seed = c->seed;
	size_t		have = in_pieces ? 0 : c->len;
	bool		complete = !in_pieces;
	char	   *base = NULL;
	int			i;

	memset(values, 0, sizeof(values));
	for (;;)
	{
		char	   *moved = malloc(have > 0 ? have : 1);

		free(base);
		base = moved;
		memcpy(base, c->text, have);
		while ((trace.result = apigouv_unnest_next(unnest, base, have,
												   complete,
												   values)) == APIGOUV_ROW)
		{
			for (i = 0; i < MAX_STEPS * NNEST_VALUES; i++)
				mix_value(&trace, &values[i]);
			if (tree != NULL && trace.rows < 50)
				compare_nested(which, tree, trace.rows, true, values, unnest);
			trace.rows++;
		}
		if (trace.result != APIGOUV_ROW_MORE)
			break;
		CHECK(!complete);
		complete = have == c->len;
		have = grow(c, &seed, have);
		complete = complete || (have == c->len && c->seed & 8);
	}
	trace.found = apigouv_rowstream_found(apigouv_unnest_outer(unnest));
	trace.error = apigouv_unnest_error(unnest, &trace.error_at);
	CHECK((trace.error != NULL) == (trace.result == APIGOUV_ROW_ERROR));
	CHECK(trace.error_at <= c->len);
	if (tree != NULL && (trace.error == NULL ||
						 (strstr(trace.error, "twice") == NULL &&
						  strstr(trace.error, "deeply") == NULL)))
	{
		const json_t *outer = walk(tree, nested[which].lists[0]);

		if (outer == NULL || json_is_null(outer) || json_is_array(outer))
			compare_nested(which, tree, trace.rows, false, values, unnest);
		else
			CHECK(trace.error != NULL && trace.rows == 0);
	}
	free(base);
	apigouv_unnest_free(unnest);
	return trace;
}

static void
check_nested(const Case *c, int which, const json_t *tree)
{
	Trace		whole = read_nested(c, which, tree, false);
	Trace		pieces = read_nested(c, which, NULL, true);

	CHECK(pieces.result == whole.result && pieces.rows == whole.rows);
	CHECK(pieces.hash == whole.hash && pieces.found == whole.found);
	CHECK(pieces.error == whole.error && pieces.error_at == whole.error_at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned	selector;
	Case		c;
	Trace		whole;
	Trace		pieces;
	json_t	   *tree;
	json_error_t error;
	bool		parsed;

	if (size < 3)
		return 0;
	memset(&c, 0, sizeof(c));
	selector = data[0] & 15;
	c.nrow = selector & 8 ? 1 : NROW;
	c.projection = projection_of(selector, c.nrow);
	c.seed = data[1] * 256u + data[2];
	c.len = size - 3;
	c.text = memcpy(malloc(c.len + 1), data + 3, c.len);
	c.list = strstr(rows_paths[selector & 7], "[]") != NULL;

	parsed = judge(&c, true, JSON_ALLOW_NUL);
	(void) judge(&c, false, 0);
	whole = read_document(&c, false);
	if (whole.result == APIGOUV_ROW_END)
		CHECK(parsed);
	else if (parsed)
		CHECK(strstr(whole.error, "twice") || strstr(whole.error, "not a list"));
	tree = load(c.text, c.len, JSON_ALLOW_NUL, &error);
	judge_result(&c, &whole, tree, rows_paths[selector & 7]);
	pieces = read_document(&c, true);
	CHECK(pieces.result == whole.result && pieces.rows == whole.rows);
	CHECK(pieces.hash == whole.hash && pieces.found == whole.found);
	CHECK(pieces.error == whole.error && pieces.error_at == whole.error_at);
	/* a repeated name on the way may have given rows that the tree lost */
	if (data[0] & 16)
		check_nested(&c, data[0] >> 5 & (NNESTED - 1),
					 tree != NULL && !has_duplicates(&c) ? tree : NULL);
	json_decref(tree);
	free((char *) c.text);
	return 0;
}
