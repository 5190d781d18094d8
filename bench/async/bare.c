#include "bench/async/bare.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- queue of function pointers ---------------------------------------------------------------- */

struct node {
    struct node *next;
    void (*run)(uint64_t *counter);
};

static struct {
    struct node *first, **last;
} queue = {.last = &queue.first};

/* The compiler must not see through the call. */
static void count_one(uint64_t *counter)
{
    ++*counter;
}
static void (*volatile chosen)(uint64_t *counter) = count_one;

static void push(void)
{
    struct node *node = malloc(sizeof *node);

    if (!node)
        die("no memory");
    *node = (struct node){.run = chosen};
    *queue.last = node;
    queue.last = &node->next;
}

static void pop(uint64_t *counter)
{
    struct node *node = queue.first;

    queue.first = node->next;
    if (!queue.first)
        queue.last = &queue.first;
    node->run(counter);
    free(node);
}

uint64_t bare_queue_one(uint64_t n)
{
    uint64_t done = 0;

    while (done < n) {
        push();
        pop(&done);
    }
    return done;
}

uint64_t bare_queue_batch(uint64_t n)
{
    uint64_t done = 0;

    while (done < n) {
        for (int i = 0; i < BATCH; i++)
            push();
        while (queue.first)
            pop(&done);
    }
    return done;
}

/* -- two threads ------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t asked, answered;
    bool question, answer, stop;
} table = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .asked = PTHREAD_COND_INITIALIZER,
    .answered = PTHREAD_COND_INITIALIZER,
};

static void *answer_questions(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&table.lock);
    for (;;) {
        while (!table.question && !table.stop)
            pthread_cond_wait(&table.asked, &table.lock);
        if (table.stop)
            break;
        table.question = false;
        table.answer = true;
        pthread_cond_signal(&table.answered);
    }
    pthread_mutex_unlock(&table.lock);
    return NULL;
}

uint64_t bare_condvar(uint64_t n)
{
    pthread_t thread;

    table.stop = false;
    if (pthread_create(&thread, NULL, answer_questions, NULL) != 0)
        die("no thread");
    pthread_mutex_lock(&table.lock);
    for (uint64_t i = 0; i < n; i++) {
        table.question = true;
        pthread_cond_signal(&table.asked);
        while (!table.answer)
            pthread_cond_wait(&table.answered, &table.lock);
        table.answer = false;
    }
    table.stop = true;
    pthread_cond_signal(&table.asked);
    pthread_mutex_unlock(&table.lock);
    pthread_join(thread, NULL);
    return n;
}

/* -- processes --------------------------------------------------------------------------------- */

struct call {
    uint64_t id, length;
};

struct child {
    pid_t pid;
    int socket;
    char *memory; /* shared */
};

enum { CHILDREN_MAX = 64 };

char payload[LARGE_BYTES];

static void answer_calls(int socket, const char *memory)
{
    uint64_t reply[REPLY_BYTES / sizeof(uint64_t)] = {0};
    struct call call;

    while (recv(socket, &call, sizeof call, 0) == sizeof call) {
        reply[0] = call.id;
        reply[1] = touch(bytes_of(memory, call.length));
        if (send(socket, reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply)
            break;
    }
    _exit(EXIT_SUCCESS);
}

static struct child start_child(void)
{
    struct child c;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        die("no socket pair");
    c.socket = pair[0];
    c.memory = mmap(NULL, LARGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c.memory == MAP_FAILED || (c.pid = fork()) < 0)
        die("no process");
    if (c.pid == 0) {
        close(pair[0]);
        answer_calls(pair[1], c.memory);
    }
    close(pair[1]);
    return c;
}

/* Its siblings, forked later, hold its parent's end too: it would wait for ever. */
static void stop_child(struct child *c)
{
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    close(c->socket);
    munmap(c->memory, LARGE_BYTES);
}

static void ask(struct child *c, size_t length, uint64_t id)
{
    struct call call = {.id = id, .length = length};

    memcpy(c->memory, payload, length);
    if (send(c->socket, &call, sizeof call, MSG_NOSIGNAL) != sizeof call)
        die("the call was not sent");
}

static void take_answer(struct child *c, uint64_t id)
{
    uint64_t reply[REPLY_BYTES / sizeof(uint64_t)];

    if (recv(c->socket, reply, sizeof reply, 0) != sizeof reply || (id && reply[0] != id))
        die("not the answer");
}

static uint64_t ping_pong(uint64_t n, size_t length, int epoll)
{
    struct child c = start_child();
    struct epoll_event event = {.events = EPOLLIN};

    if (epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, c.socket, &event) < 0)
        die("no epoll");
    for (uint64_t id = 1; id <= n; id++) {
        ask(&c, length, id);
        while (epoll >= 0 && epoll_wait(epoll, &event, 1, -1) < 0)
            if (errno != EINTR)
                die("epoll_wait failed");
        take_answer(&c, id);
    }
    stop_child(&c);
    return n;
}

static uint64_t ping_pong_by_epoll(uint64_t n, size_t length)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        die("no epoll");
    ping_pong(n, length, epoll);
    close(epoll);
    return n;
}

uint64_t bare_recv_small(uint64_t n)
{
    return ping_pong(n, REPLY_BYTES, -1);
}

uint64_t bare_recv_large(uint64_t n)
{
    return ping_pong(n, LARGE_BYTES, -1);
}

uint64_t bare_epoll_small(uint64_t n)
{
    return ping_pong_by_epoll(n, REPLY_BYTES);
}

uint64_t bare_epoll_large(uint64_t n)
{
    return ping_pong_by_epoll(n, LARGE_BYTES);
}

/* Each process gets its next call as soon as it has answered: there is always one more waiting. */
static uint64_t keep_busy(uint64_t n, size_t length)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = cpus < 1 ? 1 : cpus > CHILDREN_MAX ? CHILDREN_MAX : (unsigned)cpus;
    struct child children[CHILDREN_MAX];
    struct epoll_event events[CHILDREN_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t asked = 0, done = 0;

    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        children[i] = start_child();
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, children[i].socket, &event) < 0)
            die("no epoll");
    }
    for (unsigned i = 0; i < count && asked < n; i++)
        ask(&children[i], length, ++asked);
    while (done < n) {
        int ready = epoll_wait(epoll, events, CHILDREN_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct child *c = &children[events[i].data.u32];
            take_answer(c, 0);
            done++;
            if (asked < n)
                ask(c, length, ++asked);
        }
    }
    for (unsigned i = 0; i < count; i++)
        stop_child(&children[i]);
    close(epoll);
    return n;
}

uint64_t bare_processes_small(uint64_t n)
{
    return keep_busy(n, REPLY_BYTES);
}

uint64_t bare_processes_large(uint64_t n)
{
    return keep_busy(n, LARGE_BYTES);
}
