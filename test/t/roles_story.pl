# Three authorisations of one administration for API Entreprise, each with its
# scopes and its token, given to three roles; agents who have no token read
# through their views, each the companies of their own files.  doc/tutorial.md
# tells the same story.  pg_regress cannot show it: the proof is which requests
# the API received, and with which token.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('roles_story');
my ($phare, $ecluse, $detour) = qw(00000301200010 00000302000013 00000311100010);

# What the API received since the last time: "token path", in order of names.
sub sent
{
	my @sent = sort map { "$_->{token} $_->{path}" } requests();
	stub_reset();
	return join "\n", @sent;
}

sub vigilance { return "entreprise_$_[0] /v4/urssaf/unites_legales/" . substr($_[1], 0, 9) . '/attestation_vigilance'; }

# Tables are granted by use; the agents get views only.
my $sql = join '', map {
		"CREATE ROLE $_ NOLOGIN;\n"
	  . "CREATE USER MAPPING FOR $_ SERVER entreprise OPTIONS (token '" . token("entreprise_$_") . "');\n"
	  . "GRANT USAGE ON SCHEMA entreprise TO $_;\n"
	  . "CREATE SCHEMA $_ AUTHORIZATION $_;\n"
} qw(preremplissage prequalification instruction);
$sql .= "CREATE ROLE $_ LOGIN;\n" for qw(anne bruno guichet);
$node->safe_psql('postgres', $sql . <<"SQL");
GRANT SELECT ON entreprise.entreprise_unite_legale TO preremplissage, instruction;
GRANT SELECT ON entreprise.entreprise_attestations TO prequalification, instruction;
GRANT SELECT ON entreprise.entreprise_attestation_fiscale TO preremplissage, prequalification, instruction;

SET ROLE preremplissage;
CREATE VIEW preremplissage.formulaire WITH (security_barrier) AS
	SELECT siren, forme_juridique_libelle FROM entreprise.entreprise_unite_legale;
GRANT USAGE ON SCHEMA preremplissage TO guichet;
GRANT SELECT ON preremplissage.formulaire TO guichet;

SET ROLE instruction;
CREATE TABLE instruction.suivi (agent name, siret text);
INSERT INTO instruction.suivi VALUES ('anne', '$phare'), ('anne', '$ecluse'), ('bruno', '$detour');
CREATE VIEW instruction.vigilance WITH (security_barrier) AS
	SELECT s.siret, a.statut, a.motif, a.date_fin
	FROM (SELECT siret FROM instruction.suivi WHERE agent = current_user OFFSET 0) AS s
	     CROSS JOIN LATERAL (SELECT * FROM entreprise.entreprise_attestations AS a
	                         WHERE a.siret = s.siret AND a.type = 'attestation_vigilance' OFFSET 0) AS a;
GRANT USAGE ON SCHEMA instruction TO anne, bruno;
GRANT SELECT ON instruction.vigilance TO anne;
GRANT SELECT (siret, statut) ON instruction.vigilance TO bruno;
SQL
stub_reset();

# ===================================================================
# Each use asks with its own token
# ===================================================================
my $super = session($node);
my $attestations = "SELECT count(*) FROM entreprise.entreprise_attestations"
  . " WHERE siret = '$phare' AND type = 'attestation_vigilance'";
for my $role (qw(prequalification instruction))
{
	$super->query("SET ROLE $role");
	is($super->value($attestations), '1', "$role: an attestation");
	is(sent(), vigilance($role, $phare), 'asked with its own token');
}
$super->query('SET ROLE preremplissage');
refuses($super, $attestations, { sqlstate => '42501', message => 'permission denied for foreign table entreprise_attestations',
		requests => 0 }, 'preremplissage: no grant on the table, no request');

# ===================================================================
# A scope that the token does not hold
# ===================================================================
# in a table of one source, the API says it, and the hint names the scope
refuses($super, "SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret = '$phare'", {
		sqlstate => '42501', requests => 1,
		hint => qr/"preremplissage".*needs one of the scopes "attestations_fiscales", "attestation_fiscale_dgfip"/ },
	'preremplissage: refused by the API');
# in a table of several, such a source gives its row without a request
$super->query('RESET ROLE');
$super->query('SET ROLE prequalification');
stub_reset();
is($super->value("SELECT string_agg(type, ' ' ORDER BY type) FROM entreprise.entreprise_attestations"
		. " WHERE siret = '$phare' AND motif = 'non_habilite'"),
	'attestation_conges_payes_cibtp attestation_conges_payes_cnetp attestation_retraite_probtp'
	  . ' certification_qualiopi conformite_cotisations_msa conformite_retraite_probtp',
	'prequalification: sources outside its authorisation');
