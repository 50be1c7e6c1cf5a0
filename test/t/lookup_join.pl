# Lookup joins: what one session alone cannot show, or needs faults.  That
# requests travel together is proved by the times that the local API server
# noted; that errors, bounds, roles and tokens are those of the plain nested
# loop, by running the same query with apigouv_fdw.enable_lookup_join = off.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use JSON::PP;
use List::Util qw(min);
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('lookup_join');
my $control = session($node);
my $session;
my ($rows, $given) = (60, 0);

run_sql($control,
	# else the list would be read
	"ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '1000000')",
	"ALTER SERVER marche_inclusion OPTIONS (ADD retries '1')",
	"CREATE TABLE registre AS SELECT n, 1000 + n AS id FROM generate_series(1, 200) AS n WHERE n <> 16",
	'ALTER TABLE registre ADD PRIMARY KEY (n)',
	"CREATE TABLE departements AS SELECT n, lpad(n::text, 2, '0') AS code FROM generate_series(21, 95) AS n",
	'ANALYZE registre, departements',
	'GRANT SELECT ON registre TO PUBLIC');

my $by_id = "SELECT r.n, s.id FROM registre r JOIN marche_inclusion.structures s ON s.id = r.id AND r.n <= %s";

sub joined
{
	my ($n) = @_;
	return sprintf $by_id, $n;
}

sub without { return "SET apigouv_fdw.enable_lookup_join = off"; }
sub with { return "SET apigouv_fdw.enable_lookup_join = on"; }

sub is_lookup
{
	my ($query, $name) = @_;
	return like($session->value("EXPLAIN (COSTS OFF) $query"), qr/Lookup Join/, "$name: a lookup join");
}

sub set_concurrency
{
	my ($n) = @_;
	run_sql($control, 'ALTER SERVER marche_inclusion OPTIONS (' . ($given++ ? 'SET' : 'ADD') . " max_concurrency '$n')");
	return;
}

sub lines { return scalar(split /\n/, $_[0]{out}); }

# ===================================================================
# In the first statement of a session, with nothing preloaded
# ===================================================================
is($control->value('SHOW session_preload_libraries') . $control->value('SHOW shared_preload_libraries'), '',
	'nothing is preloaded');
$session = session($node);
is_lookup(joined(10), 'the first statement of a session');

set_concurrency(16);
$session = session($node);
my ($result, @log) = measured($session, 150, joined(16));
is(lines($result), 15, 'the first statement of another: the rows');
is(most_at_once(@log), 15, 'all its requests at once');

# ===================================================================
# As many requests at once as max_concurrency, from the first on
# ===================================================================
for my $n (1, 4, 16)
{
	set_concurrency($n);
	($result, @log) = measured($session, $n == 1 ? 5 : 50, joined($rows));
	is(lines($result) . ' ' . @log, '59 59', "max_concurrency $n: all rows, a request for each key");
	is(most_at_once(@log), $n, "max_concurrency $n: as many at once, no more");
	my @started = sort { $a <=> $b } map { $_->{started} } @log;
	my $first_end = min(map { $_->{ended} } @log);
	is(scalar(grep { $_ < $first_end } @started), $n, "max_concurrency $n: from the first on");
	diag(sprintf '59 keys at 50 ms, max_concurrency %d: %.0f ms', $n, $result->{ms}) if $n > 1;
}
is(join(' ', $result->{out} =~ /^(\d+)\|/mg), join(' ', 1 .. 15, 17 .. 60), 'the rows are in the order of the outer side');

# The keys of one join are the rows of another: both at once.
my $nested = 'SELECT r.n, a.siren FROM registre r JOIN marche_inclusion.structures s ON s.id = r.id'
  . ' JOIN entreprise.entreprise_attestation_fiscale a ON a.siren = s.siren WHERE r.n <= 12';
