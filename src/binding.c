/*-------------------------------------------------------------------------
 *
 * binding.c
 *		Values of conditions to the texts that a parameter of a route sends.
 *
 * A value is written as the API reads it, whatever the session's settings:
 * dates in ISO form, times in UTC, numbers in their shortest form.  Then the
 * parameter's steps turn it into what is sent, and its checks tell a value
 * that the API would refuse.
 *
 * A malformed value of a key, or a value that a closed list lacks, cannot be
 * in any row: it is dropped and counted.  A key's list of values tells
 * instead for which values the route is meant, so another route must serve.
 * In any other case the parameter is not sent, and the condition is checked
 * by the executor alone: more rows travel, none is lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "binding.h"

/* Longest text sent as one value, in bytes. */
#define MAX_WIRE_BYTES 1000

/* A time as "2026-01-31T12:34:56.789Z", or NULL when it is infinite. */
static char *
timestamptz_text(TimestampTz value)
{
	struct pg_tm tm;
	fsec_t		fsec;
	StringInfoData buf;

	if (TIMESTAMP_NOT_FINITE(value) ||
		timestamp2tm(value, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1)
		return NULL;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%04d-%02d-%02dT%02d:%02d:%02d",
					 tm.tm_year, tm.tm_mon, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (fsec != 0)
		appendStringInfo(&buf, ".%06d", (int) fsec);
	appendStringInfoChar(&buf, 'Z');
	return buf.data;
}

/* A date as "2026-01-31", or NULL when it is infinite. */
static char *
date_text(DateADT value)
{
	int			year;
	int			month;
	int			day;

	if (DATE_NOT_FINITE(value))
		return NULL;
	j2date(value + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < 1)
		return NULL;
	return psprintf("%04d-%02d-%02d", year, month, day);
}

/* A number in its shortest exact form, or NULL when it is not finite. */
static char *
float8_text(double value)
{
	char	   *buf;

	if (isnan(value) || isinf(value))
		return NULL;
	buf = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
	double_to_shortest_decimal_buf(value, buf);
	return buf;
}

/*
 * utf8_text
 *		A text of the server's in UTF-8, NULL when it has no such form.
 *
 * Not as an error, which would quote its bytes, and stop a join at one row.
 */
static char *
utf8_text(char *text)
{
	int			len = strlen(text);
	int			encoding = GetDatabaseEncoding();
	int			room = len * MAX_CONVERSION_GROWTH + 1;
	Oid			conversion;
	char	   *utf8;

	if (encoding == PG_UTF8)
		return text;
	if (encoding == PG_SQL_ASCII)
		return pg_encoding_verifymbstr(PG_UTF8, text, len) == len ? text
			: NULL;
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return NULL;
	utf8 = palloc(room);
	if (pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
									  (unsigned char *) text, len,
									  (unsigned char *) utf8, room,
									  true) != len)
		return NULL;
	return utf8;
}

/*
 * value_text
 *		Text of one SQL value in UTF-8, or NULL when no API could read it.
 */
static char *
value_text(Datum value, Oid type)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;

	switch (getBaseType(type))
	{
		case BOOLOID:
			return pstrdup(DatumGetBool(value) ? "true" : "false");
		case DATEOID:
			return date_text(DatumGetDateADT(value));
		case TIMESTAMPTZOID:
			return timestamptz_text(DatumGetTimestampTz(value));
		case FLOAT8OID:
			return float8_text(DatumGetFloat8(value));
		default:
			break;
	}
	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	if (getBaseType(type) == NUMERICOID && !isdigit((unsigned char) *text) &&
		*text != '-')
		return NULL;			/* NaN, Infinity */
	return utf8_text(text);
}

/*
 * apigouv_binding_texts
 *		Texts of the value, or of the elements of the array, of a condition.
 *
 * isnull, or an array without elements that are not null: NIL.  *sendable is
 * false when a value has no text that an API could read.
 */
List *
apigouv_binding_texts(Datum value, bool isnull, Oid type, bool is_array,
					  bool *sendable)
{
	List	   *texts = NIL;
	ArrayType  *array;
	Oid			element;
	int16		len;
	bool		byval;
	char		align;
	Datum	   *items;
	bool	   *nulls;
	int			n;

	*sendable = true;
	if (isnull)
		return NIL;
	if (!is_array)
	{
		char	   *text = value_text(value, type);

		if (text == NULL)
			*sendable = false;
		return list_make1(text);
	}

	array = DatumGetArrayTypeP(value);
	element = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(array, element, len, byval, align, &items, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *text;

		if (nulls[i])
			continue;
		text = value_text(items[i], element);
		if (text == NULL)
			*sendable = false;
		texts = lappend(texts, text);
	}
	return texts;
}

/* Does a UTF-8 text match a regular expression of a definition? */
static bool
matches(const char *pattern, const char *text)
{
	char	   *local = pg_any_to_server(text, strlen(text), PG_UTF8);

	return RE_compile_and_execute(cstring_to_text(pattern), local,
								  strlen(local), REG_ADVANCED,
								  C_COLLATION_OID, 0, NULL);
}

