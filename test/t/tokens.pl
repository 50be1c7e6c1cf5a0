# Tokens that are replaced while sessions go on, tokens in files of the server,
# and what of them gets out.  pg_regress cannot show it: it takes several
# sessions, files, a dump, a standby, and the requests received.  What tokens
# say, who sees it and when it is warned of: sql/tokens.sql.
use strict;
use utf8;
use warnings;

use ApigouvTest;
use Digest::SHA 'sha256';
use IO::Socket::UNIX;
use JSON::PP;
use MIME::Base64 'encode_base64url';
use POSIX ();
use PostgreSQL::Test::Utils;
use Socket 'SOCK_STREAM';
use Test::More;

my $node = new_cluster('tokens', <<'CONF');
log_statement = none
wal_level = replica
max_wal_senders = 3
CONF
my $super = session($node);
my $siret = $ApigouvTest::SIRET;

# Two tokens of data_inclusion: only the second lists the rows of soliguide.
my ($without, $with) = map { token($_) } qw(data_inclusion data_inclusion_dora);
my $soliguide = "SELECT count(*) > 0 FROM data_inclusion.structures WHERE source = 'soliguide'";
my $msa = "SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = '$siret'";

sub set_token
{
	my ($session, $server, $token) = @_;
	run_sql($session, "ALTER USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (SET token '$token')");
	return;
}

# A token with these claims; nobody checks its signature.
sub jwt
{
	my ($claims) = @_;
	my $text = join '.', map { encode_base64url($_) } '{"alg":"HS256"}', JSON::PP->new->canonical->encode($claims);
	return "$text." . encode_base64url(sha256($text));
}

# ===================================================================
# Another session has replaced the token: the next statement has the new one,
# also in a transaction that holds all its locks and with a generic plan
# ===================================================================
my $session = session($node);
run_sql($session, 'SET plan_cache_mode = force_generic_plan', "PREPARE soliguide AS $soliguide");
for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	set_token($super, 'data_inclusion', $without);
	run_sql($session, "BEGIN ISOLATION LEVEL $level");
	is($session->value('EXECUTE soliguide'), 'f', "$level: the first token") for 1 .. 2;
	set_token($super, 'data_inclusion', $with);
	asks($session, 'EXECUTE soliguide', 1, "t\n", "$level: the second, and no reply of the first serves");
	run_sql($session, 'SAVEPOINT s');
	set_token($super, 'data_inclusion', $without);
	asks($session, 'EXECUTE soliguide', 0, "f\n", "$level: the first again, with its reply of this transaction");
	run_sql($session, 'ROLLBACK TO s');
	$super->query('DROP USER MAPPING FOR CURRENT_USER SERVER data_inclusion');
	refuses($session, 'EXECUTE soliguide', { sqlstate => '42704', requests => 0 }, "$level: no mapping any more");
	run_sql($session, 'COMMIT');
	$super->query("CREATE USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (token '$with')");
	is($session->value('EXECUTE soliguide'), 't', "$level: a new mapping");
}

# Cursors that have read keep on with the token they began with.
my $sources = $soliguide =~ s/count\(\*\) > 0/source/r;
run_sql($session, 'BEGIN', "DECLARE c CURSOR FOR $sources", "DECLARE hold CURSOR WITH HOLD FOR $sources",
	"DECLARE unread CURSOR FOR $sources");
is($session->value("FETCH 1 FROM $_"), 'soliguide', "cursor $_") for qw(c hold);
set_token($super, 'data_inclusion', $without);
is($session->value($soliguide), 'f', 'its token is replaced');
is($session->value('FETCH 1 FROM c'), 'soliguide', 'it goes on');
is($session->value('FETCH 1 FROM unread'), '', 'one that had read nothing has the new token');
run_sql($session, 'COMMIT');
is($session->value('FETCH 1 FROM hold'), 'soliguide', 'so does one that is kept over COMMIT');
run_sql($session, 'CLOSE hold');

# What a failed transaction has fetched is its token's.
run_sql($session, 'BEGIN', $soliguide);
$session->query('SELECT 1 / 0');
run_sql($session, 'ROLLBACK');
set_token($super, 'data_inclusion', $with);
asks($session, $soliguide, 1, "t\n", 'what a failure left does not serve another token');

