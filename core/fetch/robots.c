#include "core/fetch/robots.h"

#include "core/fetch/robots_pattern.h"

#include <assert.h>
#include <stdlib.h>

enum {
    DELAY_MAX_MS = 24 * 60 * 60 * 1000,
    /*
     * Bytes that patterns with wildcards may be held against in one question. It lets ten
     * thousand of them have a path of 200 bytes. Without it a host could keep the asking thread
     * for 1.6 s, with tens of thousands of short patterns, and again at each redirect.
     */
    SEARCH_MAX = 2 << 20
};

struct rule {
    struct pattern pattern;
    uint32_t text; /* where its comparable form begins */
    bool is_allow;
};

/* What one user-agent line names: a token, or "*" for everybody. */
struct agent {
    uint32_t text, len;
    uint32_t delay_ms;
};

/* User-agent lines and the rules below them. Each begins where the one before ends. */
struct group {
    uint32_t agents_end, rules_end;
};

struct robots {
    size_t size; /* of all of it, which is one allocation */
    size_t group_count, agent_count, rule_count;
    struct group *groups;
    struct agent *agents;
    struct rule *rules;
    char *text;
};

/* -- parsing ----------------------------------------------------------------------------------- */

/* It is done twice: to count, with `into` NULL, and to fill what was allocated. */
struct parser {
    struct robots *into;
    size_t group_count, agent_count, rule_count, text_len;
    bool group_closed; /* the next user-agent line begins a group */
    /* The agents that a Crawl-delay would be for, and what was read. */
    size_t delay_agents;
    uint32_t delay_ms;
    bool delay_closed; /* the next user-agent line is not one of them */
};

/* Where text is to be written; NULL while it is only counted. */
static char *text_end(const struct parser *p)
{
    return p->into ? p->into->text + p->text_len : NULL;
}

static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* The product token that `text` begins with; may be empty. */
static struct bytes leading_token(struct bytes text)
{
    size_t len = 0;

    while (len < text.len && is_token_character(text.ptr[len]))
        len++;
    return bytes_of(text.ptr, len);
}

/* Gives a Crawl-delay to its agents: at the end of their lines, so that each is visited once. */
static void close_delay(struct parser *p)
{
    if (p->into) {
        for (size_t i = p->delay_agents; i < p->agent_count; i++)
            p->into->agents[i].delay_ms = p->delay_ms;
    }
    p->delay_agents = p->agent_count;
    p->delay_ms = 0;
    p->delay_closed = false;
}

static void add_agent(struct parser *p, struct bytes token)
{
    if (p->into) {
        memcpy(text_end(p), token.ptr, token.len);
        p->into->agents[p->agent_count] =
            (struct agent){.text = (uint32_t)p->text_len, .len = (uint32_t)token.len};
    }
    p->text_len += token.len;
    p->agent_count++;
}

/* What names nobody ("007") begins a group all the same. */
static void parse_user_agent(struct parser *p, struct bytes value)
{
    bool is_everybody =
        value.len > 0 && value.ptr[0] == '*' && (value.len == 1 || ascii_is_space(value.ptr[1]));
    struct bytes token = is_everybody ? BYTES("*") : leading_token(value);

    if (p->delay_closed)
        close_delay(p);
    if (p->group_count == 0 || p->group_closed) {
        p->group_count++;
        p->group_closed = false;
    }
    if (token.len > 0)
        add_agent(p, token);
}

/* Rules above all groups are not obeyed (section 2.2.2), those that can match nothing not kept. */
static void parse_rule(struct parser *p, struct bytes value, bool is_allow)
{
    if (p->group_count == 0)
        return;
    p->group_closed = p->delay_closed = true;

    struct pattern pattern = pattern_write(value, text_end(p));
    if (pattern.len == 0)
        return;
    if (p->into)
        p->into->rules[p->rule_count] =
            (struct rule){.pattern = pattern, .text = (uint32_t)p->text_len, .is_allow = is_allow};
    p->text_len += pattern.len;
    p->rule_count++;
}

/* Seconds with decimals, of which milliseconds are kept; -1 for what is no number. */
static int64_t parse_delay(struct bytes value)
{
    int64_t ms = 0, unit = 1000;
    bool has_point = false;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c >= '0' && c <= '9') {
            unit = has_point ? unit / 10 : unit;
            ms = (has_point ? ms : ms * 10) + (c - '0') * unit;
            ms = ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS;
        } else if (c == '.' && !has_point) {
            has_point = true;
        } else {
            return -1;
        }
    }
    return ms;
}

static void parse_crawl_delay(struct parser *p, struct bytes value)
{
    int64_t ms = parse_delay(value);

    p->delay_closed = true;
    if (ms > (int64_t)p->delay_ms)
        p->delay_ms = (uint32_t)ms;
}

/*
 * Only a rule lets the next user-agent line begin a group. Other records must not (section 2.2.4),
 * Crawl-delay among them: names above and below it have the same rules, as Google has it too. The
 * delay itself is for the names above it, since nobody means those below.
 */
