/*-------------------------------------------------------------------------
 *
 * apidef_read.c
 *		One table file and its routes.
 *
 * Columns come first (apidef_column.c), so that everything else can refer to
 * them by position.  A route is read once and then multiplied by its
 * variants: what the variants share (sources, rules) is the same memory.
 *
 * Everything is made in the current context and may refer to the API, which
 * lives as long.  The first mistake is an error.
 *
 * Not here: parameters, steps and reply rules (apidef_request.c), files and
 * the cache (apidef.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "apidef_read.h"

/* What a column's name and value take in a reply, on the average. */
#define COLUMN_BYTES 32

/* A route being made, with what is only known of it in the file. */
typedef struct RouteDraft
{
	ApigouvRoute *route;
	List	   *params;			/* of ApigouvParam *, in order */
	const ApigouvField *at;
} RouteDraft;

/* words of the definition format; lists for enums are in their order */

static const char *const table_members[] = {
	"table", "comment", "source", "rows", "row_bytes", "union", "columns",
	"routes", "replies", "empty_is_null", "personal_data",
	"recommended_cache_ttl_s", NULL
};
static const char *const route_members[] = {
	"name", "method", "path", "parameters", "variants", "rows",
	"rows_missing", "total", "paging", "columns", "constants", "limit",
	"scopes", "none", "not_entitled", "failed", "replies",
	"unless_condition_on", "lookup", "otherwise", "rows_per_request", "exact",
	"operation", "auth", "purpose", "pivot", NULL
};
static const char *const auth_members[] = {
	"scheme", "setting", NULL
};
static const char *const auth_schemes[] = {
	"none", "bearer", NULL
};
static const char *const auth_settings[] = {
	"", "france_connect_token", NULL
};
static const char *const variant_members[] = {
	"name", "parameters", "unless_condition_on", "lookup", NULL
};
static const char *const methods[] = {
	"GET", "POST", NULL
};
static const char *const rows_missing[] = {
	"error", "no_row", NULL
};
static const char *const lookup_members[] = {
	"path", "value", "gives", "limit", "scopes", NULL
};
static const char *const paging_members[] = {
	"style", "limit", "offset", "size", "page", "default_size", "max_size",
	"stable", "all_size", "unique", NULL
};
static const char *const paging_styles[] = {
	"", "offset", "page", NULL
};

/* ---- parts of a route ---- */

/* Column names to texts, or to null where that is allowed. */
static void
read_settings(const ApigouvField *route, const char *name,
			  const ApigouvTable *table, bool null_ok,
			  ApigouvSettings *settings)
{
	ApigouvField map = apigouv_field_get(route, name);
	ApigouvField member;
	void	   *iterator = NULL;

	if (map.json != NULL)
		settings->items = palloc(apigouv_json_size(map.json) *
								 sizeof(ApigouvSetting));
	while (apigouv_field_next(&map, &iterator, &member))
	{
		ApigouvSetting *item = &settings->items[settings->n++];

		item->column = apigouv_apidef_need_column(&member, table, member.name);
		item->text = null_ok ? apigouv_field_value_or_null(&member) :
			apigouv_field_value(&member, APIGOUV_TEXT_DATA);
	}
}

/*
 * give_rule_table
 *		Turn the names of the columns that a rule sets into positions.
 *
 * at: the rule in the table's file, where a name without column is an error;
 * NULL for a rule of the API, which sets what a table has.
 */
static ApigouvReplyRule
give_rule_table(const ApigouvField *at, const ApigouvRawRule *raw,
				const ApigouvTable *table)
{
	ApigouvReplyRule rule = raw->rule;
	int			i;

	if (raw->nset > 0)
		rule.set.items = palloc(raw->nset * sizeof(ApigouvSetting));
	for (i = 0; i < raw->nset; i++)
	{
		int			column;

		if (at != NULL)
			column = apigouv_apidef_need_column(at, table,
												raw->set_columns[i]);
		else
			column = apigouv_apidef_column(table, raw->set_columns[i]);
		if (column < 0)
			continue;
		rule.set.items[rule.set.n].column = column;
		rule.set.items[rule.set.n++].text = raw->set_texts[i];
	}
	return rule;
}

