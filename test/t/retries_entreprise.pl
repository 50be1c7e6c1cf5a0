# Replies of API Entreprise after which another attempt is made, or not: 409,
# 429, 5xx.  What refusals become is in errors_entreprise.pl.  pg_regress cannot show it: the replies are ordered
# from the local API server, and the attempts that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('retries_entreprise');
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $msa =
  "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
  . " WHERE siret = '$siret'";

# ===================================================================
# 409: the same call is running elsewhere
# ===================================================================
give_entreprise(409, envelope('00015', 'Conflit'), times => 1);
my $result = counted($session, $msa);
is("$result->{out}$result->{requests}", "up_to_date\n2",
	'409 00015 then fine: the row, 2 attempts');

give_entreprise(409, envelope('00015', 'Conflit'));
$result = refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 409',
	detail => entreprise_detail('HTTP 409, 00015: Conflit.'),
	requests => 4 }, '409 00015 four times');
cmp_ok($result->{ms}, '>=', 3500, '409 00015: waits of 0.5, 1 and 2 seconds');

# ===================================================================
# 429: wait as long as asked, then the error of an exhausted quota
# (quota_upstream.pl: what it is to others)
# ===================================================================
give_entreprise(429, envelope('00429', 'Trop'), times => 1,
	headers => { 'Retry-After' => 1 });
$result = counted($session, $msa);
is("$result->{out}$result->{requests}", "up_to_date\n2",
	'429 with Retry-After then fine: the row, 2 attempts');
cmp_ok($result->{ms}, '>=', 1000, '429: the wait asked for');

give_entreprise(429, envelope('00429', 'Trop'), headers => { 'Retry-After' => 0 });
refuses($session, $msa, {
	sqlstate => '53400',
	message => qr/^foreign server "entreprise" refused the request: .*quota is exhausted$/,
	detail => entreprise_detail('HTTP 429, 00429: Trop.'),
	hint => qr/^Run the query again/,
	requests => 4 }, '429 every time');

give_entreprise(429, envelope('00429', 'Trop'), headers => { 'Retry-After' => 43200 });
refuses($session, $msa, {
	sqlstate => '53400',
	hint => qr/43200 seconds/,
	requests => 1 }, '429 for twelve hours: no wait');
run_sql($session, 'SELECT apigouv_quota_forget()');

give_entreprise(429, envelope('00429', 'Trop'), times => 1,
	headers => { 'RateLimit-Limit' => 250, 'RateLimit-Remaining' => 0,
		'RateLimit-Reset' => int(time() + 2) });
$session->query("SET statement_timeout = '20s'");
is($session->value($msa), 'up_to_date',
	'429 without Retry-After: the wait is until RateLimit-Reset');
$session->query('RESET statement_timeout');

$session->query("ALTER SERVER entreprise OPTIONS (ADD retries '0')");
give_entreprise(429, envelope('00429', 'Trop'));
refuses($session, $msa, {
	sqlstate => '53400',
	hint => 'Run the query again later.',
	requests => 1 }, '429 that says nothing, without retries');
run_sql($session, 'SELECT apigouv_quota_forget()');
$session->query("ALTER SERVER entreprise OPTIONS (DROP retries)");

# ===================================================================
# 5xx: of the platform, of a provider, of the network
# ===================================================================
give_entreprise(500, envelope('00500', 'Erreur interne'));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 500',
	detail => entreprise_detail('HTTP 500, 00500: Erreur interne.'),
	requests => 1 }, '500 in JSON');

give_entreprise(500, '<html><body><h1>Erreur</h1></body></html>');
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 500',
	detail => entreprise_detail('HTTP 500.'),
	requests => 1 }, '500 in HTML: its text is not shown');

give_entreprise(502, envelope('10000', 'Erreur du fournisseur', provider => 'MSA'));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" is unavailable',
	detail => entreprise_detail('HTTP 502, 10000: Erreur du fournisseur.'),
	hint => 'Run the query again later.',
	requests => 1 }, '502 of a provider: one attempt');

give_entreprise(502, envelope('00501', 'Réseau', retry_in => 0));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" is unavailable',
	requests => 3 }, '502 of the network: two more attempts');

give_entreprise(502, envelope('00501', 'Réseau', retry_in => 1), times => 1);
$result = $session->query($msa);
is($result->{out}, "up_to_date\n", '502 of the network then fine: the row');
cmp_ok($result->{ms}, '>=', 1000, '502: the wait that retry_in asks for');

give_entreprise(502, envelope('04501', 'Examen', retry_in => 172800));
is( $session->value(
		"SELECT entity_status_code IS NULL, code_fournisseur"
		. " FROM entreprise.entreprise_attestation_vigilance"
		. " WHERE siret = '$siret'"),
	't|04501',
	'502 04501 of URSSAF: a row that says so');

give_entreprise(503, envelope('10020', 'Maintenance', retry_in => 1800));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" is unavailable',
	detail => entreprise_detail('HTTP 503, 10020: Maintenance.'),
	hint => qr/Run the query again/,
	requests => 1 }, '503 of a maintenance: one attempt');

give_entreprise(504, envelope('10002', 'Délai dépassé'));
$result = refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" is unavailable',
	detail => entreprise_detail('HTTP 504, 10002: Délai dépassé.'),
	requests => 2 }, '504: one more attempt');
cmp_ok($result->{ms}, '>=', 1000, '504: after a second');

still_works($session, 'the session goes on after all these');
done_testing();
