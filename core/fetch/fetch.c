#include "core/fetch/fetch.h"

#include "core/async/combine.h"
#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/fetch/dial.h"
#include "core/fetch/fetcher_internal.h"
#include "core/fetch/robots.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BACKOFF_FIRST_MS = 250,
    FAIR_WAIT_MS = 5000, /* who waited less for an answer cannot say that the host is dead */
};

/* -- robots.txt -------------------------------------------------------------------------------- */

static future *ask_robots(void *arg, const char *origin)
{
    struct robots_policy *policy = arg;

    return robots_file_ask(policy->fetcher->robots, origin);
}

static uint64_t robots_delay_ms(void *arg, const future *asked)
{
    struct robots_policy *policy = arg;
    const struct robots_file *file = robots_file_of(asked);

    return file && file->rules ? robots_crawl_delay_ms(file->rules, policy->product) : 0;
}

void fetch_obey_robots(struct flow_options *flow, struct robots_policy *policy)
{
    flow->ask = ask_robots;
    flow->ask_delay_ms = robots_delay_ms;
    flow->ask_arg = policy;
}

/* -- the task ---------------------------------------------------------------------------------- */

struct fetch_frame {
    struct fetcher *fetcher;
    struct flow *flow;
    struct bytes given; /* until it is parsed */
    const struct fetch_options *options;
    struct transfer_watch *watch;

    struct target target; /* of this hop */
    bool has_left_origin; /* a redirect led to another one */
    struct ticket ticket;
    future *turn, *found, *dialled, *wait, *transfer;
    struct address address; /* to connect to */
    uint64_t began_ns;      /* looking up and dialling */
    unsigned redirects, attempts;
    uint64_t queued_us, spent_us; /* spent: in earlier hops of this attempt */
    uint64_t dns_us, dial_us;     /* of this hop, before its transfer */
    int code;                     /* how the last attempt failed; 0: it did not */
    struct fetch_failure *failure;
};

/* How far an attempt came, and what that says of the origin. */
struct mishap {
    int code;
    enum fetch_phase phase;
    const char *message; /* NULL: the code's own */
    bool permanent;      /* not to be tried again, although its code may be */
    bool temporary;      /* to be tried again another day, although its code is not */
    uint64_t transfer_us;
};

static uint64_t microseconds_since(uint64_t then_ns)
{
    return (loop_now_ns() - then_ns) / 1000;
}

/* What is left of the time for this attempt; at least 1 ms, so that it ends as a time-out does. */
static uint64_t left_ms(const struct fetch_frame *s)
{
    uint64_t limit_us = 1000ull * s->options->timeout_ms;
    uint64_t spent_us = s->spent_us + s->dns_us + s->dial_us;

    return spent_us + 1000 < limit_us ? (limit_us - spent_us) / 1000 : 1;
}

/* Remembers why this attempt failed. */
static void note(struct fetch_frame *s, const struct mishap *m)
{
    if (!s->failure)
        s->failure = malloc(sizeof *s->failure);
    s->code = m->code;
    if (!s->failure)
        return;
    *s->failure = (struct fetch_failure){
        .retryable = m->temporary || (!m->permanent && fetch_code_retryable(m->code, m->phase)),
        .attempts = s->attempts,
        .total_us = s->spent_us + s->dns_us + s->dial_us + m->transfer_us,
    };
    snprintf(s->failure->message, sizeof s->failure->message, "%s",
             m->message ? m->message : fetch_code_message(m->code));
}

static void failure_free(void *value)
{
    struct fetch_failure *failure = value;

    free(failure->final_url);
    free(failure);
}

static int fail(task *t, struct fetch_frame *s)
{
    if (s->failure && s->redirects > 0) {
        s->failure->redirects = s->redirects;
        s->failure->final_url = s->target.url;
        s->target.url = NULL;
    }
    task_fail(t, s->code, s->failure, failure_free);
    s->failure = NULL;
    return TASK_FINISHED;
}

/* -- the answer -------------------------------------------------------------------------------- */

static void page_free(void *value)
{
    struct fetch_page *page = value;

    future_drop(page->source);
    free(page->url);
    free(page);
}

