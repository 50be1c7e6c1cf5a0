# Who counts with whom: servers, databases, roles and tokens, the shares of
# roles, and APIs behind one address.  pg_regress cannot show it: it takes
# several databases, and roles in sessions of their own.
use strict;
use utf8;
use warnings;

use ApigouvQuota;
use ApigouvTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('quota_shared');
$node->safe_psql('postgres', 'CREATE DATABASE autre');
create_apis($node, 'autre');

my $owner = session($node);
my $elsewhere = session($node, db => 'autre');
my $limit = "10/$LONG";
my $said = '10 requests per 600 seconds';
my $url = stub_url();

# A second server of the API, and a role with its own mapping, all of the
# same token; the role batch reads the first one, the role autre_jeton has
# another token.
run_sql($owner,
	'CREATE ROLE batch LOGIN', 'CREATE ROLE autre_jeton LOGIN',
	"CREATE SERVER second FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise',"
	  . " base_url '$url/entreprise', recipient '00000900100017', limits 'ip=10000/1s')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (token '" . token('entreprise') . "')",
	"CREATE USER MAPPING FOR batch SERVER entreprise OPTIONS (token '" . token('entreprise') . "')",
	"CREATE USER MAPPING FOR autre_jeton SERVER entreprise OPTIONS (token '" . token('entreprise_autre') . "')",
	'CREATE SCHEMA second',
	'IMPORT FOREIGN SCHEMA entreprise LIMIT TO (entreprise_attestation_vigilance) FROM SERVER second INTO second',
	'GRANT USAGE ON SCHEMA entreprise TO batch, autre_jeton',
	'GRANT SELECT ON ALL TABLES IN SCHEMA entreprise TO batch, autre_jeton',
	'GRANT USAGE ON FOREIGN SERVER entreprise TO batch');
limits($owner, $_, urssaf => $limit) for qw(entreprise second);
limits($elsewhere, undef, urssaf => $limit);
for my $session ([ $owner, 'entreprise' ], [ $owner, 'second' ], [ $elsewhere, 'entreprise' ])
{
	run_sql($session->[0], "ALTER SERVER $session->[1] OPTIONS (ADD quota_wait_ms '0')");
}
my $batch = session($node, user => 'batch');
my $other = session($node, user => 'autre_jeton');

# ===================================================================
# One token: one counter for all
# ===================================================================
begin_anew($owner);
asks($owner, vigilance(2), 2, "2\n", 'a first server counts 2');
asks($owner, vigilance(2, 20100, 'second'), 2, "2\n", 'a second server of the same token, 2');
asks($elsewhere, vigilance(3, 20200), 3, "3\n", 'another database, 3');
asks($batch, vigilance(3, 20300), 3, "3\n", 'another role, 3');
is(quota($owner, 'urssaf', 'used, allowed, "left", window_ms, counted_by'),
	'10|10|0|600000|authorisation', 'together 10, in one counter');
is(sent(), 10, 'as many as the API has received');
for my $session ([ $owner, 'the first server' ], [ $elsewhere, 'the other database' ],
	[ $batch, 'the other role' ])
{
	refuses($session->[0], vigilance(1, 20400),
		refused_for('urssaf', $said, requests => 0), "nothing is left for $session->[1]");
}

# ===================================================================
# Another token has its own; limit_identity lets tokens share
# ===================================================================
asks($other, vigilance(2), 2, "2\n", 'another token is not concerned');
is(quota($owner, 'urssaf', 'used'), "10\n2", 'it has a counter of its own');

for my $session ($owner, $elsewhere)
{
	run_sql($session, "ALTER SERVER entreprise OPTIONS (ADD limit_identity 'habilitation 12')");
}
begin_anew($owner);
asks($owner, vigilance(4), 4, "4\n", 'limit_identity: a token counts 4');
asks($other, vigilance(6), 6, "6\n", 'limit_identity: another token, 6');
is(quota($owner, 'urssaf', 'used'), '10', 'limit_identity: in one counter');
refuses($elsewhere, vigilance(1), refused_for('urssaf', $said, requests => 0),
	'limit_identity: nothing is left for the other database');
