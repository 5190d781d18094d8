/*
 * A robots.txt below a line that has a User-Agent and a path. How its lines end says nothing, rules
 * for all or none of a site are obeyed whatever stands above them, and patterns match what a
 * matcher that tries everything says they do.
 */
#include "core/fetch/robots.h"
#include "core/fetch/robots_pattern.h"
#include "tests/fuzz/fuzz.h"

struct verdict {
    bool allowed;
    uint64_t delay_ms;
};

static struct verdict ask(struct bytes text, struct bytes product, struct bytes path)
{
    struct robots *robots = robots_parse(text);

    FUZZ_CHECK(robots && robots_size(robots) <= 200 + 21 * text.len);
    struct verdict verdict = {
        .allowed = robots_allows(robots, product, path),
        .delay_ms = robots_crawl_delay_ms(robots, product),
    };
    FUZZ_CHECK(robots_allows(robots, product, BYTES("/robots.txt")));
    FUZZ_CHECK(verdict.delay_ms <= 86400000);
    robots_free(robots);
    return verdict;
}

/* The verdict of `text` with each `from` in it replaced by `to`, and `more` behind it. */
static struct verdict ask_changed(struct bytes text, char from, const char *to, const char *more,
                                  struct bytes product, struct bytes path)
{
    struct buffer changed = {0};

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == from)
            buffer_text(&changed, to);
        else
            buffer_byte(&changed, text.ptr[i]);
    }
    buffer_text(&changed, more);
    FUZZ_CHECK(!changed.failed);
    struct verdict verdict = ask(buffer_bytes(&changed), product, path);
    buffer_free(&changed);
    return verdict;
}

/* Whether pattern[0..len) matches: `ends` are the places in the path where a match may end. */
static bool matches_slowly(const char *pattern, size_t len, bool is_anchored, struct bytes path)
{
    char *ends = calloc(path.len + 1, 1);
    bool any = false;

    FUZZ_CHECK(ends);
    ends[0] = 1;
    for (size_t i = 0; i < len; i++) {
        if (pattern[i] == '\n') {
            for (size_t k = 1; k <= path.len; k++)
                ends[k] |= ends[k - 1];
            continue;
        }
        for (size_t k = path.len; k > 0; k--)
            ends[k] = ends[k - 1] && path.ptr[k - 1] == pattern[i];
        ends[0] = 0;
    }
    for (size_t k = is_anchored ? path.len : 0; k <= path.len; k++)
        any = any || ends[k];
    free(ends);
    return any;
}

static void check_pattern(struct bytes value, struct bytes path)
{
    static struct path_question question;
    char *text = malloc(3 * value.len + 1);

    FUZZ_CHECK(text);
    struct pattern pattern = pattern_write(value, text), counted = pattern_write(value, NULL);
    FUZZ_CHECK(pattern.len == counted.len && pattern.len <= 3 * value.len);
    if (pattern.len > 0) {
        path_question_init(&question, path);
        struct bytes asked = pattern.has_query ? question.path_of_query : question.path;
        FUZZ_CHECK(pattern_matches(&pattern, text, &question) ==
                   matches_slowly(text, pattern.len, pattern.is_anchored, asked));
    }
    free(text);
}

/* A rule for all paths that is longer than any of `text` decides. */
static void check_last_word(struct bytes text, struct bytes product, struct bytes path)
{
    bool always = ask(BYTES("user-agent: *\ndisallow: /"), product, path).allowed;

    for (int allow = 0; allow < 2; allow++) {
        struct buffer more = {0};

        buffer_printf(&more, "\nallow:\nuser-agent: %.*s\n%s: /", (int)product.len, product.ptr,
                      allow ? "allow" : "disallow");
        for (size_t i = 0; i < 3 * text.len + 1; i++)
            buffer_byte(&more, '*');
        buffer_append(&more, "", 1);
        FUZZ_CHECK(!more.failed);
        struct verdict verdict = ask_changed(text, '\n', "\n", more.ptr, product, path);
        FUZZ_CHECK(verdict.allowed == (allow || always));
        buffer_free(&more);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of((const char *)data, size), head = fuzz_field(&text, '\n');
    struct bytes path = head, user_agent = bytes_split(&path, '\t');
    struct bytes product = robots_product(user_agent);
    struct verdict verdict = ask(text, product, path), other;

    other = ask_changed(text, '\n', "\r", "", product, path);
    FUZZ_CHECK(other.allowed == verdict.allowed && other.delay_ms == verdict.delay_ms);
    other = ask_changed(text, '\r', "\n", "", product, path);
    FUZZ_CHECK(other.allowed == verdict.allowed && other.delay_ms == verdict.delay_ms);
    other = ask_changed(text, '\n', "\r\n", "", product, path);
    FUZZ_CHECK(other.allowed == verdict.allowed && other.delay_ms == verdict.delay_ms);

    if (product.len > 0 && path.len > 0 && path.ptr[0] == '/' && path.len < 1024)
        check_last_word(text, product, path);
    for (struct bytes rest = text; rest.ptr && rest.len < 4096;)
        check_pattern(bytes_split(&rest, '\n'), path);
    fuzz_free(head);
    return 0;
}
