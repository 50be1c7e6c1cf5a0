/*-------------------------------------------------------------------------
 *
 * quota.c
 *		Ledger of API requests, shared by the whole cluster.
 *
 * Each limit has a counter, which holds the moments of the requests of its
 * last window: a sliding window, exact wherever it starts.  A request takes a
 * slot in every limit that applies to it, or in none.
 *
 * The life of a slot: it is reserved before a connection is looked for, and
 * settled, that is dated, when the request has been sent.  Until then it
 * counts as sent now, however long that takes: a process may be stopped at any
 * point.  A slot whose owner has died in between is dated by who finds it.
 * The window that counts is the limit's plus its margin, because the upstream
 * counts arrivals, and one request may travel faster than the one before.
 *
 * Who waits: processes queue by ticket.  A process may take a slot if more
 * are free than there are waiters before it whom the same limit keeps; so
 * nobody hands anything over, and all that are entitled wake at once.  With a
 * slot it loses its ticket and queues anew for the next one.  Hence a waiter
 * sees at most as many others served as waited when it came, and each of them
 * once, at its expense.  A waiter that does not come when its slot is free is
 * forgotten when its lease ends.  Who waits for one limit keeps no slot of the
 * others until its moment has come; but who is put off time and again, by the
 * one and by the other, keeps slots of all of them.
 *
 * What the upstream tells corrects downwards only: fewer requests left than
 * counted here means that somebody else uses the same quota; a refusal closes
 * the limit for everybody.
 *
 * Not here: the file (ledger.c), waiting, which limits apply (limit.c).
 *
 *-------------------------------------------------------------------------
 */
#include "quota.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A waiter asks again at least that often: slots may be given back. */
#define LONGEST_ASK_US	250000
#define SHORTEST_ASK_US 1000

/* A waiter that is so much later than it said has gone. */
#define LEASE_US		1000000

/* A slot that is reserved for longer is looked at: does its owner live? */
#define SUSPECT_US		1000000

/* A waiter that was put off so often, each time by another limit, has a claim
 * on all. */
#define MANY_DELAYS		4

/* No closure is longer: a week. */
#define LONGEST_US		INT64_C(604800000000)

/* What the upstream tells holds so long at most: its bans last 12 h. */
#define LONGEST_CAP_US	INT64_C(43200000000)

/* A counter of the locked ledger, with its slots. */
typedef struct Loaded
{
	int			place;
	bool		is_new;
	ApigouvCounter counter;
	ApigouvSlot *slots;
} Loaded;

/* How a limit stands. */
typedef struct Standing
{
	int64_t		allowed;		/* per window */
	int64_t		used;
	int64_t		left;			/* may be negative */
	int64_t		not_before;		/* nothing may be sent; boot clock, us */
} Standing;

static ApigouvGrant
lock(void)
{
	switch (apigouv_ledger_lock())
	{
		case APIGOUV_LEDGER_OK:
			return APIGOUV_QUOTA_GRANTED;
		case APIGOUV_LEDGER_BUSY:
			return APIGOUV_QUOTA_BUSY;
		default:
			return APIGOUV_QUOTA_BROKEN;
	}
}

/*
 * Unlock, and say how it went.  generation: of the ledger when it was locked;
 * if it was packed or begun anew meanwhile, what failed may be tried again.
 */
static ApigouvGrant
done(bool ok, ApigouvGrant result, int generation)
{
	apigouv_ledger_unlock();
	if (!ok && generation != apigouv_ledger_generation())
		return APIGOUV_QUOTA_BUSY;
	return ok ? result : APIGOUV_QUOTA_BROKEN;
}

/* ----------------------------------------------------------------
 *		counters
 * ----------------------------------------------------------------
 */

/* Does a slot count in a window of this length that ends now? */
static inline bool
is_live(const ApigouvSlot *slot, int64_t span, int64_t now)
{
	return slot->at < 0 || (slot->at > 0 && slot->at + span > now);
}

