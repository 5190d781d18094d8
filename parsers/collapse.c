#include "parsers/collapse.h"

#include "core/base/utf8.h"

void collapse_append(struct collapse *c, struct bytes text)
{
    size_t len = c->len;
    bool space = c->space;

    for (size_t i = 0; i < text.len && !c->full; i++) {
        if (ascii_is_space(text.ptr[i])) {
            space = len > 0;
        } else if (len + space < c->most) {
            if (space)
                c->text[len++] = ' ';
            c->text[len++] = text.ptr[i];
            space = false;
        } else {
            c->full = true;
        }
    }
    c->len = len;
    c->space = space;
}

size_t collapse_cut(const char *text, size_t len)
{
    size_t lead = len;

    while (lead > 0 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead > 0 && !utf8_valid(bytes_of(text + lead - 1, len - lead + 1)))
        len = lead - 1;
    while (len > 0 && ascii_is_space(text[len - 1]))
        len--;
    return len;
}
