/*-------------------------------------------------------------------------
 *
 * admit.c
 *		Slots of the quota ledger for the attempts of http.c.
 *
 * Between the engine, which knows transfers, and the ledger, which knows
 * slots: an attempt may begin with a slot in hand, which is dated when
 * libcurl has sent, because a connection may take seconds.  Not before it has
 * returned: between the moment when it asks and the write to the socket, this
 * process may have to wait for a processor for longer than any margin, and
 * an early date lets others send too early.  libcurl may send again by itself
 * when a connection that it kept was dead; that takes a slot of its own, there
 * and then, or is not done.
 *
 * All transfers under the same limits wait as one: the first that asks gets
 * the answer for the others until the moment to ask again.
 *
 * Nothing here raises: part of it runs inside libcurl, and part at the end of
 * a transaction.  A ledger that cannot be read or written ends the transfer
 * before anything is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "admit.h"
#include "lib/ilist.h"
#include "messages.h"

/* Longest that the lock of the ledger is tried for inside libcurl, in us. */
#define LOCK_PATIENCE_US 20000

/* The ledger is held by somebody: ask again so soon, in us. */
#define BUSY_ASK_US		500

/* Longest that a refusal closes a limit: the bans of these APIs last 12 h. */
#define LONGEST_CLOSURE_MS INT64CONST(43200000)

/* Times that the lock is tried for what can be left, 100 us apart. */
#define MAX_TRIES		10

/* Longest that the ledger may be held, if quota_wait_ms is shorter, in us. */
#define BUSY_PATIENCE_US 1000000

/* A refusal that nobody hears of leads to a ban: it is worth some us. */
#define REFUSAL_PATIENCE_US 200000

/* Nobody has asked for so long: what comes now is another wait. */
#define STALE_US		2000000

/* The transfers that wait for the same limits. */
typedef struct Wait
{
	dlist_node	node;			/* in waits */
	uint64		set;			/* ApigouvQuotaLimits.set */
	int64		since;			/* when the wait began; us, monotonic; 0 = no
								 * wait */
	int64		asked;			/* when the ledger was asked last */
	int64		locked_out;		/* since when the ledger is held; 0 = is not */
	int64		asked_lock;		/* when it was found held last */
	int64		ask_at;			/* when to ask again; before, the answer
								 * stands */
	ApigouvQuotaAnswer answer;
	char		limit[APIGOUV_LEDGER_TEXT]; /* that is the latest */
} Wait;

/* What the ledger could not be told at once. */
typedef struct Debt
{
	dlist_node	node;			/* in debts */
	ApigouvQuotaLimits limits;
	uint64		slot;			/* to give back, or to date; or 0 */
	bool		is_sent;		/* to date */
	int64		closed_until;	/* a refusal; us, monotonic */
} Debt;

static int	slots_held = 0;		/* reserved and not yet dated */
static dlist_head waits = DLIST_STATIC_INIT(waits);
static dlist_head debts = DLIST_STATIC_INIT(debts);
static dlist_head sent = DLIST_STATIC_INIT(sent);	/* to be dated */
static int64 nsent = 0;			/* by this backend, and about to be sent */
static int64 max_sent = PG_INT64_MAX;	/* of them */

/* The wait for some limits, made if need be; NULL without memory. */
static Wait *
wait_of(uint64 set)
{
	dlist_iter	iter;
	Wait	   *wait;

	dlist_foreach(iter, &waits)
	{
		wait = dlist_container(Wait, node, iter.cur);
		if (wait->set == set)
			return wait;
	}
	wait = calloc(1, sizeof(Wait));
	if (wait == NULL)
		return NULL;
	wait->set = set;
	dlist_push_tail(&waits, &wait->node);
	return wait;
}

/* A moment's pause; signals end it early. */
static void
pause_us(long us)
{
	struct timespec time = {0, us * 1000};

	(void) nanosleep(&time, NULL);
}

/* Tell the ledger what it could not be told before. */
static ApigouvGrant
pay_debt(const Debt *debt)
{
	int64		sent_at;

	if (debt->is_sent)
		return apigouv_quota_settle(&debt->limits, debt->slot, &sent_at);
	if (debt->slot != 0)
		return apigouv_quota_give_back(&debt->limits, debt->slot);
	return apigouv_quota_close(&debt->limits,
							   debt->closed_until - monotonic_us());
}

