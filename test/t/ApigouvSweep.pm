# What the tests know of secrets and of persons, and a search for any of it,
# in whatever form, in anything that was written.
package ApigouvSweep;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Encode qw(decode encode);
use Exporter 'import';
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64 encode_base64url);
use Unicode::Normalize 'NFD';

our @EXPORT = qw(PERSONS LINK ACCESS_TOKEN WITNESS is_sought sought_values found_in);

# Persons, and what the APIs say of them, that the tests order from the local API server.
use constant PERSONS => (
	'Kerdoncuffe-Témoin', 'Lefèvrissime', 'Yannickoù', 'Zoéphine', 'Kervignoc-sur-Mer', 'Syldavienne', '9987654ZQ321',
	'07707707709Q', 'ZX-987-QY', 'yannickou.kerdoncuffe', 'zoephine@kervignoc.invalid', '+33 6 39 98 76 54',
	'12 rue des Épreuves-Secrètes');

# A link to a document, and an access token.
use constant LINK => 'https://storage.entreprise.api.gouv.fr/siade/LienQuePersonneNeVoit-0123456789abcdef.pdf';
use constant ACCESS_TOKEN => 'Zx9JetonDAccesQuePersonneNeVoit';

# A value that the test writes itself, to see that it would be found.
use constant WITNESS => 'Plantefleur-Épinglé';

# Birth dates of all of them, as year, month, day.
my @births = ([ 2004, 4, 12 ], [ 2003, 11, 30 ], [ 1962, 5, 9 ], [ 1987, 6, 5 ]);

# ===================================================================
# Values
# ===================================================================

# Texts of a value of JSON, however deep.
sub texts_of
{
	my ($value) = @_;
	return map { texts_of($_) } values %$value if ref $value eq 'HASH';
	return map { texts_of($_) } @$value if ref $value eq 'ARRAY';
	return defined $value && !ref $value ? ("$value") : ();
}

# Does a text tell a person, so that it is there by no accident?  The words of
# the definitions, of the sources and of what is public at the local API server
# may stand anywhere; so may numbers, words of codes, dates, and what is short.
sub is_distinctive
{
	my ($text, $ours) = @_;
	my $bytes = encode('UTF-8', lc $text);
	return 0 if length $bytes < ($text =~ /[^ -~]/ ? 5 : 7) || $bytes =~ /^[-\d.]*$/ && length $bytes < 10 || $text =~ /^\d{4}-\d\d-\d\d$/;
	return 0 if $text =~ /^[a-z_]+$/ || $text =~ /^\d{14}$/;
	return index($ours, $bytes) < 0;
}

sub read_json
{
	my ($file) = @_;
	return JSON::PP->new->utf8->decode(slurp_bytes($file));
}

