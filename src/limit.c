/*-------------------------------------------------------------------------
 *
 * limit.c
 *		Which limits a request has to fit, and who counts with it.
 *
 * A limit comes from the API definition; the server's option "limits" may say
 * another rate, and "role_limits" gives a role its own share of each, on top.
 * A counter is found by a hash of the limit's name and of what the upstream
 * counts by: the token, the authorisation (which a server's "limit_identity"
 * names, since a token does not tell), the client, or the address, which is
 * the same for the whole cluster.  Nothing of a server, a database or a role
 * is in it, so that all who share a quota share its counter.
 *
 * Not here: counting (quota.c), waiting (admit.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/value.h"

#include "limit.h"
#include "messages.h"

/* ---- options ---- */

/* Cut blanks from both ends of a text, in place. */
static char *
trim(char *text)
{
	size_t		len;

	while (*text == ' ')
		text++;
	len = strlen(text);
	while (len > 0 && text[len - 1] == ' ')
		text[--len] = '\0';
	return text;
}

/*
 * next_item
 *		The next NAME=VALUE of a list separated by commas; false at its end.
 *
 * Cuts *rest, which is a copy of the option's text.
 */
static bool
next_item(char **rest, char **name, char **value)
{
	char	   *item = *rest;
	char	   *comma;
	char	   *equals;

	if (item == NULL)
		return false;
	comma = strchr(item, ',');
	*rest = NULL;
	if (comma != NULL)
	{
		*comma = '\0';
		*rest = comma + 1;
	}
	equals = strrchr(item, '=');
	*value = NULL;
	if (equals != NULL)
	{
		*equals = '\0';
		*value = trim(equals + 1);
	}
	*name = trim(item);
	return true;
}

static void
raise_bad_item(const char *option, const char *text, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", option, text),
			 errhint("%s", hint)));
}

/* Read "250/60s" or "10/1000ms". */
static bool
read_rate(const char *text, ApigouvLimit *limit)
{
	char	   *end;
	long		requests = strtol(text, &end, 10);
	long		window;

	if (end == text || *end != '/' || requests < 1 ||
		requests > MAX_LIMIT_REQUESTS)
		return false;
	text = end + 1;
	window = strtol(text, &end, 10);
	if (end == text || window < 1 || window > MAX_LIMIT_WINDOW_S * 1000)
		return false;
	if (strcmp(end, "s") == 0 && window <= MAX_LIMIT_WINDOW_S)
		window *= 1000;
	else if (strcmp(end, "ms") != 0)
		return false;
	limit->requests = (int) requests;
	limit->window_ms = (int) window;
	return true;
}

/* Names of an API's limits, for a hint. */
static char *
list_limits(const ApigouvApi *api)
{
	StringInfoData buf;

	if (api->nlimits == 0)
		return psprintf(_("API \"%s\" has no limits."), api->name);
	initStringInfo(&buf);
	for (int i = 0; i < api->nlimits; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 api->limits[i].name);
	return psprintf(_("Limits of API \"%s\" are: %s."), api->name,
					buf.data);
}

ApigouvLimit *
apigouv_limit_parse(const ApigouvApi *api, const char *text)
{
	ApigouvLimit *limits = palloc(sizeof(ApigouvLimit) *
								  Max(api->nlimits, 1));
	char	   *rest = text ? pstrdup(text) : NULL;
	char	   *name;
	char	   *value;
	Bitmapset  *given = NULL;

	memcpy(limits, api->limits, sizeof(ApigouvLimit) * api->nlimits);
	while (next_item(&rest, &name, &value))
	{
		int			i = 0;

		while (i < api->nlimits && strcmp(api->limits[i].name, name) != 0)
			i++;
		if (i == api->nlimits)
			raise_bad_item("limits", name, list_limits(api));
		if (value == NULL || !read_rate(value, &limits[i]))
			raise_bad_item("limits", text,
						   psprintf(_("Give limits such as %s=250/60s, with up to %d requests and one day; the units are s and ms."),
									name, MAX_LIMIT_REQUESTS));
		if (bms_is_member(i, given))
			raise_bad_item("limits", text,
						   psprintf(_("Limit \"%s\" is given twice."), name));
		given = bms_add_member(given, i);
	}
	return limits;
}

/*
 * Share of a role in percent by option "role_limits", 0 when it has none.
 * role NULL: only check the text.
 */
static int
share_of(const char *text, const char *role)
{
	char	   *rest = text ? pstrdup(text) : NULL;
	char	   *name;
	char	   *value;
	int			share = 0;
	List	   *roles = NIL;

	while (next_item(&rest, &name, &value))
	{
		char	   *end;
		long		percent = value ? strtol(value, &end, 10) : 0;

		if (*name == '\0' || value == NULL || end == value ||
			strcmp(end, "%") != 0 || percent < 1 || percent > 100)
			raise_bad_item("role_limits", text,
						   _("Give shares of roles such as batch=60%, each from 1% to 100%."));
		if (role == NULL && list_member(roles, makeString(name)))
			raise_bad_item("role_limits", text,
						   psprintf(_("Role \"%s\" is given twice."), name));
		roles = lappend(roles, makeString(name));
		if (role != NULL && strcmp(name, role) == 0)
			share = (int) percent;
	}
	return share;
}

void
apigouv_limit_check_shares(const char *text)
{
	(void) share_of(text, NULL);
}

/* ---- limits of a request ---- */

