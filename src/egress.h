/*-------------------------------------------------------------------------
 *
 * egress.h
 *		Which addresses a foreign server's requests may connect to.
 *
 * Pure C: builds and is tested without PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef APIGOUV_EGRESS_H
#define APIGOUV_EGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* Networks that a foreign server may list. */
#define APIGOUV_MAX_NETWORKS	16

/* Room for an address as text, its final NUL included. */
#define APIGOUV_ADDRESS_TEXT	48

/* An IPv6 address; one of IPv4 as ::ffff:a.b.c.d, which connects alike. */
typedef struct ApigouvAddress
{
	unsigned char bytes[16];
} ApigouvAddress;

typedef struct ApigouvNetwork
{
	ApigouvAddress address;
	int			bits;			/* of 128, fixed */
} ApigouvNetwork;

typedef enum ApigouvAddressClass
{
	APIGOUV_ADDRESS_PUBLIC,
	APIGOUV_ADDRESS_LOOPBACK,
	APIGOUV_ADDRESS_PRIVATE,	/* RFC 1918, unique-local, site-local */
	APIGOUV_ADDRESS_LINK_LOCAL,
	APIGOUV_ADDRESS_SHARED,		/* carrier-grade NAT */
	APIGOUV_ADDRESS_METADATA,	/* of a cloud: gives out credentials */
	APIGOUV_ADDRESS_RESERVED,	/* anything else that is not public */
	APIGOUV_ADDRESS_NO_HOST		/* unspecified, broadcast, multicast */
} ApigouvAddressClass;

/*
 * What the connections of one request may lead to.  Public addresses always
 * may, but for loopback_only.
 */
typedef struct ApigouvEgress
{
	bool		loopback_only;	/* nothing encrypts what is sent */
	bool		own_loopback;	/* a superuser gave the name localhost */
	bool		has_own;		/* a superuser gave this very address */
	ApigouvAddress own;
	int			nnetworks;		/* that a superuser listed */
	ApigouvNetwork networks[APIGOUV_MAX_NETWORKS];
} ApigouvEgress;

/* The address of a socket; false when it is of another family. */
extern bool apigouv_egress_address(const struct sockaddr *from,
								   ApigouvAddress *address);

/*
 * The address that a text of len bytes is, in brackets or not, without zone;
 * false when it is none.  Only the usual forms: libcurl has written it.
 */
extern bool apigouv_egress_parse(const char *text, size_t len,
								 ApigouvAddress *address);

/*
 * Read a list such as "10.1.2.0/24, fd12::/48, 10.9.0.7".  NULL, or what is
 * wrong with its member that begins at *at and has *len bytes.
 */
extern const char *apigouv_egress_networks(const char *list,
										   ApigouvEgress *egress,
										   const char **at, size_t *len);

extern ApigouvAddressClass apigouv_egress_class(const ApigouvAddress *address);

/* May a request connect there? */
extern bool apigouv_egress_allows(const ApigouvEgress *egress,
								  const ApigouvAddress *address);

/* What an address is, for a message: "a private address". */
extern const char *apigouv_egress_class_text(const ApigouvAddress *address);

/* Could the address be listed by a superuser? */
extern bool apigouv_egress_can_be_listed(const ApigouvAddress *address);

/* The address as text. */
extern void apigouv_egress_text(const ApigouvAddress *address,
								char out[APIGOUV_ADDRESS_TEXT]);

#endif							/* APIGOUV_EGRESS_H */
