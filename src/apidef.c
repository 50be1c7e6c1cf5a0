/*-------------------------------------------------------------------------
 *
 * apidef.c
 *		API definitions: find, read on first use, keep, look up.
 *
 * A definition directory holds NAME.json for each API, NAME/TABLE.json for
 * each of its tables and shared/ for lists that several use.  A file is read
 * when a query first needs it: jansson takes milliseconds for all of them
 * together, so they are small and many.
 *
 * Memory: each file becomes one memory context of its own.  It is made under
 * the caller's and moved below definitions_cxt when it is complete, so a file
 * with a mistake leaves nothing behind.  The JSON tree and the text live in
 * a context that goes away with the reading.
 *
 * What was read stays until the backend ends, even when it is forgotten
 * because the directory changed: running queries point to it.
 *
 * Not here: what a table file holds (apidef_read.c and those it names).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "apidef_read.h"
#include "messages.h"

/* where the package installs definitions, under the share directory */
#define SHARE_SUBDIRECTORY "extension/apigouv_fdw"

#define SUFFIX ".json"

/* far above any definition; keeps a wrong file out of memory */
#define MAX_FILE_BYTES 4194304

#define DEFAULT_REQUEST_COST 200
#define DEFAULT_LATENCY_MS 100
#define DEFAULT_RENEW_BEFORE_S 60

/* the setting; its default, empty, means the share directory */
char	   *apigouv_definition_dir = NULL;

/* parent of all that is kept; NULL until something is */
static MemoryContext definitions_cxt = NULL;

/* list of ApigouvApiFile *, in definitions_cxt */
static List *apis = NIL;

/* words of the definition format; lists for enums are in their order */

static const char *const api_members[] = {
	"api", "title", "source", "base_url", "auth", "scopes_request", "headers",
	"purpose", "limits", "ip_limit", "token_limit", "limit_headers",
	"replies", "error_body", "empty_is_null", "request_cost", "latency_ms", "personal_data",
	"audit", "fresh", "documents", "check", "tables", NULL
};
static const char *const auth_members[] = {
	"scheme", "jwt", "token_url", "scope", "renew_before_s", NULL
};
static const char *const schemes[] = {
	"none", "bearer", "oauth2_client_credentials", NULL
};
static const char *const scopes_request_members[] = {
	"path", "value", NULL
};
static const char *const check_members[] = {
	"table", "route", "values", NULL
};
static const char *const limit_members[] = {
	"requests", "window_s", "counted_by", "counter", "margin_ms", NULL
};
static const char *const counted_by[] = {
	"token", "authorisation", "client", "ip", NULL
};
static const char *const limit_header_members[] = {
	"limit", "remaining", "reset", NULL
};
static const char *const error_body_members[] = {
	"code", "title", "retry_in_s", NULL
};

/* ---- names and directories ---- */

