/* The text of a page, beside what innerText of its body gives in browsers. */
#include "parsers/text.h"

#include "core/base/buffer.h"
#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/html.h"
#include "tests/check.h"
#include "tests/support/soup.h"

enum { MOST = 64 << 10 };

static struct bump bump;
static struct buffer page;
static char got[MOST];

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, BUMP_LIMIT_DEFAULT), 0);
}

static void teardown(void)
{
    bump_fini(&bump);
    buffer_free(&page);
}

static struct bytes text_within(struct bytes html_text, size_t most, bool *ret_cut)
{
    struct html html;

    bump_begin(&bump, CLOCK_NEVER);
    if (setjmp(bump.escape) != BUMP_STOP_NONE)
        ck_abort_msg("over the limits");
    html_parse(&bump, html_text, &html);
    return bytes_of(got, text_of(&bump, &html, got, most, ret_cut));
}

static const struct {
    const char *html, *text;
} pages[] = {
    {"", ""},
    {"abc", "abc"},
    {" \n a \t\n\f b &#13; c ", "a b c"},
    {"a&nbsp; &nbsp;b&nbsp;", "a\xc2\xa0 \xc2\xa0"
                              "b\xc2\xa0"},
    {"a <b> b</b> <i>c </i> d", "a b c d"},
    {"a<b>b</b><!-- c -->d", "abd"},
    {"&lt;p&gt; &amp;amp; &eacute;", "<p> &amp; \xc3\xa9"},
    /* lines */
    {"<div>a</div><div>b</div>", "a\nb"},
    {"a<div>b</div>c", "a\nb\nc"},
    {"<div><div> <div>a</div></div>\n</div> b", "a\nb"},
    {"<div>a</div> \n <div>b</div>", "a\nb"},
    {"a<div></div>b", "a\nb"},
    {"<h1>a</h1><h2>b</h2>c", "a\nb\nc"},
    {"<p>a<p>b", "a\n\nb"},
    {"<p>a</p>b<div>c</div>", "a\n\nb\nc"},
    {"<div><p>a</p></div><div><p>b</p></div>", "a\n\nb"},
    {"<p>a</p><p></p><p> </p><p>b</p>", "a\n\nb"},
    {"a<hr>b", "a\nb"},
    {"<ul><li>a<li>b<ol><li>c</ol></ul>d", "a\nb\nc\nd"},
    {"<dl><dt>a<dd>b</dl>", "a\nb"},
    {"a<br>b<br/>c", "a\nb\nc"},
    {"a <br> b", "a\nb"},
    {"a<br><br>b", "a\n\nb"},
    {"a<br><br><br><br>b", "a\n\nb"},
    {"<br>a<br>", "a"},
    {"<p>a<br></p><p>b</p>", "a\n\nb"},
    {"<header>a</header><nav>b</nav><main>c<article>d</article></main><footer>e</footer>",
     "a\nb\nc\nd\ne"},
    {"<search>a</search>b<custom-one>c</custom-one>d", "a\nbcd"},
    {"<fieldset><legend>a</legend>b <label>c</label></fieldset>", "a\nb c"},
    {"<button>a</button> <a href=x>b</a>", "a b"},
    /* tables */
    {"<table><tr><td>a<td>b<tr><th>c<th>d</table>e", "a\tb\nc\td\ne"},
    {"<table>\n<caption>t</caption>\n<tr>\n<td> a </td>\n<td> b </td>\n</tr>\n</table>", "t\na\tb"},
    {"<table><thead><tr><td>a<tbody><tr><td>b<tfoot><tr><td>c</table>", "a\nb\nc"},
    {"<table><tr><td>a<td><td>b</table>", "a\t\tb"},
    {"x<table><tr><td><td>a<tr><td>b<td></table>y", "x\n\ta\nb\ny"},
    {"<table><tr><td><table><tr><td>a<td>b<tr></table><td>c</table>", "a\tb\n\tc"},
    {"<table><tr><td><div>a</div><td><div>b</div></table>", "a\nb"},
    /* white space that is kept */
    {"a<pre>\nb\n  c\t d\n\n\n\ne\n</pre>f", "a\nb\n  c\t d\n\n\n\ne\nf"},
    {"<pre>  a  </pre>", "a"},
    {"<pre>a</pre>\n  b   c", "a\nb c"},
    {"<pre>a<b> \n b</b></pre>", "a \n b"},
    {"<xmp>a\n<b>\n</xmp><listing>c\nd</listing>", "a\n<b>\nc\nd"},
    /* what is not shown */
    {"<title>a</title><style>b</style>c<script>d</script>e<style>f</style>g", "ceg"},
    {"a<template><p>b</p></template>c<noscript>d</noscript>e", "ace"},
    {"a<iframe>b</iframe>c<noembed>d</noembed>e<noframes>f</noframes>g", "aceg"},
    {"a<video>b</video><audio>c</audio><canvas>d</canvas><object>e</object>f", "af"},
    {"a<textarea>b</textarea><progress>c</progress><meter>d</meter>e", "ae"},
    {"a<svg><title>b</title><text>c</text><foreignObject><p>d</p></foreignObject></svg>e", "ae"},
    {"<math><semantics><mi>x</mi><annotation>y</annotation><annotation-xml>z</annotation-xml>"
     "</semantics></math>",
     "x"},
    {"a<div hidden>b<p>c</p></div>d<span HIDDEN=until-found>e</span>f", "adf"},
    {"<body hidden>a", ""},
    {"<ruby>a<rp>(</rp><rt>b</rt><rp>)</rp></ruby>", "ab"},
    {"a<dialog>b</dialog>c<dialog open>d</dialog>e", "ac\nd\ne"},
    {"<details><summary>a</summary>b</details>c", "a\nb\nc"},
    {"a<datalist><option>b</datalist>c", "ac"},
    {"a<select>x<option>b<option>c<optgroup label=l>y<option>d</select>e", "a\nb\nc\nd\ne"},
    {"<img alt=a><input value=b>c", "c"},
    {"<frameset><frame></frameset><noframes>a</noframes>", ""},
    /* what gumbo would replace */
    {"\x01 &#xB;\x7f <b>\xef\xbf\xbe</b>&#x10F40A; b",
     "\x01 \x0b\x7f \xef\xbf\xbe\xf4\x8f\x90\x8a b"},
};

