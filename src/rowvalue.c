/*-------------------------------------------------------------------------
 *
 * rowvalue.c
 *		Values found in a reply: checks, texts, what is inside them.
 *
 * A value is a piece of the reply's text, whose structure the scanner has
 * checked.  No tree is built here either: each look inside a value walks its
 * text.  Nothing is allocated.
 *
 * No PostgreSQL header: this module builds stand-alone, as rowstream.c does.
 *
 * Not here: types of columns (value.c).
 *
 *-------------------------------------------------------------------------
 */
#include "rowstream.h"
#include "rowstream_scan.h"
#include "rowstream_trie.h"

#include <string.h>

#define BARE_QUOTE		gettext_noop("quote inside a string")

/*
 * apigouv_value_check
 *		Is a value that is about to be used right in all respects?
 *
 * Its structure is checked again, so the value may come from anywhere.
 * \u0000 in the name of a member is refused whatever nul_ok says.
 */
const char *
apigouv_value_check(const ApigouvValue *value, bool nul_ok)
{
	const char *p = value->text;
	bool		escaped;
	Scan		s;

	if (value->kind < APIGOUV_NUMBER)
		return NULL;
	if (value->len == 0)
		return value->kind == APIGOUV_STRING ? NULL : ENDS_EARLY;
	scan_init(&s, value->text + value->len, true);
	s.nul_ok = nul_ok;
	if (value->kind == APIGOUV_STRING)
	{
		p = string_body(&s, p, true, &escaped);
		if (p != NULL && p < s.end)
			return BARE_QUOTE;
	}
	else if (make_value(p, s.end, false).kind != value->kind)
		return UNEXPECTED;
	else if (value->kind == APIGOUV_NUMBER)
		p = skip_number(&s, p);
	else
		p = check_container(&s, p, 0);
	if (p == NULL)
		return s.error != NULL ? s.error : ENDS_EARLY;
	return p == s.end ? NULL : UNEXPECTED;
}

size_t
apigouv_value_text(const ApigouvValue *value, char *out)
{
	const char *p = value->text;
	const char *end = p + value->len;
	char	   *start = out;

	if (value->len == 0)
		end = p;
	while (p < end)
	{
		const char *escape = NULL;
		size_t		len;
		int			n;

		if (value->escaped)
			escape = memchr(p, '\\', (size_t) (end - p));
		len = (size_t) ((escape != NULL ? escape : end) - p);
		memcpy(out, p, len);
		out += len;
		p += len;
		if (p == end)
			break;
		p = decode_escape(p, end, out, &n);
		if (n == 1 && *out == '\0')
			return (size_t) -1;
		out += n;
	}
	*out = '\0';
	return (size_t) (out - start);
}

/* The last member of an object with that name; false when there is none. */
static bool
find_member(const ApigouvValue *object, const char *name, size_t len,
			ApigouvValue *found)
{
	const char *p = object->text + 1;
	bool		any = false;
	Scan		s;
	int			c;

	scan_init(&s, object->text + object->len, true);
	for (c = peek(&s, &p); c == '"'; c = peek(&s, &p))
	{
		const char *start = p + 1;
		size_t		raw_len;
		bool		escaped = false;
		bool		same;

		p = skip_string(&s, start, false, &escaped);
		if (p == NULL)
			break;
		raw_len = (size_t) (p - 1 - start);
		same = escaped ? escaped_name_is(start, raw_len, name, len) :
			compare_names(start, raw_len, name, len) == 0;
		if (peek(&s, &p) != ':')
			break;
		p++;
		if (peek(&s, &p) < 0)
			break;
		start = p;
		escaped = false;
		p = skip_value(&s, p, 1, &escaped);
		if (p == NULL)
			break;
		if (same)
		{
			*found = make_value(start, p, escaped);
			any = true;
		}
		if (peek(&s, &p) != ',')
			break;
		p++;
	}
	return any;
}

