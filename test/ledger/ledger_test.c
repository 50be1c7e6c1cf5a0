/*-------------------------------------------------------------------------
 *
 * ledger_test.c
 *		Rules of the quota ledger, one by one.  Prints TAP.
 *
 * Each promise is tried both ways: what must wait waits, and what may go goes,
 * at the very microsecond where the one ends and the other begins.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

#include <sys/resource.h>

/* ----------------------------------------------------------------
 *		Ledgers that cannot be believed
 * ----------------------------------------------------------------
 */

/* Change the header in the file, and let its checksum be right. */
static void
edit_header(void (*edit) (ApigouvLedgerHeader * header))
{
	Copy		copy = read_ledger();
	ApigouvLedgerHeader edited;

	memcpy(&edited, copy.bytes, sizeof(edited));
	edit(&edited);
	edited.check = CHECK_OF(&edited, 0);
	write_ledger(&edited, sizeof(edited), 0, false);
	free(copy.bytes);
}

static void
other_version(ApigouvLedgerHeader * header)
{
	header->version++;
}

static void
other_boot(ApigouvLedgerHeader * header)
{
	header->boot_id[3] ^= 1;
}

static Copy old_ledger;			/* one second old, not yet full */

static void
remove_it(void)
{
	unlink(apigouv_ledger_path);
}

static void
empty_it(void)
{
	write_ledger("", 0, 0, true);
}

static void
cut_it(void)
{
	Copy		copy = read_ledger();

	write_ledger(copy.bytes, copy.len / 2, 0, true);
	free(copy.bytes);
}

static void
fill_with_garbage(void)
{
	char		garbage[100000];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char) (i * 7919 >> 3);
	write_ledger(garbage, sizeof(garbage), 0, false);
}

static void
zero_the_counters(void)
{
	static char zeros[APIGOUV_LEDGER_COUNTERS * COUNTER_BYTES];

	write_ledger(zeros, sizeof(zeros), COUNTERS_AT, false);
}

static void
change_version(void)
{
	edit_header(other_version);
}

static void
change_boot(void)
{
	edit_header(other_boot);
}

static void
turn_back_the_clock(void)
{
	clock_now -= 100 * SECOND;
}

/* cp -a to another name, later mv: same contents, other inode. */
static void
copy_it(void)
{
	Copy		copy = read_ledger();

	clock_now += 3 * SECOND;
	unlink(apigouv_ledger_path);
	write_ledger(copy.bytes, copy.len, 0, true);
	free(copy.bytes);
}

/* The same at once, so that the times agree: it is another inode. */
static void
copy_it_at_once(void)
{
	Copy		copy = read_ledger();
	char		other[310];

	snprintf(other, sizeof(other), "%s.copy", ledger_file);
	apigouv_ledger_path = other;
	write_ledger(copy.bytes, copy.len, 0, true);
	apigouv_ledger_path = ledger_file;
	rename(other, ledger_file);
	free(copy.bytes);
}

static void
put_back_in_place(void)
{
	clock_now += 2 * SECOND;
	write_ledger(old_ledger.bytes, old_ledger.len, 0, false);
}

/* At once, so that the times agree; but we have seen later changes. */
static void
put_back_at_once(void)
{
	write_ledger(old_ledger.bytes, old_ledger.len, 0, true);
}

/* Below the file system, which notices nothing. */
static void
swap_counters(void)
{
	Copy		copy = read_ledger();
	int64_t		kept = file_changed;
	int			page = (int) (COUNTERS_AT / 4096);

	write_ledger(copy.bytes + (page + 1) * 4096, 4096, page * 4096, false);
	write_ledger(copy.bytes + page * 4096, 4096, (page + 1) * 4096, false);
	file_changed = kept;
	free(copy.bytes);
}

static void
nothing(void)
{
}

typedef struct Damage
{
	const char *name;
	void		(*act) (void);
	bool		closes;
} Damage;