/*
 * read_rules
 *		Rules of a route or table, then those that come after them.
 *
 * Returns their array, its length in *count.
 */
static ApigouvReplyRule *
read_rules(const ApigouvField *holder, const ApigouvTable *table,
		   int nmore, const ApigouvReplyRule *more, int *count)
{
	ApigouvField list = apigouv_field_get(holder, "replies");
	int			n = apigouv_field_length(&list);
	ApigouvReplyRule *rules;
	int			i;

	*count = n + nmore;
	if (*count == 0)
		return NULL;
	rules = palloc(*count * sizeof(ApigouvReplyRule));
	for (i = 0; i < n; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);
		ApigouvRawRule raw;

		apigouv_apidef_read_rule(&element, false, &raw);
		rules[i] = give_rule_table(&element, &raw, table);
	}
	for (i = 0; i < nmore; i++)
		rules[n + i] = more[i];
	return rules;
}

static void
read_paging(const ApigouvField *route, const ApigouvTable *table,
			ApigouvPaging *paging)
{
	/* names of the two parameters, by style */
	static const char *const names[][2] = {
		{NULL, NULL}, {"limit", "offset"}, {"size", "page"}
	};
	ApigouvField at = apigouv_field_get(route, "paging");
	ApigouvField unique;
	int			other;

	paging->unique_column = -1;
	if (at.json == NULL)
		return;
	apigouv_field_members(&at, paging_members);
	(void) apigouv_field_need(&at, "style");
	paging->style = (ApigouvPagingStyle)
		apigouv_field_choice(&at, "style", paging_styles,
							 APIGOUV_PAGING_NONE);
	paging->size_param = apigouv_field_need_text(&at, names[paging->style][0],
												 APIGOUV_TEXT_DATA);
	paging->at_param = apigouv_field_need_text(&at, names[paging->style][1],
											   APIGOUV_TEXT_DATA);
	other = paging->style == APIGOUV_PAGING_OFFSET ? APIGOUV_PAGING_PAGE :
		APIGOUV_PAGING_OFFSET;
	if (apigouv_json_get(at.json, names[other][0]) != NULL ||
		apigouv_json_get(at.json, names[other][1]) != NULL)
		apigouv_field_error(&at, NULL,
							"\"%s\" and \"%s\" do not fit style \"%s\"",
							names[other][0], names[other][1],
							paging_styles[paging->style]);

	(void) apigouv_field_need(&at, "default_size");
	paging->default_size = apigouv_field_integer(&at, "default_size", 1, 0);
	paging->max_size = apigouv_field_integer(&at, "max_size", 1, 0);
	if (paging->max_size > 0 && paging->default_size > paging->max_size)
		apigouv_field_error(&at, NULL, "default_size is above max_size");
	paging->stable = apigouv_field_boolean(&at, "stable", false);
	paging->all_size = apigouv_field_integer(&at, "all_size", 1, 0);
	unique = apigouv_field_get(&at, "unique");
	if (unique.json != NULL)
		paging->unique_column = apigouv_apidef_read_column(&unique, table);
}

/* A path under the base URL. */
static char *
read_url_path(const ApigouvField *holder)
{
	ApigouvField at = apigouv_field_need(holder, "path");
	char	   *path = apigouv_field_value(&at, APIGOUV_TEXT_DATA);

	if (path[0] != '/' || strpbrk(path, "?# \t\r\n") != NULL)
		apigouv_field_error(&at, NULL, "invalid path \"%s\"", path);
	return path;
}

static char *
read_json_path(const ApigouvField *holder, const char *name)
{
	ApigouvField at = apigouv_field_get(holder, name);
	char	   *path = apigouv_field_text(holder, name, APIGOUV_TEXT_DATA);

	if (path != NULL)
		apigouv_field_check_json_path(&at, path);
	return path;
}