/* The element of an array whose index is a decimal number. */
static bool
find_element(const ApigouvValue *array, const char *number, size_t len,
			 ApigouvValue *found)
{
	size_t		position = 0;
	size_t		left = 0;
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (number[i] < '0' || number[i] > '9')
			return false;
		if (left <= array->len)
			left = left * 10 + (size_t) (number[i] - '0');
	}
	do
	{
		if (!apigouv_value_next(array, &position, found))
			return false;
	} while (left-- > 0);
	return true;
}

/*
 * apigouv_value_get
 *		A value inside another, whose structure is known to be right.
 *
 * path: "" is the value itself; of members with the same name, the last.
 */
ApigouvValue
apigouv_value_get(const ApigouvValue *value, const char *path)
{
	static const ApigouvValue absent = {APIGOUV_ABSENT, false, NULL, 0};
	ApigouvValue here = *value;
	ApigouvValue inner;
	const char *name;
	size_t		len;

	while ((name = take_name(&path, &len)) != NULL)
	{
		bool		found = false;

		if (here.kind == APIGOUV_OBJECT)
			found = find_member(&here, name, len, &inner);
		else if (here.kind == APIGOUV_ARRAY)
			found = find_element(&here, name, len, &inner);
		if (!found)
			return absent;
		here = inner;
	}
	return here;
}

/*
 * Go to the item of a list or object that follows position, which is 0 at its
 * beginning; the first character of it, or of what ends it, -1 past the end.
 */
static int
go_to_item(Scan *s, const ApigouvValue *value, size_t position, const char **p)
{
	int			c;

	scan_init(s, value->text + value->len, true);
	*p = value->text + (position > 0 ? position : 1);
	c = peek(s, p);
	if (position == 0)
		return c;
	if (c != ',')
		return -1;
	(*p)++;
	return peek(s, p);
}

bool
apigouv_value_next(const ApigouvValue *array, size_t *position,
				   ApigouvValue *element)
{
	const char *p;
	const char *start;
	bool		escaped = false;
	Scan		s;
	int			c;

	if (array->kind != APIGOUV_ARRAY)
		return false;
	c = go_to_item(&s, array, *position, &p);
	if (c < 0 || c == ']')
		return false;
	start = p;
	p = skip_value(&s, p, 1, &escaped);
	if (p == NULL)
		return false;
	*element = make_value(start, p, escaped);
	*position = (size_t) (p - array->text);
	return true;
}

bool
apigouv_value_member(const ApigouvValue *object, size_t *position,
					 ApigouvValue *name, ApigouvValue *value)
{
	const char *p;
	const char *start;
	bool		escaped = false;
	Scan		s;

	if (object->kind != APIGOUV_OBJECT ||
		go_to_item(&s, object, *position, &p) != '"')
		return false;
	start = p;
	p = skip_string(&s, p + 1, false, &escaped);
	if (p == NULL)
		return false;
	*name = make_value(start, p, escaped);
	if (peek(&s, &p) != ':')
		return false;
	p++;
	if (peek(&s, &p) < 0)
		return false;
	start = p;
	escaped = false;
	p = skip_value(&s, p, 1, &escaped);
	if (p == NULL)
		return false;
	*value = make_value(start, p, escaped);
	*position = (size_t) (p - object->text);
	return true;
}

bool
apigouv_value_parse(const char *text, size_t len,
					ApigouvValue *value, const char **error)
{
	const char *p = text != NULL ? text : "";
	const char *start;
	bool		escaped = false;
	Scan		s;

	scan_init(&s, p + len, true);
	*error = NULL;
	if (len > 0 && (unsigned char) *p == 0xEF)
		*error = BYTE_ORDER_MARK;
	else if (peek(&s, &p) < 0)
		*error = EMPTY_DOCUMENT;
	if (*error != NULL)
		return false;
	start = p;
	p = skip_value(&s, p, 0, &escaped);
	if (p == NULL)
	{
		*error = s.error != NULL ? s.error : ENDS_EARLY;
		return false;
	}
	*value = make_value(start, p, escaped);
	if (peek(&s, &p) >= 0)
		*error = TEXT_AFTER;
	return *error == NULL;
}
