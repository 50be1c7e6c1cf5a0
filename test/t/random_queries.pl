# Random queries give the rows that they give on a local copy of the table.
# Each is run on the copy, and three times on the foreign table: as it is,
# with push-down off, and with some of the planner's ways shut.  pg_regress
# cannot show it: the queries are written by a program, and compared by one.
#
# APIGOUV_RANDOM_SEED (1), APIGOUV_RANDOM_QUERIES (for each table, 400),
# APIGOUV_RANDOM_TABLES (pattern of names, all) and APIGOUV_RANDOM_STRUCTURES
# choose other queries.  A query that differs is printed with its settings.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvTest;
use Digest::MD5;
use Encode ();
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use RandomQueries;
use Test::More;
use Time::HiRes 'time';

my $seed = $ENV{APIGOUV_RANDOM_SEED} || 1;
my $queries = $ENV{APIGOUV_RANDOM_QUERIES} || 400;
my $only = $ENV{APIGOUV_RANDOM_TABLES} // '';
my $structures = $ENV{APIGOUV_RANDOM_STRUCTURES} || 300;
my $shown_differences = 5;
my $no_key = 'HV002';

# Columns that differ from one reading to the other, or that are inputs.
my %left_out = map { $_ => 1 } qw(obtenu_le reponse document_expire_le
  exclure_doublons recherche_public avec_extra derniere_periode contexte objet
  destinataire);

# It holds the port of the local API server: the same queries each time.
my %no_condition = map { $_ => 1 } qw(document_url);

# Companies that every source knows, others that are drawn, and one of La Poste.
my @sirets = qw(00000301200010 00000301200028 00000302000013 00000303800015
  00000304600018 00000305300014 00000306100017 00000307900019 00000309500015
  00000311100010 00000312900012 35600000000048);
my @sirens = qw(000003012 000003020 000003046 000003079 000003087 000003095
  000003111 000003129);
my @malformed = ('', ' ', '00000301200011', '0000030120001', '00000301200010 ',
	'000003013', 'x', '000 003 012');
my @tension_keys = qw(code_type_territoire code_territoire code_departement
  code_region code_type_activite code_activite lib_activite code_rome);
my @territories = ([ 'REG', '53' ], [ 'REG', '94' ], [ 'REG', '06' ], [ 'DEP', '35' ], [ 'DEP', '2A' ],
	[ 'DEP', '2B' ], [ 'DEP', '977' ], [ 'NAT', 'FR' ], [ 'BASBMO', '3221' ]);
my @activities = ([ 'ROME', 'D1102' ], [ 'ROME', 'L1304' ], [ 'ROME', 'A1203' ], [ 'CUMUL', 'CUMUL' ]);

# ---- conditions that give a key its values ----

sub one_of { return $_[ int rand @_ ]; }

# The codes that go with a type.
sub codes_of
{
	my ($type, @pairs) = @_;
	return map { $_->[1] } grep { $_->[0] eq $type } @pairs;
}

# name is one of some values, said in one of many ways.
sub among
{
	my ($generator, $name, $values, @wrong) = @_;
	my @few = map { rand() < 0.1 && @wrong ? one_of(@wrong) : one_of(@$values) } 1 .. one_of(1, 1, 1, 2, 3, 5);
	my $way = rand();

	push @few, undef if rand() < 0.05;
	return "$name = ANY (" . RandomQueries::array_literal(@few) . '::text[])' if $way < 0.25;
	return "$name = ANY (ARRAY["
	  . join(', ', map { RandomQueries::literal($_) } @few) . ']::text[])'
	  if $way < 0.35;
	@few = map { $generator->constant(RandomQueries::literal($_), 'text') } @few;
	return '(' . join(' OR ', map { "$name = $_" } @few) . ')' if $way < 0.45;
	return "$few[0] = $name" if $way < 0.5;
	return "$name = $few[0]" if @few == 1;
	return "$name IN (" . join(', ', @few) . ')';
}

sub start_attestations
{
	my ($generator) = @_;
	my $by = rand() < 0.75 ? 'siret' : 'siren';
	@$generator{qw(by joins scan left_alone)} =
	  ($by, [$by], "copie.entreprise_attestations_$by", $by eq 'siren' ? ['siret'] : []);
	@$generator{qw(joins left_alone)} = (['type'], [qw(siret siren)]) if $generator->{keyless};
	return;
}

sub keys_of_attestations
{
	my ($generator, $alias, $registry) = @_;
	my $by = $generator->{by};
	return "$alias.$by = $registry.$by" if defined $registry;
	return among($generator, "$alias.$by", $by eq 'siret' ? \@sirets : \@sirens, @malformed);
}

