/*-------------------------------------------------------------------------
 *
 * encoding.c
 *		Names that databases of other encodings may have to show.
 *
 * The server log, and the files that the whole cluster shares, hold names in
 * UTF-8.  What cannot be converted is left out, and a question mark says so:
 * neither direction raises for the sake of a character.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/string.h"
#include "mb/pg_wchar.h"

#include "encoding.h"

/* Convert a text, as far as it can be. */
static const char *
convert(const char *text, int from, int to)
{
	unsigned char *in = (unsigned char *) unconstify(char *, text);
	Oid			conversion;
	int			len = strlen(text);
	int			room = len * MAX_CONVERSION_GROWTH + 1;
	int			done;
	char	   *out;

	conversion = FindDefaultConversionProc(from, to);
	if (!OidIsValid(conversion))
		return text;
	out = palloc0(room + 1);
	done = pg_do_encoding_conversion_buf(conversion, from, to, in, len,
										 (unsigned char *) out, room, true);
	if (done < len)
		strlcat(out, "?", room + 1);
	return out;
}

/* Are a text's bytes the same in the database's encoding and in UTF-8? */
static bool
is_the_same(const char *text)
{
	int			encoding = GetDatabaseEncoding();

	return encoding == PG_UTF8 || encoding == PG_SQL_ASCII ||
		pg_is_ascii(text);
}

const char *
apigouv_encoding_to_utf8(const char *text)
{
	if (text == NULL || is_the_same(text))
		return text;
	return convert(text, GetDatabaseEncoding(), PG_UTF8);
}

const char *
apigouv_encoding_from_utf8(const char *text)
{
	int			len = strlen(text);
	int			sound = pg_encoding_verifymbstr(PG_UTF8, text, len);

	if (sound < len)
		text = psprintf("%.*s?", sound, text);
	return is_the_same(text) ? text
		: convert(text, PG_UTF8, GetDatabaseEncoding());
}

void
apigouv_encoding_copy(char *out, size_t size, const char *text)
{
	int			all = strlen(text);
	int			len = pg_encoding_mbcliplen(PG_UTF8, text, all,
											(int) size - 1);

	memset(out, 0, size);
	memcpy(out, text, Min(len, all));	/* it may end within a character */
}
