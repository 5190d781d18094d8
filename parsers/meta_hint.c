#include "parsers/meta_hint.h"

#include "parsers/tag_find.h"

/* The attributes of a tag, as the tokenizer finds them, but with references as they are written. */
struct tag {
    const char *at, *end;
};

struct attribute {
    struct bytes name, value;
};

enum tag_state { TAG_ATTRIBUTE, TAG_END, TAG_BROKEN_OFF };

/* The value at tag->at, behind a '='. */
static struct bytes tag_value(struct tag *tag)
{
    const char *start = tag->at;

    if (start < tag->end && (*start == '"' || *start == '\'')) {
        const char *quote = memchr(start + 1, *start, (size_t)(tag->end - start - 1));
        tag->at = quote ? quote + 1 : tag->end;
        return bytes_of(start + 1, (size_t)((quote ? quote : tag->end) - start - 1));
    }
    while (tag->at < tag->end && *tag->at != '>' && !ascii_is_space(*tag->at))
        tag->at++;
    return bytes_of(start, (size_t)(tag->at - start));
}

static void tag_skip_spaces(struct tag *tag)
{
    while (tag->at < tag->end && ascii_is_space(*tag->at))
        tag->at++;
}

/* The next attribute; *ret is left alone at the end of the tag. */
static enum tag_state tag_next(struct tag *tag, struct attribute *ret)
{
    while (tag->at < tag->end && (ascii_is_space(*tag->at) || *tag->at == '/'))
        tag->at++;
    if (tag->at == tag->end)
        return TAG_BROKEN_OFF;
    if (*tag->at == '>') {
        tag->at++;
        return TAG_END;
    }

    const char *start = tag->at++; /* also a '=' here begins a name */
    while (tag->at < tag->end && *tag->at != '=' && *tag->at != '/' && *tag->at != '>' &&
           !ascii_is_space(*tag->at))
        tag->at++;
    *ret = (struct attribute){.name = bytes_of(start, (size_t)(tag->at - start))};
    tag_skip_spaces(tag);
    if (tag->at < tag->end && *tag->at == '=') {
        tag->at++;
        tag_skip_spaces(tag);
        ret->value = tag_value(tag);
    }
    return TAG_ATTRIBUTE;
}

/* Whether a meta element with this attribute may declare a charset. */
static bool may_declare(const struct attribute *a)
{
    if (bytes_equal_nocase(a->name, BYTES("charset")))
        return true;
    if (a->value.len == 0 || !bytes_equal_nocase(a->name, BYTES("http-equiv")))
        return false;
    return bytes_equal_nocase(a->value, BYTES("content-type")) ||
           memchr(a->value.ptr, '&', a->value.len);
}

static const struct bytes open_meta = {"<meta", 5};

enum { BYTES_TO_SPARE = 64 << 10 };

enum meta_hint meta_hint_next(struct meta_search *search, struct bytes html, bool whole,
                              size_t *ret_end)
{
    for (size_t at; (at = tag_find(html, search->at, open_meta)) != SIZE_MAX;) {
        struct tag tag = {html.ptr + at + open_meta.len, html.ptr + html.len};
        struct attribute attribute;
        enum tag_state state = TAG_BROKEN_OFF;
        bool found = false;

        if (search->spent > 4 * (uint64_t)html.len + BYTES_TO_SPARE)
            return META_HINT_LOST;
        if (tag.at < tag.end && !ascii_is_space(*tag.at) && *tag.at != '/')
            state = TAG_END; /* another element, or one without attributes */
        else
            while ((state = tag_next(&tag, &attribute)) == TAG_ATTRIBUTE)
                found = found || may_declare(&attribute);
        search->spent += (size_t)(tag.at - html.ptr) - at;

        search->at = at;
        if (state == TAG_BROKEN_OFF && !whole)
            return META_HINT_NONE; /* again, with more */
        search->at += open_meta.len;
        if (state == TAG_END && found) {
            *ret_end = (size_t)(tag.at - html.ptr);
            return META_HINT_TAG;
        }
    }
    if (search->at + open_meta.len <= html.len)
        search->at = html.len - open_meta.len + 1;
    return META_HINT_NONE;
}