# A rotation that is rolled back has not been one.
run_sql($session, 'BEGIN');
set_token($session, 'data_inclusion', $without);
is($session->value($soliguide), 'f', 'the new token, before COMMIT');
run_sql($session, 'ROLLBACK');
is($session->value($soliguide), 't', 'the old one, after ROLLBACK');

# ===================================================================
# OAuth2: access tokens of other credentials are not used any more
# ===================================================================
my $tensions = "SELECT niveau FROM marche_travail.marche_travail_tensions WHERE code_type_territoire = 'REG'"
  . " AND code_territoire = '53' AND code_rome = 'D1102' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode";

# What a query asks: t = a token, a = the API.
sub asked
{
	my ($sql) = @_;
	my $before = () = requests(api => 'marche_travail');
	my $result = $session->query($sql);
	my @all = requests(api => 'marche_travail');
	return join '', ($result->{sqlstate} // ''),
	  map { $_->{path} =~ /access_token/ ? 't' : 'a' } @all[ $before .. $#all ];
}

sub set_client
{
	my ($id, $secret) = @_;
	run_sql($super, "ALTER USER MAPPING FOR CURRENT_USER SERVER marche_travail OPTIONS (SET client_id '$id', SET client_secret '$secret')");
	return;
}
my @client = map { token("marche_travail_$_") } qw(id secret);
my @other = map { token("marche_travail_autre_$_") } qw(id secret);
is(asked($tensions), 'ta', 'a token, then the API');
is(asked($tensions), 'a', 'the token is kept');
set_client(@other);
is(asked($tensions), 'ta', 'other credentials: another token');
set_client($client[0], 'perime');
is(asked($tensions), '28000t', 'another secret of the same client: its access token is not used');
set_client(@client);
is(asked($tensions), 'a', 'the credentials before: theirs is');
run_sql($session, 'BEGIN');
is(asked($tensions), 'a', 'in a transaction');
set_client(@other);
is(asked($tensions), 'a', 'its next statement has the other token, and its own reply');
run_sql($session, 'COMMIT');
set_client(@client);
is($session->value("SELECT concat_ws('|', kind, ends_at, days_left, scopes, error) FROM apigouv_tokens WHERE server = 'marche_travail'"),
	'oauth2', 'apigouv_tokens tells nothing of access tokens');

# Those that have ended are forgotten: a session whose credentials change often keeps its size.
my $secrets = 0;

sub bytes_after
{
	for (1 .. $_[0])
	{
		set_client($client[0], 'perime' . ++$secrets);
		is(asked($tensions), '28000t', "secret $secrets") if $secrets == 1;
		$session->query($tensions);
	}
	return $session->value(
		"SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'apigouv_fdw access tokens'");
}
my $bytes = bytes_after(9);
is(bytes_after(20), $bytes, 'credentials that are not used any more take no room');
set_client(@client);

# ===================================================================
# Scopes that the API told of one token are not believed of another
# ===================================================================
my $attestations = "SELECT count(*) FROM entreprise.entreprise_attestations WHERE siret = '$siret' AND type = 'attestation_fiscale'";

sub scopes_asked { return scalar(grep { $_->{path} =~ /privileges/ } requests(api => 'entreprise')); }

set_token($super, 'entreprise', token('entreprise_opaque'));
stub_reset();
run_sql($session, 'BEGIN', $attestations, $attestations, 'COMMIT', $attestations);
is(scopes_asked(), 1, 'scopes of an opaque token: asked once');
set_token($super, 'entreprise', token('entreprise_ancien'));
run_sql($session, $attestations, $attestations);
is(scopes_asked(), 2, 'of another one: once more');
set_token($super, 'entreprise', token('entreprise'));
run_sql($session, $attestations);
is(scopes_asked(), 2, 'of one that tells them: not at all');

# ===================================================================
# A token in a file: rotation is replacing the file
# ===================================================================
my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/token";

# Put bytes into the file as programs that rotate tokens do: whole, at once.
sub put
{
	my ($bytes, $mode) = @_;
	open(my $new, '>:raw', "$file.new") or die "$file.new: $!";
	print $new $bytes;
	close $new;
	chmod $mode // 0600, "$file.new";
	rename "$file.new", $file or die "$file: $!";
	return;
}

sub in_file
{
	my ($server) = @_;
	run_sql($super, "DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER $server",
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (token_file '$file')");
	return;
}

put("$without\n");
in_file('data_inclusion');
is($session->value('EXECUTE soliguide'), 'f', 'a token in a file');
put(" \t$with \r\n\n");
is($session->value('EXECUTE soliguide'), 't', 'another file: the next statement has its token; blanks around it are none of it');
run_sql($session, 'BEGIN');
is($session->value('EXECUTE soliguide'), 't', 'in a transaction');
run_sql($session, "DECLARE c CURSOR FOR $sources");
is($session->value('FETCH 1 FROM c'), 'soliguide', 'with a cursor');
put($without);
asks($session, 'EXECUTE soliguide', 1, "f\n", 'its next statement has the new token, and no reply of the old one');
is($session->value('FETCH 1 FROM c'), 'soliguide', 'the cursor goes on');
unlink $file;
refuses($session, 'EXECUTE soliguide', { sqlstate => '58P01', message => qr/^could not read token file "\Q$file\E"/, requests => 0 },
	'no file: no reply that is there serves');
run_sql($session, 'ROLLBACK');
put($with, 0400);
is($session->value('EXECUTE soliguide'), 't', 'back again');

# ===================================================================
# Files that cannot serve: an error at once that repeats nothing of them
# ===================================================================
my $long = 'x' x 4096;
$session->query("SELECT apigouv_clear_cache('data_inclusion')");
for my $case (
	[ 'a FIFO', sub { POSIX::mkfifo($file, 0600) }, 'F0000', 'it is not a regular file' ],
	[ 'a socket', sub { IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $file, Listen => 1) },
		'F0000', 'it is not a regular file' ],
	[ 'a directory', sub { mkdir $file, 0700 }, 'F0000', 'it is not a regular file' ],
	[ 'a link to a device', sub { symlink '/dev/zero', $file }, 'F0000', 'it is not a regular file' ],
	[ 'a link to itself', sub { symlink $file, $file }, undef, 'Too many levels of symbolic links' ],
	[ 'a file without rights', sub { put($with, 0000) }, '42501', 'Permission denied' ],
	[ 'one for the group', sub { put($with, 0640) }, 'F0000', 'it has group or world access' ],
	[ 'one for others', sub { put($with, 0604) }, 'F0000', 'it has group or world access' ],
	[ 'one that the group may write', sub { put($with, 0620) }, 'F0000', 'it has group or world access' ],
	[ 'an empty file', sub { put('') }, 'F0000', 'it is empty' ],
	[ 'blanks', sub { put(" \r\n\t\n") }, 'F0000', 'it is empty' ],
	[ 'two words', sub { put("SecretUn SecretDeux\n") }, 'F0000', 'it does not hold a token' ],
	[ 'two lines', sub { put("SecretUn\r\nX-Api-Key: SecretDeux\n") }, 'F0000', 'it does not hold a token' ],
	[ 'a zero byte', sub { put("SecretUn\0SecretDeux\n") }, 'F0000', 'it does not hold a token' ],
	[ 'zero bytes', sub { put("\0\0") }, 'F0000', 'it does not hold a token' ],
	[ 'other characters', sub { put("SecretUn\xc3\xa9") }, 'F0000', 'it does not hold a token' ],
	[ 'a byte more than a token has', sub { put("${long}x\n") }, 'F0000', 'it does not hold a token' ],
	[ 'a large file', sub { put($long x 1000) }, 'F0000', 'it is too large to hold a token' ])
{
	my ($name, $make, $sqlstate, $problem) = @$case;
	unlink $file;
	my $kept = $make->();
	my %want = (
		message => "could not read token file \"$file\": $problem",
		detail => qr/^The user mapping of role "\w+" on foreign server "data_inclusion" names it\.  No request was made\.$/,
		hint => qr/^It must hold the token alone/,
		requests => 0);
	$want{sqlstate} = $sqlstate if defined $sqlstate;
	my $result = refuses($session, $soliguide, \%want, $name);
	unlike($result->{err}, qr/Secret|xxxx|\Q$with\E/, "$name: nothing of it is told");
	cmp_ok($result->{ms}, '<', 10_000, "$name: at once");
	is($session->value("SELECT error FROM apigouv_tokens WHERE server = 'data_inclusion'"),
		"could not read the token file: $problem", "$name: apigouv_tokens tells as much, and not the name");
	is($session->value("SELECT apigouv_clear_cache('data_inclusion')"), '0', "$name: nothing to clear, and no error");
	rmdir $file if -d $file && !-l $file;
}
unlink $file;
put("$long\n");
is($session->query($soliguide)->{sqlstate}, '28000', 'the longest token is sent, and the API refuses it');
like($session->value("EXPLAIN $soliguide"), qr/Foreign Scan|Aggregate/, 'a plan needs no token');
symlink $file, "$dir/link";
put($with);
run_sql($super, "ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (SET token_file '$dir/link')");
is($session->value($soliguide), 't', 'a link to a file');
run_sql($super, "ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (SET token_file '$file')");

# ===================================================================
# The same token in a file and in an option: one quota, one cache
# ===================================================================
run_sql($super, 'CREATE ROLE agent LOGIN', 'GRANT USAGE ON SCHEMA entreprise, data_inclusion TO agent',
	'GRANT SELECT ON ALL TABLES IN SCHEMA entreprise, data_inclusion TO agent',
	"CREATE USER MAPPING FOR agent SERVER data_inclusion OPTIONS (token '$with')",
	"ALTER SERVER data_inclusion OPTIONS (ADD cache_ttl_s '3600')");
my $agent = session($node, user => 'agent');
asks($session, $soliguide, 1, "t\n", 'cache_ttl_s: asked with the token of the file');
asks($agent, $soliguide, 0, "t\n", 'serves the same token of an option');
run_sql($super, 'DROP USER MAPPING FOR agent SERVER data_inclusion');
asks($session, $soliguide, 1, "t\n", 'dropping that mapping has cleared it');
put($without);
asks($session, $soliguide, 1, "f\n", 'another token in the file: what is kept does not serve it');
put($with);
asks($session, $soliguide, 0, "t\n", 'but the first again, for its time');
is($session->value("SELECT apigouv_clear_cache('data_inclusion')"), '1', 'clearing finds what the token of the file has brought');
asks($session, $soliguide, 1, "t\n", 'it is asked anew');
run_sql($super, 'ALTER SERVER data_inclusion OPTIONS (DROP cache_ttl_s)');

put(token('entreprise_autre'));
in_file('entreprise');
run_sql($super, "CREATE USER MAPPING FOR agent SERVER entreprise OPTIONS (token '" . token('entreprise_autre') . "')");

# Counters of requests, by token or authorisation, and what all of them count.
sub counted_by_token
{
	return split /\|/, $super->value("SELECT count(*), sum(used) FROM apigouv_quota WHERE api = 'entreprise' AND counted_by <> 'ip'");
}
$session->query($msa);
my ($counters, $used) = counted_by_token();
asks($agent, $msa, 1, "up_to_date\n", 'the same token of an option: a request');
is(join(' ', counted_by_token()), join(' ', $counters, $used + 1), 'is counted by the same counter');

# ===================================================================
# Its end: known, refused and warned of as ever; the hint names the file
# ===================================================================
put(jwt({ exp => 1704067200, scopes => ['open_data'] }));
refuses($session, $msa, {
	sqlstate => '28000', message => qr/^token of role "\w+" on foreign server "entreprise" has ended$/,
	detail => qr/^It ended at 2024-01-01/, hint => "Ask for a new token, and put it into file \"$file\".", requests => 0 },
	'a token of a file that has ended');
is( $session->value("SELECT concat_ws('|', kind, in_file, ends_at AT TIME ZONE 'UTC', days_left < 0, scopes, error) FROM apigouv_tokens WHERE server = 'entreprise' AND user_name = current_user"),
	'jwt|t|2024-01-01 00:00:00|t|{open_data}|token has ended', 'its row');
my $soon = jwt({ exp => time() + 29 * 86400, scopes => [] });
my $later = jwt({ exp => time() + 31 * 86400, scopes => [] });
give_entreprise(200, { data => { status => 'up_to_date' }, links => {}, meta => {} });
put($soon);
for my $of (map { session($node) } 1 .. 2)
{
	my @warned = map { scalar @{ $of->query($msa)->{notices} } } 1 .. 3;
	is("@warned", '1 0 0', 'a token that ends in 29 days: each session is warned once');
}
my $fresh = session($node);
my $result = $fresh->query($msa);
like($result->{err}, qr/^WARNING:  01000: token of role "\w+" on foreign server "entreprise" ends soon\nDETAIL:  It ends at \d{4}-.*\nHINT:  Ask for a new token, and put it into file "\Q$file\E"\./,
	'the warning');
put($later);
is(scalar @{ $fresh->query($msa)->{notices} }, 0, 'none for one that ends in 31 days');
put(jwt({ exp => time() + 3600, scopes => [] }));
is(scalar @{ $fresh->query($msa)->{notices} }, 1, 'again for another one that ends soon');
is(scalar @{ session($node)->query($tensions)->{notices} }, 0, 'none for an access token, which ends in minutes');
faults();

# ===================================================================
# A dump holds the name of the file; what it says is in the mapping only
# ===================================================================
put(token('entreprise_autre'));
run_sql($super, 'DROP USER MAPPING FOR agent SERVER entreprise');
my ($dump, $errors) = run_command([ $node->installed_command('pg_dump'), '-d', $node->connstr('postgres') ]);
is($errors, '', 'pg_dump works');
like($dump, qr/CREATE USER MAPPING FOR \S+ SERVER entreprise OPTIONS \(\s*token_file '\Q$file\E'\s*\)/,
	'a dump has the name of the file');
unlike($dump, qr/\Q@{[ token('entreprise_autre') ]}\E/, 'and not the token');
run_sql($super, 'GRANT USAGE ON FOREIGN SERVER entreprise TO agent',
	"CREATE USER MAPPING FOR agent SERVER entreprise OPTIONS (token_file '$file')");
is($agent->value('SELECT umoptions FROM pg_user_mappings WHERE usename = current_user'), "{token_file=$file}",
	'its user sees the name, with USAGE');
is($agent->value($msa), 'up_to_date', 'and asks with the token');
my $message = $agent->query("ALTER USER MAPPING FOR agent SERVER entreprise OPTIONS (SET token_file '$dir/link')");
is($message->{sqlstate}, '42501', 'but cannot name another file');
unlink $file;
run_sql($super, 'DROP USER MAPPING FOR agent SERVER entreprise');
is($super->value('SELECT count(*) FROM apigouv_tokens WHERE user_name = \'agent\''), '0', 'a mapping whose file is gone can be dropped');

# ===================================================================
# A definition that cannot be read hides no other row
# ===================================================================
put($with);
my $definitions = own_definitions($node);
open(my $broken, '>', "$definitions/marche_inclusion.json") or die $!;
print $broken '{';
close $broken;
unlink "$definitions/marche_travail.json";
my $reader = session($node);
is( $reader->value("SELECT string_agg(concat_ws(' ', server, api, kind, (error LIKE 'invalid API definition%marche_inclusion.json%')::text), ', ' ORDER BY server) FROM apigouv_tokens WHERE server <> 'marche_travail'"),
	'data_inclusion data_inclusion jwt, entreprise entreprise jwt, marche_inclusion marche_inclusion true, particulier particulier jwt',
	'broken: its error');
is($reader->value("SELECT concat_ws('|', api, kind, error) FROM apigouv_tokens WHERE server = 'marche_travail'"),
	'marche_travail|there is no such API definition', 'missing: its error');
$node->append_conf('postgresql.conf', "apigouv_fdw.definition_dir = ''\n");
$node->reload;

# ===================================================================
# A standby reads mappings and files as well
# ===================================================================
put($with);
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('tokens_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $on_standby = session($standby);
is($on_standby->value('SELECT pg_is_in_recovery()'), 't', 'a standby');
is($on_standby->value("SELECT string_agg(server || ' ' || kind, ', ' ORDER BY server) FROM apigouv_tokens"),
	$super->value("SELECT string_agg(server || ' ' || kind, ', ' ORDER BY server) FROM apigouv_tokens"),
	'has the same rows');
is($on_standby->value($soliguide), 't', 'and asks with the token of the file');
$standby->stop;

# ===================================================================
# A server can go whose file is gone; the log holds no token
# ===================================================================
unlink $file;
run_sql($super, 'SET client_min_messages = error', 'DROP SERVER data_inclusion CASCADE', 'DROP SERVER entreprise CASCADE');
is($super->value("SELECT count(*) FROM pg_foreign_server WHERE srvname IN ('data_inclusion', 'entreprise')"), '0',
	'DROP SERVER');
my $log = slurp_bytes($node->logfile);
like($log, qr/ends soon/, 'the log has the warnings');
is(join(' ', grep { index($log, $_) >= 0 } split(/\./, "$soon.$later.$with.$without"), 'SecretUn', 'SecretDeux', 'xxxx'),
	'', 'and no part of a token');

done_testing();
