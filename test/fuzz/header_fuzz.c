/*-------------------------------------------------------------------------
 *
 * header_fuzz.c
 *		Fuzzing of the headers of a reply, as libcurl hands them over.
 *
 * Input: header lines, each up to a line feed, as an upstream sends them:
 * status lines, fields, the empty line, trailers.  A first line that starts
 * with "!" has the names of the three rate-limit headers, with blanks between
 * them; else they are those of the APIs.
 *
 * Said of all headers, a plain reading of the lines being the oracle:
 *	 - texts for messages are printable ASCII, cut to their places;
 *	 - numbers are those sent, -1 when there is none, and never past their
 *	   bounds; a date in the form of HTTP is the moment that it says, whatever
 *	   libcurl makes of others;
 *	 - the last of equal names of the reply itself counts, none of interim
 *	   replies before it nor of trailers after it.
 *
 *-------------------------------------------------------------------------
 */
#include "server_shim.h"

#include <limits.h>
#include <time.h>

#include "../../src/attempt.c"

#define MAX_LINES		64
#define LONGEST_RESET_S	3600
#define EARLIEST_MOMENT	1000000000

/* A field of the reply: what the oracle takes of it. */
typedef struct Field
{
	char		name[64];
	char		value[128];		/* as printable ASCII */
} Field;

typedef struct Reply
{
	int			status;			/* 0: no end of headers came */
	int			n;
	Field		fields[MAX_LINES];
} Reply;

static char reset_name[64] = "RateLimit-Reset";
static char limit_name[64] = "RateLimit-Limit";
static char remaining_name[64] = "RateLimit-Remaining";

/* ---- a plain reading ---- */

static void
printable(char *out, size_t size, const char *text, size_t len)
{
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < ' ' || text[i] > '~')
			continue;
		if ((text[i] != ' ' || n > 0) && n + 1 < size)
			out[n++] = text[i];
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* The value of the last field of a name, NULL when there is none. */
static const char *
value_of(const Reply *reply, const char *name)
{
	for (int i = reply->n; i-- > 0;)
	{
		if (strcasecmp(reply->fields[i].name, name) == 0)
			return reply->fields[i].value;
	}
	return NULL;
}

/* The number at the start of a value, at most max; -1 if there is none. */
static int64
number_of(const char *value, int64 max)
{
	__int128	number = 0;

	if (value == NULL || *value < '0' || *value > '9')
		return -1;
	for (; *value >= '0' && *value <= '9'; value++)
		number = Min(number * 10 + (*value - '0'), (__int128) max);
	return (int64) number;
}

/* Unix seconds of "Sun, 06 Nov 1994 08:49:37 GMT"; false for another text. */
static bool
http_date(const char *value, int64 *date)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char days[] = "SunMonTueWedThuFriSat";
	static const int lengths[] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
	};
	struct tm	tm = {0};
	char		day[4];
	char		month[4];
	int			end = 0;
	const char *at;
	const char *name;

	if (value == NULL || strlen(value) != 29 ||
		sscanf(value, "%3s, %2d %3s %4d %2d:%2d:%2d GMT%n", day, &tm.tm_mday,
			   month, &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
			   &end) != 7 || end != 29)
		return false;
	for (int i = 0; i < 29; i++)
	{
		if ((strchr("0123456789", "aaa, 00 aaa 0000 00:00:00 GMT"[i]) != NULL) !=
			(strchr("0123456789", value[i]) != NULL))
			return false;
	}
	at = strstr(months, month);
	name = strstr(days, day);
	if (strlen(month) != 3 || strlen(day) != 3 || at == NULL || name == NULL ||
		(at - months) % 3 != 0 || (name - days) % 3 != 0)
		return false;
	tm.tm_mon = (int) (at - months) / 3;
	/* libcurl knows 1583 to 2099 at least; leap days are the calendar's */
	if (tm.tm_year < 1970 || tm.tm_year > 2099 || tm.tm_mday < 1 ||
		tm.tm_mday > lengths[tm.tm_mon] || tm.tm_hour > 23 ||
		tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	tm.tm_year -= 1900;
	*date = (int64) timegm(&tm);
	return true;
}

/* Reads all lines, as libcurl would have handed them over. */
static void
read_plainly(const char *text, size_t len, Reply *reply)
{
	int			status = 0;

	memset(reply, 0, sizeof(*reply));
	while (len > 0 && reply->status == 0)
	{
		const char *end = memchr(text, '\n', len);
		size_t		line = end ? (size_t) (end - text) + 1 : len;
		const char *colon = memchr(text, ':', line);

		if (end == NULL)
			return;
		if (line > 5 && memcmp(text, "HTTP/", 5) == 0)
		{
			const char *space = memchr(text, ' ', line);

			status = 0;
			if (space != NULL && line - (space - text) > 4)
				status = (int) number_of(space + 1, 999);
		}
		else if (status >= 200 && (*text == '\r' || *text == '\n'))
			reply->status = status;
		else if (status >= 200 && colon != NULL && reply->n < MAX_LINES)
		{
			Field	   *field = &reply->fields[reply->n++];
			size_t		name = colon - text;

			memcpy(field->name, text, Min(name, sizeof(field->name) - 1));
			if (name >= sizeof(field->name) ||
				memchr(text, '\0', name) != NULL)
				field->name[0] = '\0';
			printable(field->value, sizeof(field->value), colon + 1,
					  line - name - 1);
		}
		text += line;
		len -= line;
	}
}

/* ---- what is right ---- */

