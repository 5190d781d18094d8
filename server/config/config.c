#include "server/config/internal.h"
#include "server/memory/memory.h"
#include "server/problem.h"
#include "server/version.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -- the table --------------------------------------------------------------------------------- */

enum { MAX_WORKERS = 256, DAY_MS = 86400000, HOUR_MS = 3600000 };

/* clang-format off */
#define AT(field) .offset = offsetof(struct config, field)
#define NUMBER(name_, field, lowest, highest, initially, words)                                    \
    {.name = name_, .argument = "N", .kind = VALUE_NUMBER, AT(field), .minimum = lowest,           \
     .maximum = highest, .initial = initially, .help = words}
#define CHOICE(name_, argument_, field, initially, words, ...)                                     \
    {.name = name_, .argument = argument_, .kind = VALUE_CHOICE, AT(field), .initial = initially,  \
     .help = words, .choices = {__VA_ARGS__}}
#define FLAG(name_, field, words)                                                                  \
    {.name = name_, .kind = VALUE_FLAG, AT(field), .help = words}
#define SWITCH(name_, field, initially, words)                                                     \
    {.name = name_, .argument = "on|off", .kind = VALUE_SWITCH, AT(field), .initial = initially,   \
     .help = words}
#define SPECIAL(name_, argument_, kind_, field, initially, words)                                  \
    {.name = name_, .argument = argument_, .kind = kind_, AT(field), .initial = initially,         \
     .help = words}
#define SECRET(name_, field, words)                                                                \
    {.name = name_, .kind = VALUE_SECRET, AT(field), .help = words}
