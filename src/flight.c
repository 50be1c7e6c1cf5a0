/*-------------------------------------------------------------------------
 *
 * flight.c
 *		Who of the cluster sends a request that several sessions miss.
 *
 * Dashboards that refresh together miss the same reply at the same moment.
 * The first to miss claims the request and sends it; the others wait until
 * the reply stands in the cluster's files, or the claim is free again.
 *
 * A claim is a lock on one byte of an empty file, at a place that the
 * request's name gives: nothing to clean up, and the kernel releases it
 * whatever becomes of the process.  The locks are those of the process
 * (F_SETLK), since they tell who holds them.  Such locks go when the process
 * closes any descriptor of the file: so there is one, open as long as there
 * are claims, and nothing else opens the file.
 *
 * Rules that no single function shows:
 *
 * - Who holds a claim does not wait for another's: no two sessions can wait
 *	 for each other here.  It sends what it misses.
 *
 * - A holder that sleeps, waits for its client (a cursor) or for a lock, which
 *	 may be one of ours, does not move its request.  It is not waited for.
 *
 * - Every wait is bounded, and who has waited in vain does not wait again in
 *	 that transaction.
 *
 * - A claim is advice.  Without it, the request is sent once more than need
 *	 be, and nothing else is wrong: so nothing here fails a query.
 *
 * Not here: which requests are claimed, and when a claim ends (xact_cache.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "compat.h"
#include "flight.h"
#include "http.h"
#include "progress.h"
#include "shared_name.h"

/* Claims of one session, at most; what it asks beyond is sent without. */
#define MAX_CLAIMS		256

/* How often to look whether the reply has come, in ms. */
#define NAP_MS			20

/* What a holder does for so long, it does not just do between two rows. */
#define AWAY_US			100000

/* Classes of wait events. */
#define WAIT_CLASS(info) ((info) & 0xFF000000)

typedef enum Claim
{
	CLAIM_OURS,
	CLAIM_THEIRS,				/* another session sends the request */
	CLAIM_NONE					/* none to be had: send without */
} Claim;

/* A wait for another session's reply. */
typedef struct Wait
{
	int			holder;			/* process that sends; 0 = not known */
	int64		since;			/* when the wait began; us, monotonic; 0 = not
								 * yet */
	int64		away_since;		/* since when the holder does something else;
								 * 0 = it does not */
} Wait;

static int	file = -1;			/* open while there are claims */
static off_t claims[MAX_CLAIMS];	/* places of ours in the file */
static int	nclaims = 0;
static bool given_up = false;	/* a wait of this transaction was in vain */

/*
 * The lock of a request.  Two requests at one place would wait for each other
 * in vain now and then; of 2^62 places, that does not happen.
 */
static void
lock_at(struct flock *lock, off_t place, short type)
{
	memset(lock, 0, sizeof(*lock));
	lock->l_type = type;
	lock->l_whence = SEEK_SET;
	lock->l_start = place;
	lock->l_len = 1;
}

static off_t
place_of(const ApigouvName *name)
{
	uint64		place;

	memcpy(&place, name->bytes, sizeof(place));
	return (off_t) (place >> 2);
}

/* Our claim at a place, -1 if there is none. */
static int
find_claim(off_t place)
{
	for (int i = 0; i < nclaims; i++)
	{
		if (claims[i] == place)
			return i;
	}
	return -1;
}

/*
 * Open the file, and make it if need be.  Programs that the server starts
 * (COPY ... PROGRAM) do not inherit it.
 */
static bool
open_file(void)
{
	if (file >= 0)
		return true;
	if (!AcquireExternalFD())
		return false;
	file = BasicOpenFilePerm(APIGOUV_CLAIMS_FILE,
							 O_RDWR | O_CREAT | O_CLOEXEC | PG_BINARY,
							 S_IRUSR | S_IWUSR);
	if (file < 0)
		ReleaseExternalFD();
	return file >= 0;
}

/* Close the file, which releases every claim. */
static void
close_file(void)
{
	if (file < 0)
		return;
	close(file);
	ReleaseExternalFD();
	file = -1;
}

