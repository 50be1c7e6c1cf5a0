# One day's work over the five APIs, with keys from a table and never typed into SQL; then a search of everything that
# was written meanwhile, for every secret and every value about persons that the tests use, in every form: messages at
# debug5, EXPLAIN in each format, the server log in its three forms with auto_explain and audit lines, activity and
# catalogs as another role sees them, every file below the data directory, dumps.  Then the search itself is judged: a
# value planted in each of these places must be found there.
#
# Left out, since they are the user's or the DBA's (doc/reference.md, "Personal data"): the table of keys; user mappings in
# their catalog and in a superuser's dump, tokens being in files here; the text of statements; rows.  Replies that are
# kept for the cluster are public data, and are searched as all files are.
#
# pg_regress cannot show it: it reads neither the log, nor files, nor what another session sees.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvSweep;
use ApigouvTest;
use Encode qw(decode encode);
use File::Find;
use JSON::PP;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($siret, $siren) = ($ApigouvTest::SIRET, $ApigouvTest::SIREN);
my $node = new_cluster('secrets_sweep', "autovacuum = off\nmin_wal_size = 64MB\n");

# ===================================================================
# Keys, the user's: what is typed here is before the log is at debug5
# ===================================================================
my @persons = (PERSONS);
my ($nom, $autre, $yann, $zoe) = @persons[ 0 .. 3 ];
my ($ine, $plaque, $identifiant) = @persons[ 7 .. 9 ];
my %first_token = (fichier => 'data_inclusion_dora', map { ($_ => $_) } qw(marche_inclusion data_inclusion entreprise particulier));

# Give a server another token, in its file.
sub with_token
{
	my ($server, $name) = @_;
	open(my $file, '>', "$dir/$server.new") or die "$dir/$server.new: $!";
	print $file token($name);
	close $file;
	chmod 0600, "$dir/$server.new";
	rename "$dir/$server.new", "$dir/$server" or die "$dir/$server: $!";
	return;
}
with_token($_, $first_token{$_}) for keys %first_token;
my $rows = join ', ', map { "('$_', '{Apolline,Zoé}', '2004-04-12', '0770770770K', 'apolline.cb', 'ZZ-001-ZZ')" }
  qw(Cartier-Blé Absente Étrange Contestée Homonyme Débordée Panne Dimanche Sansdroit 9Chiffre);
my $tokens = join ', ', map { "('$_', '" . token($_) . "')" } qw(particulier france_connect france_connect_autre
  france_connect_peu france_connect_expire france_connect_sans_identite);
my $by_file = join '', map { "ALTER USER MAPPING FOR CURRENT_USER SERVER $_ OPTIONS (DROP token, ADD token_file '$dir/$_');\n" }
  qw(marche_inclusion data_inclusion entreprise particulier);
my $link = LINK;
my $stub_link = stub_url() . '/entreprise/proxy/files/11111111-1111-4111-8111-111111111111';
my $lost_link = stub_url() . '/entreprise/siade/LienQuePersonneNeVoit-0123456789abcdef.pdf';
$node->safe_psql('postgres', encode('UTF-8', <<"SQL"));
CREATE UNLOGGED TABLE cles (n int, nom text, prenoms text[], ne_le date, ine text, identifiant text, plaque text,
	siret text DEFAULT '$siret', siren text DEFAULT '000091017', lien text);
INSERT INTO cles (n, nom, prenoms, ne_le, ine, identifiant, plaque)
SELECT row_number() OVER (), nom, prenoms::text[], ne_le::date, ine, identifiant, plaque FROM (VALUES $rows,
	('$nom', '{$yann,$zoe}', '1987-06-05', '$ine', '$identifiant', '$plaque'),
	('9$autre', '{$yann,$zoe}', '1987-06-05', '$ine', '9$identifiant!', '9$plaque!'))
	AS v (nom, prenoms, ne_le, ine, identifiant, plaque);
