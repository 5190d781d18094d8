#include "core/async/process_call.h"

#include "core/async/internal.h"
#include "core/async/process_queue.h"
#include "core/async/quarantine.h"
#include "core/async/task_table.h"
#include "core/async/wire.h"
#include "core/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

enum { LAST_ERRNO = 4095 };

static struct {
    uint64_t last_id;
    struct quarantine quarantine;
} calls;

static struct {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX];
} received;
static size_t received_len;

void call_reset(void)
{
    memset(&calls, 0, sizeof calls);
}

/* -- to the worker ----------------------------------------------------------------------------- */

/* When the task must have been served: what its definition allows, or the end of its scope. */
static uint64_t deadline_of(const task *t)
{
    uint64_t scope = scope_deadline_ns(t->scope);
    uint64_t own =
        t->def->timeout_ms ? clock_after_ms(async_now_ns(), t->def->timeout_ms) : CLOCK_NEVER;

    return own < scope ? own : scope;
}

struct call_message {
    struct wire_call head;
    char context[CONTEXT_WIRE_MAX];
};
static_assert(offsetof(struct call_message, context) == sizeof(struct wire_call), "no gap");

static struct bytes request_of(const struct worker *w)
{
    return bytes_of(w->process.memory, w->request_len);
}

/* Writes the request to the worker's memory, and arms its timer. */
static int prepare(struct worker *w, task *t, uint64_t deadline_ns)
{
    size_t capacity = w->process.memory_bytes;

    loop_callback_name(t->def->name);
    ssize_t length = t->def->pack(t->frame, w->process.memory, capacity);
    if (length < 0)
        return (int)length;
    if ((size_t)length > capacity)
        return -EMSGSIZE;
    w->request_len = (size_t)length;
    w->call_task = task_table_index(t->def);
    if (quarantine_refuses(&calls.quarantine, w->call_task, request_of(w))) {
        count(COUNT_TASKS_QUARANTINED, 1);
        return -ENOTRECOVERABLE;
    }
    return deadline_ns == CLOCK_NEVER
               ? 0
               : timer_set(&w->timer, clock_after_ms(deadline_ns, KILL_GRACE_MS));
}

bool call_send(struct worker *w, task *t)
{
    struct call_message message; /* only what is sent of it is written */
    uint64_t deadline_ns = deadline_of(t);
    int rc = prepare(w, t, deadline_ns);

    if (rc < 0) {
        task_fail(t, rc, NULL, NULL);
        task_end(t);
        return true;
    }
    message.head = (struct wire_call){
        .id = calls.last_id + 1,
        .deadline_ns = deadline_ns,
        .length = w->request_len,
        .task = w->call_task,
    };
    size_t length =
        sizeof message.head + (t->context ? context_pack(t->context, message.context) : 0);
    if (send(w->process.socket, &message, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return false;
    w->call_id = ++calls.last_id;
    w->task = t;
    t->worker = w;
    t->since_ticks = task_ticks(loop_now_ns());
    return true;
}

/* -- from the worker --------------------------------------------------------------------------- */

static bool is_hello(void)
{
    struct wire_hello hello;

    memcpy(&hello, &received, sizeof hello);
    return received_len == sizeof hello && hello.version == WIRE_VERSION &&
           hello.task_count == task_table_size();
}

static bool is_answer(const struct worker *w)
{
    const struct wire_reply *head = &received.head;

    /* Only the parent says "cancelled": a worker must not make its own failure look like that. */
    return received_len >= sizeof *head && received_len <= sizeof received &&
           head->id == w->call_id && head->error <= 0 && head->error >= -LAST_ERRNO &&
           head->error != -ECANCELED;
}

/* What an earlier call had it say twice may come when it has the next one. */
static bool is_late(const struct worker *w)
{
    return received_len >= sizeof received.head && received.head.id < w->call_id;
}

/* What was received is empty: the end of the socket looks like that, and so does a message. */
static enum heard empty(const struct worker *w)
{
    struct pollfd socket = {.fd = w->process.socket};

    return poll(&socket, 1, 0) > 0 && socket.revents & POLLHUP ? HEARD_END : HEARD_NONSENSE;
}

enum heard call_hear(struct worker *w)
{
    ssize_t n = recv(w->process.socket, &received, sizeof received, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0) {
        /* What unix(7) does not say: a peer that closes with messages unread resets the connection,
         * and that is told before the messages that it had sent. */
        w->unheard |= errno == ECONNRESET;
        return errno == ECONNRESET || errno == EINTR ? HEARD_RESET : HEARD_NOTHING;
    }
    if (w->verdict == -EBADMSG)
        return HEARD_NOTHING; /* what it says does not count any more */
    if (n == 0)
        return empty(w);

    received_len = (size_t)n;
    switch (w->state) {
    case STARTING:
        return !w->verdict && is_hello() ? HEARD_HELLO : HEARD_NONSENSE;
    case BUSY:
        if (is_answer(w))
            return HEARD_ANSWER;
        w->stray |= is_late(w);
        return HEARD_NONSENSE;
    case IDLE:
    case ENDING:
        break; /* it speaks out of turn */
    }
    return HEARD_NONSENSE;
}

void call_finish(task *t)
{
    loop_callback_name(t->def->name);
    /* Past its scope's deadline, which the worker was told, it may have given up for that. */
    if (loop_now_ns() >= scope_deadline_ns(t->scope)) {
        task_fail(t, -ECANCELED, NULL, NULL);
    } else if (received.head.error) {
        task_fail(t, received.head.error, NULL, NULL);
    } else {
        task_fail(t, -EBADMSG, NULL, NULL); /* unless this finds something in it */
        t->def->unpack(t, t->frame, bytes_of(received.body, received_len - sizeof received.head));
    }
    task_end(t);
}

/* -- its end ----------------------------------------------------------------------------------- */

bool call_was_fatal(const struct worker_exit *exit, int verdict)
{
    if (verdict == -EBADMSG)
        return true;
    switch (exit->signal) {
    case 0:
        return exit->status >= 0;
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGSYS:
    case SIGXFSZ:
        return true;
    default: /* nobody in a worker can send it */
        return false;
    }
}

void call_accuse(const struct worker *w)
{
    quarantine_accuse(&calls.quarantine, w->call_task, request_of(w));
}

void call_lost(task *t, int verdict, bool unheard)
{
    t->worker = NULL;
    if (verdict == -ECANCELED || task_cancelled(t)) {
        task_end_cancelled(t);
    } else if (verdict == -EOWNERDEAD && (t->def->idempotent || unheard) && !t->retried) {
        /* A call that was never read may be made again, whatever it does. */
        t->retried = true;
        count(COUNT_TASKS_RETRIED, 1);
        process_queue_push_again(t);
    } else {
        task_fail(t, verdict, NULL, NULL);
        task_end(t);
    }
}
