#include "server/config/internal.h"
#include "server/problem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads until the end of the file, or until it is longer than it may be. */
static int read_all(int fd, struct buffer *out)
{
    enum { STEP = 4096 };

    while (out->len <= CONFIG_FILE_MAX) {
        if (!buffer_reserve(out, STEP))
            return -ENOMEM;
        ssize_t n = read(fd, out->ptr + out->len, STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
    return -EFBIG;
}

int config_file_open(struct config_file *ret, const char *path, char *message)
{
    struct buffer text = {0};
    char quoted[PROBLEM_QUOTE_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : read_all(fd, &text);

    if (fd >= 0)
        close(fd);
    if (rc == 0 && text.len > 0 && memchr(text.ptr, '\0', text.len))
        rc = -EILSEQ;
    buffer_byte(&text, '\0');
    if (rc == 0 && text.failed)
        rc = -ENOMEM;
    if (rc < 0) {
        buffer_free(&text);
        config_refuse(message, "skimd: --config: %s cannot be read: %s",
                      problem_quote(quoted, bytes_cstr(path)),
                      rc == -EILSEQ ? "it is no text" : strerror(-rc));
        return rc == -ENOMEM ? -ENOMEM : -EINVAL;
    }
    *ret = (struct config_file){.path = path, .text = buffer_take(&text, &(size_t){0})};
    ret->next = ret->text;
    return 0;
}

/* The line without white space around it, which it also loses in the text. */
static struct bytes next_line(struct config_file *file)
{
    char *line = file->next, *end = strchr(line, '\n');

    file->line++;
    file->next = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    struct bytes trimmed = bytes_trim(bytes_cstr(line));
    line[(size_t)(trimmed.ptr - line) + trimmed.len] = '\0';
    return trimmed;
}

int config_file_next(struct config_file *file, struct bytes *ret_name, struct bytes *ret_value,
                     char *message)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    while (file->next) {
        struct bytes line = next_line(file), rest = line;

        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        struct bytes name = bytes_trim(bytes_split(&rest, '='));
        if (!rest.ptr)
            return config_refuse(message,
                                 "skimd: %.200s:%u: %s is not a line of the form "
                                 "name = value, such as per-host = 6",
                                 file->path, file->line, problem_quote(quoted, line));
        *ret_name = name;
        *ret_value = bytes_trim(rest);
        return 1;
    }
    return 0;
}