static void
pay_debts(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &debts)
	{
		Debt	   *debt = dlist_container(Debt, node, iter.cur);

		if (pay_debt(debt) == APIGOUV_QUOTA_BUSY)
			return;
		dlist_delete(&debt->node);
		free(debt);
	}
}

/* Note what the ledger is to be told later. */
static void
owe(const ApigouvQuotaLimits *limits, uint64 slot, bool is_sent,
	int64 closed_until)
{
	Debt	   *debt = malloc(sizeof(Debt));

	if (debt == NULL)
		return;
	debt->limits = *limits;
	debt->slot = slot;
	debt->is_sent = is_sent;
	debt->closed_until = closed_until;
	dlist_push_tail(&debts, &debt->node);
}

/* Give back a slot, now or soon.  At worst it counts until we end. */
static void
give_back(const ApigouvQuotaLimits *limits, uint64 slot)
{
	int			tries;

	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		if (apigouv_quota_give_back(limits, slot) != APIGOUV_QUOTA_BUSY)
			return;
		pause_us(100);
	}
	owe(limits, slot, false, 0);
}

/* End a transfer that waits, or would have to, for too long. */
static ApigouvAdmission
refuse(ApigouvTransfer *transfer, const ApigouvQuotaAnswer *answer)
{
	const ApigouvQuotaLimit *limit =
	&transfer->private->limits->limits[answer->blocking];

	(void) apigouv_quota_leave(transfer->private->limits);
	transfer->failure = APIGOUV_FAILURE_QUOTA;
	strlcpy(transfer->failure_text, _("request quota is exhausted"),
			sizeof(transfer->failure_text));
	strlcpy(transfer->quota.limit, limit->name, sizeof(transfer->quota.limit));
	strlcpy(transfer->quota.role, limit->role, sizeof(transfer->quota.role));
	transfer->quota.requests = limit->requests;
	transfer->quota.window_ms = (int) (limit->window_us / 1000);
	transfer->quota.wait_ms = Max(answer->wait_us, answer->certain_us) / 1000;
	return APIGOUV_ADMIT_NEVER;
}

static ApigouvAdmission
refuse_broken(ApigouvTransfer *transfer)
{
	transfer->failure = APIGOUV_FAILURE_LEDGER;
	strlcpy(transfer->failure_text, apigouv_ledger_error(),
			sizeof(transfer->failure_text));
	return APIGOUV_ADMIT_NEVER;
}

/*
 * The ledger's answer is to wait.  The allowance starts anew with each slot
 * that was got: a long list of keys may take many windows.
 */
static ApigouvAdmission
wait_on(ApigouvTransfer *transfer, Wait *wait, int64 now, int64 *due)
{
	int64		patience = (int64) transfer->private->quota_wait_ms * 1000;

	if (wait->since == 0)
		wait->since = now;
	if (now - wait->since >= patience ||
		now - wait->since + wait->answer.certain_us > patience)
	{
		/* the transfers behind this one are refused alike */
		return refuse(transfer, &wait->answer);
	}
	*due = Min(*due, Min(wait->ask_at, wait->since + patience));
	return APIGOUV_ADMIT_LATER;
}

/*
 * Somebody holds the ledger, for microseconds as a rule; for longer if its
 * process was stopped.
 */
static ApigouvAdmission
wait_for_lock(ApigouvTransfer *transfer, Wait *wait, int64 now, int64 *due)
{
	int64		patience = (int64) transfer->private->quota_wait_ms * 1000;

	if (wait->locked_out == 0 || now - wait->asked_lock > STALE_US)
		wait->locked_out = now;
	wait->asked_lock = now;
	if (now - wait->locked_out <= Max(patience, BUSY_PATIENCE_US))
	{
		*due = Min(*due, now + BUSY_ASK_US);
		return APIGOUV_ADMIT_LATER;
	}
	transfer->failure = APIGOUV_FAILURE_LEDGER;
	snprintf(transfer->failure_text, sizeof(transfer->failure_text),
			 _("file \"%s\" is locked by another process"),
			 apigouv_ledger_path);
	return APIGOUV_ADMIT_NEVER;
}

