/*-------------------------------------------------------------------------
 *
 * scan_state.h
 *		The state of a foreign scan, shared by scan.c, task.c and fetch.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_SCAN_STATE_H
#define APIGOUV_SCAN_STATE_H

#include "apigouv_fdw.h"
#include "tuple.h"
#include "xact_cache.h"

#include "lib/ilist.h"
#include "nodes/execnodes.h"

/* A condition that feeds a parameter, or restricts a constant column. */
typedef struct ApigouvScanBinding
{
	int			target;			/* parameter of the route, or column */
	int			expr;			/* position in the scan's expressions */
	uint32		op;
	bool		is_array;
	int			malformed;		/* values last dropped, by this binding or an
								 * earlier one of the same expression */
} ApigouvScanBinding;

/* A route of the plan. */
typedef struct ApigouvScanRoute
{
	int			position;		/* in the table */
	const ApigouvRoute *route;
	int			nbindings;
	ApigouvScanBinding *bindings;
	ApigouvReader *reader;		/* NULL until a reply is to be read */
} ApigouvScanRoute;

/* What was done, for EXPLAIN ANALYZE and the warnings. */
typedef struct ApigouvScanCounts
{
	int64		requests;		/* sent anew by this scan */
	int64		attempts;
	int64		cache_hits;		/* replies that the transaction had */
	int64		kept_hits;		/* ... that a failed transaction had left */
	int64		shared_hits;	/* ... of the cluster's files */
	int64		pages;			/* replies read */
	int64		bytes;
	int64		duplicates;		/* rows dropped */
	int64		malformed;		/* key values not sent */
	int64		failed;			/* keys whose row tells of an error */
	int64		merged;			/* of cache_hits: what this scan has asked */
	int64		upstream_us;	/* of all attempts */
	int64		quota_wait_us;	/* slept because of limits alone */
} ApigouvScanCounts;

/* One page of a task: its request and reply. */
typedef struct ApigouvPage
{
	ApigouvBuilt built;
	ApigouvReply *reply;
	ApigouvHold *hold;			/* on the reply */
	bool		begun;			/* its rows are being read */
	bool		counted;		/* its transfer is in the counts */
	bool		ours;			/* this scan sent it */
	int			size;			/* rows asked for; 0 = not paged */
	int			at;				/* offset, or page number from 1 */
	int			skip;			/* rows that were returned already */
	bool		everything;		/* asks for all rows of an unstable list */
} ApigouvPage;

typedef enum ApigouvTaskState
{
	APIGOUV_TASK_NEW,
	APIGOUV_TASK_LOOKUP,		/* waits for the route's first request */
	APIGOUV_TASK_READING,
	APIGOUV_TASK_MADE_ROW,		/* gives one row that no reply holds */
	APIGOUV_TASK_DONE
} ApigouvTaskState;

/* One set of values for a route: one request, or a sequence of pages. */
typedef struct ApigouvTask
{
	ApigouvScanRoute *sroute;
	ApigouvTaskState state;
	List	  **wires;			/* per parameter: texts to send */
	char	  **echo;			/* per column: text asked, NULL if none */
	ApigouvPage lookup;			/* the first request */
	List	   *pages;			/* of ApigouvPage: the one read, then ahead */
	List	   *asked;			/* of ApigouvReply: all so far */
	List	   *read;			/* of ApigouvReply: its pages, in order */
	bool		is_at_hand;		/* a cache has the first page that a read of
								 * all rows asks for: it serves if few are
								 * wanted */
	bool		all_ours;		/* this task sent the requests of all pages */
	ApigouvUnnest *stream;		/* of the page read; NULL between pages */
	ApigouvUnnest *envelope;	/* the same, read to its end beforehand */
	int			page_rows;		/* rows met in the page read; in nested lists
								 * elements of the outermost */
	bool		came_before;	/* the last of these: in another page */
	struct ApigouvPivot *pivot; /* groups of the page read; NULL if none */
	int64		total;			/* rows announced, -1 = not known */
	int			ended;			/* pages read that no LIMIT was sure to need */
	bool		looked;			/* what follows the page read is asked for */
	int64		row_bytes;		/* of a row in a reply, about */
	bool		may_grow;		/* all rows were asked, the total unknown */
	int64		emitted;		/* rows given to the executor */
	const ApigouvSettings *made[2]; /* of the made row */
	char	   *made_error;
	ApigouvTransfer *made_from; /* whose time, status and body it tells */
	ApigouvJudgement judgement;
} ApigouvTask;

