/*-------------------------------------------------------------------------
 *
 * http.h
 *		Sending requests: concurrently, with retries, always interruptible.
 *
 * Nothing here knows JSON, foreign tables or what a status means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_HTTP_H
#define APIGOUV_HTTP_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "egress.h"
#include "quota.h"

/* no moment: later than any */
#define APIGOUV_NEVER			PG_INT64_MAX

/* Settings of one server's connections.  Strings are NULL or not empty. */
typedef struct ApigouvHttpSettings
{
	const char *ca_file;
	const char *proxy;
	const char *given_urls[2];	/* where a superuser sends requests */
	ApigouvEgress egress;		/* the addresses listed; the rest is ours */
	int			connect_timeout_ms; /* per attempt */
	int			timeout_ms;		/* per attempt, connection included */
	int			max_concurrency;	/* attempts under way at once */
	int			quota_wait_ms;	/* for a slot, since the last one got */
	int64		response_max_bytes; /* after decompression */
	bool		new_connection; /* none that was kept serves */
	uint32		pool;			/* hash of server and role: attempts of one
								 * pool share max_concurrency */
} ApigouvHttpSettings;

typedef struct ApigouvHttpRequest
{
	bool		post;
	const char *url;			/* absolute, already encoded */
	int			nheaders;
	const char *const *headers; /* "Name: value", secrets included */
	const char *body;			/* NULL for GET */
	size_t		body_len;
	const ApigouvQuotaLimits *limits;	/* NULL: nothing limits it */
	struct ApigouvTally *tally; /* where it is counted; NULL: nowhere */
} ApigouvHttpRequest;

typedef enum ApigouvFailure
{
	APIGOUV_FAILURE_NONE,
	APIGOUV_FAILURE_CONNECT,	/* refused, no route, name not found */
	APIGOUV_FAILURE_ADDRESS,	/* may not be connected to; not sent */
	APIGOUV_FAILURE_TLS,		/* certificate or handshake */
	APIGOUV_FAILURE_TIMEOUT,	/* attempt took too long */
	APIGOUV_FAILURE_LOST,		/* closed or reset before the end */
	APIGOUV_FAILURE_TOO_LARGE,	/* past response_max_bytes */
	APIGOUV_FAILURE_ENCODING,	/* wrong gzip */
	APIGOUV_FAILURE_MEMORY,
	APIGOUV_FAILURE_QUOTA,		/* no slot within quota_wait_ms; not sent */
	APIGOUV_FAILURE_LEDGER,		/* the ledger cannot be used; not sent */
	APIGOUV_FAILURE_AUDIT,		/* who watches it forbade it; not sent */
	APIGOUV_FAILURE_BOUND,		/* apigouv_http_bound; not sent */
	APIGOUV_FAILURE_OTHER
} ApigouvFailure;

/* Why there was no connection, as far as it is known: for advice. */
typedef enum ApigouvCause
{
	APIGOUV_CAUSE_UNKNOWN,
	APIGOUV_CAUSE_NAME,			/* the name has no address */
	APIGOUV_CAUSE_REFUSED,		/* nobody listens there */
	APIGOUV_CAUSE_TIMEOUT,		/* nothing answers */
	APIGOUV_CAUSE_AUTHORITY,	/* the certificate is of one not trusted */
	APIGOUV_CAUSE_EXPIRED,		/* it has ended, or not begun */
	APIGOUV_CAUSE_OTHER_HOST,	/* it names another host */
	APIGOUV_CAUSE_CA_FILE		/* the trusted ones cannot be read */
} ApigouvCause;

typedef enum ApigouvTransferState
{
	APIGOUV_TRANSFER_QUEUED,	/* waits for its turn, its slot or its retry */
	APIGOUV_TRANSFER_RUNNING,
	APIGOUV_TRANSFER_ENDED		/* response whole, or failure set */
} ApigouvTransferState;

typedef struct ApigouvTransfer ApigouvTransfer;

/*
 * Asked each time an attempt has ended: is another wanted, and after how long?
 * Sets *delay_ms.  Called outside libcurl; must not raise.
 */
typedef bool (*ApigouvRetryHook) (const ApigouvTransfer *transfer, void *arg,
								  int *delay_ms);

/* The limit that kept a transfer from being sent. */
typedef struct ApigouvQuotaRefusal
{
	char		limit[APIGOUV_LEDGER_TEXT];
	char		role[APIGOUV_LEDGER_TEXT];	/* whose share it is; or empty */
	int			requests;		/* per window */
	int			window_ms;
	int64		wait_ms;		/* until a slot can be expected */
} ApigouvQuotaRefusal;

/*
 * A transfer.  Other modules read it and write nothing, but for the body of
 * one that has ended, which xact_cache.c may move to a file and bring back.
 */
struct ApigouvTransfer
{
	ApigouvTransferState state;
	int			status;			/* of the last attempt; 0 = no reply yet */
	bool		streaming;		/* RUNNING, and the reply is a 200 that the
								 * retry hook has no say on: its bytes may be
								 * used as they arrive */
	char	   *body;			/* malloc'd, may move while RUNNING */
	size_t		body_len;
	ApigouvFailure failure;
	char		failure_text[512];	/* sentence part, translated, no secrets */
	ApigouvCause cause;			/* if failure is CONNECT or TLS */
	char		request_id[128];	/* X-Request-Id, or empty */
	char		content_type[64];
	bool		compressed;		/* Content-Encoding says so */
	int			retry_after_s;	/* Retry-After, seconds or date; -1 = none */
	int			limit_total;	/* rate-limit headers; -1 = none */
	int			limit_remaining;
	int64		limit_reset;	/* as sent; -1 = none */
	int64		limit_reset_s;	/* seconds from the reply on; -1 = none */
	ApigouvQuotaRefusal quota;	/* if failure is QUOTA */
	char		address[APIGOUV_ADDRESS_TEXT];	/* if failure is ADDRESS */
	bool		may_be_listed;	/* the same: a superuser could allow it */
	int			attempts;		/* begun */
	int64		bytes;			/* received by all attempts, decompressed */
	int64		upstream_us;	/* that they took; while somebody attended */
	TimestampTz started_at;		/* of the first attempt */
	TimestampTz replied_at;		/* end of the headers; 0 = no reply */
	TimestampTz ended_at;
	struct ApigouvTransferPrivate *private; /* NULL: restored by a cache */
};

