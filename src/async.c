/*-------------------------------------------------------------------------
 *
 * async.c
 *		Several foreign scans under one Append, read beside each other.
 *
 * Without this, an Append reads its children one after the other: the second
 * source is not asked before the last row of the first.  Here each child is
 * asked for a row that it may owe; what all of them wait for travels at the
 * same time, and a row goes out when it is there, whoever brings it.
 *
 * All transfers of a backend move together (http.c), so there is one thing to
 * wait for, however many children wait: a descriptor that is readable when a
 * socket is, or when the moment has come to send again, to ask the ledger or
 * to give up.  Only the first waiting child of an Append puts it into the set
 * of events, since the same descriptor does not go in twice, and on its behalf
 * all of them are looked after.
 *
 * Rules that no single function shows:
 *
 * - A child has something new only when a transfer has moved since it was last
 *	 asked.  Who moves them may be another child, or a scan elsewhere in the
 *	 query: before the Append sleeps, this is looked at, and the timer fires at
 *	 once if need be.
 *
 * - When the query may stop early, children begin by 1, 2, 4 ... as others
 *	 end, so that LIMIT 1 asks one source if that one has a row.  On personal
 *	 data they do not begin beside each other at all: nobody is asked about
 *	 for nothing.
 *
 * - An Append that is begun anew while requests of it are pending (a LIMIT or
 *	 a semijoin in the inner side of a join) does not wait for them here.
 *
 * - A token of OAuth2, or a reply that another session is about to give to the
 *	 cluster, is waited for on the spot: requests go on, rows do not.
 *
 * Not here: what a scan does with its replies (fetch.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "executor/execAsync.h"
#include "executor/instrument.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "clock.h"
#include "compat.h"
#include "messages.h"
#include "route.h"
#include "scan_state.h"

/*
 * While one child's rows are all there, the others are not waited for.  So
 * often their transfers get a turn all the same, in us.
 */
#define TURN_US			1000

/* How often to look for a cancel where the Append does not, in us. */
#define CANCEL_US		90000

/* Doublings of the children that begin beside each other. */
#define MAX_DOUBLINGS	16

static int	wait_fd = -1;		/* readable when somebody should look */
static int	timer_fd = -1;		/* in wait_fd, as is apigouv_http_fd() */

/* ---- planning ---- */

/*
 * apigouvIsForeignPathAsyncCapable
 *		May an Append read this scan beside others?
 *
 * Not where that could ask about somebody in vain, and not a count by total.
 */
bool
apigouvIsForeignPathAsyncCapable(ForeignPath *path)
{
	const ApigouvRelInfo *info = path->path.parent->fdw_private;

	/* a count is one request, of a relation above the table's */
	if (!IS_SIMPLE_REL(path->path.parent))
		return false;
	return info->options->async_capable &&
		!(info->may_stop_early && info->options->table->personal_data);
}

/* ---- children ---- */

static ApigouvScanState *
state_of(const AsyncRequest *areq)
{
	return castNode(ForeignScanState, areq->requestee)->fdw_state;
}

/* A child of an Append, if it is one of ours; else NULL. */
static AsyncRequest *
child_of(const AppendState *append, int i)
{
	AsyncRequest *areq = append->as_asyncrequests[i];

	if (!IsA(areq->requestee, ForeignScanState) ||
		((ForeignScanState *) areq->requestee)->fdwroutine->ForeignAsyncNotify
		!= apigouvForeignAsyncNotify)
		return NULL;
	return areq;
}

/*
 * may_begin
 *		May a child send its first request, if it has not yet?
 *
 * All at once when all rows are wanted.  Else after the children that are not
 * asynchronous, and then 1, 2, 4 ... beside each other, as others have ended.
 */
static bool
may_begin(const AsyncRequest *areq)
{
	const AppendState *append = castNode(AppendState, areq->requestor);
	const ApigouvScanState *state = state_of(areq);
	int			running = 0;
	int			ended = 0;
	int			i = -1;

	if (state->begun || !state->may_stop_early)
		return true;
	if (!append->as_syncdone)
		return false;
	while ((i = bms_next_member(append->as_valid_asyncplans, i)) >= 0)
	{
		const AsyncRequest *other = child_of(append, i);

		if (other == NULL || !state_of(other)->begun)
			continue;
		if (state_of(other)->current >= state_of(other)->ntasks)
			ended++;
		else
			running++;
	}
	return running < 1 << Min(ended, MAX_DOUBLINGS);
}

