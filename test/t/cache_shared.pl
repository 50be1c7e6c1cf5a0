# Replies kept for the whole cluster: cache_ttl_s.  Across sessions, databases
# and restarts, never across credentials or purposes, never a mix of ages, and
# no harm when files are damaged or cannot be written.  pg_regress cannot show
# it: the proof is the requests received, and the files.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Fcntl 'S_IMODE';
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('cache_shared', <<'CONF');
restart_after_crash = on
wal_level = replica
max_wal_senders = 3
CONF
my $dir = $node->data_dir . '/pg_stat_tmp/apigouv_fdw';
my $siret = $ApigouvTest::SIRET;
my $one = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";
my $soliguide = "SELECT count(*) FROM data_inclusion.structures WHERE source = 'soliguide'";
my $session = session($node);

# For CRC-32C, as the server computes it.
my @crc_table = map {
	my $crc = $_;
	$crc = $crc & 1 ? 0x82F63B78 ^ ($crc >> 1) : $crc >> 1 for 1 .. 8;
	$crc
} 0 .. 255;

# Where a file's facts are: its header, then an entry for each reply.
my ($RECEIVED_AT, $EXPIRES_AT, $BOOT_AT, $HEADER_BYTES, $ENTRY_BYTES) = (24, 32, 40, 168, 256);

# Names of the files of replies.
sub files
{
	my @files = grep { m{/[0-9a-f]{64}$} } glob("$dir/*");
	return @files;
}

sub set_ttl
{
	my ($server, $ttl) = @_;
	$node->safe_psql('postgres', "ALTER SERVER $server OPTIONS (ADD cache_ttl_s '$ttl')");
	return;
}

# ===================================================================
# Off unless asked for
# ===================================================================
asks($session, $one, 1, "2\n", 'without the option: a request');
asks($session, $one, 1, "2\n", 'and another');
ok(!-e $dir, 'no file, not even a directory');

# ===================================================================
# Across transactions, sessions, databases, roles without rights
# ===================================================================
set_ttl('marche_inclusion', 3600);
asks($session, $one, 1, "2\n", 'cache_ttl_s: a request');
asks($session, $one, 0, "2\n", 'then none, in the next transaction');
like($session->value("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $one"),
	qr/Requests: 0\n.*Cluster Hits: 1/s, 'EXPLAIN ANALYZE tells of it');
is(scalar(files()), 1, 'it is in one file');
is(join(' ', map { sprintf '%o', S_IMODE((stat)[2]) } $dir, "$dir/key", files()), '700 600 600',
	'which nobody else may read, nor the key');
unlike(join('', map { slurp_bytes($_) } files()), qr/\Q@{[token('marche_inclusion')]}\E/, 'it does not hold the token');
asks(session($node), $one, 0, "2\n", 'another session: none');

$node->safe_psql('postgres', 'CREATE DATABASE autre');
create_apis($node, 'autre', 'marche_inclusion', 'data_inclusion');
my $elsewhere = session($node, db => 'autre');
asks($elsewhere, $one, 1, "2\n", 'another database without the option: a request');
$node->safe_psql('autre', "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600')");
asks($session, $one, 1, "2\n", 'its ALTER SERVER has removed what that server could read');
asks($elsewhere, $one, 0, "2\n", 'another database with the same token: none');
is(files(), 1, 'they share one file');

my $before = time;
my $got = $elsewhere->value("SELECT extract(epoch FROM now() - obtenu_le) BETWEEN 0 AND 60, obtenu_le"
	. " FROM marche_inclusion.structures WHERE siret = '$siret' LIMIT 1");
like($got, qr/^t\|/, 'obtenu_le is the time of the reply');
is($session->value("SELECT 't', obtenu_le FROM marche_inclusion.structures WHERE siret = '$siret' LIMIT 1"), $got,
	'the same in every session');

