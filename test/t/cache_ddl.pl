# What clears the caches: DDL, which nothing here may hinder, and
# apigouv_clear_cache, which holds for what was received before it.  Caches
# only means that nothing is sent.  pg_regress cannot show it: sessions,
# transactions that fail, tokens and definitions are changed meanwhile.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('cache_ddl', "autovacuum = off\n");
my $siret = $ApigouvTest::SIRET;
my $one = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";
my $session = session($node);

# The cluster's cache is in use, else DDL looks at nothing.
run_sql($session, "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600')");
asks($session, $one, 1, "2\n", 'a reply is kept for the cluster');
asks($session, $one, 0, "2\n", 'and serves');

# done(statement, name): it succeeds
sub done_well
{
	my ($sql, $name) = @_;
	my $result = $session->query($sql);
	is($result->{sqlstate}, undef, $name) or diag($result->{err});
	return;
}

# ===================================================================
# DDL goes on
# ===================================================================
# a token so long that it is stored out of line, replaced time and again
sub long_token { return join '', map { sprintf '%08x', ($_ * 2654435761 + $_[0] * 40503) % 4294967296 } 1 .. 480 }
run_sql($session, 'CREATE ROLE bob',
	"CREATE USER MAPPING FOR bob SERVER marche_inclusion OPTIONS (token '" . long_token(0) . "')");
done_well("ALTER USER MAPPING FOR bob SERVER marche_inclusion OPTIONS (SET token '" . long_token($_) . "')",
	"long token $_")
  for 1 .. 3;
asks($session, $one, 0, "2\n", "another role's mapping: what was kept for this one's stays");
done_well("ALTER SERVER marche_inclusion OPTIONS (ADD connect_timeout_ms '5000')", 'then ALTER SERVER');
done_well('DROP USER MAPPING FOR bob SERVER marche_inclusion', 'and DROP USER MAPPING');

run_sql($session, 'CREATE FOREIGN DATA WRAPPER autre',
	"CREATE SERVER ailleurs FOREIGN DATA WRAPPER autre OPTIONS (retries 'five', api 'x')");
asks($session, $one, 1, "2\n", 'asked anew after ALTER SERVER');
done_well("ALTER SERVER ailleurs OPTIONS (SET api 'y')", 'a server of another wrapper is altered');
done_well('DROP SERVER ailleurs', 'and dropped, whatever its options mean');
asks($session, $one, 0, "2\n", 'which clears nothing here');

my $definitions = own_definitions($node);
open(my $file, '>', "$definitions/marche_inclusion.json") or die;
print $file '{';
close $file;
$session = session($node);
run_sql($session, "SET apigouv_fdw.definition_dir = '$definitions'");
done_well('DROP FOREIGN TABLE marche_inclusion.structures', 'a table of a definition that cannot be read is dropped');
done_well('DROP SERVER marche_inclusion CASCADE', 'and its server');

# ===================================================================
# A mapping takes along what its own credentials have brought
# ===================================================================
$node = new_cluster('cache_mappings');
$session = session($node);
$node->safe_psql('postgres', <<"SQL");
ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600');
CREATE ROLE bob LOGIN;
GRANT USAGE ON FOREIGN SERVER marche_inclusion TO bob;
GRANT USAGE ON SCHEMA marche_inclusion TO bob;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion TO bob;
CREATE USER MAPPING FOR bob SERVER marche_inclusion OPTIONS (token '@{[ token('marche_inclusion_autre') ]}');
SQL
my $bob = session($node, user => 'bob');
asks($_, $one, 1, "2\n", 'each has a reply') for $session, $bob;
run_sql($bob, "ALTER USER MAPPING FOR bob SERVER marche_inclusion OPTIONS (SET token 'unautrejetondebob')");
asks($session, $one, 0, "2\n", 'a role with USAGE changes its mapping: the reply of another stays');
run_sql($bob, "ALTER USER MAPPING FOR bob SERVER marche_inclusion OPTIONS (SET token '"
	. token('marche_inclusion_autre') . "')");
asks($bob, $one, 1, "2\n", 'its own is gone');
run_sql($bob, 'DROP USER MAPPING FOR bob SERVER marche_inclusion');
asks($session, $one, 0, "2\n", 'and stays when the mapping is dropped');
run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER marche_inclusion OPTIONS (SET token '"
	. token('marche_inclusion') . "')");
asks($session, $one, 1, "2\n", 'until its own mapping is changed');

# ===================================================================
# Clearing holds
# ===================================================================
$node = new_cluster('cache_clearing');
$session = session($node);
my $clear = "SELECT apigouv_clear_cache('marche_inclusion') >= 0";
is($session->query("SELECT 1 / (count(*) - 2) FROM marche_inclusion.structures WHERE siret = '$siret'")->{sqlstate},
	'22012', 'a statement fails');
$session->query('BEGIN');
asks($session, $one, 0, "2\n", 'what it has fetched serves');
run_sql($session, $clear, 'COMMIT');
asks($session, $one, 1, "2\n", 'but not after a clearing, in the same transaction');

run_sql($session, "ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '3600')", 'BEGIN',
	"DECLARE c CURSOR FOR SELECT id FROM marche_inclusion.structures WHERE siret = '$siret'", 'FETCH 1 FROM c');
my $other = session($node);
run_sql($other, $clear);
run_sql($session, 'FETCH ALL FROM c', 'COMMIT');
asks($other, $one, 1, "2\n", 'a reply received before a clearing is not stored after it');

# ===================================================================
# Caches only
# ===================================================================
run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token '"
	. token('entreprise_opaque') . "')");
my $careful = session($node);
run_sql($careful, 'SET apigouv_fdw.max_requests_per_query = 0');
refuses($careful, "SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '$siret'",
	{ sqlstate => '53400', requests => 0 }, 'with caches only, scopes are not asked for either');
my $url = stub_url();
run_sql($session, 'SELECT count(id) FROM marche_inclusion.structures',
	"CREATE SERVER petit FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_inclusion',"
	. " base_url '$url/marche_inclusion/api', cache_ttl_s '3600', response_max_bytes '2000')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER petit OPTIONS (token '" . token('marche_inclusion') . "')",
	'CREATE SCHEMA petit', 'IMPORT FOREIGN SCHEMA marche_inclusion FROM SERVER petit INTO petit');
refuses($careful, 'SELECT count(id) FROM petit.structures', { sqlstate => '53400', requests => 0 },
	'nor is a reply that this server finds too large');
run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token '"
	. token('entreprise') . "')", 'SET apigouv_fdw.max_requests_per_query = 12');
my $result = $session->query("SELECT count(*) FROM entreprise.entreprise_attestations WHERE siren = '732829320'");
is($result->{sqlstate}, undef, 'requests that several sources share count once') or diag($result->{err});

done_testing();
