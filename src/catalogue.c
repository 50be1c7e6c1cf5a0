/*-------------------------------------------------------------------------
 *
 * catalogue.c
 *		SQL functions that list what API definitions offer: tables, columns.
 *
 * For people and programs that look for a table: nothing is sent, no server
 * need exist.  Every definition found is read, those that no query has used
 * for the time of one row: a backend does not keep what it only listed.  So a
 * call costs the reading of all files, and no memory.
 *
 * A definition that cannot be read must not hide the others: its row in
 * apigouv_tables() has the reason, and apigouv_columns() warns.
 *
 * Not here: the definitions themselves (apidef.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "apidef.h"
#include "messages.h"
#include "redact.h"

#define TABLE_COLUMNS	14
#define COLUMN_COLUMNS	12

/* Longest value of a key that is shown, in bytes. */
#define MAX_VALUE_BYTES	100

PG_FUNCTION_INFO_V1(apigouv_tables);
PG_FUNCTION_INFO_V1(apigouv_columns);

/* An operator of the definition, and how SQL writes it. */
typedef struct OperatorForm
{
	uint32		op;
	const char *sql;
} OperatorForm;

static const OperatorForm operator_forms[] = {
	{APIGOUV_OP_EQ, "="},
	{APIGOUV_OP_EQ, "IN"},
	{APIGOUV_OP_GE, ">="},
	{APIGOUV_OP_GT, ">"},
	{APIGOUV_OP_LE, "<="},
	{APIGOUV_OP_LT, "<"},
	{APIGOUV_OP_OVERLAPS, "&&"},
	{APIGOUV_OP_CONTAINS, "@>"},
	{APIGOUV_OP_ANY, "'x' = ANY (column)"},
	{APIGOUV_OP_PREFIX, "LIKE 'x%'"},
	{APIGOUV_OP_TRUE, "IS TRUE"},
};

static const char *const exactness_words[] = {
	"exact", "superset", "derived", "opaque"
};

/* ---- texts ---- */

/* Add a text to a list unless it is there; NULL adds nothing. */
static List *
add_text(List *texts, const char *text)
{
	ListCell   *lc;

	foreach(lc, texts)
	{
		if (text == NULL || strcmp(lfirst(lc), text) == 0)
			return texts;
	}
	return text == NULL ? texts : lappend(texts, unconstify(char *, text));
}

/* A list of texts as text[]. */
static Datum
text_array(const List *texts)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(list_length(texts), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, texts)
		datums[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(datums, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Texts joined, NULL when there is none. */
static char *
join(const List *texts, const char *separator)
{
	StringInfoData buf;
	ListCell   *lc;

	if (texts == NIL)
		return NULL;
	initStringInfo(&buf);
	foreach(lc, texts)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? separator : "",
						 (char *) lfirst(lc));
	return buf.data;
}

/* Set a result column that is NULL when there is no text. */
static void
set_text(Datum *values, bool *nulls, int position, const char *text)
{
	nulls[position] = text == NULL;
	if (text != NULL)
		values[position] = CStringGetTextDatum(text);
}

/* ---- definitions that may be wrong ---- */

/* A definition, or why it cannot be read. */
typedef struct Definition
{
	const char *api_name;
	const char *table_name;		/* NULL: the API's own file */
	const ApigouvApi *api;
	const ApigouvTable *table;
	const char *error;			/* NULL when it was read */
} Definition;

/* Read a definition in the current context. */
static void
read_definition(void *arg)
{
	Definition *definition = arg;

	if (definition->table_name == NULL)
		definition->api = apigouv_apidef_api(definition->api_name, false);
	else
		definition->table = apigouv_apidef_table_once(definition->api,
													  definition->table_name);
}

/* Gives the rows of a definition that was read, or tells why it was not. */
typedef void (*DefinitionUser) (const Definition *definition,
								ReturnSetInfo *result);

/* Call use() for a definition, in a context that is reset before. */
static void
use_definition(Definition *definition, MemoryContext row_cxt,
			   DefinitionUser use, ReturnSetInfo *result)
{
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(row_cxt);
	old = MemoryContextSwitchTo(row_cxt);
	definition->error = apigouv_apidef_file_error(read_definition, definition);
	if (definition->table_name != NULL || definition->error != NULL)
		use(definition, result);
	MemoryContextSwitchTo(old);
}

/*
 * use_all
 *		Call use() for every table of every API, and for each file that cannot
 *		be read.
 */
static void
use_all(DefinitionUser use, ReturnSetInfo *result)
{
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "apigouv_fdw listed table",
												  ALLOCSET_DEFAULT_SIZES);
	ListCell   *lc;

	foreach(lc, apigouv_apidef_names())
	{
		Definition	definition = {0};
		const ApigouvApi *api;

		definition.api_name = lfirst(lc);
		use_definition(&definition, row_cxt, use, result);
		api = definition.api;
		for (int i = 0; api != NULL && i < api->ntables; i++)
		{
			definition.table_name = api->tables[i];
			definition.table = NULL;
			use_definition(&definition, row_cxt, use, result);
		}
	}
	MemoryContextDelete(row_cxt);
}

