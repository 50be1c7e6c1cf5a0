# Requests that travel together, as many as max_concurrency and no more, over
# connections that are kept.  pg_regress cannot show it: the proof is the times
# and the connection numbers noted by the local API server.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use List::Util qw(uniq);
use Test::More;

my $node = new_cluster('concurrency');
my $session = session($node);
my %given;

# 16 valid SIRETs: establishments of the made-up companies.
my @sirets = split /\n/, $session->value(<<'SQL');
SELECT DISTINCT siret FROM marche_inclusion.structures
WHERE apigouv_siret(siret) = siret ORDER BY siret LIMIT 16
SQL
is(scalar(@sirets), 16, '16 SIRETs to ask about');

sub any { return "ARRAY['" . join("','", @_) . "']"; }

sub set_concurrency
{
	my ($server, $n) = @_;
	$node->safe_psql('postgres', "ALTER SERVER $server OPTIONS ("
		. ($given{$server}++ ? 'SET' : 'ADD')
		. " max_concurrency '$n')");
	return;
}

my $distinct = 'SELECT count(DISTINCT siret) FROM marche_inclusion.structures';

# ===================================================================
# The keys of one = ANY travel together
# ===================================================================
set_concurrency('marche_inclusion', 16);
my ($result, @log) = measured($session, 200, "$distinct WHERE siret = ANY (@{[any(@sirets)]})");
is($result->{out}, "16\n", '= ANY of 16 keys: all are there');
is(scalar(@log), 16, 'one request each');
is(most_at_once(@log), 16, 'all 16 in flight at once');
diag(sprintf '16 SIRETs at 200 ms, max_concurrency 16: %.0f ms', $result->{ms});
cmp_ok($result->{ms}, '<', 1000, 'in little more than one latency');

($result, @log) = measured($session, 100,
	"$distinct WHERE siret IN (" . join(',', map { "'$_'" } @sirets) . ')');
is(most_at_once(@log), 16, 'so do those of IN');

($result, @log) = measured($session, 100,
	"$distinct WHERE siret = ANY (ARRAY(SELECT s FROM unnest(@{[any(@sirets)]}) s))");
is($result->{out}, "16\n", 'and of an array that a subquery makes');
is(most_at_once(@log), 16, 'all 16 in flight at once');

$session->query("PREPARE p(text[]) AS $distinct WHERE siret = ANY (\$1)");
$session->query("EXECUTE p(@{[any(@sirets)]})") for 1 .. 6;
($result, @log) = measured($session, 100, "EXECUTE p(@{[any(@sirets)]})");
is(most_at_once(@log), 16, 'and of a parameter, in a generic plan too');

# ===================================================================
# max_concurrency is respected
# ===================================================================
for my $n (1, 4)
{
	set_concurrency('marche_inclusion', $n);
	($result, @log) = measured($session, 30, "$distinct WHERE siret = ANY (@{[any(@sirets)]})");
	is($result->{out}, "16\n", "max_concurrency $n: all are there");
	is(most_at_once(@log), $n, "max_concurrency $n: as many at once, no more");
}

set_concurrency('marche_inclusion', 3);
($result, @log) = measured($session, 30,
	"SELECT count(*) FROM marche_inclusion.structures a, marche_inclusion.structures b"
	. " WHERE a.siret = ANY (@{[any(@sirets[0 .. 5])]})"
	. " AND b.siret = ANY (@{[any(@sirets[6 .. 11])]})");
cmp_ok(most_at_once(@log), '<=', 3, 'two scans of one server share it');
is(scalar(@log), 12, 'and each key is asked once');

# ===================================================================
# The same request is sent once
# ===================================================================
set_concurrency('marche_inclusion', 16);
($result, @log) = measured($session, 50,
	"$distinct WHERE siret = ANY (@{[any((@sirets[0, 1]) x 8)]})");
is(scalar(@log), 2, '16 values of which 2 are distinct: 2 requests');

# ===================================================================
# A query that may stop early does not ask for everything
# ===================================================================
($result, @log) = measured($session, 20,
	"SELECT name FROM marche_inclusion.structures"
	. " WHERE siret = ANY (@{[any(@sirets)]}) LIMIT 1");
is($result->{out} =~ tr/\n//, 1, 'LIMIT 1 of 16 keys: a row');
cmp_ok(scalar(@log), '<=', 2, 'with one request, or two');

# ===================================================================
# The sources of a union travel together
# ===================================================================
set_concurrency('entreprise', 16);
($result, @log) = measured($session, 200,
	"SELECT count(DISTINCT type) FROM entreprise.entreprise_attestations"
	. " WHERE siret = '$ApigouvTest::SIRET'");
is($result->{out}, "13\n", '13 sources');
is(most_at_once(grep { $_->{path} ne '/privileges' } @log), 13,
	'all in flight at once');
diag(sprintf '13 sources at 200 ms: %.0f ms', $result->{ms});

# ===================================================================
# Several requests wait for one access token
# ===================================================================
$session = session($node);
($result, @log) = measured($session, 50,
	"SELECT count(*) FROM marche_travail.marche_travail_tensions"
	. " WHERE code_type_territoire = 'DEP' AND code_territoire IN ('29', '35', '44', '56')"
	. " AND code_rome = 'D1102' AND derniere_periode");
is(scalar(grep { $_->{path} =~ /access_token/ } @log), 1, 'one token');
is(most_at_once(grep { $_->{path} !~ /access_token/ } @log), 4,
	'then all four requests at once');

# ===================================================================
# Connections are kept between queries and transactions
# ===================================================================
$session = session($node);
stub_reset();
for my $siret (@sirets[0 .. 4])
{
	$session->query("$distinct WHERE siret = '$siret'");
}
$session->query('BEGIN');
$session->query("$distinct WHERE siret = '$sirets[5]'");
$session->query('COMMIT');
$session->query('BEGIN');
$session->query("$distinct WHERE siret = '$sirets[6]'");
$session->query('ROLLBACK');
is(scalar(uniq map { $_->{connection} } requests()), 1,
	'seven queries in seven transactions over one connection');

faults({ api => 'marche_inclusion', status => 500, body => 'x' });
$session->query("$distinct WHERE siret = '$sirets[7]'");
$session->query("$distinct WHERE siret = '$sirets[8]'");
is(scalar(uniq map { $_->{connection} } requests()), 1,
	'an error that was read whole does not cost the connection');

my @all = "$distinct WHERE siret = ANY (@{[any(@sirets)]})";
stub_reset();
stub_latency(50);
$session->query($all[0]) for 1 .. 3;
stub_latency(0);
is(scalar(requests()), 48, '3 times 16 requests');
cmp_ok(scalar(uniq map { $_->{connection} } requests()), '<=', 16,
	'over at most 16 connections');

stub_reset();
my $other = session($node);
$session->query("$distinct WHERE siret = '$sirets[0]'");
$other->query("$distinct WHERE siret = '$sirets[0]'");
is(scalar(uniq map { $_->{connection} } requests()), 2,
	'two sessions do not share connections');

done_testing();
