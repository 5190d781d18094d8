/*
 * From bytes to UTF-8: the first line is a Content-Type, the second the name of an encoding (any
 * other word: whichever the page declares), the third says where the rest, the page, is cut. What
 * comes out must be well-formed, the same again, have the markup of what came in, and the beginning
 * of a page must be a beginning of the whole.
 */
#include "parsers/bump.h"
#include "parsers/charset.h"
#include "parsers/convert.h"
#include "parsers/multi_byte.h"
#include "parsers/prescan.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

enum { ARENA = 4 << 20 };

static struct multi_byte *multi_byte;

/* Converts into `bump`, which keeps it until the next call with it. */
static struct bytes convert(struct bump *bump, enum charset c, struct bytes page, bool cut)
{
    struct bytes text = {0};

    bump_begin(bump, CLOCK_NEVER);
    if (setjmp(bump->escape))
        FUZZ_CHECK(!"the arena is too small");
    int rc = convert_to_utf8(multi_byte, bump, c, page, cut, &text);
    FUZZ_CHECK(rc == (c == CHARSET_REPLACEMENT ? -EOPNOTSUPP : 0));
    FUZZ_CHECK(utf8_valid(text));
    return text;
}

static size_t count(struct bytes text, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == c;
    return n;
}

/* No byte of these is ever part of a longer sequence in an encoding that has ASCII in it. */
static void check_markup(enum charset c, struct bytes page, struct bytes text)
{
    if (!charset_keeps_ascii(c))
        return;
    for (const char *mark = "<>\"&'/= \n"; *mark; mark++)
        FUZZ_CHECK(count(page, *mark) == count(text, *mark));
}

static void check(enum charset c, struct bytes page, size_t cut)
{
    static struct bump whole, part;

    FUZZ_CHECK(whole.base || (bump_init(&whole, ARENA) == 0 && bump_init(&part, ARENA) == 0));
    struct bytes text = convert(&whole, c, page, false);
    check_markup(c, page, text);
    FUZZ_CHECK(bytes_equal(text, convert(&part, c, page, false)));

    struct bytes begin = convert(&part, c, bytes_of(page.ptr, cut), true);
    FUZZ_CHECK(begin.len <= text.len && bytes_equal(begin, bytes_of(text.ptr, begin.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of((const char *)data, size);

    FUZZ_CHECK(multi_byte || multi_byte_open(&multi_byte) == 0);
    struct bytes content_type = fuzz_field(&rest, '\n');
    struct bytes label = fuzz_field(&rest, '\n');
    struct bytes cut = rest.ptr ? bytes_split(&rest, '\n') : BYTES("");
    struct bytes page = rest.ptr ? rest : BYTES("");
    size_t at = cut.len > 0 ? (unsigned char)cut.ptr[0] * page.len / 256 : 0;

    struct charset_choice choice = charset_declared(page, content_type);
    FUZZ_CHECK(choice.mark <= page.len && (choice.certain || choice.charset == prescan(page)));
    if (choice.charset == CHARSET_NONE)
        choice.charset = charset_guess(page, false);
    enum charset asked = charset_of_label(label);
    check(asked == CHARSET_NONE ? choice.charset : asked, page, at);

    fuzz_free(content_type);
    fuzz_free(label);
    return 0;
}
