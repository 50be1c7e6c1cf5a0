/*-------------------------------------------------------------------------
 *
 * audit.c
 *		Audit lines: who asked what, about whom, and why.
 *
 * A line is one JSON object in the server log, in one entry of its own.  Each
 * request has two, one before it is sent and one at its end, so that a crash
 * between them leaves a trace; a reply that a cache gives has one.  The log is
 * no table: what is rolled back was asked all the same.
 *
 * Rules that no single function shows:
 *
 * - A request whose line cannot be written is not sent.
 *
 * - Lines go to the log only, without statement, context or parameters, and
 *	 hold no token, no link, no value that is personal data: keys that are tell
 *	 by the keyed hash that CONTEXT shows as well.
 *
 * - Names, purposes and keys come from users.  They are cut and escaped, and
 *	 everything beyond ASCII with them: a log may hold lines of databases with
 *	 other encodings.
 *
 * - What is written while transfers move, or while a transaction ends, raises
 *	 nothing and serves no interrupt.  All that may raise is done when the
 *	 request is queued, where the text of who and what is made once for both
 *	 lines; it is malloc'd, as the transfer that it belongs to.
 *
 * Requests for access tokens and for a token's scopes have no lines: they ask
 * about nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/syslogger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit.h"
#include "encoding.h"
#include "messages.h"
#include "redact.h"
#include "texthash.h"

PG_FUNCTION_INFO_V1(apigouv_key_hash);

/* What an entry of the log begins with. */
#define PREFIX "apigouv_fdw audit: "

/* Most characters of a name or a purpose, and of the values of a key. */
#define MAX_TEXT_CHARS	500
#define MAX_KEY_BYTES	8192

/* A request whose end is to be noted; malloc'd. */
typedef struct AuditRecord
{
	const ApigouvApi *api;
	const ApigouvRoute *route;
	bool		begun;			/* its first line is written */
	char		id[48];			/* the same on both lines */
	char		subject[FLEXIBLE_ARRAY_MEMBER]; /* members that both have */
} AuditRecord;

static MemoryContext line_cxt = NULL;	/* of one line */
static uint64 last_number = 0;	/* of this backend's requests */

static const char *const verdicts[] = {
	"rows", "no_row", "row", "retry", "unavailable", "refused", "token",
	"quota", "error", "dead_link"
};

static const char *const failures[] = {
	NULL, "connect", "address", "tls", "timeout", "lost", "too_large",
	"encoding", "memory", "quota", "ledger", "audit",
	"bound", "other"
};

StaticAssertDecl(lengthof(verdicts) == APIGOUV_REPLY_DEAD_LINK + 1,
				 "a word for each verdict");
StaticAssertDecl(lengthof(failures) == APIGOUV_FAILURE_OTHER + 1,
				 "a word for each failure");

/* ----------------------------------------------------------------
 *		JSON, in ASCII
 * ----------------------------------------------------------------
 */

/* Append a character as JSON. */
static void
append_char(StringInfo line, pg_wchar c)
{
	if (c == '"' || c == '\\')
		appendStringInfo(line, "\\%c", (char) c);
	else if (c >= ' ' && c < 0x7f)
		appendStringInfoChar(line, (char) c);
	else if (c < 0x10000)
		appendStringInfo(line, "\\u%04x", c);
	else
		appendStringInfo(line, "\\u%04x\\u%04x",
						 0xd800 + ((c - 0x10000) >> 10),
						 0xdc00 + ((c - 0x10000) & 0x3ff));
}

/*
 * append_text
 *		Append a text in UTF-8 as a JSON string, cut to a number of characters;
 *		NULL as null.
 *
 * Bytes that are not UTF-8 become the character that stands for such.
 */
static void
append_text(StringInfo line, const char *text, int most_chars)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end;
	int			n;

	if (text == NULL)
	{
		appendStringInfoString(line, "null");
		return;
	}
	end = p + strlen(text);
	appendStringInfoChar(line, '"');
	for (n = 0; p < end && n < most_chars; n++)
	{
		int			len = pg_utf_mblen(p);

		if (len <= end - p && pg_utf8_islegal(p, len))
			append_char(line, utf8_to_unicode(p));
		else
		{
			append_char(line, 0xfffd);
			len = 1;
		}
		p += len;
	}
	if (p < end)
		append_char(line, 0x2026);	/* an ellipsis */
	appendStringInfoChar(line, '"');
}

