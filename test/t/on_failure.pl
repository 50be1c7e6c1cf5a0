# apigouv_fdw.on_failure on every keyed table: of many keys in one query (300
# for the sources of attestations and the lists), one gets a 504.  With "row", the others answer as ever, that key gives one row
# with its key columns and the error, and one warning counts it; with "error",
# the statement fails.  pg_regress cannot show it: one request among many is
# made to fail by the local API server.
use strict;
use utf8;
use warnings;

use ApigouvDefinitions qw(with_check);
use ApigouvTest;
use Test::More;

my $KEYS = 300;
my $FEW = 30;

my $node = new_cluster('on_failure');
my $session = session($node);

# tables that share their requests must not help one another
$session->query('SET apigouv_fdw.keep_after_error_s = 0');

sub in_list { return '(' . join(', ', map { "'$_'" } @_) . ')'; }

my @sirens = map { with_check(sprintf '%08d', 10_000 + $_) } 1 .. $KEYS;
my @sirets = map { with_check("${_}0001") } @sirens;
my $sirets = in_list(@sirets);

# Keys of a list of the API itself.
sub listed
{
	my ($table, $column) = @_;
	return in_list(split /\n/, $session->value(
		"SELECT DISTINCT $column FROM $table ORDER BY 1 LIMIT $KEYS"));
}

# Table, key columns, condition on 300 keys.  A list of all rows must not be
# cheaper than 300 requests.
run_sql($session, map { "ALTER SERVER $_ OPTIONS (ADD retries '0', ADD request_cost '0')" }
	  qw(marche_inclusion data_inclusion entreprise marche_travail));
my @sources = split /\n/, $session->value(
	"SELECT DISTINCT 'entreprise_' || regexp_replace(type, 'certification_(rge|qualifelec)', 'certifications_\\1')"
	. " FROM entreprise.entreprise_attestations WHERE siret = '$ApigouvTest::SIRET' ORDER BY 1");
is(scalar(@sources), 13, 'the sources of attestations have tables of their own');
my @others = map { [ split /\|/ ] } split /\n/, $session->value(
	q(SELECT "table" || '|' || CASE WHEN 'siret' = ANY (keys) THEN 'siret' ELSE 'siren' END FROM apigouv_tables)
	. q( WHERE api = 'entreprise' AND keys && '{siret,siren}' AND "table" <> 'entreprise_attestations')
	. ' AND "table" NOT IN ' . in_list(@sources) . ' ORDER BY 1');
my @departements = map { sprintf '%02d', $_ } 1 .. 19, 21 .. 76;
my @cases = (
	[ 'marche_inclusion.structures', 'id', 'id IN ' . in_list(1001 .. 1000 + $KEYS) ],
	[ 'marche_inclusion.structures', 'siret', "siret IN $sirets" ],
	[ 'data_inclusion.structures', 'id', 'id IN ' . listed('data_inclusion.structures', 'id') ],
	[ 'data_inclusion.services', 'id', 'id IN ' . listed('data_inclusion.services', 'id') ],
	[ 'data_inclusion.services', 'structure_id',
		'structure_id IN ' . listed('data_inclusion.structures', 'id') ],
	(map { [ "entreprise.$_", 'siret', "siret IN $sirets" ] } @sources),
	(map {
		my ($table, $key) = @$_;
		my @keys = ($key eq 'siret' ? @sirets : @sirens)[ 0 .. $FEW - 1 ];
		[ "entreprise.$table", $key, "$key IN " . in_list(@keys), $FEW ]
	} @others),
	[ 'marche_travail.marche_travail_tensions', 'code_territoire, code_rome',
		"code_type_territoire = 'DEP' AND derniere_periode"
		. ' AND code_territoire IN ' . in_list(@departements)
		. ' AND code_rome IN ' . in_list(qw(D1102 F1703 K2204 N4101)) ],
	[ 'marche_travail.marche_travail_activites', 'code_rome',
		'code_rome IN ' . in_list(map { sprintf 'D%04d', $_ } 1 .. $KEYS) ],
	# a list answers for several territories
	[ 'marche_travail.marche_travail_territoires', 'code_territoire',
		"code_type_territoire = 'COM' AND code_territoire = '35238'", 1 ]);

