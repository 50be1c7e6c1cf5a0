/*-------------------------------------------------------------------------
 *
 * jwt_fuzz.c
 *		Fuzzing of what is read from a token: its end and its scopes.
 *
 * Input: a byte; with bit 0 the rest is the token, else the claims, of which
 * the target makes one.  Whoever sets a user mapping writes the token.
 *
 * Said of every token, jansson and a reader of base64 of its own being the
 * oracles:
 *	 - a token whose claims say with an integer that it has ended is refused,
 *	   and no other whose end is an integer or is missing;
 *	 - its scopes are the texts of the claims' list, all of them, in order;
 *	 - what cannot be read says nothing, and raises nothing;
 *	 - no message holds a part of the token.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include <jansson.h>

#include "mb/pg_wchar.h"
#include "../../src/token.h"

#define NOW_UNIX	INT64CONST(1750000000)

/* One token, and what was read from it. */
typedef struct Case
{
	ApigouvOptions options;
	ApigouvSecrets secrets;
	List	   *scopes;
	bool		known;			/* are the scopes */
	json_t	   *claims;			/* the oracle's; NULL: it reads none */
	bool		judged;			/* the oracle knows what is right */
} Case;

static char *
encode(const uint8 *bytes, size_t len)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char	   *text = malloc(len * 4 / 3 + 16);
	char	   *out = text + sprintf(text, "e30.");

	for (size_t i = 0; i < len; i += 3)
	{
		uint32		group = bytes[i] << 16;
		int			n = Min(len - i, 3);

		group |= n > 1 ? bytes[i + 1] << 8 : 0;
		group |= n > 2 ? bytes[i + 2] : 0;
		for (int j = 0; j <= n; j++)
			*out++ = digits[group >> (18 - 6 * j) & 63];
	}
	strcpy(out, ".x");
	return text;
}

/* ---- what the module does ---- */

static void
check_end(void *arg)
{
	Case	   *c = arg;

	apigouv_token_check(&c->options, 10, &c->secrets);
}

static void
check_scopes(void *arg)
{
	Case	   *c = arg;
	ListCell   *lc;
	size_t		i = 0;
	json_t	   *list = json_object_get(c->claims, "scopes");

	c->known = apigouv_token_scopes(&c->options, 10, &c->secrets, false,
									&c->scopes);
	(void) apigouv_token_identity(&c->secrets);
	if (!c->judged)
		return;
	CHECK(c->known == json_is_array(list));
	foreach(lc, c->scopes)
	{
		while (i < json_array_size(list) &&
			   !json_is_string(json_array_get(list, i)))
			i++;
		CHECK(i < json_array_size(list));
		CHECK(strcmp(lfirst(lc),
					 json_string_value(json_array_get(list, i))) == 0);
		i++;
	}
	for (; i < json_array_size(list); i++)
		CHECK(!json_is_string(json_array_get(list, i)));
}

/* ---- what is right ---- */

static void
judge_end(const Case *c, bool raised)
{
	json_t	   *end = json_object_get(c->claims, "exp");

	if (raised)
	{
		size_t		len = strlen(c->secrets.token);

		CHECK(shim_error.code ==
			  ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION);
		if (len >= 16)
			CHECK(strstr(shim_error.message, c->secrets.token) == NULL &&
				  strstr(shim_error.detail, c->secrets.token) == NULL &&
				  strstr(shim_error.hint, c->secrets.token) == NULL);
	}
	if (!c->judged)
		return;
	if (json_is_integer(end) && json_integer_value(end) > 0)
		CHECK(raised == (json_integer_value(end) <= NOW_UNIX));
	else if (end == NULL)
		CHECK(!raised);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	static const ApigouvApi api = {.name = "made_up", .jwt = true};
	Case		c;
	json_error_t error;
	char	   *token;

	if (size < 1)
		return 0;
	shim_start();
	shim_now = (NOW_UNIX - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
				SECS_PER_DAY) * USECS_PER_SEC;
	memset(&c, 0, sizeof(c));
	if (data[0] & 1)
	{
		token = malloc(size);
		memcpy(token, data + 1, size - 1);
		token[size - 1] = '\0';
	}
	else
	{
		token = encode(data + 1, size - 1);
		c.claims = json_loadb((const char *) data + 1, size - 1,
							  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
							  &error);
		c.judged = true;
	}
	c.options.api = &api;
	c.options.server_name = "srv";
	c.options.base_url = "https://api.example.org";
	c.secrets.auth = APIGOUV_AUTH_BEARER;
	c.secrets.token = token;
	judge_end(&c, !shim_try(check_end, &c));
	CHECK(shim_try(check_scopes, &c));
	json_decref(c.claims);
	free(token);
	return 0;
}
