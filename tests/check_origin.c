/*
 * The test origin does what its table says: other tests stand on it. Spoken to over plain blocking
 * sockets, so that nothing here is as forgiving as an HTTP library.
 */
#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

enum { PATIENCE_MS = 10000 };

static struct origin *origin;

static void start(void)
{
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
}

static void stop(void)
{
    origin = origin_stop(origin);
}

/* -- a client that knows nothing --------------------------------------------------------------- */

static int client_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(origin_port(origin)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void client_send(int fd, struct bytes text)
{
    ck_assert_int_eq(send(fd, text.ptr, text.len, MSG_NOSIGNAL), (ssize_t)text.len);
}

static void client_get(int fd, const char *path, const char *fields)
{
    struct buffer request = {0};

    buffer_printf(&request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, fields);
    ck_assert(!request.failed);
    client_send(fd, buffer_bytes(&request));
    buffer_free(&request);
}

/* Receives until `in` has `len` bytes or the connection ends: 0 for enough or FIN, else -errno. */
static int client_receive(int fd, struct buffer *in, size_t len)
{
    while (in->len < len) {
        size_t room = len - in->len < 65536 ? len - in->len : 65536;
        ck_assert(buffer_reserve(in, room));
        ssize_t got = recv(fd, in->ptr + in->len, room, 0);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        in->len += (size_t)got;
    }
    return 0;
}

/* One answer, as received until the connection ended. */
struct reply {
    struct buffer all;
    struct bytes head; /* with its empty line */
    struct bytes body;
    int error; /* 0: ended by FIN */
};

static struct reply fetch_from(int fd)
{
    struct reply reply = {0};

    reply.error = client_receive(fd, &reply.all, SIZE_MAX);
    const char *end = reply.all.len ? memmem(reply.all.ptr, reply.all.len, "\r\n\r\n", 4) : NULL;
    if (end) {
        reply.head = bytes_of(reply.all.ptr, (size_t)(end - reply.all.ptr) + 4);
        reply.body = bytes_of(reply.all.ptr + reply.head.len, reply.all.len - reply.head.len);
    }
    close(fd);
    return reply;
}

static struct reply fetch(const char *path)
{
    int fd = client_open();

    client_get(fd, path, "Connection: close\r\n");
    return fetch_from(fd);
}

static bool contains(struct bytes text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

#define EXPECT_HEAD(reply, part) ck_assert_msg(contains((reply).head, part), "no %s", part)
#define EXPECT_BODY(reply, part) ck_assert_msg(contains((reply).body, part), "no %s", part)

static uint64_t announced(const struct reply *reply)
{
    static const char name[] = "Content-Length: ";
    const char *at = memmem(reply->head.ptr, reply->head.len, name, sizeof name - 1);

    ck_assert_ptr_nonnull(at);
    return strtoull(at + sizeof name - 1, NULL, 10);
}

/* Answered in full: as many bytes as announced, then FIN. */
static void expect_whole(const struct reply *reply)
{
    ck_assert_int_eq(reply->error, 0);
    ck_assert_uint_eq(reply->body.len, announced(reply));
}

/* Inflates through `layers` gzip layers, without keeping anything; returns the plain length. */
static uint64_t inflated_length(struct bytes packed, int window_bits, struct buffer *ret_plain)
{
    z_stream z = {0};
    static Bytef room[65536];
    uint64_t total = 0;
    int result = Z_OK;

    z.next_in = (Bytef *)(uintptr_t)packed.ptr;
    z.avail_in = (uInt)packed.len;
    ck_assert_int_eq(inflateInit2(&z, window_bits), Z_OK);
    while (result == Z_OK) {
        z.next_out = room;
        z.avail_out = sizeof room;
        result = inflate(&z, Z_NO_FLUSH);
        total += sizeof room - z.avail_out;
        if (ret_plain)
            buffer_append(ret_plain, room, sizeof room - z.avail_out);
    }
    ck_assert_int_eq(result, Z_STREAM_END);
    ck_assert_uint_eq(z.avail_in, 0);
    inflateEnd(&z);
    return total;
}

/* -- answers that behave ----------------------------------------------------------------------- */

START_TEST(a_page_has_its_title_and_its_length)
{
    struct reply reply = fetch("/page/7");

    expect_whole(&reply);
    EXPECT_HEAD(reply, "HTTP/1.1 200 OK\r\n");
    EXPECT_HEAD(reply, "Content-Type: text/html; charset=utf-8\r\n");
    EXPECT_BODY(reply, "<title>Page 7</title>");
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_padded_page_has_the_size_asked_for)
{
    struct reply reply = fetch("/page/7?size=100000");

    expect_whole(&reply);
    ck_assert_uint_eq(reply.body.len, 100000);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_delayed_page_comes_no_sooner)
{
    uint64_t before = clock_now_ns();
    struct reply reply = fetch("/page/7?ms=30");

    ck_assert_uint_ge(clock_now_ns() - before, 30 * NS_PER_MS);
    expect_whole(&reply);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_title_is_taken_as_it_is)
{
    struct reply reply = fetch("/title?x=1&t=A%20%26amp%3B%20%3cb%3E%zz");

    EXPECT_BODY(reply, "<title>A &amp; <b>%zz</title>");
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_status_carries_location_and_retry_after)
{
    struct reply moved = fetch("/status/301?to=%2Fpage%2F9");
    struct reply busy = fetch("/status/503?after=2");

    EXPECT_HEAD(moved, "HTTP/1.1 301 ");
    EXPECT_HEAD(moved, "Location: /page/9\r\n");
    EXPECT_HEAD(busy, "HTTP/1.1 503 ");
    EXPECT_HEAD(busy, "Retry-After: 2\r\n");
    ck_assert(!contains(busy.head, "Location"));
    EXPECT_BODY(busy, "<title>Status 503</title>");
    expect_whole(&busy);
    buffer_free(&moved.all);
    buffer_free(&busy.all);
}
END_TEST

START_TEST(a_status_without_body_has_none)
{
    struct reply reply = fetch("/status/204");

    EXPECT_HEAD(reply, "HTTP/1.1 204 ");
    ck_assert(!contains(reply.head, "Content-Length"));
    ck_assert_uint_eq(reply.body.len, 0);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(redirects_count_down_to_page_0)
{
    static const struct {
        const char *path, *location;
    } hops[] = {
        {"/redirect/3", "Location: 2\r\n"},
        {"/redirect/2", "Location: 1\r\n"},
        {"/redirect/1", "Location: ../page/0\r\n"},
        {"/loop", "Location: /loop\r\n"},
        {"/redirect-to?url=http%3A%2F%2F127.0.0.1%3A1%2F", "Location: http://127.0.0.1:1/\r\n"},
    };

    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++) {
        struct reply reply = fetch(hops[i].path);
        EXPECT_HEAD(reply, "HTTP/1.1 302 ");
        EXPECT_HEAD(reply, hops[i].location);
        buffer_free(&reply.all);
    }
}
END_TEST

START_TEST(echo_gives_the_request_head_back)
{
    int fd = client_open();

    client_get(fd, "/echo?a=b", "X-Sent: yes\r\nConnection: close\r\n");
    struct reply reply = fetch_from(fd);
    EXPECT_HEAD(reply, "Content-Type: text/plain\r\n");
    ck_assert(
        bytes_equal(reply.body, BYTES("GET /echo?a=b HTTP/1.1\r\nHost: test\r\nX-Sent: yes\r\n"
                                      "Connection: close\r\n\r\n")));
    buffer_free(&reply.all);
}
END_TEST

START_TEST(content_type_and_charset_are_as_asked_for)
{
    struct reply typed = fetch("/type?ct=image%2Fpng");
    struct reply labelled = fetch("/charset?label=windows-1252");

    EXPECT_HEAD(typed, "Content-Type: image/png\r\n");
    EXPECT_HEAD(labelled, "Content-Type: text/html; charset=windows-1252\r\n");
    EXPECT_BODY(labelled, "<title>caf\xE9</title>");
    buffer_free(&typed.all);
    buffer_free(&labelled.all);
}
END_TEST

START_TEST(encoded_pages_decode_to_the_page)
{
    static const struct {
        const char *path, *encoding;
        int window_bits;
    } cases[] = {
        {"/gzip/4", "Content-Encoding: gzip\r\n", 15 + 16},
        {"/deflate/4", "Content-Encoding: deflate\r\n", 15},
        {"/deflate/4?raw=1", "Content-Encoding: deflate\r\n", -15},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reply reply = fetch(cases[i].path);
        struct buffer plain = {0};
        EXPECT_HEAD(reply, cases[i].encoding);
        expect_whole(&reply);
        inflated_length(reply.body, cases[i].window_bits, &plain);
        ck_assert(contains(buffer_bytes(&plain), "<title>Page 4</title>"));
        buffer_free(&plain);
        buffer_free(&reply.all);
    }
}
END_TEST

START_TEST(head_has_no_body_and_a_posted_body_is_swallowed)
{
    int fd = client_open();

    client_send(fd, BYTES("HEAD /page/1 HTTP/1.1\r\n\r\n"));
    client_send(fd, BYTES("POST /page/2 HTTP/1.1\r\nContent-Length: 7\r\n\r\nGET /x "));
    client_send(fd, BYTES("GET /page/3 HTTP/1.0\r\n\r\n"));
    struct reply reply = fetch_from(fd);
    ck_assert(!contains(reply.body, "Page 1"));
    EXPECT_BODY(reply, "<title>Page 2</title>");
    EXPECT_BODY(reply, "<title>Page 3</title>");
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 3);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(what_is_no_request_is_refused)
{
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"HELLO\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 501 "},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = client_open();
        client_send(fd, bytes_cstr(cases[i].request));
        struct reply reply = fetch_from(fd);
        EXPECT_HEAD(reply, cases[i].status);
        expect_whole(&reply);
        buffer_free(&reply.all);
    }
}
END_TEST

