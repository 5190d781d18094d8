#include "core/fetch/robots.h"
#include "core/fetch/robots_coding.h"
#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

/* One question to a file. */
struct row {
    const char *text, *product, *path;
    bool allowed;
};

static struct robots *parse(struct bytes text)
{
    struct robots *robots = robots_parse(text);

    ck_assert_ptr_nonnull(robots);
    return robots;
}

static bool allows(struct bytes text, const char *product, const char *path)
{
    struct robots *robots = parse(text);
    bool allowed = robots_allows(robots, bytes_cstr(product), bytes_cstr(path));

    robots_free(robots);
    return allowed;
}

static uint64_t delay_of(const char *text, const char *product)
{
    struct robots *robots = parse(bytes_cstr(text));
    uint64_t ms = robots_crawl_delay_ms(robots, bytes_cstr(product));

    robots_free(robots);
    return ms;
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(allows(bytes_cstr(rows[i].text), rows[i].product, rows[i].path) ==
                          rows[i].allowed,
                      "%s should%s be allowed to fetch %s by\n%s", rows[i].product,
                      rows[i].allowed ? "" : " not", rows[i].path, rows[i].text);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

/* -- the examples of RFC 9309 ------------------------------------------------------------------ */

#define MERGE                                                                                      \
    "user-agent: ExampleBot\n"                                                                     \
    "disallow: /foo\n"                                                                             \
    "disallow: /bar\n"                                                                             \
    "\n"                                                                                           \
    "user-agent: ExampleBot\n"                                                                     \
    "disallow: /baz\n"

#define OTHERS                                                                                     \
    "user-agent: *\n"                                                                              \
    "disallow: /foo\n"                                                                             \
    "disallow: /bar\n"                                                                             \
    "\n"                                                                                           \
    "user-agent: BazBot\n"                                                                         \
    "disallow: /baz\n"

static const struct row groups[] = {
    {MERGE, "ExampleBot", "/foo", false},  {MERGE, "ExampleBot", "/bar", false},
    {MERGE, "ExampleBot", "/baz", false},  {MERGE, "ExampleBot", "/qux", true},
    {MERGE, "BazBot", "/foo", true},       {OTHERS, "ExampleBot", "/foo", false},
    {OTHERS, "ExampleBot", "/bar", false}, {OTHERS, "ExampleBot", "/baz", true},
    {OTHERS, "BazBot", "/foo", true},      {OTHERS, "BazBot", "/baz", false},
};

START_TEST(section_2_2_1_groups_of_a_crawler_are_one_and_others_have_the_star)
{
    CHECK_ROWS(groups);
}
END_TEST

/* The table of section 2.2.2: three spellings of each path, all of which mean the same. */
static const char *const encodings[][3] = {
    {"/foo/bar?baz=quz", "/foo/bar?baz=quz", "/foo/bar?baz=quz"},
    {"/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
     "/foo/bar?baz=https%3A%2F%2Ffoo.bar"},
    {"/foo/bar/\xe3\x83\x84", "/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"},
    {"/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"},
    {"/foo/bar/%62%61%7A", "/foo/bar/%62%61%7A", "/foo/bar/baz"},
};

START_TEST(section_2_2_2_each_spelling_of_a_path_matches_each_other)
{
    for (size_t i = 0; i < 9 * (sizeof encodings / sizeof *encodings); i++) {
        const char *rule = encodings[i / 9][i / 3 % 3], *path = encodings[i / 9][i % 3];
        struct buffer text = {0};

        buffer_printf(&text, "user-agent: *\ndisallow: %s$", rule);
        ck_assert(!text.failed);
        ck_assert_msg(!allows(buffer_bytes(&text), "foobot", path), "%s does not match %s", rule,
                      path);
        buffer_free(&text);
    }
}
END_TEST

#define SPECIAL                                                                                    \
    "user-agent: *\n"                                                                              \
    "disallow: /\n"                                                                                \
    "allow: /public # comment in line\n"                                                           \
    "# comment on its own line\n"                                                                  \
    "allow: /this/path/exactly$\n"                                                                 \
    "allow: /that/*/exactly\n"                                                                     \
    "allow: /path/file-with-a-%2A.html\n"                                                          \
    "allow: /path/foo-%24\n"

static const struct row special[] = {
    {SPECIAL, "foobot", "/public", true},
    {SPECIAL, "foobot", "/public/comment", true},
    {SPECIAL, "foobot", "/this/path/exactly", true},
    {SPECIAL, "foobot", "/this/path/exactly/not", false},
    {SPECIAL, "foobot", "/that/path/exactly", true},
    {SPECIAL, "foobot", "/that/long/path/exactly/and/more", true},
    {SPECIAL, "foobot", "/that//exactly", true},
    {SPECIAL, "foobot", "/that/exactly", false},
    {SPECIAL, "foobot", "/path/file-with-a-*.html", true},
    {SPECIAL, "foobot", "/path/file-with-a-%2a.html", true},
    {SPECIAL, "foobot", "/path/file-with-a-b.html", false},
    {SPECIAL, "foobot", "/path/foo-$", true},
    {SPECIAL, "foobot", "/path/foo-%24", true},
    {SPECIAL, "foobot", "/path/foo-$bar", true},
    {SPECIAL, "foobot", "/path/foo-", false},
};

START_TEST(section_2_2_3_comments_ends_wildcards_and_their_verbatim_spelling)
{
    CHECK_ROWS(special);
}
END_TEST

#define SITEMAPS                                                                                   \
    "user-agent: a\n"                                                                              \
    "sitemap: https://example.com/sitemap.xml\n"                                                   \
    "host: example.com\n"                                                                          \
    "user-agent: b\n"                                                                              \
    "disallow: /x\n"                                                                               \
    "sitemap: https://example.com/sitemap2.xml\n"                                                  \
    "disallow: /y\n"                                                                               \
    "clean-param: a\n"                                                                             \
    "user-agent: c\n"                                                                              \
    "disallow: /z\n"

static const struct row other_records[] = {
    {SITEMAPS, "a", "/x", false}, {SITEMAPS, "a", "/y", false}, {SITEMAPS, "a", "/z", true},
    {SITEMAPS, "b", "/x", false}, {SITEMAPS, "b", "/y", false}, {SITEMAPS, "b", "/z", true},
    {SITEMAPS, "c", "/x", true},  {SITEMAPS, "c", "/y", true},  {SITEMAPS, "c", "/z", false},
};

START_TEST(section_2_2_4_other_records_end_no_group)
{
    CHECK_ROWS(other_records);
}
END_TEST

#define SIMPLE                                                                                     \
    "User-Agent: *\n"                                                                              \
    "Disallow: *.gif$\n"                                                                           \
    "Disallow: /example/\n"                                                                        \
    "Allow: /publications/\n"                                                                      \
    "\n"                                                                                           \
    "User-Agent: foobot\n"                                                                         \
    "Disallow:/\n"                                                                                 \
    "Allow:/example/page.html\n"                                                                   \
    "Allow:/example/allowed.gif\n"                                                                 \
    "\n"                                                                                           \
    "User-Agent: barbot\n"                                                                         \
    "User-Agent: bazbot\n"                                                                         \
    "Disallow: /example/page.html\n"                                                               \
    "\n"                                                                                           \
    "User-Agent: quxbot\n"                                                                         \
    "\n"

static const struct row simple[] = {
    {SIMPLE, "skimd", "/", true},
    {SIMPLE, "skimd", "/a.gif", false},
    {SIMPLE, "skimd", "/a.gif?b", true},
    {SIMPLE, "skimd", "/example/", false},
    {SIMPLE, "skimd", "/example", true},
    {SIMPLE, "skimd", "/publications/", true},
    {SIMPLE, "skimd", "/publications/a.gif", true},
    {SIMPLE, "foobot", "/", false},
    {SIMPLE, "foobot", "/publications/", false},
    {SIMPLE, "foobot", "/example/page.html", true},
    {SIMPLE, "foobot", "/example/allowed.gif", true},
    {SIMPLE, "foobot", "/example/other.gif", false},
    {SIMPLE, "barbot", "/example/page.html", false},
    {SIMPLE, "barbot", "/example/", true},
    {SIMPLE, "barbot", "/a.gif", true},
    {SIMPLE, "bazbot", "/example/page.html", false},
    {SIMPLE, "bazbot", "/", true},
    {SIMPLE, "quxbot", "/example/page.html", true},
    {SIMPLE, "quxbot", "/a.gif", true},
};

START_TEST(section_5_1_the_simple_example)
{
    CHECK_ROWS(simple);
}
END_TEST

#define LONGEST                                                                                    \
    "User-Agent: foobot\n"                                                                         \
    "Allow: /example/page/\n"                                                                      \
    "Disallow: /example/page/disallowed.gif\n"

/* The RFC's text has the path of the second row, which its own rule does not match. */
static const struct row longest[] = {
    {LONGEST, "foobot", "/example/page/disallowed.gif", false},
    {LONGEST, "foobot", "/example/page/disallow.gif", true},
    {LONGEST, "foobot", "/example/page/", true},
    {LONGEST, "foobot", "/example/", true},
};

START_TEST(section_5_2_the_longest_match_decides)
{
    CHECK_ROWS(longest);
}
END_TEST

/* -- lines ------------------------------------------------------------------------------------- */

static const struct row lines[] = {
    {"", "a", "/", true},
    {"\n\n\r\n", "a", "/", true},
    {"<!doctype html><title>Not found: 404</title>", "a", "/", true},
    {"user-agent: a\ndisallow: /", "a", "/", false},
    {"user-agent: a\rdisallow: /\r", "a", "/", false},
    {"user-agent: a\r\ndisallow: /\r\n", "a", "/", false},
    {"user-agent: a\n\rdisallow: /\n\r", "a", "/", false},
    {"user-agent: a\r\r\n\ndisallow: /x\rallow: /x/y", "a", "/x/y", true},
    {"\xef\xbb\xbfuser-agent: a\ndisallow: /", "a", "/", false},
    {"\xef\xbb\xbf", "a", "/", true},
    {"user-agent: a\n\xef\xbb\xbf"
     "disallow: /",
     "a", "/", true},
    {"USER-AGENT: a\nDISALLOW: /\nALLOW: /x", "a", "/", false},
    {"USER-AGENT: a\nDISALLOW: /\nALLOW: /x", "a", "/x", true},
    {" \tUser-Agent\t : \ta \t\n\t disallow \t:\t /x \t", "a", "/x", false},
    {"user-agent:a\ndisallow:/x", "a", "/x", false},
    {"user-agent: a # the a\ndisallow: /x # and below", "a", "/x/y", false},
    {"user-agent: a\ndisallow: /x#/y", "a", "/x", false},
    {"user-agent: a\n#disallow: /x", "a", "/x", true},
    {"user-agent: a\ndisallow # : /x", "a", "/x", true},
    {"user-agent: a\ndisallow: # /x", "a", "/x", true},
    {"user-agent: a\ndisallow /x\ndisallow\n: /x\ndisallowed: /x\nnodisallow: /x", "a", "/x", true},
    {"user-agent: a\ndisallow: /x:y", "a", "/x:y", false},
    {"user-agent: a\ndisallow:: /x", "a", "/x", true},
    {"user-agent: a\ndisallow:", "a", "/x", true},
    {"user-agent: a\ndisallow: /\ndisallow:", "a", "/x", false},
    {"user-agent: a\nallow:\ndisallow: /", "a", "/x", false},
};

START_TEST(lines_are_read_however_they_end_and_what_is_none_is_passed_over)
{
    CHECK_ROWS(lines);
}
END_TEST

START_TEST(a_nul_is_an_octet_like_others)
{
    ck_assert(!allows(BYTES("user-agent: a\ndisallow: /\0x"), "a", "/%00x"));
    ck_assert(allows(BYTES("user-agent: a\ndisallow: /\0x"), "a", "/"));
    ck_assert(!allows(BYTES("\0\nuser-agent: a\0b\ndisallow: /x"), "a", "/x"));
}
END_TEST

/* -- groups ------------------------------------------------------------------------------------ */

static const struct row names[] = {
    {"disallow: /\nuser-agent: a\ndisallow: /x", "a", "/", true},
    {"disallow: /\n", "a", "/", true},
    {"user-agent: SkimD\ndisallow: /x", "skimd", "/x", false},
    {"user-agent: skimd\ndisallow: /x", "SKIMD", "/x", false},
    {"user-agent: skimd/0.3\ndisallow: /x", "skimd", "/x", false},
    {"user-agent: skimd 2\ndisallow: /x", "skimd", "/x", false},
    {"user-agent: skimd*\ndisallow: /x", "skimd", "/x", false},
    {"user-agent: skim\ndisallow: /x", "skimd", "/x", true},
    {"user-agent: skimd-news\ndisallow: /x", "skimd", "/x", true},
    {"user-agent: skimd_x\ndisallow: /x", "skimd", "/x", true},
    {"user-agent: skimd\ndisallow: /x", "skimd-news", "/x", true},
    {"user-agent: skimd\n\nuser-agent: *\ndisallow: /x", "skimd", "/x", false},
    {"user-agent: skimd\nallow: /\nuser-agent: *\ndisallow: /x", "skimd", "/x", true},
    {"user-agent: *\ndisallow: /x\nuser-agent: skimd\n", "skimd", "/x", true},
    {"user-agent: *\ndisallow: /x\nuser-agent: skimd\ndisallow:", "skimd", "/x", true},
    {"user-agent: *\ndisallow: /x\nuser-agent: b\nuser-agent: *\ndisallow: /y", "a", "/x", false},
    {"user-agent: *\ndisallow: /x\nuser-agent: b\nuser-agent: *\ndisallow: /y", "a", "/y", false},
    {"user-agent: *\ndisallow: /x\nuser-agent: b\nuser-agent: *\ndisallow: /y", "b", "/x", true},
    {"user-agent: * # all\ndisallow: /x", "a", "/x", false},
    {"user-agent: * all\ndisallow: /x", "a", "/x", false},
    {"user-agent: *a\ndisallow: /x", "a", "/x", true},
    {"user-agent:\ndisallow: /x", "a", "/x", true},
    {"user-agent:\ndisallow: /x", "", "/x", true},
    {"user-agent: *\ndisallow: /x", "", "/x", false},
    /* 007 is no token, but a name all the same. */
    {"user-agent: a\nallow: /\nuser-agent: 007\ndisallow: /x", "a", "/x", true},
    {"user-agent: a\nuser-agent: 007\ndisallow: /x", "a", "/x", false},
    {"user-agent: a\ndisallow: x\nuser-agent: b\ndisallow: /y", "a", "/y", true},
    {"user-agent: a\ncrawl-delay: 1\nuser-agent: b\ndisallow: /x", "a", "/x", false},
};

START_TEST(a_group_is_for_the_names_above_its_rules)
{
    CHECK_ROWS(names);
}
END_TEST

static const struct {
    const char *user_agent, *product;
} products[] = {
    {"skimd/0.3 (+https://skimd.example)", "skimd"},
    {"skimd", "skimd"},
    {" skimd_x-Y z", "skimd_x-Y"},
    {"", ""},
    {"007", ""},
    {"(skimd)", ""},
    {"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Mozilla"},
    /* The example of section 2.2.1. */
    {"Mozilla/5.0 (compatible; ExampleBot/0.1; https://www.example.com/bot.html)", "ExampleBot"},
    {"Mozilla/5.0 (compatible;ExampleBot", "ExampleBot"},
    {"Mozilla/5.0 (compatible;", "Mozilla"},
    {"Mozilla/5.0 (compatible; +https://www.example.com/)", "Mozilla"},
    {"skimd/0.3 (compatible; ExampleBot/0.1)", "skimd"},
};

START_TEST(a_product_token_is_what_names_the_crawler)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        struct bytes product = robots_product(bytes_cstr(products[i].user_agent));

        ck_assert_msg(bytes_equal(product, bytes_cstr(products[i].product)), "'%.*s' of %s",
                      (int)product.len, product.ptr, products[i].user_agent);
    }
    ck_assert_uint_eq(robots_product(bytes_of(NULL, 0)).len, 0);
}
END_TEST