static void
read_lookup(const ApigouvField *holder, const ApigouvApi *api,
			ApigouvRoute *route)
{
	ApigouvField at = apigouv_field_get(holder, "lookup");
	ApigouvLookup *lookup = &route->lookup;

	if (at.json == NULL)
		return;
	if (lookup->path != NULL)
		apigouv_field_error(&at, NULL, "a route has one lookup");
	apigouv_field_members(&at, lookup_members);
	lookup->path = read_url_path(&at);
	(void) apigouv_field_need(&at, "value");
	lookup->value_path = read_json_path(&at, "value");
	lookup->gives = apigouv_field_need_text(&at, "gives", APIGOUV_TEXT_DATA);
	lookup->limit = apigouv_apidef_limit(&at, "limit", api);
	lookup->scopes = apigouv_field_texts(&at, "scopes", APIGOUV_TEXT_DATA,
										 &lookup->nscopes);
}

/*
 * read_route_auth
 *		Who a route's requests are made for, where that is not who has the
 *		user mapping.
 */
static void
read_route_auth(const ApigouvField *holder, ApigouvRoute *route)
{
	ApigouvField at = apigouv_field_get(holder, "auth");
	bool		is_bearer;
	bool		has_setting;

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, auth_members);
	(void) apigouv_field_need(&at, "scheme");
	is_bearer = apigouv_field_choice(&at, "scheme", auth_schemes, 0) == 1;
	has_setting = apigouv_field_choice(&at, "setting", auth_settings, 0) == 1;
	if (is_bearer != has_setting)
	{
		if (is_bearer)
			apigouv_field_error(&at, NULL,
								"scheme \"%s\" needs \"setting\"",
								auth_schemes[is_bearer]);
		apigouv_field_error(&at, NULL, "scheme \"%s\" takes no \"setting\"",
							auth_schemes[is_bearer]);
	}
	if (apigouv_json_get(holder->json, "not_entitled") != NULL)
		apigouv_field_error(&at, NULL,
							"does not go with \"not_entitled\": the scopes of such a token are not known");
	route->auth = is_bearer ? APIGOUV_ROUTE_AUTH_SESSION
		: APIGOUV_ROUTE_AUTH_NONE;
}

/* What a route and each of its variants may hold. */
static void
read_alternative(const ApigouvField *at, const ApigouvTable *table,
				 RouteDraft *draft)
{
	ApigouvField params = apigouv_field_get(at, "parameters");
	ApigouvRoute *route = draft->route;
	int			nparams = apigouv_field_length(&params);
	int		   *columns;
	int			ncolumns;
	int			i;

	for (i = 0; i < nparams; i++)
	{
		ApigouvField element = apigouv_field_at(&params, i);
		ApigouvParam *param = palloc(sizeof(ApigouvParam));

		apigouv_apidef_read_param(&element, table, param);
		if (param->place == APIGOUV_IN_BODY && !route->post)
			apigouv_field_error(&element, NULL,
								"a parameter in \"body\" needs method POST");
		draft->params = lappend(draft->params, param);
	}

	columns = apigouv_apidef_read_columns(at, "unless_condition_on", table,
										  &ncolumns);
	if (ncolumns > 0)
	{
		int		   *both = palloc((route->nunless + ncolumns) * sizeof(int));

		for (i = 0; i < route->nunless; i++)
			both[i] = route->unless_columns[i];
		for (i = 0; i < ncolumns; i++)
			both[route->nunless + i] = columns[i];
		route->unless_columns = both;
		route->nunless += ncolumns;
	}
	read_lookup(at, table->api, route);
}

/* ---- a whole route ---- */

static const ApigouvParam *
path_param(const RouteDraft *draft, const char *name, size_t len)
{
	ListCell   *cell;

	foreach(cell, draft->params)
	{
		const ApigouvParam *param = lfirst(cell);

		if (param->place == APIGOUV_IN_PATH && strlen(param->name) == len &&
			strncmp(param->name, name, len) == 0)
			return param;
	}
	return NULL;
}

/*
 * check_template
 *		Every {name} of a path template must have its parameter.
 *
 * by_lookup: may the parameter be given by the lookup?
 */
static void
check_template(const RouteDraft *draft, const char *path, bool by_lookup)
{
	const char *p = path;

	while (*(p += strcspn(p, "{}")) != '\0')
	{
		size_t		len = strcspn(p + 1, "{}");
		const ApigouvParam *param;

		if (p[0] != '{' || len == 0 || p[len + 1] != '}')
			apigouv_field_error(draft->at, NULL,
								"invalid path template \"%s\"", path);
		param = path_param(draft, p + 1, len);
		if (param == NULL)
			apigouv_field_error(draft->at, NULL,
								"there is no path parameter \"%.*s\"",
								(int) len, p + 1);
		if (param->from_lookup && !by_lookup)
			apigouv_field_error(draft->at, NULL,
								"path of the lookup needs \"%s\", which it gives",
								param->name);
		p += len + 2;
	}
}