/* Claim the request at a place, or tell who has.  Neither raises nor waits. */
static Claim
take_claim(off_t place, int *holder)
{
	Claim		claim = CLAIM_NONE;
	struct flock lock;

	/* the kernel would give us our own lock twice */
	if (nclaims == MAX_CLAIMS || find_claim(place) >= 0 || !open_file())
		return CLAIM_NONE;
	lock_at(&lock, place, F_WRLCK);
	if (fcntl(file, F_SETLK, &lock) == 0)
	{
		claims[nclaims++] = place;
		return CLAIM_OURS;
	}
	*holder = 0;
	if (errno == EAGAIN || errno == EACCES)
	{
		claim = CLAIM_THEIRS;
		if (fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
			*holder = (int) lock.l_pid;
	}
	if (nclaims == 0)
		close_file();
	return claim;
}

void
apigouv_flight_release(const ApigouvName *name)
{
	off_t		place = place_of(name);
	int			i = find_claim(place);
	struct flock lock;

	if (i < 0)
		return;
	claims[i] = claims[--nclaims];
	lock_at(&lock, place, F_UNLCK);
	(void) fcntl(file, F_SETLK, &lock);
	if (nclaims == 0)
		close_file();
}

void
apigouv_flight_release_all(void)
{
	nclaims = 0;
	given_up = false;
	close_file();
}

/*
 * Has the holder been at something else than its requests for a while?  Its
 * wait is read without a lock: at worst a nap is too many.
 */
static bool
holder_is_away(Wait *wait, int64 now)
{
	PGPROC	   *proc = wait->holder > 0 ? BackendPidGetProc(wait->holder)
	: NULL;
	uint32		class = proc ? WAIT_CLASS(proc->wait_event_info) : 0;

	if (class != PG_WAIT_CLIENT && class != PG_WAIT_LOCK &&
		class != PG_WAIT_TIMEOUT)
	{
		wait->away_since = 0;
		return false;
	}
	if (wait->away_since == 0)
		wait->away_since = now;
	return now - wait->away_since >= AWAY_US;
}

/* Sleep for so long, or until a transfer of ours has moved. */
static void
nap(long ms)
{
	int			events;

	if (apigouv_http_is_busy())
	{
		apigouv_http_pump((int) ms);
		return;
	}
	CHECK_FOR_INTERRUPTS();
	apigouv_progress_phase(APIGOUV_PHASE_CACHE, APIGOUV_NEVER, NULL);
	events = WaitLatch(MyLatch,
					   WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					   apigouv_wait_event(APIGOUV_WAIT_CACHE));
	apigouv_progress_phase(APIGOUV_PHASE_ROWS, APIGOUV_NEVER, NULL);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Wait a moment for who has the claim; false when it is time to send without
 * one.
 */
static bool
wait_on(Wait *wait, int patience_ms)
{
	int64		now = monotonic_us();
	int64		rest_us;

	if (nclaims > 0 || given_up)
		return false;
	if (wait->since == 0)
		wait->since = now;
	rest_us = wait->since + (int64) patience_ms * 1000 - now;
	if (rest_us <= 0 || holder_is_away(wait, now))
	{
		given_up = true;
		return false;
	}
	nap((long) Min((rest_us + 999) / 1000, NAP_MS));
	return true;
}

bool
apigouv_flight_join(const ApigouvName *name, const ApigouvOptions *options,
					ApigouvFlightLook look, void *reply, bool *claimed)
{
	Wait		wait = {0};

	for (;;)
	{
		switch (take_claim(place_of(name), &wait.holder))
		{
			case CLAIM_OURS:
				*claimed = true;
				/* who had it until now may have left the reply */
				if (!look(reply, options))
					return false;
				*claimed = false;
				apigouv_flight_release(name);
				return true;
			case CLAIM_THEIRS:
				if (!wait_on(&wait, options->timeout_ms))
					return false;
				if (look(reply, options))
					return true;
				break;
			case CLAIM_NONE:
				return false;
		}
	}
}
