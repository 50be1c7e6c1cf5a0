# Every exchange at hand is given by the local API server and read through SQL:
# the made-up ones of test/fixtures/exchanges, and the recorded ones where they
# are (../shared/samples).  Each scalar of a body must come out in its column,
# in one of the tables of its operation; each error must have the outcome that
# the definitions say; every operation must be there.  pg_regress cannot show
# it: the recordings are not part of the project, and have to be handed to the
# local API server one by one.
#
# Tables, routes and parameters come from apis/: a new definition needs nothing
# here.  Failures name places in a body, never values.  APIGOUV_REPLAY, a
# pattern of names such as "entreprise .*qualibat", chooses some exchanges.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvReplay;
use ApigouvTest;
use Test::More;
use Time::HiRes 'time';

# What a body says that is no datum, with the reason; places as generic() has
# them.
my @exceptions = (
	[ qr/^(?:count|next|previous|total|page|pages|size)$/, 'how many rows there are, where the next page is' ],
	[ qr/^(?:data\.\[\]\.)?links\./, 'addresses of other calls of the API' ]);

# Recordings that no table can show, with the error that says so and the reason.
my %impossible = (
	'particulier api_particulier_v3_mesri_statut_etudiant_with_ine/case 1 particulier_statut_etudiant_ine_admissions' =>
	  [ '22007', 'an admission ends on 31 June' ]);

# What may be in no column but reponse, with the reason.
my @only_reponse = ();

my %patterns = map { $_ => [] } qw(flawed unasked impossible);
my (%files, %checked, %only_in_reponse, %excepted, %operations_read, %outcomes);
my $began = time();
my $node = new_cluster('replay');
for my $api (api_names())
{
	# a refusal is not waited for
	$node->safe_psql('postgres', "ALTER SERVER $api OPTIONS (ADD retries '0', ADD quota_wait_ms '200')");
}
my $session = session($node);
$session->query('SET TimeZone = UTC');
$session->query('SELECT count(*) FROM apigouv_tables');    # loads the library, which knows the setting
$session->query("SET apigouv_fdw.france_connect_token = 'jeton-de-test'");

# ---- one exchange, one way ----

# Columns that leave a parameter sent that is not sent when they are read.
sub columns_read
{
	my ($way, $request) = @_;
	my %left_out = map { $_ => 1 } map { @{ $_->{unless_read} } }
	  grep { $_->{unless_read} && exists $request->{ plain_name($_->{name}) } } @{ $way->{parameters} };
	return '*' unless %left_out;
	return join ', ', grep { !$left_out{$_} } map { $_->{name} } @{ $way->{table}{columns} };
}

