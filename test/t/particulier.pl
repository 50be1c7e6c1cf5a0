# API Particulier, with its own definitions: what is sent for a person, what each reply becomes, and that
# nothing of a person shows where others look.  pg_regress cannot show it: requests received are read
# back, roles have their own tokens, and the server's log is searched.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Encode qw(decode);
use Test::More;

my $node = new_cluster('particulier', <<'CONF');
log_statement = none
log_min_error_statement = panic
log_min_messages = debug1
CONF
my $session = session($node);
$session->query('SET search_path = particulier');

# The person whom the exchanges in files know, as conditions of a query.
my %person = (
	nom_naissance => q('Cartier-Blé'),
	prenoms => q(ARRAY['Apolline', 'Zoé']),
	date_naissance => q('2004-04-12'),
	sexe_etat_civil => q('F'),
	code_cog_insee_pays_naissance => q('99100'),
	code_cog_insee_commune_naissance => q('35238'));

# Conditions of the person; a change that is undef leaves a column out.
sub is_person
{
	my (%changes) = @_;
	my %is = (%person, %changes);
	return join ' AND ',
	  map { "$_ = $is{$_}" } grep { defined $is{$_} } sort keys %is;
}

sub named { return "'$_[0]'"; }

# The queries of the requests received since the last call, decoded, without
# the recipient.
my $seen = 0;

