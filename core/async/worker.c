/*
 * A worker process: the same binary, started with a role flag. It prepares what its tasks need,
 * gives up its rights, and then answers calls one after another until its socket closes.
 */
#include "core/async/internal.h"
#include "core/async/sandbox.h"
#include "core/async/task_table.h"
#include "core/async/wire.h"

#include <errno.h>
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

static size_t argument(int which)
{
    return strtoull(arguments[which], NULL, 10);
}

static int prepare_tasks(void)
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

static struct {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX];
} answer;

static int serve(const struct wire_call *call, const char *memory, size_t capacity)
{
    const struct task_def *def = task_table_get(call->task);
    ssize_t n = -EINVAL;

    if (def && def->serve && call->length <= capacity)
        n = def->serve(bytes_of(memory, call->length), call->deadline_ns, answer.body,
                       sizeof answer.body);
    if (n > (ssize_t)sizeof answer.body)
        n = -EMSGSIZE;
    answer.head = (struct wire_reply){.id = call->id, .error = n < 0 ? (int32_t)n : 0};
    return say(&answer, sizeof answer.head + (n > 0 ? (size_t)n : 0));
}

int async_worker_main(void)
{
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
    if (prepare_tasks() < 0 || sandbox_enter(argument(ARG_MEMORY)) < 0)
        return EXIT_FAILURE;

    struct wire_hello hello = {.version = WIRE_VERSION, .task_count = task_table_size()};
    struct wire_call call;
    ssize_t n = say(&hello, sizeof hello);
    while (n >= 0) {
        n = recv(WORKER_SOCKET, &call, sizeof call, 0);
        if (n == sizeof call)
            n = serve(&call, memory, capacity);
        else if (n >= 0 || errno != EINTR)
            break;
        else
            n = 0;
    }
    _exit(EXIT_SUCCESS); /* exit handlers would ask for what the sandbox forbids */
}