# How a territory, then an activity, is said; what the copy needs for it,
# since a region is not its departments; columns on which a condition would
# say something else.
my %territory_keys = (
	pair => {
		columns => [qw(code_type_territoire code_territoire)],
		keys => sub {
			my ($generator, $alias) = @_;
			my ($type, $code) = @{ one_of(@territories) };
			return among($generator, "$alias.code_type_territoire", [$type]) . " AND "
			  . among($generator, "$alias.code_territoire", [ $code, codes_of($type, @territories) ]);
		}
	},
	department => {
		columns => ['code_departement'],
		keys => sub { among($_[0], "$_[1].code_departement", [qw(35 2A 2B 977)], qw(0 XX)) }
	},
	region => {
		columns => ['code_region'],
		only => "code_type_territoire = 'REG'",
		alone => [qw(code_type_territoire code_territoire code_departement code_region)],
		keys => sub { among($_[0], "$_[1].code_region", [qw(53 94 06)], qw(0 XX)) }
	},
	departments => {
		columns => [],
		only => "code_type_territoire = 'DEP'",
		alone => [qw(code_territoire code_departement code_region code_type_territoire)],
		keys => sub { "$_[1].code_type_territoire = 'DEP' AND $_[1].code_region = '94'" }
	},
	country => {
		columns => [],
		only => "code_type_territoire = 'NAT'",
		alone => [qw(code_territoire code_departement code_region)],
		keys => sub { "$_[1].code_type_territoire = 'NAT'" }
	});
my %activity_keys = (
	job => {
		columns => ['code_rome'],
		keys => sub { among($_[0], "$_[1].code_rome", [qw(D1102 L1304 A1203)], qw(X9999 D11)) }
	},
	pair => {
		columns => [qw(code_type_activite code_activite)],
		keys => sub {
			my ($generator, $alias) = @_;
			my ($type, $code) = @{ one_of(@activities) };
			return among($generator, "$alias.code_type_activite", [$type]) . ' AND '
			  . among($generator, "$alias.code_activite", [ $code, codes_of($type, @activities) ]);
		}
	},
	total => {
		columns => [],
		only => "code_type_activite = 'CUMUL'",
		alone => [qw(code_type_activite code_activite lib_activite code_rome)],
		keys => sub { 'true' }
	});

