# The faults that an API and the network can have, by the names of the table
# "Faults" of doc/reference.md: how each is made, and which query meets it.
# The table says what must follow; fault_matrix.pl compares.
#
# A fault has one of: stub (orders to the local API server), raw (what a server
# of raw bytes says), base_url (where nobody answers as he should).  Other members:
#   api       whose query, marche_inclusion by default
#   sql       another query of this API
#   options   of the foreign server, for this fault
#   detail, hint   what the error must say besides
#   once      the fault passes: it is made anew before the query is asked again
#   slow      takes a second or more: not for a long series
package ApigouvFaults;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Socket;
use Time::HiRes 'usleep';

our @EXPORT = qw(all_faults prepare_servers make_fault unmake_fault fault_query
  deaf_url mute_url);

my %base_urls;
my @kept;    # sockets that must stay open

my %queries = (
	marche_inclusion =>
	  "SELECT id, name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'",
	entreprise =>
	  "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
	  . " WHERE siret = '$ApigouvTest::SIRET'",
	marche_travail =>
	  "SELECT niveau FROM marche_travail.marche_travail_tensions"
	  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
	  . " AND code_rome = 'D1102' AND code_indicateur = 'PERSPECTIVE'"
	  . " AND derniere_periode");

# ===================================================================
# Places where nobody answers
# ===================================================================

# A port whose queue of connections is full: a connection is never made.
sub deaf_url
{
	my $listener = listener(0);
	for (1 .. 3)
	{
		my $client = IO::Socket::INET->new(
			PeerAddr => '127.0.0.1', PeerPort => $listener->sockport,
			Proto => 'tcp', Blocking => 0);
		push @kept, $client;
	}
	return 'http://127.0.0.1:' . $listener->sockport . '/api';
}

# A port where connections are made, and no byte is ever answered.
sub mute_url { return '127.0.0.1:' . listener(64)->sockport . '/api'; }

sub listener
{
	my ($backlog) = @_;
	socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
	bind($socket, sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!";
	listen($socket, $backlog) or die "listen: $!";
	my $listener = IO::Socket::INET->new_from_fd(fileno($socket), 'r');
	push @kept, $socket, $listener;
	return $listener;
}

# ===================================================================
# TLS: an authority, certificates, and a front before the local API server
# ===================================================================
sub openssl
{
	my (@arguments) = @_;
	my $log = PostgreSQL::Test::Utils::tempdir() . '/openssl.log';
	my $pid = forked();
	if ($pid == 0)
	{
		open(STDOUT, '>', $log);
		open(STDERR, '>&', \*STDOUT);
		exec('openssl', @arguments) or POSIX::_exit(1);
	}
	waitpid $pid, 0;
	die "openssl @arguments: " . slurp_bytes($log) if $?;
	return;
}

# A certificate that has ended: OpenSSL 3.5 makes none with fewer days than 0,
# and only its small authority takes dates before 3.4.
sub sign_for_the_past
{
	my ($dir) = @_;
	my %files = (
		index => '', serial => "01\n",
		'ca.cnf' => "[ca]\ndefault_ca = own\n[own]\ndatabase = $dir/index\nserial = $dir/serial\n"
		  . "new_certs_dir = $dir\ncertificate = $dir/ca.pem\nprivate_key = $dir/ca.key\n"
		  . "default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n");
	for my $name (keys %files)
	{
		open(my $file, '>', "$dir/$name") or die "$dir/$name: $!";
		print $file $files{$name};
		close $file;
	}
	openssl('ca', '-config', "$dir/ca.cnf", '-batch', '-notext', '-in', "$dir/csr",
		'-extfile', "$dir/ext", '-startdate', '20200101000000Z', '-enddate', '20210101000000Z',
		'-out', "$dir/expired.pem");
	return;
}

# Addresses, by what is wrong with their certificate, and the authority's file.
sub tls_fronts
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @names = qw(good stranger other_host expired);
	my @new = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);

	openssl('req', '-x509', @new, '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem",
		'-subj', '/CN=Authority', '-days', 2);
	openssl('req', '-new', @new, '-keyout', "$dir/key", '-out', "$dir/csr",
		'-subj', '/CN=Server');
	for my $name (@names)
	{
		my $host = $name eq 'other_host' ? 'DNS:other.invalid' : 'DNS:localhost,IP:127.0.0.1';
		open(my $file, '>', "$dir/ext") or die "$dir/ext: $!";
		print $file "subjectAltName=$host\n";
		close $file;
		my @signed = $name eq 'stranger' ? ('-signkey', "$dir/key")
		  : ('-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial');
		if ($name eq 'expired')
		{
			sign_for_the_past($dir);
			next;
		}
		openssl('x509', '-req', '-in', "$dir/csr", @signed, '-extfile', "$dir/ext",
			'-days', 2, '-out', "$dir/$name.pem");
	}

	my ($port) = stub_url() =~ /:(\d+)/;
	helper_process(ApigouvTest::python(), root() . '/test/stub/tls_front.py', $port,
		"$dir/tls_ports", "$dir/key", map { "$dir/$_.pem" } @names);
	ApigouvTest::wait_for(sub { -s "$dir/tls_ports" }, 'the TLS front');
	my @ports = split /\n/, slurp_bytes("$dir/tls_ports");
	my %urls;
	@urls{@names} = map { "https://127.0.0.1:$_/marche_inclusion/api" } @ports;
	return ("$dir/ca.pem", %urls);
}

