/*
 * The main job as a user has it: the binary, a batch over HTTP, an origin that misbehaves.
 */
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sanitizers make everything slower by factors: then only the order of events is judged. */
enum { SANITIZED = SANITIZED_ADDRESS || SANITIZED_THREAD };

static struct origin *origin;
static struct daemon skimd;
static struct buffer list; /* a text body being made */

static const char *const open_loopback[] = {"--allow-net", "127.0.0.0/8", "--workers", "2", NULL};

static void setup(void)
{
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, open_loopback);
}

static void teardown(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    buffer_free(&list);
}

static void restart(const char *const *arguments)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    daemon_start(&skimd, arguments);
}

static void add(const char *path)
{
    buffer_printf(&list, "%s%s\n", origin_url(origin), path);
}

static void scrape(const char *query, struct records *ret)
{
    daemon_scrape(&skimd, query, NULL, buffer_bytes(&list), ret);
}

static uint64_t elapsed_ms(uint64_t since_ns)
{
    return (clock_now_ns() - since_ns) / NS_PER_MS;
}

/* -- records ----------------------------------------------------------------------------------- */

START_TEST(every_url_gives_one_record_with_its_title)
{
    struct records r;

    add("/page/1");
    add("/gzip/2");
    add("/deflate/3");
    add("/status/404");
    add("/redirect/2");
    add("/type?ct=image/png");
    buffer_text(&list, "# a comment\n\n  \r\nnonsense\nftp://127.0.0.1/\n");
    scrape("", &r);
    ck_assert_uint_eq(r.total, 8);
    ck_assert_uint_eq(r.ok, 6);
    ck_assert_str_eq(record_text(&r, 0, "title"), "Page 1");
    ck_assert_str_eq(record_text(&r, 0, "charset"), "utf-8");
    ck_assert_str_eq(record_text(&r, 1, "title"), "Page 2");
    ck_assert_str_eq(record_text(&r, 2, "title"), "Page 3");
    ck_assert_str_eq(record_text(&r, 3, "title"), "Status 404");
    ck_assert_int_eq(record_number(&r, 3, "http_status"), 404);
    ck_assert_str_eq(record_text(&r, 4, "title"), "Page 0");
    ck_assert_int_eq(record_number(&r, 4, "redirects"), 2);
    ck_assert(json_is_null(json_object_get(r.by_index[5], "title")));
    ck_assert_str_eq(record_error(&r, 6), "invalid_url");
    ck_assert_str_eq(record_text(&r, 6, "url"), "nonsense");
    ck_assert_str_eq(record_error(&r, 7), "unsupported_scheme");
    records_free(&r);
}
END_TEST

START_TEST(json_and_ndjson_bodies_bring_ids_and_options)
{
    struct buffer body = {0};
    struct records r;

    buffer_printf(&body,
                  "{\"urls\":[\"%s/page/1\",{\"url\":\"%s/page/2\",\"id\":\"b\"}],"
                  "\"options\":{\"order\":\"input\"}}",
                  origin_url(origin), origin_url(origin));
    daemon_scrape(&skimd, "", "application/json", buffer_bytes(&body), &r);
    ck_assert_uint_eq(r.ok, 2);
    ck_assert_str_eq(record_text(&r, 1, "id"), "b");
    records_free(&r);
    body.len = 0;
    buffer_printf(&body, "\"%s/page/1\"\n{\"url\":\"%s/page/2\",\"id\":7}\n", origin_url(origin),
                  origin_url(origin));
    daemon_scrape(&skimd, "", "application/x-ndjson", buffer_bytes(&body), &r);
    ck_assert_uint_eq(r.ok, 2);
    ck_assert_int_eq(record_number(&r, 1, "id"), 7);
    records_free(&r);
    buffer_free(&body);
}
END_TEST

START_TEST(input_order_is_kept_when_asked_for)
{
    struct records r;

    add("/page/0?ms=150");
    for (int i = 1; i < 50; i++) {
        char path[64];
        snprintf(path, sizeof path, "/page/%d?ms=%d", i, i * 7 % 20);
        add(path);
    }
    scrape("?order=input", &r);
    ck_assert_uint_eq(r.ok, 50);
    for (size_t i = 0; i < r.total; i++)
        ck_assert_uint_eq(r.arrival[i], i);
    records_free(&r);
    scrape("", &r);
    ck_assert_uint_gt(r.arrival[0], 0); /* the slow one is not first by itself */
    records_free(&r);
}
END_TEST

