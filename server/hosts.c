#include "server/hosts.h"

#include "core/base/percent.h"
#include "server/json.h"
#include "server/problem.h"

static void put_number(struct buffer *out, const char *key, uint64_t value)
{
    buffer_text(out, ",\"");
    buffer_text(out, key);
    buffer_text(out, "\":");
    buffer_unsigned(out, value);
}

/* What keeps the next URL from being begun, for a person; NULL: nothing does. */
static const char *why_it_waits(const struct origin_report *r)
{
    switch (r->state) {
    case HEALTH_BACKING_OFF:
        return "it answered 429 or 503, and is asked again after a pause";
    case HEALTH_GIVEN_UP:
        return "it kept failing, or asked for a long pause: its URLs fail at once until then";
    case HEALTH_PROBING:
        if (r->in_flight >= r->limit)
            return "it failed or refused before: one request at a time until one is answered";
        break;
    case HEALTH_GOOD:
        if (r->in_flight >= r->limit)
            return "as many requests as may be are under way there";
        break;
    }
    if (r->waits_for_admission)
        return "its robots.txt has not come yet";
    if (r->next_start_in_ms > 0)
        return "the pause between two requests is not over";
    return r->queued > 0 ? "its turn comes when other fetches end" : NULL;
}

struct report {
    struct buffer out;
    bool begun;
};

static void tell(void *arg, const struct origin_report *r)
{
    struct report *report = arg;
    struct buffer *out = &report->out;
    const char *why = why_it_waits(r);

    buffer_text(out, report->begun ? ",{\"origin\":" : "{\"origin\":");
    json_write_string(out, bytes_cstr(r->origin));
    buffer_text(out, ",\"state\":");
    json_write_string(out, bytes_cstr(health_state_name(r->state)));
    put_number(out, "queued", r->queued);
    put_number(out, "in_flight", r->in_flight);
    put_number(out, "limit", r->limit);
    put_number(out, "next_start_in_ms", r->next_start_in_ms);
    put_number(out, "failures", r->failures);
    put_number(out, "refusals", r->refusals);
    buffer_text(out, ",\"reason\":");
    if (why)
        json_write_string(out, bytes_cstr(why));
    else
        buffer_text(out, "null");
    buffer_byte(out, '}');
    report->begun = true;
}

/* The host at the end of the path, decoded into `out`; empty when there is none. */
static struct bytes host_of(struct bytes path, struct buffer *out)
{
    const char *slash = memrchr(path.ptr, '/', path.len);

    if (!percent_decode(out, bytes_of(slash + 1, (size_t)(path.ptr + path.len - slash - 1)), false))
        return bytes_of(NULL, 0);
    struct bytes host = buffer_bytes(out);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = bytes_of(host.ptr + 1, host.len - 2);
    return host;
}

/* An IPv6 address has more colons than the one before a port. */
static bool has_port(struct bytes host)
{
    struct bytes rest = host;

    bytes_split(&rest, ':');
    return rest.ptr && !memchr(rest.ptr, ':', rest.len);
}

void hosts_answer(struct fetcher *f, struct exchange *x)
{
    struct report report = {0};
    struct buffer scratch = {0};
    struct bytes host = host_of(exchange_path(x), &scratch);
    char quoted[PROBLEM_QUOTE_SIZE];
    struct problem problem;

    buffer_text(&report.out, "{\"host\":");
    json_write_string(&report.out, host);
    buffer_text(&report.out, ",\"origins\":[");
    if (host.len > 0)
        schedule_report(fetcher_schedule(f), host, tell, &report);
    buffer_text(&report.out, "]}\n");
    if (report.begun) {
        exchange_respond(x, 200, "application/json", NULL, &report.out);
    } else {
        problem_set(&problem, PROBLEM_NOT_FOUND, NULL,
                    "No URL of %s is under way or waits, and there is nothing to remember of it.%s",
                    problem_quote(quoted, host),
                    has_port(host) ? " A host is asked for without a port." : "");
        exchange_refuse(x, &problem);
    }
    buffer_free(&report.out);
    buffer_free(&scratch);
}
