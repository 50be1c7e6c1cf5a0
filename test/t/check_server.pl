# apigouv_check_server: every fault that a beginner's server can have is a row
# with what to do, found with two requests at most, and none where an ordinary
# query would send none.  pg_regress cannot show it: it takes other places than
# the local API server, faults on demand, its log, roles and broken files.
use strict;
use utf8;
use warnings;

use ApigouvAudit;
use ApigouvFaults;
use ApigouvTest;
use JSON::PP;
use MIME::Base64 'encode_base64url';
use Test::More;

my $node = new_cluster('check_server');
my $session = session($node);
my $json = JSON::PP->new->allow_nonref;
my @told;    # all that was ever told

# What a check says: by step, { state, message, hint }, and "requests" made.
sub check
{
	my ($server, $of, $role) = @_;
	my $result = counted($of // $session, "SELECT json_object_agg(step, to_json(c)) FROM apigouv_check_server('$server'"
		. (defined $role ? ", '$role'" : '') . ') AS c');
	diag($result->{err}) if $result->{err} ne '';
	push @told, $result->{out};
	my $steps = eval { $json->decode($result->{out}) } // {};
	return { %$steps, requests => $result->{requests}, all => join(' ',
			map { "$_:$steps->{$_}{state}" } grep { $steps->{$_}{state} ne 'ok' } sort keys %$steps) };
}

