#include "core/fetch/guard.h"
#include "core/fetch/target.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static struct net parse(const char *text)
{
    struct net net;

    ck_assert_msg(net_parse(text, &net) == 0, "%s is no network", text);
    return net;
}

/* A guard that allows the networks of `allow` besides what is public, and denies those of `deny`:
 * lists that end with NULL, or NULL. */
static struct guard *guard_between(const char *const *allow, const char *const *deny)
{
    enum { MOST = 4 };
    struct net allowed[MOST], denied[MOST];
    struct guard_options options = {.allow = allowed, .deny = denied};
    struct guard *guard = NULL;

    for (; allow && *allow; allow++) {
        ck_assert_uint_lt(options.allow_count, MOST);
        allowed[options.allow_count++] = parse(*allow);
    }
    for (; deny && *deny; deny++) {
        ck_assert_uint_lt(options.deny_count, MOST);
        denied[options.deny_count++] = parse(*deny);
    }
    ck_assert_int_eq(guard_new(&options, &guard), 0);
    return guard;
}

#define NETS(...)       ((const char *const[]){__VA_ARGS__, NULL})
#define guard_with(...) guard_between(NETS(__VA_ARGS__), NULL)

static struct guard *plain_guard(void)
{
    return guard_between(NULL, NULL);
}

static bool allows_at(const struct guard *guard, const char *text, uint16_t port,
                      const char **ret_reason)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};

    if (strchr(text, ':')) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        ck_assert_msg(inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1, "%s", text);
    } else {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        ck_assert_msg(inet_pton(AF_INET, text, &address.v4.sin_addr) == 1, "%s", text);
    }
    return guard_allows(guard, &address.any, ret_reason);
}

static bool allows(const struct guard *guard, const char *text, const char **ret_reason)
{
    return allows_at(guard, text, 80, ret_reason);
}

/* -- networks ---------------------------------------------------------------------------------- */

START_TEST(a_network_is_an_address_and_a_prefix_length)
{
    struct net net = parse("192.168.128.0/17");

    ck_assert_int_eq(net.family, AF_INET);
    ck_assert_uint_eq(net.prefix_len, 17);
    ck_assert_mem_eq(net.address, ((unsigned char[16]){192, 168, 128}), 16);

    net = parse("2001:db8:8000::/33");
    ck_assert_int_eq(net.family, AF_INET6);
    ck_assert_uint_eq(net.prefix_len, 33);
    ck_assert_mem_eq(net.address, ((unsigned char[16]){0x20, 0x01, 0x0d, 0xb8, 0x80}), 16);
}
END_TEST

START_TEST(a_bare_address_is_a_network_of_one)
{
    ck_assert_uint_eq(parse("192.0.2.1").prefix_len, 32);
    ck_assert_uint_eq(parse("2001:db8::1").prefix_len, 128);
    ck_assert_uint_eq(parse("0.0.0.0/0").prefix_len, 0);
    ck_assert_uint_eq(parse("::/0").prefix_len, 0);
}
END_TEST

static const char *const no_networks[] = {"",
                                          "/",
                                          "/8",
                                          "10.0.0.0/",
                                          "10.0.0.0/33",
                                          "10.0.0.0/-1",
                                          "10.0.0.0/+8",
                                          "10.0.0.0/ 8",
                                          "10.0.0.0/08",
                                          "10.0.0.0/8/8",
                                          "10.0.0.0/8 ",
                                          " 10.0.0.0/8",
                                          "10.0.0.1/8",
                                          "10/8",
                                          "10.0.0/8",
                                          "010.0.0.0/8",
                                          "0xa.0.0.0/8",
                                          "256.0.0.0/8",
                                          "127.1",
                                          "localhost",
                                          "[::1]",
                                          "::1/127",
                                          "::1/129",
                                          "::/00",
                                          "fe80::1%lo",
                                          "1::2::3",
                                          ":",
                                          "10.0.0.0/8x",
                                          "10.0.0.128/24",
                                          "2001:db8::/16",
                                          "10.0.0.0/4294967304",
                                          "0000:0000:0000:0000:0000:ffff:255.255.255.2550"};

