# What the refusals of the two inclusion APIs become.  pg_regress cannot show
# it: the replies are ordered from the local API server, and the attempts that
# it received are counted.  Where the recorded error replies of these APIs are
# there (../shared/samples), each of them is given as well.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use JSON::PP;
use Test::More;

my $node = new_cluster('errors_inclusion');
my $session = session($node);

my %by_id = (
	marche_inclusion => 'SELECT id FROM marche_inclusion.structures WHERE id = 1001',
	data_inclusion => "SELECT id FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'");
my %list = (
	marche_inclusion => "SELECT id FROM marche_inclusion.structures WHERE kind = 'EI' LIMIT 5",
	data_inclusion => "SELECT id FROM data_inclusion.structures WHERE source = 'dora' LIMIT 5");

sub give
{
	my ($api, $status, $body, %headers) = @_;
	faults({
		api => $api, times => -1, status => $status, body => $body,
		headers => \%headers });
	return;
}

sub message { return qq(foreign server "$_[0]" $_[1]); }

# ===================================================================
# What both have in common
# ===================================================================
for my $api (sort keys %list)
{
	give($api, 401, { detail => 'Non authentifié' });
	refuses($session, $list{$api}, {
		sqlstate => '28000',
		message => message($api, 'refused the token'),
		detail => 'HTTP 401: Non authentifié.',
		hint => qr/user mapping of role "\w+" on foreign server "$api"/,
		requests => 1 }, "$api: a refused token");

	give($api, 404, { detail => 'Not Found' });
	is($session->value($by_id{$api}), '', "$api: 404 of a detail is no row");

	give($api, 404, '<html><title>Page introuvable</title></html>');
	refuses($session, $by_id{$api}, {
		sqlstate => 'HV00M',
		message => message($api, 'answered with HTTP status 404'),
		detail => 'HTTP 404.',
		hint => qr/base_url/,
		requests => 1 }, "$api: 404 in HTML is an error");

	give($api, 404, { detail => 'Not Found' });
	refuses($session, $list{$api}, {
		sqlstate => 'HV00M',
		detail => 'HTTP 404: Not Found.',
		requests => 1 }, "$api: 404 of a list is an error");

	give($api, 301, '', Location => "/$api/elsewhere/");
	refuses($session, $list{$api}, {
		sqlstate => 'HV00M',
		message => message($api, 'answered with HTTP status 301'),
		hint => qr/base_url/,
		requests => 1 }, "$api: a redirect is not followed");

	give($api, 405, { detail => 'Méthode' });
	refuses($session, $list{$api}, {
		sqlstate => 'HV00M', detail => 'HTTP 405: Méthode.', requests => 1 },
		"$api: 405");

	give($api, 500, 'Internal Server Error', 'Content-Type' => 'text/plain');
	refuses($session, $list{$api}, {
		sqlstate => 'HV00M',
		message => message($api, 'answered with HTTP status 500'),
		detail => 'HTTP 500: Internal Server Error.',
		requests => 1 }, "$api: 500 in plain text");

	give($api, 429, '', 'Retry-After' => 0);
	refuses($session, $list{$api}, {
		sqlstate => '53400', requests => 4 }, "$api: 429 of a proxy");

	for my $status (502, 503, 504)
	{
		give($api, $status, '<html>Bad gateway</html>', 'Retry-After' => 0);
		refuses($session, $list{$api}, {
			sqlstate => 'HV00M',
			message => message($api, 'is unavailable'),
			detail => "HTTP $status.",
			requests => 4 }, "$api: $status, after retries");
	}
}

# ===================================================================
# What is one API's own
# ===================================================================
give('marche_inclusion', 400, { kind => ['Choix non valide.'] });
refuses($session, $list{marche_inclusion}, {
	sqlstate => 'HV00M',
	detail => 'HTTP 400: Choix non valide.',
	hint => qr/refused the value of a filter/,
	requests => 1 }, 'marche_inclusion: a refused filter');

