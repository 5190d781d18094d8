#include "tests/torture/faults.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaches a worker, whose environment holds only what sanitizers read; says where the table is. */
#define TABLE_VARIABLE "TORTURE_TABLE_SAN_OPTIONS"

enum { ONCE, LASTING, ERRORS_MAX = 3, FUNCTION_KEYS = 64 };
static_assert((int)FUNCTIONS <= (int)FUNCTION_KEYS, "a key holds them");

static const struct {
    const char *name;
    bool lasting;
    int errors[ERRORS_MAX]; /* 0: no more */
} functions[] = {
#define X(name, lasting, ...) [FAULT_##name] = {#name, lasting, {__VA_ARGS__}},
    FAULTS(X)
#undef X
};

struct faults *faults;
static bool counted; /* this process: not so whoever waits for a forked one */
static atomic_long blocks;
static bool unconfined; /* what closes the sandbox has failed in this process */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

const char *function_name(enum function f)
{
    return functions[f].name;
}

unsigned function_errors(enum function f)
{
    unsigned n = 0;

    while (n < ERRORS_MAX && functions[f].errors[n])
        n++;
    return n;
}

int function_errno(enum function f, unsigned error)
{
    return functions[f].errors[error];
}

long blocks_allocated(void)
{
    return atomic_load(&blocks);
}

/* -- counting and obeying ---------------------------------------------------------------------- */

enum function site_function(const struct site *s)
{
    return s->key % FUNCTION_KEYS;
}

uintptr_t site_address(const struct site *s)
{
    return s->key / FUNCTION_KEYS;
}

static int site_of(uintptr_t address, enum function f)
{
    uintptr_t key = address * FUNCTION_KEYS + f;
    size_t i = (address + f) % SITES_MAX;

    for (int tries = 0; tries < SITES_MAX; tries++, i = (i + 1) % SITES_MAX) {
        uintptr_t there = 0;
        if (atomic_compare_exchange_strong(&faults->sites[i].key, &there, key) || there == key)
            return (int)i;
    }
    abort(); /* make SITES_MAX larger */
}

/* Tried again, or done in spite of what was said, so nobody is to notice. A mock's fake worker,
 * whose sending is never interrupted, dies of it. */
static bool is_harmless(enum function f, int error)
{
    return (error == EINTR && f != FAULT_send) || (error == EAGAIN && f == FAULT_read) ||
           f == FAULT_pidfd_send_signal;
}

/* A kernel without Landlock does not know its calls: that is no failure. */
static bool confines(enum function f, int error)
{
    return f == FAULT_setrlimit || f == FAULT_seccomp_init || f == FAULT_seccomp_load ||
           (f == FAULT_syscall && error != ENOSYS);
}

/* Notes a call; gives the error that it shall have, or 0. */
static int ordered(enum function f, const void *caller)
{
    if (!counted || !atomic_load(&faults->armed))
        return 0;

    int site = site_of((uintptr_t)caller - (uintptr_t)__ehdr_start, f);
    unsigned of_site = atomic_fetch_add(&faults->sites[site].calls, 1) + 1;
    unsigned of_all = atomic_fetch_add(&faults->calls, 1) + 1;
    unsigned errors = function_errors(f);
    for (unsigned i = 0; i < faults->order_count; i++) {
        const struct order *o = &faults->orders[i];
        unsigned n = o->site == ANY_SITE ? of_all : of_site;
        if ((o->site != ANY_SITE && o->site != site) || n < o->from || n > o->to)
            continue;
        if (errors > atomic_load(&faults->errors))
            atomic_store(&faults->errors, errors);
        if (o->error >= errors || (o->only_lasting && !functions[f].lasting))
            continue;
        atomic_fetch_add(&faults->sites[site].failures, 1);
        atomic_fetch_add(&faults->failures, 1);
        atomic_fetch_add(&faults->failures_of_all, 1);
        int error = functions[f].errors[o->error];
        atomic_fetch_add(&faults->harmful, !is_harmless(f, error));
        unconfined |= confines(f, error);
        return error;
    }
    return 0;
}

void faults_serve(void)
{
    if (unconfined)
        atomic_store(&faults->unconfined, true);
}

#define ORDERED(name) ordered(FAULT_##name, __builtin_return_address(0))

void faults_share(void)
{
    static int fd = -1;
    char path[64];

    if (faults) {
        munmap(faults, sizeof *faults);
        close(fd);
    }
    faults = NULL;
    fd = memfd_create("torture-table", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof *faults) < 0)
        abort();
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (faults == MAP_FAILED)
        abort();
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    setenv(TABLE_VARIABLE, path, 1);
}

void faults_join(void)
{
    const char *path = getenv(TABLE_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *table = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    counted = table != MAP_FAILED;
    if (counted)
        faults = table;
}

void faults_arm(const struct order *orders, unsigned count)
{
    for (int i = 0; i < SITES_MAX; i++)
        atomic_store(&faults->sites[i].calls, 0);
    atomic_store(&faults->calls, 0);
    atomic_store(&faults->failures, 0);
    atomic_store(&faults->harmful, 0);
    atomic_store(&faults->errors, 0);
    faults->order_count = count;
    if (count > 0)
        memcpy(faults->orders, orders, count * sizeof *orders);
    counted = true;
    atomic_store(&faults->armed, true);
}

void faults_disarm(void)
{
    atomic_store(&faults->armed, false);
}

/* -- the functions ----------------------------------------------------------------------------- */

/* One that says so by `failed`, and sets errno. */
#define WRAP(type, name, parameters, arguments, failed)                                            \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        int error = ORDERED(name);                                                                 \
        if (error == 0)                                                                            \
            return __real_##name arguments;                                                        \
        errno = error;                                                                             \
        return (failed);                                                                           \
    }

