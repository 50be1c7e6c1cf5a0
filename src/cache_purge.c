/*-------------------------------------------------------------------------
 *
 * cache_purge.c
 *		Removing kept replies: the SQL function, and changes of the objects
 *		they were read through.
 *
 * Files of the cluster's cache name no database and no object.  What a server
 * has kept is found by keyed hashes of its address and of the credentials of
 * its user mappings; so a purge by the owner of a server reaches the replies
 * that this server can read, and no others.
 *
 * Changes are seen by two event triggers of the extension, for the commands
 * that concern servers, user mappings and foreign tables; other commands do
 * not even load the library.  A row that the command has removed or replaced
 * is still in its catalog, dead: there the old address and credentials are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "ddl.h"
#include "kept.h"
#include "messages.h"
#include "shared_cache.h"
#include "token_file.h"

PG_FUNCTION_INFO_V1(apigouv_clear_cache);
PG_FUNCTION_INFO_V1(apigouv_cache_ddl);

/* The options in a column of a catalog's row. */
static List *
options_of(HeapTuple tuple, AttrNumber attnum, Relation catalog)
{
	bool		isnull;
	Datum		options = heap_getattr(tuple, attnum,
									   RelationGetDescr(catalog), &isnull);

	return isnull ? NIL : untransformRelOptions(options);
}

/* What to do with each row found; server: of the row before, NULL if none. */
typedef void (*RowUser) (HeapTuple tuple, Relation catalog, void *arg);

/*
 * Has this transaction removed or replaced a row?  Values of older ones that
 * are out of line may be gone from the toast table already.
 */
static bool
is_ours_dead(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;
	TransactionId remover;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	remover = HeapTupleHeaderGetUpdateXid(header);
	return TransactionIdIsCurrentTransactionId(remover);
}

/*
 * for_each_row
 *		Look at the rows of a catalog where one column has a value.
 *
 * dead: those that this transaction has removed or replaced as well.
 */
static void
for_each_row(Oid catalogid, Oid indexid, AttrNumber attnum, Oid value,
			 bool dead, RowUser use, void *arg)
{
	Relation	catalog = table_open(catalogid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(value));
	for (int pass = 0; pass < (dead ? 2 : 1); pass++)
	{
		scan = systable_beginscan(catalog, indexid, OidIsValid(indexid),
								  pass == 1 ? SnapshotAny : NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			if (pass == 0 || is_ours_dead(tuple))
				use(tuple, catalog, arg);
		}
		systable_endscan(scan);
	}
	table_close(catalog, AccessShareLock);
}

/* A purge of what one server can read. */
typedef struct Purge
{
	Oid			serverid;
	Oid			mappingid;		/* of one user mapping alone; or InvalidOid */
	const char *table;			/* its name in the definition; NULL = all */
	bool		dead;			/* objects that are gone as well */
	const ApigouvOptions *options;
	int64		removed;
} Purge;

/* Purge what some credentials, or none, have brought. */
static void
purge_credentials(Purge *purge, const ApigouvSecrets *secrets)
{
	ApigouvTags tags;

	if (apigouv_shared_tags(purge->options, secrets,
							purge->table ? purge->table : "", &tags))
		purge->removed += apigouv_shared_purge(&tags, purge->table != NULL);
}

/* A RowUser: what a user mapping's credentials have brought. */
static void
purge_mapping(HeapTuple tuple, Relation catalog, void *arg)
{
	Purge	   *purge = arg;
	ApigouvSecrets secrets;

	apigouv_option_credentials(options_of(tuple,
										  Anum_pg_user_mapping_umoptions,
										  catalog), &secrets);
	if (secrets.token_file != NULL)
	{
		ApigouvTokenFile file;

		apigouv_token_file_read(secrets.token_file, &file);
		if (file.token == NULL)
			return;				/* nobody knows what it has brought */
		secrets.token = file.token;
	}
	purge_credentials(purge, &secrets);
}

/*
 * Which API a server's options name, and where.  False, with everything
 * purged, when that cannot be told: a definition that cannot be read must not
 * keep a server from being dropped.
 */
static bool
find_address(List *server_options, ApigouvOptions *options, Purge *purge)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool found = false;

	PG_TRY();
	{
		found = apigouv_option_address(server_options, options);
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_QUERY_CANCELED ||
			geterrcode() == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		MemoryContextSwitchTo(old);
		FlushErrorState();
		purge->removed += apigouv_shared_purge(NULL, false);
	}
	PG_END_TRY();
	return found;
}

