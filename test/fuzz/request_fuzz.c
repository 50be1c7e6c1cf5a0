/*-------------------------------------------------------------------------
 *
 * request_fuzz.c
 *		Fuzzing of what is sent: steps, then URL, headers and body.
 *
 * Input: a byte of flags, a byte for the page, then the values of the
 * parameters below with a zero byte between them: whatever a query can hold.
 *
 * Said of every request, libcurl's parser of URLs, jansson and a plain
 * reading being the oracles:
 *	 - the path parses back to the segments of the template and the values, no
 *	   other; the query to the names and values, in order; there is no
 *	   fragment, no user, and the host is that of the base URL;
 *	 - the body parses back to the values, each of its type;
 *	 - a header has one line, or a control character that http.c refuses;
 *	 - steps give what they say, of valid UTF-8 nothing else;
 *	 - a text that is taken for a URL has no user and no control character.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include <curl/curl.h>

/* the server declares functions of jansson's names */
#define json_object server_json_object
#define json_typeof server_json_typeof
#include "../../src/binding.c"
#undef json_object
#undef json_typeof
#include <jansson.h>

#include "mb/pg_wchar.h"
#include "../../src/attempt.h"
#include "../../src/apidef_read.h"
#include "../../src/request.h"

#define NVALUES			20
#define MAX_PAIRS		64

static ApigouvParam params[] = {
	{.name = "siren", .place = APIGOUV_IN_PATH, .required = true},
	{.name = "way", .place = APIGOUV_IN_PATH, .required = true, .slashes = true},
	{.name = "one", .place = APIGOUV_IN_QUERY},
	{.name = "each[]", .place = APIGOUV_IN_QUERY, .list = APIGOUV_LIST_REPEAT},
	{.name = "a b", .place = APIGOUV_IN_QUERY, .list = APIGOUV_LIST_COMMA},
	{.name = "text", .place = APIGOUV_IN_BODY},
	{.name = "number", .place = APIGOUV_IN_BODY, .body_type = APIGOUV_BODY_NUMBER},
	{.name = "boolean", .place = APIGOUV_IN_BODY, .body_type = APIGOUV_BODY_BOOLEAN},
	{.name = "fixed", .place = APIGOUV_IN_BODY, .constant = "{\"a\":[1]}"},
	{.name = "texts", .place = APIGOUV_IN_BODY, .list = APIGOUV_LIST_JSON},
	{.name = "numbers", .place = APIGOUV_IN_BODY, .list = APIGOUV_LIST_JSON,
	.body_type = APIGOUV_BODY_NUMBER},
	{.name = "X-Siren", .place = APIGOUV_IN_HEADER}
};

/* how many values each takes */
static const int takes[] = {1, 1, 1, 3, 3, 1, 1, 1, 1, 3, 3, 1};

static const char territories[] =
"{\"regions\":[{\"code\":\"1\",\"nom\":\"a\",\"x\":null},"
"{\"code\":\"2\",\"nom\":\"b\",\"x\":\"2\"},{\"code\":\"2\",\"nom\":\"c\",\"x\":\"\"}]}";

/* One input. */
typedef struct Case
{
	uint8		flags;
	int			at;
	int			nvalues;
	char	   *values[NVALUES];
} Case;

/* A name and a value of a query. */
typedef struct Pair
{
	const char *name;
	char	   *value;
} Pair;

static bool
is_utf8(const char *text)
{
	int			len = strlen(text);

	return pg_encoding_verifymbstr(PG_UTF8, text, len) == len;
}

/* What stands percent-encoded, of len bytes: palloc'd; all else is plain. */
static char *
decode(const char *text, size_t len)
{
	char	   *out = palloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned	byte;
		char		hex[3] = {0};

		if (text[i] != '%')
		{
			CHECK(isalnum((unsigned char) text[i]) ||
				  strchr("-._~", text[i]) != NULL);
			out[n++] = text[i];
			continue;
		}
		CHECK(i + 2 < len);
		hex[0] = text[++i];
		hex[1] = text[++i];
		CHECK(strspn(hex, "0123456789ABCDEF") == 2);
		sscanf(hex, "%x", &byte);
		CHECK(byte != 0);
		out[n++] = (char) byte;
	}
	out[n] = '\0';
	return out;
}

