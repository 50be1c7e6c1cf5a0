/*-------------------------------------------------------------------------
 *
 * attempt_failure.c
 *		How an attempt failed: which kind of failure, and the words for it.
 *
 * Not here: whether another attempt is worth while (the hook's owner).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "attempt.h"
#include "messages.h"

/*
 * Name whom an attempt talks to, '"host", port N', for a message.  The rest
 * of a URL may hold secrets.
 */
static void
describe_peer(const ApigouvTransferPrivate *private, char *out, size_t size)
{
	const char *proxy = private->settings.proxy;
	ApigouvUrlParts parts;
	char		host[100];

	(void) apigouv_url_split(proxy ? proxy : private->url,
							 proxy != NULL, &parts);
	apigouv_header_text(host, sizeof(host), parts.host,
						strlen(parts.host));
	if (parts.port[0] != '\0')
		snprintf(out, size, proxy != NULL ? _("proxy \"%s\", port %s") :
				 _("\"%s\", port %s"), host, parts.port);
	else
		snprintf(out, size, proxy != NULL ? _("proxy \"%s\"") :
				 _("\"%s\""), host);
}

/*
 * apigouv_attempt_classify
 *		What kind of failure libcurl's code means.
 */
ApigouvFailure
apigouv_attempt_classify(int code, bool sent)
{
	switch ((CURLcode) code)
	{
		case CURLE_OK:
			return APIGOUV_FAILURE_NONE;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_CONNECT:
		case CURLE_PROXY:
		case CURLE_SSL_CONNECT_ERROR:
			/* a handshake that breaks off may pass; a certificate does not */
			return APIGOUV_FAILURE_CONNECT;
		case CURLE_OPERATION_TIMEDOUT:
			/* what was never sent may be sent again */
			return sent ? APIGOUV_FAILURE_TIMEOUT : APIGOUV_FAILURE_CONNECT;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_USE_SSL_FAILED:
			return APIGOUV_FAILURE_TLS;
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_PARTIAL_FILE:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
			return APIGOUV_FAILURE_LOST;
		case CURLE_FILESIZE_EXCEEDED:
			return APIGOUV_FAILURE_TOO_LARGE;
		case CURLE_BAD_CONTENT_ENCODING:
			return APIGOUV_FAILURE_ENCODING;
		case CURLE_OUT_OF_MEMORY:
			return APIGOUV_FAILURE_MEMORY;
		default:
			return APIGOUV_FAILURE_OTHER;
	}
}

/* Say why there is no TLS; libcurl's words are the only ones. */
static void
describe_tls(const ApigouvTransferPrivate *private, const char *peer,
			 int code, char *text, size_t size)
{
	char		reason[100];

	apigouv_header_text(reason, sizeof(reason), private->curl_error,
						strlen(private->curl_error));
	snprintf(text, size, _("no TLS connection to %s: %s"), peer,
			 reason[0] ? reason : curl_easy_strerror((CURLcode) code));
}

/* What OpenSSL says of a certificate; other libraries have other numbers. */
#define VERIFY_NOT_SAID			1	/* it is right: the name is not */
#define VERIFY_NOT_YET_VALID	9
#define VERIFY_HAS_EXPIRED		10
#define VERIFY_SELF_SIGNED		18
#define VERIFY_LAST_OF_CHAIN	21

/* Why a certificate was not accepted, as far as that is known. */
static ApigouvCause
cause_of_certificate(const ApigouvTransferPrivate *private)
{
	long		verified = 0;

	(void) curl_easy_getinfo(private->easy, CURLINFO_SSL_VERIFYRESULT,
							 &verified);
	if (verified == VERIFY_NOT_YET_VALID || verified == VERIFY_HAS_EXPIRED)
		return APIGOUV_CAUSE_EXPIRED;
	if (verified >= VERIFY_SELF_SIGNED && verified <= VERIFY_LAST_OF_CHAIN)
		return APIGOUV_CAUSE_AUTHORITY;
	return verified <= VERIFY_NOT_SAID ? APIGOUV_CAUSE_OTHER_HOST
		: APIGOUV_CAUSE_UNKNOWN;
}

/* Why there was no connection, as far as that is known. */
static ApigouvCause
cause_of(const ApigouvTransferPrivate *private, int code)
{
	long		os_errno = 0;

	switch ((CURLcode) code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return APIGOUV_CAUSE_NAME;
		case CURLE_OPERATION_TIMEDOUT:
			return APIGOUV_CAUSE_TIMEOUT;
		case CURLE_COULDNT_CONNECT:
			(void) curl_easy_getinfo(private->easy, CURLINFO_OS_ERRNO,
									 &os_errno);
			return os_errno == ECONNREFUSED ? APIGOUV_CAUSE_REFUSED
				: APIGOUV_CAUSE_UNKNOWN;
		case CURLE_PEER_FAILED_VERIFICATION:
			return cause_of_certificate(private);
		case CURLE_SSL_CACERT_BADFILE:
			return APIGOUV_CAUSE_CA_FILE;
		default:
			return APIGOUV_CAUSE_UNKNOWN;
	}
}

