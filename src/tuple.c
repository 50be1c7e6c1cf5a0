/*-------------------------------------------------------------------------
 *
 * tuple.c
 *		Values of replies to rows of a foreign table.
 *
 * A column's value comes from where the API definition says: the row's
 * bytes, the reply around it, what was asked, another column, or a constant.
 * What the definition adds (a map of texts, a date that makes it expire, a
 * condition on another column) works on texts, so a column that has any is
 * read as text first.  All other columns go straight from the reply's bytes
 * to their type (value.c).
 *
 * A column that needs another reads it by the same rules, whether or not the
 * query selected it.  apidef.c refuses circles.
 *
 * A row can also be made without bytes: the texts that a reply rule sets,
 * what was asked, and what derives from these.
 *
 * Everything a row needs is allocated in a context that is reset for each
 * row; errors say which column and which JSON path, and about a person nothing
 * else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "messages.h"
#include "redact.h"
#include "tuple.h"
#include "value.h"

/* A column's source and where its paths stand among the values of a row. */
typedef struct ApigouvCompiled
{
	const ApigouvSource *source;
	int			first;			/* of source->npaths values; -1 = not read */
	bool		is_plain;		/* the value at first is the column's, as is */
	struct ApigouvCompiled *subs;	/* FIRST_OF */
} Compiled;

struct ApigouvTupler
{
	Relation	rel;
	const ApigouvTable *table;
	const ApigouvColumnMap *map;
	bool	   *wanted;			/* by attnum - 1: read by the query */
	bool	   *needed;			/* by column: to read for a wanted one */
	ApigouvTarget *targets;		/* by attnum - 1 */
	bool		runs_code;		/* see apigouv_tuple_runs_code */
	MemoryContext row_cxt;
	MemoryContext cxt;			/* the tupler's own */
	int			current_att;	/* for the error context, -1 = none */
	const Compiled *current;
};

/* A value on its way: nothing, bytes of the reply, or a text in UTF-8. */
typedef struct Cell
{
	enum
	{
		CELL_NULL,
		CELL_JSON,
		CELL_TEXT
	}			kind;
	const ApigouvSource *source;	/* that gave it; NULL: none says how to
									 * read it */
	union
	{
		ApigouvValue json;
		char	   *text;
	};
} Cell;

static Cell evaluate(ApigouvTupler *tupler, const ApigouvRow *row,
					 int column);
static Cell evaluate_source(ApigouvTupler *tupler, const ApigouvRow *row,
							const Compiled *compiled);

/* ---- what to read ---- */

static void need_column(ApigouvTupler *tupler, const ApigouvRoute *route,
						bool *needed, int column);

/* Mark the columns that a source depends on. */
static void
need_source(ApigouvTupler *tupler, const ApigouvRoute *route, bool *needed,
			const ApigouvSource *source)
{
	if (source->kind == APIGOUV_SOURCE_DERIVE)
		need_column(tupler, route, needed, source->column);
	if (source->past_column >= 0)
		need_column(tupler, route, needed, source->past_column);
	if (source->only_if_column >= 0)
		need_column(tupler, route, needed, source->only_if_column);
	for (int i = 0; i < source->nsubs; i++)
		need_source(tupler, route, needed, &source->subs[i]);
}

/* Mark a column and those it depends on. */
static void
need_column(ApigouvTupler *tupler, const ApigouvRoute *route, bool *needed,
			int column)
{
	if (needed[column])
		return;
	needed[column] = true;
	need_source(tupler, route, needed, &route->sources[column]);
}

/* Lists of paths being gathered for a projection. */
typedef struct Paths
{
	List	   *row[APIGOUV_MAX_LISTS]; /* by level */
	List	   *envelope;
} Paths;

/* Give a source its place among the paths to read of its level. */
static void
compile_source(const ApigouvSource *source, Compiled *compiled, Paths *paths)
{
	compiled->source = source;
	compiled->first = -1;
	if (source->kind == APIGOUV_SOURCE_PATH ||
		source->kind == APIGOUV_SOURCE_PARENT)
	{
		List	  **row = &paths->row[source->level];

		compiled->first = list_length(*row);
		for (int i = 0; i < source->npaths; i++)
			*row = lappend(*row, source->paths[i]);
	}
	else if (source->kind == APIGOUV_SOURCE_ENVELOPE)
	{
		compiled->first = list_length(paths->envelope);
		for (int i = 0; i < source->npaths; i++)
			paths->envelope = lappend(paths->envelope, source->paths[i]);
	}
	if (source->nsubs > 0)
	{
		compiled->subs = palloc0(sizeof(Compiled) * source->nsubs);
		for (int i = 0; i < source->nsubs; i++)
			compile_source(&source->subs[i], &compiled->subs[i], paths);
	}
}

