/*
 * Who may call: the tokens by themselves, and the daemon that asks for them.
 */
#include "server/access/access.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"
#include "tests/support/tls_origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST  "first-token-0123456789"
#define SECOND "second-token-0123456789"
#define THIRD  "third-token-0123456789"

/* The token file of a test; it has no name of its own. */
static int file = -1;
static char path[64];

static void write_file(const char *text)
{
    if (file < 0) {
        file = memfd_create("tokens", MFD_CLOEXEC);
        ck_assert_int_ge(file, 0);
        snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), file);
    }
    ck_assert_int_eq(ftruncate(file, 0), 0);
    ck_assert_int_eq(pwrite(file, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void close_file(void)
{
    if (file >= 0)
        close(file);
    file = -1;
}

/* -- tokens ------------------------------------------------------------------------------------ */

static struct access *access_made;
static char message[ACCESS_MESSAGE_SIZE];

static void make(const char *token_file, const char *token)
{
    int rc = access_new(&(struct access_options){.token_file = token_file, .token = token},
                        &access_made, message);

    ck_assert_msg(rc == 0, "%s", message);
}

static void free_access(void)
{
    access_made = access_free(access_made);
    close_file();
}

static struct problem refusal;

/* The account of who sends this field; NULL when the field is refused. */
static struct account *account_of(const char *authorization)
{
    struct account *account;

    refusal = (struct problem){0};
    return access_check(access_made, bytes_cstr(authorization), &account, &refusal) ? account
                                                                                    : NULL;
}

START_TEST(without_tokens_everyone_may_call)
{
    struct account *account = NULL;

    make(NULL, NULL);
    ck_assert_uint_eq(access_tokens(access_made), 0);
    ck_assert(access_check(access_made, bytes_of(NULL, 0), &account, &refusal));
    ck_assert_ptr_null(account);
    ck_assert(access_check(access_made, BYTES("Bearer nonsense"), &account, &refusal));
}
END_TEST

START_TEST(each_token_has_an_account_of_its_own)
{
    write_file(FIRST "\n" SECOND "\n");
    make(path, THIRD);
    ck_assert_uint_eq(access_tokens(access_made), 3);
    struct account *first = account_of("Bearer " FIRST);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(account_of("Bearer " SECOND));
    ck_assert_ptr_nonnull(account_of("Bearer " THIRD));
    ck_assert_ptr_ne(account_of("Bearer " SECOND), first);
    ck_assert_ptr_ne(account_of("Bearer " THIRD), first);
    ck_assert_ptr_eq(account_of("bearer  " FIRST), first); /* RFC 9110 section 11.1 */
}
END_TEST

static const char *const no_tokens[] = {"", "Basic Zmlyc3Q6", "Bearer", ("Token " FIRST), FIRST};

START_TEST(who_sends_no_token_is_asked_for_one)
{
    make(NULL, FIRST);
    ck_assert_ptr_null(account_of(no_tokens[_i]));
    ck_assert_int_eq(refusal.status, 401);
    ck_assert_str_eq(refusal.challenge, "Bearer realm=\"skimd\"");
}
END_TEST

static const char *const wrong_tokens[] = {("Bearer " SECOND), ("Bearer " FIRST "x"), "Bearer ",
                                           ("Bearer " FIRST " " SECOND)};

START_TEST(who_sends_a_wrong_token_is_told_so_and_not_which)
{
    make(NULL, FIRST);
    ck_assert_ptr_null(account_of(wrong_tokens[_i]));
    ck_assert_int_eq(refusal.status, 401);
    ck_assert_str_eq(refusal.challenge, "Bearer realm=\"skimd\", error=\"invalid_token\"");
    ck_assert_ptr_null(strstr(refusal.detail, "token-0"));
}
END_TEST

static const struct {
    const char *text, *what;
} bad_files[] = {
    {"", "has no token"},
    {"# nothing\n\n", "has no token"},
    {"# one\n" FIRST "\nshort\n", "line 3 is not a token: "},
    {FIRST "\nsecret with blanks in it\n", "line 2 is not a token: "},
};

START_TEST(a_bad_file_is_told_in_one_line_that_shows_no_token)
{
    write_file(bad_files[_i].text);
    ck_assert_int_lt(
        access_new(&(struct access_options){.token_file = path}, &access_made, message), 0);
    ck_assert_ptr_nonnull(strstr(message, "--token-file: \"/proc/"));
    ck_assert_msg(strstr(message, bad_files[_i].what) != NULL, "%s", message);
    ck_assert_ptr_null(strchr(message, '\n'));
    ck_assert_ptr_null(strstr(message, "short"));
    ck_assert_ptr_null(strstr(message, "secret"));
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told_with_the_reason)
{
    struct access_options options = {.token_file = "/nowhere/tokens", .token = FIRST};

    ck_assert_int_eq(access_new(&options, &access_made, message), -ENOENT);
    ck_assert_str_eq(message, "--token-file: \"/nowhere/tokens\": No such file or directory");
    options.token_file = "/dev";
    ck_assert_int_eq(access_new(&options, &access_made, message), -EISDIR);
    options.token_file = "/dev/zero";
    ck_assert_int_eq(access_new(&options, &access_made, message), -EFBIG);
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct daemon skimd;
static struct client_answer answer;
static struct buffer said; /* by its log */

static void start(const char *tokens)
{
    write_file(tokens);
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--token-file", path, NULL});
}

static void forget(void)
{
    client_free(&answer);
    buffer_free(&said);
    close_file();
}

static long ask(const char *method, const char *where, const char *token)
{
    char field[128];

    snprintf(field, sizeof field, "Authorization: Bearer %s", token ? token : "");
    client_free(&answer);
    client_ask(
        &(struct client_request){
            .method = method, .url = skimd.url, .path = where, .fields = token ? field : NULL},
        &answer);
    return answer.status;
}

static void reload(const char *outcome)
{
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert_msg(read_until(skimd.log, &said, outcome), "%.*s", (int)said.len, said.ptr);
    said.len = 0;
}

START_TEST(every_path_but_those_of_health_and_of_the_page_needs_a_token)
{
    static const char *const paths[] = {"/v1/scrape",  "/v1/batches", "/v1/hosts/a", "/v1/status",
                                        "/metrics",    "/nowhere",    "/healthz/",   "//healthz",
                                        "/healthz%2F", "//",          "/page.css/",  "/index.html"};
    static const char *const open[] = {"/healthz",  "/readyz",  "/",
                                       "/page.css", "/page.js", "/icon.svg"};

    start(FIRST);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        ck_assert_int_eq(ask("GET", open[i], NULL), 200);
        ck_assert_int_eq(ask("HEAD", open[i], NULL), 200);
    }
    ck_assert_int_eq(ask("GET", "/healthz?a=b", "wrong"), 200);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ck_assert_int_eq(ask("GET", paths[i], NULL), 401);
        ck_assert_str_eq(client_field(&answer, "WWW-Authenticate"), "Bearer realm=\"skimd\"");
        ck_assert_str_eq(client_field(&answer, "Content-Type"), "application/problem+json");
        ck_assert_int_eq(ask("DELETE", paths[i], SECOND), 401);
        ck_assert_str_eq(client_field(&answer, "WWW-Authenticate"),
                         "Bearer realm=\"skimd\", error=\"invalid_token\"");
        ck_assert_int_ne(ask("GET", paths[i], FIRST), 401);
    }
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(who_has_no_token_is_refused_before_the_body_is_sent)
{
    static const char request[] = "POST /v1/scrape HTTP/1.1\r\nHost: h\r\n"
                                  "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    start(FIRST);
    address.sin_port = htons(skimd.port);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    ck_assert(read_until(fd, &said, "\r\n\r\n"));
    ck_assert_int_eq(memcmp(said.ptr, "HTTP/1.1 401 ", strlen("HTTP/1.1 401 ")), 0);
    close(fd);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(a_batch_runs_for_who_has_a_token)
{
    start(FIRST "\n" SECOND);
    client_free(&answer);
    client_ask(&(struct client_request){.method = "POST",
                                        .url = skimd.url,
                                        .path = "/v1/scrape",
                                        .fields = "Authorization: Bearer " SECOND
                                                  "\nContent-Type: text/plain",
                                        .body = BYTES("http://127.0.0.1:1/\n")},
               &answer);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "blocked_address"));
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(sighup_reads_the_tokens_again)
{
    start(FIRST "\n");
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", SECOND), 401);
    write_file(SECOND "\n" THIRD "\n");
    reload("the tokens were read again");
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", FIRST), 401);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", SECOND), 404);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", THIRD), 404);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(a_file_that_became_bad_changes_nothing_and_is_logged)
{
    start(FIRST "\n");
    write_file(SECOND "\nnot a token\n");
    reload("line 2 is not a token");
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", FIRST), 404);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", SECOND), 401);
    write_file("");
    reload("has no token");
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", NULL), 401);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", FIRST), 404);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(no_token_is_in_the_log)
{
    start(FIRST "\n");
    ask("GET", "/v1/hosts/a", FIRST);
    ask("GET", "/v1/hosts/a", SECOND);
    write_file("no token: " THIRD "\n");
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert(read_until(skimd.log, &said, "is not a token"));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &said, "\"stopped\""));
    ck_assert_ptr_null(memmem(said.ptr, said.len, "token-0", strlen("token-0")));
    ck_assert_int_eq(daemon_wait(&skimd), 0);
}
END_TEST

