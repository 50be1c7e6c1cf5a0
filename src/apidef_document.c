/*-------------------------------------------------------------------------
 *
 * apidef_document.c
 *		Where the documents of an API come from: its member "documents".
 *
 * A table gives links, and whoever can write a link chooses a host.  So the
 * definition lists, host by host, what may be fetched; nothing else is.  The
 * token of a user mapping goes to the API's own address at most.
 *
 * Not here: fetching (document.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apidef_read.h"

static const char *const documents_members[] = {
	"hosts", "limit", "types", "replies", NULL
};
static const char *const host_members[] = {
	"host", "path", "token", "link", "limit", "replies", NULL
};

/* Check an exact host name, in lower case, perhaps with a port. */
static void
check_host(const ApigouvField *at, const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
	size_t		len = strspn(host, allowed);

	if (len == 0 || strchr(".-", host[0]) != NULL ||
		strchr(".-", host[len - 1]) != NULL ||
		(host[len] != '\0' &&
		 (host[len] != ':' || host[len + 1] == '\0' ||
		  host[len + 1 + strspn(host + len + 1, "0123456789")] != '\0')))
		apigouv_field_error(at, NULL, "invalid host name \"%s\"", host);
}

/* What the path of a link starts with: whole steps. */
static char *
read_path(const ApigouvField *host)
{
	char	   *path = apigouv_field_text(host, "path", APIGOUV_TEXT_DATA);

	if (path == NULL)
		return pstrdup("/");
	if (path[0] != '/' || path[strlen(path) - 1] != '/' ||
		strpbrk(path, "?# \t\r\n\\") != NULL)
		apigouv_field_error(host, NULL,
							"\"path\" must start and end with a slash");
	return path;
}

/* Append the rules of an object to those of a host. */
static void
add_rules(const ApigouvField *holder, ApigouvRoute *route)
{
	ApigouvField list = apigouv_field_get(holder, "replies");
	int			n = apigouv_field_length(&list);

	for (int i = 0; i < n; i++)
	{
		ApigouvField element = apigouv_field_at(&list, i);
		ApigouvRawRule raw;

		apigouv_apidef_read_rule(&element, true, &raw);
		route->rules[route->nrules++] = raw.rule;
	}
}

/* How many rules an object has. */
static int
count_rules(const ApigouvField *holder)
{
	ApigouvField list = apigouv_field_get(holder, "replies");

	return apigouv_field_length(&list);
}

/* Read one host; the rules of all documents and of the API come after. */
static void
read_host(const ApigouvField *documents, const ApigouvField *at,
		  const ApigouvApiFile *api, ApigouvDocumentHost *host)
{
	ApigouvRoute *route = &host->route;
	ApigouvField link = apigouv_field_get(at, "link");

	apigouv_field_members(at, host_members);
	host->host = apigouv_field_text(at, "host", APIGOUV_TEXT_DATA);
	if (host->host != NULL)
		check_host(at, host->host);
	host->path = read_path(at);
	host->token = apigouv_field_boolean(at, "token", false);
	if (host->token && host->host != NULL)
		apigouv_field_error(at, NULL,
							"the token is for the API's own address only");
	if (link.json != NULL)
	{
		host->link_path = apigouv_field_value(&link, APIGOUV_TEXT_DATA);
		apigouv_field_check_json_path(&link, host->link_path);
	}

	route->name = route->source_name = host->path;
	route->path = host->path;
	route->limit = apigouv_apidef_limit(at, "limit", &api->api);
	if (route->limit < 0)
		route->limit = apigouv_apidef_limit(documents, "limit", &api->api);
	route->rules = palloc((count_rules(at) + count_rules(documents) +
						   api->nrules) * sizeof(ApigouvReplyRule));
	add_rules(at, route);
	add_rules(documents, route);
	for (int i = 0; i < api->nrules; i++)
		route->rules[route->nrules++] = api->rules[i].rule;
}

/*
 * apigouv_apidef_read_documents
 *		Read where documents come from, once limits and rules are known.
 */
void
apigouv_apidef_read_documents(const ApigouvField *file, ApigouvApiFile *api)
{
	ApigouvField at = apigouv_field_get(file, "documents");
	ApigouvField hosts;
	int			n;

	if (at.json == NULL)
		return;
	apigouv_field_members(&at, documents_members);
	hosts = apigouv_field_need(&at, "hosts");
	n = apigouv_field_length(&hosts);
	if (n == 0)
		apigouv_field_error(&hosts, NULL, "must not be empty");
	api->api.hosts = palloc0(n * sizeof(ApigouvDocumentHost));
	for (int i = 0; i < n; i++)
	{
		ApigouvField element = apigouv_field_at(&hosts, i);

		read_host(&at, &element, api, &api->api.hosts[api->api.nhosts++]);
	}
	api->api.types = apigouv_field_texts(&at, "types", APIGOUV_TEXT_DATA,
										 &api->api.ntypes);
}
