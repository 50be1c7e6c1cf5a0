# 1,000 repetitions of each kind of query in one backend: neither its memory
# contexts, nor its process, nor its open files may grow.  pg_regress cannot
# show it: the process is looked at from outside, and failures are ordered
# from the local API server.
#
# After a warm-up of 100, memory may move by a fixed bound, far below what a
# leak of 64 bytes per query in any of them would make.  Figures are printed.
#
# APIGOUV_REPETITIONS (1000): fewer show less; for servers that are very slow.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use POSIX ();
use Test::More;

my $REPETITIONS = $ENV{APIGOUV_REPETITIONS} || 1000;
my $WARM_UP = 100;
my $CONTEXTS_BOUND = 48 * 1024;      # bytes
my $PROCESS_BOUND = 1024 * 1024;    # bytes; malloc keeps what it was given
my $DESCRIPTORS_BOUND = 4;          # a second kept connection, say

my $node = new_cluster('memory');
my $siret = $ApigouvTest::SIRET;
my $page_size = POSIX::sysconf(&POSIX::_SC_PAGESIZE);
my $session;

my $structures = 'marche_inclusion.structures';
my $tensions = 'marche_travail.marche_travail_tensions'
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
  . " AND code_rome = 'D1102' AND derniere_periode";
my $msa = "entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$siret'";
my $attestations = "entreprise.entreprise_attestations WHERE siret = '$siret'";
my $three = "'00000301200010', '00000302000013', '00000303800015'";

# A statement that reads, repeated by a DO block; caught errors included.
my %kinds = (
	'a lookup' => "$structures WHERE siret = '$siret'",
	'= ANY of three keys' => "$structures WHERE siret IN ($three)",
	'a filtered list' => "$structures WHERE department = '2A'",
	'a LIMIT' => "(SELECT * FROM $structures WHERE department = '59' LIMIT 3) s",
	'every column' => "$structures s WHERE siret = '$siret' AND length(s::text) > 10",
	'an unknown key' => "$structures WHERE id = 999999",
	'a malformed key' => "$structures WHERE siret = '123'",
	'a join' => "(VALUES ('$siret'), ('00000302000013')) k(siret) JOIN $structures s USING (siret)",
	'a correlated subquery' =>
	  "(VALUES (@{[$three =~ s/, /), (/gr]})) k(siret)"
	  . " WHERE (SELECT max(name) FROM $structures s WHERE s.siret = k.siret) > ''",
	'a detail' => "data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'",
	'nested rows' => "data_inclusion.services WHERE structure_id = 'dora--ateliers-du-phare-1'",
	'one source' => "$attestations AND type = 'attestation_vigilance'",
	'a table of one source' => $msa,
	'a POST with an access token' => $tensions,
	'a reference list' => "marche_travail.marche_travail_territoires WHERE code_type_territoire = 'REG'",
	'EXPLAIN' => 'explain');
my %fewer = ('thirteen sources' => $attestations);

sub run
{
	my ($sql) = @_;
	my $result = $session->query($sql);
	return unless defined $result->{sqlstate};
	fail("a statement failed: $result->{message}");
	diag("$sql\n$result->{err}");
	return;
}

# Bytes of all memory contexts, resident bytes of the process, its descriptors.
sub measure
{
	my $contexts = $session->value(
		'SELECT sum(total_bytes) FROM pg_backend_memory_contexts');
	my $pages = (split ' ', slurp_bytes('/proc/' . $session->pid . '/statm'))[1];
	return ($contexts, $pages * $page_size, descriptors($session));
}

# Repeat, and compare what was after the warm-up with what is at the end.
sub repeat
{
	my ($name, $statement, $n, $per_round) = @_;
	$session = session($node);
	my $warm = int($WARM_UP * $n / $REPETITIONS) || 1;
	$per_round->($statement, $warm);
	measure();
	my @before = measure();
	$per_round->($statement, $n);
	my @after = measure();
	my @grown = map { $after[$_] - $before[$_] } 0 .. 2;
	diag(sprintf '%-32s x %4d: contexts %+d bytes, process %+d kB (%d kB), descriptors %+d (%d)',
		$name, $n, $grown[0], $grown[1] / 1024, $after[1] / 1024, $grown[2], $after[2]);
	$grown[1] = 0 if sanitized($session);    # they hold back what is freed
	ok( $grown[0] <= $CONTEXTS_BOUND && $grown[1] <= $PROCESS_BOUND
		  && $grown[2] <= $DESCRIPTORS_BOUND,
		"$n x $name: nothing grows");
	$session->quit;
	return;
}

