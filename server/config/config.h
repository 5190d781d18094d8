/*
 * The daemon's configuration: command line, then SKIMD_* environment, then one file, then defaults.
 *
 * One table in config.c says everything about an option: its name, value, range, default and help.
 * --max-page-bytes is SKIMD_MAX_PAGE_BYTES in the environment; an empty variable counts as unset
 * (compose files leave such), and variables that belong to no option are left alone. In the file,
 * which --config or SKIMD_CONFIG names, it is a line `max-page-bytes = 1000000`; a line that begins
 * with # is a comment, options that are lists may have several lines, and everything in it must be
 * right, also what the command line or the environment overrule. An option's values come from one
 * of the four alone: a list of the command line takes the place of the file's.
 */
#ifndef SKIMD_SERVER_CONFIG_CONFIG_H
#define SKIMD_SERVER_CONFIG_CONFIG_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "core/fetch/guard.h"
#include "server/log.h"

#include <stdint.h>
#include <sys/socket.h>

enum { CONFIG_MESSAGE_SIZE = 512, CONFIG_USER_AGENT_MAX = 255 };

/* The ceiling of memory is that of the control group: memory_watch.h. */
#define MEMORY_AUTO UINT64_MAX

enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,
    CONFIG_ASK_HEALTH,
    CONFIG_SHOW_HELP,
    CONFIG_SHOW_VERSION
};

/* Times in milliseconds, sizes in bytes. Numbers are uint64_t throughout: the table fills them. */
struct config {
    enum config_action action;
    struct sockaddr_storage listen;
    socklen_t listen_len;
    bool insecure_no_auth;
    const char *token_file; /* bearer tokens, one a line; NULL: none */
    const char *token;      /* one more; NULL: none */
    uint64_t token_batches; /* that one token may have under way; 0: any number */
    uint64_t token_urls;    /* of these batches together */

    const char *tls_cert, *tls_key; /* PEM files; both or neither */
    char **cors_origin;             /* owned, and so is each */
    size_t cors_origin_count;
    char **allow_host; /* owned, and so is each */
    size_t allow_host_count;

    uint64_t workers;
    uint64_t concurrency;
    uint64_t per_host;
    uint64_t host_delay_ms;
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms;
    uint64_t low_speed_bytes; /* a second; 0: a fetch may be as slow as it likes */
    uint64_t low_speed_ms;
    uint64_t max_page_bytes;
    uint64_t max_redirects;
    uint64_t retries;
    bool robots;
    bool early_stop;
    /* Texts are borrowed from argv, envp, file_text or static; what is owned says so. */
    const char *config_file; /* NULL: none */
    char *file_text;         /* owned */
    const char *user_agent;
    struct net *allow_net, *deny_net; /* owned */
    size_t allow_net_count, deny_net_count;
    uint16_t *allow_port; /* owned; host byte order, none is 0 */
    size_t allow_port_count;
    char *dns_servers;   /* owned; "127.0.0.1:5353,[::1]:53"; NULL: those of the system */
    const char *proxy;   /* URL, of a kind that looks names up itself; NULL: none */
    const char *ca_file; /* NULL: the certificates of the system */
    bool allow_insecure;

    uint64_t max_batch_urls;
    uint64_t max_body_bytes;
    uint64_t max_batches;
    uint64_t max_connections;
    uint64_t max_memory;     /* of the daemon and its workers; 0: any; MEMORY_AUTO */
    uint64_t drain_delay_ms; /* from SIGTERM to the drain */
    uint64_t grace_ms;
    uint64_t slow_callback_ms; /* 0: never warned of */
    uint64_t header_timeout_ms;

    bool access_log;
    enum log_format log_format;
    enum log_level log_level;
};

/*
 * Reads the command line (argv[0] is skipped), the environment (NULL-terminated "NAME=value") and
 * the file that one of them names. At --help or --version reading ends and only `action` is of use.
 * Returns 0, or -EINVAL / -ENOMEM with one line (no newline) in `message` that names what is wrong
 * (in the file: FILE:LINE) and what would be right; *ret is then untouched. `argv` and `envp` must
 * outlive the configuration. Asks the system for the number of CPUs and whether standard error is a
 * terminal, which are the defaults of two options.
 */
int config_parse(struct config *ret, int argc, char **argv, char **envp,
                 char message[static CONFIG_MESSAGE_SIZE]);

/*
 * Puts the address of a socket that was handed over in the place of --listen's. 0, or -EINVAL with
 * the message where --listen would be refused with it.
 */
int config_replace_listen(struct config *config, const struct sockaddr_storage *address,
                          socklen_t len, char message[static CONFIG_MESSAGE_SIZE]);

/* True when only this machine reaches the address that is listened on. */
bool config_listens_on_loopback(const struct config *config);

/* Frees what the configuration owns. */
void config_free(struct config *config);

/*
 * What --check-config does beside reading: tries whether the files that are named can be read. 0,
 * or -EINVAL with the message, as above.
 */
int config_check(const struct config *config, char message[static CONFIG_MESSAGE_SIZE]);

/*
 * Appends what is in force, in the file's own format and the table's order. What has no value
 * stands there as a comment, and so does a proxy with a password, which is not shown; tokens are
 * not even mentioned.
 */
void config_write(struct buffer *out, const struct config *config);

/* Appends the text of --help: at most 80 columns wide, made from the table. */
void config_help(struct buffer *out);

/*
 * True when `text` can be sent as a User-Agent: 1 to CONFIG_USER_AGENT_MAX bytes of an RFC 9110
 * section 5.5 field value, so no CR, LF, NUL or other control, no white space at either end.
 */
bool config_user_agent_valid(struct bytes text);

/* Reads a decimal number: digits only, no sign, no space. False when it is none or above 2^64-1. */
bool config_number(struct bytes text, uint64_t *ret);

/* The same with K, M, G or T behind it, of either case: powers of 1024. */
bool config_size(struct bytes text, uint64_t *ret);

#endif
