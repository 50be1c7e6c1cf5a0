/*-------------------------------------------------------------------------
 *
 * value.c
 *		JSON values to SQL values, by type.
 *
 * Common types are read directly from the reply's bytes; any other goes
 * through its type's input function, which raises its own error.  Values are
 * converted one by one to the server's encoding, so that a database in
 * another encoding than UTF-8 reads what it can hold and an error names the
 * column that it cannot.
 *
 * Nothing depends on the session: dates and times are read as ISO 8601
 * whatever DateStyle says, and a time without offset is of Europe/Paris.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "messages.h"
#include "redact.h"
#include "value.h"

/* Time zone of a time without offset, and of dates given as seconds. */
#define PARIS "Europe/Paris"

/*
 * apigouv_value_target
 *		Look up how values of a type are made.
 */
void
apigouv_value_target(ApigouvTarget *target, Oid type, int32 typmod)
{
	Oid			input;

	target->type = type;
	target->typmod = typmod;
	target->base_type = getBaseType(type);
	getTypeInputInfo(type, &input, &target->ioparam);
	fmgr_info(input, &target->input);
	target->element = get_element_type(target->base_type);
	if (OidIsValid(target->element))
	{
		getTypeInputInfo(target->element, &input, &target->element_ioparam);
		fmgr_info(input, &target->element_input);
		get_typlenbyvalalign(target->element, &target->element_len,
							 &target->element_byval, &target->element_align);
	}
}

/* Raise the error for a value that is not right JSON, or holds \u0000. */
static void
raise_bad_json(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("response holds a value that is not valid JSON: %s",
					_(why))));
}

static void
raise_nul(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
			 errmsg("unsupported Unicode escape sequence"),
			 errdetail("\\u0000 cannot be converted to text.")));
}

/*
 * value_utf8
 *		Text of a value in UTF-8, checked: strings without quotes, anything
 *		else as it is written.  *len: its bytes.
 *
 * A string without escapes is not copied: the result then points into the
 * reply and is not terminated.
 */
static const char *
value_utf8(const ApigouvValue *value, size_t *len)
{
	const char *why = apigouv_value_check(value, true);
	char	   *text;

	if (why != NULL)
		raise_bad_json(why);
	if (value->kind != APIGOUV_STRING || !value->escaped)
	{
		*len = value->len;
		return value->text;
	}
	text = palloc(value->len + 1);
	*len = apigouv_value_text(value, text);
	if (*len == (size_t) -1)
		raise_nul();
	return text;
}

/*
 * apigouv_value_cstring
 *		Text of a value in UTF-8, terminated, in the current context.
 */
char *
apigouv_value_cstring(const ApigouvValue *value)
{
	size_t		len;
	const char *text = value_utf8(value, &len);

	return pnstrdup(text, len);
}

/* The same in the server's encoding. */
static char *
server_cstring(const ApigouvValue *value)
{
	size_t		len;
	const char *text = value_utf8(value, &len);
	char	   *copy = pnstrdup(text, len);

	return pg_any_to_server(copy, len, PG_UTF8);
}

/* A text Datum from a string or any other value. */
static Datum
text_datum(const ApigouvValue *value)
{
	size_t		len;
	const char *text = value_utf8(value, &len);
	char	   *local;

	if (GetDatabaseEncoding() == PG_UTF8)
		return PointerGetDatum(cstring_to_text_with_len(text, len));
	local = server_cstring(value);
	return PointerGetDatum(cstring_to_text(local));
}

/* The time zone of Paris.  The server keeps it as long as the process. */
static pg_tz *
paris(void)
{
	static pg_tz *zone = NULL;

	if (zone == NULL)
		zone = pg_tzset(PARIS);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("time zone \"%s\" is not installed", PARIS)));
	return zone;
}