START_TEST(the_token_of_the_environment_is_wiped_out_there)
{
    char place[64];
    struct buffer environment = {0};

    ck_assert_int_eq(setenv("SKIMD_TOKEN", FIRST, 1), 0);
    daemon_start(&skimd, (const char *const[]){"--workers", "1", NULL});
    ck_assert_int_eq(unsetenv("SKIMD_TOKEN"), 0);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", NULL), 401);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", FIRST), 404);

    snprintf(place, sizeof place, "/proc/%ld/environ", (long)skimd.pid);
    FILE *stream = fopen(place, "re");
    ck_assert_ptr_nonnull(stream);
    for (int c; (c = getc(stream)) != EOF;)
        buffer_byte(&environment, (char)c);
    fclose(stream);
    ck_assert_uint_gt(environment.len, 0);
    ck_assert_ptr_nonnull(environment.ptr);
    ck_assert(memmem(environment.ptr, environment.len, "SKIMD_TOKEN=", 12));
    ck_assert(!memmem(environment.ptr, environment.len, FIRST, strlen(FIRST)));
    buffer_free(&environment);
    reload("there is no --token-file");
    ck_assert_int_eq(ask("GET", "/v1/hosts/a", FIRST), 404);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(the_daemon_does_not_start_with_tokens_that_it_cannot_read)
{
    char text[1024];

    ck_assert_int_eq(daemon_run((const char *const[]){"--token-file", "/nowhere/tokens", NULL},
                                text, sizeof text),
                     2);
    ck_assert_str_eq(text, "skimd: --token-file: \"/nowhere/tokens\": No such file or directory\n");
}
END_TEST

