/*-------------------------------------------------------------------------
 *
 * tally.c
 *		Counting what is asked, per foreign table, for the whole cluster.
 *
 * The counters are in a file that every backend maps (mapped.c): what is
 * counted stays counted, whatever becomes of the transaction or the backend.
 *
 * A row goes by names, not by OIDs: a row can be shown in another database, a
 * dropped table keeps its past, and an OID that is used again inherits
 * nothing.  A table that is renamed begins a new row.
 *
 * Rules that no single function shows:
 *
 * - Nothing is locked.  Counters are added to atomically.  A row is claimed by
 *	 a compare-and-swap of its state, filled, and then published; nobody waits
 *	 for who fills one.  So two backends may make a row of the same names each:
 *	 the view adds them up.
 *
 * - A row is never freed.  When there is no room, what is new is counted in
 *	 the first row, which has no names.  A reset puts another file in the
 *	 place of this one.
 *
 * - A row that was claimed by a process that died before it was filled is
 *	 claimed again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "mapped.h"
#include "messages.h"
#include "tally.h"
#include "texthash.h"

PG_FUNCTION_INFO_V1(apigouv_stats);
PG_FUNCTION_INFO_V1(apigouv_stats_reset);

#define STATS_COLUMNS	(APIGOUV_TALLY_NAMES + APIGOUV_TALLY_COUNTS + 1)

/* Rows of the file, the one for all others included; a power of two. */
#define ROWS			1024
#define OTHERS			0

/* States of a row; another number is that of the process that fills it. */
#define ROW_FREE		0
#define ROW_READY		PG_UINT32_MAX

typedef struct TallyRow
{
	pg_atomic_uint32 state;
	uint32		spare;
	uint64		hash;			/* of the names */
	TimestampTz since;			/* when it was made */
	char		names[APIGOUV_TALLY_NAMES][APIGOUV_TALLY_NAME_BYTES];
	uint64		check;			/* of hash, since and names */
	pg_atomic_uint64 counts[APIGOUV_TALLY_COUNTS];
} TallyRow;

struct ApigouvTally
{
	const char *key;			/* must be first: the names, quoted */
	uint64		hash;
	char		names[APIGOUV_TALLY_NAMES][APIGOUV_TALLY_NAME_BYTES];
	uint32		generation;		/* of the mapping that row is in */
	TallyRow   *row;
};

static bool rows_are_sound(const void *contents);

static ApigouvMapped file = {
	.path = "pg_stat/apigouv_fdw.stats",
	.magic = "APIGOUVS",
	.version = 1,
	.bytes = ROWS * sizeof(TallyRow),
	.is_sound = rows_are_sound
};

static HTAB *tallies = NULL;

/* ----------------------------------------------------------------
 *		rows of the file
 * ----------------------------------------------------------------
 */

static uint64
check_of(const TallyRow *row)
{
	return hash_bytes_extended((const unsigned char *) &row->hash,
							   offsetof(TallyRow, check) -
							   offsetof(TallyRow, hash), 1);
}

static uint32
state_of(const TallyRow *row)
{
	return pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &row->state));
}

/* Are the names of a row, if it has any, those that were written? */
static bool
row_is_sound(const TallyRow *row)
{
	if (state_of(row) != ROW_READY)
		return true;
	pg_read_barrier();
	return row->check == check_of(row);
}

/* An ApigouvMapped's: are all rows sound? */
static bool
rows_are_sound(const void *contents)
{
	const TallyRow *rows = contents;

	for (int i = 0; i < ROWS; i++)
	{
		if (i != OTHERS && !row_is_sound(&rows[i]))
			return false;
	}
	return true;
}

/* Claim a row that nobody has, or whose claimant is dead. */
static bool
claim(TallyRow *row, uint32 state)
{
	if (state != ROW_FREE &&
		(kill((pid_t) state, 0) == 0 || errno != ESRCH))
		return false;
	return pg_atomic_compare_exchange_u32(&row->state, &state,
										  (uint32) MyProcPid);
}

/* The row of a tally in the file that is mapped, made if need be. */
static TallyRow *
find_row(const ApigouvTally *tally)
{
	TallyRow   *rows = apigouv_mapped_contents(&file);

	for (int n = 0; n < ROWS; n++)
	{
		int			i = (int) ((tally->hash + n) & (ROWS - 1));
		TallyRow   *row = &rows[i];
		uint32		state;

		if (i == OTHERS)
			continue;
		state = pg_atomic_read_u32(&row->state);
		if (state == ROW_READY)
		{
			pg_read_barrier();
			if (row->hash == tally->hash &&
				memcmp(row->names, tally->names, sizeof(row->names)) == 0)
				return row;
		}
		else if (claim(row, state))
		{
			row->hash = tally->hash;
			row->since = GetCurrentTimestamp();
			memcpy(row->names, tally->names, sizeof(row->names));
			row->check = check_of(row);
			pg_write_barrier();
			pg_atomic_write_u32(&row->state, ROW_READY);
			return row;
		}
	}
	return &rows[OTHERS];
}

