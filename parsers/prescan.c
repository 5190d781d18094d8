#include "parsers/prescan.h"

#include "parsers/meta.h"

/* Where the scan is. Running into the end, anywhere, ends it: `p` is then `end`. */
struct scan {
    const char *p, *end;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether `word`, in lower case, stands at `at` bytes from here. */
static bool stands(const struct scan *s, size_t at, struct bytes word)
{
    return (size_t)(s->end - s->p) >= at + word.len &&
           bytes_equal_nocase(bytes_of(s->p + at, word.len), word);
}

/* Goes to the next `c`. */
static void seek(struct scan *s, char c)
{
    const char *found = memchr(s->p, c, (size_t)(s->end - s->p));

    s->p = found ? found : s->end;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && ascii_is_space(*s->p))
        s->p++;
}

struct attribute {
    struct bytes name, value;
};

static struct bytes since(const struct scan *s, const char *start)
{
    return bytes_of(start, (size_t)(s->p - start));
}

static struct bytes attribute_value(struct scan *s)
{
    const char *start = s->p;

    if (s->p == s->end || *s->p == '>')
        return since(s, start);
    if (*s->p == '"' || *s->p == '\'') {
        s->p++;
        seek(s, *start);
        struct bytes value = since(s, start + 1);
        if (s->p < s->end)
            s->p++;
        return value;
    }
    while (s->p < s->end && !ascii_is_space(*s->p) && *s->p != '>')
        s->p++;
    return since(s, start);
}

/* "Get an attribute". False when there is none, or when the end came before its end. */
static bool get_attribute(struct scan *s, struct attribute *ret)
{
    while (s->p < s->end && (ascii_is_space(*s->p) || *s->p == '/'))
        s->p++;
    if (s->p == s->end || *s->p == '>')
        return false;

    const char *start = s->p;
    while (s->p < s->end && !ascii_is_space(*s->p) && *s->p != '/' && *s->p != '>' &&
           (*s->p != '=' || s->p == start))
        s->p++;
    *ret = (struct attribute){.name = since(s, start)};
    skip_space(s);
    if (s->p < s->end && *s->p == '=') {
        s->p++;
        skip_space(s);
        ret->value = attribute_value(s);
    }
    return s->p < s->end;
}

/* Behind "<meta": the encoding that the element declares. */
static enum charset meta(struct scan *s)
{
    enum { SEEN_CHARSET = 1, SEEN_HTTP_EQUIV = 2, SEEN_CONTENT = 4 };
    unsigned seen = 0;
    bool got_pragma = false, need_pragma = false;
    enum charset charset = CHARSET_NONE;
    struct attribute a;

    while (get_attribute(s, &a)) {
        unsigned kind = bytes_equal_nocase(a.name, BYTES("charset"))      ? SEEN_CHARSET
                        : bytes_equal_nocase(a.name, BYTES("http-equiv")) ? SEEN_HTTP_EQUIV
                        : bytes_equal_nocase(a.name, BYTES("content"))    ? SEEN_CONTENT
                                                                          : 0;
        if (seen & kind)
            continue;
        seen |= kind;
        if (kind == SEEN_HTTP_EQUIV) {
            got_pragma = bytes_equal_nocase(a.value, BYTES("content-type"));
        } else if (kind == SEEN_CHARSET) {
            charset = charset_of_inner_label(a.value);
            need_pragma = false;
        } else if (kind == SEEN_CONTENT && !(seen & SEEN_CHARSET)) {
            charset = charset_of_inner_label(meta_content_label(a.value));
            need_pragma = true;
        }
    }
    return s->p < s->end && (got_pragma || !need_pragma) ? charset : CHARSET_NONE;
}

/* At a '<': past what it begins. */
static enum charset markup(struct scan *s)
{
    static const struct bytes meta_tag = {"<meta", 5};
    struct attribute a;

    if (stands(s, 0, BYTES("<!--"))) {
        s->p += 2; /* the dashes may be those of the end, too: <!--> */
        for (seek(s, '>'); s->p < s->end && memcmp(s->p - 2, "--", 2) != 0; seek(s, '>'))
            s->p++;
        return CHARSET_NONE;
    }
    if (stands(s, 0, meta_tag) && (size_t)(s->end - s->p) > meta_tag.len &&
        (ascii_is_space(s->p[meta_tag.len]) || s->p[meta_tag.len] == '/')) {
        s->p += meta_tag.len;
        return meta(s);
    }
    size_t name = stands(s, 1, BYTES("/")) ? 2 : 1;
    if ((size_t)(s->end - s->p) > name && is_letter(s->p[name])) {
        while (s->p < s->end && !ascii_is_space(*s->p) && *s->p != '>')
            s->p++;
        while (get_attribute(s, &a))
            continue;
    } else if (stands(s, 1, BYTES("!")) || stands(s, 1, BYTES("/")) || stands(s, 1, BYTES("?"))) {
        seek(s, '>');
    }
    return CHARSET_NONE;
}

static void skip_controls(struct scan *s)
{
    while (s->p < s->end && (unsigned char)*s->p <= 0x20)
        s->p++;
}

/* "Get an XML encoding"; nothing behind the declaration's '>' is looked at (whatwg/html#6939). */
static enum charset xml_encoding(struct scan s)
{
    static const struct bytes word = {"encoding", 8};

    if (!stands(&s, 0, BYTES("<?xml")) || memcmp(s.p, "<?xml", 5) != 0)
        return CHARSET_NONE;
    const char *close = memchr(s.p, '>', (size_t)(s.end - s.p));
    s.end = close ? close : s.p;
    s.p = memmem(s.p, (size_t)(s.end - s.p), word.ptr, word.len);
    if (!s.p)
        return CHARSET_NONE;
    s.p += word.len;
    skip_controls(&s);
    if (s.p == s.end || *s.p != '=')
        return CHARSET_NONE;
    s.p++;
    skip_controls(&s);
    if (s.p == s.end || (*s.p != '"' && *s.p != '\''))
        return CHARSET_NONE;

    const char *quote = s.p++;
    seek(&s, *quote);
    struct bytes label = since(&s, quote + 1);
    for (size_t i = 0; i < label.len; i++)
        if ((unsigned char)label.ptr[i] <= 0x20)
            return CHARSET_NONE;
    enum charset charset = s.p < s.end ? charset_of_label(label) : CHARSET_NONE;
    bool utf16 = charset == CHARSET_UTF_16BE || charset == CHARSET_UTF_16LE;
    return utf16 ? CHARSET_UTF_8 : charset;
}

enum charset prescan(struct bytes page)
{
    if (page.len == 0)
        return CHARSET_NONE;
    struct scan s = {page.ptr, page.ptr + (page.len < PRESCAN_MAX ? page.len : PRESCAN_MAX)};
    const struct scan all = s;

    /* An XML declaration in UTF-16, "<?x": the page itself declares nothing that could be read. */
    if (s.end - s.p >= 6 && memcmp(s.p, "<\0?\0x", 6) == 0)
        return CHARSET_UTF_16LE;
    if (s.end - s.p >= 6 && memcmp(s.p, "\0<\0?\0x", 6) == 0)
        return CHARSET_UTF_16BE;
    for (seek(&s, '<'); s.p < s.end; seek(&s, '<')) {
        enum charset charset = markup(&s);
        if (charset != CHARSET_NONE)
            return charset;
        if (s.p < s.end)
            s.p++; /* "next byte" */
    }
    return xml_encoding(all);
}