/* A damage comes when one limit is used up and another is not known yet. */
static void
test_damage(const Damage *damage)
{
	ApigouvQuotaLimits known = limit_of(1, 5, 10 * SECOND, 100);
	ApigouvQuotaLimits unknown = limit_of(2, 5, 10 * SECOND, 100);
	int64_t		from;
	int			n;

	new_ledger();
	clock_now += 10 * SECOND;
	if (burst(&known, 1) != 1)
		abort();
	old_ledger = read_ledger();
	clock_now += SECOND;
	n = burst(&known, 10);
	clock_now += SECOND;
	damage->act();
	from = clock_now;
	if (!damage->closes)
	{
		ok(n == 4 && burst(&known, 1) == 0 && burst(&unknown, 9) == 5 &&
		   (clock_now = from + 8100 * MS) && burst(&known, 9) == 1,
		   "%s: what was sent counts, and nothing else", damage->name);
		free(old_ledger.bytes);
		return;
	}
	ok(n == 4 && !request(&known) && answer.wait_us == 10100 * MS &&
	   answer.certain_us == 10100 * MS && !request(&unknown),
	   "%s: the window is taken for full", damage->name);
	clock_now = from + 10100 * MS - 1;
	n = burst(&known, 1) + burst(&unknown, 1);
	clock_now++;
	ok(n == 0 && burst(&known, 10) == 5 && burst(&unknown, 10) == 5,
	   "%s: and open after one window, neither sooner nor later", damage->name);
	free(old_ledger.bytes);
}

static void
test_damages(void)
{
	static const Damage damages[] = {
		{"nothing happened", nothing, false},
		{"missing", remove_it, true},
		{"empty", empty_it, true},
		{"cut in half", cut_it, true},
		{"garbage", fill_with_garbage, true},
		{"counters are zeros", zero_the_counters, true},
		{"counters changed places", swap_counters, true},
		{"another version", change_version, true},
		{"another boot of the machine", change_boot, true},
		{"the clock went backwards", turn_back_the_clock, true},
		{"a copy", copy_it, true},
		{"a copy that is made at once", copy_it_at_once, true},
		{"an older one, put back in place", put_back_in_place, true},
		{"an older one, put back at once", put_back_at_once, true},
	};
	ApigouvQuotaLimits limits = limit_of(1, 3, 10 * SECOND, 0);

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		test_damage(&damages[i]);
	(void) burst(&limits, 9);
	remove_it();
	ok(burst(&limits, 9) == 0 &&
	   apigouv_quota_forget() == APIGOUV_QUOTA_GRANTED &&
	   burst(&limits, 9) == 3, "to forget opens a ledger that is closed");
	ok(apigouv_quota_forget() == APIGOUV_QUOTA_GRANTED &&
	   burst(&limits, 9) == 3, "and one that is full");
}

/* The same on a real file system, with its own times: one wait for all. */
static void
test_real_copies(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 3, 3600 * SECOND, 0);
	struct timespec times[2];
	struct stat status;
	struct timespec pause = {2, 100000000};
	Copy		copy;
	char		other[310];
	int			before;
	bool		honest;

	real_machine = true;
	apigouv_ledger_clock = boot_us;
	unlink(apigouv_ledger_path);
	new_ledger();
	before = burst(&limits, 1);
	copy = read_ledger();
	nanosleep(&pause, NULL);
	honest = burst(&limits, 1) == 1;	/* time alone does nothing */
	write_ledger(copy.bytes, copy.len, 0, false);
	seen_at = 0;				/* as another process sees it */
	ok(before == 1 && honest && burst(&limits, 1) == 0,
	   "file system: contents put back in the same file are not believed");

	/* cp -a: a new file with the same time of modification */
	new_ledger();
	snprintf(other, sizeof(other), "%s.copy", ledger_file);
	apigouv_ledger_path = other;
	write_ledger(copy.bytes, copy.len, 0, true);
	apigouv_ledger_path = ledger_file;
	stat(ledger_file, &status);
	times[0] = status.st_atim;
	times[1] = status.st_mtim;
	utimensat(AT_FDCWD, other, times, 0);
	rename(other, ledger_file);
	seen_at = 0;
	is(burst(&limits, 1), 0, "file system: a copy is not believed");
	new_ledger();
	is(burst(&limits, 9), 3, "file system: an untouched one is");
	free(copy.bytes);
	real_machine = false;
	apigouv_ledger_clock = test_clock;
	unlink(apigouv_ledger_path);
	new_ledger();
}

