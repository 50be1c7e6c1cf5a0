/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between PostgreSQL 15 to 18 and between libcurl versions.
 *
 * The only file that knows versions.  Each difference gets one name here, and
 * the other files use that name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_COMPAT_H
#define APIGOUV_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "apigouv_fdw needs PostgreSQL 15 or later"
#endif

/*
 * create_foreignscan_path: fdw_restrictinfo came with 17, disabled_nodes with
 * 18.  disabled: the path must lose against any other.
 */
#if PG_VERSION_NUM >= 180000
#define apigouv_create_foreignscan_path(root, rel, rows, disabled, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, (disabled) ? 2 : 0, \
							startup, total, NIL, outer, NULL, NIL, private)
#elif PG_VERSION_NUM >= 170000
#define apigouv_create_foreignscan_path(root, rel, rows, disabled, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, \
							outer, NULL, NIL, private)
#else
#define apigouv_create_foreignscan_path(root, rel, rows, disabled, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, \
							outer, NULL, private)
#endif

/* What a nested loop costs more when they are disabled; counted from 18 on. */
#if PG_VERSION_NUM >= 180000
#define apigouv_nestloop_penalty() 0
#else
#define apigouv_nestloop_penalty() (enable_nestloop ? 0 : disable_cost)
#endif

/* What prunes the children of an Append or MergeAppend; NULL: nothing. */
#if PG_VERSION_NUM >= 180000
#define apigouv_prune_info(estate, append) \
	((append)->part_prune_index < 0 ? NULL : \
	 list_nth_node(PartitionPruneInfo, (estate)->es_part_prune_infos, \
				   (append)->part_prune_index))
#else
#define apigouv_prune_info(estate, append) \
	((void) (estate), (append)->part_prune_info)
#endif

/* 18 lets placeholders be parameters of a nested loop. */
#if PG_VERSION_NUM >= 180000
#define apigouv_have_dangerous_phv(root, outer, params) false
#else
#define apigouv_have_dangerous_phv(root, outer, params) \
	have_dangerous_phv(root, outer, params)
#endif

/*
 * Do the parameters of a path come from the outer join that is being made?
 * Outer joins are relations of their own from 16 on.
 */
#if PG_VERSION_NUM >= 160000
#define apigouv_needs_own_join(extra, path) \
	((extra)->sjinfo->ojrelid != 0 && \
	 bms_is_member((extra)->sjinfo->ojrelid, PATH_REQ_OUTER(path)))
#else
#define apigouv_needs_own_join(extra, path) false
#endif

/* The same for a path of an upper relation, which has a path below it. */
#if PG_VERSION_NUM >= 180000
#define apigouv_create_foreign_upper_path(root, rel, target, rows, startup, total, outerpath, private) \
	create_foreign_upper_path(root, rel, target, rows, 0, startup, total, \
							  NIL, outerpath, NIL, private)
#elif PG_VERSION_NUM >= 170000
#define apigouv_create_foreign_upper_path(root, rel, target, rows, startup, total, outerpath, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, NIL, \
							  outerpath, NIL, private)
#else
#define apigouv_create_foreign_upper_path(root, rel, target, rows, startup, total, outerpath, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, NIL, \
							  outerpath, private)
#endif

/* The relations that a foreign scan stands for; 16 set outer joins apart. */
#if PG_VERSION_NUM >= 160000
#define apigouv_scan_relids(plan) ((plan)->fs_base_relids)
#else
#define apigouv_scan_relids(plan) ((plan)->fs_relids)
#endif

/* The role a foreign scan runs as; 0 = the current one. */
#if PG_VERSION_NUM >= 160000
#define apigouv_scan_role(node, relid) \
	((void) (relid), ((ForeignScan *) (node)->ss.ps.plan)->checkAsUser)
#else
#define apigouv_scan_role(node, relid) \
	(exec_rt_fetch(relid, (node)->ss.ps.state)->checkAsUser)
#endif

/* Elements of an array, estimated: 17 added the planner's state. */
#if PG_VERSION_NUM >= 170000
#define apigouv_array_length(root, node) estimate_array_length(root, node)
#else
#define apigouv_array_length(root, node) ((double) estimate_array_length(node))
#endif

