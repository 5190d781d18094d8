#include "parsers/bump.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define BUMP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUMP_ASAN 1
#endif
#endif

/* What the arena has not handed out is poisoned, so that ASan sees a read past an allocation. */
#ifdef BUMP_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, size)   __asan_poison_memory_region((ptr), (size))
#define UNPOISON(ptr, size) __asan_unpoison_memory_region((ptr), (size))
#else
#define POISON(ptr, size)   ((void)(ptr), (void)(size))
#define UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif

enum {
    /*
     * The clock is read once in so many bytes. An allocation counts for its size and a fee on top,
     * so at most 64 small ones pass between two readings: one of gumbo's can cost it a walk over
     * all open elements (some 100 us on a page of 100,000), hence no more.
     */
    CHECK_EVERY = 64 << 10,
    CHECK_FEE = 1 << 10,
};

int bump_init(struct bump *b, size_t limit)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (limit == 0 || limit > SIZE_MAX - page)
        return -EINVAL;
    limit = (limit + page - 1) / page * page;

    void *base = mmap(NULL, limit, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    POISON(base, limit);
    *b = (struct bump){.base = base, .limit = limit, .time = {CLOCK_NEVER, CLOCK_NEVER}};
    return 0;
}

void bump_fini(struct bump *b)
{
    if (!b->base)
        return;
    UNPOISON(b->base, b->limit);
    munmap(b->base, b->limit);
    *b = (struct bump){0};
}

void bump_begin(struct bump *b, uint64_t deadline_ns)
{
    bump_rewind(b, 0);
    /* Advice: where it is refused, the worker only stays larger. */
    if (b->peak > BUMP_KEEP)
        (void)madvise(b->base + BUMP_KEEP, b->peak - BUMP_KEEP, MADV_DONTNEED);
    b->peak = 0;
    b->time = (struct bump_time){deadline_ns, CLOCK_NEVER};
    b->look_ns = deadline_ns;
    b->until_check = 0; /* a page that is late already stops at its first allocation */
    b->stack_base = (uintptr_t)__builtin_frame_address(0);
}

_Noreturn void bump_leave(struct bump *b, enum bump_stop stop)
{
    longjmp(b->escape, (int)stop);
}

enum bump_stop bump_attempt(struct bump *b, void (*attempt)(void *arg), void *arg)
{
    const size_t mark = b->used;
    jmp_buf outer;

    memcpy(&outer, &b->escape, sizeof outer);
    enum bump_stop stop = (enum bump_stop)setjmp(b->escape);
    if (stop == BUMP_STOP_NONE)
        attempt(arg);
    memcpy(&b->escape, &outer, sizeof outer);
    bump_rewind(b, mark);
    return stop;
}

/* -- time --------------------------------------------------------------------------------------
 */

static uint64_t cpu_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Asking for CPU time is a system call: not before so much time has passed that it may be over. */
static void set_look(struct bump *b, uint64_t now_ns, uint64_t cpu_now)
{
    b->look_ns = b->time.deadline_ns;
    if (b->time.cpu_ns != CLOCK_NEVER && now_ns + (b->time.cpu_ns - cpu_now) < b->look_ns)
        b->look_ns = now_ns + (b->time.cpu_ns - cpu_now);
}

void bump_limit_cpu(struct bump *b, uint64_t budget_ns)
{
    uint64_t cpu = cpu_now_ns();

    b->time.cpu_ns = cpu + budget_ns;
    set_look(b, clock_now_ns(), cpu);
}

static uint64_t less_a_quarter(uint64_t end_ns, uint64_t now_ns)
{
    return end_ns == CLOCK_NEVER || end_ns <= now_ns ? end_ns : end_ns - (end_ns - now_ns) / 4;
}

struct bump_time bump_spare_time(struct bump *b)
{
    const struct bump_time all = b->time;

    b->time.deadline_ns = less_a_quarter(all.deadline_ns, clock_now_ns());
    b->time.cpu_ns = less_a_quarter(all.cpu_ns, cpu_now_ns());
    b->look_ns = 0;
    return all;
}

void bump_set_time(struct bump *b, struct bump_time time)
{
    b->time = time;
    b->look_ns = 0;
}

void bump_check_deadline(struct bump *b)
{
    b->until_check = CHECK_EVERY;
    if (b->look_ns == CLOCK_NEVER)
        return;
    uint64_t now = clock_now_ns();
    if (now < b->look_ns)
        return;
    uint64_t cpu = b->time.cpu_ns != CLOCK_NEVER ? cpu_now_ns() : 0;
    if (now >= b->time.deadline_ns || cpu >= b->time.cpu_ns)
        bump_leave(b, BUMP_STOP_DEADLINE);
    set_look(b, now, cpu);
}

/* -- stack -------------------------------------------------------------------------------------
 */

void bump_check_stack(struct bump *b)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t depth = here < b->stack_base ? b->stack_base - here : here - b->stack_base;

    if (depth > BUMP_STACK_LIMIT)
        bump_leave(b, BUMP_STOP_STACK);
}

/* Counts `size` fresh bytes against the time until the next look at the clock. */
static void spend(struct bump *b, size_t size)
{
    size_t cost = size + CHECK_FEE;

    if (cost >= b->until_check)
        bump_check_deadline(b);
    else
        b->until_check -= cost;
}

void *bump_alloc(struct bump *b, size_t size)
{
    size_t align = alignof(max_align_t);
    size_t start = (b->used + align - 1) / align * align;

    if (start > b->limit || size > b->limit - start)
        bump_leave(b, BUMP_STOP_MEMORY);
    spend(b, size);

    char *ptr = b->base + start;
    b->used = start + size;
    UNPOISON(ptr, size);
    return ptr;
}

size_t bump_mark(const struct bump *b)
{
    return b->used;
}

void bump_rewind(struct bump *b, size_t mark)
{
    POISON(b->base + mark, b->used - mark);
    if (b->used > b->peak)
        b->peak = b->used;
    b->used = mark;
}

void bump_resize_last(struct bump *b, void *ptr, size_t old_size, size_t new_size)
{
    size_t start = (size_t)((char *)ptr - b->base);

    assert(start + old_size == b->used); /* else it would pass for a page that takes too much */
    if (new_size > b->limit - start)
        bump_leave(b, BUMP_STOP_MEMORY);
    if (new_size > old_size) {
        spend(b, new_size - old_size);
        UNPOISON(b->base + b->used, new_size - old_size);
    } else {
        POISON(b->base + start + new_size, old_size - new_size);
    }
    b->used = start + new_size;
}
