# Messages in French: errors, details, hints, contexts and warnings, from the
# first statement of a session on; in every encoding of a database; in English
# again as soon as lc_messages says so, with the same codes.  What programs
# read is the same in any language: audit lines, EXPLAIN, views.  pg_regress
# cannot show it: it runs in one database, in English, and sees no server log.
#
# The locales are made here, of the sources in package "locales".
use strict;
use utf8;
use warnings;

use ApigouvAudit;
use ApigouvQuota;
use ApigouvTest;
use Test::More;

plan skip_all => 'this server was built without translations' if qx($ENV{PG_CONFIG} --configure) !~ /enable-nls/;

my $locales = PostgreSQL::Test::Utils::tempdir();
for my $charmap (qw(UTF-8 ISO-8859-1 ISO-8859-15))
{
	my $output = qx(env -u LD_PRELOAD localedef --no-archive -i fr_FR -f $charmap $locales/fr_FR.$charmap 2>&1);
	die "localedef fr_FR.$charmap: $output (packages: locales, libc-bin)" if $?;
}
$ENV{LOCPATH} = "$locales:/usr/lib/locale";

my $node = new_cluster('french');
my $english = session($node);
my $french = session($node, options => '-c lc_messages=fr_FR.UTF-8');
my $siret = $ApigouvTest::SIRET;
my $structures = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";
my $msa = "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$siret'";
# nothing is kept: every query meets what is ordered for it
run_sql($_, 'SET apigouv_fdw.keep_after_error_s = 0') for $english, $french;

# A text as it is printed: no-break spaces; "…" stands for anything.
sub like_french
{
	my ($text) = @_;
	return undef unless defined $text;
	$text =~ s/« /«\xa0/g;
	$text =~ s/ »/\xa0»/g;
	$text =~ s/ ([:;?!])(?= |$)/\xa0$1/g;
	my $pattern = quotemeta $text;
	$pattern =~ s/(?:\\)?…/.*/g;
	return qr/^$pattern$/s;
}

