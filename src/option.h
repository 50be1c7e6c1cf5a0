/*-------------------------------------------------------------------------
 *
 * option.h
 *		Options of servers, user mappings, tables and columns; settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_OPTION_H
#define APIGOUV_OPTION_H

#include "access/attnum.h"
#include "foreign/foreign.h"

#include "apidef.h"
#include "http.h"

/* Options of a server and a table, merged and typed. */
typedef struct ApigouvOptions
{
	Oid			serverid;
	char	   *server_name;
	const ApigouvApi *api;
	const ApigouvTable *table;	/* NULL when only a server was asked for */
	char	   *api_name;
	char	   *table_name;
	char	   *base_url;		/* the API definition's when not given */
	char	   *token_url;
	bool		base_url_given; /* by a superuser */
	bool		token_url_given;
	char	   *private_addresses;	/* NULL when not given */
	char	   *ca_file;
	char	   *proxy;
	int			connect_timeout_ms;
	int			timeout_ms;
	int			retries;
	int			max_concurrency;
	int			response_max_bytes;
	char	   *recipient;		/* NULL when not given */
	char	   *limits_text;	/* option "limits", NULL when not given */
	ApigouvLimit *limits;		/* as api->limits, with that */
	char	   *limit_identity; /* NULL when not given */
	char	   *role_limits;	/* NULL when not given */
	int			quota_wait_ms;
	double		request_cost;
	double		rows;			/* -1 when not given */
	bool		derived;		/* derived conditions may be sent */
	bool		async_capable;	/* an Append may read it beside others */
	int			cache_ttl_s;	/* 0: replies go with the transaction */
	struct ApigouvTally *tally; /* of the table; NULL until it is asked */
	bool		new_connections;	/* none that was kept serves; no option,
									 * but for who checks the server */
} ApigouvOptions;

/*
 * Secrets of a user mapping, or of the session.  Strings are NULL when not
 * given.
 */
typedef struct ApigouvSecrets
{
	ApigouvAuth auth;			/* how they are shown to the API */
	bool		of_session;		/* the token is the session's setting: it
								 * stands for a person, not for the role */
	Oid			umid;			/* InvalidOid: no mapping is needed */
	bool		of_public;		/* the mapping is that of PUBLIC */
	char	   *token;			/* also when it comes from a file */
	char	   *token_file;		/* absolute path */
	char	   *client_id;
	char	   *client_secret;
} ApigouvSecrets;

extern ApigouvOptions *apigouv_option_server(Oid serverid);
extern ApigouvOptions *apigouv_option_table(Oid relid);
extern bool apigouv_option_is_foreign(Oid wrapperid);
extern const ForeignServer *apigouv_option_usable(const char *name,
												  bool or_own);
extern const ApigouvTable *apigouv_option_definition(Oid relid);
extern char *apigouv_option_column(Oid relid, AttrNumber attnum);
extern ApigouvSecrets *apigouv_option_secrets(const ApigouvOptions *options,
											  ApigouvRouteAuth auth,
											  Oid userid);
extern bool apigouv_option_address(List *server_options,
								   ApigouvOptions *options);
extern void apigouv_option_credentials(List *mapping_options,
									   ApigouvSecrets *secrets);
extern bool apigouv_option_is_secret(const char *text);
extern void apigouv_option_http(const ApigouvOptions *options, Oid userid,
								ApigouvHttpSettings *settings);

/* settings, defined in apigouv_fdw.c */
extern char *apigouv_context;
extern char *apigouv_object;
extern char *apigouv_recipient;
extern char *apigouv_france_connect_token;	/* a secret */
extern bool apigouv_enable_pushdown;
extern bool apigouv_fresh;
extern int	apigouv_on_failure;
extern int	apigouv_cache_size; /* kB */
extern int	apigouv_keep_after_error_s;
extern int	apigouv_shared_cache_size;	/* kB */

#define APIGOUV_ON_FAILURE_ERROR	0
#define APIGOUV_ON_FAILURE_ROW		1

#endif							/* APIGOUV_OPTION_H */
