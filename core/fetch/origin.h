/*
 * Origins: what is known of each that is asked, waited for, or worth remembering. The schedule's.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_ORIGIN_H
#define SKIMD_FETCH_ORIGIN_H

#include "core/async/loop.h"
#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/base/rotation.h"
#include "core/fetch/address.h"
#include "core/fetch/health.h"

#define HASH_FUNCTION(key, length, ret_hash) HASH_KEYED(key, length, ret_hash)
#define HASH_NONFATAL_OOM                    1 /* what could not be added has no hh.tbl */
#include <uthash.h>

/* Origins that nobody uses and that are remembered; the longest unused go first. */
enum { ORIGINS_REMEMBERED = 16384 };

struct origin {
    UT_hash_handle hh;
    struct list idle; /* in origins.idle while nobody uses it */
    unsigned users;

    /* lane.c's, room.c's and schedule.c's */
    struct schedule *schedule;
    struct rotation parked; /* lanes that wait for room here */
    struct timer timer;     /* the end of a wait: unparks */
    struct health health;
    struct address address; /* that answered; AF_UNSPEC: not chosen */
    uint64_t next_start_ns;
    unsigned active; /* turns */
    unsigned called; /* lanes that left `parked` for the room there is, and have not come yet */
    size_t queued;   /* tickets, and URLs of open lanes */

    char key[]; /* "https://a.example:443" */
};

struct origins {
    struct origin *table;
    struct list idle;
    size_t idle_count;
};

void origins_init(struct origins *all);

/* Frees what is remembered. Nobody may use one. */
void origins_free(struct origins *all);

/* The origin `key`, made if need be; ends with origin_put. NULL when memory is exhausted. */
struct origin *origin_get(struct origins *all, const char *key);
void origin_put(struct origins *all, struct origin *o);

#endif
