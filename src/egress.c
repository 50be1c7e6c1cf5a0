/*-------------------------------------------------------------------------
 *
 * egress.c
 *		Which addresses a foreign server's requests may connect to.
 *
 * A name can lead anywhere, and elsewhere the next time it is looked up: to
 * this machine, to the network behind the firewall, to the address at which
 * a cloud gives out credentials.  So it is the address that is judged, at the
 * moment of each connection and of each request on it, never the name.
 *
 * Public addresses pass.  The others are refused unless a superuser gave that
 * address in the server's options, or listed it in "private_addresses".  An
 * address of a cloud's metadata service must be listed by itself: a range
 * that holds it is not meant for it.
 *
 * What is public is said by IANA's registries of special-purpose addresses,
 * narrowed: of IPv6 only 2000::/3, and none of the forms that carry an IPv4
 * address to somewhere else, but for the NAT64 prefix that resolvers of
 * IPv6-only networks use, where the address carried is judged.
 *
 * Called inside libcurl's callbacks: nothing here raises or allocates, or
 * needs PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#include "egress.h"
#include "messages.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Bits before the IPv4 address in ::ffff:a.b.c.d and in 64:ff9b::a.b.c.d. */
#define PREFIX_BITS 96

/* A row: addresses that begin alike are of one class; the first row wins. */
typedef struct Block
{
	unsigned char bytes[16];
	int			bits;
	ApigouvAddressClass class;
} Block;

#define V4(a, b, c, d) {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d}
#define V6(...) {__VA_ARGS__}

static const Block blocks[] = {

	/*
	 * Metadata services of AWS, Scaleway, Tencent, Alibaba, Oracle, Azure
	 * (public by its form), Google.  The first is that of most clouds.
	 */
	{V4(169, 254, 169, 254), 128, APIGOUV_ADDRESS_METADATA},
	{V4(169, 254, 169, 253), 128, APIGOUV_ADDRESS_METADATA},
	{V4(169, 254, 169, 123), 128, APIGOUV_ADDRESS_METADATA},
	{V4(169, 254, 170, 0), 120, APIGOUV_ADDRESS_METADATA},
	{V6(0xfd, 0x00, 0x0e, 0xc2), 32, APIGOUV_ADDRESS_METADATA},
	{V4(169, 254, 42, 42), 128, APIGOUV_ADDRESS_METADATA},
	{V6(0xfd, 0x00, 0x00, 0x42), 32, APIGOUV_ADDRESS_METADATA},
	{V4(169, 254, 0, 23), 128, APIGOUV_ADDRESS_METADATA},
	{V4(100, 100, 100, 200), 128, APIGOUV_ADDRESS_METADATA},
	{V4(192, 0, 0, 192), 128, APIGOUV_ADDRESS_METADATA},
	{V4(168, 63, 129, 16), 128, APIGOUV_ADDRESS_METADATA},
	{V6(0xfd, 0x20, 0x00, 0xce), 32, APIGOUV_ADDRESS_METADATA},

	/* to Linux, 0.0.0.0 is this machine */
	{V4(0, 0, 0, 0), 104, APIGOUV_ADDRESS_NO_HOST},
	{V4(10, 0, 0, 0), 104, APIGOUV_ADDRESS_PRIVATE},
	{V4(100, 64, 0, 0), 106, APIGOUV_ADDRESS_SHARED},
	{V4(127, 0, 0, 0), 104, APIGOUV_ADDRESS_LOOPBACK},
	{V4(169, 254, 0, 0), 112, APIGOUV_ADDRESS_LINK_LOCAL},
	{V4(172, 16, 0, 0), 108, APIGOUV_ADDRESS_PRIVATE},
	/* protocols, documentation, relays of 6to4 */
	{V4(192, 0, 0, 0), 120, APIGOUV_ADDRESS_RESERVED},
	{V4(192, 0, 2, 0), 120, APIGOUV_ADDRESS_RESERVED},
	{V4(192, 88, 99, 0), 120, APIGOUV_ADDRESS_RESERVED},
	{V4(192, 168, 0, 0), 112, APIGOUV_ADDRESS_PRIVATE},
	/* measurements, documentation */
	{V4(198, 18, 0, 0), 111, APIGOUV_ADDRESS_RESERVED},
	{V4(198, 51, 100, 0), 120, APIGOUV_ADDRESS_RESERVED},
	{V4(203, 0, 113, 0), 120, APIGOUV_ADDRESS_RESERVED},
	/* multicast, broadcast */
	{V4(224, 0, 0, 0), 100, APIGOUV_ADDRESS_NO_HOST},
	{V4(255, 255, 255, 255), 128, APIGOUV_ADDRESS_NO_HOST},
	{V4(240, 0, 0, 0), 100, APIGOUV_ADDRESS_RESERVED},
	{V4(0, 0, 0, 0), PREFIX_BITS, APIGOUV_ADDRESS_PUBLIC},

	{V6(0), 128, APIGOUV_ADDRESS_NO_HOST},
	{V6(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), 128,
	APIGOUV_ADDRESS_LOOPBACK},
	{V6(0xfc), 7, APIGOUV_ADDRESS_PRIVATE},
	{V6(0xfe, 0x80), 10, APIGOUV_ADDRESS_LINK_LOCAL},
	/* site-local, of old; multicast */
	{V6(0xfe, 0xc0), 10, APIGOUV_ADDRESS_PRIVATE},
	{V6(0xff), 8, APIGOUV_ADDRESS_NO_HOST},
	/* protocols such as Teredo, documentation, 6to4, documentation */
	{V6(0x20, 0x01, 0x00), 23, APIGOUV_ADDRESS_RESERVED},
	{V6(0x20, 0x01, 0x0d, 0xb8), 32, APIGOUV_ADDRESS_RESERVED},
	{V6(0x20, 0x02), 16, APIGOUV_ADDRESS_RESERVED},
	{V6(0x3f, 0xff, 0x00), 20, APIGOUV_ADDRESS_RESERVED},
	{V6(0x20), 3, APIGOUV_ADDRESS_PUBLIC},

	/* IPv4-compatible, translated, local NAT64, discard, not given out yet */
	{V6(0), 0, APIGOUV_ADDRESS_RESERVED},
};