# What the fixtures say of persons: whom API Particulier is asked for and what it tells, the officers and owners of
# companies; and links to documents.
sub from_fixtures
{
	my $dir = root() . '/test/fixtures/exchanges';
	my @texts;

	for my $file (glob("$dir/particulier/*/*.json"))
	{
		my $exchange = read_json($file);
		push @texts, texts_of($exchange->{request}), texts_of(($exchange->{body} // {})->{data});
	}
	for my $file (glob("$dir/entreprise/*{mandataires_sociaux,beneficiaires_effectifs}/*.json"))
	{
		my $data = read_json($file)->{body}{data} // [];
		push @texts, map { texts_of([ @$_{qw(nom nom_usage prenom prenoms)} ]) } map { $_->{data} // $_ } @$data;
	}
	my @links = grep { m{^https?://.*(?:/proxy/|\.pdf)} } map { texts_of(read_json($_)->{body}) } glob("$dir/entreprise/*/*.json");
	return (\@texts, \@links);
}

# A secret as a whole, and pieces of it, so that no part of some length passes: of a JWT, all but its header, which is
# that of any other, and what its claims identify.
sub parts_of_secret
{
	my ($secret) = @_;
	my @parts = ($secret);
	my @long = $secret;

	if ($secret =~ /^[\w-]+\.([\w-]+)\.([\w-]+)$/)
	{
		@long = ($1, $2);
		my $claims = eval { JSON::PP->new->utf8->decode(decode_base64url($1)) } // {};
		push @parts, grep { defined } @$claims{qw(jti uid)};
	}
	for my $text (@long)
	{
		push @parts, map { substr($text, 16 * $_, 16) } 0 .. length($text) / 16 - 1;
		push @parts, substr($text, -16) if length $text > 16;
	}
	# what scopes and dates have in common is in the definitions, too
	return grep { length >= 8 } @parts;
}

# Of a link: all of it, and the path that opens the document.
sub parts_of_link { my ($link) = @_; return ($link, $link =~ m{^\w+://[^/]+/(.{12,})}); }

# A date as APIs, settings of DateStyle and people write it.
sub forms_of_date
{
	my ($y, $m, $d) = @{ $_[0] };
	return (
		(map { sprintf $_->[0], @$_[ 1 .. 3 ] }
			[ '%d-%02d-%02d', $y, $m, $d ], [ '%02d/%02d/%d', $d, $m, $y ], [ '%02d/%02d/%d', $m, $d, $y ],
			[ '%02d-%02d-%d', $d, $m, $y ], [ '%02d-%02d-%d', $m, $d, $y ], [ '%02d.%02d.%d', $d, $m, $y ]),
		"anneeDateNaissance=$y", "annee_date_naissance = $y", "DateNaissance=$m&", "DateNaissance=$d&",
		sprintf('%d-%02d"', $y, $m));
}

# Every value: text => what it is.  more: secrets that only the test knows.
my %sought;

sub sought_values
{
	my (@more) = @_;
	return \%sought if %sought;

	my ($texts, $links) = from_fixtures();
	my $ours = join "\n", map { encode('UTF-8', lc decode('UTF-8', slurp_bytes($_))) } grep { !m{/(?:tokens|particulier\w*)\.py$} }
	  glob(root() . '/{apis/*.json,apis/*/*.json,src/*.[ch],test/stub/*.py}');
	for my $text (@$texts)
	{
		$sought{$text} = 'person' if is_distinctive($text, $ours);
	}
	$sought{$_} = 'person' for PERSONS, WITNESS, map { forms_of_date($_) } @births;
	$sought{$_} = 'link' for map { parts_of_link($_) } LINK, @$links;
	for my $secret (all_secrets(), ACCESS_TOKEN, @more)
	{
		$sought{$_} = 'secret' for parts_of_secret($secret);
	}
	return \%sought;
}

sub is_sought { return exists sought_values()->{ $_[0] }; }

# ===================================================================
# Forms, and the search
# ===================================================================

# The characters of base64 that a text alone decides, wherever it begins.
sub in_base64
{
	my ($bytes) = @_;
	my @forms;
	return () if length $bytes < 9;
	for my $skip (0 .. 2)
	{
		for my $text (encode_base64('x' x $skip . $bytes, ''), encode_base64url('x' x $skip . $bytes))
		{
			$text =~ s/=+$//;
			push @forms, substr($text, $skip ? $skip + 1 : 0, -2 - ($skip ? 1 : 0));
		}
	}
	return @forms;
}

sub lc_ascii { return $_[0] =~ tr/A-Z/a-z/r; }

# A value in every form in which it could be written, as bytes; the case of ASCII does not count.
sub forms_of
{
	my ($text) = @_;
	my $bytes = encode('UTF-8', $text);
	my $plain = NFD($text) =~ s/\p{Mn}//gr;
	my %escapes = ('&' => '&amp;', '<' => '&lt;', '"' => '&quot;', "'" => '&#x27;');
	my @forms = ($bytes, encode('UTF-8', uc $text), encode('UTF-8', lc $text), in_base64($bytes), unpack('H*', $bytes));
	push @forms, $bytes =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/gaer;
	push @forms, $bytes =~ s/([^\w.~ -])/sprintf '%%%02X', ord $1/gaer =~ tr/ /+/r;
	# JSON, and JSON in JSON, as audit lines in jsonlog
	push @forms, map { my $escape = $_; $text =~ s/([^ -~])/$escape . sprintf 'u%04x', ord $1/gaer } '\\', '\\\\';
	push @forms, $bytes =~ s/'/''/gr, $bytes =~ s/([&<"'])/$escapes{$1}/gr, $bytes =~ s{/}{\\/}gr;
	push @forms, encode('ISO-8859-1', $text) if $text =~ /^[\x00-\xff]+$/ && $text =~ /[\x80-\xff]/;
	push @forms, $plain if $plain ne $text && length $plain >= 7;
	return map { lc_ascii($_) } grep { length >= 5 } @forms;
}

# All forms, one a line, in a file for grep, which alone is quick with so many.
my ($forms_file, %value_of);

sub forms_file
{
	return $forms_file if defined $forms_file;
	for my $value (keys %{ sought_values() })
	{
		$value_of{$_} = $value for forms_of($value);
	}
	write_bytes(my $file = PostgreSQL::Test::Utils::tempdir() . '/forms', join "\n", keys %value_of);
	return $forms_file = $file;
}

sub write_bytes
{
	my ($name, $bytes) = @_;
	open(my $file, '>:raw', $name) or die "$name: $!";
	print $file $bytes;
	close $file;
	return;
}

sub readable { return decode('UTF-8', $_[0]) =~ s/[^[:print:]\n]/./gr; }

# What of all this some text (characters or bytes) holds: value, and what stands around it.
sub found_in
{
	my ($text) = @_;
	$text = encode('UTF-8', $text) if utf8::is_utf8($text);
	write_bytes(my $name = PostgreSQL::Test::Utils::tempdir() . '/searched', $text);
	return found_in_file($name, \$text);
}

# The same for a file; text: reference to its bytes, when they are known.
sub found_in_file
{
	my ($name, $text) = @_;
	my $forms = forms_file();
	my %found;
	local $ENV{LC_ALL} = 'C';
	open(my $hits, '-|:raw', 'grep', '-a', '-o', '-b', '-i', '-F', '-f', $forms, $name) or die "grep: $!";
	while (my $hit = <$hits>)
	{
		my ($at, $form) = $hit =~ /^(\d+):(.*)$/;
		my $value = $value_of{ lc_ascii($form) } // die "what is $form?";
		$text //= \slurp_bytes($name);
		my $from = $at > 150 ? $at - 150 : 0;
		$found{$value} //= readable(substr($$text, $from, $at - $from + length($form) + 40));
	}
	close $hits;
	die "grep: $?" if $? >> 8 > 1;
	# access tokens that the local API server makes
	$text //= \slurp_bytes($name);
	$found{'an access token'} = readable(substr($$text, $-[0] > 150 ? $-[0] - 150 : 0, 200))
	  if $$text =~ /acces-[0-9a-f]{24}/;
	return \%found;
}

1;
