# Random SQL over one table, for random_queries.pl: what any table can be
# asked, without knowing which of it an API could take.
#
# A query names the table as {T} and the local registry as {R}.  Its constants
# come from the table's own values, from those of other columns, and from a
# list of odd ones.  The same seed gives the same queries, as long as the
# table holds the same values.
#
# A table may have keys that it cannot be read without.  Then every {T} of a
# query has them, from constants or from the registry, but for a few queries
# that say so (keyless).
package RandomQueries;

use strict;
use utf8;
use warnings;

my @ODD_TEXTS = (
	'', ' ', 'inconnu', 'a/b', '..', '.', '?a=b&c=d', '100%', '_', '\\',
	"l'été", '00000000000000', '0000030120001', '000003012000101', '000003012',
	'0', '53', '2A', '975', '%20', 'NULL', '{}', '"', 'true');

# new(columns => { name => type }, pools => { name => [texts] }, rows =>
# [{ name => text or [texts] }], shown =>
# [columns of results], conditions => [columns of conditions], joins =>
# [columns that the registry has, of the same names], keys => sub (alias,
# alias of the registry or undef) giving a condition, or undef, start =>
# sub called before each query: it may set joins, scan and left_alone, the
# columns that no condition may be on, for the keys of this query, or for want
# of them when keyless is set)
sub new
{
	my ($class, %with) = @_;
	return bless {%with}, $class;
}

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