/*
 * Look at the row where the search for a tally's begins, if it has not begun
 * yet, and at all when that one is not sound: not to be called inside libcurl.
 */
static void
check_first(const ApigouvTally *tally)
{
	const TallyRow *rows;
	int			first = (int) (tally->hash & (ROWS - 1));

	if (!apigouv_mapped_is_current(&file) ||
		tally->generation == file.generation)
		return;
	rows = apigouv_mapped_contents(&file);
	if (first != OTHERS && !row_is_sound(&rows[first]))
		(void) apigouv_mapped_recheck(&file);
}

/* Where a tally counts now; NULL: nowhere. */
static inline TallyRow *
row_of(ApigouvTally *tally)
{
	if (tally == NULL || !(likely(apigouv_mapped_is_current(&file)) ||
						   apigouv_mapped_follow(&file)))
		return NULL;
	if (unlikely(tally->generation != file.generation))
	{
		tally->row = find_row(tally);
		tally->generation = file.generation;
	}
	return tally->row;
}

static inline void
add(TallyRow *row, ApigouvTallyCount what, int64 n)
{
	if (n > 0)
		pg_atomic_fetch_add_u64(&row->counts[what], n);
}

static void
raise_to(pg_atomic_uint64 * count, uint64 n)
{
	uint64		is = pg_atomic_read_u64(count);

	while (n > is && !pg_atomic_compare_exchange_u64(count, &is, n))
		;
}

/* ----------------------------------------------------------------
 *		counting
 * ----------------------------------------------------------------
 */

void
apigouv_tally_add(ApigouvTally *tally, ApigouvTallyCount what, int64 n)
{
	TallyRow   *row = row_of(tally);

	if (row != NULL)
		add(row, what, n);
}

/* How an attempt that was not cancelled has ended. */
static ApigouvTallyCount
outcome_of(const ApigouvTransfer *transfer)
{
	switch (transfer->failure)
	{
		case APIGOUV_FAILURE_NONE:
			break;
		case APIGOUV_FAILURE_ADDRESS:
		case APIGOUV_FAILURE_QUOTA:
		case APIGOUV_FAILURE_LEDGER:
		case APIGOUV_FAILURE_AUDIT:
			return APIGOUV_TALLY_NOT_SENT;
		default:
			return APIGOUV_TALLY_FAILED;
	}
	if (transfer->status == 429)
		return APIGOUV_TALLY_429;
	if (transfer->status < 300)
		return APIGOUV_TALLY_2XX;
	return transfer->status < 400 ? APIGOUV_TALLY_3XX
		: transfer->status < 500 ? APIGOUV_TALLY_4XX : APIGOUV_TALLY_5XX;
}

void
apigouv_tally_attempt(ApigouvTally *tally, const ApigouvTransfer *transfer,
					  const ApigouvTallyAttempt *attempt)
{
	TallyRow   *row = row_of(tally);
	int			sent = Max(transfer->attempts - attempt->before, 1);
	int			first = attempt->before == 0;
	ApigouvTallyCount outcome;

	if (row == NULL)
		return;
	outcome = attempt->cancelled ? APIGOUV_TALLY_CANCELLED
		: outcome_of(transfer);
	add(row, outcome, 1);
	if (outcome == APIGOUV_TALLY_NOT_SENT)
		return;
	add(row, APIGOUV_TALLY_REQUESTS, first);
	add(row, APIGOUV_TALLY_RETRIES, sent - first);
	add(row, APIGOUV_TALLY_FAILED, sent - 1);
	add(row, APIGOUV_TALLY_BYTES, attempt->bytes);
	add(row, APIGOUV_TALLY_UPSTREAM_US, attempt->us);
	raise_to(&row->counts[APIGOUV_TALLY_SLOWEST_US], (uint64) attempt->us);
}

/* ----------------------------------------------------------------
 *		tallies of this backend
 * ----------------------------------------------------------------
 */

/* Make the tally of some names, which are in the server's encoding. */
static ApigouvTally *
make_tally(const char *key, const char *const *names)
{
	ApigouvTally *tally;
	ApigouvTally made = {0};

	for (int i = 0; i < APIGOUV_TALLY_NAMES; i++)
		apigouv_encoding_copy(made.names[i], sizeof(made.names[i]),
							  apigouv_encoding_to_utf8(names[i]));
	made.hash = hash_bytes_extended((const unsigned char *) made.names,
									sizeof(made.names), 0);
	made.key = MemoryContextStrdup(TopMemoryContext, key);
	tally = hash_search(tallies, &made.key, HASH_ENTER, NULL);
	*tally = made;
	return tally;
}

