/*-------------------------------------------------------------------------
 *
 * apidef.h
 *		API definitions: what an API offers, read from apis/.
 *
 * The JSON form is described in doc/internals.md; these structures follow it
 * member by member.  A definition is kept for the backend's life and is
 * read-only; indexes are positions in the arrays of the same table or route.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_APIDEF_H
#define APIGOUV_APIDEF_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* ---- steps: from a text to texts ---- */

typedef enum ApigouvStepKind
{
	APIGOUV_STEP_LEFT,
	APIGOUV_STEP_DEPARTEMENT,
	APIGOUV_STEP_MAP,
	APIGOUV_STEP_TRIM,
	APIGOUV_STEP_PERIODE_DEBUT,
	APIGOUV_STEP_PERIODE_FIN,
	APIGOUV_STEP_LUHN,
	APIGOUV_STEP_MATCHES,
	APIGOUV_STEP_SIRET,
	APIGOUV_STEP_PAD,
	APIGOUV_STEP_YEAR,
	APIGOUV_STEP_MONTH,
	APIGOUV_STEP_DAY
} ApigouvStepKind;

typedef struct ApigouvStep
{
	ApigouvStepKind kind;
	int			length;			/* LEFT, PAD: characters */
	char	   *pattern;		/* MATCHES: regular expression */
	const struct ApigouvMap *map;	/* MAP */
} ApigouvStep;

/* ---- where a column's value comes from ---- */

typedef enum ApigouvSourceKind
{
	APIGOUV_SOURCE_NONE,		/* NULL */
	APIGOUV_SOURCE_PATH,
	APIGOUV_SOURCE_PARENT,		/* path in an element around the row */
	APIGOUV_SOURCE_POSITION,	/* place in a list */
	APIGOUV_SOURCE_PIVOT,		/* path in an element of the row's group */
	APIGOUV_SOURCE_GROUP,		/* all elements of the group */
	APIGOUV_SOURCE_ENVELOPE,
	APIGOUV_SOURCE_ECHO,
	APIGOUV_SOURCE_CONSTANT,
	APIGOUV_SOURCE_DERIVE,
	APIGOUV_SOURCE_FIRST_OF,
	APIGOUV_SOURCE_REPLY_TIME,
	APIGOUV_SOURCE_REPLY_STATUS,
	APIGOUV_SOURCE_REPLY_CODE,
	APIGOUV_SOURCE_REPLY_TITLE,
	APIGOUV_SOURCE_ERROR		/* column erreur: text of the failure */
} ApigouvSourceKind;

typedef enum ApigouvFormat
{
	APIGOUV_FORMAT_PLAIN,
	APIGOUV_FORMAT_UNIX_PARIS,
	APIGOUV_FORMAT_SECONDS_AFTER_REPLY
} ApigouvFormat;

typedef struct ApigouvTextPair
{
	char	   *from;
	char	   *to;				/* NULL: SQL NULL */
} ApigouvTextPair;

typedef struct ApigouvSource
{
	ApigouvSourceKind kind;
	int			npaths;			/* PATH, PARENT, PIVOT, ENVELOPE:
								 * alternatives, in order */
	char	  **paths;			/* up to a "[]", the path in the row */
	char	   *element_path;	/* what follows "[]." in paths[0]; NULL if
								 * none */
	int			level;			/* PARENT, POSITION: lists between the row and
								 * the element; 0 is the row */
	char	   *pivot;			/* PIVOT: name of the element */
	int			column;			/* ECHO, DERIVE: the column it depends on */
	char	   *text;			/* CONSTANT; ECHO: default, NULL = SQL NULL */
	int			nsteps;			/* DERIVE */
	ApigouvStep *steps;
	int			nsubs;			/* FIRST_OF: the first that is not NULL */
	struct ApigouvSource *subs;
	int			only_if_column; /* -1 = none: NULL unless that column ... */
	char	   *only_if_text;	/* ... has this value */
	ApigouvFormat format;
	int			nvalues;		/* map of texts; 0 = none */
	ApigouvTextPair *values;
	bool		has_else;
	char	   *else_text;		/* NULL = SQL NULL */
	int			past_column;	/* when_past: -1 = none */
	char	   *past_if;
	char	   *past_then;
	bool		sorted;
	bool		empty_is_null;
} ApigouvSource;

