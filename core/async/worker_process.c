#include "core/async/worker_process.h"

#include "core/async/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The worker's environment: nothing of ours but what the loader and the sanitizers read. */
static void choose_environment(char **ret_environment, size_t capacity)
{
    size_t n = 0;

    for (char **e = environ; *e && n + 1 < capacity; e++) {
        const char *name_end = strchr(*e, '=');
        if (!name_end)
            continue;
        size_t length = (size_t)(name_end - *e), suffix = sizeof "SAN_OPTIONS" - 1;
        if ((length > suffix && memcmp(name_end - suffix, "SAN_OPTIONS", suffix) == 0) ||
            strncmp(*e, "LD_LIBRARY_PATH=", 16) == 0)
            ret_environment[n++] = *e;
    }
    ret_environment[n] = NULL;
}

static int spawn(struct worker_process *p, size_t own_bytes, int socket, int memory)
{
    char request_bytes[24], worker_memory[24], parent[24];
    char flag[] = WORKER_FLAG, name[] = WORKER_NAME;
    char *argv[] = {name, flag, request_bytes, worker_memory, parent, NULL};
    char *environment[16];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    snprintf(request_bytes, sizeof request_bytes, "%zu", p->memory_bytes);
    snprintf(worker_memory, sizeof worker_memory, "%zu", own_bytes);
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    choose_environment(environment, sizeof environment / sizeof environment[0]);

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(&actions, socket, WORKER_SOCKET);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, memory, WORKER_MEMORY);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_MEMORY + 1);
    /* A process group of its own: a Ctrl-C on the terminal is for the parent to handle. */
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawn(&p->pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* A descriptor above those that a worker's own take. Consumes `fd`. */
static int move_up(int fd)
{
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, WORKER_MEMORY + 1);

    if (fd >= 0)
        close(fd);
    return moved;
}

/*
 * Shared memory for requests. Sealed: a worker that shrank it would crash its parent, and one that
 * wrote to it could make another's request look like the one that it died of. The seal against
 * writing holds for mappings that come after the parent's.
 */
static int make_memory(struct worker_process *p)
{
    int fd = move_up(memfd_create("async-request", MFD_CLOEXEC | MFD_ALLOW_SEALING));

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)p->memory_bytes) == 0) {
        char *memory = mmap(NULL, p->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED) {
            p->memory = memory;
            if (fcntl(fd, F_ADD_SEALS,
                      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0)
                return fd;
        }
    }
    int rc = -errno;
    close(fd);
    return rc;
}

static void close_process(struct worker_process *p)
{
    close(p->socket);
    if (p->pidfd >= 0)
        close(p->pidfd);
    if (p->memory)
        munmap(p->memory, p->memory_bytes);
}

/*
 * Has a worker's end of the pair hold the longest reply, whatever net.core.wmem_default is; the
 * kernel doubles what is asked for. Where net.core.wmem_max grants less, worker.c tells the task.
 */
static void widen(int socket)
{
    int bytes = sizeof(struct wire_reply) + WIRE_REPLY_MAX;

    (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int spawn_process(size_t memory_bytes, size_t own_bytes, struct worker_process *ret)
{
    struct worker_process p = {.pidfd = -1, .memory_bytes = memory_bytes};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    p.socket = pair[0];
    widen(pair[1]);
    int theirs = move_up(pair[1]);
    int memory = theirs < 0 ? -errno : make_memory(&p);
    int rc = memory < 0 ? memory : spawn(&p, own_bytes, theirs, memory);
    if (theirs >= 0)
        close(theirs);
    if (memory >= 0)
        close(memory);
    if (rc == 0 && (p.pidfd = pidfd_open(p.pid, 0)) < 0) {
        rc = -errno;
        kill(p.pid, SIGKILL); /* not reaped, so the number is still its own */
        while (waitpid(p.pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (rc < 0)
        close_process(&p);
    else
        *ret = p;
    return rc;
}

static void kill_process(const struct worker_process *p)
{
    pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
}

static void reap_process(const struct worker_process *p, struct worker_exit *ret_exit)
{
    siginfo_t info = {0};
    int rc;

    do
        rc = waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) /* somebody else has reaped it: what a program does that ignores SIGCHLD */
        *ret_exit = (struct worker_exit){.status = -1};
    else if (info.si_code == CLD_EXITED)
        *ret_exit = (struct worker_exit){.status = info.si_status};
    else
        *ret_exit = (struct worker_exit){.signal = info.si_status};
}

/* Pages that are resident, and of these the shared ones: fields 2 and 3 of /proc/PID/statm. */
static size_t resident_bytes(const struct worker_process *p)
{
    char path[32], line[128], *rest;

    snprintf(path, sizeof path, "/proc/%ld/statm", (long)p->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    line[n > 0 ? n : 0] = '\0';
    strtoul(line, &rest, 10);
    unsigned long resident = strtoul(rest, &rest, 10), shared = strtoul(rest, NULL, 10);
    return shared < resident ? (resident - shared) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

const struct worker_backend spawned_workers = {
    .spawn = spawn_process,
    .kill = kill_process,
    .reap = reap_process,
    .resident = resident_bytes,
    .close = close_process,
};
