/*-------------------------------------------------------------------------
 *
 * token.c
 *		Authentication: bearer tokens, OAuth2 client credentials, JWT claims.
 *
 * An OAuth2 access token is kept for the backend's life under the identity
 * it was obtained with, until shortly before it ends.  Each token obtained
 * has a generation number: a request that was refused names the generation
 * it used, so that several refusals of one token renew it once.
 *
 * A JWT is only read, never verified: the API does that.  What its claims
 * say (end, scopes) spares requests that would be refused, and lets a session
 * warn of an end that is near, once for each token.
 *
 * Everything kept here is found by the credentials themselves: other ones, in
 * the same user mapping, begin anew.
 *
 * Routes may be asked without any, or for a person whose token the session
 * has set: such a token is sent as it is, and nothing is read from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "json.h"
#include "limit.h"
#include "messages.h"
#include "redact.h"
#include "reply.h"
#include "tally.h"
#include "texthash.h"
#include "token.h"
#include "xact_cache.h"

/* Longest end of life accepted from a token endpoint, in seconds. */
#define MAX_TOKEN_LIFE_S 86400

/* How long the scopes that the API told are believed, in seconds. */
#define SCOPES_LIFE_S 600

/* An OAuth2 access token.  Lives in token_cxt. */
typedef struct AccessToken
{
	uint64		identity;		/* of the credentials */
	char	   *token_url;
	char	   *client_id;
	char	   *token;
	TimestampTz ends_at;		/* already shortened by renew_before_s */
	uint32		generation;
} AccessToken;

/* Scopes that the API said a token holds.  Lives in token_cxt. */
typedef struct KnownScopes
{
	uint64		identity;		/* of the credentials */
	List	   *scopes;
	TimestampTz ends_at;
} KnownScopes;

static MemoryContext token_cxt = NULL;
static List *access_tokens = NIL;
static List *known_scopes = NIL;
static List *warned = NIL;		/* hashes of tokens, as uint64 * */
static uint32 last_generation = 0;

/* The context of what is kept about credentials. */
static MemoryContext
tokens_context(void)
{
	if (token_cxt == NULL)
		token_cxt = AllocSetContextCreate(TopMemoryContext,
										  "apigouv_fdw access tokens",
										  ALLOCSET_SMALL_SIZES);
	return token_cxt;
}

/*
 * apigouv_token_identity
 *		A number that changes with the credentials, for cache keys.
 */
uint64
apigouv_token_identity(const ApigouvSecrets *secrets)
{
	const char *texts[] = {
		secrets->token, secrets->client_id, secrets->client_secret
	};

	return texthash_several(hash_combine64(secrets->of_session, secrets->umid),
							lengthof(texts), texts);
}

/*
 * jwt_claims
 *		The claims of a JWT, in the current context, or NULL when the token
 *		is not one.
 */
static ApigouvJson *
jwt_claims(const char *token)
{
	const char *start = strchr(token, '.');
	const char *end = start ? strchr(start + 1, '.') : NULL;
	StringInfoData base64;
	char	   *text;
	int			len;
	char		error[256];

	if (end == NULL)
		return NULL;
	initStringInfo(&base64);
	for (const char *p = start + 1; p < end; p++)
		appendStringInfoChar(&base64, *p == '-' ? '+' : *p == '_' ? '/' : *p);
	while (base64.len % 4 != 0)
		appendStringInfoChar(&base64, '=');
	text = palloc(pg_b64_dec_len(base64.len) + 1);
	len = apigouv_base64_decode(base64.data, base64.len, text,
								pg_b64_dec_len(base64.len));
	if (len < 0)
		return NULL;
	return apigouv_json_parse(text, len, error, sizeof(error));
}

/* The texts of a JSON list, in the current context. */
static List *
texts_of(const ApigouvJson *list)
{
	List	   *texts = NIL;

	for (size_t i = 0; i < apigouv_json_size(list); i++)
	{
		const char *text = apigouv_json_string(apigouv_json_at(list, i));

		if (text != NULL)
			texts = lappend(texts, pstrdup(text));
	}
	return texts;
}

/* The moment that a JWT's claims give as its end. */
static TimestampTz
end_of(const ApigouvJson *claims)
{
	double		end = apigouv_json_number(apigouv_json_get(claims, "exp"), 0);

	/* some issuers write 0 for a token without end */
	if (!(end > 0) || end >= (double) (END_TIMESTAMP / USECS_PER_SEC))
		return DT_NOEND;
	return time_t_to_timestamptz((pg_time_t) end);
}

