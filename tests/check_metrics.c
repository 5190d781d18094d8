/*
 * The metrics: what is counted, how it is written, and that the daemon tells of what it does. The
 * text is read by a strict reader of ours, and by promtool where there is one.
 */
#include "core/fetch/fetch_error.h"
#include "parsers/page.h"
#include "server/batch/record.h"
#include "server/watch/metrics.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/exposition.h"
#include "tests/support/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct exposition told;
static struct metrics m;

/* -- the reader can fail ----------------------------------------------------------------------- */

#define FAMILY(name, type) "# HELP " name " Help.\n# TYPE " name " " type "\n"

static const char *const broken[] = {
    "",
    FAMILY("a_total", "counter") "a_total 1",
    "a_total 1\n",
    "# TYPE a_total counter\na_total 1\n",
    "# HELP a_total Help.\na_total 1\n",
    "# HELP a_total \n# TYPE a_total counter\na_total 1\n",
    FAMILY("a", "counter") "a 1\n",
    FAMILY("a_total", "gauge") "a_total 1\n",
    FAMILY("a_total", "number") "a_total 1\n",
    FAMILY("a_count", "gauge") "a_count 1\n",
    FAMILY("a:b", "gauge") "a:b 1\n",
    FAMILY("a", "gauge") "a\n",
    FAMILY("a", "gauge") "a one\n",
    FAMILY("a", "gauge") "a  1\n",
    FAMILY("a", "gauge") "a NaN\n",
    FAMILY("a", "gauge") "a 1\na 2\n",
    FAMILY("a", "gauge") "a 1\n\n",
    FAMILY("a", "gauge") "b 1\n",
    FAMILY("a", "gauge") "a{b=c} 1\n",
    FAMILY("a", "gauge") "a{b=\"c} 1\n",
    FAMILY("a", "gauge") "a{b=\"c\" 1\n",
    FAMILY("a", "gauge") "a{b=\"\\c\"} 1\n",
    FAMILY("a", "gauge") "a{1=\"c\"} 1\n",
    FAMILY("a", "gauge") "a 1\n" FAMILY("a", "gauge") "a{b=\"c\"} 1\n",
    FAMILY("a_total", "counter") "a_total -1\n",
    FAMILY("a", "histogram") "a_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
    FAMILY("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_count 1\n",
    FAMILY("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_sum 1\n",
    FAMILY("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
    FAMILY("a", "histogram") "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
    FAMILY("a", "histogram") "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
};

START_TEST(a_text_that_is_broken_is_not_taken_for_metrics)
{
    ck_assert_msg(!exposition_read(bytes_cstr(broken[_i]), &told), "%s", broken[_i]);
    ck_assert_str_ne(told.fault, "");
}
END_TEST

/* -- counting ---------------------------------------------------------------------------------- */

static void setup_counting(void)
{
    metrics_init(&m);
}

static const char *const paths[METRIC_PATHS] = {"other", "/v1/scrape"};

static void tell(void)
{
    struct buffer text = {0};

    metrics_write(&text, &m, paths);
    ck_assert(!text.failed);
    ck_assert_msg(exposition_read(buffer_bytes(&text), &told), "%s", told.fault);
    buffer_free(&text);
}

static double value(const char *series)
{
    double v = exposition_value(&told, series);

    ck_assert_msg(v >= 0, "there is no %s", series);
    return v;
}

static double fetches(const char *outcome)
{
    char series[100];

    snprintf(series, sizeof series, "skimd_fetches_total{outcome=\"%s\"}", outcome);
    return value(series);
}

START_TEST(every_error_code_that_a_record_can_have_is_an_outcome_from_the_start)
{
    static const char *const codes[] = {
#define X(constant, name, message, retry) name,
        FETCH_CODES(X)
#undef X
            "cancelled",
        "shutting_down",
    };

    tell();
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        ck_assert_double_eq(fetches(codes[i]), 0);
    for (int e = PAGE_OK; e <= PAGE_INTERNAL; e++)
        ck_assert_double_eq(fetches(page_error_code((enum page_error)e)), 0);
}
END_TEST

START_TEST(a_fetch_counts_for_its_code_and_for_no_other)
{
    metrics_count_fetch(&m, BYTES(""));
    metrics_count_fetch(&m, BYTES("timeout"));
    metrics_count_fetch(&m, BYTES("timeout"));
    metrics_count_fetch(&m, BYTES("parse_crashed"));
    metrics_count_fetch(&m, BYTES("a code of tomorrow"));
    tell();
    ck_assert_double_eq(fetches("ok"), 1);
    ck_assert_double_eq(fetches("timeout"), 2);
    ck_assert_double_eq(fetches("parse_crashed"), 1);
    ck_assert_double_eq(fetches("internal"), 1);
    ck_assert_double_eq(fetches("dns_failure"), 0);
}
END_TEST

START_TEST(methods_and_statuses_from_outside_make_no_series_of_their_own)
{
    metrics_count_request(&m, 1, BYTES("POST"), 200);
    metrics_count_request(&m, 1, BYTES("POST"), 200);
    metrics_count_request(&m, 0, BYTES("BREW"), 418);
    metrics_count_request(&m, 0, BYTES("STEEP"), 299);
    tell();
    ck_assert_double_eq(
        value("skimd_http_requests_total{path=\"/v1/scrape\",method=\"POST\",code=\"200\"}"), 2);
    ck_assert_double_eq(
        value("skimd_http_requests_total{path=\"other\",method=\"other\",code=\"other\"}"), 2);
}
END_TEST

START_TEST(responses_count_by_class)
{
    static const unsigned statuses[] = {100, 200, 299, 304, 404, 429, 500, 600, 999};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        metrics_count_response(&m, statuses[i]);
    tell();
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"2xx\"}"), 2);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"3xx\"}"), 1);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"4xx\"}"), 2);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"5xx\"}"), 1);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"other\"}"), 3);
}
END_TEST