START_TEST(an_unending_request_head_meets_a_431)
{
    struct buffer head = {0};
    int fd = client_open();

    buffer_text(&head, "GET / HTTP/1.1\r\nX: ");
    while (head.len <= 64 * 1024 && !head.failed)
        buffer_byte(&head, 'x');
    client_send(fd, buffer_bytes(&head));
    struct reply reply = fetch_from(fd);
    EXPECT_HEAD(reply, "HTTP/1.1 431 ");
    buffer_free(&reply.all);
    buffer_free(&head);
}
END_TEST

/* -- files ------------------------------------------------------------------------------------- */

static void write_file(const char *directory, const char *name, const char *text)
{
    int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    close(at);
}

static void expect_status(const char *path, const char *status)
{
    struct reply reply = fetch(path);

    ck_assert_msg(contains(reply.head, status), "%s is not %s", path, status);
    buffer_free(&reply.all);
}

START_TEST(files_are_served_from_below_the_site_only)
{
    char directory[] = "/tmp/check_origin.XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(directory));
    int parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(parent, 0);
    write_file(directory, "secret.html", "secret");
    ck_assert_int_eq(mkdirat(parent, "site", 0700), 0);
    ck_assert_int_eq(mkdirat(parent, "site/sub", 0700), 0);
    write_file(directory, "site/index.html", "<title>Index</title>");
    write_file(directory, "site/sub/a.txt", "plain");
    ck_assert_int_eq(symlinkat("../secret.html", parent, "site/link.html"), 0);

    origin = origin_stop(origin);
    char site[sizeof directory + 5];
    snprintf(site, sizeof site, "%s/site", directory);
    origin = origin_start(&(struct origin_options){.site = site});
    ck_assert_ptr_nonnull(origin);

    struct reply index = fetch("/files/");
    struct reply text = fetch("/files/sub/a.txt");
    expect_whole(&index);
    EXPECT_BODY(index, "<title>Index</title>");
    EXPECT_HEAD(text, "Content-Type: text/plain\r\n");
    ck_assert(bytes_equal(text.body, BYTES("plain")));
    expect_status("/files/index.html", " 200 ");
    expect_status("/files/none.html", " 404 ");
    expect_status("/files/sub", " 404 ");
    expect_status("/files/../secret.html", " 404 ");
    expect_status("/files/sub/../../secret.html", " 404 ");
    expect_status("/files/%2e%2e/secret.html", " 404 ");
    expect_status("/files/%2E%2E%2Fsecret.html", " 404 ");
    expect_status("/files//etc/passwd", " 404 ");
    expect_status("/files/index.html%00.txt", " 404 ");
    expect_status("/files/link.html", " 404 ");
    buffer_free(&index.all);
    buffer_free(&text.all);

    static const char *const files[] = {"site/link.html", "site/sub/a.txt", "site/index.html",
                                        "secret.html"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        ck_assert_int_eq(unlinkat(parent, files[i], 0), 0);
    ck_assert_int_eq(unlinkat(parent, "site/sub", AT_REMOVEDIR), 0);
    ck_assert_int_eq(unlinkat(parent, "site", AT_REMOVEDIR), 0);
    close(parent);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(without_a_site_there_are_no_files)
{
    expect_status("/files/index.html", " 404 ");
    expect_status("/files/", " 404 ");
}
END_TEST

/* -- time and size ----------------------------------------------------------------------------- */

START_TEST(a_held_page_comes_when_the_gate_opens)
{
    int first = client_open(), second = client_open();
    struct pollfd readable = {.fd = first, .events = POLLIN};

    client_get(first, "/hold/a", "Connection: close\r\n");
    client_get(second, "/hold/b", "Connection: close\r\n");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 2, PATIENCE_MS));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_IN_FLIGHT), 2);
    ck_assert_int_eq(poll(&readable, 1, 0), 0);

    origin_release(origin);
    struct reply a = fetch_from(first), b = fetch_from(second), c = fetch("/hold/c");
    EXPECT_BODY(a, "<title>Hold a</title>");
    EXPECT_BODY(b, "<title>Hold b</title>");
    EXPECT_BODY(c, "<title>Hold c</title>");
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_HELD), 0);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_MAX_IN_FLIGHT), 2);
    buffer_free(&a.all);
    buffer_free(&b.all);
    buffer_free(&c.all);
}
END_TEST

