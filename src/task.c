/*-------------------------------------------------------------------------
 *
 * task.c
 *		Values of a scan's conditions to tasks: one per set of values that
 *		makes a request.
 *
 * Each parameter that takes one value per request multiplies the tasks by
 * its values; one that takes a list puts them all into each.  A task keeps,
 * for each column, the text that was asked, since a reply may not repeat it.
 *
 * Different tasks can make the same request (three establishments of one
 * company and a question about the company): they share its reply through
 * the transaction's cache.
 *
 * The purpose (recipient, context, object) comes from a condition on its key
 * column, else from the session's settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_parameter_acl.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "binding.h"
#include "messages.h"
#include "route.h"
#include "scan_state.h"
#include "value.h"

/* Tasks of one scan, at most. */
#define MAX_TASKS 200000

/* Values of the scan's expressions. */
typedef struct Evaluated
{
	Datum	   *values;
	bool	   *isnull;
	Oid		   *types;
} Evaluated;

/* What became of the attempt to make a route's tasks. */
typedef enum Attempt
{
	ATTEMPT_OK,
	ATTEMPT_ELSEWHERE			/* another route must serve */
} Attempt;

/* Evaluate all expressions, in the current context. */
static void
evaluate_all(ApigouvScanState *state, ExprContext *econtext,
			 Evaluated *evaluated)
{
	int			n = Max(list_length(state->expr_states), 1);
	int			i = 0;
	ListCell   *lc;
	ListCell   *lc2;

	evaluated->values = palloc(sizeof(Datum) * n);
	evaluated->isnull = palloc(sizeof(bool) * n);
	evaluated->types = palloc(sizeof(Oid) * n);
	forboth(lc, state->expr_states, lc2, state->exprs)
	{
		evaluated->values[i] = ExecEvalExpr((ExprState *) lfirst(lc),
											econtext, &evaluated->isnull[i]);
		evaluated->types[i] = exprType(lfirst(lc2));
		i++;
	}
}

/*
 * apigouv_task_key_name
 *		Name that the foreign table gives to a column of the definition; its
 *		own when the table lacks it.
 */
const char *
apigouv_task_key_name(const ApigouvScanState *state, const char *column)
{
	for (int i = 0; i < state->map.natts; i++)
	{
		int			position = state->map.column_of[i];

		if (position >= 0 &&
			strcmp(state->options->table->columns[position].name, column) == 0)
			return NameStr(TupleDescAttr(RelationGetDescr(state->rel),
										 i)->attname);
	}
	return column;
}

/*
 * raise_missing_key
 *		The error of a table that cannot be read without a key.
 */
static void
raise_missing_key(const ApigouvScanState *state, const char *column)
{
	const char *table = RelationGetRelationName(state->rel);

	if (strcmp(column, APIGOUV_NO_COLUMN) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("cannot scan foreign table \"%s\": the API does not take these conditions together",
						table),
				 errhint("Drop the condition on one of the key columns, or see the table's conditions in the reference.")));
	column = apigouv_task_key_name(state, column);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("cannot scan foreign table \"%s\" without a value for key column \"%s\"",
					table, column),
			 errhint("Add a condition such as %s = '...', or join on \"%s\".",
					 column, column)));
}

/* The key column to name when a route's key values are not right. */
static const char *
key_column(const ApigouvScanState *state, const ApigouvScanRoute *sroute)
{
	const ApigouvColumn *columns = state->options->table->columns;
	const ApigouvRoute *route = sroute->route;
	const char *any = columns[0].name;

	for (int i = 0; i < sroute->nbindings; i++)
	{
		const ApigouvParam *param =
		&route->params[sroute->bindings[i].target];

		if (!param->required || param->purpose != APIGOUV_PURPOSE_NONE)
			continue;
		any = columns[param->column].name;
		if (param->nvalues > 0)
			break;				/* the one that chooses among routes */
	}
	return any;
}

