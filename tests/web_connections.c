/*
 * How connections end, and how long answers take.
 */
#include "tests/support/async_fixture.h"
#include "tests/web.h"

/* -- where a connection ends ------------------------------------------------------------------- */

#define HALF_THE_PAGE OK HTML LENGTH "\r\n<!doctype html>"
#define HALF_A_CHUNK  OK HTML CHUNKED "\r\n22\r\n<!doctype html>"

/*
 * Nothing of an answer has come: worth another attempt, and two are made. Something has: the answer
 * is broken, and another one would be no better.
 */
#define NO_ANSWER     FAILS_FOR_NOW("connect_failure") ",'attempts':2"
#define BROKEN_ANSWER FAILS_FOR_GOOD("protocol_error") ",'attempts':1"

static const struct scenario connections[] = {
    {"nobody listens", .url = "http://{dead}/", .record = NO_ANSWER},
    {"reset at once", SCRIPT(UNASKED, RESET), .record = NO_ANSWER, .connections = 2},
    {"closed at once", SCRIPT(UNASKED, CLOSE), .record = NO_ANSWER, .connections = 2},
    {"half-closed at once", SCRIPT(UNASKED, HALF_CLOSE), .record = NO_ANSWER},
    {"reset when asked", SCRIPT(RESET), .record = NO_ANSWER, .requests = 2},
    {"closed when asked", SCRIPT(CLOSE), .record = NO_ANSWER, .requests = 2},
    {"half-closed when asked", SCRIPT(HALF_CLOSE), .record = NO_ANSWER, .requests = 2},
    {"closed after a while without a word", SCRIPT(PAUSE(30), CLOSE), .record = NO_ANSWER},

    /* Less than a line is nothing, to libcurl. */
    {"reset in the status line", SCRIPT(SAY("HTTP/1.1 2"), PAUSE(20), RESET), .record = NO_ANSWER,
     .today_7 = BROKEN_ANSWER},
    {"closed in the status line", SCRIPT(SAY("HTTP/1.1 2"), PAUSE(20), CLOSE), .record = NO_ANSWER},
    {"reset behind the status line", SCRIPT(SAY(OK), PAUSE(20), RESET), .record = BROKEN_ANSWER},
    /* RFC 9112 section 8: without the empty line it is not complete. libcurl takes it for one. */
    {"closed behind the status line", SCRIPT(SAY(OK), PAUSE(20), CLOSE), .record = BROKEN_ANSWER},
    {"reset in a field", SCRIPT(SAY(OK HTML "Content-Le"), PAUSE(20), RESET),
     .record = BROKEN_ANSWER},
    {"closed in a field", SCRIPT(SAY(OK HTML "Content-Le"), PAUSE(20), CLOSE),
     .record = BROKEN_ANSWER},
    {"closed in the length", SCRIPT(SAY(OK HTML "Content-Length: 3"), PAUSE(20), CLOSE),
     .record = BROKEN_ANSWER},
    {"reset before the body", SCRIPT(SAY(OK HTML LENGTH "\r\n"), PAUSE(20), RESET),
     .record = BROKEN_ANSWER},
    {"closed before the body", SCRIPT(SAY(OK HTML LENGTH "\r\n"), PAUSE(20), CLOSE),
     .record = BROKEN_ANSWER},
    {"reset in the body", SCRIPT(SAY(HALF_THE_PAGE), PAUSE(20), RESET), .record = BROKEN_ANSWER},
    {"closed in the body", SCRIPT(SAY(HALF_THE_PAGE), PAUSE(20), CLOSE), .record = BROKEN_ANSWER},
    {"half-closed in the body", SCRIPT(SAY(HALF_THE_PAGE), PAUSE(20), HALF_CLOSE),
     .record = BROKEN_ANSWER},
    {"reset in a chunk", SCRIPT(SAY(HALF_A_CHUNK), PAUSE(20), RESET), .record = BROKEN_ANSWER},
    {"closed in a chunk", SCRIPT(SAY(HALF_A_CHUNK), PAUSE(20), CLOSE), .record = BROKEN_ANSWER},
    {"closed in a chunk size", SCRIPT(SAY(OK HTML CHUNKED "\r\n2"), PAUSE(20), CLOSE),
     .record = BROKEN_ANSWER},
    {"closed in the trailers",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n22\r\n" PAGE "\r\n0\r\nX-A: a"), PAUSE(20), CLOSE),
     .record = BROKEN_ANSWER},
    {"reset in a body that the end of the connection ends",
     SCRIPT(SAY(OK HTML "\r\n" PAGE), PAUSE(20), RESET), .record = BROKEN_ANSWER},

    {"reset behind the body", SCRIPT(SAY(ANSWER), RESET), .record = IS_PAGE},
    {"closed behind the body", SCRIPT(SAY(ANSWER), CLOSE), .record = IS_PAGE},
    {"half-closed behind the body", SCRIPT(SAY(ANSWER), HALF_CLOSE), .record = IS_PAGE},
    {"half-closed behind a body without a length", SCRIPT(SAY(OK HTML "\r\n" PAGE), HALF_CLOSE),
     .record = IS_PAGE},
    {"reset behind the last chunk", SCRIPT(SAY(OK HTML CHUNKED "\r\n" CHUNKS), RESET),
     .record = IS_PAGE},
    {"an answer in front of the question, and the end", SCRIPT(UNASKED, SAY(ANSWER), HALF_CLOSE),
     .record = IS_PAGE},
    {"a complaint in front of the question, and the end",
     SCRIPT(UNASKED, SAY(STATUS("408 Request Timeout")), HALF_CLOSE),
     .record = HAS_TITLE(408, "Page")},
    {"a byte a packet", SCRIPT(DRIP(1, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n<title>Page")),
     .record = IS_PAGE},

    /* -- connections that are used again (RFC 9112 section 9) */

    {"a kept connection is used again", SCRIPT(SAY(ANSWER)),
     .url = "http://{self}/1\nhttp://{self}/2\nhttp://{self}/3", .record = IS_PAGE ",'attempts':1",
     .connections = 1, .requests = 3},
    {"a connection that will be closed is not used again",
     SCRIPT(SAY(OK "Connection: close\r\n" HTML LENGTH "\r\n" PAGE)),
     .url = "http://{self}/1\nhttp://{self}/2", .record = IS_PAGE ",'attempts':1",
     .connections = 2},
    {"HTTP/1.0 keeps no connection", SCRIPT(SAY("HTTP/1.0 200 OK\r\n" HTML LENGTH "\r\n" PAGE)),
     .url = "http://{self}/1\nhttp://{self}/2", .record = IS_PAGE ",'attempts':1",
     .connections = 2},
    /* Section 9.3.1: a client may ask again by itself, and nobody's attempts are spent. */
    {"a kept connection is closed when it is used again",
     SCRIPT(SAY(ANSWER), NEXT, CLOSE, SAY(ANSWER)), .url = "http://{self}/1\nhttp://{self}/2",
     .record = IS_PAGE ",'attempts':1", .connections = 2, .requests = 3},
    {"a kept connection is reset when it is used again",
     SCRIPT(SAY(ANSWER), NEXT, RESET, SAY(ANSWER)), .url = "http://{self}/1\nhttp://{self}/2",
     .record = IS_PAGE ",'attempts':1", .connections = 2, .requests = 3},
    {"a kept connection is closed at once", SCRIPT(SAY(ANSWER), CLOSE),
     .url = "http://{self}/1\nhttp://{self}/2\nhttp://{self}/3", .record = IS_PAGE ",'attempts':1",
     .connections = 3, .requests = 3},
    {"a kept connection is reset at once", SCRIPT(SAY(ANSWER), RESET),
     .url = "http://{self}/1\nhttp://{self}/2\nhttp://{self}/3", .record = IS_PAGE ",'attempts':1",
     .connections = 3, .requests = 3},
    {"every kept connection dies when it is used again",
     SCRIPT(SAY(ANSWER), NEXT, CLOSE, SAY(ANSWER), NEXT, RESET, SAY(ANSWER)),
     .url = "http://{self}/1\nhttp://{self}/2\nhttp://{self}/3", .record = IS_PAGE ",'attempts':1",
     .connections = 3, .requests = 5, .never = "GET / "},
    {"a kept connection breaks in the middle of the second answer",
     SCRIPT(SAY(STATUS("404 No")), NEXT, SAY(HALF_THE_PAGE), CLOSE, SAY(STATUS("404 No"))),
     .url = "http://{self}/1", .record = HAS_TITLE(404, "Page") ",'attempts':1"},

    /* -- TLS with those who do not speak it */

    {"TLS where plain text is spoken", SCRIPT(UNASKED, SAY(STATUS("400 Bad Request")), HALF_CLOSE),
     .url = "https://{self}/", .record = FAILS("tls_failure")},
    {"TLS where nothing is said", SCRIPT(UNASKED, CLOSE), .url = "https://{self}/",
     .record = FAILS("tls_failure")},
    {"TLS where an alert is the answer",
     SCRIPT(UNASKED, SAY("\x15\x03\x01\x00\x02\x02\x28"), HALF_CLOSE), .url = "https://{self}/",
     .record = FAILS_FOR_GOOD("tls_failure") ",'attempts':1"},
};

const struct scenario_group web_connections =
    SCENARIOS("connections", "?retries=1&per_host=1", connections);

/* -- what is tried again ----------------------------------------------------------------------- */

static const struct scenario retries[] = {
    {"reset, then a page", SCRIPT(RESET, SAY(ANSWER)), .record = IS_PAGE ",'attempts':2",
     .requests = 2},
    {"closed, then a page", SCRIPT(CLOSE, SAY(ANSWER)), .record = IS_PAGE ",'attempts':2"},
    {"429, then a page", SCRIPT(SAY(STATUS("429 Slow down")), NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"502, then a page", SCRIPT(SAY(STATUS("502 Bad Gateway")), NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"503, then a page", SCRIPT(SAY(STATUS("503 Busy")), NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"504, then a page", SCRIPT(SAY(STATUS("504 Late")), NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"503 for ever", SCRIPT(SAY(STATUS("503 Busy"))),
     .record = HAS_TITLE(503, "Page") ",'attempts':2", .requests = 2},
    {"503 that wants an hour",
     SCRIPT(SAY("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = HAS_TITLE(503, "Page") ",'attempts':1", .requests = 1},
    {"503 that wants what nobody understands",
     SCRIPT(SAY("HTTP/1.1 503 Busy\r\nRetry-After: soon\r\n" HTML LENGTH "\r\n" PAGE), NEXT,
            SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"503 that wants a moment that has gone",
     SCRIPT(SAY("HTTP/1.1 503 Busy\r\nRetry-After: Thu, 01 Jan 1998 00:00:00 GMT\r\n" HTML LENGTH
                "\r\n" PAGE),
            NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2"},
    {"500 is an answer", SCRIPT(SAY(STATUS("500 Error"))),
     .record = HAS_TITLE(500, "Page") ",'attempts':1", .requests = 1},
    {"501 is an answer", SCRIPT(SAY(STATUS("501 What"))),
     .record = HAS_TITLE(501, "Page") ",'attempts':1"},
    {"404 is an answer", SCRIPT(SAY(STATUS("404 No"))),
     .record = HAS_TITLE(404, "Page") ",'attempts':1"},
    {"another attempt begins where the last one failed, not in front of the redirect",
     SCRIPT(SAY(REDIRECT("/there")), CLOSE, RESET, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2,'redirects':1", .requests = 3},
};

const struct scenario_group web_retries = SCENARIOS("retries", "?retries=1", retries);

/* -- how long an answer takes ------------------------------------------------------------------ */

/* What fails for the time it takes must have come as far as its script says by then. */
#if SANITIZED_ADDRESS || SANITIZED_THREAD
#define LIMIT    "timeout_ms=2000"
#define LIMIT_MS 2000
#else
#define LIMIT    "timeout_ms=1000"
#define LIMIT_MS 1000
#endif

enum { FOR_EVER = 60000 };

static const struct scenario slow[] = {
    {"nothing comes", SCRIPT(PAUSE(FOR_EVER)), .record = FAILS_FOR_NOW("timeout")},
    {"nothing comes, nor is anything read", SCRIPT(UNASKED, PAUSE(FOR_EVER)),
     .record = FAILS_FOR_NOW("timeout")},
    {"the status line stops", SCRIPT(SAY("HTTP/1.1 2"), PAUSE(FOR_EVER)),
     .record = FAILS("timeout")},
    {"the head stops", SCRIPT(SAY(OK HTML), PAUSE(FOR_EVER)), .record = FAILS_FOR_GOOD("timeout")},
    {"a field stops", SCRIPT(SAY(OK "Content-Ty"), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"the head drips", SCRIPT(DRIP(LIMIT_MS / 10, ANSWER)), .record = FAILS("timeout")},
    {"fields come, but slowly",
     SCRIPT(SAY(OK), PAUSE(LIMIT_MS / 3), SAY("X-A: a\r\n"), PAUSE(LIMIT_MS / 3), SAY("X-A: a\r\n"),
            PAUSE(LIMIT_MS / 3), SAY("X-A: a\r\n"), PAUSE(LIMIT_MS / 3),
            SAY(HTML LENGTH "\r\n" PAGE)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"an interim answer and then nothing",
     SCRIPT(SAY("HTTP/1.1 100 Continue\r\n\r\n"), PAUSE(FOR_EVER)), .record = FAILS("timeout")},
    {"the body does not begin", SCRIPT(SAY(OK HTML LENGTH "\r\n"), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"the body stops", SCRIPT(SAY(HALF_THE_PAGE), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"the body drips", SCRIPT(SAY(OK HTML LENGTH "\r\n"), DRIP(LIMIT_MS / 10, PAGE)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"the chunks stop", SCRIPT(SAY(HALF_A_CHUNK), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"the last chunk does not come",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n22\r\n" PAGE "\r\n"), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"a body without a length has no end", SCRIPT(SAY(OK HTML "\r\n" PAGE), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout")},
    {"each hop is in time, but not all together",
     SCRIPT(PAUSE(LIMIT_MS * 2 / 5), SAY(REDIRECT("/1")), NEXT, PAUSE(LIMIT_MS * 2 / 5),
            SAY(REDIRECT("/2")), NEXT, PAUSE(LIMIT_MS * 2 / 5), SAY(REDIRECT("/3"))),
     .record = FAILS_FOR_NOW("timeout")},
    {"TLS where nothing comes", SCRIPT(UNASKED, PAUSE(FOR_EVER)), .url = "https://{self}/",
     .record = FAILS_FOR_NOW("timeout")},
};

const struct scenario_group web_slow = SCENARIOS("slow", "?" LIMIT "&retries=0", slow);

static const struct scenario patient[] = {
    {"an answer in small pieces",
     SCRIPT(PAUSE(30), SAY("HTT"), PAUSE(30), SAY("P/1.1 200 OK\r"), PAUSE(30),
            SAY("\nContent-Type: text/h"), PAUSE(30), SAY("tml\r\n\r\n<!doctype ht"), PAUSE(30),
            SAY("ml><title>Pa"), PAUSE(30), SAY("ge</title>"), PAUSE(30), CLOSE),
     .record = IS_PAGE ",'body_bytes':34"},
    {"chunks in small pieces",
     SCRIPT(SAY(OK HTML CHUNKED "\r"), PAUSE(20), SAY("\n2"), PAUSE(20), SAY("2"), PAUSE(20),
            SAY("\r"), PAUSE(20), SAY("\n<!doctype html>"), PAUSE(20), SAY("<title>Page</title>\r"),
            PAUSE(20), SAY("\n0\r\n\r"), PAUSE(20), SAY("\n")),
     .record = IS_PAGE ",'body_bytes':34"},
    {"a redirect that takes its time",
     SCRIPT(PAUSE(50), SAY(REDIRECT("/1")), NEXT, PAUSE(50), SAY(REDIRECT("/2")), NEXT, PAUSE(50),
            SAY(ANSWER)),
     .record = IS_PAGE ",'redirects':2"},
};

const struct scenario_group web_patient = SCENARIOS("patient", NULL, patient);

static const struct scenario late[] = {
    {"a time-out, then a page", SCRIPT(PAUSE(FOR_EVER), CLOSE, SAY(ANSWER)),
     .record = IS_PAGE ",'attempts':2", .requests = 2},
    {"two time-outs", SCRIPT(PAUSE(FOR_EVER)), .record = FAILS_FOR_NOW("timeout") ",'attempts':2",
     .requests = 2},
    {"a body that stops is not asked for again", SCRIPT(SAY(HALF_THE_PAGE), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("timeout") ",'attempts':1", .requests = 1},
};

const struct scenario_group web_late = SCENARIOS("late", "?" LIMIT "&retries=1", late);

/* -- batches that end before their pages ------------------------------------------------------- */

static const struct scenario deadline[] = {
    {"a page that takes longer than its batch may", SCRIPT(HOLD, SAY(ANSWER)),
     .record = "'status':'cancelled','error':{'code':'cancelled','retryable':true}"},
    {"a page that is there before the deadline", SCRIPT(SAY(ANSWER)), .record = IS_PAGE},
};

const struct scenario_group web_deadline = SCENARIOS("deadline", "?deadline_ms=2000", deadline);

/* -- how long an answer is --------------------------------------------------------------------- */

#define SIZE_LIMIT "?max_page_bytes=65536"

static const struct scenario sizes[] = {
    {"a body as large as allowed",
     SCRIPT(SAY(OK HTML "Content-Length: 65536\r\n\r\n" PAGE), REPEAT(65536 - 34, "x")),
     .record = IS_PAGE ",'body_bytes':65536"},
    {"a body a byte larger",
     SCRIPT(SAY(OK HTML "Content-Length: 65537\r\n\r\n" PAGE), REPEAT(65537 - 34, "x")),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a body that says that it is too large, and does not come",
     SCRIPT(SAY(OK HTML "Content-Length: 65537\r\n\r\n"), PAUSE(FOR_EVER)),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a body without a length that is as large as allowed",
     SCRIPT(SAY(OK HTML "\r\n" PAGE), REPEAT(65536 - 34, "x"), CLOSE),
     .record = IS_PAGE ",'body_bytes':65536"},
    {"a body without a length that is larger",
     SCRIPT(SAY(OK HTML "\r\n" PAGE), REPEAT(1 << 20, "x"), CLOSE),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a body without an end", SCRIPT(SAY(OK HTML "\r\n" PAGE), REPEAT(1 << 30, "x"), CLOSE),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"chunks that are larger",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n"), REPEAT(6554, "a\r\n0123456789\r\n"), SAY("0\r\n\r\n")),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"chunks without an end",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n"), REPEAT(1 << 26, "a\r\n0123456789\r\n"), CLOSE),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"one chunk that is larger",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n10001\r\n" PAGE), REPEAT(65537 - 34, "x"),
            SAY("\r\n0\r\n\r\n")),
     .record = FAILS_FOR_GOOD("body_too_large")},
    /*
     * libcurl 7 keeps any number of them in memory; these are few enough for a test, and more than
     * the 300 KiB that a head may have.
     */
    {"trailers that are larger than a head may be",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n22\r\n" PAGE "\r\n0\r\n"), REPEAT(27000, "X-A: value\r\n"),
            SAY("\r\n")),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a gzip that becomes larger", .url = "http://{main}/gzip-bomb",
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a gzip that becomes larger behind its title", .url = "http://{main}/gzip/1?size=70000",
     .record = "'status':'ok','title':'Page 1'"},
};

const struct scenario_group web_sizes = SCENARIOS("sizes", SIZE_LIMIT, sizes);
