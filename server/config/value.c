#include "server/access/cors.h"
#include "server/access/cross_origin.h"
#include "server/access/token.h"
#include "server/config/endpoint.h"
#include "server/config/internal.h"
#include "server/problem.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int config_refuse(char *message, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(message, CONFIG_MESSAGE_SIZE, format, args);
    va_end(args);
    return -EINVAL;
}

static int refuse_value(const struct setting *s, const char *what_is_right)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    return config_refuse(s->message, "skimd: %s: %s is not %s", s->source,
                         problem_quote(quoted, s->value), what_is_right);
}

bool config_number(struct bytes text, uint64_t *ret)
{
    uint64_t number = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *ret = number;
    return true;
}

bool config_size(struct bytes text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    const char *unit =
        text.len > 0 ? strchr(units, toupper((unsigned char)text.ptr[text.len - 1])) : NULL;
    uint64_t number;

    if (unit && *unit)
        text.len--;
    else
        unit = NULL;
    if (!config_number(text, &number))
        return false;
    if (unit && __builtin_mul_overflow(number, (uint64_t)1024 << 10 * (unit - units), &number))
        return false;
    *ret = number;
    return true;
}

bool config_user_agent_valid(struct bytes text)
{
    if (text.len == 0 || text.len > CONFIG_USER_AGENT_MAX || bytes_trim(text).len != text.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

static int set_number(struct config *config, const struct setting *s)
{
    const struct option_spec *option = s->option;
    uint64_t number;
    char right[80];

    if (!config_number(s->value, &number) || number < option->minimum || number > option->maximum) {
        snprintf(right, sizeof right, "a whole number from %llu to %llu",
                 (unsigned long long)option->minimum, (unsigned long long)option->maximum);
        return refuse_value(s, right);
    }
    memcpy((char *)config + option->offset, &number, sizeof number);
    return 0;
}

static int set_memory(struct config *config, const struct setting *s)
{
    if (bytes_equal_nocase(s->value, BYTES("auto")))
        config->max_memory = MEMORY_AUTO;
    else if (!config_size(s->value, &config->max_memory) || config->max_memory == MEMORY_AUTO)
        return refuse_value(s, "a size, such as 536870912, 512M or 2G, or 0 or auto");
    return 0;
}

static int set_choice(struct config *config, const struct setting *s)
{
    const struct option_spec *option = s->option;
    char right[80] = "one of";

    for (unsigned i = 0; option->choices[i]; i++) {
        if (bytes_equal(s->value, bytes_cstr(option->choices[i]))) {
            memcpy((char *)config + option->offset, &i, sizeof i);
            return 0;
        }
        size_t used = strlen(right);
        snprintf(right + used, sizeof right - used, "%s %s", i ? "," : "", option->choices[i]);
    }
    return refuse_value(s, right);
}

static int set_flag(struct config *config, const struct setting *s)
{
    static const char *const words[] = {"off", "on", "false", "true", "0", "1", "no", "yes"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(s->value, bytes_cstr(words[i]))) {
            bool on = i % 2 == 1;
            memcpy((char *)config + s->option->offset, &on, sizeof on);
            return 0;
        }
    }
    return refuse_value(s, "on or off");
}

static int set_address(struct config *config, const struct setting *s)
{
    if (!endpoint_parse(s->value, ENDPOINT_NO_DEFAULT, &config->listen, &config->listen_len))
        return refuse_value(s, "ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
    return 0;
}

/* Values end with a NUL: those of argv and envp by nature, the file's by config_file_next(). */
static int set_text(struct config *config, const struct setting *s)
{
    memcpy((char *)config + s->option->offset, &s->value.ptr, sizeof s->value.ptr);
    return 0;
}

static bool is_proxy_url(struct bytes text)
{
    /* Those that are told the name of a host: libcurl would look it up itself for the others. */
    static const char *const schemes[] = {"http://", "https://", "socks4a://", "socks5h://"};
    struct bytes host = {NULL, 0};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);

        if (text.len > len && strncasecmp(text.ptr, schemes[i], len) == 0)
            host = bytes_of(text.ptr + len, text.len - len);
    }
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] < '!' || host.ptr[i] > '~')
            return false;
    }
    return host.len > 0 && host.ptr[0] != '/';
}

/* What is refused is not shown: it may have a password in it. */
static int set_proxy(struct config *config, const struct setting *s)
{
    if (!is_proxy_url(s->value))
        return config_refuse(s->message,
                             "skimd: %s: not the URL of an http, https, socks4a or socks5h proxy, "
                             "such as http://proxy.example:3128",
                             s->source);
    return set_text(config, s);
}

/* What is refused is not shown here either. */
static int set_secret(struct config *config, const struct setting *s)
{
    if (!token_valid(s->value))
        return config_refuse(s->message, "skimd: %s: not a token: " TOKEN_RULE, s->source);
    return set_text(config, s);
}

/* -- lists ------------------------------------------------------------------------------------- */

static int refuse_memory(const struct setting *s)
{
    config_refuse(s->message, "skimd: out of memory");
    return -ENOMEM;
}

