/*
 * How servers misbehave, and what the record says then: the scenarios of tests/web_*.c, and what
 * takes more than a script. The daemon is the binary that a user has.
 */
#include "core/fetch/fetch_error.h"
#include "parsers/page.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/web.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The closed list of the API, and what reaches each code. */
static const struct {
    const char *code;
    const char *group, *scenario; /* whose record has the code; or, without a group, a test below */
    const char *elsewhere;        /* the suite whose test `scenario` reaches it; NULL: this one */
} codes[] = {
    {"invalid_url", "no URLs", "a word", NULL},
    {"unsupported_scheme", "no URLs", "FTP", NULL},
    {"blocked_address", "refused addresses", "loopback", NULL},
    {"robots_disallowed", NULL, "robots_txt_is_asked_for_once_and_obeyed_where_a_batch_wants_it",
     "politeness"},
    {"dns_failure", "names", "a name that nobody has", NULL},
    {"connect_failure", "connections", "nobody listens", NULL},
    {"tls_failure", "connections", "TLS where plain text is spoken", NULL},
    {"timeout", "slow", "nothing comes", NULL},
    {"host_unavailable", NULL, "a_dead_host_is_given_up_and_its_urls_fail_at_once", "politeness"},
    {"too_many_redirects", "redirect limit", "a loop", NULL},
    {"body_too_large", "sizes", "a body without an end", NULL},
    {"protocol_error", "framing", "a chunk size that is no number", NULL},
    {"bad_encoding", "codings", "gzip that is plain", NULL},
    {"parse_crashed", NULL, "a_page_that_takes_too_much_stack_is_not_parsed", NULL},
    {"parse_timeout", "parsing", "a page that takes too long", NULL},
    {"cancelled", "deadline", "a page that takes longer than its batch may", NULL},
    {"shutting_down", NULL, "what_is_not_done_when_the_daemon_ends_is_given_back", NULL},
    {"internal", NULL, "a_daemon_without_descriptors_blames_itself", NULL},
};

/* -- the scenarios ----------------------------------------------------------------------------- */

static const struct scenario_group *const everyday[] = {
    &web_status_lines,      &web_fields,         &web_framing, &web_connections,
    &web_retries,           &web_sizes,          &web_codings, &web_types,
    &web_redirects,         &web_redirect_limit, &web_urls,    &web_urls_in_json,
    &web_allowed_spellings, &web_names,
};

/* What these come to is a matter of time, so they have a daemon to themselves. */
static const struct scenario_group *const timed[] = {
    &web_slow, &web_patient, &web_late, &web_deadline, &web_parsing,
};

static const struct scenario_group *const guarded[] = {
    &web_refused_addresses,
    &web_refused_redirects,
};

START_TEST(each_scenario_has_the_record_that_it_should_have)
{
    static const char *const arguments[] = {"--allow-net", "127.0.0.0/8", "--allow-net", "::1/128",
                                            NULL};

    scenarios_run(arguments, everyday, COUNT(everyday));
}
END_TEST

START_TEST(what_takes_its_time_ends_in_time)
{
    static const char *const arguments[] = {"--allow-net", "127.0.0.0/8", NULL};

    scenarios_run(arguments, timed, COUNT(timed));
}
END_TEST

START_TEST(addresses_that_are_not_open_are_never_connected_to)
{
    static const char *const arguments[] = {"--allow-net", SELF_NET, NULL};

    ck_assert_uint_eq(scenarios_run(arguments, guarded, COUNT(guarded)), 0);
}
END_TEST

/* -- what takes more than a script ------------------------------------------------------------- */

static struct origin *origin;
static struct daemon skimd;

static void setup(void)
{
    static const char *const arguments[] = {"--allow-net", "127.0.0.0/8", "--grace-ms", "100",
                                            NULL};

    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
}

static void teardown(void)
{
    if (skimd.pid)
        ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
}

START_TEST(what_is_not_done_when_the_daemon_ends_is_given_back)
{
    struct buffer urls = {0};
    struct records r;

    buffer_printf(&urls, "http://127.0.0.1:%u/hold/x\nhttp://127.0.0.1:%u/page/1\n",
                  origin_port(origin), origin_port(origin));
    int fd = daemon_open_scrape(&skimd, "?order=input", buffer_bytes(&urls));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    scrape_finish(&skimd, fd, &r);
    ck_assert_str_eq(record_text(&r, 0, "status"), "cancelled");
    ck_assert_str_eq(record_error(&r, 0), "shutting_down");
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    skimd.pid = 0;
    records_free(&r);
    buffer_free(&urls);
}
END_TEST

