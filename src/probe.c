/*-------------------------------------------------------------------------
 *
 * probe.c
 *		Queries of tools that look at a table without knowing its key.
 *
 * A tool that draws a list of tables reads some rows of each.  With setting
 * apigouv_fdw.missing_key such a query gives none, and a warning, where it
 * would else be an error.  Since no row looks like an answer, that is kept to
 * where nobody can take it for one:
 *
 * - The statement reads rows of one table, and does nothing else with them: no
 *	 join, no aggregate, no subquery of another query's condition, nothing that
 *	 makes a row, or a decision, of there being none.
 *
 * - No condition names a key, in any form: whoever writes one has a key in
 *	 mind, and is told what is wrong with it.
 *
 * - The rows go straight to the client.  What fills a table, a materialized
 *	 view, a file or a variable of a function fails as ever.
 *
 * The planner knows the first two, the executor the third and the setting: a
 * plan may be older than both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/rel.h"

#include "messages.h"
#include "probe.h"

/*
 * is_plain
 *		Does a query level give rows of one relation and nothing else?
 *
 * While conditions are prepared, which plans what they ask of other tables,
 * the level around these does not know its relations yet: so what is asked
 * within a condition is never plain.
 */
static bool
is_plain(const PlannerInfo *root)
{
	const Query *query = root->parse;

	return query->commandType == CMD_SELECT && !query->hasAggs &&
		!root->hasHavingQual && query->havingQual == NULL &&
		query->groupingSets == NIL && query->setOperations == NULL &&
		query->rowMarks == NIL && !query->hasModifyingCTE &&
		bms_membership(root->all_baserels) == BMS_SINGLETON;
}

/* The columns that some route of a table cannot do without. */
static Bitmapset *
key_columns(const ApigouvTable *table)
{
	Bitmapset  *keys = NULL;

	for (int i = 0; i < table->nroutes; i++)
	{
		const ApigouvRoute *route = &table->routes[i];

		for (int j = 0; j < route->nparams; j++)
		{
			if (apigouv_route_needs_condition(&route->params[j]))
				keys = bms_add_member(keys, route->params[j].column);
		}
	}
	return keys;
}

bool
apigouv_probe_is_one(PlannerInfo *root, const RelOptInfo *rel,
					 const ApigouvRelInfo *info)
{
	Bitmapset  *keys = key_columns(info->options->table);
	ListCell   *lc;

	if (rel->reloptkind != RELOPT_BASEREL || !is_plain(root))
		return false;
	foreach(lc, rel->baserestrictinfo)
	{
		const RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (bms_overlap(apigouv_qual_columns((Node *) rinfo->clause,
											 rel->relid, &info->map), keys))
			return false;
	}
	/* queries around it: a condition that stays there may be on a key */
	for (root = root->parent_root; root != NULL; root = root->parent_root)
	{
		int			relid;

		if (!is_plain(root))
			return false;
		relid = bms_singleton_member(root->all_baserels);
		if (root->simple_rel_array[relid]->baserestrictinfo != NIL)
			return false;
	}
	return true;
}

/*
 * goes_to_client
 *		Do the rows of a query go straight to the client?
 *
 * Such a query is run by a portal, for a client's destination.  A cursor's
 * rows are put aside on their way there.
 */
static bool
goes_to_client(const EState *estate)
{
	const		QueryDesc *query;

	if (ActivePortal == NULL)
		return false;
	query = ActivePortal->queryDesc;
	if (query == NULL || query->estate != estate || query->dest == NULL ||
		query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE)
		return false;
	switch (query->dest->mydest)
	{
		case DestRemote:
		case DestRemoteExecute:
		case DestRemoteSimple:
		case DestDebug:
		case DestTuplestore:
			return true;
		default:
			return false;
	}
}

bool
apigouv_probe_is_empty(ApigouvScanState *state)
{
	if (*state->missing == '\0' || !state->is_probe ||
		apigouv_missing_key != APIGOUV_MISSING_KEY_EMPTY ||
		!goes_to_client(state->node->ss.ps.state))
		return false;
	if (!state->probe_told)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no row of foreign table \"%s\" was asked for: key column \"%s\" has no value",
						RelationGetRelationName(state->rel),
						apigouv_task_key_name(state, state->missing)),
				 errdetail("Setting apigouv_fdw.missing_key is \"empty\".  That no row is returned says nothing of what the API has."),
				 errhint("Add a condition such as %s = '...'.",
						 apigouv_task_key_name(state, state->missing))));
	state->probe_told = true;
	return true;
}
