/*-------------------------------------------------------------------------
 *
 * route.c
 *		Which routes of an API can serve a foreign table under given
 *		conditions, and how many requests each would take.
 *
 * A route is usable when each of its required parameters is fed: by a
 * condition, by a setting, by a constant or by a first request.  It is not
 * when a condition bears on a column that it does not know as an input and
 * that only an input gives meaning to (an "opaque" one), nor when one bears
 * on a column that the definition reserves to other routes.
 *
 * Feeding happens once per name on the wire: of two conditions that would
 * both fill "department", the first parameter of the definition wins, and
 * the executor checks the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

#include "compat.h"
#include "binding.h"
#include "route.h"

/* Values assumed in an array that is not known at planning. */
#define ASSUMED_ARRAY_VALUES 10

/* Does a condition's operator suit a parameter? */
static bool
op_fits(const ApigouvParam *param, const ApigouvQual *qual)
{
	uint32		ops = param->ops;

	if (ops & APIGOUV_OP_TRUE)
		ops |= APIGOUV_OP_EQ;
	return (ops & qual->op) != 0;
}

/* May this parameter be left out for the sake of a proof? */
static bool
is_optional_filter(const ApigouvParam *param)
{
	return !param->required && param->exactness != APIGOUV_OPAQUE &&
		param->purpose == APIGOUV_PURPOSE_NONE;
}

/*
 * find_qual
 *		The condition that should feed a parameter, or NULL.
 *
 * Only conditions whose values come from outer are candidates.  A single
 * value is preferred to several, an equality to anything else.
 */
static ApigouvQual *
find_qual(const ApigouvRelInfo *info, const ApigouvParam *param, Relids outer)
{
	ApigouvQual *best = NULL;
	ListCell   *lc;

	if (param->column < 0)
		return NULL;
	if (is_optional_filter(param) &&
		(!apigouv_enable_pushdown ||
		 (param->exactness == APIGOUV_DERIVED && !info->options->derived)))
		return NULL;
	foreach(lc, info->quals)
	{
		ApigouvQual *qual = lfirst(lc);

		if (qual->column != param->column || !op_fits(param, qual) ||
			!bms_is_subset(qual->outer, outer))
			continue;
		if (best == NULL ||
			(best->op != APIGOUV_OP_EQ && qual->op == APIGOUV_OP_EQ) ||
			(best->op == qual->op && best->is_array && !qual->is_array))
			best = qual;
	}
	return best;
}

/* Is a name on the wire already filled by an earlier match? */
static bool
is_filled(const ApigouvRoute *route, List *matches, const char *name)
{
	ListCell   *lc;

	foreach(lc, matches)
	{
		const ApigouvMatch *match = lfirst(lc);

		if (strcmp(route->params[match->param].name, name) == 0)
			return true;
	}
	return false;
}

/* Is a parameter kept silent by another that is sent? */
static bool
is_silenced(const ApigouvRoute *route, List *matches,
			const ApigouvParam *param)
{
	for (int i = 0; i < param->nunless_sent; i++)
	{
		if (is_filled(route, matches, param->unless_sent[i]))
			return true;
	}
	return false;
}

/* Does a condition on an input feed an earlier parameter already? */
static bool
is_matched(const ApigouvRoute *route, List *matches, const ApigouvQual *qual)
{
	ListCell   *lc;

	foreach(lc, matches)
	{
		if (((ApigouvMatch *) lfirst(lc))->qual == qual &&
			route->sources[qual->column].kind == APIGOUV_SOURCE_ECHO)
			return true;
	}
	return false;
}

/* Value of a constant condition, at planning. */
static bool
constant_of(const ApigouvQual *qual, const Const **constant)
{
	if (!IsA(qual->value, Const))
		return false;
	*constant = (const Const *) qual->value;
	return true;
}

/* What becomes of a match whose value is known at planning. */
typedef enum MatchFate
{
	FATE_SENT,
	FATE_LEFT_OUT,				/* not sent; checked by the executor */
	FATE_UNUSABLE				/* the route cannot serve */
} MatchFate;

/*
 * judge_match
 *		What becomes of a match, and how many requests it stands for.
 *
 * A value that is not known yet is supposed to be sendable.
 */
