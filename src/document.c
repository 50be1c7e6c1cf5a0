/*-------------------------------------------------------------------------
 *
 * document.c
 *		SQL function that fetches a document from the link a table gave.
 *
 * A link is a secret, and it chooses a host.  So:
 *
 * - Only links that begin, byte for byte, as the definition lists are
 *	 followed: there is no name to fold, no port, user or dot to look through,
 *	 and no request before that is clear.  A redirect is never followed.
 *
 * - No header goes along but those that ask for a fresh file and for one as
 *	 it is, and no token unless the definition says so; without that, no user
 *	 mapping is read.
 *
 * - No message holds a link, nor what an upstream repeats of one.
 *
 * A document must be whole, and only the protocol tells.  Of compressed bytes
 * that end too early libcurl says nothing: so they are not asked for, nor
 * taken.
 *
 * Some links lead to JSON that holds the link to the document: a second step,
 * under the same rules.  Documents are kept nowhere.
 *
 * Limits, retries, time-outs and cancel are those of any request (http.c);
 * what a reply means is said by the definition's rules (reply.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "audit.h"
#include "budget.h"
#include "compat.h"
#include "json.h"
#include "limit.h"
#include "messages.h"
#include "progress.h"
#include "redact.h"
#include "token.h"
#include "value.h"

/* Longest link, and longest reply that holds one, in bytes. */
#define MAX_LINK_BYTES	8192
#define MAX_STEP_BYTES	(256 * 1024)

PG_FUNCTION_INFO_V1(apigouv_document);

/* One call of the function. */
typedef struct Call
{
	ApigouvOptions *options;
	Oid			userid;
	bool		fresh;
	int64	   *made;			/* requests of this call in this query */
	ApigouvTally *tally;		/* of the server */
} Call;

/* A link that may be followed. */
typedef struct Link
{
	const ApigouvDocumentHost *host;
	char	   *url;			/* with the server's own address, if it has
								 * one */
} Link;

/* ---- links ---- */

/* What follows a text's beginning; NULL when it begins otherwise. */
static const char *
after(const char *text, const char *beginning)
{
	size_t		len = strlen(beginning);

	return strncmp(text, beginning, len) == 0 ? text + len : NULL;
}

/* Is this step of a path "." or "..", also as some servers read it? */
static bool
is_dots(const char *step, size_t len)
{
	const char *parameters = memchr(step, ';', len);

	if (parameters != NULL)
		len = parameters - step;
	return (len == 1 && step[0] == '.') ||
		(len == 2 && step[0] == '.' && step[1] == '.');
}

/*
 * has_dot_steps
 *		Does the path of a link go up, or stay, somewhere?
 *
 * It would leave the part of the host that the definition lists.  Encoded
 * dots and slashes count, since servers decode them.
 */
static bool
has_dot_steps(const char *path)
{
	StringInfoData steps;
	const char *p;

	initStringInfo(&steps);
	for (p = path; *p != '\0' && *p != '?'; p++)
	{
		char		c = *p;

		if (pg_strncasecmp(p, "%2e", 3) == 0)
			c = '.';
		else if (pg_strncasecmp(p, "%2f", 3) == 0 ||
				 pg_strncasecmp(p, "%5c", 3) == 0)
			c = '/';
		if (c != *p)
			p += 2;
		appendStringInfoChar(&steps, c);
	}
	for (p = steps.data; *p != '\0'; p++)
	{
		size_t		len = strcspn(p, "/");

		if (is_dots(p, len))
			return true;
		p += len;
		if (*p == '\0')
			break;
	}
	return false;
}

/* Is a link of printable ASCII, without what URLs may not hold or we not? */
static bool
is_clean(const char *link)
{
	size_t		len = strlen(link);

	if (len > MAX_LINK_BYTES)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (link[i] <= ' ' || link[i] > '~' ||
			strchr("\\#\"<>^`{|}", link[i]) != NULL)
			return false;
	}
	return true;
}

/* What follows the address of a host in a link; NULL when it is another's. */
static const char *
after_host(const ApigouvOptions *options, const ApigouvDocumentHost *host,
		   const char *link)
{
	const char *rest;

	if (host->host != NULL)
		return after(link, psprintf("https://%s", host->host));
	rest = after(link, options->base_url);
	if (rest == NULL || *rest != '/')
		rest = after(link, options->api->base_url);
	return rest;
}

/*
 * find_link
 *		Find the host of a link; false when the link may not be followed.
 *
 * second: the link stood in the reply to another, and must lead to the
 * document itself.
 */
