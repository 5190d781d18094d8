#include "parsers/url_host.h"

#include "core/base/bytes.h"
#include "core/base/utf8.h"

#include <stdint.h>
#include <stdio.h>

enum {
    ADDRESS_TEXT_MAX = 48, /* an IPv6 address with brackets has 41 bytes at most */
    IPV6_PIECES = 8,
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Puts `text` where the host was, if there is room. */
static size_t replace(char *host, size_t room, const char *text, size_t len)
{
    if (len > room)
        return 0;
    memcpy(host, text, len);
    return len;
}

/* -- IPv4 -------------------------------------------------------------------------------------- */

/* Takes "0x" or "0" off, and gives the base that they stand for. */
static unsigned take_base(struct bytes *number)
{
    size_t prefix = 0;
    unsigned base = 10;

    if (number->len >= 2 && number->ptr[0] == '0') {
        base = (number->ptr[1] | 0x20) == 'x' ? 16 : 8;
        prefix = base == 16 ? 2 : 1;
    }
    *number = bytes_of(number->ptr + prefix, number->len - prefix);
    return base;
}

/* "12", "0xc", "014"; what is behind "0x" may be nothing. *ret_value is one of UINT32_MAX + 1 when
 * it is more than that. */
static bool parse_ipv4_number(struct bytes number, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (number.len == 0)
        return false;
    unsigned base = take_base(&number);
    for (size_t i = 0; i < number.len; i++) {
        int digit = hex_value(number.ptr[i]);

        if (digit < 0 || (unsigned)digit >= base)
            return false;
        if (value <= UINT32_MAX)
            value = value * base + (unsigned)digit;
    }
    *ret_value = value;
    return true;
}

/* `name` without the dot of the root. */
static struct bytes without_root(struct bytes name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

/* Whether it is an IPv4 address, or nothing. */
static bool ends_in_a_number(struct bytes name)
{
    uint64_t value;
    size_t digits = 0;

    name = without_root(name);
    const char *dot = memrchr(name.ptr, '.', name.len);
    struct bytes last = name;
    if (dot)
        last = bytes_of(dot + 1, name.len - (size_t)(dot + 1 - name.ptr));
    while (digits < last.len && is_digit(last.ptr[digits]))
        digits++;
    return (last.len > 0 && digits == last.len) || parse_ipv4_number(last, &value);
}

/* One to four numbers; the last of them fills the bytes that the others leave. */
static bool parse_ipv4(struct bytes name, uint32_t *ret_address)
{
    uint64_t last = 0, address = 0;
    int shift = 32;

    name = without_root(name);
    while (name.ptr) {
        if (shift == 0 || !parse_ipv4_number(bytes_split(&name, '.'), &last))
            return false;
        if (name.ptr) {
            if (last > 255)
                return false;
            shift -= 8;
            address |= last << shift;
        }
    }
    if (last >> shift != 0)
        return false;
    *ret_address = (uint32_t)(address | last);
    return true;
}

static size_t normalise_ipv4(char *host, size_t len, size_t room)
{
    char text[ADDRESS_TEXT_MAX];
    uint32_t address;

    if (!parse_ipv4(bytes_of(host, len), &address))
        return 0;
    int written = snprintf(text, sizeof text, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                           address >> 8 & 255, address & 255);
    return replace(host, room, text, (size_t)written);
}

/* -- IPv6 -------------------------------------------------------------------------------------- */

struct ipv6 {
    uint16_t pieces[IPV6_PIECES];
    int count;    /* of pieces there are; "::" counts for one */
    int compress; /* the piece behind "::"; -1: there was none */
};

/* A number of an IPv4 address within an IPv6 one: decimal, without zeros in front. */
static bool take_ipv4_part(struct bytes *rest, unsigned *ret_value)
{
    unsigned value = 0;
    size_t n = 0;

    for (; n < rest->len && is_digit(rest->ptr[n]); n++) {
        if (n > 0 && value == 0)
            return false;
        value = value * 10 + (unsigned)(rest->ptr[n] - '0');
        if (value > 255)
            return false;
    }
    *rest = bytes_of(rest->ptr + n, rest->len - n);
    *ret_value = value;
    return n > 0;
}

/* The last two pieces, written as an IPv4 address. */
static bool parse_ipv4_in_ipv6(struct bytes rest, struct ipv6 *ip)
{
    unsigned parts[4];

    if (ip->count > IPV6_PIECES - 2)
        return false;
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            if (rest.len == 0 || rest.ptr[0] != '.')
                return false;
            rest = bytes_of(rest.ptr + 1, rest.len - 1);
        }
        if (!take_ipv4_part(&rest, &parts[i]))
            return false;
    }
    ip->pieces[ip->count++] = (uint16_t)(parts[0] << 8 | parts[1]);
    ip->pieces[ip->count++] = (uint16_t)(parts[2] << 8 | parts[3]);
    return rest.len == 0;
}

