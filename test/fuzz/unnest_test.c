/*-------------------------------------------------------------------------
 *
 * unnest_test.c
 *		Cases of lists inside lists, one by one.  Prints TAP.
 *
 * A case is a document and what reading it gives, written as text: a row is
 * "<value value ...>", then "{value ...}" is the envelope, then "N end" or
 * "N missing" (N: elements of the outermost list) or "error at N: text".  A
 * value of a row is asked for by its path; "^path" is of the element around
 * it, "^^path" of the one around that; "#", "^#" is a position.  "." is the
 * whole.  Every document is read whole and in pieces of each size from 1 byte
 * on, in memory that moves; what it gives must be the same.
 *
 * The sources are included, to count their allocations.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

#define malloc(size) counted_malloc(size)
#define calloc(n, size) counted_calloc(n, size)
#include "../../src/rowstream.c"
#include "../../src/rowvalue.c"
#include "../../src/unnest.c"
#undef malloc
#undef calloc

typedef struct Case
{
	const char *name;
	const char *rows;			/* rows path */
	const char *wanted;			/* separated by blanks, levels in order */
	const char *envelope_paths;
	const char *document;
	const char *given;
} Case;

/* What a case wants of each row. */
typedef struct Wanted
{
	int			n;
	bool		position[MAX_PATHS];
	int			level[MAX_PATHS];
	int			npaths;			/* those that are no positions */
	const char *paths[MAX_PATHS];
	int			path_levels[MAX_PATHS];
} Wanted;