void fetch_page_drop_body(const struct fetch_page *page)
{
    response_drop_body((struct response *)(uintptr_t)page->response);
}

static struct transfer_timing whole_timing(const struct fetch_frame *s,
                                           const struct transfer_timing *t)
{
    uint64_t before = s->dns_us + s->dial_us;

    return (struct transfer_timing){
        .dns_us = s->dns_us + t->dns_us,
        .connect_us = t->connect_us || s->dial_us ? before + t->connect_us : 0,
        .tls_us = t->tls_us ? before + t->tls_us : 0,
        .first_byte_us = t->first_byte_us ? before + t->first_byte_us : 0,
        .total_us = before + t->total_us,
    };
}

static int succeed(task *t, struct fetch_frame *s)
{
    const struct response *r = future_value(s->transfer);
    struct fetch_page *page = malloc(sizeof *page);

    if (!page)
        return -ENOMEM;
    *page = (struct fetch_page){
        .response = r,
        .final_url = bytes_cstr(s->target.url),
        .redirects = s->redirects,
        .attempts = s->attempts,
        .queued_us = s->queued_us,
        .timing = whole_timing(s, &r->timing),
        .source = s->transfer,
        .url = s->target.url,
    };
    page->total_us = s->spent_us + page->timing.total_us;
    s->transfer = NULL;
    s->target.url = NULL;
    task_return(t, page, page_free);
    return TASK_FINISHED;
}

/* 429 and 503: the host wants to be asked less. */
static bool is_refusal(const struct response *r)
{
    return r->http_status == 429 || r->http_status == 503;
}

/* Statuses that say "not now". */
static bool is_temporary(const struct response *r)
{
    return is_refusal(r) || r->http_status == 502 || r->http_status == 504;
}

/* Goes on to where the answer points. False: the failure is noted. */
static bool follow(struct fetch_frame *s)
{
    const struct response *r = future_value(s->transfer);
    const char *message = NULL;
    struct target next;

    if (s->redirects == s->options->max_redirects) {
        note(s, &(struct mishap){.code = FETCH_TOO_MANY_REDIRECTS});
        return false;
    }
    int code = target_redirect(&s->target, r->location, &next, &message);
    if (code) {
        note(s, &(struct mishap){.code = code, .message = message});
        return false;
    }
    if (strcmp(next.origin, s->target.origin) != 0)
        s->has_left_origin = true;
    s->redirects++;
    s->spent_us += whole_timing(s, &r->timing).total_us;
    s->dns_us = s->dial_us = 0;
    target_free(&s->target);
    s->target = next;
    s->transfer = future_drop(s->transfer); /* its body must not wait for a turn */
    return true;
}

/* -- turns ------------------------------------------------------------------------------------- */

static future *ask_for_turn(struct fetch_frame *s)
{
    uint64_t asked_ns = s->ticket.asked_ns; /* a plan's URL that came without its turn */

    schedule_leave(&s->ticket, TURN_UNUSED, 0); /* one that is elsewhere is of no use */
    future *turn = schedule_enter(s->flow, &s->ticket, s->target.origin);
    if (asked_ns)
        s->ticket.asked_ns = asked_ns;
    return turn;
}

static void begin_turn(struct fetch_frame *s)
{
    s->queued_us += (s->ticket.begun_ns - s->ticket.asked_ns) / 1000;
    s->dns_us = s->dial_us = 0;
}

/* The turn did not come. What this URL itself met before says more than that the host is given up.
 */
static void note_no_turn(struct fetch_frame *s)
{
    int code = future_error(s->turn);

    if (s->code == 0)
        note(s, &(struct mishap){.code = code > 0 ? code : FETCH_INTERNAL,
                                 .message = future_value(s->turn)});
}

/* Path and query, as they are asked for. */
static struct bytes path_of(const struct target *target)
{
    const char *slash = strchr(strstr(target->url, "://") + 3, '/');

    return bytes_cstr(slash ? slash : "/");
}