/* -- rules ------------------------------------------------------------------------------------- */

#define RULES(rules) "user-agent: a\n" rules

static const struct row rules[] = {
    {RULES("disallow: /"), "a", "/robots.txt", true},
    {RULES("disallow: /robots.txt"), "a", "/robots.txt", true},
    {RULES("disallow: /"), "a", "/%72obots.txt", true},
    {RULES("disallow: /"), "a", "/robots.txt?x", false},
    {RULES("disallow: /"), "a", "/robots.txt/", false},
    {RULES("disallow: /"), "a", "/x/robots.txt", false},
    {RULES("disallow: /"), "a", "/Robots.txt", false},

    {RULES("disallow: /X"), "a", "/x", true},
    {RULES("disallow: /x"), "a", "/xy?z", false},
    {RULES("disallow: /x"), "a", "/y/x", true},
    {RULES("disallow: x"), "a", "/x", true},
    {RULES("disallow: x"), "a", "x", true},
    {RULES("disallow: $"), "a", "/", true},
    {RULES("disallow: https://a.example/x"), "a", "/x", true},

    {RULES("disallow: /x\nallow: /x"), "a", "/x", true},
    {RULES("allow: /x\ndisallow: /x"), "a", "/x", true},
    {RULES("allow: /%78%79\ndisallow: /xy"), "a", "/xy", true},
    {RULES("allow: /x\ndisallow: /*"), "a", "/x", true},
    {RULES("allow: /x\ndisallow: /**"), "a", "/x", false},
    {RULES("allow: /x\ndisallow: /x$"), "a", "/x", false},
    {RULES("allow: /$\ndisallow: /"), "a", "/", true},
    {RULES("allow: /$\ndisallow: /"), "a", "/x", false},
    {RULES("allow: /p\ndisallow: /"), "a", "/page", true},
    {RULES("allow: /page\ndisallow: /*.htm"), "a", "/page.htm", false},
    {RULES("allow: /x/page.\ndisallow: /*.html"), "a", "/x/page.html", true},
    {RULES("disallow: /x/y/z\nuser-agent: b\ndisallow:\nuser-agent: a\nallow: /x/y"), "a", "/x/y/z",
     false},
};

