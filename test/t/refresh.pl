# apigouv_refresh when things go wrong, and again and again: an API that stops,
# a token that ends, a key that fails among many, a cancel, a second run, a
# night in many small runs.  pg_regress cannot show it: it takes faults among
# many requests, several sessions, and counts of what was sent.
use strict;
use utf8;
use warnings;

use ApigouvDefinitions qw(with_check);
use ApigouvTest;
use JSON::PP;
use Test::More;

my $node = new_cluster('refresh');
my $session = session($node);
my $control = session($node);
my @COUNTS = qw(seen fresh waiting renewed unchanged empty failed left requests stopped message);

# Head offices that all exist, in the order of their keys, which is that of asking.
my @sirens = map { with_check(sprintf '%08d', 10_000 + $_) } 1 .. 60;
my $offices = 'entreprise.entreprise_siege_social';
my $paths = qr{^/v4/insee/sirene/unites_legales/};
run_sql($session, 'CREATE SCHEMA registre', "CREATE TABLE registre.sieges (LIKE $offices)",
	'CREATE INDEX ON registre.sieges (siren)', 'CREATE TABLE registre.tiers (siren text)',
	'INSERT INTO registre.tiers VALUES ' . join(', ', map { "('$_')" } @sirens), 'ANALYZE registre.tiers');

# The first n keys of the register are those of the run.
sub call
{
	my ($n, %with) = @_;
	my $target = delete $with{target} // 'registre.sieges';
	my $options = join '', map { ", $_ => $with{$_}" } sort keys %with;
	return "CALL apigouv_refresh('$target', '$offices',"
	  . " 'SELECT siren FROM registre.tiers ORDER BY siren LIMIT $n'$options)";
}

# What a run that has ended tells, by name; undef where it failed.
sub counts
{
	my ($result) = @_;
	if (defined $result->{sqlstate})
	{
		diag($result->{err});
		return;
	}
	chomp(my $line = $result->{out});
	my %counts;
	@counts{@COUNTS} = split /\|/, $line, -1;
	return \%counts;
}

# A run, with what the API received of it.
sub refresh
{
	my ($n, %with) = @_;
	ApigouvTest::control('forget', {});
	my $counts = counts($session->query(call($n, %with))) // return { stopped => 'error' };
	wait_until_idle();
	$counts->{received} = () = requests(path => $paths);
	return $counts;
}

