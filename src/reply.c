/*-------------------------------------------------------------------------
 *
 * reply.c
 *		What a reply means: rows, no row, try again, or which error.
 *
 * The rules come from the API definition, in its order; the engine has a few
 * of its own for what every HTTP service means.  A definition can thus say
 * that a 500 of one API is an empty list and that a 404 of another is an
 * answer, without any C.
 *
 * Judging does not raise, so that it can be done from the HTTP engine's
 * retry hook.  Raising is a step of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <time.h>

#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/memutils.h"

#include "json.h"
#include "limit.h"
#include "messages.h"
#include "redact.h"
#include "reply.h"

/* Longest error body looked into, in bytes. */
#define MAX_ERROR_BODY (256 * 1024)

/* Longest wait before an attempt is made again, in seconds. */
#define MAX_RETRY_WAIT_S 120

/* Wait after a 429 that does not say how long, in seconds. */
#define DEFAULT_QUOTA_WAIT_S 60

/* First wait of the exponential ones, in ms. */
#define FIRST_RETRY_MS 250

/* Attempts of a connection that could not be made or was lost. */
#define is_connection_failure(failure) \
	((failure) == APIGOUV_FAILURE_CONNECT || (failure) == APIGOUV_FAILURE_LOST)

/*
 * Requests that the quota ledger, their audit, the address they would go to,
 * or a bound on the session did not let go: the upstream has no part in it.
 */
#define is_refused_here(failure) \
	((failure) == APIGOUV_FAILURE_QUOTA || \
	 (failure) == APIGOUV_FAILURE_LEDGER || \
	 (failure) == APIGOUV_FAILURE_AUDIT || \
	 (failure) == APIGOUV_FAILURE_BOUND || \
	 (failure) == APIGOUV_FAILURE_ADDRESS)

/* First text among some paths of a document, copied into buf. */
static void
first_text(const ApigouvJson *root, const ApigouvPaths *paths, char *buf,
		   size_t size)
{
	for (int i = 0; i < paths->n; i++)
	{
		const ApigouvJson *json = apigouv_json_path(root, paths->paths[i]);
		ApigouvJsonKind kind = apigouv_json_kind(json);
		char	   *text;

		if (kind != APIGOUV_JSON_STRING && kind != APIGOUV_JSON_INTEGER)
			continue;
		text = apigouv_json_text(json);
		if (*text == '\0')
			continue;
		strlcpy(buf, apigouv_clean_text(text, strlen(text), size - 1), size);
		return;
	}
}