my @asked = requests();
is(scalar(@asked), 7, 'only the seven others were asked');
is(scalar(grep { $_->{path} =~ m{/(?:cibtp|cnetp|probtp|carif_oref|msa)/} } @asked), 0, 'none of these');
is(scalar(grep { $_->{token} ne 'entreprise_prequalification' } @asked), 0, 'with the token of the role');
$super->query('RESET ROLE');

# ===================================================================
# Agents: no mapping, no table, the view's owner's token
# ===================================================================
my ($anne, $bruno, $guichet) = map { session($node, user => $_) } qw(anne bruno guichet);
stub_reset();
is($guichet->value("SELECT siren FROM preremplissage.formulaire WHERE siren = '000003012'"), '000003012', 'a form');
like(sent(), qr/^entreprise_preremplissage \S+000003012$/, 'with the token for forms');
is($anne->value('SELECT siret, statut FROM instruction.vigilance ORDER BY 1'),
	"$phare|conforme\n$ecluse|non_conforme", 'anne sees the companies of her files');
is(sent(), join("\n", map { vigilance('instruction', $_) } $phare, $ecluse), 'and no other was asked about');
is($bruno->value('SELECT siret, statut FROM instruction.vigilance'), "$detour|conforme", 'bruno sees his');
is(sent(), vigilance('instruction', $detour), 'and no other was asked about');

refuses($bruno, 'SELECT motif FROM instruction.vigilance', { sqlstate => '42501', requests => 0 },
	'bruno has columns of the view');
refuses($bruno, 'SELECT * FROM instruction.vigilance', { sqlstate => '42501', requests => 0 }, 'not all of them');
refuses($bruno, 'SELECT * FROM instruction.suivi', { sqlstate => '42501', requests => 0 }, 'nor the register');
for my $table (qw(entreprise_attestations entreprise_unite_legale))
{
	refuses($anne, "SELECT * FROM entreprise.$table WHERE siren = '000003012'",
		{ sqlstate => '42501', requests => 0 }, "anne has no right on $table");
}

# With a right on a table, and no token: the error says what lacks.
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA entreprise TO anne; GRANT SELECT (siret, type, statut)'
	. ' ON entreprise.entreprise_attestations TO anne;');
refuses($anne, "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$phare'", {
		sqlstate => '42704', requests => 0,
		message => 'user mapping not found for role "anne" on foreign server "entreprise"' },
	'a role without a mapping: no request');
refuses($anne, "SELECT motif FROM entreprise.entreprise_attestations WHERE siret = '$phare'",
	{ sqlstate => '42501', requests => 0 }, 'a column without a grant: no request');
# grants on columns hold with a mapping too
$node->safe_psql('postgres', "GRANT prequalification TO anne; REVOKE SELECT ON entreprise.entreprise_attestations"
	. ' FROM prequalification; GRANT SELECT (siret, type, statut) ON entreprise.entreprise_attestations TO prequalification;');
$anne->query('SET ROLE prequalification');
stub_reset();
is($anne->value("SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$phare' AND type = 'attestation_vigilance'"),
	'conforme', 'columns with a grant');
is(sent(), vigilance('prequalification', $phare), 'are asked');
refuses($anne, "SELECT statut FROM entreprise.entreprise_attestations WHERE siret = '$phare' AND motif = 'x'",
	{ sqlstate => '42501', requests => 0 }, 'not even a condition on another column');
$anne->query('RESET ROLE');

# ===================================================================
# No request for a company that the view filters out
# ===================================================================
# bruno's company: by constant, list, bind, join, subquery, outer join, LIKE
for my $query (
	"SELECT * FROM instruction.vigilance WHERE siret = '$detour'",
	"SELECT * FROM instruction.vigilance WHERE siret IN ('$detour', '00000307900019')",
	"EXECUTE one ('$detour')",
	"SELECT v.* FROM (VALUES ('$detour')) AS k (s) JOIN instruction.vigilance AS v ON v.siret = k.s",
	"SELECT * FROM instruction.vigilance WHERE siret = (SELECT '$detour' OFFSET 0)",
	"SELECT v.siret FROM (VALUES ('$detour')) AS k (s) LEFT JOIN LATERAL (SELECT * FROM instruction.vigilance WHERE siret = k.s) AS v ON true WHERE v.siret IS NOT NULL",
	"SELECT * FROM instruction.vigilance WHERE siret LIKE '000003111%'")
{
	$anne->query('DEALLOCATE ALL');
	$anne->query('PREPARE one (text) AS SELECT * FROM instruction.vigilance WHERE siret = $1');
	stub_reset();
	is($anne->value($query), '', "no row: $query");
	unlike(sent(), qr/000003111|000003079/, 'and no request about it');
}
stub_reset();
is($anne->value("SELECT siret FROM instruction.vigilance WHERE siret IN ('$phare', '$detour')"), $phare,
	'of two, hers');
