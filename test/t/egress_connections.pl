# How a foreign server's requests go out: over TLS 1.2 or later, to whom the
# certificate names, without a word from the environment, to where they were
# meant to go and not where a reply would have them go.  pg_regress cannot show
# it: servers with old TLS and with wrong certificates, a server of ours whose
# environment would lead elsewhere, replies with redirects.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvTest;
use File::Basename;
use Test::More;

my ($ca_file, %tls) = ApigouvFaults::tls_fronts();
my $keys = dirname($ca_file);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $trap = raw_server();

sub write_file
{
	my ($path, $text) = @_;
	open(my $file, '>', $path) or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	return $path;
}

# ===================================================================
# Versions of TLS: servers that speak one only
# ===================================================================
my @versions = qw(TLSv1 TLSv1_1 TLSv1_2 TLSv1_3);
my ($stub_port) = stub_url() =~ /:(\d+)$/;
helper_process(ApigouvTest::python(), root() . '/test/stub/tls_front.py', $stub_port, "$dir/ports", "$keys/key",
	map { "$keys/good.pem\@$_" } @versions);
ApigouvTest::wait_for(sub { -s "$dir/ports" }, 'servers of one version of TLS');
my %port_of;
@port_of{@versions} = split /\n/, slurp_bytes("$dir/ports");

# Does a server speak it to a client that would?
sub speaks
{
	my ($version) = @_;
	my $flag = '-' . lc($version) =~ s/v//r;
	my $said = qx(echo | openssl s_client -connect 127.0.0.1:$port_of{$version} $flag -cipher 'DEFAULT:\@SECLEVEL=0' 2>&1);
	return $said =~ /Cipher is (?!\(NONE\))/ ? 1 : 0;
}

# ===================================================================
# An environment that would change all
# ===================================================================
mkdir "$dir/home";
write_file("$dir/home/.netrc", "machine 127.0.0.1 login netrc password netrc\ndefault login netrc password netrc\n");
chmod 0600, "$dir/home/.netrc";
write_file("$dir/home/.curlrc", "proxy = $trap\ninsecure\nuser = curlrc:curlrc\n");
write_file("$dir/openssl.cnf", <<'CONF');
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
CONF

my $node = do {
	local @ENV{qw(http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY)} = ($trap) x 6;
	local @ENV{qw(NO_PROXY no_proxy)} = ('nowhere.invalid') x 2;
	local @ENV{qw(SSL_CERT_FILE CURL_CA_BUNDLE)} = ("$keys/stranger.pem") x 2;
	local $ENV{SSL_CERT_DIR} = $keys;
	local $ENV{SSLKEYLOGFILE} = "$dir/session_keys";
	local @ENV{qw(HOME CURL_HOME XDG_CONFIG_HOME)} = ("$dir/home") x 3;
	local $ENV{OPENSSL_CONF} = "$dir/openssl.cnf";
	new_cluster('egress_connections');
};
my $control = session($node);
my $api = 'marche_inclusion';
my $query = "SELECT count(*) FROM $api.structures WHERE siret = '$ApigouvTest::SIRET'";
my $clear = $control->value("SELECT split_part(option, 'base_url=', 2) FROM pg_foreign_server, unnest(srvoptions) option"
	  . " WHERE srvname = '$api' AND option LIKE 'base_url=%'");
run_sql($control, "ALTER SERVER $_ OPTIONS (ADD retries '0')") for $api, qw(marche_travail entreprise);