/* Read code, title and delay from an error body, if it is one. */
static void
read_error_body(const ApigouvApi *api, const ApigouvTransfer *transfer,
				ApigouvJudgement *judgement)
{
	MemoryContext cxt;
	MemoryContext old;
	ApigouvJson *root;
	char		error[256];

	if (transfer->body_len == 0 || transfer->body_len > MAX_ERROR_BODY)
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext,
								"apigouv_fdw error body",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	root = apigouv_json_parse(transfer->body, transfer->body_len, error,
							  sizeof(error));
	if (root != NULL)
	{
		first_text(root, &api->error_code, judgement->code,
				   sizeof(judgement->code));
		first_text(root, &api->error_title, judgement->title,
				   sizeof(judgement->title));
		for (int i = 0; i < api->error_retry_in.n; i++)
			judgement->retry_in_s = (int)
				Min(INT_MAX,
					apigouv_json_integer(apigouv_json_path(root,
														   api->error_retry_in.paths[i]),
										 judgement->retry_in_s));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* Does a code fit a pattern in which "?" stands for any character? */
static bool
code_fits(const char *pattern, const char *code)
{
	while (*pattern && *code && (*pattern == '?' || *pattern == *code))
	{
		pattern++;
		code++;
	}
	return *pattern == '\0' && *code == '\0';
}

static bool
any_code_fits(int n, char **patterns, const char *code)
{
	for (int i = 0; i < n; i++)
	{
		if (code_fits(patterns[i], code))
			return true;
	}
	return false;
}

static bool
status_fits(const ApigouvReplyRule *rule, int status)
{
	for (int i = 0; i < rule->nstatus; i++)
	{
		if (rule->status[i] == status || rule->status[i] == status / 100)
			return true;
	}
	return rule->nstatus == 0;
}

/* Is there nothing but blanks in a reply? */
static bool
is_empty(const ApigouvTransfer *transfer)
{
	return transfer->body_len == 0 ||
		strspn(transfer->body, " \t\r\n") >= transfer->body_len;
}

/* Does a body hold a text? */
static bool
body_has(const ApigouvTransfer *transfer, const char *text)
{
	return transfer->body_len > 0 &&
		memmem(transfer->body, transfer->body_len, text, strlen(text)) != NULL;
}

static bool
rule_fits(const ApigouvReplyRule *rule, const ApigouvTransfer *transfer,
		  const ApigouvJudgement *judgement)
{
	return status_fits(rule, transfer->status) &&
		(rule->ncodes == 0 ||
		 any_code_fits(rule->ncodes, rule->codes, judgement->code)) &&
		!any_code_fits(rule->nnot_codes, rule->not_codes, judgement->code) &&
		(!rule->empty || is_empty(transfer)) &&
		(rule->message_has == NULL || body_has(transfer, rule->message_has));
}

/* The engine's own verdict on a status. */
static ApigouvVerdict
engine_verdict(int status, bool final)
{
	if (status >= 200 && status < 300)
		return APIGOUV_REPLY_ROWS;
	switch (status)
	{
		case 401:
			return APIGOUV_REPLY_TOKEN;
		case 403:
			return APIGOUV_REPLY_REFUSED;
		case 429:
			return APIGOUV_REPLY_QUOTA;
		case 502:
		case 503:
		case 504:
			return final ? APIGOUV_REPLY_UNAVAILABLE : APIGOUV_REPLY_RETRY;
		default:
			return APIGOUV_REPLY_ERROR;
	}
}

/*
 * apigouv_reply_judge
 *		Decide what a transfer that has ended means.
 *
 * final: no attempt will follow, so "retry" becomes what the engine makes of
 * the status.  A transfer without reply is "unavailable".  Does not raise,
 * but for lack of memory.
 */
void
apigouv_reply_judge(const ApigouvApi *api, const ApigouvRoute *route,
					const ApigouvTransfer *transfer, bool final,
					ApigouvJudgement *judgement)
{
	memset(judgement, 0, sizeof(*judgement));
	judgement->retry_in_s = -1;
	if (is_refused_here(transfer->failure))
	{
		judgement->verdict = APIGOUV_REPLY_QUOTA;
		return;
	}
	if (transfer->failure != APIGOUV_FAILURE_NONE)
	{
		/* want of memory here says nothing of the source */
		judgement->verdict = transfer->failure == APIGOUV_FAILURE_MEMORY ?
			APIGOUV_REPLY_ERROR : APIGOUV_REPLY_UNAVAILABLE;
		return;
	}
	if (transfer->status >= 300)
		read_error_body(api, transfer, judgement);
	for (int i = 0; i < route->nrules; i++)
	{
		const ApigouvReplyRule *rule = &route->rules[i];

		if (!rule_fits(rule, transfer, judgement))
			continue;
		judgement->rule = rule;
		judgement->verdict = rule->verdict;
		if (rule->verdict == APIGOUV_REPLY_RETRY && final)
			judgement->verdict = engine_verdict(transfer->status, true);
		return;
	}
	judgement->verdict = engine_verdict(transfer->status, final);
}

/*
 * apigouv_reply_is_rows
 *		Does a 200 of a route hold rows, whatever its body says?
 *
 * Then they can be read before the body is whole.  is_long: it is not empty.
 */
bool
apigouv_reply_is_rows(const ApigouvRoute *route, bool is_long)
{
	for (int i = 0; i < route->nrules; i++)
	{
		const ApigouvReplyRule *rule = &route->rules[i];

		/* the body of a 200 has no code */
		if (rule->verdict != APIGOUV_REPLY_ROWS &&
			status_fits(rule, 200) && rule->ncodes == 0 &&
			!(rule->empty && is_long))
			return false;
	}
	return true;
}

/* An exponential wait with jitter, in ms; n counts from 1. */
static int
exponential_ms(int n)
{
	double		ms = FIRST_RETRY_MS * (double) (1 << Min(n - 1, 8));

	return (int) (ms * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state)));
}

