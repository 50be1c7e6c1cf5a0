/*-------------------------------------------------------------------------
 *
 * mapped.c
 *		Files of the cluster that all backends have in their memory.
 *
 * They take the place of shared memory, which only a preloaded library gets:
 * what one backend writes, the others see at once, on a standby too, and what
 * a backend has written stays when it is killed.  The kernel writes it to
 * disk now and then; nobody waits for that.
 *
 * Rules that no single function shows:
 *
 * - A file never changes its size, and has all its blocks from the start: an
 *	 access to a page that the disk has no room for would be the backend's
 *	 end.
 *
 * - A file is made aside and renamed, under a lock on its directory, so that
 *	 two backends do not make one each.  Who has mapped the file that it
 *	 replaces is told so in its header, and maps the new one.
 *
 * - The header does not change but for that.  What follows is its owner's,
 *	 who must live with any state that dead backends have left, and asks for
 *	 a look at all of it where a part is wrong: to look at it in each session
 *	 would be a good part of the time of a first query.
 *
 * - Nothing raises but for who asks to see a file: what is kept here is worth
 *	 no query.  After a failure nothing is tried for a while.
 *
 * Not here: what the contents mean (tally.c, progress.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "mapped.h"
#include "messages.h"

/* After a failure nothing is tried for so long, in us. */
#define RETRY_US		INT64CONST(10000000)

/* Times that the directory's lock is tried for, a ms apart. */
#define MAX_TRIES		200

StaticAssertDecl(sizeof(ApigouvMappedHeader) <= APIGOUV_MAPPED_HEADER_BYTES,
				 "room for the header");

static size_t
size_of(const ApigouvMapped *file)
{
	return APIGOUV_MAPPED_HEADER_BYTES + file->bytes;
}

static uint64
check_of(const ApigouvMappedHeader *header)
{
	return hash_bytes_extended((const unsigned char *) header,
							   offsetof(ApigouvMappedHeader, check), 0);
}

static void
unmap(ApigouvMapped *file)
{
	if (file->header != NULL)
		(void) munmap(file->header, size_of(file));
	file->header = NULL;
}

/* Map a file that is open and long enough, in the place of the one before. */
static bool
map(ApigouvMapped *file, int fd)
{
	void	   *at = mmap(NULL, size_of(file), PROT_READ | PROT_WRITE,
						  MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return false;
	unmap(file);
	file->header = at;
	file->generation++;
	return true;
}

/*
 * why_void
 *		What is wrong with a file that is mapped, as the end of a sentence;
 *		NULL if nothing is.
 *
 * thorough: the contents are looked at.  An empty text: it is of an earlier
 * start of the machine, as it may be.
 */
static const char *
why_void(ApigouvMapped *file, const struct stat *st, bool thorough)
{
	const ApigouvMappedHeader *header = file->header;
	const char *boot = apigouv_clock_boot_id();

	if (memcmp(header->magic, file->magic, sizeof(header->magic)) != 0 ||
		header->check != check_of(header))
		return gettext_noop("it was damaged");
	if (header->version != file->version ||
		header->bytes != (uint64) size_of(file))
		return gettext_noop("it was of another version");
	if (header->inode != (uint64) st->st_ino)
		return gettext_noop("it was a copy");
	if (file->of_boot && (boot == NULL || strcmp(header->boot_id, boot) != 0))
		return "";
	if (pg_atomic_read_u32(&file->header->replaced) != 0 ||
		(thorough && file->is_sound != NULL &&
		 !file->is_sound(apigouv_mapped_contents(file))))
		return gettext_noop("it was damaged");
	return NULL;
}

/*
 * map_valid
 *		Map the file of that name if it can be used.
 *
 * False: there is none (*why is NULL), or *why says why not; it may then be
 * mapped all the same, for tell_replaced.
 */
static bool
map_valid(ApigouvMapped *file, bool thorough, const char **why)
{
	struct stat st;
	int			fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	*why = NULL;
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0 || st.st_size != (off_t) size_of(file))
		*why = gettext_noop("it was of another version");
	else if (map(file, fd))
		*why = why_void(file, &st, thorough);
	else
		*why = gettext_noop("it could not be mapped");
	close(fd);
	return *why == NULL;
}

