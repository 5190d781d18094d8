/* Percent-encoding (RFC 3986 section 2.1), undone. Pure; any thread. */
#ifndef SKIMD_BASE_PERCENT_H
#define SKIMD_BASE_PERCENT_H

#include "core/base/buffer.h"

#include <stdbool.h>

/*
 * Appends `text` decoded, never more bytes than it has; `plus_is_space` as in
 * application/x-www-form-urlencoded. False at a "%" without two hexadecimal digits, which is an
 * error here. Memory errors are sticky in the buffer.
 */
bool percent_decode(struct buffer *out, struct bytes text, bool plus_is_space);

#endif
