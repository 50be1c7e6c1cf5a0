# What a query does when a limit is reached: it waits, or says when to come
# back.  pg_regress cannot show it: it takes times, and another session that
# has used the limit up.
#
# Times are looked at from below only: a busy machine may be late, never early.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';
use Time::Local 'timegm';

my $node = new_cluster('quota_waiting');
my $session = session($node);
my $other = session($node);

sub wait_at_most
{
	run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '$_[0]')");
	return;
}
run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '120000')");

# The least time between two requests so many apart, in ms.
sub least_span
{
	my ($apart) = @_;
	my @at = sort { $a <=> $b } map { $_->{started} } requests(path => qr{/urssaf/});
	my ($least) = sort { $a <=> $b } map { $at[ $_ + $apart ] - $at[$_] } 0 .. $#at - $apart;
	return $least;
}

# ===================================================================
# Above the limit: the query waits, and gets every row
# ===================================================================
limits($session, undef, urssaf => '5/1s');
begin_anew($session);
my $result = counted($session, vigilance(8));
is($result->{out} . $result->{requests}, "8\n8", 'a query above the limit gets every row');
cmp_ok($result->{ms}, '>=', 1000, 'after a window');

my ($waited) = $session->query('EXPLAIN (ANALYZE) ' . vigilance(8, 20100))->{out} =~ /Quota Wait: (\d+) ms/;
cmp_ok($waited // 0, '>', 0, 'EXPLAIN ANALYZE tells how long it waited');
begin_anew($session);
unlike($session->query('EXPLAIN (ANALYZE) ' . vigilance(1))->{out}, qr/Quota Wait/,
	'or nothing, when it did not');

# Those that wait show it.
limits($session, undef, urssaf => "2/$LONG");
begin_anew($session);
$other->start(vigilance(3));
wait_for_waiter($session, 'urssaf');
is(quota($session, 'urssaf', 'used, "left", waiting'), '2|0|1', 'the view tells who waits');
ApigouvTest::wait_for(sub {
	($session->value('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $other->pid) // '') eq 'Extension';
}, 'the wait event');
pass('pg_stat_activity does');
run_sql($session, 'SELECT apigouv_quota_forget()');
is($other->finish->{out}, "3\n", 'who waits goes on when the ledger is forgotten');

# ===================================================================
# Waiting for longer than quota_wait_ms
# ===================================================================
for my $patience (0, 300)
{
	wait_at_most($patience);
	limits($session, undef, urssaf => "5/$LONG");
	begin_anew($session);
	my $begun = time();
	$result = refuses($session, vigilance(6),
		refused_for('urssaf', '5 requests per 600 seconds', requests => 5),
		"quota_wait_ms = $patience: refused, with the limit and when to come back");
	my $ended = time();
	cmp_ok(($ended - $begun) * 1000, '>=', $patience, "quota_wait_ms = $patience: not before");
	my ($seconds, @at) =
	  $result->{detail} =~ /(\d+) seconds remain, retry_at=(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z/;
	my $at = timegm(reverse(@at[ 3 .. 5 ]), $at[2], $at[1] - 1, $at[0]);
	ok( $at - $seconds >= int($begun) && $at - $seconds <= $ended,
		"quota_wait_ms = $patience: both say the same moment");
	ok( $at >= int($begun) + 600 && $at <= $ended + 602,
		"quota_wait_ms = $patience: the end of the window");
}

# Seven waits of 420 ms (the window and the margin of its definition).
wait_at_most(2500);
limits($session, undef, urssaf => '2/300ms');
begin_anew($session);
$result = counted($session, vigilance(16));
is(($result->{sqlstate} // '') . $result->{out} . $result->{requests}, "16\n16",
	'the allowance starts anew with each slot');
cmp_ok($result->{ms}, '>=', 2900, 'so a query may wait longer than it');

# ===================================================================
# Never a part of the rows
# ===================================================================
wait_at_most(0);
limits($session, undef, urssaf => "3/$LONG");
my $rows = vigilance(4) =~ s/count\(\*\)/siren/r;
my %refusal = (%{ refused_for('urssaf', '3 requests per 600 seconds') }, requests => 3);
begin_anew($session);
is(refuses($session, $rows, \%refusal, 'a list of rows')->{out}, '', 'a list of rows: none is given');
begin_anew($session);
run_sql($session, 'CREATE TABLE copie (siren text)');
refuses($session, "INSERT INTO copie $rows", \%refusal, 'INSERT');
is($session->value('SELECT count(*) FROM copie'), '0', 'INSERT: no row is kept');
for my $mode (qw(error row))
{
	begin_anew($session);
	run_sql($session, "SET apigouv_fdw.on_failure = '$mode'");
	refuses($session, $rows, \%refusal, "on_failure = $mode: an error");
	begin_anew($session);
	refuses($session, 'SELECT statut FROM entreprise.entreprise_attestations WHERE type ='
		  . " 'attestation_vigilance' AND siren IN (" . join(', ', map { "'$_'" } sirens(4)) . ')',
		\%refusal, "on_failure = $mode: an error of a union too");
}
run_sql($session, 'RESET apigouv_fdw.on_failure');
limits($session, undef, urssaf => "10/$LONG");
begin_anew($session);
run_sql($session, 'BEGIN');
asks($session, vigilance(10), 10, "10\n", 'a transaction whose replies are cached');
refuses($session, "SAVEPOINT s;\n" . vigilance(11), { sqlstate => '53400', requests => 0 },
	'above the limit: refused');
run_sql($session, 'ROLLBACK TO s');
asks($session, vigilance(10), 0, "10\n", 'what it has read needs no slot');
run_sql($session, 'COMMIT');

done_testing();
