# Several sources under one Append: they are asked at the same time, rows come
# as they arrive, and every wait of one of them can be ended.  pg_regress
# cannot show it: it takes the moments at which requests arrive at the local
# API server, and a second session.
#
# A source that stalls gives nothing until the server is told to drop what it
# stalls.  What a query has given meanwhile is seen from outside by the
# advisory lock that it takes for each row.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('async_append', 'apigouv_fdw.keep_after_error_s = 0');
my $session = session($node);
my $control = session($node);
my $siret = $ApigouvTest::SIRET;

run_sql($control,
	# a lock that tells of a row, and stays until the session has done
	"CREATE FUNCTION given(source int, value text) RETURNS text LANGUAGE plpgsql AS"
	  . " 'BEGIN PERFORM pg_advisory_lock_shared(source, hashtext(value)); RETURN value; END'");

# A list, a look-up, and one of a third server, each with its number.
my $marche = "SELECT 1 AS source, name FROM marche_inclusion.structures WHERE siret = '$siret'";
my $dora = "SELECT 2 AS source, nom AS name FROM data_inclusion.structures WHERE siret = '$siret'";
my $urssaf = "SELECT 3 AS source, entity_status_code AS name FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012'";
my $kinds = "SELECT 4 AS source, name FROM marche_inclusion.types_structures";
my $tensions = "SELECT 5 AS source, lib_activite AS name FROM marche_travail.marche_travail_tensions"
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53' AND code_rome = 'D1102' AND derniere_periode";

# All rows of some sources, in an order of their own.
sub all_of { return 'SELECT * FROM (' . join(' UNION ALL ', @_) . ') x'; }
sub ordered { return 'SELECT source, name FROM (' . join(' UNION ALL ', @_) . ') x ORDER BY 1, 2'; }
sub told { return 'SELECT given(source, name) FROM (' . join(' UNION ALL ', @_) . ') x'; }

# How many rows of a source a session has given.
sub given
{
	my ($source) = @_;
	return $control->value(
		"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = $source AND pid = " . $session->pid);
}

sub wait_for_given
{
	my ($source, $n) = @_;
	ApigouvTest::wait_for(sub { given($source) >= $n }, "$n rows of source $source");
	return;
}

sub forget_given { return run_sql($session, 'SELECT pg_advisory_unlock_all()'); }

# ===================================================================
# All sources are asked at the same time
# ===================================================================
my $union = ordered($marche, $dora, $urssaf, $kinds);
like($session->query("EXPLAIN $union")->{out}, qr/(?:Async Foreign Scan.*){4}/s, 'four scans under one Append');
my $expected = $session->value($union);
stub_reset();
faults({ action => 'stall', times => 4 });
$session->start($union);
wait_for_requests(4);
is(scalar(in_flight()), 4, 'four sources: four requests under way at once');
stub_reset();    # which drops what stalls: it is asked again
is($session->finish->{out}, "$expected\n", 'and every row in the end');

run_sql($session, 'SET enable_async_append = off');
is($session->value($union), $expected, 'the rows of a plan that reads them in turn');
faults({ action => 'stall', times => 1 });
stub_reset();
faults({ action => 'stall', times => 1 });
$session->start($union);
wait_for_requests(1);
is(scalar(requests()), 1, 'which asks the first one only, until it has answered');
stub_reset();
$session->finish;
run_sql($session, 'RESET enable_async_append');

# ===================================================================
# A source that is slow does not hold back the others, wherever it stands
# ===================================================================
for my $order ([ $marche, $dora ], [ $dora, $marche ])
{
	forget_given();
	stub_reset();
	faults({ api => 'marche_inclusion', action => 'stall', times => 1 });
	my $place = $order->[0] eq $marche ? 'first' : 'last';
	$session->start(told(@$order));
	wait_for_given(2, 1);
	is(scalar(in_flight(api => 'marche_inclusion')), 1, "the slow one is the $place: the rows of the other come");
	is(given(1), '0', 'before any of its own');
	stub_reset();
	is($session->finish->{out} =~ tr/\n//, 2 + given(2), 'then all of them');
}

# the same for a source that stops in the midst of its rows
forget_given();
stub_reset();
faults({ api => 'marche_inclusion', action => 'stall_body', times => 1 });
$session->start(told('SELECT 1 AS source, name FROM marche_inclusion.structures', $dora));
wait_for_given(2, 1);
wait_for_given(1, 100);
is(scalar(in_flight(api => 'marche_inclusion')), 1, 'rows of the half that has come are given');
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'while the rest is waited for');

