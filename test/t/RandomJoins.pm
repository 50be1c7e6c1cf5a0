# Random joins for random_joins.pl: a driver (a local table, VALUES, a set
# function, a foreign table of few rows, or a query over these), then one to
# three steps, each of which asks another table by keys made from what is in
# scope so far.  So one table's rows can be the keys of the next.
#
# A query names tables as {name}: the foreign ones, or their local copies.
# Keys are only made so that the copies know the answer: a key that no copy
# was made with is a key that no row has.
package RandomJoins;

use strict;
use utf8;
use warnings;

use RandomQueries;

BEGIN
{
	*pick = \&RandomQueries::pick;
	*chance = \&RandomQueries::chance;
}

# ---- tables ----

# keys: domain => column that the API can be asked by; gives: domain => column
# that holds such values; shown, ints, texts: columns of results and of
# clauses between two tables; filters: conditions on {a}, its alias.
# demands: it cannot be read without its keys, so that nothing may hide them.
my @structures_filters = ("{a}.kind = 'EI'", "{a}.kind IN ('EI', 'ACI', 'ETTI')", '{a}.is_active', 'NOT {a}.is_active',
	"{a}.department = '35'", "{a}.name LIKE '%e%'", '{a}.id % 2 = 0', '{a}.updated_at IS NOT NULL',
	"coalesce({a}.kind, '') <> 'EI'", '{a}.id BETWEEN 1001 AND 1006', "{a}.presta_types && ARRAY['BUILD']", '{a}.id > 1003');
my %structures = (
	keys => { id => 'id', siret => 'siret', siren => 'siren', dep => 'department', ids => 'id', sirets => 'siret',
		start => 'siret' },
	gives => { id => 'id', siret => 'siret', siren => 'siren', dep => 'department' },
	shown => [qw(id siret siren kind department is_active)], ints => ['id'], texts => [qw(siret siren kind department)]);
my %tables = (
	ms => { %structures, filters => \@structures_filters },
	mh => { %structures, filters => [ grep { !/presta|updated|name/ } @structures_filters ] },
	di => {
		keys => { sid => 'id', dep => 'code_departement' },
		gives => { sid => 'id', siret => 'siret', siren => 'siren', dep => 'code_departement' },
		shown => [qw(id source siret code_insee score_qualite)], ints => [], texts => [qw(id source siret code_insee)],
		filters => [ "{a}.source = 'dora'", '{a}.score_qualite >= 0.5', '{a}.siret IS NOT NULL', "{a}.id LIKE '%-1'",
			"{a}.code_departement = '35'", "{a}.source <> 'dora'" ]
	},
	ds => {
		keys => { sid => 'structure_id', vid => 'id', dep => 'code_departement' },
		gives => { sid => 'structure_id', vid => 'id' },
		shown => [qw(id structure_id type frais score_qualite)], ints => [], texts => [qw(id structure_id source type)],
		filters => [ "{a}.type = 'formation'", "{a}.frais = 'gratuit'", '{a}.score_qualite > 0.3', "{a}.id LIKE '%-0'" ]
	},
	ea_siret => {
		keys => { siret => 'siret', sirets => 'siret' }, demands => 1,
		gives => { siret => 'siret', siren => 'siren' },
		shown => [qw(siret type statut categorie erreur)], ints => [], texts => [qw(type statut categorie fournisseur)],
		filters => [ "{a}.statut = 'conforme'", '{a}.statut IS NOT NULL', "{a}.niveau IS DISTINCT FROM 'x'" ],
		always => [
			"{a}.type = 'attestation_vigilance'", "{a}.type = 'attestation_fiscale'",
			"{a}.type IN ('conformite_cotisations_msa', 'certification_rge')",
			"{a}.categorie = 'certification' AND {a}.fournisseur <> 'ADEME'", "{a}.fournisseur = 'URSSAF'", 'true' ]
	},
	af_siret => {
		keys => { siret => 'siret' }, demands => 1,
		gives => { siret => 'siret' },
		shown => [qw(siret date_delivrance_attestation erreur)], ints => [], texts => ['siret'],
		filters => [ "{a}.date_delivrance_attestation > '2020-01-01'", '{a}.erreur IS NULL' ]
	},
	mt => {
		keys => { territory => [qw(code_type_territoire code_territoire)] }, demands => 1,
		gives => { territory => [qw(code_type_territoire code_territoire)] },
		shown => [qw(code_type_territoire code_territoire code_rome code_periode code_indicateur niveau)], ints => [],
		texts => [qw(code_periode code_indicateur code_territoire)],
		filters => [ '{a}.niveau IS NOT NULL', "{a}.code_indicateur <> 'PERSPECTIVE'" ],
		always => [
			"{a}.code_rome = 'D1102' AND {a}.code_periode IN ('2024', '2023')", "{a}.code_rome = 'A1203' AND {a}.code_periode = '2023'",
			"{a}.code_rome = 'D1102' AND {a}.code_indicateur = 'PERSPECTIVE'",
			"{a}.code_rome IN ('D1102', 'A1203') AND {a}.code_indicateur = 'PERSPECTIVE'" ]
	});
