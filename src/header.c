/*-------------------------------------------------------------------------
 *
 * header.c
 *		Headers of a reply: which matter, and what their values say.
 *
 * Called inside libcurl's callbacks: nothing here raises or allocates.  What
 * comes from the network is cut to fixed sizes, and may be nonsense.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <time.h>

#include "attempt.h"

/* Unix seconds; a smaller value of a reset header is a duration */
#define EARLIEST_MOMENT	1000000000

/* longest that a rate-limit header is believed, in seconds */
#define LONGEST_RESET_S	3600

/*
 * apigouv_header_text
 *		Copy printable ASCII into a buffer, and nothing else.
 *
 * The texts come from the network and end in the server's messages, whose
 * encoding they need not share.  Cut to size; spaces at both ends go.
 */
void
apigouv_header_text(char *out, size_t size, const char *text, size_t len)
{
	size_t		n = 0;
	size_t		i;

	for (i = 0; i < len && n + 1 < size; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c < 0x20 || c > 0x7e || (c == ' ' && n == 0))
			continue;
		out[n++] = (char) c;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/*
 * The number that a header's value starts with, at most max, or -1.  What
 * follows is ignored: drafts of the rate-limit headers add parameters.
 */
int64
apigouv_header_int(const char *value, int64 max)
{
	int64		number = 0;

	if (*value < '0' || *value > '9')
		return -1;
	for (; *value >= '0' && *value <= '9'; value++)
	{
		int			digit = *value - '0';

		if (number > (max - digit) / 10)
			return max;
		number = number * 10 + digit;
	}
	return number;
}

/*
 * Seconds to wait by a Retry-After value: a number, or a date, which may be
 * past (0).  -1 when it is neither.
 */
static int
retry_after_seconds(const char *value)
{
	int64		seconds = apigouv_header_int(value, INT_MAX);
	int64		date;

	if (*value == '-' && value[1] >= '0' && value[1] <= '9')
		return 0;
	if (seconds >= 0)
		return (int) seconds;
	date = apigouv_attempt_date(value);
	if (date == -1)
		return -1;
	seconds = date - (int64) time(NULL);
	return (int) Min(Max(seconds, 0), INT_MAX);
}

/*
 * Seconds until the window of a rate limit ends, by the header that tells, -1
 * if none does.  A moment is compared with the reply's own date, since clocks
 * differ; what is too small for one is a number of seconds.
 */
static int64
seconds_to_reset(const ApigouvTransfer *transfer)
{
	int64		date = transfer->private->server_date;

	if (transfer->limit_reset < EARLIEST_MOMENT)
		return transfer->limit_reset;
	if (date < 0)
		date = (int64) time(NULL);
	return Min(Max(transfer->limit_reset - date, 0), LONGEST_RESET_S);
}

/*
 * Is this the number of a request, a UUID with or without hyphens?  Whatever
 * else stands there might repeat a key, or the token, and is not noted.
 */
static bool
is_request_number(const char *text)
{
	size_t		len = strlen(text);

	if (len != 32 && len != 36)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (len == 36 && (i == 8 || i == 13 || i == 18 || i == 23)
			? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

/* Take note of a header line's value; name is not NUL-terminated. */
void
apigouv_header_note(ApigouvTransfer *transfer, const char *name,
					size_t name_len, const char *text, size_t len)
{
	ApigouvTransferPrivate *private = transfer->private;
	char		value[128];

#define HEADER_IS(wanted) \
	((wanted) != NULL && strlen(wanted) == name_len && \
	 pg_strncasecmp(wanted, name, name_len) == 0)

	apigouv_header_text(value, sizeof(value), text, len);
	if (HEADER_IS("X-Request-Id"))
		strlcpy(transfer->request_id, is_request_number(value) ? value : "",
				sizeof(transfer->request_id));
	else if (HEADER_IS("Content-Type"))
		strlcpy(transfer->content_type, value, sizeof(transfer->content_type));
	else if (HEADER_IS("Content-Encoding"))
		transfer->compressed = *value != '\0' &&
			pg_strcasecmp(value, "identity") != 0;
	else if (HEADER_IS("Retry-After"))
		transfer->retry_after_s = retry_after_seconds(value);
	else if (HEADER_IS("Date"))
		private->server_date = apigouv_attempt_date(value);
	else if (HEADER_IS(private->limit_header))
		transfer->limit_total = (int) apigouv_header_int(value, INT_MAX);
	else if (HEADER_IS(private->remaining_header))
		transfer->limit_remaining = (int) apigouv_header_int(value, INT_MAX);
	else if (HEADER_IS(private->reset_header))
		transfer->limit_reset = apigouv_header_int(value, PG_INT64_MAX);

#undef HEADER_IS
}

/* All headers have come: what several of them say together. */
void
apigouv_header_ended(ApigouvTransfer *transfer)
{
	transfer->limit_reset_s = seconds_to_reset(transfer);
}
