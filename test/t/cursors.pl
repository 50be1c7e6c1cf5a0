# Cursors over foreign scans: kept over other queries, over COMMIT, shared
# requests, scrolling.  pg_regress cannot show it: the proof is the requests
# received.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('cursors');
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $one = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";
my $all = 'SELECT id FROM marche_inclusion.structures';

# ===================================================================
# Cursors
# ===================================================================
my $ids = $session->value("$all WHERE kind = 'EI' ORDER BY id");
my @ids = split /\n/, $ids;
cmp_ok(scalar(@ids), '>', 20, 'enough rows for cursors');

run_sql($session, 'BEGIN', "DECLARE c CURSOR WITH HOLD FOR $all WHERE kind = 'EI'");
my @got = split /\n/, $session->value('FETCH 5 FROM c');
my $committed = counted($session, 'COMMIT');
my $fetched = counted($session, 'FETCH ALL FROM c');
push @got, split /\n/, $fetched->{out};
is(join(',', sort { $a <=> $b } @got), join(',', @ids),
	'WITH HOLD: the rows fetched before and after COMMIT are those of the query');
is($fetched->{requests}, 0, 'without a request after COMMIT');
run_sql($session, 'CLOSE c');

run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $all WHERE kind = 'EI'");
@got = ();
for my $n (1 .. 4)
{
	push @got, split /\n/, $session->value('FETCH 5 FROM c');
	$session->value($one);
	$session->value("SELECT count(*) FROM data_inclusion.structures WHERE id = 'dora--ateliers-du-phare-$n'");
}
push @got, split /\n/, $session->value('FETCH ALL FROM c');
is(join(',', sort { $a <=> $b } @got), join(',', @ids),
	'a cursor kept open over other queries gives each row once');
run_sql($session, 'COMMIT');

run_sql($session, 'BEGIN', "DECLARE c SCROLL CURSOR FOR $all WHERE kind = 'EI'");
my $forward = $session->value('FETCH 4 FROM c');
my $backward = $session->value('FETCH BACKWARD ALL FROM c');
is(join(',', reverse split /\n/, $backward),
	join(',', (split /\n/, $forward)[0 .. 2]), 'SCROLL: backward');
is($session->value('FETCH 4 FROM c'), $forward, 'and forward again');
run_sql($session, 'COMMIT');

run_sql($session, 'BEGIN', "DECLARE a CURSOR FOR $all WHERE kind = 'EI'",
	"DECLARE b CURSOR FOR $all WHERE kind = 'EI'");
my $from_a = $session->value('FETCH 3 FROM a');
asks($session, 'FETCH 3 FROM b', 0, "$from_a\n", 'two scans of the same request share it');
run_sql($session, 'CLOSE a');
is(scalar(split /\n/, $session->value('FETCH ALL FROM b')), @ids - 3,
	'and one goes on when the other is closed');
run_sql($session, 'COMMIT');

stub_latency(100);
run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $all WHERE kind = 'EI'", 'FETCH 1 FROM c');
run_sql($session, 'ROLLBACK');
stub_latency(0);
wait_until_idle();
pass('ROLLBACK with a scan open');

still_works($session, 'the session goes on after all these');
done_testing();
