/*-------------------------------------------------------------------------
 *
 * http.c
 *		Sending requests: concurrently, with retries, always interruptible.
 *
 * A transfer is one request with all its attempts.  It waits in the queue of
 * its pool until admit() lets an attempt begin, runs, and ends, or goes back
 * to the queue when the retry hook wants another attempt.  Nothing moves
 * outside apigouv_http_pump() and apigouv_http_wait(), which sleep on the
 * latch and on one descriptor for all connections: a cancel is seen at once,
 * whatever the network does.
 *
 * Rules that no single function shows:
 *
 * - Interrupts are served only where no libcurl function is on the stack and
 *	 every list is whole, so that a jump from there leaves nothing to repair.
 *
 * - Memory is malloc'd: transfers outlive the scans, contexts and
 *	 subtransactions that asked for them, until their owner releases them or
 *	 apigouv_http_abort_all() runs at the end of the transaction.
 *
 * - Bytes of a reply are exposed when apigouv_http_wait() returns a transfer
 *	 that still runs.  From then on the retry hook is not asked: rows may have
 *	 gone out, so a loss is final.  Before, a reply that breaks off half way
 *	 may be asked for again.
 *
 * Not here: libcurl (attempt.c), what a status means, which failure deserves
 * another attempt (the hook's owner), JSON; where attempts are counted for
 * those who watch (tally.c, progress.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "admit.h"
#include "attempt.h"
#include "compat.h"
#include "http.h"
#include "messages.h"
#include "progress.h"
#include "tally.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/*
 * Rounds of one pump: the second sends what the ends of the first let begin.
 * Then the caller has its turn, for there may always be more bytes.
 */
#define APIGOUV_PUMP_ROUNDS		2

/* Attempts that share max_concurrency.  Exists while it has transfers. */
typedef struct Pool
{
	dlist_node	node;			/* in pools */
	uint32		id;				/* ApigouvHttpSettings.pool */
	int			members;		/* transfers that have not ended */
	int			running;
	dlist_head	queue;			/* transfers QUEUED, in the order of start */
} Pool;

static dlist_head transfers = DLIST_STATIC_INIT(transfers);
static dlist_head pools = DLIST_STATIC_INIT(pools);
static int	ntransfers = 0;
static int	nqueued = 0;
static int	nrunning = 0;
static uint64 next_number = 0;
static int64 queue_due = APIGOUV_NEVER; /* when to ask admit() again */
static bool quota_keeps = false;	/* a limit keeps an attempt waiting */
static int64 quota_waited_us = 0;	/* slept for that, all together */
static uint64 moves = 0;		/* rounds in which something happened */

/*
 * Time-outs count the time that this backend attends to its transfers.  While
 * a cursor's client thinks, nothing moves, and a reply that waits in the
 * socket is not late.
 */
static int64 attended_at = 0;	/* last moment inside a pump; us, monotonic */
static int64 away_us = 0;		/* spent outside, all together */
static int64 next_expiry = APIGOUV_NEVER;	/* of attempts; attention_us() */

/* ----------------------------------------------------------------
 *		pools
 * ----------------------------------------------------------------
 */

/* The pool of this number with one member more; NULL without memory. */
static Pool *
join_pool(uint32 id)
{
	dlist_iter	iter;
	Pool	   *pool;

	dlist_foreach(iter, &pools)
	{
		pool = dlist_container(Pool, node, iter.cur);
		if (pool->id == id)
		{
			pool->members++;
			return pool;
		}
	}
	pool = calloc(1, sizeof(Pool));
	if (pool == NULL)
		return NULL;
	pool->id = id;
	pool->members = 1;
	dlist_init(&pool->queue);
	dlist_push_tail(&pools, &pool->node);
	return pool;
}

/* One member less; the last one takes the pool away. */
static void
leave_pool(Pool *pool)
{
	if (--pool->members > 0)
		return;
	dlist_delete(&pool->node);
	free(pool);
}

/*
 * Put a transfer in its pool's queue, before those that were started later: a
 * retry keeps its turn, because the caller usually waits for the oldest.
 */
