# The project's files, and those beside it: what programs of test/ need that do
# not run PostgreSQL::Test.
package ApigouvFiles;

use strict;
use utf8;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec;
use JSON::PP;

our @EXPORT = qw(root shared_dir samples_dir slurp_bytes json_text);

# An establishment that the local API server knows in every API.
our $SIRET = '00000301200010';
our $SIREN = '000003012';

my $here = dirname(File::Spec->rel2abs(__FILE__));

sub root { return "$here/../.."; }

# What lies beside the project, of its owner: $APIGOUV_SHARED, or ../shared.
sub shared_dir { return $ENV{APIGOUV_SHARED} || root() . '/../shared'; }

# The folder of recorded replies, or undef where there is none.
sub samples_dir
{
	my $dir = shared_dir() . '/samples';
	return -d $dir ? $dir : undef;
}

# JSON as text: characters, not bytes.
sub json_text { return JSON::PP->new->canonical->allow_nonref->encode($_[0]); }

sub slurp_bytes
{
	my ($path) = @_;
	open(my $file, '<:raw', $path) or die "$path: $!";
	local $/;
	return scalar <$file>;
}

1;