/*
 * apigouv_token_read
 *		What a token says of itself, whatever the API makes of it.
 *
 * Results are in the current context.
 */
void
apigouv_token_read(const char *token, ApigouvTokenFacts *facts)
{
	const ApigouvJson *claims = jwt_claims(token);
	const ApigouvJson *scopes = apigouv_json_get(claims, "scopes");

	facts->is_jwt = apigouv_json_kind(claims) == APIGOUV_JSON_OBJECT;
	/* what an object's first two characters become in base64 */
	facts->looks_like_jwt = strncmp(token, "eyJ", 3) == 0;
	facts->ends_at = end_of(claims);
	facts->has_scopes = apigouv_json_kind(scopes) == APIGOUV_JSON_ARRAY;
	facts->scopes = facts->has_scopes ? texts_of(scopes) : NIL;
}

/*
 * apigouv_token_renewal
 *		How to replace a token, for an error or a warning; in the current
 *		context.
 */
char *
apigouv_token_renewal(const ApigouvOptions *options, Oid userid,
					  const ApigouvSecrets *secrets)
{
	if (secrets->token_file != NULL)
		return psprintf(_("Ask for a new token, and put it into file \"%s\"."),
						secrets->token_file);
	return psprintf(_("Ask for a new token, and set it with ALTER USER MAPPING FOR %s SERVER %s OPTIONS (SET token '...')."),
					secrets->of_public ? "PUBLIC"
					: quote_identifier(GetUserNameFromId(userid, false)),
					quote_identifier(options->server_name));
}

/* Is this the first time that the session asks for a token? */
static bool
is_first_warning(const char *token)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) token,
										   strlen(token), 0);
	MemoryContext old;
	uint64	   *copy;
	ListCell   *lc;

	foreach(lc, warned)
	{
		if (*(uint64 *) lfirst(lc) == hash)
			return false;
	}
	old = MemoryContextSwitchTo(tokens_context());
	copy = palloc(sizeof(uint64));
	*copy = hash;
	warned = lappend(warned, copy);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * apigouv_token_check
 *		Raise an error when a token says that it has ended; warn when it will
 *		within 30 days, once per session.
 *
 * Once per scan, before its first request.
 */
void
apigouv_token_check(const ApigouvOptions *options, Oid userid,
					const ApigouvSecrets *secrets)
{
	ApigouvTokenFacts facts;
	TimestampTz now = GetCurrentTimestamp();

	if (secrets->auth != APIGOUV_AUTH_BEARER || secrets->of_session ||
		!options->api->jwt)
		return;
	apigouv_token_read(secrets->token, &facts);
	if (facts.ends_at <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("token of role \"%s\" on foreign server \"%s\" has ended",
						GetUserNameFromId(userid, false),
						options->server_name),
				 errdetail("It ended at %s.  No request was made.",
						   timestamptz_to_str(facts.ends_at)),
				 errhint("%s", apigouv_token_renewal(options, userid,
													 secrets))));
	if (facts.ends_at - now <= APIGOUV_TOKEN_WARN_US &&
		is_first_warning(secrets->token))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("token of role \"%s\" on foreign server \"%s\" ends soon",
						GetUserNameFromId(userid, false),
						options->server_name),
				 errdetail("It ends at %s.",
						   timestamptz_to_str(facts.ends_at)),
				 errhint("%s", apigouv_token_renewal(options, userid,
													 secrets))));
}

/* What the retry hook must know, until the transfer has ended. */
typedef struct RetryRule
{
	const ApigouvApi *api;
	int			retries;
} RetryRule;

/* Retry hook of token requests: lost connections and gateways' errors. */
static bool
retry_token(const ApigouvTransfer *transfer, void *arg, int *delay_ms)
{
	static const ApigouvRoute no_rules;
	const RetryRule *rule = arg;

	return apigouv_reply_wants_retry(rule->api, &no_rules, rule->retries,
									 transfer, delay_ms);
}

