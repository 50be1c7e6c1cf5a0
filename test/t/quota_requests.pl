# Every request that reaches an API is counted, whatever it is for, and none
# that does not: attempts, libcurl's own repetitions, access tokens, scopes,
# lookups.  pg_regress cannot show it: it takes connections that die.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use Test::More;

my $node = new_cluster('quota_requests');
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $siren = $ApigouvTest::SIREN;

limits($session, undef, urssaf => "10/$LONG", json => "10/$LONG", ip => "20/$LONG");
run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0', ADD retries '0')",
	"ALTER SERVER marche_travail OPTIONS (SET limits 'appels=10/$LONG')");

# As many were counted as the API has received.
sub counts
{
	my ($limit, $n, $name) = @_;
	my $received = () = requests(api => qr/^(?:entreprise|marche_travail)$/);
	return is(used($session, $limit) . " counted, $received received", "$n counted, $n received", $name);
}

# ===================================================================
# Attempts
# ===================================================================
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET retries '3')");
begin_anew($session);
faults(
	{ api => 'entreprise', action => 'close', times => 1 },
	{ api => 'entreprise', path => '/v*', times => 1, status => 502, body => envelope('00501', 'Panne') },
	{ api => 'entreprise', path => '/v*', times => -1, status => 200, body => $YES });
is($session->value(vigilance(1)), '1', 'a request that takes several attempts');
counts('urssaf', 3, 'each attempt counts');
counts('ip', 3, 'for the address too');
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET retries '0')");

# A reply that is cut, garbage or too late was a request all the same.
begin_anew($session);
for my $action (qw(cut garbage reset))
{
	faults({ api => 'entreprise', action => $action, times => -1 });
	isnt($session->query(vigilance(1))->{sqlstate}, undef, "$action: an error");
}
my $received = () = requests(api => 'entreprise');
is(used($session, 'urssaf'), $received, 'a reply that fails has been counted');
cmp_ok($received, '>=', 3, 'each of them');

# ===================================================================
# A kept connection that has died: libcurl sends again by itself
# ===================================================================
begin_anew($session);
run_sql($session, vigilance(1));
faults(
	{ api => 'entreprise', action => 'close', times => 1 },
	{ api => 'entreprise', path => '/v*', times => -1, status => 200, body => $YES });
is($session->value(vigilance(1, 20100)), '1', 'a dead connection is replaced');
counts('urssaf', 3, 'what libcurl sends again counts');

# Without a slot for it, it is not sent.
limits($session, undef, urssaf => "2/$LONG");
begin_anew($session);
run_sql($session, vigilance(1));
faults({ api => 'entreprise', action => 'close', times => 1 });
refuses($session, vigilance(1, 20100), { sqlstate => '08006', requests => 1 },
	'a dead connection, and no slot left: not sent again');
counts('urssaf', 2, 'nothing is sent that is not counted');
limits($session, undef, urssaf => "10/$LONG", json => "10/$LONG", ip => "20/$LONG");

# ===================================================================
# A connection that cannot be made: nothing was sent
# ===================================================================
my $port = free_port();
run_sql($session,
	"CREATE SERVER ferme FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', base_url"
	  . " 'http://127.0.0.1:$port', recipient '00000900100017', retries '2', limits 'urssaf=10/$LONG, ip=20/$LONG')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER ferme OPTIONS (token '" . token('entreprise') . "')",
	'CREATE SCHEMA ferme',
	'IMPORT FOREIGN SCHEMA entreprise LIMIT TO (entreprise_attestation_vigilance) FROM SERVER ferme INTO ferme');
begin_anew($session);
run_sql($session, vigilance(2));
refuses($session, vigilance(1, 20100, 'ferme'), { sqlstate => 'HV00N', detail => qr/after 3 attempts\.$/ },
	'a port where nobody listens');
counts('urssaf', 2, 'a request that was not sent gives its slot back');
counts('ip', 2, 'that of the address too');

# ===================================================================
# Lookups, scopes, access tokens
# ===================================================================
begin_anew($session);
stub_reset();
is($session->value('SELECT count(*) FROM entreprise.entreprise_certification_qualiopi'
		  . " WHERE siren = '$siren'"), '1', 'a route that looks for the head office first');
is(join(' ', map { m{/([^/]+)$} } map { $_->{path} } requests(api => 'entreprise')),
	'siege_social certifications_qualiopi_france_competences', 'takes two requests');
counts('json', 2, 'both count in their limit');
counts('ip', 2, 'and for the address');

run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token '"
	  . token('entreprise_opaque') . "')");
my $opaque = session($node);
begin_anew($session);
stub_reset();
is($opaque->value('SELECT count(*) FROM entreprise.entreprise_attestations'
		  . " WHERE siren = '$siren' AND type = 'attestation_vigilance'"), '1', 'a token whose scopes must be asked');
is(scalar(requests(path => '/privileges')), 1, 'takes a request for them');
counts('ip', 2, 'which counts for the address');
is(used($session, 'urssaf'), '1', 'and not for the source');

my $travail = session($node);
my $tensions = 'SELECT count(*) > 0 FROM marche_travail.marche_travail_tensions'
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53' AND code_rome = ";
begin_anew($session);
stub_reset();
is($travail->value("$tensions 'D1102'"), 't', 'an API with access tokens');
is(scalar(requests(path => qr/access_token/)), 1, 'takes a request for one');
counts('appels', 2, 'which counts for the client');
is($travail->value("$tensions 'D1106'"), 't', 'a second query');
counts('appels', 3, 'has its token already');
stub_options(expire_tokens => JSON::PP::true);
$travail->query("$tensions 'M1805'");
stub_options(expire_tokens => JSON::PP::false);
cmp_ok(scalar(requests(path => qr/access_token/)), '>=', 2, 'a token that is not good any more is renewed');
is(used($session, 'appels'), scalar(requests(api => 'marche_travail')), 'which is counted as well');

run_sql($session, "ALTER SERVER marche_travail OPTIONS (ADD quota_wait_ms '0', SET limits 'appels=1/$LONG')");
$travail = session($node);
begin_anew($session);
stub_reset();
refuses($travail, "$tensions 'D1102'", {
	sqlstate => '53400', detail => qr/^Limit "appels" is 1 request per 600 seconds; /, requests => 1 },
	'a slot for the token, none for the call');
refuses(session($node), "$tensions 'D1102'", { sqlstate => '53400', requests => 0 },
	'none for the token: nothing is asked');

done_testing();
