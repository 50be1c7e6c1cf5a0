/*-------------------------------------------------------------------------
 *
 * mapped.h
 *		Files of the cluster that all backends have in their memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_MAPPED_H
#define APIGOUV_MAPPED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "clock.h"

/* Bytes before the file's own contents. */
#define APIGOUV_MAPPED_HEADER_BYTES 4096

typedef struct ApigouvMappedHeader
{
	char		magic[8];
	uint32		version;
	uint32		spare;
	uint64		bytes;			/* of the whole file */
	uint64		inode;			/* of the file; a copy has another */
	TimestampTz since;			/* when it was made */
	char		boot_id[APIGOUV_BOOT_ID_BYTES]; /* of the machine, then */
	uint64		check;			/* of all before */
	pg_atomic_uint32 replaced;	/* another file has its name */
} ApigouvMappedHeader;

/* A kind of file; the first members say what it is, the others are ours. */
typedef struct ApigouvMapped
{
	const char *path;			/* relative to the data directory */
	const char *magic;			/* 8 characters */
	uint32		version;
	size_t		bytes;			/* of the contents */
	bool		of_boot;		/* void once the machine has started anew */
	bool		(*is_sound) (const void *contents); /* NULL: always; asked by
													 * recheck alone */

	ApigouvMappedHeader *header;	/* NULL: not mapped */
	uint32		generation;		/* grows with each mapping; 0: none yet */
	int64		retry_at;		/* after a failure; us, monotonic */
} ApigouvMapped;

/*
 * Map the file unless it is, under its name, and make it where it is missing,
 * damaged, a copy or of another version.  False when that cannot be done,
 * which the server log says.  Not to be called inside libcurl, nor where
 * nothing may be logged.
 */
extern bool apigouv_mapped_open(ApigouvMapped *file);

/* The same, but nothing is made or logged: false when it is not there. */
extern bool apigouv_mapped_follow(ApigouvMapped *file);

/* Raise ERRCODE_IO_ERROR: there is no file to show. */
extern void apigouv_mapped_refuse(const ApigouvMapped *file);

/*
 * What was read of the contents cannot be: look at all of them, and put an
 * empty file in their place where they are not sound, which the server log
 * says.  As open otherwise.
 */
extern bool apigouv_mapped_recheck(ApigouvMapped *file);

/* Put an empty file in its place; false, with errno, when it cannot be. */
extern bool apigouv_mapped_renew(ApigouvMapped *file);

/* Is the mapping there, and still that of the file? */
static inline bool
apigouv_mapped_is_current(ApigouvMapped *file)
{
	return file->header != NULL &&
		pg_atomic_read_u32(&file->header->replaced) == 0;
}

static inline void *
apigouv_mapped_contents(ApigouvMapped *file)
{
	return (char *) file->header + APIGOUV_MAPPED_HEADER_BYTES;
}

#endif							/* APIGOUV_MAPPED_H */