START_TEST(ten_thousand_urls_give_ten_thousand_records)
{
    struct records r;

    for (int i = 0; i < 10000; i++) {
        char path[32];
        snprintf(path, sizeof path, "/page/%d", i);
        add(path);
    }
    scrape("", &r);
    ck_assert_uint_eq(r.total, 10000);
    ck_assert_uint_eq(r.ok, 10000);
    for (size_t i = 0; i < r.total; i++) {
        char title[32];
        snprintf(title, sizeof title, "Page %zu", i);
        ck_assert_str_eq(record_text(&r, i, "title"), title);
    }
    records_free(&r);
}
END_TEST

START_TEST(the_first_record_comes_while_slow_pages_are_under_way)
{
    struct buffer in = {0};

    for (int i = 0; i < 3; i++)
        add("/hold/x");
    add("/page/1");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(read_until(fd, &in, "\"title\":\"Page 1\""));
    ck_assert_ptr_null(memmem(in.ptr, in.len, "\"index\":0", 9));
    origin_release(origin);
    ck_assert(read_until(fd, &in, "\"type\":\"end\""));
    close(fd);
    buffer_free(&in);
}
END_TEST

START_TEST(private_addresses_are_refused_unless_allowed)
{
    static const char *const closed[] = {NULL};
    struct records r;

    restart(closed);
    add("/page/1");
    scrape("", &r);
    ck_assert_str_eq(record_error(&r, 0), "blocked_address");
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 0);
    records_free(&r);
}
END_TEST

/* -- hostile pages, dying workers -------------------------------------------------------------- */

static const struct {
    const char *path, *codes; /* those that are right */
} hostile[] = {
    {"/nested/100000", "parse_timeout parse_crashed"},
    {"/misnested/20000", "parse_timeout parse_crashed"},
    {"/gzip-bomb", "body_too_large"},
    {"/gzip-bomb?layers=2", "body_too_large"},
    {"/lying-gzip", "bad_encoding"},
};

START_TEST(a_hostile_page_fails_alone_and_soon)
{
    struct records r;
    uint64_t start = clock_now_ns();

    for (int i = 0; i < 20; i++)
        add("/page/1");
    add(hostile[_i].path);
    for (int i = 0; i < 20; i++)
        add("/page/1");
    scrape("", &r);
    ck_assert_uint_eq(r.ok, 40);
    ck_assert_msg(strstr(hostile[_i].codes, record_error(&r, 20)) && *record_error(&r, 20),
                  "%s: %s", hostile[_i].path, record_error(&r, 20));
    if (!SANITIZED)
        ck_assert_uint_lt(elapsed_ms(start), 2000);
    records_free(&r);
}
END_TEST

START_TEST(killed_workers_cost_at_most_their_own_records)
{
    struct buffer in = {0};
    struct records r;
    pid_t workers[16];
    size_t killed = 0;

    for (int i = 0; i < 2000; i++)
        add("/page/1?size=20000");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    for (int round = 1; round <= 5; round++) {
        char needle[32];
        snprintf(needle, sizeof needle, "\"index\":%d,", round * 200);
        ck_assert(read_until(fd, &in, needle));
        size_t n = daemon_workers(&skimd, workers, 16);
        for (size_t i = 0; i < n; i++)
            killed += kill(workers[i], SIGKILL) == 0;
    }
    ck_assert_uint_ge(killed, 5);
    ck_assert(read_until(fd, &in, "\"type\":\"end\""));
    close(fd);
    const char *body = memmem(in.ptr, in.len, "\r\n\r\n", 4);
    ck_assert_ptr_nonnull(body);
    body += 4;
    records_parse(bytes_of(body, in.len - (size_t)(body - in.ptr)), &r);
    ck_assert_uint_eq(r.total, 2000);
    for (size_t i = 0; i < r.total; i++)
        if (*record_error(&r, i))
            ck_assert_str_eq(record_error(&r, i), "parse_crashed");
    ck_assert_uint_le(r.failed, killed);
    records_free(&r);
    buffer_free(&in);
}
END_TEST

/* -- clients ----------------------------------------------------------------------------------- */

START_TEST(a_client_that_leaves_takes_its_fetches_along)
{
    for (int i = 0; i < 100; i++)
        add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 6, PATIENCE_MS));
    uint64_t start = clock_now_ns();
    close(fd);
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    if (!SANITIZED)
        ck_assert_uint_lt(elapsed_ms(start), 100);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 6);
}
END_TEST

