/*
 * Server-sent events (HTML standard, section 9.2), the other form of a stream beside NDJSON: who
 * asks for them, and what is put around a record's line. Pure; any thread.
 *
 *     data: {"type":"result",...}\n\n
 *     :\n\n                                a comment, which readers skip: we are still here
 */
#ifndef SKIMD_SERVER_BATCH_SSE_H
#define SKIMD_SERVER_BATCH_SSE_H

#include "core/base/bytes.h"

#define SSE_CONTENT_TYPE "text/event-stream"

#define SSE_BEFORE    BYTES("data: ") /* of a line, which ends in its newline */
#define SSE_BEHIND    BYTES("\n")
#define SSE_HEARTBEAT BYTES(":\n\n")

/*
 * Whether an Accept field (RFC 9110 section 12.5.1; empty: none) asks for server-sent events by
 * name, and for NDJSON less, if at all. Ranges (with an asterisk) do not: NDJSON is what everybody
 * gets who does not care.
 */
bool sse_is_wanted(struct bytes accept);

#endif
