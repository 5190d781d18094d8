/*
 * What config.c, which has the table of options, value.c, which reads their values, file.c, which
 * reads lines of a file, and check.c, which writes values, know together. For nobody else.
 */
#ifndef SKIMD_SERVER_CONFIG_INTERNAL_H
#define SKIMD_SERVER_CONFIG_INTERNAL_H

#include "server/config/config.h"

enum value_kind {
    VALUE_NUMBER,  /* uint64_t, from minimum to maximum */
    VALUE_MEMORY,  /* uint64_t: a size, or MEMORY_AUTO */
    VALUE_CHOICE,  /* an enum: the place of the word in `choices` */
    VALUE_FLAG,    /* bool; takes no value on the command line */
    VALUE_SWITCH,  /* bool; takes one */
    VALUE_ADDRESS, /* listen, listen_len */
    VALUE_AGENT,   /* a text that can be sent as a User-Agent */
    VALUE_FILE,    /* a text that is not empty */
    VALUE_PROXY,   /* a text that is a proxy's URL */
    VALUE_SECRET,  /* a bearer token; only in the environment, which others cannot list */
    VALUE_CONFIG,  /* a text: the file that has more of these; not in that file */
    /* Repeatable, and a list with commas: */
    VALUE_NETS,    /* an array of struct net */
    VALUE_PORTS,   /* an array of uint16_t */
    VALUE_ORIGINS, /* an array of owned texts */
    VALUE_HOSTS,   /* an array of owned texts, too */
    VALUE_SERVERS, /* an owned text */
    VALUE_ACTION   /* action becomes `minimum`; not in the environment, nor in the file */
};

struct option_spec {
    const char *name;     /* without the dashes */
    const char *argument; /* as --help shows it; NULL: takes none */
    enum value_kind kind;
    size_t offset; /* into struct config; of an array: of the pointer to it */
    size_t count;  /* VALUE_NETS, _PORTS, _ORIGINS, _HOSTS: of the array's length */
    uint64_t minimum, maximum;
    const char *initial; /* the default, as it would be written; NULL: none or found out */
    const char *help;
    const char *choices[5]; /* NULL-terminated */
};

/* One value on its way into the configuration. */
struct setting {
    const struct option_spec *option;
    const char *source; /* how the user wrote it: "--workers", "SKIMD_WORKERS" or "F:7: workers" */
    struct bytes value;
    char *message; /* CONFIG_MESSAGE_SIZE bytes */
};

/* Writes the message, whose quotations are problem_quote's. Returns -EINVAL. */
int config_refuse(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts the value where it belongs. 0, or -EINVAL or -ENOMEM with the message written. */
int config_set_value(struct config *config, const struct setting *s);

/* The table. */
size_t config_options(const struct option_spec **ret);

/* -- file.c: the lines of a file --------------------------------------------------------------- */

enum { CONFIG_FILE_MAX = 1 << 20 }; /* bytes */

struct config_file {
    const char *path; /* borrowed */
    char *text;       /* owned by whoever takes it; values point into it */
    char *next;       /* the line that comes; NULL: none */
    unsigned line;    /* of the setting that was read last, from 1 */
};

/*
 * Reads the whole file. 0, or -EINVAL or -ENOMEM with the message written and nothing to free.
 * `path` must outlive the file's reading.
 */
int config_file_open(struct config_file *ret, const char *path, char *message);

/*
 * Reads on to the next `name = value`; blank lines and lines with # in front are skipped. 1 and
 * both, of which the value ends with a NUL in the file's text; 0 at the end; -EINVAL with the
 * message written.
 */
int config_file_next(struct config_file *file, struct bytes *ret_name, struct bytes *ret_value,
                     char *message);

#endif