ApigouvTally *
apigouv_tally_of(const ApigouvOptions *options, Relation rel)
{
	const char *names[APIGOUV_TALLY_NAMES];
	StringInfoData key;
	const char *text;
	ApigouvTally *tally;

	(void) apigouv_mapped_open(&file);
	names[APIGOUV_TALLY_DATABASE] = get_database_name(MyDatabaseId);
	names[APIGOUV_TALLY_SERVER] = options->server_name;
	names[APIGOUV_TALLY_SCHEMA] = rel == NULL ? ""
		: get_namespace_name(RelationGetNamespace(rel));
	names[APIGOUV_TALLY_TABLE] = rel == NULL ? ""
		: RelationGetRelationName(rel);
	initStringInfo(&key);
	for (int i = 0; i < APIGOUV_TALLY_NAMES; i++)
	{
		if (names[i] == NULL)	/* dropped a moment ago */
			names[i] = "";
		appendStringInfo(&key, "%s.", quote_identifier(names[i]));
	}
	if (tallies == NULL)
		tallies = texthash_create("apigouv_fdw tallies",
								  sizeof(ApigouvTally), 64,
								  TopMemoryContext);
	text = key.data;
	tally = hash_search(tallies, &text, HASH_FIND, NULL);
	if (tally == NULL)
		tally = make_tally(text, names);
	check_first(tally);
	pfree(key.data);
	return tally;
}

bool
apigouv_tally_is_table(const ApigouvTally *tally)
{
	return tally != NULL && tally->names[APIGOUV_TALLY_TABLE][0] != '\0';
}

const char *
apigouv_tally_name(const ApigouvTally *tally, ApigouvTallyName which)
{
	return tally->names[which];
}

/* ----------------------------------------------------------------
 *		SQL functions
 * ----------------------------------------------------------------
 */

/* A row as the view shows it. */
typedef struct ShownRow
{
	TallyRow   *names;			/* of the first row of these names */
	TimestampTz since;
	uint64		counts[APIGOUV_TALLY_COUNTS];
} ShownRow;

/* The shown row of the same names, or the next, which has none yet. */
static ShownRow *
shown_row_of(ShownRow *shown, int *n, TallyRow *row)
{
	for (int i = 0; i < *n; i++)
	{
		if (shown[i].names->hash == row->hash &&
			memcmp(shown[i].names->names, row->names,
				   sizeof(row->names)) == 0)
			return &shown[i];
	}
	shown[*n].names = row;
	shown[*n].since = row->since;
	return &shown[(*n)++];
}

/* All rows that have counted something, those of the same names together. */
static int
collect(ShownRow *shown)
{
	TallyRow   *rows = apigouv_mapped_contents(&file);
	int			n = 0;

	for (int i = 0; i < ROWS; i++)
	{
		ShownRow   *to;

		if (i != OTHERS && state_of(&rows[i]) != ROW_READY)
			continue;
		pg_read_barrier();
		to = shown_row_of(shown, &n, &rows[i]);
		if (i == OTHERS)
			to->since = file.header->since;
		to->since = Min(to->since, rows[i].since > 0 ? rows[i].since
						: to->since);
		for (int what = 0; what < APIGOUV_TALLY_COUNTS; what++)
		{
			uint64		count = pg_atomic_read_u64(&rows[i].counts[what]);

			if (what == APIGOUV_TALLY_SLOWEST_US)
				to->counts[what] = Max(to->counts[what], count);
			else
				to->counts[what] += count;
		}
	}
	return n;
}

/* Has a row counted anything? */
static bool
is_empty(const ShownRow *shown)
{
	for (int what = 0; what < APIGOUV_TALLY_COUNTS; what++)
	{
		if (shown->counts[what] > 0)
			return false;
	}
	return true;
}

/*
 * apigouv_stats
 *		What was asked, a row per database, server and table; and one without
 *		names for those that had no room.
 */
Datum
apigouv_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ShownRow   *shown;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!apigouv_mapped_open(&file))
		apigouv_mapped_refuse(&file);
	if (!rows_are_sound(apigouv_mapped_contents(&file)) &&
		!apigouv_mapped_recheck(&file))
		apigouv_mapped_refuse(&file);
	shown = MemoryContextAllocZero(CurrentMemoryContext,
								   sizeof(ShownRow) * ROWS);
	n = collect(shown);
	for (int i = 0; i < n; i++)
	{
		Datum		values[STATS_COLUMNS] = {0};
		bool		nulls[STATS_COLUMNS] = {0};
		int			at = 0;

		if (is_empty(&shown[i]))
			continue;
		for (; at < APIGOUV_TALLY_NAMES; at++)
		{
			const char *name = shown[i].names->names[at];

			nulls[at] = *name == '\0';
			values[at] = CStringGetTextDatum(apigouv_encoding_from_utf8(name));
		}
		for (int what = 0; what < APIGOUV_TALLY_COUNTS; what++, at++)
		{
			uint64		count = shown[i].counts[what];

			values[at] = what >= APIGOUV_TALLY_UPSTREAM_US
				? Float8GetDatum((double) count / 1000)
				: Int64GetDatum((int64) count);
		}
		values[at] = TimestampTzGetDatum(shown[i].since);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/*
 * apigouv_stats_reset
 *		Begin all counters anew.
 */
Datum
apigouv_stats_reset(PG_FUNCTION_ARGS)
{
	if (!apigouv_mapped_renew(&file))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not make file \"%s\": %m", file.path)));
	PG_RETURN_VOID();
}