/* Names of the three rate-limit headers to note; NULL = none. */
typedef struct ApigouvLimitHeaders
{
	const char *limit;
	const char *remaining;
	const char *reset;
} ApigouvLimitHeaders;

/*
 * Queue a request.  Copies what it is given.  The result is the
 * caller's; it lives in malloc'd memory, outside any memory context, until it
 * is released or apigouv_http_abort_all() runs.  hook: NULL = no retry.
 * hook_arg must live as long as the transfer.
 */
extern ApigouvTransfer *apigouv_http_start(const ApigouvHttpSettings *settings,
										   const ApigouvHttpRequest *request,
										   const ApigouvLimitHeaders *limit_headers,
										   ApigouvRetryHook hook,
										   void *hook_arg);

/*
 * Who is told that the first attempt of a transfer is about to be made, and
 * forbids it by false; and, once in any case, that the transfer has ended, or
 * is cancelled.  Called outside libcurl; must not raise.
 */
typedef struct ApigouvWatch
{
	bool		(*begins) (const ApigouvTransfer *transfer, void *arg);
	void		(*ended) (const ApigouvTransfer *transfer, bool cancelled,
						  void *arg);
} ApigouvWatch;

/* Let a transfer that was just started be watched. */
extern void apigouv_http_watch(ApigouvTransfer *transfer,
							   const ApigouvWatch *watch, void *arg);

/*
 * The upstream has refused an attempt for its rate: nobody of the cluster
 * sends under this limit for so long.  Does the transfer's quota_wait_ms allow
 * that wait?  Never raises.
 */
extern bool apigouv_http_refused(const ApigouvTransfer *transfer,
								 int64 for_ms);

/*
 * What waits for a slot now does so on behalf of another request: each has
 * its quota_wait_ms anew.
 */
extern void apigouv_http_wait_anew(void);

/*
 * The caller may not come back for long: requests whose connection is still
 * being made keep no slot, and take one when they are sent.  Never raises.
 */
extern void apigouv_http_pause(void);

/*
 * How long this backend has slept because of limits alone, in us.  Grows;
 * the caller takes differences.
 */
extern int64 apigouv_http_quota_waited(void);

/*
 * Has a transfer not ended, and is nothing of it under way: does its attempt
 * wait for its turn, or for a connection?
 */
extern bool apigouv_http_is_unsent(const ApigouvTransfer *transfer);

/* Free a transfer; one that has not ended is cancelled. */
extern void apigouv_http_release(ApigouvTransfer *transfer);

/*
 * Move all transfers forward and return once something happened to any of
 * them (bytes, an end, an attempt begun), or after timeout_ms (-1: no limit;
 * 0: never blocks).  Raises on interrupt.
 */
extern void apigouv_http_pump(int timeout_ms);

/*
 * For who waits for more than transfers.  before_wait moves what can move and
 * returns the moment to come back (us, monotonic): earlier when the descriptor
 * is readable; 0, at once, when no transfer is left to wait for.  after_wait
 * is called on coming back for one of these reasons, with nothing done in
 * between: the time-outs count that time.  It returns how much of it was
 * because of limits alone, in us.  The descriptor is -1 (errno is set) when it
 * cannot be made; else it stays the same for the backend's life.
 */
extern int64 apigouv_http_before_wait(void);
extern int64 apigouv_http_after_wait(void);
extern int	apigouv_http_fd(void);

/*
 * How often this backend has sent a request, whatever for: first or again,
 * access tokens, documents.  What the upstream may have counted.
 */
extern int64 apigouv_http_sent(void);

/*
 * Send no more than that in all; PG_INT64_MAX: no bound.  A transfer that
 * would need one more fails.
 */
extern void apigouv_http_bound(int64 most);

/* Grows each time that something has happened to any transfer. */
extern uint64 apigouv_http_moves(void);

/* Is there a transfer that has not ended? */
extern bool apigouv_http_is_busy(void);

/* Wait until this transfer has ended, or streams more than seen_bytes. */
extern void apigouv_http_wait(ApigouvTransfer *transfer, size_t seen_bytes);

/* End of transaction: cancel and free every transfer. */
extern void apigouv_http_abort_all(void);

/* Percent-encode bytes into buf, all but unreserved characters. */
struct StringInfoData;
extern void apigouv_http_escape(struct StringInfoData *buf, const char *text);

/*
 * Split and check a URL.  False and *why (static text) when it is not
 * http(s)://host[:port][/path][?query]; *loopback when the host is one.
 */
extern bool apigouv_http_check_url(const char *url, bool *is_http,
								   bool *loopback, const char **why);

/* Is a text the address of a proxy, as libcurl reads it? */
extern bool apigouv_http_check_proxy(const char *url);

#endif							/* APIGOUV_HTTP_H */
