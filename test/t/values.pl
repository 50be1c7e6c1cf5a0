# Values that are read straight from the reply's bytes, against the input
# function of their type: on every edge both give the same value, or refuse.
# pg_regress cannot show it: the replies are ordered value by value.
#
# A domain's values always go through the input function, so it is the oracle;
# of times a text that the query casts, of an array of texts the row as it was
# sent.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;

my $node = new_cluster('values');
my $session = session($node);

my @numbers = (
	qw(0 -0 7 -7 32767 32768 -32768 -32769 2147483647 2147483648 -2147483648
	  -2147483649 999999999999999999 1000000000000000000 -999999999999999999
	  9223372036854775807 9223372036854775808 -9223372036854775808
	  -9223372036854775809 1e400 1.5 -0.0 1e-400));
my @number_texts = map { qq("$_") } @numbers,
  ('', ' ', '-', '--1', '+7', '007', '-007', ' 7', '7 ', '7a', '0x10', '1_000',
	'١', 'NaN', 'Infinity', '000000000000000000000000000001', '\u0037', "7\\u0000");
my @dates = map { qq("$_") } (
	'2026-01-31', '2026-02-29', '2024-02-29', '1900-02-29', '2000-02-29',
	'0000-01-01', '0001-01-01', '9999-12-31', '2026-13-01', '2026-00-01',
	'2026-01-00', '2026-1-1', '20260131', '2026/01/31', '31/01/2026', ' 2026-01-31',
	'2026-01-31 ', '2026-01-3', '2026-01-311', '-infinity', 'infinity', 'epoch', 'today',
	'2026-01-31 BC', '2026-01-31T', '2026-01-31T10:00:00', '2026-01-31 10:00:00+02',
	'294277-01-01', '', '2026-01-3\u0031', '٢026-01-31', '2026-01-31\u0000');
my @times = (
	@dates,
	map { qq("$_") } map { "2026-01-31$_" } (
		'T10:15:30Z', 'T10:15:30z', ' 10:15:30Z', 't10:15:30+02:00', 'T10:15:30+0200',
		'T10:15:30+02', 'T10:15:30-11:30', 'T10:15:30+15:59', 'T10:15:30+16:00',
		'T10:15:30+02:60', 'T10:15:30.1Z', 'T10:15:30.123456Z', 'T10:15:30.1234564Z',
		'T10:15:30.1234565Z', 'T10:15:30.9999999Z', 'T10:15:30.Z', 'T10:15Z', 'T10Z',
		'T24:00:00Z', 'T24:00:01Z', 'T23:59:60Z', 'T23:59:61Z', 'T25:00:00Z', 'T10:60:00Z',
		'T10:15:30', 'T10:15:30 +02:00', 'T10:15:30 Europe/Paris', 'T10:15:30+2',
		'T10:15:30.000000000000000000000000000Z', 'T10:15:30Zx', 'T10:15:30+02:00:30'));
push @times, map { qq("$_") } ('2026-03-29T02:30:00', '2026-10-25T02:30:00', '1911-03-10T23:59:00');
my @texts = map { qq("$_") } ('', 'a', 'été', 'x' x 20000, 'a\\"b\\\\c\\/\\b\\f\\n\\r\\t',
	'\u00e9\uD83D\uDE00', "a\x{10FFFF}\x{FFFF}\x{800}", ' a ', '\ud800', 'a\u0000b');
my @lists = ('[]', '[ ]', '["a"]', '["a"," ",null,"é\n"]', '[1,-0.5e3,true,null,{"a":[]},["b"]]',
	'["\u00e9\"\\\\","NULL","{}"]', '[' . join(',', map { qq("$_") } 1 .. 100) . ']',
	'["a\u0000"]', '["\ud800"]');
my @objects = ('{}', '{"a":1,"a":2}', '{"b":1,"aa":2,"a":{"c":[1,{"d":null}]}}',
	'{"\u0061":1,"a":2,"\"":"\\\\"}', '{"":[],"é":"\u00e9"}', '{"a":1e3,"b":-0,"c":0.10,"d":1e400}',
	'{"a":1e200000}', '{"a\u0000":1}', '[' x 4 . ']' x 4, '[' x 5 . ']' x 5, '[' x 6 . '{"a":1}' . ']' x 6,
	'{"a":"' . 'x' x 1100000 . '"}', '{"' . 'k' x 300 . '":' . '9' x 300 . '}', '[1,"1",true,false,null,{"z":0,"y":1}]');

# Type to values, and whether ours may refuse or accept what the type does not:
# dates and times are ISO 8601 alone, and 3.0 is an integer (reference.md).
my %cases = (
	smallint => [ @numbers, @number_texts ], integer => [ @numbers, @number_texts ],
	bigint => [ @numbers, @number_texts ], numeric => [ @numbers, @number_texts ],
	date => \@dates, 'timestamp with time zone' => \@times, 'timestamp(2) with time zone' => \@times,
	boolean => [ qw(true false), map { qq("$_") } qw(t f yes no 1 0 oui) ],
	text => [ @texts, 'true', '1.50', @lists[ 0 .. 4 ] ],
	'character varying' => [ @texts, '1.50', @lists[ 0 .. 4 ] ],
	'varchar(3)' => \@texts, 'char(3)' => \@texts,
	jsonb => [ @lists, @objects ]);

