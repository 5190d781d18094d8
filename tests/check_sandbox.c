/* What a worker process cannot do, and what it does not have or know. */
#include "core/async/async.h"
#include "core/async/sandbox.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/worker_orders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_worker_that_asks_the_kernel_for_more_dies)
{
    static const struct {
        int call;
        bool sanitizers_need_it;
    } calls[] = {
        {SYS_socket, false},     {SYS_clone, false},        {SYS_execve, false},
        {SYS_kill, false},       {SYS_ptrace, false},       {SYS_connect, false},
        {SYS_sendmsg, false},    {SYS_recvmsg, false},      {SYS_unlink, false},
        {SYS_pidfd_open, false}, {SYS_openat, true},        {SYS_mmap, true},
        {SYS_mprotect, true},    {SYS_prctl, true},         {SYS_sendto, false},
        {SYS_recvfrom, false}, /* on other descriptors than its socket */
        {MAP_A_FILE, true},      {MAP_SHARED_MEMORY, true},
    };
    long lost = 0;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].sanitizers_need_it && (SANITIZED_ADDRESS || SANITIZED_THREAD))
            continue;
        future *f = start_order(plain_order, CALL_KERNEL, calls[i].call);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ck_assert_msg(future_error(f) == -EOWNERDEAD, "call %d was allowed", calls[i].call);
        ck_assert_int_eq(async_stats().workers_lost, ++lost);
        future_drop(f);
    }
    check_strength();
}
END_TEST

START_TEST(a_worker_that_eats_memory_meets_its_limit)
{
    if (SANITIZED_ADDRESS || SANITIZED_THREAD)
        return; /* their shadow memory leaves no room for a limit */
    future *f = start_order(plain_order, EAT_MEMORY, 0);

    expect_ok(future_ref(f));
    ck_assert_int_ge(answer_of(f)->number, 8);  /* of 4 MiB: half of the 64 MiB, at least */
    ck_assert_int_le(answer_of(f)->number, 16); /* and no more than all */
    future_drop(f);
}
END_TEST

START_TEST(a_worker_may_sort_what_it_has)
{
    future *f = start_order(plain_order, SORT, 0);

    expect_ok(future_ref(f));
    ck_assert_int_eq(answer_of(f)->number, 4095);
    future_drop(f);
}
END_TEST

/* The kernel puts its recv off, and takes it up again without a call that asks for that. */
START_TEST(a_worker_that_was_stopped_goes_on)
{
    pid_t pids[16];

    warm_up();
    size_t count = children(pids, 16);
    for (int i = 0; i < 2; i++)
        for (size_t w = 0; w < count; w++)
            ck_assert_int_eq(kill(pids[w], i == 0 ? SIGSTOP : SIGCONT), 0);
    expect_echo();
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

static int highest_descriptor_of(pid_t pid)
{
    char path[64];
    long highest = -1;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        long fd = entry->d_name[0] == '.' ? -1 : strtol(entry->d_name, NULL, 10);
        highest = fd > highest ? fd : highest;
    }
    closedir(dir);
    return (int)highest;
}

START_TEST(a_worker_has_no_descriptor_of_its_parent)
{
    enum { FIRST = 10 };
    pid_t pids[16];
    int inheritable[3];

    for (int i = 0; i < 3; i++) /* without FD_CLOEXEC, as a careless library would */
        ck_assert_int_ge(inheritable[i] = fcntl(STDERR_FILENO, F_DUPFD, FIRST + 20 * i), FIRST);
    warm_up();
    size_t count = children(pids, 16);
    ck_assert_uint_eq(count, STRENGTH);
    for (size_t i = 0; i < count; i++)
        /* Its own end with WORKER_MEMORY; but one that is starting reads files, libraries for one.
         */
        ck_assert_int_lt(highest_descriptor_of(pids[i]), FIRST);
    for (int i = 0; i < 3; i++)
        close(inheritable[i]);
}
END_TEST

static bool file_contains(pid_t pid, const char *name, const char *text)
{
    char path[64];
    static char content[64 << 10];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, content, sizeof content);
    close(fd);
    ck_assert_int_ge(n, 0);
    return memmem(content, (size_t)n, text, strlen(text)) != NULL;
}

START_TEST(a_worker_does_not_know_its_parents_environment)
{
    pid_t pids[16];

    setenv("SECRET_TOKEN", "hush-hush", 1);
    warm_up();
    size_t count = children(pids, 16);
    ck_assert_uint_eq(count, STRENGTH);
    for (size_t i = 0; i < count; i++)
        ck_assert(!file_contains(pids[i], "environ", "hush-hush"));
    unsetenv("SECRET_TOKEN");
}
END_TEST