$session->query("SET apigouv_fdw.on_failure = 'row'");
($result, @log) = measured($session, 150, $nested);
is(most_at_once(grep { $_->{api} eq 'marche_inclusion' } @log), 12, 'one in the other: the inner keys at once');
cmp_ok(most_at_once(grep { $_->{api} eq 'entreprise' } @log), '>=', 6, 'and those made of their rows');
cmp_ok($result->{ms}, '<', 1500, 'in little more than two latencies');
diag(sprintf 'two lookups of 12 keys at 150 ms: %.0f ms', $result->{ms});
run_sql($session, without());
is(join(' ', sort split /\n/, $session->query($nested)->{out}), join(' ', sort split /\n/, $result->{out}),
	'the same rows as without');
run_sql($session, with(), 'RESET apigouv_fdw.on_failure');

# ===================================================================
# What was asked ahead and is not needed: not waited for, its error not told
# ===================================================================
# 1, then 2 and 3
for my $fault ({ action => 'stall' }, { status => 500, body => 'x' }, { action => 'garbage' }, { action => 'reset' })
{
	my $what = $fault->{action} // $fault->{status};
	stub_reset();
	faults({ api => 'marche_inclusion', path => '/api/siae/1003/', times => -1, %$fault });
	$result = $session->query(joined($rows) . ' LIMIT 2');
	is($result->{out} . ($result->{sqlstate} // ''), "1|1001\n2|1002\n", "LIMIT 2, $what for the third key: two rows");
	ok((grep { $_->{path} eq '/api/siae/1003/' } requests()), "$what: it was asked");
	faults();
	wait_until_idle();
	pass("$what: nothing is left of it");
}

# A cursor that stays open meanwhile, and is read on once the API is well.
stub_reset();
faults({ api => 'marche_inclusion', path => '/api/siae/1003/', times => 1, status => 500, body => 'x' });
run_sql($session, 'BEGIN', 'DECLARE c CURSOR FOR ' . joined(20));
is($session->value('FETCH 2 FROM c'), "1|1001\n2|1002", 'a cursor before the key that fails');
refuses($session, 'FETCH 1 FROM c', { sqlstate => 'HV00M', context => qr/^foreign table "structures", key id = "1003"/ },
	'the error is told when its row is fetched');
run_sql($session, 'ROLLBACK');
still_works($session, 'and the session goes on');

# ===================================================================
# An error of the 50th key is the error without the lookup join
# ===================================================================
set_concurrency(8);
sub error_of
{
	my ($query, @faults) = @_;
	stub_reset();
	faults(map { { api => 'marche_inclusion', times => -1, %$_ } } @faults);
	my $failed = $session->query($query);
	wait_until_idle();
	# a connection that was kept and is dead costs an attempt more
	s/$ApigouvTest::REQUEST_ID|, after \d+ attempts// for grep { defined } $failed->{detail};
	return join "\n", map { $failed->{$_} // '-' } qw(sqlstate message detail hint context);
}

$session->query('SET apigouv_fdw.keep_after_error_s = 0');
for my $case (
	[ 'HTTP 500', { path => '/api/siae/1050/', status => 500, body => 'x' } ],
	[ 'HTTP 400 with a text', { path => '/api/siae/1050/', status => 400, body => { detail => 'Non.' } } ],
	[ 'a connection reset', { path => '/api/siae/1050/', action => 'reset' } ],
	[ 'garbage', { path => '/api/siae/1050/', action => 'garbage' } ],
	[ 'two errors, the second comes first', { path => '/api/siae/1050/', status => 500, body => 'x', delay_ms => 200 },
		{ path => '/api/siae/1052/', status => 400, body => 'y' } ])
{
	my ($name, @faults) = @$case;
	my $with = error_of(joined($rows), @faults);
	run_sql($session, without());
	my $without = error_of(joined($rows), @faults);
	run_sql($session, with());
	is($with, $without, "the 50th of 59 keys, $name: the same error");
	like($with, qr/key id = "1050"/, "$name: of that key");
}
still_works($session, 'the session goes on after these');

# With a row for each key that fails.
my $with_errors = "SELECT r.n, s.id, s.erreur FROM registre r LEFT JOIN marche_inclusion.structures s ON s.id = r.id"
  . " WHERE r.n <= $rows";
my %rows_of;
for my $mode ('on', 'off')
{
	run_sql($session, "SET apigouv_fdw.enable_lookup_join = $mode", "SET apigouv_fdw.on_failure = 'row'");
	is_lookup($with_errors, 'on_failure = row') if $mode eq 'on';
	stub_reset();
	faults(map { { api => 'marche_inclusion', path => "/api/siae/$_/", times => -1, status => 500, body => 'x' } } 1003, 1040);
	$rows_of{$mode} = $session->query($with_errors);
}
run_sql($session, with(), 'RESET apigouv_fdw.on_failure');
faults();
is($rows_of{on}{out}, $rows_of{off}{out}, 'on_failure = row: the same rows');
is(scalar(() = $rows_of{on}{out} =~ /HTTP 500/g), 2, 'two of them tell of an error');
is(join("\n", @{ $rows_of{on}{notices} }), join("\n", @{ $rows_of{off}{notices} }), 'and the same warnings');

# ===================================================================
# max_requests_per_query: no more than that, and rows before what is ahead
# ===================================================================
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 20');
my %bound;
for my $mode ('on', 'off')
{
	run_sql($session, "SET apigouv_fdw.enable_lookup_join = $mode");
	$bound{$mode} = counted($session, joined($rows));
}
is("$bound{off}{sqlstate} $bound{off}{requests}", '53400 20', 'a bound of 20 requests without: 20, then an error');
is("$bound{on}{sqlstate} $bound{on}{message}", "53400 $bound{off}{message}", 'the same error with');
# it may be known to be too many before the first has left
cmp_ok($bound{on}{requests}, '<=', 20, 'and no more requests');
run_sql($session, with());
asks($session, 'SELECT count(*) FROM (' . joined(21) . ') s', 20, "20\n", '20 keys: just enough');
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 5');
asks($session, 'SELECT count(*) FROM (' . joined($rows) . ' LIMIT 5) s', 5, "5\n",
	'LIMIT 5 under a bound of 5: what is read ahead does not spend what the rows need');
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 0', 'BEGIN');
refuses($session, joined($rows), { sqlstate => '53400', requests => 0 }, 'caches only: an error, no request');
run_sql($session, 'ROLLBACK', 'RESET apigouv_fdw.max_requests_per_query');

# ===================================================================
# Cancel, statement_timeout and the end of the backend, in mid-batch
# ===================================================================
for my $way (
	[ 'pg_cancel_backend', '57014', sub { $control->query('SELECT pg_cancel_backend(' . $_[0]->pid . ')') } ],
	[ 'statement_timeout', '57014', undef ],
	[ 'pg_terminate_backend', '57P01', sub { $control->query('SELECT pg_terminate_backend(' . $_[0]->pid . ')') } ])
{
	my ($name, $sqlstate, $act) = @$way;
	my $other = session($node);
	$other->query($ApigouvTest::GOOD_QUERY);
	stub_reset();
	faults({ api => 'marche_inclusion', skip => 10, times => -1, action => 'stall' });
	$other->query("SET statement_timeout = '400ms'") unless $act;
	$other->start(joined($rows));
	my $since = time();
	if ($act)
	{
		ApigouvTest::wait_for(sub { in_flight() >= 8 }, 'requests that stall');
		$since = time();
		$act->($other);
	}
	my $ended = $other->finish;
	my $ms = (time() - $since) * 1000 - ($act ? 0 : 400);
	diag(sprintf '%-22s in the middle of a batch %6.1f ms', $name, $ms);
	is($ended->{sqlstate}, $sqlstate, "$name in the middle of a batch");
	cmp_ok($ms, '<', time_to_end($control, $name), "$name: at once");
	faults();
	wait_until_idle();
	next if $ended->{dead};
	$other->query('RESET statement_timeout');
	still_works($other, "$name: the session goes on");
}

# ===================================================================
# Savepoints, and a cursor over a lookup join
# ===================================================================
run_sql($session, 'BEGIN', 'DECLARE c CURSOR FOR ' . joined(30));
is($session->value('FETCH 2 FROM c'), "1|1001\n2|1002", 'a cursor');
run_sql($session, 'SAVEPOINT one');
is($session->value('FETCH 2 FROM c'), "3|1003\n4|1004", 'is read on in a savepoint');
refuses($session, 'SELECT 1 / 0', { sqlstate => '22012' }, 'which fails');
run_sql($session, 'ROLLBACK TO one');
my $rest = counted($session, 'FETCH ALL FROM c');
is(join(' ', $rest->{out} =~ /^(\d+)\|/mg), join(' ', 5 .. 15, 17 .. 30), 'and goes on after it was rolled back');
run_sql($session, 'CLOSE c');
asks($session, 'SELECT count(*) FROM (' . joined(30) . ') s', 0, "29\n", 'all that it asked is known');
run_sql($session, 'COMMIT');

# One that was opened in the savepoint goes with it, and what it asked stays.
stub_reset();
run_sql($session, 'BEGIN', 'SAVEPOINT one', 'DECLARE c CURSOR FOR ' . joined(30));
$session->value('FETCH 4 FROM c');
run_sql($session, 'ROLLBACK TO one');
refuses($session, 'FETCH 1 FROM c', { sqlstate => '34000' }, 'a cursor of the savepoint is gone');
run_sql($session, 'ROLLBACK TO one');
is($session->value('SELECT count(*) FROM (' . joined(30) . ') s'), '29', 'the same join again');
# but for those that nobody waited for any more
cmp_ok(scalar(requests()), '<=', 29 + 3, 'each key was asked once');
run_sql($session, 'COMMIT');

# An error of the API in a savepoint, while keys after it are on their way.
stub_reset();
faults({ api => 'marche_inclusion', path => '/api/siae/1005/', times => 1, status => 500, body => 'x' });
stub_latency(50);
run_sql($session, 'BEGIN', 'SAVEPOINT one');
refuses($session, joined(30), { sqlstate => 'HV00M' }, 'an error in a savepoint');
stub_latency(0);
run_sql($session, 'ROLLBACK TO one');
is($session->value('SELECT count(*) FROM (' . joined(30) . ') s'), '29', 'the same join again');
is(scalar(requests(path => '/api/siae/1005/')), 2, 'the key that failed was asked again');
cmp_ok(scalar(requests()), '<=', 29 + 9, 'and no more than those that were under way');
run_sql($session, 'COMMIT');

# ===================================================================
# Whose token: that of the view's owner
# ===================================================================
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE owner LOGIN; CREATE ROLE nobody LOGIN; CREATE ROLE reader LOGIN;
GRANT USAGE ON SCHEMA marche_inclusion TO owner, nobody, reader;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion TO owner, nobody, reader;
CREATE USER MAPPING FOR owner SERVER marche_inclusion OPTIONS (token '@{[ token('marche_inclusion_autre') ]}');
CREATE USER MAPPING FOR reader SERVER marche_inclusion OPTIONS (token '@{[ token('marche_inclusion') ]}');
CREATE SCHEMA vues AUTHORIZATION owner;
GRANT USAGE ON SCHEMA vues TO PUBLIC;
SET ROLE owner;
CREATE VIEW vues.structures AS SELECT * FROM marche_inclusion.structures;
GRANT SELECT ON ALL TABLES IN SCHEMA vues TO PUBLIC;
SQL
my $nobody = session($node, user => 'nobody');
my $reader = session($node, user => 'reader');
refuses($nobody, joined(5), { sqlstate => '42704', requests => 0 }, 'no user mapping: an error, no request');
my $of_view = joined(5) =~ s/marche_inclusion\.structures/vues.structures/r;
like($nobody->value("EXPLAIN (COSTS OFF) $of_view"), qr/Lookup Join/, 'a view: a lookup join');
is($nobody->value("SELECT count(*) FROM ($of_view) s"), '5', 'with the mapping of its owner');
# two roles in one statement have a reply each
stub_reset();
is($reader->value('SELECT count(*) FROM registre r JOIN marche_inclusion.structures s ON s.id = r.id'
		. ' JOIN vues.structures v ON v.id = r.id WHERE r.n <= 5'), '5', 'the caller and the owner of a view in one query');
is(scalar(requests()), 10, 'a request each for each key');

# ===================================================================
# An access token that ends in mid-batch is renewed once
# ===================================================================
my $tensions = 'SELECT count(*) FROM departements d JOIN marche_travail.marche_travail_tensions t'
  . " ON t.code_territoire = d.code AND t.code_type_territoire = 'DEP' AND t.code_rome = 'D1102' AND t.derniere_periode";
is_lookup($tensions, 'departments');
run_sql($session, without());
my $expected = $session->value($tensions);
run_sql($session, with());
$session = session($node);
stub_reset();
is($session->value($tensions), $expected, 'many requests and no token yet: the rows');
is(scalar(requests(path => qr/access_token/)), 1, 'one token');
stub_reset();
stub_latency(50);
$session->start($tensions);
wait_for_requests(20, path => qr/partenaire/);
stub_options(expire_tokens => JSON::PP::true);
$result = $session->finish;
stub_latency(0);
is($result->{out}, "$expected\n", 'ended in the middle: the rows') or diag($result->{err});
is(scalar(requests(path => qr/access_token/)), 1, 'one new token');
my @refused = requests(api => 'marche_travail', status => 401);
cmp_ok(scalar(@refused), '>=', 1, 'some requests were refused');
is(scalar(requests(path => qr/partenaire/)) - @refused, 75, 'and each was sent again once');

# ===================================================================
# Nobody is asked about without need
# ===================================================================
set_concurrency(8);
run_sql($session, "CREATE TEMP TABLE sirens AS SELECT n, left(siret, 9) AS siren FROM (VALUES (1, '00000301200010'), (2, '00000302000013'),"
	  . " (3, '00000303800015'), (4, '00000306100017'), (5, '00000307900019')) AS v (n, siret)", 'ANALYZE sirens');
my $mandataires = 'SELECT m.siren FROM sirens r JOIN entreprise.entreprise_mandataires_sociaux m ON m.siren = r.siren';
is_lookup($mandataires, 'personal data');
($result, @log) = measured($session, 50, "$mandataires LIMIT 100");
is(most_at_once(@log), 1, 'personal data, a query that may stop early: one key after the other');
($result, @log) = measured($session, 50, $mandataires);
is(most_at_once(@log), 5, 'all rows are wanted: all keys at once');

# ===================================================================
# Long, wide, nested in the executor: the rows without
# ===================================================================
run_sql($session,
	'CREATE TEMP TABLE longue AS SELECT n, CASE WHEN n % 2 = 0 THEN 1001 + n % 13 END AS id FROM generate_series(1, 7000) AS n',
	'CREATE TEMP TABLE large AS SELECT n, 1000 + n AS id, repeat(md5(n::text), 3000) AS texte FROM generate_series(1, 40) AS n WHERE n <> 16',
	'ALTER TABLE large ALTER texte SET STORAGE EXTERNAL', 'ANALYZE longue, large',
	'CREATE FUNCTION noms(int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r record; t text = current_user; BEGIN'
	  . ' FOR r IN SELECT s.name FROM registre a JOIN marche_inclusion.structures s ON s.id = a.id WHERE a.n IN ($1, $1 + 1)'
	  . ' ORDER BY 1 LOOP t := t || r.name; END LOOP; RETURN t; END $$');
for my $case (
	[ 'more rows than are read ahead, half of them NULL', 7000,
		'SELECT l.n, s.id FROM longue l LEFT JOIN marche_inclusion.structures s ON s.id = l.id ORDER BY 1' ],
	[ 'rows larger than work_mem', 39,
		"SELECT l.n, s.id, md5(l.texte) FROM large l JOIN marche_inclusion.structures s ON s.id = l.id ORDER BY 1" ],
	[ 'a recursive query', 40,
		'WITH RECURSIVE t (n, id) AS (VALUES (0, 1001), (0, 1020), (0, 1003), (0, 1050) UNION ALL'
		  . ' SELECT t.n + 1, s.id FROM t JOIN marche_inclusion.structures s ON s.id = t.id + 1 WHERE t.n < 9) TABLE t ORDER BY n, id' ],
	[ 'correlated, in the list of results', 30,
		'SELECT g, (SELECT sum(s.id + g) FROM registre a JOIN marche_inclusion.structures s ON s.id = a.id WHERE a.n IN (g, g + 3))'
		  . ' FROM generate_series(1, 30) g' ],
	[ 'in the condition of another scan', 5,
		'SELECT a.n FROM registre a WHERE a.n < 15 AND EXISTS (SELECT FROM registre b JOIN marche_inclusion.structures s ON s.id = b.id'
		  . ' WHERE b.n = a.n AND s.kind IN (SELECT kind FROM marche_inclusion.structures WHERE id = 1001)) ORDER BY 1' ],
	[ 'in a function that a join calls', 10,
		'SELECT r.n, noms(r.n) FROM registre r JOIN marche_inclusion.structures s ON s.id = r.id WHERE r.n < 11 ORDER BY 1' ])
{
	my ($name, $n, $query) = @$case;
	my @is;
	for my $mode (with(), without())
	{
		run_sql($session, 'BEGIN', $mode, "SET LOCAL work_mem = '64kB'");
		is_lookup($query, $name) unless @is || $name =~ /^in |^correlated/;
		push @is, $session->query($query);
		run_sql($session, 'COMMIT');
	}
	diag($_->{err}) for grep { defined $_->{sqlstate} } @is;
	ok($is[0]{out} eq $is[1]{out}, "$name: the rows without");
	is(lines($is[0]), $n, "$name: all of them");
}
run_sql($session, with());

# Cursors that go back, or outlive their transaction.
for my $how ('SCROLL CURSOR', 'CURSOR WITH HOLD')
{
	run_sql($session, 'BEGIN', "DECLARE c $how FOR " . joined(12));
	my $first = $session->value('FETCH 3 FROM c');
	if ($how =~ /HOLD/) { run_sql($session, 'COMMIT'); }
	else { run_sql($session, 'MOVE BACKWARD ALL FROM c', 'MOVE 3 FROM c'); }
	is("$first\n" . $session->value('FETCH ALL FROM c'), join("\n", map { "$_|" . (1000 + $_) } 1 .. 12), "$how: the rows");
	run_sql($session, 'CLOSE c', $how =~ /HOLD/ ? () : 'COMMIT');
}
run_sql($session, 'CREATE TEMP TABLE vues (n int)');
my $procedure = $session->query('DO $$ DECLARE une record; BEGIN FOR une IN ' . joined(20)
	  . ' LOOP INSERT INTO vues VALUES (une.n); COMMIT; END LOOP; END $$');
is($session->value('SELECT count(*) FROM vues') . ($procedure->{sqlstate} // ''), '19', 'a loop that commits');

# ===================================================================
# No memory is kept
# ===================================================================
run_sql($session, 'BEGIN');
keeps_its_size($session, sub {
	my ($times) = @_;
	$session->query("DO \$\$ BEGIN FOR i IN 1 .. $times LOOP"
		  . ' PERFORM r.n, s.id FROM registre r JOIN marche_inclusion.structures s ON s.id = r.id AND r.n <= 5; END LOOP; END $$');
}, 'lookup joins of keys that are known');
run_sql($session, 'COMMIT');

still_works($session, 'the session goes on after all these');
done_testing();