static bool
find_link(const ApigouvOptions *options, const char *text, bool second,
		  Link *link)
{
	bool		is_http;
	bool		loopback;
	const char *why;

	if (!is_clean(text) || has_dot_steps(text + strcspn(text, "/")))
		return false;
	for (int i = 0; i < options->api->nhosts; i++)
	{
		const ApigouvDocumentHost *host = &options->api->hosts[i];
		const char *rest = after_host(options, host, text);

		if (rest == NULL || after(rest, host->path) == NULL ||
			(second && host->link_path != NULL))
			continue;
		link->host = host;
		link->url = host->host != NULL ? pstrdup(text)
			: psprintf("%s%s", options->base_url, rest);
		/* libcurl's own reading of it has the last word */
		return apigouv_http_check_url(link->url, &is_http, &loopback, &why) &&
			(!is_http || loopback);
	}
	return false;
}

/* Where documents come from, for a hint. */
static char *
list_hosts(const ApigouvApi *api)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < api->nhosts; i++)
	{
		const ApigouvDocumentHost *host = &api->hosts[i];

		appendStringInfo(&buf, "%s%s%s%s", i > 0 ? ", " : "",
						 host->host != NULL ? "https://" : api->base_url,
						 host->host != NULL ? host->host : "", host->path);
	}
	return buf.data;
}

/* Raise the error of a link that may not be followed, without telling it. */
static void
refuse_link(const ApigouvOptions *options, bool second)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 second
			 ? errmsg("link sent by foreign server \"%s\" does not lead to its documents",
					  options->server_name)
			 : errmsg("link does not lead to a document of foreign server \"%s\"",
					  options->server_name),
			 errdetail("No request was made to it."),
			 errhint("Documents of API \"%s\" come from: %s.",
					 options->api->name, list_hosts(options->api))));
}

/* ---- what came ---- */

/* What a reply is that is no document; NULL when it may be one. */
static const char *
why_no_document(const ApigouvApi *api, const ApigouvTransfer *transfer)
{
	const char *body = transfer->body;
	size_t		blanks = 0;
	ApigouvValue document;
	const char *error;

	if (transfer->compressed)
		return _("It came compressed, which was not asked for, and may lack its end");
	if (transfer->body_len == 0)
		return _("It is empty");
	for (int i = 0; i < api->ntypes; i++)
	{
		size_t		len = strlen(api->types[i]);

		if (transfer->body_len >= len && memcmp(body, api->types[i], len) == 0)
			return NULL;		/* whatever its content type says */
	}
	if (transfer->body_len > 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0)
		blanks = 3;
	while (blanks < transfer->body_len &&
		   strchr(" \t\r\n", body[blanks]) != NULL)
		blanks++;
	if (strstr(transfer->content_type, "html") != NULL ||
		pg_strncasecmp(body + blanks, "<!doctype html", 14) == 0 ||
		pg_strncasecmp(body + blanks, "<html", 5) == 0)
		return _("It is an HTML page");
	if (strstr(transfer->content_type, "json") != NULL ||
		((body[blanks] == '{' || body[blanks] == '[') &&
		 apigouv_value_parse(body + blanks, transfer->body_len - blanks,
							 &document, &error)))
		return _("It is JSON");
	return NULL;
}

/* The document of a reply, in the current context. */
static bytea *
take_document(const ApigouvOptions *options, const ApigouvTransfer *transfer)
{
	const char *why = why_no_document(options->api, transfer);
	bytea	   *document;

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("response of foreign server \"%s\" is not a document",
						options->server_name),
				 errdetail("%s; the content type is \"%s\"%s%s.", why,
						   transfer->content_type,
						   transfer->request_id[0] ? "; X-Request-Id: " : "",
						   apigouv_reply_request_id(transfer))));
	document = palloc(transfer->body_len + VARHDRSZ);
	SET_VARSIZE(document, transfer->body_len + VARHDRSZ);
	memcpy(VARDATA(document), transfer->body, transfer->body_len);
	return document;
}

