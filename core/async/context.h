/*
 * Task-local context: small values (a batch's id, a trace's) that follow the work rather than the
 * thread. A task begins with the context of whoever started it, wherever it runs: on the loop, on a
 * pool thread, in a worker process; a continuation has that of whoever registered it. What a task
 * sets is seen by what it starts from then on, never by whoever started it. What is called for a
 * task rather than in it (`pack`, `unpack`, `drop`) has no context.
 *
 *     CONTEXT_KEY(batch_id);
 *
 *     context_set(&batch_id, bytes_cstr("b-42"));
 *     future *f = parse_page(...);            // there, context_get(&batch_id) is "b-42"
 */
#ifndef SKIMD_ASYNC_CONTEXT_H
#define SKIMD_ASYNC_CONTEXT_H

#include "core/base/bytes.h"

/* Of one context: its values together, and its keys. It travels with each call of a worker. */
enum { CONTEXT_BYTES_MAX = 1024, CONTEXT_KEYS_MAX = 128 };

/* A key is its address. Static data, entered in a table by whose index worker processes know it. */
struct context_key {
    const char *name;
};

#define CONTEXT_KEY(key)                                                                           \
    static const struct context_key key = {.name = #key};                                          \
    static const struct context_key *const key##_entry                                             \
        __attribute__((section("async_context"), used, retain)) = &key

/*
 * Sets `key` in the context of the task or continuation that runs here (outside of both: of this
 * thread) to a copy of `value`; an empty value removes it. Where this fails, nothing has changed:
 *   -E2BIG    there would be more than CONTEXT_BYTES_MAX of values, or CONTEXT_KEYS_MAX keys
 *   -EINVAL   CONTEXT_KEY() did not make the key
 *   -ENOTSUP  in a worker process
 *   -ENOMEM
 */
int context_set(const struct context_key *key, struct bytes value);

/*
 * The value of `key` here; empty when it has none. Borrowed: valid until the task, continuation or
 * `serve` function that runs here returns, or sets a key.
 */
struct bytes context_get(const struct context_key *key);

#endif
