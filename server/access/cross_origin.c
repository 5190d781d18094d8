#include "server/access/cross_origin.h"

#include <arpa/inet.h>

enum { HOST_NAME_MAX_LENGTH = 253 }; /* of the DNS */

bool host_name_valid(struct bytes text)
{
    if (text.len == 0 || text.len > HOST_NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

/* -- Host -------------------------------------------------------------------------------------- */

static bool is_address(struct bytes text, int family)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return strlen(copy) == text.len && inet_pton(family, copy, &address) == 1;
}

/* The name or address of a Host field, without the port. */
static bool is_ours(const struct cross_origin *rules, struct bytes host)
{
    struct bytes rest = host;

    if (host.len > 0 && host.ptr[0] == '[') {
        struct bytes address = bytes_split(&rest, ']');

        return is_address(bytes_of(address.ptr + 1, address.len - 1), AF_INET6);
    }
    struct bytes name = bytes_split(&rest, ':');
    for (size_t i = 0; i < rules->host_count; i++)
        if (bytes_equal_nocase(name, bytes_cstr(rules->hosts[i])))
            return true;
    return bytes_equal_nocase(name, BYTES("localhost")) || is_address(name, AF_INET);
}

static bool host_is_right(const struct cross_origin *rules, struct bytes host,
                          struct problem *ret_problem)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    /* Browsers always send it. */
    if (!host.ptr || (rules->any_host && rules->host_count == 0) || is_ours(rules, host))
        return true;
    problem_set(ret_problem, PROBLEM_FORBIDDEN, NULL,
                "Without tokens this daemon answers to localhost, to addresses and to names of "
                "--allow-host, not to %s.",
                problem_quote(quoted, host));
    return false;
}

/* -- where it comes from ----------------------------------------------------------------------- */

/* A link to the daemon, or its address in the place of a page: nothing that the page can use. */
static bool is_navigation(const struct cross_origin_request *r)
{
    return bytes_equal(r->mode, BYTES("navigate")) &&
           bytes_equal(r->destination, BYTES("document")) &&
           (bytes_equal(r->method, BYTES("GET")) || bytes_equal(r->method, BYTES("HEAD")));
}

/* Whether the origin's authority is what the browser connected to. */
static bool is_origin_of(struct bytes origin, struct bytes host)
{
    struct bytes rest = origin;

    bytes_split(&rest, ':');
    return rest.len > 2 && memcmp(rest.ptr, "//", 2) == 0 &&
           bytes_equal_nocase(bytes_of(rest.ptr + 2, rest.len - 2), host);
}

static bool is_of_another_page(const struct cross_origin_request *r)
{
    if (r->site.ptr)
        return !bytes_equal(r->site, BYTES("same-origin")) && !bytes_equal(r->site, BYTES("none"));
    return r->origin.ptr && !is_origin_of(r->origin, r->host);
}

bool cross_origin_check(const struct cross_origin *rules, const struct cross_origin_request *r,
                        struct problem *ret_problem)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    if (!host_is_right(rules, r->host, ret_problem))
        return false;
    if (!is_of_another_page(r) || cors_allows(&rules->cors, r->origin) || is_navigation(r) ||
        bytes_equal(r->method, BYTES("OPTIONS")))
        return true;
    problem_set(ret_problem, PROBLEM_FORBIDDEN, NULL,
                "A web page of %s sent this; without tokens those of other origins may not, but "
                "for --cors-origin.",
                r->origin.len > 0 ? problem_quote(quoted, r->origin) : "another origin");
    return false;
}
