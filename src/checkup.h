/*-------------------------------------------------------------------------
 *
 * checkup.h
 *		A foreign server being checked, step by step.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_CHECKUP_H
#define APIGOUV_CHECKUP_H

#include "token.h"

/* How a step ended. */
typedef enum ApigouvChecked
{
	APIGOUV_CHECKED_OK,
	APIGOUV_CHECKED_WARNING,	/* works now, or for some queries */
	APIGOUV_CHECKED_ERROR,
	APIGOUV_CHECKED_SKIPPED		/* not looked at, because of another */
} ApigouvChecked;

/* What is known of the server so far. */
typedef struct ApigouvCheckup
{
	struct ReturnSetInfo *result;
	Oid			serverid;
	const char *server_name;
	Oid			userid;			/* whose user mapping */
	ApigouvOptions *options;	/* NULL: they cannot be read */
	ApigouvSecrets *secrets;	/* NULL: there are none to use */
	bool		blocked;		/* an ordinary query would send nothing */
	bool		replied;		/* the API, or its token endpoint */
	bool		knows_scopes;
	List	   *scopes;			/* of char *: what the token holds */
} ApigouvCheckup;

/*
 * check_server.c: give the row of a step, texts without secrets; hint may be
 * NULL.  The other gives that of an error, whose
 * advice comes before hint.
 */
extern void apigouv_checkup_tell(ApigouvCheckup *checkup, const char *step,
								 ApigouvChecked state, const char *message,
								 const char *hint);
extern void apigouv_checkup_tell_error(ApigouvCheckup *checkup,
									   const char *step,
									   const ErrorData * error,
									   const char *hint);

/*
 * Do a part of the work in a subtransaction.  Result: NULL, or the error that
 * it raised, which is about the server; what is about the session, such as a
 * cancel, is raised again.
 */
typedef void (*ApigouvCheckupPart) (ApigouvCheckup *checkup);
extern ErrorData * apigouv_checkup_try(ApigouvCheckup *checkup,
									   ApigouvCheckupPart part);

/* check_request.c: ask the API, once, and give the rows about that. */
extern void apigouv_checkup_ask(ApigouvCheckup *checkup);

#endif							/* APIGOUV_CHECKUP_H */
