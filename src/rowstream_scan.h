/*-------------------------------------------------------------------------
 *
 * rowstream_scan.h
 *		Reading of JSON text, token by token: strings, numbers, whole values.
 *
 * Private to rowstream.c, rowvalue.c and unnest.c.  Included so that the
 * compiler can put the two together: one row costs a hundred of these calls.
 * Nothing here knows paths, rows or allocation.
 *
 * Functions that read take a position and return the one after what they
 * read, or NULL with Scan.error and Scan.at set.  None reads at Scan.end or
 * after it.  Those with a parameter "strict" are compiled twice: not strict
 * checks structure, strict also UTF-8, surrogate pairs and \u0000.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ROWSTREAM_SCAN_H
#define APIGOUV_ROWSTREAM_SCAN_H

#include "messages.h"
#include "rowstream.h"

#include <stdint.h>
#include <string.h>

/* -DAPIGOUV_NO_SSE2 tests the plain way on a machine that has SSE2 */
#if defined(__SSE2__) && !defined(APIGOUV_NO_SSE2)
#define APIGOUV_SSE2
#include <emmintrin.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOT_INLINE static __attribute__((noinline, unused))

#define MAX_DEPTH		512		/* containers open at a time */

#define ENDS_EARLY		gettext_noop("document ends too early")
#define EMPTY_DOCUMENT	gettext_noop("document is empty")
#define BYTE_ORDER_MARK	gettext_noop("document starts with a byte order mark")
#define TEXT_AFTER		gettext_noop("text after the end of the document")
#define NOT_A_LIST		gettext_noop("rows are not a list")
#define UNEXPECTED		gettext_noop("unexpected character")
#define TOO_DEEP		gettext_noop("nested too deeply")
#define CONTROL_CHAR	gettext_noop("control character in a string")
#define WRONG_ESCAPE	gettext_noop("malformed escape in a string")
#define WRONG_NUMBER	gettext_noop("malformed number")
#define WRONG_UTF8		gettext_noop("malformed UTF-8 in a string")
#define WRONG_PAIR		gettext_noop("half of a surrogate pair in a string")
#define WRONG_NUL		gettext_noop("\\u0000 in a string")

/* Bytes to read.  Lives for one call. */
typedef struct Scan
{
	const char *end;
	bool		complete;		/* no bytes will come after end */
	bool		nul_ok;			/* strict strings may hold \u0000 */
	const char *error;			/* NULL when it stopped for want of bytes */
	const char *at;				/* where it stopped */
} Scan;

/* ----------------------------------------------------------------
 *		Stopping, and looking at the next byte
 * ----------------------------------------------------------------
 */

NOT_INLINE const char *
fail(Scan *s, const char *at, const char *error)
{
	s->error = error;
	s->at = at;
	return NULL;
}

NOT_INLINE const char *
run_out(Scan *s)
{
	return fail(s, s->end, NULL);
}

/* What peek returned is not what must come here. */
NOT_INLINE const char *
unexpected(Scan *s, const char *at, int c)
{
	return c < 0 ? run_out(s) : fail(s, at, UNEXPECTED);
}

NOT_INLINE const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* Moves *p over blanks; the byte there, or -1 at the end. */
ALWAYS_INLINE int
peek(const Scan *s, const char **p)
{
	if (*p < s->end && (unsigned char) **p > ' ')
		return (unsigned char) **p;
	*p = skip_blanks(*p, s->end);
	return *p < s->end ? (unsigned char) **p : -1;
}

NOT_INLINE void
scan_init(Scan *s, const char *end, bool complete)
{
	memset(s, 0, sizeof(*s));
	s->end = end;
	s->complete = complete;
}

/* ----------------------------------------------------------------
 *		Strings
 * ----------------------------------------------------------------
 */

#define ONES	(~(uint64_t) 0 / 255)
#define HIGHS	(ONES * 0x80)
#define ZERO_IN(v)	(((v) - ONES) & ~(v) & HIGHS)

/*
 * The first byte from p on that is a quote, a backslash or a control
 * character (with ascii: or not ASCII), or end.
 */
