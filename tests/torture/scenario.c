#include "tests/torture/scenario.h"

#include "core/base/clock.h"
#include "tests/torture/faults.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { TOKENS_MAX = 4096, KEPT_MAX = 1024, PATIENCE_MS = 8000 };

/* A future that is kept, and how it was first seen settled. */
struct kept {
    future *future;
    bool seen;
    enum future_state state;
    int error;
};

static struct {
    atomic_uint tokens;
    struct token token[TOKENS_MAX];
    unsigned kept_count;
    struct kept kept[KEPT_MAX];
    bool mock;
    char complaint[512];
} run;

void begin(void)
{
    memset(&run, 0, sizeof run);
}

const char *complaint(void)
{
    return run.complaint;
}

void complain(const char *format, ...)
{
    va_list args;

    if (run.complaint[0])
        return; /* the first says most */
    va_start(args, format);
    vsnprintf(run.complaint, sizeof run.complaint, format, args);
    va_end(args);
}

bool tortured(void)
{
    return atomic_load(&faults->harmful) > 0;
}

/* -- start ------------------------------------------------------------------------------------- */

/* A start that fails leaves nothing behind, so the next one, or the one after that, goes well. */
static bool started(int (*start)(const void *options), const void *options)
{
    int rc = start(options);

    if (rc < 0 && !tortured())
        complain("the start fails: %s", strerror(-rc));
    if (rc == -EBUSY)
        complain("the runtime runs though its start had failed");
    return rc == 0;
}

static int start_a_mock(const void *options)
{
    return mock_start(options);
}

static int start_it(const void *options)
{
    int rc = async_configure(options);

    return rc < 0 ? rc : async_start();
}

bool start_mock(const struct mock_options *options)
{
    run.mock = true;
    return started(start_a_mock, options);
}

bool start_real(const struct async_options *options)
{
    run.mock = false;
    return started(start_it, options);
}

/* -- tokens ------------------------------------------------------------------------------------ */

struct token *token_new(void)
{
    unsigned i = atomic_fetch_add(&run.tokens, 1);

    if (i >= TOKENS_MAX) {
        complain("more tokens than there is room for");
        i = 0;
    }
    return &run.token[i];
}

void token_drop(void *token)
{
    atomic_fetch_add(&((struct token *)token)->drops, 1);
}

static void count_tokens(void)
{
    unsigned n = atomic_load(&run.tokens);

    for (unsigned i = 0; i < n && i < TOKENS_MAX; i++) {
        int drops = atomic_load(&run.token[i].drops);
        if (drops != 1)
            complain("token %u of %u was dropped %d times", i, n, drops);
    }
}

/* -- futures ----------------------------------------------------------------------------------- */

static const char *state_name(enum future_state state)
{
    static const char *const names[] = {[FUTURE_PENDING] = "pending",
                                        [FUTURE_OK] = "ok",
                                        [FUTURE_FAILED] = "failed",
                                        [FUTURE_CANCELLED] = "cancelled"};
    return names[state];
}

static void look(struct kept *k)
{
    enum future_state state = future_state(k->future);
    int error = future_error(k->future);

    if (k->seen && (state != k->state || error != k->error))
        complain("a future was %s, and is %s now", state_name(k->state), state_name(state));
    if (state == FUTURE_FAILED && error == 0)
        complain("a future failed without an error");
    k->seen |= state != FUTURE_PENDING;
    k->state = state;
    k->error = error;
}

static struct kept *add(future *f)
{
    if (run.kept_count == KEPT_MAX) {
        complain("more futures than there is room for");
        return &run.kept[0];
    }
    struct kept *k = &run.kept[run.kept_count++];
    *k = (struct kept){.future = f};
    look(k);
    return k;
}

future *keep(future *f)
{
    return add(f)->future;
}

static bool await(struct kept *k)
{
    uint64_t deadline = run.mock ? CLOCK_NEVER : clock_after_ms(clock_now_ns(), PATIENCE_MS);
    int rc = future_wait(k->future, deadline);

    if (rc < 0)
        complain("future %td never settles: %s", k - run.kept, strerror(-rc));
    look(k);
    return rc == 0;
}

void expect(future *f, enum future_state state)
{
    struct kept *k = add(f);

    if (await(k) && !tortured() && k->state != state)
        complain("future %td is %s (%s), and should be %s", k - run.kept, state_name(k->state),
                 strerror(-k->error), state_name(state));
}

void settle(void)
{
    for (unsigned i = 0; i < run.kept_count; i++)
        await(&run.kept[i]);
}

/* -- end --------------------------------------------------------------------------------------- */

static void expect_zero(const char *what, long n)
{
    if (n != 0)
        complain("%ld %s are left", n, what);
}

void finish(void)
{
    int rc = async_stop();
    if (rc < 0)
        complain("the runtime does not stop: %s", strerror(-rc));
    for (unsigned i = 0; i < run.kept_count; i++) {
        look(&run.kept[i]);
        if (!future_settled(run.kept[i].future))
            complain("future %u is pending after the end of the runtime", i);
        future_drop(run.kept[i].future);
    }
    count_tokens();
    if (atomic_load(&faults->unconfined))
        complain("a worker serves though its sandbox could not be closed");

    struct async_counts counts = async_counts();
    expect_zero("tasks", counts.tasks);
    expect_zero("futures", counts.futures);
    expect_zero("scopes", counts.scopes);
    expect_zero("workers", counts.workers);
    struct async_stats stats = async_stats();
    expect_zero("abandoned threads", stats.threads_abandoned);
    expect_zero("queued tasks", stats.queued);
    expect_zero("queued bytes", stats.queued_bytes);
    expect_zero("parked tasks", stats.parked);
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        complain("a child process is left");
}
