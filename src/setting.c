/*-------------------------------------------------------------------------
 *
 * setting.c
 *		Settings of a role or a database, given back at the library's loading.
 *
 * Until then the server keeps one text for each of our settings, of whoever
 * has set it last and highest: what a client asks for when it connects
 * (PGOPTIONS) takes the place of what ALTER ROLE says.  When the library is
 * loaded, the client's wish is refused if the setting is a superuser's, and
 * nothing would be left but the default: an agent could lift its bounds.
 *
 * Not here: the settings themselves (apigouv_fdw.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "option.h"

#define PREFIX "apigouv_fdw."

/* Apply one "name=value" of a role or a database, if it is ours. */
static void
apply(char *entry, GucSource source)
{
	char	   *value = strchr(entry, '=');

	if (strncmp(entry, PREFIX, strlen(PREFIX)) != 0 || value == NULL)
		return;
	*value++ = '\0';
	/* whoever stored it had the right to */
	(void) set_config_option(entry, value, PGC_SUSET, source, GUC_ACTION_SET,
							 true, WARNING, false);
}

/* Apply what is stored for a database and a role; InvalidOid: for all. */
static void
apply_stored(Relation rel, Oid dbid, Oid roleid, GucSource source)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(dbid));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(roleid));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL,
							  2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		config = heap_getattr(tuple,
										  Anum_pg_db_role_setting_setconfig,
										  RelationGetDescr(rel), &isnull);
		Datum	   *entries;
		int			n = 0;

		if (!isnull)
			deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false,
							  TYPALIGN_INT, &entries, NULL, &n);
		for (int i = 0; i < n; i++)
			apply(TextDatumGetCString(entries[i]), source);
	}
	systable_endscan(scan);
}

/*
 * apigouv_setting_restore
 *		Let our settings that are stored for who has logged in, or for the
 *		database, be what they are, once in a session.
 *
 * Of what is set already, that which ranks higher stays.  Outside a
 * transaction, where no catalog can be read, it is left to the next call.
 */
void
apigouv_setting_restore(void)
{
	static bool done = false;
	Relation	rel;
	Oid			roleid;

	if (done || !IsTransactionState() || IsParallelWorker() ||
		MyProc == NULL)
		return;
	done = true;
	roleid = MyProc->roleId;	/* who has logged in */
	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	/* the highest first, as the server does when a session begins */
	if (OidIsValid(roleid))
	{
		apply_stored(rel, MyDatabaseId, roleid, PGC_S_DATABASE_USER);
		apply_stored(rel, InvalidOid, roleid, PGC_S_USER);
	}
	apply_stored(rel, MyDatabaseId, InvalidOid, PGC_S_DATABASE);
	apply_stored(rel, InvalidOid, InvalidOid, PGC_S_GLOBAL);
	table_close(rel, AccessShareLock);
}
