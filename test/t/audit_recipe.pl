# The recipe of doc/audit.md, executed from the page: the log in a table, read
# once, twice and after a rotation; the questions; who may read; what a user
# writes in the log himself; the end of 36 months.  pg_regress cannot show it:
# it takes a server with a log collector.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Encode 'decode';
use Test::More;

my $page = decode('UTF-8', slurp_bytes(root() . '/doc/audit.md'));
my ($conf) = $page =~ /^```ini\n(.*?)^```/ms;
my ($recipe, @questions) = $page =~ /^```sql\n(.*?)^```/msg;
is(scalar(@questions), 4, 'the page holds a recipe and four questions');

my $node = new_cluster('audit_recipe', $conf);
my $siret = $ApigouvTest::SIRET;
$node->safe_psql('postgres', $recipe);
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE agent LOGIN;
CREATE ROLE auditrice LOGIN IN ROLE apigouv_auditor;
GRANT USAGE ON SCHEMA entreprise, particulier TO agent;
GRANT SELECT ON ALL TABLES IN SCHEMA entreprise, particulier TO agent;
CREATE USER MAPPING FOR agent SERVER entreprise OPTIONS (token '@{[ token('entreprise') ]}');
CREATE USER MAPPING FOR agent SERVER particulier OPTIONS (token '@{[ token('particulier') ]}');
SQL
my $control = session($node);
my $agent = session($node, user => 'agent');

# Read the log until as many new lines have come; the collector writes them in its own time.
sub loads
{
	my ($n, $name) = @_;
	my $loaded = 0;
	eval { ApigouvTest::wait_for(sub { ($loaded += $control->value('SELECT apigouv_audit.load()')) >= $n }, "$n lines"); };
	return is($loaded, $n, $name);
}

# ===================================================================
# Reading the log
# ===================================================================
sub attestation { return "SELECT siren FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$_[0]'"; }
run_sql($agent, "SET apigouv_fdw.object = 'Dossier 42'", attestation($siret),
	'BEGIN', attestation('00000302000013'), attestation('00000302000013'), 'ROLLBACK',
	"SET apigouv_fdw.object = 'Dossier d''été'",
	"SELECT ine FROM particulier.particulier_etudiant_boursier_ine WHERE ine = '0770770770K'");
run_sql($control, attestation('00000303800015'));
loads(9, 'two lines of each of four requests, one of the cache');
is($control->value('SELECT apigouv_audit.load()'), '0', 'read again: none is new');
run_sql($control, 'DELETE FROM apigouv_audit.files');
is($control->value('SELECT apigouv_audit.load()'), '0', 'read from the beginning: none is there twice');
run_sql($control, "UPDATE apigouv_audit.files SET head = 'un autre fichier', bytes = 0");
is($control->value('SELECT apigouv_audit.load()'), '0', 'a file of the same name with another beginning is read from its own');
run_sql($agent, attestation($siret));
loads(2, 'what was gained meanwhile');
my $files = $control->value('SELECT count(*) FROM pg_ls_logdir()');
is($control->value("SELECT pg_sleep(1.1) IS NULL OR pg_rotate_logfile()"), 't', 'the log is rotated');
ApigouvTest::wait_for(sub { $control->value('SELECT count(*) FROM pg_ls_logdir()') > $files }, 'a new file');
run_sql($agent, attestation($siret));
loads(2, 'the next file');
is($control->value("SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE verdict IS NULL) FROM apigouv_audit.requests"),
	'7|7|0', 'a row per request and reply of a cache');

