# What the tests of the audit share: its lines, read from the server log.
package ApigouvAudit;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Exporter 'import';
use JSON::PP;
use Test::More;

our @EXPORT = qw(audit_begin audit_lines audit_log one_request told);

my ($node, $at);

# Read the log of this cluster from now on.
sub audit_begin
{
	($node) = @_;
	$at = -s $node->logfile;
	return;
}

# What the log has gained since the last look.
sub audit_log
{
	my $text = PostgreSQL::Test::Utils::slurp_file($node->logfile, $at);
	$at += length $text;
	return $text;
}

# The lines among it, decoded.  One that is no JSON fails a test; so does what follows it, if that is its.
sub audit_lines
{
	my $text = audit_log();
	my @lines;
	while ($text =~ /^.*LOG:  apigouv_fdw audit: (.*)\n(.*)/mg)
	{
		my ($line, $next) = ($1, $2);
		pos($text) -= length $next;
		my $decoded = eval { JSON::PP->new->decode($line) } // {};
		fail("a line is JSON: $line") unless %$decoded && $line =~ /^[ -~]*$/;
		fail("nothing belongs to a line: $next") if $next =~ /STATEMENT|CONTEXT|DETAIL|^\t/;
		push @lines, $decoded;
	}
	return @lines;
}

# Members of lines as texts, one after the other: told('verdict', lines).
sub told { my ($member, @lines) = @_; return join ' ', map { $_->{$member} // '-' } @lines; }

# There must be the two lines of one request; returns the second.
sub one_request
{
	my ($name) = @_;
	my @lines = audit_lines();
	my $fits = @lines == 2 && told('event', @lines) eq 'begin end' && $lines[0]{id} eq $lines[1]{id};
	ok($fits, "$name: a line before, a line after") or diag(json_text(\@lines));
	my ($begin, $end) = @lines;
	is_deeply({ map { ($_ => $begin->{$_}) } grep { $_ !~ /^(?:event|time)$/ } keys %$begin },
		{ map { ($_ => $end->{$_}) } grep { exists $begin->{$_} && $_ !~ /^(?:event|time)$/ } keys %$end },
		"$name: both say who, what and why");
	return $end // {};
}

1;