/*
 * raise_no_route
 *		The error of key values that no route of the table takes.
 */
static void
raise_no_route(const ApigouvScanState *state, const ApigouvScanRoute *sroute)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("cannot scan foreign table \"%s\": the API takes no such value of key column \"%s\"",
					RelationGetRelationName(state->rel),
					key_column(state, sroute)),
			 errhint("See the table's conditions in the reference.")));
}

/* Name of the setting that gives a part of the purpose. */
static const char *
setting_name(ApigouvPurpose purpose)
{
	switch (purpose)
	{
		case APIGOUV_PURPOSE_RECIPIENT:
			return "apigouv_fdw.recipient";
		case APIGOUV_PURPOSE_CONTEXT:
			return "apigouv_fdw.context";
		default:
			return "apigouv_fdw.object";
	}
}

/* Value of a part of the purpose from the settings; NULL if empty. */
static const char *
setting_value(const ApigouvScanState *state, ApigouvPurpose purpose)
{
	const char *value = NULL;

	switch (purpose)
	{
		case APIGOUV_PURPOSE_RECIPIENT:
			value = apigouv_recipient;
			if (value == NULL || *value == '\0')
				value = state->options->recipient;
			break;
		case APIGOUV_PURPOSE_CONTEXT:
			value = apigouv_context;
			break;
		case APIGOUV_PURPOSE_OBJECT:
			value = apigouv_object;
			break;
		case APIGOUV_PURPOSE_NONE:
			break;
	}
	if (value == NULL || strspn(value, " \t\r\n") == strlen(value))
		return NULL;
	return value;
}

/*
 * purpose_text
 *		Text in UTF-8 of a part of the purpose that no condition gives.
 *
 * Raises an error, before any request, when it is required and not set.
 */
static char *
purpose_text(const ApigouvScanState *state, const ApigouvParam *param)
{
	const char *name = setting_name(param->purpose);
	const char *value = setting_value(state, param->purpose);

	if (value != NULL)
		value = pg_server_to_any(pstrdup(value), strlen(value), PG_UTF8);
	if (value != NULL && apigouv_binding_is_blank(value))
		value = NULL;
	if (value == NULL && !param->required)
		return NULL;
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("foreign server \"%s\" requires the purpose of each request: setting \"%s\" is empty",
						state->options->server_name, name),
				 errdetail("No request was made."),
				 param->purpose == APIGOUV_PURPOSE_RECIPIENT
				 ? errhint("Give server option \"recipient\", the SIRET of the administration that may use the data.")
				 : errhint("SET %s = '...', or add a condition on column \"%s\".",
						   name,
						   state->options->table->columns[param->column].name)));
	if (param->check == APIGOUV_CHECK_SIRET && !apigouv_check_siret(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" is not a SIRET", name),
				 errdetail("No request was made.")));
	return pstrdup(value);
}

/*
 * check_may_set_recipient
 *		A condition gives the recipient: may this role choose that one?
 *
 * Naming the one in force is no choice.
 */
static void
check_may_set_recipient(const ApigouvScanState *state,
						const ApigouvParam *param, List *values)
{
	const char *name = setting_name(APIGOUV_PURPOSE_RECIPIENT);
	const char *in_force = setting_value(state, APIGOUV_PURPOSE_RECIPIENT);
	bool		chosen = false;
	ListCell   *lc;

	foreach(lc, values)
		chosen |= in_force == NULL ||
		strcmp(((ApigouvBound *) lfirst(lc))->wire, in_force) != 0;
	if (!chosen ||
		pg_parameter_aclcheck(name, GetUserId(), ACL_SET) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to choose the recipient by column \"%s\"",
					state->options->table->columns[param->column].name),
			 errhint("GRANT SET ON PARAMETER %s TO the role.", name)));
}