#define LIST(name_, argument_, kind_, field, words)                                                \
    {.name = name_, .argument = argument_, .kind = kind_, AT(field),                               \
     .count = offsetof(struct config, field##_count), .help = words}
#define ACTION(name_, act, words)                                                                  \
    {.name = name_, .kind = VALUE_ACTION, .minimum = act, .help = words}
/* clang-format on */

static const struct option_spec options[] = {
    SPECIAL("listen", "ADDR:PORT", VALUE_ADDRESS, listen, "127.0.0.1:8080",
            "address to answer on; [::1]:8080 for IPv6, port 0 for a free one"),
    NUMBER("workers", workers, 1, MAX_WORKERS, NULL,
           "parser processes that work at the same time [one for each CPU]"),
    NUMBER("concurrency", concurrency, 1, 65536, "256", "fetches in flight in the whole daemon"),
    NUMBER("per-host", per_host, 1, 1024, "6",
           "fetches in flight at one origin, shared by all batches"),
    NUMBER("host-delay-ms", host_delay_ms, 0, HOUR_MS, "0",
           "time between the starts of two fetches from one origin"),
    NUMBER("timeout-ms", timeout_ms, 1, DAY_MS, "30000",
           "time for a whole fetch, redirects included"),
    NUMBER("connect-timeout-ms", connect_timeout_ms, 1, DAY_MS, "10000",
           "time for a connection, TLS included"),
    NUMBER("low-speed-bytes", low_speed_bytes, 0, 1 << 30, "32",
           "bytes a second; a fetch that is slower for --low-speed-ms is given up; 0: never"),
    NUMBER("low-speed-ms", low_speed_ms, 1000, DAY_MS, "10000",
           "time that a fetch may be slower than --low-speed-bytes"),
    NUMBER("max-page-bytes", max_page_bytes, 1, 1 << 30, "10485760",
           "size of a page, as received and again when decompressed"),
    NUMBER("max-redirects", max_redirects, 0, 100, "10", "redirects that one fetch follows"),
    NUMBER("retries", retries, 0, 20, "2", "further attempts after a retryable error"),
    SPECIAL("user-agent", "TEXT", VALUE_AGENT, user_agent, "skimd/" SKIMD_VERSION,
            "the User-Agent that pages are asked with"),
    SWITCH("robots", robots, "off", "obey robots.txt in every batch"),
    SWITCH("early-stop", early_stop, "on",
           "end a transfer when the fields that were asked for are known"),
    LIST("allow-net", "CIDR", VALUE_NETS, allow_net,
         "fetch from this network too, at any port, although it is private, loopback or otherwise "
         "refused (repeatable)"),
    LIST("deny-net", "CIDR", VALUE_NETS, deny_net,
         "never fetch from this network, not even where it is allowed (repeatable)"),
    LIST("allow-port", "N", VALUE_PORTS, allow_port,
         "fetch from this port too, beside 80, 443, 8080 and 8443 (repeatable)"),
    SPECIAL("dns-server", "ADDR[:PORT]", VALUE_SERVERS, dns_servers, NULL,
            "name server to ask, instead of the system's (repeatable)"),
    SPECIAL("proxy", "URL", VALUE_PROXY, proxy, NULL,
            "fetch through this proxy: http, https, socks4a or socks5h"),
    SPECIAL("ca-file", "FILE", VALUE_FILE, ca_file, NULL,
            "certificates to trust (PEM), instead of the system's"),
    FLAG("allow-insecure", allow_insecure, "let a batch ask that certificates are not verified"),
    NUMBER("max-batch-urls", max_batch_urls, 1, 100000000, "1000000",
           "URLs in one batch; more is answered 413"),
    NUMBER("max-body-bytes", max_body_bytes, 1, UINT32_MAX, "268435456",
           "size of a request body; more is answered 413"),
    NUMBER("max-batches", max_batches, 1, 65536, "2048",
           "batches under way in the whole daemon; more is answered 503"),
    NUMBER("max-connections", max_connections, 16, 65536, "4096",
           "connections of clients; shortly before, those without a request are closed, the "
           "oldest first"),
    SPECIAL("max-memory", "SIZE", VALUE_MEMORY, max_memory, "auto",
            "ceiling of daemon and workers, such as 512M or 2G; near it new batches are answered "
            "503; 0: none; auto: 7/8 of the control group's limit, if it has one"),
    NUMBER("header-timeout-ms", header_timeout_ms, 1, HOUR_MS, "10000",
           "time that a client has to send its request head"),
    NUMBER("drain-delay-ms", drain_delay_ms, 0, HOUR_MS, "0",
           "time after SIGTERM in which batches are still taken, but /readyz says no more"),
    NUMBER("grace-ms", grace_ms, 0, HOUR_MS, "8000", "time that running batches then have to end"),
    NUMBER("slow-callback-ms", slow_callback_ms, 0, HOUR_MS, "100",
           "a warning is logged when something keeps the event loop for longer; 0: never"),
    SPECIAL("token-file", "FILE", VALUE_FILE, token_file, NULL,
            "bearer tokens that callers must have one of, one a line; read again at SIGHUP"),
    SECRET("token", token, "one more such token; in the environment only"),
    NUMBER("token-batches", token_batches, 0, 65536, "256",
           "batches that one token may have under way; more is answered 429; 0: any number"),
    NUMBER("token-urls", token_urls, 0, 1000000000, "2000000",
           "URLs without a record in these batches together; 0: any number"),
    SPECIAL("tls-cert", "FILE", VALUE_FILE, tls_cert, NULL,
            "answer over TLS, with this certificate and those that lead to its authority's (PEM); "
            "read again at SIGHUP"),
    SPECIAL("tls-key", "FILE", VALUE_FILE, tls_key, NULL, "the key of --tls-cert (PEM)"),
    LIST("cors-origin", "ORIGIN", VALUE_ORIGINS, cors_origin,
         "let web pages of this origin use the API from browsers; *: all (repeatable)"),
    LIST("allow-host", "NAME", VALUE_HOSTS, allow_host,
         "answer to this name too where there are no tokens, beside localhost and addresses "
         "(repeatable)"),
    FLAG("insecure-no-auth", insecure_no_auth,
         "without tokens, allow a listen address that other machines can reach"),
    SWITCH("access-log", access_log, "on", "log a line for each request when it has ended"),
    CHOICE("log", "FORMAT", log_format, NULL,
           "how standard error is written: text or json [text on a terminal, else json]",
           [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"),
    CHOICE("log-level", "LEVEL", log_level, "info",
           "how much is logged: error, warn, info or debug", [LOG_LEVEL_ERROR] = "error",
           [LOG_LEVEL_WARN] = "warn", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug"),
    SPECIAL("config", "FILE", VALUE_CONFIG, config_file, NULL,
            "file with more options, a line `name = value` each"),
    ACTION("check-config", CONFIG_CHECK,
           "check all options and files, show what is in force and exit"),
    ACTION("healthcheck", CONFIG_ASK_HEALTH,
           "ask the daemon at --listen whether it lives; exit with 0 or 1"),
    ACTION("help", CONFIG_SHOW_HELP, "show this and exit"),
    ACTION("version", CONFIG_SHOW_VERSION, "show the version and exit"),
};

enum { OPTIONS = sizeof options / sizeof options[0] };

/* The table writes enums as unsigned. */
static_assert(sizeof(enum log_format) == sizeof(unsigned) &&
                  sizeof(enum log_level) == sizeof(unsigned),
              "an enum is as large as unsigned");

/* -- where values come from -------------------------------------------------------------------- */

size_t config_options(const struct option_spec **ret)
{
    *ret = options;
    return OPTIONS;
}

static const struct option_spec *option_named(struct bytes name)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (bytes_equal(name, bytes_cstr(options[i].name)))
            return &options[i];
    }
    return NULL;
}

static bool reads_on(const struct config *config)
{
    return config->action != CONFIG_SHOW_HELP && config->action != CONFIG_SHOW_VERSION;
}

/* Reads argv, up to --help or --version, and marks in `seen` what it met. */
static int read_arguments(struct config *config, int argc, char **argv, bool seen[static OPTIONS],
                          char *message)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    for (int i = 1; i < argc && reads_on(config); i++) {
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0')
            return config_refuse(message, "skimd: %s: not an option; skimd --help lists them",
                                 problem_quote(quoted, bytes_cstr(argv[i])));

        struct bytes value = bytes_cstr(argv[i] + 2);
        struct bytes name = bytes_split(&value, '=');
        const struct option_spec *option = option_named(name);
        char source[32];

        if (!option)
            return config_refuse(message, "skimd: %s: no such option; skimd --help lists them",
                                 problem_quote(quoted, bytes_of(argv[i], name.len + 2)));
        snprintf(source, sizeof source, "--%s", option->name);
        if (option->kind == VALUE_SECRET)
            return config_refuse(message,
                                 "skimd: %s: everyone on this machine could read it there; use "
                                 "--token-file, or SKIMD_TOKEN in the environment",
                                 source);
        if (!option->argument && value.ptr)
            return config_refuse(message, "skimd: %s takes no value", source);
        if (!option->argument)
            value = BYTES("on");
        else if (!value.ptr && ++i < argc)
            value = bytes_cstr(argv[i]);
        else if (!value.ptr)
            return config_refuse(message, "skimd: %s needs a value: %s %s", source, source,
                                 option->argument);

        seen[option - options] = true;
        int error = config_set_value(config, &(struct setting){option, source, value, message});
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

/* Gives what the command line left open its value of the environment, and marks it. */
static int read_environment(struct config *config, char **envp, bool seen[static OPTIONS],
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
            continue;
        seen[i] = true;
        int error =
            config_set_value(config, &(struct setting){option, source, bytes_cstr(value), message});
        if (error < 0)
            return error;
    }
    return 0;
}

/* What is read from the file, and into what. */
struct reading {
    struct config *config;
    struct config overruled;   /* for values that are only looked at */
    const bool *seen;          /* what the command line or the environment said */
    unsigned line_of[OPTIONS]; /* where an option was met first; 0: nowhere yet */
    struct config_file file;
    char *message;
};

static bool is_list(const struct option_spec *option)
{
    return option->kind == VALUE_NETS || option->kind == VALUE_PORTS ||
           option->kind == VALUE_ORIGINS || option->kind == VALUE_HOSTS ||
           option->kind == VALUE_SERVERS;
}

static int read_setting(struct reading *r, struct bytes name, struct bytes value)
{
    const struct option_spec *option = option_named(name);
    char quoted[PROBLEM_QUOTE_SIZE], source[CONFIG_MESSAGE_SIZE / 2];

    if (option && option->kind == VALUE_SECRET)
        return config_refuse(r->message,
                             "skimd: %.200s:%u: %s: it would have to be kept as secret as a "
                             "--token-file, which is where it belongs",
                             r->file.path, r->file.line, option->name);
    if (!option || option->kind == VALUE_ACTION || option->kind == VALUE_CONFIG)
        return config_refuse(r->message, "skimd: %.200s:%u: %s: %s; skimd --help lists the options",
                             r->file.path, r->file.line, problem_quote(quoted, name),
                             option ? "has no place in a file" : "no such option");

    unsigned *line = &r->line_of[option - options];
    snprintf(source, sizeof source, "%.200s:%u: %s", r->file.path, r->file.line, option->name);
    if (*line && !is_list(option))
        return config_refuse(
            r->message, "skimd: %s stands in line %u already; one of them is right", source, *line);
    *line = r->file.line;
    return config_set_value(r->seen[option - options] ? &r->overruled : r->config,
                            &(struct setting){option, source, value, r->message});
}

/* Gives what is still open its values of the file, and marks them. */
static int read_file(struct config *config, bool seen[static OPTIONS], char *message)
{
    struct reading r = {.config = config, .seen = seen, .message = message};
    struct bytes name, value;
    int rc = config_file_open(&r.file, config->config_file, message);

    if (rc < 0)
        return rc;
    config->file_text = r.file.text;
    while ((rc = config_file_next(&r.file, &name, &value, message)) > 0 &&
           (rc = read_setting(&r, name, value)) == 0) {
    }
    for (size_t i = 0; i < OPTIONS; i++)
        seen[i] = seen[i] || r.line_of[i];
    config_free(&r.overruled);
    return rc;
}

static int set_defaults(struct config *config, const bool seen[static OPTIONS], char *message)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option_spec *option = &options[i];

        if (seen[i] || !option->initial)
            continue;
        int error = config_set_value(
            config, &(struct setting){option, option->name, bytes_cstr(option->initial), message});
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

bool config_listens_on_loopback(const struct config *config)
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

static bool asks_for_tokens(const struct config *config)
{
    return config->token_file || config->token;
}

/* 0, or -EINVAL where others could reach the address and nothing would stop them. */
static int refuse_exposure(const struct config *config, const char *source, char *message)
{
    if (config_listens_on_loopback(config) || asks_for_tokens(config) || config->insecure_no_auth)
        return 0;
    return config_refuse(message,
                         "skimd: %s: other machines could reach this address and nothing asks "
                         "callers who they are; give it a --token-file, listen on 127.0.0.1 or "
                         "[::1], or add --insecure-no-auth",
                         source);
}

/* 0, or -EINVAL where the ceiling cannot hold what there is without any batch. */
static int refuse_ceiling(const struct config *config, char *message)
{
    uint64_t least = memory_least(config->workers, config->max_page_bytes);

    if (config->max_memory == 0 || config->max_memory >= least) /* MEMORY_AUTO is */
        return 0;
    return config_refuse(message,
                         "skimd: --max-memory: %llu bytes cannot hold the daemon, %llu workers and "
                         "a page of --max-page-bytes for each: %lluM is the least; fewer --workers "
                         "need less",
                         (unsigned long long)config->max_memory,
                         (unsigned long long)config->workers, (unsigned long long)(least >> 20));
}

int config_replace_listen(struct config *config, const struct sockaddr_storage *address,
                          socklen_t len, char message[static CONFIG_MESSAGE_SIZE])
{
    config->listen = *address;
    config->listen_len = len;
    return refuse_exposure(config, "the socket that was handed over", message);
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

    if (error == 0 && reads_on(&config))
        error = read_environment(&config, envp, seen, message);
    if (error == 0 && reads_on(&config) && config.config_file)
        error = read_file(&config, seen, message);
    if (error == 0 && reads_on(&config))
        error = set_defaults(&config, seen, message);
    if (error == 0 && reads_on(&config) && !config.tls_cert != !config.tls_key)
        error = config_refuse(message, "skimd: %s needs %s",
                              config.tls_cert ? "--tls-cert" : "--tls-key",
                              config.tls_cert ? "--tls-key" : "--tls-cert");
    if (error == 0 && (config.action == CONFIG_RUN || config.action == CONFIG_CHECK))
        error = refuse_exposure(&config, "--listen", message);
    if (error == 0 && (config.action == CONFIG_RUN || config.action == CONFIG_CHECK))
        error = refuse_ceiling(&config, message);
    if (error < 0) {
        config_free(&config);
        return error;
    }
    *ret = config;
    return 0;
}

static void free_texts(char ***texts, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free((*texts)[i]);
    free(*texts);
    *texts = NULL;
    *count = 0;
}

void config_free(struct config *config)
{
    free_texts(&config->cors_origin, &config->cors_origin_count);
    free_texts(&config->allow_host, &config->allow_host_count);
    free(config->allow_net);
    free(config->deny_net);
    free(config->allow_port);
    free(config->dns_servers);
    free(config->file_text);
    config->file_text = NULL;
    config->allow_net = config->deny_net = NULL;
    config->allow_port = NULL;
    config->dns_servers = NULL;
    config->allow_net_count = config->deny_net_count = config->allow_port_count = 0;
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
        char head[HELP_COLUMN + 1] = "  ", text[256];

        if (option->kind == VALUE_SECRET)
            environment_name(head + 2, sizeof head - 2, option->name);
        else
            snprintf(head, sizeof head, "  --%s%s%s", option->name, option->argument ? " " : "",
                     option->argument ? option->argument : "");
        buffer_printf(out, "%-*s", HELP_COLUMN, head);
        if (option->initial)
            snprintf(text, sizeof text, "%s [%s]", option->help, option->initial);
        else
            snprintf(text, sizeof text, "%s", option->help);
        write_wrapped(out, bytes_cstr(text));
    }
    buffer_text(out,
                "\nEvery option but the last four can stand in the environment, --per-host as\n"
                "SKIMD_PER_HOST, and all of them but --config and the token in the file, as\n"
                "`per-host = 6`. The command line wins, then the environment.\n");
}
