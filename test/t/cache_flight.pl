# Sessions that miss the same reply at the same moment: one of them asks, the
# others wait for its reply.  pg_regress cannot show it: it takes sessions at
# once, and the requests received.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('cache_flight', 'restart_after_crash = on');
my $claims = $node->data_dir . '/pg_stat_tmp/apigouv_fdw/claims';
my @keys = ($ApigouvTest::SIRET, '00000308700012');
my $list = "SELECT count(id) FROM marche_inclusion.structures WHERE kind = 'EI'";
my ($key, $key2) = map { "SELECT count(*) FROM entreprise.entreprise_certifications_rge WHERE siret = '$_'" } @keys;
my $pages = 'SELECT count(*), sum(hashtext(nom)) FROM pages.structures';
my $PATIENT_MS = 15_000;    # half of the server's timeout_ms
my $control = session($node);
my $url = stub_url();
my $definitions = own_definitions($node);
run_sql(my $maker = session($node),
	"CREATE SERVER pages FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'pages', base_url '$url/data_inclusion/api/v1')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER pages OPTIONS (token '" . token('data_inclusion') . "')",
	'CREATE SCHEMA pages', 'IMPORT FOREIGN SCHEMA pages FROM SERVER pages INTO pages');

# Nothing kept, nothing ordered, as many new sessions.
sub afresh
{
	my ($n, @with) = @_;
	stub_reset();
	run_sql($control, 'SELECT apigouv_clear_cache()');
	return map { session($node, @with) } 1 .. $n;
}

# Until all of these sleep, for a reply or for the session that asks.
sub wait_until_asleep
{
	my $pids = join ', ', map { $_->pid } @_;
	my $n = @_;
	ApigouvTest::wait_for(sub {
		$control->value("SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids)"
			. " AND state = 'active' AND wait_event_type = 'Extension'") == $n }, 'sessions that wait');
	return;
}

# New sessions, the first of which waits for a reply to its query that does not come.
sub stalled
{
	my ($n, $sql) = @_;
	my @sessions = afresh($n);
	faults({ action => 'stall', times => 1 });
	begin($sql, $sessions[0]);
	return @sessions;
}

# Let a cursor read a row of a key: it has asked, and has not done with the reply.
sub hold
{
	my ($session, $sql) = @_;
	run_sql($session, 'BEGIN', 'DECLARE c CURSOR FOR ' . $sql =~ s/count\(\*\)/siret/r, 'FETCH c');
	return;
}

sub cancel
{
	run_sql($control, 'SELECT pg_cancel_backend(' . $_->pid . ')') for @_;
	return;
}

# Start a query in each, one after the other.
sub begin
{
	my ($sql, @sessions) = @_;
	for my $session (@sessions)
	{
		$session->start($sql);
		wait_until_asleep($session);
	}
	return;
}