/* Only such names become parts of a file name. */
bool
apigouv_apidef_is_name(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && len < NAMEDATALEN &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

void
apigouv_apidef_check_name(const ApigouvField *at, const char *name)
{
	if (!apigouv_apidef_is_name(name))
		apigouv_field_error(at, NULL,
							"invalid name \"%s\": must be 1 to %d of a-z, 0-9 and _",
							name, NAMEDATALEN - 1);
}

/* The definition directory, in the current context. */
char *
apigouv_apidef_directory(void)
{
	char		share[MAXPGPATH];

	if (apigouv_definition_dir != NULL && apigouv_definition_dir[0] != '\0')
		return pstrdup(apigouv_definition_dir);
	get_share_path(my_exec_path, share);
	return psprintf("%s/%s", share, SHARE_SUBDIRECTORY);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

List *
apigouv_apidef_names(void)
{
	char	   *directory = apigouv_apidef_directory();
	DIR		   *dir = AllocateDir(directory);
	struct dirent *entry;
	List	   *names = NIL;

	if (dir == NULL && errno == ENOENT)
		return NIL;
	while ((entry = ReadDir(dir, directory)) != NULL)
	{
		size_t		len = strlen(entry->d_name);
		char	   *name;

		if (len <= strlen(SUFFIX) ||
			strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		name = pnstrdup(entry->d_name, len - strlen(SUFFIX));
		if (apigouv_apidef_is_name(name))
			names = lappend(names, name);
	}
	FreeDir(dir);
	pfree(directory);
	list_sort(names, compare_names);
	return names;
}

/* ---- files ---- */

/*
 * read_text
 *		A file's bytes and a final zero, in the current context.
 *
 * NULL when it does not exist.  file: its name within the directory.
 */
static char *
read_text(const char *directory, const char *file, size_t *len)
{
	char	   *path = psprintf("%s/%s", directory, file);
	FILE	   *stream = AllocateFile(path, PG_BINARY_R);
	struct stat status;
	char	   *text;

	if (stream == NULL && (errno == ENOENT || errno == ENOTDIR))
		return NULL;
	if (stream == NULL || fstat(fileno(stream), &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open API definition \"%s\": %m", file)));
	if (!S_ISREG(status.st_mode) || status.st_size > MAX_FILE_BYTES)
	{
		FreeFile(stream);		/* whoever lists definitions goes on */
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition \"%s\": must be a plain file of %d bytes at most",
						file, MAX_FILE_BYTES)));
	}

	text = palloc(status.st_size + 1);
	*len = fread(text, 1, status.st_size, stream);
	if (ferror(stream))
	{
		int			save_errno = errno;

		FreeFile(stream);
		errno = save_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read API definition \"%s\": %m", file)));
	}
	FreeFile(stream);
	text[*len] = '\0';
	return text;
}

static ApigouvJson *
parse(const char *file, const char *text, size_t len)
{
	char		problem[200];
	ApigouvJson *json = apigouv_json_parse(text, len, problem,
										   sizeof(problem));

	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition \"%s\": %s", file, problem)));
	return json;
}

/*
 * apigouv_apidef_load
 *		Make the structure of a file, to be kept for the backend's life, or for
 *		that of the current context.
 *
 * build makes it in a memory context of its own and gets arg.  Returns NULL
 * when the file does not exist.  When anything raises an error, nothing is
 * left of the file.
 */
void *
apigouv_apidef_load(const char *directory, const char *file, bool keep,
					ApigouvBuilder build, void *arg)
{
	MemoryContext old_cxt = CurrentMemoryContext;
	MemoryContext kept_cxt;
	MemoryContext temp_cxt;
	void	   *volatile result = NULL;

	if (definitions_cxt == NULL)
		definitions_cxt = AllocSetContextCreate(TopMemoryContext,
												"apigouv_fdw definitions",
												ALLOCSET_SMALL_SIZES);
	temp_cxt = AllocSetContextCreate(old_cxt, "apigouv_fdw definition text",
									 ALLOCSET_DEFAULT_SIZES);
	kept_cxt = AllocSetContextCreate(old_cxt, "apigouv_fdw definition",
									 ALLOCSET_START_SMALL_SIZES);
	MemoryContextCopyAndSetIdentifier(kept_cxt, file);
	PG_TRY();
	{
		ApigouvField root;
		char	   *text;
		size_t		len;

		MemoryContextSwitchTo(temp_cxt);
		text = read_text(directory, file, &len);
		if (text != NULL)
		{
			root.parent = NULL;
			root.name = file;
			root.index = 0;
			root.json = parse(file, text, len);
			MemoryContextSwitchTo(kept_cxt);
			result = build(&root, arg);
			if (keep)
				MemoryContextSetParent(kept_cxt, definitions_cxt);
		}
		else
			MemoryContextDelete(kept_cxt);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_cxt);
		MemoryContextDelete(temp_cxt);
		MemoryContextDelete(kept_cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_cxt);
	MemoryContextDelete(temp_cxt);
	return result;
}

/* ---- what is common to an API ---- */

/*
 * read_url
 *		A URL that may get credentials: https, or http for this machine.
 */