/* A damaged slot counts from when it is found, once. */
static void
test_damaged_slots(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 5, 10 * SECOND, 0);
	char		zeros[5 * sizeof(ApigouvSlot)] = {0};
	int			n;

	new_ledger();
	(void) burst(&limits, 5);
	clock_now += 9 * SECOND;
	apigouv_quota_forecast(&limits, 1, &sent_at);
	write_ledger(zeros, sizeof(zeros), SLOTS_AT, false);
	file_changed -= 9 * SECOND; /* unnoticed by the file system */
	n = burst(&limits, 9);
	clock_now += 10 * SECOND - 1;
	n += burst(&limits, 9);
	clock_now++;
	ok(n == 0 && burst(&limits, 9) == 5,
	   "slots that were lost count from when that is seen, one window");
}

/* A time of change that differs because we were stopped is no copy's. */
static void
test_stopped(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 5, 10 * SECOND, 0);
	int			place;
	ApigouvCounter counter;

	new_ledger();
	(void) burst(&limits, 2);
	if (apigouv_ledger_lock() != APIGOUV_LEDGER_OK ||
		!apigouv_ledger_stamp() ||
		!apigouv_ledger_find(limits.limits[0].key, &place, &counter))
		abort();
	clock_now += 5 * SECOND;
	(void) apigouv_ledger_put(place, &counter);
	apigouv_ledger_unlock();
	is(burst(&limits, 9), 3,
	   "a process that was stopped between two writes closes nothing");
}

/* ----------------------------------------------------------------
 *		Slots
 * ----------------------------------------------------------------
 */

static void
test_window(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 3, 10 * SECOND, 250);
	int64_t		first = clock_now;

	new_ledger();
	for (int i = 0; i < 3; i++)
	{
		(void) request(&limits);
		clock_now += SECOND;
	}
	is(reserve(&limits), APIGOUV_QUOTA_WAIT, "the fourth of three waits");
	is(answer.wait_us, 7250 * MS, "until the first leaves, with the margin");
	is(answer.ask_us, LONGEST_ASK_US, "and looks again before");
	clock_now = first + 10250 * MS - 100;
	(void) reserve(&limits);
	is(answer.ask_us, SHORTEST_ASK_US, "though not all the time");
	clock_now = first + 10250 * MS - 1;
	is(reserve(&limits), APIGOUV_QUOTA_WAIT, "a microsecond before it waits");
	clock_now++;
	is(burst(&limits, 9), 1, "then one goes");

	new_ledger();
	limits = limit_of(1, 1, MS, 0);
	ok(burst(&limits, 9) == 1 && (clock_now += MS) && burst(&limits, 9) == 1,
	   "one per millisecond");
	limits = limit_of(2, 100000, 86400 * SECOND, 1000);
	is(burst(&limits, 3000), 3000, "a hundred thousand a day");
}

static void
test_settle(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 2, 10 * SECOND, 0);
	uint64_t	first;
	uint64_t	second;

	new_ledger();
	(void) reserve(&limits);
	first = slot;
	(void) reserve(&limits);
	second = slot;
	clock_now += 100 * SECOND;
	is(reserve(&limits), APIGOUV_QUOTA_WAIT,
	   "what was reserved counts however long it takes");
	is(settle(&limits, second), APIGOUV_QUOTA_GRANTED, "it is sent later");
	clock_now += SECOND;
	is(settle(&limits, first), APIGOUV_QUOTA_GRANTED, "in any order");
	(void) reserve(&limits);
	is(answer.wait_us, 9 * SECOND, "and counts from then");
	clock_now += 9 * SECOND;
	is(burst(&limits, 9), 1, "each for itself");

	new_ledger();
	(void) reserve(&limits);
	first = slot;
	(void) reserve(&limits);
	is(apigouv_quota_give_back(&limits, first), APIGOUV_QUOTA_GRANTED,
	   "a slot is given back");
	is(burst(&limits, 9), 1, "and is free at once");
	(void) settle(&limits, slot);
	(void) apigouv_quota_give_back(&limits, slot);
	is(burst(&limits, 9), 0, "what was sent cannot be given back");
	is(settle(&limits, first), APIGOUV_QUOTA_WAIT,
	   "what was given back cannot be sent");
}

