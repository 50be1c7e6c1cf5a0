# A database that uses the extension is dumped and restored: the same objects,
# rights, comments and data, without a request to any API.  pg_regress cannot
# show it: it takes pg_dump and several databases.
use strict;
use utf8;
use warnings;

use ApigouvCatalog;
use ApigouvTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($SIRET, $GOOD_QUERY) = ($ApigouvTest::SIRET, $ApigouvTest::GOOD_QUERY);
my $node = new_cluster('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();

# Servers with options of all kinds, a mapping of another role, tables changed
# by hand, rights, comments, views, local tables that need the extension.
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE gestion LOGIN;
CREATE ROLE agent LOGIN;
ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '60', ADD max_concurrency '4');
ALTER SERVER data_inclusion OWNER TO gestion;
GRANT USAGE ON FOREIGN SERVER entreprise TO gestion;
CREATE USER MAPPING FOR agent SERVER marche_inclusion OPTIONS (token 'd''agent');
ALTER FOREIGN TABLE marche_inclusion.structures RENAME COLUMN name TO nom;
ALTER FOREIGN TABLE marche_inclusion.structures ALTER COLUMN nom OPTIONS (ADD "column" 'name');
ALTER FOREIGN TABLE data_inclusion.structures OWNER TO gestion;
COMMENT ON FOREIGN TABLE marche_inclusion.structures IS 'Notre commentaire';
COMMENT ON SERVER marche_inclusion IS 'Le serveur';
CREATE SCHEMA registre;
CREATE TABLE registre.entreprises (
	saisi text,
	siret text GENERATED ALWAYS AS (public.apigouv_siret(saisi)) STORED,
	CHECK (public.apigouv_siren(saisi) IS NOT NULL));
CREATE INDEX ON registre.entreprises (public.apigouv_siren(saisi));
INSERT INTO registre.entreprises VALUES ('000 003 012 00010');
CREATE VIEW registre.structures AS SELECT s.siret, s.nom FROM registre.entreprises AS e JOIN marche_inclusion.structures AS s USING (siret);
SELECT public.apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', view_schema => 'registre');
CREATE VIEW registre.quotas AS SELECT api, "limit" FROM public.apigouv_quota;
GRANT USAGE ON SCHEMA registre TO agent;
GRANT SELECT ON registre.structures TO agent;
GRANT SELECT ON public.apigouv_quota TO agent;
GRANT EXECUTE ON FUNCTION public.apigouv_quota() TO agent;
REVOKE SELECT ON public.apigouv_tokens FROM PUBLIC;
SQL

my @asked = (
	$GOOD_QUERY,
	'SELECT * FROM registre.structures ORDER BY 1, 2',
	'SELECT * FROM registre.entreprises',
	'SELECT origine, count(*) FROM registre.structures_inclusion GROUP BY origine ORDER BY origine',
	"SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = '$SIRET' ORDER BY type, statut",
	'SELECT server, user_name, kind, error FROM public.apigouv_tokens ORDER BY 1, 2, 3');

sub answers
{
	my ($db) = @_;
	my $session = session($node, db => $db);
	run_sql($session, "SET apigouv_fdw.context = 'Tests'", "SET apigouv_fdw.object = 'TAP'");
	return join "\n", map { "$_;\n" . $session->value($_) } @asked;
}

# A program of PostgreSQL's succeeds and says nothing.
sub quietly
{
	my ($name, $program, @arguments) = @_;
	my ($out, $err) = run_command([ $node->installed_command($program), @arguments ]);
	return is($out . $err, '', $name);
}

# ===================================================================
# The forms of a dump, and of its restoration
# ===================================================================
my $answers = answers('postgres');
unlike($answers, qr/ERROR|;\n(?:$|\n)/m, 'it is in use');
my $source = dumped($node, 'postgres');
my $new = members($node, 'postgres');
my $made = requests();
my $archive = "$dir/archive";
my $plain = "$dir/plain.sql";
quietly('pg_dump, custom', 'pg_dump', '-Fc', '-f', $archive, $node->connstr('postgres'));
quietly('pg_dump, plain', 'pg_dump', '-f', $plain, $node->connstr('postgres'));
quietly('pg_dumpall', 'pg_dumpall', '-f', "$dir/all.sql", '-d', $node->connstr('postgres'));

# restored(name, how): into a new database; what it is then
sub restored
{
	my ($db, $how) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$how->($db);
	same_lines(dumped($node, $db), $source, "$db: a dump of it tells the same");
	same_lines(members($node, $db), $new, "$db: the extension is the same");
	return;
}

restored('custom', sub { quietly('pg_restore', 'pg_restore', '-e', '-d', $node->connstr($_[0]), $archive) });
restored('parallel', sub { quietly('pg_restore --jobs', 'pg_restore', '-j', '3', '-d', $node->connstr($_[0]), $archive) });
restored('plain', sub {
	my ($out, $err) = run_command([ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null',
			'-f', $plain, $node->connstr($_[0]) ]);
	is($out . $err, '', 'psql -f');
});
restored('twice', sub {
	quietly('pg_restore', 'pg_restore', '-e', '-d', $node->connstr($_[0]), $archive);
	quietly('over what is there', 'pg_restore', '-e', '--clean', '--if-exists', '-d', $node->connstr($_[0]), $archive);
});
is(requests(), $made, 'no request was made, neither to dump nor to restore');
is(answers($_), $answers, "$_: answers are the same") for qw(custom parallel plain twice);
is(session($node, db => 'custom', user => 'agent')->value('SELECT count(*) > 0 FROM registre.quotas'),
	'ERROR 42501: permission denied for view quotas', 'who had no right has none');
is(session($node, db => 'custom', user => 'agent')->value('SELECT count(*) > 0 FROM public.apigouv_quota'), 't',
	'who was given one has it');

# ===================================================================
# A materialized view is filled when it is restored, unless its data are left out
# ===================================================================
$node->safe_psql('postgres', "CREATE MATERIALIZED VIEW registre.copie AS SELECT siret, nom FROM marche_inclusion.structures WHERE siret = '$SIRET'");
quietly('pg_dump', 'pg_dump', '-Fc', '-f', $archive, $node->connstr('postgres'));
quietly('pg_dump, without its data', 'pg_dump', '-Fc', '--exclude-table-data=registre.copie', '-f', "$archive.without",
	$node->connstr('postgres'));
for my $way ([ 'filled', $archive, 1, 't' ], [ 'unfilled', "$archive.without", 0, 'f' ])
{
	my ($db, $file, $requests, $filled) = @$way;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$made = requests();
	quietly("pg_restore, $db", 'pg_restore', '-e', '-d', $node->connstr($db), $file);
	is(requests() - $made, $requests, "$db: requests");
	is($node->safe_psql($db, "SELECT relispopulated FROM pg_class WHERE oid = 'registre.copie'::regclass"), $filled, $db);
}

# ===================================================================
# The rows of a foreign table are dumped on demand only
# ===================================================================
$made = requests(api => 'marche_inclusion');
my $data = dumped($node, 'postgres', '--include-foreign-data=marche_inclusion', '-t', 'marche_inclusion.types_structures', '-a');
cmp_ok(() = $data =~ /^\S+\t/gm, '>', 3, 'the rows of a foreign table are dumped where they are asked for');
is(requests(api => 'marche_inclusion') - $made, 1, 'by a request');

done_testing();