static MatchFate
judge_match(PlannerInfo *root, const ApigouvRoute *route,
			const ApigouvParam *param, const ApigouvQual *qual, double *n)
{
	const Const *constant;
	ApigouvBindValues bound;
	ApigouvBindResult result;
	bool		each = param->list == APIGOUV_LIST_EACH &&
	qual->op != APIGOUV_OP_CONTAINS;

	*n = 1;
	if (!constant_of(qual, &constant))
	{
		if (each && qual->is_array && IsA(qual->value, ArrayExpr))
			*n = list_length(((ArrayExpr *) qual->value)->elements);
		else if (each && qual->is_array)
			*n = Max(1, Min(apigouv_array_length(root, (Node *) qual->value),
							ASSUMED_ARRAY_VALUES));
		return FATE_SENT;
	}
	result = apigouv_binding_values(param, qual->op, constant->constvalue,
									constant->constisnull,
									constant->consttype, qual->is_array,
									&bound);
	if (result == APIGOUV_BIND_ELSEWHERE)
		return FATE_UNUSABLE;
	if (result == APIGOUV_BIND_TORN ||
		(result == APIGOUV_BIND_SKIP && !param->required &&
		 param->exactness == APIGOUV_OPAQUE && (param->ops & APIGOUV_OP_EQ)))
		return FATE_SENT;		/* executing it is the error */
	if (result == APIGOUV_BIND_SKIP)
		return param->required ? FATE_UNUSABLE : FATE_LEFT_OUT;
	if (bound.malformed > 0 && param->required && route->otherwise >= 0)
		return FATE_UNUSABLE;
	if (result == APIGOUV_BIND_NULL || bound.values == NIL)
		*n = 0;
	else if (each)
		*n = list_length(apigouv_binding_wires(&bound));
	return FATE_SENT;
}

/* Can a table be read without any condition? */
bool
apigouv_route_is_listable(const ApigouvTable *table)
{
	for (int i = 0; i < table->nroutes; i++)
	{
		if (!table->routes[i].keyed)
			return true;
	}
	return false;
}

/* Does a condition of the query shut a route? */
bool
apigouv_route_is_shut(const ApigouvRelInfo *info, const ApigouvRoute *route)
{
	for (int i = 0; i < route->nunless; i++)
	{
		if (bms_is_member(route->unless_columns[i], info->conditioned))
			return true;
	}
	return false;
}

/*
 * leaves_input_unfed
 *		Is there an equality on a column that only tells what was asked, and
 *		that this route would not be asked by?
 *
 * Its rows would hold another input than the condition wants, or none, and
 * the condition would drop them all.  handled: columns whose condition was
 * looked at, sent or not.
 */
static bool
leaves_input_unfed(const ApigouvRelInfo *info, const ApigouvRoute *route,
				   const Bitmapset *handled)
{
	ListCell   *lc;

	foreach(lc, info->quals)
	{
		const ApigouvQual *qual = lfirst(lc);

		if (qual->op == APIGOUV_OP_EQ &&
			route->sources[qual->column].kind == APIGOUV_SOURCE_ECHO &&
			!bms_is_member(qual->column, handled))
			return true;
	}
	return false;
}

/*
 * leaves_input_null
 *		Does a condition compare a column that only tells what was asked, and
 *		that nothing is asked by on this route?
 *
 * Such a condition ("annee >= 2025") can only drop every row, or lack those of
 * its part of an OR: the result would say that there is nothing.  The reply
 * may tell it (the perimeter that was looked at), and then tells that there
 * was none.  Columns that something else fills are left alone: a default, the
 * purpose's settings, a value sent under their name.
 */
static bool
leaves_input_null(const ApigouvRelInfo *info, const ApigouvRoute *route,
				  int column, const Bitmapset *handled)
{
	const ApigouvSource *source = &route->sources[column];
	const char *name = info->options->table->columns[column].name;

	if (bms_is_member(column, handled) ||
		!bms_is_member(column, info->compared))
		return false;
	if (source->kind == APIGOUV_SOURCE_ECHO
		? source->text != NULL || source->column != column
		: source->kind != APIGOUV_SOURCE_PATH ||
		!info->options->table->columns[column].is_opaque)
		return false;
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (param->column == column ? param->purpose != APIGOUV_PURPOSE_NONE
			: strcmp(param->name, name) == 0)
			return false;
	}
	return true;
}

/*
 * is_usable_under
 *		Do the conditions of the query allow a route at all?
 */
static bool
is_usable_under(const ApigouvRelInfo *info, const ApigouvRoute *route,
				List *matches, const Bitmapset *handled)
{
	const ApigouvTable *table = info->options->table;

	if (apigouv_route_is_shut(info, route) ||
		leaves_input_unfed(info, route, handled))
		return false;
	for (int column = 0; column < table->ncolumns; column++)
	{
		bool		fed = false;
		ListCell   *lc;

		if (leaves_input_null(info, route, column, handled))
			return false;
		if (!table->columns[column].is_opaque ||
			!bms_is_member(column, info->conditioned))
			continue;
		foreach(lc, matches)
		{
			const ApigouvMatch *match = lfirst(lc);

			fed |= route->params[match->param].column == column;
		}
		for (int i = 0; i < route->nparams && !fed; i++)
			fed |= route->params[i].column == column;
		if (!fed)
			return false;
	}
	return true;
}

