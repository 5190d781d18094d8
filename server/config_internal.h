/*
 * What config.c, which has the table of options, and config_value.c, which reads their values, know
 * together. For nobody else.
 */
#ifndef SKIMD_SERVER_CONFIG_INTERNAL_H
#define SKIMD_SERVER_CONFIG_INTERNAL_H

#include "server/config.h"

enum value_kind {
    VALUE_NUMBER,  /* uint64_t, from minimum to maximum */
    VALUE_CHOICE,  /* an enum: the place of the word in `choices` */
    VALUE_FLAG,    /* bool; takes no value on the command line */
    VALUE_SWITCH,  /* bool; takes one */
    VALUE_ADDRESS, /* listen, listen_len */
    VALUE_AGENT,   /* a text that can be sent as a User-Agent */
    VALUE_FILE,    /* a text that is not empty */
    VALUE_PROXY,   /* a text that is a proxy's URL */
    VALUE_SECRET,  /* a bearer token; only in the environment, which others cannot list */
    /* Repeatable, and a list with commas: */
    VALUE_NETS,    /* an array of struct net */
    VALUE_PORTS,   /* an array of uint16_t */
    VALUE_ORIGINS, /* an array of owned texts */
    VALUE_SERVERS, /* an owned text */
    VALUE_ACTION   /* action becomes `minimum`; not in the environment */
};

struct option_spec {
    const char *name;     /* without the dashes */
    const char *argument; /* as --help shows it; NULL: takes none */
    enum value_kind kind;
    size_t offset; /* into struct config; of an array: of the pointer to it */
    size_t count;  /* VALUE_NETS, VALUE_PORTS, VALUE_ORIGINS: of the array's length */
    uint64_t minimum, maximum;
    const char *initial; /* the default, as it would be written; NULL: none or found out */
    const char *help;
    const char *choices[5]; /* NULL-terminated */
};

/* One value on its way into the configuration. */
struct setting {
    const struct option_spec *option;
    const char *source; /* how the user wrote it: "--workers" or "SKIMD_WORKERS" */
    struct bytes value;
    char *message; /* CONFIG_MESSAGE_SIZE bytes */
};

/* Writes the message, whose quotations are problem_quote's. Returns -EINVAL. */
int config_refuse(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts the value where it belongs. 0, or -EINVAL or -ENOMEM with the message written. */
int config_set_value(struct config *config, const struct setting *s);

#endif
