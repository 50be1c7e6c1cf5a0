# What was sent stays counted over restarts and crashes; a restored backup and
# a standby begin with closed limits.  pg_regress cannot show it: it takes
# servers that are killed, copied and followed.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = new_cluster('quota_restart', <<'CONF');
restart_after_crash = on
wal_level = replica
max_wal_senders = 4
CONF
my $said = '5 requests per 600 seconds';
my $refused = refused_for('urssaf', $said, requests => 0);
my $setup = session($node);
limits($setup, undef, urssaf => "5/$LONG");
run_sql($setup, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')");

# Two requests are spent; then what() happens; then three are left.
sub keeps_count
{
	my ($name, $what) = @_;
	my $session = session($node);
	begin_anew($session);
	asks($session, vigilance(2), 2, "2\n", "$name: before");
	$what->($session);
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	$session = session($node);
	is(used($session, 'urssaf'), '2', "$name: the count stays");
	refuses($session, vigilance(4, 20100), refused_for('urssaf', $said, requests => 3),
		"$name: so much is left, and no more");
	return;
}

# ===================================================================
# Restarts and crashes
# ===================================================================
keeps_count('restart', sub { $node->restart });
keeps_count('stop -m immediate', sub { $node->stop('immediate'); $node->start });
keeps_count('kill -9 of a backend', sub {
	kill 'KILL', $_[0]->pid;
	$_[0]->query('SELECT 1');
});

# The request under way counts, whatever became of the one who asked.
keeps_count('kill -9 of a backend that waits for its reply', sub {
	begin_anew($setup = session($node));
	my $session = session($node);
	run_sql($session, vigilance(1));
	faults({ api => 'entreprise', action => 'stall', times => -1 });
	$session->start(vigilance(1, 20300));
	wait_for_requests(2);
	kill 'KILL', $session->pid;
	ok($session->finish->{dead}, 'its session has ended');
	give_yes();
	wait_until_idle();
});

# Who waits for a slot when its backend is killed is forgotten.
keeps_count('kill -9 of a backend that waits for a slot', sub {
	my ($session) = @_;
	run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '100000')");
	limits($session, undef, urssaf => "2/$LONG");
	my $waiter = session($node);
	$waiter->start(vigilance(1, 20400));
	wait_for_waiter($session, 'urssaf');
	kill 'KILL', $waiter->pid;
	ok($waiter->finish->{dead}, 'its session has ended');
	$node->poll_query_until('postgres', 'SELECT true');
	$session = session($node);
	ApigouvTest::wait_for(sub { quota($session, 'urssaf', 'waiting') eq '0' }, 'an empty queue');
	limits($session, undef, urssaf => "5/$LONG");
	run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '0')");
});

keeps_count('kill -9 of the postmaster', sub {
	my @processes = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
	$node->kill9;
	ApigouvTest::wait_for(sub { !kill 0, @processes }, 'the end of all processes');
	$node->start;
});

# ===================================================================
# A base backup that is started: closed for a window, then on its own
# ===================================================================
my $session = session($node);
begin_anew($session);
asks($session, vigilance(5), 5, "5\n", 'all is spent before a backup');
$node->backup('backup');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'backup');
ok(-e ledger_file($restored), 'a base backup has the ledger');
chmod 0750, $restored->data_dir;
$restored->start;
my $there = session($restored);
refuses($there, vigilance(1, 20100), $refused, 'a restored backup: the gate is closed');
is(quota($there, 'urssaf', '"left", closed_until > now()'), '0|t', 'for a window');
limits($there, undef, urssaf => '5/1s', ip => '10000/1s');
run_sql($there, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '100000')");
asks($there, vigilance(3, 20200), 3, "3\n", 'then it counts on its own');
is(used($session, 'urssaf'), '5', 'and the first one for itself');

# Backups may be made by who is in the group, where the cluster lets it.
unlink ledger_file($restored);
run_sql($there, 'SELECT count(*) FROM apigouv_quota');
is(sprintf('%o', (stat ledger_file($restored))[2] & 0777), '640', 'a ledger has the mode of the cluster\'s files');
$there->quit;
$restored->stop;

# ===================================================================
# A hot standby: it can ask, and has its own ledger
# ===================================================================
limits($session, undef, urssaf => '5/1s', ip => '10000/1s');
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '100000')");
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
my $reader = session($standby);
is($reader->value('SELECT pg_is_in_recovery()'), 't', 'a hot standby');
asks($reader, vigilance(3, 20100), 3, "3\n", 'it can ask, after a window');
run_sql($reader, 'SELECT apigouv_quota_forget()');
limits($session, undef, urssaf => "5/$LONG", ip => '10000/1s');
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '0')");
$node->wait_for_catchup($standby, 'replay');
begin_anew($session);
asks($session, vigilance(5), 5, "5\n", 'the primary spends all it may');
asks($reader, vigilance(5), 5, "5\n", 'and so does the standby: its ledger is its own');
refuses($reader, vigilance(1, 20100), $refused, 'the standby keeps to it');
refuses($session, vigilance(1, 20100), $refused, 'the primary keeps to it');
is(used($reader, 'urssaf'), '5', 'and has its own view');
$reader->quit;
$standby->stop;

# ===================================================================
# A transaction that is read only; a role that may do nothing else
# ===================================================================
begin_anew($session);
run_sql($session, 'BEGIN READ ONLY');
asks($session, vigilance(2), 2, "2\n", 'a read-only transaction counts');
run_sql($session, 'ROLLBACK');
is(used($session, 'urssaf'), '2', 'and what was rolled back was sent all the same');

run_sql($session, 'CREATE ROLE lecteur LOGIN NOINHERIT',
	'REVOKE ALL ON SCHEMA public FROM PUBLIC',
	"CREATE USER MAPPING FOR lecteur SERVER entreprise OPTIONS (token '" . token('entreprise') . "')",
	'GRANT USAGE ON SCHEMA entreprise TO lecteur',
	'GRANT SELECT ON entreprise.entreprise_attestation_vigilance TO lecteur');
$reader = session($node, user => 'lecteur');
asks($reader, vigilance(3, 20100), 3, "3\n", 'a role that has SELECT on the foreign table only counts');
refuses($reader, vigilance(1, 20200), $refused, 'and is refused alike');
run_sql($session, 'GRANT USAGE ON SCHEMA public TO lecteur');
refuses($reader, 'SELECT * FROM apigouv_quota', { sqlstate => '42501' }, 'the view is not for everybody');
refuses($reader, 'SELECT apigouv_quota_forget()', { sqlstate => '42501' }, 'nor is the function');
run_sql($session, 'GRANT EXECUTE ON FUNCTION apigouv_quota_forget() TO lecteur', 'ALTER ROLE lecteur INHERIT',
	'GRANT pg_monitor TO lecteur WITH ADMIN OPTION');
is($reader->value(q(SELECT count(*) FROM apigouv_quota WHERE "limit" = 'urssaf')), '1', 'pg_monitor has the view');
refuses($reader, 'SELECT apigouv_quota_forget()',
	{ sqlstate => '42501', message => 'permission denied to forget what was sent',
		hint => 'Only a superuser may declare that no request was sent.' }, 'the function is for superusers');

done_testing();