/* A process that is stopped between asking and having sent. */
static void
test_slow_sending(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 1, SECOND, 0);
	uint64_t	held;

	new_ledger();
	(void) reserve(&limits);
	held = slot;
	is(apigouv_quota_may_send(&limits, held), APIGOUV_QUOTA_GRANTED,
	   "a request may be sent");
	process++;
	clock_now += 60 * SECOND;
	is(burst(&limits, 9), 0, "it counts as sent now until it has been");
	process--;
	is(apigouv_quota_settle(&limits, held, &sent_at), APIGOUV_QUOTA_GRANTED,
	   "that may be a minute later");
	is(sent_at, clock_now, "which is its date");
	clock_now += SECOND - 1;
	is(burst(&limits, 9), 0, "it counts for a window from then");
	clock_now++;
	is(burst(&limits, 9), 1, "and no longer");

	clock_now += SECOND;
	(void) reserve(&limits);
	(void) apigouv_quota_may_send(&limits, slot);
	dead[process++] = true;
	clock_now += 60 * SECOND;
	is(burst(&limits, 9), 0, "who died before it was dated may have sent");
	clock_now += SECOND;
	is(burst(&limits, 9), 1, "so that it counts for a window");

	new_ledger();
	(void) reserve(&limits);
	held = slot;
	(void) apigouv_quota_may_send(&limits, held);
	(void) apigouv_quota_close(&limits, 2 * SECOND);
	clock_now += SECOND;
	is(apigouv_quota_settle(&limits, held, &sent_at), APIGOUV_QUOTA_GRANTED,
	   "what was sent is dated though the limit was closed meanwhile");
	is(burst(&limits, 9), 0, "a closed limit stays closed");

	new_ledger();
	(void) reserve(&limits);
	held = slot;
	(void) apigouv_quota_may_send(&limits, held);
	remove_it();
	clock_now++;
	(void) apigouv_quota_forecast(&limits, 1, &sent_at);
	clock_now += SECOND - 1;
	is(apigouv_quota_settle(&limits, held, &sent_at), APIGOUV_QUOTA_GRANTED,
	   "what was sent is dated though the ledger was begun anew meanwhile");
	clock_now += SECOND - 1;
	is(burst(&limits, 9), 0, "so that the new one counts it");
	clock_now++;
	is(burst(&limits, 9), 1, "for a window");
}

/* Ids of a ledger that was begun anew are not those of the one before. */
static void
test_other_ledger(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 1, SECOND, 0);
	uint64_t	old;

	new_ledger();
	(void) reserve(&limits);
	old = slot;
	remove_it();
	clock_now++;
	(void) apigouv_quota_forecast(&limits, 1, &sent_at);
	is(settle(&limits, old), APIGOUV_QUOTA_WAIT,
	   "a slot of a ledger that is gone cannot be sent");
	clock_now += SECOND;
	process++;
	(void) reserve(&limits);
	is(settle(&limits, old), APIGOUV_QUOTA_WAIT,
	   "nor when another has reserved in the new one");
	is(settle(&limits, slot), APIGOUV_QUOTA_GRANTED, "which is that one's");
}

static void
test_orphans(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 2, 10 * SECOND, 0);
	uint64_t	orphan;

	new_ledger();
	(void) reserve(&limits);
	orphan = slot;
	dead[process++] = true;
	clock_now += 60 * SECOND;
	is(burst(&limits, 9), 1,
	   "who died with a slot may have sent: it counts from when it is found");
	clock_now += 10 * SECOND - 1;
	is(burst(&limits, 9), 0, "for a window");
	clock_now++;
	is(burst(&limits, 9), 2, "and no longer");

	new_ledger();
	(void) reserve(&limits);
	dead[process++] = true;
	clock_now += 60 * SECOND;
	(void) apigouv_quota_forecast(&limits, 1, &sent_at);
	is(burst(&limits, 9), 1, "who but looks may find it");

	new_ledger();
	(void) reserve(&limits);
	orphan = slot;
	dead[process] = true;		/* so it seems */
	clock_now += 2 * SECOND;
	(void) burst(&limits, 1);
	clock_now += 10 * SECOND;
	dead[process] = false;
	is(burst(&limits, 9), 2, "a slot that was taken for an orphan's is free");
	is(settle(&limits, orphan), APIGOUV_QUOTA_WAIT,
	   "and cannot be sent after that");
}

