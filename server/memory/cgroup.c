#include "server/memory/cgroup.h"

#include "core/base/bytes.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Version 1 has no word for "no limit", but the largest number of whole pages. */
#define UNLIMITED ((uint64_t)1 << 60)

/* The file's text, NUL-terminated and cut where it is too long; empty when it cannot be read. */
static void read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, size - 1);

    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
}

/* The number in the file; 0: none. */
static uint64_t read_limit(const char *folder, const char *name)
{
    char path[PATH_MAX], text[32], *end;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return 0;
    read_text(path, text, sizeof text);
    uint64_t limit = strtoull(text, &end, 10);
    return end == text || limit >= UNLIMITED ? 0 : limit; /* "max" */
}

/* The lowest of the folder `root` + `group` and of those between them. */
static uint64_t lowest(const char *root, struct bytes group, const char *name)
{
    char folder[PATH_MAX];
    uint64_t least = 0;
    int length = snprintf(folder, sizeof folder, "%s%.*s", root, (int)group.len, group.ptr);
    size_t end = strlen(root);

    if (length < 0 || length >= (int)sizeof folder)
        return 0;
    for (size_t at = (size_t)length;; at--) {
        if (at > end && folder[at] != '/' && folder[at] != '\0')
            continue;
        folder[at] = '\0';
        uint64_t limit = read_limit(folder, name);
        if (limit > 0 && (least == 0 || limit < least))
            least = limit;
        if (at <= end)
            return least;
    }
}

/* Whether "memory" stands in a list with commas. */
static bool has_memory(struct bytes controllers)
{
    while (controllers.ptr)
        if (bytes_equal(bytes_split(&controllers, ','), BYTES("memory")))
            return true;
    return false;
}

/* Lines are "hierarchy:controllers:/group"; that of version 2 is "0::/group". */
uint64_t cgroup_memory_limit(const char *self, const char *root)
{
    char text[4096], mount[PATH_MAX];
    uint64_t unified = 0;

    read_text(self, text, sizeof text);
    for (struct bytes rest = bytes_cstr(text); rest.len > 0;) {
        struct bytes group = bytes_split(&rest, '\n');
        struct bytes hierarchy = bytes_split(&group, ':');
        struct bytes controllers = bytes_split(&group, ':');

        if (has_memory(controllers) &&
            snprintf(mount, sizeof mount, "%s/memory", root) < (int)sizeof mount)
            return lowest(mount, group, "memory.limit_in_bytes");
        if (bytes_equal(hierarchy, BYTES("0")) && controllers.len == 0)
            unified = lowest(root, group, "memory.max");
    }
    return unified;
}