for my $case (@cases)
{
	my ($table, $key, $condition, $n) = (@$case, $KEYS);
	my $name = "$table by $key";
	my $query = "SELECT concat_ws('/', $key) || '|' || coalesce(erreur, '') || '|'"
	  . " || (SELECT count(*) FROM jsonb_each(to_jsonb(t)) WHERE value <> 'null') FROM $table t WHERE $condition";
	my $api = $table =~ s/\..*//r;
	my @failure = ({
		api => $api, path => $api eq 'marche_travail' ? '/partenaire/' : '/',
		skip => $n > 1 ? int($n * 5 / 6) - 1 : 0, times => 1, status => 504, body => '<html>' });

	# all keys answer
	stub_reset();
	$session->query('RESET apigouv_fdw.on_failure');
	my $all = counted($session, $query, api => $api, path => qr{^(?!/connexion)});
	is($all->{requests} . ($all->{sqlstate} // ''), $n, "$name: $n requests")
	  or diag($all->{err});
	my @expected = sort split /\n/, $all->{out};

	# row
	$session->query("SET apigouv_fdw.on_failure = 'row'");
	faults(@failure);
	$session->query('BEGIN');
	my $result = $session->query($query);
	my @rows = sort split /\n/, $result->{out};
	my @failed = grep { /^[^|]*\|[^|]/ } @rows;
	my ($failed_key, $erreur) = split /\|/, $failed[0] // '|';
	is(scalar(@failed) . " $erreur", '1 HTTP 504', "$name: one row tells of the error");
	like($failed_key, qr{^[^/]+(/[^/]+)*$}, "$name: and which key it was");
	is_deeply(
		[ grep { !/^[^|]*\|[^|]/ } @rows ],
		[ grep { !/^\Q$failed_key\E\|/ } @expected ],
		"$name: the other keys answer as before");
	is(scalar(@{ $result->{notices} }), 1, "$name: one warning") or diag($result->{err});
	like($result->{notices}[0], qr/^1 key of foreign table "\w+" got an error$/, "$name: with the count");

	# count(*) of the same replies, which the transaction keeps
	my $count = counted($session, "SELECT count(*), count(erreur) FROM $table t WHERE $condition");
	is($count->{out} . $count->{requests}, @rows . "|1\n0", "$name: count(*) counts it");
	$session->query('COMMIT');

	# error, which names the key
	$session->query("SET apigouv_fdw.on_failure = 'error'");
	faults(@failure);
	refuses($session, $query, {
		sqlstate => 'HV00M', message => qq(foreign server "$api" is unavailable),
		context => qr/^foreign table "@{[ $table =~ s{.*\.}{}r ]}", key .* = "/ },
		"$name: on_failure = error names a key");
}
# ===================================================================
# One list for several keys: a row could not tell which of them failed
# ===================================================================
$session->query("SET apigouv_fdw.on_failure = 'row'");
my @list_failure = ({
	api => 'marche_travail', path => '/partenaire/', status => 504, body => '<html>', times => -1 });
my $territoires = 'SELECT code_type_territoire, erreur'
  . " FROM marche_travail.marche_travail_territoires WHERE code_type_territoire = 'COM'";
faults(@list_failure);
my $communes = in_list(map { sprintf '35%03d', $_ } 1 .. $KEYS);
refuses($session, "$territoires AND code_territoire IN $communes", {
	sqlstate => 'HV00M', message => 'foreign server "marche_travail" is unavailable', requests => 1 },
	'a list read for many keys: an error, never an empty result');
is($session->value($territoires), 'COM|HTTP 504', 'a list asked for as a whole: its row');

still_works($session, 'the session goes on after all these');

done_testing();
