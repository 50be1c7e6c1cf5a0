# Whose token is used: that of the role the query is checked as.  Views,
# SET ROLE, SECURITY DEFINER, a transaction of two roles.  pg_regress cannot
# show it: the proof is which requests are received, and that two roles of one
# transaction never share a reply.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('access');
my $siret = $ApigouvTest::SIRET;
my $soliguide = "SELECT count(*) FROM data_inclusion.structures WHERE source = 'soliguide'";
my $one = "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'";

# reader_a and reader_b have tokens of their own, which see different rows of
# data_inclusion; nobody has none.  owner has the token of reader_b's kind.
my %token = (
	reader_a => token('data_inclusion'),
	reader_b => token('data_inclusion_dora'),
	owner => token('data_inclusion_dora'));
my $sql = '';
for my $role (qw(reader_a reader_b owner nobody))
{
	$sql .= "CREATE ROLE $role LOGIN;\n"
	  . "GRANT USAGE ON SCHEMA data_inclusion, marche_inclusion, entreprise, marche_travail TO $role;\n"
	  . join('', map { "GRANT SELECT ON ALL TABLES IN SCHEMA $_ TO $role;\n" }
		  qw(data_inclusion marche_inclusion entreprise marche_travail));
	$sql .= "CREATE USER MAPPING FOR $role SERVER data_inclusion OPTIONS (token '$token{$role}');\n"
	  if $token{$role};
}
$sql .= "CREATE USER MAPPING FOR owner SERVER marche_inclusion OPTIONS (token '"
  . token('marche_inclusion_autre') . "');\n"
  . "GRANT reader_a, reader_b TO nobody;\n"
  . "CREATE SCHEMA vues; GRANT ALL ON SCHEMA vues TO PUBLIC;\n";
$node->safe_psql('postgres', $sql);

# What each token sees.
my $super = session($node);
my ($seen_a, $seen_b) = map { session($node, user => $_)->value($soliguide) }
  qw(reader_a reader_b);
isnt($seen_a, $seen_b, 'the two tokens see different rows');

# ===================================================================
# A role without a user mapping: a clear error, and no request
# ===================================================================
my $nobody = session($node, user => 'nobody');
for my $case (
	[ 'data_inclusion', $soliguide ],
	[ 'marche_inclusion', $one ],
	[ 'entreprise', "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$siret'" ],
	[ 'marche_travail', "SELECT * FROM marche_travail.marche_travail_territoires WHERE code_type_territoire = 'REG'" ])
{
	my ($server, $query) = @$case;
	refuses($nobody, $query, {
		sqlstate => '42704',
		message => qr/^user mapping.* "nobody".*"$server"|^user mapping not found for "nobody"/,
		requests => 0 }, "$server: no user mapping");
}

# It can still see a plan, which needs no secret.
like($nobody->value("EXPLAIN (VERBOSE, COSTS OFF) $one"), qr/siret/,
	'EXPLAIN without a user mapping');

# ===================================================================
# Views: the owner's mapping, with and without security_barrier
# ===================================================================
my $owner = session($node, user => 'owner');
$owner->query($_) for (
	"CREATE VIEW vues.v AS $soliguide",
	"CREATE VIEW vues.barrier WITH (security_barrier) AS SELECT * FROM data_inclusion.structures",
	"CREATE VIEW vues.structures AS SELECT * FROM marche_inclusion.structures",
	'GRANT SELECT ON ALL TABLES IN SCHEMA vues TO PUBLIC');
is($nobody->value('SELECT * FROM vues.v'), $seen_b,
	'a view uses the mapping of its owner');
is( $nobody->value("SELECT count(*) FROM vues.structures WHERE siret = '$siret'"),
	'2',
	'with a condition of the caller');
is(session($node, user => 'reader_a')->value('SELECT * FROM vues.v'), $seen_b,
	'even when the caller has a mapping');
is( $nobody->value(
		"SELECT count(*) FROM vues.structures v JOIN (VALUES ('$siret')) k(s) ON v.siret = k.s"),
	'2',
	'and as the inner side of a join');
refuses($nobody, $soliguide, { sqlstate => '42704', requests => 0 },
	'the table itself is refused all the same');

my $barrier = "SELECT count(*) FROM vues.barrier WHERE source = 'soliguide'";
is($nobody->value($barrier), $seen_b, 'a security_barrier view');
my $plan = $nobody->value(
	"EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM vues.barrier WHERE source = 'soliguide'");
like($plan, qr/sources=soliguide/, 'a leakproof condition is sent through it');
$nobody->query('CREATE FUNCTION pg_temp.leaks(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS'
	. q( $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$));
