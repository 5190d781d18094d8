#include "server/web/openapi.h"

#include "server/problem.h"
#include "server/version.h"
#include "server/web/embedded.h"

EMBED(openapi_json, "server/web/openapi.json");

#define PLACE_OF_VERSION "@VERSION@"

/* The document with the version in its place, of which there is one. */
static void write_document(struct buffer *out)
{
    struct bytes text =
        bytes_of(openapi_json_begin, (size_t)(openapi_json_end - openapi_json_begin));
    struct bytes mark = BYTES(PLACE_OF_VERSION);
    const char *place = memmem(text.ptr, text.len, mark.ptr, mark.len);
    size_t before = place ? (size_t)(place - text.ptr) : text.len;

    buffer_append(out, text.ptr, before);
    if (place) {
        buffer_text(out, SKIMD_VERSION);
        buffer_append(out, place + mark.len, text.len - before - mark.len);
    }
}

void openapi_answer(struct exchange *x)
{
    struct buffer document = {0};
    struct problem problem;

    write_document(&document);
    if (document.failed) {
        problem_set(&problem, PROBLEM_OUT_OF_MEMORY, NULL, "%s", "");
        exchange_refuse(x, &problem);
    } else {
        embedded_answer(x, "application/json", buffer_bytes(&document), NULL);
    }
    buffer_free(&document);
}