/* Text of a constant parameter. */
static char *
constant_text(const ApigouvParam *param)
{
	ApigouvValue value;
	const char *error;

	if (!apigouv_value_parse(param->constant, strlen(param->constant), &value,
							 &error))
		elog(ERROR, "constant of parameter \"%s\" is not JSON: %s",
			 param->name, error);
	return apigouv_value_cstring(&value);
}

/*
 * is_silenced
 *		Is a parameter kept silent by a column that the query reads, or that
 *		one of those is made from?
 */
static bool
is_silenced(const ApigouvScanState *state, const ApigouvRoute *route,
			const ApigouvParam *param)
{
	for (int i = 0; i < param->nunless_read; i++)
	{
		ListCell   *lc;

		foreach(lc, state->columns)
		{
			if (lfirst_int(lc) == param->unless_read[i] ||
				apigouv_apidef_depends(state->options->table, route,
									   lfirst_int(lc), param->unless_read[i]))
				return true;
		}
	}
	return false;
}

/* A task of a route with the values that no condition gives. */
static ApigouvTask *
blank_task(ApigouvScanState *state, ApigouvScanRoute *sroute)
{
	const ApigouvRoute *route = sroute->route;
	ApigouvTask *task = palloc0(sizeof(ApigouvTask));

	task->sroute = sroute;
	task->total = -1;
	task->wires = palloc0(sizeof(List *) * Max(route->nparams, 1));
	task->echo = palloc0(sizeof(char *) * state->options->table->ncolumns);
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (param->constant != NULL && !is_silenced(state, route, param))
			task->wires[i] = list_make1(constant_text(param));
	}
	return task;
}

/* A copy of a task whose values can be changed alone. */
static ApigouvTask *
copy_task(const ApigouvScanState *state, const ApigouvTask *task)
{
	ApigouvTask *copy = palloc(sizeof(ApigouvTask));
	size_t		wires = sizeof(List *) * Max(task->sroute->route->nparams, 1);
	size_t		echo = sizeof(char *) * state->options->table->ncolumns;

	*copy = *task;
	copy->wires = palloc(wires);
	memcpy(copy->wires, task->wires, wires);
	copy->echo = palloc(echo);
	memcpy(copy->echo, task->echo, echo);
	return copy;
}

/* Does the reply's row repeat this operator's value? */
static bool
is_echoed(uint32 op)
{
	return op == APIGOUV_OP_EQ || op == APIGOUV_OP_TRUE;
}

/* Put one value of a condition into a task. */
static void
put_value(ApigouvTask *task, int param, int column, uint32 op,
		  const ApigouvBound *bound)
{
	task->wires[param] = list_make1(bound->wire);
	if (is_echoed(op))
		task->echo[column] = bound->asked;
}

/* Put all values of a condition into a task. */
static void
put_values(ApigouvTask *task, int param, int column, uint32 op,
		   const ApigouvBindValues *values)
{
	const ApigouvBound *first = linitial(values->values);
	const ApigouvBound *last = llast(values->values);

	task->wires[param] = apigouv_binding_wires(values);
	/* values come in the order of what was asked */
	if (is_echoed(op) && strcmp(first->asked, last->asked) == 0)
		task->echo[column] = first->asked;
}

static int
compare_wires(const ListCell *a, const ListCell *b)
{
	return strcmp(((ApigouvBound *) lfirst(a))->wire,
				  ((ApigouvBound *) lfirst(b))->wire);
}

/* One value for each text to send, where what was asked is not told. */
static List *
distinct_wires(List *values)
{
	List	   *sorted = list_copy(values);
	List	   *result = NIL;
	ListCell   *lc;

	list_sort(sorted, compare_wires);
	foreach(lc, sorted)
	{
		ApigouvBound *bound = lfirst(lc);

		if (result == NIL ||
			strcmp(((ApigouvBound *) llast(result))->wire, bound->wire) != 0)
			result = lappend(result, bound);
	}
	return result;
}

