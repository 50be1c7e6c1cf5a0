# What the refusals of API Entreprise become: no row, or which error.  Those
# that may pass are in retries_entreprise.pl.  pg_regress cannot show it: the replies are ordered
# from the local API server, and the attempts that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('errors_entreprise');
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $msa =
  "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
  . " WHERE siret = '$siret'";

# ===================================================================
# Refusals of the token name the role's user mapping; they are never retried
# ===================================================================
for my $case (
	[ '00101', 'Jeton absent ou invalide' ],
	[ '00103', 'Jeton expiré' ],
	[ '00105', 'Jeton sur liste noire' ])
{
	my ($code, $title) = @$case;
	give_entreprise(401, envelope($code, $title));
	refuses($session, $msa, {
		sqlstate => '28000',
		message => 'foreign server "entreprise" refused the token',
		detail => entreprise_detail("HTTP 401, $code: $title."),
		hint => qr/user mapping of role "\w+" on foreign server "entreprise"/,
		requests => 1 }, "code $code of a 401");
}

for my $code (qw(00108 00109))
{
	give_entreprise(401, envelope($code, 'Environnement'));
	refuses($session, $msa, {
		sqlstate => '28000',
		hint => qr/(?=.*staging)(?=.*base_url)(?=.*user mapping of role "\w+")/s,
		requests => 1 }, "code $code of a 401: a token of another platform");
}

# ===================================================================
# Refusals for lack of rights name the mapping and the scopes
# ===================================================================
give_entreprise(403, envelope('00100', 'Privilèges insuffisants'));
refuses($session, $msa, {
	sqlstate => '42501',
	message => 'foreign server "entreprise" refused the request for lack of rights',
	detail => entreprise_detail('HTTP 403, 00100: Privilèges insuffisants.'),
	hint => qr/(?=.*user mapping of role "\w+")(?=.*"msa_cotisations")(?=.*"cotisations_msa")/s,
	requests => 1 }, 'code 00100 of a 403');

# a SIREN is turned into the SIRET of its head office first
faults({
	api => 'entreprise', path => '/v4/insee/*', times => -1, status => 403,
	body => envelope('00100', 'Privilèges insuffisants') });
refuses($session, $msa =~ s/siret = '\d+'/siren = '$ApigouvTest::SIREN'/r, {
	sqlstate => '42501',
	hint => qr/(?=.*"etablissements")(?!.*"msa_cotisations")/s,
	requests => 1 }, 'code 00100 of the request that finds the head office: the scopes of that one');
faults();

give_entreprise(403, envelope('00107', 'Adresse refusée'));
refuses($session, $msa, {
	sqlstate => '42501',
	detail => entreprise_detail('HTTP 403, 00107: Adresse refusée.'),
	hint => qr/(?=.*other addresses)(?=.*user mapping of role "\w+")/s,
	requests => 1 }, 'code 00107 of a 403');

give_entreprise(403, envelope('00213', 'Délégation absente'));
refuses($session, $msa, {
	sqlstate => '42501',
	hint => qr/(?=.*no delegation)(?=.*user mapping of role "\w+")/s,
	requests => 1 }, 'code 00213 of a 403');

# ===================================================================
# 404 of a provider is no row; 404 of the platform is an error
# ===================================================================
give_entreprise(404, envelope('10003', 'Entité non trouvée'));
my $result = $session->query($msa);
is($result->{out} . $result->{err}, '', '404 XX003: no row, no message');

give_entreprise(404, envelope('00402', 'Version non supportée'));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 404',
	detail => entreprise_detail('HTTP 404, 00402: Version non supportée.'),
	hint => qr/base_url/,
	requests => 1 }, 'code 00402 of a 404');

give_entreprise(404, 'Not found', headers => { 'Content-Type' => 'text/plain' });
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 404',
	detail => entreprise_detail('HTTP 404: Not found.'),
	hint => qr/base_url/,
	requests => 1 }, '404 in plain text');

give_entreprise(404, envelope('38422', 'Pas à jour'));
is( $session->value(
		"SELECT statut, code_fournisseur"
		. " FROM entreprise.entreprise_attestation_conges_payes_cibtp"
		. " WHERE siret = '$siret'"),
	'non_conforme|38422',
	'404 38422 of CIBTP: an answer');

give_entreprise(451, envelope('01005', 'Indisponible pour raisons légales'));
is($session->value($msa), '', '451: no row');

# ===================================================================
# 410, 422: errors at once
# ===================================================================
give_entreprise(410, 'Gone', headers => { 'Content-Type' => 'text/plain' });
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 410',
	detail => entreprise_detail('HTTP 410: Gone.'),
	requests => 1 }, 'status 410');

give_entreprise(422, envelope('00302', 'SIRET mal formé'));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 422',
	detail => entreprise_detail('HTTP 422, 00302: SIRET mal formé.'),
	hint => qr/refused a key/,
	requests => 1 }, '422 of a key');

for my $case ([ '00211', qr/recipient is the administration/ ], [ '00212', qr/several delegations/ ])
{
	my ($code, $hint) = @$case;
	give_entreprise(422, envelope($code, 'Bénéficiaire'));
	refuses($session, $msa, {
		sqlstate => 'HV00M',
		detail => entreprise_detail("HTTP 422, $code: Bénéficiaire."),
		hint => $hint,
		requests => 1 }, "422 $code: not of the key");
}

for my $code (qw(00201 00202 00203 00210))
{
	give_entreprise(422, envelope($code, 'Paramètre'));
	refuses($session, $msa, {
		sqlstate => 'HV00M',
		detail => entreprise_detail("HTTP 422, $code: Paramètre."),
		hint => qr/purpose.*apigouv_fdw\.context/,
		requests => 1 }, "422 $code: the purpose");
}

give_entreprise(400, envelope('00401', 'Requête incomprise'));
refuses($session, $msa, {
	sqlstate => 'HV00M',
	message => 'foreign server "entreprise" answered with HTTP status 400',
	requests => 1 }, 'status 400');

still_works($session, 'the session goes on after all these');
done_testing();