START_TEST(a_gate_closed_again_holds_again)
{
    origin_release(origin);
    origin_hold(origin);
    int fd = client_open();
    client_get(fd, "/hold/a", "");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    close(fd);
}
END_TEST

START_TEST(a_wait_ends_with_false_on_timeout)
{
    uint64_t before = clock_now_ns();

    ck_assert(!origin_wait_at_least(origin, ORIGIN_REQUESTS, 1, 20));
    ck_assert_uint_ge(clock_now_ns() - before, 20 * NS_PER_MS);
    ck_assert(origin_wait_at_most(origin, ORIGIN_REQUESTS, 0, 0));
}
END_TEST

START_TEST(a_client_that_leaves_takes_its_request_out_of_flight)
{
    static const char *const paths[] = {"/hold/x", "/slow?ms=60000", "/page/1?ms=60000",
                                        "/endless"};
    enum { PATHS = sizeof paths / sizeof paths[0] };
    int fds[PATHS];

    for (size_t i = 0; i < PATHS; i++) {
        fds[i] = client_open();
        client_get(fds[i], paths[i], "");
    }
    ck_assert(origin_wait_at_least(origin, ORIGIN_IN_FLIGHT, PATHS, PATIENCE_MS));
    for (size_t i = 0; i < PATHS; i++)
        close(fds[i]);
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_HELD), 0);
}
END_TEST

