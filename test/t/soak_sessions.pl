# A minute of test/soak_sessions: sessions that ask everything at once while
# faults, cancels and changes come, against an API server that bans.  No row is
# wrong, nothing is refused, nothing grows, nobody is stuck; the program says
# how, and can run for hours.  pg_regress cannot show it: it takes several
# sessions, and an API server that counts.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use POSIX ();
use Test::More;

# few rows, so that there are many queries
$ApigouvTest::STRUCTURES = 60;
delete $ENV{APIGOUV_STUB_URL};

# Run it on a cluster of its own: its exit status and what it has printed.
sub soak
{
	my ($name, @arguments) = @_;
	my $node = new_cluster($name);
	my $pid = open(my $from, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		@ENV{qw(PGHOST PGPORT PGDATABASE PGUSER APIGOUV_STUB_URL)} =
		  ($node->host, $node->port, 'postgres', scalar getpwuid($<), stub_url());
		POSIX::dup2(1, 2);
		exec(ApigouvTest::python(), root() . '/test/soak_sessions', @arguments) or POSIX::_exit(127);
	}
	my $out = do { local $/; <$from> };
	close $from;
	my $status = $? >> 8;
	note("test/soak_sessions @arguments\n$out");
	$node->stop('immediate');
	return ($status, $out);
}

# ===================================================================
# A minute of four sessions
# ===================================================================
my ($status, $out) = soak('soak_sessions', 1, 4);
is($status, 0, 'a minute of four sessions') or diag($out);
like($out, qr/^bans: 0$/m, 'the API has banned nobody');
like($out, qr/^compared: \d{2,}$/m, 'rows were compared');
like($out, qr/^backends compared: [12]$/m, 'memory and descriptors of backends were');
like($out, qr/^errors: .*57014 \d+/m, 'statements were cancelled');

# ===================================================================
# The judge judges: with wrong rows held for right
# ===================================================================
($status, $out) = soak('soak_spoiled', '0.1', 2, '--spoil');
is($status, 1, 'a wrong row: the run has not ended well');
like($out, qr/^WRONG .*rows instead of /m, 'and it is said which');

done_testing();
