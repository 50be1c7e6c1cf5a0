# What a transaction remembers past apigouv_fdw.cache_size: replies go to a
# temporary file of the transaction, come back from it, and leave nothing.
# pg_regress cannot show it: the proof is the requests received, the files,
# and the memory of the process.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('cache_memory', "log_temp_files = 0\n");
my $session = session($node);
my $siret = $ApigouvTest::SIRET;

# The list of data_inclusion in ten pages of a hundred rows.
my $url = stub_url();
my $token = token('data_inclusion');
own_definitions($node);
$session->quit;
$session = session($node);
run_sql($session,
	"CREATE SERVER pages FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'pages', base_url '$url/data_inclusion/api/v1')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER pages OPTIONS (token '$token')",
	'CREATE SCHEMA pages',
	'IMPORT FOREIGN SCHEMA pages FROM SERVER pages INTO pages');
my $list = 'SELECT count(*), count(DISTINCT id), sum(hashtext(nom)) FROM pages.structures';
my $expected = $session->value($list);
like($expected, qr/^(\d+)\|\1\|/, 'the list, as a fresh transaction reads it');
my $pages = () = requests(api => 'data_inclusion');

# Temporary files there are now.
sub temporary_files
{
	my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
	return @files;
}

sub temporary_bytes
{
	my $bytes = 0;
	$bytes += (-s $_) // 0 for temporary_files();
	return $bytes;
}

# ===================================================================
# Past cache_size: in a file, and back
# ===================================================================
run_sql($session, 'BEGIN');
asks($session, $list, $pages, "$expected\n", 'by default a list of a thousand rows is asked');
is(scalar(temporary_files()), 0, 'and stays in memory: no temporary file');
run_sql($session, "SET apigouv_fdw.cache_size = '64kB'");
asks($session, 'SELECT count(*) FROM pages.structures LIMIT 1', 0, (split /\|/, $expected)[0] . "\n",
	'a smaller cache_size: the next query asks nothing');
is(scalar(temporary_files()), 1, 'and what is too much is in one temporary file');
cmp_ok(temporary_bytes(), '>', 100_000, 'which holds the replies');
my $written = temporary_bytes();
asks($session, $list, 0, "$expected\n", 'read from the file, the rows are the same');
asks($session, $list, 0, "$expected\n", 'and once more');
is(temporary_bytes(), $written, 'nothing is written twice');
run_sql($session, 'COMMIT');
is(scalar(temporary_files()), 0, 'COMMIT removes the file');
asks($session, $list, $pages, "$expected\n", 'and the replies: the next transaction asks');

# ===================================================================
# The transaction owns the file: neither a savepoint nor a portal
# ===================================================================
run_sql($session, "SET apigouv_fdw.cache_size = 0", 'BEGIN', 'SAVEPOINT here');
asks($session, $list, $pages, "$expected\n", 'cache_size 0, in a savepoint: asked once');
is(scalar(temporary_files()), 1, 'a file');
run_sql($session, 'ROLLBACK TO here');
is(scalar(temporary_files()), 1, 'is still there when the savepoint is rolled back');
asks($session, $list, 0, "$expected\n", 'and gives the rows');
run_sql($session, 'SAVEPOINT there', 'RELEASE there');
asks($session, $list, 0, "$expected\n", 'as it does after a savepoint is released');
run_sql($session, 'ROLLBACK');
is(scalar(temporary_files()), 0, 'ROLLBACK removes it');

run_sql($session, 'BEGIN', "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM pages.structures ORDER BY id");
my $first = $session->value('FETCH 3 FROM c');
asks($session, 'COMMIT', 0, '', 'WITH HOLD: COMMIT');
my $rest = () = $session->value('FETCH ALL FROM c') =~ /\n/g;
is($rest + 1 + 3, (split /\|/, $expected)[0], 'all rows are there after it');
run_sql($session, 'CLOSE c');
is(scalar(temporary_files()), 0, 'and no file');

run_sql($session, 'BEGIN', 'DECLARE a CURSOR FOR SELECT id FROM pages.structures',
	'DECLARE b CURSOR FOR SELECT id FROM pages.structures');
my (@a, @b);
for (1 .. 12)
{
	push @a, split /\n/, $session->value('FETCH 30 FROM a');
	push @b, split /\n/, $session->value('FETCH 90 FROM b');
}
push @a, split /\n/, $session->value('FETCH ALL FROM a');
push @b, split /\n/, $session->value('FETCH ALL FROM b');
is(join(' ', @a), join(' ', @b), 'two cursors at different places of spilled pages give the same rows');
is(scalar(@a), (split /\|/, $expected)[0], 'all of them');
run_sql($session, 'CLOSE a', 'COMMIT');

run_sql($session, 'BEGIN', 'DECLARE a CURSOR FOR SELECT id FROM pages.structures', 'FETCH 150 FROM a', 'CLOSE a');
my $counted = counted($session, $list);
is($counted->{out}, "$expected\n", 'a cursor that was closed half way leaves its pages');
cmp_ok($counted->{requests}, '<', $pages, 'to the next query');
run_sql($session, 'COMMIT');

# ===================================================================
# temp_file_limit
# ===================================================================
run_sql($session, "SET temp_file_limit = '100kB'", 'BEGIN', 'SAVEPOINT here');
refuses($session, $list, {
	sqlstate => '53400',
	message => qr/^temporary file size exceeds "?temp_file_limit"? \(100kB\)$/ },
	'past temp_file_limit: the error of the server');
