/*-------------------------------------------------------------------------
 *
 * token_file.c
 *		Reading a token from a file of the server.
 *
 * Such a file keeps the token out of the catalogs, and so out of dumps.  It
 * is read with the server's rights each time that a statement needs the
 * token, so that replacing it is enough to change the token.
 *
 * Whatever stands under that name, reading it ends: only a regular file is
 * read, opened without waiting, and never more of it than a token takes.  Who
 * may read it is checked as the server checks the key of its certificate.
 *
 * A problem is described without the file's name and never by its content:
 * the caller decides who may know the name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "messages.h"
#include "option.h"
#include "redact.h"
#include "token_file.h"

/* Most bytes of a file that holds a token: there may be blanks around it. */
#define MAX_FILE_BYTES (APIGOUV_MAX_SECRET_BYTES + 1024)

/*
 * Why a file cannot hold a token, by what the system says of it; NULL when it
 * can.
 */
static const char *
judge(const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return _("it is not a regular file");
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return _("it must be owned by the database user or root");
	if (status->st_uid == geteuid()
		? (status->st_mode & (S_IRWXG | S_IRWXO)) != 0
		: (status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0)
		return _("it has group or world access");
	return NULL;
}

/* Read at most so many bytes; their number, or -1 with errno. */
static ssize_t
read_bytes(int fd, char *bytes, size_t most)
{
	size_t		len = 0;

	while (len < most)
	{
		ssize_t		n = read(fd, bytes + len, most - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += n;
	}
	return len;
}

/* Take the token out of a file's bytes, which end with a zero byte. */
static void
take_token(char *bytes, size_t len, ApigouvTokenFile *file)
{
	char	   *start = bytes;
	char	   *end = bytes + len;

	while (isspace((unsigned char) *start))
		start++;
	while (end > start && isspace((unsigned char) end[-1]))
		end--;
	if (len > MAX_FILE_BYTES)
		file->problem = _("it is too large to hold a token");
	else if (start == end)
		file->problem = _("it is empty");
	else if (memchr(start, '\0', end - start) != NULL)
		file->problem = _("it does not hold a token");
	else
	{
		*end = '\0';
		if (apigouv_option_is_secret(start))
			file->token = pstrdup(start);
		else
			file->problem = _("it does not hold a token");
	}
}

/*
 * Read a file that is open, unless it has become another one than was looked
 * at.
 */
static void
read_open(int fd, ApigouvTokenFile *file)
{
	struct stat status;
	char		bytes[MAX_FILE_BYTES + 2];
	ssize_t		len;

	if (fstat(fd, &status) != 0)
	{
		file->file_errno = errno;
		return;
	}
	file->problem = judge(&status);
	if (file->problem != NULL)
		return;
	len = read_bytes(fd, bytes, MAX_FILE_BYTES + 1);
	if (len < 0)
		file->file_errno = errno;
	else
	{
		bytes[len] = '\0';
		take_token(bytes, len, file);
		explicit_bzero(bytes, len);
	}
}

/*
 * apigouv_token_file_read
 *		The token that a file holds, or why there is none.
 *
 * path: absolute.  Results are in the current context.  Raises nothing about
 * the file.
 */
void
apigouv_token_file_read(const char *path, ApigouvTokenFile *file)
{
	struct stat status;
	int			fd;

	memset(file, 0, sizeof(*file));

	/* opening some devices does something */
	if (stat(path, &status) != 0)
		file->file_errno = errno;
	else if ((file->problem = judge(&status)) == NULL)
	{
		fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY |
							   PG_BINARY);
		if (fd < 0)
			file->file_errno = errno;
		else
		{
			read_open(fd, file);
			CloseTransientFile(fd);
		}
	}
	if (file->file_errno != 0)
		file->problem = pstrdup(strerror(file->file_errno));
}
