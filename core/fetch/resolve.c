/*
 * A name is in the hash table from its first look-up until it is evicted. It is asked while one of
 * its questions is under way, and remembered from then on, as long as the cache has room:
 *
 *     resolve() ─▶ asked ──────────── A and AAAA answered ──────────▶ remembered ─▶ evicted
 *                    └─ A answered, 50 ms ─▶ late: asked, with an answer ─┘
 *
 * Whoever comes while it has no answer waits for it with a promise of their own, so that nobody's
 * cancel is another's.
 */
#include "core/fetch/resolve.h"

#include "core/async/loop.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/fetch/dns.h"
#include "core/fetch/fetch_error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FUNCTION(key, length, ret_hash) HASH_KEYED(key, length, ret_hash)
#define HASH_NONFATAL_OOM                    1 /* what could not be added has no hh.tbl */
#include <uthash.h>

enum {
    HOST_MAX = 253, /* RFC 1035 section 2.3.4, without the dot at the end */
    /* c-ares gives each question one of 65,536 numbers; without a free one it would never end. */
    ASKED_MAX = 8192,
    LATE_MAX = 1024, /* of these, names that nobody waits for any more */
    GRACE_MS = 50,   /* RFC 8305 section 3, "Resolution Delay" */
    TTL_MIN_S = 1,
    TTL_MAX_S = 3600,
    TEMPORARY_S = 2, /* how long failures are remembered */
    PERMANENT_S = 30,
};

enum { IPV4, IPV6, FAMILIES };

struct name {
    UT_hash_handle hh;
    struct list link; /* in resolver.remembered, when nothing is asked */
    struct resolver *resolver;
    struct list waits;
    struct dns_question questions[FAMILIES];
    struct dns_answer *answers[FAMILIES]; /* while it is asked; of the hosts file: [0] */
    unsigned asked;                       /* questions under way */
    bool starting;                        /* they are being asked: answers may come at once */
    bool late;                            /* `outcome` is there, AAAA is still asked */
    struct timer grace;                   /* before that */
    future *outcome;                      /* settled; NULL: none yet */
    uint64_t until_ns;                    /* it is good for so long */
    char host[];                          /* in lower case, without a dot at the end */
};

/* Somebody who waits for a name. */
struct wait {
    struct list link; /* in name.waits */
    promise *promise;
};

struct resolver {
    struct dns *dns;
    struct name *names;         /* hash table */
    struct list remembered;     /* the last used first */
    size_t cache_names, cached; /* the most, and how many are remembered */
    size_t asked, late;
    bool closing;
};

static void grace_is_over(struct timer *timer);

/* -- values that several futures have ---------------------------------------------------------- */

struct shared {
    atomic_uint references;
    _Alignas(max_align_t) char value[];
};

static void *share_new(size_t size)
{
    struct shared *s = malloc(sizeof *s + size);

    if (!s)
        return NULL;
    atomic_init(&s->references, 1);
    return s->value;
}

static void *share(void *value)
{
    if (value)
        atomic_fetch_add(&CONTAINER_OF(value, struct shared, value)->references, 1);
    return value;
}

static void share_drop(void *value)
{
    if (value && atomic_fetch_sub(&CONTAINER_OF(value, struct shared, value)->references, 1) == 1)
        free(CONTAINER_OF(value, struct shared, value));
}

/* -- outcomes ---------------------------------------------------------------------------------- */

/* The detail of a failure; NULL when memory is exhausted. */
static struct resolve_failure *make_failure(const char *host, bool temporary, const char *reason)
{
    enum { SHOWN = 60 };
    struct resolve_failure *failure = share_new(sizeof *failure);

    if (!failure)
        return NULL;
    failure->temporary = temporary;
    snprintf(failure->message, sizeof failure->message, "Could not resolve host: %.*s%s (%s)",
             SHOWN, host, strlen(host) > SHOWN ? "..." : "", reason);
    return failure;
}

