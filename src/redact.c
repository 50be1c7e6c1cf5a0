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
 * Of personal data, no message tells a value: errors of the server are raised
 * again without their words, and keys are told by a keyed hash, which lets one
 * see that two are the same and no more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "messages.h"
#include "redact.h"
#include "shared_cache.h"

/* What replaces a link, and a secret, in a message. */
#define LINK_REDACTED "[link]"
#define SECRET_REDACTED "[secret]"

/* Secrets remembered: as many as a backend is likely to use. */
#define MAX_SECRETS 32

/* Parts of links remembered: those of a document or two. */
#define MAX_LINKS 16

/* Shortest part of a link that tells something. */
#define MIN_LINK_BYTES 8

/* A ring of secrets: the newest take the places of the oldest. */
typedef struct Ring
{
	int			size;
	int			next;
	char	   *secrets[MAX_SECRETS];
} Ring;

static Ring credentials = {.size = MAX_SECRETS};
static Ring links = {.size = MAX_LINKS};

/* Remember a secret of so many bytes, unless it is remembered. */
static void
remember(Ring *ring, const char *secret, size_t len)
{
	char	   *copy;
	char	  **place;

	for (int i = 0; i < ring->size; i++)
	{
		if (ring->secrets[i] != NULL && strlen(ring->secrets[i]) == len &&
			memcmp(ring->secrets[i], secret, len) == 0)
			return;
	}
	copy = MemoryContextAlloc(TopMemoryContext, len + 1);
	memcpy(copy, secret, len);
	copy[len] = '\0';
	place = &ring->secrets[ring->next];
	if (*place != NULL)
	{
		explicit_bzero(*place, strlen(*place));
		pfree(*place);
	}
	*place = copy;
	ring->next = (ring->next + 1) % ring->size;
}

/*
 * apigouv_redact_remember
 *		Let no text of an upstream repeat this secret from now on.
 */
void
apigouv_redact_remember(const char *secret)
{
	if (secret != NULL && *secret != '\0')
		remember(&credentials, secret, strlen(secret));
}

/*
 * apigouv_redact_remember_link
 *		Let no text of an upstream repeat a link, nor its path, the end of its
 *		path or its query: whoever knows the host could make the link of it.
 *
 * For the links of the last documents only.
 */
void
apigouv_redact_remember_link(const char *url)
{
	const char *path = strstr(url, "://");
	size_t		path_len;
	const char *end;

	path = path != NULL ? strchr(path + 3, '/') : NULL;
	if (path == NULL)
		return;
	path_len = strcspn(path, "?");
	for (end = path + path_len; end[-1] != '/'; end--)
		;
	if (path + path_len - end >= MIN_LINK_BYTES)
		remember(&links, end, path + path_len - end);
	if (path_len >= MIN_LINK_BYTES)
		remember(&links, path, path_len);
	if (strlen(path + path_len) >= MIN_LINK_BYTES)
	{
		remember(&links, path, strlen(path));
		remember(&links, path + path_len, strlen(path + path_len));
	}
}

/* Length of a secret of a ring that starts here, the longest; or 0. */
static size_t
length_in(const Ring *ring, const char *text, const char *end)
{
	size_t		longest = 0;

	for (int i = 0; i < ring->size; i++)
	{
		size_t		len = ring->secrets[i] ? strlen(ring->secrets[i]) : 0;

		if (len > longest && len <= (size_t) (end - text) &&
			memcmp(text, ring->secrets[i], len) == 0)
			longest = len;
	}
	return longest;
}

