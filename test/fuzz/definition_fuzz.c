/*-------------------------------------------------------------------------
 *
 * definition_fuzz.c
 *		Fuzzing of the loader of API definitions, and of what uses them.
 *
 * Input: the file of an API, then files of its tables, with a line "---"
 * between them.  A superuser chooses their directory; a mistake in one must
 * be told, nothing else.
 *
 * Said of all files:
 *	 - a wrong one is an error of a definition (ERRCODE_CONFIG_FILE_ERROR) that
 *	   names its file, the same at the second attempt, and leaves nothing: no
 *	   memory that is kept, no open file, no API that is known;
 *	 - of one that is accepted, every route can be made a request, every path
 *	   of its columns can be read, every step can be done.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include "../../src/apidef.c"
#include "../../src/request.h"
#include "../../src/unnest.h"
#include "json_mutate.h"

#define MAX_SECTIONS	8
#define SEPARATOR		"\n---\n"

static const char territories[] =
"{\"regions\":[{\"code\":\"1\",\"nom\":\"a\"}],"
"\"departements\":[{\"code\":\"01\",\"nom\":\"b\",\"region\":\"1\"}]}";

/* words of the format that mutations use */
static const char *const words[] = {
	"api", "title", "base_url", "auth", "scheme", "bearer", "jwt", "none",
	"oauth2_client_credentials", "token_url", "scopes_request", "headers",
	"purpose", "limits", "requests", "window_s", "counted_by", "replies",
	"error_body", "documents", "hosts", "tables", "table", "columns",
	"column", "name", "type", "text", "integer", "text[]", "jsonb", "date",
	"path", "paths", "parent", "level", "position", "pivot", "group",
	"envelope", "echo", "constant", "derive", "steps", "first_of", "only_if",
	"format", "values", "else", "when_past", "sorted", "empty_is_null",
	"routes", "rows", "rows_path", "total", "parameters", "in", "query",
	"body", "header", "required", "ops", "list", "repeat", "comma", "json",
	"exactness", "derived", "superset", "opaque", "cite", "check", "siret",
	"pattern", "slashes", "min", "max", "min_items", "max_items", "sequence",
	"paging", "offset", "page", "default_size", "max_size", "variants",
	"lookup", "gives", "otherwise", "scopes", "status", "code", "verdict",
	"set", "left", "map", "matches", "pad", "trim", "departement", "luhn",
	"from", "to", "post", "method", "unless", "personal", "secret", "union",
	"=", "<", ">=", "&&", "@>", "regions", "note", "body_type", "number", NULL
};

typedef struct Section
{
	const char *text;
	size_t		len;
	json_t	   *json;			/* NULL: not JSON */
} Section;

/* One input. */
typedef struct Case
{
	int			n;
	Section		sections[MAX_SECTIONS];
	const char *api;			/* name */
	const char *table;			/* of the section being loaded */
	const void *loaded;
} Case;

static int
split(const char *text, size_t len, Section *sections)
{
	int			n = 0;
	json_error_t error;

	for (;;)
	{
		const char *end = n + 1 < MAX_SECTIONS
			? memmem(text, len, SEPARATOR, strlen(SEPARATOR)) : NULL;
		size_t		size = end ? (size_t) (end - text) : len;

		sections[n].text = text;
		sections[n].len = size;
		sections[n++].json = json_loadb(text, size, JSON_REJECT_DUPLICATES,
										&error);
		if (end == NULL)
			return n;
		text += size + strlen(SEPARATOR);
		len -= size + strlen(SEPARATOR);
	}
}

/* ---- what is kept ---- */

/* Memory contexts that hold the structure of a file. */
static int
kept_files(const char *file)
{
	int			n = 0;
	MemoryContext context = definitions_cxt ? definitions_cxt->firstchild
	: NULL;

	for (; context != NULL; context = context->nextchild)
		n += context->ident != NULL && strcmp(context->ident, file) == 0;
	return n;
}

static void
forget_all(void)
{
	apigouv_apidef_reset();
	if (definitions_cxt != NULL)
		MemoryContextDelete(definitions_cxt);
	definitions_cxt = NULL;
}

/* ---- using a definition ---- */

static void
use_steps(int nsteps, const ApigouvStep *steps)
{
	(void) apigouv_apply_steps(nsteps, steps, "2024");
	(void) apigouv_apply_steps(nsteps, steps, "");
}

