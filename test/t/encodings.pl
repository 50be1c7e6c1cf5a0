# Databases in LATIN1 and in SQL_ASCII: what the APIs say in UTF-8 is converted
# value by value, or is an error that names the column; what they are asked
# goes out in UTF-8.  pg_regress cannot show it: it runs in one database, and
# the proof is the bytes that the local API server received.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('encodings');
for my $encoding (qw(LATIN1 SQL_ASCII))
{
	my $db = lc $encoding;
	$node->safe_psql('postgres',
		"CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	create_apis($node, $db);
}

# A row of marche_inclusion with this name and brand.
sub give
{
	my (%with) = @_;
	faults({
		api => 'marche_inclusion', times => -1, status => 200,
		headers => { 'Content-Type' => 'application/json' },
		body => json_text([ {
			id => 7, siret => '00000301200010', name => 'x', slug => 's',
			kind => 'EI', sectors => [ { name => 'Été', slug => 'ete' } ], %with } ]) });
	return;
}

my $by_siren = "FROM marche_inclusion.structures WHERE siren = '000003012'";

# ===================================================================
# LATIN1
# ===================================================================
my $session = session($node, db => 'latin1');
is($session->value('SHOW server_encoding'), 'LATIN1', 'a LATIN1 database');

give(name => 'Chantier de l\'Écluse « à côté »', brand => 'naïve');
is($session->value("SELECT name, length(name), brand $by_siren"),
	'Chantier de l\'Écluse « à côté »|31|naïve', 'accents are converted');
is($session->value("SELECT sectors->0->>'name', sectors_slugs, reponse->>'name' $by_siren"),
	'Été|{ete}|Chantier de l\'Écluse « à côté »', 'in jsonb too');

faults({
	api => 'marche_inclusion', times => -1, status => 200,
	body => '[{"id": 7, "siret": "00000301200010", "name": "\\u00c9t\\u00e9 \\u00ab a \\u00bb", "sectors": [{"name": "\\u00e9"}]}]' });
is($session->value("SELECT name, sectors->0->>'name' $by_siren"), 'Été « a »|é',
	'so are \\u escapes');

give(name => 'Prix en € – l’œuvre', brand => 'naïve');
refuses($session, "SELECT name $by_siren", {
	sqlstate => '22P05',
	context => qr/column "name" of foreign table "structures", JSON path "name"/ },
	'a character that LATIN1 lacks: an error that names the column');
is($session->value("SELECT id, brand $by_siren"), '7|naïve',
	'columns that are not read do no harm');
refuses($session, "SELECT reponse $by_siren", {
	sqlstate => '22P05',
	context => qr/column "reponse" of foreign table "structures"/ },
	'nor does jsonb hide it');

faults({
	api => 'marche_inclusion', times => -1, status => 400,
	body => { detail => 'Erreur : « été » – l’œuvre' } });
my $result = $session->query("SELECT id FROM marche_inclusion.structures WHERE kind = 'EI'");
is($result->{sqlstate}, 'HV00M', 'an error whose title LATIN1 cannot hold');
like($result->{detail}, qr/^HTTP 400: Erreur : /, 'comes out, as far as it can');

# -------------------------------------------------------------------
# Keys go out in UTF-8
# -------------------------------------------------------------------
stub_reset();
$session->query("SELECT id FROM marche_inclusion.structures WHERE slug = 'écluse-à-Œuvre'");
is(scalar(requests()), 0, 'a key that LATIN1 cannot hold cannot even be typed');
$session->query("SELECT id FROM marche_inclusion.structures WHERE slug = 'écluse-à'");
my ($request) = requests();
is($request->{path}, '/api/siae/slug/écluse-à/', 'a key in a path');

stub_reset();
$session->query("SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
	. " WHERE siret = '00000301200010' AND objet = 'Marché n° 7 & suite'");
($request) = requests(path => qr{/v3/msa});
like($request->{query}, qr/object=March%C3%A9%20n%C2%B0%207%20%26%20suite/,
	'a purpose in a query');

stub_reset();
my $n = $session->value("SELECT count(*) FROM marche_inclusion.structures WHERE region = 'Île-de-France'");
my @departments = sort map { $_->{query} =~ /department=(\w+)/ } requests();
is("@departments", '75 77 78 91 92 93 94 95', 'a region with an accent is mapped');
my $utf8 = session($node);
is($n, $utf8->value("SELECT count(*) FROM marche_inclusion.structures WHERE region = 'Île-de-France'"),
	'and gives as many rows as in UTF-8');

is($session->value("SELECT nom FROM apigouv_regions() WHERE code = '11'"),
	'Île-de-France', 'shipped names are converted');

# every table can be read where its values can be converted
my $mine = $session->query("SELECT id, city FROM marche_inclusion.structures ORDER BY id");
my $theirs = $utf8->query("SELECT id, city FROM marche_inclusion.structures ORDER BY id");
ok($mine->{out} eq $theirs->{out}, 'all cities are those of the UTF-8 database');

# ===================================================================
# SQL_ASCII: bytes as they are
# ===================================================================
stub_reset();
$session = session($node, db => 'sql_ascii');
is($session->value('SHOW server_encoding'), 'SQL_ASCII', 'a SQL_ASCII database');
give(name => 'Prix en € – l’œuvre');
is($session->value("SELECT name, octet_length(name) $by_siren"),
	'Prix en € – l’œuvre|26', 'UTF-8 comes out as its bytes');
is($session->value("SELECT reponse->>'name' $by_siren"), 'Prix en € – l’œuvre',
	'in jsonb too');

stub_reset();
$session->query("SELECT id FROM marche_inclusion.structures WHERE slug = 'écluse-à-œuvre'");
($request) = requests();
is($request->{path}, '/api/siae/slug/écluse-à-œuvre/', 'a key goes out as its bytes');
stub_reset();
$session->query("SELECT id FROM marche_inclusion.structures WHERE region = 'Île-de-France'");
is(scalar(requests()), 8, 'a region with an accent is mapped');

# bytes that are no UTF-8 cannot be asked for
stub_reset();
$result = $session->query("SELECT id FROM marche_inclusion.structures WHERE slug = E'caf\\xe9'");
is("$result->{out}" . requests(path => qr/slug/), '0',
	'a key that is no UTF-8: no row, no request')
  or diag($result->{err});

# ===================================================================
# The extension itself, where most of its French cannot be written
# ===================================================================
$node->safe_psql('postgres', "CREATE DATABASE koi8r TEMPLATE template0 ENCODING 'KOI8R' LOCALE 'C'");
create_apis($node, 'koi8r', qw(marche_inclusion data_inclusion));
$session = session($node, db => 'koi8r');
is($session->value('SELECT count(error) FROM apigouv_tables'), 0, 'KOI8R: every definition is listed');
is($session->value("SELECT col_description('marche_inclusion.structures'::regclass, 11)"),
	'Adresse d\'une page de r?seau social.', 'comments have "?" for what it lacks');
is($session->value("SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures')"),
	'structures_inclusion', 'the view of structures');

done_testing();