/* The link that a reply holds, in the current context. */
static char *
take_link(const ApigouvOptions *options, const ApigouvDocumentHost *host,
		  const ApigouvTransfer *transfer)
{
	ApigouvJson *reply = NULL;
	const char *link;
	char		error[256];

	if (transfer->body_len <= MAX_STEP_BYTES)
		reply = apigouv_json_parse(transfer->body ? transfer->body : "",
								   transfer->body_len, error, sizeof(error));
	link = apigouv_json_string(apigouv_json_path(reply, host->link_path));
	if (link == NULL)
		ereport(ERROR,
				(errcode(reply != NULL
						 ? ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION
						 : ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("response of foreign server \"%s\" has no \"%s\"",
						options->server_name, host->link_path),
				 errdetail("The link to a document should stand there%s%s.",
						   transfer->request_id[0] ? "; X-Request-Id: " : "",
						   apigouv_reply_request_id(transfer))));
	return pstrdup(link);
}

/* ---- errors ---- */

/* Bytes of the largest document: what the server allows, and a value holds. */
static int64
most_bytes(const ApigouvOptions *options)
{
	return Min((int64) options->response_max_bytes,
			   (int64) (MaxAllocSize - VARHDRSZ));
}

/*
 * raise_failure
 *		Raise the error of a reply that brought nothing.
 *
 * A link that is dead and a document that does not exist are told apart by
 * the definition's rules, and have error codes of their own.
 */
static void
raise_failure(const Call *call, const ApigouvDocumentHost *host,
			  const ApigouvTransfer *transfer,
			  const ApigouvJudgement *judgement)
{
	const char *server = call->options->server_name;
	const char *hint = apigouv_reply_rule_hint(judgement);
	bool		by_token = host->token &&
	call->options->api->auth != APIGOUV_AUTH_NONE;

	if (transfer->failure == APIGOUV_FAILURE_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document of foreign server \"%s\" is larger than %lld bytes",
						server, (long long) most_bytes(call->options)),
				 errhint("Raise server option \"response_max_bytes\"; a value holds at most 1 GB.")));
	switch (judgement->verdict)
	{
		case APIGOUV_REPLY_DEAD_LINK:
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_HANDLE),
					 errmsg("link to a document of foreign server \"%s\" is dead",
							server),
					 errdetail("%s", apigouv_reply_detail(transfer, judgement)),
					 call->options->api->nfresh > 0
					 ? errhint("Read the table that gave the link again with apigouv_fdw.fresh = on, which brings a new link.")
					 : errhint("Read the table that gave the link again, for a new link.")));
			break;
		case APIGOUV_REPLY_NO_ROW:
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("foreign server \"%s\" has no such document",
							server),
					 errdetail("%s", apigouv_reply_detail(transfer, judgement)),
					 hint != NULL ? errhint("%s", hint) : 0));
			break;
		case APIGOUV_REPLY_TOKEN:
		case APIGOUV_REPLY_REFUSED:
			if (by_token)
				break;
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("foreign server \"%s\" refused to give the document",
							server),
					 errdetail("%s", apigouv_reply_detail(transfer, judgement)),
					 hint != NULL ? errhint("%s", hint) : 0));
			break;
		default:
			break;
	}
	apigouv_reply_raise(call->options, &host->route, call->userid, transfer,
						judgement);
}

/* Raise an error unless a transfer that has ended brought something. */
static void
check_reply(const Call *call, const ApigouvDocumentHost *host,
			const ApigouvTransfer *transfer)
{
	ApigouvJudgement judgement;

	apigouv_reply_judge(call->options->api, &host->route, transfer, true,
						&judgement);
	if (judgement.verdict == APIGOUV_REPLY_ROWS && transfer->status != 200)
		judgement.verdict = APIGOUV_REPLY_ERROR;	/* a part of it, say */
	if (judgement.verdict != APIGOUV_REPLY_ROWS)
		raise_failure(call, host, transfer, &judgement);
}

/* ---- requests ---- */

/* What the retry hook must know, until the transfer has ended. */
typedef struct RetryRule
{
	const ApigouvApi *api;
	const ApigouvRoute *route;
	int			retries;
} RetryRule;

/* Retry hook: as any request, by the rules of the host. */
static bool
retry_document(const ApigouvTransfer *transfer, void *arg, int *delay_ms)
{
	const RetryRule *rule = arg;

	return apigouv_reply_wants_retry(rule->api, rule->route, rule->retries,
									 transfer, delay_ms);
}

/*
 * Headers of a request: no compression, what asks for a fresh file, and the
 * token if due.
 */
static const char **
headers_of(const Call *call, const ApigouvDocumentHost *host,
		   const ApigouvSecrets *secrets, int *count)
{
	const ApigouvApi *api = call->options->api;
	const char **headers = palloc(sizeof(char *) * (api->nfresh + 2));
	char	   *authorization = NULL;
	uint32		generation;

	*count = 0;
	headers[(*count)++] = "Accept-Encoding: identity";
	for (int i = 0; call->fresh && i < api->nfresh; i++)
		headers[(*count)++] = psprintf("%s: %s", api->fresh[i].name,
									   api->fresh[i].value);
	if (host->token)
		authorization = apigouv_token_header(call->options, call->userid,
											 secrets, 0, &generation);
	if (authorization != NULL)
		headers[(*count)++] = authorization;
	return headers;
}