/* Rows may come twice: they must be told apart. */
static void
expect_repeats(ApigouvScanState *state, const ApigouvRoute *route)
{
	if (route->paging.unique_column < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("invalid API definition of table \"%s\": route \"%s\" can repeat rows and has no unique column",
						state->options->table->name, route->name)));
	state->may_repeat = true;
}

/*
 * asked_already
 *		The value of this column that was put into a task already, or NULL.
 *
 * Several parameters can take one column, such as the year, the month and the
 * day of a date: all must be of the same value.  Where the column is not an
 * input, other combinations only ask for too much.
 */
static const char *
asked_already(const ApigouvRoute *route, const ApigouvTask *task, int column,
			  uint32 op)
{
	return is_echoed(op) &&
		route->sources[column].kind == APIGOUV_SOURCE_ECHO
		? task->echo[column] : NULL;
}

/* Where, among values in the order of what was asked, a text's begin. */
static int
first_asked(const List *values, const char *asked)
{
	int			low = 0;
	int			high = list_length(values);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const ApigouvBound *bound = list_nth(values, middle);

		if (strcmp(bound->asked, asked) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
raise_too_many_tasks(const ApigouvScanState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("query on foreign table \"%s\" would take more than %d requests",
					RelationGetRelationName(state->rel), MAX_TASKS),
			 errhint("Add conditions to the query.")));
}

/*
 * spread
 *		Put the values of a condition into tasks, and multiply the tasks when
 *		the parameter takes one value per request.
 */
static List *
spread(ApigouvScanState *state, List *tasks, const ApigouvRoute *route,
	   int position, uint32 op, const ApigouvBindValues *bound)
{
	const ApigouvParam *param = &route->params[position];
	List	   *values = bound->values;
	List	   *result = NIL;
	ListCell   *lc;

	if (param->list != APIGOUV_LIST_EACH)
	{
		foreach(lc, tasks)
			put_values(lfirst(lc), position, param->column, op, bound);
		return tasks;
	}
	if (op == APIGOUV_OP_CONTAINS)
		values = list_make1(linitial(values));	/* a row has each of them */
	if (route->sources[param->column].kind != APIGOUV_SOURCE_ECHO)
		values = distinct_wires(values);
	/* a row can have several of them, or come for another */
	if (list_length(values) > 1 &&
		(!is_echoed(op) || param->exactness == APIGOUV_SUPERSET))
		expect_repeats(state, route);
	foreach(lc, tasks)
	{
		const ApigouvTask *blank = lfirst(lc);
		const char *asked = asked_already(route, blank, param->column, op);

		for (int i = asked != NULL ? first_asked(values, asked) : 0;
			 i < list_length(values); i++)
		{
			const ApigouvBound *value = list_nth(values, i);
			ApigouvTask *task;

			if (asked != NULL && strcmp(asked, value->asked) != 0)
				break;
			if (list_length(result) == MAX_TASKS)
				raise_too_many_tasks(state);
			task = copy_task(state, blank);
			put_value(task, position, param->column, op, value);
			result = lappend(result, task);
		}
	}
	return result;
}

/* Raise the error for an input that cannot be sent. */
static void
raise_unsendable(const ApigouvScanState *state, const ApigouvParam *param)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value of key column \"%s\" of foreign table \"%s\" cannot be sent to the API",
					state->options->table->columns[param->column].name,
					RelationGetRelationName(state->rel))));
}

/*
 * newly_malformed
 *		How many values a binding drops that none before it dropped: several
 *		parameters can take one value.
 */
static int
newly_malformed(const ApigouvScanRoute *sroute, ApigouvScanBinding *binding,
				int malformed)
{
	int			before = 0;

	for (const ApigouvScanBinding *other = sroute->bindings;
		 other < binding; other++)
	{
		if (other->expr == binding->expr)
			before = Max(before, other->malformed);
	}
	binding->malformed = Max(malformed, before);
	return binding->malformed - before;
}

