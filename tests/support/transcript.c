#include "tests/support/transcript.h"

#include "core/base/buffer.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bodies of requests that are larger are left out: they are there to be many. */
enum { SENT_MOST = 64 << 10 };

/* NULL: nobody wants to know. */
static const char *name_of_file(void)
{
    const char *name = getenv("SKIMD_ANSWERS");

    return name && *name ? name : NULL;
}

static void put_text(struct buffer *out, const char *key, struct bytes text)
{
    buffer_printf(out, "%c\"%s\":\"", out->len > 0 ? ',' : '{', key);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '"' || c == '\\')
            buffer_byte(out, '\\');
        if (c < 0x20 || c >= 0x7F)
            buffer_printf(out, "\\u%04x", c);
        else
            buffer_byte(out, (char)c);
    }
    buffer_byte(out, '"');
}

/* In one write: tests run in processes of their own. */
static void add_line(const char *file, struct buffer *line)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    buffer_text(line, "}\n");
    ck_assert(!line->failed);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, line->ptr, line->len), (ssize_t)line->len);
    close(fd);
    buffer_free(line);
}

void transcript_add(const struct transcript_request *request, struct bytes head, struct bytes body)
{
    const char *file = name_of_file();
    struct buffer line = {0};

    if (!file)
        return;
    put_text(&line, "method", bytes_cstr(request->method ? request->method : "GET"));
    put_text(&line, "target", bytes_cstr(request->target));
    put_text(&line, "fields", bytes_cstr(request->fields ? request->fields : ""));
    if (request->body.len <= SENT_MOST)
        put_text(&line, "sent", request->body);
    put_text(&line, "head", head);
    put_text(&line, "body", body);
    add_line(file, &line);
}

/* -- clients that speak by hand ---------------------------------------------------------------- */

/* By their inodes: descriptors come again. */
static struct {
    ino_t socket;
    const char *path;
} expected[256];
static size_t expected_count;

enum { EXPECTED_MOST = sizeof expected / sizeof expected[0] };

static ino_t socket_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

void transcript_expect(int fd, const char *path)
{
    expected[expected_count % EXPECTED_MOST].socket = socket_of(fd);
    expected[expected_count % EXPECTED_MOST].path = path;
    expected_count++;
}

static const char *path_expected(int fd)
{
    ino_t socket = socket_of(fd);

    for (size_t i = 0; i < EXPECTED_MOST; i++)
        if (socket != 0 && expected[i].socket == socket)
            return expected[i].path;
    return NULL;
}

static void add_raw(const char *path, struct bytes answer)
{
    const char *file = name_of_file();
    struct buffer line = {0};

    if (!file)
        return;
    if (path) {
        put_text(&line, "method", BYTES("POST"));
        put_text(&line, "target", bytes_cstr(path));
    }
    put_text(&line, "answer", answer);
    add_line(file, &line);
}

static bool has(struct bytes text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

void transcript_heard(int fd, struct bytes so_far, bool ended)
{
    static const char begins[] = "HTTP/1.";
    const char *path;

    if (!name_of_file() || so_far.len < strlen(begins) ||
        memcmp(so_far.ptr, begins, strlen(begins)) != 0)
        return;
    path = path_expected(fd);
    if (!path || ended || has(so_far, "\"type\":\"end\"")) /* else there will be more */
        add_raw(path, so_far);
}

void transcript_add_raw(struct bytes answer)
{
    add_raw(NULL, answer);
}
