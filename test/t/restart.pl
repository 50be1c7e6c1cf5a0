# Restarts, crashes and stops in the middle of a transfer: nothing stays, and
# nothing hangs.  pg_regress cannot show it: it takes servers that are killed,
# and the moment at which a request has arrived.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use File::Find;
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('restart', "restart_after_crash = on\n");
my $siret = $ApigouvTest::SIRET;
my $lookup = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";

# Files of the cluster that could be the extension's, but the ledger and those of
# the views, which stay (quota_restart.pl, stats.pl, progress.pl).
sub files_left
{
	my @found;
	find(sub {
		push @found, $File::Find::name
		  if -f && ($File::Find::name =~ m{/pgsql_tmp/} || /apigouv/) && !/^apigouv_fdw\.(?:ledger|stats|progress)$/;
	}, $node->data_dir);
	return @found;
}

# A session whose request has arrived and is not answered.
sub stalled
{
	stub_reset();
	faults({ api => 'marche_inclusion', action => 'stall', times => 1 });
	my $session = session($node);
	$session->start($lookup);
	wait_for_requests(1);
	return $session;
}

# The server answers again, and so does the API.
sub works_again
{
	my ($name) = @_;
	$node->poll_query_until('postgres', 'SELECT true')
	  or die 'the server does not come back';
	my $session = session($node);
	still_works($session, $name);
	is(join(' ', files_left()), '', "$name: no file is left");
	return;
}

# ===================================================================
# Two sessions: one waits, the other does not
# ===================================================================
my $waiting = stalled();
my $other = session($node);
is($other->value($lookup), '2', 'a session works while another waits');
is(scalar(in_flight()), 1, 'which still waits');
my $wait_event = $other->value(
	'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $waiting->pid);
is($wait_event, 'Extension', 'and shows it in pg_stat_activity');
$other->query('SELECT pg_cancel_backend(' . $waiting->pid . ')');
is($waiting->finish->{sqlstate}, '57014', 'cancelled');

# ===================================================================
# Restart: what a transaction has cached is gone
# ===================================================================
$other->query('BEGIN');
$other->query($lookup);
my $session = session($node);
$session->query($lookup);
$node->restart;
stub_reset();
works_again('after a restart');
is(scalar(requests()), 1, 'after a restart: the request is made anew');

# ===================================================================
# Stops in the middle of a transfer
# ===================================================================
for my $mode (qw(fast immediate))
{
	$waiting = stalled();
	my $since = time();
	$node->stop($mode);
	my $ms = (time() - $since) * 1000;
	diag(sprintf 'stop -m %s in the middle of a transfer: %.0f ms', $mode, $ms);
	cmp_ok($ms, '<', 10000, "stop -m $mode does not wait for the reply");
	ok($waiting->finish->{dead}, 'the session has ended');
	faults();
	wait_until_idle();
	$node->start;
	works_again("after stop -m $mode");
}

# ===================================================================
# kill -9 of the backend: the server restarts by itself
# ===================================================================
for my $action (qw(stall stall_body))
{
	stub_reset();
	faults({ api => 'marche_inclusion', action => $action, times => 1 });
	$waiting = session($node);
	$waiting->start("SELECT count(id) FROM marche_inclusion.structures WHERE kind = 'EI'");
	wait_for_requests(1);
	kill 'KILL', $waiting->pid;
	ok($waiting->finish->{dead}, "kill -9 of a backend ($action)");
	faults();
	wait_until_idle();
	works_again("after kill -9 of a backend ($action)");
}

# ===================================================================
# kill -9 of the postmaster: the waiting backend sees it and ends
# ===================================================================
$waiting = stalled();
my @processes = split /\n/,
  $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
my $since = time();
$node->kill9;
wait_until_idle();
my $ms = (time() - $since) * 1000;
diag(sprintf 'death of the postmaster seen after %.0f ms', $ms);
ok($waiting->finish->{dead}, 'kill -9 of the postmaster: the backend ends too');
cmp_ok($ms, '<', 10000, 'without waiting for the reply');
ApigouvTest::wait_for(sub { !kill 0, @processes }, 'the end of all processes');
$node->start;
works_again('after kill -9 of the postmaster');

done_testing();