$tables{ea_siren} = { %{ $tables{ea_siret} }, keys => { siren => 'siren' }, gives => { siren => 'siren' } };
$tables{ea_siren}{shown} = [qw(siren type statut categorie erreur)];
$tables{af_siren} = { %{ $tables{af_siret} }, keys => { siren => 'siren' }, gives => { siren => 'siren' },
	shown => [qw(siren date_delivrance_attestation erreur)], texts => ['siren'] };

my %constants = (
	siret => [qw(00000301200010 00000302000013 00000303800015 00000311100010)],
	siren => [qw(000003012 000003020 000003111)],
	id => [ 1001, 1002, 1005, 1014, 999999 ],
	sid => [ 'dora--ateliers-du-phare-1', 'dora--chantier-de-l-ecluse-1', 'x--y' ],
	vid => [ 'dora--service-ateliers-du-phare-1-0', 'x--y' ],
	dep => [ '35', '59', '2A' ]);
my %type = (id => 'int');

# new(left_out => what whole rows do without)
sub new
{
	my ($class, %with) = @_;
	return bless {%with}, $class;
}

sub quoted { return $_[0] eq 'id' ? $_[1] : "'$_[1]'"; }
sub constant_of { return quoted($_[0], pick(@{ $constants{ $_[0] } })); }

sub fresh_alias
{
	my ($self) = @_;
	return 't' . ++$self->{aliases};
}

# What is in scope under an alias: kind is the name of its table.
sub scope_of
{
	my ($kind, $alias) = @_;
	my $table = $tables{$kind};
	return {
		kind => $kind,
		alias => $alias,
		gives => { map { my $column = $table->{gives}{$_};
				$_ => ref $column ? [ map { "$alias.$_" } @$column ] : "$alias.$column" } keys %{ $table->{gives} } },
		shown => [ map { "$alias.$_" } @{ $table->{shown} } ],
		ints => [ map { "$alias.$_" } @{ $table->{ints} } ],
		texts => [ map { "$alias.$_" } @{ $table->{texts} } ]
	};
}

# The local table, or a query that gives some of its columns.
sub local_scope
{
	my ($alias, @columns) = @_;
	my %has = map { $_ => 1 } @columns;
	return {
		kind => 'local',
		alias => $alias,
		gives => { (map { $_ => "$alias.$_" } grep { $has{$_} } qw(siret siren id sid vid dep ids sirets)),
			$has{siren} ? (start => "$alias.siren") : (), $has{code} ? (territory => [ "$alias.type", "$alias.code" ]) : () },
		shown => [ map { "$alias.$_" } @columns ],
		ints => [ map { "$alias.$_" } grep { $has{$_} } qw(n id) ],
		texts => [ map { "$alias.$_" } grep { $has{$_} } qw(siret siren sid dep type code) ]
	};
}

# ---- drivers: text of FROM, scopes, conditions ----

