/*-------------------------------------------------------------------------
 *
 * apigouv_fdw.c
 *		Module entry: settings, and the handler's table of callbacks.
 *
 * _PG_init opens nothing, since it may run in the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "common/file_perm.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/plancache.h"

#include "apigouv_fdw.h"
#include "audit.h"
#include "bound.h"
#include "budget.h"
#include "compat.h"
#include "ledger.h"
#include "lookup_join.h"
#include "messages.h"
#include "probe.h"
#include "redact.h"
#include "stats.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(apigouv_fdw_handler);

extern PGDLLEXPORT void _PG_init(void);

char	   *apigouv_context = NULL;
char	   *apigouv_object = NULL;
char	   *apigouv_recipient = NULL;
char	   *apigouv_france_connect_token = NULL;
bool		apigouv_enable_pushdown = true;
bool		apigouv_fresh = false;
int			apigouv_on_failure = APIGOUV_ON_FAILURE_ERROR;
int			apigouv_cache_size = 48 * 1024;
int			apigouv_keep_after_error_s = 60;
int			apigouv_shared_cache_size = 256 * 1024;

int			apigouv_audit = APIGOUV_AUDIT_AUTO;
int			apigouv_missing_key = APIGOUV_MISSING_KEY_ERROR;

static const struct config_enum_entry audit_values[] = {
	{"auto", APIGOUV_AUDIT_AUTO, false},
	{"on", APIGOUV_AUDIT_ON, false},
	{"off", APIGOUV_AUDIT_OFF, false},
	{NULL, 0, false}
};

static const struct config_enum_entry on_failure_values[] = {
	{"error", APIGOUV_ON_FAILURE_ERROR, false},
	{"row", APIGOUV_ON_FAILURE_ROW, false},
	{NULL, 0, false}
};

static const struct config_enum_entry missing_key_values[] = {
	{"error", APIGOUV_MISSING_KEY_ERROR, false},
	{"empty", APIGOUV_MISSING_KEY_EMPTY, false},
	{NULL, 0, false}
};

/*
 * definition_dir_changed
 *		Definitions read from another directory are not valid any more.
 *
 * The variable itself cannot be looked at: while a parallel worker is given
 * the settings of its leader, the value that it points to has been freed.
 */
static void
definition_dir_changed(const char *newval, void *extra)
{
	static char known[MAXPGPATH] = "";

	if (strcmp(known, newval ? newval : "") != 0)
	{
		strlcpy(known, newval ? newval : "", sizeof(known));
		apigouv_apidef_reset();
		ResetPlanCache();		/* plans hold positions in definitions */
	}
}

/* A recipient is empty or a SIRET. */
static bool
check_recipient(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || apigouv_check_siret(*newval))
		return true;
	GUC_check_errdetail("The recipient is a SIRET: 14 digits whose checksum is right.");
	return false;
}

/*
 * check_person_token
 *		A person's token is for the session that was given it, and for no
 *		place that outlives it.
 *
 * ALTER ROLE, ALTER DATABASE and the SET of a function test a value before
 * they store it; every other source but SET and set_config() is a file, a
 * catalog or a command line.  The connection's own options are refused as
 * well: RESET and DISCARD ALL go back to them, so that a pooled connection
 * would ask for the next person with the token of the one before, and the
 * client's environment shows them.
 *
 * No message repeats the value.  Visible characters only, so that it cannot
 * add a header.
 */
static bool
check_person_token(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
		return true;
	if (source != PGC_S_SESSION)
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("parameter \"%s\" cannot be stored",
						 "apigouv_fdw.france_connect_token");
		GUC_check_errhint("It is the token of one person: use SET LOCAL, or set_config() with a bind parameter, in the transaction that asks.");
		return false;
	}
	if (apigouv_option_is_secret(*newval))
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("invalid value for parameter \"%s\"",
					 "apigouv_fdw.france_connect_token");
	GUC_check_errhint("A token is at most %d printable ASCII characters without blanks.",
					  APIGOUV_MAX_SECRET_BYTES);
	return false;
}

/* Show whether there is a token, and no more. */
static const char *
show_person_token(void)
{
	return apigouv_france_connect_token != NULL &&
		*apigouv_france_connect_token != '\0' ? "********" : "";
}

