/*
 * Byte strings that carry their length. Nothing here assumes a terminating NUL.
 */
#ifndef SKIMD_BASE_BYTES_H
#define SKIMD_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* A borrowed, read-only run of bytes. `ptr` may be NULL when `len` is 0. */
struct bytes {
    const char *ptr;
    size_t len;
};

/* The bytes of a string literal. */
#define BYTES(literal) ((struct bytes){("" literal), sizeof(literal) - 1})

static inline struct bytes bytes_of(const char *ptr, size_t len)
{
    return (struct bytes){ptr, len};
}

/* The bytes of a NUL-terminated string; NULL gives the empty string. */
static inline struct bytes bytes_cstr(const char *text)
{
    return (struct bytes){text, text ? strlen(text) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case-insensitive comparison, in the C locale. */
static inline bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII white space as the WHATWG Infra standard has it: TAB, LF, FF, CR, SPACE. */
static inline bool ascii_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* `b` without ASCII white space at either end. */
static inline struct bytes bytes_trim(struct bytes b)
{
    while (b.len > 0 && ascii_is_space(b.ptr[0])) {
        b.ptr++;
        b.len--;
    }
    while (b.len > 0 && ascii_is_space(b.ptr[b.len - 1]))
        b.len--;
    return b;
}

/*
 * Cuts the part of `*rest` before the first `separator` off and returns it; `*rest` becomes what
 * stands behind the separator. Without a separator the whole of `*rest` is returned and `*rest`
 * becomes {NULL, 0}. Call while `rest->ptr != NULL`.
 */
static inline struct bytes bytes_split(struct bytes *rest, char separator)
{
    const char *cut = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct bytes head = *rest;

    if (cut) {
        head.len = (size_t)(cut - rest->ptr);
        rest->ptr = cut + 1;
        rest->len -= head.len + 1;
    } else {
        *rest = (struct bytes){NULL, 0};
    }
    return head;
}

#endif