/* One that returns the error. */
#define WRAP_RETURNING(name, parameters, arguments)                                                \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        int error = ORDERED(name);                                                                 \
        return error ? error : __real_##name arguments;                                            \
    }

WRAP(int, epoll_create1, (int flags), (flags), -1)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int capacity, int timeout_ms),
     (epoll, events, capacity, timeout_ms), -1)
WRAP(int, poll, (struct pollfd * fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms), -1)
WRAP(ssize_t, read, (int fd, void *buffer, size_t length), (fd, buffer, length), -1)
WRAP(ssize_t, write, (int fd, const void *buffer, size_t length), (fd, buffer, length), -1)
WRAP(ssize_t, recv, (int fd, void *buffer, size_t length, int flags), (fd, buffer, length, flags),
     -1)
WRAP(ssize_t, send, (int fd, const void *buffer, size_t length, int flags),
     (fd, buffer, length, flags), -1)
WRAP(int, socketpair, (int domain, int type, int protocol, int pair[2]),
     (domain, type, protocol, pair), -1)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(int, ftruncate, (int fd, off_t length), (fd, length), -1)
WRAP(void *, mmap, (void *at, size_t length, int protection, int flags, int fd, off_t offset),
     (at, length, protection, flags, fd, offset), MAP_FAILED)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(char *, fgets, (char *line, int capacity, FILE *file), (line, capacity, file), NULL)
WRAP(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags), -1)
WRAP(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), -1)
WRAP(int, sem_wait, (sem_t * s), (s), -1)
WRAP(int, sem_clockwait, (sem_t * s, clockid_t clock, const struct timespec *until),
     (s, clock, until), -1)
WRAP(ssize_t, getrandom, (void *bytes, size_t length, unsigned flags), (bytes, length, flags), -1)
WRAP(int, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit),
     -1)
WRAP(void *, seccomp_init, (uint32_t action), (action), NULL)

WRAP_RETURNING(posix_spawn_file_actions_init, (posix_spawn_file_actions_t * actions), (actions))
WRAP_RETURNING(posix_spawn_file_actions_adddup2,
               (posix_spawn_file_actions_t * actions, int from, int to), (actions, from, to))
WRAP_RETURNING(posix_spawn_file_actions_addclosefrom_np,
               (posix_spawn_file_actions_t * actions, int from), (actions, from))
WRAP_RETURNING(posix_spawnattr_init, (posix_spawnattr_t * attributes), (attributes))
WRAP_RETURNING(posix_spawn,
               (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const *argv, char *const *environment),
               (pid, path, actions, attributes, argv, environment))
WRAP_RETURNING(pthread_create,
               (pthread_t * thread, const pthread_attr_t *attributes, void *(*main)(void *),
                void *arg),
               (thread, attributes, main, arg))
WRAP_RETURNING(pthread_key_create, (pthread_key_t * key, void (*destroy)(void *)), (key, destroy))
WRAP_RETURNING(pthread_setspecific, (pthread_key_t key, const void *value), (key, value))

int __real_seccomp_load(const void *filter);
int __wrap_seccomp_load(const void *filter);
int __wrap_seccomp_load(const void *filter)
{
    int error = ORDERED(seccomp_load);

    return error ? -error : __real_seccomp_load(filter);
}

/* Only adding allocates. */
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int error = operation == EPOLL_CTL_ADD ? ORDERED(epoll_ctl) : 0;

    if (error == 0)
        return __real_epoll_ctl(epoll, operation, fd, event);
    errno = error;
    return -1;
}

/* Both are told that there is no such process only when that is so: do it, and say that. */
int __real_pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags);
int __wrap_pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags);
int __wrap_pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags)
{
    int error = ORDERED(pidfd_send_signal);
    int rc = __real_pidfd_send_signal(pidfd, number, info, flags);

    if (error)
        errno = error;
    return error ? -1 : rc;
}

int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    int error = ORDERED(waitid);
    int rc = error == EINTR ? -1 : __real_waitid(type, id, info, options);

    if (error)
        errno = error;
    return error ? -1 : rc;
}

/* -- those with any number of arguments -------------------------------------------------------- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    int error = ORDERED(open);
    va_list more;

    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (error == 0)
        return __real_open(path, flags, mode);
    errno = error;
    return -1;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    int error = ORDERED(fcntl);
    va_list more;

    va_start(more, command);
    long argument = va_arg(more, long);
    va_end(more);
    if (error == 0)
        return __real_fcntl(fd, command, argument);
    errno = error;
    return -1;
}

/* These take their arguments from registers, so there are as many as there could be. */
WRAP(int, prctl, (int option, long a, long b, long c, long d), (option, a, b, c, d), -1)
WRAP(long, syscall, (long number, long a, long b, long c, long d, long e), (number, a, b, c, d, e),
     -1)

/* -- memory ------------------------------------------------------------------------------------ */

static void *allocated(void *block)
{
    atomic_fetch_add(&blocks, block != NULL);
    return block;
}

static void *exhausted(int error)
{
    errno = error;
    return NULL;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    int error = ORDERED(malloc);

    return error ? exhausted(error) : allocated(__real_malloc(size));
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    int error = ORDERED(calloc);

    return error ? exhausted(error) : allocated(__real_calloc(n, size));
}

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
    int error = ORDERED(realloc);
    bool is_new = block == NULL;
    void *grown = error ? exhausted(error) : __real_realloc(block, size);

    return is_new ? allocated(grown) : grown;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    atomic_fetch_sub(&blocks, block != NULL);
    __real_free(block);
}
