#include "tests/check.h"

#include "core/fetch/target.h"
#include "parsers/url.h"
#include "tests/support/soup.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Well-formed UTF-8 of two, three and four bytes. */
#define U_UMLAUT "\xc3\xbc"
#define EURO     "\xe2\x82\xac"
#define FACE     "\xf0\x9f\x98\x80"

/* Resolves with buffers of exactly their sizes, so that ASan sees what goes past them. What is
 * returned is valid up to the next call. */
static struct bytes resolve(const struct url *base, struct bytes reference)
{
    static char result[URL_MAX];
    char *copy = malloc(reference.len ? reference.len : 1), *to = malloc(URL_MAX);

    ck_assert(copy && to);
    if (reference.len > 0)
        memcpy(copy, reference.ptr, reference.len);
    size_t len = url_resolve(base, bytes_of(copy, reference.len), to);
    ck_assert_uint_le(len, URL_MAX);
    memcpy(result, to, len);
    free(copy);
    free(to);
    return bytes_of(result, len);
}

static struct url split(const char *text)
{
    struct url url;

    ck_assert_msg(url_split(bytes_cstr(text), &url), "%s", text);
    return url;
}

static void assert_result(const char *base, struct bytes reference, const char *want)
{
    struct url url = {0};

    if (base)
        url = split(base);
    struct bytes got = resolve(base ? &url : NULL, reference);
    ck_assert_msg(bytes_equal(got, bytes_cstr(want)), "'%.*s' on %s: got %.*s, not %s",
                  (int)reference.len, reference.ptr, base ? base : "nothing", (int)got.len, got.ptr,
                  want);
}

/* -- absolute references ----------------------------------------------------------------------- */

struct row {
    const char *given, *want; /* "": refused */
};

static void assert_rows(const char *base, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_result(base, bytes_cstr(rows[i].given), rows[i].want);
}

START_TEST(an_absolute_reference_is_normalised)
{
    static const struct row rows[] = {
        {"http://a.example", "http://a.example/"},
        {"http://a.example/", "http://a.example/"},
        {"https://a.example/b/c?d=e&f#g", "https://a.example/b/c?d=e&f"},
        {"HtTpS://A.Example/B", "https://a.example/B"},
        {"http://a.example?q", "http://a.example/?q"},
        {"http://a.example?", "http://a.example/?"},
        {"http://a.example#f", "http://a.example/"},
        {"http://a.example/?#", "http://a.example/?"},
        {"http://a.example/#?/", "http://a.example/"},
        {"http://a.example/??", "http://a.example/??"},
        {"http://a.example//b//", "http://a.example//b//"},
        /* slashes, too few and too many, of both kinds */
        {"http:a.example/b", "http://a.example/b"},
        {"http:/a.example/b", "http://a.example/b"},
        {"http:///a.example/b", "http://a.example/b"},
        {"http://////a.example/b", "http://a.example/b"},
        {"http:\\\\a.example\\b\\c", "http://a.example/b/c"},
        {"http:\\/\\a.example/b\\..\\c", "http://a.example/c"},
        {"http://a.example\\b?c\\d", "http://a.example/b?c\\d"},
        {"https:a.example", "https://a.example/"},
        /* controls and spaces at the ends, tabs and line ends anywhere */
        {" \x01\x1f\t http://a.example/ \r\n\x1f", "http://a.example/"},
        {"h\tt\nt\rp:\t/\n/a\t.ex\nample\r:\t8\n0\r8\t0\n/\rb\t/\n.\r.\t?\nc\n#",
         "http://a.example:8080/?c"},
        {"http://a.example/b c", "http://a.example/b%20c"},
        {"http://a.example/ ?b #c", "http://a.example/%20?b%20"},
        {"http://a.example/%\t2e%2\nE/b", "http://a.example/b"},
        {"http://a.example/b\x7f", "http://a.example/b%7F"},
        /* hosts; tests/check_url_host.c has the rest */
        {"http://A%2eEX%61MPLE/", "http://a.example/"},
        {"http://u@0x7f.1:81?q", "http://u@127.0.0.1:81/?q"},
        {"http://[\t:\n:0:\r1\t]\n:\r8\t1\\", "http://[::1]:81/"},
        {"http://[1::0.0.0.1]#f", "http://[1::1]/"},
        {"http://M" U_UMLAUT "NCHEN/" U_UMLAUT, "http://m" U_UMLAUT "nchen/%C3%BC"},
        /* ports */
        {"http://a.example:80/", "http://a.example/"},
        {"https://a.example:443/", "https://a.example/"},
        {"http://a.example:443/", "http://a.example:443/"},
        {"https://a.example:80/", "https://a.example:80/"},
        {"http://a.example:/", "http://a.example/"},
        {"http://a.example:", "http://a.example/"},
        {"http://a.example:?q", "http://a.example/?q"},
        {"http://a.example:00000000000000000000080", "http://a.example/"},
        {"http://a.example:00000000000000000000081", "http://a.example:81/"},
        {"http://a.example:0/", "http://a.example:0/"},
        {"http://a.example:65535/", "http://a.example:65535/"},
        {"http://a.example:8080\\b", "http://a.example:8080/b"},
    };

    assert_rows(NULL, rows, COUNT(rows));
    assert_rows("https://other.example/x/y?z", rows, 5);
    /* with a base of the same scheme, only two slashes make an authority */
    assert_result("http://b.example/x/y", BYTES("http://a.example"), "http://a.example/");
}
END_TEST

