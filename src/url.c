/*-------------------------------------------------------------------------
 *
 * url.c
 *		URLs: percent-encoding, and taking them apart.
 *
 * libcurl's own parser takes them apart, so that what is checked is what will
 * be used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "attempt.h"
#include "http.h"
#include "lib/stringinfo.h"
#include "messages.h"

bool
apigouv_url_has_control(const char *text)
{
	const unsigned char *p;

	for (p = (const unsigned char *) text; *p; p++)
	{
		if (*p < 0x20 || *p == 0x7f)
			return true;
	}
	return false;
}

/* Copy a part of a URL; false when it is missing, or too long. */
static bool
copy_part(CURLU *url, CURLUPart what, char *out, size_t size, bool *no_memory)
{
	CURLUcode	code;
	char	   *text = NULL;
	bool		fits = false;

	out[0] = '\0';
	code = curl_url_get(url, what, &text, CURLU_DEFAULT_PORT);
	if (code == CURLUE_OK)
		fits = strlcpy(out, text, size) < size;
	*no_memory |= code == CURLUE_OUT_OF_MEMORY;
	curl_free(text);
	return fits;
}

bool
apigouv_url_split(const char *url, bool guess, ApigouvUrlParts *parts)
{
	CURLU	   *handle = curl_url();
	CURLUcode	code = CURLUE_OUT_OF_MEMORY;
	char		user[2];
	bool		ok;

	memset(parts, 0, sizeof(*parts));
	if (handle != NULL)
		code = curl_url_set(handle, CURLUPART_URL, url,
							CURLU_NON_SUPPORT_SCHEME |
							(guess ? CURLU_GUESS_SCHEME : 0));
	parts->no_memory = code == CURLUE_OUT_OF_MEMORY;
	ok = code == CURLUE_OK &&
		copy_part(handle, CURLUPART_SCHEME, parts->scheme,
				  sizeof(parts->scheme), &parts->no_memory) &&
		copy_part(handle, CURLUPART_HOST, parts->host, sizeof(parts->host),
				  &parts->no_memory);
	if (ok)
	{
		(void) copy_part(handle, CURLUPART_PORT, parts->port,
						 sizeof(parts->port), &parts->no_memory);
		(void) copy_part(handle, CURLUPART_USER, user, sizeof(user),
						 &parts->no_memory);
		parts->has_user = user[0] != '\0';
		(void) copy_part(handle, CURLUPART_PASSWORD, user, sizeof(user),
						 &parts->no_memory);
		parts->has_user |= user[0] != '\0';
	}
	curl_url_cleanup(handle);
	return ok && !parts->no_memory;
}

void
apigouv_http_escape(struct StringInfoData *buf, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *p;

	for (p = (const unsigned char *) text; *p; p++)
	{
		if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
			(*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			appendStringInfoChar(buf, (char) *p);
		else
		{
			appendStringInfoChar(buf, '%');
			appendStringInfoChar(buf, digits[*p >> 4]);
			appendStringInfoChar(buf, digits[*p & 15]);
		}
	}
}

/* Is this host, as libcurl writes it, this machine? */
static bool
is_loopback(const char *host)
{
	ApigouvAddress address;

	return pg_strcasecmp(host, "localhost") == 0 ||
		(apigouv_egress_parse(host, strlen(host), &address) &&
		 apigouv_egress_class(&address) == APIGOUV_ADDRESS_LOOPBACK);
}

/* Do two URLs lead to the same server, as libcurl reads them? */
static bool
same_origin(const ApigouvUrlParts *a, const ApigouvUrlParts *b)
{
	return strcmp(a->scheme, b->scheme) == 0 &&
		pg_strcasecmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/*
 * apigouv_url_egress
 *		Settle which addresses the requests of a URL may connect to.
 *
 * settings: its egress has what a superuser listed; what was given in the
 * options themselves is added, a proxy's address instead of the URL's.
 * given_urls are not needed afterwards.  A URL that nobody can read may lead
 * nowhere.  False without memory.
 */
bool
apigouv_url_egress(const char *url, ApigouvHttpSettings *settings)
{
	ApigouvEgress *egress = &settings->egress;
	ApigouvUrlParts parts;
	bool		given = false;
	bool		ok;

	egress->loopback_only = !apigouv_url_split(url, false, &parts) ||
		strcmp(parts.scheme, "https") != 0;
	ok = !parts.no_memory;
	for (size_t i = 0; i < lengthof(settings->given_urls); i++)
	{
		ApigouvUrlParts other = {0};

		given |= settings->given_urls[i] != NULL &&
			apigouv_url_split(settings->given_urls[i], false, &other) &&
			same_origin(&parts, &other);
		ok &= !other.no_memory;
		settings->given_urls[i] = NULL;
	}
	if (settings->proxy != NULL)
		given = apigouv_url_split(settings->proxy, true, &parts);
	ok &= !parts.no_memory;
	egress->own_loopback = given &&
		pg_strcasecmp(parts.host, "localhost") == 0;
	egress->has_own = given &&
		apigouv_egress_parse(parts.host, strlen(parts.host), &egress->own);
	return ok;
}

/* Do two slashes, no more, follow the scheme?  libcurl takes one to three. */
static bool
has_authority(const char *url, const char *scheme)
{
	const char *rest = url + Min(strlen(scheme), strlen(url));

	return strncmp(rest, "://", 3) == 0 && rest[3] != '/';
}

bool
apigouv_http_check_url(const char *url, bool *is_http, bool *loopback,
					   const char **why)
{
	ApigouvUrlParts parts;
	bool		split = apigouv_url_split(url, false, &parts);

	*is_http = *loopback = false;
	*why = NULL;
	if (parts.no_memory)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (apigouv_url_has_control(url) || !split ||
		!has_authority(url, parts.scheme))
		*why = _("it is not an absolute URL");
	else if (strcmp(parts.scheme, "http") != 0 &&
			 strcmp(parts.scheme, "https") != 0)
		*why = _("its scheme is neither http nor https");
	else if (parts.has_user)
		*why = _("it holds a user name or a password");
	else if (strchr(url, '#') != NULL)
		*why = _("it has a fragment");
	else
	{
		*is_http = strcmp(parts.scheme, "http") == 0;
		*loopback = is_loopback(parts.host);
	}
	return *why == NULL;
}

bool
apigouv_http_check_proxy(const char *url)
{
	static const char *const schemes[] = {
		"http", "https", "socks4", "socks4a", "socks5", "socks5h"
	};
	ApigouvUrlParts parts;

	if (apigouv_url_has_control(url) || !apigouv_url_split(url, true, &parts))
		return false;
	for (size_t i = 0; i < lengthof(schemes); i++)
	{
		if (strcmp(parts.scheme, schemes[i]) == 0)
			return true;
	}
	return false;
}
