# Thousands of queries in one backend through a mix of faults, drawn at random:
# its memory, its descriptors and its sockets end where they were.
# pg_regress cannot show it: the process is looked at from outside, and the
# faults are those of ApigouvFaults.pm.
#
# Settings: APIGOUV_SOAK queries (500), APIGOUV_SOAK_SEED (1).  test/soak runs
# it alone, with another seed each time.  The figures and the seed are printed.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvTest;
use POSIX ();
use Test::More;

my $QUERIES = $ENV{APIGOUV_SOAK} || 500;
my $SEED = $ENV{APIGOUV_SOAK_SEED} || 1;
my $PER_FAULT = 10;                   # queries before the next fault is drawn
my $CONTEXTS_BOUND = 64 * 1024;       # bytes
my $SOCKETS_BOUND = 4;
my $PROCESS_BOUND = 2 * 1024 * 1024;  # bytes; malloc keeps what it was given

my $node = new_cluster('soak');
my $control = session($node);
my $session = session($node);
my $page_size = POSIX::sysconf(&POSIX::_SC_PAGESIZE);

# No second attempts, whose waits take time; small bodies of the large ones.
prepare_servers($control, retries => 0, response_max_bytes => 65536);
my ($names, $fault_of) = all_faults();
my @quick = grep { !$fault_of->{$_}{slow} && !$fault_of->{$_}{options} } @$names;
diag("seed $SEED, $QUERIES queries, " . @quick . ' kinds of faults');
srand $SEED;

# Bytes of all memory contexts, resident bytes of the process, and its
# descriptors by kind.
sub measure
{
	my ($name) = @_;
	my %is = (contexts => $session->value(
		'SELECT sum(total_bytes) FROM pg_backend_memory_contexts'));
	my $pages = (split ' ', slurp_bytes('/proc/' . $session->pid . '/statm'))[1];
	$is{resident} = $pages * $page_size;
	for my $link (map { readlink($_) // '' } glob('/proc/' . $session->pid . '/fd/*'))
	{
		my ($kind) = $link =~ /^(socket|anon_inode:\S+|pipe):?/ or next;
		$is{descriptors}{$kind}++;
	}
	diag(sprintf '%-16s contexts %d kB, resident %d kB, %s', $name,
		$is{contexts} / 1024, $is{resident} / 1024,
		join ', ', map { "$is{descriptors}{$_} $_" } sort keys %{ $is{descriptors} });
	return \%is;
}

# Every way in which a query meets a fault: alone, caught, in a savepoint, a
# cursor left open, with failures as rows.
my @ways = (
	sub { $session->query($_[0]); },
	sub { $session->query("DO \$do\$ BEGIN PERFORM * FROM ($_[0]) q;"
		. " EXCEPTION WHEN OTHERS THEN NULL; END \$do\$"); },
	sub { $session->query($_) for 'BEGIN', 'SAVEPOINT s', $_[0], 'ROLLBACK TO s', $_[0], 'COMMIT'; },
	sub { $session->query($_) for 'BEGIN', "DECLARE c CURSOR FOR $_[0]", 'FETCH 1 FROM c', 'ROLLBACK'; },
	sub { $session->query($_) for "SET apigouv_fdw.on_failure = 'row'", $_[0], 'RESET apigouv_fdw.on_failure'; });

# Meet faults, n queries in all; count what came out, by SQLSTATE.
my %met;
sub soak
{
	my ($n, $pick) = @_;
	while ($n > 0)
	{
		my $fault = $fault_of->{ $pick->() };
		make_fault($control, $fault);
		for (1 .. ($n < $PER_FAULT ? $n : $PER_FAULT))
		{
			my $result = $ways[ rand @ways ]->(fault_query($fault));
			$met{ $result->{sqlstate} // 'no error' }++ if ref $result;
			$n--;
		}
		unmake_fault($control, $fault);
		# its log must not grow either
		stub_reset();
	}
	return;
}

# every fault and every way first, so that what is made once is there
my @all = @quick;
soak(@quick * $PER_FAULT, sub { shift @all });
$session->query($ApigouvTest::GOOD_QUERY);
measure('once');
my $before = measure('before');
my $half = int($QUERIES / 2);
soak($half, sub { $quick[ rand @quick ] });
measure('half way');
soak($QUERIES - $half, sub { $quick[ rand @quick ] });
my $good = $session->query($ApigouvTest::GOOD_QUERY);
is($good->{out}, "2\n", 'the session goes on') or diag($good->{err});
my $after = measure('after');

cmp_ok($after->{contexts} - $before->{contexts}, '<=', $CONTEXTS_BOUND,
	"$QUERIES queries through faults: memory contexts are as before");
SKIP:
{
	skip 'freed memory is kept for the sanitizer', 1 if sanitized($session);
	cmp_ok($after->{resident} - $before->{resident}, '<=', $PROCESS_BOUND, 'so is the process');
}
# a kept connection more or less, since those that the other side has closed
# are dropped when another is made
my ($sockets_before, $sockets) = map { delete $_->{descriptors}{socket} } $before, $after;
cmp_ok($sockets, '<=', $sockets_before + $SOCKETS_BOUND, 'so are its sockets');
is_deeply($after->{descriptors}, $before->{descriptors}, 'and its other descriptors');
cmp_ok(scalar(keys %met), '>=', 5, 'errors of several kinds were met');
diag(join ', ', map { "$_: $met{$_}" } sort keys %met);
still_works($session, 'no request is left');

done_testing();
