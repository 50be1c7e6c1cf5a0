# Documents: faults on their way, other hosts and the token, ends of a wait,
# what is told of a link.  pg_regress cannot show it: faults are ordered from
# the local API server, definitions are written, the server log is read.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

my $node = new_cluster('documents', "log_statement = none\n");
my $control = session($node);
my $PDF = '11111111-1111-4111-8111-111111111111';
my $DEAD = '00000000-0000-4000-8000-000000000000';
my $base = stub_url() . '/entreprise';
my $everything = '';

# Links stand in a table, so that no statement holds one.
run_sql($control, 'CREATE TABLE liens (nom text, lien text)',
	"INSERT INTO liens VALUES ('pdf', '$base/proxy/files/$PDF'), ('mort', '$base/proxy/files/$DEAD'),"
	  . " ('inpi', '$base/proxy/inpi/download/pdf'), ('ailleurs', 'https://example.org/UnLienQuePersonneNeVoit')",
	"ALTER SERVER entreprise OPTIONS (ADD retries '1', ADD response_max_bytes '1048576')",
	'GRANT SELECT ON liens TO PUBLIC');

sub document_of { return "SELECT length(apigouv_document('entreprise', lien)) FROM liens WHERE nom = '$_[0]'"; }

$node->append_conf('postgresql.conf', "log_min_messages = debug5\n");
$node->reload;
my $session = session($node, options => '-c client_min_messages=debug5');

# As refuses(), for a document; what was said is kept.
sub refuses_document
{
	my ($name, $fault, $want, $what) = @_;
	faults(map { { api => 'entreprise', path => '/proxy/*', times => -1, %$_ } } @$fault);
	my $result = refuses($session, document_of($name), { api => 'entreprise', %$want }, $what);
	$everything .= $result->{err};
	return;
}

# ===================================================================
# Faults: attempts, codes, words
# ===================================================================
is($session->value(document_of('pdf')), 50, 'a document');
refuses_document('pdf', [ { action => 'giant', bytes => 3 * 1048576 } ],
	{ sqlstate => '54000', message => 'document of foreign server "entreprise" is larger than 1048576 bytes',
		hint => qr/response_max_bytes/, requests => 1 }, 'larger than response_max_bytes');
refuses_document('pdf', [ { action => 'giant_gzip', bytes => 300 * 1048576 } ],
	{ sqlstate => '54000', requests => 1 }, 'larger than that once it is decompressed');
refuses_document('pdf', [ { action => 'bad_gzip' } ],
	{ sqlstate => 'HV00M', message => qr/could not decompress/, requests => 1 }, 'wrong gzip');
refuses_document('pdf', [ { action => $_ } ],
	{ sqlstate => '08006', requests => 2 }, "$_: another attempt, then an error")
  for qw(close reset cut cut_chunks);
refuses_document('pdf', [ { action => 'short_gzip' } ],
	{ sqlstate => 'HV00M', message => 'response of foreign server "entreprise" is not a document',
		detail => qr/^It came compressed, .*may lack its end; /, requests => 1 }, 'half of a compressed document');
is((requests(api => 'entreprise'))[-1]{headers}{'accept-encoding'}, 'identity', 'which was not asked for');
refuses_document('pdf', [ { action => 'garbage' } ],
	{ sqlstate => 'HV00M', message => 'response of foreign server "entreprise" is not a document',
		detail => qr/^It is JSON; /, requests => 1 }, 'what calls itself JSON');
refuses_document('pdf', [ { action => 'redirect', status => $_ } ],
	{ sqlstate => 'HV00M', message => "foreign server \"entreprise\" answered with HTTP status $_", requests => 1 },
	"a redirect ($_)")
  for (301, 302, 307);
is(scalar(requests(api => 'trap')), 0, 'which is not followed');
refuses_document('pdf', [ { status => 206, body => '%PDF-1.4 part' } ],
	{ sqlstate => 'HV00M', message => qr/HTTP status 206/, requests => 1 }, 'a part of it');
refuses_document('pdf', [ { status => 404, body => '' } ],
	{ sqlstate => 'HV00B', hint => qr/apigouv_fdw\.fresh = on/, requests => 1 }, '404 without body: a dead link');
refuses_document('pdf', [ { status => 410, body => 'Gone' } ],
	{ sqlstate => 'HV00B', requests => 1 }, '410: a dead link');
refuses_document('pdf', [ { status => 404, body => envelope('07003', 'Rien') } ],
	{ sqlstate => 'P0002', message => 'foreign server "entreprise" has no such document', requests => 1 },
	'404 with a code of the provider: no document');
refuses_document('pdf', [ { status => 403, body => envelope('00107', 'Adresse') } ],
	{ sqlstate => '42501', message => 'foreign server "entreprise" refused to give the document',
		detail => 'HTTP 403, 00107: Adresse.', requests => 1 }, '403 without a token: nothing about tokens');
