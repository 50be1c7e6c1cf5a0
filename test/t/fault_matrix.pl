# Every row of the table "Faults" of doc/reference.md, tried: the error or the
# rows, the attempts, the requests that the API received, and whether the same
# question is sent again within the transaction.  The table says what must
# be; ApigouvFaults.pm says how each fault is made; a row without a fault, or a
# fault without a row, fails.  pg_regress cannot show it: the faults are
# ordered from the local API server, or given by servers that the test starts.
use strict;
use utf8;
use warnings;

use ApigouvFaults;
use ApigouvTest;
use Encode 'decode';
use Test::More;

my $RETRIES = 1;

my $node = new_cluster('fault_matrix');
my $control = session($node);
my ($names, $fault_of) = all_faults();

# Rows of the table: name => its cells.
sub documented
{
	my $page = decode('UTF-8', slurp_bytes(root() . '/doc/reference.md'));
	my ($section) = $page =~ /^## Faults\n(.*?)^## /ms or die 'no section "Faults"';
	my (@order, %rows);
	for my $line (split /\n/, $section)
	{
		my @cells = split / \| /, $line =~ s/^\| | \|$//gr;
		next if $line !~ /^\|/ || $cells[0] =~ /^(?:fault$|\|?---)/;
		push @order, $cells[0];
		@{ $rows{ $cells[0] } }{qw(sqlstate message attempts sends again)} =
		  map { s/`//gr } @cells[ 1 .. $#cells ];
	}
	return (\@order, \%rows);
}

# A cell such as "1 + retries, at most 3", as a number.
sub number
{
	my ($cell) = @_;
	my ($n, $max) = $cell =~ /^(\d+(?: \+ retries)?)(?:, at most (\d+))?$/
	  or die qq(not a number: "$cell");
	$n = 1 + $RETRIES if $n eq '1 + retries';
	return defined $max && $max < $n ? $max : $n;
}

# Requests received so far: of the API, for access tokens.
sub sends
{
	my @all = requests();
	my $tokens = grep { $_->{path} =~ /access_token/ } @all;
	return (@all - $tokens + raw_requests(), $tokens);
}

# What a query gives, in the words of the table.
sub tried
{
	my ($session, $sql) = @_;
	my ($before, $tokens_before) = sends();
	my $result = $session->query($sql);
	my ($after, $tokens) = sends();
	$tokens -= $tokens_before;
	my %is = (
		sqlstate => $result->{sqlstate} // '00000',
		message => $result->{message} // ($result->{out} ne '' ? 'rows' : 'no row'),
		sends => $after - $before . ($tokens ? ", and $tokens for a token" : ''));
	$is{attempts} = $1 if ($result->{detail} // '') =~ /, after (\d+) attempts?\.$/;
	$is{attempts} //= $is{sends} =~ /^0, and (\d+)/ ? $1 : $after - $before;
	return ($result, \%is);
}

prepare_servers($control, retries => $RETRIES);
my ($order, $rows) = documented();
is_deeply($order, $names, 'the table has a row for each fault, and none else');

for my $name (@$names)
{
	my $fault = $fault_of->{$name};
	my $row = $rows->{$name} // next;
	my $query = fault_query($fault);
	my $session = session($node);
	my @wrong;

	stub_reset();
	make_fault($control, $fault);
	$session->query('BEGIN');
	$session->query('SAVEPOINT here');
	my ($result, $is) = tried($session, $query);
	push @wrong, "SQLSTATE $is->{sqlstate}, not $row->{sqlstate}"
	  if $is->{sqlstate} ne $row->{sqlstate};
	my $message = quotemeta($row->{message}) =~ s/(?:\\\.){3}/.*/gr;
	push @wrong, "message: $is->{message}, not $row->{message}"
	  if $is->{message} !~ /^$message/;
	push @wrong, "$is->{attempts} attempts, not $row->{attempts}"
	  if $is->{attempts} != number($row->{attempts});
	my ($n, $tokens) = $row->{sends} =~ /^(.*?)(?:, and (.*) for a token)?$/;
	my $sends = number($n);
	$sends .= ', and ' . number($tokens) . ' for a token' if defined $tokens;
	push @wrong, "sends: $is->{sends}, not $row->{sends}" if $is->{sends} ne $sends;
	for my $part (grep { exists $fault->{$_} } qw(detail hint))
	{
		push @wrong, "$part: " . ($result->{$part} // '(none)')
		  if ($result->{$part} // '') !~ $fault->{$part};
	}

	# the same question in the same transaction
	make_fault($control, $fault) if $fault->{once};
	$session->query('ROLLBACK TO here') if $is->{sqlstate} ne '00000';
	my ($second, $is_again) = tried($session, $query);
	my $again = $is_again->{attempts} == 0 ? 'no' : 'yes';
	push @wrong, "sent again: $again, not $row->{again}" if $again ne $row->{again};
	push @wrong, "then: $is_again->{sqlstate} $is_again->{message}"
	  if $is_again->{sqlstate} ne $is->{sqlstate} || $is_again->{message} ne $is->{message};
	$session->query('COMMIT');

	# attempts, as EXPLAIN counts them
	if ($is->{sqlstate} eq '00000')
	{
		make_fault($control, $fault);
		my $plan = $session->value("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $query");
		my ($attempts) = $plan =~ /^ *Attempts: (\d+)$/m;
		push @wrong, "EXPLAIN: $plan" if ($attempts // -1) != $is->{attempts};
	}
	ok(!@wrong, "$name: as documented") or diag(join("\n", @wrong, $result->{err}));

	unmake_fault($control, $fault);
	still_works($session, "$name: the session goes on, nothing is left");
}
is(scalar(requests(api => 'trap')), 0, 'nobody followed a redirect');

done_testing();