START_TEST(the_longest_rule_decides_and_allow_wins_a_draw)
{
    CHECK_ROWS(rules);
}
END_TEST

static const struct row wildcards[] = {
    {RULES("disallow: *"), "a", "/", false},
    {RULES("disallow: *$"), "a", "/x", false},
    {RULES("disallow: *x"), "a", "/yxz", false},
    {RULES("disallow: *x"), "a", "/y", true},
    {RULES("disallow: /fish*"), "a", "/fish", false},
    {RULES("disallow: /fish*"), "a", "/fis", true},
    {RULES("disallow: /fish*$"), "a", "/fishes", false},
    {RULES("disallow: /*.php"), "a", "/a.php?b", false},
    {RULES("disallow: /*.php"), "a", "/index?f=b.php/", false},
    {RULES("disallow: /*.php$"), "a", "/a.php", false},
    {RULES("disallow: /*.php$"), "a", "/a.php5", true},
    {RULES("disallow: /*.php$"), "a", "/a.php.php", false},
    {RULES("disallow: /*.php$"), "a", "/php", true},
    {RULES("disallow: /a*b*c$"), "a", "/abbcbc", false},
    {RULES("disallow: /a*b*c$"), "a", "/acb", true},
    {RULES("disallow: /a*b*c"), "a", "/a-b-b", true},
    {RULES("disallow: /ab*ba$"), "a", "/aba", true},
    {RULES("disallow: /ab*ba$"), "a", "/abba", false},
    {RULES("disallow: /*ab*ab$"), "a", "/ab", true},
    {RULES("disallow: /a**b"), "a", "/ab", false},
    {RULES("disallow: /*/print"), "a", "/?next=/b/print", false},
    {RULES("disallow: /*?*=https:"), "a", "/x?u=https%3a//b", false},
    {RULES("disallow: /*url=https%3A%2F%2F"), "a", "/x?url=https%3A%2F%2Fb", false},
    {RULES("disallow: /a$b"), "a", "/a$b", false},
    {RULES("disallow: /a$b"), "a", "/a", true},
    {RULES("disallow: /a$*"), "a", "/a$b", false},
    {RULES("disallow: /a$$"), "a", "/a$", false},
    {RULES("disallow: /a$$"), "a", "/a", true},
    {RULES("disallow: /a%2A"), "a", "/ab", true},
    {RULES("disallow: /a%24"), "a", "/a", true},
    {RULES("disallow: /a%0A"), "a", "/ab", true},
};