/* ---- the URL ---- */

static char *
part_of(CURLU *url, CURLUPart part, unsigned flags)
{
	char	   *text = NULL;
	char	   *copy = NULL;

	if (curl_url_get(url, part, &text, flags) == CURLUE_OK)
		copy = pstrdup(text);
	curl_free(text);
	return copy;
}

/* Is the path base, "/v3/SIREN/x/WAY...", decoded segment by segment? */
static void
judge_path(const char *path, const char *base, const ApigouvCall *call)
{
	const char *siren = linitial(call->wires[0]);
	char	   *way = pstrdup(linitial(call->wires[1]));
	const char *wanted[MAX_PAIRS];
	int			n = 0;
	int			i = 0;

	CHECK(strncmp(path, base, strlen(base)) == 0);
	path += strlen(base);
	wanted[n++] = "v3";
	wanted[n++] = siren;
	for (wanted[n++] = "x"; !call->lookup && way != NULL && n < MAX_PAIRS; n++)
	{
		char	   *slash = strchr(way, '/');

		wanted[n] = way;
		if (slash != NULL)
			*slash++ = '\0';
		way = slash;
	}
	while (*path == '/' && i < n)
	{
		size_t		len = strcspn(++path, "/");

		CHECK(strcmp(decode(path, len), wanted[i]) == 0);
		/* servers take them for another path */
		CHECK(strcmp(wanted[i], ".") != 0 && strcmp(wanted[i], "..") != 0);
		i++;
		path += len;
	}
	CHECK(n == MAX_PAIRS || (*path == '\0' && i == n));
}

/* The pairs that a query should have. */
static int
wanted_pairs(const ApigouvCall *call, Pair *pairs)
{
	int			n = 0;
	ListCell   *lc;

	for (int i = 0; i < (int) lengthof(params); i++)
	{
		if (params[i].place != APIGOUV_IN_QUERY || call->wires[i] == NIL)
			continue;
		foreach(lc, call->wires[i])
		{
			if (params[i].list == APIGOUV_LIST_COMMA &&
				lc != list_head(call->wires[i]))
				pairs[n - 1].value = psprintf("%s,%s", pairs[n - 1].value,
											  (char *) lfirst(lc));
			else
				pairs[n++] = (Pair) {params[i].name, lfirst(lc)};
		}
	}
	if (call->size > 0 && !call->lookup)
	{
		pairs[n++] = (Pair) {"size", psprintf("%d", call->size)};
		if (call->at > 0)
			pairs[n++] = (Pair) {"page", psprintf("%d", call->at)};
	}
	return n;
}

static void
judge_query(const char *query, const ApigouvCall *call)
{
	Pair		pairs[MAX_PAIRS];
	int			n = wanted_pairs(call, pairs);

	if (strchr(call->route->path, '?') != NULL && !call->lookup)
	{
		CHECK(strncmp(query, "v=1", 3) == 0);
		query += query[3] == '&' ? 4 : 3;
	}
	for (int i = 0; i < n; i++)
	{
		size_t		len = strcspn(query, "&");
		size_t		name = strcspn(query, "=");

		CHECK(name < len);
		CHECK(strcmp(decode(query, name), pairs[i].name) == 0);
		CHECK(strcmp(decode(query + name + 1, len - name - 1),
					 pairs[i].value) == 0);
		CHECK((query[len] == '&') == (i + 1 < n));
		query += len + (query[len] == '&');
	}
	CHECK(*query == '\0');
}

static void
judge_url(const char *text, const char *base, const ApigouvCall *call)
{
	CURLU	   *url = curl_url();
	bool		is_http;
	bool		loopback;
	const char *why;
	const char *query;

	CHECK(curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) ==
		  CURLUE_OK);
	CHECK(strcmp(part_of(url, CURLUPART_HOST, 0), "api.example.org") == 0);
	CHECK(part_of(url, CURLUPART_FRAGMENT, 0) == NULL);
	CHECK(part_of(url, CURLUPART_USER, 0) == NULL);
	CHECK(part_of(url, CURLUPART_PORT, 0) == NULL);
	judge_path(part_of(url, CURLUPART_PATH, 0), base, call);
	query = part_of(url, CURLUPART_QUERY, 0);
	judge_query(query ? query : "", call);
	curl_url_cleanup(url);
	CHECK(apigouv_http_check_url(text, &is_http, &loopback, &why));
	CHECK(!is_http && !loopback && !apigouv_url_has_control(text));
}

