/*
 * JSON as text (RFC 8259): checked and made compact, without a tree in between, so that numbers and
 * strings stay as they were written.
 *
 * Pure, no recursion, time linear in the length. Any thread.
 */
#ifndef SKIMD_BASE_JSON_TEXT_H
#define SKIMD_BASE_JSON_TEXT_H

#include "core/base/bytes.h"

#include <stddef.h>

enum { JSON_TEXT_DEPTH_MAX = 64 }; /* arrays and objects in each other; deeper ones are refused */

/*
 * Copies the JSON text to `to` (text.len bytes, may be where it stands) without the white space
 * between its tokens. Returns the length, or 0 when it is no JSON text: one value of any type, all
 * of it, in well-formed UTF-8. Escapes of half a surrogate pair and names that stand twice in an
 * object are let through, as RFC 8259 has them. Of a text that is refused, `to` may hold a part.
 */
size_t json_text_compact(struct bytes text, char *to);

/* Whether that would change nothing. */
bool json_text_is_compact(struct bytes text);

#endif
