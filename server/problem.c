#include "server/problem.h"

#include "core/base/utf8.h"
#include "server/json.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* How much of a text problem_quote shows. */
enum { QUOTE_SHOWN = 60 };

/* Every byte shown may become "\xNN"; around them stand two quotes, "..." and the NUL. */
static_assert(4 * QUOTE_SHOWN + 6 <= PROBLEM_QUOTE_SIZE, "a quoted text has room");

static const struct {
    int status;
    const char *type;
    const char *title;
} kinds[] = {
#define PROBLEM_ROW(kind, status, type, title) [PROBLEM_##kind] = {status, type, title},
    PROBLEMS(PROBLEM_ROW)
#undef PROBLEM_ROW
};

/* The length of `text` without a character that was cut in two at its end. */
static size_t whole_characters(const char *text, size_t len)
{
    struct utf8_unit stop;
    size_t whole = utf8_prefix(bytes_of(text, len), &stop);

    return stop.incomplete ? whole : len;
}

int problem_set(struct problem *ret, enum problem_kind kind, const char *param, const char *format,
                ...)
{
    va_list args;

    *ret = (struct problem){.kind = kind,
                            .status = kinds[kind].status,
                            .type = kinds[kind].type,
                            .title = kinds[kind].title};
    va_start(args, format);
    int length = vsnprintf(ret->detail, sizeof ret->detail, format, args);
    va_end(args);
    if (length >= (int)sizeof ret->detail)
        ret->detail[whole_characters(ret->detail, sizeof ret->detail - 1)] = '\0';
    if (param)
        snprintf(ret->param, sizeof ret->param, "%s", param);
    return kind == PROBLEM_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

void problem_write(struct buffer *out, const struct problem *problem)
{
    buffer_text(out, "{\"type\":");
    json_write_string(out, bytes_cstr(problem->type));
    buffer_text(out, ",\"title\":");
    json_write_string(out, bytes_cstr(problem->title));
    buffer_text(out, ",\"status\":");
    buffer_unsigned(out, (uint64_t)problem->status);
    if (problem->detail[0]) {
        buffer_text(out, ",\"detail\":");
        json_write_string(out, bytes_cstr(problem->detail));
    }
    if (problem->param[0]) {
        buffer_text(out, ",\"param\":");
        json_write_string(out, bytes_cstr(problem->param));
    }
    buffer_text(out, "}\n");
}

/* The code point of a well-formed sequence of `length` bytes. */
static unsigned code_point(const char *text, size_t length)
{
    static const unsigned char lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    unsigned c = (unsigned char)text[0] & lead_bits[length];

    for (size_t i = 1; i < length; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3F);
    return c;
}

/* C0 and C1 controls, line and paragraph separators, and what turns the direction of writing. */
static bool disturbs(unsigned c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

const char *problem_quote(char ret[static PROBLEM_QUOTE_SIZE], struct bytes text)
{
    size_t at = 0, out = 0;
    bool cut = false;

    ret[out++] = '"';
    while (at < text.len && !cut) {
        const char *here = text.ptr + at;
        struct utf8_unit unit = utf8_unit(bytes_of(here, text.len - at));

        if (at + (unit.valid ? unit.len : 1) > QUOTE_SHOWN) {
            cut = true;
        } else if (!unit.valid) {
            out += (size_t)snprintf(ret + out, PROBLEM_QUOTE_SIZE - out, "\\x%02x",
                                    (unsigned)(unsigned char)*here);
            at++;
        } else if (*here == '"' || *here == '\\') {
            ret[out++] = '\\';
            ret[out++] = *here;
            at++;
        } else if (disturbs(code_point(here, unit.len))) {
            out +=
                (size_t)snprintf(ret + out, PROBLEM_QUOTE_SIZE - out,
                                 unit.len == 1 ? "\\x%02x" : "\\u%04x", code_point(here, unit.len));
            at += unit.len;
        } else {
            memcpy(ret + out, here, unit.len);
            out += unit.len;
            at += unit.len;
        }
    }
    ret[out++] = '"';
    if (cut) {
        memcpy(ret + out, "...", 3);
        out += 3;
    }
    ret[out] = '\0';
    return ret;
}
