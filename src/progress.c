/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far this backend is, for other sessions to see.
 *
 * Each backend that has something under way has a slot in a file that every
 * backend maps (mapped.c), and is the only one to write it.  Several scans of
 * a backend, such as those of a join, are one row: their rows and requests
 * are added up, and the table is that which the backend is at.
 *
 * Rules that no single function shows:
 *
 * - A slot is its owner's by the number and the start of the process, for the
 *	 backend's life.  A slot whose owner is dead is not shown, and is the next
 *	 one's to take.
 *
 * - Numbers are written one by one.  Names and moments change together: their
 *	 writer makes the slot's version odd before and even after, and a reader
 *	 reads again where the version was odd or has changed.
 *
 * - Rows are counted for each row, so names are not written then: they are
 *	 when a wait begins, which is when somebody would look.
 *
 * - What is under way ends with its memory, so that an error needs no care.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "ledger.h"
#include "mapped.h"
#include "messages.h"
#include "progress.h"

PG_FUNCTION_INFO_V1(apigouv_progress);

#define SLOTS			1024

/* Times that a slot is read anew while its owner writes it. */
#define MAX_READS		1000

/* Moments that differ by less, in us, are the same. */
#define SAME_MOMENT_US	1000

/* What changes together. */
typedef struct Told
{
	int			pid;			/* whose it is: a slot may have a new owner */
	Oid			role;
	TimestampTz begun_at;
	TimestampTz until;			/* of a wait; 0 = not known */
	char		names[APIGOUV_TALLY_NAMES][APIGOUV_TALLY_NAME_BYTES];
	char		limit[APIGOUV_LEDGER_TEXT]; /* or empty */
} Told;

typedef struct ProgressSlot
{
	pg_atomic_uint64 owner;		/* see owner_of; 0 = nobody's */
	pg_atomic_uint32 phase;		/* NONE: nothing of what follows is meant */
	pg_atomic_uint32 version;	/* of told; odd: it is being written */
	pg_atomic_uint64 replies;
	pg_atomic_uint64 hits;
	pg_atomic_uint64 rows;
	pg_atomic_uint64 foreseen;	/* requests; 0 = not known */
	Told		told;
} ProgressSlot;

struct ApigouvProgress
{
	dlist_node	node;			/* in under_way */
	const ApigouvTally *tally;
	double		foreseen;
	bool		left;
	MemoryContextCallback callback;
};

static ApigouvMapped file = {
	.path = "pg_stat_tmp/apigouv_fdw.progress",
	.magic = "APIGOUVP",
	.version = 1,
	.bytes = SLOTS * sizeof(ProgressSlot),
	.of_boot = true
};

static ProgressSlot nowhere;	/* instead of a slot that cannot be had */
static ProgressSlot *slot = &nowhere;
static uint32 slot_generation = 0;	/* of the mapping that slot is in */

static dlist_head under_way = DLIST_STATIC_INIT(under_way);
static const ApigouvProgress *current = NULL;	/* what the backend is at */
static const ApigouvTally *told_of = NULL;	/* whose names are in the slot */
static double foreseen = 0;		/* by all since the first began */
static uint64 rows = 0;
static uint64 replies = 0;
static uint64 hits = 0;
static ApigouvPhase phase = APIGOUV_PHASE_NONE;

/* ----------------------------------------------------------------
 *		slots
 * ----------------------------------------------------------------
 */

/*
 * A process as one number: its start, and below it its number, which takes 22
 * bits at most.  An unknown start is none.
 */
#define PID_BITS		22

static uint64
owner_of(int pid, uint64 start)
{
	return (start << PID_BITS) | (uint64) pid;
}

/* Does the process that a slot is said to be of still run? */
static bool
is_alive(uint64 owner)
{
	int32		pid = (int32) (owner & ((UINT64CONST(1) << PID_BITS) - 1));
	uint64		start = owner >> PID_BITS;

	/* a start that could not be told has all bits set */
	if (start == PG_UINT64_MAX >> PID_BITS)
		start = PG_UINT64_MAX;
	return apigouv_ledger_runs(pid, start);
}

