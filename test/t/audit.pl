# The audit lines of every outcome, of every cache, of every way to ask, and
# what they do not tell.  pg_regress cannot show it: it sees no server log, and
# cancels, crashes and databases of other encodings take TAP.
use strict;
use utf8;
use warnings;

use ApigouvAudit;
use ApigouvTest;
use Test::More;

my $node = new_cluster('audit', "restart_after_crash = on\nlog_statement = none\n");
my $control = session($node);
my $session = session($node);
run_sql($session, 'SET application_name = guichet');
my $siret = $ApigouvTest::SIRET;
my $vigilance = "SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'";
my $structures = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";

audit_begin($node);

# ===================================================================
# The lines of a request
# ===================================================================
is($session->value($vigilance), '000003012', 'a request');
my $line = one_request('a request');
like($line->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'its time, in UTC');
like($line->{request_id}, qr/^[0-9a-f]{8}-[-0-9a-f]+$/, 'the number that the API gave the request');
cmp_ok($line->{$_}, '>', 0, "$_: a number") for qw(ms bytes quota_left);
is_deeply(
	{ map { ($_ => $line->{$_}) } grep { !/^(?:id|time|request_id|ms|bytes|quota_left|role|session_user)$/ } keys %$line },
	{
		event => 'end', database => 'postgres', application_name => 'guichet', pid => $session->pid,
		api => 'entreprise', server => 'entreprise', table => 'entreprise_attestation_vigilance',
		relation => 'entreprise.entreprise_attestation_vigilance', route => 'attestation_vigilance:siret',
		key => { siret => [$siret] }, sent => { siren => ['000003012'] },
		context => 'Tests', object => 'TAP', recipient => '00000900100017',
		verdict => 'rows', status => 200, attempts => 1
	},
	'who, what, why, and how it ended');

is($session->value("SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'"
	  . " AND objet = 'Dossier « 42 »'"), '1', 'a purpose in a condition');
is(one_request('a purpose in a condition')->{object}, 'Dossier « 42 »', 'what was sent is told, not the setting');
is($session->value("SELECT count(*) FROM marche_inclusion.structures WHERE region = 'Corse' AND kind = 'EI'") > 0, 1,
	'an API whose terms demand nothing');
is(scalar(audit_lines()), 0, 'auto: it has no lines');
$node->append_conf('postgresql.conf', "apigouv_fdw.audit = on\n");
$node->reload;
ApigouvTest::wait_for(sub { $session->value('SHOW apigouv_fdw.audit') eq 'on' }, 'the new setting');
run_sql($session, "SELECT count(*) FROM marche_inclusion.structures WHERE region = 'Corse' AND kind = 'EI'");
my @lines = audit_lines();
is(told('event', @lines), 'begin begin end end', 'on: it has, two requests at once');
is_deeply([ sort map { $_->{sent}{department}[0] } @lines[ 2, 3 ] ], [ '2A', '2B' ], 'each with what is sent');
is_deeply($lines[0]{key}, { kind => ['EI'], region => ['Corse'] }, 'and what was asked');

# ===================================================================
# Outcomes
# ===================================================================
my $error = envelope('00100', 'Non');
run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD retries '1', ADD timeout_ms '60000', ADD response_max_bytes '100000')");
for my $case (
	# what happens  fault  verdict and failure  status
	[ 'no row', { status => 404, body => envelope('04003', 'Absente') }, 'no_row', 404 ],
	[ 'refused', { status => 403, body => $error }, 'refused', 403 ],
	[ 'token refused', { status => 401, body => $error }, 'token', 401 ],
	[ 'an error', { status => 500, body => '' }, 'error', 500 ],
	[ 'a wrong request', { status => 422, body => $error }, 'error', 422 ],
	[ 'unavailable', { status => 502, body => $error }, 'unavailable', 502 ],
	[ 'lost', { action => 'close' }, 'failed lost', undef ],
	[ 'a retry', { action => 'close', times => 1 }, 'rows', 200 ],
	[ 'a wait', { status => 429, body => '', headers => { 'Retry-After' => '0' }, times => 1 }, 'rows', 200 ],
	[ 'no JSON', { action => 'garbage' }, 'rows', 200 ],
	[ 'too long', { action => 'giant' }, 'failed too_large', 200 ],
	[ 'wrong gzip', { action => 'bad_gzip' }, 'failed encoding', 200 ])
{
	my ($name, $fault, $verdict, $status) = @$case;
	stub_reset();
	faults({ api => 'entreprise', path => '/v*', times => -1, %$fault });
	$session->query($vigilance);
	my $end = one_request($name);
	is(join(' ', grep { defined } @$end{qw(verdict failure)}), $verdict, "$name: verdict");
	is_deeply([ @$end{qw(status attempts)} ], [ $status, scalar(my @arrived = requests()) ], "$name: status and attempts");
	cmp_ok($end->{attempts}, '>', 1, "$name: several attempts") if $name =~ /retry|wait/;
}
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET timeout_ms '150', SET retries '0')");
faults({ api => 'entreprise', action => 'stall' });
$session->query($vigilance);
my $end = one_request('too slow');
is("$end->{verdict} $end->{failure}", 'failed timeout', 'too slow: verdict');
run_sql($control, 'ALTER SERVER entreprise OPTIONS (DROP retries, DROP timeout_ms, DROP response_max_bytes)');

