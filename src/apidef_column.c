/*-------------------------------------------------------------------------
 *
 * apidef_column.c
 *		Columns of a table and where their values come from.
 *
 * A column is first read without its source, then the implicit columns are
 * appended, and only then the sources are read, because a source may refer to
 * any other column.  A route that is shaped otherwise overrides sources; an
 * override replaces a source whole.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "apidef_read.h"

/* columns that every table gets, see add_implicit_columns */
#define REPLY_TIME_COLUMN "obtenu_le"
#define ERROR_COLUMN "erreur"
#define REPLY_COLUMN "reponse"
#define NIMPLICIT 3

/* words of the definition format; lists for enums are in their order */

static const char *const column_members[] = {
	"name", "type", "comment", "path", "pivot", "parent", "position", "level",
	"envelope", "echo", "default",
	"constant", "derive", "first_of", "reply", "format", "values", "else",
	"when_past", "only_if", "sorted", "empty_is_null", "n_distinct",
	"personal", "secret", NULL
};

/* an override has neither name nor statistics */
static const char *const source_members[] = {
	"path", "pivot", "parent", "position", "level", "envelope", "echo",
	"default",
	"constant", "derive", "first_of", "reply", "format", "values", "else",
	"when_past", "only_if", "sorted", "empty_is_null", NULL
};
static const char *const source_kinds[] = {
	"path", "parent", "position", "envelope", "echo", "constant", "derive",
	"first_of", "reply", NULL
};
static const char *const reply_facts[] = {
	"time", "status", "code", "title", NULL
};
static const char *const formats[] = {
	"", "unix_paris", "seconds_after_reply", NULL
};
static const char *const types[] = {
	"text", "boolean", "smallint", "integer", "bigint", "numeric", "float8",
	"date", "timestamptz", "jsonb", NULL
};

/* ---- sources ---- */

static bool
is_array(const ApigouvColumn *column)
{
	return strchr(column->type, '[') != NULL;
}

/*
 * read_paths
 *		JSON paths of a source, and the path within elements after "[].".
 */
static void
read_paths(const ApigouvField *at, const char *member,
		   const ApigouvColumn *column, ApigouvSource *source)
{
	ApigouvField field = apigouv_field_get(at, member);
	int			i;

	source->paths = apigouv_field_text_or_texts(at, member, APIGOUV_TEXT_DATA,
												&source->npaths);
	for (i = 0; i < source->npaths; i++)
	{
		char	   *path = source->paths[i];
		char	   *brackets = strstr(path, "[].");

		if (brackets != NULL)
		{
			if (!is_array(column) || source->npaths > 1)
				apigouv_field_error(&field, NULL,
									"\"%s\" needs an array column and no other path",
									path);
			*brackets = '\0';
			source->element_path = brackets + 3;
			apigouv_field_check_json_path(&field, source->element_path);
		}
		/* "" is the whole row, or element */
		else if (path[0] == '\0' && source->npaths == 1 &&
				 source->kind != APIGOUV_SOURCE_ENVELOPE)
			return;
		apigouv_field_check_json_path(&field, path);
	}
}

/*
 * read_level
 *		How many lists outwards the element of a source is.
 *
 * Whether there are so many is for the route to say.
 */
static void
read_level(const ApigouvField *at, ApigouvSource *source)
{
	if (source->kind == APIGOUV_SOURCE_PARENT)
		source->level = apigouv_field_integer(at, "level", 1, 1);
	else if (source->kind == APIGOUV_SOURCE_POSITION)
		source->level = apigouv_field_integer(at, "level", 0, 0);
	else if (apigouv_json_get(at->json, "level") != NULL)
		apigouv_field_error(at, NULL,
							"\"level\" needs \"parent\" or \"position\"");
}

static void
read_derive(const ApigouvField *at, const ApigouvTable *table,
			ApigouvSource *source)
{
	static const char *const members[] = {"from", "steps", NULL};
	ApigouvField derive = apigouv_field_get(at, "derive");
	ApigouvField from;

	apigouv_field_members(&derive, members);
	from = apigouv_field_need(&derive, "from");
	(void) apigouv_field_need(&derive, "steps");
	source->column = apigouv_apidef_read_column(&from, table);
	source->steps = apigouv_apidef_read_steps(&derive, "steps",
											  &source->nsteps);
}

