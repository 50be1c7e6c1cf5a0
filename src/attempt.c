/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		One attempt of a request, by libcurl.
 *
 * One multi handle serves the whole backend, so that connections live from
 * query to query; its sockets are in one epoll descriptor, so that http.c has
 * one thing to wait for.
 *
 * Rules that no single function shows:
 *
 * - Inside libcurl's callbacks nothing raises and nothing is palloc'd: a jump
 *	 would skip libcurl's own frames.  A callback records a failure and
 *	 returns short.
 *
 * - Signals are blocked from before libcurl starts the resolver's thread
 *	 until it returns.  A thread inherits the mask; one that took SIGINT or
 *	 SIGTERM would run the server's handlers outside the main thread.
 *
 * - Where requests can share a connection (HTTP/2, over TLS only), those of
 *	 one host that begin together wait for the first connection, as long as
 *	 its handshake takes, and then share it, as many as the server allows.
 *	 Hosts are remembered (origin.c): one that does not share, or cannot be
 *	 reached, is not waited for again.
 *
 * - libcurl is not trusted with the path and the query: one version sends a
 *	 request without its query, so to another list, when it has no memory to
 *	 copy it.  They are handed over as they are to be sent.
 *
 * - Nothing is opened before the first attempt: _PG_init may run in the
 *	 postmaster, whose children must not share connections.
 *
 * Not here: when an attempt may begin, what follows it, waiting (http.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "admit.h"
#include "attempt.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

/*
 * libcurl's receive buffer.  It fills it up to a hundred times before it
 * returns, and beyond 32 KB it gets no faster.
 */
#define APIGOUV_BUFFER_BYTES	(64 * 1024)

/* first allocation of a body whose length is not announced */
#define APIGOUV_BODY_BYTES		(16 * 1024)

/* connections kept when idle, unless a pool may use more at once */
#define APIGOUV_MIN_CONNECTIONS 32

static CURLM *multi = NULL;		/* NULL until first used */
static int	epoll_fd = -1;
static bool multi_broken = false;	/* an event, a handle did not get in */
static int64 timer_due = APIGOUV_NEVER; /* when libcurl wants to be called */
static long max_connections = 0;
static fd_set sockets;			/* open, idle connections included */
static int	sockets_open = 0;	/* how many */
static int	sockets_counted = 0;	/* told to the server's fd.c */

static dlist_head running = DLIST_STATIC_INIT(running);

static bool happened = false;	/* bytes came, since advance() looked last */
static bool signals_blocked = false;
static sigset_t signals_before; /* while signals_blocked */

/* ----------------------------------------------------------------
 *		the request
 * ----------------------------------------------------------------
 */

/* malloc'd copy; NULL stays NULL, and *ok becomes false without memory. */
static char *
copy_text(const char *text, bool *ok)
{
	char	   *copy;

	if (text == NULL)
		return NULL;
	copy = strdup(text);
	if (copy == NULL)
		*ok = false;
	return copy;
}

/*
 * What the request line names, malloc'd: the path and the query of a URL.
 * NULL for a proxy that is told the whole URL, as libcurl does by itself, and
 * without memory, when *ok becomes false.
 */
static char *
copy_target(const char *url, bool proxy, bool *ok)
{
	const char *scheme_end = strstr(url, "://");
	const char *start = scheme_end != NULL ? scheme_end + 3 : url;
	char	   *target;
	size_t		len;

	if (proxy && pg_strncasecmp(url, "https:", 6) != 0)
		return NULL;
	start += strcspn(start, "/?#");
	len = strcspn(start, "#");
	target = malloc(len + 2);
	if (target == NULL)
	{
		*ok = false;
		return NULL;
	}
	target[0] = '/';
	memcpy(target + (*start != '/'), start, len);
	target[len + (*start != '/')] = '\0';
	return target;
}

bool
apigouv_attempt_copy_request(ApigouvTransferPrivate *private,
							 const ApigouvHttpSettings *settings,
							 const ApigouvHttpRequest *request,
							 const ApigouvLimitHeaders *names)
{
	bool		ok = true;
	int			i;

	private->settings = *settings;
	private->settings.ca_file = copy_text(settings->ca_file, &ok);
	private->settings.proxy = copy_text(settings->proxy, &ok);
	private->url = copy_text(request->url, &ok);
	private->target = copy_target(request->url, settings->proxy != NULL, &ok);
	ok &= apigouv_url_egress(request->url, &private->settings);
	private->post = request->post;
	if (request->body != NULL && request->body_len > 0)
	{
		private->request_body = malloc(request->body_len);
		if (private->request_body == NULL)
			return false;
		memcpy(private->request_body, request->body, request->body_len);
		private->request_body_len = request->body_len;
	}
	if (request->limits != NULL && request->limits->n > 0)
	{
		private->limits = malloc(sizeof(ApigouvQuotaLimits));
		if (private->limits == NULL)
			return false;
		*private->limits = *request->limits;
	}
	if (names != NULL)
	{
		private->limit_header = copy_text(names->limit, &ok);
		private->remaining_header = copy_text(names->remaining, &ok);
		private->reset_header = copy_text(names->reset, &ok);
	}
	/* the extra line without value keeps libcurl from asking for a 100 */
	for (i = -1; i < request->nheaders; i++)
	{
		struct curl_slist *list =
		curl_slist_append(private->headers,
						  i < 0 ? "Expect:" : request->headers[i]);

		if (list == NULL)
			return false;
		private->headers = list;
	}
	return ok;
}

void
apigouv_attempt_free_request(ApigouvTransferPrivate *private)
{
	ApigouvHttpSettings *settings = &private->settings;

	free(unconstify(char *, settings->ca_file));
	free(unconstify(char *, settings->proxy));
	settings->ca_file = settings->proxy = NULL;
	free(private->url);
	free(private->target);
	free(private->request_body);
	free(private->limit_header);
	free(private->remaining_header);
	free(private->reset_header);
	free(private->limits);
	private->limits = NULL;
	private->url = private->target = private->request_body = NULL;
	private->limit_header = NULL;
	private->remaining_header = private->reset_header = NULL;
	curl_slist_free_all(private->headers);
	private->headers = NULL;
}

/* Unix seconds of a date in a header; -1 when it is none. */
int64
apigouv_attempt_date(const char *text)
{
	return (int64) curl_getdate(text, NULL);
}

/* ----------------------------------------------------------------
 *		callbacks of libcurl: nothing here may raise or palloc
 * ----------------------------------------------------------------
 */

/* Called when the events wanted of a socket change. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		/* fails when the socket is closed already: then it is out as well */
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		(errno == ENOENT &&
		 epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0))
		return 0;
	multi_broken = true;
	return -1;
}

