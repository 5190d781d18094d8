/* Networks and addresses: input is 16 bytes of address, then the text of a network to be allowed.
 */
#include "core/fetch/guard.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool allows(const struct guard *guard, int family, const void *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.any.sa_family = (sa_family_t)family};
    const char *reason = NULL;

    if (family == AF_INET)
        memcpy(&peer.v4.sin_addr, address, 4);
    else
        memcpy(&peer.v6.sin6_addr, address, 16);
    bool allowed = guard_allows(guard, &peer.any, &reason);
    FUZZ_CHECK(allowed == !reason);
    return allowed;
}

/* An IPv4 address is judged alike in both of its spellings, and what is listed allowed. */
static void check_address(const struct net *allow, size_t count, const uint8_t *address)
{
    unsigned char mapped[16] = {[10] = 0xff, [11] = 0xff};
    struct guard *guard;

    memcpy(mapped + 12, address, 4);
    FUZZ_CHECK(guard_new(allow, count, &guard) == 0);
    FUZZ_CHECK(allows(guard, AF_INET, address) || count == 0 ||
               !net_contains(allow, AF_INET, address));
    FUZZ_CHECK(allows(guard, AF_INET, address) == allows(guard, AF_INET6, mapped));
    FUZZ_CHECK(allows(guard, AF_INET6, address) || count == 0 ||
               !net_contains(allow, AF_INET6, address) || memcmp(address, mapped, 12) == 0);
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
    return 0;
}
