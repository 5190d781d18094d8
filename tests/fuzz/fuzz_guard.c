/* Networks and addresses: input is 16 bytes of address, then the text of a network to be allowed
 * or denied.
 */
#include "core/fetch/guard.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool allows_at(const struct guard *guard, int family, const void *address, uint16_t port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.any.sa_family = (sa_family_t)family};
    const char *reason = NULL;

    if (family == AF_INET) {
        memcpy(&peer.v4.sin_addr, address, 4);
        peer.v4.sin_port = htons(port);
    } else {
        memcpy(&peer.v6.sin6_addr, address, 16);
        peer.v6.sin6_port = htons(port);
    }
    bool allowed = guard_allows(guard, &peer.any, &reason);
    FUZZ_CHECK(allowed == !reason);
    return allowed;
}

static bool allows(const struct guard *guard, int family, const void *address)
{
    bool allowed = allows_at(guard, family, address, 80);

    /* A port never opens an address. */
    FUZZ_CHECK(allowed || !allows_at(guard, family, address, 81));
    return allowed;
}

static void map(const uint8_t *address, unsigned char ret[static 16])
{
    memcpy(ret, ((const unsigned char[12]){[10] = 0xff, [11] = 0xff}), 12);
    memcpy(ret + 12, address, 4);
}

/* An IPv4 address is judged alike in both of its spellings, and what is listed allowed. */
static void check_address(const struct net *allow, size_t count, const uint8_t *address)
{
    unsigned char mapped[16];
    struct guard *guard;

    map(address, mapped);
    FUZZ_CHECK(guard_new(&(struct guard_options){.allow = allow, .allow_count = count}, &guard) ==
               0);
    FUZZ_CHECK(allows(guard, AF_INET, address) || count == 0 ||
               !net_contains(allow, AF_INET, address));
    FUZZ_CHECK(allows(guard, AF_INET, address) == allows(guard, AF_INET6, mapped));
    FUZZ_CHECK(allows(guard, AF_INET6, address) || count == 0 ||
               !net_contains(allow, AF_INET6, address) || memcmp(address, mapped, 12) == 0);
    guard_free(guard);
}

/* Where everything else is allowed, what is denied is not, nor what leads to it. */
static void check_denied(const struct net *deny, const uint8_t *address)
{
    static const struct net everything[] = {{.family = AF_INET}, {.family = AF_INET6}};
    unsigned char mapped[16], relayed[16] = {0x20, 0x02};
    struct guard *guard;

    map(address, mapped);
    memcpy(relayed + 2, address, 4);
    FUZZ_CHECK(guard_new(&(struct guard_options){everything, deny, 2, 1, NULL, 0}, &guard) == 0);
    if (net_contains(deny, AF_INET, address)) {
        FUZZ_CHECK(!allows(guard, AF_INET, address) && !allows(guard, AF_INET6, mapped));
        FUZZ_CHECK(!allows(guard, AF_INET6, relayed));
    }
    FUZZ_CHECK(!net_contains(deny, AF_INET6, address) || memcmp(address, mapped, 12) == 0 ||
               !allows(guard, AF_INET6, address));
    guard_free(guard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[128], address[INET6_ADDRSTRLEN];
    struct net net, again;

    if (size < 16 || size - 16 >= sizeof text)
        return 0;
    memcpy(text, data + 16, size - 16);
    text[size - 16] = '\0';
    check_address(NULL, 0, data);
    if (net_parse(text, &net) < 0)
        return 0;
    FUZZ_CHECK(inet_ntop(net.family, net.address, address, sizeof address));
    snprintf(text, sizeof text, "%s/%u", address, net.prefix_len);
    FUZZ_CHECK(net_parse(text, &again) == 0 && memcmp(&net, &again, sizeof net) == 0);
    check_address(&net, 1, net.family == AF_INET ? net.address : data);
    check_denied(&net, data);
    check_denied(&net, net.address);
    return 0;
}