START_TEST(a_bound_belongs_to_its_bucket_and_times_are_told_in_seconds)
{
    histogram_add(&m.fetch_us, 1000);
    histogram_add(&m.fetch_us, 1001);
    histogram_add(&m.fetch_us, 3600000000);
    m.stream_stall_us = 1250000;
    m.held_bytes = 12345678;
    tell();
    ck_assert_double_eq(value("skimd_fetch_duration_seconds_bucket{le=\"0.001\"}"), 1);
    ck_assert_double_eq(value("skimd_fetch_duration_seconds_bucket{le=\"0.005\"}"), 2);
    ck_assert_double_eq(value("skimd_fetch_duration_seconds_bucket{le=\"60\"}"), 2);
    ck_assert_double_eq(value("skimd_fetch_duration_seconds_bucket{le=\"+Inf\"}"), 3);
    ck_assert_double_eq_tol(value("skimd_fetch_duration_seconds_sum"), 3600.002001, 1e-9);
    ck_assert_double_eq(value("skimd_stream_stall_seconds_total"), 1.25);
    ck_assert_double_eq(value("skimd_held_body_bytes"), 12345678);
}
END_TEST

START_TEST(names_of_records_and_their_counts_stand_in_the_same_order)
{
    m.records[RECORD_FAILED] = 7;
    m.records[RECORD_CANCELLED] = 8;
    tell();
    ck_assert_double_eq(value("skimd_records_total{status=\"failed\"}"), 7);
    ck_assert_double_eq(value("skimd_records_total{status=\"cancelled\"}"), 8);
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct origin *origin;
static struct daemon skimd;
static struct buffer list;

static void setup_daemon(void)
{
    static const char *const arguments[] = {"--allow-net", "127.0.0.0/8", "--workers", "2", NULL};

    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
}

static void teardown_daemon(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    buffer_free(&list);
}

static void add(const char *path)
{
    buffer_printf(&list, "%s%s\n", origin_url(origin), path);
}

static void ask(struct reply *a)
{
    daemon_request(&skimd, "GET", "/metrics", NULL, bytes_of(NULL, 0), a);
    ck_assert_int_eq(a->status, 200);
    ck_assert_str_eq(a->content_type, "text/plain; version=0.0.4; charset=utf-8");
    ck_assert_msg(exposition_read(buffer_bytes(&a->body), &told), "%s", told.fault);
}

static void ask_and_read(void)
{
    struct reply a;

    ask(&a);
    reply_free(&a);
}

/* Asks until `series` is at least `least`: what it tells of comes by itself. */
static void ask_until(const char *series, double least)
{
    uint64_t since = now_ms();

    do
        ask_and_read();
    while (value(series) < least && now_ms() - since < PATIENCE_MS);
    ck_assert_msg(value(series) >= least, "%s stays at %g", series, value(series));
}

START_TEST(a_batch_is_counted_in_all_its_parts)
{
    struct records r;

    add("/page/1?size=5000");
    add("/redirect/2");
    add("/status/404");
    add("/reset");
    buffer_text(&list, "nonsense\nhttp://10.0.0.1/\n");
    daemon_scrape(&skimd, "?retries=1", NULL, buffer_bytes(&list), &r);
    ask_until("skimd_batches_ended_total{end=\"complete\"}", 1);
    ck_assert_double_eq(value("skimd_batches_started_total"), 1);
    ck_assert_double_eq(value("skimd_batches_running"), 0);
    ck_assert_double_eq(value("skimd_batch_duration_seconds_count"), 1);
    ck_assert_double_eq(value("skimd_records_total{status=\"ok\"}"), 3);
    ck_assert_double_eq(value("skimd_records_total{status=\"failed\"}"), 3);
    ck_assert_double_eq(fetches("ok"), 3);
    ck_assert_double_eq(fetches("connect_failure"), 1);
    ck_assert_double_eq(fetches("invalid_url"), 1);
    ck_assert_double_eq(fetches("blocked_address"), 1);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"2xx\"}"), 2);
    ck_assert_double_eq(value("skimd_fetch_responses_total{code=\"4xx\"}"), 1);
    ck_assert_double_eq(value("skimd_fetch_retries_total"), 1);
    ck_assert_double_eq(value("skimd_fetch_redirects_total"), 2);
    ck_assert_double_ge(value("skimd_fetch_received_bytes_total"), 5000);
    ck_assert_double_ge(value("skimd_fetch_duration_seconds_count"), 4); /* the reset one, too */
    ck_assert_double_eq(value("skimd_parse_duration_seconds_count"), 3);
    ck_assert_double_eq(value("skimd_held_body_bytes"), 0);
    ck_assert_double_eq(value("skimd_fetches_in_flight"), 0);
    ck_assert_double_eq(
        value("skimd_http_requests_total{path=\"/v1/scrape\",method=\"POST\",code=\"200\"}"), 1);
    records_free(&r);
}
END_TEST

