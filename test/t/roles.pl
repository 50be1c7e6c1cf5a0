# What an agent may not do: a role that may log in and has SELECT on views and
# tables, no USAGE on a server, and knows SQL.  It reads no token, lifts no
# bound that was set for it, sees nothing that another role's token has
# brought, clears neither caches nor counters.  Every trick is tried, as the
# role itself in its own session, which pg_regress does not have.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('roles', "log_statement = none\n");
my $siret = $ApigouvTest::SIRET;
my @secrets = map { token($_) } qw(entreprise marche_inclusion marche_inclusion_autre marche_travail_secret);
push @secrets, map { (split /\./)[ 1, 2 ] } grep { /\..+\./ } @secrets;

# gestion has the token and the views; agent has SELECT on them, and on a
# table; autre has a mapping of its own and USAGE, as no agent should.
my %bound = (
	'apigouv_fdw.max_requests_per_query' => [ '3', '-1' ],
	'apigouv_fdw.recipient' => [ '00000900100017', '35600000012345' ],
	'apigouv_fdw.shared_cache_size' => [ '1MB', '1GB' ],
	'apigouv_fdw.definition_dir' => [ '', '/tmp' ],
	'apigouv_fdw.enable_pushdown' => [ 'on', 'off' ]);
my $super = session($node);
$super->query(q(SELECT public.apigouv_siret('1')));    # loads the library
$bound{'apigouv_fdw.audit'} = [ 'on', 'off' ]
  if $super->value("SELECT count(*) FROM pg_settings WHERE name = 'apigouv_fdw.audit'");
$node->safe_psql('postgres', <<"SQL" . join '', map { "ALTER ROLE agent SET $_ = '$bound{$_}[0]';\n" } sort keys %bound);
CREATE ROLE gestion LOGIN;
CREATE ROLE autre LOGIN;
CREATE ROLE agent LOGIN;
CREATE USER MAPPING FOR gestion SERVER marche_inclusion OPTIONS (token '@{[token('marche_inclusion')]}');
CREATE USER MAPPING FOR gestion SERVER entreprise OPTIONS (token '@{[token('entreprise')]}');
CREATE USER MAPPING FOR autre SERVER marche_inclusion OPTIONS (token '@{[token('marche_inclusion_autre')]}');
GRANT USAGE ON FOREIGN SERVER marche_inclusion TO autre;
GRANT USAGE ON SCHEMA marche_inclusion, entreprise TO gestion, autre, agent;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, entreprise TO gestion;
GRANT SELECT ON marche_inclusion.structures TO agent, autre;
CREATE SCHEMA vues AUTHORIZATION gestion;
GRANT USAGE ON SCHEMA vues TO agent;
CREATE SCHEMA agent AUTHORIZATION agent;
SET ROLE gestion;
CREATE VIEW vues.structures WITH (security_barrier) AS SELECT * FROM marche_inclusion.structures;
CREATE VIEW vues.attestations WITH (security_barrier) AS SELECT * FROM entreprise.entreprise_attestations;
GRANT SELECT ON ALL TABLES IN SCHEMA vues TO agent;
RESET ROLE;
SQL
my $one = "SELECT count(*) FROM vues.structures WHERE siret = '$siret'";
my $many = "SELECT count(*) FROM vues.attestations WHERE siret = '$siret'";
stub_reset();

sub agent { return session($node, user => 'agent', @_); }
my $agent = agent();
is($agent->value($one), '2', 'an agent reads a view');
is((requests())[0]{token}, 'marche_inclusion', "with its owner's token");

