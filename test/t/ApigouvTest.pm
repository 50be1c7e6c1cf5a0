# What the TAP tests share: the local API server and its controls, a cluster
# with the foreign servers, mappings and tables of every API, and sessions
# whose errors, times and processes can be looked at.
#
# Every wait is for an event (a request that has arrived, a query that has
# ended) and gives up after $ApigouvTest::PATIENCE seconds.
package ApigouvTest;

use strict;
use utf8;
use warnings;

use ApigouvFiles;
use Exporter 'import';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  stub_url stub_reset stub_latency stub_options faults replay requests
  in_flight most_at_once measured wait_for_requests wait_until_idle token all_secrets
  new_cluster create_apis log_all_but_parameters session refuses counted asks run_sql still_works raw_server
  raw_requests stop_raw_servers forked helper_process free_port root shared_dir samples_dir json_text slurp_bytes envelope
  descriptors resident_bytes keeps_its_size own_definitions sanitized time_to_end
  give_entreprise entreprise_detail
);

# Names of tests hold accents.  The handles are those that
# PostgreSQL::Test::Utils has put there, each standing for several.
INIT
{
	my $builder = Test::More->builder;
	for my $handle ($builder->output, $builder->failure_output,
		$builder->todo_output)
	{
		my $tied = tied *$handle;
		binmode $_, ':utf8' for $tied ? @$tied : $handle;
	}
}

our $PATIENCE = 60;

# A SIRET that every API knows, and a query that spends one request on it.
our ($SIRET, $SIREN) = ($ApigouvFiles::SIRET, $ApigouvFiles::SIREN);
our $GOOD_QUERY =
  "SELECT count(*) FROM marche_inclusion.structures WHERE siret = '$SIRET'";

# The end of a DETAIL, when the local API server gave the request its number.
our $REQUEST_ID = qr/ X-Request-Id: 0{8}(?:-0{4}){3}-[0-9a-f]{12}\.$/;

# The number of the requests that give_entreprise answers.
my $ENTREPRISE_ID = '6f9b2f4e-3f0d-4d6c-8a55-000000000001';

# A connection for each: on one that is kept, a body that is sent after its
# header waits 40 ms for the header's acknowledgement.
my $http = HTTP::Tiny->new(
	proxy => undef,
	http_proxy => undef,
	keep_alive => 0,
	timeout => $PATIENCE);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my ($stub_url, %tokens, @processes, @raw_servers);
my $own_pid = $$;

