# A backend that is stopped just before it writes a request to the socket: the
# request counts as sent now until it has left, however long that takes, and
# leaves the window one length later.  A busy machine does that to a backend at
# any point, for longer than any margin.  pg_regress cannot show it: it takes a
# server that waits inside send() (a library that this test loads into it), and
# an API that counts.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use File::Temp;
use JSON::PP;
use Test::More;

# While the file APIGOUV_HOLD is there, the next send() of a request takes it
# away and waits until APIGOUV_HOLD.go is there.
my $dir = File::Temp::tempdir(CLEANUP => 1);
chmod 0777, $dir;
my $hold = "$dir/hold";
open(my $source, '>', "$dir/hold.c") or die "$dir/hold.c: $!";
print $source <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	static ssize_t (*next) (int, const void *, size_t, int);
	const char *path = getenv("APIGOUV_HOLD");
	char		go[4096];

	if (next == NULL)
		next = (ssize_t (*) (int, const void *, size_t, int)) dlsym(RTLD_NEXT, "send");
	if (path != NULL && len > 5 && memcmp(data, "GET /", 5) == 0 && unlink(path) == 0)
	{
		snprintf(go, sizeof(go), "%s.go", path);
		while (access(go, F_OK) != 0)
			usleep(5000);
	}
	return next(fd, data, len, flags);
}
C
close $source;
plan skip_all => 'no C compiler'
  if system("cc -shared -fPIC -o $dir/hold.so $dir/hold.c -ldl 2>$dir/cc.log") != 0;

my $node = do {
	local $ENV{LD_PRELOAD} = join ' ', "$dir/hold.so", $ENV{LD_PRELOAD} // ();
	local $ENV{APIGOUV_HOLD} = $hold;
	new_cluster('quota_stall');
};
my $control = session($node);
my $held = session($node);
my $other = session($node);
limits($control, undef, urssaf => '1/1s');
run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD quota_wait_ms '3000')");
begin_anew($control);
ApigouvTest::control('strict', {
	limits => [
		{   api => 'entreprise', name => 'urssaf', paths => '/v*/urssaf/*', requests => 1,
			window_ms => 1000 } ] });

sub touch
{
	open(my $file, '>', $_[0]) or die "$_[0]: $!";
	close $file;
	return;
}

# ===================================================================
# It counts for as long as it is held
# ===================================================================
touch($hold);
$held->start(vigilance(1));
ApigouvTest::wait_for(sub { !-e $hold }, 'a backend that is held before its send');
refuses($other, vigilance(1, 21000), { refused_for('urssaf', '1 request per second')->%{qw(sqlstate message)}, requests => 0 },
	'three windows later, nobody else may send what would make two');
is(used($control, 'urssaf'), '1', 'the view shows it as used');

# ===================================================================
# It leaves the window one length after it was sent
# ===================================================================
run_sql($control, "ALTER SERVER entreprise OPTIONS (SET quota_wait_ms '120000')");
touch("$hold.go");
is($other->value(vigilance(1, 22000)), '1', 'once it has been sent, the next one waits for a window and goes');
is($held->finish->{out}, "1\n", 'it has its reply');
my $told = ApigouvTest::control('strict');
is(scalar(@{ $told->{bans} }), 0, 'the API has seen no excess');
is($told->{limits}[0]{counters}[0]{counted}, 2, 'of those two');
ApigouvTest::wait_for(sub { used($control, 'urssaf') eq '0' }, 'the end of the slots');
pass('no slot is left');

done_testing();