/* -- the daemon over TLS ----------------------------------------------------------------------- */

/* Two files with a certificate for localhost and its key, and one with another key. */
static struct tls_authority *authority;
static int pems[3];
static char pem_paths[3][64];

static void write_pem(int which, const struct buffer *text)
{
    pems[which] = memfd_create("pem", MFD_CLOEXEC);
    ck_assert_int_ge(pems[which], 0);
    ck_assert_int_eq(write(pems[which], text->ptr, text->len), (ssize_t)text->len);
    snprintf(pem_paths[which], sizeof pem_paths[which], "/proc/%ld/fd/%d", (long)getpid(),
             pems[which]);
}

static void setup_tls(void)
{
    struct buffer certificate = {0}, key = {0}, other_key = {0}, other = {0};

    authority = tls_authority_new();
    tls_authority_certify(authority, "DNS:localhost", &certificate, &key);
    tls_authority_certify(authority, "DNS:localhost", &other, &other_key);
    write_pem(0, &certificate);
    write_pem(1, &key);
    write_pem(2, &other_key);
    buffer_free(&certificate);
    buffer_free(&key);
    buffer_free(&other_key);
    buffer_free(&other);
}

static void teardown_tls(void)
{
    for (int i = 0; i < 3; i++)
        close(pems[i]);
    authority = tls_authority_free(authority);
    forget();
}

START_TEST(a_batch_runs_over_tls)
{
    enum { URLS = 20000 };
    struct buffer urls = {0};
    struct records records;
    char url[64];

    write_file(FIRST);
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--token-file", path, "--tls-cert",
                                               pem_paths[0], "--tls-key", pem_paths[1], NULL});
    snprintf(url, sizeof url, "https://localhost:%u", skimd.port);
    for (int i = 0; i < URLS; i++)
        buffer_printf(&urls, "http://127.0.0.1/%d\n", i);
    struct client_request request = {.method = "POST",
                                     .url = url,
                                     .path = "/v1/scrape",
                                     .fields = "Authorization: Bearer " FIRST
                                               "\nContent-Type: text/plain",
                                     .ca_file = tls_authority_file(authority),
                                     .body = buffer_bytes(&urls)};
    client_ask(&request, &answer);
    ck_assert_int_eq(answer.status, 200);
    records_parse(buffer_bytes(&answer.body), &records);
    ck_assert_uint_eq(records.failed, URLS);
    records_free(&records);

    /* Nobody answers without TLS, nor is the certificate anybody else's. */
    client_free(&answer);
    request.url = skimd.url;
    ck_assert_int_ne(client_try(&request, &answer), 0);
    ck_assert_int_eq(answer.status, 0);
    client_free(&answer);
    snprintf(url, sizeof url, "https://127.0.0.1:%u", skimd.port);
    request.url = url;
    ck_assert_int_ne(client_try(&request, &answer), 0);
    buffer_free(&urls);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

