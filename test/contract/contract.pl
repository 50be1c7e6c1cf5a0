# Every route of every table is asked for, with its keys alone and with each of
# its filters, before Prism, which plays the official OpenAPI documents and
# judges requests by them.  None may be refused as invalid, and the documents'
# example replies must convert.  pg_regress cannot show it: neither Prism nor
# the documents are part of the project.
#
# APIGOUV_PRISM is Prism's program, APIGOUV_OPENAPI the documents' folder.
# Values come from exchanges (test/fixtures, recorded ones), then from the
# documents' examples.
use strict;
use utf8;
use warnings;

use FindBin;

use ApigouvDefinitions;
use ApigouvExchanges;
use ApigouvOpenApi;
use ApigouvTest;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my ($prism, $openapi) = @ENV{qw(APIGOUV_PRISM APIGOUV_OPENAPI)};
plan skip_all => 'APIGOUV_PRISM and APIGOUV_OPENAPI are not set' unless $prism && $openapi;

# Violations that are the document's fault: API and method and path, what is
# refused, why we know better.
my @wrong_documents = ([ qr{^data_inclusion GET /api/v1/services$}, qr/^parameter extra is/,
	'extra is not published; the service takes it' ]);

# Example replies that no table can convert: API and path, SQLSTATE, why.
my @wrong_examples = (
	[ qr{^marche_travail .*/salaire-rome-fap/}, qr/^HV00M$/, 'the salaries that are sent have another envelope than the official document says' ],
	[ qr{^entreprise /privileges$}, qr/^HV00M$/, 'the document gives the privileges neither a schema nor an example' ]);

my $json = JSON::PP->new->utf8->allow_nonref;
my $http = HTTP::Tiny->new(timeout => $ApigouvTest::PATIENCE, keep_alive => 0, proxy => undef, http_proxy => undef);
my (%asked, %judged, %excused, %unread, @unasked, @undocumented);
my $began = time();
my $node = new_cluster('contract');
my $port_file = PostgreSQL::Test::Utils::tempdir() . '/front_port';
ApigouvTest::helper_process(ApigouvTest::python(), root() . '/test/contract/front.py', $port_file);
ApigouvTest::wait_for(sub { -s $port_file }, 'the front of Prism');
my $front = 'http://127.0.0.1:' . (slurp_bytes($port_file) + 0);

# ---- Prism ----