static void
enqueue(ApigouvTransferPrivate *private)
{
	dlist_head *queue = &private->pool->queue;
	dlist_iter	iter;

	private->public.state = APIGOUV_TRANSFER_QUEUED;
	nqueued++;
	dlist_reverse_foreach(iter, queue)
	{
		ApigouvTransferPrivate *other =
		dlist_container(ApigouvTransferPrivate, queue_node, iter.cur);

		if (other->number < private->number)
		{
			dlist_insert_after(iter.cur, &private->queue_node);
			return;
		}
	}
	dlist_push_head(queue, &private->queue_node);
}

/* ----------------------------------------------------------------
 *		attempts
 * ----------------------------------------------------------------
 */

/*
 * admit
 *		May the next attempt of this transfer begin now?
 *
 * Every attempt, first or repeated, passes here and nowhere else.  Not while
 * its pool or the backend runs as many as it may: an attempt that ends is
 * then the occasion to ask again, and *due stays.  Not before the transfer's
 * not_before, and not without a slot of the quota ledger: *due is then
 * lowered to the moment to ask again.  Never when apigouv_http_bound is
 * reached; what runs ends in its own time.
 */
static ApigouvAdmission
admit(ApigouvTransfer *transfer, int64 now, int64 *due)
{
	const ApigouvTransferPrivate *private = transfer->private;
	ApigouvAdmission admission;

	if (private->pool->running >= Max(private->settings.max_concurrency, 1) ||
		nrunning >= APIGOUV_MAX_RUNNING)
		return APIGOUV_ADMIT_LATER;
	if (apigouv_admit_is_bound())
	{
		transfer->failure = APIGOUV_FAILURE_BOUND;
		return APIGOUV_ADMIT_NEVER;
	}
	if (private->not_before > now)
	{
		*due = Min(*due, private->not_before);
		return APIGOUV_ADMIT_LATER;
	}
	admission = apigouv_admit_slot(transfer, now, due);
	if (admission == APIGOUV_ADMIT_LATER)
		quota_keeps = true;
	return admission;
}

/* Forget the reply of the attempt before. */
static void
reset_reply(ApigouvTransfer *transfer)
{
	transfer->status = 0;
	transfer->replied_at = 0;
	transfer->streaming = false;
	transfer->body_len = 0;
	if (transfer->body != NULL)
		transfer->body[0] = '\0';
	transfer->failure = APIGOUV_FAILURE_NONE;
	transfer->failure_text[0] = '\0';
	transfer->request_id[0] = '\0';
	transfer->content_type[0] = '\0';
	transfer->compressed = false;
	transfer->retry_after_s = -1;
	transfer->limit_total = -1;
	transfer->limit_remaining = -1;
	transfer->limit_reset = -1;
	transfer->limit_reset_s = -1;
}

/* The body keeps the room that it needs: thousands may be in a cache. */
static void
trim_body(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	char	   *body;

	if (transfer->body == NULL || private->capacity == transfer->body_len + 1)
		return;
	body = realloc(transfer->body, transfer->body_len + 1);
	if (body == NULL)
		return;
	transfer->body = body;
	private->capacity = transfer->body_len + 1;
}

/* A clock that stands still while nobody pumps. */
static int64
attention_us(int64 now)
{
	return now - away_us;
}

/* A RUNNING transfer runs no more. */
static void
leave_slot(ApigouvTransferPrivate *private)
{
	private->pool->running--;
	nrunning--;
}

/*
 * Count the attempt of a transfer that runs no more.  It has taken the time
 * that this backend attended to it.
 */
static void
count_attempt(ApigouvTransfer *transfer, bool cancelled)
{
	ApigouvTransferPrivate *private = transfer->private;
	int64		begun = private->expires -
	(int64) private->settings.timeout_ms * 1000;
	ApigouvTallyAttempt attempt = {
		.cancelled = cancelled,
		.before = private->attempts_before,
		.us = Max(attention_us(monotonic_us()) - begun, 0),
		.bytes = transfer->bytes - private->bytes_before
	};

	transfer->upstream_us += attempt.us;
	apigouv_tally_attempt(private->tally, transfer, &attempt);
	private->attempts_before = transfer->attempts;
	private->bytes_before = transfer->bytes;
}