/* Runs the daemon with these files: 2, and what it said after "skimd: ". */
static const char *refused(const char *certificate, const char *key)
{
    static char text[1024];

    ck_assert_int_eq(
        daemon_run((const char *const[]){"--tls-cert", certificate, "--tls-key", key, NULL}, text,
                   sizeof text),
        2);
    ck_assert_int_eq(strncmp(text, "skimd: ", 7), 0);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    return text + 7;
}

START_TEST(files_that_make_no_tls_are_told_in_one_line)
{
    ck_assert_str_eq(refused("/nowhere/c.pem", pem_paths[1]),
                     "--tls-cert: \"/nowhere/c.pem\": No such file or directory\n");
    ck_assert_str_eq(refused(pem_paths[0], "/nowhere/k.pem"),
                     "--tls-key: \"/nowhere/k.pem\": No such file or directory\n");
    ck_assert_int_eq(strncmp(refused(pem_paths[1], pem_paths[1]), "--tls-cert: ", 12), 0);
    ck_assert_int_eq(strncmp(refused(pem_paths[0], pem_paths[0]), "--tls-key: ", 11), 0);
    ck_assert_int_eq(strncmp(refused("/dev/null", pem_paths[1]), "--tls-cert: ", 12), 0);
    ck_assert_ptr_nonnull(strstr(refused(pem_paths[0], pem_paths[2]), "do not match"));
}
END_TEST

Suite *suite_access(void)
{
    Suite *s = suite_create("access");
    TCase *tokens = tcase_create("tokens"), *daemon = tcase_create("daemon"),
          *tls = tcase_create("tls");

    tcase_add_checked_fixture(tokens, NULL, free_access);
    tcase_add_test(tokens, without_tokens_everyone_may_call);
    tcase_add_test(tokens, each_token_has_an_account_of_its_own);
    tcase_add_loop_test(tokens, who_sends_no_token_is_asked_for_one, 0,
                        sizeof no_tokens / sizeof no_tokens[0]);
    tcase_add_loop_test(tokens, who_sends_a_wrong_token_is_told_so_and_not_which, 0,
                        sizeof wrong_tokens / sizeof wrong_tokens[0]);
    tcase_add_loop_test(tokens, a_bad_file_is_told_in_one_line_that_shows_no_token, 0,
                        sizeof bad_files / sizeof bad_files[0]);
    tcase_add_test(tokens, a_file_that_cannot_be_read_is_told_with_the_reason);
    suite_add_tcase(s, tokens);

    tcase_add_checked_fixture(daemon, NULL, forget);
    tcase_set_timeout(daemon, 60);
    tcase_add_test(daemon, every_path_but_those_of_health_and_of_the_page_needs_a_token);
    tcase_add_test(daemon, who_has_no_token_is_refused_before_the_body_is_sent);
    tcase_add_test(daemon, a_batch_runs_for_who_has_a_token);
    tcase_add_test(daemon, sighup_reads_the_tokens_again);
    tcase_add_test(daemon, a_file_that_became_bad_changes_nothing_and_is_logged);
    tcase_add_test(daemon, no_token_is_in_the_log);
    tcase_add_test(daemon, the_token_of_the_environment_is_wiped_out_there);
    tcase_add_test(daemon, the_daemon_does_not_start_with_tokens_that_it_cannot_read);
    suite_add_tcase(s, daemon);

    tcase_add_checked_fixture(tls, setup_tls, teardown_tls);
    tcase_set_timeout(tls, 60);
    tcase_add_test(tls, a_batch_runs_over_tls);
    tcase_add_test(tls, files_that_make_no_tls_are_told_in_one_line);
    suite_add_tcase(s, tls);
    return s;
}
