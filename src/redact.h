/*-------------------------------------------------------------------------
 *
 * redact.h
 *		Text that comes from outside, made fit for a message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_REDACT_H
#define APIGOUV_REDACT_H

/* Longest secret that is found in a text, in bytes. */
#define APIGOUV_MAX_SECRET_BYTES 4096

extern char *apigouv_clean_text(const char *text, size_t len, size_t most);
extern void apigouv_redact_remember(const char *secret);
extern void apigouv_redact_remember_link(const char *url);
extern bool apigouv_redact_has_link(const char *text);
extern void apigouv_redact_error(const char *condition_of);
extern bool apigouv_redact_has_word(const char *text, const char *word);
extern char *apigouv_redact_key(int n, const char *const *texts);

#endif							/* APIGOUV_REDACT_H */