/* False: robots.txt keeps the URL from being fetched, and that is noted. */
static bool robots_allow(struct fetch_frame *s)
{
    const future *admission = schedule_admission(&s->ticket);
    const struct robots_file *file = admission ? robots_file_of(admission) : NULL;
    struct mishap m = {.code = FETCH_ROBOTS_DISALLOWED};
    char message[96];

    if (!admission)
        return true;
    if (!file) {
        m.code = FETCH_INTERNAL;
    } else if (file->code) {
        m = (struct mishap){.code = file->code,
                            .message = file->failure.message,
                            .permanent = !file->failure.retryable,
                            .temporary = file->failure.retryable};
    } else if (!file->rules ||
               robots_allows(file->rules, robots_product(bytes_cstr(s->options->user_agent)),
                             path_of(&s->target))) {
        return true;
    } else if (file->refused) {
        snprintf(message, sizeof message,
                 "The robots.txt of the host was answered %u: until it comes nothing is fetched",
                 file->refused);
        m.message = message;
        m.temporary = true;
    }
    note(s, &m);
    return false;
}

/* -- where to connect to ----------------------------------------------------------------------- */

static bool parse_address(struct bytes host, struct address *ret)
{
    char text[INET6_ADDRSTRLEN];

    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    *ret = (struct address){0};
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1)
        ret->any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1)
        ret->any.sa_family = AF_INET6;
    return ret->any.sa_family != AF_UNSPEC;
}

static void set_port(struct address *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET)
        a->v4.sin_port = htons(port);
    else
        a->v6.sin6_port = htons(port);
}

static bool is_same_host(const struct address *a, const struct address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    return a->any.sa_family == AF_INET
               ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
               : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

/* Keeps the chosen address of the origin if it is still one of those found. */
static bool is_still_there(const struct address *chosen, const struct resolution *found)
{
    for (unsigned i = 0; i < found->count; i++)
        if (is_same_host(chosen, &found->addresses[i]))
            return true;
    return false;
}

/* Waits for `f` no longer than until `deadline_ns`. */
static future *within(future *f, uint64_t deadline_ns)
{
    if (future_settled(f))
        return future_ref(f);
    future *timer = future_at(deadline_ns);
    future *first = future_race((future *const[]){f, timer}, 2);
    future_drop(timer);
    return first;
}

/* Names that mean this machine wherever they are looked up (RFC 6761 section 6.3). */
static bool is_loopback_name(struct bytes host, struct address *ret)
{
    struct bytes name = BYTES("localhost");

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len > name.len && host.ptr[host.len - name.len - 1] == '.')
        host = bytes_of(host.ptr + host.len - name.len, name.len);
    return bytes_equal(host, name) && parse_address(BYTES("127.0.0.1"), ret);
}

/* With a proxy, names are looked up there, and libcurl does not ask the guard: what can be judged
 * here are addresses and ports of URLs. False, and noted, for what is refused. */
static bool proxy_may_be_asked(struct fetch_frame *s)
{
    const struct guard *guard = s->fetcher->options.guard;
    struct address literal;
    const char *reason = NULL;
    char message[128];
    bool may;

    if (!s->fetcher->options.proxy)
        return true;
    if (parse_address(s->target.host, &literal) || is_loopback_name(s->target.host, &literal)) {
        set_port(&literal, s->target.port);
        may = guard_allows(guard, &literal.any, &reason);
    } else {
        may = guard_allows_port(guard, s->target.port, &reason);
    }
    if (may)
        return true;
    snprintf(message, sizeof message, "%s: %s", fetch_code_message(FETCH_BLOCKED_ADDRESS), reason);
    note(s, &(struct mishap){.code = FETCH_BLOCKED_ADDRESS, .message = message});
    return false;
}

static bool needs_name(const struct fetch_frame *s)
{
    struct address literal;

    return !s->fetcher->options.proxy && !parse_address(s->target.host, &literal);
}

static future *look_up(struct fetch_frame *s)
{
    char name[256];

    snprintf(name, sizeof name, "%.*s", (int)s->target.host.len, s->target.host.ptr);
    s->began_ns = loop_now_ns();
    future_drop(s->found);
    s->found = resolve(s->fetcher->resolver, name);
    return within(s->found, clock_after_ms(s->began_ns, left_ms(s)));
}

static const struct resolution *found(const struct fetch_frame *s)
{
    const void *value = future_value(s->found);

    return value;
}

