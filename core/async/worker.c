/*
 * A worker process: the same binary, started with a role flag. It prepares what its tasks need,
 * gives up its rights, and then answers calls one after another until its socket closes.
 */
#include "core/async/worker.h"

#include "core/async/sandbox.h"
#include "core/async/task_table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* WORKER_FLAG REQUEST_BYTES MEMORY_BYTES PARENT_PID */
enum { ARG_FLAG = 1, ARG_REQUEST_BYTES, ARG_MEMORY, ARG_PARENT, ARG_COUNT };

static char **arguments;

bool async_is_worker(int argc, char **argv)
{
    if (argc != ARG_COUNT || strcmp(argv[ARG_FLAG], WORKER_FLAG) != 0)
        return false;
    arguments = argv;
    return true;
}

bool worker_was_spawned(void)
{
    static const char expected[] = WORKER_NAME "\0" WORKER_FLAG;
    char line[sizeof expected];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line);
    if (fd >= 0)
        close(fd);
    return n == sizeof line && memcmp(line, expected, sizeof line) == 0;
}

static size_t argument(int which)
{
    return strtoull(arguments[which], NULL, 10);
}

int worker_prepare(void)
{
    for (uint32_t i = 0; i < task_table_size(); i++) {
        const struct task_def *def = task_table_get(i);
        int rc = def->prepare ? def->prepare() : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int say(const void *message, size_t length)
{
    ssize_t n;

    do
        n = send(WORKER_SOCKET, message, length, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/*
 * A reply that the socket does not take, since it may hold less or the kernel has no memory for it
 * now, is the task's error and not the worker's end.
 */
static int say_reply(struct worker_reply *reply, size_t length)
{
    int rc = say(reply, length);

    if (length > sizeof reply->head && (rc == -EMSGSIZE || rc == -ENOBUFS || rc == -ENOMEM)) {
        reply->head.error = rc;
        rc = say(&reply->head, sizeof reply->head);
    }
    return rc;
}

/* -- one call ---------------------------------------------------------------------------------- */

static ssize_t serve(const struct wire_call *call, struct bytes memory, struct worker_reply *out)
{
    const struct task_def *def = task_table_get(call->task);

    if (!def || def->where != ON_PROCESS || !def->serve || call->length > memory.len)
        return -EINVAL;
    return def->serve(bytes_of(memory.ptr, call->length), call->deadline_ns, out->body,
                      sizeof out->body);
}

size_t worker_answer(struct bytes message, struct bytes memory, struct worker_reply *out)
{
    struct wire_call call;

    if (message.len < sizeof call || message.len > WIRE_CALL_MAX)
        return 0;
    memcpy(&call, message.ptr, sizeof call);
    struct bytes context = bytes_of(message.ptr + sizeof call, message.len - sizeof call);

    ssize_t n = context.len > 0 ? context_enter_packed(context) : 0;
    if (n == 0)
        n = serve(&call, memory, out);
    if (context.len > 0)
        context_enter_packed((struct bytes){0}); /* what it borrowed ends with the message */
    if (n > (ssize_t)sizeof out->body)
        n = -EMSGSIZE;
    out->head = (struct wire_reply){.id = call.id, .error = n < 0 ? (int32_t)n : 0};
    return sizeof out->head + (n > 0 ? (size_t)n : 0);
}

/* -- one after another ------------------------------------------------------------------------- */

/* The next message; its length, or -1 when no more comes. */
static ssize_t hear(char *message, size_t capacity)
{
    ssize_t n;

    do
        n = recv(WORKER_SOCKET, message, capacity, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    return n > 0 ? n : -1;
}

static int serve_all(struct bytes memory)
{
    static char message[WIRE_CALL_MAX];
    static struct worker_reply reply;

    for (ssize_t n; (n = hear(message, sizeof message)) > 0;) {
        /* One that was cut is longer than any call. */
        size_t length = worker_answer(bytes_of(message, (size_t)n), memory, &reply);
        if (length == 0 || say_reply(&reply, length) < 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int async_worker_main(void)
{
    struct wire_hello hello = {.version = WIRE_VERSION, .task_count = task_table_size()};
    size_t capacity = argument(ARG_REQUEST_BYTES);

    thread_role = ROLE_WORKER;
    /* The order closes the race: a parent that died before prctl shows in getppid. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if ((size_t)getppid() != argument(ARG_PARENT))
        return EXIT_FAILURE;

    char *memory = mmap(NULL, capacity, PROT_READ, MAP_SHARED, WORKER_MEMORY, 0);
    if (memory == MAP_FAILED)
        return EXIT_FAILURE;
    close(WORKER_MEMORY);
    if (worker_prepare() < 0 || sandbox_enter(argument(ARG_MEMORY)) < 0)
        return EXIT_FAILURE;

    /* Exit handlers would ask for what the sandbox forbids. */
    _exit(say(&hello, sizeof hello) < 0 ? EXIT_FAILURE : serve_all(bytes_of(memory, capacity)));
}
