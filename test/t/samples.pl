# Every recorded exchange of the tables that exist is given by the local API
# server, and each scalar of its body must come out in some column.  Where the
# recordings are not there (../shared/samples), there is nothing to test.
# pg_regress cannot show it: the recordings are not part of the project, and
# have to be handed to the local API server.
#
# Only what says how many rows there are and where the next page is stays out.
# A page of a longer list is given as if it were the whole.
use strict;
use utf8;
use warnings;

use ApigouvSamples;
use ApigouvTest;
use File::Basename qw(basename);
use JSON::PP;
use Test::More;

my $samples = samples_dir();
plan skip_all => 'no recorded exchanges here' unless defined $samples;

my $node = new_cluster('samples');
my $session = session($node);
my $json = JSON::PP->new->utf8->allow_nonref;
$session->query('SET TimeZone = UTC');

my @refused;

sub load { return $json->decode(slurp_bytes($_[0])); }

sub give
{
	my (%exchange) = @_;
	delete $exchange{query};
	replay(\%exchange);
	return;
}

# ---- the two inclusion APIs ----

# What a path under the base address reads: table, condition.
my @paths = (
	[ marche_inclusion => qr{^/api/siae/$}, 'structures', 'true' ],
	[ marche_inclusion => qr{^/api/siae/(\d+)/$}, 'structures', 'id = %s' ],
	[ marche_inclusion => qr{^/api/siae/slug/(.+)/$}, 'structures', "slug = '%s'" ],
	[ marche_inclusion => qr{^/api/siae/siret/(.+)/$}, 'structures', "siret = '%s'" ],
	[ marche_inclusion => qr{^/api/siae/siren/(.+)/$}, 'structures', "siren = '%s'" ],
	[ data_inclusion => qr{^/api/v1/structures$}, 'structures', 'true' ],
	[ data_inclusion => qr{^/api/v1/structures/(.+)$}, 'structures', "id = '%s'" ],
	[ data_inclusion => qr{^/api/v1/services$}, 'services', 'true' ],
	[ data_inclusion => qr{^/api/v1/services/(.+)$}, 'services', "id = '%s'" ]);

# A page of a list, as if it were the whole list.
sub whole
{
	my ($body) = @_;
	return $body unless ref $body eq 'HASH';
	if (ref $body->{results} eq 'ARRAY')
	{
		$body->{count} = scalar @{ $body->{results} };
		$body->{next} = $body->{previous} = undef;
	}
	if (ref $body->{items} eq 'ARRAY')
	{
		$body->{total} = $body->{size} = scalar @{ $body->{items} };
		$body->{page} = $body->{pages} = 1;
	}
	return $body;
}