/* How long a reply asks to wait, in seconds; -1 when it does not. */
static int
asked_wait_s(const ApigouvTransfer *transfer,
			 const ApigouvJudgement *judgement)
{
	if (transfer->retry_after_s >= 0)
		return transfer->retry_after_s;
	if (judgement->retry_in_s >= 0)
		return judgement->retry_in_s;
	if (transfer->status == 429 && transfer->limit_reset_s >= 0)
		return (int) Max(transfer->limit_reset_s, 1);
	return -1;
}

/* The same in ms, or the fallback. */
static int
asked_wait_ms(const ApigouvTransfer *transfer,
			  const ApigouvJudgement *judgement, int fallback_ms)
{
	int			seconds = asked_wait_s(transfer, judgement);

	if (seconds < 0)
		return fallback_ms;
	/* a little later than asked: clocks are not the same */
	return Min(seconds, INT_MAX / 2000) * 1000 + 50;
}

/*
 * apigouv_reply_wants_retry
 *		Should an attempt that has ended be made again, and when?
 *
 * retries: attempts after the first, at most.  Sets *delay_ms.
 */
bool
apigouv_reply_wants_retry(const ApigouvApi *api, const ApigouvRoute *route,
						  int retries, const ApigouvTransfer *transfer,
						  int *delay_ms)
{
	ApigouvJudgement judgement;
	int			fallback_ms = exponential_ms(transfer->attempts);

	if (transfer->failure != APIGOUV_FAILURE_NONE)
	{
		*delay_ms = fallback_ms;
		return is_connection_failure(transfer->failure) &&
			transfer->attempts <= retries;
	}
	apigouv_reply_judge(api, route, transfer, false, &judgement);
	if (judgement.verdict != APIGOUV_REPLY_RETRY &&
		judgement.verdict != APIGOUV_REPLY_QUOTA)
		return false;
	if (judgement.rule != NULL && judgement.rule->times >= 0)
		retries = Min(retries, judgement.rule->times);
	if (judgement.rule != NULL && judgement.rule->after_ms > 0)
		fallback_ms = judgement.rule->after_ms <<
			Min(transfer->attempts - 1, 8);
	else if (judgement.verdict == APIGOUV_REPLY_QUOTA)
		fallback_ms = DEFAULT_QUOTA_WAIT_S * 1000;
	*delay_ms = asked_wait_ms(transfer, &judgement, fallback_ms);
	if (judgement.verdict == APIGOUV_REPLY_QUOTA)
		return apigouv_http_refused(transfer, *delay_ms) &&
			transfer->attempts <= retries;
	return transfer->attempts <= retries &&
		*delay_ms <= MAX_RETRY_WAIT_S * 1000;
}

/*
 * apigouv_reply_describe
 *		A failure in a few words, for column "erreur".  Palloc'd.
 */
char *
apigouv_reply_describe(const ApigouvTransfer *transfer,
					   const ApigouvJudgement *judgement)
{
	if (transfer->failure != APIGOUV_FAILURE_NONE)
		return pstrdup(transfer->failure_text);
	if (judgement->code[0] != '\0' && judgement->title[0] != '\0')
		return psprintf("HTTP %d, %s: %s", transfer->status, judgement->code,
						judgement->title);
	if (judgement->title[0] != '\0')
		return psprintf("HTTP %d: %s", transfer->status, judgement->title);
	if (judgement->code[0] != '\0')
		return psprintf("HTTP %d, %s", transfer->status, judgement->code);
	return psprintf("HTTP %d", transfer->status);
}

/* A failure's text as the beginning of a sentence. */
static char *
as_sentence(const char *text)
{
	char	   *copy = pstrdup(text);

	copy[0] = pg_toupper((unsigned char) copy[0]);
	return copy;
}

/*
 * DETAIL: which limit has no slot.  seconds: until one can be expected;
 * retry_at: when that is.
 */
static int
detail_quota(const ApigouvQuotaRefusal *quota, int seconds,
			 const char *retry_at)
{
	char	   *rate = apigouv_limit_words(quota->requests, quota->window_ms);

	if (quota->role[0] != '\0')
		return errdetail_plural("Limit \"%s\" of role \"%s\" is %s; %d second remains, retry_at=%s.",
								"Limit \"%s\" of role \"%s\" is %s; %d seconds remain, retry_at=%s.",
								seconds, quota->limit, quota->role, rate,
								seconds, retry_at);
	return errdetail_plural("Limit \"%s\" is %s; %d second remains, retry_at=%s.",
							"Limit \"%s\" is %s; %d seconds remain, retry_at=%s.",
							seconds, quota->limit, rate, seconds, retry_at);
}