# No secret in what a statement gives, whatever becomes of it.
sub tells_nothing
{
	my ($session, $sql, $name) = @_;
	my $result = $session->query($sql);
	my $text = $result->{out} . $result->{err};
	ok(!grep({ index($text, $_) >= 0 } @secrets), $name // $sql);
	return $result;
}

# ===================================================================
# Catalogs, views, plans, errors
# ===================================================================
my $mappings = 'SELECT count(umoptions) FROM pg_user_mappings';
is($agent->value($mappings), '0', 'pg_user_mappings: no options');
is($agent->value('SELECT count(option_value) FROM information_schema.user_mapping_options'), '0',
	'information_schema.user_mapping_options: no values');
for my $sql ('SELECT umoptions FROM pg_user_mapping', 'TABLE pg_user_mapping', 'COPY pg_user_mapping TO STDOUT',
	'COPY (SELECT umoptions FROM pg_user_mapping) TO STDOUT', 'SELECT query_to_xml(\'TABLE pg_user_mapping\', true, false, \'\')',
	'CREATE TABLE agent.stolen AS TABLE pg_user_mapping', 'CREATE VIEW agent.mine AS TABLE pg_user_mapping; TABLE agent.mine',
	'SELECT pg_read_file(\'base/1/1418\')', 'SELECT pg_read_binary_file(\'global/1260\')', 'SELECT lo_import(\'/etc/passwd\')',
	'COPY agent.nothing FROM PROGRAM \'env\'', 'SELECT pg_ls_tmpdir()', 'SELECT pg_ls_dir(\'pg_stat_tmp/apigouv_fdw\')',
	'SELECT heap_page_items(NULL)', 'CREATE EXTENSION dblink', 'CREATE EXTENSION pageinspect', 'CREATE EXTENSION adminpack',
	"LOAD '\$libdir/dblink'",
	q(CREATE FUNCTION agent.h() RETURNS fdw_handler LANGUAGE c AS '$libdir/apigouv_fdw', 'apigouv_fdw_handler'))
{
	ok(defined tells_nothing($agent, $sql)->{sqlstate}, 'is refused');
}
tells_nothing($agent, $_) for
  'SELECT * FROM pg_user_mappings', 'SELECT * FROM information_schema.user_mapping_options', 'SELECT * FROM pg_foreign_server',
  'SELECT * FROM pg_settings', 'SELECT * FROM pg_stat_activity', 'SELECT * FROM pg_seclabels', 'TABLE pg_views',
  'TABLE apigouv_tables', 'TABLE apigouv_columns', 'TABLE apigouv_quota', 'TABLE apigouv_tokens', 'TABLE apigouv_stats',
  'TABLE apigouv_progress', 'SHOW ALL', "SELECT * FROM vues.structures WHERE siret = '$siret'",
  (map { "EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS, FORMAT $_) $one" } qw(text json xml yaml)),
  "SELECT t FROM vues.structures AS t WHERE siret = '$siret'", "SELECT statut::int FROM vues.attestations WHERE siret = '$siret'";
for my $fault ((map { { status => $_, body => { detail => 'Jeton ' . token('marche_inclusion') } } } 400, 401, 403, 500),
	{ action => 'close' }, { action => 'garbage' }, { action => 'redirect' })
{
	faults({ api => 'marche_inclusion', times => -1, headers => { 'Retry-After' => 0 }, %$fault });
	ok(defined tells_nothing(agent(options => '-c client_min_messages=debug5'), $one,
			'an error: ' . ($fault->{status} // $fault->{action}))->{sqlstate}, 'is one');
}
faults();

# A role with USAGE reads its own mapping, and no other's: so agents get none.
is(session($node, user => 'autre')->value($mappings), '1', 'with USAGE: its own mapping');
is(session($node, user => 'autre')->value('SELECT usename FROM pg_user_mappings WHERE umoptions IS NOT NULL'), 'autre', 'no other');

# What the server's own roles see, so that nobody gives them to an agent who
# should not: whoever reads all data reads the catalog of mappings too.
for my $role (qw(pg_read_all_data pg_monitor pg_read_all_settings pg_write_all_data pg_signal_backend))
{
	$super->query("CREATE ROLE with_$role LOGIN IN ROLE $role");
	my $session = session($node, user => "with_$role");
	is($session->value($mappings), '0', "$role: no options in pg_user_mappings");
	tells_nothing($session, 'TABLE apigouv_tokens');
	my $result = $session->query('SELECT umoptions FROM pg_user_mapping');
	is($result->{sqlstate} // (index($result->{out}, $secrets[0]) >= 0 ? 'tokens' : 'none'),
		$role eq 'pg_read_all_data' ? 'tokens' : '42501', "$role: the catalog itself");
}

# ===================================================================
# Objects of the wrapper: none can be made, changed or used
# ===================================================================
my $before = requests();
for my $sql (
	'CREATE FOREIGN TABLE agent.s (siret text) SERVER marche_inclusion OPTIONS ("table" \'structures\')',
	'IMPORT FOREIGN SCHEMA marche_inclusion FROM SERVER marche_inclusion INTO agent',
	(map { "CREATE USER MAPPING FOR $_ SERVER marche_inclusion OPTIONS (token 'x')" } qw(CURRENT_USER agent PUBLIC)),
	"ALTER USER MAPPING FOR gestion SERVER marche_inclusion OPTIONS (SET token 'x')",
	'DROP USER MAPPING FOR gestion SERVER marche_inclusion',
	"ALTER SERVER marche_inclusion OPTIONS (SET base_url 'http://127.0.0.1:1')",
	"ALTER SERVER marche_inclusion OPTIONS (ADD role_limits 'agent=100%')", "ALTER SERVER entreprise OPTIONS (DROP recipient)",
	'ALTER SERVER marche_inclusion OWNER TO agent', 'DROP SERVER marche_inclusion CASCADE',
	"CREATE SERVER mine FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_inclusion')",
	'CREATE FOREIGN DATA WRAPPER mine HANDLER apigouv_fdw_handler', 'ALTER FOREIGN DATA WRAPPER apigouv_fdw NO VALIDATOR',
	"ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD derived 'off')",
	'ALTER VIEW vues.structures SET (security_barrier = off)', 'ALTER VIEW vues.structures OWNER TO agent',
	"CREATE OR REPLACE VIEW vues.structures AS SELECT * FROM marche_inclusion.structures", 'GRANT gestion TO agent', 'SET ROLE gestion',
	'SET SESSION AUTHORIZATION gestion', 'CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION apigouv_cache_ddl()',
	'ALTER EVENT TRIGGER apigouv_cache_dropped DISABLE', 'DROP EXTENSION apigouv_fdw CASCADE', 'ALTER EXTENSION apigouv_fdw UPDATE',
	"CREATE RULE r AS ON SELECT TO vues.structures DO INSTEAD SELECT 1", 'CREATE TRIGGER t INSTEAD OF INSERT ON vues.structures EXECUTE FUNCTION apigouv_cache_ddl()',
	"SET session_replication_role = replica", 'ANALYZE (SKIP_LOCKED) marche_inclusion.structures; SELECT 1/0',
	'INSERT INTO vues.structures (id) VALUES (1)', 'LOCK TABLE marche_inclusion.structures')
{
	ok(defined tells_nothing($agent, $sql)->{sqlstate}, 'is refused');
}
refuses($agent, "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'",
	{ sqlstate => '42704', requests => 0 }, 'the table itself: no mapping');
is(requests(), $before, 'and none of it has made a request');

# ===================================================================
# Functions: privileges, and hostile arguments
# ===================================================================
my $of_extension = "FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
  . " JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'"
  . " WHERE e.extname = 'apigouv_fdw'";
is($super->value("SELECT count(*) $of_extension AND p.prosecdef"), '0', 'no function is SECURITY DEFINER');
is($super->value("SELECT count(*) $of_extension AND p.proleakproof"), '0', 'none is LEAKPROOF');
is($super->value("SELECT string_agg(proname, ' ') $of_extension AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')"
		. " AND prokind <> 'p' AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}'))"),
	'', 'those in SQL set their search_path');
is($super->value("SELECT string_agg(proname, ' ') $of_extension AND prokind = 'p' AND prosrc !~ "
		. "'BEGIN\\s+path := pg_catalog.current_setting[^;]*;\\s+PERFORM pg_catalog.set_config\\(.search_path., .pg_catalog, pg_temp., true'"),
	'', 'a procedure that commits, and so may have no SET, begins with it');
unlike($super->value("SELECT string_agg(proname, ' ') $of_extension AND has_function_privilege('agent', p.oid, 'EXECUTE')"),
	qr/apigouv_(?:quota|stats)/, 'counters are for monitors, and forgetting them is for superusers');
for my $sql ('SELECT apigouv_clear_cache()', "SELECT apigouv_clear_cache('marche_inclusion')",
	"SELECT apigouv_clear_cache('marche_inclusion', 'marche_inclusion.structures')", 'SELECT apigouv_quota_forget()',
	'SELECT * FROM apigouv_quota()', 'TABLE apigouv_quota', "SELECT apigouv_document('entreprise', 'https://entreprise.api.gouv.fr/x')",
	"SELECT apigouv_document('entreprise', document_url) FROM vues.attestations WHERE siret = '$siret' AND type = 'attestation_vigilance'",
	"SELECT apigouv_comment_tables('marche_inclusion')")
{
	refuses($agent, $sql, { sqlstate => '42501' }, "refused: $sql");
}
for my $sql ('SELECT apigouv_cache_ddl()', 'SELECT apigouv_comment_imported()', 'SELECT apigouv_fdw_handler()',
	"SELECT apigouv_fdw_validator('{NULL}', 1417)", "SELECT apigouv_fdw_validator('{{a,b},{c,d}}', 1417)",
	"SELECT apigouv_fdw_validator('{ca_file=/etc/shadow,api=entreprise}', 1417)", "SELECT apigouv_fdw_validator('{api=../../../etc/passwd}', 1417)",
	"SELECT apigouv_fdw_validator(ARRAY['token=' || repeat('x', 1000000)], 1418)", "SELECT apigouv_fdw_validator('{=}', 1418)",
	"SELECT apigouv_fdw_validator('{token}', 1418)", "SELECT apigouv_fdw_validator('{api=entreprise}', 4294967295)",
	"SELECT apigouv_comment_tables('')", "SELECT apigouv_comment_tables(repeat('x', 100)::name)",
	"SELECT apigouv_clear_cache(NULL, 'pg_class')", "SELECT apigouv_clear_cache('', 0)", "SELECT apigouv_clear_cache('marche_inclusion', 4294967295)",
	"SELECT apigouv_create_structures_inclusion('pg_class', 'pg_class')", 'SELECT apigouv_create_structures_inclusion(0, 4294967295)',
	"SELECT apigouv_document('pg_catalog', '')", "SELECT apigouv_document('', repeat('x', 1000000))")
{
	my $result = $agent->query($sql);
	like($result->{sqlstate} // 'none', qr/^(?!XX)/, "no internal error: $sql");
	ok(!$result->{dead}, 'the session lives');
}
# by the caller's rights, so of no use without them; its arguments are no SQL
my $made = $agent->query("SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'marche_inclusion.structures',"
	. q{ 'x"; DROP TABLE agent.x; --', 'agent')});
is($made->{sqlstate}, '42809', 'a table of another API is refused');
is($agent->value("SELECT apigouv_siret(repeat(' ', 1000000) || '$siret'), apigouv_siret(repeat('0', 1000000)) IS NULL,"
		. " apigouv_siren(E'\\x01\\x7f') IS NULL"), "$siret|t|t", 'numbers of any length');

# ===================================================================
# Own objects named like others, earlier in the path
# ===================================================================
my $shadow = q($$ BEGIN RAISE NOTICE 'shadow as %', current_user; RETURN $1; END $$);
$agent->query($_) for (
	"CREATE FUNCTION agent.apigouv_siret(text) RETURNS text LANGUAGE plpgsql AS $shadow",
	(map { "CREATE FUNCTION agent.$_(text) RETURNS text LANGUAGE plpgsql AS $shadow" } qw(apigouv_siren quote_ident upper lower format)),
	"CREATE FUNCTION agent.same(text, text) RETURNS boolean LANGUAGE plpgsql AS"
	  . q( $$ BEGIN RAISE NOTICE 'shadow as %', current_user; RETURN true; END $$),
	'CREATE OPERATOR agent.= (FUNCTION = agent.same, LEFTARG = text, RIGHTARG = text)',
	'CREATE FUNCTION agent.pg_event_trigger_ddl_commands(OUT classid oid, OUT objid oid) RETURNS SETOF record LANGUAGE plpgsql AS'
	  . q( $$ BEGIN RAISE NOTICE 'shadow as %', current_user; END $$),
	'CREATE FUNCTION agent.apigouv_quota() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
	'CREATE DOMAIN agent.text AS pg_catalog.text CHECK (agent.same(VALUE, VALUE))',
	'CREATE TABLE agent.pg_user_mapping (umoptions text[])', 'CREATE VIEW agent.apigouv_regions AS SELECT 1 AS code',
	'CREATE CAST (pg_catalog.text AS agent.text) WITH FUNCTION agent.apigouv_siret(pg_catalog.text)',
	'SET search_path = agent, pg_catalog, public, pg_temp');
is_deeply($agent->query("SELECT count(*) FROM agent.pg_user_mapping")->{err}, '', 'an agent has names of its own');
# of the extension, and of the views, none is called
my $path = 'SET search_path = agent, pg_catalog, public, marche_inclusion';
for my $case ([ $agent, "SELECT count(*) FROM vues.structures WHERE siret OPERATOR(pg_catalog.=) '$siret'" ],
	[ $agent, 'SELECT count(*) FROM public.apigouv_departements' ], [ $agent, 'SELECT count(*) FROM public.apigouv_tables' ],
	[ $super, "$path; ALTER SERVER marche_inclusion OPTIONS (ADD rows_of 'x')" ],
	[ $super, "$path; ALTER SERVER marche_inclusion OPTIONS (ADD retries '2'); ALTER SERVER marche_inclusion OPTIONS (DROP retries)" ],
	[ $super, "$path; SELECT apigouv_comment_tables('marche_inclusion')" ],
	[ $super, "$path; SELECT apigouv_create_structures_inclusion('marche_inclusion.structures', 'data_inclusion.structures', view_schema => 'public')" ],
	[ $super, "$path; CREATE SCHEMA imported; IMPORT FOREIGN SCHEMA marche_inclusion LIMIT TO (secteurs) FROM SERVER marche_inclusion INTO imported" ],
	[ $super, "$path; SELECT count(*) FROM marche_inclusion.structures WHERE siret OPERATOR(pg_catalog.=) '$siret'" ])
{
	my ($session, $sql) = @$case;
	my $result = $session->query($sql);
	ok($result->{err} !~ /shadow/, "not called by: $sql") or diag($result->{err});
}
is($super->value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'imported.secteurs'::regclass AND attnum > 0"
		. " AND atttypid OPERATOR(pg_catalog.=) 'agent.text'::regtype"), '0', 'nor are types of imported columns taken from it');
$super->query('RESET search_path');
my $temp = $agent->query('CREATE FUNCTION pg_temp.apigouv_siret(text) RETURNS text LANGUAGE plpgsql AS ' . $shadow
	. "; SET search_path = pg_temp, public; SELECT apigouv_siret('$siret')");
unlike($temp->{err}, qr/shadow/, 'a function in pg_temp takes no name');
$agent->query('RESET search_path');

# ===================================================================
# Bounds
# ===================================================================
# The setting in force, in a session that has the library.
sub in_force
{
	my ($session, $name) = @_;
	$session->query(q(SELECT public.apigouv_siret('1')));
	return $session->value("SHOW $name");
}

is( $super->value("SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'apigouv_fdw.%' AND context = 'superuser'"),
	join(' ', sort keys %bound), 'all settings for superusers are tried');
for my $name (sort keys %bound)
{
	my ($is, $wanted) = @{ $bound{$name} };
	my $assign = "$name = '$wanted'";
	for my $loaded (0, 1)
	{
		my $when = $loaded ? 'once the library is loaded' : 'before the library is loaded';
		for my $sql ("SET $assign", "BEGIN; SET LOCAL $assign", "SELECT set_config('$name', '$wanted', false)",
			"UPDATE pg_settings SET setting = '$wanted' WHERE name = '$name'",
			"DO \$\$ BEGIN PERFORM set_config('$name', '$wanted', false); END \$\$",
			(map { "ALTER ROLE $_" } "agent SET $assign", "CURRENT_USER SET $assign", "agent IN DATABASE postgres SET $assign", "agent RESET $name",
				'agent RESET ALL'),
			"ALTER DATABASE postgres SET $assign", "ALTER SYSTEM SET $assign", "RESET $name", 'RESET ALL', 'DISCARD ALL', "SET $name TO DEFAULT",
			"CREATE OR REPLACE FUNCTION agent.f() RETURNS pg_catalog.text LANGUAGE sql SET $assign AS \$\$ SELECT current_setting('$name') \$\$; SELECT agent.f()")
		{
			my $session = agent();
			$session->query(q(SELECT public.apigouv_siret('1'))) if $loaded;
			$session->query($sql);
			$session->query('ROLLBACK') if $sql =~ /BEGIN;/ && $loaded;
			is(in_force($session, $name), $is, "$when: $sql");
		}
	}
	# the connection's options hide what the role was given: no work at all, then
	for my $options ("-c $name=$wanted", '--' . uc($name) . "=$wanted")
	{
		my $session = agent(options => $options);
		for (1 .. 2)
		{
			refuses($session, $one, { sqlstate => '42501', requests => 0,
					message => qq(permission denied to set parameter "$name") }, "PGOPTIONS $options");
		}
	}
	is(in_force(agent(), $name), $is, "$name: as it was set");
	# with SET on the parameter it may
	$super->query("GRANT SET ON PARAMETER $name TO agent");
	my $granted = agent();
	$granted->query("SET $assign");
	is(in_force($granted, $name), $wanted, "$name: with SET on it, it may");
	is(in_force(agent(options => "-c $name=$wanted"), $name), $wanted, 'by PGOPTIONS too');
	$super->query("REVOKE SET ON PARAMETER $name FROM agent");
}
is(agent()->value('SELECT count(*) FROM pg_db_role_setting WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = \'agent\')'),
	'1', 'its settings are still there');
stub_reset();
refuses(agent(), $many, { sqlstate => '53400', requests => 0 }, 'thirteen requests are too many for it');

# a recipient by a condition, from wherever it comes
$super->query("SET apigouv_fdw.context = 'x'");
for my $condition ("destinataire = '35600000012345'", "destinataire IN ('35600000012345', '00000900100017')",
	"destinataire = (SELECT '35600000012345' OFFSET 0)", "destinataire = ANY (string_to_array('35600000012345', ','))",
	"(destinataire = '35600000012345' OR destinataire = '00000900100017')")
{
	refuses(agent(), "SELECT statut FROM vues.attestations WHERE siret = '$siret' AND type = 'attestation_vigilance' AND $condition",
		{ sqlstate => '42501', requests => 0 }, "no recipient by: $condition");
}
refuses(agent(), "SELECT a.statut FROM (VALUES ('35600000012345')) AS k (d) CROSS JOIN LATERAL (SELECT * FROM vues.attestations"
	. " WHERE siret = '$siret' AND type = 'attestation_vigilance' AND destinataire = k.d) AS a",
	{ sqlstate => '42501', requests => 0 }, 'nor by a join');

# ===================================================================
# What another role's token has brought
# ===================================================================
$node->safe_psql('postgres', "GRANT gestion, autre TO CURRENT_USER; ALTER SERVER marche_inclusion OPTIONS (ADD cache_ttl_s '600')");
session($node, user => 'gestion')->value("SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'");
asks(session($node, user => 'autre'), "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'", 1, "2\n",
	'the cluster\'s cache: not with another token');
refuses(agent(), "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$siret'",
	{ sqlstate => '42704', requests => 0 }, 'nor without any');
my $both = session($node);
$both->query('SET ROLE gestion');
my $fails = "SELECT count(*) / 0 FROM marche_inclusion.structures WHERE siret = '00000302000013'";
$both->query($fails);
$both->query('SET ROLE autre');
is(counted($both, $fails)->{requests}, 1, 'what a failed statement left: not with another token');
$both->query('SET ROLE agent');
refuses($both, $fails, { sqlstate => '42704', requests => 0 }, 'nor without any');
$both->quit;

# statistics of a table of which it has no column
$node->safe_psql('postgres', 'REVOKE SELECT ON marche_inclusion.structures FROM agent; ANALYZE marche_inclusion.structures');
cmp_ok($super->value("SELECT count(*) FROM pg_stats WHERE schemaname = 'marche_inclusion'"), '>', 0, 'a table with statistics');
is(agent()->value("SELECT count(*) FROM pg_stats WHERE schemaname = 'marche_inclusion'"), '0', 'which the agent does not see');
my $watch = agent();
$watch->query('CREATE FUNCTION agent.less(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 IMMUTABLE AS'
	. q( $$ BEGIN RAISE NOTICE 'shadow %', $1; RETURN $1 OPERATOR(pg_catalog.<) $2; END $$));
$watch->query('CREATE OPERATOR agent.<<< (FUNCTION = agent.less, LEFTARG = text, RIGHTARG = text, RESTRICT = scalarltsel)');
unlike($watch->query("EXPLAIN SELECT * FROM vues.structures WHERE name OPERATOR(agent.<<<) 'x'")->{err}, qr/shadow/,
	'nor does an operator of its own, when a query is planned');

# the queries of others
my $slow = session($node, user => 'gestion');
stub_latency(1000);
$slow->start("SELECT 'secret' FROM marche_inclusion.structures WHERE siret = '00000303800015'");
wait_for_requests(1, path => qr/00000303800015/);
unlike(agent()->value('SELECT query, wait_event FROM pg_stat_activity'), qr/00000303800015/, 'queries of other roles');
stub_latency(0);
$slow->finish;

done_testing();
