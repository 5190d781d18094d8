#include "server/config.h"
#include "server/problem.h"
#include "server/version.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -- the table --------------------------------------------------------------------------------- */

enum value_kind {
    VALUE_NUMBER,  /* uint64_t, from minimum to maximum */
    VALUE_CHOICE,  /* an enum: the place of the word in `choices` */
    VALUE_FLAG,    /* bool; takes no value on the command line */
    VALUE_ADDRESS, /* listen, listen_len */
    VALUE_NETS,    /* allow_net, allow_net_count; repeatable, and a list with commas */
    VALUE_AGENT,   /* user_agent */
    VALUE_ACTION   /* action becomes `minimum`; not in the environment */
};

struct option_spec {
    const char *name;     /* without the dashes */
    const char *argument; /* as --help shows it; NULL: takes none */
    enum value_kind kind;
    size_t offset; /* VALUE_NUMBER, VALUE_CHOICE, VALUE_FLAG: into struct config */
    uint64_t minimum, maximum;
    const char *initial; /* the default, as it would be written; NULL: none or found out */
    const char *help;
    const char *choices[5]; /* NULL-terminated */
};

enum { MAX_WORKERS = 256, DAY_MS = 86400000, HOUR_MS = 3600000 };

/* clang-format off */
#define NUMBER(name, field, lowest, highest, initially, words)                                     \
    {name, "N", VALUE_NUMBER, offsetof(struct config, field), lowest, highest, initially, words,   \
     {0}}
#define CHOICE(name, argument, field, initially, words, ...)                                       \
    {name, argument, VALUE_CHOICE, offsetof(struct config, field), 0, 0, initially, words,         \
     {__VA_ARGS__}}
#define FLAG(name, field, words)                                                                   \
    {name, NULL, VALUE_FLAG, offsetof(struct config, field), 0, 0, NULL, words, {0}}
#define SPECIAL(name, argument, kind, initially, words)                                            \
    {name, argument, kind, 0, 0, 0, initially, words, {0}}
#define ACTION(name, act, words)                                                                   \
    {name, NULL, VALUE_ACTION, 0, act, 0, NULL, words, {0}}
/* clang-format on */

