#include "server/access/cors.h"

/* Fields of answers that scripts may read, beside those that they always may. */
#define CORS_EXPOSED "Location, Retry-After, WWW-Authenticate"

/* The same for every path: who has no token is not told what there is. */
const struct http_field cors_preflight_fields[] = {
    {"Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE"},
    {"Access-Control-Allow-Headers",
     "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Traceparent, Tracestate"},
    {"Access-Control-Max-Age", "7200"}, /* the most that browsers keep it, in seconds */
    {NULL, NULL},
};

static bool is_one_of(char c, const char *others)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr(others, c));
}

static bool consists_of(struct bytes text, const char *others)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_one_of(text.ptr[i], others))
            return false;
    return text.len > 0;
}

static bool is_port(struct bytes port, struct bytes scheme)
{
    for (size_t i = 0; i < port.len; i++)
        if (port.ptr[i] < '0' || port.ptr[i] > '9')
            return false;
    if (port.len == 0 || port.len > 5 || port.ptr[0] == '0')
        return false;
    /* Browsers leave these away, so that they would never be met. */
    return !(bytes_equal(scheme, BYTES("http")) && bytes_equal(port, BYTES("80"))) &&
           !(bytes_equal(scheme, BYTES("https")) && bytes_equal(port, BYTES("443")));
}

bool cors_origin_valid(struct bytes text)
{
    struct bytes rest = text, scheme = bytes_split(&rest, ':');

    if (bytes_equal(text, BYTES("*")))
        return true;
    if (!consists_of(scheme, "+-.") || rest.len < 3 || memcmp(rest.ptr, "//", 2) != 0)
        return false;
    rest = bytes_of(rest.ptr + 2, rest.len - 2);
    if (rest.ptr[0] == '[') {
        struct bytes address = bytes_split(&rest, ']');
        if (!consists_of(bytes_of(address.ptr + 1, address.len - 1), ":.") || !rest.ptr)
            return false;
        return rest.len == 0 ||
               (rest.ptr[0] == ':' && is_port(bytes_of(rest.ptr + 1, rest.len - 1), scheme));
    }
    struct bytes host = bytes_split(&rest, ':');
    return consists_of(host, "-._") && (!rest.ptr || is_port(rest, scheme));
}

/* What Access-Control-Allow-Origin says to this origin; NULL: it is not allowed. */
static const char *allowed_as(const struct cors *c, struct bytes origin)
{
    const char *allowed = NULL;

    for (size_t i = 0; i < c->count; i++) {
        if (bytes_equal(bytes_cstr(c->origins[i]), BYTES("*")))
            return "*";
        if (bytes_equal(bytes_cstr(c->origins[i]), origin))
            allowed = c->origins[i];
    }
    return allowed;
}

bool cors_allows(const struct cors *c, struct bytes origin)
{
    return allowed_as(c, origin) != NULL;
}

size_t cors_fields(const struct cors *c, struct bytes origin,
                   struct http_field ret[static HTTP_FIELDS_MOST])
{
    const char *allowed = allowed_as(c, origin);
    size_t n = 0;

    /* Also for those that are not allowed: a cache may have the answer. */
    if (c->count > 0 && !(allowed && allowed[0] == '*'))
        ret[n++] = (struct http_field){"Vary", "Origin"};
    if (allowed) {
        ret[n++] = (struct http_field){"Access-Control-Allow-Origin", allowed};
        ret[n++] = (struct http_field){"Access-Control-Expose-Headers", CORS_EXPOSED};
    }
    return n;
}

bool cors_is_preflight(const struct cors *c, const struct exchange *x)
{
    return c->count > 0 && bytes_equal(exchange_method(x), BYTES("OPTIONS")) &&
           exchange_header(x, "Origin").len > 0 &&
           exchange_header(x, "Access-Control-Request-Method").len > 0;
}