/* Append ,"name":"text"; the text is in UTF-8. */
static void
append_member(StringInfo line, const char *name, const char *text)
{
	appendStringInfo(line, ",\"%s\":", name);
	append_text(line, text, MAX_TEXT_CHARS);
}

/* The same with a text in the server's encoding. */
static void
append_name(StringInfo line, const char *name, const char *text)
{
	append_member(line, name, apigouv_encoding_to_utf8(text));
}

/* Append ,"name":"moment", in UTC. */
static void
append_moment(StringInfo line, const char *name, TimestampTz moment)
{
	struct pg_tm tm;
	fsec_t		us;

	if (timestamp2tm(moment, NULL, &tm, &us, NULL, NULL) != 0)
		return;
	appendStringInfo(line, ",\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"",
					 name, tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour,
					 tm.tm_min, tm.tm_sec, (int) us);
}

/* ----------------------------------------------------------------
 *		the log
 * ----------------------------------------------------------------
 */

/* Do the lines of an API's requests have to be written? */
static bool
is_due(const ApigouvApi *api)
{
	return apigouv_audit == APIGOUV_AUDIT_ON ||
		(apigouv_audit == APIGOUV_AUDIT_AUTO && api->audit);
}

/* Does what this server writes to its standard error go nowhere? */
static bool
stderr_is_lost(void)
{
	struct stat st;
	struct stat null;

	if (fstat(fileno(stderr), &st) != 0)
		return true;
	return S_ISCHR(st.st_mode) && stat("/dev/null", &null) == 0 &&
		st.st_rdev == null.st_rdev;
}

/*
 * why_lost
 *		Why an entry would not reach the log, as a sentence; NULL if it would.
 *
 * Whatever the destination, it is the standard error of this process unless it
 * is syslog: the collector reads it at its other end.  Never raises.
 */
static const char *
why_lost(void)
{
	if (!message_level_is_interesting(LOG_SERVER_ONLY))
		return gettext_noop("Setting \"log_min_messages\" keeps the entries of level LOG out of it.");
	if (Log_destination == 0)
		return gettext_noop("Setting \"log_destination\" is empty.");
	if ((Log_destination & LOG_DESTINATION_SYSLOG) == 0 && stderr_is_lost())
		return gettext_noop("The server was started with its standard error closed, or sent to /dev/null.");
	return NULL;
}

void
apigouv_audit_check(const ApigouvOptions *options)
{
	const char *why;

	if (!is_due(options->api))
		return;
	why = why_lost();
	if (why == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot use foreign server \"%s\": its audit lines would not reach the server log",
					options->server_name),
			 errdetail("%s  No request was made.", _(why)),
			 errhint("Its requests must be logged (setting \"apigouv_fdw.audit\"): let the server log receive entries of level LOG.")));
}

