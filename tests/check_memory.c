/*
 * The ceiling of --max-memory: the accountant by itself, what is read of control groups, and the
 * daemon below a small one.
 */
#include "core/base/clock.h"
#include "core/fetch/large_bodies.h"
#include "server/memory/cgroup.h"
#include "server/memory/memory.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

/* -- the accountant ---------------------------------------------------------------------------- */

enum { WORKERS = 2, PAGE_BYTES = 10 << 20 };

static struct memory memory;
static uint64_t now_ns;

static void measured(uint64_t own, uint64_t workers, uint64_t fetches, uint64_t held)
{
    memory_measure(
        &memory,
        &(struct memory_sample){
            .own = own, .workers = workers, .fetches = fetches, .held = held, .now_ns = now_ns});
}

static void pass_ms(uint64_t ms)
{
    now_ns = clock_after_ms(now_ns, ms);
}

static void begin_with(uint64_t ceiling)
{
    memory_init(&memory, &(struct memory_options){
                             .ceiling = ceiling, .workers = WORKERS, .max_page_bytes = PAGE_BYTES});
    now_ns = 1000 * NS_PER_SEC;
    measured(20 * MIB, 10 * MIB, 0, 0);
}

/* What can still be reserved. */
static uint64_t left(void)
{
    return memory.ceiling - memory_total(&memory);
}

START_TEST(without_a_ceiling_everything_is_allowed_and_counted)
{
    struct memory_share share = {0};
    struct problem problem;

    begin_with(0);
    measured(UINT64_MAX / 8, UINT64_MAX / 8, 1000, 1000);
    ck_assert(memory_reserve(&memory, &share, UINT64_MAX / 8));
    ck_assert(memory_allows_fetch(&memory, 1000, 1000));
    ck_assert(memory_admits(&memory, &problem));
    ck_assert_uint_eq(memory.reserved, UINT64_MAX / 8);
    ck_assert_uint_eq(memory_body_limit(&memory, 77), 77);
    memory_release(&share);
    ck_assert_uint_eq(memory.reserved, 0);
}
END_TEST

START_TEST(what_was_reserved_is_not_given_to_another)
{
    struct memory_share first = {0}, second = {0};

    begin_with(1024 * MIB);
    uint64_t all = left();
    ck_assert(memory_reserve(&memory, &first, all - 10));
    ck_assert(!memory_reserve(&memory, &second, 11));
    ck_assert_uint_eq(second.reserved, 0);
    ck_assert(memory_reserve(&memory, &second, 10));
    ck_assert(!memory_reserve(&memory, &second, 11));
    ck_assert_uint_eq(second.reserved, 10);
    memory_release(&first);
    ck_assert(memory_reserve(&memory, &second, all));
    memory_release(&second);
    ck_assert_uint_eq(left(), all);
}
END_TEST

START_TEST(a_share_can_always_become_smaller)
{
    struct memory_share share = {0};

    begin_with(1024 * MIB);
    ck_assert(memory_reserve(&memory, &share, left()));
    measured(2000 * MIB, 0, 0, 0);
    ck_assert(memory_reserve(&memory, &share, 5));
    ck_assert(!memory_reserve(&memory, &share, 6));
    ck_assert_uint_eq(memory.reserved, 5);
    memory_release(&share);
}
END_TEST

START_TEST(what_is_filled_is_not_counted_once_more_when_it_is_measured)
{
    struct memory_share share = {0};

    begin_with(1024 * MIB);
    uint64_t before = memory_total(&memory);
    ck_assert(memory_reserve(&memory, &share, 100 * MIB));
    ck_assert_uint_eq(memory_total(&memory), before + 100 * MIB);
    memory_fill(&share, 60 * MIB);
    measured(80 * MIB, 10 * MIB, 0, 0);
    ck_assert_uint_eq(memory_total(&memory), before + 100 * MIB);
    memory_fill(&share, 100 * MIB); /* behind the measurement */
    ck_assert_uint_eq(memory_total(&memory), before + 100 * MIB);
    memory_fill(&share, 101 * MIB);
    ck_assert_uint_eq(memory_total(&memory), before + 101 * MIB);
    memory_release(&share);
    measured(20 * MIB, 10 * MIB, 0, 0);
    ck_assert_uint_eq(memory_total(&memory), before);
}
END_TEST

