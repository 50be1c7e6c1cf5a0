# Whether a reply comes out whole: each scalar of its body in the column that
# the definition gives it, of some table of its operation.  Used by replay.pl.
#
# Rows are found by what reponse holds, then each column's sources are followed
# in the row's element of the body, and the column must show what is there.
# Scalars that no column takes are looked for in reponse.  Only places are ever
# named, never values: they may be personal data.
package ApigouvReplay;

use strict;
use utf8;
use warnings;

use ApigouvDefinitions;
use ApigouvTest;
use Encode ();
use Exporter 'import';
use JSON::PP;
use POSIX ();
use Scalar::Util qw(looks_like_number);

our @EXPORT = qw(scalars_of table_rows check_rows generic canonical);

my $json = JSON::PP->new->utf8->allow_nonref;

# Times are compared as seconds since 1970.
$ENV{TZ} = 'UTC';
POSIX::tzset();

# ---- scalars ----

# A scalar so that what the API writes and what a column shows are equal.
sub canonical
{
	my ($value) = @_;
	return $value ? 'true' : 'false' if JSON::PP::is_bool($value);
	if ($value =~ /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/)
	{
		my ($offset, $fraction) = ($8, $7 // 0);
		my $seconds = POSIX::mktime($6 // 0, $5, $4, $3, $2 - 1, $1 - 1900);
		$seconds -= "${1}1" * ($2 * 3600 + $3 * 60)
		  if $offset =~ /([+-])(\d\d):?(\d\d)/;
		return sprintf 'time %.6f', $seconds + $fraction;
	}
	return 0 + $value
	  if looks_like_number($value) && $value !~ /^[+-]?0\d/ && $value !~ /^\s|\s$|inf|nan/i && length $value < 16;
	return $value;
}

# Place and value of every scalar; null and empty text are NULL.
sub scalars_of
{
	my ($value, $place) = @_;
	my $below = sub { length $place ? "$place.$_[0]" : $_[0] };
	return map { scalars_of($value->{$_}, $below->($_)) } sort keys %$value
	  if ref $value eq 'HASH';
	return map { scalars_of($value->[$_], $below->($_)) } 0 .. $#$value
	  if ref $value eq 'ARRAY';
	return if !defined $value || (!ref $value && $value eq '');
	return [ $place, $value ];
}

# The texts that a column shows, as a set.
sub shown
{
	my ($value) = @_;
	return { map { canonical($_->[1]) => 1 } scalars_of($value, '') };
}

# A place without the numbers of elements.
sub generic { return join '.', map { /^\d+$/ ? '[]' : $_ } split /\./, $_[0]; }

# A value as one text, to recognize it.
sub identity
{
	my ($value) = @_;
	return join "\n", map { "$_->[0]=" . canonical($_->[1]) } scalars_of($value, '');
}

# ---- what the sources of a column give ----

# Days since the beginning of a Unix time, in Paris, as a date.
sub paris_date
{
	my ($seconds) = @_;
	local $ENV{TZ} = 'Europe/Paris';
	POSIX::tzset();
	my $date = POSIX::strftime('%Y-%m-%d', localtime $seconds);
	$ENV{TZ} = 'UTC';
	POSIX::tzset();
	return $date;
}

# What a column may show for a scalar that a source takes: texts, or undef for
# anything that is not NULL.
sub accepted
{
	my ($source, $type, $value) = @_;
	my $format = $source->{format} // '';
	my @texts = canonical($value);
	return undef if $format eq 'seconds_after_reply';
	return [ paris_date($value) ] if $format eq 'unix_paris';
	return undef if $format ne '';
	push @texts, canonical($source->{when_past}{then}) if $source->{when_past};
	push @texts, substr($value, 0, 10) if $type eq 'date';
	if ($source->{values})
	{
		my $text = JSON::PP::is_bool($value) ? ($value ? 'true' : 'false') : $value;
		my $mapped = exists $source->{values}{$text} ? $source->{values}{$text} : $source->{else};
		push @texts, defined $mapped ? canonical($mapped) : 'NULL';
	}
	return \@texts;
}

# The places that a source reads for a row: [place, value] pairs.
sub read_by
{
	my ($source, $row, $body) = @_;
	return placed($body, $source->{envelope}, '') if defined $source->{envelope};
	if (defined $source->{parent})
	{
		my @lists = @{ $row->{lists} };
		shift @lists if @lists && $lists[0] eq $row->{place};
		my $list = $lists[ ($source->{level} // 1) - 1 ] // return ();
		my ($element) = ApigouvDefinitions::at_path($body, $list);
		return placed($element, $source->{parent}, $list);
	}
	return () unless defined $source->{path};
	my @elements = $row;
	if ($row->{group})
	{
		@elements = grep {
			my ($name) = at_path($_->{value}, $row->{pivot}{name});
			!defined $source->{pivot} || defined $name && $name eq $source->{pivot}
		} @{ $row->{group} };
	}
	return map {
		my $element = $_;
		map { placed($element->{value}, $_, $element->{place}) }
		  ref $source->{path} eq 'ARRAY' ? @{ $source->{path} } : $source->{path}
	} @elements;
}

sub placed
{
	my ($value, $path, $place) = @_;
	return map { scalars_of($_->[1], $_->[0]) } ApigouvDefinitions::placed_at($value, $path, $place);
}

# ---- rows ----

# The rows of a query: columns, and reponse apart.
sub table_rows
{
	my ($session, $query) = @_;
	my $result = $session->query("SELECT to_jsonb(t) FROM ($query) t");
	return ($result) if defined $result->{sqlstate};
	my @rows;
	for my $line (split /\n/, $result->{out})
	{
		my $columns = $json->decode(Encode::encode('UTF-8', $line));
		my $reponse = delete $columns->{reponse};
		push @rows, { columns => $columns, reponse => $reponse };
	}
	return ($result, @rows);
}

# The table's rows, in the order of the elements of the body; undef for an
# element without row.  Rows whose reponse was not read are in that order.
sub aligned
{
	my ($elements, @rows) = @_;
	my %by_identity;
	return @rows if @rows == @$elements && !grep { defined $_->{reponse} } @rows;
	push @{ $by_identity{ identity($_->{reponse}) } }, $_ for @rows;
	return map {
		my $element = $_;
		my $value = $element->{group} ? [ map { $_->{value} } @{ $element->{group} } ] : $element->{value};
		shift @{ $by_identity{ identity($value) } // [] }
	} @$elements;
}

# What became of the scalars of a body in the rows of one table.  states:
# place => 'column', 'reponse', 'wrong' or 'dropped', of all tables so far.
# Elements may lack a row where a condition is rechecked.  Returns what is
# wrong with the rows themselves.
sub check_rows
{
	my ($way, $body, $rechecked, $states, @rows) = @_;
	my @elements = elements($way, $body);
	my @wrong;

	push @wrong, scalar(@rows) . ' rows, not ' . @elements
	  if $rechecked ? @rows > @elements : @rows != @elements;
	my @aligned = aligned(\@elements, @rows);
	for my $place (0 .. $#elements)
	{
		my ($element, $row) = ($elements[$place], $aligned[$place]);
		if (!defined $row && $rechecked)
		{
			$states->{ $_->[0] } //= 'dropped' for scalars_of($element->{value}, $element->{place});
			next;
		}
		if (!defined $row)
		{
			push @wrong, "no row for $element->{place}";
			next;
		}
		for my $column (@{ $way->{table}{columns} })
		{
			check_column($way, $column, $element, $body, $row, $states);
		}
		repeated_keys($way, $element, $row, $states);
		for my $member ($element->{group} ? @{ $element->{group} } : $element)
		{
			$states->{ $_->[0] } //= 'reponse' for scalars_of($member->{value}, $member->{place});
		}
	}
	return @wrong;
}

# Scalars that repeat, under the name of a column that shows what was asked,
# what it shows.
sub repeated_keys
{
	my ($way, $element, $row, $states) = @_;
	my %asked = map { $_->{column} => 1 } grep { defined $_->{column} } @{ $way->{parameters} };
	for my $scalar (scalars_of($element->{value}, $element->{place}))
	{
		my ($place, $value) = @$scalar;
		my ($name) = $place =~ /([^.]+)$/;
		my $shown = $asked{$name} ? $row->{columns}{$name} : undef;
		$states->{$place} //= 'echo' if defined $shown && !ref $shown && canonical($shown) eq canonical($value);
	}
	return;
}

sub check_column
{
	my ($way, $column, $element, $body, $row, $states) = @_;
	my $value = $row->{columns}{ $column->{name} };
	my $shown = shown($value);
	$shown->{NULL} = 1 unless defined $value;
	for my $source (sources_of($way, $column))
	{
		for my $scalar (read_by($source, $element, $body))
		{
			my ($place, $is) = @$scalar;
			my $accepted = accepted($source, $column->{type}, $is);
			my $found = defined $accepted ? grep({ $shown->{$_} } @$accepted) : defined $value;
			if ($found) { $states->{$place} = 'column'; }
			else { $states->{$place} //= 'wrong'; }
		}
	}
	return;
}

1;
