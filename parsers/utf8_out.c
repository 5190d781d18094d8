#include "parsers/utf8_out.h"

#include "parsers/bump.h"

enum { STEP = 16 << 10 };

struct utf8_out utf8_out_open(struct bump *bump, size_t expected)
{
    return (struct utf8_out){bump, bump_alloc(bump, expected), 0, expected};
}

void utf8_out_grow(struct utf8_out *out, size_t len)
{
    size_t capacity = out->len + len + STEP;

    bump_resize_last(out->bump, out->ptr, out->capacity, capacity);
    out->capacity = capacity;
}

void utf8_out_append(struct utf8_out *out, const void *ptr, size_t len)
{
    utf8_out_reserve(out, len);
    if (len > 0)
        memcpy(out->ptr + out->len, ptr, len);
    out->len += len;
}

struct bytes utf8_out_close(struct utf8_out *out)
{
    bump_resize_last(out->bump, out->ptr, out->capacity, out->len);
    return bytes_of(out->ptr, out->len);
}