/* Say which address may not be connected to, and why. */
static void
describe_address(ApigouvTransfer *transfer, const char *peer)
{
	const ApigouvTransferPrivate *private = transfer->private;
	bool		clear = private->settings.egress.loopback_only;

	apigouv_egress_text(&private->address, transfer->address);
	transfer->may_be_listed = !clear &&
		apigouv_egress_can_be_listed(&private->address);
	snprintf(transfer->failure_text, sizeof(transfer->failure_text),
			 clear
			 ? _("%s leads to %s, %s, and http is for loopback addresses only")
			 : _("%s leads to %s, %s"),
			 peer, transfer->address,
			 _(apigouv_egress_class_text(&private->address)));
}

/*
 * apigouv_attempt_describe
 *		Say why an attempt failed, in transfer->failure_text.
 *
 * code: libcurl's, whose handle is still there.  The words are ours where they
 * can be, since libcurl's change between versions and may quote what was sent.
 */
void
apigouv_attempt_describe(ApigouvTransfer *transfer, int code)
{
	ApigouvTransferPrivate *private = transfer->private;
	char	   *text = transfer->failure_text;
	size_t		size = sizeof(transfer->failure_text);
	char		peer[192];
	long		os_errno = 0;

	describe_peer(private, peer, sizeof(peer));
	transfer->cause = cause_of(private, code);
	switch (transfer->failure)
	{
		case APIGOUV_FAILURE_NONE:
			break;
		case APIGOUV_FAILURE_CONNECT:
			(void) curl_easy_getinfo(private->easy, CURLINFO_OS_ERRNO,
									 &os_errno);
			if (code == CURLE_OPERATION_TIMEDOUT)
				snprintf(text, size, _("no connection to %s within %d ms"), peer,
						 Min(private->settings.connect_timeout_ms,
							 private->settings.timeout_ms));
			else if (code == CURLE_COULDNT_CONNECT && os_errno != 0)
				snprintf(text, size, _("could not connect to %s: %s"), peer,
						 strerror((int) os_errno));
			else if (code == CURLE_COULDNT_RESOLVE_HOST ||
					 code == CURLE_COULDNT_RESOLVE_PROXY)
				snprintf(text, size, _("could not find the address of %s"), peer);
			else if (code == CURLE_SSL_CONNECT_ERROR)
				describe_tls(private, peer, code, text, size);
			else
				snprintf(text, size, _("could not connect to %s"), peer);
			break;
		case APIGOUV_FAILURE_ADDRESS:
			describe_address(transfer, peer);
			break;
		case APIGOUV_FAILURE_TLS:
			describe_tls(private, peer, code, text, size);
			break;
		case APIGOUV_FAILURE_TIMEOUT:
			snprintf(text, size, _("no complete reply within %d ms"),
					 private->settings.timeout_ms);
			break;
		case APIGOUV_FAILURE_LOST:
			snprintf(text, size, transfer->status == 0
					 ? _("connection to %s was lost before the reply")
					 : _("connection to %s was lost before the end of the reply"),
					 peer);
			break;
		case APIGOUV_FAILURE_TOO_LARGE:
			if (private->headers_bytes > APIGOUV_HEADERS_BYTES)
				snprintf(text, size, _("headers of the reply are larger than %d bytes"),
						 APIGOUV_HEADERS_BYTES);
			else
				snprintf(text, size, _("reply is larger than %lld bytes"),
						 (long long) private->settings.response_max_bytes);
			break;
		case APIGOUV_FAILURE_ENCODING:
			strlcpy(text, _("compressed reply cannot be decompressed"), size);
			break;
		case APIGOUV_FAILURE_MEMORY:
			strlcpy(text, _("out of memory or file descriptors"), size);
			break;
		case APIGOUV_FAILURE_QUOTA:
		case APIGOUV_FAILURE_LEDGER:
		case APIGOUV_FAILURE_AUDIT:
		case APIGOUV_FAILURE_BOUND:
			break;				/* said where it happened */
		case APIGOUV_FAILURE_OTHER:
			if (code == CURLE_WRITE_ERROR)
				strlcpy(text, _("interrupted"), size);
			else if (code == CURLE_UNSUPPORTED_PROTOCOL ||
					 code == CURLE_WEIRD_SERVER_REPLY)
				snprintf(text, size, _("reply of %s is not HTTP"), peer);
			else
				strlcpy(text, curl_easy_strerror((CURLcode) code), size);
			break;
	}
}