UPDATE cles SET lien = CASE n % 3 WHEN 0 THEN '$lost_link' WHEN 1 THEN '$stub_link' ELSE 'http://[' || '$link' END;
CREATE UNLOGGED TABLE jetons (qui text, jeton text);
INSERT INTO jetons VALUES $tokens;
CREATE FUNCTION demande(requete text, numero int, avant text DEFAULT '') RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	c cles;
	r record;
BEGIN
	SELECT * INTO c FROM cles WHERE cles.n = numero;
	FOR r IN EXECUTE avant || requete USING c.nom, c.prenoms, c.ne_le, c.ine, c.identifiant, c.plaque, c.siret, c.siren, c.lien LOOP
		RETURN NEXT r::text;
	END LOOP;
END
\$\$;
CREATE ROLE curieuse LOGIN;
GRANT pg_monitor, pg_read_all_settings TO curieuse;
GRANT USAGE ON SCHEMA marche_inclusion, data_inclusion, entreprise, marche_travail, particulier TO curieuse;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, data_inclusion, entreprise, marche_travail, particulier TO curieuse;
CREATE EXTENSION IF NOT EXISTS apigouv_fdw;
CREATE SERVER fichier FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'data_inclusion', base_url '@{[ stub_url() ]}/data_inclusion/api/v1');
CREATE USER MAPPING FOR CURRENT_USER SERVER fichier OPTIONS (token_file '$dir/fichier');
$by_file
CREATE SCHEMA fichier;
IMPORT FOREIGN SCHEMA data_inclusion LIMIT TO (structures, services) FROM SERVER fichier INTO fichier;
ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600');
ALTER SERVER fichier OPTIONS (ADD cache_ttl_s '3600');
ALTER SERVER entreprise OPTIONS (ADD cache_ttl_s '3600');
SQL
$node->append_conf('postgresql.conf', <<'CONF');
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_filename = 'sweep'
log_rotation_age = 0
log_rotation_size = 0
log_min_duration_statement = 0
log_error_verbosity = verbose
log_temp_files = 0
CONF
log_all_but_parameters($node);
$node->restart;
my $control = session($node);
# With data checksums, which are the default from PostgreSQL 18 on, a page goes to the WAL when its hints are set:
# those of what the DBA wrote are set now.
$control->value('VACUUM (FREEZE) pg_user_mapping');
run_sql($control, 'CHECKPOINT');
my $start = $control->value('SELECT pg_walfile_name(pg_switch_wal())') && $control->value('SELECT pg_current_wal_lsn()');

# ===================================================================
# Places: name => what was written there
# ===================================================================
my %said = (messages => '', EXPLAIN => '');
my $session = session($node, options => '-c client_min_messages=debug5');

# Run a query; what is said to the session is kept, and what its rows say where `into` names a place for it.
sub run
{
	my ($sql, $into) = @_;
	my $result = $session->query($sql);
	$said{messages} .= "$sql\n$result->{err}";
	$said{$into} .= $result->{out} if defined $into;
	return $result;
}

# A query whose keys, $1 to $9, are those of a row of the table.
sub ask
{
	my ($sql, $n, $before) = @_;
	return run("SELECT count(*) FROM demande(\$q\$$sql\$q\$, $n)") unless defined $before;
	return run("SELECT * FROM demande(\$q\$$sql\$q\$, $n, '$before ')", 'EXPLAIN');
}

my $identity = 'nom_naissance = $1 AND prenoms = $2 AND date_naissance = $3 AND sexe_etat_civil = \'F\''
  . ' AND code_cog_insee_pays_naissance = \'99100\' AND code_cog_insee_commune_naissance = \'35238\'';