sub literal
{
	my ($text) = @_;
	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub array_literal
{
	return literal(
		'{' . join(
			',',
			map {
				defined $_
				  ? '"' . s/(["\\])/\\$1/gr . '"'
				  : 'NULL'
			} @_) . '}');
}

# A constant of a type, or a parameter of the prepared query in the making.
sub constant
{
	my ($self, $literal, $type) = @_;

	if ($self->{params} && @{ $self->{params} } < 20 && chance(0.7))
	{
		push @{ $self->{params} }, [ $type, $literal ];
		return '$' . @{ $self->{params} };
	}
	return "CAST($literal AS $type)" if $literal eq 'NULL' && chance(0.5);
	return $literal if $type eq 'text' && chance(0.7);
	return "$literal\::$type";
}

# ---- values ----

# The value that the query's row has there, rather than another one: so that
# several conditions can be true of a row.
sub of_target
{
	my ($self, $column, $other) = @_;
	return $other if chance(0.4) || !$self->{target};
	my $value = $self->{target}{$column};
	return $value if ref $value ne 'ARRAY';
	return @$value ? pick(@$value) : $other;
}

sub text_value
{
	my ($self, $column) = @_;
	my $pool = $self->{pools}{$column};
	my $value = @$pool ? pick(@$pool) : 'x';
	my $way = rand();

	$value = $self->of_target($column, $value);
	return $value if $way < 0.72 || !defined $value;
	return pick(@ODD_TEXTS) if $way < 0.82;
	return pick("$value ", " $value", $value . '0', uc $value, lc $value,
		substr($value, 0, length($value) - 1), substr($value, 0, 2))
	  if $way < 0.92;
	return undef if $way < 0.95;
	my @others = grep { $self->{columns}{$_} =~ /^text/ && @{ $self->{pools}{$_} } }
	  @{ $self->{conditions} };
	return pick(@{ $self->{pools}{ pick(@others) } });
}

my %odd = (
	integer => [qw(0 -1 1001 2147483647)],
	smallint => [qw(0 -1 3 32767)],
	numeric => [qw(0 -1 3.50 NaN 1e30)],
	'double precision' => [qw(0 1 -0 0.5 NaN Infinity -Infinity 1e300 1e-300)],
	date => [qw(infinity -infinity 2024-02-29 0044-03-15), '0044-03-15 BC', '9999-12-31', '20000-01-01'],
	'timestamp with time zone' => ['infinity', '-infinity', '2024-03-31 02:30:00+01',
		'0044-03-15 00:00:00+00 BC', '9999-12-31 23:59:59.999999+00', '20000-01-01 00:00:00+00',
		'2025-01-01 00:00:00.000001-12:34']);

sub other_value
{
	my ($self, $column, $type) = @_;
	my $pool = $self->{pools}{$column};
	my $way = rand();

	return undef if $way < 0.05;
	return pick('true', 'false') if $type eq 'boolean';
	return $self->of_target($column, pick(@$pool)) if @$pool && $way < 0.8;
	return pick(@{ $odd{$type} });
}

sub value
{
	my ($self, $column) = @_;
	my $type = $self->{columns}{$column};
	return $self->text_value($column) if $type =~ /^text/;
	return $self->other_value($column, $type);
}

# A constant for a column, of its own type or one that reads the same.
sub operand
{
	my ($self, $column) = @_;
	my $type = $self->{columns}{$column} =~ s/\[\]$//r;
	my $value = $self->value($column);

	if ($type eq 'text' && chance(0.08))
	{
		return pick(literal($value) . '::varchar',
			'(SELECT ' . literal($value) . '::text)',
			'coalesce(' . literal($value) . ", 'x')",
			"(" . literal($value) . " || '')");
	}
	$type = pick('bigint', 'smallint') if $type eq 'integer' && chance(0.1)
	  && (!defined $value || abs($value) < 32768);
	$type = 'numeric' if $type =~ /^(?:smallint|integer)$/ && chance(0.05);
	return $self->constant(literal($value), $type);
}

# An array of values for a column: with doubles, NULLs, or nothing at all.
sub array_operand
{
	my ($self, $column) = @_;
	my $type = $self->{columns}{$column} =~ s/\[\]$//r;
	my $n = pick(0, 1, 1, 2, 2, 3, 3, 5, 9);
	my @values = map { $self->value($column) } 1 .. $n;

	push @values, $values[0] if @values && chance(0.25);
	push @values, undef if chance(0.12);
	@values = grep { defined } @values if chance(0.3);
	if (chance(0.3))
	{
		return $self->constant(array_literal(@values), $type . '[]');
	}
	if (chance(0.1))
	{
		return 'ARRAY(SELECT unnest(' . array_literal(@values) . "::$type\[\]))";
	}
	return 'ARRAY[' . join(', ', map { $self->constant(literal($_), $type) } @values)
	  . "]::$type\[\]" if chance(0.5);
	return array_literal(@values) . "::$type\[\]";
}

sub list_operand
{
	my ($self, $column) = @_;
	return '(' . join(', ', map { $self->operand($column) } 1 .. pick(1, 2, 2, 3, 4, 8)) . ')';
}

# ---- conditions ----

sub pattern
{
	my ($self, $column) = @_;
	my $value = $self->text_value($column) // '';
	my $begin = substr($value, 0, pick(0, 1, 2, 3, 4, 6, 9, 10, 12));
	return literal(pick("$begin%", "$begin%", "$begin%", "$begin%", $value, "%$begin", "%$begin%",
			"$begin\_%", "$begin%%", "$begin%x%", "$begin\\%%", "_$begin%"));
}

sub text_condition
{
	my ($self, $column, $name) = @_;
	my $way = rand();

	return "$name LIKE " . $self->pattern($column) if $way < 0.14;
	if ($way < 0.22)
	{
		my $value = $self->text_value($column) // '';
		my $n = pick(1, 2, 3, 5, 9, 9, 10);
		my $left = literal(substr($value, 0, pick($n, $n, $n, $n + 1, $n - 1)));
		return chance(0.7) ? "left($name, $n) = $left" : "$left = left($name, $n)";
	}
	return "$name ILIKE " . $self->pattern($column) if $way < 0.24;
	return "$name NOT LIKE " . $self->pattern($column) if $way < 0.26;
	return "$name ^@ " . literal(substr($self->text_value($column) // '', 0, pick(1, 2, 9)))
	  if $way < 0.28;
	return "upper($name) = " . literal(uc($self->text_value($column) // '')) if $way < 0.30;
	return "$name\::char(14) = " . literal($self->text_value($column)) if $way < 0.32;
	return "$name COLLATE sans_casse = " . literal($self->text_value($column)) if $way < 0.35;
	return "$name COLLATE \"C\" " . pick('=', '<', '>=') . ' ' . literal($self->text_value($column))
	  if $way < 0.37;
	return "coalesce($name, '') = " . literal($self->text_value($column)) if $way < 0.39;
	return "$name ~ '^" . pick('0', '[0-9]', '2', 'dora') . "'" if $way < 0.40;
	return;
}

sub boolean_condition
{
	my ($self, $name) = @_;
	return pick($name, "NOT $name", "$name = true", "$name = false", "false = $name",
		"$name <> true", "$name IS TRUE", "$name IS FALSE", "$name IS NOT TRUE",
		"$name IS NOT FALSE", "$name IS UNKNOWN", "$name IS NULL", "$name IS NOT NULL",
		"$name IN (true, false)", "$name = ANY(ARRAY[true, NULL])", "$name = NULL",
		"$name IS DISTINCT FROM true", "($name OR $name IS NULL)",
		"$name = " . $self->constant(pick("'true'", "'false'", 'NULL'), 'boolean'));
}

sub array_condition
{
	my ($self, $column, $name) = @_;
	my $way = rand();

	return $self->operand($column) . " = ANY ($name)" if $way < 0.25;
	return "$name && " . $self->array_operand($column) if $way < 0.45;
	return $self->array_operand($column) . " && $name" if $way < 0.50;
	return "$name @> " . $self->array_operand($column) if $way < 0.65;
	return $self->array_operand($column) . " <@ $name" if $way < 0.70;
	return "$name <@ " . $self->array_operand($column) if $way < 0.77;
	return "$name " . pick('=', '<>', '>', '<=') . ' ' . $self->array_operand($column)
	  if $way < 0.83;
	return $self->operand($column) . pick(' <> ALL ', ' = ALL ', ' < ANY ') . "($name)"
	  if $way < 0.88;
	return "$name\[1\] = " . $self->operand($column) if $way < 0.91;
	return "cardinality($name) " . pick('= 0', '> 1', '= 1') if $way < 0.94;
	return "$name IS " . pick('NULL', 'NOT NULL');
}

sub condition_on
{
	my ($self, $column, $name) = @_;
	my $type = $self->{columns}{$column};
	my $way = rand();
	my $done;

	return $self->boolean_condition($name) if $type eq 'boolean';
	return $self->array_condition($column, $name) if $type =~ /\[\]$/;
	$done = $self->text_condition($column, $name) if $type eq 'text' && chance(0.45);
	return $done if defined $done;
	my $ranged = $type ne 'text' || chance(0.15);
	$way = 0.6 + rand(0.3) if $ranged && chance(0.5);

	return "$name = " . $self->operand($column) if $way < 0.25;
	return $self->operand($column) . " = $name" if $way < 0.29;
	return "$name IN " . $self->list_operand($column) if $way < 0.40;
	return "$name = ANY (" . $self->array_operand($column) . ')' if $way < 0.52;
	return '(' . join(' OR ', map { "$name = " . $self->operand($column) } 1 .. pick(2, 3)) . ')'
	  if $way < 0.60;
	return "$name " . pick('<', '<=', '>', '>=') . ' ' . $self->operand($column) if $way < 0.72;
	return $self->operand($column) . pick(' < ', ' <= ', ' > ', ' >= ') . $name if $way < 0.76;
	return "$name BETWEEN " . $self->operand($column) . ' AND ' . $self->operand($column)
	  if $way < 0.83;
	return "$name <> " . $self->operand($column) if $way < 0.86;
	return "$name NOT IN " . $self->list_operand($column) if $way < 0.88;
	return "$name <> ALL (" . $self->array_operand($column) . ')' if $way < 0.90;
	return "$name IS " . pick('NULL', 'NOT NULL') if $way < 0.94;
	return "$name IS " . pick('', 'NOT ') . 'DISTINCT FROM ' . $self->operand($column)
	  if $way < 0.97;
	return "($name = " . $self->operand($column) . ') IS ' . pick('TRUE', 'NOT FALSE', 'UNKNOWN');
}

sub free_columns
{
	my ($self) = @_;
	my %left = map { $_ => 1 } @{ $self->{left_alone} // [] };
	return grep { !$left{$_} } @{ $self->{conditions} };
}

sub some_condition
{
	my ($self, $alias) = @_;
	my @columns = $self->free_columns;
	my @pushed = grep { $self->{likely}{$_} } @columns;
	my $column = @pushed && chance(0.6) ? pick(@pushed) : pick(@columns);

	if (chance(0.03))
	{
		my $other = pick(@columns);
		return "($alias.$column, $alias.$other) = ("
		  . join(', ', map { $self->{columns}{$_} =~ /\[\]$/ ? $self->array_operand($_) : $self->operand($_) }
			  $column, $other) . ')';
	}
	if (chance(0.03) && $self->{columns}{$column} eq 'text')
	{
		my ($other) = pick(grep { $self->{columns}{$_} eq 'text' } @columns);
		return "$alias.$column = $alias.$other";
	}
	return $self->condition_on($column, "$alias.$column");
}

sub tree
{
	my ($self, $alias, $n) = @_;
	my $text;

	return pick('true', 'false', 'NULL::boolean', '1 = 1') if chance(0.01);
	if ($n == 1)
	{
		$text = $self->some_condition($alias);
		return chance(0.06) ? "NOT ($text)" : $text;
	}
	my $first = 1 + int rand($n - 1);
	$text = join chance(0.75) ? ' AND ' : ' OR ',
	  map { '(' . $self->tree($alias, $_) . ')' } $first, $n - $first;
	return chance(0.05) ? "NOT ($text)" : $text;
}

# Conditions for a {T} of this alias; its keys come from the registry's alias
# when there is one.
sub conditions
{
	my ($self, $alias, $registry) = @_;
	my @parts;

	if ($self->{keys} && !$self->{keyless})
	{
		push @parts, $self->{keys}->($self, $alias, $registry);
	}
	elsif (defined $registry)
	{
		push @parts, $self->join_condition($alias, $registry);
	}
	push @parts, $self->tree($alias, pick(1, 1, 2, 2, 3, 4)) if chance(0.85);
	@parts = reverse @parts if chance(0.3);
	return join(' AND ', map { "($_)" } @parts) || 'true';
}

sub join_condition
{
	my ($self, $alias, $registry) = @_;
	my $column = pick(@{ $self->{joins} });
	my @arrays = grep { $self->{columns}{$_} eq 'text[]' } @{ $self->{conditions} };
	my @parts;

	return "$registry.element = ANY ($alias." . pick(@arrays) . ')' if @arrays && chance(0.07);
	return "$alias." . pick(@arrays) . " && ARRAY[$registry.element]" if @arrays && chance(0.04);
	@parts = pick("$alias.$column = $registry.$column", "$registry.$column = $alias.$column",
		"$alias.$column = $registry.$column");
	@parts = ("$alias.$column = ANY (ARRAY[$registry.$column, " . $self->operand($column) . '])')
	  if chance(0.06);
	@parts = ("($parts[0] OR $alias.$column = " . $self->operand($column) . ')') if chance(0.05);
	@parts = "$alias.$column >= $registry.$column" if chance(0.03);
	if (chance(0.15))
	{
		my $other = pick(@{ $self->{joins} });
		push @parts, "$alias.$other = $registry.$other";
	}
	return join ' AND ', @parts;
}

# ---- queries ----

# Columns of a result, each after its alias.
sub columns_of
{
	my ($self, $alias) = @_;
	my @columns = @{ $self->{shown} };
	@columns = grep { chance(0.3) } @columns if chance(0.6);
	@columns = $self->{shown}[0] unless @columns;
	return map { "$alias.$_" } @columns;
}

sub order_by
{
	my ($n) = @_;
	return 'ORDER BY ' . join(', ', map { $_ . pick('', '', ' DESC', ' NULLS FIRST') } 1 .. $n);
}

sub limit
{
	return pick('LIMIT ' . pick(0, 1, 1, 2, 5, 10, 50, 1000),
		'LIMIT ' . pick(1, 3, 10) . ' OFFSET ' . pick(0, 1, 2, 20, 500),
		'OFFSET ' . pick(1, 5, 200));
}

sub plain
{
	my ($self) = @_;
	return 'SELECT ' . join(', ', $self->columns_of('t')) . ' FROM {T} t WHERE '
	  . $self->conditions('t');
}

my %templates = (
	plain => \&plain,
	count => sub {
		my ($self) = @_;
		return 'SELECT ' . pick('count(*)', 'count(*)', 'count(*), count(t.' . pick(@{ $self->{shown} }) . ')',
			'count(*) FILTER (WHERE t.' . pick(@{ $self->{shown} }) . ' IS NOT NULL)')
		  . ' FROM {T} t WHERE ' . $self->conditions('t');
	},
	limited => sub {
		my ($self) = @_;
		my @columns = $self->columns_of('t');
		return 'SELECT ' . join(', ', @columns) . ' FROM {T} t WHERE ' . $self->conditions('t') . ' '
		  . order_by(scalar @columns) . ' ' . limit();
	},
	count_limited => sub {
		my ($self) = @_;
		return 'SELECT count(*) FROM (SELECT t.' . pick(@{ $self->{shown} }) . ' FROM {T} t WHERE '
		  . $self->conditions('t') . ' ' . limit() . ') s';
	},
	exists => sub {
		my ($self) = @_;
		return 'SELECT ' . pick('', 'NOT ') . 'EXISTS (SELECT FROM {T} t WHERE ' . $self->conditions('t') . ')';
	},
	inner => sub {
		my ($self) = @_;
		return 'SELECT r.n, ' . join(', ', $self->columns_of('t')) . ' FROM '
		  . (chance(0.5) ? '{R} r JOIN {T} t ON ' : '{R} r, {T} t WHERE ') . $self->conditions('t', 'r');
	},
	left => sub {
		my ($self) = @_;
		return 'SELECT r.n, ' . join(', ', $self->columns_of('t')) . ' FROM {R} r LEFT JOIN {T} t ON '
		  . $self->conditions('t', 'r')
		  . (chance(0.2) ? ' WHERE t.' . pick(@{ $self->{shown} }) . ' IS NULL' : '')
		  . (chance(0.2) ? ' ORDER BY ALL' : '');
	},
	right_full => sub {
		my ($self) = @_;
		my $join = pick('RIGHT', 'FULL', 'FULL', 'LEFT');
		my ($left, $right) = chance(0.5) ? ('{R} r', '{S} t') : ('{S} t', '{R} r');
		my $column = pick(@{ $self->{joins} });
		return $self->with_subselect('SELECT r.n, ' . join(', ', $self->columns_of('t'))
			  . " FROM $left $join JOIN $right ON t.$column = r.$column");
	},
	semi => sub {
		my ($self) = @_;
		my $way = rand();
		my $column = pick(@{ $self->{joins} });
		return 'SELECT r.n FROM {R} r WHERE ' . pick('', 'NOT ') . 'EXISTS (SELECT FROM {T} t WHERE '
		  . $self->conditions('t', 'r') . ')' if $way < 0.5;
		return $self->with_subselect("SELECT r.n FROM {R} r WHERE r.$column "
			  . pick('IN', 'IN', 'NOT IN', '= ANY', '<> ALL') . " (SELECT t.$column FROM {S} t)");
	},
	in_registry => sub {
		my ($self) = @_;
		my $column = pick(@{ $self->{joins} });
		my $rows = "(SELECT r.$column FROM {R} r WHERE r.n " . pick('<', '>', '<>') . ' ' . pick(1, 4, 9, 30) . ')';
		my $condition = "t.$column "
		  . pick("IN $rows", "IN $rows", "= ANY $rows", "= ANY (ARRAY$rows)", "NOT IN $rows",
			'= (SELECT r.' . "$column FROM {R} r WHERE r.n = " . pick(1 .. 9) . ')');
		return 'SELECT ' . join(', ', $self->columns_of('t')) . ' FROM {T} t WHERE ' . $self->conditions('t')
		  . ' AND ' . $condition;
	},
	lateral => sub {
		my ($self) = @_;
		my @columns = $self->columns_of('t');
		return 'SELECT r.n, s.* FROM {R} r ' . pick('CROSS JOIN', 'CROSS JOIN', 'LEFT JOIN') . ' LATERAL (SELECT '
		  . join(', ', @columns) . ' FROM {T} t WHERE ' . $self->conditions('t', 'r') . ' '
		  . order_by(scalar @columns) . ' ' . limit() . ') s';
	},
	sets => sub {
		my ($self) = @_;
		my @columns = $self->columns_of('t');
		my $column = join(', ', @columns);
		return join(' ' . pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL') . ' ',
			map { "SELECT $column FROM {T} t WHERE " . $self->conditions('t') } 1 .. 2);
	},
	cte => sub {
		my ($self) = @_;
		my $query = $self->plain;
		return 'WITH c AS ' . pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($query) "
		  . pick('SELECT * FROM c', 'SELECT count(*) FROM c',
			'SELECT a.* FROM c a CROSS JOIN (SELECT count(*) FROM c) b',
			"SELECT * FROM c UNION ALL SELECT * FROM c");
	},
	scalar => sub {
		my ($self) = @_;
		my $column = pick(grep { $self->{columns}{$_} ne 'boolean' } @{ $self->{shown} });
		return 'SELECT r.n, (SELECT '
		  . pick('count(*)', "min(t.$column)", "max(t.$column)",
			"string_agg(t.$column\::text, ',' ORDER BY t.$column)")
		  . ' FROM {T} t WHERE ' . $self->conditions('t', 'r') . ') FROM {R} r';
	},
	self => sub {
		my ($self) = @_;
		my $column = pick(@{ $self->{joins} });
		my $other = pick($self->free_columns);
		return $self->with_subselect('SELECT ' . join(', ', $self->columns_of('t'), "u.$column") . ' FROM {S} t '
			  . pick('JOIN', 'LEFT JOIN', 'FULL JOIN') . " {S} u ON t.$column = u.$column"
			  . (chance(0.4) ? " AND t.$other > u.$other" : ''))
		  if chance(0.6) || $self->{keys};
		return 'SELECT ' . join(', ', $self->columns_of('t'), "u.$column") . ' FROM {T} t JOIN {T} u ON t.'
		  . "$column = u.$column WHERE " . $self->conditions('t') . ' AND ' . $self->conditions('u');
	},
	grouped => sub {
		my ($self) = @_;
		my $column = 't.' . pick(@{ $self->{shown} });
		my $other = pick(grep { $self->{columns}{$_} ne 'boolean' } @{ $self->{shown} });
		return "SELECT $column, count(*), min(t.$other) FROM {T} t WHERE "
		  . $self->conditions('t') . " GROUP BY $column" . (chance(0.3) ? ' HAVING count(*) > 1' : '');
	},
	distinct => sub {
		my ($self) = @_;
		return $self->plain =~ s/^SELECT/SELECT DISTINCT/r;
	},
	window => sub {
		my ($self) = @_;
		my @columns = $self->columns_of('t');
		return 'SELECT ' . join(', ', @columns) . ', row_number() OVER (ORDER BY ' . join(', ', @columns)
		  . '), count(*) OVER () FROM {T} t WHERE ' . $self->conditions('t');
	},
	nested => sub {
		my ($self) = @_;
		return 'SELECT r.n, q.n, ' . join(', ', $self->columns_of('t'))
		  . ' FROM {R} r ' . pick('JOIN', 'LEFT JOIN') . ' {R} q ON q.n = r.n + 1 ' . pick('JOIN', 'LEFT JOIN')
		  . ' {T} t ON ' . $self->conditions('t', pick('r', 'q'));
	});

my @kinds = map { my ($name, $times) = @$_; ($name) x $times } (
	[ plain => 8 ], [ count => 3 ], [ limited => 4 ], [ count_limited => 2 ], [ exists => 2 ],
	[ inner => 5 ], [ left => 4 ], [ right_full => 2 ], [ semi => 3 ], [ in_registry => 3 ],
	[ lateral => 2 ], [ sets => 2 ], [ cte => 2 ], [ scalar => 2 ], [ self => 2 ],
	[ grouped => 1 ], [ distinct => 1 ], [ window => 1 ], [ nested => 2 ]);

# {S} is {T} with conditions of its own.
sub with_subselect
{
	my ($self, $query) = @_;
	my $columns = join ', ', @{ $self->{shown} };
	$query =~ s/\{S\} (\w+)/"(SELECT $columns FROM {T} x WHERE " . $self->conditions('x') . ") $1"/ge;
	return $query;
}

# One query: sql, kind, how it is run (plain, prepared, cursor), before and
# after (what stands around it), params, settings; scan => what the copy is
# read as; keyless => whether it may lack a key.
sub next_query
{
	my ($self) = @_;
	my $kind = pick(@kinds);
	local $self->{target} = pick(@{ $self->{rows} });
	my $how = pick(qw(plain plain plain prepared cursor));
	local $self->{params} = $how eq 'prepared' ? [] : undef;
	local $self->{keyless} = $self->{keys} && chance(0.04);
	$self->{start}->($self) if $self->{start};
	my $sql = $templates{$kind}->($self);
	$sql =~ s/ ORDER BY ALL/ ORDER BY r.n/;
	$sql =~ s/(LEFT JOIN LATERAL .* s)$/$1 ON true/s;
	my $query = {
		kind => $kind,
		how => $how,
		sql => $sql,
		keyless => $self->{keyless},
		params => $self->{params},
		scan => $self->{scan}
	};
	@$query{qw(before after settings)} = (
		$how eq 'prepared' ? prepared($query)
		: $how eq 'cursor' ? cursor($kind eq 'limited')
		: ('', ''),
		settings());
	return $query;
}

# What stands before and after a query that is prepared, and executed so often
# that its plan may be the generic one.
sub prepared
{
	my ($query) = @_;
	my @params = @{ $query->{params} };
	my $types = @params ? '(' . join(', ', map { $_->[0] } @params) . ')' : '';
	my $values = @params ? '(' . join(', ', map { $_->[1] } @params) . ')' : '';
	my $mode = pick(qw(auto force_generic_plan force_generic_plan force_generic_plan force_custom_plan));
	my $times = $mode eq 'auto' ? pick(1, 7) : pick(1, 1, 2);
	return ("SET plan_cache_mode = $mode;\nPREPARE q$types AS ",
		";\n" . "EXECUTE q$values;\n" x $times . 'DEALLOCATE q');
}

# The same for a cursor, read in parts; all of it, unless its order is known.
sub cursor
{
	my ($ordered) = @_;
	my $scroll = chance(0.3);
	my $hold = chance(0.2);
	my $fetches = join '', map { "FETCH $_ FROM c;\n" } map { pick(1, 2, 7, 30) } 1 .. pick(0, 1, 2, 3);
	$fetches .= "SAVEPOINT s;\nFETCH 1 FROM c;\nROLLBACK TO s;\n" if !$hold && chance(0.15);
	$fetches .= "FETCH ALL FROM c;\n" if !$ordered || chance(0.5);
	$fetches .= "MOVE BACKWARD ALL FROM c;\nFETCH " . ($ordered ? 3 : 'ALL') . " FROM c;\n" if $scroll;
	$fetches .= 'CLOSE c';
	return ('BEGIN; DECLARE c ' . ($scroll ? 'SCROLL ' : '') . 'CURSOR ' . ($hold ? 'WITH HOLD ' : '') . 'FOR ',
		";\n" . ($hold ? "COMMIT;\n$fetches" : "$fetches;\nCOMMIT"));
}

# Settings of the session that must not change rows.
sub settings
{
	my @set;
	push @set, "SET TimeZone = '" . pick('Europe/Paris', 'America/St_Johns', 'Pacific/Kiritimati') . "'"
	  if chance(0.3);
	push @set, "SET DateStyle = '" . pick('SQL, DMY', 'German', 'Postgres, MDY') . "'" if chance(0.3);
	push @set, "SET IntervalStyle = 'sql_standard'" if chance(0.05);
	push @set, "SET extra_float_digits = " . pick(0, 3) if chance(0.1);
	return join '', map { "$_;\n" } @set;
}

# Settings of the planner at random.
sub planner_settings
{
	my @set = map { "SET enable_$_ = off" } grep { chance(0.35) }
	  qw(hashjoin mergejoin nestloop memoize material hashagg sort seqscan incremental_sort);
	push @set, 'SET join_collapse_limit = 1', 'SET from_collapse_limit = 1' if chance(0.2);
	push @set, 'SET geqo_threshold = 2' if chance(0.1);
	push @set, "SET work_mem = '64kB'" if chance(0.2);
	push @set, 'SET cursor_tuple_fraction = ' . pick(0, 0.001, 1) if chance(0.3);
	push @set, 'SET jit = on' if chance(0.02);
	push @set, 'SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0', 'SET min_parallel_table_scan_size = 0'
	  if chance(0.05);
	return join '', map { "$_;\n" } @set;
}

1;