START_TEST(a_client_that_does_not_read_holds_only_itself)
{
    struct buffer in = {0};
    struct records r;
    struct buffer few = {0};

    for (int i = 0; i < 30000; i++)
        add("/title?t=A-title-that-makes-the-record-a-little-longer-than-it-would-be-otherwise-"
            "so-that-what-nobody-reads-would-show-in-the-memory-of-the-daemon");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(read_until(fd, &in, "\"index\":0"));
    for (int i = 0; i < 200; i++)
        buffer_printf(&few, "%s/page/%d\n", origin_url(origin), i);
    for (int round = 0; round < 10; round++) {
        daemon_scrape(&skimd, "", NULL, buffer_bytes(&few), &r);
        ck_assert_uint_eq(r.ok, 200);
        records_free(&r);
    }
    /* By now the other batch stands still: what the socket takes and no more was fetched. */
    uint64_t requests = origin_count(origin, ORIGIN_REQUESTS);
    ck_assert_uint_lt(requests, 30000);
    ck_assert(read_until(fd, &in, "\"type\":\"end\"")); /* and goes on when it is read */
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 30000 + 2000);
    close(fd);
    buffer_free(&few);
    buffer_free(&in);
}
END_TEST

START_TEST(a_deadline_gives_the_rest_back_as_cancelled)
{
    struct records r;

    for (int i = 0; i < 10; i++)
        add("/hold/x");
    add("/page/1");
    scrape("?deadline_ms=300&per_host=1&order=input", &r);
    ck_assert_uint_eq(r.cancelled, 11);
    ck_assert_str_eq(record_error(&r, 0), "cancelled");
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 1);
    records_free(&r);
}
END_TEST

/* -- errors ------------------------------------------------------------------------------------ */

static const struct {
    const char *method, *path, *type, *body;
    long status;
    const char *says; /* stands in the problem */
} wrong[] = {
    {"POST", "/v1/scrape", "application/json", "{\"urls\": [", 400, "line 1"},
    {"POST", "/v1/scrape", "application/json", "{\"urls\": 7}", 400, "urls"},
    {"POST", "/v1/scrape", "application/json", "{\"urls\": [\"http://a/\", 7]}", 400, "1"},
    {"POST", "/v1/scrape", "application/json",
     "{\"urls\": [\"http://a/\"], \"options\": {\"speed\": 1}}", 400, "speed"},
    {"POST", "/v1/scrape?colour=red", "text/plain", "http://a/\n", 400, "colour"},
    {"POST", "/v1/scrape?timeout_ms=soon", "text/plain", "http://a/\n", 400, "timeout_ms"},
    {"POST", "/v1/scrape?timeout_ms=99999999", "text/plain", "http://a/\n", 400, "timeout_ms"},
    {"POST", "/v1/scrape", "application/x-ndjson", "\"http://a/\"\n{oops\n", 400, "line 2"},
    {"POST", "/v1/scrape", "text/plain", "\n# nothing\n", 400, "URL"},
    {"POST", "/v1/scrape", "", "", 400, "empty"},
    {"POST", "/v1/scrape", "image/png", "x", 415, "text/plain"},
    {"POST", "/v1/scrape", "text/plain", "http://a/\nhttp://b/\nhttp://c/\nhttp://d/\n", 413, "3"},
    {"GET", "/v1/scrape", NULL, NULL, 405, "POST"},
    {"DELETE", "/healthz", NULL, NULL, 405, "GET"},
    {"GET", "/v2/scrape", NULL, NULL, 404, "/v2/scrape"},
    {"POST", "/v1/batches", "text/plain", "http://a/\n", 503, "/v1/scrape"},
};

START_TEST(what_is_wrong_is_named)
{
    static const char *const limits[] = {"--max-batch-urls", "3", NULL};
    struct reply a;
    json_error_t error;

    restart(limits);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        daemon_request(&skimd, wrong[i].method, wrong[i].path, wrong[i].type,
                       wrong[i].body ? bytes_cstr(wrong[i].body) : bytes_of(NULL, 0), &a);
        ck_assert_msg(a.status == wrong[i].status, "%s %s %s: %ld, not %ld: %.*s", wrong[i].method,
                      wrong[i].path, wrong[i].body ? wrong[i].body : "", a.status, wrong[i].status,
                      (int)a.body.len, a.body.ptr);
        ck_assert_str_eq(a.content_type, "application/problem+json");
        json_t *problem = json_loadb(a.body.ptr, a.body.len, 0, &error);
        ck_assert_msg(problem != NULL, "%s", error.text);
        ck_assert_int_eq(json_integer_value(json_object_get(problem, "status")), wrong[i].status);
        const char *detail = json_string_value(json_object_get(problem, "detail"));
        ck_assert_msg(detail && strstr(detail, wrong[i].says), "%zu: %s", i, detail);
        if (a.status == 405)
            ck_assert_ptr_nonnull(strstr(a.allow, wrong[i].says));
        json_decref(problem);
        reply_free(&a);
    }
}
END_TEST

