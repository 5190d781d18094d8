/* What --check-config does: tries the files, and writes what is in force. */
#include "server/config/endpoint.h"
#include "server/config/internal.h"
#include "server/problem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* -- files ------------------------------------------------------------------------------------- */

/* A text of the configuration; NULL: not given. */
static const char *text_at(const struct config *config, const struct option_spec *option)
{
    const char *text;

    memcpy(&text, (const char *)config + option->offset, sizeof text);
    return text;
}

/* 0, or a negative errno. A directory can be opened, but not read. */
static int try_to_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char byte;

    if (fd < 0)
        return -errno;
    int rc = read(fd, &byte, 1) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int config_check(const struct config *config, char message[static CONFIG_MESSAGE_SIZE])
{
    const struct option_spec *options;
    size_t count = config_options(&options);
    char quoted[PROBLEM_QUOTE_SIZE];

    for (size_t i = 0; i < count; i++) {
        const char *path = options[i].kind == VALUE_FILE ? text_at(config, &options[i]) : NULL;
        int rc = path ? try_to_read(path) : 0;

        if (rc < 0)
            return config_refuse(message, "skimd: --%s: %s cannot be read: %s", options[i].name,
                                 problem_quote(quoted, bytes_cstr(path)), strerror(-rc));
    }
    return 0;
}

/* -- writing ----------------------------------------------------------------------------------- */

static void write_line(struct buffer *out, const char *name, const char *value)
{
    if (value)
        buffer_printf(out, "%s = %s\n", name, value);
    else
        buffer_printf(out, "# %s =\n", name);
}

static void write_number(struct buffer *out, const struct config *config,
                         const struct option_spec *option)
{
    uint64_t number;

    memcpy(&number, (const char *)config + option->offset, sizeof number);
    buffer_printf(out, "%s = %llu\n", option->name, (unsigned long long)number);
}

static void write_memory(struct buffer *out, const struct config *config,
                         const struct option_spec *option)
{
    if (config->max_memory == MEMORY_AUTO)
        write_line(out, option->name, "auto");
    else
        write_number(out, config, option);
}

static void write_choice(struct buffer *out, const struct config *config,
                         const struct option_spec *option)
{
    unsigned place;

    memcpy(&place, (const char *)config + option->offset, sizeof place);
    write_line(out, option->name, option->choices[place]);
}

static void write_switch(struct buffer *out, const struct config *config,
                         const struct option_spec *option)
{
    bool on;

    memcpy(&on, (const char *)config + option->offset, sizeof on);
    write_line(out, option->name, on ? "on" : "off");
}

static void write_address(struct buffer *out, const struct config *config,
                          const struct option_spec *option)
{
    buffer_printf(out, "%s = ", option->name);
    endpoint_write(out, &config->listen);
    buffer_byte(out, '\n');
}

/* What stands in front of an @ may be a password. */
static void write_proxy(struct buffer *out, const struct option_spec *option, const char *url)
{
    if (url && strchr(url, '@'))
        buffer_printf(out, "# %s = (with a password, which is not shown)\n", option->name);
    else
        write_line(out, option->name, url);
}

static void write_nets(struct buffer *out, const struct config *config,
                       const struct option_spec *option)
{
    const struct net *nets;
    char text[INET6_ADDRSTRLEN];
    size_t count;

    memcpy(&nets, (const char *)config + option->offset, sizeof nets);
    memcpy(&count, (const char *)config + option->count, sizeof count);
    if (count == 0)
        write_line(out, option->name, NULL);
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%s = %s/%u\n", option->name,
                      inet_ntop(nets[i].family, nets[i].address, text, sizeof text),
                      nets[i].prefix_len);
}

static void write_ports(struct buffer *out, const struct config *config,
                        const struct option_spec *option)
{
    const uint16_t *ports;
    size_t count;

    memcpy(&ports, (const char *)config + option->offset, sizeof ports);
    memcpy(&count, (const char *)config + option->count, sizeof count);
    if (count == 0)
        write_line(out, option->name, NULL);
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%s = %u\n", option->name, ports[i]);
}

static void write_texts(struct buffer *out, const struct config *config,
                        const struct option_spec *option)
{
    char *const *texts;
    size_t count;

    memcpy(&texts, (const char *)config + option->offset, sizeof texts);
    memcpy(&count, (const char *)config + option->count, sizeof count);
    if (count == 0)
        write_line(out, option->name, NULL);
    for (size_t i = 0; i < count; i++)
        write_line(out, option->name, texts[i]);
}

static void write_servers(struct buffer *out, const struct option_spec *option, const char *list)
{
    struct bytes rest = bytes_cstr(list);

    if (!list)
        write_line(out, option->name, NULL);
    while (rest.ptr) {
        struct bytes one = bytes_split(&rest, ',');

        buffer_printf(out, "%s = %.*s\n", option->name, (int)one.len, one.ptr);
    }
}

static void write_option(struct buffer *out, const struct config *config,
                         const struct option_spec *option)
{
    switch (option->kind) {
    case VALUE_NUMBER:
        write_number(out, config, option);
        break;
    case VALUE_MEMORY:
        write_memory(out, config, option);
        break;
    case VALUE_CHOICE:
        write_choice(out, config, option);
        break;
    case VALUE_FLAG:
    case VALUE_SWITCH:
        write_switch(out, config, option);
        break;
    case VALUE_ADDRESS:
        write_address(out, config, option);
        break;
    case VALUE_AGENT:
    case VALUE_FILE:
        write_line(out, option->name, text_at(config, option));
        break;
    case VALUE_PROXY:
        write_proxy(out, option, text_at(config, option));
        break;
    case VALUE_NETS:
        write_nets(out, config, option);
        break;
    case VALUE_PORTS:
        write_ports(out, config, option);
        break;
    case VALUE_ORIGINS:
    case VALUE_HOSTS:
        write_texts(out, config, option);
        break;
    case VALUE_SERVERS:
        write_servers(out, option, text_at(config, option));
        break;
    case VALUE_SECRET: /* of the environment, and shown to nobody */
    case VALUE_CONFIG:
    case VALUE_ACTION:
        break;
    }
}

void config_write(struct buffer *out, const struct config *config)
{
    const struct option_spec *options;
    size_t count = config_options(&options);

    for (size_t i = 0; i < count; i++)
        write_option(out, config, &options[i]);
}
