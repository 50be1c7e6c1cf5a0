# Push-down, filter by filter: for each parameter of each route that takes a
# condition, on the local API server's data, rows are the same with push-down,
# without, and on a local copy of the table; the parameter was sent with the
# right value, and only with push-down.  A condition on a column that no
# parameter takes is never sent.  pg_regress cannot show it: filters, columns
# and values come from apis/ and from the data.
#
# Tables that cannot be listed are read under keys: those of the made-up
# exchanges, or numbers that the local API server knows.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvOpenApi;
use ApigouvTest;
use Encode ();
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

# Columns that differ from one reading to the other.
my %volatile = map { $_ => 1 } qw(obtenu_le reponse document_expire_le);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my (%count, @untried, %copies);
my $began = time();

# a local API server of our own, with few rows: many lists are read whole
delete $ENV{APIGOUV_STUB_URL};
$ApigouvTest::STRUCTURES = 150;
my $node = new_cluster('pushdown');
my $session = session($node);
$session->query("SET TimeZone = UTC; SET apigouv_fdw.max_requests_per_query = -1");
$session->query('SELECT count(*) FROM apigouv_tables');    # loads the library, which knows the setting
$session->query("SET apigouv_fdw.france_connect_token = '" . token('france_connect') . "'");

# ---- what is read, and under which keys ----

# Conditions on the keys of a way, and its parameters as they are sent.
sub keys_of
{
	my ($way) = @_;
	my @sources = known_requests($way, \&exchanges_of_ours);
	my @numbers = ({ siret => $ApigouvTest::SIRET, siren => $ApigouvTest::SIREN, codeTypeTerritoire => 'REG',
		codeTerritoire => '53', codeTypeActivite => 'ROME', codeActivite => 'D1102' });
	my $request = request_for($way, [], @sources ? @sources : @numbers) // return undef;
	my ($condition) = conditions_for($way, $request, loosely => 1);
	return $condition;
}

my $ours;

sub exchanges_of_ours
{
	$ours //= [ ApigouvExchanges::in_folder(root() . '/test/fixtures/exchanges') ];
	return @$ours;
}

# Lists of objects are left out too: some APIs give them in any order.
sub columns_of
{
	my ($way) = @_;
	return grep { !$volatile{$_} } map { $_->{name} } grep { $_->{type} ne 'jsonb' } @{ $way->{table}{columns} };
}

# A local copy of what the keys give, and its rows.
sub copy_of
{
	my ($way, $keys) = @_;
	my $table = "$way->{api}.$way->{table}{table}";
	my $copy = $copies{"$table $keys"} // do {
		my $name = 'copie_' . keys %copies;
		my $list = join ', ', columns_of($way);
		my $made = $session->query("SET apigouv_fdw.enable_pushdown = off; "
			  . "CREATE TEMP TABLE $name AS SELECT $list FROM $table WHERE $keys; "
			  . 'SET apigouv_fdw.enable_pushdown = on');
		defined $made->{sqlstate} ? { error => $made->{sqlstate} } : { name => $name, rows => rows("SELECT * FROM $name") };
	};
	return $copies{"$table $keys"} = $copy;
}

sub rows
{
	my ($query) = @_;
	my $result = $session->query("SELECT to_jsonb(t) FROM ($query) t ORDER BY 1");
	return undef if defined $result->{sqlstate};
	return [ map { $json->decode(Encode::encode('UTF-8', $_)) } split /\n/, $result->{out} ];
}

# Rows as one text, and the requests that were sent for them.
sub asked
{
	my ($way, $pushdown, $condition) = @_;
	stub_reset();
	my $list = join ', ', columns_of($way);
	my $result = $session->query("SET apigouv_fdw.enable_pushdown = $pushdown; SELECT to_jsonb(t) FROM "
		  . "(SELECT $list FROM $way->{api}.$way->{table}{table} WHERE $condition) t ORDER BY 1");
	my @requests = grep { $_->{path} !~ m{^/connexion/} } requests(api => $way->{api});
	return (defined $result->{sqlstate} ? "error $result->{sqlstate}" : $result->{out}, @requests);
}