static uint64_t after_s(unsigned seconds)
{
    return loop_now_ns() + seconds * NS_PER_SEC;
}

struct found {
    unsigned counts[FAMILIES];
    struct address addresses[FAMILIES][RESOLVE_ADDRESSES_MAX];
};

static void collect(struct found *found, const struct dns_answer *answer)
{
    for (unsigned i = 0; answer && i < answer->count; i++) {
        int family = answer->addresses[i].any.sa_family == AF_INET6 ? IPV6 : IPV4;
        if (found->counts[family] < RESOLVE_ADDRESSES_MAX)
            found->addresses[family][found->counts[family]++] = answer->addresses[i];
    }
}

static struct resolution *interleave(const struct found *found)
{
    unsigned all = found->counts[IPV4] + found->counts[IPV6];
    unsigned count = all < RESOLVE_ADDRESSES_MAX ? all : RESOLVE_ADDRESSES_MAX;
    struct resolution *r = share_new(sizeof *r + count * sizeof r->addresses[0]);

    if (!r)
        return NULL;
    r->count = 0;
    for (unsigned i = 0; r->count < count; i++) {
        if (i < found->counts[IPV6])
            r->addresses[r->count++] = found->addresses[IPV6][i];
        if (i < found->counts[IPV4] && r->count < count)
            r->addresses[r->count++] = found->addresses[IPV4][i];
    }
    return r;
}

/* Of two failures the one that may be another next time. */
static const struct dns_answer *pick_failure(const struct name *n)
{
    static const struct dns_answer no_memory = {.failure = "out of memory", .temporary = true};

    for (int i = 0; i < FAMILIES; i++)
        if (!n->answers[i] || n->answers[i]->temporary)
            return n->answers[i] ? n->answers[i] : &no_memory;
    return n->answers[IPV4];
}

/* What is answered by now: a value, or an error and its detail. NULL: there is no memory. */
static void *make_outcome(struct name *n, int *ret_error)
{
    struct found found = {0};

    collect(&found, n->answers[IPV4]);
    collect(&found, n->answers[IPV6]);
    if (found.counts[IPV4] + found.counts[IPV6] > 0) {
        *ret_error = 0;
        return interleave(&found);
    }
    const struct dns_answer *failure = pick_failure(n); /* both have come: A alone is no reason */
    n->until_ns = after_s(failure->temporary ? TEMPORARY_S : PERMANENT_S);
    *ret_error = FETCH_DNS_FAILURE;
    return make_failure(n->host, failure->temporary, failure->failure);
}

/* Settles and drops; consumes `value`. */
static void give(promise *p, int error, void *value)
{
    if (!value)
        promise_fail(p, -ENOMEM, NULL, NULL);
    else if (error)
        promise_fail(p, error, value, share_drop);
    else
        promise_resolve(p, value, share_drop);
    promise_drop(p);
}

/* Consumes `value`. */
static future *settled(int error, void *value)
{
    future *f;
    promise *p = value ? promise_new(&f) : NULL;

    if (!p) {
        share_drop(value);
        return future_out_of_memory();
    }
    give(p, error, value);
    return f;
}

static future *refuse(const char *host, bool temporary, const char *reason)
{
    return settled(FETCH_DNS_FAILURE, make_failure(host, temporary, reason));
}

/* -- names ------------------------------------------------------------------------------------- */

/* NULL when memory is exhausted. */
static struct name *name_new(struct resolver *r, const char *host)
{
    size_t length = strlen(host);
    struct name *n = calloc(1, sizeof *n + length + 1);

    if (!n)
        return NULL;
    memcpy(n->host, host, length);
    n->resolver = r;
    n->grace.fire = grace_is_over;
    list_init(&n->link);
    list_init(&n->waits);
    HASH_ADD(hh, r->names, host[0], length, n);
    if (n->hh.tbl)
        return n;
    free(n);
    return NULL;
}