static void parse_line(struct parser *p, struct bytes line)
{
    struct bytes value = bytes_split(&line, '#');
    bool has_key = value.len > 0 && memchr(value.ptr, ':', value.len);
    struct bytes key = has_key ? bytes_trim(bytes_split(&value, ':')) : BYTES("");

    value = bytes_trim(value);
    if (bytes_equal_nocase(key, BYTES("user-agent")))
        parse_user_agent(p, value);
    else if (bytes_equal_nocase(key, BYTES("allow")))
        parse_rule(p, value, true);
    else if (bytes_equal_nocase(key, BYTES("disallow")))
        parse_rule(p, value, false);
    else if (bytes_equal_nocase(key, BYTES("crawl-delay")))
        parse_crawl_delay(p, value);

    if (p->into && p->group_count > 0)
        p->into->groups[p->group_count - 1] =
            (struct group){(uint32_t)p->agent_count, (uint32_t)p->rule_count};
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

static struct parser parse_lines(struct bytes text, struct robots *into)
{
    struct parser p = {.into = into};

    for (size_t start = 0, end; start < text.len; start = end + 1) {
        for (end = start; end < text.len && !ends_line(text.ptr[end]);)
            end++;
        if (end > start)
            parse_line(&p, bytes_of(text.ptr + start, end - start));
    }
    close_delay(&p);
    return p;
}

/* What is read of `text`: no byte order mark, and not more than whole lines that are allowed. */
static struct bytes readable(struct bytes text)
{
    if (text.len > ROBOTS_BYTES_MAX) {
        text.len = ROBOTS_BYTES_MAX + 1;
        while (text.len > 0 && !ends_line(text.ptr[text.len - 1]))
            text.len--;
    }
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        text = bytes_of(text.ptr + 3, text.len - 3);
    return text;
}

struct robots *robots_parse(struct bytes text)
{
    struct bytes lines = readable(text);
    struct parser counted = parse_lines(lines, NULL), filled;
    size_t size = sizeof(struct robots) + counted.group_count * sizeof(struct group) +
                  counted.agent_count * sizeof(struct agent) +
                  counted.rule_count * sizeof(struct rule) + counted.text_len;
    struct robots *r = malloc(size);

    if (!r)
        return NULL;
    *r = (struct robots){
        .size = size,
        .group_count = counted.group_count,
        .agent_count = counted.agent_count,
        .rule_count = counted.rule_count,
    };
    r->groups = (struct group *)(r + 1);
    r->agents = (struct agent *)(r->groups + r->group_count);
    r->rules = (struct rule *)(r->agents + r->agent_count);
    r->text = (char *)(r->rules + r->rule_count);
    filled = parse_lines(lines, r);
    assert(filled.rule_count == counted.rule_count && filled.text_len == counted.text_len);
    (void)filled;
    return r;
}

struct robots *robots_free(struct robots *r)
{
    free(r);
    return NULL;
}

size_t robots_size(const struct robots *r)
{
    return r->size;
}

/* -- asking ------------------------------------------------------------------------------------ */

static bool agent_is(const struct robots *r, const struct agent *agent, struct bytes token)
{
    return bytes_equal_nocase(bytes_of(r->text + agent->text, agent->len), token);
}

/* Whether one of agents[first..end) is named `token`. */
static bool is_named(const struct robots *r, size_t first, size_t end, struct bytes token)
{
    for (size_t i = first; i < end; i++) {
        if (agent_is(r, &r->agents[i], token))
            return true;
    }
    return false;
}

/* The name by which the groups of that crawler go. */
static struct bytes group_name(const struct robots *r, struct bytes product)
{
    return is_named(r, 0, r->agent_count, product) ? product : BYTES("*");
}

/* How specific a rule is: by its octets, and "allow" above "disallow". */
static size_t rank(const struct rule *rule)
{
    return 2 * pattern_octets(&rule->pattern) + rule->is_allow;
}

/* The most specific of `best` (NULL: none) and those of rules[first..end) that match. */
static const struct rule *most_specific(const struct robots *r, size_t first, size_t end,
                                        const struct rule *best, struct path_question *question)
{
    for (size_t i = first; i < end && question->searched <= SEARCH_MAX; i++) {
        const struct rule *rule = &r->rules[i];

        if ((!best || rank(rule) > rank(best)) &&
            pattern_matches(&rule->pattern, r->text + rule->text, question))
            best = rule;
    }
    return best;
}

bool robots_allows(const struct robots *r, struct bytes product, struct bytes path)
{
    struct bytes name = group_name(r, product);
    const struct rule *best = NULL;
    struct group before = {0};
    struct path_question question;

    path_question_init(&question, path);
    if (bytes_equal(question.path, BYTES("/robots.txt")))
        return true;
    for (size_t i = 0; i < r->group_count; i++) {
        struct group group = r->groups[i];

        if (is_named(r, before.agents_end, group.agents_end, name))
            best = most_specific(r, before.rules_end, group.rules_end, best, &question);
        before = group;
    }
    return question.searched <= SEARCH_MAX && (!best || best->is_allow);
}

uint64_t robots_crawl_delay_ms(const struct robots *r, struct bytes product)
{
    struct bytes name = group_name(r, product);
    uint64_t ms = 0;

    for (size_t i = 0; i < r->agent_count; i++) {
        if (r->agents[i].delay_ms > ms && agent_is(r, &r->agents[i], name))
            ms = r->agents[i].delay_ms;
    }
    return ms;
}

struct bytes robots_product(struct bytes user_agent)
{
    struct bytes product = leading_token(bytes_trim(user_agent));
    struct bytes mark = BYTES("(compatible;");
    const char *at =
        user_agent.len ? memmem(user_agent.ptr, user_agent.len, mark.ptr, mark.len) : NULL;

    if (at && bytes_equal_nocase(product, BYTES("Mozilla"))) {
        const char *end = user_agent.ptr + user_agent.len;
        struct bytes inside = bytes_of(at + mark.len, (size_t)(end - at) - mark.len);
        struct bytes name = leading_token(bytes_trim(inside));

        if (name.len > 0)
            return name;
    }
    return product;
}
