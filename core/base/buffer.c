#include "core/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_MINIMUM = 256 };

bool buffer_reserve(struct buffer *b, size_t more)
{
    if (b->failed)
        return false;
    if (more <= b->capacity - b->len)
        return true;

    /* What is reserved first is mostly all there will be: no more than that. Then it doubles. */
    size_t capacity = b->capacity > 0 ? b->capacity : more > BUFFER_MINIMUM ? more : BUFFER_MINIMUM;
    while (capacity - b->len < more) {
        if (capacity > SIZE_MAX / 2) {
            b->failed = true;
            return false;
        }
        capacity *= 2;
    }
    char *grown = realloc(b->ptr, capacity);
    if (!grown) {
        b->failed = true;
        return false;
    }
    b->ptr = grown;
    b->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *b, const void *ptr, size_t len)
{
    if (len == 0 || !buffer_reserve(b, len))
        return;
    memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
}

void buffer_byte(struct buffer *b, char c)
{
    if (!buffer_reserve(b, 1))
        return;
    b->ptr[b->len++] = c;
}

void buffer_text(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

void buffer_unsigned(struct buffer *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buffer_append(b, digits + at, sizeof digits - at);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        b->failed = true;
    else if (buffer_reserve(b, (size_t)length + 1)) {
        vsnprintf(b->ptr + b->len, (size_t)length + 1, format, again);
        b->len += (size_t)length;
    }
    va_end(again);
}

void buffer_consume(struct buffer *b, size_t n)
{
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

char *buffer_take(struct buffer *b, size_t *ret_len)
{
    char *ptr = b->ptr;

    *ret_len = b->len;
    *b = (struct buffer){0};
    return ptr;
}

void buffer_free(struct buffer *b)
{
    free(b->ptr);
    *b = (struct buffer){0};
}