asks($session, 'SELECT count(*) FROM marche_inclusion.structures WHERE id = 999999', 1, "0\n", 'a 404');
asks($session, 'SELECT count(*) FROM marche_inclusion.structures WHERE id = 999999', 0, "0\n", 'is kept as well');
faults({ api => 'marche_inclusion', status => 500, body => '', times => 1 });
my $siren = "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003012'";
asks($session, $siren, 1, 'HV00M', 'an error');
asks($session, $siren, 1, "4\n", 'is not');
faults({ api => 'marche_inclusion', action => 'garbage', times => 1 });
my $siren2 = "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003020'";
asks($session, $siren2, 1, 'HV00M', 'garbage');
asks($session, $siren2, 1, "1\n", 'is not');
my $exists = "SELECT EXISTS (SELECT FROM marche_inclusion.structures WHERE siren = '000003038')";
asks($session, $exists, 1, "t\n", 'a reply that was left after its first row');
asks($session, $exists, 0, "t\n", 'is kept');

run_sql($session, 'BEGIN READ ONLY');
asks($session, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003046'", 1, "1\n", 'a read-only transaction');
run_sql($session, 'COMMIT');
asks($elsewhere, "SELECT count(*) FROM marche_inclusion.structures WHERE siren = '000003046'", 0, "1\n", 'keeps as well');

# ===================================================================
# Credentials, purposes: never another's reply
# ===================================================================
my $sql = '';
my %token = (
	reader_a => token('data_inclusion'),
	reader_b => token('data_inclusion_dora'),
	reader_c => token('data_inclusion'));
for my $role (sort keys %token)
{
	$sql .= "CREATE ROLE $role LOGIN; GRANT USAGE ON SCHEMA data_inclusion, entreprise TO $role;"
	  . " GRANT SELECT ON ALL TABLES IN SCHEMA data_inclusion, entreprise TO $role;"
	  . " CREATE USER MAPPING FOR $role SERVER data_inclusion OPTIONS (token '$token{$role}');";
}
$node->safe_psql('postgres', $sql);
my %sees = map { $_ => session($node, user => $_)->value($soliguide) } sort keys %token;
isnt($sees{reader_a}, $sees{reader_b}, 'two tokens see different rows');
set_ttl('data_inclusion', 3600);
my %reader = map { $_ => session($node, user => $_) } sort keys %token;
for my $round (1 .. 2)
{
	asks($reader{$_}, $soliguide, $round == 1 ? 1 : 0, "$sees{$_}\n", "round $round: $_ sees its own rows")
	  for qw(reader_a reader_b);
}
asks($reader{reader_c}, $soliguide, 0, "$sees{reader_a}\n", 'a role with the same token, and no rights, shares them');
run_sql($session, 'SET ROLE reader_b');
asks($session, $soliguide, 0, "$sees{reader_b}\n", 'SET ROLE');
run_sql($session, 'SET ROLE reader_a');
asks($session, $soliguide, 0, "$sees{reader_a}\n", 'and another');
run_sql($session, 'RESET ROLE');

set_ttl('entreprise', 3600);
my $rge = "SELECT count(*) FROM entreprise.entreprise_certifications_rge WHERE siret = '$siret'";
my $labels = counted($session, $rge);
is($labels->{requests}, 1, 'an API that wants a purpose: a request');
asks($session, $rge, 0, $labels->{out}, 'then none');
run_sql($session, "SET apigouv_fdw.context = 'Autre cadre'");
asks($session, $rge, 1, $labels->{out}, 'another purpose: a request of its own');
run_sql($session, 'RESET apigouv_fdw.context');
asks($session, $rge, 0, $labels->{out}, 'the first is still there');

# ===================================================================
# What is never kept
# ===================================================================
my $attestation = "SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siret = '$siret'";
asks($session, $attestation, 1, "1\n", "the server's option leaves out tables with links to documents: a request");
asks($session, $attestation, 1, "1\n", 'and another');
$node->safe_psql('postgres',
	"ALTER FOREIGN TABLE entreprise.entreprise_attestation_vigilance OPTIONS (ADD cache_ttl_s '60')");
refuses($session, "EXPLAIN $attestation", {
	sqlstate => '22023',
	message => 'cannot keep replies of foreign table "entreprise_attestation_vigilance" past the transaction',
	detail => 'They hold links that open documents.', requests => 0 }, "the table's own option is refused at planning");
$node->safe_psql('postgres',
	"ALTER FOREIGN TABLE entreprise.entreprise_attestation_vigilance OPTIONS (SET cache_ttl_s '0')");
asks($session, $attestation, 1, "1\n", 'unless it is 0');
$node->safe_psql('postgres', "ALTER FOREIGN TABLE data_inclusion.services OPTIONS (ADD cache_ttl_s '60')");
refuses($session, 'EXPLAIN SELECT * FROM data_inclusion.services', {
	sqlstate => '22023', detail => 'They hold personal data.' }, 'so is that of a table whose rows name people');
my $detail = "SELECT count(*) FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-1'";
asks($session, $detail, 1, "1\n", 'a route that names people, of a table whose list does not: a request');
asks($session, $detail, 1, "1\n", 'and another');

# The whole table, by a definition that says so.
my $definitions = own_definitions($node);
system("sed -i 's/\"rows\": 100,/\"rows\": 100, \"personal_data\": true,/' $definitions/essai/structures.json") == 0
  or die 'sed';
my $url = stub_url();
$session->quit;
$session = session($node);
run_sql($session,
	"CREATE SERVER pages FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'pages', base_url '$url/data_inclusion/api/v1')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER pages OPTIONS (token '" . token('data_inclusion') . "')",
	"CREATE SERVER essai FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'essai', base_url '$url/marche_inclusion/api')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER essai OPTIONS (token '" . token('marche_inclusion') . "')",
	'CREATE SCHEMA pages', 'CREATE SCHEMA essai',
	'IMPORT FOREIGN SCHEMA pages FROM SERVER pages INTO pages',
	'IMPORT FOREIGN SCHEMA essai FROM SERVER essai INTO essai',
	"ALTER FOREIGN TABLE essai.structures OPTIONS (ADD cache_ttl_s '60')");
refuses($session, 'EXPLAIN SELECT * FROM essai.structures', {
	sqlstate => '22023', message => qr/"structures"/, detail => 'They hold personal data.' },
	'a table of personal data by its definition');

# ===================================================================
# The table's option wins
# ===================================================================
$node->safe_psql('postgres', "ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD cache_ttl_s '0')");
asks($session, $one, 1, "2\n", '0 on a table switches off what the server says: a request');
asks($session, $one, 1, "2\n", 'and another');
$node->safe_psql('postgres', 'ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP cache_ttl_s)');

# ===================================================================
# Pages of one age
# ===================================================================
set_ttl('pages', 3600);
my $pages = 'SELECT count(*), sum(hashtext(nom)) FROM pages.structures';
my $list = counted($session, $pages);
cmp_ok($list->{requests}, '>', 5, 'a list in pages');
asks($session, $pages, 0, $list->{out}, 'is read again without a request');
asks(session($node), $pages, 0, $list->{out}, 'by another session too');
my ($number) = $list->{out} =~ /^(\d+)/;
asks(session($node), 'SELECT count(*) FROM pages.structures', 0, "$number\n", 'it counts the rows as well');
$node->safe_psql('postgres', "SELECT apigouv_clear_cache('pages')");
asks($session, 'SELECT count(*) FROM pages.structures', 1, "$number\n", 'a total');
asks(session($node), 'SELECT count(*) FROM pages.structures', 0, "$number\n", 'is kept');
my $goes_on = 'SELECT count(*) FROM (SELECT generate_series(1, length(nom) - 1000) FROM pages.structures LIMIT 1) s';
my $read = counted(session($node), $goes_on);
cmp_ok($read->{requests}, '>', 1, 'and is not the first page of a read that a LIMIT begins with one row');
is($read->{out}, "0\n", 'which goes on');
$node->safe_psql('postgres', "SELECT apigouv_clear_cache('pages')");
asks($session, $pages, $list->{requests}, $list->{out}, 'the list again');

$node->safe_psql('postgres', "SELECT apigouv_clear_cache('pages')");
asks($session, 'SELECT count(*) FROM (SELECT id FROM pages.structures LIMIT 250) s', 3, "250\n", 'a LIMIT reads three pages');
asks($session, $pages, $list->{requests}, $list->{out}, 'which are not the beginning of a later read');
ApigouvTest::control('data', { api => 'data_inclusion', add => 7 });
asks($session, $pages, 0, $list->{out}, 'a list that has changed upstream is read as it was, all of it');
$node->safe_psql('postgres', "SELECT apigouv_clear_cache('pages')");
my $longer = counted($session, $pages);
isnt($longer->{out}, $list->{out}, 'until it is cleared');
cmp_ok($longer->{requests}, '>=', $list->{requests}, 'and asked again');
$node->safe_psql('postgres', "SELECT apigouv_clear_cache('pages')");
ApigouvTest::control('data', { api => 'data_inclusion', add => 5, after => 3 });
is(counted($session, $pages)->{sqlstate}, '40001', 'a list that changes while it is read');
my $retry = counted($session, $pages);
is($retry->{sqlstate}, undef, 'the retry succeeds');
asks($session, $pages, 0, $retry->{out}, 'and what it read is kept');

# A page that is damaged: the file is not used.
my ($largest) = sort { -s $b <=> -s $a } files();
rewrite($largest, sub { substr($_[0], -100, 1) ^= "\x01" });
asks($session, $pages, $retry->{requests}, $retry->{out}, 'the last page is damaged: all of them are asked');
asks($session, $pages, 0, $retry->{out}, 'once');

# A page that cannot be read: the file goes with it.
sub last_page_shape
{
	my ($from, $to) = @_;
	my ($list_file) = sort { -s $b <=> -s $a } files();
	rewrite($list_file, sub { $_[0] =~ s/$from/$to/g; fix_checksums($_[0]); });
	return;
}
last_page_shape('"items":', '"stuff":');
is(counted($session, $pages)->{sqlstate}, 'HV021', 'pages of another shape: an error');
asks($session, $pages, $retry->{requests}, $retry->{out}, 'and the next query asks all of them');
asks($session, $pages, 0, $retry->{out}, 'once');

# ===================================================================
# After its time
# ===================================================================
$node->safe_psql('postgres', "ALTER SERVER marche_inclusion OPTIONS (SET cache_ttl_s '1')");
asks($session, $one, 1, "2\n", 'kept for a second');
ApigouvTest::wait_for(sub { counted($session, $one)->{requests} == 1 }, 'the end of that second');
pass('after a second, the API is asked');
$node->safe_psql('postgres', "ALTER SERVER marche_inclusion OPTIONS (SET cache_ttl_s '3600')");

# ===================================================================
# Files that are damaged, cut, of another cluster, or of the future
# ===================================================================
sub rewrite
{
	my ($path, $change) = @_;
	my $bytes = slurp_bytes($path);
	$change->($bytes) if ref $change;
	open(my $file, '>:raw', $path) or die "$path: $!";
	print $file $bytes;
	close $file;
	return;
}

sub crc32c
{
	my $crc = 0xFFFFFFFF;
	$crc = $crc_table[($crc ^ $_) & 255] ^ ($crc >> 8) for unpack 'C*', $_[0];
	return $crc ^ 0xFFFFFFFF;
}

# The times of a file's header, moved by so many seconds; its checksum is right.
sub move_times
{
	my (undef, $seconds, $boot_seconds) = @_;
	for ([ $RECEIVED_AT, $seconds ], [ $EXPIRES_AT, $seconds ], [ $BOOT_AT, $boot_seconds ])
	{
		my ($at, $by) = @$_;
		substr($_[0], $at, 8) = pack 'q', unpack('q', substr($_[0], $at, 8)) + $by * 1_000_000;
	}
	fix_checksums($_[0]);
	return;
}

# Make a file's checksums those of what it holds.
sub fix_checksums
{
	my $n = unpack 'l', substr($_[0], 12, 4);
	for my $i (0 .. $n - 1)
	{
		my $at = $HEADER_BYTES + $i * $ENTRY_BYTES;
		my ($offset, $len) = unpack 'qq', substr($_[0], $at + 32, 16);
		substr($_[0], $at + 60, 4) = pack 'L', crc32c(substr($_[0], $offset, $len));
	}
	substr($_[0], 8, 4) = pack 'L', crc32c(substr($_[0], 12, $HEADER_BYTES - 12 + $n * $ENTRY_BYTES));
	return;
}

sub spoiled
{
	my ($name, $change) = @_;
	$node->safe_psql('postgres', 'SELECT apigouv_clear_cache()');
	$session->value($one);
	my @files = files();
	is(scalar(@files), 1, "$name: one file");
	rewrite($files[0], $change);
	asks($session, $one, 1, "2\n", "$name: the API is asked");
	asks($session, $one, 0, "2\n", "$name: and the reply is kept again");
	return;
}

$node->safe_psql('postgres', 'SELECT apigouv_clear_cache()');
$session->value($one);
my @files = files();
rewrite($files[0], sub { move_times($_[0], 0, 0) });
asks($session, $one, 0, "2\n", 'a file that is written again as it was serves');
spoiled('a byte of the reply changed', sub { substr($_[0], -10, 1) ^= "\x01" });
spoiled('a byte of the header changed', sub { substr($_[0], 30, 1) ^= "\x01" });
spoiled('cut', sub { $_[0] = substr($_[0], 0, length($_[0]) - 5) });
spoiled('cut in the header', sub { $_[0] = substr($_[0], 0, 50) });
spoiled('empty', sub { $_[0] = '' });
spoiled('another file', sub { $_[0] = "not a reply\n" x 100 });
spoiled('another version', sub { substr($_[0], 4, 4) = pack 'L', 99; });
spoiled('expired', sub { move_times($_[0], -4000, 0) });
spoiled('of the future', sub { move_times($_[0], 4000, 0) });
spoiled('older than the clock, set back, makes it', sub { move_times($_[0], 0, -4000) });
$session->value($siren);
@files = files();
rewrite($files[0], sub { $_[0] = slurp_bytes($files[1]) });
rewrite($files[1], sub { $_[0] = slurp_bytes($files[0]) });
is($session->value("$one; $siren"), "2\n4", 'the file of another request does not serve');

# ===================================================================
# Who may clear, and what
# ===================================================================
$node->safe_psql('postgres', 'SELECT apigouv_clear_cache()');
$session->value($_) for $one, $siren, $rge, $pages;
my $n = files();
refuses($reader{reader_a}, 'SELECT apigouv_clear_cache()', { sqlstate => '42501' }, 'all: a superuser only');
refuses($reader{reader_a}, "SELECT apigouv_clear_cache('marche_inclusion')", {
	sqlstate => '42501', message => qr/owner of foreign server/ }, 'a server: its owner');
is(scalar(files()), $n, 'nothing was removed');
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER apigouv_fdw TO owner');
$node->safe_psql('postgres', 'ALTER SERVER marche_inclusion OWNER TO owner');
$session->value($_) for $one, $siren;
is(session($node, user => 'owner')->value("SELECT apigouv_clear_cache('marche_inclusion')"), 2,
	'the owner: the replies of that server');
asks($session, $rge, 0, $labels->{out}, 'those of another stay');
asks($session, $pages, 0, $retry->{out}, 'and those of another');
is($session->value("SELECT apigouv_clear_cache('entreprise', 'entreprise.entreprise_certification_opqibi')"), 0,
	'a table of which there is none');
is($session->value("SELECT apigouv_clear_cache('entreprise', 'entreprise.entreprise_certifications_rge')"), 1,
	'a table of which there is one');
asks($session, $rge, 1, $labels->{out}, 'is asked again');
refuses($session, "SELECT apigouv_clear_cache('entreprise', 'pages.structures')", { sqlstate => '42809' },
	"another server's table");
refuses($session, "SELECT apigouv_clear_cache(NULL, 'pages.structures')", { sqlstate => '22023' }, 'a table without its server');
is($session->value("SELECT apigouv_clear_cache('pages')"), $list->{requests}, 'every page counts');

# ===================================================================
# Changes of what they were read through
# ===================================================================
my $mapping = "SERVER marche_inclusion OPTIONS (SET token '" . token('marche_inclusion') . "')";
for my $case (
	[ 'ALTER SERVER', "ALTER SERVER marche_inclusion OPTIONS (SET cache_ttl_s '3601')" ],
	[ 'ALTER USER MAPPING', "ALTER USER MAPPING FOR CURRENT_USER $mapping" ],
	[ 'ALTER FOREIGN TABLE', "ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '9000')" ],
	[ 'DROP FOREIGN TABLE', 'CREATE FOREIGN TABLE t (id int) SERVER marche_inclusion; DROP FOREIGN TABLE t' ],
	[ 'DROP SCHEMA', 'CREATE SCHEMA s; CREATE FOREIGN TABLE s.t (id int) SERVER marche_inclusion; SET client_min_messages = error; DROP SCHEMA s CASCADE' ],
	[ 'DROP USER MAPPING', 'DROP USER MAPPING FOR CURRENT_USER SERVER marche_inclusion' ])
{
	my ($name, $command) = @$case;
	$session->value($one);
	is(scalar(grep { -e } files()) > 0, 1, "$name: there is a reply");
	my $kept = () = files();
	$node->safe_psql('postgres', $command);
	cmp_ok(scalar(files()), '<', $kept, "$name: it is gone");
}
$node->safe_psql('postgres', "CREATE USER MAPPING FOR CURRENT_USER SERVER marche_inclusion OPTIONS (token '"
	. token('marche_inclusion') . "')");
$session->value($one);
my $kept = () = files();
$node->safe_psql('postgres', 'SET client_min_messages = error; DROP SERVER pages CASCADE');
is(scalar(files()), $kept, 'DROP SERVER of another server: nothing of this one goes');
$node->safe_psql('postgres', 'SET client_min_messages = error; DROP SERVER marche_inclusion CASCADE');
cmp_ok(scalar(files()), '<', $kept, 'DROP SERVER: it is gone');

# Other commands do not load the library.
my $loaded = session($node);
my $map = '/proc/' . $loaded->pid . '/maps';
run_sql($loaded, 'CREATE TABLE t (a int)', 'ALTER TABLE t ADD b int', 'CREATE INDEX ON t (a)', 'DROP TABLE t');
unlike(slurp_bytes($map), qr/apigouv_fdw/, 'commands on other objects do not load the library');
run_sql($loaded, 'CREATE SCHEMA s', 'DROP SCHEMA s');
like(slurp_bytes($map), qr/apigouv_fdw/, 'those that could remove a foreign table do');

# ===================================================================
# The cluster: restart, kill -9, a full directory, its size
# ===================================================================
create_apis($node, 'autre', 'marche_travail');
$elsewhere->quit;
my $files = () = files();
$node->stop;
$node->start;
$session = session($node);
is(scalar(files()), $files, 'a restart keeps the files');
asks($session, $rge, 0, $labels->{out}, 'and the replies');

# A process that died while it wrote.
append_to_file("$dir/$_", 'x') for 'tmp.99999999.1', 'foreign', 'ab' x 32;
utime 0, 0, "$dir/" . 'ab' x 32;
unlink "$dir/total";		# as after ten minutes: count anew
run_sql($session, "SELECT count(*) FROM entreprise.entreprise_certification_opqibi WHERE siret = '$siret'");
is(join(' ', grep { -e "$dir/$_" } 'tmp.99999999.1', 'foreign', 'ab' x 32), '',
	'files that a dead process or somebody else left are removed');
ok(-e "$dir/key", 'the key is not');

# Killed at any moment of many writes: what is there is whole.
my $writer = session($node);
my $many = join ', ', map { "'0000030120001$_'" } 0 .. 9;
$writer->start('DO $$ BEGIN FOR i IN 1 .. 100000 LOOP'
	. " PERFORM set_config('apigouv_fdw.object', i::text, true);"
	. " PERFORM count(*) FROM entreprise.entreprise_certifications_rge WHERE siret = '$siret'; COMMIT; END LOOP; END \$\$");
ApigouvTest::wait_for(sub { files() > $files + 30 }, 'files being written');
kill 'KILL', $writer->pid;
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
$session = session($node);
asks($session, $rge, 0, $labels->{out}, 'after kill -9 of a session that writes, what was kept serves');
run_sql($session, "SET apigouv_fdw.object = '1'");
asks($session, $rge, 0, $labels->{out}, 'what it kept as well');
run_sql($session, 'RESET apigouv_fdw.object');

# The bound.
sub disk_bytes
{
	my $bytes = 0;
	$bytes += ((stat $_)[12] // 0) * 512 for files();
	return $bytes;
}
run_sql($session, "SET apigouv_fdw.shared_cache_size = '100kB'",
	'DO $$ BEGIN FOR i IN 1 .. 60 LOOP' . " PERFORM set_config('apigouv_fdw.object', 'b' || i, true);"
	. " PERFORM count(*) FROM entreprise.entreprise_certifications_rge WHERE siret = '$siret'; COMMIT; END LOOP; END \$\$");
cmp_ok(disk_bytes(), '<=', 100 * 1024, 'past apigouv_fdw.shared_cache_size, the oldest go');
run_sql($session, "SET apigouv_fdw.object = 'b60'");
asks($session, $rge, 0, $labels->{out}, 'and the last stays');
run_sql($session, "SET apigouv_fdw.object = 'b1'");
asks($session, $rge, 1, $labels->{out}, 'the first has gone');
run_sql($session, 'RESET apigouv_fdw.object', 'SET apigouv_fdw.shared_cache_size = 0');
$files = files();
asks($session, $rge, 1, $labels->{out}, '0: nothing is looked up');
is(scalar(files()), $files, 'nothing is kept');
run_sql($session, 'RESET apigouv_fdw.shared_cache_size');
my $reader = session($node, user => 'reader_a');
is($reader->value($soliguide), $sees{reader_a}, 'a role without rights');
refuses($reader, "SET apigouv_fdw.shared_cache_size = '1GB'",
	{ sqlstate => '42501' }, 'cannot set the bound');

# A directory that cannot be written.
$node->safe_psql('postgres', 'SELECT apigouv_clear_cache()');
chmod 0500, $dir;
$session = session($node);
my $result = counted($session, $rge);
is($result->{out}, $labels->{out}, 'a directory that cannot be written: the query gives its rows');
is(scalar(@{ $result->{notices} }), 1, 'and a warning');
like($result->{notices}[0], qr/could not keep replies in file "pg_stat_tmp\/apigouv_fdw.*": Permission denied/,
	'that says why');
$result = counted($session, $rge);
is($result->{requests} . @{ $result->{notices} }, '10', 'the next asks again, without another warning');
chmod 0700, $dir;
faults({ delay_ms => 20 });    # the session waits, which takes descriptors at its first time
asks($session, $rge, 1, $labels->{out}, 'once it can be written');
asks($session, $rge, 0, $labels->{out}, 'replies are kept');

# ===================================================================
# A standby: files of its own
# ===================================================================
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('cache_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
ok(!-e $standby->data_dir . '/pg_stat_tmp/apigouv_fdw', 'a base backup holds no reply');
$standby->start;
my $on_standby = session($standby);
is($on_standby->value('SELECT pg_is_in_recovery()'), 't', 'a standby');
asks($on_standby, $rge, 1, $labels->{out}, 'asks');
asks($on_standby, $rge, 0, $labels->{out}, 'and keeps');
$on_standby->quit;
$standby->stop;

# ===================================================================
# Nothing grows
# ===================================================================
my $sockets = descriptors($session);
keeps_its_size($session, sub {
	my ($n) = @_;
	run_sql($session, "DO \$\$ BEGIN FOR i IN 1 .. $n LOOP"
		. " PERFORM set_config('apigouv_fdw.object', 'n' || i % 200, true);"
		. " PERFORM count(*) FROM entreprise.entreprise_certifications_rge WHERE siret = '$siret'; COMMIT; END LOOP; END \$\$");
}, '1,000 transactions with kept replies: no memory');
cmp_ok(descriptors($session), '<=', $sockets, 'no socket');
is(scalar(grep { /pg_stat_tmp/ } map { readlink($_) // '' } glob('/proc/' . $session->pid . '/fd/*')), 0,
	'no open file of the cache');

done_testing();
