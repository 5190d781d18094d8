/* The page at /, as the server sends it. tests/web_page/run has it in a browser. */
#include "parsers/fields.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
    const char *path, *type;
} files[] = {
    {"/", "text/html; charset=utf-8"},
    {"/page.css", "text/css; charset=utf-8"},
    {"/page.js", "text/javascript; charset=utf-8"},
    {"/icon.svg", "image/svg+xml"},
};

enum { FILES = sizeof files / sizeof files[0] };

static struct daemon skimd;

static void setup(void)
{
    daemon_start(&skimd, NULL);
}

static void teardown(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}

/* -- one request and its answer, head and body ------------------------------------------------- */

struct answer {
    struct buffer bytes; /* NUL behind them */
    const char *body;
    size_t body_len;
};

static void ask(const char *method, const char *path, const char *field, struct answer *ret)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(skimd.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret = (struct answer){0};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int length = snprintf(request, sizeof request,
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
                          method, path, field);
    ck_assert_int_eq(send(fd, request, (size_t)length, MSG_NOSIGNAL), length);
    read_until(fd, &ret->bytes, "to the end of the stream");
    close(fd);
    buffer_byte(&ret->bytes, '\0');
    ck_assert(!ret->bytes.failed);
    const char *end = strstr(ret->bytes.ptr, "\r\n\r\n");
    ck_assert_msg(end != NULL, "no answer: %s", ret->bytes.ptr);
    ret->body = end + 4;
    ret->body_len = (size_t)(ret->bytes.ptr + ret->bytes.len - 1 - ret->body);
}

static void answer_free(struct answer *a)
{
    buffer_free(&a->bytes);
}

static int status(const struct answer *a)
{
    return (int)strtol(a->bytes.ptr + strlen("HTTP/1.1 "), NULL, 10);
}

/* The value of a header field in `ret`, "" when there is none. */
static const char *field(const struct answer *a, const char *name, char ret[static 512])
{
    char start[64];

    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *found = strstr(a->bytes.ptr, start);
    ret[0] = '\0';
    if (found && found < a->body) {
        found += strlen(start);
        snprintf(ret, 512, "%.*s", (int)strcspn(found, "\r"), found);
    }
    return ret;
}

/* -- tests ------------------------------------------------------------------------------------- */

START_TEST(each_file_is_served_with_its_type_and_a_strict_policy)
{
    struct answer a;
    char value[512];

    ask("GET", files[_i].path, "", &a);
    ck_assert_int_eq(status(&a), 200);
    ck_assert_str_eq(field(&a, "Content-Type", value), files[_i].type);
    ck_assert_str_eq(field(&a, "Cache-Control", value), "no-cache");
    ck_assert_str_eq(field(&a, "Referrer-Policy", value), "no-referrer");
    ck_assert_str_eq(field(&a, "X-Content-Type-Options", value), "nosniff");
    field(&a, "Content-Security-Policy", value);
    ck_assert_msg(strncmp(value, "default-src 'none'; ", 20) == 0, "%s", value);
    ck_assert_ptr_nonnull(strstr(value, "script-src 'self';"));
    ck_assert_ptr_nonnull(strstr(value, "frame-ancestors 'none'"));
    ck_assert_ptr_null(strstr(value, "unsafe"));
    ck_assert_ptr_null(strchr(value, '*'));
    ck_assert_uint_gt(a.body_len, 100);
    answer_free(&a);
}
END_TEST

static bool is_a_file(const char *reference, size_t length)
{
    for (size_t i = 0; i < FILES; i++)
        if (strlen(files[i].path) == length + 1 &&
            strncmp(files[i].path + 1, reference, length) == 0)
            return true;
    return false;
}

START_TEST(the_page_loads_its_own_files_and_nothing_else)
{
    static const char *const attributes[] = {" src=\"", " href=\""};
    struct answer a;
    int references = 0;

    ask("GET", "/", "", &a);
    for (size_t i = 0; i < 2; i++) {
        for (const char *at = a.body; (at = strstr(at, attributes[i])); references++) {
            at += strlen(attributes[i]);
            ck_assert_msg(is_a_file(at, strcspn(at, "\"")), "%.60s", at);
        }
    }
    ck_assert_int_eq(references, 4); /* the icon twice */
    ck_assert_ptr_null(strstr(a.body, "<style"));
    ck_assert_ptr_null(strstr(a.body, " style="));
    ck_assert_ptr_null(strstr(a.body, "<script>"));
    answer_free(&a);
}
END_TEST

START_TEST(there_is_a_checkbox_for_each_field_in_the_order_of_records)
{
    static const char box[] = "type=\"checkbox\" name=\"fields\" value=\"";
    struct answer a;

    ask("GET", "/", "", &a);
    const char *at = a.body;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const char *name = field_name((enum field)i);
        at = strstr(at, box);
        ck_assert_msg(at != NULL, "%s has none", name);
        at += strlen(box);
        ck_assert_msg(bytes_equal(bytes_of(at, strcspn(at, "\"")), bytes_cstr(name)), "%s: %.40s",
                      name, at);
    }
    ck_assert_ptr_null(strstr(at, box));
    answer_free(&a);
}
END_TEST

