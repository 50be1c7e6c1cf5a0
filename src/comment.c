/*-------------------------------------------------------------------------
 *
 * comment.c
 *		Comments of foreign tables and their columns, from API definitions.
 *
 * IMPORT FOREIGN SCHEMA can make tables only, so an event trigger comments
 * what it has made.  Tables made by hand, and tables that are older than a
 * definition, get their comments from the SQL function.
 *
 * Comments are stored by the server's own function, not by a statement: there
 * is no name to quote, and no search path.  Rights are those of COMMENT.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "commands/comment.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "ddl.h"
#include "messages.h"
#include "option.h"

PG_FUNCTION_INFO_V1(apigouv_comment_tables);
PG_FUNCTION_INFO_V1(apigouv_comment_imported);

/* Set one comment; returns 1 if it was another, or none, before. */
static int
set_comment(Oid relid, AttrNumber attnum, const char *comment)
{
	char	   *before = GetComment(relid, RelationRelationId, attnum);

	if (comment == NULL || (before != NULL && strcmp(before, comment) == 0))
		return 0;
	CreateComments(relid, RelationRelationId, attnum, comment);
	return 1;
}

/* Comment a table and those of its columns that the definition knows. */
static int
comment_table(Relation rel, const ApigouvTable *table)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	Oid			relid = RelationGetRelid(rel);
	int			n = set_comment(relid, 0, table->comment);

	for (int i = 0; i < tupdesc->natts; i++)
	{
		int			column;

		if (TupleDescAttr(tupdesc, i)->attisdropped)
			continue;
		column = apigouv_apidef_column(table,
									   apigouv_option_column(relid, i + 1));
		if (column >= 0)
			n += set_comment(relid, i + 1, table->columns[column].comment);
	}
	return n;
}

/*
 * comment_relation
 *		Comment a foreign table; returns how many comments have changed.
 *
 * One of another wrapper, or that names a table which its definition lacks,
 * is left alone; so is one that is dropped meanwhile.  Raises
 * ERRCODE_INSUFFICIENT_PRIVILEGE unless the current role owns it.  The lock is
 * COMMENT's, kept until the transaction ends.
 */
static int
comment_relation(Oid relid)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "apigouv_fdw comments",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	const ApigouvTable *table;
	Relation	rel;
	int			n = 0;

	CHECK_FOR_INTERRUPTS();
	table = SearchSysCacheExists1(FOREIGNTABLEREL, ObjectIdGetDatum(relid))
		? apigouv_option_definition(relid) : NULL;
	if (table != NULL)
	{
		if (!apigouv_owns_table(relid, GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_TABLE,
						   get_rel_name(relid));
		rel = try_relation_open(relid, ShareUpdateExclusiveLock);
		if (rel != NULL)
		{
			n = comment_table(rel, table);
			relation_close(rel, NoLock);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return n;
}

/* OIDs of the foreign tables of a schema, in order. */
static List *
foreign_tables_of(Oid schema)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0,
										  NULL);
	List	   *relids = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			relid =
		((Form_pg_foreign_table) GETSTRUCT(tuple))->ftrelid;

		if (get_rel_namespace(relid) == schema)
			relids = lappend_oid(relids, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(relids, list_oid_cmp);
	return relids;
}

/*
 * apigouv_comment_tables(schema name) returns bigint
 *		Comment the foreign tables of a schema; returns how many comments have
 *		changed.
 */
Datum
apigouv_comment_tables(PG_FUNCTION_ARGS)
{
	Oid			schema = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(0)),
												 false);
	int64		n = 0;
	ListCell   *lc;

	PreventCommandIfReadOnly("apigouv_comment_tables()");
	foreach(lc, foreign_tables_of(schema))
		n += comment_relation(lfirst_oid(lc));
	/* another call in the same query must see these comments */
	CommandCounterIncrement();
	PG_RETURN_INT64(n);
}

/*
 * apigouv_comment_imported() returns event_trigger
 *		Comment the foreign tables that IMPORT FOREIGN SCHEMA has made.
 *
 * One that is no longer the current role's, since another event trigger came
 * first, is left alone: an import must not fail for a comment.
 */
Datum
apigouv_comment_imported(PG_FUNCTION_ARGS)
{
	List	   *classes;
	List	   *objects;
	ListCell   *lc;
	ListCell   *lo;

	apigouv_ddl_objects(fcinfo, &classes, &objects);
	forboth(lc, classes, lo, objects)
	{
		if (lfirst_oid(lc) == RelationRelationId &&
			get_rel_relkind(lfirst_oid(lo)) == RELKIND_FOREIGN_TABLE &&
			apigouv_owns_table(lfirst_oid(lo), GetUserId()))
			(void) comment_relation(lfirst_oid(lo));
	}
	PG_RETURN_NULL();
}