# Each repetition is a transaction of its own.
sub in_transactions
{
	my ($from, $n) = @_;
	my $do =
	  $from eq 'explain'
	  ? "FOR line IN EXPLAIN (VERBOSE) SELECT * FROM $structures WHERE siret = '$siret' LOOP NULL; END LOOP;"
	  : "PERFORM count(*) FROM $from;";
	run("SET client_min_messages = error");
	run("DO \$\$ DECLARE line text; BEGIN FOR i IN 1 .. $n LOOP $do COMMIT; END LOOP; END \$\$");
	return;
}

for my $name (sort keys %kinds)
{
	repeat($name, $kinds{$name}, $REPETITIONS, \&in_transactions);
}
repeat($_, $fewer{$_}, $REPETITIONS / 5, \&in_transactions) for sort keys %fewer;

# ===================================================================
# The whole list, whose replies are long
# ===================================================================
repeat('the whole list', $structures, $REPETITIONS / 10, \&in_transactions);

# ===================================================================
# In one transaction: the same request from the transaction's cache
# ===================================================================
repeat('a lookup in one transaction', '', $REPETITIONS, sub {
	my (undef, $n) = @_;
	run('DO $$ BEGIN FOR i IN 1 .. ' . $n
		. " LOOP PERFORM count(*) FROM $structures WHERE siret = '$siret'; END LOOP; END \$\$");
});

# ===================================================================
# Failures, each caught in a transaction of its own
# ===================================================================
sub failing
{
	my ($from, $n) = @_;
	run("CREATE OR REPLACE FUNCTION pg_temp.fails() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN"
		. " PERFORM count(*) FROM $from; RAISE 'no error'; EXCEPTION WHEN OTHERS THEN"
		. " IF SQLERRM = 'no error' THEN RAISE; END IF; END \$\$");
	run('SET client_min_messages = error');
	run("DO \$\$ BEGIN FOR i IN 1 .. $n LOOP PERFORM pg_temp.fails(); COMMIT; END LOOP; END \$\$");
	return;
}

$node->safe_psql('postgres', "ALTER SERVER $_ OPTIONS (ADD retries '0')")
  for qw(marche_inclusion entreprise marche_travail);
my $lookup = "$structures WHERE siret = '$siret'";
for my $case (
	[ 'a 500', $lookup, { status => 500, body => { detail => 'x' } } ],
	[ 'a refused token', $lookup, { status => 401, body => { detail => 'x' } } ],
	[ 'a 503 of a source', $msa, { status => 503, body => { errors => [ { code => '10020', title => 'x' } ] } } ],
	[ 'a connection that is closed', $lookup, { action => 'close' } ],
	[ 'a reply that is cut', $lookup, { action => 'cut' } ],
	[ 'garbage', $lookup, { action => 'garbage' } ],
	[ 'wrong gzip', $lookup, { action => 'bad_gzip' } ],
	[ 'a value that no column holds', "$structures WHERE siren = '000003012' AND id > 0",
		{ status => 200, body => '[{"id": "x", "siret": "00000301200010"}]' } ],
	[ 'an access token refused', $tensions,
		{ path => '/connexion/*', status => 400, body => { error => 'invalid_client' } } ])
{
	my ($name, $from, $fault) = @$case;
	faults({ times => -1, %$fault });
	repeat($name, $from, $REPETITIONS, \&failing);
	stub_reset();
}

# The same, many times in one transaction.
faults({ times => -1, path => '/connexion/*', status => 400, body => { error => 'invalid_client', error_description => 'x' x 1000 } });
repeat('a refused token request in one transaction', $tensions, $REPETITIONS, sub {
	my ($from, $n) = @_;
	run('SET client_min_messages = error');
	run('BEGIN');    # and no end: what the transaction holds is measured
	run("DO \$\$ BEGIN FOR i IN 1 .. $n LOOP BEGIN PERFORM count(*) FROM $from;"
		. " EXCEPTION WHEN invalid_authorization_specification THEN NULL; END; END LOOP; END \$\$");
});
stub_reset();

my $port = free_port();
$node->safe_psql('postgres',
	"ALTER SERVER marche_inclusion OPTIONS (SET base_url 'http://127.0.0.1:$port/api')");
repeat('a refused connection', $lookup, $REPETITIONS, \&failing);

done_testing();