/* After the look-up: false, and noted, when there is nothing to connect to. */
static bool note_addresses(struct fetch_frame *s)
{
    struct mishap m = {.code = FETCH_TIMEOUT, .message = "The look-up of the name took too long"};

    (void)future_ok(s->wait); /* it fails as the look-up does, and that is noted here */
    s->dns_us = microseconds_since(s->began_ns);
    if (future_settled(s->found) && future_ok(s->found))
        return true;
    if (future_settled(s->found)) {
        const struct resolve_failure *failure = future_value(s->found);
        int code = future_error(s->found);
        m = (struct mishap){.code = code > 0 ? code : FETCH_INTERNAL,
                            .message = failure ? failure->message : NULL,
                            .permanent = failure && !failure->temporary};
    }
    note(s, &m);
    return false;
}

/* Of several addresses, which one answers; unless that is known. */
static bool needs_dialling(struct fetch_frame *s)
{
    struct address *chosen = schedule_address(&s->ticket);

    if (chosen->any.sa_family != AF_UNSPEC && is_still_there(chosen, found(s)))
        return false;
    *chosen = (struct address){0};
    return found(s)->count > 1;
}

static future *dial_any(struct fetch_frame *s)
{
    const struct resolution *r = found(s);
    unsigned limit = s->fetcher->options.connect_timeout_ms;
    uint64_t ms = left_ms(s) < limit ? left_ms(s) : limit;

    s->began_ns = loop_now_ns();
    return dial(s->fetcher->options.guard, r->addresses, r->count, s->target.port,
                clock_after_ms(s->began_ns, ms));
}

/* After dialling: false, and noted, when nothing answered. */
static bool note_dialled(struct fetch_frame *s)
{
    s->dial_us = microseconds_since(s->began_ns);
    if (future_ok(s->dialled)) {
        const struct dialled *d = future_value(s->dialled);
        *schedule_address(&s->ticket) = d->address;
        return true;
    }
    const struct dial_failure *failure = future_value(s->dialled);
    int code = future_error(s->dialled);
    note(s, &(struct mishap){.code = code > 0 ? code : FETCH_INTERNAL,
                             .message = failure ? failure->message : NULL});
    return false;
}

/* -- the transfer ------------------------------------------------------------------------------ */

static future *begin_transfer(struct fetch_frame *s)
{
    const struct fetch_options *o = s->options;
    struct address *chosen = schedule_address(&s->ticket);
    int fd = s->dialled ? dial_take_socket(s->dialled) : -1;

    s->dialled = future_drop(s->dialled);
    if (s->found) {
        s->address = chosen->any.sa_family != AF_UNSPEC ? *chosen : found(s)->addresses[0];
        set_port(&s->address, s->target.port);
    }
    return transfer_start(fetcher_engine(s->fetcher, &s->target),
                          &(struct transfer_request){
                              .target = &s->target,
                              .address = s->found ? &s->address : NULL,
                              .socket = fd,
                              .user_agent = o->user_agent,
                              .headers = s->has_left_origin ? NULL : o->headers,
                              .timeout_ms = (unsigned)left_ms(s),
                              .max_body_bytes = o->max_page_bytes,
                              .insecure = o->insecure,
                              .identity = o->identity,
                              .last = !schedule_has_company(&s->ticket),
                              .wants_type = o->wants_type,
                              .watch = s->watch,
                          });
}

static void note_transfer(struct fetch_frame *s)
{
    const struct transfer_failure *failure = future_value(s->transfer);
    int code = future_error(s->transfer);
    struct mishap m = {.code = code > 0 ? code : FETCH_INTERNAL};

    if (failure) {
        m.phase = failure->phase;
        m.message = failure->message;
        m.transfer_us = failure->timing.total_us;
    }
    note(s, &m);
}

/* What a failed attempt tells of the origin. */
static enum turn_end blame(const struct fetch_frame *s)
{
    bool waited =
        s->ticket.begun_ns && loop_now_ns() - s->ticket.begun_ns >= FAIR_WAIT_MS * NS_PER_MS;

    if (!s->failure || !s->failure->retryable)
        return TURN_UNUSED;
    return s->code != FETCH_TIMEOUT || waited ? TURN_FAILED : TURN_UNUSED;
}

