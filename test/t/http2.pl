# HTTP/2 over TLS: requests share one connection, as many as the server allows;
# without it each has its own, and none waits longer than a handshake; what a
# connection that ends costs in the ledger of requests.  pg_regress cannot show
# it: nginx stands before the local API server, and tells which connection a
# request came by.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvQuota;
use ApigouvTest;
use File::Basename;
use IO::Socket::INET;
use List::Util qw(uniq);
use POSIX ();
use Test::More;

my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'nginx is not installed' unless defined $nginx;

my $node = new_cluster('http2');
my $control = session($node);
my ($ca_file) = ApigouvFaults::tls_fronts();
my $keys = dirname($ca_file);
my $dir = PostgreSQL::Test::Utils::tempdir();

# ===================================================================
# Servers: how each takes requests
# ===================================================================
my %kinds = (
	shares => { http2 => 1 },
	single => {},
	few => { http2 => 1, with => 'http2_max_concurrent_streams 4;' },
	short => { http2 => 1, with => 'keepalive_requests 5;' },
	plain => { tls => 0 });
my ($stub) = stub_url() =~ m{^http://(.*)$};
my (%url, %name_of);

sub server_block
{
	my ($name) = @_;
	my $kind = $kinds{$name};
	my $tls = $kind->{tls} // 1;
	my $port = free_port();
	$name_of{$port} = $name;
	$url{$name} = ($tls ? 'https' : 'http') . "://127.0.0.1:$port/entreprise";
	return "server { listen 127.0.0.1:$port" . ($tls ? ' ssl' : '') . ($kind->{http2} ? ' http2' : '') . ";\n"
	  . ($kind->{with} // '') . "\nlocation / { proxy_pass http://$stub; proxy_http_version 1.1; } }\n";
}

my $temporary = join '', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
my $servers = join '', map { server_block($_) } sort keys %kinds;
open(my $conf, '>', "$dir/nginx.conf") or die "nginx.conf: $!";
print $conf <<"CONF";
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { }
http {
$temporary
log_format seen '\$server_port \$connection \$server_protocol \$status';
access_log $dir/access.log seen;
ssl_certificate $keys/good.pem;
ssl_certificate_key $keys/key;
$servers
}
CONF
close $conf;

sub start_nginx
{
	my $pid = ApigouvTest::helper_process_to("$dir/output", $nginx, '-p', $dir, '-e', "$dir/error.log", '-c',
		"$dir/nginx.conf");
	ApigouvTest::wait_for(sub { -s "$dir/nginx.pid" }, 'nginx');
	return $pid;
}

my $pid = start_nginx();

# What nginx has seen of a server since the last look, in any order.
my $seen = 0;

sub seen
{
	my ($wanted) = @_;
	my @lines;
	ApigouvTest::wait_for(sub {
		@lines = split /\n/, slurp_bytes("$dir/access.log");
		@lines - $seen >= $wanted;
	}, "$wanted requests in the log of nginx");
	my @new = @lines[ $seen .. $#lines ];
	$seen = @lines;
	return map { my %entry; @entry{qw(port connection protocol status)} = split / /; \%entry } @new;
}

sub connections { return scalar uniq map { $_->{connection} } @_; }
sub protocols { return join ' ', uniq map { $_->{protocol} } @_; }

run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD ca_file '$ca_file', ADD max_concurrency '16')");

# A new session, and the queries go to that server.
sub go_to
{
	my ($name) = @_;
	run_sql($control, "ALTER SERVER entreprise OPTIONS (SET base_url '$url{$name}')");
	begin_anew($control);
	return session($node);
}

# So many requests together, each answered after a second: sixteen handshakes
# take their time on a machine that has other work.
sub burst
{
	my ($session, $n, $first) = @_;
	give_entreprise(200, $YES, delay_ms => 1000);
	my $result = $session->query(vigilance($n, $first));
	diag($result->{err}) if defined $result->{sqlstate};
	wait_until_idle();
	return $result;
}

limits($control, undef, urssaf => "10000/$LONG");

# ===================================================================
# HTTP/2: one connection
# ===================================================================
my $session = go_to('shares');
is(burst($session, 16)->{out}, "16\n", 'HTTP/2: 16 requests of a new session');
is(most_at_once(requests(path => qr/urssaf/)), 16, 'are in flight at once');
my @log = seen(16);
is(protocols(@log), 'HTTP/2.0', 'over HTTP/2');
is(connections(@log), 1, 'and one connection');
is(used($control, 'urssaf'), 16, 'each counts once');
burst($session, 16, 30000);
run_sql($session, 'BEGIN', vigilance(2, 31000), 'ROLLBACK');
burst($session, 3, 32000);
is(connections(@log, seen(21)), 1, 'as do those of later queries and transactions');

# ===================================================================
# HTTP/1.1: a connection each, and no longer a wait than the handshake
# ===================================================================
$session = go_to('single');
my $result = burst($session, 16);
# the one that waited for the handshake may come back before the last leaves
cmp_ok(most_at_once(requests(path => qr/urssaf/)), '>=', 15, 'TLS without HTTP/2: all in flight at once, from the first query on');
@log = seen(16);
is(protocols(@log), 'HTTP/1.1', 'over HTTP/1.1');
cmp_ok(connections(@log), '>=', 15, 'each over its own connection');
diag(sprintf '16 requests of 1 s, new session, HTTP/1.1 and TLS: %.0f ms', $result->{ms});
burst($session, 16, 30000);
cmp_ok(connections(@log, seen(16)), '<=', 16, 'which are kept');

$session = go_to('plain');
burst($session, 16);
is(most_at_once(requests(path => qr/urssaf/)), 16, 'no TLS: nothing is waited for');
is(protocols(seen(16)), 'HTTP/1.1', 'since HTTP/2 is not spoken');

# ===================================================================
# As many at once on a connection as the server allows
# ===================================================================
$session = go_to('few');
burst($session, 1);
seen(1);
is(burst($session, 16, 30000)->{out}, "16\n", 'a server of four at once on a connection: 16 rows');
@log = seen(16);
is(protocols(@log), 'HTTP/2.0', 'over HTTP/2');
cmp_ok(connections(@log), '>=', 4, 'over as many connections as that takes');
is(scalar(requests(path => qr/urssaf/)), 17, 'each request arrives once');
# libcurl 8 asks whether to send before it knows that the connection is full: what it then puts off counts, and counts
# again when it leaves. Never less than what was sent.
my ($curl) = `curl-config --version` =~ /(\d+)\./;
my $counted = used($control, 'urssaf');
ok($counted == 17 || ($curl >= 8 && $counted > 17), 'and counts once');

# ===================================================================
# A connection that the server ends
# ===================================================================
$session = go_to('short');
is(burst($session, 12)->{out}, "12\n", 'a server that ends a connection after five requests: 12 rows');
is($session->value(vigilance($_, 30000 + $_ * 100)), $_, "and $_ more") for 1 .. 4;
@log = seen(22);
is(scalar(@log), 22, 'each request arrives once');
cmp_ok(connections(@log), '>', 1, 'over several connections');
cmp_ok(used($control, 'urssaf'), '>=', 22, 'none is left out of the ledger');

$session = go_to('shares');
burst($session, 4);
kill 'KILL', split(/\n/, `pgrep -P $pid`);
ApigouvTest::end_helper($pid);
unlink "$dir/nginx.pid";
$pid = start_nginx();
seen(4);
is(burst($session, 4, 30000)->{out}, "4\n", 'a server that went and came back: the session goes on');
is(scalar(@log = seen(4)), 4, 'each request arrives once');
is(connections(@log), 1, 'and shares a new connection');
cmp_ok(used($control, 'urssaf'), '<=', 12, 'none is counted more than it was sent');

# ===================================================================
# A shared connection is not for everybody
# ===================================================================
# A second foreign server whose definition leads to the same place, which its
# own options do not allow, may not use the first one's connection.
my $directory = own_definitions($node);
my $definition = slurp_bytes("$directory/entreprise.json");
$definition =~ s/("base_url"\s*:\s*)"[^"]*"/$1"$url{shares}"/ or die 'no base_url';
open(my $file, '>', "$directory/entreprise.json") or die "definition: $!";
print $file $definition;
close $file;
run_sql($control, "CREATE SERVER other FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', ca_file '$ca_file',"
	. " recipient '00000900100017')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (token '@{[token('entreprise')]}')", 'CREATE SCHEMA other',
	'IMPORT FOREIGN SCHEMA entreprise LIMIT TO (entreprise_attestation_vigilance) FROM SERVER other INTO other');
$session = go_to('shares');
burst($session, 2);
@log = seen(2);
refuses($session, vigilance(2, 30000, 'other'),
	{ sqlstate => '42501', message => qr/^cannot connect to address 127\.0\.0\.1 of foreign server "other"/, requests => 0 },
	'the connection of a server that may, wanted by one that may not');
run_sql($control, "ALTER SERVER other OPTIONS (ADD private_addresses '127.0.0.1')");
is($session->value(vigilance(2, 30000, 'other')), '2', 'once it may');
is(connections(@log, seen(2)), 1, 'it shares the connection');

ApigouvTest::end_helper($pid);

# ===================================================================
# A host that cannot be reached is not tried by one after the other
# ===================================================================
# It closes its first connection, and lets the others wait; once seven do, it
# closes all.
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 64)
  or die "listen: $!";
my $server = forked();
if ($server == 0)
{
	# else a session's psql, whose input is open here too, never ends
	close $_ for values %ApigouvTest::Session::inputs;
	close $listener->accept;
	my @waiting = map { scalar $listener->accept } 1 .. 7;
	POSIX::_exit(0);
}
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET base_url 'https://127.0.0.1:@{[$listener->sockport]}',"
	  . " ADD retries '0', ADD connect_timeout_ms '600000', ADD timeout_ms '600000')");
close $listener;
$session = session($node);
run_sql($session, "SET apigouv_fdw.on_failure = 'row'");
is($session->value(vigilance(8)), '8', 'eight requests to a host without TLS: the first fails, the others try at once');
waitpid $server, 0;

done_testing();