/* Does a role own a foreign server, a table?  16 made one function of many. */
#if PG_VERSION_NUM >= 160000
#define apigouv_owns_server(serverid, roleid) \
	object_ownercheck(ForeignServerRelationId, serverid, roleid)
#else
#define apigouv_owns_server(serverid, roleid) \
	pg_foreign_server_ownercheck(serverid, roleid)
#endif

#if PG_VERSION_NUM >= 160000
#define apigouv_owns_table(relid, roleid) \
	object_ownercheck(RelationRelationId, relid, roleid)
#else
#define apigouv_owns_table(relid, roleid) \
	pg_class_ownercheck(relid, roleid)
#endif

/* May a role use a foreign server?  16 made one function of many here, too. */
#if PG_VERSION_NUM >= 160000
#define apigouv_server_aclcheck(serverid, roleid) \
	object_aclcheck(ForeignServerRelationId, serverid, roleid, ACL_USAGE)
#else
#define apigouv_server_aclcheck(serverid, roleid) \
	pg_foreign_server_aclcheck(serverid, roleid, ACL_USAGE)
#endif

/* A setting by its name, a placeholder too; NULL: none.  16 looks it up. */
#include "utils/guc_tables.h"
#if PG_VERSION_NUM >= 160000
#define apigouv_find_setting(name) find_option(name, false, true, 0)
#else
static inline struct config_generic *
apigouv_find_setting(const char *name)
{
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (pg_strcasecmp(settings[i]->name, name) == 0)
			return settings[i];
	}
	return NULL;
}
#endif

/* EXPLAIN's state and its printing have headers of their own from 18 on. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* Adjusts a time to its column's precision; 16 added a soft-error argument. */
#if PG_VERSION_NUM >= 160000
#define apigouv_adjust_timestamp(time, typmod) \
	((void) AdjustTimestampForTypmod(time, typmod, NULL))
#else
#define apigouv_adjust_timestamp(time, typmod) \
	AdjustTimestampForTypmod(time, typmod)
#endif

/* pg_b64_decode works on bytes, no longer on characters, from 18 on. */
#if PG_VERSION_NUM >= 180000
#define apigouv_base64_decode(text, len, out, size) \
	pg_b64_decode(text, len, (uint8 *) (out), size)
#else
#define apigouv_base64_decode(text, len, out, size) \
	pg_b64_decode(text, len, out, size)
#endif

/* Of a function that does not return; the server's word changed with 18. */
#define APIGOUV_NORETURN __attribute__((noreturn))

/* libcurl, where its header comes first. */
#if defined(LIBCURL_VERSION_NUM) && LIBCURL_VERSION_NUM < 0x075700
#error "apigouv_fdw needs libcurl 7.87 or later"
#endif

/*
 * A set of events for the backend's life: the first argument was a memory
 * context before 17, and is a resource owner since.
 */
#if PG_VERSION_NUM >= 170000
#define apigouv_create_wait_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define apigouv_create_wait_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/*
 * Does an Append that waits for its asynchronous children wake up for a
 * cancel?  Not in the first minor versions; a later one may be running than
 * the one that this was built with, and the other way round.
 */
#if PG_VERSION_NUM >= 180000
#define apigouv_append_minds_latch(version_num) true
#elif PG_VERSION_NUM >= 170000
#define apigouv_append_minds_latch(version_num) ((version_num) >= 170006)
#elif PG_VERSION_NUM >= 160000
#define apigouv_append_minds_latch(version_num) ((version_num) >= 160010)
#else
#define apigouv_append_minds_latch(version_num) ((version_num) >= 150014)
#endif

/*
 * Wait events: "Extension" for all before 17, which gave extensions names of
 * their own.
 */
#define APIGOUV_WAIT_HTTP	"ApigouvHttp"	/* a reply */
#define APIGOUV_WAIT_RETRY	"ApigouvRetry"	/* the moment to ask again */
#define APIGOUV_WAIT_QUOTA	"ApigouvQuota"	/* a slot of the quota ledger */
#define APIGOUV_WAIT_CACHE	"ApigouvCache"	/* a file of the shared cache */
#if PG_VERSION_NUM >= 170000
#define apigouv_wait_event(name) WaitEventExtensionNew(name)
#else
#define apigouv_wait_event(name) ((void) (name), PG_WAIT_EXTENSION)
#endif

#endif							/* APIGOUV_COMPAT_H */
