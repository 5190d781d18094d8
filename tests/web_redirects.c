/*
 * Redirects: RFC 9110 sections 15.4 and 10.2.2, RFC 3986 section 5, and what servers send instead.
 */
#include "tests/web.h"

#define MOVED(status, location)                                                                    \
    SCRIPT(SAY("HTTP/1.1 " status "\r\nLocation: " location "\r\n" HTML LENGTH "\r\n" PAGE), NEXT, \
           SAY(OK HTML "Content-Length: 20\r\n\r\n<title>There</title>"))
#define TO(location) MOVED("302 Found", location)
#define GOES_TO(url) HAS_TITLE(200, "There") ",'redirects':1,'attempts':1,'final_url':'" url "'"
#define GOES_NOWHERE(status)                                                                       \
    HAS_TITLE(status, "Page") ",'redirects':0,'final_url':'http://{self}/a/b'"
#define HERE "http://{self}/a/b"

static const struct scenario redirects[] = {
    {"301", MOVED("301 Moved", "/there"), .record = GOES_TO("http://{self}/there")},
    {"302", MOVED("302 Found", "/there"), .record = GOES_TO("http://{self}/there")},
    {"303", MOVED("303 See Other", "/there"), .record = GOES_TO("http://{self}/there")},
    {"307", MOVED("307 Temporary", "/there"), .record = GOES_TO("http://{self}/there")},
    {"308", MOVED("308 Permanent", "/there"), .record = GOES_TO("http://{self}/there")},
    {"300 leaves the choice", MOVED("300 Choices", "/there"), .url = HERE,
     .record = GOES_NOWHERE(300), .requests = 1},
    {"304 has no target", SCRIPT(SAY("HTTP/1.1 304 No\r\nLocation: /there\r\n\r\n")), .url = HERE,
     .record = HAS_NO_TITLE(304) ",'redirects':0", .requests = 1},
    {"305 and 306 are history", MOVED("305 Use Proxy", "http://{other}/"), .url = HERE,
     .record = GOES_NOWHERE(305), .requests = 1},
    {"a Location is no redirect by itself", MOVED("200 OK", "/there"), .url = HERE,
     .record = GOES_NOWHERE(200), .requests = 1},
    {"201 says where something is", MOVED("201 Created", "/there"), .url = HERE,
     .record = GOES_NOWHERE(201), .requests = 1},
    {"404 with a Location", MOVED("404 No", "/there"), .url = HERE, .record = GOES_NOWHERE(404)},
    {"a redirect without a Location", SCRIPT(SAY(STATUS("302 Found"))), .url = HERE,
     .record = GOES_NOWHERE(302)},
    /* To libcurl 7 the value is its line's end, which makes it a reference to the page itself. */
    {"an empty Location", TO(""), .url = HERE, .record = GOES_NOWHERE(302)},
    {"a Location of white space", TO("  \t "), .url = HERE, .record = GOES_NOWHERE(302)},

    /* -- references (RFC 3986 section 5.4) */

    {"a whole URL", TO("http://{self}/there"), .record = GOES_TO("http://{self}/there")},
    {"a whole URL in capitals", TO("HTTP://{self}/There"),
     .record = GOES_TO("http://{self}/There")},
    {"a whole URL without a path", TO("http://{self}"), .url = HERE,
     .record = GOES_TO("http://{self}/")},
    {"no scheme", TO("//{self}/there"), .record = GOES_TO("http://{self}/there")},
    {"a path", TO("/there"), .url = HERE, .record = GOES_TO("http://{self}/there")},
    {"a name", TO("there"), .url = HERE, .record = GOES_TO("http://{self}/a/there")},
    {"a name with a dot", TO("./there"), .url = HERE, .record = GOES_TO("http://{self}/a/there")},
    {"dots", TO("../there"), .url = HERE, .record = GOES_TO("http://{self}/there")},
    {"more dots than folders", TO("../../../there"), .url = HERE,
     .record = GOES_TO("http://{self}/there")},
    {"a folder", TO("."), .url = HERE, .record = GOES_TO("http://{self}/a/")},
    {"a query", TO("?q=1"), .url = HERE "?p=1", .record = GOES_TO(HERE "?q=1")},
    {"a URL in the query", TO("/there?u=http://example.com/"),
     .record = GOES_TO("http://{self}/there?u=http://example.com/")},
    {"a colon in a later part", TO("./a:b"), .url = HERE, .record = GOES_TO("http://{self}/a/a:b")},
    {"the scheme and a path", TO("http:/there"), .url = HERE,
     .record = FAILS_FOR_GOOD("invalid_url")},
    {"the scheme and nothing", TO("http://"), .record = FAILS_FOR_GOOD("invalid_url")},
    {"no host", TO("http:///there"), .record = FAILS_FOR_GOOD("invalid_url")},
    {"a fragment is dropped", TO("/there#part"), .record = GOES_TO("http://{self}/there"),
     .never = "#"},
    {"a fragment and nothing else", MOVED("302 Found", "#part"), .url = HERE,
     .record = GOES_TO(HERE)},
    {"white space around", TO(" \t /there \t "), .record = GOES_TO("http://{self}/there")},
    {"a space", TO("/a there"), .record = GOES_TO("http://{self}/a%20there"),
     .hears = "GET /a%20there "},
    {"a space in the query", TO("/there?q=a b"), .record = GOES_TO("http://{self}/there?q=a%20b")},
    {"UTF-8", TO("/caf\xc3\xa9"), .record = GOES_TO("http://{self}/caf%c3%a9")},
    {"Latin-1", TO("/caf\xe9"), .record = GOES_TO("http://{self}/caf%e9")},
    {"percent-encoded", TO("/a%2Fb%20c%C3%A9"), .record = GOES_TO("http://{self}/a%2Fb%20c%C3%A9")},
    {"a percent sign that encodes nothing", TO("/100%"), .record = GOES_TO("http://{self}/100%")},
    {"quotes and brackets", TO("/\"<there>\"[1]|{}"), .hears = "GET /",
     .record = HAS_TITLE(200, "There") ",'redirects':1"},
    {"a backslash for a slash", TO("\\there"), .url = HERE,
     .record = HAS_TITLE(200, "There") ",'redirects':1", .nobody_connects_to_other = true},
    {"a control character", TO("/the\x01re"), .record = FAILS_FOR_GOOD("invalid_url")},
    {"a tab", TO("/the\tre"), .record = FAILS_FOR_GOOD("invalid_url")},
    {"a URL above 8 KiB",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nLocation: /"), REPEAT(8193, "x"),
            SAY("\r\nContent-Length: 0\r\n\r\n")),
     .record = FAILS_FOR_GOOD("invalid_url"), .requests = 1},
    {"a folded Location",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nLocation:\r\n /there\r\nContent-Length: 0\r\n\r\n"), NEXT,
            SAY(ANSWER)),
     .record = IS_PAGE ",'redirects':1,'final_url':'http://{self}/there'"},
    {"the same Location twice", TO("/there\r\nLocation: /there"),
     .record = GOES_TO("http://{self}/there")},
    {"two Locations: the first", TO("/there\r\nLocation: /elsewhere"),
     .record = GOES_TO("http://{self}/there")},

    /* -- where it may lead */

    {"to another host", SCRIPT(SAY(REDIRECT("http://{other}/there"))), SCRIPT(SAY(ANSWER)),
     .record = IS_PAGE ",'redirects':1,'final_url':'http://{other}/there'", .other_requests = 1,
     .other_hears = "Host: {other}\r\n"},
    {"to another host, without a scheme", SCRIPT(SAY(REDIRECT("//{other}/there"))),
     SCRIPT(SAY(ANSWER)), .record = IS_PAGE ",'final_url':'http://{other}/there'"},
    {"to and fro",
     SCRIPT(SAY(REDIRECT("http://{other}/1")), NEXT, SAY(REDIRECT("http://{other}/2")), NEXT,
            SAY(ANSWER)),
     SCRIPT(SAY(REDIRECT("http://{self}/1"))), .record = IS_PAGE ",'redirects':4"},
    {"to where nobody listens", SCRIPT(SAY(REDIRECT("http://{dead}/"))),
     .record = FAILS_FOR_NOW(
         "connect_failure") ",'redirects':1,'attempts':2,'final_url':'http://{dead}/'",
     .requests = 1},
    {"to TLS where there is none", SCRIPT(SAY(REDIRECT("https://{other}/"))),
     SCRIPT(UNASKED, SAY(STATUS("400 No")), HALF_CLOSE), .record = FAILS("tls_failure")},
    {"to a name that is none", SCRIPT(SAY(REDIRECT("http://a b/"))),
     .record = FAILS_FOR_GOOD("invalid_url")},
    {"to a port that is none", SCRIPT(SAY(REDIRECT("http://{dead}0000/"))),
     .record = FAILS_FOR_GOOD("invalid_url")},
    {"to half an IPv6 address", SCRIPT(SAY(REDIRECT("http://[::1/"))),
     .record = FAILS_FOR_GOOD("invalid_url")},
    {"to FTP", SCRIPT(SAY(REDIRECT("ftp://{other}/"))), SCRIPT(SAY(ANSWER)),
     .record = FAILS_FOR_GOOD("unsupported_scheme"), .nobody_connects_to_other = true},
    {"to a file", SCRIPT(SAY(REDIRECT("file:///etc/passwd"))),
     .record = FAILS_FOR_GOOD("unsupported_scheme")},
    {"to JavaScript", SCRIPT(SAY(REDIRECT("javascript:alert(1)"))),
     .record = FAILS_FOR_GOOD("unsupported_scheme")},
    {"to data", SCRIPT(SAY(REDIRECT("data:text/html,<title>Page</title>"))),
     .record = FAILS_FOR_GOOD("unsupported_scheme")},
    {"to mail", SCRIPT(SAY(REDIRECT("mailto:a@b.example"))),
     .record = FAILS_FOR_GOOD("unsupported_scheme")},
    {"to a web socket", SCRIPT(SAY(REDIRECT("ws://{other}/"))), SCRIPT(SAY(ANSWER)),
     .record = FAILS_FOR_GOOD("unsupported_scheme"), .nobody_connects_to_other = true},
    {"to gopher", SCRIPT(SAY(REDIRECT("gopher://{other}/_GET"))), SCRIPT(SAY(ANSWER)),
     .record = FAILS_FOR_GOOD("unsupported_scheme"), .nobody_connects_to_other = true},
    {"to an app", SCRIPT(SAY(REDIRECT("intent://there#Intent;scheme=https;end"))),
     .record = FAILS_FOR_GOOD("unsupported_scheme")},
    {"to a private address", SCRIPT(SAY(REDIRECT("http://10.0.0.1/"))),
     .record = FAILS_FOR_GOOD(
         "blocked_address") ",'redirects':1,'attempts':1,'final_url':'http://10.0.0.1/'"},

    /* -- what goes along */

    {"credentials stay with their origin", SCRIPT(SAY(REDIRECT("/there")), NEXT, SAY(ANSWER)),
     .url = "http://me:secret@{self}/", .requests = 2,
     .hears = "GET /there HTTP/1.1\r\nHost: {self}\r\nAuthorization: Basic bWU6c2VjcmV0\r\n",
     .record = IS_PAGE ",'final_url':'http://{self}/there'"},
    {"credentials do not go to another origin", SCRIPT(SAY(REDIRECT("http://{other}/"))),
     SCRIPT(SAY(ANSWER)), .url = "http://me:secret@{self}/", .hears = "Authorization: ",
     .other_never = "Authorization", .record = IS_PAGE ",'final_url':'http://{other}/'"},
    {"credentials do not come back either",
     SCRIPT(SAY(REDIRECT("http://{other}/")), NEXT, SAY(REDIRECT("/2")), NEXT, SAY(ANSWER)),
     SCRIPT(SAY(REDIRECT("http://{self}/1"))), .url = "http://me:secret@{self}/",
     .other_never = "Authorization",
     .hears = "GET /1 HTTP/1.1\r\nHost: {self}\r\nAccept: ", .record = IS_PAGE ",'redirects':3"},
    {"a redirect may bring its own", SCRIPT(SAY(REDIRECT("http://me:secret@{other}/"))),
     SCRIPT(SAY(ANSWER)), .never = "Authorization",
     .other_hears = "Authorization: Basic bWU6c2VjcmV0\r\n",
     .record = IS_PAGE ",'final_url':'http://{other}/'"},
    {"no referrer", SCRIPT(SAY(REDIRECT("http://{other}/"))), SCRIPT(SAY(ANSWER)),
     .other_never = "Refer", .record = IS_PAGE},
    {"no cookies",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nLocation: /there\r\n"
                "Content-Length: 0\r\n\r\n"),
            NEXT, SAY(ANSWER)),
     .never = "Cookie", .record = IS_PAGE},

    /* -- the body of a redirect is nobody's page (RFC 9110 section 15.4: a short note at most) */

    {"a redirect without an end, but with a target",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nLocation: http://{other}/\r\n\r\n"), REPEAT(11 << 20, "x"),
            CLOSE),
     SCRIPT(SAY(ANSWER)), .record = IS_PAGE ",'redirects':1"},
    {"a redirect whose body is cut",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nLocation: http://{other}/\r\n" LENGTH "\r\n<p>"), CLOSE),
     SCRIPT(SAY(ANSWER)), .record = IS_PAGE ",'redirects':1"},
    {"a redirect whose body is in no coding",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Encoding: gzip\r\n" LENGTH
                "\r\n" PAGE),
            NEXT, SAY(ANSWER)),
     .record = IS_PAGE ",'redirects':1"},
    {"a redirect to a page in no coding",
     SCRIPT(SAY(REDIRECT("/there")), NEXT,
            SAY("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n" LENGTH
                "\r\n" PAGE)),
     .record = FAILS_FOR_GOOD(
         "bad_encoding") ",'redirects':1,'attempts':1,'final_url':'http://{self}/there'"},
};

