/* The access log: a line for each request, when it has ended. Loop thread only. */
#ifndef SKIMD_SERVER_WATCH_ACCESS_LOG_H
#define SKIMD_SERVER_WATCH_ACCESS_LOG_H

#include "server/http/http.h"

/* Logs the end of `x`, as http_application.ended tells of it. The query is left out: it may have
 * what is nobody else's business. */
void access_log(const struct exchange *x, const struct http_end *end);

#endif
