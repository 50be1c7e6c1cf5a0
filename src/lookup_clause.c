/*-------------------------------------------------------------------------
 *
 * lookup_clause.c
 *		Expressions of a lookup join that are evaluated ahead of the loop.
 *
 * Two kinds.  The keys, and what makes the row: when the query may stop early,
 * a row that is read ahead may be one that the loop never comes to, so it must
 * not raise an error nor do anything.  And conditions of the join on the outer
 * side alone, such as "LEFT JOIN ... ON s.siret = r.siret AND r.active": where
 * one is not true, no row of the inner side can match, so it is not asked for
 * any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/builtins.h"
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
		case F_NUMERIC_EQ:
		case F_NUMERIC_NE:
		case F_NUMERIC_LT:
		case F_NUMERIC_LE:
		case F_NUMERIC_GT:
		case F_NUMERIC_GE:
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

/*
 * is_safe_like
 *		Is a node a LIKE or ILIKE with a pattern that raises no error?
 *
 * One that ends with the escape character does.
 */
static bool
is_safe_like(const Node *node)
{
	const OpExpr *op = (const OpExpr *) node;
	const Const *pattern;
	char	   *chars;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2 ||
		!IsA(lsecond(op->args), Const))
		return false;
	switch (get_opcode(op->opno))
	{
		case F_TEXTLIKE:
		case F_TEXTNLIKE:
		case F_TEXTICLIKE:
		case F_TEXTICNLIKE:
			break;
		default:
			return false;
	}
	pattern = lsecond_node(Const, op->args);
	if (pattern->constisnull || pattern->consttype != TEXTOID)
		return false;
	chars = TextDatumGetCString(pattern->constvalue);
	return *chars == '\0' || chars[strlen(chars) - 1] != '\\';
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
		case T_TargetEntry:
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
	if (!is_safe_like(node) &&
		check_functions_in_node(node, calls_unsafe, NULL))
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

/* ---- rows of the outer side ---- */

/*
 * apigouv_lookup_children
 *		The children that a plan node keeps elsewhere than at its sides.
 */
List *
apigouv_lookup_children(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return ((const Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((const MergeAppend *) plan)->mergeplans;
		case T_SubqueryScan:
			return list_make1(((const SubqueryScan *) plan)->subplan);
		case T_CustomScan:
			return ((const CustomScan *) plan)->custom_plans;
		default:
			return NIL;
	}
}

/* Could evaluating these raise an error, or do anything? */
static bool
may_act(List *exprs)
{
	return contain_volatile_functions((Node *) exprs) ||
		may_fail((Node *) exprs, NULL);
}

/* The same of plans in a list. */
static bool
any_may_act(const PlannerGlobal *glob, List *plans)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (apigouv_lookup_plan_may_act(glob, lfirst(lc)))
			return true;
	}
	return false;
}

/* The plan of the CTE that a node reads. */
static Plan *
cte_of(const PlannerGlobal *glob, const Plan *plan)
{
	return list_nth(glob->subplans, ((const CteScan *) plan)->ctePlanId - 1);
}

/* What only this kind of node evaluates, or has below it. */
static bool
own_may_act(const PlannerGlobal *glob, Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_HashJoin:
		case T_MergeJoin:
			return may_act(((Join *) plan)->joinqual);
		case T_ValuesScan:
			return may_act(((ValuesScan *) plan)->values_lists);
		case T_CteScan:
			return apigouv_lookup_plan_may_act(glob,
											   cte_of(glob, plan));
		default:
			return any_may_act(glob, apigouv_lookup_children(plan));
	}
}

/*
 * apigouv_lookup_plan_may_act
 *		Could reading one more row of a plan raise an error, or do anything?
 *		In doubt, it could.
 *
 * What is done before the first row is not looked at: all that is below a
 * sort, a hash table or an aggregate of all rows.  Nor what only the storage
 * or another server could raise.
 */
bool
apigouv_lookup_plan_may_act(const PlannerGlobal *glob, Plan *plan)
{
	if (plan == NULL)
		return false;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
		case T_FunctionScan:
			return may_act(plan->qual);
		case T_Agg:
			if (((Agg *) plan)->aggstrategy == AGG_PLAIN ||
				((Agg *) plan)->aggstrategy == AGG_HASHED)
				return contain_volatile_functions((Node *) plan->targetlist);
			break;
		case T_IncrementalSort:
		case T_Material:
		case T_Memoize:
		case T_Unique:
		case T_Limit:
		case T_Append:
		case T_MergeAppend:
			break;				/* their lists are those of the nodes below */
		default:
			if (may_act(plan->targetlist))
				return true;
			break;
	}
	return may_act(plan->qual) || own_may_act(glob, plan) ||
		apigouv_lookup_plan_may_act(glob, plan->lefttree) ||
		apigouv_lookup_plan_may_act(glob, plan->righttree);
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
