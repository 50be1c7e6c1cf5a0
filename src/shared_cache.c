/*-------------------------------------------------------------------------
 *
 * shared_cache.c
 *		Replies kept for the whole cluster, in files.
 *
 * One file holds the replies of one read: one reply, or all pages of a list.
 * So pages of different ages never meet: a read takes all its pages from one
 * file, or none.  The file is named by a keyed hash of its first request, and
 * holds the hashes of the others.
 *
 * Files need no preloading, serve read-only transactions and standbys, and
 * outlive a restart.  They are in pg_stat_tmp, which base backups leave out.
 *
 * Rules that no single function shows:
 *
 * - A file is written aside and renamed: a reader sees all of it or nothing.
 *	 It is never changed afterwards.  Whoever dies while writing leaves a file
 *	 that the next sweep removes.
 *
 * - What cannot be read, is damaged, past its time, or dated in the future is
 *	 removed, and counts as absent.
 *
 * - Nothing raises because of a file: a cache that cannot be written must not
 *	 fail a query.  The session is warned once.
 *
 * - Age is measured by the clock of the day and, within one boot, by a clock
 *	 that never goes back: an old reply does not get younger when the clock of
 *	 the day is set back.
 *
 * - The file's own time (mtime) is when its replies expire, so that a sweep
 *	 opens none.
 *
 * Not here: which replies may be kept (xact_cache.c), whose (cache_purge.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "messages.h"
#include "clock.h"
#include "shared_cache.h"
#include "shared_name.h"

#define TOTAL_FILE APIGOUV_CACHE_DIR "/total"
#define CLEARED_FILE APIGOUV_CACHE_DIR "/cleared"

/* "agvc", read as a number, so that the byte order is part of it */
#define FILE_MAGIC 0x61677663
#define FILE_VERSION 1

/* Replies of one file, at most. */
#define MAX_PAGES 100000

/* Age of a file being written after which its writer has given up, in s. */
#define WRITING_S 600

/* What files take on disk is a multiple of that, as a rule. */
#define DISK_BLOCK 4096

/* Bytes that one call reads, at most. */
#define MAX_PIECE (8 * 1024 * 1024)

/* ... of bodies that are only checked */
#define CHECK_BYTES (256 * 1024)

/* Part of the bound that a sweep frees beyond need, so that few are needed. */
#define SWEEP_PART 8

/* A sweep counts all files anew after that long, in s. */
#define SWEEP_EVERY_S 600

/* The beginning of a file.  Zeroed, then filled; no padding is read. */
typedef struct FileHeader
{
	uint32		magic;
	uint32		version;
	pg_crc32c	crc;			/* of what follows here and of the entries */
	int32		npages;
	int64		size;			/* of the whole file */
	TimestampTz received;		/* the first reply */
	TimestampTz expires;
	int64		boot_received_us;	/* received, on the clock since the boot */
	char		boot_id[APIGOUV_BOOT_ID_BYTES]; /* empty if not known */
	uint8		first[APIGOUV_NAME_BYTES];
	ApigouvTags tags;
} FileHeader;

/* One per reply, after the header; the bodies come after all of them. */
typedef struct FileEntry
{
	ApigouvName name;
	int64		offset;
	int64		len;
	TimestampTz received;
	int32		status;
	pg_crc32c	crc;			/* of the body */
	char		content_type[64];
	char		request_id[128];
} FileEntry;

struct ApigouvSharedSet
{
	File		file;			/* the server's, which closes and opens them
								 * as it likes; -1: closed */
	char		path[MAXPGPATH];
	int			npages;
	FileEntry  *entries;
};

/* ----------------------------------------------------------------
 *		files
 * ----------------------------------------------------------------
 */