my @registry = qw(n siret siren id sid vid dep ids sirets);
my @drivers = (
	(sub {
		my ($self, $a) = @_;
		return ("{registry} $a", { %{ local_scope($a, @registry) }, kind => 'registry' });
	}) x 9,
	(sub {
		my ($self, $a) = @_;
		return ("{territories} $a", local_scope($a, qw(n type code)));
	}) x 2,
	sub {
		my ($self, $a) = @_;
		my $b = $self->fresh_alias;
		my $join = pick('JOIN', 'LEFT JOIN');
		return ("{registry} $a $join {registry} $b ON $b.n = $a.n + " . pick(1, 3), local_scope($a, @registry),
			local_scope($b, @registry));
	},
	sub {
		my ($self, $a) = @_;
		my $column = pick(qw(siret siren id sid));
		return (pick(
				"(SELECT $column, count(*)::int AS n FROM {registry} GROUP BY $column) $a",
				"(SELECT DISTINCT ON ($column) n, $column FROM {registry} ORDER BY $column, n) $a",
				"(SELECT n, $column FROM {registry} ORDER BY $column DESC NULLS LAST, n LIMIT 5) $a",
				"(SELECT max(n) AS n, $column FROM {registry} GROUP BY $column HAVING count(*) < 3) $a"),
			local_scope($a, 'n', $column));
	},
	sub {
		my ($self, $a) = @_;
		my $column = pick(qw(siret siren id sid));
		my @values = map { $_ . ', ' . (chance(0.15) ? "NULL::@{[ $type{$column} // 'text' ]}" : constant_of($column)) }
		  1 .. pick(1, 3, 6);
		return ('(VALUES ' . join(', ', map { "($_)" } @values) . ") $a (n, $column)", local_scope($a, 'n', $column));
	},
	sub {
		my ($self, $a) = @_;
		my ($from, $to) = (pick(998, 1001), pick(1001, 1006));
		return ("generate_series($from, $to) $a (id)", { %{ local_scope($a, 'id') }, kind => 'query' });
	},
	sub {
		my ($self, $a) = @_;
		my $column = pick(qw(siret siren id sid));
		my $values = join ', ', map { constant_of($column) } 1 .. pick(1, 3, 5);
		return ("unnest(ARRAY[$values]) WITH ORDINALITY $a ($column, n)", local_scope($a, 'n', $column));
	},
	sub {
		my ($self, $a) = @_;
		$self->{with} = 'WITH registre_lu AS ' . pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')
		  . '(SELECT ' . join(', ', @registry) . ' FROM {registry} WHERE n <> 3) ';
		return ("registre_lu $a", local_scope($a, @registry));
	},
	sub {
		my ($self, $a) = @_;
		my $kind = pick(qw(ms mh));
		return ("{$kind} $a", scope_of($kind, $a), pick("$a.siren = '000003012'", "$a.id IN (1001, 1003, 1005, 1014)"));
	},
	sub {
		my ($self, $a) = @_;
		return ("{di} $a", scope_of('di', $a),
			"$a.id IN ('dora--ateliers-du-phare-1', 'dora--ateliers-du-phare-2', 'dora--chantier-de-l-ecluse-1')");
	});

# ---- keys ----

# A value of a domain as an expression of the same value, or of one that the
# copies have as well.
sub key_expression
{
	my ($self, $domain, $expression, $demanded) = @_;
	my $way = rand();

	return $expression if $way < 0.5;
	if ($domain eq 'id')
	{
		return pick("$expression + 0", "coalesce($expression, 1001)", "nullif($expression, 1002)",
			"($expression)::bigint", "abs($expression)", "$expression\::text::int", "greatest($expression, 1001)",
			"CASE WHEN $expression > 1002 THEN $expression END");
	}
	my $constant = constant_of($domain);
	my @ways = ("$expression || ''", "$expression\::varchar", "coalesce($expression, $constant)",
		"nullif($expression, $constant)", "CASE WHEN $expression > $constant THEN $expression END",
		"left($expression, 2) || substr($expression, 3)", "trim($expression)");
	push @ways, "left($expression, 14)", "$expression\::char(14)::text", "concat($expression)" if $domain eq 'siret';
	push @ways, "left($expression, 9)" if $domain eq 'siren';
	return pick(@ways);
}

