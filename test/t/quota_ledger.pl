# A ledger that cannot be used lets nothing go; one that is not known to be
# right closes every limit for a window.  pg_regress cannot show it: it takes
# the server's files.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use Fcntl ':flock';
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_cluster('quota_ledger');
my $session = session($node);
my $file = ledger_file($node);
my $aside = PostgreSQL::Test::Utils::tempdir() . '/aside';
my $all = vigilance(3, 20100);

run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '0')");
limits($session, undef, urssaf => "5/$LONG");

# Replace the file's contents, in place.
sub write_file
{
	my ($bytes) = @_;
	open(my $handle, '+<:raw', $file) or die "$file: $!";
	truncate $handle, 0;
	print {$handle} $bytes;
	close $handle or die "$file: $!";
	return;
}

# ===================================================================
# A ledger that cannot be read or written: nothing is sent
# ===================================================================
my $hint = 'Nothing is sent without counting it: let the server\'s system user read and write that file.';
my $path = 'pg_stat/apigouv_fdw.ledger';

sub nothing_goes
{
	my ($name, $why) = @_;
	refuses($session, $all, {
		sqlstate => '58030',
		message => 'could not send a request to foreign server "entreprise": the quota ledger cannot be used',
		detail => qr/^Could not open file "$path": $why\.$/, hint => $hint, requests => 0 },
		"$name: nothing is sent");
	refuses($session, 'SELECT count(*) FROM apigouv_quota', {
		sqlstate => '58030', message => 'the quota ledger cannot be used',
		detail => qr/^could not open file "$path": $why\.$/i }, "$name: the view says it too");
	asks($session, $ApigouvTest::GOOD_QUERY, 1, "2\n", "$name: an API without limits goes on");
	return;
}

begin_anew($session);
run_sql($session, vigilance(2));
chmod 0400, $file or die "chmod: $!";
nothing_goes('mode 0400', 'Permission denied');
chmod 0600, $file or die "chmod: $!";
asks($session, $all, 3, "3\n", 'mode 0600 again: it goes on');
is(used($session, 'urssaf'), '5', 'and what was counted still is');

rename $file, $aside or die "rename: $!";
mkdir $file or die "mkdir: $!";
nothing_goes('a directory in its place', 'Is a directory');
rmdir $file or die "rmdir: $!";
symlink $aside, $file or die "symlink: $!";
nothing_goes('a symbolic link in its place', 'Too many levels of symbolic links');
unlink $file or die "unlink: $!";

# Somebody holds it, stopped by a debugger say: not for ever.
begin_anew($session);
open(my $held, '+<', $file) or die "$file: $!";
flock($held, LOCK_EX) or die "flock: $!";
refuses($session, $all, {
	sqlstate => '58030',
	message => 'could not send a request to foreign server "entreprise": the quota ledger cannot be used',
	detail => qq{File "$path" is locked by another process.}, requests => 0 }, 'a ledger that is held: nothing is sent');
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '600000')");
run_sql($session, "SET statement_timeout = '50ms'");
refuses($session, $all, { sqlstate => '57014', requests => 0 }, 'it can be cancelled');
run_sql($session, 'RESET statement_timeout');
close $held;
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '0')");
asks($session, $all, 3, "3\n", 'let go: it goes on');

# ===================================================================
# A ledger that is missing, damaged or a copy: closed for a window
# ===================================================================
my %harms = (
	'a missing file' => sub { unlink $file or die },
	'an empty file' => sub { write_file('') },
	'a file that is cut' => sub { truncate $file, 4096 or die },
	'a file of something else' => sub { write_file('SELECT 1;' x 100000) },
	'a damaged header' => sub { my $bytes = slurp_bytes($file); substr($bytes, 60, 1) ^= "\1"; write_file($bytes); },
	'damaged counters' => sub {
		my $bytes = slurp_bytes($file);
		my $at = index($bytes, 'urssaf') // die;
		substr($bytes, $at, 1, 'U');
		write_file($bytes);
	});

for my $name (sort keys %harms)
{
	limits($session, undef, urssaf => "5/$LONG");
	begin_anew($session);
	asks($session, vigilance(2), 2, "2\n", "$name: before");
	$harms{$name}->();
	refuses($session, vigilance(1, 20100),
		refused_for('urssaf', '5 requests per 600 seconds', requests => 0), "$name: the gate is closed");
	ok(quota($session, 'urssaf', q(closed_until BETWEEN now() + '500s' AND now() + '601s' AND "left" = 0)) eq 't',
		"$name: for a window");
}

# CREATE EXTENSION begins the ledger, closed, and leaves one that is there.
limits($session, undef, urssaf => "5/$LONG");
unlink $file or die "unlink: $!";
$node->safe_psql('postgres', 'CREATE DATABASE autre');
$node->safe_psql('autre', 'CREATE EXTENSION apigouv_fdw');
ok(-e $file, 'CREATE EXTENSION makes the ledger');
is(sprintf('%o', (stat $file)[2] & 0777), '600', 'for the server only');
refuses($session, vigilance(1, 20100), refused_for('urssaf', '5 requests per 600 seconds', requests => 0),
	'and its gate is closed');
begin_anew($session);
run_sql($session, vigilance(2));
$node->safe_psql('autre', 'DROP EXTENSION apigouv_fdw; CREATE EXTENSION apigouv_fdw');
refuses($session, vigilance(4, 20100), refused_for('urssaf', '5 requests per 600 seconds', requests => 3),
	'CREATE EXTENSION in another database leaves it as it is');

# A copy is known by its inode; old contents put back in place, by the times of
# the file, which tell what is more than two seconds old.
begin_anew($session);
run_sql($session, vigilance(2));
system('cp', '-p', $file, $aside) == 0 or die 'cp';
run_sql($session, vigilance(3, 20100));
rename $aside, $file or die "rename: $!";
refuses($session, vigilance(1, 20200), refused_for('urssaf', '5 requests per 600 seconds', requests => 0),
	'a copy put in its place: the gate is closed');
begin_anew($session);
run_sql($session, vigilance(2));
my $old = slurp_bytes($file);
run_sql($session, vigilance(3, 20100));
my $written = time();
usleep(50_000) while time() < $written + 2.1;
is(used($session, 'urssaf'), '5', 'a ledger that nobody touches stays valid');
write_file($old);
refuses($session, vigilance(1, 20200), refused_for('urssaf', '5 requests per 600 seconds', requests => 0),
	'old contents put back: the gate is closed');

# The gate opens again by itself, and who waits goes on.
run_sql($session, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '120000')");
limits($session, undef, urssaf => '5/1s', ip => '10000/1s');
begin_anew($session);
unlink $file or die "unlink: $!";
my $since = time();
asks($session, $all, 3, "3\n", 'after the window the gate is open');
cmp_ok((time() - $since) * 1000, '>=', 1000, 'not before');
is(quota($session, 'urssaf', 'closed_until IS NULL'), 't', 'and the view says so');

done_testing();