START_TEST(a_body_above_the_limit_is_refused)
{
    static const char *const limits[] = {"--max-body-bytes", "4096", NULL};
    struct reply a;
    struct buffer body = {0};

    restart(limits);
    for (int i = 0; i < 300; i++)
        buffer_text(&body, "http://a.example/\n");
    daemon_request(&skimd, "POST", "/v1/scrape", "text/plain", buffer_bytes(&body), &a);
    ck_assert_int_eq(a.status, 413);
    ck_assert_ptr_nonnull(memmem(a.body.ptr, a.body.len, "4096", 4));
    reply_free(&a);
    buffer_free(&body);
}
END_TEST

START_TEST(healthz_tells_that_the_process_lives)
{
    struct reply a;

    daemon_request(&skimd, "GET", "/healthz", NULL, bytes_of(NULL, 0), &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "application/json");
    reply_free(&a);
}
END_TEST

static const struct {
    const char *arguments[4];
    const char *says;
} usage[] = {
    {{"--workers", "many", NULL}, "--workers"},
    {{"--nonsense", NULL}, "--nonsense"},
    {{"--listen", "0.0.0.0:0", NULL}, "--insecure-no-auth"},
    {{"--allow-net", "10.0.0.1/8", NULL}, "--allow-net"},
    {{"--timeout-ms", NULL}, "--timeout-ms"},
};

START_TEST(a_wrong_option_is_one_line_and_exit_2)
{
    char message[1024];

    ck_assert_int_eq(daemon_run(usage[_i].arguments, message, sizeof message), 2);
    ck_assert_msg(strstr(message, usage[_i].says), "%s", message);
    ck_assert_ptr_eq(strchr(message, '\n'), message + strlen(message) - 1);
}
END_TEST

START_TEST(a_file_without_certificates_is_named)
{
    static const char *const files[] = {"/dev/null", "/nowhere"};
    static const char *const says[] = {"No certificate", "No such file"};
    char message[1024];

    for (size_t i = 0; i < 2; i++) {
        const char *arguments[] = {"--listen", "127.0.0.1:0", "--ca-file", files[i], NULL};

        ck_assert_int_eq(daemon_run(arguments, message, sizeof message), 2);
        ck_assert_msg(strstr(message, "--ca-file") && strstr(message, files[i]), "%s", message);
        ck_assert_msg(strstr(message, says[i]), "%s", message);
    }
}
END_TEST

START_TEST(an_address_that_is_taken_is_named)
{
    const char *arguments[] = {"--listen", strstr(skimd.url, "127.0.0.1:"), NULL};
    char message[1024];

    ck_assert_int_eq(daemon_run(arguments, message, sizeof message), 1);
    ck_assert_msg(strstr(message, arguments[1]), "%s", message);
}
END_TEST

/* -- the end ----------------------------------------------------------------------------------- */

START_TEST(sigterm_lets_a_batch_finish)
{
    struct buffer in = {0};

    add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    origin_release(origin);
    ck_assert(read_until(fd, &in, "\"type\":\"end\",\"total\":1,\"ok\":1"));
    close(fd);
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    buffer_free(&in);
    daemon_start(&skimd, NULL);
}
END_TEST

START_TEST(sigterm_gives_back_what_does_not_finish_in_time)
{
    static const char *const hasty[] = {"--allow-net", "127.0.0.0/8", "--grace-ms", "100", NULL};
    struct buffer in = {0};

    restart(hasty);
    for (int i = 0; i < 10; i++)
        add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 6, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(fd, &in, "\"cancelled\":10"));
    ck_assert_ptr_nonnull(memmem(in.ptr, in.len, "\"code\":\"shutting_down\"", 22));
    close(fd);
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    buffer_free(&in);
    daemon_start(&skimd, NULL);
}
END_TEST

START_TEST(sigterm_does_not_wait_for_a_client_that_does_not_read)
{
    static const char *const hasty[] = {"--allow-net", "127.0.0.0/8", "--grace-ms", "100", NULL};
    struct buffer in = {0};

    restart(hasty);
    for (int i = 0; i < 100000; i++)
        buffer_text(&list, "bad\n");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(read_until(fd, &in, "\"index\":0"));
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    close(fd);
    buffer_free(&in);
    daemon_start(&skimd, NULL);
}
END_TEST