/* Appends `item` to the array of the option. */
static int append(struct config *config, const struct setting *s, const void *item, size_t size)
{
    char *array_at = (char *)config + s->option->offset,
         *count_at = (char *)config + s->option->count;
    char *array;
    size_t count;

    memcpy(&array, array_at, sizeof array);
    memcpy(&count, count_at, sizeof count);
    array = reallocarray(array, count + 1, size);
    if (!array)
        return refuse_memory(s);
    memcpy(array + count * size, item, size);
    count++;
    memcpy(array_at, &array, sizeof array);
    memcpy(count_at, &count, sizeof count);
    return 0;
}

static int add_net(struct config *config, const struct setting *s)
{
    static const char right[] =
        "a network such as 10.0.0.0/8 or fd00::/8, no bit set behind the prefix";
    char text[64]; /* longer than any address with its prefix length */
    struct net net;

    if (s->value.len >= sizeof text || s->value.len == 0)
        return refuse_value(s, right);
    memcpy(text, s->value.ptr, s->value.len);
    text[s->value.len] = '\0';
    if (net_parse(text, &net) < 0)
        return refuse_value(s, right);
    return append(config, s, &net, sizeof net);
}

static int add_port(struct config *config, const struct setting *s)
{
    uint64_t number;

    if (!config_number(s->value, &number) || number == 0 || number > UINT16_MAX)
        return refuse_value(s, "a port from 1 to 65535");
    return append(config, s, &(uint16_t){(uint16_t)number}, sizeof(uint16_t));
}

static int add_text(struct config *config, const struct setting *s)
{
    char *text = strndup(s->value.ptr, s->value.len);

    if (!text)
        return refuse_memory(s);
    int rc = append(config, s, &text, sizeof text);
    if (rc < 0)
        free(text);
    return rc;
}

static int add_origin(struct config *config, const struct setting *s)
{
    if (!cors_origin_valid(s->value))
        return refuse_value(s, "* or an origin such as https://app.example or "
                               "http://localhost:3000, in lower case and without a path");
    return add_text(config, s);
}

static int add_host(struct config *config, const struct setting *s)
{
    if (!host_name_valid(s->value))
        return refuse_value(s, "the name of a host such as scraper.example, without a port");
    return add_text(config, s);
}

static int add_server(struct config *config, const struct setting *s)
{
    enum { DNS_PORT = 53 };
    struct sockaddr_storage address;
    struct buffer text = {0};
    socklen_t len;

    if (!endpoint_parse(s->value, DNS_PORT, &address, &len) || endpoint_port(&address) == 0)
        return refuse_value(s, "an address such as 192.0.2.1, 127.0.0.1:5353 or [::1]:53");
    if (config->dns_servers)
        buffer_printf(&text, "%s,", config->dns_servers);
    endpoint_write(&text, &address);
    buffer_byte(&text, '\0');
    if (text.failed) {
        buffer_free(&text);
        return refuse_memory(s);
    }
    free(config->dns_servers);
    config->dns_servers = buffer_take(&text, &(size_t){0});
    return 0;
}

/* A value that is a list, with one item or more. */
static int add_each(struct config *config, const struct setting *s,
                    int (*add)(struct config *config, const struct setting *s))
{
    struct bytes rest = s->value;

    do {
        struct setting one = *s;
        one.value = bytes_trim(bytes_split(&rest, ','));
        int error = add(config, &one);
        if (error < 0)
            return error;
    } while (rest.ptr);
    return 0;
}

/* -- any value --------------------------------------------------------------------------------- */

int config_set_value(struct config *config, const struct setting *s)
{
    switch (s->option->kind) {
    case VALUE_NUMBER:
        return set_number(config, s);
    case VALUE_MEMORY:
        return set_memory(config, s);
    case VALUE_CHOICE:
        return set_choice(config, s);
    case VALUE_FLAG:
    case VALUE_SWITCH:
        return set_flag(config, s);
    case VALUE_ADDRESS:
        return set_address(config, s);
    case VALUE_AGENT:
        if (!config_user_agent_valid(s->value))
            return refuse_value(s, "a header value: 1 to 255 bytes without control characters");
        return set_text(config, s);
    case VALUE_FILE:
    case VALUE_CONFIG:
        if (s->value.len == 0)
            return refuse_value(s, "the name of a file");
        return set_text(config, s);
    case VALUE_PROXY:
        return set_proxy(config, s);
    case VALUE_SECRET:
        return set_secret(config, s);
    case VALUE_NETS:
        return add_each(config, s, add_net);
    case VALUE_PORTS:
        return add_each(config, s, add_port);
    case VALUE_ORIGINS:
        return add_each(config, s, add_origin);
    case VALUE_HOSTS:
        return add_each(config, s, add_host);
    case VALUE_SERVERS:
        return add_each(config, s, add_server);
    case VALUE_ACTION:
        config->action = (enum config_action)s->option->minimum;
        return 0;
    }
    return -EINVAL;
}
