/*
 * A base and, below its line, a reference. What a page's URL becomes is a fixed point of its own
 * parser, has nothing in it that could end it early, and can be split.
 */
#include "parsers/url.h"
#include "tests/fuzz/fuzz.h"

/* What a reference became, in memory of exactly its size: ASan then sees a read past its end. */
struct result {
    char *text; /* owned */
    size_t len;
};

static struct result resolve(const struct url *base, struct bytes reference)
{
    char to[URL_MAX];
    struct result result = {.len = url_resolve(base, reference, to)};

    FUZZ_CHECK(result.len <= URL_MAX);
    result.text = malloc(result.len ? result.len : 1);
    FUZZ_CHECK(result.text);
    memcpy(result.text, to, result.len);
    return result;
}

static void check_characters(const struct url *url)
{
    for (const char *c = url->text.ptr; c < url->text.ptr + url->text.len; c++)
        FUZZ_CHECK(*c > 0x20 ? *c != 0x7f && *c != '#' : *c < 0 && c < url->path.ptr);
}

static void check_gives(const struct url *base, struct bytes reference, struct bytes want)
{
    struct result again = resolve(base, reference);

    FUZZ_CHECK(bytes_equal(bytes_of(again.text, again.len), want));
    free(again.text);
}

/* Splits a result, if there is one, and checks it. */
static bool check_result(const struct result *result, struct url *ret)
{
    struct bytes text = bytes_of(result->text, result->len);

    if (text.len == 0)
        return false;
    FUZZ_CHECK(url_split(text, ret));
    FUZZ_CHECK(bytes_equal(ret->text, text));
    FUZZ_CHECK(bytes_equal(ret->scheme, BYTES("http")) || bytes_equal(ret->scheme, BYTES("https")));
    FUZZ_CHECK(ret->scheme.len + 3 + ret->authority.len + ret->path.len + ret->query.len ==
               text.len);
    FUZZ_CHECK(utf8_valid(text));
    check_characters(ret);
    check_gives(NULL, text, text);
    check_gives(ret, text, text);
    check_gives(ret, BYTES("\t#"), text);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of((const char *)data, size), line = fuzz_field(&rest, '\n'),
                 reference = fuzz_field(&rest, '\0');
    struct result first = resolve(NULL, line), second;
    struct url base, url;

    second = resolve(check_result(&first, &base) ? &base : NULL, reference);
    check_result(&second, &url);
    free(second.text);
    free(first.text);
    fuzz_free(reference);
    fuzz_free(line);
    return 0;
}
