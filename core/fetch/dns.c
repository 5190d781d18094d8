/*
 * A and AAAA are asked by two calls of c-ares: its own combination of both waits for AAAA to the
 * end of all tries, and where one of the two fails it may say "no addresses" for "try again". The
 * hosts file has a channel of its own, so that it is read once for both.
 */
#include "core/fetch/dns.h"

#include "core/async/loop.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/fetch/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    LOOK_MS = 250,          /* at least so often c-ares looks for questions that had no answer */
    EDNS_BYTES = 1232,      /* https://www.dnsflagday.net/2020/ */
    SOCKET_BYTES = 1 << 20, /* for the answers to many questions at once */
    PORT_QUESTIONS = 500,   /* then another port is used, so that it cannot be guessed for long */
};

struct dns {
    ares_channel servers, hosts;
    struct timer timer; /* looks for questions that had no answer */
    size_t asked;
    unsigned look_ms;
    bool has_library;
};

/* -- answers ----------------------------------------------------------------------------------- */

/* Returns a text, and says whether asking again may help. */
static const char *text_of(int status, bool *ret_temporary)
{
    *ret_temporary = false;
    switch (status) {
    case ARES_ENOTFOUND:
        return "no such name";
    case ARES_ENODATA:
        return "no addresses";
    case ARES_EBADNAME:
        return "not a valid name";
    }
    *ret_temporary = true;
    switch (status) {
    case ARES_ETIMEOUT:
        return "the name servers do not answer";
    case ARES_EREFUSED:
        return "the name servers refuse to answer";
    case ARES_ENOMEM:
        return "out of memory";
    default: /* ARES_ESERVFAIL; c-ares 1.18 says ARES_ECONNREFUSED for it, and for EREFUSED */
        return "the name servers failed";
    }
}

static struct dns_answer *make_failure(int status)
{
    struct dns_answer *answer = calloc(1, sizeof *answer);

    if (answer)
        answer->failure = text_of(status, &answer->temporary);
    return answer;
}

/* RFC 2181 section 8: what looks negative is to be taken for 0. */
static unsigned ttl_of(const struct ares_addrinfo *info)
{
    int ttl = INT_MAX;

    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        ttl = node->ai_ttl < ttl ? node->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
        ttl = c->ttl < ttl ? c->ttl : ttl;
    return ttl < 0 ? 0 : (unsigned)ttl;
}

/* What stands in an answer to A need not be an IPv4 address. */
static bool is_wanted(const struct ares_addrinfo_node *node, int family)
{
    size_t size =
        node->ai_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

    return (node->ai_family == AF_INET || node->ai_family == AF_INET6) &&
           (family == AF_UNSPEC || node->ai_family == family) && node->ai_addrlen >= size &&
           node->ai_addrlen <= sizeof(struct address);
}

/* At most RESOLVE_ADDRESSES_MAX of each family. */
static struct dns_answer *make_answer(const struct ares_addrinfo *info, int family)
{
    unsigned counts[2] = {0}, all = 0;
    struct dns_answer *answer;

    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        all += is_wanted(node, family);
    if (all == 0)
        return make_failure(ARES_ENODATA);
    all = all < 2 * RESOLVE_ADDRESSES_MAX ? all : 2 * RESOLVE_ADDRESSES_MAX;
    answer = calloc(1, sizeof *answer + all * sizeof answer->addresses[0]);
    if (!answer)
        return NULL;
    answer->ttl_s = ttl_of(info);
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        if (is_wanted(node, family) &&
            counts[node->ai_family == AF_INET6]++ < RESOLVE_ADDRESSES_MAX)
            memcpy(&answer->addresses[answer->count++], node->ai_addr, node->ai_addrlen);
    return answer;
}

/* Consumes `info`. */
static struct dns_answer *answer_of(int status, struct ares_addrinfo *info, int family)
{
    struct dns_answer *answer =
        status == ARES_SUCCESS ? make_answer(info, family) : make_failure(status);

    ares_freeaddrinfo(info);
    return answer;
}

/* -- the loop ---------------------------------------------------------------------------------- */

/*
 * When c-ares 1.18 is asked for the time of its next look it goes through all questions, so it is
 * asked after a look, not after each question. The look for one that comes meanwhile is late by at
 * most LOOK_MS.
 */
static void look_later(struct dns *dns)
{
    struct timeval most = {.tv_usec = dns->look_ms * 1000}, buffer;

    if (dns->asked == 0 || dns->timer.slot != 0)
        return;
    const struct timeval *next = ares_timeout(dns->servers, &most, &buffer);
    /* Where there is no memory for the timer, the next question or answer sets it. */
    timer_set(&dns->timer,
              loop_now_ns() + (uint64_t)next->tv_sec * NS_PER_SEC + (uint64_t)next->tv_usec * 1000);
}

static void look(struct timer *timer)
{
    struct dns *dns = CONTAINER_OF(timer, struct dns, timer);

    ares_process_fd(dns->servers, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    look_later(dns);
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    struct dns *dns = arg;

    ares_process_fd(dns->servers, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
                    events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
    look_later(dns);
}

/*
 * Nothing is wanted of a socket that is about to be closed. One that cannot be watched is one that
 * no answer comes from: its questions time out.
 */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);

    if (events == 0)
        loop_forget(fd);
    else
        loop_watch(fd, events, on_ready, arg);
}

