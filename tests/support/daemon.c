#include "tests/support/daemon.h"

#include "tests/support/transcript.h"

#include <arpa/inet.h>
#include <check.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32, REQUEST_TIMEOUT_S = 100 };

/* -- process ----------------------------------------------------------------------------------- */

struct command {
    const char *argv[ARGUMENTS_MAX];
    size_t n;
};

static void add_words(struct command *c, const char *const *words)
{
    for (; words && *words; words++) {
        ck_assert_uint_lt(c->n + 1, ARGUMENTS_MAX);
        c->argv[c->n++] = *words;
    }
}

static void add_binary(struct command *c)
{
    const char *binary = getenv("SKIMD_BINARY");

    ck_assert_msg(binary != NULL, "SKIMD_BINARY is not set; run the tests with make check");
    add_words(c, (const char *const[]){binary, NULL});
}

/* `listen_fd` becomes descriptor 3; -1: none. */
static pid_t spawn(const struct command *c, int listen_fd, int *ret_stderr)
{
    posix_spawn_file_actions_t actions;
    int out[2];
    pid_t pid;

    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO), 0);
    ck_assert_int_eq(
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0), 0);
    if (listen_fd >= 0)
        ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, listen_fd, 3), 0);
    ck_assert_int_eq(
        posix_spawnp(&pid, c->argv[0], &actions, NULL, (char *const *)(uintptr_t)c->argv, environ),
        0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    *ret_stderr = out[0];
    return pid;
}

/* exec keeps the process ID, so the shell knows the daemon's. */
static struct command under_manager(const char *const *arguments, const char *const *variables)
{
    static const char *const shell[] = {
        "sh", "-c", "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\"", NULL};
    struct command c = {.argv = {"env"}, .n = 1};

    add_words(&c, variables);
    add_words(&c, shell);
    add_binary(&c);
    add_words(&c, arguments);
    return c;
}

/* Reads up to the end of a line or of the file; what was read stays NUL-terminated in `line`. */
static void read_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
}

static void wait_until_it_listens(struct daemon *d)
{
    /* The latter stands for all addresses, and so for this one. */
    static const char *const keys[] = {"\"address\":\"127.0.0.1:", "\"address\":\"0.0.0.0:"};
    const char *port = NULL;
    char line[1024];

    read_line(d->log, line, sizeof line);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !port; i++) {
        const char *address = strstr(line, keys[i]);
        port = address ? address + strlen(keys[i]) : NULL;
    }
    ck_assert_msg(port && strstr(line, "\"msg\":\"listening\""), "first log line: %s", line);
    d->port = (uint16_t)strtoul(port, NULL, 10);
    snprintf(d->url, sizeof d->url, "http://127.0.0.1:%u", d->port);
}

void daemon_start(struct daemon *ret, const char *const *arguments)
{
    static const char *const fixed[] = {"--listen", "127.0.0.1:0", "--log", "json",
                                        /* Nobody reads it meanwhile: the pipe would be full. */
                                        "--access-log", "off", NULL};
    struct command c = {0};

    add_binary(&c);
    add_words(&c, fixed);
    add_words(&c, arguments);
    ret->pid = spawn(&c, -1, &ret->log);
    wait_until_it_listens(ret);
}

