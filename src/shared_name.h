/*-------------------------------------------------------------------------
 *
 * shared_name.h
 *		Where the cluster's replies are kept, and small helpers for files.
 *
 * Only shared_cache.c, shared_name.c and flight.c include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SHARED_NAME_H
#define APIGOUV_SHARED_NAME_H

#define APIGOUV_CACHE_DIR "pg_stat_tmp/apigouv_fdw"
#define APIGOUV_CLAIMS_FILE APIGOUV_CACHE_DIR "/claims" /* flight.c */

/* A path of our own for a file being written; path: MAXPGPATH bytes. */
extern void apigouv_shared_temporary_path(char *path);

/* Read or write exactly so many bytes; false (errno is set) when not. */
extern bool apigouv_shared_read_fd(int fd, void *bytes, size_t len, off_t at);
extern bool apigouv_shared_write_fd(int fd, const void *bytes, size_t len,
									off_t at);

/* Tell the session once that replies cannot be kept; errno says why. */
extern void apigouv_shared_warn(const char *path);

#endif							/* APIGOUV_SHARED_NAME_H */
