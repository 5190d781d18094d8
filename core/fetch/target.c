#include "core/fetch/target.h"

#include "core/base/buffer.h"
#include "core/fetch/fetch_error.h"

#include <arpa/inet.h>
#include <locale.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX                                                                                   \
    253 /* RFC 1035 section 2.3.4: 255 octets on the wire, without a trailing dot here */

/* HOST_MAX, a trailing dot, brackets, NUL. */
typedef char host_text[HOST_MAX + 4];

/* Why a URL is refused. Every check returns 0 or its code, and says here what is wrong. */
struct refusal {
    const char *message;
};

static int refuse(struct refusal *why, enum fetch_code code, const char *message)
{
    why->message = message;
    return code;
}

static int refuse_no_memory(struct refusal *why)
{
    return refuse(why, FETCH_INTERNAL, "Out of memory");
}

static int refuse_curlu(struct refusal *why, CURLUcode code)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return refuse_no_memory(why);
    return refuse(why, FETCH_INVALID_URL, curl_url_strerror(code));
}

/* -- the text, before libcurl sees it ---------------------------------------------------------- */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The scheme in front of the first colon (RFC 3986 section 3.1), empty when there is none. */
static struct bytes url_scheme(struct bytes url)
{
    size_t n = 0;

    if (url.len == 0 || !is_alpha(url.ptr[0]))
        return (struct bytes){NULL, 0};
    while (n < url.len && (is_alpha(url.ptr[n]) || is_digit(url.ptr[n]) || url.ptr[n] == '+' ||
                           url.ptr[n] == '-' || url.ptr[n] == '.'))
        n++;
    if (n == url.len || url.ptr[n] != ':')
        return (struct bytes){NULL, 0};
    return bytes_of(url.ptr, n);
}

static int check_bytes(struct bytes url, bool spaces_allowed, struct refusal *why)
{
    if (url.len > TARGET_URL_MAX)
        return refuse(why, FETCH_INVALID_URL, "The URL is longer than 8192 bytes");
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];

        if (c < 0x20 || c == 0x7f)
            return refuse(why, FETCH_INVALID_URL, "The URL has a control character in it");
        if (c == ' ' && !spaces_allowed)
            return refuse(why, FETCH_INVALID_URL,
                          "The URL has a space in it: write %20 where one is meant");
    }
    return 0;
}

/* `rest` is what stands behind the scheme's colon, or a reference that starts with "//". */
static int check_authority(struct bytes rest, struct refusal *why)
{
    if (rest.len < 2 || memcmp(rest.ptr, "//", 2) != 0)
        return refuse(why, FETCH_INVALID_URL, "The scheme must be followed by // and a host");
    /* libcurl and browsers would take the next part of the path for the host. */
    if (rest.len == 2 || strchr("/?#", rest.ptr[2]))
        return refuse(why, FETCH_INVALID_URL, "The URL has no host");
    /* Browsers take it for a slash, libcurl for a part of the user name: http://a\@b/. */
    for (size_t i = 2; i < rest.len && !strchr("/?#", rest.ptr[i]); i++)
        if (rest.ptr[i] == '\\')
            return refuse(why, FETCH_INVALID_URL, "The URL has a backslash before its path");
    return 0;
}

static int check_scheme(struct bytes scheme, struct bytes url, struct refusal *why)
{
    if (!bytes_equal_nocase(scheme, BYTES("http")) && !bytes_equal_nocase(scheme, BYTES("https")))
        return refuse(why, FETCH_UNSUPPORTED_SCHEME, "Only http and https URLs are fetched");
    return check_authority(bytes_of(url.ptr + scheme.len + 1, url.len - scheme.len - 1), why);
}

/* Whether "name:" goes on as a port would: "localhost:8080/", which has the form of a scheme. */
static bool looks_like_host_and_port(struct bytes scheme, struct bytes url)
{
    size_t i = scheme.len + 1;

    if (i >= url.len || !is_digit(url.ptr[i]))
        return false;
    while (i < url.len && is_digit(url.ptr[i]))
        i++;
    return i == url.len || strchr("/?#", url.ptr[i]);
}

