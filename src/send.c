/*-------------------------------------------------------------------------
 *
 * send.c
 *		A request of a route, on its way.
 *
 * All that stands between a request and the HTTP engine: the header that
 * proves who asks, the limits that count it, the way out of the server.
 *
 * Not here: what the request says (request.c), whether it is sent at all
 * (xact_cache.c), requests for access tokens and scopes (token.c), documents,
 * which are other hosts' as well (document.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limit.h"
#include "send.h"
#include "token.h"

ApigouvTransfer *
apigouv_send(const ApigouvOptions *options, Oid userid,
			 const ApigouvSecrets *secrets, const ApigouvBuilt *built,
			 uint32 stale_generation, ApigouvRetryHook hook, void *hook_arg,
			 uint32 *generation)
{
	const ApigouvApi *api = options->api;
	ApigouvLimitHeaders names = {
		api->limit_header, api->remaining_header, api->reset_header
	};
	ApigouvHttpSettings settings;
	ApigouvHttpRequest request = {0};
	ApigouvQuotaLimits limits;
	ApigouvTransfer *transfer;
	const char **headers = palloc(sizeof(char *) *
								  (list_length(built->headers) + 1));
	char	   *authorization = apigouv_token_header(options, userid, secrets,
													 stale_generation,
													 generation);
	ListCell   *lc;

	foreach(lc, built->headers)
		headers[request.nheaders++] = lfirst(lc);
	if (authorization != NULL)
		headers[request.nheaders++] = authorization;
	request.post = built->post;
	request.url = built->url;
	request.headers = headers;
	request.body = built->body;
	request.body_len = built->body ? strlen(built->body) : 0;
	apigouv_limit_find(options, userid, secrets, built->limit, true, &limits);
	request.limits = &limits;
	request.tally = options->tally;
	apigouv_option_http(options, userid, &settings);
	transfer = apigouv_http_start(&settings, &request, &names, hook,
								  hook_arg);
	pfree(headers);
	return transfer;
}