my $qf = "SELECT * FROM particulier.particulier_quotient_familial_identite WHERE $identity";
my @personal = (
	$qf,
	"SELECT * FROM particulier.particulier_quotient_familial_identite_enfants WHERE $identity",
	"SELECT * FROM particulier.particulier_prime_activite_identite WHERE $identity AND est_beneficiaire::text <> \$1",
	"SELECT * FROM particulier.particulier_etudiant_boursier_identite WHERE nom_naissance = \$1 AND prenoms = \$2"
	  . " AND date_naissance = \$3 AND sexe_etat_civil = 'F' AND code_cog_insee_commune_naissance = '35238'",
	'SELECT * FROM particulier.particulier_etudiant_boursier_ine WHERE ine = $4',
	'SELECT * FROM particulier.particulier_statut_etudiant_ine_admissions WHERE ine = $4 OR ine = $1',
	'SELECT * FROM particulier.particulier_statut_identifiant WHERE identifiant = $5',
	'SELECT * FROM particulier.particulier_indemnite_identifiant_paiements WHERE identifiant = $5',
	'SELECT * FROM particulier.particulier_extrait_immatriculation_vehicule_france_connect WHERE immatriculation = $6',
	'SELECT * FROM particulier.particulier_quotient_familial_france_connect',
	'SELECT * FROM particulier.particulier_etudiant_boursier_france_connect WHERE email <> $5',
	'SELECT * FROM entreprise.entreprise_mandataires_sociaux WHERE siren = $8 AND nom <> $1 AND date_naissance <> $3',
	'SELECT * FROM entreprise.entreprise_beneficiaires_effectifs WHERE siren = $8 AND nom <> ALL ($2)');
my @public = (
	'SELECT * FROM entreprise.entreprise_attestations WHERE siret = $7',
	'SELECT * FROM entreprise.entreprise_attestation_vigilance WHERE siret = $7 AND document_url <> $9',
	'SELECT * FROM marche_inclusion.structures WHERE siret = $7',
	'SELECT * FROM data_inclusion.structures WHERE code_departement = \'35\'',
	'SELECT * FROM fichier.services WHERE code_departement = \'29\' AND contact_nom_prenom <> $1',
	'SELECT * FROM fichier.structures LIMIT 3',
	'SELECT * FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = \'REG\' AND code_territoire = \'53\''
	  . ' AND code_rome = \'D1102\'',
	'SELECT apigouv_document(\'entreprise\', $9)');

# ===================================================================
# A day's work
# ===================================================================
sub as_person { return run("SELECT count(set_config('apigouv_fdw.france_connect_token', jeton, false)) FROM jetons WHERE qui = '$_[0]'"); }

run("LOAD 'apigouv_fdw'");
as_person('france_connect');
my $answered = 0;
for my $audit (qw(auto on))
{
	run("SET apigouv_fdw.audit = $audit");
	for my $sql (@personal, @public)
	{
		for my $n (1, 2, 11)
		{
			my $result = ask($sql, $n);
			$answered += !defined $result->{sqlstate} && $result->{out} > 0;
		}
		ask($sql, 1, "EXPLAIN (VERBOSE, FORMAT $_)") for qw(text json);
		ask($sql, 1, "EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT $_)") for qw(text json xml yaml);
	}
}
cmp_ok($answered, '>=', 30, 'many questions have an answer');
ask($qf, $_) for 3 .. 12;
ask($_, 12) for @personal, @public;

# joins, of each kind; unions; counts; cursors; limits; what is written to temporary files
my $on = 'f.nom_naissance = c.nom AND f.prenoms = c.prenoms AND f.date_naissance = c.ne_le AND f.sexe_etat_civil = \'F\''
  . ' AND f.code_cog_insee_pays_naissance = \'99100\' AND f.code_cog_insee_commune_naissance = \'35238\'';
