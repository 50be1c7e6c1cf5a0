/*-------------------------------------------------------------------------
 *
 * analyze.c
 *		ANALYZE of foreign tables that can be listed.
 *
 * The list is read once, by a query like any other, as the table's owner: the
 * same routes, limits and caches, and the owner's user mapping.  A sample of
 * its rows is drawn as they come.
 *
 * Only what may be kept is looked at.  A sample ends in pg_statistic, whose
 * most common values are values of rows: no personal data, no links that open
 * documents.  Columns whose statistics target is 0 are not read, so a table
 * that has such columns besides others can be analyzed without them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "commands/vacuum.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/sampling.h"
#include "utils/syscache.h"

#include "apigouv_fdw.h"
#include "messages.h"
#include "qual.h"

/* Bytes that a value is supposed to take, where a table's pages are told. */
#define VALUE_BYTES 16

/* The sample being drawn: a receiver of the query's rows. */
typedef struct Sampler
{
	DestReceiver pub;
	TupleDesc	desc;			/* of the table */
	AttrNumber *attnums;		/* of the table, by column of the query */
	MemoryContext cxt;			/* of the sample */
	HeapTuple  *rows;
	int			nrows;
	int			wanted;
	double		seen;
	double		to_skip;		/* rows before the next that is taken */
	ReservoirStateData reservoir;
	Datum	   *values;			/* of a row of the table */
	bool	   *nulls;
}			Sampler;

/* Has a column the statistics target 0? */
static bool
is_left_out(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	bool		isnull;
	Datum		target;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, relid);
	target = SysCacheGetAttr(ATTNUM, tuple,
							 Anum_pg_attribute_attstattarget, &isnull);
	ReleaseSysCache(tuple);
	return !isnull && DatumGetInt32(target) == 0;
}

/* Can a route be read without any key, purpose or person? */
static bool
is_open(const ApigouvRoute *route)
{
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (param->required && param->purpose != APIGOUV_PURPOSE_NONE)
			return false;
	}
	return !route->keyed && !route->is_personal &&
		route->auth != APIGOUV_ROUTE_AUTH_SESSION;
}

/* The route that lists a table, or NULL when none can be read so. */
static const ApigouvRoute *
list_of(const ApigouvTable *table)
{
	if (table->personal_data || table->is_union)
		return NULL;
	for (int i = 0; i < table->nroutes; i++)
	{
		if (is_open(&table->routes[i]))
			return &table->routes[i];
	}
	return NULL;
}

/*
 * may_be_sampled
 *		May the values of a table's columns be kept in pg_statistic, though
 *		what lists them holds some that may not?
 *
 * Warns of the first column that forbids it.
 */
static bool
may_be_sampled(Relation rel, const ApigouvTable *table)
{
	ApigouvColumnMap map;

	apigouv_qual_map_columns(RelationGetRelid(rel), table, &map);
	for (int i = 0; i < map.natts; i++)
	{
		int			column = map.column_of[i];
		const char *name =
		NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname);

		if (column < 0 ||
			(!apigouv_apidef_is_personal(table, column) &&
			 !table->columns[column].secret &&
			 !(table->holds_secrets && column == table->reponse_column)) ||
			is_left_out(RelationGetRelid(rel), i + 1))
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("column \"%s\" of foreign table \"%s\" may hold personal data or secrets, of which no statistics are kept",
						name, RelationGetRelationName(rel)),
				 errhint("ALTER FOREIGN TABLE ... ALTER COLUMN %s SET STATISTICS 0 leaves it out.",
						 quote_identifier(name))));
		return false;
	}
	return true;
}

/* Draw a row, or pass over it. */
static bool
receive(TupleTableSlot *slot, DestReceiver * self)
{
	Sampler    *sampler = (Sampler *) self;
	MemoryContext old;
	int			at = sampler->nrows;

	sampler->seen++;
	if (sampler->nrows == sampler->wanted)
	{
		/* Vitter's algorithm: how many rows until one replaces another */
		if (sampler->to_skip < 0)
			sampler->to_skip = reservoir_get_next_S(&sampler->reservoir,
													sampler->seen - 1,
													sampler->wanted);
		if (sampler->to_skip-- > 0)
			return true;
		at = (int) (sampler->wanted *
					sampler_random_fract(&sampler->reservoir.randstate));
		heap_freetuple(sampler->rows[at]);
	}
	else
		sampler->nrows++;
	slot_getallattrs(slot);
	memset(sampler->nulls, true, sizeof(bool) * sampler->desc->natts);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		int			att = sampler->attnums[i] - 1;

		sampler->values[att] = slot->tts_values[i];
		sampler->nulls[att] = slot->tts_isnull[i];
	}
	old = MemoryContextSwitchTo(sampler->cxt);
	sampler->rows[at] = heap_form_tuple(sampler->desc, sampler->values,
										sampler->nulls);
	MemoryContextSwitchTo(old);
	return true;
}