static void
judge_text(const char *mine, size_t size, const char *value)
{
	CHECK(strlen(mine) < size);
	for (const char *p = mine; *p != '\0'; p++)
		CHECK(*p >= ' ' && *p <= '~');
	if (value != NULL)
		CHECK(strncmp(mine, value, size - 1) == 0);
	else
		CHECK(*mine == '\0');
}

static void
judge_dates(const ApigouvTransfer *transfer, const Reply *reply,
			int64 before, int64 after)
{
	const char *retry = value_of(reply, "Retry-After");
	int64		date = 0;

	CHECK(transfer->retry_after_s >= -1);
	if (retry == NULL)
		CHECK(transfer->retry_after_s == -1);
	else if (number_of(retry, INT_MAX) >= 0)
		CHECK(transfer->retry_after_s == number_of(retry, INT_MAX));
	else if (retry[0] == '-' && number_of(retry + 1, 1) >= 0)
		CHECK(transfer->retry_after_s == 0);
	else if (http_date(retry, &date))
		CHECK(transfer->retry_after_s >=
			  Min(Max(date - after, 0), INT_MAX) &&
			  transfer->retry_after_s <=
			  Min(Max(date - before, 0), INT_MAX));
	if (http_date(value_of(reply, "Date"), &date))
		CHECK(transfer->private->server_date == date);
}

static void
judge(const ApigouvTransfer *transfer, const Reply *reply, int64 before,
	  int64 after)
{
	int64		reset;

	CHECK(transfer->status == reply->status);
	CHECK(transfer->streaming == (reply->status == 200));
	/* a UUID, or nothing */
	CHECK(strlen(transfer->request_id) % 4 == 0 &&
		  strspn(transfer->request_id, "0123456789abcdefABCDEF-") ==
		  strlen(transfer->request_id));
	judge_text(transfer->request_id, sizeof(transfer->request_id),
			   transfer->request_id[0] == '\0' ? NULL :
			   value_of(reply, "X-Request-Id"));
	judge_text(transfer->content_type, sizeof(transfer->content_type),
			   value_of(reply, "Content-Type"));
	judge_dates(transfer, reply, before, after);
	CHECK(transfer->limit_total == number_of(value_of(reply, limit_name),
											 INT_MAX));
	CHECK(transfer->limit_remaining ==
		  number_of(value_of(reply, remaining_name), INT_MAX));
	reset = number_of(value_of(reply, reset_name), PG_INT64_MAX);
	CHECK(transfer->limit_reset == reset);
	if (reply->status == 0)
		return;
	CHECK(transfer->limit_reset_s >= -1);
	if (reset < EARLIEST_MOMENT)
		CHECK(transfer->limit_reset_s <= Max(reset, LONGEST_RESET_S));
	else
		CHECK(transfer->limit_reset_s >= 0 &&
			  transfer->limit_reset_s <= LONGEST_RESET_S);
}

/* Are the names of the rate-limit headers three, and those of no other? */
static bool
names_differ(void)
{
	const char *const names[] = {
		limit_name, remaining_name, reset_name, "X-Request-Id", "Content-Type",
		"Content-Encoding", "Retry-After", "Date"
	};

	for (int i = 0; i < 3; i++)
	{
		if (*names[i] == '\0')
			return false;
		for (int j = i + 1; j < (int) lengthof(names); j++)
		{
			if (strcasecmp(names[i], names[j]) == 0)
				return false;
		}
	}
	return true;
}

/* Takes names of headers from a first line; gives what follows it. */
static const char *
read_names(const char *text, size_t *len)
{
	const char *end = memchr(text, '\n', *len);
	char		line[192];

	if (*len == 0 || *text != '!' || end == NULL ||
		end - text >= (ptrdiff_t) sizeof(line) ||
		memchr(text, '\0', end - text) != NULL)
		return text;
	memcpy(line, text + 1, end - text - 1);
	line[end - text - 1] = '\0';
	limit_name[0] = remaining_name[0] = reset_name[0] = '\0';
	(void) sscanf(line, "%63s %63s %63s", limit_name, remaining_name,
				  reset_name);
	*len -= end + 1 - text;
	return end + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ApigouvTransferPrivate private;
	ApigouvTransfer *transfer = &private.public;
	Reply		reply;
	const char *text = (const char *) data;
	int64		before;

	shim_start();
	memset(&private, 0, sizeof(private));
	transfer->private = &private;
	transfer->retry_after_s = transfer->limit_total = -1;
	transfer->limit_remaining = -1;
	transfer->limit_reset = transfer->limit_reset_s = -1;
	private.server_date = -1;
	strcpy(limit_name, "RateLimit-Limit");
	strcpy(remaining_name, "RateLimit-Remaining");
	strcpy(reset_name, "RateLimit-Reset");
	text = read_names(text, &size);
	if (!names_differ())
		return 0;
	private.limit_header = limit_name;
	private.remaining_header = remaining_name;
	private.reset_header = reset_name;

	read_plainly(text, size, &reply);
	if (reply.n == MAX_LINES)
		return 0;
	before = (int64) time(NULL);
	while (size > 0)
	{
		const char *end = memchr(text, '\n', size);
		size_t		len = end ? (size_t) (end - text) + 1 : size;
		char	   *line;

		if (end == NULL)
			break;
		line = memcpy(malloc(len), text, len);
		CHECK(on_header(line, 1, len, transfer) == len ||
			  private.headers_bytes > APIGOUV_HEADERS_BYTES);
		free(line);
		text += len;
		size -= len;
	}
	judge(transfer, &reply, before, (int64) time(NULL));
	return 0;
}
