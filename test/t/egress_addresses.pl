# Which addresses a foreign server's requests connect to: public ones, and of
# the others those that a superuser gave or listed.  It is the address that
# counts, at each connection and at each request, whatever the name led to
# before.  pg_regress cannot show it: the server resolves names as the tests
# want (ApigouvResolver.pm), and writes down each connection that it tries.
#
# No test leaves this machine: addresses of others are refused, or not tried.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvQuota;
use ApigouvResolver;
use ApigouvTest;
use IO::Socket::UNIX;
use JSON::PP;
use Test::More;

my $library = resolver_library();
plan skip_all => 'no C compiler' unless defined $library;
my ($ca_file, %tls) = ApigouvFaults::tls_fronts();
my ($port) = $tls{good} =~ /:(\d+)/;
my $stub = stub_url();
my ($stub_port) = $stub =~ /:(\d+)$/;
my $node = do {
	local $ENV{LD_PRELOAD} = join ' ', $library, $ENV{LD_PRELOAD} // ();
	new_cluster('egress_addresses');
};
my $control = session($node);
my $api = 'marche_inclusion';
my $query = "SELECT count(*) FROM $api.structures WHERE siret = '$ApigouvTest::SIRET'";
run_sql($control, "ALTER SERVER $api OPTIONS (ADD ca_file '$ca_file', ADD retries '2', ADD connect_timeout_ms '20000')");
tried();

# The server's address, and other options: NULL drops one.  The name of the
# certificate is 127.0.0.1 or localhost.
my %given;

sub options
{
	my (%set) = @_;
	my @changes;
	for my $name (sort keys %set)
	{
		my $is = $name eq 'base_url' || $given{$name};
		push @changes, !defined $set{$name} ? "DROP $name"
		  : ($is ? 'SET' : 'ADD') . " $name '$set{$name}'"
		  if defined $set{$name} || $is;
		$given{$name} = defined $set{$name};
	}
	run_sql($control, "ALTER SERVER $api OPTIONS (" . join(', ', @changes) . ')') if @changes;
	return;
}

