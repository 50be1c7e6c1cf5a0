# apigouv_progress and the wait events: what a session waits for, how far it
# is, and who may see it.  pg_regress cannot show it: it takes a session that
# waits while another one looks.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvStages;
use ApigouvTest;
use Test::More;

my $node = new_cluster('progress', "restart_after_crash = on\napigouv_fdw.keep_after_error_s = 0\n");
my $watcher = session($node);
my $session = session($node);
my $names_waits = $watcher->value('SHOW server_version_num') >= 170000;
my $sirets = join ', ', map { "'$_'" } qw(00000301200010 00000302000013 00000303800015);

# Columns of a session's row, or '' when it has none.
sub progress
{
	my ($of, $columns, $as) = @_;
	return ($as // $watcher)->value("SELECT concat_ws('|', $columns) FROM apigouv_progress WHERE pid = " . $of->pid);
}

# Until a session's row says so.
sub wait_for_progress
{
	my ($of, $columns, $wanted) = @_;
	my @seen = ('');
	eval {
		ApigouvTest::wait_for(
			sub {
				my $is = progress($of, $columns);
				push @seen, $is if $is ne $seen[-1];
				return $is eq $wanted;
			},
			'progress');
		1;
	} or diag('it was: ', join(', ', @seen));
	is($seen[-1], $wanted, $wanted);
	return;
}

# Wait events have names from PostgreSQL 17 on; before, all are "Extension".
sub wait_event_is
{
	my ($of, $wanted, $name) = @_;
	$wanted = 'Extension' unless $names_waits;
	is($watcher->value('SELECT wait_event_type || \' \' || wait_event FROM pg_stat_activity WHERE pid = ' . $of->pid),
		"Extension $wanted", "pg_stat_activity: $name");
	return;
}

# Cancel what a session waits for; nothing of it is shown any more.
sub cancel
{
	my ($of, $name) = @_;
	$watcher->query('SELECT pg_cancel_backend(' . $of->pid . ')');
	is($of->finish->{sqlstate}, '57014', "$name: cancelled");
	is(progress($of, 'pid'), '', "$name: its row goes");
	stub_reset();
	return;
}

# ===================================================================
# Replies
# ===================================================================
stub_reset();
faults({ path => '/api/siae/siret/00000303800015/', action => 'stall', times => 1 });
$session->start("SELECT id FROM marche_inclusion.structures WHERE siret IN ($sirets)");
wait_for_progress($session, 'phase, server, schema, "table", requests, cache_hits, requests_foreseen',
	'requests|marche_inclusion|marche_inclusion|structures|2|0|3');
is(progress($session, 'role, database, waits_until, "limit"'), 'postgres|postgres', 'who and where');
is(progress($session, 'begun_at <= clock_timestamp() AND begun_at > clock_timestamp() - interval \'1 hour\''), 't',
	'since when');
wait_event_is($session, 'ApigouvHttp', 'waits for a reply');
is($watcher->value('SELECT count(*) FROM apigouv_progress'), '1', 'nobody else has a row');
cancel($session, 'a reply');

# what caches give, and a list in pages, whose total tells how many
run_sql($session, 'BEGIN', "SELECT FROM marche_inclusion.structures WHERE siret = '00000301200010'");
faults({ path => '/api/siae/siret/00000303800015/', action => 'stall', times => 1 });
$session->start("SELECT id FROM marche_inclusion.structures WHERE siret IN ($sirets)");
wait_for_progress($session, 'phase, requests, cache_hits, requests_foreseen', 'requests|1|1|3');
cancel($session, 'caches');
run_sql($session, 'ROLLBACK');

# the keys of a join, from the planner
run_sql($watcher, 'CREATE TABLE registre AS SELECT id FROM generate_series(1001, 1015) AS id', 'ANALYZE registre');
faults({ path => '/api/siae/1015/', action => 'stall', times => 1 });
$session->start('SET enable_memoize = off; SELECT count(s.id) FROM registre AS r'
	  . ' LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures AS s WHERE s.id = r.id OFFSET 0) AS s ON true');
wait_for_progress($session, 'phase, requests', 'requests|14');
cancel($session, 'a nested loop');
faults({ path => '/api/siae/1015/', action => 'stall', times => 1 });
$session->start('SELECT count(s.name) FROM registre AS r JOIN marche_inclusion.structures AS s ON s.id = r.id');
wait_for_progress($session, 'phase, requests, requests_foreseen', 'requests|14|15');
cancel($session, 'a lookup join');

# ===================================================================
# A document, children of an Append, an access token
# ===================================================================
prepare_stages($watcher);
for my $stage (all_stages(0))
{
	my ($name, $query, undef, $begun) = @$stage;
	my $is_retry = $name =~ /^the wait (?:that|after|before)/;

	begin_stage($watcher, $stage);
	$session->start($query);
	ApigouvTest::wait_for(sub { $begun->($session, $watcher) }, $name);
	ApigouvTest::wait_for(
		sub { progress($session, 'phase') eq ($is_retry ? 'waits to retry' : 'requests') }, "$name: the phase");
	pass("$name: " . progress($session, 'phase'));
	wait_event_is($session, $is_retry ? 'ApigouvRetry' : 'ApigouvHttp', $name);
	if ($is_retry)
	{
		is(progress($session, "waits_until > clock_timestamp() AND waits_until < clock_timestamp() + interval '101 s'"),
			't', "$name: until when");
	}
	is(progress($session, '"table" IS NULL'), 't', "$name: of a server") if $name =~ /document/;
	leave_stage($watcher, $stage);
	cancel($session, $name);
}

faults({ api => 'marche_inclusion', action => 'stall', times => 1 },
	{ api => 'data_inclusion', action => 'stall', times => 1 });
$session->start("SELECT name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'"
	  . ' UNION ALL SELECT nom FROM data_inclusion.sources');
wait_for_requests(2);
wait_for_progress($session, 'phase, requests', 'requests|0');
cancel($session, 'an Append');

# ===================================================================
# Limits
# ===================================================================
limits($watcher, undef, urssaf => "2/$LONG");
run_sql($watcher, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '1000000')",
	"ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token '" . token('entreprise') . "')");
