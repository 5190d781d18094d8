/* Monotonic time, in nanoseconds since an arbitrary start (CLOCK_MONOTONIC). Any thread. */
#ifndef SKIMD_BASE_CLOCK_H
#define SKIMD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

/* The deadline that never comes. */
#define CLOCK_NEVER UINT64_MAX

static inline uint64_t clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* now + ms, saturating at CLOCK_NEVER. */
static inline uint64_t clock_after_ms(uint64_t now_ns, uint64_t ms)
{
    return ms > (CLOCK_NEVER - now_ns) / NS_PER_MS ? CLOCK_NEVER : now_ns + ms * NS_PER_MS;
}

#endif