START_TEST(a_slow_body_comes_byte_by_byte_behind_its_head)
{
    uint64_t before = clock_now_ns();
    struct reply reply = fetch("/slow?ms=2");

    /* The head and the first byte need no waiting. */
    expect_whole(&reply);
    ck_assert_uint_ge(clock_now_ns() - before, (reply.body.len - 1) * 2 * NS_PER_MS);
    buffer_free(&reply.all);

    struct buffer in = {0};
    int fd = client_open();
    client_get(fd, "/slow?ms=60000", "");
    while (!contains(buffer_bytes(&in), "\r\n\r\n"))
        ck_assert_int_eq(client_receive(fd, &in, in.len + 1), 0);
    buffer_free(&in);
    close(fd);
}
END_TEST

START_TEST(a_dripped_head_is_slow_from_its_first_byte)
{
    uint64_t before = clock_now_ns();
    struct reply reply = fetch("/drip-headers?ms=1");

    expect_whole(&reply);
    ck_assert_uint_ge(clock_now_ns() - before, (reply.all.len - 1) * NS_PER_MS);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_huge_body_is_as_long_as_asked_for)
{
    struct reply reply = fetch("/huge?bytes=5000001");

    expect_whole(&reply);
    ck_assert_uint_eq(reply.body.len, 5000001);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(nested_markup_stands_in_front_of_its_title)
{
    struct reply nested = fetch("/nested/3");
    struct reply misnested = fetch("/misnested/2");
    struct reply deep = fetch("/nested/100000");

    ck_assert(bytes_equal(nested.body, BYTES("<!doctype html>\n<body><div><div><div>"
                                             "<title>Nested 3</title>\n")));
    EXPECT_BODY(misnested, "<body><b><i><i>x</b><b><i><i>x</b><title>Misnested 2</title>");
    expect_whole(&deep);
    ck_assert_uint_gt(deep.body.len, 500000);
    buffer_free(&nested.all);
    buffer_free(&misnested.all);
    buffer_free(&deep.all);
}
END_TEST

START_TEST(a_gzip_bomb_inflates_a_thousandfold)
{
    struct reply once = fetch("/gzip-bomb");
    struct reply twice = fetch("/gzip-bomb?layers=2");
    struct buffer inner = {0};

    expect_whole(&once);
    ck_assert_uint_lt(once.body.len, 300000);
    ck_assert_uint_eq(inflated_length(once.body, 15 + 16, NULL), 256 * 1024 * 1024);
    EXPECT_HEAD(twice, "Content-Encoding: gzip, gzip\r\n");
    ck_assert_uint_lt(twice.body.len, 2000);
    inflated_length(twice.body, 15 + 16, &inner);
    ck_assert(bytes_equal(buffer_bytes(&inner), once.body));
    buffer_free(&inner);
    buffer_free(&once.all);
    buffer_free(&twice.all);
}
END_TEST

/* -- answers that misbehave -------------------------------------------------------------------- */

START_TEST(reset_answers_with_rst)
{
    struct reply reply = fetch("/reset");

    ck_assert_int_eq(reply.error, -ECONNRESET);
    ck_assert_uint_eq(reply.all.len, 0);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(reset_midway_gives_half_of_the_body_then_rst)
{
    struct reply reply = fetch("/reset-midway");

    ck_assert_int_eq(reply.error, -ECONNRESET);
    ck_assert_uint_eq(reply.body.len, announced(&reply) / 2);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(close_answers_with_nothing)
{
    struct reply reply = fetch("/close");

    ck_assert_int_eq(reply.error, 0);
    ck_assert_uint_eq(reply.all.len, 0);
    buffer_free(&reply.all);
}
END_TEST

START_TEST(a_lying_content_length_is_too_large_or_too_small)
{
    struct reply small = fetch("/short"), large = fetch("/long");

    ck_assert_int_eq(small.error, 0);
    ck_assert_uint_eq(small.body.len, 4096);
    ck_assert_uint_eq(announced(&small), 5096);
    ck_assert_int_eq(large.error, 0);
    ck_assert_uint_eq(large.body.len, 4096);
    ck_assert_uint_eq(announced(&large), 3096);
    buffer_free(&small.all);
    buffer_free(&large.all);
}
END_TEST

START_TEST(half_closed_sends_fin_midway_and_keeps_the_connection)
{
    struct reply reply = {0};
    int fd = client_open();

    client_get(fd, "/half-closed", "");
    ck_assert_int_eq(client_receive(fd, &reply.all, SIZE_MAX), 0);
    ck_assert(contains(buffer_bytes(&reply.all), "Content-Length: 4096\r\n"));
    ck_assert_uint_gt(reply.all.len, 2048);
    ck_assert_uint_lt(reply.all.len, 4096);
    client_send(fd, BYTES("still here"));
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_OPEN), 1);
    close(fd);
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    buffer_free(&reply.all);
}
END_TEST

START_TEST(endless_answers_go_on)
{
    enum { ENOUGH = 4 * 1024 * 1024 };
    struct buffer body = {0}, head = {0};
    int one = client_open(), two = client_open();

    client_get(one, "/endless", "");
    client_get(two, "/endless-headers", "");
    ck_assert_int_eq(client_receive(one, &body, ENOUGH), 0);
    ck_assert_int_eq(client_receive(two, &head, ENOUGH), 0);
    ck_assert_uint_eq(body.len, ENOUGH);
    ck_assert_uint_eq(head.len, ENOUGH);
    ck_assert(contains(buffer_bytes(&body), "Transfer-Encoding: chunked\r\n\r\n10\r\n"));
    ck_assert(!contains(buffer_bytes(&body), "\r\n0\r\n"));
    ck_assert(!contains(buffer_bytes(&head), "\r\n\r\n"));
    close(one);
    close(two);
    buffer_free(&body);
    buffer_free(&head);
}
END_TEST

START_TEST(garbage_and_bad_chunks_are_no_http)
{
    struct reply garbage = fetch("/garbage"), chunked = fetch("/bad-chunk");
    struct reply plain = fetch("/lying-gzip");

    ck_assert_uint_eq(garbage.all.len, 26);
    ck_assert(!contains(buffer_bytes(&garbage.all), "HTTP/"));
    EXPECT_HEAD(chunked, "Transfer-Encoding: chunked\r\n");
    EXPECT_BODY(chunked, "5\r\n<html\r\nzz\r\n");
    EXPECT_HEAD(plain, "Content-Encoding: gzip\r\n");
    EXPECT_BODY(plain, "<title>Plain</title>");
    buffer_free(&garbage.all);
    buffer_free(&chunked.all);
    buffer_free(&plain.all);
}
END_TEST

/* -- scripts ----------------------------------------------------------------------------------- */

static int client_open_at(const char *literal)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(origin_port(origin))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(inet_pton(AF_INET, literal, &address.sin_addr), 1);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

START_TEST(a_script_is_played_answer_by_answer)
{
    static const struct step script[] = {SAY("on"),   PAUSE(1), SAY("e"), REPEAT(3, "!"), NEXT,
                                         SAY("t\0o"), CLOSE,    RESET,    SCRIPT_END};
    struct site *site = origin_script(origin, "127.0.0.2", script);
    struct buffer in = {0}, rest = {0};
    struct site_log log;
    int fd = client_open_at("127.0.0.2");

    client_get(fd, "/1", "");
    ck_assert_int_eq(client_receive(fd, &in, 6), 0);
    client_get(fd, "/2", "");
    ck_assert_int_eq(client_receive(fd, &in, SIZE_MAX), 0);
    ck_assert(bytes_equal(buffer_bytes(&in), BYTES("one!!!t\0o")));
    close(fd);
    for (int i = 0; i < 2; i++) { /* the last answer is that to all further requests */
        fd = client_open_at("127.0.0.2");
        client_get(fd, "/3", "");
        ck_assert_int_eq(client_receive(fd, &rest, SIZE_MAX), -ECONNRESET);
        close(fd);
    }
    site_log(origin, site, &log);
    ck_assert_uint_eq(log.connections, 3);
    ck_assert_uint_eq(log.requests, 4);
    ck_assert(contains(buffer_bytes(&log.heads), "GET /2 HTTP/1.1\r\n"));
    buffer_free(&log.heads);
    buffer_free(&in);
    buffer_free(&rest);
}
END_TEST

START_TEST(a_script_may_speak_first_and_wait_at_the_gate)
{
    static const struct step script[] = {UNASKED,           SAY("hello"), HOLD,
                                         DRIP(1, " there"), HALF_CLOSE,   SCRIPT_END};
    struct buffer in = {0};

    ck_assert_ptr_nonnull(origin_script(origin, "127.0.0.2", script));
    int fd = client_open_at("127.0.0.2");
    ck_assert_int_eq(client_receive(fd, &in, 5), 0);
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    origin_release(origin);
    ck_assert_int_eq(client_receive(fd, &in, SIZE_MAX), 0);
    ck_assert(bytes_equal(buffer_bytes(&in), BYTES("hello there")));
    close(fd);
    buffer_free(&in);
}
END_TEST

START_TEST(scripts_are_played_on_loopback_only)
{
    static const char *const refused[] = {"0.0.0.0", "10.0.0.1", "::", "localhost", ""};

    static const struct step script[] = {CLOSE, SCRIPT_END};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ck_assert_ptr_null(origin_script(origin, refused[i], script));
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_ptr_null(origin_script(origin, "127.0.0.1", script));
    ck_assert_int_eq(errno, EADDRINUSE);
}
END_TEST

/* -- load, start and stop ---------------------------------------------------------------------- */

START_TEST(ten_thousand_requests_over_two_hundred_kept_connections)
{
    enum { CLIENTS = 200, ROUNDS = 50 };
    struct buffer in = {0};
    int fds[CLIENTS];
    struct reply sample = fetch("/page/1");
    size_t answer_len = sample.all.len - strlen("Connection: close\r\n");

    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_open();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            client_get(fds[i], "/page/1", "");
        for (int i = 0; i < CLIENTS; i++) {
            in.len = 0;
            ck_assert_int_eq(client_receive(fds[i], &in, answer_len), 0);
            ck_assert_uint_eq(in.len, answer_len);
        }
    }
    ck_assert(contains(buffer_bytes(&in), "<title>Page 1</title>"));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 1 + CLIENTS * ROUNDS);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1 + CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    buffer_free(&in);
    buffer_free(&sample.all);
}
END_TEST

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned n = 0;

    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