/* Called when the moment changes at which libcurl wants to be called. */
static int
on_timer(CURLM *curl_multi, long timeout_ms, void *arg)
{
	if (timeout_ms < 0)
		timer_due = APIGOUV_NEVER;
	else
		timer_due = monotonic_us() + (int64) timeout_ms * 1000;
	return 0;
}

/*
 * May this attempt connect to an address?  Notes which it may not.  Asked at
 * each connection, whatever made libcurl open it, with what the name means
 * now; and at each send, since a kept connection may be another server's.
 */
static bool
may_connect(ApigouvTransferPrivate *private, const ApigouvAddress *address)
{
	if (apigouv_egress_allows(&private->settings.egress, address))
		return true;
	private->refused = true;
	private->address = *address;
	return false;
}

/*
 * Open a socket, where the address allows it.  Close-on-exec, so that the
 * programs of COPY ... PROGRAM do not inherit it; counted, because the server
 * limits its own open files by what is left.  By number: libcurl closes a
 * socket on which it gave up connecting without calling on_close_socket, but
 * the number comes back.
 */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	ApigouvTransferPrivate *private = ((ApigouvTransfer *) arg)->private;
	ApigouvAddress to;
	int			fd;

	private->opened = true;
	if (!apigouv_egress_address(&address->addr, &to) ||
		!may_connect(private, &to))
		return CURL_SOCKET_BAD;
	private->allowed = true;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (fd < FD_SETSIZE && !FD_ISSET(fd, &sockets))
	{
		FD_SET(fd, &sockets);
		sockets_open++;
	}
	return fd;
}

static int
on_close_socket(void *arg, curl_socket_t fd)
{
	if (fd < FD_SETSIZE && FD_ISSET(fd, &sockets))
	{
		FD_CLR(fd, &sockets);
		sockets_open--;
	}
	return close(fd);
}

/*
 * Called before each send.  libcurl resends by itself when a connection that
 * it had kept turns out dead; the upstream may have counted both, so each
 * needs its slot.  It would try up to six of the connections that it has kept,
 * all of them dead perhaps: once is enough, over a new one, which it does not
 * replace.  Where connections are shared it has few, and calls us for what it
 * then puts off as well.
 */
