#include "server/access/access.h"

#include "core/async/task.h"
#include "server/access/token.h"
#include "server/file.h"
#include "server/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_FILE_MOST = 4 << 20 }; /* bytes */

#define CHALLENGE "Bearer realm=\"skimd\""

struct account {
    unsigned references;
};

struct access {
    const char *token_file;
    struct token_set environment; /* the token of SKIMD_TOKEN, or none */
    struct token_set tokens;      /* that one and those of the file */
    struct account **accounts;    /* of each of `tokens` */
    bool reading, read_again;
};

/* -- accounts ---------------------------------------------------------------------------------- */

struct account *account_ref(struct account *account)
{
    if (account)
        account->references++;
    return account;
}

struct account *account_unref(struct account *account)
{
    if (account && --account->references == 0)
        free(account);
    return NULL;
}

static void drop_accounts(struct account **accounts, size_t count)
{
    for (size_t i = 0; accounts && i < count; i++)
        account_unref(accounts[i]);
    free(accounts);
}

static struct account *new_account(void)
{
    struct account *account = calloc(1, sizeof *account);

    return account_ref(account);
}

/*
 * An account for each of `tokens`: the one that the token has already, else a new one. NULL when
 * memory is exhausted. Both sets are in order, so they are gone through side by side.
 */
static struct account **accounts_for(const struct access *a, const struct token_set *tokens)
{
    struct account **accounts = calloc(tokens->count, sizeof(struct account *));
    size_t old = 0;

    for (size_t i = 0; accounts && i < tokens->count; i++) {
        int order = 1;

        while (old < a->tokens.count &&
               (order = token_hash_compare(&a->tokens.hashes[old], &tokens->hashes[i])) < 0)
            old++;
        accounts[i] = order == 0 ? account_ref(a->accounts[old]) : new_account();
        if (!accounts[i]) {
            drop_accounts(accounts, i);
            return NULL;
        }
    }
    return accounts;
}

/* From here on `tokens` are asked for. 0 or -ENOMEM. */
static int install(struct access *a, const struct token_set *tokens)
{
    struct token_set copy = {calloc(tokens->count, sizeof *copy.hashes), tokens->count};
    struct account **accounts = copy.hashes ? accounts_for(a, tokens) : NULL;

    if (!accounts) {
        token_set_free(&copy);
        return -ENOMEM;
    }
    memcpy(copy.hashes, tokens->hashes, tokens->count * sizeof *copy.hashes);
    drop_accounts(a->accounts, a->tokens.count);
    token_set_free(&a->tokens);
    a->accounts = accounts;
    a->tokens = copy;
    return 0;
}

/* -- the file ---------------------------------------------------------------------------------- */

static void tell_file(char *message, const char *path, const char *what)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    snprintf(message, ACCESS_MESSAGE_SIZE, "--token-file: %s: %s",
             problem_quote(quoted, bytes_cstr(path)), what);
}

/* Adds what stands in the file to `tokens`. 0, or a negative errno and the message. */
static int read_tokens(const char *path, struct token_set *tokens, char *message)
{
    struct buffer text = {0};
    size_t line = 0, before = tokens->count;
    char what[160];
    int rc = file_read(path, TOKEN_FILE_MOST, &text);

    if (rc < 0) {
        const char *words = strerrordesc_np(-rc);
        tell_file(message, path, words ? words : "cannot be read");
        return rc;
    }
    struct bytes rest = buffer_bytes(&text);
    if (!rest.ptr)
        rest = BYTES("");
    rc = token_set_add_lines(tokens, rest, &line);
    file_forget(&text);
    if (rc == 0 && tokens->count == before)
        rc = -ENODATA;
    if (rc == -EINVAL)
        snprintf(what, sizeof what, "line %zu is not a token: " TOKEN_RULE, line);
    else if (rc == -E2BIG)
        snprintf(what, sizeof what, "there are more than %d tokens", TOKENS_MOST);
    else
        snprintf(what, sizeof what, "%s", rc == -ENODATA ? "has no token" : "out of memory");
    if (rc < 0)
        tell_file(message, path, what);
    return rc;
}

/* The tokens that hold from now on: that of the environment and those of the file. */
static int collect(const struct access *a, struct token_set *ret, char *message)
{
    struct token_set tokens = {0};
    int rc = a->token_file ? read_tokens(a->token_file, &tokens, message) : 0;

    for (size_t i = 0; rc == 0 && i < a->environment.count; i++) {
        rc = token_set_add_hash(&tokens, &a->environment.hashes[i]);
        if (rc < 0)
            tell_file(message, a->token_file, "with that of SKIMD_TOKEN there are too many tokens");
    }
    if (rc < 0)
        token_set_free(&tokens);
    else
        *ret = tokens;
    return rc;
}

