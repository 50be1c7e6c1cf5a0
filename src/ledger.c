/*-------------------------------------------------------------------------
 *
 * ledger.c
 *		The file of the quota ledger: locked, validated, read and written.
 *
 * One file for the whole cluster, so that all databases, servers and backends
 * count in the same place, with nothing preloaded; it is no table, because a
 * query that is rolled back has sent its requests all the same, and because a
 * standby and a read-only transaction send requests too.
 *
 * Locking: flock on the file, exclusive, for one read and one write and never
 * across a wait.  The kernel releases it if the process dies.  It is asked for
 * without blocking: a blocked flock is restarted by the server's signal
 * handlers and would not see a cancel.
 *
 * A wrong ledger must close the gate, never open it.  The history is taken as
 * unknown, so that every window counts as full for its length, when the file
 * is missing, damaged or of another boot of the machine, when the boot clock
 * is behind the last change, or when the file is a copy.  A copy is known by
 * its inode, and by the time of the inode's last change, which nobody can set:
 * it must agree with the moment of the last write that the file itself tells.
 * A restored backup and a clone fail the first, however soon after a write
 * they were made; contents put back in place fail the second.  Checksums cover
 * a thing's place, so that pages that changed places fail as well.  What none
 * of this sees: a snapshot of the disk put back under the running machine,
 * and parts of the file put back within two seconds of their writing.
 *
 * Crashes: what is written at once is no larger than a page or is safe when
 * cut, and the order is header, slots, counter.  A slot that is written and
 * not yet counted does not exist; nothing was sent for it.  After a crash of
 * the machine the boot is another one.
 *
 * Packing: counters and slots are only ever added at the end.  When the file
 * has grown or has no room for a counter, what is still needed is copied to a
 * file that takes its place by rename.
 *
 * Layout: header, waiters, a hash table of counters, then their slots.
 *
 * Never raises and allocates nothing but buffers by realloc, so that it can
 * be called inside libcurl's callbacks.  Not here: what the numbers mean
 * (quota.c).
 *
 *-------------------------------------------------------------------------
 */
#include "ledger.h"
#include "messages.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC			"APIGOUVQ"
#define VERSION			1
#define HEADER_BYTES	512
#define WAITERS_AT		4096
#define WAITER_BYTES	((int64_t) sizeof(ApigouvWaiter))
#define COUNTERS_AT		(WAITERS_AT + APIGOUV_LEDGER_WAITERS * WAITER_BYTES)
#define COUNTER_BYTES	512
#define SLOTS_AT		(COUNTERS_AT + \
						 APIGOUV_LEDGER_COUNTERS * (int64_t) COUNTER_BYTES)

/* A ledger that has grown to that, or to the double of its size when it was
 * packed last, or that has so many counters, is packed. */
#define PACK_BYTES		(8 * 1024 * 1024)
#define MAX_COUNTERS	(APIGOUV_LEDGER_COUNTERS * 3 / 4)

/* A counter that nobody used for so long can go: longer than any window. */
#define IDLE_US			(INT64_C(25) * 3600 * 1000000)

/* The file's time of change may differ that much from what it tells, in us. */
#define CTIME_TOLERANCE_US 2000000

/* A process that was seen to run is not looked at again for so long. */
#define TRUST_US		250000

#define NBUFFERS		8

#define OPEN_FLAGS		(O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW)

const char *apigouv_ledger_path = "pg_stat/apigouv_fdw.ledger";
unsigned	apigouv_ledger_mode = 0600;

static int	fd = -1;			/* while locked */
static ApigouvLedgerHeader header;	/* while locked */
static int64_t now;				/* when it was locked; boot clock, us */
static bool written;			/* since it was locked */
static int64_t seen_at;			/* latest change that this process knows of */
static int	generation = 0;
static char error_text[256];

static bool pack(void);

_Static_assert(sizeof(ApigouvLedgerHeader) <= HEADER_BYTES, "header");
_Static_assert(sizeof(ApigouvCounter) <= COUNTER_BYTES, "counter");

/* ----------------------------------------------------------------
 *		small things
 * ----------------------------------------------------------------
 */

/* An ApigouvTranslator where there is none. */
static const char *
untranslated(const char *text)
{
	return text;
}

ApigouvTranslator apigouv_ledger_translate = untranslated;

/*
 * Remember what went wrong; false, so that callers can return it.  format
 * takes the file's name and errno's text.
 */