START_TEST(what_was_given_back_and_is_still_resident_still_counts)
{
    struct memory_share share = {0};

    begin_with(1024 * MIB);
    uint64_t before = memory_total(&memory);
    ck_assert(memory_reserve(&memory, &share, 100 * MIB));
    memory_fill(&share, 100 * MIB);
    memory_release(&share);
    measured(120 * MIB, 10 * MIB, 0, 0); /* malloc keeps it */
    ck_assert_uint_eq(memory_total(&memory), before + 100 * MIB);
}
END_TEST

START_TEST(a_share_moves_with_all_it_has)
{
    struct memory_share body = {0}, batch = {0};

    begin_with(1024 * MIB);
    ck_assert(memory_reserve_claim(&memory, &body, 7 * MIB));
    memory_fill(&body, 5 * MIB);
    memory_move(&body, &batch);
    memory_release(&body); /* nothing */
    pass_ms(2 * MEMORY_PATIENCE_MS);
    measured(20 * MIB, 10 * MIB, 0, 0);
    pass_ms(2 * MEMORY_PATIENCE_MS);
    measured(20 * MIB, 10 * MIB, 0, 0);
    ck_assert_uint_eq(memory.reserved, 7 * MIB); /* it is no claim any more */
    memory_release(&batch);
    ck_assert_uint_eq(memory.reserved, 0);
    ck_assert_uint_eq(memory.filled, 0);
}
END_TEST

START_TEST(who_announces_and_does_not_send_keeps_what_came_and_a_step)
{
    struct memory_share slow = {0}, quick = {0};

    begin_with(1024 * MIB);
    ck_assert(memory_reserve_claim(&memory, &slow, 256 * MIB));
    ck_assert(memory_reserve_claim(&memory, &quick, 256 * MIB));
    for (uint64_t passed = 0; passed < 2 * MEMORY_PATIENCE_MS; passed += 1000) {
        memory_fill(&slow, slow.filled + 10);
        memory_fill(&quick, quick.filled + MEMORY_STEP);
        measured(30 * MIB, 10 * MIB, 0, 0);
        if (passed < MEMORY_PATIENCE_MS)
            ck_assert_uint_eq(slow.reserved, 256 * MIB);
        pass_ms(1000);
    }
    ck_assert_uint_le(slow.reserved, slow.filled + MEMORY_STEP);
    ck_assert_uint_ge(slow.reserved, slow.filled);
    ck_assert_uint_eq(quick.reserved, 256 * MIB);
    ck_assert(memory_reserve_claim(&memory, &slow, slow.filled + 2 * MEMORY_STEP));
    memory_release(&slow);
    memory_release(&quick);
    ck_assert_uint_eq(memory.reserved, 0);
}
END_TEST

START_TEST(fetches_leave_room_for_new_batches)
{
    struct memory_share share = {0};
    struct problem problem;
    size_t fetches = 0;

    begin_with(512 * MIB);
    while (memory_allows_fetch(&memory, fetches, 0))
        fetches++;
    ck_assert_uint_gt(fetches, 100);
    pass_ms(100);
    measured(20 * MIB, 10 * MIB, fetches, 0);
    ck_assert(memory_admits(&memory, &problem));
    ck_assert(memory_reserve(&memory, &share, 32 * MIB));
    memory_release(&share);
}
END_TEST

START_TEST(pages_that_are_held_and_may_come_stop_further_fetches)
{
    begin_with(512 * MIB);
    uint64_t room = left() - memory.ceiling / 8;
    ck_assert(memory_allows_fetch(&memory, 10, 0));
    ck_assert(!memory_allows_fetch(&memory, 10, room));
    ck_assert(!memory_allows_fetch(&memory, room / LARGE_BODY_BYTES, 0));
    ck_assert(memory_allows_fetch(&memory, 10, 0));
}
END_TEST