/* Of several limits all are taken or none. */
static void
test_several(void)
{
	ApigouvQuotaLimits narrow = limit_of(1, 2, SECOND, 0);
	ApigouvQuotaLimits wide = limit_of(2, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits both = narrow;

	add_limit(&both, 2, 3, 10 * SECOND, 0);
	new_ledger();
	is(burst(&both, 9), 2, "two limits: the narrow one keeps");
	is(answer.blocking, 0, "and is named");
	is(burst(&wide, 9), 1, "who waited took nothing of the wide one");
	clock_now += SECOND;
	is(burst(&both, 9), 0, "then the wide one keeps");
	is(answer.blocking, 1, "and is named");
	is(answer.wait_us, 9 * SECOND, "with its own time");
	is(burst(&narrow, 9), 2, "and the narrow one is free");
	(void) apigouv_quota_forget();
	(void) reserve(&both);
	(void) apigouv_quota_give_back(&both, slot);
	ok(burst(&narrow, 9) == 2 && burst(&wide, 9) == 3,
	   "a slot is given back in both");
}

/* New counters of one request whose places in the table are the same. */
static void
test_same_place(void)
{
	ApigouvQuotaLimits both = limit_of(7, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits first = both;

	add_limit(&both, 7 + APIGOUV_LEDGER_COUNTERS, 9, 10 * SECOND, 0);
	new_ledger();
	is(burst(&both, 1), 1, "two new limits with the same place");
	is(burst(&first, 9), 2, "count each for itself from the first request");
}

/* ----------------------------------------------------------------
 *		Limits that change
 * ----------------------------------------------------------------
 */

static void
test_other_limits(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 10, 10 * SECOND, 0);
	ApigouvQuotaLimits less = limit_of(1, 4, 10 * SECOND, 0);
	ApigouvQuotaLimits wider = limit_of(1, 45, 60 * SECOND, 0);
	ApigouvQuotaLimits more = limit_of(1, 1000, 10 * SECOND, 0);
	ApigouvQuotaLimits day = limit_of(1, 100, 86400 * SECOND, 0);
	Copy		copy;
	int			n = 0;

	new_ledger();
	is(burst(&limits, 3) + burst(&less, 9), 4,
	   "who is allowed less counts what others sent");
	is(burst(&limits, 99), 6, "while the others go on");
	clock_now += SECOND;
	(void) reserve(&less);
	is(answer.wait_us, 9 * SECOND, "it waits for the last six or more");
	is(burst(&more, 2000), 990, "a limit that grows is free at once");

	/* 60 requests in 60 seconds, of which there is room for less than 45 */
	new_ledger();
	for (int i = 0; i < 400; i++)
	{
		n += burst(&limits, 1);
		clock_now += SECOND;
	}
	is(n, 400, "one each second");
	is(burst(&wider, 9), 0, "a window that grows counts what it cannot know");
	clock_now += 49 * SECOND;
	is(burst(&wider, 9), 0, "as long as it cannot know");
	clock_now += SECOND;
	is(burst(&wider, 99), 36, "then it counts those that it knows");
	clock_now += 60 * SECOND;
	is(burst(&wider, 99), 45, "and is open");
	is(burst(&limits, 99), 0, "a window that shrinks counts what is in it");
	clock_now += 10 * SECOND;
	is(burst(&limits, 99), 10, "and no more");
	is(burst(&wider, 99), 0, "while the other remembers");
	clock_now += 60 * SECOND;
	is(burst(&wider, 99), 45, "for its whole length");

	/* nobody asks for the long window any more */
	(void) burst(&day, 1);
	clock_now += 3 * 86400 * SECOND;
	for (int i = 0; i < 5000; i++)
	{
		(void) burst(&limits, 1);
		clock_now += SECOND;
	}
	copy = read_ledger();
	ok(copy.len < (size_t) SLOTS_AT + 100000,
	   "what only a forgotten limit needs does not stay");
	free(copy.bytes);
}

/* A role's share beside the limit of all. */
static void
test_shares(void)
{
	ApigouvQuotaLimits all = limit_of(1, 10, 10 * SECOND, 0);
	ApigouvQuotaLimits batch = all;

	add_limit(&batch, 3, 6, 10 * SECOND, 0);
	new_ledger();
	is(burst(&batch, 99), 6, "a role has its share");
	is(answer.blocking, 1, "and is told that it is that");
	is(burst(&all, 99), 4, "the rest is for others");
	clock_now += 10 * SECOND;
	is(burst(&all, 99), 10, "who may take all");
	is(burst(&batch, 99), 0, "and then the share is none");
	is(answer.blocking, 0, "since it is a part");
}

/* ----------------------------------------------------------------
 *		The view, and tables that are full
 * ----------------------------------------------------------------
 */

static ApigouvQuotaRow rows[APIGOUV_LEDGER_COUNTERS];
static int	nrows;

static void
keep_row(const ApigouvQuotaRow * row, void *arg)
{
	rows[nrows++] = *row;
	(void) arg;
}

static void
list(void)
{
	nrows = 0;
	(void) apigouv_quota_list(keep_row, NULL);
}

static void
test_list(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 10, 10 * SECOND, 0);

	new_ledger();
	list();
	is(nrows, 0, "a new ledger has no counters");
	(void) burst(&limits, 4);
	list();
	ok(nrows == 1 && rows[0].allowed == 10 && rows[0].used == 4 &&
	   rows[0].left == 6 && rows[0].closed_us == 0 && rows[0].waiting == 0 &&
	   strcmp(rows[0].counter.name, "limit 1") == 0, "a counter is listed");
	(void) apigouv_quota_correct(&limits, sent_at, -1, 2, SECOND);
	list();
	is(rows[0].left, 2, "with what the upstream leaves");
	clock_now += SECOND;
	(void) burst(&limits, 9);
	(void) reserve(&limits);
	list();
	ok(rows[0].left == 0 && rows[0].waiting == 1, "with who waits for it");
	(void) apigouv_quota_close(&limits, 60 * SECOND);
	(void) apigouv_quota_correct(&limits, sent_at, 5, -1, -1);
	list();
	ok(rows[0].closed_us == 60 * SECOND && rows[0].allowed == 5,
	   "and what the upstream said");
	remove_it();
	list();
	is(nrows, 0, "none is left of a ledger that is gone");
}

