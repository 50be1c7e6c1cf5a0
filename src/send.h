/*-------------------------------------------------------------------------
 *
 * send.h
 *		A request of a route, on its way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SEND_H
#define APIGOUV_SEND_H

#include "request.h"

/*
 * Queue a request to the API: with what proves who asks, counted against its
 * limits and in the options' tally.  May wait for an access token, which is
 * obtained anew when the one at hand is of stale_generation (0: when it has
 * ended).  *generation: of the one that is sent.
 *
 * The result is as that of apigouv_http_start; hook_arg must live as long.
 * Raises what apigouv_token_header does.
 */
extern ApigouvTransfer *apigouv_send(const ApigouvOptions *options,
									 Oid userid,
									 const ApigouvSecrets *secrets,
									 const ApigouvBuilt *built,
									 uint32 stale_generation,
									 ApigouvRetryHook hook, void *hook_arg,
									 uint32 *generation);

#endif							/* APIGOUV_SEND_H */
