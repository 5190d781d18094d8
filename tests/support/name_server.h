/*
 * A DNS server for tests, in-process, that answers as it is told: UDP and TCP on one port of
 * 127.0.0.1, on a thread of its own. It knows A and AAAA and no zones: a name is what
 * name_server_set() made of it, compared without regard to case; all others do not exist.
 * build/release/name_server is a program with one for which every name is 127.0.0.1.
 *
 *     struct name_server *ns = name_server_start();
 *     name_server_set(ns, "a.example", &(struct name_answer){.addresses = "127.0.0.1 ::1"});
 *     ... .servers = name_server_address(ns) ...
 *     name_server_stop(ns);
 *
 * Whoever looks a name up asks two questions, A and AAAA, and asks again when nothing comes. An
 * answer beyond 512 bytes (1232 where the question has EDNS) is cut and to be asked for by TCP.
 *
 * Functions may be called on any thread; they abort where arguments make no sense.
 */
#ifndef SKIMD_TESTS_NAME_SERVER_H
#define SKIMD_TESTS_NAME_SERVER_H

#include <arpa/nameser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name_server;

/* The two questions. */
enum name_type { NAME_A, NAME_AAAA };

/* What a name is answered. All zero: it exists and has no addresses. */
struct name_answer {
    const char *addresses; /* "192.0.2.1 2001:db8::1", in any number; NULL: none */
    const char *alias;     /* a CNAME goes ahead, and the addresses are of that name; NULL: none */
    uint32_t ttl;          /* of every record, in seconds */
    uint32_t alias_ttl;    /* of the CNAME; 0: the same */

    /* What goes wrong. */
    ns_rcode rcode;    /* ns_r_nxdomain, ns_r_servfail...: this, and no records */
    bool drop;         /* no answer, ever */
    bool truncate;     /* by UDP: no records, and the bit that says so; all of them by TCP */
    bool hold;         /* the answer waits until name_server_release() */
    unsigned delay_ms; /* the answer waits so long. By TCP nothing waits and nothing is dropped */
};

/* Starts a server. When it returns, it hears. NULL and errno when it cannot. */
struct name_server *name_server_start(void);

/* Ends it, with whatever waits to be answered, and frees everything. NULL is fine. Returns NULL. */
struct name_server *name_server_stop(struct name_server *ns);

/* "127.0.0.1:PORT", as resolver_options.servers has it; lives as long as the server. */
const char *name_server_address(const struct name_server *ns);

/*
 * Sets what both questions for `name` ("*": for all names that were not set) are answered from now
 * on. Copied.
 */
void name_server_set(struct name_server *ns, const char *name, const struct name_answer *answer);

/* Sets it for one of the two; the other stays as it is. */
void name_server_set_type(struct name_server *ns, const char *name, enum name_type type,
                          const struct name_answer *answer);

/*
 * Sets it for a name that changes: the first question of each type is answered with the first of
 * `count` (>= 1) answers, the second with the next, and after the last the first again.
 */
void name_server_set_turns(struct name_server *ns, const char *name,
                           const struct name_answer *answers, size_t count);

/* Sends what `.hold` kept of `name`, which is answered at once until it is set anew. */
void name_server_release(struct name_server *ns, const char *name);

/* How many questions came, A and AAAA each counted: for `name` (NULL: for all), and by TCP. */
size_t name_server_queries(struct name_server *ns, const char *name);
size_t name_server_tcp_queries(struct name_server *ns);

/* Blocks until name_server_queries() is >= `count`, at most `timeout_ms`. False on timeout. */
bool name_server_wait_queries(struct name_server *ns, const char *name, size_t count,
                              unsigned timeout_ms);

#endif
