# An update of the extension gives the objects of a new install, and takes
# nothing of the user's; the library serves the objects of older versions;
# what is dropped leaves nothing.  pg_regress cannot show it: it takes dumps,
# several databases, and pg_upgrade.
use strict;
use utf8;
use warnings;

use ApigouvCatalog;
use ApigouvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($SIRET, $GOOD_QUERY) = ($ApigouvTest::SIRET, $ApigouvTest::GOOD_QUERY);
my $node = new_cluster('upgrade', "autovacuum = off\n");
my $current = $node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'apigouv_fdw'");
my @older = split /\n/, $node->safe_psql('postgres',
	"SELECT version FROM pg_available_extension_versions WHERE name = 'apigouv_fdw' AND version <> '$current' ORDER BY 1");

# A database made by statements.
sub database
{
	my ($name, @sql) = @_;
	$node->safe_psql('postgres', qq(CREATE DATABASE "$name" TEMPLATE template0));
	$node->safe_psql($name, $_) for @sql;
	return $name;
}

# ===================================================================
# The objects: as those of a new install, whatever the way
# ===================================================================
is($older[0], '1.0', 'the first version can still be installed');
unlike(members($node, 'postgres'), qr/not compared/, 'objects of all kinds that the extension has are compared');
my $new = members($node, database('neuf', 'CREATE EXTENSION apigouv_fdw'));
my $elsewhere = members($node, database('neuf ailleurs', 'CREATE SCHEMA "Outils SQL"', 'CREATE EXTENSION apigouv_fdw SCHEMA "Outils SQL"'));

for my $version (@older)
{
	my $update = 'ALTER EXTENSION apigouv_fdw UPDATE';
	my $old = "CREATE EXTENSION apigouv_fdw VERSION '$version'";
	same_lines(members($node, database("de $version", $old, $update)), $new, "$version updated");
	same_lines(
		members($node, database("de $version ailleurs", 'CREATE SCHEMA "Outils SQL"', "$old SCHEMA \"Outils SQL\"",
				"SET search_path = pg_catalog; $update")),
		$elsewhere, "$version in a schema that is not on the path");
	same_lines(
		members($node, database("de $version moved", 'CREATE SCHEMA "Outils SQL"', $old,
				'ALTER EXTENSION apigouv_fdw SET SCHEMA "Outils SQL"', $update)),
		$elsewhere, "$version moved, then updated");
	isnt($node->psql("de $version", "ALTER EXTENSION apigouv_fdw UPDATE TO '$version'"), 0, 'there is no way back');
}

# ===================================================================
# A database that has been lived in since the first version
# ===================================================================
my $lived = database('ancien', "CREATE EXTENSION apigouv_fdw VERSION '1.0'");
create_apis($node, $lived);
$node->safe_psql('postgres', 'CREATE ROLE agent LOGIN');
$node->safe_psql($lived, <<"SQL");
GRANT pg_monitor TO agent;
CREATE USER MAPPING FOR agent SERVER marche_inclusion OPTIONS (token '@{[ token('marche_inclusion') ]}');
CREATE SCHEMA registre;
CREATE TABLE registre.entreprises (
	id int PRIMARY KEY,
	saisi text,
	siret text GENERATED ALWAYS AS (public.apigouv_siret(saisi)) STORED,
	CHECK (public.apigouv_siren(saisi) IS NOT NULL));
CREATE INDEX ON registre.entreprises (public.apigouv_siren(saisi));
INSERT INTO registre.entreprises VALUES (1, '$SIRET'), (2, '000 003 020 00013');
CREATE VIEW registre.structures AS
	SELECT e.id, s.siret, s.name, s.kind FROM registre.entreprises AS e JOIN marche_inclusion.structures AS s USING (siret);
