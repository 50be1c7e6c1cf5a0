/*-------------------------------------------------------------------------
 *
 * ledger.h
 *		The file of the quota ledger: locked, validated, read and written.
 *
 * No PostgreSQL header: this module also builds stand-alone, for its test.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_LEDGER_H
#define APIGOUV_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"

#define APIGOUV_LEDGER_COUNTERS 512 /* power of two */
#define APIGOUV_LEDGER_WAITERS	512

/* Limits that one request may have to fit. */
#define APIGOUV_LEDGER_LIMITS	4

/* What the upstream told, kept of one counter at most. */
#define APIGOUV_LEDGER_CAPS		4

/* A text that a counter keeps to be told from others; cut to fit. */
#define APIGOUV_LEDGER_TEXT		64

/* After a moment at most so many requests may be sent, until another. */
typedef struct ApigouvCap
{
	int64_t		from;
	int64_t		until;			/* 0: no cap */
	int64_t		requests;
} ApigouvCap;

/*
 * What is kept of a limit.  Moments are microseconds of the boot clock.  Free
 * when capacity is 0.
 */
typedef struct ApigouvCounter
{
	uint64_t	key[2];
	int64_t		opened_at;		/* what was sent before is not known */
	int64_t		closed_until;	/* by a refusal of the upstream */
	ApigouvCap	caps[APIGOUV_LEDGER_CAPS];
	int64_t		keep_us;		/* slots younger than that are kept */
	int64_t		kept_at;		/* when so much was needed last */
	int64_t		used_at;		/* when a slot was taken last */
	int64_t		window_us;		/* as last asked */
	int64_t		slots_at;		/* offset of the slots in the file */
	int32_t		capacity;		/* slots there is room for */
	int32_t		nslots;			/* used, expired ones included */
	int32_t		requests;		/* allowed per window, as last asked */
	int32_t		told;			/* by the upstream, if lower; 0 = none */
	int32_t		margin_ms;		/* as last asked */
	char		api[APIGOUV_LEDGER_TEXT];
	char		name[APIGOUV_LEDGER_TEXT];	/* of the limit */
	char		role[APIGOUV_LEDGER_TEXT];	/* whose share; or empty */
	char		counted_by[16];
	uint64_t	check;
} ApigouvCounter;

/* A request sent, or about to be. */
typedef struct ApigouvSlot
{
	int64_t		at;				/* when it was sent; negative: minus when it
								 * was reserved; 0: given back */
	uint64_t	id;				/* the same in all counters of a request */
	uint64_t	owner_start;	/* start of the owner's process */
	int32_t		owner;			/* its number */
	uint32_t	check;
} ApigouvSlot;

/* A process that waits for a slot. */
typedef struct ApigouvWaiter
{
	uint64_t	ticket;			/* who has a lower one is served first */
	uint64_t	limits;			/* hash of the limits it has to fit */
	uint64_t	blocked_on[2];	/* key of the counter that is the latest */
	uint64_t	keys[APIGOUV_LEDGER_LIMITS];	/* first halves; 0 = none */
	uint64_t	owner_start;
	int64_t		lease_until;	/* after that it counts no more */
	int32_t		owner;
	int32_t		delays;			/* times that another counter put it off */
	int64_t		due_at;			/* when it expects a slot */
	uint32_t	reserved;
	uint32_t	check;
} ApigouvWaiter;

typedef struct ApigouvLedgerHeader
{
	char		magic[8];
	uint32_t	version;
	uint32_t	nwaiters;
	char		boot_id[APIGOUV_BOOT_ID_BYTES];
	int64_t		written_at;		/* wall clock, us; the file's ctime agrees */
	int64_t		skew_us;		/* of the file system's clock */
	uint64_t	device;			/* of the file; a copy has another */
	uint64_t	inode;			/* likewise */
	int64_t		touched_at;		/* boot clock, us */
	int64_t		opened_at;		/* what was sent before is not known */
	uint64_t	next_id;		/* of slots, and ticket of waiters; never the
								 * same again in a new ledger */
	int64_t		end;			/* bytes of the file in use */
	int64_t		pack_at;		/* when it has grown to that it is packed */
	int64_t		ncounters;
	uint64_t	check;
} ApigouvLedgerHeader;

