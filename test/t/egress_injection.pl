# Whatever a value holds, it arrives as that value, in its place, in one
# request; or it is not sent at all.  For each parameter of each operation of
# the definitions, values made to leave a path, a query, a body or a header;
# and for one of each kind, every byte, at the beginning, in the middle and at
# the end.  The same for the purpose and the links of documents.  pg_regress
# cannot show it: operations come from apis/, and the proof is what the local
# API server received.
#
# What the local API server thinks of these values does not matter.
use strict;
use utf8;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvOpenApi;
use ApigouvTest;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';

my $json = JSON::PP->new->utf8->allow_nonref;
my $ascii = JSON::PP->new->ascii->allow_nonref;
my $began = time();
my %count;

# A text of any bytes, for people.
sub shown { return substr $ascii->encode($_[0]), 0, 100; }

# a local API server of our own, with few rows
delete $ENV{APIGOUV_STUB_URL};
$ApigouvTest::STRUCTURES = 20;
my $node = new_cluster('egress_injection');
for my $api (api_names())
{
	# a refusal is not waited for
	$node->safe_psql('postgres', "ALTER SERVER $api OPTIONS (ADD retries '0', ADD quota_wait_ms '1000')");
}
my $session = session($node);
$session->query('SELECT count(*) FROM apigouv_tables');    # loads the library, which knows the setting
$session->query("SET apigouv_fdw.france_connect_token = '" . token('france_connect') . "'");

# ===================================================================
# Values
# ===================================================================
# every character of LATIN1 three times, which is every byte of UTF-8 that two
# make, and the longest ones
my @every = map { my $c = chr; utf8::upgrade($c); "${c}a${c}a$c" } 1 .. 255, 0x2028, 0xFEFF, 0xFFFD, 0xFFFF, 0x10FFFF;
my @paths = ('..', '.', '../../x', 'a/../b', 'a/./b', 'a/..', '..;', '..;x=y/z', '..\\x', 'a//b', '/a', 'a/', '%2e%2e',
	'%2E%2E%2Fx', '..%2fx', '%', '%00', '%zz');
my @others = ('a?b=c&d=e#f', '#', '?', '&siret=1&', ';', '=', 'user@host', '//host/x', 'http://host/x', '+', ' ', ' a ', "\t",
	"\n", "a\r\nX-Injected: y\r\n\r\nGET /injected HTTP/1.1\r\n\r\n", 'a,b', ',', '[]', 'a[0]', '"', '"],"x":["', "\\", '\\"',
	"\\u0000", '{"a":1}', 'null', 'true', '1e3', 'é' x 499, 'x' x 1000, 'x' x 1001, 'x' x 20000);
# all at once, for each parameter
my $all = join '', map { chr } 1 .. 255;
utf8::upgrade($all);
my @some = ($all, '../../x?y=z&t=u#v;w@h,', '..', "a\r\nX-Injected: y", '%2e%2e%2f"],"x":["');

# Those that may never be sent in a path.
sub leaves_a_path { return grep { /^\.\.?(?:;|$)/ } split m{[/\\]}, $_[0], -1; }

# ===================================================================
# One parameter of one way
# ===================================================================
my $exchanges = [ ApigouvExchanges::in_folder(root() . '/test/fixtures/exchanges') ];
# one function, by which what it gives is remembered
my $ours = sub { @$exchanges };
my @numbers = ({ siret => $ApigouvTest::SIRET, siren => $ApigouvTest::SIREN, codeTypeTerritoire => 'REG',
	codeTerritoire => '53', codeTypeActivite => 'ROME', codeActivite => 'D1102' });

# The query of a way, with the condition on this parameter left to be filled:
# text before and after, or nothing where there is no such query.
sub query_of
{
	my ($way, $parameter) = @_;
	my $request = request_for($way, [$parameter], known_requests($way, $ours), @numbers) // return;
	my ($conditions) = conditions_for($way, $request, loosely => 1);
	return unless defined $conditions;
	my $name = plain_name($parameter->{name});
	my $given = $request->{ $parameter->{name} } // $request->{$name} // return;
	my $own = ApigouvDefinitions::condition($way, $parameter, wire_values($given))
	  // ApigouvDefinitions::some_condition($way, $parameter) // return;
	my $at = index($conditions, $own);
	return if $at < 0;
	return ("SELECT count(*) FROM $way->{api}.$way->{table}{table} WHERE " . substr($conditions, 0, $at),
		substr($conditions, $at + length $own));
}

sub decoded
{
	my ($text) = @_;
	$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	utf8::decode($text) or return "not UTF-8: $text";
	return $text;
}

