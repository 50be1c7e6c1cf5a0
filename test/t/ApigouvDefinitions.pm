# What the API definitions (apis/) say, for tests that cover whatever is there:
# the ways a table can be read, the conditions that make the engine send given
# parameters, what a reply means, and which rows it holds.
#
# A way is a route with one alternative of each of its variants.  An exchange
# is what an API was asked and what it said: { api, operation, method, path,
# request => { parameter => value }, status, headers, body, name }.
#
# No value is ever printed here: callers may hold personal data.
package ApigouvDefinitions;

use strict;
use utf8;
use warnings;

use ApigouvFiles;
use Exporter 'import';
use JSON::PP;

our @EXPORT = qw(
  api_names definition tables_of ways_of all_ways conditions_for unsendable outcome elements at_path
  plain_name parameters_equal literal condition_on column_type some_value takes forward is_siret is_siren with_check wire_values purpose_parameters ordered_lists is_key path_matches
  operation_fits sources_of
);

our @PURPOSE = qw(recipient context object);

my $json = JSON::PP->new->utf8->allow_nonref;
my (%definitions, %tables, %ways, $shared);

sub load { return $json->decode(slurp_bytes($_[0])); }

# ---- files ----

# The APIs that have tables.
sub api_names
{
	my @names = map { m{([^/]+)\.json$} } glob(root() . '/apis/*.json');
	return grep { @{ definition($_)->{tables} } } sort @names;
}

sub definition
{
	my ($api) = @_;
	return $definitions{$api} //= load(root() . "/apis/$api.json");
}

