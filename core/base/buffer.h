/*
 * A growable byte buffer. Errors are sticky: after a failed allocation `failed` is set and every
 * further append does nothing, so that a writer checks once at the end.
 * Not thread-safe; one owner.
 */
#ifndef SKIMD_BASE_BUFFER_H
#define SKIMD_BASE_BUFFER_H

#include "core/base/bytes.h"

#include <stdint.h>

struct buffer {
    char *ptr; /* owned; NULL while nothing was appended */
    size_t len;
    size_t capacity;
    bool failed;
};

/* Makes room for `more` bytes behind `len`. False (and `failed`) when memory is exhausted. */
bool buffer_reserve(struct buffer *b, size_t more);

/* Append bytes, one byte, a NUL-terminated string, a decimal number. Nothing happens once failed.
 */
void buffer_append(struct buffer *b, const void *ptr, size_t len);
void buffer_byte(struct buffer *b, char c);
void buffer_text(struct buffer *b, const char *text);
void buffer_unsigned(struct buffer *b, uint64_t n);

/* printf into the buffer. `format` is never a string from outside. */
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first `n` (<= len) bytes. */
void buffer_consume(struct buffer *b, size_t n);

/* Hands the storage over to the caller, who frees it with free(); the buffer is empty afterwards.
 */
char *buffer_take(struct buffer *b, size_t *ret_len);

/* Frees the storage; the buffer can be used again. */
void buffer_free(struct buffer *b);

static inline struct bytes buffer_bytes(const struct buffer *b)
{
    return (struct bytes){b->ptr, b->len};
}

#endif
