#include "tests/support/async_fixture.h"

#include "core/base/clock.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_BYTES = (1 << 20) + (64 << 10) };

static size_t descriptors_before;

size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* the directory's own */
}

/* The parent of `pid` when it is alive (no zombie), else 0: fields 3 and 4 of /proc/PID/stat. */
static pid_t parent_of_living(long pid)
{
    char path[64], line[512];
    pid_t parent = 0;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *stat = fopen(path, "re");
    if (!stat)
        return 0;
    const char *name_end = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
    if (name_end && strlen(name_end) > 4 && name_end[2] != 'Z') /* ") S 123 ..." */
        parent = (pid_t)strtol(name_end + 4, NULL, 10);
    fclose(stat);
    return parent;
}

size_t children(pid_t *ret_pids, size_t capacity)
{
    DIR *dir = opendir("/proc");
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && n < capacity && parent_of_living(pid) == getpid())
            ret_pids[n++] = (pid_t)pid;
    }
    closedir(dir);
    return n;
}

bool kill_and_see_it_end(pid_t pid)
{
    struct pollfd exit = {.fd = pidfd_open(pid, 0), .events = POLLIN};

    if (exit.fd < 0) { /* it has ended, and was reaped, already */
        ck_assert_int_eq(errno, ESRCH);
        return false;
    }
    bool sent = pidfd_send_signal(exit.fd, SIGKILL, NULL, 0) == 0;
    ck_assert_int_eq(poll(&exit, 1, PATIENCE_MS), 1);
    close(exit.fd);
    return sent;
}

void async_reconfigure(unsigned threads, unsigned workers, size_t worker_memory)
{
    struct async_options options = {
        .threads = threads,
        .workers = workers,
        .request_bytes = REQUEST_BYTES,
        .worker_memory = worker_memory,
    };

    ck_assert_int_eq(async_configure(&options), 0);
}

void async_setup(void)
{
    descriptors_before = open_descriptors();
    async_reconfigure(4, 2, 64 << 20);
}

void async_teardown(void)
{
    ck_assert_int_eq(async_stop(), 0);

    struct async_counts left = async_counts();
    ck_assert_int_eq(left.futures, 0);
    ck_assert_int_eq(left.tasks, 0);
    ck_assert_int_eq(left.scopes, 0);
    ck_assert_int_eq(left.workers, 0);
    struct async_stats stats = async_stats();
    ck_assert_int_eq(stats.queued, 0);
    ck_assert_int_eq(stats.queued_bytes, 0);
    ck_assert_int_eq(stats.parked, 0);
    ck_assert_int_eq(stats.threads_abandoned, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child, not even a zombie */
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_uint_eq(open_descriptors(), descriptors_before);
}

uint64_t now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

void expect(future *f, enum future_state state, int error)
{
    ck_assert_int_eq(future_wait(f, clock_after_ms(async_now_ns(), PATIENCE_MS)), 0);
    ck_assert_int_eq(future_error(f), error);
    ck_assert_int_eq(future_state(f), state);
    future_drop(f);
}

void expect_ok(future *f)
{
    expect(f, FUTURE_OK, 0);
}

promise *new_promise(future **ret_future)
{
    promise *p = promise_new(ret_future);

    ck_assert_ptr_nonnull(p);
    return p;
}

/* -- visits to the loop thread ----------------------------------------------------------------- */

struct visit {
    void (*fn)(void *arg);
    void *arg;
};

static int visit_step(task *t, void *frame)
{
    struct visit *v = frame;

    (void)t;
    if (v->fn)
        v->fn(v->arg);
    return TASK_FINISHED;
}

TASK(visit_task, ON_LOOP, sizeof(struct visit), .step = visit_step);

void on_loop(void (*fn)(void *arg), void *arg)
{
    expect_ok(task_start(&visit_task, &(struct visit){fn, arg}));
}

/* A timer that is due fires after the loop has asked epoll once more, and what that told was done.
 */
void let_loop_turn(void)
{
    expect_ok(future_at(0));
    expect_ok(future_at(0));
}