sub python { return -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3'; }

# ---- the local API server ----

# Its address: that of the environment, or of one started here, with as many
# structures.
our $STRUCTURES = 1000;

sub stub_url
{
	return $stub_url if defined $stub_url;
	return $stub_url = $ENV{APIGOUV_STUB_URL} if $ENV{APIGOUV_STUB_URL};

	my $port_file = PostgreSQL::Test::Utils::tempdir() . '/port';
	helper_process(python(), root() . '/test/stub/apigouv_stub.py', '--structures', $STRUCTURES,
		'--port', '0', '--port-file', $port_file, '--limit-factor', '1000');
	wait_for(sub { -s $port_file }, 'the local API server');
	my $port = slurp_bytes($port_file);
	return $stub_url = "http://127.0.0.1:" . ($port + 0);
}

# fork, of which the child ends at once when it is told to: from PostgreSQL 17
# on, its modules would run the END blocks first, and stop the cluster.
sub forked
{
	my $pid = fork() // die "fork: $!";
	@SIG{qw(TERM INT)} = ('DEFAULT') x 2 if $pid == 0;
	return $pid;
}

# A program that runs until the test ends, or end_helper.  Returns its pid.
sub helper_process { return helper_process_to('/dev/null', @_); }

# The same, with its output in a file.
sub helper_process_to
{
	my ($output, @command) = @_;
	my $pid = forked();
	if ($pid == 0)
	{
		open(STDOUT, '>', $output);
		exec(@command) or POSIX::_exit(1);
	}
	push @processes, $pid;
	return $pid;
}

sub end_helper
{
	my ($pid) = @_;
	@processes = grep { $_ != $pid } @processes;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

sub wait_for
{
	my ($is_so, $what) = @_;
	my $until = time() + $PATIENCE;
	until ($is_so->())
	{
		die "still no sign of $what" if time() > $until;
		usleep(2000);
	}
	return;
}

sub control
{
	my ($what, $value) = @_;
	my $url = stub_url() . "/_stub/$what";
	my $reply =
	  defined $value
	  ? $http->post($url, { content => $json->encode($value) })
	  : $http->get($url);
	die "control $what: $reply->{status} $reply->{content}"
	  unless $reply->{success};
	return $json->decode($reply->{content});
}

sub stub_reset { control('reset', {}); return; }
sub stub_latency { control('latency', { ms => $_[0] }); return; }
sub stub_options { control('options', {@_}); return; }
sub faults { control('faults', [@_]); return; }
sub replay { control('replay', [@_]); return; }

# An error body of API Entreprise.
sub envelope
{
	my ($code, $title, %meta) = @_;
	return { errors => [ {
		code => $code, title => $title, detail => 'Détail.', meta => \%meta } ]
	};
}

# Make every reply of API Entreprise to come this one, under a known request
# number; times, path and headers may say otherwise.
sub give_entreprise
{
	my ($status, $body, %with) = @_;
	my $headers = delete $with{headers} // {};
	faults({
		api => 'entreprise', path => '/v*', times => -1, status => $status,
		body => $body // '',
		headers => { 'X-Request-Id' => $ENTREPRISE_ID, %$headers }, %with });
	return;
}

# The whole DETAIL of a reply that give_entreprise ordered.
sub entreprise_detail { return "$_[0] X-Request-Id: $ENTREPRISE_ID."; }

# Requests received since the last reset, those whose members equal what is
# given; a value that is a regular expression must match.
sub requests
{
	my (%wanted) = @_;
	my $all = control('requests?headers=1');
	return grep {
		my $entry = $_;
		!grep {
			my $is = $entry->{$_} // '';
			ref $wanted{$_} ? $is !~ $wanted{$_} : $is ne $wanted{$_}
		} keys %wanted;
	} @$all;
}

# Requests that the local API server has not done with.
sub in_flight { return grep { !defined $_->{ended} } requests(@_); }

# The highest number of these requests that were under way at one moment.
sub most_at_once
{
	my @events = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] }
	  map { ([ $_->{started}, 1 ], [ $_->{ended}, -1 ]) } @_;
	my ($now, $most) = (0, 0);
	for my $event (@events)
	{
		$now += $event->[1];
		$most = $now if $now > $most;
	}
	return $most;
}

# Forget the log, wait so long before each reply, run a query: its result, and its requests.
sub measured
{
	my ($session, $latency_ms, $sql) = @_;
	stub_reset();
	stub_latency($latency_ms);
	my $result = $session->query($sql);
	wait_until_idle();
	stub_latency(0);
	diag($result->{err}) if defined $result->{sqlstate};
	return ($result, requests());
}

sub wait_for_requests
{
	my ($n, %wanted) = @_;
	wait_for(sub { requests(%wanted) >= $n }, "$n requests");
	return;
}

sub wait_until_idle
{
	wait_for(sub { !in_flight() }, 'the end of all requests');
	return;
}

sub load_tokens
{
	my $program = root() . '/test/stub/tokens.py';
	my $python = python();
	chomp(my @names = `$python $program`);
	chomp(my @values = `$python $program @names`);
	@tokens{@names} = @values;
	return;
}

# A credential of the local API server, by name.
sub token
{
	my ($name) = @_;
	load_tokens() unless %tokens;
	return $tokens{$name} // die "no credential is called $name";
}

# Every credential, but the client ids, which are no secrets.
sub all_secrets
{
	load_tokens() unless %tokens;
	return map { $tokens{$_} } grep { !/_id$/ } sort keys %tokens;
}

