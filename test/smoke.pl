# One small query for each table of some APIs, in the database that test/sandbox
# has made; a line for each.  Run by test/smoke_staging.  Values are not shown.
use strict;
use utf8;
use warnings;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvFiles;
use ApigouvOpenApi;
use Time::HiRes 'time';

binmode STDOUT, ':utf8';
$| = 1;

# Exchanges, those that the staging knows before made-up ones.
sub recorded_first { return sort { ($b->{recorded} // 0) <=> ($a->{recorded} // 0) } exchanges(); }

# The first way of a table that can be asked for, with its condition.
sub query_of
{
	my ($api, $table) = @_;
	for my $way (grep { $_->{table} == $table && !$_->{lookup} } ways_of($api))
	{
		my @sources = known_requests($way, \&recorded_first);
		next if ($way->{route}{auth} // {})->{setting};
		my $request = request_for($way, [], @sources) // next;
		my ($condition) = conditions_for($way, $request, loosely => 1);
		return ($way, $condition) if defined $condition;
	}
	return ();
}

# Rows, or an SQLSTATE and its message.
sub ask
{
	my ($way, $condition) = @_;
	my $sql = "SET apigouv_fdw.object = 'Essai';\nSELECT count(*) FROM (SELECT * FROM $way->{api}.$way->{table}{table} "
	  . "WHERE $condition LIMIT 5) t;\n";
	my $pid = open(my $psql, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		open(my $input, '|-', qw(psql -X -A -t -q -v VERBOSITY=verbose)) or die "psql: $!";
		binmode $input, ':utf8';
		print $input $sql;
		close $input;
		exit 0;
	}
	my $said = do { local $/; <$psql> };
	close $psql;
	return "$1 rows" if $said =~ /^(\d+)$/m && $said !~ /^ERROR/m;
	return "$1 " . ($said =~ /HTTP status (\d+)/ ? "HTTP $1" : '') if $said =~ /^ERROR:\s+(\w{5}):/m;
	return 'no answer';
}

my $failed = 0;
for my $api (@ARGV)
{
	for my $table (tables_of($api))
	{
		my ($way, $condition) = query_of($api, $table);
		if (!defined $way)
		{
			print "$table->{table}: not asked, it needs a person's token\n";
			next;
		}
		my $began = time();
		my $answer = ask($way, $condition);
		$failed++ if $answer !~ /rows$/;
		printf "%s: %s, %d ms\n", $table->{table}, $answer, 1000 * (time() - $began);
	}
}
print "$failed tables could not be read\n" if $failed;
exit($failed ? 1 : 0);
