/*-------------------------------------------------------------------------
 *
 * harness.h
 *		What the tests of the quota ledger share: TAP, a machine of our own.
 *
 * The ledger's sources are included, and what they ask of the system is put
 * under control: the clocks, the time of the file's last change, the number
 * of the process, and every write, which can fail or be the last one of its
 * process.  So a day passes in no time, one program plays many processes, and
 * nothing depends on luck.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEDGER_HARNESS_H
#define LEDGER_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND		INT64_C(1000000)
#define MS			INT64_C(1000)

/* Wall clock of the machine when its boot clock is 0. */
#define EPOCH		INT64_C(1700000000000000)

static bool real_machine;		/* nothing below is in force */
static int64_t clock_now = 1000 * SECOND;	/* boot clock, us */
static int64_t file_changed;	/* ctime of the ledger; wall clock, us */
static int	process = 100;		/* who we are */
static bool dead[100000];		/* processes */
static int	writes;				/* so far */
static int	last_write = -1;	/* of its process; cut to a page */
static int	failing_write = -1;
static jmp_buf death;			/* where the others go on */

static int64_t
test_clock(void)
{
	return clock_now;
}

static int
test_clock_gettime(clockid_t clock, struct timespec *time)
{
	int64_t		us = EPOCH + clock_now;

	if (real_machine || clock != CLOCK_REALTIME)
		return clock_gettime(clock, time);
	time->tv_sec = us / SECOND;
	time->tv_nsec = us % SECOND * 1000;
	return 0;
}

static int
test_fstat(int file, struct stat *status)
{
	int			result = fstat(file, status);

	if (!real_machine)
	{
		status->st_ctim.tv_sec = file_changed / SECOND;
		status->st_ctim.tv_nsec = file_changed % SECOND * 1000;
	}
	return result;
}

static ssize_t
test_pwrite(int file, const void *data, size_t len, off_t at)
{
	if (real_machine)
		return pwrite(file, data, len, at);
	writes++;
	if (writes == failing_write)
	{
		errno = ENOSPC;
		return -1;
	}
	file_changed = EPOCH + clock_now;
	if (writes == last_write)
	{
		if (len > 4096 && pwrite(file, data, len / 4096 / 2 * 4096, at) < 0)
			abort();
		longjmp(death, 1);
	}
	return pwrite(file, data, len, at);
}

static int
test_ftruncate(int file, off_t len)
{
	file_changed = EPOCH + clock_now;
	return ftruncate(file, len);
}

static int
test_rename(const char *from, const char *to)
{
	file_changed = EPOCH + clock_now;
	return rename(from, to);
}

static pid_t
test_getpid(void)
{
	return real_machine ? getpid() : process;
}

#define clock_gettime	test_clock_gettime
#define fstat			test_fstat
#define pwrite			test_pwrite
#define ftruncate		test_ftruncate
#define rename			test_rename
#define getpid			test_getpid
#include "../../src/clock.c"
#include "../../src/ledger.c"

static bool
test_is_alive(int32_t owner, uint64_t owner_start)
{
	return real_machine ? apigouv_ledger_is_alive(owner, owner_start)
		: !dead[owner];
}

#define apigouv_ledger_is_alive test_is_alive
#include "../../src/quota.c"
#undef apigouv_ledger_is_alive
#undef clock_gettime
#undef fstat
#undef pwrite
#undef ftruncate
#undef rename
#undef getpid

/* ----------------------------------------------------------------
 *		TAP
 * ----------------------------------------------------------------
 */

static int	tests;
static int	failures;