# ===================================================================
# Raw bytes
# ===================================================================
sub raw_reply
{
	my ($body, %with) = @_;
	my $length = $with{length} // length $body;
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	  . "Content-Length: $length\r\nConnection: close\r\n\r\n$body";
}

# Whitespace, a byte each 20 ms, until the client leaves.
sub drip
{
	my ($client) = @_;
	syswrite $client, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[";
	while (defined syswrite($client, ' ')) { usleep(20_000); }
	return;
}

# A connection that stays open, whose reply is shorter than its bytes: what
# follows looks like the reply to a second request.
sub smuggle
{
	my ($client) = @_;
	my $row = '[{"id": 666, "name": "smuggled", "siret": "00000301200010"}]';
	syswrite $client,
	  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n"
	  . $row . raw_reply($row);
	while (sysread($client, my $bytes, 65536)) { }
	return;
}

my $row = '{"id": 1001, "name": "A", "siret": "00000301200010"}';
my %raw = (
	short => raw_reply("[$row]", length => 100_000),
	smuggle => \&smuggle,
	drip => \&drip,
	utf8 => raw_reply("[" . $row =~ s/"A"/"caf\xc3"/r . "]"),
	utf8_unread => raw_reply("[" . $row =~ s/}/, "brand": "\xff"}/r . "]"),
	deep => raw_reply('[' x 200_000 . ']' x 200_000));

# ===================================================================
# The faults
# ===================================================================
my $json = 'application/json';
my $vnd = 'application/vnd.api+json; charset=utf-8';
my $access_token = { path => '/connexion/*', times => -1 };