START_TEST(many_batches_have_fewer_urls_under_way_each)
{
    begin_with(512 * MIB);
    ck_assert_uint_gt(memory_window(&memory, 1), 1000);
    ck_assert_uint_eq(memory_window(&memory, 0), memory_window(&memory, 1));
    ck_assert_uint_le(100 * memory_window(&memory, 100), memory_window(&memory, 1));
    ck_assert_uint_gt(memory_window(&memory, 1000000), 0);
    begin_with(0);
    ck_assert_uint_eq(memory_window(&memory, 1000000), UINT64_MAX);
}
END_TEST

START_TEST(when_memory_is_short_new_batches_are_told_when_to_try_again)
{
    struct problem problem;

    begin_with(512 * MIB);
    ck_assert(memory_admits(&memory, &problem));
    measured(500 * MIB, 10 * MIB, 0, 0);
    ck_assert(!memory_admits(&memory, &problem));
    ck_assert_int_eq(problem.status, 503);
    ck_assert_uint_gt(problem.retry_after_s, 0);
    ck_assert_uint_eq(memory.refused, 1);
}
END_TEST

START_TEST(memory_is_short_until_there_has_been_room_for_a_while)
{
    begin_with(512 * MIB);
    uint64_t beside = memory_total(&memory) - 20 * MIB, most = memory.ceiling - beside;
    measured(most, 10 * MIB, 0, 0);
    ck_assert(memory.is_short);
    pass_ms(100 + MEMORY_RECOVERY_MS);
    measured(most - memory.ceiling / 32 - 1, 10 * MIB, 0, 0); /* between the marks */
    ck_assert(memory.is_short);
    pass_ms(100);
    measured(20 * MIB, 10 * MIB, 0, 0);
    ck_assert(memory.is_short);
    pass_ms(MEMORY_RECOVERY_MS);
    measured(20 * MIB, 10 * MIB, 0, 0);
    ck_assert(!memory.is_short);
    measured(most - memory.ceiling / 32 - 1, 10 * MIB, 0, 0);
    ck_assert(!memory.is_short);
}
END_TEST

START_TEST(workers_count_with_what_their_pages_may_take_and_with_more_when_they_have_it)
{
    begin_with(1024 * MIB);
    uint64_t idle = memory_total(&memory);
    measured(20 * MIB, 60 * MIB, 0, 0);
    ck_assert_uint_eq(memory_total(&memory), idle);
    measured(20 * MIB, 500 * MIB, 0, 0);
    ck_assert_uint_gt(memory_total(&memory), 520 * MIB);
}
END_TEST

static const uint64_t some_workers[] = {1, 2, 8, 64, 256},
                      some_pages[] = {1, 1 << 20, 10 << 20, 1 << 30};

/* The daemon has just started. */
static void begin_idle(uint64_t ceiling, uint64_t workers, uint64_t page)
{
    memory_init(&memory, &(struct memory_options){
                             .ceiling = ceiling, .workers = workers, .max_page_bytes = page});
    measured(30 * MIB, (workers + 1) * 6 * MIB, 0, 0);
}

START_TEST(with_the_least_ceiling_a_batch_is_taken_and_a_page_fetched)
{
    struct problem problem;

    for (size_t i = 0; i < sizeof some_workers / sizeof *some_workers; i++) {
        for (size_t k = 0; k < sizeof some_pages / sizeof *some_pages; k++) {
            uint64_t workers = some_workers[i], page = some_pages[k];
            uint64_t least = memory_least(workers, page), floor = memory_floor(workers, page);

            ck_assert_uint_le(floor, least);
            ck_assert_uint_le(memory_least(workers, page / 2), least);
            ck_assert_uint_lt(memory_least(workers, page), memory_least(workers + 1, page));
            begin_idle(floor, workers, page);
            ck_assert(memory_admits(&memory, &problem));
            begin_idle(least, workers, page);
            ck_assert(memory_admits(&memory, &problem));
            ck_assert(memory_allows_fetch(&memory, 0, 0));
            ck_assert_uint_ge(memory_body_limit(&memory, UINT64_MAX), MEMORY_STEP);
            ck_assert_uint_ge(memory_hold_bytes(&memory), page);
        }
    }
}
END_TEST

