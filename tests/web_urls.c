/*
 * URLs as callers write them, and addresses that must not be connected to however they are spelled.
 */
#include "tests/web.h"

#define X10(text) text text text text text text text text text text
#define X60(text) X10(text) X10(text) X10(text) X10(text) X10(text) X10(text)

#define IS_INVALID   FAILS_FOR_GOOD("invalid_url") ",'attempts':0"
#define IS_NO_HTTP   FAILS_FOR_GOOD("unsupported_scheme") ",'attempts':0"
#define ENDS_AT(url) IS_PAGE ",'final_url':'" url "'"

/* -- what becomes of a URL --------------------------------------------------------------------- */

static const struct scenario urls[] = {
    {"no path", SCRIPT(SAY(ANSWER)), .url = "http://{self}", .hears = "GET / HTTP/1.1\r\n",
     .record = ENDS_AT("http://{self}/") ",'url':'http://{self}'"},
    {"no path but a query", SCRIPT(SAY(ANSWER)), .url = "http://{self}?q=1",
     .hears = "GET /?q=1 HTTP/1.1\r\n", .record = ENDS_AT("http://{self}/?q=1")},
    {"an empty query", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a?", .hears = "GET /a",
     .record = IS_PAGE},
    {"a fragment is not sent", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a?q#part",
     .hears = "GET /a?q HTTP/1.1\r\n", .record = ENDS_AT("http://{self}/a?q")},
    {"a fragment with a query in it", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a#part?q",
     .hears = "GET /a HTTP/1.1\r\n", .record = ENDS_AT("http://{self}/a")},
    {"a scheme in capitals", SCRIPT(SAY(ANSWER)), .url = "HTTP://{self}/A",
     .hears = "GET /A HTTP/1.1\r\n", .record = ENDS_AT("http://{self}/A")},
    {"dots", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a/./b/../c/", .hears = "GET /a/c/ ",
     .record = ENDS_AT("http://{self}/a/c/")},
    {"more dots than folders", SCRIPT(SAY(ANSWER)), .url = "http://{self}/../../c",
     .hears = "GET /c ", .record = ENDS_AT("http://{self}/c")},
    {"dots in the query stay", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a?b/../c",
     .hears = "GET /a?b/../c ", .record = ENDS_AT("http://{self}/a?b/../c")},
    {"two slashes stay", SCRIPT(SAY(ANSWER)), .url = "http://{self}//a//b", .hears = "GET //a//b ",
     .record = ENDS_AT("http://{self}//a//b")},
    {"percent-encoding stays", SCRIPT(SAY(ANSWER)), .url = "http://{self}/%7Ea%2Fb%20c?%26=%3d",
     .hears = "GET /%7Ea%2Fb%20c?%26=%3d ",
     .record = ENDS_AT("http://{self}/%7Ea%2Fb%20c?%26=%3d")},
    {"a percent sign that encodes nothing", SCRIPT(SAY(ANSWER)), .url = "http://{self}/100%/%zz",
     .hears = "GET /100%/%zz ", .record = IS_PAGE},
    {"UTF-8 is encoded", SCRIPT(SAY(ANSWER)), .url = "http://{self}/caf\xc3\xa9?q=\xe2\x82\xac",
     .hears = "GET /caf%c3%a9?q=%e2%82%ac ",
     .record = ENDS_AT("http://{self}/caf%c3%a9?q=%e2%82%ac")},
    {"bytes that are no UTF-8 are encoded", SCRIPT(SAY(ANSWER)), .url = "http://{self}/caf\xe9",
     .hears = "GET /caf%e9 ",
     .record = ENDS_AT("http://{self}/caf%e9") ",'url':'http://{self}/caf\xef\xbf\xbd'"},
    {"quotes and brackets", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a\"b<c>[d]|{e}^`",
     .hears = "GET /a", .record = IS_PAGE},
    {"white space around", SCRIPT(SAY(ANSWER)), .url = " \t http://{self}/a \t ",
     .hears = "GET /a ", .record = ENDS_AT("http://{self}/a")},
    {"credentials are sent and not shown", SCRIPT(SAY(ANSWER)), .url = "http://me:secret@{self}/",
     .hears = "Authorization: Basic bWU6c2VjcmV0\r\n", .record = ENDS_AT("http://{self}/")},
    {"a user without a password", SCRIPT(SAY(ANSWER)), .url = "http://me@{self}/",
     .hears = "Authorization: Basic bWU6\r\n", .record = ENDS_AT("http://{self}/")},
    {"credentials with an encoded @", SCRIPT(SAY(ANSWER)), .url = "http://a%40b:c%3Ad@{self}/",
     .hears = "Authorization: Basic YUBiOmM6ZA==\r\n", .record = ENDS_AT("http://{self}/")},
    {"no credentials", SCRIPT(SAY(ANSWER)), .never = "Authorization", .record = IS_PAGE},
    {"the request says who asks", SCRIPT(SAY(ANSWER)), .hears = "\r\nUser-Agent: skimd/",
     .record = IS_PAGE},
    {"6000 letters", SCRIPT(SAY(ANSWER)), .url = "http://{self}/" X10(X10(X60("x"))),
     .hears = "xxx HTTP/1.1", .record = IS_PAGE},
    {"9000 letters", .url = "http://{self}/" X10(X60("xxxxxxxxxxxxxxx")), .record = IS_INVALID},
    {"an IPv6 address", SCRIPT(SAY(ANSWER)), .on_ipv6 = true, .hears = "Host: {self}\r\n",
     .record = ENDS_AT("http://{self}/") ",'remote_ip':'::1'"},
    {"an id that is not asked for", SCRIPT(SAY(ANSWER)), .record = IS_PAGE ",'id':'(none)'"},
};