/* Reads what a case wants; text is changed and must live on. */
static Wanted
split(char *text)
{
	Wanted		wanted;
	char	   *word;

	memset(&wanted, 0, sizeof(wanted));
	for (word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
	{
		int			level = (int) strspn(word, "^");

		word += level;
		wanted.level[wanted.n] = level;
		wanted.position[wanted.n] = strcmp(word, "#") == 0;
		if (!wanted.position[wanted.n++])
		{
			wanted.path_levels[wanted.npaths] = level;
			wanted.paths[wanted.npaths++] = strcmp(word, ".") ? word : "";
		}
	}
	return wanted;
}

static void
put_row(char *out, const Wanted *wanted, const ApigouvUnnest *unnest,
		const ApigouvValue *values)
{
	int			i;

	for (i = 0; i < wanted->n; i++)
	{
		strcat(out, i == 0 ? "<" : " ");
		if (wanted->position[i])
			sprintf(out + strlen(out), "%d",
					(int) apigouv_unnest_position(unnest, wanted->level[i]));
		else
			put_value(out, values++);
	}
	strcat(out, ">");
}

static void
put_end(char *out, const ApigouvUnnest *unnest, int outermost,
		ApigouvRowResult result)
{
	size_t		at;
	const char *error = apigouv_unnest_error(unnest, &at);

	if (result == APIGOUV_ROW_ERROR)
		sprintf(out + strlen(out), "error at %zu: %s", at, error);
	else if (result != APIGOUV_ROW_END)
		strcat(out, "no end");
	else
		sprintf(out + strlen(out), "%d %s",
				(int) apigouv_unnest_position(unnest, outermost),
				apigouv_rowstream_found(apigouv_unnest_outer(unnest)) ?
				"end" : "missing");
}

/* What a case gives, its document arriving in pieces of that many bytes. */
static void
read_case(const Case *c, size_t piece, char *out)
{
	char		words[256];
	char		envelope_path[64];
	const char *envelope_paths[1] = {envelope_path};
	int			nenvelope = c->envelope_paths[0] != '\0';
	int			nlists = apigouv_nesting_lists(c->rows);
	size_t		len = strlen(c->document);
	Wanted		wanted = split(strcpy(words, c->wanted));
	ApigouvValue values[MAX_PATHS];
	const char *error;
	ApigouvNesting *nesting;
	ApigouvUnnest *unnest;
	ApigouvRowResult result;
	size_t		have = 0;
	char	   *base = NULL;

	strcpy(envelope_path, c->envelope_paths);
	nesting = apigouv_nesting_create(c->rows, wanted.npaths, wanted.paths,
									 wanted.path_levels, nenvelope,
									 envelope_paths, &error);
	unnest = apigouv_unnest_create(nesting);
	*out = '\0';
	for (;;)
	{
		/* of the exact size, so that the sanitizer sees the end */
		char	   *moved = malloc(have > 0 ? have : 1);

		memcpy(moved, c->document, have);
		free(base);
		base = moved;
		while ((result = apigouv_unnest_next(unnest, base, have, have == len,
											 values)) == APIGOUV_ROW)
		{
			put_row(out, &wanted, unnest, values);
			/* they may move after each row, too */
			moved = memcpy(malloc(have), base, have);
			memset(base, '?', have);
			free(base);
			base = moved;
		}
		if (result != APIGOUV_ROW_MORE || have == len)
			break;
		have = piece < len - have ? have + piece : len;
	}
	if (nenvelope > 0)
	{
		ApigouvValue value =
			apigouv_rowstream_envelope(apigouv_unnest_outer(unnest), base, 0);

		strcat(out, "{");
		put_value(out, &value);
		strcat(out, "}");
	}
	put_end(out, unnest, nlists > 1 ? nlists - 1 : 0, result);
	free(base);
	apigouv_unnest_free(unnest);
	apigouv_nesting_free(nesting);
}

static void
check_case(const Case *c)
{
	size_t		len = strlen(c->document);
	size_t		piece;
	char		out[OUT_BYTES];
	char		name[200];

	for (piece = len; piece > 0; piece--)
	{
		read_case(c, piece, out);
		if (strcmp(out, c->given) != 0)
			break;
	}
	snprintf(name, sizeof(name), piece > 0 ? "%s (pieces of %zu)" : "%s",
			 c->name, piece);
	same(out, c->given, name);
}

static const Case cases[] = {
	/* one list or none: as a row stream, counted */
	{"no list", "d", "a #", "", "{\"d\":{\"a\":1}}", "<1 1>1 end"},
	{"one list", "r[]", "a #", "n", "{\"r\":[{\"a\":1},{}],\"n\":2}",
	"<1 1><- 2>{2}2 end"},

	/* parents before and after their list */
	{"parent before its list", "a[].b[]", "x ^p", "",
		"{\"a\":[{\"p\":1,\"b\":[{\"x\":2},{\"x\":3}]},{\"p\":4,\"b\":[{\"x\":5}]}]}",
	"<2 1><3 1><5 4>2 end"},
	{"parent after its list", "a[].b[]", "x ^p", "",
		"{\"a\":[{\"b\":[{\"x\":2},{\"x\":3}],\"p\":1},{\"b\":[{\"x\":5}],\"p\":4}]}",
	"<2 1><3 1><5 4>2 end"},
	{"parent in either place, then nowhere", "[].b[]", "x ^p", "",
		"[{\"p\":1,\"b\":[{\"x\":2}]},{\"b\":[{\"x\":3}],\"p\":\"q\"},{\"b\":[{\"y\":4}]}]",
	"<2 1><3 \"q\"><- ->3 end"},
	{"three lists", "d.e[].f[].g[]", ". # ^p ^# ^^p ^^#", "",
		"{\"d\":{\"e\":[{\"p\":1,\"f\":[{\"g\":[10,11],\"p\":2},{\"p\":3,\"g\":[12]}]},"
		"{\"f\":[{\"g\":[13]}],\"p\":4}]}}",
		"<10 1 2 1 1 1><11 2 2 1 1 1><12 1 3 2 1 1>"
	"<13 1 - 1 4 2>2 end"},
	{"list inside objects", "r[].a.b.c[]", ". ^a.b.p ^.", "",
		"{\"r\":[{\"a\":{\"b\":{\"c\":[1],\"p\":2}}}]}",
	"<1 2 {\"a\":{\"b\":{\"c\":[1],\"p\":2}}}>1 end"},
	{"same name at each level", "a[].a[]", "a ^a", "",
	"{\"a\":[{\"a\":[{\"a\":1}]}]}", "<1 [{\"a\":1}]>1 end"},
	{"envelope beside nested lists", "r[].b[]", ". ^p", "meta.n",
		"{\"r\":[{\"b\":[1],\"p\":\"\\u00e9\"}],\"meta\":{\"n\":7}}",
	"<1 \"\\u00e9\">{7}1 end"},
	{"last of a name", "[].b[]", ". ^p", "",
	"[{\"p\":1,\"b\":[1,2],\"b\":[3],\"p\":2}]", "<3 2>1 end"},

	/* elements */
	{"scalars, null among them", "[].b[]", ". ^p", "",
		"[{\"b\":[\"x\",null,1.5,true],\"p\":1}]",
	"<\"x\" 1><null 1><1.5 1><true 1>1 end"},
	{"lists as elements", "[].b[]", ". #", "", "[{\"b\":[[1],[]]}]",
	"<[1] 1><[] 2>1 end"},
	{"blanks", "[].b[]", "x ^p", "",
		" [ { \"b\" : [ { \"x\" : 1 } , { } ] , \"p\" : 2 } ] ",
	"<1 2><- 2>1 end"},

	/* no list */
	{"list absent, null, empty", "[].b[]", ". ^#", "",
		"[{\"p\":1},{\"b\":null},{\"b\":[]},{\"b\":[9]},{\"b\":[]}]",
	"<9 4>5 end"},
	{"no element", "[].b[]", ".", "", "[]", "0 end"},
	{"way to the list absent, null", "[].a.b[]", ". ^#", "",
		"[{},{\"a\":null},{\"a\":{}},{\"a\":{\"b\":[1]}}]",
	"<1 4>4 end"},
	{"outer list absent", "r[].b[]", ".", "", "{\"r\":null}", "0 missing"},
	{"empty lists at two levels", "[].a[].b[]", ". ^# ^^#", "",
		"[{\"a\":[]},{\"a\":[{},{\"b\":[]},{\"b\":[1]}]},{}]",
	"<1 3 2>3 end"},

	/* not shaped as expected */
	{"list that is an object", "[].b[]", ".", "", "[{\"b\":[1]},{\"b\":{}}]",
	"<1>error at 16: rows are not a list"},
	{"list that is a text", "[].b[]", ".", "", "[{\"b\":\"x\"}]",
	"error at 6: rows are not a list"},
	{"list that is false", "[].b[]", ".", "", "[{\"b\":false}]",
	"error at 6: rows are not a list"},
	{"deep list that is a number", "[].a[].b[]", ".", "",
		"[{\"a\":[{\"b\":[1]},{\"b\":2}]}]",
	"<1>error at 22: rows are not a list"},
	{"way to the list through a list", "[].a.b[]", ".", "",
		"[{\"a\":[{\"b\":[1]}]}]",
	"error at 6: rows are not a list"},
	{"outer list that is an object", "r[].b[]", ".", "", "{\"r\":{}}",
	"error at 5: rows are not a list"},
	{"element that is null", "[].b[]", ".", "", "[{\"b\":[1]},null]",
	"<1>error at 11: element that holds a list of rows is not an object"},
	{"element that is a list", "[].a[].b[]", ".", "", "[{\"a\":[[1]]}]",
	"error at 7: element that holds a list of rows is not an object"},
	{"cut in a list inside", "[].b[]", ".", "", "[{\"b\":[1]},{\"b\":[2",
	"<1>error at 18: document ends too early"},
	{"wrong in a list inside", "[].b[]", ".", "", "[{\"b\":[1,]}]",
	"error at 9: unexpected character"},
	{"wrong after a list inside", "[].b[]", ".", "", "[{\"b\":[1],}]",
	"error at 10: unexpected character"},
};

static void
check_paths(void)
{
	static const char *const wrong[][2] = {
		{"a[][]", "list inside a list needs a name"},
		{"a[].[]", "list inside a list needs a name"},
		{"a[].", "path of the rows goes on after its last list"},
		{"a[].b", "path of the rows goes on after its last list"},
		{"a[].b[].c", "path of the rows goes on after its last list"},
		{"a[]b[]", "list inside a list needs a name"},
		{"a[].b..c[]", "path has an empty name"},
		{"a..b[].c[]", "path has an empty name"},
		{"a[].b[0]", "path of the rows goes on after its last list"},
		{"[].a[].a[].a[].a[].a[].a[].a[].a[]",
		"path of the rows names too many lists"},
	};
	static const char *const path = "a";
	static const int levels[] = {0, 1, 2, -1};
	const char *error;
	size_t		i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		ApigouvNesting *nesting =
			apigouv_nesting_create(wrong[i][0], 0, NULL, NULL, 0, NULL,
								   &error);

		/* with one list, what is wrong is found by the row stream */
		if (nesting == NULL && apigouv_nesting_lists(wrong[i][0]) == 1)
			error = wrong[i][1];
		same(nesting == NULL ? error : "accepted", wrong[i][1], wrong[i][0]);
		apigouv_nesting_free(nesting);
	}
	for (i = 0; i < 4; i++)
	{
		ApigouvNesting *nesting =
			apigouv_nesting_create("[].b[]", 1, &path, &levels[i], 0, NULL,
								   &error);

		ok((nesting != NULL) == (levels[i] == 0 || levels[i] == 1),
		   "level of a value");
		apigouv_nesting_free(nesting);
	}
}