static bool
in_template(const char *path, const char *name)
{
	char	   *place = psprintf("{%s}", name);
	bool		found = path != NULL && strstr(path, place) != NULL;

	pfree(place);
	return found;
}

/*
 * clash
 *		Are two parameters of a route the same one?
 *
 * A name may come twice when its values come from different columns or
 * operators, except in the path, where a place has one value.
 */
static bool
clash(const ApigouvParam *a, const ApigouvParam *b)
{
	if (a->place != b->place || strcmp(a->name, b->name) != 0)
		return false;
	if (a->place == APIGOUV_IN_PATH || (a->column < 0 && b->column < 0))
		return true;
	return a->column == b->column && (a->ops & b->ops) != 0;
}

/* Checks of one parameter against its route. */
static void
check_param(const RouteDraft *draft, const ApigouvParam *param)
{
	const ApigouvRoute *route = draft->route;
	ListCell   *cell;
	int			i;

	if (param->place == APIGOUV_IN_PATH &&
		!in_template(route->path, param->name) &&
		!in_template(route->lookup.path, param->name))
		apigouv_field_error(draft->at, NULL,
							"path parameter \"%s\" is not in the path",
							param->name);
	if (param->from_lookup &&
		(route->lookup.path == NULL ||
		 strcmp(route->lookup.gives, param->name) != 0))
		apigouv_field_error(draft->at, NULL,
							"there is no lookup that gives \"%s\"",
							param->name);

	foreach(cell, draft->params)
	{
		const ApigouvParam *other = lfirst(cell);

		if (other == param)
			break;
		if (clash(other, param))
			apigouv_field_error(draft->at, NULL,
								"parameter \"%s\" is given twice",
								param->name);
	}
	for (i = 0; i < param->nunless_sent; i++)
	{
		bool		found = false;

		foreach(cell, draft->params)
		{
			const ApigouvParam *other = lfirst(cell);

			found |= strcmp(other->name, param->unless_sent[i]) == 0;
		}
		if (!found)
			apigouv_field_error(draft->at, NULL,
								"\"unless_sent\" of \"%s\": there is no parameter \"%s\"",
								param->name, param->unless_sent[i]);
	}
}

/*
 * finish_route
 *		Check a route that has all its parameters, and keep them with it.
 */
static void
finish_route(const RouteDraft *draft)
{
	ApigouvRoute *route = draft->route;
	bool		lookup_is_used = false;
	ListCell   *cell;

	check_template(draft, route->path, true);
	if (route->lookup.path != NULL)
		check_template(draft, route->lookup.path, false);

	route->params = palloc(list_length(draft->params) * sizeof(ApigouvParam));
	foreach(cell, draft->params)
	{
		const ApigouvParam *param = lfirst(cell);

		check_param(draft, param);
		lookup_is_used |= param->from_lookup;
		route->keyed |= param->required && param->column >= 0 &&
			param->purpose == APIGOUV_PURPOSE_NONE;
		route->params[route->nparams++] = *param;
	}
	if (route->lookup.path != NULL && !lookup_is_used)
		apigouv_field_error(draft->at, NULL,
							"no parameter takes \"%s\" from the lookup",
							route->lookup.gives);
}

/* The purpose parameters of the API, for this table's columns. */
static List *
purpose_params(const ApigouvApiFile *api, const ApigouvTable *table)
{
	List	   *result = NIL;
	int			i;

	for (i = 0; i < api->npurpose; i++)
	{
		ApigouvParam *param = palloc(sizeof(ApigouvParam));

		*param = api->purpose_params[i];
		if (param->column >= 0)
		{
			const ApigouvColumn *key = &api->purpose.columns[param->column];

			param->column = apigouv_apidef_column(table, key->name);
		}
		result = lappend(result, param);
	}
	return result;
}

