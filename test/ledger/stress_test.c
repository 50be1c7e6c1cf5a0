/*-------------------------------------------------------------------------
 *
 * stress_test.c
 *		The quota ledger under damage, deaths and a crowd.  Prints TAP.
 *
 * Usage: stress_test [SEED [ROUNDS]].  The crowd runs on the real machine and
 * clock; whatever it measures is printed, what it may not do is tested.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

static unsigned long seed = 1;

/* A number below n. */
static int64_t
any(int64_t n)
{
	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	return (int64_t) ((seed >> 20) % (unsigned long) n);
}

/* ----------------------------------------------------------------
 *		Damage
 * ----------------------------------------------------------------
 */

#define PAGE		4096
#define OLD_COPIES	3

/* Contents of some seconds ago; the ledger has been written to since. */
static Copy old[OLD_COPIES];

/*
 * One damage at random; returns what it is.  *quiet: the file system does not
 * notice, as when a disk loses or mixes up blocks.  Older contents are only
 * ever put back through the file system: below it, nothing could tell.
 */
static const char *
damage(bool *quiet)
{
	Copy		copy = read_ledger();
	int64_t		kept = file_changed;
	size_t		pages = copy.len / PAGE;
	size_t		a = any(pages) * PAGE;
	size_t		b = any(pages) * PAGE;
	const Copy *from = &old[any(OLD_COPIES)];
	static char zeros[16 * PAGE];
	const char *name = "";

	*quiet = any(2) == 0;
	switch (any(9))
	{
		case 0:
			name = "flipped bits";
			for (int i = any(20); i >= 0; i--)
				copy.bytes[any(any(2) ? copy.len : 300000)] ^= 1 << any(8);
			write_ledger(copy.bytes, copy.len, 0, false);
			break;
		case 1:
			name = "block of zeros";
			write_ledger(zeros, 512 << any(8), a, false);
			break;
		case 2:
			name = "page of zeros";
			write_ledger(zeros, PAGE, a, false);
			break;
		case 3:
			name = "cut";
			write_ledger(copy.bytes, any(copy.len), 0, true);
			break;
		case 4:
			name = "longer";
			write_ledger(zeros, sizeof(zeros), copy.len, false);
			break;
		case 5:
			name = "swapped pages";
			write_ledger(copy.bytes + a, PAGE, b, false);
			write_ledger(copy.bytes + b, PAGE, a, false);
			break;
		case 6:
			name = "older page";
			if (a + PAGE <= from->len)
				write_ledger(from->bytes + a, PAGE, a, false);
			*quiet = false;
			break;
		case 7:
			name = "older file";
			write_ledger(from->bytes, from->len, 0, any(2));
			*quiet = false;
			break;
		case 8:
			name = "garbage";
			for (int i = 0; i < 100; i++)
				copy.bytes[a + i] = any(256);
			write_ledger(copy.bytes, copy.len, 0, false);
			break;
	}
	free(copy.bytes);
	if (*quiet)
		file_changed = kept;
	return name;
}

#define LIMITS	6

static ApigouvQuotaLimits limits[LIMITS];

/*
 * Fill a new ledger: the first limit has slots on two pages.  Copies are kept
 * of when it was not full.
 */
static Copy
full_ledger(void)
{
	new_ledger();
	for (int i = 0; i < LIMITS; i++)
		limits[i] = limit_of(any(INT32_MAX), i == 0 ? 140 : i,
							 100 * SECOND, 0);
	for (int i = 0; i < OLD_COPIES; i++)
	{
		for (int k = 0; k < LIMITS; k++)
			(void) burst(&limits[k], any(limits[k].limits[0].requests));
		free(old[i].bytes);
		old[i] = read_ledger();
		clock_now += 1000;
	}
	for (int k = 0; k < LIMITS; k++)
		(void) burst(&limits[k], 1000);
	return read_ledger();
}