START_TEST(a_star_is_any_run_of_octets_and_a_dollar_at_the_end_is_the_end)
{
    CHECK_ROWS(wildcards);
}
END_TEST

static const struct row octets[] = {
    {RULES("disallow: /a/b"), "a", "/a%2Fb", true},
    {RULES("disallow: /a%2Fb"), "a", "/a/b", true},
    {RULES("disallow: /a%2fb"), "a", "/a%2Fb", false},
    {RULES("disallow: /a%2Fb"), "a", "/a%2fb", false},
    {RULES("disallow: /a?b"), "a", "/a%3Fb", true},
    {RULES("disallow: /a%3Fb"), "a", "/a?b", true},
    {RULES("disallow: /?a=b&c"), "a", "/?a=b%26c", true},
    {RULES("disallow: /?a=b+c"), "a", "/?a=b%2Bc", true},
    {RULES("disallow: /?a/b"), "a", "/?a%2Fb", false},
    {RULES("disallow: /a/b?c"), "a", "/a%2Fb?c", true},
    {RULES("disallow: /%7ea"), "a", "/~a", false},
    {RULES("disallow: /~a"), "a", "/%7Ea", false},
    {RULES("disallow: /a%2Db%5F%2E"), "a", "/a-b_.", false},
    {RULES("disallow: /a(b),c;d:e@f"), "a", "/a%28b%29%2Cc%3bd%3Ae%40f", false},
    {RULES("disallow: /%61%25"), "a", "/a%25", false},
    {RULES("disallow: /a%2541"), "a", "/aA", true},
    {RULES("disallow: /a%2541"), "a", "/a%41", true},
    {RULES("disallow: /a b"), "a", "/a%20b", false},
    {RULES("disallow: /a|b"), "a", "/a%7cb", false},
    {RULES("disallow: /a%7Cb"), "a", "/a|b", false},
    {RULES("disallow: /\xc3\xa9"), "a", "/%c3%A9", false},
    {RULES("disallow: /%c3%a9"), "a", "/\xc3\xa9", false},
    {RULES("disallow: /\xc3"), "a", "/%C3%A9", false},
    {RULES("disallow: /\xe9"), "a", "/%E9", false},
    {RULES("disallow: /\xe9"), "a", "/\xc3\xa9", true},
    {RULES("disallow: /*%"), "a", "/a%20b", false},
    {RULES("disallow: /*%"), "a", "/a:(b),c?d=e", true},
    {RULES("disallow: /a%"), "a", "/a%", false},
    {RULES("disallow: /a%4"), "a", "/a%4", false},
    {RULES("disallow: /a%zz"), "a", "/a%zz", false},
    {RULES("disallow: /a%zz"), "a", "/a%ZZ", true},
    {RULES("disallow: /a%%41"), "a", "/a%A", false},
};