/* Settings that say for what, and for whom, an API is asked. */
static void
define_purpose(void)
{
	DefineCustomStringVariable("apigouv_fdw.context",
							   "Framework of the requests, for APIs that demand a purpose.",
							   "A condition on the key column \"contexte\" wins over it.",
							   &apigouv_context, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("apigouv_fdw.object",
							   "Reason of the requests or file number, for APIs that demand a purpose.",
							   "A condition on the key column \"objet\" wins over it.",
							   &apigouv_object, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("apigouv_fdw.recipient",
							   "SIRET of the administration that may use the data.",
							   "Wins over the server's option \"recipient\".",
							   &apigouv_recipient, "", PGC_SUSET, 0,
							   check_recipient, NULL, NULL);
	DefineCustomEnumVariable("apigouv_fdw.audit",
							 "Writes who asks what, and why, to the server log.",
							 "\"auto\" does for the APIs whose terms demand it.",
							 &apigouv_audit, APIGOUV_AUDIT_AUTO, audit_values,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	/* not GUC_NO_RESET_ALL: a pool's DISCARD ALL must clear it */
	DefineCustomStringVariable("apigouv_fdw.france_connect_token",
							   "FranceConnect access token of the person concerned, for tables that need one.",
							   "It lives with the session at most and is never shown.",
							   &apigouv_france_connect_token, "", PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE |
							   GUC_DISALLOW_IN_FILE,
							   check_person_token, NULL, show_person_token);
}

/* Settings of the engine. */
static void
define_engine(void)
{
	/* not the user's: off, a view's condition no longer chooses the sources */
	DefineCustomBoolVariable("apigouv_fdw.enable_pushdown",
							 "Sends optional conditions to the API.",
							 "For proofs and diagnosis: keys are sent in any case.",
							 &apigouv_enable_pushdown, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("apigouv_fdw.enable_lookup_join",
							 "Lets joins ask for the keys of many rows together.",
							 NULL, &apigouv_enable_lookup_join, true,
							 PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("apigouv_fdw.max_requests_per_query",
							"Most requests that a query may make.",
							"0 lets it read caches only, -1 sets no bound.",
							&apigouv_max_requests_per_query, 2000, -1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("apigouv_fdw.max_duration_ms",
							"Refuses a query that the limits of an API would make longer.",
							"-1 sets no bound.",
							&apigouv_max_duration_ms, -1, -1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("apigouv_fdw.on_failure",
							 "What a key that fails gives: an error, or a row that tells why.",
							 NULL, &apigouv_on_failure,
							 APIGOUV_ON_FAILURE_ERROR, on_failure_values,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("apigouv_fdw.missing_key",
							 "What a table gives whose key is not asked for: an error, or no row and a warning.",
							 "\"empty\" is for tools that look at some rows of every table.",
							 &apigouv_missing_key, APIGOUV_MISSING_KEY_ERROR,
							 missing_key_values, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("apigouv_fdw.definition_dir",
							   "Directory of the API definitions.",
							   "Empty means those installed with the extension.",
							   &apigouv_definition_dir, "", PGC_SUSET, 0,
							   NULL, definition_dir_changed, NULL);
}

/* Settings of the caches. */
static void
define_caches(void)
{
	DefineCustomBoolVariable("apigouv_fdw.fresh",
							 "Asks for data past the caches of the API, and past those kept here.",
							 "A repetition within the transaction has the same reply.",
							 &apigouv_fresh, false, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("apigouv_fdw.cache_size",
							"Memory for the replies of a transaction.",
							"Replies past it go to a temporary file; what a failed statement leaves is bounded by it as well.",
							&apigouv_cache_size, 48 * 1024, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("apigouv_fdw.keep_after_error_s",
							"How long what a failed transaction has fetched serves the next ones of the session.",
							"0 means not at all.",
							&apigouv_keep_after_error_s, 60, 0, 86400,
							PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("apigouv_fdw.shared_cache_size",
							"Disk space for replies kept for the whole cluster.",
							"The oldest go first.  0 means that none is kept.",
							&apigouv_shared_cache_size, 256 * 1024, 0,
							MAX_KILOBYTES, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
}

/*
 * apigouv_textdomain
 *		Name of the catalog of our messages, which are then found and come in
 *		the encoding of the database.
 *
 * A library that is preloaded is initialized by the postmaster, which has no
 * database: each process that it makes has to bind the catalog anew.  Does
 * nothing from the second time on.
 */
const char *
apigouv_textdomain(void)
{
	static int	bound_by = 0;	/* process; 0: none yet */
	static const char *const domain = PG_TEXTDOMAIN("apigouv_fdw");

	if (bound_by != MyProcPid)
	{
		bound_by = MyProcPid;
		pg_bindtextdomain(domain);
	}
	return domain;
}

/* An ApigouvTranslator. */
static const char *
translate(const char *text)
{
	return _(text);
}

void
_PG_init(void)
{
	(void) apigouv_textdomain();
	apigouv_bound_check();		/* first: it may refuse to go on */
	apigouv_ledger_mode = pg_file_create_mode;
	apigouv_ledger_translate = translate;
	define_purpose();
	define_engine();
	define_caches();
	MarkGUCPrefixReserved("apigouv_fdw");
	apigouv_stats_install();
	apigouv_lookup_install();
}

/* The foreign data wrapper's callbacks. */
Datum
apigouv_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	/* planning (plan.c) */
	routine->GetForeignRelSize = apigouvGetForeignRelSize;
	routine->GetForeignPaths = apigouvGetForeignPaths;
	routine->GetForeignPlan = apigouvGetForeignPlan;

	routine->GetForeignUpperPaths = apigouvGetForeignUpperPaths;

	/* execution (scan.c) */
	routine->BeginForeignScan = apigouvBeginForeignScan;
	routine->IterateForeignScan = apigouvIterateForeignScan;
	routine->ReScanForeignScan = apigouvReScanForeignScan;
	routine->EndForeignScan = apigouvEndForeignScan;

	/* execution beside other scans (async.c) */
	routine->IsForeignPathAsyncCapable = apigouvIsForeignPathAsyncCapable;
	routine->ForeignAsyncRequest = apigouvForeignAsyncRequest;
	routine->ForeignAsyncConfigureWait = apigouvForeignAsyncConfigureWait;
	routine->ForeignAsyncNotify = apigouvForeignAsyncNotify;

	/* EXPLAIN (explain.c) */
	routine->ExplainForeignScan = apigouvExplainForeignScan;

	/* ANALYZE (analyze.c) */
	routine->AnalyzeForeignTable = apigouvAnalyzeForeignTable;

	/* IMPORT FOREIGN SCHEMA (import.c) */
	routine->ImportForeignSchema = apigouvImportForeignSchema;

	PG_RETURN_POINTER(routine);
}
