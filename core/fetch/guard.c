#include "core/fetch/guard.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a row of the table says about the addresses in its network. */
enum verdict {
    PUBLIC,
    REFUSED,
    /* Judged by IPv4 addresses inside the IPv6 address, which must be public too. */
    EMBEDS_AT_2,   /* 6to4: behind the prefix */
    EMBEDS_AT_12,  /* the last 32 bits */
    EMBEDS_TEREDO, /* the server's, and the client's with every bit inverted */
    /* Refused, but where it is allowed it leads to an IPv4 address, in one of four places. */
    REFUSED_NAT64
};

struct rule {
    const char *net;
    enum verdict verdict;
    const char *reason; /* what a refusal says */
};

/*
 * The IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890, RFC 8190), and what the
 * address architecture sets aside. The first row that fits decides, so the narrow stand above the
 * wide. Blocks within 192.0.0.0/24 and 2001::/23 that the registries call globally reachable are
 * anycast services for the protocols named there (PCP, TURN, AMT...), no web servers: refused with
 * the rest of their block.
 */
static const struct rule rules[] = {
    {"0.0.0.0/8", REFUSED, "\"this network\" address (RFC 791)"},
    {"10.0.0.0/8", REFUSED, "private address (RFC 1918)"},
    {"100.64.0.0/10", REFUSED, "carrier-grade NAT address (RFC 6598)"},
    {"127.0.0.0/8", REFUSED, "loopback address (RFC 1122)"},
    {"169.254.0.0/16", REFUSED, "link-local address (RFC 3927)"},
    {"172.16.0.0/12", REFUSED, "private address (RFC 1918)"},
    {"192.0.0.0/24", REFUSED, "IETF protocol assignment (RFC 6890)"},
    {"192.0.2.0/24", REFUSED, "documentation address (RFC 5737)"},
    {"192.88.99.0/24", REFUSED, "deprecated 6to4 relay address (RFC 7526)"},
    {"192.168.0.0/16", REFUSED, "private address (RFC 1918)"},
    {"198.18.0.0/15", REFUSED, "benchmarking address (RFC 2544)"},
    {"198.51.100.0/24", REFUSED, "documentation address (RFC 5737)"},
    {"203.0.113.0/24", REFUSED, "documentation address (RFC 5737)"},
    {"224.0.0.0/4", REFUSED, "multicast address (RFC 5771)"},
    {"255.255.255.255", REFUSED, "broadcast address (RFC 919)"},
    {"240.0.0.0/4", REFUSED, "reserved address (RFC 1112)"},
    {"0.0.0.0/0", PUBLIC, NULL},

    {"::", REFUSED, "unspecified address (RFC 4291)"},
    {"::1", REFUSED, "loopback address (RFC 4291)"},
    {"::/96", EMBEDS_AT_12, NULL},        /* IPv4-compatible, RFC 4291 section 2.5.5.1 */
    {"64:ff9b::/96", EMBEDS_AT_12, NULL}, /* NAT64, RFC 6052 section 2.1 */
    {"64:ff9b:1::/48", REFUSED_NAT64, "local-use NAT64 address (RFC 8215)"},
    {"100::/64", REFUSED, "discard-only address (RFC 6666)"},
    {"100:0:0:1::/64", REFUSED, "dummy address (RFC 9780)"},
    {"2001::/32", EMBEDS_TEREDO, NULL}, /* RFC 4380 section 4 */
    {"2001:2::/48", REFUSED, "benchmarking address (RFC 5180)"},
    {"2001:10::/28", REFUSED, "ORCHID (RFC 4843)"},
    {"2001:20::/28", REFUSED, "ORCHIDv2 (RFC 7343)"},
    {"2001::/23", REFUSED, "IETF protocol assignment (RFC 2928)"},
    {"2001:db8::/32", REFUSED, "documentation address (RFC 3849)"},
    {"2002::/16", EMBEDS_AT_2, NULL}, /* 6to4, RFC 3056 section 2 */
    {"3fff::/20", REFUSED, "documentation address (RFC 9637)"},
    {"5f00::/16", REFUSED, "segment routing identifier (RFC 9602)"},
    {"fc00::/7", REFUSED, "unique local address (RFC 4193)"},
    {"fe80::/10", REFUSED, "link-local address (RFC 4291)"},
    {"fec0::/10", REFUSED, "site-local address (RFC 3879)"},
    {"ff00::/8", REFUSED, "multicast address (RFC 4291)"},
    {"2000::/3", PUBLIC, NULL}, /* global unicast: the only part that IANA gives out */
    {"::/0", REFUSED, "reserved address (RFC 4291)"},
};

#define RULE_COUNT (sizeof rules / sizeof *rules)

struct guard {
    struct net rule_nets[RULE_COUNT];               /* `rules[i].net`, parsed */
    unsigned char open_ports[(UINT16_MAX + 1) / 8]; /* a bit for each */
    size_t allow_count, deny_count;
    struct net listed[]; /* the allowed ones, then the denied ones */
};