START_TEST(whatever_is_asked_for_reservations_never_pass_the_ceiling)
{
    enum { SHARES = 20, STEPS = 20000 };
    struct memory_share shares[SHARES] = {0};
    unsigned seed = 1;

    begin_with(256 * MIB);
    for (unsigned step = 0; step < STEPS; step++) {
        struct memory_share *s = &shares[rand_r(&seed) % SHARES];
        uint64_t bytes = (uint64_t)rand_r(&seed) % (20 * MIB), reserved = 0, filled = 0;

        switch (rand_r(&seed) % 5) {
        case 0:
            memory_reserve(&memory, s, s->filled + bytes);
            break;
        case 1:
            memory_reserve_claim(&memory, s, s->filled + bytes);
            break;
        case 2:
            memory_fill(s, s->reserved > 0 ? bytes % s->reserved : 0);
            break;
        case 3:
            memory_release(s);
            break;
        default:
            pass_ms(500);
            measured(20 * MIB + memory.filled, 10 * MIB, 0, 0);
        }
        for (size_t i = 0; i < SHARES; i++) {
            reserved += shares[i].reserved;
            filled += shares[i].filled;
        }
        ck_assert_uint_eq(memory.reserved, reserved);
        ck_assert_uint_eq(memory.filled, filled);
        ck_assert_uint_le(memory_total(&memory), memory.ceiling);
    }
    for (size_t i = 0; i < SHARES; i++)
        memory_release(&shares[i]);
    ck_assert(list_empty(&memory.claims));
}
END_TEST

/* -- control groups ---------------------------------------------------------------------------- */

static char groups[64];

static void make_groups(void)
{
    snprintf(groups, sizeof groups, "/tmp/skimd-groups-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(groups));
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place)
{
    (void)stat;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_groups(void)
{
    ck_assert_int_eq(nftw(groups, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A file below `groups`, with the folders above it. Its path is overwritten by the next call. */
static const char *put(const char *path, const char *text)
{
    static char full[256];

    snprintf(full, sizeof full, "%s/%s", groups, path);
    for (char *slash = full + strlen(groups) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return full;
}

START_TEST(the_lowest_limit_of_a_group_and_those_above_counts)
{
    put("memory.max", "max\n");
    put("a.slice/memory.max", "300000000\n");
    put("a.slice/b.service/memory.max", "500000000\n");
    put("a.slice/c.service/memory.max", "max\n");
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/a.slice/b.service\n"), groups),
                      300000000);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/a.slice/c.service\n"), groups),
                      300000000);
    put("a.slice/b.service/memory.max", "200000000\n");
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/a.slice/b.service\n"), groups),
                      200000000);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/d.slice\n"), groups), 0);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/\n"), groups), 0);
}
END_TEST

START_TEST(a_container_sees_its_own_group_as_the_root)
{
    put("memory.max", "536870912\n");
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/\n"), groups), 536870912);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/../../x\n"), groups), 536870912);
}
END_TEST

START_TEST(version_1_has_a_hierarchy_for_memory)
{
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/docker/x/memory.limit_in_bytes", "536870912\n");
    put("unified/memory.max", "1\n");
    ck_assert_uint_eq(
        cgroup_memory_limit(put("self", "5:cpu,memory:/docker/x\n4:pids:/y\n0::/\n"), groups),
        536870912);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "4:memory:/\n0::/\n"), groups), 0);
}
END_TEST

START_TEST(what_cannot_be_read_is_no_limit)
{
    ck_assert_uint_eq(cgroup_memory_limit("/nonexistent", groups), 0);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "nonsense"), groups), 0);
    ck_assert_uint_eq(cgroup_memory_limit(put("self", "0::/a\n"), groups), 0);
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct origin *origin;
static struct daemon skimd;

/* Sanitizers take memory, too. */
#if SANITIZED_ADDRESS || SANITIZED_THREAD
enum { SANITIZED = 1, CEILING = 600, FACTOR = 5 };
#else
enum { SANITIZED = 0, CEILING = 120, FACTOR = 1 };
#endif

/* Small pages, so that a small ceiling will do; in MiB, 0: none. */
static void begin_daemon(unsigned ceiling_mib)
{
    char ceiling[16];
    const char *const arguments[] = {
        "--allow-net", "127.0.0.0/8",  "--workers",     "1",          "--max-page-bytes",
        "1000000",     "--max-memory", ceiling,         "--grace-ms", "60000",
        "--per-host",  "1000",         "--concurrency", "1000",       NULL};

    snprintf(ceiling, sizeof ceiling, "%u%s", ceiling_mib, ceiling_mib ? "M" : "");
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
}