START_TEST(what_is_no_strict_cidr_is_refused)
{
    struct net net = {.family = -1};

    ck_assert_msg(net_parse(no_networks[_i], &net) == -EINVAL, "'%s' was taken", no_networks[_i]);
    ck_assert_int_eq(net.family, -1);
}
END_TEST

START_TEST(a_network_contains_what_has_its_prefix)
{
    struct net net = parse("172.16.0.0/12");

    ck_assert(net_contains(&net, AF_INET, (unsigned char[]){172, 16, 0, 0}));
    ck_assert(net_contains(&net, AF_INET, (unsigned char[]){172, 31, 255, 255}));
    ck_assert(!net_contains(&net, AF_INET, (unsigned char[]){172, 32, 0, 0}));
    ck_assert(!net_contains(&net, AF_INET, (unsigned char[]){172, 15, 255, 255}));
    ck_assert(!net_contains(&net, AF_INET6, (unsigned char[16]){172, 16}));

    net = parse("::/0");
    ck_assert(net_contains(&net, AF_INET6, (unsigned char[16]){0xff}));
    ck_assert(!net_contains(&net, AF_INET, (unsigned char[]){1, 1, 1, 1}));
}
END_TEST

/* -- the guard without an allow list ----------------------------------------------------------- */

/* First and last address of a refused range, and the neighbours on both sides. */
struct range {
    const char *before, *first, *last, *after; /* a neighbour is NULL where it is refused too */
    const char *reason;                        /* a word of the message */
};