/* ---- keys ---- */

/* A key as a condition, with the values for which the route is meant. */
static char *
key_condition(const ApigouvTable *table, const ApigouvParam *param)
{
	const char *name = table->columns[param->column].name;
	List	   *values = NIL;

	for (int i = 0; i < param->nvalues; i++)
	{
		const char *value = param->values[i];

		values = add_text(values,
						  quote_literal_cstr(apigouv_clean_text(value,
																strlen(value),
																MAX_VALUE_BYTES)));
	}
	if (param->ops == APIGOUV_OP_PREFIX)
		return psprintf("%s LIKE 'x%%'", name);
	if (values == NIL)
		return pstrdup(name);
	if (list_length(values) == 1)
		return psprintf("%s = %s", name, (char *) linitial(values));
	return psprintf("%s IN (%s)", name, join(values, ", "));
}

/* Is a parameter a key, which only a condition can feed? */
static bool
is_key(const ApigouvParam *param)
{
	return param->required && param->column >= 0 &&
		param->purpose == APIGOUV_PURPOSE_NONE;
}

/* The conditions that a route cannot do without. */
static List *
keys_of(const ApigouvTable *table, const ApigouvRoute *route)
{
	List	   *keys = NIL;

	for (int i = 0; i < route->nparams; i++)
	{
		if (is_key(&route->params[i]))
			keys = add_text(keys, key_condition(table, &route->params[i]));
	}
	return keys;
}

/* Does a list hold all texts of another? */
static bool
holds_all(const List *texts, const List *wanted)
{
	ListCell   *lc;

	foreach(lc, wanted)
	{
		if (list_length(add_text(list_copy(texts), lfirst(lc))) !=
			list_length(texts))
			return false;
	}
	return true;
}

/*
 * alternatives_of
 *		The least sets of keys that let a table be read, as texts.
 *
 * A set that holds another is no alternative of its own: what it adds is
 * known from the columns.
 */
static List *
alternatives_of(const ApigouvTable *table)
{
	List	   *texts = NIL;

	for (int i = 0; i < table->nroutes; i++)
	{
		List	   *keys = keys_of(table, &table->routes[i]);
		bool		least = keys != NIL;

		for (int j = 0; least && j < table->nroutes; j++)
		{
			List	   *others = keys_of(table, &table->routes[j]);

			least = others == NIL || !holds_all(keys, others) ||
				list_length(others) == list_length(keys);
		}
		if (least)
			texts = add_text(texts, join(keys, " AND "));
	}
	return texts;
}

/* ---- tables ---- */

/* A limit as server option "limits" writes it. */
static const char *
limit_text(const ApigouvApi *api, int limit)
{
	if (limit < 0)
		return NULL;
	return psprintf("%s=%d/%ds", api->limits[limit].name,
					api->limits[limit].requests,
					api->limits[limit].window_ms / 1000);
}

/* The limits that requests for a table count in. */
static List *
limits_of(const ApigouvTable *table)
{
	const ApigouvApi *api = table->api;
	List	   *texts = NIL;

	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];

		texts = add_text(texts, limit_text(api, route->limit));
		if (route->lookup.path != NULL)
			texts = add_text(texts, limit_text(api, route->lookup.limit));
	}
	return add_text(texts, limit_text(api, api->ip_limit));
}