/* A number of digits at *p; false if there are fewer. */
static bool
read_digits(const char **p, int ndigits, int *value)
{
	*value = 0;
	for (int i = 0; i < ndigits; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool
read_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* "2026-01-31" at *p. */
static bool
read_date(const char **p, struct pg_tm *tm)
{
	return read_digits(p, 4, &tm->tm_year) && read_char(p, '-') &&
		read_digits(p, 2, &tm->tm_mon) && read_char(p, '-') &&
		read_digits(p, 2, &tm->tm_mday) &&
		tm->tm_year > 0 && tm->tm_mon >= 1 && tm->tm_mon <= 12 &&
		tm->tm_mday >= 1 &&
		tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1];
}

/* "12:34", "12:34:56" or "12:34:56.789" at *p.  Rounded as the server does. */
static bool
read_time(const char **p, struct pg_tm *tm, fsec_t *fsec)
{
	const char *fraction;
	int			unit = 100000;

	*fsec = 0;
	tm->tm_sec = 0;
	if (!read_digits(p, 2, &tm->tm_hour) || !read_char(p, ':') ||
		!read_digits(p, 2, &tm->tm_min))
		return false;
	if (**p == ':')
	{
		(*p)++;
		if (!read_digits(p, 2, &tm->tm_sec))
			return false;
		if (**p == '.')
		{
			fraction = *p;
			for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
				*fsec += (**p - '0') * unit;
			if (*p - fraction > 7)
				*fsec = (fsec_t) rint(strtod(fraction, NULL) * 1000000);
		}
	}
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

/* "Z", "+02:00", "+0200" or "+02" at *p, in seconds west of Greenwich. */
static bool
read_offset(const char **p, int *offset)
{
	int			sign = **p == '-' ? 1 : -1;
	int			hours;
	int			minutes = 0;

	if (**p == 'Z' || **p == 'z')
	{
		(*p)++;
		*offset = 0;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	if (!read_digits(p, 2, &hours))
		return false;
	if (**p == ':')
		(*p)++;
	if (**p != '\0' && !read_digits(p, 2, &minutes))
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return hours <= 15 && minutes < 60;
}

/*
 * apigouv_value_time
 *		A time in ISO 8601; without offset, in Paris.  A date alone is its
 *		midnight in Paris.
 *
 * *ok is false when the text is not one.
 */
TimestampTz
apigouv_value_time(const char *text, bool *ok)
{
	struct pg_tm tm = {0};
	fsec_t		fsec = 0;
	int			offset;
	TimestampTz result;

	*ok = false;
	if (!read_date(&text, &tm))
		return 0;
	if (*text == 'T' || *text == 't' || *text == ' ')
	{
		text++;
		if (!read_time(&text, &tm, &fsec))
			return 0;
	}
	if (*text == '\0')
		offset = DetermineTimeZoneOffset(&tm, paris());
	else if (!read_offset(&text, &offset) || *text != '\0')
		return 0;
	if (tm2timestamp(&tm, fsec, &offset, &result) != 0)
		return 0;
	*ok = true;
	return result;
}

/* A date in ISO 8601, perhaps followed by a time that is cut off. */
static bool
iso_date(const char *text, DateADT *date)
{
	struct pg_tm tm = {0};
	fsec_t		fsec;
	int			offset;

	if (!read_date(&text, &tm))
		return false;
	if (*text != '\0' &&
		((!read_char(&text, 'T') && !read_char(&text, ' ')) ||
		 !read_time(&text, &tm, &fsec) ||
		 (*text != '\0' && (!read_offset(&text, &offset) || *text != '\0'))))
		return false;
	*date = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	return true;
}

/* Raise what a type's input function says of a text it cannot read. */
static void
raise_bad_value(const char *type, const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
			 errmsg("invalid input syntax for type %s: \"%s\"", type,
					apigouv_clean_text(text, strlen(text), 100))));
}

/*
 * integer_datum
 *		An integer of any size from its text; "3.0" and "3e0" are integers,
 *		"3.5" is not.
 */
static Datum
integer_datum(const ApigouvTarget *target, char *text)
{
	Datum		number;

	/* not a number at all: the type says so in its own words */
	if (strspn(text, "+-0123456789") == strlen(text) ||
		strspn(text, "+-0123456789.eE") != strlen(text))
		return InputFunctionCall(unconstify(FmgrInfo *, &target->input), text,
								 target->ioparam, target->typmod);
	number = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
								 ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
										  DirectFunctionCall2(numeric_trunc,
															  number,
															  Int32GetDatum(0)))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"",
						format_type_be(target->type), text)));
	text = DatumGetCString(DirectFunctionCall1(numeric_out,
											   DirectFunctionCall2(numeric_trunc,
																   number,
																   Int32GetDatum(0))));
	return InputFunctionCall(unconstify(FmgrInfo *, &target->input), text,
							 target->ioparam, target->typmod);
}