static const unsigned char mapped_prefix[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
};

static const unsigned char nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b};

/* Are the first bits of two addresses equal? */
static bool
begins_alike(const unsigned char *a, const unsigned char *b, int bits)
{
	int			rest = bits % 8;
	int			mask = 0xff00 >> rest & 0xff;

	return memcmp(a, b, bits / 8) == 0 &&
		(rest == 0 || (a[bits / 8] & mask) == (b[bits / 8] & mask));
}

static bool
is_mapped(const ApigouvAddress *address)
{
	return memcmp(address->bytes, mapped_prefix, 12) == 0;
}

/* An IPv4 address in our form. */
static void
map(ApigouvAddress *address, const void *v4)
{
	memcpy(address->bytes, mapped_prefix, 12);
	memcpy(address->bytes + 12, v4, 4);
}

bool
apigouv_egress_address(const struct sockaddr *from, ApigouvAddress *address)
{
	if (from->sa_family == AF_INET)
		map(address, &((const struct sockaddr_in *) from)->sin_addr);
	else if (from->sa_family == AF_INET6)
		memcpy(address->bytes,
			   &((const struct sockaddr_in6 *) from)->sin6_addr, 16);
	else
		return false;
	return true;
}

bool
apigouv_egress_parse(const char *text, size_t len, ApigouvAddress *address)
{
	char		copy[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
	{
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, &v4) == 1)
	{
		map(address, &v4);
		return true;
	}
	return inet_pton(AF_INET6, copy, address->bytes) == 1;
}

/* Number of bits after the slash of a network, at most max; or -1. */
static int
read_bits(const char *text, size_t len, int max)
{
	int			bits = 0;

	if (len == 0 || len > 3)
		return -1;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		bits = bits * 10 + text[i] - '0';
	}
	return bits <= max ? bits : -1;
}

/* Read one network; NULL, or what is wrong. */
static const char *
read_network(const char *text, size_t len, ApigouvNetwork *network)
{
	const char *slash = memchr(text, '/', len);
	size_t		host_len = slash != NULL ? (size_t) (slash - text) : len;
	int			given;
	int			max;

	if (!apigouv_egress_parse(text, host_len, &network->address))
		return gettext_noop("It is no IP address");
	max = memchr(text, ':', host_len) == NULL ? 32 : 128;
	given = slash == NULL ? max
		: read_bits(slash + 1, len - host_len - 1, max);
	if (given < 0)
		return gettext_noop("The length of its prefix is wrong");
	network->bits = max == 32 ? PREFIX_BITS + given : given;
	for (int bit = network->bits; bit < 128; bit++)
	{
		if (network->address.bytes[bit / 8] & 0x80 >> bit % 8)
			return gettext_noop("It has bits to the right of its prefix");
	}
	return NULL;
}