/* `text` without its fragment. */
static struct bytes without_fragment(struct bytes text)
{
    const char *hash = text.len ? memchr(text.ptr, '#', text.len) : NULL;

    return hash ? bytes_of(text.ptr, (size_t)(hash - text.ptr)) : text;
}

/* Whether libcurl's encoder would change anything: what is not ASCII, and the case of "%2f". It
 * goes byte by byte, and takes a third of the time of a parse. */
static bool needs_encoding(const char *text)
{
    for (; *text; text++)
        if (*text == '%' || (unsigned char)*text >= 0x80)
            return true;
    return false;
}

/* Puts the host of an absolute reference into lower case: to libcurl 8, 0X7F.1 is no number. */
static void lower_host(char *text)
{
    char *slashes = text + strcspn(text, "/?#");

    if (strncmp(slashes, "//", 2) != 0 || (slashes > text && slashes[-1] != ':'))
        return;
    char *authority = slashes + 2;
    size_t length = strcspn(authority, "/?#");
    char *at = memrchr(authority, '@', length);
    for (char *c = at ? at : authority; c < authority + length; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
}

/* Sets the whole URL of `handle`; a relative one is resolved against what the handle has. */
static int set_url(CURLU *handle, struct bytes text, struct refusal *why)
{
    struct buffer copy = {0};
    CURLUcode code;

    buffer_reserve(&copy, text.len + 1);
    while (text.ptr) { /* libcurl's way with spaces changed in 8.x */
        struct bytes part = bytes_split(&text, ' ');
        buffer_append(&copy, part.ptr, part.len);
        if (text.ptr)
            buffer_text(&copy, "%20");
    }
    buffer_byte(&copy, '\0');
    if (copy.failed) {
        buffer_free(&copy);
        return refuse_no_memory(why);
    }
    lower_host(copy.ptr);
    code = curl_url_set(handle, CURLUPART_URL, copy.ptr,
                        needs_encoding(copy.ptr) ? CURLU_URLENCODE : 0);
    buffer_free(&copy);
    return code == CURLUE_OK ? 0 : refuse_curlu(why, code);
}

/* -- the host ---------------------------------------------------------------------------------- */

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

/* "[2001:DB8:0::1]" in the one spelling of RFC 5952. */
static int canonical_ipv6(const char *host, host_text ret_host, struct refusal *why)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t len = strlen(host);

    if (len < 2 || host[len - 1] != ']' || len - 2 >= sizeof text)
        return refuse(why, FETCH_INVALID_URL, "Bad IPv6 address");
    memcpy(text, host + 1, len - 2);
    text[len - 2] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1 ||
        !inet_ntop(AF_INET6, &address, text, sizeof text))
        return refuse(why, FETCH_INVALID_URL, "Bad IPv6 address");
    len = strlen(text);
    ret_host[0] = '[';
    memcpy(ret_host + 1, text, len);
    memcpy(ret_host + 1 + len, "]", 2);
    return 0;
}

/* A number as inet_aton() knows them: decimal, octal or hexadecimal. */
static bool is_number(struct bytes label)
{
    const char *digits = "0123456789";
    size_t i = 0;

    if (label.len >= 2 && label.ptr[0] == '0' && label.ptr[1] == 'x') {
        digits = "0123456789abcdef";
        i = 2;
    }
    for (; i < label.len; i++) {
        if (!strchr(digits, label.ptr[i]))
            return false;
    }
    return true;
}