static char *
read_url(const ApigouvField *object, const char *name)
{
	static const char *const allowed[] = {
		"https://", "http://127.0.0.1", "http://localhost", "http://[::1]"
	};
	ApigouvField at = apigouv_field_need(object, name);
	char	   *url = apigouv_field_value(&at, APIGOUV_TEXT_DATA);
	size_t		len = strlen(url);
	int			i;

	if (len > 0 && url[len - 1] == '/')
		apigouv_field_error(&at, NULL, "must not end with a slash");
	for (i = 0; i < (int) lengthof(allowed); i++)
	{
		size_t		start = strlen(allowed[i]);

		if (strncmp(url, allowed[i], start) == 0 && url[start] != '\0' &&
			strpbrk(url, "# \t\r\n") == NULL &&
			(i == 0 || url[start] == ':' || url[start] == '/'))
			return url;
		if (i > 0 && strcmp(url, allowed[i]) == 0)
			return url;
	}
	apigouv_field_error(&at, NULL,
						"must be an https URL, or http for this machine");
}

static void
read_auth(const ApigouvField *file, ApigouvApi *api)
{
	static const char *const oauth2_only[] = {
		"token_url", "scope", "renew_before_s"
	};
	ApigouvField at = apigouv_field_need(file, "auth");
	int			i;

	apigouv_field_members(&at, auth_members);
	(void) apigouv_field_need(&at, "scheme");
	api->auth = (ApigouvAuth)
		apigouv_field_choice(&at, "scheme", schemes, APIGOUV_AUTH_NONE);
	api->jwt = apigouv_field_boolean(&at, "jwt", false);
	if (api->jwt && api->auth != APIGOUV_AUTH_BEARER)
		apigouv_field_error(&at, NULL, "\"jwt\" does not fit scheme \"%s\"",
							schemes[api->auth]);
	if (api->auth == APIGOUV_AUTH_OAUTH2)
	{
		api->token_url = read_url(&at, "token_url");
		api->scope = apigouv_field_text(&at, "scope", APIGOUV_TEXT_DATA);
		api->renew_before_s =
			apigouv_field_integer(&at, "renew_before_s", 0,
								  DEFAULT_RENEW_BEFORE_S);
		return;
	}
	for (i = 0; i < (int) lengthof(oauth2_only); i++)
	{
		if (apigouv_json_get(at.json, oauth2_only[i]) != NULL)
			apigouv_field_error(&at, NULL,
								"\"%s\" does not fit scheme \"%s\"",
								oauth2_only[i], schemes[api->auth]);
	}
}

static void
read_scopes_request(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField at = apigouv_field_get(file, "scopes_request");
	ApigouvField value;

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, scopes_request_members);
	api->scopes_path = apigouv_field_need_text(&at, "path",
											   APIGOUV_TEXT_DATA);
	if (api->scopes_path[0] != '/')
		apigouv_field_error(&at, NULL, "\"path\" must start with a slash");
	value = apigouv_field_need(&at, "value");
	api->scopes_value = apigouv_field_value(&value, APIGOUV_TEXT_DATA);
	apigouv_field_check_json_path(&value, api->scopes_value);
}

