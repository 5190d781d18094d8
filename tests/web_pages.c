/*
 * What is in an answer's body: codings that are what they say, and that are not; types; and pages
 * that are hard on the parser.
 */
#include "tests/web.h"

/* -- content codings (RFC 9110 section 8.4) ---------------------------------------------------- */

/* PAGE, compressed. */
/* clang-format off */
#define GZIP_PAGE \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xb3\x51\x4c\xc9\x4f\x2e\xa9\x2c\x48\x55" \
    "\xc8\x28\xc9\xcd\xb1\xb3\x29\xc9\x2c\xc9\x49\xb5\x0b\x48\x4c\x4f\xb5\xd1\x87\xb0" \
    "\x01\xf0\x5a\x46\x6f\x22\x00\x00\x00"
#define GZIP_GZIP_PAGE \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x93\xef\xe6\x60\x00\x01\x26\xe6\xcd\x81" \
    "\x3e\x27\xfd\xf5\x56\xea\x78\x84\x9e\xd0\x38\x79\x76\xe3\x66\xcd\x93\x3a\x27\x3d" \
    "\xb7\x72\x7b\xf8\xf8\x6f\xbd\xd8\xbe\x81\xf1\x43\x94\x5b\xbe\x12\x50\x21\x00\xae" \
    "\x15\x55\xeb\x31\x00\x00\x00"
#define DEFLATE_PAGE \
    "\x78\xda\xb3\x51\x4c\xc9\x4f\x2e\xa9\x2c\x48\x55\xc8\x28\xc9\xcd\xb1\xb3\x29\xc9" \
    "\x2c\xc9\x49\xb5\x0b\x48\x4c\x4f\xb5\xd1\x87\xb0\x01\xd6\x13\x0c\x4d"
#define RAW_PAGE \
    "\xb3\x51\x4c\xc9\x4f\x2e\xa9\x2c\x48\x55\xc8\x28\xc9\xcd\xb1\xb3\x29\xc9\x2c\xc9" \
    "\x49\xb5\x0b\x48\x4c\x4f\xb5\xd1\x87\xb0\x01"
#define BR_PAGE \
    "\x1b\x21\x00\xf8\xa5\x5e\x78\x5a\x90\x42\x28\x11\x46\x2f\x80\x81\x0a\x8e\x38\x8d" \
    "\x17"
#define GZIP_BR_PAGE \
    "\x0b\x18\x80\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xb3\x51\x4c\xc9\x4f\x2e\xa9" \
    "\x2c\x48\x55\xc8\x28\xc9\xcd\xb1\xb3\x29\xc9\x2c\xc9\x49\xb5\x0b\x48\x4c\x4f\xb5" \
    "\xd1\x87\xb0\x01\xf0\x5a\x46\x6f\x22\x00\x00\x00\x03"
#define ZSTD_PAGE \
    "\x28\xb5\x2f\xfd\x20\x22\x11\x01\x00\x3c\x21\x64\x6f\x63\x74\x79\x70\x65\x20\x68" \
    "\x74\x6d\x6c\x3e\x3c\x74\x69\x74\x6c\x65\x3e\x50\x61\x67\x65\x3c\x2f\x74\x69\x74" \
    "\x6c\x65\x3e"
/* clang-format on */

#define CODED(coding, body) SCRIPT(SAY(OK HTML "Content-Encoding: " coding "\r\n\r\n" body), CLOSE)
#define IS_NOT_CODED        FAILS_FOR_GOOD("bad_encoding") ",'attempts':1"