/* "values" and "else": a map of texts. */
static void
read_values(const ApigouvField *at, ApigouvSource *source)
{
	ApigouvField values = apigouv_field_get(at, "values");
	ApigouvField otherwise = apigouv_field_get(at, "else");
	ApigouvField member;
	void	   *iterator = NULL;

	if (values.json != NULL)
		source->values = palloc(apigouv_json_size(values.json) *
								sizeof(ApigouvTextPair));
	while (apigouv_field_next(&values, &iterator, &member))
	{
		ApigouvTextPair *pair = &source->values[source->nvalues++];

		pair->from = pstrdup(member.name);
		pair->to = apigouv_field_value_or_null(&member);
	}
	if (values.json != NULL && source->nvalues == 0)
		apigouv_field_error(&values, NULL, "must not be empty");

	source->has_else = otherwise.json != NULL;
	if (source->has_else)
	{
		if (source->nvalues == 0)
			apigouv_field_error(at, NULL, "\"else\" needs \"values\"");
		source->else_text = apigouv_field_value_or_null(&otherwise);
	}
}

/* "when_past" and "only_if": a value that depends on another column's. */
static void
read_dependence(const ApigouvField *at, const ApigouvTable *table,
				ApigouvSource *source)
{
	static const char *const past_members[] = {"column", "if", "then", NULL};
	static const char *const only_members[] = {"column", "is", NULL};
	ApigouvField past = apigouv_field_get(at, "when_past");
	ApigouvField only = apigouv_field_get(at, "only_if");

	source->past_column = -1;
	source->only_if_column = -1;
	if (past.json != NULL)
	{
		ApigouvField column;

		apigouv_field_members(&past, past_members);
		column = apigouv_field_need(&past, "column");
		source->past_column = apigouv_apidef_read_column(&column, table);
		if (strcmp(table->columns[source->past_column].type, "date") != 0)
			apigouv_field_error(&column, NULL, "must be a column of type date");
		source->past_if = apigouv_field_need_text(&past, "if",
												  APIGOUV_TEXT_DATA);
		source->past_then = apigouv_field_need_text(&past, "then",
													APIGOUV_TEXT_DATA);
	}
	if (only.json != NULL)
	{
		ApigouvField column;

		apigouv_field_members(&only, only_members);
		column = apigouv_field_need(&only, "column");
		source->only_if_column = apigouv_apidef_read_column(&column, table);
		source->only_if_text = apigouv_field_need_text(&only, "is",
													   APIGOUV_TEXT_DATA);
	}
}

static void
read_format(const ApigouvField *at, const ApigouvColumn *column,
			ApigouvSource *source)
{
	static const char *const needed[] = {NULL, "date", "timestamptz"};
	ApigouvField field = apigouv_field_get(at, "format");

	source->format = (ApigouvFormat)
		apigouv_field_choice(at, "format", formats, APIGOUV_FORMAT_PLAIN);
	if (source->format != APIGOUV_FORMAT_PLAIN &&
		strcmp(column->type, needed[source->format]) != 0)
		apigouv_field_error(&field, NULL, "needs a column of type %s",
							needed[source->format]);
}

static void read_source(const ApigouvField *at, const ApigouvTable *table,
						const ApigouvColumn *column, bool empty_is_null,
						ApigouvSource *source);

static void
read_first_of(const ApigouvField *at, const ApigouvTable *table,
			  const ApigouvColumn *column, ApigouvSource *source)
{
	ApigouvField list = apigouv_field_get(at, "first_of");
	int			i;

	source->nsubs = apigouv_field_length(&list);
	if (source->nsubs == 0)
		apigouv_field_error(&list, NULL, "must not be empty");
	source->subs = palloc0(source->nsubs * sizeof(ApigouvSource));
	for (i = 0; i < source->nsubs; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);

		apigouv_field_members(&element, source_members);
		read_source(&element, table, column, source->empty_is_null,
					&source->subs[i]);
	}
}