# finds(check, "step:state ..." of the steps that are not ok, requests, step, message, hint, name)
sub finds
{
	my ($check, $states, $requests, $step, $message, $hint, $name) = @_;
	is("$check->{all}, $check->{requests} requests", "$states, $requests requests", $name) or diag(json_text($check));
	like($check->{$step}{message} // '', $message, "$name: says what is wrong");
	like($check->{$step}{hint} // '', $hint, "$name: says how to mend it");
	return;
}

sub server { run_sql($session, "ALTER SERVER $_[0] OPTIONS ($_[1])"); return; }
sub mapping { run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER $_[0] OPTIONS ($_[1])"); return; }

# ===================================================================
# Nothing is wrong: each API is asked its cheapest question
# ===================================================================
my %asks = (
	marche_inclusion => '/api/siae/kinds/?limit=1', data_inclusion => '/api/v1/sources', entreprise => '/privileges',
	particulier => '/api/introspect',
	marche_travail => '/connexion/oauth2/access_token?realm=%2Fpartenaire'
	  . ' /partenaire/stats-offres-demandes-emploi/v1/referentiel/type-activites');
for my $api (sort keys %asks)
{
	stub_reset();
	my $check = check($api);
	is($check->{all}, '', "$api: all is well") or diag(json_text($check));
	is(join(' ', map { $_->{path} . ($_->{query} ne '' ? "?$_->{query}" : '') } requests()), $asks{$api}, "$api: what it is asked");
}
is(check('marche_travail')->{requests}, 2, 'an access token is obtained anew: what is kept would not show the credentials');
is(scalar(grep { $_->{query} =~ /recipient|context|object/ } requests()), 0, 'no purpose is sent');
my $fine = check('entreprise');
is($fine->{token}{message}, 'it ends at 2036-01-01 00:00:00+00', 'when the token ends');
like($fine->{scopes}{message}, qr/^the token holds \d+ scopes, which open \d+ of 64 tables$/, 'what its scopes are for');
like($fine->{scopes}{hint}, qr/^Closed: \w+, .*, \.\.\.\. /, 'and some of the tables that they do not open');
like(check('entreprise')->{quota}{message}, qr/^"ip": \d+ used of \d+ requests per 1 second, \d+ left$|^nothing was sent lately$/, 'what was used of the limits');

# ===================================================================
# No table yet: the hint can be typed as it is
# ===================================================================
run_sql($session, 'DROP SCHEMA data_inclusion CASCADE');
my $empty = check('data_inclusion');
finds($empty, 'tables:warning', 1, 'tables', qr/^there is no foreign table/,
	qr/^CREATE SCHEMA data_inclusion; IMPORT FOREIGN SCHEMA data_inclusion FROM SERVER data_inclusion INTO data_inclusion;$/, 'no table');
run_sql($session, $empty->{tables}{hint});
is(check('data_inclusion')->{all}, '', 'the import is what was lacking');

# ===================================================================
# The user mapping
# ===================================================================
run_sql($session, 'DROP USER MAPPING FOR CURRENT_USER SERVER data_inclusion');
finds(check('data_inclusion'), 'answer:skipped connection:skipped quota:skipped token:skipped user mapping:error', 0, 'user mapping',
	qr/^user mapping not found for role "\w+" on foreign server "data_inclusion"$/,
	qr/^Create one with CREATE USER MAPPING FOR \w+ SERVER data_inclusion OPTIONS \(token '\.\.\.'\)\.$/, 'no user mapping');
run_sql($session, 'CREATE USER MAPPING FOR CURRENT_USER SERVER data_inclusion');
my $without = check('data_inclusion');
finds($without, 'answer:skipped connection:skipped quota:skipped token:skipped user mapping:error', 0, 'user mapping',
	qr/has no option "token"$/, qr/^Give it with ALTER USER MAPPING FOR \w+ SERVER data_inclusion OPTIONS \(ADD token '\.\.\.'\)\.$/,
	'a user mapping without token');
my $token = token('data_inclusion');
my ($command) = $without->{'user mapping'}{hint} =~ /(ALTER .*\))/;
run_sql($session, $command =~ s/\.\.\./$token/r);
is(check('data_inclusion')->{all}, '', 'the command of the hint mends it');
mapping('marche_travail', "DROP client_id, DROP client_secret, ADD token 'jeton'");
my $wrong_kind = check('marche_travail');
finds($wrong_kind, 'answer:skipped connection:skipped quota:skipped token:skipped user mapping:error', 0, 'user mapping',
	qr/has no option "client_id"$/, qr/OPTIONS \(DROP token, ADD client_id '\.\.\.', ADD client_secret '\.\.\.'\)\.$/,
	'a token where client credentials are needed');
mapping('marche_travail', "DROP token, ADD client_id '" . token('marche_travail_id') . "', ADD client_secret '" . token('marche_travail_secret') . "'");
is(check('marche_travail')->{all}, '', 'the command of the hint mends that, too');
run_sql($session, 'CREATE ROLE regress_public LOGIN', 'CREATE USER MAPPING FOR PUBLIC SERVER data_inclusion OPTIONS (token \'' . token('data_inclusion') . "')");
is(check('data_inclusion', undef, 'regress_public')->{'user mapping'}{message}, 'role "regress_public" uses that of PUBLIC', 'that of PUBLIC serves others');
run_sql($session, 'DROP USER MAPPING FOR PUBLIC SERVER data_inclusion');

# ===================================================================
# The token
# ===================================================================
sub with_token { my ($server, $token) = @_; mapping($server, "SET token '$token'"); return check($server); }
my $renewal = qr/ALTER USER MAPPING FOR \w+ SERVER \w+ OPTIONS \(SET token '\.\.\.'\)\.$/;
finds(with_token('entreprise', token('entreprise_expire')), 'answer:skipped connection:skipped token:error', 0, 'token',
	qr/^it has ended, at 2024-/, $renewal, 'a token that has ended is not sent');
my $soon = join '.', map { encode_base64url($_) } '{"alg":"HS256"}', $json->encode({ exp => time() + 86400 * 10, scopes => ['open_data'] }), 'x';
my $ends_soon = with_token('entreprise', $soon);
is($ends_soon->{token}{state}, 'warning', 'one that ends in ten days is warned of');
like($ends_soon->{token}{hint}, $renewal, '... with how to replace it');
finds(with_token('entreprise', substr(token('entreprise'), 0, 60)), 'answer:error token:error', 1, 'token', qr/not copied whole$/, $renewal,
	'a token that was cut');
finds(with_token('entreprise', token('entreprise_noir')), 'answer:error', 1, 'answer', qr/refused the token: HTTP 401, 00105: /, $renewal,
	'a token that was revoked');
finds(with_token('entreprise', token('entreprise_ip')), 'answer:error', 1, 'answer', qr/lack of rights: HTTP 403, 00107: /,
	qr/may be used from other addresses only/, 'a token for other addresses');
is(with_token('entreprise', token('entreprise_sans_scope'))->{scopes}{state}, 'warning', 'a token without scopes');
like(with_token('entreprise', token('entreprise_opaque'))->{scopes}{message}, qr/^the token holds 2 scopes, which open/,
	'of one that does not tell its scopes, the API does');
with_token('entreprise', token('entreprise'));
finds(with_token('data_inclusion', 'x' x 40), 'answer:error', 1, 'answer', qr/refused the token/, $renewal, 'a token that is none');
finds(with_token('data_inclusion', token('data_inclusion_widget')), 'answer:error', 1, 'answer', qr/lack of rights: HTTP 403/,
	qr/needs one of the scopes "api"/, 'a token without the scope');
with_token('data_inclusion', token('data_inclusion'));
finds(with_token('marche_inclusion', 'court'), 'answer:error', 1, 'answer', qr/refused the token/, $renewal, 'a token that is too short');
with_token('marche_inclusion', token('marche_inclusion'));

sub with_client
{
	my ($id, $secret) = @_;
	mapping('marche_travail', "SET client_id '$id', SET client_secret '$secret'");
	return check('marche_travail');
}
my @client = map { token("marche_travail_$_") } qw(id secret);
finds(with_client($client[0], 'faux'), 'answer:error', 1, 'answer', qr/^could not obtain an access token .*: HTTP status 40[01], invalid_client/,
	qr/ALTER USER MAPPING FOR \w+ SERVER marche_travail OPTIONS \(SET client_id '\.\.\.', SET client_secret '\.\.\.'\)\.$/, 'a wrong client secret');
finds(with_client(map { token("marche_travail_partiel_$_") } qw(id secret)), 'answer:error', 1, 'answer', qr/invalid_scope/,
	qr/has subscribed to this API/, 'a client without the scopes');
finds(with_client(map { token("marche_travail_refuse_$_") } qw(id secret)), 'answer:error', 2, 'answer', qr/lack of rights: HTTP 403/,
	qr/./, 'a client whose tokens the API refuses');
with_client(@client);

# ===================================================================
# The purpose
# ===================================================================
run_sql($session, "SET apigouv_fdw.context = ''", "SET apigouv_fdw.object = ''");
server('entreprise', 'DROP recipient');
my $no_purpose = check('entreprise');
finds($no_purpose, 'purpose:error', 1, 'purpose', qr/^the API demands the purpose of each request/,
	qr/^ALTER SERVER entreprise OPTIONS \(ADD recipient '\.\.\.'\); SET apigouv_fdw\.context = '\.\.\.'; SET apigouv_fdw\.object = '\.\.\.';/, 'no purpose');
server('entreprise', "ADD recipient '00000900100017'");
run_sql($session, "SET apigouv_fdw.context = 'Essai'");
like(check('entreprise')->{purpose}{hint}, qr/^SET apigouv_fdw\.object = '\.\.\.'; Cond/, 'only what lacks is asked for');
run_sql($session, "SET apigouv_fdw.object = 'Objet'");
is(check('entreprise')->{purpose}{message}, 'recipient "00000900100017", context "Essai", object "Objet"', 'a whole purpose is shown');
server('particulier', 'DROP recipient');
is(check('particulier')->{all}, 'purpose:error', 'API Particulier demands a recipient');
server('particulier', "ADD recipient '00000900100017'");

# ===================================================================
# The address, the network, TLS
# ===================================================================
my ($ca_file, %tls) = ApigouvFaults::tls_fronts();
my $clear = stub_url() . '/marche_inclusion/api';
sub at_address
{
	my ($url, @options) = @_;
	server('marche_inclusion', join ', ', "SET base_url '$url'", @options);
	return check('marche_inclusion');
}
my $apart = 'answer:skipped connection:error';
finds(at_address('https://nulle-part.invalid/api'), $apart, 0, 'connection', qr/Could not find the address of "nulle-part\.invalid", port 443/,
	qr/^Check the host's name/, 'a name that is not resolved');
finds(at_address('http://127.0.0.1:' . free_port() . '/api'), $apart, 0, 'connection', qr/Connection refused, after 1 attempt\.$/,
	qr/^Nothing listens there/, 'a port that nobody listens on');
finds(at_address(deaf_url(), "ADD connect_timeout_ms '300'"), $apart, 0, 'connection', qr/No connection to .* within 300 ms/,
	qr/firewall/, 'no connection in time');
finds(at_address('http://' . (mute_url() =~ s{^http://}{}r), "ADD timeout_ms '300'"), $apart, 0, 'connection', qr/No complete reply within 300 ms/,
	qr/^$/, 'no reply in time');
server('marche_inclusion', 'DROP connect_timeout_ms, DROP timeout_ms');
finds(at_address('https://localhost.invalid:1/api', "ADD ca_file '$ca_file'"), $apart, 0, 'connection', qr/Could not find/, qr/./, 'with a ca_file, too');
is(at_address($tls{good})->{all}, '', 'TLS with a certificate of ca_file');
finds(at_address($tls{stranger}), $apart, 0, 'connection', qr/No TLS connection to/, qr/authority that is not trusted/, 'a certificate of an authority that is not trusted');
finds(at_address($tls{expired}), $apart, 0, 'connection', qr/No TLS connection to/, qr/^The certificate has ended/, 'a certificate that has ended');
finds(at_address($tls{other_host}), $apart, 0, 'connection', qr/No TLS connection to/, qr/^The certificate is of another host/, 'a certificate of another host');
finds(at_address($tls{good}, "SET ca_file '$ca_file.none'"), $apart, 0, 'connection', qr/No TLS connection to/, qr/^Check option "ca_file"/, 'a ca_file that is not there');
finds(at_address($tls{good}, 'DROP ca_file'), $apart, 0, 'connection', qr/No TLS connection to/, qr/authority that is not trusted|system has no certificates/, 'the authorities of the system only, if it has any');
my $page = raw_server(api => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",
	liste => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
finds(at_address("$page/api"), 'answer:error', 0, 'answer', qr/is not API "marche_inclusion": Its reply is not JSON; the content type is "text\/html"/,
	qr/base_url/, 'a page instead of the API');
finds(at_address("$page/liste"), 'answer:error', 0, 'answer', qr/is not API "marche_inclusion": Its reply has no "results"/, qr/base_url/, 'another API');
finds(at_address("$page/rien"), 'answer:error', 0, 'answer', qr/HTTP 404/, qr/base_url/, 'a wrong path');
at_address($clear);
server('marche_travail', "SET token_url 'https://nulle-part.invalid/'");
finds(check('marche_travail'), $apart, 0, 'connection', qr/"nulle-part\.invalid"/, qr/^Check the host's name/, 'the token endpoint is not found');
server('marche_travail', "SET token_url '" . stub_url() . "/marche_travail/connexion/oauth2/access_token?realm=%2Fpartenaire'");
# a private address that no superuser has listed: the definition's own host leads there in some networks
my $dir = own_definitions($node);
system("sed -i 's|https://api.data.inclusion.gouv.fr|https://10.1.2.3|' $dir/data_inclusion.json") == 0 or die;
my $other = session($node);
run_sql($other, 'CREATE SERVER interne FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api \'data_inclusion\')',
	"CREATE USER MAPPING FOR CURRENT_USER SERVER interne OPTIONS (token 'x')");
finds(check('interne', $other), "$apart tables:warning", 0, 'connection', qr/^cannot connect to address 10\.1\.2\.3 .*No request was made\.$/,
	qr/"private_addresses"/, 'a private address');

# ===================================================================
# The API refuses, fails, or is away: one attempt, whatever "retries" says
# ===================================================================
server('marche_inclusion', "ADD retries '5'");
sub with_fault
{
	my (%fault) = @_;
	faults({ api => 'marche_inclusion', path => '*', times => -1, %fault });
	my $check = check('marche_inclusion');
	faults();
	return $check;
}
finds(with_fault(status => 503, headers => { 'Retry-After' => '90' }), 'answer:error', 1, 'answer', qr/is unavailable: HTTP 503/,
	qr/^Run the query again in 90 seconds\.$/, 'maintenance');
finds(with_fault(status => 403, body => 'Interdit'), 'answer:error', 1, 'answer', qr/lack of rights: HTTP 403/, qr/lacks a right/, 'a refusal (403)');
finds(with_fault(status => 500), 'answer:error', 1, 'answer', qr/HTTP status 500/, qr/^$/, 'an error of the API (500)');
finds(with_fault(action => 'close'), $apart, 1, 'connection', qr/was lost before the reply/, qr/^$/, 'a lost connection');
finds(with_fault(status => 429, headers => { 'Retry-After' => '1' }), 'answer:error', 1, 'answer', qr/request quota is exhausted: HTTP 429/,
	qr/^Run the query again in 1 second\.$/, '429 of an API without limits');

# ===================================================================
# The quota: what is closed costs no request
# ===================================================================
run_sql($session, 'SELECT apigouv_quota_forget()');
faults({ api => 'particulier', path => '*', times => 1, status => 429, headers => { 'Retry-After' => '3000' } });
finds(check('particulier'), 'answer:error', 1, 'answer', qr/request quota is exhausted: HTTP 429/, qr/^Run the query again in 3000 seconds\.$/,
	'429: the API closes its limit');
faults();
my $closed = check('particulier');
finds($closed, 'answer:error connection:skipped quota:warning', 0, 'quota', qr/^nothing can be sent now under "json": 1 used of .*, 0 left, closed until /,
	qr/quota_wait_ms/, 'a closed limit');
like($closed->{answer}{message}, qr/request quota is exhausted: Limit "json" is /, '... and no request is made');
run_sql($session, 'SELECT apigouv_quota_forget()');
my $limits = $session->value("SELECT substr(option, 8) FROM pg_foreign_server, unnest(srvoptions) option WHERE srvname = 'particulier' AND option LIKE 'limits=%'");
server('particulier', "SET limits 'json=1/600s'");
is(check('particulier')->{requests}, 1, 'the only request of ten minutes');
finds(check('particulier'), 'answer:error connection:skipped quota:warning', 0, 'quota', qr/"json": 1 used of 1 request per 600 seconds, 0 left/,
	qr/quota_wait_ms/, 'a quota that is used up');
server('particulier', "SET limits '$limits'");
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 0');
finds(check('data_inclusion'), 'answer:skipped connection:skipped', 0, 'answer', qr/max_requests_per_query/, qr/^$/, 'caches only');
run_sql($session, 'RESET apigouv_fdw.max_requests_per_query');

# ===================================================================
# The audit: the request of a check is noted as any is, or not made
# ===================================================================
run_sql($session, 'SELECT apigouv_stats_reset()');
audit_begin($node);
check('entreprise');
my $noted = one_request('a check');
is(join(' ', @$noted{qw(table route server verdict context)}), 'entreprise_privileges privileges entreprise rows Essai', 'what the lines say');
is($noted->{server_check}, JSON::PP::true, 'that it is a check');
is($session->value('SELECT string_agg(server || \' \' || coalesce("table", \'-\') || \' \' || requests, \', \') FROM apigouv_stats'),
	'entreprise - 1', 'it is counted, for the server');
run_sql($session, 'SET log_min_messages = fatal');
finds(check('entreprise'), 'answer:skipped audit:error connection:skipped', 0, 'audit', qr/^cannot use foreign server "entreprise": its audit lines/,
	qr/let the server log receive/, 'a log that would not have the lines');
run_sql($session, 'RESET log_min_messages');

# ===================================================================
# Definitions that are wrong
# ===================================================================
sub with_definition
{
	my ($edit) = @_;
	system("sed -i '$edit' $dir/marche_inclusion.json") == 0 or die;
	my $check = check('marche_inclusion', session($node));
	system('cp ' . root() . "/apis/marche_inclusion.json $dir/") == 0 or die;
	return $check;
}
finds(with_definition('s/"route": "liste"/"route": "rien"/'), 'answer:error connection:skipped', 0, 'answer',
	qr/^invalid API definition "marche_inclusion\.json": check: table "types_structures" has no route "rien"$/, qr/^$/, 'a check of no route');
finds(with_definition('s/"table": "types_structures"/"table": "structures"/;s/"route": "liste"/"route": "siret"/'), 'answer:error connection:skipped', 0,
	'answer', qr/check: parameter "siret" of table "structures" has no value$/, qr/^$/, 'a check without its key');
finds(with_definition('s/"check": {/"notes": {/'), 'definition:error', 0, 'definition', qr/unrecognized member "notes"/, qr/./, 'a definition that cannot be read');
is(with_definition('s/"route": "liste"/"route": "liste", "values": {"autre": "x"}/')->{all}, '', 'a value that no parameter takes is not sent');

# ===================================================================
# Rights and arguments are errors of the function
# ===================================================================
run_sql($session, 'CREATE ROLE regress_agent LOGIN', 'CREATE ROLE regress_proprio LOGIN', 'CREATE ROLE regress_jeton', 'GRANT regress_jeton TO regress_proprio',
	'CREATE FOREIGN DATA WRAPPER autre', 'CREATE SERVER autre FOREIGN DATA WRAPPER autre',
	"CREATE USER MAPPING FOR regress_jeton SERVER data_inclusion OPTIONS (token '" . token('data_inclusion') . "')");
my $agent = session($node, user => 'regress_agent');
refuses($agent, "SELECT * FROM apigouv_check_server('data_inclusion')",
	{ sqlstate => '42501', message => 'permission denied for foreign server data_inclusion', requests => 0 }, 'without USAGE');
run_sql($session, 'GRANT USAGE ON FOREIGN SERVER data_inclusion TO regress_agent');
is(check('data_inclusion', $agent)->{all}, 'answer:skipped connection:skipped quota:skipped token:skipped user mapping:error', 'with USAGE: for oneself');
refuses($agent, "SELECT * FROM apigouv_check_server('data_inclusion', 'regress_jeton')",
	{ sqlstate => '42501', message => 'permission denied to use the user mapping of role "regress_jeton"', requests => 0 }, 'not for another role');
my $owner = session($node, user => 'regress_proprio');
run_sql($session, 'GRANT USAGE ON FOREIGN SERVER data_inclusion TO regress_proprio');
is(check('data_inclusion', $owner, 'regress_jeton')->{all}, '', 'a member of the role that holds the token');
is(check('data_inclusion', $session, 'regress_jeton')->{'user mapping'}{message}, 'role "regress_jeton" has one', 'a superuser');
my %wrong = (
	"'rien'" => [ '42704', 'server "rien" does not exist' ], 'NULL' => [ '22004', 'name of the foreign server must be given' ],
	"'autre'" => [ '42809', 'foreign server "autre" is not of apigouv_fdw' ], "'data_inclusion', 'personne'" => [ '42704', 'role "personne" does not exist' ]);
refuses($session, "SELECT * FROM apigouv_check_server($_)", { sqlstate => $wrong{$_}[0], message => $wrong{$_}[1], requests => 0 }, "arguments $_")
  for sort keys %wrong;

# ===================================================================
# What is the session's matter is an error, and nothing is left behind
# ===================================================================
stub_latency(5000);
refuses($session, "SET statement_timeout = '300ms'; SELECT * FROM apigouv_check_server('marche_inclusion')", { sqlstate => '57014' }, 'a cancel is one');
stub_latency(0);
run_sql($session, 'RESET statement_timeout');
still_works($session, 'the session goes on');
run_sql($session, 'BEGIN READ ONLY');
is(check('data_inclusion')->{all}, '', 'in a transaction that only reads');
is(check('data_inclusion')->{requests}, 1, 'again within it: asked again');
run_sql($session, 'COMMIT', 'BEGIN');
is(at_address('https://nulle-part.invalid/api')->{all}, $apart, 'an error that became a row');
is(check('data_inclusion')->{all}, '', '... leaves the transaction whole');
run_sql($session, 'COMMIT');
at_address($clear);
still_works($session, 'and the session');

# ===================================================================
# No secret is told, whatever was wrong
# ===================================================================
my $all = join "\n", @told;
is(join(' ', grep { index($all, $_) >= 0 } all_secrets(), 'court', $soon), '', 'no secret in any of it');

# ===================================================================
# A ledger that was made a moment ago: every limit is closed for a window
# ===================================================================
$node->stop;
unlink $node->data_dir . '/pg_stat/apigouv_fdw.ledger' or die "the ledger: $!";
$node->start;
finds(check('marche_travail', session($node)), 'answer:error connection:skipped quota:warning', 0, 'quota',
	qr/^nothing can be sent now under "\w+", closed until /, qr/was made, restored or has crashed/, 'a ledger that begins');

done_testing();
