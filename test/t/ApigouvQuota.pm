# What the tests of the quota ledger (quota_*.pl) share: limits that a test can
# fill, queries that take a known number of requests, and looks at the ledger.
#
# A window of ten minutes never ends during a test, so that counts do not
# depend on how fast the machine is; windows of a second are for what must be
# waited for.
package ApigouvQuota;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Exporter 'import';
use Time::HiRes qw(time);

our @EXPORT = qw(
  $LONG $YES sirens vigilance fiscale limits give_yes begin_anew quota used
  wait_for_waiter sent refused_for ledger_file);

# A window that outlives the test.
our $LONG = '600s';

# A reply of URSSAF, which has limit "urssaf".
our $YES = {
	data => { entity_status => { code => 'ok', libelle => 'Oui', description => 'Oui.' } },
	links => {}, meta => {} };

# Numbers of companies, from the one that is first on.
sub sirens
{
	my ($n, $first) = @_;
	return map { siren($_) } ($first // 20000) .. ($first // 20000) + $n - 1;
}

# A number of 8 digits with its checksum.
sub siren
{
	my ($digits) = sprintf '%08d', $_[0];
	my $sum = 0;
	for my $i (0 .. 7)
	{
		my $digit = substr($digits, $i, 1) * (1 + $i % 2);
		$sum += $digit > 9 ? $digit - 9 : $digit;
	}
	return $digits . (10 - $sum % 10) % 10;
}

# A query of n requests of limit "urssaf", each of which gives a row.
sub vigilance
{
	my ($n, $first, $schema) = @_;
	return _about('entreprise_attestation_vigilance', @_);
}

# The same of limit "attestation_fiscale".
sub fiscale { return _about('entreprise_attestation_fiscale', @_); }

sub _about
{
	my ($table, $n, $first, $schema) = @_;
	$schema //= 'entreprise';
	return "SELECT count(*) FROM $schema.$table WHERE siren IN ("
	  . join(', ', map { "'$_'" } sirens($n, $first)) . ")";
}

# limits(session, server or undef, limit => '5/600s', ...): those of a server;
# the others are generous.
sub limits
{
	my ($session, $server, %wanted) = @_;
	my %all = map { $_ => '10000/1s' }
	  qw(json documents attestation_fiscale cibtp urssaf ip);
	%all = (%all, %wanted);
	$server //= 'entreprise';
	my $text = join ', ', map { "$_=$all{$_}" } sort keys %all;
	return run_sql($session, "ALTER SERVER $server OPTIONS (SET limits '$text')");
}

# Every source of API Entreprise says yes from now on.
sub give_yes { give_entreprise(200, $YES); return; }

# Nothing was sent yet, neither to the local API server.
sub begin_anew
{
	my ($session) = @_;
	stub_reset();
	give_yes();
	return run_sql($session, 'SELECT apigouv_quota_forget()');
}

# Columns of the view for a limit that everybody shares, or a role's share.
sub quota
{
	my ($session, $limit, $columns, $role) = @_;
	my $whose = defined $role ? "role = '$role'" : 'role IS NULL';
	return $session->value("SELECT $columns FROM apigouv_quota"
		  . qq( WHERE "limit" = '$limit' AND $whose ORDER BY used DESC));
}

sub used { return quota(@_[ 0, 1 ], 'used', $_[2]); }

# Until so many processes wait for a slot of a limit.
sub wait_for_waiter
{
	my ($session, $limit, $n) = @_;
	return ApigouvTest::wait_for(
		sub { (quota($session, $limit, 'waiting') || 0) == ($n // 1) },
		"a process that waits for limit $limit");
}

# Requests that API Entreprise has received for a provider.
sub sent
{
	my ($provider) = @_;
	return scalar(requests(
		api => 'entreprise', path => qr{/\Q@{[ $provider // 'urssaf' ]}\E/}));
}

# What the refusal of a request for its quota looks like; more: requests => 0.
sub refused_for
{
	my ($limit, $rate, %more) = @_;
	return {
		sqlstate => '53400',
		message => 'could not send a request to foreign server "entreprise": request quota is exhausted',
		detail => qr/^Limit "$limit" is $rate; \d+ seconds? remains?, retry_at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$/,
		hint => 'Run the query again later, or raise server option "quota_wait_ms".',
		%more };
}

# The ledger of a cluster.
sub ledger_file { return $_[0]->data_dir . '/pg_stat/apigouv_fdw.ledger'; }

1;