/* The member that says where the value comes from: one, or none. */
static void
read_source_kind(const ApigouvField *at, const ApigouvTable *table,
				 const ApigouvColumn *column, ApigouvSource *source)
{
	const char *given = NULL;
	ApigouvField field;
	int			i;

	for (i = 0; source_kinds[i] != NULL; i++)
	{
		if (apigouv_json_get(at->json, source_kinds[i]) == NULL)
			continue;
		if (given != NULL)
			apigouv_field_error(at, NULL,
								"\"%s\" and \"%s\" exclude each other",
								given, source_kinds[i]);
		given = source_kinds[i];
	}
	if (given == NULL)
		return;

	field = apigouv_field_get(at, given);
	if (strcmp(given, "path") == 0 || strcmp(given, "parent") == 0 ||
		strcmp(given, "envelope") == 0)
	{
		source->kind = given[0] == 'e' ? APIGOUV_SOURCE_ENVELOPE :
			strcmp(given, "path") == 0 ? APIGOUV_SOURCE_PATH :
			APIGOUV_SOURCE_PARENT;
		read_paths(at, given, column, source);
		if (source->kind == APIGOUV_SOURCE_PATH)
			source->pivot = apigouv_field_text(at, "pivot",
											   APIGOUV_TEXT_DATA);
		if (source->pivot != NULL)
			source->kind = APIGOUV_SOURCE_PIVOT;
	}
	else if (strcmp(given, "position") == 0)
	{
		source->kind = APIGOUV_SOURCE_POSITION;
		if (!apigouv_field_boolean(at, "position", false))
			apigouv_field_error(&field, NULL, "must be true");
	}
	else if (strcmp(given, "echo") == 0)
	{
		source->kind = APIGOUV_SOURCE_ECHO;
		source->column = apigouv_apidef_read_column(&field, table);
		source->text = apigouv_field_text(at, "default", APIGOUV_TEXT_DATA);
	}
	else if (strcmp(given, "constant") == 0)
	{
		source->kind = APIGOUV_SOURCE_CONSTANT;
		source->text = apigouv_field_value(&field, APIGOUV_TEXT_DATA);
	}
	else if (strcmp(given, "derive") == 0)
	{
		source->kind = APIGOUV_SOURCE_DERIVE;
		read_derive(at, table, source);
	}
	else if (strcmp(given, "first_of") == 0)
	{
		source->kind = APIGOUV_SOURCE_FIRST_OF;
		read_first_of(at, table, column, source);
	}
	else
		source->kind = (ApigouvSourceKind)
			(APIGOUV_SOURCE_REPLY_TIME +
			 apigouv_field_choice(at, "reply", reply_facts, 0));
}

/*
 * read_source
 *		Read where a column's value comes from.
 *
 * at: an object whose members were checked; it is the column itself or an
 * override.  empty_is_null: what holds when the source does not say.
 */
static void
read_source(const ApigouvField *at, const ApigouvTable *table,
			const ApigouvColumn *column, bool empty_is_null,
			ApigouvSource *source)
{
	ApigouvField sorted = apigouv_field_get(at, "sorted");

	check_stack_depth();
	memset(source, 0, sizeof(*source));
	source->column = -1;
	source->empty_is_null = apigouv_field_boolean(at, "empty_is_null",
												  empty_is_null);
	read_source_kind(at, table, column, source);
	read_level(at, source);
	if (source->kind != APIGOUV_SOURCE_PIVOT &&
		apigouv_json_get(at->json, "pivot") != NULL)
		apigouv_field_error(at, NULL, "\"pivot\" needs \"path\"");
	if (source->kind != APIGOUV_SOURCE_ECHO &&
		apigouv_json_get(at->json, "default") != NULL)
		apigouv_field_error(at, NULL, "\"default\" needs \"echo\"");
	read_values(at, source);
	read_dependence(at, table, source);
	read_format(at, column, source);
	source->sorted = apigouv_field_boolean(at, "sorted", false);
	if (source->sorted && !is_array(column))
		apigouv_field_error(&sorted, NULL, "needs an array column");
}