/*
 * refuse_link
 *		Raise an error for a link where its type cannot hold one.
 *
 * The type's input function would repeat it in its message.
 */
static void
refuse_link(const ApigouvTarget *target, const char *text)
{
	char		category;
	bool		preferred;

	if (!apigouv_redact_has_link(text))
		return;
	get_type_category_preferred(target->base_type, &category, &preferred);
	if (category == TYPCATEGORY_STRING || target->base_type == JSONBOID ||
		target->base_type == JSONOID)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input for type %s: a link",
					format_type_be(target->type))));
}

/*
 * with_offset
 *		A text for the input function of a type, which may be a domain: a time
 *		with its offset, so that the session's time zone has no say.
 *
 * Whatever is no time in ISO 8601 stays as it is.
 */
static char *
with_offset(Oid base_type, char *text)
{
	TimestampTz time;
	bool		ok;

	if (base_type != TIMESTAMPTZOID)
		return text;
	time = apigouv_value_time(text, &ok);
	return ok ? pstrdup(timestamptz_to_str(time)) : text;
}

/*
 * apigouv_value_from_text
 *		A value of the target's type from its text in UTF-8.
 *
 * Raises what the type's input function raises.
 */
Datum
apigouv_value_from_text(const ApigouvTarget *target, char *utf8)
{
	char	   *text = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
	DateADT		date;
	bool		ok;

	refuse_link(target, text);
	switch (target->type)
	{
		case DATEOID:
			if (!iso_date(text, &date))
				raise_bad_value("date", text);
			return DateADTGetDatum(date);
		case TIMESTAMPTZOID:
			{
				TimestampTz time = apigouv_value_time(text, &ok);

				if (!ok)
					raise_bad_value("timestamp with time zone", text);
				if (target->typmod >= 0)
					apigouv_adjust_timestamp(&time, target->typmod);
				return TimestampTzGetDatum(time);
			}
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return integer_datum(target, text);
		default:
			return InputFunctionCall(unconstify(FmgrInfo *, &target->input),
									 with_offset(target->base_type, text),
									 target->ioparam, target->typmod);
	}
}

/* ----------------------------------------------------------------
 *		frequent types, straight from the reply's bytes
 *
 * Each gives what apigouv_value_from_text makes of the same text, or says
 * that it does not know: then that is asked, and raises the errors.  What they
 * accept is ASCII without escapes, so it needs no other check.
 * ----------------------------------------------------------------
 */

/* Longest text of a time that is read directly. */
#define TIME_BYTES 40

/* Digits, perhaps after a minus, that fit in 64 bits whatever they are. */
#define INTEGER_DIGITS 18

/*
 * A short string, terminated; it holds no NUL, which no reader of JSON lets
 * through.  buf: room for TIME_BYTES + 1.
 */
static bool
short_text(const ApigouvValue *value, char *buf)
{
	if (value->kind != APIGOUV_STRING || value->escaped ||
		value->len > TIME_BYTES)
		return false;
	memcpy(buf, value->text, value->len);
	buf[value->len] = '\0';
	return true;
}

static bool
direct_time(const ApigouvTarget *target, const ApigouvValue *value,
			Datum *datum)
{
	char		buf[TIME_BYTES + 1];
	TimestampTz time;
	bool		ok;

	if (target->typmod >= 0 || !short_text(value, buf))
		return false;
	time = apigouv_value_time(buf, &ok);
	*datum = TimestampTzGetDatum(time);
	return ok;
}

/* A date alone: what may follow it is not looked at here. */
static bool
direct_date(const ApigouvValue *value, Datum *datum)
{
	char		buf[TIME_BYTES + 1];
	DateADT		date;

	if (value->len != strlen("2026-01-31") || !short_text(value, buf) ||
		!iso_date(buf, &date))
		return false;
	*datum = DateADTGetDatum(date);
	return true;
}