START_TEST(a_page_that_takes_too_much_stack_is_not_parsed)
{
    /* gumbo throws the body away, by recursion. */
    static const struct step deep[] = {SAY(OK HTML "\r\n"), REPEAT(70000, "<span>"),
                                       SAY("<frameset><title>Late</title>"), CLOSE, SCRIPT_END};
    enum { TRIES = 20 };
    struct buffer url = {0};
    struct records r;
    bool crashed = false;

    ck_assert_ptr_nonnull(origin_script(origin, "127.0.0.2", deep));
    buffer_printf(&url, "http://127.0.0.2:%u/\n", origin_port(origin));
    for (int i = 0; i < TRIES && !crashed; i++) {
        daemon_scrape(&skimd, "", NULL, buffer_bytes(&url), &r);
        crashed = strcmp(record_error(&r, 0), "parse_crashed") == 0;
        if (!crashed) /* it takes a tenth of its time, which a busy machine may not have */
            ck_assert_str_eq(record_error(&r, 0), "parse_timeout");
        records_free(&r);
    }
    ck_assert(crashed);
    buffer_free(&url);
}
END_TEST

/* Lets the daemon open no descriptor more, or as many as it may. */
static void limit_descriptors(bool none)
{
    struct rlimit limit;

    ck_assert_int_eq(prlimit(skimd.pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = none ? STDERR_FILENO + 1 : limit.rlim_max;
    ck_assert_int_eq(prlimit(skimd.pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

START_TEST(a_daemon_without_descriptors_blames_itself)
{
    struct buffer url = {0}, redirect = {0};
    struct records r;

    /* The second hop needs a socket, and the first one waits until there is none. */
    buffer_printf(&redirect,
                  "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/page/1\r\n"
                  "Content-Length: 0\r\n\r\n",
                  origin_port(origin));
    const struct step steps[] = {
        HOLD, {.kind = STEP_SAY, .bytes = buffer_bytes(&redirect)}, SCRIPT_END};
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.0.2", steps));
    buffer_printf(&url, "http://127.0.0.2:%u/\n", origin_port(origin));

    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&url));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    limit_descriptors(true);
    origin_release(origin);
    scrape_finish(&skimd, fd, &r);
    ck_assert_str_eq(record_error(&r, 0), "internal");
    records_free(&r);

    limit_descriptors(false);
    daemon_scrape(&skimd, "", NULL, buffer_bytes(&url), &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "Page 1");
    records_free(&r);
    buffer_free(&url);
    buffer_free(&redirect);
    origin = origin_stop(origin);
}
END_TEST

/* A listener whose queue is full drops what comes; it is as a host that does not answer. */
static int listen_to_nobody(uint16_t *ret_port, int *ret_clients, size_t clients)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    for (size_t i = 0; i < clients; i++) {
        ret_clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(ret_clients[i], 0);
        (void)connect(ret_clients[i], (struct sockaddr *)&address, sizeof address);
    }
    return fd;
}

START_TEST(a_host_that_does_not_answer_is_a_timeout)
{
    struct buffer url = {0};
    struct records r;
    int clients[4];
    uint16_t port;
    int listener = listen_to_nobody(&port, clients, COUNT(clients));

    buffer_printf(&url, "http://127.0.0.1:%u/\n", port);
    daemon_scrape(&skimd, "?timeout_ms=300&retries=0", NULL, buffer_bytes(&url), &r);
    ck_assert_str_eq(record_error(&r, 0), "timeout");
    ck_assert(json_is_true(json_object_get(json_object_get(r.by_index[0], "error"), "retryable")));
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listener);
    records_free(&r);
    buffer_free(&url);
}
END_TEST

START_TEST(a_url_with_a_nul_in_it_fails_alone)
{
    struct buffer body = {0};
    struct reply a;

    buffer_printf(&body, "[\"http://127.0.0.1:%u/a\\u0000b\",\"http://127.0.0.1:%u/page/1\"]",
                  origin_port(origin), origin_port(origin));
    daemon_request(&skimd, "POST", "/v1/scrape", "application/json", buffer_bytes(&body), &a);
    ck_assert_int_eq(a.status, 200); /* jansson would not read the answer, NUL and all */
    buffer_byte(&a.body, '\0');
    ck_assert_ptr_nonnull(strstr(a.body.ptr,
                                 "/a\\u0000b\",\"status\":\"failed\",\"error\":{\"code\":"
                                 "\"invalid_url\""));
    ck_assert_ptr_nonnull(strstr(a.body.ptr, "\"title\":\"Page 1\""));
    ck_assert_ptr_nonnull(strstr(a.body.ptr, "\"total\":2,\"ok\":1,\"failed\":1"));
    reply_free(&a);
    buffer_free(&body);
}
END_TEST

/* -- the codes --------------------------------------------------------------------------------- */

static const TTest *const *const by_hand[] = {
    &what_is_not_done_when_the_daemon_ends_is_given_back,
    &a_page_that_takes_too_much_stack_is_not_parsed,
    &a_daemon_without_descriptors_blames_itself,
    &a_host_that_does_not_answer_is_a_timeout,
    &a_url_with_a_nul_in_it_fails_alone,
};

static const struct scenario *find_in(const struct scenario_group *const *groups, size_t count,
                                      const char *group, const char *name)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; strcmp(groups[i]->name, group) == 0 && k < groups[i]->count; k++)
            if (strcmp(groups[i]->scenarios[k].name, name) == 0)
                return &groups[i]->scenarios[k];
    return NULL;
}