START_TEST(what_is_no_http_url_is_refused)
{
    static const char *const references[] = {
        "mailto:a@b.example",
        "javascript:void(0)",
        "JavaScript:alert(1)",
        "java\nscript:x",
        " \tjavascript:x",
        "data:text/html,http://a.example/",
        "tel:+1",
        "ftp://a.example/",
        "file:///etc/passwd",
        "ws://a.example/",
        "wss://a.example/",
        "about:blank",
        "blob:http://a.example/1",
        "view-source:http://a.example/",
        "x+y-z.1:b",
        "a:",
        "httpx://a.example/",
        "http+x://a.example/",
        "httpss://a.example/",
        "htt://a.example/",
        "c:\\windows",
        "localhost:8080/b",
        /* no host */
        "http://",
        "http:////",
        "http://?q",
        "http://#f",
        "https:\\",
        "http://:80/",
        "http://@/",
        "http://user@/b",
        "http://user:password@",
        "http://user@:80/b",
        "https://@@",
        "//",
        "///",
        "//?",
        "\\\\",
        "//:80",
        "http://a b/",
        "http://a%20b/",
        "http://a^b/",
        "http://1.2.3.256/",
        "http://a.0x1/",
        "http://[::1/",
        "http://[::1]a/",
        "http://a[::1]:80/",
        "http://::1/",
        "//a%5b/",
        /* no port */
        "http://a.example:65536/",
        "http://a.example:99999999999999999999/",
        "http://a.example:4294967376/",
        "http://a.example:8o/",
        "http://a.example:-80/",
        "http://a.example:+80/",
        "http://a.example: 80/",
        "http://a.example:80:80/",
        "http://a.example:%38%30/",
        "//a.example:b",
    };

    for (size_t i = 0; i < COUNT(references); i++) {
        assert_result(NULL, bytes_cstr(references[i]), "");
        assert_result("http://b.example/x/y?z", bytes_cstr(references[i]), "");
        assert_result("http://user:password@b.example/", bytes_cstr(references[i]), "");
    }
    assert_result("http://b.example/", BYTES("http://a\0b.example/"), "");
    assert_result("http://b.example/", BYTES("x\0:b"), "http://b.example/x%00:b");
}
END_TEST

START_TEST(without_a_base_only_an_absolute_reference_is_resolved)
{
    static const char *const references[] = {
        "",  "b",    "/b",      "//a.example/", "?q",        "#f",         ".",         "1http://a",
        ":", "://a", "www.a.b", " \n ",         "+http://a", "ht%74p://a", "\xc3\xbc:b"};

    for (size_t i = 0; i < COUNT(references); i++)
        assert_result(NULL, bytes_cstr(references[i]), "");
    assert_result(NULL, bytes_of(NULL, 0), "");
}
END_TEST