COMMENT ON VIEW registre.structures IS 'La nôtre';
COMMENT ON FOREIGN TABLE marche_inclusion.structures IS 'Notre commentaire';
CREATE VIEW registre.quotas AS SELECT api, "limit", used FROM public.apigouv_quota;
CREATE VIEW registre.tables AS SELECT t.* FROM public.apigouv_tables AS t JOIN public.apigouv_columns AS c USING (api, "table");
CREATE FUNCTION registre.regions() RETURNS SETOF public.apigouv_regions LANGUAGE sql AS 'SELECT * FROM public.apigouv_regions';
SELECT public.apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', view_schema => 'registre');
GRANT USAGE ON SCHEMA registre TO agent;
GRANT SELECT ON registre.structures TO agent;
GRANT EXECUTE ON FUNCTION public.apigouv_key_hash(text[]) TO agent;
REVOKE SELECT ON public.apigouv_tokens FROM PUBLIC;
ALTER EVENT TRIGGER apigouv_comment_imported DISABLE;
SQL

# What the user asks; each gives rows.
my @asked = (
	$GOOD_QUERY,
	'SELECT * FROM registre.structures ORDER BY id, kind',
	'SELECT id, siret FROM registre.entreprises WHERE public.apigouv_siren(saisi) = left(siret, 9) ORDER BY id',
	'SELECT origine, count(*) FROM registre.structures_inclusion GROUP BY origine ORDER BY origine',
	"SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = '$SIRET' ORDER BY type, statut",
	'SELECT count(*), min(nom) FROM registre.regions()',
	'SELECT count(*) FROM public.apigouv_departements()',
	'SELECT count(DISTINCT api) > 2 FROM registre.tables',
	'SELECT count(*) > 0 FROM registre.quotas',
	'SELECT server, kind, error FROM public.apigouv_tokens ORDER BY server, kind',
	"SELECT length(public.apigouv_key_hash('a', 'b')) > 10",
	"SELECT public.apigouv_clear_cache()",
	"SELECT public.apigouv_comment_tables('data_inclusion') >= 0");

# Queries of a session, their results or errors as one text.
sub answers
{
	my ($session) = @_;
	return join "\n", map { "$_;\n" . $session->value($_) } @asked;
}

my $open = session($node, db => $lived);
my $answers = answers($open);
unlike($answers, qr/ERROR|;\n(?:$|\n)/m, 'the library serves the objects of 1.0') or diag($answers);
like($open->value("EXPLAIN (VERBOSE, COSTS OFF) $GOOD_QUERY"), qr/Request: GET/, 'plans too');
run_sql($open, 'CREATE SCHEMA importees');
is($open->query('IMPORT FOREIGN SCHEMA data_inclusion FROM SERVER data_inclusion INTO importees')->{sqlstate}, undef,
	'and imports');
is($open->query('DROP SCHEMA importees CASCADE')->{sqlstate}, undef, 'and drops');

my $before = dumped($node, $lived);
$node->stop;
my $copy = PostgreSQL::Test::Utils::tempdir() . '/ancien';
PostgreSQL::Test::RecursiveCopy::copypath($node->data_dir, $copy);
chmod 0700, $copy;
$node->start;

# One session stays through the update, and does it in a transaction that is
# undone before the one that holds.
$open = session($node, db => $lived);
is(answers($open), $answers, 'after a restart');
run_sql($open, 'BEGIN', 'ALTER EXTENSION apigouv_fdw UPDATE');
is(answers($open), $answers, 'inside the transaction that updates');
run_sql($open, 'ROLLBACK');
is($open->value("SELECT extversion FROM pg_extension WHERE extname = 'apigouv_fdw'"), '1.0', 'undone');
is(answers($open), $answers, 'and as before');
my $made = requests();
run_sql($open, 'ALTER EXTENSION apigouv_fdw UPDATE');
is(requests(), $made, 'the update makes no request');
is($open->value("SELECT extversion FROM pg_extension WHERE extname = 'apigouv_fdw'"), $current, 'updated');
is(answers($open), $answers, 'the session goes on');
is(answers(session($node, db => $lived)), $answers, 'a new one is answered the same');
same_lines(dumped($node, $lived), $before, 'a dump tells of the same objects, privileges, comments and data');
is(session($node, db => $lived, user => 'agent')->value('SELECT count(*) > 0 FROM registre.structures'), 't',
	'who was given a view still reads it');
