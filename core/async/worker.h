/* What a worker process does with a message from its parent, apart from the sockets. */
#ifndef SKIMD_ASYNC_WORKER_H
#define SKIMD_ASYNC_WORKER_H

#include "core/async/internal.h"
#include "core/async/wire.h"
#include "core/base/bytes.h"

/* The longest call: its context goes behind it. */
enum { WIRE_CALL_MAX = sizeof(struct wire_call) + CONTEXT_WIRE_MAX };

/* Lets each task open what its `serve` needs, before the sandbox closes. 0 or negative errno. */
int worker_prepare(void);

struct worker_reply {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX];
};

/*
 * Carries out the call that `message` is, on a request in `memory`, and writes the reply to `out`:
 * what `serve` gave, or why the call makes no sense. Returns the length of the reply, or 0 for a
 * message that is not even a call: then the worker ends.
 */
size_t worker_answer(struct bytes message, struct bytes memory, struct worker_reply *out);

/* Whether this process was spawned as a worker, whatever its main() has asked. Any thread. */
bool worker_was_spawned(void);

#endif
