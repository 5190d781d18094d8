/*
 * Tags in the bytes of a page, found and taken apart without a parse: what looks like one may stand
 * in a comment, a script, an attribute. The page is in an encoding that keeps ASCII
 * (charset_keeps_ascii()). Pure; any thread.
 */
#ifndef SKIMD_PARSERS_TAG_H
#define SKIMD_PARSERS_TAG_H

#include "core/base/bytes.h"

#include <stdint.h>

/*
 * The offset of the first `start` at `at` or behind it, SIZE_MAX without one. `start` is a '<' and
 * at least one byte more, in lower case; it is found in any case.
 */
size_t tag_find(struct bytes page, size_t at, struct bytes start);

/* Where a scan is. Running into the end, anywhere, ends it: `p` is then `end`. */
struct tag_scan {
    const char *p, *end;
};

struct tag_attribute {
    struct bytes name, value; /* as they are written; the value's ptr is NULL where there is none */
};

/*
 * The next attribute, from the name of the tag or the attribute before on (HTML standard, "get an
 * attribute"; the tokenizer finds the same ones). False, with *ret untouched or half read, when
 * there is none: the scan is at the tag's '>' then; or when the bytes end before the attribute
 * does.
 */
bool tag_next_attribute(struct tag_scan *scan, struct tag_attribute *ret);

#endif