START_TEST(octets_are_compared_in_one_spelling_and_delimiters_as_they_are)
{
    CHECK_ROWS(octets);
}
END_TEST

/* -- delays ------------------------------------------------------------------------------------ */

static const struct {
    const char *value;
    uint64_t ms;
} delays[] = {
    {"0", 0},
    {"1", 1000},
    {" 10 ", 10000},
    {"2.5", 2500},
    {".25", 250},
    {"3.", 3000},
    {"0.0019", 1},
    {"007", 7000},
    {"86400", 86400000},
    {"86401", 86400000},
    {"99999999999999999999999999.9", 86400000},
    {"", 0},
    {".", 0},
    {"-1", 0},
    {"+1", 0},
    {"1s", 0},
    {"1,5", 0},
    {"1.2.3", 0},
    {"1 2", 0},
    {"1e3", 0},
    {"0x10", 0},
    {"inf", 0},
    {"nan", 0},
};

START_TEST(a_crawl_delay_is_in_seconds_with_decimals_and_a_day_at_most)
{
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        struct buffer text = {0};

        buffer_printf(&text, "User-agent: a\nCrawl-Delay: %s\n", delays[i].value);
        buffer_append(&text, "", 1);
        ck_assert(!text.failed);
        ck_assert_msg(delay_of(text.ptr, "a") == delays[i].ms, "'%s' is not %u ms", delays[i].value,
                      (unsigned)delays[i].ms);
        buffer_free(&text);
    }
}
END_TEST

