# Transfers that go wrong below HTTP, and replies that are not what they say:
# which error, that the session goes on and that no transfer is left.
# pg_regress cannot show it: the faults are ordered from the local API server,
# or given by a server of raw bytes, and what is left is looked for there.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use JSON::PP;
use Test::More;

my $node = new_cluster('faults');
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $one = "SELECT id, name FROM marche_inclusion.structures WHERE siret = '$siret'";
my $list = "SELECT count(*), max(name) FROM marche_inclusion.structures WHERE kind = 'EI'";
my $base_url = stub_url() . '/marche_inclusion/api';

# Options of the foreign server for one case.
sub options
{
	my (%set) = @_;
	$session->query("ALTER SERVER marche_inclusion OPTIONS ("
		. join(', ', map { "SET $_ '$set{$_}'" } sort keys %set) . ')');
	return;
}

$session->query("ALTER SERVER marche_inclusion OPTIONS (ADD retries '0',"
	. " ADD timeout_ms '30000', ADD response_max_bytes '1048576')");

# fails(query, what is expected, name): the error, then the session goes on
sub fails
{
	my ($sql, $want, $name) = @_;
	refuses($session, $sql, $want, $name);
	options(base_url => $base_url, retries => 0, timeout_ms => 30000);
	still_works($session, "$name: the session goes on, nothing is left");
	return;
}

my $not_connected = 'could not connect to foreign server "marche_inclusion"';
my $lost = 'connection to foreign server "marche_inclusion" was lost or too slow';

# ===================================================================
# No connection
# ===================================================================
options(base_url => 'http://127.0.0.1:' . free_port() . '/api');
fails($one, {
	sqlstate => 'HV00N', message => $not_connected,
	detail => qr/, after 1 attempt\.$/ }, 'a refused connection');

options(base_url => 'http://127.0.0.1:' . free_port() . '/api', retries => 2);
fails($one, {
	sqlstate => 'HV00N', message => $not_connected,
	detail => qr/, after 3 attempts\.$/ }, 'a refused connection, retried');

options(base_url => 'https://nowhere.invalid/api');
fails($one, {
	sqlstate => 'HV00N', message => $not_connected,
	detail => qr/nowhere\.invalid|resolve|name/i }, 'a host that does not exist');

# plain HTTP where TLS is expected: the certificate is never left unverified
options(base_url => $base_url =~ s/^http/https/r);
fails($one, { sqlstate => 'HV00N', message => $not_connected },
	'a server without TLS');

# ===================================================================
# Connection lost, or silent
# ===================================================================
for my $action (qw(close reset cut))
{
	for my $query ($one, $list)
	{
		my $what = $query eq $one ? 'a lookup' : 'a list';
		# with no connection from before, which libcurl would replace once
		$session = session($node);
		faults({ api => 'marche_inclusion', action => $action, times => -1 });
		fails($query, {
			sqlstate => '08006', message => $lost,
			detail => qr/^[A-Z].*, after 1 attempt\.$/, requests => 1 },
			"$action of $what");
	}
}

$session = session($node);
options(retries => 2);
faults({ api => 'marche_inclusion', action => 'reset', times => -1 });
fails($one, {
	sqlstate => '08006', detail => qr/, after 3 attempts\.$/, requests => 3 },
	'reset every time, retried');