const struct scenario_group web_urls = SCENARIOS("URLs", NULL, urls);

/* -- what is no URL ---------------------------------------------------------------------------- */

static const struct scenario urls_in_json[] = {
    {"nothing", .url = "", .record = IS_INVALID ",'url':''"},
    {"white space", .url = " ", .record = IS_INVALID},
    {"a word", .url = "nonsense", .record = IS_INVALID},
    {"no scheme", .url = "example.com/", .record = IS_INVALID},
    {"no scheme, but a port", .url = "localhost:8080/", .record = IS_INVALID},
    {"no scheme, but slashes", SCRIPT(SAY(ANSWER)), .url = "//{self}/", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"a path", .url = "/a/b", .record = IS_INVALID},
    {"a comment", .url = "# nothing", .record = IS_INVALID},
    {"the scheme alone", .url = "http://", .record = IS_INVALID},
    {"the scheme and a colon", .url = "http:", .record = IS_INVALID},
    {"one slash", SCRIPT(SAY(ANSWER)), .url = "http:/{self}/", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"three slashes", SCRIPT(SAY(ANSWER)), .url = "http:///{self}/", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"backslashes", SCRIPT(SAY(ANSWER)), .url = "http:\\\\{self}\\", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"no host but a port", .url = "http://:80/", .record = IS_INVALID},
    {"no host but credentials", .url = "http://me:secret@/", .record = IS_INVALID},
    {"a space in the path", SCRIPT(SAY(ANSWER)), .url = "http://{self}/a b", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"a space in the host", .url = "http://a b/", .record = IS_INVALID},
    {"a tab", .url = "http://{dead}/a\tb", .record = IS_INVALID},
    {"a request in the path", SCRIPT(SAY(ANSWER)),
     .url = "http://{self}/ HTTP/1.1\r\nX-A: a\r\n\r\nGET /there", .record = IS_INVALID,
     .nobody_connects_to_self = true},
    {"a line end", .url = "http://{dead}/\n", .record = IS_INVALID},
    {"a control character", .url = "http://{dead}/\x01", .record = IS_INVALID},
    {"DEL", .url = "http://{dead}/\x7f", .record = IS_INVALID},
    {"port 0", .url = "http://127.0.0.1:0/", .record = IS_INVALID},
    {"port 65536", .url = "http://127.0.0.1:65536/", .record = IS_INVALID},
    {"a negative port", .url = "http://127.0.0.1:-80/", .record = IS_INVALID},
    {"a port that is no number", .url = "http://127.0.0.1:http/", .record = IS_INVALID},
    {"two ports", .url = "http://127.0.0.1:80:80/", .record = IS_INVALID},
    {"half an IPv6 address", .url = "http://[::1/", .record = IS_INVALID},
    {"an IPv6 address without brackets", .url = "http://::1/", .record = IS_INVALID},
    {"an IPv6 address that is none", .url = "http://[1::2::3]/", .record = IS_INVALID},
    {"an IPv6 zone", .url = "http://[fe80::1%25lo]/", .record = IS_INVALID},
    {"an address of a future version", .url = "http://[v1.a]/", .record = IS_INVALID},
    {"five parts of an address", .url = "http://1.2.3.4.5/", .record = IS_INVALID},
    {"a part above 255", .url = "http://999.0.0.1/", .record = IS_INVALID},
    {"a part that is too large for the rest", .url = "http://127.0.0.256/", .record = IS_INVALID},
    {"an empty label", .url = "http://a..example/", .record = IS_INVALID},
    {"a dot for a host", .url = "http://./", .record = IS_INVALID},
    {"a label of 64 letters", .url = "http://" X60("a") "aaaa.example/", .record = IS_INVALID},
    {"a name of 300 letters", .url = "http://" X60("aaaa.") "example/", .record = IS_INVALID},
    {"characters that names cannot have", .url = "http://a$b.example/", .record = IS_INVALID},
    {"a percent-encoded host that is none", .url = "http://a%00b.example/", .record = IS_INVALID},
    {"a percent-encoded slash in the host", .url = "http://a%2Fb.example/", .record = IS_INVALID},
    {"a name that is no IDN", .url = "http://\xc2\xad/", .record = IS_INVALID},
    {"a byte order mark", .url = "\xef\xbb\xbfhttp://{dead}/", .record = IS_INVALID},
    {"Unicode for a slash", .url = "http:\xe2\x81\x84\xe2\x81\x84{dead}/",
     .record = FAILS("invalid_url")},

    {"FTP", SCRIPT(SAY(ANSWER)), .url = "ftp://{self}/", .record = IS_NO_HTTP,
     .nobody_connects_to_self = true},
    {"a file", .url = "file:///etc/passwd", .record = IS_NO_HTTP},
    {"a file without slashes", .url = "file:etc/passwd", .record = IS_NO_HTTP},
    {"JavaScript", .url = "javascript:alert(1)", .record = IS_NO_HTTP},
    {"data", .url = "data:text/html,<title>Page</title>", .record = IS_NO_HTTP},
    {"mail", .url = "mailto:a@b.example", .record = IS_NO_HTTP},
    {"about", .url = "about:blank", .record = IS_NO_HTTP},
    {"a web socket", .url = "ws://{dead}/", .record = IS_NO_HTTP},
    {"gopher", .url = "gopher://{dead}/_a", .record = IS_NO_HTTP},
    {"dict", .url = "dict://{dead}/d", .record = IS_NO_HTTP},
    {"an SMB share", .url = "smb://{dead}/a", .record = IS_NO_HTTP},
    {"LDAP", .url = "ldap://{dead}/", .record = IS_NO_HTTP},
    {"HTTP in a scheme", .url = "xhttp://{dead}/", .record = IS_NO_HTTP},
    {"HTTP in front of a scheme", .url = "http+unix://{dead}/", .record = IS_NO_HTTP},
    {"the source of a page", .url = "view-source:http://{dead}/", .record = IS_NO_HTTP},

    {"and a page among all of these", SCRIPT(SAY(ANSWER)), .record = IS_PAGE},
};