static bool
broken(const char *format)
{
	snprintf(error_text, sizeof(error_text), apigouv_ledger_translate(format),
			 apigouv_ledger_path, strerror(errno));
	return false;
}

const char *
apigouv_ledger_error(void)
{
	return error_text;
}

int64_t		(*apigouv_ledger_clock) (void) = boot_us;

int64_t
apigouv_ledger_now(void)
{
	return now;
}

int
apigouv_ledger_generation(void)
{
	return generation;
}

/*
 * Against damage, not against people.  place: where the thing is in the file,
 * lest it be taken for another one.
 */
static uint64_t
checksum(const void *data, size_t len, uint64_t place)
{
	const unsigned char *p = data;
	uint64_t	hash = (place + 1) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t	word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word))
	{
		memcpy(&word, p, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, p, len);
	hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 29;
}

#define CHECK_OF(thing, place) \
	checksum((thing), offsetof(__typeof__(*(thing)), check), (place))

/*
 * Start of a process in the kernel's ticks, 0 when there is none, or
 * UNKNOWN_START when that cannot be told, such as without a descriptor.
 */
#define UNKNOWN_START	UINT64_MAX

static uint64_t
start_of(int32_t pid)
{
	char		path[40];
	char		text[512];
	const char *p;
	int			file;
	int			field;
	ssize_t		len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT && access("/proc/self/stat", F_OK) == 0
			? 0 : UNKNOWN_START;
	len = read(file, text, sizeof(text) - 1);
	close(file);
	if (len <= 0)
		return len < 0 && errno == ESRCH ? 0 : UNKNOWN_START;
	text[len] = '\0';
	p = strrchr(text, ')');		/* the name may hold anything */
	for (field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p == NULL ? UNKNOWN_START : strtoull(p + 1, NULL, 10);
}

uint64_t
apigouv_ledger_start(void)
{
	static uint64_t start = UNKNOWN_START;
	static pid_t of = 0;

	if (of != getpid() || start == UNKNOWN_START)
	{
		of = getpid();
		start = start_of(of);
	}
	return start;
}

bool
apigouv_ledger_runs(int32_t owner, uint64_t owner_start)
{
	uint64_t	start;

	if (kill(owner, 0) != 0 && errno == ESRCH)
		return false;
	start = start_of(owner);
	return start == owner_start || start == UNKNOWN_START ||
		(owner_start == UNKNOWN_START && start != 0);
}

bool
apigouv_ledger_is_alive(int32_t owner, uint64_t owner_start)
{
	/* seen lately: looking costs more than all the rest, under the lock */
	static struct
	{
		uint64_t	start;
		int64_t		seen_at;
		int32_t		owner;
	}			seen[64];
	int			i = owner & 63;

	if (owner == getpid() && owner_start == apigouv_ledger_start())
		return true;
	if (seen[i].owner == owner && seen[i].start == owner_start &&
		seen[i].seen_at <= now && seen[i].seen_at + TRUST_US > now)
		return true;
	if (!apigouv_ledger_runs(owner, owner_start))
		return false;
	seen[i].owner = owner;
	seen[i].start = owner_start;
	seen[i].seen_at = now;
	return true;
}

/* ----------------------------------------------------------------
 *		bytes
 * ----------------------------------------------------------------
 */

static bool
read_at(void *data, size_t len, int64_t at)
{
	ssize_t		n = pread(fd, data, len, at);

	if (n == (ssize_t) len)
		return true;
	if (n >= 0)
		errno = EIO;
	return broken(gettext_noop("could not read file \"%s\": %s"));
}

static bool
write_at(const void *data, size_t len, int64_t at)
{
	ssize_t		n = pwrite(fd, data, len, at);

	if (n == (ssize_t) len)
		return true;
	if (n >= 0)
		errno = ENOSPC;
	return broken(gettext_noop("could not write file \"%s\": %s"));
}

/* Let the file have its blocks, so that later writes find their room. */
static bool
allocate(int64_t at, int64_t bytes)
{
	int			code;

	do
		code = posix_fallocate(fd, at, bytes);
	while (code == EINTR);
	if (code == 0)
		return true;
	errno = code;
	return broken(gettext_noop("could not extend file \"%s\": %s"));
}

static int64_t
ctime_us(const struct stat *status)
{
	return (int64_t) status->st_ctim.tv_sec * 1000000 +
		status->st_ctim.tv_nsec / 1000;
}

static bool
write_header(void)
{
	char		block[HEADER_BYTES];

	written = true;
	header.written_at = clock_us(CLOCK_REALTIME);
	header.check = CHECK_OF(&header, 0);
	memset(block, 0, sizeof(block));
	memcpy(block, &header, sizeof(header));
	return write_at(block, sizeof(block), 0);
}

ApigouvLedgerHeader *
apigouv_ledger_header(void)
{
	return &header;
}

bool
apigouv_ledger_stamp(void)
{
	header.touched_at = now;
	if (!write_header())
		return false;
	seen_at = now;
	return true;
}

/* ----------------------------------------------------------------
 *		the whole file
 * ----------------------------------------------------------------
 */

/* Where a counter is in the file. */
static int64_t
place_at(int place)
{
	return COUNTERS_AT + (int64_t) place * COUNTER_BYTES;
}

/*
 * Fill the table of counters.  A free one has its checksum too: one that was
 * lost does not look free.
 */
static bool
write_free_counters(void)
{
	char		page[8 * COUNTER_BYTES];
	ApigouvCounter none;
	int			place;

	memset(&none, 0, sizeof(none));
	memset(page, 0, sizeof(page));
	for (place = 0; place < APIGOUV_LEDGER_COUNTERS; place++)
	{
		none.check = CHECK_OF(&none, place);
		memcpy(page + place % 8 * COUNTER_BYTES, &none, sizeof(none));
		if (place % 8 == 7 &&
			!write_at(page, sizeof(page), place_at(place - 7)))
			return false;
	}
	return true;
}

/*
 * Begin a ledger in the locked file.  opened_at: what was sent before is not
 * known; INT64_MIN: nothing was.
 */
static bool
begin_anew(int64_t opened_at)
{
	struct stat status;
	const char *id = apigouv_clock_boot_id();

	generation++;

	if (id == NULL)
		return broken(gettext_noop("could not tell the boot of the machine for file \"%s\": %s"));
	memset(&header, 0, sizeof(header));
	if (ftruncate(fd, 0) != 0)
		return broken(gettext_noop("could not truncate file \"%s\": %s"));
	if (!allocate(0, SLOTS_AT) || !write_free_counters())
		return false;
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	header.version = VERSION;
	snprintf(header.boot_id, sizeof(header.boot_id), "%s", id);
	header.touched_at = now;
	seen_at = now;
	header.opened_at = opened_at;
	header.next_id = (uint64_t) clock_us(CLOCK_REALTIME) << 12;
	header.end = SLOTS_AT;
	header.pack_at = PACK_BYTES;
	if (!write_header())
		return false;
	/* a file system with a clock of its own: by how much it differs */
	if (fstat(fd, &status) != 0)
		return broken(gettext_noop("could not stat file \"%s\": %s"));
	header.skew_us = ctime_us(&status) - header.written_at;
	header.device = (uint64_t) status.st_dev;
	header.inode = (uint64_t) status.st_ino;
	return write_header();
}

/* May the history in the locked file be believed? */
static bool
is_valid(const struct stat *status)
{
	const char *id = apigouv_clock_boot_id();
	int64_t		drift;

	if (status->st_size < SLOTS_AT || !read_at(&header, sizeof(header), 0))
		return false;
	if (memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0 ||
		header.version != VERSION || header.check != CHECK_OF(&header, 0) ||
		id == NULL || strcmp(header.boot_id, id) != 0)
		return false;
	if (header.touched_at > now || header.touched_at < seen_at ||
		header.opened_at > now || header.end > status->st_size ||
		header.device != (uint64_t) status->st_dev ||
		header.inode != (uint64_t) status->st_ino ||
		header.nwaiters > APIGOUV_LEDGER_WAITERS)
		return false;
	drift = ctime_us(status) - header.written_at - header.skew_us;
	return drift <= CTIME_TOLERANCE_US && drift >= -CTIME_TOLERANCE_US;
}

/* Is the open file still the one of that name? */
static bool
is_current(struct stat *status)
{
	struct stat named;

	return fstat(fd, status) == 0 && stat(apigouv_ledger_path, &named) == 0 &&
		named.st_ino == status->st_ino && named.st_dev == status->st_dev;
}

ApigouvLedgerResult
apigouv_ledger_lock(void)
{
	struct stat status;
	int			tries;

	for (tries = 0; tries < 10; tries++)
	{
		written = false;
		fd = open(apigouv_ledger_path, OPEN_FLAGS, apigouv_ledger_mode);
		if (fd < 0)
		{
			broken(gettext_noop("could not open file \"%s\": %s"));
			return APIGOUV_LEDGER_BROKEN;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		{
			ApigouvLedgerResult result = APIGOUV_LEDGER_BUSY;

			if (errno != EWOULDBLOCK && errno != EINTR)
			{
				broken(gettext_noop("could not lock file \"%s\": %s"));
				result = APIGOUV_LEDGER_BROKEN;
			}
			apigouv_ledger_unlock();
			return result;
		}
		/* before the file's name is looked at: see begin_anew */
		now = apigouv_ledger_clock();
		if (is_current(&status))
			break;
		apigouv_ledger_unlock();	/* replaced meanwhile */
	}
	if (fd < 0)
		return APIGOUV_LEDGER_BUSY;
	if (is_valid(&status))
	{
		seen_at = header.touched_at;
		return APIGOUV_LEDGER_OK;
	}
	if (begin_anew(now))
		return APIGOUV_LEDGER_OK;
	apigouv_ledger_unlock();
	return APIGOUV_LEDGER_BROKEN;
}

/*
 * Who was stopped between two writes, by a debugger or a slow disk, has made
 * the file look like a copy: the header is then written again.
 */
void
apigouv_ledger_unlock(void)
{
	int64_t		since;

	if (fd < 0)
		return;
	if (written)
	{
		since = clock_us(CLOCK_REALTIME) - header.written_at;
		if (since > CTIME_TOLERANCE_US / 4 || since < -CTIME_TOLERANCE_US / 4)
			(void) write_header();
	}
	close(fd);					/* releases the lock */
	fd = -1;
}

bool
apigouv_ledger_forget(void)
{
	return begin_anew(INT64_MIN);
}

/* ----------------------------------------------------------------
 *		counters
 * ----------------------------------------------------------------
 */

/* Is what was read a counter of this place? */
static bool
is_sound(const ApigouvCounter *counter, int place)
{
	int64_t		bytes = counter->capacity * (int64_t) sizeof(ApigouvSlot);

	return counter->check == CHECK_OF(counter, place) &&
		counter->nslots >= 0 && counter->nslots <= counter->capacity &&
		(counter->capacity == 0 ||
		 (counter->slots_at >= SLOTS_AT &&
		  counter->slots_at + bytes <= header.end));
}

bool
apigouv_ledger_at(int place, ApigouvCounter *counter)
{
	if (!read_at(counter, sizeof(*counter), place_at(place)))
		return false;
	if (is_sound(counter, place))
	{
		if (counter->capacity == 0)
			counter->opened_at = header.opened_at;
		return true;
	}
	return begin_anew(now) && apigouv_ledger_at(place, counter);
}

/* First place where a counter may be. */
static int
first_place(const uint64_t key[2])
{
	return (int) (key[0] & (APIGOUV_LEDGER_COUNTERS - 1));
}

bool
apigouv_ledger_find(const uint64_t key[2], int *place,
					ApigouvCounter *counter)
{
	int			first = first_place(key);
	int			n;

	for (n = 0; n < APIGOUV_LEDGER_COUNTERS; n++)
	{
		*place = (first + n) & (APIGOUV_LEDGER_COUNTERS - 1);
		if (!apigouv_ledger_at(*place, counter))
			return false;
		if (counter->capacity == 0 ||
			(counter->key[0] == key[0] && counter->key[1] == key[1]))
			break;
	}
	if (counter->capacity > 0 || header.ncounters < MAX_COUNTERS)
		return true;
	if ((!pack() || header.ncounters >= MAX_COUNTERS) && !begin_anew(now))
		return false;
	return apigouv_ledger_find(key, place, counter);
}

bool
apigouv_ledger_put(int place, ApigouvCounter *counter)
{
	counter->check = CHECK_OF(counter, place);
	return write_at(counter, sizeof(*counter), place_at(place));
}

bool
apigouv_ledger_room(ApigouvCounter *counter, int32_t capacity)
{
	int64_t		bytes = capacity * (int64_t) sizeof(ApigouvSlot);

	if (header.end >= header.pack_at)
	{
		if (pack())
			return false;
		header.pack_at *= 2;	/* later, then */
	}
	if (!allocate(header.end, bytes))
		return false;
	counter->slots_at = header.end;
	counter->capacity = capacity;
	header.end += bytes;
	return write_header();
}

/* ----------------------------------------------------------------
 *		slots and waiters
 * ----------------------------------------------------------------
 */

/* A buffer of at least this many bytes, kept; NULL without memory. */
static void *
buffer(int which, size_t bytes)
{
	static void *buffers[NBUFFERS + 1];
	static size_t sizes[NBUFFERS + 1];

	if (bytes > sizes[which])
	{
		void	   *larger = realloc(buffers[which], bytes + bytes / 4);

		if (larger == NULL)
		{
			broken(gettext_noop("out of memory reading file \"%s\": %s"));
			return NULL;
		}
		buffers[which] = larger;
		sizes[which] = bytes + bytes / 4;
	}
	return buffers[which];
}

static uint32_t
slot_check(const ApigouvSlot *slot, int64_t at)
{
	return (uint32_t) (CHECK_OF(slot, at) >> 32);
}

/* Where a slot is in the file. */
static inline int64_t
slot_at(const ApigouvCounter *counter, int i)
{
	return counter->slots_at + i * (int64_t) sizeof(ApigouvSlot);
}

ApigouvSlot *
apigouv_ledger_slots(const ApigouvCounter *counter, int which)
{
	size_t		bytes = counter->nslots * sizeof(ApigouvSlot);
	ApigouvSlot *slots = buffer(which, bytes + sizeof(ApigouvSlot));
	bool		damaged = false;
	int			i;

	if (slots == NULL ||
		(bytes > 0 && !read_at(slots, bytes, counter->slots_at)))
		return NULL;
	for (i = 0; i < counter->nslots; i++)
	{
		if (slots[i].check == slot_check(&slots[i], slot_at(counter, i)))
			continue;
		memset(&slots[i], 0, sizeof(ApigouvSlot));
		slots[i].at = now;
		damaged = true;
	}
	/* written, lest it be dated anew each time and never end */
	if (damaged && !(apigouv_ledger_stamp() &&
					 apigouv_ledger_put_slots(counter, 0, counter->nslots,
											  slots)))
		return NULL;
	return slots;
}

bool
apigouv_ledger_put_slots(const ApigouvCounter *counter, int first, int n,
						 ApigouvSlot *slots)
{
	int			i;

	for (i = 0; i < n; i++)
		slots[i].check = slot_check(&slots[i], slot_at(counter, first + i));
	return write_at(slots, n * sizeof(ApigouvSlot), slot_at(counter, first));
}

int
apigouv_ledger_keep(const ApigouvCounter *counter, ApigouvSlot *slots)
{
	int64_t		capped = INT64_MAX; /* what was sent since counts still */
	int			n = 0;
	int			i;

	for (i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		if (counter->caps[i].until > now && counter->caps[i].from < capped)
			capped = counter->caps[i].from;
	}
	for (i = 0; i < counter->nslots; i++)
	{
		int64_t		at = slots[i].at;

		if (at < 0 ||
			(at > 0 && (at + counter->keep_us > now || at > capped)))
			slots[n++] = slots[i];
	}
	return n;
}

ApigouvWaiter *
apigouv_ledger_waiters(void)
{
	size_t		bytes = header.nwaiters * sizeof(ApigouvWaiter);
	ApigouvWaiter *waiters = buffer(NBUFFERS,
									APIGOUV_LEDGER_WAITERS *
									sizeof(ApigouvWaiter));
	uint32_t	i;

	if (waiters == NULL ||
		(bytes > 0 && !read_at(waiters, bytes, WAITERS_AT)))
		return NULL;
	for (i = 0; i < header.nwaiters; i++)
	{
		if (waiters[i].check != (uint32_t) CHECK_OF(&waiters[i], i))
			memset(&waiters[i], 0, sizeof(ApigouvWaiter));
	}
	return waiters;
}

bool
apigouv_ledger_put_waiters(ApigouvWaiter *waiters, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		waiters[i].check = (uint32_t) CHECK_OF(&waiters[i], i);
	header.nwaiters = (uint32_t) n;
	return write_header() &&
		(n == 0 || write_at(waiters, n * sizeof(ApigouvWaiter), WAITERS_AT));
}

/* ----------------------------------------------------------------
 *		packing
 * ----------------------------------------------------------------
 */

/* Is there nothing in a counter any more that could matter? */
static bool
is_idle(const ApigouvCounter *counter)
{
	int			i;

	for (i = 0; i < APIGOUV_LEDGER_CAPS; i++)
	{
		if (counter->caps[i].until > now)
			return false;
	}
	return counter->closed_until <= now &&
		counter->used_at + IDLE_US <= now &&
		(counter->opened_at <= 0 || counter->opened_at + IDLE_US <= now);
}

/* Copy a counter and its slots from a file to the end of another one. */
static bool
copy_counter(int from, int to, ApigouvCounter *counter, bool *taken,
			 ApigouvLedgerHeader *packed)
{
	ApigouvSlot *slots = apigouv_ledger_slots(counter, NBUFFERS - 1);
	int64_t		wanted;
	int			place = first_place(counter->key);
	bool		ok;

	if (slots == NULL)
		return false;
	counter->nslots = apigouv_ledger_keep(counter, slots);
	if (counter->nslots == 0 && is_idle(counter))
		return true;
	wanted = counter->nslots + counter->requests * INT64_C(5) / 4 + 32;
	if (wanted < counter->capacity)
		counter->capacity = (int32_t) wanted;
	counter->slots_at = packed->end;
	packed->end += counter->capacity * (int64_t) sizeof(ApigouvSlot);
	packed->ncounters++;
	while (taken[place])
		place = (place + 1) & (APIGOUV_LEDGER_COUNTERS - 1);
	taken[place] = true;
	fd = to;
	ok = allocate(counter->slots_at, packed->end - counter->slots_at) &&
		apigouv_ledger_put_slots(counter, 0, counter->nslots, slots) &&
		apigouv_ledger_put(place, counter);
	fd = from;
	return ok;
}

/* Copy what is still needed from a file to an empty one. */
static bool
copy_ledger(int from, int to)
{
	bool		taken[APIGOUV_LEDGER_COUNTERS] = {false};
	ApigouvLedgerHeader packed = header;
	ApigouvWaiter *waiters = apigouv_ledger_waiters();
	ApigouvCounter counter;
	struct stat status;
	int			place;
	bool		ok;

	fd = to;
	ok = waiters != NULL && fstat(to, &status) == 0 &&
		allocate(0, SLOTS_AT) && write_free_counters();
	fd = from;
	packed.end = SLOTS_AT;
	packed.ncounters = 0;
	for (place = 0; ok && place < APIGOUV_LEDGER_COUNTERS; place++)
	{
		ok = read_at(&counter, sizeof(counter), place_at(place)) &&
			is_sound(&counter, place);
		if (ok && counter.capacity > 0)
			ok = copy_counter(from, to, &counter, taken, &packed);
	}
	if (!ok)
		return false;
	packed.device = (uint64_t) status.st_dev;
	packed.inode = (uint64_t) status.st_ino;
	packed.pack_at = packed.end * 2 > PACK_BYTES ? packed.end * 2
		: PACK_BYTES;
	fd = to;
	header = packed;
	return apigouv_ledger_put_waiters(waiters, (int) packed.nwaiters) &&
		apigouv_ledger_stamp();
}

/*
 * pack
 *		Put a file in the ledger's place that holds what is still needed.
 *
 * It is locked before it gets the name, so nobody sees it too early.  If that
 * fails, the ledger is as it was.
 */
static bool
pack(void)
{
	char		path[1024];
	ApigouvLedgerHeader before = header;
	int			from = fd;
	int			to;

	if (snprintf(path, sizeof(path), "%s.new", apigouv_ledger_path) >=
		(int) sizeof(path))
		return false;
	to = open(path, OPEN_FLAGS, apigouv_ledger_mode);
	if (to < 0)
		return broken(gettext_noop("could not create a packed copy of file \"%s\": %s"));
	if (flock(to, LOCK_EX | LOCK_NB) == 0 && ftruncate(to, 0) == 0 &&
		copy_ledger(from, to) && rename(path, apigouv_ledger_path) == 0)
	{
		close(from);
		fd = to;
		generation++;
		return true;
	}
	close(to);
	(void) unlink(path);
	fd = from;
	header = before;
	return broken(gettext_noop("could not pack file \"%s\": %s"));
}
