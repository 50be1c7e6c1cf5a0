/*-------------------------------------------------------------------------
 *
 * apidef_request.c
 *		Parts of a definition that API files and table files share:
 *		parameters, steps and reply rules.
 *
 * Positions of columns are those of the table that is being read.  A rule of
 * an API has no table yet, so rules keep the names of the columns they set
 * until apidef_read.c gives them a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"

#include "apidef_read.h"

#define ARRAY_OPS (APIGOUV_OP_OVERLAPS | APIGOUV_OP_CONTAINS | APIGOUV_OP_ANY)

/* words of the definition format, in the order of their enums */

static const char *const param_members[] = {
	"name", "in", "column", "setting", "constant", "lookup", "required",
	"ops", "list", "exactness", "cite", "steps", "check", "pattern",
	"slashes", "min", "max", "min_items", "max_items",
	"values", "closed", "type", "unless_sent", "unless_read", NULL
};
static const char *const places[] = {
	"path", "query", "body", "header", NULL
};
static const char *const purposes[] = {
	"", "recipient", "context", "object", NULL
};
static const char *const list_modes[] = {
	"each", "repeat", "comma", "json", NULL
};
static const char *const exactnesses[] = {
	"exact", "superset", "derived", "opaque", NULL
};
static const char *const checks[] = {
	"", "siret", "siren", NULL
};
static const char *const body_types[] = {
	"string", "number", "boolean", NULL
};

/* in the order of the APIGOUV_OP_ bits */
static const char *const operators[] = {
	"=", ">=", ">", "<=", "<", "&&", "@>", "any", "prefix", "true", NULL
};
static const char *const step_words[] = {
	"left", "departement", "map", "trim", "periode_debut", "periode_fin",
	"luhn", "matches", "siret", "pad", "year", "month", "day", NULL
};
static const char *const rule_members[] = {
	"status", "code", "not_code", "message_has", "empty", "is", "after_ms",
	"times", "hint", "set", NULL
};
static const char *const verdicts[] = {
	"rows", "no_row", "row", "retry", "unavailable", "refused", "token",
	"quota", "error", "dead_link", NULL
};

/* ---- columns ---- */

/* Position of a column that must exist. */
int
apigouv_apidef_need_column(const ApigouvField *at, const ApigouvTable *table,
						   const char *name)
{
	int			column = apigouv_apidef_column(table, name);

	if (column < 0)
		apigouv_field_error(at, NULL, "there is no column \"%s\"", name);
	return column;
}

/* The same, its name being the field's value. */
int
apigouv_apidef_read_column(const ApigouvField *field,
						   const ApigouvTable *table)
{
	char	   *name = apigouv_field_value(field, APIGOUV_TEXT_DATA);

	return apigouv_apidef_need_column(field, table, name);
}

/* Positions of the columns of a list of names. */
int *
apigouv_apidef_read_columns(const ApigouvField *object, const char *name,
							const ApigouvTable *table, int *count)
{
	ApigouvField list = apigouv_field_get(object, name);
	int		   *columns;
	int			i;

	*count = apigouv_field_length(&list);
	if (*count == 0)
		return NULL;
	columns = palloc(*count * sizeof(int));
	for (i = 0; i < *count; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);

		columns[i] = apigouv_apidef_read_column(&element, table);
	}
	return columns;
}

/* ---- steps ---- */

/* Raise an error unless a regular expression compiles. */
static void
check_pattern(const ApigouvField *at, const char *pattern)
{
	int			len = strlen(pattern);
	pg_wchar   *wide = palloc((len + 1) * sizeof(pg_wchar));
	char		problem[100];
	regex_t		compiled;
	int			result;

	len = pg_mb2wchar_with_len(pattern, wide, len);
	result = pg_regcomp(&compiled, wide, len, REG_ADVANCED,
						C_COLLATION_OID);
	if (result == REG_OKAY)
		pg_regfree(&compiled);
	else
	{
		CHECK_FOR_INTERRUPTS(); /* a cancel ends it as an error, too */
		pg_regerror(result, &compiled, problem, sizeof(problem));
		apigouv_field_error(at, NULL, "invalid regular expression: %s",
							problem);
	}
	pfree(wide);
}

/* The number after "left" or "pad". */
static int
read_length(const ApigouvField *at, const char *text, long most)
{
	char	   *end;
	long		length = strtol(text, &end, 10);

	if (end == text || *end != '\0' || length < 1 || length > most)
		apigouv_field_error(at, NULL, "invalid length \"%s\"", text);
	return (int) length;
}