const struct scenario_group web_urls_in_json = {
    .name = "no URLs",
    .scenarios = urls_in_json,
    .count = sizeof urls_in_json / sizeof *urls_in_json,
    .as_json = true,
};

/* -- spellings of an address that is allowed --------------------------------------------------- */

#define IS_MAIN_PAGE HAS_TITLE(200, "Page 1") ",'final_url':'http://{main}/page/1'"

static const struct scenario allowed_spellings[] = {
    {"as it should be", .url = "http://127.0.0.1:{port}/page/1", .record = IS_MAIN_PAGE},
    {"decimal", .url = "http://2130706433:{port}/page/1", .record = IS_MAIN_PAGE},
    {"hexadecimal", .url = "http://0x7f000001:{port}/page/1", .record = IS_MAIN_PAGE},
    /* What WHATWG's host parser takes for an address; libcurl 8.14 no longer does. */
    {"hexadecimal in capitals", .url = "http://0X7F.0X1:{port}/page/1", .record = IS_MAIN_PAGE},
    {"octal", .url = "http://017700000001:{port}/page/1", .record = IS_MAIN_PAGE},
    {"octal in parts", .url = "http://0177.0.0.01:{port}/page/1", .record = IS_MAIN_PAGE},
    {"two parts", .url = "http://127.1:{port}/page/1", .record = IS_MAIN_PAGE},
    {"three parts", .url = "http://127.0.1:{port}/page/1", .record = IS_MAIN_PAGE},
    {"mixed", .url = "http://0x7f.0.01:{port}/page/1", .record = IS_MAIN_PAGE},
    {"percent-encoded", .url = "http://%31%32%37.0.0.1:{port}/page/1", .record = IS_MAIN_PAGE},
    {"mapped", .url = "http://[::ffff:127.0.0.1]:{port}/page/1",
     .record = HAS_TITLE(200, "Page 1") ",'final_url':'http://[::ffff:127.0.0.1]:{port}/page/1'"},
    {"the default port is dropped, and it is dead", .url = "http://127.103.0.1:80/",
     .record = FAILS("connect_failure")},
};