START_TEST(a_worker_is_confined_before_it_serves)
{
    pid_t pids[16];
    size_t confined = 0;

    warm_up();
    size_t count = children(pids, 16);
    for (size_t i = 0; i < count; i++)
        confined += file_contains(pids[i], "status", "Seccomp:\t2") &&
                    file_contains(pids[i], "status", "NoNewPrivs:\t1");
    ck_assert_uint_ge(confined, 1); /* the one that served; others may still be starting */
}
END_TEST

START_TEST(a_worker_cannot_write_to_its_request)
{
    future *f = start_order(plain_order, WRITE_REQUEST, 0);

    expect_ok(future_ref(f));
    ck_assert_int_eq(answer_of(f)->number, EACCES);
    future_drop(f);
}
END_TEST

/* -- Landlock ---------------------------------------------------------------------------------- */

/* Exit statuses of a process that has confined itself, and what it could do nevertheless. */
enum { CONFINED, NOT_CONFINED, OPENED, LISTED, MADE, CONNECTED, SIGNALLED, CANNOT_READ };

static int try_to_connect(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;

    close(fd);
    return rc;
}

static int confine_and_try(long version, int port)
{
    bool files = !(SANITIZED_ADDRESS || SANITIZED_THREAD); /* their runtimes open some */
    int before = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte;

    if (sandbox_confine_files() < 0)
        return NOT_CONFINED;
    if (files && (open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES))
        return OPENED;
    if (files && (opendir("/") || errno != EACCES))
        return LISTED;
    if (files && (mkdir("sandbox-made-this", 0700) == 0 || errno != EACCES))
        return MADE;
    if (version >= 4 && try_to_connect(port) != EACCES)
        return CONNECTED;
    if (version >= 6 && (kill(getppid(), 0) == 0 || errno != EPERM))
        return SIGNALLED;
    return read(before, &byte, 1) == 1 ? CONFINED : CANNOT_READ;
}

START_TEST(beneath_the_filter_landlock_forbids_files_connections_and_signals)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int status, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (version < 1) { /* then workers do without */
        close(listener);
        return;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pid_t child = fork(); /* this process has no other thread */
    if (child == 0)
        _exit(confine_and_try(version, ntohs(address.sin_port)));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), CONFINED);
    close(listener);
}
END_TEST

/* -- the end of the parent --------------------------------------------------------------------- */

/* A process with a runtime of its own, which tells its workers' pids and then only waits. */
static void live_until_killed(int tell)
{
    pid_t pids[STRENGTH];

    expect_echo();
    size_t count = children(pids, STRENGTH);
    if (write(tell, pids, count * sizeof *pids) > 0)
        for (;;)
            pause();
    _exit(EXIT_FAILURE);
}

START_TEST(workers_die_with_their_parent)
{
    struct pollfd exits[STRENGTH];
    pid_t pids[STRENGTH];
    int told[2];

    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    pid_t parent = fork(); /* this process has no other thread yet */
    if (parent == 0)
        live_until_killed(told[1]);
    ck_assert_int_eq(read(told[0], pids, sizeof pids), (ssize_t)sizeof pids);
    for (int i = 0; i < STRENGTH; i++) {
        exits[i] = (struct pollfd){.fd = pidfd_open(pids[i], 0), .events = POLLIN};
        ck_assert_int_ge(exits[i].fd, 0);
        ck_assert_int_eq(poll(&exits[i], 1, 0), 0); /* alive */
    }
    kill(parent, SIGKILL);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    for (int i = 0; i < STRENGTH; i++) {
        ck_assert_int_eq(poll(&exits[i], 1, PATIENCE_MS), 1);
        close(exits[i].fd);
    }
    close(told[0]);
    close(told[1]);
}
END_TEST

Suite *suite_sandbox(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *sandbox = tcase_create("sandbox");

    tcase_add_checked_fixture(sandbox, async_setup, async_teardown);
    tcase_set_timeout(sandbox, 60);
    suite_add_tcase(suite, sandbox);
    tcase_add_test(sandbox, a_worker_that_asks_the_kernel_for_more_dies);
    tcase_add_test(sandbox, a_worker_that_eats_memory_meets_its_limit);
    tcase_add_test(sandbox, a_worker_may_sort_what_it_has);
    tcase_add_test(sandbox, a_worker_that_was_stopped_goes_on);
    tcase_add_test(sandbox, a_worker_has_no_descriptor_of_its_parent);
    tcase_add_test(sandbox, a_worker_does_not_know_its_parents_environment);
    tcase_add_test(sandbox, a_worker_is_confined_before_it_serves);
    tcase_add_test(sandbox, a_worker_cannot_write_to_its_request);
    tcase_add_test(sandbox, beneath_the_filter_landlock_forbids_files_connections_and_signals);
    tcase_add_test(sandbox, workers_die_with_their_parent);
    return suite;
}