/* Hash some texts; a NULL text is an empty one. */
static void
hash_texts(const char *const *texts, int n, uint64_t key[2])
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	bool		ok = hash != NULL && pg_cryptohash_init(hash) == 0;

	for (int i = 0; ok && i < n; i++)
	{
		const char *text = texts[i] ? texts[i] : "";

		ok = pg_cryptohash_update(hash, (const uint8 *) text,
								  strlen(text) + 1) == 0;
	}
	ok = ok && pg_cryptohash_final(hash, digest, sizeof(digest)) == 0;
	if (hash != NULL)
		pg_cryptohash_free(hash);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("A hash could not be computed.")));
	memcpy(key, digest, 2 * sizeof(uint64_t));
}

/*
 * identity_of
 *		What the upstream counts a request by.
 *
 * A person's own token belongs to no authorisation nor client of ours: it is
 * counted alone.
 */
static const char *
identity_of(const ApigouvOptions *options, const ApigouvSecrets *secrets,
			ApigouvCountedBy counted_by)
{
	if (secrets->of_session && counted_by != APIGOUV_BY_IP)
		return secrets->token;
	switch (counted_by)
	{
		case APIGOUV_BY_IP:
			return NULL;
		case APIGOUV_BY_CLIENT:
			return options->limit_identity ? options->limit_identity
				: secrets->client_id;
		case APIGOUV_BY_TOKEN:
		case APIGOUV_BY_AUTHORISATION:
			break;
	}
	return options->limit_identity ? options->limit_identity : secrets->token;
}

/* A role's share of a rate, in percent. */
static int
share_of_rate(int requests, int share)
{
	return Max((int) ((int64) requests * share / 100), 1);
}

int
apigouv_limit_rate(const ApigouvOptions *options, Oid userid, int limit)
{
	int			requests = options->limits[limit].requests;
	int			share = options->role_limits == NULL ? 0
	: share_of(options->role_limits, GetUserNameFromId(userid, false));

	return share > 0 ? share_of_rate(requests, share) : requests;
}

/* Add a limit, for everybody (role NULL) or a role's share of it. */
static void
add_limit(const ApigouvOptions *options, const ApigouvSecrets *secrets,
		  const ApigouvLimit *from, const char *role, int share,
		  ApigouvQuotaLimits *limits)
{
	static const char *const counted_by[] = {
		"token", "authorisation", "client", "ip"
	};
	ApigouvQuotaLimit *limit = &limits->limits[limits->n++];
	const char *texts[4];

	texts[0] = from->counter;
	texts[1] = options->limit_identity && !secrets->of_session &&
		from->counted_by != APIGOUV_BY_IP ? "named" : "secret";
	texts[2] = identity_of(options, secrets, from->counted_by);
	texts[3] = role;
	memset(limit, 0, sizeof(*limit));
	hash_texts(texts, lengthof(texts), limit->key);
	limit->requests = role == NULL ? from->requests
		: share_of_rate(from->requests, share);
	limit->window_us = from->window_ms * INT64CONST(1000);
	limit->margin_ms = from->margin_ms;
	limit->is_group = role == NULL && from->counted_by != APIGOUV_BY_IP;
	strlcpy(limit->api, options->api->name, sizeof(limit->api));
	strlcpy(limit->name, from->name, sizeof(limit->name));
	strlcpy(limit->role, role ? role : "", sizeof(limit->role));
	strlcpy(limit->counted_by, counted_by[from->counted_by],
			sizeof(limit->counted_by));
}

void
apigouv_limit_find(const ApigouvOptions *options, Oid userid,
				   const ApigouvSecrets *secrets, int limit, bool from_host,
				   ApigouvQuotaLimits *limits)
{
	int			ip = from_host ? options->api->ip_limit : -1;
	int			wanted[2];
	const char *role = NULL;
	int			share = 0;

	limits->n = 0;
	limits->set = 0;
	wanted[0] = limit;
	wanted[1] = ip == limit ? -1 : ip;
	if (limit < 0 && ip < 0)
		return;
	if (options->role_limits != NULL)
	{
		role = GetUserNameFromId(userid, false);
		share = share_of(options->role_limits, role);
	}
	for (int i = 0; i < 2; i++)
	{
		if (wanted[i] < 0)
			continue;
		add_limit(options, secrets, &options->limits[wanted[i]], NULL, 0,
				  limits);
		if (share > 0)
			add_limit(options, secrets, &options->limits[wanted[i]], role,
					  share, limits);
	}
	for (int i = 0; i < limits->n; i++)
		limits->set = limits->set * 31 + limits->limits[i].key[0];
}

char *
apigouv_limit_window(int requests, int64 window_ms)
{
	char	   *rate = psprintf("%d request%s", requests,
								requests == 1 ? "" : "s");
	char	   *window = window_ms % 1000 != 0
	? psprintf("%lld ms", (long long) window_ms)
	: psprintf("%lld second%s", (long long) (window_ms / 1000),
			   window_ms == 1000 ? "" : "s");

	return psprintf("%s per %s", rate, window);
}

char *
apigouv_limit_words(int requests, int64 window_ms)
{
	char	   *rate = psprintf(ngettext("%d request", "%d requests",
										 (unsigned long) requests), requests);
	char	   *window = window_ms % 1000 != 0
	? psprintf("%lld ms", (long long) window_ms)
	: psprintf(ngettext("%lld second", "%lld seconds",
						(unsigned long) (window_ms / 1000)),
			   (long long) (window_ms / 1000));

	/* translator: a number of requests per a duration */
	return psprintf(_("%s per %s"), rate, window);
}

double
apigouv_limit_least_ms(const ApigouvQuotaLimits *limits, double n)
{
	double		least = 0;

	for (int i = 0; i < limits->n; i++)
	{
		const ApigouvQuotaLimit *limit = &limits->limits[i];
		double		windows = ceil(n / limit->requests) - 1;

		least = Max(least, windows * (limit->window_us / 1000.0 +
									  limit->margin_ms));
	}
	return least;
}
