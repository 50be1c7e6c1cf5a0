# The official OpenAPI documents, as far as tests need them: operations, and
# values for their parameters.
package ApigouvOpenApi;

use strict;
use utf8;
use warnings;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvFiles;
use Exporter 'import';
use JSON::PP;

our @EXPORT = qw(load_document document_path operation_of query_names demanded_by example_values request_for);

my $json = JSON::PP->new->utf8->allow_nonref;

sub load_document
{
	my ($file) = @_;
	return $json->decode(slurp_bytes($file));
}

# What "$ref" points at.
sub resolved
{
	my ($document, $value) = @_;
	while (ref $value eq 'HASH' && defined $value->{'$ref'})
	{
		my @steps = split m{/}, $value->{'$ref'} =~ s/^#\///r;
		$value = $document;
		$value = $value->{ s/~1/\//gr } for @steps;
	}
	return $value;
}

# A way's path as the document writes it, without the names of its places.
sub document_path
{
	my ($document, $way) = @_;
	my $prefix = prefix_of($way->{api});
	my ($with_prefix) = grep { index($_, "$prefix/") == 0 } keys %{ $document->{paths} };
	my $path = (defined $with_prefix ? $prefix : '') . $way->{path};
	my $wanted = $path =~ s/\{\w+\}/{}/gr;
	my ($there) = grep { s/\{[^}]+\}/{}/gr eq $wanted } keys %{ $document->{paths} };
	return $there;
}

sub operation_of
{
	my ($document, $way) = @_;
	my $path = document_path($document, $way) // return undef;
	return $document->{paths}{$path}{ lc $way->{method} };
}

# A value that a parameter or a schema gives as an example, or may have.
sub example_of
{
	my ($document, $of) = @_;
	$of = resolved($document, $of);
	my $schema = resolved($document, $of->{schema} // $of);
	for my $one ($of, $schema)
	{
		return $one->{example} if defined $one->{example};
		my @names = ref $one->{examples} eq 'HASH' ? sort keys %{ $one->{examples} } : ();
		return $one->{examples}{ $names[0] }{value} if @names;
		return $one->{examples}[0] if ref $one->{examples} eq 'ARRAY';
		return $one->{enum}[0] if $one->{enum};
	}
	return undef unless ref $schema eq 'HASH';
	return example_of($document, $schema->{items}) if $schema->{items};
	return defined $schema->{default} ? $schema->{default} : undef;
}

# The query parameters that a way's operation has.
sub query_parameters
{
	my ($document, $way) = @_;
	my $path = document_path($document, $way);
	return grep { $_->{in} eq 'query' } map { resolved($document, $_) }
	  @{ $document->{paths}{$path}{parameters} // [] }, @{ operation_of($document, $way)->{parameters} // [] };
}

sub query_names { return map { plain_name($_->{name}) } query_parameters(@_); }

# Optional parameters of a way that its operation demands.
sub demanded_by
{
	my ($document, $way) = @_;
	my %demanded = map { plain_name($_->{name}) => 1 } grep { $_->{required} } query_parameters($document, $way);
	return grep { $demanded{ plain_name($_->{name}) } && defined $_->{column} && !is_key($_) } @{ $way->{parameters} };
}

# Name => example of the parameters of a way's operation, body included.
sub example_values
{
	my ($document, $way) = @_;
	my $operation = operation_of($document, $way) // return ();
	my %values;
	for my $parameter (map { resolved($document, $_) } @{ $operation->{parameters} // [] })
	{
		my $value = example_of($document, $parameter);
		$values{ plain_name($parameter->{name}) } = $value if defined $value && $parameter->{in} ne 'header';
	}
	my $body = resolved($document, $operation->{requestBody}) // return %values;
	my $content = $body->{content}{'application/json'} // return %values;
	my $schema = resolved($document, $content->{schema});
	for my $name (sort keys %{ $schema->{properties} // {} })
	{
		my $value = example_of($document, $schema->{properties}{$name});
		$values{$name} = $value if defined $value;
	}
	my $example = example_of($document, $content);
	return (%values, ref $example eq 'HASH' ? %$example : ());
}

# The values of a list: two of them, since one alone reads as no list.
sub listed_values
{
	my ($parameter, $value) = @_;
	return $value if ref $value || ($parameter->{list} // '') ne 'repeat';
	my ($other) = grep { $_ ne $value } @{ $parameter->{values} // [] }, "$value-autre";
	return [ $value, $other ];
}

# A value for one parameter: of an exchange, of the document, of its own list.
sub value_for
{
	my ($parameter, @sources) = @_;
	my $name = plain_name($parameter->{name});
	my @given = map { $_->{$name} } grep { defined $_->{$name} } @sources;
	push @given, $parameter->{values}[0] if $parameter->{values};
	push @given, $ApigouvFiles::SIRET if ($parameter->{check} // '') eq 'siret';
	push @given, $ApigouvFiles::SIREN if ($parameter->{check} // '') eq 'siren';
	for my $value (@given)
	{
		my $scalar = ref $value eq 'ARRAY' ? $value->[0] : $value;
		next if !defined $scalar || ref $scalar;
		next if ($parameter->{check} // '') eq 'siret' && !is_siret($scalar);
		next if ($parameter->{check} // '') eq 'siren' && !is_siren($scalar);
		next if defined $parameter->{pattern} && $scalar !~ /$parameter->{pattern}/;
		next if $parameter->{values} && !grep { $_ eq $scalar } @{ $parameter->{values} };
		return $value;
	}
	return undef;
}

# What some value of its column becomes on the wire.
sub some_wire_value
{
	my ($way, $parameter) = @_;
	my $value = some_value($way, $parameter) // return undef;
	my ($wire) = forward($parameter->{steps}, $value);
	return $wire;
}

# The parameters of a request that this way can make: its keys and constants,
# and the optional ones that are named.  Undef when a key has no value here.
sub request_for
{
	my ($way, $optional, @sources) = @_;
	my %request;
	for my $parameter (@{ $way->{parameters} })
	{
		my $name = plain_name($parameter->{name});
		if (exists $parameter->{constant}) { $request{$name} = $parameter->{constant} unless $parameter->{unless_read}; }
		elsif (defined $parameter->{column} && (is_key($parameter) || grep { $_ == $parameter } @$optional))
		{
			my $value = value_for($parameter, @sources) // some_wire_value($way, $parameter);
			return undef unless defined $value;
			$request{$name} //= listed_values($parameter, $value);
		}
	}
	return \%request;
}

1;