/* The map of "LIST FROM TO", which is cut in place. */
static const ApigouvMap *
read_map(const ApigouvField *at, char *text)
{
	const ApigouvMap *map;
	const char *missing;
	char	   *save = NULL;
	char	   *list = strtok_r(text, " ", &save);
	char	   *from = strtok_r(NULL, " ", &save);
	char	   *to = strtok_r(NULL, " ", &save);

	if (to == NULL || strtok_r(NULL, " ", &save) != NULL)
		apigouv_field_error(at, NULL, "must be \"map LIST FROM TO\"");
	map = apigouv_steps_map(list, from, to, &missing);
	if (map == NULL)
		apigouv_field_error(at, NULL, "there is no \"%s\" in the shared lists",
							missing);
	return map;
}

/* A step is a word and, after one blank, what that word takes. */
static void
read_step(const ApigouvField *at, ApigouvStep *step)
{
	char	   *word = apigouv_field_value(at, APIGOUV_TEXT_PATTERN);
	char	   *rest = strchr(word, ' ');
	bool		takes_rest;
	int			kind = 0;

	if (rest != NULL)
		*rest++ = '\0';
	while (step_words[kind] != NULL && strcmp(step_words[kind], word) != 0)
		kind++;
	if (step_words[kind] == NULL)
		apigouv_field_error(at, apigouv_field_names(step_words),
							"unrecognized step \"%s\"", word);

	step->kind = (ApigouvStepKind) kind;
	takes_rest = step->kind == APIGOUV_STEP_LEFT ||
		step->kind == APIGOUV_STEP_PAD || step->kind == APIGOUV_STEP_MAP ||
		step->kind == APIGOUV_STEP_MATCHES;
	if (takes_rest != (rest != NULL) || (rest != NULL && *rest == '\0'))
	{
		if (takes_rest)
			apigouv_field_error(at, NULL, "step \"%s\" needs a value", word);
		apigouv_field_error(at, NULL, "step \"%s\" takes no value", word);
	}

	if (step->kind == APIGOUV_STEP_LEFT)
		step->length = read_length(at, rest, 1000000);
	else if (step->kind == APIGOUV_STEP_PAD)
		step->length = read_length(at, rest, 100);
	else if (step->kind == APIGOUV_STEP_MAP)
		step->map = read_map(at, rest);
	else if (step->kind == APIGOUV_STEP_MATCHES)
	{
		step->pattern = rest;
		check_pattern(at, rest);
	}
}

ApigouvStep *
apigouv_apidef_read_steps(const ApigouvField *object, const char *name,
						  int *count)
{
	ApigouvField list = apigouv_field_get(object, name);
	ApigouvStep *steps;
	int			i;

	*count = apigouv_field_length(&list);
	if (*count == 0)
		return NULL;
	steps = palloc0(*count * sizeof(ApigouvStep));
	for (i = 0; i < *count; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);

		read_step(&element, &steps[i]);
	}
	return steps;
}

/* ---- parameters ---- */

/*
 * read_feed
 *		Where a parameter's value comes from: exactly one of column, setting,
 *		constant, lookup, except that a setting may have a column.
 */
static void
read_feed(const ApigouvField *at, const ApigouvTable *table,
		  ApigouvParam *param)
{
	ApigouvField column = apigouv_field_get(at, "column");
	ApigouvField constant = apigouv_field_get(at, "constant");
	int			nfeeds;

	param->column = -1;
	if (column.json != NULL)
		param->column = apigouv_apidef_read_column(&column, table);
	param->purpose = (ApigouvPurpose)
		apigouv_field_choice(at, "setting", purposes, APIGOUV_PURPOSE_NONE);
	if (constant.json != NULL)
		param->constant = apigouv_json_dump(constant.json);
	param->from_lookup = apigouv_field_boolean(at, "lookup", false);

	nfeeds = (param->column >= 0 || param->purpose != APIGOUV_PURPOSE_NONE) +
		(param->constant != NULL) + param->from_lookup;
	if (nfeeds != 1)
		apigouv_field_error(at, NULL,
							"needs one of \"column\", \"setting\", \"constant\", \"lookup\"");
}

/* Bytes of a type of integers, 0 for another type. */
static int
integer_bytes(const char *type)
{
	static const char *const names[] = {"smallint", "integer", "bigint"};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(type, names[i]) == 0)
			return 2 << i;
	}
	return 0;
}