/* Date the slots of processes that have died with them. */
static bool
settle_orphans(Loaded *loaded)
{
	int64_t		now = apigouv_ledger_now();

	for (int i = 0; i < loaded->counter.nslots; i++)
	{
		ApigouvSlot *slot = &loaded->slots[i];

		if (slot->at >= 0 || -slot->at + SUSPECT_US > now ||
			apigouv_ledger_is_alive(slot->owner, slot->owner_start))
			continue;
		slot->at = now;
		if (!apigouv_ledger_stamp() ||
			!apigouv_ledger_put_slots(&loaded->counter, i, 1, slot))
			return false;
	}
	return true;
}

/*
 * make_room
 *		Let there be room for one slot more, and for as many as the limit
 *		allows.
 *
 * Moving slots to the front in place is safe when it is cut short: what was
 * not yet moved is still where it was.
 */
static bool
make_room(Loaded *loaded)
{
	ApigouvCounter *counter = &loaded->counter;
	int64_t		wanted = counter->requests * INT64_C(5) / 4 + 32;
	int64_t		n;

	if (counter->capacity >= wanted && counter->nslots < counter->capacity)
		return true;
	n = apigouv_ledger_keep(counter, loaded->slots);
	if (counter->capacity < wanted || n > counter->capacity / 8 * 7)
	{
		int64_t		larger = max_of(wanted, n + n / 2 + 32);

		if (!apigouv_ledger_room(counter, (int32_t) min_of(larger, INT32_MAX)))
			return false;
	}
	if (n > 0 && !apigouv_ledger_put_slots(counter, 0, (int) n, loaded->slots))
		return false;
	counter->nslots = (int32_t) n;
	return loaded->is_new || apigouv_ledger_put(loaded->place, counter);
}

/*
 * adopt
 *		Let a counter be what a limit says now.
 *
 * When its window has become longer, what was sent before the slots that were
 * kept is not known.  When the longest window has not been asked for twice its
 * length, the slots of a shorter one are enough.
 */
static void
adopt(Loaded *loaded, const ApigouvQuotaLimit *limit)
{
	ApigouvCounter *counter = &loaded->counter;
	int64_t		now = apigouv_ledger_now();
	int64_t		span = span_of(limit);

	if (loaded->is_new)
	{
		memcpy(counter->key, limit->key, sizeof(counter->key));
		memcpy(counter->api, limit->api, sizeof(counter->api));
		memcpy(counter->name, limit->name, sizeof(counter->name));
		memcpy(counter->role, limit->role, sizeof(counter->role));
		memcpy(counter->counted_by, limit->counted_by,
			   sizeof(counter->counted_by));
	}
	else if (span > counter->keep_us)
		counter->opened_at = max_of(counter->opened_at,
									now - counter->keep_us);
	if (span >= counter->keep_us ||
		counter->kept_at + 2 * counter->keep_us < now)
	{
		counter->keep_us = span;
		counter->kept_at = now;
	}
	counter->requests = limit->requests;
	counter->window_us = limit->window_us;
	counter->margin_ms = limit->margin_ms;
}

/* Write a counter that may be new. */
static bool
store(Loaded *loaded)
{
	if (loaded->is_new)
	{
		apigouv_ledger_header()->ncounters++;
		loaded->is_new = false;
		if (!apigouv_ledger_stamp())
			return false;
	}
	return apigouv_ledger_put(loaded->place, &loaded->counter);
}

/*
 * Read one counter, with its slots, as its limit is now.  A new one is written
 * at once if `create`, so that the next one finds its place taken, and so that
 * it can be seen.  So is one whose window has become longer: what is not known
 * of it must not begin later with each look.
 */
static bool
load_one(const ApigouvQuotaLimit *limit, Loaded *loaded, int which,
		 bool create)
{
	int64_t		kept;

	if (!apigouv_ledger_find(limit->key, &loaded->place, &loaded->counter))
		return false;
	loaded->is_new = loaded->counter.capacity == 0;
	loaded->slots = apigouv_ledger_slots(&loaded->counter, which);
	if (loaded->slots == NULL || !settle_orphans(loaded))
		return false;
	kept = loaded->counter.keep_us;
	if (!create)
		return true;
	adopt(loaded, limit);
	if (!loaded->is_new && span_of(limit) <= kept)
		return true;
	return apigouv_ledger_stamp() && make_room(loaded) && store(loaded);
}