/* Tell who watches a transfer, once, that it is over. */
static void
tell_end(ApigouvTransfer *transfer, bool cancelled)
{
	ApigouvTransferPrivate *private = transfer->private;
	const ApigouvWatch *watch = private->watch;

	private->watch = NULL;
	if (watch != NULL)
		watch->ended(transfer, cancelled, private->watch_arg);
}

/* A transfer that is in no list of work any more has its result. */
static void
end_transfer(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;

	transfer->state = APIGOUV_TRANSFER_ENDED;
	trim_body(transfer);
	apigouv_attempt_free_request(private);
	leave_pool(private->pool);
	private->pool = NULL;
	if (apigouv_tally_is_table(private->tally))
		apigouv_progress_reply();
	tell_end(transfer, false);
}

/*
 * end_attempt
 *		Decide what follows the attempt of a RUNNING transfer.
 *
 * The reply or the failure is already noted.  Afterwards the transfer is
 * ENDED, or QUEUED for the attempt that the hook wants.
 */
static void
end_attempt(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	int			delay_ms = 0;

	leave_slot(private);
	apigouv_admit_ended(transfer);
	transfer->streaming = false;
	if (private->vetoed && private->sends == 0 &&
		transfer->failure == APIGOUV_FAILURE_NONE)
	{
		transfer->attempts--;	/* nothing was sent: wait for another slot */
		enqueue(private);
		return;
	}
	transfer->state = APIGOUV_TRANSFER_ENDED;
	transfer->ended_at = GetCurrentTimestamp();
	count_attempt(transfer, false);

	if (transfer->failure != APIGOUV_FAILURE_LEDGER &&
		transfer->failure != APIGOUV_FAILURE_AUDIT &&
		private->hook != NULL && !private->exposed &&
		private->hook(transfer, private->hook_arg, &delay_ms))
	{
		private->not_before = monotonic_us() + (int64) Max(delay_ms, 0) * 1000;
		enqueue(private);
		return;
	}
	end_transfer(transfer);
}

/* A transfer that waits in the queue ends without another attempt. */
static void
end_queued(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;

	dlist_delete(&private->queue_node);
	nqueued--;
	transfer->ended_at = GetCurrentTimestamp();
	apigouv_tally_add(private->tally, APIGOUV_TALLY_NOT_SENT, 1);
	end_transfer(transfer);
}

/* Does who watches a transfer let it be sent?  If not, that is its failure. */
static bool
watch_allows(ApigouvTransfer *transfer)
{
	const ApigouvTransferPrivate *private = transfer->private;

	if (private->watch == NULL ||
		private->watch->begins(transfer, private->watch_arg))
		return true;
	transfer->failure = APIGOUV_FAILURE_AUDIT;
	return false;
}

static void
begin_attempt(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;

	dlist_delete(&private->queue_node);
	nqueued--;
	transfer->state = APIGOUV_TRANSFER_RUNNING;
	private->pool->running++;
	nrunning++;
	private->sends = 0;
	apigouv_admit_begun();
	if (transfer->attempts++ == 0)
		transfer->started_at = GetCurrentTimestamp();
	reset_reply(transfer);
	private->expires = attention_us(monotonic_us()) +
		(int64) private->settings.timeout_ms * 1000;
	next_expiry = Min(next_expiry, private->expires);
	if (!watch_allows(transfer) || !apigouv_attempt_begin(transfer))
		end_attempt(transfer);
}

/*
 * Begin every attempt that is admitted, pool by pool, oldest first; note when
 * the next one may be.  True if there was any.
 */