typedef struct ApigouvScanState
{
	Relation	rel;
	ApigouvOptions *options;
	ApigouvSecrets *secrets[APIGOUV_NROUTE_AUTHS];	/* NULL until needed */
	Oid			userid;
	ApigouvColumnMap map;
	List	   *columns;		/* IntList: to read */
	int			nroutes;
	ApigouvScanRoute *routes;
	int			nconstants;
	ApigouvScanBinding *constants;
	const char *missing;		/* key column without a value, or empty */
	bool		is_probe;		/* probe.c's: that may give no row, not an
								 * error */
	bool		probe_told;		/* ... and was warned about */
	bool		may_stop_early;
	bool		fresh;			/* setting apigouv_fdw.fresh, when it began */
	int			first_rows;		/* wanted at first; 0 = all */
	int			least_rows;		/* that the query reads in any case, if there
								 * are so many; 0 = not known */
	double		foreseen;		/* requests */
	List	   *exprs;			/* of Expr: values of conditions */
	List	   *hidden;			/* of Expr: conditions on personal data */
	ExprState  *hidden_state;	/* all of them; NULL: none */
	List	   *expr_states;	/* of ExprState */
	ApigouvTupler *tupler;
	Bitmapset  *filtered_keys;	/* key columns in the filter, slot's numbers */
	MemoryContext scan_cxt;
	MemoryContext batch_cxt;	/* tasks; reset on rescan */
	bool		begun;			/* tasks are made */
	bool		must_not_block; /* a row if there is one, else would_block */
	bool		would_block;	/* nothing was given, and it is not the end */
	uint64		seen_moves;		/* of the transfers, when a row was last asked
								 * for without blocking */
	int			ntasks;
	ApigouvTask *tasks;
	int			current;		/* task being read */
	int			window;			/* tasks begun ahead, the current included */
	bool		scopes_known;
	bool		scopes_asked;
	List	   *scopes;
	struct HTAB *seen;			/* rows returned, by unique column */
	bool		may_repeat;		/* tasks can overlap */
	ApigouvValue *values;		/* of the current row */
	int			nvalues;
	uint32		number;			/* of the scan, in the backend */
	ApigouvScanCounts counts;
	struct ApigouvBudget *budget;	/* of the query */
	struct ApigouvProgress *progress;	/* NULL until it asks */
	struct ApigouvTotal *total; /* totals are asked, no rows; else NULL */

	/* of a scan on the inner side of a lookup join; see ahead.c */
	ForeignScanState *node;
	dlist_node	node_link;		/* in the backend's scans */
	struct ApigouvAhead *prepared;	/* tasks begun for the outer row that the
									 * join is at; NULL: none */
	bool		is_ahead;		/* this is a copy that only begins tasks: it
								 * raises nothing that a reply says */
} ApigouvScanState;

/* task.c */
extern void apigouv_task_make(ApigouvScanState *state, ExprContext *econtext);
extern void apigouv_task_echo_names(ApigouvScanState *state,
									ApigouvTask *task);
extern const char *apigouv_task_key_name(const ApigouvScanState *state,
										 const char *column);

/* ask.c */
extern void apigouv_ask_begin(ApigouvScanState *state);
extern void apigouv_ask_foresee(ApigouvScanState *state);
extern const ApigouvSecrets *apigouv_ask_secrets(ApigouvScanState *state,
												 const ApigouvRoute *route);
extern void apigouv_ask_page(ApigouvScanState *state, ApigouvTask *task,
							 ApigouvPage *page, bool lookup);
extern void apigouv_ask_queue(ApigouvScanState *state, ApigouvTask *task,
							  const ApigouvPage *wanted);
