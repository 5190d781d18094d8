/*
 * A context never changes, and is kept in the form in which it travels: entries ordered by key,
 *
 *     u32 index of the key ─ u32 length ─ value
 *
 * so a worker reads what it was sent as everybody reads his own, and setting a key makes a copy of
 * what is before the key's entry and what is behind it. There is one way to write a context.
 */
#include "core/async/context.h"

#include "core/async/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The linker's names for the section's ends; a program that declares no key has no section. */
extern const struct context_key *const __start_async_context[]
    __attribute__((weak, visibility("hidden")));
extern const struct context_key *const __stop_async_context[]
    __attribute__((weak, visibility("hidden")));

struct context {
    atomic_uint references;
    uint32_t keys, length; /* of `packed`: entries, bytes */
    char packed[];
};

struct head {
    uint32_t key, length; /* the length is never 0 */
};

static_assert(CONTEXT_KEYS_MAX * sizeof(struct head) + CONTEXT_BYTES_MAX <= CONTEXT_WIRE_MAX,
              "every context fits");

static bool fits(size_t keys, size_t length)
{
    return keys <= CONTEXT_KEYS_MAX && length - keys * sizeof(struct head) <= CONTEXT_BYTES_MAX;
}

/* -- the wire form ----------------------------------------------------------------------------- */

static uint32_t key_count(void)
{
    return (uint32_t)(__stop_async_context - __start_async_context);
}

/* The index of `key`, or key_count() when it is not in the table. */
static uint32_t key_index(const struct context_key *key)
{
    uint32_t i = 0;

    while (i < key_count() && __start_async_context[i] != key)
        i++;
    return i;
}

/* The length of the entry that `rest` begins with. 0: it begins with none. */
static size_t entry_length(struct bytes rest, struct head *ret_head)
{
    if (rest.len < sizeof *ret_head)
        return 0;
    memcpy(ret_head, rest.ptr, sizeof *ret_head);
    return ret_head->length <= rest.len - sizeof *ret_head ? sizeof *ret_head + ret_head->length
                                                           : 0;
}

static struct bytes behind(struct bytes b, size_t n)
{
    return bytes_of(b.ptr + n, b.len - n);
}

/* The entry of `key`, with its head; where it has none: the empty place where it would be. */
static struct bytes find(struct bytes packed, uint32_t key)
{
    struct head head;
    size_t length;

    while ((length = entry_length(packed, &head)) > 0 && head.key < key)
        packed = behind(packed, length);
    return bytes_of(packed.ptr, length > 0 && head.key == key ? length : 0);
}

static bool well_formed(struct bytes packed)
{
    size_t total = packed.len, keys = 0, length;
    uint32_t least = 0;
    struct head head;

    for (; packed.len > 0; packed = behind(packed, length), keys++) {
        length = entry_length(packed, &head);
        if (length == 0 || head.length == 0 || head.key < least || head.key >= key_count())
            return false;
        least = head.key + 1;
    }
    return fits(keys, total);
}

/* -- contexts ---------------------------------------------------------------------------------- */

struct context *context_ref(struct context *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void context_drop(struct context *c)
{
    if (c && atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1)
        free(c);
}

static struct bytes packed_of(const struct context *c)
{
    return c ? bytes_of(c->packed, c->length) : BYTES("");
}

size_t context_pack(const struct context *c, char *out)
{
    if (!c)
        return 0;
    memcpy(out, c->packed, c->length);
    return c->length;
}

static char *append(char *out, const void *ptr, size_t len)
{
    if (len > 0) /* without, the pointer may be NULL */
        memcpy(out, ptr, len);
    return out + len;
}

/* A copy of `c` in which `key` has another value; NULL in `*ret_changed` when it is empty. */
static int with(const struct context *c, uint32_t key, struct bytes value,
                struct context **ret_changed)
{
    struct bytes packed = packed_of(c), entry = find(packed, key);
    size_t before = (size_t)(entry.ptr - packed.ptr);
    struct bytes rest = behind(packed, before + entry.len);
    struct head head = {.key = key, .length = (uint32_t)value.len};
    size_t head_length = value.len > 0 ? sizeof head : 0;
    size_t length = before + head_length + value.len + rest.len;
    size_t keys = (c ? c->keys : 0) - (entry.len > 0) + (value.len > 0);

    if (value.len > CONTEXT_BYTES_MAX || !fits(keys, length))
        return -E2BIG;
    *ret_changed = NULL;
    if (keys == 0)
        return 0;

    struct context *changed = malloc(sizeof *changed + length);
    if (!changed)
        return -ENOMEM;
    atomic_init(&changed->references, 1);
    changed->keys = (uint32_t)keys;
    changed->length = (uint32_t)length;
    char *out = append(changed->packed, packed.ptr, before);
    out = append(out, &head, head_length);
    out = append(out, value.ptr, value.len);
    append(out, rest.ptr, rest.len);
    *ret_changed = changed;
    return 0;
}

/* -- what is here ------------------------------------------------------------------------------ */

static _Thread_local struct context *of_thread;
static struct bytes of_call = {"", 0}; /* in a worker */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static int thread_end_error;

static void drop_of_thread(void *arg)
{
    (void)arg;
    context_drop(context_swap(NULL));
}

static void make_thread_end(void)
{
    thread_end_error = pthread_key_create(&thread_end, drop_of_thread);
}

/* From now on, the end of this thread drops what `of_thread` is then. */
static int drop_at_thread_end(void)
{
    pthread_once(&once, make_thread_end);
    return thread_end_error || pthread_setspecific(thread_end, &of_thread) ? -ENOMEM : 0;
}

struct context *context_swap(struct context *c)
{
    struct context *before = of_thread;

    of_thread = c;
    return before;
}

static struct context **place(void)
{
    return task_current() ? &task_current()->context : &of_thread;
}

struct context *context_here(void)
{
    return *place();
}

int context_enter_packed(struct bytes packed)
{
    bool fine = well_formed(packed);

    of_call = fine && packed.len > 0 ? packed : BYTES("");
    return fine ? 0 : -EBADMSG;
}

int context_set(const struct context_key *key, struct bytes value)
{
    uint32_t index = key_index(key);

    if (thread_role == ROLE_WORKER)
        return -ENOTSUP;
    if (index == key_count())
        return -EINVAL;

    struct context **here = place(), *before = *here, *changed;
    int rc = here == &of_thread ? drop_at_thread_end() : 0;
    if (rc == 0)
        rc = with(before, index, value, &changed);
    if (rc == 0) {
        *here = changed;
        context_drop(before); /* not sooner: `value` may lie in it */
    }
    return rc;
}

struct bytes context_get(const struct context_key *key)
{
    struct bytes packed = thread_role == ROLE_WORKER ? of_call : packed_of(context_here());
    struct bytes entry = packed.len > 0 ? find(packed, key_index(key)) : packed;

    return entry.len > 0 ? behind(entry, sizeof(struct head)) : entry;
}