# An equality of a key with what scopes give, or nothing.  A demanded key is
# said so that every route can see it.
sub key_condition
{
	my ($self, $kind, $domain, $alias, @scopes) = @_;
	my $column = $tables{$kind}{keys}{$domain};
	my $with = pick(grep { defined } map { $_->{gives}{$domain} } @scopes);
	my $siret = (grep { defined } map { $_->{gives}{siret} } @scopes)[0];
	my $demanded = $tables{$kind}{demands};

	if (ref $column)
	{
		return join ' AND ', map { "$alias.$column->[$_] = $with->[$_]" } 0 .. $#$column;
	}
	return "$alias.$column = ANY ($with)" if $domain =~ /^(?:ids|sirets)$/;
	return pick("left($alias.$column, 9) = $with", "$alias.$column LIKE $with || '%'") if $domain eq 'start';
	$with = "left($siret, 9)" if $domain eq 'siren' && defined $siret && (!defined $with || chance(0.4));
	my $value = $self->key_expression($domain, $with, $demanded);
	my $way = rand();
	return "$value = $alias.$column" if $way < 0.15;
	if (!$demanded)
	{
		return "$alias.$column IN ($value, " . constant_of($domain) . ')' if $way < 0.2;
		return "$alias.$column = ANY (ARRAY[$value, " . constant_of($domain) . '])' if $way < 0.25;
		return "($alias.$column = $value OR $alias.$column = " . constant_of($domain) . ')' if $way < 0.28;
	}
	return "$alias.$column = $value";
}

# A table that can be asked with what is in scope, and how: kind, domain.
sub next_table
{
	my ($self, @scopes) = @_;
	my %given = map { map { $_ => 1 } keys %{ $_->{gives} } } @scopes;
	$given{siren} = 1 if $given{siret};
	my @ways;
	for my $kind (sort keys %tables)
	{
		push @ways, map { [ $kind, $_ ] } grep { $given{$_} } sort keys %{ $tables{$kind}{keys} };
	}
	# each table as often, whatever the number of its keys
	my %by_kind;
	push @{ $by_kind{ $_->[0] } }, $_ for @ways;
	return unless @ways;
	return @{ pick(@{ $by_kind{ pick(sort keys %by_kind) } }) };
}

sub filters
{
	my ($self, $kind, $alias, $with_always) = @_;
	my $table = $tables{$kind};
	my @filters;
	push @filters, pick(@{ $table->{always} }) if $table->{always} && $with_always;
	push @filters, pick(@{ $table->{filters} }) if chance(0.35);
	return map { s/\{a\}/$alias/gr } @filters;
}

# A clause between a table and one before it that no API could take.
sub residual
{
	my ($self, $scope, @others) = @_;
	my $other = pick(@others);
	my @clauses;
	push @clauses, pick(@{ $scope->{ints} }) . pick(' > ', ' <> ', ' % 2 >= ') . pick(@{ $other->{ints} })
	  if @{ $scope->{ints} } && @{ $other->{ints} };
	if (@{ $scope->{texts} } && @{ $other->{texts} })
	{
		my ($mine, $its) = (pick(@{ $scope->{texts} }), pick(@{ $other->{texts} }));
		push @clauses, "$mine <> $its", "$mine IS DISTINCT FROM $its", "length($mine) <= length($its)",
		  "coalesce($mine, 'x') >= left($its, 1)";
	}
	return @clauses ? pick(@clauses) : 'true';
}

# ---- steps ----

# A table with its conditions on the scopes: alias, conditions, its scope.
sub asked_table
{
	my ($self, @scopes) = @_;
	my ($kind, $domain) = $self->next_table(@scopes) or return;
	my $alias = $self->fresh_alias;
	my $scope = scope_of($kind, $alias);
	my @conditions = ($self->key_condition($kind, $domain, $alias, @scopes), $self->filters($kind, $alias, 1));
	push @conditions, $self->residual($scope, @scopes) if chance(0.3);
	my ($second, $domain2) = ($kind, pick(sort keys %{ $tables{$kind}{keys} }));
	push @conditions, $self->key_condition($second, $domain2, $alias, @scopes)
	  if $domain2 ne $domain && chance(0.3) && grep { defined $_->{gives}{$domain2} } @scopes;
	@conditions = reverse @conditions if chance(0.2);
	return { name => "{$kind} $alias", alias => $alias, kind => $kind, on => join(' AND ', @conditions), scope => $scope };
}