static const struct scenario codings[] = {
    {"gzip", CODED("gzip", GZIP_PAGE), .record = IS_PAGE ",'body_bytes':49"},
    {"x-gzip", CODED("x-gzip", GZIP_PAGE), .record = IS_PAGE},
    {"a coding in upper case", CODED("GZIP", GZIP_PAGE), .record = IS_PAGE},
    {"deflate", CODED("deflate", DEFLATE_PAGE), .record = IS_PAGE},
    {"deflate without its wrapper", CODED("deflate", RAW_PAGE), .record = IS_PAGE},
    {"br", CODED("br", BR_PAGE), .record = IS_PAGE},
    {"zstd", CODED("zstd", ZSTD_PAGE), .record = IS_PAGE},
    {"identity", CODED("identity", PAGE), .record = IS_PAGE},
    {"an empty coding", CODED("", PAGE), .record = IS_PAGE},
    {"codings with empty elements", CODED(", ,gzip,,", GZIP_PAGE), .record = IS_PAGE},
    {"gzip in chunks",
     SCRIPT(SAY(OK HTML CHUNKED "Content-Encoding: gzip\r\n\r\n31\r\n" GZIP_PAGE "\r\n0\r\n\r\n")),
     .record = IS_PAGE ",'body_bytes':49"},
    {"two codings", CODED("gzip, br", GZIP_BR_PAGE), .record = IS_PAGE},
    {"the same coding twice", CODED("gzip, gzip", GZIP_GZIP_PAGE), .record = IS_PAGE},
    {"two codings in two fields",
     SCRIPT(SAY(OK HTML "Content-Encoding: gzip\r\nContent-Encoding: br\r\n\r\n" GZIP_BR_PAGE),
            CLOSE),
     .record = IS_PAGE},
    {"two gzip members", CODED("gzip", GZIP_PAGE GZIP_PAGE), .record = IS_PAGE},
    {"two zstd frames", CODED("zstd", ZSTD_PAGE ZSTD_PAGE), .record = IS_PAGE},
    {"garbage behind the gzip", CODED("gzip", GZIP_PAGE "and more"), .record = IS_PAGE},
    {"garbage behind the deflate", CODED("deflate", DEFLATE_PAGE "and more"), .record = IS_PAGE},
    {"garbage behind the br", CODED("br", BR_PAGE "and more"), .record = IS_PAGE},
    {"garbage behind the zstd", CODED("zstd", ZSTD_PAGE "and more"), .record = IS_PAGE},
    {"a coding and no body", CODED("gzip", ""), .record = HAS_NO_TITLE(200)},

    {"gzip that is plain", CODED("gzip", PAGE), .record = IS_NOT_CODED},
    {"br that is plain", CODED("br", PAGE), .record = IS_NOT_CODED},
    {"zstd that is plain", CODED("zstd", PAGE), .record = IS_NOT_CODED},
    {"deflate that is plain", CODED("deflate", PAGE), .record = IS_NOT_CODED},
    {"br that is gzip", CODED("br", GZIP_PAGE), .record = IS_NOT_CODED},
    {"gzip that is br", CODED("gzip", BR_PAGE), .record = IS_NOT_CODED},
    {"two codings that are one", CODED("gzip, gzip", GZIP_PAGE), .record = IS_NOT_CODED},
    {"gzip with a method that nobody knows",
     CODED("gzip", "\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\x03" RAW_PAGE), .record = IS_NOT_CODED},
    {"gzip that is damaged early",
     CODED("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff\xff\xff"),
     .record = IS_NOT_CODED},
    {"gzip that ends in its header", CODED("gzip", "\x1f\x8b\x08\x00"),
     .record = HAS_NO_TITLE(200)},
    {"gzip without its trailer", CODED("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" RAW_PAGE),
     .record = IS_PAGE},
    {"gzip with a wrong checksum",
     CODED("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" RAW_PAGE "\x01\x02\x03\x04\x22\x00"
                   "\x00\x00"),
     .record = IS_PAGE},
    {"gzip that is cut behind the title",
     CODED("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00\x22\x00\xdd\xff" PAGE),
     .record = IS_PAGE},
    {"an unknown coding", CODED("compress", "\x1f\x9d\x90<\x42"), .record = IS_NOT_CODED},
    {"a coding that needs a dictionary", CODED("dcb", "\xff\x44\x43\x42" BR_PAGE),
     .record = IS_NOT_CODED},
    {"a charset for a coding", CODED("UTF-8", PAGE), .record = IS_PAGE},
    {"a coding called none", CODED("none", PAGE), .record = IS_PAGE},
    {"a coding of electronic mail", CODED("binary", PAGE), .record = IS_PAGE},
    {"a charset and a coding", CODED("utf-8, gzip", GZIP_PAGE), .record = IS_PAGE},
    {"four codings and identity", CODED("identity, gzip, identity", GZIP_PAGE), .record = IS_PAGE},
    {"five codings", CODED("gzip, gzip, gzip, gzip, gzip", GZIP_PAGE), .record = IS_NOT_CODED},
    {"a coding of a picture is nobody's business",
     SCRIPT(SAY(OK "Content-Type: image/png\r\nContent-Encoding: gzip\r\n\r\nnone of it"), CLOSE),
     .record = HAS_NO_TITLE(200) ",'content_type':'image/png'"},
    {"a coding of an error page",
     SCRIPT(SAY("HTTP/1.1 404 No\r\n" HTML "Content-Encoding: gzip\r\n\r\n" GZIP_PAGE), CLOSE),
     .record = HAS_TITLE(404, "Page")},
    /* RFC 9112 section 7: without a TE field. libcurl 7 hands it over as it came. */
    {"transfer coding gzip, that nobody asked for",
     SCRIPT(SAY(OK HTML "Transfer-Encoding: gzip, chunked\r\n\r\n31\r\n" GZIP_PAGE "\r\n0\r\n\r\n"),
            CLOSE),
     .record = FAILS("protocol_error")},
    {"a bomb", .url = "http://{main}/gzip-bomb", .record = FAILS_FOR_GOOD("body_too_large")},
    {"a bomb in a bomb", .url = "http://{main}/gzip-bomb?layers=2",
     .record = FAILS_FOR_GOOD("body_too_large")},
    {"a page is asked for in every coding", SCRIPT(SAY(ANSWER)), .record = IS_PAGE,
     .hears = "Accept-Encoding: gzip, deflate, br, zstd\r\n"},
};