/* Read exactly so many bytes of a file that the server has opened for us. */
static bool
read_file(File file, void *bytes, size_t len, off_t at)
{
	size_t		done = 0;

	while (done < len)
	{
		int			n = (int) FileRead(file, (char *) bytes + done,
									   (int) Min(len - done, MAX_PIECE),
									   at + (off_t) done,
									   apigouv_wait_event(APIGOUV_WAIT_CACHE));

		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

static void
path_of(const ApigouvName *name, char *path)
{
	char	   *end = path + strlcpy(path, APIGOUV_CACHE_DIR "/", MAXPGPATH);

	for (int i = 0; i < APIGOUV_NAME_BYTES; i++)
		end += sprintf(end, "%02x", name->bytes[i]);
}

static void
path_in_cache(char *path, const char *name)
{
	snprintf(path, MAXPGPATH, "%s/%s", APIGOUV_CACHE_DIR, name);
}

/* Does a file's name look like one of path_of's? */
static bool
is_set_name(const char *name)
{
	return strlen(name) == 2 * APIGOUV_NAME_BYTES &&
		strspn(name, "0123456789abcdef") == 2 * APIGOUV_NAME_BYTES;
}

/* ----------------------------------------------------------------
 *		reading
 * ----------------------------------------------------------------
 */

static pg_crc32c
crc_of(const void *bytes, size_t len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, len);
	FIN_CRC32C(crc);
	return crc;
}

/* The checksum of a header and its entries. */
static pg_crc32c
crc_of_header(const FileHeader *header, const FileEntry *entries)
{
	const size_t start = offsetof(FileHeader, crc) + sizeof(pg_crc32c);
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (const char *) header + start,
				sizeof(FileHeader) - start);
	COMP_CRC32C(crc, entries, sizeof(FileEntry) * header->npages);
	FIN_CRC32C(crc);
	return crc;
}

/* Is this the header of one of our files, as long as it says? */
static bool
read_header(File file, FileHeader *header)
{
	return read_file(file, header, sizeof(*header), 0) &&
		header->magic == FILE_MAGIC && header->version == FILE_VERSION &&
		header->npages > 0 && header->npages <= MAX_PAGES &&
		FileSize(file) == (off_t) header->size;
}

/* Is a reply past its time, or dated in the future? */
static bool
is_past(const FileHeader *header)
{
	TimestampTz now = GetCurrentTimestamp();
	const char *boot = apigouv_clock_boot_id();
	int64		age;

	if (header->received > now || header->expires <= now)
		return true;
	if (boot == NULL || strcmp(header->boot_id, boot) != 0)
		return false;
	age = boot_us() - header->boot_received_us;
	return age < 0 || age >= header->expires - header->received;
}

/* Read and check the entries, in the current context. */
static FileEntry *
read_entries(File file, const FileHeader *header)
{
	size_t		len = sizeof(FileEntry) * header->npages;
	FileEntry  *entries = palloc(len);

	if (read_file(file, entries, len, sizeof(FileHeader)) &&
		crc_of_header(header, entries) == header->crc)
		return entries;
	pfree(entries);
	return NULL;
}

/*
 * bodies_are_sound
 *		Check the bodies of a list in pages before the first is used.
 *
 * A damage that showed later would be an error: rows would have gone out.
 */
static bool
bodies_are_sound(File file, int npages, const FileEntry *entries)
{
	char	   *buffer = palloc(CHECK_BYTES);
	bool		sound = true;

	for (int i = 0; i < npages && sound; i++)
	{
		pg_crc32c	crc;
		int64		done = 0;

		INIT_CRC32C(crc);
		while (done < entries[i].len && sound)
		{
			size_t		piece = Min(entries[i].len - done, CHECK_BYTES);

			sound = read_file(file, buffer, piece,
							  (off_t) (entries[i].offset + done));
			COMP_CRC32C(crc, buffer, piece);
			done += piece;
		}
		FIN_CRC32C(crc);
		sound = sound && EQ_CRC32C(crc, entries[i].crc);
	}
	pfree(buffer);
	return sound;
}

