/*
 * Messages to a worker. An input is a byte of flags, the length of the message in two bytes, the
 * message, and then what lies in the request memory. The flags make calls that are likely to be
 * served out of arbitrary ones.
 */
#include "core/async/task_table.h"
#include "core/async/worker.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

enum { OUR_TASK = 1, SHORT_ENOUGH = 2 };

CONTEXT_KEY(fuzzed_key);

static struct bytes memory;

/* What its first byte says; that all it was given can be read is for ASan to see. */
static ssize_t fuzzed_serve(struct bytes request, uint64_t deadline_ns, char *reply,
                            size_t capacity)
{
    struct bytes here = context_get(&fuzzed_key);
    unsigned sum = (unsigned)deadline_ns;

    FUZZ_CHECK(capacity == WIRE_REPLY_MAX && request.ptr == memory.ptr);
    FUZZ_CHECK(request.len <= memory.len && here.len <= CONTEXT_BYTES_MAX);
    for (size_t i = 0; i < request.len; i++)
        sum += (unsigned char)request.ptr[i];
    for (size_t i = 0; i < here.len; i++)
        sum += (unsigned char)here.ptr[i];
    switch (request.len > 0 ? request.ptr[0] : 'n') {
    case 'e':
        return -EILSEQ;
    case 'b':
        return (ssize_t)capacity + 1;
    case 'f':
        memset(reply, (int)sum, capacity);
        return (ssize_t)capacity;
    default:
        memcpy(reply, &sum, sizeof sum);
        return sizeof sum;
    }
}

static ssize_t fuzzed_pack(void *frame, char *request, size_t capacity)
{
    (void)frame;
    (void)request;
    (void)capacity;
    return 0;
}

static void fuzzed_unpack(task *t, void *frame, struct bytes reply)
{
    (void)t;
    (void)frame;
    (void)reply;
}

TASK(fuzzed_task, ON_PROCESS, 0, .pack = fuzzed_pack, .serve = fuzzed_serve,
     .unpack = fuzzed_unpack);

static void make_likely(char *message, unsigned flags)
{
    struct wire_call call;

    memcpy(&call, message, sizeof call);
    if (flags & OUR_TASK)
        call.task = task_table_index(&fuzzed_task);
    if (flags & SHORT_ENOUGH)
        call.length %= memory.len + 1;
    memcpy(message, &call, sizeof call);
}

static void check_reply(struct bytes message, const struct worker_reply *reply, size_t length)
{
    struct wire_call call;

    FUZZ_CHECK((length == 0) == (message.len < sizeof call || message.len > WIRE_CALL_MAX));
    if (length == 0)
        return;
    memcpy(&call, message.ptr, sizeof call);
    FUZZ_CHECK(length >= sizeof reply->head && length <= sizeof *reply);
    FUZZ_CHECK(reply->head.id == call.id && reply->head.error <= 0);
    FUZZ_CHECK(reply->head.error == 0 || length == sizeof reply->head);
    FUZZ_CHECK(call.length <= memory.len || reply->head.error < 0);
    FUZZ_CHECK(call.task < task_table_size() || reply->head.error < 0);
    FUZZ_CHECK(context_get(&fuzzed_key).len == 0); /* it ended with its call */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct worker_reply reply;
    static bool prepared;

    if (!prepared) {
        thread_role = ROLE_WORKER;
        FUZZ_CHECK(worker_prepare() == 0);
        prepared = true;
    }
    if (size < 3)
        return 0;
    size_t len = data[1] | (size_t)data[2] << 8, rest = size - 3;
    if (len > rest)
        len = rest;
    /* Both of exactly their size, so that ASan sees a read past their end. */
    char *message = malloc(len ? len : 1), *request = malloc(rest - len ? rest - len : 1);
    FUZZ_CHECK(message && request);
    memcpy(message, data + 3, len);
    memcpy(request, data + 3 + len, rest - len);
    memory = bytes_of(request, rest - len);
    if (len >= sizeof(struct wire_call))
        make_likely(message, data[0]);

    size_t length = worker_answer(bytes_of(message, len), memory, &reply);
    check_reply(bytes_of(message, len), &reply, length);
    free(message);
    free(request);
    return 0;
}
