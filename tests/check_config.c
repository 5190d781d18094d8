#include "server/config/config.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 8 };

/* Reads words of a command line, NULL-terminated, and an environment. */
static int parse(struct config *ret, const char *const *words, const char *const *environment,
                 char *message)
{
    char storage[WORDS_MAX + 1][128] = {"skimd"};
    char *argv[WORDS_MAX + 2] = {storage[0]}, *none[] = {NULL};
    int argc = 1;

    for (; *words; words++, argc++) {
        ck_assert_int_le(argc, WORDS_MAX);
        snprintf(storage[argc], sizeof storage[argc], "%s", *words);
        argv[argc] = storage[argc];
    }
    union {
        const char *const *constant;
        char **given;
    } envp = {.constant = environment};
    message[0] = '\0';
    int error = config_parse(ret, argc, argv, environment ? envp.given : none, message);
    if (error == 0) /* they may point into `storage`; a test of their own looks at them */
        ret->user_agent = ret->proxy = ret->ca_file = NULL;
    return error;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_WORDS   ((const char *const[]){NULL})

static char message[CONFIG_MESSAGE_SIZE];

static struct config parsed(const char *const *words, const char *const *environment)
{
    struct config config;
    int error = parse(&config, words, environment, message);

    ck_assert_msg(error == 0, "%s", message);
    return config;
}

/* What is said of a command line that is wrong. */
static const char *message_of(const char *const *words)
{
    struct config config;

    ck_assert_int_eq(parse(&config, words, NULL, message), -EINVAL);
    return message;
}

START_TEST(the_defaults_are_those_of_the_api)
{
    struct config config = parsed(NO_WORDS, NULL);
    struct sockaddr_in address;

    memcpy(&address, &config.listen, sizeof address);
    ck_assert_int_eq(config.action, CONFIG_RUN);
    ck_assert_int_eq(address.sin_family, AF_INET);
    ck_assert_uint_eq(ntohl(address.sin_addr.s_addr), INADDR_LOOPBACK);
    ck_assert_uint_eq(ntohs(address.sin_port), 8080);
    ck_assert_uint_ge(config.workers, 1);
    ck_assert_uint_eq(config.concurrency, 256);
    ck_assert_uint_eq(config.per_host, 6);
    ck_assert_uint_eq(config.timeout_ms, 30000);
    ck_assert_uint_eq(config.connect_timeout_ms, 10000);
    ck_assert_uint_eq(config.max_page_bytes, 10485760);
    ck_assert_uint_eq(config.max_redirects, 10);
    ck_assert_uint_eq(config.retries, 2);
    ck_assert_uint_eq(config.max_batch_urls, 1000000);
    ck_assert_uint_eq(config.max_body_bytes, 268435456);
    ck_assert_uint_eq(config.max_batches, 2048);
    ck_assert_uint_eq(config.max_connections, 4096);
    ck_assert_uint_eq(config.max_memory, MEMORY_AUTO);
    ck_assert_uint_eq(config.grace_ms, 8000);
    ck_assert_uint_eq(config.header_timeout_ms, 10000);
    ck_assert_uint_eq(config.host_delay_ms, 0);
    ck_assert_uint_eq(config.low_speed_bytes, 32);
    ck_assert_uint_eq(config.low_speed_ms, 10000);
    ck_assert_uint_eq(config.allow_net_count, 0);
    ck_assert_uint_eq(config.deny_net_count, 0);
    ck_assert_uint_eq(config.allow_port_count, 0);
    ck_assert_ptr_null(config.dns_servers);
    ck_assert_int_eq(config.log_level, LOG_LEVEL_INFO);
    ck_assert(!config.insecure_no_auth);
    ck_assert_uint_eq(config.token_batches, 256);
    ck_assert_uint_eq(config.token_urls, 2000000);
    ck_assert(!config.allow_insecure);
    ck_assert(!config.robots);
    ck_assert(config.early_stop);
}
END_TEST

START_TEST(a_value_follows_its_option_or_an_equals_sign)
{
    struct config config = parsed(WORDS("--workers", "3", "--retries=0", "--log", "json"), NULL);

    ck_assert_uint_eq(config.workers, 3);
    ck_assert_uint_eq(config.retries, 0);
    ck_assert_int_eq(config.log_format, LOG_FORMAT_JSON);
}
END_TEST

START_TEST(the_command_line_wins_over_the_environment_and_that_over_the_default)
{
    static const char *const environment[] = {
        "PATH=/bin",      "SKIMD_WORKERS=7", "SKIMD_PER_HOST=9",
        "SKIMD_RETRIES=", "SKIMD_BINARY=x",  NULL};
    struct config config = parsed(WORDS("--workers=3"), environment);

    ck_assert_uint_eq(config.workers, 3);
    ck_assert_uint_eq(config.per_host, 9);
    ck_assert_uint_eq(config.retries, 2); /* an empty variable is none */
}
END_TEST

START_TEST(networks_repeat_on_the_command_line_and_have_commas_in_the_environment)
{
    static const char *const environment[] = {"SKIMD_ALLOW_NET=10.0.0.0/8, fd00::/8", NULL};
    struct config config = parsed(NO_WORDS, environment);

    ck_assert_uint_eq(config.allow_net_count, 2);
    ck_assert_int_eq(config.allow_net[0].family, AF_INET);
    ck_assert_int_eq(config.allow_net[1].family, AF_INET6);
    config_free(&config);

    config = parsed(WORDS("--allow-net", "127.0.0.0/8", "--allow-net=192.168.0.0/16"), environment);
    ck_assert_uint_eq(config.allow_net_count, 2);
    ck_assert_int_eq(config.allow_net[0].address[0], 127);
    ck_assert_uint_eq(config.allow_net[1].prefix_len, 16);
    config_free(&config);
}
END_TEST

START_TEST(denied_networks_are_a_list_of_their_own)
{
    static const char *const environment[] = {"SKIMD_DENY_NET=8.8.8.0/24,2001:db8::/32", NULL};
    struct config config = parsed(WORDS("--allow-net=10.0.0.0/8"), environment);

    ck_assert_uint_eq(config.allow_net_count, 1);
    ck_assert_uint_eq(config.deny_net_count, 2);
    ck_assert_int_eq(config.deny_net[0].address[0], 8);
    ck_assert_uint_eq(config.deny_net[1].prefix_len, 32);
    config_free(&config);
}
END_TEST

static void ck_ports(const struct config *config, const uint16_t *expected, size_t count)
{
    ck_assert_uint_eq(config->allow_port_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(config->allow_port[i], expected[i]);
}

START_TEST(ports_repeat_and_have_commas)
{
    static const char *const environment[] = {"SKIMD_ALLOW_PORT=81", NULL};
    struct config config =
        parsed(WORDS("--allow-port=8000, 1", "--allow-port", "65535"), environment);

    ck_ports(&config, (uint16_t[]){8000, 1, 65535}, 3);
    config_free(&config);
    ck_assert_uint_eq(config.allow_port_count, 0);
    config = parsed(NO_WORDS, environment);
    ck_ports(&config, (uint16_t[]){81}, 1);
    config_free(&config);
}
END_TEST

START_TEST(a_certificate_and_its_key_are_given_together)
{
    ck_assert_str_eq(message_of(WORDS("--tls-cert=c.pem")), "skimd: --tls-cert needs --tls-key");
    ck_assert_str_eq(message_of(WORDS("--tls-key=k.pem")), "skimd: --tls-key needs --tls-cert");
    ck_assert_str_eq(message_of(WORDS("--tls-key=k.pem", "--tls-cert=")),
                     "skimd: --tls-cert: \"\" is not the name of a file");
    parsed(WORDS("--tls-key=k.pem", "--tls-cert=c.pem"), NULL);
}
END_TEST

START_TEST(origins_repeat_and_have_commas)
{
    struct config config =
        parsed(WORDS("--cors-origin=https://a.example, *", "--cors-origin", "http://b:1"), NULL);

    ck_assert_uint_eq(config.cors_origin_count, 3);
    ck_assert_str_eq(config.cors_origin[0], "https://a.example");
    ck_assert_str_eq(config.cors_origin[1], "*");
    ck_assert_str_eq(config.cors_origin[2], "http://b:1");
    config_free(&config);
    ck_assert_uint_eq(config.cors_origin_count, 0);
}
END_TEST

START_TEST(names_of_the_daemon_repeat_and_have_commas)
{
    struct config config =
        parsed(WORDS("--allow-host=a.example, b", "--allow-host", "C.example"), NULL);

    ck_assert_uint_eq(config.allow_host_count, 3);
    ck_assert_str_eq(config.allow_host[0], "a.example");
    ck_assert_str_eq(config.allow_host[1], "b");
    ck_assert_str_eq(config.allow_host[2], "C.example");
    config_free(&config);
    ck_assert_uint_eq(config.allow_host_count, 0);
}
END_TEST

START_TEST(name_servers_are_one_text_in_which_each_has_its_port)
{
    static const char *const environment[] = {"SKIMD_DNS_SERVER=192.0.2.1, [::1]", NULL};
    struct config config =
        parsed(WORDS("--dns-server=127.0.0.1:5353,2001:DB8:0::1", "--dns-server", "[::1]:5300"),
               environment);

    ck_assert_str_eq(config.dns_servers, "127.0.0.1:5353,[2001:db8::1]:53,[::1]:5300");
    config_free(&config);
    ck_assert_ptr_null(config.dns_servers);
    config = parsed(NO_WORDS, environment);
    ck_assert_str_eq(config.dns_servers, "192.0.2.1:53,[::1]:53");
    config_free(&config);
}
END_TEST

static const char *const bad_servers[] = {
    "",        "a.example",          "192.0.2.1:", "192.0.2.1:0",    "192.0.2.1:65536",
    "[::1]:0", "[::1]5353",          "[::1",       "[192.0.2.1]:53", "fe80::1%lo",
    "127.1",   "192.0.2.1 192.0.2.2"};

START_TEST(a_name_server_is_an_address)
{
    struct config config;
    char expected[256];

    snprintf(expected, sizeof expected,
             "skimd: --dns-server: \"%s\" is not an address such as 192.0.2.1, 127.0.0.1:5353 or "
             "[::1]:53",
             bad_servers[_i]);
    ck_assert_int_eq(parse(&config,
                           WORDS("--dns-server=192.0.2.9", "--dns-server", bad_servers[_i]), NULL,
                           message),
                     -EINVAL);
    ck_assert_str_eq(message, expected);
}
END_TEST

START_TEST(a_switch_is_on_or_off)
{
    static const char *const environment[] = {"SKIMD_ROBOTS=on", "SKIMD_EARLY_STOP=0",
                                              "SKIMD_ALLOW_INSECURE=true", NULL};
    struct config config = parsed(WORDS("--robots", "on", "--early-stop=off"), NULL);

    ck_assert(config.robots);
    ck_assert(!config.early_stop);
    ck_assert(!config.allow_insecure);
    config = parsed(NO_WORDS, environment);
    ck_assert(config.robots);
    ck_assert(!config.early_stop);
    ck_assert(config.allow_insecure);
    config = parsed(WORDS("--robots=off", "--allow-insecure"), environment);
    ck_assert(!config.robots);
    ck_assert(config.allow_insecure);
}
END_TEST

static const struct {
    const char *word;
    uint64_t bytes;
} sizes[] = {
    {"--max-memory=0", 0},
    {"--max-memory=auto", MEMORY_AUTO},
    {"--max-memory=AUTO", MEMORY_AUTO},
    {"--max-memory=536870912", 536870912},
    {"--max-memory=524288K", 536870912},
    {"--max-memory=512M", 536870912},
    {"--max-memory=512m", 536870912},
    {"--max-memory=2G", UINT64_C(2) << 30},
    {"--max-memory=1t", UINT64_C(1) << 40},
};

START_TEST(a_ceiling_of_memory_is_a_size)
{
    ck_assert_uint_eq(parsed(WORDS(sizes[_i].word, "--workers=1"), NULL).max_memory,
                      sizes[_i].bytes);
}
END_TEST

START_TEST(politeness_and_patience_are_numbers)
{
    struct config config = parsed(
        WORDS("--host-delay-ms=3600000", "--low-speed-bytes=0", "--low-speed-ms=1000"), NULL);

    ck_assert_uint_eq(config.host_delay_ms, 3600000);
    ck_assert_uint_eq(config.low_speed_bytes, 0);
    ck_assert_uint_eq(config.low_speed_ms, 1000);
}
END_TEST

START_TEST(an_ipv6_address_stands_in_brackets)
{
    struct config config = parsed(WORDS("--listen", "[::1]:0"), NULL);
    struct sockaddr_in6 address;

    ck_assert_uint_eq(config.listen_len, sizeof address);
    memcpy(&address, &config.listen, sizeof address);
    ck_assert_int_eq(address.sin6_family, AF_INET6);
    ck_assert(IN6_IS_ADDR_LOOPBACK(&address.sin6_addr));
    ck_assert_uint_eq(address.sin6_port, 0);
}
END_TEST

static const char *const open_addresses[] = {"0.0.0.0:8080", "[::]:8080", "192.0.2.1:80",
                                             "[::ffff:192.0.2.1]:80"};

START_TEST(an_address_that_others_can_reach_needs_a_word)
{
    struct config config;

    ck_assert_int_eq(parse(&config, WORDS("--listen", open_addresses[_i]), NULL, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "skimd: --listen: "));
    ck_assert_ptr_nonnull(strstr(message, "--insecure-no-auth"));
    ck_assert_ptr_null(strchr(message, '\n'));

    config = parsed(WORDS("--listen", open_addresses[_i], "--insecure-no-auth"), NULL);
    ck_assert(config.insecure_no_auth);

    /* Whoever asks for tokens may. */
    ck_assert_ptr_nonnull(
        strstr(message_of(WORDS("--listen", open_addresses[_i])), "--token-file"));
    parsed(WORDS("--listen", open_addresses[_i], "--token-file=tokens"), NULL);
    parsed(WORDS("--listen", open_addresses[_i]),
           (const char *const[]){"SKIMD_TOKEN=0123456789abcdef", NULL});
}
END_TEST

START_TEST(a_token_stands_in_the_environment_only_and_is_never_shown)
{
    static const char *const environment[] = {"SKIMD_TOKEN=tooshort", NULL};
    struct config config;

    ck_assert_str_eq(message_of(WORDS("--token=0123456789abcdef")),
                     "skimd: --token: everyone on this machine could read it there; use "
                     "--token-file, or SKIMD_TOKEN in the environment");
    ck_assert_int_eq(parse(&config, NO_WORDS, environment, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "skimd: SKIMD_TOKEN: not a token: 16 to 512 "));
    ck_assert_ptr_null(strstr(message, "tooshort"));
}
END_TEST

START_TEST(the_whole_loopback_network_needs_no_word)
{
    parsed(WORDS("--listen=127.9.9.9:1"), NULL);
    parsed(WORDS("--listen=[::ffff:127.0.0.1]:1"), NULL);
}
END_TEST

START_TEST(a_flag_can_be_turned_on_by_the_environment)
{
    static const char *const on[] = {"SKIMD_LISTEN=0.0.0.0:1", "SKIMD_INSECURE_NO_AUTH=1", NULL};
    static const char *const off[] = {"SKIMD_LISTEN=0.0.0.0:1", "SKIMD_INSECURE_NO_AUTH=off", NULL};
    struct config config;

    parsed(NO_WORDS, on);
    ck_assert_int_eq(parse(&config, NO_WORDS, off, message), -EINVAL);
}
END_TEST

static const struct {
    const char *words[3];
    const char *message;
} mistakes[] = {
    {{"--workers", "many"}, "skimd: --workers: \"many\" is not a whole number from 1 to 256"},
    {{"--workers=0"}, "skimd: --workers: \"0\" is not a whole number from 1 to 256"},
    {{"--workers=257"}, "skimd: --workers: \"257\" is not a whole number from 1 to 256"},
    {{"--retries=-1"}, "skimd: --retries: \"-1\" is not a whole number from 0 to 20"},
    {{"--retries= 1"}, "skimd: --retries: \" 1\" is not a whole number from 0 to 20"},
    {{"--retries=18446744073709551617"},
     "skimd: --retries: \"18446744073709551617\" is not a whole number from 0 to 20"},
    {{"--retries="}, "skimd: --retries: \"\" is not a whole number from 0 to 20"},
    {{"--retries"}, "skimd: --retries needs a value: --retries N"},
    {{"--insecure-no-auth=yes"}, "skimd: --insecure-no-auth takes no value"},
    {{"--max-memory=512X"},
     "skimd: --max-memory: \"512X\" is not a size, such as 536870912, 512M or 2G, or 0 or auto"},
    {{"--max-memory=M"},
     "skimd: --max-memory: \"M\" is not a size, such as 536870912, 512M or 2G, or 0 or auto"},
    {{"--max-memory="},
     "skimd: --max-memory: \"\" is not a size, such as 536870912, 512M or 2G, or 0 or auto"},
    {{"--max-memory=16777216T"},
     "skimd: --max-memory: \"16777216T\" is not a size, such as 536870912, 512M or 2G, or 0 or "
     "auto"},
    {{"--max-memory=100M", "--workers=2"},
     "skimd: --max-memory: 104857600 bytes cannot hold the daemon, 2 workers and a page of "
     "--max-page-bytes for each: 190M is the least; fewer --workers need less"},
    {{"--robots"}, "skimd: --robots needs a value: --robots on|off"},
    {{"--robots", "maybe"}, "skimd: --robots: \"maybe\" is not on or off"},
    {{"--early-stop="}, "skimd: --early-stop: \"\" is not on or off"},
    {{"--allow-insecure=on"}, "skimd: --allow-insecure takes no value"},
    {{"--host-delay-ms=3600001"},
     "skimd: --host-delay-ms: \"3600001\" is not a whole number from 0 to 3600000"},
    {{"--low-speed-bytes=1073741825"},
     "skimd: --low-speed-bytes: \"1073741825\" is not a whole number from 0 to 1073741824"},
    {{"--low-speed-ms=999"},
     "skimd: --low-speed-ms: \"999\" is not a whole number from 1000 to 86400000"},
    {{"--allow-port=0"}, "skimd: --allow-port: \"0\" is not a port from 1 to 65535"},
    {{"--allow-port=80,65536"}, "skimd: --allow-port: \"65536\" is not a port from 1 to 65535"},
    {{"--allow-port=http"}, "skimd: --allow-port: \"http\" is not a port from 1 to 65535"},
    {{"--allow-port=81,"}, "skimd: --allow-port: \"\" is not a port from 1 to 65535"},
    {{"--deny-net=10.0.0.1/8"},
     "skimd: --deny-net: \"10.0.0.1/8\" is not a network such as 10.0.0.0/8 or fd00::/8, no bit "
     "set behind the prefix"},
    {{"--ca-file="}, "skimd: --ca-file: \"\" is not the name of a file"},
    {{"--tokens=x"}, "skimd: \"--tokens\": no such option; skimd --help lists them"},
    {{"--worker", "1"}, "skimd: \"--worker\": no such option; skimd --help lists them"},
    {{"urls.txt"}, "skimd: \"urls.txt\": not an option; skimd --help lists them"},
    {{"-w"}, "skimd: \"-w\": not an option; skimd --help lists them"},
    {{"--log=xml"}, "skimd: --log: \"xml\" is not one of text, json"},
    {{"--log-level=loud"}, "skimd: --log-level: \"loud\" is not one of error, warn, info, debug"},
    {{"--user-agent=a\r\nb"},
     "skimd: --user-agent: \"a\\x0d\\x0ab\" is not a header value: 1 to "
     "255 bytes without control characters"},
    {{"--allow-net=10.0.0.0/33"},
     "skimd: --allow-net: \"10.0.0.0/33\" is not a network such as "
     "10.0.0.0/8 or fd00::/8, no bit set behind the prefix"},
    {{"--allow-net="},
     "skimd: --allow-net: \"\" is not a network such as "
     "10.0.0.0/8 or fd00::/8, no bit set behind the prefix"},
    {{"--cors-origin=*,https://a.example/"},
     "skimd: --cors-origin: \"https://a.example/\" is not * or an origin such as "
     "https://app.example or http://localhost:3000, in lower case and without a path"},
    {{"--allow-host=a.example,b:80"},
     "skimd: --allow-host: \"b:80\" is not the name of a host such as scraper.example, without a "
     "port"},
    /* A good one before a bad one is freed. */
    {{"--allow-net=10.0.0.0/8", "--allow-net=x"},
     "skimd: --allow-net: \"x\" is not a network such as 10.0.0.0/8 or fd00::/8, no bit set "
     "behind the prefix"},
};

START_TEST(a_mistake_is_named_with_what_would_be_right)
{
    struct config config = {.retries = 77};

    ck_assert_int_eq(parse(&config, mistakes[_i].words, NULL, message), -EINVAL);
    ck_assert_str_eq(message, mistakes[_i].message);
    ck_assert_uint_eq(config.retries, 77); /* untouched */
}
END_TEST

static const char *const bad_addresses[] = {
    "8080",         "127.0.0.1",      "127.0.0.1:",      "127.0.0.1:x",  "127.0.0.1:65536",
    ":8080",        "[::1]",          "::1:80",          "[::1:80",      "127.1:80",
    "localhost:80", "[127.0.0.1]:80", "[fe80::1%lo]:80", "127.0.0.1:-1", "[]:80"};

START_TEST(an_address_without_its_parts_is_refused_with_an_example)
{
    struct config config;

    ck_assert_int_eq(parse(&config, WORDS("--listen", bad_addresses[_i]), NULL, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, bad_addresses[_i]));
    ck_assert_ptr_nonnull(strstr(message, "such as 127.0.0.1:8080 or [::1]:8080"));
}
END_TEST

START_TEST(a_mistake_in_the_environment_names_the_variable)
{
    static const char *const environment[] = {"SKIMD_MAX_PAGE_BYTES=big", NULL};
    struct config config;

    ck_assert_int_eq(parse(&config, NO_WORDS, environment, message), -EINVAL);
    ck_assert_str_eq(message, "skimd: SKIMD_MAX_PAGE_BYTES: \"big\" is not a whole number from 1 "
                              "to 1073741824");
}
END_TEST

START_TEST(help_and_version_end_the_reading)
{
    static const char *const environment[] = {"SKIMD_WORKERS=many", NULL};
    struct config config = parsed(WORDS("--help", "--nonsense"), environment);

    ck_assert_int_eq(config.action, CONFIG_SHOW_HELP);
    config = parsed(WORDS("--allow-net=10.0.0.0/8", "--version"), NULL);
    ck_assert_int_eq(config.action, CONFIG_SHOW_VERSION);
    config_free(&config);
}
END_TEST

START_TEST(the_user_agent_is_the_one_given)
{
    char name[] = "skimd", option[] = "--user-agent=Probe/1 (+https://probe.example)";
    char *argv[] = {name, option, NULL}, *none[] = {NULL};
    struct config config;

    ck_assert_int_eq(config_parse(&config, 2, argv, none, message), 0);
    ck_assert_str_eq(config.user_agent, "Probe/1 (+https://probe.example)");
    ck_assert_int_eq(config_parse(&config, 1, argv, none, message), 0);
    ck_assert_int_eq(strncmp(config.user_agent, "skimd/", 6), 0);
}
END_TEST

static const char *const proxies[] = {"http://proxy.example:3128", "HTTPS://u:p@proxy.example",
                                      "socks4a://[::1]:1080", "socks5h://127.0.0.1"};

START_TEST(a_proxy_and_a_ca_file_are_the_ones_given)
{
    char name[] = "skimd", file[] = "--ca-file=/etc/ssl/own.pem", proxy[128];
    char *argv[] = {name, proxy, file, NULL}, *none[] = {NULL};
    struct config config;

    snprintf(proxy, sizeof proxy, "--proxy=%s", proxies[_i]);
    ck_assert_int_eq(config_parse(&config, 3, argv, none, message), 0);
    ck_assert_str_eq(config.proxy, proxies[_i]);
    ck_assert_str_eq(config.ca_file, "/etc/ssl/own.pem");
    ck_assert_int_eq(config_parse(&config, 1, argv, none, message), 0);
    ck_assert_ptr_null(config.proxy);
    ck_assert_ptr_null(config.ca_file);
}
END_TEST

/* socks4:// and socks5:// have libcurl look names up. */
static const char *const bad_proxies[] = {"",
                                          "proxy.example:3128",
                                          "socks4://127.0.0.1",
                                          "socks5://127.0.0.1",
                                          "ftp://127.0.0.1",
                                          "http://",
                                          "http:///x",
                                          "http://u:secret@a b",
                                          "http://a\x7f",
                                          "http://\xc3\xbc.example"};

START_TEST(another_kind_of_proxy_is_refused_and_not_shown)
{
    struct config config;

    ck_assert_int_eq(parse(&config, WORDS("--proxy", bad_proxies[_i]), NULL, message), -EINVAL);
    ck_assert_str_eq(message, "skimd: --proxy: not the URL of an http, https, socks4a or socks5h "
                              "proxy, such as http://proxy.example:3128");
}
END_TEST

START_TEST(help_names_every_option_within_80_columns)
{
    static const char *const names[] = {"listen",
                                        "workers",
                                        "concurrency",
                                        "per-host",
                                        "host-delay-ms",
                                        "timeout-ms",
                                        "connect-timeout-ms",
                                        "low-speed-bytes",
                                        "low-speed-ms",
                                        "max-page-bytes",
                                        "max-redirects",
                                        "retries",
                                        "user-agent",
                                        "robots",
                                        "early-stop",
                                        "allow-net",
                                        "deny-net",
                                        "allow-port",
                                        "dns-server",
                                        "proxy",
                                        "ca-file",
                                        "allow-insecure",
                                        "max-batch-urls",
                                        "max-body-bytes",
                                        "max-batches",
                                        "max-connections",
                                        "max-memory",
                                        "drain-delay-ms",
                                        "grace-ms",
                                        "header-timeout-ms",
                                        "token-file",
                                        "token-batches",
                                        "token-urls",
                                        "tls-cert",
                                        "tls-key",
                                        "cors-origin",
                                        "allow-host",
                                        "insecure-no-auth",
                                        "log",
                                        "log-level",
                                        "access-log",
                                        "config",
                                        "check-config",
                                        "healthcheck",
                                        "help",
                                        "version"};
    struct buffer help = {0};
    char option[64];

    config_help(&help);
    ck_assert(!help.failed);
    struct bytes rest = buffer_bytes(&help);
    while (rest.len > 0) {
        struct bytes line = bytes_split(&rest, '\n');
        ck_assert_msg(line.len <= 80, "%.*s", (int)line.len, line.ptr);
        ck_assert(line.len == 0 || line.ptr[line.len - 1] != ' ');
    }
    buffer_byte(&help, '\0');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(option, sizeof option, "\n  --%s ", names[i]);
        ck_assert_msg(strstr(help.ptr, option) != NULL, "%s", option);
    }
    ck_assert_ptr_nonnull(strstr(help.ptr, "\n  SKIMD_TOKEN "));
    ck_assert_ptr_nonnull(strstr(help.ptr, "[127.0.0.1:8080]"));
    buffer_free(&help);
}
END_TEST

Suite *suite_config(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");

    tcase_add_test(tests, the_defaults_are_those_of_the_api);
    tcase_add_test(tests, a_value_follows_its_option_or_an_equals_sign);
    tcase_add_test(tests, the_command_line_wins_over_the_environment_and_that_over_the_default);
    tcase_add_test(tests, networks_repeat_on_the_command_line_and_have_commas_in_the_environment);
    tcase_add_test(tests, denied_networks_are_a_list_of_their_own);
    tcase_add_test(tests, ports_repeat_and_have_commas);
    tcase_add_test(tests, a_certificate_and_its_key_are_given_together);
    tcase_add_test(tests, origins_repeat_and_have_commas);
    tcase_add_test(tests, names_of_the_daemon_repeat_and_have_commas);
    tcase_add_test(tests, name_servers_are_one_text_in_which_each_has_its_port);
    tcase_add_loop_test(tests, a_name_server_is_an_address, 0,
                        sizeof bad_servers / sizeof bad_servers[0]);
    tcase_add_test(tests, a_switch_is_on_or_off);
    tcase_add_loop_test(tests, a_ceiling_of_memory_is_a_size, 0, sizeof sizes / sizeof sizes[0]);
    tcase_add_test(tests, politeness_and_patience_are_numbers);
    tcase_add_loop_test(tests, a_proxy_and_a_ca_file_are_the_ones_given, 0,
                        sizeof proxies / sizeof proxies[0]);
    tcase_add_loop_test(tests, another_kind_of_proxy_is_refused_and_not_shown, 0,
                        sizeof bad_proxies / sizeof bad_proxies[0]);
    tcase_add_test(tests, an_ipv6_address_stands_in_brackets);
    tcase_add_loop_test(tests, an_address_that_others_can_reach_needs_a_word, 0,
                        sizeof open_addresses / sizeof open_addresses[0]);
    tcase_add_test(tests, a_token_stands_in_the_environment_only_and_is_never_shown);
    tcase_add_test(tests, the_whole_loopback_network_needs_no_word);
    tcase_add_test(tests, a_flag_can_be_turned_on_by_the_environment);
    tcase_add_loop_test(tests, a_mistake_is_named_with_what_would_be_right, 0,
                        sizeof mistakes / sizeof mistakes[0]);
    tcase_add_loop_test(tests, an_address_without_its_parts_is_refused_with_an_example, 0,
                        sizeof bad_addresses / sizeof bad_addresses[0]);
    tcase_add_test(tests, a_mistake_in_the_environment_names_the_variable);
    tcase_add_test(tests, help_and_version_end_the_reading);
    tcase_add_test(tests, the_user_agent_is_the_one_given);
    tcase_add_test(tests, help_names_every_option_within_80_columns);
    suite_add_tcase(suite, tests);
    return suite;
}
