/*
 * Scripts: what an address of the test origin does, byte for byte, whatever it is asked for. A
 * script is data in the test that plays it, a list of steps:
 *
 *     SCRIPT(SAY("HTTP/1.1 200 OK\r\nContent-Le"), PAUSE(20), SAY("ngth: 0\r\n\r\n"), NEXT, RESET)
 *
 * One answer after the other, on whichever connection the requests come; the last answer is that to
 * all further requests too. Here the first request is answered, in two pieces, and its connection
 * kept; each request behind it meets a RST.
 */
#ifndef SKIMD_TESTS_ORIGIN_SCRIPT_H
#define SKIMD_TESTS_ORIGIN_SCRIPT_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "tests/support/origin.h"

#include <stdint.h>

enum step_kind {
    STEP_END, /* the answer is over and so is the script; the connection is kept */

    STEP_SAY,
    STEP_REPEAT,
    STEP_DRIP,
    STEP_PAUSE,
    STEP_HOLD,
    STEP_UNASKED,

    /* These end an answer: */
    STEP_NEXT,
    STEP_CLOSE,
    STEP_RESET,
    STEP_HALF_CLOSE,
};

struct step {
    enum step_kind kind;
    uint64_t number;
    struct bytes bytes;
};

/* The text's bytes; it may have NULs in it. */
#define SAY(text)                                                                                  \
    {                                                                                              \
        STEP_SAY, 0,                                                                               \
        {                                                                                          \
            ("" text), sizeof(text) - 1                                                            \
        }                                                                                          \
    }
#define REPEAT(times, text)                                                                        \
    {                                                                                              \
        STEP_REPEAT, (times),                                                                      \
        {                                                                                          \
            ("" text), sizeof(text) - 1                                                            \
        }                                                                                          \
    }
/* One byte of it every `ms` (>= 1). */
#define DRIP(ms, text)                                                                             \
    {                                                                                              \
        STEP_DRIP, (ms),                                                                           \
        {                                                                                          \
            ("" text), sizeof(text) - 1                                                            \
        }                                                                                          \
    }
#define PAUSE(ms)                                                                                  \
    {                                                                                              \
        STEP_PAUSE, (ms),                                                                          \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
/* Waits at the origin's gate; see origin_release(). */
#define HOLD                                                                                       \
    {                                                                                              \
        STEP_HOLD, 0,                                                                              \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
/* As an answer's first step: does not wait for a request, if a connection is new. */
#define UNASKED                                                                                    \
    {                                                                                              \
        STEP_UNASKED, 0,                                                                           \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
/* The connection is kept; what follows is for the next request. */
#define NEXT                                                                                       \
    {                                                                                              \
        STEP_NEXT, 0,                                                                              \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
/* FIN; RST; FIN, but reads on until the peer closes too. What follows is for the next request. */
#define CLOSE                                                                                      \
    {                                                                                              \
        STEP_CLOSE, 0,                                                                             \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
#define RESET                                                                                      \
    {                                                                                              \
        STEP_RESET, 0,                                                                             \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
#define HALF_CLOSE                                                                                 \
    {                                                                                              \
        STEP_HALF_CLOSE, 0,                                                                        \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* The last step, which SCRIPT() adds. */
#define SCRIPT_END                                                                                 \
    {                                                                                              \
        STEP_END, 0,                                                                               \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

#define SCRIPT(...) ((const struct step[]){__VA_ARGS__, SCRIPT_END})

/* An address that plays a script. */
struct site;

/*
 * Listens on `address`, an IPv4 literal in 127.0.0.0/8 or "::1", at the origin's port, and plays
 * `steps` there (borrowed until origin_stop). When it returns, the socket accepts. The site belongs
 * to the origin, whose counters count it in. NULL and errno on failure. Any thread.
 */
struct site *origin_script(struct origin *origin, const char *address, const struct step *steps);

/* What a site has seen until now. */
struct site_log {
    uint64_t connections, requests;
    struct buffer heads; /* of its requests, one behind the other; the caller's to free */
};

/* Any thread. `heads.failed` is set when memory is exhausted. */
void site_log(struct origin *origin, struct site *site, struct site_log *ret);

#endif