static int
on_send(void *arg, char *remote_ip, char *local_ip, int remote_port,
		int local_port)
{
	ApigouvTransfer *transfer = arg;
	ApigouvTransferPrivate *private = transfer->private;
	ApigouvAddress to;

	if (!apigouv_egress_parse(remote_ip, strlen(remote_ip), &to) ||
		!may_connect(private, &to))
	{
		private->allowed = false;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!apigouv_admit_send(transfer))
	{
		private->vetoed = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (++private->sends > 1)
		transfer->attempts++;
	else if (!apigouv_origin_may_share(private->url))
		(void) curl_easy_setopt(private->easy, CURLOPT_FRESH_CONNECT, 1L);
	return CURL_PREREQFUNC_OK;
}

/* Called before a name is looked up, hence before a thread is started. */
static int
on_resolve(void *resolver_state, void *reserved, void *arg)
{
	sigset_t	all;

	if (!signals_blocked)
	{
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &signals_before);
		signals_blocked = true;
	}
	return 0;
}

/*
 * Called for each header line: "HTTP/1.1 200 OK", fields, an empty line; all
 * that again for each interim reply (1xx) before; then perhaps trailers.
 */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	ApigouvTransfer *transfer = arg;
	ApigouvTransferPrivate *private = transfer->private;
	size_t		len = size * count;
	const char *colon;

	private->headers_bytes += len;
	if (private->headers_bytes > APIGOUV_HEADERS_BYTES)
	{
		transfer->failure = APIGOUV_FAILURE_TOO_LARGE;
		return 0;
	}
	if (private->headers_ended)
		return len;
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		const char *space = memchr(line, ' ', len);

		private->line_status = 0;
		if (space != NULL && len - (space - line) > 4)
			private->line_status = (int) apigouv_header_int(space + 1, 999);
		if (private->url != NULL)
			apigouv_origin_note(private->url, line[5] >= '2' ?
								APIGOUV_ORIGIN_SHARES : APIGOUV_ORIGIN_SINGLE);
	}
	else if (private->line_status < 200)
		return len;
	else if (line[0] == '\r' || line[0] == '\n')
	{
		private->headers_ended = true;
		transfer->status = private->line_status;
		transfer->replied_at = GetCurrentTimestamp();
		apigouv_header_ended(transfer);
		transfer->streaming = transfer->status == 200;
	}
	else if ((colon = memchr(line, ':', len)) != NULL)
		apigouv_header_note(transfer, line, colon - line,
							colon + 1, len - (colon + 1 - line));
	return len;
}

/*
 * Make room for more bytes of a body and the NUL after it.  Doubles; starts
 * with the announced length, which the caller's maximum bounds.
 */
static bool
grow_body(ApigouvTransfer *transfer, size_t more)
{
	ApigouvTransferPrivate *private = transfer->private;
	size_t		needed = transfer->body_len + more + 1;
	size_t		capacity = Max(private->capacity, APIGOUV_BODY_BYTES);
	char	   *body;

	if (needed <= private->capacity)
		return true;
	if (transfer->body_len == 0)
	{
		curl_off_t	announced = -1;

		(void) curl_easy_getinfo(private->easy,
								 CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
								 &announced);
		if (announced >= 0 &&
			announced <= private->settings.response_max_bytes)
			capacity = Max(needed, (size_t) announced + 1);
	}
	while (capacity < needed)
		capacity *= 2;
	body = realloc(transfer->body, capacity);
	if (body == NULL)
		return false;
	transfer->body = body;
	private->capacity = capacity;
	return true;
}

/* Called with bytes of the reply's body, decompressed. */
static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	ApigouvTransfer *transfer = arg;
	size_t		len = size * count;

	/*
	 * A few KB can decompress to very much before libcurl returns: do not
	 * make a cancel wait.  The transfer is lost, as the statement is.
	 */
	if (QueryCancelPending || ProcDiePending)
		return 0;
	if ((uint64) transfer->body_len + len >
		(uint64) transfer->private->settings.response_max_bytes)
		transfer->failure = APIGOUV_FAILURE_TOO_LARGE;
	else if (!grow_body(transfer, len))
		transfer->failure = APIGOUV_FAILURE_MEMORY;
	if (transfer->failure != APIGOUV_FAILURE_NONE)
		return 0;
	memcpy(transfer->body + transfer->body_len, bytes, len);
	transfer->body_len += len;
	transfer->body[transfer->body_len] = '\0';
	transfer->bytes += len;
	happened = true;
	return len;
}

