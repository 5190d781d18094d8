/*
 * What the runtime and its worker processes say to each other, over one SOCK_SEQPACKET pair each.
 * Both are the same binary, so the structs are sent as they are; the version guards against an
 * executable that was replaced under a running process.
 *
 *     worker                             parent
 *     hello ──────────────────────────▶
 *             ◀─────────────────────────  call, the task's context behind it   (the request itself
 *     reply, the answer behind it ────▶           lies in shared memory, which the worker maps
 *                                                 read-only)
 */
#ifndef SKIMD_ASYNC_WIRE_H
#define SKIMD_ASYNC_WIRE_H

#include "core/async/task.h"

#include <stdint.h>

enum { WIRE_VERSION = 3, WIRE_REPLY_MAX = TASK_REPLY_MAX };

/* Descriptors of a worker process. */
enum { WORKER_SOCKET = 3, WORKER_MEMORY = 4 };

/* The first two arguments of a worker process. */
#define WORKER_NAME "async-worker"
#define WORKER_FLAG "--async-worker"

struct wire_hello {
    uint32_t version;
    uint32_t task_count; /* of the task table */
};

struct wire_call {
    uint64_t id;          /* counts up; the reply repeats it */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, the same clock in every process */
    uint64_t length;      /* of the request */
    uint32_t task;        /* index in the task table */
    uint32_t unused;
};

struct wire_reply {
    uint64_t id;
    int32_t error; /* 0, or the negative errno of `serve` */
    uint32_t unused;
};

#endif