/*
 * depends_on
 *		Does a source's value need that of a column, directly or not?
 *
 * seen: the columns looked at so far.
 */
static bool
depends_on(const ApigouvSource *sources, const ApigouvSource *source,
		   int column, bool *seen)
{
	int			direct[3];
	int			i;

	check_stack_depth();
	direct[0] = source->kind == APIGOUV_SOURCE_DERIVE ? source->column : -1;
	direct[1] = source->past_column;
	direct[2] = source->only_if_column;
	for (i = 0; i < (int) lengthof(direct); i++)
	{
		if (direct[i] == column)
			return true;
		if (direct[i] < 0 || seen[direct[i]])
			continue;
		seen[direct[i]] = true;
		if (depends_on(sources, &sources[direct[i]], column, seen))
			return true;
	}
	for (i = 0; i < source->nsubs; i++)
	{
		if (depends_on(sources, &source->subs[i], column, seen))
			return true;
	}
	return false;
}

bool
apigouv_apidef_depends(const ApigouvTable *table, const ApigouvRoute *route,
					   int column, int on)
{
	bool	   *seen = palloc0(table->ncolumns * sizeof(bool));
	bool		depends = depends_on(route->sources, &route->sources[column],
									 on, seen);

	pfree(seen);
	return depends;
}

/* Raise an error when a column's value depends on itself. */
static void
check_cycles(const ApigouvField *at, const ApigouvTable *table,
			 const ApigouvSource *sources)
{
	bool	   *seen = palloc(table->ncolumns * sizeof(bool));
	int			i;

	for (i = 0; i < table->ncolumns; i++)
	{
		memset(seen, 0, table->ncolumns * sizeof(bool));
		if (depends_on(sources, &sources[i], i, seen))
			apigouv_field_error(at, NULL, "column \"%s\" depends on itself",
								table->columns[i].name);
	}
	pfree(seen);
}

/* ---- columns ---- */

static void
check_type(const ApigouvField *at, const char *type)
{
	size_t		len = strlen(type);
	int			i;

	if (len > 2 && strcmp(type + len - 2, "[]") == 0)
		len -= 2;
	for (i = 0; types[i] != NULL; i++)
	{
		if (strlen(types[i]) == len && strncmp(types[i], type, len) == 0)
			return;
	}
	apigouv_field_error(at, apigouv_field_names(types),
						"invalid column type \"%s\"", type);
}

/* Everything of a column but its source. */
static void
read_column(const ApigouvField *at, ApigouvTable *table)
{
	ApigouvColumn *column = &table->columns[table->ncolumns];
	ApigouvField name;
	ApigouvField type;

	apigouv_field_members(at, column_members);
	name = apigouv_field_need(at, "name");
	column->name = apigouv_field_value(&name, APIGOUV_TEXT_DATA);
	apigouv_apidef_check_name(&name, column->name);
	if (apigouv_apidef_column(table, column->name) >= 0)
		apigouv_field_error(&name, NULL, "column \"%s\" is given twice",
							column->name);
	type = apigouv_field_need(at, "type");
	column->type = apigouv_field_value(&type, APIGOUV_TEXT_DATA);
	check_type(&type, column->type);
	column->comment = apigouv_field_text(at, "comment", APIGOUV_TEXT_PROSE);
	column->n_distinct = apigouv_field_number(at, "n_distinct", -1, 0);
	column->personal = apigouv_field_boolean(at, "personal", false);
	column->secret = apigouv_field_boolean(at, "secret", false);
	table->holds_secrets |= column->secret;
	table->ncolumns++;
}

/*
 * is_key
 *		Is this a required parameter that a condition feeds?
 *
 * Reads only what it needs, before columns can be resolved; the parameter is
 * checked later.
 */