sub tables_of
{
	my ($api) = @_;
	return @{ $tables{$api} //= [ map { load(root() . "/apis/$api/$_.json") } @{ definition($api)->{tables} } ] };
}

sub combinations
{
	my ($first, @others) = @_;
	return [] unless defined $first;
	return map {
		my $one = $_;
		map { [ $one, @$_ ] } combinations(@others)
	} @$first;
}

# The ways of an API's tables, in their order.
sub ways_of
{
	my ($api) = @_;
	return @{ $ways{$api} //= [ map { ways_of_table($api, $_) } tables_of($api) ] };
}

sub all_ways { return map { ways_of($_) } api_names(); }

sub ways_of_table
{
	my ($api, $table) = @_;
	my @found;
	for my $route (@{ $table->{routes} })
	{
		for my $chosen (combinations(@{ $route->{variants} // [] }))
		{
			my @names = map { $_->{name} } @$chosen;
			push @found,
			  { api => $api, table => $table, route => $route, chosen => $chosen,
				name => "$table->{table} $route->{name}" . (@names ? ':' . join('+', @names) : ''),
				method => $route->{method} // 'GET',
				path => $route->{path},
				operation => $route->{operation} // "$route->{path}",
				lookup => scalar((map { $_->{lookup} // () } $route, @$chosen)[0]),
				parameters => [ map { @{ $_->{parameters} // [] } } $route, @$chosen ],
				closed => [ map { @{ $_->{unless_condition_on} // [] } } $route, @$chosen ] };
		}
	}
	return @found;
}

# ---- names and values ----

sub plain_name { return $_[0] =~ s/\[\]$//r; }

sub literal
{
	my ($text) = @_;
	return "'" . $text =~ s/'/''/gr . "'";
}

# A number with the digit that makes its Luhn sum right.
sub with_check
{
	my ($digits) = @_;
	my ($sum, $place) = (0, 0);
	for my $digit (reverse split //, "${digits}0")
	{
		my $value = $digit * ($place++ % 2 ? 2 : 1);
		$sum += $value > 9 ? $value - 9 : $value;
	}
	return $digits . -$sum % 10;
}

sub luhn { return $_[0] eq with_check(substr $_[0], 0, -1); }

sub is_siren { return $_[0] =~ /^\d{9}$/ && luhn($_[0]); }

# La Poste's establishments need no checksum.
sub is_siret
{
	my ($value) = @_;
	return $value =~ /^\d{14}$/ && ($value =~ /^356000000/ || luhn($value));
}

sub wire_text
{
	my ($value) = @_;
	return JSON::PP::is_bool($value) ? ($value ? 'true' : 'false') : "$value";
}

# The values of a parameter: always a list of texts.
sub wire_values { return map { wire_text($_) } ref $_[0] eq 'ARRAY' ? @{ $_[0] } : $_[0]; }

# Are two sets of parameters equal?  Names without [], texts without case; the
# order of a list matters where its name is in ordered.
sub parameters_equal
{
	my ($left, $right, $ordered) = @_;
	my @texts = map {
		my $set = $_;
		my %plain = map { plain_name($_) => $set->{$_} } keys %$set;
		join "\n", map {
			my @values = map { lc } wire_values($plain{$_});
			"$_=" . join "\t", ($ordered // {})->{$_} ? @values : sort @values
		} sort keys %plain
	} $left, $right;
	return $texts[0] eq $texts[1];
}

# Parameters of a way whose lists have an order: those on an array's equality.
sub ordered_lists
{
	my ($way) = @_;
	my %array = map { $_->{name} => 1 } grep { $_->{type} =~ /\[\]$/ } @{ $way->{table}{columns} };
	return { map { plain_name($_->{name}) => 1 }
		  grep { $array{ $_->{column} // '' } && "@{ $_->{ops} // ['='] }" =~ /(^| )=( |$)/ } @{ $way->{parameters} } };
}

sub purpose_parameters { return @PURPOSE; }

# ---- steps ----

sub shared_list
{
	my ($name) = @_;
	$shared //= load(root() . '/apis/shared/territoires.json');
	return @{ $shared->{$name} };
}

sub departement
{
	my ($code) = @_;
	return () if $code =~ /^20/;
	return $code =~ /^(97.|98.|\d[0-9AB])/ ? ($1) : ();
}

# What one step makes of a text: a list.
sub step
{
	my ($step, $text) = @_;
	my ($word, $rest) = split / /, $step, 2;
	return substr($text, 0, $rest) if $word eq 'left';
	return departement($text) if $word eq 'departement';
	return $text =~ s/^\s+|\s+$//gr if $word eq 'trim';
	return $text =~ /$rest/ ? ($text) : () if $word eq 'matches';
	return is_siret($text) ? ($text) : () if $word eq 'siret';
	return luhn($text) ? ($text) : () if $word eq 'luhn';
	if ($word eq 'map')
	{
		my ($list, $from, $to) = split / /, $rest;
		return grep { defined } map { $_->{$to} } grep { ($_->{$from} // '') eq $text } shared_list($list);
	}
	return length $text < $rest ? '0' x ($rest - length $text) . $text : $text if $word eq 'pad';
	if (my ($part) = grep { $word eq (qw(year month day))[$_] } 0 .. 2)
	{
		my @date = $text =~ /^(\d{4})-(\d\d)-(\d\d)$/ or return ();
		return 0 + $date[$part];
	}
	die "step $word is not known here" unless $word =~ /^periode_/;
	return $text;
}

# What a condition's value becomes on the wire.
sub forward
{
	my ($steps, $text) = @_;
	my @texts = grep { defined } ($text);
	for my $step (@{ $steps // [] })
	{
		@texts = map { step($step, $_) } @texts;
	}
	return @texts;
}

# The value of a condition that gives one wire value and no other, or undef.
sub backward
{
	my ($steps, $wire) = @_;
	return $wire unless @{ $steps // [] };
	my @candidates = ($wire, $wire =~ s/^0+(?=.)//r, "0$wire");
	for my $step (grep { /^map / } @$steps)
	{
		my (undef, $list, $from, $to) = split / /, $step;
		push @candidates, map { $_->{$from} } grep { ($_->{$to} // '') eq $wire } shared_list($list);
	}
	for my $candidate (@candidates)
	{
		my @texts = forward($steps, $candidate);
		return $candidate if @texts == 1 && $texts[0] eq $wire;
	}
	return undef;
}

# ---- conditions ----

# Does an operation or a path given beside an exchange name this way?
sub operation_fits
{
	my ($way, $exchange) = @_;
	return $way->{operation} eq $exchange->{operation}
	  if defined $exchange->{operation} && defined $way->{route}{operation};
	return 0 unless defined $exchange->{template};
	return $exchange->{template} =~ s/\{\w+\}/{}/gr eq $way->{path} =~ s/\{\w+\}/{}/gr;
}

# The places of a path, by name, when it fits the way's template; else undef.
sub path_matches
{
	my ($way, $path) = @_;
	my @names = $way->{path} =~ /\{(\w+)\}/g;
	my $place = (grep { $_->{slashes} } @{ $way->{parameters} }) ? '(.+)' : '([^/]+)';
	my $pattern = join $place, map { quotemeta } split /\{\w+\}/, $way->{path}, -1;
	my @values = $path =~ /^$pattern$/ or return undef;
	my %places;
	@places{@names} = @values if @names;
	return \%places;
}

my %comparison = ('=' => '=', '>=' => '>=', '>' => '>', '<=' => '<=', '<' => '<');

sub column_type
{
	my ($way, $name) = @_;
	my ($type) = map { $_->{type} } grep { $_->{name} eq $name } @{ $way->{table}{columns} };
	return $type // 'text';
}

# One parameter's condition, for given wire values; undef when there is none.
sub condition
{
	my ($way, $parameter, @wire) = @_;
	my @values;
	for my $wire (@wire)
	{
		my $value = backward($parameter->{steps}, $wire) // return undef;
		push @values, $value;
	}
	return condition_on($way, $parameter, @values);
}

# Is this a value that a parameter takes, before its steps?
sub takes
{
	my ($way, $parameter, $value) = @_;
	my $type = column_type($way, $parameter->{column}) =~ s/\[\]$//r;
	my ($check, $pattern, $values) = @$parameter{qw(check pattern values)};
	return 0 if $type =~ /int$|^integer$/ && $value !~ /^\d{1,4}$/;
	return 0 if $type =~ /^(?:numeric|float8)$/ && $value !~ /^\d+(\.\d+)?$/;
	return 0 if $type =~ /^(?:date|timestamptz)$/ && $value !~ /^\d{4}-/;
	return 0 if $type eq 'boolean' && $value ne 'true';
	for my $wire (my @wire = forward($parameter->{steps}, $value))
	{
		return 0 if defined $check && !($check eq 'siret' ? is_siret($wire) : is_siren($wire));
		return 0 if defined $pattern && $wire !~ /$pattern/;
		return 0 if $values && !grep { $_ eq $wire } @$values;
		return 0 if defined $parameter->{min} && $wire < $parameter->{min};
		return 0 if defined $parameter->{max} && $wire > $parameter->{max};
	}
	return forward($parameter->{steps}, $value) > 0;
}

# Some value that a parameter takes, or undef.
sub some_value
{
	my ($way, $parameter) = @_;
	my @candidates = (@{ $parameter->{values} // [] }, qw(true 35 35238 53 2004 1 0.5 2004-05-06 2024 A1203 M exemple),
		$ApigouvFiles::SIRET, $ApigouvFiles::SIREN);
	for my $step (grep { /^map / } @{ $parameter->{steps} // [] })
	{
		my (undef, $list, $from) = split / /, $step;
		push @candidates, grep { defined } map { $_->{$from} } shared_list($list);
	}
	my ($value) = grep { takes($way, $parameter, $_) } @candidates;
	return $value;
}

sub some_condition
{
	my ($way, $parameter) = @_;
	my $value = some_value($way, $parameter) // return undef;
	return condition_on($way, $parameter, $value);
}

# One parameter's condition, for given values of its column.
sub condition_on
{
	my ($way, $parameter, @values) = @_;
	my $column = $parameter->{column};
	my $type = column_type($way, $column);
	my @ops = @{ $parameter->{ops} // ['='] };
	my $array = '{' . join(',', map { '"' . s/(["\\])/\\$1/gr . '"' } @values) . '}';

	if ($type =~ /\[\]$/)
	{
		my ($op) = grep { $_ eq '=' || $_ eq '&&' || $_ eq '@>' } @ops;
		return defined $op ? "$column $op " . literal($array) : literal($values[0]) . " = ANY ($column)";
	}
	if (@values > 1)
	{
		return undef unless grep { $_ eq '=' } @ops;
		return "$column IN (" . join(', ', map { literal($_) } @values) . ')';
	}
	my $value = $values[0] // return undef;
	return $column if "@ops" eq 'true' && $value eq 'true';
	return "$column LIKE " . literal("$value%") if "@ops" eq 'prefix';
	my ($op) = grep { $comparison{$_} } @ops;
	return defined $op ? "$column $op " . literal($value) : undef;
}

# The conditions under which a way sends exactly these parameters (name =>
# value or list; those of paging and the purpose are not among them).
# Returns the SQL, or undef and why there is none; names only, no value.
# loosely: what another request gives may be anything, and a value that no
# condition can give is replaced by one that some condition can.
sub conditions_for
{
	my ($way, $request, %how) = @_;
	my %left = map { plain_name($_) => $request->{$_} } keys %$request;
	my (@conditions, @why);

	delete @left{@PURPOSE};
	for my $parameter (@{ $way->{parameters} })
	{
		my $name = plain_name($parameter->{name});
		if ($parameter->{lookup} && $how{loosely})
		{
			delete $left{$name};
			next;
		}
		return (undef, "$name comes from another request") if $parameter->{lookup};
		if (exists $parameter->{constant})
		{
			next if !exists $left{$name} && !@why && ($parameter->{in} // 'query') =~ /^(?:query|header)$/;
			next if !exists $left{$name} && $parameter->{unless_read};
			return (undef, "$name is always sent") unless exists $left{$name};
			return (undef, "$name has another value")
			  unless parameters_equal({ x => $left{$name} }, { x => $parameter->{constant} });
			delete $left{$name};
			next;
		}
		next unless defined $parameter->{column};
		if (!exists $left{$name})
		{
			push @why, $name if is_key($parameter);
			next;
		}
		my $condition = condition($way, $parameter, wire_values($left{$name}));
		$condition //= some_condition($way, $parameter) if $how{loosely};
		next unless defined $condition;
		push @conditions, $condition;
		delete $left{$name};
	}
	return (undef, join(', ', sort @why) . ' is missing') if @why;
	return (undef, join(', ', sort keys %left) . ' cannot be asked') if %left;
	push @conditions, map { "$_ = " . literal($way->{route}{constants}{$_}) } sort keys %{ $way->{route}{constants} // {} }
	  if $way->{table}{union};
	return @conditions ? join(' AND ', @conditions) : 'true';
}

# Is a parameter one that its route cannot do without?
sub is_key
{
	my ($parameter) = @_;
	return $parameter->{required} || ($parameter->{in} // '') eq 'path';
}

# Why the engine does not send these values, or undef: "PARAMETER: check", with
# "key" when no request is sent at all.
sub unsendable
{
	my ($way, $request) = @_;
	my %given = map { plain_name($_) => $request->{$_} } keys %$request;
	for my $parameter (grep { defined $_->{column} } @{ $way->{parameters} })
	{
		my $name = plain_name($parameter->{name});
		next unless exists $given{$name};
		my ($check, $pattern) = @$parameter{qw(check pattern)};
		for my $value (wire_values($given{$name}))
		{
			my $what = (is_key($parameter) ? 'key ' : '') . $name;
			return "$what: checksum"
			  if defined $check && !($check eq 'siret' ? is_siret($value) : is_siren($value));
			return "$what: pattern" if defined $pattern && $value !~ /$pattern/;
			return "$what: not a value that is sent"
			  if $parameter->{values} && !grep { $_ eq $value } @{ $parameter->{values} };
		}
	}
	return undef;
}

# ---- what a reply means ----

sub listed
{
	my ($wanted, $is) = @_;
	for my $one (ref $wanted eq 'ARRAY' ? @$wanted : $wanted)
	{
		return 1 if $one =~ /^(\d)xx$/ ? substr($is, 0, 1) eq $1 : $is =~ /^\Q$one\E$/;
		my $pattern = $one =~ s/\?/./gr;
		return 1 if $pattern =~ /\./ && $is =~ /^$pattern$/;
	}
	return 0;
}

sub rule_fits
{
	my ($rule, $status, $code, $text) = @_;
	return 0 if defined $rule->{status} && !listed($rule->{status}, $status);
	return 0 if defined $rule->{code} && !(defined $code && listed($rule->{code}, $code));
	return 0 if defined $rule->{not_code} && defined $code && listed($rule->{not_code}, $code);
	return 0 if defined $rule->{message_has} && index($text, $rule->{message_has}) < 0;
	return 0 if $rule->{empty} && $text =~ /\S/;
	return 1;
}

my %sqlstates = (token => '28000', refused => '42501', quota => '53400');

# How the definition reads a reply: { is => rows, no_row, row or error, set =>
# { column => text }, sqlstate, failed (a source that does not answer) }.
sub outcome
{
	my ($way, $exchange) = @_;
	my $status = $exchange->{status};
	my $body = $exchange->{body};
	my $api = definition($way->{api});
	my $text = !defined $body ? '' : ref $body ? $json->encode($body) : $body;
	my ($code) = grep { defined && !ref } map { at_path($body, $_) } @{ $api->{error_body}{code} // [] };
	my @rules = (map { @{ $_->{replies} // [] } } $way->{route}, $way->{table}, $api);
	my ($rule) = grep { rule_fits($_, $status, $code, $text) } @rules;
	my $engine =
	    $status =~ /^2/ ? 'rows'
	  : $status == 401 ? 'token'
	  : $status == 403 ? 'refused'
	  : $status == 429 ? 'quota'
	  : $status =~ /^50[234]$/ ? 'unavailable'
	  : 'error';
	my $is = $rule ? $rule->{is} : $engine;
	my $set = $rule ? $rule->{set} // {} : {};

	$is = $engine if $is eq 'retry';
	return { is => 'error', set => $set, sqlstate => 'HV00M', failed => 1 } if $is eq 'rows' && !ref $body;
	return ($way->{route}{rows_missing} // 'error') eq 'error'
	  ? { is => 'error', set => $set, sqlstate => 'HV021' }
	  : { is => 'no_row', set => $set }
	  if $is eq 'rows' && lacks_rows($way, $body);
	return { is => $is, set => $set } if $is =~ /^(?:rows|no_row|row)$/;
	return { is => 'error', set => $set, failed => scalar($is =~ /^(?:unavailable|refused)$/),
		sqlstate => $sqlstates{$is} // 'HV00M' };
}

# Is the list that a table's rows stand in not there?  A source that must not be
# empty without saying so: a list that a scope masks, for instance.
sub lacks_rows
{
	my ($way, $body) = @_;
	my ($list) = $way->{route}{rows} =~ /^(.*?)(?:\[\]|$)/;
	return 0 if $list eq '';
	return !grep { defined } at_path($body, $list);
}

# ---- rows of a body ----

# The values at a path: members joined by dots, [] for each element of a list,
# numbers for one of them.
sub at_path { return map { $_->[1] } placed_at($_[0], $_[1], ''); }

sub below { return length $_[0] ? "$_[0].$_[1]" : $_[1]; }

# [place, value] pairs at a path; a place is written with numbers for elements.
sub placed_at
{
	my ($value, $path, $place) = @_;
	my @found = ([ $place, $value ]);
	for my $step (split /\.|(?=\[\])/, $path)
	{
		@found = map {
			my ($at, $is) = @$_;
			$step eq '[]'
			  ? (ref $is eq 'ARRAY' ? map { [ below($at, $_), $is->[$_] ] } 0 .. $#$is : ())
			  : ref $is eq 'HASH' && exists $is->{$step} ? [ below($at, $step), $is->{$step} ]
			  : ref $is eq 'ARRAY' && $step =~ /^\d+$/ && $step < @$is ? [ below($at, $step), $is->[$step] ]
			  : ()
		} grep { defined $_->[1] } @found;
	}
	return @found;
}

# The rows that a way finds in a body: { place, value, lists => [places of the
# elements of the enclosing lists, innermost first] }.
sub elements
{
	my ($way, $body) = @_;
	my @rows = ({ place => '', value => $body, lists => [] });
	for my $step (grep { length } split /\.|(?=\[\])/, $way->{route}{rows})
	{
		@rows = map {
			my $row = $_;
			map {
				my ($place, $value) = @$_;
				my @lists = @{ $row->{lists} };
				@lists = ($place, @lists) if $step eq '[]';
				{ place => $place, value => $value, lists => \@lists }
			} placed_at($row->{value}, $step, $row->{place})
		} @rows;
	}
	@rows = grep { defined $_->{value} } @rows;
	my $pivot = $way->{route}{pivot} or return @rows;
	return pivoted($pivot, @rows);
}

# Rows of elements that have the same values.
sub pivoted
{
	my ($pivot, @rows) = @_;
	my (%groups, @order);
	for my $row (@rows)
	{
		my $key = json_text([ map { my ($v) = at_path($row->{value}, $_); $v } @{ $pivot->{by} } ]);
		push @order, $key unless $groups{$key};
		push @{ $groups{$key} }, $row;
	}
	return map {
		my ($first) = @{ $groups{$_} };
		+{ %$first, group => $groups{$_}, pivot => $pivot }
	} @order;
}

# The sources that may give a column of this way its value, with what is done
# to them.
sub sources_of
{
	my ($way, $column) = @_;
	my $own = $way->{route}{columns} // {};
	my $source = exists $own->{ $column->{name} } ? $own->{ $column->{name} } : $column;
	return () unless defined $source;
	return $source unless $source->{first_of};
	my %around = %$source;
	delete @around{qw(first_of name type comment)};
	return map { { %around, %$_ } } @{ $source->{first_of} };
}

1;