START_TEST(sigusr1_lists_what_is_under_way)
{
    struct buffer in = {0}, log = {0};

    for (int i = 0; i < 3; i++)
        add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 3, PATIENCE_MS));
    kill(skimd.pid, SIGUSR1);
    ck_assert(read_until(skimd.log, &log, "3 item_task parked at server/batch/item.c:"));
    ck_assert(read_until(skimd.log, &log, ", awaits #"));
    origin_release(origin);
    ck_assert(read_until(fd, &in, "\"type\":\"end\""));
    ck_assert(read_until(skimd.log, &log, "\"batch\":1}")); /* the line of the batch's end */
    close(fd);
    buffer_free(&in);
    buffer_free(&log);
}
END_TEST

START_TEST(a_lost_worker_is_logged)
{
    pid_t workers[8];
    struct buffer log = {0};

    size_t n = daemon_workers(&skimd, workers, 8);
    ck_assert_uint_gt(n, 0);
    kill(workers[0], SIGKILL);
    ck_assert(read_until(skimd.log, &log, "\"a worker was lost\""));
    ck_assert(read_until(skimd.log, &log, "\"signal\":\"KILL\""));
    buffer_free(&log);
}
END_TEST

START_TEST(workers_do_not_outlive_a_killed_daemon)
{
    pid_t workers[16];
    size_t n = daemon_workers(&skimd, workers, 16);

    ck_assert_uint_ge(n, 2);
    ck_assert_int_eq(kill(skimd.pid, SIGKILL), 0);
    ck_assert_int_eq(daemon_wait(&skimd), -SIGKILL);
    /* They get SIGKILL too, at once; who reaps them is init's business. */
    for (size_t i = 0; i < n; i++) {
        char path[64], state = 'R';
        uint64_t start = clock_now_ns();
        while (state != 'Z' && elapsed_ms(start) < PATIENCE_MS) {
            snprintf(path, sizeof path, "/proc/%ld/stat", (long)workers[i]);
            FILE *stat = fopen(path, "re");
            if (!stat)
                break;
            if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
                state = 'Z';
            fclose(stat);
        }
        ck_assert_uint_lt(elapsed_ms(start), PATIENCE_MS);
    }
    daemon_start(&skimd, NULL);
}
END_TEST

Suite *suite_scrape(void)
{
    Suite *s = suite_create("scrape");
    TCase *tc = tcase_create("scrape");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, every_url_gives_one_record_with_its_title);
    tcase_add_test(tc, json_and_ndjson_bodies_bring_ids_and_options);
    tcase_add_test(tc, input_order_is_kept_when_asked_for);
    tcase_add_test(tc, ten_thousand_urls_give_ten_thousand_records);
    tcase_add_test(tc, the_first_record_comes_while_slow_pages_are_under_way);
    tcase_add_test(tc, private_addresses_are_refused_unless_allowed);
    tcase_add_loop_test(tc, a_hostile_page_fails_alone_and_soon, 0,
                        (int)(sizeof hostile / sizeof hostile[0]));
    tcase_add_test(tc, killed_workers_cost_at_most_their_own_records);
    tcase_add_test(tc, a_client_that_leaves_takes_its_fetches_along);
    tcase_add_test(tc, a_client_that_does_not_read_holds_only_itself);
    tcase_add_test(tc, a_deadline_gives_the_rest_back_as_cancelled);
    tcase_add_test(tc, what_is_wrong_is_named);
    tcase_add_test(tc, a_body_above_the_limit_is_refused);
    tcase_add_test(tc, healthz_tells_that_the_process_lives);
    tcase_add_loop_test(tc, a_wrong_option_is_one_line_and_exit_2, 0,
                        (int)(sizeof usage / sizeof usage[0]));
    tcase_add_test(tc, a_file_without_certificates_is_named);
    tcase_add_test(tc, an_address_that_is_taken_is_named);
    tcase_add_test(tc, sigterm_lets_a_batch_finish);
    tcase_add_test(tc, sigterm_gives_back_what_does_not_finish_in_time);
    tcase_add_test(tc, sigterm_does_not_wait_for_a_client_that_does_not_read);
    tcase_add_test(tc, sigusr1_lists_what_is_under_way);
    tcase_add_test(tc, a_lost_worker_is_logged);
    tcase_add_test(tc, workers_do_not_outlive_a_killed_daemon);
    suite_add_tcase(s, tc);
    return s;
}