# "name=count ..." of those that are named
sub told { my ($counts, @names) = @_; return join ' ', map { "$_=" . ($counts->{$_} // '') } @names; }

sub begin_anew
{
	faults();
	stub_latency(0);
	run_sql($session, 'TRUNCATE registre.sieges', 'DROP TABLE IF EXISTS registre.sieges_refresh',
		'SELECT apigouv_quota_forget()', "SELECT apigouv_clear_cache('entreprise')");
	return;
}

sub rows { return $control->value('SELECT count(*) FROM registre.sieges'); }

# ===================================================================
# Keys are asked together, each once
# ===================================================================
stub_latency(100);
my $counts = refresh(60);
is(told($counts, qw(seen renewed left requests received stopped)),
	'seen=60 renewed=60 left=0 requests=60 received=60 stopped=done', 'a register is filled');
is(most_at_once(requests(path => $paths)), 8, 'max_concurrency requests at once');
is(rows(), 60, 'a row for each key');
is($counts->{message}, '', 'no message');

# ===================================================================
# One key among many fails: that one alone, and no request twice
# ===================================================================
for my $case (
	[ 'no JSON', { action => 'garbage' }, 'HV00M', qr/could not read the response/ ],
	[ 'an error of the API', { status => 422, body => envelope('00301', 'Siren') }, 'HV00M', qr/HTTP status 422: HTTP 422, 00301: Siren/ ],
	[ 'a lost connection', { action => 'close', times => 9 }, '08006', qr/lost or too slow: / ],
	[ 'JSON of another shape', { status => 200, body => { data => [] }, times => -1 }, 'HV021', qr/./ ])
{
	my ($name, $fault, $sqlstate, $message) = @$case;
	begin_anew();
	run_sql($session, "INSERT INTO registre.sieges (siren, siret) VALUES ('$sirens[29]', 'ancien')");
	faults({ times => 1, api => 'entreprise', path => "/v4/insee/sirene/unites_legales/$sirens[29]/", %$fault });
	$counts = refresh(40);
	is(told($counts, qw(seen renewed failed left stopped)), 'seen=40 renewed=39 failed=1 left=0 stopped=done', "$name: the others are renewed");
	is($counts->{requests}, $counts->{received}, "$name: the requests told are those that arrived");
	my %asked;
	$asked{ $_->{path} }++ for requests(path => $paths);
	# an error that is no row's cancels what is under way, and that alone is asked again
	is(scalar(grep { $asked{$_} > 1 && !/$sirens[29]/ } keys %asked), 0, "$name: no other key is asked twice")
	  unless $sqlstate eq 'HV021';
	cmp_ok($counts->{requests}, '<=', 41 + 8, "$name: nor many") if $sqlstate eq 'HV021';
	is($control->value("SELECT siret FROM registre.sieges WHERE siren = '$sirens[29]'"), 'ancien', "$name: the key keeps its row");
	my $state = $control->value('SELECT siren, attempts, sqlstate, fetched_at IS NULL, message FROM registre.sieges_refresh WHERE sqlstate IS NOT NULL');
	like($state, qr/^$sirens[29]\|1\|$sqlstate\|t\|.*$message/s, "$name: its state says why");
	faults();
	is(told(refresh(40), qw(fresh waiting renewed)), 'fresh=39 waiting=1 renewed=0', "$name: it waits");
	is(told(refresh(40, retry_after => "'0'"), qw(fresh renewed received)), 'fresh=39 renewed=1 received=1', "$name: and is asked later");
	is($control->value('SELECT count(*) FROM registre.sieges_refresh WHERE sqlstate IS NOT NULL OR attempts > 0'), '0', "$name: then nothing is left of it");
}

# ===================================================================
# What stops a run: what was answered is committed, the rest is left
# ===================================================================
for my $case (
	[ 'quota', { status => 429, headers => { 'Retry-After' => '3600' }, body => '' }, qr/request quota is exhausted/ ],
	[ 'token', { status => 401, body => envelope('00103', 'Jeton') }, qr/refused the token/ ],
	[ 'refused', { status => 403, body => envelope('00100', 'Droits') }, qr/lack of rights/ ])
{
	my ($stopped, $fault, $message) = @$case;
	begin_anew();
	faults({ api => 'entreprise', path => '/v4/insee/sirene/*', skip => 30, times => -1, %$fault });
	$counts = refresh(60);
	is($counts->{stopped}, $stopped, "$stopped: the run stops") or diag(explain $counts);
	like($counts->{message}, $message, "$stopped: and says why");
	is($counts->{renewed}, 30, "$stopped: what was answered before is kept");
	# one that may be refused alone is not to stop the next run as well
	my $one = $stopped eq 'token' ? 0 : 1;
	is(told($counts, qw(failed left)), "failed=$one left=" . (30 - $one), "$stopped: the others have not failed");
	is(rows(), $counts->{renewed}, "$stopped: it is committed");
	faults();
	run_sql($session, 'SELECT apigouv_quota_forget()');
	is(told(refresh(60), qw(fresh waiting renewed received stopped)), "fresh=30 waiting=$one renewed=" . (30 - $one) . ' received='
		. (30 - $one) . ' stopped=done', "$stopped: the next run goes on");
}

# One key that is always refused does not keep the others from their turn.
begin_anew();
faults({ api => 'entreprise', path => "/v4/insee/sirene/unites_legales/$sirens[2]/", times => -1, status => 403, body => envelope('00100', 'Droits') });
$counts = refresh(30);
is(told($counts, qw(failed stopped)), 'failed=1 stopped=refused', 'one key is refused: the run stops');
# of the seven others of the first batch, those that were answered by then
cmp_ok($counts->{renewed}, '<=', 7, 'one key is refused: the first batch is the last');
is($counts->{left}, 29 - $counts->{renewed}, 'one key is refused: the others have not failed');
my $missing = $counts->{left};
is(told(refresh(30), qw(waiting renewed left stopped)), "waiting=1 renewed=$missing left=0 stopped=done", 'the next one does without it');

# Two keys of a batch fail in two ways: at the API, and here.
begin_anew();
run_sql($session, "ALTER TABLE registre.sieges ADD CONSTRAINT ici CHECK (siren <> '$sirens[13]')");
faults({ api => 'entreprise', path => "/v4/insee/sirene/unites_legales/$sirens[14]/", times => -1, status => 504, body => '' });
$counts = refresh(24);
is(told($counts, qw(renewed failed left stopped)), 'renewed=22 failed=2 left=0 stopped=done', 'each failure counts once');
is($control->value('SELECT siren, attempts, sqlstate FROM registre.sieges_refresh WHERE attempts > 0 ORDER BY siren'),
	"$sirens[13]|1|23514\n$sirens[14]|1|HV00M", 'and is its own');
run_sql($session, 'ALTER TABLE registre.sieges DROP CONSTRAINT ici');

# A statement's bound is no run's: batches are no larger.
begin_anew();
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 5');
is(told(refresh(24), qw(renewed requests stopped)), 'renewed=24 requests=24 stopped=done', 'max_requests_per_query bounds a batch');
run_sql($session, 'RESET apigouv_fdw.max_requests_per_query');

# An API in maintenance is not asked about the whole register.
begin_anew();
run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD retries '0')");
faults({ api => 'entreprise', path => '/v4/insee/sirene/*', times => -1, status => 503, body => '<html>' });
$counts = refresh(60);
is(told($counts, qw(renewed failed left received stopped)), 'renewed=0 failed=8 left=52 received=8 stopped=unavailable', '503: the first batch is enough');
like($counts->{message}, qr/is unavailable: HTTP 503/, '503: it says so');
faults({ api => 'entreprise', path => '/v4/insee/sirene/*', skip => 4, times => 4, status => 503, body => '<html>' });
is(told(refresh(60), qw(waiting renewed failed left stopped)), 'waiting=8 renewed=48 failed=4 left=0 stopped=done', 'four in a row are not all');

# Nor one whose replies are of another shape.
begin_anew();
faults({ api => 'entreprise', path => '/v4/insee/sirene/*', times => -1, status => 200, body => { data => [] } });
$counts = refresh(60);
# those of the first batch whose replies have come by then are counted, too
is(told($counts, qw(renewed stopped)), 'renewed=0 stopped=unavailable', 'another shape: five keys in a row are enough');
ok((grep { $counts->{failed} == $_ } 5 .. 8), 'another shape: what failed is of the first batch') or diag($counts->{failed});
is($counts->{left}, 60 - $counts->{failed}, 'another shape: the others are left');
cmp_ok($counts->{received}, '<=', 8 + 7 + 7 * 4, 'another shape: nor is the first batch asked again and again');

begin_anew();
my $url = stub_url();
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET base_url 'http://127.0.0.1:" . free_port() . "')");
$counts = refresh(60);
is(told($counts, qw(renewed failed left stopped)), 'renewed=0 failed=0 left=60 stopped=unavailable', 'no connection: the run stops');
like($counts->{message}, qr/^could not connect to foreign server "entreprise": /, 'no connection: it says so');
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET base_url '$url/entreprise', DROP retries)");

