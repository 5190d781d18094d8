/*
 * The test origin's /files/: a directory's files, and nothing above it.
 */
#include "tests/support/origin_job.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether no segment of `path` leads up or is hidden; an absolute path and a NUL are refused too.
 */
static bool stays_below(struct bytes path)
{
    struct bytes rest = path;

    if (path.len > 0 && (path.ptr[0] == '/' || memchr(path.ptr, '\0', path.len)))
        return false;
    while (rest.ptr) {
        struct bytes segment = bytes_split(&rest, '/');
        if (segment.len > 0 && segment.ptr[0] == '.')
            return false;
    }
    return true;
}

static int open_regular(int directory, const char *path, struct stat *ret_stat)
{
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd >= 0 && fstat(fd, ret_stat) == 0 && S_ISDIR(ret_stat->st_mode)) {
        int index = openat(fd, "index.html", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        close(fd);
        fd = index;
    }
    if (fd >= 0 && fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void read_whole(struct buffer *out, int fd, size_t size)
{
    if (!buffer_reserve(out, size))
        return;
    while (out->len < size) {
        ssize_t got = read(fd, out->ptr + out->len, size - out->len);
        if (got <= 0)
            return;
        out->len += (size_t)got;
    }
}

/* Without a charset: what the document itself says about it is what a client has to go by. */
static struct bytes file_type(struct bytes path)
{
    static const struct {
        struct bytes suffix, type;
    } types[] = {
        {BYTES(".css"), BYTES("text/css")},      {BYTES(".txt"), BYTES("text/plain")},
        {BYTES(".svg"), BYTES("image/svg+xml")}, {BYTES(".xml"), BYTES("application/xml")},
        {BYTES(".png"), BYTES("image/png")},     {BYTES(".json"), BYTES("application/json")},
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t len = types[i].suffix.len;
        if (path.len >= len && memcmp(path.ptr + path.len - len, types[i].suffix.ptr, len) == 0)
            return types[i].type;
    }
    return BYTES("text/html");
}

void job_file(const struct job *job)
{
    struct buffer path = {0};
    struct stat st;
    int fd = -1;

    percent_forgive(&path, job->argument);
    bool allowed = job->source->site >= 0 && stays_below(buffer_bytes(&path));
    struct bytes content_type = file_type(buffer_bytes(&path));
    if (path.len == 0)
        buffer_byte(&path, '.');
    buffer_byte(&path, '\0');
    if (allowed && !path.failed)
        fd = open_regular(job->source->site, path.ptr, &st);
    if (fd < 0 || st.st_size > PAGE_MAX) {
        job_not_found(job);
    } else {
        job_begin(job, 200);
        job_field(job, "Content-Type", content_type);
        read_whole(&job->answer->body, fd, (size_t)st.st_size);
        job_finish(job);
    }
    if (fd >= 0)
        close(fd);
    job->answer->body.failed |= path.failed;
    buffer_free(&path);
}