# A type of territory or of activity that the API does not know is an error,
# so that no condition is on these columns but those of the keys.
sub start_tensions
{
	my ($generator) = @_;
	my @ways = map { $_->{ one_of(sort keys %$_) } } \%territory_keys, \%activity_keys;
	my $only = join(' AND ', grep { defined } map { $_->{only} } @ways) || 'true';
	my @columns = map { @{ $_->{columns} } } @ways;
	my @alone = map { @{ $_->{alone} // [] } } @ways;
	@$generator{qw(ways scan left_alone joins)} = (
		\@ways, "(SELECT * FROM copie.marche_travail_tensions WHERE $only)",
		[ qw(code_type_territoire code_type_activite), @alone ],
		@columns ? \@columns : ['code_indicateur']);
	@$generator{qw(joins left_alone)} = (['code_indicateur'], \@tension_keys) if $generator->{keyless};
	return;
}

sub keys_of_tensions
{
	my ($generator, $alias, $registry) = @_;
	return join ' AND ', map {
		my ($way) = $_;
		defined $registry && @{ $way->{columns} }
		  ? map { "$alias.$_ = $registry.$_" } @{ $way->{columns} }
		  : $way->{keys}->($generator, $alias);
	} @{ $generator->{ways} };
}

# ---- tables: how the copy is read, what the registry holds ----

sub values_list
{
	return join ', ', map { '(' . join(', ', map { RandomQueries::literal($_) } ref $_ ? @$_ : $_) . ')' } @_;
}

sub copy_whole
{
	my ($schema, $table) = @_;
	return "CREATE TABLE copie.$table AS SELECT * FROM $schema.$table";
}

# A copy made of one reading for each key.
sub copy_keys
{
	my ($copy, $foreign, $columns, @keys) = @_;
	my @columns = split ' ', $columns;
	return join ";\n", "CREATE TABLE copie.$copy AS SELECT * FROM $foreign WITH NO DATA", map {
		my $key = $_;
		"INSERT INTO copie.$copy SELECT * FROM $foreign WHERE "
		  . join(' AND ', map { "$columns[$_] = '$key->[$_]'" } 0 .. $#columns)
	} @keys;
}

my @tension_registry = qw(code_type_territoire code_territoire code_departement code_region
  code_type_activite code_activite code_rome code_indicateur);

sub tension_registry_row
{
	my ($n) = @_;
	my ($type, $code) = @{ $territories[$n] };
	return [
		$type, $code,
		$type eq 'DEP' ? $code : undef,
		$type eq 'REG' ? $code : undef,
		@{ $activities[ $n % @activities ] },
		(qw(D1102 L1304 A1203))[ $n % 3 ],
		'PERSPECTIVE'
	];
}

my @tables = (
	{
		name => 'marche_inclusion.structures',
		copy => copy_whole('marche_inclusion', 'structures'),
		scan => 'copie.structures',
		likely => [qw(id slug siret siren kind department code_departement code_region region is_active updated_at
			  presta_types sectors_slugs networks_slugs)],
		registry => [qw(siret siren id slug department code_departement code_region region kind)]
	},
	{
		name => 'data_inclusion.structures',
		copy => copy_whole('data_inclusion', 'structures') =~ s/copie\.structures/copie.structures_di/r,
		scan => 'copie.structures_di',
		likely => [qw(id source reseaux_porteurs code_region code_departement code_insee code_commune)],
		registry => [qw(id siret siren source code_commune code_insee code_departement code_region)]
	},
	{
		name => 'data_inclusion.services',
		copy => copy_whole('data_inclusion', 'services'),
		scan => 'copie.services',
		likely => [qw(id structure_id source type frais modes_accueil thematiques publics score_qualite code_region
			  code_departement code_insee code_commune)],
		registry => [qw(id structure_id source type code_commune code_insee code_departement code_region frais)]
	},
	{
		name => 'entreprise.entreprise_attestations',
		copy => join(
			";\n",
			map { copy_keys("entreprise_attestations_$_->[0]", 'entreprise.entreprise_attestations', @$_) }
			  [ 'siret', map { [$_] } @sirets ], [ 'siren', map { [$_] } @sirens ]),
		scan => 'copie.entreprise_attestations_siret',
		likely => [qw(siret siren type categorie niveau fournisseur)],
		registry => [qw(siret siren type)],
		registry_rows => '(VALUES ' . values_list(
			(map { [ $sirets[$_], $sirens[ $_ % @sirens ], $_ % 3 ? 'certification_rge' : undef ] } 0 .. $#sirets),
			(map { [ $_, $_, undef ] } @malformed)) . ') AS v (siret, siren, type)',
		start => \&start_attestations,
		keys => \&keys_of_attestations
	},
	{
		name => 'marche_travail.marche_travail_tensions',
		copy => copy_keys('marche_travail_tensions', 'marche_travail.marche_travail_tensions',
			'code_type_territoire code_territoire code_type_activite code_activite',
			map { my $territory = $_; map { [ @$territory, @$_ ] } @activities } @territories),
		scan => 'copie.marche_travail_tensions',
		likely => [ @tension_keys, qw(code_periode code_indicateur) ],
		registry => \@tension_registry,
		registry_rows => '(VALUES '
		  . values_list(
			(map { tension_registry_row($_) } 0 .. $#territories),
			[ 'DEP', '2A', '2A', '94', 'ROME', 'L1304', 'L1304', 'INT_EMB' ],
			[ 'DEP', ' 35', '35 ', '', 'ROME', 'D1102 ', '', 'XX' ],
			[ (undef) x 8 ])
		  . ') AS v (' . join(', ', @tension_registry) . ')',
		start => \&start_tensions,
		keys => \&keys_of_tensions
	});

# ---- running and comparing ----

my ($node, %differences);

sub sorted_lines
{
	my ($result) = @_;
	return join "\n", sort split /\n/, $result->{out};
}

sub run_on
{
	my ($session, $query, $table, $registry, $settings) = @_;
	my $sql = $query->{before} . $query->{sql} . $query->{after};
	$sql =~ s/\{T\}/$table/g;
	$sql =~ s/\{R\}/$registry/g;
	$sql = "$query->{settings}$settings$sql";
	return { %{ $session->query($sql) }, sql => $sql };
}

# What of a result differs from that of the copy, or nothing.
sub difference
{
	my ($query, $is, $should) = @_;
	my ($got, $wanted) = map { $_->{sqlstate} // '' } $is, $should;
	return if $got eq $no_key && $query->{keyless};
	return "ERROR $got: $is->{message}" if $got ne $wanted;
	return if $got ne '';
	my ($rows, $right) = map { sorted_lines($_) } $is, $should;
	return if $rows eq $right;
	my %count;
	$count{$_}++ for split /\n/, $rows;
	$count{$_}-- for split /\n/, $right;
	my @lines = map { sprintf('%+d %s', $count{$_}, substr($_, 0, 300)) }
	  grep { $count{$_} } sort keys %count;
	return join("\n", @lines > 6 ? (@lines[ 0 .. 5 ], '... ' . @lines) : @lines);
}

# The columns of a table that can be compared: name => type.
sub columns_of
{
	my ($session, $table) = @_;
	my $pairs = $session->value("SELECT json_object_agg(attname, format_type(atttypid, -1))"
		  . " FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped");
	my $all = JSON::PP->new->decode($pairs);
	return map { $_ => $all->{$_} } grep { !$left_out{$_} && $all->{$_} ne 'jsonb' } sort keys %$all;
}

sub pool_of
{
	my ($session, $scan, $column, $type) = @_;
	my $value = $type =~ /\[\]$/ ? "unnest($column)" : $column;
	my $json = $session->value("SELECT coalesce(json_agg(v), '[]') FROM (SELECT v"
		  . " FROM (SELECT DISTINCT $value\::text COLLATE \"C\" AS v FROM $scan t) d"
		  . " WHERE v IS NOT NULL ORDER BY md5(v) LIMIT 60) s");
	return JSON::PP->new->decode($json);
}

# Some of the rows, as texts and lists of texts.
sub rows_of
{
	my ($session, $scan, $columns) = @_;
	my @columns = grep { !$no_condition{$_} } sort keys %$columns;
	my $list = join ', ', map { $columns->{$_} =~ /\[\]$/ ? $_ : "$_\::text" } @columns;
	my $json = $session->value("SELECT json_agg(s) FROM (SELECT $list FROM $scan t"
		  . ' ORDER BY md5(ROW(' . join(', ', @columns) . ')::text) LIMIT 60) s');
	return JSON::PP->new->decode($json);
}

# A registry of a few rows, with NULLs, doubles and values that are no keys.
sub create_registry
{
	my ($session, $table, $name, $columns) = @_;
	my @columns = @{ $table->{registry} };
	my $list = join ', ', @columns;
	my $rows = $table->{registry_rows} // "$table->{scan} t";
	my $array = (grep { $columns->{$_} eq 'text[]' } sort keys %$columns)[0];
	my $element = $array ? "(SELECT min(e) FROM unnest($array) e)" : 'NULL::text';
	my ($first) = grep { $columns->{$_} eq 'text' } @columns;
	my $all = $table->{registry_rows} ? '' : ' LIMIT 8';
	$element = 'NULL::text' if $table->{registry_rows};
	my $sql = "CREATE TABLE copie.$name AS SELECT row_number() OVER ()::int AS n, * FROM ("
	  . "(SELECT $list, $element AS element FROM $rows ORDER BY md5($first)$all)"
	  . " UNION ALL (SELECT $list, $element FROM $rows ORDER BY md5($first) LIMIT 3)"
	  . ' UNION ALL SELECT ' . join(', ', map { "NULL::$columns->{$_}" } @columns) . ', NULL';
	for my $odd ("''", "' '", "t.COLUMN || ' '", 'upper(t.COLUMN)', 'left(t.COLUMN, 8)')
	{
		last if $table->{registry_rows};
		$sql .= ' UNION ALL (SELECT ' . join(', ', map {
				$columns->{$_} eq 'text' ? $odd =~ s/COLUMN/$_/r : $_ } @columns)
		  . ", NULL FROM $rows ORDER BY md5($first) LIMIT 1)";
	}
	my $result = $session->query("$sql) s;\nANALYZE copie.$name");
	die $result->{err} if defined $result->{sqlstate};
	return "copie.$name";
}

# Run the queries of one table: what there is to report.
sub run_table
{
	my ($table) = @_;
	my $session = session($node);
	my $name = $table->{name};
	my (%pools, %by_kind);
	my ($run, $keyless, $failed, $rows, $no_queries) = (0) x 5;

	my $digest = Digest::MD5->new;
	my $began = time();
	my $result = $session->query("\\pset null '\xc2\xa4'\n$table->{copy}");
	die "$name: $result->{err}" if defined $result->{sqlstate};
	my %columns = columns_of($session, $name);
	$pools{$_} = pool_of($session, $table->{scan}, $_, $columns{$_}) for sort keys %columns;
	my $registry = create_registry($session, $table, 'registre_' . $name =~ tr/./_/r, \%columns);
	my $generator = RandomQueries->new(
		columns => \%columns,
		pools => \%pools,
		rows => rows_of($session, $table->{scan}, \%columns),
		shown => [ sort keys %columns ],
		conditions => [ grep { !$no_condition{$_} } sort keys %columns ],
		likely => { map { $_ => 1 } @{ $table->{likely} } },
		joins => $table->{registry},
		scan => $table->{scan},
		start => $table->{start},
		keys => $table->{keys});
	my @why;

	for my $number (1 .. $queries)
	{
		srand($seed * 1_000_003 + $number);
		my $query = $generator->next_query;
		$digest->add(Encode::encode_utf8("$query->{before}$query->{sql}$query->{after}"));
		my @planner = map { RandomQueries::planner_settings() } 1 .. 2;
		$planner[0] = '' if RandomQueries::chance(0.5);
		my $should = run_on($session, $query, $query->{scan}, $registry, '');
		$session->query('ROLLBACK; DISCARD ALL');
		if (defined $should->{sqlstate})
		{
			$no_queries++;
			push @why, "query $number is no query: $should->{message}\n$should->{sql}";
			next;
		}
		$rows++ if $should->{out} =~ /\n./;
		for my $settings ('', "SET apigouv_fdw.enable_pushdown = off;\n$planner[0]", $planner[1])
		{
			my $is = run_on($session, $query, $name, $registry, $settings);
			$session->query('ROLLBACK; DISCARD ALL');
			$run++;
			$keyless++ if ($is->{sqlstate} // '') eq $no_key;
			my $differs = difference($query, $is, $should) // next;
			$failed++;
			$by_kind{ $query->{kind} }++;
			push @why, "query $number ($query->{kind}, $query->{how}) of $name:\n$is->{sql}\n$differs";
			last;
		}
	}
	$session->quit;
	return {
		failed => $failed + $no_queries,
		rows => $rows,
		why => join("\n\n", splice(@why, 0, $shown_differences),
			"$failed differ: " . join(', ', map { "$_ $by_kind{$_}" } sort keys %by_kind)),
		note => sprintf('%s: %d runs in %.1f s, %d queries with more than one row, %d runs without a key,'
			  . ' digest of the queries %s',
			$name, $run, time() - $began, $rows, $keyless, substr($digest->hexdigest, 0, 8))
	};
}

# A process for each table: what it reports comes through a pipe.
sub start_table
{
	my ($table) = @_;
	pipe(my $from, my $to) or die "pipe: $!";
	my $pid = forked();
	if ($pid == 0)
	{
		my $report = eval { run_table($table) } // { failed => 1, rows => 0, why => $@, note => $table->{name} };
		print {$to} JSON::PP->new->utf8->encode($report);
		close $to;
		POSIX::_exit(0);
	}
	return { pid => $pid, from => $from, name => $table->{name} };
}

sub finish_table
{
	my ($started) = @_;
	local $/;
	my $text = readline $started->{from};
	waitpid $started->{pid}, 0;
	my $report = JSON::PP->new->utf8->decode($text);
	is($report->{failed}, 0, "$started->{name}: $queries queries, as a local table") or diag($report->{why});
	cmp_ok($report->{rows}, '>', $queries / 4, "$started->{name}: enough of them have rows");
	note($report->{note});
	return;
}

# ---- the local API server, smaller than that of the other tests ----

my $port_file = PostgreSQL::Test::Utils::tempdir() . '/port';
my $stub = forked();
if ($stub == 0)
{
	open(STDOUT, '>', '/dev/null');
	exec(ApigouvTest::python(), root() . '/test/stub/apigouv_stub.py', '--port', '0',
		'--port-file', $port_file, '--limit-factor', '1000', '--structures', $structures)
	  or POSIX::_exit(1);
}
END
{
	my $status = $?;
	if ($stub)
	{
		kill 'TERM', $stub;
		waitpid $stub, 0;
	}
	$? = $status;
}
ApigouvTest::wait_for(sub { -s $port_file }, 'the local API server');
$ENV{APIGOUV_STUB_URL} = 'http://127.0.0.1:' . (slurp_bytes($port_file) + 0);

diag("seed $seed, $queries queries for each table");
$node = new_cluster('random');
$node->safe_psql('postgres',
	<<'SQL');
CREATE SCHEMA copie;
CREATE COLLATION sans_casse (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
-- requests are dear, and queries of a few rows would be compiled
ALTER DATABASE postgres SET jit = off;
ALTER SERVER entreprise OPTIONS (ADD retries '0');
SQL
finish_table($_) for map { start_table($_) }
  grep { $_->{name} =~ /(?:$only)/ } @tables;
$node->stop;
done_testing();