/* Take a slot of the file that is mapped; none is left: write nowhere. */
static void
take_slot(void)
{
	ProgressSlot *slots = apigouv_mapped_contents(&file);
	uint64		us = owner_of(MyProcPid, apigouv_ledger_start());
	uint32		first = hash_bytes_uint32((uint32) MyProcPid);

	slot_generation = file.generation;
	for (int n = 0; n < SLOTS; n++)
	{
		ProgressSlot *taken = &slots[(first + n) & (SLOTS - 1)];
		uint64		owner = pg_atomic_read_u64(&taken->owner);

		if (owner != us &&
			((owner != 0 && is_alive(owner)) ||
			 !pg_atomic_compare_exchange_u64(&taken->owner, &owner, us)))
			continue;
		slot = taken;
		pg_atomic_write_u32(&slot->phase, (uint32) phase);
		return;
	}
	slot = &nowhere;
}

/* Have a slot, or write nowhere. */
static void
have_slot(void)
{
	if (!apigouv_mapped_open(&file))
		slot = &nowhere;
	else if (slot_generation != file.generation)
		take_slot();
	else
		return;
	told_of = NULL;
}

static void
set(pg_atomic_uint64 * number, uint64 value)
{
	pg_atomic_write_u64(number, value);
}

/* Begin and end a change of what changes together. */
static void
begin_telling(void)
{
	/* odd, also where a process that had the slot died in between */
	pg_atomic_write_u32(&slot->version,
						pg_atomic_read_u32(&slot->version) | 1);
	pg_write_barrier();
}

static void
end_telling(void)
{
	pg_write_barrier();
	pg_atomic_write_u32(&slot->version,
						pg_atomic_read_u32(&slot->version) + 1);
}

/* ----------------------------------------------------------------
 *		what is under way
 * ----------------------------------------------------------------
 */

static void
set_phase(ApigouvPhase now)
{
	phase = now;
	pg_atomic_write_u32(&slot->phase, (uint32) now);
}

/* The first begins: nothing is done yet. */
static void
begin_anew(void)
{
	have_slot();
	set_phase(APIGOUV_PHASE_NONE);
	foreseen = 0;
	rows = replies = hits = 0;
	set(&slot->rows, 0);
	set(&slot->replies, 0);
	set(&slot->hits, 0);
	set(&slot->foreseen, 0);
	begin_telling();
	memset(&slot->told, 0, sizeof(slot->told));
	slot->told.pid = MyProcPid;
	slot->told.role = MyProc->roleId;
	slot->told.begun_at = GetCurrentTimestamp();
	end_telling();
	told_of = NULL;
}

/* Write the names of the table that the backend is at. */
static void
tell_names(void)
{
	const ApigouvTally *tally = current != NULL ? current->tally : NULL;

	if (tally == told_of || tally == NULL)
		return;
	begin_telling();
	for (int i = 0; i < APIGOUV_TALLY_NAMES; i++)
		memcpy(slot->told.names[i], apigouv_tally_name(tally, i),
			   APIGOUV_TALLY_NAME_BYTES);
	end_telling();
	told_of = tally;
}

void
apigouv_progress_leave(ApigouvProgress *progress)
{
	if (progress->left)
		return;
	progress->left = true;
	dlist_delete(&progress->node);
	if (current == progress)
		current = NULL;
	if (dlist_is_empty(&under_way))
		set_phase(APIGOUV_PHASE_NONE);
}

/* A memory context goes, and what is under way with it. */
static void
leave(void *arg)
{
	apigouv_progress_leave(arg);
}