const struct scenario_group web_allowed_spellings =
    SCENARIOS("allowed spellings", "?retries=0", allowed_spellings);

/* -- names ------------------------------------------------------------------------------------- */

static const struct scenario names[] = {
    {"a name that nobody has", .url = "http://nope.invalid/",
     .record = FAILS("dns_failure") ",'attempts':1"},
    {"an international name that nobody has", .url = "http://b\303\274cher.invalid/",
     .record = FAILS("dns_failure") ",'attempts':1"},
    {"a redirect to a name that nobody has", SCRIPT(SAY(REDIRECT("http://nope.invalid/"))),
     .record = FAILS("dns_failure") ",'attempts':1"},
};

const struct scenario_group web_names = SCENARIOS("names", "?retries=0", names);

/* -- addresses that are refused: SELF_NET alone is allowed ------------------------------------- */

#define IS_REFUSED FAILS_FOR_GOOD("blocked_address") ",'attempts':1"

/* X(what it is, host) */
#define REFUSED_HOSTS(X)                                                                           \
    X("loopback", "127.0.0.1")                                                                     \
    X("another loopback", "127.255.255.254")                                                       \
    X("decimal", "2130706433")                                                                     \
    X("hexadecimal", "0x7f000001")                                                                 \
    X("hexadecimal in parts", "0x7f.0x0.0x0.0x1")                                                  \
    X("octal", "017700000001")                                                                     \
    X("octal in parts", "0177.0.0.1")                                                              \
    X("many zeros", "00000177.0.0.1")                                                              \
    X("two parts", "127.1")                                                                        \
    X("three parts", "127.0.1")                                                                    \
    X("mixed", "0x7f.1")                                                                           \
    X("otherwise mixed", "127.0x0.00.1")                                                           \
    X("percent-encoded", "%31%32%37.0.0.1")                                                        \
    X("with credentials", "example.com@127.0.0.1")                                                 \
    X("with credentials that look like a port", "example.com:80@127.0.0.1")                        \
    X("zero", "0")                                                                                 \
    X("four zeros", "0.0.0.0")                                                                     \
    X("this network", "0.1.2.3")                                                                   \
    X("IPv6 unspecified", "[::]")                                                                  \
    X("IPv6 loopback", "[::1]")                                                                    \
    X("IPv6 loopback at length", "[0:0:0:0:0:0:0:1]")                                              \
    X("mapped", "[::ffff:127.0.0.1]")                                                              \
    X("mapped in hexadecimal", "[::ffff:7f00:1]")                                                  \
    X("compatible", "[::127.0.0.1]")                                                               \
    X("NAT64", "[64:ff9b::127.0.0.1]")                                                             \
    X("NAT64 in hexadecimal", "[64:ff9b::7f00:1]")                                                 \
    X("local NAT64", "[64:ff9b:1::7f00:1]")                                                        \
    X("6to4", "[2002:7f00:1::1]")                                                                  \
    X("6to4 of a private address", "[2002:c0a8:101::1]")                                           \
    X("Teredo", "[2001:0:7f00:1::]")                                                               \
    X("Teredo, the client inverted", "[2001:0:808:808::80ff:fffe]")                                \
    X("localhost", "localhost")                                                                    \
    X("localhost in capitals", "LOCALHOST")                                                        \
    X("private 10", "10.0.0.1")                                                                    \
    X("private 172", "172.16.0.1")                                                                 \
    X("private 192", "192.168.0.1")                                                                \
    X("shared", "100.64.0.1")                                                                      \
    X("link-local, the cloud's metadata", "169.254.169.254")                                       \
    X("the cloud's metadata in decimal", "2852039166")                                             \
    X("multicast", "224.0.0.1")                                                                    \
    X("reserved", "240.0.0.1")                                                                     \
    X("broadcast", "255.255.255.255")                                                              \
    X("documentation", "192.0.2.1")                                                                \
    X("benchmarking", "198.18.0.1")                                                                \
    X("IPv6 unique local", "[fd00::1]")                                                            \
    X("IPv6 link-local", "[fe80::1]")                                                              \
    X("IPv6 multicast", "[ff02::1]")                                                               \
    X("IPv6 documentation", "[2001:db8::1]")

