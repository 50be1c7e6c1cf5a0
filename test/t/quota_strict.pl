# The promise of the ledger: however many sessions and databases there are and
# whatever is killed, no window of a limit holds more requests than allowed, and
# those that are allowed get used.  The judge is the local API server,
# which bans on the first excess; test/quota says how, and can do longer runs.
# pg_regress cannot show it: it takes backends of several databases at once,
# and kill -9.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use POSIX ();
use Test::More;

# Run test/quota with a cluster and an API server of its own: its exit status
# and what it has printed.
sub quota
{
	my (@arguments) = @_;
	my $pid = open(my $from, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		POSIX::dup2(1, 2);
		exec(ApigouvTest::python(), root() . '/test/quota', @arguments)
		  or POSIX::_exit(127);
	}
	my $out = do { local $/; <$from> };
	close $from;
	diag("test/quota @arguments\n$out");
	return ($? >> 8, $out);
}

# A run that must end well, with bounds on the use that a busy machine can keep
# (test/quota by itself asks for 98 %, 90 % in windows of a second), and with what its figures must show besides (name =>
# regular expression).
sub keeps
{
	my ($name, $arguments, %shown) = @_;
	my ($status, $out) = quota(@$arguments);
	is($status, 0, "$name: no ban, and most of what is allowed");
	like($out, qr/^bans: 0$/m, "$name: the judge has seen no excess");
	like($out, $shown{$_}, "$name: $_") for sort keys %shown;
	return;
}

# ===================================================================
# 8 backends of 2 databases, a backend and the postmaster killed
# ===================================================================
my %killed = (
	'a backend was killed' => qr/^kill -9 of backend: back/m,
	'the postmaster was killed' => qr/^kill -9 of postmaster: back/m);

keeps('100 requests in 10 seconds',
	[qw(--api entreprise --requests 100 --window 10 --windows 3 --use 80)],
	%killed);

# One request in ten gets no reply: what is sent again counts again, and
# libcurl, who sends again by itself over a fresh connection, has to ask.
keeps('10 requests a second, some lost',
	[qw(--api marche_travail --requests 10 --window 1 --windows 10 --drop 0.1 --use 50),
		'--kill', 'postmaster,backend'],
	%killed);

# ===================================================================
# A new cluster knows nothing of what was sent before, and waits for a window;
# tokens of one authorisation share its limit
# ===================================================================
keeps('a new cluster, two tokens',
	[qw(--no-forget --identity --requests 30 --window 3 --windows 2), '--kill', ''],
	'it waits' => qr/^first request after CREATE EXTENSION: [3-9]\./m);

# ===================================================================
# The judge judges: with a ledger that was told twice the limit
# ===================================================================
my ($status, $out) = quota(qw(--requests 50 --told 100 --window 10), '--kill', '');
is($status, 1, 'one request too many: the run has not ended well');
like($out, qr/^bans: 1$/m, 'and the API has banned');
like($out, qr/^largest number in any window: 51$/m, 'at the first excess');

done_testing();
