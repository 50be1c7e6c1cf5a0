/*-------------------------------------------------------------------------
 *
 * token.h
 *		Authentication: what proves to an API who asks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TOKEN_H
#define APIGOUV_TOKEN_H

#include "option.h"

extern char *apigouv_token_header(const ApigouvOptions *options, Oid userid,
								  const ApigouvSecrets *secrets,
								  uint32 stale_generation,
								  uint32 *generation);
extern bool apigouv_token_scopes(const ApigouvOptions *options, Oid userid,
								 const ApigouvSecrets *secrets, bool may_ask,
								 List **scopes);
extern void apigouv_token_check(const ApigouvOptions *options, Oid userid,
								const ApigouvSecrets *secrets);
extern uint64 apigouv_token_identity(const ApigouvSecrets *secrets);

#endif							/* APIGOUV_TOKEN_H */
