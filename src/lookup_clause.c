/*-------------------------------------------------------------------------
 *
 * lookup_clause.c
 *		Expressions of a lookup join that are evaluated ahead of the loop.
 *
 * Two kinds.  The keys: when the query may stop early, a row that is read
 * ahead may be one that the loop never comes to, so its key must not raise an
 * error.  And conditions of the join on the outer side alone, such as
 * "LEFT JOIN ... ON s.siret = r.siret AND r.active": where one is not true, no
 * row of the inner side can match, so it is not asked for any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "lookup_join.h"

/* ---- keys ---- */

/* Can a function raise no error, whatever its arguments are? */
static bool
is_safe(Oid function)
{
	switch (function)
	{
		case F_LEFT:
		case F_RIGHT:
		case F_LOWER_TEXT:
		case F_UPPER_TEXT:
		case F_BTRIM_TEXT:
		case F_BTRIM_TEXT_TEXT:
		case F_LTRIM_TEXT:
		case F_RTRIM_TEXT:
		case F_REPLACE:
		case F_TRANSLATE:
		case F_TEXTCAT:
		case F_TEXTANYCAT:
		case F_ANYTEXTCAT:
		case F_TEXT_BPCHAR:
		case F_TEXT_NAME:
		case F_INT8_INT4:
			return true;
		default:
			break;
	}
	if (get_func_leakproof(function))
		return true;
	/* apigouv_siret() and the like give NULL for what is wrong */
	return function >= FirstNormalObjectId &&
		getExtensionOfObject(ProcedureRelationId, function) ==
		get_extension_oid("apigouv_fdw", true);
}

static bool
calls_unsafe(Oid function, void *unused)
{
	return !is_safe(function);
}

/* Could evaluating a node raise an error?  In doubt, it could. */
static bool
may_fail(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_Var:
		case T_PlaceHolderVar:
		case T_Param:
		case T_Const:
		case T_RelabelType:
		case T_CollateExpr:
		case T_CoalesceExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_ArrayExpr:
			break;
		case T_CoerceViaIO:
			if (((CoerceViaIO *) node)->resulttype != TEXTOID)
				return true;
			return expression_tree_walker(node, may_fail, NULL);
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
			break;
		default:
			return true;
	}
	if (check_functions_in_node(node, calls_unsafe, NULL))
		return true;
	return expression_tree_walker(node, may_fail, NULL);
}

/*
 * apigouv_lookup_may_fail
 *		Could evaluating one of these expressions raise an error?
 */
bool
apigouv_lookup_may_fail(List *exprs)
{
	return may_fail((Node *) exprs, NULL);
}

/*
 * apigouv_lookup_is_pure
 *		Can these expressions be evaluated once more than need be?
 */
bool
apigouv_lookup_is_pure(List *exprs)
{
	return !contain_volatile_functions((Node *) exprs) &&
		!contain_subplans((Node *) exprs);
}

/* ---- conditions on the outer side ---- */

/*
 * apigouv_lookup_conditions
 *		The conditions without which no inner row matches, and which the outer
 *		side alone can tell.
 *
 * Result: list of Expr.  Not those above an outer join, which drop its rows.
 */
List *
apigouv_lookup_conditions(RelOptInfo *joinrel, RelOptInfo *outerrel,
						  JoinType jointype, List *restrictlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, restrictlist)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant || bms_is_empty(rinfo->clause_relids) ||
			!bms_is_subset(rinfo->clause_relids, outerrel->relids) ||
			(IS_OUTER_JOIN(jointype) &&
			 RINFO_IS_PUSHED_DOWN(rinfo, joinrel->relids)) ||
			!apigouv_lookup_is_pure(list_make1(rinfo->clause)) ||
			may_fail((Node *) rinfo->clause, NULL))
			continue;
		result = lappend(result, rinfo->clause);
	}
	return result;
}

/* What the mutator below must know. */
typedef struct ReferContext
{
	List	   *tlist;
	bool		lacks;			/* a value that the list does not have */
} ReferContext;

/*
 * The entry of a target list that stands for a variable or placeholder.
 * Compared by what they are, not by the outer joins that may make them null:
 * a condition and the list below it can tell these differently.
 */
static Node *
entry_for(List *tlist, const Node *node)
{
	ListCell   *lc;

	foreach(lc, tlist)
	{
		Node	   *entry = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (nodeTag(entry) != nodeTag(node))
			continue;
		if (IsA(node, Var) &&
			((Var *) entry)->varno == ((const Var *) node)->varno &&
			((Var *) entry)->varattno == ((const Var *) node)->varattno)
			return entry;
		if (IsA(node, PlaceHolderVar) &&
			((PlaceHolderVar *) entry)->phid ==
			((const PlaceHolderVar *) node)->phid)
			return entry;
	}
	return NULL;
}

static Node *
refer(Node *node, void *arg)
{
	ReferContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) || IsA(node, PlaceHolderVar))
	{
		Node	   *entry = entry_for(context->tlist, node);

		context->lacks |= entry == NULL;
		return entry != NULL ? copyObject(entry) : node;
	}
	return expression_tree_mutator(node, refer, arg);
}

/*
 * apigouv_lookup_refer
 *		Conditions with the variables as a target list has them; those of
 *		which it lacks one are left out.
 */
List *
apigouv_lookup_refer(List *conditions, List *tlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		ReferContext context = {tlist, false};
		Node	   *condition = refer(lfirst(lc), &context);

		if (!context.lacks)
			result = lappend(result, condition);
	}
	return result;
}