ApigouvAdmission
apigouv_admit_slot(ApigouvTransfer *transfer, int64 now, int64 *due)
{
	ApigouvTransferPrivate *private = transfer->private;
	ApigouvGrant grant;
	Wait	   *wait;

	if (private->limits == NULL || private->slot != 0)
		return APIGOUV_ADMIT_NOW;
	wait = wait_of(private->limits->set);
	if (wait == NULL)
	{
		errno = ENOMEM;
		transfer->failure = APIGOUV_FAILURE_MEMORY;
		return APIGOUV_ADMIT_NEVER;
	}
	if (wait->since != 0 && now - wait->asked > STALE_US)
		wait->since = 0;
	if (wait->since != 0 && now < wait->ask_at)
		return wait_on(transfer, wait, now, due);

	pay_debts();
	if (!dlist_is_empty(&debts))
		return wait_for_lock(transfer, wait, now, due);
	grant = apigouv_quota_reserve(private->limits, &private->slot,
								  &wait->answer);
	if (grant != APIGOUV_QUOTA_BUSY)
		wait->locked_out = 0;
	switch (grant)
	{
		case APIGOUV_QUOTA_GRANTED:
			slots_held++;
			wait->since = 0;
			return APIGOUV_ADMIT_NOW;
		case APIGOUV_QUOTA_WAIT:
			wait->asked = now;
			wait->ask_at = now + wait->answer.ask_us;
			strlcpy(wait->limit,
					private->limits->limits[wait->answer.blocking].name,
					sizeof(wait->limit));
			return wait_on(transfer, wait, now, due);
		case APIGOUV_QUOTA_BUSY:
			return wait_for_lock(transfer, wait, now, due);
		case APIGOUV_QUOTA_BROKEN:
			break;
	}
	return refuse_broken(transfer);
}

/*
 * Date the slot of a request that was sent, now or soon.  The later, the
 * longer it counts.  Who is in debt has waited for the lock already.
 */
static void
date(ApigouvTransferPrivate *private)
{
	int64		patience = dlist_is_empty(&debts) ? LOCK_PATIENCE_US : 0;
	ApigouvGrant result;

	private->sent_at = apigouv_ledger_clock();
	while ((result = apigouv_quota_settle(private->limits, private->slot,
										  &private->sent_at)) ==
		   APIGOUV_QUOTA_BUSY && patience > 0)
	{
		pause_us(100);
		patience -= 100;
	}
	if (result != APIGOUV_QUOTA_GRANTED)
		owe(private->limits, private->slot, true, 0);
	dlist_delete(&private->sent_node);
	private->slot = 0;
	private->is_sent = false;
	slots_held--;
}

void
apigouv_admit_sent(void)
{
	dlist_mutable_iter iter;

	if (!dlist_is_empty(&debts))
		pay_debts();
	dlist_foreach_modify(iter, &sent)
		date(dlist_container(ApigouvTransferPrivate, sent_node, iter.cur));
}

/* Get the slot of a request that is about to be sent, if it has none. */
static bool
get_slot(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	ApigouvQuotaAnswer answer;
	ApigouvGrant result;
	int64		waited = 0;

	if (private->limits == NULL)
		return true;
	if (private->is_sent)
		date(private);
	for (;;)
	{
		/* a second time, or after a pause: a slot now, or not at all */
		result = APIGOUV_QUOTA_GRANTED;
		if (private->slot == 0)
		{
			result = apigouv_quota_reserve(private->limits, &private->slot,
										   &answer);
			slots_held += result == APIGOUV_QUOTA_GRANTED;
		}
		if (result == APIGOUV_QUOTA_GRANTED)
			result = apigouv_quota_may_send(private->limits, private->slot);
		if (result != APIGOUV_QUOTA_BUSY || waited >= LOCK_PATIENCE_US)
			break;
		pause_us(100);
		waited += 100;
	}
	if (result == APIGOUV_QUOTA_GRANTED)
	{
		private->is_sent = true;
		dlist_push_tail(&sent, &private->sent_node);
	}
	if (result == APIGOUV_QUOTA_WAIT)
	{
		slots_held -= private->slot != 0;	/* it was given back */
		private->slot = 0;
	}
	if (result == APIGOUV_QUOTA_BROKEN)
		(void) refuse_broken(transfer);
	return result == APIGOUV_QUOTA_GRANTED;
}