static void
ok(bool right, const char *format,...)
{
	va_list		args;

	printf("%sok %d - ", right ? "" : "not ", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	failures += !right;
}

static void
is(int64_t got, int64_t wanted, const char *name)
{
	ok(got == wanted, "%s", name);
	if (got != wanted)
		printf("#      got: %lld\n#   wanted: %lld\n", (long long) got,
			   (long long) wanted);
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static ApigouvQuotaAnswer answer;	/* the latest */
static uint64_t slot;			/* the latest */
static int64_t sent_at;			/* the latest */

/* A limit more; two limits with one key share a counter. */
static void
add_limit(ApigouvQuotaLimits * limits, uint64_t key, int requests,
		  int64_t window_us, int margin_ms)
{
	ApigouvQuotaLimit *limit = &limits->limits[limits->n++];

	memset(limit, 0, sizeof(*limit));
	limit->key[0] = key;
	limit->key[1] = ~key;
	limit->requests = requests;
	limit->window_us = window_us;
	limit->margin_ms = margin_ms;
	limit->is_group = limits->n == 1;
	snprintf(limit->name, sizeof(limit->name), "limit %d", (int) key);
	limits->set = limits->set * 31 + key;
}

static ApigouvQuotaLimits
limit_of(uint64_t key, int requests, int64_t window_us, int margin_ms)
{
	ApigouvQuotaLimits limits;

	memset(&limits, 0, sizeof(limits));
	add_limit(&limits, key, requests, window_us, margin_ms);
	return limits;
}

static ApigouvGrant
reserve(const ApigouvQuotaLimits * limits)
{
	ApigouvGrant result;
	int			tries = 0;

	do
		result = apigouv_quota_reserve(limits, &slot, &answer);
	while (result == APIGOUV_QUOTA_BUSY && ++tries < 10);
	return result;
}

/* Send at once: may it be, and date it. */
static ApigouvGrant
settle(const ApigouvQuotaLimits * limits, uint64_t id)
{
	ApigouvGrant result = apigouv_quota_may_send(limits, id);

	if (result != APIGOUV_QUOTA_GRANTED)
		return result;
	return apigouv_quota_settle(limits, id, &sent_at);
}

/* Reserve and send: could it be? */
static bool
request(const ApigouvQuotaLimits * limits)
{
	return reserve(limits) == APIGOUV_QUOTA_GRANTED &&
		settle(limits, slot) == APIGOUV_QUOTA_GRANTED;
}

/* Requests that can be sent now, one after the other; this many at most. */
static int
burst(const ApigouvQuotaLimits * limits, int most)
{
	int			n = 0;

	while (n < most && request(limits))
		n++;
	(void) apigouv_quota_leave(NULL);
	return n;
}

/* The same, by a process that dies with its last write.  Did it? */
static bool
dies(int write, void (*act) (const ApigouvQuotaLimits * limits),
	 const ApigouvQuotaLimits * limits)
{
	writes = 0;
	last_write = write;
	if (setjmp(death) == 0)
	{
		act(limits);
		last_write = -1;
		return false;
	}
	last_write = -1;
	dead[process] = true;
	for (int file = 3; file < 16; file++)
		close(file);
	fd = -1;
	return true;
}

/* ----------------------------------------------------------------
 *		The file
 * ----------------------------------------------------------------
 */

typedef struct Copy
{
	unsigned char *bytes;
	size_t		len;
} Copy;

static Copy
read_ledger(void)
{
	FILE	   *file = fopen(apigouv_ledger_path, "rb");
	Copy		copy;

	fseek(file, 0, SEEK_END);
	copy.len = ftell(file);
	rewind(file);
	copy.bytes = malloc(copy.len + 1);
	if (fread(copy.bytes, 1, copy.len, file) != copy.len)
		abort();
	fclose(file);
	return copy;
}

/* Write into the ledger's own file, as any program can. */
static void
write_ledger(const void *bytes, size_t len, size_t at, bool cut)
{
	int			file = open(apigouv_ledger_path, O_RDWR | O_CREAT, 0600);

	if (file < 0 || (cut && ftruncate(file, 0) != 0) ||
		pwrite(file, bytes, len, at) != (ssize_t) len)
		abort();
	close(file);
	file_changed = EPOCH + clock_now;
}

/* A ledger of which all is known: nothing was sent. */
static void
new_ledger(void)
{
	if (apigouv_quota_forget() != APIGOUV_QUOTA_GRANTED)
		abort();
}

static char directory[256];
static char ledger_file[300];

/* on_disk: on a file system for files, not in memory, if there is one. */
static void
begin(bool on_disk)
{
	const char *parent = getenv("TMPDIR");

	if (!on_disk && access("/dev/shm", W_OK) == 0)
		parent = "/dev/shm";
	snprintf(directory, sizeof(directory), "%s/apigouv_ledger.XXXXXX",
			 parent ? parent : "/tmp");
	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(ledger_file, sizeof(ledger_file), "%s/ledger", directory);
	apigouv_ledger_path = ledger_file;
	apigouv_ledger_clock = test_clock;
	new_ledger();
}

static int
end(void)
{
	unlink(ledger_file);
	ok(rmdir(directory) == 0, "nothing is left beside the ledger");
	printf("1..%d\n", tests);
	return failures > 0;
}

#endif							/* LEDGER_HARNESS_H */
