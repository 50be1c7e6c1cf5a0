/*-------------------------------------------------------------------------
 *
 * qual.c
 *		Find, among the conditions of a query, those an API could take.
 *
 * An operator is matched by what it is, never by its name: scalar ones by
 * their place in the btree family of the column's type, array ones and LIKE
 * by their OID.  Column and value must have the type that the API definition
 * gives, up to a cast that changes nothing, and a deterministic collation.
 * citext, char(n) and user-made operators are thus left to the executor.
 *
 * Every condition stays in the executor's filter as well: what is found here
 * only narrows what is asked of the API.  Whether a route takes a condition
 * is decided in plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "messages.h"
#include "option.h"
#include "qual.h"

/* What is needed to look at one clause. */
typedef struct MatchContext
{
	PlannerInfo *root;
	RelOptInfo *rel;
	const ApigouvTable *table;
	const ApigouvColumnMap *map;
	AttrNumber	ec_attno;		/* equivalence classes: column sought */
} MatchContext;

/*
 * apigouv_qual_map_columns
 *		Find, for each column of a foreign table, its place in the definition.
 *
 * The result lives in the current context.  Raises
 * ERRCODE_FDW_COLUMN_NAME_NOT_FOUND for a column that the definition lacks.
 */
void
apigouv_qual_map_columns(Oid relid, const ApigouvTable *table,
						 ApigouvColumnMap *map)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);

	map->natts = desc->natts;
	map->column_of = palloc(sizeof(int) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		char	   *name;

		map->column_of[i] = -1;
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		name = apigouv_option_column(relid, i + 1);
		map->column_of[i] = apigouv_apidef_column(table, name);
		if (map->column_of[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
					 errmsg("table \"%s\" of API \"%s\" has no column \"%s\"",
							table->name, table->api->name, name),
					 errdetail("It is column \"%s\" of foreign table \"%s\".",
							   NameStr(TupleDescAttr(desc, i)->attname),
							   RelationGetRelationName(rel)),
					 errhint("Drop that column, or name another with its option \"column\".")));
	}
	table_close(rel, NoLock);
}

