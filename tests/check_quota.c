/*
 * How much one token may have under way, seen from outside.
 */
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST  "first-token-0123456789"
#define SECOND "second-token-0123456789"

static struct origin *origin;
static struct daemon skimd;
static struct client_answer answer;
static struct buffer list, said;
static int file;
static char path[64];

static void write_file(const char *text)
{
    ck_assert_int_eq(ftruncate(file, 0), 0);
    ck_assert_int_eq(pwrite(file, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void setup(void)
{
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    file = memfd_create("tokens", MFD_CLOEXEC);
    ck_assert_int_ge(file, 0);
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), file);
}

static void teardown(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    client_free(&answer);
    buffer_free(&list);
    buffer_free(&said);
    close(file);
}

static void start(const char *batches, const char *urls)
{
    write_file(FIRST "\n" SECOND "\n");
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--allow-net", "127.0.0.0/8",
                                               "--token-file", path, "--token-batches", batches,
                                               "--token-urls", urls, NULL});
}

/* A list of `held` URLs that are answered when the gate opens, and `quick` ones. */
static struct bytes urls(int held, int quick)
{
    list.len = 0;
    for (int i = 0; i < held; i++)
        buffer_printf(&list, "%s/hold/%d\n", origin_url(origin), i);
    for (int i = 0; i < quick; i++)
        buffer_printf(&list, "%s/page/%d\n", origin_url(origin), i);
    return buffer_bytes(&list);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(skimd.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, struct bytes bytes)
{
    ck_assert_int_eq(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

/* Sends the head of a batch of `length` bytes that is let in, and is to come; the socket. */
static int announce(const char *token, size_t length)
{
    struct buffer request = {0};
    int fd = dial();

    buffer_printf(&request,
                  "POST /v1/scrape HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
                  "Content-Length: %zu\r\nExpect: 100-continue\r\n\r\n",
                  token, length);
    say(fd, buffer_bytes(&request));
    said.len = 0;
    ck_assert(read_until(fd, &said, "HTTP/1.1 100 Continue\r\n\r\n"));
    buffer_free(&request);
    return fd;
}

/* The status of the answer that comes now. */
static long status_of(int fd)
{
    said.len = 0;
    ck_assert(read_until(fd, &said, "\r\n\r\n"));
    return strtol(said.ptr + strlen("HTTP/1.1 "), NULL, 10);
}

/* Begins a batch that is not read to its end; the socket. */
static int begin(const char *token, struct bytes body)
{
    struct buffer request = {0};
    int fd = dial();

    buffer_printf(&request,
                  "POST /v1/scrape HTTP/1.0\r\nAuthorization: Bearer %s\r\n"
                  "Content-Length: %zu\r\n\r\n%.*s",
                  token, body.len, (int)body.len, body.ptr);
    say(fd, buffer_bytes(&request));
    buffer_free(&request);
    return fd;
}

static void held_are(uint64_t count)
{
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, count, PATIENCE_MS));
}

static long scrape(const char *token, struct bytes body)
{
    char field[128];

    snprintf(field, sizeof field, "Content-Type: text/plain\nAuthorization: Bearer %s", token);
    client_free(&answer);
    client_ask(&(struct client_request){.method = "POST",
                                        .url = skimd.url,
                                        .path = "/v1/scrape",
                                        .fields = field,
                                        .body = body},
               &answer);
    return answer.status;
}

static void is_told_to_wait(const char *detail)
{
    ck_assert_str_eq(client_field(&answer, "Retry-After"), "5");
    ck_assert_str_eq(client_field(&answer, "Content-Type"), "application/problem+json");
    ck_assert_msg(strstr(answer.body.ptr, detail) != NULL, "%s", answer.body.ptr);
}

START_TEST(a_token_has_so_many_batches_at_once_and_others_do_not_mind)
{
    start("2", "0");
    int one = begin(FIRST, urls(1, 0)), two = begin(FIRST, urls(1, 0));
    held_are(2);
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 429);
    is_told_to_wait("This token has 2 batches under way, and may have 2.");
    ck_assert_int_eq(scrape(SECOND, urls(0, 1)), 200);

    close(one);
    ck_assert(read_until(skimd.log, &said, "client gone"));
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 200);
    close(two);
}
END_TEST

START_TEST(too_many_batches_are_refused_before_the_body_is_sent)
{
    start("1", "0");
    int one = begin(FIRST, urls(1, 0));
    held_are(1);
    int two = dial();
    say(two, BYTES("POST /v1/scrape HTTP/1.1\r\nHost: h\r\n"
                   "Authorization: Bearer " FIRST "\r\nContent-Length: 999999\r\n\r\n"));
    ck_assert_int_eq(status_of(two), 429);
    close(two);
    close(one);
}
END_TEST

START_TEST(batches_that_came_side_by_side_count_when_they_begin)
{
    start("1", "0");
    struct bytes body = urls(1, 0);
    int one = announce(FIRST, body.len), two = announce(FIRST, body.len);

    say(one, body);
    held_are(1);
    say(two, body);
    ck_assert_int_eq(status_of(two), 429);
    close(one);
    close(two);
}
END_TEST

