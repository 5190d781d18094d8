/*
 * What the system says of this process, worker processes not included. Loop thread; reading costs
 * some ten microseconds.
 */
#ifndef SKIMD_SERVER_WATCH_PROCESS_H
#define SKIMD_SERVER_WATCH_PROCESS_H

#include <stdint.h>

/* 0 for what cannot be read. */
struct process_stats {
    uint64_t cpu_us; /* user and system */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_fds, max_fds;
};

struct process_stats process_stats(void);

/* Resident memory alone. */
uint64_t process_resident_bytes(void);

#endif
