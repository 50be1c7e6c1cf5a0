/*-------------------------------------------------------------------------
 *
 * redact.c
 *		Text that comes from outside, made fit for a message.
 *
 * What an upstream writes in an error may hold control characters, another
 * encoding, a link to a document, or far too many words.  Links are secrets
 * (whoever holds one can read the document), so none passes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "mb/pg_wchar.h"

#include "reply.h"

/* What replaces a link in a message. */
#define LINK_REDACTED "[link]"

/* Length of a link that starts here, or 0. */
static size_t
link_length(const char *text, const char *end)
{
	const char *p;

	if (end - text < 8 ||
		(pg_strncasecmp(text, "https://", 8) != 0 &&
		 pg_strncasecmp(text, "http://", 7) != 0))
		return 0;
	for (p = text; p < end && (unsigned char) *p > ' ' &&
		 *p != '"' && *p != '<' && *p != '>'; p++)
		;
	return p - text;
}

/*
 * apigouv_clean_text
 *		A text of an upstream for a message: in the server's encoding, on one
 *		line, without links, of at most `most` bytes.
 *
 * Text that is not valid UTF-8 loses its bytes above 127.  Palloc'd.
 */
char *
apigouv_clean_text(const char *text, size_t len, size_t most)
{
	const char *end;
	bool		valid;
	char	   *clean;
	char	   *out;

	len = Min(len, most * 4);
	len = pg_encoding_mbcliplen(PG_UTF8, text, len, len);
	valid = pg_encoding_verifymbstr(PG_UTF8, text, len) == (int) len;
	end = text + len;
	clean = palloc(len * (sizeof(LINK_REDACTED)) + 1);
	out = clean;
	while (text < end)
	{
		size_t		link = link_length(text, end);
		unsigned char c = (unsigned char) *text;

		if (link > 0)
		{
			memcpy(out, LINK_REDACTED, sizeof(LINK_REDACTED) - 1);
			out += sizeof(LINK_REDACTED) - 1;
			text += link;
			continue;
		}
		text++;
		if (c < ' ' || c == 0x7f)
			c = ' ';
		if (c > 0x7f && !valid)
			c = '?';
		if (c == ' ' && (out == clean || out[-1] == ' '))
			continue;
		*out++ = c;
	}
	while (out > clean && out[-1] == ' ')
		out--;
	*out = '\0';
	clean[pg_encoding_mbcliplen(PG_UTF8, clean, out - clean, most)] = '\0';
	if (GetDatabaseEncoding() == PG_UTF8 || pg_is_ascii(clean))
		return clean;
	for (out = clean; *out; out++)	/* one that the server may not hold */
	{
		if (IS_HIGHBIT_SET(*out))
			*out = '?';
	}
	return clean;
}
