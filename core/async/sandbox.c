#include "core/async/sandbox.h"

#include "core/async/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* -- system calls ------------------------------------------------------------------------------ */

/* What a worker may ask of the kernel. Whatever is not here ends it with SIGSYS. */
static const int allowed[] = {
    SCMP_SYS(munmap),        SCMP_SYS(mremap),     /* malloc; mmap and mprotect: see below */
    SCMP_SYS(brk),           SCMP_SYS(madvise),    /* malloc */
    SCMP_SYS(futex),                               /* malloc's locks */
    SCMP_SYS(clock_gettime),                       /* deadlines, where the vDSO has no clock */
    SCMP_SYS(exit),          SCMP_SYS(exit_group), /* the end */
};

/* What the sanitizers' runtimes ask for on top, to work and to report. */
static const int allowed_sanitized[] = {
    SCMP_SYS(write),        SCMP_SYS(writev),       SCMP_SYS(read),
    SCMP_SYS(openat),       SCMP_SYS(close),        SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),   SCMP_SYS(readlink),     SCMP_SYS(getpid),
    SCMP_SYS(gettid),       SCMP_SYS(tgkill),       SCMP_SYS(sigaltstack),
    SCMP_SYS(getrusage),    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sched_yield),  SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(prctl),        SCMP_SYS(mprotect),     SCMP_SYS(mmap),
    SCMP_SYS(ioctl),        SCMP_SYS(open),         SCMP_SYS(lseek),
    SCMP_SYS(rt_sigreturn),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t n)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return rc;
}

/*
 * Its socket is the only way in and out: of the standard descriptors, which it shares with its
 * parent, one may be a socket, too (of the journal, of a client).
 */
static int allow_on_its_socket(scmp_filter_ctx filter, int call)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                            SCMP_A0(SCMP_CMP_EQ, WORKER_SOCKET, 0));
}

/* Memory of its own, not that of a file, and never memory that can be executed. */
static int allow_memory(scmp_filter_ctx filter)
{
    enum { KIND = MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, OWN = MAP_PRIVATE | MAP_ANONYMOUS };
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                              SCMP_A3(SCMP_CMP_MASKED_EQ, KIND, OWN));

    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (!filter)
        return -ENOMEM;
    int rc = allow_all(filter, allowed, sizeof allowed / sizeof allowed[0]);
    if (rc == 0 && SANITIZED)
        rc = allow_all(filter, allowed_sanitized,
                       sizeof allowed_sanitized / sizeof allowed_sanitized[0]);
    if (rc == 0)
        rc = allow_on_its_socket(filter, SCMP_SYS(recvfrom));
    if (rc == 0)
        rc = allow_on_its_socket(filter, SCMP_SYS(sendto));
    if (rc == 0 && !SANITIZED)
        rc = allow_memory(filter);
    if (rc == 0)
        rc = seccomp_load(filter); /* sets no_new_privs, too */
    seccomp_release(filter);
    return rc;
}

/* -- Landlock ---------------------------------------------------------------------------------- */

/* The kernel's struct landlock_ruleset_attr, of which Debian 12's header has only the beginning. */
struct ruleset {
    uint64_t files, tcp, scopes; /* what is forbidden, as no rule allows it */
};

/* linux/landlock.h: the rights of each version of the interface, as bits without gaps. */
enum {
    FILES_1 = (1 << 13) - 1, /* execute, write, read, list, remove, make */
    FILES_2 = 1 << 13,       /* refer */
    FILES_3 = 1 << 14,       /* truncate */
    FILES_5 = 1 << 15,       /* ioctl on a device */
    TCP_4 = (1 << 2) - 1,    /* bind, connect */
    SCOPES_6 = (1 << 2) - 1, /* abstract UNIX sockets, signals */
    ASK_VERSION = 1 << 0,    /* LANDLOCK_CREATE_RULESET_VERSION */
};

static struct ruleset all_rights(long version)
{
    struct ruleset r = {.files = FILES_1};

    r.files |= (version >= 2 ? FILES_2 : 0) | (version >= 3 ? FILES_3 : 0);
    r.files |= version >= 5 ? FILES_5 : 0;
    r.tcp = version >= 4 ? TCP_4 : 0;
    r.scopes = version >= 6 ? SCOPES_6 : 0;
    if (SANITIZED) /* they read /proc/self/maps and the like */
        r.files = 0;
    return r;
}

int sandbox_confine_files(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);

    if (version < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
    struct ruleset rights = all_rights(version);
    if (!rights.files && !rights.tcp && !rights.scopes)
        return 0;
    /* A kernel that knows less of the struct takes it as long as the rest is zero. */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    if (ruleset < 0)
        return -errno;
    int rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                     syscall(SYS_landlock_restrict_self, ruleset, 0) < 0
                 ? -errno
                 : 0;
    close(ruleset);
    return rc;
}

/* -- limits ------------------------------------------------------------------------------------ */

static int limit(__rlimit_resource_t resource, rlim_t value)
{
    return setrlimit(resource, &(struct rlimit){value, value}) < 0 ? -errno : 0;
}

/* Bytes of address space in use: the first number of /proc/self/statm, in pages. */
static size_t mapped_now(void)
{
    char line[128];
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");

    if (statm) {
        if (fgets(line, sizeof line, statm))
            pages = strtoul(line, NULL, 10);
        fclose(statm);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* When memory runs out, let the kernel end a worker, which is replaced, rather than its parent. */
static void volunteer_for_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "1000", 4) < 0) {
        /* an older policy forbids it: then workers are as likely as others */
    }
    close(fd);
}

static int by_byte(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* glibc 2.36 asks for the size of the machine's memory, once, before it sorts more than 1 KiB. */
static void let_qsort_ask(void)
{
    char some[2048] = {0};

    qsort(some, sizeof some, 1, by_byte);
}

int sandbox_enter(size_t memory)
{
    volunteer_for_oom();
    let_qsort_ask();

    size_t now = mapped_now();
    int rc = sandbox_confine_files(); /* before the limits: it takes a descriptor */
    /* The sanitizers reserve terabytes of shadow memory. */
    if (rc == 0 && !SANITIZED)
        rc = now ? limit(RLIMIT_AS, now + memory) : -ENOSYS;
    if (rc == 0)
        rc = limit(RLIMIT_CORE, 0);
    if (rc == 0 && !SANITIZED)
        rc = limit(RLIMIT_NOFILE, 0);
    if (rc == 0)
        rc = limit(RLIMIT_FSIZE, 0);
    if (rc == 0)
        rc = limit(RLIMIT_NPROC, 0);
    if (rc == 0)
        rc = load_filter();
    return rc;
}
