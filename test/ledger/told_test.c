/*-------------------------------------------------------------------------
 *
 * told_test.c
 *		What an upstream tells the quota ledger, in headers and by refusals.
 *		Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

static void
test_correct(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 10, 10 * SECOND, 100);

	new_ledger();
	(void) burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, -1, -1, -1);
	(void) apigouv_quota_correct(&limits, sent_at, 100, 99, 5 * SECOND);
	(void) apigouv_quota_correct(&limits, sent_at, 0, -1, 5 * SECOND);
	is(burst(&limits, 99), 9, "nothing told, or more: as counted here");

	new_ledger();
	(void) burst(&limits, 1);
	clock_now++;
	(void) apigouv_quota_correct(&limits, sent_at, -1, 3, 5 * SECOND);
	is(burst(&limits, 99), 3, "fewer left: somebody else sends too");
	is(answer.wait_us, 5100 * MS, "until the window ends that was told");
	is(answer.certain_us, 5100 * MS, "for certain");
	(void) apigouv_quota_correct(&limits, sent_at, -1, 9, SECOND);
	is(burst(&limits, 99), 0, "more left, told later, changes nothing");
	clock_now += 5100 * MS;
	is(burst(&limits, 99), 6, "then what is counted here counts");

	new_ledger();
	(void) burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, -1, 0, 10000 * SECOND);
	clock_now += 9999 * SECOND;
	is(burst(&limits, 99), 0, "even if that is longer than the limit's");

	new_ledger();
	(void) burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, -1, 0, -1);
	clock_now += 10100 * MS - 1;
	ok(burst(&limits, 1) == 0 && ++clock_now && burst(&limits, 99) == 10,
	   "no end told: a window from when the request was sent");

	new_ledger();
	(void) burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, 4, -1, -1);
	is(burst(&limits, 99), 3, "fewer allowed");
	(void) apigouv_quota_correct(&limits, sent_at, 7, -1, -1);
	is(burst(&limits, 99), 3, "and more again");
	(void) apigouv_quota_correct(&limits, sent_at, 1000, -1, -1);
	is(burst(&limits, 99), 3, "though never more than the limit");

	new_ledger();
	(void) burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, INT64_MAX, 0, INT64_MAX);
	clock_now += LONGEST_CAP_US + 100 * MS;
	is(burst(&limits, 99), 10, "absurd numbers end");
	unlink(apigouv_ledger_path);
	(void) apigouv_quota_correct(&limits, sent_at, 5, 5, SECOND);
	is(burst(&limits, 99), 0, "a ledger begun anew stays closed");
}

static void
test_many_replies(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 100, 10 * SECOND, 0);
	int64_t		moments[4];
	uint64_t	waiting;
	int			n = 0;

	new_ledger();
	(void) reserve(&limits);
	waiting = slot;
	for (int i = 0; i < 4; i++)
	{
		(void) burst(&limits, 1);
		moments[i] = sent_at;
		clock_now += MS;
	}
	/* the third reply comes first; one is in flight since, one not yet */
	(void) apigouv_quota_correct(&limits, moments[2], -1, 20, 5 * SECOND);
	is(burst(&limits, 18), 18, "what is sent since a reply's request counts");
	is(burst(&limits, 99), 0, "and what is reserved");
	(void) apigouv_quota_give_back(&limits, waiting);
	is(burst(&limits, 99), 1, "unless it is given back");

	/* nothing left for a second; and little left for a long time */
	new_ledger();
	(void) burst(&limits, 2);
	clock_now++;
	(void) apigouv_quota_correct(&limits, sent_at, -1, 0, SECOND);
	(void) apigouv_quota_correct(&limits, sent_at, -1, 5, 9 * SECOND);
	is(burst(&limits, 99), 0, "a short cap holds");
	clock_now += SECOND;
	is(burst(&limits, 99), 5, "then the long one");
	clock_now += 8 * SECOND;
	is(burst(&limits, 99), 93, "then none");

	/* more of them than there is room for: never more open */
	new_ledger();
	(void) burst(&limits, 1);
	clock_now++;
	for (int i = 1; i < 9; i++)
		(void) apigouv_quota_correct(&limits, sent_at, -1, i, i * SECOND);
	for (int i = 1; i < 9; i++)
	{
		n += burst(&limits, 99);
		if (n > i)
			break;
		clock_now += SECOND;
	}
	ok(n > 0 && n <= 8, "many caps: %d of 8 sent, none too early", n);

	/* a cap that lasts many windows counts what left them long ago */
	new_ledger();
	limits = limit_of(1, 2, SECOND, 0);
	n = burst(&limits, 1);
	(void) apigouv_quota_correct(&limits, sent_at, -1, 150, 3600 * SECOND);
	for (int i = 0; i < 1000; i++)
	{
		clock_now += SECOND;
		n += burst(&limits, 9);
	}
	is(n, 151, "a cap of many windows holds in all of them");
}

static void
test_close(void)
{
	ApigouvQuotaLimits limits = limit_of(1, 10, 10 * SECOND, 0);
	ApigouvQuotaLimits address = limit_of(2, 10, 10 * SECOND, 0);
	int64_t		from;

	address.limits[0].is_group = false;
	add_limit(&limits, 2, 10, 10 * SECOND, 0);
	new_ledger();
	(void) reserve(&limits);
	(void) apigouv_quota_close(&limits, 60 * SECOND);
	from = clock_now;
	is(settle(&limits, slot), APIGOUV_QUOTA_WAIT,
	   "what was reserved before a refusal is not sent");
	is(burst(&limits, 9), 0, "nor what comes");
	is(answer.certain_us, 60 * SECOND, "as long as it was told");
	is(burst(&address, 99), 10, "others are not concerned; it was given back");
	(void) apigouv_quota_close(&limits, 10 * SECOND);
	clock_now = from + 60 * SECOND - 1;
	is(burst(&limits, 9), 0, "a shorter closure changes nothing");
	(void) apigouv_quota_close(&limits, SECOND);
	clock_now++;
	is(burst(&limits, 9), 0, "a longer one does");
	clock_now += SECOND;
	is(burst(&limits, 99), 10, "then it is open");
	(void) apigouv_quota_close(&limits, INT64_MAX);
	is(burst(&limits, 9), 0, "an absurd one does no harm");
}

int
main(void)
{
	begin(false);
	test_correct();
	test_many_replies();
	test_close();
	return end();
}
