# What each reply of API Marché du travail becomes.  Its access tokens are in
# access_tokens.pl.  pg_regress cannot show it: the replies are ordered from the
# local API server, and the attempts that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('errors_travail');
my $tensions =
  "SELECT niveau FROM marche_travail.marche_travail_tensions"
  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53'"
  . " AND code_rome = 'D1102' AND code_indicateur = 'PERSPECTIVE'"
  . " AND derniere_periode";
my $api_path = '/partenaire/*';

sub give
{
	my ($path, %with) = @_;
	faults({ api => 'marche_travail', path => $path, times => -1, %with });
	return;
}

my $session = session($node);
$session->query($tensions);

sub api_refuses
{
	my ($want, $name) = @_;
	return refuses($session, $tensions, { api => 'marche_travail', %$want },
		$name);
}

sub no_row
{
	my ($name) = @_;
	my $result = counted($session, $tensions, api => 'marche_travail');
	is("$result->{out}$result->{err}$result->{requests}", '1', $name);
	return;
}

give($api_path, status => 400,
	body => { message => "L'indicateur n'est pas disponible pour cet indicateur", codeHttp => 400 });
api_refuses({
	sqlstate => 'HV00M', hint => qr/not published/, requests => 1 },
	'400 of a combination');
give($api_path, status => 400,
	body => { message => 'Paramètre manquant', codeHttp => 400 });
api_refuses({
	sqlstate => 'HV00M',
	message => 'foreign server "marche_travail" answered with HTTP status 400',
	detail => 'HTTP 400: Paramètre manquant.',
	requests => 1 }, 'another 400');

give($api_path, status => 500,
	body => { message => "Le serveur n'a pas pu trouver la liste", codeHttp => 500 });
no_row('500 "liste": no row, one attempt');
give($api_path, status => 204);
no_row('204: no row');
give($api_path, status => 200, body => '');
no_row('200 without a body: no row');
give($api_path, status => 200,
	body => { codeIndicateur => 'PERSP_2', libIndicateur => 'Tension' });
no_row('200 without its list: no row');

give($api_path, status => 500, body => { message => 'Panne' });
api_refuses({
	sqlstate => 'HV00M', detail => 'HTTP 500: Panne.', requests => 3 },
	'another 500, after two more attempts');

give($api_path, status => 429, body => '', headers => { 'Retry-After' => 0 });
api_refuses({ sqlstate => '53400', requests => 4 }, '429 every time');
give($api_path, status => 429, body => '', times => 1);
my $result = $session->query($tensions);
like($result->{out}, qr/^[1-5]\n$/, '429 that says nothing, then fine: rows');
cmp_ok($result->{ms}, '>=', 1000, 'after one window');

for my $status (502, 503, 504)
{
	give($api_path, status => $status, body => '<html>', headers => { 'Retry-After' => 0 });
	api_refuses({
		sqlstate => 'HV00M',
		message => 'foreign server "marche_travail" is unavailable',
		detail => "HTTP $status.",
		requests => 4 }, "$status of the gateway, after retries");
}

give($api_path, status => 200, body => '<IndicateurRetour/>',
	headers => { 'Content-Type' => 'application/xml' });
api_refuses({ sqlstate => 'HV00M', requests => 1 }, 'a reply in XML');

stub_reset();
still_works($session, 'the session goes on after all these');
done_testing();