/*
 * raise_refused_here
 *		Raise the error of a request that was not let go, because of where it
 *		would have gone, by its audit, a bound or the quota ledger.
 *
 * DETAIL of the last ends with the moment from which a slot can be
 * expected, in a form for programs.
 */
static void
raise_refused_here(const ApigouvOptions *options,
				   const ApigouvTransfer *transfer)
{
	const ApigouvQuotaRefusal *quota = &transfer->quota;
	int			seconds = (int) ((quota->wait_ms + 999) / 1000);
	pg_time_t	moment = time(NULL) + seconds;
	char		retry_at[32];

	if (transfer->failure == APIGOUV_FAILURE_AUDIT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not send a request to foreign server \"%s\": its audit line could not be written to the server log",
						options->server_name),
				 errdetail("The request was not made.")));
	if (transfer->failure == APIGOUV_FAILURE_ADDRESS)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot connect to address %s of foreign server \"%s\"",
						transfer->address, options->server_name),
				 errdetail("%s.  No request was made.",
						   as_sentence(transfer->failure_text)),
				 transfer->may_be_listed
				 ? errhint("If that is right, a superuser can list the address in option \"private_addresses\" of the foreign server.")
				 : 0));
	if (transfer->failure == APIGOUV_FAILURE_BOUND)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not send a request to foreign server \"%s\": the session's bound is reached",
						options->server_name),
				 errhint("The bound is that of apigouv_bound_requests, until the transaction ends.")));
	if (transfer->failure == APIGOUV_FAILURE_LEDGER)
		ereport(ERROR,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("could not send a request to foreign server \"%s\": the quota ledger cannot be used",
						options->server_name),
				 errdetail("%s.", as_sentence(transfer->failure_text)),
				 errhint("Nothing is sent without counting it: let the server's system user read and write that file.")));
	pg_strftime(retry_at, sizeof(retry_at), "%Y-%m-%dT%H:%M:%SZ",
				pg_gmtime(&moment));
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not send a request to foreign server \"%s\": request quota is exhausted",
					options->server_name),
			 detail_quota(quota, seconds, retry_at),
			 errhint("Run the query again later, or raise server option \"quota_wait_ms\".")));
}

/* What to do about a connection that cannot be made; NULL: nothing known. */
static const char *
advice_on(const ApigouvOptions *options, const ApigouvTransfer *transfer)
{
	switch (transfer->cause)
	{
		case APIGOUV_CAUSE_NAME:
			return gettext_noop("Check the host's name in the options of the foreign server, and that the database server resolves names; where only a proxy does, a superuser names it in option \"proxy\".");
		case APIGOUV_CAUSE_REFUSED:
			return gettext_noop("Nothing listens there: check the address in the options of the foreign server.");
		case APIGOUV_CAUSE_TIMEOUT:
			return gettext_noop("A firewall may drop it: let the database server reach that address, or name the proxy that does in option \"proxy\" of the foreign server; a slow network needs a higher \"connect_timeout_ms\".");
		case APIGOUV_CAUSE_AUTHORITY:
			return gettext_noop("The certificate is of an authority that is not trusted: one of your organisation goes to option \"ca_file\" of the foreign server; else the system's certificates may be out of date, or somebody stands between.");
		case APIGOUV_CAUSE_EXPIRED:
			return gettext_noop("The certificate has ended, or not begun: check the clock of the database server; if it is right, only the other side can mend it.");
		case APIGOUV_CAUSE_OTHER_HOST:
			return gettext_noop("The certificate is of another host: check the address in the options of the foreign server.");
		case APIGOUV_CAUSE_CA_FILE:
			if (options->ca_file == NULL)
				return gettext_noop("The system has no certificates of authorities to trust: install them (package ca-certificates), or name yours in option \"ca_file\" of the foreign server.");
			return gettext_noop("Check option \"ca_file\" of the foreign server: the database user must be able to read that file, and it must hold certificates.");
		case APIGOUV_CAUSE_UNKNOWN:
			break;
	}
	return NULL;
}

