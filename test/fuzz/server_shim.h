/*-------------------------------------------------------------------------
 *
 * server_shim.h
 *		What modules of src/ need of the server, to be fuzzed without one.
 *
 * A target is linked with the modules it tests, this, and the server's own
 * libpgcommon and libpgport.  What else the modules name is there, and
 * crashes when it is reached (see run).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_SHIM_H
#define SERVER_SHIM_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* The last error raised: what the server would have told. */
typedef struct ShimError
{
	int			code;			/* as errcode() gave it */
	char		message[8192];
	char		detail[8192];
	char		hint[8192];
} ShimError;

extern ShimError shim_error;

/* Warnings and below that were told since shim_start. */
extern int	shim_warnings;

/* What GetCurrentTimestamp() says. */
extern TimestampTz shim_now;

/* What refused memory would do: this allocation raises; -1: none. */
extern long shim_refused_allocation;
extern long shim_allocations;

/* Before the first input: the contexts that live as long as a backend. */
extern void shim_start(void);

/*
 * Run body(arg) as a query would, in a memory context that goes away after
 * it.  False when it raised an error, which shim_error then holds.
 */
extern bool shim_try(void (*body) (void *arg), void *arg);

/* Chunks that live in the contexts of the backend. */
extern long shim_kept_chunks(void);

/*
 * Files that there are to read, NAME within any directory; the bytes stay the
 * caller's.  shim_no_files forgets them.
 */
extern void shim_file(const char *name, const void *bytes, size_t len);
extern void shim_no_files(void);
extern int	shim_open_files(void);

/* An oracle's complaint: what should be so, and is not.  Aborts. */
#define CHECK(so) ((so) ? (void) 0 : shim_complain(#so, __FILE__, __LINE__))
extern void shim_complain(const char *what, const char *file, int line)
			__attribute__((noreturn));

/* One target's work on one input. */
extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

#endif							/* SERVER_SHIM_H */
