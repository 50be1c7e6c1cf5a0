# Random queries over several foreign and local tables at once give the rows
# that they give on local copies: as they are, and with some of the planner's
# and of the extension's ways shut.  Under ORDER BY the rows come in the same
# order; under a LIMIT without one, they are some of the right ones, and as many.
# pg_regress cannot show it: the queries are written by a program, and compared
# by one.
#
# APIGOUV_RANDOM_SEED (1), APIGOUV_RANDOM_QUERIES (200; 5000 when APIGOUV_LONG
# is set) and APIGOUV_RANDOM_FIRST (1) choose other queries.  One that differs
# is printed with its settings, after what can be left out of it has been.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvTest;
use Digest::MD5;
use Encode ();
use JSON::PP;
use RandomTables;
use Test::More;
use Time::HiRes 'time';

my $seed = $ENV{APIGOUV_RANDOM_SEED} || 1;
my $queries = $ENV{APIGOUV_RANDOM_QUERIES} || ($ENV{APIGOUV_LONG} ? 5000 : 200);
my $first = $ENV{APIGOUV_RANDOM_FIRST} || 1;
my $shown = 5;
my $no_key = 'HV002';
my $too_long = '57014';

my @sirets = qw(00000301200010 00000301200028 00000302000013 00000303800015 00000306100017 00000311100010);
my @malformed = ('', ' ', '00000301200011', '0000030120001', '00000301200010 ', 'x');
my @places = ([ 'REG', '53' ], [ 'REG', '94' ], [ 'DEP', '35' ], [ 'DEP', '2A' ], [ 'DEP', '977' ]);
my %constants = (
	siret => [ @sirets, @sirets, @malformed ],
	siren => [ (map { substr $_, 0, 9 } @sirets), '000003013', 'x' ],
	dep => [qw(35 59 69 2A XX)],
	sid => [ 'dora--ateliers-du-phare-1', 'dora--chantier-de-l-ecluse-1', 'x--y' ],
	lieu => \@places);

# ===================================================================
# Foreign tables in schema vrai, their copies in schema copie
# ===================================================================
$ApigouvTest::STRUCTURES = 20;
delete $ENV{APIGOUV_STUB_URL};
diag("seed $seed, $queries queries from number $first");
my $began = time();
my $node = new_cluster('random_tables');
my $session = session($node);

# name => server, table of the definition, options
my %foreign = (
	ms => [ 'marche_inclusion', 'structures', ", rows '1000000'" ],
	mp => [ 'marche_inclusion', 'structures', '' ],
	mx => [ 'marche_inclusion', 'structures', '' ],
	di => [ 'data_inclusion', 'structures', '' ],
	ds => [ 'data_inclusion', 'services', ", rows '1000000'" ],
	mt => [ 'marche_travail', 'marche_travail_tensions', '' ],
	msa_siret => [ 'entreprise', 'entreprise_conformite_cotisations_msa', '' ],
	af_siren => [ 'entreprise', 'entreprise_attestation_fiscale', '' ],
	(map { ("ev_$_" => [ 'entreprise', 'entreprise_attestation_vigilance', '' ],
			"ea_$_" => [ 'entreprise', 'entreprise_attestations', '' ]) } qw(siret siren)));

