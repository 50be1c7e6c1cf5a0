/*-------------------------------------------------------------------------
 *
 * request.c
 *		A route and its values to an HTTP request: URL, headers, body.
 *
 * Equal calls give equal requests, byte for byte: parameters are written in
 * the definition's order and lists are sorted by the caller.  So the text of
 * a request is its key in the cache.
 *
 * Every byte of a value is percent-encoded, or escaped as JSON, so that a
 * value can change neither the path nor another parameter.  Texts are UTF-8.
 * Secrets are not added here (token.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "messages.h"
#include "request.h"
#include "rowstream.h"

/* Position of the path parameter called name (len bytes), or -1. */
static int
path_parameter(const ApigouvRoute *route, const char *name, size_t len)
{
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (param->place == APIGOUV_IN_PATH && strlen(param->name) == len &&
			strncmp(param->name, name, len) == 0)
			return i;
	}
	return -1;
}

/*
 * apigouv_request_path
 *		Append a path template of a route; write() fills each place, given the
 *		position of its parameter.
 */
void
apigouv_request_path(StringInfo buf, const ApigouvRoute *route,
					 const char *template, ApigouvPlaceWriter write,
					 const void *arg)
{
	while (*template != '\0')
	{
		const char *close = *template == '{' ? strchr(template, '}') : NULL;
		int			param;

		if (close == NULL)
		{
			appendStringInfoChar(buf, *template++);
			continue;
		}
		param = path_parameter(route, template + 1, close - template - 1);
		if (param < 0)
			elog(ERROR, "path \"%s\" of route \"%s\" names no parameter",
				 template, route->name);
		write(buf, param, arg);
		template = close + 1;
	}
}

/* Fill a place of a path with the value that a call has for it. */
static void
write_value(StringInfo buf, int param, const void *arg)
{
	const ApigouvCall *call = arg;
	const ApigouvParam *of = &call->route->params[param];
	char	   *value;
	char	   *slash;

	if (call->wires[param] == NIL)
		elog(ERROR, "path parameter \"%s\" of route \"%s\" has no value",
			 of->name, call->route->name);
	value = linitial(call->wires[param]);
	while (of->slashes && (slash = strchr(value, '/')) != NULL)
	{
		apigouv_http_escape(buf, pnstrdup(value, slash - value));
		appendStringInfoChar(buf, '/');
		value = slash + 1;
	}
	apigouv_http_escape(buf, value);
}

/* Append "name=value" to a URL's query. */
static void
append_query(StringInfo url, char *separator, const char *name,
			 const char *value)
{
	appendStringInfoChar(url, *separator);
	*separator = '&';
	apigouv_http_escape(url, name);
	appendStringInfoChar(url, '=');
	apigouv_http_escape(url, value);
}

/* Several values as one text with commas. */
static char *
join_with_commas(List *values)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, values)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? "," : "",
						 (char *) lfirst(lc));
	return buf.data;
}

/* Append the query of a call: its parameters, then its paging. */
static void
append_parameters(StringInfo url, const ApigouvCall *call)
{
	const ApigouvRoute *route = call->route;
	char		separator = strchr(url->data, '?') ? '&' : '?';
	ListCell   *lc;

	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (param->place != APIGOUV_IN_QUERY || call->wires[i] == NIL)
			continue;
		if (param->list == APIGOUV_LIST_COMMA)
			append_query(url, &separator, param->name,
						 join_with_commas(call->wires[i]));
		else
		{
			foreach(lc, call->wires[i])
				append_query(url, &separator, param->name, lfirst(lc));
		}
	}
	if (call->size > 0 && !call->lookup)
	{
		append_query(url, &separator, route->paging.size_param,
					 psprintf("%d", call->size));
		if (call->at > 0)
			append_query(url, &separator, route->paging.at_param,
						 psprintf("%d", call->at));
	}
}

