#include "parsers/tag_find.h"

size_t tag_find(struct bytes text, size_t at, struct bytes start)
{
    while (at + start.len <= text.len) {
        const char *open = memchr(text.ptr + at, start.ptr[0], text.len - start.len + 1 - at);

        if (!open)
            break;
        if ((open[1] | 0x20) == start.ptr[1] && strncasecmp(open, start.ptr, start.len) == 0)
            return (size_t)(open - text.ptr);
        at = (size_t)(open - text.ptr) + 1;
    }
    return SIZE_MAX;
}
