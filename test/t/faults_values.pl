# Bytes that a JSON reply should not hold, or that no column can: which error
# and which column it names, and that fields which nobody reads do no harm.
# pg_regress cannot show it: the replies are raw bytes given by a server that
# the test starts.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('faults_values');
my $session = session($node);
my $base_url = stub_url() . '/marche_inclusion/api';

# A row of this API with some members replaced, as bytes.
sub row
{
	my (%with) = @_;
	my %members = (
		id => '1001', name => '"Ateliers"', siret => '"00000301200010"',
		slug => '"ateliers"', kind => '"EI"', is_active => 'true',
		sectors => '[]', networks => '[]', presta_types => '["DISP"]',
		created_at => '"2021-06-01T10:15:30+02:00"', updated_at => 'null',
		%with);
	return '{' . join(',', map { qq("$_":$members{$_}) } sort keys %members) . '}';
}

sub reply
{
	my ($body, %with) = @_;
	my $length = $with{length} // length $body;
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	  . "Content-Length: $length\r\nConnection: close\r\n\r\n$body";
}

my $deep = '[' x 200000 . ']' x 200000;
my $deep_objects = '{"a":' x 200000 . '1' . '}' x 200000;
my %replies = (
	utf8 => reply('[' . row(brand => "\"\xff\xfe\"", name => "\"caf\xc3\"") . ']'),
	overlong => reply('[' . row(name => "\"\xc0\xaf\"") . ']'),
	surrogate => reply('[' . row(name => '"a\\ud800b"') . ']'),
	zero => reply('[' . row(brand => '"a\\u0000b"', name => '"a\\u0000b"') . ']'),
	unread => reply('[' . row(
			brand => "\"\xff\"", logo_url => '"\\u0000"', address => '"\\ud800"',
			city => '1' x 5000, offers => '[' x 400 . ']' x 400) . ']'),
	deep => reply('[' . row(sectors => $deep) . ']'),
	deep_objects => reply('[' . row(sectors => $deep_objects) . ']'),
	bigint => reply('[' . row(id => '92233720368547758070') . ']'),
	huge => reply('[' . row(id => '1e400') . ']'),
	fraction => reply('[' . row(id => '1001.5') . ']'),
	not_boolean => reply('[' . row(is_active => '"oui et non"') . ']'),
	not_time => reply('[' . row(created_at => '"[ND]"') . ']'),
	object_for_text => reply('[' . row(name => '{"a":[1,null]}') . ']'),
	nul_in_text => reply('[' . row(name => "\"a\0b\"") . ']'),
	nul_between => reply("[\0" . row() . ']'),
	control => reply('[' . row(name => "\"a\nb\"") . ']'),
	truncated => reply('[' . substr(row(), 0, -30)),
	short => reply('[' . row() . ']', length => 100000),
	duplicate => reply('[' . row(name => '"un","name":"deux"') . ']'),
	escapes => reply('[' . row(name => '"\\u00e9\\t\\ud83d\\ude00\\/\\""') . ']'),
	long => reply('[' . row(name => '"' . 'x' x 5_000_000 . '"') . ']'),
	headers => "HTTP/1.1 200 OK\r\n" . "X-Long: " . 'x' x 400_000 . "\r\n\r\n[]",
	status => "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
	not_http => "SSH-2.0-OpenSSH_9.2\r\n",
	nothing => "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]",
	bom => reply("\xef\xbb\xbf[" . row() . ']'));
my $raw_url = raw_server(%replies);

$session->query("ALTER SERVER marche_inclusion OPTIONS (ADD retries '0')");

# Ask for columns of one reply.
sub select_from
{
	my ($reply, $columns) = @_;
	$session->query("ALTER SERVER marche_inclusion"
		. " OPTIONS (SET base_url '$raw_url/$reply')");
	return "SELECT $columns FROM marche_inclusion.structures WHERE siren = '000003012'";
}

sub goes_on
{
	my ($name) = @_;
	$session->query("ALTER SERVER marche_inclusion"
		. " OPTIONS (SET base_url '$base_url')");
	still_works($session, "$name: the session goes on");
	return;
}