static bool
begin_attempts(void)
{
	int64		now;
	dlist_mutable_iter pool_iter;
	bool		begun = false;

	queue_due = APIGOUV_NEVER;
	quota_keeps = false;
	if (nqueued == 0)
		return false;
	now = monotonic_us();
	dlist_foreach_modify(pool_iter, &pools)
	{
		Pool	   *pool = dlist_container(Pool, node, pool_iter.cur);
		dlist_mutable_iter iter;
		bool		full = false;

		pool->members++;		/* or its last transfer's end frees it */
		dlist_foreach_modify(iter, &pool->queue)
		{
			ApigouvTransferPrivate *private =
			dlist_container(ApigouvTransferPrivate, queue_node, iter.cur);
			int64		due = APIGOUV_NEVER;

			switch (admit(&private->public, now, &due))
			{
				case APIGOUV_ADMIT_NOW:
					begin_attempt(&private->public);
					begun = true;
					break;
				case APIGOUV_ADMIT_NEVER:
					end_queued(&private->public);
					begun = true;
					break;
				case APIGOUV_ADMIT_LATER:
					full = due == APIGOUV_NEVER;
					break;
			}
			if (full)
				break;			/* so for all that follow */
			queue_due = Min(queue_due, due);
		}
		leave_pool(pool);
	}
	return begun;
}

/* ----------------------------------------------------------------
 *		progress
 * ----------------------------------------------------------------
 */

/*
 * One round: begin what may begin, let the attempts move, without blocking.
 * True if something happened.
 */
static bool
advance(void)
{
	bool		begun = begin_attempts();
	bool		moved = apigouv_attempt_advance(end_attempt);
	int64		attended = attention_us(monotonic_us());

	if (attended >= next_expiry &&
		apigouv_attempt_expire(attended, &next_expiry, end_attempt))
		moved = true;
	moves += begun || moved;
	return begun || moved;
}

/* When a transfer can move, if no socket is ready before. */
static int64
next_due(void)
{
	int64		due = Min(apigouv_attempt_due(), queue_due);

	return nrunning > 0 ? Min(due, next_expiry + away_us) : due;
}

/* Limits alone have made this backend sleep. */
static void
count_quota_wait(int64 us)
{
	dlist_iter	iter;

	quota_waited_us += us;
	dlist_foreach(iter, &transfers)
	{
		ApigouvTransferPrivate *private =
		dlist_container(ApigouvTransferPrivate, node, iter.cur);

		if (private->public.state != APIGOUV_TRANSFER_QUEUED)
			continue;
		apigouv_tally_add(private->tally, APIGOUV_TALLY_QUOTA_US, us);
		return;					/* once, for the oldest that waits */
	}
}

/* What this backend is about to wait for, told to other sessions. */
static void
tell_wait(void)
{
	const char *limit;
	int64		until = queue_due;

	if (nrunning > 0)
		apigouv_progress_phase(APIGOUV_PHASE_REQUESTS, APIGOUV_NEVER, NULL);
	else if (quota_keeps && apigouv_admit_expects(&until, &limit))
		apigouv_progress_phase(APIGOUV_PHASE_QUOTA, until, limit);
	else
		apigouv_progress_phase(APIGOUV_PHASE_RETRY, until, NULL);
}

/*
 * Sleep until a socket is ready, the latch is set, or the moment has come.
 * The set of events is kept: to make one for each sleep costs 10 us.
 */
static void
wait_event(int64 until, int64 now)
{
	static WaitEventSet *wait_set = NULL;
	long		timeout_ms = -1;
	WaitEvent	event;
	bool		for_quota = quota_keeps && nrunning == 0;

	if (wait_set == NULL)
	{
		WaitEventSet *set = apigouv_create_wait_set(3);

		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET,
						  NULL, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, apigouv_attempt_fd(),
						  NULL, NULL);
		wait_set = set;
	}
	tell_wait();
	if (until != APIGOUV_NEVER)
		timeout_ms = (long) Min((until - now + 999) / 1000, INT_MAX);
	if (WaitEventSetWait(wait_set, timeout_ms, &event, 1,
						 apigouv_wait_event(for_quota ? APIGOUV_WAIT_QUOTA
											: nrunning > 0 ? APIGOUV_WAIT_HTTP
											: APIGOUV_WAIT_RETRY)) == 1 &&
		event.events == WL_LATCH_SET)
		ResetLatch(MyLatch);
	if (for_quota)
		count_quota_wait(monotonic_us() - now);
}

