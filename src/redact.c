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

/* Is a byte part of a word, accented letters included? */
static bool
is_word_byte(char c)
{
	return isalnum((unsigned char) c) || IS_HIGHBIT_SET(c);
}

/*
 * apigouv_redact_has_word
 *		Does a text hold another as whole words, whatever the case of ASCII
 *		letters?
 */
bool
apigouv_redact_has_word(const char *text, const char *word)
{
	size_t		len = strlen(word);

	if (len == 0)
		return false;
	for (const char *p = text; *p != '\0'; p++)
	{
		if (pg_strncasecmp(p, word, len) == 0 &&
			(p == text || !is_word_byte(p[-1]) || !is_word_byte(*word)) &&
			(!is_word_byte(p[len]) || !is_word_byte(word[len - 1])))
			return true;
	}
	return false;
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