/*
 * read_operators
 *		The operators that a parameter serves, which must fit its column.
 */
static void
read_operators(const ApigouvField *at, const ApigouvTable *table,
			   ApigouvParam *param)
{
	ApigouvField list = apigouv_field_get(at, "ops");
	const char *type;
	int			n = apigouv_field_length(&list);
	int			i;

	if (param->column < 0)
	{
		if (list.json != NULL)
			apigouv_field_error(&list, NULL, "needs a \"column\"");
		return;
	}
	for (i = 0; i < n; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);
		char	   *word = apigouv_field_value(&element, APIGOUV_TEXT_DATA);
		int			bit = 0;

		while (operators[bit] != NULL && strcmp(operators[bit], word) != 0)
			bit++;
		if (operators[bit] == NULL)
			apigouv_field_error(&element, apigouv_field_names(operators),
								"unrecognized operator \"%s\"", word);
		param->ops |= (uint32) 1 << bit;
	}
	if (list.json == NULL)
		param->ops = APIGOUV_OP_EQ;
	else if (n == 0)
		apigouv_field_error(&list, NULL, "must not be empty");

	type = table->columns[param->column].type;
	param->is_sequence = strcmp(type, "text[]") == 0 &&
		param->ops == APIGOUV_OP_EQ;
	param->column_bytes = integer_bytes(type);
	if (!param->is_sequence && strchr(type, '[') != NULL ?
		(param->ops & ~ARRAY_OPS) != 0 :
		!param->is_sequence &&
		((param->ops & ARRAY_OPS) != 0 ||
		 ((param->ops & APIGOUV_OP_TRUE) && strcmp(type, "boolean") != 0) ||
		 ((param->ops & APIGOUV_OP_PREFIX) && strcmp(type, "text") != 0)))
		apigouv_field_error(list.json ? &list : at, NULL,
							"operators do not fit type %s of column \"%s\"",
							type, table->columns[param->column].name);
}

/* How values are written on the wire. */
static void
read_wire_form(const ApigouvField *at, const ApigouvTable *table,
			   ApigouvParam *param)
{
	ApigouvField type = apigouv_field_get(at, "type");

	param->list = (ApigouvListMode)
		apigouv_field_choice(at, "list", list_modes, APIGOUV_LIST_EACH);
	if ((param->list == APIGOUV_LIST_JSON &&
		 param->place != APIGOUV_IN_BODY) ||
		(param->list == APIGOUV_LIST_REPEAT &&
		 param->place != APIGOUV_IN_QUERY))
		apigouv_field_error(at, NULL,
							"list form \"%s\" does not fit a parameter in \"%s\"",
							list_modes[param->list], places[param->place]);
	if (param->is_sequence && param->list == APIGOUV_LIST_EACH)
		apigouv_field_error(at, NULL,
							"\"=\" on column \"%s\" needs a list form of all elements",
							table->columns[param->column].name);
	param->body_type = (ApigouvBodyType)
		apigouv_field_choice(at, "type", body_types, APIGOUV_BODY_STRING);
	if (type.json != NULL && param->place != APIGOUV_IN_BODY)
		apigouv_field_error(&type, NULL, "needs a parameter in \"body\"");
}

/* A path's value of several segments: its pattern bounds what they may be. */
static void
read_slashes(const ApigouvField *at, ApigouvParam *param)
{
	param->slashes = apigouv_field_boolean(at, "slashes", false);
	if (param->slashes && (param->place != APIGOUV_IN_PATH ||
						   apigouv_json_get(at->json, "pattern") == NULL))
		apigouv_field_error(at, NULL,
							"\"slashes\" goes with \"in\": \"path\" and a pattern");
}

/* The least and the most that a number, or a number of elements, may be. */
static void
read_bounds(const ApigouvField *at, ApigouvParam *param)
{
	ApigouvField min_items = apigouv_field_get(at, "min_items");
	ApigouvField max_items = apigouv_field_get(at, "max_items");

	param->has_min = apigouv_json_get(at->json, "min") != NULL;
	param->has_max = apigouv_json_get(at->json, "max") != NULL;
	param->min = apigouv_field_number(at, "min", -1e18, 0);
	param->max = apigouv_field_number(at, "max", -1e18, 0);
	if (param->has_min && param->has_max && param->min > param->max)
		apigouv_field_error(at, NULL, "\"min\" is above \"max\"");
	param->min_items = apigouv_field_integer(at, "min_items", 1, 1);
	param->max_items = apigouv_field_integer(at, "max_items", 1, INT_MAX);
	if (!param->is_sequence &&
		(min_items.json != NULL || max_items.json != NULL))
		apigouv_field_error(min_items.json ? &min_items : &max_items, NULL,
							"needs an equality on a column of type text[]");
	if (param->min_items > param->max_items)
		apigouv_field_error(at, NULL, "min_items is above max_items");
}