/* Read a set but for its bodies; false when it is damaged or past its time. */
static bool
read_set(ApigouvSharedSet *set, const ApigouvName *first, FileHeader *header)
{
	if (!read_header(set->file, header) || is_past(header) ||
		memcmp(header->first, first->bytes, sizeof(header->first)) != 0)
		return false;
	set->entries = read_entries(set->file, header);
	set->npages = header->npages;
	return set->entries != NULL;
}

ApigouvSharedSet *
apigouv_shared_open(const ApigouvName *first, int ttl_s)
{
	ApigouvSharedSet *set = palloc0(sizeof(ApigouvSharedSet));
	FileHeader	header;
	bool		sound = false;
	bool		young = false;	/* enough for us; else for others only */

	path_of(first, set->path);
	set->file = PathNameOpenFile(set->path, O_RDONLY | PG_BINARY);
	if (set->file >= 0)
	{
		sound = read_set(set, first, &header);
		young = sound && GetCurrentTimestamp() - header.received <
			(int64) ttl_s * USECS_PER_SEC;
		if (young && set->npages > 1)
			sound = bodies_are_sound(set->file, set->npages, set->entries);
		if (!sound)
			unlink(set->path);
	}
	if (sound && young)
		return set;
	apigouv_shared_close(set);
	if (set->entries != NULL)
		pfree(set->entries);
	pfree(set);
	return NULL;
}

int
apigouv_shared_set_size(const ApigouvSharedSet *set)
{
	return set->npages;
}

void
apigouv_shared_close(ApigouvSharedSet *set)
{
	if (set->file >= 0)
		FileClose(set->file);
	set->file = -1;
}

/*
 * Read the body of an entry; false when it is damaged or has no room.
 *
 * The checksum also tells when the server had to open the file again and
 * found another one under its name.
 */
static bool
read_body(ApigouvSharedSet *set, const FileEntry *entry, ApigouvSaved *saved)
{
	saved->body_len = (size_t) entry->len;
	saved->body = malloc(saved->body_len + 1);
	if (saved->body == NULL)
		return false;
	saved->body[saved->body_len] = '\0';
	if (read_file(set->file, saved->body, saved->body_len, entry->offset) &&
		crc_of(saved->body, saved->body_len) == entry->crc)
		return true;
	free(saved->body);
	saved->body = NULL;
	unlink(set->path);
	return false;
}

bool
apigouv_shared_read(ApigouvSharedSet *set, const ApigouvName *name,
					int max_bytes, ApigouvSaved *saved)
{
	memset(saved, 0, sizeof(*saved));
	for (int i = 0; i < set->npages; i++)
	{
		const FileEntry *entry = &set->entries[i];

		if (memcmp(&entry->name, name, sizeof(*name)) != 0)
			continue;
		if (entry->len < 0 || entry->len > max_bytes ||
			!read_body(set, entry, saved))
			return false;
		saved->status = entry->status;
		saved->received = entry->received;
		strlcpy(saved->content_type, entry->content_type,
				sizeof(saved->content_type));
		strlcpy(saved->request_id, entry->request_id,
				sizeof(saved->request_id));
		return true;
	}
	return false;
}

/* ----------------------------------------------------------------
 *		removing
 * ----------------------------------------------------------------
 */

void
apigouv_shared_remove(const ApigouvName *first)
{
	char		path[MAXPGPATH];

	path_of(first, path);
	unlink(path);
}

/* A file that a sweep may remove. */
typedef struct Found
{
	char		name[2 * APIGOUV_NAME_BYTES + 1];
	int64		bytes;
	int64		written;		/* ns since 1970 */
} Found;

static int
compare_written(const void *a, const void *b)
{
	const Found *first = a;
	const Found *second = b;

	return first->written < second->written ? -1 :
		first->written > second->written;
}

/* Is the process that writes this file still at it? */
static bool
is_being_written(const char *name, const struct stat *st)
{
	int			pid = atoi(name + 4);

	return strncmp(name, "tmp.", 4) == 0 && pid > 0 &&
		(pid == MyProcPid || kill(pid, 0) == 0) &&
		time(NULL) - st->st_mtime < WRITING_S;
}