START_TEST(what_is_under_way_and_what_waits_is_told)
{
    struct buffer in = {0};

    for (int i = 0; i < 20; i++)
        add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "?per_host=2", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 2, PATIENCE_MS));
    ask_and_read();
    ck_assert_double_eq(value("skimd_batches_running"), 1);
    ck_assert_double_eq(value("skimd_fetches_in_flight"), 2);
    ck_assert_double_eq(value("skimd_urls_waiting"), 18);
    ck_assert_double_eq(value("skimd_origins_waiting"), 1);
    ck_assert_double_eq(value("skimd_fetch_connections"), 2);
    ck_assert_double_eq(value("skimd_http_requests_in_flight"), 2);
    ck_assert_double_eq(value("skimd_http_connections"), 2);
    origin_release(origin);
    ck_assert(read_until(fd, &in, "\"type\":\"end\""));
    close(fd);
    buffer_free(&in);
}
END_TEST

START_TEST(a_client_that_leaves_ends_its_batch_and_its_fetches_as_cancelled)
{
    for (int i = 0; i < 3; i++)
        add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 3, PATIENCE_MS));
    close(fd);
    ask_until("skimd_batches_ended_total{end=\"client_gone\"}", 1);
    ck_assert_double_eq(fetches("cancelled"), 3);
    ck_assert_double_eq(value("skimd_fetches_in_flight"), 0);
    ck_assert_double_eq(value("skimd_urls_waiting"), 0);
}
END_TEST