refuses_document('pdf', [ { status => 502, body => envelope($_, 'Le fournisseur ne répond pas') } ],
	{ sqlstate => 'HV00M', message => 'foreign server "entreprise" is unavailable',
		detail => "HTTP 502, $_: Le fournisseur ne répond pas.", hint => qr/the link is not to blame/, requests => 1 },
	"502 $_: the provider, not the link")
  for qw(00601 00606);
refuses_document('pdf', [ { status => 503, body => '' } ],
	{ sqlstate => 'HV00M', message => 'foreign server "entreprise" is unavailable', detail => 'HTTP 503.', requests => 1 },
	'503 without body');
refuses_document('pdf', [ { status => 429, body => '', headers => { 'Retry-After' => 0 } } ],
	{ sqlstate => '53400', message => qr/request quota is exhausted/, requests => 2 }, '429, again');
run_sql($control, 'SELECT apigouv_quota_forget()');
faults({ api => 'entreprise', path => '/proxy/files/*', action => 'cut', times => 1 });
is($session->value(document_of('pdf')), 50, 'cut once: the next attempt brings it all');
faults({ api => 'entreprise', path => '/proxy/*', delay_ms => 50, times => -1, skip => 1 });
is($session->value(document_of('inpi')), 50, 'two steps, the second slow');
faults({ api => 'entreprise', path => '/proxy/inpi/*', status => 200, body => '<html>', times => -1 });
refuses($session, document_of('inpi'), { sqlstate => 'HV00M', message => qr/has no "data\.document_url"/ },
	'a first step that is no JSON');
faults();

# ===================================================================
# An error leaves the transaction able to go on, and nothing behind
# ===================================================================
run_sql($session, 'BEGIN', 'SAVEPOINT s');
refuses($session, document_of('mort'), { sqlstate => 'HV00B' }, 'in a savepoint');
run_sql($session, 'ROLLBACK TO s');
is($session->value(document_of('pdf')), 50, 'after ROLLBACK TO, another document');
run_sql($session, 'COMMIT');

# ===================================================================
# No link in what a client is told, nor in the server log
# ===================================================================
my $repeated = "$base/proxy/files/$PDF";
for my $body (envelope('06052', "Voir $repeated"), envelope('06052', "GET /proxy/files/$PDF refusé"),
	envelope('06052', "fichier $PDF illisible"))
{
	for my $status (200, 403, 404, 500, 502)
	{
		refuses_document('pdf', [ { status => $status, body => $body } ], {}, "$status that repeats the link");
	}
}
refuses_document('pdf', [ { status => 500, headers => { 'Content-Type' => 'text/plain' },
			body => "cannot serve /proxy/files/$PDF" } ], { detail => qr/cannot serve .*\[secret\]/ }, 'plain text that repeats it');
refuses_document('ailleurs', [], { sqlstate => '42501', requests => 0 }, 'a link elsewhere');
faults();
for my $format (qw(text json))
{
	$everything .= $session->query("EXPLAIN (ANALYZE, VERBOSE, FORMAT $format) " . document_of('pdf'))->{out};
}
my $log = slurp_bytes($node->logfile);
for my $secret ($PDF, $DEAD, 'UnLienQuePersonneNeVoit', '/proxy/files/1')
{
	is(index($everything, $secret), -1, 'no link in what the client was told');
	is(index($log, $secret), -1, 'no link in the server log');
}
like($log, qr/DEBUG:/, 'which was at debug5');

# ===================================================================
# Hosts of a definition: its own rules, its own certificate, the token
# ===================================================================
my ($ca_file, %tls) = ApigouvFaults::tls_fronts();
my ($host) = $tls{good} =~ m{^https://([^/]+)};
my ($stranger) = $tls{stranger} =~ m{^https://([^/]+)};
my $directory = own_definitions($node);
my $definition = JSON::PP::decode_json(slurp_bytes("$directory/entreprise.json"));
$definition->{documents}{hosts} = [
	{ path => '/proxy/files/', token => JSON::PP::true, limit => 'documents' },
	{ host => $host, path => '/entreprise/proxy/', replies => [ { status => [ 403, 404 ], is => 'dead_link' } ] },
	{ host => $stranger } ];
open(my $file, '>', "$directory/entreprise.json") or die;
print $file json_text($definition);
close $file;
run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD ca_file '$ca_file', ADD private_addresses '127.0.0.1')",
	"INSERT INTO liens VALUES ('tls', 'https://$host/entreprise/proxy/files/$PDF'),"
	  . " ('etranger', 'https://$stranger/entreprise/proxy/files/$PDF'),"
	  . " ('tls_mort', 'https://$host/entreprise/proxy/files/$DEAD'),"
	  . " ('tls_ailleurs', 'https://$host/marche_inclusion/api/siae/')",
	'CREATE ROLE lecteur LOGIN', 'GRANT USAGE ON FOREIGN SERVER entreprise TO lecteur');
