# A library to preload into a cluster's server: names that end in ".test" lead
# where a test wants, each time elsewhere if it wants; and every connection
# that is tried is written down, so that a test can tell a refused address from
# one that did not answer.
package ApigouvResolver;

use strict;
use utf8;
use warnings;

use ApigouvTest;
use Exporter 'import';
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(resolver_library names_lead tried);

my ($names_file, $log_file);

# The library; undef where it cannot be built.
sub resolver_library
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	($names_file, $log_file) = ("$dir/names", "$dir/tried");
	open(my $file, '>', "$dir/resolver.c") or die "$dir/resolver.c: $!";
	print $file "#define NAMES \"$names_file\"\n#define LOG \"$log_file\"\n", <<'C';
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static int	lookups[3];			/* of both families, IPv4, IPv6: some ask for each */

/* The nth answer for a name: the last one from then on. */
static int
find(const char *node, int n, char *answer, size_t size)
{
	FILE	   *file = fopen(NAMES, "r");
	char		line[1024];
	int			found = 0;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
	{
		char	   *save;
		char	   *name = strtok_r(line, " ", &save);
		char	   *part;

		if (name == NULL || strcasecmp(name, node) != 0)
			continue;
		while (n-- >= 0 && (part = strtok_r(NULL, "|\n", &save)) != NULL)
			snprintf(answer, size, "%s", part);
		found = 1;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	int			(*real) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	char		answer[1024];
	char	   *save;
	struct addrinfo **next = result;
	int			family;

	if (node == NULL || strlen(node) < 5 ||
		strcasecmp(node + strlen(node) - 5, ".test") != 0)
		return real(node, service, hints, result);
	*result = NULL;
	family = hints->ai_family == AF_INET ? 1 : hints->ai_family == AF_INET6 ? 2 : 0;
	if (!find(node, lookups[family]++, answer, sizeof(answer)))
		return EAI_NONAME;
	for (char *p = strtok_r(answer, " ", &save); p; p = strtok_r(NULL, " ", &save))
	{
		struct addrinfo numeric = *hints;

		numeric.ai_flags = AI_NUMERICHOST;
		if (real(p, service, &numeric, next) != 0)
			continue;
		while (*next != NULL)
			next = &(*next)->ai_next;
	}
	return *result != NULL ? 0 : EAI_NONAME;
}

int
connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int			(*real) (int, const struct sockaddr *, socklen_t) =
	dlsym(RTLD_NEXT, "connect");
	char		text[INET6_ADDRSTRLEN + 2] = "";
	int			file;

	if (to->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *) to)->sin_addr, text, sizeof(text));
	else if (to->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *) to)->sin6_addr, text, sizeof(text));
	if (text[0] != '\0' && (file = open(LOG, O_WRONLY | O_CREAT | O_APPEND, 0600)) >= 0)
	{
		strcat(text, "\n");
		if (write(file, text, strlen(text)) < 0)
			text[0] = '\0';
		close(file);
	}
	return real(fd, to, len);
}
C
	close $file;
	return undef
	  if system("cc -shared -fPIC -o $dir/resolver.so $dir/resolver.c -ldl 2>$dir/cc.err") != 0;
	return "$dir/resolver.so";
}

# names_lead(name => [answer to the first lookup of a session, to the second,
# ...]): each answer is addresses with blanks between.
sub names_lead
{
	my (%names) = @_;
	open(my $file, '>', $names_file) or die "$names_file: $!";
	print $file map { "$_ " . join('|', @{ $names{$_} }) . "\n" } sort keys %names;
	close $file or die "$names_file: $!";
	return;
}

# Addresses to which a connection was tried since the last look.
sub tried
{
	return () unless -e $log_file;
	my @tried = split /\n/, slurp_bytes($log_file);
	unlink $log_file;
	return @tried;
}

1;