const char *
apigouv_egress_networks(const char *list, ApigouvEgress *egress,
						const char **at, size_t *len)
{
	const char *p = list;

	egress->nnetworks = 0;
	for (;;)
	{
		const char *why;

		p += strspn(p, " \t\r\n");
		*at = p;
		*len = strcspn(p, ",");
		p += *len;
		while (*len > 0 && strchr(" \t\r\n", (*at)[*len - 1]) != NULL)
			(*len)--;
		if (egress->nnetworks == APIGOUV_MAX_NETWORKS)
			return gettext_noop("There are too many");
		why = read_network(*at, *len, &egress->networks[egress->nnetworks]);
		if (why != NULL)
			return why;
		egress->nnetworks++;
		if (*p == '\0')
			return NULL;
		p++;
	}
}

ApigouvAddressClass
apigouv_egress_class(const ApigouvAddress *address)
{
	const Block *block = blocks;

	if (memcmp(address->bytes, nat64_prefix, 12) == 0)
	{
		ApigouvAddress carried;
		ApigouvAddressClass class;

		/* a gateway's own private network, or loopback, is not ours */
		map(&carried, address->bytes + 12);
		class = apigouv_egress_class(&carried);
		return class == APIGOUV_ADDRESS_PUBLIC ||
			class == APIGOUV_ADDRESS_METADATA ? class
			: APIGOUV_ADDRESS_RESERVED;
	}
	/* the last row fits all */
	while (!begins_alike(address->bytes, block->bytes, block->bits))
		block++;
	return block->class;
}

/* Did a superuser give or list this address? */
static bool
is_listed(const ApigouvEgress *egress, const ApigouvAddress *address,
		  ApigouvAddressClass class)
{
	if (egress->has_own &&
		memcmp(egress->own.bytes, address->bytes, 16) == 0)
		return true;
	if (egress->own_loopback && class == APIGOUV_ADDRESS_LOOPBACK)
		return true;
	for (int i = 0; i < egress->nnetworks; i++)
	{
		const ApigouvNetwork *network = &egress->networks[i];

		if (class == APIGOUV_ADDRESS_METADATA && network->bits < 128)
			continue;
		/* ::/0 is not meant for IPv4 */
		if (is_mapped(address) && network->bits < PREFIX_BITS)
			continue;
		if (begins_alike(address->bytes, network->address.bytes,
						 network->bits))
			return true;
	}
	return false;
}

bool
apigouv_egress_allows(const ApigouvEgress *egress,
					  const ApigouvAddress *address)
{
	ApigouvAddressClass class = apigouv_egress_class(address);

	if (class == APIGOUV_ADDRESS_NO_HOST ||
		(egress->loopback_only && class != APIGOUV_ADDRESS_LOOPBACK))
		return false;
	return class == APIGOUV_ADDRESS_PUBLIC ||
		is_listed(egress, address, class);
}

bool
apigouv_egress_can_be_listed(const ApigouvAddress *address)
{
	return apigouv_egress_class(address) != APIGOUV_ADDRESS_NO_HOST;
}

const char *
apigouv_egress_class_text(const ApigouvAddress *address)
{
	switch (apigouv_egress_class(address))
	{
		case APIGOUV_ADDRESS_PUBLIC:
			return gettext_noop("a public address");
		case APIGOUV_ADDRESS_LOOPBACK:
			return gettext_noop("a loopback address");
		case APIGOUV_ADDRESS_PRIVATE:
			return gettext_noop("a private address");
		case APIGOUV_ADDRESS_LINK_LOCAL:
			return gettext_noop("a link-local address");
		case APIGOUV_ADDRESS_SHARED:
			return gettext_noop("an address behind a provider's NAT");
		case APIGOUV_ADDRESS_METADATA:
			return gettext_noop("the address of a cloud's metadata service");
		case APIGOUV_ADDRESS_RESERVED:
			return gettext_noop("a reserved address");
		case APIGOUV_ADDRESS_NO_HOST:
			return gettext_noop("an address of no host");
	}
	return "";
}

void
apigouv_egress_text(const ApigouvAddress *address,
					char out[APIGOUV_ADDRESS_TEXT])
{
	const void *bytes = address->bytes;
	int			family = AF_INET6;

	if (is_mapped(address))
	{
		family = AF_INET;
		bytes = address->bytes + 12;
	}
	if (inet_ntop(family, bytes, out, APIGOUV_ADDRESS_TEXT) == NULL)
		out[0] = '\0';
}
