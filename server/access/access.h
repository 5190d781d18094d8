/*
 * Who may call: the bearer tokens (RFC 6750) of --token-file and SKIMD_TOKEN. Without any, everyone
 * who reaches the listen address may, which is why that must be loopback then.
 *
 * Loop thread, but for access_new() and access_free(). No token is ever in a message or in the log.
 */
#ifndef SKIMD_SERVER_ACCESS_ACCESS_H
#define SKIMD_SERVER_ACCESS_ACCESS_H

#include "core/base/bytes.h"
#include "server/problem.h"

#include <stdint.h>

struct access;

/* What stands behind one token. Counted references; the pointer tells accounts apart. */
struct account;

struct access_options {
    const char *token_file; /* borrowed; one token a line; NULL: none */
    const char *token;      /* borrowed for access_new(); valid; NULL: none */
};

enum { ACCESS_MESSAGE_SIZE = 400 };

/*
 * Reads the tokens. 0, or a negative errno with one line in `message` (no newline) that says what
 * is wrong: a file that cannot be read, has no token, or a line that is none. Blocks: before the
 * runtime starts.
 */
int access_new(const struct access_options *options, struct access **ret,
               char message[static ACCESS_MESSAGE_SIZE]);

/* When the runtime has stopped. NULL is fine. Returns NULL. */
struct access *access_free(struct access *a);

/* How many tokens there are; 0: nobody is asked for one. */
size_t access_tokens(const struct access *a);

/*
 * Judges an Authorization field's value ({NULL, 0}: it was not sent). True when the request may go
 * on: `*ret` is the token's account (borrowed until the loop's next turn; account_ref() keeps it),
 * NULL where no tokens are asked for. False: a 401 with its challenge (RFC 6750 section 3).
 */
bool access_check(const struct access *a, struct bytes authorization, struct account **ret,
                  struct problem *ret_problem);

/*
 * Reads the token file once more, off the loop, and logs what came of it. A token that stays keeps
 * its account; one that is gone is refused from then on, what it has begun goes on. A file that is
 * not as it must be changes nothing. SKIMD_TOKEN's stays.
 */
void access_reload(struct access *a);

/* NULL is fine for both. account_unref() returns NULL. */
struct account *account_ref(struct account *account);
struct account *account_unref(struct account *account);

#endif