ApigouvProgress *
apigouv_progress_enter(const ApigouvTally *tally, double requests,
					   MemoryContext cxt)
{
	ApigouvProgress *progress =
	MemoryContextAllocZero(cxt, sizeof(ApigouvProgress));

	if (dlist_is_empty(&under_way))
		begin_anew();
	progress->tally = tally;
	progress->callback.func = leave;
	progress->callback.arg = progress;
	dlist_push_tail(&under_way, &progress->node);
	MemoryContextRegisterResetCallback(cxt, &progress->callback);
	apigouv_progress_foresee(progress, requests);
	current = progress;
	tell_names();
	if (phase == APIGOUV_PHASE_NONE)
		set_phase(APIGOUV_PHASE_ROWS);
	return progress;
}

void
apigouv_progress_foresee(ApigouvProgress *progress, double requests)
{
	if (progress == NULL || progress->foreseen == requests)
		return;
	foreseen += requests - progress->foreseen;
	progress->foreseen = requests;
	set(&slot->foreseen, (uint64) Max(rint(foreseen), 0));
}

void
apigouv_progress_at(ApigouvProgress *progress)
{
	if (progress != NULL)
		current = progress;
}

void
apigouv_progress_row(void)
{
	set(&slot->rows, ++rows);
	if (phase > APIGOUV_PHASE_ROWS) /* an Append has waited for several */
		set_phase(APIGOUV_PHASE_ROWS);
}

void
apigouv_progress_reply(void)
{
	set(&slot->replies, ++replies);
}

void
apigouv_progress_hit(void)
{
	set(&slot->hits, ++hits);
}

/* Write which limit makes the backend wait, and until when. */
static void
tell_wait(int64 until, const char *limit)
{
	TimestampTz moment = until == APIGOUV_NEVER ? 0
	: GetCurrentTimestamp() + (until - monotonic_us());
	int64		apart = moment - slot->told.until;

	if (limit == NULL)
		limit = "";
	if (apart < SAME_MOMENT_US && apart > -SAME_MOMENT_US &&
		strcmp(limit, slot->told.limit) == 0)
		return;
	begin_telling();
	slot->told.until = moment;
	strlcpy(slot->told.limit, limit, sizeof(slot->told.limit));
	end_telling();
}

void
apigouv_progress_phase(ApigouvPhase now, int64 until, const char *limit)
{
	if (dlist_is_empty(&under_way) ||
		(now == APIGOUV_PHASE_ROWS && phase == APIGOUV_PHASE_ROWS))
		return;
	if (now != APIGOUV_PHASE_ROWS)
		tell_names();
	if (now == APIGOUV_PHASE_QUOTA || now == APIGOUV_PHASE_RETRY)
		tell_wait(until, limit);
	if (now != phase)
		set_phase(now);
}

/* ----------------------------------------------------------------
 *		the view
 * ----------------------------------------------------------------
 */

/* Columns of the view. */
enum
{
	COLUMN_PID,
	COLUMN_ROLE,
	COLUMN_DATABASE,
	COLUMN_SERVER,
	COLUMN_SCHEMA,
	COLUMN_TABLE,
	COLUMN_PHASE,
	COLUMN_REQUESTS,
	COLUMN_CACHE_HITS,
	COLUMN_FORESEEN,
	COLUMN_ROWS,
	COLUMN_UNTIL,
	COLUMN_LIMIT,
	COLUMN_BEGUN,
	PROGRESS_COLUMNS
};

static const char *const phases[] = {
	NULL, "rows", "requests", "waits to retry", "waits for quota",
	"waits for cache"
};

StaticAssertDecl(lengthof(phases) == APIGOUV_PHASE_CACHE + 1,
				 "a word for each phase");

/* Read what changes together; false when its writer does not leave it. */
static bool
read_told(ProgressSlot *from, Told *told)
{
	for (int tries = 0; tries < MAX_READS; tries++)
	{
		uint32		version = pg_atomic_read_u32(&from->version);

		pg_read_barrier();
		*told = from->told;
		pg_read_barrier();
		if (version % 2 == 0 && version == pg_atomic_read_u32(&from->version))
			return true;
		if (tries % 100 == 99)
			pg_usleep(100);
	}
	return false;
}