/* Queue the request of a link, counted against its limits. */
static ApigouvTransfer *
start(const Call *call, const Link *link, RetryRule *rule)
{
	const ApigouvOptions *options = call->options;
	const ApigouvDocumentHost *host = link->host;
	bool		is_api = host->host == NULL;
	ApigouvSecrets *secrets;
	ApigouvHttpSettings settings;
	ApigouvHttpRequest request = {0};
	ApigouvLimitHeaders names = {0};
	ApigouvQuotaLimits limits;

	apigouv_audit_check(options);
	secrets = apigouv_option_secrets(options, host->token
									 ? APIGOUV_ROUTE_AUTH_API
									 : APIGOUV_ROUTE_AUTH_NONE,
									 call->userid);
	if (host->token)
		apigouv_token_check(options, call->userid, secrets);
	apigouv_limit_find(options, call->userid, secrets, host->route.limit,
					   is_api, &limits);
	apigouv_budget_check_document(options->server_name, &limits,
								  *call->made);
	apigouv_redact_remember_link(link->url);
	apigouv_cache_prepare();	/* so that the transaction's end cancels it */
	request.url = link->url;
	request.headers = headers_of(call, host, secrets, &request.nheaders);
	request.limits = &limits;
	request.tally = call->tally;
	if (is_api)
	{
		names.limit = options->api->limit_header;
		names.remaining = options->api->remaining_header;
		names.reset = options->api->reset_header;
	}
	apigouv_option_http(options, call->userid, &settings);
	settings.response_max_bytes = most_bytes(options);
	(*call->made)++;
	return apigouv_http_start(&settings, &request, &names, retry_document,
							  rule);
}

/*
 * follow
 *		Send the request of a link, and wait for what it brings.
 *
 * Returns the document; or NULL, with *next, when the link leads to another.
 * The transfer is freed in any case, since the transaction may go on.
 */
static bytea *
follow(const Call *call, const Link *link, char **next)
{
	const ApigouvOptions *options = call->options;
	RetryRule	rule = {options->api, &link->host->route, options->retries};
	ApigouvProgress *progress = apigouv_progress_enter(call->tally, 1,
													   CurrentMemoryContext);
	ApigouvTransfer *transfer = start(call, link, &rule);
	bytea	   *volatile document = NULL;

	*next = NULL;
	PG_TRY();
	{
		apigouv_audit_document(transfer, options, call->userid,
							   &link->host->route, link->url);
		while (transfer->state != APIGOUV_TRANSFER_ENDED)
			apigouv_http_wait(transfer, SIZE_MAX);
		check_reply(call, link->host, transfer);
		if (link->host->link_path != NULL)
			*next = take_link(options, link->host, transfer);
		else
			document = take_document(options, transfer);
	}
	PG_FINALLY();
	{
		apigouv_progress_leave(progress);
		apigouv_http_release(transfer);
	}
	PG_END_TRY();
	return document;
}

/* A server that the current role may use, and that has documents. */
static ApigouvOptions *
usable_server(const char *name)
{
	const ForeignServer *server = apigouv_option_usable(name, false);
	ApigouvOptions *options = apigouv_option_server(server->serverid);

	if (options->api->nhosts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("API \"%s\" of foreign server \"%s\" has no documents",
						options->api->name, server->servername)));
	return options;
}

/* The counter of a call's requests in one query. */
static int64 *
counter_of(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = MemoryContextAllocZero(flinfo->fn_mcxt,
												  sizeof(int64));
	return flinfo->fn_extra;
}

/*
 * apigouv_document(server name, url text, fresh boolean) returns bytea
 *		The document that a link leads to.
 *
 * fresh: past the caches of the upstream.  Needs USAGE on the server.
 */
Datum
apigouv_document(PG_FUNCTION_ARGS)
{
	Call		call = {0};
	Link		link;
	char	   *given = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *next;
	bytea	   *document;

	call.options = usable_server(NameStr(*PG_GETARG_NAME(0)));
	call.userid = GetUserId();
	call.fresh = PG_GETARG_BOOL(2);
	call.made = counter_of(fcinfo);
	call.tally = apigouv_tally_of(call.options, NULL);
	if (!find_link(call.options, given, false, &link))
		refuse_link(call.options, false);
	document = follow(&call, &link, &next);
	if (next != NULL)
	{
		if (!find_link(call.options, next, true, &link))
			refuse_link(call.options, true);
		document = follow(&call, &link, &next);
	}
	PG_RETURN_BYTEA_P(document);
}