int64
apigouv_http_quota_waited(void)
{
	return quota_waited_us;
}

void
apigouv_http_pause(void)
{
	dlist_iter	iter;

	apigouv_admit_sent();
	if (!apigouv_admit_holds_slots())
		return;
	dlist_foreach(iter, &transfers)
	{
		ApigouvTransferPrivate *private =
		dlist_container(ApigouvTransferPrivate, node, iter.cur);

		apigouv_admit_pause(&private->public);
	}
}

/*
 * Move all transfers forward until something has happened to any, or the
 * moment has come.
 */
static void
move_until(int64 deadline)
{
	for (;;)
	{
		int64		due;
		int64		now;
		int			rounds = 0;

		attended_at = monotonic_us();
		CHECK_FOR_INTERRUPTS();
		while (rounds < APIGOUV_PUMP_ROUNDS && advance())
		{
			rounds++;
			CHECK_FOR_INTERRUPTS();
		}
		apigouv_attempt_count_fds(true);
		if (rounds > 0 || nqueued + nrunning == 0)
			return;

		now = monotonic_us();
		if (now >= deadline)
			return;
		due = next_due();
		if (due > now)
			wait_event(Min(deadline, due), now);
	}
}

/*
 * apigouv_http_pump
 *		Move all transfers forward until something has happened to any.
 *
 * timeout_ms: how long to wait for that; -1 means no limit, 0 not at all.
 * Returns at once when no transfer is queued or running.  Raises on
 * interrupt; the transfers are then as they were.
 *
 * Other sessions are told of one wait, however often it is woken.
 */
void
apigouv_http_pump(int timeout_ms)
{
	int64		deadline = APIGOUV_NEVER;

	away_us += monotonic_us() - attended_at;
	if (timeout_ms >= 0)
		deadline = monotonic_us() + (int64) timeout_ms * 1000;
	move_until(deadline);
	apigouv_progress_phase(APIGOUV_PHASE_ROWS, APIGOUV_NEVER, NULL);
}

bool
apigouv_http_is_busy(void)
{
	return nqueued + nrunning > 0;
}

uint64
apigouv_http_moves(void)
{
	return moves;
}

int
apigouv_http_fd(void)
{
	return apigouv_attempt_fd();
}

int64
apigouv_http_before_wait(void)
{
	apigouv_http_pump(0);
	if (nqueued + nrunning == 0)
		return 0;
	tell_wait();
	return next_due();
}

int64
apigouv_http_after_wait(void)
{
	int64		now = monotonic_us();
	int64		for_quota = quota_keeps && nrunning == 0 ? now - attended_at
	: 0;

	apigouv_progress_phase(APIGOUV_PHASE_ROWS, APIGOUV_NEVER, NULL);
	if (for_quota > 0)
		count_quota_wait(for_quota);
	attended_at = now;
	return for_quota;
}

/*
 * apigouv_http_wait
 *		Wait until a transfer has ended or streams more than seen_bytes.
 *
 * The others move forward meanwhile.  A transfer that is returned RUNNING has
 * exposed its bytes: its retry hook is not asked any more.
 */
void
apigouv_http_wait(ApigouvTransfer *transfer, size_t seen_bytes)
{
	while (transfer->state != APIGOUV_TRANSFER_ENDED &&
		   !(transfer->streaming && transfer->body_len > seen_bytes))
		apigouv_http_pump(-1);
	if (transfer->state != APIGOUV_TRANSFER_ENDED)
		transfer->private->exposed = true;
}

/* ----------------------------------------------------------------
 *		transfers
 * ----------------------------------------------------------------
 */

