#include "server/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Reads to the end of the file, at most what there is room for. 0 or a negative errno. */
static int read_all(int fd, struct buffer *content)
{
    while (content->len < content->capacity) {
        ssize_t n = read(fd, content->ptr + content->len, content->capacity - content->len);

        if (n == 0)
            return 0;
        if (n > 0)
            content->len += (size_t)n;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int file_read(const char *path, size_t most, struct buffer *ret)
{
    struct buffer content = {0};
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -errno;
    /* All the room at once: a buffer that moves leaves what it held behind. */
    rc = buffer_reserve(&content, most + 2) ? read_all(fd, &content) : -ENOMEM;
    close(fd);
    if (rc == 0 && content.len > most)
        rc = -EFBIG;
    if (rc < 0)
        file_forget(&content);
    else
        *ret = content;
    return rc;
}

void file_forget(struct buffer *content)
{
    if (content->ptr)
        explicit_bzero(content->ptr, content->len);
    buffer_free(content);
}
