/*
 * Files that the binary carries in itself, and how they are answered with. Loop thread only.
 */
#ifndef SKIMD_SERVER_WEB_EMBEDDED_H
#define SKIMD_SERVER_WEB_EMBEDDED_H

#include "server/http/http.h"

/* The assembler reads the file, from the directory that make runs in: it stands from name_begin to
 * name_end. The Makefile has to know of it, as the compiler does not. */
#define EMBED(name, path)                                                                          \
    __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name                 \
            "_end:\n.popsection\n");                                                               \
    extern const char name##_begin[], name##_end[]

/*
 * Answers `x`, a GET or HEAD, with `content`, or with 304 where the client has it already (RFC 9110
 * section 13.1.2). An ETag and Cache-Control go with it, and `fields` (NULL: none; else up to
 * EMBEDDED_FIELDS_MOST, ended by {NULL, NULL}). Everything is borrowed for the call.
 */
enum { EMBEDDED_FIELDS_MOST = 8 };
void embedded_answer(struct exchange *x, const char *content_type, struct bytes content,
                     const struct http_field *fields);

#endif
