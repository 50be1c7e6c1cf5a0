/*-------------------------------------------------------------------------
 *
 * reply.h
 *		What a reply means, by the rules of the API definition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_REPLY_H
#define APIGOUV_REPLY_H

#include "compat.h"
#include "option.h"

/* What was decided of a transfer that has ended. */
typedef struct ApigouvJudgement
{
	ApigouvVerdict verdict;
	const ApigouvReplyRule *rule;	/* NULL: the engine's own */
	char		code[32];		/* the error body's code, or empty */
	char		title[256];		/* its title, cleaned, or empty */
	int			retry_in_s;		/* -1 = not given */
	bool		is_silent;		/* of the body, messages tell code and title
								 * at most */
} ApigouvJudgement;

extern void apigouv_reply_judge(const ApigouvApi *api,
								const ApigouvRoute *route,
								const ApigouvTransfer *transfer, bool final,
								ApigouvJudgement *judgement);
extern bool apigouv_reply_is_rows(const ApigouvRoute *route, bool is_long);
extern bool apigouv_reply_wants_retry(const ApigouvApi *api,
									  const ApigouvRoute *route, int retries,
									  const ApigouvTransfer *transfer,
									  int *delay_ms);
extern const char *apigouv_reply_rule_hint(const ApigouvJudgement *judgement);
extern char *apigouv_reply_scopes(const ApigouvRoute *route);
extern char *apigouv_reply_request_id(const ApigouvTransfer *transfer);
extern char *apigouv_reply_describe(const ApigouvTransfer *transfer,
									const ApigouvJudgement *judgement);
extern char *apigouv_reply_detail(const ApigouvTransfer *transfer,
								  const ApigouvJudgement *judgement);
extern void apigouv_reply_raise(const ApigouvOptions *options,
								const ApigouvRoute *route, Oid userid,
								const ApigouvTransfer *transfer,
								const ApigouvJudgement *judgement)
			APIGOUV_NORETURN;

#endif							/* APIGOUV_REPLY_H */
