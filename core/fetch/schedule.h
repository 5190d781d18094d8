/*
 * Whose turn it is. Everything that waits to be fetched waits here, never inside libcurl, where
 * waiting transfers cost time.
 *
 *     flow (a batch) ─┬─ lane (its URLs at one origin) ─┬─ URLs of its plan, not begun yet
 *                     ├─ lane                           └─ tickets: redirects, retries
 *                     └─ lane
 *     origin ─── the lanes that wait for it; how it fares (health), when it may be asked next
 *
 * A turn is given to the flows in rotation, within a flow to its lanes in rotation, and at an
 * origin to the lanes that wait for it in rotation; newcomers among flows, and among the lanes of
 * an origin, come first (core/base/rotation.h), and a few turns and bytes beyond what others may
 * have are kept for them. So a batch of a million URLs of one origin keeps no other batch and no
 * other origin from theirs, and a batch that comes beside a thousand others waits for none of them.
 * What a turn costs depends neither on how many URLs wait nor on how many origins.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_SCHEDULE_H
#define SKIMD_FETCH_SCHEDULE_H

#include "core/async/future.h"
#include "core/base/bytes.h"
#include "core/base/list.h"
#include "core/fetch/address.h"
#include "core/fetch/health.h"
#include "core/fetch/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schedule;
struct flow;
struct lane;

struct schedule_options {
    unsigned concurrency; /* turns at a time, in all; the last 64th only for newcomers */
    unsigned per_origin;  /* and at one origin */
    uint64_t delay_ms;    /* between two turns at an origin */
    size_t hold_bytes;    /* while more are held (schedule_hold()) only newcomers get turns */
    /*
     * Whether there is room for one turn more, beside `active` of them and `held` bytes that bodies
     * and results hold (flow_hold()). It is asked before each, but for the only one: something
     * always goes on. When it may say otherwise than it did, schedule_look_again(). NULL: there is.
     */
    bool (*has_room)(void *arg, size_t active, size_t held);
    void *has_room_arg;
};

/* NULL when memory is exhausted. */
struct schedule *schedule_new(const struct schedule_options *options);

/* No flow may be left. NULL is fine. Returns NULL. */
struct schedule *schedule_free(struct schedule *s);

/* Accounts for memory that fetched bodies take (change > 0) or gave back (< 0). */
void schedule_hold(struct schedule *s, ptrdiff_t change);

/* There may be room for turns again. */
void schedule_look_again(struct schedule *s);

/* Turns that are taken now, tickets that wait, and bytes that bodies and results hold. */
size_t schedule_active(const struct schedule *s);
size_t schedule_waiting(const struct schedule *s);
size_t schedule_held(const struct schedule *s);

/* -- turns ------------------------------------------------------------------------------------- */

/*
 * A fetch's place in a queue, and then its turn; all zero: neither. It may be moved to another
 * place in memory while it is no waiting ticket.
 */
struct ticket {
    struct lane *lane;
    struct list link; /* in lane.tickets, until it has its turn */
    promise *promise;
    uint64_t asked_ns; /* when it was asked for: for a plan's URL, when the flow began */
    uint64_t begun_ns; /* when the turn came; 0: it has not */
};

/* How the time at an origin ended: what it tells of the origin's health. */
enum turn_end {
    TURN_UNUSED,   /* tells nothing */
    TURN_ANSWERED, /* with anything but: */
    TURN_REFUSED,  /* 429 or 503 */
    TURN_FAILED,   /* the origin could not be reached, or did not answer */
};

/*
 * Asks for a turn of `flow` at `origin` (copied). The future is ok when the turn has come; it fails
 * with FETCH_HOST_UNAVAILABLE (the detail is a text) when the origin is given up. Whatever becomes
 * of it, end with schedule_leave.
 */
future *schedule_enter(struct flow *flow, struct ticket *t, const char *origin);

/*
 * Gives the turn, or the place in the queue, back; nothing happens for a ticket without either.
 * `retry_after_s` (0: none) counts with TURN_REFUSED. True: the turn's origin is given up by now,
 * so that asking it again would fail at once.
 */