# ===================================================================
# What ends a query, and the session: the line after says so
# ===================================================================
sub stalled
{
	my ($asks) = @_;
	stub_reset();
	faults({ api => 'entreprise', action => 'stall' });
	$asks->start($vigilance);
	wait_for_requests(1);
	return;
}

stalled($session);
$control->query('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish->{sqlstate}, '57014', 'pg_cancel_backend');
is(one_request('pg_cancel_backend')->{verdict}, 'cancelled', 'its verdict');
stub_reset();
faults({ api => 'entreprise', action => 'stall' });
run_sql($session, "SET statement_timeout = '300ms'");
$session->query($vigilance);
is(one_request('statement_timeout')->{verdict}, 'cancelled', 'its verdict');
run_sql($session, 'RESET statement_timeout');
my $ended = session($node);
stalled($ended);
$control->query('SELECT pg_terminate_backend(' . $ended->pid . ')');
ok($ended->finish->{dead}, 'pg_terminate_backend');
is(one_request('pg_terminate_backend')->{verdict}, 'cancelled', 'its verdict');
run_sql($session, 'BEGIN', $vigilance, 'ROLLBACK');
is(one_request('rolled back')->{verdict}, 'rows', 'what is rolled back was asked all the same');
run_sql($session, 'BEGIN', 'SAVEPOINT a', $vigilance, 'ROLLBACK TO a', $vigilance, 'COMMIT');
is(told('event', audit_lines()), 'begin end cache', 'a savepoint: the second asking is served by the transaction');

# ===================================================================
# Caches
# ===================================================================
run_sql($session, 'BEGIN', $vigilance, $vigilance);
@lines = audit_lines();
is(told('event', @lines), 'begin end cache', 'the cache of the transaction');
is_deeply([ @{ $lines[2] }{qw(cache status request_id object)} ],
	[ 'transaction', 200, $lines[1]{request_id}, 'TAP' ], 'its line says which, and tells the reply');
isnt($lines[2]{id}, $lines[1]{id}, 'it has a name of its own');
run_sql($session, "SELECT count(*) FROM (VALUES ('$siret'), ('$siret'), ('$siret')) AS v (s), LATERAL (SELECT 1"
	. " FROM entreprise.entreprise_attestation_vigilance AS a WHERE a.siret = v.s OFFSET 0) AS x", 'COMMIT');
is(told('cache', audit_lines()), 'transaction', 'a statement that is given a reply three times has one line');
my $ask_for = "SET LOCAL apigouv_fdw.object = '%s'; PERFORM 1 FROM marche_inclusion.structures WHERE siret = '$siret';";
run_sql($session, 'DO $$ BEGIN ' . join(' ', map { sprintf $ask_for, $_ } qw(A B B)) . ' END $$');
@lines = audit_lines();
is(told('event', @lines), 'begin end cache', 'a statement that is given it for two purposes has a line for each');
is(told('object', @lines), 'A A B', 'although the API is told none');

$session->query("SELECT 1 / (count(*) - 2) FROM marche_inclusion.structures WHERE siret = '$siret'");
is(one_request('a statement that fails')->{verdict}, 'rows', 'it got its reply');
asks($session, $structures, 0, "2\n", 'the retry makes no request');
is(told('cache', audit_lines()), 'after_error', 'its line says why');

run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600')", 'SELECT apigouv_clear_cache()');
my $other = session($node);
my $before = () = requests();
stub_latency(300);
$_->start($structures) for $session, $other;
$_->finish for $session, $other;
stub_latency(0);
is(scalar(my @requests = requests()) - $before, 1, 'two sessions that miss the same reply: one request');
@lines = audit_lines();
is(told('event', @lines), 'begin end cache', 'a line for the session that waited, too');
is($lines[2]{cache}, 'cluster', 'from the cache of the cluster');
isnt($lines[2]{pid}, $lines[1]{pid}, 'its own');
run_sql($session, $structures);
is(told('cache', audit_lines()), 'cluster', 'another query: the same');
run_sql($control, 'ALTER SERVER marche_inclusion OPTIONS (DROP cache_ttl_s)');
audit_log();

# ===================================================================
# Joins, pages, first requests, tokens that are renewed
# ===================================================================
run_sql($session, "SELECT count(*) FROM (VALUES ('$siret'), ('00000302000013'), ('00000303800015'), ('$siret')) AS v (s)"
	. ' JOIN entreprise.entreprise_attestation_vigilance AS a ON a.siret = v.s');
@lines = audit_lines();
is(told('event', sort { $a->{event} cmp $b->{event} } @lines), 'begin begin begin end end end', 'a join: one pair per key');
is_deeply([ sort map { $_->{id} } grep { $_->{event} eq 'begin' } @lines ],
	[ sort map { $_->{id} } grep { $_->{event} eq 'end' } @lines ], 'tied together');
is_deeply([ sort map { $_->{key}{siret}[0] } grep { $_->{event} eq 'begin' } @lines ],
	[ sort $siret, '00000302000013', '00000303800015' ], 'the keys');
run_sql($session, 'SELECT count(*) FROM marche_inclusion.structures');
is(one_request('count(*)')->{route}, 'liste', 'a total alone');
run_sql($session, "SELECT count(id) FROM data_inclusion.structures WHERE code_departement IN ('35', '29')");
@lines = audit_lines();
ok(@lines >= 2, 'a list in pages');
stub_options(expire_tokens => JSON::PP::true);
run_sql($session, 'SELECT count(*) FROM marche_travail.marche_travail_familles_indicateurs');
audit_log();
stub_options(expire_tokens => JSON::PP::true);
run_sql($session, "SELECT count(*) FROM marche_travail.marche_travail_details_indicateurs WHERE code_indicateur = 'OFF_1'");
is(told('verdict', grep { $_->{event} eq 'end' } audit_lines()), 'token rows',
	'a refused access token: the request has two pairs, that for a token none');

# ===================================================================
# Documents: their links are secrets
# ===================================================================
my $link = stub_url() . '/entreprise/proxy/files/11111111-1111-4111-8111-111111111111';
run_sql($session, 'CREATE TABLE liens (lien text)', "INSERT INTO liens VALUES ('$link')");
audit_log();
is($session->value("SELECT length(apigouv_document('entreprise', lien)) > 0 FROM liens"), 't', 'a document');
$line = one_request('a document');
is_deeply([ @$line{qw(route verdict object)} ], [ 'document', 'rows', 'TAP' ], 'its lines');
like($line->{key_hash}, qr/^[0-9a-f]{16}$/, 'tell a hash of its link');
run_sql($session, "SELECT apigouv_document('entreprise', lien) FROM liens");
is(one_request('the same document')->{key_hash}, $line->{key_hash}, 'equal links have equal hashes');

# ===================================================================
# Roles
# ===================================================================
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE proprietaire;
CREATE ROLE agent LOGIN;
GRANT USAGE ON SCHEMA entreprise, marche_inclusion TO proprietaire, agent;
GRANT SELECT ON ALL TABLES IN SCHEMA entreprise, marche_inclusion TO proprietaire, agent;
GRANT proprietaire TO agent;
GRANT CREATE ON SCHEMA public TO proprietaire;
CREATE USER MAPPING FOR proprietaire SERVER entreprise OPTIONS (token '@{[ token('entreprise_autre') ]}');
CREATE USER MAPPING FOR agent SERVER entreprise OPTIONS (token '@{[ token('entreprise') ]}');
CREATE USER MAPPING FOR agent SERVER marche_inclusion OPTIONS (token '@{[ token('marche_inclusion') ]}');
SET ROLE proprietaire;
CREATE VIEW public.vigilances AS SELECT siret, siren FROM entreprise.entreprise_attestation_vigilance;
GRANT SELECT ON public.vigilances TO agent;
SQL
my $agent = session($node, user => 'agent');
sub who { my $is = one_request($_[0]); return "$is->{role} $is->{session_user}"; }
run_sql($agent, $vigilance);
is(who('a role'), 'agent agent', 'itself');
run_sql($agent, "SELECT * FROM public.vigilances WHERE siret = '$siret'");
is(who('a view'), 'proprietaire agent', 'the owner of the view, and who logged in');
run_sql($agent, 'SET ROLE proprietaire', $vigilance, 'RESET ROLE');
is(who('SET ROLE'), 'proprietaire agent', 'the role, and who logged in');
run_sql($agent, 'BEGIN', $vigilance, "SELECT * FROM public.vigilances WHERE siret = '$siret'", 'COMMIT');
is(told('role', audit_lines()), 'agent agent proprietaire proprietaire', 'two roles of one transaction: a request each');

# ===================================================================
# Who may switch it off, and for whom it is on
# ===================================================================
$node->append_conf('postgresql.conf', "apigouv_fdw.audit = auto\n");
$node->reload;
run_sql($control, 'ALTER ROLE agent SET apigouv_fdw.audit = on');
$agent = session($node, user => 'agent', options => '-c apigouv_fdw.audit=off');
refuses($agent, $structures, { sqlstate => '42501', requests => 0 }, "a role whose connection's options name it asks nothing");
is(scalar(audit_lines()), 0, 'and has no line');
$agent = session($node, user => 'agent');
$agent->query('SET apigouv_fdw.audit = off');
run_sql($agent, $structures);
is(who('on for a role, whatever it has set before the library is loaded'), 'agent agent', 'for a role');
refuses($agent, 'SET apigouv_fdw.audit = off', { sqlstate => '42501' }, 'the role cannot lift it');
refuses($agent, "SELECT set_config('apigouv_fdw.audit', 'off', true)", { sqlstate => '42501' }, 'nor by set_config');
ApigouvTest::wait_for(sub { $session->value('SHOW apigouv_fdw.audit') eq 'auto' }, 'the default');
run_sql($session, $structures);
is(scalar(audit_lines()), 0, 'others are not audited for that API');
run_sql($control, 'GRANT SET ON PARAMETER apigouv_fdw.audit TO agent');
run_sql($agent, 'SET apigouv_fdw.audit = off', $structures, $vigilance);
is(scalar(audit_lines()), 0, 'off: none, for a role to which the setting was granted');
run_sql($control, 'REVOKE SET ON PARAMETER apigouv_fdw.audit FROM agent', 'ALTER ROLE agent RESET apigouv_fdw.audit');
$agent = session($node, user => 'agent');
run_sql($agent, $vigilance);
is(who('the default again'), 'agent agent', 'auto: the API of a protected source');
run_sql($session, 'SET apigouv_fdw.audit = on');

# ===================================================================
# Personal data
# ===================================================================
my ($ine, $absent) = ('0770770770K', '0770770770L');
run_sql($session, 'CREATE TABLE personnes (n int, ine text)',
	"INSERT INTO personnes VALUES (1, '$ine'), (2, '$absent'), (3, '$ine')");
$node->append_conf('postgresql.conf', "log_min_messages = debug5\nlog_min_error_statement = debug5\n");
$node->reload;
my $talkative = session($node, options => '-c client_min_messages=debug5');
audit_log();
sub person
{
	return 'SELECT p.n FROM personnes AS p JOIN particulier.particulier_etudiant_boursier_ine AS e ON e.ine = p.ine'
	  . " WHERE p.n = $_[0]";
}
my %hash;
for my $n (1, 2, 3)
{
	my $said = $talkative->query(person($n))->{err};
	$line = one_request("person $n");
	ok(!exists $line->{key} && !exists $line->{sent}, "person $n: no value");
	is($line->{verdict}, $n == 2 ? 'no_row' : 'rows', "person $n: verdict");
	$hash{$n} = $line->{key_hash};
	unlike(json_text($line), qr/$ine|$absent/, "person $n: nothing of the key");
	unlike($said, qr/audit/, 'a client at debug5 sees no line');
}
is($hash{3}, $hash{1}, 'equal keys have equal hashes');
my $same = $hash{1};
isnt($hash{2}, $hash{1}, 'different keys have different ones');
faults({ api => 'particulier', status => 500, body => '' });
my $failed = $talkative->query(person(1));
is(one_request('an error about a person')->{key_hash}, $hash{1}, 'the line');
like($failed->{context}, qr/key with hash $same$/m, 'and CONTEXT tell the same hash');
run_sql($control, "CREATE FUNCTION demande() RETURNS bigint LANGUAGE plpgsql AS \$\$BEGIN RETURN ($structures); END\$\$");
audit_log();
run_sql($talkative, 'SET apigouv_fdw.audit = on');
audit_log();
is($talkative->value('SELECT demande()'), '2', 'in a function, with a log that tells statements');
one_request('no context and no statement');
$node->append_conf('postgresql.conf', "log_min_messages = warning\nlog_min_error_statement = error\n");
$node->reload;
ApigouvTest::wait_for(sub { $session->value('SHOW log_min_messages') eq 'warning' }, 'the old setting');

# ===================================================================
# Names that are hard to write, in every encoding
# ===================================================================
run_sql($control, 'CREATE ROLE U&"chef ""\\\\\000A\0001\007F é" SUPERUSER');
for my $encoding (qw(UTF8 LATIN1 EUC_JP SQL_ASCII))
{
	my $db = lc "enc_$encoding";
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	create_apis($node, $db, 'marche_inclusion');
	my $away = session($node, db => $db);
	run_sql($away, "CREATE USER MAPPING FOR PUBLIC SERVER marche_inclusion OPTIONS (token '" . token('marche_inclusion') . "')",
		"SELECT set_config('session_authorization', rolname, false) FROM pg_roles WHERE rolname LIKE 'chef%'",
		q(SET application_name = E'x"\\\\,"role":"autre\n'),
		q(SET apigouv_fdw.object = E'a "b" \\\\ \n\t\x01 c'), 'SET apigouv_fdw.audit = on');
	run_sql($away, "SET apigouv_fdw.context = 'œuvre 😀'") if $encoding =~ /UTF8|SQL_ASCII/;
	run_sql($away, "SET apigouv_fdw.context = 'été'") if $encoding eq 'LATIN1';
	audit_log();
	run_sql($away, $structures);
	$line = one_request($encoding);
	# the bytes are those of UTF-8, whatever they stand for elsewhere
	my $e = { LATIN1 => 'Ã©', EUC_JP => '辿' }->{$encoding} // 'é';
	is($line->{$_}, qq(chef "\\\n\x01\x7f $e), "$encoding: $_") for qw(role session_user);
	is($line->{object}, qq(a "b" \\ \n\t\x01 c), "$encoding: object");
	# the server has its own way with what cannot be printed
	is($line->{application_name}, $away->value('SHOW application_name'), "$encoding: application_name");
	like($line->{application_name}, qr/\Ax"\\,"role":"autre\S+\z/, 'with what could end a text');
	is($line->{context}, { UTF8 => 'œuvre 😀', SQL_ASCII => 'œuvre 😀', LATIN1 => 'été', EUC_JP => 'Tests' }->{$encoding},
		"$encoding: context");
	$away->quit;
}
run_sql($session, 'SET apigouv_fdw.object = ' . "'" . 'é' x 5000 . "'", $structures, 'RESET apigouv_fdw.object');
is(one_request('a long object')->{object}, 'é' x 500 . '…', 'it is cut');

# ===================================================================
# A line that cannot be made, for want of the cluster's key: no request, then
# nor later, when the transaction goes on
# ===================================================================
my $key = $node->data_dir . '/pg_stat_tmp/apigouv_fdw/key';
my $about_person = 'SELECT e.ine FROM personnes AS p JOIN particulier.particulier_etudiant_boursier_ine AS e ON e.ine = p.ine';
my %no_key = (sqlstate => '58030', message => 'could not write an audit line: the cluster has no key to hash with',
	detail => 'No request was made.', requests => 0);
chmod 0, $key or die "$key: $!";
for my $case (
	[ 'a document', "SELECT apigouv_document('entreprise', lien) FROM liens" ],
	[ 'a person', $about_person ])
{
	my ($name, $sql) = @$case;
	stub_reset();
	run_sql($session, 'BEGIN', 'SAVEPOINT a');
	refuses($session, $sql, \%no_key, "$name: refused");
	run_sql($session, 'ROLLBACK TO a', $structures, 'COMMIT');
	is(scalar(my @sent = requests()), 1, "$name: the next statement sends its own request alone");
	is(told('api', audit_lines()), 'marche_inclusion marche_inclusion', "$name: and has its own lines");
}
# a cursor that has failed keeps its memory until the transaction ends
stub_reset();
run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $about_person", 'SAVEPOINT a');
refuses($session, 'FETCH 1 FROM c', \%no_key, 'a cursor over persons');
run_sql($session, 'ROLLBACK TO a', $structures, 'COMMIT');
is(scalar(my @sent = requests()), 1, 'nothing is done for it any more');
is(told('verdict', audit_lines()), '- rows', 'and the next statement does not fail for it');
chmod 0600, $key or die "$key: $!";

# ===================================================================
# A line that would not reach the log: no request
# ===================================================================
sub refuses_unlogged
{
	my ($asks, $why, $name) = @_;
	my %want = (
		sqlstate => '55000', requests => 0, message => qr/^cannot use foreign server "\w+": its audit lines would not reach the server log$/,
		detail => "$why  No request was made.", hint => qr/^Its requests must be logged/, context => undef);
	refuses($asks, $vigilance, \%want, "$name: a table");
	refuses($asks, 'SELECT count(*) FROM marche_travail.marche_travail_familles_indicateurs', \%want, "$name: no access token is asked for");
	refuses($asks, "SELECT length(apigouv_document('entreprise', lien)) FROM liens", \%want, "$name: a document");
	return;
}
my $fresh = session($node);
run_sql($fresh, 'BEGIN', 'SET apigouv_fdw.audit = on', $vigilance, 'SAVEPOINT a', 'SET LOCAL log_min_messages = fatal');
audit_log();
refuses($fresh, $vigilance, { sqlstate => '55000', requests => 0 }, 'log_min_messages: nor is a reply of the cache given');
run_sql($fresh, 'ROLLBACK', 'SET apigouv_fdw.audit = on', 'SET log_min_messages = fatal');
refuses_unlogged($fresh, 'Setting "log_min_messages" keeps the entries of level LOG out of it.', 'log_min_messages fatal');
run_sql($fresh, 'SET log_min_messages = panic');
refuses_unlogged($fresh, 'Setting "log_min_messages" keeps the entries of level LOG out of it.', 'log_min_messages panic');
run_sql($fresh, 'SET apigouv_fdw.audit = off');
is(counted($fresh, $vigilance)->{requests}, 1, 'a request that need not be audited is made');
run_sql($fresh, 'SET apigouv_fdw.audit = on', 'SET log_min_messages = error', $vigilance);
one_request('log_min_messages error lets LOG pass');
run_sql($fresh, 'BEGIN', 'DECLARE c CURSOR FOR SELECT id FROM data_inclusion.structures', 'RESET log_min_messages');
$fresh->quit;
$node->append_conf('postgresql.conf', "log_destination = ''\napigouv_fdw.audit = on\n");
$node->reload;
$fresh = session($node);
ApigouvTest::wait_for(sub { $fresh->value('SHOW log_destination') eq '' }, 'no log');
refuses_unlogged($fresh, 'Setting "log_destination" is empty.', 'no log_destination');
$_->quit for $fresh, $session, $talkative, $other, $agent, $control;
$node->append_conf('postgresql.conf', "log_destination = 'stderr'\n");
$node->stop;
my @pg_ctl = ($node->installed_command('pg_ctl'), '-w', '-s', '-D', $node->data_dir);
PostgreSQL::Test::Utils::system_or_bail(@pg_ctl, '-l', '/dev/null', 'start');
$fresh = session($node);
refuses_unlogged($fresh, 'The server was started with its standard error closed, or sent to /dev/null.', 'a log in /dev/null');
$fresh->quit;
PostgreSQL::Test::Utils::system_or_bail(@pg_ctl, 'stop');
$node->start;

# ===================================================================
# kill -9 between the two lines leaves the first
# ===================================================================
audit_begin($node);
my $killed = session($node);
stalled($killed);
my $pid = $killed->pid;
kill 'KILL', $pid;
ok($killed->finish->{dead}, 'kill -9 of the backend');
ApigouvTest::wait_for(sub { $node->psql('postgres', 'SELECT 1') == 0 }, 'the end of the recovery');
stub_reset();
@lines = audit_lines();
is(told('event', @lines), 'begin', 'the first line is there, the second is not');
is("$lines[0]{pid} $lines[0]{key}{siret}[0]", "$pid $siret", 'it says who and what');
done_testing();