# ===================================================================
# A value that its column cannot hold: the error names column and path
# ===================================================================
sub in_column
{
	my ($column) = @_;
	return qr/column "$column" of foreign table "structures", JSON path "$column"/;
}

for my $case (
	[ 'utf8', 'name', 'HV00M', 'a sequence cut short of UTF-8' ],
	[ 'overlong', 'name', 'HV00M', 'an overlong sequence' ],
	[ 'zero', 'name', '22P05', 'a \\u0000' ],
	[ 'bigint', 'id', '22003', 'a number past bigint' ],
	[ 'huge', 'id', '22003', 'a number past anything' ],
	[ 'fraction', 'id', '22P02', 'a fraction for an integer' ],
	[ 'not_boolean', 'is_active', '22P02', 'a text for a boolean' ],
	[ 'not_time', 'created_at', '22007', 'a text for a time' ])
{
	my ($reply, $column, $sqlstate, $name) = @$case;
	refuses($session, select_from($reply, $column),
		{ sqlstate => $sqlstate, context => in_column($column) }, $name);
	goes_on($name);
}

for my $reply ('surrogate')
{
	my $result = $session->query(select_from($reply, 'name'));
	ok(defined $result->{sqlstate} && $result->{context} =~ in_column('name'),
		'half a surrogate pair: an error that names the column')
	  or diag($result->{err} . $result->{out});
	goes_on('half a surrogate pair');
}

# ===================================================================
# The same in fields that nobody reads
# ===================================================================
is($session->value(select_from('unread', 'id, name')), '1001|Ateliers',
	'fields that are not read do no harm');
is($session->value(select_from('zero', 'id')), '1001', '\\u0000, not read');
is($session->value(select_from('utf8', 'id')), '1001', 'invalid UTF-8, not read');
goes_on('fields that are not read');

# 200,000 levels are past any limit, read or not
for my $reply (qw(deep deep_objects))
{
	for my $columns ('id', 'sectors', 'reponse')
	{
		refuses($session, select_from($reply, $columns),
			{ sqlstate => 'HV00M' }, "$reply, of which $columns is read");
	}
	goes_on($reply);
}

# ===================================================================
# Bytes that are no JSON, or no HTTP
# ===================================================================
for my $case (
	[ 'nul_between', 'a NUL byte between values' ],
	[ 'nul_in_text', 'a NUL byte in a text' ],
	[ 'control', 'a line feed in a text' ],
	[ 'bom', 'a byte order mark' ],
	[ 'truncated', 'JSON cut short, of the length said' ])
{
	my ($reply, $name) = @$case;
	refuses($session, select_from($reply, 'name'), { sqlstate => 'HV00M' }, $name);
	goes_on($name);
}

for my $case (
	[ 'short', '08006', 'less than Content-Length' ],
	[ 'not_http', qr/^(?:08006|HV00N)$/, 'a server of another protocol' ],
	[ 'nothing', qr/^(?:08006|HV00N|HV00M)$/, 'a negative Content-Length' ],
	[ 'status', 'HV00M', 'a status that does not exist' ],
	[ 'headers', qr/^(?:08006|HV00N|HV00M|5[34]\d00)$/, 'a header of 400,000 bytes' ])
{
	my ($reply, $sqlstate, $name) = @$case;
	refuses($session, select_from($reply, 'name'), { sqlstate => $sqlstate }, $name);
	goes_on($name);
}

# ===================================================================
# Odd but right
# ===================================================================
is($session->value(select_from('escapes', 'name')), "é\t\x{1F600}/\"",
	'escapes, with a surrogate pair');
is($session->value(select_from('long', 'length(name)')), '5000000', 'a long text');
is($session->value(select_from('object_for_text', 'name')), '{"a":[1,null]}',
	'an object where a text was expected comes out as its JSON');
like($session->value(select_from('duplicate', 'name')), qr/^(?:un|deux)$/,
	'a member given twice: one of its values');
is($session->value(select_from('bigint', "reponse->>'id'")),
	'92233720368547758070', 'reponse keeps a number past bigint');

goes_on('all these');
done_testing();