static const struct scenario *find(const char *group, const char *name)
{
    const struct scenario *s = find_in(everyday, COUNT(everyday), group, name);

    if (!s)
        s = find_in(timed, COUNT(timed), group, name);
    return s ? s : find_in(guarded, COUNT(guarded), group, name);
}

static bool is_listed(const char *code)
{
    for (size_t i = 0; i < COUNT(codes); i++)
        if (strcmp(codes[i].code, code) == 0)
            return true;
    return false;
}

static bool is_a_test(const char *name)
{
    for (size_t i = 0; i < COUNT(by_hand); i++)
        if (strcmp((*by_hand[i])->name, name) == 0)
            return true;
    return false;
}

START_TEST(every_code_of_the_api_is_reached)
{
    static const char *const known[] = {
#define NAME(constant, name, message, retry) name,
        FETCH_CODES(NAME)
#undef NAME
#define NAME(id, code, message) code,
            PAGE_ERRORS(NAME)
#undef NAME
    };
    char expected[64];

    for (size_t i = 0; i < COUNT(known); i++)
        ck_assert_msg(is_listed(known[i]) || strcmp(known[i], "ok") == 0, "%s", known[i]);
    for (size_t i = 0; i < COUNT(codes); i++) {
        const char *group = codes[i].group, *name = codes[i].scenario;
        if (group) {
            const struct scenario *s = find(group, name);
            ck_assert_msg(s != NULL, "there is no scenario \"%s: %s\"", group, name);
            snprintf(expected, sizeof expected, "'code':'%s'", codes[i].code);
            ck_assert_msg(strstr(s->record, expected), "%s: %s: %s", group, name, s->record);
        } else {
            ck_assert_msg(codes[i].elsewhere || is_a_test(name), "%s", codes[i].code);
        }
    }
}
END_TEST

Suite *suite_web(void)
{
    Suite *suite = suite_create("web");
    TCase *scenarios = tcase_create("scenarios"), *more = tcase_create("more");

    tcase_set_timeout(scenarios, 60);
    tcase_add_test(scenarios, each_scenario_has_the_record_that_it_should_have);
    tcase_add_test(scenarios, what_takes_its_time_ends_in_time);
    tcase_add_test(scenarios, addresses_that_are_not_open_are_never_connected_to);
    tcase_add_test(scenarios, every_code_of_the_api_is_reached);
    suite_add_tcase(suite, scenarios);
    tcase_set_timeout(more, 60);
    tcase_add_checked_fixture(more, setup, teardown);
    for (size_t i = 0; i < COUNT(by_hand); i++)
        tcase_add_test(more, *by_hand[i]);
    suite_add_tcase(suite, more);
    return suite;
}