my $family = 'particulier.particulier_quotient_familial_identite AS f';
for my $sql (
	"SELECT count(f) FROM cles AS c JOIN $family ON $on WHERE c.n IN (1, 2, 9, 10)",
	"SELECT count(f) FROM cles AS c LEFT JOIN $family ON $on WHERE c.n IN (1, 2)",
	"SELECT count(*) FROM cles AS c WHERE c.n IN (1, 2) AND NOT EXISTS (SELECT FROM $family WHERE $on)",
	"SELECT count(*) FROM cles AS c, LATERAL (SELECT f.* FROM $family WHERE $on LIMIT 1) AS f WHERE c.n < 3",
	"SELECT count(f) FROM cles AS c JOIN $family ON $on",
	'SELECT count(b) FROM cles AS c JOIN particulier.particulier_etudiant_boursier_ine AS b ON b.ine = c.ine',
	'SELECT count(s) FROM cles AS c JOIN marche_inclusion.structures AS s ON s.siret = c.siret',
	'SELECT count(a) FROM cles AS c JOIN entreprise.entreprise_attestations AS a ON a.siret = c.siret',
	'SELECT count(m) FROM cles AS c JOIN entreprise.entreprise_mandataires_sociaux AS m ON m.siren = c.siren',
	'SELECT count(apigouv_document(\'entreprise\', lien)) FROM cles WHERE n % 3 = 1',
	'SELECT count(apigouv_document(\'entreprise\', lien)) FROM cles WHERE n % 3 = 2',
	'SELECT count(apigouv_document(\'entreprise\', lien)) FROM cles WHERE n % 3 = 0',
	'SELECT count(*) FROM marche_inclusion.structures',
	'SELECT count(*) FROM fichier.services')
{
	run($sql);
	run("EXPLAIN (ANALYZE, VERBOSE, FORMAT $_) $sql", 'EXPLAIN') for qw(text json xml yaml);
}
run('BEGIN');
run("DECLARE p CURSOR FOR SELECT f.* FROM cles AS c JOIN $family ON $on WHERE c.n < 3");
run('MOVE 1 FROM p');
run('SET LOCAL apigouv_fdw.cache_size = 64');
run('DECLARE l CURSOR FOR SELECT * FROM fichier.services');
run('MOVE 500 FROM l');
my $files_open = files_of_backends();
run('ROLLBACK');
run('SET apigouv_fdw.on_failure = row');
ask($qf, $_) for 4 .. 8;
run('RESET apigouv_fdw.on_failure');
run('SET apigouv_fdw.max_requests_per_query = 1');
run("SELECT count(f) FROM cles AS c JOIN $family ON $on");
run('RESET apigouv_fdw.max_requests_per_query');
run('ANALYZE marche_inclusion.structures, fichier.services, data_inclusion.structures');
ok(!defined run('ANALYZE fichier.services')->{sqlstate}, 'ANALYZE');
run('CREATE SCHEMA encore');
run('IMPORT FOREIGN SCHEMA particulier FROM SERVER particulier INTO encore');
run('GRANT USAGE ON SCHEMA encore, fichier TO curieuse');
run('GRANT SELECT ON ALL TABLES IN SCHEMA encore, fichier TO curieuse');
run('SELECT apigouv_clear_cache(\'entreprise\')');
run('SELECT * FROM apigouv_tokens', 'catalogs');
run('SELECT * FROM apigouv_quota', 'catalogs');
run($_, 'catalogs') for 'SHOW ALL', 'SELECT * FROM pg_settings', 'SHOW apigouv_fdw.france_connect_token',
  'SELECT * FROM pg_prepared_statements', 'SELECT * FROM pg_cursors',
  "SELECT * FROM pg_stats WHERE schemaname IN ('fichier', 'marche_inclusion', 'data_inclusion')";