static void
start_up(DestReceiver * self, int operation, TupleDesc typeinfo)
{
	/* all is prepared */
}

static void
finish(DestReceiver * self)
{
	/* nothing is kept that the sample does not need */
}

/* A receiver of rows for the sample. */
static Sampler *
make_sampler(Relation rel, HeapTuple *rows, int wanted)
{
	Sampler    *sampler = palloc0(sizeof(Sampler));
	int			natts = Max(RelationGetDescr(rel)->natts, 1);

	sampler->pub.receiveSlot = receive;
	sampler->pub.rStartup = start_up;
	sampler->pub.rShutdown = finish;
	sampler->pub.rDestroy = finish;
	sampler->pub.mydest = DestNone;
	sampler->desc = RelationGetDescr(rel);
	sampler->attnums = palloc(sizeof(AttrNumber) * natts);
	sampler->cxt = CurrentMemoryContext;
	sampler->rows = rows;
	sampler->wanted = wanted;
	sampler->to_skip = -1;
	sampler->values = palloc0(sizeof(Datum) * natts);
	sampler->nulls = palloc(sizeof(bool) * natts);
	reservoir_init_selection_state(&sampler->reservoir, wanted);
	return sampler;
}

/* The query that reads the columns to look at; notes which these are. */
static char *
make_query(Relation rel, Sampler * sampler)
{
	StringInfoData query;
	int			n = 0;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT");
	for (int i = 0; i < sampler->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(sampler->desc, i);

		if (att->attisdropped ||
			is_left_out(RelationGetRelid(rel), att->attnum))
			continue;
		appendStringInfo(&query, "%s %s", n > 0 ? "," : "",
						 quote_identifier(NameStr(att->attname)));
		sampler->attnums[n++] = att->attnum;
	}
	appendStringInfo(&query, " FROM ONLY %s",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	return query.data;
}

/*
 * acquire_sample
 *		Read the list and draw up to targrows of its rows.
 *
 * An AcquireSampleRowsFunc, called as the table's owner.
 */
static int
acquire_sample(Relation rel, int elevel, HeapTuple *rows, int targrows,
			   double *totalrows, double *totaldeadrows)
{
	Sampler    *sampler = make_sampler(rel, rows, targrows);
	char	   *query = make_query(rel, sampler);
	SPIExecuteOptions options = {0};

	options.dest = &sampler->pub;
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute_extended(query, &options) < 0 ||
		SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not read foreign table \"%s\"",
			 RelationGetRelationName(rel));
	*totalrows = sampler->seen;
	*totaldeadrows = 0;
	ereport(elevel,
			(errmsg("\"%s\": the list holds %.0f rows; %d rows in sample",
					RelationGetRelationName(rel), sampler->seen,
					sampler->nrows)));
	return sampler->nrows;
}

/*
 * apigouvAnalyzeForeignTable
 *		Can a table be analyzed, and how?
 *
 * Its pages, which only weigh the tables of an inheritance tree against each
 * other, are those of a table of as many rows as are known of.
 */
bool
apigouvAnalyzeForeignTable(Relation relation, AcquireSampleRowsFunc * func,
						   BlockNumber * totalpages)
{
	const ApigouvOptions *options =
	apigouv_option_table(RelationGetRelid(relation));
	const ApigouvRoute *list = list_of(options->table);
	double		rows = options->rows >= 0 ? options->rows
	: Max(options->table->rows, relation->rd_rel->reltuples);
	double		bytes = SizeofHeapTupleHeader +
	RelationGetDescr(relation)->natts * VALUE_BYTES;

	if (list == NULL ||
		!(list->may_be_kept || may_be_sampled(relation, options->table)))
		return false;
	*func = acquire_sample;
	*totalpages = (BlockNumber) Min(1 + rows * bytes / BLCKSZ,
									MaxBlockNumber);
	return true;
}
