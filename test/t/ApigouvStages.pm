# Every place where a query can wait, for the tests that end it there: which
# query waits, what makes it wait, and what shows that it does.
package ApigouvStages;

use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvTest;
use Exporter 'import';
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(slow_resolver prepare_stages all_stages begin_stage leave_stage);

my $siret = $ApigouvTest::SIRET;
my $structures = "SELECT name FROM marche_inclusion.structures WHERE siret = '$siret'";
my $list = "SELECT count(id) FROM marche_inclusion.structures WHERE kind = 'EI'";
my $sirets = join ', ', map { "'$_'" } qw(00000301200010 00000302000013
  00000303800015 00000304600018 00000305300014 00000306100017);
my $tensions =
  "SELECT niveau FROM marche_travail.marche_travail_tensions"
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
  . " AND code_rome = 'D1102' AND derniere_periode";
# the definition's address, which is replaced by the server's
my $document = "SELECT length(apigouv_document('entreprise',"
  . " 'https://entreprise.api.gouv.fr/proxy/inpi/download/pdf'))";
my $attestations = "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$siret'";
my $token_path = '/connexion/oauth2/access_token';

# ===================================================================
# What shows that the wait has begun
# ===================================================================
sub in_flight_of
{
	my ($n, %wanted) = @_;
	return sub { in_flight(%wanted) >= $n };
}

sub answered
{
	my ($status) = @_;
	return sub { grep { defined $_->{ended} && $_->{status} == $status } requests() };
}

# No request shows it: the backend sleeps.
sub sleeps
{
	my ($session, $control) = @_;
	return $control->value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = " . $session->pid)
	  eq 'Extension';
}

# ===================================================================
# A resolver that takes three seconds for slow.invalid
# ===================================================================
# A library to preload into the server; undef where it cannot be built.
sub slow_resolver
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	open(my $file, '>', "$dir/slow.c") or die "$dir/slow.c: $!";
	print $file <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	int			(*real) () = dlsym(RTLD_NEXT, "getaddrinfo");

	if (node != NULL && strcmp(node, "slow.invalid") == 0)
	{
		usleep(3000000);
		return EAI_NONAME;
	}
	return real(node, service, hints, result);
}
C
	close $file;
	system('cc', '-shared', '-fPIC', '-o', "$dir/slow.so", "$dir/slow.c", '-ldl') == 0
	  or return;
	return "$dir/slow.so";
}

# ===================================================================
# The stages: name => query, fault (see ApigouvFaults.pm), begun
# ===================================================================
my @stages = (
	[ 'the address of a host', $structures,
		{ base_url => sub { 'https://slow.invalid/api' } }, \&sleeps ],
	[ 'a connection', $structures, { base_url => \&deaf_url }, \&sleeps ],
	[ 'a TLS handshake', $structures,
		{ base_url => sub { 'https://' . mute_url() } }, \&sleeps ],
	[ 'a reply under TLS', $structures,
		{ tls => 'good', stub => [ { action => 'stall', times => -1 } ] }, in_flight_of(1) ],
	[ 'a reply that does not begin', $structures,
		{ stub => [ { action => 'stall', times => -1 } ] }, in_flight_of(1) ],
	[ 'a reply that does not end', $list,
		{ stub => [ { action => 'stall_body', times => -1 } ] }, in_flight_of(1) ],
	[ 'the wait that a 429 asks for', $structures,
		{ stub => [ { status => 429, body => '', headers => { 'Retry-After' => 100 },
			times => -1 } ] }, answered(429) ],
	[ 'the wait after a 503', $structures,
		{ stub => [ { status => 503, body => '', headers => { 'Retry-After' => 100 },
			times => -1 } ] }, answered(503) ],
	[ 'an access token', $tensions,
		{ api => 'marche_travail', stub => [ { path => $token_path, action => 'stall', times => -1 } ] },
		in_flight_of(1, path => qr/access_token/) ],
	[ 'the wait before asking for a token again', $tensions,
		{ api => 'marche_travail', stub => [ { path => $token_path, status => 503,
			body => '', headers => { 'Retry-After' => 100 }, times => -1 } ] }, answered(503) ],
	[ 'a renewed access token', $tensions,
		{ api => 'marche_travail', stub => [
			{ path => '/partenaire/*', status => 401, body => '', times => -1 },
			{ path => $token_path, skip => 1, action => 'stall', times => -1 } ] },
		in_flight_of(1, path => qr/access_token/) ],
	# two at once: max_concurrency.  A wait of another kind for one's turn, such
	# as for a place in the window of a limit, is one more row below this one.
	[ 'several requests at once and others in turn',
		"SELECT name FROM marche_inclusion.structures WHERE siret IN ($sirets)",
		{ stub => [ { action => 'stall', times => -1 } ] }, in_flight_of(2) ],
	[ 'the scopes of a token', $attestations,
		{ api => 'entreprise', stub => [ { path => '/privileges', action => 'stall', times => -1 } ] },
		in_flight_of(1, path => '/privileges') ],
	[ 'a document', $document,
		{ api => 'entreprise', stub => [ { path => '/proxy/*', action => 'stall', times => -1 } ] },
		in_flight_of(1, path => qr{^/proxy/inpi}) ],
	[ 'the rest of a document', $document,
		{ api => 'entreprise', stub => [ { path => '/proxy/files/*', action => 'stall_body', times => -1 } ] },
		in_flight_of(1, path => qr{^/proxy/files}) ]);

# All of them but those that this cluster has no means for.
sub all_stages
{
	my ($has_slow_resolver) = @_;
	return grep { $has_slow_resolver || $_->[0] ne 'the address of a host' } @stages;
}

# Prepare the foreign servers and mappings, once.
sub prepare_stages
{
	my ($control) = @_;
	prepare_servers($control);
	run_sql($control,
		"ALTER SERVER marche_inclusion OPTIONS (ADD max_concurrency '2')",
		"ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise"
		. " OPTIONS (SET token '" . token('entreprise_opaque') . "')");
	return;
}

# Let what a stage waits for be so.
sub begin_stage
{
	my ($control, $stage) = @_;
	stub_reset();
	make_fault($control, $stage->[2]);
	return;
}

sub leave_stage
{
	my ($control, $stage) = @_;
	unmake_fault($control, $stage->[2]);
	return;
}

1;