/* Raise the error of a transfer that got no reply. */
static void
raise_failure(const ApigouvOptions *options, const ApigouvTransfer *transfer)
{
	int			code = ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION;
	const char *advice = NULL;

	if (is_refused_here(transfer->failure))
		raise_refused_here(options, transfer);
	switch (transfer->failure)
	{
		case APIGOUV_FAILURE_TOO_LARGE:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("response of foreign server \"%s\" is larger than %d bytes",
							options->server_name,
							options->response_max_bytes),
					 errhint("Add conditions to the query, or raise server option \"response_max_bytes\".")));
			break;
		case APIGOUV_FAILURE_MEMORY:
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("A response of foreign server \"%s\" does not fit.",
							   options->server_name)));
			break;
		case APIGOUV_FAILURE_ENCODING:
			ereport(ERROR,
					(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
					 errmsg("could not decompress the response of foreign server \"%s\"",
							options->server_name),
					 errdetail("%s.", as_sentence(transfer->failure_text))));
			break;
		case APIGOUV_FAILURE_TIMEOUT:
		case APIGOUV_FAILURE_LOST:
			code = ERRCODE_CONNECTION_FAILURE;
			break;
		case APIGOUV_FAILURE_CONNECT:
		case APIGOUV_FAILURE_TLS:
			advice = advice_on(options, transfer);
			break;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(code),
			 code == ERRCODE_CONNECTION_FAILURE
			 ? errmsg("connection to foreign server \"%s\" was lost or too slow",
					  options->server_name)
			 : errmsg("could not connect to foreign server \"%s\"",
					  options->server_name),
			 errdetail_plural("%s, after %d attempt.", "%s, after %d attempts.",
							  transfer->attempts,
							  as_sentence(transfer->failure_text),
							  transfer->attempts),
			 advice != NULL ? errhint("%s", _(advice)) : 0));
}

/* The scopes of which a route needs one, as a list for people. */
char *
apigouv_reply_scopes(const ApigouvRoute *route)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < route->nscopes; i++)
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "",
						 route->scopes[i]);
	return buf.data;
}

/* The engine's own advice about an error; NULL if it has none. */
static char *
engine_hint(const ApigouvOptions *options, const ApigouvRoute *route,
			Oid userid, const ApigouvTransfer *transfer,
			const ApigouvJudgement *judgement)
{
	char	   *role = GetUserNameFromId(userid, true);
	int			wait_s;

	switch (judgement->verdict)
	{
		case APIGOUV_REPLY_TOKEN:
			if (route->auth == APIGOUV_ROUTE_AUTH_SESSION)
				return pstrdup(_("Such a token lives for about a minute: set \"apigouv_fdw.france_connect_token\" to a fresh one in the transaction that asks."));
			if (route->auth == APIGOUV_ROUTE_AUTH_NONE)
				return NULL;
			return psprintf(_("Check the user mapping of role \"%s\" on foreign server \"%s\"."),
							role ? role : "?", options->server_name);
		case APIGOUV_REPLY_REFUSED:
			if (route->auth == APIGOUV_ROUTE_AUTH_SESSION)
				return pstrdup(_("The FranceConnect token lacks a right that this route needs."));
			if (route->auth == APIGOUV_ROUTE_AUTH_NONE)
				return NULL;
			if (route->nscopes == 0)
				return psprintf(_("The token in the user mapping of role \"%s\" on foreign server \"%s\" lacks a right."),
								role ? role : "?", options->server_name);
			return psprintf(_("The token in the user mapping of role \"%s\" on foreign server \"%s\" needs one of the scopes %s."),
							role ? role : "?", options->server_name,
							apigouv_reply_scopes(route));
		case APIGOUV_REPLY_QUOTA:
		case APIGOUV_REPLY_UNAVAILABLE:
			wait_s = asked_wait_s(transfer, judgement);
			if (wait_s > 0)
				return psprintf(ngettext("Run the query again in %d second.",
										 "Run the query again in %d seconds.",
										 (unsigned long) wait_s), wait_s);
			return pstrdup(_("Run the query again later."));
		default:
			return NULL;
	}
}

/*
 * apigouv_reply_rule_hint
 *		What the definition advises about a reply; NULL if nothing.
 *
 * The catalog holds the hints of the definitions that are installed.
 */
const char *
apigouv_reply_rule_hint(const ApigouvJudgement *judgement)
{
	const char *hint = judgement->rule ? judgement->rule->hint : NULL;

	/* the translation of an empty text is the head of the catalog */
	return hint != NULL && *hint != '\0' ? _(hint) : NULL;
}