/* Is there perhaps something new for a child that waits? */
static bool
is_to_be_asked(const AsyncRequest *areq)
{
	const ApigouvScanState *state = state_of(areq);

	if (!state->begun)
		return may_begin(areq);
	return state->seen_moves != apigouv_http_moves();
}

/*
 * ask_child
 *		Complete a request by the child's next row, or its end; false when
 *		there is neither yet.
 */
static bool
ask_child(AsyncRequest *areq)
{
	ForeignScanState *node = castNode(ForeignScanState, areq->requestee);
	ApigouvScanState *state = node->fdw_state;
	TupleTableSlot *slot;

	if (!may_begin(areq))
		return false;
	state->seen_moves = apigouv_http_moves();
	state->must_not_block = true;
	slot = node->ss.ps.ExecProcNodeReal(&node->ss.ps);
	state->must_not_block = false;
	if (TupIsNull(slot) && state->would_block)
		return false;
	ExecAsyncRequestDone(areq, slot);
	return true;
}

/*
 * look_after
 *		Let the transfers move, and give the Append what they brought to the
 *		children that wait for a row.
 *
 * The executor counts rows and time of the child that it calls; those of the
 * others are counted here.
 */
static void
look_after(AppendState *append)
{
	int			i = -1;

	apigouv_advance_move(NULL, 0);
	while ((i = bms_next_member(append->as_valid_asyncplans, i)) >= 0)
	{
		AsyncRequest *areq = child_of(append, i);
		Instrumentation *instrument;
		bool		done;

		if (areq == NULL || !areq->callback_pending)
			continue;
		instrument = areq->requestee->instrument;
		if (instrument != NULL)
			InstrStartNode(instrument);
		apigouv_advance_window(state_of(areq));
		done = ask_child(areq);
		if (instrument != NULL)
			InstrStopNode(instrument, done && !TupIsNull(areq->result));
		if (!done)
			continue;
		areq->callback_pending = false;
		ExecAsyncResponse(areq);
	}
}

/*
 * apigouvForeignAsyncRequest
 *		The Append asks a child for its next row.
 *
 * What the child begins is sent at once.  Children that are not asynchronous
 * are read before we are called again: meanwhile no slot is kept.
 */
void
apigouvForeignAsyncRequest(AsyncRequest *areq)
{
	AppendState *append = castNode(AppendState, areq->requestor);
	static int64 turn_at = 0;

	if (!ask_child(areq))
	{
		ExecAsyncRequestPending(areq);
		apigouv_http_pump(0);
		if (!append->as_syncdone)
			apigouv_http_pause();
	}
	else if (apigouv_http_is_busy() && monotonic_us() >= turn_at)
	{
		look_after(append);
		turn_at = monotonic_us() + TURN_US;
		if (state_of(areq)->may_stop_early)
			apigouv_http_pause();	/* a row goes out: see fetch.c */
	}
}

/* ---- waiting ---- */

/* Give back what was opened of the descriptors, and raise. */
static void
close_descriptors(void)
{
	int			error = errno;

	if (wait_fd >= 0)
		close(wait_fd);
	if (timer_fd >= 0)
		close(timer_fd);
	wait_fd = timer_fd = -1;
	ReleaseExternalFD();
	ReleaseExternalFD();
	errno = error;
}