const struct scenario_group web_redirects = SCENARIOS("redirects", "?retries=1", redirects);

/* -- how many ---------------------------------------------------------------------------------- */

static const struct scenario redirect_limit[] = {
    {"as many as allowed",
     SCRIPT(SAY(REDIRECT("/1")), NEXT, SAY(REDIRECT("/2")), NEXT, SAY(REDIRECT("/3")), NEXT,
            SAY(ANSWER)),
     .record = IS_PAGE ",'redirects':3,'final_url':'http://{self}/3'", .requests = 4},
    {"one more",
     SCRIPT(SAY(REDIRECT("/1")), NEXT, SAY(REDIRECT("/2")), NEXT, SAY(REDIRECT("/3")), NEXT,
            SAY(REDIRECT("/4")), NEXT, SAY(ANSWER)),
     .record = FAILS_FOR_GOOD(
         "too_many_redirects") ",'redirects':3,'attempts':1,'final_url':'http://{self}/3'",
     .requests = 4},
    {"a loop", SCRIPT(SAY(REDIRECT("/"))), .record = FAILS_FOR_GOOD("too_many_redirects"),
     .requests = 4},
    {"a loop over two hosts", SCRIPT(SAY(REDIRECT("http://{other}/"))),
     SCRIPT(SAY(REDIRECT("http://{self}/"))), .record = FAILS_FOR_GOOD("too_many_redirects"),
     .requests = 2, .other_requests = 2},
    {"a loop that a cookie would end",
     SCRIPT(SAY("HTTP/1.1 302 Found\r\nSet-Cookie: seen=1\r\nLocation: /\r\nContent-Length: 0"
                "\r\n\r\n")),
     .record = FAILS_FOR_GOOD("too_many_redirects")},
    {"longer and longer", SCRIPT(SAY(REDIRECT("a/"))),
     .record = FAILS_FOR_GOOD("too_many_redirects"), .hears = "GET /a/a/a/ "},
};

const struct scenario_group web_redirect_limit =
    SCENARIOS("redirect limit", "?max_redirects=3", redirect_limit);