is(sent(), vigilance('instruction', $phare), 'one request');

# nor by another key of the table, which the view shows
$node->safe_psql('postgres', <<'SQL');
SET ROLE instruction;
CREATE VIEW instruction.vigilance_siren WITH (security_barrier) AS
	SELECT a.*
	FROM (SELECT siret FROM instruction.suivi WHERE agent = current_user OFFSET 0) AS s
	     CROSS JOIN LATERAL (SELECT * FROM entreprise.entreprise_attestations AS a
	                         WHERE a.siret = s.siret AND a.type = 'attestation_vigilance' OFFSET 0) AS a;
GRANT SELECT ON instruction.vigilance_siren TO anne;
SQL
for my $condition ("siren = '000003111'", "siren = '000003111' AND siret = '$detour'", "siret = '$detour' AND contexte = 'Autre'")
{
	stub_reset();
	is($anne->value("SELECT statut FROM instruction.vigilance_siren WHERE $condition"), '', "no row: $condition");
	unlike(sent(), qr/000003111/, 'and no request about it');
}

# whatever the planner thinks of it
for my $setting (qw(enable_nestloop enable_hashjoin enable_mergejoin apigouv_fdw.enable_lookup_join enable_material enable_memoize))
{
	$anne->query("SET $setting = off");
	stub_reset();
	is($anne->value("SELECT count(*) FROM instruction.vigilance WHERE siret = '$detour'"), '0', "$setting off: no row");
	is($anne->value('SELECT count(*) FROM instruction.vigilance'), '2', 'all of hers');
	is(sent(), join("\n", map { vigilance('instruction', $_) } $phare, $ecluse), 'only these are asked about');
	$anne->query("RESET $setting");
}

# this one would have every source asked
refuses($anne, 'SET apigouv_fdw.enable_pushdown = off', { sqlstate => '42501', requests => 0 },
	'she cannot have other sources asked than the view does');

# A function of hers sees no row but hers, and makes no request for another.
$anne->query('CREATE FUNCTION pg_temp.leaks(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS'
	. q( $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$));
$anne->query('CREATE OPERATOR pg_temp.=== (FUNCTION = pg_temp.same, LEFTARG = text, RIGHTARG = text)')
  if $anne->value('CREATE FUNCTION pg_temp.same(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS'
	. q( $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN $1 = $2; END $$)) eq '';
for my $condition ('pg_temp.leaks(siret)', 'pg_temp.leaks(statut)', "siret OPERATOR(pg_temp.===) '$detour'",
	"pg_temp.leaks(siret) AND siret = '$detour'", "CASE WHEN pg_temp.leaks(siret) THEN siret = '$detour' END")
{
	stub_reset();
	my $result = $anne->query("SELECT * FROM instruction.vigilance WHERE $condition");
	is($result->{sqlstate}, undef, $condition) or diag($result->{err});
	my %hers = map { $_ => 1 } $phare, $ecluse, 'conforme', 'non_conforme';
	is(scalar(grep { !/^seen (\S+)$/ || !$hers{$1} } @{ $result->{notices} }), 0, 'has seen no row of others');
	unlike(sent(), qr/000003111/, 'nor made a request for one');
}
# a company whose source is down is told to who has it in a file, to no other
faults({ api => 'entreprise', times => -1, status => 503, body => envelope('04020', 'Fournisseur en maintenance') });
is($anne->query("SELECT * FROM instruction.vigilance WHERE siret = '$detour'")->{sqlstate}, undef,
	'nor learns by an error how it is with another');
faults();

# ===================================================================
# A purpose that the view fixes
# ===================================================================
$node->safe_psql('postgres', <<'SQL');
SET ROLE instruction;
CREATE VIEW instruction.subventions WITH (security_barrier) AS
	SELECT siret, statut, contexte FROM entreprise.entreprise_attestations
	WHERE type = 'attestation_vigilance' AND contexte = 'Subventions';
GRANT SELECT ON instruction.subventions TO anne;
SQL
$anne->query("SET apigouv_fdw.context = 'Autre'");
stub_reset();
is($anne->value("SELECT statut FROM instruction.subventions WHERE siret = '$phare'"), 'conforme', 'a view with its own context');
like((requests())[0]{query}, qr/context=Subventions/, 'asks with it, whatever is set');
for my $condition ("contexte = 'Autre'", "contexte IN ('Autre', 'Encore')", "contexte = (SELECT 'Autre' OFFSET 0)",
	"contexte = ANY (ARRAY(SELECT 'Autre'))")
{
	stub_reset();
	is($anne->value("SELECT statut FROM instruction.subventions WHERE siret = '$phare' AND $condition"), '', "no row: $condition");
	is(scalar(grep { $_->{query} !~ /context=Subventions/ } requests()), 0, 'no request with another');
}

done_testing();