# ---- other servers ----

sub free_port
{
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp');
	return $socket->sockport;
}

my $raw_log;

# A server that gives raw bytes: path's first member => what to write before
# the connection is closed, or a sub to which the connection is given, and the
# head of the request.  It
# serves one connection after the other.  Returns its address.
sub raw_server
{
	my (%replies) = @_;
	$raw_log //= PostgreSQL::Test::Utils::tempdir() . '/raw_requests';
	my $listener = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => 0,
		Proto => 'tcp',
		Listen => 64) or die "listen: $!";
	my $pid = forked();
	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		# else a session's psql, whose input is open here too, never ends
		close $_ for values %ApigouvTest::Session::inputs;
		while (my $client = $listener->accept)
		{
			my $head = '';
			while ($head !~ /\r\n\r\n/)
			{
				sysread($client, $head, 65536, length $head) or last;
				last if $head =~ /^\x16/;
			}
			if ($head =~ /^\x16/)
			{
				close $client;    # TLS is not spoken here
				next;
			}
			my ($name) = $head =~ m{^\S+ /([^/ ]+)};
			if (defined $name)
			{
				open(my $log, '>>', $raw_log) or die "$raw_log: $!";
				print $log '.';
			}
			my $bytes = $replies{ $name // '' } // "HTTP/1.1 404 No\r\n\r\n";
			if (ref $bytes)
			{
				$bytes->($client, $head);
				$bytes = '';
			}
			my $at = 0;
			while ($at < length $bytes)
			{
				my $written =
				  syswrite($client, $bytes, length($bytes) - $at, $at);
				last unless defined $written;
				$at += $written;
			}
			close $client;
		}
		POSIX::_exit(0);
	}
	push @raw_servers, $pid;
	return 'http://127.0.0.1:' . $listener->sockport;
}

# How many requests all these servers have read.
sub raw_requests { return defined $raw_log && -s $raw_log || 0; }

sub stop_raw_servers
{
	kill 'TERM', @raw_servers if @raw_servers;
	waitpid $_, 0 for @raw_servers;
	@raw_servers = ();
	return;
}

END
{
	my $status = $?;
	stop_raw_servers() if $$ == $own_pid;
	if (@processes && $$ == $own_pid)
	{
		kill 'TERM', @processes;
		waitpid $_, 0 for @processes;
	}
	$? = $status;
}

# ---- clusters ----

# A started cluster; its database postgres has the extension and every API.
sub new_cluster
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', "fsync = off\n" . ($conf // ''));
	$node->start;
	create_apis($node, 'postgres');
	stub_reset();
	return $node;
}

my %paths = (
	marche_inclusion => '/api',
	data_inclusion => '/api/v1',
	entreprise => '',
	marche_travail => '/partenaire/stats-offres-demandes-emploi',
	particulier => '');

# Servers, mappings of the superuser and tables, in schemas named as the APIs.
# The ledger of requests is open at once, and their limits are generous.
sub create_apis
{
	my ($node, $db, @apis) = @_;
	my $url = stub_url();
	my $sql = "CREATE EXTENSION IF NOT EXISTS apigouv_fdw;\n"
	  . "SELECT apigouv_quota_forget();\n";

	for my $api (@apis ? @apis : sort keys %paths)
	{
		my $options = "api '$api', base_url '$url/$api$paths{$api}'";
		my $mapping = "token '" . token($api) . "'"
		  unless $api eq 'marche_travail';
		$options .= ", recipient '00000900100017'"
		  if $api =~ /^(?:entreprise|particulier)$/;
		# limits that slow no test
		my $limits = qx(@{[ python() ]} @{[ root() ]}/test/stub/generous_limits.py $api);
		$options .= ", limits '$limits'" if $limits ne '';
		if ($api eq 'marche_travail')
		{
			$options .= ", token_url '$url/$api/connexion/oauth2/access_token"
			  . "?realm=%2Fpartenaire'";
			$mapping = "client_id '" . token("${api}_id") . "', client_secret '"
			  . token("${api}_secret") . "'";
		}
		$sql .= <<"SQL";
CREATE SERVER $api FOREIGN DATA WRAPPER apigouv_fdw OPTIONS ($options);
CREATE USER MAPPING FOR CURRENT_USER SERVER $api OPTIONS ($mapping);
CREATE SCHEMA $api;
IMPORT FOREIGN SCHEMA $api FROM SERVER $api INTO $api;
SQL
	}
	$sql .= "ALTER DATABASE $db SET apigouv_fdw.context = 'Tests';\n"
	  . "ALTER DATABASE $db SET apigouv_fdw.object = 'TAP';\n";
	$node->safe_psql($db, $sql);
	return;
}

