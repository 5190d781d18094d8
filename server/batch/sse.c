#include "server/batch/sse.h"

enum { WEIGHT_ONE = 1000 };

/* A qvalue (RFC 9110 section 12.4.2) in thousandths; 0 for what is none. */
static unsigned weight_of(struct bytes qvalue)
{
    unsigned weight = 0, unit = WEIGHT_ONE;

    for (size_t i = 0; i < qvalue.len; i++) {
        char c = qvalue.ptr[i];

        if (i == 1 && c == '.')
            continue;
        if (c < '0' || c > '9' || unit == 0)
            return 0;
        weight += unit * (unsigned)(c - '0');
        unit /= 10;
    }
    return weight <= WEIGHT_ONE ? weight : 0;
}

/* The weight among the parameters of a media range: 1 where there is none. */
static unsigned weight_among(struct bytes parameters)
{
    while (parameters.ptr) {
        struct bytes value = bytes_trim(bytes_split(&parameters, ';'));
        struct bytes name = bytes_trim(bytes_split(&value, '='));

        if (bytes_equal_nocase(name, BYTES("q")))
            return weight_of(bytes_trim(value));
    }
    return WEIGHT_ONE;
}

/* How much `type` is asked for by name; 0: not at all. */
static unsigned weight_in(struct bytes accept, struct bytes type)
{
    while (accept.ptr) {
        struct bytes parameters = bytes_split(&accept, ',');
        struct bytes range = bytes_trim(bytes_split(&parameters, ';'));

        if (bytes_equal_nocase(range, type))
            return weight_among(parameters);
    }
    return 0;
}

bool sse_is_wanted(struct bytes accept)
{
    return weight_in(accept, BYTES(SSE_CONTENT_TYPE)) >
           weight_in(accept, BYTES("application/x-ndjson"));
}