/* Gives the turn back. True: trying again has no use, the origin is given up. */
static bool end_turn(struct fetch_frame *s)
{
    if (s->code) {
        *schedule_address(&s->ticket) = (struct address){0};
        return schedule_leave(&s->ticket, blame(s), 0);
    }
    const struct response *r = future_value(s->transfer);
    return schedule_leave(&s->ticket, is_refusal(r) ? TURN_REFUSED : TURN_ANSWERED,
                          r->retry_after_s);
}

static bool worth_a_retry(const struct fetch_frame *s)
{
    if (s->attempts > s->options->retries)
        return false;
    return s->code ? s->failure && s->failure->retryable : is_temporary(future_value(s->transfer));
}

/* Before the next attempt: exponential, between half and one and a half of its nominal length. A
 * host that refuses is waited for in its queue. */
static future *back_off(struct fetch_frame *s)
{
    uint64_t nominal = (uint64_t)BACKOFF_FIRST_MS << (s->attempts < 8 ? s->attempts - 1 : 7);
    bool refused = !s->code && is_refusal(future_value(s->transfer));

    s->attempts++;
    s->spent_us = s->dns_us = s->dial_us = 0;
    s->transfer = future_drop(s->transfer); /* its body need not wait as well */
    if (refused)
        return future_done();
    return future_after_ms(nominal / 2 + arc4random_uniform((uint32_t)nominal + 1));
}

/* False, and noted, for a URL that cannot be fetched. */
static bool accept_url(struct fetch_frame *s)
{
    const char *message = NULL;
    int code = target_parse(s->given, &s->target, &message);

    if (code)
        note(s, &(struct mishap){.code = code, .message = message});
    s->attempts = 1;
    return code == 0;
}

static int fetch_step(task *t, void *frame)
{
    struct fetch_frame *s = frame;
    bool is_lost;

    BEGIN(t);
    if (!accept_url(s))
        return fail(t, s);
    for (;;) {
        if (!schedule_is_at(&s->ticket, s->target.origin)) {
            AWAIT(t, s->turn, ask_for_turn(s));
            if (!future_ok(s->turn)) {
                note_no_turn(s);
                return fail(t, s);
            }
        }
        begin_turn(s);
        if (!robots_allow(s) || !proxy_may_be_asked(s))
            return fail(t, s);

        s->code = 0;
        s->found = future_drop(s->found);
        if (needs_name(s)) {
            AWAIT(t, s->wait, look_up(s));
            if (note_addresses(s) && needs_dialling(s)) {
                AWAIT(t, s->dialled, dial_any(s));
                note_dialled(s);
            }
        }
        if (!s->code) {
            AWAIT(t, s->transfer, begin_transfer(s));
            if (!future_ok(s->transfer))
                note_transfer(s);
        }
        is_lost = end_turn(s);

        if (!is_lost && worth_a_retry(s)) {
            AWAIT(t, s->wait, back_off(s));
        } else if (s->code) {
            return fail(t, s);
        } else if (!response_is_redirect(future_value(s->transfer))) {
            return succeed(t, s);
        } else if (!follow(s)) {
            return fail(t, s);
        }
    }
    END(t);
}

static void fetch_drop(void *frame)
{
    struct fetch_frame *s = frame;

    schedule_leave(&s->ticket, TURN_UNUSED, 0);
    future_drop(s->turn);
    if (s->found) /* it may have failed when nobody waited any more: no error got lost */
        (void)future_error(s->found);
    future_drop(s->found);
    future_drop(s->dialled);
    future_drop(s->wait);
    future_drop(s->transfer);
    target_free(&s->target);
    free(s->failure);
    if (s->watch && s->watch->release)
        s->watch->release(s->watch);
}

TASK(fetch_task, ON_LOOP, sizeof(struct fetch_frame), .step = fetch_step, .drop = fetch_drop);

future *fetch(struct fetcher *f, const struct fetch_request *request)
{
    struct fetch_frame s = {
        .fetcher = f,
        .flow = request->flow ? request->flow : f->flow,
        .given = request->url,
        .options = request->options,
        .watch = request->watch,
    };

    if (request->ticket) {
        s.ticket = *request->ticket;
        *request->ticket = (struct ticket){0};
    }
    return task_start(&fetch_task, &s);
}