sub session { return ApigouvTest::Session->new(@_); }

# How many descriptors of a backend are no files of the server's, which opens
# and closes those as it likes.
sub descriptors
{
	my ($session) = @_;
	return scalar(grep { m{^(?:socket|anon_inode|pipe):} }
		  map { readlink($_) // '' } glob('/proc/' . $session->pid . '/fd/*'));
}

# Memory that a backend holds.
sub resident_bytes
{
	my ($session) = @_;
	my $pages = (split ' ', slurp_bytes('/proc/' . $session->pid . '/statm'))[1];
	return $pages * POSIX::sysconf(&POSIX::_SC_PAGESIZE);
}

# Let a cluster read definitions that may be changed, the tests' own beside
# the extension's; sessions begun from then on do.  Returns their directory.
sub own_definitions
{
	my ($node) = @_;
	my $dir = $node->basedir . '/definitions';
	mkdir $dir;
	for my $from (root() . '/apis', root() . '/test/fixtures/apis')
	{
		system("cp -r $from/. $dir") == 0 or die "cp $from";
	}
	$node->append_conf('postgresql.conf', "apigouv_fdw.definition_dir = '$dir'\n");
	$node->reload;
	return $dir;
}

# Let a running cluster log all that it can, from its next start on, but the
# texts and parameters of statements, which are its user's to hide.
sub log_all_but_parameters
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_nested_statements = on
auto_explain.log_settings = on
log_min_messages = debug5
log_statement = none
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
CONF

	# from PostgreSQL 16 on, auto_explain tells parameters unless it is told not to
	$node->append_conf('postgresql.conf', "auto_explain.log_parameter_max_length = 0\n")
	  if $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000;
	return;
}

# Is this a server under test/sanitize, by sanitizers or valgrind?  It is slow,
# and keeps freed memory.
sub sanitized
{
	my ($session) = @_;
	return slurp_bytes('/proc/' . $session->pid . '/maps') =~ /libasan|vgpreload_memcheck/;
}

# How long the server of this session may take to end a query, in ms: 100 where
# the machine is not busy.  A process that ends looks for leaks under
# test/sanitize, and its client is told by the end of the connection.
sub time_to_end
{
	my ($session, $how) = @_;
	return $how eq 'pg_terminate_backend' && sanitized($session) ? 10_000 : 1000;
}

# ---- assertions ----

# What is done a thousand times after a warm-up of a hundred takes no memory.
# Sanitizers hold back what is freed: nothing can be told under them.
sub keeps_its_size
{
	my ($session, $repeat, $name) = @_;
  SKIP:
	{
		$repeat->(100);
		skip 'sanitizers hold memory back', 1
		  if sanitized($session);
		my $before = resident_bytes($session);
		$repeat->(1000);
		my $grown = resident_bytes($session) - $before;
		diag(sprintf '%s: %+d kB', $name, $grown / 1024);
		cmp_ok($grown, '<', 1024 * 1024, $name);
	}
	return;
}

# A query must fail as said: sqlstate, message, detail, hint, context (text =
# equal, regular expression = match, undef = absent; detail without the number
# that the local API server gives a request), requests (how many the
# local API server got during it, of api when that is given).
sub refuses
{
	my ($session, $sql, $want, $name) = @_;
	my %want = %$want;
	my $wanted_requests = delete $want{requests};
	my $api = delete $want{api};
	my $before = () = requests($api ? (api => $api) : ());
	my $result = $session->query($sql);
	my @wrong;

	if (!defined $result->{sqlstate})
	{
		push @wrong, "no error; it gave: $result->{out}";
	}
	else
	{
		for my $part (sort keys %want)
		{
			my $is = $result->{$part};
			$is =~ s/$REQUEST_ID// if defined $is && $part eq 'detail';
			my $should = $want{$part};
			my $fits =
			    !defined $should ? !defined $is
			  : !defined $is ? 0
			  : ref $should ? $is =~ $should
			  : $is eq $should;
			push @wrong,
			    "$part is: "
			  . ($is // '(none)')
			  . "\nshould be: "
			  . ($should // '(none)')
			  unless $fits;
		}
	}
	if (defined $wanted_requests)
	{
		my $made = () = requests($api ? (api => $api) : ());
		$made -= $before;
		push @wrong, "requests: $made\nshould be: $wanted_requests"
		  if $made != $wanted_requests;
	}
	ok(!@wrong, $name) or diag(join("\n", @wrong, $result->{err}));
	return $result;
}

# A query, with the number of requests received meanwhile.
sub counted
{
	my ($session, $sql, %wanted) = @_;
	my $before = () = requests(%wanted);
	my $result = $session->query($sql);
	my $after = () = requests(%wanted);
	$result->{requests} = $after - $before;
	return $result;
}

# asks(session, query, requests, what it gives or its SQLSTATE, name)
sub asks
{
	my ($session, $sql, $requests, $out, $name) = @_;
	my $result = counted($session, $sql);
	is( ($result->{sqlstate} // '') . $result->{out} . $result->{requests},
		$out . $requests,
		$name) or diag($result->{err});
	return $result;
}

# Statements that should not fail.
sub run_sql
{
	my ($session, @statements) = @_;
	for my $sql (@statements)
	{
		my $result = $session->query($sql);
		diag("$sql: $result->{err}") if defined $result->{sqlstate};
	}
	return;
}

# The session answers the next query, and nothing is left of what failed.
sub still_works
{
	my ($session, $name) = @_;
	faults();
	my $result = $session->query($GOOD_QUERY);
	my @left;
	eval { wait_until_idle(); 1 } or @left = in_flight();
	ok($result->{out} eq "2\n" && !defined $result->{sqlstate} && !@left,
		$name)
	  or diag("it gave: $result->{out}$result->{err}", "left: ",
		json_text(\@left));
	return;
}

# ---------------------------------------------------------------------------
# A psql that stays, with what it says of errors taken apart.
package ApigouvTest::Session;

use strict;
use warnings;

use Carp;
use Encode 'decode';
use IO::Select;
use IPC::Open3;
use Symbol 'gensym';
use Time::HiRes qw(time);

my $marks = 0;
our %inputs;    # of the psqls that run, by session

# new(node, db =>, user =>, options => text for PGOPTIONS)
sub new
{
	my ($class, $node, %with) = @_;
	my $self = bless {
		node => $node
	}, $class;

	local %ENV = (%ENV, PGCLIENTENCODING => $with{encoding} // 'UTF8');
	$ENV{PGOPTIONS} = $with{options} if defined $with{options};
	my @command = (
		$node->installed_command('psql'), '-X', '-A', '-t', '-q', '-v',
		'VERBOSITY=verbose', '-d', $node->connstr($with{db} // 'postgres'));
	push @command, '-U', $with{user} if defined $with{user};
	$self->{psql} =
	  open3($self->{to}, $self->{from}, $self->{from_err} = gensym,
		@command);
	binmode $_, ':raw' for @$self{qw(to from from_err)};
	$self->{to}->autoflush(1);
	$inputs{ 0 + $self } = $self->{to};
	my $first = $self->query('SELECT pg_backend_pid()');
	croak "no connection: $first->{err}" if $first->{out} !~ /^\d+\n$/;
	chomp($self->{pid} = $first->{out});
	return $self;
}

sub pid { return $_[0]{pid}; }

# Send a query, and do not wait.
sub start
{
	my ($self, $sql) = @_;
	my $mark = '-- mark ' . ++$marks;
	local $SIG{PIPE} = 'IGNORE';

	$sql .= ';' unless $sql =~ /(;|^\\[^\n]*)\s*\z/m;
	utf8::encode($sql) if utf8::is_utf8($sql);
	@$self{qw(mark sql)} = ($mark, $sql);
	$self->{out} = $self->{err} = '';
	$self->{started} = time();
	print { $self->{to} } "$sql\n\\echo $mark\n\\warn $mark\n";
	return;
}

# Wait for the end of the query sent: out, err, sqlstate, message, detail,
# hint, context, notices (texts), ms, dead (the connection was lost).
sub finish
{
	my ($self) = @_;
	my $end = qr/^\Q$self->{mark}\E\n\z/m;
	my %open = (out => $self->{from}, err => $self->{from_err});
	my $until = time() + $ApigouvTest::PATIENCE * 3;
	my $ended;

	while (%open)
	{
		for my $handle (IO::Select->new(values %open)->can_read(1))
		{
			my ($which) = grep { $open{$_} == $handle } keys %open;
			sysread($handle, $self->{$which}, 65536, length $self->{$which})
			  or delete $open{$which};
		}
		$ended //= time() if $self->{out} =~ $end;
		last if $self->{out} =~ $end && $self->{err} =~ $end;
		croak "no end of: $self->{sql}" if time() > $until;
	}
	$self->{$_} =~ s/$end// for qw(out err);
	return $self->parsed(($ended // time()) - $self->{started},
		keys %open < 2);
}

sub query
{
	my ($self, $sql) = @_;
	$self->start($sql);
	return $self->finish;
}

# The result of a query that should not fail, else its error.
sub value
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);
	return "ERROR $result->{sqlstate}: $result->{message}"
	  if defined $result->{sqlstate};
	chomp $result->{out};
	return $result->{out};
}

sub parsed
{
	my ($self, $seconds, $dead) = @_;
	my %result = (
		out => decode('UTF-8', $self->{out}),
		err => decode('UTF-8', $self->{err}),
		ms => $seconds * 1000,
		dead => $dead ? 1 : 0,
		notices => []);
	my $part;

	for my $line (split /\n/, $result{err})
	{
		# severities are in the language of lc_messages, the other words in psql's
		if ($line =~ /^(ERROR|ERREUR|FATAL|PANIC):\s+([0-9A-Z]{5}): (.*)/)
		{
			last if defined $result{sqlstate};
			@result{qw(sqlstate message)} = ($2, $3);
			$part = 'message';
		}
		elsif ($line =~ /^(WARNING|ATTENTION|NOTICE|INFO|LOG|DEBUG):\s+(?:[0-9A-Z]{5}: )?(.*)/)
		{
			push @{ $result{notices} }, $2;
			$part = undef;
		}
		elsif ($line =~ /^(DETAIL|HINT|CONTEXT|LOCATION|LINE \d+):\s+(.*)/)
		{
			$part = defined $result{sqlstate} ? lc $1 : undef;
			$result{$part} = $2 if defined $part;
		}
		elsif (defined $part)
		{
			$result{$part} .= "\n$line";
		}
	}
	return \%result;
}

# End the session.
sub quit
{
	my ($self) = @_;
	return unless defined $self->{psql};
	delete $inputs{ 0 + $self };
	close $self->{to};
	waitpid $self->{psql}, 0;
	delete $self->{psql};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	$self->quit;
	return;
}

1;