START_TEST(credentials_are_kept_and_encoded)
{
    static const struct row rows[] = {
        {"http://u@a.example/", "http://u@a.example/"},
        {"http://u:p@a.example:81/", "http://u:p@a.example:81/"},
        {"http://u:@a.example/", "http://u@a.example/"},
        {"http://:p@a.example/", "http://:p@a.example/"},
        {"http://:@a.example/", "http://a.example/"},
        {"http://@a.example/", "http://a.example/"},
        {"http:u@a.example", "http://u@a.example/"},
        {"http:::@a.example:29/b", "http://:%3A@a.example:29/b"},
        {"http://u:p:q@a.example/", "http://u:p%3Aq@a.example/"},
        {"http://u@v@w:p@q@a.example/", "http://u%40v%40w:p%40q@a.example/"},
        {"http://@@a.example/", "http://%40@a.example/"},
        {"http://u\\@b.example/", "http://u/@b.example/"},
        {"http://u/@b.example/", "http://u/@b.example/"},
        {"http://u?@b.example/", "http://u/?@b.example/"},
        {"http://u#@b.example/", "http://u/"},
        {"http://U%41%\t2f%@a.example/", "http://U%41%2f%@a.example/"},
        {"http://u\t:\n@a.example/", "http://u@a.example/"},
        {"http://[::1]@a.example/", "http://%5B:%3A1%5D@a.example/"},
        {"http://" U_UMLAUT ":" FACE "@a.example/", "http://%C3%BC:%F0%9F%98%80@a.example/"},
    };

    assert_rows(NULL, rows, COUNT(rows));
}
END_TEST

/* -- relative references ----------------------------------------------------------------------- */

START_TEST(a_relative_reference_is_resolved_against_its_base)
{
    /* RFC 3986 section 5.4 has the first of these; the rest is what browsers do otherwise. */
    static const struct row rows[] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {"..g", "http://a/b/c/..g"},
        {"...", "http://a/b/c/..."},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"http:g", "http://a/b/c/g"},
        {"HTTP:", "http://a/b/c/d;p?q"},
        {"http:?y", "http://a/b/c/d;p?y"},
        {"http:#s", "http://a/b/c/d;p?q"},
        {"http:/g", "http://a/g"},
        {"http:\\g", "http://a/g"},
        {"http:/\\g/h", "http://g/h"},
        {"http://g", "http://g/"},
        {"http:g:80", "http://a/b/c/g:80"},
        {"https:g", "https://g/"},
        {"https:/g", "https://g/"},
        {"https:", ""},
        {"\\g\\h", "http://a/g/h"},
        {"\\\\g\\h", "http://g/h"},
        {"/\\g", "http://g/"},
        {"///g///h", "http://g///h"},
        {"//u:p@g:81/h?i", "http://u:p@g:81/h?i"},
        {"/", "http://a/"},
        {"/.", "http://a/"},
        {"/..", "http://a/"},
        {"?", "http://a/b/c/d;p?"},
        {"#", "http://a/b/c/d;p?q"},
        {" ", "http://a/b/c/d;p?q"},
        {"\t\n", "http://a/b/c/d;p?q"},
        {"x\t\n", "http://a/b/c/x"},
        {".\t.\n/g", "http://a/b/g"},
        {"..\\g", "http://a/b/g"},
        {"%2e%2E/g", "http://a/b/g"},
        {"%2e", "http://a/b/c/"},
        {".%2e", "http://a/b/"},
        {"%2e./%2E/.%2E/g", "http://a/g"},
        {"%2e%2e%2e", "http://a/b/c/%2e%2e%2e"},
        {"%2", "http://a/b/c/%2"},
        {"%252e", "http://a/b/c/%252e"},
        {"..%2f", "http://a/b/c/..%2f"},
        {"g/..//h", "http://a/b/c//h"},
        {"g//../h", "http://a/b/c/g/h"},
        {"g//..//..", "http://a/b/c/g/"},
        {"/a/.x/..", "http://a/a/"},
        {"1:2", "http://a/b/c/1:2"},
        {"/x:y", "http://a/x:y"},
        {"./x:y", "http://a/b/c/x:y"},
        {":", "http://a/b/c/:"},
        {"://g", "http://a/b/c/://g"},
        {"g@h:80", "http://a/b/c/g@h:80"},
        {"%", "http://a/b/c/%"},
        {"%zz%1", "http://a/b/c/%zz%1"},
        {"[]|~!$&'()*+,;=@", "http://a/b/c/[]|~!$&'()*+,;=@"},
        {"\"<>`{}^", "http://a/b/c/%22%3C%3E%60%7B%7D%5E"},
        {"?\"<>`{}^'[]|\\", "http://a/b/c/d;p?%22%3C%3E`{}^%27[]|\\"},
        {"?" U_UMLAUT EURO FACE, "http://a/b/c/d;p?%C3%BC%E2%82%AC%F0%9F%98%80"},
        {U_UMLAUT EURO FACE, "http://a/b/c/%C3%BC%E2%82%AC%F0%9F%98%80"},
    };

    assert_rows("http://a/b/c/d;p?q", rows, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) /* a fragment of the base is no part of it */
        if (rows[i].want[0])
            assert_result("http://a/b/c/d;p?q#f/g?h", bytes_cstr(rows[i].given), rows[i].want);
    assert_result("http://a/b?q", bytes_of(NULL, 0), "http://a/b?q");
}
END_TEST