/*
 * add_variants
 *		Add a route for every combination of alternatives to the list.
 *
 * base: the route without its variants.  group: the first group of
 * alternatives that was not chosen from yet.
 */
static void
add_variants(const ApigouvField *variants, int group,
			 const ApigouvTable *table, const RouteDraft *base, List **routes)
{
	ApigouvField alternatives;
	int			n;
	int			i;

	check_stack_depth();
	if (group == apigouv_field_length(variants))
	{
		finish_route(base);
		*routes = lappend(*routes, base->route);
		return;
	}

	alternatives = apigouv_field_at(variants, group);
	n = apigouv_field_length(&alternatives);
	if (n == 0)
		apigouv_field_error(&alternatives, NULL, "must not be empty");
	for (i = 0; i < n; i++)
	{
		ApigouvField at = apigouv_field_at(&alternatives, i);
		RouteDraft	draft = *base;
		ApigouvField name;
		char	   *text;

		apigouv_field_members(&at, variant_members);
		name = apigouv_field_need(&at, "name");
		text = apigouv_field_value(&name, APIGOUV_TEXT_DATA);
		apigouv_apidef_check_name(&name, text);

		draft.route = palloc(sizeof(ApigouvRoute));
		*draft.route = *base->route;
		draft.route->name = psprintf("%s%c%s", base->route->name,
									 group == 0 ? ':' : '+', text);
		draft.params = list_copy(base->params);
		read_alternative(&at, table, &draft);
		add_variants(variants, group + 1, table, &draft, routes);
	}
}

/*
 * read_route
 *		Read a route of the file and add it, or its variants, to the list.
 */
static void
read_route(const ApigouvField *at, const ApigouvApiFile *api,
		   const ApigouvTable *table, int nrules,
		   const ApigouvReplyRule *rules, List **routes)
{
	ApigouvRoute *route = palloc0(sizeof(ApigouvRoute));
	ApigouvField variants = apigouv_field_get(at, "variants");
	ApigouvField name;
	RouteDraft	draft;

	apigouv_field_members(at, route_members);
	name = apigouv_field_need(at, "name");
	route->name = route->source_name = apigouv_field_value(&name,
														   APIGOUV_TEXT_DATA);
	apigouv_apidef_check_name(&name, route->name);
	route->source = table->nsources;
	route->otherwise = -1;
	route->post = apigouv_field_choice(at, "method", methods, 0) == 1;
	route->path = read_url_path(at);
	apigouv_apidef_read_rows(at, route);
	route->rows_optional = apigouv_field_choice(at, "rows_missing",
												rows_missing, 0) == 1;
	route->total_path = read_json_path(at, "total");
	read_paging(at, table, &route->paging);
	route->sources = apigouv_apidef_route_sources(at, table);
	apigouv_apidef_read_pivot(at, table, route);
	apigouv_apidef_check_nesting(at, table, route);
	read_settings(at, "constants", table, false, &route->constants);
	route->operation = apigouv_field_text(at, "operation", APIGOUV_TEXT_DATA);
	read_route_auth(at, route);
	route->limit = apigouv_apidef_limit(at, "limit", table->api);
	route->scopes = apigouv_field_texts(at, "scopes", APIGOUV_TEXT_DATA,
										&route->nscopes);
	if (!table->is_union && (apigouv_json_get(at->json, "none") != NULL ||
							 apigouv_json_get(at->json, "not_entitled") != NULL ||
							 apigouv_json_get(at->json, "failed") != NULL))
		apigouv_field_error(at, NULL,
							"\"none\", \"not_entitled\" and \"failed\" need a union table");
	read_settings(at, "none", table, true, &route->none);
	read_settings(at, "not_entitled", table, true, &route->not_entitled);
	read_settings(at, "failed", table, true, &route->failed);
	route->rules = read_rules(at, table, nrules, rules, &route->nrules);
	route->rows_per_request = apigouv_field_number(at, "rows_per_request",
												   0, 1);
	route->exact = apigouv_field_boolean(at, "exact", true);
	route->lookup.limit = -1;

	draft.route = route;
	draft.params = NIL;
	if (apigouv_field_boolean(at, "purpose", true))
		draft.params = purpose_params(api, table);
	draft.at = at;
	read_alternative(at, table, &draft);
	add_variants(&variants, 0, table, &draft, routes);
}

