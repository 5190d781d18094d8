#include "tests/support/worker_orders.h"

#include "core/async/internal.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The one environment variable of this kind that reaches workers and is not a sanitizer's. */
#define START_VARIABLE "NO_SUCH_SAN_OPTIONS"

CONTEXT_KEY(order_key);
const struct context_key *const order_context = &order_key;

/* -- what a worker is told to do --------------------------------------------------------------- */

uint64_t checksum(const char *bytes, size_t n)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211u;
    return sum;
}

static ssize_t call_pack(void *frame, char *request, size_t capacity)
{
    struct call *c = frame;
    struct order order = c->order;
    int packs = c->packs ? ++*c->packs : 1;

    if (order.deed == PACK_ERROR)
        return order.number;
    if (order.deed == PACK_TOO_MUCH)
        return (ssize_t)capacity + 1;
    if (sizeof order + c->payload_len > capacity)
        return -EMSGSIZE;
    if (order.deed == CRASH_ONCE)
        order.deed = packs == 1 ? CRASH : ECHO;
    if (order.deed == SPIN_ONCE)
        order.deed = packs == 1 ? SPIN : ECHO;
    if (order.deed == GROW_ONCE)
        order.deed = packs == 1 ? GROW : ECHO;
    memcpy(request, &order, sizeof order);
    if (c->payload_len > 0)
        memcpy(request + sizeof order, c->payload, c->payload_len);
    return (ssize_t)(sizeof order + c->payload_len);
}

static void call_unpack(task *t, void *frame, struct bytes reply)
{
    struct answer *a = calloc(1, sizeof *a);

    (void)frame;
    if (!a) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    a->length = reply.len;
    if (reply.len >= sizeof a->checksum)
        memcpy(&a->checksum, reply.ptr, sizeof a->checksum);
    a->number = (int64_t)a->checksum;
    task_return(t, a, free);
    for (size_t i = sizeof a->checksum; i < reply.len; i++)
        if (reply.ptr[i] != (char)(i * 7))
            task_fail(t, -EPROTO, NULL, NULL);
}

static size_t call_size(const void *frame)
{
    return ((const struct call *)frame)->payload_len;
}

static void call_drop(void *frame)
{
    struct call *c = frame;

    if (c->drops)
        ++*c->drops;
}

/* -- in the worker ----------------------------------------------------------------------------- */

static ssize_t reply_number(char *reply, int64_t number)
{
    memcpy(reply, &number, sizeof number);
    return sizeof number;
}

static void crash(void)
{
    signal(SIGABRT, SIG_DFL); /* forbidden, so this is the end already */
    abort();
}

/* Half of the limit must be there to have, and all of it and more must not. */
static ssize_t eat_memory(char *reply)
{
    enum { PIECE = 4 << 20 };
    static char *volatile piece; /* or the compiler sees that nobody uses the memory */
    int64_t pieces = 0;

    for (; pieces < 1000 && (piece = malloc(PIECE)); pieces++)
        memset(piece, 1, PIECE);
    return reply_number(reply, pieces);
}

/* Memory that is used and never given back; false when there is none. */
static bool leak(size_t length)
{
    static char *volatile piece;

    piece = malloc(length);
    if (piece)
        memset(piece, 1, length);
    return piece;
}

/* Tries to get at the request for writing; the error number of that. */
static int write_request(struct bytes request)
{
    uintptr_t page = (uintptr_t)request.ptr & ~(uintptr_t)4095;

    return syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_WRITE) < 0 ? errno : 0;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* More than fits on the stack of some qsort. */
static ssize_t sort(char *reply)
{
    static int numbers[4096];

    for (int i = 0; i < 4096; i++)
        numbers[i] = i * 7919 % 4096;
    qsort(numbers, 4096, sizeof *numbers, by_number);
    return reply_number(reply, numbers[4095]);
}

static ssize_t use_runtime(char *reply)
{
    future *f = NULL;
    promise *p = promise_make(&f);
    bool refused = async_start() == -ENOTSUP && promise_new(&f) == NULL && p &&
                   future_wait(f, CLOCK_NEVER) == -ENOTSUP;

    return reply_number(reply, refused);
}

static void say(const void *message, size_t length)
{
    send(WORKER_SOCKET, message, length, MSG_NOSIGNAL);
}

