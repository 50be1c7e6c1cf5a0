# apigouv_comment_tables while others drop what it is about to comment.
# pg_regress cannot show it: it takes two sessions.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('comments');
my $control = session($node);
my $session = session($node);

run_sql($control, 'CREATE SCHEMA essai',
	(map { "CREATE FOREIGN TABLE essai.$_ (id text) SERVER data_inclusion OPTIONS (\"table\" 'structures')" } qw(une deux trois)),
	'CREATE FOREIGN TABLE essai.structures (id text) SERVER data_inclusion');

# the first is locked, and two of those that follow go before it is free
run_sql($control, 'BEGIN', "COMMENT ON FOREIGN TABLE essai.une IS 'à nous'", 'DROP FOREIGN TABLE essai.deux, essai.structures');
$session->start("SELECT apigouv_comment_tables('essai')");
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted') or die 'no lock is waited for';
run_sql($control, 'COMMIT');
my $result = $session->finish;
is($result->{sqlstate}, undef, 'tables that are gone are passed over') or diag($result->{err});
is($result->{out}, "4\n", 'the others and their columns are commented');
is($control->value("SELECT count(DISTINCT obj_description(c, 'pg_class')) FROM unnest('{essai.une, essai.trois}'::regclass[]) AS c"),
	1, 'after the comment that was waited for');

done_testing();