/* Is a damaged ledger wrong?  Says what it does.  *closed: it was noticed. */
static const char *
misbehaves(bool *closed)
{
	int64_t		wait_us;
	int			k = any(LIMITS);

	for (int i = 0; i < LIMITS; i++)
	{
		if (burst(&limits[i], 1) > 0)
			return "opened a limit";
	}
	clock_now += 97 * SECOND;
	(void) apigouv_quota_forecast(&limits[k], 1, &wait_us);
	*closed = wait_us > 0;
	clock_now += 10 * SECOND;
	if (burst(&limits[k], 1000) != limits[k].limits[0].requests)
		return "left a limit closed";
	return NULL;
}

static void
test_damage(int rounds)
{
	Copy		full = {NULL, 0};
	int64_t		changed = 0;
	int64_t		filled = 0;
	int			noticed = 0;
	int			wrong = 0;
	unsigned long begun = seed;

	for (int round = 0; round < rounds; round++)
	{
		const char *name;
		const char *what;
		bool		quiet;
		bool		closed = false;

		if (round % 100 == 0)
		{
			free(full.bytes);
			full = full_ledger();
			changed = file_changed;
			filled = clock_now;
		}
		clock_now = filled;
		write_ledger(full.bytes, full.len, 0, true);
		file_changed = changed;
		/* half of the time by one that has not seen the latest change */
		seen_at = any(2) ? filled : 0;
		clock_now += 3 * SECOND;
		name = damage(&quiet);
		clock_now += any(5) * SECOND;
		what = misbehaves(&closed);
		noticed += closed;
		if (what == NULL)
			continue;
		printf("# round %d: %s%s %s\n", round, name,
			   quiet ? ", unnoticed by the file system," : "", what);
		wrong++;
	}
	free(full.bytes);
	ok(wrong == 0,
	   "%d damages opened no limit, and closed none for long (seed %lu)",
	   rounds, begun);
	ok(noticed > rounds / 4, "%d of them were noticed", noticed);
}

/* ----------------------------------------------------------------
 *		Deaths
 * ----------------------------------------------------------------
 */

static void
reserve_one(const ApigouvQuotaLimits * both)
{
	(void) apigouv_quota_reserve(both, &slot, &answer);
}

static void
settle_one(const ApigouvQuotaLimits * both)
{
	(void) apigouv_quota_settle(both, slot, &sent_at);
}

static void
give_back_one(const ApigouvQuotaLimits * both)
{
	(void) apigouv_quota_give_back(both, slot);
}

static void
close_it(const ApigouvQuotaLimits * both)
{
	(void) apigouv_quota_close(both, 1);
}

static void
correct_it(const ApigouvQuotaLimits * both)
{
	(void) apigouv_quota_correct(both, sent_at, 90, 90, SECOND);
}

static void
forget_it(const ApigouvQuotaLimits * both)
{
	(void) both;
	(void) apigouv_quota_forget();
}

static void
pack_it(const ApigouvQuotaLimits * both)
{
	(void) both;
	if (apigouv_ledger_lock() == APIGOUV_LEDGER_OK && pack())
		apigouv_ledger_unlock();
}

typedef struct Act
{
	const char *name;
	void		(*act) (const ApigouvQuotaLimits * limits);
	bool		needs_slot;
} Act;

/*
 * Die at each write of an act, with so many requests sent before; returns the
 * number of writes.  The limits allow 100, and have slots that have left the
 * window, so that some are moved.
 */
static int
die_everywhere(const Act *act, int before, bool make_room)
{
	ApigouvQuotaLimits both = limit_of(1, 100, 100 * SECOND, 0);
	int			write = 0;
	bool		died = true;
	bool		right = true;

	add_limit(&both, 2, 100, 100 * SECOND, 0);
	while (died)
	{
		int			expired = make_room ? 157 - before - act->needs_slot : 0;
		int			after;

		new_ledger();
		process++;
		for (int sent = 0; sent < expired; sent += 50)
		{
			(void) burst(&both, expired - sent < 50 ? expired - sent : 50);
			clock_now += 100 * SECOND;
		}
		(void) burst(&both, before);
		process++;
		if (act->needs_slot)
			(void) reserve(&both);
		died = dies(++write, act->act, &both);
		dead[process++] = true;
		clock_now += 2 * SECOND;
		/* what was sent still counts, to the last one */
		after = burst(&both, 1000);
		right &= after <= 100 - before || act->act == forget_it;
		/* and nothing counts for ever */
		clock_now += 101 * SECOND;
		after = burst(&both, 1000);
		right &= after == 100 || after == 90;
		if (!right)
		{
			printf("# %s, write %d: %d\n", act->name, write, after);
			break;
		}
	}
	ok(right, "%s: dead at any of %d writes, after %d requests%s", act->name,
	   write - 1, before, make_room ? ", with slots to move" : "");
	return write - 1;
}

