# An access token that ends while a scan is under way: renewed once for all the
# requests that wait for it, whether the API refuses it or its end is known
# here.  pg_regress cannot show it: the token is ended from the local API
# server while requests are in flight, and those that it received are counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use JSON::PP;
use Test::More;

my $CONCURRENCY = 8;    # the default of max_concurrency

my $node = new_cluster('token_end');
my @departements = map { sprintf "'%02d'", $_ } 1 .. 19, 21 .. 95;

# A query of n requests, whose rows it counts.
sub of_requests
{
	my ($n) = @_;
	my $codes = join ', ', @departements[ 0 .. $n - 1 ];
	return "SELECT count(*) FROM marche_travail.marche_travail_tensions"
	  . " WHERE code_type_territoire = 'DEP' AND code_territoire IN ($codes)"
	  . " AND code_rome = 'D1102' AND derniere_periode";
}

# Requests for tokens, requests refused, and all others, since the last reset.
sub received
{
	my @all = requests(api => 'marche_travail');
	my @tokens = grep { $_->{path} =~ /access_token/ } @all;
	my @refused = grep { ($_->{status} // 0) == 401 } @all;
	return (scalar(@tokens), scalar(@refused), @all - @tokens - @refused);
}

my %expected;
my $session = session($node);
$expected{$_} = $session->value(of_requests($_)) for $CONCURRENCY, 64;

# ===================================================================
# As many requests as may be in flight, all refused
# ===================================================================
stub_reset();
stub_latency(100);
stub_options(expire_tokens => JSON::PP::true);
is($session->value(of_requests($CONCURRENCY)), $expected{$CONCURRENCY},
	"$CONCURRENCY requests refused: the rows");
my ($tokens, $refused, $others) = received();
is("$tokens $refused $others", "1 $CONCURRENCY $CONCURRENCY",
	'one token for all of them, and each is sent again once');
my @again = (sort { $a->{started} <=> $b->{started} }
	  requests(api => 'marche_travail', status => 200, path => qr/partenaire/));
my ($first_end) = sort { $a <=> $b } map { $_->{ended} } @again;
is(scalar(grep { $_->{started} < $first_end } @again), $CONCURRENCY,
	'and they are in flight together again');

# ===================================================================
# In the middle of many: what waits for its turn goes out with the new token
# ===================================================================
stub_reset();
stub_latency(50);
$session->start(of_requests(64));
wait_for_requests(20);
stub_options(expire_tokens => JSON::PP::true);
my $result = $session->finish;
is($result->{out}, "$expected{64}\n", 'ended in the middle of 64: the rows')
  or diag($result->{err});
($tokens, $refused, $others) = received();
is("$tokens $others", '1 64', 'one token');
cmp_ok($refused, '>=', 1, 'some were refused');
cmp_ok($refused, '<=', 2 * $CONCURRENCY, 'but not those that had not been sent');
diag("64 requests, the token ends after 20: $refused refused");

# ===================================================================
# The end is known here: nothing is refused
# ===================================================================
stub_reset();
stub_options(token_lifetime_s => 2);
stub_latency(50);
$session = session($node);
$session->query(of_requests($CONCURRENCY));
select undef, undef, undef, 1.1;    # half of its life, for which it serves
stub_options(token_lifetime_s => 1499);
is($session->value(of_requests(64)), $expected{64}, 'a token whose end has come: the rows');
($tokens, $refused, $others) = received();
is("$tokens $refused $others", '2 0 ' . ($CONCURRENCY + 64),
	'one new token for all, nothing refused');

# ===================================================================
# No new token: an error, and the same question asks for one again
# ===================================================================
stub_reset();
stub_options(expire_tokens => JSON::PP::true);
faults({ api => 'marche_travail', path => '/connexion/*', status => 400,
	body => { error => 'invalid_client' }, times => 1 });
$session->query('BEGIN');
$session->query('SAVEPOINT here');
refuses($session, of_requests(64), {
	sqlstate => '28000', message => qr/^could not obtain an access token/ },
	'no new token');
$session->query('ROLLBACK TO here');
is($session->value(of_requests(64)), $expected{64},
	'asked again in the same transaction: the rows');
$session->query('COMMIT');
still_works($session, 'nothing is left');

stub_reset();
faults({ api => 'marche_travail', path => '/partenaire/*', status => 401,
	body => '', times => -1 });
refuses($session, of_requests(64), {
	sqlstate => '28000', message => 'foreign server "marche_travail" refused the token' },
	'the new token is refused as well');
($tokens, $refused, $others) = received();
is("$tokens $others", '1 0', 'it is not renewed again');
still_works($session, 'nothing is left of that');

done_testing();
