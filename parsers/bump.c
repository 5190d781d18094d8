#include "parsers/bump.h"
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
    *b = (struct bump){.base = base, .limit = limit, .deadline_ns = CLOCK_NEVER};
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
    b->deadline_ns = deadline_ns;
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

void bump_check_deadline(struct bump *b)
{
    b->until_check = CHECK_EVERY;
    if (b->deadline_ns != CLOCK_NEVER && clock_now_ns() >= b->deadline_ns)
        bump_leave(b, BUMP_STOP_DEADLINE);
}

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

    if (start + old_size != b->used || new_size > b->limit - start)
        bump_leave(b, BUMP_STOP_MEMORY);
    if (new_size > old_size) {
        spend(b, new_size - old_size);
        UNPOISON(b->base + b->used, new_size - old_size);
    } else {
        POISON(b->base + start + new_size, old_size - new_size);
    }
    b->used = start + new_size;
}
