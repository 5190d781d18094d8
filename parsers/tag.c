#include "parsers/tag.h"

size_t tag_find(struct bytes page, size_t at, struct bytes start)
{
    while (at + start.len <= page.len) {
        const char *open = memchr(page.ptr + at, start.ptr[0], page.len - start.len + 1 - at);

        if (!open)
            break;
        if ((open[1] | 0x20) == start.ptr[1] && strncasecmp(open, start.ptr, start.len) == 0)
            return (size_t)(open - page.ptr);
        at = (size_t)(open - page.ptr) + 1;
    }
    return SIZE_MAX;
}

static struct bytes since(const struct tag_scan *s, const char *start)
{
    return bytes_of(start, (size_t)(s->p - start));
}

static void skip_space(struct tag_scan *s)
{
    while (s->p < s->end && ascii_is_space(*s->p))
        s->p++;
}

static struct bytes quoted_value(struct tag_scan *s)
{
    const char *start = s->p + 1;
    const char *quote = memchr(start, *s->p, (size_t)(s->end - start));

    s->p = quote ? quote : s->end;
    struct bytes value = since(s, start);
    if (quote)
        s->p++;
    return value;
}

static struct bytes attribute_value(struct tag_scan *s)
{
    const char *start = s->p;

    if (s->p < s->end && (*s->p == '"' || *s->p == '\''))
        return quoted_value(s);
    while (s->p < s->end && !ascii_is_space(*s->p) && *s->p != '>')
        s->p++;
    return since(s, start);
}

bool tag_next_attribute(struct tag_scan *s, struct tag_attribute *ret)
{
    while (s->p < s->end && (ascii_is_space(*s->p) || *s->p == '/'))
        s->p++;
    if (s->p == s->end || *s->p == '>')
        return false;

    const char *start = s->p++; /* also a '=' here begins a name */
    while (s->p < s->end && !ascii_is_space(*s->p) && *s->p != '/' && *s->p != '>' && *s->p != '=')
        s->p++;
    *ret = (struct tag_attribute){.name = since(s, start)};
    skip_space(s);
    if (s->p < s->end && *s->p == '=') {
        s->p++;
        skip_space(s);
        ret->value = attribute_value(s);
    }
    return s->p < s->end;
}