START_TEST(what_a_reference_lacks_comes_from_its_base)
{
    static const struct {
        const char *base, *reference, *want;
    } rows[] = {
        {"http://a/", "", "http://a/"},
        {"http://a/", "?", "http://a/?"},
        {"http://a/", "b", "http://a/b"},
        {"http://a/", "..", "http://a/"},
        {"http://a/?q", "", "http://a/?q"},
        {"http://a/?q", "b", "http://a/b"},
        {"http://a/?q", "/", "http://a/"},
        {"http://a/?", "", "http://a/?"},
        {"http://a/?", ".", "http://a/"},
        {"http://a/b/?q/r", "c", "http://a/b/c"},
        {"http://a/b//", "c", "http://a/b//c"},
        {"http://a/b//", "..", "http://a/b/"},
        {"http://a//", "..", "http://a/"},
        {"http://a//", "../..", "http://a/"},
        {"https://u:p@a:81/b", "c", "https://u:p@a:81/c"},
        {"https://u:p@a:81/b", "/c", "https://u:p@a:81/c"},
        {"https://u:p@a:81/b", "?c", "https://u:p@a:81/b?c"},
        {"https://u:p@a:81/b", "//a:81/c", "https://a:81/c"},
        {"https://u:p@a:81/b", "https:c", "https://u:p@a:81/c"},
        {"https://u:p@a:81/b", "http:c", "http://c/"},
        {"https://[::1]/b", "/c", "https://[::1]/c"},
        {"https://a:80/", "//b:443", "https://b/"},
        {"https://a:80/", "//b:80", "https://b:80/"},
        {"http://a/", "//b:443", "http://b:443/"},
        {"http://" U_UMLAUT "/b", "c", "http://" U_UMLAUT "/c"},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        assert_result(rows[i].base, bytes_cstr(rows[i].reference), rows[i].want);
}
END_TEST

/* -- every byte -------------------------------------------------------------------------------- */

/* What becomes of a byte that stands between "x" and "y", by what is to be encoded of ASCII. */
static void expect(char want[static 8], unsigned c, const char *encoded)
{
    if (c == '\t' || c == '\n' || c == '\r')
        snprintf(want, 8, "xy");
    else if (c <= 0x20 || c >= 0x7f || strchr(encoded, (int)c))
        snprintf(want, 8, "x%%%02Xy", c);
    else
        snprintf(want, 8, "x%cy", (char)c);
}

START_TEST(every_byte_is_encoded_where_the_standard_encodes_it)
{
    /* By part: what ends it, and what is encoded in it. */
    static const struct {
        const char *before, *after, *ends, *encoded;
    } parts[] = {
        {"http://a/", "", "/\\?#", "\"<>`{}^"},
        {"http://a/?", "", "#", "\"<>'"},
        {"http://", "@a/", "/\\?#:", "\"<>`{}^;=@[]|"},
        {"http://u:", "@a/", "/\\?#", "\"<>`{}^;=@[]|:"},
    };
    char given[64], want[64], middle[8];

    for (size_t i = 0; i < COUNT(parts); i++)
        for (unsigned c = 0; c < 256; c++) {
            if (c > 0 && strchr(parts[i].ends, (int)c))
                continue;
            int len = snprintf(given, sizeof given, "%sx", parts[i].before);
            given[len++] = (char)c;
            len += snprintf(given + len, sizeof given - (size_t)len, "y%s", parts[i].after);
            expect(middle, c, parts[i].encoded);
            snprintf(want, sizeof want, "%s%s%s", parts[i].before, middle, parts[i].after);
            assert_result(NULL, bytes_of(given, (size_t)len), want);
        }
}
END_TEST

START_TEST(every_byte_is_taken_or_refused_in_a_host_as_the_standard_has_it)
{
    char given[64], want[64];

    for (unsigned c = 0; c < 256; c++) {
        int len = snprintf(given, sizeof given, "http://x");
        given[len++] = (char)c;
        len += snprintf(given + len, sizeof given - (size_t)len, "y/");
        if (c > 0 && strchr("/\\?#@:", (int)c)) /* they end it, or what is in front */
            continue;
        if (c == '\t' || c == '\n' || c == '\r')
            snprintf(want, sizeof want, "http://xy/");
        else if (c <= 0x20 || c >= 0x7f || strchr("<>[]^|%", (int)c))
            want[0] = '\0';
        else
            snprintf(want, sizeof want, "http://x%cy/", c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_result(NULL, bytes_of(given, (size_t)len), want);

        /* encoded, the same, but that it ends nothing */
        snprintf(given, sizeof given, "http://x%%%02xy/", c);
        if (c <= 0x20 || strchr("/\\?#@:", (int)c))
            want[0] = '\0';
        assert_result(NULL, bytes_cstr(given), want);
    }
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------ */

/* `head`, `count` times `unit`, and `tail`. The caller frees ->ptr. */
static struct buffer repeat(const char *head, const char *unit, size_t count, const char *tail)
{
    struct buffer out = {0};

    buffer_text(&out, head);
    while (count-- > 0)
        buffer_text(&out, unit);
    buffer_text(&out, tail);
    ck_assert(!out.failed);
    return out;
}

static size_t resolved_length(const struct url *base, struct buffer reference)
{
    struct bytes got = resolve(base, buffer_bytes(&reference));

    buffer_free(&reference);
    return got.len;
}

START_TEST(a_url_may_have_8192_bytes_and_no_more)
{
    static const struct {
        const char *head, *unit, *tail;
        size_t growth; /* bytes of the result for a unit */
        size_t rest;   /* bytes of it for head and tail */
    } rows[] = {
        {"http://a/", "b", "b", 1, 10},
        {"http://a/", " ", "b", 3, 10},
        {"http://a/", U_UMLAUT, "b", 6, 10},
        {"http://a/", "b/", "b", 2, 10},
        {"http://a/?", "b", "b", 1, 11},
        {"http://a/?", "'", "b", 3, 11},
        {"http://", "b", "b", 1, 9},
        {"http://", "b", "/", 1, 8},
        {"http://u:", "@", "@b", 3, 12},
        {"http:", "b", "?", 1, 9},
        {"http://b.example:81/", "\\", "b", 1, 21},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t count = (URL_MAX - rows[i].rest) / rows[i].growth;
        size_t want = rows[i].rest + count * rows[i].growth;

        ck_assert_uint_gt(want + rows[i].growth, URL_MAX);
        for (size_t more = 0; more < 4; more++) {
            size_t len = resolved_length(
                NULL, repeat(rows[i].head, rows[i].unit, count + more, rows[i].tail));

            ck_assert_msg(len == (more ? 0 : want), "row %zu, %zu more: %zu", i, more, len);
        }
    }
}
END_TEST

START_TEST(every_part_may_meet_the_limit)
{
    /* All that can be written, in front of a query that is longer by one each time. */
    for (size_t n = URL_MAX - 128; n < URL_MAX + 16; n++) {
        struct buffer base_text = repeat("http://a/", "b", n - 9, "");
        struct url base;
        bool is_base = url_split(buffer_bytes(&base_text), &base);

        ck_assert(is_base == (n <= URL_MAX));
        if (is_base) {
            static const char *const references[] = {"?q", "?", "", "c", "/c", "//c"};
            const size_t want[] = {n + 2, n + 1, n, 10, 10, 9};

            for (size_t i = 0; i < COUNT(references); i++)
                ck_assert_uint_eq(resolve(&base, bytes_cstr(references[i])).len,
                                  want[i] <= URL_MAX ? want[i] : 0);
        }
        buffer_free(&base_text);
    }
    /* The host is what grows: an IPv4 address becomes longer than it was. */
    for (size_t n = URL_MAX - 64; n < URL_MAX; n++) {
        size_t len = resolved_length(NULL, repeat("http://", "u", n, "@1:81/"));
        size_t want = n + sizeof "http://@0.0.0.1:81/" - 1;

        ck_assert_uint_eq(len, want <= URL_MAX ? want : 0);
    }
}
END_TEST

START_TEST(what_is_long_but_not_in_the_result_does_not_count)
{
    struct url base = split("http://a/b/c/d?q");
    size_t many = (size_t)1 << 16;

    ck_assert_uint_eq(resolved_length(&base, repeat("http://a/#", "f", many, "")), 9);
    ck_assert_uint_eq(resolved_length(&base, repeat("x", "\t\n", many, "y")), 15);
    ck_assert_uint_eq(resolved_length(&base, repeat(" ", " ", many, "x")), 14);
    ck_assert_uint_eq(resolved_length(&base, repeat("", "../", many, "x")), 10);
    ck_assert_uint_eq(resolved_length(&base, repeat("", "./", many, "x")), 14);
    ck_assert_uint_eq(resolved_length(&base, repeat("", "x/%2e%2E/", many, "x")), 14);
    ck_assert_uint_eq(resolved_length(&base, repeat("http:", "/", many, "x")), 9);
    ck_assert_uint_eq(resolved_length(&base, repeat("//a:", "0", many, "81")), 12);
    ck_assert_uint_eq(resolved_length(&base, repeat("data:", "/", many, "")), 0);
    ck_assert_uint_eq(resolved_length(&base, repeat("", "a", many, ":")), 0);
    ck_assert_uint_eq(resolved_length(&base, repeat("", "a", many, "")), 0);
    ck_assert_uint_eq(resolved_length(&base, repeat("//", "a@", many, "")), 0);
    ck_assert_uint_eq(resolved_length(&base, repeat("//", "[", many, "")), 0);
    ck_assert_uint_eq(resolved_length(&base, repeat("//a:", "1", many, "")), 0);
}
END_TEST

/* -- url_split --------------------------------------------------------------------------------- */

static void assert_part(struct bytes part, const char *want, const char *url)
{
    ck_assert_msg(bytes_equal(part, bytes_cstr(want)), "%s: '%.*s', not '%s'", url, (int)part.len,
                  part.ptr, want);
}

START_TEST(a_url_is_split_into_its_parts)
{
    static const struct {
        const char *text, *whole, *scheme, *authority, *path, *query;
    } rows[] = {
        {"http://a/", "http://a/", "http", "a", "/", ""},
        {"https://u:p@a:81/b/c?d/?e", "https://u:p@a:81/b/c?d/?e", "https", "u:p@a:81", "/b/c",
         "?d/?e"},
        {"http://[::1]/?", "http://[::1]/?", "http", "[::1]", "/", "?"},
        {"http://a/b#c?d/e", "http://a/b", "http", "a", "/b", ""},
        {"http://a//b?c#d", "http://a//b?c", "http", "a", "//b", "?c"},
    };
    static const char *const others[] = {
        "",           "http",          "http:",      "http:/",     "http://",      "http:///",
        "http:///b",  "http://a",      "http://a?/", "http://a#/", "http://?/",    "http://:80/",
        "http://u@/", "http://u@:80/", "HTTP://a/",  "ftp://a/",   "httpss://a/",  "//a/",
        "/b",         " http://a/",    "mailto:a",   "http:a/",    "https:\\\\a/", "#http://a/"};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url url = split(rows[i].text);

        ck_assert_ptr_eq(url.text.ptr, rows[i].text);
        assert_part(url.text, rows[i].whole, rows[i].text);
        assert_part(url.scheme, rows[i].scheme, rows[i].text);
        assert_part(url.authority, rows[i].authority, rows[i].text);
        assert_part(url.path, rows[i].path, rows[i].text);
        assert_part(url.query, rows[i].query, rows[i].text);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        struct url url = {.path = BYTES("as it was")};

        ck_assert_msg(!url_split(bytes_cstr(others[i]), &url), "%s", others[i]);
        assert_part(url.path, "as it was", others[i]);
    }
    struct url url;
    ck_assert(!url_split(bytes_of(NULL, 0), &url));
}
END_TEST

/* -- random references ------------------------------------------------------------------------- */

/* Each is taken as often as it stands here. */
static const char *const pieces[] = {"http",
                                     "https",
                                     "HTTP:",
                                     "http://",
                                     "https:/",
                                     "ftp:",
                                     "x:",
                                     ":",
                                     "//",
                                     "/",
                                     "/",
                                     "/",
                                     "\\",
                                     "\\\\",
                                     "a",
                                     "b.c",
                                     "Ex%41mple",
                                     "user",
                                     "@",
                                     "@",
                                     ":80",
                                     ":443",
                                     ":8080",
                                     ":0081",
                                     ":65536",
                                     ":0",
                                     "?",
                                     "?",
                                     "#",
                                     ".",
                                     "..",
                                     "../",
                                     "/./",
                                     "%2e",
                                     "%2E.",
                                     "q=1&",
                                     "'",
                                     "\"<>",
                                     "`{}",
                                     "^|",
                                     "[",
                                     "]",
                                     "[::1]",
                                     "[1:0::2:0:0:3]",
                                     "[::ffff:1.2.3.4]",
                                     "1.2.3.4",
                                     "0x7f.1",
                                     "0x",
                                     "0177",
                                     "256",
                                     "09",
                                     "1",
                                     "4294967295",
                                     "%31",
                                     "%",
                                     "%4",
                                     "%00",
                                     "%20",
                                     "%5B",
                                     "%C3%BC",
                                     U_UMLAUT,
                                     EURO,
                                     FACE,
                                     " ",
                                     "\t",
                                     "\n",
                                     "\r",
                                     "\x1f",
                                     "\x7f",
                                     "-_~!$",
                                     "()*+,;=",
                                     "xn--",
                                     "e.f."};

static void make_reference(struct soup *random, struct buffer *out)
{
    static const char *const starts[] = {"http://", "https:", "//", "http:", "/", "", "", ""};

    out->len = 0;
    buffer_text(out, starts[soup_below(random, COUNT(starts))]);
    for (uint32_t n = soup_below(random, 10); n > 0; n--) {
        buffer_text(out, pieces[soup_below(random, COUNT(pieces))]);
        if (soup_below(random, 32) == 0)
            buffer_byte(out, (char)soup_below(random, 0x80));
    }
    ck_assert(!out->failed);
}

/* The host of a URL, without brackets, and whether the port is one to connect to. */
static struct bytes host_of(const struct url *url, bool *ret_has_port)
{
    struct bytes host = url->authority;
    const char *at = memrchr(host.ptr, '@', host.len);

    if (at)
        host = bytes_of(at + 1, host.len - (size_t)(at + 1 - host.ptr));
    const char *colon = memrchr(host.ptr, ':', host.len);
    *ret_has_port = true;
    if (colon && host.ptr[host.len - 1] != ']') {
        *ret_has_port = host.len - (size_t)(colon - host.ptr) != 2 || colon[1] != '0';
        host.len = (size_t)(colon - host.ptr);
    }
    return host;
}

/* Whether it is an address, or a name as RFC 1035 section 2.3.4 and RFC 1123 have them, or nearly
 * so. */
static bool dns_can_have(struct bytes host)
{
    struct bytes rest = host;

    if (host.ptr[0] == '[')
        return true;
    if (rest.ptr[rest.len - 1] == '.')
        rest.len--;
    if (rest.len == 0 || rest.len > 253)
        return false;
    while (rest.ptr) {
        struct bytes label = bytes_split(&rest, '.');

        if (label.len == 0 || label.len > 63)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789-_", label.ptr[i], 38))
                return false;
    }
    return true;
}

/* The fetcher takes it, and goes to the same host. */
static void assert_target(struct bytes text, struct bytes host)
{
    struct target target = {0};
    const char *message = "";
    int r = target_parse(text, &target, &message);

    ck_assert_msg(r == 0, "%.*s: %s", (int)text.len, text.ptr, message);
    if (host.ptr[0] != '[') /* IPv6 addresses with IPv4 ones in them are written otherwise */
        ck_assert_msg(bytes_equal(target.host, host), "%.*s goes to %.*s", (int)text.len, text.ptr,
                      (int)target.host.len, target.host.ptr);
    target_free(&target);
}

static void assert_is_url(struct bytes text, const struct url *url)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool in_authority = text.ptr + i < url->path.ptr;

        ck_assert_msg(c > 0x20 && c != 0x7f && c != '#' && (c < 0x7f || in_authority), "%.*s",
                      (int)text.len, text.ptr);
    }
}

