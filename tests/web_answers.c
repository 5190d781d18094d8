/*
 * Answers that are not quite HTTP/1.1: RFC 9112, section by section. Connections that break and
 * answers that take their time are in web_connections.c.
 */
#include "tests/web.h"

/* -- section 4: the status line ---------------------------------------------------------------- */

static const struct scenario status_lines[] = {
    {"an answer as it should be", SCRIPT(SAY(ANSWER)),
     .record = IS_PAGE ",'content_type':'text/html','body_bytes':34,'redirects':0,'attempts':1,"
                       "'http_version':'1.1','final_url':'http://{self}/'"},
    {"HTTP/1.0 with a length", SCRIPT(SAY("HTTP/1.0 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = IS_PAGE ",'http_version':'1.0'"},
    {"HTTP/1.0 without a length", SCRIPT(SAY("HTTP/1.0 200 OK\r\n" HTML "\r\n" PAGE), CLOSE),
     .record = IS_PAGE ",'http_version':'1.0','body_bytes':34"},
    {"HTTP/1.0 that keeps the connection",
     SCRIPT(SAY("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'http_version':'1.0'"},
    {"HTTP/0.9: a body and nothing else", SCRIPT(SAY(PAGE), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    /* RFC 9110 section 6.2: as HTTP/1.1, but libcurl knows 1.0 and 1.1 only. */
    {"a minor version that nobody knows",
     SCRIPT(SAY("HTTP/1.2 200 OK\r\n" HTML LENGTH "\r\n" PAGE)), .record = IS_PAGE,
     .today = FAILS("protocol_error")},
    {"a major version that was not asked for",
     SCRIPT(SAY("HTTP/2.0 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE), .record = IS_PAGE},
    {"HTTP/3 over TCP", SCRIPT(SAY("HTTP/3 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"HTTP/9.9", SCRIPT(SAY("HTTP/9.9 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"a version in lower case", SCRIPT(SAY("http/1.1 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = IS_PAGE},
    {"the status line of a radio", SCRIPT(SAY("ICY 200 OK\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"an SSH server", SCRIPT(UNASKED, SAY("SSH-2.0-OpenSSH_9.2p1\r\n"), CLOSE),
     .record = FAILS("protocol_error")},
    {"a mail server", SCRIPT(UNASKED, SAY("220 mail.example ESMTP\r\n"), HALF_CLOSE),
     .record = FAILS("protocol_error")},
    {"a TLS server that is not asked in TLS", SCRIPT(SAY("\x15\x03\x01\x00\x02\x02\x46"), CLOSE),
     .record = FAILS("protocol_error")},
    {"no reason phrase", SCRIPT(SAY(STATUS("200 "))), .record = IS_PAGE},
    {"no reason phrase and no space either", SCRIPT(SAY(STATUS("200"))), .record = IS_PAGE},
    {"a reason phrase of bytes that are no text", SCRIPT(SAY(STATUS("200 \xc0\xff\x80"))),
     .record = IS_PAGE},
    {"a reason phrase of 8 KiB",
     SCRIPT(SAY("HTTP/1.1 200 "), REPEAT(8192, "x"), SAY("\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    /* RFC 9112 section 4: one space; a client may be lenient, as libcurl 7 is. */
    {"two spaces before the status code", SCRIPT(SAY(STATUS(" 200 OK"))),
     .record = FAILS("protocol_error"), .today_7 = IS_PAGE},
    {"a status code of two digits", SCRIPT(SAY(STATUS("20 OK")), CLOSE),
     .record = FAILS("protocol_error")},
    /* RFC 9112 section 4: three digits. libcurl 8 reads three of four. */
    {"a status code of four digits", SCRIPT(SAY(STATUS("2000 OK")), CLOSE),
     .record = FAILS("protocol_error"), .today = IS_PAGE},
    {"a status code that is no number", SCRIPT(SAY(STATUS("abc OK")), CLOSE),
     .record = FAILS("protocol_error")},
    {"a negative status code", SCRIPT(SAY(STATUS("-200 OK")), CLOSE),
     .record = FAILS("protocol_error")},
    {"no status code", SCRIPT(SAY("HTTP/1.1\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"status 000", SCRIPT(SAY(STATUS("000 OK")), CLOSE), .record = FAILS("protocol_error")},
    {"status 299", SCRIPT(SAY(STATUS("299 Fine"))), .record = HAS_TITLE(299, "Page")},
    {"status 418", SCRIPT(SAY(STATUS("418 Teapot"))), .record = HAS_TITLE(418, "Page")},
    {"status 600", SCRIPT(SAY(STATUS("600 Strange"))), .record = HAS_TITLE(600, "Page")},
    {"status 999", SCRIPT(SAY(STATUS("999 Go away"))), .record = HAS_TITLE(999, "Page")},
    {"an error page is an answer", SCRIPT(SAY(STATUS("500 Error"))),
     .record = HAS_TITLE(500, "Page") ",'attempts':1"},
    {"an empty line first", SCRIPT(SAY("\r\n" ANSWER), CLOSE), .record = FAILS("protocol_error")},
    {"garbage first", SCRIPT(SAY("garbage\r\n" ANSWER), CLOSE), .record = FAILS("protocol_error")},
    {"a byte order mark first", SCRIPT(SAY("\xef\xbb\xbf" ANSWER), CLOSE),
     .record = FAILS("protocol_error")},
    {"two status lines",
     SCRIPT(SAY(OK "HTTP/1.1 404 Not Found\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"a NUL in the status line", SCRIPT(SAY(STATUS("200 O\0K")), CLOSE),
     .record = FAILS("protocol_error")},

    /* RFC 9110 section 15.2: interim answers, and what they say is not the answer's. */
    {"100 first", SCRIPT(SAY("HTTP/1.1 100 Continue\r\n\r\n" ANSWER)), .record = IS_PAGE},
    {"102 and 103 first",
     SCRIPT(SAY("HTTP/1.1 102 Processing\r\n\r\n"), PAUSE(20),
            SAY("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" ANSWER)),
     .record = IS_PAGE},
    {"103 with fields that are not the answer's",
     SCRIPT(SAY("HTTP/1.1 103 Early Hints\r\nContent-Type: image/png\r\nContent-Encoding: gzip\r\n"
                "Location: /elsewhere\r\nContent-Length: 7\r\n\r\n" ANSWER)),
     .record = IS_PAGE ",'content_type':'text/html','redirects':0"},
    {"an interim answer that nobody has heard of", SCRIPT(SAY("HTTP/1.1 199 Wait\r\n\r\n" ANSWER)),
     .record = IS_PAGE},
    {"fifty interim answers", SCRIPT(REPEAT(50, "HTTP/1.1 100 Continue\r\n\r\n"), SAY(ANSWER)),
     .record = IS_PAGE},
    {"an interim answer and then nothing", SCRIPT(SAY("HTTP/1.1 100 Continue\r\n\r\n"), CLOSE),
     .record = FAILS_FOR_NOW("connect_failure")},
    /* RFC 9110 sections 7.8, 15.2.2: only for a client that has asked. libcurl takes it for final.
     */
    {"101 although nothing else was asked for",
     SCRIPT(SAY("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\n\r\n\x81\x05hello"),
            CLOSE),
     .record = FAILS("protocol_error")},
};

const struct scenario_group web_status_lines = SCENARIOS("status lines", NULL, status_lines);

/* -- section 5: header fields ------------------------------------------------------------------ */

static const struct scenario fields[] = {
    {"no fields at all", SCRIPT(SAY(OK "\r\n" PAGE), CLOSE),
     .record = IS_PAGE ",'content_type':'(none)'"},
    {"no fields and no body", SCRIPT(SAY(OK "\r\n"), CLOSE),
     .record = HAS_NO_TITLE(200) ",'body_bytes':0"},
    {"lines that end in LF alone",
     SCRIPT(SAY("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 34\n\n" PAGE)),
     .record = IS_PAGE ",'content_type':'text/html'"},
    {"an empty line of LF alone", SCRIPT(SAY(OK HTML LENGTH "\n" PAGE)), .record = IS_PAGE},
    {"a CR in the middle of a line", SCRIPT(SAY(OK "X-A: a\rb\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"names in any case",
     SCRIPT(SAY(OK "cOnTeNt-TyPe: text/html\r\nCONTENT-LENGTH: 34\r\n\r\n" PAGE)),
     .record = IS_PAGE ",'content_type':'text/html'"},
    {"no space behind the colon, and many",
     SCRIPT(SAY(OK "Content-Type:text/html\r\nContent-Length:   \t 34  \r\n\r\n" PAGE)),
     .record = IS_PAGE ",'content_type':'text/html'"},
    {"a folded field",
     SCRIPT(SAY(OK "Content-Type: text/html;\r\n charset=utf-8\r\n" LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'content_type':'text/html; charset=utf-8'"},
    {"a field folded by a tab",
     SCRIPT(SAY(OK "Content-Type: text/html;\r\n\tcharset=utf-8\r\n" LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'charset':'utf-8'"},
    /*
     * RFC 9112 section 2.2: refused or skipped. Before 8.1.1, libcurl joins it to the last field of
     * the answer before, which the same handle had, and whose memory is free: the daemon dies.
     */
    {"a first field that is folded", SCRIPT(SAY(OK " X-A: a\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = IS_PAGE, .today_7 = FAILS("protocol_error")},
    {"a field without a colon", SCRIPT(SAY(OK "nonsense\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"a field without a name", SCRIPT(SAY(OK ": a\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a space before the colon", SCRIPT(SAY(OK "X-A : a\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a name that is no token", SCRIPT(SAY(OK "X@{}<A>: a\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a value of bytes that are no text",
     SCRIPT(SAY(OK "Content-Type: text/html; x=\xe9\xff\r\n" LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'content_type':'text/html; x=\xef\xbf\xbd\xef\xbf\xbd'"},
    {"a control character in a value", SCRIPT(SAY(OK "X-A: \x01\x7f\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a NUL in a value", SCRIPT(SAY(OK "X-A: a\0b\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    {"a NUL in a name", SCRIPT(SAY(OK "X\0A: a\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS("protocol_error")},
    /* To libcurl 7 the value is its line's end. */
    {"an empty type", SCRIPT(SAY(OK "Content-Type:\r\n" LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'content_type':'(none)'"},
    {"a field of 60 KiB",
     SCRIPT(SAY(OK "X-A: "), REPEAT(60 << 10, "a"), SAY("\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a field of 200 KiB",
     SCRIPT(SAY(OK "X-A: "), REPEAT(200 << 10, "a"), SAY("\r\n" HTML LENGTH "\r\n" PAGE), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a field that never ends", SCRIPT(SAY(OK "X-A: "), REPEAT(1 << 30, "a"), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a thousand fields",
     SCRIPT(SAY(OK), REPEAT(1000, "X-A: some value\r\n"), SAY(HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"fields that never end", SCRIPT(SAY(OK), REPEAT(1 << 26, "X-A: some value\r\n"), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"interim answers that never end",
     SCRIPT(REPEAT(1 << 26, "HTTP/1.1 100 Continue\r\n\r\n"), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a hundred cookies",
     SCRIPT(SAY(OK), REPEAT(100, "Set-Cookie: a=b; Path=/\r\n"), SAY(HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
    {"a refresh is no redirect",
     SCRIPT(SAY(OK "Refresh: 0; url=/there\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE ",'redirects':0"},
    {"a challenge is an answer",
     SCRIPT(
         SAY("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = HAS_TITLE(401, "Page"), .requests = 1, .never = "Authorization"},
    {"an upgrade that is offered",
     SCRIPT(SAY(OK "Upgrade: h2c\r\nAlt-Svc: h2=\":1\", h3=\":1\"\r\n"
                   "Strict-Transport-Security: max-age=9999\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = IS_PAGE},
};

const struct scenario_group web_fields = SCENARIOS("fields", NULL, fields);

/* -- sections 6 and 7: where the body ends ----------------------------------------------------- */

#define SIZED(field)     SCRIPT(SAY(OK HTML field "\r\n\r\n" PAGE), CLOSE)
#define IN_CHUNKS(bytes) SCRIPT(SAY(OK HTML CHUNKED "\r\n" bytes), CLOSE)

static const struct scenario framing[] = {
    /* Content-Length, section 6.2 */
    {"a length that is too small",
     SCRIPT(SAY(OK HTML LENGTH "\r\n" PAGE "<p>more"), NEXT, SAY(ANSWER)),
     .url = "http://{self}/1\nhttp://{self}/2", .record = IS_PAGE ",'body_bytes':34,'attempts':1"},
    {"a length that is too large", SIZED("Content-Length: 1000"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a length and no body", SCRIPT(SAY(OK HTML LENGTH "\r\n"), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a length of 0", SCRIPT(SAY(OK HTML "Content-Length: 0\r\n\r\n")),
     .record = HAS_NO_TITLE(200) ",'body_bytes':0"},
    {"the same length twice", SIZED("Content-Length: 34\r\nContent-Length: 34"), .record = IS_PAGE},
    /*
     * RFC 9112 section 6.3, rule 5: an invalid length, and several that differ, are an error that a
     * client cannot recover from. libcurl takes the last of several, and of each what is a number.
     */
    {"two lengths", SIZED("Content-Length: 34\r\nContent-Length: 20"),
     .record = FAILS("protocol_error")},
    {"two lengths, the smaller first", SIZED("Content-Length: 20\r\nContent-Length: 34"),
     .record = FAILS("protocol_error")},
    {"a list of the same lengths", SIZED("Content-Length: 34, 34"), .record = IS_PAGE},
    {"a list of lengths", SIZED("Content-Length: 34, 20"), .record = FAILS("protocol_error")},
    {"a negative length", SIZED("Content-Length: -1"), .record = FAILS("protocol_error")},
    {"a length with a sign", SIZED("Content-Length: +34"), .record = FAILS("protocol_error")},
    {"a length that is no number", SIZED("Content-Length: many"),
     .record = FAILS("protocol_error")},
    {"a length with something behind it", SIZED("Content-Length: 34 bytes"),
     .record = FAILS("protocol_error")},
    {"a length in hexadecimal", SIZED("Content-Length: 0x22"), .record = FAILS("protocol_error")},
    {"an empty length", SIZED("Content-Length:"), .record = FAILS("protocol_error")},
    {"a length of 2^63 - 1", SIZED("Content-Length: 9223372036854775807"),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a length above 2^64", SIZED("Content-Length: 18446744073709551650"),
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a length with zeros in front", SIZED("Content-Length: 0000000000000000000000034"),
     .record = IS_PAGE ",'body_bytes':34"},

    /* Transfer-Encoding, section 6.1 */
    {"chunks", IN_CHUNKS(CHUNKS), .record = IS_PAGE ",'body_bytes':34"},
    {"chunks beat a length", SCRIPT(SAY(OK HTML "Content-Length: 10\r\n" CHUNKED "\r\n" CHUNKS)),
     .record = IS_PAGE},
    {"chunks beat a length behind them",
     SCRIPT(SAY(OK HTML CHUNKED "Content-Length: 10\r\n\r\n" CHUNKS)), .record = IS_PAGE},
    {"chunks in HTTP/1.0", SCRIPT(SAY("HTTP/1.0 200 OK\r\n" HTML CHUNKED "\r\n" CHUNKS), CLOSE),
     .record = IS_PAGE},
    {"chunks with another spelling",
     SCRIPT(SAY(OK HTML "Transfer-Encoding:  CHUNKED \r\n\r\n" CHUNKS)), .record = IS_PAGE},
    {"chunks that are none", IN_CHUNKS(PAGE), .record = FAILS_FOR_GOOD("protocol_error")},
    {"chunks that are said twice", SCRIPT(SAY(OK HTML CHUNKED CHUNKED "\r\n" CHUNKS), CLOSE),
     .record = IS_PAGE},
    /* RFC 9112 section 6.1. libcurl 7 takes no notice. */
    {"an unknown transfer coding",
     SCRIPT(SAY(OK HTML "Transfer-Encoding: xchunked\r\n\r\n" PAGE), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"the transfer coding identity",
     SCRIPT(SAY(OK HTML "Transfer-Encoding: identity\r\n\r\n" PAGE), CLOSE), .record = IS_PAGE},

    /* Chunks, section 7.1 */
    {"a byte a chunk",
     IN_CHUNKS("1\r\n<\r\n1\r\nt\r\n1\r\ni\r\n1\r\nt\r\n1\r\nl\r\n1\r\ne\r\n1\r\n>"
               "\r\n4\r\nPage\r\n0\r\n\r\n"),
     .record = IS_PAGE ",'body_bytes':11"},
    {"a chunk extension", IN_CHUNKS("22;a=b;c=\"d;e\"\r\n" PAGE "\r\n0;f\r\n\r\n"),
     .record = IS_PAGE},
    {"a chunk extension of 64 KiB",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n22;a="), REPEAT(64 << 10, "b"),
            SAY("\r\n" PAGE "\r\n0\r\n\r\n")),
     .record = IS_PAGE},
    {"trailers", IN_CHUNKS("22\r\n" PAGE "\r\n0\r\nX-A: a\r\nX-B: b\r\n\r\n"), .record = IS_PAGE},
    {"trailers that belong into the head",
     IN_CHUNKS("22\r\n" PAGE "\r\n0\r\nContent-Type: image/png\r\nContent-Encoding: gzip\r\n"
               "Location: /elsewhere\r\n\r\n"),
     .record = IS_PAGE ",'content_type':'text/html','redirects':0"},
    {"a chunk size in upper case, with zeros in front",
     SCRIPT(SAY(OK HTML CHUNKED
                "\r\n"
                "000000000000000A\r\n<!DOCTYPE \r\nB\r\nhtml><title\r\n05\r\n>Page\r\n"
                "0\r\n\r\n")),
     .record = IS_PAGE},
    {"a space behind the chunk size", IN_CHUNKS("22 \r\n" PAGE "\r\n0\r\n\r\n"), .record = IS_PAGE},
    {"chunks whose lines end in LF alone", IN_CHUNKS("22\n" PAGE "\n0\n\n"), .record = IS_PAGE},
    {"a chunk size that is no number", IN_CHUNKS("zz\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a later chunk size that is no number",
     SCRIPT(SAY(OK HTML CHUNKED "\r\n22\r\n" PAGE "\r\n"), PAUSE(20), SAY("zz\r\n"), CLOSE),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a negative chunk size", IN_CHUNKS("-22\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a chunk size with a prefix", IN_CHUNKS("0x22\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"no chunk size", IN_CHUNKS("\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a chunk size above 2^64", IN_CHUNKS("10000000000000022\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a chunk size of 2^63", IN_CHUNKS("8000000000000000\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a chunk that is longer than its size", IN_CHUNKS("10\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"a chunk that is shorter than its size", IN_CHUNKS("ff\r\n" PAGE "\r\n0\r\n\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"chunks without a last one", IN_CHUNKS("22\r\n" PAGE "\r\n"),
     .record = FAILS_FOR_GOOD("protocol_error")},
    {"chunks and no chunk", IN_CHUNKS(""), .record = FAILS_FOR_GOOD("protocol_error")},
    {"nothing in the chunks", IN_CHUNKS("0\r\n\r\n"), .record = HAS_NO_TITLE(200)},
    {"something behind the last chunk", IN_CHUNKS(CHUNKS "and more"), .record = IS_PAGE},

    /* Answers that have no body, section 6.3. */
    {"204 has no body", SCRIPT(SAY("HTTP/1.1 204 No Content\r\n\r\n")),
     .record = HAS_NO_TITLE(204) ",'body_bytes':0"},
    {"204 with a body all the same",
     SCRIPT(SAY(STATUS("204 No Content")), NEXT, SAY(STATUS("204 No"))),
     .url = "http://{self}/1\nhttp://{self}/2",
     .record = HAS_NO_TITLE(204) ",'body_bytes':0,'attempts':1"},
    {"304 with a length and no body", SCRIPT(SAY("HTTP/1.1 304 Not Modified\r\n" LENGTH "\r\n")),
     .record = HAS_NO_TITLE(304) ",'body_bytes':0"},
    {"304 with a body all the same",
     SCRIPT(SAY(STATUS("304 Not Modified")), NEXT, SAY(STATUS("304 Not"))),
     .url = "http://{self}/1\nhttp://{self}/2",
     .record = HAS_NO_TITLE(304) ",'body_bytes':0,'attempts':1"},
    {"205 with a body", SCRIPT(SAY(STATUS("205 Reset Content"))), .record = HAS_TITLE(205, "Page")},
    {"206 although no range was asked for",
     SCRIPT(
         SAY("HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-33/100\r\n" HTML LENGTH "\r\n" PAGE)),
     .record = HAS_TITLE(206, "Page"), .never = "Range:"},

    /* Bytes that nobody asked for must not become the answer to somebody else. */
    {"two answers to one request",
     SCRIPT(SAY(ANSWER OK HTML "Content-Length: 19\r\n\r\n<title>Evil</title>"), NEXT, SAY(ANSWER)),
     .url = "http://{self}/1\nhttp://{self}/2\nhttp://{self}/3", .record = IS_PAGE ",'attempts':1"},
    {"a second answer that comes a little later",
     SCRIPT(SAY(ANSWER), PAUSE(50), SAY(OK HTML "Content-Length: 19\r\n\r\n<title>Evil</title>"),
            CLOSE, SAY(ANSWER)),
     .url = "http://{self}/1", .record = IS_PAGE ",'attempts':1"},
};

const struct scenario_group web_framing = SCENARIOS("framing", "?per_host=1", framing);