give('marche_inclusion', 400, { sectors => ['Choix non valide.'] });
is( $session->value(
		"SELECT id FROM marche_inclusion.structures"
		. " WHERE 'inconnu' = ANY (sectors_slugs)"),
	'',
	'marche_inclusion: a sector that does not exist has no row');

give('data_inclusion', 403, { detail => 'Forbidden' });
refuses($session, $list{data_inclusion}, {
	sqlstate => '42501',
	message => message('data_inclusion', 'refused the request for lack of rights'),
	detail => 'HTTP 403: Forbidden.',
	hint => qr/user mapping of role "\w+" on foreign server "data_inclusion"/,
	requests => 1 }, 'data_inclusion: a token without scope "api"');

give('data_inclusion', 422, { detail => [ {
	type => 'enum', loc => [ 'query', 'code_region' ], msg => 'Valeur' } ] });
refuses($session, $list{data_inclusion}, {
	sqlstate => 'HV00M',
	detail => 'HTTP 422, enum: Valeur.',
	hint => qr/refused a value/,
	requests => 1 }, 'data_inclusion: 422 with a list');

give('data_inclusion', 422, { detail => 'Commune' });
refuses($session, $list{data_inclusion}, {
	sqlstate => 'HV00M', detail => 'HTTP 422: Commune.', requests => 1 },
	'data_inclusion: 422 with a text');

give('data_inclusion', 400, 'Invalid host header',
	'Content-Type' => 'text/plain');
refuses($session, $list{data_inclusion}, {
	sqlstate => 'HV00M',
	detail => 'HTTP 400: Invalid host header.',
	hint => qr/"base_url"/,
	requests => 1 }, 'data_inclusion: a wrong host');

# Real credentials of the local API server that it refuses.
$session->query("ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion"
	. " OPTIONS (SET token '" . token('data_inclusion_widget') . "')");
faults();
refuses($session, $list{data_inclusion}, { sqlstate => '42501' },
	'data_inclusion: a token of another scope');
$session->query("ALTER USER MAPPING FOR CURRENT_USER SERVER marche_inclusion"
	. " OPTIONS (SET token 'court')");
refuses($session, $list{marche_inclusion}, { sqlstate => '28000' },
	'marche_inclusion: a token that is too short');
$session->query("ALTER USER MAPPING FOR CURRENT_USER SERVER marche_inclusion"
	. " OPTIONS (SET token '" . token('marche_inclusion') . "')");

# ===================================================================
# Every recorded error reply: its class of SQLSTATE, and its words
# ===================================================================
SKIP:
{
	my $samples = samples_dir();
	skip 'no recorded replies here', 2 unless defined $samples;
	my %sqlstates = (401 => '28000', 403 => '42501', 429 => '53400');

	for my $api (sort keys %list)
	{
		my $exchanges = JSON::PP->new->utf8->decode(
			slurp_bytes("$samples/$api/http_errors.json"));
		my @wrong;
		for my $exchange (@$exchanges)
		{
			next if $exchange->{status} < 300;
			my %headers = %{ $exchange->{headers} // {} };
			give($api, $exchange->{status},
				$exchange->{body_json} // $exchange->{body_text} // '',
				map { $_ => $headers{$_} } grep { /^content-type$/i } keys %headers);
			my $result = counted($session, $list{$api});
			my $expected = $sqlstates{ $exchange->{status} } // 'HV00M';
			my $is = $result->{sqlstate} // 'rows';
			$expected = 'rows'
			  if ref $exchange->{body_json} eq 'HASH'
			  && grep { exists $exchange->{body_json}{$_} } qw(sectors networks);
			push @wrong, "$exchange->{name}: $is, not $expected\n$result->{err}"
			  if $is ne $expected || $result->{requests} != 1;
		}
		ok(!@wrong, "$api: all " . @$exchanges . ' recorded error replies')
		  or diag(@wrong);
	}
}

still_works($session, 'the session goes on after all these');
done_testing();