options(retries => 2);
faults({ api => 'marche_inclusion', action => 'close', times => 1 });
is($session->query($one)->{out} =~ tr/\n//, 2, 'closed once, then fine: the rows');

# A kept connection that has died is replaced, and that is an attempt too.
options(retries => 0);
faults({ api => 'marche_inclusion', action => 'close', times => 1 });
my $replaced = counted($session, $one);
is($replaced->{requests} . ($replaced->{sqlstate} // ''), '2',
	'a dead kept connection is replaced');

# All kept connections may be dead, not only the one that is tried first: the
# second goes over a new one.
my $some = $session->value("SELECT string_agg(siret, ',') FROM (SELECT DISTINCT siret FROM marche_inclusion.structures LIMIT 6) AS s");
my $several = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = ANY (string_to_array('$some', ','))";
for my $retries (0, 1)
{
	$session = session($node);
	options(retries => $retries);
	stub_reset();
	stub_latency(200);
	$session->query($several);
	stub_latency(0);
	cmp_ok(scalar(keys %{ { map { $_->{connection} => 1 } requests() } }), '>=', 4, 'several connections are kept');
	faults({ api => 'marche_inclusion', action => 'close', times => -1 });
	my $lost_all = counted($session, $one);
	is("$lost_all->{requests} $lost_all->{sqlstate}", '2 08006',
		"no connection lives, retries $retries: tried twice, not once for each of them");
	like($lost_all->{detail}, qr/, after 2 attempts\.$/, 'and so it says');
}

for my $action (qw(stall stall_body))
{
	options(timeout_ms => 300);
	faults({ api => 'marche_inclusion', action => $action, times => -1 });
	my $result = $session->query($list);
	is($result->{sqlstate}, '08006', "$action: error after timeout_ms");
	like($result->{message}, qr/^\Q$lost\E$/, "$action: its message");
	cmp_ok($result->{ms}, '>=', 300, "$action: not before");
	cmp_ok($result->{ms}, '<', 1500, "$action: not long after");
	options(timeout_ms => 30000);
	still_works($session, "$action: the session goes on, nothing is left");
}

# ===================================================================
# Replies that are not what they say, or too large
# ===================================================================
my $too_large = 'response of foreign server "marche_inclusion" is larger than 1048576 bytes';
for my $action (qw(giant giant_gzip))
{
	faults({ api => 'marche_inclusion', action => $action, times => -1 });
	fails($one, {
		sqlstate => '54000', message => $too_large,
		hint => qr/"response_max_bytes"/, requests => 1 },
		"$action: more than response_max_bytes");
}
faults({ api => 'marche_inclusion', action => 'bad_gzip', times => -1 });
fails($one, {
	sqlstate => 'HV00M',
	message => 'could not decompress the response of foreign server "marche_inclusion"',
	requests => 1 }, 'wrong gzip');

for my $status (301, 302, 307, 308)
{
	faults({
		api => 'marche_inclusion', action => 'redirect', status => $status,
		times => -1 });
	fails($one, {
		sqlstate => 'HV00M', message => qr/HTTP status $status$/,
		requests => 1 }, "a redirect, $status");
}
is(scalar(requests(api => 'trap')), 0, 'nobody followed a redirect');

my $not_read = qr/^could not read the response of foreign server "marche_inclusion": \w/;
for my $case (
	[ 'garbage', action => 'garbage' ],
	[ 'HTML', body => '<html><body>Maintenance</body></html>' ],
	[ 'an empty 200', body => '' ],
	[ 'a 204', status => 204 ],
	[ 'a text', body => 'bonjour' ],
	[ 'JSON that is cut', body => '[{"id": 1001, "name": "Atelier' ],
	[ 'JSON that goes on', body => '[] []' ])
{
	my ($name, %fault) = @$case;
	faults({ api => 'marche_inclusion', times => -1, %fault });
	fails($one, {
		sqlstate => 'HV00M', message => $not_read,
		detail => qr/^[A-Z].* at byte \d+ of \d+; the content type is "/, requests => 1 },
		"$name instead of JSON");
}

for my $case (
	[ 'an object instead of a list', '{"id": 1001}', $one ],
	[ 'a list of numbers', '[1, 2]', $one =~ s/WHERE.*/WHERE siren = '000003012'/r ],
	[ 'a list without its rows', '{"count": 3}', $list ],
	[ 'rows that are a text', '{"count": 3, "results": "x"}', $list ])
{
	my ($name, $body, $query) = @$case;
	faults({
		api => 'marche_inclusion', times => -1, body => $body,
		headers => { 'Content-Type' => 'application/json' } });
	fails($query, {
		sqlstate => 'HV021', message => qr/foreign server "marche_inclusion"/,
		requests => 1 }, $name);
}

stub_reset();
done_testing();