/* The texts of a list as an array. */
static const char **
as_array(List *list)
{
	const char **array = palloc(sizeof(char *) * Max(list_length(list), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, list)
		array[n++] = lfirst(lc);
	return array;
}

/* Reset callback: a nesting is not palloc'd. */
static void
free_nesting(void *arg)
{
	apigouv_nesting_free(arg);
}

/* Let the nesting live as long as the tupler. */
static void
own_nesting(ApigouvTupler *tupler, ApigouvNesting *nesting)
{
	MemoryContextCallback *callback =
	MemoryContextAllocZero(tupler->cxt, sizeof(MemoryContextCallback));

	callback->func = free_nesting;
	callback->arg = nesting;
	MemoryContextRegisterResetCallback(tupler->cxt, callback);
}

/* Count a source's place from the first value of all levels. */
static void
place_source(Compiled *compiled, const int *starts)
{
	const ApigouvSource *source = compiled->source;

	if (source == NULL)
		return;
	if (source->kind == APIGOUV_SOURCE_PARENT)
		compiled->first += starts[source->level];
	for (int i = 0; i < source->nsubs; i++)
		place_source(&compiled->subs[i], starts);
}

/*
 * is_plain
 *		Is a column's value the one at its only path, whatever else the row
 *		and the reply hold?
 *
 * Most are, and skip evaluate().  With the types that value.c reads directly,
 * that made nine columns of 50,000 rows 40 ms instead of 56.
 */
static bool
is_plain(const ApigouvRoute *route, int column)
{
	const ApigouvSource *source = &route->sources[column];

	for (int i = 0; i < route->constants.n; i++)
	{
		if (route->constants.items[i].column == column)
			return false;
	}
	return (source->kind == APIGOUV_SOURCE_PATH ||
			source->kind == APIGOUV_SOURCE_PARENT) &&
		source->npaths == 1 && source->format == APIGOUV_FORMAT_PLAIN &&
		source->nvalues == 0 && !source->has_else &&
		source->past_column < 0 && source->only_if_column < 0;
}

/*
 * make_nesting
 *		Compile the paths gathered, those of the row first.
 */
static void
make_nesting(ApigouvReader *reader, const ApigouvTable *table,
			 const Paths *paths)
{
	int			starts[APIGOUV_MAX_LISTS];
	List	   *all = NIL;
	List	   *envelope = paths->envelope;
	int		   *levels;
	const char *error = "out of memory";

	for (int level = 0; level < APIGOUV_MAX_LISTS; level++)
	{
		starts[level] = list_length(all);
		all = list_concat(all, paths->row[level]);
	}
	reader->nvalues = list_length(all);
	levels = palloc(sizeof(int) * reader->nvalues);
	for (int level = 0; level < APIGOUV_MAX_LISTS; level++)
	{
		for (int i = starts[level]; i < reader->nvalues; i++)
			levels[i] = level;
	}
	reader->nesting =
		apigouv_nesting_create(reader->route->rows_path, reader->nvalues,
							   as_array(all), levels, list_length(envelope),
							   as_array(envelope), &error);
	if (reader->nesting == NULL && strcmp(error, "out of memory") == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (reader->nesting == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition of table \"%s\": route \"%s\": %s",
						table->name, reader->route->name, _(error))));
	for (int i = 0; i < table->ncolumns; i++)
		place_source(&reader->columns[i], starts);
}

/*
 * apigouv_tuple_reader
 *		Prepare to read the replies of a route.
 *
 * The result lives as long as the tupler.
 */