/* ----------------------------------------------------------------
 *		the multi handle and its descriptor
 * ----------------------------------------------------------------
 */

void
apigouv_attempt_count_fds(bool may_reserve)
{
	while (sockets_counted > sockets_open)
	{
		ReleaseExternalFD();
		sockets_counted--;
	}
	while (may_reserve && sockets_counted < sockets_open)
	{
		ReserveExternalFD();
		sockets_counted++;
	}
}

/*
 * Close the multi handle with its connections.  No transfer may be RUNNING.
 * The next attempt makes a new one.
 */
static void
close_multi(void)
{
	if (multi != NULL)
		(void) curl_multi_cleanup(multi);
	multi = NULL;
	multi_broken = false;
	timer_due = APIGOUV_NEVER;
	max_connections = 0;
	FD_ZERO(&sockets);
	sockets_open = 0;
	apigouv_attempt_count_fds(false);
}

/*
 * Initialize libcurl, once.  It looks then, and only then, for the file where
 * the environment wants the keys of all TLS sessions written: they would open
 * every reply to whoever recorded the network.
 */
static bool
initialize(void)
{
	static const char variable[] = "SSLKEYLOGFILE";
	static bool done = false;
	const char *value = getenv(variable);
	char	   *copy = value != NULL ? strdup(value) : NULL;

	if (done || (value != NULL && copy == NULL))
		return done;
	if (copy != NULL)
		(void) unsetenv(variable);
	done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (copy != NULL)
		(void) setenv(variable, copy, 1);
	free(copy);
	return done;
}

/* Make the multi handle unless it is there. */
static bool
open_multi(void)
{
	if (multi_broken && dlist_is_empty(&running))
		close_multi();
	if (multi != NULL)
		return true;
	if (!initialize())
		return false;

	multi = curl_multi_init();
	if (multi == NULL ||
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION,
						  on_socket) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION,
						  on_timer) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_PIPELINING,
						  CURLPIPE_MULTIPLEX) != CURLM_OK)
	{
		close_multi();
		return false;
	}
	return true;
}

/*
 * Keep as many idle connections as one pool may use at once.  libcurl's own
 * rule, four times the transfers of the moment, would close most of them
 * after each batch.
 */
static void
keep_connections(int max_concurrency)
{
	long		wanted = Max(max_concurrency, APIGOUV_MIN_CONNECTIONS);

	wanted = Min(wanted, APIGOUV_MAX_RUNNING);
	if (wanted > max_connections &&
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, wanted) == CURLM_OK)
		max_connections = wanted;
}

/* ----------------------------------------------------------------
 *		attempts
 * ----------------------------------------------------------------
 */

#define SET_OPTION(option, value) \
	do { \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(easy, option, value); \
	} while (0)

