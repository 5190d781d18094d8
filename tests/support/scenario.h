/*
 * Scenarios: what a server does, and what the record of the daemon then says. Both are data.
 *
 * Each scenario has an origin of its own (an address in 127.0.0.0/8), so that what one of them does
 * to the daemon's picture of a host is nothing to the others, and many can share a batch. In URLs,
 * scripts, records and heads stand for that run's addresses:
 *
 *     {self} {other}   "127.101.0.7:PORT": the scenario's origins, as they have scripts
 *     {dead}           the same of an address where nobody listens
 *     {main}           "127.0.0.1:PORT": answers /page/N and what else stands in origin.h
 *     {port}           the port of them all
 */
#ifndef SKIMD_TESTS_SCENARIO_H
#define SKIMD_TESTS_SCENARIO_H

#include "tests/support/daemon.h"
#include "tests/support/origin_script.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The network of {self}; neither {other} nor {main} is in it. */
#define SELF_NET "127.101.0.0/16"

struct scenario {
    const char *name;         /* a sentence */
    const struct step *self;  /* the script of {self}; NULL: nobody listens there */
    const struct step *other; /* the same of {other} */
    const char *url;          /* NULL: "http://{self}/"; several have a '\n' in between */

    /*
     * What each record of the scenario has among its fields: JSON without the outer braces and with
     * ' for " ("'status':'ok','http_status':200").
     */
    const char *record;

    /*
     * What the record has instead for the time being, though `record` would be right; and what it
     * has besides where libcurl is as old as Debian 12's. Neither has to be: right is right.
     */
    const char *today, *today_7;

    /* Of what the origins saw; 0 and NULL: whatever it was. */
    const char *hears, *other_hears; /* stands in a request's head */
    const char *never, *other_never; /* stands in none */
    unsigned requests, connections;  /* at {self}, exactly */
    unsigned other_requests;         /* at {other}, exactly */
    bool nobody_connects_to_self, nobody_connects_to_other;

    bool on_ipv6; /* {self} is "[::1]:PORT", for one scenario; none on a machine without */
};

/* Scenarios of one batch. In its `record`s "(none)" is for a field that is not there. */
struct scenario_group {
    const char *name;
    const char *query; /* the batch's options, "?per_host=1"; NULL: none */
    const struct scenario *scenarios;
    size_t count;
    bool as_json; /* URLs as JSON strings, for those that are no line of a text */
};

#define SCENARIOS(title, options, array)                                                           \
    {                                                                                              \
        .name = (title), .query = (options), .scenarios = (array),                                 \
        .count = sizeof(array) / sizeof *(array)                                                   \
    }

/* Reads the answer to daemon_open_scrape() to its end and closes it. */
void scrape_finish(const struct daemon *skimd, int fd, struct records *ret);

/*
 * Starts an origin, a name server that knows no name, and a daemon with `arguments`
 * (NULL-terminated), runs the groups, each as a batch and all at the same time, and ends all three.
 * Fails the test with a list of the scenarios whose records are not what they should be. Returns
 * how many connections {main} has got.
 *
 * With SCENARIOS_SHOW in the environment the records are printed beside their scenarios, and which
 * of those that have a `today` are right already.
 */
uint64_t scenarios_run(const char *const *arguments, const struct scenario_group *const *groups,
                       size_t count);

#endif