static ssize_t call_kernel(int number)
{
    static char page[4096];

    switch (number) {
    case SYS_mmap:
        return syscall(SYS_mmap, NULL, sizeof page, PROT_READ | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    case MAP_A_FILE:
        return syscall(SYS_mmap, NULL, sizeof page, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    case MAP_SHARED_MEMORY:
        return syscall(SYS_mmap, NULL, sizeof page, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    case SYS_sendto:
        return syscall(SYS_sendto, STDERR_FILENO, page, 1, MSG_NOSIGNAL, NULL, 0);
    case SYS_recvfrom:
        return syscall(SYS_recvfrom, STDIN_FILENO, page, 1, MSG_DONTWAIT, NULL, NULL);
    case SYS_mprotect:
        return syscall(SYS_mprotect, (uintptr_t)page & ~(sizeof page - 1), sizeof page, PROT_EXEC);
    case SYS_openat:
        return syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY);
    case SYS_clone:
        return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    case SYS_execve:
        return syscall(SYS_execve, "/bin/true", (char *[]){NULL}, (char *[]){NULL});
    case SYS_socket:
        return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    default:
        return syscall(number, 0, 0, 0, 0, 0, 0);
    }
}

static struct {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX + 1];
} huge;

static ssize_t call_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    volatile bool forever = true;
    struct order order;

    if (request.len == 0)
        return 0;
    memcpy(&order, request.ptr, sizeof order);
    /* The runtime is new in each test, so the first call has the number 1. */
    struct wire_reply first = {.id = order.number > 0 ? (uint64_t)order.number : 1};
    switch ((enum deed)order.deed) {
    case ECHO: {
        uint64_t sum = checksum(request.ptr + sizeof order, request.len - sizeof order);
        size_t length = sizeof sum + (size_t)order.number;
        if (length > capacity)
            return -ENOSPC;
        memcpy(reply, &sum, sizeof sum);
        for (size_t i = sizeof sum; i < length; i++)
            reply[i] = (char)(i * 7);
        return (ssize_t)length;
    }
    case GIVE_ERROR:
        return order.number;
    case CRASH:
    case CRASH_ONCE:
        crash();
        break;
    case SPIN:
    case SPIN_ONCE:
        while (forever)
            ;
        break;
    case SPIN_UNTIL_DEADLINE:
        while (clock_now_ns() < deadline_ns)
            ;
        return -ETIME;
    case CALL_KERNEL:
        return reply_number(reply, call_kernel(order.number));
    case EAT_MEMORY:
        return eat_memory(reply);
    case LEAK:
        return leak((size_t)order.number) ? reply_number(reply, 0) : -ENOMEM;
    case WRITE_REQUEST:
        return reply_number(reply, write_request(request));
    case EXIT:
        _exit(order.number);
    case SORT:
        return sort(reply);
    case USE_RUNTIME:
        return use_runtime(reply);
    case TELL_CONTEXT: {
        struct bytes here = context_get(order_context);
        return reply_number(reply, (int64_t)checksum(here.ptr, here.len));
    }
    case CLAIM_MORE:
        return (ssize_t)capacity + 1;
    case SAY_TOO_MUCH:
        huge.head.id = 1;
        say(&huge, sizeof huge.head + WIRE_REPLY_MAX + 1);
        break;
    case SAY_NONSENSE:
        say("nonsense", 8);
        break;
    case SAY_NOTHING:
        say("", 0);
        while (forever)
            ;
        break;
    case ANSWER_ANOTHER_CALL:
        first.id = 2;
        say(&first, sizeof first);
        break;
    case ANSWER_TWICE:
        say(&first, sizeof first);
        break;
    case ANSWER_AND_CRASH:
        say(&first, sizeof first);
        crash();
        break;
    case ANSWER_AND_GROW:
        say(&first, sizeof first);
        leak(GROWN_BYTES);
        while (forever)
            ;
        break;
    case GROW:
    case GROW_ONCE:
        leak(GROWN_BYTES);
        while (forever)
            ;
        break;
    case PACK_ERROR:
    case PACK_TOO_MUCH:
        break;
    }
    return 0;
}

static int call_prepare(void)
{
    const char *how = getenv(START_VARIABLE);

    while (how && strcmp(how, "hang") == 0)
        pause();
    if (how && strcmp(how, "narrow") == 0)
        return setsockopt(WORKER_SOCKET, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
    if (how && strcmp(how, "wide") == 0) {
        socklen_t size = sizeof(int);
        int bytes = 0;
        getsockopt(WORKER_SOCKET, SOL_SOCKET, SO_SNDBUF, &bytes, &size);
        return bytes >= 2 * WIRE_REPLY_MAX ? 0 : -EIO;
    }
    return how ? -EIO : 0;
}

#define CALL                                                                                       \
    .pack = call_pack, .serve = call_serve, .unpack = call_unpack, .drop = call_drop,              \
    .size = call_size

TASK(call_task, ON_PROCESS, sizeof(struct call), CALL, .prepare = call_prepare);
TASK(retried_task, ON_PROCESS, sizeof(struct call), CALL, .idempotent = true);
TASK(hasty_task, ON_PROCESS, sizeof(struct call), CALL, .timeout_ms = HASTY_MS);

static ssize_t nothing_pack(void *frame, char *request, size_t capacity)
{
    (void)frame;
    (void)request;
    (void)capacity;
    return 0;
}

TASK(nothing_task, ON_PROCESS, 0, .pack = nothing_pack, .serve = call_serve, .unpack = call_unpack);

const struct task_def *const plain_order = &call_task;
const struct task_def *const retried_order = &retried_task;
const struct task_def *const hasty_order = &hasty_task;
const struct task_def *const empty_order = &nothing_task;

/* -- in the test ------------------------------------------------------------------------------- */

future *start_order(const struct task_def *def, enum deed deed, int number)
{
    return task_start(def, &(struct call){.order = {deed, number}});
}

void expect_echo(void)
{
    expect_ok(start_order(plain_order, ECHO, 0));
}

void warm_up(void)
{
    expect_echo();
    let_loop_turn();
}

future *start_running(const struct task_def *def, enum deed deed, int number)
{
    warm_up();
    future *f = start_order(def, deed, number);
    let_loop_turn();
    ck_assert(!future_settled(f));
    return f;
}

void check_strength(void)
{
    pid_t pids[16];

    let_loop_turn();
    ck_assert_int_eq(async_counts().workers, STRENGTH);
    ck_assert_uint_eq(children(pids, 16), STRENGTH);
}

void await_strength(unsigned workers)
{
    uint64_t give_up = now_ms() + PATIENCE_MS;

    let_loop_turn(); /* those that have died are not counted any more */
    while (async_counts().workers < workers + 1 && now_ms() < give_up)
        expect_echo();
    ck_assert_int_eq(async_counts().workers, workers + 1);
}

static void set_start(void *how)
{
    if (how)
        setenv(START_VARIABLE, how, 1);
    else
        unsetenv(START_VARIABLE);
}

void let_workers_start(const char *how)
{
    union {
        const char *text;
        void *arg;
    } alias = {.text = how};

    on_loop(set_start, alias.arg);
}

const struct answer *answer_of(const future *f)
{
    return future_value(f);
}
