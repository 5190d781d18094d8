/*
 * Headers, one a line, name and value parted by a colon. What is taken is one line that says what
 * was given and is not taken twice.
 */
#include "core/fetch/header.h"
#include "tests/fuzz/fuzz.h"

#include <curl/curl.h>
#include <errno.h>

/* The line that was added last. */
static const char *last_line(const struct header_list *list)
{
    const struct curl_slist *line = list->lines;

    while (line->next)
        line = line->next;
    return line->data;
}

static void check_line(const char *line, struct bytes name, struct bytes value)
{
    struct bytes rest = bytes_cstr(line);

    FUZZ_CHECK(rest.len > name.len && bytes_equal(bytes_of(line, name.len), name));
    rest = bytes_of(line + name.len, rest.len - name.len);
    value = bytes_trim(value); /* of white space, only what is cut off is not refused */
    if (value.len == 0)
        FUZZ_CHECK(bytes_equal(rest, BYTES(";")));
    else
        FUZZ_CHECK(rest.len > 2 && memcmp(rest.ptr, ": ", 2) == 0 &&
                   bytes_equal(bytes_of(rest.ptr + 2, rest.len - 2), value));
    for (const char *c = line; *c; c++)
        FUZZ_CHECK(((unsigned char)*c >= 0x20 || *c == '\t') && *c != 0x7f);
    FUZZ_CHECK(strcspn(line, ": ;\t") == name.len);
    FUZZ_CHECK(!bytes_equal_nocase(name, BYTES("host")) && strncasecmp(line, "proxy-", 6) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of((const char *)data, size);
    struct header_list list = {0};

    while (text.ptr) {
        struct bytes line = fuzz_field(&text, '\n'), value = line;
        struct bytes name = bytes_split(&value, ':');
        const char *message = NULL;
        size_t count = list.count;

        if (header_list_add(&list, name, value, &message) == 0) {
            FUZZ_CHECK(list.count == count + 1);
            check_line(last_line(&list), name, value);
            FUZZ_CHECK(header_list_add(&list, name, value, &message) == -EINVAL && message);
        } else {
            FUZZ_CHECK(list.count == count && message);
        }
        FUZZ_CHECK(list.count <= HEADERS_MAX && list.bytes <= HEADERS_BYTES_MAX);
        fuzz_free(line);
    }
    header_list_free(&list);
    return 0;
}