/* The paths of a source, by level; those of the envelope at the end. */
static void
gather(const ApigouvSource *source, const char ***paths, int *counts)
{
	int			level = source->kind == APIGOUV_SOURCE_ENVELOPE
	? APIGOUV_MAX_LISTS : source->level;

	CHECK(level >= 0 && level <= APIGOUV_MAX_LISTS);
	if (source->kind == APIGOUV_SOURCE_PATH ||
		source->kind == APIGOUV_SOURCE_PARENT ||
		source->kind == APIGOUV_SOURCE_ENVELOPE)
	{
		if (paths[level] == NULL)
			paths[level] = palloc(sizeof(char *));
		for (int i = 0; i < source->npaths; i++)
		{
			paths[level] = repalloc(paths[level],
									(counts[level] + 1) * sizeof(char *));
			paths[level][counts[level]++] = source->paths[i];
		}
	}
	if (source->nsteps > 0)
		use_steps(source->nsteps, source->steps);
	for (int i = 0; i < source->nsubs; i++)
		gather(&source->subs[i], paths, counts);
}

static void
use_rows(const ApigouvTable *table, const ApigouvRoute *route)
{
	const char **paths[APIGOUV_MAX_LISTS + 1] = {NULL};
	int			counts[APIGOUV_MAX_LISTS + 1] = {0};
	const char **all;
	int		   *levels;
	int			n = 0;
	const char *error = NULL;
	ApigouvNesting *nesting;

	for (int i = 0; i < table->ncolumns; i++)
		gather(&route->sources[i], paths, counts);
	for (int level = 0; level < APIGOUV_MAX_LISTS; level++)
		n += counts[level];
	all = palloc((n + 1) * sizeof(char *));
	levels = palloc((n + 1) * sizeof(int));
	n = 0;
	for (int level = 0; level < APIGOUV_MAX_LISTS; level++)
	{
		for (int i = 0; i < counts[level]; i++)
		{
			levels[n] = level;
			all[n++] = paths[level][i];
		}
	}
	nesting = apigouv_nesting_create(route->rows_path, n, all, levels,
									 counts[APIGOUV_MAX_LISTS],
									 paths[APIGOUV_MAX_LISTS], &error);
	if (nesting == NULL)
		fprintf(stderr, "route \"%s\", rows \"%s\": %s\n", route->name,
				route->rows_path, error);
	CHECK(nesting != NULL);
	apigouv_nesting_free(nesting);
}

static void
use_request(const ApigouvApi *api, const ApigouvRoute *route, bool lookup)
{
	ApigouvOptions options = {.api = api};
	ApigouvCall call = {.route = route, .lookup = lookup, .fresh = true};
	ApigouvBuilt built;

	options.base_url = api->base_url;
	call.wires = palloc0(sizeof(List *) * Max(route->nparams, 1));
	for (int i = 0; i < route->nparams; i++)
	{
		use_steps(route->params[i].nsteps, route->params[i].steps);
		call.wires[i] = list_make1(pstrdup("1"));
	}
	call.size = route->paging.style == APIGOUV_PAGING_NONE ? 0
		: route->paging.default_size;
	call.at = 1;
	apigouv_request_build(&options, &call, &built);
	CHECK(strncmp(built.url, api->base_url, strlen(api->base_url)) == 0);
	CHECK(built.limit >= -1 && built.limit < api->nlimits);
}

static void
use_table(const ApigouvApi *api, const ApigouvTable *table)
{
	CHECK(table->reponse_column >= 0 &&
		  table->reponse_column < table->ncolumns);
	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];

		CHECK(route->otherwise >= -1 && route->otherwise < table->nroutes);
		for (int j = 0; j < route->nparams; j++)
			CHECK(route->params[j].column >= -1 &&
				  route->params[j].column < table->ncolumns);
		for (int j = 0; j < table->ncolumns; j++)
			(void) apigouv_apidef_depends(table, route, j, 0);
		use_rows(table, route);
		use_request(api, route, false);
		if (route->lookup.path != NULL)
			use_request(api, route, true);
	}
}

/* ---- loading ---- */

static void
load_api(void *arg)
{
	Case	   *c = arg;

	c->loaded = apigouv_apidef_api(c->api, false);
}

static void
load_table(void *arg)
{
	Case	   *c = arg;

	c->loaded = apigouv_apidef_table(apigouv_apidef_api(c->api, false),
									 c->table, false);
}

static void
use_loaded(void *arg)
{
	Case	   *c = arg;

	use_table(apigouv_apidef_api(c->api, false), c->loaded);
}

/*
 * Load a file twice: the same both times, and nothing left of a wrong one.
 * True when it is right.
 */
