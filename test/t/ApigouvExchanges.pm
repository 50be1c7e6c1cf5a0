# The exchanges at hand, whatever the form of their folder: made-up ones of
# test/fixtures/exchanges, recorded ones of ../shared/samples.
#
# An exchange has api, name (of its file; a number where files are named after
# persons), request (parameter => value), status, headers, body, and either
# operation (and template, its path) or, of a whole HTTP request, http, method
# and path.
package ApigouvExchanges;

use strict;
use utf8;
use warnings;

use ApigouvDefinitions;
use ApigouvFiles;
use Exporter 'import';
use File::Basename qw(basename dirname);
use JSON::PP;

our @EXPORT = qw(exchanges known_requests others_of ways_for asked_of path_of prefix_of whole parameters_sent decoded_query);

my $json = JSON::PP->new->utf8->allow_nonref;
my $found;

sub load { return $json->decode(slurp_bytes($_[0])); }

# ---- reading ----

# All of them, by API, operation and file.
sub exchanges
{
	$found //= [ map { in_folder($_) } grep { defined && -d } root() . '/test/fixtures/exchanges', samples_dir() ];
	return @$found;
}

sub in_folder
{
	my ($folder) = @_;
	my @found;
	for my $api (api_names())
	{
		push @found, by_operation($api, "$folder/$api"), by_manifest($api, "$folder/$api"),
		  by_request($api, "$folder/$api"), by_error($api, "$folder/$api");
	}
	return @found;
}