static void forget_answers(struct name *n)
{
    for (int i = 0; i < FAMILIES; i++) {
        free(n->answers[i]);
        n->answers[i] = NULL;
    }
}

static void name_free(struct name *n)
{
    HASH_DEL(n->resolver->names, n);
    timer_clear(&n->grace);
    forget_answers(n);
    future_drop(n->outcome);
    free(n);
}

static bool is_asked(const struct name *n)
{
    return n->starting || n->asked > 0;
}

static bool has_outcome(const struct name *n)
{
    return n->outcome && (n->late || loop_now_ns() < n->until_ns);
}

/* The last to be evicted from now on, unless it is asked, and is not evicted at all. */
static void touch(struct name *n)
{
    if (list_empty(&n->link))
        return;
    list_remove(&n->link);
    list_push_front(&n->resolver->remembered, &n->link);
}

/* Afterwards the name may be gone. */
static void remember(struct name *n)
{
    struct resolver *r = n->resolver;

    list_push_front(&r->remembered, &n->link);
    r->cached++;
    while (r->cached > r->cache_names) {
        struct name *last = CONTAINER_OF(r->remembered.prev, struct name, link);
        list_remove(&last->link);
        r->cached--;
        name_free(last);
    }
}

static void take_out(struct name *n)
{
    if (list_empty(&n->link))
        return;
    list_remove(&n->link);
    n->resolver->cached--;
}

/* -- waiting ----------------------------------------------------------------------------------- */

static void stop_waiting(promise *p, void *arg)
{
    struct wait *w = arg;

    list_remove(&w->link);
    free(w);
    promise_cancel(p);
    promise_drop(p);
}

/* NULL when memory is exhausted. */
static future *wait_for(struct name *n)
{
    struct wait *w = malloc(sizeof *w);
    future *f = NULL;

    if (!w)
        return NULL;
    w->promise = promise_new(&f);
    if (!w->promise) {
        free(w);
        return NULL;
    }
    promise_on_cancel(w->promise, stop_waiting, w);
    list_push_back(&n->waits, &w->link);
    return f;
}

/* Tells what is answered by now those who wait, and those who come. */
static void settle(struct name *n)
{
    int error;
    void *value = make_outcome(n, &error);

    for (struct list *link; (link = list_pop_front(&n->waits));) {
        struct wait *w = CONTAINER_OF(link, struct wait, link);
        give(w->promise, error, share(value));
        free(w);
    }
    future_drop(n->outcome);
    n->outcome = settled(error, value);
    if (!future_value(n->outcome)) /* no memory: the next one asks again */
        n->outcome = future_drop(n->outcome);
}

/* -- asking ------------------------------------------------------------------------------------ */

static void conclude(struct name *n)
{
    struct resolver *r = n->resolver;

    timer_clear(&n->grace);
    r->asked--;
    r->late -= n->late;
    n->late = false;
    settle(n);
    forget_answers(n);
    remember(n);
}

static void grace_is_over(struct timer *timer)
{
    struct name *n = CONTAINER_OF(timer, struct name, grace);

    if (n->resolver->late == LATE_MAX) /* then it is waited for */
        return;
    n->late = true;
    n->resolver->late++;
    settle(n);
}

static void keep_answer(struct name *n, int family, struct dns_answer *answer)
{
    unsigned kept_s = TTL_MAX_S;

    n->answers[family] = answer;
    if (answer && !answer->failure)
        kept_s = answer->ttl_s < TTL_MIN_S ? TTL_MIN_S : answer->ttl_s;
    else if (!answer || answer->temporary)
        kept_s = PERMANENT_S; /* then the other's addresses are all there is, for now */
    uint64_t until = after_s(kept_s < TTL_MAX_S ? kept_s : TTL_MAX_S);
    if (until < n->until_ns)
        n->until_ns = until;
}