typedef struct ApigouvColumn
{
	char	   *name;
	char	   *type;			/* SQL type, e.g. "text[]" */
	char	   *comment;		/* NULL if none */
	ApigouvSource source;
	double		n_distinct;		/* 0 = not given */
	bool		personal;		/* holds personal data */
	bool		secret;			/* whoever knows the value has access */
	bool		is_opaque;		/* some route's parameter on it is opaque */
} ApigouvColumn;

/* ---- parameters ---- */

typedef enum ApigouvPlace
{
	APIGOUV_IN_PATH,
	APIGOUV_IN_QUERY,
	APIGOUV_IN_BODY,
	APIGOUV_IN_HEADER
} ApigouvPlace;

typedef enum ApigouvListMode
{
	APIGOUV_LIST_EACH,
	APIGOUV_LIST_REPEAT,
	APIGOUV_LIST_COMMA,
	APIGOUV_LIST_JSON
} ApigouvListMode;

typedef enum ApigouvExactness
{
	APIGOUV_EXACT,
	APIGOUV_SUPERSET,
	APIGOUV_DERIVED,
	APIGOUV_OPAQUE
} ApigouvExactness;

typedef enum ApigouvCheck
{
	APIGOUV_CHECK_NONE,
	APIGOUV_CHECK_SIRET,
	APIGOUV_CHECK_SIREN
} ApigouvCheck;

typedef enum ApigouvBodyType
{
	APIGOUV_BODY_STRING,
	APIGOUV_BODY_NUMBER,
	APIGOUV_BODY_BOOLEAN
} ApigouvBodyType;

typedef enum ApigouvPurpose
{
	APIGOUV_PURPOSE_NONE,
	APIGOUV_PURPOSE_RECIPIENT,
	APIGOUV_PURPOSE_CONTEXT,
	APIGOUV_PURPOSE_OBJECT
} ApigouvPurpose;

/* operators a parameter serves (bits of ApigouvParam.ops) */
#define APIGOUV_OP_EQ		0x01	/* =, IN, = ANY(array) */
#define APIGOUV_OP_GE		0x02
#define APIGOUV_OP_GT		0x04
#define APIGOUV_OP_LE		0x08
#define APIGOUV_OP_LT		0x10
#define APIGOUV_OP_OVERLAPS 0x20	/* column && array */
#define APIGOUV_OP_CONTAINS 0x40	/* column @> array */
#define APIGOUV_OP_ANY		0x80	/* value = ANY(column) */
#define APIGOUV_OP_PREFIX	0x100	/* column LIKE 'x%' */
#define APIGOUV_OP_TRUE		0x200	/* boolean column is true */

typedef struct ApigouvParam
{
	char	   *name;
	ApigouvPlace place;
	int			column;			/* -1 = not fed by a condition */
	ApigouvPurpose purpose;
	char	   *constant;		/* JSON text, NULL if not a constant */
	bool		from_lookup;
	bool		required;
	uint32		ops;
	ApigouvListMode list;
	ApigouvExactness exactness;
	char	   *cite;
	int			nsteps;
	ApigouvStep *steps;
	ApigouvCheck check;
	char	   *pattern;		/* NULL if none */
	bool		slashes;		/* a path's value has segments of its own */
	bool		has_min;		/* the wire's text is a number ... */
	bool		has_max;
	double		min;			/* ... not below this */
	double		max;			/* ... nor above that */
	bool		is_sequence;	/* an equality on its array column: elements
								 * are sent in order, all of them */
	int			min_items;		/* of a sequence */
	int			max_items;
	int			column_bytes;	/* of an integer column, else 0 */
	int			nvalues;
	char	  **values;
	bool		closed;
	ApigouvBodyType body_type;
	int			nunless_sent;
	char	  **unless_sent;	/* parameter names */
	int			nunless_read;
	int		   *unless_read;	/* columns */
} ApigouvParam;

