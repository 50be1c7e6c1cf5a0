# What a backend pays before its first query: loading the library, reading the
# definitions of an API and of one table.  Figures are printed, not judged;
# what is tested is that only the files that a query needs are read.
# pg_regress cannot show it: it does not measure, and cannot take files away.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use File::Path qw(make_path);
use Test::More;

my $node = new_cluster('load');
my $installed = $node->config_data('--sharedir') . '/extension/apigouv_fdw';
my %tables = (
	marche_inclusion => 'structures',
	data_inclusion => 'services',
	entreprise => 'entreprise_attestations',
	marche_travail => 'marche_travail_tensions');
my %condition = (
	structures => "siret = '00000301200010'",
	services => "id = 'x'",
	entreprise_attestations => "siret = '00000301200010'",
	marche_travail_tensions => "code_region = '53' AND code_rome = 'D1102'");

sub median { return (sort { $a <=> $b } @_)[ $#_ / 2 ]; }

# ===================================================================
# Definitions: EXPLAIN that has to read them, against the next, which has not.
# Setting the directory makes the backend forget what it has read.
# ===================================================================
for my $api (sort keys %tables)
{
	my $table = $tables{$api};
	my $explain = "EXPLAIN SELECT * FROM $api.$table WHERE $condition{$table}";
	my $session = session($node);
	$session->query($explain) for 1 .. 3;
	my (@reading, @not_reading);
	for (1 .. 31)
	{
		$session->query("SET apigouv_fdw.definition_dir = '$installed'");
		push @reading, $session->query($explain)->{ms};
		push @not_reading, $session->query($explain)->{ms};
		$session->query('RESET apigouv_fdw.definition_dir');
	}
	diag(sprintf 'reading the definitions of %-42s %.2f ms (EXPLAIN %.2f, then %.2f)',
		"$api.$table:", median(@reading) - median(@not_reading),
		median(@reading), median(@not_reading));
	is($session->query($explain)->{sqlstate}, undef, "$api.$table: a plan");
}

# ===================================================================
# The whole of it: first EXPLAIN of fresh backends, and the next one
# ===================================================================
for my $api (sort keys %tables)
{
	my $table = $tables{$api};
	my $explain = "EXPLAIN SELECT * FROM $api.$table WHERE $condition{$table}";
	my (@library, @first, @second);
	for (1 .. 11)
	{
		my $session = session($node);
		$session->query('SELECT * FROM pg_foreign_server');
		push @library, $session->query("LOAD 'apigouv_fdw'")->{ms};
		push @first, $session->query($explain)->{ms};
		push @second, $session->query($explain)->{ms};
		$session->quit;
	}
	diag(sprintf 'fresh backend, %-34s LOAD %.2f ms, first EXPLAIN %.2f ms, second %.2f ms',
		"$api.$table:", median(@library), median(@first), median(@second));
}

# ===================================================================
# Only the files that a query needs are read
# ===================================================================
my $dir = PostgreSQL::Test::Utils::tempdir();
make_path("$dir/entreprise", "$dir/shared");
for my $file ('entreprise.json', 'shared/territoires.json',
	'entreprise/entreprise_conformite_cotisations_msa.json')
{
	append($file, slurp_bytes("$installed/$file"));
}
append('entreprise/entreprise_attestations.json', '{ "table": this is not JSON');

sub append
{
	my ($file, $bytes) = @_;
	open(my $out, '>:raw', "$dir/$file") or die "$dir/$file: $!";
	print $out $bytes;
	close $out or die "$dir/$file: $!";
	return;
}

my $session = session($node);
$session->query("SET apigouv_fdw.definition_dir = '$dir'");
is( $session->value("SELECT status FROM entreprise.entreprise_conformite_cotisations_msa"
		  . " WHERE siret = '00000301200010'"),
	'up_to_date',
	'a query reads the files of its API and of its table');
refuses($session, "SELECT * FROM entreprise.entreprise_attestations WHERE siret = '00000301200010'", {
	sqlstate => 'F0000',
	message => qr/entreprise_attestations\.json/,
	requests => 0 }, 'a broken file is an error of its table only, which names it');
refuses($session, $ApigouvTest::GOOD_QUERY, { sqlstate => 'HV00Q', requests => 0 },
	'an API without its file does not exist');
$session->query('RESET apigouv_fdw.definition_dir');
still_works($session, 'the session goes on with the installed definitions');

done_testing();