/* Header names to values, as a member of an API gives them. */
static ApigouvHeader *
read_headers(const ApigouvField *file, const char *name, int *count)
{
	static const char token[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	"!#$%&'*+-.^_`|~";
	ApigouvField map = apigouv_field_get(file, name);
	ApigouvField member;
	void	   *iterator = NULL;
	ApigouvHeader *headers = palloc(apigouv_json_size(map.json) *
									sizeof(ApigouvHeader));

	*count = 0;
	while (apigouv_field_next(&map, &iterator, &member))
	{
		ApigouvHeader *header = &headers[(*count)++];

		header->name = pstrdup(member.name);
		header->value = apigouv_field_value(&member, APIGOUV_TEXT_DATA);
		if (header->name[0] == '\0' ||
			header->name[strspn(header->name, token)] != '\0' ||
			strpbrk(header->value, "\r\n") != NULL)
			apigouv_field_error(&member, NULL, "invalid request header");
	}
	return headers;
}

static void
read_limits(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField map = apigouv_field_get(file, "limits");
	ApigouvField member;
	void	   *iterator = NULL;

	api->limits = palloc0(apigouv_json_size(map.json) * sizeof(ApigouvLimit));
	while (apigouv_field_next(&map, &iterator, &member))
	{
		ApigouvLimit *limit = &api->limits[api->nlimits++];
		int			window_s;

		apigouv_field_members(&member, limit_members);
		limit->name = pstrdup(member.name);
		(void) apigouv_field_need(&member, "requests");
		limit->requests = apigouv_field_integer(&member, "requests", 1, 0);
		if (limit->requests > MAX_LIMIT_REQUESTS)
			apigouv_field_error(&member, NULL, "allows more than %d requests",
								MAX_LIMIT_REQUESTS);
		(void) apigouv_field_need(&member, "window_s");
		window_s = apigouv_field_integer(&member, "window_s", 1, 0);
		if (window_s > MAX_LIMIT_WINDOW_S)
			apigouv_field_error(&member, NULL, "has a window longer than %d s",
								MAX_LIMIT_WINDOW_S);
		limit->window_ms = window_s * 1000;
		limit->counted_by = (ApigouvCountedBy)
			apigouv_field_choice(&member, "counted_by", counted_by,
								 APIGOUV_BY_TOKEN);
		limit->margin_ms = apigouv_field_integer(&member, "margin_ms", 0, 0);
		limit->counter = apigouv_field_text(&member, "counter",
											APIGOUV_TEXT_DATA);
		if (limit->counter == NULL)
			limit->counter = psprintf("%s.%s", api->name, limit->name);
	}
	api->ip_limit = apigouv_apidef_limit(file, "ip_limit", api);
	api->token_limit = apigouv_apidef_limit(file, "token_limit", api);
}

static void
read_limit_headers(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField at = apigouv_field_get(file, "limit_headers");

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, limit_header_members);
	api->limit_header = apigouv_field_text(&at, "limit", APIGOUV_TEXT_DATA);
	api->remaining_header = apigouv_field_text(&at, "remaining",
											   APIGOUV_TEXT_DATA);
	api->reset_header = apigouv_field_text(&at, "reset", APIGOUV_TEXT_DATA);
}

static void
read_error_paths(const ApigouvField *error_body, const char *name,
				 ApigouvPaths *paths)
{
	ApigouvField list = apigouv_field_get(error_body, name);
	int			i;

	paths->paths = apigouv_field_texts(error_body, name, APIGOUV_TEXT_DATA,
									   &paths->n);
	for (i = 0; i < paths->n; i++)
	{
		ApigouvField at = apigouv_field_at(&list, i);

		apigouv_field_check_json_path(&at, paths->paths[i]);
	}
}

static void
read_error_body(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField at = apigouv_field_get(file, "error_body");

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, error_body_members);
	read_error_paths(&at, "code", &api->error_code);
	read_error_paths(&at, "title", &api->error_title);
	read_error_paths(&at, "retry_in_s", &api->error_retry_in);
}

static void
read_rules(const ApigouvField *file, ApigouvApiFile *api)
{
	ApigouvField list = apigouv_field_get(file, "replies");
	int			i;

	api->nrules = apigouv_field_length(&list);
	api->rules = palloc(api->nrules * sizeof(ApigouvRawRule));
	for (i = 0; i < api->nrules; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);

		apigouv_apidef_read_rule(&element, false, &api->rules[i]);
	}
}

/*
 * read_purpose
 *		Parameters of all routes, and the key columns that feed them.
 *
 * The columns are made before the parameters that refer to them.
 */
