# pg_cancel_backend, statement_timeout and pg_terminate_backend in every wait:
# a reply that does not begin, one that does not end, the wait before another
# attempt, an access token, the turn of a request.  pg_regress cannot show it:
# it takes a second session and the moment at which the request has arrived.
#
# The wait must end within 100 ms; a busy machine is given 1000, and the
# measured times are printed.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $LIMIT_MS = 1000;

my $node = new_cluster('cancel');
my $control = session($node);
my $siret = $ApigouvTest::SIRET;
my @sirets = map { "'$_'" } qw(00000301200010 00000302000013 00000303800015
  00000304600018 00000305300014 00000306100017);
my %times;

my $structures = "SELECT name FROM marche_inclusion.structures WHERE siret = '$siret'";
my $list = "SELECT count(*) FROM marche_inclusion.structures WHERE kind = 'EI'";
my $tensions =
  "SELECT niveau FROM marche_travail.marche_travail_tensions"
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
  . " AND code_rome = 'D1102' AND derniere_periode";
my $waits = $structures =~ s/= .*/IN (@{[join ', ', @sirets]})/r;

# name, query, the faults, what shows that the wait has begun
my @cases = (
	[ 'a reply that does not begin', $structures,
		[ { action => 'stall', times => -1 } ],
		sub { in_flight() >= 1 } ],
	[ 'a reply that does not end', $list,
		[ { action => 'stall_body', times => -1 } ],
		sub { in_flight() >= 1 } ],
	[ 'the wait that a 429 asks for', $structures,
		[ { status => 429, body => '', headers => { 'Retry-After' => 100 },
			times => -1 } ],
		sub { grep { defined $_->{ended} && $_->{status} == 429 } requests() } ],
	[ 'the wait after a 503', $structures,
		[ { status => 503, body => '', headers => { 'Retry-After' => 100 },
			times => -1 } ],
		sub { grep { defined $_->{ended} && $_->{status} == 503 } requests() } ],
	[ 'an access token', $tensions,
		[ { path => '/connexion/oauth2/access_token', action => 'stall',
			times => -1 } ],
		sub { in_flight(path => qr/access_token/) >= 1 } ],
	[ 'the wait before asking for a token again', $tensions,
		[ { path => '/connexion/oauth2/access_token', status => 503,
			body => '', headers => { 'Retry-After' => 100 }, times => -1 } ],
		sub { grep { defined $_->{ended} && $_->{status} == 503 } requests() } ],
	[ 'a renewed access token', $tensions,
		[ { path => '/partenaire/*', status => 401, body => '', times => -1 },
			{ path => '/connexion/oauth2/access_token', skip => 1,
			action => 'stall', times => -1 } ],
		sub { in_flight(path => qr/access_token/) >= 1 } ],
	[ 'several requests at once and others in turn', $waits,
		[ { action => 'stall', times => -1 } ],
		sub { in_flight() >= 2 } ],
	[ 'the scopes of a token', "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$siret'",
		[ { path => '/privileges', action => 'stall', times => -1 } ],
		sub { in_flight(path => '/privileges') >= 1 } ]);

$control->query("ALTER SERVER marche_inclusion OPTIONS (ADD max_concurrency '2')");
$control->query("ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise"
	. " OPTIONS (SET token '" . token('entreprise_opaque') . "')");

sub report
{
	my ($how, $name, $ms) = @_;
	push @{ $times{$how} }, $ms;
	diag(sprintf '%-22s %-45s %6.1f ms', $how, $name, $ms);
	return cmp_ok($ms, '<', $LIMIT_MS, "$name: $how ends it at once");
}

for my $case (@cases)
{
	my ($name, $query, $faults, $has_begun) = @$case;

	# ===================================================================
	# pg_cancel_backend
	# ===================================================================
	stub_reset();
	faults(@$faults);
	my $session = session($node);
	$session->start($query);
	ApigouvTest::wait_for($has_begun, $name);
	my $since = time();
	$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
	my $result = $session->finish;
	report('pg_cancel_backend', $name, (time() - $since) * 1000);
	is($result->{sqlstate}, '57014', "$name: SQLSTATE of a cancel");
	still_works($session, "$name: the session goes on, nothing is left");

	# ===================================================================
	# statement_timeout, in the same session
	# ===================================================================
	stub_reset();
	faults(@$faults);
	$session = session($node);
	$session->query("SET statement_timeout = '400ms'");
	$result = $session->query($query);
	report('statement_timeout', $name, $result->{ms} - 400);
	cmp_ok($result->{ms}, '>=', 399, "$name: not before the time");
	is($result->{sqlstate}, '57014', "$name: SQLSTATE of a timeout");
	$session->query('RESET statement_timeout');
	still_works($session, "$name: the session goes on, nothing is left");

	# ===================================================================
	# pg_terminate_backend
	# ===================================================================
	stub_reset();
	faults(@$faults);
	$session = session($node);
	$session->start($query);
	ApigouvTest::wait_for($has_begun, $name);
	$since = time();
	$control->query('SELECT pg_terminate_backend(' . $session->pid . ')');
	$result = $session->finish;
	report('pg_terminate_backend', $name, (time() - $since) * 1000);
	ok($result->{dead}, "$name: the backend has ended");
	faults();
	wait_until_idle();
}

# ===================================================================
# In a subtransaction: caught, and the transaction goes on
# ===================================================================
stub_reset();
faults({ action => 'stall', times => 1 });
my $session = session($node);
$session->query('BEGIN');
$session->query('SAVEPOINT here');
$session->start($structures);
wait_for_requests(1);
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'cancelled in a subtransaction');
$session->query('ROLLBACK TO here');
my $again = $session->query($structures);
is($again->{out} =~ tr/\n//, 2,
	'the same request, sent anew after ROLLBACK TO')
  or diag($again->{err});
is($session->query('COMMIT')->{err}, '', 'and the transaction commits');

for my $how (sort keys %times)
{
	my @ms = sort { $a <=> $b } @{ $times{$how} };
	diag(sprintf '%-22s median %.1f ms, longest %.1f ms', $how,
		$ms[ $#ms / 2 ], $ms[-1]);
}
done_testing();
