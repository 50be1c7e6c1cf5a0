# A consumer that takes its time does not make a reply late: time-outs count
# the time that the backend attends to its requests.  And a request that is
# cancelled leaves nothing behind that a later one could trip over.
# pg_regress cannot show it: a server whose time-out is short, replies that
# stall when told to, and a cancel from outside.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('slow_consumers');
my $session = session($node);

# ===================================================================
# The client, or the query, pauses for longer than the time-out
# ===================================================================
run_sql($session, "ALTER SERVER marche_inclusion OPTIONS (ADD timeout_ms '1000')");
is($session->value(
		"SELECT count(pg_sleep(0.3)) FROM marche_inclusion.structures"
		. " WHERE id = ANY (ARRAY(SELECT generate_series(1001, 1010)))"),
	10, 'look-ups begun ahead wait for a slow function');

run_sql($session, 'BEGIN',
	'DECLARE c CURSOR FOR SELECT id FROM marche_inclusion.structures',
	'FETCH 1 FROM c', 'SELECT pg_sleep(1.5)');
cmp_ok(scalar(split /\n/, $session->value('FETCH ALL FROM c')), '>', 100,
	'a streamed list waits for a cursor that pauses');
run_sql($session, 'COMMIT');

faults({ api => 'marche_inclusion', path => '*', times => -1, action => 'stall' });
refuses($session, 'SELECT id FROM marche_inclusion.structures WHERE id = 1001',
	{ sqlstate => '08006' }, 'while a reply that does not come is late');
stub_reset();
run_sql($session, 'ALTER SERVER marche_inclusion OPTIONS (DROP timeout_ms)');

# ===================================================================
# A token request that is cancelled ends with its query
# ===================================================================
my $fresh = session($node);
faults({ api => 'marche_travail', path => '/connexion/oauth2/access_token',
	times => -1, status => 503, body => '', delay_ms => 700 });
run_sql($fresh, 'BEGIN', 'SAVEPOINT s', "SET LOCAL statement_timeout = '200ms'");
refuses($fresh,
	"SELECT count(*) FROM marche_travail.marche_travail_activites WHERE code_type_activite = 'ROME'",
	{ sqlstate => '57014' }, 'a token request is cancelled');
run_sql($fresh, 'ROLLBACK TO s', 'SET LOCAL statement_timeout = 0');
for my $n (1 .. 5)
{
	my $first = 1000 + $n * 10;
	$fresh->query("SELECT repeat('x', 100000), count(*) FROM generate_series(1, 1000)");
	is($fresh->value("SELECT count(id) >= 0 FROM marche_inclusion.structures"
			. " WHERE id = ANY (ARRAY(SELECT generate_series($first, $first + 5)))"),
		't', "and the transaction goes on: $n");
}
run_sql($fresh, 'COMMIT');
stub_reset();
still_works($fresh, 'the session goes on');
done_testing();
