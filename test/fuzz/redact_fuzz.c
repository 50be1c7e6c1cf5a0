/*-------------------------------------------------------------------------
 *
 * redact_fuzz.c
 *		Fuzzing of what makes texts from outside fit for a message.
 *
 * Input: a byte, the most bytes wanted; then a secret, a link, a text and a
 * word with zero bytes between them.  A text without zero bytes after them
 * may hold some itself.
 *
 * Said of every text:
 *	 - what is made of it is valid UTF-8, on one line, as long as allowed, and
 *	   does not hold the secret, nor the link's path, nor "http://" or
 *	   "https://", even when the text holds them next to each other;
 *	 - nothing but blanks at its ends is lost of a plain one;
 *	 - a text has a word that stands in it, and its own.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include "mb/pg_wchar.h"
#include "../../src/redact.c"

#define NTEXTS 4

typedef struct Case
{
	size_t		most;
	char	   *texts[NTEXTS];	/* secret, link, text, word */
	size_t		len;			/* of the text */
} Case;

static bool
is_utf8(const char *text)
{
	int			len = strlen(text);

	return pg_encoding_verifymbstr(PG_UTF8, text, len) == len;
}

/* No secrets but those of this input. */
static void
forget(Ring *ring)
{
	for (int i = 0; i < ring->size; i++)
	{
		if (ring->secrets[i] != NULL)
			pfree(ring->secrets[i]);
		ring->secrets[i] = NULL;
	}
	ring->next = 0;
}

/* Could a secret be met in what replaces one, or in a text made one line? */
static bool
is_plain_secret(const char *secret)
{
	size_t		len = strlen(secret);

	return len >= MIN_LINK_BYTES && len <= APIGOUV_MAX_SECRET_BYTES &&
		strspn(secret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789-_.") == len;
}

static void
judge_clean(const Case *c, const char *clean)
{
	const char *text = c->texts[2];
	const char *secret = c->texts[0];

	CHECK(strlen(clean) <= c->most);
	CHECK(is_utf8(clean));
	for (const char *p = clean; *p != '\0'; p++)
		CHECK((unsigned char) *p >= ' ' && *p != 0x7f);
	CHECK(*clean != ' ' && strstr(clean, "  ") == NULL);
	for (const char *p = clean; *p != '\0'; p++)
		CHECK(link_length(p, clean + strlen(clean)) == 0);
	if (is_plain_secret(secret))
		CHECK(strstr(clean, secret) == NULL);
	/* a plain text comes through */
	if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == c->len &&
		c->len <= c->most && *secret == '\0' && *c->texts[1] == '\0')
		CHECK(strcmp(clean, text) == 0);
}

static void
work(void *arg)
{
	const Case *c = arg;
	char	   *clean;
	const char *word = c->texts[3];
	MemoryContext old = CurrentMemoryContext;

	/* the server lets no other texts in */
	if (!is_utf8(c->texts[0]))
		c->texts[0][0] = '\0';
	if (!is_utf8(c->texts[1]))
		c->texts[1][0] = '\0';
	apigouv_redact_remember(c->texts[0]);
	apigouv_redact_remember_link(c->texts[1]);
	CHECK(CurrentMemoryContext == old);
	clean = apigouv_clean_text(c->texts[2], c->len, c->most);
	judge_clean(c, clean);
	(void) apigouv_redact_has_link(c->texts[2]);
	if (is_utf8(word) && is_utf8(c->texts[2]))
	{
		char	   *words = words_of(word);

		CHECK(words[0] == ' ' && words[strlen(words) - 1] == ' ');
		CHECK(is_utf8(words) && strcmp(words_of(words), words) == 0);
		CHECK(apigouv_redact_has_word(word, word) == (words[1] != '\0'));
		if (words[1] != '\0')
			CHECK(apigouv_redact_has_word(psprintf("%s, %s; %s", c->texts[2],
												   word, c->texts[2]), word));
	}
	else
		(void) apigouv_redact_has_word(c->texts[2], word);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Case		c;
	char	   *copy;
	char	   *end;

	if (size < 1)
		return 0;
	shim_start();
	c.most = data[0];
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = '\0';
	end = copy + size - 1;
	for (int i = 0; i < NTEXTS; i++)
	{
		c.texts[i] = copy;
		copy = Min(copy + strlen(copy) + 1, end);
	}
	copy = c.texts[0];
	c.len = strlen(c.texts[2]);
	CHECK(shim_try(work, &c));
	/* the same text, in bytes of which some are zero */
	c.len = end - c.texts[2];
	c.texts[3] = end;
	c.texts[1] = end;
	{
		char	   *exact = malloc(c.len + 1);

		memcpy(exact, c.texts[2], c.len);
		exact[c.len] = '\0';
		c.texts[2] = exact;
		CHECK(shim_try(work, &c));
		free(exact);
	}
	forget(&credentials);
	forget(&links);
	free(copy);
	return 0;
}