static const struct net mapped = {AF_INET6, {[10] = 0xff, [11] = 0xff}, 96};

static unsigned address_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* Whether the first `bits` bits of `a` and `b` are the same. */
static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/* A network that keeps what net_parse promises: known family, prefix in range, no host bits. */
static bool net_is_valid(const struct net *net)
{
    if ((net->family != AF_INET && net->family != AF_INET6) ||
        net->prefix_len > address_bits(net->family))
        return false;
    for (unsigned bit = net->prefix_len; bit < 8 * sizeof net->address; bit++) {
        if (net->address[bit / 8] & (0x80 >> bit % 8))
            return false;
    }
    return true;
}

/* A decimal number of 0..max in the whole of `text`, without sign, spaces or leading zeros. */
static int parse_prefix_len(const char *text, unsigned max, unsigned *ret_len)
{
    unsigned n = 0;

    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        n = n * 10 + (unsigned)(*text - '0');
        if (n > max)
            return -EINVAL;
    }
    *ret_len = n;
    return 0;
}

int net_parse(const char *text, struct net *ret_net)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    char address[INET6_ADDRSTRLEN];
    struct net net = {.family = memchr(text, ':', len) ? AF_INET6 : AF_INET};

    if (len >= sizeof address)
        return -EINVAL;
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(net.family, address, net.address) != 1)
        return -EINVAL;

    net.prefix_len = address_bits(net.family);
    if (slash && parse_prefix_len(slash + 1, net.prefix_len, &net.prefix_len) < 0)
        return -EINVAL;
    if (!net_is_valid(&net))
        return -EINVAL;
    *ret_net = net;
    return 0;
}

bool net_contains(const struct net *net, int family, const unsigned char *address)
{
    return net->family == family && same_prefix(net->address, address, net->prefix_len);
}

/* `net` as IPv4 network where it is the IPv4-mapped spelling of one, else as it is. */
static struct net net_unmap(struct net net)
{
    struct net v4 = {.family = AF_INET};

    if (net.prefix_len < mapped.prefix_len || !net_contains(&mapped, net.family, net.address))
        return net;
    memcpy(v4.address, net.address + 12, 4);
    v4.prefix_len = net.prefix_len - mapped.prefix_len;
    return v4;
}

static bool options_are_valid(const struct guard_options *options)
{
    for (size_t i = 0; i < options->allow_count; i++) {
        if (!net_is_valid(&options->allow[i]))
            return false;
    }
    for (size_t i = 0; i < options->deny_count; i++) {
        if (!net_is_valid(&options->deny[i]))
            return false;
    }
    for (size_t i = 0; i < options->port_count; i++) {
        if (options->ports[i] == 0)
            return false;
    }
    return true;
}

static void open_ports(struct guard *guard, const uint16_t *ports, size_t count)
{
    for (size_t i = 0; i < count; i++)
        guard->open_ports[ports[i] / 8] |= (unsigned char)(1 << ports[i] % 8);
}

int guard_new(const struct guard_options *options, struct guard **ret_guard)
{
    static const uint16_t usual[] = {GUARD_PORTS};
    struct guard *guard;
    size_t count, bytes;

    if (!options_are_valid(options))
        return -EINVAL;
    if (__builtin_add_overflow(options->allow_count, options->deny_count, &count) ||
        __builtin_mul_overflow(count, sizeof *guard->listed, &bytes) ||
        __builtin_add_overflow(bytes, sizeof *guard, &bytes))
        return -ENOMEM;
    guard = calloc(1, bytes);
    if (!guard)
        return -ENOMEM;

    for (size_t i = 0; i < RULE_COUNT; i++) {
        int r = net_parse(rules[i].net, &guard->rule_nets[i]);

        assert(r == 0); /* the table is a constant, and a test walks all of it */
        (void)r;
    }
    open_ports(guard, usual, sizeof usual / sizeof *usual);
    open_ports(guard, options->ports, options->port_count);
    guard->allow_count = options->allow_count;
    guard->deny_count = options->deny_count;
    for (size_t i = 0; i < options->allow_count; i++)
        guard->listed[i] = net_unmap(options->allow[i]);
    for (size_t i = 0; i < options->deny_count; i++)
        guard->listed[options->allow_count + i] = net_unmap(options->deny[i]);
    *ret_guard = guard;
    return 0;
}

void guard_free(struct guard *guard)
{
    free(guard);
}

static const struct rule *rule_of(const struct guard *guard, int family,
                                  const unsigned char *address)
{
    size_t i = 0;

    while (!net_contains(&guard->rule_nets[i], family, address)) {
        i++;
        assert(i < RULE_COUNT); /* the last row of each family has every address */
    }
    return &rules[i];
}

/* -- IPv4 inside IPv6 -------------------------------------------------------------------------- */

enum { EMBEDDED_MAX = 4 };