ApigouvReader *
apigouv_tuple_reader(ApigouvTupler *tupler, const ApigouvRoute *route)
{
	MemoryContext old = MemoryContextSwitchTo(tupler->cxt);
	ApigouvReader *reader = palloc0(sizeof(ApigouvReader));
	int			ncolumns = tupler->table->ncolumns;
	bool	   *needed = palloc0(sizeof(bool) * ncolumns);
	Paths		paths = {{NIL}, NIL};

	for (int i = 0; i < ncolumns; i++)
	{
		if (tupler->needed[i])
			need_column(tupler, route, needed, i);
	}
	reader->route = route;
	reader->columns = palloc0(sizeof(Compiled) * ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		if (!needed[i])
			continue;
		compile_source(&route->sources[i], &reader->columns[i], &paths);
		reader->columns[i].is_plain = is_plain(route, i);
	}
	reader->any_rows = route->any_rows;
	reader->needs_envelope = paths.envelope != NIL;
	reader->total_index = -1;
	if (route->total_path != NULL)
	{
		reader->total_index = list_length(paths.envelope);
		paths.envelope = lappend(paths.envelope, route->total_path);
	}
	reader->whole_index = list_length(paths.row[0]);
	paths.row[0] = lappend(paths.row[0], "");
	reader->pivot_index = -1;
	if (route->pivot.nby > 0)
	{
		reader->pivot_index = list_length(paths.row[0]);
		paths.row[0] = lappend(paths.row[0], route->pivot.name);
		for (int i = 0; i < route->pivot.nby; i++)
			paths.row[0] = lappend(paths.row[0], route->pivot.by[i]);
	}
	make_nesting(reader, tupler->table, &paths);
	own_nesting(tupler, reader->nesting);
	MemoryContextSwitchTo(old);
	return reader;
}

/* May the input function of a type evaluate what its owner has written? */
static bool
is_checked(Oid type)
{
	Oid			element = get_element_type(type);
	char		kind;

	if (type < FirstNormalObjectId)
		return false;
	kind = get_typtype(OidIsValid(element) ? element : type);
	return kind != TYPTYPE_BASE && kind != TYPTYPE_ENUM;
}

/*
 * apigouv_tuple_begin
 *		Prepare to make rows of a foreign table.
 *
 * columns: IntList of the definition's columns that the query reads.  map
 * must live as long as the result, which lives in the current context.
 */
ApigouvTupler *
apigouv_tuple_begin(Relation rel, const ApigouvTable *table,
					const ApigouvColumnMap *map, const List *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	ApigouvTupler *tupler = palloc0(sizeof(ApigouvTupler));

	tupler->rel = rel;
	tupler->table = table;
	tupler->map = map;
	tupler->cxt = CurrentMemoryContext;
	tupler->row_cxt = AllocSetContextCreate(CurrentMemoryContext,
											"apigouv_fdw row",
											ALLOCSET_DEFAULT_SIZES);
	tupler->wanted = palloc0(sizeof(bool) * Max(desc->natts, 1));
	tupler->needed = palloc0(sizeof(bool) * table->ncolumns);
	tupler->targets = palloc0(sizeof(ApigouvTarget) * Max(desc->natts, 1));
	tupler->current_att = -1;
	for (int i = 0; i < desc->natts; i++)
	{
		int			column = i < map->natts ? map->column_of[i] : -1;

		if (column < 0 || !list_member_int(columns, column))
			continue;
		tupler->wanted[i] = true;
		tupler->needed[column] = true;
		apigouv_value_target(&tupler->targets[i],
							 TupleDescAttr(desc, i)->atttypid,
							 TupleDescAttr(desc, i)->atttypmod);
		tupler->runs_code = tupler->runs_code ||
			is_checked(TupleDescAttr(desc, i)->atttypid);
	}
	return tupler;
}

/*
 * apigouv_tuple_runs_code
 *		May making a row run a query, such as in the check of a domain?
 *
 * One of another foreign table would let the transfers move, and with them the
 * bytes of a reply that is still on its way.
 */
bool
apigouv_tuple_runs_code(const ApigouvTupler *tupler)
{
	return tupler->runs_code;
}

/* Read a column although the query does not. */
void
apigouv_tuple_need(ApigouvTupler *tupler, int column)
{
	tupler->needed[column] = true;
}

/* ---- evaluation ---- */

static Cell
null_cell(void)
{
	Cell		cell;

	memset(&cell, 0, sizeof(cell));
	cell.kind = CELL_NULL;
	return cell;
}

static Cell
text_cell(const char *text)
{
	Cell		cell = null_cell();

	if (text != NULL)
	{
		cell.kind = CELL_TEXT;
		cell.text = unconstify(char *, text);
	}
	return cell;
}