/*
 * bind_one
 *		Put one condition of a route into its tasks.
 *
 * *tasks becomes NIL when the condition cannot be true.
 */
static Attempt
bind_one(ApigouvScanState *state, ApigouvScanRoute *sroute,
		 ApigouvScanBinding *binding, const Evaluated *evaluated,
		 List **tasks, int *malformed)
{
	const ApigouvParam *param = &sroute->route->params[binding->target];
	ApigouvBindValues values;

	switch (apigouv_binding_values(param, binding->op,
								   evaluated->values[binding->expr],
								   evaluated->isnull[binding->expr],
								   evaluated->types[binding->expr],
								   binding->is_array, &values))
	{
		case APIGOUV_BIND_NULL:
			*tasks = NIL;
			return ATTEMPT_OK;
		case APIGOUV_BIND_ELSEWHERE:
			return ATTEMPT_ELSEWHERE;
		case APIGOUV_BIND_SKIP:
			if (param->required)
				return ATTEMPT_ELSEWHERE;
			if (param->exactness == APIGOUV_OPAQUE &&
				(param->ops & APIGOUV_OP_EQ))
				raise_unsendable(state, param);
			return ATTEMPT_OK;
		case APIGOUV_BIND_TORN:
			raise_unsendable(state, param);
			break;
		case APIGOUV_BIND_OK:
			break;
	}
	if (param->purpose == APIGOUV_PURPOSE_RECIPIENT)
		check_may_set_recipient(state, param, values.values);
	if (values.malformed > 0 && param->required &&
		sroute->route->otherwise >= 0)
		return ATTEMPT_ELSEWHERE;
	*malformed += newly_malformed(sroute, binding, values.malformed);
	*tasks = values.values == NIL ? NIL
		: spread(state, *tasks, sroute->route, binding->target, binding->op,
				 &values);
	return ATTEMPT_OK;
}

/* Put the purpose into tasks where no condition gave it. */
static void
put_purpose(ApigouvScanState *state, const ApigouvRoute *route, List *tasks)
{
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];
		ListCell   *lc;

		if (param->purpose == APIGOUV_PURPOSE_NONE)
			continue;
		foreach(lc, tasks)
		{
			ApigouvTask *task = lfirst(lc);
			char	   *text;

			if (task->wires[i] != NIL)
				break;			/* a condition: the same for all tasks */
			text = purpose_text(state, param);
			if (text == NULL)
				break;
			task->wires[i] = list_make1(text);
			if (param->column >= 0)
				task->echo[param->column] = text;
		}
	}
}

/*
 * apigouv_task_echo_names
 *		Echo, for columns that were not asked, what was sent under their name.
 *
 * A company asked by an establishment's SIRET thus has its SIREN, and an
 * establishment found from a company its SIRET.
 */
void
apigouv_task_echo_names(ApigouvScanState *state, ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;
	const ApigouvTable *table = state->options->table;

	for (int i = 0; i < route->nparams; i++)
	{
		int			column;

		if (task->wires[i] == NIL || list_length(task->wires[i]) != 1 ||
			route->params[i].purpose != APIGOUV_PURPOSE_NONE)
			continue;
		column = apigouv_apidef_column(table, route->params[i].name);
		if (column >= 0 && task->echo[column] == NULL)
			task->echo[column] = linitial(task->wires[i]);
	}
}

/*
 * attempt_route
 *		Make the tasks of a route, unless another must serve.
 */
static Attempt
attempt_route(ApigouvScanState *state, ApigouvScanRoute *sroute,
			  const Evaluated *evaluated, List **tasks, int *malformed)
{
	ListCell   *lc;

	*tasks = list_make1(blank_task(state, sroute));
	for (int i = 0; i < sroute->nbindings && *tasks != NIL; i++)
	{
		if (bind_one(state, sroute, &sroute->bindings[i], evaluated, tasks,
					 malformed) == ATTEMPT_ELSEWHERE)
			return ATTEMPT_ELSEWHERE;
	}
	/* a token that lacks is told before the first request of any route */
	if (*tasks != NIL && sroute->route->auth == APIGOUV_ROUTE_AUTH_SESSION)
		(void) apigouv_ask_secrets(state, sroute->route);
	put_purpose(state, sroute->route, *tasks);
	foreach(lc, *tasks)
		apigouv_task_echo_names(state, lfirst(lc));
	return ATTEMPT_OK;
}