ALWAYS_INLINE const char *
plain_run(const char *p, const char *end, bool ascii)
{
#ifdef APIGOUV_SSE2
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i control = _mm_set1_epi8(0x1f);

	for (; end - p >= 16; p += 16)
	{
		__m128i		v = _mm_loadu_si128((const __m128i *) p);
		__m128i		hit = _mm_cmpeq_epi8(_mm_min_epu8(v, control), v);
		int			mask;

		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, quote));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, backslash));
		if (ascii)
			hit = _mm_or_si128(hit, v);
		mask = _mm_movemask_epi8(hit);
		if (mask != 0)
			return p + __builtin_ctz((unsigned) mask);
	}
#endif
	for (; end - p >= 8; p += 8)
	{
		uint64_t	v;
		uint64_t	hit;

		memcpy(&v, p, 8);
		hit = ZERO_IN(v ^ (ONES * '"')) | ZERO_IN(v ^ (ONES * '\\')) |
			((v - ONES * 0x20) & ~v & HIGHS);
		if (ascii)
			hit |= v & HIGHS;
		if (hit != 0)
			break;
	}
	for (; p < end; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x80))
			break;
	}
	return p;
}

NOT_INLINE int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code of four hexadecimal digits, which were checked. */
NOT_INLINE unsigned
hex_four(const char *p)
{
	unsigned	code = 0;
	int			i;

	for (i = 0; i < 4; i++)
		code = code << 4 | ((unsigned) hex_digit(p[i]) & 15);
	return code;
}

/* p: at a backslash.  Letter and hexadecimal digits are checked. */
NOT_INLINE const char *
skip_escape(Scan *s, const char *p)
{
	int			i;

	if (s->end - p < 2)
		return run_out(s);
	if (p[1] != 'u')
		return memchr("\"\\/bfnrt", p[1], 8) != NULL ?
			p + 2 : fail(s, p, WRONG_ESCAPE);
	for (i = 2; i < 6; i++)
	{
		if (p + i == s->end)
			return run_out(s);
		if (hex_digit(p[i]) < 0)
			return fail(s, p, WRONG_ESCAPE);
	}
	return p + 6;
}

/* The same, with surrogate pairs and \u0000. */
NOT_INLINE const char *
check_escape(Scan *s, const char *p)
{
	const char *next = skip_escape(s, p);
	unsigned	code;

	if (next == NULL || p[1] != 'u')
		return next;
	code = hex_four(p + 2);
	if (code == 0 && !s->nul_ok)
		return fail(s, p, WRONG_NUL);
	if (code < 0xD800 || code > 0xDFFF)
		return next;
	if (code >= 0xDC00 || s->end - next < 6 ||
		next[0] != '\\' || next[1] != 'u')
		return fail(s, p, WRONG_PAIR);
	p = next;
	next = skip_escape(s, p);
	if (next == NULL)
		return NULL;
	code = hex_four(p + 2);
	if (code < 0xDC00 || code > 0xDFFF)
		return fail(s, p, WRONG_PAIR);
	return next;
}

/* p: at a byte that is not ASCII.  One character. */
ALWAYS_INLINE const char *
check_utf8(Scan *s, const char *p)
{
	const unsigned char *u = (const unsigned char *) p;
	size_t		left = (size_t) (s->end - p);

#define FOLLOWS(i) ((u[i] & 0xC0) == 0x80)
	if (u[0] >= 0xC2 && u[0] <= 0xDF)
	{
		if (left >= 2 && FOLLOWS(1))
			return p + 2;
	}
	else if ((u[0] & 0xF0) == 0xE0)
	{
		if (left >= 3 && FOLLOWS(1) && FOLLOWS(2) &&
			(u[0] != 0xE0 || u[1] >= 0xA0) &&	/* overlong */
			(u[0] != 0xED || u[1] <= 0x9F)) /* surrogate */
			return p + 3;
	}
	else if (u[0] >= 0xF0 && u[0] <= 0xF4)
	{
		if (left >= 4 && FOLLOWS(1) && FOLLOWS(2) && FOLLOWS(3) &&
			(u[0] != 0xF0 || u[1] >= 0x90) &&	/* overlong */
			(u[0] != 0xF4 || u[1] <= 0x8F)) /* above U+10FFFF */
			return p + 4;
	}
#undef FOLLOWS
	return fail(s, p, WRONG_UTF8);
}

/*
 * p: after the opening quote.  Returns the position of the closing quote, or
 * end when there is none; sets *escaped when it meets a backslash.
 */
