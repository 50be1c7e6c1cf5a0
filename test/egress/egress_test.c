/*-------------------------------------------------------------------------
 *
 * egress_test.c
 *		Which addresses may be connected to: each class with the first and the
 *		last address of its blocks and their neighbours; what a superuser gives
 *		or lists; texts that are no addresses.
 *
 *-------------------------------------------------------------------------
 */
#include "../../src/egress.c"

#include <stdlib.h>

static int	tests;
static int	failures;

static void
ok(bool right, const char *name, const char *about)
{
	printf("%sok %d - %s: %s\n", right ? "" : "not ", ++tests, name, about);
	failures += !right;
}

static ApigouvAddress
address_of(const char *text)
{
	ApigouvAddress address;

	if (!apigouv_egress_parse(text, strlen(text), &address))
	{
		fprintf(stderr, "no address: %s\n", text);
		abort();
	}
	return address;
}

/* ---- classes ---- */

typedef struct ClassRow
{
	ApigouvAddressClass class;
	const char *addresses[14];
} ClassRow;

static const ClassRow class_rows[] = {
	{APIGOUV_ADDRESS_PUBLIC, {"1.0.0.0", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"}},
	{APIGOUV_ADDRESS_PUBLIC, {"192.0.1.255", "192.0.3.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
		"198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
	"168.63.129.15", "192.88.100.0"}},
	{APIGOUV_ADDRESS_PUBLIC, {"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2000::",
		"2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2a01:cb00::1",
	"3ffe:ffff::1", "3fff:1000::"}},
	{APIGOUV_ADDRESS_LOOPBACK, {"127.0.0.0", "127.0.0.1", "127.255.255.255",
	"::1", "::ffff:127.0.0.1", "::ffff:7f00:1"}},
	{APIGOUV_ADDRESS_PRIVATE, {"10.0.0.0", "10.255.255.255", "172.16.0.0",
		"172.31.255.255", "192.168.0.0", "192.168.255.255", "::ffff:10.0.0.1",
	"fc00::", "fdff:ffff::ffff", "fec0::1", "feff::1"}},
	{APIGOUV_ADDRESS_LINK_LOCAL, {"169.254.0.0", "169.254.255.255",
	"169.254.169.255", "fe80::", "febf:ffff::1", "::ffff:169.254.1.1"}},
	{APIGOUV_ADDRESS_SHARED, {"100.64.0.0", "100.127.255.255",
	"100.100.100.199", "::ffff:100.64.0.1"}},
	{APIGOUV_ADDRESS_METADATA, {"169.254.169.254", "169.254.170.2",
		"169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
	"::ffff:169.254.169.254", "64:ff9b::169.254.169.254"}},
	{APIGOUV_ADDRESS_RESERVED, {"192.0.0.0", "192.0.2.1", "192.88.99.1",
		"198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.255",
	"240.0.0.0", "255.255.255.254", "2001:db8::1", "2001::", "2001:1ff::"}},
	/* an IPv4 address carried to somewhere else, whatever it is */
	{APIGOUV_ADDRESS_RESERVED, {"::8.8.8.8", "::127.0.0.1", "::2",
		"::fffe:ffff:ffff", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b:1::8.8.8.8", "2002:0a00:0001::",
	"2002:0808:0808::1", "100::1", "64:ff9a::1"}},
	{APIGOUV_ADDRESS_RESERVED, {"1fff:ffff::", "4000::1", "fbff::1",
	"fe00::1", "fe7f::1", "3fff::1", "3fff:fff::1", "5f00::1"}},
	{APIGOUV_ADDRESS_NO_HOST, {"0.0.0.0", "0.0.0.1", "0.255.255.255",
		"224.0.0.0", "239.255.255.255", "255.255.255.255", "::", "ff02::1",
	"ffff::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"}},
};

static void
test_classes(void)
{
	ApigouvEgress nothing_given = {0};

	for (size_t i = 0; i < sizeof(class_rows) / sizeof(ClassRow); i++)
	{
		const ClassRow *row = &class_rows[i];

		for (int j = 0; j < 14 && row->addresses[j] != NULL; j++)
		{
			ApigouvAddress address = address_of(row->addresses[j]);

			ok(apigouv_egress_class(&address) == row->class,
			   row->addresses[j], apigouv_egress_class_text(&address));
			ok(apigouv_egress_allows(&nothing_given, &address) ==
			   (row->class == APIGOUV_ADDRESS_PUBLIC),
			   row->addresses[j], "public is allowed, and nothing else");
		}
	}
}

/* ---- what a superuser gives or lists ---- */

typedef struct AllowRow
{
	const char *own;			/* NULL, an address, or localhost */
	const char *list;
	bool		loopback_only;
	const char *address;
	bool		allowed;
} AllowRow;

static const AllowRow allow_rows[] = {
	/* an address given allows exactly itself */
	{"10.1.2.3", NULL, false, "10.1.2.3", true},
	{"10.1.2.3", NULL, false, "::ffff:10.1.2.3", true},
	{"10.1.2.3", NULL, false, "10.1.2.4", false},
	{"10.1.2.3", NULL, false, "127.0.0.1", false},
	{"10.1.2.3", NULL, false, "::10.1.2.3", false},
	{"10.1.2.3", NULL, false, "64:ff9b::10.1.2.3", false},
	{"127.0.0.1", NULL, false, "127.0.0.2", false},
	{"127.0.0.1", NULL, false, "::1", false},
	{"[fd12::1]", NULL, false, "fd12::1", true},
	{"[fd12::1]", NULL, false, "fd12::2", false},
	{"169.254.169.254", NULL, false, "169.254.169.254", true},
	{"0.0.0.0", NULL, false, "0.0.0.0", false},
	{"[::]", NULL, false, "::", false},
	{"224.0.0.1", NULL, false, "224.0.0.1", false},
	/* localhost is loopback, and nothing else */
	{"localhost", NULL, false, "127.0.0.1", true},
	{"localhost", NULL, false, "127.1.2.3", true},
	{"localhost", NULL, false, "::1", true},
	{"localhost", NULL, false, "10.0.0.1", false},
	{"localhost", NULL, false, "64:ff9b::127.0.0.1", false},
	{"localhost", NULL, false, "8.8.8.8", true},
	/* without TLS, loopback alone: not public, not listed */
	{"localhost", NULL, true, "127.0.0.1", true},
	{"localhost", NULL, true, "8.8.8.8", false},
	{"localhost", "10.0.0.0/8", true, "10.0.0.1", false},
	{"10.1.2.3", NULL, true, "10.1.2.3", false},
	{NULL, NULL, true, "127.0.0.1", false},
	{NULL, "127.0.0.0/8", true, "127.0.0.1", true},
	/* lists */
	{NULL, "10.1.2.0/24, fd12::/16", false, "10.1.2.0", true},
	{NULL, "10.1.2.0/24, fd12::/16", false, "10.1.2.255", true},
	{NULL, "10.1.2.0/24, fd12::/16", false, "10.1.3.0", false},
	{NULL, "10.1.2.0/24, fd12::/16", false, "10.1.1.255", false},
	{NULL, " 10.1.2.0/24 ,fd12::/16 ", false, "fd12:ffff::1", true},
	{NULL, "10.1.2.0/24, fd12::/16", false, "fd13::1", false},
	{NULL, "10.9.0.7", false, "10.9.0.7", true},
	{NULL, "10.9.0.7", false, "10.9.0.6", false},
	{NULL, "10.9.0.7", false, "::ffff:10.9.0.7", true},
	{NULL, "::ffff:10.9.0.0/112", false, "10.9.0.7", true},
	{NULL, "172.16.0.0/13", false, "172.23.255.255", true},
	{NULL, "172.16.0.0/13", false, "172.24.0.0", false},
	{NULL, "64:ff9b::/96", false, "64:ff9b::10.0.0.1", true},
	{NULL, "2002::/16", false, "2002:a00:1::", true},
	/* a range is not meant for what it happens to hold */
	{NULL, "::/0", false, "10.0.0.1", false},
	{NULL, "::/0", false, "fd12::1", true},
	{NULL, "0.0.0.0/0", false, "10.0.0.1", true},
	{NULL, "0.0.0.0/0", false, "fd12::1", false},
	{NULL, "0.0.0.0/0, ::/0", false, "0.0.0.0", false},
	{NULL, "0.0.0.0/0, ::/0", false, "ff02::1", false},
	{NULL, "169.254.0.0/16", false, "169.254.169.254", false},
	{NULL, "169.254.169.254/31", false, "169.254.169.254", false},
	{NULL, "169.254.169.254/32", false, "169.254.169.254", true},
	{NULL, "169.254.169.254", false, "169.254.169.254", true},
	{NULL, "0.0.0.0/0", false, "168.63.129.16", false},
	{NULL, "fd00::/8", false, "fd00:ec2::254", false},
	{NULL, "fd00:ec2::254", false, "fd00:ec2::254", true},
};

static void
test_allowed(void)
{
	for (size_t i = 0; i < sizeof(allow_rows) / sizeof(AllowRow); i++)
	{
		const AllowRow *row = &allow_rows[i];
		ApigouvEgress egress = {0};
		ApigouvAddress address = address_of(row->address);
		const char *at;
		size_t		len;
		char		name[200];

		egress.loopback_only = row->loopback_only;
		egress.own_loopback = row->own && strcmp(row->own, "localhost") == 0;
		if (row->own != NULL && !egress.own_loopback)
		{
			egress.has_own = true;
			egress.own = address_of(row->own);
		}
		if (row->list != NULL &&
			apigouv_egress_networks(row->list, &egress, &at, &len) != NULL)
			abort();
		snprintf(name, sizeof(name), "%s, list %s%s: %s",
				 row->own ? row->own : "-", row->list ? row->list : "-",
				 row->loopback_only ? ", http" : "", row->address);
		ok(apigouv_egress_allows(&egress, &address) == row->allowed, name,
		   row->allowed ? "allowed" : "refused");
	}
}

/* ---- texts ---- */

static const char *const no_addresses[] = {
	"", "localhost", "10.0.0", "10.0.0.256", "010.0.0.1", "0x7f.0.0.1",
	"10.0.0.1 ", " 10.0.0.1", "1.2.3.4.5", "[]", "[::1", "::1]", "[[::1]]",
	"fe80::1%eth0", ":::", "1:2:3:4:5:6:7:8:9", "10.0.0.1/24", "2130706433",
	"::ffff:255.255.255.255.255.255.255.255.255.255.255.255.255",
};

typedef struct ListRow
{
	const char *list;
	const char *member;			/* that is wrong */
} ListRow;

static const ListRow wrong_lists[] = {
	{"", ""}, {" ", ""}, {",", ""}, {"10.0.0.0/8,", ""},
	{"10.0.0.0/8,,10.0.0.1", ""}, {"10.0.0.0/33", "10.0.0.0/33"},
	{"10.0.0.0/-1", "10.0.0.0/-1"}, {"10.0.0.0/", "10.0.0.0/"},
	{"10.0.0.0/08x", "10.0.0.0/08x"}, {"10.0.0.0/0008", "10.0.0.0/0008"},
	{"10.0.0.0/8/8", "10.0.0.0/8/8"}, {"10.0.0.0 / 8", "10.0.0.0 / 8"},
	{"10.0.0.1/8", "10.0.0.1/8"}, {"fd12::1/16", "fd12::1/16"},
	{"fd12::/129", "fd12::/129"}, {"10.0.0.1, nowhere", "nowhere"},
	{"10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"},
	{"::ffff:10.0.0.0/8", "::ffff:10.0.0.0/8"},
	{"1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
		"1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
	"2.2.2.2", "2.2.2.2"},
};

static void
test_texts(void)
{
	ApigouvAddress address;
	char		text[APIGOUV_ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof(no_addresses) / sizeof(char *); i++)
		ok(!apigouv_egress_parse(no_addresses[i], strlen(no_addresses[i]),
								 &address), no_addresses[i], "no address");
	ok(!apigouv_egress_parse("10.0.0.1\0", 9, &address), "NUL",
	   "no address");
	for (size_t i = 0; i < sizeof(wrong_lists) / sizeof(ListRow); i++)
	{
		ApigouvEgress egress;
		const char *at;
		size_t		len;
		const char *why = apigouv_egress_networks(wrong_lists[i].list,
												  &egress, &at, &len);

		ok(why != NULL && strlen(wrong_lists[i].member) == len &&
		   strncmp(at, wrong_lists[i].member, len) == 0,
		   wrong_lists[i].list, why ? why : "taken");
	}
	address = address_of("::ffff:10.0.0.1");
	apigouv_egress_text(&address, text);
	ok(strcmp(text, "10.0.0.1") == 0, "text of IPv4", text);
	address = address_of("[FD00:EC2:0:0::254]");
	apigouv_egress_text(&address, text);
	ok(strcmp(text, "fd00:ec2::254") == 0, "text of IPv6", text);
}

/* ---- sockets ---- */

static void
test_sockets(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr other = {.sa_family = AF_UNIX};
	ApigouvAddress address;
	ApigouvAddress wanted = address_of("10.0.0.1");

	inet_pton(AF_INET, "10.0.0.1", &v4.sin_addr);
	inet_pton(AF_INET6, "::ffff:10.0.0.1", &v6.sin6_addr);
	ok(apigouv_egress_address((struct sockaddr *) &v4, &address) &&
	   memcmp(&address, &wanted, 16) == 0, "IPv4", "address of a socket");
	ok(apigouv_egress_address((struct sockaddr *) &v6, &address) &&
	   memcmp(&address, &wanted, 16) == 0, "IPv4 over IPv6", "the same");
	ok(!apigouv_egress_address(&other, &address), "a Unix socket", "none");
}

int
main(void)
{
	test_classes();
	test_allowed();
	test_texts();
	test_sockets();
	printf("1..%d\n", tests);
	return failures > 0;
}