extern bool apigouv_ask_ahead(ApigouvScanState *state, ApigouvTask *task,
							  const ApigouvPage *wanted);
extern void apigouv_ask_confirm(ApigouvScanState *state, ApigouvPage *page);
extern bool apigouv_ask_has_list(ApigouvScanState *state,
								 const ApigouvTask *task);
extern bool apigouv_ask_is_entitled(ApigouvScanState *state,
									const ApigouvRoute *route);
extern int	apigouv_ask_count_new(ApigouvScanState *state,
								  const ApigouvTask *task,
								  struct HTAB *counted);

/* advance.c */
extern void apigouv_advance_make_row(ApigouvTask *task,
									 const ApigouvSettings *first,
									 const ApigouvSettings *second,
									 char *error,
									 const ApigouvTransfer *from);
extern void apigouv_advance_count(ApigouvScanState *state,
								  ApigouvPage *page);
extern bool apigouv_advance_judge(ApigouvScanState *state,
								  ApigouvTask *task, ApigouvPage *page);
extern void apigouv_advance_refuse_body(ApigouvScanState *state,
										ApigouvTask *task, ApigouvPage *page,
										const char *why, size_t offset);
extern void apigouv_advance_window(ApigouvScanState *state);
extern void apigouv_advance_move(ApigouvScanState *state, int timeout_ms);
extern void apigouv_advance_leave(ApigouvTask *task);

/* fetch.c */
extern bool apigouv_fetch_next(ApigouvScanState *state, TupleTableSlot *slot);
extern void apigouv_fetch_stop(ApigouvScanState *state);

/* prefetch.c */
extern void apigouv_prefetch_look(ApigouvScanState *state, ApigouvTask *task,
								  int64 total, size_t row_bytes);
extern void apigouv_prefetch_ended(ApigouvScanState *state, ApigouvTask *task,
								   const ApigouvPage *page);
extern bool apigouv_prefetch_again(ApigouvScanState *state,
								   const ApigouvTask *task,
								   ApigouvPage *page);
extern void apigouv_prefetch_serve(ApigouvScanState *state);

/* failure.c: what tells a task's key, and its hash */
extern bool apigouv_failure_is_of_key(const ApigouvParam *param);
extern bool apigouv_failure_has_key(const ApigouvTask *task);
extern char *apigouv_failure_hash(const ApigouvTask *task);

/* failure.c; each raises an error */
extern void apigouv_failure_raise(const ApigouvScanState *state,
								  ApigouvTask *task,
								  const ApigouvPage *page,
								  const ApigouvTransfer *transfer);
extern void apigouv_failure_unreadable(const ApigouvScanState *state,
									   ApigouvTask *task,
									   const ApigouvPage *page, bool is_json,
									   const char *why, size_t offset);
extern void apigouv_failure_not_object(const ApigouvScanState *state,
									   ApigouvTask *task,
									   const ApigouvPage *page);
extern void apigouv_failure_no_rows(const ApigouvScanState *state,
									ApigouvTask *task,
									const ApigouvPage *page);

/* page.c */
extern void apigouv_page_first(const ApigouvScanState *state,
							   const ApigouvTask *task, ApigouvPage *page);
extern bool apigouv_page_next(ApigouvScanState *state, ApigouvTask *task,
							  const ApigouvPage *last, ApigouvPage *page);
extern bool apigouv_page_foresee(const ApigouvTask *task,
								 const ApigouvPage *last, int64 total,
								 ApigouvPage *page);
extern int64 apigouv_page_total(ApigouvValue value);
extern int64 apigouv_page_start(const ApigouvTask *task,
								const ApigouvPage *page);
extern void apigouv_page_ended(const ApigouvScanState *state,
							   ApigouvTask *task, const ApigouvPage *page,
							   int64 total);
extern void apigouv_page_forget(ApigouvTask *task);
extern void apigouv_page_failed(ApigouvTask *task, const ApigouvPage *page);
extern void apigouv_page_changed(const ApigouvScanState *state,
								 ApigouvTask *task) APIGOUV_NORETURN;

#endif							/* APIGOUV_SCAN_STATE_H */