/* Text in UTF-8 of a cell, NULL for none. */
static char *
cell_text(Cell *cell)
{
	if (cell->kind == CELL_JSON)
	{
		cell->text = apigouv_value_cstring(&cell->json);
		cell->kind = CELL_TEXT;
	}
	return cell->kind == CELL_TEXT ? cell->text : NULL;
}

/* A JSON value that means nothing: absent, null, or an empty text. */
static bool
is_nothing(const ApigouvValue *value, const ApigouvSource *source)
{
	return value->kind == APIGOUV_ABSENT || value->kind == APIGOUV_NULL ||
		(source->empty_is_null && value->kind == APIGOUV_STRING &&
		 value->len == 0);
}

/* The first path of a source that has a value. */
static Cell
evaluate_path(const ApigouvRow *row, const Compiled *compiled)
{
	const ApigouvSource *source = compiled->source;
	Cell		cell;

	cell.source = NULL;
	for (int i = 0; i < source->npaths; i++)
	{
		int			index = compiled->first + i;

		if (source->kind != APIGOUV_SOURCE_ENVELOPE && row->values)
			cell.json = row->values[index];
		else if (source->kind == APIGOUV_SOURCE_ENVELOPE && row->stream)
			cell.json = apigouv_rowstream_envelope(row->stream, row->base,
												   index);
		else if (source->kind == APIGOUV_SOURCE_PATH &&
				 row->whole != NULL && source->paths[i][0] == '\0')
			cell.json = *row->whole;
		else
			continue;
		if (!is_nothing(&cell.json, source))
		{
			cell.kind = CELL_JSON;
			return cell;
		}
	}
	return null_cell();
}

/* The first path of a source that has a value in the element it names. */
static Cell
evaluate_pivot(const ApigouvRow *row, const ApigouvSource *source)
{
	ListCell   *lc;

	foreach(lc, row->group != NULL ? row->group->members : NIL)
	{
		const ApigouvGroupMember *member = lfirst(lc);

		if (strcmp(member->name, source->pivot) != 0)
			continue;
		for (int i = 0; i < source->npaths; i++)
		{
			Cell		cell = null_cell();

			cell.json = apigouv_value_get(&member->whole, source->paths[i]);
			if (is_nothing(&cell.json, source))
				continue;
			cell.kind = CELL_JSON;
			return cell;
		}
	}
	return null_cell();
}

/* A JSON array of all elements of a row; of a made row, its reply. */
static Cell
evaluate_group(const ApigouvRow *row)
{
	Cell		cell = null_cell();
	StringInfoData array;
	ListCell   *lc;

	if (row->group == NULL)
	{
		if (row->whole == NULL)
			return cell;
		cell.json = *row->whole;
	}
	else
	{
		initStringInfo(&array);
		foreach(lc, row->group->members)
		{
			const ApigouvGroupMember *member = lfirst(lc);

			appendStringInfoChar(&array, array.len == 0 ? '[' : ',');
			appendBinaryStringInfo(&array, member->whole.text,
								   (int) member->whole.len);
		}
		appendStringInfoChar(&array, ']');
		cell.json.kind = APIGOUV_ARRAY;
		cell.json.text = array.data;
		cell.json.len = array.len;
	}
	cell.kind = CELL_JSON;
	return cell;
}

/*
 * apigouv_tuple_position
 *		Place of a row that was read in its list, or of an element around it.
 */
int64
apigouv_tuple_position(const ApigouvRow *row, int level)
{
	int64		position;

	if (row->group != NULL)
		return row->group->positions[level];
	position = apigouv_unnest_position(row->read, level);
	return level == row->reader->route->nlists - 1
		? position + row->before : position;
}

/* What was asked of a column, or the default. */
static Cell
evaluate_echo(const ApigouvRow *row, const ApigouvSource *source)
{
	if (row->echo != NULL && row->echo[source->column] != NULL)
		return text_cell(row->echo[source->column]);
	return text_cell(source->text);
}

/* A column made from another. */
static Cell
evaluate_derive(ApigouvTupler *tupler, const ApigouvRow *row,
				const ApigouvSource *source)
{
	Cell		from = evaluate(tupler, row, source->column);
	char	   *text = cell_text(&from);
	List	   *texts;

	if (text == NULL || source->nsteps == 0)
		return text_cell(text);
	texts = apigouv_apply_steps(source->nsteps, source->steps, text);
	return texts == NIL ? null_cell() : text_cell(linitial(texts));
}