# ---- values to try ----

sub distinct { my %seen; return grep { !$seen{$_}++ } @_; }

sub text_of { return JSON::PP::is_bool($_[0]) ? ($_[0] ? 'true' : 'false') : $_[0]; }

# Lists of values for a parameter: one that exists, two, one that does not.
sub values_to_try
{
	my ($way, $parameter, $rows) = @_;
	my $column = $parameter->{column};
	my @there = distinct(map { text_of($_) } grep { defined && !ref } map { ref eq 'ARRAY' ? @$_ : $_ } map { $_->{$column} } @$rows);
	@there = grep { takes($way, $parameter, $_) || column_type($way, $column) =~ /^(?:timestamptz|float8|numeric|date)/ } @there;
	@there = sort @there;
	my $ops = join ' ', @{ $parameter->{ops} // ['='] };
	my @found;
	push @found, [ $there[ @there / 2 ] ] if @there;
	push @found, [ @there[ 0, -1 ] ] if @there > 1 && ($ops =~ /(?:^| )=(?: |$)/ || $ops =~ /&&|\@>/);
	my $other = some_value($way, $parameter);
	push @found, [$other] if defined $other && !grep { $_ eq $other } @there;
	return @found;
}

# ---- one filter ----

# Texts of a parameter in a request.
sub sent_values
{
	my ($way, $entry, $parameter) = @_;
	my %sent = parameters_sent($way, $entry);
	my %plain = map { plain_name($_) => $sent{$_} } keys %sent;
	my $value = $plain{ plain_name($parameter->{name}) };
	return defined $value ? wire_values($value) : ();
}

# Does a wire value say the same as a value that was asked?
sub says
{
	my ($sent, $wire) = @_;
	return $sent eq $wire || $sent =~ /^\Q$wire\E/ || ($sent =~ /^[\d.]+$/ && $wire =~ /^[\d.]+$/ && $sent == $wire)
	  || $sent =~ /^\d{4}-\d\d-\d\dT/ && $wire =~ /^\Q@{[substr $sent, 0, 10]}\E/;
}

# What is wrong with the parameters sent for these values.
sub sent_wrongly
{
	my ($way, $parameter, $values, @requests) = @_;
	my @sent = map { sent_values($way, $_, $parameter) } @requests;
	return 'it was not sent' unless @sent;
	my @wire = map { forward($parameter->{steps}, $_) } @$values;
	my @missing = grep { my $wire = $_; !grep { says($_, $wire) } @sent } @wire;
	my @extra = grep { my $sent = $_; !grep { says($sent, $_) } @wire } @sent;
	return 'a value was not sent' if @missing;
	return 'another value was sent' if @extra;
	return ();
}

sub try_filter
{
	my ($way, $parameter, $keys, $copy, $values) = @_;
	my $condition = condition_on($way, $parameter, @$values) // return;
	my $opaque = ($parameter->{exactness} // 'exact') eq 'opaque';
	my ($with, @with) = asked($way, 'on', "$keys AND $condition");
	my ($without, @without) = asked($way, 'off', "$keys AND $condition");
	my @wrong = sent_wrongly($way, $parameter, $values, @with);

	if ($opaque)
	{
		push @wrong, 'an input was not sent without push-down'
		  unless grep { sent_values($way, $_, $parameter) } @without;
	}
	else
	{
		push @wrong, 'it was sent without push-down' if grep { sent_values($way, $_, $parameter) } @without;
		push @wrong, 'other rows without push-down' if $with ne $without;
		my $local = $session->query("SELECT to_jsonb(t) FROM $copy->{name} t WHERE $condition ORDER BY 1");
		push @wrong, 'other rows than a local table' if defined $local->{sqlstate} || $with ne $local->{out};
		$count{'of them with rows'}++ if length $with;
	}
	$count{'filters, values'}++;
	my $ops = join ' ', @{ $parameter->{ops} // ['='] };
	ok(!@wrong, "$way->{api}.$way->{name}: $parameter->{column} $ops, " . @$values . ' values')
	  or diag(map { "  $_\n" } @wrong);
	return;
}

# The filters of one way.
sub filters_of
{
	my ($way) = @_;
	my @filters = grep { defined $_->{column} && !is_key($_) } @{ $way->{parameters} };
	return unless @filters;
	my $keys = keys_of($way);
	my $copy = defined $keys ? copy_of($way, $keys) : { error => 'no key' };
	if ($copy->{error})
	{
		push @untried, "$way->{api}.$way->{name}: $copy->{error}";
		return;
	}
	for my $parameter (@filters)
	{
		my @values = values_to_try($way, $parameter, $copy->{rows});
		push @untried, "$way->{api}.$way->{name}: $parameter->{column}: no value" unless @values;
		$count{'filters'}++ if @values;
		try_filter($way, $parameter, $keys, $copy, $_) for @values;
	}
	return;
}

# ---- columns that nobody upstream filters on ----

# Requests without what differs from one to the other.
sub texts_of
{
	return join "\n", sort map { join ' ', $_->{method}, $_->{path}, $_->{query} // '', $_->{body} // '' } @_;
}

sub local_columns
{
	my ($table, @ways) = @_;
	my %taken = map { $_ => 1 } map { @{ $_->{closed} }, keys %{ $_->{route}{constants} // {} },
		map { ($_->{column} // (), @{ $_->{unless_read} // [] }) } @{ $_->{parameters} } } @ways;
	my @columns = grep { !$taken{ $_->{name} } && !$volatile{ $_->{name} } } @{ $table->{columns} };
	my ($way, $keys) = map { my $keys = keys_of($_); defined $keys && !$_->{lookup} ? ($_, $keys) : () } @ways;
	if (!defined $way)
	{
		push @untried, "$table->{table}: no key";
		return;
	}
	my ($rows, @plain) = asked($way, 'on', $keys);
	my @wrong = reaches($way, $keys, \@plain, @columns)
	  ? ('together', map { $_->{name} } grep { reaches($way, $keys, \@plain, $_) } @columns)
	  : ();
	$count{'local columns'} += @columns;
	ok(!@wrong, "$way->{api}.$table->{table}: " . @columns . ' columns are never sent')
	  or diag(map { "  sent: $_\n" } @wrong);
	return;
}

# Are other requests sent for conditions on some columns, or is there an error?
sub reaches
{
	my ($way, $keys, $plain, @columns) = @_;
	for my $form ('%s IS NOT DISTINCT FROM (NULL::%s)', '%s = CAST(%3$s AS %2$s)')
	{
		my $conditions = join ' AND ', $keys,
		  map { no warnings 'redundant'; sprintf $form, $_->{name}, $_->{type}, literal(value_of_type($_->{type})) } @columns;
		my ($out, @requests) = asked($way, 'on', $conditions);
		return 1 if $out =~ /^error/ || texts_of(@requests) ne texts_of(@$plain);
	}
	return 0;
}

sub value_of_type
{
	my ($type) = @_;
	return '{}' if $type =~ /\[\]$/;
	return '{}' if $type eq 'jsonb';
	return 'true' if $type eq 'boolean';
	return '2024-01-01' if $type =~ /^(?:date|timestamptz)$/;
	return $type eq 'text' ? 'exemple' : '1';
}

for my $api (api_names())
{
	my %seen;
	for my $way (ways_of($api))
	{
		next if $way->{lookup};
		my @filters = map { "$_->{column} " . join ' ', @{ $_->{ops} // [] } }
		  grep { defined $_->{column} && !is_key($_) } @{ $way->{parameters} };
		next if $seen{"$way->{table}{table} $way->{route}{name} @filters"}++;
		filters_of($way);
	}
	for my $table (tables_of($api))
	{
		local_columns($table, grep { $_->{table} == $table } ways_of($api));
	}
}

diag("$_: $count{$_}") for sort keys %count;
diag("not tried: $_") for distinct(@untried);
diag(sprintf '%.0f s', time() - $began);
cmp_ok($count{'of them with rows'} // 0, '>', 10, 'filters met rows');
done_testing();