# tokens of all kinds
for my $case ([ marche_inclusion => 'data_inclusion_widget' ], [ data_inclusion => 'data_inclusion_widget' ],
	(map { [ entreprise => "entreprise_$_" ] } qw(expire noir ip opaque)),
	(map { [ particulier => "particulier_$_" ] } qw(expire noir ip sans_scope)))
{
	my ($server, $name) = @$case;
	with_token($server, $name);
	run('SELECT * FROM apigouv_tokens', 'catalogs');
	ask($_, 1) for grep { /FROM $server\./ } @personal, @public;
}
with_token($_, $first_token{$_}) for keys %first_token;
for my $name (qw(france_connect_autre france_connect_peu france_connect_expire france_connect_sans_identite particulier))
{
	as_person($name);
	ask($_, 1) for grep { /france_connect/ } @personal;
}
as_person('france_connect');
rename "$dir/fichier", "$dir/ailleurs";
ask($public[4], 1);
rename "$dir/ailleurs", "$dir/fichier";

# ===================================================================
# Replies that repeat what they were asked, wherever there is room for words
# ===================================================================
run("ALTER SERVER $_ OPTIONS (ADD retries '0', ADD quota_wait_ms '1000')") for qw(particulier entreprise marche_travail);
my $civil_echo = "Cartier-Blé, Apolline, 2004-04-12, 0770770770K, " . token('particulier') . ' ' . token('france_connect');
for my $case (
	[ particulier => $civil_echo, @personal[ 0, 10 ] ],
	[ entreprise => "$nom $link " . token('entreprise'), @personal[ 11, 12 ] ],
	[ entreprise => "$link " . token('entreprise'), @public[ 1, 0 ] ],
	[ marche_travail => 'Jeton de ' . token('marche_travail_secret'), $public[6] ])
{
	my ($api, $echo, @asked) = @$case;
	my $ascii = $echo =~ s/[^ -~]/e/gr;
	# where the key is no personal data, an error is told in the API's words
	my $words = $echo =~ s/^\Q$nom\E //r;
	my $error = {
		errors => [ { code => '00100', title => $words, detail => $words, source => { parameter => $words },
				meta => { provider => $words, retry_in => $words } } ],
		message => $words, error => $words, detail => $words };
	for my $fault (
		(map { { status => $_, body => $error } } 400, 401, 403, 404, 409, 422, 451, 500, 502, 503, 504),
		{ status => 429, body => $error, headers => { 'Retry-After' => 0 } },
		(map { { status => $_, body => $words, headers => { 'Content-Type' => 'text/plain' } } } 400, 404, 500),
		{ status => 401, body => $words, headers => { 'Content-Type' => $ascii } },
		{ status => 500, body => '{}', headers => { 'X-Request-Id' => $ascii, 'Retry-After' => $ascii,
			'RateLimit-Remaining' => $ascii, 'RateLimit-Reset' => $ascii, 'RateLimit-Limit' => $ascii } },
		{ status => 200, body => '{}', headers => { 'Content-Encoding' => $ascii } },
		{ action => 'redirect', location => "/ailleurs?" . $ascii =~ tr/ /+/r },
		{ status => 200, body => $echo },
		{ status => 200, body => "{\"data\": \"$ascii" },
		{ status => 200, body => { $echo => $echo } },
		{ status => 200, body => { data => $echo } },
		{ status => 200, body => { data => [$echo] } },
		{ status => 200, body => { data => { identite => $echo, quotient_familial => { valeur => $echo, mois => $echo },
				date_fin_validite => $link, document_url => [$link], document_url_expires_in => $link } } },
		{ status => 200, body => { data => [ { data => { nom => [$echo], date_naissance => $echo,
				date_naissance_timestamp => $echo, prenom => "$nom\0" } } ] } },
		{ status => 200, body => { access_token => ACCESS_TOKEN, expires_in => $echo } },
		{ status => 200, body => { access_token => ACCESS_TOKEN . "\n", expires_in => 1499 } },
		(map { { action => $_ } } qw(close reset cut garbage bad_gzip)))
	{
		faults({ api => $api, times => -1, %$fault });
		ask($_, 1) for @asked;
		ask($asked[0], 1, 'EXPLAIN (ANALYZE, VERBOSE)');
	}
	faults({ api => $api, path => '/connexion/*', times => -1, status => 200,
			body => { access_token => ACCESS_TOKEN, expires_in => 1499, token_type => 'Bearer' } },
		{ api => $api, times => -1, status => 401, body => { %$error, message => ACCESS_TOKEN . " $echo" } });
	ask($_, 1) for @asked;
	faults();
}

