#include "server/config/endpoint.h"

#include "server/config/config.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool parse_port(struct bytes text, uint16_t *ret)
{
    uint64_t port;

    if (!config_number(text, &port) || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool parse_address(int family, struct bytes text, void *ret)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof copy || (text.len > 0 && memchr(text.ptr, '\0', text.len)))
        return false;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, ret) == 1;
}

/* Cuts `text` into its address, without brackets, and its port; *ret_port.ptr is NULL for none. */
static bool take_apart(struct bytes text, int *ret_family, struct bytes *ret_address,
                       struct bytes *ret_port)
{
    struct bytes rest = text;

    if (text.len > 0 && text.ptr[0] == '[') {
        rest = bytes_of(text.ptr + 1, text.len - 1);
        *ret_family = AF_INET6;
        *ret_address = bytes_split(&rest, ']');
        if (!rest.ptr || (rest.len > 0 && rest.ptr[0] != ':'))
            return false;
        *ret_port = rest.len > 0 ? bytes_of(rest.ptr + 1, rest.len - 1) : (struct bytes){NULL, 0};
        return true;
    }
    *ret_address = bytes_split(&rest, ':');
    *ret_port = rest;
    *ret_family = AF_INET;
    if (rest.len > 0 && memchr(rest.ptr, ':', rest.len)) { /* a second colon: all of it is IPv6 */
        *ret_family = AF_INET6;
        *ret_address = text;
        *ret_port = (struct bytes){NULL, 0};
    }
    return true;
}

bool endpoint_parse(struct bytes text, int default_port, struct sockaddr_storage *ret,
                    socklen_t *ret_len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct bytes address, port_text;
    uint16_t port = (uint16_t)default_port;
    int family;

    if (!take_apart(text, &family, &address, &port_text))
        return false;
    if (port_text.ptr ? !parse_port(port_text, &port) : default_port == ENDPOINT_NO_DEFAULT)
        return false;
    if (!parse_address(family, address,
                       family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr))
        return false;

    v4.sin_port = v6.sin6_port = htons(port);
    *ret = (struct sockaddr_storage){0};
    *ret_len = family == AF_INET ? sizeof v4 : sizeof v6;
    memcpy(ret, family == AF_INET ? (void *)&v4 : (void *)&v6, *ret_len);
    return true;
}

uint16_t endpoint_port(const struct sockaddr_storage *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->ss_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        return ntohs(v4.sin_port);
    }
    memcpy(&v6, address, sizeof v6);
    return ntohs(v6.sin6_port);
}

void endpoint_write(struct buffer *out, const struct sockaddr_storage *address)
{
    bool is_v4 = address->ss_family == AF_INET;
    size_t offset =
        is_v4 ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr);
    char text[INET6_ADDRSTRLEN] = "";

    inet_ntop(address->ss_family, (const char *)address + offset, text, sizeof text);
    buffer_printf(out, is_v4 ? "%s:%u" : "[%s]:%u", text, (unsigned)endpoint_port(address));
}