/*
 * apigouv_apidef_read_param
 *		Read one parameter of a route, or of the purpose of an API.
 *
 * Whether it fits the other parameters and the path of its route is checked
 * with the whole route.
 */
void
apigouv_apidef_read_param(const ApigouvField *at, const ApigouvTable *table,
						  ApigouvParam *param)
{
	memset(param, 0, sizeof(*param));
	apigouv_field_members(at, param_members);
	param->name = apigouv_field_need_text(at, "name", APIGOUV_TEXT_DATA);
	if (param->name[0] == '\0')
		apigouv_field_error(at, NULL, "must have a name");
	param->place = (ApigouvPlace)
		apigouv_field_choice(at, "in", places, APIGOUV_IN_QUERY);
	read_feed(at, table, param);
	read_operators(at, table, param);
	read_wire_form(at, table, param);
	read_slashes(at, param);

	param->required = apigouv_field_boolean(at, "required", false);
	if (param->constant != NULL || param->from_lookup)
		param->required = false;
	else if (param->place == APIGOUV_IN_PATH)
		param->required = true;

	param->exactness = (ApigouvExactness)
		apigouv_field_choice(at, "exactness", exactnesses, APIGOUV_EXACT);
	param->cite = apigouv_field_text(at, "cite", APIGOUV_TEXT_PROSE);
	if (param->exactness == APIGOUV_DERIVED && param->cite == NULL)
		apigouv_field_error(at, NULL, "a derived parameter needs \"cite\"");

	param->steps = apigouv_apidef_read_steps(at, "steps", &param->nsteps);
	param->check = (ApigouvCheck)
		apigouv_field_choice(at, "check", checks, APIGOUV_CHECK_NONE);
	param->pattern = apigouv_field_text(at, "pattern", APIGOUV_TEXT_PATTERN);
	if (param->pattern != NULL)
	{
		ApigouvField pattern = apigouv_field_get(at, "pattern");

		check_pattern(&pattern, param->pattern);
	}
	read_bounds(at, param);
	param->values = apigouv_field_texts(at, "values", APIGOUV_TEXT_DATA,
										&param->nvalues);
	param->closed = apigouv_field_boolean(at, "closed", false);
	if (param->closed && param->nvalues == 0)
		apigouv_field_error(at, NULL, "\"closed\" needs \"values\"");
	param->unless_sent = apigouv_field_texts(at, "unless_sent",
											 APIGOUV_TEXT_DATA,
											 &param->nunless_sent);
	param->unless_read = apigouv_apidef_read_columns(at, "unless_read", table,
													 &param->nunless_read);
}

/* Index of the limit group that a member names; -1 when it is not given. */
int
apigouv_apidef_limit(const ApigouvField *object, const char *name,
					 const ApigouvApi *api)
{
	ApigouvField member = apigouv_field_get(object, name);
	char	   *wanted;
	int			i;

	if (member.json == NULL)
		return -1;
	wanted = apigouv_field_value(&member, APIGOUV_TEXT_DATA);
	for (i = 0; i < api->nlimits; i++)
	{
		if (strcmp(api->limits[i].name, wanted) == 0)
			return i;
	}
	apigouv_field_error(&member, NULL, "there is no limit \"%s\"", wanted);
}

/* ---- reply rules ---- */

/* One HTTP status: a number, or 4 and 5 for "4xx" and "5xx". */
static int
read_status(const ApigouvField *at)
{
	const char *text = apigouv_json_string(at->json);
	int64_t		status = apigouv_json_integer(at->json, 0);

	if (text != NULL && strcmp(text, "4xx") == 0)
		return 4;
	if (text != NULL && strcmp(text, "5xx") == 0)
		return 5;
	if (status < 100 || status > 599)
		apigouv_field_error(at, NULL,
							"must be an HTTP status, \"4xx\" or \"5xx\"");
	return (int) status;
}

