#include "parsers/prescan.h"

#include "parsers/meta.h"
#include "parsers/tag.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether `word`, in lower case, stands at `at` bytes from here. */
static bool stands(const struct tag_scan *s, size_t at, struct bytes word)
{
    return (size_t)(s->end - s->p) >= at + word.len &&
           bytes_equal_nocase(bytes_of(s->p + at, word.len), word);
}

/* Goes to the next `c`. */
static void seek(struct tag_scan *s, char c)
{
    const char *found = s->p < s->end ? memchr(s->p, c, (size_t)(s->end - s->p)) : NULL;

    s->p = found ? found : s->end;
}

/*
 * Behind "<meta": the encoding that the element declares. Other than in the parse, a charset
 * attribute of no use keeps the content attribute from being looked at.
 */
static enum charset meta(struct tag_scan *s)
{
    struct meta_attributes a;

    if (!meta_read_tag(s, &a))
        return CHARSET_NONE;
    if (a.charset.ptr)
        return charset_of_inner_label(a.charset);
    return bytes_equal_nocase(a.http_equiv, BYTES("content-type"))
               ? charset_of_inner_label(meta_content_label(a.content))
               : CHARSET_NONE;
}

/* At a '<': past what it begins. */
static enum charset markup(struct tag_scan *s)
{
    static const struct bytes meta_tag = {"<meta", 5};
    struct tag_attribute a;

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
        while (tag_next_attribute(s, &a))
            continue;
    } else if (stands(s, 1, BYTES("!")) || stands(s, 1, BYTES("/")) || stands(s, 1, BYTES("?"))) {
        seek(s, '>');
    }
    return CHARSET_NONE;
}

static void skip_controls(struct tag_scan *s)
{
    while (s->p < s->end && (unsigned char)*s->p <= 0x20)
        s->p++;
}

/* "Get an XML encoding"; nothing behind the declaration's '>' is looked at (whatwg/html#6939). */
static enum charset xml_encoding(struct tag_scan s)
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
    struct bytes label = bytes_of(quote + 1, (size_t)(s.p - quote - 1));
    for (size_t i = 0; i < label.len; i++)
        if ((unsigned char)label.ptr[i] <= 0x20)
            return CHARSET_NONE;
    enum charset charset = s.p < s.end ? charset_of_label(label) : CHARSET_NONE;
    return charset_is_utf16(charset) ? CHARSET_UTF_8 : charset;
}

enum charset prescan(struct bytes page)
{
    if (page.len == 0)
        return CHARSET_NONE;
    struct tag_scan s = {page.ptr, page.ptr + (page.len < PRESCAN_MAX ? page.len : PRESCAN_MAX)};
    const struct tag_scan all = s;

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