for my $api (qw(marche_inclusion data_inclusion))
{
	for my $entry (@{ load("$samples/$api/manifest.json") })
	{
		my ($path, $query) = $entry->{request} =~ /^GET ([^?]+)(?:\?(.*))?/ or next;
		for my $known (grep { $_->[0] eq $api && $path =~ $_->[1] } @paths)
		{
			my (undef, $pattern, $table, $condition) = @$known;
			my ($key) = $path =~ $pattern;
			$condition = sprintf $condition, $key if $condition =~ /%s/;
			$condition = 'avec_extra' if ($query // '') =~ /extra=true/;
			my $body = whole(load("$samples/$api/$entry->{file}"));
			give(api => $api, path => $path, reply => $body);
			comes_out($session, "$api $entry->{file}",
				"SELECT * FROM $api.$table WHERE $condition",
				$body, qw(count next previous total page size pages),
				$table eq 'structures' ? 'services' : ());
			next unless ref $body eq 'HASH' && $body->{services};
			comes_out($session, "$api $entry->{file}, its services",
				"SELECT * FROM data_inclusion.services WHERE structure_id = '$key'",
				$body->{services});
		}
	}
}

# ---- API Entreprise: the sources of attestations, a table each, and the table of all ----

my $all_of_them = load(root() . '/apis/entreprise/entreprise_attestations.json');
my %type_of = map { $_->{operation} => $_->{constants}{type} } @{ $all_of_them->{routes} };
my %table_of;
for my $file (glob(root() . '/apis/entreprise/*.json'))
{
	my $definition = load($file);
	my $operation = $definition->{routes}[0]{operation} // '';
	$table_of{$operation} = $definition->{table}
	  if $type_of{$operation} && !$definition->{union};
}
is(scalar(keys %table_of), 13, '13 operations have a table');

for my $entry (@{ load("$samples/entreprise/index.json") })
{
	my $table = $table_of{ $entry->{operation} } or next;
	my $name = "entreprise $entry->{file}";
	my $sample = load("$samples/entreprise/$entry->{file}");
	my ($key, $value) = %{ $sample->{request} };
	my $path = $entry->{path} =~ s/\{$key\}/$value/r;
	if ($session->value("SELECT apigouv_$key('$value') IS NULL") eq 't')
	{
		push @refused, "$name: $key $value fails its checksum";
		stub_reset();
		$session->value("SELECT 1 FROM entreprise.$table WHERE $key = '$value'");
		is(scalar(requests()), 0, "$name: its key is not sent");

		# what it says still has to come out, under a right key
		my $right = $key eq 'siret' ? $ApigouvTest::SIRET : $ApigouvTest::SIREN;
		$path =~ s/$value/$right/;
		$value = $right;
	}
	give(
		api => 'entreprise', path => $path, status => $sample->{status},
		reply => $sample->{body});
	my $type = $type_of{ $entry->{operation} };
	my $one = "SELECT * FROM entreprise.$table WHERE $key = '$value'";
	my $all = "SELECT * FROM entreprise.entreprise_attestations"
	  . " WHERE $key = '$value' AND type = '$type'";
	if ($sample->{status} == 200)
	{
		comes_out($session, $name, $one, $sample->{body});
		cmp_ok($session->value("SELECT count(*) FROM ($all) t"), '>=', 1,
			"$name: in the table of all");
		next;
	}
	my $error = $sample->{body}{errors}[0];
	my $code = $error->{code};
	is( $session->value("SELECT count(*) FROM ($one) t"),
		$code eq '38422' ? 1 : 0,
		"$name: $code in its own table");
	comes_out($session, "$name in the table of all", $all,
		{ code => $code, title => $error->{title} });
	is( $session->value("SELECT statut FROM ($all) t"),
		$code eq '38422' ? 'non_conforme' : 'inconnu',
		"$name: never a false refusal");
}

# ---- Marché du travail ----

my $mt = 'marche_travail';
for my $file (glob("$samples/$mt/tension_*.json"), glob("$samples/$mt/error_500_no_list*.json"),
	glob("$samples/$mt/empty_20*.json"), glob("$samples/$mt/ref_activite*.json"),
	glob("$samples/$mt/ref_territoire*.json"))
{
	my $name = "$mt " . basename($file);
	my $sample = load($file);
	my $request = $sample->{request};
	my ($table, $condition);
	if ($request->{path} =~ /stat-perspective-employeur$/)
	{
		my $body = $request->{body};
		$table = 'marche_travail_tensions';
		$condition = "code_type_territoire = '$body->{codeTypeTerritoire}'"
		  . " AND code_territoire = '$body->{codeTerritoire}'"
		  . " AND code_type_activite = '$body->{codeTypeActivite}'"
		  . " AND code_activite = '$body->{codeActivite}'";
		$condition .= ' AND derniere_periode' if $body->{dernierePeriode};
		for my $list ([ code_periode => 'listeCodePeriode' ],
			[ code_indicateur => 'listeCodeNomenclature' ])
		{
			my $values = $body->{ $list->[1] } or next;
			$condition .= " AND $list->[0] IN ("
			  . join(',', map { "'$_'" } @$values) . ')';
		}
	}
	elsif ($request->{path} =~ m{/referentiel/(activite|territoire)(s/(\w+))?$})
	{
		my ($what, $type) = ($1, $3);
		$table = "marche_travail_${what}s";
		my $query = $request->{query} // {};
		$condition = "code_type_$what = '"
		  . ($type // $query->{ 'codeType' . ucfirst $what }) . "'";
		$condition .= " AND code_$what = '" . $query->{ 'code' . ucfirst $what } . "'"
		  unless defined $type;
	}
	else { next; }

	give(
		api => $mt, method => $request->{method}, path => $request->{path},
		status => $sample->{status}, reply => $sample->{body});
	my $query = "SELECT * FROM $mt.$table WHERE $condition";
	if ($sample->{status} == 200 && ref $sample->{body})
	{
		comes_out($session, $name, $query, $sample->{body});
	}
	else
	{
		is($session->value("SELECT count(*) FROM ($query) t"), '0', "$name: no row");
	}
}

# ---- what is left to say ----

my $checked = ApigouvSamples::checked();
my %only_in_reponse = ApigouvSamples::only_in_reponse();
diag("$checked scalars compared");
diag('refused by their checksum, so given under another key:', map { "\n  $_" } @refused);
diag('only in reponse:', map { "\n  $_: $only_in_reponse{$_}" } sort keys %only_in_reponse);
cmp_ok($checked, '>', 1000, 'many scalars were compared');
done_testing();