# API/OPERATION/CASE.json, with an index of what is known of them.
sub by_operation
{
	my ($api, $folder) = @_;
	my %index = -e "$folder/index.json" ? map { $_->{file} => $_ } @{ load("$folder/index.json") } : ();
	my (@found, %number);
	for my $file (glob("$folder/*/*.json"))
	{
		my $operation = basename(dirname($file));
		next if $operation =~ /^_/;
		my $case = load($file);
		my $name = basename($file, '.json');
		$name = sprintf 'case %d', ++$number{$operation} if definition($api)->{personal_data};
		push @found, { api => $api, operation => $operation, template => ($index{"$operation/" . basename($file)} // {})->{path},
			name => "$operation/$name", request => $case->{request}, status => $case->{status},
			headers => $case->{headers}, body => $case->{body},
			flags => ($index{"$operation/" . basename($file)} // {})->{request_flags},
			recorded => scalar %index ? 1 : 0 };
	}
	return @found;
}

sub http_exchange
{
	my ($api, $name, $line, %with) = @_;
	my ($method, $target) = split / /, $line, 2;
	my ($path, $query) = split /\?/, $target, 2;
	return { api => $api, name => $name, http => 1, method => $method, path => $path,
		request => decoded_query($query // ''), %with };
}

sub by_manifest
{
	my ($api, $folder) = @_;
	return () unless -e "$folder/manifest.json";
	return map {
		http_exchange($api, $_->{file}, $_->{request}, status => $_->{status}, body => load("$folder/$_->{file}"))
	} @{ load("$folder/manifest.json") };
}

# Files that hold a whole request.
sub by_request
{
	my ($api, $folder) = @_;
	return () if -e "$folder/manifest.json" || -e "$folder/index.json";
	my @found;
	for my $file (glob("$folder/*.json"))
	{
		my $case = load($file);
		my $request = $case->{request};
		next if $request->{form};
		push @found, { api => $api, name => basename($file, '.json'), http => 1, method => $request->{method},
			path => $request->{path}, request => $request->{body} // $request->{query} // {},
			status => $case->{status}, headers => $case->{headers}, body => $case->{body} };
	}
	return @found;
}

sub by_error
{
	my ($api, $folder) = @_;
	return () unless -e "$folder/http_errors.json";
	return map {
		http_exchange($api, $_->{name}, $_->{request}, status => $_->{status}, headers => $_->{headers},
			body => $_->{body_json} // $_->{body_text})
	} @{ load("$folder/http_errors.json") };
}

# ---- exchanges and ways ----

# The path of an API's base address.
sub prefix_of
{
	my ($api) = @_;
	my ($path) = definition($api)->{base_url} =~ m{^\w+://[^/]+(/.*)?$};
	return $path // '';
}

# The ways that the exchange's operation, or its path, names; those whose path
# has fewest places first.
sub ways_for
{
	my ($exchange) = @_;
	my $prefix = prefix_of($exchange->{api});
	return grep {
		my $way = $_;
		if ($exchange->{http})
		{
			my ($path) = $exchange->{path} =~ m{^\Q$prefix\E(/.*)};
			my $places = $way->{method} eq $exchange->{method} && defined $path ? path_matches($way, $path) : undef;
			defined $places && (unsendable($way, $places) // '') !~ /pattern/;
		}
		else { operation_fits($way, $exchange); }
	} ways_of($exchange->{api});
}

# What was asked in the exchanges of a way's operation that gave rows, as this
# way names it.  of: which exchanges, looked through once for all ways.
my (%of_way, %known);

sub known_requests
{
	my ($way, $of) = @_;
	$of //= \&exchanges;
	if (!$of_way{$of})
	{
		$of_way{$of} = {};
		for my $exchange (grep { $_->{status} == 200 && !@{ $_->{flags} // [] } } $of->())
		{
			push @{ $of_way{$of}{ 0 + $_ } }, $exchange for ways_for($exchange);
		}
	}
	return @{ $known{$of}{ 0 + $way } //= [ map { asked_of($way, $_) } @{ $of_way{$of}{ 0 + $way } // [] } ] };
}

# The parameters of an exchange as this way names them: those of its path, its
# query or body without paging; behind another's token, no identity.
sub asked_of
{
	my ($way, $exchange) = @_;
	my %request = %{ $exchange->{request} };
	if ($exchange->{http})
	{
		my $prefix = prefix_of($exchange->{api});
		my ($path) = $exchange->{path} =~ m{^\Q$prefix\E(/.*)};
		%request = (%request, %{ path_matches($way, $path) });
		delete @request{ paging_parameters($way) };
	}
	if (($way->{route}{auth} // {})->{setting})
	{
		my %own = map { plain_name($_->{name}) => 1 } @{ $way->{parameters} };
		delete @request{ grep { !$own{$_} } keys %request };
	}
	return \%request;
}

# The other exchanges of the same operation.
sub others_of
{
	my ($exchange) = @_;
	return grep {
		$_ != $exchange && $_->{api} eq $exchange->{api} && ($_->{operation} // '') eq ($exchange->{operation} // '')
	} exchanges();
}

sub paging_parameters
{
	my ($way) = @_;
	my $paging = $way->{route}{paging} or return ();
	return grep { defined } @$paging{qw(limit offset size page)};
}

# The path that is asked for, under the base address of the API.
sub path_of
{
	my ($way, $request) = @_;
	return prefix_of($way->{api}) . $way->{path} =~ s/\{(\w+)\}/$request->{$1}/gr;
}

# A page of a list, as if it were the whole list.
sub whole
{
	my ($way, $body) = @_;
	return $body unless $way->{route}{paging} && ref $body eq 'HASH';
	my %whole = %$body;
	my @rows = elements($way, $body);
	$whole{ $way->{route}{total} } = @rows if exists $whole{ $way->{route}{total} // '' };
	for my $member (qw(next previous)) { $whole{$member} = undef if exists $whole{$member}; }
	for my $member (qw(page pages)) { $whole{$member} = 1 if exists $whole{$member}; }
	$whole{size} = @rows if exists $whole{size};
	return \%whole;
}

# ---- requests ----

sub decoded_query
{
	my ($query) = @_;
	my %values;
	for my $pair (grep { length } split /&/, $query)
	{
		my ($name, $value) = map { tr/+/ /r =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split(/=/, $pair, 2), '';
		utf8::decode($_) for $name, $value;
		push @{ $values{$name} }, $value;
	}
	return { map { $_ => @{ $values{$_} } == 1 ? $values{$_}[0] : $values{$_} } keys %values };
}

# What a request that arrived asked: name => value, without purpose and paging.
sub parameters_sent
{
	my ($way, $entry) = @_;
	my %sent = %{ decoded_query($entry->{query} // '') };
	%sent = (%sent, %{ JSON::PP->new->decode($entry->{body}) }) if defined $entry->{body} && $entry->{body} =~ /^\{/;
	delete @sent{ purpose_parameters(), paging_parameters($way) };
	return %sent;
}

1;