/* Options that say how to connect; nothing comes from the environment. */
static CURLcode
set_connection_options(CURL *easy, const ApigouvHttpSettings *settings)
{
	CURLcode	code = CURLE_OK;

	/* do not wait for the resolver's thread when a transfer is cancelled */
	SET_OPTION(CURLOPT_QUICK_EXIT, 1L);
	SET_OPTION(CURLOPT_NOSIGNAL, 1L);

	SET_OPTION(CURLOPT_PROTOCOLS_STR, "http,https");
	SET_OPTION(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET_OPTION(CURLOPT_FOLLOWLOCATION, 0L);
	SET_OPTION(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);

	/* empty text: neither a proxy nor exceptions from the environment */
	SET_OPTION(CURLOPT_PROXY, settings->proxy ? settings->proxy : "");
	SET_OPTION(CURLOPT_NOPROXY, "");
	SET_OPTION(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	SET_OPTION(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

	SET_OPTION(CURLOPT_SSL_VERIFYPEER, 1L);
	SET_OPTION(CURLOPT_SSL_VERIFYHOST, 2L);
	SET_OPTION(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (settings->ca_file != NULL)
	{
		/* these authorities instead of the system's, not beside them */
		SET_OPTION(CURLOPT_CAINFO, settings->ca_file);
		SET_OPTION(CURLOPT_CAPATH, NULL);
	}

	/* HTTP/2 where it is offered */
	SET_OPTION(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET_OPTION(CURLOPT_TCP_KEEPALIVE, 1L);
	SET_OPTION(CURLOPT_FRESH_CONNECT, (long) settings->new_connection);
	SET_OPTION(CURLOPT_CONNECTTIMEOUT_MS, (long) settings->connect_timeout_ms);
	SET_OPTION(CURLOPT_BUFFERSIZE, (long) APIGOUV_BUFFER_BYTES);
	SET_OPTION(CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
	SET_OPTION(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET_OPTION(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	return code;
}

/* Options that say what to send and where the reply goes. */
static CURLcode
set_request_options(CURL *easy, ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	CURLcode	code = CURLE_OK;

	SET_OPTION(CURLOPT_PRIVATE, transfer);
	SET_OPTION(CURLOPT_ERRORBUFFER, private->curl_error);
	SET_OPTION(CURLOPT_URL, private->url);
	SET_OPTION(CURLOPT_PIPEWAIT,
			   (long) (apigouv_origin_may_share(private->url) &&
					   !private->settings.new_connection));
	SET_OPTION(CURLOPT_PATH_AS_IS, 1L);
	SET_OPTION(CURLOPT_REQUEST_TARGET, private->target);
	SET_OPTION(CURLOPT_USERAGENT, "apigouv_fdw/" APIGOUV_VERSION);
	SET_OPTION(CURLOPT_HTTPHEADER, private->headers);
	SET_OPTION(CURLOPT_ACCEPT_ENCODING, "gzip");
	SET_OPTION(CURLOPT_MAXFILESIZE_LARGE,
			   (curl_off_t) private->settings.response_max_bytes);
	if (private->post)
	{
		SET_OPTION(CURLOPT_POST, 1L);
		SET_OPTION(CURLOPT_POSTFIELDSIZE_LARGE,
				   (curl_off_t) private->request_body_len);
		SET_OPTION(CURLOPT_POSTFIELDS,
				   private->request_body ? private->request_body : "");
	}
	SET_OPTION(CURLOPT_PREREQFUNCTION, on_send);
	SET_OPTION(CURLOPT_PREREQDATA, transfer);
	SET_OPTION(CURLOPT_OPENSOCKETDATA, transfer);
	SET_OPTION(CURLOPT_HEADERFUNCTION, on_header);
	SET_OPTION(CURLOPT_HEADERDATA, transfer);
	SET_OPTION(CURLOPT_WRITEFUNCTION, on_body);
	SET_OPTION(CURLOPT_WRITEDATA, transfer);
	return code;
}

#undef SET_OPTION

void
apigouv_attempt_cancel(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	CURL	   *easy = private->easy;

	if (easy == NULL)
		return;
	private->easy = NULL;
	dlist_delete(&private->running_node);
	(void) curl_multi_remove_handle(multi, easy);
	curl_easy_cleanup(easy);
}

/*
 * A host could not be reached: what waits for that connection is not under
 * libcurl's time limits, and each would try in its turn.  Let all try at once.
 */
static void
stop_sharing(const ApigouvTransferPrivate *private)
{
	dlist_iter	iter;

	if (private->url == NULL || !apigouv_origin_may_share(private->url))
		return;
	apigouv_origin_note(private->url, APIGOUV_ORIGIN_SINGLE);
	dlist_foreach(iter, &running)
	{
		ApigouvTransferPrivate *other =
		dlist_container(ApigouvTransferPrivate, running_node, iter.cur);

		if (other == private || other->opened || other->sends > 0 ||
			apigouv_origin_may_share(other->url))
			continue;
		/* libcurl may have let the next one try, for which others wait now */
		(void) curl_multi_remove_handle(multi, other->easy);
		(void) curl_easy_setopt(other->easy, CURLOPT_PIPEWAIT, 0L);
		if (curl_multi_add_handle(multi, other->easy) != CURLM_OK)
			multi_broken = true;
	}
}

/* The attempt has failed, or has ended well: note which. */
static void
note_end(ApigouvTransfer *transfer, CURLcode code)
{
	if (transfer->private->vetoed)
	{
		/* sent once and not again: its reply is lost; else http.c waits */
		if (transfer->private->sends > 0 &&
			transfer->failure == APIGOUV_FAILURE_NONE)
			transfer->failure = APIGOUV_FAILURE_LOST;
		else
			code = CURLE_OK;
	}
	if (code != CURLE_OK && transfer->private->refused &&
		!transfer->private->allowed)
		transfer->failure = APIGOUV_FAILURE_ADDRESS;
	if (transfer->failure == APIGOUV_FAILURE_NONE)
		transfer->failure =
			apigouv_attempt_classify(code, transfer->private->sends > 0);
	if (transfer->failure != APIGOUV_FAILURE_NONE)
		apigouv_attempt_describe(transfer, code);
	if (transfer->private->sends == 0 && code != CURLE_OK)
		stop_sharing(transfer->private);
	apigouv_attempt_cancel(transfer);
}

bool
apigouv_attempt_begin(ApigouvTransfer *transfer)
{
	ApigouvTransferPrivate *private = transfer->private;
	CURLcode	code = CURLE_OUT_OF_MEMORY;

	private->sends = 0;
	private->vetoed = false;
	private->opened = private->allowed = private->refused = false;
	private->server_date = -1;
	private->line_status = 0;
	private->headers_ended = false;
	private->headers_bytes = 0;
	private->curl_error[0] = '\0';
	if (open_multi())
	{
		keep_connections(private->settings.max_concurrency);
		private->easy = curl_easy_init();
	}
	if (private->easy != NULL)
	{
		dlist_push_tail(&running, &private->running_node);
		code = set_connection_options(private->easy, &private->settings);
		if (code == CURLE_OK)
			code = set_request_options(private->easy, transfer);
		if (code == CURLE_OK &&
			curl_multi_add_handle(multi, private->easy) != CURLM_OK)
			code = CURLE_OUT_OF_MEMORY;
	}
	if (code == CURLE_OK)
		return true;
	note_end(transfer, code);
	return false;
}

/* ----------------------------------------------------------------
 *		progress
 * ----------------------------------------------------------------
 */

/* End the attempts that libcurl reports as done. */
static void
end_done(void (*ended) (ApigouvTransfer *transfer))
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode	code = message->data.result;
		char	   *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
								 &transfer);
		happened = true;
		note_end((ApigouvTransfer *) transfer, code);
		ended((ApigouvTransfer *) transfer);
	}
}

/*
 * The multi handle cannot go on (libcurl says so after want of memory or of
 * room in the epoll descriptor): end all attempts and make a new one later.
 */
static void
end_all(void (*ended) (ApigouvTransfer *transfer))
{
	while (!dlist_is_empty(&running))
	{
		ApigouvTransferPrivate *private =
		dlist_head_element(ApigouvTransferPrivate, running_node, &running);

		happened = true;
		note_end(&private->public, CURLE_OUT_OF_MEMORY);
		ended(&private->public);
	}
	close_multi();
}

/* Treat the sockets that are ready and the timer; false: the end of multi. */
static bool
serve_sockets(void)
{
	struct epoll_event events[64];
	CURLMcode	code = CURLM_OK;
	int			left;
	int			n;
	int			i;

	n = epoll_wait(epoll_fd, events, lengthof(events), 0);
	for (i = 0; i < n && code == CURLM_OK; i++)
	{
		int			what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		code = curl_multi_socket_action(multi, events[i].data.fd, what, &left);
	}
	if (code == CURLM_OK && timer_due <= monotonic_us())
	{
		timer_due = APIGOUV_NEVER;
		code = curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &left);
	}
	return code == CURLM_OK && !multi_broken;
}

bool
apigouv_attempt_advance(void (*ended) (ApigouvTransfer *transfer))
{
	bool		ok;

	if (dlist_is_empty(&running))
		return false;
	happened = false;
	ok = serve_sockets();
	apigouv_admit_sent();
	if (signals_blocked)
	{
		sigprocmask(SIG_SETMASK, &signals_before, NULL);
		signals_blocked = false;
	}
	if (ok)
		end_done(ended);
	else
		end_all(ended);
	return happened;
}

bool
apigouv_attempt_expire(int64 moment, int64 *next,
					   void (*ended) (ApigouvTransfer *transfer))
{
	dlist_mutable_iter iter;
	bool		any = false;

	*next = APIGOUV_NEVER;
	dlist_foreach_modify(iter, &running)
	{
		ApigouvTransferPrivate *private =
		dlist_container(ApigouvTransferPrivate, running_node, iter.cur);

		if (private->expires > moment)
		{
			*next = Min(*next, private->expires);
			continue;
		}
		note_end(&private->public, CURLE_OPERATION_TIMEDOUT);
		ended(&private->public);
		any = true;
	}
	return any;
}

int
apigouv_attempt_fd(void)
{
	if (epoll_fd >= 0)
		return epoll_fd;
	if (!AcquireExternalFD())
		return -1;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ReleaseExternalFD();
	return epoll_fd;
}

int64
apigouv_attempt_due(void)
{
	return multi_broken && !dlist_is_empty(&running) ? 0 : timer_due;
}