START_TEST(stop_ends_every_connection_whatever_it_is_doing)
{
    static const char *const paths[] = {"/hold/x",  "/slow?ms=1",   "/page/1?ms=60000",
                                        "/endless", "/half-closed", "/page/1"};
    enum { PATHS = sizeof paths / sizeof paths[0] };
    int fds[PATHS];

    origin = origin_stop(origin);
    unsigned before = open_descriptors();
    start();
    for (size_t i = 0; i < PATHS; i++) {
        fds[i] = client_open();
        client_get(fds[i], paths[i], "");
    }
    ck_assert(origin_wait_at_least(origin, ORIGIN_REQUESTS, PATHS, PATIENCE_MS));
    origin = origin_stop(origin);
    for (size_t i = 0; i < PATHS; i++) {
        struct reply reply = fetch_from(fds[i]);
        ck_assert_int_ne(reply.error, -EAGAIN);
        buffer_free(&reply.all);
    }
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(only_loopback_addresses_are_listened_on)
{
    static const char *const refused[] = {"0.0.0.0", "10.0.0.1", "128.0.0.1", "localhost", ""};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ck_assert_ptr_null(origin_start(&(struct origin_options){.address = refused[i]}));
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_ptr_null(origin_start(&(struct origin_options){.site = "/nonexistent"}));
    ck_assert_int_eq(errno, ENOENT);

    struct origin *other = origin_start(&(struct origin_options){.address = "127.0.0.2"});
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(strncmp(origin_url(other), "http://127.0.0.2:", 17), 0);
    ck_assert_uint_ne(origin_port(other), 0);
    ck_assert_ptr_null(origin_stop(other));
    ck_assert_ptr_null(origin_stop(NULL));
}
END_TEST

Suite *suite_origin(void)
{
    const TTest *const tests[] = {
        a_page_has_its_title_and_its_length,
        a_padded_page_has_the_size_asked_for,
        a_delayed_page_comes_no_sooner,
        a_title_is_taken_as_it_is,
        a_status_carries_location_and_retry_after,
        a_status_without_body_has_none,
        redirects_count_down_to_page_0,
        echo_gives_the_request_head_back,
        content_type_and_charset_are_as_asked_for,
        encoded_pages_decode_to_the_page,
        head_has_no_body_and_a_posted_body_is_swallowed,
        what_is_no_request_is_refused,
        an_unending_request_head_meets_a_431,
        files_are_served_from_below_the_site_only,
        without_a_site_there_are_no_files,
        a_held_page_comes_when_the_gate_opens,
        a_gate_closed_again_holds_again,
        a_wait_ends_with_false_on_timeout,
        a_client_that_leaves_takes_its_request_out_of_flight,
        a_slow_body_comes_byte_by_byte_behind_its_head,
        a_dripped_head_is_slow_from_its_first_byte,
        a_huge_body_is_as_long_as_asked_for,
        nested_markup_stands_in_front_of_its_title,
        a_gzip_bomb_inflates_a_thousandfold,
        reset_answers_with_rst,
        reset_midway_gives_half_of_the_body_then_rst,
        close_answers_with_nothing,
        a_lying_content_length_is_too_large_or_too_small,
        half_closed_sends_fin_midway_and_keeps_the_connection,
        endless_answers_go_on,
        garbage_and_bad_chunks_are_no_http,
        a_script_is_played_answer_by_answer,
        a_script_may_speak_first_and_wait_at_the_gate,
        scripts_are_played_on_loopback_only,
        ten_thousand_requests_over_two_hundred_kept_connections,
        stop_ends_every_connection_whatever_it_is_doing,
        only_loopback_addresses_are_listened_on,
    };
    Suite *suite = suite_create("origin");
    TCase *answers = tcase_create("answers");

    tcase_add_checked_fixture(answers, start, stop);
    tcase_set_timeout(answers, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(answers, tests[i]);
    suite_add_tcase(suite, answers);
    return suite;
}