/* The first of several sources that has a value. */
static Cell
evaluate_first_of(ApigouvTupler *tupler, const ApigouvRow *row,
				  const Compiled *compiled)
{
	for (int i = 0; i < compiled->source->nsubs; i++)
	{
		Cell		cell = evaluate_source(tupler, row, &compiled->subs[i]);

		if (cell.kind != CELL_NULL)
			return cell;
	}
	return null_cell();
}

/* A text that means nothing is no text. */
static const char *
or_null(const char *text)
{
	return text != NULL && *text != '\0' ? text : NULL;
}

/* A source's own value, before what the definition adds to it. */
static Cell
evaluate_plain(ApigouvTupler *tupler, const ApigouvRow *row,
			   const Compiled *compiled)
{
	const ApigouvSource *source = compiled->source;

	switch (source->kind)
	{
		case APIGOUV_SOURCE_NONE:
			return null_cell();
		case APIGOUV_SOURCE_PATH:
		case APIGOUV_SOURCE_PARENT:
		case APIGOUV_SOURCE_ENVELOPE:
			return evaluate_path(row, compiled);
		case APIGOUV_SOURCE_POSITION:
			if (row->values == NULL)
				return null_cell();
			return text_cell(psprintf(INT64_FORMAT,
									  apigouv_tuple_position(row,
															 source->level)));
		case APIGOUV_SOURCE_PIVOT:
			return evaluate_pivot(row, source);
		case APIGOUV_SOURCE_GROUP:
			return evaluate_group(row);
		case APIGOUV_SOURCE_ECHO:
			return evaluate_echo(row, source);
		case APIGOUV_SOURCE_CONSTANT:
			return text_cell(source->text);
		case APIGOUV_SOURCE_DERIVE:
			return evaluate_derive(tupler, row, source);
		case APIGOUV_SOURCE_FIRST_OF:
			return evaluate_first_of(tupler, row, compiled);
		case APIGOUV_SOURCE_REPLY_TIME:
			return null_cell(); /* a Datum of its own, see make_datum */
		case APIGOUV_SOURCE_REPLY_STATUS:
			return text_cell(psprintf("%d", row->status));
		case APIGOUV_SOURCE_REPLY_CODE:
			return text_cell(or_null(row->code));
		case APIGOUV_SOURCE_REPLY_TITLE:
			return text_cell(or_null(row->title) ? row->title
							 : or_null(row->error));
		case APIGOUV_SOURCE_ERROR:
			return text_cell(or_null(row->error));
	}
	return null_cell();
}

/* Day of a reply in Paris. */
static DateADT
day_of(TimestampTz received)
{
	pg_time_t	seconds = timestamptz_to_time_t(received);

	return DatumGetDateADT(apigouv_value_unix_paris(psprintf(INT64_FORMAT,
															 (int64) seconds)));
}

/* Replace a text by what it becomes once a date column is past. */
static Cell
apply_past(ApigouvTupler *tupler, const ApigouvRow *row,
		   const ApigouvSource *source, Cell cell)
{
	char	   *text = cell_text(&cell);
	Cell		date_cell;
	ApigouvTarget target;
	char	   *date;

	if (text == NULL || strcmp(text, source->past_if) != 0)
		return cell;
	date_cell = evaluate(tupler, row, source->past_column);
	date = cell_text(&date_cell);
	if (date == NULL)
		return cell;
	target.type = DATEOID;
	if (DatumGetDateADT(apigouv_value_from_text(&target, date)) <
		day_of(row->received))
		return text_cell(source->past_then);
	return cell;
}

/* Replace a text by what the definition's map makes of it. */
static Cell
apply_values(const ApigouvSource *source, Cell cell)
{
	char	   *text = cell_text(&cell);

	for (int i = 0; i < source->nvalues && text != NULL; i++)
	{
		if (strcmp(source->values[i].from, text) == 0)
			return text_cell(source->values[i].to);
	}
	return source->has_else ? text_cell(source->else_text) : cell;
}