asks($owner, vigilance(1, 20000, 'second'), 1, "1\n", 'a server that does not name it has its own');
run_sql($_, 'ALTER SERVER entreprise OPTIONS (DROP limit_identity)') for $owner, $elsewhere;

# ===================================================================
# Shares of roles: the owner's to give
# ===================================================================
run_sql($owner, "ALTER SERVER entreprise OPTIONS (ADD role_limits 'batch=60%')");
begin_anew($owner);
asks($batch, vigilance(6), 6, "6\n", 'a role gets its share of 60%');
refuses($batch, vigilance(1, 20100), {
	%{ refused_for('urssaf" of role "batch', '6 requests per 600 seconds') }, requests => 0 },
	'and no more');
asks($owner, vigilance(4, 20200), 4, "4\n", 'the others have what it left');
is(quota($owner, 'urssaf', 'used, allowed', 'batch'), '6|6', 'the share is a counter of its own');
is(used($owner, 'urssaf'), '10', 'and counts in the whole');
begin_anew($owner);
asks($owner, vigilance(8), 8, "8\n", 'a share is no reserve: the others may take more');
refuses($batch, vigilance(3, 20100), refused_for('urssaf', $said, requests => 2),
	'then the role gets what they left');

for my $option ("SET role_limits 'batch=100%'", 'DROP role_limits', "SET limits 'urssaf=1000/1s'",
	"ADD limit_identity 'moi'", "SET quota_wait_ms '1'")
{
	refuses($batch, "ALTER SERVER entreprise OPTIONS ($option)",
		{ sqlstate => '42501', message => 'must be owner of foreign server entreprise' },
		"a role with USAGE cannot: $option");
}
refuses($batch, "ALTER USER MAPPING FOR batch SERVER entreprise OPTIONS (ADD role_limits 'batch=100%')",
	{ sqlstate => 'HV00D' }, 'nor in its own user mapping');

# ===================================================================
# Two APIs that name the same counter share an address's limit
# ===================================================================
my $dir = PostgreSQL::Test::Utils::tempdir() . '/apis';
system('cp', '-R', root() . '/apis', $dir) == 0 or die 'cp';
my $definition = slurp_bytes("$dir/marche_inclusion.json");
$definition =~ s/\n  "error_body"/
  "limits": {"adresse": {"requests": 4, "window_s": 600, "counted_by": "ip", "counter": "api.gouv.fr"}},
  "ip_limit": "adresse",$&/ or die 'no place for limits';
PostgreSQL::Test::Utils::append_to_file("$dir/new", $definition);
rename "$dir/new", "$dir/marche_inclusion.json";
run_sql($owner, "SET apigouv_fdw.definition_dir = '$dir'",
	"ALTER SERVER marche_inclusion OPTIONS (ADD quota_wait_ms '0')");
limits($owner, undef, ip => "4/$LONG");
limits($elsewhere, undef, ip => "100/$LONG");
begin_anew($owner);
asks($owner, vigilance(2), 2, "2\n", 'an API spends 2 of the address');
asks($owner, $ApigouvTest::GOOD_QUERY, 1, "2\n", 'and another 1');
asks($elsewhere, vigilance(1), 1, "1\n", 'whatever the database, which knows another limit');
is($owner->value(q(SELECT sum(used) FROM apigouv_quota WHERE counted_by = 'ip')), '4',
	'in the same counter');
refuses($owner, vigilance(1, 20100), refused_for('ip', '4 requests per 600 seconds', requests => 0),
	'nothing is left for one');
refuses($owner, $ApigouvTest::GOOD_QUERY, {
	sqlstate => '53400', detail => qr/^Limit "adresse" is 4 requests per 600 seconds; /, requests => 0 },
	'nor for the other');
is(used($owner, 'urssaf'), '3', 'who has no slot of one limit takes none of the others');

done_testing();