/* Checks what was resolved; true when the fetcher's parser was asked, too. */
static bool check_result(struct bytes got)
{
    char copy[URL_MAX];
    struct url url;
    bool has_port;

    memcpy(copy, got.ptr, got.len);
    struct bytes text = bytes_of(copy, got.len);
    ck_assert_msg(url_split(text, &url), "%.*s", (int)text.len, text.ptr);
    assert_is_url(text, &url);
    ck_assert_msg(bytes_equal(resolve(NULL, text), text), "%.*s", (int)text.len, text.ptr);
    ck_assert_msg(bytes_equal(resolve(&url, text), text), "%.*s", (int)text.len, text.ptr);
    ck_assert_msg(bytes_equal(resolve(&url, BYTES("")), text), "%.*s", (int)text.len, text.ptr);

    struct bytes host = host_of(&url, &has_port);
    if (!has_port || !dns_can_have(host))
        return false;
    assert_target(text, host);
    return true;
}

START_TEST(a_result_resolves_to_itself_and_is_what_the_fetcher_takes)
{
    static const char *const bases[] = {"http://a/", "https://u:p@a.example:8443/b/c/d?q",
                                        "http://[::1]/b//", "http://192.0.2.1/b/c?"};
    struct soup random = {.state = 1};
    struct buffer reference = {0};
    unsigned results = 0, fetchable = 0;

    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    for (int i = 0; i < 4000; i++) {
        struct url base = split(bases[soup_below(&random, COUNT(bases))]);

        make_reference(&random, &reference);
        struct bytes got = resolve(&base, buffer_bytes(&reference));
        if (got.len == 0)
            continue;
        results++;
        fetchable += check_result(got);
    }
    ck_assert_uint_gt(results, 1000);
    ck_assert_uint_gt(fetchable, 1000);
    buffer_free(&reference);
    curl_global_cleanup();
}
END_TEST