static void
test_deaths(void)
{
	static const Act acts[] = {
		{"reserve", reserve_one, false},
		{"settle", settle_one, true},
		{"give back", give_back_one, true},
		{"close", close_it, false},
		{"correct", correct_it, false},
		{"forget", forget_it, false},
		{"pack", pack_it, false},
	};
	int			writes_made = 0;
	char		path[310];

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
	{
		writes_made += die_everywhere(&acts[i], 0, false);
		writes_made += die_everywhere(&acts[i], 40, true);
		writes_made += die_everywhere(&acts[i], 100, true);
	}
	ok(writes_made > 100, "%d deaths", writes_made);
	snprintf(path, sizeof(path), "%s.new", ledger_file);
	unlink(path);				/* of a packing that was cut short */
}

/* ----------------------------------------------------------------
 *		The real machine
 * ----------------------------------------------------------------
 */

#define CHILDREN	8
#define MAX_SENT	20000

typedef struct Journal
{
	int64_t		at[MAX_SENT];
	int			n;
	int64_t		worst_wait;
	int			failed;
} Journal;

static Journal *journals;

static void
sleep_us(int64_t us)
{
	struct timespec time = {us / SECOND, us % SECOND * 1000};

	(void) nanosleep(&time, NULL);
}

/* Send as much as may be until a moment. */
static void
send_all(const ApigouvQuotaLimits * mine, int64_t end, Journal * journal)
{
	int64_t		since = boot_us();

	while (boot_us() < end)
	{
		ApigouvGrant result = apigouv_quota_reserve(mine, &slot,
														  &answer);

		if (result == APIGOUV_QUOTA_WAIT)
			sleep_us(answer.ask_us);
		else if (result == APIGOUV_QUOTA_BUSY)
			sleep_us(300);
		else if (result == APIGOUV_QUOTA_BROKEN)
			journal->failed++;
		if (result != APIGOUV_QUOTA_GRANTED)
			continue;
		while ((result = apigouv_quota_settle(mine, slot, &sent_at)) ==
			   APIGOUV_QUOTA_BUSY)
			sleep_us(50);
		if (result != APIGOUV_QUOTA_GRANTED)
			journal->failed++;
		else if (journal->n < MAX_SENT)
		{
			journal->at[journal->n] = sent_at;
			journal->n++;
		}
		if (sent_at - since > journal->worst_wait)
			journal->worst_wait = sent_at - since;
		since = sent_at;
	}
}

