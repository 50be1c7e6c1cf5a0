# Pages of a list that travel before the scan comes to them: how many, when,
# and that nothing of them is felt before their turn.  pg_regress cannot show
# it: replies that stall half way, rows that are held up while the log of the
# local API server is looked at, and replies ordered for single pages.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use JSON::PP;
use Test::More;

my $node = new_cluster('pages');
my $definitions = own_definitions($node);
my $url = stub_url();

# Change a definition: a sub gets it as data.
sub change_definition
{
	my ($file, $change) = @_;
	my $json = JSON::PP->new->utf8;
	my $data = $json->decode(slurp_bytes("$definitions/$file"));
	$change->($data);
	open(my $out, '>', "$definitions/$file") or die "$file: $!";
	print $out $json->encode($data);
	close $out;
	return;
}

# Small pages, so that a reply comes in one piece, of a list under a limit; and
# one whose replies tell no total.
change_definition('pages/structures.json', sub {
	my ($table) = @_;
	$table->{routes}[0]{paging}{default_size} = 20;
	$table->{routes}[0]{limit} = 'appels';
});
system("cp $definitions/pages/structures.json $definitions/pages/sans_total.json") == 0 or die;
change_definition('pages/sans_total.json', sub {
	my ($table) = @_;
	$table->{table} = 'sans_total';
	delete $table->{routes}[0]{total};
});
change_definition('pages.json', sub {
	my ($api) = @_;
	push @{ $api->{tables} }, 'sans_total';
	$api->{limits} =
	  { appels => { requests => 100000, window_s => 1, counted_by => 'authorisation' } };
});

my $control = session($node);
my %lists = (
	pages => [ "$url/data_inclusion/api/v1", token('data_inclusion') ],
	essai => [ "$url/marche_inclusion/api", token('marche_inclusion') ]);
for my $api (sort keys %lists)
{
	run_sql($control,
		"CREATE SERVER $api FOREIGN DATA WRAPPER apigouv_fdw"
		. " OPTIONS (api '$api', base_url '$lists{$api}[0]', retries '0', max_concurrency '8')",
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $api OPTIONS (token '$lists{$api}[1]')",
		"CREATE SCHEMA $api", "IMPORT FOREIGN SCHEMA $api FROM SERVER $api INTO $api");
}
run_sql($control, 'CREATE SEQUENCE given');

# pages.structures: its total comes after its rows, twenty in a page.
# essai.perimetres: 240 rows, the total before them, fifty in a page.
my $PAGES = $control->value('SELECT ceil(count(*) / 20.0) FROM pages.structures');
cmp_ok($PAGES, '>', 40, 'a list of many pages');

# Numbers of the pages asked for, in order.
sub asked
{
	return join ' ', sort { $a <=> $b }
	  map { $_->{query} =~ /\b(?:page|offset)=(\d+)/ ? $1 : 0 } requests();
}

# A session with eight connections to a server, whose requests leave at once.
sub connected
{
	my ($table) = @_;
	my $session = session($node);
	run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');
	stub_reset();
	stub_latency(50);
	$session->query("SELECT count(id) FROM $table");
	stub_latency(0);
	stub_reset();
	return $session;
}

my $first = connected('pages.structures');
my ($result, @log);

# ===================================================================
# All rows are wanted: all pages are asked for when the total is known
# ===================================================================
{
	my $session = connected('essai.perimetres');
	faults({ api => 'marche_inclusion', path => '/api/perimeters/', action => 'stall_body' });
	$session->start('SELECT count(id) FROM essai.perimetres');
	wait_for_requests(5);
	is(scalar(in_flight()), 1, 'a total before the rows: four pages come while the first is half read');
	is(asked(), '0 50 100 150 200', 'each once');
	stub_reset();
	is($session->finish->{sqlstate}, '08006', 'and its loss is an error all the same');
	is($session->value('SELECT count(id) FROM essai.perimetres'), '240', 'all rows are there');
}

# Hold a query up at its tenth row, until $do has looked at what was asked for.
sub held_up
{
	my ($session, $from, $do) = @_;
	run_sql($control, 'SELECT pg_advisory_lock(1)', 'ALTER SEQUENCE given RESTART');
	$session->start("SELECT count(id), count(CASE WHEN nextval('given') = 10"
		. " THEN pg_advisory_xact_lock_shared(1) IS NULL END) FROM $from");
	eval { $do->(); 1 } or fail($@);
	run_sql($control, 'SELECT pg_advisory_unlock(1)');
	return $session->finish;
}

my $total = $first->value('SELECT count(id) FROM pages.structures');
stub_reset();
$result = held_up($first, 'pages.structures', sub {
	wait_for_requests(9);
	wait_until_idle();
	is(asked(), '1 2 3 4 5 6 7 8 9', 'a total after the rows is known when the reply is whole: eight pages come');
});
is($result->{out}, "$total|1\n", 'all rows are there');
is(scalar(requests()), $PAGES, 'each page was asked for once');

