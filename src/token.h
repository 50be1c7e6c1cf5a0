/*-------------------------------------------------------------------------
 *
 * token.h
 *		Authentication: what proves to an API who asks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TOKEN_H
#define APIGOUV_TOKEN_H

#include "datatype/timestamp.h"

#include "option.h"

/* How long before its end a token is warned about. */
#define APIGOUV_TOKEN_WARN_US	(30 * USECS_PER_DAY)

/* What a token says of itself. */
typedef struct ApigouvTokenFacts
{
	bool		is_jwt;
	bool		looks_like_jwt; /* it begins as one */
	TimestampTz ends_at;		/* DT_NOEND when it does not say */
	bool		has_scopes;
	List	   *scopes;			/* of char * */
} ApigouvTokenFacts;

extern void apigouv_token_read(const char *token, ApigouvTokenFacts *facts);
extern char *apigouv_token_header(const ApigouvOptions *options, Oid userid,
								  const ApigouvSecrets *secrets,
								  uint32 stale_generation,
								  uint32 *generation);
extern bool apigouv_token_scopes(const ApigouvOptions *options, Oid userid,
								 const ApigouvSecrets *secrets, bool may_ask,
								 List **scopes);
extern void apigouv_token_check(const ApigouvOptions *options, Oid userid,
								const ApigouvSecrets *secrets);
extern char *apigouv_token_renewal(const ApigouvOptions *options, Oid userid,
								   const ApigouvSecrets *secrets);
extern uint32 apigouv_token_generation(const ApigouvOptions *options,
									   const ApigouvSecrets *secrets);
extern uint64 apigouv_token_identity(const ApigouvSecrets *secrets);

#endif							/* APIGOUV_TOKEN_H */
