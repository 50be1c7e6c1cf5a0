# Generated unions give the same rows, or the same error, whether their
# sources are read beside each other or in turn.  pg_regress cannot show it: it
# is a comparison of two runs, of queries made from a seed.
#
# APIGOUV_SEED and APIGOUV_UNIONS choose others, and more.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $seed = $ENV{APIGOUV_SEED} // 20261122;
my $n = $ENV{APIGOUV_UNIONS} // 150;
srand $seed;
diag("seed $seed, $n unions");

my $node = new_cluster('async_unions', 'apigouv_fdw.keep_after_error_s = 0');
my $session = session($node);
run_sql($session,
	'CREATE TABLE local AS SELECT to_char(g, \'FM0000\') AS a, g::text AS b FROM generate_series(1, 50) g',
	"CREATE FOREIGN TABLE lent (siret text, name text) SERVER marche_inclusion OPTIONS (\"table\" 'structures', async_capable 'false')");

sub pick { return $_[ int rand @_ ]; }
my @sirets = map { "'$_'" } qw(00000301200010 00000301200028 00000302000013 00000303800015 00000304600018
  00000305300014 00000306100017 00000307900019 00000300000000);
my @sirens = map { "'" . substr($_, 1, 9) . "'" } @sirets;
sub some { return join ', ', map { pick(@_) } 1 .. 1 + int rand 4; }

# Sources of two texts: lists, look-ups of one and several keys, a union table,
# tables of several servers, local ones, some without rows and some that fail.
my @sources = (
	sub { 'SELECT siret, name FROM marche_inclusion.structures WHERE kind = ' . pick("'EI'", "'AI'", "'ETTI'", "'XX'") },
	sub { 'SELECT siret, name FROM marche_inclusion.structures WHERE siret = ' . pick(@sirets) },
	sub { 'SELECT siret, name FROM marche_inclusion.structures WHERE siret IN (' . some(@sirets) . ')' },
	sub { 'SELECT siret, name FROM lent WHERE siret IN (' . some(@sirets) . ')' },
	sub { 'SELECT id, name FROM marche_inclusion.types_structures' },
	sub { 'SELECT siret, nom FROM data_inclusion.structures WHERE code_departement = ' . pick("'35'", "'59'", "'00'") },
	sub { 'SELECT slug, nom FROM data_inclusion.sources' },
	sub { 'SELECT siren, entity_status_code FROM entreprise.entreprise_attestation_vigilance WHERE siren = ' . pick(@sirens) },
	sub { 'SELECT siren, entity_status_code FROM entreprise.entreprise_attestation_vigilance WHERE siren IN (' . some(@sirens) . ')' },
	sub { 'SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = ' . pick(@sirets) },
	sub { "SELECT lib_territoire, niveau_libelle FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = 'REG'"
		  . " AND code_rome = 'D1102' AND derniere_periode AND code_territoire IN (" . some(qw('53' '11' '06' '99')) . ')' },
	sub { "SELECT siret, name FROM marche_inclusion.structures WHERE 1 / (length(name) - " . pick(3, 17, 1000) . ') <> 7' },
	sub { 'SELECT a, b FROM local WHERE b::int % ' . pick(2, 7, 60) . ' = 0' },
	sub { "SELECT a, b FROM (VALUES ('x', 'y')) v(a, b)" });

sub union { return '(' . join("\n  UNION ALL ", map { pick(@sources)->() } 1 .. 2 + int rand 4) . ') x(a, b)'; }

# What can stand above a union.  Each has rows of one order, or of one number.
my @shapes = (
	sub { 'SELECT * FROM ' . union() . ' ORDER BY 1 COLLATE "C", 2 COLLATE "C"' },
	sub { 'SELECT a, count(*), min(b) FROM ' . union() . ' GROUP BY a ORDER BY a COLLATE "C"' },
	sub { 'SELECT count(*), count(b), max(length(b)) FROM ' . union() },
	sub { 'SELECT * FROM ' . union() . ' ORDER BY a COLLATE "C", b COLLATE "C" LIMIT ' . pick(1, 3, 20) },
	sub { 'SELECT count(*) FROM (SELECT * FROM ' . union() . ' LIMIT ' . pick(1, 2, 5, 100) . ') y' },
	sub { 'SELECT EXISTS (SELECT FROM ' . union() . " WHERE b LIKE '%" . pick('a', 'é', 'zz') . "%')" },
	sub { 'SELECT x.a, l.b FROM local l JOIN ' . union() . ' ON x.a = l.a ORDER BY 1, 2' },
	sub { 'SELECT v.s, count(x.a) FROM (VALUES (' . join('), (', map { pick(@sirets) } 1 .. 3)
		  . ')) v(s) LEFT JOIN LATERAL (SELECT siret, name FROM marche_inclusion.structures m WHERE m.siret = v.s'
		  . ' UNION ALL SELECT siret, nom FROM data_inclusion.structures d WHERE d.siret = v.s'
		  . " UNION ALL SELECT a, b FROM local WHERE a < v.s) x(a, b) ON true GROUP BY 1 ORDER BY 1" },
	sub { 'WITH u AS MATERIALIZED (SELECT * FROM ' . union() . ') SELECT (SELECT count(*) FROM u), (SELECT max(a COLLATE "C") FROM u)' },
	sub { 'SELECT * FROM (SELECT a, b FROM ' . union() . ' UNION SELECT a, b FROM ' . union()
		  . ') z ORDER BY 1 COLLATE "C", 2 COLLATE "C"' });

my ($failed, $async, %states) = (0, 0);
for my $i (1 .. $n)
{
	my $sql = pick(@shapes)->();
	my $on_failure = pick(qw(error error row));
	my %told;
	run_sql($session, "SET apigouv_fdw.on_failure = '$on_failure'");
	for my $on (qw(on off))
	{
		run_sql($session, "SET enable_async_append = $on");
		my $result = $session->query($sql);
		$told{$on} = $result->{sqlstate} // $result->{out};
		$states{ $result->{sqlstate} // 'rows' }++;
		$async += $on eq 'on' && $session->query("EXPLAIN $sql")->{out} =~ /Async/;
	}
	next if $told{on} eq $told{off};
	$failed++;
	diag("union $i differs, on_failure $on_failure:\n$sql\non:\n$told{on}\noff:\n$told{off}") if $failed <= 3;
}
is($failed, 0, "$n unions: the same rows or error, whichever way");
cmp_ok($async, '>', $n / 3, "$async of them read sources beside each other");
cmp_ok($states{rows}, '>', $n, 'most of them have rows');
cmp_ok(scalar(keys %states), '>', 1, 'some fail: ' . join(', ', map { "$_ $states{$_}" } sort keys %states));

done_testing();
