# Random SQL over several foreign and local tables at once, for
# random_tables.pl: joins of every kind, subqueries, aggregates, windows, set
# operations, views, functions, arrays, prepared queries, cursors, changes of
# local tables.
#
# A query names tables without a schema; search_path says whether they are the
# foreign ones or their copies.  Tables that cannot be read without a key get
# theirs from constants or from columns whose every value the copies were made
# with; a value that is no key has no row in either.
#
# Nothing that is generated depends on the order in which things are done:
# no expression can fail, and what chooses among rows has a total order.
#
# A piece of text that can be left out is between \x01 and \x02, what may stand
# in its place after \x03: see variants, which makes a query that differs short.
package RandomTables;

use strict;
use utf8;
use warnings;

use RandomQueries;

BEGIN
{
	*pick = \&RandomQueries::pick;
	*chance = \&RandomQueries::chance;
	*literal = \&RandomQueries::literal;
}

# A piece that can be left out, or give way to another.
sub may { return "\x01$_[0]\x03" . ($_[1] // '') . "\x02"; }

# The text of a query as it is run.
sub plain_text
{
	my ($text) = @_;
	1 while $text =~ s/\x01([^\x01\x02\x03]*)\x03[^\x01\x02\x03]*\x02/$1/g;
	return $text;
}

# Texts with one piece less each, the longest pieces first.
sub variants
{
	my ($text) = @_;
	my (@open, @found);
	while ($text =~ /([\x01\x02])/g)
	{
		if ($1 eq "\x01") { push @open, pos($text) - 1; next; }
		my $from = pop @open;
		push @found, [ $from, pos($text) - $from ];
	}
	return map {
		my ($from, $length) = @$_;
		my $piece = substr $text, $from, $length;
		my $depth = 0;
		my $at = 0;
		for my $i (0 .. $length - 1)
		{
			my $c = substr $piece, $i, 1;
			$depth += $c eq "\x01" ? 1 : $c eq "\x02" ? -1 : 0;
			$at = $i if $c eq "\x03" && $depth == 1;
		}
		substr($text, 0, $from) . substr($piece, $at + 1, $length - $at - 2) . substr($text, $from + $length);
	} sort { $b->[1] <=> $a->[1] } @found;
}

# ---- tables ----

# columns: name => [type, domain]; a domain says which columns hold values of
# one kind.  key: domains that the table must be asked by.
my %structure = (id => [ 'integer', 'id' ], siret => [ 'text', 'siret' ], siren => [ 'text', 'siren' ], kind => [ 'text', 'kind' ],
	department => [ 'text', 'dep' ], name => ['text'], is_active => ['boolean'], updated_at => ['timestamp with time zone'],
	presta_types => ['text[]'], sectors_slugs => ['text[]']);
my %attested = (type => [ 'text', 'type' ], categorie => ['text'], niveau => ['text'], statut => ['text'], a_jour => ['boolean'],
	date_fin => ['date'], numero => ['text']);
my %vigilance = (entity_status_code => ['text'], date_debut_validite => ['date'], date_fin_validite => ['date']);
our %tables = (
	ms => { columns => \%structure },
	mp => { columns => \%structure },
	mx => {
		columns => { %structure{qw(is_active updated_at)}, id => [ 'bigint', 'id' ], siret => [ 'text', 'siret', 'character(14)' ],
			siren => [ 'text', 'siren', 'character varying' ], kind => [ 'text', 'kind', 'genre' ], name => [ 'text', undef, 'citext' ] }
	},
	di => {
		columns => { id => [ 'text', 'sid' ], source => [ 'text', 'source' ], siret => [ 'text', 'siret' ], nom => ['text'],
			code_departement => [ 'text', 'dep' ], code_insee => ['text'], score_qualite => ['double precision'], date_maj => ['date'],
			reseaux_porteurs => ['text[]'] }
	},
	ds => {
		columns => { id => [ 'text', 'vid' ], structure_id => [ 'text', 'sid' ], source => [ 'text', 'source' ], type => [ 'text', 'kind' ],
			frais => ['text'], score_qualite => ['double precision'], code_departement => [ 'text', 'dep' ],
			thematiques => ['text[]'], publics => ['text[]'] }
	},
	actifs => { columns => { map { $_ => $structure{$_} } qw(id siret siren kind department name) } },
	tout => { columns => { origine => ['text'], siret => [ 'text', 'siret' ], dep => [ 'text', 'dep' ] } },
	visibles => { columns => { map { $_ => $structure{$_} } qw(id siret siren kind department) } },
	etablissements => { columns => { id => ['text'], siret => [ 'text', 'siret' ], dep => [ 'text', 'dep' ] } },
	par_dep => { columns => { department => [ 'text', 'dep' ], n => ['bigint'], premier => ['integer'] } },
	registre => {
		columns => { n => ['integer'], siret => [ 'text', 'siret' ], siren => [ 'text', 'siren' ], id => [ 'integer', 'id' ],
			sid => [ 'text', 'sid' ], vid => [ 'text', 'vid' ], dep => [ 'text', 'dep' ], jour => ['date'], sirets => ['text[]'],
			montant => ['numeric'] },
		local => 1
	},
	lieux => { columns => { n => ['integer'], type => [ 'text', 'type_lieu' ], code => [ 'text', 'code_lieu' ] }, local => 1 },
	(map { ("ev_$_" => { columns => { %vigilance, $_ => [ 'text', $_ ] }, key => [$_] },
			"ea_$_" => { columns => { %attested, $_ => [ 'text', $_ ] }, key => [$_] }) } qw(siret siren)),
	vue_siret => { columns => { siret => [ 'text', 'siret' ], code => ['text'], fin => ['date'] }, key => ['siret'] },
	barre_siren => { columns => { siren => [ 'text', 'siren' ], type => [ 'text', 'type' ], statut => ['text'] }, key => ['siren'], barrier => 1 },
	msa_siret => { columns => { siret => [ 'text', 'siret' ], status => ['text'] }, key => ['siret'] },
	af_siren => { columns => { siren => [ 'text', 'siren' ], date_delivrance_attestation => ['date'] }, key => ['siren'] },
	mt => {
		columns => { code_type_territoire => [ 'text', 'type_lieu' ], code_territoire => [ 'text', 'code_lieu' ],
			code_indicateur => ['text'], code_periode => ['text'], niveau => ['smallint'] },
		key => [qw(type_lieu code_lieu)], always => "{a}.code_rome = 'D1102'"
	});

my @whole = qw(ms ms mp mp mx di di ds ds registre registre registre lieux actifs tout par_dep visibles etablissements);
my @keyed = grep { $tables{$_}{key} } sort keys %tables;
# no join gives a key to what is behind a barrier
my @joined = grep { !$tables{$_}{barrier} } @keyed;

# columns of a name's kind, sorted.
sub columns_in { my ($name) = @_; return sort keys %{ $tables{$name}{columns} }; }

# new(pools => { table => { column => [texts] } }, rows => { table => [{ column
# => value }] }, constants => { domain => [texts] })
sub new
{
	my ($class, %with) = @_;
	my $self = bless {%with}, $class;
	for my $name (keys %tables)
	{
		my %types = map { $_ => $tables{$name}{columns}{$_}[0] } columns_in($name);
		$self->{asker}{$name} = RandomQueries->new(
			columns => \%types, pools => $with{pools}{$name}, rows => $with{rows}{$name},
			shown => [ sort keys %types ], conditions => [ sort keys %types ], likely => {}, joins => []);
	}
	return $self;
}

sub fresh { my ($self) = @_; return 't' . ++$self->{aliases}; }

sub scope
{
	my ($name, $alias) = @_;
	return { name => $name, alias => $alias, columns => [ map {
			my ($type, $domain, $real) = @{ $tables{$name}{columns}{$_} };
			{ e => "$alias.$_", t => $type, d => $domain // '', column => $_, real => $real // $type } } columns_in($name) ] };
}

sub all_columns { return map { @{ $_->{columns} } } @_; }
sub of_type { my ($type, @scopes) = @_; return grep { $_->{t} eq $type } all_columns(@scopes); }
sub of_domain { my ($domain, @scopes) = @_; return grep { $_->{d} eq $domain } all_columns(@scopes); }

# ---- expressions ----

my %other_values = (
	text => [ "''", "'x'", "'35'", "'EI'", "'00000301200010'", 'NULL::text' ],
	integer => [qw(0 1 3 1003 NULL::int)], bigint => [qw(1::bigint 1005::bigint)],
	boolean => [qw(true false NULL::boolean)], date => [ "date '2026-06-30'", "date '2098-12-31'", 'NULL::date' ],
	'timestamp with time zone' => ["timestamptz '2025-01-01 00:00+00'"], 'double precision' => ["0.5::float8"],
	numeric => [qw(1.5 100)], smallint => [qw(3::smallint)], 'text[]' => [ "'{}'::text[]", "ARRAY['BUILD','x']", "ARRAY[NULL,'dora']" ]);

# A constant, as a parameter of a prepared query now and then.
sub constant
{
	my ($self, $text, $type) = @_;
	return $self->{asker}{ms}->constant($text =~ s/::\w+(?:\[\])?$//r, $type) if $self->{params} && $text !~ /^(?:date|timestamptz|ARRAY)/;
	return $text;
}

sub column_of
{
	my ($self, $type, @scopes) = @_;
	my @columns = of_type($type, @scopes);
	return $self->constant(pick(@{ $other_values{$type} }), $type) if !@columns || chance(0.06);
	my $column = pick(@columns);
	return $column->{real} =~ /^(?:citext|character)/ ? "$column->{e}::text" : $column->{e};
}

my %made = (
	text => sub {
		my ($self, @scopes) = @_;
		my $x = $self->column_of('text', @scopes);
		my $y = $self->column_of('text', @scopes);
		return pick("upper($x)", "left($x, 3)", "coalesce($x, $y)", "nullif($x, $y)", "$x || $y", "concat($x, '-', $y)",
			"trim($x)", "substr($x, 2, 3)", "replace($x, '0', 'o')", "$x\::varchar(5)::text", "$x\::char(9)::text",
			"CASE WHEN " . $self->simple_condition(@scopes) . " THEN $x ELSE $y END", "greatest($x, $y)",
			$self->column_of('integer', @scopes) . '::text', "md5($x)", '(' . $self->column_of('text[]', @scopes) . ')[1]',
			$self->whole_row('text', @scopes) // $x, "to_char(" . $self->column_of('date', @scopes) . ", 'YYYY-MM')", "split_part($x, '-', 1)",
			'array_to_string(' . $self->column_of('text[]', @scopes) . ", '+')");
	},
	integer => sub {
		my ($self, @scopes) = @_;
		my $x = $self->column_of('integer', @scopes);
		my $text = $self->column_of('text', @scopes);
		return pick("$x % 7", "coalesce($x, 0)", "length($text)", 'cardinality(' . $self->column_of('text[]', @scopes) . ')',
			"nullif($x, 3)", "extract(year FROM nullif(nullif(" . $self->column_of('date', @scopes) . ", 'infinity'), '-infinity'))::int", "position('0' in $text)",
			"nullif(left(regexp_replace($text, '[^0-9].*', ''), 8), '')::int", "least($x, 5)", "abs($x)",
			"CASE $text WHEN 'EI' THEN 1 WHEN '35' THEN 2 ELSE 0 END");
	},
	date => sub {
		my ($self, @scopes) = @_;
		my ($x, $y) = map { $self->column_of('date', @scopes) } 1 .. 2;
		return pick("coalesce($x, $y)", "greatest($x, $y)", "nullif($x, $y)", "CASE WHEN $x > $y THEN $x END");
	},
	boolean => sub {
		my ($self, @scopes) = @_;
		my $whole = chance(0.1) ? $self->whole_row('boolean', @scopes) : undef;
		return $whole // '(' . $self->simple_condition(@scopes) . ')';
	});

# What the row of a table is as a whole.
sub whole_row
{
	my ($self, $type, @scopes) = @_;
	my @tables = map { $_->{alias} } grep { $_->{name} } @scopes;
	return unless @tables;
	my $alias = pick(@tables);
	return pick("($alias IS NULL)", "($alias IS NOT NULL)", "($alias IS DISTINCT FROM NULL)") if $type eq 'boolean';
	return pick("$alias\::text", "row_to_json($alias)::text", "md5(to_jsonb($alias)::text)", "num_nulls($alias)::text");
}

sub expression
{
	my ($self, $type, @scopes) = @_;
	return $made{$type}->($self, @scopes) if $made{$type} && chance(0.4);
	return $self->column_of($type, @scopes);
}

# ---- conditions ----

# On columns of the scopes, without subqueries.
sub simple_condition
{
	my ($self, @scopes) = @_;
	my @tables = grep { $_->{name} } @scopes;
	return $self->table_condition(pick(@tables)) if @tables && chance(0.55);
	my $type = pick('text', 'text', 'text', 'integer', 'date', 'boolean', 'text[]');
	my ($x, $y, $z) = map { $self->column_of($type, @scopes) } 1 .. 3;
	return pick($x, "$x IS TRUE", "$x IS NOT FALSE", "NOT $x", "($x) = ($y)", "$x IS UNKNOWN") if $type eq 'boolean';
	return pick("$x && $y", "$x @> $y", "$x = $y", "$x <@ $y", "cardinality($x) > 1",
		$self->column_of('text', @scopes) . " = ANY ($x)", $self->column_of('text', @scopes) . " <> ALL ($x)", "$x IS NULL")
	  if $type eq 'text[]';
	return pick("$x <@ daterange('2021-06-30', '2026-07-01')", "daterange('2025-01-01', NULL) @> $x", "$x BETWEEN '2026-01-01' AND '2098-12-31'",
		"$x IN ('2026-01-05', '2098-12-31')", "($x, $y) OVERLAPS ('2026-01-01'::date, '2027-01-01'::date)") if $type eq 'date' && chance(0.3);
	my @ways = ("$x = $y", "$x <> $y", "$x < $y", "$x >= $y", "$x IS DISTINCT FROM $y", "$x IS NOT DISTINCT FROM $y",
		"$x BETWEEN $y AND $z", "$x BETWEEN SYMMETRIC $y AND $z", "$x IN ($y, $z)", "$x NOT IN ($y, $z)",
		"$x IS NULL", "$x IS NOT NULL", "coalesce($x = $y, $x IS NULL)", "($x = $y) IS NOT TRUE", "nullif($x, $y) IS NULL");
	if ($type eq 'text')
	{
		my $n = $self->column_of('integer', @scopes);
		push @ways, "$x ILIKE '%e%'", "$x LIKE '0000030%'", "$x ~ '^[0-9]+\$'", "$x SIMILAR TO '(0|d)%'", "$x NOT ILIKE left($y, 2) || '%'",
		  "($x, $n) < ($y, 5)", "($x, $y) = ($z, $x)", "ROW($x, $n) IS DISTINCT FROM ROW($y, 3)", "starts_with($x, left($y, 1))",
		  "$x COLLATE sans_casse = $y", "$x\::char(14) = $y", "$x !~* 'A'", "length($x) > 3";
	}
	return pick(@ways);
}

# One that an API may take, on a column of one table.
sub table_condition
{
	my ($self, $scope) = @_;
	my $asker = $self->{asker}{ $scope->{name} };
	my %no = map { $_ => 1 } @{ $tables{ $scope->{name} }{key} // [] };
	my @columns = grep { !($no{ $_->{d} } && chance(0.7)) } @{ $scope->{columns} };
	@columns = @{ $scope->{columns} } unless @columns;
	my $column = pick(@columns);
	local $asker->{params} = $self->{params};
	local $asker->{target} = pick(@{ $asker->{rows} });
	# what no row of the copies is for: nothing but the copies' keys may be asked
	return "$column->{e} IS NOT NULL" if $no{ $column->{d} };
	my $name = $column->{real} =~ /^(?:citext|character\()/ ? pick("$column->{e}::text", "$column->{e}::text", "$column->{e}::varchar") : $column->{e};
	# a pattern that is none is an error only where it comes to be looked at
	return $asker->condition_on($column->{column}, $name) =~ s/(LIKE '(?:[^'\\]|''|\\[^'])*)\\'(?!')/$1'/gr;
}

# With subqueries here and there.
sub condition
{
	my ($self, $depth, @scopes) = @_;
	my $way = rand();
	if ($depth > 0 && $way < 0.3)
	{
		my $made = $self->subquery_condition($depth - 1, @scopes);
		return $made if defined $made;
	}
	my $text = $self->simple_condition(@scopes);
	return '(' . may("$text OR ") . $self->simple_condition(@scopes) . ')' if $way > 0.85;
	return "NOT ($text)" if $way > 0.8;
	return $text;
}

sub subquery_condition
{
	my ($self, $depth, @scopes) = @_;
	my $type = pick('text', 'text', 'integer');
	my $not = pick('', '', 'NOT ');
	if (chance(0.5))
	{
		my $inside = $self->asked($depth, \@scopes) or return;
		my $scope = $inside->{scope};
		my $from = "FROM $inside->{item} WHERE $inside->{on}" . $self->more_conditions($depth, $scope, @scopes);
		return "${not}EXISTS (SELECT $from)" if chance(0.5);
		my $value = $self->expression($type, $scope);
		return $self->expression($type, @scopes) . pick(' = ', ' <> ', ' >= ') . '(SELECT '
		  . pick("min($value)", "max($value)") . " $from)" if chance(0.4);
		return $self->expression($type, @scopes) . pick(' IN', ' NOT IN', ' = ANY', ' <> ALL', ' > ANY') . " (SELECT $value $from)";
	}
	my $inside = $self->select($depth, [$type], []);
	return $self->expression($type, @scopes) . pick(' IN', ' IN', ' NOT IN', ' = ANY', ' <> ALL', ' = ANY', ' < ALL') . " ($inside)" if chance(0.7);
	return '(' . $self->expression($type, @scopes) . ', ' . $self->expression('text', @scopes) . ") ${not}IN ("
	  . $self->select($depth, [ $type, 'text' ], []) . ')' if chance(0.4);
	return $self->expression('integer', @scopes) . pick(' < ', ' > ', ' <> ') . "(SELECT count(*) FROM ($inside) s)";
}

sub more_conditions
{
	my ($self, $depth, @scopes) = @_;
	return join '', map { may(' AND ' . $self->condition($depth, @scopes)) } 1 .. pick(0, 0, 1, 1, 2);
}

# ---- items of FROM ----

# A value of a domain by another expression of the same value, or of one that
# no row has.
sub same_value
{
	my ($self, $column) = @_;
	my $e = $column->{e};
	return $e if chance(0.6);
	return pick("$e + 0", "abs($e)", "coalesce($e, 1001)", "nullif($e, 1002)") if $column->{t} =~ /int/;
	$e .= '::text' if $column->{real} =~ /^(?:citext|character)/;
	if ($self->{computed} && $column->{d} =~ /^sire[tn]$/ && chance(0.4))
	{
		my $c = $column->{d};
		return pick("(SELECT $e)", "(SELECT max(q.$c) FROM registre q WHERE q.$c <= $e)", "(SELECT (SELECT $e))",
			"(SELECT q.$c FROM suivi q WHERE q.$c >= $e ORDER BY q.$c, q.n LIMIT 1)", "coalesce((SELECT q.$c FROM suivi q WHERE q.n = 2), $e)",
			"coalesce((SELECT min(q.$c) FROM registre q WHERE q.$c = $e), (SELECT $e))");
	}
	return pick("$e || ''", "$e\::varchar", "coalesce($e, 'x')", "trim($e)", "(SELECT $e)", "nullif($e, '')",
		"CASE WHEN $e > '1' THEN $e ELSE $e END", "concat($e)");
}

# Conditions that give a table its keys from the scopes; nothing when they
# cannot.
sub key_conditions
{
	my ($self, $scope, @scopes) = @_;
	my @parts;
	if ($tables{ $scope->{name} }{key}[0] eq 'type_lieu')
	{
		# a pair that does not go together is an error of the API
		my ($places) = grep { ($_->{name} // '') =~ /^(?:lieux|mt)$/ } @scopes;
		return unless $places;
		return join ' AND ', map { my ($mine, $its) = map { $_->{e} } of_domain($_, $scope), of_domain($_, $places); "$mine = $its" } qw(type_lieu code_lieu);
	}
	for my $domain (@{ $tables{ $scope->{name} }{key} })
	{
		my ($mine) = of_domain($domain, $scope);
		my @given = of_domain($domain, @scopes);
		my @arrays = $domain eq 'siret' ? grep { $_->{column} && $_->{column} eq 'sirets' } all_columns(@scopes) : ();
		my @longer = $domain eq 'siren' ? of_domain('siret', @scopes) : ();
		if (@arrays && chance(0.3)) { push @parts, "$mine->{e} = ANY (" . pick(@arrays)->{e} . ')'; next; }
		if (@longer && (!@given || chance(0.3))) { push @parts, "$mine->{e} = left(" . pick(@longer)->{e} . '::text, 9)'; next; }
		return unless @given;
		my $value = $self->same_value(pick(@given));
		push @parts, pick("$mine->{e} = $value", "$value = $mine->{e}");
	}
	return join ' AND ', @parts;
}

# The same by constants.
sub constant_keys
{
	my ($self, $scope) = @_;
	if ($scope->{name} eq 'mt')
	{
		my ($type, $code) = @{ pick(@{ $self->{constants}{lieu} }) };
		return "$scope->{alias}.code_type_territoire = '$type' AND $scope->{alias}.code_territoire = '$code'";
	}
	return join ' AND ', map {
		my ($mine) = of_domain($_, $scope);
		my @few = map { $self->key_constant($mine) } 1 .. pick(1, 1, 2, 3);
		if ($self->{params} && chance(0.3))
		{
			push @{ $self->{params} }, [ 'text[]', 'ARRAY[' . join(', ', map { literal(pick(@{ $self->{constants}{ $mine->{d} } })) } @few) . ']' ];
			@few = ();
		}
		!@few ? "$mine->{e} = ANY (\$" . @{ $self->{params} } . ')' : @few == 1 ? "$mine->{e} = $few[0]"
		  : pick("$mine->{e} IN (" . join(', ', @few) . ')', "$mine->{e} = ANY (ARRAY[" . join(', ', @few) . '])',
			'(' . join(' OR ', map { "$mine->{e} = $_" } @few) . ')');
	} @{ $tables{ $scope->{name} }{key} };
}

sub key_constant
{
	my ($self, $column) = @_;
	my $text = literal(pick(@{ $self->{constants}{ $column->{d} } }));
	return $self->{params} ? $self->{asker}{ms}->constant($text, 'text') : $text;
}

# A table asked by what is in scope: item, on, scope.
sub asked
{
	my ($self, $depth, $scopes) = @_;
	for (1 .. 4)
	{
		my $name = pick(chance(0.6) ? @joined : @whole);
		my $scope = scope($name, $self->fresh);
		my $on = $tables{$name}{key} ? $self->key_conditions($scope, @$scopes) : $self->equality($scope, @$scopes);
		next unless defined $on;
		$on .= ' AND ' . $tables{$name}{always} =~ s/\{a\}/$scope->{alias}/gr if $tables{$name}{always};
		return { item => "$name $scope->{alias}", on => $on, scope => $scope };
	}
	return;
}

# An equality between a table and the scopes, on values of one kind.
sub equality
{
	my ($self, $scope, @scopes) = @_;
	my @pairs;
	for my $mine (grep { $_->{d} } @{ $scope->{columns} })
	{
		push @pairs, map { [ $mine, $_ ] } of_domain($mine->{d}, @scopes);
	}
	return unless @pairs;
	my ($mine, $its) = @{ pick(@pairs) };
	my $value = $self->same_value($its);
	my $name = $mine->{real} eq 'citext' ? "$mine->{e}::text" : $mine->{e};
	return pick("$name = $value", "$name = $value", "$value = $name");
}

# What a query can begin with: item, scope, conditions that must be.
sub item
{
	my ($self, $depth) = @_;
	my $alias = $self->fresh;
	my $way = rand();
	if ($way < 0.14)
	{
		my $scope = scope(pick(@keyed), $alias);
		my $always = $tables{ $scope->{name} }{always};
		return { item => "$scope->{name} $alias", scope => $scope,
			must => join ' AND ', $self->constant_keys($scope), $always ? $always =~ s/\{a\}/$alias/gr : () };
	}
	return $self->derived($depth - 1, $alias) if $way < 0.3 && $depth > 0;
	if ($way < 0.36)
	{
		my $domain = pick(qw(siret siren dep sid));
		my @values = map { chance(0.1) ? 'NULL' : literal(pick(@{ $self->{constants}{$domain} })) } 1 .. pick(1, 3, 5);
		my $item = chance(0.5) ? '(VALUES ' . join(', ', map { "($_, $values[$_ - 1]::text)" } 1 .. @values) . ") $alias (n, v)"
		  : 'unnest(ARRAY[' . join(', ', map { "$_\::text" } @values) . "]) WITH ORDINALITY $alias (v, n)";
		return { item => $item, scope => { alias => $alias, columns => [ { e => "$alias.v", t => 'text', d => $domain, real => 'text' },
			{ e => "$alias.n::int", t => 'integer', d => '', real => 'integer' } ] } };
	}
	if ($way < 0.39)
	{
		my $from = literal(pick(@{ $self->{constants}{dep} }));
		my $next = pick("ms m ON m.siren = w.siren AND m.department <> $from", "af_siren m ON m.siren = w.siren AND m.date_delivrance_attestation IS NOT NULL",
			"di d ON left(d.siret, 9) = w.siren JOIN ms m ON m.siret = d.siret", "registre m ON m.siren > w.siren");
		return { item => "(WITH RECURSIVE w (siren, k) AS (SELECT siren, 0 FROM mp WHERE department = $from UNION SELECT m.siren, k + 1 FROM w JOIN $next"
			  . " WHERE k < 2) SELECT siren, k FROM w) $alias (v, n)",
			scope => { alias => $alias, columns => [ { e => "$alias.v", t => 'text', d => 'siren', real => 'text' },
				{ e => "$alias.n", t => 'integer', d => '', real => 'integer' } ] } };
	}
	my $scope = scope(pick(@whole), $alias);
	return { item => "$scope->{name} $alias", scope => $scope };
}

# A subquery in FROM; its columns keep the domain of what they are.
sub derived
{
	my ($self, $depth, $alias, @scopes) = @_;
	my @types = map { pick('text', 'text', 'integer', 'date', 'boolean') } 1 .. pick(1, 2, 3);
	my @domains;
	my $inside = $self->select($depth, \@types, \@scopes, \@domains);
	my @names = map { "c$_" } 1 .. @domains;
	my $columns = [ map { { e => "$alias.c$_", t => $domains[ $_ - 1 ][0], d => $domains[ $_ - 1 ][1], real => $domains[ $_ - 1 ][0] } } 1 .. @domains ];
	if ($self->{ctes} && !@scopes && chance(0.3))
	{
		my $name = 'w' . ++$self->{cte_count};
		push @{ $self->{ctes} }, "$name (" . join(', ', @names) . ') AS ' . pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($inside)";
		return { item => "$name $alias", scope => { alias => $alias, columns => $columns } };
	}
	return { item => "($inside) $alias (" . join(', ', @names) . ')', scope => { alias => $alias, columns => $columns } };
}

# ---- joins ----

# Each adds to the query, or gives nothing when it cannot.
my @joins = (
	(sub {    # by a key, or an equality
		my ($self, $depth, $query, $outer) = @_;
		my $asked = $self->asked($depth, [ @{ $query->{scopes} } ]) or return;
		my $join = pick('JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT');
		my $more = chance(0.4) ? may(' AND ' . $self->condition($depth - 1, $asked->{scope}, @{ $query->{scopes} })) : '';
		if ($join eq 'RIGHT')
		{
			my $before = @{ $query->{scopes} } > 1 ? "($query->{from})" : $query->{from};
			$query->{from} = "$asked->{item} RIGHT JOIN $before ON $asked->{on}$more";
		}
		else
		{
			$query->{from} .= may(" $join $asked->{item} ON $asked->{on}$more");
		}
		push @{ $query->{scopes} }, $asked->{scope};
		return;
	}) x 6,
	(sub {    # what can be read whole, on either side
		my ($self, $depth, $query) = @_;
		my $item = $self->item($depth);
		if ($item->{must})
		{
			$item->{item} = "(SELECT * FROM $item->{item} WHERE $item->{must}) $item->{scope}{alias}";
		}
		my $on = $self->equality($item->{scope}, @{ $query->{scopes} });
		my $join = defined $on ? pick('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', 'FULL JOIN') : 'JOIN';
		$on //= $self->simple_condition($item->{scope}, @{ $query->{scopes} });
		my $more = chance(0.25) && $join ne 'FULL JOIN' ? may(' AND ' . $self->simple_condition($item->{scope}, @{ $query->{scopes} })) : '';
		$query->{from} .= may(" $join $item->{item} ON $on$more");
		push @{ $query->{scopes} }, $item->{scope};
		return;
	}) x 3,
	(sub {    # LATERAL
		my ($self, $depth, $query) = @_;
		return unless $depth > 0;
		# one that is not pulled up can have its key from a subquery
		my $end = pick('', 'OFFSET', 'OFFSET', 'LIMIT', 'LIMIT');
		local $self->{computed} = $end ne '';
		my $asked = $self->asked($depth, $query->{scopes}) or return;
		$self->{computed} = 0;
		my $alias = $self->fresh;
		my @columns = grep { $_->{t} ne 'double precision' } @{ $asked->{scope}{columns} };
		@columns = @columns[ 0 .. 2 ] if @columns > 3;
		my $list = join ', ', map { $_->{real} =~ /^citext/ ? "$_->{e}::text AS $_->{column}" : $_->{e} } @columns;
		my $order = ' ORDER BY ' . join(', ', 1 .. @columns);
		my ($number) = map { "abs(coalesce($_->{e}, 1) % 4)" } of_type('integer', @{ $query->{scopes} });
		$end = pick(' OFFSET 0', "$order OFFSET " . ($number // 1)) if $end eq 'OFFSET';
		$end = "$order LIMIT " . pick(1, 2, 5, $number // 3) if $end eq 'LIMIT';
		my $join = pick('CROSS JOIN LATERAL', 'LEFT JOIN LATERAL');
		$query->{from} .= may(" $join (SELECT $list FROM $asked->{item} WHERE $asked->{on}"
			  . $self->more_conditions(0, $asked->{scope}, @{ $query->{scopes} }) . "$end) $alias" . ($join =~ /LEFT/ ? ' ON true' : ''));
		push @{ $query->{scopes} }, { alias => $alias, columns => [ map { { %$_, e => "$alias.$_->{column}", $_->{real} eq 'citext' ? (real => 'text') : () } } @columns ] };
		return;
	}) x 2,
	sub {    # a function, or the elements of an array
		my ($self, $depth, $query) = @_;
		my $alias = $self->fresh;
		my ($array) = of_type('text[]', @{ $query->{scopes} });
		my ($siret) = of_domain('siret', @{ $query->{scopes} });
		if ($array && chance(0.5))
		{
			$query->{from} .= may(pick(' CROSS JOIN', ' LEFT JOIN') . " LATERAL unnest($array->{e}) $alias (x)") =~ s/(LEFT JOIN.*?\))(?=\x03)/$1 ON true/r;
			push @{ $query->{scopes} }, { alias => $alias, columns => [ { e => "$alias.x", t => 'text', d => $array->{column} && $array->{column} eq 'sirets' ? 'siret' : '', real => 'text' } ] };
			return;
		}
		return unless $siret;
		my $function = pick('vigilance_sql', 'vigilance_plpgsql');
		$query->{from} .= may(" CROSS JOIN LATERAL $function($siret->{e}::text) $alias");
		push @{ $query->{scopes} }, { alias => $alias, columns => [ { e => "$alias.code", t => 'text', d => '', real => 'text' },
			{ e => "$alias.fin", t => 'date', d => '', real => 'date' } ] };
		return;
	});

# FROM and WHERE of a query: from, where, scopes.
sub body
{
	my ($self, $depth, $outer) = @_;
	my $item = $self->item($depth);
	my $query = { from => $item->{item}, scopes => [ $item->{scope} ] };
	# a driver of a few rows, so that few keys are asked for
	pick(@joins)->($self, $depth, $query) for 1 .. pick(0, 1, 1, 1, 2, 2, 3);
	my @where = $item->{must} // ();
	push @where, map { may($self->condition($depth, @{ $query->{scopes} }, chance(0.3) ? @$outer : ()), 'true') } 1 .. pick(0, 0, 1, 1, 2);
	$query->{where} = @where ? ' WHERE ' . join(' AND ', @where) : '';
	return $query;
}

# ---- SELECT ----

# A SELECT of these types; domains gets [type, domain] of its columns.
sub select
{
	my ($self, $depth, $types, $outer, $domains) = @_;
	my $way = rand();
	if ($way < 0.12 && $depth > 0)
	{
		my $set = pick('UNION', 'UNION ALL', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'INTERSECT ALL', 'EXCEPT ALL');
		my @sides = map { $self->plain_select($depth - 1, $types, $outer) } 1 .. 2;
		@$domains = map { [ $_, '' ] } @$types if $domains;
		return "($sides[0])" . may(" $set ($sides[1])");
	}
	return $self->grouped($depth, $types, $outer, $domains) if $way < 0.3;
	my $sql = $self->plain_select($depth, $types, $outer, $domains);
	$sql =~ s/^SELECT/SELECT DISTINCT/ if $way < 0.42;
	return $sql if $way < 0.8 || $self->{unlimited};
	return "$sql ORDER BY " . join(', ', map { $_ . pick('', '', ' DESC', ' NULLS FIRST') } 1 .. @$types)
	  . may(' LIMIT ' . pick(1, 2, 5, 20) . pick('', '', ' OFFSET ' . pick(1, 3)));
}

sub plain_select
{
	my ($self, $depth, $types, $outer, $domains) = @_;
	my $query = $self->body($depth, $outer);
	my @list = map { $self->result($depth, $_, $query, $domains) } @$types;
	return 'SELECT ' . join(', ', @list) . " FROM $query->{from}$query->{where}";
}

# A column of the result.
sub result
{
	my ($self, $depth, $type, $query, $domains) = @_;
	my @columns = of_type($type, @{ $query->{scopes} });
	if (@columns && chance(0.55))
	{
		my $column = pick(@columns);
		push @$domains, [ $type, $column->{d} ] if $domains;
		return $column->{real} =~ /^(?:citext|character)/ ? "$column->{e}::text" : $column->{e};
	}
	push @$domains, [ $type, '' ] if $domains;
	if ($depth > 0 && $type =~ /^(?:text|integer)$/ && chance(0.15))
	{
		my $asked = $self->asked($depth - 1, $query->{scopes});
		if ($asked)
		{
			my $value = $self->column_of('text', $asked->{scope});
			return may('(SELECT ' . ($type eq 'integer' ? 'count(*)::int' : pick("min($value)", "max($value)",
						"string_agg($value, ',' ORDER BY $value)"))
				  . " FROM $asked->{item} WHERE $asked->{on}" . $self->more_conditions(0, $asked->{scope}) . ')', "NULL::$type");
		}
	}
	if (chance(0.1) && $type eq 'integer')
	{
		my ($x, $p) = map { $self->column_of($_, @{ $query->{scopes} }) } 'text', 'text';
		return may(pick("rank() OVER (PARTITION BY $p ORDER BY $x)::int", "dense_rank() OVER (ORDER BY $x)::int",
				"count(*) OVER (PARTITION BY $p)::int", "count($x) OVER ()::int", "sum(length($x)) OVER (ORDER BY $x)::int",
				"count(*) FILTER (WHERE $x > $p) OVER (PARTITION BY $p ORDER BY $x RANGE UNBOUNDED PRECEDING)::int", "sum(length($x)) OVER (PARTITION BY $p)::int"), '0');
	}
	return $self->expression($type, @{ $query->{scopes} });
}

# GROUP BY, with HAVING, FILTER, grouping sets.
sub grouped
{
	my ($self, $depth, $types, $outer, $domains) = @_;
	my $query = $self->body($depth, $outer);
	my @scopes = @{ $query->{scopes} };
	my (@list, @by);
	for my $type (@$types)
	{
		my $x = $self->column_of($type, @scopes);
		my $text = $self->column_of('text', @scopes);
		$x .= "::$type" if $x =~ /^(?:'|NULL$)/;
		$text .= '::text' if $text =~ /^(?:'|NULL$)/;
		my $filter = chance(0.25) ? may(' FILTER (WHERE ' . $self->simple_condition(@scopes) . ')') : '';
		if (chance(0.5))
		{
			push @by, $self->expression($type, @scopes);
			push @list, $by[-1];
			next;
		}
		push @list, $type eq 'integer' ? pick("count(*)$filter\::int", "count(DISTINCT $text)$filter\::int", "sum($x)$filter\::int", "max($x)$filter")
		  : $type eq 'boolean' ? pick("bool_and($x)$filter", "bool_or($x)$filter", "count(*)$filter > 2")
		  : $type eq 'text' ? pick("min($x)$filter", "max($x)$filter", "string_agg(DISTINCT $x, ',' ORDER BY $x)$filter",
			"array_agg($x ORDER BY $x)$filter\::text") : pick("min($x)$filter", "max($x)$filter");
	}
	push @$domains, map { [ $_, '' ] } @$types if $domains;
	# expressions with parameters or subqueries would not be the same twice, and
	# constants are no columns
	my %numbered = map { ($_ => 1) } grep { $list[ $_ - 1 ] =~ /\$\d|SELECT|^\d+$|^'|^(?:true|false|NULL)/ } 1 .. @list;
	my @groups;
	for my $place (1 .. @list)
	{
		push @groups, $place if grep { $_ eq $list[ $place - 1 ] } @by;
	}
	my $by = !@groups ? '' : ' GROUP BY ' . (chance(0.2) && !%numbered ? pick('ROLLUP (', 'CUBE (', 'GROUPING SETS ((), ', 'GROUPING SETS (') . join(', ', map { $list[ $_ - 1 ] } @groups) . ')'
		: join ', ', @groups);
	my $having = chance(0.25) ? may(' HAVING count(*) ' . pick('> 1', '= 1', '>= 2')) : '';
	return 'SELECT ' . join(', ', @list) . " FROM $query->{from}$query->{where}$by$having";
}

# ---- whole queries ----

# One: sql (with \x01 pieces), ordered, ways to run it.
sub next_query
{
	my ($self) = @_;
	@$self{qw(aliases cte_count)} = (0, 0);
	my $how = pick(qw(plain plain plain plain plain prepared prepared prepared cursor cursor loose loop into update merge hold));
	local $self->{params} = $how eq 'prepared' ? [] : undef;
	local $self->{asker}{ms}{params} = $self->{params};
	local $self->{ctes} = chance(0.3) ? [] : undef;
	local $self->{unlimited} = $how eq 'loose';
	my @types = map { pick('text', 'text', 'integer', 'integer', 'date', 'boolean') } 1 .. pick(1, 2, 2, 3, 4);
	@types = ('text', 'integer') if $how =~ /^(?:update|merge)$/;
	my $sql = $self->select(2, \@types, []);
	my $with = $self->{ctes} && @{ $self->{ctes} } ? 'WITH ' . join(', ', @{ $self->{ctes} }) . ' ' : '';
	my $ordered = $how =~ /^(?:cursor|hold|loop)$/ || chance(0.2);
	$sql = "SELECT * FROM ($sql) q (" . join(', ', map { "c$_" } 1 .. @types) . ') ORDER BY ' . join(', ', 1 .. @types)
	  if $ordered && $how !~ /^(?:loose|update|merge|into)$/;
	$ordered = 0 if $how =~ /^(?:loose|update|merge|into)$/;
	my $query = { how => $how, ordered => $ordered, sql => "$with$sql", params => $self->{params}, columns => scalar @types,
		limit => pick(1, 2, 5, 10) };
	$self->complete($query);
	return $query;
}

# What stands around the query: head and tail.
sub complete
{
	my ($self, $query) = @_;
	my $how = $query->{how};
	my $names = join ', ', map { "c$_" } 1 .. $query->{columns};
	my @around = ('', '');
	if ($how eq 'prepared')
	{
		my @params = @{ $query->{params} };
		my $types = @params ? '(' . join(', ', map { $_->[0] } @params) . ')' : '';
		my $values = @params ? '(' . join(', ', map { $_->[1] } @params) . ')' : '';
		my $times = pick(1, 1, 2, 6);
		@around = ('SET LOCAL plan_cache_mode = ' . pick(qw(auto force_generic_plan force_generic_plan force_custom_plan))
			  . ";\nPREPARE q$types AS ", ";\n" . "EXECUTE q$values;\n" x $times . 'DEALLOCATE q');
	}
	elsif ($how eq 'cursor')
	{
		@around = ('DECLARE c ' . pick('', 'SCROLL ') . 'CURSOR FOR ', ";\nFETCH " . pick(1, 2, 5) . " FROM c;\n"
			  . pick('', "MOVE 1 FROM c;\n", "SAVEPOINT s;\nFETCH 2 FROM c;\nROLLBACK TO s;\n")
			  . 'FETCH ' . pick(1, 3, 10, 'ALL') . " FROM c;\n" . pick('', "FETCH ALL FROM c;\n") . 'CLOSE c');
		$around[1] .= ";\nRELEASE s" if $around[1] =~ /SAVEPOINT/;
	}
	elsif ($how eq 'hold')
	{
		@around = ('DECLARE c SCROLL CURSOR WITH HOLD FOR ', ";\nCOMMIT;\nBEGIN;\nFETCH 2 FROM c;\nMOVE ABSOLUTE 1 FROM c;\nFETCH ALL FROM c;\nCLOSE c");
	}
	elsif ($how eq 'loop')
	{
		@around = ('SELECT * FROM boucle($q$', '$q$, ' . pick(1, 3, 1000) . ')');
	}
	elsif ($how eq 'into')
	{
		@around = ("CREATE TEMP TABLE garde AS SELECT * FROM (", ") s ($names);\nINSERT INTO garde SELECT * FROM garde;\nTABLE garde;\nDROP TABLE garde");
	}
	elsif ($how eq 'update')
	{
		my $key = pick(qw(siret siren dep));
		@around = @{ pick(
				[ "UPDATE suivi u SET note = s.n FROM (SELECT c1, max(c2) AS n FROM (", ") q ($names) GROUP BY 1) s WHERE u.$key = s.c1;\nTABLE suivi" ],
				[ "DELETE FROM suivi u USING (", ") s ($names) WHERE u.$key = s.c1;\nTABLE suivi" ],
				[ "DELETE FROM suivi u WHERE u.note NOT IN (SELECT c2 FROM (", ") s ($names));\nTABLE suivi" ],
				[ "INSERT INTO suivi ($key, note) SELECT c1, c2 FROM (", ") s ($names);\nTABLE suivi" ]) };
	}
	elsif ($how eq 'merge')
	{
		@around = ('MERGE INTO suivi u USING (SELECT c1, min(c2) AS c2 FROM (', ") q ($names) WHERE c1 IS NOT NULL GROUP BY c1) s ON u.siret = s.c1"
			  . " WHEN MATCHED AND u.n % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET note = s.c2"
			  . " WHEN NOT MATCHED THEN INSERT (siret, note) VALUES (s.c1, s.c2);\nTABLE suivi");
	}
	@$query{qw(before after)} = @around;
	return;
}

# Settings that must not change rows, at random.
sub settings
{
	my $text = RandomQueries::planner_settings();
	$text .= "SET apigouv_fdw.enable_lookup_join = off;\n" if chance(0.25);
	$text .= "SET apigouv_fdw.enable_pushdown = off;\n" if chance(0.25);
	$text .= "SET enable_async_append = off;\n" if chance(0.35);
	$text .= "SET jit = on;\nSET jit_above_cost = 0;\n" if chance(0.04);
	$text .= "SET enable_partitionwise_join = on;\nSET enable_partitionwise_aggregate = on;\n" if chance(0.15);
	$text .= "SET apigouv_fdw.cache_size = '64kB';\n" if chance(0.1);
	$text .= "SET plan_cache_mode = force_generic_plan;\n" if chance(0.15);
	$text = "SET enable_hashjoin = off;\n" if $text eq '';
	return $text =~ s/SET /SET LOCAL /gr;
}

1;