/* The context of a line's texts, empty. */
static MemoryContext
fresh_line_cxt(void)
{
	if (line_cxt == NULL)
		line_cxt = AllocSetContextCreate(TopMemoryContext,
										 "apigouv_fdw audit line",
										 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(line_cxt);
	return line_cxt;
}

/*
 * Write an entry.  Callbacks would add their context, for nothing; the text of
 * the statement may tell anything.
 */
static void
write_entry(const StringInfoData *line)
{
	ErrorContextCallback *callbacks = error_context_stack;

	error_context_stack = NULL;
	ereport(LOG_SERVER_ONLY,
			(errmsg_internal(PREFIX "%s", line->data),
			 errhidestmt(true),
			 errhidecontext(true)));
	error_context_stack = callbacks;
}

/* The beginning of a line. */
static void
begin_line(StringInfo line, const char *event, const char *id,
		   const char *subject)
{
	initStringInfo(line);
	appendStringInfo(line, "{\"event\":\"%s\",\"id\":\"%s\"", event, id);
	append_moment(line, "time", GetCurrentTimestamp());
	appendStringInfoString(line, subject);
}

/* ----------------------------------------------------------------
 *		both lines of a request
 * ----------------------------------------------------------------
 */

static void
write_begin(const AuditRecord *record, const ApigouvTransfer *transfer,
			bool cancelled)
{
	StringInfoData line;

	begin_line(&line, "begin", record->id, record->subject);
	appendStringInfoChar(&line, '}');
	write_entry(&line);
}

/* How a request ended: the verdict on its reply, or why there is none. */
static void
append_outcome(StringInfo line, const AuditRecord *record,
			   const ApigouvTransfer *transfer, bool cancelled)
{
	ApigouvJudgement judgement;

	if (cancelled)
		append_member(line, "verdict", "cancelled");
	else if (transfer->failure != APIGOUV_FAILURE_NONE)
	{
		append_member(line, "verdict", "failed");
		append_member(line, "failure", failures[transfer->failure]);
	}
	else
	{
		apigouv_reply_judge(record->api, record->route, transfer, true,
							&judgement);
		append_member(line, "verdict", verdicts[judgement.verdict]);
	}
}

/* What of a reply both a request and a cache can tell. */
static void
append_reply(StringInfo line, const ApigouvTransfer *transfer)
{
	if (transfer->status != 0)
		appendStringInfo(line, ",\"status\":%d", transfer->status);
	if (transfer->request_id[0] != '\0')
		append_member(line, "request_id", transfer->request_id);
}

static void
write_end(const AuditRecord *record, const ApigouvTransfer *transfer,
		  bool cancelled)
{
	TimestampTz ended_at = cancelled ? GetCurrentTimestamp()
	: transfer->ended_at;
	StringInfoData line;

	begin_line(&line, "end", record->id, record->subject);
	append_outcome(&line, record, transfer, cancelled);
	append_reply(&line, transfer);
	appendStringInfo(&line, ",\"attempts\":%d,\"ms\":%.3f,\"bytes\":" INT64_FORMAT,
					 transfer->attempts,
					 transfer->started_at == 0 ? 0.0
					 : (double) (ended_at - transfer->started_at) / 1000,
					 transfer->bytes);
	if (transfer->limit_remaining >= 0)
		appendStringInfo(&line, ",\"quota_left\":%d",
						 transfer->limit_remaining);
	appendStringInfoChar(&line, '}');
	write_entry(&line);
}

/*
 * try_writing
 *		Write a line where nothing may raise and no interrupt be served; true
 *		when it is written.
 *
 * What can go wrong is memory, or a hook of another library: nothing that
 * needs a subtransaction to be undone.
 */
static bool
try_writing(void (*write) (const AuditRecord *record,
						   const ApigouvTransfer *transfer, bool cancelled),
			const AuditRecord *record, const ApigouvTransfer *transfer,
			bool cancelled)
{
	MemoryContext old = CurrentMemoryContext;
	uint32		held = InterruptHoldoffCount;
	volatile bool written = false;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		MemoryContextSwitchTo(fresh_line_cxt());
		write(record, transfer, cancelled);
		written = true;
	}
	PG_CATCH();
	{
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	InterruptHoldoffCount = held;
	return written;
}

/* An ApigouvWatch's: the first attempt is about to be made. */
static bool
request_begins(const ApigouvTransfer *transfer, void *arg)
{
	AuditRecord *record = arg;

	if (!record->begun)
		record->begun = why_lost() == NULL &&
			try_writing(write_begin, record, transfer, false);
	return record->begun;
}

/* An ApigouvWatch's: what was begun has ended. */
static void
request_ended(const ApigouvTransfer *transfer, bool cancelled, void *arg)
{
	AuditRecord *record = arg;

	if (record->begun)
		(void) try_writing(write_end, record, transfer, cancelled);
	free(record);
}

static const ApigouvWatch watch = {request_begins, request_ended};

/* An ApigouvWatch's: nobody can say yet what the request asks. */
static bool
unnoted_begins(const ApigouvTransfer *transfer, void *arg)
{
	return false;
}

static void
unnoted_ended(const ApigouvTransfer *transfer, bool cancelled, void *arg)
{
}

/*
 * What a queued request has until its lines are made: should that raise, it
 * is not sent, whoever else waits for its reply.
 */
static const ApigouvWatch unnoted = {unnoted_begins, unnoted_ended};

/* A name that no other request of the cluster has. */
static char *
next_id(void)
{
	return psprintf("%lx.%x." UINT64_FORMAT, (long) MyStartTime, MyProcPid,
					++last_number);
}

/*
 * Have a queued request noted; subject: members that its lines begin with.
 */
static void
watch_request(ApigouvTransfer *transfer, const ApigouvApi *api,
			  const ApigouvRoute *route, const StringInfoData *subject)
{
	size_t		size = offsetof(AuditRecord, subject) + subject->len + 1;
	AuditRecord *record = malloc(size);

	if (record == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	record->api = api;
	record->route = route;
	record->begun = false;
	strlcpy(record->id, next_id(), sizeof(record->id));
	memcpy(record->subject, subject->data, subject->len + 1);
	apigouv_http_watch(transfer, &watch, record);
}

/* ----------------------------------------------------------------
 *		who, what, why
 * ----------------------------------------------------------------
 */

/* Who asks, and which server. */
static void
append_who(StringInfo line, const ApigouvOptions *options, Oid userid)
{
	append_name(line, "role", GetUserNameFromId(userid, true));
	append_name(line, "session_user",
				GetUserNameFromId(GetSessionUserId(), true));
	append_name(line, "database", get_database_name(MyDatabaseId));
	append_name(line, "application_name",
				application_name != NULL ? application_name : "");
	appendStringInfo(line, ",\"pid\":%d", MyProcPid);
	append_member(line, "api", options->api->name);
	append_name(line, "server", options->server_name);
}

/* Append texts in UTF-8 as a list that grows no longer than a bound. */
static void
append_texts(StringInfo line, const List *texts)
{
	int			begin = line->len;
	ListCell   *lc;

	appendStringInfoChar(line, '[');
	foreach(lc, texts)
	{
		bool		is_long = line->len - begin > MAX_KEY_BYTES;

		appendStringInfoString(line, lc == list_head(texts) ? "" : ",");
		append_text(line, is_long ? "..." : lfirst(lc), MAX_TEXT_CHARS);
		if (is_long)
			break;
	}
	appendStringInfoChar(line, ']');
}

/* Append a list to the object that is a member of a line; *n: its members. */
static void
append_to_object(StringInfo line, const char *object, int *n,
				 const char *name, const List *texts)
{
	if ((*n)++ == 0)
		appendStringInfo(line, ",\"%s\":{", object);
	else
		appendStringInfoChar(line, ',');
	append_text(line, name, NAMEDATALEN);
	appendStringInfoChar(line, ':');
	append_texts(line, texts);
}

/* The values that parameters on a column send, all together. */
static List *
values_of(const ApigouvTask *task, int column)
{
	const ApigouvRoute *route = task->sroute->route;
	List	   *values = NIL;

	for (int i = 0; i < route->nparams; i++)
	{
		if (apigouv_failure_is_of_key(&route->params[i]) &&
			route->params[i].column == column)
			values = list_concat(values, task->wires[i]);
	}
	return values;
}

/* Is a text all that a list holds? */
static bool
is_all_of(const char *text, const List *list)
{
	return text != NULL && list_length(list) == 1 &&
		strcmp(linitial(list), text) == 0;
}

/*
 * append_values
 *		What is asked: by column, in the words of the condition where it is an
 *		equality; then what is sent for it, where that is not the same.
 */
static void
append_values(StringInfo line, const ApigouvTable *table,
			  const ApigouvTask *task)
{
	const ApigouvRoute *route = task->sroute->route;
	int			n = 0;
	int			nsent = 0;

	for (int i = 0; i < table->ncolumns; i++)
	{
		List	   *values = values_of(task, i);
		char	   *asked = task->echo[i];

		if (values != NIL)
			append_to_object(line, "key", &n, table->columns[i].name,
							 asked ? list_make1(asked) : values);
	}
	appendStringInfoString(line, n > 0 ? "}" : ",\"key\":null");
	for (int i = 0; i < route->nparams; i++)
	{
		const ApigouvParam *param = &route->params[i];

		if (apigouv_failure_is_of_key(param) && task->wires[i] != NIL &&
			task->echo[param->column] != NULL &&
			!is_all_of(task->echo[param->column], task->wires[i]))
			append_to_object(line, "sent", &nsent, param->name,
							 task->wires[i]);
	}
	appendStringInfoString(line, nsent > 0 ? "}" : "");
}

/* Do the values that a route is asked with tell more than the log may know? */
static bool
must_hash(const ApigouvTable *table, const ApigouvRoute *route)
{
	if (route->is_personal)
		return true;
	for (int i = 0; i < route->nparams; i++)
	{
		if (route->params[i].column >= 0 &&
			table->columns[route->params[i].column].secret)
			return true;
	}
	return false;
}

/* Append a key's hash.  Without one nobody could tell what was asked. */
static void
append_hash(StringInfo line, const char *hash)
{
	if (hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("could not write an audit line: the cluster has no key to hash with"),
				 errdetail("No request was made."),
				 errhint("Let the server's system user write in its directory pg_stat_tmp.")));
	append_member(line, "key_hash", hash);
}

/*
 * append_key
 *		What is asked, or its hash where it is personal data.
 */
static void
append_key(StringInfo line, const ApigouvTable *table,
		   const ApigouvTask *task)
{
	if (must_hash(table, task->sroute->route) &&
		apigouv_failure_has_key(task))
		append_hash(line, apigouv_failure_hash(task));
	else
		append_values(line, table, task);
}

/* The text that a task sends as a part of the purpose; NULL if none. */
static const char *
purpose_sent(const ApigouvTask *task, ApigouvPurpose purpose)
{
	const ApigouvRoute *route = task->sroute->route;

	for (int i = 0; i < route->nparams; i++)
	{
		if (route->params[i].purpose == purpose && task->wires[i] != NIL)
			return linitial(task->wires[i]);
	}
	return NULL;
}

/*
 * append_why
 *		The purpose: what is sent of it, else the settings, since not every API
 *		wants to know what its user has to tell.  task: NULL if none is sent.
 */
static void
append_why(StringInfo line, const ApigouvOptions *options,
		   const ApigouvTask *task)
{
	static const struct
	{
		const char *name;
		ApigouvPurpose purpose;
		char	  **setting;
	}			parts[] = {
		{"context", APIGOUV_PURPOSE_CONTEXT, &apigouv_context},
		{"object", APIGOUV_PURPOSE_OBJECT, &apigouv_object},
		{"recipient", APIGOUV_PURPOSE_RECIPIENT, &apigouv_recipient}
	};

	for (size_t i = 0; i < lengthof(parts); i++)
	{
		const char *sent = task ? purpose_sent(task, parts[i].purpose) : NULL;
		const char *set = *parts[i].setting;

		if (set != NULL && *set == '\0')
			set = NULL;
		if (set == NULL && parts[i].purpose == APIGOUV_PURPOSE_RECIPIENT)
			set = options->recipient;
		if (sent != NULL)
			append_member(line, parts[i].name, sent);
		else
			append_name(line, parts[i].name, set);
	}
}

/* The members that all lines about a page of a task begin with. */
static void
describe_page(StringInfo line, const ApigouvScanState *state,
			  const ApigouvTask *task, const ApigouvPage *page, bool lookup)
{
	const ApigouvTable *table = state->options->table;
	Relation	rel = state->rel;
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));

	append_who(line, state->options, state->userid);
	append_member(line, "table", table->name);
	append_name(line, "relation",
				quote_qualified_identifier(schema,
										   RelationGetRelationName(rel)));
	append_member(line, "route", task->sroute->route->name);
	if (lookup)
		appendStringInfoString(line, ",\"first_request\":true");
	append_key(line, table, task);
	if (page->size > 0)
		appendStringInfo(line, ",\"from\":%d", page->at);
	append_why(line, state->options, task);
}