static void
test_full_table(void)
{
	ApigouvQuotaLimits limits = limit_of(5, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits other;
	int			n = 0;

	new_ledger();
	for (int day = 0; day < 10; day++)
	{
		for (int i = 0; i < 100; i++)
		{
			other = limit_of(1000 + day * 100 + i, 3, 10 * SECOND, 0);
			n += burst(&other, 1);
			clock_now += 600 * SECOND;
		}
		n += burst(&limits, 1);
	}
	is(n, 1010, "counters come and go for ever and close nothing");
	list();
	ok(nrows < MAX_COUNTERS, "those that nobody used for long are gone");

	clock_now += 26 * 3600 * SECOND;
	n = burst(&limits, 9);
	for (int i = 0; i < MAX_COUNTERS - 2 && n == 3; i++)
	{
		other = limit_of(10000 + i, 3, 10 * SECOND, 0);
		if (burst(&other, 1) == 0)
			n = -i;
	}
	is(n, 3, "a table can be full of counters in use, after packing");
	is(burst(&limits, 9), 0, "where nothing was forgotten");
	for (int i = 0; i < 200; i++)
	{
		other = limit_of(20000 + i, 3, 10 * SECOND, 0);
		n += burst(&other, 1);
	}
	ok(n < 203, "one more than that begins anew");
	clock_now += 10 * SECOND;
	is(burst(&limits, 9), 3, "closed for a window");
}

/* Packing drops what is idle, and only that. */
static void
test_idle(void)
{
	ApigouvQuotaLimits limits = limit_of(5, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits day = limit_of(5, 3, 86400 * SECOND, 0);
	ApigouvQuotaLimits reserved = limit_of(6, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits closed = limit_of(7, 3, 10 * SECOND, 0);
	ApigouvQuotaLimits other;
	uint64_t	id;

	new_ledger();
	(void) reserve(&reserved);
	id = slot;
	(void) apigouv_quota_close(&closed, 48 * 3600 * SECOND);
	for (int i = 0; i < MAX_COUNTERS - 3; i++)
	{
		other = limit_of(1000 + i, 3, 10 * SECOND, 0);
		(void) burst(&other, 1);
	}
	clock_now += 26 * 3600 * SECOND;
	(void) burst(&limits, 3);
	clock_now += 3600 * SECOND;
	for (int i = 0; i < 10; i++)
	{
		other = limit_of(2000 + i, 3, 10 * SECOND, 0);
		(void) burst(&other, 1);
	}
	list();
	ok(nrows < 20, "a full table is packed");
	is(burst(&day, 9), 0, "a counter of an hour ago is there, for a day's sake");
	is(settle(&reserved, id), APIGOUV_QUOTA_GRANTED, "and what is reserved");
	is(burst(&closed, 9), 0, "and what is closed");
}

/* A limit that changes all the time does not let the file grow for ever. */
static void
test_growth(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 3, 10 * SECOND, 0);
	Copy		copy;
	int			sent = 0;
	int			steps = 0;

	new_ledger();
	for (int i = 0; i < 40; i++)
	{
		limits = limit_of(i, 100000, 10 * SECOND, 0);
		sent += burst(&limits, 2);
		limits = limit_of(i, 1, 10 * SECOND, 0);
		clock_now += 3600 * SECOND;
	}
	limits = limit_of(39, 2, 7200 * SECOND, 0);
	is(sent, 80, "limits of 100000, one after the other, are served");
	copy = read_ledger();
	ok(copy.len < 200000000, "the file has %d MB", (int) (copy.len >> 20));
	free(copy.bytes);
	for (int i = 0; i < 39; i++)
	{
		limits = limit_of(i, 2, 10 * SECOND, 0);
		sent += burst(&limits, 1);
	}
	clock_now += 26 * 3600 * SECOND;
	for (int i = 100; i < 600; i++)
	{
		limits = limit_of(i, 2, 10 * SECOND, 0);
		sent += burst(&limits, 1);
		clock_now += 600 * SECOND;
	}
	copy = read_ledger();
	ok(sent == 619 && copy.len < 10000000,
	   "and %d MB when they are done with", (int) (copy.len >> 20));
	free(copy.bytes);

	/* nine areas are left behind for each that is used */
	new_ledger();
	sent = 0;
	for (int i = 1000; i < 100000; i += i / 10)
	{
		limits = limit_of(1, i, 3600 * SECOND, 0);
		sent += 10 - burst(&limits, 10);
		steps++;
	}
	copy = read_ledger();
	ok(sent == 0 && copy.len < 20000000,
	   "a limit that grows step by step: %d MB", (int) (copy.len >> 20));
	limits.limits[0].requests = 10 * steps + 1;
	is(burst(&limits, 9), 1, "and nothing is lost");
	free(copy.bytes);
}

/* ----------------------------------------------------------------
 *		A disk without room, a system without descriptors
 * ----------------------------------------------------------------
 */

static void
test_no_room(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 3, 10 * SECOND, 0);
	int			used = -1;
	bool		always_told = true;

	add_limit(&limits, 2, 3, 10 * SECOND, 0);
	new_ledger();
	(void) burst(&limits, 1);
	for (int write = 1; used != 2 && write < 20; write++)
	{
		clock_now += 10 * SECOND;
		(void) burst(&limits, 1);
		writes = 0;
		failing_write = write;
		if (reserve(&limits) == APIGOUV_QUOTA_GRANTED)
			used = 2;
		else
		{
			always_told &= strstr(apigouv_ledger_error(), "No space") != NULL;
			failing_write = -1;
			if (burst(&limits, 9) != 2)
				break;
		}
	}
	failing_write = -1;
	is(used, 2, "a write that fails leaves no slot behind, whichever it is");
	ok(always_told, "and is told");
}

static void
test_processes(void)
{
	int			child = fork();
	int			status;
	uint64_t	start;
	struct rlimit files;
	struct rlimit none;

	real_machine = true;
	if (child == 0)
	{
		pause();
		_exit(0);
	}
	start = start_of(child);
	ok(apigouv_ledger_runs(child, start), "a process that runs is alive");
	ok(!apigouv_ledger_runs(child, start + 1), "another one of its number is not");
	ok(apigouv_ledger_runs(child, UNKNOWN_START), "in doubt it is");
	getrlimit(RLIMIT_NOFILE, &files);
	none = files;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	ok(apigouv_ledger_runs(child, start), "and without descriptors to look");
	ok(apigouv_quota_leave(NULL) == APIGOUV_QUOTA_BROKEN &&
	   strstr(apigouv_ledger_error(), "Too many open files") != NULL,
	   "without them, the ledger says so");
	setrlimit(RLIMIT_NOFILE, &files);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	ok(!apigouv_ledger_runs(child, start), "one that was killed is not");
	ok(start_of(getpid()) != 0 && start_of(getpid()) == apigouv_ledger_start(),
	   "we are");
	real_machine = false;
}

int
main(void)
{
	begin(true);
	test_damages();
	test_real_copies();
	test_damaged_slots();
	test_stopped();
	test_window();
	test_settle();
	test_slow_sending();
	test_other_ledger();
	test_orphans();
	test_several();
	test_same_place();
	test_other_limits();
	test_shares();
	test_list();
	test_full_table();
	test_idle();
	test_growth();
	test_no_room();
	test_processes();
	return end();
}