run_sql($session, 'ROLLBACK TO here');
refuses($session, $list, { sqlstate => '53400' }, 'again, after the savepoint is rolled back');
run_sql($session, 'ROLLBACK TO here', 'SET temp_file_limit = -1');
$counted = counted($session, $list);
is($counted->{out}, "$expected\n", 'with a higher limit, the transaction goes on');
cmp_ok($counted->{requests}, '<', $pages, 'and asks only what it had not got');
run_sql($session, 'COMMIT');
is(scalar(temporary_files()), 0, 'no file is left');

# ===================================================================
# A refusal that was in the file does not come back from it
# ===================================================================
my $territories = 'SELECT code_type_territoire, count(*), sum(hashtext(libelle_territoire))'
  . ' FROM marche_travail.marche_travail_territoires'
  . " WHERE code_type_territoire IN ('REG', 'DEP', 'NAT', 'BASBMO') GROUP BY 1 ORDER BY 1";
my $by_type = $session->value($territories);
run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0', 'BEGIN');
faults({ api => 'marche_travail', path => '/partenaire/*', times => 4, status => 401, body => { message => 'x' x 50 } });
$counted = counted($session, $territories);
is($counted->{out}, "$by_type\n", 'refused access tokens, then rows');
is($counted->{requests}, 9, 'four refusals, a new token, four replies');
asks($session, $territories, 0, "$by_type\n", 'the same rows from the file');
run_sql($session, 'COMMIT', 'RESET apigouv_fdw.keep_after_error_s');
faults();

# ===================================================================
# What never leaves memory
# ===================================================================
my $attestations = "SELECT count(document_url) FROM entreprise.entreprise_attestations WHERE siret = '$siret'";
run_sql($session, 'BEGIN');
my $links = $session->value($attestations);
cmp_ok($links, '>', 3, 'links to documents');
is(scalar(temporary_files()), 0, 'replies that hold them never go to a file, whatever cache_size');
asks($session, $attestations, 0, "$links\n", 'and are kept in memory for the transaction');
run_sql($session, 'COMMIT', 'BEGIN');
$session->value('SELECT count(id) FROM data_inclusion.services');
is(scalar(temporary_files()), 0, 'nor do replies with personal data');
run_sql($session, 'COMMIT', 'BEGIN');
$session->value('SELECT count(id) FROM data_inclusion.structures');
is(scalar(temporary_files()), 1, 'those of a list that holds none do');
$written = temporary_bytes();
is($session->value("SELECT count(services) FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'"),
	1, 'a detail that names people');
is(temporary_bytes(), $written, 'does not join them');
run_sql($session, 'COMMIT');

# ===================================================================
# Nothing grows
# ===================================================================
keeps_its_size($session, sub {
	my ($n) = @_;
	run_sql($session, "DO \$\$ BEGIN FOR i IN 1 .. $n LOOP"
		. " PERFORM count(*) FROM marche_inclusion.structures WHERE siret = '$siret';"
		. " PERFORM count(*) FROM marche_inclusion.structures WHERE siret = '$siret';"
		. ' COMMIT; END LOOP; END $$');
}, '1,000 transactions whose replies are spilled: no memory');
is(scalar(temporary_files()), 0, 'no file');

# ===================================================================
# A long reply may leave memory while its rows are read: all of it, or none
# when it comes faster than it is read (long_replies.pl makes it wait)
# ===================================================================
$session->quit;
$session = session($node);
my @rows = map { sprintf '{"id":"row-%d","nom":"Nom %d %s"}', $_, $_, 'x' x 150_000 } 1 .. 100;
my $long = '{"total":100,"page":1,"pages":1,"size":100,"items":[' . join(',', @rows) . ']}';
my $sums = 'SELECT count(*), sum(hashtext(id)), sum(hashtext(nom)) FROM pages.structures';
my $right = $session->value("SELECT 100, sum(hashtext('row-' || i)), sum(hashtext('Nom ' || i || ' ' || repeat('x', 150000)))"
	  . ' FROM generate_series(1, 100) i');
faults({ times => -1, path => '/data_inclusion/*', status => 200, body => $long });
run_sql($session, 'BEGIN');
asks($session, $sums, 1, "$right\n", 'a reply of 15 MB: its rows');
asks($session, $sums, 0, "$right\n", 'again, wherever they are');
run_sql($session, 'SET LOCAL apigouv_fdw.cache_size = 0');
asks($session, $sums, 0, "$right\n", 'also when the rest follows into the file');
asks($session, $sums, 0, "$right\n", 'and from there');
is(temporary_bytes(), length $long, 'which holds each byte once');
run_sql($session, 'ROLLBACK', 'BEGIN',
	'DECLARE one CURSOR FOR SELECT id FROM pages.structures',
	'DECLARE two CURSOR FOR SELECT id FROM pages.structures',
	'MOVE 50 IN one', 'MOVE 1 IN two', 'MOVE 49 IN one');
is($session->value('FETCH one'), 'row-100', 'two scans read it: the one that is ahead');
is($session->value('FETCH two'), 'row-2', 'and the one behind');
run_sql($session, 'MOVE 97 IN two');
is($session->value('FETCH two'), 'row-100', 'to the end');
run_sql($session, 'ROLLBACK');
substr($long, -2) = '}}';
stub_reset();
faults({ times => -1, path => '/data_inclusion/*', status => 200, body => $long });
like($session->query($sums)->{err}, qr/unexpected character|not JSON|byte/, 'what is wrong at its end is told');
stub_reset();

done_testing();