/* No allocation may be lost when another fails, nor any be made in reading. */
static void
check_memory(void)
{
	static const char text[] = "[{\"b\":[1,2],\"p\":3}]";
	static const char *const paths[] = {"", "p"};
	static const int levels[] = {0, 1};
	ApigouvValue values[2];
	const char *error;
	long		i;

	for (i = 0;; i++)
	{
		ApigouvNesting *nesting;
		ApigouvUnnest *unnest = NULL;

		allocations = 0;
		allocation_that_fails = i;
		nesting = apigouv_nesting_create("[].b[]", 2, paths, levels, 0, NULL,
										 &error);
		if (nesting != NULL)
			unnest = apigouv_unnest_create(nesting);
		allocation_that_fails = -1;
		if (unnest != NULL)
		{
			long		made = allocations;

			while (apigouv_unnest_next(unnest, text, strlen(text), true,
									   values) == APIGOUV_ROW)
				continue;
			ok(allocations == made, "reading allocates nothing");
		}
		apigouv_unnest_free(unnest);
		apigouv_nesting_free(nesting);
		if (unnest != NULL)
			break;
		if (nesting == NULL && strcmp(error, "out of memory") != 0)
			break;
	}
	ok(i > 10, "every allocation may fail");
}

int
main(void)
{
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_case(&cases[i]);
	check_paths();
	check_memory();
	printf("1..%d\n", tests);
	return failures > 0;
}