typedef enum ApigouvLedgerResult
{
	APIGOUV_LEDGER_OK,
	APIGOUV_LEDGER_BUSY,		/* somebody has the lock: come back soon */
	APIGOUV_LEDGER_BROKEN		/* see apigouv_ledger_error() */
} ApigouvLedgerResult;

/* The file's path, relative to the data directory. */
extern const char *apigouv_ledger_path;

/* Modes of a new file. */
extern unsigned apigouv_ledger_mode;

/*
 * Microseconds of a clock that starts with the machine and never jumps.  A
 * test may put another in its place.
 */
extern int64_t (*apigouv_ledger_clock) (void);

/*
 * Lock the ledger and read its header; make it anew where it is missing,
 * damaged, a copy, or of another boot.  Only one process can hold it, for
 * microseconds; nothing below works without.  Never waits.
 */
extern ApigouvLedgerResult apigouv_ledger_lock(void);
extern void apigouv_ledger_unlock(void);

/* The clock, read when the lock was got. */
extern int64_t apigouv_ledger_now(void);

/*
 * Changes when the ledger was made anew or packed: what was read of it before
 * is void.  That may happen in find, at and room as well; room then returns
 * false.
 */
extern int	apigouv_ledger_generation(void);

/*
 * Gives a message in the user's language.  Called when something goes wrong,
 * inside libcurl's callbacks too: it must not raise.
 */
typedef const char *(*ApigouvTranslator) (const char *text);

extern ApigouvTranslator apigouv_ledger_translate;

/* What went wrong, with errno's text; static. */
extern const char *apigouv_ledger_error(void);

/* The header that was read; changes are written by apigouv_ledger_stamp. */
extern ApigouvLedgerHeader *apigouv_ledger_header(void);

/*
 * Write the header with the moment of this change.  To be called before the
 * first change of a locked ledger is written: a change of the file that the
 * header does not tell makes it a copy.  False, here and below: see
 * apigouv_ledger_error().
 */
extern bool apigouv_ledger_stamp(void);

/*
 * Find the counter of a key.  *place: its position, or where a new one goes;
 * that one comes back empty, with opened_at set.  A damaged counter lets the
 * whole ledger begin anew: nobody knows whose it was.
 */
extern bool apigouv_ledger_find(const uint64_t key[2], int *place,
								ApigouvCounter *counter);
extern bool apigouv_ledger_at(int place, ApigouvCounter *counter);
extern bool apigouv_ledger_put(int place, ApigouvCounter *counter);

/*
 * Room for this many slots at the end of the file: sets slots_at and capacity.
 * What the counter held is not copied.  A file that has grown for long is
 * packed instead: see apigouv_ledger_generation().
 */
extern bool apigouv_ledger_room(ApigouvCounter *counter, int32_t capacity);

/*
 * Slots of a counter.  Read: into memory of this module, valid until the next
 * read of the same `which` (0 to 7).  A damaged slot counts as sent when it is
 * found.
 */
extern ApigouvSlot *apigouv_ledger_slots(const ApigouvCounter *counter,
										 int which);
extern bool apigouv_ledger_put_slots(const ApigouvCounter *counter, int first,
									 int n, ApigouvSlot *slots);

/* Move the slots that are still needed to the front; how many. */
extern int	apigouv_ledger_keep(const ApigouvCounter *counter,
								ApigouvSlot *slots);

/* Waiters: all of them, header.nwaiters long; damaged ones have owner 0. */
extern ApigouvWaiter *apigouv_ledger_waiters(void);
extern bool apigouv_ledger_put_waiters(ApigouvWaiter *waiters, int n);

/* Forget all; who calls it declares that nothing was sent. */
extern bool apigouv_ledger_forget(void);

/*
 * This process's start, and whether another one still runs; in doubt it does.
 * is_alive is for a locked ledger: it believes what it saw a moment ago.
 */
extern uint64_t apigouv_ledger_start(void);
extern bool apigouv_ledger_runs(int32_t owner, uint64_t owner_start);
extern bool apigouv_ledger_is_alive(int32_t owner, uint64_t owner_start);

#endif							/* APIGOUV_LEDGER_H */