/* Is a text in the list of values that the upstream accepts? */
static bool
is_listed(const ApigouvParam *param, const char *text)
{
	for (int i = 0; i < param->nvalues; i++)
	{
		if (strcmp(param->values[i], text) == 0)
			return true;
	}
	return param->nvalues == 0;
}

/* Is a text a number within the bounds of a parameter? */
static bool
is_in_bounds(const ApigouvParam *param, const char *wire)
{
	char	   *end;
	double		number;

	if (!param->has_min && !param->has_max)
		return true;
	if (strspn(wire, "+-0123456789.eE") != strlen(wire))
		return false;
	number = strtod(wire, &end);
	return end != wire && *end == '\0' &&
		(!param->has_min || number >= param->min) &&
		(!param->has_max || number <= param->max);
}

/*
 * apigouv_binding_is_blank
 *		Does a text in UTF-8 show nothing: blanks of any kind, controls, marks
 *		without width?
 */
bool
apigouv_binding_is_blank(const char *text)
{
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0';)
	{
		int			len = strnlen((const char *) p, pg_utf_mblen(p));
		pg_wchar	c = len == pg_utf_mblen(p) ? utf8_to_unicode(p) : 0xfffd;

		if (c > ' ' && !(c >= 0x7f && c <= 0xa0) && c != 0xad &&
			c != 0x1680 && !(c >= 0x2000 && c <= 0x200f) &&
			!(c >= 0x2028 && c <= 0x202f) && !(c >= 0x205f && c <= 0x206f) &&
			c != 0x3000 && c != 0xfeff)
			return false;
		p += len;
	}
	return true;
}

/*
 * leaves_its_place
 *		Could a value of a path be read as another path, even percent-encoded?
 *
 * Some servers decode slashes before they look for "." and "..", or take a
 * backslash for a slash, or what follows a semicolon for no part of the name.
 */
static bool
leaves_its_place(const ApigouvParam *param, const char *wire)
{
	for (;;)
	{
		size_t		len = strcspn(wire, "/\\");
		size_t		name = strcspn(wire, "/\\;");

		if ((name == 1 && wire[0] == '.') ||
			(name == 2 && wire[0] == '.' && wire[1] == '.') ||
			(len == 0 && param->slashes))
			return true;
		if (wire[len] == '\0')
			return false;
		wire += len + 1;
	}
}

/*
 * is_well_formed
 *		Has a text the form that the API accepts for a parameter?
 */
static bool
is_well_formed(const ApigouvParam *param, const char *wire)
{
	/* an empty text switches a filter off, or changes the path */
	if (*wire == '\0' || strlen(wire) > MAX_WIRE_BYTES)
		return false;
	/* nobody is told why by blanks */
	if (param->purpose != APIGOUV_PURPOSE_NONE &&
		apigouv_binding_is_blank(wire))
		return false;
	if (param->place == APIGOUV_IN_PATH && leaves_its_place(param, wire))
		return false;
	if (param->check == APIGOUV_CHECK_SIRET && !apigouv_check_siret(wire))
		return false;
	if (param->check == APIGOUV_CHECK_SIREN && !apigouv_check_siren(wire))
		return false;
	if (!is_in_bounds(param, wire))
		return false;
	return param->pattern == NULL || matches(param->pattern, wire);
}

/*
 * Can a column of the parameter's type hold a number?  A condition may
 * compare it with one of a larger type.
 */
