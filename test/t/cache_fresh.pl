# apigouv_fdw.fresh: data past every cache but the transaction's own, and what
# is asked so is kept nowhere.  pg_regress cannot show it: transactions fail,
# and headers that arrived are looked at.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('cache_fresh');
my $control = session($node);
my $session = session($node);
my $query = $ApigouvTest::GOOD_QUERY;
my $time = "SELECT max(obtenu_le) FROM marche_inclusion.structures WHERE siret = '$ApigouvTest::SIRET'";

# ===================================================================
# Replies of the cluster: neither read nor written
# ===================================================================
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600')");
asks($session, $query, 1, "2\n", 'asked for the first time');
asks($session, $query, 0, "2\n", 'the cluster has the reply');
my $first = $session->value($time);
run_sql($session, 'SET apigouv_fdw.fresh = on');
asks($session, $query, 1, "2\n", 'fresh: asked');
asks($session, $query, 1, "2\n", 'fresh, in another transaction: asked again');
isnt($session->value($time), $first, 'a reply of now');
run_sql($session, 'RESET apigouv_fdw.fresh');
asks($session, $query, 0, "2\n", 'the cluster still has a reply');
is($session->value($time), $first, 'and it is the one it had');

# ===================================================================
# Within a transaction: one reply for what is asked fresh, one for the rest
# ===================================================================
run_sql($session, 'BEGIN');
asks($session, $query, 0, "2\n", 'from the cluster');
run_sql($session, 'SET LOCAL apigouv_fdw.fresh = on');
asks($session, $query, 1, "2\n", 'fresh: asked, though the transaction has a reply');
asks($session, $query, 0, "2\n", 'fresh again: the same reply');
run_sql($session, 'SET LOCAL apigouv_fdw.fresh = off', 'COMMIT');

# a cursor goes on as it has begun
run_sql($session, 'BEGIN', 'SET LOCAL apigouv_fdw.fresh = on',
	"DECLARE c CURSOR FOR SELECT 'row' FROM marche_inclusion.structures WHERE siret IN ('00000301200010', '00000302000013')");
asks($session, 'FETCH 1 FROM c', 1, "row\n", 'a cursor is opened and read fresh');
run_sql($session, 'SET LOCAL apigouv_fdw.fresh = off');
my $rest = counted($session, 'FETCH ALL FROM c');
is($rest->{requests}, 1, 'the rest of it too');
run_sql($session, 'COMMIT');

# ===================================================================
# Only caches may be read: what must be fresh is refused
# ===================================================================
run_sql($session, 'SET apigouv_fdw.max_requests_per_query = 0');
asks($session, $query, 0, "2\n", 'without requests, from the cluster');
run_sql($session, 'SET apigouv_fdw.fresh = on');
refuses($session, $query, { sqlstate => '53400', requests => 0 }, 'fresh, without requests');
run_sql($session, 'RESET apigouv_fdw.fresh', 'RESET apigouv_fdw.max_requests_per_query');

# ===================================================================
# What a failed transaction leaves: the same
# ===================================================================
run_sql($control, "ALTER SERVER marche_inclusion OPTIONS (DROP cache_ttl_s)");
sub fails_after
{
	my ($sql) = @_;
	run_sql($session, 'BEGIN', $sql);
	refuses($session, 'SELECT 1 / 0', { sqlstate => '22012' }, 'the transaction fails');
	run_sql($session, 'ROLLBACK');
	return;
}
fails_after($query);
asks($session, $query, 0, "2\n", 'the next transaction has what the failed one left');
fails_after($query);
run_sql($session, 'SET apigouv_fdw.fresh = on');
asks($session, $query, 1, "2\n", 'fresh: asked');
fails_after($query);
run_sql($session, 'RESET apigouv_fdw.fresh');
my $other = session($node);
run_sql($other, 'SET apigouv_fdw.fresh = on', 'BEGIN', $query);
refuses($other, 'SELECT 1 / 0', { sqlstate => '22012' }, 'a transaction that has asked fresh fails');
run_sql($other, 'ROLLBACK', 'RESET apigouv_fdw.fresh');
asks($other, $query, 1, "2\n", 'and leaves nothing');

# ===================================================================
# The header: of APIs that know it
# ===================================================================
stub_reset();
run_sql($session, 'SET apigouv_fdw.fresh = on', $query,
	"SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$ApigouvTest::SIRET'",
	"SELECT siren FROM entreprise.entreprise_certifications_rge WHERE siren = '$ApigouvTest::SIREN'");
is(join(' ', map { $_->{headers}{'cache-control'} // 'none' } requests(api => 'entreprise')),
	'no-cache no-cache no-cache', 'with each request of API Entreprise, a first one to find a value included');
is(join(' ', map { $_->{headers}{'cache-control'} // 'none' } requests(api => 'marche_inclusion')),
	'none', 'with none of an API without such caches');
stub_reset();
run_sql($session, 'RESET apigouv_fdw.fresh',
	"SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$ApigouvTest::SIRET'");
is(join(' ', map { $_->{headers}{'cache-control'} // 'none' } requests(api => 'entreprise')),
	'none', 'and with none when it is not asked for');

done_testing();
