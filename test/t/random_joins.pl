# Random joins give the same rows with the lookup join and without, and those
# that local copies of the tables give.  Each is run three times; where ORDER
# BY says so, the order is the same too.  pg_regress cannot show it: the
# queries are written by a program, and compared by one.
#
# APIGOUV_RANDOM_SEED (1) and APIGOUV_RANDOM_QUERIES (500) choose other
# queries; APIGOUV_RANDOM_PLANNER=1 shuts some of the planner's ways for all
# of them, not for a third.  A query that differs is printed with its settings.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvTest;
use PostgreSQL::Test::Utils;
use RandomJoins;
use RandomQueries;
use Test::More;
use Time::HiRes 'time';

my $seed = $ENV{APIGOUV_RANDOM_SEED} || 1;
my $queries = $ENV{APIGOUV_RANDOM_QUERIES} || 500;
my $all_planners = $ENV{APIGOUV_RANDOM_PLANNER};
my $shown_differences = 5;

# What differs from one reading to the next, by name.
my $left_out = "'{obtenu_le,reponse,contexte,objet,destinataire,document_url,document_expire_le,sectors,networks,services,doublons,structure,extra}'::text[]";

# Names in queries: the foreign tables; the copies are in schema copie.
my %foreign = (
	ms => 'marche_inclusion.structures', mh => 'heritage', di => 'data_inclusion.structures',
	ds => 'data_inclusion.services', mt => 'marche_travail.marche_travail_tensions',
	(map { $_ => 'entreprise.entreprise_attestations' } qw(ea_siret ea_siren)),
	(map { $_ => 'entreprise.entreprise_attestation_fiscale' } qw(af_siret af_siren)),
	map { $_ => "copie.$_" } qw(registry territories));

# ===================================================================
# Few structures, so that few keys can be asked for
# ===================================================================
$ApigouvTest::STRUCTURES = 30;
delete $ENV{APIGOUV_STUB_URL};
diag("seed $seed, $queries queries");
my $node = new_cluster('random_joins');
my $began = time();
# lists of several pages
my $definitions = own_definitions($node);
for my $file (map { "$definitions/data_inclusion/$_.json" } qw(structures services))
{
	my $text = slurp_bytes($file);
	$text =~ s/"default_size": \d+/"default_size": 3/ or die "$file has no pages";
	PostgreSQL::Test::Utils::append_to_file("$file.new", $text);
	rename "$file.new", $file;
}
my $session = session($node);
run_sql($session,
	# requests are dear, and queries of a few rows would be compiled
	'SET jit = off',
	"SET apigouv_fdw.on_failure = 'row'",
	'SET apigouv_fdw.max_requests_per_query = -1',
	"SET client_min_messages = 'error'",
	# else the lists would be read
	(map { "ALTER FOREIGN TABLE $_ OPTIONS (ADD rows '1000000')" }
		  qw(marche_inclusion.structures data_inclusion.structures data_inclusion.services)),
	(map { "ALTER SERVER $_ OPTIONS (ADD retries '0')" } qw(entreprise marche_travail)),
	'CREATE SCHEMA copie',
	# what a column that is gone leaves in a table
	'ALTER FOREIGN TABLE marche_inclusion.structures DROP COLUMN brand',
	'ALTER FOREIGN TABLE entreprise.entreprise_attestations DROP COLUMN numero',
	<<'SQL');
CREATE TABLE heritage (ancien text, id int, siret text, siren text, kind text, plus_ancien int, department text, is_active boolean);
ALTER TABLE heritage DROP COLUMN ancien, DROP COLUMN plus_ancien;
INSERT INTO heritage VALUES (1, '00000301200010', '000003012', 'EI', '35', true), (1005, '00000302000013', '000003020', NULL, NULL, false);
CREATE FOREIGN TABLE heritage_lu () INHERITS (heritage) SERVER marche_inclusion OPTIONS ("table" 'structures', rows '1000000');
SQL