START_TEST(a_token_that_was_taken_away_while_the_body_came_begins_nothing)
{
    start("0", "0");
    struct bytes body = urls(1, 0);
    int one = announce(FIRST, body.len);

    write_file(SECOND "\n");
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    said.len = 0;
    ck_assert(read_until(skimd.log, &said, "the tokens were read again"));
    say(one, body);
    ck_assert_int_eq(status_of(one), 401);
    close(one);
}
END_TEST

START_TEST(only_urls_without_a_record_count)
{
    start("0", "5");
    int one = begin(FIRST, urls(2, 2));
    ck_assert(read_until(one, &said, "\"index\":2"));
    ck_assert(read_until(one, &said, "\"index\":3"));
    held_are(2);
    ck_assert_int_eq(scrape(FIRST, urls(0, 4)), 429);
    is_told_to_wait("This token has 2 URLs under way, and may have 5.");
    ck_assert_int_eq(scrape(FIRST, urls(0, 3)), 200);
    ck_assert_int_eq(scrape(SECOND, urls(0, 5)), 200);
    close(one);
}
END_TEST

START_TEST(a_batch_that_could_never_begin_is_too_large)
{
    start("0", "5");
    ck_assert_int_eq(scrape(FIRST, urls(0, 6)), 413);
    ck_assert_str_eq(client_field(&answer, "Retry-After"), "");
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "too-many-urls"));
    ck_assert_int_eq(scrape(FIRST, urls(0, 5)), 200);
}
END_TEST

START_TEST(one_batch_after_the_other_is_one_at_once)
{
    start("1", "1");
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 200);
}
END_TEST

START_TEST(what_is_under_way_still_counts_when_the_tokens_were_read_again)
{
    start("1", "0");
    int one = begin(FIRST, urls(1, 0));
    held_are(1);
    write_file("0-token-that-comes-first\n" FIRST "\nz-token-that-comes-last\n");
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert(read_until(skimd.log, &said, "the tokens were read again"));
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 429);
    ck_assert_int_eq(scrape("z-token-that-comes-last", urls(0, 1)), 200);
    ck_assert_int_eq(scrape(SECOND, urls(0, 1)), 401);
    close(one);
}
END_TEST

START_TEST(a_batch_goes_on_when_its_token_is_taken_away)
{
    start("1", "0");
    int one = begin(FIRST, urls(1, 0));
    held_are(1);
    write_file(SECOND "\n");
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert(read_until(skimd.log, &said, "the tokens were read again"));
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 401);
    said.len = 0;
    origin_release(origin);
    ck_assert(read_until(one, &said, "\"type\":\"end\""));
    ck_assert(memmem(said.ptr, said.len, "Hold 0", strlen("Hold 0")));
    close(one);
}
END_TEST

START_TEST(without_tokens_there_is_no_quota)
{
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--allow-net", "127.0.0.0/8",
                                               "--token-batches=1", "--token-urls=1", NULL});
    int one = begin(FIRST, urls(1, 0));
    held_are(1);
    ck_assert_int_eq(scrape(FIRST, urls(0, 3)), 200);
    close(one);
}
END_TEST

START_TEST(the_daemon_has_so_many_batches_at_once_whoever_asks)
{
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--allow-net", "127.0.0.0/8",
                                               "--max-batches=2", NULL});
    int one = begin(FIRST, urls(1, 0)), two = begin(SECOND, urls(1, 0));
    held_are(2);
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 503);
    is_told_to_wait("The daemon has 2 batches under way, as many as it may (--max-batches).");
    close(one);
    ck_assert(read_until(skimd.log, &said, "client gone"));
    ck_assert_int_eq(scrape(FIRST, urls(0, 1)), 200);
    close(two);
}
END_TEST

Suite *suite_quota(void)
{
    Suite *s = suite_create("quota");
    TCase *tc = tcase_create("quota");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_token_has_so_many_batches_at_once_and_others_do_not_mind);
    tcase_add_test(tc, too_many_batches_are_refused_before_the_body_is_sent);
    tcase_add_test(tc, batches_that_came_side_by_side_count_when_they_begin);
    tcase_add_test(tc, a_token_that_was_taken_away_while_the_body_came_begins_nothing);
    tcase_add_test(tc, only_urls_without_a_record_count);
    tcase_add_test(tc, a_batch_that_could_never_begin_is_too_large);
    tcase_add_test(tc, one_batch_after_the_other_is_one_at_once);
    tcase_add_test(tc, what_is_under_way_still_counts_when_the_tokens_were_read_again);
    tcase_add_test(tc, a_batch_goes_on_when_its_token_is_taken_away);
    tcase_add_test(tc, without_tokens_there_is_no_quota);
    tcase_add_test(tc, the_daemon_has_so_many_batches_at_once_whoever_asks);
    suite_add_tcase(s, tc);
    return s;
}
