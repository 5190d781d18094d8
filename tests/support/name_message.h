/*
 * The inside of the name server for tests: scripts parsed, questions read, replies written (RFC
 * 1035 section 4).
 */
#ifndef SKIMD_TESTS_NAME_MESSAGE_H
#define SKIMD_TESTS_NAME_MESSAGE_H

#include "tests/support/name_server.h"

enum { NAME_REPLY_MAX = 16 * 1024 };

/* Numbers as they stand in messages. */
static inline unsigned name_get16(const unsigned char *from)
{
    return (unsigned)from[0] << 8 | from[1];
}

static inline void name_put16(unsigned number, unsigned char *to)
{
    to[0] = (unsigned char)(number >> 8);
    to[1] = (unsigned char)number;
}

static inline void name_put32(uint32_t number, unsigned char *to)
{
    name_put16(number >> 16, to);
    name_put16(number & 0xffff, to + 2);
}

/* A question, parsed. */
struct name_question {
    const unsigned char *query;
    size_t len; /* of the head and the question */
    ns_type type;
    bool edns;
    char name[NS_MAXDNAME];
};

/* One of the answers of a name, with its texts parsed. */
struct name_script {
    struct name_answer how; /* `addresses` and `alias` are not used */
    char *alias;
    size_t count;
    struct name_record {
        ns_type type;
        unsigned char data[16];
    } * records;
};

/* The answers to one of the questions, in turns. */
struct name_turns {
    struct name_script *scripts;
    size_t count, asked;
};

/* Copies; aborts where a text is no address. */
struct name_turns name_turns_parse(const struct name_answer *answers, size_t count);
void name_turns_free(struct name_turns *turns);

/* False when it is no question that a resolver asks. `query` is borrowed. */
bool name_question_parse(struct name_question *q, const unsigned char *query, size_t len);

/* Writes the reply (NAME_REPLY_MAX) to `q` of what `s` says (NULL: no such name). Its length. */
size_t name_reply(unsigned char *reply, const struct name_question *q, const struct name_script *s,
                  bool by_tcp);

#endif