static bool
fits_column(const ApigouvParam *param, const char *asked)
{
	int64		limit;
	int64		number;

	if (param->column_bytes == 0 || param->column_bytes == 8)
		return true;
	limit = INT64CONST(1) << (param->column_bytes * 8 - 1);
	number = strtoll(asked, NULL, 10);
	return number >= -limit && number < limit;
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Leave out the values without a text; how many there were. */
static int
drop_nulls(List **texts)
{
	List	   *kept = NIL;
	int			dropped;
	ListCell   *lc;

	foreach(lc, *texts)
	{
		if (lfirst(lc) != NULL)
			kept = lappend(kept, lfirst(lc));
	}
	dropped = list_length(*texts) - list_length(kept);
	*texts = kept;
	return dropped;
}

/*
 * distinct
 *		The texts sorted, without repetitions.
 *
 * Equal sets of texts thus make equal requests.
 */
static List *
distinct(List *texts)
{
	List	   *sorted = list_copy(texts);
	List	   *result = NIL;
	const char *last = NULL;
	ListCell   *lc;

	list_sort(sorted, compare_texts);
	foreach(lc, sorted)
	{
		if (last == NULL || strcmp(last, lfirst(lc)) != 0)
			result = lappend(result, lfirst(lc));
		last = lfirst(lc);
	}
	return result;
}

/*
 * sequence_element
 *		The text to send for an element of an array, NULL when the API would
 *		refuse it.
 */
static char *
sequence_element(const ApigouvParam *param, Datum element, Oid type)
{
	char	   *text = value_text(element, type);
	List	   *wires;

	if (text == NULL)
		return NULL;
	wires = param->nsteps == 0 ? list_make1(text)
		: apigouv_apply_steps(param->nsteps, param->steps, text);
	if (list_length(wires) != 1)
		return NULL;
	text = linitial(wires);
	if (!is_well_formed(param, text) || !is_listed(param, text) ||
		(param->list == APIGOUV_LIST_COMMA && strchr(text, ',') != NULL))
		return NULL;
	return text;
}

/*
 * sequence_values
 *		What a parameter sends for an array that a condition wants whole.
 *
 * Its elements keep their order and their repetitions.  An array that the API
 * would refuse is one malformed value: empty or too long, in several
 * dimensions, with a null or with an element of a wrong form.
 */
static ApigouvBindResult
sequence_values(const ApigouvParam *param, Datum value, Oid type,
				ApigouvBindValues *result)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Oid			element = ARR_ELEMTYPE(array);
	char	   *asked = value_text(value, type);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *items;
	bool	   *nulls;
	int			n;
	bool		refused;

	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(array, element, len, byval, align, &items, &nulls, &n);
	refused = ARR_NDIM(array) != 1 || n < param->min_items ||
		n > param->max_items;
	for (int i = 0; i < n && !refused; i++)
	{
		ApigouvBound *bound = palloc(sizeof(ApigouvBound));

		bound->asked = asked;
		bound->wire = nulls[i] ? NULL
			: sequence_element(param, items[i], element);
		refused = bound->wire == NULL;
		result->values = lappend(result->values, bound);
	}
	result->is_sequence = true;
	if (!refused)
		return APIGOUV_BIND_OK;
	result->values = NIL;
	if (!param->required)
		return APIGOUV_BIND_SKIP;
	result->malformed = 1;
	return APIGOUV_BIND_OK;
}

/*
 * apigouv_binding_values
 *		What a parameter sends for the value of a condition.
 *
 * op: the condition's APIGOUV_OP_ bit.  The result's list lives in the
 * current context.
 */
ApigouvBindResult
apigouv_binding_values(const ApigouvParam *param, uint32 op, Datum value,
					   bool isnull, Oid type, bool is_array,
					   ApigouvBindValues *result)
{
	bool		sendable;
	List	   *texts;
	ListCell   *lc;

	result->values = NIL;
	result->is_sequence = false;
	result->malformed = 0;
	if (param->is_sequence)
		return isnull ? APIGOUV_BIND_NULL
			: sequence_values(param, value, type, result);
	texts = apigouv_binding_texts(value, isnull, type, is_array, &sendable);
	if (isnull || (texts == NIL && op != APIGOUV_OP_CONTAINS))
		return APIGOUV_BIND_NULL;
	if (texts == NIL || (!sendable && (!param->required ||
									   op != APIGOUV_OP_EQ)))
		return APIGOUV_BIND_SKIP;
	result->malformed = drop_nulls(&texts);
	if (list_length(texts) > 1)
		texts = distinct(texts);

	foreach(lc, texts)
	{
		char	   *asked = lfirst(lc);
		List	   *wires = param->nsteps == 0 ? list_make1(asked)
		: apigouv_apply_steps(param->nsteps, param->steps, asked);
		bool		refused = wires == NIL;
		bool		unlisted = false;
		ListCell   *lc2;

		if (op == APIGOUV_OP_EQ && !fits_column(param, asked))
			continue;			/* no row can have it */

		/*
		 * "is true" only: another value is not sent, and not refused.  Both
		 * would be one request with it and one without: not by one scan.
		 */
		if (!(param->ops & APIGOUV_OP_EQ) && (param->ops & APIGOUV_OP_TRUE) &&
			strcmp(asked, "true") != 0)
			return list_length(texts) > 1 ? APIGOUV_BIND_TORN
				: APIGOUV_BIND_SKIP;
		foreach(lc2, wires)
		{
			if (!is_well_formed(param, lfirst(lc2)))
				refused = true;
			else if (!is_listed(param, lfirst(lc2)))
				unlisted = true;
			else
			{
				ApigouvBound *bound = palloc(sizeof(ApigouvBound));

				bound->asked = asked;
				bound->wire = lfirst(lc2);
				result->values = lappend(result->values, bound);
			}
		}
		if (unlisted && param->required)
			return APIGOUV_BIND_ELSEWHERE;
		if ((refused && !param->required) || (unlisted && !param->closed))
			return APIGOUV_BIND_SKIP;
		if (refused || unlisted)
			result->malformed++;
	}
	return APIGOUV_BIND_OK;
}

/*
 * apigouv_binding_wires
 *		The texts to send, sorted and without repetitions; those of an array
 *		that is sent whole as they are.
 */
List *
apigouv_binding_wires(const ApigouvBindValues *values)
{
	List	   *wires = NIL;
	ListCell   *lc;

	foreach(lc, values->values)
		wires = lappend(wires, ((ApigouvBound *) lfirst(lc))->wire);
	return values->is_sequence ? wires : distinct(wires);
}
