# Lists that come in one long reply, and what must be known before the first row
# of a reply that is still on its way.  pg_regress cannot show it: replies stop
# half way, or move while a row is made.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Test::More;
use Time::HiRes ();

my $node = new_cluster('long_replies');
my $dir = own_definitions($node);
my $token = token('data_inclusion');
my $url = stub_url() . '/data_inclusion/api/v1';

# A table of API "tout" whose reply is a list, with these members of its route.
sub definition
{
	my ($name, $route) = @_;
	open(my $file, '>', "$dir/tout/$name.json") or die "$name: $!";
	print $file qq({"table": "$name", "comment": "Lignes", "rows": 100, "columns": [{"name": "id", "type": "text", "path": "id"},)
	  . qq( {"name": "nom", "type": "text", "path": "nom"}],)
	  . qq( "routes": [{"name": "liste", "path": "/structures", "rows": "items[]", $route}]});
	close $file;
	return;
}

mkdir "$dir/tout";
definition('liste', '"exact": false');
definition('reglee', '"replies": [{"status": 200, "message_has": "en panne", "is": "unavailable"}],'
	  . ' "total": "total", "paging": {"style": "page", "size": "size", "page": "page", "default_size": 100,'
	  . ' "max_size": 100, "stable": true, "unique": "id"}');
open(my $file, '>', "$dir/tout.json") or die "tout: $!";
print $file '{"api": "tout", "title": "Lists in one reply", "base_url": "https://tout.invalid",'
  . ' "auth": {"scheme": "bearer"}, "tables": ["liste", "reglee"]}';
close $file;

my $session = session($node);
for my $api ('tout', 'pages')
{
	run_sql($session,
		"CREATE SERVER $api FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '$api', base_url '$url')",
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $api OPTIONS (token '$token')",
		"CREATE SCHEMA $api", "IMPORT FOREIGN SCHEMA $api FROM SERVER $api INTO $api");
}
run_sql($session, 'SET apigouv_fdw.keep_after_error_s = 0');

# A reply of so many rows, each of so many bytes.
sub reply
{
	my ($n, $bytes, $end) = @_;
	my @rows = map { sprintf '{"id":"row-%d","nom":"%s"}', $_, 'x' x $bytes } 1 .. $n;
	return '{"items":[' . join(',', @rows) . '],"total":' . $n . ($end // '') . '}';
}

sub temporary_bytes
{
	my $bytes = 0;
	$bytes += (-s $_) // 0 for glob($node->data_dir . '/base/pgsql_tmp/*');
	return $bytes;
}

# ===================================================================
# A long list in one reply
# ===================================================================
my $sums = 'SELECT count(*), count(DISTINCT id), sum(length(nom)) FROM tout.liste';
faults({ times => -1, status => 200, body => reply(100, 150_000) });
asks($session, $sums, 1, "100|100|15000000\n", 'a list of 15 MB in one reply: its rows');

stub_reset();
faults({ times => -1, status => 200, body => reply(100, 150_000), action => 'stall_body' });
is($session->value('SELECT id FROM tout.liste LIMIT 1 OFFSET 2'), 'row-3',
	'a row is given while the end of its list does not come');

stub_reset();
faults({ times => 1, status => 200, body => reply(100, 150_000), action => 'stall_body' });
run_sql($session, 'BEGIN', 'DECLARE c CURSOR FOR SELECT id FROM tout.liste');
is($session->value('FETCH c'), 'row-1', 'a row of another such list');
stub_reset();    # which drops what stalls
refuses($session, 'FETCH ALL FROM c', { sqlstate => '08006', requests => 0 }, 'lost on its way, after rows: an error');
run_sql($session, 'ROLLBACK');

stub_reset();
faults({ times => 1, status => 200, body => reply(100, 2_000), action => 'cut' },
	{ times => -1, status => 200, body => reply(100, 2_000) });
asks($session, $sums, 2, "100|100|200000\n", 'a short one that is lost is asked again');

# ===================================================================
# A rule about what a 200 says is heard before the first row
# ===================================================================
my $broken = { times => -1, status => 200, body => reply(100, 150_000, ',"message":"en panne"') };
for my $limit ('', ' LIMIT 1')
{
	stub_reset();
	faults($broken);
	refuses($session, "SELECT id FROM tout.reglee$limit", { message => qr/is unavailable$/ },
		"a reply that is no answer, says its end$limit");
}
stub_reset();
faults({ times => -1, status => 200, body => reply(100, 150_000) });
is($session->value('SELECT count(*), sum(length(nom)) FROM tout.reglee'), '100|15000000', 'and without those words, rows');

# ===================================================================
# The end of a list comes when what was read of it has left memory
# ===================================================================
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";

sub write_all
{
	my ($client, $bytes) = @_;
	my $at = 0;
	while ($at < length $bytes)
	{
		$at += syswrite($client, $bytes, length($bytes) - $at, $at) // last;
	}
	return;
}

my $rows = reply(100, 150_000);
my $waits_url = raw_server(liste => sub {
	my ($client) = @_;
	write_all($client, $head . substr($rows, 0, 9_000_000));
	for (1 .. 6_000)
	{
		last if temporary_bytes() > 4 * 1024 * 1024;
		Time::HiRes::usleep(10_000);
	}
	write_all($client, substr($rows, 9_000_000)) if temporary_bytes() > 0;
});
run_sql($session, "ALTER SERVER tout OPTIONS (SET base_url '$waits_url/liste')", 'BEGIN');
is($session->value($sums), '100|100|15000000', 'rows of one long reply leave memory while it is read');
is($session->value($sums), '100|100|15000000', 'and come back');
run_sql($session, 'COMMIT');

# ===================================================================
# A row whose making runs a query
#
# The check of a domain asks another API.  Meanwhile the rest of the list comes,
# and the reply moves to another place in memory.
# ===================================================================
my $sent = $node->basedir . '/sent';
$rows = reply(100, 50_000);
my $list_url = raw_server(liste => sub {
	my ($client) = @_;
	write_all($client, $head . substr($rows, 0, 300_000));
	Time::HiRes::usleep(200_000);    # the first row is made, if it is made now
	write_all($client, substr($rows, 300_000));
	open(my $flag, '>', $sent) or die "$sent: $!";
});
my $other_url = raw_server(liste => sub {
	my ($client) = @_;
	Time::HiRes::usleep(10_000) until -e $sent;
	write_all($client, "$head\{\"items\":[],\"total\":0}");
});
run_sql($session,
	"ALTER SERVER pages OPTIONS (SET base_url '$list_url/liste')",
	"CREATE SERVER other FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'pages', base_url '$other_url/liste')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (token '$token')",
	"CREATE FOREIGN TABLE other (id text) SERVER other OPTIONS (\"table\" 'structures')",
	'CREATE FUNCTION is_new(text) RETURNS bool LANGUAGE sql AS $$ SELECT NOT EXISTS (SELECT FROM other WHERE id = $1) $$',
	'CREATE DOMAIN new_id AS text CHECK (is_new(VALUE))',
	"CREATE FOREIGN TABLE checked (id new_id, nom text) SERVER pages OPTIONS (\"table\" 'structures')");
is($session->value("SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE nom = repeat('x', 50000)) FROM checked"),
	'100|100|100', 'the check of a domain asks an API while the list comes: all rows are right');
stop_raw_servers();
stub_reset();

done_testing();
