#include "server/watch/trace.h"

/* version "-" trace-id "-" parent-id "-" trace-flags */
enum { VERSION = 0, TRACE_ID = 3, PARENT_ID = 36, FLAGS = 53, LENGTH = 55 };

/* `count` lower-case hexadecimal digits. */
static bool is_hex(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

/* An id of zeros is none. */
static bool is_id(const char *text, size_t count)
{
    size_t zeros = 0;

    while (zeros < count && text[zeros] == '0')
        zeros++;
    return zeros < count && is_hex(text, count);
}

static bool is_valid(struct bytes t)
{
    if (t.len < LENGTH || !is_hex(t.ptr + VERSION, 2) || memcmp(t.ptr + VERSION, "ff", 2) == 0)
        return false;
    if (t.len > LENGTH && (memcmp(t.ptr + VERSION, "00", 2) == 0 || t.ptr[LENGTH] != '-'))
        return false;
    return t.ptr[TRACE_ID - 1] == '-' && is_id(t.ptr + TRACE_ID, 32) &&
           t.ptr[PARENT_ID - 1] == '-' && is_id(t.ptr + PARENT_ID, 16) && t.ptr[FLAGS - 1] == '-' &&
           is_hex(t.ptr + FLAGS, 2);
}

bool trace_id_parse(struct bytes traceparent, char ret_id[static TRACE_ID_SIZE])
{
    bool valid = is_valid(traceparent);

    if (valid)
        memcpy(ret_id, traceparent.ptr + TRACE_ID, TRACE_ID_SIZE - 1);
    ret_id[valid ? TRACE_ID_SIZE - 1 : 0] = '\0';
    return valid;
}