const struct scenario_group web_codings = SCENARIOS("codings", NULL, codings);

/* -- types (RFC 9110 section 8.3, MIME Sniffing) ----------------------------------------------- */

#define TYPED(type, body) SCRIPT(SAY(OK "Content-Type: " type "\r\n\r\n" body), CLOSE)
#define UNTYPED(body)     SCRIPT(SAY(OK "\r\n" body), CLOSE)
#define IS_NO_PAGE(type)  HAS_NO_TITLE(200) ",'content_type':'" type "'"

static const struct scenario types[] = {
    {"HTML", TYPED("text/html", PAGE), .record = IS_PAGE ",'charset':'utf-8'"},
    {"XHTML", TYPED("application/xhtml+xml", PAGE), .record = IS_PAGE},
    {"a type in upper case", TYPED("TEXT/HTML", PAGE),
     .record = IS_PAGE ",'content_type':'TEXT/HTML'"},
    {"parameters", TYPED("text/html;charset=\"utf-8\";a=b", PAGE), .record = IS_PAGE},
    {"parameters that are none", TYPED("text/html ;;; charset ; =x; charset=", PAGE),
     .record = IS_PAGE},
    {"a charset that nobody knows", TYPED("text/html; charset=klingon", PAGE), .record = IS_PAGE},
    {"a charset", TYPED("text/html; charset=iso-8859-1", "<title>caf\xe9</title>"),
     .record = HAS_TITLE(200, "caf\xc3\xa9") ",'charset':'windows-1252'"},
    {"bytes that are not in the charset",
     TYPED("text/html; charset=utf-8", "<title>caf\xe9</title>"),
     .record = HAS_TITLE(200, "caf\xef\xbf\xbd")},
    {"a byte order mark beats the charset",
     TYPED("text/html; charset=iso-8859-1", "\xef\xbb\xbf<title>caf\xc3\xa9</title>"),
     .record = HAS_TITLE(200, "caf\xc3\xa9") ",'charset':'utf-8'"},
    {"UTF-16", TYPED("text/html", "\xff\xfe<\0t\0i\0t\0l\0e\0>\0P\0a\0g\0e\0"), .record = IS_PAGE},
    {"plain text", TYPED("text/plain", PAGE), .record = IS_NO_PAGE("text/plain")},
    {"a picture", TYPED("image/png", "\x89PNG\r\n\x1a\n"), .record = IS_NO_PAGE("image/png")},
    {"a picture that is a page", TYPED("image/png", PAGE), .record = IS_NO_PAGE("image/png")},
    {"JSON", TYPED("application/json", "{\"title\":\"<title>Page</title>\"}"),
     .record = IS_NO_PAGE("application/json")},
    {"PDF", TYPED("application/pdf", "%PDF-1.7"), .record = IS_NO_PAGE("application/pdf")},
    {"a download", TYPED("application/octet-stream", PAGE),
     .record = IS_NO_PAGE("application/octet-stream")},
    {"XML", TYPED("application/xml", "<title>Page</title>"),
     .record = IS_NO_PAGE("application/xml")},
    {"a drawing", TYPED("image/svg+xml", "<svg><title>Page</title></svg>"),
     .record = IS_NO_PAGE("image/svg+xml")},
    {"no type and a page", UNTYPED(PAGE), .record = IS_PAGE ",'content_type':'(none)'"},
    {"no type and a page behind white space", UNTYPED("\r\n\t <html><title>Page"),
     .record = IS_PAGE},
    {"no type and no page", UNTYPED("{}"), .record = HAS_NO_TITLE(200) ",'charset':'(none)'"},
    {"no type and a picture", UNTYPED("\x89PNG\r\n\x1a\n<title>Page</title>"),
     .record = HAS_NO_TITLE(200)},
    {"no type and nothing", UNTYPED(""), .record = HAS_NO_TITLE(200) ",'body_bytes':0"},
    {"a type that says nothing", TYPED("*/*", PAGE), .record = IS_PAGE},
    {"a type that says that it is unknown", TYPED("unknown/unknown", PAGE), .record = IS_PAGE},
    {"a type that is none", TYPED("html", PAGE), .record = IS_PAGE},
    {"a type that is a parameter", TYPED("charset=utf-8", PAGE), .record = IS_PAGE},
    /* Fetch standard, "extract a MIME type": the last one that is one. */
    {"the type twice", TYPED("text/html\r\nContent-Type: text/html; charset=utf-8", PAGE),
     .record = IS_PAGE},
    {"the type twice in one field", TYPED("text/html, text/html", PAGE), .record = IS_PAGE},
    {"two types", TYPED("text/plain\r\nContent-Type: text/html", PAGE), .record = IS_PAGE},
    {"a page without a title", TYPED("text/html", "<p>text"), .record = HAS_NO_TITLE(200)},
    {"a page with an empty title", TYPED("text/html", "<title></title>"),
     .record = HAS_TITLE(200, "")},
    {"a title without an end", TYPED("text/html", "<title>Page"), .record = IS_PAGE},
    {"NULs in a page", TYPED("text/html", "\0<!doctype html>\0<title>Pa\0ge</title>"),
     .record = HAS_TITLE(200, "Pa\xef\xbf\xbdge")},
};

const struct scenario_group web_types = SCENARIOS("types", NULL, types);

/* -- pages that are hard on the parser --------------------------------------------------------- */

static const struct scenario parsing[] = {
    /* gumbo walks the open elements for each character, and takes no memory meanwhile. */
    {"a page that takes too long",
     SCRIPT(SAY(OK HTML "\r\n"), REPEAT(20000, "<span>"), SAY("<b>"), REPEAT(4 << 20, "x"),
            SAY("<title>Late</title>"), CLOSE),
     .record = FAILS_FOR_GOOD("parse_timeout") ",'attempts':1"},
    {"a page that would take too long, if it had a title",
     SCRIPT(SAY(OK HTML "\r\n"), REPEAT(20000, "<span>"), SAY("<b>"), REPEAT(4 << 20, "x"), CLOSE),
     .record = "'status':'ok','title':null"},
    {"a page beside it", SCRIPT(SAY(ANSWER)), .record = IS_PAGE},
};

const struct scenario_group web_parsing = SCENARIOS("parsing", NULL, parsing);