ALWAYS_INLINE const char *
string_body(Scan *s, const char *p, bool strict, bool *escaped)
{
	for (;;)
	{
		p = plain_run(p, s->end, strict);
		if (p == s->end || *p == '"')
			return p;
		if (*p == '\\')
		{
			*escaped = true;
			p = strict ? check_escape(s, p) : skip_escape(s, p);
		}
		else if (strict && (unsigned char) *p >= 0x80)
		{
			do
				p = check_utf8(s, p);
			while (p != NULL && p < s->end && (unsigned char) *p >= 0x80);
		}
		else
			return fail(s, p, CONTROL_CHAR);
		if (p == NULL)
			return NULL;
	}
}

/* p: after the opening quote.  Returns the position after the closing one. */
ALWAYS_INLINE const char *
skip_string(Scan *s, const char *p, bool strict, bool *escaped)
{
	p = string_body(s, p, strict, escaped);
	if (p == NULL)
		return NULL;
	return p < s->end ? p + 1 : run_out(s);
}

/*
 * A member's name, p as above.  \u0000 is never right there: no reader of
 * JSON text accepts it.
 */
ALWAYS_INLINE const char *
skip_name(Scan *s, const char *p, bool strict)
{
	bool		nul_ok = s->nul_ok;
	bool		escaped;

	if (strict)
		s->nul_ok = false;
	p = skip_string(s, p, strict, &escaped);
	if (strict)
		s->nul_ok = nul_ok;
	return p;
}

/*
 * The character of an escape that was checked for structure.
 *
 * p: at its backslash.  out: room for 4 bytes of UTF-8; *out_len is their
 * number, 0 for half of a surrogate pair.
 */
NOT_INLINE const char *
decode_escape(const char *p, const char *end, char *out, int *out_len)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	const char *letter;
	unsigned	code;

	if (p[1] != 'u')
	{
		letter = memchr(letters, p[1], sizeof(letters) - 1);
		out[0] = letter != NULL ? meanings[letter - letters] : p[1];
		*out_len = 1;
		return p + 2;
	}
	code = hex_four(p + 2);
	p += 6;
	if (code >= 0xD800 && code <= 0xDBFF && end - p >= 6 &&
		p[0] == '\\' && p[1] == 'u' &&
		hex_four(p + 2) >= 0xDC00 && hex_four(p + 2) <= 0xDFFF)
	{
		code = 0x10000 + ((code - 0xD800) << 10) + (hex_four(p + 2) - 0xDC00);
		p += 6;
		out[0] = (char) (0xF0 | code >> 18);
		out[1] = (char) (0x80 | (code >> 12 & 0x3F));
		out[2] = (char) (0x80 | (code >> 6 & 0x3F));
		out[3] = (char) (0x80 | (code & 0x3F));
		*out_len = 4;
	}
	else if (code >= 0xD800 && code <= 0xDFFF)
		*out_len = 0;
	else if (code < 0x80)
	{
		out[0] = (char) code;
		*out_len = 1;
	}
	else if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		*out_len = 2;
	}
	else
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		*out_len = 3;
	}
	return p;
}

/* Is a name of the document (raw, with escapes) that name? */
NOT_INLINE bool
escaped_name_is(const char *raw, size_t raw_len, const char *name,
				size_t name_len)
{
	const char *end = raw + raw_len;
	const char *name_end = name + name_len;
	char		out[4];
	int			n;

	while (raw < end)
	{
		if (*raw == '\\')
		{
			raw = decode_escape(raw, end, out, &n);
			if (n == 0)
				return false;
		}
		else
		{
			out[0] = *raw++;
			n = 1;
		}
		if (name_end - name < n || memcmp(name, out, (size_t) n) != 0)
			return false;
		name += n;
	}
	return name == name_end;
}

/* ----------------------------------------------------------------
 *		Other values
 * ----------------------------------------------------------------
 */

/* One digit or more. */
NOT_INLINE const char *
skip_digits(Scan *s, const char *p)
{
	if (p == s->end)
		return run_out(s);
	if (*p < '0' || *p > '9')
		return fail(s, p, WRONG_NUMBER);
	do
		p++;
	while (p < s->end && *p >= '0' && *p <= '9');
	return p;
}