# and for one that waits for a retry, or for its limit
forget_given();
stub_reset();
faults({ api => 'marche_inclusion', status => 503, body => '', headers => { 'Retry-After' => 100 }, times => -1 });
$session->start(told($marche, $dora));
wait_for_given(2, 1);
is(given(1), '0', 'a source that waits for a retry holds back no other');
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'and can be cancelled');

limits($control, undef, urssaf => "2/$LONG");
begin_anew($control);
forget_given();
my $companies = "SELECT 3 AS source, siren AS name FROM entreprise.entreprise_attestation_vigilance"
  . " WHERE siren IN (" . join(', ', map { "'$_'" } sirens(3)) . ')';
$session->start(told($companies, $dora));
wait_for_waiter($control, 'urssaf');
wait_for_given(2, 1);
wait_for_given(3, 2);
is(sent(), 2, 'a source whose limit is reached gives what the limit allows, and the other all');

# it sleeps meanwhile: its processor time does not grow
sub cpu_ticks
{
	my @fields = split ' ', slurp_bytes('/proc/' . $session->pid . '/stat') =~ s/.*\) //sr;
	return $fields[11] + $fields[12];
}
my ($ticks, $since) = (cpu_ticks(), time());
$control->query('SELECT pg_sleep(1)');
my $share = (cpu_ticks() - $ticks) / 100 / (time() - $since);
cmp_ok($share, '<', 0.3, sprintf 'asleep: %.0f%% of a processor', $share * 100);
$since = time();
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'a wait for the limit is cancelled');
cmp_ok((time() - $since) * 1000, '<', time_to_end($control, 'pg_cancel_backend'), 'at once');
is(quota($control, 'urssaf', 'waiting'), '0', 'and nobody waits any more');

# what it waited for is told, and every row given
limits($control, undef, urssaf => '5/1s');
begin_anew($control);
my $result = $session->query('EXPLAIN (ANALYZE) ' . all_of(
	"SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siren IN ("
	  . join(', ', map { "'$_'" } sirens(8)) . ')', "SELECT nom FROM data_inclusion.structures WHERE siret = '$siret'"));
like($result->{out}, qr/Append .* rows=9 .*Quota Wait: [1-9]\d* ms/s, 'a window later, all rows');
limits($control, undef);
begin_anew($control);

# ===================================================================
# Every wait ends at once, and leaves nothing
# ===================================================================
# The descriptors of a session that has waited in every way, with the
# connections of some sources at once.
sub settled
{
	my @at_once = @_;
	my @slow = { delay_ms => 20, times => -1 };
	stub_reset();
	faults(@slow);
	$session->query($ApigouvTest::GOOD_QUERY);
	ApigouvTest::wait_for(
		sub {
			stub_reset();
			faults(@slow);
			$session->query(all_of(@at_once));
			wait_until_idle();
			return most_at_once(requests()) > 1;
		},
		'requests at once');
	return descriptors($session);
}

my @waits = (
	[ 'a reply that does not begin', [ $marche, $dora ], { api => 'marche_inclusion', action => 'stall', times => -1 } ],
	[ 'a reply that does not end', [ $kinds, $dora ], { api => 'marche_inclusion', action => 'stall_body', times => -1 } ],
	[ 'two replies', [ $marche, $dora ], { action => 'stall', times => -1 } ],
	[ 'the wait before a retry', [ $marche, $dora ],
		{ api => 'marche_inclusion', status => 503, body => '', headers => { 'Retry-After' => 100 }, times => -1 } ],
	[ 'an access token', [ $tensions, $dora ], { path => '/connexion/*', action => 'stall', times => -1 } ]);
for my $wait (@waits)
{
	my ($name, $sources, $fault) = @$wait;
	my $query = all_of(@$sources);
	$session = session($node);
	my $before = settled($marche, $dora);
	for my $how ('pg_cancel_backend', 'statement_timeout', 'pg_terminate_backend')
	{
		stub_reset();
		faults($fault);
		my $since;
		if ($how eq 'statement_timeout')
		{
			$session->query("SET statement_timeout = '300ms'");
			$since = time() + 0.3;
			$session->start($query);
		}
		else
		{
			$session->start($query);
			wait_for_requests($name eq 'an access token' ? 1 : 2);
			wait_for_requests(1, status => 503) if $name =~ /retry/;
			$since = time();
			$control->query("SELECT $how(" . $session->pid . ')');
		}
		my $result = $session->finish;
		my $ms = (time() - $since) * 1000;
		diag(sprintf '%-22s %-30s %6.1f ms', $how, $name, $ms);
		cmp_ok($ms, '<', time_to_end($control, $how), "$name: $how ends it at once");
		is($result->{sqlstate}, $how eq 'pg_terminate_backend' ? '57P01' : '57014', "$name: SQLSTATE of $how");
		next if $result->{dead};
		$session->query('RESET statement_timeout');
		still_works($session, "$name: the session goes on");
		is(settled($marche, $dora), $before, "$name: no descriptor is left");
	}
}
$session = session($node);