/* What is under casts that keep the bytes. */
static Node *
strip_relabels(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/*
 * Do values of this SQL type read as the definition's type?  Casts are
 * stripped, so varchar passes for text; char(n) does not, since its
 * comparison ignores blanks that the API does not.
 */
static bool
type_fits(Oid type, const char *declared)
{
	switch (getBaseType(type))
	{
		case TEXTOID:
		case VARCHAROID:
			return strcmp(declared, "text") == 0;
		case BOOLOID:
			return strcmp(declared, "boolean") == 0;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return strcmp(declared, "smallint") == 0 ||
				strcmp(declared, "integer") == 0 ||
				strcmp(declared, "bigint") == 0;
		case NUMERICOID:
			return strcmp(declared, "numeric") == 0;
		case FLOAT8OID:
			return strcmp(declared, "float8") == 0;
		case DATEOID:
			return strcmp(declared, "date") == 0;
		case TIMESTAMPTZOID:
			return strcmp(declared, "timestamptz") == 0;
		case TEXTARRAYOID:
		case VARCHARARRAYOID:
			return strcmp(declared, "text[]") == 0;
		default:
			return false;
	}
}

/*
 * rounds_values
 *		Does a column keep less of a value than the API sends?
 *
 * Then the API and the executor would not compare the same value.
 */
static bool
rounds_values(Oid type, int32 typmod)
{
	Oid			base = getBaseTypeAndTypmod(type, &typmod);

	return typmod >= 0 && (base == NUMERICOID || base == TIMESTAMPTZOID);
}

/*
 * column_of_node
 *		Position in the definition of a plain column of our table, or -1.
 *
 * Both the column's type and the one that the operator sees must fit: text
 * taken for citext or char(n) compares otherwise.
 */
static int
column_of_node(const MatchContext *context, Node *node)
{
	Oid			seen = exprType(node);
	Var		   *var;
	int			column;

	node = strip_relabels(node);
	if (!IsA(node, Var))
		return -1;
	var = (Var *) node;
	if (var->varno != (int) context->rel->relid || var->varlevelsup != 0 ||
		var->varattno <= 0 || var->varattno > context->map->natts)
		return -1;
	column = context->map->column_of[var->varattno - 1];
	if (column < 0 || rounds_values(var->vartype, var->vartypmod) ||
		!type_fits(var->vartype, context->table->columns[column].type) ||
		!type_fits(seen, context->table->columns[column].type))
		return -1;
	return column;
}

/* Can an expression be evaluated before the foreign table is read? */
static bool
is_value(const MatchContext *context, Node *node)
{
	return !bms_is_member(context->rel->relid,
						  pull_varnos(context->root, node)) &&
		!contain_volatile_functions(node) &&
		!contain_subplans(node);
}

/*
 * Is this collation one where equal texts are equal bytes?  A database's
 * own always is, and a new session need not open pg_collation for it.
 */
static bool
collation_fits(Oid collation)
{
	return !OidIsValid(collation) || collation == DEFAULT_COLLATION_OID ||
		get_collation_isdeterministic(collation);
}

/*
 * default_btree_family
 *		The default btree family of a type, or InvalidOid.
 *
 * That of the types that keys mostly have is known: to look through operator
 * classes and casts for it would be a good part of what a session's first
 * query needs.
 */
static Oid
default_btree_family(Oid type)
{
	Oid			opclass;

	switch (type)
	{
		case TEXTOID:
			return TEXT_BTREE_FAM_OID;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return INTEGER_BTREE_FAM_OID;
		default:
			opclass = GetDefaultOpClass(type, BTREE_AM_OID);
			return OidIsValid(opclass) ? get_opclass_family(opclass)
				: InvalidOid;
	}
}

/*
 * op_of_operator
 *		The APIGOUV_OP_ bit of a scalar operator applied to two types, or 0.
 *
 * The operator must belong to the default btree family of the left type.
 * Types that differ are accepted within the integers only: a date compared
 * with a timestamptz would depend on the session's time zone.
 */
static uint32
op_of_operator(Oid opno, Oid left, Oid right)
{
	static const uint32 op_of_strategy[] = {
		[BTLessStrategyNumber] = APIGOUV_OP_LT,
		[BTLessEqualStrategyNumber] = APIGOUV_OP_LE,
		[BTEqualStrategyNumber] = APIGOUV_OP_EQ,
		[BTGreaterEqualStrategyNumber] = APIGOUV_OP_GE,
		[BTGreaterStrategyNumber] = APIGOUV_OP_GT,
	};
	Oid			family = default_btree_family(left);
	bool		integers;
	int			strategy;

	if (!OidIsValid(family))
		return 0;
	integers = (left == INT2OID || left == INT4OID || left == INT8OID) &&
		(right == INT2OID || right == INT4OID || right == INT8OID);
	if (left != right && !integers)
		return 0;
	strategy = get_op_opfamily_strategy(opno, family);
	if (strategy <= 0 || strategy > BTMaxStrategyNumber)
		return 0;
	return op_of_strategy[strategy];
}

/* The bit of an operator with its two sides exchanged. */
static uint32
commuted(uint32 op)
{
	switch (op)
	{
		case APIGOUV_OP_GE:
			return APIGOUV_OP_LE;
		case APIGOUV_OP_GT:
			return APIGOUV_OP_LT;
		case APIGOUV_OP_LE:
			return APIGOUV_OP_GE;
		case APIGOUV_OP_LT:
			return APIGOUV_OP_GT;
		default:
			return op;
	}
}

static ApigouvQual *
make_qual(const MatchContext *context, Expr *clause, int column, uint32 op,
		  Expr *value, bool is_array)
{
	ApigouvQual *qual = palloc0(sizeof(ApigouvQual));

	qual->column = column;
	qual->op = op;
	qual->value = value;
	qual->is_array = is_array;
	qual->clause = clause;
	qual->outer = pull_varnos(context->root, (Node *) value);
	return qual;
}

/* The fixed beginning of a pattern that is "text%" and nothing else. */
static Expr *
prefix_of_pattern(Node *pattern)
{
	Const	   *constant = (Const *) pattern;
	char	   *prefix;
	size_t		len;

	if (!IsA(pattern, Const) || constant->constisnull ||
		constant->consttype != TEXTOID)
		return NULL;
	prefix = TextDatumGetCString(constant->constvalue);
	len = strlen(prefix);
	if (len < 2 || prefix[len - 1] != '%' ||
		strcspn(prefix, "%_\\") != len - 1)
		return NULL;
	prefix[len - 1] = '\0';
	return (Expr *) makeConst(TEXTOID, -1, constant->constcollid, -1,
							  CStringGetTextDatum(prefix), false, false);
}

/* column LIKE 'x%' */
static ApigouvQual *
match_like(const MatchContext *context, OpExpr *expr)
{
	int			column = column_of_node(context, linitial(expr->args));
	Expr	   *prefix;

	if (column < 0)
		return NULL;
	prefix = prefix_of_pattern(lsecond(expr->args));
	if (prefix == NULL)
		return NULL;
	return make_qual(context, (Expr *) expr, column, APIGOUV_OP_PREFIX,
					 prefix, false);
}

/* column && array, column @> array, array <@ column */
static ApigouvQual *
match_array_operator(const MatchContext *context, OpExpr *expr)
{
	Node	   *left = linitial(expr->args);
	Node	   *right = lsecond(expr->args);
	uint32		op = expr->opno == OID_ARRAY_OVERLAP_OP
	? APIGOUV_OP_OVERLAPS : APIGOUV_OP_CONTAINS;
	int			column;

	if (expr->opno == OID_ARRAY_CONTAINED_OP)
	{
		Node	   *swap = left;

		left = right;
		right = swap;
	}
	column = column_of_node(context, left);
	if (column < 0 && op == APIGOUV_OP_OVERLAPS)
	{
		Node	   *swap = left;

		left = right;
		right = swap;
		column = column_of_node(context, left);
	}
	if (column < 0 || !is_value(context, right))
		return NULL;
	return make_qual(context, (Expr *) expr, column, op, (Expr *) right, true);
}

/* left(column, n) = value: a prefix, when the value is a constant */
static ApigouvQual *
match_left(const MatchContext *context, OpExpr *expr, Node *left, Node *right)
{
	FuncExpr   *func = (FuncExpr *) left;
	int			column;
	char	   *text_value;

	if (!IsA(left, FuncExpr) || func->funcid != F_LEFT ||
		!IsA(lsecond(func->args), Const) || !IsA(right, Const) ||
		((Const *) lsecond(func->args))->constisnull ||
		((Const *) right)->constisnull)
		return NULL;
	column = column_of_node(context, linitial(func->args));
	if (column < 0 || ((Const *) right)->consttype != TEXTOID)
		return NULL;
	text_value = TextDatumGetCString(((Const *) right)->constvalue);
	if (DatumGetInt32(((Const *) lsecond(func->args))->constvalue) !=
		pg_mbstrlen(text_value))
		return NULL;
	return make_qual(context, (Expr *) expr, column, APIGOUV_OP_PREFIX,
					 (Expr *) right, false);
}

/* column operator value, either way round */
static ApigouvQual *
match_operator(const MatchContext *context, OpExpr *expr)
{
	Node	   *left;
	Node	   *right;
	uint32		op;
	int			column;

	if (list_length(expr->args) != 2 || !collation_fits(expr->inputcollid))
		return NULL;
	if (expr->opno == OID_TEXT_LIKE_OP)
		return match_like(context, expr);
	if (expr->opno == OID_ARRAY_OVERLAP_OP ||
		expr->opno == OID_ARRAY_CONTAINS_OP ||
		expr->opno == OID_ARRAY_CONTAINED_OP)
		return match_array_operator(context, expr);

	left = linitial(expr->args);
	right = lsecond(expr->args);
	op = op_of_operator(expr->opno, exprType(left), exprType(right));
	if (op == 0)
		return NULL;
	column = column_of_node(context, left);
	if (column < 0)
	{
		column = column_of_node(context, right);
		op = commuted(op);
		right = left;
	}
	if (column < 0 && op == APIGOUV_OP_EQ)
	{
		ApigouvQual *qual = match_left(context, expr, linitial(expr->args),
									   lsecond(expr->args));

		return qual ? qual : match_left(context, expr, lsecond(expr->args),
										linitial(expr->args));
	}
	if (column < 0)
		return NULL;
	if (!is_value(context, right))
		return NULL;
	return make_qual(context, (Expr *) expr, column, op, (Expr *) right,
					 false);
}

/* column = ANY (array), and value = ANY (array column) */
static ApigouvQual *
match_any(const MatchContext *context, ScalarArrayOpExpr *expr)
{
	Node	   *left = linitial(expr->args);
	Node	   *right = lsecond(expr->args);
	Oid			element = get_element_type(exprType(right));
	int			column;

	if (!expr->useOr || !OidIsValid(element) ||
		!collation_fits(expr->inputcollid) ||
		op_of_operator(expr->opno, exprType(left), element) != APIGOUV_OP_EQ)
		return NULL;
	column = column_of_node(context, left);
	if (column >= 0 && is_value(context, right))
		return make_qual(context, (Expr *) expr, column, APIGOUV_OP_EQ,
						 (Expr *) right, true);
	column = column_of_node(context, right);
	if (column >= 0 && is_value(context, left))
		return make_qual(context, (Expr *) expr, column, APIGOUV_OP_ANY,
						 (Expr *) left, false);
	return NULL;
}

/* A boolean column, alone, negated or tested. */
static ApigouvQual *
match_boolean(const MatchContext *context, Expr *clause)
{
	Node	   *node = (Node *) clause;
	bool		wanted = true;
	int			column;

	if (is_notclause(node))
	{
		wanted = false;
		node = (Node *) get_notclausearg(clause);
	}
	else if (IsA(node, BooleanTest))
	{
		BooleanTest *test = (BooleanTest *) node;

		if (test->booltesttype != IS_TRUE && test->booltesttype != IS_FALSE)
			return NULL;
		wanted = test->booltesttype == IS_TRUE;
		node = (Node *) test->arg;
	}
	column = column_of_node(context, node);
	if (column < 0 || exprType(node) != BOOLOID)
		return NULL;
	return make_qual(context, clause, column, APIGOUV_OP_EQ,
					 (Expr *) makeBoolConst(wanted, false), false);
}

static ApigouvQual *match_clause(const MatchContext *context, Expr *clause);

/*
 * match_or
 *		An OR of equalities on one column: an IN.
 *
 * All values must have one type, so that they make an array.
 */
static ApigouvQual *
match_or(const MatchContext *context, BoolExpr *clause)
{
	List	   *values = NIL;
	int			column = -1;
	Oid			type = InvalidOid;
	ArrayExpr  *array;
	ListCell   *lc;

	foreach(lc, clause->args)
	{
		Expr	   *arm = lfirst(lc);
		ApigouvQual *qual;

		if (IsA(arm, RestrictInfo))
			arm = ((RestrictInfo *) arm)->clause;
		qual = match_clause(context, arm);
		if (qual == NULL || qual->op != APIGOUV_OP_EQ || qual->is_array)
			return NULL;
		if (values == NIL)
		{
			column = qual->column;
			type = exprType((Node *) qual->value);
		}
		else if (qual->column != column ||
				 exprType((Node *) qual->value) != type)
			return NULL;
		values = lappend(values, qual->value);
	}
	if (!OidIsValid(get_array_type(type)))
		return NULL;

	array = makeNode(ArrayExpr);
	array->array_typeid = get_array_type(type);
	array->array_collid = exprCollation(linitial(values));
	array->element_typeid = type;
	array->elements = values;
	array->multidims = false;
	array->location = -1;
	return make_qual(context, (Expr *) clause, column, APIGOUV_OP_EQ,
					 (Expr *) eval_const_expressions(context->root,
													 (Node *) array),
					 true);
}

/* The condition that a clause makes, or NULL. */
static ApigouvQual *
match_clause(const MatchContext *context, Expr *clause)
{
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return match_operator(context, (OpExpr *) clause);
		case T_ScalarArrayOpExpr:
			return match_any(context, (ScalarArrayOpExpr *) clause);
		case T_BoolExpr:
			if (is_orclause(clause))
				return match_or(context, (BoolExpr *) clause);
			return match_boolean(context, clause);
		case T_Var:
		case T_BooleanTest:
			return match_boolean(context, clause);
		default:
			return NULL;
	}
}