/* ---- replies ---- */

typedef enum ApigouvVerdict
{
	APIGOUV_REPLY_ROWS,
	APIGOUV_REPLY_NO_ROW,
	APIGOUV_REPLY_ROW,
	APIGOUV_REPLY_RETRY,
	APIGOUV_REPLY_UNAVAILABLE,
	APIGOUV_REPLY_REFUSED,
	APIGOUV_REPLY_TOKEN,
	APIGOUV_REPLY_QUOTA,
	APIGOUV_REPLY_ERROR,
	APIGOUV_REPLY_DEAD_LINK		/* of a document only */
} ApigouvVerdict;

/* a column and the text it gets; column is a position in the table */
typedef struct ApigouvSetting
{
	int			column;
	char	   *text;			/* NULL = SQL NULL */
} ApigouvSetting;

typedef struct ApigouvSettings
{
	int			n;
	ApigouvSetting *items;
} ApigouvSettings;

typedef struct ApigouvReplyRule
{
	int			nstatus;		/* 0 = any; 4 and 5 stand for 4xx, 5xx */
	int		   *status;
	int			ncodes;			/* 0 = any */
	char	  **codes;			/* "?" fits one character */
	int			nnot_codes;
	char	  **not_codes;
	char	   *message_has;	/* NULL = any */
	bool		empty;			/* only replies without body */
	ApigouvVerdict verdict;
	int			after_ms;		/* 0 = not given */
	int			times;			/* -1 = not given */
	char	   *hint;
	ApigouvSettings set;
} ApigouvReplyRule;

/* ---- routes ---- */

typedef enum ApigouvPagingStyle
{
	APIGOUV_PAGING_NONE,
	APIGOUV_PAGING_OFFSET,
	APIGOUV_PAGING_PAGE
} ApigouvPagingStyle;

typedef struct ApigouvPaging
{
	ApigouvPagingStyle style;
	char	   *size_param;		/* "limit" or "size" */
	char	   *at_param;		/* "offset" or "page" */
	int			default_size;
	int			max_size;		/* 0 = none */
	bool		stable;
	int			all_size;		/* 0 = none */
	int			unique_column;	/* -1 = none */
} ApigouvPaging;

/* elements of the rows' list that make one row */
typedef struct ApigouvPivotRule
{
	int			nby;			/* 0 = each makes its own */
	char	  **by;				/* paths: values that they share */
	char	   *name;			/* path: what tells them apart */
} ApigouvPivotRule;

typedef struct ApigouvLookup
{
	char	   *path;			/* NULL = no lookup */
	char	   *value_path;
	char	   *gives;			/* parameter name */
	int			limit;			/* index in api->limits, -1 = none */
	int			nscopes;
	char	  **scopes;
} ApigouvLookup;

/* Who a route's requests are made for. */
typedef enum ApigouvRouteAuth
{
	APIGOUV_ROUTE_AUTH_API,		/* as the API says: the role's user mapping */
	APIGOUV_ROUTE_AUTH_NONE,	/* nobody: no Authorization is sent */
	APIGOUV_ROUTE_AUTH_SESSION	/* a person whose token the session sets */
}			ApigouvRouteAuth;

#define APIGOUV_NROUTE_AUTHS 3

typedef struct ApigouvRoute
{
	char	   *name;			/* "source:variant" when it has variants */
	char	   *source_name;	/* the route's name in the file */
	int			source;			/* position of that route in the file */
	bool		post;
	char	   *path;
	ApigouvRouteAuth auth;
	int			nparams;		/* the API's purpose included, if sent */
	ApigouvParam *params;
	char	   *operation;		/* the upstream's name of it; may be NULL */
	char	   *rows_path;
	int			nlists;			/* on that path */
	bool		any_rows;		/* rows need not be objects */
	ApigouvPivotRule pivot;
	bool		rows_optional;
	char	   *total_path;		/* NULL if none */
	ApigouvPaging paging;
	ApigouvSource *sources;		/* one per table column, overrides merged */
	ApigouvSettings constants;
	int			limit;			/* index in api->limits, -1 = none */
	int			nscopes;
	char	  **scopes;
	ApigouvSettings none;
	ApigouvSettings not_entitled;
	ApigouvSettings failed;
	int			nrules;			/* route's, then table's, then API's */
	ApigouvReplyRule *rules;
	int			nunless;
	int		   *unless_columns;
	ApigouvLookup lookup;
	int			otherwise;		/* route position, -1 = none */
	double		rows_per_request;
	bool		exact;
	bool		keyed;			/* has a required parameter fed by a column */
	bool		is_personal;	/* what is asked or answered is about a
								 * person: no message tells it */
	bool		may_be_kept;	/* replies hold neither personal data nor
								 * secrets: they may leave memory */
} ApigouvRoute;

