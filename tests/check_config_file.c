/* The configuration file, and what --check-config writes. */
#include "server/config/config.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 8 };

static char path[64], message[CONFIG_MESSAGE_SIZE];

static void make_file(void)
{
    snprintf(path, sizeof path, "/tmp/skimd-config-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void remove_file(void)
{
    unlink(path);
}

static void write_file(const char *text, size_t len)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

/* Reads the file with `text` in it, below words (NULL-terminated) and an environment. */
static int parse(struct config *ret, const char *text, const char *const *words,
                 const char *const *environment)
{
    static const char *argv[WORDS_MAX + 4], *const none[] = {NULL};
    int argc = 0;

    write_file(text, strlen(text));
    argv[argc++] = "skimd";
    argv[argc++] = "--config";
    argv[argc++] = path;
    for (; words && *words && argc < WORDS_MAX + 3; words++)
        argv[argc++] = *words;
    argv[argc] = NULL;
    message[0] = '\0';
    return config_parse(ret, argc, (char **)(uintptr_t)argv,
                        (char **)(uintptr_t)(environment ? environment : none), message);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct config parsed(const char *text, const char *const *words,
                            const char *const *environment)
{
    struct config config;

    ck_assert_msg(parse(&config, text, words, environment) == 0, "%s", message);
    return config;
}

START_TEST(a_line_gives_an_option_its_value)
{
    struct config config = parsed("# a comment\n"
                                  "\n"
                                  "  # another\r\n"
                                  "workers = 3\n"
                                  "per-host=9\r\n"
                                  "\t robots\t=\ton \n"
                                  "user-agent = Probe/1 (#1 = first)\n"
                                  "ca-file = /etc/own.pem\n"
                                  "log-level = debug",
                                  NULL, NULL);

    ck_assert_int_eq(config.action, CONFIG_RUN);
    ck_assert_uint_eq(config.workers, 3);
    ck_assert_uint_eq(config.per_host, 9);
    ck_assert(config.robots);
    ck_assert_str_eq(config.user_agent, "Probe/1 (#1 = first)");
    ck_assert_str_eq(config.ca_file, "/etc/own.pem");
    ck_assert_int_eq(config.log_level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(config.retries, 2); /* the default */
    config_free(&config);
}
END_TEST

START_TEST(the_environment_wins_over_the_file_and_the_command_line_over_both)
{
    static const char *const environment[] = {"SKIMD_PER_HOST=5", "SKIMD_RETRIES=4",
                                              "SKIMD_ALLOW_PORT=85", NULL};
    struct config config = parsed("retries = 1\nper-host = 1\nworkers = 1\nallow-port = 81\n"
                                  "allow-net = 10.0.0.0/8\n",
                                  WORDS("--retries=6", "--allow-net=127.0.0.0/8"), environment);

    ck_assert_uint_eq(config.retries, 6);
    ck_assert_uint_eq(config.per_host, 5);
    ck_assert_uint_eq(config.workers, 1);
    ck_assert_uint_eq(config.allow_port_count, 1);
    ck_assert_uint_eq(config.allow_port[0], 85);
    ck_assert_uint_eq(config.allow_net_count, 1);
    ck_assert_int_eq(config.allow_net[0].address[0], 127);
    config_free(&config);
}
END_TEST

START_TEST(lists_have_several_lines)
{
    struct config config =
        parsed("allow-net = 10.0.0.0/8\ndns-server = 192.0.2.1\nallow-net = 127.0.0.0/8, fd00::/8\n"
               "dns-server = [::1]:5353\n",
               NULL, NULL);

    ck_assert_uint_eq(config.allow_net_count, 3);
    ck_assert_uint_eq(config.allow_net[2].prefix_len, 8);
    ck_assert_str_eq(config.dns_servers, "192.0.2.1:53,[::1]:5353");
    config_free(&config);
}
END_TEST

START_TEST(the_environment_can_name_the_file)
{
    char variable[sizeof path + 16], *envp[] = {variable, NULL}, name[] = "skimd",
                                     *argv[] = {name, NULL};
    struct config config;

    write_file(BYTES("workers = 7\n").ptr, strlen("workers = 7\n"));
    snprintf(variable, sizeof variable, "SKIMD_CONFIG=%s", path);
    ck_assert_int_eq(config_parse(&config, 1, argv, envp, message), 0);
    ck_assert_uint_eq(config.workers, 7);
    ck_assert_str_eq(config.config_file, path);
    config_free(&config);
}
END_TEST

START_TEST(an_empty_file_is_fine)
{
    struct config config = parsed("", NULL, NULL);

    ck_assert_uint_eq(config.concurrency, 256);
    config_free(&config);
}
END_TEST

/* What stands behind "skimd: FILE:". */
static const struct {
    const char *text, *message;
} mistakes[] = {
    {"workers = many", "1: workers: \"many\" is not a whole number from 1 to 256"},
    {"\n# x\nworkers = 0\n", "3: workers: \"0\" is not a whole number from 1 to 256"},
    {"workers = 4 # four", "1: workers: \"4 # four\" is not a whole number from 1 to 256"},
    {"retries = 1\nretries = 2", "2: retries stands in line 1 already; one of them is right"},
    {"wokers = 1", "1: \"wokers\": no such option; skimd --help lists the options"},
    {"--workers = 1", "1: \"--workers\": no such option; skimd --help lists the options"},
    {"= 1", "1: \"\": no such option; skimd --help lists the options"},
    {"config = x", "1: \"config\": has no place in a file; skimd --help lists the options"},
    {"help = on", "1: \"help\": has no place in a file; skimd --help lists the options"},
    {"token = 0123456789abcdef0123456789abcdef",
     "1: token: it would have to be kept as secret as a --token-file, which is where it belongs"},
    {"insecure-no-auth",
     "1: \"insecure-no-auth\" is not a line of the form name = value, such as per-host = 6"},
    {"robots = maybe", "1: robots: \"maybe\" is not on or off"},
    {"robots =", "1: robots: \"\" is not on or off"},
    {"listen = 8080",
     "1: listen: \"8080\" is not ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080"},
    {"allow-net = 10.0.0.0/8\nallow-net = 10.0.0.1/8",
     "2: allow-net: \"10.0.0.1/8\" is not a network such as 10.0.0.0/8 or fd00::/8, no bit set "
     "behind the prefix"},
    {"proxy = http://u:secret@a b",
     "1: proxy: not the URL of an http, https, socks4a or socks5h proxy, such as "
     "http://proxy.example:3128"},
    /* The command line says --per-host=2. */
    {"per-host = x", "1: per-host: \"x\" is not a whole number from 1 to 1024"},
};

START_TEST(a_mistake_is_named_with_its_line)
{
    struct config config = {.retries = 77};
    char expected[CONFIG_MESSAGE_SIZE];

    ck_assert_int_eq(parse(&config, mistakes[_i].text, WORDS("--per-host=2"), NULL), -EINVAL);
    snprintf(expected, sizeof expected, "skimd: %s:%s", path, mistakes[_i].message);
    ck_assert_str_eq(message, expected);
    ck_assert_uint_eq(config.retries, 77); /* untouched */
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_named)
{
    static const char *const files[] = {"/nowhere/skimd.conf", "/tmp"};
    static const char *const reasons[] = {"No such file", "Is a directory"};

    for (size_t i = 0; i < 2; i++) {
        struct config config;
        ck_assert_int_eq(parse(&config, "", WORDS("--config", files[i]), NULL), -EINVAL);
        ck_assert_ptr_nonnull(strstr(message, files[i]));
        ck_assert_msg(strstr(message, reasons[i]) != NULL, "%s", message);
    }
}
END_TEST

START_TEST(what_is_no_text_or_too_long_is_refused)
{
    char name[] = "skimd", option[] = "--config", *none[] = {NULL};
    char *argv[] = {name, option, path, NULL};
    size_t size = (1 << 20) + 1;
    char *large = calloc(1, size);
    struct config config;

    ck_assert_ptr_nonnull(large);
    write_file("workers = 1\0", sizeof "workers = 1\0");
    ck_assert_int_eq(config_parse(&config, 3, argv, none, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "it is no text"));
    memset(large, '\n', size);
    write_file(large, size);
    ck_assert_int_eq(config_parse(&config, 3, argv, none, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "File too large"));
    free(large);
}
END_TEST

/* -- what is in force -------------------------------------------------------------------------- */

static char *written(const struct config *config)
{
    struct buffer text = {0};

    config_write(&text, config);
    buffer_byte(&text, '\0');
    ck_assert(!text.failed);
    return buffer_take(&text, &(size_t){0});
}

START_TEST(what_is_in_force_is_a_file_that_says_the_same)
{
    struct config config = parsed("allow-net = 10.0.0.0/8, fd00::/8\nallow-port = 81,82\n"
                                  "proxy = http://proxy.example:3128\nrobots = on\n"
                                  "cors-origin = https://a.example, https://b.example\n"
                                  "allow-host = a.example, b.example\n",
                                  WORDS("--dns-server=::1", "--check-config", "--log=json",
                                        "--listen=[::1]:80", "--ca-file=/etc/own.pem"),
                                  NULL);
    char *first = written(&config);

    ck_assert_int_eq(config.action, CONFIG_CHECK);
    config_free(&config);
    ck_assert_ptr_nonnull(strstr(first, "listen = [::1]:80\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nallow-net = 10.0.0.0/8\nallow-net = fd00::/8\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nallow-port = 81\nallow-port = 82\n"));
    ck_assert_ptr_nonnull(strstr(first, "\ndns-server = [::1]:53\n"));
    ck_assert_ptr_nonnull(
        strstr(first, "\ncors-origin = https://a.example\ncors-origin = https://b.example\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nallow-host = a.example\nallow-host = b.example\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nproxy = http://proxy.example:3128\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nrobots = on\n"));
    ck_assert_ptr_nonnull(strstr(first, "\nlog = json\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n# deny-net =\n"));
    config = parsed(first, NULL, NULL);
    char *second = written(&config);
    ck_assert_str_eq(first, second);
    config_free(&config);
    free(first);
    free(second);
}
END_TEST

START_TEST(a_password_is_not_written)
{
    struct config config = parsed("proxy = http://u:secret@proxy.example\n", NULL, NULL);
    char *text = written(&config);

    ck_assert_ptr_null(strstr(text, "secret"));
    ck_assert_ptr_nonnull(strstr(text, "\n# proxy = (with a password, which is not shown)\n"));
    config_free(&config);
    free(text);
}
END_TEST

START_TEST(a_token_is_not_written)
{
    static const char *const environment[] = {"SKIMD_TOKEN=0123456789abcdef0123456789abcdef", NULL};
    struct config config = parsed("listen = 0.0.0.0:80\n", NULL, environment);
    char *text = written(&config);

    ck_assert_ptr_null(strstr(text, "0123456789abcdef"));
    config_free(&config);
    free(text);
}
END_TEST

START_TEST(a_certificate_of_the_file_needs_its_key)
{
    struct config config;

    ck_assert_int_eq(parse(&config, "tls-cert = /etc/skimd.pem\n", NULL, NULL), -EINVAL);
    ck_assert_str_eq(message, "skimd: --tls-cert needs --tls-key");
}
END_TEST

START_TEST(files_that_are_named_are_tried)
{
    struct config config = parsed("ca-file = /nowhere/own.pem\n", WORDS("--check-config"), NULL);

    ck_assert_int_eq(config_check(&config, message), -EINVAL);
    ck_assert_str_eq(message, "skimd: --ca-file: \"/nowhere/own.pem\" cannot be read: No such "
                              "file or directory");
    config.ca_file = "/tmp";
    ck_assert_int_eq(config_check(&config, message), -EINVAL);
    config.ca_file = path;
    ck_assert_int_eq(config_check(&config, message), 0);
    config_free(&config);
}
END_TEST

START_TEST(a_check_exits_0_or_2)
{
    char text[1024];

    write_file("workers = 1\n", strlen("workers = 1\n"));
    ck_assert_int_eq(daemon_run(WORDS("--config", path, "--check-config"), text, sizeof text), 0);
    ck_assert_str_eq(text, "");
    write_file("workers = x\n", strlen("workers = x\n"));
    ck_assert_int_eq(daemon_run(WORDS("--check-config", "--config", path), text, sizeof text), 2);
    ck_assert_msg(strstr(text, path) && strstr(text, ":1: workers: "), "%s", text);
    ck_assert_int_eq(
        daemon_run(WORDS("--check-config", "--ca-file", "/nowhere"), text, sizeof text), 2);
    ck_assert_msg(strstr(text, "/nowhere"), "%s", text);
    ck_assert_int_eq(/* and that no certificate */
                     daemon_run(WORDS("--check-config", "--ca-file", "/dev/null"), text,
                                sizeof text),
                     2);
    ck_assert_msg(strstr(text, "/dev/null"), "%s", text);
    ck_assert_int_eq(/* which has no token in it */
                     daemon_run(WORDS("--check-config", "--token-file", "/dev/null"), text,
                                sizeof text),
                     2);
    ck_assert_msg(strstr(text, "/dev/null"), "%s", text);
}
END_TEST

Suite *suite_config_file(void)
{
    Suite *suite = suite_create("config_file");
    TCase *tests = tcase_create("config_file");

    tcase_add_checked_fixture(tests, make_file, remove_file);
    tcase_add_test(tests, a_line_gives_an_option_its_value);
    tcase_add_test(tests, the_environment_wins_over_the_file_and_the_command_line_over_both);
    tcase_add_test(tests, lists_have_several_lines);
    tcase_add_test(tests, the_environment_can_name_the_file);
    tcase_add_test(tests, an_empty_file_is_fine);
    tcase_add_loop_test(tests, a_mistake_is_named_with_its_line, 0,
                        sizeof mistakes / sizeof mistakes[0]);
    tcase_add_test(tests, a_file_that_cannot_be_read_is_named);
    tcase_add_test(tests, what_is_no_text_or_too_long_is_refused);
    tcase_add_test(tests, what_is_in_force_is_a_file_that_says_the_same);
    tcase_add_test(tests, a_password_is_not_written);
    tcase_add_test(tests, a_token_is_not_written);
    tcase_add_test(tests, a_certificate_of_the_file_needs_its_key);
    tcase_add_test(tests, files_that_are_named_are_tried);
    tcase_add_test(tests, a_check_exits_0_or_2);
    suite_add_tcase(suite, tests);
    return suite;
}
