/*
 * What the fuzzers share. Each fuzz_NAME.c is a libFuzzer target of its own, has its seeds in
 * tests/corpus/NAME and, where that helps, words in tests/fuzz/NAME.dict; `make fuzz` runs them
 * all. A check that fails aborts, so that libFuzzer keeps the input.
 */
#ifndef SKIMD_TESTS_FUZZ_FUZZ_H
#define SKIMD_TESTS_FUZZ_FUZZ_H

#include "core/base/bytes.h"
#include "core/base/utf8.h"
#include "server/problem.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * Cuts the part before the first `separator` off, as bytes_split does, into memory of its own and
 * of exactly its size: ASan then sees a read past its end. The caller frees ->ptr.
 */
static inline struct bytes fuzz_field(struct bytes *rest, char separator)
{
    struct bytes field = rest->ptr ? bytes_split(rest, separator) : *rest;
    char *copy = malloc(field.len ? field.len : 1);

    FUZZ_CHECK(copy);
    if (field.ptr)
        memcpy(copy, field.ptr, field.len);
    return bytes_of(copy, field.len);
}

/* Frees what fuzz_field gave. */
static inline void fuzz_free(struct bytes field)
{
    union {
        const char *borrowed;
        char *owned;
    } alias = {.borrowed = field.ptr};

    free(alias.owned);
}

/* Whether `text` is one line: no C0 control is in it. */
static inline bool fuzz_is_line(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20)
            return false;
    return true;
}

/* `text` as jansson reads it, which it must. The caller drops the value. */
static inline json_t *fuzz_json(struct bytes text)
{
    json_t *value = json_loadb(text.ptr, text.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);

    FUZZ_CHECK(value);
    return value;
}

/* What must hold for every problem that a client is told. */
static inline void fuzz_problem(const struct problem *problem)
{
    struct bytes detail = bytes_cstr(problem->detail);
    struct buffer out = {0};

    FUZZ_CHECK(problem->status >= 400 && problem->status < 600 && problem->status != 500);
    FUZZ_CHECK(fuzz_is_line(detail) && utf8_valid(detail));
    problem_write(&out, problem);
    FUZZ_CHECK(!out.failed && out.ptr[out.len - 1] == '\n');
    FUZZ_CHECK(fuzz_is_line(bytes_of(out.ptr, out.len - 1)));
    json_decref(fuzz_json(buffer_bytes(&out)));
    buffer_free(&out);
}

#endif
