/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		One attempt of a request, by libcurl: what http.c asks of attempt.c.
 *
 * Only they and url.c include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_ATTEMPT_H
#define APIGOUV_ATTEMPT_H

#include "postgres.h"

#include "clock.h"
#include "http.h"
#include "lib/ilist.h"

/*
 * Attempts at once, all pools together.  Each may hold a socket, and sockets
 * are taken from the same supply as the server's open files.
 */
#define APIGOUV_MAX_RUNNING		128

/* headers of one reply, all lines */
#define APIGOUV_HEADERS_BYTES	(256 * 1024)

/* What of a transfer is nobody else's business.  Zeroed, then filled. */
typedef struct ApigouvTransferPrivate
{
	ApigouvTransfer public;

	/* http.c's */
	dlist_node	node;			/* in the list of all transfers */
	dlist_node	queue_node;		/* in pool->queue while QUEUED */
	struct Pool *pool;			/* NULL once ENDED */
	uint64		number;			/* order of start */
	ApigouvRetryHook hook;
	void	   *hook_arg;
	const ApigouvWatch *watch;	/* NULL: nobody, or told of the end */
	void	   *watch_arg;
	int64		not_before;		/* no attempt earlier; us, monotonic */
	bool		exposed;		/* bytes of the reply went to the caller */
	struct ApigouvTally *tally; /* NULL: it is not counted */
	int			attempts_before;	/* of these it is counted already */
	int64		bytes_before;

	/* admit.c's */
	ApigouvQuotaLimits *limits; /* NULL: nothing limits it; malloc'd */
	int			quota_wait_ms;
	uint64		slot;			/* reserved, not yet dated; 0 = none */
	bool		is_sent;		/* or is being sent: the slot is to be dated,
								 * never given back */
	dlist_node	sent_node;		/* in the list of those */
	int64		sent_at;		/* of the last send; boot clock, us */

	/* the request, malloc'd; freed once ENDED */
	ApigouvHttpSettings settings;
	bool		post;
	char	   *url;
	char	   *target;			/* path and query; NULL: libcurl's own */
	char	   *request_body;
	size_t		request_body_len;
	struct curl_slist *headers;
	char	   *limit_header;	/* names of rate-limit headers, NULL = none */
	char	   *remaining_header;
	char	   *reset_header;

	/* attempt.c's, of the attempt under way */
	dlist_node	running_node;	/* in the list of attempts under way */
	int64		expires;		/* when the attempt is too long; http.c's
								 * clock */
	void	   *easy;			/* libcurl's handle; NULL unless RUNNING */
	int			sends;			/* more than one if libcurl sent again */
	bool		vetoed;			/* a send was not allowed */
	bool		opened;			/* it has begun to connect */
	bool		allowed;		/* to an address that it may connect to */
	bool		refused;		/* it could not, to this one: */
	ApigouvAddress address;
	int64		server_date;	/* header Date, Unix seconds; -1 = none */
	int			line_status;	/* of the last status line; 1xx are interim */
	bool		headers_ended;	/* what follows are trailers */
	size_t		headers_bytes;
	size_t		capacity;		/* bytes allocated for body, kept between */
	char		curl_error[256];
} ApigouvTransferPrivate;

/* Parts of a URL; texts that would not fit make it no URL. */
typedef struct ApigouvUrlParts
{
	char		scheme[16];
	char		host[256];		/* "[...]" around an IPv6 address */
	char		port[6];		/* the scheme's own when none is given */
	bool		has_user;		/* or password, or login options */
	bool		no_memory;		/* libcurl had none: nothing is known */
} ApigouvUrlParts;

/*
 * Copy a request into private; false without memory.  free undoes it, also
 * half way.
 */
extern bool apigouv_attempt_copy_request(ApigouvTransferPrivate *private,
										 const ApigouvHttpSettings *settings,
										 const ApigouvHttpRequest *request,
										 const ApigouvLimitHeaders *names);
extern void apigouv_attempt_free_request(ApigouvTransferPrivate *private);

/*
 * Begin an attempt: libcurl sends at the next advance.  False when it has
 * failed already; failure and failure_text are then set.
 */
extern bool apigouv_attempt_begin(ApigouvTransfer *transfer);

/*
 * Take from libcurl an attempt under way.  Its connection is closed if the
 * reply was not read whole.  Never raises.
 */
extern void apigouv_attempt_cancel(ApigouvTransfer *transfer);

/*
 * Let libcurl do all that can be done without blocking, and call ended() for
 * each attempt that is over, its failure set, libcurl no more on the stack.
 * True when bytes came or an attempt ended.
 */
extern bool apigouv_attempt_advance(void (*ended) (ApigouvTransfer *transfer));

/*
 * When to advance again: the descriptor is readable, or the moment has come.
 * The descriptor is made on first use and stays the same for the backend's
 * life; -1 (errno is set) when it cannot be made.  No attempt may begin
 * before there is one.
 */
extern int	apigouv_attempt_fd(void);
extern int64 apigouv_attempt_due(void);

/*
 * End the attempts that expire up to a moment, as too slow, and tell when the
 * next one does.  True if there was any.
 */
extern bool apigouv_attempt_expire(int64 moment, int64 *next,
								   void (*ended) (ApigouvTransfer *transfer));

/*
 * Tell the server how many descriptors are held here.  Without may_reserve
 * only less than before: making room may close files and log.
 */
extern void apigouv_attempt_count_fds(bool may_reserve);

/* Unix seconds of a date in a header; -1 when it is none. */
extern int64 apigouv_attempt_date(const char *text);

/*
 * attempt_failure.c: what libcurl's code (a CURLcode) means, sent or not; and
 * the words for the failure of an attempt whose handle is still there.
 */
extern ApigouvFailure apigouv_attempt_classify(int code, bool sent);
extern void apigouv_attempt_describe(ApigouvTransfer *transfer, int code);

/* origin.c: how the server of a URL takes several requests */
typedef enum ApigouvOrigin
{
	APIGOUV_ORIGIN_SINGLE,		/* one connection each */
	APIGOUV_ORIGIN_SHARES		/* one connection for all */
}			ApigouvOrigin;

extern bool apigouv_origin_may_share(const char *url);
extern void apigouv_origin_note(const char *url, ApigouvOrigin origin);

/* header.c: take note of a header; name and text are not NUL-terminated. */
extern void apigouv_header_note(ApigouvTransfer *transfer, const char *name,
								size_t name_len, const char *text,
								size_t len);
extern void apigouv_header_ended(ApigouvTransfer *transfer);

/* header.c: the number that a value starts with, at most max; or -1. */
extern int64 apigouv_header_int(const char *value, int64 max);

/* header.c: copy printable ASCII and nothing else, cut to size. */
extern void apigouv_header_text(char *out, size_t size,
								const char *text, size_t len);

/* url.c: split a URL; false without memory too.  guess: without a scheme. */
extern bool apigouv_url_split(const char *url, bool guess,
							  ApigouvUrlParts *parts);

/*
 * url.c: which addresses the requests of a URL may connect to; false without
 * memory.
 */
extern bool apigouv_url_egress(const char *url, ApigouvHttpSettings *settings);

/* url.c: does a text hold a control character? */
extern bool apigouv_url_has_control(const char *text);

#endif							/* APIGOUV_ATTEMPT_H */