/* Read the counters of some limits. */
static bool
load(const ApigouvQuotaLimits *limits, Loaded *loaded, bool create)
{
	int			generation;

	do
	{
		generation = apigouv_ledger_generation();
		for (int i = 0; i < limits->n; i++)
		{
			if (!load_one(&limits->limits[i], &loaded[i], i, create) &&
				generation == apigouv_ledger_generation())
				return false;
		}
	} while (generation != apigouv_ledger_generation());
	return true;
}

/*
 * Requests of a counter that were sent after a moment, or will be.  No two
 * have the same: the lock is held for longer than a microsecond.
 */
static int64_t
count_after(const Loaded *loaded, int64_t moment)
{
	int64_t		after = 0;

	for (int i = 0; i < loaded->counter.nslots; i++)
	{
		if (loaded->slots[i].at < 0 || loaded->slots[i].at > moment)
			after++;
	}
	return after;
}

/* How many a cap still allows; INT64_MAX when it is over. */
static int64_t
left_of(const Loaded *loaded, const ApigouvCap *cap)
{
	return cap->until > apigouv_ledger_now()
		? cap->requests - count_after(loaded, cap->from) : INT64_MAX;
}

/* How a limit stands, by its counter. */
static void
assess(const Loaded *loaded, int64_t requests, int64_t span,
	   Standing *standing)
{
	const ApigouvCounter *counter = &loaded->counter;
	int64_t		now = apigouv_ledger_now();

	standing->allowed = requests;
	if (counter->told > 0)
		standing->allowed = min_of(standing->allowed, counter->told);
	standing->used = 0;
	for (int i = 0; i < counter->nslots; i++)
	{
		if (is_live(&loaded->slots[i], span, now))
			standing->used++;
	}
	standing->left = standing->allowed - standing->used;
	standing->not_before = counter->closed_until;
	if (counter->opened_at > 0)
		standing->not_before = max_of(standing->not_before,
									  counter->opened_at + span);
	for (int i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		int64_t		left = left_of(loaded, &counter->caps[i]);

		standing->left = min_of(standing->left, left);
		if (left <= 0)
			standing->not_before = max_of(standing->not_before,
										  counter->caps[i].until);
	}
	if (standing->not_before > now)
		standing->left = min_of(standing->left, 0);
}

/* How many live slots were sent at a moment or before; unsent ones: now. */
static int64_t
count_until(const Loaded *loaded, int64_t span, int64_t moment)
{
	int64_t		now = apigouv_ledger_now();
	int64_t		n = 0;

	for (int i = 0; i < loaded->counter.nslots; i++)
	{
		const ApigouvSlot *slot = &loaded->slots[i];

		if (is_live(slot, span, now) &&
			(slot->at < 0 ? now : slot->at) <= moment)
			n++;
	}
	return n;
}

/*
 * When the n-th of the live slots was sent, the earliest being the first.
 * They are nearly in that order: it is searched for from the n-th there is.
 */