# ===================================================================
# Time-outs of the API are noticed while the Append sleeps
# ===================================================================
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD timeout_ms '300', ADD retries '0')");
stub_reset();
faults({ api => 'marche_inclusion', action => 'stall', times => -1 });
refuses($session, all_of($marche, $dora), { sqlstate => '08006', requests => 2 }, 'a reply that takes too long');
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (DROP timeout_ms, DROP retries)");

# ===================================================================
# A query that may stop early begins sources by 1, 2, 4 ...
# ===================================================================
my @five = ($marche, $dora, $urssaf, $kinds, 'SELECT 6, nom FROM data_inclusion.sources');
my $nothing = "SELECT 7, name FROM marche_inclusion.structures WHERE siret = '00000303800015' AND false IS NOT TRUE AND name = ''";
stub_reset();
asks($session, all_of(@five) . ' LIMIT 1', 1, $session->value(all_of($marche) . ' LIMIT 1') . "\n",
	'LIMIT 1 of five sources, the first of which has rows: one request');
stub_reset();
is(counted($session, "SELECT EXISTS (" . all_of(@five) . ")")->{requests}, 1, 'EXISTS: the same');
run_sql($session, 'BEGIN', 'DECLARE c CURSOR FOR ' . all_of(@five));
is(counted($session, 'FETCH 1 FROM c')->{requests}, 1, 'the first row of a cursor: the same');
is(counted($session, 'FETCH ALL FROM c')->{requests}, 4, 'and the others when more is asked');
run_sql($session, 'COMMIT');
stub_reset();
faults({ path => '/api/siae/*', delay_ms => 0 });
$result = counted($session, all_of($nothing, @five[ 1 .. 4 ]) . ' LIMIT 1');
cmp_ok($result->{requests}, '<=', 3, 'when the first has none, two more are asked');
cmp_ok($result->{requests}, '>=', 2, 'and not only the first');

# personal data: nobody is asked about in vain
my @persons = map { "SELECT ine FROM particulier.particulier_statut_etudiant_ine WHERE ine = '$_'" }
  qw(1234567890A 0987654321B);
unlike($session->query('EXPLAIN ' . all_of(@persons) . ' LIMIT 1')->{out}, qr/Async/,
	'persons are asked about in turn when one may do');
like($session->query('EXPLAIN ' . all_of(@persons))->{out}, qr/Async/, 'and together when all rows are wanted');

# ===================================================================
# The same request of two children is sent once; max_concurrency is theirs
# together
# ===================================================================
stub_reset();
$result = counted($session, 'SELECT count(*) FROM (' . join(' UNION ALL ', ($marche) x 3) . ') x');
is($result->{out} . $result->{requests}, "6\n1", 'one request for three children that ask the same');
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD max_concurrency '2')");
stub_reset();
faults({ action => 'stall', times => -1 });
$session->start(all_of(map { "SELECT name FROM marche_inclusion.structures WHERE siret = '$_'" }
	qw(00000301200010 00000302000013 00000303800015 00000304600018)));
wait_for_requests(2);
$control->query('SELECT pg_sleep(0.2)');
is(scalar(requests()), 2, 'four children of a server that takes two requests at once');
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
$session->finish;
stub_reset();
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (DROP max_concurrency)");

# ===================================================================
# It can be switched off, for a server and for a table
# ===================================================================
sub is_async { return $session->query('EXPLAIN ' . all_of(@_))->{out} =~ /Async/ ? 1 : 0; }
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD async_capable 'false')");
is(is_async($marche, $kinds), 0, 'a server without async_capable');
run_sql($control, "ALTER FOREIGN TABLE marche_inclusion.types_structures OPTIONS (ADD async_capable 'true')");
is(is_async($marche, $kinds), 1, 'a table of it that has it');
is($session->value(ordered($marche, $kinds)), $session->value("SET enable_async_append = off; " . ordered($marche, $kinds)),
	'beside one that has not');
run_sql($session, 'RESET enable_async_append');
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (DROP async_capable)",
	"ALTER FOREIGN TABLE marche_inclusion.types_structures OPTIONS (SET async_capable 'false')");
is(is_async($kinds, $kinds), 0, 'a table without it');
run_sql($control, "ALTER FOREIGN TABLE marche_inclusion.types_structures OPTIONS (DROP async_capable)");

