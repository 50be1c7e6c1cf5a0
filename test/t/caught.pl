# API errors caught by the hundred in one transaction: nothing is left of them.
# pg_regress cannot show it: the failures are ordered from the local API
# server, and the descriptors of the backend are looked at from outside.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('caught');
my $session = session($node);

run_sql($session, <<"SQL");
CREATE FUNCTION catches(n integer) RETURNS integer LANGUAGE plpgsql AS \$\$
DECLARE caught integer := 0; dummy bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		BEGIN
			SELECT count(*) INTO dummy FROM marche_inclusion.structures WHERE id = i;
		EXCEPTION WHEN fdw_unable_to_create_reply THEN
			caught := caught + 1;
		END;
	END LOOP;
	RETURN caught;
END \$\$
SQL
faults({ api => 'marche_inclusion', status => 500, body => 'x', times => -1 });
$session->value('SELECT catches(20)');
my $before = descriptors($session);
asks($session, 'SELECT catches(500)', 500, "500\n", '500 errors caught in one transaction');
cmp_ok(descriptors($session), '<=', $before + 4,
	'and about as many descriptors as after 20');

faults({ api => 'marche_inclusion', action => 'cut', times => -1 });
$session->query("ALTER SERVER marche_inclusion OPTIONS (ADD retries '0')");
run_sql($session, <<"SQL");
CREATE OR REPLACE FUNCTION catches(n integer) RETURNS integer LANGUAGE plpgsql AS \$\$
DECLARE caught integer := 0; dummy bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		BEGIN
			SELECT count(*) INTO dummy FROM marche_inclusion.structures
			WHERE updated_at >= timestamptz '2020-01-01 00:00Z' + i * interval '1 second';
		EXCEPTION WHEN connection_failure THEN
			caught := caught + 1;
		END;
	END LOOP;
	RETURN caught;
END \$\$
SQL
$session->value('SELECT catches(20)');
$before = descriptors($session);
asks($session, 'SELECT catches(500)', 500, "500\n", '500 replies cut short, caught in one transaction');
cmp_ok(descriptors($session), '<=', $before + 4,
	'and about as many descriptors as after 20');

still_works($session, 'the session goes on after all these');
done_testing();