/*
 * find_sets
 *		List the files of the cache, removing what is past its time or not of
 *		the cache.
 *
 * *found: palloc'd; *bytes: of all of them, as the file system counts.
 */
static int
find_sets(Found **found, int64 *bytes)
{
	DIR		   *dir = AllocateDir(APIGOUV_CACHE_DIR);
	struct dirent *entry;
	int			n = 0;
	int			room = 256;
	time_t		now = time(NULL);

	*bytes = 0;
	*found = palloc(sizeof(Found) * room);
	if (dir == NULL)
		return 0;
	while ((entry = ReadDirExtended(dir, APIGOUV_CACHE_DIR,
									DEBUG1)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat st;

		path_in_cache(path, entry->d_name);
		if (strcmp(entry->d_name, "key") == 0 ||
			strcmp(entry->d_name, "total") == 0 ||
			strcmp(entry->d_name, "cleared") == 0 ||
			strcmp(path, APIGOUV_CLAIMS_FILE) == 0 ||
			lstat(path, &st) != 0 || S_ISDIR(st.st_mode) ||
			is_being_written(entry->d_name, &st))
			continue;
		if (!is_set_name(entry->d_name) || st.st_mtime < now)
		{
			unlink(path);
			continue;
		}
		if (n == room)
		{
			room *= 2;
			*found = repalloc_huge(*found, sizeof(Found) * room);
		}
		strlcpy((*found)[n].name, entry->d_name, sizeof((*found)[n].name));
		(*found)[n].bytes = (int64) st.st_blocks * 512;
		(*found)[n].written = (int64) st.st_ctim.tv_sec * 1000000000 +
			st.st_ctim.tv_nsec;
		*bytes += (*found)[n].bytes;
		n++;
	}
	FreeDir(dir);
	return n;
}

/* What the sessions note of all files together, in TOTAL_FILE. */
typedef struct Total
{
	int64		bytes;			/* what the sweep left, and written since */
	int64		swept_at;		/* s since 1970 */
} Total;

/*
 * add_to_total
 *		Note that so many bytes are written; false when a sweep is due.
 *
 * Sessions that add at the same moment may lose one addition: a sweep counts
 * the files themselves from time to time.
 */
static bool
add_to_total(int64 bytes, int64 bound)
{
	int			fd = BasicOpenFilePerm(TOTAL_FILE, O_RDWR | PG_BINARY, 0);
	int64		now = (int64) time(NULL);
	Total		total;
	bool		ok;

	if (fd < 0)
		return false;
	ok = apigouv_shared_read_fd(fd, &total, sizeof(total), 0) &&
		total.bytes >= 0 &&
		total.swept_at <= now && now - total.swept_at < SWEEP_EVERY_S;
	total.bytes += bytes;
	ok = ok && total.bytes <= bound &&
		apigouv_shared_write_fd(fd, &total, sizeof(total), 0);
	close(fd);
	return ok;
}

/* Note what a sweep has left. */
static void
set_total(int64 bytes)
{
	Total		total = {bytes, (int64) time(NULL)};
	int			fd = BasicOpenFilePerm(TOTAL_FILE,
									   O_WRONLY | O_CREAT | PG_BINARY,
									   S_IRUSR | S_IWUSR);

	if (fd < 0)
		return;
	if (!apigouv_shared_write_fd(fd, &total, sizeof(total), 0))
		unlink(TOTAL_FILE);
	close(fd);
}

/*
 * make_room
 *		Remove the oldest files when there is no room for so many bytes.
 *
 * The bound is held roughly: directories are read now and then only.
 */
static void
make_room(int64 wanted)
{
	int64		bound = (int64) apigouv_shared_cache_size * 1024;
	MemoryContext cxt;
	MemoryContext old;
	Found	   *found;
	int64		bytes;
	int			n;
	char		path[MAXPGPATH];

	if (add_to_total(wanted, bound))
		return;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "apigouv_fdw sweep",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	n = find_sets(&found, &bytes);
	if (bytes + wanted > bound)
	{
		qsort(found, n, sizeof(Found), compare_written);
		bound -= bound / SWEEP_PART;
	}
	for (int i = 0; i < n && bytes + wanted > bound; i++)
	{
		path_in_cache(path, found[i].name);
		if (unlink(path) == 0 || errno == ENOENT)
			bytes -= found[i].bytes;
	}
	set_total(bytes + wanted);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* Do the tags of a file fit those that are to go? */
static bool
tags_fit(const FileHeader *header, const ApigouvTags *tags, bool by_table)
{
	const ApigouvTags *has = &header->tags;

	return memcmp(has->server, tags->server, APIGOUV_TAG_BYTES) == 0 &&
		memcmp(has->credentials, tags->credentials,
			   APIGOUV_TAG_BYTES) == 0 &&
		(!by_table ||
		 memcmp(has->table, tags->table, APIGOUV_TAG_BYTES) == 0);
}

/*
 * Note that replies were cleared: what sessions have received before, and have
 * not stored yet, must not be stored any more.
 */
static void
note_clearing(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			fd = BasicOpenFilePerm(CLEARED_FILE,
									   O_RDWR | O_CREAT | PG_BINARY,
									   S_IRUSR | S_IWUSR);

	if (fd < 0)
		return;					/* then nothing can be stored either */
	(void) pg_pwrite(fd, &now, sizeof(now), 0);
	close(fd);
}

/* Were replies cleared after one was received? */
static bool
was_cleared_since(TimestampTz received)
{
	TimestampTz cleared;
	int			fd = BasicOpenFilePerm(CLEARED_FILE, O_RDONLY | PG_BINARY, 0);
	bool		told;

	if (fd < 0)
		return false;
	told = pg_pread(fd, &cleared, sizeof(cleared), 0) == sizeof(cleared);
	close(fd);
	return !told || cleared >= received;
}

int64
apigouv_shared_purge(const ApigouvTags *tags, bool by_table)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "apigouv_fdw sweep",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Found	   *found;
	int64		bytes;
	int64		removed = 0;
	int			n;

	note_clearing();			/* before what is there is looked at */
	n = find_sets(&found, &bytes);
	for (int i = 0; i < n; i++)
	{
		char		path[MAXPGPATH];
		FileHeader	header = {0};
		File		file;
		bool		ours;

		path_in_cache(path, found[i].name);
		file = PathNameOpenFile(path, O_RDONLY | PG_BINARY);
		if (file < 0)
			continue;
		ours = read_header(file, &header);
		FileClose(file);
		if (tags != NULL && (!ours || !tags_fit(&header, tags, by_table)))
			continue;
		if (unlink(path) == 0 && ours)
			removed += header.npages;
	}
	unlink(TOTAL_FILE);			/* to be counted anew */
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return removed;
}

/* ----------------------------------------------------------------
 *		writing
 * ----------------------------------------------------------------
 */

/* Write the bodies, and note of each where it is and its checksum. */
static bool
write_bodies(int fd, int npages, ApigouvSharedPage *pages, FileEntry *entries,
			 ApigouvBodyLoader load, void *arg, int64 *end)
{
	for (int i = 0; i < npages; i++)
	{
		ApigouvSaved *saved = &pages[i].saved;
		FileEntry  *entry = &entries[i];
		bool		ok;

		if (QueryCancelPending || ProcDiePending)
		{
			errno = EINTR;		/* a list is long: do not make it wait */
			return false;
		}
		if (!load(i, saved, arg))
			return false;
		entry->name = pages[i].name;
		entry->offset = *end;
		entry->len = (int64) saved->body_len;
		entry->received = saved->received;
		entry->status = saved->status;
		entry->crc = crc_of(saved->body ? saved->body : "", saved->body_len);
		strlcpy(entry->content_type, saved->content_type,
				sizeof(entry->content_type));
		strlcpy(entry->request_id, saved->request_id,
				sizeof(entry->request_id));
		ok = apigouv_shared_write_fd(fd, saved->body ? saved->body : "", saved->body_len,
									 (off_t) * end);
		if (!ok)
			return false;
		*end += (int64) saved->body_len;
	}
	return true;
}

/* Fill the header of a file whose entries are known. */
static void
fill_header(FileHeader *header, const ApigouvTags *tags, int ttl_s,
			int npages, const FileEntry *entries, int64 size)
{
	TimestampTz now = GetCurrentTimestamp();
	const char *boot = apigouv_clock_boot_id();

	header->magic = FILE_MAGIC;
	header->version = FILE_VERSION;
	header->npages = npages;
	header->size = size;
	header->received = entries[0].received;
	for (int i = 1; i < npages; i++)
		header->received = Min(header->received, entries[i].received);
	header->expires = header->received + (int64) ttl_s * USECS_PER_SEC;
	header->boot_received_us = boot_us() - (now - header->received);
	strlcpy(header->boot_id, boot ? boot : "", sizeof(header->boot_id));
	memcpy(header->first, &entries[0].name, sizeof(header->first));
	header->tags = *tags;
	header->crc = crc_of_header(header, entries);
}

/* Give an open file its time: when its replies expire. */
static bool
set_expiry(const char *path, TimestampTz expires)
{
	struct utimbuf times;

	times.modtime = timestamptz_to_time_t(expires) + 1;
	times.actime = times.modtime;
	return utime(path, &times) == 0;
}

/*
 * write_set
 *		Write a set into a file that is open: its bodies, then what tells of
 *		them.
 *
 * entries: zeroed, one per page.  Does not raise, since the descriptor is
 * nobody's but the caller's.
 */
static bool
write_set(int fd, const ApigouvTags *tags, int ttl_s, int npages,
		  ApigouvSharedPage *pages, ApigouvBodyLoader load, void *arg,
		  FileHeader *header, FileEntry *entries)
{
	size_t		entries_len = sizeof(FileEntry) * npages;
	int64		end = sizeof(FileHeader) + entries_len;

	memset(header, 0, sizeof(*header));
	if (!write_bodies(fd, npages, pages, entries, load, arg, &end))
		return false;
	fill_header(header, tags, ttl_s, npages, entries, end);
	return apigouv_shared_write_fd(fd, header, sizeof(*header), 0) &&
		apigouv_shared_write_fd(fd, entries, entries_len, sizeof(*header));
}

bool
apigouv_shared_store(const ApigouvTags *tags, int ttl_s, int npages,
					 ApigouvSharedPage *pages, ApigouvBodyLoader load,
					 void *arg)
{
	int64		bytes = sizeof(FileHeader) + sizeof(FileEntry) * npages;
	char		aside[MAXPGPATH];
	char		path[MAXPGPATH];
	FileHeader	header;
	FileEntry  *entries;
	int			fd;
	bool		ok;

	for (int i = 0; i < npages; i++)
		bytes += (int64) pages[i].saved.body_len;
	if (was_cleared_since(pages[0].saved.received))
		return false;
	if (npages > MAX_PAGES ||
		bytes > (int64) apigouv_shared_cache_size * 1024)
		return false;
	make_room(TYPEALIGN(DISK_BLOCK, bytes));

	entries = palloc0(sizeof(FileEntry) * npages);
	apigouv_shared_temporary_path(aside);
	unlink(aside);
	fd = BasicOpenFilePerm(aside, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY,
						   S_IRUSR | S_IWUSR);
	ok = fd >= 0;
	if (ok)
	{
		ok = write_set(fd, tags, ttl_s, npages, pages, load, arg, &header,
					   entries);
		close(fd);
	}
	pfree(entries);
	path_of(&pages[0].name, path);
	if (ok && set_expiry(aside, header.expires) && rename(aside, path) == 0)
		return true;
	if (errno != EINTR)
		apigouv_shared_warn(APIGOUV_CACHE_DIR);
	unlink(aside);
	return false;
}
