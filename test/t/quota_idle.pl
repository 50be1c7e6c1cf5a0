# A cursor whose client thinks holds no slot: what was reserved for a connection
# that is still being made is given back, and taken again when it is needed.
# pg_regress cannot show it: it takes an API that accepts one connection only.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use IO::Socket::INET;
use Test::More;

my $node = new_cluster('quota_idle');
my $control = session($node);

# How many connections a session is making, and has not made yet.
sub connecting
{
	my ($session) = @_;
	my %own = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? ($1 => 1) : () } glob('/proc/' . $session->pid . '/fd/*');
	open(my $table, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!";
	return scalar(grep { $_->[3] eq '02' && $own{ $_->[9] } } map { [ split ] } <$table>);
}

# It answers on its first connection, and lets others wait for ever.  What is
# asked beside another key gets its reply when that one waits: otherwise this
# connection could be free in time to serve both.
my $idle = session($node);
my (undef, @beside) = ApigouvQuota::sirens(3, 20000);
my $listener = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1) or die "listen: $!";
my $body = json_text($YES);
my $server = forked();
if ($server == 0)
{
	my $client = $listener->accept;
	while (1)
	{
		my $head = '';
		while ($head !~ /\r\n\r\n/)
		{
			sysread($client, $head, 65536, length $head) or POSIX::_exit(0);
		}
		my @heads = $head =~ /\r\n\r\n/g;
		ApigouvTest::wait_for(sub { connecting($idle) }, 'another connection') if grep { $head =~ m{/$_/} } @beside;
		syswrite($client, ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
			  . length($body) . "\r\n\r\n$body") x @heads);
	}
}

run_sql($control,
	"CREATE SERVER sourd FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', base_url 'http://127.0.0.1:"
	  . $listener->sockport . "', recipient '00000900100017', connect_timeout_ms '600000', timeout_ms '600000',"
	  . " limits 'ip=10000/1s')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER sourd OPTIONS (token '" . token('entreprise') . "')",
	'CREATE SCHEMA sourd',
	'IMPORT FOREIGN SCHEMA entreprise LIMIT TO (entreprise_attestation_vigilance) FROM SERVER sourd INTO sourd');
# so long that no fourth key is under way on the one connection when the cursor is closed: that would end it
limits($control, $_, urssaf => '3/3s') for qw(entreprise sourd);
begin_anew($control);

my $rows = vigilance(9, 20000, 'sourd') =~ s/count\(\*\)/siren/r;
run_sql($idle, 'BEGIN', "DECLARE c CURSOR FOR $rows", 'FETCH 1 FROM c');
my @fill = map {
	IO::Socket::INET->new(
		PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Proto => 'tcp', Blocking => 0)
} 1 .. 8;
is($idle->query('FETCH 1 FROM c')->{out} =~ tr/\n//, 1, 'a cursor whose next connection is not made yet');
ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '0' }, 'the end of its slot');
pass('keeps no slot meanwhile');
is($control->value(vigilance(4)), '4', 'others go on');
run_sql($idle, 'CLOSE c', 'COMMIT');

# ===================================================================
# Nor does it for another source of the same cursor
# ===================================================================
# The first source has no row, so two others begin beside each other.  One
# gives rows; the other waits for its limit, and then for a connection.
limits($control, $_, urssaf => '1/1s') for qw(entreprise sourd);
begin_anew($control);
my $beside = session($node);
run_sql($control, vigilance(1));
run_sql($beside, 'BEGIN',
	"DECLARE c CURSOR FOR SELECT name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET' AND name = ''"
	  . " UNION ALL SELECT nom FROM data_inclusion.structures UNION ALL "
	  . vigilance(1, 30000, 'sourd') =~ s/count\(\*\)/siren/r);
is($beside->query('FETCH 1 FROM c')->{out} =~ tr/\n//, 1, 'rows of one source');
ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '0' }, 'a free slot');
is($beside->query('FETCH 1 FROM c')->{out} =~ tr/\n//, 1, 'and more, when the other may be sent');
ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '0' }, 'the end of its slot');
pass('which keeps no slot while the client thinks');
is($control->value(vigilance(1, 31000)), '1', 'others go on');
run_sql($beside, 'CLOSE c', 'COMMIT');

# ===================================================================
# What nobody wants any more is not connected for
# ===================================================================
limits($control, $_, urssaf => '10000/1s') for qw(entreprise sourd);
begin_anew($control);
run_sql($idle, 'BEGIN');
is($idle->value("SELECT count(*) FROM ($rows LIMIT 2) s"), '2', 'a LIMIT that is reached while a connection is made');
is(connecting($idle), 0, 'ends it, within the transaction');
run_sql($idle, 'COMMIT');
kill 'TERM', $server;
waitpid $server, 0;

done_testing();