static void
read_purpose(const ApigouvField *file, ApigouvApiFile *api)
{
	static const char *const comments[] = {
		NULL,
		"SIRET de l'administration qui demande ; une condition remplace la valeur par défaut",
		"Cadre de la demande ; une condition remplace la valeur par défaut",
		"Objet de la demande ; une condition remplace la valeur par défaut"
	};
	ApigouvField list = apigouv_field_get(file, "purpose");
	int			n = apigouv_field_length(&list);
	ApigouvTable *table = &api->purpose;
	int			i;

	table->columns = palloc0(n * sizeof(ApigouvColumn));
	for (i = 0; i < n; i++)
	{
		ApigouvField at = apigouv_field_at(&list, i);
		char	   *name = apigouv_field_text(&at, "column",
											  APIGOUV_TEXT_DATA);

		if (name == NULL || apigouv_apidef_column(table, name) >= 0)
			continue;
		apigouv_apidef_check_name(&at, name);
		table->columns[table->ncolumns].name = name;
		table->columns[table->ncolumns++].type = "text";
	}

	api->purpose_params = palloc(n * sizeof(ApigouvParam));
	for (i = 0; i < n; i++)
	{
		ApigouvField at = apigouv_field_at(&list, i);
		ApigouvParam *param = &api->purpose_params[api->npurpose++];

		apigouv_apidef_read_param(&at, table, param);
		if (param->purpose == APIGOUV_PURPOSE_NONE)
			apigouv_field_error(&at, NULL, "member \"setting\" is missing");
		if (param->place != APIGOUV_IN_QUERY &&
			param->place != APIGOUV_IN_HEADER)
			apigouv_field_error(&at, NULL,
								"must be in \"query\" or \"header\"");
		if (param->required)
			api->api.purposes |= 1 << param->purpose;
		if (param->column >= 0)
			table->columns[param->column].comment =
				apigouv_field_server_text(comments[param->purpose]);
	}
}

static void
read_tables(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField list = apigouv_field_need(file, "tables");
	int			i;
	int			j;

	api->tables = apigouv_field_texts(file, "tables", APIGOUV_TEXT_DATA,
									  &api->ntables);
	for (i = 0; i < api->ntables; i++)
	{
		ApigouvField at = apigouv_field_at(&list, i);

		apigouv_apidef_check_name(&at, api->tables[i]);
		for (j = 0; j < i; j++)
		{
			if (strcmp(api->tables[i], api->tables[j]) == 0)
				apigouv_field_error(&at, NULL, "table \"%s\" is given twice",
									api->tables[i]);
		}
	}
}

/*
 * read_check
 *		The request that shows whether a server works: a route of a table, and
 *		what its parameters send.
 *
 * That the route is there, and needs no more, is seen when it is asked.
 */
static void
read_check(const ApigouvField *file, ApigouvApi *api)
{
	ApigouvField at = apigouv_field_get(file, "check");
	ApigouvField values;
	ApigouvField member;
	void	   *iterator = NULL;
	int			i = 0;

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, check_members);
	api->check_table = apigouv_field_need_text(&at, "table",
											   APIGOUV_TEXT_DATA);
	api->check_route = apigouv_field_need_text(&at, "route",
											   APIGOUV_TEXT_DATA);
	while (i < api->ntables && strcmp(api->tables[i], api->check_table) != 0)
		i++;
	if (i == api->ntables)
		apigouv_field_error(&at, NULL, "there is no table \"%s\"",
							api->check_table);
	values = apigouv_field_get(&at, "values");
	api->checks = palloc(apigouv_json_size(values.json) *
						 sizeof(ApigouvHeader));
	while (apigouv_field_next(&values, &iterator, &member))
	{
		ApigouvHeader *value = &api->checks[api->nchecks++];

		value->name = pstrdup(member.name);
		value->value = apigouv_field_value(&member, APIGOUV_TEXT_DATA);
	}
}

/* The name in a file must be the file's own. */
static void
check_own_name(const ApigouvField *file, const char *member,
			   const char *expected)
{
	ApigouvField at = apigouv_field_get(file, member);

	if (strcmp(apigouv_json_string(at.json), expected) != 0)
		apigouv_field_error(&at, NULL, "must be \"%s\" as the file's name",
							expected);
}