# The headers of an exchange, but for the limits of its day.
sub headers_of
{
	my ($exchange) = @_;
	my %headers = %{ $exchange->{headers} // {} };
	delete @headers{ grep { /ratelimit/i } keys %headers };
	return \%headers;
}

# The rows of a table for an exchange, as the only reply there is.
sub ask
{
	my ($way, $exchange, $asked, $condition) = @_;
	my $path = path_of($way, $asked);
	stub_reset();
	replay({
		api => $way->{api}, method => $way->{method}, path => $path, status => $exchange->{status},
		headers => headers_of($exchange), reply => whole($way, $exchange->{body}) });
	my ($result, @rows) = table_rows($session, 'SELECT ' . columns_read($way, $asked)
		  . " FROM $way->{api}.$way->{table}{table} WHERE $condition");
	$session->query('SELECT apigouv_quota_forget()') if $exchange->{status} == 429;
	return ($result, sent_wrongly($way, $asked, $path), @rows);
}

# What is wrong with the request that was sent, or empty.
sub sent_wrongly
{
	my ($way, $asked, $path) = @_;
	my @sent = grep { $_->{path} !~ m{^/connexion/} } requests(api => $way->{api});
	return 'no request' unless @sent;
	return 'a request to another path' if $sent[-1]{path} ne $path;
	my %sent = parameters_sent($way, $sent[-1]);
	my %wanted = %$asked;
	delete @wanted{ purpose_parameters(), $way->{path} =~ /\{(\w+)\}/g };
	for my $constant (grep { exists $_->{constant} } @{ $way->{parameters} })
	{
		delete $sent{ $constant->{name} } unless exists $wanted{ $constant->{name} };
	}
	return parameters_equal(\%sent, \%wanted, ordered_lists($way)) ? '' : 'other parameters than: ' . join(', ', sort keys %wanted);
}

# Do columns of the one row have these values?
sub shows
{
	my ($set, @rows) = @_;
	return () if @rows && !grep {
		my $row = $_->{columns};
		grep { ($row->{$_} // '') ne ($set->{$_} // '') } keys %$set
	} @rows;
	return 'not the row for: ' . join(', ', sort keys %$set);
}

# Does a condition of the request drop rows that the API gives?
sub rechecked
{
	my ($way, $asked) = @_;
	return scalar grep {
		exists $asked->{ plain_name($_->{name}) } && ($_->{exactness} // 'exact') =~ /^(?:superset|derived)$/
	} @{ $way->{parameters} };
}

# What is wrong with the answer to an exchange, in one table.
sub wrong_with
{
	my ($way, $exchange, $asked, $states, $result, @rows) = @_;
	my $outcome = outcome($way, $exchange);
	my $union = $way->{table}{union};
	my $route = $way->{route};
	my $error = defined $result->{sqlstate} ? "error $result->{sqlstate}" : undef;
	my $is = $outcome->{is};

	$is = 'failed' if $is eq 'error' && $outcome->{failed} && $union;
	$outcomes{"$exchange->{api}: " . ($is eq 'error' ? "error $outcome->{sqlstate}" : $is)}++;
	return $error && $error eq "error $outcome->{sqlstate}" ? () : ($error // 'rows') . ", not error $outcome->{sqlstate}"
	  if $is eq 'error';
	return $error if defined $error;
	return check_rows($way, $exchange->{body}, rechecked($way, $asked), $states, @rows) if $is eq 'rows';
	return @rows ? @rows . ' rows, not none' : () if $is eq 'no_row' && !$union;
	return shows({ %{ $route->{$is eq 'failed' ? 'failed' : 'none'} // {} }, %{ $outcome->{set} } }, @rows) if $union;
	return (@rows == 1 ? () : @rows . ' rows, not 1'), shows($outcome->{set}, @rows);
}

# ---- one exchange, every table of its operation ----

# What of a body came out nowhere; its scalars are counted.
sub missing
{
	my ($exchange, $states) = @_;
	my @missing;
	for my $scalar (scalars_of($exchange->{body}, ''))
	{
		my $place = generic($scalar->[0]);
		my $state = $states->{ $scalar->[0] } // '';
		my ($exception) = grep { $place =~ $_->[0] } @exceptions;
		if ($state eq 'column') { $checked{ $exchange->{api} }++; }
		elsif ($state eq 'echo') { $excepted{'that repeat a key'}++; }
		elsif ($exception) { $excepted{ $exception->[1] }++; }
		elsif ($state eq 'dropped') { $excepted{'of rows that the condition drops: the API gives more than it asks'}++; }
		elsif ($state eq 'reponse')
		{
			$checked{ $exchange->{api} }++;
			$only_in_reponse{"$exchange->{api} " . ($exchange->{operation} // $exchange->{path}) . " $place"}++;
			push @missing, "$place: in reponse only" unless grep { $place =~ $_->[0] } @only_reponse;
		}
		else { push @missing, "$place: " . ($state ? 'another value in its column' : 'nowhere'); }
	}
	return @missing;
}

sub label
{
	my ($exchange) = @_;
	return "$exchange->{api} $exchange->{name}";
}

# The ways that can ask for an exchange: one for each table, with its parameters
# and condition; then why others cannot, and why some would send no request.
sub askable
{
	my ($exchange) = @_;
	my (%of_table, %why, %refused);
	for my $way (ways_for($exchange))
	{
		my $asked = asked_of($way, $exchange);
		my ($condition, $why) = conditions_for($way, $asked);
		my $unsendable = unsendable($way, $asked);
		my $table = $way->{table}{table};
		if (defined $unsendable && defined $condition)
		{
			$refused{$table} //= [ $way, $asked, $condition ] if $unsendable =~ /^key .*checksum/;
			$why = $unsendable;
		}
		if (!defined $why) { $of_table{$table} //= [ $way, $asked, $condition ]; }
		else { $why{$why}++; }
	}
	my @ways = map { $of_table{$_} } sort keys %of_table;
	return (\@ways, join('; ', sort keys %why), @ways ? () : map { $refused{$_} } sort keys %refused);
}

# An exchange that cannot be asked for as it is: under a right number, or under
# the request of another of its operation.
sub under_another_key
{
	my ($exchange, @refused) = @_;
	for my $refused (@refused)
	{
		my ($way, $asked) = @$refused;
		my %request = (%{ $exchange->{request} }, right_numbers($way));
		delete @request{ grep { !exists $asked->{$_} } keys %request };
		my $other = { %$exchange, request => \%request };
		my ($ways) = askable($other);
		return $other if @$ways;
	}
	for my $other (grep { $_->{status} == 200 } others_of($exchange))
	{
		my ($ways) = askable($other);
		return { %$exchange, request => $other->{request} } if @$ways;
	}
	return undef;
}

# A right number for each parameter that has a checksum.
sub right_numbers
{
	my ($way) = @_;
	return map { $_->{name} => $_->{check} eq 'siret' ? $ApigouvTest::SIRET : $ApigouvTest::SIREN }
	  grep { $_->{check} } @{ $way->{parameters} };
}

# A key that is wrong by itself is not sent.
sub refused_unsent
{
	my ($exchange, $way, $asked, $condition) = @_;
	my ($result, $sent, @rows) = ask($way, $exchange, $asked, $condition);
	ok($sent eq 'no request' && !@rows && !defined $result->{sqlstate},
		label($exchange) . ": its key is not sent, by $way->{table}{table}");
	return;
}

# What an exchange tells of no column: that the value is none of its type.
sub no_such_value
{
	my ($exchange, $sent, $result) = @_;
	return $exchange->{status} >= 400 && $sent eq 'no request' && ($result->{sqlstate} // '') =~ /^22/;
}

sub replayed
{
	my ($exchange) = @_;
	my ($ways, $why, @refused) = askable($exchange);
	refused_unsent($exchange, @$_) for @refused;
	if (!@$ways)
	{
		my $other = ways_for($exchange) && !$exchange->{http} ? under_another_key($exchange, @refused) : undef;
		push @{ $patterns{ $other ? 'flawed' : 'unasked' } }, label($exchange) . ': ' . ($why || 'no route asks for it');
		return unless $other;
		$exchange = $other;
		($ways) = askable($exchange);
	}
	my (%states, @wrong);
	for my $one (@$ways)
	{
		my ($way, $asked, $condition) = @$one;
		my ($result, $sent, @rows) = ask($way, $exchange, $asked, $condition);
		if (no_such_value($exchange, $sent, $result))
		{
			push @{ $patterns{unasked} }, label($exchange) . ': not a value of its column';
			return;
		}
		my $impossible = $impossible{ label($exchange) . " $way->{table}{table}" };
		if ($impossible && $exchange->{recorded} && ($result->{sqlstate} // '') eq $impossible->[0])
		{
			push @{ $patterns{impossible} }, label($exchange) . ": $impossible->[1]";
			next;
		}
		push @wrong, map { "$way->{name}: $_" } $sent || (),
		  wrong_with($way, $exchange, $asked, \%states, $result, @rows);
		$operations_read{"$way->{api} $way->{operation}"}++;
	}
	push @wrong, missing($exchange, \%states) if outcome($ways->[0][0], $exchange)->{is} eq 'rows';
	$files{ $exchange->{api} }++;
	ok(!@wrong, label($exchange)) or diag(map { "  $_\n" } unique(@wrong));
	return;
}

sub unique { my %seen; return grep { !$seen{$_}++ } @_; }

my $chosen = $ENV{APIGOUV_REPLAY} // '';
for my $exchange (grep { label($_) =~ /$chosen/ } exchanges())
{
	my $start = time();
	replayed($exchange);
	diag(sprintf '%s: %.1f s', label($exchange), time() - $start) if time() - $start > 2;
}

# ---- every operation ----

my @operations = unique(map { "$_->{api} $_->{operation}" } all_ways());
my @unread = grep { !$operations_read{$_} } @operations;
SKIP:
{
	skip 'no recorded exchanges here: only those of test/fixtures are read', 1 unless defined samples_dir();
	skip 'some exchanges only', 1 if $chosen ne '';
	ok(!@unread, 'every operation has an exchange') or diag(map { "  $_\n" } @unread);
}

# ---- what is left to say ----

my $total = 0;
$total += $_ for values %checked;
diag("exchanges read: $_: $files{$_}, scalars: " . ($checked{$_} // 0)) for sort keys %files;
diag(scalar(@operations) . ' operations, ' . (@operations - @unread) . ' read');
diag("outcome $_: $outcomes{$_}") for sort keys %outcomes;
diag("left out: $excepted{$_} scalars: $_") for sort keys %excepted;
diag("only in reponse: $_ ($only_in_reponse{$_})") for sort keys %only_in_reponse;
diag("flawed, so given under another key: $_") for @{ $patterns{flawed} };
diag("not shown by a table of its operation: $_") for @{ $patterns{impossible} };
diag("not asked by any route: $_") for @{ $patterns{unasked} };
diag(sprintf '%d scalars in %.0f s', $total, time() - $began);
ok($total > 0 || $chosen ne '' || !exchanges(), 'scalars were compared');
done_testing();
