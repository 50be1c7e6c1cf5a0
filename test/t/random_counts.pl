# Random counts by the total that a list announces are those of a local copy of
# the table, and of the rows read with push-down off.  Conditions are what an
# API takes, exactly or not, and what it does not; constants, and parameters of
# generic plans.  pg_regress cannot show it: the queries are written by a
# program, and compared by one.
#
# APIGOUV_RANDOM_SEED (1) and APIGOUV_RANDOM_COUNTS (for each table, 150) choose
# other queries.  A count that differs is printed with its query.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvTest;
use RandomQueries;
use Test::More;

my $seed = $ENV{APIGOUV_RANDOM_SEED} || 1;
my $counts = $ENV{APIGOUV_RANDOM_COUNTS} || 150;

# Columns that the list takes a condition on, whatever it makes of it; others
# are checked here.
my %tables = (
	'marche_inclusion.structures' => {
		text => [qw(kind department code_departement code_region region)],
		array => [qw(presta_types sectors_slugs networks_slugs)],
		boolean => ['is_active'],
		ranged => { updated_at => 'timestamptz' },
		local => [ 'is_qpv', "name <> 'x'", 'id % 7 > 0' ]
	},
	'data_inclusion.structures' => {
		text => [qw(source code_departement code_region code_commune code_insee)],
		array => ['reseaux_porteurs'],
		boolean => [],
		ranged => {},
		local => [ 'length(nom) % 5 > 0', 'siret IS NOT NULL' ]
	},
	'data_inclusion.services' => {
		text => [qw(source type frais code_departement code_region code_commune)],
		array => [qw(thematiques publics modes_accueil)],
		boolean => [],
		ranged => { score_qualite => 'float8' },
		local => ['length(nom) % 5 > 0']
	});

sub one_of { return $_[ int rand @_ ]; }

# A literal, as a constant or as a parameter in the making.
sub value
{
	my ($query, $type, $literal) = @_;
	return "$literal\::$type" unless $query->{params};
	push @{ $query->{params} }, [ $type, $literal ];
	return '$' . @{ $query->{params} };
}

# Values that the table has; here and there one that no API takes, none, or one
# more time the same.
sub some
{
	my ($pool, $n) = @_;
	my @values = map { rand() < 0.06 ? one_of('', ' ', 'inconnu', 'EI,ACI', '00', undef) : one_of(@$pool) } 1 .. $n;
	push @values, $values[0] if rand() < 0.15;
	return @values;
}

sub condition
{
	my ($query, $table, $pools) = @_;
	my $way = rand();

	return one_of(@{ $table->{local} }) if $way < 0.06;
	if ($way < 0.12 && @{ $table->{boolean} })
	{
		return sprintf(one_of('%s', 'NOT %s', '%s IS TRUE', '%s = false', '%s IS NOT FALSE'), one_of(@{ $table->{boolean} }));
	}
	if ($way < 0.22 && %{ $table->{ranged} })
	{
		my ($column) = keys %{ $table->{ranged} };
		return "$column " . one_of('>=', '>=', '>', '<=', '<') . ' '
		  . value($query, $table->{ranged}{$column}, RandomQueries::literal(one_of(@{ $pools->{$column} })));
	}
	if ($way < 0.45)
	{
		my $column = one_of(@{ $table->{array} });
		return value($query, 'text', RandomQueries::literal((some($pools->{$column}, 1))[0])) . " = ANY ($column)" if rand() < 0.4;
		return "$column " . one_of('&&', '&&', '&&', '@>') . ' '
		  . value($query, 'text[]', RandomQueries::array_literal(some($pools->{$column}, one_of(1, 1, 2, 3))));
	}
	my $column = one_of(@{ $table->{text} });
	my @values = some($pools->{$column}, one_of(1, 1, 2, 3, 5));
	return "$column = " . value($query, 'text', RandomQueries::literal($values[0])) if @values == 1;
	return "$column = ANY (" . value($query, 'text[]', RandomQueries::array_literal(@values)) . ')' if rand() < 0.6;
	return '(' . join(' OR ', map { "$column = " . value($query, 'text', RandomQueries::literal($_)) } @values) . ')';
}

# How a query is run on a table.
sub run_on
{
	my ($session, $query, $table, $settings) = @_;
	my $sql = "SELECT count(*) FROM $table WHERE $query->{where}";
	if ($query->{params})
	{
		my ($types, $values) = map { my $i = $_; join ', ', map { $_->[$i] } @{ $query->{params} } } 0, 1;
		$sql = "PREPARE q ($types) AS $sql;\nEXECUTE q ($values)" if $types ne '';
	}
	my $is = $session->query("BEGIN;\nSET LOCAL plan_cache_mode = force_generic_plan;\n$settings$sql");
	$session->query("ROLLBACK;\nDEALLOCATE ALL");
	return defined $is->{sqlstate} ? "$is->{sqlstate} $is->{message}" : $is->{out} =~ s/\s+//gr;
}

my $node = new_cluster('random_counts');
my $session = session($node);
$node->safe_psql('postgres',
	"CREATE SCHEMA copie;\nALTER DATABASE postgres SET jit = off;\nALTER DATABASE postgres SET client_min_messages = error;\n"
	  # so many rows that a request for each value costs less than all of them
	  . join('', map { "ALTER FOREIGN TABLE $_ OPTIONS (ADD rows '1000000');\n" } sort keys %tables));
$session->quit;
$session = session($node);

for my $name (sort keys %tables)
{
	my $table = $tables{$name};
	my $copy = 'copie.' . $name =~ tr/./_/r;
	my ($by_total, $with_rows, @wrong, %pools) = (0, 0);

	my $made = $session->query("CREATE TABLE $copy AS SELECT * FROM $name");
	die $made->{err} if defined $made->{sqlstate};
	for my $column (@{ $table->{text} }, @{ $table->{array} }, keys %{ $table->{ranged} })
	{
		my $one = (grep { $_ eq $column } @{ $table->{array} }) ? "unnest($column)" : $column;
		$pools{$column} = [ split /\n/, $session->query("SELECT v FROM (SELECT DISTINCT $one\::text AS v FROM $copy) s"
			  . ' WHERE v IS NOT NULL ORDER BY md5(v) LIMIT 20')->{out} ];
	}
	for my $number (1 .. $counts)
	{
		srand($seed * 1_000_003 + $number);
		my $query = { params => rand() < 0.4 ? [] : undef };
		$query->{where} = join ' AND ', map { condition($query, $table, \%pools) } 1 .. one_of(1, 1, 2, 3);
		my $should = run_on($session, $query, $copy, '');
		my @is = map { run_on($session, $query, $name, $_) } '', "SET LOCAL apigouv_fdw.enable_pushdown = off;\n";

		$with_rows++ if $should ne '0';
		push @wrong, "$query->{where}: $should on the copy, $is[0] and $is[1] without push-down"
		  . ($query->{params} ? ' (' . join(', ', map { $_->[1] } @{ $query->{params} }) . ')' : '')
		  if grep { $_ ne $should } @is;
		next if $query->{params};
		my $plan = $session->query("EXPLAIN (COSTS OFF) SELECT count(*) FROM $name WHERE $query->{where}")->{out};
		$by_total++ if $plan =~ /Total Of/;
	}
	is(join("\n", @wrong), '', "$name: $counts counts, as of a local table");
	cmp_ok($by_total, '>', $counts / 10, "$name: enough of them are asked for by their total");
	cmp_ok($with_rows, '>', $counts / 4, "$name: enough of them have rows");
}
$session->quit;
$node->stop;
done_testing();