static const struct range ranges[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0", "this network"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "private"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", "carrier-grade"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "loopback"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", "link-local"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", "private"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", "protocol assignment"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0", "documentation"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0", "6to4"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", "private"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0", "benchmarking"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0", "documentation"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0", "documentation"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL, "multicast"},
    {NULL, "240.0.0.0", "255.255.255.254", NULL, "reserved"},
    {NULL, "255.255.255.255", "255.255.255.255", NULL, "broadcast"},

    {NULL, "::", "::", NULL, "unspecified"},
    {NULL, "::1", "::1", NULL, "loopback"},
    {NULL, "::2", "::ff:ffff", "::100:0", "this network"}, /* read as IPv4-compatible */
    {NULL, "::1:0:0", "::fffe:ffff:ffff", NULL, "reserved"},
    {NULL, "::ffff:0:0", "::ffff:0.255.255.255", "::ffff:1.0.0.0", "this network"},
    {"::ffff:223.255.255.255", "::ffff:224.0.0.0", "::ffff:239.255.255.255", NULL, "multicast"},
    {NULL, "::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "64:ff9b:0:0:0:1::", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL, "local-use NAT64"},
    {NULL, "64:ff9b:2::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL, "discard"},
    {NULL, "100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", NULL, "dummy"},
    {NULL, "100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "protocol assignment"},
    {NULL, "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", NULL, "benchmarking"},
    {NULL, "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "ORCHID"},
    {NULL, "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "ORCHIDv2"},
    {NULL, "2001:30::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "assignment"},
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "documentation"},
    {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
     "3fff:1000::", "documentation"},
    {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     NULL, "reserved"},
    {NULL, "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "segment routing"},
    {NULL, "5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "unique local"},
    {NULL, "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "reserved"},
    {NULL, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "link-local"},
    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "site-local"},
    {NULL, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "multicast"},
};

static void assert_refused(const struct guard *guard, const char *address, const char *word)
{
    const char *reason = NULL;

    ck_assert_msg(!allows(guard, address, &reason), "%s is allowed", address);
    ck_assert_msg(strstr(reason, word) != NULL, "%s: '%s' instead of '%s'", address, reason, word);
}

static void assert_allowed(const struct guard *guard, const char *address)
{
    const char *reason = "untouched";

    ck_assert_msg(allows(guard, address, &reason), "%s: %s", address, reason);
    ck_assert_str_eq(reason, "untouched");
}

START_TEST(a_special_range_is_refused_from_its_first_to_its_last_address)
{
    struct guard *guard = plain_guard();
    const struct range *range = &ranges[_i];

    assert_refused(guard, range->first, range->reason);
    assert_refused(guard, range->last, range->reason);
    if (range->before)
        assert_allowed(guard, range->before);
    if (range->after)
        assert_allowed(guard, range->after);
    guard_free(guard);
}
END_TEST

static const char *const public_addresses[] = {
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "192.31.196.1", /* AS112, globally reachable by RFC 7535 */
    "223.255.255.255",
    "2000::",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2620:4f:8000::1",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2001:0:808:808:0:0:f7f7:f7f7", /* Teredo server and client 8.8.8.8 */
};

START_TEST(public_addresses_are_allowed)
{
    struct guard *guard = plain_guard();

    assert_allowed(guard, public_addresses[_i]);
    guard_free(guard);
}
END_TEST

struct embedded {
    const char *address, *reason;
};

static const struct embedded embedded[] = {
    {"::ffff:127.0.0.1", "loopback"},
    {"::ffff:10.1.2.3", "private"},
    {"::ffff:169.254.169.254", "link-local"},
    {"::127.0.0.1", "loopback"},
    {"::192.168.1.1", "private"},
    {"64:ff9b::127.0.0.1", "loopback"},
    {"64:ff9b::a9fe:a9fe", "link-local"},
    {"64:ff9b::255.255.255.255", "broadcast"},
    {"64:ff9b:1::8.8.8.8", "NAT64"},
    {"64:ff9b:1:7f00:0:100::", "NAT64"},
    {"2002:7f00:1::", "loopback"},
    {"2002:a00:1::1", "private"},
    {"2002:c0a8:101::c0a8:101", "private"},
    {"2002:e000:1::", "multicast"},
    {"2001:0:7f00:1::f7f7:f7f7", "loopback"},  /* the server's */
    {"2001:0:808:808::80ff:fffe", "loopback"}, /* the client's: ~127.0.0.1 */
    {"2001:0:808:808::f5ff:fffe", "private"},
    {"2001::", "this network"},
};

START_TEST(an_embedded_ipv4_address_is_judged)
{
    struct guard *guard = plain_guard();

    assert_refused(guard, embedded[_i].address, embedded[_i].reason);
    guard_free(guard);
}
END_TEST

START_TEST(what_is_no_ip_address_is_refused)
{
    struct guard *guard = guard_with("0.0.0.0/0", "::/0");
    struct sockaddr_un unix_socket = {.sun_family = AF_UNIX};
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    const char *reason = NULL;

    ck_assert(!guard_allows(guard, (struct sockaddr *)&unix_socket, &reason));
    ck_assert_str_eq(reason, "not an IP address");
    ck_assert(!guard_allows(guard, &unspecified, NULL));
    guard_free(guard);
}
END_TEST

/* -- the allow list ---------------------------------------------------------------------------- */

START_TEST(a_listed_network_is_allowed_and_its_neighbours_stay_refused)
{
    struct guard *guard = guard_with("10.1.0.0/16", "fd00::/64");

    assert_allowed(guard, "10.1.0.0");
    assert_allowed(guard, "10.1.255.255");
    assert_refused(guard, "10.0.255.255", "private");
    assert_refused(guard, "10.2.0.0", "private");
    assert_allowed(guard, "fd00::1");
    assert_refused(guard, "fd00:0:0:1::", "unique local");
    assert_refused(guard, "127.0.0.1", "loopback");
    assert_allowed(guard, "8.8.8.8");
    guard_free(guard);
}
END_TEST

START_TEST(a_listed_ipv4_network_holds_for_its_mapped_spelling)
{
    struct guard *guard = guard_with("127.0.0.0/8");

    assert_allowed(guard, "127.0.0.1");
    assert_allowed(guard, "::ffff:127.1.2.3");
    assert_refused(guard, "::ffff:10.0.0.1", "private");
    assert_refused(guard, "::1", "loopback");
    guard_free(guard);
}
END_TEST

START_TEST(a_listed_mapped_network_is_the_ipv4_network)
{
    struct guard *guard = guard_with("::ffff:127.0.0.0/104");

    assert_allowed(guard, "127.0.0.1");
    assert_allowed(guard, "::ffff:127.0.0.1");
    assert_refused(guard, "10.0.0.1", "private");
    guard_free(guard);
}
END_TEST

START_TEST(a_listed_ipv6_network_does_not_open_mapped_ipv4)
{
    struct guard *guard = guard_with("::/0");

    assert_allowed(guard, "::1");
    assert_refused(guard, "::ffff:127.0.0.1", "loopback");
    guard_free(guard);
}
END_TEST

START_TEST(a_listed_ipv4_network_does_not_open_what_a_relay_makes_of_it)
{
    struct guard *guard = guard_with("127.0.0.0/8");

    assert_refused(guard, "64:ff9b::127.0.0.1", "loopback");
    assert_refused(guard, "2002:7f00:1::", "loopback");
    assert_refused(guard, "::127.0.0.1", "loopback");
    guard_free(guard);

    guard = guard_with("64:ff9b:1::/48");
    assert_allowed(guard, "64:ff9b:1::10.0.0.1");
    guard_free(guard);
}
END_TEST

/* -- the deny list ----------------------------------------------------------------------------- */

START_TEST(a_denied_network_is_refused_although_it_is_public)
{
    struct guard *guard = guard_between(NULL, NETS("198.41.0.0/24", "2606:4700::/32"));

    assert_refused(guard, "198.41.0.0", "denied");
    assert_refused(guard, "198.41.0.255", "denied");
    assert_refused(guard, "::ffff:198.41.0.4", "denied");
    assert_refused(guard, "2606:4700:4700::1111", "denied");
    assert_allowed(guard, "198.40.255.255");
    assert_allowed(guard, "198.41.1.0");
    assert_allowed(guard, "2606:4701::1");
    guard_free(guard);
}
END_TEST

START_TEST(what_is_denied_cannot_be_allowed)
{
    struct guard *guard = guard_between(NETS("10.0.0.0/8", "fd00::/8"),
                                        NETS("10.1.0.0/16", "::ffff:10.2.0.0/112", "fd01::/16"));

    assert_allowed(guard, "10.0.0.1");
    assert_refused(guard, "10.1.0.1", "denied");
    assert_refused(guard, "::ffff:10.1.0.1", "denied");
    assert_refused(guard, "10.2.0.1", "denied");
    assert_allowed(guard, "fd00::1");
    assert_refused(guard, "fd01::1", "denied");
    guard_free(guard);

    guard = guard_between(NETS("10.1.2.3"), NETS("10.0.0.0/8"));
    assert_refused(guard, "10.1.2.3", "denied");
    guard_free(guard);
}
END_TEST

/* All of them lead to 198.41.0.4. */
static const char *const ways_round[] = {
    "::198.41.0.4",
    "64:ff9b::198.41.0.4",
    "2002:c629:4::1",
    "2001:0:c629:4:0:0:f7f7:f7f7",  /* the Teredo server */
    "2001:0:808:808:0:0:39d6:fffb", /* the Teredo client */
    "64:ff9b:1:c629:0:400::",       /* local-use NAT64, RFC 6052: /48 */
    "64:ff9b:1:c6:29:4::",          /* /56 */
    "64:ff9b:1::c6:2900:400:0",     /* /64 */
    "64:ff9b:1::198.41.0.4",        /* /96 */
};

START_TEST(a_denied_ipv4_network_is_refused_by_every_way_round)
{
    struct guard *guard = guard_between(NETS("::/0"), NULL);

    assert_allowed(guard, ways_round[_i]);
    guard_free(guard);
    guard = guard_between(NETS("::/0"), NETS("198.41.0.0/24"));
    assert_refused(guard, ways_round[_i], "denied");
    guard_free(guard);
    guard = guard_between(NETS("::/0"), NETS("198.41.0.5"));
    assert_allowed(guard, ways_round[_i]);
    guard_free(guard);
}
END_TEST

START_TEST(a_denied_ipv6_network_leaves_ipv4_alone)
{
    struct guard *guard = guard_between(NULL, NETS("::/0"));

    assert_refused(guard, "2606:4700:4700::1111", "denied");
    assert_allowed(guard, "8.8.8.8");
    assert_allowed(guard, "::ffff:8.8.8.8");
    guard_free(guard);
}
END_TEST

/* -- ports ------------------------------------------------------------------------------------- */

static void assert_open(const struct guard *guard, const char *address, uint16_t port)
{
    const char *reason = "untouched";

    ck_assert_msg(allows_at(guard, address, port, &reason), "%s, port %u: %s", address, port,
                  reason);
    ck_assert_str_eq(reason, "untouched");
}

static void assert_closed(const struct guard *guard, const char *address, uint16_t port,
                          const char *word)
{
    const char *reason = NULL;

    ck_assert_msg(!allows_at(guard, address, port, &reason), "%s, port %u", address, port);
    ck_assert_msg(strstr(reason, word) != NULL, "%s, port %u: '%s'", address, port, reason);
}

static const char not_open[] = "port other than 80, 443, 8080, 8443 and those that were allowed";

START_TEST(a_public_address_is_open_at_the_usual_ports_only)
{
    static const uint16_t usual[] = {GUARD_PORTS};
    struct guard *guard = plain_guard();
    unsigned open = 0;

    for (unsigned port = 0; port <= UINT16_MAX; port++)
        open += allows_at(guard, "8.8.8.8", (uint16_t)port, NULL);
    ck_assert_uint_eq(open, sizeof usual / sizeof *usual);
    for (size_t i = 0; i < open; i++) {
        assert_open(guard, "8.8.8.8", usual[i]);
        assert_open(guard, "2606:4700:4700::1111", usual[i]);
        assert_open(guard, "::ffff:8.8.8.8", usual[i]);
        assert_open(guard, "64:ff9b::8.8.8.8", usual[i]);
    }
    assert_closed(guard, "8.8.8.8", 25, not_open);
    assert_closed(guard, "2606:4700:4700::1111", 6379, not_open);
    assert_closed(guard, "::ffff:8.8.8.8", 22, not_open);
    guard_free(guard);
}
END_TEST

START_TEST(a_port_that_is_given_is_open_beside_the_usual_ones)
{
    uint16_t ports[] = {8000, 65535, 80};
    struct guard *guard;

    ck_assert_int_eq(guard_new(&(struct guard_options){.ports = ports, .port_count = 3}, &guard),
                     0);
    ports[0] = 9000; /* it was copied */
    assert_open(guard, "8.8.8.8", 8000);
    assert_open(guard, "8.8.8.8", 65535);
    assert_open(guard, "8.8.8.8", 443);
    assert_closed(guard, "8.8.8.8", 9000, not_open);
    assert_closed(guard, "8.8.8.8", 7999, not_open);
    assert_closed(guard, "8.8.8.8", 8001, not_open);
    guard_free(guard);
}
END_TEST

START_TEST(a_port_does_not_open_an_address)
{
    struct guard *guard;

    ck_assert_int_eq(
        guard_new(&(struct guard_options){.ports = (uint16_t[]){8000}, .port_count = 1}, &guard),
        0);
    assert_closed(guard, "127.0.0.1", 8000, "loopback");
    assert_closed(guard, "127.0.0.1", 22, "loopback");
    guard_free(guard);
}
END_TEST

START_TEST(every_port_is_open_in_an_allowed_network)
{
    struct guard *guard = guard_with("127.0.0.0/8", "8.8.8.0/24", "fd00::/8");

    for (unsigned port = 1; port <= UINT16_MAX; port += 257) {
        assert_open(guard, "127.0.0.1", (uint16_t)port);
        assert_open(guard, "::ffff:8.8.8.8", (uint16_t)port);
        assert_open(guard, "fd00::1", (uint16_t)port);
    }
    assert_closed(guard, "8.8.4.4", 8000, not_open);
    guard_free(guard);
}
END_TEST

START_TEST(no_port_is_open_in_a_denied_network)
{
    struct guard *guard = guard_between(NULL, NETS("8.8.8.0/24"));

    assert_closed(guard, "8.8.8.8", 443, "denied");
    assert_closed(guard, "8.8.8.8", 22, "denied");
    guard_free(guard);
}
END_TEST

/* -- URLs -------------------------------------------------------------------------------------- */

/*
 * What a URL's host is once target.c has read it, is what libcurl connects to; so these spellings
 * need no look-up, and the guard meets them as the address that they are.
 */
static const struct {
    const char *host, *reason;
} spellings[] = {
    {"127.0.0.1", "loopback"},
    {"2130706433", "loopback"}, /* decimal */
    {"0x7f000001", "loopback"}, /* hexadecimal */
    {"0X7F000001", "loopback"},
    {"017700000001", "loopback"}, /* octal */
    {"0177.0.0.1", "loopback"},
    {"0177.0000.0000.0001", "loopback"},
    {"0x7f.0x0.0x0.0x1", "loopback"},
    {"127.1", "loopback"}, /* short */
    {"127.0.1", "loopback"},
    {"127.65530", "loopback"},
    {"0x7f.1", "loopback"}, /* mixed */
    {"0177.0x1", "loopback"},
    {"127.0x0.0.01", "loopback"},
    {"0x7f.0.0001", "loopback"},
    {"%31%32%37.0.0.1", "loopback"},
    {"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", "loopback"}, /* full-width digits */
    {"127\xe3\x80\x82"
     "0\xe3\x80\x82"
     "0\xe3\x80\x82"
     "1",
     "loopback"}, /* and full stops */
    {"0", "this network"},
    {"0.0.0.0", "this network"},
    {"0xa9fea9fe", "link-local"}, /* 169.254.169.254, where clouds keep their secrets */
    {"2852039166", "link-local"},
    {"169.254.43518", "link-local"},
    {"10.1", "private"},
    {"[::]", "unspecified"},
    {"[::1]", "loopback"},
    {"[0:0:0:0:0:0:0:1]", "loopback"},
    {"[::ffff:127.0.0.1]", "loopback"},
    {"[::ffff:7f00:1]", "loopback"},
    {"[0:0:0:0:0:FFFF:7F00:0001]", "loopback"},
    {"[::127.0.0.1]", "loopback"},
    {"[64:ff9b::127.0.0.1]", "loopback"},
    {"[64:ff9b::7f00:1]", "loopback"},
    {"[64:ff9b:1::7f00:1]", "NAT64"},
    {"[2002:7f00:1::]", "loopback"},
    {"[2002:7F00:0001:0:0:0:0:1]", "loopback"},
};

static void curl_setup(void)
{
    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
}

static void curl_teardown(void)
{
    curl_global_cleanup();
}

START_TEST(no_spelling_of_a_host_gets_round_the_guard)
{
    struct guard *guard = plain_guard();
    const char *reason = "untouched";
    struct target target;
    char url[128], host[64];

    snprintf(url, sizeof url, "http://%s/", spellings[_i].host);
    ck_assert_msg(target_parse(bytes_cstr(url), &target, &reason) == 0, "%s: %s", url, reason);
    snprintf(host, sizeof host, "%.*s", (int)target.host.len, target.host.ptr);
    target_free(&target);
    assert_refused(guard, host, spellings[_i].reason);
    guard_free(guard);
}
END_TEST

/* -- making one -------------------------------------------------------------------------------- */

START_TEST(the_lists_are_copied)
{
    struct net allow = parse("10.0.0.0/8"), deny = parse("10.1.0.0/16");
    struct guard *guard;

    ck_assert_int_eq(guard_new(&(struct guard_options){&allow, &deny, 1, 1, NULL, 0}, &guard), 0);
    allow = parse("192.168.0.0/16");
    deny = parse("10.2.0.0/16");
    assert_allowed(guard, "10.2.0.1");
    assert_refused(guard, "192.168.0.1", "private");
    assert_refused(guard, "10.1.0.1", "denied");
    guard_free(guard);
    guard_free(NULL);
}
END_TEST

START_TEST(a_network_that_no_parser_made_is_refused)
{
    static const struct net bad[] = {
        {.family = AF_UNIX},
        {.family = AF_INET, .prefix_len = 33},
        {.family = AF_INET6, .prefix_len = 129},
        {.family = AF_INET, .address = {10, 1}, .prefix_len = 8},
    };
    struct guard *guard = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct guard_options allow = {.allow = &bad[i], .allow_count = 1};
        struct guard_options deny = {.deny = &bad[i], .deny_count = 1};

        ck_assert_int_eq(guard_new(&allow, &guard), -EINVAL);
        ck_assert_int_eq(guard_new(&deny, &guard), -EINVAL);
    }
    ck_assert_ptr_null(guard);
}
END_TEST

START_TEST(port_0_cannot_be_opened)
{
    static const uint16_t ports[] = {8000, 0};
    struct guard *guard = NULL;

    ck_assert_int_eq(guard_new(&(struct guard_options){.ports = ports, .port_count = 2}, &guard),
                     -EINVAL);
    ck_assert_ptr_null(guard);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

Suite *suite_guard(void)
{
    Suite *suite = suite_create("guard");
    TCase *nets = tcase_create("networks"), *table = tcase_create("special addresses"),
          *list = tcase_create("allow list"), *denied = tcase_create("deny list"),
          *ports = tcase_create("ports"), *urls = tcase_create("URLs"),
          *made = tcase_create("making one");

    tcase_add_test(nets, a_network_is_an_address_and_a_prefix_length);
    tcase_add_test(nets, a_bare_address_is_a_network_of_one);
    tcase_add_loop_test(nets, what_is_no_strict_cidr_is_refused, 0, COUNT(no_networks));
    tcase_add_test(nets, a_network_contains_what_has_its_prefix);
    suite_add_tcase(suite, nets);

    tcase_add_loop_test(table, a_special_range_is_refused_from_its_first_to_its_last_address, 0,
                        COUNT(ranges));
    tcase_add_loop_test(table, public_addresses_are_allowed, 0, COUNT(public_addresses));
    tcase_add_loop_test(table, an_embedded_ipv4_address_is_judged, 0, COUNT(embedded));
    tcase_add_test(table, what_is_no_ip_address_is_refused);
    suite_add_tcase(suite, table);

    tcase_add_test(list, a_listed_network_is_allowed_and_its_neighbours_stay_refused);
    tcase_add_test(list, a_listed_ipv4_network_holds_for_its_mapped_spelling);
    tcase_add_test(list, a_listed_mapped_network_is_the_ipv4_network);
    tcase_add_test(list, a_listed_ipv6_network_does_not_open_mapped_ipv4);
    tcase_add_test(list, a_listed_ipv4_network_does_not_open_what_a_relay_makes_of_it);
    suite_add_tcase(suite, list);

    tcase_add_test(denied, a_denied_network_is_refused_although_it_is_public);
    tcase_add_test(denied, what_is_denied_cannot_be_allowed);
    tcase_add_loop_test(denied, a_denied_ipv4_network_is_refused_by_every_way_round, 0,
                        COUNT(ways_round));
    tcase_add_test(denied, a_denied_ipv6_network_leaves_ipv4_alone);
    suite_add_tcase(suite, denied);

    tcase_add_test(ports, a_public_address_is_open_at_the_usual_ports_only);
    tcase_add_test(ports, a_port_that_is_given_is_open_beside_the_usual_ones);
    tcase_add_test(ports, a_port_does_not_open_an_address);
    tcase_add_test(ports, every_port_is_open_in_an_allowed_network);
    tcase_add_test(ports, no_port_is_open_in_a_denied_network);
    suite_add_tcase(suite, ports);

    tcase_add_unchecked_fixture(urls, curl_setup, curl_teardown);
    tcase_add_loop_test(urls, no_spelling_of_a_host_gets_round_the_guard, 0, COUNT(spellings));
    suite_add_tcase(suite, urls);

    tcase_add_test(made, the_lists_are_copied);
    tcase_add_test(made, a_network_that_no_parser_made_is_refused);
    tcase_add_test(made, port_0_cannot_be_opened);
    suite_add_tcase(suite, made);
    return suite;
}
