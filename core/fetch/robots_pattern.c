/*
 * The comparable form:
 *
 *   letters, digits, -._~:@!$'()*,;[]   themselves, also where they were percent-encoded
 *   / ? & = +                           themselves; percent-encoded they are data, something else
 *   %XX                                 all others, in upper case, also where they stood bare
 *
 * The RFC has reserved characters encoded on both sides, which makes the same pairs equal; of those
 * it leaves, in its examples, "/", "?" and "=" alone where they delimit.
 *
 * A slash delimits in a path only: the RFC's "?baz=https://foo.bar" is
 * "?baz=https%3A%2F%2Ffoo.bar". What follows a "?" in a pattern is known to be of a query, so its
 * slashes are decoded, and such a pattern is held against the path with the same done to its query.
 */
#include "core/fetch/robots_pattern.h"

/* Stands for "*" in the comparable form of a pattern. No value, and no comparable form, has it. */
#define WILDCARD '\n'

/* The text that is written, or only counted while `out` is NULL. */
struct writer {
    char *out;
    size_t len;
};

static void put(struct writer *w, char c)
{
    if (w->out)
        w->out[w->len] = c;
    w->len++;
}

static void put_encoded(struct writer *w, unsigned char octet)
{
    static const char digits[] = "0123456789ABCDEF";

    put(w, '%');
    put(w, digits[octet >> 4]);
    put(w, digits[octet & 15]);
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           is_one_of(c, "-._~:@!$'()*,;[]");
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octet that `text` begins with, percent-encoded; -1: it does not. */
static int encoded_octet(struct bytes text)
{
    if (text.len < 3 || text.ptr[0] != '%' || hex_value(text.ptr[1]) < 0 ||
        hex_value(text.ptr[2]) < 0)
        return -1;
    return hex_value(text.ptr[1]) * 16 + hex_value(text.ptr[2]);
}

enum { OF_PATTERN = 1, DECODE_QUERY_SLASH = 2 };

/*
 * Writes the comparable form of `text`. A "%" that encodes nothing stays: there are files that keep
 * crawlers from all that is encoded, with a pattern that ends with it.
 */
static void write_comparable(struct writer *w, struct bytes text, unsigned flags)
{
    bool in_query = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int octet = encoded_octet(bytes_of(text.ptr + i, text.len - i));

        if (octet >= 0) {
            bool is_data_slash = octet == '/' && in_query && (flags & DECODE_QUERY_SLASH);

            if (is_data_slash || is_plain((char)octet))
                put(w, (char)octet);
            else
                put_encoded(w, (unsigned char)octet);
            i += 2;
        } else if (c == '*' && (flags & OF_PATTERN)) {
            put(w, WILDCARD);
        } else if (is_plain(c) || is_one_of(c, "/?&=+%")) {
            put(w, c);
        } else {
            put_encoded(w, (unsigned char)c);
        }
        in_query = in_query || c == '?';
    }
}

struct pattern pattern_write(struct bytes value, char *out)
{
    struct pattern pattern = {.is_anchored = false};
    struct writer w = {.out = out};

    if (value.len == 0 || !is_one_of(value.ptr[0], "/*"))
        return pattern;
    pattern.is_anchored = value.ptr[value.len - 1] == '$';
    value.len -= pattern.is_anchored;
    pattern.has_wildcard = memchr(value.ptr, '*', value.len);
    pattern.has_query = memchr(value.ptr, '?', value.len);
    write_comparable(&w, value, OF_PATTERN | DECODE_QUERY_SLASH);
    pattern.len = (uint32_t)w.len;
    return pattern;
}

size_t pattern_octets(const struct pattern *pattern)
{
    return (size_t)pattern->len + pattern->is_anchored;
}

static struct bytes comparable_path(struct bytes path, unsigned flags, char *out)
{
    struct writer w = {.out = out};

    if (path.len > ROBOTS_PATH_MAX)
        path.len = ROBOTS_PATH_MAX;
    write_comparable(&w, path, flags);
    return bytes_of(out, w.len);
}

void path_question_init(struct path_question *question, struct bytes path)
{
    question->path = comparable_path(path, 0, question->text[0]);
    question->path_of_query = comparable_path(path, DECODE_QUERY_SLASH, question->text[1]);
    question->searched = 0;
}

static bool starts_with(struct bytes text, struct bytes start)
{
    return text.len >= start.len && memcmp(text.ptr, start.ptr, start.len) == 0;
}

static bool ends_with(struct bytes text, struct bytes end)
{
    return text.len >= end.len && memcmp(text.ptr + text.len - end.len, end.ptr, end.len) == 0;
}

/*
 * What stands between wildcards is looked for from left to right, each part at the first place
 * where it is found. A later place would leave less for the parts behind it, so nothing is ever
 * tried twice, and memmem is linear.
 */
bool pattern_matches(const struct pattern *pattern, const char *text,
                     struct path_question *question)
{
    struct bytes path = pattern->has_query ? question->path_of_query : question->path;
    struct bytes rest = bytes_of(text, pattern->len), part = bytes_split(&rest, WILDCARD);

    if (!starts_with(path, part))
        return false;
    path = bytes_of(path.ptr + part.len, path.len - part.len);
    if (pattern->has_wildcard)
        question->searched += path.len;
    while (rest.ptr) {
        part = bytes_split(&rest, WILDCARD);
        if (pattern->is_anchored && !rest.ptr)
            return ends_with(path, part);

        const char *at = memmem(path.ptr, path.len, part.ptr, part.len);
        if (!at)
            return false;
        path.len -= (size_t)(at - path.ptr) + part.len;
        path.ptr = at + part.len;
    }
    return !pattern->is_anchored || path.len == 0;
}