static const struct {
    const char *text, *product;
    uint64_t ms;
} delay_groups[] = {
    {"", "a", 0},
    {"crawl-delay: 1", "a", 0},
    {"crawl-delay: 1\nuser-agent: a\ndisallow: /", "a", 0},
    {"user-agent: a\nuser-agent: b\ncrawl-delay: 1", "a", 1000},
    {"user-agent: a\nuser-agent: b\ncrawl-delay: 1", "B", 1000},
    {"user-agent: a\nuser-agent: b\ncrawl-delay: 1", "c", 0},
    {"user-agent: *\ncrawl-delay: 1", "a", 1000},
    {"user-agent: *\ncrawl-delay: 1\nuser-agent: a\ndisallow: /x", "a", 0},
    {"user-agent: *\ncrawl-delay: 1\nuser-agent: a\ndisallow: /x", "b", 1000},
    {"user-agent: a\ncrawl-delay: 1\nuser-agent: b\ncrawl-delay: 2", "a", 1000},
    {"user-agent: a\ncrawl-delay: 1\nuser-agent: b\ncrawl-delay: 2", "b", 2000},
    {"user-agent: a\ndisallow: /x\nsitemap: x\ncrawl-delay: 1\nallow: /", "a", 1000},
    {"user-agent: a\nsitemap: x\nuser-agent: b\ncrawl-delay: 1", "a", 1000},
    {"user-agent: a\ndisallow: /x\nuser-agent: b\ncrawl-delay: 1", "a", 0},
    {"user-agent: a\ncrawl-delay: 1\ncrawl-delay: 3\ncrawl-delay: 2", "a", 3000},
    {"user-agent: a\ncrawl-delay: 1\ncrawl-delay: x", "a", 1000},
    {"user-agent: a\ncrawl-delay: 2\ndisallow: /\nuser-agent: a\ncrawl-delay: 1", "a", 2000},
};

START_TEST(a_crawl_delay_is_for_the_names_right_above_it)
{
    for (size_t i = 0; i < sizeof delay_groups / sizeof *delay_groups; i++)
        ck_assert_msg(delay_of(delay_groups[i].text, delay_groups[i].product) == delay_groups[i].ms,
                      "not %u ms for %s:\n%s", (unsigned)delay_groups[i].ms,
                      delay_groups[i].product, delay_groups[i].text);
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------ */

/* `line` after `start`, as often as it fits into `size`. */
static struct buffer repeated(const char *start, const char *line, size_t size)
{
    struct buffer text = {0};

    buffer_text(&text, start);
    while (text.len + strlen(line) <= size)
        buffer_text(&text, line);
    ck_assert(!text.failed);
    return text;
}

START_TEST(what_stands_behind_500_kib_is_not_read_nor_is_the_line_that_is_cut)
{
    struct buffer text = repeated("user-agent: a\n", "#\n", ROBOTS_BYTES_MAX - 12);

    while (text.len < ROBOTS_BYTES_MAX - 12)
        buffer_byte(&text, '\n');
    buffer_text(&text, "disallow: /x");
    ck_assert_uint_eq(text.len, ROBOTS_BYTES_MAX);
    ck_assert(!allows(buffer_bytes(&text), "a", "/x"));
    buffer_text(&text, "\ndisallow: /y");
    ck_assert(!allows(buffer_bytes(&text), "a", "/x"));
    ck_assert(allows(buffer_bytes(&text), "a", "/y"));
    text.ptr[ROBOTS_BYTES_MAX] = 'z';
    ck_assert(allows(buffer_bytes(&text), "a", "/xz"));
    buffer_free(&text);

    text = repeated("", "x", ROBOTS_BYTES_MAX + 100);
    ck_assert(allows(buffer_bytes(&text), "a", "/x"));
    buffer_free(&text);
}
END_TEST

/* The files that take the most memory and time that were found. */
static const char *const heavy[] = {
    "allow:*\n",
    "user-agent:a\n",
    "user-agent:a\nallow:*\n",
    "user-agent:a\ncrawl-delay:1\n",
    "allow:*aab\n",
    "allow:/\xe3\x83\x84\xe3\x83\x84\xe3\x83\x84\xe3\x83\x84\xe3\x83\x84\xe3\x83\x84\xe3\x83\x84\n",
    "allow:/***********************************************************a\n",
    "allow:/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab\n",
    "allow:/?*aaaaaaaaaaaaaaaaaaaaaaaaaaaab\n",
};

START_TEST(no_file_takes_much_memory_or_time)
{
    char path[ROBOTS_PATH_MAX];

    memset(path, 'a', sizeof path);
    memcpy(path, "/?", 2);
    for (size_t i = 0; i < sizeof heavy / sizeof *heavy; i++) {
        struct buffer text = repeated("user-agent:*\n", heavy[i], ROBOTS_BYTES_MAX);
        uint64_t start = clock_now_ns();
        struct robots *robots = parse(buffer_bytes(&text));

        ck_assert_uint_le(robots_size(robots), 4 * (size_t)ROBOTS_BYTES_MAX);
        robots_allows(robots, BYTES("skimd"), bytes_of(path, sizeof path));
        robots_crawl_delay_ms(robots, BYTES("skimd"));
        /* 50 ms as measured; sanitizers and busy machines take their part. */
        ck_assert_msg(clock_now_ns() - start < 2000000000, "%s", heavy[i]);
        robots_free(robots);
        buffer_free(&text);
    }
}
END_TEST

START_TEST(one_pattern_of_many_stars_is_matched_in_no_time)
{
    struct buffer text = repeated("user-agent: a\ndisallow: /", "*a", 16384);
    char path[ROBOTS_PATH_MAX];

    buffer_text(&text, "b$");
    memset(path, 'a', sizeof path);
    path[0] = '/';
    ck_assert(allows(buffer_bytes(&text), "a", "/a"));
    struct robots *robots = parse(buffer_bytes(&text));
    ck_assert(robots_allows(robots, BYTES("a"), bytes_of(path, sizeof path)));
    robots_free(robots);
    buffer_free(&text);
}
END_TEST

START_TEST(a_file_made_to_be_slow_allows_nothing)
{
    struct buffer text = repeated("user-agent: a\nallow: /\n", "allow:/*aab\n", ROBOTS_BYTES_MAX);
    struct robots *robots = parse(buffer_bytes(&text));
    char path[ROBOTS_PATH_MAX];

    memset(path, 'a', sizeof path);
    path[0] = '/';
    ck_assert(!robots_allows(robots, BYTES("a"), bytes_of(path, sizeof path)));
    ck_assert(robots_allows(robots, BYTES("a"), bytes_of(path, 20)));
    ck_assert(robots_allows(robots, BYTES("a"), BYTES("/robots.txt")));
    robots_free(robots);
    buffer_free(&text);
}
END_TEST

START_TEST(more_of_a_path_than_a_url_can_have_is_not_looked_at)
{
    char path[2 * ROBOTS_PATH_MAX];

    memset(path, 0x80, sizeof path); /* of which each octet becomes three */
    path[0] = '/';
    path[sizeof path - 1] = 'x';
    struct robots *robots = parse(BYTES("user-agent: a\ndisallow: /*x\ndisallow: /%80%80*y"));
    ck_assert(robots_allows(robots, BYTES("a"), bytes_of(path, sizeof path)));
    path[ROBOTS_PATH_MAX - 1] = 'y';
    ck_assert(!robots_allows(robots, BYTES("a"), bytes_of(path, sizeof path)));
    ck_assert(robots_allows(robots, BYTES("a"), bytes_of(NULL, 0)));
    robots_free(robots);
    ck_assert_ptr_null(robots_free(NULL));
}
END_TEST

/* -- content codings --------------------------------------------------------------------------- */

/* `text` in one stream of zlib's: MAX_WBITS + 16 is gzip, MAX_WBITS zlib, -MAX_WBITS none. */
static void deflate_to(struct buffer *out, int window_bits, struct bytes text)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)text.ptr, .avail_in = (uInt)text.len};
    unsigned char piece[4096];
    int rc;

    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    do {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        rc = deflate(&z, Z_FINISH);
        buffer_append(out, piece, sizeof piece - z.avail_out);
    } while (rc == Z_OK);
    ck_assert_int_eq(rc, Z_STREAM_END);
    deflateEnd(&z);
}