/* Refuse what could smuggle a header or a second request. */
static void
check_request(const ApigouvHttpRequest *request)
{
	int			i;

	if (pg_strncasecmp(request->url, "http://", 7) != 0 &&
		pg_strncasecmp(request->url, "https://", 8) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot send a request: its URL is neither http nor https")));
	if (apigouv_url_has_control(request->url))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot send a request: its URL holds a control character")));
	for (i = 0; i < request->nheaders; i++)
	{
		const char *colon = strchr(request->headers[i], ':');

		if (colon == NULL || colon == request->headers[i] ||
			apigouv_url_has_control(request->headers[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot send a request: a header has no name or holds a control character")));
	}
}

/*
 * apigouv_http_start
 *		Queue a request.  See http.h.
 *
 * Nothing is sent before the next pump or wait.  Raises
 * ERRCODE_INVALID_PARAMETER_VALUE on a URL or a header that cannot be sent,
 * ERRCODE_OUT_OF_MEMORY, ERRCODE_INSUFFICIENT_RESOURCES.
 */
ApigouvTransfer *
apigouv_http_start(const ApigouvHttpSettings *settings,
				   const ApigouvHttpRequest *request,
				   const ApigouvLimitHeaders *limit_headers,
				   ApigouvRetryHook hook, void *hook_arg)
{
	ApigouvTransferPrivate *private;
	bool		ok;

	check_request(request);
	if (apigouv_attempt_fd() < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create a descriptor for connections: %m")));
	private = calloc(1, sizeof(ApigouvTransferPrivate));
	ok = private != NULL &&
		apigouv_attempt_copy_request(private, settings, request,
									 limit_headers) &&
		(private->pool = join_pool(settings->pool)) != NULL;
	if (!ok)
	{
		if (private != NULL)
			apigouv_attempt_free_request(private);
		free(private);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	private->hook = hook;
	private->hook_arg = hook_arg;
	private->tally = request->tally;
	private->quota_wait_ms = settings->quota_wait_ms;
	private->number = next_number++;
	private->public.private = private;
	reset_reply(&private->public);
	dlist_push_tail(&transfers, &private->node);
	ntransfers++;
	enqueue(private);
	return &private->public;
}

void
apigouv_http_watch(ApigouvTransfer *transfer, const ApigouvWatch *watch,
				   void *arg)
{
	transfer->private->watch = watch;
	transfer->private->watch_arg = arg;
}

/* Cancel a transfer that has not ended, and free it.  Never raises. */
static void
discard(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;

	tell_end(transfer, true);
	if (transfer->state == APIGOUV_TRANSFER_RUNNING)
	{
		apigouv_attempt_cancel(transfer);
		leave_slot(private);
		count_attempt(transfer, true);
		apigouv_admit_ended(transfer);
	}
	else if (transfer->state == APIGOUV_TRANSFER_QUEUED)
	{
		dlist_delete(&private->queue_node);
		nqueued--;
	}
	if (private->pool != NULL)
		leave_pool(private->pool);
	apigouv_attempt_free_request(private);
	free(transfer->body);
	dlist_delete(&private->node);
	ntransfers--;
	free(private);
	if (nqueued == 0)
		apigouv_admit_leave();
}

bool
apigouv_http_is_unsent(const ApigouvTransfer *transfer)
{
	return transfer->state == APIGOUV_TRANSFER_QUEUED ||
		(transfer->state == APIGOUV_TRANSFER_RUNNING &&
		 transfer->private->sends == 0);
}

void
apigouv_http_release(ApigouvTransfer *transfer)
{
	discard(transfer);
}

/*
 * apigouv_http_abort_all
 *		Cancel and free every transfer, whoever owns it.
 *
 * Connections whose replies had been read whole stay for the next query.
 * Never raises; right in any state in which an error may have left us.
 */
void
apigouv_http_abort_all(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &transfers)
	{
		ApigouvTransferPrivate *private =
		dlist_container(ApigouvTransferPrivate, node, iter.cur);

		discard(&private->public);
	}
	apigouv_attempt_count_fds(false);
}