/* Checks a name or IPv4 address in ASCII and puts it into lower case. */
static int canonical_name(const char *host, host_text ret_host, struct refusal *why)
{
    size_t len = strlen(host);
    struct bytes rest, label = {NULL, 0};
    struct in_addr address;

    rest = bytes_of(host, len);
    if (len > 0 && host[len - 1] == '.') /* the root, which makes a name absolute; it is kept */
        rest.len--;
    if (rest.len == 0 || rest.len > HOST_MAX)
        return refuse(why, FETCH_INVALID_URL, "The host name is empty or longer than 253 bytes");

    for (size_t i = 0; i < len; i++) {
        bool upper = host[i] >= 'A' && host[i] <= 'Z';

        if (!is_alpha(host[i]) && !is_digit(host[i]) && !strchr("-_.", host[i]))
            return refuse(why, FETCH_INVALID_URL,
                          "The host name has a character that host names cannot have");
        ret_host[i] = (char)(upper ? host[i] - 'A' + 'a' : host[i]);
    }
    ret_host[len] = '\0';

    rest.ptr = ret_host;
    while (rest.ptr) {
        label = bytes_split(&rest, '.');
        if (label.len == 0 || label.len > 63)
            return refuse(why, FETCH_INVALID_URL,
                          "A part of the host name is empty or longer than 63 bytes");
    }
    /*
     * libcurl has written every IPv4 address as a dotted quad. What is left (1.2.3.4.5, or what IDN
     * has just made of other digits) would go to a resolver that reads numbers in its own way.
     */
    if (is_number(label) && inet_pton(AF_INET, ret_host, &address) != 1)
        return refuse(why, FETCH_INVALID_URL, "The host ends in a number but is no IPv4 address");
    return 0;
}

/*
 * The host in ASCII (RFC 5891), owned by the caller (curl_free). libcurl hands international names
 * to libidn2 in the charset of the locale; a URL is UTF-8 wherever the daemon runs, so this thread
 * takes such a locale for the time of the call.
 */
static CURLUcode get_ascii_host(CURLU *handle, char **ret_host)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    char *url;
    CURLUcode code;

    /* Asked for the host of a bad name, libcurl 7.88 to 8.14 leak it; asked for the URL, they do
     * not. */
    code = curl_url_get(handle, CURLUPART_URL, &url, CURLU_PUNYCODE);
    if (code == CURLUE_OK) {
        curl_free(url);
        code = curl_url_get(handle, CURLUPART_HOST, ret_host, CURLU_PUNYCODE);
    }
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return code;
}

static int refuse_zone(CURLU *handle, struct refusal *why)
{
    char *zone;

    if (curl_url_get(handle, CURLUPART_ZONEID, &zone, 0) != CURLUE_OK)
        return 0;
    curl_free(zone);
    return refuse(why, FETCH_INVALID_URL, "IPv6 zone identifiers have no meaning here");
}

/* `host`, in ASCII, in canonical form. */
static int canonical_host(CURLU *handle, const char *host, host_text ret_host, struct refusal *why)
{
    int r;

    if (host[0] != '[')
        return canonical_name(host, ret_host, why);
    r = refuse_zone(handle, why);
    return r == 0 ? canonical_ipv6(host, ret_host, why) : r;
}

/* Brings the host of `handle` into canonical form, in ASCII, and gives it. */
static int normalise_host(CURLU *handle, host_text ret_host, struct refusal *why)
{
    char *host, *ascii;
    CURLUcode code = curl_url_get(handle, CURLUPART_HOST, &host, 0);
    int r;

    if (code != CURLUE_OK)
        return refuse_curlu(why, code);
    if (is_ascii(host)) {
        r = canonical_host(handle, host, ret_host, why);
    } else if (get_ascii_host(handle, &ascii) == CURLUE_OK) {
        r = canonical_host(handle, ascii, ret_host, why);
        curl_free(ascii);
    } else { /* any failure is the name's: libcurl 7 calls it CURLUE_OUT_OF_MEMORY */
        r = refuse(why, FETCH_INVALID_URL, "The host is no valid international name in UTF-8");
    }
    if (r == 0 && strcmp(host, ret_host) != 0) {
        code = curl_url_set(handle, CURLUPART_HOST, ret_host, 0);
        r = code == CURLUE_OK ? 0 : refuse_curlu(why, code);
    }
    curl_free(host);
    return r;
}

/* -- the target -------------------------------------------------------------------------------- */