static void end_daemon(void)
{
    if (skimd.pid)
        ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
}

/* What the status says of memory. */
static long long status_of(const char *member)
{
    struct reply a;

    daemon_request(&skimd, "GET", "/v1/status", NULL, bytes_of(NULL, 0), &a);
    ck_assert_int_eq(a.status, 200);
    json_t *status = json_loadb(a.body.ptr, a.body.len, 0, NULL);
    const json_t *value = json_object_get(json_object_get(status, "memory"), member);
    ck_assert(json_is_integer(value));
    long long number = json_integer_value(value);
    json_decref(status);
    reply_free(&a);
    return number;
}

/* Before the daemon is asked again. AddressSanitizer keeps what was freed: many answers are much.
 */
static void pause_until(uint64_t give_up_ns)
{
    ck_assert_uint_lt(clock_now_ns(), give_up_ns);
    poll(NULL, 0, 10);
}

/* Waits until what the status says of memory is at most `most`. */
static void comes_down_to(const char *member, uint64_t most)
{
    uint64_t give_up = clock_after_ms(clock_now_ns(), PATIENCE_MS);

    while ((uint64_t)status_of(member) > most)
        pause_until(give_up);
}

/* Resident bytes of a process; without what it shares, where `own` is set. */
static uint64_t resident(pid_t pid, bool own)
{
    char path[64], text[128] = "", *rest;

    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0; /* a worker that has ended */
    strtoull(text, &rest, 10);
    uint64_t pages = strtoull(rest, &rest, 10), shared = strtoull(rest, NULL, 10);
    return (pages - (own ? shared : 0)) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static atomic_bool watching;

/* Gives the most that the daemon and its workers had at any time. */
static void *watch_tree(void *arg)
{
    uint64_t *peak = arg;
    pid_t workers[8];

    while (atomic_load(&watching)) {
        uint64_t now = resident(skimd.pid, false);
        size_t count = daemon_workers(&skimd, workers, 8);
        for (size_t i = 0; i < count && i < 8; i++)
            now += resident(workers[i], true);
        if (now > *peak)
            *peak = now;
        poll(NULL, 0, 2);
    }
    return NULL;
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(skimd.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* The head of a batch whose body is to have so many bytes. */
static int announce(size_t bytes)
{
    char head[160];
    int fd = dial();
    int length = snprintf(head, sizeof head,
                          "POST /v1/scrape HTTP/1.0\r\nContent-Type: text/plain\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          bytes);

    ck_assert_int_eq(send(fd, head, (size_t)length, MSG_NOSIGNAL), length);
    return fd;
}

/* One of many who post the same large body at once. */
struct client {
    pthread_t thread;
    struct bytes body;
    char head[400];
    bool ended; /* its batch, with all of its records */
};

static void *post(void *arg)
{
    struct client *c = arg;
    int fd = announce(c->body.len);
    struct bytes rest = c->body;
    struct buffer heard = {0};

    while (rest.len > 0) { /* who is refused may not take it all */
        ssize_t n = send(fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        rest = bytes_of(rest.ptr + n, rest.len - (size_t)n);
    }
    read_until(fd, &heard, "there is no such text");
    buffer_byte(&heard, '\0');
    snprintf(c->head, sizeof c->head, "%s", heard.ptr);
    c->ended = strstr(heard.ptr, "\"type\":\"end\",\"total\":1,\"ok\":1,") != NULL;
    buffer_free(&heard);
    close(fd);
    return NULL;
}

/* A list of one URL, and comments as long as it is to be. */
static void one_url(struct buffer *ret, size_t bytes)
{
    buffer_printf(ret, "%s/page/1?size=200000\n", origin_url(origin));
    while (ret->len < bytes)
        buffer_printf(ret, "# %01000d\n", 0);
}

/* So many clients at once, and how many of them were refused. */
static size_t flood(struct client *clients, size_t count)
{
    size_t refused = 0;

    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, post, &clients[i]), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_join(clients[i].thread, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(clients[i].head, "HTTP/1.1 503 ", 13) == 0) {
            refused++;
            ck_assert_msg(strstr(clients[i].head, "\r\nRetry-After: "), "%s", clients[i].head);
            ck_assert_msg(strstr(clients[i].head, "problem+json"), "%s", clients[i].head);
        } else {
            ck_assert_msg(clients[i].ended, "%s", clients[i].head);
        }
    }
    return refused;
}

START_TEST(below_a_small_ceiling_some_batches_are_refused_and_the_others_complete)
{
    enum { CLIENTS = 30, BODY_BYTES = FACTOR * (5 << 20) };
    static struct client clients[CLIENTS];
    struct buffer body = {0};
    uint64_t peak = 0;
    pthread_t watcher;

    begin_daemon(CEILING);
    one_url(&body, BODY_BYTES);
    ck_assert(!body.failed);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){.body = buffer_bytes(&body)};
    atomic_store(&watching, true);
    ck_assert_int_eq(pthread_create(&watcher, NULL, watch_tree, &peak), 0);
    size_t refused = flood(clients, CLIENTS);
    atomic_store(&watching, false);
    ck_assert_int_eq(pthread_join(watcher, NULL), 0);
    buffer_free(&body);

    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_lt(refused, CLIENTS);
    ck_assert_int_eq(status_of("refused_requests"), (long long)refused);
    ck_assert_uint_gt(peak, BODY_BYTES);
    if (!SANITIZED) /* which keep what was freed */
        ck_assert_uint_lt(peak, CEILING * MIB);
    comes_down_to("reserved_bytes", 0);
}
END_TEST

START_TEST(what_many_batches_took_is_given_back_when_they_have_ended)
{
    enum { CLIENTS = 40, BODY_BYTES = 1 << 20 }; /* what malloc has in its heap */
    static struct client clients[CLIENTS];
    struct buffer body = {0};

    begin_daemon(0);
    uint64_t before = resident(skimd.pid, false);
    one_url(&body, BODY_BYTES);
    ck_assert(!body.failed);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){.body = buffer_bytes(&body)};
    ck_assert_uint_eq(flood(clients, CLIENTS), 0);
    buffer_free(&body);
    if (!SANITIZED)
        comes_down_to("resident_bytes", before + 4 * MIB);
}
END_TEST

/* Posts a batch again and again until it is taken. */
static void is_taken_soon(struct bytes list)
{
    uint64_t give_up = clock_after_ms(clock_now_ns(), PATIENCE_MS);
    struct reply a;

    daemon_request(&skimd, "POST", "/v1/scrape", "text/plain", list, &a);
    while (a.status == 503) {
        reply_free(&a);
        pause_until(give_up);
        daemon_request(&skimd, "POST", "/v1/scrape", "text/plain", list, &a);
    }
    ck_assert_int_eq(a.status, 200);
    reply_free(&a);
}

START_TEST(an_announced_body_that_does_not_come_takes_no_memory_and_holds_nobody_up_for_long)
{
    enum { BODY_BYTES = FACTOR * (8 << 20) };
    struct buffer list = {0};
    int fds[64], count = 0;
    struct buffer heard = {0};

    begin_daemon(CEILING);
    uint64_t before = resident(skimd.pid, false);
    do { /* until one is refused */
        ck_assert_int_lt(count, 64);
        fds[count] = announce(BODY_BYTES);
        ck_assert_int_eq(send(fds[count], "# x", 3, MSG_NOSIGNAL), 3);
        (void)status_of("reserved_bytes"); /* which comes behind it */
    } while (recv(fds[count++], &(char){0}, 1, MSG_DONTWAIT | MSG_PEEK) < 0);
    ck_assert(read_until(fds[count - 1], &heard, "Retry-After: "));
    buffer_free(&heard);
    ck_assert_int_gt(count, 1);
    if (!SANITIZED)
        ck_assert_uint_lt(resident(skimd.pid, false), before + 8 * MIB);

    comes_down_to("reserved_bytes", (uint64_t)count * (MEMORY_STEP + 10));
    one_url(&list, 0);
    is_taken_soon(buffer_bytes(&list));
    buffer_free(&list);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    comes_down_to("reserved_bytes", 0);
}
END_TEST

START_TEST(fetches_that_do_not_fit_all_at_once_wait_for_their_turns)
{
    enum { URLS = 600 };
    struct buffer list = {0}, heard = {0};
    char end[64];

    begin_daemon(CEILING);
    for (int i = 0; i < URLS; i++)
        buffer_printf(&list, "%s/hold/%d\n", origin_url(origin), i);
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 4, PATIENCE_MS));
    ck_assert(!origin_wait_at_least(origin, ORIGIN_HELD, URLS, 300));
    origin_release(origin);
    snprintf(end, sizeof end, "\"type\":\"end\",\"total\":%d,\"ok\":%d,", URLS, URLS);
    ck_assert(read_until(fd, &heard, end));
    buffer_free(&list);
    buffer_free(&heard);
    close(fd);
}
END_TEST