/* ---- body and headers ---- */

/* Is this how a value of the parameter is written? */
static void
judge_value(const ApigouvParam *param, const char *value, const json_t *json)
{
	json_error_t error;
	json_t	   *number = json_loads(value, JSON_DECODE_ANY, &error);

	if (param->body_type == APIGOUV_BODY_BOOLEAN && json_is_boolean(json))
		CHECK(strcmp(value, json_is_true(json) ? "true" : "false") == 0);
	else if (param->body_type == APIGOUV_BODY_NUMBER && json_is_number(json))
	{
		CHECK(json_is_number(number));
		CHECK(json_equal(number, json));
	}
	else
	{
		CHECK(json_is_string(json));
		CHECK(json_string_length(json) == strlen(value));
		CHECK(strcmp(json_string_value(json), value) == 0);
		CHECK(param->body_type != APIGOUV_BODY_NUMBER ||
			  !json_is_number(number) ||
			  strspn(value, "0123456789+-.eE") != strlen(value));
	}
	json_decref(number);
}

static void
judge_body(const char *text, const ApigouvCall *call)
{
	json_error_t error;
	json_t	   *body = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	size_t		n = 0;

	if (body == NULL)
	{
		/* a number that jansson has no place for */
		CHECK(json_error_code(&error) == json_error_numeric_overflow ||
			  !is_utf8(text));
		return;
	}
	for (int i = 0; i < (int) lengthof(params); i++)
	{
		json_t	   *json = json_object_get(body, params[i].name);
		ListCell   *lc;
		size_t		at = 0;

		CHECK((json != NULL) == (params[i].place == APIGOUV_IN_BODY &&
								 call->wires[i] != NIL));
		if (json == NULL)
			continue;
		n++;
		if (params[i].constant != NULL)
			continue;
		foreach(lc, call->wires[i])
			judge_value(&params[i], lfirst(lc),
						params[i].list == APIGOUV_LIST_JSON
						? json_array_get(json, at++) : json);
		CHECK(at == json_array_size(json));
	}
	CHECK(n == json_object_size(body));
	json_decref(body);
}

static void
judge_headers(const List *headers, const ApigouvCall *call)
{
	ListCell   *lc;

	foreach(lc, headers)
	{
		const char *line = lfirst(lc);

		CHECK(strchr(line, ':') != NULL);
		if (strncmp(line, "X-Siren", 7) != 0)
			CHECK(!apigouv_url_has_control(line));
		else
			CHECK(strcmp(line + 9,
						 linitial(call->wires[lengthof(params) - 1])) == 0);
	}
	CHECK(list_length(headers) == 1 + (call->route->post && !call->lookup) +
		  (call->wires[lengthof(params) - 1] != NIL));
}

/* ---- steps, and texts that are URLs ---- */

static void
judge_step(ApigouvStep *step, const char *value)
{
	List	   *results = apigouv_apply_steps(1, step, value);
	ListCell   *lc;

	foreach(lc, results)
	{
		const char *text = lfirst(lc);
		size_t		len = strlen(text);

		CHECK(!is_utf8(value) || is_utf8(text));
		switch (step->kind)
		{
			case APIGOUV_STEP_LEFT:
				CHECK(strncmp(value, text, len) == 0);
				CHECK(!is_utf8(text) ||
					  pg_mbstrlen_with_len(text, len) <= step->length);
				break;
			case APIGOUV_STEP_DEPARTEMENT:
				CHECK((len == 2 || len == 3) &&
					  strncmp(value, text, len) == 0);
				break;
			case APIGOUV_STEP_TRIM:
				CHECK(strstr(value, text) != NULL);
				CHECK(len == 0 || (!isspace((unsigned char) text[0]) &&
								   !isspace((unsigned char) text[len - 1])));
				break;
			case APIGOUV_STEP_PERIODE_DEBUT:
			case APIGOUV_STEP_PERIODE_FIN:
				CHECK(len == 10 && strncmp(value, text, 4) == 0);
				break;
			case APIGOUV_STEP_PAD:
				CHECK((int) len >= step->length &&
					  strcmp(text + len - strlen(value), value) == 0);
				break;
			case APIGOUV_STEP_YEAR:
			case APIGOUV_STEP_MONTH:
			case APIGOUV_STEP_DAY:
				CHECK(strspn(text, "0123456789") == len && len <= 4);
				break;
			case APIGOUV_STEP_MAP:
				CHECK(strcmp(value, "1") == 0 || strcmp(value, "2") == 0);
				break;
			default:
				CHECK(strcmp(text, value) == 0);
		}
	}
}