# ===================================================================
# Questions, by those who may ask
# ===================================================================
my $auditor = session($node, user => 'auditrice');
my ($company, $person, $file, $crash) = @questions;
like($company, qr/'\{000003012\}'/, 'the company of the first question');
$company =~ s/'2026-01-01'/now() - interval '1 day'/;
$company =~ s/'2027-01-01'/now() + interval '1 day'/;
my $answer = $auditor->value($company);
is(join("\n", map { s/^[^|]*\|//r } split /\n/, $answer), join("\n",
	'agent|agent|entreprise_attestation_vigilance|Dossier 42|rows',
	('agent|agent|entreprise_attestation_vigilance|Dossier d\'été|rows') x 2),
	'who asked about a company, and why');
(my $yesterday = $company) =~ s/now\(\) \+ interval '1 day'/now() - interval '1 hour'/;
is($auditor->value($yesterday), '', 'between other dates: nobody');
refuses($auditor, $person, { sqlstate => '42501' }, 'hashes are not for everybody');
run_sql($control, 'GRANT EXECUTE ON FUNCTION apigouv_key_hash TO apigouv_auditor');
like($auditor->value($person), qr/^[^|]+\|agent\|Dossier d'été\|rows$/, 'who asked about a student');
is($auditor->value($file), "entreprise|entreprise_attestation_vigilance|rows|2\n"
	. 'entreprise|entreprise_attestation_vigilance|transaction|1', 'what a role asked for a file');
is($auditor->value($crash), '', 'nothing was under way when the server went down');
is($auditor->value("SELECT count(*) FROM apigouv_audit.requests WHERE role = 'postgres'"), '1', 'the other role');

refuses($auditor, $_, { sqlstate => '42501' }, "an auditor cannot: $_")
  for 'DELETE FROM apigouv_audit.requests', 'SELECT count(*) FROM apigouv_audit.lines', 'SELECT apigouv_audit.load()',
  'SELECT apigouv_audit.purge()', 'DROP TABLE apigouv_audit.files', 'SELECT count(*) FROM apigouv_audit.lines_of(\'\')';
refuses($agent, 'SELECT count(*) FROM apigouv_audit.requests', { sqlstate => '42501' }, 'who is audited cannot read it');

# ===================================================================
# What a user writes in the log himself
# ===================================================================
my $forged = '{"event":"end","id":"faux.1.1","time":"2026-11-01T00:00:00.000000Z","role":"innocent","key":null}';
for my $sql (
	"DO \$\$BEGIN RAISE LOG 'apigouv_fdw audit: $forged'; END\$\$",
	"DO \$\$BEGIN RAISE LOG USING MESSAGE = 'apigouv_fdw audit: $forged', ERRCODE = '00000'; END\$\$",
	"SELECT 'LOG:  apigouv_fdw audit: $forged'::int",
	"SELECT E'\\n{\"timestamp\":\"x\",\"error_severity\":\"LOG\",\"message\":\"apigouv_fdw audit: {}\"}'::int")
{
	$agent->query($sql);
}
run_sql($agent, attestation($siret));
loads(2, 'after forgeries: the lines of a request');
is($control->value("SELECT count(*) FROM apigouv_audit.lines WHERE id LIKE 'faux%' OR line ->> 'role' = 'innocent'"), '0',
	'no forgery');

# ===================================================================
# A server that goes down between two lines; another encoding
# ===================================================================
faults({ api => 'entreprise', action => 'stall' });
$agent->start(attestation('00000308700012'));
wait_for_requests(1, path => qr/000003087/);
$node->stop('immediate');
$agent->finish;
$node->start;
stub_reset();
$control = session($node);
loads(1, 'the first line was written');
like($control->value($crash), qr/^[^|]+\|agent\|entreprise_attestation_vigilance\|\{"siret": \["00000308700012"\]\}$/,
	'what was under way when the server went down');
$node->safe_psql('postgres', "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
create_apis($node, 'latin', 'entreprise');
my $latin = session($node, db => 'latin');
run_sql($latin, "SET apigouv_fdw.object = 'Été'", attestation($siret));
refuses($latin, "SELECT 'é'::int", { sqlstate => '22P02' }, 'an entry that is not UTF-8');
loads(2, 'a database in LATIN1');
is($control->value("SELECT object FROM apigouv_audit.requests WHERE database = 'latin'"), 'Été', 'its text is whole');

# ===================================================================
# What a crash of the machine or a full disk leaves in a file
# ===================================================================
my $whole = sub {
	my ($id, $object) = @_;
	return qq({"timestamp":"x","error_severity":"LOG","message":"apigouv_fdw audit: {\\"event\\":\\"end\\",\\"id\\":\\"$id\\",)
	  . qq(\\"time\\":\\"2026-11-01T00:00:00.000000Z\\",\\"object\\":\\"$object\\"}"}\n);
};
my $slashes = 'C:' . '\\' x 4 . '000';    # C:\000 in JSON in JSON
my $torn = $node->data_dir . '/log/torn.json';
open(my $log, '>', $torn) or die "$torn: $!";
print $log $whole->('dechire.1', $slashes), "\0" x 5000, $whole->('dechire.2', ''), substr($whole->('dechire.3', ''), 0, 90),
  $whole->('dechire.4', ''), substr($whole->('dechire.5', ''), 0, 90), "\0" x 100, "\n", $whole->('dechire.6', '');
close $log;
my $read = $control->query('SELECT apigouv_audit.load()');
is($read->{out}, "4\n", 'zeros are passed over, and so are lines that were cut');
is(() = $read->{err} =~ /WARNING:  (?:\w{5}: )?a line of the log cannot be read: \{"timestamp":"x"/g, 2, 'which a warning tells');
is($control->value("SELECT string_agg(id, ' ' ORDER BY id) FROM apigouv_audit.requests WHERE id LIKE 'dechire%'"),
	'dechire.1 dechire.2 dechire.4 dechire.6', 'the others are there');
is($control->value("SELECT object FROM apigouv_audit.requests WHERE id = 'dechire.1'"), 'C:\\000', 'with their texts');
is($control->value('SELECT apigouv_audit.load()'), '0', 'and read once');
run_sql($control, "DELETE FROM apigouv_audit.lines WHERE id LIKE 'dechire%'");

# ===================================================================
# 36 months
# ===================================================================
for my $months (30, 35, 36, 37, 38, 60)
{
	run_sql($control, "SELECT apigouv_audit.add(ARRAY[jsonb_build_object('id', 'vieux', 'event', 'end',"
		. " 'time', date_trunc('month', now() AT TIME ZONE 'UTC') - interval '$months months')])");
}
is($control->value('SELECT count(*) FROM apigouv_audit.purge()'), '3', 'three of six months are past their time');
is($control->value("SELECT count(*) FROM apigouv_audit.requests WHERE id = 'vieux'"), '3', 'the others stay, the 36th with them');
is($control->value('SELECT count(*) FROM apigouv_audit.purge()'), '0', 'purged twice: nothing more');
is($control->value("SELECT count(*) > 0 FROM apigouv_audit.requests WHERE id <> 'vieux'"), 't', 'what is new stays');
done_testing();