# ===================================================================
# The registry: doubles, NULLs, malformed keys, blanks, columns that are gone
# ===================================================================
run_sql($session, <<'SQL', <<'SQL', <<'SQL');
CREATE TABLE copie.registry (avant text DEFAULT 'x', n int PRIMARY KEY, siret text, entre int, siren text, id int, sid text, vid text, dep text, ids int[], sirets text[]);
ALTER TABLE copie.registry DROP COLUMN entre;
INSERT INTO copie.registry (n, siret, siren, id, sid, vid, dep, ids, sirets) VALUES
	(1, '00000301200010', '000003012', 1001, 'dora--ateliers-du-phare-1', 'dora--service-ateliers-du-phare-1-0', '35', '{1001,1003}', '{00000301200010}'),
	(2, '00000301200028', '000003012', 1003, 'dora--ateliers-du-phare-2', 'dora--service-ateliers-du-phare-1-1', '29', '{}', '{00000301200028,00000302000013}'),
	(3, '00000302000013', '000003020', 1005, 'dora--chantier-de-l-ecluse-1', NULL, '59', '{1005,NULL,1005}', '{}'),
	(4, '00000301200010', '000003012', 1001, 'dora--ateliers-du-phare-1', 'dora--service-ateliers-du-phare-2-0', '35', '{1001}', '{00000301200010,x,NULL}'),
	(5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(6, '', '', 0, '', '', '', '{NULL}', '{NULL}'),
	(7, '00000301200011', '000003013', 999999, 'dora--nulle-part', 'dora--service-nulle-part', 'XX', '{999999,1002}', NULL),
	(8, '00000301200010 ', '000003012 ', -1, 'dora--ateliers-du-phare-1 ', ' ', ' 35', '{-1,0}', '{"00000301200010 ",00000301200010}'),
	(9, ' 00000302000013', ' 000003020', 1002, 'a/b', 'a/b', '2A', '{1004,1005,1006}', '{00000302000013}'),
	(10, '00000311100010', '000003111', 1014, 'dora--ateliers-du-phare-3', 'dora--service-ateliers-du-phare-2-0', '67', NULL, '{00000311100010,00000301200010}'),
	(11, '00000301200036', '000003012', 1004, 'Dora--Ateliers-du-phare-1', NULL, '56', '{1014}', '{00000301200036}'),
	(12, '00009999900018', '000099999', 2147483647, NULL, 'x', '975', '{1003,1003}', '{00009999900018}'),
	(13, '0000030120001', '00000301', NULL, 'dora--chantier-de-l-ecluse-1', 'dora--service-ateliers-du-phare-1-0', '2a', '{1}', '{""}'),
	(14, '00000303800015', '000003038', 1006, '..', '%2e', '69', '{1006}', '{00000303800015,00000303800015}');
ALTER TABLE copie.registry DROP COLUMN avant;
ALTER TABLE copie.registry ADD COLUMN apres text DEFAULT 'y';
ANALYZE copie.registry;
SQL
CREATE TABLE copie.territories (n int, sans text, type text, code text);
ALTER TABLE copie.territories DROP COLUMN sans;
INSERT INTO copie.territories VALUES (1, 'REG', '53'), (2, 'DEP', '35'), (3, 'DEP', '2A'), (4, 'DEP', '35'), (5, 'DEP', NULL),
	(6, NULL, '35'), (7, 'REG', '94'), (8, 'DEP', '977'), (9, 'DEP', ' 35'), (10, NULL, NULL);
ANALYZE copie.territories;
SQL
CREATE TABLE copie.ms AS SELECT * FROM marche_inclusion.structures;
CREATE TABLE copie.mh AS SELECT * FROM heritage;
CREATE TABLE copie.di AS SELECT * FROM data_inclusion.structures;
CREATE TABLE copie.ds AS SELECT * FROM data_inclusion.services;
-- every key that a query can make of what these hold
CREATE TABLE copie.sirets AS SELECT DISTINCT apigouv_siret(x) AS key FROM (SELECT siret FROM copie.ms UNION SELECT siret FROM copie.di
	UNION SELECT siret FROM copie.registry UNION SELECT trim(siret) FROM copie.registry) s (x) WHERE apigouv_siret(x) IS NOT NULL;
CREATE TABLE copie.sirens AS SELECT DISTINCT apigouv_siren(x) AS key FROM (SELECT left(key, 9) FROM copie.sirets
	UNION SELECT left(siret, 9) FROM copie.registry UNION SELECT left(trim(siret), 9) FROM copie.registry
	UNION SELECT trim(siren) FROM copie.registry) s (x) WHERE apigouv_siren(x) IS NOT NULL;
SQL
for my $by (qw(siret siren))
{
	for my $copy (map { "${_}_$by" } qw(ea af))
	{
		run_sql($session, "CREATE TABLE copie.$copy AS SELECT * FROM $foreign{$copy}"
			  . " WHERE $by = ANY (ARRAY(SELECT key FROM copie.${by}s))");
	}
}
run_sql($session, 'CREATE TABLE copie.mt AS SELECT * FROM marche_travail.marche_travail_tensions WITH NO DATA',
	map { "INSERT INTO copie.mt SELECT * FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = '$_->[0]'"
		  . " AND code_territoire = ANY ('$_->[1]') AND code_rome IN ('D1102', 'A1203')" }
	  ([ 'REG', '{53,94}' ], [ 'DEP', '{35,2A,977}' ]));
diag(sprintf 'copies made in %.1f s: %s', time() - $began, $session->value(
	"SELECT string_agg(format('%s %s', name, (xpath('//c/text()', query_to_xml('SELECT count(*) AS c FROM copie.' || name, false, true, '')))[1]), ', ')"
	  . " FROM unnest('{ms,mh,di,ds,ea_siret,ea_siren,af_siret,af_siren,mt,sirets,sirens}'::text[]) name"));

# ===================================================================
# Running and comparing
# ===================================================================
sub run_on
{
	my ($query, $copies, $begin, $end) = @_;
	my $sql = "$query->{before}$query->{sql}$query->{after}";
	$sql =~ s/\{(\w+)\}/$copies ? "copie.$1" : $foreign{$1}/ge;
	my $result = $session->query("$begin$sql;\n$end");
	return { %$result, sql => $sql };
}

# The part of each line that says its order.
sub in_order
{
	my ($result, $columns) = @_;
	return join "\n", map { join '|', (split /\|/, $_, -1)[ 0 .. $columns - 1 ] } split /\n/, $result->{out};
}

sub sorted_lines { return join "\n", sort split /\n/, $_[0]{out}; }

# What of a result is not as it should be, or nothing.
sub difference
{
	my ($query, $is, $should) = @_;
	my ($got, $wanted) = map { $_->{sqlstate} // '' } $is, $should;
	return "ERROR $got: $is->{message}" if $got ne $wanted;
	return if $got ne '';
	my ($rows, $right) = map { sorted_lines($_) } $is, $should;
	if ($rows ne $right)
	{
		my %count;
		$count{$_}++ for split /\n/, $rows;
		$count{$_}-- for split /\n/, $right;
		my @lines = map { sprintf '%+d %s', $count{$_}, substr $_, 0, 300 } grep { $count{$_} } sort keys %count;
		return join "\n", @lines > 6 ? (@lines[ 0 .. 5 ], '... ' . @lines) : @lines;
	}
	return unless $query->{ordered};
	my @orders = map { in_order($_, $query->{ordered}) } $is, $should;
	return "another order:\n$orders[0]\nshould be:\n$orders[1]" if $orders[0] ne $orders[1];
	return;
}

my $generator = RandomJoins->new(left_out => $left_out);
my ($with_node, $several, $with_rows, $no_queries, $failed, $run) = (0) x 6;
my (%kinds, %wrong, @why);
run_sql($session, "\\pset null '\xc2\xa4'");
$began = time();

for my $number (1 .. $queries)
{
	srand($seed * 1_000_003 + $number);
	my $query = $generator->next_query;
	my $planner = $all_planners || RandomQueries::chance(0.33) ? RandomQueries::planner_settings() : '';
	# an order of joins that is forced may leave a table without its keys
	$planner =~ s/SET (?:join|from)_collapse_limit = 1;\n//g;
	my $should = run_on($query, 1, 'BEGIN; ', 'ROLLBACK');
	if (defined $should->{sqlstate})
	{
		$no_queries++;
		push @why, "query $number is no query: $should->{message}\n$should->{sql}";
		next;
	}
	# the second of them finds the replies that the first has got
	my @modes = RandomQueries::chance(0.5) ? qw(on off) : qw(off on);
	run_sql($session, "BEGIN;\n$planner" =~ s/SET /SET LOCAL /gr);
	my %result;
	for my $mode (@modes)
	{
		my $set = "SET LOCAL apigouv_fdw.enable_lookup_join = $mode;\n";
		$result{$mode} = run_on($query, 0, $set, '');
		last if defined $result{$mode}{sqlstate};
		$run++;
	}
	my $plan = '';
	if (@modes == grep { defined $result{$_} } @modes)
	{
		my $explain = { %$query, before => 'SET LOCAL apigouv_fdw.enable_lookup_join = on; EXPLAIN (COSTS OFF) ', after => '' };
		$plan = run_on($explain, 0, '', '')->{out};
	}
	run_sql($session, 'ROLLBACK');
	my $nodes = () = $plan =~ /Custom Scan \(Lookup Join\)/g;
	$with_node++ if $nodes;
	$several++ if $nodes > 1;
	$kinds{ $query->{kind} }++ if $nodes;
	$with_rows++ if $should->{out} =~ /\n./;
	for my $mode (@modes)
	{
		next unless defined $result{$mode};
		my $differs = difference($query, $result{$mode}, $should) // next;
		$failed++;
		$wrong{"$mode, $query->{how}"}++;
		push @why, "query $number ($query->{kind}, $query->{how}), lookup join $mode" . ($mode eq $modes[0] ? '' : ' (second)')
		  . ", $nodes nodes:\n$planner$result{$mode}{sql}\n$differs";
		last;
	}
}
diag(sprintf '%d runs in %.1f s; %d queries with a Lookup Join (%d with several), %d with more than one row; %s', $run,
	time() - $began, $with_node, $several, $with_rows, join(', ', map { "$_ $kinds{$_}" } sort keys %kinds));
is($no_queries, 0, 'what is generated are queries');
is($failed, 0, "$queries joins: with the lookup join, without, and on local copies")
  or diag(join ', ', map { "$_: $wrong{$_}" } sort keys %wrong);
diag(join "\n\n", splice @why, 0, $shown_differences) if @why;
cmp_ok($with_rows, '>', $queries / 3, 'enough of them have rows');
cmp_ok($with_node, '>=', $queries * 3 / 10, 'enough of their plans hold a Lookup Join');
cmp_ok($several, '>=', $queries / 50, 'some of them several');
still_works($session, 'the session goes on after all these');
done_testing();