/* An ApigouvBuilder; arg: name of the API. */
static void *
build_api(const ApigouvField *file, void *arg)
{
	ApigouvApiFile *result = palloc0(sizeof(ApigouvApiFile));
	ApigouvApi *api = &result->api;

	apigouv_field_members(file, api_members);
	api->name = apigouv_field_need_text(file, "api", APIGOUV_TEXT_DATA);
	check_own_name(file, "api", arg);
	api->title = apigouv_field_text(file, "title", APIGOUV_TEXT_PROSE);
	(void) apigouv_field_text(file, "source", APIGOUV_TEXT_PROSE);
	api->base_url = read_url(file, "base_url");
	if (strchr(api->base_url, '?') != NULL)
	{
		ApigouvField at = apigouv_field_get(file, "base_url");

		apigouv_field_error(&at, NULL, "must not have a query");
	}
	read_auth(file, api);
	read_scopes_request(file, api);
	api->headers = read_headers(file, "headers", &api->nheaders);
	api->fresh = read_headers(file, "fresh", &api->nfresh);
	read_limits(file, api);
	read_limit_headers(file, api);
	read_error_body(file, api);
	read_purpose(file, result);
	read_rules(file, result);
	result->empty_is_null = apigouv_field_boolean(file, "empty_is_null", true);
	api->request_cost = apigouv_field_number(file, "request_cost", 0,
											 DEFAULT_REQUEST_COST);
	api->latency_ms = apigouv_field_number(file, "latency_ms", 0,
										   DEFAULT_LATENCY_MS);
	api->personal_data = apigouv_field_boolean(file, "personal_data", false);
	api->audit = apigouv_field_boolean(file, "audit", false);
	apigouv_apidef_read_documents(file, result);
	read_tables(file, api);
	read_check(file, api);
	result->loaded = palloc0(api->ntables * sizeof(ApigouvTable *));
	return result;
}

/* ---- tables ---- */

typedef struct TableWanted
{
	ApigouvApiFile *api;
	const char *name;
} TableWanted;

/* An ApigouvBuilder; arg: TableWanted. */
static void *
build_table(const ApigouvField *file, void *arg)
{
	TableWanted *wanted = arg;
	ApigouvTable *table = palloc0(sizeof(ApigouvTable));

	apigouv_apidef_read_table(file, wanted->api, table);
	check_own_name(file, "table", wanted->name);
	return table;
}

/* ---- looking up ---- */

/* An API with more tables has them in the view. */
#define HINTED_TABLES 10

/* Names joined for a hint. */
static char *
join(int n, char *const *names)
{
	StringInfoData text;
	int			i;

	initStringInfo(&text);
	for (i = 0; i < n; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", names[i]);
	return text.data;
}

static void
report_missing_api(const char *name)
{
	List	   *there = apigouv_apidef_names();
	char	  **names = palloc(list_length(there) * sizeof(char *));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, there)
		names[n++] = lfirst(cell);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
			 errmsg("API definition \"%s\" does not exist", name),
			 n > 0 ? errhint("The API definitions are: %s.", join(n, names)) :
			 errhint("There are no API definitions in the definition directory.")));
}

const ApigouvApi *
apigouv_apidef_api(const char *name, bool missing_ok)
{
	ApigouvApiFile *api = NULL;
	MemoryContext old_cxt;
	ListCell   *cell;

	foreach(cell, apis)
	{
		api = lfirst(cell);
		if (strcmp(api->api.name, name) == 0)
			return &api->api;
	}

	api = NULL;
	if (apigouv_apidef_is_name(name))
	{
		char	   *directory = apigouv_apidef_directory();
		char	   *file = psprintf("%s%s", name, SUFFIX);

		api = apigouv_apidef_load(directory, file, true, build_api,
								  unconstify(char *, name));
		if (api != NULL)
		{
			old_cxt = MemoryContextSwitchTo(definitions_cxt);
			api->directory = pstrdup(directory);
			apis = lappend(apis, api);
			MemoryContextSwitchTo(old_cxt);
		}
		pfree(file);
		pfree(directory);
	}
	if (api == NULL && !missing_ok)
		report_missing_api(name);
	return api ? &api->api : NULL;
}

/* Is an error of reading a definition about its file, not the session's? */
static bool
is_file_error(int code)
{
	return code == ERRCODE_CONFIG_FILE_ERROR ||
		code == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		code == ERRCODE_WRONG_OBJECT_TYPE ||
		ERRCODE_TO_CATEGORY(code) ==
		ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR);
}

