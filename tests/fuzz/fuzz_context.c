/*
 * The context that comes with a call, as a worker reads it. There is one way to write a context:
 * what is accepted and set again, key by key, is packed to the same bytes.
 */
#include "core/async/context.h"
#include "core/async/internal.h"
#include "tests/fuzz/fuzz.h"

CONTEXT_KEY(first);
CONTEXT_KEY(second);
CONTEXT_KEY(third);

/* The linker's names for the ends of the table: these keys, and those of the program. */
extern const struct context_key *const __start_async_context[];
extern const struct context_key *const __stop_async_context[];

static struct bytes get_in_worker(size_t key)
{
    thread_role = ROLE_WORKER;
    struct bytes value = context_get(__start_async_context[key]);
    thread_role = ROLE_PLAIN;
    return value;
}

static void set(size_t key, struct bytes value)
{
    FUZZ_CHECK(context_set(__start_async_context[key], value) == 0);
    FUZZ_CHECK(bytes_equal(context_get(__start_async_context[key]), value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t keys = (size_t)(__stop_async_context - __start_async_context), values = 0;
    struct bytes packed = bytes_of((const char *)data, size);
    bool accepted = context_enter_packed(packed) == 0;
    char again[CONTEXT_WIRE_MAX];

    for (size_t key = keys; key-- > 0;) { /* backwards: the order of setting does not matter */
        set(key, get_in_worker(key));
        values += context_get(__start_async_context[key]).len;
    }
    size_t length = context_pack(context_here(), again);
    FUZZ_CHECK(bytes_equal(bytes_of(again, length), accepted ? packed : bytes_of(NULL, 0)));
    FUZZ_CHECK(values <= CONTEXT_BYTES_MAX && length <= sizeof again);
    for (size_t key = 0; key < keys; key++)
        set(key, bytes_of(NULL, 0));
    FUZZ_CHECK(!context_here());
    FUZZ_CHECK(context_enter_packed(bytes_of(NULL, 0)) == 0); /* `packed` ends here */
    return 0;
}
