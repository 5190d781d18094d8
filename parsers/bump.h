/*
 * A bump arena for one page at a time, with the page's budget in it: bytes, time and stack.
 *
 * gumbo asks its allocator for every node and cannot be told "no" (it does not test for NULL), and
 * freeing its tree recurses as deep as the page nests. So memory comes from one reserved run of
 * address space, nothing is freed one by one, and an allocation that would go over the budget
 * leaves the parser by longjmp; the next bump_begin() forgets whatever it had built.
 *
 *     bump_begin(b, deadline_ns);
 *     switch (setjmp(b->escape)) {
 *     case BUMP_STOP_NONE:     ... bump_alloc(b, n) ...
 *     case BUMP_STOP_DEADLINE: ... any of enum bump_stop ...
 *     }
 *
 * Code that runs in between must hold nothing that a jump over it would leak: no malloc, no locks.
 * One thread; the arena is created before a worker's sandbox closes and needs mmap, madvise and
 * clock_gettime only.
 */
#ifndef SKIMD_PARSERS_BUMP_H
#define SKIMD_PARSERS_BUMP_H

#include "core/base/clock.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BUMP_LIMIT_DEFAULT = 64 << 20, /* address space reserved, and the budget of a page */
    BUMP_KEEP = 2 << 20,           /* stays resident from page to page; the rest is given back */
    BUMP_STACK_LIMIT = 2 << 20,    /* of the worker's stack, counted from bump_begin() */
};

/* Why an allocation left by longjmp: the value that setjmp returns. */
enum bump_stop {
    BUMP_STOP_NONE,
    BUMP_STOP_MEMORY,   /* over the arena's limit */
    BUMP_STOP_DEADLINE, /* past the deadline, or the CPU time is spent */
    BUMP_STOP_STACK,    /* recursion deeper than BUMP_STACK_LIMIT */
};

/* When a page must be done; CLOCK_NEVER: no matter. */
struct bump_time {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute */
    uint64_t cpu_ns;      /* CPU time of the thread, absolute */
};

struct bump {
    char *base;
    size_t limit;
    size_t used;
    size_t peak;        /* of `used`, as far as bump_rewind() took it back */
    size_t until_check; /* bytes, and a fee per allocation, until the clock is read again */
    struct bump_time time;
    uint64_t look_ns; /* not before is it asked whether the time is over */
    uintptr_t stack_base;
    jmp_buf escape;
};

/* Reserves `limit` bytes of address space (rounded up to pages). -ENOMEM, -EINVAL (limit 0). */
int bump_init(struct bump *b, size_t limit);

/* Unmaps the arena. Does nothing on a zeroed one. */
void bump_fini(struct bump *b);

/*
 * Forgets all that was allocated and starts a page with a new deadline (CLOCK_MONOTONIC, absolute).
 * Pages of the arena beyond BUMP_KEEP go back to the kernel. Set b->escape before the next call of
 * any function below.
 */
void bump_begin(struct bump *b, uint64_t deadline_ns);

/* Limits the CPU time from here on, too, so that a busy machine is not held against the page. */
void bump_limit_cpu(struct bump *b, uint64_t budget_ns);

/* Puts a quarter of the time that is left aside. Returns all of it, for bump_set_time(). */
struct bump_time bump_spare_time(struct bump *b);
void bump_set_time(struct bump *b, struct bump_time time);

/*
 * `size` bytes, aligned for any type, not zeroed, valid until the next bump_begin(). Never NULL:
 * leaves through b->escape instead. A size of 0 gives a pointer that may be resized.
 */
void *bump_alloc(struct bump *b, size_t size) __attribute__((returns_nonnull));

/*
 * Grows or shrinks the latest allocation in place; `ptr` and `old_size` are what it is now. So text
 * of unknown length is collected without a copy. Leaves through b->escape over the limit.
 */
void bump_resize_last(struct bump *b, void *ptr, size_t old_size, size_t new_size);

/*
 * Where the arena stands, and back to there: what was allocated in between is forgotten, what was
 * the latest allocation then is it again. For attempts that may fail.
 */
size_t bump_mark(const struct bump *b);
void bump_rewind(struct bump *b, size_t mark);

/*
 * Calls `attempt`, which may leave through b->escape: that ends here, with why (BUMP_STOP_NONE: it
 * returned), and what it allocated is forgotten. b->escape is then what it was. It must hold no
 * more than callers of setjmp() above.
 */
enum bump_stop bump_attempt(struct bump *b, void (*attempt)(void *arg), void *arg);

/* Leaves through b->escape, for a caller that has no use for what bump_attempt() caught. */
_Noreturn void bump_leave(struct bump *b, enum bump_stop stop);

/* Leaves through b->escape when the time is over. */
void bump_check_deadline(struct bump *b);

/*
 * Leaves through b->escape when the stack has grown by more than BUMP_STACK_LIMIT since
 * bump_begin(). For hooks that a recursive library calls on its way down.
 */
void bump_check_stack(struct bump *b);

#endif
