#include "server/batch/quota.h"

#include "server/batch/internal.h"

/* Batches last from milliseconds to hours: a pause that neither hammers nor keeps waiting long. */
enum { RETRY_AFTER_S = 5 };

static void refuse(struct problem *ret, unsigned long long count, unsigned long long most,
                   const char *what)
{
    problem_set(ret, PROBLEM_TOO_MANY_REQUESTS, NULL,
                "This token has %llu %s under way, and may have %llu.", count, what, most);
    ret->retry_after_s = RETRY_AFTER_S;
}

bool quota_allows_batch(const struct batches *all, const struct account *account,
                        struct problem *ret_problem)
{
    uint64_t most = all->config->token_batches, count = 0, own = 0;

    LIST_FOR (link, &all->running) {
        count++;
        own += CONTAINER_OF(link, struct batch, link)->account == account;
    }
    if (count >= all->config->max_batches) {
        problem_set(ret_problem, PROBLEM_UNAVAILABLE, NULL,
                    "The daemon has %llu batches under way, as many as it may (--max-batches).",
                    (unsigned long long)count);
        ret_problem->retry_after_s = RETRY_AFTER_S;
        return false;
    }
    if (!account || most == 0 || own < most)
        return true;
    refuse(ret_problem, own, most, "batches");
    return false;
}

/* Its URLs that have no record; none while its list is still being read, on another thread. */
static uint64_t urls_under_way(const struct batch *b)
{
    if (!b->stream)
        return 0;

    const struct record_end *written = stream_counts(b->stream);
    return b->urls.count - written->ok - written->failed - written->cancelled;
}

bool quota_allows_urls(const struct batch *b, struct problem *ret_problem)
{
    uint64_t most = b->all->config->token_urls, count = 0;

    if (!b->account || most == 0)
        return true;
    if (b->urls.count > most) {
        problem_set(ret_problem, PROBLEM_TOO_MANY_URLS, NULL,
                    "The batch has %zu URLs, and a token may have %llu under way.", b->urls.count,
                    (unsigned long long)most);
        return false;
    }
    LIST_FOR (link, &b->all->running) {
        const struct batch *other = CONTAINER_OF(link, struct batch, link);

        if (other->account == b->account)
            count += urls_under_way(other);
    }
    if (count + b->urls.count <= most)
        return true;
    refuse(ret_problem, count, most, "URLs");
    return false;
}