/* Note that a cache gave a reply. */
static void
note_cached(const ApigouvReply *reply, ApigouvRing ring,
			const StringInfoData *subject)
{
	const char *cache = ring == APIGOUV_RING_XACT ? "transaction"
	: ring == APIGOUV_RING_KEPT ? "after_error" : "cluster";
	StringInfoData line;

	begin_line(&line, "cache", next_id(), subject->data);
	append_member(&line, "cache", cache);
	append_reply(&line, reply->transfer);
	if (reply->transfer->replied_at != 0)
		append_moment(&line, "replied", reply->transfer->replied_at);
	appendStringInfoChar(&line, '}');
	write_entry(&line);
}

/*
 * A number that changes with the purpose that the settings tell.  One that a
 * condition tells is sent, so that another one has another reply.
 */
static uint64
hash_of_why(void)
{
	const char *texts[] = {apigouv_context, apigouv_object, apigouv_recipient};

	return texthash_several(0, lengthof(texts), texts);
}

/*
 * was_noted
 *		Has this statement been given a reply already, for the same role, table
 *		and purpose?  Takes note that it has.
 *
 * A join may ask for the same key a million times; a function may do so for
 * one purpose after the other.
 */
static bool
was_noted(ApigouvReply *reply, const ApigouvScanState *state)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	Oid			relid = RelationGetRelid(state->rel);
	uint64		why = hash_of_why();
	bool		noted = reply->noted_in == statement &&
	reply->noted_for == state->userid && reply->noted_of == relid &&
	reply->noted_why == why;

	reply->noted_in = statement;
	reply->noted_for = state->userid;
	reply->noted_of = relid;
	reply->noted_why = why;
	return noted;
}