Suite *suite_url(void)
{
    Suite *suite = suite_create("url");
    TCase *resolving = tcase_create("resolving"), *limits = tcase_create("limits"),
          *random = tcase_create("random");

    tcase_add_test(resolving, an_absolute_reference_is_normalised);
    tcase_add_test(resolving, what_is_no_http_url_is_refused);
    tcase_add_test(resolving, without_a_base_only_an_absolute_reference_is_resolved);
    tcase_add_test(resolving, credentials_are_kept_and_encoded);
    tcase_add_test(resolving, a_relative_reference_is_resolved_against_its_base);
    tcase_add_test(resolving, what_a_reference_lacks_comes_from_its_base);
    tcase_add_test(resolving, every_byte_is_encoded_where_the_standard_encodes_it);
    tcase_add_test(resolving, every_byte_is_taken_or_refused_in_a_host_as_the_standard_has_it);
    tcase_add_test(resolving, a_url_is_split_into_its_parts);
    suite_add_tcase(suite, resolving);

    tcase_set_timeout(limits, 30);
    tcase_add_test(limits, a_url_may_have_8192_bytes_and_no_more);
    tcase_add_test(limits, every_part_may_meet_the_limit);
    tcase_add_test(limits, what_is_long_but_not_in_the_result_does_not_count);
    suite_add_tcase(suite, limits);

    tcase_set_timeout(random, 30);
    tcase_add_test(random, a_result_resolves_to_itself_and_is_what_the_fetcher_takes);
    suite_add_tcase(suite, random);
    return suite;
}
