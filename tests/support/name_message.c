#include "tests/support/name_message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLAIN_UDP_MAX = 512, /* RFC 1035 section 4.2.1 */
    EDNS_UDP_MAX = 1232, /* https://www.dnsflagday.net/2020/ */
};

/* -- scripts ----------------------------------------------------------------------------------- */

void name_turns_free(struct name_turns *turns)
{
    for (size_t i = 0; i < turns->count; i++) {
        free(turns->scripts[i].alias);
        free(turns->scripts[i].records);
    }
    free(turns->scripts);
}

static void parse_addresses(struct name_script *script, const char *texts)
{
    size_t length = strlen(texts);

    script->records = calloc(length / 2 + 1, sizeof *script->records); /* "::" is the shortest */
    assert(script->records);
    while (*(texts += strspn(texts, " "))) {
        char text[INET6_ADDRSTRLEN];
        struct name_record *record = &script->records[script->count++];
        size_t n = strcspn(texts, " ");
        snprintf(text, sizeof text, "%.*s", (int)n, texts);
        texts += n;
        record->type = strchr(text, ':') ? ns_t_aaaa : ns_t_a;
        if (inet_pton(record->type == ns_t_a ? AF_INET : AF_INET6, text, record->data) != 1) {
            fprintf(stderr, "name_server: %s is no address\n", text);
            abort();
        }
    }
}

struct name_turns name_turns_parse(const struct name_answer *answers, size_t count)
{
    struct name_turns turns = {.scripts = calloc(count, sizeof *turns.scripts), .count = count};

    assert(turns.scripts && count > 0);
    for (size_t i = 0; i < count; i++) {
        turns.scripts[i].how = answers[i];
        if (answers[i].alias) {
            turns.scripts[i].alias = strdup(answers[i].alias);
            assert(turns.scripts[i].alias);
        }
        if (answers[i].addresses)
            parse_addresses(&turns.scripts[i], answers[i].addresses);
    }
    return turns;
}

/* -- messages ---------------------------------------------------------------------------------- */

bool name_question_parse(struct name_question *q, const unsigned char *query, size_t len)
{
    size_t at = NS_HFIXEDSZ, n = 0;

    if (len < NS_HFIXEDSZ || name_get16(query + 4) != 1)
        return false;
    while (at < len && query[at] != 0) {
        size_t label = query[at++];
        if (label > NS_MAXLABEL || at + label >= len || n + label + 2 > sizeof q->name)
            return false;
        if (n > 0)
            q->name[n++] = '.';
        for (size_t i = 0; i < label; i++)
            q->name[n++] = (char)tolower(query[at++]);
    }
    q->name[n] = '\0';
    if (at + 1 + NS_QFIXEDSZ > len)
        return false;
    q->query = query;
    q->len = at + 1 + NS_QFIXEDSZ;
    q->type = name_get16(query + at + 1);
    q->edns = name_get16(query + 10) > 0; /* nothing else is additional to a question */
    return true;
}

static size_t put_name(unsigned char *to, const char *name)
{
    size_t at = 0;

    while (*name) {
        size_t label = strcspn(name, ".");
        to[at++] = (unsigned char)label;
        memcpy(to + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    to[at++] = 0;
    return at;
}

/* A record whose owner is the name at `owner`; the data, `length` bytes, are the caller's to add.
 */
static size_t put_record(unsigned char *to, size_t owner, ns_type type, uint32_t ttl, size_t length)
{
    name_put16((unsigned)(NS_CMPRSFLGS << 8 | owner), to);
    name_put16((unsigned)type, to + 2);
    name_put16(ns_c_in, to + 4);
    name_put32(ttl, to + 6);
    name_put16((unsigned)length, to + 10);
    return 12;
}

/* `reply` begins with head and question. Returns its length with all records of the answer. */
static size_t put_answer(unsigned char *reply, const struct name_question *q,
                         const struct name_script *s)
{
    size_t at = q->len, owner = NS_HFIXEDSZ, records = 0;

    if (s->alias) {
        unsigned char alias[NS_MAXCDNAME];
        size_t length = put_name(alias, s->alias);
        at += put_record(reply + at, owner, ns_t_cname,
                         s->how.alias_ttl ? s->how.alias_ttl : s->how.ttl, length);
        memcpy(reply + at, alias, length);
        owner = at;
        at += length;
        records++;
    }
    for (size_t i = 0; i < s->count && at + 64 < NAME_REPLY_MAX; i++) {
        const struct name_record *r = &s->records[i];
        size_t length = r->type == ns_t_a ? 4 : 16;
        if (r->type != q->type)
            continue;
        at += put_record(reply + at, owner, r->type, s->how.ttl, length);
        memcpy(reply + at, r->data, length);
        at += length;
        records++;
    }
    name_put16((unsigned)records, reply + 6);
    return at;
}

size_t name_reply(unsigned char *reply, const struct name_question *q, const struct name_script *s,
                  bool by_tcp)
{
    enum { ANSWER = 0x80, CUT = 0x02, ASKED = 0x79 /* opcode and RD of the query */, RA = 0x80 };
    ns_rcode rcode = s ? s->how.rcode : ns_r_nxdomain;
    size_t len = q->len, most = by_tcp ? NAME_REPLY_MAX : q->edns ? EDNS_UDP_MAX : PLAIN_UDP_MAX;

    memcpy(reply, q->query, q->len);
    memset(reply + 6, 0, 6); /* the numbers of records */
    reply[2] = (unsigned char)(ANSWER | (q->query[2] & ASKED));
    reply[3] = (unsigned char)(RA | rcode);
    if (s && rcode == ns_r_noerror)
        len = put_answer(reply, q, s);
    if (len > most || (s && s->how.truncate && !by_tcp)) {
        memset(reply + 6, 0, 2);
        reply[2] |= CUT;
        len = q->len;
    }
    return len;
}
