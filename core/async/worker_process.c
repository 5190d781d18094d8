#include "core/async/worker_process.h"

#include "core/async/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
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
    char flag[] = WORKER_FLAG, name[] = "async-worker";
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

/* Shared memory for requests. Sealed: a worker that shrank it would crash its parent. */
static int make_memory(struct worker_process *p)
{
    int fd = move_up(memfd_create("async-request", MFD_CLOEXEC | MFD_ALLOW_SEALING));

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)p->memory_bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        char *memory = mmap(NULL, p->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED) {
            p->memory = memory;
            return fd;
        }
    }
    int rc = -errno;
    close(fd);
    return rc;
}

int worker_process_spawn(size_t memory_bytes, size_t own_bytes, struct worker_process *ret)
{
    struct worker_process p = {.pidfd = -1, .memory_bytes = memory_bytes};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    p.socket = pair[0];
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
        waitpid(p.pid, NULL, 0);
    }
    if (rc < 0)
        worker_process_close(&p);
    else
        *ret = p;
    return rc;
}

void worker_process_kill(const struct worker_process *p)
{
    pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
}

void worker_process_reap(const struct worker_process *p)
{
    siginfo_t info;

    while (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
}

void worker_process_close(struct worker_process *p)
{
    close(p->socket);
    if (p->pidfd >= 0)
        close(p->pidfd);
    if (p->memory)
        munmap(p->memory, p->memory_bytes);
}