/*
 * RFC 6052 section 2.2: where the IPv4 address stands depends on the prefix length that the
 * operator of the translator chose. Here for /48, /56, /64 and /96; bits 64 to 71 are left out.
 */
static const unsigned char nat64_places[EMBEDDED_MAX][4] = {
    {6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}};

/* The IPv4 addresses that an IPv6 address leads to, or may lead to; returns how many. */
static unsigned embedded(const struct rule *rule, const unsigned char *address,
                         unsigned char ret[static EMBEDDED_MAX][4])
{
    switch (rule->verdict) {
    case PUBLIC:
    case REFUSED:
        return 0;
    case EMBEDS_AT_2:
        memcpy(ret[0], address + 2, 4);
        return 1;
    case EMBEDS_AT_12:
        memcpy(ret[0], address + 12, 4);
        return 1;
    case EMBEDS_TEREDO:
        memcpy(ret[0], address + 4, 4);
        for (size_t i = 0; i < 4; i++)
            ret[1][i] = (unsigned char)~address[12 + i];
        return 2;
    case REFUSED_NAT64:
        for (size_t i = 0; i < EMBEDDED_MAX; i++) {
            for (size_t j = 0; j < 4; j++)
                ret[i][j] = address[nat64_places[i][j]];
        }
        return EMBEDDED_MAX;
    }
    return 0;
}

/* -- the judgement ----------------------------------------------------------------------------- */

/* Why the table refuses the address, or NULL. */
static const char *judge(const struct guard *guard, int family, const unsigned char *address)
{
    const struct rule *rule = rule_of(guard, family, address);
    unsigned char inner[EMBEDDED_MAX][4];

    if (rule->verdict == REFUSED || rule->verdict == REFUSED_NAT64)
        return rule->reason;
    unsigned count = embedded(rule, address, inner);
    for (unsigned i = 0; i < count; i++) {
        const struct rule *inner_rule = rule_of(guard, AF_INET, inner[i]);

        if (inner_rule->verdict != PUBLIC)
            return inner_rule->reason;
    }
    return NULL;
}

static bool is_listed(const struct net *nets, size_t count, int family,
                      const unsigned char *address)
{
    for (size_t i = 0; i < count; i++) {
        if (net_contains(&nets[i], family, address))
            return true;
    }
    return false;
}

static bool is_denied(const struct guard *guard, int family, const unsigned char *address)
{
    const struct net *deny = guard->listed + guard->allow_count;
    unsigned char inner[EMBEDDED_MAX][4];

    if (guard->deny_count == 0)
        return false;
    if (is_listed(deny, guard->deny_count, family, address))
        return true;
    unsigned count = embedded(rule_of(guard, family, address), address, inner);
    for (unsigned i = 0; i < count; i++) {
        if (is_listed(deny, guard->deny_count, AF_INET, inner[i]))
            return true;
    }
    return false;
}

static const char port_refused[] =
    "port other than 80, 443, 8080, 8443 and those that were allowed";

static bool is_open(const struct guard *guard, uint16_t port)
{
    return guard->open_ports[port / 8] & (1 << port % 8);
}

/* Why there may be no connection, or NULL. `port` is in host byte order. */
static const char *refusal(const struct guard *guard, int family, const unsigned char *address,
                           uint16_t port)
{
    const char *reason;

    if (is_denied(guard, family, address))
        return "address in a denied network";
    if (is_listed(guard->listed, guard->allow_count, family, address))
        return NULL;
    reason = judge(guard, family, address);
    if (reason)
        return reason;
    return is_open(guard, port) ? NULL : port_refused;
}

bool guard_allows(const struct guard *guard, const struct sockaddr *address,
                  const char **ret_reason)
{
    int family = address->sa_family;
    const char *reason = "not an IP address";
    unsigned char ip[16];
    in_port_t port;

    /* Copied out: what libcurl hands over is a sockaddr that is larger than its type says. */
    if (family == AF_INET) {
        memcpy(ip, (const char *)address + offsetof(struct sockaddr_in, sin_addr), 4);
        memcpy(&port, (const char *)address + offsetof(struct sockaddr_in, sin_port), sizeof port);
        reason = refusal(guard, AF_INET, ip, ntohs(port));
    } else if (family == AF_INET6) {
        memcpy(ip, (const char *)address + offsetof(struct sockaddr_in6, sin6_addr), 16);
        memcpy(&port, (const char *)address + offsetof(struct sockaddr_in6, sin6_port),
               sizeof port);
        reason = net_contains(&mapped, AF_INET6, ip) ? refusal(guard, AF_INET, ip + 12, ntohs(port))
                                                     : refusal(guard, AF_INET6, ip, ntohs(port));
    }
    if (reason && ret_reason)
        *ret_reason = reason;
    return !reason;
}

bool guard_allows_port(const struct guard *guard, uint16_t port, const char **ret_reason)
{
    if (is_open(guard, port))
        return true;
    if (ret_reason)
        *ret_reason = port_refused;
    return false;
}