/* The form that asks for an access token. */
static char *
token_form(const ApigouvOptions *options, const ApigouvSecrets *secrets)
{
	StringInfoData form;

	initStringInfo(&form);
	appendStringInfoString(&form, "grant_type=client_credentials&client_id=");
	apigouv_http_escape(&form, secrets->client_id);
	appendStringInfoString(&form, "&client_secret=");
	apigouv_http_escape(&form, secrets->client_secret);
	if (options->api->scope != NULL)
	{
		appendStringInfoString(&form, "&scope=");
		apigouv_http_escape(&form, options->api->scope);
	}
	return form.data;
}

/* Raise the error of a token request that did not give a token. */
static void
raise_no_token(const ApigouvOptions *options, Oid userid,
			   const ApigouvTransfer *transfer, const ApigouvJson *reply)
{
	const char *error = apigouv_json_string(apigouv_json_get(reply, "error"));
	const char *description =
	apigouv_json_string(apigouv_json_get(reply, "error_description"));
	bool		refused = transfer->status == 400 || transfer->status == 401;

	if (transfer->failure != APIGOUV_FAILURE_NONE)
	{
		ApigouvJudgement judgement = {0};
		static const ApigouvRoute no_rules;

		apigouv_reply_raise(options, &no_rules, userid, transfer, &judgement);
	}
	ereport(ERROR,
			(errcode(refused ? ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION
					 : ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("could not obtain an access token for foreign server \"%s\"",
					options->server_name),
			 errdetail("HTTP status %d%s%s%s%s.", transfer->status,
					   error ? ", " : "",
					   error ? apigouv_clean_text(error, strlen(error), 60) : "",
					   description ? ": " : "",
					   description ? apigouv_clean_text(description,
														strlen(description),
														200) : ""),
			 refused
			 ? errhint("Check \"client_id\" and \"client_secret\" in the user mapping of role \"%s\", and that the application has subscribed to this API.",
					   GetUserNameFromId(userid, false))
			 : 0));
}

/*
 * Raise that error, and free the transfer: the transaction may outlive the
 * error, and meet many of them.
 */
static void
release_and_raise(const ApigouvOptions *options, Oid userid,
				  ApigouvTransfer *transfer, const ApigouvJson *reply)
{
	PG_TRY();
	{
		raise_no_token(options, userid, transfer, reply);
	}
	PG_FINALLY();
	{
		apigouv_http_release(transfer);
	}
	PG_END_TRY();
}

/*
 * send_and_wait
 *		Send a request and wait for its end.
 *
 * is_token: it asks for an access token, of another host than the API's.
 * The caller releases the result.  An error releases the transfer, since the
 * transaction may go on without this query.
 */
static ApigouvTransfer *
send_and_wait(const ApigouvOptions *options, Oid userid,
			  const ApigouvSecrets *secrets, ApigouvHttpRequest *request,
			  bool is_token)
{
	ApigouvHttpSettings settings;
	ApigouvLimitHeaders headers = {0};
	ApigouvQuotaLimits limits;
	ApigouvTransfer *transfer;
	RetryRule	rule = {options->api, options->retries};

	apigouv_cache_prepare();	/* so that the transaction's end cancels it */
	apigouv_option_http(options, userid, &settings);
	apigouv_limit_find(options, userid, secrets,
					   is_token ? options->api->token_limit : -1, !is_token,
					   &limits);
	request->limits = &limits;
	request->tally = apigouv_tally_of(options, NULL);
	transfer = apigouv_http_start(&settings, request, &headers, retry_token,
								  &rule);
	PG_TRY();
	{
		while (transfer->state != APIGOUV_TRANSFER_ENDED)
			apigouv_http_wait(transfer, SIZE_MAX);
	}
	PG_CATCH();
	{
		apigouv_http_release(transfer);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return transfer;
}

/*
 * obtain_token
 *		Ask the token endpoint, and fill *token but for its identity.
 *
 * Strings are allocated in token_cxt.
 */
static void
obtain_token(const ApigouvOptions *options, Oid userid,
			 const ApigouvSecrets *secrets, AccessToken *token)
{
	static const char *const headers[] = {
		"Accept: application/json",
		"Content-Type: application/x-www-form-urlencoded",
	};
	ApigouvHttpRequest request = {0};
	ApigouvTransfer *transfer;
	ApigouvJson *reply = NULL;
	const char *text;
	int64		life_s;
	char		error[256];

	request.post = true;
	request.url = options->token_url;
	request.nheaders = lengthof(headers);
	request.headers = headers;
	request.body = token_form(options, secrets);
	request.body_len = strlen(request.body);
	transfer = send_and_wait(options, userid, secrets, &request, true);
	if (transfer->body_len > 0)
		reply = apigouv_json_parse(transfer->body, transfer->body_len, error,
								   sizeof(error));
	text = apigouv_json_string(apigouv_json_get(reply, "access_token"));
	if (transfer->status != 200 || text == NULL || *text == '\0')
		release_and_raise(options, userid, transfer, reply);
	apigouv_http_release(transfer);

	life_s = apigouv_json_integer(apigouv_json_get(reply, "expires_in"), 0);
	life_s = Min(life_s, MAX_TOKEN_LIFE_S);
	/* a token of a short life is kept for half of it */
	life_s = Max(life_s - options->api->renew_before_s, life_s / 2);
	apigouv_redact_remember(text);
	token->token = MemoryContextStrdup(token_cxt, text);
	token->ends_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 life_s * 1000);
	token->generation = ++last_generation;
}

/* The kept token of these credentials, NULL if there is none. */
static AccessToken *
find_token(const ApigouvOptions *options, const ApigouvSecrets *secrets)
{
	uint64		identity = apigouv_token_identity(secrets);
	ListCell   *lc;

	foreach(lc, access_tokens)
	{
		AccessToken *token = lfirst(lc);

		if (token->identity == identity &&
			strcmp(token->token_url, options->token_url) == 0 &&
			strcmp(token->client_id, secrets->client_id) == 0)
			return token;
	}
	return NULL;
}

/*
 * Forget the access tokens that have ended: nothing else does when the
 * credentials of a user mapping have changed.
 */
static void
forget_ended_tokens(void)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *lc;

	foreach(lc, access_tokens)
	{
		AccessToken *token = lfirst(lc);

		if (token->ends_at > now)
			continue;
		if (token->token != NULL)
		{
			explicit_bzero(token->token, strlen(token->token));
			pfree(token->token);
		}
		pfree(token->token_url);
		pfree(token->client_id);
		pfree(token);
		access_tokens = foreach_delete_current(access_tokens, lc);
	}
}