sub go_to
{
	my ($url, $file) = @_;
	run_sql($control, "ALTER SERVER $api OPTIONS (SET base_url '$url')", "ALTER SERVER $api OPTIONS (DROP ca_file)",
		"ALTER SERVER $api OPTIONS (ADD ca_file '" . ($file // $ca_file) . "')");
	return session($node);
}
run_sql($control, "ALTER SERVER $api OPTIONS (ADD ca_file '$ca_file')");

is(session($node)->value($query), 2, 'without TLS: the proxy of the environment is not asked');
is(go_to($tls{good})->value($query), 2, 'with TLS: neither');
is(scalar(grep { !$_->{authorization} } requests(api => $api)), 0, 'with the token');
ok(!-e "$dir/session_keys", 'the keys of the TLS sessions are written nowhere');
is(raw_requests(), 0, 'no proxy has seen anything');
my %headers = map { map { $_ => 1 } keys %{ $_->{headers} } } requests(api => $api);
is(join(' ', sort grep { !/^(?:authorization|token)$/ } keys %headers), 'accept accept-encoding accept-language host user-agent',
	'nothing else is sent along');

for my $version (qw(TLSv1 TLSv1_1))
{
  SKIP:
	{
		skip "OpenSSL here does not speak $version any more", 1 unless speaks($version);
		refuses(go_to("https://127.0.0.1:$port_of{$version}/$api/api"), $query,
			{ sqlstate => 'HV00N', detail => qr/^No TLS connection to "127\.0\.0\.1", port \d+: .*, after 1 attempt\.$/,
				requests => 0 }, "$version is not spoken, whatever OPENSSL_CONF says");
	}
}
for my $version (qw(TLSv1_2 TLSv1_3))
{
	is(go_to("https://127.0.0.1:$port_of{$version}/$api/api")->value($query), 2, "$version is spoken");
}

# ===================================================================
# Certificates
# ===================================================================
my %certificates = (stranger => 'of nobody we trust', other_host => 'of another host', expired => 'that has ended');
for my $which (sort keys %certificates)
{
	refuses(go_to($tls{$which}), $query,
		{ sqlstate => 'HV00N', message => "could not connect to foreign server \"$api\"",
			detail => qr/^No TLS connection to "127\.0\.0\.1", port \d+: .*certificate/i, requests => 0 },
		"a certificate $certificates{$which}");
}
refuses(go_to($tls{good}, '/etc/ssl/certs/ca-certificates.crt'), $query, { sqlstate => 'HV00N', detail => qr/certificate/, requests => 0 },
	'ca_file stands for all authorities');
refuses(go_to($tls{good}, "$dir/none.pem"), $query, { sqlstate => 'HV00N', detail => qr/TLS|certificate/, requests => 0 },
	'a ca_file that is not there');
run_sql($control, "ALTER SERVER $api OPTIONS (DROP ca_file)");
refuses(session($node), $query, { sqlstate => 'HV00N', detail => qr/certificate/, requests => 0 },
	'without ca_file, the authorities of the system, not of the environment');
run_sql($control, "ALTER SERVER $api OPTIONS (SET base_url '$clear')");

# ===================================================================
# Redirects: none is followed, wherever it leads
# ===================================================================
my ($here) = stub_url() =~ m{^http://(.*)$};
my %targets = (
	'another port' => undef,    # of the local API server, who logs it
	'another host' => "http://localhost:$stub_port/$api/api/siae/",
	'another path' => "/$api/api/siae/",
	'the same place' => '?again',
	'another scheme' => $tls{good},
	'a relative authority' => '//localhost/x',
	'a file' => 'file:///etc/passwd',
	'another protocol' => 'ftp://127.0.0.1/x');
my $document = "SELECT apigouv_document('entreprise',"
  . " 'https://entreprise.api.gouv.fr/proxy/files/11111111-1111-4111-8111-111111111111')";
my $tensions = "SELECT count(*) FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = 'REG'"
  . " AND code_territoire = '53' AND code_rome = 'D1102' AND derniere_periode";
my @redirected = (
	[ 'a request with the token', $api, $query, '*' ],
	[ 'the request for a token', 'marche_travail', $tensions, '/connexion/*' ],
	[ 'a request with an access token', 'marche_travail', $tensions, '/partenaire/*' ],
	[ 'a document', 'entreprise', $document, '/proxy/*' ]);

for my $case (@redirected)
{
	my ($what, $of, $sql, $path) = @$case;
	my $session = session($node);
	faults();
	$session->query($sql) if $path eq '/partenaire/*';    # which brings the access token
	for my $status (301, 302, 303, 307, 308)
	{
		my @wrong;
		for my $target (sort keys %targets)
		{
			stub_reset();
			faults({ api => $of, path => $path, action => 'redirect', status => $status, times => -1,
					defined $targets{$target} ? (location => $targets{$target}) : () });
			my $result = $session->query($sql);
			my $made = () = requests();
			push @wrong, "$target: $made requests, " . ($result->{sqlstate} // 'no error')
			  if $made != 1 || ($result->{sqlstate} // '') ne 'HV00M' || $result->{err} !~ /HTTP status $status/;
		}
		ok(!@wrong, "$what: $status leads nowhere") or diag(join "\n", @wrong);
	}
}
is(raw_requests(), 0, 'still no proxy has seen anything');

# ===================================================================
# What a reply asks for beside: cookies, other ways, passwords
# ===================================================================
stub_reset();
my $session = session($node);
faults({ api => $api, status => 200, body => '[]', times => -1, headers => {
			'Content-Type' => 'application/json',
			'Set-Cookie' => 'a=b; Path=/',
			'Strict-Transport-Security' => 'max-age=31536000',
			'Alt-Svc' => "http/1.1=\"$here\", h2=\":443\"",
			'Link' => "<$clear>; rel=preload",
			'Refresh' => '0; url=/' } });
is($session->value($query =~ s/\d{14}/0000030120002$_/r), 0, 'a reply that asks for much') for 8, 9;
faults();
is($session->value($query), 2, 'the next one');
my @made = requests();
is(scalar(@made), 3, 'three requests');
is(join(' ', sort grep { !/^(?:authorization|token)$/ } keys %{ $made[-1]{headers} }), 'accept accept-encoding accept-language host user-agent',
	'no cookie, no referer');
for my $scheme ('Basic realm="x"', 'Digest realm="x", nonce="y"', 'Negotiate', 'NTLM')
{
	my $before = () = requests();
	faults({ api => $api, status => 401, body => '', times => -1, headers => { 'WWW-Authenticate' => $scheme } });
	is(session($node)->query($query)->{sqlstate}, '28000', "a 401 with $scheme is an error");
	is(requests() - $before, 1, 'and the end');
}

done_testing();