stub_reset();
$result = held_up($first, 'pages.sans_total', sub {
	wait_for_requests(2);
	wait_until_idle();
	is(asked(), '1 2', 'no total: a full page has a next one');
});
is($result->{out}, "$total|1\n", 'all rows are there');
is(asked(), join(' ', 1 .. $PAGES), 'and no page after the last');

run_sql($control, "ALTER SERVER pages OPTIONS (SET max_concurrency '2')");
stub_reset();
$result = held_up($first, 'pages.structures', sub {
	wait_for_requests(3);
	wait_until_idle();
	is(asked(), '1 2 3', 'max_concurrency 2: two pages ahead');
});
is($result->{out}, "$total|1\n", 'all rows are there');
run_sql($control, "ALTER SERVER pages OPTIONS (SET max_concurrency '8')");

run_sql($first, "SET apigouv_fdw.cache_size = '64kB'");
stub_reset();
$result = held_up($first, 'pages.structures', sub {
	wait_for_requests(2);
	wait_until_idle();
	like(asked(), qr/^1 2(?: 3)?$/, 'little memory: fewer pages ahead');
});
is($result->{out}, "$total|1\n", 'all rows are there');
run_sql($first, 'RESET apigouv_fdw.cache_size');

# ===================================================================
# A query that may stop early: one page, then 2, 4 ... in hand
# ===================================================================
# Open a cursor; move it, and see which pages were asked for by then.
sub moves
{
	my ($session, $query, $name, @steps) = @_;
	stub_reset();
	run_sql($session, 'BEGIN', "DECLARE c NO SCROLL CURSOR FOR $query");
	while (my ($rows, $pages) = splice @steps, 0, 2)
	{
		run_sql($session, "MOVE $rows FROM c");
		wait_for_requests(scalar(my @pages = split / /, $pages));
		is(asked(), $pages, "$name: $rows rows on");
	}
	run_sql($session, 'ROLLBACK');
	wait_until_idle();
	return;
}

moves($first, 'SELECT id FROM pages.structures', 'a cursor',
	1 => '1',
	19 => '1',
	1 => '1 2 3',
	20 => '1 2 3 4 5 6',
	20 => '1 2 3 4 5 6 7 8 9 10 11',
	20 => '1 2 3 4 5 6 7 8 9 10 11 12 13');
moves($first, 'SELECT id FROM pages.sans_total', 'without a total',
	20 => '1', 1 => '1 2', 1 => '1 2 3', 18 => '1 2 3');

asks($first, 'SELECT count(*) FROM (SELECT id FROM pages.structures LIMIT 20) s', 1, "20\n",
	'a LIMIT that one page satisfies');
moves($first, 'SELECT id FROM pages.structures LIMIT 70', 'a LIMIT of four pages',
	2 => '1 2 3 4', ALL => '1 2 3 4');
asks($first, 'SELECT count(*) FROM (SELECT id FROM pages.structures OFFSET 30 LIMIT 20) s', 3, "20\n",
	'an OFFSET counts');
asks($first, "SELECT count(*) FROM (SELECT id FROM pages.structures WHERE nom <> '' LIMIT 10) s", 1, "10\n",
	'a LIMIT over a condition that is checked here');

# ===================================================================
# An error of a page ahead
# ===================================================================
sub broken_page
{
	return { api => 'data_inclusion', path => '/api/v1/structures', query => { size => 20, page => $_[0] },
		status => 400, reply => { detail => 'No.' } };
}

# its rows are in the third page, which no LIMIT tells
stub_reset();
replay(broken_page(4));
run_sql($control, 'ALTER SEQUENCE given RESTART');
is($first->value("SELECT count(*) FROM (SELECT id FROM pages.structures WHERE nextval('given') > 50 LIMIT 5) s"),
	'5', 'does not come when a LIMIT stops before it');
is(asked(), '1 2 3 4', 'though it was asked for');
replay(broken_page(3));
run_sql($first, 'BEGIN', 'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures', 'MOVE 30 FROM c');
is($first->value('SELECT count(*) FROM (SELECT 1) s'), '1', 'nor before its turn');
is($first->value('MOVE 10 FROM c'), '', 'all rows before it are given');
refuses($first, 'MOVE 1 FROM c', { sqlstate => 'HV00M', message => qr/HTTP status 400/, detail => qr/400/ }, 'it comes then');
run_sql($first, 'ROLLBACK');
replay();
is($first->value('SELECT count(id) FROM pages.structures'), $total, 'and is forgotten');

# ===================================================================
# The query's requests
# ===================================================================
stub_reset();
run_sql($first, 'SET apigouv_fdw.max_requests_per_query = 2', 'BEGIN',
	'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures', 'MOVE 40 FROM c');