int access_new(const struct access_options *options, struct access **ret,
               char message[static ACCESS_MESSAGE_SIZE])
{
    struct access *a = calloc(1, sizeof *a);
    struct token_set tokens = {0};
    int rc = a ? 0 : -ENOMEM;

    snprintf(message, ACCESS_MESSAGE_SIZE, "out of memory");
    if (rc == 0) {
        a->token_file = options->token_file;
        if (options->token)
            rc = token_set_add(&a->environment, bytes_cstr(options->token));
    }
    if (rc == 0)
        rc = collect(a, &tokens, message);
    if (rc == 0 && tokens.count > 0)
        rc = install(a, &tokens);
    token_set_free(&tokens);
    if (rc < 0)
        access_free(a);
    else
        *ret = a;
    return rc;
}

struct access *access_free(struct access *a)
{
    if (!a)
        return NULL;
    drop_accounts(a->accounts, a->tokens.count);
    token_set_free(&a->tokens);
    token_set_free(&a->environment);
    free(a);
    return NULL;
}

size_t access_tokens(const struct access *a)
{
    return a->tokens.count;
}

/* -- requests ---------------------------------------------------------------------------------- */

/* The token of `Bearer TOKEN` (RFC 6750 section 2.1); {NULL, 0} where that is not what it is. */
static struct bytes bearer_token(struct bytes authorization)
{
    struct bytes rest = authorization, scheme = bytes_split(&rest, ' ');

    return bytes_equal_nocase(scheme, BYTES("Bearer")) && rest.ptr ? bytes_trim(rest)
                                                                   : bytes_of(NULL, 0);
}

bool access_check(const struct access *a, struct bytes authorization, struct account **ret,
                  struct problem *ret_problem)
{
    struct bytes token = bearer_token(authorization);

    *ret = NULL;
    if (a->tokens.count == 0)
        return true;
    if (!token.ptr) {
        problem_set(ret_problem, PROBLEM_UNAUTHORIZED, NULL,
                    "Send one of the daemon's tokens: Authorization: Bearer TOKEN.");
        ret_problem->challenge = CHALLENGE;
        return false;
    }
    ssize_t place = token_set_find(&a->tokens, token);
    if (place < 0) {
        problem_set(ret_problem, PROBLEM_UNAUTHORIZED, NULL,
                    "The token that was sent is none of the daemon's.");
        ret_problem->challenge = CHALLENGE ", error=\"invalid_token\"";
        return false;
    }
    *ret = a->accounts[place];
    return true;
}

/* -- reading the file again -------------------------------------------------------------------- */

static void tokens_free(void *value)
{
    token_set_free(value);
    free(value);
}

/* Gives a struct token_set, or fails with the message as its detail. */
static void collect_run(task *t, void *frame)
{
    const struct access *a = *(struct access **)frame;
    char message[ACCESS_MESSAGE_SIZE] = "out of memory";
    struct token_set *tokens = calloc(1, sizeof *tokens);
    int rc = tokens ? collect(a, tokens, message) : -ENOMEM;

    if (rc == 0) {
        task_return(t, tokens, tokens_free);
    } else {
        free(tokens);
        task_fail(t, rc, strdup(message), free);
    }
}

/* What it reads of `access` never changes. */
TASK(collect_task, ON_THREAD, sizeof(struct access *), .run = collect_run);

struct reload {
    struct access *access;
    future *collected;
};

static void apply(struct access *a, const future *collected)
{
    const char *message = "out of memory";

    if (future_ok(collected)) {
        if (install(a, future_value(collected)) == 0) {
            log_info("the tokens were read again", log_unsigned("tokens", a->tokens.count));
            return;
        }
    } else if (future_value(collected)) {
        message = future_value(collected);
    }
    log_error("the tokens stay as they were", log_text("what", message));
}

static int reload_step(task *t, void *frame)
{
    struct reload *r = frame;

    BEGIN(t);
    do {
        r->access->read_again = false;
        AWAIT(t, r->collected, task_start(&collect_task, &r->access));
        apply(r->access, r->collected);
    } while (r->access->read_again);
    END(t);
}

static void reload_drop(void *frame)
{
    struct reload *r = frame;

    r->access->reading = false;
    future_drop(r->collected);
}

TASK(reload_task, ON_LOOP, sizeof(struct reload), .step = reload_step, .drop = reload_drop);

void access_reload(struct access *a)
{
    if (!a->token_file) {
        log_info("there is no --token-file to read again");
        return;
    }
    a->read_again = true;
    if (a->reading)
        return; /* once more after that */
    a->reading = true;
    future_drop(task_start(&reload_task, &(struct reload){.access = a}));
}