START_TEST(a_batch_that_waits_for_its_reader_is_told_and_so_is_the_time_that_it_waited)
{
    struct buffer in = {0};

    /* 13 MB of records: more than lies in sockets while nobody reads. */
    for (int i = 0; i < 800; i++) {
        buffer_printf(&list, "%s/page/%d?x=", origin_url(origin), i);
        for (int k = 0; k < 8000; k++)
            buffer_byte(&list, 'x');
        buffer_byte(&list, '\n');
    }
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ask_until("skimd_streams_stalled", 1);
    ck_assert(read_until(fd, &in, "\"type\":\"end\""));
    ask_until("skimd_stream_stalls_total", 1);
    ck_assert_double_gt(value("skimd_stream_stall_seconds_total"), 0);
    ck_assert_double_eq(value("skimd_streams_stalled"), 0);
    close(fd);
    buffer_free(&in);
}
END_TEST

START_TEST(workers_that_die_are_counted_and_replaced)
{
    pid_t workers[8];
    size_t n;

    ask_until("skimd_workers{state=\"idle\"}", 3); /* two, and a spare one */
    ck_assert_double_eq(value("skimd_workers_started_total"), 3);
    n = daemon_workers(&skimd, workers, 8);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(kill(workers[0], SIGKILL), 0);
    ask_until("skimd_workers_lost_total{reason=\"crashed\"}", 1);
    ask_until("skimd_workers_started_total", 4);
    ck_assert_double_eq(value("skimd_workers_lost_total{reason=\"timed_out\"}"), 0);
    ck_assert_double_eq(value("skimd_workers_lost_total{reason=\"cancelled\"}"), 0);
}
END_TEST

START_TEST(the_loop_s_lag_is_measured_while_nothing_happens)
{
    ask_until("skimd_event_loop_lag_seconds_count", 2);
}
END_TEST

START_TEST(the_process_tells_of_itself_as_others_do)
{
    ask_and_read();
    ck_assert_double_gt(value("process_start_time_seconds"), 1e9);
    ck_assert_double_gt(value("process_cpu_seconds_total"), 0);
    ck_assert_double_gt(value("process_open_fds"), 10);
    ck_assert_double_gt(value("process_max_fds"), value("process_open_fds"));
    ck_assert_double_ge(value("process_virtual_memory_bytes"),
                        value("process_resident_memory_bytes"));
    ck_assert_double_gt(value("process_resident_memory_bytes"), 1 << 20);
}
END_TEST

START_TEST(no_label_says_where_a_batch_went)
{
    struct records r;
    struct reply a;

    add("/page/1");
    add("/page/2?who=somebody");
    daemon_scrape(&skimd, "", NULL, buffer_bytes(&list), &r);
    records_free(&r);
    daemon_request(&skimd, "GET", "/v1/hosts/somebody.example", NULL, bytes_of(NULL, 0), &a);
    reply_free(&a);
    daemon_request(&skimd, "GET", "/somewhere/somebody", NULL, bytes_of(NULL, 0), &a);
    reply_free(&a);
    ask(&a);
    ck_assert_ptr_null(memmem(a.body.ptr, a.body.len, "somebody", 8));
    ck_assert_ptr_null(memmem(a.body.ptr, a.body.len, "127.0.0.1", 9));
    ck_assert_ptr_null(memmem(a.body.ptr, a.body.len, "://", 3));
    ck_assert_double_eq(
        value("skimd_http_requests_total{path=\"/v1/hosts/{host}\",method=\"GET\",code=\"404\"}"),
        1);
    reply_free(&a);
}
END_TEST

/* -- the dashboard ----------------------------------------------------------------------------- */

static bool is_family(struct bytes name)
{
    for (size_t i = 0; i < told.family_count; i++)
        if (bytes_equal(name, bytes_cstr(told.families[i])))
            return true;
    return false;
}

/* The name of a metric that stands at `at`, without what a histogram's series add. */
static struct bytes name_at(const char *at)
{
    struct bytes suffix = BYTES("_bucket"), name = {at, strspn(at, "abcdefghijklmnopqrstuvwxyz_")};

    if (name.len > suffix.len &&
        bytes_equal(bytes_of(at + name.len - suffix.len, suffix.len), suffix))
        name.len -= suffix.len;
    return name;
}

