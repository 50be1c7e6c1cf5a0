# What doc/operations.md says and no other test shows: preloading, settings of
# the cluster, promotion of a standby, clients that have gone, a pool in
# transaction mode.  pg_regress cannot show it: it takes servers of their own.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use IPC::Run;
use Test::More;

my $siret = $ApigouvTest::SIRET;
my $lookup = $ApigouvTest::GOOD_QUERY;
my $vigilance = "SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'";

# What the last audit line tells of a member.
sub audited
{
	my ($node, $member) = @_;
	my ($line) = reverse grep { /apigouv_fdw audit: \{"event":"end"/ } split /\n/, slurp_bytes($node->logfile);
	return $line =~ /"$member":"([^"]*)"/ ? $1 : undef;
}

# Microseconds of processor that the first query of a session takes until it
# is planned: median of some sessions.
sub first_plan_us
{
	my ($node) = @_;
	my @us;
	for (1 .. 9)
	{
		my $session = session($node);
		my $clock = "SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint / 1000";
		my $from = $session->value($clock);
		$session->query("EXPLAIN $lookup");
		push @us, $session->value($clock) - $from;
		$session->quit;
	}
	return (sort { $a <=> $b } @us)[4];
}

my $node = new_cluster('operations', "wal_level = replica\nmax_wal_senders = 3\n");

# ===================================================================
# Settings of the cluster
# ===================================================================
my $running = session($node);
is($running->value($lookup), '2', 'a session at work');
my $system = session($node);
run_sql($system, "LOAD 'apigouv_fdw'", 'ALTER SYSTEM SET apigouv_fdw.max_requests_per_query = 0', 'SELECT pg_reload_conf()');
ApigouvTest::wait_for(sub { $running->value('SHOW apigouv_fdw.max_requests_per_query') eq '0' }, 'the new setting');
refuses($running, $lookup, { sqlstate => '53400' }, 'a setting of the cluster holds in sessions at work');
run_sql($system, 'ALTER SYSTEM RESET apigouv_fdw.max_requests_per_query', 'SELECT pg_reload_conf()');
ApigouvTest::wait_for(sub { $running->value('SHOW apigouv_fdw.max_requests_per_query') eq '2000' }, 'the default');
is($running->value($lookup), '2', 'and its default again');

$node->append_conf('postgresql.conf', 'apigouv_fdw.nonsense = 1');
$node->reload;
my $warned = qr/WARNING:  invalid configuration parameter name "apigouv_fdw.nonsense"/;
ApigouvTest::wait_for(sub { $node->safe_psql('postgres', 'SHOW apigouv_fdw.nonsense') eq '1' }, 'the misspelt setting');
unlike(slurp_bytes($node->logfile), $warned, 'nobody has told the misspelt setting yet');
is(session($node)->value($lookup), '2', 'it does no harm');
like(slurp_bytes($node->logfile), $warned, 'and is told when a session loads the library');

# ===================================================================
# Preloaded
# ===================================================================
my $alone = first_plan_us($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'apigouv_fdw'");
$_->quit for $running, $system;
my $size = -s $node->logfile;
$node->restart;
like(substr(slurp_bytes($node->logfile), $size), $warned, 'preloaded: the misspelt setting is told at the start');
my $session = session($node);
is($session->value('SHOW apigouv_fdw.on_failure'), 'error', 'settings are there before any query');
is($session->value($lookup), '2', 'rows');
is($session->value($vigilance), '000003012', 'and of an API with limits');
refuses($session, 'SET apigouv_fdw.nonsense = 1', { sqlstate => '42602' }, 'a misspelt setting is refused at once');
note(sprintf '%d us of processor until the first query is planned, %d preloaded', $alone, first_plan_us($node));

run_sql($session, 'CREATE ROLE agent LOGIN');
is(session($node, user => 'agent')->query("ALTER ROLE agent SET apigouv_fdw.context = 'Marchés publics'")->{sqlstate}, undef,
	'a role may set its own settings at once');
is(session($node, user => 'agent')->value('SHOW apigouv_fdw.context'), 'Marchés publics', 'and finds them');
{
	local $ENV{PGOPTIONS} = '-c apigouv_fdw.max_requests_per_query=-1';
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'agent' ]);
	like($err, qr/FATAL:  permission denied to set parameter "apigouv_fdw.max_requests_per_query"/,
		'options that name a setting for superusers: no connection');
	is($node->safe_psql('postgres', 'SHOW apigouv_fdw.max_requests_per_query'), '-1', 'a superuser may');
}

my $dir = own_definitions($node);
my $before = session($node);
ApigouvTest::wait_for(sub { session($node)->value('SHOW apigouv_fdw.definition_dir') eq $dir }, 'the other definitions');
like($before->query("EXPLAIN (VERBOSE, COSTS OFF) $lookup")->{out}, qr{/siae/siret/}, 'a session reads the definitions');
my $file = "$dir/marche_inclusion/structures.json";
my $changed = slurp_bytes($file) =~ s{/siae/siret/}{/siae/par-siret/}gr;
open(my $handle, '>', $file) or die "$file: $!";
print $handle $changed;
close $handle;
like($before->query("EXPLAIN (VERBOSE, COSTS OFF) $lookup")->{out}, qr{/siae/siret/}, 'and keeps them when they change');
like(session($node)->query("EXPLAIN (VERBOSE, COSTS OFF) $lookup")->{out}, qr{/siae/par-siret/},
	'a new one reads the changed ones: the server holds none');
run_sql($session, 'ALTER SYSTEM SET apigouv_fdw.definition_dir = \'\'', 'SELECT pg_reload_conf()');
ApigouvTest::wait_for(sub { $session->value('SHOW apigouv_fdw.definition_dir') eq '' }, 'the definitions of the extension');

