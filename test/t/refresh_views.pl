# The recipe of doc/register.md for dashboards, executed from the page: a
# materialized view that is refreshed while it is read, whose content stays
# when the API fails.  pg_regress cannot show it: it takes faults, and readers
# meanwhile.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Encode 'decode';
use Test::More;

my $page = decode('UTF-8', slurp_bytes(root() . '/doc/register.md'));
my ($section) = $page =~ /^## Dashboards\n(.*)/ms;
my ($recipe, $refresh) = $section =~ /^```sql\n(.*?)^```/msg;
like($refresh, qr/CONCURRENTLY/, 'the page holds a view and its refresh');

my $node = new_cluster('refresh_views');
my $owner = session($node);
my $lists = qr{^/api/siae/};
my $count = 'SELECT count(*), count(DISTINCT id) FROM tableau.structures';
$node->safe_psql('postgres', $recipe);
my $all = $owner->value('SELECT count(*) FROM marche_inclusion.structures');
is($owner->value($count), "$all|$all", 'the view holds the list');

# ===================================================================
# Who reads it asks nobody, and needs no other right
# ===================================================================
my $reader = session($node, user => 'tableau_de_bord');
asks($reader, $count, 0, "$all|$all\n", 'the dashboard reads it');
refuses($reader, 'SELECT count(*) FROM marche_inclusion.structures', { sqlstate => '42501', requests => 0 }, 'and nothing else');
refuses($reader, $refresh, { sqlstate => '42501', requests => 0 }, 'nor does it refresh it');
my $before = $owner->value('SELECT max(obtenu_le) FROM tableau.structures');

# ===================================================================
# Readers go on while it is refreshed, and see the old rows or the new
# ===================================================================
ApigouvTest::control('data', { api => 'marche_inclusion', add => 5 });
faults({ api => 'marche_inclusion', path => '/api/siae/', delay_ms => 1000 });
ApigouvTest::control('forget', {});
$owner->start($refresh);
wait_for_requests(1, path => $lists);
is($reader->value($count), "$all|$all", 'while the API is asked, the old content');
is($owner->finish->{sqlstate}, undef, 'it is refreshed');
is($reader->value($count), join('|', ($all + 5) x 2), 'then the new content');
is($owner->value("SELECT max(obtenu_le) > '$before' FROM tableau.structures"), 't', 'whose age is told');

# ===================================================================
# When the API fails, the content stays
# ===================================================================
run_sql($owner, "ALTER SERVER marche_inclusion OPTIONS (ADD retries '0')");
my $age = $owner->value('SELECT max(obtenu_le) FROM tableau.structures');
for my $case (
	[ 'an API in maintenance', { status => 503, body => '<html>' }, 'HV00M' ],
	[ 'a list that breaks off', { action => 'cut' }, '08006' ],
	[ 'a token that has ended', { status => 401, body => '' }, '28000' ],
	[ 'an exhausted quota', { status => 429, headers => { 'Retry-After' => '600' }, body => '' }, '53400' ])
{
	my ($name, $fault, $sqlstate) = @$case;
	faults({ api => 'marche_inclusion', path => '/api/siae/', times => -1, %$fault });
	refuses($owner, $refresh, { sqlstate => $sqlstate }, "$name: REFRESH fails");
	is($reader->value($count), join('|', ($all + 5) x 2), "$name: the view keeps its content");
	is($owner->value('SELECT max(obtenu_le) FROM tableau.structures'), $age, "$name: which says how old it is");
	faults();
	run_sql($owner, 'SELECT apigouv_quota_forget()');
}
is($owner->query($refresh)->{sqlstate}, undef, 'the next one succeeds');
is($owner->value("SELECT max(obtenu_le) > '$age' FROM tableau.structures"), 't', 'and renews it');

# ===================================================================
# By a job: as the owner; a cancel leaves the content
# ===================================================================
faults({ api => 'marche_inclusion', path => '/api/siae/', action => 'stall' });
ApigouvTest::control('forget', {});
$owner->start($refresh);
wait_for_requests(1, path => $lists);
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $owner->pid . ')');
is($owner->finish->{sqlstate}, '57014', 'cancelled');
is($reader->value($count), join('|', ($all + 5) x 2), 'the view keeps its content');

done_testing();
