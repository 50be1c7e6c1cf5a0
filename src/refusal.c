/*-------------------------------------------------------------------------
 *
 * refusal.c
 *		Errors of functions that are written in PL/pgSQL, in the language of
 *		the session: RAISE knows no catalog of messages.
 *
 * The texts stand in the SQL scripts, where po/update finds them: each literal
 * of several words, from "EXECUTE refuse" to the end of the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "messages.h"

/* What takes the place of each %s, one after the other, over all texts. */
typedef struct Values
{
	Datum	   *values;			/* of text */
	bool	   *nulls;
	int			n;
	int			next;
} Values;

PG_FUNCTION_INFO_V1(apigouv_refuse);

/* The next value; nothing where there is none. */
static const char *
next_value(Values *values)
{
	int			i = values->next++;

	return i >= values->n || values->nulls[i] ? ""
		: TextDatumGetCString(values->values[i]);
}

/*
 * A text of the scripts in the session's language, with its values; palloc'd.
 * NULL for none.  A translation has the values in the same order.
 */
static const char *
say(FunctionCallInfo fcinfo, int arg, Values *values)
{
	StringInfoData said;
	const char *given;

	if (PG_ARGISNULL(arg))
		return NULL;
	given = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (*given != '\0')
		given = _(given);
	initStringInfo(&said);
	for (const char *at = given; *at != '\0'; at++)
	{
		if (at[0] != '%' || at[1] != 's')
		{
			appendStringInfoChar(&said, *at);
			continue;
		}
		appendStringInfoString(&said, next_value(values));
		at++;
	}
	return said.data;
}

/*
 * apigouv_refuse(sqlstate text, message text, "values" text[], detail text,
 *				  hint text) returns void
 *		Raise an error of those texts.
 *
 * values: for the %s of all three; may be NULL, as may detail and hint.
 * Where in a function it happens is not told, which helps no user.
 */
Datum
apigouv_refuse(PG_FUNCTION_ARGS)
{
	char	   *code = PG_ARGISNULL(0) ? ""
	: text_to_cstring(PG_GETARG_TEXT_PP(0));
	Values		values = {0};
	const char *message;
	const char *detail;
	const char *hint;

	if (!PG_ARGISNULL(2))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
						  TYPALIGN_INT, &values.values, &values.nulls,
						  &values.n);
	message = say(fcinfo, 1, &values);
	detail = say(fcinfo, 3, &values);
	hint = say(fcinfo, 4, &values);
	if (strlen(code) != 5 || message == NULL)
		elog(ERROR, "apigouv_refuse is called without an error");
	error_context_stack = NULL;
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(code[0], code[1], code[2], code[3],
								   code[4])),
			 errmsg_internal("%s", message),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
	PG_RETURN_VOID();
}