/*
 * apigouv_admit_send
 *		May a request be sent?  See admit.h.
 *
 * The first time was counted when the attempt began.
 */
bool
apigouv_admit_send(ApigouvTransfer *transfer)
{
	bool		again = transfer->private->sends > 0;

	if ((again && nsent >= max_sent) || !get_slot(transfer))
		return false;
	nsent += again;
	return true;
}

bool
apigouv_admit_is_bound(void)
{
	return nsent >= max_sent;
}

void
apigouv_admit_begun(void)
{
	nsent++;
}

int64
apigouv_http_sent(void)
{
	return nsent;
}

void
apigouv_http_bound(int64 most)
{
	max_sent = most;
}

bool
apigouv_admit_expects(int64 *moment, const char **limit)
{
	dlist_iter	iter;

	*moment = APIGOUV_NEVER;
	dlist_foreach(iter, &waits)
	{
		const Wait *wait = dlist_container(Wait, node, iter.cur);
		int64		wait_us = Max(wait->answer.wait_us,
								  wait->answer.certain_us);

		if (wait->since == 0 || wait->asked + wait_us >= *moment)
			continue;
		*moment = wait->asked + wait_us;
		*limit = wait->limit;
	}
	return *moment != APIGOUV_NEVER;
}

bool
apigouv_admit_holds_slots(void)
{
	return slots_held > 0;
}

void
apigouv_admit_pause(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;

	if (private->limits == NULL || private->slot == 0)
		return;
	if (private->is_sent)
	{
		date(private);
		return;
	}
	give_back(private->limits, private->slot);
	private->slot = 0;
	slots_held--;
}

void
apigouv_admit_ended(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	int64		reset_us = -1;
	int			tries;

	if (private->sends == 0)
		nsent--;
	if (private->limits == NULL)
		return;
	apigouv_admit_pause(transfer);
	if (transfer->status == 0 ||
		(transfer->limit_total < 0 && transfer->limit_remaining < 0))
		return;
	if (transfer->limit_reset_s >= 0)
		reset_us = transfer->limit_reset_s * INT64CONST(1000000);
	for (tries = 0; tries < REFUSAL_PATIENCE_US / 100; tries++)
	{
		if (apigouv_quota_correct(private->limits, private->sent_at,
								  transfer->limit_total,
								  transfer->limit_remaining,
								  reset_us) != APIGOUV_QUOTA_BUSY)
			return;
		pause_us(100);
	}
}

/*
 * apigouv_http_refused
 *		The upstream has refused an attempt for its rate.  See http.h.
 */
bool
apigouv_http_refused(const ApigouvTransfer *transfer, int64 for_ms)
{
	const ApigouvTransferPrivate *private = transfer->private;
	int64		for_us = Min(for_ms, LONGEST_CLOSURE_MS) * 1000;
	int64		waited;

	if (private->limits == NULL)
		return for_ms <= private->quota_wait_ms;
	for (waited = 0; waited < REFUSAL_PATIENCE_US; waited += 100)
	{
		if (apigouv_quota_close(private->limits,
								for_us - waited) != APIGOUV_QUOTA_BUSY)
			return for_ms <= private->quota_wait_ms;
		pause_us(100);
	}
	owe(private->limits, 0, false, monotonic_us() + for_us - waited);
	return for_ms <= private->quota_wait_ms;
}

/*
 * apigouv_http_wait_anew
 *		The waits for slots begin now.  See http.h.
 */
void
apigouv_http_wait_anew(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &waits)
		dlist_container(Wait, node, iter.cur)->since = 0;
}

void
apigouv_admit_leave(void)
{
	bool		queued = false;
	int			tries;

	while (!dlist_is_empty(&waits))
	{
		Wait	   *wait = dlist_container(Wait, node,
										   dlist_pop_head_node(&waits));

		queued |= wait->since != 0;
		free(wait);
	}
	for (tries = 0; queued && tries < MAX_TRIES; tries++)
	{
		if (apigouv_quota_leave(NULL) != APIGOUV_QUOTA_BUSY)
			break;				/* else the lease ends */
		pause_us(100);
	}
	if (!dlist_is_empty(&debts))
		pay_debts();
}