/* ---- all routes ---- */

/* Rules of the table, then of the API, for this table's columns. */
static ApigouvReplyRule *
read_common_rules(const ApigouvField *file, const ApigouvApiFile *api,
				  const ApigouvTable *table, int *count)
{
	ApigouvReplyRule *rules;
	int			i;

	rules = palloc(api->nrules * sizeof(ApigouvReplyRule));
	for (i = 0; i < api->nrules; i++)
		rules[i] = give_rule_table(NULL, &api->rules[i], table);
	return read_rules(file, table, api->nrules, rules, count);
}

/*
 * resolve_otherwise
 *		Routes that stand in for others: names to positions.
 *
 * A route with variants as a target means its first.
 */
static void
resolve_otherwise(const ApigouvField *routes, ApigouvTable *table)
{
	int			i;
	int			j;

	for (i = 0; i < table->nroutes; i++)
	{
		ApigouvRoute *route = &table->routes[i];
		ApigouvField at = apigouv_field_at(routes, route->source);
		char	   *wanted = apigouv_field_text(&at, "otherwise",
												APIGOUV_TEXT_DATA);

		if (wanted == NULL)
			continue;
		for (j = 0; j < table->nroutes && route->otherwise < 0; j++)
		{
			if (strcmp(table->routes[j].source_name, wanted) == 0)
				route->otherwise = j;
		}
		if (route->otherwise < 0)
			apigouv_field_error(&at, NULL,
								"\"otherwise\": there is no route \"%s\"",
								wanted);
	}
	for (i = 0; i < table->nroutes; i++)
	{
		int			steps = 0;

		for (j = table->routes[i].otherwise; j >= 0;
			 j = table->routes[j].otherwise)
		{
			if (table->routes[j].source == table->routes[i].source ||
				++steps > table->nroutes)
			{
				ApigouvField at = apigouv_field_at(routes,
												   table->routes[i].source);

				apigouv_field_error(&at, NULL,
									"\"otherwise\" leads back to route \"%s\"",
									table->routes[j].source_name);
			}
		}
	}
}

static void
read_routes(const ApigouvField *file, const ApigouvApiFile *api,
			ApigouvTable *table)
{
	ApigouvField list = apigouv_field_need(file, "routes");
	List	   *routes = NIL;
	ListCell   *cell;
	ApigouvReplyRule *rules;
	int			nrules;
	int			n = apigouv_field_length(&list);
	int			i;
	int			j;

	if (n == 0)
		apigouv_field_error(&list, NULL, "must not be empty");
	rules = read_common_rules(file, api, table, &nrules);
	for (i = 0; i < n; i++)
	{
		ApigouvField at = apigouv_field_at(&list, i);

		read_route(&at, api, table, nrules, rules, &routes);
		table->nsources++;
	}

	table->routes = palloc(list_length(routes) * sizeof(ApigouvRoute));
	foreach(cell, routes)
		table->routes[table->nroutes++] = *(ApigouvRoute *) lfirst(cell);
	for (i = 0; i < table->nroutes; i++)
	{
		for (j = 0; j < i; j++)
		{
			ApigouvField at = apigouv_field_at(&list, table->routes[i].source);

			if (strcmp(table->routes[i].name, table->routes[j].name) == 0)
				apigouv_field_error(&at, NULL,
									"route \"%s\" is given twice",
									table->routes[i].name);
		}
	}
	resolve_otherwise(&list, table);
}

/* ---- checks across routes ---- */

/* Does some parameter of some route take this column? */
static bool
is_asked(const ApigouvTable *table, int column)
{
	int			i;
	int			j;

	for (i = 0; i < table->nroutes; i++)
	{
		for (j = 0; j < table->routes[i].nparams; j++)
		{
			if (table->routes[i].params[j].column == column)
				return true;
		}
	}
	return false;
}

static void
check_echo(const ApigouvField *file, const ApigouvTable *table,
		   const ApigouvSource *source, int column)
{
	int			i;

	if (source->kind == APIGOUV_SOURCE_ECHO &&
		!is_asked(table, source->column))
		apigouv_field_error(file, NULL,
							"column \"%s\" echoes \"%s\", which no parameter takes",
							table->columns[column].name,
							table->columns[source->column].name);
	for (i = 0; i < source->nsubs; i++)
		check_echo(file, table, &source->subs[i], column);
}