# ===================================================================
# An Append that is begun anew, partitions that are pruned
# ===================================================================
my $again = "SELECT v.s, x.name FROM (VALUES ('$siret'), ('00000302000013'), ('00000303800015'), ('$siret')) v(s),"
  . " LATERAL (SELECT name FROM marche_inclusion.structures m WHERE m.siret = v.s"
  . " UNION ALL SELECT nom FROM data_inclusion.structures d WHERE d.siret = v.s OFFSET 0) x ORDER BY 1, 2";
my @on_off = map { $session->value("SET enable_async_append = $_; $again") } qw(off on);
is($on_off[1], $on_off[0], 'an Append read for each row of another table');
isnt($on_off[0], '', 'which has rows');
$again =~ s/OFFSET 0/LIMIT 1/;
is($session->query("SET enable_async_append = on; SELECT count(*) FROM ($again) y")->{out}, "4\n",
	'and left before its end each time');

# What was begun and is not wanted any more is not waited for: here it never
# comes.
stub_reset();
faults({ api => 'data_inclusion', action => 'stall', times => -1 });
run_sql($session, 'SET enable_material = off');
my $union_of_two = "(SELECT name FROM marche_inclusion.structures WHERE siret = '$siret'"
  . " UNION ALL SELECT nom FROM data_inclusion.structures) x";
my $semi = "FROM (VALUES ('A'), ('0')) v(t) WHERE EXISTS (SELECT FROM $union_of_two WHERE x.name > v.t)";
like($session->query("EXPLAIN SELECT $semi")->{out}, qr/Nested Loop Semi.*(?:Async.*){2}/s, 'a semijoin over an Append');
is($session->value("SELECT count(*) $semi"), '2', 'has what it wants with the first row, twice');
is($session->value("SELECT count(*) FROM (VALUES (1), (2)) v(i) CROSS JOIN (SELECT * FROM $union_of_two LIMIT 1) y"), '2',
	'and so has a LIMIT that is read twice');
run_sql($session, 'RESET enable_material');
stub_reset();

run_sql($control,
	'CREATE TABLE pieces (siret text, name text, kind text) PARTITION BY LIST (kind)',
	map { "CREATE FOREIGN TABLE piece_$_ PARTITION OF pieces FOR VALUES IN ('$_')"
		  . " SERVER marche_inclusion OPTIONS (\"table\" 'structures')" } qw(EI AI ACI));
my @pruned = ('SET plan_cache_mode = force_generic_plan',
	"PREPARE pieces(text) AS SELECT count(*), min(kind), max(kind) FROM pieces WHERE kind = \$1",
	"PREPARE two(text) AS SELECT count(DISTINCT kind) FROM pieces WHERE kind IN (\$1, 'EI') AND kind = kind");
run_sql($session, @pruned);
stub_reset();
$result = counted($session, "EXECUTE pieces('AI')");
like($result->{out}, qr/^[1-9]\d*\|AI\|AI$/, 'a partition chosen at run time');
is($result->{requests}, 1, 'one request, for it alone');
is($session->value("EXECUTE two('ACI')"), '2', 'two partitions chosen at run time');
is($session->value("EXECUTE pieces('ETTI')"), '0||', 'none of them');

# ===================================================================
# Savepoints, and a thousand queries: no descriptor, no memory is left
# ===================================================================
run_sql($session, 'BEGIN', 'SAVEPOINT here');
stub_reset();
faults({ api => 'marche_inclusion', status => 400, body => '{}', times => 1 });
isnt($session->query(all_of($marche, $dora))->{sqlstate}, undef, 'a source that fails within a savepoint');
run_sql($session, 'ROLLBACK TO here');
is($session->value(ordered($marche, $dora)), join("\n", grep { /^[12]\|/ } split /\n/, $expected),
	'and answers after it');
run_sql($session, 'COMMIT');

my $bad = "DO \$\$ DECLARE r record; BEGIN FOR r IN " . all_of($marche, $dora, $urssaf)
  . " LOOP IF %s THEN RAISE EXCEPTION 'enough'; END IF; END LOOP; EXCEPTION WHEN OTHERS THEN NULL; END \$\$";
my $held = settled($marche, $dora, $urssaf);
keeps_its_size($session, sub {
	my ($n) = @_;
	$session->query(join ';', map { sprintf $bad, $_ % 2 ? 'true' : 'false' } 1 .. $n);
}, 'a thousand queries, every other one of which fails half way, keep no memory');
is(settled($marche, $dora, $urssaf), $held, 'nor a descriptor');

done_testing();