/* Can only a condition feed this parameter, and must it be fed? */
bool
apigouv_route_needs_condition(const ApigouvParam *param)
{
	return param->required && param->column >= 0 &&
		param->purpose == APIGOUV_PURPOSE_NONE &&
		param->constant == NULL && !param->from_lookup;
}

/* Is there a condition that could feed a parameter, whatever its value? */
bool
apigouv_route_is_fed(const ApigouvRelInfo *info, const ApigouvParam *param)
{
	ListCell   *lc;

	foreach(lc, info->quals)
	{
		const ApigouvQual *qual = lfirst(lc);

		if (qual->column == param->column && op_fits(param, qual))
			return true;
	}
	return false;
}

/* Does a condition bear on an input that a route has no parameter for? */
bool
apigouv_route_lacks_input(const ApigouvRelInfo *info,
						  const ApigouvRoute *route)
{
	const ApigouvTable *table = info->options->table;
	int			column = -1;

	while ((column = bms_next_member(info->conditioned, column)) >= 0)
	{
		bool		taken = !table->columns[column].is_opaque &&
		route->sources[column].kind != APIGOUV_SOURCE_ECHO;

		for (int i = 0; i < route->nparams && !taken; i++)
			taken = route->params[i].column == column;
		if (!taken)
			return true;
	}
	return false;
}

/* Pages that a number of rows takes. */
static double
pages_of_rows(const ApigouvPaging *paging, double rows)
{
	double		size = paging->all_size > 0 ? paging->all_size
	: paging->default_size;

	if (paging->style == APIGOUV_PAGING_NONE || size <= 0)
		return 1;
	return Max(1, ceil(rows / size));
}

/*
 * selectivity_of
 *		Part of the table that the conditions sent leave.
 *
 * One that feeds several parameters counts once.  What comes from other
 * relations is taken for a constant.
 */
static Selectivity
selectivity_of(PlannerInfo *root, RelOptInfo *rel,
			   const ApigouvRouteMatch *result)
{
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, result->matches)
	{
		const ApigouvMatch *match = lfirst(lc);

		clauses = list_append_unique_ptr(clauses, match->qual->clause);
	}
	return clauselist_selectivity(root, clauses, rel->relid, JOIN_INNER, NULL);
}

/*
 * foresee
 *		Fill the estimates of a match: values is the number of requests that
 *		its conditions make, before paging.
 */
static void
foresee(PlannerInfo *root, RelOptInfo *rel, const ApigouvRelInfo *info,
		const ApigouvRoute *route, ApigouvRouteMatch *result, double values)
{
	if (route->keyed)
		result->rows = values * route->rows_per_request;
	else
		result->rows = Max(1, info->tuples *
						   selectivity_of(root, rel, result));
	result->requests = values == 0 ? 0
		: values * pages_of_rows(&route->paging,
								 result->rows / Max(values, 1));
	result->lookups = route->lookup.path != NULL ? values : 0;
}

/* Is every condition of the table sent by these matches, exactly? */
static bool
all_sent_exactly(RelOptInfo *rel, const ApigouvRoute *route, List *matches)
{
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, matches)
	{
		const ApigouvMatch *match = lfirst(lc);
		const ApigouvParam *param = &route->params[match->param];

		if (match->qual->outer == NULL &&
			param->exactness != APIGOUV_SUPERSET &&
			match->qual->op != APIGOUV_OP_GT &&
			match->qual->op != APIGOUV_OP_LT &&
			match->qual->op != APIGOUV_OP_CONTAINS)
			clauses = list_append_unique_ptr(clauses, match->qual->clause);
	}
	return list_length(clauses) == list_length(rel->baserestrictinfo) &&
		rel->joininfo == NIL;
}

/* Does a source give the value that was asked for a column? */
static bool
echoes(const ApigouvSource *source, int column)
{
	for (int i = 0; i < source->nsubs; i++)
	{
		if (echoes(&source->subs[i], column))
			return true;
	}
	return source->kind == APIGOUV_SOURCE_ECHO && source->column == column;
}

/*
 * can_be_left_out
 *		Would rows be the same, once checked here, without this filter?
 *
 * Not if a column tells what was asked by it.
 */
static bool
can_be_left_out(const ApigouvTable *table, const ApigouvRoute *route,
				const ApigouvParam *param)
{
	if (!is_optional_filter(param))
		return false;
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (echoes(&route->sources[i], param->column))
			return false;
	}
	return true;
}

/*
 * apigouv_route_match
 *		Feed a route from the conditions that outer allows.
 *
 * left_out: positions of filters that shall not be sent, out of the spread of
 * an earlier result.
 *
 * Result: in the current context, or NULL when the route is not usable.
 */