/* The text that `body` is, NUL-terminated, until the next call; NULL and errno when it is none. */
static const char *decoded(const char *coding, bool is_cut, struct bytes body)
{
    static struct buffer room, copy;
    struct bytes text = body;

    buffer_free(&room);
    buffer_free(&copy);
    errno = -robots_decode(bytes_cstr(coding), is_cut, &text, &room);
    if (errno)
        ck_assert_ptr_eq(text.ptr, body.ptr);
    buffer_append(&copy, text.ptr, text.len);
    buffer_byte(&copy, '\0');
    const char *result = errno ? NULL : copy.ptr;
    buffer_free(&room);
    return result;
}

#define CODED "User-agent: *\nDisallow: /private\n"

START_TEST(gzip_and_deflate_are_undone)
{
    struct buffer gzip = {0}, zlib = {0};

    deflate_to(&gzip, MAX_WBITS + 16, BYTES(CODED));
    deflate_to(&zlib, MAX_WBITS, BYTES(CODED));
    ck_assert_str_eq(decoded("gzip", false, buffer_bytes(&gzip)), CODED);
    ck_assert_str_eq(decoded(" GZip ", false, buffer_bytes(&gzip)), CODED);
    ck_assert_str_eq(decoded("x-gzip", false, buffer_bytes(&gzip)), CODED);
    ck_assert_str_eq(decoded("deflate", false, buffer_bytes(&zlib)), CODED);
    ck_assert_str_eq(decoded("", false, BYTES(CODED)), CODED);
    ck_assert_str_eq(decoded("identity", false, BYTES(CODED)), CODED);
    ck_assert_str_eq(decoded("gzip", false, BYTES("")), "");
    deflate_to(&gzip, MAX_WBITS + 16, BYTES(CODED)); /* a second member */
    ck_assert_str_eq(decoded("gzip", false, buffer_bytes(&gzip)), CODED CODED);
    buffer_text(&gzip, "and dirt");
    ck_assert_str_eq(decoded("gzip", false, buffer_bytes(&gzip)), CODED CODED);
    buffer_free(&gzip);
    buffer_free(&zlib);
}
END_TEST