static void
read_statuses(const ApigouvField *rule, ApigouvReplyRule *into)
{
	ApigouvField status = apigouv_field_get(rule, "status");
	int			i;

	if (status.json == NULL)
		return;
	if (apigouv_json_kind(status.json) != APIGOUV_JSON_ARRAY)
	{
		into->nstatus = 1;
		into->status = palloc(sizeof(int));
		into->status[0] = read_status(&status);
		return;
	}
	into->nstatus = apigouv_field_length(&status);
	if (into->nstatus == 0)
		apigouv_field_error(&status, NULL, "must not be empty");
	into->status = palloc(into->nstatus * sizeof(int));
	for (i = 0; i < into->nstatus; i++)
	{
		ApigouvField element = apigouv_field_at(&status, i);

		into->status[i] = read_status(&element);
	}
}

static void
read_set(const ApigouvField *rule, ApigouvRawRule *raw)
{
	ApigouvField set = apigouv_field_get(rule, "set");
	ApigouvField member;
	void	   *iterator = NULL;
	size_t		most = apigouv_json_size(set.json);

	raw->set_columns = palloc(most * sizeof(char *));
	raw->set_texts = palloc(most * sizeof(char *));
	while (apigouv_field_next(&set, &iterator, &member))
	{
		raw->set_columns[raw->nset] = pstrdup(member.name);
		raw->set_texts[raw->nset++] = apigouv_field_value_or_null(&member);
	}
}

/* What a rule may hold depends on its verdict. */
static void
check_rule(const ApigouvField *at, const ApigouvReplyRule *rule)
{
	ApigouvVerdict is = rule->verdict;

	if (rule->nstatus == 0 && rule->ncodes == 0 && rule->nnot_codes == 0 &&
		rule->message_has == NULL && !rule->empty)
		apigouv_field_error(at, NULL, "needs a condition");
	if (rule->after_ms > 0 && is != APIGOUV_REPLY_RETRY &&
		is != APIGOUV_REPLY_QUOTA)
		apigouv_field_error(at, NULL, "\"after_ms\" does not fit \"%s\"",
							verdicts[is]);
	if (rule->times >= 0 && is != APIGOUV_REPLY_RETRY)
		apigouv_field_error(at, NULL, "\"times\" does not fit \"%s\"",
							verdicts[is]);
	if (apigouv_json_get(at->json, "set") != NULL &&
		is != APIGOUV_REPLY_NO_ROW && is != APIGOUV_REPLY_ROW &&
		is != APIGOUV_REPLY_UNAVAILABLE && is != APIGOUV_REPLY_REFUSED)
		apigouv_field_error(at, NULL, "\"set\" does not fit \"%s\"",
							verdicts[is]);
}

/*
 * apigouv_apidef_read_rule
 *		Read one reply rule; its set stays by names.
 *
 * of_document: the reply is to be a document, and has no columns to set.
 */
void
apigouv_apidef_read_rule(const ApigouvField *at, bool of_document,
						 ApigouvRawRule *raw)
{
	ApigouvReplyRule *rule = &raw->rule;

	memset(raw, 0, sizeof(*raw));
	apigouv_field_members(at, rule_members);
	(void) apigouv_field_need(at, "is");
	rule->verdict = (ApigouvVerdict)
		apigouv_field_choice(at, "is", verdicts, APIGOUV_REPLY_ERROR);
	read_statuses(at, rule);
	rule->codes = apigouv_field_text_or_texts(at, "code", APIGOUV_TEXT_DATA,
											  &rule->ncodes);
	rule->not_codes = apigouv_field_text_or_texts(at, "not_code",
												  APIGOUV_TEXT_DATA,
												  &rule->nnot_codes);
	rule->message_has = apigouv_field_text(at, "message_has",
										   APIGOUV_TEXT_DATA);
	rule->empty = apigouv_field_boolean(at, "empty", false);
	rule->after_ms = apigouv_field_integer(at, "after_ms", 0, 0);
	rule->times = apigouv_field_integer(at, "times", 0, -1);
	rule->hint = apigouv_field_text(at, "hint", APIGOUV_TEXT_PROSE);
	read_set(at, raw);
	check_rule(at, rule);
	if (of_document && (raw->nset > 0 || rule->verdict == APIGOUV_REPLY_ROW))
		apigouv_field_error(at, NULL, "a document has no columns to set");
	if (!of_document && rule->verdict == APIGOUV_REPLY_DEAD_LINK)
		apigouv_field_error(at, NULL, "\"%s\" is for documents only",
							verdicts[rule->verdict]);
}