/* ---- tables and APIs ---- */

typedef struct ApigouvTable
{
	struct ApigouvApi *api;
	char	   *name;
	char	   *comment;
	char	   *source;			/* where the upstream describes it; NULL if
								 * not told */
	double		rows;
	double		row_bytes;		/* of one row as sent */
	int			recommended_ttl_s;	/* for cache_ttl_s; -1 = none */
	bool		is_union;
	bool		personal_data;
	bool		holds_secrets;	/* a column is secret */
	bool		may_be_kept;	/* replies of some route may be */
	int			ncolumns;		/* implicit ones included */
	ApigouvColumn *columns;
	int			reponse_column; /* position of reponse */
	int			error_column;	/* position of erreur, -1 = none */
	int			nroutes;		/* variants expanded, file order */
	ApigouvRoute *routes;
	int			nsources;		/* routes in the file */
} ApigouvTable;

typedef enum ApigouvAuth
{
	APIGOUV_AUTH_NONE,
	APIGOUV_AUTH_BEARER,
	APIGOUV_AUTH_OAUTH2
} ApigouvAuth;

typedef enum ApigouvCountedBy
{
	APIGOUV_BY_TOKEN,
	APIGOUV_BY_AUTHORISATION,
	APIGOUV_BY_CLIENT,
	APIGOUV_BY_IP
} ApigouvCountedBy;

/* Bounds of a limit: a slot of the ledger takes 32 bytes. */
#define MAX_LIMIT_REQUESTS	100000
#define MAX_LIMIT_WINDOW_S	86400

typedef struct ApigouvLimit
{
	char	   *name;
	int			requests;		/* per window */
	int			window_ms;
	int			margin_ms;		/* added to the window: requests travel */
	ApigouvCountedBy counted_by;
	char	   *counter;		/* name that APIs may share */
} ApigouvLimit;

typedef struct ApigouvHeader
{
	char	   *name;
	char	   *value;
} ApigouvHeader;

typedef struct ApigouvPaths
{
	int			n;
	char	  **paths;
} ApigouvPaths;

/*
 * Where documents may come from.  Of its route only what concerns replies is
 * filled: rules (its own, those of all documents, the API's), and the limit.
 */
typedef struct ApigouvDocumentHost
{
	char	   *host;			/* with its port, if any; NULL: the API's own
								 * address */
	char	   *path;			/* what the path of a link starts with */
	bool		token;			/* requests carry the API's token */
	char	   *link_path;		/* the reply is JSON, and the link to the
								 * document stands there; NULL: the reply is
								 * the document */
	ApigouvRoute route;
} ApigouvDocumentHost;

