/*-------------------------------------------------------------------------
 *
 * saved.h
 *		A reply apart from the transfer that brought it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SAVED_H
#define APIGOUV_SAVED_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* What a cache keeps of a reply. */
typedef struct ApigouvSaved
{
	int			status;
	char		content_type[64];
	char		request_id[128];
	TimestampTz received;
	char	   *body;			/* malloc'd, ends with a NUL; NULL if empty */
	size_t		body_len;
} ApigouvSaved;

#endif							/* APIGOUV_SAVED_H */
