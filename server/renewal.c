#include "server/renewal.h"

#include "core/async/task.h"
#include "server/log.h"
#include "server/tls.h"

#include <errno.h>
#include <stdlib.h>

struct renewal {
    unsigned references; /* the daemon's, and that of the task */
    const char *certificate_file, *key_file;
    struct http_server *http; /* NULL: closed */
    bool reading, read_again;
};

struct renewal *renewal_new(const char *certificate_file, const char *key_file,
                            struct http_server *http)
{
    struct renewal *r = calloc(1, sizeof *r);

    if (r)
        *r = (struct renewal){1, certificate_file, key_file, http, false, false};
    return r;
}

static void unref(struct renewal *r)
{
    if (--r->references == 0)
        free(r);
}

struct renewal *renewal_close(struct renewal *r)
{
    if (r) {
        r->http = NULL;
        unref(r);
    }
    return NULL;
}

/* -- reading, on a pool thread ----------------------------------------------------------------- */

struct files {
    const char *certificate, *key;
};

static void identity_free(void *value)
{
    tls_identity_forget(value);
    free(value);
}

/* Gives a struct tls_identity, or fails with the message as its detail. */
static void read_run(task *t, void *frame)
{
    const struct files *files = frame;
    char message[TLS_MESSAGE_SIZE] = "out of memory";
    struct tls_identity *identity = calloc(1, sizeof *identity);
    int rc =
        identity ? tls_identity_read(files->certificate, files->key, identity, message) : -ENOMEM;

    if (rc == 0) {
        task_return(t, identity, identity_free);
    } else {
        free(identity);
        task_fail(t, rc, strdup(message), free);
    }
}

TASK(read_task, ON_THREAD, sizeof(struct files), .run = read_run);

/* -- what comes of it -------------------------------------------------------------------------- */

static void apply(const struct renewal *r, const future *identity)
{
    const char *message = "out of memory";

    if (!r->http)
        return;
    if (future_ok(identity)) {
        if (http_renew(r->http, future_value(identity)) == 0) {
            log_info("the certificate was read again");
            return;
        }
    } else if (future_value(identity)) {
        message = future_value(identity);
    }
    log_error("the certificate stays as it was", log_text("what", message));
}

struct round {
    struct renewal *renewal;
    future *identity;
};

static int renew_step(task *t, void *frame)
{
    struct round *round = frame;
    struct renewal *r = round->renewal;

    BEGIN(t);
    do {
        r->read_again = false;
        AWAIT(t, round->identity,
              task_start(&read_task, &(struct files){r->certificate_file, r->key_file}));
        apply(r, round->identity);
    } while (r->read_again && r->http);
    END(t);
}

static void renew_drop(void *frame)
{
    struct round *round = frame;

    round->renewal->reading = false;
    future_drop(round->identity);
    unref(round->renewal);
}

TASK(renew_task, ON_LOOP, sizeof(struct round), .step = renew_step, .drop = renew_drop);

void renewal_start(struct renewal *r)
{
    if (!r)
        return;
    r->read_again = true;
    if (r->reading)
        return; /* once more after that */
    r->reading = true;
    r->references++;
    future_drop(task_start(&renew_task, &(struct round){.renewal = r}));
}
