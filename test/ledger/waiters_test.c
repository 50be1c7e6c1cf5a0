/*-------------------------------------------------------------------------
 *
 * waiters_test.c
 *		Who waits for the quota ledger, and for how long.  Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

#define MAX_PROCESSES	1000

/* A process that always wants one request more. */
typedef struct Client
{
	ApigouvQuotaLimits limits;
	int64_t		ask_at;
	int64_t		since;			/* it waits; 0: not */
	int			bound;			/* who waited when it came */
	int			others[MAX_PROCESSES];	/* served while it waited */
	int			sent;
} Client;

static Client clients[MAX_PROCESSES];
static int	nclients;

static ApigouvGrant
ask_as(int who, const ApigouvQuotaLimits * limits)
{
	process = who + 1;
	return reserve(limits);
}

static void
test_queue(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 2, 10 * SECOND, 0);
	int			granted = 0;

	new_ledger();
	ok(ask_as(0, &limits) == APIGOUV_QUOTA_GRANTED &&
	   settle(&limits, slot) == APIGOUV_QUOTA_GRANTED, "nobody waits");
	clock_now += 9 * SECOND;
	ok(ask_as(0, &limits) == APIGOUV_QUOTA_GRANTED &&
	   settle(&limits, slot) == APIGOUV_QUOTA_GRANTED, "still nobody");
	for (int i = 1; i <= 3; i++)
		(void) ask_as(i, &limits);
	is(answer.wait_us, 11 * SECOND, "the third to wait needs a window more");
	clock_now += SECOND;
	for (int i = 5; i >= 2; i--)
		granted += ask_as(i, &limits) == APIGOUV_QUOTA_GRANTED;
	is(granted, 0, "who comes later does not get the slot of the first");
	is(ask_as(1, &limits), APIGOUV_QUOTA_GRANTED, "who does");
	is(ask_as(1, &limits), APIGOUV_QUOTA_WAIT, "and queues anew for more");
	(void) ask_as(2, &limits);
	is(answer.wait_us, 9 * SECOND, "the next one is the second");

	clock_now += 9 * SECOND - MS;
	(void) ask_as(2, &limits);
	(void) ask_as(3, &limits);
	clock_now += MS;
	is(ask_as(3, &limits), APIGOUV_QUOTA_WAIT,
	   "a waiter that never comes is waited for");
	clock_now += LEASE_US + 1;
	is(ask_as(3, &limits), APIGOUV_QUOTA_GRANTED, "a moment only");

	new_ledger();
	(void) ask_as(0, &limits);
	(void) ask_as(0, &limits);
	(void) apigouv_quota_give_back(&limits, slot);
	is(ask_as(7, &limits), APIGOUV_QUOTA_GRANTED, "given back: free at once");
	(void) ask_as(1, &limits);
	(void) ask_as(2, &limits);
	process = 8;
	(void) apigouv_quota_give_back(&limits, slot);
	is(ask_as(2, &limits), APIGOUV_QUOTA_WAIT, "the first has it");
	process = 2;
	(void) apigouv_quota_leave(&limits);
	is(ask_as(2, &limits), APIGOUV_QUOTA_GRANTED, "unless it leaves");
}

/* Whom a limit keeps keeps nobody from another. */
static void
test_not_competing(void)
{
	ApigouvQuotaLimits narrow = limit_of(1, 1, 10 * SECOND, 0);
	ApigouvQuotaLimits other = limit_of(3, 9, 10 * SECOND, 0);

	add_limit(&narrow, 2, 2, 10 * SECOND, 0);
	add_limit(&other, 2, 2, 10 * SECOND, 0);
	new_ledger();
	(void) ask_as(0, &narrow);
	for (int i = 1; i < 9; i++)
		(void) ask_as(i, &narrow);
	is(answer.blocking, 0, "eight wait for the narrow limit");
	is(ask_as(20, &other), APIGOUV_QUOTA_GRANTED,
	   "who needs but the wide one is served");
}

/* Whose moment has come finds slots in all its limits, if a bit late. */
static void
test_late(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 2, 200 * MS, 0);

	add_limit(&limits, 2, 3, SECOND, 0);
	new_ledger();
	for (int i = 0; i < 3; i++)
	{
		(void) ask_as(0, &limits);
		(void) settle(&limits, slot);
		clock_now += i == 1 ? 200 * MS : 0;
	}
	clock_now += 800 * MS - MS;
	(void) ask_as(1, &limits);
	clock_now += 200 * MS + MS;
	is(ask_as(0, &limits), APIGOUV_QUOTA_GRANTED, "another takes a slot");
	is(ask_as(0, &limits), APIGOUV_QUOTA_WAIT, "but not the last one");
	is(ask_as(1, &limits), APIGOUV_QUOTA_GRANTED, "which is the waiter's");
}

