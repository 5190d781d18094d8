/*
 * The address guard: which addresses a fetch may connect to.
 *
 * A service that fetches the URLs it is given is a way into the network it stands in (server-side
 * request forgery). So only addresses that the public internet can route to are connected to, plus
 * the networks that the operator listed. The guard judges the *resolved* address at the moment of
 * the connect; a name, a spelling or a redirect cannot talk it round.
 */
#ifndef SKIMD_FETCH_GUARD_H
#define SKIMD_FETCH_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A network in CIDR notation (RFC 4632 section 3.1, RFC 4291 section 2.3). */
struct net {
    int family; /* AF_INET or AF_INET6 */
    unsigned char
        address[16];     /* network byte order; AF_INET uses the first 4 bytes, the rest is 0 */
    unsigned prefix_len; /* bits: 0..32 or 0..128 */
};

/*
 * Parses "192.0.2.0/24", "2001:db8::/32" or a bare address (a network of one). Strict: four decimal
 * parts without leading zeros, no brackets, no zone, no white space, and no bit set behind the
 * prefix ("10.0.0.1/8" is more likely a typing error than a wish for all of 10.0.0.0/8). Any
 * thread.
 *
 * Returns 0, or -EINVAL and leaves `*ret_net` alone.
 */
int net_parse(const char *text, struct net *ret_net);

/*
 * Whether `address` (4 bytes for AF_INET, 16 for AF_INET6, network byte order) of `family` lies in
 * `net`. An address of the other family never does, an IPv4-mapped one neither. Any thread.
 */
bool net_contains(const struct net *net, int family, const unsigned char *address);

/* Immutable once made, so that any thread may ask it without a lock. */
struct guard;

/* Everything is copied; pointers may be NULL where the count is 0. */
struct guard_options {
    const struct net *allow, *deny;
    size_t allow_count, deny_count;
    const uint16_t *ports; /* host byte order, beside GUARD_PORTS */
    size_t port_count;
};

/* The ports that are open anyway. */
#define GUARD_PORTS 80, 443, 8080, 8443

/*
 * Makes a guard that allows public addresses at the usual ports and those given, and addresses in
 * the networks of `allow` at any port; what lies in `deny` is refused, also where it is public or
 * listed in `allow`. A listed network that lies within ::ffff:0:0/96 stands for the IPv4 network it
 * maps. An IPv4 network in `deny` also refuses the IPv6 addresses that lead to it (6to4, Teredo,
 * NAT64, IPv4-compatible), or that may: behind a local-use NAT64 prefix the IPv4 address can stand
 * in four places.
 *
 * Returns 0 and the guard, which the caller owns; -EINVAL for a network that net_parse would not
 * have made, or port 0; -ENOMEM.
 */
int guard_new(const struct guard_options *options, struct guard **ret_guard);

/* Frees a guard that nobody uses any more. NULL is fine. */
void guard_free(struct guard *guard);

/*
 * Whether a connection to `address` (a complete sockaddr_in or sockaddr_in6, port and all) may be
 * opened. Where it may not, `*ret_reason` (NULL: not wanted) becomes a static text that names the
 * kind of address, or says that the port is not open; it is left alone otherwise. Never blocks or
 * allocates. Any thread.
 *
 * - An IPv4-mapped address is the IPv4 address: the same rules and the same allow list hold.
 * - IPv4-compatible, 6to4, Teredo and NAT64 addresses are judged by the IPv4 address they lead to,
 *   which must be public: that somebody's 127.0.0.0/8 is allowed here says nothing about the
 *   loopback of a relay. They can be allowed by their IPv6 spelling only.
 * - Whatever is neither IPv4 nor IPv6 (a UNIX socket) is refused.
 */
bool guard_allows(const struct guard *guard, const struct sockaddr *address,
                  const char **ret_reason);

/*
 * Whether this port of a host may be connected to whose address is not known, since a proxy looks
 * it up: of the usual ports and those given. Otherwise as guard_allows.
 */
bool guard_allows_port(const struct guard *guard, uint16_t port, const char **ret_reason);

#endif