sub column_list
{
	my ($name, $typed) = @_;
	my $columns = $RandomTables::tables{$name}{columns};
	my @list = map { $_ . ($typed ? ' ' . ($columns->{$_}[2] // $columns->{$_}[0]) : '') } sort keys %$columns;
	push @list, $typed ? 'code_rome text' : 'code_rome' if $name eq 'mt';
	return join ', ', @list;
}

# Tables that show the same in both schemas, made of the others.
my $views = <<'SQL';
CREATE VIEW actifs AS SELECT id, siret, siren, kind, department, name FROM ms WHERE is_active;
CREATE VIEW tout AS SELECT 'marche' AS origine, siret, department AS dep FROM mp
	UNION ALL SELECT 'data', siret, code_departement FROM di;
CREATE VIEW visibles WITH (security_barrier) AS
	SELECT id, siret, siren, kind, department FROM mp WHERE is_active IS NOT FALSE AND department <> '69';
CREATE VIEW vue_siret AS SELECT siret, coalesce(entity_status_code, 'aucun') AS code, date_fin_validite AS fin FROM ev_siret;
CREATE VIEW barre_siren WITH (security_barrier) AS SELECT siren, type, statut FROM ea_siren WHERE type <> 'carte_professionnelle_fntp';
CREATE VIEW par_dep WITH (security_barrier) AS
	SELECT department, count(*) AS n, min(id) AS premier FROM mp GROUP BY department;
SQL

run_sql($session,
	'CREATE EXTENSION citext', 'CREATE DOMAIN genre AS text CHECK (length(value) < 60)',
	"CREATE COLLATION sans_casse (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
	(map { "ALTER DATABASE postgres SET $_" } 'jit = off', "apigouv_fdw.on_failure = 'row'",
		'apigouv_fdw.max_requests_per_query = -1', "client_min_messages = 'error'"),
	(map { "ALTER SERVER $_ OPTIONS (ADD retries '0')" } qw(entreprise marche_travail)),
	'CREATE SCHEMA vrai', 'CREATE SCHEMA copie',
	(map { my ($server, $table, $options) = @{ $foreign{$_} };
			"CREATE FOREIGN TABLE vrai.$_ (" . column_list($_, 1) . ") SERVER $server OPTIONS (\"table\" '$table'$options)",
			"CREATE TABLE copie.$_ (LIKE vrai.$_)" } sort keys %foreign),
	<<'SQL',
CREATE TABLE vrai.etablissements (id text COLLATE "C", siret text, dep text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE vrai.etab_marche (id text COLLATE "C", siret text, dep text OPTIONS (column 'department'))
	SERVER marche_inclusion OPTIONS ("table" 'structures');
CREATE FOREIGN TABLE vrai.etab_data (id text COLLATE "C", siret text, dep text OPTIONS (column 'code_departement'))
	SERVER data_inclusion OPTIONS ("table" 'structures');
ALTER TABLE vrai.etablissements ATTACH PARTITION vrai.etab_marche FOR VALUES FROM ('0') TO (':');
ALTER TABLE vrai.etablissements ATTACH PARTITION vrai.etab_data FOR VALUES FROM (':') TO (MAXVALUE);
CREATE TABLE copie.etablissements (LIKE vrai.etablissements);
SQL
	<<'SQL');
CREATE TABLE registre (n int, siret text, siren text, id int, sid text, vid text, dep text, jour date, sirets text[], montant numeric);
INSERT INTO registre VALUES
	(1, '00000301200010', '000003012', 1001, 'dora--ateliers-du-phare-1', 'dora--service-ateliers-du-phare-1-0', '35', '2026-01-05', '{00000301200010}', 10),
	(2, '00000301200028', '000003012', 1003, 'dora--ateliers-du-phare-2', 'dora--service-ateliers-du-phare-1-1', '29', NULL, '{00000301200028,00000302000013}', 2.50),
	(3, '00000302000013', '000003020', 1005, 'dora--chantier-de-l-ecluse-1', NULL, '59', '2026-06-30', '{}', NULL),
	(4, '00000301200010', '000003012', 1001, 'dora--ateliers-du-phare-1', 'dora--service-ateliers-du-phare-2-0', '35', '2098-12-31', '{00000301200010,x,NULL}', 10),
	(5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(6, '', '', 0, '', '', '', '2021-06-30', '{NULL}', 0),
	(7, '00000301200011', '000003013', 999999, 'dora--nulle-part', 'dora--service-nulle-part', 'XX', 'infinity', NULL, -1),
	(8, '00000301200010 ', '000003012 ', -1, 'dora--ateliers-du-phare-1 ', ' ', ' 35', '2021-07-01', '{"00000301200010 ",00000301200010}', 10.0),
	(9, ' 00000302000013', ' 000003020', 1002, 'x--y', 'x--y', '2A', '2025-12-01', '{00000302000013}', 3),
	(10, '00000311100010', '000003111', 1014, 'dora--ateliers-du-phare-3', 'dora--service-ateliers-du-phare-2-0', '67', '2026-01-05', '{00000311100010,00000301200010}', 4);
CREATE TABLE lieux (n int, type text, code text);
INSERT INTO lieux VALUES (1, 'REG', '53'), (2, 'DEP', '35'), (3, 'DEP', '2A'), (4, 'DEP', '35'), (5, 'DEP', NULL), (6, NULL, '35'),
	(7, 'REG', '94'), (8, 'DEP', '977'), (9, NULL, NULL);
CREATE TABLE suivi (n int, siret text, siren text, dep text, note int);
INSERT INTO suivi SELECT n, siret, siren, dep, id FROM registre WHERE n <> 4;
ANALYZE registre, lieux, suivi;
SET check_function_bodies = off;
CREATE FUNCTION boucle(q text, n int) RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE r record;
BEGIN
	FOR r IN EXECUTE q LOOP
		RETURN NEXT r::text;
		n := n - 1;
		EXIT WHEN n = 0;
	END LOOP;
END $f$;
CREATE FUNCTION vigilance_sql(s text) RETURNS TABLE (code text, fin date) LANGUAGE sql STABLE
	AS 'SELECT entity_status_code, date_fin_validite FROM ev_siret WHERE siret = s';
CREATE FUNCTION vigilance_plpgsql(s text) RETURNS TABLE (code text, fin date) LANGUAGE plpgsql STABLE
	AS 'BEGIN RETURN QUERY SELECT entity_status_code, date_fin_validite FROM ev_siret WHERE siret = s; END';
SQL
$session->quit;
$session = session($node);

# Lists are copied whole; tables with keys for every key that a query can make.
for my $name (qw(ms di ds))
{
	run_sql($session, "INSERT INTO copie.$name SELECT " . column_list($name) . " FROM vrai.$name");
}
run_sql($session, 'INSERT INTO copie.mp SELECT * FROM copie.ms',
	'INSERT INTO copie.etablissements SELECT id::text, siret, department FROM copie.ms UNION ALL SELECT id, siret, code_departement FROM copie.di',
	'INSERT INTO copie.mx (' . column_list('mx') . ') SELECT ' . column_list('mx') . ' FROM copie.ms', <<'SQL');
CREATE TABLE sirets AS SELECT DISTINCT apigouv_siret(x) AS key FROM (SELECT siret FROM copie.ms UNION SELECT siret FROM copie.di
	UNION SELECT siret FROM registre UNION SELECT trim(siret) FROM registre UNION SELECT unnest(sirets) FROM registre) s (x)
	WHERE apigouv_siret(x) IS NOT NULL;
CREATE TABLE sirens AS SELECT DISTINCT apigouv_siren(x) AS key FROM (SELECT left(key, 9) FROM sirets
	UNION SELECT left(siret, 9) FROM registre UNION SELECT left(trim(siret), 9) FROM registre
	UNION SELECT trim(siren) FROM registre UNION SELECT siren FROM copie.ms) s (x) WHERE apigouv_siren(x) IS NOT NULL;
SQL
for my $name (grep { /_(?:siret|siren)$/ } sort keys %foreign)
{
	my ($by) = $name =~ /_(\w+)$/;
	run_sql($session, "INSERT INTO sirets SELECT DISTINCT key FROM unnest(ARRAY['$_']) AS key WHERE key NOT IN (SELECT key FROM sirets)")
	  for $by eq 'siret' ? @sirets : ();
	run_sql($session, "INSERT INTO copie.$name SELECT " . column_list($name) . " FROM vrai.$name WHERE $by = ANY (ARRAY(SELECT key FROM ${by}s))");
}
run_sql($session, map { "INSERT INTO copie.mt SELECT " . column_list('mt') . " FROM vrai.mt WHERE code_type_territoire = '$_->[0]'"
	  . " AND code_territoire = '$_->[1]' AND code_rome = 'D1102'" } @places);
run_sql($session, map { "SET search_path = $_, public;\n$views" } qw(copie vrai));
run_sql($session, 'RESET search_path', 'ANALYZE', "\\pset null '\xc2\xa4'");
diag(sprintf 'copies made in %.1f s', time() - $began);

# ===================================================================
# What the generator knows of the data
# ===================================================================
my (%pools, %rows);
my $json = JSON::PP->new;
for my $name (sort keys %RandomTables::tables)
{
	my $columns = $RandomTables::tables{$name}{columns};
	my $table = $RandomTables::tables{$name}{local} ? $name : "copie.$name";
	for my $column (sort keys %$columns)
	{
		my $value = $columns->{$column}[0] =~ /\[\]$/ ? "unnest($column)" : $column;
		$pools{$name}{$column} = $json->decode($session->value("SELECT coalesce(json_agg(v), '[]') FROM (SELECT v"
			  . " FROM (SELECT DISTINCT $value\::text COLLATE \"C\" AS v FROM $table t) d"
			  . " WHERE v IS NOT NULL ORDER BY md5(v) LIMIT 40) s"));
	}
	my $list = join ', ', map { $columns->{$_}[0] =~ /\[\]$/ ? $_ : "$_\::text" } sort keys %$columns;
	$rows{$name} = $json->decode($session->value("SELECT coalesce(json_agg(s), '[]') FROM (SELECT $list FROM $table t"
		  . ' ORDER BY md5(ROW(' . join(', ', sort keys %$columns) . ')::text) LIMIT 40) s'));
}

# ===================================================================
# Running and comparing
# ===================================================================
sub run_on
{
	my ($query, $schema, $settings, $sql) = @_;
	my $bound = $schema eq 'copie' ? 3 : 100;
	$sql = RandomTables::plain_text($sql);
	$sql = "SELECT * FROM ($sql) q LIMIT $query->{limit}" if $query->{how} eq 'loose' && $schema eq 'vrai';
	$sql = "BEGIN;\nSET LOCAL search_path = $schema, public;\nSET LOCAL statement_timeout = '${bound}s';\n"
	  . "$settings$query->{before}$sql$query->{after};\nROLLBACK";
	my $result = $session->query($sql);
	$session->query('ROLLBACK; DEALLOCATE ALL; CLOSE ALL') if defined $result->{sqlstate};
	return { %$result, sql => $sql };
}

sub counted_lines
{
	my ($result, $sign, $count) = @_;
	# the last row may be an empty line
	$count->{$_} += $sign for split /\n/, $result->{out}, -1;
	return $count;
}

# What of a result is not as it should be, or nothing.
sub difference
{
	my ($query, $is, $should) = @_;
	my ($got, $wanted) = map { $_->{sqlstate} // '' } $is, $should;
	return if $got eq $no_key;
	return "ERROR $got: $is->{message}" if $got ne $wanted;
	return if $got ne '';
	my $count = counted_lines($should, -1, counted_lines($is, 1, {}));
	if ($query->{how} eq 'loose')
	{
		my ($n, $all) = map { scalar split /\n/, $_->{out}, -1 } $is, $should;
		my $most = $all - 1 < $query->{limit} ? $all - 1 : $query->{limit};
		return sprintf '%d rows under LIMIT %d of %d', $n - 1, $query->{limit}, $all - 1 if $n - 1 != $most;
		delete $count->{$_} for grep { $count->{$_} <= 0 } keys %$count;
	}
	my @lines = map { sprintf '%+d %s', $count->{$_}, substr $_, 0, 200 } grep { $count->{$_} } sort keys %$count;
	return join "\n", @lines > 6 ? (@lines[ 0 .. 5 ], '... ' . @lines) : @lines if @lines;
	return if !$query->{ordered} || $is->{out} eq $should->{out};
	return "another order:\n" . substr($is->{out}, 0, 400) . "should be:\n" . substr($should->{out}, 0, 400);
}

# Whether a form of the query differs still.
sub differs
{
	my ($query, $settings, $sql) = @_;
	my $should = run_on($query, 'copie', '', $sql);
	return if defined $should->{sqlstate};
	return difference($query, run_on($query, 'vrai', $settings, $sql), $should);
}

# The query without what can be left out while it still differs.
sub made_short
{
	my ($query, $settings) = @_;
	my ($sql, $until, $again) = ($query->{sql}, time() + 60, 1);
	while ($again && time() < $until)
	{
		$again = 0;
		for my $shorter (RandomTables::variants($sql))
		{
			next unless defined differs($query, $settings, $shorter);
			($sql, $again) = ($shorter, 1);
			last;
		}
	}
	for my $line (split /^/, $settings)
	{
		my $fewer = $settings =~ s/^\Q$line\E//mr;
		$settings = $fewer if defined differs($query, $fewer, $sql);
	}
	return ($settings, $sql);
}

# ===================================================================
# The queries
# ===================================================================
my $generator = RandomTables->new(pools => \%pools, rows => \%rows, constants => \%constants);
my ($run, $failed, $no_queries, $with_rows, $large) = (0) x 5;
my (%how, %keyless, @why, @not_queries);
my $digest = Digest::MD5->new;
$began = time();

for my $number ($first .. $first + $queries - 1)
{
	srand($seed * 1_000_003 + $number);
	my $query = $generator->next_query;
	my $settings = RandomTables::settings();
	$digest->add(Encode::encode_utf8("$query->{before}$query->{sql}$query->{after}"));
	my $should = run_on($query, 'copie', '', $query->{sql});
	if (($should->{sqlstate} // '') eq $too_long || length $should->{out} > 3_000_000)
	{
		$large++;
		next;
	}
	if (defined $should->{sqlstate})
	{
		$no_queries++;
		push @not_queries, "query $number is no query: $should->{sqlstate} $should->{message}\n$should->{sql}";
		next;
	}
	$how{ $query->{how} }++;
	$with_rows++ if $should->{out} =~ /\n./;
	for my $set ('', $settings)
	{
		my $is = run_on($query, 'vrai', $set, $query->{sql});
		$run++;
		$keyless{$number} //= "$is->{sql}\n$is->{message}" if ($is->{sqlstate} // '') eq $no_key;
		my $differs = difference($query, $is, $should) // next;
		$failed++;
		my ($fewer, $short) = $failed <= $shown ? made_short($query, $set) : ($set, $query->{sql});
		push @why, "query $number ($query->{how}):\n" . run_on($query, 'vrai', $fewer, $short)->{sql}
		  . "\n" . (differs($query, $fewer, $short) // "not again; it was:\n$is->{sql}\n$differs");
		last;
	}
}
diag(sprintf '%d runs in %.1f s; %d queries with more than one row, %d too large, %d without a key; %s; digest %s', $run,
	time() - $began, $with_rows, $large, scalar keys %keyless, join(', ', map { "$_ $how{$_}" } sort keys %how),
	substr $digest->hexdigest, 0, 8);
note("query $_ without a key: $keyless{$_}") for sort { $a <=> $b } keys %keyless;
cmp_ok($no_queries, '<=', $queries / 500, "what is generated are queries, but for $no_queries of $queries");
is($failed, 0, "$queries queries over several tables: as on local copies");
diag(join "\n\n", splice(@why, 0, $shown), splice @not_queries, 0, $shown) if $failed || $no_queries;
cmp_ok($with_rows, '>', $queries / 4, 'enough of them have rows');
cmp_ok(scalar keys %keyless, '<=', $queries / 20, 'few of them cannot be planned for want of a key');
cmp_ok($large, '<=', $queries / 20, 'few of them are too large to compare');
still_works($session, 'the session goes on after all these');
done_testing();