/* Length of a secret that starts here, or 0. */
static size_t
secret_length(const char *text, const char *end)
{
	return Max(length_in(&credentials, text, end),
			   length_in(&links, text, end));
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

/* ---- personal data ---- */

/*
 * Letters from U+00C0 to U+017F, without accent nor case; a blank for what is
 * no letter.  The first letter only of those that stand for two.
 */
static const char bare_letters[] =
"aaaaaaaceeeeiiii" "dnooooo ouuuuyts"
"aaaaaaaceeeeiiii" "dnooooo ouuuuyty"
"aaaaaaccccccccdd" "ddeeeeeeeeeegggg"
"gggghhhhiiiiiiii" "iiiijjkkklllllll"
"lllnnnnnnnnnoooo" "oooorrrrrrssssss"
"ssttttttuuuuuuuu" "uuuuwwyyyzzzzzzs";

/*
 * bare_letter
 *		Add the letter at p, in UTF-8, of two bytes; false if it is another
 *		character.
 */
static bool
bare_letter(StringInfo buf, const unsigned char *p)
{
	int			code = (p[0] & 0x1f) << 6 | (p[1] & 0x3f);

	if (code >= 0x300 && code <= 0x36f)
		return true;			/* the accent of the letter before */
	if (code < 0xc0 || code > 0x17f)
		return false;
	appendStringInfoChar(buf, bare_letters[code - 0xc0]);
	if (code == 0xc6 || code == 0xe6 || code == 0x152 || code == 0x153)
		appendStringInfoChar(buf, 'e');
	else if (code == 0xdf)
		appendStringInfoChar(buf, 's');
	return true;
}

/*
 * words_of
 *		The words of a text in UTF-8 without case, accents and punctuation,
 *		each between blanks: palloc'd.
 *
 * An administration writes "LE GOFF ANNE MARIE" where it was asked for
 * "Le Goff", "Anne-Marie".
 */
static char *
words_of(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, ' ');
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0';)
	{
		int			len = strnlen((const char *) p, pg_utf_mblen(p));
		bool		is_dash = len == 3 && p[0] == 0xe2 && p[1] == 0x80;

		if (!IS_HIGHBIT_SET(*p) && isalnum(*p))
			appendStringInfoChar(&buf, pg_ascii_tolower(*p));
		else if (IS_HIGHBIT_SET(*p) && !is_dash)
		{
			if (len != 2 || !bare_letter(&buf, p))
				appendBinaryStringInfo(&buf, (const char *) p, len);
		}
		else if (buf.data[buf.len - 1] != ' ')
			appendStringInfoChar(&buf, ' ');
		p += len;
	}
	if (buf.data[buf.len - 1] != ' ')
		appendStringInfoChar(&buf, ' ');
	return buf.data;
}

/*
 * apigouv_redact_has_word
 *		Does a text hold another as whole words, whatever their case, accents
 *		and punctuation?  Both are in UTF-8.
 */
bool
apigouv_redact_has_word(const char *text, const char *word)
{
	const char *words = words_of(word);

	return words[1] != '\0' && strstr(words_of(text), words) != NULL;
}

/*
 * tells_no_value
 *		Is an error of a kind whose words repeat no value?
 *
 * What the machine, the network, other sessions, missing rights, the user's
 * cancel or this extension say.
 */
static bool
tells_no_value(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case MAKE_SQLSTATE('0', '8', '0', '0', '0'):
		case MAKE_SQLSTATE('2', '8', '0', '0', '0'):
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '4', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):
		case MAKE_SQLSTATE('F', '0', '0', '0', '0'):
		case MAKE_SQLSTATE('H', 'V', '0', '0', '0'):
			return true;
		default:
			return code == ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
}

/*
 * apigouv_redact_error
 *		In PG_CATCH: raise the error again without its words, unless it is of
 *		a kind that tells no value; then it returns.
 *
 * Input functions quote what they cannot read.  condition_of: name of the
 * table whose conditions were being checked; NULL when a value was read.
 */
void
apigouv_redact_error(const char *condition_of)
{
	int			code = geterrcode();

	if (tells_no_value(code))
		return;
	FlushErrorState();
	if (condition_of != NULL)
		ereport(ERROR,
				(errcode(code),
				 errmsg("could not check a condition on foreign table \"%s\"",
						condition_of),
				 errdetail("What went wrong may tell personal data, and is not shown.")));
	ereport(ERROR,
			(errcode(code),
			 errmsg("response holds a value that its column cannot hold"),
			 errdetail("It is personal data, and not shown.")));
}

/*
 * apigouv_redact_key
 *		A keyed hash of texts that are personal data, for messages: palloc'd,
 *		or NULL when the cluster has no key.
 *
 * Without the key, a hash of a name and a birth date could be undone by
 * trying all of them.
 */
char *
apigouv_redact_key(int n, const char *const *texts)
{
	uint8		bytes[8];
	char	   *hex;

	if (!apigouv_shared_hash("key", n, texts, bytes, sizeof(bytes)))
		return NULL;
	hex = palloc(2 * sizeof(bytes) + 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return hex;
}
