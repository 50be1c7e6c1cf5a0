# What the upstream tells about its own counts: a refusal closes the limit for
# everybody, headers correct downwards only.  pg_regress cannot show it: it
# takes another session, in another database.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use Fcntl ':flock';
use POSIX 'strftime';
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('quota_upstream');
$node->safe_psql('postgres', 'CREATE DATABASE autre');
create_apis($node, 'autre');
my $session = session($node);
my $other = session($node, db => 'autre');
my $closed = 'extract(epoch FROM closed_until - now())';

# Limits of both databases.
sub both
{
	my (%limits) = @_;
	limits($_, undef, %limits) for $session, $other;
	return;
}

# The next reply of URSSAF, before those that give_yes has ordered.
sub next_reply
{
	my ($status, %headers) = @_;
	faults(
		{ api => 'entreprise', path => '/v4/urssaf*', times => 1, status => $status,
			body => $status == 200 ? $YES : envelope('00429', 'Trop de requêtes'),
			headers => \%headers },
		{ api => 'entreprise', path => '/v*', times => -1, status => 200, body => $YES });
	return;
}

# ===================================================================
# A 429 closes the limit for everybody, and only that limit
# ===================================================================
both(urssaf => '10000/1s');
run_sql($_, "ALTER SERVER entreprise OPTIONS (ADD retries '0')") for $session, $other;
begin_anew($session);
next_reply(429, 'Retry-After' => 600);
refuses($session, vigilance(1), {
	sqlstate => '53400',
	message => 'foreign server "entreprise" refused the request: request quota is exhausted',
	hint => 'Run the query again in 600 seconds.', requests => 1 }, 'a 429 without another attempt');
ok(quota($session, 'urssaf', "$closed BETWEEN 500 AND 601"), 'the limit is closed until Retry-After');
is(quota($session, 'urssaf', '"left"'), '0', 'nothing is left');
my $result = refuses($other, vigilance(1, 20100), {
	%{ refused_for('urssaf', '10000 requests per 1 second') }, requests => 0 },
	'another database: refused before it is sent, for it is certain to last');
cmp_ok($result->{ms}, '<', 60000, 'at once: quota_wait_ms is 120 s');
asks($other, fiscale(2), 2, "2\n", 'other limits go on');

for my $case (
	[ 'a date', strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + 600)), 500, 602 ],
	[ 'no Retry-After: what the definition says', undef, 30, 61 ],
	[ 'no Retry-After, but RateLimit-Reset', undef, 200, 302, 'RateLimit-Reset' => int(time()) + 300 ],
	[ 'at most twelve hours', 1000000, 43100, 43201 ])
{
	my ($name, $retry_after, $least, $most, %headers) = @$case;
	$headers{'Retry-After'} = $retry_after if defined $retry_after;
	begin_anew($session);
	next_reply(429, %headers);
	is($session->query(vigilance(1))->{sqlstate}, '53400', "$name: refused");
	is(quota($session, 'urssaf', "$closed BETWEEN $least AND $most"), 't', "$name: closed for as long")
	  or diag(quota($session, 'urssaf', $closed));
}

# Its own wait for a 429 is bounded like that for others'.
begin_anew($session);
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET retries '3', ADD quota_wait_ms '500')");
next_reply(429, 'Retry-After' => 100);
$result = refuses($session, vigilance(1), { sqlstate => '53400', hint => 'Run the query again in 100 seconds.', requests => 1 },
	'a 429 that asks for more than quota_wait_ms');
cmp_ok($result->{ms}, '<', 60000, 'is not waited for');
run_sql($session, 'ALTER SERVER entreprise OPTIONS (DROP quota_wait_ms)');

# Both wait until then, whoever was refused.
begin_anew($session);
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET retries '1')");
next_reply(429, 'Retry-After' => 1);
$session->start(vigilance(1));
ApigouvTest::wait_for(sub { quota($other, 'urssaf', 'closed_until') }, 'the refusal');
$other->start(vigilance(1, 20100));
is($_->finish->{out}, "1\n", 'a short refusal is waited for') for $session, $other;
my ($refused) = requests(status => 429);
my ($next) = sort { $a <=> $b } map { $_->{started} } requests(path => qr{/urssaf}, status => 200);
cmp_ok($next - $refused->{ended}, '>=', 1000, 'and nothing is sent before');