static void
test_many(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 50, SECOND, 0);
	int			granted = 0;
	int			waits = 0;
	int			rounds = 0;
	static bool served[MAX_PROCESSES];

	new_ledger();
	while (granted < 600 && rounds++ < 400)
	{
		for (int i = 0; i < 600; i++)
		{
			ApigouvGrant result;

			if (served[i])
				continue;
			result = ask_as(i, &limits);
			waits += result == APIGOUV_QUOTA_WAIT;
			if (result == APIGOUV_QUOTA_GRANTED &&
				settle(&limits, slot) == APIGOUV_QUOTA_GRANTED)
			{
				served[i] = true;
				granted++;
			}
		}
		clock_now += 250 * MS;
	}
	ok(granted == 600 && waits > 0,
	   "more waiters than places in the queue: all are served");
	is(rounds, 4 * 11 + 1, "without a slot lost");
}

/* A client asks when it said it would; the lot of who asks first is random. */
static void
act(Client *client, int who)
{
	if (client->since == 0)
	{
		client->since = clock_now;
		client->bound = 0;
		memset(client->others, 0, sizeof(client->others));
		for (int i = 0; i < nclients; i++)
			client->bound += i != who && clients[i].since != 0;
	}
	if (ask_as(who, &client->limits) != APIGOUV_QUOTA_GRANTED)
	{
		client->ask_at = clock_now + answer.ask_us;
		return;
	}
	(void) settle(&client->limits, slot);
	client->sent++;
	client->since = 0;
	client->ask_at = clock_now + rand() % 3000;
	for (int i = 0; i < nclients; i++)
	{
		if (clients[i].since != 0)
			clients[i].others[who]++;
	}
}

/*
 * Let the clients ask for some time.  How many more than the bound were served
 * before a waiter, at worst.
 */
static int
let_them(int64_t us)
{
	int64_t		end = clock_now + us;
	int			worst = -MAX_PROCESSES;

	while (clock_now < end)
	{
		int			next = 0;
		int			n = 0;
		int			sent;

		for (int i = 1; i < nclients; i++)
		{
			if (clients[i].ask_at < clients[next].ask_at ||
				(clients[i].ask_at == clients[next].ask_at &&
				 rand() % 2 == 0))
				next = i;
		}
		if (clients[next].ask_at > clock_now)
			clock_now = clients[next].ask_at;
		sent = clients[next].sent;
		act(&clients[next], next);
		if (clients[next].sent == sent)
			continue;
		for (int i = 0; i < nclients; i++)
			n += clients[next].others[i];
		n -= clients[next].bound;
		worst = n > worst ? n : worst;
		for (int i = 0; i < nclients; i++)
		{
			if (clients[next].others[i] > 1 && worst < 1)
				worst = 1;		/* one of them twice */
		}
	}
	return worst;
}

/*
 * One slot at a time, so that whoever is served before a waiter is so at its
 * expense: with more, those behind take what it does not need.
 */
static void
test_bound(void)
{
	int			least = INT32_MAX;
	int			most = 0;
	int			worst;

	new_ledger();
	nclients = 12;
	for (int i = 0; i < nclients; i++)
	{
		memset(&clients[i], 0, sizeof(Client));
		clients[i].limits = limit_of(1, 1, 10 * MS, 1);
		clients[i].ask_at = clock_now + i;
	}
	worst = let_them(20 * SECOND);
	for (int i = 0; i < nclients; i++)
	{
		least = clients[i].sent < least ? clients[i].sent : least;
		most = clients[i].sent > most ? clients[i].sent : most;
	}
	ok(worst <= 0,
	   "nobody sees more others served than waited when it came (%d)", worst);
	ok(most - least <= 1, "twelve that always ask: %d to %d each", least, most);
}

/*
 * Two limits that are never free together, since others who need but one of
 * them take each slot when it comes.
 */
