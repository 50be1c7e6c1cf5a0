/*-------------------------------------------------------------------------
 *
 * request.h
 *		A route and its values to an HTTP request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_REQUEST_H
#define APIGOUV_REQUEST_H

#include "lib/stringinfo.h"

#include "option.h"

/* What determines a request. */
typedef struct ApigouvCall
{
	const ApigouvRoute *route;
	List	  **wires;			/* one per parameter: list of texts to send,
								 * NIL = not sent */
	bool		lookup;			/* the route's first request */
	int			size;			/* rows asked for; 0 = not paged */
	int			at;				/* offset, or page number */
	bool		fresh;			/* past the caches of the upstream, and ours */
	bool		total;			/* only the total is to be read */
} ApigouvCall;

/* A request, ready but for its authentication. */
typedef struct ApigouvBuilt
{
	bool		post;
	char	   *url;
	char	   *target;			/* url without base_url, for people */
	char	   *body;			/* NULL for GET */
	List	   *headers;		/* of "Name: value" */
	int			limit;			/* index in api->limits, -1 = none */
	bool		fresh;			/* no cache but the transaction's may answer */
	bool		total;			/* only the total is read: caches keep it
								 * apart from the same page of a read */
} ApigouvBuilt;

/* Writes what stands at a place of a path, given the parameter's position. */
typedef void (*ApigouvPlaceWriter) (StringInfo buf, int param,
									const void *arg);

extern void apigouv_request_path(StringInfo buf, const ApigouvRoute *route,
								 const char *template,
								 ApigouvPlaceWriter write, const void *arg);
extern void apigouv_request_build(const ApigouvOptions *options,
								  const ApigouvCall *call,
								  ApigouvBuilt *built);

#endif							/* APIGOUV_REQUEST_H */
