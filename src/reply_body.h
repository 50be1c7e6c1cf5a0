/*-------------------------------------------------------------------------
 *
 * reply_body.h
 *		Bodies of the transaction's replies: in memory, or in its file.
 *
 * What xact_cache.c asks of reply_body.c; both write ApigouvReply.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_REPLY_BODY_H
#define APIGOUV_REPLY_BODY_H

#include "xact_cache.h"

extern bool apigouv_body_is_whole(const ApigouvReply *reply);
extern bool apigouv_body_is_spilled(const ApigouvReply *reply);
extern bool apigouv_body_take(ApigouvReply *reply, ApigouvSaved *saved);
extern bool apigouv_body_restore(ApigouvReply *reply);
extern void apigouv_body_renew(ApigouvReply *reply);
extern void apigouv_body_enter(ApigouvReply *reply);
extern void apigouv_body_keep(ApigouvReply *reply);
extern void apigouv_body_leave(ApigouvReply *reply);
extern char *apigouv_body_load(const ApigouvReply *reply);
extern void apigouv_body_reset(void);

#endif							/* APIGOUV_REPLY_BODY_H */
