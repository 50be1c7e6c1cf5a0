# What a transaction remembers and what it forgets: its replies, with
# savepoints and procedures that commit.  pg_regress cannot show it: the proof
# is the requests received.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('xact', "max_prepared_transactions = 2\n");
my $session = session($node);
my $siret = $ApigouvTest::SIRET;
my $one = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";
my $all = 'SELECT id FROM marche_inclusion.structures';

# ===================================================================
# A reply lasts as long as its transaction
# ===================================================================
asks($session, $one, 1, "2\n", 'one transaction: a request');
asks($session, $one, 1, "2\n", 'the next: another');
run_sql($session, 'BEGIN');
asks($session, $one, 1, "2\n", 'a block: a request');
asks($session, $one, 0, "2\n", 'the same query again: none');
asks($session, "SELECT count(name) FROM marche_inclusion.structures WHERE siret IN ('$siret')",
	0, "2\n", 'another query that asks the same: none');
run_sql($session, 'COMMIT');
run_sql($session, 'BEGIN');
asks($session, $one, 1, "2\n", 'after COMMIT: a request');
run_sql($session, 'ROLLBACK');
asks($session, $one, 1, "2\n", 'after ROLLBACK: a request');

run_sql($session, 'BEGIN');
my $unknown = "SELECT count(*) FROM marche_inclusion.structures WHERE id = 999999";
asks($session, $unknown, 1, "0\n", 'a 404');
asks($session, $unknown, 0, "0\n", 'is remembered as well');
run_sql($session, 'COMMIT');

faults({ api => 'marche_inclusion', status => 500, body => '', times => 1 });
run_sql($session, 'BEGIN', 'SAVEPOINT here');
asks($session, $one, 1, 'HV00M', 'an error');
run_sql($session, 'ROLLBACK TO here');
asks($session, $one, 1, "2\n", 'is not remembered: the next query asks anew');
run_sql($session, 'COMMIT');

# ===================================================================
# Savepoints: what was obtained in one that is rolled back was obtained
# ===================================================================
run_sql($session, 'BEGIN', 'SAVEPOINT here');
asks($session, $one, 1, "2\n", 'in a savepoint: a request');
run_sql($session, 'ROLLBACK TO here');
asks($session, $one, 0, "2\n", 'after it is rolled back: none');
run_sql($session, 'SAVEPOINT there');
asks($session, "SELECT count(*) / 0 FROM marche_inclusion.structures WHERE siret = '$siret'",
	0, '22012', 'an error of the query itself');
run_sql($session, 'ROLLBACK TO there');
asks($session, $one, 0, "2\n", 'costs no request');
run_sql($session, 'COMMIT');

run_sql($session, 'BEGIN', 'SAVEPOINT here',
	"DECLARE c CURSOR FOR $all WHERE kind = 'EI'", 'FETCH 3 FROM c',
	'ROLLBACK TO here');
asks($session, 'FETCH 1 FROM c', 0, '34000', 'a scan open in a savepoint goes with it');
run_sql($session, 'ROLLBACK TO here');
asks($session, $one, 1, "2\n", 'and the transaction goes on');
run_sql($session, 'COMMIT');

run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $all WHERE kind = 'EI' ORDER BY id");
run_sql($session, 'FETCH 3 FROM c', 'SAVEPOINT here');
$session->query('SELECT 1 / 0');
run_sql($session, 'ROLLBACK TO here');
my $rest = $session->value("MOVE ALL FROM c") . $session->value("SELECT 'moved'");
like($rest, qr/moved/, 'a scan begun before a savepoint outlives its rollback');
run_sql($session, 'COMMIT');

# ===================================================================
# Procedures that commit
# ===================================================================
run_sql($session, <<"SQL");
CREATE PROCEDURE commits(n integer) LANGUAGE plpgsql AS \$\$
DECLARE found integer;
BEGIN
	FOR i IN 1 .. n LOOP
		found := ($one);
		IF found <> 2 THEN RAISE EXCEPTION 'found %', found; END IF;
		found := ($one);
		IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
	END LOOP;
END \$\$
SQL
asks($session, 'CALL commits(20)', 20, '', 'a procedure that commits 20 times: 20 requests');

run_sql($session, <<"SQL");
CREATE PROCEDURE commits_in_loop() LANGUAGE plpgsql AS \$\$
DECLARE r record; n integer := 0;
BEGIN
	FOR r IN $all WHERE kind = 'EI' LOOP
		n := n + 1;
		COMMIT;
	END LOOP;
	RAISE NOTICE 'rows %', n;
END \$\$
SQL
is($session->query('CALL commits_in_loop()')->{notices}[0],
	'rows ' . (split /\n/, $session->value("$all WHERE kind = 'EI'")), 'a loop over a scan that commits at each row');

# ===================================================================
# Two-phase commit
# ===================================================================
run_sql($session, 'BEGIN');
asks($session, $one, 1, "2\n", 'a transaction to be prepared: a request');
run_sql($session, "PREPARE TRANSACTION 'two'");
asks($session, $one, 1, "2\n", 'after PREPARE TRANSACTION: another');
run_sql($session, "COMMIT PREPARED 'two'");

still_works($session, 'the session goes on after all these');
done_testing();
