/*-------------------------------------------------------------------------
 *
 * spill.c
 *		The temporary file of a transaction, for replies past cache_size.
 *
 * One file of the server's own kind: in temp_tablespaces, counted against
 * temp_file_limit, gone after a crash.  It belongs to the transaction's
 * resource owner, neither to the portal's nor to the subtransaction's that
 * happens to write, since a reply must outlive both.
 *
 * Bytes are only ever appended.  fd.c is used without the buffer of a
 * BufFile: what could not be written, for temp_file_limit say, must not stand
 * in the way of reading what was, after a savepoint is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/tablespace.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#include "messages.h"
#include "spill.h"

/* Bytes that one call to the server's file layer moves, at most. */
#define PIECE_BYTES (8 * 1024 * 1024)

static File file = -1;			/* -1: this transaction has none */
static off_t end = 0;			/* of what was written */

/* Make the file of this transaction. */
static void
open_file(void)
{
	ResourceOwner old = CurrentResourceOwner;

	PrepareTempTablespaces();
	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		file = OpenTemporaryFile(false);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = old;
	}
	PG_END_TRY();
	end = 0;
}

/*
 * apigouv_spill_write
 *		Append bytes to the transaction's file; returns where they are.
 *
 * Raises what the server raises at temp_file_limit, and the error of the
 * write; what was written before can be read all the same.
 */
off_t
apigouv_spill_write(const char *bytes, size_t len)
{
	size_t		done = 0;
	off_t		at;

	if (file < 0)
		open_file();
	at = end;
	while (done < len)
	{
		int			piece = (int) Min(len - done, PIECE_BYTES);
		int			written;

		errno = 0;
		written = (int) FileWrite(file, unconstify(char *, bytes) + done,
								  piece, at + (off_t) done,
								  WAIT_EVENT_BUFFILE_WRITE);
		if (written != piece)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write to temporary file: %m")));
		}
		done += piece;
	}
	end = at + (off_t) len;
	return at;
}

/*
 * apigouv_spill_read
 *		Read bytes that were written before; false (errno is set) when they
 *		cannot be.  Does not raise.
 */
bool
apigouv_spill_read(off_t at, char *bytes, size_t len)
{
	size_t		done = 0;

	while (done < len)
	{
		int			piece = (int) Min(len - done, PIECE_BYTES);
		int			got = (int) FileRead(file, bytes + done, piece,
										 at + (off_t) done,
										 WAIT_EVENT_BUFFILE_READ);

		if (got <= 0)
		{
			if (got == 0)
				errno = EIO;
			return false;
		}
		done += got;
	}
	return true;
}

/* Remove the file, at the end of the transaction.  Does not raise. */
void
apigouv_spill_close(void)
{
	if (file >= 0)
		FileClose(file);
	file = -1;
}