START_TEST(the_text_of_a_page_is_what_it_shows)
{
    bool cut = true;
    struct bytes text = text_within(bytes_cstr(pages[_i].html), MOST, &cut);

    ck_assert_msg(bytes_equal(text, bytes_cstr(pages[_i].text)), "%s\nwant \"%s\", got \"%.*s\"",
                  pages[_i].html, pages[_i].text, (int)text.len, text.ptr);
    ck_assert(!cut);
}
END_TEST

START_TEST(a_text_is_cut_between_two_characters)
{
    struct bytes html = BYTES("<p>&eacute; b<p>\xe2\x82\xac<table><tr><td><td>\x0b&#x10F40A;x");
    bool cut;

    struct bytes all = text_within(html, MOST, &cut);
    ck_assert(!cut);
    ck_assert_uint_gt(all.len, 10);
    char copy[64];
    memcpy(copy, all.ptr, all.len);
    for (size_t most = 0; most <= all.len + 16; most++) {
        struct bytes text = text_within(html, most, &cut);
        ck_assert(text.len <= most && utf8_valid(text));
        ck_assert(memcmp(text.ptr, copy, text.len) == 0);
        ck_assert(cut || text.len == all.len);
        ck_assert_uint_eq(bytes_trim(text).len, text.len);
    }
    ck_assert(!cut);
}
END_TEST