# ===================================================================
# The budget is what is sent, retries included
# ===================================================================
begin_anew();
faults({ api => 'entreprise', path => '/v4/insee/sirene/*', times => -1, action => 'close' });
$counts = refresh(60, max_requests => 7);
is(told($counts, qw(requests received stopped)), 'requests=7 received=7 stopped=budget', 'retries spend the budget, and stop with it');
begin_anew();
$counts = refresh(60, max_requests => 37, batch_size => 20);
is(told($counts, qw(renewed left requests received stopped)), 'renewed=37 left=23 requests=37 received=37 stopped=budget', 'every request of a budget is of use');

# ===================================================================
# A night in small runs, with faults between
# ===================================================================
my @weather = ([], [ { skip => 2, times => 1, status => 504, body => '' } ], [],
	[ { skip => 3, times => -1, status => 401, body => envelope('00103', 'Jeton') } ],
	[ { times => -1, status => 503, body => '' } ],
	[ { skip => 1, times => 1, action => 'garbage' } ],
	[ { skip => 4, times => 2, action => 'cut' }, { skip => 7, times => 1, status => 200, body => { data => [] } } ],
	[ { skip => 5, times => -1, status => 429, headers => { 'Retry-After' => '600' }, body => '' } ]);

# Runs of ten requests, each in a session of its own, until no key is due.
sub night
{
	my ($name) = @_;
	my ($runs, $sent, $rows, $counts) = (0, 0, rows());
	do
	{
		faults(map { +{ api => 'entreprise', path => '/v4/insee/sirene/*', %$_ } } @{ $weather[ $runs % @weather ] });
		run_sql($control, 'SELECT apigouv_quota_forget()');
		$session->quit;
		$session = session($node);
		$counts = refresh(60, max_requests => 10, retry_after => "'0'");
		$sent += $counts->{received};
		cmp_ok($counts->{received}, '<=', 10, "$name, run " . ++$runs . ': within its budget');
		is($counts->{requests}, $counts->{received}, "$name, run $runs: which it tells");
		cmp_ok(rows(), '>=', $rows, "$name, run $runs: no row is lost");
		$rows = rows();
	} while ($runs < 40 && ($counts->{stopped} ne 'done' || $counts->{failed}));
	is(told($counts, qw(stopped failed left)), 'stopped=done failed=0 left=0', "$name: after $runs runs, all keys are fresh");
	is($rows, 60, "$name: a row for each key");
	is($control->value('SELECT count(*) FROM registre.sieges GROUP BY siren HAVING count(*) > 1'), '', "$name: none twice");
	is($control->value('SELECT count(*) FROM registre.sieges_refresh WHERE fetched_at IS NULL OR sqlstate IS NOT NULL'), '0', "$name: none failed");
	diag("$name: $runs runs, $sent requests for 60 keys");
	return;
}