bool schedule_leave(struct ticket *t, enum turn_end end, uint64_t retry_after_s);

/* Whether the ticket's turn is one at `origin`. */
bool schedule_is_at(const struct ticket *t, const char *origin);

/* True when others wait for, or are at, the origin of this turn. */
bool schedule_has_company(const struct ticket *t);

/* What the flow's admission to the origin of this turn gave (flow_options.ask). Borrowed. */
const future *schedule_admission(const struct ticket *t);

/* The address of the origin that was found to answer; to be kept with it. */
struct address *schedule_address(const struct ticket *t);

/* -- flows ------------------------------------------------------------------------------------- */

/* Everything is borrowed until flow_free(). Functions may be NULL. */
struct flow_options {
    unsigned per_origin; /* turns of this flow at one origin; the schedule's own limit holds too */
    uint64_t delay_ms;   /* between two turns of this flow at an origin, at least */
    /*
     * Asked before the flow's first turn at an origin, and again when ADMISSION_MS are over: no
     * turn comes there until the future is settled, however it is. delay_ms: the pause between two
     * turns that follows from it.
     */
    future *(*ask)(void *arg, const char *origin);
    uint64_t (*ask_delay_ms)(void *arg, const future *admission);
    void *ask_arg;

    struct plan *plan; /* NULL: nothing but tickets. It is used up */
    /*
     * URLs of the plan that are begun and have not ended. Those of them that wait for a turn, at a
     * host that refuses, say, do not count, up to FLOW_WAITING_MOST, unless the plan is in order.
     */
    size_t window;
    size_t hold_bytes; /* and none is begun while the flow holds more: flow_hold(). 0: whatever it
                          holds */
    plan_url_fn *url;
    /*
     * The turn of URL `index` has come: `t`, which begin() takes over, or a ticket without a turn
     * where there is none to be had (no origin can be read off the URL, the origin is given up...):
     * the fetch will find out. flow_ended() must follow.
     */
    void (*begin)(void *arg, size_t index, struct ticket *t);
    void *arg;
};

enum { ADMISSION_MS = 3600000, FLOW_WAITING_MOST = 2048 };

/* NULL when memory is exhausted. Copies `options`. */
struct flow *flow_new(struct schedule *s, const struct flow_options *options);

/*
 * Begins with the plan. Ok when all of its URLs were begun and have ended, or after flow_close()
 * those that were begun. Cancelling it is flow_close(). Once.
 */
future *flow_run(struct flow *f);

/* Has the flow have another window from now on; what is under way goes on. */
void flow_set_window(struct flow *f, size_t window);

/* One of those begun has ended. */
void flow_ended(struct flow *f);

/* Accounts for memory that its results take (change > 0) or gave back (< 0). */
void flow_hold(struct flow *f, ptrdiff_t change);

/* Begins no more. Tickets go on. */
void flow_close(struct flow *f);

/* When flow_run() has settled and no ticket is left. NULL is fine. Returns NULL. */
struct flow *flow_free(struct flow *f);

/* -- reports ----------------------------------------------------------------------------------- */

struct origin_report {
    const char *origin; /* "https://a.example:443" */
    size_t queued; /* URLs and redirects that wait for it; not those whose batch has not come to
                      this origin yet */
    uint64_t next_start_in_ms; /* for the pauses of the origin and of those who wait; 0: now */
    enum health_state state;
    unsigned in_flight, limit, failures, refusals;
    bool waits_for_admission; /* all who wait do */
};

/* Tells of every origin of this host (a name or address, without brackets) that is known. */
void schedule_report(const struct schedule *s, struct bytes host,
                     void (*tell)(void *arg, const struct origin_report *report), void *arg);

/* What there is now, in all. */
struct schedule_stats {
    size_t active;  /* turns that are taken */
    size_t waiting; /* tickets: redirects, retries, URLs that were begun in order */
    size_t held_bytes;
    size_t origins[HEALTH_STATE_COUNT]; /* that are in use or remembered, by state */
    size_t origins_waiting;             /* that something waits for */
};

/* Looks at every origin that is known, some microseconds for a hundred. */
struct schedule_stats schedule_stats(const struct schedule *s);

#endif