static bool
is_key(const ApigouvJson *param)
{
	const char *place = apigouv_json_string(apigouv_json_get(param, "in"));

	return apigouv_json_get(param, "column") != NULL &&
		apigouv_json_get(param, "setting") == NULL &&
		(apigouv_json_is_true(apigouv_json_get(param, "required")) ||
		 (place != NULL && strcmp(place, "path") == 0));
}

static bool
has_key(const ApigouvJson *holder)
{
	const ApigouvJson *params = apigouv_json_get(holder, "parameters");
	size_t		i;

	for (i = 0; i < apigouv_json_size(params); i++)
	{
		if (is_key(apigouv_json_at(params, i)))
			return true;
	}
	return false;
}

/* Has some route of the table, or some variant of one, a key? */
static bool
some_route_is_keyed(const ApigouvJson *routes)
{
	size_t		i;
	size_t		j;
	size_t		k;

	for (i = 0; i < apigouv_json_size(routes); i++)
	{
		const ApigouvJson *route = apigouv_json_at(routes, i);
		const ApigouvJson *variants = apigouv_json_get(route, "variants");

		if (has_key(route))
			return true;
		for (j = 0; j < apigouv_json_size(variants); j++)
		{
			const ApigouvJson *group = apigouv_json_at(variants, j);

			for (k = 0; k < apigouv_json_size(group); k++)
			{
				if (has_key(apigouv_json_at(group, k)))
					return true;
			}
		}
	}
	return false;
}

/* Does some route of the table send the API's purpose? */
static bool
some_route_has_purpose(const ApigouvField *file)
{
	ApigouvField routes = apigouv_field_get(file, "routes");
	int			n = apigouv_field_length(&routes);
	int			i;

	for (i = 0; i < n; i++)
	{
		ApigouvField route = apigouv_field_at(&routes, i);

		if (apigouv_field_boolean(&route, "purpose", true))
			return true;
	}
	return false;
}

/*
 * add_implicit_column
 *		Append a column unless the file defines it; return its position.
 *
 * A file may define one to give its comment or its place.
 */
static int
add_implicit_column(const ApigouvField *file, ApigouvTable *table,
					const char *name, const char *type, const char *comment)
{
	int			position = apigouv_apidef_column(table, name);
	ApigouvColumn *column;

	if (position >= 0)
	{
		column = &table->columns[position];
		if (strcmp(column->type, type) != 0)
			apigouv_field_error(file, NULL,
								"column \"%s\" must be of type %s",
								name, type);
		if (column->comment == NULL)
			column->comment = apigouv_field_server_text(comment);
		return position;
	}
	position = table->ncolumns++;
	column = &table->columns[position];
	column->name = pstrdup(name);
	column->type = pstrdup(type);
	column->comment = apigouv_field_server_text(comment);
	return position;
}

/* Names, types and comments of all columns, sources to follow. */
static void
read_names(const ApigouvField *file, const ApigouvApiFile *api,
		   ApigouvTable *table)
{
	ApigouvField columns = apigouv_field_need(file, "columns");
	int			n = apigouv_field_length(&columns);
	int			i;

	if (n == 0)
		apigouv_field_error(&columns, NULL, "must not be empty");
	table->columns = palloc0((n + api->purpose.ncolumns + NIMPLICIT) *
							 sizeof(ApigouvColumn));
	for (i = 0; i < n; i++)
	{
		ApigouvField column = apigouv_field_at(&columns, i);

		read_column(&column, table);
	}
	for (i = 0; i < api->purpose.ncolumns && some_route_has_purpose(file); i++)
	{
		const ApigouvColumn *column = &api->purpose.columns[i];

		(void) add_implicit_column(file, table, column->name, column->type,
								   column->comment);
	}
	(void) add_implicit_column(file, table, REPLY_TIME_COLUMN, "timestamptz",
							   "Date et heure de la réponse de l'API");
	table->error_column = apigouv_apidef_column(table, ERROR_COLUMN);
	if (table->error_column >= 0 ||
		some_route_is_keyed(apigouv_json_get(file->json, "routes")))
		table->error_column =
			add_implicit_column(file, table, ERROR_COLUMN, "text",
								"Ce qui a empêché d'obtenir la réponse pour cette clé ; NULL si rien");
	table->reponse_column =
		add_implicit_column(file, table, REPLY_COLUMN, "jsonb",
							"Ligne telle que l'API l'a envoyée, avec tous ses champs");
}

