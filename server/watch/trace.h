/*
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): the id that a request has in all the
 * services it comes through. Pure; any thread.
 *
 * It is passed on to the log only: the hosts that pages are fetched from are strangers. None is
 * made where none was given, as nobody else would know it.
 */
#ifndef SKIMD_SERVER_WATCH_TRACE_H
#define SKIMD_SERVER_WATCH_TRACE_H

#include "core/base/bytes.h"

enum { TRACE_ID_SIZE = 33 };

/*
 * Reads the trace id of a traceparent field: 32 lower-case hexadecimal digits. Versions to come are
 * read as far as they are like version 00 (section 4.2). False, and `ret_id` is "", for what is not
 * as section 3.2 has it.
 */
bool trace_id_parse(struct bytes traceparent, char ret_id[static TRACE_ID_SIZE]);

#endif