# a server that says it in the line of the status
my $raw = raw_server(map { ($_ => "HTTP/1.1 500 $civil_echo\r\nConnection: close\r\n\r\n") } qw(v3 v4 v5)) =~ s/é/e/r;
run("ALTER SERVER particulier OPTIONS (SET base_url '$raw')");
ask($qf, 1);
run("ALTER SERVER particulier OPTIONS (SET base_url '@{[ stub_url() ]}/particulier')");

# ===================================================================
# Every fault of the table, on the tables of everybody
# ===================================================================
run("ALTER SERVER $_ OPTIONS (DROP retries)") for qw(entreprise marche_travail);
prepare_servers($session);
my ($names, $fault_of) = all_faults();
for my $name (@$names)
{
	my $fault = $fault_of->{$name};
	next if $fault->{slow} || $name =~ /^429|timeout_ms/;
	make_fault($session, $fault);
	run(fault_query($fault));
	unmake_fault($session, $fault);
}
stub_reset();

# ===================================================================
# While requests are under way: what others see; then cancel, time-out
# ===================================================================
my $other = session($node, user => 'curieuse');

# What another role, that may see all activity, sees of a session; and what its process shows.
sub activity
{
	my ($pid) = @_;
	my $text = '';
	$text .= $other->query($_)->{out} for 'SELECT * FROM pg_stat_activity', 'SELECT * FROM pg_locks',
	  'SELECT * FROM pg_stat_progress_analyze', 'SELECT * FROM pg_prepared_statements', 'SELECT * FROM pg_cursors';
	return $text . slurp_bytes("/proc/$pid/cmdline");
}

# Files that backends have open, those without a name too.
sub files_of_backends
{
	my $text = '';
	my $pid = $session->pid;
	for my $fd (glob("/proc/$pid/fd/*"))
	{
		my $name = readlink $fd // next;
		$text .= "$name\n" . slurp_bytes($fd) if $name =~ /pgsql_tmp/;
	}
	return $text;
}