const char *
apigouv_apidef_file_error(ApigouvApidefReader read, void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	const char *volatile message = NULL;

	PG_TRY();
	{
		read(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (!is_file_error(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		message = error->message;
	}
	PG_END_TRY();
	return message;
}

/* Position of a table among an API's, or -1. */
static int
find_table(const ApigouvApi *api, const char *name)
{
	for (int i = 0; i < api->ntables; i++)
	{
		if (strcmp(api->tables[i], name) == 0)
			return i;
	}
	return -1;
}

/* Read the file of a table that the API's file names. */
static ApigouvTable *
read_table_file(ApigouvApiFile *file, const char *name, bool keep)
{
	TableWanted wanted = {file, name};
	char	   *path = psprintf("%s/%s%s", file->api.name, name, SUFFIX);
	ApigouvTable *table = apigouv_apidef_load(file->directory, path, keep,
											  build_table, &wanted);

	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition \"%s%s\": file \"%s\" of a table does not exist",
						file->api.name, SUFFIX, path)));
	pfree(path);
	return table;
}

const ApigouvTable *
apigouv_apidef_table(const ApigouvApi *api, const char *name, bool missing_ok)
{
	/* the API is the first member of its ApigouvApiFile */
	ApigouvApiFile *file = (ApigouvApiFile *) unconstify(ApigouvApi *, api);
	int			i = find_table(api, name);

	if (i < 0 && missing_ok)
		return NULL;
	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_TABLE_NOT_FOUND),
				 errmsg("API definition \"%s\" has no table \"%s\"",
						api->name, name),
				 api->ntables <= HINTED_TABLES
				 ? errhint("Its tables are: %s.",
						   join(api->ntables, api->tables))
				 : errhint("View apigouv_tables lists its tables.")));
	if (file->loaded[i] == NULL)
		file->loaded[i] = read_table_file(file, name, true);
	return file->loaded[i];
}

const ApigouvTable *
apigouv_apidef_table_once(const ApigouvApi *api, const char *name)
{
	ApigouvApiFile *file = (ApigouvApiFile *) unconstify(ApigouvApi *, api);
	int			i = find_table(api, name);

	if (i < 0)
		return NULL;
	return file->loaded[i] != NULL ? file->loaded[i]
		: read_table_file(file, name, false);
}

int
apigouv_apidef_column(const ApigouvTable *table, const char *name)
{
	int			i;

	for (i = 0; i < table->ncolumns; i++)
	{
		if (strcmp(table->columns[i].name, name) == 0)
			return i;
	}
	return -1;
}

static bool
is_personal(const ApigouvColumn *column)
{
	return column->personal;
}

static bool
is_secret(const ApigouvColumn *column)
{
	return column->secret;
}

/* Has a column something, or any column if it is the row as it was sent? */
static bool
column_has(const ApigouvTable *table, int column,
		   bool (*has) (const ApigouvColumn *column))
{
	bool		found = has(&table->columns[column]);

	for (int i = 0; i < table->ncolumns && !found &&
		 column == table->reponse_column; i++)
		found = has(&table->columns[i]);
	return found;
}

bool
apigouv_apidef_is_personal(const ApigouvTable *table, int column)
{
	return table->personal_data || column_has(table, column, is_personal);
}

bool
apigouv_apidef_is_secret(const ApigouvTable *table, int column)
{
	return column_has(table, column, is_secret);
}

bool
apigouv_apidef_is_entitled(const ApigouvRoute *route, const List *scopes)
{
	const ListCell *lc;

	foreach(lc, scopes)
	{
		for (int i = 0; i < route->nscopes; i++)
		{
			if (strcmp(lfirst(lc), route->scopes[i]) == 0)
				return true;
		}
	}
	return route->nscopes == 0 || route->auth != APIGOUV_ROUTE_AUTH_API;
}

void
apigouv_apidef_reset(void)
{
	apis = NIL;
	apigouv_steps_reset();
}