/* A number, or a string, that is digits, perhaps after a minus. */
static bool
direct_integer(Oid type, const ApigouvValue *value, Datum *datum)
{
	const char *p = value->text;
	const char *end = p + value->len;
	bool		negative;
	int64		number = 0;

	if ((value->kind != APIGOUV_NUMBER && value->kind != APIGOUV_STRING) ||
		value->len == 0)
		return false;
	negative = *p == '-';
	p += negative;
	if (p == end || end - p > INTEGER_DIGITS)
		return false;
	for (; p < end; p++)
	{
		if (*p < '0' || *p > '9')
			return false;
		number = number * 10 + (*p - '0');
	}
	if (negative)
		number = -number;
	switch (type)
	{
		case INT2OID:
			*datum = Int16GetDatum((int16) number);
			return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
		case INT4OID:
			*datum = Int32GetDatum((int32) number);
			return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
		default:
			*datum = Int64GetDatum(number);
			return true;
	}
}

/* Is a type text, or what is stored as it is? */
static bool
is_text(Oid type, int32 typmod)
{
	return type == TEXTOID || (type == VARCHAROID && typmod < 0);
}

/* JSON text of a value, strings with their quotes, in server encoding. */
static char *
json_text(const ApigouvValue *value)
{
	StringInfoData buf;

	/* jsonb's own errors would quote the text around what is wrong */
	if (apigouv_value_check(value, false) != NULL)
	{
		const char *why = apigouv_value_check(value, true);

		if (why != NULL)
			raise_bad_json(why);
		raise_nul();
	}
	initStringInfo(&buf);
	if (value->kind == APIGOUV_STRING)
		appendStringInfoChar(&buf, '"');
	appendBinaryStringInfo(&buf, value->text, value->len);
	if (value->kind == APIGOUV_STRING)
		appendStringInfoChar(&buf, '"');
	return pg_any_to_server(buf.data, buf.len, PG_UTF8);
}

/* ---- jsonb, pushed piece by piece ---- */

/*
 * Containers inside each other that are pushed piece by piece.  Each level
 * reads its text once more, so what is deeper is left to jsonb's own reader.
 */
#define JSONB_LEVELS 4

/* Longest string pushed; jsonb's own reader says what is too long. */
#define JSONB_STRING_BYTES (1024 * 1024)

/* A checked string, or the name of a member. */
static bool
jsonb_string(const ApigouvValue *value, JsonbValue * out)
{
	char	   *text;

	if (value->len > JSONB_STRING_BYTES)
		return false;
	out->type = jbvString;
	out->val.string.val = unconstify(char *, value->text);
	out->val.string.len = (int) value->len;
	if (!value->escaped)
		return true;
	text = palloc(value->len + 1);
	out->val.string.len = (int) apigouv_value_text(value, text);
	out->val.string.val = text;
	return true;
}

static void
jsonb_number(const ApigouvValue *value, JsonbValue * out)
{
	char	   *text = pnstrdup(value->text, value->len);

	out->type = jbvNumeric;
	out->val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
}

static bool jsonb_container(JsonbParseState * *state,
							const ApigouvValue *container, int levels,
							JsonbValue * *result);

/* Push a member's value, or an element. */
static bool
jsonb_push(JsonbParseState * *state, JsonbIteratorToken token,
		   const ApigouvValue *value, int levels)
{
	JsonbValue	out;
	JsonbValue *ignored;

	switch (value->kind)
	{
		case APIGOUV_OBJECT:
		case APIGOUV_ARRAY:
			return jsonb_container(state, value, levels, &ignored);
		case APIGOUV_STRING:
			if (!jsonb_string(value, &out))
				return false;
			break;
		case APIGOUV_NUMBER:
			jsonb_number(value, &out);
			break;
		case APIGOUV_TRUE:
		case APIGOUV_FALSE:
			out.type = jbvBool;
			out.val.boolean = value->kind == APIGOUV_TRUE;
			break;
		default:
			out.type = jbvNull;
	}
	(void) pushJsonbValue(state, token, &out);
	return true;
}

