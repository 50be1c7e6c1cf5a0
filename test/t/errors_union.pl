# Failures that are rows: of one source of a union table, of one key with
# apigouv_fdw.on_failure = row; and how the API's own words are cut and
# cleaned.  pg_regress cannot show it: the replies are ordered from the local
# API server, and the attempts that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('errors_union');
my $session = session($node);
# Every reply here is ordered anew: what a failed query leaves must not serve.
run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');
my $siret = $ApigouvTest::SIRET;
my $msa =
  "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
  . " WHERE siret = '$siret'";

sub give
{
	my ($path, $status, $body) = @_;
	faults({
		api => 'entreprise', path => $path, times => -1, status => $status,
		body => $body });
	return;
}

# Statut and motif of one type for the SIRET.
sub verdict
{
	my ($type) = @_;
	return counted($session,
		"SELECT statut, motif, a_jour IS NULL, code_fournisseur, erreur"
		. " FROM entreprise.entreprise_attestations"
		. " WHERE siret = '$siret' AND type = '$type'");
}

# ===================================================================
# A source of the union that fails is a row, never an absence
# ===================================================================
my $msa_type = 'conformite_cotisations_msa';
for my $case (
	[ 403, '00100', 'Privilèges', 'non_habilite', 1 ],
	[ 502, '10000', 'Panne', 'source_indisponible', 1 ],
	[ 503, '10020', 'Maintenance', 'source_indisponible', 1 ],
	[ 504, '10002', 'Délai', 'source_indisponible', 2 ],
	[ 404, '00402', 'Version', 'source_indisponible', 1 ],
	[ 410, '00403', 'Fini', 'source_indisponible', 1 ],
	[ 500, '00500', 'Erreur', 'source_indisponible', 1 ])
{
	my ($status, $code, $title, $motif, $attempts) = @$case;
	give('/v3/msa/*', $status, envelope($code, $title));
	my $result = verdict($msa_type);
	is( "$result->{out}$result->{requests}",
		"inconnu|$motif|t|$code|$title\n$attempts",
		"$status $code of a source: $motif");
}

give('/v3/msa/*', 410, 'Gone');
like(verdict($msa_type)->{out}, qr/^inconnu\|source_indisponible\|t\|\|./, 'a route that the platform has retired: of this source only');

give('/v3/msa/*', 404, envelope('10003', 'Inconnue'));
like(verdict($msa_type)->{out}, qr/^inconnu\|non_referencee\|t\|10003\|/,
	'404 XX003 of a source: not referenced');

give('/v4/urssaf/*', 502, envelope('04501', 'Examen', retry_in => 172800));
like(verdict('attestation_vigilance')->{out},
	qr/^inconnu\|en_examen\|t\|04501\|/, '502 04501: under examination');

give('/v3/cibtp/*', 404, envelope('38422', 'Pas à jour'));
like(verdict('attestation_conges_payes_cibtp')->{out},
	qr/^non_conforme\|refusee\|f\|38422\|/, '404 38422: not in order');

# ===================================================================
# What is not JSON is a failure; JSON of another shape is an error
# ===================================================================
give('/v3/msa/*', 200, '<html>Maintenance</html>');
like(verdict($msa_type)->{out},
	qr/^inconnu\|source_indisponible\|t\|\|could not read the response: \w/,
	'a page of HTML instead of a source: unavailable');
is($session->value("SELECT count(DISTINCT type), count(*) FILTER (WHERE statut = 'inconnu')"
		. " FROM entreprise.entreprise_attestations WHERE siret = '$siret'"),
	'13|1', 'the other twelve sources still answer');
refuses($session, $msa, { sqlstate => 'HV00M', message => qr/^could not read the response/,
	context => 'foreign table "entreprise_conformite_cotisations_msa", key siret = "' . $siret . '"' },
	'in a table of one source: an error');
$session->query("SET apigouv_fdw.on_failure = 'row'");
like($session->value($msa =~ s/status/status IS NULL, siret, erreur/r),
	qr/^t\|$siret\|could not read the response: \w/, 'or a row, with on_failure = row');