/*
 * apigouv_qual_collect
 *		Conditions on one foreign table, from its own clauses and its join
 *		clauses.
 *
 * Result: list of ApigouvQual in the planner's context, the table's own
 * first.
 */
List *
apigouv_qual_collect(PlannerInfo *root, RelOptInfo *rel,
					 const ApigouvTable *table, const ApigouvColumnMap *map)
{
	MatchContext context = {root, rel, table, map, 0};
	List	   *quals = NIL;
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		ApigouvQual *qual;

		/* the value must not leave before a security barrier's quals */
		if (!restriction_is_securely_promotable(rinfo, rel))
			continue;
		qual = match_clause(&context, rinfo->clause);
		if (qual != NULL)
			quals = lappend(quals, qual);
	}
	foreach(lc, rel->joininfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		ApigouvQual *qual;

		if (!join_clause_is_movable_to(rinfo, rel) ||
			!restriction_is_securely_promotable(rinfo, rel))
			continue;
		qual = match_clause(&context, rinfo->clause);
		if (qual != NULL)
			quals = lappend(quals, qual);
	}
	return quals;
}

/* Is this member of an equivalence class the column sought? */
static bool
member_is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
				 EquivalenceMember *em, void *arg)
{
	const MatchContext *context = arg;
	Node	   *node = strip_relabels((Node *) em->em_expr);

	return node != NULL && IsA(node, Var) &&
		((Var *) node)->varno == (int) rel->relid &&
		((Var *) node)->varattno == context->ec_attno;
}

