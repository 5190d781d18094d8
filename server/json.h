/* JSON text, written piece by piece. Pure; any thread. Memory errors are sticky in the buffer. */
#ifndef SKIMD_SERVER_JSON_H
#define SKIMD_SERVER_JSON_H

#include "core/base/buffer.h"

#include <stdint.h>

/*
 * Appends `text` as a JSON string (RFC 8259 section 7). Any bytes will do: what is not well-formed
 * UTF-8 becomes U+FFFD, one for each maximal subpart (Unicode 15, section 3.9), as browsers do.
 */
void json_write_string(struct buffer *out, struct bytes text);

/* Appends microseconds as a JSON number of milliseconds: 35.2, 36.0, 0.125. */
void json_write_milliseconds(struct buffer *out, uint64_t us);

#endif
