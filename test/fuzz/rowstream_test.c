/*-------------------------------------------------------------------------
 *
 * rowstream_test.c
 *		Cases of the row scanner, one by one.  Prints TAP.
 *
 * A case is a document and what reading it gives, written as text: a row is
 * "<value value ...>", then "{value ...}" is the envelope, then "end",
 * "missing" (no rows) or "error at N: text".  An absent value is "-", a string
 * is in quotes.  Every document is read whole and in pieces of 1, 3 and 17
 * bytes, in memory that moves; what it gives must be the same.
 *
 * The scanner's source is included, to count its allocations and to see how
 * often it reads the same bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

#define malloc(size) counted_malloc(size)
#define calloc(n, size) counted_calloc(n, size)
#include "../../src/rowstream.c"
#include "../../src/rowvalue.c"
#undef malloc
#undef calloc

typedef struct Case
{
	const char *name;
	const char *rows;			/* rows path */
	const char *row_paths;		/* separated by blanks; "." is the row */
	const char *envelope_paths;
	const char *document;
	const char *given;
} Case;

/* ----------------------------------------------------------------
 *		Reading a document, as text
 * ----------------------------------------------------------------
 */

/* Splits at blanks into paths; text is changed.  Returns their number. */
static int
split(char *text, const char **paths)
{
	int			n = 0;
	char	   *word;

	for (word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
		paths[n++] = strcmp(word, ".") == 0 ? "" : word;
	return n;
}

static void
put_values(char *out, const char *brackets, int n, const ApigouvValue *values)
{
	int			i;

	strncat(out, brackets, 1);
	for (i = 0; i < n; i++)
	{
		if (i > 0)
			strcat(out, " ");
		put_value(out, &values[i]);
	}
	strcat(out, brackets + 1);
}

static void
put_end(char *out, const ApigouvRowstream *stream, ApigouvRowResult result)
{
	size_t		at;
	const char *error = apigouv_rowstream_error(stream, &at);

	if (result == APIGOUV_ROW_ERROR)
		sprintf(out + strlen(out), "error at %zu: %s", at, error);
	else if (result != APIGOUV_ROW_END)
		strcat(out, "no end");
	else
		strcat(out, apigouv_rowstream_found(stream) ? "end" : "missing");
}

/* What a case gives, its document arriving in pieces of that many bytes. */
static void
read_case(const Case *c, const char *document, size_t len, size_t piece,
		  char *out)
{
	char		rows[256];
	char		envelope[256];
	const char *row_paths[MAX_PATHS];
	const char *envelope_paths[MAX_PATHS];
	ApigouvValue values[MAX_PATHS];
	const char *error;
	int			nrow = split(strcpy(rows, c->row_paths), row_paths);
	int			nenvelope = split(strcpy(envelope, c->envelope_paths),
								  envelope_paths);
	ApigouvProjection *projection =
		apigouv_projection_create(c->rows, nrow, row_paths, nenvelope,
								  envelope_paths, &error);
	ApigouvRowstream *stream = apigouv_rowstream_create(projection);
	ApigouvRowResult result = APIGOUV_ROW_MORE;
	size_t		have = 0;
	char	   *base = NULL;
	int			i;

	*out = '\0';
	for (;;)
	{
		char	   *moved = malloc(have + 1);

		memcpy(moved, document, have);
		if (base != NULL)
			memset(base, '?', have > piece ? have - piece : 0);
		free(base);
		base = moved;
		while ((result = apigouv_rowstream_next(stream, base, have,
												have == len, values)) ==
			   APIGOUV_ROW)
			put_values(out, "<>", nrow, values);
		if (result != APIGOUV_ROW_MORE || have == len)
			break;
		have = piece < len - have ? have + piece : len;
	}
	for (i = 0; i < nenvelope; i++)
		values[i] = apigouv_rowstream_envelope(stream, base, i);
	if (nenvelope > 0)
		put_values(out, "{}", nenvelope, values);
	put_end(out, stream, result);
	free(base);
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
}

static void
check_case(const Case *c)
{
	static const size_t pieces[] = {1u << 20, 17, 3, 1};
	char		out[OUT_BYTES];
	char		name[200];
	int			i;

	for (i = 0; i < 4; i++)
	{
		read_case(c, c->document, strlen(c->document), pieces[i], out);
		if (strcmp(out, c->given) != 0)
			break;
	}
	snprintf(name, sizeof(name), i < 4 ? "%s (pieces of %zu)" : "%s", c->name,
			 i < 4 ? pieces[i] : 0);
	same(out, c->given, name);
}

/* ----------------------------------------------------------------
 *		Cases
 * ----------------------------------------------------------------
 */

static const Case cases[] = {
	/* where rows are */
	{"whole document", "", "a . a.b", "", "{\"a\":{\"b\":1}}",
	"<{\"b\":1} {\"a\":{\"b\":1}} 1>end"},
	{"whole document, a number", "", ". a", "", " 12 ", "<12 ->end"},
	{"whole document, null", "", ".", "", "null", "missing"},
	{"document is a list", "[]", "a", "", "[{\"a\":1},{\"a\":2} , 3,null]",
	"<1><2><-><->end"},
	{"document is an empty list", "[]", "a", "", " [ ] ", "end"},
	{"document should be a list", "[]", "a", "", "{\"a\":1}",
	"error at 0: rows are not a list"},
	{"member", "data", "a", "", "{\"x\":[1],\"data\":{\"a\":1}}", "<1>end"},
	{"member, a text", "data", ". a", "", "{\"data\":\"t\"}", "<\"t\" ->end"},
	{"member, null", "data", "a", "", "{\"data\":null}", "missing"},
	{"member, absent", "data", "a", "", "{\"date\":{}}", "missing"},
	{"member of a list", "data", "a", "", "[{\"data\":1}]", "missing"},
	{"list", "results[]", "a b", "", "{\"results\":[{\"b\":1},{\"a\":\"x\"}]}",
	"<- 1><\"x\" ->end"},
	{"list, null", "results[]", "a", "", "{\"results\":null}", "missing"},
	{"list, absent", "results[]", "a", "", "{}", "missing"},
	{"list that is an object", "results[]", "a", "", "{\"results\":{}}",
	"error at 11: rows are not a list"},
	{"list that is a number", "results[]", "a", "", "{\"results\":0}",
	"error at 11: rows are not a list"},
	{"nested list", "a.b[]", ".", "", "{\"b\":[0],\"a\":{\"b\":[1,[2]],\"c\":3}}",
	"<1><[2]>end"},
	{"nested list, no object", "a.b[]", ".", "", "{\"a\":[{\"b\":[1]}]}",
	"missing"},
	{"rows twice", "a[]", ".", "", "{\"a\":[1],\"a\":[2]}",
	"<1>error at 10: member on the way to the rows occurs twice"},
	{"way to the rows twice", "a.b[]", ".", "",
		"{\"a\":{\"b\":[1]},\"a\":{}}",
	"<1>error at 16: member on the way to the rows occurs twice"},

	/* envelope */
	{"envelope before and after", "r[]", ".", "n meta.total meta.x",
		"{\"n\":5,\"r\":[1,2],\"meta\":{\"x\":\"\\u00e9\",\"total\":null}}",
	"<1><2>{5 null \"\\u00e9\"}end"},
	{"envelope beside the rows, deep", "a.r[]", ".", "a.n a.m.o b",
		"{\"a\":{\"m\":{\"o\":1},\"r\":[],\"n\":2},\"b\":[{}]}",
	"{2 1 [{}]}end"},
	{"envelope, last of a name", "r[]", ".", "m.a m.b",
	"{\"m\":{\"a\":1,\"b\":2},\"m\":{\"b\":3},\"r\":[]}", "{- 3}end"},
	{"envelope around the rows", "a.r[]", ".", "a a.r .",
		" {\"a\":{\"r\":[1]}} ",
	"<1>{{\"r\":[1]} [1] {\"a\":{\"r\":[1]}}}end"},
	{"envelope inside a single row", "d", "a", "d.a d d.b.c",
	"{\"d\":{\"a\":1,\"b\":{\"c\":2}}}", "<1>{1 {\"a\":1,\"b\":{\"c\":2}} 2}end"},
	{"envelope of a document that is the row", "", "a", "m.n .",
	"{\"a\":1,\"m\":{\"n\":2}}", "<1>{2 {\"a\":1,\"m\":{\"n\":2}}}end"},
	{"envelope inside a list is nowhere", "r[]", ".", "r.a r.0",
	"{\"r\":[{\"a\":1}]}", "<{\"a\":1}>{- -}end"},
	{"envelope where rows are absent", "r[]", ".", "code r",
	"{\"code\":3,\"r\":null}", "{3 null}missing"},
	{"same envelope path twice", "r[]", ".", "n n", "{\"n\":1}", "{1 1}missing"},

	/* members of rows */
	{"paths that overlap", "[]", "a a.b . a.b.c a", "",
		"[{\"a\":{\"b\":{\"c\":1}}},{\"a\":1}]",
		"<{\"b\":{\"c\":1}} {\"c\":1} {\"a\":{\"b\":{\"c\":1}}} 1 {\"b\":{\"c\":1}}>"
	"<1 - {\"a\":1} - 1>end"},
	{"no path", "[]", "", "", "[{\"a\":1},2]", "<><>end"},
	{"last of a name", "[]", "a.b a.c", "",
	"[{\"a\":{\"b\":1},\"a\":{\"c\":2}},{\"a\":{\"b\":1,\"b\":3},\"a\":4}]",
	"<- 2><- ->end"},
	{"names in any order", "[]", "b a", "",
		"[{\"a\":1,\"b\":2},{\"b\":3,\"a\":4},{\"c\":0,\"b\":5},{\"a\":6},"
		"{\"a\":7,\"b\":8},{\"b\":9}]",
	"<2 1><3 4><5 -><- 6><8 7><9 ->end"},
	{"names that begin alike", "[]", "a ab abc", "",
		"[{\"a\":1,\"ab\":2,\"abc\":3},{\"ab\":1,\"abcd\":2,\"abc\":3},{\"a\":4}]",
	"<1 2 3><- 1 3><4 - ->end"},
	{"names with escapes", "[]", "ab \xC3\xA9 \xF0\x9F\x98\x80", "",
		"[{\"\\u0061b\":1,\"\\u00e9\":2,\"\\ud83d\\ude00\":3},"
		"{\"a\\b\":4,\"\xC3\xA9\":5,\"\\ud83d\":6},{\"\\u0061\\u0062\":7}]",
	"<1 2 3><- 5 -><7 - ->end"},
	{"names with escapes, again and again", "[]", "\xC3\xA9 \"", "",
		"[{\"\\u00e9\":1,\"\\\"\":2},{\"\\u00e9\":3,\"\\\"\":4},"
		"{\"\\\"\":5,\"\\u00e9\":6},{\"\\\"\":7,\"\\u00E9\":8}]",
	"<1 2><3 4><6 5><8 7>end"},
	{"long names", "[]", "abcdefghijklmnopqrstuvwxyz01234 "
		"abcdefghijklmnopqrstuvwxyz012345 abcdefghijklmnopqrstuvwxyz0123456", "",
		"[{\"abcdefghijklmnopqrstuvwxyz01234\":1,"
		"\"abcdefghijklmnopqrstuvwxyz012345\":2,"
		"\"abcdefghijklmnopqrstuvwxyz0123456\":3},"
		"{\"abcdefghijklmnopqrstuvwxyz01234\":4,"
		"\"abcdefghijklmnopqrstuvwxyz012345\":5,"
		"\"abcdefghijklmnopqrstuvwxyz0123456\":6}]",
	"<1 2 3><4 5 6>end"},
	{"empty name", "[]", "a", "", "[{\"\":1,\"a\":2},{\"\":3,\"a\":4}]",
	"<2><4>end"},
	{"blanks everywhere", "r[]", "a .", "n",
		" { \"n\" : 1 ,\r\n\t\"r\" : [ { \"a\" : [ ] } , { } ] } \n",
	"<[ ] { \"a\" : [ ] }><- { }>{1}end"},

	/* not JSON */
	{"empty document", "", ".", "", "", "error at 0: document is empty"},
	{"blank document", "", ".", "", " \n", "error at 2: document is empty"},
	{"byte order mark", "[]", ".", "", "\xEF\xBB\xBF[]",
	"error at 0: document starts with a byte order mark"},
	{"text after", "[]", ".", "", "[] ]",
	"error at 3: text after the end of the document"},
	{"cut in the list", "[]", ".", "", "[1,2",
	"<1><2>error at 4: document ends too early"},
	{"cut in a row", "[]", "a", "", "[{\"a\":1},{\"a\":2",
	"<1>error at 15: document ends too early"},
	{"cut in a name", "a", ".", "", "{\"a", "error at 3: document ends too early"},
	{"cut before the rows", "a[]", ".", "", "{\"a\":",
	"error at 5: document ends too early"},
	{"cut in the envelope", "a[]", ".", "", "{\"a\":[]",
	"error at 7: document ends too early"},
	{"comma too many in the list", "[]", ".", "", "[1,]",
	"<1>error at 3: unexpected character"},
	{"comma too many in the envelope", "a", ".", "", "{\"a\":1,}",
	"<1>error at 7: unexpected character"},
	{"comma first", "[]", ".", "", "[,1]", "error at 1: unexpected character"},
	{"comma too many in a row", "[]", "a", "", "[{\"a\":1,}]",
	"error at 8: unexpected character"},
	{"comma too many in what is skipped", "[]", "a", "", "[{\"b\":[1,]}]",
	"error at 9: unexpected character"},
	{"comma missing", "[]", ".", "", "[1 2]", "<1>error at 3: unexpected character"},
	{"colon missing", "[]", "a", "", "[{\"a\" 1}]",
	"error at 6: unexpected character"},
	{"bracket of the other kind", "[]", "a", "", "[{\"b\":[1}]",
	"error at 8: unexpected character"},
	{"name that is no text", "[]", "a", "", "[{1:2}]",
	"error at 2: unexpected character"},
	{"literal cut short", "[]", "a", "", "[tru]",
	"error at 4: unexpected character"},
	{"literal too long", "[]", "a", "", "[nullx]",
	"<->error at 5: unexpected character"},
	{"number with zero first", "[]", ".", "", "[01]",
	"<0>error at 2: unexpected character"},
	{"number without fraction", "[]", "a", "", "[{\"b\":1.}]",
	"error at 8: malformed number"},
	{"control character in what is skipped", "[]", "a", "",
	"[{\"b\":\"x\ty\"}]", "error at 8: control character in a string"},
	{"escape in what is skipped", "[]", "a", "", "[{\"b\":\"\\x\"}]",
	"error at 7: malformed escape in a string"},
	{"hexadecimal digits in what is skipped", "[]", "a", "",
	"[{\"b\":\"\\u12g4\"}]", "error at 7: malformed escape in a string"},
	{"pairs are not looked at in what is skipped", "[]", "a", "",
	"[{\"b\":\"\\ud800 \xFF\",\"a\":1}]", "<1>end"},
};

typedef struct CheckCase
{
	const char *document;		/* one value */
	bool		nul_ok;
	const char *wrong;			/* NULL = right */
} CheckCase;

#define UTF8 "malformed UTF-8 in a string"
#define PAIR "half of a surrogate pair in a string"
#define NUL "\\u0000 in a string"

static const CheckCase check_cases[] = {
	{"\"plain text that is longer than sixteen bytes\"", false, NULL},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", false, NULL},
	{"\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\"",
	false, NULL},
	{"\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"", false, NULL},
	{"\"\x80\"", false, UTF8},
	{"\"\xC1\xBF\"", false, UTF8},
	{"\"\xC3\"", false, UTF8},
	{"\"0123456789abcdef\xC3(\"", false, UTF8},
	{"\"\xE0\x9F\xBF\"", false, UTF8},
	{"\"\xE2\x80\"", false, UTF8},
	{"\"\xED\xA0\x80\"", false, UTF8},
	{"\"\xF0\x8F\xBF\xBF\"", false, UTF8},
	{"\"\xF4\x90\x80\x80\"", false, UTF8},
	{"\"\xF5\x80\x80\x80\"", false, UTF8},
	{"\"\xFF\"", false, UTF8},
	{"\"\\ud800\"", false, PAIR},
	{"\"\\ud800x\"", false, PAIR},
	{"\"\\ud800\\n23456\"", false, PAIR},
	{"\"\\ud800\\ud800\"", false, PAIR},
	{"\"\\udc00\\ud800\"", false, PAIR},
	{"\"a\\u0000\"", false, NUL},
	{"\"a\\u0000\"", true, NULL},
	{"[\"a\\u0000\"]", false, NUL},
	{"[\"a\\u0000\"]", true, NULL},
	{"{\"a\\u0000\":1}", true, NUL},
	{"{\"a\":[{\"b\":\"\\udc00\"}]}", true, PAIR},
	{"{\"\xFF\":1}", true, UTF8},
	{"{\"a\":[1,-0.5e+10,null,true,false,\"\"],\"\":{}}", false, NULL},
	{"123456789012345678901234567890.5e999", false, NULL},
	{"-0", false, NULL},
	{"true", false, NULL},
	{"null", false, NULL},
	{"\"\"", false, NULL},
};

static void
check_checks(void)
{
	size_t		i;

	for (i = 0; i < sizeof(check_cases) / sizeof(check_cases[0]); i++)
	{
		const CheckCase *c = &check_cases[i];
		size_t		len = strlen(c->document);
		char	   *exact = memcpy(malloc(len), c->document, len);
		char		name[120];
		const char *error = NULL;
		ApigouvValue value;

		if (apigouv_value_parse(exact, len, &value, &error))
			error = apigouv_value_check(&value, c->nul_ok);
		snprintf(name, sizeof(name), "check %.90s", c->document);
		for (len = 0; name[len] != '\0'; len++)
			if (name[len] < ' ' || name[len] > '~' || name[len] == '#')
				name[len] = '?';
		same(error, c->wrong, name);
		free(exact);
	}
}

/* Values that no stream gave. */
static void
check_loose_values(void)
{
	static const struct
	{
		ApigouvValueKind kind;
		const char *text;
		const char *wrong;
	}			loose[] =
	{
		{APIGOUV_STRING, "a\"b", "quote inside a string"},
		{APIGOUV_STRING, "a\\", "document ends too early"},
		{APIGOUV_STRING, "a\\u12", "document ends too early"},
		{APIGOUV_NUMBER, "1x", "unexpected character"},
		{APIGOUV_NUMBER, "", "document ends too early"},
		{APIGOUV_NUMBER, "-", "document ends too early"},
		{APIGOUV_NUMBER, "[1]", "unexpected character"},
		{APIGOUV_ARRAY, "[1", "document ends too early"},
		{APIGOUV_ARRAY, "[1]]", "unexpected character"},
		{APIGOUV_OBJECT, "{\"a\"}", "unexpected character"},
		{APIGOUV_ABSENT, "", NULL},
	};
	size_t		i;

	for (i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
	{
		ApigouvValue value = {loose[i].kind, true, loose[i].text,
		strlen(loose[i].text)};
		char		name[80];

		snprintf(name, sizeof(name), "check loose %s", loose[i].text);
		same(apigouv_value_check(&value, false), loose[i].wrong, name);
	}
}

static void
check_text(const char *document, const char *wanted)
{
	ApigouvValue value;
	const char *error;
	char	   *out;
	size_t		len;

	if (!apigouv_value_parse(document, strlen(document), &value, &error))
	{
		ok(false, document);
		return;
	}
	out = malloc(value.len + 1);
	len = apigouv_value_text(&value, out);
	same(len == (size_t) -1 ? NULL : out, wanted, document);
	free(out);
}

static void
check_inside(void)
{
	static const char text[] = " {\"a\":[10,[20,21],{\"b\":null}],\"a\\u0062\":1,"
	"\"c\":1,\"c\":\"last\",\"e\":[ ]} ";
	static const char *const gets[][2] = {
		{"a.0", "10"}, {"a.1.1", "21"}, {"a.2.b", "null"}, {"a.3", "-"},
		{"a.x", "-"}, {"a.99999999999999999999999", "-"}, {"ab", "1"},
		{"c", "\"last\""}, {"c.d", "-"}, {"e", "[ ]"}, {"e.0", "-"}, {"z", "-"},
		{"a.2", "{\"b\":null}"}
	};
	ApigouvValue value;
	ApigouvValue list;
	ApigouvValue element;
	const char *error;
	size_t		position = 0;
	char		out[OUT_BYTES] = "";
	size_t		i;

	ok(apigouv_value_parse(text, strlen(text), &value, &error), "parse");
	for (i = 0; i < sizeof(gets) / sizeof(gets[0]); i++)
	{
		ApigouvValue got = apigouv_value_get(&value, gets[i][0]);

		*out = '\0';
		put_value(out, &got);
		same(out, gets[i][1], gets[i][0]);
	}
	list = apigouv_value_get(&value, "");
	ok(list.text == value.text && list.len == value.len, "empty path");
	list = apigouv_value_get(&value, "a");
	*out = '\0';
	while (apigouv_value_next(&list, &position, &element))
	{
		put_value(out, &element);
		strcat(out, ";");
	}
	same(out, "10;[20,21];{\"b\":null};", "elements");
	ok(!apigouv_value_next(&list, &position, &element), "no more elements");
	position = 0;
	list = apigouv_value_get(&value, "e");
	ok(!apigouv_value_next(&list, &position, &element), "no element");
	position = 0;
	ok(!apigouv_value_next(&value, &position, &element), "no list");
	position = 0;
	*out = '\0';
	while (apigouv_value_member(&value, &position, &element, &list))
	{
		put_value(out, &element);
		strcat(out, "=");
		put_value(out, &list);
		strcat(out, ";");
	}
	same(out, "\"a\"=[10,[20,21],{\"b\":null}];\"a\\u0062\"=1;\"c\"=1;"
		 "\"c\"=\"last\";\"e\"=[ ];", "members");
	ok(!apigouv_value_member(&value, &position, &element, &list),
	   "no more members");
	list = apigouv_value_get(&value, "a");
	position = 0;
	ok(!apigouv_value_member(&list, &position, &element, &value),
	   "no member of a list");
}

static void
check_paths(void)
{
	static const char *const wrong[][2] = {
		{"a..b", "path has an empty name"}, {".a", "path has an empty name"},
		{"a.", "path has an empty name"}, {".", "path has an empty name"},
		{"a[].b", "brackets may only end the path of the rows"},
		{"a[0]", "brackets may only end the path of the rows"},
		{"a[][]", "brackets may only end the path of the rows"},
		{"a.[]", "path has an empty name"}
	};
	static const char *const list = "a[]";
	char		deep[2 * MAX_STEPS + 2];
	const char *path = deep;
	const char *error;
	size_t		i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		ApigouvProjection *projection =
			apigouv_projection_create(wrong[i][0], 0, NULL, 0, NULL, &error);

		same(projection == NULL ? error : NULL, wrong[i][1], wrong[i][0]);
		apigouv_projection_free(projection);
	}
	ok(apigouv_projection_create("", 1, &list, 0, NULL, &error) == NULL,
	   "brackets in a row path");
	ok(apigouv_projection_create("", 0, NULL, 1, &list, &error) == NULL,
	   "brackets in an envelope path");
	for (i = 0; i < MAX_STEPS + 1; i++)
		memcpy(deep + 2 * i, "a.", 2);
	deep[2 * MAX_STEPS + 1] = '\0';
	same(apigouv_projection_create(path, 0, NULL, 0, NULL, &error) == NULL ?
		 error : NULL, "path has too many names", "path of 65 names");
}

/* ----------------------------------------------------------------
 *		Depth, size, memory
 * ----------------------------------------------------------------
 */

/* A document of lists in lists, around core. */
static char *
nest(int depth, const char *open, const char *close, const char *core)
{
	char	   *text = malloc((size_t) depth * (strlen(open) + strlen(close)) +
							  strlen(core) + 1);
	int			i;

	*text = '\0';
	for (i = 0; i < depth; i++)
		strcat(text, open);
	strcat(text, core);
	for (i = 0; i < depth; i++)
		strcat(text, close);
	return text;
}

static void
check_depth(void)
{
	static const struct
	{
		const char *rows;
		const char *paths;
		const char *open;
		const char *close;
	}			ways[] =
	{
		{"", ".", "[", "]"},
		{"[]", "a", "[", "]"},
		{"a.a.a", "a.a.a.a", "{\"a\":", "}"},
		{"a.a.a[]", "a", "{\"a\":", "}"},
		{"x", "a", "{\"b\":", "}"},
		{"", "a.a", "{\"a\":", "}"},
	};
	size_t		i;
	int			depth;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (depth = MAX_DEPTH; depth <= MAX_DEPTH + 1; depth++)
		{
			char	   *text = nest(depth, ways[i].open, ways[i].close, "1");
			char	   *out = malloc(OUT_BYTES);
			char		name[80];
			Case		c = {"", ways[i].rows, ways[i].paths, "", text, ""};
			bool		deep;

			read_case(&c, text, strlen(text), 1u << 20, out);
			deep = strstr(out, "nested too deeply") != NULL;
			if (strstr(out, "not a list") == NULL)
			{
				snprintf(name, sizeof(name), "%d containers, rows \"%s\"",
						 depth, ways[i].rows);
				ok(deep == (depth > MAX_DEPTH), name);
			}
			free(out);
			free(text);
		}
}

/* A piece of a document is read again a few times only, however large. */
static void
check_giant(const char *rows, const char *before, const char *after,
			const char *name)
{
	enum
	{
		SIZE = 4 << 20, PIECE = 256
	};
	const char *path = "a";
	const char *error;
	ApigouvProjection *projection =
		apigouv_projection_create(rows, 1, &path, 0, NULL, &error);
	ApigouvRowstream *stream = apigouv_rowstream_create(projection);
	ApigouvValue value;
	ApigouvRowResult result;
	char	   *text = malloc(SIZE);
	size_t		have = 0;
	int			given = 0;
	int			readings = 0;

	memset(text, 'x', SIZE);
	memcpy(text, before, strlen(before));
	memcpy(text + SIZE - strlen(after), after, strlen(after));
	for (;;)
	{
		readings += have >= stream->retry_at;
		result = apigouv_rowstream_next(stream, text, have, have == SIZE,
										&value);
		given += result == APIGOUV_ROW;
		if (result == APIGOUV_ROW_MORE)
			have += PIECE;
		else if (result != APIGOUV_ROW)
			break;
	}
	ok(result == APIGOUV_ROW_END && given == 1 && readings < 30, name);
	free(text);
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
}

/* A row that was cut is read again when its bytes have doubled, no later. */
static void
check_delay(void)
{
	static const char text[] = "[{\"a\":\"56789012345\"},{\"a\":1}, ";
	const char *path = "a";
	const char *error;
	ApigouvProjection *projection =
		apigouv_projection_create("[]", 1, &path, 0, NULL, &error);
	ApigouvRowstream *stream = apigouv_rowstream_create(projection);
	ApigouvValue value;

	ok(apigouv_rowstream_next(stream, text, 11, false, &value) ==
	   APIGOUV_ROW_MORE, "row that is cut");
	ok(apigouv_rowstream_next(stream, text, 21, false, &value) ==
	   APIGOUV_ROW, "row whose bytes have doubled");
	ok(apigouv_rowstream_next(stream, text, 27, false, &value) ==
	   APIGOUV_ROW_MORE, "second row that is cut");
	ok(apigouv_rowstream_next(stream, text, 29, true, &value) ==
	   APIGOUV_ROW, "second row, as no more bytes come");
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
}

static void
check_memory(void)
{
	static const char document[] = "{\"n\":{\"m\":1},\"r\":[{\"a\":{\"b\":1}},"
	"{\"x\":1,\"a\":{\"c\":1,\"b\":2}},{\"a\":[]}],\"o\":2}";
	static const char *const paths[] = {"a.b", "a"};
	static const char *const envelope[] = {"n.m", "o"};
	ApigouvProjection *projection = NULL;
	ApigouvRowstream *stream = NULL;
	ApigouvValue values[2];
	const char *error;
	bool		told = true;
	long		before;
	int			rows = 0;

	for (allocation_that_fails = 0; projection == NULL;
		 allocation_that_fails++)
	{
		allocations = 0;
		projection = apigouv_projection_create("r[]", 2, paths, 2, envelope,
											   &error);
		if (projection == NULL && strcmp(error, "out of memory") != 0)
			told = false;
	}
	ok(told && error == NULL, "projection tells that memory is out");
	for (allocation_that_fails = 0; stream == NULL; allocation_that_fails++)
	{
		allocations = 0;
		stream = apigouv_rowstream_create(projection);
	}
	ok(allocation_that_fails > 4, "stream tells that memory is out");
	allocation_that_fails = -1;
	before = allocations;
	while (apigouv_rowstream_next(stream, document, strlen(document), true,
								  values) == APIGOUV_ROW)
		rows++;
	ok(rows == 3 && allocations == before, "reading allocates nothing");
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
	apigouv_rowstream_free(NULL);
	apigouv_projection_free(NULL);
}

/* More wanted members than a shape predicts, in rows that differ. */
static void
check_many(void)
{
	enum
	{
		MANY = 400
	};
	char		names[MANY][16];
	const char *paths[MANY];
	ApigouvValue values[MANY];
	char	   *text = malloc(64 * MANY);
	size_t		len = 0;
	const char *error;
	ApigouvProjection *projection;
	ApigouvRowstream *stream;
	int			row;
	int			i;
	bool		right = true;

	for (i = 0; i < MANY; i++)
	{
		snprintf(names[i], sizeof(names[i]), "m%d", i);
		paths[i] = names[i];
	}
	text[len++] = '[';
	for (row = 0; row < 3; row++)
	{
		/* every, every second, every third, the last first */
		len += (size_t) sprintf(text + len, "%s{\"z\":0", row > 0 ? "," : "");
		for (i = MANY - 1; i >= 0; i--)
			if (i % (row + 1) == 0)
				len += (size_t) sprintf(text + len, ",\"m%d\":%d", i, i);
		text[len++] = '}';
	}
	text[len++] = ']';
	projection = apigouv_projection_create("[]", MANY, paths, 0, NULL, &error);
	stream = apigouv_rowstream_create(projection);
	for (row = 0; apigouv_rowstream_next(stream, text, len, true, values) ==
		 APIGOUV_ROW; row++)
		for (i = 0; i < MANY; i++)
			right = right && (i % (row + 1) == 0 ?
							  values[i].kind == APIGOUV_NUMBER &&
							  atoi(values[i].text) == i :
							  values[i].kind == APIGOUV_ABSENT);
	ok(right && row == 3, "400 members");
	apigouv_rowstream_free(stream);
	apigouv_projection_free(projection);
	free(text);
}

int
main(void)
{
	static const Case nul = {"", "[]", ".", "", "", ""};
	char		out[OUT_BYTES];
	ApigouvValue value;
	const char *error;
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_case(&cases[i]);
	read_case(&nul, "[1,\0]", 5, 1, out);
	same(out, "<1>error at 3: unexpected character", "NUL byte");
	read_case(&nul, "[1]\0", 4, 9, out);
	same(out, "<1>error at 3: text after the end of the document",
		 "NUL byte at the end");
	read_case(&nul, "[\"\0\"]", 5, 9, out);
	same(out, "error at 2: control character in a string",
		 "NUL byte in a string");
	ok(!apigouv_value_parse("", 0, &value, &error) &&
	   !apigouv_value_parse(NULL, 0, &value, &error), "parse nothing");
	ok(!apigouv_value_parse("1 2", 3, &value, &error), "parse two values");
	check_checks();
	check_loose_values();
	check_text("\"\"", "");
	check_text("\"plain\"", "plain");
	check_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
	check_text("\"a\\u0041b\\u00e9c\\u20ACd\\uD83D\\uDE00e\"",
			   "aAb\xC3\xA9" "c\xE2\x82\xAC" "d\xF0\x9F\x98\x80" "e");
	check_text("\"a\\u0000\"", NULL);
	check_inside();
	check_paths();
	check_depth();
	check_giant("[]", "[{\"a\":\"", "\"}]", "giant row");
	check_giant("", "{\"a\":\"", "\"}", "giant document");
	check_giant("r", "{\"n\":\"", "\",\"r\":1}", "giant envelope");
	check_delay();
	check_memory();
	check_many();
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}