static bool
load(Case *c, void (*what) (void *), const char *file)
{
	bool		right = shim_try(what, c);
	char		message[sizeof(shim_error.message)];
	const void *loaded = c->loaded;
	long		kept = shim_kept_chunks();

	if (right)
	{
		CHECK(kept_files(file) == 1 && loaded != NULL);
		CHECK(shim_try(what, c) && c->loaded == loaded);
		CHECK(shim_kept_chunks() == kept);
		return true;
	}
	if (getenv("FUZZ_SAY") != NULL)
		fprintf(stderr, "%s\n", shim_error.message);
	CHECK(shim_error.code == ERRCODE_CONFIG_FILE_ERROR ||
		  shim_error.code == ERRCODE_STATEMENT_TOO_COMPLEX);
	CHECK(shim_error.code == ERRCODE_STATEMENT_TOO_COMPLEX ||
		  strstr(shim_error.message, file) != NULL);
	CHECK(kept_files(file) == 0);
	strcpy(message, shim_error.message);
	CHECK(!shim_try(what, c));
	CHECK(strcmp(message, shim_error.message) == 0);
	CHECK(shim_kept_chunks() == kept);
	return false;
}

static void
try_files(Case *c)
{
	static char names[MAX_SECTIONS][3 * NAMEDATALEN];
	const char *name = json_string_value(json_object_get(c->sections[0].json, "api"));

	c->api = name != NULL && apigouv_apidef_is_name(name) ? name : "a";
	shim_no_files();
	shim_file("shared/territoires.json", territories, strlen(territories));
	snprintf(names[0], sizeof(names[0]), "%s.json", c->api);
	shim_file(names[0], c->sections[0].text, c->sections[0].len);
	if (!load(c, load_api, names[0]))
	{
		CHECK(apis == NIL);
		return;
	}
	for (int i = 1; i < c->n; i++)
	{
		const json_t *listed = json_object_get(c->sections[0].json, "tables");

		name = json_string_value(json_object_get(c->sections[i].json, "table"));
		for (size_t j = 0; j < json_array_size(listed); j++)
		{
			const char *known = json_string_value(json_array_get(listed, j));

			if (name == NULL || strcmp(known, name) == 0)
				c->table = name = known;
		}
		if (c->table == NULL)
			continue;
		snprintf(names[i], sizeof(names[i]), "%s/%s.json", c->api, c->table);
		shim_file(names[i], c->sections[i].text, c->sections[i].len);
		if (kept_files(names[i]) == 0 && load(c, load_table, names[i]))
			CHECK(shim_try(use_loaded, c));
		c->table = NULL;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Case		c = {0};

	shim_start();
	c.n = split((const char *) data, size, c.sections);
	try_files(&c);
	forget_all();
	for (int i = 0; i < c.n; i++)
		json_decref(c.sections[i].json);
	return 0;
}

/* Changes one of the documents, mostly as JSON. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
						unsigned int seed)
{
	Section		sections[MAX_SECTIONS];
	int			n = split((const char *) data, size, sections);
	char	   *out = malloc(most);
	size_t		len = 0;
	int			which;

	mutate_state = seed;
	mutate_random(1);
	which = mutate_random(n);
	if (sections[which].json != NULL && mutate_random(16) > 0)
	{
		int			other = mutate_random(n);

		for (int changes = 1 + mutate_random(3); changes > 0; changes--)
		{
			json_t	   *from = json_deep_copy(sections[other].json
											  ? sections[other].json
											  : sections[which].json);

			sections[which].json = mutate_json(sections[which].json, from,
											   words);
			json_decref(from);
		}
		for (int i = 0; i < n; i++)
		{
			size_t		room = most - len;
			size_t		more = sections[i].len;

			if (i == which)
				more = json_dumpb(sections[i].json, out + len, room,
								  JSON_COMPACT | JSON_ENCODE_ANY);
			else if (more <= room)
				memcpy(out + len, sections[i].text, more);
			if (more + strlen(SEPARATOR) > room)
			{
				len = 0;
				break;
			}
			len += more;
			if (i + 1 < n)
			{
				memcpy(out + len, SEPARATOR, strlen(SEPARATOR));
				len += strlen(SEPARATOR);
			}
		}
	}
	for (int i = 0; i < n; i++)
		json_decref(sections[i].json);
	if (len > 0)
		memcpy(data, out, len);
	else
		len = LLVMFuzzerMutate(data, size, most);
	free(out);
	return len;
}
