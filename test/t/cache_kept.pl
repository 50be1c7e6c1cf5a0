# What a failed transaction has paid for serves the next ones of the session,
# for apigouv_fdw.keep_after_error_s.  pg_regress cannot show it: the proof is
# the requests received.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('cache_kept');
my $session = session($node);
my $three = "'00000301200010', '00000302000013', '00000303800015'";
my $lookup = "SELECT count(*) FROM marche_inclusion.structures WHERE siret IN ($three)";
my $all = 'SELECT count(id) FROM data_inclusion.structures';

# EXPLAIN ANALYZE's count of replies from there.
sub kept_hits
{
	my ($sql) = @_;
	my $plan = $session->value("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $sql");
	return $plan =~ /Kept Hits: (\d+)/ ? $1 : 0;
}

# ===================================================================
# A retry goes on where the failure came
# ===================================================================
run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');
my $found = $session->value($lookup);
asks($session, "SELECT 1 / (count(*) - count(*)) FROM marche_inclusion.structures WHERE siret IN ($three)",
	3, '22012', 'off: a statement fails after three requests');
asks($session, $lookup, 3, "$found\n", 'off: the retry makes them again');
run_sql($session, 'RESET apigouv_fdw.keep_after_error_s');
asks($session, "SELECT 1 / (count(*) - count(*)) FROM marche_inclusion.structures WHERE siret IN ($three)",
	3, '22012', 'on: a statement fails after three requests');
asks($session, $lookup, 0, "$found\n", 'on: the retry makes none');
asks($session, $lookup, 0, "$found\n", 'nor does the transaction after it');
is(kept_hits($lookup), 3, 'EXPLAIN ANALYZE tells of three replies kept');

run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');
asks($session, $lookup, 3, "$found\n", 'switched off, what was kept is not used');
run_sql($session, 'RESET apigouv_fdw.keep_after_error_s');

asks($session, "SELECT 1 / (count(*) - count(*)) FROM marche_inclusion.structures WHERE siret IN ($three)",
	3, '22012', 'and is gone');

# One of many keys fails: the others are not asked again.
is($session->value("SELECT apigouv_clear_cache('marche_inclusion') > 0"), 't',
	'apigouv_clear_cache tells that there was something');
is($session->value("SELECT apigouv_clear_cache('marche_inclusion')"), '0', 'and then nothing');
faults({ api => 'marche_inclusion', path => '/api/siae/siret/00000303800015/', status => 500, body => '', times => 1 });
asks($session, $lookup, 3, 'HV00M', 'one key of three gets an error');
asks($session, $lookup, 1, "$found\n", 'the retry asks for that key only');

# A 404 was an answer, an unavailable API is none.
is($session->value("SELECT apigouv_clear_cache('marche_inclusion') > 0"), 't', 'cleared');
asks($session, 'SELECT 1 / count(*) FROM marche_inclusion.structures WHERE id = 999999', 1, '22012', 'a 404, then an error');
asks($session, 'SELECT count(*) FROM marche_inclusion.structures WHERE id = 999999', 0, "0\n", 'the 404 is kept');

# ===================================================================
# What is not kept
# ===================================================================
run_sql($session, 'BEGIN');
asks($session, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003012'", 1, "4\n",
	'a transaction asks');
run_sql($session, 'ROLLBACK');
asks($session, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003012'", 1, "4\n",
	'ROLLBACK without an error: the next asks anew');
my $attestation = "entreprise.entreprise_attestation_vigilance WHERE siret = '00000301200010'";
asks($session, "SELECT 1 / (count(*) - 1) FROM $attestation", 1, '22012', 'a reply with a link to a document, and an error');
asks($session, "SELECT count(*) FROM $attestation", 1, "1\n", 'is not kept');
asks($session, "SELECT 1 / (count(*) - 1) FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'",
	1, '22012', 'a reply with personal data, and an error');