static void
test_two_limits(void)
{
	Client	   *both = &clients[0];

	new_ledger();
	nclients = 5;
	for (int i = 0; i < nclients; i++)
	{
		memset(&clients[i], 0, sizeof(Client));
		clients[i].limits = limit_of(1 + i % 2, 1, SECOND, 0);
		clients[i].ask_at = clock_now + i % 2 * SECOND / 2 + i;
	}
	both->limits = limit_of(1, 1, SECOND, 0);
	add_limit(&both->limits, 2, 1, SECOND, 0);
	both->ask_at = clock_now + SECOND / 4 * 3;
	(void) let_them(200 * SECOND);
	ok(both->sent >= 20, "who needs two limits is served, %d times",
	   both->sent);
	ok(clients[1].sent >= 60 && clients[2].sent >= 60 &&
	   clients[3].sent >= 60 && clients[4].sent >= 60,
	   "and so are the others: %d %d %d %d", clients[1].sent, clients[2].sent,
	   clients[3].sent, clients[4].sent);
}

/* ----------------------------------------------------------------
 *		Forecast
 * ----------------------------------------------------------------
 */

/* The least wait for n requests: send each as soon as one can. */
static int64_t
try_out(const ApigouvQuotaLimits * limits, int n)
{
	Copy		copy = read_ledger();
	int64_t		begun = clock_now;
	int64_t		changed = file_changed;
	int64_t		wait;

	process = 5000;
	for (int i = 0; i < n; i++)
	{
		while (reserve(limits) != APIGOUV_QUOTA_GRANTED)
			clock_now += answer.wait_us > 0 ? answer.wait_us : 1;
		(void) settle(limits, slot);
	}
	wait = clock_now - begun;
	clock_now = begun;
	write_ledger(copy.bytes, copy.len, 0, true);
	file_changed = changed;
	seen_at = 0;
	free(copy.bytes);
	return wait;
}

static void
test_forecast(void)
{
	int			right = 0;
	int			lower = 0;
	int			total = 0;
	int64_t		foretold;
	int64_t		tried;
	ApigouvQuotaLimits huge = limit_of(1, 1, 86400 * SECOND, 0);

	for (int round = 0; round < 200; round++)
	{
		int64_t		window = (1 + rand() % 20) * SECOND / 2;
		ApigouvQuotaLimits limits = limit_of(1, 1 + rand() % 7, window,
											 rand() % 300);
		uint64_t	ids[64];
		int			nids = 0;
		int			n = 1 + rand() % 25;

		if (rand() % 2)
			add_limit(&limits, 2, 1 + rand() % 9,
					  (1 + rand() % 9) * SECOND, 0);
		new_ledger();
		process = 4000;
		for (int i = 0; i < 12; i++)
		{
			if (nids < 60 && reserve(&limits) == APIGOUV_QUOTA_GRANTED)
				ids[nids++] = slot;
			/* in any order, sometimes much later */
			if (nids > 0 && rand() % 2)
			{
				int			k = rand() % nids;

				(void) settle(&limits, ids[k]);
				ids[k] = ids[--nids];
			}
			clock_now += rand() % (2 * SECOND);
		}
		while (nids > 0)
			(void) settle(&limits, ids[--nids]);
		(void) apigouv_quota_leave(NULL);
		clock_now += rand() % SECOND;
		if (rand() % 4 == 0)
			(void) apigouv_quota_close(&limits, rand() % (9 * SECOND));
		if (rand() % 4 == 0)
			limits.limits[0].requests = 1 + rand() % 7;
		(void) apigouv_quota_forecast(&limits, n, &foretold);
		total++;
		tried = try_out(&limits, n);
		right += foretold == tried || (limits.n > 1 && foretold < tried);
		lower += foretold < tried;
	}
	is(right, total, "a forecast is what trying takes");
	ok(lower < total / 5, "or less, when there are several limits (%d of %d)",
	   lower, total);
	new_ledger();
	is(apigouv_quota_forecast(&huge, INT64_MAX, &foretold),
	   APIGOUV_QUOTA_GRANTED, "of any number");
	ok(foretold > INT64_C(1000000) * 86400 * SECOND, "which may be for ever");
	(void) apigouv_quota_forecast(&huge, 0, &foretold);
	is(foretold, 0, "of none");
}

int
main(void)
{
	begin(false);
	srand(42);
	test_queue();
	test_not_competing();
	test_late();
	test_many();
	test_bound();
	test_two_limits();
	test_forecast();
	return end();
}