/* A RowUser: what a server has brought, whatever the credentials. */
static void
purge_server_row(HeapTuple tuple, Relation catalog, void *arg)
{
	Purge	   *purge = arg;
	Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);
	ApigouvOptions options;
	ApigouvSecrets nobody = {0};

	if (apigouv_option_is_foreign(server->srvfdw) ||
		!find_address(options_of(tuple, Anum_pg_foreign_server_srvoptions,
								 catalog), &options, purge))
		return;
	purge->options = &options;
	if (OidIsValid(purge->mappingid))
	{
		for_each_row(UserMappingRelationId, UserMappingOidIndexId,
					 Anum_pg_user_mapping_oid, purge->mappingid,
					 purge->dead, purge_mapping, purge);
		return;
	}
	/* also where the API has routes that need no token */
	purge_credentials(purge, &nobody);
	if (options.api->auth == APIGOUV_AUTH_NONE)
		return;
	/* there is no index on the server alone */
	for_each_row(UserMappingRelationId, InvalidOid,
				 Anum_pg_user_mapping_umserver, purge->serverid,
				 purge->dead, purge_mapping, purge);
}

/*
 * run_purge
 *		Purge what a server can read, or one of its user mappings alone;
 *		returns the number of replies.
 */
static int64
run_purge(Purge *purge)
{
	if (apigouv_shared_in_use())
		for_each_row(ForeignServerRelationId, ForeignServerOidIndexId,
					 Anum_pg_foreign_server_oid, purge->serverid,
					 purge->dead, purge_server_row, purge);
	return purge->removed +
		apigouv_kept_clear(purge->serverid, purge->table);
}

/* Purge what a server can read; returns the number of replies. */
static int64
purge_server(Oid serverid, const char *table, bool dead)
{
	Purge		purge = {
		.serverid = serverid,
		.table = table,
		.dead = dead
	};

	return run_purge(&purge);
}

/* The table of the definition that a foreign table of a server reads. */
static char *
table_of(Oid relid, Oid serverid)
{
	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE ||
		GetForeignTable(relid)->serverid != serverid)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a foreign table of this server",
						get_rel_name(relid))));
	return apigouv_option_table(relid)->table_name;
}

/*
 * apigouv_clear_cache(server name, "table" regclass) returns bigint
 *		Remove kept replies; returns how many there were.
 *
 * Those of the whole cluster, and those that a failed transaction has left
 * in this session.  Without a server: all of them, for superusers.
 */
Datum
apigouv_clear_cache(PG_FUNCTION_ARGS)
{
	ForeignServer *server;
	char	   *table = NULL;

	if (PG_ARGISNULL(0))
	{
		if (!PG_ARGISNULL(1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a foreign table is given without its server")));
		if (!superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to clear the cache of all servers"),
					 errhint("Only a superuser may; the owner of a server may name it.")));
		PG_RETURN_INT64(apigouv_shared_purge(NULL, false) +
						apigouv_kept_clear(InvalidOid, NULL));
	}
	server = GetForeignServerByName(NameStr(*PG_GETARG_NAME(0)), false);
	if (!apigouv_owns_server(server->serverid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER,
					   server->servername);
	(void) apigouv_option_server(server->serverid); /* one of ours */
	if (!PG_ARGISNULL(1))
		table = table_of(PG_GETARG_OID(1), server->serverid);
	PG_RETURN_INT64(purge_server(server->serverid, table, false));
}

/*
 * A RowUser: purge what the credentials of a user mapping have brought, those
 * of before and of now.  No more than that: who may use a server may change
 * the own mapping, and must not empty what others have.
 */
static void
purge_credentials_of_mapping(HeapTuple tuple, Relation catalog, void *arg)
{
	Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);
	Purge		purge = {
		.serverid = mapping->umserver,
		.mappingid = mapping->oid,
		.dead = true
	};

	(void) run_purge(&purge);
}

/* A RowUser: purge the server that a foreign table was of. */
static void
purge_server_of_table(HeapTuple tuple, Relation catalog, void *arg)
{
	(void) purge_server(((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver,
						NULL, true);
}

/* Purge what was read through an object that has changed or is gone. */
static void
purge_object(Oid classid, Oid objectid)
{
	switch (classid)
	{
		case ForeignServerRelationId:
			(void) purge_server(objectid, NULL, true);
			break;
		case UserMappingRelationId:
			for_each_row(UserMappingRelationId, UserMappingOidIndexId,
						 Anum_pg_user_mapping_oid, objectid, true,
						 purge_credentials_of_mapping, NULL);
			break;
		case RelationRelationId:
			for_each_row(ForeignTableRelationId, ForeignTableRelidIndexId,
						 Anum_pg_foreign_table_ftrelid, objectid, true,
						 purge_server_of_table, NULL);
			break;
	}
}

/*
 * apigouv_cache_ddl() returns event_trigger
 *		Purge what was read through the objects that a command has changed.
 */
Datum
apigouv_cache_ddl(PG_FUNCTION_ARGS)
{
	List	   *classes;
	List	   *objects;
	ListCell   *lc;
	ListCell   *lo;

	apigouv_ddl_objects(fcinfo, &classes, &objects);
	forboth(lc, classes, lo, objects)
		purge_object(lfirst_oid(lc), lfirst_oid(lo));
	PG_RETURN_NULL();
}