/* Fill an empty file that is open, and map it. */
static bool
fill(ApigouvMapped *file, int fd)
{
	const char *boot = apigouv_clock_boot_id();
	struct stat st;
	int			code;

	do
		code = posix_fallocate(fd, 0, (off_t) size_of(file));
	while (code == EINTR);
	if (code != 0)
	{
		errno = code;
		return false;
	}
	if (fstat(fd, &st) != 0 || !map(file, fd))
		return false;
	memcpy(file->header->magic, file->magic, sizeof(file->header->magic));
	file->header->version = file->version;
	file->header->bytes = size_of(file);
	file->header->inode = (uint64) st.st_ino;
	file->header->since = GetCurrentTimestamp();
	strlcpy(file->header->boot_id, boot ? boot : "",
			sizeof(file->header->boot_id));
	file->header->check = check_of(file->header);
	return true;
}

/* Make an empty file and give it the name; the directory is locked. */
static bool
make(ApigouvMapped *file)
{
	char		aside[MAXPGPATH];
	int			fd;
	bool		ok;
	int			error;

	snprintf(aside, sizeof(aside), "%s.new", file->path);
	(void) unlink(aside);
	fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  pg_file_create_mode);
	if (fd < 0)
		return false;
	ok = fill(file, fd) && rename(aside, file->path) == 0;
	error = errno;
	close(fd);
	if (!ok)
	{
		(void) unlink(aside);
		unmap(file);
	}
	errno = error;
	return ok;
}

/* Lock the directory of a file; its descriptor, or -1 with errno. */
static int
lock_directory(const ApigouvMapped *file)
{
	char		path[MAXPGPATH];
	int			fd;

	strlcpy(path, file->path, sizeof(path));
	*strrchr(path, '/') = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		pg_usleep(1000);
	}
	close(fd);
	errno = EAGAIN;
	return -1;
}

/*
 * Tell those who have mapped the file that it has no name any more: only a
 * file that is as long as ours can be theirs.
 */
static void
tell_replaced(ApigouvMapped *file)
{
	if (file->header != NULL &&
		memcmp(file->header->magic, file->magic,
			   sizeof(file->header->magic)) == 0)
		pg_atomic_write_u32(&file->header->replaced, 1);
}

bool
apigouv_mapped_follow(ApigouvMapped *file)
{
	const char *why;

	if (apigouv_mapped_is_current(file))
		return true;
	if (file->header == NULL)
		return false;
	if (map_valid(file, false, &why))
		return true;
	unmap(file);
	return false;
}

/*
 * Map the file under the lock on its directory, after a look at its contents,
 * or make it.
 */
static bool
open_or_make(ApigouvMapped *file, bool anew, const char **why)
{
	int			lock = lock_directory(file);
	ApigouvMapped old;
	bool		ok;
	int			error;

	*why = NULL;
	if (lock < 0)
		return false;
	ok = map_valid(file, true, why) && !anew;
	if (!ok)
	{
		/* the old mapping is needed until the name is another file's */
		old = *file;
		file->header = NULL;
		ok = make(file);
		error = errno;
		if (ok)
			tell_replaced(&old);
		unmap(&old);
		errno = error;
	}
	error = errno;
	close(lock);
	errno = error;
	return ok;
}

/* Is the mapping that of the file which has the name now? */
static bool
is_named(const ApigouvMapped *file)
{
	struct stat st;

	return stat(file->path, &st) == 0 &&
		(uint64) st.st_ino == file->header->inode &&
		st.st_size == (off_t) size_of(file);
}

bool
apigouv_mapped_recheck(ApigouvMapped *file)
{
	const char *why;

	if (monotonic_us() < file->retry_at)
		return false;
	if (!open_or_make(file, false, &why))
	{
		file->retry_at = monotonic_us() + RETRY_US;
		unmap(file);
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not make file \"%s\": %m", file->path),
				 errdetail("Queries go on without it.")));
		return false;
	}
	if (why != NULL && *why != '\0')
		ereport(LOG,
				(errmsg("file \"%s\" begins anew: %s", file->path, _(why))));
	return true;
}

void
apigouv_mapped_refuse(const ApigouvMapped *file)
{
	ereport(ERROR,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("could not use file \"%s\"", file->path),
			 errhint("The server log tells why.")));
}

bool
apigouv_mapped_open(ApigouvMapped *file)
{
	const char *why;

	return (apigouv_mapped_is_current(file) && is_named(file)) ||
		(monotonic_us() >= file->retry_at &&
		 map_valid(file, false, &why)) || apigouv_mapped_recheck(file);
}

bool
apigouv_mapped_renew(ApigouvMapped *file)
{
	const char *why;

	return open_or_make(file, true, &why);
}