/* Push an object or a list with all that it holds. */
static bool
jsonb_container(JsonbParseState * *state, const ApigouvValue *container,
				int levels, JsonbValue * *result)
{
	bool		is_object = container->kind == APIGOUV_OBJECT;
	ApigouvValue name;
	ApigouvValue value;
	JsonbValue	key;
	size_t		position = 0;

	if (levels == 0)
		return false;
	(void) pushJsonbValue(state, is_object ? WJB_BEGIN_OBJECT
						  : WJB_BEGIN_ARRAY, NULL);
	while (is_object ? apigouv_value_member(container, &position, &name,
											&value)
		   : apigouv_value_next(container, &position, &value))
	{
		if (is_object)
		{
			if (!jsonb_string(&name, &key))
				return false;
			(void) pushJsonbValue(state, WJB_KEY, &key);
		}
		if (!jsonb_push(state, is_object ? WJB_VALUE : WJB_ELEM, &value,
						levels - 1))
			return false;
	}
	*result = pushJsonbValue(state, is_object ? WJB_END_OBJECT
							 : WJB_END_ARRAY, NULL);
	return true;
}

/*
 * direct_jsonb
 *		A jsonb from an object or a list, without jsonb's own reader, which
 *		takes a string character by character: half of the time of a column of
 *		short lists.
 *
 * False when that reader must be asked, as it is for whatever is not right.
 */
static bool
direct_jsonb(const ApigouvValue *value, Datum *datum)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	if ((value->kind != APIGOUV_OBJECT && value->kind != APIGOUV_ARRAY) ||
		GetDatabaseEncoding() != PG_UTF8 ||
		apigouv_value_check(value, false) != NULL ||
		!jsonb_container(&state, value, JSONB_LEVELS, &result))
		return false;
	*datum = PointerGetDatum(JsonbValueToJsonb(result));
	return true;
}

/*
 * apigouv_value_from_json
 *		A value of the target's type from a JSON value that is not null.
 */
Datum
apigouv_value_from_json(const ApigouvTarget *target,
						const ApigouvValue *value)
{
	Datum		datum;

	switch (target->type)
	{
		case TEXTOID:
			return text_datum(value);
		case VARCHAROID:
			if (is_text(VARCHAROID, target->typmod))
				return text_datum(value);
			break;
		case TIMESTAMPTZOID:
			if (direct_time(target, value, &datum))
				return datum;
			break;
		case DATEOID:
			if (direct_date(value, &datum))
				return datum;
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			if (direct_integer(target->type, value, &datum))
				return datum;
			break;
		case BOOLOID:
			if (value->kind == APIGOUV_TRUE || value->kind == APIGOUV_FALSE)
				return BoolGetDatum(value->kind == APIGOUV_TRUE);
			break;
		case JSONBOID:
			if (direct_jsonb(value, &datum))
				return datum;
			/* FALLTHROUGH */
		case JSONOID:
			return InputFunctionCall(unconstify(FmgrInfo *, &target->input),
									 json_text(value), target->ioparam,
									 target->typmod);
		default:
			break;
	}
	if (OidIsValid(target->element) && value->kind == APIGOUV_ARRAY)
		return apigouv_value_array(target, value, NULL, false, false);
	return apigouv_value_from_text(target, apigouv_value_cstring(value));
}