typedef struct ApigouvApi
{
	char	   *name;
	char	   *title;
	char	   *base_url;
	ApigouvAuth auth;
	bool		jwt;
	char	   *token_url;
	char	   *scope;
	int			renew_before_s;
	char	   *scopes_path;	/* scopes_request; NULL if none */
	char	   *scopes_value;
	int			nheaders;
	ApigouvHeader *headers;
	int			nlimits;
	ApigouvLimit *limits;
	int			ip_limit;		/* of every request of the API's host; index
								 * in limits, -1 = none */
	int			token_limit;	/* of requests for an access token; likewise */
	char	   *limit_header;	/* names, NULL if none */
	char	   *remaining_header;
	char	   *reset_header;
	ApigouvPaths error_code;
	ApigouvPaths error_title;
	ApigouvPaths error_retry_in;
	double		request_cost;
	double		latency_ms;
	bool		personal_data;
	bool		audit;			/* its terms demand that requests be noted */
	int			nfresh;			/* headers that ask for what no cache of the
								 * upstream has */
	ApigouvHeader *fresh;
	int			nhosts;			/* of documents, most specific first */
	ApigouvDocumentHost *hosts;
	int			ntypes;			/* of documents: how their bytes begin */
	char	  **types;
	int			purposes;		/* bits, 1 << ApigouvPurpose: demanded */
	char	   *check_table;	/* the request that shows whether a server
								 * works; NULL: there is none */
	char	   *check_route;
	int			nchecks;		/* what its parameters send, by their names */
	ApigouvHeader *checks;
	int			ntables;
	char	  **tables;			/* names */
} ApigouvApi;

/* a list of apis/shared/territoires.json indexed for one FROM and TO */
typedef struct ApigouvMap ApigouvMap;

/*
 * Look up an API or a table; read and check its file on first use.
 * missing_ok: NULL when there is no such name, else
 * ERRCODE_FDW_SCHEMA_NOT_FOUND / ERRCODE_FDW_TABLE_NOT_FOUND with a hint that
 * lists the names there are.  Raise ERRCODE_CONFIG_FILE_ERROR naming file,
 * table and field on a definition that is wrong.
 */
extern const ApigouvApi *apigouv_apidef_api(const char *name, bool missing_ok);
extern const ApigouvTable *apigouv_apidef_table(const ApigouvApi *api,
												const char *name,
												bool missing_ok);

/*
 * The same for a table that is only looked at: unless it was read before, it
 * is made in the current context, and goes with it.
 */
extern const ApigouvTable *apigouv_apidef_table_once(const ApigouvApi *api,
													 const char *name);

/*
 * Call read(arg), which reads definitions and does nothing else.  Result:
 * NULL, or the message of the error that is about a file of theirs, in the
 * current context.  Other errors are raised.
 *
 * Reading a file touches nothing that an aborted subtransaction would have to
 * give back, so there is none.
 */
typedef void (*ApigouvApidefReader) (void *arg);
extern const char *apigouv_apidef_file_error(ApigouvApidefReader read,
											 void *arg);

/* Names of the APIs there are: list of char *, in the current context. */
extern List *apigouv_apidef_names(void);

/* Column position by name, or -1. */
extern int	apigouv_apidef_column(const ApigouvTable *table, const char *name);

/*
 * Does a column hold personal data?  Does whoever knows its value have access,
 * as by a link?  The row as it was sent does where any of its columns does.
 */
extern bool apigouv_apidef_is_personal(const ApigouvTable *table, int column);
extern bool apigouv_apidef_is_secret(const ApigouvTable *table, int column);

/*
 * May a token that holds these scopes (char *) ask a route?  With NIL: may
 * any.
 */
extern bool apigouv_apidef_is_entitled(const ApigouvRoute *route,
									   const List *scopes);

/* Does a column's value need that of another, directly or not? */
extern bool apigouv_apidef_depends(const ApigouvTable *table,
								   const ApigouvRoute *route, int column,
								   int on);

/* Forget everything read (definition_dir changed). */
extern void apigouv_apidef_reset(void);

/*
 * Apply steps to a text.  Result: list of char * in the current context, NIL
 * when there is none.
 */
extern List *apigouv_apply_steps(int nsteps, const ApigouvStep *steps,
								 const char *text);

/*
 * Rows of a list of apis/shared/territoires.json ("regions" or
 * "departements"): list of char ** with the members' texts (NULL for null) in
 * the order of names.
 */
extern List *apigouv_shared_rows(const char *list, int nnames,
								 const char *const *names);

/* Checks of keys: digits, length, checksum; La Poste's SIRETs are excepted. */
extern bool apigouv_check_siret(const char *text);
extern bool apigouv_check_siren(const char *text);

/* setting apigouv_fdw.definition_dir; empty = share directory */
extern char *apigouv_definition_dir;

#endif							/* APIGOUV_APIDEF_H */