/* Put a descriptor into ours. */
static bool
watch(int fd)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN;
	return fd >= 0 && epoll_ctl(wait_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Open the descriptors, once for the backend's life. */
static bool
open_descriptors(void)
{
	if (wait_fd >= 0)
		return true;
	if (!AcquireExternalFD())
		return false;
	if (!AcquireExternalFD())
	{
		ReleaseExternalFD();
		return false;
	}
	wait_fd = epoll_create1(EPOLL_CLOEXEC);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (wait_fd >= 0 && watch(apigouv_http_fd()) && watch(timer_fd))
		return true;
	close_descriptors();
	return false;
}

/* Have our descriptor readable from a moment on, and not before by itself. */
static void
set_timer(int64 due)
{
	static int	version = 0;
	struct itimerspec timer = {0};

	if (version == 0)
		version = atoi(GetConfigOption("server_version_num", false, false));
	if (!apigouv_append_minds_latch(version))
		due = Min(due, monotonic_us() + CANCEL_US);
	if (due != APIGOUV_NEVER)
	{
		due = Max(due, 1);		/* all zero would mean never */
		timer.it_value.tv_sec = due / 1000000;
		timer.it_value.tv_nsec = due % 1000000 * 1000;
	}
	if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &timer, NULL) != 0)
		elog(ERROR, "could not set a timer: %m");
}

/* Does an Append watch our descriptor for an earlier child than this one? */
static bool
is_watched(const AsyncRequest *areq)
{
	const AppendState *append = castNode(AppendState, areq->requestor);

	for (int i = bms_next_member(append->as_asyncplans, -1);
		 i >= 0 && i < areq->request_index;
		 i = bms_next_member(append->as_asyncplans, i))
	{
		const AsyncRequest *other = child_of(append, i);

		if (other != NULL && other->callback_pending)
			return true;
	}
	return false;
}

/*
 * is_begun_anew
 *		Does an Append wait only to begin again?
 *
 * The latest minor versions complete all requests before that, and throw the
 * rows away.  It is so when parameters of the Append have changed, which is
 * seen to before it runs, or when it does not ask on where it has had a row.
 */
static bool
is_begun_anew(const AppendState *append)
{
	int			i = -1;

	if (append->ps.chgParam != NULL)
		return true;
	while ((i = bms_next_member(append->as_valid_asyncplans, i)) >= 0)
	{
		const AsyncRequest *areq = append->as_asyncrequests[i];

		if (areq->request_complete && !areq->callback_pending &&
			!TupIsNull(areq->result) &&
			!bms_is_member(i, append->as_needrequest))
			return true;
	}
	return false;
}

/*
 * apigouvForeignAsyncConfigureWait
 *		The Append is about to wait: let it wake up when there may be a row.
 *
 * What nobody wants any more is neither waited for nor sent.
 */
void
apigouvForeignAsyncConfigureWait(AsyncRequest *areq)
{
	AppendState *append = castNode(AppendState, areq->requestor);
	int64		due;
	int			i = -1;

	if (is_begun_anew(append))
	{
		areq->callback_pending = false;
		ExecAsyncRequestDone(areq, NULL);
		ExecAsyncResponse(areq);
		return;
	}
	if (is_watched(areq))
		return;
	if (!open_descriptors())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create a descriptor for connections: %m")));
	due = apigouv_http_before_wait();
	while ((i = bms_next_member(append->as_valid_asyncplans, i)) >= 0)
	{
		const AsyncRequest *other = child_of(append, i);

		if (other != NULL && other->callback_pending && is_to_be_asked(other))
			due = 0;
	}
	set_timer(due);
	if (!append->as_syncdone)
		apigouv_http_pause();
	AddWaitEventToSet(append->as_eventset, WL_SOCKET_READABLE, wait_fd, NULL,
					  areq);
}

/*
 * apigouvForeignAsyncNotify
 *		Our descriptor is readable: look after all children that wait.
 *
 * The one that we are called for does not wait any more as far as the Append
 * is concerned, until we say so.
 */
void
apigouvForeignAsyncNotify(AsyncRequest *areq)
{
	AppendState *append = castNode(AppendState, areq->requestor);
	int64		for_quota = apigouv_http_after_wait();
	int			i = -1;

	areq->callback_pending = true;
	while (for_quota > 0 &&
		   (i = bms_next_member(append->as_valid_asyncplans, i)) >= 0)
	{
		const AsyncRequest *other = child_of(append, i);

		if (other != NULL && other->callback_pending)
			state_of(other)->counts.quota_wait_us += for_quota;
	}
	areq->callback_pending = false;
	look_after(append);
	apigouv_advance_window(state_of(areq));
	if (!ask_child(areq))
		ExecAsyncRequestPending(areq);
}