refuses(session($node, db => $lived, user => 'agent'), 'TABLE marche_inclusion.structures', { sqlstate => '42501' }, 'and no more');

# ===================================================================
# pg_upgrade of a cluster that has 1.0, and the update after it
# ===================================================================
$node->stop;
SKIP:
{
	my $after = PostgreSQL::Test::Cluster->new('after');
	$after->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	my $bin = $after->config_data('--bindir');
	chdir $after->basedir or die "chdir: $!";
	my ($output, $errors) = run_command([ "$bin/pg_upgrade", '--no-sync', '-d', $copy, '-D', $after->data_dir, '-b', $bin, '-B', $bin,
			'-s', $after->host, '-p', $node->port, '-P', $after->port ]);
	like($output, qr/^Upgrade Complete/m, 'pg_upgrade') or diag($output, $errors), skip 'nothing was upgraded', 4;
	$after->start;
	my $session = session($after, db => $lived);
	is($session->value("SELECT extversion FROM pg_extension WHERE extname = 'apigouv_fdw'"), '1.0', 'it keeps the version');
	# the ledger is not taken along: the new cluster does not know what was sent, unless it is told
	run_sql($session, 'SELECT public.apigouv_quota_forget()');
	is(answers($session), $answers, 'answers are the same');
	run_sql($session, 'ALTER EXTENSION apigouv_fdw UPDATE');
	is(answers($session), $answers, 'and after the update');
	same_lines(dumped($after, $lived), $before, 'a dump tells of the same');
	$session->quit;
	$after->stop;
}
$node->start;

# ===================================================================
# Dropped: nothing is left, and what is the user's goes by CASCADE only
# ===================================================================
my $empty = catalogs($node, database('vide'));
$node->safe_psql('vide', 'CREATE EXTENSION apigouv_fdw');
isnt(catalogs($node, 'vide'), $empty, 'there is something to drop');
$node->safe_psql('vide', 'DROP EXTENSION apigouv_fdw');
same_lines(catalogs($node, 'vide'), $empty, 'DROP EXTENSION leaves nothing');

for my $version (@older, $current)
{
	my $session = session($node, db => 'vide');
	run_sql($session, "CREATE EXTENSION apigouv_fdw VERSION '$version'");
	create_apis($node, 'vide', 'marche_inclusion');
	run_sql($session, 'CREATE VIEW vue AS SELECT * FROM marche_inclusion.structures', 'CREATE VIEW quotas AS TABLE apigouv_quota');
	is($session->value($GOOD_QUERY), '2', "$version is in use");
	refuses($session, 'DROP EXTENSION apigouv_fdw', { sqlstate => '2BP01' }, "$version: what depends on it keeps it");
	is($session->value($GOOD_QUERY), '2', 'and works on');
	my $result = $session->query('DROP EXTENSION apigouv_fdw CASCADE');
	is($result->{sqlstate}, undef, "$version: CASCADE") or diag($result->{err});
	run_sql($session, 'DROP SCHEMA marche_inclusion', 'ALTER DATABASE vide RESET ALL');
	same_lines(catalogs($node, 'vide'), $empty, "$version: leaves nothing");
	# the session still has the library
	run_sql($session, 'CREATE EXTENSION apigouv_fdw');
	is($session->value('SELECT count(*) > 0 FROM apigouv_tables'), 't', 'and it can be made again at once');
	run_sql($session, 'DROP EXTENSION apigouv_fdw');
	$session->quit;
}
same_lines(catalogs($node, 'vide'), $empty, 'after all of it, nothing');

done_testing();