static void
judge_alone(const char *value, int length)
{
	bool		is_http;
	bool		loopback;
	const char *why;

	for (ApigouvStepKind kind = APIGOUV_STEP_LEFT;
		 kind <= APIGOUV_STEP_DAY; kind++)
	{
		ApigouvStep step = {.kind = kind, .length = length, .pattern = "a"};

		if (kind == APIGOUV_STEP_MAP)
			step.map = apigouv_steps_map("regions", "code", "nom", &why);
		judge_step(&step, value);
	}
	if (apigouv_http_check_url(value, &is_http, &loopback, &why))
	{
		const char *authority = strstr(value, "://");

		CHECK(!apigouv_url_has_control(value) && strchr(value, '#') == NULL);
		CHECK(authority != NULL);
		authority += 3;
		/* an empty name and an empty password are none */
		authority += strspn(authority, ":");
		authority += *authority == '@';
		CHECK(memchr(authority, '@', strcspn(authority, "/?")) == NULL);
	}
	else
		CHECK(why != NULL);
}

/* ---- one input ---- */

/* The values of the parameters that the product would send. */
static void
take_wires(const Case *c, ApigouvCall *call)
{
	int			next = 0;

	for (int i = 0; i < (int) lengthof(params); i++)
	{
		for (int j = 0; j < takes[i] && next < c->nvalues; j++, next++)
		{
			if (is_well_formed(&params[i], c->values[next]))
				call->wires[i] = lappend(call->wires[i],
										 pstrdup(c->values[next]));
		}
		if (params[i].place == APIGOUV_IN_PATH && call->wires[i] == NIL)
			call->wires[i] = list_make1(pstrdup("a"));
	}
}

static void
build(void *arg)
{
	const Case *c = arg;
	ApigouvRoute route = {.name = "r", .post = c->flags & 1};
	ApigouvApi	api = {.name = "made_up", .nheaders = 1};
	ApigouvHeader accept = {"Accept", "application/json"};
	ApigouvOptions options = {.api = &api};
	ApigouvCall call = {.route = &route, .lookup = c->flags & 2};
	ApigouvBuilt built;
	const char *base = c->flags & 4 ? "/base" : "";

	api.headers = &accept;
	options.base_url = psprintf("https://api.example.org%s", base);
	route.nparams = lengthof(params);
	route.params = params;
	route.path = c->flags & 8 ? "/v3/{siren}/x/{way}?v=1" : "/v3/{siren}/x/{way}";
	route.lookup.path = "/v3/{siren}/x";
	route.paging.size_param = "size";
	route.paging.at_param = "page";
	call.size = c->flags & 16 ? 100 : 0;
	call.at = c->at;
	call.wires = palloc0(sizeof(List *) * lengthof(params));
	take_wires(c, &call);
	apigouv_request_build(&options, &call, &built);
	judge_url(built.url, base, &call);
	CHECK((built.body != NULL) == (route.post && !call.lookup));
	if (built.body != NULL)
		judge_body(built.body, &call);
	judge_headers(built.headers, &call);
	for (int i = 0; i < c->nvalues; i++)
		judge_alone(c->values[i], c->at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Case		c;
	char	   *text;

	if (size < 2)
		return 0;
	shim_start();
	shim_no_files();
	shim_file("shared/territoires.json", territories, strlen(territories));
	memset(&c, 0, sizeof(c));
	c.flags = data[0];
	c.at = data[1];
	text = malloc(size - 1);
	memcpy(text, data + 2, size - 2);
	text[size - 2] = '\0';
	for (char *p = text; c.nvalues < NVALUES && p <= text + size - 2;
		 p += strlen(p) + 1)
		c.values[c.nvalues++] = p;
	CHECK(shim_try(build, &c));
	free(text);
	return 0;
}