/* What an implicit column holds when the file does not say. */
static void
implicit_source(const ApigouvApiFile *api, ApigouvTable *table, int position)
{
	ApigouvColumn *column = &table->columns[position];
	ApigouvSource *source = &column->source;

	if (apigouv_apidef_column(&api->purpose, column->name) >= 0)
	{
		source->kind = APIGOUV_SOURCE_ECHO;
		source->column = position;
	}
	else if (strcmp(column->name, REPLY_TIME_COLUMN) == 0)
		source->kind = APIGOUV_SOURCE_REPLY_TIME;
	else if (position == table->error_column)
		source->kind = APIGOUV_SOURCE_ERROR;
	else if (position == table->reponse_column)
	{
		source->kind = APIGOUV_SOURCE_PATH;
		source->npaths = 1;
		source->paths = palloc(sizeof(char *));
		source->paths[0] = pstrdup("");
		source->empty_is_null = false;	/* as it was sent */
	}
}

/*
 * read_column_sources
 *		Sources of all columns, once all columns are known.
 */
static void
read_column_sources(const ApigouvField *file, const ApigouvApiFile *api,
					ApigouvTable *table, bool empty_is_null)
{
	ApigouvField columns = apigouv_field_get(file, "columns");
	int			n = apigouv_field_length(&columns);
	int			i;

	for (i = 0; i < table->ncolumns; i++)
	{
		ApigouvColumn *column = &table->columns[i];

		if (i < n)
		{
			ApigouvField at = apigouv_field_at(&columns, i);

			read_source(&at, table, column, empty_is_null, &column->source);
		}
		else
		{
			column->source.column = -1;
			column->source.past_column = -1;
			column->source.only_if_column = -1;
			column->source.empty_is_null = empty_is_null;
		}
		if (column->source.kind == APIGOUV_SOURCE_NONE)
			implicit_source(api, table, i);
	}

	/* an "erreur" with a source of its own is an ordinary column */
	i = table->error_column;
	if (i >= 0 && table->columns[i].source.kind != APIGOUV_SOURCE_ERROR)
		table->error_column = -1;
}

/*
 * apigouv_apidef_read_table_columns
 *		Read the columns of a table file, then add the implicit ones.
 *
 * empty_is_null: for the sources that do not say.
 */
void
apigouv_apidef_read_table_columns(const ApigouvField *file,
								  const ApigouvApiFile *api,
								  ApigouvTable *table, bool empty_is_null)
{
	read_names(file, api, table);
	read_column_sources(file, api, table, empty_is_null);
}

/* ---- overrides ---- */

/*
 * apigouv_apidef_route_sources
 *		Sources of a route, one per column: the table's, with its overrides.
 */
ApigouvSource *
apigouv_apidef_route_sources(const ApigouvField *route,
							 const ApigouvTable *table)
{
	ApigouvSource *sources = palloc(table->ncolumns * sizeof(ApigouvSource));
	ApigouvField columns = apigouv_field_get(route, "columns");
	ApigouvField member;
	void	   *iterator = NULL;
	int			i;

	for (i = 0; i < table->ncolumns; i++)
		sources[i] = table->columns[i].source;
	while (apigouv_field_next(&columns, &iterator, &member))
	{
		int			column = apigouv_apidef_need_column(&member, table,
														member.name);
		ApigouvSource *source = &sources[column];
		bool		empty_is_null = source->empty_is_null;

		if (apigouv_json_kind(member.json) == APIGOUV_JSON_NULL)
		{
			memset(source, 0, sizeof(*source));
			source->column = -1;
			source->past_column = -1;
			source->only_if_column = -1;
			source->empty_is_null = empty_is_null;
			continue;
		}
		apigouv_field_members(&member, source_members);
		read_source(&member, table, &table->columns[column], empty_is_null,
					source);
	}
	check_cycles(route, table, sources);
	return sources;
}