static int
compare(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* Most requests that some journals have in any window of a length. */
static int
fullest(int first, int step, int64_t window_us, int *total)
{
	static int64_t all[CHILDREN * MAX_SENT];
	int			n = 0;
	int			most = 0;
	int			from = 0;

	for (int i = first; i < CHILDREN; i += step)
	{
		memcpy(&all[n], journals[i].at, journals[i].n * sizeof(int64_t));
		n += journals[i].n;
	}
	qsort(all, n, sizeof(int64_t), compare);
	for (int i = 0; i < n; i++)
	{
		while (all[i] - all[from] >= window_us)
			from++;
		most = i - from + 1 > most ? i - from + 1 : most;
	}
	*total = n;
	return most;
}

static void
start_crowd(int64_t us, pid_t * children)
{
	int64_t		end = boot_us() + us;

	memset(journals, 0, CHILDREN * sizeof(Journal));
	for (int i = 0; i < CHILDREN; i++)
	{
		children[i] = fork();
		if (children[i] == 0)
		{
			send_all(&limits[i % 2], end, &journals[i]);
			_exit(0);
		}
	}
}

static void
tell_fairness(int first, int step, int64_t window_us, int requests,
			  int64_t us)
{
	int			least = INT32_MAX;
	int			most = 0;
	int			total;
	int64_t		wait = 0;
	int64_t		possible = requests * (1 + (us - 1) / window_us);

	(void) fullest(first, step, window_us, &total);
	for (int i = first; i < CHILDREN; i += step)
	{
		least = journals[i].n < least ? journals[i].n : least;
		most = journals[i].n > most ? journals[i].n : most;
		wait = journals[i].worst_wait > wait ? journals[i].worst_wait : wait;
	}
	printf("# %d per %d ms: %d sent of %lld (%.1f %%), %d to %d each, "
		   "longest wait %.1f ms\n", requests, (int) (window_us / 1000), total,
		   (long long) possible, 100.0 * total / possible, least, most,
		   wait / 1000.0);
}

/* Two groups of an API, four processes each, and their common address. */
static void
test_crowd(int ip_requests, const char *name)
{
	pid_t		children[CHILDREN];
	int			failed = 0;
	int			n;

	limits[0] = limit_of(1, 20, 200 * MS, 0);
	add_limit(&limits[0], 3, ip_requests, SECOND, 0);
	limits[1] = limit_of(2, 250, SECOND, 0);
	add_limit(&limits[1], 3, ip_requests, SECOND, 0);
	new_ledger();
	start_crowd(2200 * MS, children);
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < CHILDREN; i++)
		failed += journals[i].failed;
	tell_fairness(0, 2, 200 * MS, 20, 2200 * MS);
	tell_fairness(1, 2, SECOND, 250, 2200 * MS);
	tell_fairness(0, 1, SECOND, ip_requests, 2200 * MS);
	is(failed, 0, name);
	ok(fullest(0, 2, 200 * MS, &n) <= 20 && n > 20,
	   "no window of 200 ms has more than 20 of %d", n);
	ok(fullest(1, 2, SECOND, &n) <= 250 && n > 20,
	   "no window of a second has more than 250 of %d", n);
	ok(fullest(0, 1, SECOND, &n) <= ip_requests && n > 300,
	   "nor more than %d of all %d", ip_requests, n);
}

/* Processes that are killed all the time. */
static void
test_killed(void)
{
	pid_t		children[CHILDREN];
	int64_t		end = boot_us() + 2 * SECOND;
	int			killed = 0;
	int			n;

	limits[0] = limit_of(1, 100, 200 * MS, 0);
	limits[1] = limits[0];
	add_limit(&limits[1], 2, 1000, SECOND, 0);
	new_ledger();
	start_crowd(2 * SECOND, children);
	while (boot_us() < end)
	{
		int			i = any(CHILDREN);

		sleep_us(any(5000));
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
		killed++;
		children[i] = fork();
		if (children[i] == 0)
		{
			send_all(&limits[i % 2], end, &journals[i]);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	ok(fullest(0, 1, 200 * MS, &n) <= 100 && n > 100,
	   "%d processes killed: no window has more than 100 of %d", killed, n);
	/* orphans are looked at after a second, and then count for a window */
	(void) burst(&limits[1], 1);
	sleep_us(SUSPECT_US);
	(void) burst(&limits[1], 1);
	sleep_us(SECOND);
	is(burst(&limits[1], 1000), 100, "and no slot is lost in the end");
}

int
main(int argc, char **argv)
{
	int			rounds = argc > 2 ? atoi(argv[2]) : 600;

	seed = argc > 1 ? strtoul(argv[1], NULL, 10) : (unsigned long) time(NULL);
	begin(false);
	test_damage(rounds);
	test_deaths();
	journals = mmap(NULL, CHILDREN * sizeof(Journal), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (journals == MAP_FAILED)
		abort();
	real_machine = true;
	apigouv_ledger_clock = boot_us;
	unlink(apigouv_ledger_path);
	test_crowd(100000, "two groups, with room in the address");
	test_crowd(150, "two groups that share a narrow address");
	test_killed();
	for (int i = 0; i < OLD_COPIES; i++)
		free(old[i].bytes);
	return end();
}