/* What text.h promises of any text. */
static void check_form(struct bytes text, bool has_pre)
{
    ck_assert(utf8_valid(text) && !memchr(text.ptr, '\0', text.len));
    ck_assert_uint_eq(bytes_trim(text).len, text.len);
    for (size_t i = 1; i < text.len && !has_pre; i++) {
        char c = text.ptr[i], before = text.ptr[i - 1];
        ck_assert(c != '\r' && c != '\f');
        ck_assert(c != ' ' || !ascii_is_space(before));
        ck_assert(c != '\n' || (before != ' ' && before != '\t'));
        ck_assert(c != '\n' || before != '\n' || text.ptr[i - 2] != '\n');
    }
}

START_TEST(the_text_of_any_page_is_of_good_form_and_a_cut_one_is_its_beginning)
{
    enum { PAGES = 20000 };
    static char whole[MOST];
    struct soup soup = {3};
    size_t with_text = 0;

    for (int i = 0; i < PAGES; i++) {
        bool cut;
        soup_page(&soup, SOUP_TEXT, &page);
        bool has_pre = memmem(page.ptr, page.len, "<pre", 4) ||
                       memmem(page.ptr, page.len, "<xmp", 4) ||
                       memmem(page.ptr, page.len, "<plaintext", 10) ||
                       memmem(page.ptr, page.len, "<listing", 8);
        struct bytes text = text_within(buffer_bytes(&page), MOST, &cut);
        check_form(text, has_pre);
        with_text += text.len > 0;
        if (cut || text.len == 0)
            continue;
        size_t len = text.len, most = soup_below(&soup, (uint32_t)len);
        memcpy(whole, text.ptr, len);
        text = text_within(buffer_bytes(&page), most, &cut);
        check_form(text, has_pre);
        ck_assert(cut && text.len <= most && memcmp(text.ptr, whole, text.len) == 0);
    }
    ck_assert_uint_gt(with_text, PAGES / 4);
}
END_TEST

START_TEST(a_page_may_nest_as_deep_as_it_likes)
{
    enum { DEPTH = 100000 };
    bool cut;

    for (int i = 0; i < DEPTH; i++)
        buffer_text(&page, "<span>a");
    struct bytes text = text_within(buffer_bytes(&page), MOST, &cut);
    ck_assert_uint_eq(text.len, MOST);
    ck_assert(cut);

    page.len = 0;
    for (int i = 0; i < DEPTH; i++)
        buffer_text(&page, "<span>");
    buffer_text(&page, "b");
    text = text_within(buffer_bytes(&page), MOST, &cut);
    ck_assert(bytes_equal(text, BYTES("b")) && !cut);
}
END_TEST

/* Texts beside an element with many attributes, and cells beside each other, take no time of
 * their own for what is beside them. */
START_TEST(texts_beside_many_attributes_and_cells_are_found_in_linear_time)
{
    enum { COUNT = 20000 };
    bool cut;

    buffer_text(&page, "<div");
    for (int i = 0; i < 2000; i++)
        buffer_printf(&page, " a%d", i);
    buffer_text(&page, "><table><tr>");
    for (int i = 0; i < COUNT; i++)
        buffer_text(&page, "<td>");
    buffer_text(&page, "x</table>");
    for (int i = 0; i < COUNT; i++)
        buffer_text(&page, "a<!---->");
    struct bytes text = text_within(buffer_bytes(&page), MOST, &cut);
    ck_assert_uint_eq(text.len, 2 + COUNT); /* empty cells in front of all else leave no tabs */
    ck_assert(memcmp(text.ptr, "x\naaa", 5) == 0 && !cut);
}
END_TEST

Suite *suite_text(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, the_text_of_a_page_is_what_it_shows, 0, sizeof pages / sizeof *pages);
    tcase_add_test(tc, a_text_is_cut_between_two_characters);
    tcase_add_test(tc, the_text_of_any_page_is_of_good_form_and_a_cut_one_is_its_beginning);
    tcase_add_test(tc, a_page_may_nest_as_deep_as_it_likes);
    tcase_add_test(tc, texts_beside_many_attributes_and_cells_are_found_in_linear_time);
    suite_add_tcase(suite, tc);
    return suite;
}