# Prism on a document; its own line tells when it is ready.  Without --errors,
# which would also refuse the examples that do not fit their own schema; what
# is wrong with a request stands in a header all the same.
sub start_prism
{
	my ($api, $document) = @_;
	my $port = free_port();
	my $output = PostgreSQL::Test::Utils::tempdir() . "/prism_$port";
	my $pid = ApigouvTest::helper_process_to($output, $prism, 'mock', '-h', '127.0.0.1', '-p', $port, $document);
	ApigouvTest::wait_for(sub { -s $output && slurp_bytes($output) =~ /listening on/ }, 'Prism');
	my @totals = map { [ $_->{total}, $_->{rows} =~ s/\[\]$//r ] } grep { defined $_->{total} } map { $_->{route} } ways_of($api);
	$http->post("$front/_front", { content => $json->encode({ port => $port, totals => \@totals }) });
	return $pid;
}

# Requests that Prism got since the last look.
sub front_log { return @{ $json->decode($http->get("$front/_front")->{content}) }; }

# ---- queries ----

# Is this violation, or this error, one that is known?
sub known
{
	my ($list, @texts) = @_;
	my ($one) = grep { my $known = $_; !grep { $texts[$_] !~ $known->[$_] } 0 .. $#texts } @$list;
	return $one;
}

# Ask by one way, with some of its filters.
sub query_way
{
	my ($session, $document, $way, $optional, @sources) = @_;
	my $name = join ' ', "$way->{api}.$way->{name}", map { 'with ' . $_->{name} } @$optional;
	# what the document demands, and the API has given up demanding
	my @demanded = demanded_by($document, $way);
	my $request = request_for($way, [ @$optional, @demanded ], @sources);
	my ($condition, $why) = defined $request ? conditions_for($way, $request, loosely => 1) : (undef, 'no value for a key');
	if (!defined $condition)
	{
		push @unasked, "$name: $why";
		return;
	}
	# variants of a route that send the same parameters are one request
	return if $judged{ join ' ', $document, $way->{table}{table}, $way->{operation}, sort keys %$request }++;
	$asked{ $way->{api} }++;
	front_log();
	my $result = $session->query("SELECT * FROM $way->{api}.$way->{table}{table} WHERE $condition");
	judge($document, $way, $name, $result, front_log());
	return;
}

# Parameters that were sent and that the document does not have: APIs ignore
# those, and give rows that nobody asked for.
sub unheard_of
{
	my ($document, $way, $entry) = @_;
	my %known = map { $_ => 1 } query_names($document, $way);
	return map { "parameter $_ is not in the document" }
	  grep { !$known{$_} } map { plain_name($_) } @{ $entry->{query} };
}

sub judge
{
	my ($document, $way, $name, $result, @log) = @_;
	my @wrong = @log ? () : 'no request: ' . ($result->{message} // 'no error');
	# a look-up comes first, and is of another operation
	push @{ $log[-1]{violations} }, unheard_of($document, $way, $log[-1]) if @log;
	for my $entry (@log)
	{
		for my $violation (@{ $entry->{violations} })
		{
			my $known = known(\@wrong_documents, "$way->{api} $entry->{method} $entry->{path}", $violation);
			if ($known) { $excused{ $known->[2] }++; }
			else { push @wrong, "$entry->{method} $entry->{path}: $violation"; }
		}
		push @wrong, "$entry->{method} $entry->{path}: $entry->{status} $entry->{problem}"
		  if $entry->{status} >= 400 && !@{ $entry->{violations} };
	}
	if (!@wrong && defined $result->{sqlstate} && !grep { $_->{status} >= 400 } @log)
	{
		my $known = known(\@wrong_examples, "$way->{api} $log[-1]{path}", $result->{sqlstate});
		if ($known) { $unread{ $known->[2] }++; }
		else { push @wrong, "its example: $result->{sqlstate} $result->{message}; " . ($result->{context} // ''); }
	}
	ok(!@wrong, $name) or diag(map { "  $_\n" } @wrong);
	return;
}

# The routes of one API against one document.
sub contract_of
{
	my ($session, $api, $file) = @_;
	my $document = load_document($file);
	my %optional_asked;
	for my $way (ways_of($api))
	{
		if (!defined operation_of($document, $way))
		{
			push @undocumented, "$way->{api} $way->{method} $way->{path}";
			next;
		}
		my @sources = (known_requests($way), { example_values($document, $way) });
		query_way($session, $document, $way, [], @sources);
		for my $parameter (grep { defined $_->{column} && !is_key($_) } @{ $way->{parameters} })
		{
			my $ops = join ' ', @{ $parameter->{ops} // ['='] };
			next if $optional_asked{"$way->{table}{table} $way->{route}{name} $parameter->{name} $parameter->{column} $ops"}++;
			query_way($session, $document, $way, [$parameter], @sources);
		}
	}
	return;
}

for my $api (api_names())
{
	for my $file (grep { -e } map { "$openapi/$_.json" } $api, "$api.observed")
	{
		my $pid = start_prism($api, $file);
		my $document = load_document($file);
		my $prefix = prefix_of($api);
		my $in_document = grep { index($_, "$prefix/") == 0 } keys %{ $document->{paths} };
		my $base = $front . ($in_document ? $prefix : '');
		my $options = "SET base_url '$base'";
		$options .= ", SET token_url '$front/oauth2/access_token'"
		  if definition($api)->{auth}{scheme} eq 'oauth2_client_credentials';
		$node->safe_psql('postgres', "ALTER SERVER $api OPTIONS ($options)");
		my $session = session($node);
		$session->query('SELECT count(*) FROM apigouv_tables');    # loads the library, which knows the setting
		$session->query("SET apigouv_fdw.france_connect_token = 'jeton-de-test'");
		contract_of($session, $api, $file);
		$session->quit;
		ApigouvTest::end_helper($pid);
	}
}

# ---- what is left to say ----

sub unique { my %seen; return grep { !$seen{$_}++ } @_; }

diag("queries: $_: $asked{$_}") for sort keys %asked;
diag("excused $excused{$_} times: $_") for sort keys %excused;
diag("example not read $unread{$_} times: $_") for sort keys %unread;
diag("not in the document: $_") for unique(@undocumented);
diag("not asked: $_") for unique(@unasked);
diag(sprintf '%.0f s', time() - $began);
ok(scalar(%asked), 'something was asked');
done_testing();