/*
 * apigouv_token_generation
 *		The generation of the access token kept for these credentials, 0 when
 *		there is none: given as stale, another one is obtained.
 */
uint32
apigouv_token_generation(const ApigouvOptions *options,
						 const ApigouvSecrets *secrets)
{
	const AccessToken *token = secrets->auth == APIGOUV_AUTH_OAUTH2
	? find_token(options, secrets) : NULL;

	return token != NULL && token->token != NULL ? token->generation : 0;
}

/* Keep a place for the token of these credentials. */
static AccessToken *
add_token(const ApigouvOptions *options, const ApigouvSecrets *secrets)
{
	MemoryContext old;
	AccessToken *token;

	forget_ended_tokens();
	old = MemoryContextSwitchTo(tokens_context());
	token = palloc0(sizeof(AccessToken));
	token->identity = apigouv_token_identity(secrets);
	token->token_url = pstrdup(options->token_url);
	token->client_id = pstrdup(secrets->client_id);
	access_tokens = lappend(access_tokens, token);
	MemoryContextSwitchTo(old);
	return token;
}

/* An access token that has not ended, obtained if need be. */
static const AccessToken *
access_token(const ApigouvOptions *options, Oid userid,
			 const ApigouvSecrets *secrets, uint32 stale_generation)
{
	AccessToken *token = find_token(options, secrets);
	AccessToken fresh = {0};

	if (token == NULL)
		token = add_token(options, secrets);
	if (token->token != NULL && token->ends_at > GetCurrentTimestamp() &&
		token->generation != stale_generation)
		return token;

	obtain_token(options, userid, secrets, &fresh);
	if (token->token != NULL)
	{
		explicit_bzero(token->token, strlen(token->token));
		pfree(token->token);
	}
	token->token = fresh.token;
	token->ends_at = fresh.ends_at;
	token->generation = fresh.generation;
	return token;
}

/*
 * apigouv_token_header
 *		The header that authenticates a request, or NULL where none does.
 *
 * stale_generation: of a token that was refused, 0 for none; another one is
 * then obtained, unless that was done meanwhile.  *generation: of the token
 * given, 0 when it cannot be renewed.  The result lives in the current
 * context.  May wait for the network.
 */