/* The next "::", hexadecimal piece with its colon, or IPv4 address. */
static bool take_ipv6_piece(struct bytes *rest, struct ipv6 *ip)
{
    unsigned value = 0;
    size_t n = 0;

    if (ip->count == IPV6_PIECES)
        return false;
    if (rest->ptr[0] == ':') { /* the first colon of the two went with the piece before */
        if (ip->compress >= 0)
            return false;
        *rest = bytes_of(rest->ptr + 1, rest->len - 1);
        ip->compress = ++ip->count;
        return true;
    }
    for (; n < 4 && n < rest->len && hex_value(rest->ptr[n]) >= 0; n++)
        value = value << 4 | (unsigned)hex_value(rest->ptr[n]);
    if (n > 0 && n < rest->len && rest->ptr[n] == '.') {
        bool valid = parse_ipv4_in_ipv6(*rest, ip);
        rest->len = 0;
        return valid;
    }
    *rest = bytes_of(rest->ptr + n, rest->len - n);
    ip->pieces[ip->count++] = (uint16_t)value;
    if (rest->len == 0)
        return true;
    if (rest->ptr[0] != ':' || rest->len == 1)
        return false;
    *rest = bytes_of(rest->ptr + 1, rest->len - 1);
    return true;
}

static bool parse_ipv6(struct bytes text, struct ipv6 *ip)
{
    *ip = (struct ipv6){.compress = -1};
    if (text.len > 0 && text.ptr[0] == ':') {
        if (text.len < 2 || text.ptr[1] != ':')
            return false;
        text = bytes_of(text.ptr + 1, text.len - 1);
    }
    while (text.len > 0)
        if (!take_ipv6_piece(&text, ip))
            return false;
    if (ip->compress < 0)
        return ip->count == IPV6_PIECES;

    /* What stands behind "::" goes to the end, zeros to where it was. */
    size_t behind = (size_t)(ip->count - ip->compress), to = IPV6_PIECES - behind;
    memmove(ip->pieces + to, ip->pieces + ip->compress, behind * sizeof ip->pieces[0]);
    for (size_t i = (size_t)ip->compress; i < to; i++)
        ip->pieces[i] = 0;
    return true;
}

/* The first of the longest runs of two zeros and more: its length, 0 without one. */
static int longest_zeros(const uint16_t pieces[static IPV6_PIECES], int *ret_start)
{
    int longest = 0, run = 0;

    for (int i = 0; i < IPV6_PIECES; i++) {
        run = pieces[i] == 0 ? run + 1 : 0;
        if (run > longest) {
            longest = run;
            *ret_start = i + 1 - run;
        }
    }
    return longest > 1 ? longest : 0;
}

static size_t normalise_ipv6(char *host, size_t len, size_t room)
{
    char text[ADDRESS_TEXT_MAX] = "[";
    size_t at = 1;
    struct ipv6 ip;
    int start = 0;

    if (host[len - 1] != ']' || !parse_ipv6(bytes_of(host + 1, len - 2), &ip))
        return 0;
    int zeros = longest_zeros(ip.pieces, &start);
    for (int i = 0; i < IPV6_PIECES; i++) {
        if (zeros > 0 && i == start) {
            text[at++] = ':';
            if (i == 0)
                text[at++] = ':';
            i += zeros - 1;
            continue;
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "%x%s", ip.pieces[i],
                               i < IPV6_PIECES - 1 ? ":" : "");
    }
    text[at++] = ']';
    return replace(host, room, text, at);
}

/* -- names ------------------------------------------------------------------------------------- */

static size_t percent_decode(char *text, size_t len)
{
    size_t to = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '%' && len - i > 2 && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
            c = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
            i += 2;
        }
        text[to++] = c;
    }
    return to;
}

/* The standard's forbidden domain code points. */
static bool is_forbidden(char c)
{
    static const char marks[] = "#%/:<>?@[\\]^|";

    return (unsigned char)c <= 0x20 || c == 0x7f || memchr(marks, c, sizeof marks - 1);
}

/* Puts what is ASCII into lower case; false when there is what no name has. */
static bool lower_name(char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_forbidden(name[i]))
            return false;
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
    }
    return true;
}

size_t url_host_normalise(char *host, size_t len, size_t room)
{
    if (len == 0)
        return 0;
    if (host[0] == '[')
        return normalise_ipv6(host, len, room);

    len = percent_decode(host, len);
    struct bytes name = bytes_of(host, len);
    if (!lower_name(host, len))
        return 0;
    if (ascii_prefix(name) == len)
        return ends_in_a_number(name) ? normalise_ipv4(host, len, room) : len;
    /* U+FFFD is what the standard decodes ill-formed bytes to, and then finds in no name. */
    if (!utf8_valid(name) || memmem(host, len, UTF8_REPLACEMENT, sizeof UTF8_REPLACEMENT - 1))
        return 0;
    return len;
}