START_TEST(what_is_in_no_coding_that_is_known_is_no_text)
{
    static const char *const codings[] = {"br", "zstd", "gzip, gzip", "compress", "gzi"};

    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        ck_assert_ptr_null(decoded(codings[i], false, BYTES(CODED)));
        ck_assert_int_eq(errno, ENOTSUP);
    }
    ck_assert_ptr_null(decoded("gzip", false, BYTES(CODED)));
    ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(half_a_file_is_read_only_where_the_rest_was_not_waited_for)
{
    struct buffer gzip = {0};

    deflate_to(&gzip, MAX_WBITS + 16, BYTES(CODED));
    gzip.len -= 8 + 4; /* a check sum and a length stand at the end */
    ck_assert_ptr_null(decoded("gzip", false, buffer_bytes(&gzip)));
    ck_assert_int_eq(errno, EBADMSG);
    const char *text = decoded("gzip", true, buffer_bytes(&gzip));
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, "User-agent: *\n");
    gzip.ptr[12] = (char)~gzip.ptr[12];
    gzip.ptr[10] = (char)0xFF; /* no kind of block */
    ck_assert_ptr_null(decoded("gzip", true, buffer_bytes(&gzip)));
    ck_assert_int_eq(errno, EBADMSG);
    buffer_free(&gzip);
}
END_TEST

START_TEST(a_bomb_is_inflated_no_further_than_it_is_read)
{
    enum { BOMB = 64 << 20 };
    struct buffer gzip = {0}, room = {0};
    char *zeros = calloc(1, BOMB);
    struct bytes text;

    ck_assert_ptr_nonnull(zeros);
    deflate_to(&gzip, MAX_WBITS + 16, bytes_of(zeros, BOMB));
    free(zeros);
    text = buffer_bytes(&gzip);
    ck_assert_int_eq(robots_decode(BYTES("gzip"), false, &text, &room), 0);
    ck_assert_uint_eq(text.len, ROBOTS_BYTES_MAX + 1);
    ck_assert_uint_le(room.capacity, 2 * ROBOTS_BYTES_MAX);
    buffer_free(&gzip);
    buffer_free(&room);
}
END_TEST

Suite *suite_robots(void)
{
    Suite *suite = suite_create("robots");
    TCase *rfc = tcase_create("examples of RFC 9309"), *text = tcase_create("lines and groups"),
          *match = tcase_create("rules"), *limits = tcase_create("limits"),
          *coding = tcase_create("content codings");

    tcase_add_test(rfc, section_2_2_1_groups_of_a_crawler_are_one_and_others_have_the_star);
    tcase_add_test(rfc, section_2_2_2_each_spelling_of_a_path_matches_each_other);
    tcase_add_test(rfc, section_2_2_3_comments_ends_wildcards_and_their_verbatim_spelling);
    tcase_add_test(rfc, section_2_2_4_other_records_end_no_group);
    tcase_add_test(rfc, section_5_1_the_simple_example);
    tcase_add_test(rfc, section_5_2_the_longest_match_decides);
    suite_add_tcase(suite, rfc);

    tcase_add_test(text, lines_are_read_however_they_end_and_what_is_none_is_passed_over);
    tcase_add_test(text, a_nul_is_an_octet_like_others);
    tcase_add_test(text, a_group_is_for_the_names_above_its_rules);
    tcase_add_test(text, a_product_token_is_what_names_the_crawler);
    tcase_add_test(text, a_crawl_delay_is_in_seconds_with_decimals_and_a_day_at_most);
    tcase_add_test(text, a_crawl_delay_is_for_the_names_right_above_it);
    suite_add_tcase(suite, text);

    tcase_add_test(match, the_longest_rule_decides_and_allow_wins_a_draw);
    tcase_add_test(match, a_star_is_any_run_of_octets_and_a_dollar_at_the_end_is_the_end);
    tcase_add_test(match, octets_are_compared_in_one_spelling_and_delimiters_as_they_are);
    suite_add_tcase(suite, match);

    tcase_add_test(limits, what_stands_behind_500_kib_is_not_read_nor_is_the_line_that_is_cut);
    tcase_add_test(limits, no_file_takes_much_memory_or_time);
    tcase_add_test(limits, one_pattern_of_many_stars_is_matched_in_no_time);
    tcase_add_test(limits, a_file_made_to_be_slow_allows_nothing);
    tcase_add_test(limits, more_of_a_path_than_a_url_can_have_is_not_looked_at);
    suite_add_tcase(suite, limits);

    tcase_add_test(coding, gzip_and_deflate_are_undone);
    tcase_add_test(coding, what_is_in_no_coding_that_is_known_is_no_text);
    tcase_add_test(coding, half_a_file_is_read_only_where_the_rest_was_not_waited_for);
    tcase_add_test(coding, a_bomb_is_inflated_no_further_than_it_is_read);
    suite_add_tcase(suite, coding);
    return suite;
}