static int get_port(CURLU *handle, uint16_t *ret_port, struct refusal *why)
{
    char *text;
    unsigned long port;
    CURLUcode code = curl_url_get(handle, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT);

    if (code != CURLUE_OK)
        return refuse_curlu(why, code);
    port = strtoul(text, NULL, 10); /* libcurl has checked that it is a number up to 65535 */
    curl_free(text);
    if (port == 0 || port > UINT16_MAX)
        return refuse(why, FETCH_INVALID_URL, "The port must be between 1 and 65535");
    *ret_port = (uint16_t)port;
    return 0;
}

/* The parts, `count` of them, as one string, the caller's. NULL when memory is exhausted. */
static char *join(const struct bytes *parts, size_t count)
{
    size_t len = 0;
    char *text, *at;

    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    text = at = malloc(len + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    *at = '\0';
    return text;
}

/* Writes ":8080", and gives it. */
static struct bytes port_suffix(uint16_t port, char text[6])
{
    size_t at = 6;

    do {
        text[--at] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    text[--at] = ':';
    return bytes_of(text + at, 6 - at);
}

static int make_origin(struct target *target, struct bytes scheme, struct bytes host,
                       struct bytes port, struct refusal *why)
{
    const struct bytes parts[] = {scheme, host, port};

    target->origin = join(parts, sizeof parts / sizeof *parts);
    if (!target->origin)
        return refuse_no_memory(why);
    target->host = bytes_of(target->origin + scheme.len, host.len);
    if (host.ptr[0] == '[') {
        target->host.ptr++;
        target->host.len -= 2;
    }
    return 0;
}

/*
 * The URL, put together from its parts: libcurl, asked for the whole, would show user name and
 * password, and takes ten times as long to print it.
 */
static int make_url(struct target *target, struct bytes scheme, struct bytes host,
                    struct bytes port, struct refusal *why)
{
    char *path, *query = NULL;
    CURLUcode code = curl_url_get(target->handle, CURLUPART_PATH, &path, 0);
    int r = 0;

    if (code != CURLUE_OK)
        return refuse_curlu(why, code);
    code = curl_url_get(target->handle, CURLUPART_QUERY, &query, 0);
    if (code != CURLUE_OK && code != CURLUE_NO_QUERY) {
        curl_free(path);
        return refuse_curlu(why, code);
    }
    /* An empty query is none, as libcurl prints URLs. */
    const struct bytes parts[] = {scheme,
                                  host,
                                  port,
                                  bytes_of("/", path[0] != '/'),
                                  bytes_cstr(path),
                                  bytes_of("?", query && query[0]),
                                  bytes_cstr(query)};
    target->url = join(parts, sizeof parts / sizeof *parts);
    curl_free(path);
    curl_free(query);
    if (!target->url)
        r = refuse_no_memory(why);
    else if (strlen(target->url) > TARGET_URL_MAX)
        r = refuse(why, FETCH_INVALID_URL, "The URL is longer than 8192 bytes when encoded");
    return r;
}

/* Copies user name and password where `to` has none. */
static int inherit_credentials(CURLU *from, CURLU *to, struct refusal *why)
{
    static const CURLUPart parts[] = {CURLUPART_USER, CURLUPART_PASSWORD};
    char *text;
    CURLUcode code;

    if (curl_url_get(to, CURLUPART_USER, &text, 0) == CURLUE_OK) {
        curl_free(text);
        return 0;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (curl_url_get(from, parts[i], &text, 0) != CURLUE_OK)
            continue;
        code = curl_url_set(to, parts[i], text, 0);
        curl_free(text);
        if (code != CURLUE_OK)
            return refuse_curlu(why, code);
    }
    return 0;
}

/* Fills the target from its handle, whose URL is set. */
static int target_fill(struct target *target, struct refusal *why)
{
    char *text, port_text[6];
    host_text host_buffer;
    int r;

    CURLUcode code = curl_url_get(target->handle, CURLUPART_SCHEME, &text, 0);
    if (code != CURLUE_OK)
        return refuse_curlu(why, code);
    target->is_tls = bytes_equal_nocase(bytes_cstr(text), BYTES("https"));
    curl_free(text);
    if ((r = normalise_host(target->handle, host_buffer, why)) != 0 ||
        (r = get_port(target->handle, &target->port, why)) != 0)
        return r;

    struct bytes scheme = target->is_tls ? BYTES("https://") : BYTES("http://");
    struct bytes host = bytes_cstr(host_buffer), port = port_suffix(target->port, port_text);
    if ((r = make_origin(target, scheme, host, port, why)) != 0)
        return r;
    if (target->port == (target->is_tls ? 443 : 80))
        port.len = 0;
    return make_url(target, scheme, host, port, why);
}

/*
 * Ends the making of a target: hands it over when `r` is 0, else frees it and gives the message.
 * Returns `r`.
 */
static int target_finish(int r, struct target *target, const struct refusal *why,
                         struct target *ret_target, const char **ret_message)
{
    if (r == 0) {
        *ret_target = *target;
        return 0;
    }
    target_free(target);
    *ret_message = why->message;
    return r;
}

static int parse(struct bytes url, struct target *target, struct refusal *why)
{
    struct bytes scheme = url_scheme(url);
    int r;

    if (url.len == 0)
        return refuse(why, FETCH_INVALID_URL, "The URL is empty");
    if ((r = check_bytes(url, false, why)) != 0)
        return r;
    if (scheme.len == 0 || looks_like_host_and_port(scheme, url))
        return refuse(why, FETCH_INVALID_URL,
                      "The URL has no scheme: write http:// or https:// in front");
    if ((r = check_scheme(scheme, url, why)) != 0)
        return r;

    target->handle = curl_url();
    if (!target->handle)
        return refuse_no_memory(why);
    if ((r = set_url(target->handle, without_fragment(url), why)) != 0)
        return r;
    return target_fill(target, why);
}

int target_parse(struct bytes url, struct target *ret_target, const char **ret_message)
{
    struct target target = {0};
    struct refusal why = {NULL};
    int r = parse(url, &target, &why);

    return target_finish(r, &target, &why, ret_target, ret_message);
}

static int redirect(const struct target *base, struct bytes location, struct target *target,
                    struct refusal *why)
{
    struct bytes reference = without_fragment(bytes_trim(location)), scheme;
    int r = check_bytes(reference, true, why);

    if (r != 0)
        return r;
    scheme = url_scheme(reference);
    if (scheme.len > 0)
        r = check_scheme(scheme, reference, why);
    else if (reference.len >= 2 && memcmp(reference.ptr, "//", 2) == 0)
        r = check_authority(reference, why);
    if (r != 0)
        return r;

    target->handle = curl_url_dup(base->handle);
    if (!target->handle)
        return refuse_no_memory(why);
    /* An empty reference is the base itself (RFC 3986 section 5.2.2), not so in libcurl 7. */
    if (reference.len > 0 && (r = set_url(target->handle, reference, why)) != 0)
        return r;
    if ((r = target_fill(target, why)) != 0)
        return r;
    if (bytes_equal(bytes_cstr(base->origin), bytes_cstr(target->origin)))
        return inherit_credentials(base->handle, target->handle, why);
    return 0;
}

int target_redirect(const struct target *base, struct bytes location, struct target *ret_target,
                    const char **ret_message)
{
    struct target target = {0};
    struct refusal why = {NULL};
    int r = redirect(base, location, &target, &why);

    return target_finish(r, &target, &why, ret_target, ret_message);
}

void target_identity(const struct target *target, struct buffer *out)
{
    static const CURLUPart parts[] = {CURLUPART_USER, CURLUPART_PASSWORD};
    char *text;

    buffer_text(out, target->url);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (curl_url_get(target->handle, parts[i], &text, 0) != CURLUE_OK)
            continue;
        buffer_byte(out, i == 0 ? '\n' : '\r'); /* in no part of a URL */
        buffer_text(out, text);
        curl_free(text);
    }
}

void target_free(struct target *target)
{
    if (!target)
        return;
    curl_url_cleanup(target->handle);
    free(target->url);
    free(target->origin);
    *target = (struct target){0};
}