/* What to do about an error: the engine's advice, then the definition's. */
static char *
hint_of(const ApigouvOptions *options, const ApigouvRoute *route, Oid userid,
		const ApigouvTransfer *transfer, const ApigouvJudgement *judgement)
{
	char	   *engine = engine_hint(options, route, userid, transfer,
									 judgement);
	const char *rule = apigouv_reply_rule_hint(judgement);

	if (rule == NULL)
		return engine;
	return engine == NULL ? pstrdup(rule) : psprintf("%s %s", engine, rule);
}

static int
sqlstate_of(ApigouvVerdict verdict)
{
	switch (verdict)
	{
		case APIGOUV_REPLY_TOKEN:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case APIGOUV_REPLY_REFUSED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case APIGOUV_REPLY_QUOTA:
			return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		default:
			return ERRCODE_FDW_UNABLE_TO_CREATE_REPLY;
	}
}

/*
 * apigouv_reply_request_id
 *		The reply's X-Request-Id for a message, palloc'd.
 */
char *
apigouv_reply_request_id(const ApigouvTransfer *transfer)
{
	return apigouv_clean_text(transfer->request_id,
							  strlen(transfer->request_id),
							  sizeof(transfer->request_id));
}

/*
 * apigouv_reply_detail
 *		What an error's DETAIL says of a reply, palloc'd.
 */
char *
apigouv_reply_detail(const ApigouvTransfer *transfer,
					 const ApigouvJudgement *judgement)
{
	StringInfoData buf;
	const char *end;

	initStringInfo(&buf);
	appendStringInfoString(&buf, apigouv_reply_describe(transfer, judgement));
	if (judgement->title[0] == '\0' && !judgement->is_silent &&
		transfer->body_len > 0 &&
		pg_strncasecmp(transfer->content_type, "text/plain", 10) == 0)
		appendStringInfo(&buf, ": %s",
						 apigouv_clean_text(transfer->body,
											transfer->body_len, 200));
	end = buf.data + buf.len - 1;
	if (*end != '.' && *end != '!' && *end != '?')
		appendStringInfoChar(&buf, '.');
	if (transfer->request_id[0] != '\0')
		appendStringInfo(&buf, " X-Request-Id: %s.",
						 apigouv_reply_request_id(transfer));
	return buf.data;
}

/* The error message for a token that an API refuses. */
static int
token_message(const ApigouvRoute *route, const char *server)
{
	switch (route->auth)
	{
		case APIGOUV_ROUTE_AUTH_SESSION:
			return errmsg("foreign server \"%s\" refused the FranceConnect token",
						  server);
		case APIGOUV_ROUTE_AUTH_NONE:
			return errmsg("foreign server \"%s\" refused a request without token",
						  server);
		case APIGOUV_ROUTE_AUTH_API:
			break;
	}
	return errmsg("foreign server \"%s\" refused the token", server);
}

/*
 * apigouv_reply_raise
 *		Raise the error that a judgement stands for.
 *
 * userid: the role whose user mapping was used, for the hint.
 */
void
apigouv_reply_raise(const ApigouvOptions *options, const ApigouvRoute *route,
					Oid userid, const ApigouvTransfer *transfer,
					const ApigouvJudgement *judgement)
{
	char	   *hint = hint_of(options, route, userid, transfer, judgement);
	const char *server = options->server_name;

	if (transfer->failure != APIGOUV_FAILURE_NONE)
		raise_failure(options, transfer);
	ereport(ERROR,
			(errcode(sqlstate_of(judgement->verdict)),
			 judgement->verdict == APIGOUV_REPLY_TOKEN
			 ? token_message(route, server)
			 : judgement->verdict == APIGOUV_REPLY_REFUSED
			 ? errmsg("foreign server \"%s\" refused the request for lack of rights", server)
			 : judgement->verdict == APIGOUV_REPLY_QUOTA
			 ? errmsg("foreign server \"%s\" refused the request: request quota is exhausted", server)
			 : judgement->verdict == APIGOUV_REPLY_UNAVAILABLE
			 ? errmsg("foreign server \"%s\" is unavailable", server)
			 : errmsg("foreign server \"%s\" answered with HTTP status %d",
					  server, transfer->status),
			 errdetail("%s", apigouv_reply_detail(transfer, judgement)),
			 hint != NULL ? errhint("%s", hint) : 0));
}