asks($session, "SELECT count(*) FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'", 1, "1\n", 'is not kept');
faults({ api => 'marche_inclusion', action => 'garbage', times => 1 });
asks($session, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003020'", 1, 'HV00M', 'garbage');
asks($session, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003020'", 1, "1\n", 'is not kept');

# Past cache_size.
run_sql($session, "SET apigouv_fdw.cache_size = '1kB'");
asks($session, 'SELECT 1 / (count(id) - count(id)) FROM data_inclusion.structures', 1, '22012', 'a reply larger than cache_size');
my $count = $session->value($all);
asks($session, $all, 1, "$count\n", 'is not kept');
run_sql($session, 'RESET apigouv_fdw.cache_size');
asks($session, 'SELECT 1 / (count(id) - count(id)) FROM data_inclusion.structures', 1, '22012', 'within it,');
asks($session, $all, 0, "$count\n", 'it is');

# Another session, another role, other credentials.
my $other = session($node);
asks($other, $all, 1, "$count\n", 'another session asks');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA data_inclusion TO reader;'
	. ' GRANT SELECT ON ALL TABLES IN SCHEMA data_inclusion TO reader;'
	. " CREATE USER MAPPING FOR reader SERVER data_inclusion OPTIONS (token '" . token('data_inclusion_dora') . "')");
asks($session, 'SELECT 1 / (count(id) - count(id)) FROM data_inclusion.structures', 1, '22012',
	'a change of a user mapping has emptied what was kept: asked again');
run_sql($session, 'SET ROLE reader');
my $reader = counted($session, $all);
is($reader->{requests}, 1, 'another role asks');
isnt($reader->{out}, "$count\n", 'and sees what its own token does');
run_sql($session, 'RESET ROLE');
asks($session, $all, 0, "$count\n", 'the first role has its own');

# ===================================================================
# After its time
# ===================================================================
run_sql($session, "SET apigouv_fdw.keep_after_error_s = 1");
asks($session, "SELECT 1 / (count(*) - count(*)) FROM marche_inclusion.structures WHERE siren = '000003046'",
	1, '22012', 'kept for a second');
my $now = "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003046'";
ApigouvTest::wait_for(sub { counted($session, $now)->{requests} == 1 }, 'the end of that second');
pass('after a second, the API is asked');
run_sql($session, 'RESET apigouv_fdw.keep_after_error_s');

# ===================================================================
# Lists that change between pages: the retry does not go on for ever
# ===================================================================
own_definitions($node);
my ($url, $token) = (stub_url(), token('data_inclusion'));
$session->quit;
$session = session($node);
run_sql($session,
	"CREATE SERVER pages FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'pages', base_url '$url/data_inclusion/api/v1')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER pages OPTIONS (token '$token')",
	'CREATE SCHEMA pages',
	'IMPORT FOREIGN SCHEMA pages FROM SERVER pages INTO pages');
my $pages = 'SELECT count(id) FROM pages.structures';
my $first = counted($session, $pages);
cmp_ok($first->{requests}, '>', 5, 'a list in pages');

# A page fails: those before it are not asked again.
faults({ api => 'data_inclusion', path => '/api/v1/structures', skip => 4, times => -1, status => 500, body => '' });
my $failed = counted($session, $pages);
is($failed->{sqlstate}, 'HV00M', 'the fifth page fails');
faults();
my $again = counted($session, $pages);
is($again->{out}, $first->{out}, 'the retry gives all rows');
is($again->{requests}, $first->{requests} - 4, 'and asks for the missing pages only');

is($session->value("SELECT apigouv_clear_cache('pages') > 0"), 't', 'what was kept is cleared');
ApigouvTest::control('data', { api => 'data_inclusion', add => 5, after => 3 });
my $changed = counted($session, $pages);
is($changed->{sqlstate}, '40001', 'a list that grows while it is read');
my $retry = counted($session, $pages);
is($retry->{sqlstate}, undef, 'the retry succeeds') or diag($retry->{err});
is($retry->{requests}, $first->{requests}, 'and asks all pages anew');

# ===================================================================
# Nothing grows
# ===================================================================
keeps_its_size($session, sub {
	my ($n) = @_;
	my $script = join '', map {
		"SELECT 1 / (count(*) - count(*)) FROM marche_inclusion.structures WHERE siret = '00000301200010';\n"
		  . "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '00000301200010';\n"
	} 1 .. $n;
	$session->query($script);
}, '1,000 failures and retries: no memory');

done_testing();