$said{'temporary files'} = $files_open;
$said{activity} = '';
for my $case (
	[ $qf, sub { $control->query('SELECT pg_cancel_backend(' . $session->pid . ')') } ],
	[ $personal[8], sub { $control->query('SELECT pg_cancel_backend(' . $session->pid . ')') } ],
	[ $public[1], sub { } ])
{
	my ($sql, $end) = @$case;
	run("SET statement_timeout = '1500ms'") if $sql eq $public[1];
	faults({ times => -1, action => 'stall' });
	my $before = () = requests();
	$session->start("SELECT count(*) FROM demande(\$q\$$sql\$q\$, 1)");
	wait_for_requests($before + 1);
	$said{activity} .= activity($session->pid);
	$control->query('SELECT pg_log_backend_memory_contexts(' . $session->pid . ')');
	$end->();
	my $result = $session->finish;
	is($result->{sqlstate}, '57014', 'a request that is ended: ' . ($result->{message} // 'it was not'));
	$said{messages} .= $result->{err};
	run('RESET statement_timeout');
	stub_reset();
}
ok($said{activity} =~ /\|Extension\|/, 'requests were seen as waits');
$control->query('SELECT pg_log_backend_memory_contexts(' . $session->pid . ')');
still_works($session, 'the session goes on');

# ===================================================================
# Catalogs, the log, files, dumps
# ===================================================================

# What a role that owns nothing reads of catalogs and with psql.
sub catalogs
{
	my $text = '';
	for my $from (
		qw(pg_user_mappings pg_foreign_server pg_foreign_table pg_foreign_data_wrapper pg_stats pg_settings
		pg_db_role_setting pg_roles pg_description pg_stat_all_tables pg_stat_database pg_prepared_statements
		apigouv_quota apigouv_tokens), map { "information_schema.$_" }
		qw(foreign_servers foreign_server_options user_mappings user_mapping_options foreign_tables foreign_table_options
		foreign_data_wrapper_options column_options))
	{
		my $result = $other->query("SELECT * FROM $from");
		ok(!defined $result->{sqlstate}, "$from can be read") or diag($result->{err});
		$text .= $result->{out};
	}
	$text .= $other->query($_)->{out} for 'SHOW ALL', 'SHOW apigouv_fdw.france_connect_token', '\des+', '\deu+', '\dew+',
	  '\det+ *.*', '\d+ particulier.*', '\d+ entreprise.*', '\dd', '\drds', '\dconfig+ apigouv*';
	return $text;
}

# The text of the log in one of its forms.
sub log_text { return slurp_bytes($node->data_dir . "/log/sweep$_[0]"); }

# The entries of the log whose message begins so, as JSON.
sub entries
{
	my ($start) = @_;
	return join "\n", grep { /"message":"$start/ } split /\n/, log_text('.json');
}

# Files that may hold what a user or the DBA put there: the table of keys, the catalog of user mappings.
sub allowed
{
	my $files = $control->value(<<'SQL');
SELECT pg_relation_filepath(c.oid) FROM pg_class AS c
WHERE c.oid IN (SELECT unnest(ARRAY[oid, reltoastrelid]) FROM pg_class WHERE oid IN ('cles'::regclass, 'jetons'::regclass, 'pg_user_mapping'::regclass))
SQL
	return map { ($_ => 1) } split /\n/, $files;
}

# What is written in the data directory, without the log, by place; of the WAL, what the work has written.
sub files
{
	my %allowed = allowed();
	my ($from, $to, $at) = split /\|/, $control->value("SELECT pg_walfile_name('$start'), w.* FROM pg_walfile_name_offset(pg_current_wal_lsn()) AS w");
	my %text;
	my $base = $node->data_dir;
	find({ no_chdir => 1, wanted => sub {
		return unless -f $File::Find::name;
		my $name = substr($File::Find::name, length($base) + 1);
		return if $name =~ m{^log/} || $allowed{ $name =~ s/(?:_\w+)?(?:\.\d+)?$//r };
		my $bytes = eval { slurp_bytes($File::Find::name) } // return;
		if ($name =~ m{^pg_wal/([0-9A-F]{24})$})
		{
			return if $1 lt $from || $1 gt $to;
			$bytes = substr($bytes, 0, $at) if $1 eq $to;
		}
		my $place = $name =~ m{^(pg_wal|pg_stat_tmp/apigouv_fdw|pg_stat/apigouv_fdw|base)/} ? $1 : 'others';
		$text{"files: $place"} .= "\n[file $name]\n$bytes";
	} }, $base);
	return %text;
}

# What pg_dump writes for a role, but the table of keys.
sub dumped
{
	my ($user) = @_;
	local $ENV{PGUSER} = $user;
	my ($out, $err) = PostgreSQL::Test::Utils::run_command([
		$node->installed_command('pg_dump'), '--exclude-table=public.cles', '--exclude-table=public.jetons', '-d',
		$node->connstr('postgres') ]);
	ok($out =~ /PostgreSQL database dump complete/, "$user can dump") or diag($err);
	return $out;
}

$said{catalogs} .= catalogs();
$control->query('CHECKPOINT');

# Everything at once: place => what is found there.
sub sweep
{
	my %found = map { ($_ => found_in($said{$_})) } keys %said;
	$found{"log: $_->[0]"} = found_in(log_text($_->[1])) for [ 'stderr', '' ], [ 'csvlog', '.csv' ], [ 'jsonlog', '.json' ];
	$found{auto_explain} = found_in(entries('duration: [^"]* plan:'));
	$found{'audit lines'} = found_in(entries('apigouv_fdw audit: '));
	$found{'memory contexts'} = found_in(entries('level: '));
	my %files = files();
	$found{$_} = found_in($files{$_}) for keys %files;
	$found{'dump by another role'} = found_in(dumped('curieuse'));
	# a superuser's holds the user mappings
	my $dump = dumped($control->value('SELECT current_user'));
	ok($dump =~ /^CREATE USER MAPPING [^;]*client_secret '/m, 'a dump by a superuser holds what mappings hold');
	$found{'dump by a superuser'} = found_in($dump =~ s/^CREATE USER MAPPING [^;]*;//gmr);
	return \%found;
}

my $found = sweep();
cmp_ok(length $said{messages}, '>', 1_000_000, 'much was said');
cmp_ok(length $said{EXPLAIN}, '>', 100_000, 'and many plans shown');
ok(entries('apigouv_fdw audit: ') =~ /event\W+end/, 'there are audit lines');
ok(entries('duration: [^"]* plan:') =~ /Foreign Scan on particulier/, 'and plans of auto_explain');
ok(entries('level: ') =~ /apigouv_fdw/, 'and memory contexts of this extension');
ok($said{catalogs} =~ /^\*{8}$/m, 'and settings');
for my $place (sort keys %$found)
{
	my %hits = %{ $found->{$place} };
	is(scalar(keys %hits), 0, "nothing in: $place")
	  or diag(map { encode('UTF-8', "$_ (@{[ sought_values()->{$_} // 'issued' ]}): $hits{$_}\n\n") } grep { defined } (sort keys %hits)[ 0 .. 9 ]);
}

# ===================================================================
# The judge is judged: a value planted in each place is found there
# ===================================================================
my $witness = WITNESS;
my $directory = $node->data_dir;
$node->safe_psql('postgres', encode('UTF-8', <<"SQL"));
CREATE TABLE temoins AS SELECT '$witness' AS temoin;
ANALYZE temoins;
CREATE ROLE "$witness" LOGIN;
COMMENT ON SERVER entreprise IS '$witness';
GRANT SELECT ON temoins TO curieuse;
COPY temoins TO '$directory/pg_stat/apigouv_temoin';
COPY temoins TO '$directory/@{[ -d "$directory/pg_stat_tmp/apigouv_fdw" ? 'pg_stat_tmp/apigouv_fdw' : 'pg_stat/apigouv_fdw' ]}/temoin';
DO \$\$ BEGIN RAISE LOG 'level: 1; %', (SELECT temoin FROM temoins); END \$\$;
CHECKPOINT;
SQL
run("DO \$\$ BEGIN RAISE DEBUG '%', (SELECT temoin FROM temoins); END \$\$");
run("EXPLAIN (FORMAT $_) SELECT FROM temoins WHERE temoin = '$witness'", 'EXPLAIN') for qw(text json xml yaml);
run("SELECT FROM temoins WHERE temoin = '$witness'");
run("SET apigouv_fdw.object = '$witness'");
ask($public[0], 1);
my $itself = session($node, user => encode('UTF-8', $witness));
$said{activity} .= activity($itself->pid);
$said{catalogs} .= catalogs();
$said{'temporary files'} .= '';
run('BEGIN');
run("DECLARE t CURSOR FOR SELECT temoin FROM temoins, generate_series(1, 300000) ORDER BY random()");
run('MOVE 1 FROM t');
$said{'temporary files'} .= files_of_backends();
run('ROLLBACK');
$found = sweep();
for my $place (sort keys %$found)
{
	ok(exists $found->{$place}{$witness}, "found in: $place");
}

done_testing();
