# pg_cancel_backend, statement_timeout and pg_terminate_backend in every wait
# of ApigouvStages.pm.  pg_regress cannot show it: it takes a second session and
# the moment at which the wait has begun.
#
# The measured times are printed.
use strict;
use utf8;
use warnings;

use ApigouvStages;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $slow_resolver = slow_resolver();
my $node = do
{
	local $ENV{LD_PRELOAD} = $slow_resolver // '';
	new_cluster('cancel');
};
my $control = session($node);
my $structures = "SELECT name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'";
my %times;

prepare_stages($control);

sub report
{
	my ($how, $name, $ms) = @_;
	push @{ $times{$how} }, $ms;
	diag(sprintf '%-22s %-45s %6.1f ms', $how, $name, $ms);
	return cmp_ok($ms, '<', time_to_end($control, $how), "$name: $how ends it at once");
}

# A session that has a connection and has waited for it, and the number of its
# descriptors.
sub connected
{
	my $session = session($node);
	faults({ delay_ms => 20 });
	$session->query($ApigouvTest::GOOD_QUERY);
	return ($session, descriptors($session));
}

# The session goes on, and nothing is left: no request at the API, no
# descriptor here.  (The thread of a resolver keeps two until it ends.)
sub goes_on
{
	my ($session, $before, $stage, $name) = @_;
	leave_stage($control, $stage);
	still_works($session, "$name: the session goes on, nothing is left");
	local $ApigouvTest::PATIENCE = 10;
	eval { ApigouvTest::wait_for(sub { descriptors($session) <= $before }, 'the resolver'); };
	is(descriptors($session), $before, "$name: as many descriptors as before");
	return;
}

for my $stage (all_stages(defined $slow_resolver))
{
	my ($name, $query, undef, $has_begun) = @$stage;

	# ===================================================================
	# pg_cancel_backend
	# ===================================================================
	my ($session, $before) = connected();
	begin_stage($control, $stage);
	$session->start($query);
	ApigouvTest::wait_for(sub { $has_begun->($session, $control) }, $name);
	my $since = time();
	$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
	my $result = $session->finish;
	report('pg_cancel_backend', $name, (time() - $since) * 1000);
	is($result->{sqlstate}, '57014', "$name: SQLSTATE of a cancel");
	goes_on($session, $before, $stage, "$name, cancelled");

	# ===================================================================
	# statement_timeout
	# ===================================================================
	($session, $before) = connected();
	begin_stage($control, $stage);
	$session->query("SET statement_timeout = '400ms'");
	$result = $session->query($query);
	report('statement_timeout', $name, $result->{ms} - 400);
	cmp_ok($result->{ms}, '>=', 399, "$name: not before the time");
	is($result->{sqlstate}, '57014', "$name: SQLSTATE of a timeout");
	$session->query('RESET statement_timeout');
	goes_on($session, $before, $stage, "$name, timed out");

	# ===================================================================
	# pg_terminate_backend
	# ===================================================================
	($session, $before) = connected();
	begin_stage($control, $stage);
	$session->start($query);
	ApigouvTest::wait_for(sub { $has_begun->($session, $control) }, $name);
	$since = time();
	$control->query('SELECT pg_terminate_backend(' . $session->pid . ')');
	$result = $session->finish;
	report('pg_terminate_backend', $name, (time() - $since) * 1000);
	is(($result->{sqlstate} // '') . $result->{dead}, '57P011', "$name: the backend has ended");
	leave_stage($control, $stage);
	wait_until_idle();
}

# ===================================================================
# In a subtransaction: caught, and the transaction goes on
# ===================================================================
stub_reset();
faults({ action => 'stall', times => 1 });
my $session = session($node);
$session->query('BEGIN');
$session->query('SAVEPOINT here');
$session->start($structures);
wait_for_requests(1);
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'cancelled in a subtransaction');
$session->query('ROLLBACK TO here');
my $again = $session->query($structures);
is($again->{out} =~ tr/\n//, 2,
	'the same request, sent anew after ROLLBACK TO')
  or diag($again->{err});
is($session->query('COMMIT')->{err}, '', 'and the transaction commits');

for my $how (sort keys %times)
{
	my @ms = sort { $a <=> $b } @{ $times{$how} };
	diag(sprintf '%-22s median %.1f ms, longest %.1f ms', $how,
		$ms[ $#ms / 2 ], $ms[-1]);
}
done_testing();
