# Data about persons, and the tokens that stand for them: what goes out on the
# wire, and that neither appears in plans, messages, the server log at its
# most talkative, auto_explain's included, nor in files.  pg_regress cannot
# show it: it sees neither the bytes sent nor the log, and a row lock that
# makes a query look again takes two sessions.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('personal', "log_temp_files = 0\n");
own_definitions($node);

# A server that tells the Authorization and the address of each request.
my $heads = PostgreSQL::Test::Utils::tempdir() . '/heads';
my $padding = 'x' x 200_000;

sub answer
{
	my ($body) = @_;
	return sub {
		my ($client, $head) = @_;
		open(my $file, '>>', $heads) or die "$heads: $!";
		print $file $head;
		close $file;
		print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
		  . length($body) . "\r\nConnection: close\r\n\r\n$body";
	};
}
my $url = raw_server(
	pings => answer('{"pings": [{"name": "caf", "status": "up"}]}'),
	v3 => answer(qq({"data": {"statut": "vu", "padding": "$padding"}})));

# What arrived since the last look: address and Authorization.
sub arrived
{
	return () unless -e $heads;
	my $text = slurp_bytes($heads);
	unlink $heads;
	return map {
		my ($path) = m{^GET (\S+)};
		my ($authorization) = /^Authorization: (.*?)\r$/m;
		$path . ' ' . ($authorization // 'nothing');
	} split /(?<=\r\n\r\n)/, $text;
}

$node->safe_psql('postgres', <<"SQL");
CREATE SERVER personnes FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'personnes', base_url '$url', recipient '00000900100017');
CREATE USER MAPPING FOR CURRENT_USER SERVER personnes OPTIONS (token 'JetonDeLAdministration');
CREATE SCHEMA personnes;
IMPORT FOREIGN SCHEMA personnes FROM SERVER personnes INTO personnes;
CREATE TABLE jetons (prenom text, jeton text);
INSERT INTO jetons VALUES ('Camille', 'JetonDeCamilleSecret'), ('Dominique', 'JetonDeDominiqueSecret');
CREATE TABLE registre (n int, nom text, prenoms text[], ne_le date);
INSERT INTO registre VALUES (1, 'Lefebvrissime', '{Zoéphine,Anne}', '1987-06-05'), (2, 'Kerdoncuffe', '{Yannickou}', '1976-05-04');
CREATE FUNCTION cherche(n int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	r registre;
	statut text;
BEGIN
	SELECT * INTO r FROM registre WHERE registre.n = cherche.n;
	SELECT f.statut INTO statut FROM personnes.fiches AS f
		WHERE f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le AND f.statut <> r.nom;
	RETURN statut;
END
\$\$;
SQL

my $token = "SELECT set_config('apigouv_fdw.france_connect_token', jeton, %s) FROM jetons WHERE prenom = '%s'";

# ===================================================================
# The wire: whose token goes where
# ===================================================================
my $session = session($node);
is($session->value('SELECT etat FROM personnes.pings'), 'up', 'a route without token');
is_deeply([ arrived() ], ['/pings nothing'], 'sends none, nor a purpose');

run_sql($session, 'BEGIN', sprintf($token, 'true', 'Camille'));
$session->query('SELECT statut FROM personnes.sources');
is_deeply(
	[ sort(arrived()) ],
	[
		'/v3/sources/etat nothing',
		'/v3/sources/france_connect?recipient=00000900100017 Bearer JetonDeCamilleSecret',
		'/v3/sources/identite?recipient=00000900100017 Bearer JetonDeLAdministration'
	],
	'each source gets its own token');
run_sql($session, sprintf($token, 'true', 'Dominique'));
$session->query('SELECT statut FROM personnes.france_connect');
run_sql($session, sprintf($token, 'true', 'Camille'));
$session->query('SELECT statut FROM personnes.france_connect');
run_sql($session, sprintf($token, 'true', 'Dominique'));
$session->query('SELECT statut FROM personnes.france_connect');
is_deeply(
	[ map { (split ' ')[-1] } arrived() ],
	[ 'JetonDeDominiqueSecret', 'JetonDeCamilleSecret' ],
	'a transaction keeps the reply to each person, and gives it to no other');
run_sql($session, 'COMMIT');
is($session->query('SELECT statut FROM personnes.france_connect')->{sqlstate}, '28000',
	'with the transaction the token is gone');
is_deeply([ arrived() ], [], 'and nothing was sent');

# a cursor goes on with the token it began with
run_sql($session, 'BEGIN', sprintf($token, 'true', 'Camille'),
	'DECLARE c CURSOR FOR SELECT statut FROM personnes.france_connect', 'FETCH 1 FROM c',
	sprintf($token, 'true', 'Dominique'), 'FETCH 1 FROM c', 'COMMIT');
is_deeply([ map { (split ' ')[-1] } arrived() ], ['JetonDeCamilleSecret'], 'a cursor keeps its token');

$session->query('SELECT cherche(1)');
is_deeply(
	[ map { (split ' ')[0] } arrived() ],
	[ '/v3/fiche/identite?recipient=00000900100017&nomNaissance=Lefebvrissime&prenoms%5B%5D=Zo%C3%A9phine'
		  . '&prenoms%5B%5D=Anne&anneeDateNaissance=1987&moisDateNaissance=06&jourDateNaissance=05' ],
	'an array is a parameter for each element, percent-encoded');

# ===================================================================
# Nothing that would outlive the session may hold the token
# ===================================================================
my $early = session($node, options => '-c apigouv_fdw.france_connect_token=JetonDeConnexion');
my $result = $early->query("LOAD 'apigouv_fdw'");
like("@{$result->{notices}}", qr/cannot be stored/, 'a token among the options of the connection is refused');
unlike($result->{err}, qr/JetonDeConnexion/, 'and not repeated');
is($early->query('SELECT statut FROM personnes.france_connect')->{sqlstate}, '28000', 'and not used');
$early->query('RESET apigouv_fdw.france_connect_token');
is($early->query('SELECT statut FROM personnes.france_connect')->{sqlstate}, '28000', 'not after RESET either');

# a superuser without the library can store what it likes; it is of no use
run_sql(session($node), 'CREATE ROLE tenace SUPERUSER LOGIN',
	"ALTER ROLE tenace SET apigouv_fdw.france_connect_token = 'JetonRange'");
my $tenace = session($node, user => 'tenace');
$result = $tenace->query('SELECT statut FROM personnes.france_connect');
is($result->{sqlstate}, '28000', 'a token stored behind our back is not used');
unlike($result->{err}, qr/JetonRange/, 'and not repeated');
run_sql($session, 'DROP ROLE tenace');

run_sql($session, sprintf($token, 'false', 'Camille'), 'DISCARD ALL');
is($session->query('SELECT statut FROM personnes.france_connect')->{sqlstate}, '28000',
	"a pool's DISCARD ALL takes the token away");
is_deeply([ arrived() ], [], 'nothing was sent');

# ===================================================================
# A row that has changed meanwhile is looked at again, by every condition
# ===================================================================
my $other = session($node);
my $locking = 'SELECT r.n, f.nom_naissance, f.statut FROM registre AS r JOIN personnes.fiches AS f'
  . ' ON f.nom_naissance = r.nom AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le'
  . " AND f.statut <> r.n::text WHERE r.n = 2 FOR UPDATE OF r";
for my $case (
	[ "nom = 'Autre'", '', 'its key is another' ],
	[ 'n = n', "2|Kerdoncuffe|vu\n", 'its key is the same' ])
{
	run_sql($other, 'BEGIN', "UPDATE registre SET $case->[0] WHERE n = 2");
	$session->start($locking);
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " . $session->pid)
	  or die 'nobody waits for the lock';
	run_sql($other, 'COMMIT');
	is($session->finish->{out}, $case->[1], "a row lock waited for: $case->[2]");
	run_sql($other, "UPDATE registre SET nom = 'Kerdoncuffe' WHERE n = 2");
}
arrived();

# ===================================================================
# The server log at debug5, with auto_explain; messages; files
# ===================================================================
log_all_but_parameters($node);
$node->stop;
$node->rotate_logfile;
$node->start;
$session = session($node, options => '-c client_min_messages=debug5');
my $told = '';

sub run
{
	my ($sql) = @_;
	my $result = $session->query($sql);
	$told .= $result->{err};
	return $result;
}
run_sql($session, "LOAD 'apigouv_fdw'", sprintf($token, 'false', 'Camille'));
for my $mode (qw(force_custom_plan force_generic_plan))
{
	run("SET plan_cache_mode = $mode");
	is(run('SELECT cherche(n) FROM registre')->{out}, "vu\nvu\n", "$mode: keys from a variable");
	is(run('SELECT statut FROM personnes.france_connect')->{out}, "vu\n", "$mode: a person's token");
}
is(run('SELECT f.statut FROM registre AS r JOIN personnes.fiches AS f ON f.nom_naissance = r.nom'
			. ' AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le')->{out}, "vu\nvu\n", 'keys from a join');
run('SET apigouv_fdw.cache_size = 0');
is(run('SELECT count(f.reponse) FROM registre AS r JOIN personnes.fiches AS f ON f.nom_naissance = r.nom'
			. ' AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le')->{out}, "2\n", 'no memory for replies');

# failures of all kinds
for my $body (
	"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nBad request: nomNaissance=Lefebvrissime, JetonDeCamilleSecret",
	"HTTP/1.1 401 No\r\nConnection: close\r\n\r\n{\"errors\": [{\"code\": \"50002\", \"title\": \"JetonDeCamilleSecret de Lefebvrissime\"}]}",
	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\": {\"statut\": \"Lefebvrissime\\u0000\", \"quotient\": {\"valeur\": \"Lefebvrissime\"}}}",
	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nLefebvrissime, JetonDeCamilleSecret",
	'')
{
	my $bad_url = raw_server(v3 => $body);
	run("ALTER SERVER personnes OPTIONS (SET base_url '$bad_url')");
	run('ALTER SERVER personnes OPTIONS (ADD retries \'0\')') if $body eq '';
	for my $query ('SELECT statut FROM personnes.france_connect', 'SELECT cherche(1)',
		'SELECT f.quotient FROM registre AS r JOIN personnes.fiches AS f ON f.nom_naissance = r.nom'
		  . ' AND f.prenoms = r.prenoms AND f.date_naissance = r.ne_le')
	{
		my $result = run($query);
		ok(defined $result->{sqlstate}, "an error: " . ($result->{message} // 'none'));
		like($result->{context} // '', qr/key with hash [0-9a-f]{16}|column "\w+" of foreign table/,
			'that tells which key by its hash, or which column')
		  if $query !~ /france_connect/ && defined $result->{sqlstate};
	}
}
$node->stop;

my @values = ('JetonDeCamille', 'JetonDeDominique', 'JetonDeLAdministration', 'Lefebvrissime', 'phine,Anne',
	'Kerdoncuffe', 'Yannickou', '1987-06-05', '1976-05-04', '1987');
my $log = slurp_bytes($node->logfile);
like($log, qr/Foreign Scan on personnes\.fiches/, 'auto_explain has told of plans');
like($log, qr/DEBUG:/, 'the log was at debug5');
is(join(' ', grep { index($log, $_) >= 0 } @values), '', 'and tells nothing of persons');
is(join(' ', grep { index($told, $_) >= 0 } @values), '', 'nor do messages to the session')
  or diag(grep { /$values[3]/ } split /^/, $told);
unlike($log, qr/temporary file: path "base\/pgsql_tmp[^\n]*\n[^\n]*STATEMENT:[^\n]*personnes/, 'no reply went to a file');
ok(!glob($node->data_dir . '/base/pgsql_tmp/*'), 'nor is there one');

done_testing();
