# No token, client secret, access token or document link in anything that the
# extension writes: messages at client_min_messages = debug5 with all fields,
# EXPLAIN in every format, the server log at log_min_messages = debug5.
# pg_regress cannot show it: it does not read the server log, and the replies
# that repeat a secret are ordered from the local API server.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('secrets', "log_statement = none\n");
my $siret = $ApigouvTest::SIRET;

# Known access tokens and links, to be looked for.
my $access_token = 'Zx9AccessTokenThatNobodyMaySee';
my $link = 'https://storage.entreprise.api.gouv.fr/siade/LinkThatNobodyMaySee.pdf';
my $fresh_token = 'Zy8AnotherTokenThatNobodyMaySee';

# Statements with secrets in their text are the user's; from here on there are
# none, so that whatever the log holds was put there by the extension.
$node->append_conf('postgresql.conf', "log_min_messages = debug5\n");
$node->stop;
$node->rotate_logfile;
$node->start;

my @secrets = (all_secrets(), 'AccessTokenThatNobodyMaySee',
	'AnotherTokenThatNobodyMaySee', 'LinkThatNobodyMaySee');
# parts of a JWT are secrets too: its claims and its signature
push @secrets, map { (split /\./)[ 1, 2 ] } grep { /\..+\./ } @secrets;
my $everything = '';

my $session = session($node,
	options => '-c client_min_messages=debug5 -c apigouv_fdw.context=Tests');

# Run a query, and keep what was said.
sub run
{
	my ($sql) = @_;
	my $result = $session->query($sql);
	$everything .= "$sql\n$result->{out}$result->{err}";
	return $result;
}

# The same, when the rows themselves may hold links.
sub run_for_messages
{
	my ($sql) = @_;
	my $result = $session->query($sql);
	$everything .= "$sql\n$result->{err}";
	return $result;
}

sub found_in
{
	my ($text) = @_;
	return grep { index($text, $_) >= 0 } @secrets;
}

my %queries = (
	marche_inclusion => "SELECT name FROM marche_inclusion.structures WHERE siret = '$siret'",
	data_inclusion => "SELECT nom FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'",
	entreprise => "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$siret' AND type = 'attestation_vigilance'",
	marche_travail => "SELECT niveau FROM marche_travail.marche_travail_tensions"
	  . " WHERE code_type_territoire = 'REG' AND code_territoire = '53' AND code_rome = 'D1102'");

# ===================================================================
# Queries, plans in every format, descriptions
# ===================================================================
for my $api (sort keys %queries)
{
	is(run($queries{$api})->{sqlstate}, undef, "$api: a query");
	for my $format (qw(text json xml yaml))
	{
		run("EXPLAIN (VERBOSE, FORMAT $format) $queries{$api}");
		run("EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT $format) $queries{$api}");
	}
	run("SELECT * FROM pg_foreign_server WHERE srvname = '$api'");
}
run('SELECT query, wait_event, application_name FROM pg_stat_activity');
run('SELECT name, statement FROM pg_prepared_statements');
run('SELECT name, setting FROM pg_settings WHERE name LIKE \'apigouv%\'');
run_for_messages("SELECT * FROM entreprise.entreprise_attestations WHERE siret = '$siret'");
run_for_messages("SELECT * FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'");

# ===================================================================
# Failures of every kind
# ===================================================================
for my $api (sort keys %queries)
{
	for my $fault (
		(map { { status => $_, body => '<html>' } } 400, 401, 403, 404, 410, 422, 500, 501),
		(map { { status => $_, body => '', headers => { 'Retry-After' => 0 } } } 429, 502, 503, 504),
		(map { { action => $_ } } qw(close reset cut garbage bad_gzip redirect)))
	{
		faults({ api => $api, times => -1, %$fault });
		run($queries{$api});
	}
	stub_reset();
	run("ALTER SERVER $api OPTIONS (ADD timeout_ms '200')");
	faults({ api => $api, action => 'stall', times => -1 });
	is(run($queries{$api})->{sqlstate} // 'row', $api eq 'entreprise' ? 'row' : '08006',
		"$api: a failure");
	run("ALTER SERVER $api OPTIONS (DROP timeout_ms)");
}
run('DO $$ BEGIN PERFORM ' . (split / /, $queries{marche_inclusion}, 2)[1]
	. '; END $$');

# ===================================================================
# A reply that repeats a secret
# ===================================================================
stub_reset();
faults({
	api => 'marche_inclusion', times => -1, status => 401,
	body => { detail => 'Jeton ' . token('marche_inclusion') . ' inconnu' } });
