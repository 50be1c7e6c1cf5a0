# Several sessions that all want more than a limit grants: each has its turn.
# pg_regress cannot show it: it takes sessions that wait at the same time.
#
# While a session waits, each of the others is served once at most.  What the
# API receives can differ from that by a window: slots that are granted together
# arrive in any order, and between two waits a session that the machine has not
# let run is in no queue.  Time does not matter, only who is served.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use List::Util 'max';
use Test::More;

my ($sessions, $each, $granted) = (6, 7, 5);
my $node = new_cluster('quota_fairness');
my $control = session($node);

# Whose requests arrived, in their order.
sub served
{
	my @arrived = sort { $a->{started} <=> $b->{started} } requests(path => qr{/urssaf});
	my %whose;
	for my $session (0 .. $sessions - 1)
	{
		$whose{$_} = $session for sirens($each, 20000 + 100 * $session);
	}
	return map { $whose{ ($_->{path} =~ /(\d{9})/)[0] } } @arrived;
}

# The most requests of others between two of one session.
sub longest_wait
{
	my (%since, $longest);
	for my $who (@_)
	{
		$since{$_}++ for grep { $_ != $who } keys %since;
		$longest = max($longest // 0, $since{$who} // 0);
		$since{$who} = 0;
	}
	return $longest;
}

# name, requests under way at once in each session
for my $case ([ 'one request at a time', 1 ], [ 'many at once', 8 ])
{
	my ($name, $concurrency) = @$case;
	limits($control, undef, urssaf => "$granted/300ms");
	run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD max_concurrency '$concurrency')");
	begin_anew($control);
	my @waiting = map { session($node) } 1 .. $sessions;
	$waiting[$_]->start(vigilance($each, 20000 + 100 * $_)) for 0 .. $#waiting;
	is(join(' ', map { $_->finish->{out} =~ s/\n//r } @waiting), join(' ', ($each) x $sessions),
		"$name: every session gets its rows");
	my @served = served();
	is(scalar(@served), $sessions * $each, "$name: with a request for each");
	my $longest = longest_wait(@served);
	diag("$name: between two requests of a session, at most $longest of others");
	cmp_ok($longest, '<=', $sessions - 1 + 2 * $granted, "$name: none waits for long");
	is(quota($control, 'urssaf', 'waiting'), '0', "$name: nobody is left in the queue");
	run_sql($control, 'ALTER SERVER entreprise OPTIONS (DROP max_concurrency)');
}

# Who comes late, with little, need not wait for those who want two minutes of
# slots.
limits($control, undef, urssaf => "$granted/300ms");
begin_anew($control);
my $modest = session($node);
my @greedy = map { session($node) } 1 .. 3;
$greedy[$_]->start(vigilance(500, 20000 + 1000 * $_)) for 0 .. $#greedy;
wait_for_waiter($control, 'urssaf', 3);
my $before = sent();
is($modest->value(vigilance(1, 30000)), '1', 'a session that comes later has its turn');
diag('with ' . (sent() - $before) . ' requests received meanwhile');
wait_for_waiter($control, 'urssaf', 3);
pass('while the others still wait');
run_sql($control, 'SELECT pg_cancel_backend(' . $_->pid . ')') for @greedy;
is(join(' ', map { $_->finish->{sqlstate} } @greedy), '57014 57014 57014', 'until they are cancelled');
is(quota($control, 'urssaf', 'waiting'), '0', 'and nobody is left in the queue');

done_testing();
