# Whether a recorded reply comes out whole: each scalar of a row of its body in
# some column of one row of the table.  Used by samples.pl.
package ApigouvSamples;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Encode ();
use Exporter 'import';
use JSON::PP;
use POSIX ();
use Scalar::Util qw(looks_like_number);
use Test::More;

our @EXPORT = qw(comes_out);

my $json = JSON::PP->new->utf8->allow_nonref;
my $checked = 0;
my %only_in_reponse;

# Times are compared as seconds since 1970.
$ENV{TZ} = 'UTC';
POSIX::tzset();

# How many scalars were compared, and which were in no column but reponse.
sub checked { return $checked; }
sub only_in_reponse { return %only_in_reponse; }

# A scalar so that what the API writes and what a column shows are equal.
sub canonical
{
	my ($value) = @_;
	return $value ? 'true' : 'false' if JSON::PP::is_bool($value);
	if ($value =~ /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)$/)
	{
		my ($offset, $fraction) = ($8, $7 // 0);
		my $seconds = POSIX::mktime($6, $5, $4, $3, $2 - 1, $1 - 1900);
		$seconds -= "${1}1" * ($2 * 3600 + $3 * 60)
		  if $offset =~ /([+-])(\d\d):?(\d\d)/;
		return sprintf 'time %.6f', $seconds + $fraction;
	}
	return 0 + $value
	  if looks_like_number($value) && $value !~ /^0\d/ && length $value < 16;
	return $value;
}

# path => value pairs of all scalars; null and empty text are NULL.
sub scalars
{
	my ($value, $path) = @_;
	return map { scalars($value->{$_}, "$path.$_") } sort keys %$value
	  if ref $value eq 'HASH';
	return map { scalars($_, "$path\[]") } @$value if ref $value eq 'ARRAY';
	return if !defined $value || (!ref $value && $value eq '');
	return [ $path, $value ];
}

# The rows that a body holds.
sub rows_of
{
	my ($body) = @_;
	return @$body if ref $body eq 'ARRAY';
	for my $member (qw(results items data listeValeursParPeriode activites territoires))
	{
		return @{ $body->{$member} } if ref $body->{$member} eq 'ARRAY';
	}
	return $body;
}

# Scalars of a value that a set of texts lacks.
sub lacking
{
	my ($value, $texts) = @_;
	return grep { !$texts->{ canonical($_->[1]) } } scalars($value, '');
}

# comes_out(session, sample, query, body, members to leave out): all scalars of a row
# in the columns of one row, and those around the rows in any.
sub comes_out
{
	my ($session, $name, $query, $body, @left_out) = @_;
	my $result = $session->query("SELECT to_jsonb(t) FROM ($query) t");
	if (defined $result->{sqlstate})
	{
		fail($name);
		diag($result->{err});
		return;
	}
	if (ref $body eq 'HASH')
	{
		$body = {%$body};
		delete @$body{@left_out};
	}

	my (@rows, %rows_with, %anywhere, @missing);
	for my $line (split /\n/, $result->{out})
	{
		my $row = $json->decode(Encode::encode('UTF-8', $line));
		my $whole = delete $row->{reponse};
		my %columns = map { canonical($_->[1]) => 1 } scalars($row, '');
		my %reponse = map { canonical($_->[1]) => 1 } scalars($whole, '');
		push @rows, { columns => \%columns, reponse => \%reponse };
		push @{ $rows_with{$_} }, $rows[-1] for keys %columns;
		@anywhere{ keys %columns, keys %reponse } = (1) x (keys(%columns) + keys %reponse);
	}
	for my $row (rows_of($body))
	{
		# the rows that share its rarest scalar, then that which lacks least
		my ($candidates) = sort { @$a <=> @$b }
		  map { $rows_with{ canonical($_->[1]) } // () } scalars($row, '');
		my ($best) = sort { @{ $a->[0] } <=> @{ $b->[0] } }
		  map { [ [ lacking($row, $_->{columns}) ], $_ ] } @{ $candidates // \@rows };
		push(@missing, 'no row for ' . json_text($row)), next if !defined $best;
		for my $scalar (@{ $best->[0] })
		{
			my ($path, $value) = @$scalar;
			if ($best->[1]{reponse}{ canonical($value) })
			{
				$only_in_reponse{"$name $path"} = $value;
			}
			else { push @missing, "$path: $value"; }
		}
	}
	push @missing, map { "$_->[0]: $_->[1]" } lacking($body, \%anywhere)
	  if ref $body eq 'HASH';
	$checked += scalars($body, '');
	ok(!@missing, "$name (" . @rows . ' rows)')
	  or diag("missing from the columns:\n", map { "  $_\n" } @missing);
	return;
}

1;