/* -- questions --------------------------------------------------------------------------------- */

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct dns_question *question = arg;

    (void)timeouts;
    question->dns->asked--;
    question->answered(question, answer_of(status, info, question->family));
}

void dns_ask(struct dns *dns, struct dns_question *question, const char *host, int family,
             void (*answered)(struct dns_question *question, struct dns_answer *answer))
{
    const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = family};

    *question = (struct dns_question){dns, family, answered};
    dns->asked++;
    ares_getaddrinfo(dns->servers, host, NULL, &hints, on_answer, question);
    look_later(dns);
}

/* A channel that only reads the hosts file answers at once. */
static void on_hosts(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct dns_answer **ret_answer = arg;

    (void)timeouts;
    if (status == ARES_SUCCESS)
        *ret_answer = make_answer(info, AF_UNSPEC);
    ares_freeaddrinfo(info);
}

struct dns_answer *dns_read_hosts(struct dns *dns, const char *host)
{
    const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC};
    struct dns_answer *answer = NULL;

    ares_getaddrinfo(dns->hosts, host, NULL, &hints, on_hosts, &answer);
    return answer;
}

/* -- servers ----------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && port > 0 && port <= UINT16_MAX;
}

/* "192.0.2.1", "192.0.2.1:53", "2001:db8::1" or "[2001:db8::1]:53". */
static bool is_server(char *text)
{
    struct in6_addr address;
    char *end = strchr(text, text[0] == '[' ? ']' : ':');

    if (text[0] == '[') {
        if (!end || end[1] != ':' || !is_port(end + 2))
            return false;
        *end = '\0';
        return inet_pton(AF_INET6, text + 1, &address) == 1;
    }
    if (end && strchr(end + 1, ':'))
        return inet_pton(AF_INET6, text, &address) == 1;
    if (end)
        *end = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && (!end || is_port(end + 1));
}

/* c-ares' own parser takes what it can make some sense of, each version something else. */
static bool are_servers(const char *texts)
{
    for (;;) {
        char text[INET6_ADDRSTRLEN + sizeof "[]:65535"];
        size_t length = strcspn(texts, ",");
        if (length >= sizeof text)
            return false;
        memcpy(text, texts, length);
        text[length] = '\0';
        if (!is_server(text))
            return false;
        if (texts[length] == '\0')
            return true;
        texts += length + 1;
    }
}

/* -- life -------------------------------------------------------------------------------------- */

static int errno_of(int status)
{
    return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? ENOMEM : EIO;
}

/* `lookups` is "b" (the servers) or "f" (the hosts file). 0 or an errno. */
static int open_channel(struct dns *dns, char *lookups, const struct dns_options *options,
                        ares_channel *ret_channel)
{
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SOCK_RCVBUF |
               ARES_OPT_EDNSPSZ;
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)options->try_timeout_ms,
        .tries = (int)options->tries,
        .ndots = 0, /* this, and no domains: 1.18 does not look at ARES_FLAG_NOSEARCH here */
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = dns,
        .socket_receive_buffer_size = SOCKET_BYTES,
        .ednspsz = EDNS_BYTES,
    };

#ifdef ARES_OPT_UDP_MAX_QUERIES
    mask |= ARES_OPT_UDP_MAX_QUERIES;
    o.udp_max_queries = PORT_QUESTIONS;
#endif
#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* off: ours is in front of it */
    o.qcache_max_ttl = 0;
#endif
    return errno_of(ares_init_options(ret_channel, &o, mask));
}

static int open_channels(struct dns *dns, const struct dns_options *options)
{
    static char servers[] = "b", hosts[] = "f";
    int error = errno_of(ares_library_init(ARES_LIB_INIT_ALL));

    if (error)
        return error;
    dns->has_library = true;
    error = open_channel(dns, servers, options, &dns->servers);
    if (!error)
        error = open_channel(dns, hosts, options, &dns->hosts);
    if (!error && options->servers)
        error = errno_of(ares_set_servers_ports_csv(dns->servers, options->servers));
    return error;
}

struct dns *dns_new(const struct dns_options *options)
{
    bool valid = !options->servers || are_servers(options->servers);
    struct dns *dns = calloc(1, sizeof *dns);

    if (!dns)
        return NULL;
    dns->timer.fire = look;
    dns->look_ms = options->try_timeout_ms < LOOK_MS ? options->try_timeout_ms : LOOK_MS;
    int error = valid ? open_channels(dns, options) : EINVAL;
    if (error) {
        dns_free(dns);
        errno = error;
        return NULL;
    }
    return dns;
}

struct dns *dns_free(struct dns *dns)
{
    if (!dns)
        return NULL;
    ares_destroy(dns->servers);
    ares_destroy(dns->hosts);
    if (dns->has_library)
        ares_library_cleanup();
    timer_clear(&dns->timer);
    free(dns);
    return NULL;
}
