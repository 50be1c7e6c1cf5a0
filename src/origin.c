/*-------------------------------------------------------------------------
 *
 * origin.c
 *		Which servers take several requests over one connection.
 *
 * Over TLS a server may speak HTTP/2, which the first handshake tells.  What
 * it told is remembered for the backend's life, and replaced when it speaks
 * otherwise: a server that is not known is worth one wait for a handshake,
 * one that is known not to share is not.
 *
 * Called inside libcurl's callbacks: nothing here raises or allocates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "attempt.h"

/* Servers remembered; a backend asks few. */
#define MAX_ORIGINS		16

typedef struct Entry
{
	char		name[300];		/* "https://host:port" as in the URL; empty =
								 * free */
	ApigouvOrigin origin;
} Entry;

static Entry entries[MAX_ORIGINS];
static int	next_entry = 0;		/* to be replaced when all are taken */

/* Bytes of a URL before its path; 0 when the server cannot be remembered. */
static size_t
name_length(const char *url)
{
	size_t		len;

	if (pg_strncasecmp(url, "https://", 8) != 0)
		return 0;
	len = 8 + strcspn(url + 8, "/?#");
	return len < sizeof(entries[0].name) ? len : 0;
}

/* The entry of a name; NULL if there is none. */
static Entry *
find(const char *name, size_t len)
{
	for (int i = 0; i < MAX_ORIGINS; i++)
	{
		if (strncmp(entries[i].name, name, len) == 0 &&
			entries[i].name[len] == '\0')
			return &entries[i];
	}
	return NULL;
}

/*
 * apigouv_origin_may_share
 *		Is a request to wait for a connection that another is making?
 */
bool
apigouv_origin_may_share(const char *url)
{
	size_t		len = name_length(url);
	const Entry *entry = len > 0 ? find(url, len) : NULL;

	return len > 0 &&
		(entry == NULL || entry->origin == APIGOUV_ORIGIN_SHARES);
}

/*
 * apigouv_origin_note
 *		Remember how the server of a URL takes requests.
 */
void
apigouv_origin_note(const char *url, ApigouvOrigin origin)
{
	size_t		len = name_length(url);
	Entry	   *entry;

	if (len == 0)
		return;
	entry = find(url, len);
	if (entry == NULL)
	{
		entry = &entries[next_entry++ % MAX_ORIGINS];
		memcpy(entry->name, url, len);
		entry->name[len] = '\0';
	}
	entry->origin = origin;
}