# What a statement that must fail says in French, part by part; in English it
# fails with the same code, and says every such part without a word of French.
sub says
{
	my ($sql, $want, $name) = @_;
	my $result = refuses($french, $sql, {
		map { ($_ => /^(?:sqlstate|requests)$/ ? $want->{$_} : like_french($want->{$_})) } keys %$want }, $name);
	my $other = $english->query($sql);
	my @french = grep {
		defined $other->{$_}
		  && ($other->{$_} =~ /[«»\xa0]/ || $other->{$_} eq ($result->{$_} // '')
			|| $other->{$_} =~ /\b(?:n'a pas|la|le|du|une?|option de serveur)\b/)
	} qw(message detail hint);
	# what an API says is French in any language
	@french = grep { $other->{$_} !~ /^HTTP \d/ } @french;
	is("$other->{sqlstate} @french", "$want->{sqlstate} ", "$name: in English, the same code")
	  or diag($other->{err});
	return $result;
}

# ===================================================================
# The first statement of a session
# ===================================================================
my @firsts = (
	[ "CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', timeout '5')",
		'option « timeout » invalide' ],
	[ 'CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw',
		'l\'option « api » est requise pour un serveur distant d\'apigouv_fdw' ],
	[ 'SELECT count(*) FROM entreprise.entreprise_attestations',
		'ne peut pas parcourir la table distante « entreprise_attestations » sans valeur pour la colonne clé '
		  . '« siret »' ],
	[ "SELECT apigouv_document('marche_inclusion', 'x')",
		'l\'API « marche_inclusion » du serveur distant « marche_inclusion » n\'a pas de documents' ],
	[ "LOAD 'apigouv_fdw'; SET apigouv_fdw.recipient = '1'", undef, 'Le destinataire est un SIRET : …' ]);
for my $first (@firsts)
{
	my ($sql, $message, $detail) = @$first;
	my $session = session($node, options => '-c lc_messages=fr_FR.UTF-8');
	refuses($session, $sql, {
		$message ? (message => like_french($message)) : (), $detail ? (detail => like_french($detail)) : () },
		"first: $sql");
}

# ===================================================================
# Options
# ===================================================================
my $hint = 'Les options valides dans ce contexte sont : …';
says('ALTER SERVER entreprise OPTIONS (ADD timeout \'5\')',
	{ sqlstate => 'HV00D', message => 'option « timeout » invalide', hint => $hint }, 'an option that is none');
says("ALTER SERVER entreprise OPTIONS (ADD token 'x')", {
	sqlstate => 'HV00D', message => 'option « token » invalide',
	hint => 'Les secrets ne sont admis que dans une correspondance d\'utilisateur : '
	  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER ... OPTIONS (token \'...\').' }, 'a secret in a server');
says("CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'meteo')", {
	sqlstate => 'HV00Q', message => 'la définition d\'API « meteo » n\'existe pas',
	hint => 'Les définitions d\'API sont : data_inclusion, …' }, 'an API that is none');
my @values = (
	[ "retries '21'", 'l\'option « retries » : « 21 »', 'Donnez un entier entre 0 et 20.' ],
	[ "base_url 'http://example.org'", 'l\'option « base_url » : « http://example.org »',
		'Le schéma doit être https ; http n\'est admis que pour une adresse de boucle locale.' ],
	[ "base_url 'ftp://localhost'", 'l\'option « base_url » : « ftp://localhost »',
		'Donnez une URL comme https://hôte/chemin : son schéma n\'est ni http ni https.' ],
	[ "recipient '1'", 'l\'option « recipient » : « 1 »',
		'Donnez le SIRET d\'une administration : 14 chiffres dont la somme de contrôle est juste.' ]);
for my $value (@values)
{
	my ($option, $what, $advice) = @$value;
	says("CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', $option)",
		{ sqlstate => '22023', message => "valeur invalide pour $what", hint => $advice }, "a wrong value: $option");
}
says("ALTER SERVER entreprise OPTIONS (SET limits 'json=1/60s, neant=1/1s')", {
	sqlstate => '22023', message => 'valeur invalide pour l\'option « limits » : « neant »',
	hint => 'Les limites de l\'API « entreprise » sont : json, …' }, 'a limit that is none');
says("ALTER SERVER entreprise OPTIONS (ADD private_addresses '10.0.0.0/40')", {
	sqlstate => '22023', message => 'adresse invalide dans l\'option « private_addresses » : « 10.0.0.0/40 »',
	detail => 'La longueur de son préfixe est fausse.', hint => 'Donnez au plus … adresses ou réseaux, …' },
	'a wrong address');
says('IMPORT FOREIGN SCHEMA autre FROM SERVER entreprise INTO public', {
	sqlstate => 'HV00Q', message => 'le serveur distant « entreprise » n\'a pas de schéma « autre »',
	hint => 'Son seul schéma est « entreprise ».' }, 'a schema that is none');

# ===================================================================
# Settings, whose checks are called by the server
# ===================================================================
says("SET apigouv_fdw.recipient = '1'", {
	sqlstate => '22023', detail => 'Le destinataire est un SIRET : 14 chiffres dont la somme de contrôle est juste.' },
	'a setting: the detail');
says("SET apigouv_fdw.france_connect_token = 'a b'", {
	sqlstate => '22023', message => 'valeur invalide pour le paramètre « apigouv_fdw.france_connect_token »',
	hint => 'Un jeton a au plus … caractères ASCII affichables, sans espace.' }, 'a setting: message and hint');

# ===================================================================
# Conditions, rights, budgets
# ===================================================================
says('SELECT count(*) FROM entreprise.entreprise_attestation_vigilance', {
	sqlstate => 'HV002', requests => 0,
	hint => 'Ajoutez une condition comme siret = \'...\', ou une jointure sur « siret ».',
	message => 'ne peut pas parcourir la table distante « entreprise_attestation_vigilance » sans valeur pour la '
	  . 'colonne clé « siret »' }, 'a key that is missing');
for my $session ($english, $french)
{
	run_sql($session, 'CREATE ROLE agent') if $session == $english;
	run_sql($session, 'GRANT USAGE ON SCHEMA entreprise TO agent',
		'GRANT SELECT ON ALL TABLES IN SCHEMA entreprise TO agent', 'SET ROLE agent');
}
says($msa, {
	sqlstate => '42704', requests => 0,
	message => 'correspondance d\'utilisateur non trouvée pour le rôle « agent » sur le serveur distant « entreprise »',
	hint => 'Créez-en une par CREATE USER MAPPING FOR agent SERVER entreprise OPTIONS (token \'...\').' },
	'no user mapping');
says('SELECT apigouv_quota_forget()', {
	sqlstate => '42501', message => 'droit refusé pour …' }, 'a right that is missing');
run_sql($_, 'RESET ROLE', "SET apigouv_fdw.context = ''") for $english, $french;
says($msa, {
	sqlstate => 'HV002', requests => 0, detail => 'Aucun appel n\'a été fait.',
	message => 'le serveur distant « entreprise » exige la finalité de chaque appel : le paramètre '
	  . '« apigouv_fdw.context » est vide',
	hint => 'SET apigouv_fdw.context = \'...\', ou ajoutez une condition sur la colonne « contexte ».' }, 'no purpose');
run_sql($_, 'RESET apigouv_fdw.context', 'SET apigouv_fdw.max_requests_per_query = 1') for $english, $french;
says(vigilance(2), {
	sqlstate => '53400', message => 'la requête demande plus d\'appels que permis',
	detail => 'Le paramètre apigouv_fdw.max_requests_per_query vaut 1 ; cette requête en a fait … et en demande au '
	  . 'moins … de plus pour la table distante « entreprise_attestation_vigilance ».',
	hint => 'Ajoutez des conditions qui laissent moins de clés ou de pages, ou permettez-en plus par ce paramètre.' },
	'too many requests');
run_sql($_, 'RESET apigouv_fdw.max_requests_per_query') for $english, $french;
says("SELECT apigouv_document('entreprise', 'https://example.org/lien')", {
	sqlstate => '42501', requests => 0,
	message => 'le lien ne mène pas à un document du serveur distant « entreprise »',
	detail => 'Aucun appel n\'y a été fait.', hint => 'Les documents de l\'API « entreprise » viennent de : …' },
	'a link to somewhere else');

# ===================================================================
# What an API answers; its own words stay as they are
# ===================================================================
my $of_mapping = 'correspondance d\'utilisateur du rôle « … » sur le serveur distant « entreprise »';
give_entreprise(401, envelope('00101', 'Jeton absent ou invalide'));
says($msa, {
	sqlstate => '28000', message => 'le serveur distant « entreprise » a refusé le jeton',
	detail => 'HTTP 401, 00101: Jeton absent ou invalide.…', hint => "Vérifiez la $of_mapping." }, 'a token refused');
give_entreprise(401, envelope('00108', 'Environnement'));
says($msa, {
	sqlstate => '28000', hint => "Vérifiez la $of_mapping. Un jeton de la plateforme de test ne sert pas en "
	  . 'production, ni l\'inverse : voir l\'option de serveur base_url.' }, 'a hint of the definition');
give_entreprise(403, envelope('00100', 'Privilèges insuffisants'));
says($msa, {
	sqlstate => '42501', message => 'le serveur distant « entreprise » a refusé l\'appel, faute de droits',
	hint => "Le jeton de la $of_mapping doit avoir l'un des scopes …" }, 'a scope that is missing');
give_entreprise(500, envelope('00500', 'Erreur interne'));
says($msa, {
	sqlstate => 'HV00M', message => 'le serveur distant « entreprise » a répondu par le statut HTTP 500' },
	'a failure');
run_sql($english, "ALTER SERVER entreprise OPTIONS (ADD retries '0')");
for my $seconds (1, 2, 90)
{
	my $units = $seconds == 1 ? 'seconde' : 'secondes';
	give_entreprise(503, 'Maintenance', headers => { 'Retry-After' => $seconds, 'Content-Type' => 'text/plain' });
	says($msa, {
		sqlstate => 'HV00M', message => 'le serveur distant « entreprise » est indisponible',
		hint => "Relancez la requête dans $seconds $units." }, "to be asked again after $seconds s");
}
give_entreprise(200, '{"data": nul}');
says($msa, {
	sqlstate => 'HV00M',
	message => 'n\'a pas pu lire la réponse du serveur distant « entreprise » : caractère inattendu',
	detail => 'La lecture s\'est arrêtée à l\'octet … sur 13 ; le type du contenu est « … »; X-Request-Id: ….',
	context => 'table distante « entreprise_conformite_cotisations_msa », clé siret = "…"…' }, 'no JSON');

# a value that does not fit: the type's message is the server's, the place is ours
faults({
	api => 'marche_inclusion', times => -1, status => 200, body => [ { id => 'sept', siret => $siret } ] });
says("SELECT id FROM marche_inclusion.structures WHERE siret = '$siret'", {
	sqlstate => '22P02',
	context => 'colonne « id » de la table distante « structures », chemin JSON « id »…' },
	'a value that does not fit');
faults();

# ===================================================================
# Connections, time-outs, quotas
# ===================================================================
my $port = free_port();
run_sql($english, "CREATE SERVER absent FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_inclusion',"
	  . " base_url 'http://127.0.0.1:$port', retries '1')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER absent OPTIONS (token 'x')",
	'CREATE SCHEMA absent', 'IMPORT FOREIGN SCHEMA marche_inclusion FROM SERVER absent INTO absent');
my $absent = $structures =~ s/marche_inclusion/absent/r;
says($absent, {
	sqlstate => 'HV00N', message => 'n\'a pas pu se connecter au serveur distant « absent »',
	detail => "N'a pas pu se connecter à « 127.0.0.1 », port $port : …, après 2 tentatives." }, 'nobody there');
run_sql($english, "ALTER SERVER absent OPTIONS (SET retries '0')");
says($absent, { sqlstate => 'HV00N', detail => '…, après 1 tentative.' }, 'nobody there, asked once');

run_sql($english, "ALTER USER MAPPING FOR CURRENT_USER SERVER absent OPTIONS (DROP token, ADD token_file '/')");
says($absent, {
	sqlstate => 'F0000', requests => 0,
	message => 'n\'a pas pu lire le fichier de jeton « / » : ce n\'est pas un fichier ordinaire',
	detail => 'La correspondance d\'utilisateur du rôle « … » sur le serveur distant « absent » le nomme.  Aucun appel '
	  . 'n\'a été fait.', hint => 'Il doit contenir le jeton seul, …' }, 'a token file that is none');
like($french->value('SELECT error FROM apigouv_tokens WHERE server = \'absent\''),
	like_french('n\'a pas pu lire le fichier de jeton : ce n\'est pas un fichier ordinaire'),
	'the view of tokens says it too');
run_sql($english, "ALTER USER MAPPING FOR CURRENT_USER SERVER absent OPTIONS (DROP token_file, ADD token 'x')");

faults({ api => 'marche_inclusion', times => -1, action => 'cut' });
run_sql($english, "ALTER SERVER marche_inclusion OPTIONS (ADD retries '0')");
says($structures, {
	sqlstate => '08006',
	message => 'la connexion avec le serveur distant « marche_inclusion » a été perdue ou trop lente',
	detail => 'La connexion avec « 127.0.0.1 », port … a été perdue avant la fin de la réponse, après 1 tentative.' },
	'a reply that is cut');
faults();

run_sql($english, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')");
limits($english, undef, urssaf => '1/600s');
begin_anew($english);
run_sql($english, vigilance(1));
says(vigilance(1, 20100), {
	sqlstate => '53400', requests => 0,
	message => 'n\'a pas pu faire un appel au serveur distant « entreprise » : le quota d\'appels est épuisé',
	detail => 'La limite « urssaf » est de 1 appel par 600 secondes ; il reste … secondes, retry_at=….',
	hint => 'Relancez la requête plus tard, ou augmentez l\'option de serveur « quota_wait_ms ».' },
	'a quota that is spent');
limits($english, undef);
begin_anew($english);
faults();

# ===================================================================
# Warnings, a column that tells why, plurals
# ===================================================================
for my $case (
	[ 1, '1 valeur de clé mal formée de la table distante « structures » n\'a pas été envoyée' ],
	[ 2, '2 valeurs de clé mal formées de la table distante « structures » n\'ont pas été envoyées' ])
{
	my ($n, $warning) = @$case;
	my $keys = join ', ', map { "'12$_'" } 1 .. $n;
	my $result = $french->query("SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ($keys, '$siret')");
	is(scalar(@{ $result->{notices} }), 1, "$n malformed: one warning");
	like($result->{notices}[0], like_french($warning), "$n malformed: its plural");
}
is($french->query($structures)->{err}, '', 'none: no warning');
run_sql($_, 'SET apigouv_fdw.on_failure = row') for $english, $french;
my $why = "SELECT erreur FROM absent.structures WHERE siret = '$siret'";
like($french->value($why), like_french("n'a pas pu se connecter à « 127.0.0.1 », port $port : …"), 'column erreur');
like($english->value($why), qr/^could not connect to "127\.0\.0\.1", port $port: /, 'column erreur, in English');
run_sql($_, 'RESET apigouv_fdw.on_failure') for $english, $french;

# the catalog's own rule: none and one are singular
my ($localedir) = map { s/\s+$//r } qx($ENV{PG_CONFIG} --localedir);
my $major = int($english->value('SHOW server_version_num') / 10000);
for my $case ([ 0, '%d appel' ], [ 1, '%d appel' ], [ 2, '%d appels' ])
{
	local %ENV = (%ENV, LC_ALL => 'fr_FR.UTF-8', TEXTDOMAINDIR => $localedir);
	my $form = qx(ngettext -d apigouv_fdw-$major '%d request' '%d requests' $case->[0]);
	is($form, $case->[1], "$case->[0]: its plural");
}

# ===================================================================
# lc_messages within a session
# ===================================================================
my $wrong = "SET apigouv_fdw.recipient = '2'";
my $session = session($node);
run_sql($session, "LOAD 'apigouv_fdw'");
for my $case (
	[ "SET lc_messages = 'fr_FR.UTF-8'", qr/^Le destinataire/ ], [ "SET lc_messages = 'C'", qr/^The recipient/ ],
	[ "BEGIN; SET LOCAL lc_messages = 'fr_FR.UTF-8'", qr/^Le destinataire/ ], [ 'ROLLBACK', qr/^The recipient/ ],
	[ "SET lc_messages = 'fr_FR.ISO-8859-1'", qr/^Le destinataire est un SIRET\xa0: 14 chiffres/ ])
{
	run_sql($session, $case->[0]);
	refuses($session, $wrong, { detail => $case->[1] }, "after $case->[0]");
}

# ===================================================================
# What programs read is in no language
# ===================================================================
my @same = (
	"EXPLAIN (VERBOSE, COSTS OFF) $structures", "EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) $msa",
	'EXPLAIN (VERBOSE, COSTS OFF) ' . vigilance(3), 'SELECT * FROM apigouv_tables ORDER BY 1, 2',
	'SELECT * FROM apigouv_columns ORDER BY 1, 2, 3', 'SELECT "limit", role FROM apigouv_quota ORDER BY 1, 2');
is($french->value($_), $english->value($_), "the same: $_") for @same;

# Lines of the same requests, without what differs from one to the next.
sub audited
{
	my ($session) = @_;
	audit_begin($node);
	for my $fault (
		undef, [ 401, envelope('00101', 'Jeton invalide') ], [ 503, 'x' ], [ 200, '{"data": nul}' ],
		[ 404, envelope('10003', 'x') ])
	{
		faults();
		give_entreprise(@$fault) if $fault;
		$session->query($msa);
	}
	faults({ api => 'entreprise', path => '/v*', times => -1, action => 'close' });
	$session->query($msa);
	faults();
	my @lines = audit_lines();
	delete @$_{qw(id time pid ms request_id quota_left bytes)} for @lines;
	return @lines;
}
my @in_english = audited($english);
cmp_ok(scalar(@in_english), '>=', 12, 'requests are audited');
is_deeply([ audited($french) ], \@in_english, 'audit lines are the same');

# ===================================================================
# Encodings: those of the database, whatever its locale
# ===================================================================
my $refused = 'CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw';
my @databases;
my $said = 'l\'option « api » est requise pour un serveur distant d\'apigouv_fdw';
for my $case (
	[ 'UTF8', 'C' ], [ 'UTF8', 'fr_FR.UTF-8' ], [ 'LATIN1', 'C' ], [ 'LATIN1', 'fr_FR.ISO-8859-1' ],
	[ 'LATIN9', 'fr_FR.ISO-8859-15' ], [ 'SQL_ASCII', 'fr_FR.UTF-8' ])
{
	my ($encoding, $locale) = @$case;
	my $name = "$encoding, $locale";
	my $db = lc "d_$encoding" . ($locale eq 'C' ? '_c' : '');
	push @databases, $db;
	$node->safe_psql('postgres',
		"CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE '$locale'");
	$node->safe_psql($db, 'CREATE EXTENSION apigouv_fdw');
	my $there = session($node, db => $db, options => '-c lc_messages=fr_FR.UTF-8');
	refuses($there, $refused, { message => like_french($said) }, "$name: accents");
	# a sentence made of two texts, and the place of a mistake in a definition
	refuses($there, "CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise', base_url 'x')",
		{ hint => like_french('Donnez une URL comme https://hôte/chemin : ce n\'est pas une URL absolue.') },
		"$name: two texts");
}
my $ascii = session($node, db => 'd_sql_ascii', options => '-c lc_messages=C');
refuses($ascii, $refused, { message => qr/^option "api" is required/ }, 'SQL_ASCII, in English');

# ===================================================================
# A definition that is wrong: its texts are UTF-8, the message is the database's
# ===================================================================
my $dir = own_definitions($node);
open(my $file, '>:utf8', "$dir/essai/faute.json") or die "faute.json: $!";
print $file '{"table": "faute", "comment": "x", "source": "x", "rows": 1, "routes": [],'
  . ' "columns": [{"name": "clé", "type": "text"}]}';
close $file;
my $essai = PostgreSQL::Test::Utils::slurp_file("$dir/essai.json");
$essai =~ s/"tables": \[/"tables": ["faute", /;
open($file, '>', "$dir/essai.json") or die "essai.json: $!";
print $file $essai;
close $file;
for my $db ('postgres', 'd_latin1', 'd_sql_ascii')
{
	my $there = session($node, db => $db, options => '-c lc_messages=fr_FR.UTF-8');
	like($there->value('SELECT error FROM apigouv_tables WHERE "table" = \'faute\''),
		like_french('définition d\'API « essai/faute.json » invalide : columns[0].name: nom « clé » invalide : …'),
		"$db: a wrong definition");
}

# ===================================================================
# Functions written in PL/pgSQL
# ===================================================================
run_sql($english, 'CREATE SCHEMA vues', 'CREATE TABLE vues.structures ()', 'CREATE TABLE vues.cible (siret text)');
my $keys = "'SELECT ''$siret'' AS siret'";
my @refusals = (
	[ "apigouv_refresh('vues.cible', 'marche_inclusion.structures', NULL)", '22023', 'la cible, la source et les clés doivent être données' ],
	[ "apigouv_refresh('pg_stats', 'marche_inclusion.structures', $keys)", '42809', '« pg_stats » n\'est pas une table' ],
	[ "apigouv_refresh('vues.cible', 'vues.cible', $keys)", '42809', '« vues.cible » n\'est pas une table distante d\'apigouv_fdw' ],
	[ "apigouv_refresh('vues.cible', 'marche_inclusion.structures', 'SELECT 1 AS kind')", '42703',
		'la colonne clé « kind » n\'est pas une colonne à la fois de « marche_inclusion.structures » et de « vues.cible »',
		'Les colonnes de la requête des clés portent …' ],
	[ "apigouv_refresh('vues.cible', 'marche_inclusion.structures', $keys, batch_size => 0)", '22023',
		'les âges, durées et nombres ne doivent pas être négatifs', 'Le paramètre « batch_size » va de 1 à 10000.' ],
	[ "apigouv_create_views('marche_inclusion', 'marche_inclusion')", '22023', 'les vues doivent être dans un autre schéma …' ],
	[ "apigouv_create_views('neant', 'vues')", '3F000', 'le schéma « neant » n\'existe pas', 'Donnez le schéma où sont les tables distantes.' ],
	[ "apigouv_create_views('marche_inclusion', 'vues')", '42P07',
		'« structures » du schéma « vues » n\'est pas une vue que cette fonction a créée', 'Supprimez-la ou renommez-la, …' ],
	[ "apigouv_create_structures_inclusion('data_inclusion.structures', 'data_inclusion.structures')", '42809',
		'« data_inclusion.structures » n\'est pas la table distante de la table « structures » de l\'API « marche_inclusion »' ]);
for my $refusal (@refusals)
{
	my ($call, $sqlstate, $message, $advice) = @$refusal;
	says(($call =~ /refresh/ ? 'CALL ' : 'SELECT ') . $call,
		{ sqlstate => $sqlstate, message => $message, defined $advice ? (hint => $advice) : (), requests => 0 }, $call);
}
refuses($french, "SELECT apigouv_create_views('marche_inclusion', 'Né %s')",
	{ message => like_french('le schéma « Né %s » n\'existe pas'), hint => 'CREATE SCHEMA "Né %s";' }, 'a name is no place for a value');

# ===================================================================
# Preloaded: the library is initialized where there is no database yet
# ===================================================================
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'apigouv_fdw'\n");
$node->restart;
for my $db (@databases)
{
	my $there = session($node, db => $db, options => '-c lc_messages=fr_FR.UTF-8');
	refuses($there, "CREATE SERVER s FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'meteo')",
		{ message => like_french('la définition d\'API « meteo » n\'existe pas') }, "preloaded, $db: accents");
}

done_testing();