# ===================================================================
# Headers: what is lower is believed, what is higher is not
# ===================================================================
my $in_ten_minutes = int(time()) + 600;
both(urssaf => "10/$LONG");
run_sql($_, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')") for $session, $other;
my @cases = (
	# name, headers, allowed and left afterwards, of 10 with 1 spent here
	[ 'no header', {}, '10|9' ],
	[ 'more left than counted', { 'RateLimit-Limit' => 10, 'RateLimit-Remaining' => 10,
			'RateLimit-Reset' => $in_ten_minutes }, '10|9' ],
	[ 'as much left as counted', { 'RateLimit-Limit' => 10, 'RateLimit-Remaining' => 9,
			'RateLimit-Reset' => $in_ten_minutes }, '10|9' ],
	[ 'less left: another uses the token', { 'RateLimit-Limit' => 10, 'RateLimit-Remaining' => 3,
			'RateLimit-Reset' => $in_ten_minutes }, '10|3' ],
	[ 'less left, and no Reset', { 'RateLimit-Remaining' => 3 }, '10|3' ],
	[ 'nothing left', { 'RateLimit-Remaining' => 0, 'RateLimit-Reset' => $in_ten_minutes }, '10|0' ],
	[ 'a higher limit', { 'RateLimit-Limit' => 250 }, '10|9' ],
	[ 'a lower limit', { 'RateLimit-Limit' => 4 }, '4|3' ],
	[ 'no numbers', { 'RateLimit-Limit' => 'x', 'RateLimit-Remaining' => '', 'RateLimit-Reset' => '-' }, '10|9' ],
	[ 'negative numbers', { 'RateLimit-Limit' => -1, 'RateLimit-Remaining' => -5 }, '10|9' ]);
for my $case (@cases)
{
	my ($name, $headers, $left) = @$case;
	my ($allowed, $n) = split /\|/, $left;
	begin_anew($session);
	next_reply(200, %$headers);
	asks($session, vigilance(1), 1, "1\n", "$name: the rows");
	is(quota($session, 'urssaf', 'allowed, "left"'), $left, "$name: what is left");
	is(counted($other, vigilance($n + 1, 20100))->{requests}, $n, "$name: as many are sent");
}

# A window that has ended bounds nothing, but for the margin of the limit.
begin_anew($session);
next_reply(200, 'RateLimit-Remaining' => 0, 'RateLimit-Reset' => int(time()) - 60);
run_sql($session, vigilance(1));
ApigouvTest::wait_for(sub { quota($session, 'urssaf', '"left"') == 9 }, 'the end of what was told');
pass('what is told of a window that has ended is soon forgotten');

# A later reply that says more does not give back what an earlier one took.
begin_anew($session);
next_reply(200, 'RateLimit-Remaining' => 2, 'RateLimit-Reset' => $in_ten_minutes);
run_sql($session, vigilance(1));
next_reply(200, 'RateLimit-Remaining' => 8, 'RateLimit-Reset' => $in_ten_minutes);
run_sql($session, vigilance(1, 20100));
is(quota($session, 'urssaf', '"left"'), '1', 'a reply that says more gives nothing back');
# But a limit that was raised again is.
next_reply(200, 'RateLimit-Limit' => 10);
run_sql($session, vigilance(1, 20200));
is(quota($session, 'urssaf', 'allowed'), '10', 'a limit that is back is believed, up to the option');

# What is told of a limit is not of the address, nor of other limits.
begin_anew($session);
next_reply(200, 'RateLimit-Remaining' => 0, 'RateLimit-Reset' => $in_ten_minutes);
run_sql($session, vigilance(1));
asks($other, fiscale(3), 3, "3\n", 'nothing left of one limit: another goes on');

# A refusal that comes while another process holds the ledger is told to it
# before anything else is sent.
begin_anew($session);
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '0')");
faults({ api => 'entreprise', status => 429, delay_ms => 300, headers => { 'Retry-After' => '600' } });
$session->start(vigilance(1));
ApigouvTest::wait_for(sub { in_flight(api => 'entreprise') }, 'the request');
open(my $held, '+<', ledger_file($node)) or die;
flock($held, LOCK_EX) or die;
is($session->finish->{sqlstate}, '53400', 'a refusal, while the ledger is held');
close $held;
refuses($session, vigilance(1, 20100), { sqlstate => '53400', requests => 0 }, 'is not forgotten');
refuses($other, vigilance(1, 20200), { sqlstate => '53400', requests => 0 }, 'nor unknown to the others');

done_testing();