give('/v3/msa/*', 200, { donnees => {} });
refuses($session, $msa, { sqlstate => 'HV021' }, 'JSON of another shape: an error even then');
$session->query('RESET apigouv_fdw.on_failure');

# without kept connections, each of which libcurl would replace once
$session = session($node);
run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');
faults({
	api => 'entreprise', path => '/v3/msa/*', times => -1,
	action => 'close' });
my $result = verdict($msa_type);
like($result->{out}, qr/^inconnu\|source_indisponible\|t\|\|./,
	'a source that closes the connection is unavailable');
is($result->{requests}, 4, 'after as many attempts as option "retries" says');

faults({
	api => 'entreprise', path => '/v3/msa/*', times => -1,
	action => 'close' });
$result = $session->query(
	"SELECT count(DISTINCT type), count(*) FILTER (WHERE statut = 'inconnu')"
	. " FROM entreprise.entreprise_attestations WHERE siret = '$siret'");
is($result->{out}, "13|1\n", 'the other twelve sources still answer');

give('/v*', 401, envelope('00101', 'Jeton'));
refuses($session,
	"SELECT * FROM entreprise.entreprise_attestations WHERE siret = '$siret'",
	{ sqlstate => '28000' }, 'a refused token is an error on a union too');

# ===================================================================
# on_failure = row: a failed key gives a row, one warning counts them
# ===================================================================
my $keys = "siret IN ('00000301200010', '00000303800015', '00000306100017')";
my $on_failure =
  "SELECT siret, status, erreur"
  . " FROM entreprise.entreprise_conformite_cotisations_msa WHERE $keys"
  . " ORDER BY siret";
$session->query("SET apigouv_fdw.on_failure = 'row'");
give('/v3/msa/etablissements/0000030[36]*', 502, envelope('10000', 'Panne'));
$result = $session->query($on_failure);
is( $result->{out},
	"00000301200010|up_to_date|\n"
	  . "00000303800015||HTTP 502, 10000: Panne\n"
	  . "00000306100017||HTTP 502, 10000: Panne\n",
	'on_failure = row: key columns and the error');
is(scalar(@{ $result->{notices} }), 1, 'one warning');
like($result->{notices}[0], qr/\b2\b/, 'which counts the failed keys');

give('/v3/msa/*', 401, envelope('00101', 'Jeton'));
refuses($session, $on_failure, { sqlstate => '28000' },
	'on_failure = row: a refused token is an error all the same');
$session->query("RESET apigouv_fdw.on_failure");

give('/v3/msa/etablissements/0000030[36]*', 502, envelope('10000', 'Panne'));
refuses($session, $on_failure, { sqlstate => 'HV00M' },
	'on_failure = error: the first failed key stops the query');

# ===================================================================
# The API's words are cut, put on one line, and their links hidden
# ===================================================================
give('/v3/msa/*', 502,
	envelope('10000', "une\nligne\t et\x{1} une autre   " . 'é' x 2000));
$result = refuses($session, $msa, {
	sqlstate => 'HV00M',
	detail => qr/^HTTP 502, 10000: une ligne et une autre é+\.$/ },
	'control characters and runs of blanks become one blank');
cmp_ok(length $result->{detail}, '<', 400, 'a long title is cut');

give('/v3/msa/*', 502,
	envelope('10000', 'voir https://storage.example/doc/SECRETLINK?sig=abc ici'));
$result = refuses($session, $msa, {
	sqlstate => 'HV00M',
	detail => qr/^HTTP 502, 10000: voir [^\/]+ ici\.$/ },
	'a link in a title is replaced');
unlike($result->{err}, qr/SECRETLINK|sig=/, 'and appears nowhere');

give('/v3/msa/*', 502, { errors => [ { code => { a => 1 }, title => [] } ] });
refuses($session, $msa, {
	sqlstate => 'HV00M', detail => 'HTTP 502.' },
	'an error body of another shape');
give('/v3/msa/*', 502, '{"errors":[{"code":"10000","title":"coup');
refuses($session, $msa, {
	sqlstate => 'HV00M', detail => 'HTTP 502.' }, 'a broken error body');

still_works($session, 'the session goes on after all these');
done_testing();
