/*-------------------------------------------------------------------------
 *
 * messages.h
 *		Messages of this extension belong to its own translation catalog.
 *
 * To be included by every file that raises an error, or has a text for one;
 * by those that build without PostgreSQL too, whose texts are marked by
 * gettext_noop() and translated where they are told.  po/fr.po holds the
 * translations, nls.mk says which calls have texts to translate.
 *
 * Not translated, since programs read them: EXPLAIN, names of columns and
 * options, audit lines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_MESSAGES_H
#define APIGOUV_MESSAGES_H

/* Name of the catalog (apigouv_fdw.c), made ready in this process. */
extern const char *apigouv_textdomain(void);

#undef TEXTDOMAIN
#define TEXTDOMAIN apigouv_textdomain()

/* The server's own look into the server's catalog. */
#undef _
#define _(x) dgettext(TEXTDOMAIN, x)
#undef ngettext
#define ngettext(s, p, n) dngettext(TEXTDOMAIN, s, p, n)

#ifndef gettext_noop
#define gettext_noop(x) (x)
#endif

#endif							/* APIGOUV_MESSAGES_H */
