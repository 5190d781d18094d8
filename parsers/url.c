#include "parsers/url.h"

#include "parsers/url_host.h"

#include <stdio.h>

/* -- reading ----------------------------------------------------------------------------------- */

/*
 * What is left of a reference. Tabs and line ends are not part of one, wherever they stand: peek()
 * passes over them.
 */
struct reader {
    const char *at, *end;
};

/* The next byte, or -1 at the end. r->at is at that byte. */
static int peek(struct reader *r)
{
    while (r->at < r->end && (*r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

static bool is_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_slash(int c)
{
    return c == '/' || c == '\\';
}

/* Cuts off what is behind the first `mark`, and the mark. False when there is none. */
static bool cut_behind(struct reader *r, char mark, struct reader *ret_behind)
{
    const char *found = r->at < r->end ? memchr(r->at, mark, (size_t)(r->end - r->at)) : NULL;

    if (!found)
        return false;
    *ret_behind = (struct reader){found + 1, r->end};
    r->end = found;
    return true;
}

/* `reference` without C0 controls and spaces at its ends, and without its fragment. */
static struct reader read_reference(struct bytes reference)
{
    struct reader r = {reference.ptr, NULL}, fragment;

    while (reference.len > 0 && (unsigned char)reference.ptr[reference.len - 1] <= ' ')
        reference.len--;
    r.end = reference.len > 0 ? reference.ptr + reference.len : r.at;
    while (r.at < r.end && (unsigned char)*r.at <= ' ')
        r.at++;
    cut_behind(&r, '#', &fragment);
    return r;
}

enum scheme { SCHEME_NONE, SCHEME_HTTP, SCHEME_HTTPS, SCHEME_OTHER };

static enum scheme scheme_of(struct bytes name)
{
    if (bytes_equal(name, BYTES("http")))
        return SCHEME_HTTP;
    return bytes_equal(name, BYTES("https")) ? SCHEME_HTTPS : SCHEME_OTHER;
}

/* Takes a scheme and its colon off; without one, nothing. */
static enum scheme take_scheme(struct reader *in)
{
    struct reader r = *in;
    char name[sizeof "https"]; /* with room for one letter too many */
    size_t len = 0;
    int c = peek(&r);

    if (!is_alpha(c))
        return SCHEME_NONE;
    while (is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.') {
        if (len < sizeof name)
            name[len++] = (char)(is_alpha(c) ? c | 0x20 : c);
        r.at++;
        c = peek(&r);
    }
    if (c != ':')
        return SCHEME_NONE;
    r.at++;
    *in = r;
    return scheme_of(bytes_of(name, len));
}

static size_t skip_slashes(struct reader *r)
{
    size_t n = 0;

    for (; is_slash(peek(r)); r->at++)
        n++;
    return n;
}

/* -- writing ----------------------------------------------------------------------------------- */

struct writer {
    char *to; /* URL_MAX bytes */
    size_t len;
    bool failed; /* it is no URL, or it is longer */
};

static void put_byte(struct writer *w, char c)
{
    if (w->len < URL_MAX)
        w->to[w->len++] = c;
    else
        w->failed = true;
}

static void put(struct writer *w, struct bytes text)
{
    if (text.len > URL_MAX - w->len) {
        w->failed = true;
    } else if (text.len > 0) {
        memcpy(w->to + w->len, text.ptr, text.len);
        w->len += text.len;
    }
}

/* The standard's percent-encode sets. */
enum encode_set { QUERY_SET = 1, PATH_SET = 2, USERINFO_SET = 4 };

enum { IN_PATH = PATH_SET | USERINFO_SET, IN_ALL = QUERY_SET | IN_PATH };

/* Which of them a character is in; controls, the space and what is beyond ASCII are in all. */
static const unsigned char encode_sets[0x7f] = {
    ['"'] = IN_ALL,        ['#'] = IN_ALL,       ['<'] = IN_ALL,       ['>'] = IN_ALL,
    ['\''] = QUERY_SET,    ['?'] = IN_PATH,      ['^'] = IN_PATH,      ['`'] = IN_PATH,
    ['{'] = IN_PATH,       ['}'] = IN_PATH,      ['/'] = USERINFO_SET, [':'] = USERINFO_SET,
    [';'] = USERINFO_SET,  ['='] = USERINFO_SET, ['@'] = USERINFO_SET, ['['] = USERINFO_SET,
    ['\\'] = USERINFO_SET, [']'] = USERINFO_SET, ['|'] = USERINFO_SET,
};

static void put_encoded(struct writer *w, int c, enum encode_set set)
{
    static const char digits[] = "0123456789ABCDEF";

    if (c > ' ' && c < 0x7f && !(encode_sets[c] & set)) {
        put_byte(w, (char)c);
        return;
    }
    put(w, bytes_of((const char[]){'%', digits[c >> 4], digits[c & 15]}, 3));
}

/* The whole of what `in` has. */
static void put_all_encoded(struct writer *w, struct reader in, enum encode_set set)
{
    for (int c = peek(&in); c >= 0 && !w->failed; c = peek(&in)) {
        put_encoded(w, c, set);
        in.at++;
    }
}

/* -- the parts --------------------------------------------------------------------------------- */

/* "user:password@", as far as they are not empty. */
static void put_credentials(struct writer *w, struct reader in)
{
    struct reader password = {NULL, NULL};
    size_t start = w->len;

    cut_behind(&in, ':', &password);
    put_all_encoded(w, in, USERINFO_SET);
    if (peek(&password) >= 0) {
        put_byte(w, ':');
        put_all_encoded(w, password, USERINFO_SET);
    }
    if (w->len > start)
        put_byte(w, '@');
}

static void put_host(struct writer *w, struct reader in)
{
    size_t start = w->len;

    for (int c = peek(&in); c >= 0 && !w->failed; c = peek(&in)) {
        put_byte(w, (char)c);
        in.at++;
    }
    if (w->failed)
        return;
    size_t len = url_host_normalise(w->to + start, w->len - start, URL_MAX - start);
    w->len = start + len;
    w->failed = len == 0;
}

static void put_port(struct writer *w, struct reader in, unsigned default_port)
{
    char text[sizeof ":65535"];
    unsigned port = 0;

    if (peek(&in) < 0)
        return;
    for (int c = peek(&in); c >= 0; c = peek(&in)) {
        port = port * 10 + (unsigned)(c - '0');
        if (!is_digit(c) || port > 65535) {
            w->failed = true;
            return;
        }
        in.at++;
    }
    if (port != default_port)
        put(w, bytes_of(text, (size_t)snprintf(text, sizeof text, ":%u", port)));
}

/* Cuts the port off, which stands behind the first colon that is not in brackets. */
static struct reader cut_port(struct reader *authority)
{
    struct reader port = {authority->end, authority->end};
    bool in_brackets = false;

    for (const char *c = authority->at; c < authority->end; c++) {
        if (*c == '[') {
            in_brackets = true;
        } else if (*c == ']') {
            in_brackets = false;
        } else if (*c == ':' && !in_brackets) {
            port.at = c + 1;
            authority->end = c;
            break;
        }
    }
    return port;
}

/* Takes off and writes what is in front of the path. */
static void put_authority(struct writer *w, struct reader *in, enum scheme scheme)
{
    struct reader host = *in, port;

    while (in->at < in->end && !is_slash(*in->at))
        in->at++;
    host.end = in->at;
    const char *at =
        host.at < host.end ? memrchr(host.at, '@', (size_t)(host.end - host.at)) : NULL;
    if (at) {
        put_credentials(w, (struct reader){host.at, at});
        host.at = at + 1;
    }
    port = cut_port(&host);
    put_host(w, host);
    put_port(w, port, scheme == SCHEME_HTTPS ? 443 : 80);
}

/* 1 for ".", 2 for "..", each dot maybe written as "%2e"; else 0. */
static int count_dots(struct bytes segment)
{
    int dots = 0;

    while (segment.len > 0 && dots < 3) {
        size_t len = 1;

        if (segment.len >= 3 && strncasecmp(segment.ptr, "%2e", 3) == 0)
            len = 3;
        else if (segment.ptr[0] != '.')
            return 0;
        segment = bytes_of(segment.ptr + len, segment.len - len);
        dots++;
    }
    return dots < 3 ? dots : 0;
}

/* Takes the last segment off the path that begins at `start`, with the slash before it. */
static void shorten(struct writer *w, size_t start)
{
    while (w->len > start)
        if (w->to[--w->len] == '/')
            break;
}

/*
 * Adds the segments of `in` to the path that begins at `start`. What dot segments remove was
 * written once and is looked at once more, so the whole is linear.
 */
static void put_segments(struct writer *w, size_t start, struct reader in)
{
    bool more = true;

    while (more && !w->failed) {
        size_t segment = w->len;
        int c = peek(&in);

        put_byte(w, '/');
        for (; c >= 0 && !is_slash(c) && !w->failed; c = peek(&in)) {
            put_encoded(w, c, PATH_SET);
            in.at++;
        }
        more = c >= 0;
        in.at += more;

        int dots = w->failed ? 0 : count_dots(bytes_of(w->to + segment + 1, w->len - segment - 1));
        if (dots == 0)
            continue;
        w->len = segment;
        if (dots == 2)
            shorten(w, start);
        if (!more)
            put_byte(w, '/');
    }
}

static void put_query(struct writer *w, struct reader query)
{
    put_byte(w, '?');
    put_all_encoded(w, query, QUERY_SET);
}

/* -- the whole --------------------------------------------------------------------------------- */

/* A reference with an authority of its own; `in` is behind the slashes. */
static void put_absolute(struct writer *w, enum scheme scheme, struct reader in)
{
    put(w, scheme == SCHEME_HTTPS ? BYTES("https://") : BYTES("http://"));
    put_authority(w, &in, scheme);
    in.at += in.at < in.end;
    put_segments(w, w->len, in);
}

/* A reference with a path, or nothing, in front of its query. */
static void put_relative(struct writer *w, const struct url *base, bool from_root, struct reader in,
                         bool has_query)
{
    bool has_path = from_root || peek(&in) >= 0;
    size_t start;

    put(w, base->scheme);
    put(w, BYTES("://"));
    put(w, base->authority);
    start = w->len;
    if (!from_root)
        put(w, base->path);
    if (has_path && !from_root)
        shorten(w, start);
    if (has_path)
        put_segments(w, start, in);
    else if (!has_query)
        put(w, base->query);
}

size_t url_resolve(const struct url *base, struct bytes reference, char to[static URL_MAX])
{
    struct writer w = {.to = to};
    struct reader in = read_reference(reference), query;
    bool has_query = cut_behind(&in, '?', &query);
    enum scheme scheme = take_scheme(&in);

    if (scheme == SCHEME_OTHER || (scheme == SCHEME_NONE && !base))
        return 0;
    bool like_base = base && (scheme == SCHEME_NONE || scheme == scheme_of(base->scheme));
    size_t slashes = skip_slashes(&in);
    if (like_base && slashes < 2)
        put_relative(&w, base, slashes == 1, in, has_query);
    else
        put_absolute(&w, scheme == SCHEME_NONE ? scheme_of(base->scheme) : scheme, in);
    if (has_query)
        put_query(&w, query);
    return w.failed ? 0 : w.len;
}

/* Whether `authority` has a host in it. */
static bool has_host(struct bytes authority)
{
    const char *at = authority.len ? memrchr(authority.ptr, '@', authority.len) : NULL;
    size_t start = at ? (size_t)(at + 1 - authority.ptr) : 0;

    return start < authority.len && authority.ptr[start] != ':';
}

bool url_split(struct bytes text, struct url *ret)
{
    struct url url = {0};
    struct bytes rest = text;

    url.text = bytes_split(&rest, '#');
    if (url.text.len > URL_MAX)
        return false;
    rest = url.text;
    url.scheme = bytes_split(&rest, ':');
    if (scheme_of(url.scheme) == SCHEME_OTHER || rest.len < 2 || memcmp(rest.ptr, "//", 2) != 0)
        return false;
    rest = bytes_of(rest.ptr + 2, rest.len - 2);

    const char *question = rest.len ? memchr(rest.ptr, '?', rest.len) : NULL;
    if (question) {
        url.query = bytes_of(question, rest.len - (size_t)(question - rest.ptr));
        rest.len -= url.query.len;
    }
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (!slash)
        return false;
    url.authority = bytes_of(rest.ptr, (size_t)(slash - rest.ptr));
    url.path = bytes_of(slash, rest.len - url.authority.len);
    if (!has_host(url.authority))
        return false;
    *ret = url;
    return true;
}
