/*
 * Questions to the name servers and to the hosts file: c-ares on the runtime's loop. What is
 * remembered, shared and waited for is resolve.h's, which is for everybody else.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_DNS_H
#define SKIMD_FETCH_DNS_H

#include "core/fetch/address.h"

#include <stdbool.h>
#include <stddef.h>

struct dns;

struct dns_options {
    const char *servers;     /* as in resolver_options */
    unsigned try_timeout_ms; /* > 0 */
    unsigned tries;          /* > 0 */
};

struct dns_answer {
    const char *failure; /* NULL: there are addresses; else a static text that says why not */
    bool temporary;      /* a failure; asking again may help */
    unsigned ttl_s;      /* of addresses: the least of all records on the way to them */
    unsigned count;      /* > 0 unless it is a failure */
    struct address addresses[]; /* of port 0 */
};

/* A question that is under way, embedded in whatever asks. */
struct dns_question {
    struct dns *dns;
    int family;
    /* Owns `answer`, to be freed by free(); NULL: there was no memory for it. */
    void (*answered)(struct dns_question *question, struct dns_answer *answer);
};

/*
 * Reads the system's configuration. NULL and errno: ENOMEM, EINVAL (`servers` is no such list), EIO
 * (the configuration cannot be read).
 */
struct dns *dns_new(const struct dns_options *options);

/* Answers all questions under way with a failure, inside this call. NULL is fine. Returns NULL. */
struct dns *dns_free(struct dns *dns);

/*
 * Asks the servers for addresses of `family` (AF_INET: A, AF_INET6: AAAA) of a name, which is taken
 * as absolute, and copied. `answered` is called once: later, or inside this call. The question must
 * live until then. Of `family` are the answer's addresses, too.
 */
void dns_ask(struct dns *dns, struct dns_question *question, const char *host, int family,
             void (*answered)(struct dns_question *question, struct dns_answer *answer));

/*
 * What the hosts file says of a name, addresses of both families: read now, on the file's own time.
 * To be freed by free(). NULL: nothing (or there is no memory).
 */
struct dns_answer *dns_read_hosts(struct dns *dns, const char *host);

#endif