is(asked(), '1 2', 'no page ahead is asked for past them');
refuses($first, 'MOVE 1 FROM c', { sqlstate => '53400', message => 'query needs more requests than allowed',
		detail => qr/is 2; this query has made 2 and needs at least 1 more/, requests => 0 },
	'the error comes when the scan comes to it');
run_sql($first, 'ROLLBACK');
stub_reset();
refuses($first, 'SELECT count(id) FROM pages.structures',
	{ sqlstate => '53400', detail => qr/is 2; this query has made 2 and needs at least 1 more/, requests => 1 },
	'all rows of a list that needs more: none is asked for in vain');
run_sql($first, "SET apigouv_fdw.max_requests_per_query = $PAGES");
is($first->value('SELECT count(id) FROM pages.structures'), $total, 'as many as its pages are enough');
run_sql($first, 'RESET apigouv_fdw.max_requests_per_query');

# ===================================================================
# The total changes under way
# ===================================================================
for my $after (1 .. 3)
{
	stub_reset();
	ApigouvTest::control('data', { api => 'data_inclusion', add => 5, after => $after });
	refuses($first, 'SELECT count(id) FROM pages.structures',
		{ sqlstate => '40001', message => 'data of foreign server "pages" changed while they were read' },
		"after page $after, with pages ahead");
	cmp_ok($first->value('SELECT count(id) FROM pages.structures'), '>', $total, 'run again, it gives the new rows');
}
stub_reset();

# a LIMIT that stops within a page, whose total comes before its rows
replay({ api => 'marche_inclusion', path => '/api/perimeters/', query => { limit => 50, offset => 50 },
	status => 200, reply => {
		count => 241, next => undef, previous => undef,
		results => [ map { { id => $_, name => 'Commune', post_codes => [] } } 1 .. 50 ] } });
my $sixty = 'SELECT count(id) FROM (SELECT id FROM essai.perimetres LIMIT 60) s';
refuses($first, $sixty, { sqlstate => '40001', requests => 2 }, 'rows of two states are not given under a LIMIT either');
replay();
is($first->value($sixty), '60', 'run again, it gives the rows of one');

# ===================================================================
# Limits: a page ahead that gets no slot is asked for at its turn
# ===================================================================
run_sql($control, "ALTER SERVER pages OPTIONS (ADD limits 'appels=2/1s', ADD quota_wait_ms '100')",
	'SELECT apigouv_quota_forget()', 'SELECT pg_sleep(1.1)');
stub_reset();
run_sql($first, 'BEGIN', 'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures', 'MOVE 21 FROM c');
wait_for_requests(2);
is(asked(), '1 2', 'two pages of a limit of two: the third is not sent');
is($first->value('MOVE 19 FROM c'), '', 'nor felt');
run_sql($first, 'SELECT pg_sleep(1.1)');
is($first->query('FETCH 1 FROM c')->{out} =~ tr/\n//, 1, 'it is sent when the scan comes to it');
run_sql($first, 'ROLLBACK', 'SELECT pg_sleep(1.1)');
refuses($first, 'SELECT count(id) FROM pages.structures', { sqlstate => '53400', message => qr/quota/ },
	'a query that wants all rows is refused');

# whoever comes to it: here another scan of the same transaction
run_sql($control, "ALTER SERVER pages OPTIONS (SET limits 'appels=1/600s')", 'SELECT apigouv_quota_forget()');
stub_reset();
run_sql($first, 'BEGIN', 'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM pages.structures LIMIT 40', 'MOVE 2 FROM c');
is(asked(), '1', 'the second of two pages gets no slot');
run_sql($control, 'SELECT apigouv_quota_forget()');
run_sql($first, 'DECLARE d NO SCROLL CURSOR FOR SELECT id FROM pages.structures', 'MOVE 20 FROM d');
is($first->query('FETCH 1 FROM d')->{out} =~ tr/\n//, 1, 'another scan comes to it: it is sent');
is($first->query('FETCH ALL FROM c')->{out} =~ tr/\n//, 38, 'for both');
is(asked(), '1 2', 'once');
run_sql($first, 'ROLLBACK');
run_sql($control, 'ALTER SERVER pages OPTIONS (DROP limits, DROP quota_wait_ms)');

# ===================================================================
# A first page that is smaller than those that follow
# ===================================================================
# A LIMIT whose rows seem to be in the first page, and are not: the next page
# holds the rows of the first, and all others.  It is short, hence the last.
change_definition('pages/sans_total.json', sub { $_[0]{routes}[0]{paging}{default_size} = $total + 10; });
# else all rows would be asked for at once
run_sql($control, "ALTER FOREIGN TABLE pages.sans_total OPTIONS (ADD rows '1000000')");
stub_reset();
asks(session($node), 'SELECT count(*) FROM (SELECT id FROM pages.sans_total WHERE length(nom) <> length(nom) LIMIT 30) s',
	2, "0\n", 'no total: rows that two pages hold are counted once');
is(asked(), '1 1', 'no page is asked for after a short one');

done_testing();