/* Do the conditions on constant columns allow a route of a union? */
static bool
constants_allow(const ApigouvScanState *state, const ApigouvRoute *route,
				const Evaluated *evaluated)
{
	for (int i = 0; i < state->nconstants; i++)
	{
		const ApigouvScanBinding *binding = &state->constants[i];
		bool		found;
		bool		sendable;
		const char *constant = apigouv_route_constant(route, binding->target,
													  &found);
		List	   *texts;
		ListCell   *lc;
		bool		allowed = false;

		if (!found || constant == NULL)
			continue;
		texts = apigouv_binding_texts(evaluated->values[binding->expr],
									  evaluated->isnull[binding->expr],
									  evaluated->types[binding->expr],
									  binding->is_array, &sendable);
		foreach(lc, texts)
			allowed |= lfirst(lc) != NULL &&
			strcmp(lfirst(lc), constant) == 0;
		if (!allowed)
			return false;
	}
	return true;
}

/* Tasks of a union: those of each route that the conditions allow. */
static List *
make_union(ApigouvScanState *state, const Evaluated *evaluated)
{
	List	   *all = NIL;
	int			most_malformed = 0;

	for (int i = 0; i < state->nroutes; i++)
	{
		List	   *tasks;
		int			malformed = 0;

		if (!constants_allow(state, state->routes[i].route, evaluated))
			continue;
		if (attempt_route(state, &state->routes[i], evaluated, &tasks,
						  &malformed) == ATTEMPT_ELSEWHERE)
			raise_no_route(state, &state->routes[i]);
		all = list_concat(all, tasks);
		most_malformed = Max(most_malformed, malformed);
	}
	state->counts.malformed += most_malformed;
	return all;
}

/* Tasks of the first route, in the plan's order, that can serve. */
static List *
make_alternative(ApigouvScanState *state, const Evaluated *evaluated)
{
	List	   *tasks;

	for (int i = 0; i < state->nroutes; i++)
	{
		int			malformed = 0;

		if (attempt_route(state, &state->routes[i], evaluated, &tasks,
						  &malformed) == ATTEMPT_OK)
		{
			state->counts.malformed += malformed;
			return tasks;
		}
	}
	raise_no_route(state, &state->routes[0]);
	return NIL;					/* not reached */
}

/*
 * apigouv_task_make
 *		Make the tasks of a scan from the values of its conditions.
 *
 * They live in batch_cxt.  Raises ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED
 * when a key or the purpose is missing.
 */
void
apigouv_task_make(ApigouvScanState *state, ExprContext *econtext)
{
	MemoryContext old = MemoryContextSwitchTo(state->batch_cxt);
	Evaluated	evaluated;
	List	   *tasks;
	ListCell   *lc;

	if (*state->missing != '\0')
		raise_missing_key(state, state->missing);
	state->may_repeat = false;
	evaluate_all(state, econtext, &evaluated);
	tasks = state->options->table->is_union
		? make_union(state, &evaluated)
		: make_alternative(state, &evaluated);

	state->ntasks = 0;
	state->tasks = palloc(sizeof(ApigouvTask) * Max(list_length(tasks), 1));
	foreach(lc, tasks)
		state->tasks[state->ntasks++] = *(ApigouvTask *) lfirst(lc);
	state->current = 0;
	state->seen = NULL;
	state->window = state->may_stop_early ? 1
		: state->options->max_concurrency * 2;
	MemoryContextSwitchTo(old);
}
