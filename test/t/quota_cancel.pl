# Ends of a wait for a slot: cancel, statement_timeout, termination, shutdown,
# and queries that want no more rows.  Nothing stays in the queue, and a slot
# that was not used goes to others.  pg_regress cannot show it: it takes a
# second session and the moment at which the wait has begun.
#
# The measured times are printed.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('quota_cancel');
my $control = session($node);
my $url = stub_url();

# A server of the same token whose connections are never made: its port's queue
# is full.
my $listener = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1) or die "listen: $!";
my @fill = map {
	IO::Socket::INET->new(
		PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Proto => 'tcp', Blocking => 0)
} 1 .. 8;
run_sql($control,
	"CREATE SERVER sourd FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', base_url 'http://127.0.0.1:"
	  . $listener->sockport . "', recipient '00000900100017', connect_timeout_ms '600000', timeout_ms '600000',"
	  . " limits 'ip=10000/1s')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER sourd OPTIONS (token '" . token('entreprise') . "')",
	'CREATE SCHEMA sourd',
	'IMPORT FOREIGN SCHEMA entreprise LIMIT TO (entreprise_attestation_vigilance) FROM SERVER sourd INTO sourd');
limits($control, $_, urssaf => "2/$LONG") for qw(entreprise sourd);

sub report
{
	my ($how, $name, $since) = @_;
	my $ms = (time() - $since) * 1000;
	diag(sprintf '%-22s %-35s %6.1f ms', $how, $name, $ms);
	return cmp_ok($ms, '<', time_to_end($control, $how), "$name: $how ends it at once");
}

# name, query, what shows that the wait has begun, slots used afterwards
my @cases = (
	[ 'a wait for a slot', vigilance(3), sub { wait_for_waiter($control, 'urssaf') }, 2 ],
	[ 'a slot in hand, no connection', vigilance(1, 20000, 'sourd'),
		sub { ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '1' }, 'a slot in hand') }, 0 ]);

for my $case (@cases)
{
	my ($name, $query, $begun, $used) = @$case;
	for my $how (qw(pg_cancel_backend pg_terminate_backend statement_timeout))
	{
		begin_anew($control);
		my $session = session($node);
		run_sql($session, "SET statement_timeout = '400ms'") if $how eq 'statement_timeout';
		my $since = time() + 0.4;
		$session->start($query);
		if ($how ne 'statement_timeout')
		{
			$begun->();
			$since = time();
			run_sql($control, "SELECT $how(" . $session->pid . ')');
		}
		my $result = $session->finish;
		report($how, $name, $since);
		is($result->{sqlstate}, $how eq 'pg_terminate_backend' ? '57P01' : '57014', "$name: $how: SQLSTATE");
		# who is terminated tells its client before it cleans up
		ApigouvTest::wait_for(sub {
			$control->value('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $session->pid) eq '0';
		}, 'the end of the backend') if $how eq 'pg_terminate_backend';
		# fewer when it ends before those that have their slots are sent; no
		# counter when a busy machine ends it before it has asked
		like(quota($control, 'urssaf', 'used, waiting') || '0|0', qr/^[0-$used]\|0$/,
			"$name: $how: nobody is in the queue, and no slot is lost");
	}
}

# Another who waits gets the slot that was not used.
limits($control, $_, urssaf => "1/$LONG") for qw(entreprise sourd);
begin_anew($control);
my $holder = session($node);
my $waiter = session($node);
$holder->start(vigilance(1, 20000, 'sourd'));
ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '1' }, 'a slot in hand');
$waiter->start(vigilance(1));
wait_for_waiter($control, 'urssaf');
run_sql($control, 'SELECT pg_cancel_backend(' . $holder->pid . ')');
is($holder->finish->{sqlstate}, '57014', 'who held the only slot is cancelled');
is($waiter->finish->{out}, "1\n", 'and who waited for it has it');

# ===================================================================
# Queries that want no more
# ===================================================================
limits($control, undef, urssaf => "2/$LONG");
my $rows = vigilance(5) =~ s/count\(\*\)/siren/r;
my $session = session($node);

begin_anew($control);
run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $rows");
is($session->query('FETCH 2 FROM c')->{out} =~ tr/\n//, 2, 'a cursor gives what there is');
run_sql($session, 'CLOSE c');
is(quota($control, 'urssaf', 'used, waiting'), '2|0', 'CLOSE: nobody is in the queue');
limits($control, undef, urssaf => "10/$LONG");
asks($session, vigilance(1, 20100), 1, "1\n", 'CLOSE: what nobody wants any more is not sent later');
run_sql($session, 'COMMIT');
limits($control, undef, urssaf => "2/$LONG");

begin_anew($control);
run_sql($session, 'BEGIN', 'SAVEPOINT s', "DECLARE c CURSOR FOR $rows", 'FETCH 2 FROM c', 'ROLLBACK TO s');
is(quota($control, 'urssaf', 'used, waiting'), '2|0', 'ROLLBACK TO: nobody is in the queue');
run_sql($session, 'COMMIT');

begin_anew($control);
is($session->query("$rows LIMIT 2")->{out} =~ tr/\n//, 2, 'LIMIT reached without a wait');
is(quota($control, 'urssaf', 'used, waiting'), '2|0', 'LIMIT: nobody is in the queue');

begin_anew($control);
run_sql($session, 'BEGIN', 'SAVEPOINT s', "SET LOCAL statement_timeout = '300ms'");
is($session->query($rows)->{sqlstate}, '57014', 'a wait that ends in a subtransaction');
run_sql($session, 'ROLLBACK TO s');
asks($session, vigilance(2), 0, "2\n", 'the transaction goes on with what it has read');
is(quota($control, 'urssaf', 'used, waiting'), '2|0', 'nobody is in the queue');
run_sql($session, 'COMMIT');

begin_anew($control);
run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')");
run_sql($session, 'BEGIN', 'SAVEPOINT s');
is($session->query($rows)->{sqlstate}, '53400', 'a refusal in a subtransaction');
run_sql($session, 'ROLLBACK TO s');
is(quota($control, 'urssaf', 'used, waiting'), '2|0', 'nobody is in the queue');
run_sql($session, 'COMMIT');
run_sql($control, 'ALTER SERVER entreprise OPTIONS (DROP quota_wait_ms)');

# ===================================================================
# Shutdown of the server
# ===================================================================
begin_anew($control);
$session->start($rows);
wait_for_waiter($control, 'urssaf');
my $since = time();
$node->stop('fast');
my $ms = (time() - $since) * 1000;
diag(sprintf 'stop -m fast during a wait for a slot: %.0f ms', $ms);
cmp_ok($ms, '<', 10000, 'stop -m fast does not wait for the slot');
ok($session->finish->{dead}, 'the session has ended');
$node->start;
is(quota(session($node), 'urssaf', 'used, waiting'), '2|0', 'and nobody is in the queue afterwards');

done_testing();