/* May the current role see what a role's sessions do? */
static bool
may_see(Oid role)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), role);
}

static void
put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = *text == '\0';
	if (!*isnull)
		*value = CStringGetTextDatum(apigouv_encoding_from_utf8(text));
}

/* Fill a row with what only some may see. */
static void
fill_details(ProgressSlot *from, const Told *told, uint32 at,
			 Datum *values, bool *nulls)
{
	uint64		done = pg_atomic_read_u64(&from->replies);
	uint64		cached = pg_atomic_read_u64(&from->hits);
	uint64		needed = pg_atomic_read_u64(&from->foreseen);
	bool		waits = at == APIGOUV_PHASE_QUOTA || at == APIGOUV_PHASE_RETRY;

	for (int i = APIGOUV_TALLY_SERVER; i < APIGOUV_TALLY_NAMES; i++)
		put_text(&values[COLUMN_DATABASE + i], &nulls[COLUMN_DATABASE + i],
				 told->names[i]);
	values[COLUMN_PHASE] = CStringGetTextDatum(phases[at]);
	values[COLUMN_REQUESTS] = Int64GetDatum((int64) done);
	values[COLUMN_CACHE_HITS] = Int64GetDatum((int64) cached);
	values[COLUMN_FORESEEN] = Int64GetDatum((int64) Max(needed, done));
	values[COLUMN_ROWS] =
		Int64GetDatum((int64) pg_atomic_read_u64(&from->rows));
	nulls[COLUMN_UNTIL] = !waits || told->until == 0;
	values[COLUMN_UNTIL] = TimestampTzGetDatum(told->until);
	nulls[COLUMN_LIMIT] = true;
	if (at == APIGOUV_PHASE_QUOTA)
		put_text(&values[COLUMN_LIMIT], &nulls[COLUMN_LIMIT], told->limit);
	values[COLUMN_BEGUN] = TimestampTzGetDatum(told->begun_at);
}

/* Show a slot, if it is that of a backend that has something under way. */
static void
show(ProgressSlot *from, ReturnSetInfo *result)
{
	uint64		owner = pg_atomic_read_u64(&from->owner);
	int			pid = (int) (owner & ((UINT64CONST(1) << PID_BITS) - 1));
	uint32		at = pg_atomic_read_u32(&from->phase);
	Datum		values[PROGRESS_COLUMNS] = {0};
	bool		nulls[PROGRESS_COLUMNS];
	const char *role;
	Told		told;

	if (owner == 0 || at == APIGOUV_PHASE_NONE || at >= lengthof(phases) ||
		!read_told(from, &told) || told.pid != pid ||
		BackendPidGetProc(pid) == NULL || !is_alive(owner))
		return;
	memset(nulls, !may_see(told.role), sizeof(nulls));
	values[COLUMN_PID] = Int32GetDatum(pid);
	nulls[COLUMN_PID] = false;
	role = GetUserNameFromId(told.role, true);
	nulls[COLUMN_ROLE] = role == NULL;
	if (role != NULL)
		values[COLUMN_ROLE] = CStringGetTextDatum(role);
	put_text(&values[COLUMN_DATABASE], &nulls[COLUMN_DATABASE],
			 told.names[APIGOUV_TALLY_DATABASE]);
	if (!nulls[COLUMN_PHASE])
		fill_details(from, &told, at, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * apigouv_progress
 *		The backends that have something of ours under way, a row each.
 */
Datum
apigouv_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ProgressSlot *slots;

	InitMaterializedSRF(fcinfo, 0);
	have_slot();
	if (file.header == NULL)
		apigouv_mapped_refuse(&file);
	slots = apigouv_mapped_contents(&file);
	for (int i = 0; i < SLOTS; i++)
		show(&slots[i], result);
	return (Datum) 0;
}
