/*-------------------------------------------------------------------------
 *
 * encoding.h
 *		Names that databases of other encodings may have to show.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ENCODING_H
#define APIGOUV_ENCODING_H

/* A text of the server in UTF-8, palloc'd or as it is; NULL for NULL. */
extern const char *apigouv_encoding_to_utf8(const char *text);

/* The other way round; what is not UTF-8 is left out. */
extern const char *apigouv_encoding_from_utf8(const char *text);

/* Copy as many whole characters of a UTF-8 text as fit. */
extern void apigouv_encoding_copy(char *out, size_t size, const char *text);

#endif							/* APIGOUV_ENCODING_H */