NOT_INLINE const char *
skip_number(Scan *s, const char *p)
{
	if (*p == '-')
		p++;
	if (p < s->end && *p == '0')
		p++;
	else if ((p = skip_digits(s, p)) == NULL)
		return NULL;
	if (p < s->end && *p == '.' && (p = skip_digits(s, p + 1)) == NULL)
		return NULL;
	if (p < s->end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		if ((p = skip_digits(s, p)) == NULL)
			return NULL;
	}
	/* only the byte after it shows that a number has ended */
	if (p == s->end && !s->complete)
		return run_out(s);
	return p;
}

NOT_INLINE const char *
skip_literal(Scan *s, const char *p)
{
	const char *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";

	for (; *word != '\0'; word++, p++)
	{
		if (p == s->end)
			return run_out(s);
		if (*p != *word)
			return fail(s, p, UNEXPECTED);
	}
	return p;
}

/* p: at the first byte of a value that is no container. */
ALWAYS_INLINE const char *
skip_scalar(Scan *s, const char *p, bool strict, bool *escaped)
{
	if (*p == '"')
		return skip_string(s, p + 1, strict, escaped);
	if ((*p >= '0' && *p <= '9') || *p == '-')
		return skip_number(s, p);
	if (*p == 'n' || *p == 't' || *p == 'f')
		return skip_literal(s, p);
	return fail(s, p, UNEXPECTED);
}

/*
 * p: at the bracket that opens an object or a list.  depth: containers open
 * around it.
 *
 * Not recursive: a stack of closing brackets says what is open.
 */
ALWAYS_INLINE const char *
container_end(Scan *s, const char *p, int depth, bool strict)
{
	char		closers[MAX_DEPTH + 1];
	int			outside = depth;
	bool		escaped;
	int			c = *p;

	for (;;)
	{
		/* a value begins at p, with c */
		if (c == '{' || c == '[')
		{
			if (depth == MAX_DEPTH)
				return fail(s, p, TOO_DEEP);
			closers[++depth] = c == '{' ? '}' : ']';
			p++;
			c = peek(s, &p);
			if (c != closers[depth])
			{
				if (closers[depth] == '}')
					goto member;
				if (c < 0)
					return run_out(s);
				continue;
			}
			p++;
			depth--;
		}
		else
		{
			p = skip_scalar(s, p, strict, &escaped);
			if (p == NULL)
				return NULL;
		}

		/* a value has ended at p */
		for (;;)
		{
			if (depth == outside)
				return p;
			c = peek(s, &p);
			if (c != closers[depth])
				break;
			p++;
			depth--;
		}
		if (c != ',')
			return unexpected(s, p, c);
		p++;
		c = peek(s, &p);
		if (closers[depth] == '}')
		{
	member:
			if (c != '"')
				return unexpected(s, p, c);
			p = skip_name(s, p + 1, strict);
			if (p == NULL)
				return NULL;
			c = peek(s, &p);
			if (c != ':')
				return unexpected(s, p, c);
			p++;
			c = peek(s, &p);
		}
		if (c < 0)
			return run_out(s);
	}
}

NOT_INLINE const char *
skip_container(Scan *s, const char *p, int depth)
{
	return container_end(s, p, depth, false);
}

NOT_INLINE const char *
check_container(Scan *s, const char *p, int depth)
{
	return container_end(s, p, depth, true);
}

/* p: at the first byte of a value; depth: containers open around it. */
ALWAYS_INLINE const char *
skip_value(Scan *s, const char *p, int depth, bool *escaped)
{
	if (*p == '{' || *p == '[')
		return skip_container(s, p, depth);
	return skip_scalar(s, p, false, escaped);
}

/* The value whose JSON text is from start to end. */
ALWAYS_INLINE ApigouvValue
make_value(const char *start, const char *end, bool escaped)
{
	ApigouvValue value;

	value.escaped = false;
	value.text = start;
	value.len = (size_t) (end - start);
	switch (*start)
	{
		case '"':
			value.kind = APIGOUV_STRING;
			value.escaped = escaped;
			value.text++;
			value.len -= 2;
			break;
		case '{':
			value.kind = APIGOUV_OBJECT;
			break;
		case '[':
			value.kind = APIGOUV_ARRAY;
			break;
		case 'n':
			value.kind = APIGOUV_NULL;
			break;
		case 't':
			value.kind = APIGOUV_TRUE;
			break;
		case 'f':
			value.kind = APIGOUV_FALSE;
			break;
		default:
			value.kind = APIGOUV_NUMBER;
	}
	return value;
}

#endif							/* APIGOUV_ROWSTREAM_SCAN_H */