START_TEST(the_script_knows_no_way_from_text_to_html)
{
    static const char *const ways[] = {"innerHTML",      "outerHTML",    "insertAdjacentHTML",
                                       "document.write", "eval(",        "srcdoc",
                                       "DOMParser",      "new Function", "localStorage"};
    struct answer a;

    ask("GET", "/page.js", "", &a);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        ck_assert_msg(!strstr(a.body, ways[i]), "%s", ways[i]);
    answer_free(&a);
}
END_TEST

START_TEST(head_is_answered_as_get_without_the_body)
{
    struct answer get, head;
    char one[512], other[512];

    ask("GET", files[_i].path, "", &get);
    ask("HEAD", files[_i].path, "", &head);
    ck_assert_int_eq(status(&head), 200);
    ck_assert_uint_eq(head.body_len, 0);
    ck_assert_uint_eq(strtoul(field(&head, "Content-Length", one), NULL, 10), get.body_len);
    ck_assert_str_eq(field(&head, "ETag", one), field(&get, "ETag", other));
    ck_assert_str_eq(field(&head, "Content-Type", one), files[_i].type);
    answer_free(&get);
    answer_free(&head);
}
END_TEST

START_TEST(who_has_the_file_is_told_304)
{
    static const struct {
        const char *before, *behind; /* of If-None-Match, what stands around the file's ETag */
        int status;
        bool has_etag;
    } cases[] = {
        {"", "", 304, true},
        {"W/", "", 304, true},
        {"\"x\", W/\"y\",", " , \"z\"", 304, true},
        {"*", "", 304, false},
        {"\"0\"", "", 200, false},
        {"W/", "", 200, false},
        {"\"x\",, \"y\"", "", 200, false},
        {"x", "", 200, true},
    };
    struct answer a;
    char etag[512], value[512], line[600];

    ask("GET", "/page.js", "", &a);
    field(&a, "ETag", etag);
    ck_assert_uint_eq(strlen(etag), 18);
    answer_free(&a);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "If-None-Match: %s%s%s\r\n", cases[i].before,
                 cases[i].has_etag ? etag : "", cases[i].behind);
        ask("GET", "/page.js", line, &a);
        ck_assert_msg(status(&a) == cases[i].status, "%s: %d", line, status(&a));
        ck_assert_str_eq(field(&a, "ETag", value), etag);
        ck_assert_str_eq(field(&a, "Cache-Control", value), "no-cache");
        if (cases[i].status == 304) {
            ck_assert_uint_eq(a.body_len, 0);
            /* RFC 9110 section 8.6: that of the 200, or none */
            ck_assert_str_ne(field(&a, "Content-Length", value), "0");
        }
        answer_free(&a);
    }
}
END_TEST

START_TEST(each_file_has_an_etag_of_its_own)
{
    char tags[FILES][512];

    for (size_t i = 0; i < FILES; i++) {
        struct answer a;

        ask("HEAD", files[i].path, "", &a);
        field(&a, "ETag", tags[i]);
        for (size_t before = 0; before < i; before++)
            ck_assert_str_ne(tags[i], tags[before]);
        answer_free(&a);
    }
}
END_TEST

START_TEST(other_methods_are_refused)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct answer a;
        char value[512];

        ask(methods[i], "/", "", &a);
        ck_assert_msg(status(&a) == 405, "%s: %d", methods[i], status(&a));
        ck_assert_str_eq(field(&a, "Allow", value), "GET, HEAD");
        answer_free(&a);
    }
}
END_TEST

START_TEST(a_path_beside_the_files_is_not_found)
{
    static const char *const paths[] = {
        "/index.html", "//", "/page.js/", "/web/page.js", "/../server/web/page.js", "/page%2Ejs"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct answer a;

        ask("GET", paths[i], "", &a);
        ck_assert_msg(status(&a) == 404, "%s: %d", paths[i], status(&a));
        answer_free(&a);
    }
}
END_TEST

Suite *suite_web_page(void)
{
    Suite *s = suite_create("web_page");
    TCase *tc = tcase_create("web_page");

    tcase_add_unchecked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, each_file_is_served_with_its_type_and_a_strict_policy, 0, FILES);
    tcase_add_test(tc, the_page_loads_its_own_files_and_nothing_else);
    tcase_add_test(tc, there_is_a_checkbox_for_each_field_in_the_order_of_records);
    tcase_add_test(tc, the_script_knows_no_way_from_text_to_html);
    tcase_add_loop_test(tc, head_is_answered_as_get_without_the_body, 0, FILES);
    tcase_add_test(tc, who_has_the_file_is_told_304);
    tcase_add_test(tc, each_file_has_an_etag_of_its_own);
    tcase_add_test(tc, other_methods_are_refused);
    tcase_add_test(tc, a_path_beside_the_files_is_not_found);
    suite_add_tcase(s, tc);
    return s;
}