run($queries{marche_inclusion});
faults({
	api => 'entreprise', times => -1, status => 401,
	headers => { 'X-Request-Id' => token('entreprise') },
	body => { errors => [ { code => '00101', title => token('entreprise') } ] } });
run($queries{entreprise});
faults({
	api => 'entreprise', times => -1, status => 502,
	body => { errors => [ { code => '04000', title => "Voir $link" } ] } });
run($queries{entreprise});
run("SELECT * FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$siret'");
faults({
	api => 'entreprise', times => -1, status => 500,
	headers => { 'Content-Type' => 'text/plain' }, body => "Erreur sur $link." });
run("SELECT * FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$siret'");

# a link where a date or a number should be
faults({
	api => 'entreprise', times => -1, status => 200,
	body => { data => { date_fin_validite => $link, document_url_expires_in => $link,
			document_url => $link } } });
for my $column (qw(date_fin_validite document_url_expires_in document_expire_le))
{
	ok(defined run("SELECT $column FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'")
		  ->{sqlstate}, "a link in $column is an error");
}

# a link in a reply that is not JSON
faults({ api => 'entreprise', times => -1, status => 200, body => "[$link" });
run("SELECT * FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'");

# ===================================================================
# Access tokens: obtained, used, renewed, refused
# ===================================================================
for my $body (
	{ access_token => $access_token, expires_in => 1499, token_type => 'Bearer' },
	{ access_token => $fresh_token, expires_in => 1499, error => $fresh_token })
{
	for my $status (200, 401, 403, 500)
	{
		$session = session($node, options => '-c client_min_messages=debug5');
		faults(
			{ api => 'marche_travail', path => '/connexion/*', times => -1, status => 200, body => $body },
			{ api => 'marche_travail', times => -1, status => $status,
				body => { message => "Jeton $body->{access_token}", listeValeursParPeriode => [] } });
		run($queries{marche_travail});
		run("EXPLAIN (ANALYZE, VERBOSE) $queries{marche_travail}");
	}
}
$session = session($node, options => '-c client_min_messages=debug5');
faults({
	api => 'marche_travail', path => '/connexion/*', times => -1, status => 400,
	body => { error => 'invalid_client',
		error_description => 'Secret ' . token('marche_travail_secret') . ' refused' } });
run($queries{marche_travail});
faults({
	api => 'marche_travail', path => '/connexion/*', times => -1, status => 200,
	body => qq({"access_token": "$access_token", ) });
run($queries{marche_travail});

# ===================================================================
# Options that are refused do not repeat what they hold
# ===================================================================
stub_reset();
my $log_before = length slurp_bytes($node->logfile);
for my $sql (
	"ALTER SERVER marche_travail OPTIONS (ADD client_secret 'LinkThatNobodyMaySee')",
	"ALTER SERVER entreprise OPTIONS (SET base_url 'https://u:LinkThatNobodyMaySee\@example.org')",
	"CREATE USER MAPPING FOR PUBLIC SERVER entreprise OPTIONS (token E'LinkThatNobodyMaySee\\n')",
	"CREATE USER MAPPING FOR PUBLIC SERVER marche_travail OPTIONS (client_secret 'LinkThatNobodyMaySee')")
{
	my $result = $session->query($sql);
	ok(defined $result->{sqlstate}
		  && !grep { /NobodyMaySee/ } @$result{grep { defined $result->{$_} } qw(message detail hint context)},
		'refused, and not repeated: ' . ($result->{message} // 'accepted'));
}
my $log_after = length slurp_bytes($node->logfile);

# ===================================================================
# The verdict
# ===================================================================
my @found = found_in($everything);
is(scalar(@found), 0, 'no secret in what sessions were told')
  or diag(map { "found: $_\n" } map { excerpt($everything, $_) } @found);
cmp_ok(length $everything, '>', 100_000, 'which was much');

# the statements just above are the user's words: their part is left out
my $log = slurp_bytes($node->logfile);
my $checked = substr($log, 0, $log_before) . substr($log, $log_after);
@found = found_in($checked);
is(scalar(@found), 0, 'no secret in the server log')
  or diag(map { "found: $_\n" } map { excerpt($checked, $_) } @found);
like($checked, qr/DEBUG:/, 'which was at debug5');

# what stands around a secret, itself shortened
sub excerpt
{
	my ($text, $secret) = @_;
	my $at = index($text, $secret);
	my $from = $at > 200 ? $at - 200 : 0;
	return substr($text, $from, $at - $from) . substr($secret, 0, 6) . '...';
}

done_testing();