/* A source's value with all that the definition adds. */
static Cell
evaluate_source(ApigouvTupler *tupler, const ApigouvRow *row,
				const Compiled *compiled)
{
	const ApigouvSource *source = compiled->source;
	Cell		cell;

	if (source == NULL)
		return null_cell();
	if (source->only_if_column >= 0)
	{
		Cell		other = evaluate(tupler, row, source->only_if_column);
		char	   *text = cell_text(&other);

		if (text == NULL || strcmp(text, source->only_if_text) != 0)
			return null_cell();
	}
	cell = evaluate_plain(tupler, row, compiled);
	if (source->nvalues > 0 || source->has_else)
		cell = apply_values(source, cell);
	if (source->past_column >= 0)
		cell = apply_past(tupler, row, source, cell);
	/* one of several says itself how its value is to be read */
	if (cell.source == NULL || source->format != APIGOUV_FORMAT_PLAIN)
		cell.source = source;
	return cell;
}

/* A text that a list of settings gives to a column. */
static bool
find_setting(const ApigouvSettings *settings, int column, const char **text)
{
	for (int i = 0; settings != NULL && i < settings->n; i++)
	{
		if (settings->items[i].column == column)
		{
			*text = settings->items[i].text;
			return true;
		}
	}
	return false;
}

/* A column's value. */
static Cell
evaluate(ApigouvTupler *tupler, const ApigouvRow *row, int column)
{
	const Compiled *compiled = &row->reader->columns[column];
	const char *text;
	Cell		cell;

	if (find_setting(row->set[0], column, &text) ||
		find_setting(row->set[1], column, &text) ||
		find_setting(&row->reader->route->constants, column, &text))
		return text_cell(text);
	cell = evaluate_source(tupler, row, compiled);

	/*
	 * A key that failed brought no bytes: what was asked stands where the
	 * reply would have told it, or the filter would drop the row.
	 */
	if (cell.kind == CELL_NULL && row->error != NULL &&
		row->echo[column] != NULL &&
		(compiled->source == NULL ||
		 compiled->source->format == APIGOUV_FORMAT_PLAIN))
		return text_cell(row->echo[column]);
	return cell;
}

/* ---- to Datums ---- */

/* A number of seconds after the reply. */
static Datum
seconds_after(const ApigouvRow *row, const char *text)
{
	char	   *end;
	double		seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= -1e10 && seconds <= 1e10))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid number of seconds: \"%s\"",
						apigouv_clean_text(text, strlen(text), 100))));
	return TimestampTzGetDatum(row->received +
							   (TimestampTz) (seconds * USECS_PER_SEC));
}

/* Does a column's source give the time of the reply? */
static bool
is_reply_time(const Compiled *compiled)
{
	return compiled->source != NULL &&
		compiled->source->kind == APIGOUV_SOURCE_REPLY_TIME;
}

/* A Datum of type "from" as the column's own type, through its text. */
static Datum
as_column_type(const ApigouvTarget *target, Oid from, Datum value)
{
	Oid			output;
	bool		is_varlena;

	if (target->type == from)
		return value;
	getTypeOutputInfo(from, &output, &is_varlena);
	return InputFunctionCall(unconstify(FmgrInfo *, &target->input),
							 OidOutputFunctionCall(output, value),
							 target->ioparam, target->typmod);
}

/* The Datum of a JSON value, which is something, of a plain column. */
static Datum
plain_datum(const ApigouvTarget *target, const ApigouvSource *source,
			const ApigouvValue *value)
{
	if (OidIsValid(target->element) && value->kind == APIGOUV_ARRAY)
		return apigouv_value_array(target, value, source->element_path,
								   source->sorted, source->empty_is_null);
	return apigouv_value_from_json(target, value);
}

