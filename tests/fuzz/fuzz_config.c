/*
 * The command line and the environment: input is strings with a NUL between them, of which those
 * that begin with SKIMD_ are variables and the others arguments. A refusal is one line that can be
 * printed; what is accepted can be run with, and written.
 */
#include "server/access/token.h"
#include "server/batch/options.h"
#include "server/config/config.h"
#include "server/config/endpoint.h"
#include "tests/fuzz/fuzz.h"

enum { STRINGS_MAX = 32 };

/* Each server of the list is written as it would be written again. */
static void check_servers(const char *text)
{
    struct bytes rest = bytes_cstr(text);
    struct sockaddr_storage address;
    socklen_t len;

    do {
        struct bytes server = bytes_split(&rest, ',');
        struct buffer again = {0};

        FUZZ_CHECK(endpoint_parse(server, ENDPOINT_NO_DEFAULT, &address, &len));
        endpoint_write(&again, &address);
        FUZZ_CHECK(bytes_equal(buffer_bytes(&again), server));
        buffer_free(&again);
    } while (rest.ptr);
}

static void check_config(const struct config *config)
{
    struct batch_options options;
    struct guard *guard;

    FUZZ_CHECK(config->workers >= 1 && config->workers <= 256 && config->concurrency >= 1);
    FUZZ_CHECK(config->per_host >= 1 && config->timeout_ms >= 1 && config->max_body_bytes >= 1);
    FUZZ_CHECK(config->max_body_bytes <= UINT32_MAX); /* url_entry counts in 32 bits */
    FUZZ_CHECK(config->listen.ss_family == AF_INET || config->listen.ss_family == AF_INET6);
    FUZZ_CHECK(config_user_agent_valid(bytes_cstr(config->user_agent)));
    FUZZ_CHECK(config->host_delay_ms <= 3600000 && config->low_speed_ms >= 1000);
    FUZZ_CHECK(guard_new(&(struct guard_options){.allow = config->allow_net,
                                                 .deny = config->deny_net,
                                                 .allow_count = config->allow_net_count,
                                                 .deny_count = config->deny_net_count,
                                                 .ports = config->allow_port,
                                                 .port_count = config->allow_port_count},
                         &guard) == 0);
    guard_free(guard);
    FUZZ_CHECK(!config->proxy || strstr(config->proxy, "://"));
    FUZZ_CHECK(!config->ca_file || config->ca_file[0]);
    FUZZ_CHECK(!config->tls_cert == !config->tls_key);
    FUZZ_CHECK(!config->token || token_valid(bytes_cstr(config->token)));
    for (size_t i = 0; i < config->cors_origin_count; i++)
        FUZZ_CHECK(fuzz_is_line(bytes_cstr(config->cors_origin[i])) &&
                   !strpbrk(config->cors_origin[i], " \t,"));
    if (config->dns_servers)
        check_servers(config->dns_servers);
    options_init(&options, config);
    FUZZ_CHECK(strcmp(options.user_agent, config->user_agent) == 0);
}

static void check_written(const struct config *config)
{
    struct buffer text = {0};

    config_write(&text, config);
    FUZZ_CHECK(!text.failed && text.len > 0 && text.ptr[text.len - 1] == '\n');
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *argv[STRINGS_MAX + 2] = {"skimd"}, *envp[STRINGS_MAX + 1] = {0};
    char message[CONFIG_MESSAGE_SIZE] = "";
    struct config config = {.workers = 12345};
    int argc = 1, variables = 0;

    FUZZ_CHECK(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; at < text + size && argc + variables < STRINGS_MAX;
         at += strlen(at) + 1) {
        if (strncmp(at, "SKIMD_", 6) == 0)
            envp[variables++] = at;
        else
            argv[argc++] = at;
    }
    if (config_parse(&config, argc, argv, envp, message) < 0) {
        struct bytes line = bytes_cstr(message);
        FUZZ_CHECK(strncmp(message, "skimd: ", 7) == 0 && line.len < CONFIG_MESSAGE_SIZE - 1);
        FUZZ_CHECK(fuzz_is_line(line) && utf8_valid(line) && config.workers == 12345);
    } else if (config.action == CONFIG_RUN || config.action == CONFIG_CHECK) {
        check_config(&config);
        check_written(&config);
        config_free(&config);
    } else {
        config_free(&config);
    }
    free(text);
    return 0;
}