START_TEST(a_ceiling_that_cannot_hold_the_workers_is_refused_with_the_least_that_can)
{
    static const char *const arguments[] = {"--max-memory", "64M", "--workers", "2", NULL};
    char text[512], least[32];

    snprintf(least, sizeof least, ": %lluM is the least",
             (unsigned long long)memory_least(2, PAGE_BYTES) >> 20);
    ck_assert_int_eq(daemon_run(arguments, text, sizeof text), 2);
    ck_assert_msg(strstr(text, "--max-memory") && strstr(text, least), "%s", text);
}
END_TEST

Suite *suite_memory(void)
{
    Suite *suite = suite_create("memory");
    TCase *accountant = tcase_create("accountant"), *group = tcase_create("groups"),
          *daemon = tcase_create("daemon");

    tcase_add_test(accountant, without_a_ceiling_everything_is_allowed_and_counted);
    tcase_add_test(accountant, what_was_reserved_is_not_given_to_another);
    tcase_add_test(accountant, a_share_can_always_become_smaller);
    tcase_add_test(accountant, what_is_filled_is_not_counted_once_more_when_it_is_measured);
    tcase_add_test(accountant, what_was_given_back_and_is_still_resident_still_counts);
    tcase_add_test(accountant, a_share_moves_with_all_it_has);
    tcase_add_test(accountant, who_announces_and_does_not_send_keeps_what_came_and_a_step);
    tcase_add_test(accountant, fetches_leave_room_for_new_batches);
    tcase_add_test(accountant, pages_that_are_held_and_may_come_stop_further_fetches);
    tcase_add_test(accountant, many_batches_have_fewer_urls_under_way_each);
    tcase_add_test(accountant, when_memory_is_short_new_batches_are_told_when_to_try_again);
    tcase_add_test(accountant, memory_is_short_until_there_has_been_room_for_a_while);
    tcase_add_test(accountant,
                   workers_count_with_what_their_pages_may_take_and_with_more_when_they_have_it);
    tcase_add_test(accountant, with_the_least_ceiling_a_batch_is_taken_and_a_page_fetched);
    tcase_add_test(accountant, whatever_is_asked_for_reservations_never_pass_the_ceiling);
    suite_add_tcase(suite, accountant);

    tcase_add_checked_fixture(group, make_groups, remove_groups);
    tcase_add_test(group, the_lowest_limit_of_a_group_and_those_above_counts);
    tcase_add_test(group, a_container_sees_its_own_group_as_the_root);
    tcase_add_test(group, version_1_has_a_hierarchy_for_memory);
    tcase_add_test(group, what_cannot_be_read_is_no_limit);
    suite_add_tcase(suite, group);

    tcase_set_timeout(daemon, 120);
    tcase_add_checked_fixture(daemon, NULL, end_daemon);
    tcase_add_test(daemon, below_a_small_ceiling_some_batches_are_refused_and_the_others_complete);
    tcase_add_test(daemon, what_many_batches_took_is_given_back_when_they_have_ended);
    tcase_add_test(
        daemon, an_announced_body_that_does_not_come_takes_no_memory_and_holds_nobody_up_for_long);
    tcase_add_test(daemon, fetches_that_do_not_fit_all_at_once_wait_for_their_turns);
    tcase_add_test(daemon,
                   a_ceiling_that_cannot_hold_the_workers_is_refused_with_the_least_that_can);
    suite_add_tcase(suite, daemon);
    return suite;
}