/*
 * apigouv_qual_collect_ec
 *		Equalities with other tables that equivalence classes imply.
 *
 * Result: list of ApigouvQual in the planner's context.
 */
List *
apigouv_qual_collect_ec(PlannerInfo *root, RelOptInfo *rel,
						const ApigouvTable *table,
						const ApigouvColumnMap *map)
{
	MatchContext context = {root, rel, table, map, 0};
	List	   *quals = NIL;

	if (!rel->has_eclass_joins)
		return NIL;
	for (int i = 0; i < map->natts; i++)
	{
		List	   *clauses;
		ListCell   *lc;

		if (map->column_of[i] < 0)
			continue;
		context.ec_attno = i + 1;
		clauses = generate_implied_equalities_for_column(root, rel,
														 member_is_column,
														 &context,
														 rel->lateral_referencers);
		foreach(lc, clauses)
		{
			RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
			ApigouvQual *qual;

			if (!join_clause_is_movable_to(rinfo, rel))
				continue;
			qual = match_clause(&context, rinfo->clause);
			if (qual != NULL)
				quals = lappend(quals, qual);
		}
	}
	return quals;
}

/*
 * apigouv_qual_columns
 *		Columns of the definition that a node mentions.
 */
Bitmapset *
apigouv_qual_columns(Node *node, Index varno, const ApigouvColumnMap *map)
{
	Bitmapset  *attnos = NULL;
	Bitmapset  *columns = NULL;
	int			member = -1;

	pull_varattnos(node, varno, &attnos);
	while ((member = bms_next_member(attnos, member)) >= 0)
	{
		AttrNumber	attno = member + FirstLowInvalidHeapAttributeNumber;

		if (attno == 0)			/* whole row: every column */
		{
			for (int i = 0; i < map->natts; i++)
				if (map->column_of[i] >= 0)
					columns = bms_add_member(columns, map->column_of[i]);
		}
		else if (attno > 0 && attno <= map->natts &&
				 map->column_of[attno - 1] >= 0)
			columns = bms_add_member(columns, map->column_of[attno - 1]);
	}
	return columns;
}
