/*-------------------------------------------------------------------------
 *
 * import.c
 *		IMPORT FOREIGN SCHEMA: an API definition to CREATE FOREIGN TABLE.
 *
 * The foreign schema's name is the API's.  Names are written as in the
 * definition; a foreign table stores no URL, so a newer definition moves it
 * to the API's newer endpoint without any change in the database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/keywords.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "apigouv_fdw.h"
#include "messages.h"

/* Is a table wanted by LIMIT TO or EXCEPT? */
static bool
is_wanted(const ImportForeignSchemaStmt *stmt, const char *table)
{
	ListCell   *lc;

	if (stmt->list_type == FDW_IMPORT_SCHEMA_ALL)
		return true;
	foreach(lc, stmt->table_list)
	{
		if (strcmp(((RangeVar *) lfirst(lc))->relname, table) == 0)
			return stmt->list_type == FDW_IMPORT_SCHEMA_LIMIT_TO;
	}
	return stmt->list_type == FDW_IMPORT_SCHEMA_EXCEPT;
}

/* Raise an error for a table of LIMIT TO that the API lacks. */
static void
check_limit_to(const ImportForeignSchemaStmt *stmt, const ApigouvApi *api)
{
	ListCell   *lc;

	if (stmt->list_type != FDW_IMPORT_SCHEMA_LIMIT_TO)
		return;
	foreach(lc, stmt->table_list)
		(void) apigouv_apidef_table(api, ((RangeVar *) lfirst(lc))->relname,
									false);
}

/*
 * A type as a statement names it: the server's own, whatever the search path
 * of the role that imports.  What the grammar knows needs no schema.
 */
static const char *
type_name(const char *type)
{
	char	   *base = pnstrdup(type, strcspn(type, "["));
	int			keyword = ScanKeywordLookup(base, &ScanKeywords);

	if (keyword >= 0 && ScanKeywordCategories[keyword] == COL_NAME_KEYWORD)
		return type;
	return psprintf("pg_catalog.%s", type);
}

/* The statement that makes one table. */
static char *
create_statement(const ApigouvTable *table, const char *server)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE FOREIGN TABLE %s (",
					 quote_identifier(table->name));
	for (int i = 0; i < table->ncolumns; i++)
		appendStringInfo(&buf, "%s\n\t%s %s", i > 0 ? "," : "",
						 quote_identifier(table->columns[i].name),
						 type_name(table->columns[i].type));
	appendStringInfo(&buf, "\n) SERVER %s OPTIONS (\"table\" %s)",
					 quote_identifier(server),
					 quote_literal_cstr(table->name));
	return buf.data;
}

/*
 * apigouvImportForeignSchema
 *		Statements that make the tables of an API.
 *
 * Raises ERRCODE_FDW_SCHEMA_NOT_FOUND when the foreign schema is not the
 * server's API, ERRCODE_FDW_TABLE_NOT_FOUND for an unknown table in LIMIT TO,
 * and for an API without tables.
 */
List *
apigouvImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	ApigouvOptions *options = apigouv_option_server(serverOid);
	const ApigouvApi *api = options->api;
	List	   *commands = NIL;

	if (stmt->options != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"",
						((DefElem *) linitial(stmt->options))->defname),
				 errhint("IMPORT FOREIGN SCHEMA takes no options here.")));
	if (strcmp(stmt->remote_schema, api->name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				 errmsg("foreign server \"%s\" has no schema \"%s\"",
						options->server_name, stmt->remote_schema),
				 errhint("Its only schema is \"%s\".", api->name)));
	if (api->ntables == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_TABLE_NOT_FOUND),
				 errmsg("API \"%s\" has no tables to import", api->name),
				 errdetail("This version knows its address and its limits only.")));
	check_limit_to(stmt, api);

	for (int i = 0; i < api->ntables; i++)
	{
		if (is_wanted(stmt, api->tables[i]))
			commands = lappend(commands,
							   create_statement(apigouv_apidef_table(api,
																	 api->tables[i],
																	 false),
												options->server_name));
	}
	return commands;
}
