# doc/requests.md: every query of the page makes the requests that the page
# says, to the paths that it names, and gives as many rows.  The page is read
# here, so that it cannot promise what is not so.
#
# Each query runs in a session of its own.  An SQL block before the last one
# of a section prepares it, in another session, and is not counted.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

# Lists of more than one page: a local API server of its own.
delete $ENV{APIGOUV_STUB_URL};
$ApigouvTest::STRUCTURES = 24_000;

my $node = new_cluster('requests');
$node->safe_psql('postgres', slurp_bytes(root() . '/test/fixtures/registre.sql'));
create_narrow_server();

# What the page counts from: everything but access tokens, which serve a
# session for long.
my %base = (
	marche_inclusion => '/api',
	data_inclusion => '/api/v1',
	marche_travail => '/partenaire/stats-offres-demandes-emploi');

# Tables of API Entreprise for a token that may ask two sources of
# attestations only.
sub create_narrow_server
{
	my $token = token('entreprise_peu');
	my $sql = <<'SQL';
SELECT format('CREATE SERVER peu FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (%s)',
	string_agg(format('%I %L', option_name, option_value), ', '))
FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'entreprise' \gexec
CREATE SCHEMA peu;
SQL
	$node->safe_psql('postgres', $sql
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER peu OPTIONS (token '$token');\n"
		  . "IMPORT FOREIGN SCHEMA entreprise FROM SERVER peu INTO peu;\n");
	return;
}

# The sections of the page: title, the SQL blocks, minimum, made, rows (undef:
# not told) and what the requests are, path pattern => number.
sub shapes
{
	my ($text) = @_;
	my @shapes;
	for my $section (split /^### /m, $text)
	{
		my ($title) = $section =~ /\A(.*)\n/;
		my @sql = $section =~ /^```sql\n(.*?)^```$/msg or next;
		my ($minimum, $made, $paths, $rows) = $section =~
		  /^\*\*Minimum (\d+), made (\d+)\*\*(?:: (.*?))?(?:; (\d+) rows?)?\.$/ms;
		die "no line of figures: $title" unless defined $minimum;
		my %paths;
		while (($paths // '') =~ /`([A-Z]+ [^`]+)`(?: × (\d+))?/g)
		{
			$paths{$1} += $2 // 1;
		}
		push @shapes,
		  { title => $title, sql => \@sql, minimum => $minimum, made => $made,
			rows => $rows, paths => \%paths };
	}
	return @shapes;
}

# The requests received, as the page writes them: method and path below the
# API's base URL.
sub received
{
	return map {
		my $base = $base{ $_->{api} } // '';
		"$_->{method} " . ($_->{path} =~ s/^\Q$base\E//r)
	} grep { $_->{path} !~ m{^/connexion/} } requests();
}

# How many of the requests each pattern takes, the first that fits; those
# that fit none by themselves.
sub sorted_out
{
	my ($patterns, @requests) = @_;
	my %found;
	for my $request (@requests)
	{
		my ($taker) = grep {
			my $regex = join '[^/]*', map { quotemeta } split /\*/, $_, -1;
			$request =~ /\A$regex\z/
		} sort keys %$patterns;
		$found{ $taker // $request }++;
	}
	return \%found;
}

# What is kept for the cluster would serve the next query of the page.
sub keep_nothing
{
	$node->safe_psql('postgres', <<'SQL');
SELECT format('ALTER SERVER %I OPTIONS (DROP cache_ttl_s)', srvname)
FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE option_name = 'cache_ttl_s' \gexec
SQL
	return;
}

sub try_shape
{
	my ($shape) = @_;
	my ($title, @prepare) = ($shape->{title}, @{ $shape->{sql} });
	my $query = pop @prepare;
	run_sql(session($node), @prepare) if @prepare;
	stub_reset();

	my $result = session($node)->query($query);
	wait_until_idle();
	my @requests = received();

	my $failed = ($result->{sqlstate} // '') ne ''
	  && $query !~ /^-- error $result->{sqlstate}$/m;
	ok(!$failed, "$title: runs") or diag($result->{err});
	is($shape->{made}, $shape->{minimum}, "$title: the minimum is made");
	is(scalar(@requests), $shape->{made}, "$title: requests")
	  or diag($query);
	is_deeply(sorted_out($shape->{paths}, @requests), $shape->{paths}, "$title: paths")
	  if @requests == $shape->{made} || !@requests;
	my $rows = () = $result->{out} =~ /\n/g;
	is($rows, $shape->{rows}, "$title: rows") if defined $shape->{rows};
	keep_nothing();
	return;
}

my @shapes = shapes(Encode::decode('UTF-8', slurp_bytes(root() . '/doc/requests.md')));
cmp_ok(scalar(@shapes), '>=', 25, 'the page has ' . @shapes . ' queries');
try_shape($_) for @shapes;

done_testing();
