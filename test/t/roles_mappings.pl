# Whose token each way to a table uses, seen by the token that the API has
# received: cached plans, cursors, functions, triggers, partitions, views of
# views, two roles in one plan.  access.pl shows views, SET ROLE, SECURITY
# DEFINER and prepared statements by what each token sees; this is the rest.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('roles_mappings');
my @sirets = qw(00000301200010 00000302000013 00000303800015 00000304600018 00000305300014 00000306100017);
my $siret = $sirets[0];

# a and b own views and functions, each with a token; c has none.  What a has
# asked shows as "a", what b has asked as "b".
my %whose = (marche_inclusion => 'a', marche_inclusion_autre => 'b', data_inclusion => 'a', data_inclusion_dora => 'b');
my %token = reverse %whose;
$node->safe_psql('postgres', join '', map {
		"CREATE ROLE $_ LOGIN;\n"
	  . "GRANT USAGE ON SCHEMA marche_inclusion, data_inclusion, entreprise TO $_;\n"
	  . "GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, data_inclusion, entreprise TO $_;\n"
	  . "CREATE SCHEMA $_ AUTHORIZATION $_; GRANT USAGE ON SCHEMA $_ TO PUBLIC;\n"
} qw(a b c));
$node->safe_psql('postgres', <<"SQL");
CREATE USER MAPPING FOR a SERVER marche_inclusion OPTIONS (token '@{[token('marche_inclusion')]}');
CREATE USER MAPPING FOR b SERVER marche_inclusion OPTIONS (token '@{[token('marche_inclusion_autre')]}');
CREATE USER MAPPING FOR a SERVER data_inclusion OPTIONS (token '@{[token('data_inclusion')]}');
CREATE USER MAPPING FOR b SERVER data_inclusion OPTIONS (token '@{[token('data_inclusion_dora')]}');
CREATE TABLE public.keys (siret text, owner name);
INSERT INTO public.keys SELECT unnest(ARRAY['@{[join("','", @sirets)]}']), 'a';
ANALYZE public.keys;
GRANT SELECT ON public.keys TO PUBLIC;
GRANT a, b TO c;
SQL
for my $role (qw(a b))
{
	$node->safe_psql('postgres', <<"SQL");
SET ROLE $role;
CREATE VIEW $role.s AS SELECT * FROM marche_inclusion.structures;
CREATE VIEW $role.barrier WITH (security_barrier) AS SELECT * FROM marche_inclusion.structures;
CREATE VIEW $role.invoker WITH (security_invoker) AS SELECT * FROM marche_inclusion.structures;
CREATE VIEW $role.services AS SELECT * FROM data_inclusion.services;
GRANT SELECT ON ALL TABLES IN SCHEMA $role TO PUBLIC;
CREATE FUNCTION $role.definer(text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS 'SELECT count(*) FROM marche_inclusion.structures WHERE siret = \$1';
CREATE FUNCTION $role.cursor_of(text) RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER AS
	\$\$ DECLARE r refcursor; BEGIN OPEN r FOR SELECT siret FROM marche_inclusion.structures WHERE siret = \$1; RETURN r; END \$\$;
CREATE FUNCTION $role.plain(text) RETURNS bigint LANGUAGE plpgsql AS
	\$\$ BEGIN RETURN (SELECT count(*) FROM marche_inclusion.structures WHERE siret = \$1); END \$\$;
SQL
}
my ($super, $c) = (session($node), session($node, user => 'c'));
$super->query('SET ROLE a');

# The roles whose tokens came since the last time, in order of arrival, each
# once unless $all.
sub asked
{
	my ($all) = @_;
	my @asked = map { $whose{ $_->{token} } // "($_->{token})" } requests();
	stub_reset();
	my %seen;
	return join '', $all ? sort @asked : sort grep { !$seen{$_}++ } @asked;
}

# A statement asks with the tokens of these roles, and gives this.
sub asks_as
{
	my ($session, $sql, $who, $out, $name) = @_;
	stub_reset();
	my $result = $session->query($sql);
	is($result->{sqlstate} // $result->{out}, $out, "$name: the rows") or diag($result->{err});
	is(asked(), $who, "$name: whose token");
	return;
}
sub one_of { return "SELECT count(*) FROM $_[0] WHERE siret = '$siret'"; }

# ===================================================================
# Views of views, of others
# ===================================================================
$node->safe_psql('postgres', <<'SQL');
SET ROLE b;
CREATE VIEW b.of_a AS SELECT * FROM a.s;
CREATE VIEW b.of_a_invoker WITH (security_invoker) AS SELECT * FROM a.s;
CREATE VIEW b.of_invoker AS SELECT * FROM a.invoker;
CREATE VIEW b.both AS SELECT * FROM a.s UNION ALL SELECT * FROM marche_inclusion.structures;
GRANT SELECT ON ALL TABLES IN SCHEMA b TO PUBLIC;
SQL
asks_as($c, one_of('b.of_a'), 'a', "2\n", "b's view of a's view");
asks_as($c, one_of('b.of_a_invoker'), 'a', "2\n", 'of which only the outer is security_invoker');
# security_invoker is whoever asks, however deep the view is
my $b = session($node, user => 'b');
asks_as($b, one_of('a.invoker'), 'b', "2\n", "a's security_invoker view, asked by b");
asks_as(session($node, user => 'a'), one_of('b.of_invoker'), 'a', "2\n", "b's view of it, asked by a");
refuses($c, one_of('b.of_invoker'), { sqlstate => '42704', requests => 0 }, 'and by c, who has no mapping');
asks_as($c, one_of('b.both'), 'ab', "4\n", 'a union in a view, of another view and of a table');
refuses($c, one_of('a.invoker'), { sqlstate => '42704', requests => 0 }, 'a security_invoker view asked by c, who has none');

# ===================================================================
# Two roles in one plan: each its own token, and no reply is shared
# ===================================================================
for my $setting ('', 'SET enable_async_append = off; ', 'SET apigouv_fdw.enable_lookup_join = off; ', 'SET enable_hashjoin = off; ',
	'SET enable_nestloop = off; ')
{
	my $s = session($node, user => 'c');
	$s->query($setting) if $setting ne '';
	my $with = $setting eq '' ? '' : " ($setting)";
	asks_as($s, "SELECT count(*) FROM (SELECT siret FROM a.s UNION ALL SELECT siret FROM b.s) AS u WHERE siret = '$siret'", 'ab', "4\n", "union$with");
	asks_as($s, "SELECT count(*) FROM a.s AS x JOIN b.s AS y ON y.siret = x.siret WHERE x.siret = '$siret'", 'ab', "4\n", "join$with");
	asks_as($s, "SELECT count(*) FROM public.keys AS k JOIN a.s AS x ON x.siret = k.siret JOIN b.s AS y ON y.siret = k.siret WHERE k.siret IN ('$sirets[0]', '$sirets[1]')",
		'ab', "5\n", "both by the keys of a table$with");
	asks_as($s, "SELECT count(*) FROM public.keys AS k LEFT JOIN a.s AS x ON x.siret = k.siret WHERE k.siret IN ('$sirets[0]', '$sirets[1]')"
		. " AND EXISTS (SELECT FROM b.barrier AS y WHERE y.siret = k.siret)", 'ab', "3\n", "outer and semi join$with");
	asks_as($s, "SELECT (SELECT count(*) FROM a.s WHERE department = '35'), (SELECT count(*) FROM b.s WHERE department = '35')",
		'ab', "23|23\n", "counts$with");
	asks_as($s, "SELECT count(*) FROM a.s WHERE department = '35'", 'a', "23\n", "the count of a view$with");
}
# in one transaction, with what each has in the cache
$c->query('BEGIN');
asks_as($c, one_of('a.s'), 'a', "2\n", 'a transaction: a');
asks_as($c, one_of('b.s'), 'b', "2\n", 'then b');
asks_as($c, one_of('a.s') . ' UNION ALL ' . one_of('b.s'), '', "2\n2\n", 'then both from the cache, each its own');
$c->query('COMMIT');
# which shows: where the tokens see different rows, each view shows its own
my ($seen_a, $seen_b) = map { session($node, user => $_)->value(
		"SELECT count(*) FROM data_inclusion.structures WHERE source = 'soliguide'") } qw(a b);
isnt($seen_a, $seen_b, 'two tokens that see different rows');
$node->safe_psql('postgres', join '', map { "SET ROLE $_; CREATE VIEW $_.d AS SELECT * FROM data_inclusion.structures; GRANT SELECT ON $_.d TO PUBLIC;" } qw(a b));
is($c->value("SELECT string_agg(n::text, ' ' ORDER BY o) FROM (SELECT 'a' AS o, count(*) AS n FROM a.d WHERE source = 'soliguide'"
		. " UNION ALL SELECT 'b', count(*) FROM b.d WHERE source = 'soliguide') AS t"), "$seen_a $seen_b", 'in one plan, each its rows');

# ===================================================================
# Functions, cached plans
# ===================================================================
asks_as($c, "SELECT a.definer('$siret'), b.definer('$siret')", 'ab', "2|2\n", 'SECURITY DEFINER functions of two owners');
$c->query("SELECT b.plain('$siret')");    # c has no mapping: nothing is planned for good
for my $mode (qw(auto force_generic_plan force_custom_plan))
{
	$c->query("SET plan_cache_mode = $mode");
	$c->query('DEALLOCATE ALL');
	$c->query('PREPARE p (text) AS SELECT count(*) FROM marche_inclusion.structures WHERE siret = $1');
	for my $round (1 .. 4)
	{
		for my $role (qw(a b))
		{
			$c->query("SET ROLE $role");
			asks_as($c, "EXECUTE p ('$siret')", $role, "2\n", "$mode, round $round: a prepared statement as $role");
			asks_as($c, "SELECT a.plain('$siret')", $role, "2\n", 'a plan of PL/pgSQL');
		}
	}
	$c->query('RESET ROLE');
	refuses($c, "EXECUTE p ('$siret')", { sqlstate => '42704', requests => 0 }, "$mode: as c, who has none");
	# a view of which the owner changes
	$super->query('RESET ROLE');
	$super->query('DROP VIEW IF EXISTS a.moves; CREATE VIEW a.moves AS SELECT * FROM marche_inclusion.structures;'
		. 'ALTER VIEW a.moves OWNER TO a; GRANT SELECT ON a.moves TO PUBLIC');
	$c->query('PREPARE v (text) AS SELECT count(*) FROM a.moves WHERE siret = $1');
	asks_as($c, "EXECUTE v ('$siret')", 'a', "2\n", "$mode: a view") for 1 .. 6;
	$super->query('ALTER VIEW a.moves OWNER TO b');
	asks_as($c, "EXECUTE v ('$siret')", 'b', "2\n", 'which has another owner now');
	$super->query('ALTER VIEW a.moves OWNER TO c');
	refuses($c, "EXECUTE v ('$siret')", { sqlstate => '42704', requests => 0 }, 'and one without a mapping');
}
$c->query('RESET plan_cache_mode');

# ===================================================================
# Cursors: the role that opened them
# ===================================================================
$super->query('RESET ROLE');
for my $hold ('', ' WITH HOLD')
{
	stub_reset();
	$super->query($_) for 'BEGIN', 'SET LOCAL ROLE a', "DECLARE k CURSOR$hold FOR SELECT siret FROM marche_inclusion.structures WHERE siret = '$siret'",
	  'SET LOCAL ROLE b';
	is($super->value('FETCH 1 FROM k'), $siret, "a cursor$hold that a opened and b reads");
	$super->query('COMMIT');
	is($super->value('FETCH 1 FROM k'), $siret, 'after the transaction') if $hold;
	$super->query('CLOSE k') if $hold;
	is(asked(), 'a', "asks with a's token");
}
$super->query('RESET ROLE');
$c->query('BEGIN');
stub_reset();
my $cursor = $c->value("SELECT a.cursor_of('$siret')");
is($c->value(qq(FETCH ALL FROM "$cursor")), "$siret\n$siret", 'a cursor of a SECURITY DEFINER function, read by the caller');
is(asked(), 'a', "asks with its owner's token");
$c->query('COMMIT');

# SET SESSION AUTHORIZATION
$super->query('SET SESSION AUTHORIZATION b');
asks_as($super, one_of('marche_inclusion.structures'), 'b', "2\n", 'SET SESSION AUTHORIZATION');
$super->query('RESET SESSION AUTHORIZATION');

# ===================================================================
# Partitions and children, triggers, defaults, row security, materialized views
# ===================================================================
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE public.parent (siret text, name text);
CREATE FOREIGN TABLE public.child () INHERITS (public.parent) SERVER marche_inclusion OPTIONS ("table" 'structures');
CREATE TABLE public.parts (siret text, name text) PARTITION BY LIST (siret);
CREATE FOREIGN TABLE public.part PARTITION OF public.parts DEFAULT SERVER marche_inclusion OPTIONS ("table" 'structures');
GRANT SELECT ON public.parent, public.parts TO PUBLIC;
CREATE VIEW public.of_parent AS SELECT * FROM public.parent;
ALTER VIEW public.of_parent OWNER TO b;
GRANT SELECT ON public.of_parent TO PUBLIC;
ALTER TABLE public.keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.keys USING (owner = current_user);
INSERT INTO public.keys VALUES ('$sirets[1]', 'b');
GRANT USAGE, CREATE ON SCHEMA public TO a, b;
CREATE TABLE public.journal (siret text, n bigint DEFAULT a.definer('$siret'), m bigint);
CREATE FUNCTION public.fill() RETURNS trigger LANGUAGE plpgsql AS
	\$\$ BEGIN NEW.m := (SELECT count(*) FROM marche_inclusion.structures WHERE siret = NEW.siret); RETURN NEW; END \$\$;
CREATE TRIGGER fill BEFORE INSERT ON public.journal FOR EACH ROW EXECUTE FUNCTION public.fill();
GRANT SELECT, INSERT ON public.journal TO PUBLIC;
SET ROLE a;
CREATE MATERIALIZED VIEW public.kept AS SELECT siret FROM marche_inclusion.structures WHERE siret = '$siret';
SQL
for my $role (qw(a b))
{
	my $s = session($node, user => $role);
	asks_as($s, one_of('public.parent'), $role, "2\n", "a child of a table, read through its parent by $role");
	asks_as($s, one_of('public.parts'), $role, "2\n", "a partition, by $role");
	asks_as($s, "INSERT INTO public.journal (siret) VALUES ('$siret') RETURNING n, m", $role eq 'a' ? 'a' : 'ab', "2|2\n",
		"a default by a's function, a trigger as $role");
}
asks_as($c, one_of('public.of_parent'), 'b', "2\n", "the parent, through b's view");
refuses($c, one_of('public.parts'), { sqlstate => '42704', requests => 0 }, 'the partition, by c');
asks_as(session($node), 'REFRESH MATERIALIZED VIEW public.kept', 'a', '', 'a materialized view is refreshed as its owner');

# row security of the table that gives the keys: of each role its own, from one plan
my $joined = "SELECT string_agg(DISTINCT x.siret, ' ') FROM public.keys AS k JOIN marche_inclusion.structures AS x ON x.siret = k.siret";
$c->query("SET plan_cache_mode = force_generic_plan");
$c->query("PREPARE j AS $joined AND k.siret IN ('$sirets[0]', '$sirets[1]')");
for my $role (qw(b a b))
{
	$c->query("SET ROLE $role");
	stub_reset();
	is($c->value('EXECUTE j'), $role eq 'b' ? $sirets[1] : "$sirets[0] $sirets[1]", "row security of keys, as $role");
	unlike(join(' ', map { $_->{path} . $_->{query} } requests()), qr/$sirets[0]/, 'no request for a key that it hides') if $role eq 'b';
	is(asked(), $role, 'and its own token');
}
$c->query('RESET ROLE');

# ===================================================================
# A role that goes
# ===================================================================
$super->query('CREATE ROLE d LOGIN; GRANT USAGE ON SCHEMA marche_inclusion TO d; GRANT SELECT ON marche_inclusion.structures TO d;'
	. "CREATE USER MAPPING FOR d SERVER marche_inclusion OPTIONS (token '$token{b}')");
$super->query("ALTER USER MAPPING FOR d SERVER marche_inclusion OPTIONS (SET token '" . token('marche_inclusion_autre') . "')");
$super->query('CREATE VIEW public.of_d AS SELECT * FROM marche_inclusion.structures; ALTER VIEW public.of_d OWNER TO d; GRANT SELECT ON public.of_d TO PUBLIC');
$c->query('PREPARE d AS ' . one_of('public.of_d'));
asks_as($c, 'EXECUTE d', 'b', "2\n", "d's view") for 1 .. 6;
$super->query('REASSIGN OWNED BY d TO a');
asks_as($c, 'EXECUTE d', 'a', "2\n", "REASSIGN OWNED BY d TO a: a's token");
$super->query('DROP OWNED BY d; DROP ROLE d');
is($super->value("SELECT count(*) FROM pg_roles WHERE rolname = 'd'") . $super->value("SELECT count(*) FROM pg_user_mappings WHERE usename = 'd'"),
	'00', 'DROP OWNED, DROP ROLE: its mapping is gone as well');

done_testing();