static const struct option_spec options[] = {
    SPECIAL("listen", "ADDR:PORT", VALUE_ADDRESS, "127.0.0.1:8080",
            "address to answer on; [::1]:8080 for IPv6, port 0 for a free one"),
    NUMBER("workers", workers, 1, MAX_WORKERS, NULL, "parser processes [one for each CPU]"),
    NUMBER("concurrency", concurrency, 1, 65536, "256", "fetches in flight in the whole daemon"),
    NUMBER("per-host", per_host, 1, 1024, "6", "connections to one origin, shared by all batches"),
    NUMBER("timeout-ms", timeout_ms, 1, DAY_MS, "30000",
           "time for a whole fetch, redirects included"),
    NUMBER("connect-timeout-ms", connect_timeout_ms, 1, DAY_MS, "10000",
           "time for a connection, TLS included"),
    NUMBER("max-page-bytes", max_page_bytes, 1, 1 << 30, "10485760",
           "size of a page, as received and again when decompressed"),
    NUMBER("max-redirects", max_redirects, 0, 100, "10", "redirects that one fetch follows"),
    NUMBER("retries", retries, 0, 20, "2", "further attempts after a retryable error"),
    SPECIAL("user-agent", "TEXT", VALUE_AGENT, "skimd/" SKIMD_VERSION,
            "the User-Agent that pages are asked with"),
    SPECIAL("allow-net", "CIDR", VALUE_NETS, NULL,
            "fetch from this network too, although it is private, loopback or otherwise refused "
            "(repeatable)"),
    NUMBER("max-batch-urls", max_batch_urls, 1, 100000000, "1000000",
           "URLs in one batch; more is answered 413"),
    NUMBER("max-body-bytes", max_body_bytes, 1, UINT32_MAX, "268435456",
           "size of a request body; more is answered 413"),
    NUMBER("header-timeout-ms", header_timeout_ms, 1, HOUR_MS, "10000",
           "time that a client has to send its request head"),
    NUMBER("grace-ms", grace_ms, 0, HOUR_MS, "8000",
           "time that running batches have to end after SIGTERM"),
    NUMBER("slow-callback-ms", slow_callback_ms, 0, HOUR_MS, "100",
           "a warning is logged when something keeps the event loop for longer; 0: never"),
    FLAG("insecure-no-auth", insecure_no_auth,
         "allow a listen address that other machines can reach, although nothing asks callers who "
         "they are"),
    CHOICE("log", "FORMAT", log_format, NULL,
           "text or json, on standard error [text on a terminal, else json]",
           [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"),
    CHOICE("log-level", "LEVEL", log_level, "info",
           "error, warn, info or debug", [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
           [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug"),
    ACTION("help", CONFIG_SHOW_HELP, "show this and exit"),
    ACTION("version", CONFIG_SHOW_VERSION, "show the version and exit"),
};

enum { OPTIONS = sizeof options / sizeof options[0] };

/* The table writes enums as unsigned. */
static_assert(sizeof(enum log_format) == sizeof(unsigned) &&
                  sizeof(enum log_level) == sizeof(unsigned),
              "an enum is as large as unsigned");

/* -- values ------------------------------------------------------------------------------------ */

/* One value on its way into the configuration. */
struct setting {
    const struct option_spec *option;
    const char *source; /* how the user wrote it: "--workers" or "SKIMD_WORKERS" */
    struct bytes value;
    char *message; /* CONFIG_MESSAGE_SIZE bytes */
};

static int refuse(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *message, const char *format, ...)
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

    return refuse(s->message, "skimd: %s: %s is not %s", s->source, problem_quote(quoted, s->value),
                  what_is_right);
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
    static const char right[] = "ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080";
    const char *colon = s->value.len ? memrchr(s->value.ptr, ':', s->value.len) : NULL;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char address[INET6_ADDRSTRLEN];
    uint64_t port;

    if (!colon)
        return refuse_value(s, right);
    struct bytes host = bytes_of(s->value.ptr, (size_t)(colon - s->value.ptr));
    if (!config_number(bytes_of(colon + 1, s->value.len - host.len - 1), &port) ||
        port > UINT16_MAX)
        return refuse_value(s, right);
    bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = bytes_of(host.ptr + 1, host.len - 2);
    if (host.len >= sizeof address || memchr(host.ptr, '\0', host.len))
        return refuse_value(s, right);
    memcpy(address, host.ptr, host.len);
    address[host.len] = '\0';

    if (bracketed ? inet_pton(AF_INET6, address, &v6.sin6_addr) != 1
                  : inet_pton(AF_INET, address, &v4.sin_addr) != 1)
        return refuse_value(s, right);
    v4.sin_port = v6.sin6_port = htons((uint16_t)port);
    config->listen_len = bracketed ? sizeof v6 : sizeof v4;
    config->listen = (struct sockaddr_storage){0};
    memcpy(&config->listen, bracketed ? (void *)&v6 : (void *)&v4, config->listen_len);
    return 0;
}

static int add_net(struct config *config, const struct setting *s)
{
    char text[64]; /* longer than any address with its prefix length */
    struct net net;

    if (s->value.len >= sizeof text || s->value.len == 0)
        return refuse_value(
            s, "a network such as 10.0.0.0/8 or fd00::/8, no bit set behind the prefix");
    memcpy(text, s->value.ptr, s->value.len);
    text[s->value.len] = '\0';
    if (net_parse(text, &net) < 0)
        return refuse_value(
            s, "a network such as 10.0.0.0/8 or fd00::/8, no bit set behind the prefix");

    struct net *grown =
        reallocarray(config->allow_net, config->allow_net_count + 1, sizeof *config->allow_net);
    if (!grown) {
        refuse(s->message, "skimd: out of memory");
        return -ENOMEM;
    }
    config->allow_net = grown;
    config->allow_net[config->allow_net_count++] = net;
    return 0;
}

static int add_nets(struct config *config, const struct setting *s)
{
    struct bytes rest = s->value;

    do {
        struct setting one = *s;
        one.value = bytes_trim(bytes_split(&rest, ','));
        int error = add_net(config, &one);
        if (error < 0)
            return error;
    } while (rest.ptr);
    return 0;
}

static int set_value(struct config *config, const struct setting *s)
{
    switch (s->option->kind) {
    case VALUE_NUMBER:
        return set_number(config, s);
    case VALUE_CHOICE:
        return set_choice(config, s);
    case VALUE_FLAG:
        return set_flag(config, s);
    case VALUE_ADDRESS:
        return set_address(config, s);
    case VALUE_NETS:
        return add_nets(config, s);
    case VALUE_AGENT:
        if (!config_user_agent_valid(s->value))
            return refuse_value(s, "a header value: 1 to 255 bytes without control characters");
        config->user_agent = s->value.ptr;
        return 0;
    case VALUE_ACTION:
        config->action = (enum config_action)s->option->minimum;
        return 0;
    }
    return -EINVAL;
}

/* -- where values come from -------------------------------------------------------------------- */

static const struct option_spec *option_named(struct bytes name)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (bytes_equal(name, bytes_cstr(options[i].name)))
            return &options[i];
    }
    return NULL;
}

/* Reads argv, up to --help or --version, and marks in `seen` what it met. */
static int read_arguments(struct config *config, int argc, char **argv, bool seen[static OPTIONS],
                          char *message)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    for (int i = 1; i < argc && config->action == CONFIG_RUN; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0')
            return refuse(message, "skimd: %s: not an option; skimd --help lists them",
                          problem_quote(quoted, bytes_cstr(argv[i])));

        struct bytes value = bytes_cstr(argv[i] + 2);
        struct bytes name = bytes_split(&value, '=');
        const struct option_spec *option = option_named(name);
        char source[32];

        if (!option)
            return refuse(message, "skimd: %s: no such option; skimd --help lists them",
                          problem_quote(quoted, bytes_of(argv[i], name.len + 2)));
        snprintf(source, sizeof source, "--%s", option->name);
        if (!option->argument && value.ptr)
            return refuse(message, "skimd: %s takes no value", source);
        if (!option->argument)
            value = BYTES("on");
        else if (!value.ptr && ++i < argc)
            value = bytes_cstr(argv[i]);
        else if (!value.ptr)
            return refuse(message, "skimd: %s needs a value: %s %s", source, source,
                          option->argument);

        seen[option - options] = true;
        int error = set_value(config, &(struct setting){option, source, value, message});
        if (error < 0)
            return error;
    }
    return 0;
}

/* "max-page-bytes" as "SKIMD_MAX_PAGE_BYTES". */
static void environment_name(char *ret, size_t size, const char *name)
{
    snprintf(ret, size, "SKIMD_%s", name);
    for (char *c = ret; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static const char *environment_value(char **envp, const char *name)
{
    size_t len = strlen(name);

    for (; envp && *envp; envp++) {
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=' && (*envp)[len + 1])
            return *envp + len + 1;
    }
    return NULL;
}

/* Gives what the command line left open its value of the environment, else its default. */
static int read_environment(struct config *config, char **envp, const bool seen[static OPTIONS],
                            char *message)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option_spec *option = &options[i];
        char source[40];

        if (seen[i] || option->kind == VALUE_ACTION)
            continue;
        environment_name(source, sizeof source, option->name);
        const char *value = environment_value(envp, source);
        if (!value)
            value = option->initial;
        if (!value)
            continue;
        int error =
            set_value(config, &(struct setting){option, source, bytes_cstr(value), message});
        if (error < 0)
            return error;
    }
    return 0;
}

static uint64_t usable_cpus(void)
{
    cpu_set_t set;

    /* What this process may run on: inside a container fewer than the machine has. */
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > MAX_WORKERS ? MAX_WORKERS : (uint64_t)count;
}

static bool listens_on_loopback(const struct config *config)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (config->listen.ss_family == AF_INET) {
        memcpy(&v4, &config->listen, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    memcpy(&v6, &config->listen, sizeof v6);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
}

int config_parse(struct config *ret, int argc, char **argv, char **envp,
                 char message[static CONFIG_MESSAGE_SIZE])
{
    struct config config = {
        .workers = usable_cpus(),
        .log_format = isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON,
    };
    bool seen[OPTIONS] = {false};
    int error = read_arguments(&config, argc, argv, seen, message);

    if (error == 0 && config.action == CONFIG_RUN)
        error = read_environment(&config, envp, seen, message);
    if (error == 0 && config.action == CONFIG_RUN && !listens_on_loopback(&config) &&
        !config.insecure_no_auth)
        error = refuse(message,
                       "skimd: --listen: other machines could reach this address and nothing asks "
                       "callers who they are; listen on 127.0.0.1 or [::1], or add "
                       "--insecure-no-auth");
    if (error < 0) {
        config_free(&config);
        return error;
    }
    *ret = config;
    return 0;
}

void config_free(struct config *config)
{
    free(config->allow_net);
    config->allow_net = NULL;
    config->allow_net_count = 0;
}

/* -- help -------------------------------------------------------------------------------------- */

enum { HELP_COLUMN = 27, HELP_WIDTH = 80 };

/* Appends `text` broken into lines between HELP_COLUMN and HELP_WIDTH. */
static void write_wrapped(struct buffer *out, struct bytes text)
{
    size_t column = HELP_COLUMN;

    while (text.ptr) {
        struct bytes word = bytes_split(&text, ' ');

        if (column > HELP_COLUMN && column + 1 + word.len > HELP_WIDTH) {
            buffer_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            buffer_byte(out, ' ');
            column++;
        }
        buffer_append(out, word.ptr, word.len);
        column += word.len;
    }
    buffer_byte(out, '\n');
}

void config_help(struct buffer *out)
{
    buffer_text(out, "Usage: skimd [OPTION]...\n"
                     "Fetches batches of web pages and streams what it finds on them, over HTTP.\n"
                     "Defaults stand in brackets.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option_spec *option = &options[i];
        char head[HELP_COLUMN + 1], text[256];

        snprintf(head, sizeof head, "  --%s%s%s", option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        buffer_printf(out, "%-*s", HELP_COLUMN, head);
        if (option->initial)
            snprintf(text, sizeof text, "%s [%s]", option->help, option->initial);
        else
            snprintf(text, sizeof text, "%s", option->help);
        write_wrapped(out, bytes_cstr(text));
    }
    buffer_text(out, "\nEvery option but the last two can stand in the environment: --per-host as\n"
                     "SKIMD_PER_HOST. The command line wins.\n");
}
