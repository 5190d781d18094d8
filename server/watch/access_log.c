#include "server/watch/access_log.h"

#include "server/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* What is shown of a path; those that there is something at are shorter. */
enum { PATH_SHOWN = 200 };

static void write_remote(char ret[static INET6_ADDRSTRLEN], const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    ret[0] = '\0';
    if (address && address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, ret, INET6_ADDRSTRLEN);
    } else if (address && address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, ret, INET6_ADDRSTRLEN);
    }
}

void access_log(const struct exchange *x, const struct http_end *end)
{
    struct bytes path = exchange_path(x);
    char remote[INET6_ADDRSTRLEN];
    struct log_field fields[11] = {{.key = "request"}};
    size_t count = 1;

    if (!log_enabled(LOG_LEVEL_INFO))
        return;
    write_remote(remote, end->remote);
    fields[count++] = log_bytes("method", exchange_method(x));
    fields[count++] =
        log_bytes("path", bytes_of(path.ptr, path.len < PATH_SHOWN ? path.len : PATH_SHOWN));
    fields[count++] = log_unsigned("status", (uint64_t)end->status);
    fields[count++] = log_unsigned("bytes", end->body_bytes);
    fields[count++] = log_ms("duration_ms", end->duration_us);
    fields[count++] = log_text("remote", remote);
    if (!end->is_complete)
        fields[count++] = log_bool("cut", true);
    if (exchange_tag(x) > 0)
        fields[count++] = log_unsigned("batch", exchange_tag(x));
    if (*exchange_trace_id(x))
        fields[count++] = log_text("trace_id", exchange_trace_id(x));
    log_write(LOG_LEVEL_INFO, fields, count);
}
