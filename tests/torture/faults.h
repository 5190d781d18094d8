/*
 * Calls that fail on order. The program is linked with --wrap for each function below, so calls of
 * these from the layer come by here first. They are counted, all together and for each call site,
 * which is known by its return address; an order says which of them fails, and how.
 *
 * The table is in memory that worker processes share with their parent, so what they call is
 * counted, and fails, in the same way.
 */
#ifndef SKIMD_TESTS_TORTURE_FAULTS_H
#define SKIMD_TESTS_TORTURE_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * X(name, how it goes on, errors...): what may fail, with which errors. LASTING: it may fail again
 * and again, as when memory or descriptors are exhausted. Left out is what cannot fail when it is
 * called as it is here (the kernel's side of it allocates nothing), such as timerfd_settime, or the
 * other operations of epoll_ctl than to add.
 */
#define FAULTS(X)                                                                                  \
    X(malloc, LASTING, ENOMEM)                                                                     \
    X(calloc, LASTING, ENOMEM)                                                                     \
    X(realloc, LASTING, ENOMEM)                                                                    \
    X(epoll_create1, LASTING, EMFILE, ENOMEM)                                                      \
    X(eventfd, LASTING, EMFILE, ENOMEM)                                                            \
    X(timerfd_create, LASTING, EMFILE, ENOMEM)                                                     \
    X(epoll_ctl, LASTING, ENOMEM, ENOSPC)                                                          \
    X(epoll_wait, ONCE, EINTR)                                                                     \
    X(poll, ONCE, EINTR)                                                                           \
    X(read, ONCE, EINTR, EAGAIN)                                                                   \
    X(write, ONCE, EINTR)                                                                          \
    X(recv, ONCE, EINTR, EAGAIN)                                                                   \
    X(send, ONCE, EINTR, EAGAIN, EPIPE)                                                            \
    X(socketpair, LASTING, EMFILE, ENOMEM)                                                         \
    X(memfd_create, LASTING, EMFILE, ENOMEM)                                                       \
    X(ftruncate, LASTING, EINTR, ENOSPC)                                                           \
    X(fcntl, LASTING, EMFILE)                                                                      \
    X(mmap, LASTING, ENOMEM)                                                                       \
    X(open, LASTING, EMFILE, ENOMEM)                                                               \
    X(fopen, LASTING, EMFILE, ENOMEM)                                                              \
    X(fgets, ONCE, EIO)                                                                            \
    X(posix_spawn_file_actions_init, LASTING, ENOMEM)                                              \
    X(posix_spawn_file_actions_adddup2, LASTING, ENOMEM)                                           \
    X(posix_spawn_file_actions_addclosefrom_np, LASTING, ENOMEM)                                   \
    X(posix_spawnattr_init, LASTING, ENOMEM)                                                       \
    X(posix_spawn, LASTING, EAGAIN, ENOMEM)                                                        \
    X(pidfd_open, LASTING, EMFILE, ENOMEM)                                                         \
    X(pidfd_send_signal, ONCE, ESRCH)                                                              \
    X(waitid, ONCE, EINTR, ECHILD)                                                                 \
    X(waitpid, ONCE, EINTR)                                                                        \
    X(pthread_create, LASTING, EAGAIN)                                                             \
    X(pthread_key_create, LASTING, EAGAIN)                                                         \
    X(pthread_setspecific, LASTING, ENOMEM)                                                        \
    X(sem_wait, ONCE, EINTR)                                                                       \
    X(sem_clockwait, ONCE, EINTR)                                                                  \
    X(getrandom, ONCE, EAGAIN)                                                                     \
    X(prctl, ONCE, EINVAL)                                                                         \
    X(setrlimit, ONCE, EPERM)                                                                      \
    X(syscall, ONCE, ENOSYS, EPERM)                                                                \
    X(seccomp_init, ONCE, ENOMEM)                                                                  \
    X(seccomp_load, ONCE, ENOMEM)

enum function {
#define X(name, ...) FAULT_##name,
    FAULTS(X)
#undef X
        FUNCTIONS
};

/* Its name, and the number of different errors that it can have. */
const char *function_name(enum function f);
unsigned function_errors(enum function f);

/* The `error`-th error, as a number. */
int function_errno(enum function f, unsigned error);

/* A place in the program that calls one of the functions. */
struct site {
    atomic_uintptr_t key; /* says where, and what; 0: free */
    atomic_uint calls;    /* of this run */
    atomic_uint failures; /* of all runs */
};

/* What it calls, and where that returns to, counted from the start of the image. */
enum function site_function(const struct site *s);
uintptr_t site_address(const struct site *s);

enum { SITES_MAX = 512, ORDERS_MAX = 3, ANY_SITE = -1 };

/* Which call fails: of that site, or of any, those numbered `from` up to `to`; they begin at 1. */
struct order {
    int site;
    unsigned from, to;
    unsigned error;    /* which of its errors; a function that has fewer does not fail */
    bool only_lasting; /* and only functions that may go on failing do */
};

struct faults {
    atomic_bool armed;
    atomic_uint calls, failures;   /* of this run */
    atomic_uint harmful;           /* those failures that may change an outcome */
    atomic_uint errors;            /* the most that a function has whose turn it was */
    atomic_ullong failures_of_all; /* runs */
    atomic_bool unconfined;        /* see faults_serve() */
    unsigned order_count;
    struct order orders[ORDERS_MAX];
    struct site sites[SITES_MAX];
};

/* The table of this process; NULL: nothing is counted. */
extern struct faults *faults;

/*
 * Makes a new table, which this process shares with those that it will fork, and with the workers
 * that they will spawn. The former one is given up.
 */
void faults_share(void);

/* In a worker process: joins the table of those who spawned it, if they have one. */
void faults_join(void);

/* A worker serves a call: noted where its sandbox could not be closed, as it must not come to that.
 */
void faults_serve(void);

/* Begins a run with new counts, in which `orders` are obeyed; ends it. */
void faults_arm(const struct order *orders, unsigned count);
void faults_disarm(void);

/* Blocks that were allocated by the program's own code, and not yet freed, in this process. */
long blocks_allocated(void);

#endif