# The places of a request's path, as they were sent, when it is this way's.
sub places_of
{
	my ($way, $entry) = @_;
	my $prefix = "/$way->{api}" . prefix($way->{api});
	my ($path) = $entry->{target} =~ /^\Q$prefix\E([^?]*)/ or return undef;
	return path_matches({ %$way, path => $way->{path} =~ s/\?.*//r }, $path);
}

# The other ways of a table: a key that one way cannot send may be read by them.
sub others
{
	my ($way) = @_;
	return grep { $_->{table}{table} eq $way->{table}{table} && $_ != $way } ways_of($way->{api});
}

# What a request that arrived has in the place of a parameter: texts; and what
# is wrong with the rest of it.
sub arrived
{
	my ($way, $parameter, $entry) = @_;
	my $place = $parameter->{in} // 'query';
	my $name = plain_name($parameter->{name});
	my (@wrong, %query, $body);
	my %known = map { plain_name($_->{name}) => 1 } map { @{ $_->{parameters} } } $way, others($way);
	my @own = grep { defined } purpose_parameters(), (map { ApigouvExchanges::paging_parameters($_) } $way, others($way)), split /[=&]/, ($way->{path} =~ /\?(.*)/)[0] // '';
	$known{$_} = 1 for @own;

	for my $pair (split /&/, $entry->{query} // '')
	{
		my ($key, $value) = map { decoded($_) } split(/=/, $pair, 2), '';
		push @{ $query{ plain_name($key) } }, $value;
	}
	push @wrong, 'another parameter in the query' if grep { !$known{$_} } keys %query;
	if (defined $entry->{body} && length $entry->{body})
	{
		# the log has it as text
		my $bytes = $entry->{body};
		utf8::encode($bytes);
		$body = eval { $json->decode($bytes) };
		push @wrong, 'a body that is no object' if ref $body ne 'HASH';
		push @wrong, 'another member in the body' if ref $body eq 'HASH' && grep { !$known{$_} } keys %$body;
	}
	my $places = places_of($way, $entry);
	push @wrong, 'another path' if !defined $places && !$way->{lookup} && !grep { defined places_of($_, $entry) } others($way);
	push @wrong, 'another header' if $entry->{headers}{'x-injected'};
	my @texts =
	    $place eq 'path' ? map { decoded($_) } grep { defined } $places->{$name}
	  : $place eq 'query' ? map { $parameter->{list} && $parameter->{list} eq 'comma' ? split /,/ : $_ } @{ $query{$name} // [] }
	  : ref $body eq 'HASH' && exists $body->{$name} ? wire_values($body->{$name} // 'null')
	  : ();
	return (\@wrong, @texts);
}

# The path of an API on the local API server, before a way's own.
sub prefix
{
	my ($api) = @_;
	return { marche_inclusion => '/api', data_inclusion => '/api/v1',
		marche_travail => '/partenaire/stats-offres-demandes-emploi' }->{$api} // '';
}

# Ask for each value; what is wrong.
sub wrongs_of
{
	my ($way, $parameter, @values) = @_;
	my ($before, $after) = query_of($way, $parameter) or return undef;
	my $in_path = ($parameter->{in} // '') eq 'path';
	my (%silent, %wrong, %seen, %twice);

	stub_reset();
	for my $value (@values)
	{
		my $condition = condition_on($way, $parameter, $value) // return undef;
		my $result = $session->query("$before$condition$after");
		$count{values}++;
		return { 'the session has ended' => 1 } if $result->{dead};
		$silent{$value} = 1 if !defined $result->{sqlstate} && !@{ $result->{notices} };
		$wrong{ 'an error of its own: ' . shown($result->{message}) } = 1
		  if ($result->{sqlstate} // '') =~ /^(?:XX|42601|22P02)/ && column_type($way, $parameter->{column}) =~ /^text/;
	}
	my @entries = grep { $_->{api} ne 'marche_travail' || $_->{path} !~ m{^/connexion/} } requests();
	for my $entry (@entries)
	{
		my ($wrong, @texts) = arrived($way, $parameter, $entry);
		$count{requests}++;
		$wrong{'a request that was sent twice: ' . shown($entry->{target})} = 1
		  if @texts && $twice{ $entry->{target} . ' ' . ($entry->{body} // '') }++;
		$wrong{$_} = 1 for @$wrong;
		$seen{$_}++ for @texts;
	}
	my %asked = map { join('', forward($parameter->{steps}, $_)) => 1, $_ => 1 } @values;
	for my $text (keys %seen)
	{
		$wrong{'a value that was not asked: ' . shown($text)} = 1 unless $asked{$text};
		$wrong{'a value that leaves its path: ' . shown($text)} = 1 if $in_path && leaves_a_path($text);
	}
	for my $value (is_key($parameter) && !others($way) ? @values : ())
	{
		$wrong{'a key that was neither sent nor refused: ' . shown($value)} = 1
		  if $silent{$value} && !$seen{$value} && !$seen{ join('', forward($parameter->{steps}, $value)) };
	}
	$count{arrived} += keys %seen;
	return \%wrong;
}

# ===================================================================
# Each parameter of each operation, and one of each kind with every value
# ===================================================================
my (%done, %kinds, %untried);
for my $way (all_ways())
{
	for my $parameter (@{ $way->{parameters} })
	{
		next if !defined $parameter->{column} || exists $parameter->{constant} || $parameter->{lookup};
		my $type = column_type($way, $parameter->{column});
		next unless $type =~ /^text/;
		my $place = $parameter->{in} // 'query';
		next if $done{"$way->{api} $way->{path} $place $parameter->{name}"}++;
		my $free = !$parameter->{check} && !$parameter->{values} && !$parameter->{pattern} && !$parameter->{steps};
		my $kind = join ' ', $way->{api}, $place, $type, $parameter->{list} // 'one', $free ? 'free' : 'checked',
		  $parameter->{slashes} ? 'slashes' : ();
		my $every = $free && !$kinds{$kind};
		# a check, or a list of values, refuses most of these before any place is made for them
		my @values = $every ? (@every, @paths, @others) : $free || !$kinds{$kind} ? (@some, $free ? () : @paths) : @some[ 0, 1, 3 ];
		my $wrong = wrongs_of($way, $parameter, @values);
		if (!defined $wrong)
		{
			$untried{"$way->{api} $parameter->{name}"}++;
			$done{"$way->{api} $way->{path} $place $parameter->{name}"} = 0;
			next;
		}
		ok(!%$wrong, "$way->{api}.$way->{name}: $place $parameter->{name}" . ($every ? ", every value ($kind)" : ''))
		  or diag(map { "  $_\n" } (sort keys %$wrong)[ 0 .. ((keys %$wrong) > 8 ? 7 : keys(%$wrong) - 1) ]);
		$kinds{$kind}++;
		$count{parameters}++;
	}
}
cmp_ok($count{parameters}, '>', 100, 'parameters were tried');
for my $place (qw(path query body))
{
	ok((grep { /^\w+ $place .* free/ } keys %kinds), "a parameter of the $place that takes any text was among them");
}
diag(sprintf '%d parameters, %d values, %d requests, %d values arrived, %.1f s', @count{qw(parameters values requests arrived)},
	time() - $began);
diag('not tried: ' . join ', ', map { "$_ ($untried{$_} ways)" } sort keys %untried) if %untried;

# ===================================================================
# The purpose, from settings: every byte, and who counts
# ===================================================================
my $about = "SELECT count(*) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012'";
for my $setting (qw(context object))
{
	stub_reset();
	my @wrong;
	my %asked = map { $_ => 1 } @every, @paths, @others;
	for my $value (sort keys %asked)
	{
		$session->query("SET apigouv_fdw.$setting = " . literal($value));
		my $result = $session->query($about);
		push @wrong, "$result->{sqlstate} " . shown($result->{message}) if defined $result->{sqlstate} && length $value <= 1000 && $value !~ /^\s+$/;
	}
	$session->query("RESET apigouv_fdw.$setting");
	my %seen;
	for my $entry (requests())
	{
		my %query = map { my ($name, $value) = split(/=/, $_, 2); ($name => decoded($value)) } split /&/, $entry->{query};
		push @wrong, 'another parameter: ' . join ' ', sort keys %query if join(' ', sort keys %query) ne 'context object recipient';
		push @wrong, 'not the value' unless $asked{ $query{$setting} };
		$seen{ $query{$setting} }++;
	}
	is(scalar(grep { $_ > 1 } values %seen), 0, "$setting: none is sent twice");
	cmp_ok(scalar(keys %seen), '>=', keys(%asked) - 4, "$setting: they arrive");
	ok(!@wrong, "$setting: as they are, in their place") or diag(join "\n", @wrong[ 0 .. ($#wrong > 8 ? 8 : $#wrong) ]);
}
stub_reset();
my @taken;
for my $value (grep { !/^\s*$/ } @paths, @others)
{
	push @taken, shown($value) unless defined $session->query('SET apigouv_fdw.recipient = ' . literal($value))->{sqlstate};
	$session->query($about);
}
is(join(' ', @taken), '', 'recipient: nothing but a SIRET is taken');
is(scalar(grep { $_->{query} !~ /(?:^|&)recipient=00000900100017(?:&|$)/ } requests()), 0, 'nor sent');
$session->query('RESET apigouv_fdw.recipient');
stub_reset();
my $control = session($node);
run_sql($control, "ALTER SERVER entreprise OPTIONS (ADD limit_identity 'x')");
for my $value (@paths, @others, $all)
{
	run_sql($control, 'ALTER SERVER entreprise OPTIONS (SET limit_identity ' . literal($value) . ')');
	$session->query($about);
}
run_sql($control, 'ALTER SERVER entreprise OPTIONS (DROP limit_identity)');
my %forms = map { json_text([ @$_{qw(path query headers)} ]) => 1 } requests();
is(scalar(keys %forms), 1, 'limit_identity: the request is the same whatever it is');

# ===================================================================
# Links of documents
# ===================================================================
my $link = 'https://entreprise.api.gouv.fr/proxy/files/';
stub_reset();
my (%asked, @wrong);
for my $value (@every, @paths, @others, '11111111-1111-4111-8111-111111111111?x=y')
{
	my $result = $session->query("SELECT apigouv_document('entreprise', " . literal($link . $value) . ')');
	$asked{"/entreprise/proxy/files/$value"} = ($result->{sqlstate} // '') eq '42501' && $result->{message} =~ /^link does not/;
}
my %followed;
for my $target (map { $_->{target} } requests())
{
	push @wrong, 'another link: ' . shown($target) unless exists $asked{$target};
	push @wrong, 'refused, and followed: ' . shown($target) if $asked{$target};
	push @wrong, 'followed twice: ' . shown($target) if $followed{$target}++;
	push @wrong, 'it leaves its path: ' . shown($target) if leaves_a_path(decoded($target) =~ s/\?.*//r);
}
push @wrong, map { 'neither followed nor refused: ' . shown($_) } grep { !$asked{$_} && !$followed{$_} } sort keys %asked;
ok(!@wrong, 'a link is followed as it is, or not at all') or diag(join "\n", @wrong);
cmp_ok(scalar(keys %followed), '>', 20, 'some are');
for my $other ('https://entreprise.api.gouv.fr@127.0.0.1/proxy/files/1', 'https://entreprise.api.gouv.fr:444/proxy/files/1',
	'https://entreprise.api.gouv.fr.example.org/proxy/files/1', 'http://entreprise.api.gouv.fr/proxy/files/1',
	'https://ENTREPRISE.api.gouv.fr/proxy/files/1', 'https://entreprise.api.gouv.fr/proxy/files', 'file:///proxy/files/1',
	'https://storage.entreprise.api.gouv.fr:x@127.0.0.1/', '//entreprise.api.gouv.fr/proxy/files/1', '/proxy/files/1', '')
{
	refuses($session, "SELECT apigouv_document('entreprise', " . literal($other) . ')', { sqlstate => '42501', requests => 0 },
		"a link elsewhere: $other");
}

# ===================================================================
# Bytes that are no text of the API's: LATIN1 goes out as UTF-8, SQL_ASCII
# only where it is UTF-8
# ===================================================================
for my $encoding (qw(LATIN1 SQL_ASCII))
{
	my $db = lc $encoding;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	create_apis($node, $db, 'marche_travail', 'entreprise');
	$node->safe_psql($db, "ALTER SERVER $_ OPTIONS (ADD retries '0')") for qw(marche_travail entreprise);
	my $other = session($node, db => $db, encoding => 'SQL_ASCII');
	stub_reset();
	my (%sent, @refused, @wrong);
	for my $byte (128 .. 255)
	{
		my $value = "chr($byte) || 'a' || chr($byte) || 'a' || chr($byte)";
		my $result = $other->query("SELECT count(*) FROM marche_travail.marche_travail_types_territoires WHERE code_type_territoire = $value");
		push @refused, $byte if defined $result->{sqlstate} || @{ $result->{notices} };
		$result = $other->query("SELECT set_config('apigouv_fdw.object', $value, false)");
		$result = $other->query($about);
		push @wrong, "object $byte" if !defined $result->{sqlstate} && $encoding eq 'SQL_ASCII';
	}
	for my $entry (grep { $_->{path} !~ /connexion/ } requests())
	{
		my ($text) = $entry->{api} eq 'entreprise' ? $entry->{query} =~ /object=([^&]*)/ : $entry->{target} =~ m{([^/]*)$};
		my $value = decoded($text);
		push @wrong, "not a value: " . shown($text) unless $encoding eq 'LATIN1' && $value =~ /^([\x80-\xff])a\1a\1$/;
		$sent{"$entry->{api} $value"}++;
	}
	is(scalar(keys %sent), $encoding eq 'LATIN1' ? 256 : 0, "$encoding: requests");
	cmp_ok(scalar(@refused), '==', 128, "$encoding: each is an error or a warning") if $encoding eq 'SQL_ASCII';
	is(join(', ', @wrong), '', "$encoding: nothing else was sent");
}

is(session($node)->value('SELECT 1'), 1, 'the server is well');
diag(sprintf 'all: %.1f s', time() - $began);
done_testing();