# What each gives, or its SQLSTATE; then the number of requests.
sub results
{
	my @results = map { my $result = $_->finish; ($result->{sqlstate} // '') . $result->{out} } @_;
	return join ' ', map({ tr/\n//dr } @results), scalar(requests());
}

# Descriptors of the file of claims: one while a session has some.
sub open_claims
{
	return scalar(grep { (readlink($_) // '') eq $claims } glob('/proc/' . $_[0]->pid . '/fd/*'));
}

# ===================================================================
# One request for all, where replies are kept
# ===================================================================
my %gives;
for my $sql ($list, $key, $pages)
{
	my $alone = counted($control, $sql);
	chomp($gives{$sql} = $alone->{out});
	$gives{$sql, 'requests'} = $alone->{requests};
}
cmp_ok($gives{ $pages, 'requests' }, '>', 3, 'a list in pages');
my @six = afresh(6);
stub_latency(500);
$_->start($list) for @six;
is(results(@six), "$gives{$list} " x 6 . 6, 'without cache_ttl_s, six sessions that ask the same send six requests');
ok(!-e $claims, 'and claim nothing');

run_sql($control, map { "ALTER SERVER $_ OPTIONS (ADD cache_ttl_s '3600')" } qw(marche_inclusion entreprise pages));
$node->safe_psql('postgres', 'CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA marche_inclusion, entreprise, pages TO plain;'
	. ' GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, entreprise, pages TO plain;'
	. join('', map { "CREATE USER MAPPING FOR plain SERVER $_->[0] OPTIONS (token '" . token($_->[1]) . "');" }
		  [qw(marche_inclusion) x 2], [qw(entreprise) x 2], [qw(pages data_inclusion)]));
for ([ 'a list', $list ], [ 'a key', $key ], [ 'a list in pages', $pages ])
{
	my ($name, $sql) = @$_;
	@six = (afresh(4), afresh(2, user => 'plain', options => '-c default_transaction_read_only=on'));
	stub_latency($sql eq $pages ? 50 : 500);
	my $before = descriptors($six[5]);
	$_->start($sql) for @six;
	is(results(@six), "$gives{$sql} " x 6 . $gives{ $sql, 'requests' }, "$name: six sessions ask once, all get the rows");
	is(open_claims($_), 0, "$name: no descriptor is left") for @six[0, 5];
}
my ($first, $second, $third) = stalled(3, $list);
begin("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $list", $second);
is(open_claims($first) . open_claims($second), '10', 'who asks has a descriptor, who waits has none');
cancel($first);
like($second->finish->{out}, qr/Requests: 1\n/, 'who waits sends when the first is cancelled');
is($first->finish->{sqlstate}, '57014', 'which it is');

# ===================================================================
# Whatever becomes of who asks, another takes over
# ===================================================================
for my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	($first, $second, $third) = stalled(3, $list);
	begin($list, $second, $third);
	is(scalar(requests()), 1, "$how: two wait for the first");
	run_sql($control, "SELECT $how(" . $first->pid . ')');
	is(results($second, $third), "$gives{$list} $gives{$list} 2", "$how: one of them takes over, for both");
	is($first->finish->{sqlstate}, $how =~ /cancel/ ? '57014' : '57P01', "$how: has ended the first");
}
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD retries '0')");
($first, $second, $third) = afresh(3);
faults({ status => 503, body => '', delay_ms => 1000, times => 1 });
begin($list, $first);
$_->start($list) for $second, $third;
is(results($first, $second, $third), "HV00M $gives{$list} $gives{$list} 2", 'a 503 is not for the others: they ask once more');
($first, $second) = afresh(2);
run_sql($first, 'BEGIN', 'DECLARE c CURSOR FOR ' . $key =~ s/count\(\*\)/siret/r, 'SAVEPOINT s', 'FETCH c');
is(open_claims($first), 1, 'a cursor that has not read its reply to the end');
run_sql($first, 'ROLLBACK TO s');
is(open_claims($first), 0, 'asks for nobody any more once its savepoint is rolled back');

# ===================================================================
# Who waits can be stopped at once; its own requests go on
# ===================================================================
($first, $second) = stalled(2, $list);
my $before = descriptors($second);
begin($list, $second);
my $since = time;
cancel($second);
is($second->finish->{sqlstate}, '57014', 'who waits is cancelled');
cmp_ok((time() - $since) * 1000, '<', 1000, 'at once');
is(descriptors($second), $before, 'and has as many descriptors as before');
run_sql($second, "SET statement_timeout = '200ms'");
my $late = $second->query($list);
is($late->{sqlstate}, '57014', 'statement_timeout');
cmp_ok($late->{ms}, '<', 1200, 'at its time');
run_sql($second, 'RESET statement_timeout');
is(scalar(requests()), 1, 'neither has sent anything');

# With one request at a time, the third leaves when the second has ended; only who waits can see it refused.
my @ids = split /\n/, $control->value('SELECT id FROM data_inclusion.structures ORDER BY id LIMIT 3');
run_sql($control, "ALTER SERVER data_inclusion OPTIONS (ADD max_concurrency '1')");
faults({ path => "/api/v1/structures/$ids[2]", status => 503, body => '', times => 1 });
run_sql($second, 'BEGIN', 'DECLARE c CURSOR FOR SELECT id FROM data_inclusion.structures WHERE id IN ('
	. join(', ', map { "'$_'" } @ids) . ')', 'FETCH 2 FROM c');
begin($list, $second);
wait_for_requests(2, path => qr{/$ids[2]$});
is(scalar(in_flight(path => qr{^/api/siae})), 1, 'a request of its own that must be repeated is, while it waits');
cancel($second, $first);    # the other way round the second may have its reply before
is(results($first, $second) =~ s/ \d+$//r, '57014 57014', 'until both are cancelled');

# ===================================================================
# Nobody waits in vain, nor two for each other
# ===================================================================
run_sql($control, "ALTER USER MAPPING FOR plain SERVER pages OPTIONS (SET token '" . token('data_inclusion_dora') . "')");
($first, $second) = (afresh(1), session($node, user => 'plain'));
faults({ action => 'stall', times => 1 });
begin($pages, $first);
my $other = $second->query($pages);
ok(!defined $other->{sqlstate} && $other->{ms} < $PATIENT_MS, 'another token does not wait') or diag($other->{err});
is(scalar(in_flight()), 1, 'for the first, which still does');
cancel($first);
$first->finish;

# Each holds the claim of a key, and asks for the other's.
($first, $second, $third) = afresh(3);
hold($first, $key);
hold($second, $key2);
is(open_claims($first) . open_claims($second), '11', 'two sessions have a claim each');
$_->[0]->start($_->[1]) for [ $first, $key2 ], [ $second, $key ];
my @crossed = map { $_->finish } $first, $second;
is(scalar(grep { defined $_->{sqlstate} || $_->{ms} > $PATIENT_MS } @crossed), 0, 'and do not wait for each other');

# Who asked, but does something else, is not waited for.
($first, $second) = afresh(2);
hold($first, $key);
my $result = $second->query($key);
is($result->{out} . ($result->{ms} < $PATIENT_MS), "$gives{$key}\n1", 'nobody waits for a cursor that idles');
($first, $second) = afresh(2);
run_sql($control, 'CREATE TABLE t ()');
run_sql($second, 'BEGIN', 'LOCK TABLE t');
hold($first, $key);
$first->start('LOCK TABLE t');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted') or die 'no lock is waited for';
$result = $second->query($key);
is($result->{out} . ($result->{ms} < $PATIENT_MS), "$gives{$key}\n1", 'nor for a session that waits for a lock, perhaps ours');
run_sql($second, 'COMMIT');
is($first->finish->{sqlstate}, undef, 'which then goes on');

# What is not kept in the end is not waited for at all.
($first, $second) = stalled(2, 'SELECT id FROM pages.structures LIMIT 5');
$result = $second->query('SELECT id FROM pages.structures LIMIT 5');
is($result->{out} =~ tr/\n//, 5, 'nobody waits for the beginning of a list in pages');
is(scalar(in_flight()), 1, 'which its LIMIT keeps from being kept');
cancel($first);
$first->finish;

# No longer than timeout_ms.
($first, $second) = stalled(2, $list);
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD timeout_ms '700')");
$result = $second->query($list);
is($result->{out}, "$gives{$list}\n", 'who has waited for timeout_ms sends');
cmp_ok($result->{ms}, '>=', 700, 'then, not before');
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (DROP timeout_ms)");
cancel($first);
$first->finish;

# ===================================================================
# Keys that travel together
# ===================================================================
my @sirets = split /\n/, $control->value(
	'SELECT DISTINCT siret FROM marche_inclusion.structures WHERE apigouv_siret(siret) = siret ORDER BY siret LIMIT 16');
my $many = 'SELECT count(DISTINCT siret) FROM marche_inclusion.structures WHERE siret IN ('
  . join(',', map { "'$_'" } @sirets) . ')';
is(my $found = $control->value($many), 16, '16 keys');
($first, $second) = afresh(2);
stub_latency(1000);
begin($many, $first);
wait_for_requests(4);
begin($many, $second);
is(results($first, $second), "$found $found 16", 'two sessions that ask 16 keys send 16 requests');

# ===================================================================
# kill -9
# ===================================================================
($first, $second) = stalled(2, $list);
begin($list, $second);
kill 'KILL', $first->pid;
$_->finish for $first, $second;
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
($first) = session($node);
$result = $first->query($list);
is($result->{out} . ($result->{ms} < $PATIENT_MS), "$gives{$list}\n1", 'a claim ends with its process, whatever ends that');

done_testing();
