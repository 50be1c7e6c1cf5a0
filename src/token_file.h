/*-------------------------------------------------------------------------
 *
 * token_file.h
 *		Tokens that are kept in a file of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_TOKEN_FILE_H
#define APIGOUV_TOKEN_FILE_H

/* What a file was found to hold. */
typedef struct ApigouvTokenFile
{
	char	   *token;			/* palloc'd; NULL when it cannot be used */
	const char *problem;		/* why, without its name; else NULL */
	int			file_errno;		/* of a problem with the file, else 0 */
} ApigouvTokenFile;

extern void apigouv_token_file_read(const char *path, ApigouvTokenFile *file);

#endif							/* APIGOUV_TOKEN_FILE_H */