sub sent
{
	my @all = requests(api => 'particulier');
	my @new = @all[ $seen .. $#all ];
	$seen = @all;
	return map {
		my $query = $_->{query} =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
		join '&', grep { !/^recipient=/ } split /&/, decode('UTF-8', $query)
	} @new;
}

sub as_token
{
	my ($name) = @_;
	run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER particulier OPTIONS (SET token '"
		  . token($name) . "')");
	return;
}

sub as_person
{
	my ($name) = @_;
	run_sql($session, "SET apigouv_fdw.france_connect_token = '" . token($name) . "'");
	return;
}

my $qf = 'SELECT quotient_familial_valeur FROM particulier_quotient_familial_identite WHERE ';
my $qf_fc = 'SELECT quotient_familial_valeur, quotient_familial_mois FROM particulier_quotient_familial_france_connect';

# ===================================================================
# Civil status: what was asked is sent, first names in their order
# ===================================================================
is($session->value($qf . is_person()), '812', 'a person is found');
is_deeply([ sent() ], [ 'nomNaissance=Cartier-Blé&prenoms[]=Apolline&prenoms[]=Zoé&sexeEtatCivil=F'
		. '&codeCogInseePaysNaissance=99100&anneeDateNaissance=2004&moisDateNaissance=4&jourDateNaissance=12'
		. '&codeCogInseeCommuneNaissance=35238' ], 'as the API wants it');
is($session->value($qf . is_person(prenoms => q('{Zoé,Apolline}'))), '', 'another order is another person');
like((sent())[0], qr/prenoms\[\]=Zoé&prenoms\[\]=Apolline/, 'sent in that order');

my %parts = (date_naissance => undef, annee_date_naissance => 2004, mois_date_naissance => 4, jour_date_naissance => 12);
my %place = (
	code_cog_insee_commune_naissance => undef,
	nom_commune_naissance => named('Rennes'),
	code_cog_insee_departement_naissance => named('35'));
is($session->value($qf . is_person(%parts, %place)), '812', 'a date in parts, a commune by its name');
like((sent())[0], qr/anneeDateNaissance=2004&moisDateNaissance=4&jourDateNaissance=12.*nomCommuneNaissance=Rennes&codeCogInseeDepartementNaissance=35$/,
	'sent as such');
is( $session->value(
		'SELECT prenoms, date_naissance, annee_date_naissance, nom_commune_naissance, nom_usage'
		  . ' FROM particulier_quotient_familial_identite WHERE '
		  . is_person(%parts, %place)),
	'{Apolline,Zoé}||2004|Rennes|', 'the key columns tell what was asked');
is($session->value($qf . is_person(nom_usage => named('Tessier'))), '812', 'a name in use');
like((sent())[-1], qr/^nomNaissance=Cartier-Blé&nomUsage=Tessier&/, 'sent beside the other');
is( $session->value(
		$qf . is_person(
			%parts,
			nom_naissance => named('Née-Ailleurs'),
			mois_date_naissance => undef,
			jour_date_naissance => undef,
			sexe_etat_civil => undef,
			code_cog_insee_pays_naissance => named('99127'),
			code_cog_insee_commune_naissance => undef)),
	'812', 'born abroad, in a year');
is($session->value($qf . is_person(annee => 2025, mois => 6)), '790', 'a month');
sent();

# What nothing can be asked by is told: the row could not pass the condition, and nobody would seem to be there.
for my $other ([ "date_naissance BETWEEN '2004-04-12' AND '2004-04-12'", 'without a value for key column "date_naissance"' ],
	[ 'annee_date_naissance > 2003', 'does not take these conditions together' ])
{
	like($session->value($qf . is_person(date_naissance => undef) . " AND $other->[0]"), qr/^ERROR .*\Q$other->[1]\E/,
		"a birth date in another form: $other->[0]");
}
like($session->value($qf . is_person() . ' AND annee >= 2025'), qr/^ERROR .*does not take these conditions together/,
	'a month in another form');
is(scalar(sent()), 0, 'no request for either');
is($session->value($qf . is_person(annee => 2025, mois => 6) . ' AND annee >= 2025'), '790', 'beside its value it is checked here');
sent();

# The checks of names in use and first names are the API's alone: no rule of theirs is published.
like($session->value($qf . is_person(prenoms => q(ARRAY['Apolline, Zoé']))), qr/^ERROR .*HTTP status 422/,
	'first names that the API refuses are an error, not nobody');
is(scalar(sent()), 1, 'they were sent');

my $school = 'SELECT annee_scolaire, annee_scolaire_retourne, regime_pensionnat_code FROM particulier_scolarite_identite WHERE ';
my %pupil = (code_cog_insee_pays_naissance => undef, code_cog_insee_commune_naissance => undef);
is($session->value($school . is_person(%pupil, annee_scolaire => named('2025'), code_etablissement => named('0350001A'))),
	'2025|2025-2026|2', 'a pupil in a school: the year that was asked, that of the reply');
is($session->value($school . is_person(%pupil, annee_scolaire => named('2025-2026'), degre_etablissement => named('2D'),
			codes_bcn_departements => q(ARRAY['035', '022']))),
	'2025-2026|2025-2026|2', 'a pupil in departments');
like((sent())[-1], qr/degreEtablissement=2D&codesBcnDepartements\[\]=035&codesBcnDepartements\[\]=022$/, 'all in one request');
is($session->value($school . is_person(%pupil, annee_scolaire => named('2025-2026'), degre_etablissement => named('2D'),
			codes_bcn_regions => q(ARRAY['14']))),
	'2025-2026|2025-2026|', 'a pupil in a region');

# A join asks for each person of a register.
run_sql($session, <<'SQL', 'ANALYZE demandes');
CREATE TABLE demandes AS SELECT * FROM (VALUES (1, 'Cartier-Blé', '{Apolline,Zoé}'::text[], date '2004-04-12'),
	(2, 'Absente', '{Apolline,Zoé}', '2004-04-12'), (3, 'Sansdroit', '{Apolline,Zoé}', '2004-04-12'),
	(4, '9Chiffre', '{Apolline}', '2004-04-12')) AS d (id, nom, prenoms, ne_le)
SQL
sent();
my $joined = $session->query(<<'SQL');
SELECT d.id, p.est_beneficiaire FROM demandes AS d JOIN particulier_prime_activite_identite AS p
ON p.nom_naissance = d.nom AND p.prenoms = d.prenoms AND p.date_naissance = d.ne_le
WHERE p.sexe_etat_civil = 'F' AND p.code_cog_insee_pays_naissance = '99100' AND p.code_cog_insee_commune_naissance = '35238'
ORDER BY 1
SQL
is($joined->{out}, "1|t\n3|f\n", 'a join: who is entitled, who is not, who is unknown');
is(scalar(sent()), 3, 'one request each, none for a name that the API refuses');
is_deeply($joined->{notices}, ['1 malformed key value of foreign table "particulier_prime_activite_identite" was not sent'],
	'which is told, without it');

# ===================================================================
# Scopes mask: a masked column is NULL, a masked list has no rows to give
# ===================================================================
as_token('particulier_peu');
is( $session->value(
		'SELECT quotient_familial_valeur, adresse_pays, enfants IS NULL, allocataires IS NULL'
		  . ' FROM particulier_quotient_familial_identite WHERE ' . is_person()),
	'812|FRANCE|t|t', 'columns without their scope');
is( $session->value("SELECT statut_actuel_contrat_trouve, statut_actuel_organisme_accueil_siren, statut_passe_contrat_trouve"
		. " FROM particulier_service_civique_identite WHERE "
		. is_person(%pupil, sexe_etat_civil => undef)),
	't||', 'parts of objects as well');
is( $session->value("SELECT string_agg(concat_ws(',', est_inscrit, code_commune, regime_formation_code), ';') FROM particulier_statut_etudiant_ine_admissions WHERE ine = '0770770770K'"),
	't;f', 'and members of the elements of a list');
refuses($session, 'SELECT count(*) FROM particulier_quotient_familial_identite_enfants WHERE ' . is_person(), {
	sqlstate => 'HV021',
	message => 'response of foreign server "particulier" has no "data.enfants[]"',
	hint => 'The API may hide it from a token without its scope: "cnaf_enfants".' }, 'no right to a list is not an empty list');
as_token('particulier_sans_scope');
refuses($session, $qf . is_person(), {
	sqlstate => '42501',
	detail => 'HTTP 403, 00100: Privilèges insuffisants.',
	hint => qr/"cnaf_quotient_familial"/ }, 'no scope of the operation');
as_token('particulier');

# ===================================================================
# Nobody is no row; what is refused or ambiguous is an error
# ===================================================================
for my $case (
	[ 'Absente', '404 of a provider' ],
	[ 'Inconnuedeux', '404 35003' ],
	[ 'Nonidentifiée', '422 00355' ],
	[ 'Inconnue', '422 XX560' ])
{
	my $result = $session->query($qf . is_person(nom_naissance => named($case->[0])));
	is($result->{out} . $result->{err}, '', "$case->[1]: nobody, no row");
}
my @refusals = (
	[ 'Étrange', 'HV00M', 'HTTP 404, 35003: Erreur inattendue.', qr/may be known/ ],
	[ 'Contestée', 'HV00M', 'HTTP 422, 00366: Entité non traitable.', qr/refused the identity/ ],
	[ 'Homonyme', 'HV00M', 'HTTP 422, 37563: Identité ambiguë.', qr/Several persons match/ ],
	[ 'Troptard', 'HV00M', 'HTTP 422, 37565: Période refusée par le fournisseur.', qr/the two before/ ],
	[ 'Débordée', 'HV00M', 'HTTP 502, 37008: Trop de requêtes chez le fournisseur.', qr/later\. The provider limits/ ],
	[ 'Panne', 'HV00M', 'HTTP 502, 37999: Erreur inconnue du fournisseur de données.', qr/again later/ ],
	[ 'Dimanche', 'HV00M', 'HTTP 503, 35020: Fournisseur en maintenance.', qr/in 2700 seconds/ ]);
for my $case (@refusals)
{
	my ($name, $sqlstate, $detail, $hint) = @$case;
	my $result = refuses($session, $qf . is_person(nom_naissance => named($name)),
		{ sqlstate => $sqlstate, detail => $detail, hint => $hint, requests => 1 }, $detail);
	unlike($result->{err}, qr/\Q$name\E|Apolline|2004-04|35238/, '... without anything of the person');
}
my %student = (code_cog_insee_pays_naissance => undef);
refuses($session, 'SELECT 1 FROM particulier_etudiant_boursier_identite WHERE '
	  . is_person(%student, nom_naissance => named('Homonyme')), {
	sqlstate => 'HV00M',
	detail => 'HTTP 409, 26015: Conflit.',
	hint => qr/Several persons match/,
	requests => 1 }, '409 of a provider: several persons, not tried again');
refuses($session, 'SELECT 1 FROM particulier_service_civique_identite WHERE '
	  . is_person(%pupil, sexe_etat_civil => undef, nom_naissance => named('Homonyme')), {
	detail => 'HTTP 422, 00391: Entité non traitable.',
	hint => qr/Several persons match/ }, '422 00391: the same');
refuses($session, 'SELECT 1 FROM particulier_service_national_identite WHERE ' . is_person(nom_naissance => named('Tropjeune')), {
	detail => 'HTTP 422, 39400: Âge hors du périmètre.',
	hint => qr/16 to 25/ }, '422 39400: out of the service');
refuses($session, $qf . is_person(annee => 2023), {
	detail => 'HTTP 422, 00356: Paramètre invalide.', hint => qr/the two before/ }, '422 00356: too long ago');
refuses($session, $qf . is_person(code_cog_insee_commune_naissance => undef, nom_commune_naissance => named('Rennes')), {
	sqlstate => 'HV002',
	message => qr/key column "code_cog_insee_departement_naissance"/,
	requests => 0 }, 'a commune without its department is asked for');
is($session->value('SELECT count(*) FROM particulier_foyer_rsa_identite WHERE ' . is_person(nom_naissance => named('Absente'))),
	'0', '404 40402: no file');
is($session->value($school . is_person(%pupil, nom_naissance => named('Partie'), annee_scolaire => named('2025'),
			code_etablissement => named('0350001A'))), '', '404 30004: not at school that year');
run_sql($session, "SET apigouv_fdw.on_failure = 'row'");
is( $session->value("SELECT nom_naissance, erreur FROM particulier_quotient_familial_identite WHERE " . is_person(nom_naissance => named('Contestée'))),
	'Contestée|HTTP 422, 00366: Entité non traitable', 'on_failure = row: the person has the error');
run_sql($session, 'RESET apigouv_fdw.on_failure');

# 409 of the platform and 504 are tried again.
for my $case ([ 409, '00015' ], [ 504, '37002' ])
{
	my ($status, $code) = @$case;
	faults({ api => 'particulier', path => '/v3/*', status => $status, body => envelope($code, 'Attente') });
	my $again = counted($session, $qf . is_person(), api => 'particulier');
	is("$again->{out}$again->{requests}", "812\n2", "code $code of a $status: tried again");
}
faults();

# ===================================================================
# FranceConnect: the person's token, which the session has
# ===================================================================
refuses($session, $qf_fc, { sqlstate => '28000', hint => qr/france_connect_token/, requests => 0 }, 'no token of a person: no request');
as_person('france_connect');
is($session->value($qf_fc), '812|11', 'the person of the token');
is($session->value("$qf_fc WHERE annee = 2025 AND mois = 6"), '790|6', 'a month of that person');
is_deeply([ map { $_->{headers}{'cache-control'} } grep { $_->{path} =~ /france_connect/ } requests(api => 'particulier') ],
	[ 'no-cache', 'no-cache' ], "the platform's cache, which mixes months, is passed by");
run_sql($session, 'SET apigouv_fdw.fresh = on');
is($session->value($qf_fc), '812|11', 'asked past all caches');
is((requests(path => qr/france_connect/))[-1]{headers}{'cache-control'}, 'no-cache', 'the header is the same');
run_sql($session, 'RESET apigouv_fdw.fresh');
is( $session->value("SELECT statut_rattachement, identity_matching_given_name, identity_matching_overall_match, code_region"
		. " FROM particulier_extrait_immatriculation_vehicule_france_connect WHERE immatriculation = 'ZZ-001-ZZ'"),
	'cotitulaire|0.92|t|53', 'a vehicle, and how well the identities match');
for my $plate ('ZZ-404-ZZ', 'ZZ-405-ZZ')
{
	is($session->value("SELECT count(*) FROM particulier_extrait_immatriculation_vehicule_france_connect WHERE immatriculation = '$plate'"),
		'0', "$plate: unknown, or of somebody else");
}
is($session->value('SELECT nom_naissance FROM particulier_statut_etudiant_france_connect'), q(ERROR 42703: column "nom_naissance" does not exist),
	'no identity in such a table');
as_person('france_connect_peu');
is($session->value('SELECT email, statut_boursier_est_boursier FROM particulier_etudiant_boursier_france_connect'),
	'apolline@exemple.invalid|', "the scopes are the person's");
as_person('france_connect_autre');
is($session->value('SELECT count(*) FROM particulier_etudiant_boursier_france_connect'), '0', 'another person: nobody there');
for my $case ([ 'france_connect_expire', '50002' ], [ 'france_connect_sans_identite', '50003' ], [ 'particulier', '50001' ])
{
	as_person($case->[0]);
	my $result = refuses($session, $qf_fc, {
		sqlstate => '28000',
		message => 'foreign server "particulier" refused the FranceConnect token',
		detail => "HTTP 401, $case->[1].",
		hint => qr/france_connect_token/,
		requests => 1 }, "code $case->[1] of a 401");
	unlike($result->{err}, qr/\Q@{[ token($case->[0]) ]}\E/, '... without the token');
}
run_sql($session, 'RESET apigouv_fdw.france_connect_token');

# ===================================================================
# The token, the state of the service
# ===================================================================
is($session->value("SELECT type, 'cnaf_adresse' = ANY (scopes), rate_limit_par_minute FROM particulier_jeton"), 'standard|t|250', 'the token');
is($session->value("SELECT 'cnaf_adresse' = ANY (scopes) FROM particulier_introspection"), 't', 'its scopes');
run_sql($session, 'ALTER USER MAPPING FOR CURRENT_USER SERVER particulier OPTIONS (DROP token)');
is($session->value('SELECT status FROM particulier_ping'), 'ok', 'the service, without a token');
is( $session->value("SELECT string_agg(i.status, ',') FROM particulier_pings AS p JOIN particulier_ping AS i ON i.fournisseur = split_part(split_part(p.url, '/api/', 2), '/', 1)"),
	'ok,ok,ok,ok', 'and its providers');
is($session->value("SELECT count(*) FROM particulier_ping WHERE fournisseur = 'personne'"), '0', 'a provider that is none');
faults({ api => 'particulier', path => '/api/men_scolarite/ping', status => 502, times => -1,
	body => { status => 'bad_gateway', last_update => '2026-09-01T00:00:00Z', last_ok_status => undef } });
is($session->value("SELECT status, last_ok_status IS NULL FROM particulier_ping WHERE fournisseur = 'men_scolarite'"), 'bad_gateway|t', 'one that is down');
faults();
is(scalar(grep { $_->{authorization} } requests(api => 'particulier', path => qr/ping/)), 0, 'no token was sent there');
run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER particulier OPTIONS (ADD token '" . token('particulier') . "')");

# ===================================================================
# Nothing of a person where others look
# ===================================================================
for my $table (
	'particulier_statut_identifiant WHERE identifiant = $1',
	'particulier_etudiant_boursier_ine WHERE ine = $1',
	'particulier_extrait_immatriculation_vehicule_france_connect WHERE immatriculation = $1')
{
	my $value = $table =~ /ine =/ ? '0770770770K' : 'Quelquun-42';
	run_sql($session, "SET plan_cache_mode = force_generic_plan", "PREPARE cachee (text) AS SELECT * FROM $table");
	my $plan = $session->value("EXPLAIN (VERBOSE, ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE cachee ('$value')")
	  if $table !~ /france_connect/;
	$plan //= $session->value("EXPLAIN (VERBOSE, COSTS OFF) EXECUTE cachee ('$value')");
	like($plan, qr/Request: GET/, "$table: EXPLAIN shows the request");
	unlike($plan, qr/\Q$value\E/, '... without the value');
	run_sql($session, 'DEALLOCATE cachee');
}
my $log = decode('UTF-8', slurp_bytes($node->logfile));
unlike($log, qr/Cartier|Apolline|2004-04-12|Contestée|Tessier|Quelquun|0770770770K/i, 'nothing of a person in the log');
my $spilled = $session->value("SELECT count(*) FROM pg_ls_tmpdir()");
is($spilled, '0', 'nor in a temporary file');

still_works($session, 'the session goes on after all these');
done_testing();