static int
compare_cstrings(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * array_texts
 *		Texts in UTF-8 of the elements of an array, in the current context.
 *
 * element_path: value within each element, NULL for the element itself;
 * elements without it are left out.  A null element gives NULL, unless the
 * result is sorted (nulls are then left out).
 */
static int
array_texts(const ApigouvValue *array, const char *element_path, bool sorted,
			bool empty_is_null, char ***texts)
{
	ApigouvValue element;
	size_t		position = 0;
	int			n = 0;
	int			size = 16;

	*texts = palloc(sizeof(char *) * size);
	while (apigouv_value_next(array, &position, &element))
	{
		char	   *text = NULL;

		if (element_path != NULL)
		{
			element = apigouv_value_get(&element, element_path);
			if (element.kind == APIGOUV_ABSENT ||
				element.kind == APIGOUV_NULL)
				continue;
		}
		if (element.kind != APIGOUV_NULL)
			text = apigouv_value_cstring(&element);
		if (text != NULL && *text == '\0' && empty_is_null)
			text = NULL;
		if (text == NULL && (sorted || element_path != NULL))
			continue;
		if (n == size)
		{
			size *= 2;
			*texts = repalloc(*texts, sizeof(char *) * size);
		}
		(*texts)[n++] = text;
	}
	if (sorted)
		qsort(*texts, n, sizeof(char *), compare_cstrings);
	return n;
}

/*
 * text_array
 *		The same for an array of texts that are stored as they are: each is
 *		copied once.
 */
static Datum
text_array(const ApigouvTarget *target, const ApigouvValue *array,
		   bool empty_is_null)
{
	ApigouvValue element;
	size_t		position = 0;
	int			n = 0;
	int			size = 16;
	int			lbound = 1;
	Datum	   *items = palloc(sizeof(Datum) * size);
	bool	   *nulls = palloc(sizeof(bool) * size);

	while (apigouv_value_next(array, &position, &element))
	{
		if (n == size)
		{
			size *= 2;
			items = repalloc(items, sizeof(Datum) * size);
			nulls = repalloc(nulls, sizeof(bool) * size);
		}
		nulls[n] = element.kind == APIGOUV_NULL ||
			(empty_is_null && element.kind == APIGOUV_STRING &&
			 element.len == 0);
		items[n] = nulls[n] ? (Datum) 0 : text_datum(&element);
		n++;
	}
	if (n == 0)
		return PointerGetDatum(construct_empty_array(target->element));
	return PointerGetDatum(construct_md_array(items, nulls, 1, &n, &lbound,
											  target->element,
											  target->element_len,
											  target->element_byval,
											  target->element_align));
}

/*
 * apigouv_value_array
 *		An SQL array from a JSON array.
 *
 * element_path, empty_is_null: see array_texts.  sorted: by byte order, for
 * arrays whose order upstream means nothing.
 */
Datum
apigouv_value_array(const ApigouvTarget *target, const ApigouvValue *array,
					const char *element_path, bool sorted, bool empty_is_null)
{
	FmgrInfo   *input = unconstify(FmgrInfo *, &target->element_input);
	char	  **texts;
	int			n;
	Datum	   *items;
	bool	   *nulls;
	int			lbound = 1;
	Oid			base;

	if (array->kind != APIGOUV_ARRAY || !OidIsValid(target->element))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
				 errmsg("response holds a value that is not a list, or the column is not an array")));
	if (element_path == NULL && !sorted &&
		is_text(target->element, target->typmod))
		return text_array(target, array, empty_is_null);
	n = array_texts(array, element_path, sorted, empty_is_null, &texts);
	if (n == 0)
		return PointerGetDatum(construct_empty_array(target->element));
	items = palloc(sizeof(Datum) * n);
	nulls = palloc(sizeof(bool) * n);
	base = getBaseType(target->element);
	for (int i = 0; i < n; i++)
	{
		nulls[i] = texts[i] == NULL;
		items[i] = (Datum) 0;
		if (texts[i] != NULL)
			items[i] = InputFunctionCall(input,
										 with_offset(base,
													 pg_any_to_server(texts[i],
																	  strlen(texts[i]),
																	  PG_UTF8)),
										 target->element_ioparam,
										 target->typmod);
	}
	return PointerGetDatum(construct_md_array(items, nulls, 1, &n, &lbound,
											  target->element,
											  target->element_len,
											  target->element_byval,
											  target->element_align));
}

/*
 * apigouv_value_unix_paris
 *		A date from seconds since 1970, at midnight in Paris.
 *
 * The day is read in Paris: in UTC it would be the day before.
 */
Datum
apigouv_value_unix_paris(const char *seconds)
{
	char	   *end;
	long long	number;
	pg_time_t	time;
	struct pg_tm *tm;

	errno = 0;
	number = strtoll(seconds, &end, 10);
	time = (pg_time_t) number;
	if (errno != 0 || end == seconds || *end != '\0' ||
		number < INT64CONST(-62000000000) || number > INT64CONST(250000000000))
		raise_bad_value("date", seconds);
	tm = pg_localtime(&time, paris());
	if (tm == NULL)
		raise_bad_value("date", seconds);
	return DateADTGetDatum(date2j(tm->tm_year + 1900, tm->tm_mon + 1,
								  tm->tm_mday) - POSTGRES_EPOCH_JDATE);
}
