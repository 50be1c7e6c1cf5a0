# A fast shutdown, and the death of the postmaster, in every wait of
# ApigouvStages.pm: the backend ends at once, and the API is left alone.
# pg_regress cannot show it: servers are stopped and killed.  What becomes of
# the server afterwards is in restart.pl.
#
# The end must come within 100 ms; a busy machine is given 1000, and the
# measured times are printed.
use strict;
use utf8;
use warnings;

use ApigouvStages;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $LIMIT_MS = 1000;
my %times;

my $slow_resolver = slow_resolver();
$ENV{LD_PRELOAD} = $slow_resolver if defined $slow_resolver;
my $node = new_cluster('stops');
{
	my $control = session($node);
	prepare_stages($control);
	# looks for leaks at its end
	$LIMIT_MS *= 10 if sanitized($control);
}

# Has a process ended?  Nobody may have asked for its status yet.
sub gone
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/stat") or return 1;
	return (<$file> // ') Z') =~ /\) [ZX]/;
}

# How long it takes, from an act on, until a backend is gone.
sub end_of
{
	my ($pid, $act) = @_;
	my $since = time();
	$act->();
	ApigouvTest::wait_for(sub { gone($pid) }, 'the end of the backend');
	return (time() - $since) * 1000;
}

# How, what does it, the SQLSTATE that the client sees if any.
my @ways = (
	[ 'fast shutdown', sub { kill 'INT', $_[0] }, '57P01' ],
	[ 'death of the postmaster', sub { kill 'KILL', $_[0] }, '' ]);

for my $stage (all_stages(defined $slow_resolver))
{
	my ($name, $query, undef, $has_begun) = @$stage;
	for my $way (@ways)
	{
		my ($how, $act, $sqlstate) = @$way;
		my $control = session($node);
		begin_stage($control, $stage);
		my $session = session($node);
		my @processes = split /\n/, $control->value('SELECT pid FROM pg_stat_activity');
		my $postmaster = (split /\n/, slurp_bytes($node->data_dir . '/postmaster.pid'))[0];

		$session->start($query);
		ApigouvTest::wait_for(sub { $has_begun->($session, $control) }, $name);
		my $ms = end_of($session->pid, sub { $act->($postmaster) });
		push @{ $times{$how} }, $ms;
		diag(sprintf '%-24s %-45s %6.1f ms', $how, $name, $ms);
		cmp_ok($ms, '<', $LIMIT_MS, "$name: $how ends it at once");
		my $result = $session->finish;
		is(($result->{sqlstate} // '') . $result->{dead}, "${sqlstate}1", "$name: $how, as the client sees it");
		faults();
		eval { wait_until_idle(); };
		is(scalar(in_flight()), 0, "$name: $how leaves no request");

		# the server again
		ApigouvTest::wait_for(sub { !grep { !gone($_) } $postmaster, @processes }, 'the end of all processes');
		$node->{_pid} = undef;
		# a dead process whose status nobody has asked for looks alive to pg_ctl
		unlink $node->data_dir . '/postmaster.pid', glob($node->host . '/.s.PGSQL.*.lock');
		$node->start;
		leave_stage(session($node), $stage);
	}
}
still_works(session($node), 'the server works again');

for my $how (sort keys %times)
{
	my @ms = sort { $a <=> $b } @{ $times{$how} };
	diag(sprintf '%-24s median %.1f ms, longest %.1f ms', $how, $ms[ $#ms / 2 ], $ms[-1]);
}
done_testing();