void daemon_start_under(struct daemon *ret, const char *const *arguments,
                        const char *const *variables, int listen_fd)
{
    struct command c = under_manager(arguments, variables);

    ret->pid = spawn(&c, listen_fd, &ret->log);
    wait_until_it_listens(ret);
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool says(const struct buffer *log, const char *text)
{
    return log->len > 0 && memmem(log->ptr, log->len, text, strlen(text));
}

int daemon_wait(struct daemon *d)
{
    static const char lost_failure[] = "a failure that nobody handled";
    struct buffer rest = {0};
    int status;

    read_until(d->log, &rest, "there is no such line");
    close(d->log);
    /* Show what it said: nothing in a good run but records of batches. */
    if (says(&rest, "Sanitizer") || says(&rest, "\"error\"") || says(&rest, lost_failure))
        fwrite(rest.ptr, 1, rest.len, stderr);
    status = wait_for(d->pid);
    ck_assert_msg(!says(&rest, lost_failure), "it lost a failure");
    buffer_free(&rest);
    return status;
}

int daemon_stop(struct daemon *d)
{
    ck_assert_int_eq(kill(d->pid, SIGTERM), 0);
    return daemon_wait(d);
}

static int run(const struct command *c, int listen_fd, char *ret_stderr, size_t size)
{
    int fd;
    size_t n = 0;
    ssize_t got;
    pid_t pid = spawn(c, listen_fd, &fd);

    while (n + 1 < size && (got = read(fd, ret_stderr + n, size - n - 1)) > 0)
        n += (size_t)got;
    ret_stderr[n] = '\0';
    close(fd);
    return wait_for(pid);
}

int daemon_run(const char *const *arguments, char *ret_stderr, size_t size)
{
    struct command c = {0};

    add_binary(&c);
    add_words(&c, arguments);
    return run(&c, -1, ret_stderr, size);
}

int daemon_run_under(const char *const *arguments, const char *const *variables, int listen_fd,
                     char *ret_stderr, size_t size)
{
    struct command c = under_manager(arguments, variables);

    return run(&c, listen_fd, ret_stderr, size);
}

size_t daemon_workers(const struct daemon *d, pid_t *ret_pids, size_t capacity)
{
    char name[128], line[64];
    size_t n = 0;

    /* Workers are the children of whichever thread spawned them. */
    snprintf(name, sizeof name, "/proc/%ld/task", (long)d->pid);
    DIR *tasks = opendir(name);
    ck_assert_ptr_nonnull(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "/proc/%ld/task/%.20s/children", (long)d->pid, entry->d_name);
        FILE *children = fopen(name, "re");
        if (!children)
            continue;
        while (n < capacity && fscanf(children, "%63s", line) == 1)
            ret_pids[n++] = (pid_t)strtol(line, NULL, 10);
        fclose(children);
    }
    closedir(tasks);
    return n;
}

long daemon_rss_kib(const struct daemon *d)
{
    char path[64], line[256];
    long kib = -1;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)d->pid);
    FILE *status = fopen(path, "re");
    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(status);
    ck_assert_int_gt(kib, 0);
    return kib;
}

/* -- HTTP -------------------------------------------------------------------------------------- */

static size_t append(char *data, size_t one, size_t n, void *arg)
{
    (void)one;
    buffer_append(arg, data, n);
    return n;
}

void daemon_request(const struct daemon *d, const char *method, const char *path,
                    const char *content_type, struct bytes body, struct reply *ret)
{
    char url[512], header[160], error[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    struct curl_header *field;
    struct buffer head = {0};
    CURL *c = curl_easy_init();

    *ret = (struct reply){0};
    snprintf(url, sizeof url, "%s%s", d->url, path);
    snprintf(header, sizeof header, "Content-Type:%s%s", content_type ? " " : "",
             content_type ? content_type : "");
    headers = curl_slist_append(headers, header);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)REQUEST_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, append);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &head);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &ret->body);
    if (body.ptr) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.ptr);
    }
    CURLcode rc = curl_easy_perform(c);
    ck_assert_msg(rc == CURLE_OK, "%s %s: %s", method, path, error);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &ret->status);
    if (curl_easy_header(c, "Content-Type", 0, CURLH_HEADER, -1, &field) == CURLHE_OK)
        snprintf(ret->content_type, sizeof ret->content_type, "%s", field->value);
    if (curl_easy_header(c, "Allow", 0, CURLH_HEADER, -1, &field) == CURLHE_OK)
        snprintf(ret->allow, sizeof ret->allow, "%s", field->value);
    transcript_add(&(struct transcript_request){method, path, header, body}, buffer_bytes(&head),
                   buffer_bytes(&ret->body));
    buffer_free(&head);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
}

void reply_free(struct reply *a)
{
    buffer_free(&a->body);
}

/* -- records ----------------------------------------------------------------------------------- */

static size_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_integer(value), "%s is no integer", key);
    return (size_t)json_integer_value(value);
}

static size_t count_status(const struct records *r, const char *status)
{
    size_t n = 0;

    for (size_t i = 0; i < r->total; i++)
        n += strcmp(record_text(r, i, "status"), status) == 0;
    return n;
}

