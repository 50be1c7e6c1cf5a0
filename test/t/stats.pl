# apigouv_stats: what every session of the cluster asks is counted in one file,
# which survives errors, kills and restarts, and begins anew when it is not to
# be believed.  pg_regress cannot show it: it takes several sessions and
# databases, files that are damaged, and servers that are killed.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $node = new_cluster('stats', "restart_after_crash = on\n");
my $file = $node->data_dir . '/pg_stat/apigouv_fdw.stats';
my $watcher = session($node);

# Columns of the row of a table, those of all databases added up.
sub stats
{
	my ($columns, $table, $session) = @_;
	return ($session // $watcher)->value(
		"SELECT " . join(" || ' ' || ", map { "sum($_)" } split ' ', $columns)
		. " FROM apigouv_stats WHERE \"table\" = '" . ($table // 'structures') . "'");
}
sub reset_stats { return run_sql($watcher, 'SELECT apigouv_stats_reset()'); }
sub structure { return "SELECT count(*) FROM marche_inclusion.structures WHERE id = $_[0]"; }

# The entries of the log about the file since the last look.
my $seen = 0;
sub logged
{
	my $log = slurp_file($node->logfile, $seen);
	$seen += length $log;
	return join "\n", $log =~ /(file "[^"]*apigouv_fdw\.stats"[^\n]*)/g;
}

# ===================================================================
# All sessions and databases
# ===================================================================
$node->safe_psql('postgres', 'CREATE DATABASE autre');
create_apis($node, 'autre', 'marche_inclusion', 'entreprise');
limits($watcher);
limits(session($node, db => 'autre'));
give_yes();
my @sessions = map { session($node, db => $_) } qw(postgres postgres autre autre);
reset_stats();
# each a hundred requests, beside each other
$sessions[$_]->start(vigilance(100, 20000 + $_ * 100)) for 0 .. 3;
$_->finish for @sessions;
is(stats('requests retries', 'entreprise_attestation_vigilance'), '400 0', 'sessions that count at the same time lose nothing');
is($watcher->value("SELECT string_agg(database || ' ' || requests, ', ' ORDER BY database) FROM apigouv_stats"),
	'autre 200, postgres 200', 'a row per database');
is(stats('requests', 'entreprise_attestation_vigilance', $sessions[3]), '400', 'seen from every database');

# ===================================================================
# What does not end well
# ===================================================================
reset_stats();
stub_reset();
faults({ api => 'marche_inclusion', action => 'stall', times => 1 });
$sessions[0]->start(structure(1001));
wait_for_requests(1);
$watcher->query('SELECT pg_cancel_backend(' . $sessions[0]->pid . ')');
is($sessions[0]->finish->{sqlstate}, '57014', 'a query is cancelled');
is(stats('requests cancelled replies_2xx'), '1 1 0', 'and counted as such');
faults();

limits($watcher, undef, urssaf => '2/300ms');
begin_anew($watcher);
is($watcher->value(vigilance(4)), '4', 'a limit makes a query wait');
cmp_ok(stats('quota_wait_ms', 'entreprise_attestation_vigilance'), '>', 0, 'how long is counted');
is(stats('requests replies_2xx not_sent', 'entreprise_attestation_vigilance'), '4 4 0', 'beside the requests');
limits($watcher, undef, urssaf => "2/$LONG");
run_sql($watcher, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')");
begin_anew($watcher);
reset_stats();
refuses($watcher, vigilance(3), refused_for('urssaf', '2 requests per 600 seconds'), 'a limit refuses');
is(stats('requests not_sent', 'entreprise_attestation_vigilance'), '2 1', 'what was not sent is counted apart');

# ===================================================================
# Kills and restarts
# ===================================================================
reset_stats();
stub_reset();
$sessions[1]->query(structure(1001));
kill 'KILL', $sessions[1]->pid;
$watcher->query('SELECT pg_sleep(60)');    # ends with the server
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
$watcher = session($node);
is(stats('requests'), '1', 'counted by a backend that was killed: kill -9');
is($watcher->value(structure(1001)), '1', 'after it queries go on');
is(stats('requests'), '2', 'and are counted');
$node->restart;
$watcher = session($node);
is(stats('requests'), '2', 'after a restart all is there');
$node->stop('immediate');
$node->start;
$watcher = session($node);
is(stats('requests'), '2', 'after a crash too');
is(logged(), '', 'nothing of it is worth an entry in the log');

# ===================================================================
# A file that is not to be believed is replaced, with an entry in the log
# ===================================================================
# change(offset, bytes): in place
sub change
{
	my ($at, $bytes) = @_;
	open(my $handle, '+<:raw', $file) or die "$file: $!";
	seek($handle, $at, 0);
	print $handle $bytes;
	close $handle;
	return;
}

# replaced(what is done to the file, what the log says, name)
sub replaced
{
	my ($damage, $says, $name) = @_;
	my $old = session($node);
	$old->query(structure(1002));
	$damage->();
	my $new = session($node);
	is($new->value(structure(1001)), '1', "$name: queries go on");
	is(stats('requests', 'structures', $new), '1', "$name: the counters begin anew");
	like(logged(), $says, "$name: what the log says");
	$old->query(structure(1003));
	is(stats('requests', 'structures', $new), '2', "$name: sessions from before count there");
	return;
}
my $begins_anew = 'file "pg_stat/apigouv_fdw.stats" begins anew: it was';
my $name_at = index(slurp_bytes($file), 'marche_inclusion');
cmp_ok($name_at, '>', 4096, 'a name in the file');
replaced(sub { change($name_at, 'M') }, qr/^$begins_anew damaged$/, 'a damaged name');
$watcher->query('SELECT count(*) FROM marche_inclusion.types_structures');
change(index(slurp_bytes($file), 'types_structures'), 'T');
my $unaware = session($node);
is($unaware->value(structure(1001)), '1', 'a damaged name of another table: queries go on');
is(logged(), '', 'without a look at it');
is(stats('requests', 'structures', $unaware), '', 'who looks at all has the counters begin anew');
like(logged(), qr/^$begins_anew damaged$/, 'and the log says so');
replaced(sub { change(12, "\x01") }, qr/^$begins_anew damaged$/, 'a damaged header');
replaced(sub { system("cp $file $file.copy && mv $file.copy $file") == 0 or die },
	qr/^$begins_anew a copy$/, 'a copy');
replaced(sub { unlink $file or die "$file: $!" }, qr/^$/, 'a file that is removed');
$node->stop;
truncate($file, 5000) or die "$file: $!";
$node->start;
$watcher = session($node);
$watcher->query(structure(1001));
is(stats('requests'), '1', 'a file that was cut: the counters begin anew');
like(logged(), qr/^$begins_anew of another version$/, 'and the log says so');

# A file that cannot be made costs no query.
$node->stop;
unlink $file;
mkdir $file or die "$file: $!";
$node->start;
$watcher = session($node);
is($watcher->value(structure(1001)), '1', 'without a file queries go on');
like(logged(), qr/^file "pg_stat\/apigouv_fdw.stats": Is a directory$/, 'the log says why');
refuses($watcher, 'SELECT * FROM apigouv_stats',
	{ sqlstate => '58030', message => 'could not use file "pg_stat/apigouv_fdw.stats"' },
	'the view is not empty: it is an error');
rmdir $file;
$watcher = session($node);
$watcher->query(structure(1001));
is(stats('requests'), '1', 'until it can be made');

# ===================================================================
# More tables than there is room for
# ===================================================================
reset_stats();
run_sql($watcher, 'BEGIN', structure(1001), <<'SQL');
DO $$ BEGIN
FOR i IN 1 .. 1100 LOOP
	EXECUTE format('CREATE FOREIGN TABLE foule_%s (id integer) SERVER marche_inclusion OPTIONS (table ''structures'')', i);
	EXECUTE format('SELECT FROM foule_%s WHERE id = 1001', i);
END LOOP;
END $$
SQL
is($watcher->value('SELECT count(*) || \' \' || sum(transaction_hits) FROM apigouv_stats'), '1024 1100',
	'a thousand rows, and nothing is lost');
is($watcher->value('SELECT transaction_hits FROM apigouv_stats WHERE database IS NULL AND server IS NULL'), '78',
	'one of them is of all others');
run_sql($watcher, 'ROLLBACK');
is($watcher->value('SELECT sum(transaction_hits) FROM apigouv_stats'), '1100', 'what is rolled back stays counted');
reset_stats();
is($watcher->value('SELECT count(*) FROM apigouv_stats'), '0', 'a reset makes room');

# ===================================================================
# Names in other encodings
# ===================================================================
$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
create_apis($node, 'latin', 'marche_inclusion');
my $latin = session($node, db => 'latin');
for my $session ($watcher, $latin)
{
	run_sql($session,
		q{CREATE FOREIGN TABLE "été" (id integer) SERVER marche_inclusion OPTIONS (table 'structures')},
		q{SELECT FROM "été" WHERE id = 1001});
	is(stats('requests', 'été', $session), $session == $watcher ? '1' : '2', 'an accent is the same everywhere');
}
run_sql($watcher,
	q{CREATE FOREIGN TABLE "prix €" (id integer) SERVER marche_inclusion OPTIONS (table 'structures')},
	q{SELECT FROM "prix €" WHERE id = 1001});
is(stats('requests', 'prix ?', $latin), '1', 'what an encoding lacks is a question mark');

# ===================================================================
# A standby counts what it asks, in a file of its own
# ===================================================================
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 5\n");
$node->restart;
$watcher = session($node);
my $before = stats('requests');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('stats_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $on_standby = session($standby);
is($on_standby->value('SELECT count(*) FROM apigouv_stats'), '0', 'a standby has counters of its own');
$on_standby->query(structure(1001));
is(stats('requests', 'structures', $on_standby), '1', 'counts there');
is(stats('requests') // '', $before, 'and not on its primary');
$on_standby->quit;
$standby->stop;

done_testing();
