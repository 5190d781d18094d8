/*
 * Looking for tags in the bytes of a page, without parsing.
 */
#ifndef SKIMD_PARSERS_TAG_FIND_H
#define SKIMD_PARSERS_TAG_FIND_H

#include "core/base/bytes.h"

#include <stdint.h>

/*
 * The offset of the first `start` at `at` or behind it, SIZE_MAX without one. `start` is a '<' and
 * at least one byte more, in lower case; it is found in any case. Pure.
 */
size_t tag_find(struct bytes text, size_t at, struct bytes start);

#endif