void records_parse(struct bytes body, struct records *ret)
{
    struct bytes rest = body;
    json_t *end = NULL;
    size_t lines = 0;
    json_error_t error;

    *ret = (struct records){0};
    for (const char *p = body.ptr; p && p < body.ptr + body.len; p++)
        lines += *p == '\n';
    ck_assert_uint_gt(lines, 0);
    ret->total = lines - 1;
    ret->by_index = calloc(lines, sizeof *ret->by_index);
    ret->arrival = calloc(lines, sizeof *ret->arrival);
    for (size_t n = 0; n < lines; n++) {
        struct bytes line = bytes_split(&rest, '\n');
        json_t *record = json_loadb(line.ptr, line.len, 0, &error);
        ck_assert_msg(json_is_object(record), "%.*s: %s", (int)line.len, line.ptr, error.text);
        if (n == lines - 1) {
            end = record;
            break;
        }
        size_t index = number(record, "index");
        ck_assert_uint_lt(index, ret->total);
        ck_assert_msg(!ret->by_index[index], "index %zu came twice", index);
        ret->by_index[index] = record;
        ret->arrival[index] = n;
    }
    ck_assert_str_eq(json_string_value(json_object_get(end, "type")), "end");
    ck_assert_uint_eq(number(end, "total"), ret->total);
    ret->ok = number(end, "ok");
    ret->failed = number(end, "failed");
    ret->cancelled = number(end, "cancelled");
    ck_assert_uint_eq(ret->ok, count_status(ret, "ok"));
    ck_assert_uint_eq(ret->failed, count_status(ret, "failed"));
    ck_assert_uint_eq(ret->cancelled, count_status(ret, "cancelled"));
    ck_assert_uint_eq(ret->total, ret->ok + ret->failed + ret->cancelled);
    json_decref(end);
}

void records_free(struct records *r)
{
    for (size_t i = 0; i < r->total; i++)
        json_decref(r->by_index[i]);
    free(r->by_index);
    free(r->arrival);
}

void daemon_scrape(const struct daemon *d, const char *query, const char *content_type,
                   struct bytes body, struct records *ret)
{
    char path[256];
    struct reply a;

    snprintf(path, sizeof path, "/v1/scrape%s", query);
    daemon_request(d, "POST", path, content_type, body, &a);
    ck_assert_msg(a.status == 200, "%ld: %.*s", a.status, (int)a.body.len, a.body.ptr);
    ck_assert_str_eq(a.content_type, "application/x-ndjson");
    records_parse(buffer_bytes(&a.body), ret);
    reply_free(&a);
}

const char *record_text(const struct records *r, size_t index, const char *field)
{
    const char *text = json_string_value(json_object_get(r->by_index[index], field));

    return text ? text : "";
}

const char *record_error(const struct records *r, size_t index)
{
    const json_t *error = json_object_get(r->by_index[index], "error");
    const char *code = json_string_value(json_object_get(error, "code"));

    return code ? code : "";
}

long record_number(const struct records *r, size_t index, const char *field)
{
    return (long)json_integer_value(json_object_get(r->by_index[index], field));
}

/* -- by hand ----------------------------------------------------------------------------------- */

int daemon_open_scrape(const struct daemon *d, const char *query, struct bytes body)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(d->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct buffer request = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    transcript_expect(fd, "/v1/scrape");
    buffer_printf(&request, "POST /v1/scrape%s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", query,
                  body.len);
    buffer_append(&request, body.ptr, body.len);
    for (size_t sent = 0; sent < request.len;) {
        ssize_t n = send(fd, request.ptr + sent, request.len - sent, MSG_NOSIGNAL);
        ck_assert_int_gt(n, 0);
        sent += (size_t)n;
    }
    buffer_free(&request);
    return fd;
}

static bool read_to(int fd, struct buffer *in, const char *needle)
{
    char chunk[16384];
    size_t looked = 0, length = strlen(needle); /* bytes in which it is known not to begin */

    for (;;) {
        if (in->len >= length) {
            if (memmem(in->ptr + looked, in->len - looked, needle, length))
                return true;
            looked = in->len - length + 1;
        }
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0)
            return false;
        buffer_append(in, chunk, (size_t)n);
    }
}

bool read_until(int fd, struct buffer *in, const char *needle)
{
    bool found = read_to(fd, in, needle);

    transcript_heard(fd, buffer_bytes(in), !found);
    return found;
}
