/*-------------------------------------------------------------------------
 *
 * ledger_bench.c
 *		What a request costs in the quota ledger.
 *
 * Usage: ledger_bench [SECONDS].  A request is a reservation and its
 * settlement under one limit, while so many slots are live.
 *
 *-------------------------------------------------------------------------
 */
#include "../../src/clock.c"
#include "../../src/ledger.c"
#include "../../src/quota.c"

#include <sys/wait.h>

static ApigouvQuotaLimits limits;

/* Reserve and settle so often. */
static void
run(int requests)
{
	for (int i = 0; i < requests; i++)
	{
		uint64_t	id;
		int64_t		sent_at;
		ApigouvQuotaAnswer answer;
		ApigouvGrant result;

		while ((result = apigouv_quota_reserve(&limits, &id, &answer)) ==
			   APIGOUV_QUOTA_BUSY)
			;
		if (result != APIGOUV_QUOTA_GRANTED)
		{
			fprintf(stderr, "not granted: %d %s\n", result,
					apigouv_ledger_error());
			exit(1);
		}
		while (apigouv_quota_may_send(&limits, id) == APIGOUV_QUOTA_BUSY)
			;
		while (apigouv_quota_settle(&limits, id, &sent_at) ==
			   APIGOUV_QUOTA_BUSY)
			;
	}
}

/* A new ledger with so many live slots, written at once. */
static void
fill(int live)
{
	ApigouvQuotaLimit *limit = &limits.limits[0];
	ApigouvSlot *slots = calloc(live, sizeof(ApigouvSlot));
	uint64_t	id;
	int64_t		sent_at;
	ApigouvQuotaAnswer answer;
	ApigouvCounter counter;
	int			place;

	memset(&limits, 0, sizeof(limits));
	limits.n = 1;
	limit->key[0] = live;
	limit->requests = live * 2 + 1000;
	limit->window_us = INT64_C(3600000000);
	(void) apigouv_quota_forget();
	(void) apigouv_quota_reserve(&limits, &id, &answer);
	(void) apigouv_quota_settle(&limits, id, &sent_at);
	if (apigouv_ledger_lock() != APIGOUV_LEDGER_OK ||
		!apigouv_ledger_find(limit->key, &place, &counter))
		exit(1);
	for (int i = 0; i < live; i++)
	{
		slots[i].at = apigouv_ledger_now();
		slots[i].id = i + 1000000;
		slots[i].owner = getpid();
	}
	counter.nslots = live;
	if (!apigouv_ledger_stamp() ||
		!apigouv_ledger_put_slots(&counter, 0, live, slots) ||
		!apigouv_ledger_put(place, &counter))
		exit(1);
	apigouv_ledger_unlock();
	free(slots);
}

/* Microseconds that a request takes, all processes together. */
static double
measure(int live, int processes, double seconds)
{
	int64_t		spent = 0;
	long		n = 0;

	while (spent < seconds * 1e6)
	{
		int			each = live / 20 / processes + 80;
		int64_t		begun;

		fill(live);
		begun = boot_us();
		for (int p = 0; p < processes; p++)
		{
			if (processes > 1 && fork() != 0)
				continue;
			run(each);
			if (processes > 1)
				_exit(0);
		}
		while (wait(NULL) > 0)
			;
		spent += boot_us() - begun;
		n += (long) each * processes;
	}
	return (double) spent / n;
}

int
main(int argc, char **argv)
{
	static const int lives[] = {1, 250, 1000, 10000, 100000};
	double		seconds = argc > 1 ? atof(argv[1]) : 1;
	char		path[] = "/tmp/ledger_bench.XXXXXX";

	close(mkstemp(path));
	apigouv_ledger_path = path;
	printf("%10s %18s %18s\n", "live slots", "us by 1 process",
		   "us by 8 processes");
	for (int i = 0; i < 5; i++)
		printf("%10d %18.1f %18.1f\n", lives[i],
			   measure(lives[i], 1, seconds), measure(lives[i], 8, seconds));
	unlink(path);
	return 0;
}