START_TEST(the_dashboard_shows_all_metrics_and_no_others)
{
    json_error_t error;
    json_t *dashboard =
        json_load_file("docker/grafana-dashboard.json", JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json_is_object(dashboard), "%s", error.text);
    char *text = json_dumps(dashboard, 0);

    tell();
    for (const char *at = text; (at = strpbrk(at, "sp")); at++) {
        bool is_metric = strncmp(at, "skimd_", 6) == 0 || strncmp(at, "process_", 8) == 0;
        struct bytes name = name_at(at);
        if (is_metric)
            ck_assert_msg(is_family(name), "there is no %.*s", (int)name.len, name.ptr);
    }
    for (size_t i = 0; i < told.family_count; i++)
        ck_assert_msg(strstr(text, told.families[i]), "%s is not shown", told.families[i]);
    free(text);
    json_decref(dashboard);
}
END_TEST

/* -- promtool ---------------------------------------------------------------------------------- */

/* The exit status of `promtool check metrics` for this text, and what it says unless it is known;
 * -1: there is no promtool. */
static int promtool(struct bytes text, bool is_known)
{
    static const char *const argv[] = {"promtool", "check", "metrics", NULL};
    FILE *input = tmpfile();
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;

    ck_assert_ptr_nonnull(input);
    ck_assert_uint_eq(fwrite(text.ptr, 1, text.len, input), text.len);
    rewind(input);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(input), STDIN_FILENO);
    if (is_known)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    fclose(input);
    if (rc != 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

START_TEST(promtool_finds_nothing_to_complain_of)
{
    struct records r;
    struct reply a;

    add("/page/1");
    daemon_scrape(&skimd, "", NULL, buffer_bytes(&list), &r);
    records_free(&r);
    ask(&a);
    int status = promtool(buffer_bytes(&a.body), false);
    ck_assert_msg(status <= 0, "promtool says %d", status);
    if (status == 0) /* that it can say so */
        ck_assert_int_gt(promtool(BYTES("# TYPE a counter\na 1\n"), true), 0);
    reply_free(&a);
}
END_TEST

Suite *suite_metrics(void)
{
    Suite *suite = suite_create("metrics");
    TCase *reader = tcase_create("reader");
    TCase *counting = tcase_create("counting");
    TCase *daemon = tcase_create("daemon");

    tcase_add_loop_test(reader, a_text_that_is_broken_is_not_taken_for_metrics, 0,
                        sizeof broken / sizeof broken[0]);
    suite_add_tcase(suite, reader);

    tcase_add_checked_fixture(counting, setup_counting, NULL);
    tcase_add_test(counting, every_error_code_that_a_record_can_have_is_an_outcome_from_the_start);
    tcase_add_test(counting, a_fetch_counts_for_its_code_and_for_no_other);
    tcase_add_test(counting, methods_and_statuses_from_outside_make_no_series_of_their_own);
    tcase_add_test(counting, responses_count_by_class);
    tcase_add_test(counting, a_bound_belongs_to_its_bucket_and_times_are_told_in_seconds);
    tcase_add_test(counting, names_of_records_and_their_counts_stand_in_the_same_order);
    tcase_add_test(counting, the_dashboard_shows_all_metrics_and_no_others);
    suite_add_tcase(suite, counting);

    tcase_set_timeout(daemon, 60);
    tcase_add_checked_fixture(daemon, setup_daemon, teardown_daemon);
    tcase_add_test(daemon, a_batch_is_counted_in_all_its_parts);
    tcase_add_test(daemon, what_is_under_way_and_what_waits_is_told);
    tcase_add_test(daemon, a_client_that_leaves_ends_its_batch_and_its_fetches_as_cancelled);
    tcase_add_test(daemon,
                   a_batch_that_waits_for_its_reader_is_told_and_so_is_the_time_that_it_waited);
    tcase_add_test(daemon, workers_that_die_are_counted_and_replaced);
    tcase_add_test(daemon, the_loop_s_lag_is_measured_while_nothing_happens);
    tcase_add_test(daemon, the_process_tells_of_itself_as_others_do);
    tcase_add_test(daemon, no_label_says_where_a_batch_went);
    tcase_add_test(daemon, promtool_finds_nothing_to_complain_of);
    suite_add_tcase(suite, daemon);
    return suite;
}