void
apigouv_audit_page(ApigouvScanState *state, const ApigouvTask *task,
				   const ApigouvPage *page, bool lookup, ApigouvRing ring)
{
	StringInfoData subject;
	MemoryContext old;

	if (!is_due(state->options->api) ||
		(was_noted(page->reply, state) && ring == APIGOUV_RING_XACT))
		return;
	if (ring == APIGOUV_RING_SENT)
		apigouv_http_watch(page->reply->transfer, &unnoted, NULL);
	old = MemoryContextSwitchTo(fresh_line_cxt());
	initStringInfo(&subject);
	describe_page(&subject, state, task, page, lookup);
	if (ring == APIGOUV_RING_SENT)
		watch_request(page->reply->transfer, state->options->api,
					  task->sroute->route, &subject);
	else
		note_cached(page->reply, ring, &subject);
	MemoryContextSwitchTo(old);
}

/*
 * Begin the lines of a queued request that no scan makes; false when none are
 * wanted.  What is between this and end_single is made in their context.
 */
static bool
begin_single(ApigouvTransfer *transfer, const ApigouvOptions *options,
			 Oid userid, StringInfo subject, MemoryContext *old)
{
	if (!is_due(options->api))
		return false;
	apigouv_http_watch(transfer, &unnoted, NULL);
	*old = MemoryContextSwitchTo(fresh_line_cxt());
	initStringInfo(subject);
	append_who(subject, options, userid);
	return true;
}