$owner->query("CREATE VIEW vues.two WITH (security_barrier) AS"
	. " SELECT id, source FROM data_inclusion.structures WHERE source = 'soliguide'");
$owner->query('GRANT SELECT ON vues.two TO PUBLIC');
my $leak = $nobody->query('SELECT count(*) FROM vues.two WHERE pg_temp.leaks(source)');
is(scalar(grep { !/seen soliguide/ } @{ $leak->{notices} }), 0,
	'a leaking function sees no other row');

SKIP:
{
	skip 'security_invoker came with PostgreSQL 15', 1
	  if $node->pg_version < 15;
	$owner->query("CREATE VIEW vues.invoker WITH (security_invoker) AS $soliguide");
	$owner->query('GRANT SELECT ON vues.invoker TO PUBLIC');
	is(session($node, user => 'reader_a')->value('SELECT * FROM vues.invoker'),
		$seen_a, 'a security_invoker view uses the mapping of the caller');
}

# ===================================================================
# SECURITY DEFINER and SET ROLE
# ===================================================================
$owner->query("CREATE FUNCTION vues.as_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS \$\$ $soliguide \$\$");
is($nobody->value('SELECT vues.as_owner()'), $seen_b,
	'SECURITY DEFINER: the mapping of the owner');

$nobody->query('SET ROLE reader_a');
is($nobody->value($soliguide), $seen_a, 'SET ROLE: the mapping of that role');
$nobody->query('SET ROLE reader_b');
is($nobody->value($soliguide), $seen_b, 'and of the next one');
$nobody->query('RESET ROLE');

# ===================================================================
# In one transaction, two roles never share a reply
# ===================================================================
stub_reset();
$nobody->query('BEGIN');
$nobody->query('SET LOCAL ROLE reader_a');
is($nobody->value($soliguide), $seen_a, 'one role in a transaction');
$nobody->query('SET LOCAL ROLE reader_b');
is($nobody->value($soliguide), $seen_b, 'another role in the same transaction');
$nobody->query('SET LOCAL ROLE reader_a');
is($nobody->value($soliguide), $seen_a, 'the first again');
$nobody->query('COMMIT');
is(scalar(requests()), 2, 'a request per role');

# Two roles with the same token still have each their own.
stub_reset();
$super->query('GRANT owner TO nobody');
$nobody->query('BEGIN');
for my $role (qw(owner reader_b))
{
	$nobody->query("SET LOCAL ROLE $role");
	$nobody->value($soliguide);
}
$nobody->query('COMMIT');
is(scalar(requests()), 2, 'a request per role even with the same token');

# A view and its caller in one statement.
stub_reset();
my $reader = session($node, user => 'reader_a');
is($reader->value("SELECT (SELECT * FROM vues.v), ($soliguide)"),
	"$seen_b|$seen_a", 'the owner of a view and its caller in one statement');
is(scalar(requests()), 2, 'a request each');

# ===================================================================
# A prepared statement follows its role, and a mapping that changes
# ===================================================================
$nobody->query("PREPARE p AS $soliguide");
$nobody->query('SET ROLE reader_a');
$nobody->query('EXECUTE p') for 1 .. 6;
is($nobody->value('EXECUTE p'), $seen_a, 'a prepared statement of one role');
$nobody->query('SET ROLE reader_b');
is($nobody->value('EXECUTE p'), $seen_b, 'and of another');
$nobody->query('RESET ROLE');

$reader->query("PREPARE p AS $soliguide");
$reader->query('EXECUTE p') for 1 .. 6;
$super->query("ALTER USER MAPPING FOR reader_a SERVER data_inclusion"
	. " OPTIONS (SET token '" . token('data_inclusion_dora') . "')");
is($reader->value('EXECUTE p'), $seen_b, 'a mapping that changes is seen at once');
$super->query('DROP USER MAPPING FOR reader_a SERVER data_inclusion');
refuses($reader, 'EXECUTE p', { sqlstate => '42704', requests => 0 },
	'so is one that is dropped');

# ===================================================================
# A mapping for PUBLIC serves those without one
# ===================================================================
$super->query("CREATE USER MAPPING FOR PUBLIC SERVER data_inclusion OPTIONS (token '"
	. token('data_inclusion') . "')");
is($nobody->value($soliguide), $seen_a, 'a mapping of PUBLIC');
is(session($node, user => 'reader_b')->value($soliguide), $seen_b,
	'but who has one uses it');

# ===================================================================
# No SELECT, no request
# ===================================================================
$super->query('REVOKE SELECT ON data_inclusion.structures FROM reader_b');
refuses(session($node, user => 'reader_b'), $soliguide,
	{ sqlstate => '42501', requests => 0 }, 'without SELECT: no request');

done_testing();