# ===================================================================
# A client that has gone
# ===================================================================
run_sql($session, "ALTER SYSTEM SET client_connection_check_interval = '100ms'", 'SELECT pg_reload_conf()');
ApigouvTest::wait_for(sub { session($node)->value('SHOW client_connection_check_interval') eq '100ms' }, 'the interval');
stub_reset();
faults({ api => 'marche_inclusion', action => 'stall' });
my $client = ApigouvTest::helper_process('psql', '-X', '-d', $node->connstr('postgres'), '-c', $lookup);
wait_for_requests(1);
my $backends = 'SELECT count(*) FROM pg_stat_activity'
  . " WHERE query LIKE 'SELECT count(\*) FROM marche\_inclusion%' AND state = 'active'";
is($session->value($backends), '1', 'a query waits for the API');
kill 'KILL', $client;
ApigouvTest::end_helper($client);
ApigouvTest::wait_for(sub { $session->value($backends) eq '0' }, 'the end of the query of a client that has gone');
pass('its session ends with client_connection_check_interval');
stub_reset();

# ===================================================================
# A standby, promoted
# ===================================================================
my $student = "SELECT apigouv_key_hash('0770770770K')";
my $hash = $session->value($student);
$node->backup('backup');
my $made = qr/LOG:  made a new key for hashes, file "pg_stat_tmp\/apigouv_fdw\/key"/;
is(scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /$made/g), 1,
	'the log tells that a key of hashes was made, once');
my $standby = PostgreSQL::Test::Cluster->new('promoted');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
my $key = '/pg_stat_tmp/apigouv_fdw/key';
ok(!-e $standby->data_dir . $key, 'a base backup leaves out the key of hashes');
mkdir $standby->data_dir . '/pg_stat_tmp/apigouv_fdw', 0700;
system('cp', '-p', $node->data_dir . $key, $standby->data_dir . $key) == 0 or die 'cp';
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 0');
$standby->start;
my $reader = session($standby);
is($reader->value('SELECT pg_is_in_recovery()'), 't', 'a standby');
is($reader->value($student), $hash, 'with the primary\'s key, its hashes are the same');
unlike(PostgreSQL::Test::Utils::slurp_file($standby->logfile), $made, 'and no key is made');
run_sql($reader, 'SELECT apigouv_quota_forget()');
is($reader->value($vigilance), '000003012', 'it asks');

# A query that waits for an API does not hold back what comes from the primary.
run_sql($session, 'CREATE TABLE lignes AS SELECT 1 AS n');
$node->wait_for_catchup($standby, 'replay');
faults({ api => 'marche_inclusion', action => 'stall' });
$reader->start($lookup);
wait_for_requests(1, api => 'marche_inclusion');
run_sql($session, 'DELETE FROM lignes', 'VACUUM lignes');
is($reader->finish->{sqlstate}, '40001', 'a query that waits gives way to the primary\'s changes');
$node->wait_for_catchup($standby, 'replay');
stub_reset();

my $ledger = (stat $standby->data_dir . '/pg_stat/apigouv_fdw.ledger')[1];
$standby->promote;
is($reader->value('SELECT pg_is_in_recovery()'), 'f', 'promoted');
is($reader->value($vigilance), '000003012', 'the session goes on, without a wait');
is((stat $standby->data_dir . '/pg_stat/apigouv_fdw.ledger')[1], $ledger, 'with the same ledger');
is($reader->value($student), $hash, 'and the same key');
$reader->quit;
$standby->stop;

# ===================================================================
# A pool in transaction mode
# ===================================================================
SKIP:
{
	my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
	skip 'pgbouncer is not installed', 4 unless $pgbouncer;
	my $at = PostgreSQL::Test::Utils::tempdir_short();
	my $port = free_port();
	open(my $ini, '>', "$at/ini") or die "$at/ini: $!";
	print $ini "[databases]\npostgres = host=@{[ $node->host ]} port=@{[ $node->port ]} user=@{[ scalar getpwuid $< ]}\n",
	  "[pgbouncer]\nlisten_addr =\nunix_socket_dir = $at\nlisten_port = $port\nauth_type = any\n",
	  "pool_mode = transaction\ndefault_pool_size = 1\n";
	close $ini;
	helper_process_quiet($pgbouncer, '-q', "$at/ini");
	ApigouvTest::wait_for(sub { -S "$at/.s.PGSQL.$port" }, 'pgbouncer');
	my $pooled = sub {
		my ($sql) = @_;
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$at port=$port dbname=postgres", '-c', $sql ], '>', \$out, '2>', \$err)
		  or die $err;
		return $out;
	};
	$pooled->("SET apigouv_fdw.object = 'Dossier de A'");
	$pooled->($vigilance);
	is(audited($node, 'object'), 'Dossier de A', 'SET in a pool: the next client asks with the purpose of the one before');
	$pooled->("$vigilance AND objet = 'Dossier de B'");
	is(audited($node, 'object'), 'Dossier de B', 'a condition wins over what is left there');
	$pooled->('RESET apigouv_fdw.object');
	$pooled->("BEGIN; SET LOCAL apigouv_fdw.object = 'Dossier de C'; $vigilance; COMMIT");
	is(audited($node, 'object'), 'Dossier de C', 'SET LOCAL');
	$pooled->($vigilance);
	is(audited($node, 'object'), 'TAP', 'leaves nothing to the next client');
}
done_testing();

# A program whose messages nobody wants.
sub helper_process_quiet
{
	my ($program, @arguments) = @_;
	return ApigouvTest::helper_process('sh', '-c', 'exec "$@" 2> /dev/null', 'sh', $program, @arguments);
}