$session = session($node);
stub_reset();
is($session->value(document_of('tls')), 50, 'a document of another host');
is($session->value(document_of('pdf')), 50, 'and one of the API, with its token');
is(join(' ', map { $_->{authorization} ? 'token' : 'none' } requests(api => 'entreprise')), 'none token',
	'which goes to the API alone');
refuses($session, document_of('tls_mort'), { sqlstate => 'HV00B', requests => 1 }, 'rules of a host');
refuses($session, document_of('tls_ailleurs'), { sqlstate => '42501', requests => 0 }, 'a path that is not listed');
refuses($session, document_of('etranger'), { sqlstate => 'HV00N', detail => qr/certificate/, requests => 0 },
	'a host whose certificate is not trusted');
my $reader = session($node, user => 'lecteur');
is($reader->value(document_of('tls')), 50, 'no token, no user mapping');
refuses($reader, document_of('pdf'), { sqlstate => '42704', message => qr/user mapping not found/, requests => 0 },
	'a token, a user mapping');
faults({ api => 'entreprise', status => 403, body => envelope('00100', 'Privilèges'), times => -1 });
refuses($session, document_of('pdf'), { sqlstate => '42501', hint => qr/user mapping/ }, 'a token that lacks a right');
faults();
is(scalar(grep { /cache-control/ } map { keys %{ $_->{headers} } } requests()), 0, 'no header beside');
is($session->value("SELECT length(apigouv_document('entreprise', lien, true)) FROM liens WHERE nom = 'pdf'"), 50, 'asked fresh');
is((requests(api => 'entreprise'))[-1]{headers}{'cache-control'}, 'no-cache', 'past the caches of the upstream');

# ===================================================================
# A wait for a slot of the limit ends with the query
# ===================================================================
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET limits 'documents=1/3600s')", 'SELECT apigouv_quota_forget()');
$session = session($node);
is($session->value(document_of('pdf')), 50, 'the only one of an hour');
for my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	run_sql($control, "ALTER SERVER entreprise OPTIONS (@{[$how eq 'pg_cancel_backend' ? 'ADD' : 'SET']} quota_wait_ms '3600000')");
	$session->start(document_of('pdf'));
	ApigouvTest::wait_for(sub {
			$control->value("SELECT coalesce(max(waiting), 0) FROM apigouv_quota WHERE \"limit\" = 'documents'") == 1
		}, 'a wait for a slot');
	my $since = time();
	$control->query("SELECT $how(" . $session->pid . ')');
	my $result = $session->finish;
	my $ms = (time() - $since) * 1000;
	is($result->{sqlstate}, $how eq 'pg_cancel_backend' ? '57014' : '57P01', "$how in a wait for a slot");
	cmp_ok($ms, '<', time_to_end($control, $how), 'at once');
	diag(sprintf '%s in a wait for a slot: %.1f ms', $how, $ms);
}
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET limits 'documents=10000/1s, fichiers=10000/1s, ip=10000/1s',"
	  . " DROP quota_wait_ms)", 'SELECT apigouv_quota_forget()');

# ===================================================================
# What is done a thousand times takes no memory
# ===================================================================
sub many
{
	my ($what) = @_;
	return sub {
		run_sql($session, 'DO $$ BEGIN FOR i IN 1 .. ' . $_[0] . " LOOP $what; COMMIT; END LOOP; END \$\$");
	};
}
$session = session($node);
keeps_its_size($session, many('PERFORM (' . document_of('pdf') . ')'), 'documents');
keeps_its_size($session, many('BEGIN PERFORM (' . document_of('mort') . '); EXCEPTION WHEN SQLSTATE \'HV00B\' THEN NULL; END'),
	'dead links');
keeps_its_size($session, many("BEGIN PERFORM (" . document_of('ailleurs') . '); EXCEPTION WHEN insufficient_privilege THEN NULL; END'),
	'links that are refused');
$session = session($node);
keeps_its_size($session, many('PERFORM count(*) FROM apigouv_tables'), 'apigouv_tables');
keeps_its_size($session, many('PERFORM count(*) FROM apigouv_columns'), 'apigouv_columns');
my $since = time();
$session->value('SELECT count(*) FROM apigouv_columns');
diag(sprintf 'apigouv_columns: %.1f ms for %d tables', (time() - $since) * 1000,
	$session->value('SELECT count(*) FROM apigouv_tables'));
cmp_ok($session->value("SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'apigouv_fdw definition'"), '<', 12,
	'no definition stays that was only listed');

done_testing();