# A query of a new session is refused, by this address; no request was made
# or counted, no connection tried but those.
sub refused
{
	my ($address, $class, $name, %with) = @_;
	my $session = $with{session} // session($node);
	my ($sql, $server) = ($with{sql} // $query, $with{server} // $api);
	my $before = used_here();
	tried();
	refuses($session, $sql, {
		sqlstate => '42501',
		message => qr/^cannot connect to address \Q$address\E of foreign server "$server"$/,
		detail => qr/^\S.* leads to \Q$address\E, \Q$class\E.*\.  No request was made\.$/,
		hint => exists $with{hint} ? $with{hint} : qr/"private_addresses"/,
		requests => 0 }, $name);
	is(join(' ', tried()), $with{tried} // '', "$name: connections tried");
	is(used_here(), $before, "$name: nothing counts");
	return;
}

sub works
{
	my ($name, %with) = @_;
	my $session = $with{session} // session($node);
	is($session->value($with{sql} // $query), $with{gives} // 2, $name);
	return $session;
}

# What the ledger holds, all limits together.
sub used_here { return $control->value('SELECT coalesce(sum(used), 0) FROM apigouv_quota'); }

# ===================================================================
# An address that a superuser gave is reached, and no other
# ===================================================================
works('an address, http');
options(base_url => "https://127.0.0.1:$port/$api/api");
works('an address, https');
options(base_url => "https://localhost:$port/$api/api");
works('localhost');
options(base_url => "https://2130706433:$port/$api/api");
works('another spelling of the address');
options(base_url => "https://127.1:$port/$api/api");
works('and another');

# ===================================================================
# Every kind of address that is not public, behind a name
# ===================================================================
my %classes = (
	'127.0.0.1' => 'a loopback address',
	'127.8.9.10' => 'a loopback address',
	'::1' => 'a loopback address',
	'10.1.2.3' => 'a private address',
	'172.31.255.255' => 'a private address',
	'192.168.1.1' => 'a private address',
	'fd12:3456::1' => 'a private address',
	'fec0::1' => 'a private address',
	'169.254.1.1' => 'a link-local address',
	'fe80::1' => 'a link-local address',
	'100.64.0.1' => 'an address behind a provider\'s NAT',
	'169.254.169.254' => 'the address of a cloud\'s metadata service',
	'100.100.100.200' => 'the address of a cloud\'s metadata service',
	'fd00:ec2::254' => 'the address of a cloud\'s metadata service',
	'168.63.129.16' => 'the address of a cloud\'s metadata service',
	'192.0.2.1' => 'a reserved address',
	'::127.0.0.1' => 'a reserved address',
	'64:ff9b::a00:1' => 'a reserved address',
	'2002:a00:1::' => 'a reserved address');
my %no_host = map { $_ => 'an address of no host' } qw(0.0.0.0 255.255.255.255 224.0.0.1 :: ff02::1);

options(base_url => "https://upstream.test:$port/$api/api");
for my $address (sort keys %classes)
{
	names_lead('upstream.test' => [$address]);
	refused($address, $classes{$address}, $address);
}
for my $address (sort keys %no_host)
{
	names_lead('upstream.test' => [$address]);
	refused($address, $no_host{$address}, $address, hint => undef);
}
for my $mapped ([ '127.0.0.1', 'a loopback address' ], [ '169.254.169.254', $classes{'169.254.169.254'} ])
{
	names_lead('upstream.test' => ["::ffff:$mapped->[0]"]);
	refused(@$mapped, "::ffff:$mapped->[0], which is IPv4");
}

# names that libcurl resolves by itself
options(base_url => "https://gateway.localhost:$port/$api/api");
refuses(session($node), $query,
	{ sqlstate => '42501', message => qr/^cannot connect to address (?:127\.0\.0\.1|::1) /, requests => 0 },
	'a name below localhost');

# ===================================================================
# Addresses that a superuser lists
# ===================================================================
# the certificate is for 127.0.0.1: a mismatch tells that it was reached
my %reached = (sqlstate => 'HV00N', detail => qr/certificate|TLS/);
options(base_url => "https://upstream.test:$port/$api/api", private_addresses => '127.0.0.0/30, 10.0.0.0/8');
names_lead('upstream.test' => ['127.0.0.1']);
refuses(session($node), $query, {%reached}, 'a listed network is reached');
is(join(' ', tried()), '127.0.0.1', 'and nothing else');
names_lead('upstream.test' => ['127.0.0.4']);
refused('127.0.0.4', 'a loopback address', 'the address behind it is not');
options(private_addresses => '0.0.0.0/0, ::/0');
for my $address ('169.254.169.254', 'fd00:ec2::254', '168.63.129.16')
{
	names_lead('upstream.test' => [$address]);
	refused($address, $classes{$address}, "$address is in no range");
}
names_lead('upstream.test' => ['0.0.0.0']);
refused('0.0.0.0', $no_host{'0.0.0.0'}, '0.0.0.0 cannot be listed', hint => undef);

for my $wrong ('10.0.0.1/8', '10.0.0.0/33', 'upstream.test', '10.0.0.1,', '::1%lo')
{
	refuses($control, "ALTER SERVER $api OPTIONS (SET private_addresses '$wrong')",
		{ sqlstate => '22023', message => qr/^invalid address in option "private_addresses"/, hint => qr/at most 16/ },
		"a list: $wrong");
}
run_sql($control, 'CREATE ROLE owner LOGIN', "GRANT USAGE ON FOREIGN DATA WRAPPER apigouv_fdw TO owner");
my $owner = session($node, user => 'owner');
refuses($owner, "CREATE SERVER mine FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '$api', private_addresses '10.0.0.1')",
	{ sqlstate => '42501', message => 'permission denied to set option "private_addresses"' }, 'for superusers only');
run_sql($control, "ALTER SERVER $api OWNER TO owner");
for my $change ("SET base_url 'https://api.example'", "SET private_addresses '10.0.0.0/8'", "ADD timeout_ms '1000'")
{
	refuses($owner, "ALTER SERVER $api OPTIONS ($change)", { sqlstate => '42501' }, "an owner who is none: $change");
}
run_sql($control, "ALTER SERVER $api OWNER TO CURRENT_USER");

# ===================================================================
# Several addresses, and answers that change
# ===================================================================
options(private_addresses => '127.0.0.2, ::1');
names_lead('upstream.test' => ['127.0.0.2 127.0.0.1']);
refuses(session($node), $query, { sqlstate => 'HV00N', requests => 0 }, 'the first address is allowed and refuses, the second is not');
is(join(' ', grep { $_ ne '127.0.0.2' } tried()), '', 'the second is never tried, on no attempt');
names_lead('upstream.test' => ['::1 127.0.0.1']);
refuses(session($node), $query, { requests => 0 }, 'of the other family');
is(join(' ', grep { $_ ne '::1' } tried()), '', 'neither');

options(private_addresses => '127.0.0.1');
names_lead('upstream.test' => ['10.1.2.3 127.0.0.1']);
refuses(session($node), $query, {%reached}, 'the first is refused, the second allowed: it is reached');
is(join(' ', tried()), '127.0.0.1', 'alone');

# a name that led here first leads elsewhere at the next lookup
for my $second ('10.1.2.3', '127.0.0.3', 'fd12::1', '169.254.169.254')
{
	names_lead('upstream.test' => [ '127.0.0.1', $second ], 'other.test' => [$second]);
	my $session = session($node);
	refuses($session, $query, {%reached}, "a name leads here, then to $second: the first time");
	tried();
	options(base_url => "https://other.test:$port/$api/api");
	refused($second, $classes{$second} // ($second =~ /^127/ ? 'a loopback address' : 'a private address'),
		"to $second in the same session", session => $session);
	options(base_url => "https://upstream.test:$port/$api/api");
	names_lead('upstream.test' => [$second]);
	refused($second, $classes{$second} // ($second =~ /^127/ ? 'a loopback address' : 'a private address'),
		"to $second in the next one");
}

# ===================================================================
# A connection that is kept is not for everybody
# ===================================================================
# by a name of the certificate, so that it is kept; what leads to an address
# is libcurl's, and nothing is looked up
options(base_url => "https://127.0.0.1:$port/$api/api", private_addresses => undef);
my $directory = own_definitions($node);
my $definition = JSON::PP::decode_json(slurp_bytes("$directory/$api.json"));
$definition->{base_url} = "https://127.0.0.1:$port/$api/api";
$definition->{documents}{hosts} = [ { host => "127.0.0.1:$port", path => '/' }, { host => "upstream.test:$port" } ];
open(my $file, '>', "$directory/$api.json") or die;
print $file JSON::PP->new->utf8->encode($definition);
close $file;
run_sql($control, "CREATE SERVER other FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '$api', ca_file '$ca_file')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (token '@{[token($api)]}')",
	'CREATE SCHEMA other', "IMPORT FOREIGN SCHEMA $api LIMIT TO (structures) FROM SERVER other INTO other");
my $other = $query =~ s/FROM $api/FROM other/r;
my $session = works('a connection, kept');
refused('127.0.0.1', 'a loopback address', 'a server whose definition has the address may not use it',
	session => $session, sql => $other, server => 'other');
refused('127.0.0.1', 'a loopback address', 'nor make one', sql => $other, server => 'other');
works('the first server still may', session => $session);
run_sql($control, "ALTER SERVER other OPTIONS (ADD private_addresses '127.0.0.1')");
works('once the address is listed', sql => $other);
run_sql($control, "ALTER SERVER other OPTIONS (SET private_addresses '127.0.0.2')");
refused('127.0.0.1', 'a loopback address', 'once it is no longer', sql => $other, server => 'other');

# the server closes the connection: the one that replaces it is judged too
$session = works('a connection');
faults({ api => $api, action => 'close', times => 1 });
works('that died and was replaced', session => $session);
tried();
options(base_url => "https://upstream.test:$port/$api/api");
names_lead('upstream.test' => ['10.1.2.3']);
refused('10.1.2.3', 'a private address', 'and where it leads now is judged', session => $session);

# ===================================================================
# Documents: hosts of the definition
# ===================================================================
my $document = "SELECT apigouv_document('%s', 'https://%s/x')";
options(base_url => "https://127.0.0.1:$port/$api/api");
names_lead('upstream.test' => ['10.1.2.3']);
refused('10.1.2.3', 'a private address', 'a document', sql => sprintf($document, $api, "upstream.test:$port"));
run_sql($control, "ALTER SERVER other OPTIONS (DROP private_addresses)");
refused('127.0.0.1', 'a loopback address', 'a document of an address', server => 'other',
	sql => sprintf($document, 'other', "127.0.0.1:$port"));

# ===================================================================
# http is for this machine alone, wherever the name leads
# ===================================================================
my $clear = qr/a reserved address, and http is for loopback addresses only/;
options(base_url => "http://localhost:$stub_port/$api/api");
works('localhost without TLS');
for my $url ('http://upstream.test', 'http://10.1.2.3', 'http://192.0.2.1', 'http://localhost.test', 'ftp://127.0.0.1',
	'http://[::ffff:10.1.2.3]', 'http://[64:ff9b::7f00:1]', 'http://127.0.0.1.test')
{
	refuses($control, "ALTER SERVER $api OPTIONS (SET base_url '$url')", { sqlstate => '22023' }, "$url is no address of ours");
}

# ===================================================================
# A proxy: its address counts, and what it reaches is its business
# ===================================================================
my $through = raw_server(upstream => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
my ($proxy_port) = $through =~ /:(\d+)/;
options(base_url => "https://upstream.test:$port/$api/api", proxy => "http://127.0.0.1:$proxy_port");
names_lead('upstream.test' => ['10.1.2.3'], 'proxy.test' => ['127.0.0.1']);
tried();
refuses(session($node), $query, { sqlstate => qr/^(?:HV00N|08006)$/, detail => qr/proxy/, requests => 0 }, 'a proxy by its address');
like(join(' ', tried()), qr/^(?:127\.0\.0\.1 ?)+$/, 'is what is reached');
options(proxy => "http://proxy.test:$proxy_port");
refused('127.0.0.1', 'a loopback address', 'a proxy by a name');
options(proxy => "http://proxy.test:$proxy_port", private_addresses => '127.0.0.1');
refuses(session($node), $query, { sqlstate => qr/^(?:HV00N|08006)$/, detail => qr/proxy/, requests => 0 }, 'a proxy whose address is listed');
options(base_url => "http://127.0.0.1:$stub_port/$api/api", private_addresses => '192.168.0.0/16');
names_lead('proxy.test' => ['192.168.1.1']);
refused('192.168.1.1', 'a private address, and http is for loopback addresses only', 'without TLS, a proxy elsewhere',
	hint => undef);
# libcurl would take a file of this machine for a proxy
my $path = PostgreSQL::Test::Utils::tempdir_short() . '/socket';
my $unix = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 8) or die "$path: $!";
chmod 0777, $path or die;
options(base_url => "https://127.0.0.1:$port/$api/api", proxy => "socks5h://localhost$path", private_addresses => undef);
refuses(session($node), $query, { sqlstate => 'HV00N', requests => 0 }, 'a proxy that is a Unix socket');
$unix->blocking(0);
ok(!defined $unix->accept, 'nobody has come there');
for my $wrong ('ftp://127.0.0.1', 'file:///etc/passwd', 'unix:///x', 'https:\\\\h\\x', 'http://h:65536', 'http://h h', "http://h\t", '//h/x',
	'https://[::1', 'http://')
{
	refuses($control, "ALTER SERVER $api OPTIONS (SET proxy '$wrong')",
		{ sqlstate => '22023', hint => 'Give the address of a proxy, such as http://host:port.' }, "$wrong is no proxy");
}
options(proxy => undef);
works('and without a proxy all is well');

# ===================================================================
# Where the token is asked for
# ===================================================================
my $tensions = "SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = 'REG'"
  . " AND code_territoire = '53' AND code_rome = 'D1102' AND derniere_periode";
names_lead('tokens.test' => ['10.1.2.3']);
run_sql($control, "ALTER SERVER marche_travail OPTIONS (SET token_url 'https://tokens.test/')");
refused('10.1.2.3', 'a private address', 'the token endpoint', sql => $tensions, server => 'marche_travail');

# ===================================================================
# Not a failure of one key: with rows for failures, it is an error still
# ===================================================================
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET base_url 'https://upstream.test:$port')");
names_lead('upstream.test' => ['10.1.2.3']);
for my $table (qw(entreprise_attestations entreprise_attestation_vigilance))
{
	my $failing = session($node);
	run_sql($failing, "SET apigouv_fdw.on_failure = 'row'");
	refused('10.1.2.3', 'a private address', "$table with on_failure = row", session => $failing, server => 'entreprise',
		sql => "SELECT count(*) FROM entreprise.$table WHERE siren = '000003012'");
}

done_testing();