ApigouvRouteMatch *
apigouv_route_match(PlannerInfo *root, RelOptInfo *rel,
					const ApigouvRelInfo *info, int position, Relids outer,
					const Bitmapset *left_out)
{
	const ApigouvTable *table = info->options->table;
	const ApigouvRoute *route = &table->routes[position];
	ApigouvRouteMatch *result = palloc0(sizeof(ApigouvRouteMatch));
	Bitmapset  *handled = NULL;
	double		values = 1;

	result->route = position;
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];
		ApigouvQual *qual = find_qual(info, param, outer);
		ApigouvMatch *match;
		double		n;
		MatchFate	fate;

		if (qual != NULL &&
			(is_filled(route, result->matches, param->name) ||
			 is_silenced(route, result->matches, param)))
			continue;
		if (qual == NULL)
		{
			if (apigouv_route_needs_condition(param))
				return NULL;
			continue;
		}
		handled = bms_add_member(handled, param->column);
		fate = judge_match(root, route, param, qual, &n);
		if (fate == FATE_UNUSABLE)
			return NULL;
		if (fate == FATE_LEFT_OUT || bms_is_member(i, left_out))
			continue;
		if (n > 1 && can_be_left_out(table, route, param))
			result->spread = bms_add_member(result->spread, i);
		if (!is_matched(route, result->matches, qual))
			values *= n;
		match = palloc(sizeof(ApigouvMatch));
		match->param = i;
		match->qual = qual;
		result->matches = lappend(result->matches, match);
		result->outer = bms_add_members(result->outer, qual->outer);
	}
	if (!is_usable_under(info, route, result->matches, handled))
		return NULL;
	foresee(root, rel, info, route, result, values);
	result->tasks = values;
	result->exact = all_sent_exactly(rel, route, result->matches);
	return result;
}

/*
 * apigouv_route_constant
 *		The text of a column that is constant within a route.
 *
 * *found is false when the column is not constant there.
 */
const char *
apigouv_route_constant(const ApigouvRoute *route, int column, bool *found)
{
	for (int i = 0; i < route->constants.n; i++)
	{
		if (route->constants.items[i].column == column)
		{
			*found = true;
			return route->constants.items[i].text;
		}
	}
	*found = false;
	return NULL;
}

/* Is a column constant within some route of a table? */
bool
apigouv_route_has_constant(const ApigouvTable *table, int column)
{
	for (int i = 0; i < table->nroutes; i++)
	{
		bool		found;

		(void) apigouv_route_constant(&table->routes[i], column, &found);
		if (found)
			return true;
	}
	return false;
}

/* What the mutator below must know. */
typedef struct ReplaceContext
{
	const ApigouvRelInfo *info;
	const ApigouvRoute *route;
	Index		varno;
	bool		incomplete;		/* a column is not constant in this route */
} ReplaceContext;

/* Replace the columns that are constant within a route by their values. */
static Node *
replace_constants(Node *node, void *arg)
{
	ReplaceContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == (int) context->varno)
	{
		Var		   *var = (Var *) node;
		const char *constant = NULL;
		bool		found = false;
		Oid			input;
		Oid			param;
		Datum		value = (Datum) 0;

		if (var->varattno > 0 && var->varattno <= context->info->map.natts &&
			context->info->map.column_of[var->varattno - 1] >= 0)
			constant = apigouv_route_constant(context->route,
											  context->info->map.column_of[var->varattno - 1],
											  &found);
		if (!found)
		{
			context->incomplete = true;
			return node;
		}
		getTypeInputInfo(var->vartype, &input, &param);
		if (constant != NULL)
			value = OidInputFunctionCall(input,
										 pg_any_to_server(pstrdup(constant),
														  strlen(constant),
														  PG_UTF8),
										 param, var->vartypmod);
		return (Node *) makeConst(var->vartype, var->vartypmod, var->varcollid,
								  get_typlen(var->vartype), value,
								  constant == NULL,
								  get_typbyval(var->vartype));
	}
	return expression_tree_mutator(node, replace_constants, context);
}

/*
 * apigouv_route_excluded
 *		Do the table's own conditions exclude all rows of a route?
 *
 * They do when one of them, with the route's constant columns put in, is
 * false whatever the API answers.
 */
bool
apigouv_route_excluded(PlannerInfo *root, RelOptInfo *rel,
					   const ApigouvRelInfo *info, int position)
{
	const ApigouvRoute *route = &info->options->table->routes[position];
	ListCell   *lc;

	if (route->constants.n == 0)
		return false;
	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		ReplaceContext context = {info, route, rel->relid, false};
		Node	   *node;

		if (contain_volatile_functions((Node *) rinfo->clause))
			continue;
		node = replace_constants((Node *) rinfo->clause, &context);
		if (context.incomplete)
			continue;
		node = eval_const_expressions(root, node);
		if (IsA(node, Const) &&
			(((Const *) node)->constisnull ||
			 !DatumGetBool(((Const *) node)->constvalue)))
			return true;
	}
	return false;
}