$session->query("SET TimeZone = 'Europe/Paris'; SET client_min_messages = error; SET apigouv_fdw.keep_after_error_s = 0");

# What a column of that type makes of the value: its text, or the error's code.
sub outcome
{
	my ($table, $expression) = @_;
	my $result = $session->query("SELECT '=' || coalesce(($expression)::text, 'null') FROM $table WHERE id = 1001");
	return $result->{sqlstate} // $result->{out};
}

sub order
{
	my ($value) = @_;
	stub_reset();
	faults({ times => -1, status => 200, body => qq({"id":1001,"slug":$value}) });
	return;
}

my $n = 0;
for my $type (sort keys %cases)
{
	$n++;
	my $is_time = $type =~ /^timestamp/;
	run_sql($session, "CREATE DOMAIN d$n AS @{[$is_time ? 'text' : $type]}",
		map { "CREATE FOREIGN TABLE $_->[0]$n (id int, v $_->[1] OPTIONS (\"column\" 'slug'))"
			  . " SERVER marche_inclusion OPTIONS (\"table\" 'structures')" } [ direct => $type ], [ oracle => "d$n" ]);
	my ($same, $both) = (0, 0);
	for my $value (@{ $cases{$type} })
	{
		order($value);
		my ($ours, $theirs) = (outcome("direct$n", 'v'), outcome("oracle$n", $is_time ? "v::$type" : 'v'));
		my $shown = length $value > 60 ? substr($value, 0, 60) . '...' : $value;
		my $iso_only = $type =~ /^(date|timestamp)/ && $ours !~ /^=/ && $theirs =~ /^=/;
		my $whole = $type =~ /int/ && $ours =~ /^=/ && $theirs !~ /^=/ && $value =~ /[.e]/;
		my $refused = $ours !~ /^=/ && $theirs !~ /^=/;
		$both += $ours =~ /^=/ && $theirs =~ /^=/;
		$same++, next if $ours eq $theirs || $iso_only || $whole || $refused;
		fail("$type of $shown: $ours, and its input function $theirs");
	}
	is($same, scalar @{ $cases{$type} }, "$type: as its input function, $both values");
	cmp_ok($both, '>=', 3, "$type: some are read");
}

run_sql($session,
	"CREATE FOREIGN TABLE lists (id int, t text[] OPTIONS (\"column\" 'slug'), v varchar[] OPTIONS (\"column\" 'slug'), reponse jsonb)"
	  . " SERVER marche_inclusion OPTIONS (\"table\" 'structures')");
for my $value (@lists)
{
	order($value);
	my $sent = outcome('lists', "ARRAY(SELECT jsonb_array_elements_text(reponse -> 'slug'))");
	$value = substr($value, 0, 40);
	# jsonb writes numbers and containers its own way
	$sent =~ s/-500/-0.5e3/ if $value =~ /e3/;
	$sent =~ s/\{\\"a\\": \[\]\}/{\\"a\\":[]}/;
	for my $column ('t', 'v')
	{
		my $ours = outcome('lists', $column);
		is($ours =~ /^=/ ? $ours : 'refused', $sent =~ /^=/ ? $sent : 'refused', "$value as a list of texts ($column)");
	}
}

# ===================================================================
# A time without offset is of Paris in every session, and for every type
# ===================================================================
run_sql($session, 'CREATE DOMAIN moment AS timestamptz', "SET DateStyle = 'SQL, MDY'",
	'CREATE FOREIGN TABLE moments (id int, t timestamptz OPTIONS ("column" \'slug\'), m moment OPTIONS ("column" \'slug\'))'
	  . ' SERVER marche_inclusion OPTIONS ("table" \'structures\')',
	'CREATE FOREIGN TABLE lists_of (id int, t timestamptz[] OPTIONS ("column" \'slug\'), m moment[] OPTIONS ("column" \'slug\'))'
	  . ' SERVER marche_inclusion OPTIONS ("table" \'structures\')');
my @moments = ('2026-07-01T12:00:00', '2026-01-31', '2026-07-01 12:00:00.25+0530');
my @seconds = (1782900000, 1769814000, 1782887400.25);
for my $zone ('UTC', 'America/New_York', 'Asia/Kolkata')
{
	run_sql($session, "SET TimeZone = '$zone'");
	for my $i (0 .. 2)
	{
		order(qq("$moments[$i]"));
		for my $column ('t', 'm')
		{
			is(outcome('moments', "extract(epoch FROM $column)::float8"), "=$seconds[$i]\n", "$moments[$i] in $zone ($column)");
		}
	}
	order('["' . join('","', @moments) . '"]');
	for my $column ('t', 'm')
	{
		is(outcome('lists_of', "ARRAY(SELECT extract(epoch FROM x)::float8 FROM unnest($column) x)"),
			'={' . join(',', @seconds) . "}\n", "a list of them in $zone ($column)");
	}
}

done_testing();
