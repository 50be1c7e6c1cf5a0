/*-------------------------------------------------------------------------
 *
 * redact.c
 *		Text that comes from outside, made fit for a message.
 *
 * What an upstream writes in an error may hold control characters, another
 * encoding, a link to a document, the token that was sent to it, or far too
 * many words.  Links are secrets (whoever holds one can read the document),
 * so none passes; nor does any secret that this backend has used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "redact.h"

/* What replaces a link, and a secret, in a message. */
#define LINK_REDACTED "[link]"
#define SECRET_REDACTED "[secret]"

/* Secrets remembered: as many as a backend is likely to use. */
#define MAX_SECRETS 32

static char *secrets[MAX_SECRETS];
static int	next_secret = 0;

/*
 * apigouv_redact_remember
 *		Let no text of an upstream repeat this secret from now on.
 */
void
apigouv_redact_remember(const char *secret)
{
	char	   *copy;

	if (secret == NULL || *secret == '\0')
		return;
	for (int i = 0; i < MAX_SECRETS; i++)
	{
		if (secrets[i] != NULL && strcmp(secrets[i], secret) == 0)
			return;
	}
	copy = MemoryContextStrdup(TopMemoryContext, secret);
	if (secrets[next_secret] != NULL)
	{
		explicit_bzero(secrets[next_secret], strlen(secrets[next_secret]));
		pfree(secrets[next_secret]);
	}
	secrets[next_secret] = copy;
	next_secret = (next_secret + 1) % MAX_SECRETS;
}

/* Length of a secret that starts here, or 0. */
static size_t
secret_length(const char *text, const char *end)
{
	for (int i = 0; i < MAX_SECRETS; i++)
	{
		size_t		len = secrets[i] ? strlen(secrets[i]) : 0;

		if (len > 0 && len <= (size_t) (end - text) &&
			memcmp(text, secrets[i], len) == 0)
			return len;
	}
	return 0;
}

/* Does a text hold a link? */
bool
apigouv_redact_has_link(const char *text)
{
	return strstr(text, "://") != NULL;
}

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
 *		line, without links and secrets, of at most `most` bytes.
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

	len = Min(len, most * 4 + APIGOUV_MAX_SECRET_BYTES);
	len = pg_encoding_mbcliplen(PG_UTF8, text, len, len);
	valid = pg_encoding_verifymbstr(PG_UTF8, text, len) == (int) len;
	end = text + len;
	clean = palloc(len * sizeof(SECRET_REDACTED) + 1);
	out = clean;
	while (text < end)
	{
		size_t		link = link_length(text, end);
		size_t		secret = secret_length(text, end);
		unsigned char c = (unsigned char) *text;

		if (link > 0 || secret > 0)
		{
			const char *word = link > 0 ? LINK_REDACTED : SECRET_REDACTED;

			memcpy(out, word, strlen(word));
			out += strlen(word);
			text += Max(link, secret);
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
