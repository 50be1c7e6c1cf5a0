# Access tokens of France Travail: obtained, kept, renewed once, refused.
# pg_regress cannot show it: the replies are ordered from the local API server,
# and the requests for tokens that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('access_tokens');
my $tensions =
  "SELECT niveau FROM marche_travail.marche_travail_tensions"
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
  . " AND code_rome = 'D1102' AND code_indicateur = 'PERSPECTIVE'"
  . " AND derniere_periode";
my $token_path = '/connexion/oauth2/access_token';
my $api_path = '/partenaire/*';

sub give
{
	my ($path, %with) = @_;
	faults({ api => 'marche_travail', path => $path, times => -1, %with });
	return;
}

# What was asked since a moment: t = a token, a = the API, in order.
sub asked
{
	my ($since) = @_;
	my @all = requests(api => 'marche_travail');
	return join '', map { $_->{path} =~ /access_token/ ? 't' : 'a' }
	  @all[ $since .. $#all ];
}

sub so_far { return scalar(requests(api => 'marche_travail')); }

# A query in a new session, which has no token yet.
sub fresh_refuses
{
	my ($want, $name) = @_;
	my $session = session($node);
	return refuses($session, $tensions, { api => 'marche_travail', %$want },
		$name);
}

# ===================================================================
# A token is obtained once for many queries, and sent as the API wants
# ===================================================================
my $session = session($node);
my $since = so_far();
like($session->value($tensions), qr/^[1-5]$/, 'a level');
$session->query($tensions) for 1 .. 3;
is(asked($since), 'taaaa', 'one token for four queries');
my ($token_request) = requests(path => qr/access_token/);
is($token_request->{query}, 'realm=%2Fpartenaire', 'the realm is in the query');
like($token_request->{body},
	qr/^grant_type=client_credentials&client_id=\w+&client_secret=\[secret\]&scope=\S+%20\S+$/,
	'the form');

# ===================================================================
# 401: the token is renewed once, then it is an error
# ===================================================================
$since = so_far();
stub_options(expire_tokens => JSON::PP::true);
like($session->value($tensions), qr/^[1-5]$/, '401, new token, rows');
is(asked($since), 'ata', 'the token was renewed once');

give($api_path, status => 401, body => '',
	headers => { 'Content-Type' => 'application/json' });
$since = so_far();
refuses($session, $tensions, {
	sqlstate => '28000',
	message => 'foreign server "marche_travail" refused the token',
	detail => 'HTTP 401.',
	hint => qr/user mapping of role "\w+" on foreign server "marche_travail"/ },
	'401 again');
is(asked($since), 'ata', 'after one renewal, no more');

stub_reset();
stub_options(expire_tokens => JSON::PP::true);
$since = so_far();
$session->query("SELECT niveau FROM marche_travail.marche_travail_tensions"
	. " WHERE code_type_territoire = 'DEP' AND code_territoire IN ('29', '35', '44', '56')"
	. " AND code_rome = 'D1102' AND derniere_periode");
is(join('', sort split //, asked($since)), 'aaaaaaaat',
	'four refusals of one token renew it once');

stub_options(token_lifetime_s => 1);
$session = session($node);
$since = so_far();
$session->query($tensions) for 1 .. 2;
is(asked($since), 'tata', 'a token about to end is not used again');

stub_options(token_lifetime_s => 30);
$session = session($node);
$since = so_far();
$session->query($tensions) for 1 .. 2;
is(asked($since), 'taa', 'a token of a short life serves for half of it');
stub_reset();

# ===================================================================
# No token
# ===================================================================
my $no_token =
  'could not obtain an access token for foreign server "marche_travail"';
for my $case (
	[ 'invalid_client', 'Client authentication failed' ],
	[ 'invalid_scope', 'Unknown/invalid scope(s): [x]' ],
	[ 'unsupported_grant_type', 'Grant type is not supported: x' ],
	[ 'invalid_grant', 'Refus' ])
{
	my ($error, $description) = @$case;
	give($token_path, status => 400,
		body => { error => $error, error_description => $description });
	fresh_refuses({
		sqlstate => '28000',
		message => $no_token,
		detail => "HTTP status 400, $error: $description.",
		hint => qr/"client_id" and "client_secret" in the user mapping of role "\w+"/,
		requests => 1 }, "token refused: $error");
}

give($token_path, status => 400, body => '<html>');
fresh_refuses({
	sqlstate => '28000', message => $no_token, detail => 'HTTP status 400.',
	requests => 1 }, 'token refused in HTML');

give($token_path, status => 200, body => { token_type => 'Bearer' });
fresh_refuses({
	sqlstate => 'HV00M', message => $no_token, requests => 1 },
	'a reply without a token');

give($token_path, status => 200, body => '<html>');
fresh_refuses({
	sqlstate => 'HV00M', message => $no_token, requests => 1 },
	'a token reply in HTML');

give($token_path, status => 500, body => '');
fresh_refuses({ sqlstate => 'HV00M', message => $no_token, requests => 1 },
	'500 of the token endpoint');

give($token_path, status => 503, body => '', headers => { 'Retry-After' => 0 });
fresh_refuses({ sqlstate => 'HV00M', message => $no_token, requests => 4 },
	'503 of the token endpoint, after retries');

give($token_path, status => 503, body => '', times => 2,
	headers => { 'Retry-After' => 0 });
like(session($node)->value($tensions), qr/^[1-5]$/,
	'503 of the token endpoint then fine: rows');

give($token_path, action => 'close');
fresh_refuses({ sqlstate => '08006', requests => 4 },
	'a token endpoint that closes the connection');

# Clients that the local API server knows.
sub as_client
{
	my ($name) = @_;
	$node->safe_psql('postgres',
		"ALTER USER MAPPING FOR CURRENT_USER SERVER marche_travail OPTIONS ("
		. "SET client_id '" . token("${name}_id") . "', "
		. "SET client_secret '" . token("${name}_secret") . "')");
	return;
}

stub_reset();
as_client('marche_travail_partiel');
fresh_refuses({
	sqlstate => '28000', detail => qr/invalid_scope/, requests => 1 },
	'a client without one of the scopes');
as_client('marche_travail_refuse');
fresh_refuses({
	sqlstate => '42501',
	message => 'foreign server "marche_travail" refused the request for lack of rights',
	detail => 'HTTP 403.',
	hint => qr/(?=.*both scopes)(?=.*user mapping of role "\w+")/s,
	requests => 2 }, '403: check both scopes');
as_client('marche_travail');

still_works($session, 'the session goes on after all these');
done_testing();