/* A DefinitionUser: the row of a table. */
static void
give_table(const Definition *definition, ReturnSetInfo *result)
{
	const ApigouvTable *table = definition->table;
	Datum		values[TABLE_COLUMNS] = {0};
	bool		nulls[TABLE_COLUMNS];
	List	   *operations = NIL;
	bool		listable = false;

	memset(nulls, true, sizeof(nulls));
	set_text(values, nulls, 0, definition->api_name);
	set_text(values, nulls, 1, definition->table_name);
	set_text(values, nulls, 13, definition->error);
	if (table != NULL)
	{
		for (int i = 0; i < table->nroutes; i++)
		{
			const ApigouvRoute *route = &table->routes[i];

			operations = add_text(operations, route->operation != NULL
								  ? route->operation : route->path);
			listable |= !route->keyed;
		}
		memset(nulls + 4, false, 8 * sizeof(bool));
		set_text(values, nulls, 2, table->comment);
		set_text(values, nulls, 3, table->source);
		values[4] = text_array(operations);
		values[5] = Float8GetDatum(table->rows);
		values[6] = BoolGetDatum(table->is_union);
		values[7] = BoolGetDatum(listable);
		values[8] = text_array(alternatives_of(table));
		values[9] = text_array(limits_of(table));
		values[10] = BoolGetDatum(table->personal_data);
		values[11] = BoolGetDatum(table->may_be_kept);
		nulls[12] = table->recommended_ttl_s < 0;
		values[12] = Int32GetDatum(table->recommended_ttl_s);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * apigouv_tables()
 *		Tables of the API definitions, a row each, and a row for each file
 *		that cannot be read.
 */
Datum
apigouv_tables(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	use_all(give_table, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

/* ---- columns ---- */

/* What conditions on a column do, over all routes. */
typedef struct ColumnUse
{
	uint32		exactness[lengthof(operator_forms)];	/* bits */
	List	   *key_of;			/* names of routes */
	List	   *rules;			/* why a condition may be sent */
} ColumnUse;

/* Add what a parameter does with its column. */
static void
use_param(ColumnUse *use, const ApigouvRoute *route,
		  const ApigouvParam *param)
{
	for (size_t i = 0; i < lengthof(operator_forms); i++)
	{
		if ((param->ops & operator_forms[i].op) != 0)
			use->exactness[i] |= 1U << param->exactness;
	}
	if (is_key(param))
		use->key_of = add_text(use->key_of, route->source_name);
	if (param->exactness >= APIGOUV_DERIVED)
		use->rules = add_text(use->rules, param->cite);
}

/* Collect what conditions on a column do. */
static void
collect_use(const ApigouvTable *table, int column, ColumnUse *use)
{
	memset(use, 0, sizeof(*use));
	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];

		for (int j = 0; j < route->nparams; j++)
		{
			if (route->params[j].column == column)
				use_param(use, route, &route->params[j]);
		}
		for (int j = 0; j < route->constants.n; j++)
		{
			ApigouvParam choice = {0};

			/* a condition chooses routes before any request */
			choice.ops = APIGOUV_OP_EQ;
			if (route->constants.items[j].column == column)
				use_param(use, route, &choice);
		}
	}
}

/* The words of some exactness bits, as "exact or superset". */
static char *
exactness_text(uint32 bits)
{
	List	   *words = NIL;

	for (size_t i = 0; i < lengthof(exactness_words); i++)
	{
		if ((bits & (1U << i)) != 0)
			words = add_text(words, exactness_words[i]);
	}
	return join(words, " or ");
}

/* Fill the row of a column. */
static void
fill_column(const ApigouvTable *table, int position, Datum *values,
			bool *nulls)
{
	const ApigouvColumn *column = &table->columns[position];
	bool		is_array = strstr(column->type, "[]") != NULL;
	ColumnUse	use;
	List	   *operators = NIL;
	List	   *words = NIL;

	collect_use(table, position, &use);
	for (size_t i = 0; i < lengthof(operator_forms); i++)
	{
		/* IN compares with each of several values, which are no arrays */
		if (use.exactness[i] == 0 ||
			(is_array && strcmp(operator_forms[i].sql, "IN") == 0))
			continue;
		operators = lappend(operators,
							unconstify(char *, operator_forms[i].sql));
		words = lappend(words, exactness_text(use.exactness[i]));
	}
	values[2] = Int32GetDatum(position + 1);
	set_text(values, nulls, 3, column->name);
	set_text(values, nulls, 4, column->type);
	set_text(values, nulls, 5, column->comment);
	values[6] = text_array(use.key_of);
	values[7] = text_array(operators);
	values[8] = text_array(words);
	set_text(values, nulls, 9, join(use.rules, " "));
	values[10] = BoolGetDatum(apigouv_apidef_is_personal(table, position));
	values[11] = BoolGetDatum(column->secret);
}

/* A DefinitionUser: the rows of a table's columns. */
static void
give_columns(const Definition *definition, ReturnSetInfo *result)
{
	const ApigouvTable *table = definition->table;

	if (definition->error != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("%s", definition->error)));
	for (int i = 0; table != NULL && i < table->ncolumns; i++)
	{
		Datum		values[COLUMN_COLUMNS] = {0};
		bool		nulls[COLUMN_COLUMNS] = {0};

		set_text(values, nulls, 0, definition->api_name);
		set_text(values, nulls, 1, definition->table_name);
		fill_column(table, i, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
}

/*
 * apigouv_columns()
 *		Columns of the tables of the API definitions, those that the engine
 *		adds included, in the order of an imported table.
 */
Datum
apigouv_columns(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	use_all(give_columns, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