/* The Datum of a column of the foreign table. */
static Datum
make_datum(ApigouvTupler *tupler, const ApigouvRow *row, int att,
		   bool *isnull)
{
	int			column = tupler->map->column_of[att];
	const ApigouvTarget *target = &tupler->targets[att];
	const Compiled *compiled = &row->reader->columns[column];
	const ApigouvSource *source;
	Cell		cell;

	if (compiled->is_plain && row->values != NULL)
	{
		const ApigouvValue *value = &row->values[compiled->first];

		*isnull = is_nothing(value, compiled->source);
		return *isnull ? (Datum) 0
			: plain_datum(target, compiled->source, value);
	}
	if (is_reply_time(compiled))
	{
		*isnull = row->status == 0; /* no reply */
		if (*isnull)
			return (Datum) 0;
		return as_column_type(target, TIMESTAMPTZOID,
							  TimestampTzGetDatum(row->received));
	}
	cell = evaluate(tupler, row, column);
	*isnull = cell.kind == CELL_NULL;
	if (*isnull)
		return (Datum) 0;
	source = cell.source;
	if (source != NULL && source->format == APIGOUV_FORMAT_UNIX_PARIS)
		return as_column_type(target, DATEOID,
							  apigouv_value_unix_paris(cell_text(&cell)));
	if (source != NULL &&
		source->format == APIGOUV_FORMAT_SECONDS_AFTER_REPLY)
		return as_column_type(target, TIMESTAMPTZOID,
							  seconds_after(row, cell_text(&cell)));
	if (cell.kind == CELL_TEXT)
		return apigouv_value_from_text(target, cell.text);
	if (OidIsValid(target->element) && cell.json.kind == APIGOUV_ARRAY)
		return apigouv_value_array(target, &cell.json, source->element_path,
								   source->sorted || compiled->source->sorted,
								   source->empty_is_null);
	return apigouv_value_from_json(target, &cell.json);
}

/* Error context: which column, and where its value was found. */
static void
explain_error(void *arg)
{
	const ApigouvTupler *tupler = arg;
	const ApigouvSource *source;
	const char *column;

	if (tupler->current_att < 0)
		return;
	column = NameStr(TupleDescAttr(RelationGetDescr(tupler->rel),
								   tupler->current_att)->attname);
	source = tupler->current ? tupler->current->source : NULL;
	if (source != NULL && (source->kind == APIGOUV_SOURCE_PATH ||
						   source->kind == APIGOUV_SOURCE_PARENT ||
						   source->kind == APIGOUV_SOURCE_PIVOT))
		errcontext("column \"%s\" of foreign table \"%s\", JSON path \"%s\"",
				   column, RelationGetRelationName(tupler->rel),
				   source->paths[0]);
	else
		errcontext("column \"%s\" of foreign table \"%s\"",
				   column, RelationGetRelationName(tupler->rel));
}

/* Make the values of a row. */
static void
make_values(ApigouvTupler *tupler, const ApigouvRow *row,
			TupleTableSlot *slot)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	for (int i = 0; i < natts; i++)
	{
		slot->tts_isnull[i] = true;
		slot->tts_values[i] = (Datum) 0;
		if (!tupler->wanted[i])
			continue;
		tupler->current_att = i;
		tupler->current = &row->reader->columns[tupler->map->column_of[i]];
		slot->tts_isnull[i] = false;
		slot->tts_values[i] = make_datum(tupler, row, i,
										 &slot->tts_isnull[i]);
	}
}

/* Is the value that is being made about a person? */
static bool
current_is_personal(const ApigouvTupler *tupler, const ApigouvRow *row)
{
	int			att = tupler->current_att;

	return row->reader->route->is_personal ||
		(att >= 0 &&
		 apigouv_apidef_is_personal(tupler->table,
									tupler->map->column_of[att]));
}

/*
 * apigouv_tuple_store
 *		Make a row and store it into a slot as a virtual tuple.
 *
 * Its values live until the next row is made.
 */
void
apigouv_tuple_store(ApigouvTupler *tupler, const ApigouvRow *row,
					TupleTableSlot *slot)
{
	ErrorContextCallback callback;
	MemoryContext old;

	ExecClearTuple(slot);
	MemoryContextReset(tupler->row_cxt);
	old = MemoryContextSwitchTo(tupler->row_cxt);
	callback.callback = explain_error;
	callback.arg = tupler;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	PG_TRY();
	{
		make_values(tupler, row, slot);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		if (current_is_personal(tupler, row))
			apigouv_redact_error(NULL);
		PG_RE_THROW();
	}
	PG_END_TRY();

	tupler->current_att = -1;
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	ExecStoreVirtualTuple(slot);
}

/*
 * apigouv_tuple_text
 *		Text of a column of a row, for reading only; NULL for none.  It lives
 *		until the current context is reset, or longer.
 *
 * The column must be among those needed.
 */
char *
apigouv_tuple_text(ApigouvTupler *tupler, const ApigouvRow *row, int column)
{
	Cell		cell = evaluate(tupler, row, column);

	return cell_text(&cell);
}