char *
apigouv_token_header(const ApigouvOptions *options, Oid userid,
					 const ApigouvSecrets *secrets, uint32 stale_generation,
					 uint32 *generation)
{
	const AccessToken *token;

	*generation = 0;
	apigouv_redact_remember(secrets->token);
	apigouv_redact_remember(secrets->client_secret);
	switch (secrets->auth)
	{
		case APIGOUV_AUTH_NONE:
			return NULL;
		case APIGOUV_AUTH_BEARER:
			return psprintf("Authorization: Bearer %s", secrets->token);
		case APIGOUV_AUTH_OAUTH2:
			token = access_token(options, userid, secrets, stale_generation);
			*generation = token->generation;
			return psprintf("Authorization: Bearer %s", token->token);
	}
	return NULL;
}

/* Ask the API which scopes the token holds. */
static bool
ask_scopes(const ApigouvOptions *options, Oid userid,
		   const ApigouvSecrets *secrets, List **scopes)
{
	uint32		generation;
	char	   *headers[2];
	ApigouvHttpRequest request = {0};
	ApigouvTransfer *transfer;
	ApigouvJson *reply;
	char		error[256];

	headers[0] = "Accept: application/json";
	headers[1] = apigouv_token_header(options, userid, secrets, 0,
									  &generation);
	request.url = psprintf("%s%s", options->base_url,
						   options->api->scopes_path);
	request.nheaders = 2;
	request.headers = (const char *const *) headers;
	transfer = send_and_wait(options, userid, secrets, &request, false);
	if (transfer->failure != APIGOUV_FAILURE_NONE || transfer->status != 200)
	{
		apigouv_http_release(transfer);
		return false;
	}
	reply = apigouv_json_parse(transfer->body, transfer->body_len, error,
							   sizeof(error));
	reply = apigouv_json_path(reply, options->api->scopes_value);
	*scopes = texts_of(reply);
	apigouv_http_release(transfer);
	return apigouv_json_kind(reply) == APIGOUV_JSON_ARRAY;
}

/* Find the scopes that were asked of the API for these credentials. */
static KnownScopes *
find_scopes(const ApigouvSecrets *secrets)
{
	uint64		identity = apigouv_token_identity(secrets);
	ListCell   *lc;

	foreach(lc, known_scopes)
	{
		KnownScopes *known = lfirst(lc);

		if (known->identity == identity)
			return known;
	}
	return NULL;
}

/* Keep the scopes of these credentials, for a while. */
static void
keep_scopes(const ApigouvSecrets *secrets, List *scopes)
{
	KnownScopes *known = find_scopes(secrets);
	MemoryContext old = MemoryContextSwitchTo(tokens_context());
	ListCell   *lc;

	if (known == NULL)
	{
		known = palloc0(sizeof(KnownScopes));
		known->identity = apigouv_token_identity(secrets);
		known_scopes = lappend(known_scopes, known);
	}
	list_free_deep(known->scopes);
	known->scopes = NIL;
	foreach(lc, scopes)
		known->scopes = lappend(known->scopes, pstrdup(lfirst(lc)));
	known->ends_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 SCOPES_LIFE_S * 1000);
	MemoryContextSwitchTo(old);
}

/*
 * apigouv_token_scopes
 *		The scopes that a token holds: from its claims, else from the API.
 *
 * may_ask: the API may be asked for them.  False when they cannot be known;
 * then nothing may be concluded.  *scopes: list of texts in the current
 * context.
 */
bool
apigouv_token_scopes(const ApigouvOptions *options, Oid userid,
					 const ApigouvSecrets *secrets, bool may_ask,
					 List **scopes)
{
	ApigouvTokenFacts facts;
	const KnownScopes *known;

	*scopes = NIL;
	if (secrets->auth != APIGOUV_AUTH_BEARER || secrets->of_session ||
		!options->api->jwt)
		return false;
	apigouv_token_read(secrets->token, &facts);
	if (facts.has_scopes)
	{
		*scopes = facts.scopes;
		return true;
	}
	if (options->api->scopes_path == NULL)
		return false;
	known = find_scopes(secrets);
	if (known != NULL && known->ends_at > GetCurrentTimestamp())
	{
		*scopes = list_copy(known->scopes);
		return true;
	}
	if (!may_ask)
		return false;
	if (!ask_scopes(options, userid, secrets, scopes))
		return false;
	keep_scopes(secrets, *scopes);
	return true;
}