#define REFUSED(what, host) {what, .url = "http://" host ":{port}/page/1", .record = IS_REFUSED},
#define REFUSED_AS_TARGET(what, host)                                                              \
    {what, SCRIPT(SAY(REDIRECT("http://" host ":{port}/page/1"))), .record = IS_REFUSED,           \
     .requests = 1},

static const struct scenario refused_addresses[] = {
    {"another origin's address", .other = SCRIPT(SAY(ANSWER)), .url = "http://{other}/",
     .record = IS_REFUSED, .nobody_connects_to_other = true},
    {"over TLS", .other = SCRIPT(SAY(ANSWER)), .url = "https://{other}/", .record = IS_REFUSED,
     .nobody_connects_to_other = true},
    {"digits that only Unicode takes for digits",
     .url = "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:{port}/page/1",
     .record = FAILS("blocked_address")},
    {"dots that only Unicode takes for dots",
     .url = "http://127\343\200\2020\343\200\2020\343\200\2021:{port}/page/1",
     .record = FAILS("blocked_address")},
    /* As in the allowed spellings. */
    {"hexadecimal in capitals", .url = "http://0X7F.0X1:{port}/page/1", .record = IS_REFUSED},
    {"a dot behind the address", .url = "http://127.0.0.1.:{port}/page/1",
     .record = FAILS_FOR_GOOD("invalid_url")},
    /* RFC 6761 section 6.3. libcurl 7 knows the name without a dot only, and asks the resolver. */
    {"localhost and a dot", .url = "http://localhost.:{port}/page/1", .record = IS_REFUSED},
    {"a fragment that looks like the host", .url = "http://127.0.0.1:{port}#@example.com/",
     .record = IS_REFUSED},
    /* RFC 3986 appendix A has no backslash: a slash to browsers, part of a user to libcurl. */
    {"a backslash before what looks like the host",
     .url = "http://127.0.0.1:{port}\\@nope.invalid/", .record = FAILS("invalid_url")},
    {"an address that is allowed", SCRIPT(SAY(ANSWER)), .record = IS_PAGE},
    REFUSED_HOSTS(REFUSED)};

static const struct scenario refused_redirects[] = {
    {"localhost and a dot", SCRIPT(SAY(REDIRECT("http://localhost.:{port}/page/1"))),
     .record = IS_REFUSED},
    {"another origin's address", SCRIPT(SAY(REDIRECT("http://{other}/"))), SCRIPT(SAY(ANSWER)),
     .record = IS_REFUSED, .nobody_connects_to_other = true},
    {"another origin's address without a scheme", SCRIPT(SAY(REDIRECT("//{other}/"))),
     SCRIPT(SAY(ANSWER)), .record = IS_REFUSED, .nobody_connects_to_other = true},
    {"the second redirect", SCRIPT(SAY(REDIRECT("/1")), NEXT, SAY(REDIRECT("http://{other}/"))),
     SCRIPT(SAY(ANSWER)), .record = IS_REFUSED, .nobody_connects_to_other = true},
    {"over TLS", SCRIPT(SAY(REDIRECT("https://{other}/"))), SCRIPT(SAY(ANSWER)),
     .record = IS_REFUSED, .nobody_connects_to_other = true},
    {"with backslashes", SCRIPT(SAY(REDIRECT("http:\\\\{other}\\"))), SCRIPT(SAY(ANSWER)),
     .record = FAILS("invalid_url"), .nobody_connects_to_other = true},
    {"to an address that is allowed", SCRIPT(SAY(REDIRECT("/there")), NEXT, SAY(ANSWER)),
     .record = IS_PAGE},
    REFUSED_HOSTS(REFUSED_AS_TARGET)};

const struct scenario_group web_refused_addresses =
    SCENARIOS("refused addresses", "?retries=0", refused_addresses);
const struct scenario_group web_refused_redirects =
    SCENARIOS("refused redirects", "?retries=0", refused_redirects);