begin_anew();
run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD retries '1')");
night('the first night');
run_sql($session, "UPDATE registre.sieges_refresh SET fetched_at = fetched_at - interval '2 days'");
night('the second night');
run_sql($session, 'ALTER SERVER entreprise OPTIONS (DROP retries)');
faults();
is($session->value("SELECT count(*) FROM (SELECT siren, siret, etat_administratif FROM registre.sieges EXCEPT"
	. " SELECT siren, siret, etat_administratif FROM $offices WHERE siren IN (SELECT siren FROM registre.tiers)) AS d"), '0', 'what is here is what is there');
is(told(refresh(60, max_requests => 10), qw(fresh received)), 'fresh=60 received=0', 'the next run asks for nothing');

# ===================================================================
# Cancelled in the middle: what was done is done, and nothing is locked
# ===================================================================
for my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	begin_anew();
	ApigouvTest::control('forget', {});
	# 8, then 16 keys; one of the third batch is not answered
	faults({ api => 'entreprise', path => '/v4/insee/sirene/*', skip => 29, times => 1, action => 'stall' });
	my $victim = session($node);
	$victim->start(call(60));
	wait_for_requests(40, path => $paths, status => 200);

	# meanwhile; the first may send what it has begun
	my $sent = $session->value('SELECT apigouv_session_requests()');
	refuses($session, call(60), {
		sqlstate => '55006', message => 'table "registre.sieges" is being refreshed by another session',
		detail => 'Its process is ' . $victim->pid . '.' }, "$how: a second run is refused");
	is($session->value('SELECT apigouv_session_requests()'), $sent, "$how: and sends nothing");
	run_sql($session, "CREATE TABLE IF NOT EXISTS registre.autres (LIKE $offices)");
	is(counts($session->query(call(3, target => 'registre.autres', max_age => "'0'")))->{left}, '0', "$how: not that of another table");
	is(rows(), 24, "$how: what was done is committed");

	$control->query("SELECT $how(" . $victim->pid . ')');
	my $result = $victim->finish;
	is($result->{sqlstate}, $how eq 'pg_cancel_backend' ? '57014' : '57P01', "$how: the run ends");
	is(rows(), 24, "$how: nothing of it is lost");
	faults();
	if ($how eq 'pg_cancel_backend')
	{
		is(told(counts($victim->query(call(60))), qw(fresh renewed left stopped)), 'fresh=24 renewed=36 left=0 stopped=done',
			"$how: the same session goes on");
	}
	else
	{
		ApigouvTest::wait_for(sub { $control->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") eq '0' }, 'the end of the lock');
		is(told(refresh(60), qw(fresh renewed left stopped)), 'fresh=24 renewed=36 left=0 stopped=done', "$how: another session goes on");
	}
	is($control->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', "$how: no lock stays");
}

# Where replies may be kept, those of the batch that is lost serve the next run.
begin_anew();
my @sirets = qw(00000301200010 00000302000013 00000303800015 00000304600018 00000306100017 00000307900019 00000308700012 00000312900012);
run_sql($session, "ALTER SERVER marche_inclusion OPTIONS (ADD max_concurrency '1')",
	'CREATE TABLE registre.structures (LIKE marche_inclusion.structures)');
my $structures = "CALL apigouv_refresh('registre.structures', 'marche_inclusion.structures',"
  . " 'SELECT unnest(''{" . join(',', @sirets) . "}''::text[]) AS siret')";
faults({ api => 'marche_inclusion', path => "/api/siae/siret/$sirets[-1]/", times => 1, action => 'stall' });
ApigouvTest::control('forget', {});
$session->start($structures);
wait_for_requests(1, path => qr/$sirets[-1]/);
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'the last of eight keys, one after the other, is cancelled');
is(told(counts($session->query($structures)), qw(fresh renewed requests stopped)), 'fresh=0 renewed=8 requests=1 stopped=done',
	'the next run asks for that one only');

# A session that has waited for the lock has it between two batches.
begin_anew();
faults({ api => 'entreprise', path => '/v4/insee/sirene/*', skip => 10, times => 1, delay_ms => 2000 });
ApigouvTest::control('forget', {});
$session->start(call(60));
wait_for_requests(11, path => $paths);
my $other = session($node);
my $lock = "1634756967, 'registre.sieges'::regclass::oid::int";
$other->start("SELECT pg_advisory_lock($lock)");
ApigouvTest::wait_for(sub { $control->value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") eq '1' },
	'a session that waits');
is(told(counts($session->finish), qw(renewed left stopped)), 'renewed=24 left=36 stopped=other run', 'another run has begun: this one ends');
$other->finish;
$other->quit;

# ===================================================================
# An end that comes during the run
# ===================================================================
begin_anew();
stub_latency(200);
$counts = refresh(60, batch_size => 8, ends_at => "clock_timestamp() + interval '500 milliseconds'");
is($counts->{stopped}, 'time', 'the end stops the run');
cmp_ok($counts->{renewed}, '>', 0, 'after some keys');
cmp_ok($counts->{left}, '>', 0, 'and before all');
is(rows(), $counts->{renewed}, 'what was done is committed');

# ===================================================================
# Settings of the session are as they were
# ===================================================================
begin_anew();
run_sql($session, "SET apigouv_fdw.on_failure = 'error'", 'SET search_path = registre, public', 'SET client_min_messages = notice');
refresh(5);
is($session->value("SELECT current_setting('apigouv_fdw.on_failure') || ' ' || current_setting('search_path') || ' '"
	. " || current_setting('client_min_messages')"), 'error registre, public notice', 'nothing stays set');

done_testing();