static int64_t
nth_sent(const Loaded *loaded, int64_t span, int64_t n)
{
	int64_t		now = apigouv_ledger_now();
	int64_t		low = now - span;	/* what is live was sent later */
	int64_t		high = now;
	int64_t		nth = 0;

	for (int i = 0; i < loaded->counter.nslots && nth < n; i++)
	{
		if (is_live(&loaded->slots[i], span, now) && ++nth == n)
			high = loaded->slots[i].at < 0 ? now : loaded->slots[i].at;
	}
	if (count_until(loaded, span, high) < n)
		high = now;
	else if (count_until(loaded, span, high - 1) < n)
		return high;
	while (high - low > 1)
	{
		int64_t		middle = low + (high - low) / 2;

		if (count_until(loaded, span, middle) < n)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/*
 * moment_of
 *		When there will be a slot more than `ahead`, if no slot is given back.
 */
static int64_t
moment_of(const Loaded *loaded, int64_t span, const Standing *standing,
		  int64_t ahead)
{
	int64_t		now = apigouv_ledger_now();
	int64_t		windows = ahead / standing->allowed;
	int64_t		to_expire = standing->used - standing->allowed + 1 +
	ahead % standing->allowed;
	int64_t		moment = now;

	if (to_expire > 0)
		moment = max_of(moment, nth_sent(loaded, span, to_expire) + span);
	for (int i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		if (left_of(loaded, &loaded->counter.caps[i]) <= ahead)
			moment = max_of(moment, loaded->counter.caps[i].until);
	}
	return max_of(moment, standing->not_before) + windows * span;
}

/* ----------------------------------------------------------------
 *		waiters
 * ----------------------------------------------------------------
 */

/* Forget the waiters that are gone.  How many stay. */
static int
prune(ApigouvWaiter *waiters)
{
	int64_t		now = apigouv_ledger_now();
	int			n = 0;

	for (uint32_t i = 0; i < apigouv_ledger_header()->nwaiters; i++)
	{
		if (waiters[i].owner != 0 && waiters[i].lease_until >= now)
			waiters[n++] = waiters[i];
	}
	return n;
}

/* This process's place in the queue for these limits, or NULL. */
static ApigouvWaiter *
my_waiter(ApigouvWaiter *waiters, int n, uint64_t set)
{
	for (int i = 0; i < n; i++)
	{
		if (waiters[i].owner == getpid() && waiters[i].limits == set &&
			waiters[i].owner_start == apigouv_ledger_start())
			return &waiters[i];
	}
	return NULL;
}

/* Is that the counter that keeps a waiter? */
static bool
is_kept(const ApigouvWaiter *waiter, const uint64_t key[2])
{
	return waiter->blocked_on[0] == key[0] && waiter->blocked_on[1] == key[1];
}

/*
 * Waiters before a ticket whom a counter keeps, or who claim a slot of it:
 * those who are about to come for their slots, and the first of those who are
 * put off time and again.
 */
static int
count_ahead(const ApigouvWaiter *waiters, int n, const uint64_t key[2],
			uint64_t ticket)
{
	uint64_t	claimer = UINT64_MAX;
	int			ahead = 0;

	for (int i = 0; i < n; i++)
	{
		if (waiters[i].delays >= MANY_DELAYS && waiters[i].ticket < claimer)
			claimer = waiters[i].ticket;
	}
	for (int i = 0; i < n; i++)
	{
		const ApigouvWaiter *waiter = &waiters[i];
		bool		claims = waiter->ticket == claimer ||
		waiter->due_at <= apigouv_ledger_now();
		bool		counts = is_kept(waiter, key);

		for (int k = 0; k < APIGOUV_LEDGER_LIMITS && claims; k++)
			counts |= waiter->keys[k] == key[0];
		if (counts && waiter->ticket < ticket)
			ahead++;
	}
	return ahead;
}

/* Take away the waiter at a place; the number left. */
static int
drop_waiter(ApigouvWaiter *waiters, int n, const ApigouvWaiter *gone)
{
	int			i = (int) (gone - waiters);

	memmove(&waiters[i], &waiters[i + 1], (n - i - 1) * sizeof(ApigouvWaiter));
	return n - 1;
}

/* Queue, or say again that we do.  Without room we ask on without a ticket. */
static bool
queue_up(ApigouvWaiter *waiters, int n, const ApigouvQuotaLimits *limits,
		 const ApigouvQuotaAnswer *answer)
{
	ApigouvWaiter *mine = my_waiter(waiters, n, limits->set);
	int64_t		due_at = apigouv_ledger_now() + answer->wait_us;

	if (mine != NULL && due_at > mine->due_at &&
		mine->blocked_on[0] != limits->limits[answer->blocking].key[0])
		mine->delays = (int32_t) min_of(mine->delays + 1, MANY_DELAYS);
	if (mine == NULL && n < APIGOUV_LEDGER_WAITERS)
	{
		mine = &waiters[n++];
		memset(mine, 0, sizeof(*mine));
		mine->ticket = apigouv_ledger_header()->next_id++;
		mine->limits = limits->set;
		mine->owner = getpid();
		mine->owner_start = apigouv_ledger_start();
		for (int i = 0; i < limits->n; i++)
			mine->keys[i] = limits->limits[i].key[0];
	}
	if (mine != NULL)
	{
		memcpy(mine->blocked_on, limits->limits[answer->blocking].key,
			   sizeof(mine->blocked_on));
		mine->due_at = due_at;
		mine->lease_until = apigouv_ledger_now() + answer->ask_us + LEASE_US;
	}
	return apigouv_ledger_put_waiters(waiters, n);
}

/* ----------------------------------------------------------------
 *		slots
 * ----------------------------------------------------------------
 */

/*
 * place_in_queue
 *		Can a slot be had now?  Else fill *answer.
 */
static bool
place_in_queue(const ApigouvQuotaLimits *limits, const Loaded *loaded,
			   const ApigouvWaiter *waiters, int nwaiters, uint64_t ticket,
			   ApigouvQuotaAnswer *answer)
{
	int64_t		now = apigouv_ledger_now();
	int64_t		latest = 0;
	int64_t		certain = 0;
	bool		free = true;

	memset(answer, 0, sizeof(*answer));
	for (int i = 0; i < limits->n; i++)
	{
		const ApigouvQuotaLimit *limit = &limits->limits[i];
		int			ahead = count_ahead(waiters, nwaiters, limit->key, ticket);
		Standing	standing;
		int64_t		moment;

		assess(&loaded[i], limit->requests, span_of(limit), &standing);
		if (standing.left > ahead)
			continue;
		free = false;
		moment = moment_of(&loaded[i], span_of(limit), &standing, ahead);
		certain = max_of(certain, standing.not_before);
		if (moment >= latest)
		{
			latest = moment;
			answer->blocking = i;
		}
	}
	if (free)
		return true;
	answer->wait_us = max_of(latest - now, 0);
	answer->certain_us = max_of(certain - now, 0);
	answer->ask_us = min_of(max_of(answer->wait_us, SHORTEST_ASK_US),
							LONGEST_ASK_US);
	return false;
}

/* Position of a slot among those of a counter, or -1. */
static int
find_slot(const Loaded *loaded, uint64_t id)
{
	for (int i = loaded->counter.nslots - 1; i >= 0; i--)
	{
		if (loaded->slots[i].id == id)
			return i;
	}
	return -1;
}

/*
 * Date the slots of a request in some counters.  0 gives them back, unless the
 * request was sent.
 */
static bool
date_slots(Loaded *loaded, int n, uint64_t id, int64_t at)
{
	for (int i = 0; i < n; i++)
	{
		int			k = find_slot(&loaded[i], id);

		if (k < 0 || (at == 0 && loaded[i].slots[k].at > 0))
			continue;
		loaded[i].slots[k].at = at;
		if (!apigouv_ledger_put_slots(&loaded[i].counter, k, 1,
									  &loaded[i].slots[k]))
			return false;
	}
	return true;
}

/*
 * Take a slot in each counter, or in none: one that is left in some of them
 * would count for as long as this process lives.
 */
static bool
take(const ApigouvQuotaLimits *limits, Loaded *loaded, uint64_t id)
{
	int			generation = apigouv_ledger_generation();
	ApigouvSlot slot;

	memset(&slot, 0, sizeof(slot));
	slot.at = -apigouv_ledger_now();
	slot.id = id;
	slot.owner = getpid();
	slot.owner_start = apigouv_ledger_start();
	for (int i = 0; i < limits->n; i++)
	{
		Loaded	   *one = &loaded[i];

		one->counter.used_at = apigouv_ledger_now();
		if (make_room(one) &&
			apigouv_ledger_put_slots(&one->counter, one->counter.nslots, 1,
									 &slot))
		{
			/* there is always room for one more in memory */
			one->slots[one->counter.nslots++] = slot;
			if (store(one))
				continue;
		}
		if (generation == apigouv_ledger_generation())
			(void) date_slots(loaded, i + 1, id, 0);
		else if (load(limits, loaded, false))
			(void) date_slots(loaded, limits->n, id, 0);	/* packed */
		return false;
	}
	return true;
}

ApigouvGrant
apigouv_quota_reserve(const ApigouvQuotaLimits *limits, uint64_t *id,
					  ApigouvQuotaAnswer *answer)
{
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result = lock();
	int			generation = apigouv_ledger_generation();
	ApigouvWaiter *waiters;
	ApigouvWaiter *mine;
	uint64_t	slot;
	int			n;

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	if (!load(limits, loaded, true) ||
		(waiters = apigouv_ledger_waiters()) == NULL)
		return done(false, result, generation);
	n = prune(waiters);
	mine = my_waiter(waiters, n, limits->set);
	if (!place_in_queue(limits, loaded, waiters, n,
						mine ? mine->ticket : UINT64_MAX, answer))
		return done(queue_up(waiters, n, limits, answer), APIGOUV_QUOTA_WAIT,
					generation);
	slot = apigouv_ledger_header()->next_id++;
	if (mine != NULL)
		n = drop_waiter(waiters, n, mine);
	if (!apigouv_ledger_stamp() ||
		(mine != NULL && !apigouv_ledger_put_waiters(waiters, n)) ||
		!take(limits, loaded, slot))
		return done(false, result, generation);
	*id = slot;
	return done(true, APIGOUV_QUOTA_GRANTED, generation);
}

/* May a slot be used?  One taken for an orphan's may have left the window. */
static bool
is_usable(const ApigouvQuotaLimit *limit, const Loaded *loaded, uint64_t id)
{
	int64_t		now = apigouv_ledger_now();
	int			k = find_slot(loaded, id);

	return k >= 0 && loaded->counter.closed_until <= now &&
		is_live(&loaded->slots[k], span_of(limit), now);
}

/*
 * Date the slots of a request; without sent_at, give them back.  One that the
 * ledger has lost, because it was begun anew, is taken again if it was sent.
 */
static ApigouvGrant
finish(const ApigouvQuotaLimits *limits, uint64_t id, int64_t *sent_at)
{
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result = lock();
	int			generation = apigouv_ledger_generation();
	bool		is_lost = sent_at != NULL;
	bool		ok;

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	ok = load(limits, loaded, sent_at != NULL) && apigouv_ledger_stamp();
	if (sent_at != NULL)
		*sent_at = apigouv_ledger_now();
	for (int i = 0; ok && i < limits->n; i++)
		is_lost = is_lost && find_slot(&loaded[i], id) < 0;
	ok = ok && (!is_lost || take(limits, loaded, id)) &&
		date_slots(loaded, limits->n, id, sent_at ? *sent_at : 0);
	return done(ok, APIGOUV_QUOTA_GRANTED, generation);
}

ApigouvGrant
apigouv_quota_may_send(const ApigouvQuotaLimits *limits, uint64_t id)
{
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result = lock();
	int			generation = apigouv_ledger_generation();
	bool		ok;

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	ok = load(limits, loaded, false);
	for (int i = 0; ok && i < limits->n; i++)
	{
		if (!is_usable(&limits->limits[i], &loaded[i], id))
			result = APIGOUV_QUOTA_WAIT;
	}
	if (ok && result == APIGOUV_QUOTA_WAIT)
		ok = apigouv_ledger_stamp() && date_slots(loaded, limits->n, id, 0);
	return done(ok, result, generation);
}

ApigouvGrant
apigouv_quota_settle(const ApigouvQuotaLimits *limits, uint64_t id,
					 int64_t *sent_at)
{
	return finish(limits, id, sent_at);
}

ApigouvGrant
apigouv_quota_give_back(const ApigouvQuotaLimits *limits, uint64_t id)
{
	return finish(limits, id, NULL);
}

/* ----------------------------------------------------------------
 *		what the upstream tells
 * ----------------------------------------------------------------
 */

/* The limit that an upstream's headers and refusals are about. */
static bool
group_of(const ApigouvQuotaLimits *limits, ApigouvQuotaLimits *group)
{
	group->n = 0;
	for (int i = 0; i < limits->n; i++)
	{
		if (limits->limits[i].is_group)
			group->limits[group->n++] = limits->limits[i];
	}
	return group->n > 0;
}

ApigouvGrant
apigouv_quota_close(const ApigouvQuotaLimits *limits, int64_t for_us)
{
	ApigouvQuotaLimits group;
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result;
	int			generation;
	bool		ok;

	if (!group_of(limits, &group))
		return APIGOUV_QUOTA_GRANTED;
	result = lock();
	generation = apigouv_ledger_generation();
	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	for_us = min_of(for_us, LONGEST_US);
	ok = load(&group, loaded, true) && apigouv_ledger_stamp();
	for (int i = 0; ok && i < group.n; i++)
	{
		ApigouvCounter *counter = &loaded[i].counter;

		counter->closed_until = max_of(counter->closed_until,
									   apigouv_ledger_now() + for_us);
		ok = store(&loaded[i]);
	}
	return done(ok, APIGOUV_QUOTA_GRANTED, generation);
}

/*
 * cap
 *		Keep what the upstream told: after `from`, at most so many requests may
 *		be sent until `until`.
 *
 * Replies come in any order and from this window and the next: a cap that
 * allows less and one that lasts longer are kept beside each other.  When
 * there are too many, one stands for two.
 */
static void
cap(Loaded *loaded, int64_t from, int64_t requests, int64_t until)
{
	ApigouvCap *caps = loaded->counter.caps;
	ApigouvCap *place = &caps[0];
	int64_t		left = requests - count_after(loaded, from);

	if (until <= apigouv_ledger_now())
		return;
	for (int i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		int64_t		other = left_of(loaded, &caps[i]);

		if (caps[i].until >= until && other <= left)
			return;
		if (caps[i].until <= until && other >= left)
			memset(&caps[i], 0, sizeof(caps[i]));
		if (caps[i].until < place->until)
			place = &caps[i];
	}
	if (place->until > apigouv_ledger_now())
	{
		requests = min_of(left, left_of(loaded, place)) +
			count_after(loaded, from);
		until = max_of(until, place->until);
	}
	place->from = from;
	place->requests = requests;
	place->until = until;
}

ApigouvGrant
apigouv_quota_correct(const ApigouvQuotaLimits *limits, int64_t sent_at,
					  int64_t allowed, int64_t remaining, int64_t reset_us)
{
	ApigouvQuotaLimits group;
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result;
	int			generation;
	bool		ok;

	if (!group_of(limits, &group))
		return APIGOUV_QUOTA_GRANTED;
	result = lock();
	generation = apigouv_ledger_generation();
	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	ok = load(&group, loaded, false);
	for (int i = 0; ok && i < group.n; i++)
	{
		const ApigouvQuotaLimit *limit = &group.limits[i];
		Loaded	   *one = &loaded[i];
		ApigouvCounter before = one->counter;

		if (one->is_new)
			continue;			/* the ledger was begun anew: closed */
		if (allowed > 0)
			one->counter.told = allowed < limit->requests ? (int32_t) allowed
				: 0;
		if (remaining >= 0 && reset_us >= 0)
			cap(one, sent_at, remaining,
				apigouv_ledger_now() + min_of(reset_us, LONGEST_CAP_US) +
				limit->margin_ms * INT64_C(1000));
		else if (remaining >= 0)
			cap(one, sent_at, remaining, sent_at + span_of(limit));
		if (memcmp(&before, &one->counter, sizeof(before)) != 0)
			ok = apigouv_ledger_stamp() && store(one);
	}
	return done(ok, APIGOUV_QUOTA_GRANTED, generation);
}

/* ----------------------------------------------------------------
 *		the rest
 * ----------------------------------------------------------------
 */

ApigouvGrant
apigouv_quota_leave(const ApigouvQuotaLimits *limits)
{
	ApigouvGrant result = lock();
	int			generation = apigouv_ledger_generation();
	ApigouvWaiter *waiters;
	int			n;
	int			kept = 0;

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	waiters = apigouv_ledger_waiters();
	if (waiters == NULL)
		return done(false, result, generation);
	n = prune(waiters);
	for (int i = 0; i < n; i++)
	{
		if (waiters[i].owner != getpid() ||
			(limits != NULL && waiters[i].limits != limits->set))
			waiters[kept++] = waiters[i];
	}
	if (kept == n)
		return done(true, result, generation);
	return done(apigouv_ledger_stamp() &&
				apigouv_ledger_put_waiters(waiters, kept), result, generation);
}

/*
 * The n-th request goes when all but allowed - 1 of those before it have left
 * the window: whole windows, and what the slots of now still hold.
 */
static int64_t
forecast_one(const Loaded *loaded, const ApigouvQuotaLimit *limit, int64_t n)
{
	int64_t		span = span_of(limit);
	int64_t		now = apigouv_ledger_now();
	int64_t		windows;
	Standing	standing;

	assess(loaded, limit->requests, span, &standing);
	for (int i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		if (left_of(loaded, &loaded->counter.caps[i]) < n)
			standing.not_before = max_of(standing.not_before,
										 loaded->counter.caps[i].until);
	}
	windows = min_of((n - 1) / standing.allowed, INT64_MAX / 4 / span);
	standing.used += (n - 1) % standing.allowed;
	return windows * span + moment_of(loaded, span, &standing, 0) - now;
}

ApigouvGrant
apigouv_quota_forecast(const ApigouvQuotaLimits *limits, int64_t n,
					   int64_t *wait_us)
{
	Loaded		loaded[APIGOUV_MAX_LIMITS];
	ApigouvGrant result = lock();
	int			generation = apigouv_ledger_generation();

	*wait_us = 0;
	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	if (!load(limits, loaded, false))
		return done(false, result, generation);
	for (int i = 0; n > 0 && i < limits->n; i++)
	{
		adopt(&loaded[i], &limits->limits[i]);
		*wait_us = max_of(*wait_us,
						  forecast_one(&loaded[i], &limits->limits[i], n));
	}
	return done(true, result, generation);
}

ApigouvGrant
apigouv_quota_list(ApigouvQuotaTaker give, void *arg)
{
	ApigouvGrant result = lock();
	int			generation;
	ApigouvWaiter *waiters;
	int			n;

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	generation = apigouv_ledger_generation();
	waiters = apigouv_ledger_waiters();
	if (waiters == NULL)
		return done(false, result, generation);
	n = prune(waiters);
	for (int place = 0; place < APIGOUV_LEDGER_COUNTERS; place++)
	{
		ApigouvQuotaRow row = {0};
		Loaded		loaded;
		Standing	standing;
		const ApigouvCounter *counter = &loaded.counter;

		if (!apigouv_ledger_at(place, &loaded.counter))
			return done(false, result, generation);
		if (generation != apigouv_ledger_generation())
			break;				/* nothing is known any more */
		if (counter->capacity == 0)
			continue;
		loaded.slots = apigouv_ledger_slots(counter, 0);
		if (loaded.slots == NULL)
			return done(false, result, generation);
		assess(&loaded, counter->requests,
			   counter->window_us + counter->margin_ms * INT64_C(1000),
			   &standing);
		row.counter = *counter;
		row.allowed = standing.allowed;
		row.used = standing.used;
		row.left = max_of(standing.left, 0);
		row.closed_us = max_of(standing.not_before - apigouv_ledger_now(), 0);
		for (int i = 0; i < n; i++)
			row.waiting += is_kept(&waiters[i], counter->key);
		give(&row, arg);
	}
	return done(true, result, generation);
}

ApigouvGrant
apigouv_quota_forget(void)
{
	ApigouvGrant result = lock();

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	return done(apigouv_ledger_forget(), result, apigouv_ledger_generation());
}