static void answered(struct name *n, int family, struct dns_answer *answer)
{
    struct resolver *r = n->resolver;

    n->asked--;
    keep_answer(n, family, answer);
    if (r->closing || n->starting)
        return;
    if (n->asked == 0)
        conclude(n);
    else if (family == IPV4 && answer && !answer->failure)
        /* Where there is no memory for the timer, AAAA is waited for longer. */
        timer_set(&n->grace, clock_after_ms(loop_now_ns(), GRACE_MS));
}

static void answered_v4(struct dns_question *q, struct dns_answer *answer)
{
    answered(CONTAINER_OF(q, struct name, questions[IPV4]), IPV4, answer);
}

static void answered_v6(struct dns_question *q, struct dns_answer *answer)
{
    answered(CONTAINER_OF(q, struct name, questions[IPV6]), IPV6, answer);
}

/* Afterwards the name may be gone. */
static void ask(struct name *n)
{
    struct resolver *r = n->resolver;

    take_out(n);
    r->asked++;
    n->until_ns = CLOCK_NEVER;
    n->outcome = future_drop(n->outcome);
    struct dns_answer *answer = dns_read_hosts(r->dns, n->host);
    if (answer) {
        keep_answer(n, IPV4, answer);
        conclude(n);
        return;
    }
    n->starting = true;
    n->asked = FAMILIES;
    dns_ask(r->dns, &n->questions[IPV6], n->host, AF_INET6, answered_v6);
    dns_ask(r->dns, &n->questions[IPV4], n->host, AF_INET, answered_v4);
    n->starting = false;
    if (n->asked == 0)
        conclude(n);
}

/* Writes the name as it is compared. False: it is none for its length, or for its last dots. */
static bool normalise(char to[HOST_MAX + 1], const char *host)
{
    size_t length = strnlen(host, HOST_MAX + 2);

    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length == 0 || length > HOST_MAX || host[length - 1] == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        to[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + ('a' - 'A') : host[i]);
    to[length] = '\0';
    return true;
}

future *resolve(struct resolver *r, const char *host)
{
    char key[HOST_MAX + 1] = "";
    struct name *n;

    if (!normalise(key, host))
        return refuse(host, false, "not a valid name");
    HASH_FIND_STR(r->names, key, n);
    if (n && has_outcome(n)) {
        touch(n);
        return future_ref(n->outcome);
    }
    if ((!n || !is_asked(n)) && r->asked >= ASKED_MAX)
        return refuse(key, true, "too many look-ups are under way");
    if (!n)
        n = name_new(r, key);
    future *f = n ? wait_for(n) : NULL;
    if (!f) {
        if (n && !is_asked(n) && list_empty(&n->link))
            name_free(n);
        return future_out_of_memory();
    }
    if (!is_asked(n))
        ask(n);
    return f;
}

/* -- life -------------------------------------------------------------------------------------- */

struct resolver *resolver_new(const struct resolver_options *options)
{
    struct resolver *r = calloc(1, sizeof *r);
    const struct dns_options asking = {
        .servers = options->servers,
        .try_timeout_ms = options->try_timeout_ms,
        .tries = options->tries,
    };

    if (!r)
        return NULL;
    list_init(&r->remembered);
    r->cache_names = options->cache_names;
    r->dns = dns_new(&asking);
    if (!r->dns) {
        int error = errno;
        free(r);
        errno = error;
        return NULL;
    }
    return r;
}

static void stop_all_waiting(struct name *n)
{
    for (struct list *link; (link = list_pop_front(&n->waits));) {
        struct wait *w = CONTAINER_OF(link, struct wait, link);
        stop_waiting(w->promise, w);
    }
}

struct resolver *resolver_free(struct resolver *r)
{
    struct name *n, *next;

    if (!r)
        return NULL;
    r->closing = true;
    HASH_ITER (hh, r->names, n, next)
        stop_all_waiting(n);
    dns_free(r->dns);
    HASH_ITER (hh, r->names, n, next)
        name_free(n);
    free(r);
    return NULL;
}