sub status { my ($status, $body, %with) = @_;
	return (stub => [ { times => -1, status => $status, body => $body // '', %with } ]); }

sub again { return (headers => { 'Retry-After' => 0 }, @_); }

my $id_query = "SELECT id FROM marche_inclusion.structures WHERE id = 999999";
my $list_query = "SELECT count(id) FROM marche_inclusion.structures WHERE kind = 'EI'";

my @all = (
	# -- no connection
	'connection refused' => { base_url => sub { 'http://127.0.0.1:' . free_port() . '/api' },
		detail => qr/Connection refused/ },
	'host name without address' => { base_url => sub { 'https://nowhere.invalid/api' },
		detail => qr/^Could not find the address of "nowhere\.invalid"/, slow => 1 },
	'no connection in time' => { base_url => \&deaf_url, options => { connect_timeout_ms => 150 },
		detail => qr/^No connection to .* within 150 ms/ },
	'no TLS handshake in time' => { base_url => sub { 'https://' . mute_url() },
		options => { connect_timeout_ms => 150 }, detail => qr/within 150 ms/ },
	'connection closed in the TLS handshake' => { base_url => sub { raw_url('tls') =~ s/^http/https/r },
		detail => qr/^No TLS connection to / },
	'TLS: authority not trusted' => { tls => 'stranger', detail => qr/certificate/ },
	'TLS: certificate of another host' => { tls => 'other_host', detail => qr/no alternative certificate subject name/ },
	'TLS: certificate has ended' => { tls => 'expired', detail => qr/expired/ },
	'TLS: right certificate' => { tls => 'good' },
	# -- lost or slow
	'no first byte in time' => { stub => [ { action => 'stall', times => -1 } ], options => { timeout_ms => 200 } },
	'nothing more after half of the body' => { stub => [ { action => 'stall_body', times => -1 } ],
		options => { timeout_ms => 200 } },
	'body that drips past timeout_ms' => { raw => 'drip', options => { timeout_ms => 200 } },
	'connection closed before the reply' => { stub => [ { action => 'close', times => -1 } ] },
	'connection reset before the reply' => { stub => [ { action => 'reset', times => -1 } ] },
	'connection closed once' => { stub => [ { action => 'close', times => 1 } ], once => 1 },
	'body cut short' => { stub => [ { action => 'cut', times => -1 } ] },
	'Content-Length larger than the body' => { raw => 'short' },
	'Content-Length smaller than the body' => { raw => 'smuggle' },
	# -- bytes
	'garbage' => { stub => [ { action => 'garbage', times => -1 } ] },
	'HTML instead of JSON' => { status(200, '<html><body>Maintenance</body></html>') },
	'`application/vnd.api+json`' => { status(200, "[$row]", headers => { 'Content-Type' => $vnd }) },
	'JSON under `text/html`' => { status(200, "[$row]") },
	'lower-case header names' => { status(429, '', headers => { 'retry-after' => 0 }, times => 1), once => 1 },
	'200 without body' => { status(200) },
	'200 without body (`marche_travail`)' => { status(200, '', path => '/partenaire/*'),
		api => 'marche_travail' },
	'204' => { status(204) },
	'204 (`marche_travail`)' => { status(204, '', path => '/partenaire/*'), api => 'marche_travail' },
	'body larger than `response_max_bytes`' => { stub => [ { action => 'giant', times => -1 } ],
		hint => qr/response_max_bytes/ },
	'gzip bomb' => { stub => [ { action => 'giant_gzip', times => -1 } ], hint => qr/response_max_bytes/ },
	'wrong gzip' => { stub => [ { action => 'bad_gzip', times => -1 } ] },
	'invalid UTF-8, read' => { raw => 'utf8' },
	'invalid UTF-8, not read' => { raw => 'utf8_unread' },
	'`\u0000`, read' => { status(200, '[' . $row =~ s/"A"/"A\\u0000"/r . ']') },
	'`\u0000`, not read' => { status(200, '[' . $row =~ s/}/, "brand": "\\u0000"}/r . ']') },
	'200,000 levels of nesting' => { raw => 'deep' },
	'redirect to the same host' => { stub => [ { action => 'redirect', location => '/marche_inclusion/api/siaes/',
			times => -1 } ], hint => qr/base_url/ },
	'redirect to another host' => { stub => [ { action => 'redirect', status => 307, times => -1 } ],
		hint => qr/base_url/ },
	# -- refusals
	'400' => { status(400, { kind => ['Choix non valide.'] }), sql => $list_query },
	'401 of a bearer token' => { status(401, { detail => 'Non authentifié' }), hint => qr/user mapping/ },
	'401 of an access token, once' => { status(401, '', path => '/partenaire/*', times => 1),
		api => 'marche_travail', once => 1 },
	'401 of an access token, again' => { status(401, '', path => '/partenaire/*'), api => 'marche_travail',
		hint => qr/user mapping/ },
	'no access token: 400' => { status(400, { error => 'invalid_client' }, %$access_token),
		api => 'marche_travail', hint => qr/client_id/ },
	'no access token: 503' => { status(503, '', again(%$access_token)), api => 'marche_travail' },
	'403' => { status(403, { detail => 'Interdit' }), hint => qr/user mapping/ },
	'404 of a key' => { status(404, { detail => 'Not found.' }), sql => $id_query },
	'404 of a key (`entreprise`)' => { status(404, envelope('10003', 'Inconnue')), api => 'entreprise' },
	'404 of a list' => { status(404, { detail => 'Not found.' }), sql => $list_query, hint => qr/base_url/ },
	'404 in HTML' => { status(404, '<html>Introuvable</html>'), sql => $id_query, hint => qr/base_url/ },
	'404 in plain text' => { status(404, 'Not found', headers => { 'Content-Type' => 'text/plain' }),
		api => 'entreprise', detail => qr/Not found/, hint => qr/base_url/ },
	'409 `00015`, once' => { status(409, envelope('00015', 'Conflit'), times => 1), api => 'entreprise', once => 1 },
	'409 `00015`, again' => { status(409, envelope('00015', 'Conflit')), api => 'entreprise' },
	'410' => { status(410, 'Gone') },
	'422' => { status(422, envelope('00302', 'SIRET')), api => 'entreprise', hint => qr/refused a key/ },
	'451 (`entreprise`)' => { status(451, envelope('01005', 'Indisponible')), api => 'entreprise' },
	'451' => { status(451) },
	# -- for now
	'429 with Retry-After, once' => { status(429, '', headers => { 'Retry-After' => 1 }, times => 1),
		once => 1, slow => 1 },
	'429 with Retry-After as a date, once' => { stub => sub { {
			status => 429, body => '', headers => { 'Retry-After' => http_date(time() + 1) } } },
		once => 1, slow => 1 },
	'429 with Retry-After, again' => { status(429, '', again()), hint => qr/^Run the query again/ },
	'429 with Retry-After of hours' => { status(429, '', headers => { 'Retry-After' => 43200 }),
		hint => qr/in 43200 seconds/ },
	'429 without Retry-After (`marche_travail`)' => { status(429, '', path => '/partenaire/*'),
		api => 'marche_travail', slow => 1 },
	'500' => { status(500, 'Internal Server Error') },
	'500 (`marche_travail`)' => { status(500, { message => 'Panne' }, path => '/partenaire/*'),
		api => 'marche_travail' },
	'502' => { status(502, '<html>', again()), hint => qr/^Run the query again/ },
	'502 `00501` with `retry_in` of seconds' => { status(502, envelope('00501', 'Réseau', retry_in => 0)),
		api => 'entreprise', hint => qr/^Run the query again/ },
	'502 `00501` with `retry_in` of hours' => { status(502, envelope('00501', 'Réseau', retry_in => 7200)),
		api => 'entreprise', hint => qr/in 7200 seconds/ },
	'502 of a source' => { status(502, envelope('10000', 'Panne')), api => 'entreprise' },
	'503' => { status(503, '<html>', again()), hint => qr/^Run the query again/ },
	'503 of a source, with its end' => { status(503, envelope('10020', 'Maintenance', retry_in => 1800)),
		api => 'entreprise', hint => qr/in 1800 seconds/ },
	'504' => { status(504, '<html>', again()), hint => qr/^Run the query again/ },
	'504 of a source' => { status(504, envelope('10002', 'Délai')), api => 'entreprise', slow => 1 });

sub http_date { return POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime($_[0])); }

my (%fault_of, @names, $raw_url, $ca_file, %tls_urls);

# Their names, in order; members are got by name from the second result.
sub all_faults
{
	if (!%fault_of)
	{
		%fault_of = @all;
		@names = map { $all[ 2 * $_ ] } 0 .. $#all / 2;
	}
	return (\@names, \%fault_of);
}

sub raw_url
{
	my ($name) = @_;
	$raw_url //= raw_server(%raw);
	return "$raw_url/$name";
}

sub fault_query
{
	my ($fault) = @_;
	return $fault->{sql} // $queries{ $fault->{api} // 'marche_inclusion' };
}

# Give the foreign servers every option that a fault may set.
my %defaults = (
	retries => 1,
	connect_timeout_ms => 5000,
	timeout_ms => 30000,
	response_max_bytes => 1048576);

sub prepare_servers
{
	my ($session, %set) = @_;
	%defaults = (%defaults, %set);
	($ca_file, %tls_urls) = tls_fronts();
	for my $api (sort keys %queries)
	{
		$base_urls{$api} = $session->value("SELECT split_part(option, 'base_url=', 2) FROM pg_foreign_server,"
			. " unnest(srvoptions) option WHERE srvname = '$api' AND option LIKE 'base_url=%'");
		run_sql($session, "ALTER SERVER $api OPTIONS (ADD ca_file '$ca_file', "
			. join(', ', map { "ADD $_ '$defaults{$_}'" } sort keys %defaults) . ')');
	}
	return;
}

sub set_options
{
	my ($session, $api, %set) = @_;
	run_sql($session, "ALTER SERVER $api OPTIONS ("
		. join(', ', map { "SET $_ '$set{$_}'" } sort keys %set) . ')');
	return;
}

# Let a fault be; session: a superuser's, for the options of the server.
sub make_fault
{
	my ($session, $fault) = @_;
	my $api = $fault->{api} // 'marche_inclusion';
	my $orders = $fault->{stub};
	my $base_url =
	    $fault->{base_url} ? $fault->{base_url}->()
	  : $fault->{tls} ? $tls_urls{ $fault->{tls} }
	  : $fault->{raw} ? raw_url($fault->{raw})
	  : $base_urls{$api};
	$orders = [ $orders->() ] if ref $orders eq 'CODE';
	faults(map { { api => $api, %$_ } } @{ $orders // [] });
	set_options($session, $api, base_url => $base_url, %{ $fault->{options} // {} })
	  if $base_url ne $base_urls{$api} || $fault->{options};
	return;
}

sub unmake_fault
{
	my ($session, $fault) = @_;
	my $api = $fault->{api} // 'marche_inclusion';
	faults();
	set_options($session, $api, %defaults, base_url => $base_urls{$api})
	  if $fault->{base_url} || $fault->{tls} || $fault->{raw} || $fault->{options};
	return;
}

1;