static void
check_echoes(const ApigouvField *file, const ApigouvTable *table)
{
	int			i;
	int			j;

	for (i = 0; i < table->ncolumns; i++)
	{
		check_echo(file, table, &table->columns[i].source, i);
		for (j = 0; j < table->nroutes; j++)
			check_echo(file, table, &table->routes[j].sources[i], i);
	}
}

static void
mark_opaque_columns(ApigouvTable *table)
{
	int			i;
	int			j;

	for (i = 0; i < table->nroutes; i++)
	{
		for (j = 0; j < table->routes[i].nparams; j++)
		{
			const ApigouvParam *param = &table->routes[i].params[j];

			if (param->exactness == APIGOUV_OPAQUE && param->column >= 0)
				table->columns[param->column].is_opaque = true;
		}
	}
}

/* ---- the file ---- */

/*
 * mark_keepable_routes
 *		Find the routes whose replies may leave memory.
 *
 * A personal column counts for the routes that fill it.  Where a table has a
 * secret column, no reply of the table is kept: what holds links today in one
 * source may tomorrow in another.  What a person's own token gives is that
 * person's.
 */
static void
mark_keepable_routes(ApigouvTable *table)
{
	for (int i = 0; i < table->nroutes; i++)
	{
		ApigouvRoute *route = &table->routes[i];

		route->is_personal = table->personal_data ||
			route->auth == APIGOUV_ROUTE_AUTH_SESSION;
		for (int j = 0; j < route->nparams; j++)
		{
			if (route->params[j].column >= 0 &&
				table->columns[route->params[j].column].personal)
				route->is_personal = true;
		}
		route->may_be_kept = !route->is_personal && !table->holds_secrets;
		for (int j = 0; j < table->ncolumns; j++)
		{
			if (table->columns[j].personal &&
				route->sources[j].kind != APIGOUV_SOURCE_NONE)
				route->may_be_kept = false;
		}
		table->may_be_kept |= route->may_be_kept;
	}
}

/* Bytes of a row as sent: so many for each column that has its own there. */
static double
guess_row_bytes(const ApigouvTable *table)
{
	int			n = 0;

	for (int i = 0; i < table->ncolumns; i++)
	{
		const ApigouvSource *source = &table->columns[i].source;

		n += source->kind == APIGOUV_SOURCE_PATH && *source->paths[0] != '\0';
	}
	return Max(n, 1) * COLUMN_BYTES;
}

/*
 * apigouv_apidef_read_table
 *		Read a whole table file into *table, which holds zeros.
 */
void
apigouv_apidef_read_table(const ApigouvField *file, ApigouvApiFile *api,
						  ApigouvTable *table)
{
	bool		empty_is_null;

	apigouv_field_members(file, table_members);
	table->api = &api->api;
	table->name = apigouv_field_need_text(file, "table", APIGOUV_TEXT_DATA);
	table->comment = apigouv_field_need_text(file, "comment",
											 APIGOUV_TEXT_PROSE);
	table->source = apigouv_field_text(file, "source", APIGOUV_TEXT_PROSE);
	(void) apigouv_field_need(file, "rows");
	table->rows = apigouv_field_number(file, "rows", 0, 0);
	table->is_union = apigouv_field_boolean(file, "union", false);
	table->personal_data = apigouv_field_boolean(file, "personal_data",
												 api->api.personal_data);
	/* for people: no reply is kept unless an option says so */
	table->recommended_ttl_s =
		apigouv_field_integer(file, "recommended_cache_ttl_s", 0, -1);
	empty_is_null = apigouv_field_boolean(file, "empty_is_null",
										  api->empty_is_null);

	apigouv_apidef_read_table_columns(file, api, table, empty_is_null);
	table->row_bytes = apigouv_field_number(file, "row_bytes", 0,
											guess_row_bytes(table));
	read_routes(file, api, table);
	check_echoes(file, table);
	mark_opaque_columns(table);
	mark_keepable_routes(table);
}
