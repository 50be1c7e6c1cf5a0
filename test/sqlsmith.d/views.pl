# SQL that makes, for each table that needs keys, a view with keys that the local API server knows: random queries
# would hardly find them.  Run by test/sqlsmith; the databases' schemas are those of test/sandbox.
use strict;
use utf8;
use warnings;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvOpenApi;

binmode STDOUT, ':utf8';

# The conditions of the first ways of a table that can be asked for.
sub conditions_of
{
	my ($api, $table) = @_;
	my @found;
	for my $way (grep { $_->{table} == $table && !$_->{lookup} } ways_of($api))
	{
		next if ($way->{route}{auth} // {})->{setting};
		my $request = request_for($way, [], known_requests($way, sub { exchanges() })) // next;
		my ($condition) = conditions_for($way, $request, loosely => 1);
		# "true" is what nobody gave
		next if !defined $condition || $condition !~ /=/ || $condition =~ /'true'/ || grep { $_ eq $condition } @found;
		push @found, $condition;
		last if @found == 2;
	}
	return @found;
}

print "CREATE SCHEMA cles;\n";
for my $api (api_names())
{
	for my $table (tables_of($api))
	{
		my $n = 0;
		for my $condition (conditions_of($api, $table))
		{
			printf "CREATE VIEW cles.%s_%d AS SELECT * FROM %s.%s WHERE %s;\n",
			  substr("${api}_$table->{table}", 0, 58), ++$n, $api, $table->{table}, $condition;
		}
	}
}

# the tables that are read most, by the keys of a local table
print <<'SQL';
CREATE VIEW cles.suivi AS
	SELECT e.denomination, e.code_region, a.*
	FROM registre.entreprises e JOIN entreprise.entreprise_attestations a ON a.siret = e.siret;
CREATE VIEW cles.suivi_inclusion AS
	SELECT e.denomination AS suivie, s.*
	FROM registre.entreprises e LEFT JOIN marche_inclusion.structures s ON s.siret = e.siret;
CREATE VIEW cles.suivi_data_inclusion AS
	SELECT e.denomination AS suivie, s.*
	FROM registre.entreprises e LEFT JOIN data_inclusion.structures s ON s.siret = e.siret;
CREATE VIEW cles.fiscales AS
	SELECT e.denomination, a.*
	FROM registre.entreprises e LEFT JOIN entreprise.entreprise_attestation_fiscale a ON a.siret = e.siret;
SQL