my %steps = (
	inner => sub {
		my ($self, $query) = @_;
		my $asked = $self->asked_table(@{ $query->{scopes} }) or return;
		if (chance(0.3))
		{
			$query->{from} .= " CROSS JOIN $asked->{name}";
			push @{ $query->{where} }, $asked->{on};
		}
		else
		{
			$query->{from} .= " JOIN $asked->{name} ON $asked->{on}";
		}
		push @{ $query->{scopes} }, $asked->{scope};
		return;
	},
	left => sub {
		my ($self, $query) = @_;
		my $asked = $self->asked_table(@{ $query->{scopes} }) or return;
		my $before = $query->{from} =~ /JOIN/ ? "($query->{from})" : $query->{from};
		$query->{from} =
		  chance(0.2)
		  ? "$asked->{name} RIGHT JOIN $before ON $asked->{on}"
		  : "$query->{from} LEFT JOIN $asked->{name} ON $asked->{on}";
		push @{ $query->{where} }, "$asked->{scope}{shown}[0] IS NULL" if chance(0.15);
		push @{ $query->{scopes} }, $asked->{scope};
		return;
	},
	# the side that may lack is a join itself
	left_join => sub {
		my ($self, $query) = @_;
		my $first = $self->asked_table(@{ $query->{scopes} }) or return;
		my $second = $self->asked_table($first->{scope}) or return;
		my $join = pick('JOIN', 'LEFT JOIN');
		$query->{from} .= " LEFT JOIN ($first->{name} $join $second->{name} ON $second->{on}) ON $first->{on}";
		push @{ $query->{scopes} }, $first->{scope}, $second->{scope};
		return;
	},
	exists => sub {
		my ($self, $query) = @_;
		my $asked = $self->asked_table(@{ $query->{scopes} }) or return;
		my $inside = chance(0.3) ? $self->asked_table($asked->{scope}) : undef;
		my $from = $asked->{name} . ($inside ? " JOIN $inside->{name} ON $inside->{on}" : '');
		push @{ $query->{where} }, pick('', '', 'NOT ') . "EXISTS (SELECT FROM $from WHERE $asked->{on})";
		return;
	},
	in => sub {
		my ($self, $query) = @_;
		my ($kind, $domain) = $self->next_table(@{ $query->{scopes} }) or return;
		return if $domain =~ /^(?:ids|sirets|start)$/;
		my ($with) = grep { defined && !ref } map { $_->{gives}{$domain} } @{ $query->{scopes} };
		return unless defined $with;
		my $alias = $self->fresh_alias;
		my $value = $self->key_expression($domain, $with, $tables{$kind}{demands});
		my $where = join ' AND ', $self->filters($kind, $alias, 1);
		push @{ $query->{where} }, "$value IN (SELECT $alias.$tables{$kind}{keys}{$domain} FROM {$kind} $alias"
		  . ($where ne '' ? " WHERE $where)" : ')');
		return;
	},
	lateral => sub {
		my ($self, $query) = @_;
		my $asked = $self->asked_table(@{ $query->{scopes} }) or return;
		my $shown = $tables{ $asked->{kind} }{shown};
		my $end = pick('', 'OFFSET 0', 'ORDER BY ' . join(', ', 1 .. @$shown) . ' LIMIT ' . pick(1, 2));
		my $columns = join ', ', map { "$asked->{alias}.$_" } @$shown;
		my $alias = $self->fresh_alias;
		my $join = chance(0.5) ? 'CROSS JOIN' : 'LEFT JOIN';
		$query->{from} .= " $join LATERAL (SELECT $columns FROM $asked->{name} WHERE $asked->{on} $end) $alias"
		  . ($join eq 'LEFT JOIN' ? ' ON true' : '');
		my %has = map { $_ => 1 } @$shown;
		my $scope = scope_of($asked->{kind}, $alias);
		$scope->{$_} = [ grep { $has{s/.*\.//r} } @{ $scope->{$_} } ] for qw(ints texts);
		my $gives = $tables{ $asked->{kind} }{gives};
		ref $gives->{$_} || $has{ $gives->{$_} } || delete $scope->{gives}{$_} for keys %$gives;
		$scope->{kind} = 'query';
		push @{ $query->{scopes} }, $scope;
		return;
	},
	scalar => sub {
		my ($self, $query) = @_;
		my $asked = $self->asked_table(@{ $query->{scopes} }) or return;
		my $column = pick(grep { !/is_active/ } @{ $asked->{scope}{shown} });
		push @{ $query->{more} }, '(SELECT '
		  . pick('count(*)', "min($column)", "max($column)", "string_agg($column\::text, ',' ORDER BY $column)")
		  . " FROM $asked->{name} WHERE $asked->{on})";
		return;
	});
my @steps = map { my ($name, $times) = @$_; ($name) x $times }
  ([ inner => 7 ], [ left => 6 ], [ left_join => 1 ], [ exists => 3 ], [ in => 2 ], [ lateral => 2 ], [ scalar => 1 ]);

# ---- results ----

# What one table of the query shows: columns, its row as a whole, a system
# column.
sub results_of
{
	my ($self, $scope) = @_;
	my @all = @{ $scope->{shown} };
	my @results = grep { chance(0.5) } @all;
	my $alias = $scope->{alias};

	return @results if $scope->{kind} eq 'query';
	push @results, pick("$alias.ctid", "$alias.tableoid::regclass", "$alias.xmin IS NULL")
	  if chance(0.1) && $scope->{kind} eq 'registry';
	push @results, pick("to_jsonb($alias) - $self->{left_out}", "$alias IS NOT NULL", "$alias IS NULL", "num_nulls($alias)")
	  if chance(0.15);
	push @results, "$alias.tableoid = '{$scope->{kind}}'::regclass" if chance(0.1) && $scope->{kind} =~ /^(?!mh|local|registry)/;
	return @results;
}

sub select_list
{
	my ($self, $query) = @_;
	my @scopes = grep { defined $_->{alias} } @{ $query->{scopes} };
	my @results = map { $self->results_of($_) } @scopes;
	@results = $scopes[0]{shown}[0] unless @results;
	return (@results, @{ $query->{more} // [] });
}

# A whole SELECT: its text, with {outer} where a condition can go, and how
# many columns it has.
sub select_text
{
	my ($self, $depth) = @_;
	my $alias = $self->fresh_alias;
	my ($from, @rest) = pick(@drivers)->($self, $alias);
	my @scopes = grep { ref } @rest;
	my @where = grep { !ref } @rest;
	my $query = { from => $from, scopes => \@scopes, where => \@where, more => [] };

	push @where, pick("$scopes[0]{ints}[0] % 3 <> 1", "$scopes[0]{ints}[0] > 2") if chance(0.15) && @{ $scopes[0]{ints} };
	$steps{ pick(@steps) }->($self, $query) for 1 .. pick(1, 1, 1, 2, 2, 3);
	my @results = $self->select_list($query);
	my ($n) = (@{ $scopes[0]{ints} }, '1');
	return {
		list => \@results,
		from => $query->{from},
		n => $n,
		lockable => $from =~ /^\{registry\} t\d+$/ ? $alias : undef,
		where => \@where
	};
}

sub text_of
{
	my ($select, %with) = @_;
	my @where = (@{ $select->{where} }, $with{where} // ());
	return 'SELECT ' . ($with{list} // join(', ', @{ $select->{list} })) . " FROM $select->{from}"
	  . (@where ? ' WHERE ' . join(' AND ', map { "($_)" } @where) : '');
}

# Each gives: the text, and ordered => by how many of the first columns.
my %wholes = (
	plain => sub {
		my ($self, $select) = @_;
		return (text_of($select));
	},
	distinct => sub {
		my ($self, $select) = @_;
		return (text_of($select) =~ s/^SELECT/SELECT DISTINCT/r);
	},
	ordered => sub {
		my ($self, $select) = @_;
		my $by = pick(1 .. @{ $select->{list} });
		return (text_of($select) . ' ORDER BY ' . join(', ', map { $_ . pick('', '', ' DESC') } 1 .. $by),
			ordered => $by);
	},
	# the order that an index on the registry can give
	by_number => sub {
		my ($self, $select) = @_;
		return (text_of($select, list => join(', ', $select->{n}, @{ $select->{list} })) . ' ORDER BY 1', ordered => 1);
	},
	limited => sub {
		my ($self, $select) = @_;
		my $by = @{ $select->{list} };
		return (text_of($select) . ' ORDER BY ' . join(', ', 1 .. $by) . ' LIMIT ' . pick(1, 2, 3, 10)
			  . pick('', '', ' OFFSET 1'), ordered => $by);
	},
	count_limited => sub {
		my ($self, $select) = @_;
		return ('SELECT count(*) FROM (' . text_of($select, list => '1') . ' LIMIT ' . pick(1, 2, 4, 20) . ') s');
	},
	exists => sub {
		my ($self, $select) = @_;
		return ('SELECT ' . pick('', 'NOT ') . 'EXISTS (' . text_of($select) . ')');
	},
	count => sub {
		my ($self, $select) = @_;
		my $x = $select->{list}[0];
		return (text_of($select, list => "count(*), count($x), count(DISTINCT $x)"));
	},
	grouped => sub {
		my ($self, $select) = @_;
		my $x = pick(grep { !/^\(/ } @{ $select->{list} });
		return (text_of($select, list => "$x, count(*)") . " GROUP BY $x" . (chance(0.3) ? ' HAVING count(*) > 1' : ''));
	},
	window => sub {
		my ($self, $select) = @_;
		return (text_of($select, list => join(', ', @{ $select->{list} }) . ', count(*) OVER (PARTITION BY '
				  . $select->{list}[0] . ')'));
	},
	cte => sub {
		my ($self, $select) = @_;
		my $inside = text_of($select);
		return ('WITH c AS ' . pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($self->{with}$inside) "
			  . pick('SELECT * FROM c', 'SELECT count(*) FROM c', 'SELECT * FROM c UNION ALL SELECT * FROM c'), whole => 1);
	},
	# the join starts again for each row of another table
	again => sub {
		my ($self, $select) = @_;
		my ($join, $on) = @{ pick([ 'CROSS JOIN', '' ], [ 'LEFT JOIN', ' ON true' ]) };
		return ("SELECT g, s.* FROM generate_series(0, 2) g $join LATERAL ("
			  . text_of($select, where => "$select->{n} > g * 4") . " OFFSET 0) s$on");
	},
	both => sub {
		my ($self, $select) = @_;
		my $other = $self->select_text;
		return ($self->{with} . join(' UNION ALL ', map { 'SELECT row_to_json(s)::text FROM (' . text_of($_) . ') s' }
				  $select, $other), whole => 1);
	});
my @wholes = map { my ($name, $times) = @$_; ($name) x $times } (
	[ plain => 8 ], [ distinct => 1 ], [ ordered => 2 ], [ by_number => 2 ], [ limited => 2 ], [ count_limited => 2 ],
	[ exists => 1 ], [ count => 2 ], [ grouped => 1 ], [ window => 1 ], [ cte => 1 ], [ again => 1 ], [ both => 1 ]);

# One query: sql, kind, how it is run, before and after (what stands around
# it), ordered => how many of its first columns say the order of its rows.
sub next_query
{
	my ($self) = @_;
	$self->{aliases} = 0;
	$self->{with} = '';
	my $kind = pick(@wholes);
	my $select = $self->select_text;
	my ($sql, %is) = $wholes{$kind}->($self, $select);
	$sql = "$self->{with}$sql" unless $is{whole};
	my $how = pick(qw(plain plain plain plain prepared cursor into));
	$how = 'locked' if $kind eq 'plain' && $select->{lockable} && $select->{from} !~ /RIGHT JOIN/ && chance(0.2);
	$sql .= " FOR UPDATE OF $select->{lockable}" if $how eq 'locked';
	my ($before, $after) = ('', '');
	($before, $after) = ("SET plan_cache_mode = force_generic_plan; PREPARE q AS ", ";\nEXECUTE q;\nDEALLOCATE q;\nRESET plan_cache_mode")
	  if $how eq 'prepared';
	($before, $after) = ('DECLARE c CURSOR FOR ', ";\nFETCH 1 FROM c;\nFETCH @{[ pick(1, 3) ]} FROM c;\nFETCH ALL FROM c;\nCLOSE c")
	  if $how eq 'cursor';
	if ($how eq 'into')
	{
		# columns of one name cannot stand in one table
		$sql = "SELECT row_to_json(s)::text FROM ($sql) s";
		$is{ordered} = 0;
		($before, $after) = chance(0.5)
		  ? ('CREATE TEMP TABLE gardees AS ', ";\nTABLE gardees;\nDROP TABLE gardees")
		  : ("CREATE TEMP TABLE gardees (x text); INSERT INTO gardees ", ";\nTABLE gardees;\nDROP TABLE gardees");
	}
	return { kind => $kind, how => $how, sql => $sql, before => $before, after => $after, ordered => $is{ordered} // 0 };
}

1;