/* Is a text a number as JSON writes it? */
static bool
is_json_number(const char *text)
{
	ApigouvValue value;
	const char *error;

	return strspn(text, "0123456789+-.eE") == strlen(text) &&
		apigouv_value_parse(text, strlen(text), &value, &error) &&
		value.kind == APIGOUV_NUMBER;
}

/*
 * Append one value of a body in its declared type; what has not the form of
 * that type as a string, for the API to refuse.
 */
static void
append_body_value(StringInfo body, const ApigouvParam *param,
				  const char *value)
{
	bool		is_number = param->body_type == APIGOUV_BODY_NUMBER &&
	is_json_number(value);
	bool		is_boolean = param->body_type == APIGOUV_BODY_BOOLEAN &&
	(strcmp(value, "true") == 0 || strcmp(value, "false") == 0);

	if (is_number || is_boolean)
		appendStringInfoString(body, value);
	else
		escape_json(body, value);
}

/* The body of a POST: one JSON object of the body parameters. */
static char *
build_body(const ApigouvCall *call)
{
	StringInfoData body;
	ListCell   *lc;

	initStringInfo(&body);
	appendStringInfoChar(&body, '{');
	for (int i = 0; i < call->route->nparams; i++)
	{
		const ApigouvParam *param = &call->route->params[i];
		bool		is_list = param->list == APIGOUV_LIST_JSON;

		if (param->place != APIGOUV_IN_BODY || call->wires[i] == NIL)
			continue;
		if (body.len > 1)
			appendStringInfoChar(&body, ',');
		escape_json(&body, param->name);
		appendStringInfoChar(&body, ':');
		if (param->constant != NULL)
		{
			appendStringInfoString(&body, param->constant);
			continue;
		}
		if (is_list)
			appendStringInfoChar(&body, '[');
		foreach(lc, call->wires[i])
		{
			if (lc != list_head(call->wires[i]))
				appendStringInfoChar(&body, ',');
			append_body_value(&body, param, lfirst(lc));
			if (!is_list)
				break;
		}
		if (is_list)
			appendStringInfoChar(&body, ']');
	}
	appendStringInfoChar(&body, '}');
	return body.data;
}

/* Headers: the API's fixed ones, what asks past its caches, parameters. */
static List *
build_headers(const ApigouvOptions *options, const ApigouvCall *call,
			  bool post)
{
	List	   *headers = NIL;

	for (int i = 0; i < options->api->nheaders; i++)
		headers = lappend(headers,
						  psprintf("%s: %s", options->api->headers[i].name,
								   options->api->headers[i].value));
	for (int i = 0; call->fresh && i < options->api->nfresh; i++)
		headers = lappend(headers,
						  psprintf("%s: %s", options->api->fresh[i].name,
								   options->api->fresh[i].value));
	for (int i = 0; i < call->route->nparams; i++)
	{
		const ApigouvParam *param = &call->route->params[i];

		if (param->place == APIGOUV_IN_HEADER && call->wires[i] != NIL)
			headers = lappend(headers,
							  psprintf("%s: %s", param->name,
									   (char *) linitial(call->wires[i])));
	}
	if (post)
		headers = lappend(headers, pstrdup("Content-Type: application/json"));
	return headers;
}

/*
 * apigouv_request_build
 *		Make the request of a call, in the current context.
 *
 * Every required parameter must have its values.
 */
void
apigouv_request_build(const ApigouvOptions *options, const ApigouvCall *call,
					  ApigouvBuilt *built)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, options->base_url);
	apigouv_request_path(&url, call->route, call->lookup
						 ? call->route->lookup.path : call->route->path,
						 write_value, call);
	append_parameters(&url, call);

	built->post = call->route->post && !call->lookup;
	built->url = url.data;
	built->target = url.data + strlen(options->base_url);
	built->body = built->post ? build_body(call) : NULL;
	built->headers = build_headers(options, call, built->post);
	built->fresh = call->fresh;
	built->total = call->total;
	built->limit = call->lookup ? call->route->lookup.limit
		: call->route->limit;
}