begin_anew($watcher);
$session->start(vigilance(5));
wait_for_progress($session, 'phase, "table", requests, requests_foreseen, "limit"',
	'waits for quota|entreprise_attestation_vigilance|2|5|urssaf');
is(progress($session, "waits_until > begun_at + interval '599 s' AND waits_until < clock_timestamp() + interval '610 s'"),
	't', 'until there is a slot');
wait_event_is($session, 'ApigouvQuota', 'waits for a slot');
# a look from another database
$node->safe_psql('postgres', 'CREATE DATABASE autre');
create_apis($node, 'autre', 'marche_inclusion');
my $other = session($node, db => 'autre');
is(progress($session, 'database, "table", phase', $other), 'postgres|entreprise_attestation_vigilance|waits for quota',
	'names are seen from other databases');

# ===================================================================
# Who may see what
# ===================================================================
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE agent LOGIN;
CREATE ROLE collegue LOGIN;
CREATE ROLE surveillant LOGIN IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA marche_inclusion TO agent;
GRANT SELECT ON marche_inclusion.structures TO agent;
CREATE USER MAPPING FOR agent SERVER marche_inclusion OPTIONS (token 'jeton-d-un-agent');
SQL
my %as = map { $_ => session($node, user => $_) } qw(agent collegue surveillant);
faults({ api => 'marche_inclusion', action => 'stall', times => 2 });
$as{agent}->start("SELECT name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'");
wait_for_progress($as{agent}, 'role, phase', 'agent|requests');
is($as{collegue}->value("SELECT string_agg(concat_ws('|', role, database, server, schema, \"table\", phase, requests, "
		  . "cache_hits, requests_foreseen, rows, waits_until, \"limit\", begun_at), ', ' ORDER BY role) FROM apigouv_progress"),
	'agent|postgres, postgres|postgres', 'another role sees who and where');
is(progress($as{agent}, '"table"', $as{surveillant}), 'structures', 'pg_monitor sees all');
my $same = session($node, user => 'agent');
is(progress($as{agent}, '"table"', $same), 'structures', 'the same role sees its own');
is(progress($session, '"table"', $same), '', 'and not those of others');
$node->safe_psql('postgres', 'GRANT agent TO collegue');
is(progress($as{agent}, '"table"', $as{collegue}), 'structures', 'a member of the role does');
unlike($watcher->value('SELECT string_agg(p::text, \' \') FROM apigouv_progress AS p'),
	qr/$ApigouvTest::SIRET|jeton|00002/, 'neither keys nor tokens show');

# ===================================================================
# A reply that another session has asked for
# ===================================================================
cancel($as{agent}, 'another role');
run_sql($watcher, "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '60')");
faults({ api => 'marche_inclusion', action => 'stall', times => 1 });
my $first = session($node);
my $second = session($node);
my $list = "SELECT count(id) FROM marche_inclusion.structures WHERE kind = 'EI'";
$first->start($list);
wait_for_requests(1);
$second->start($list);
wait_for_progress($second, 'phase, requests', 'waits for cache|0');
wait_event_is($second, 'ApigouvCache', 'waits for a cache');
$watcher->query("SELECT pg_cancel_backend($_)") for $first->pid, $second->pid;
$_->finish for $first, $second;

# ===================================================================
# Backends that die
# ===================================================================
is(progress($session, 'phase'), 'waits for quota', 'a session still waits');
my $pid = $session->pid;
kill 'KILL', $pid;
ok($session->finish->{dead}, 'it is killed: kill -9');
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
$watcher = session($node);
is($watcher->value('SELECT count(*) FROM apigouv_progress'), '0', 'nobody is shown that is dead');
stub_reset();
run_sql($watcher, "ALTER SERVER marche_inclusion OPTIONS (DROP cache_ttl_s)");
faults({ api => 'marche_inclusion', action => 'stall', times => 1 });
$session = session($node);
$session->start("SELECT name FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'");
wait_for_progress($session, 'phase, requests, rows', 'requests|0|0');
cancel($session, 'after a crash');

done_testing();