/* All is said of what it asks: have it noted. */
static void
end_single(ApigouvTransfer *transfer, const ApigouvOptions *options,
		   const ApigouvRoute *route, StringInfo subject, MemoryContext old)
{
	append_why(subject, options, NULL);
	watch_request(transfer, options->api, route, subject);
	MemoryContextSwitchTo(old);
}

void
apigouv_audit_document(ApigouvTransfer *transfer,
					   const ApigouvOptions *options, Oid userid,
					   const ApigouvRoute *route, const char *url)
{
	StringInfoData subject;
	MemoryContext old;

	if (!begin_single(transfer, options, userid, &subject, &old))
		return;
	append_member(&subject, "route", "document");
	append_hash(&subject, apigouv_redact_key(1, &url));
	end_single(transfer, options, route, &subject, old);
}

void
apigouv_audit_server_check(ApigouvTransfer *transfer,
						   const ApigouvOptions *options, Oid userid,
						   const ApigouvTable *table,
						   const ApigouvRoute *route)
{
	StringInfoData subject;
	MemoryContext old;

	if (!begin_single(transfer, options, userid, &subject, &old))
		return;
	append_member(&subject, "table", table->name);
	append_member(&subject, "route", route->name);
	appendStringInfoString(&subject, ",\"server_check\":true,\"key\":null");
	end_single(transfer, options, route, &subject, old);
}

/*
 * apigouv_key_hash(VARIADIC text[]) returns text
 *		The hash by which audit lines, and CONTEXT, tell a key of these values.
 */
Datum
apigouv_key_hash(PG_FUNCTION_ARGS)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	const char **texts;
	char	   *hash;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false,
					  TYPALIGN_INT, &values, &nulls, &n);
	texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		char	   *value = nulls[i] ? NULL : TextDatumGetCString(values[i]);

		if (value == NULL)
			PG_RETURN_NULL();
		texts[i] = pg_server_to_any(value, strlen(value), PG_UTF8);
	}
	hash = n > 0 ? apigouv_redact_key(n, texts) : NULL;
	if (hash == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}
