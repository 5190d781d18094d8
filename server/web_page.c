#include "server/web_page.h"

#include "server/problem.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/* -- the files --------------------------------------------------------------------------------- */

/* The assembler reads the file, from the directory that make runs in. */
#define EMBED(name, path)                                                                          \
    __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name                 \
            "_end:\n.popsection\n");                                                               \
    extern const char name##_begin[], name##_end[]

EMBED(index_html, "server/web/index.html");
EMBED(page_css, "server/web/page.css");
EMBED(page_js, "server/web/page.js");
EMBED(icon_svg, "server/web/icon.svg");

struct file {
    const char *path, *content_type;
    const char *begin, *end;
};

static const struct file files[] = {
    {"/", "text/html; charset=utf-8", index_html_begin, index_html_end},
    {"/page.css", "text/css; charset=utf-8", page_css_begin, page_css_end},
    {"/page.js", "text/javascript; charset=utf-8", page_js_begin, page_js_end},
    {"/icon.svg", "image/svg+xml", icon_svg_begin, icon_svg_end},
};

static const struct file *file_of(struct bytes path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (bytes_equal(path, bytes_cstr(files[i].path)))
            return &files[i];
    return NULL;
}

static struct bytes content_of(const struct file *f)
{
    return bytes_of(f->begin, (size_t)(f->end - f->begin));
}

/* -- what the client has already --------------------------------------------------------------- */

enum { ETAG_SIZE = sizeof "\"0123456789abcdef\"" };

/* The same for the same bytes in every process (FNV-1a), as several may stand behind one name. */
static void make_etag(struct bytes content, char ret[static ETAG_SIZE])
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < content.len; i++)
        hash = (hash ^ (unsigned char)content.ptr[i]) * 0x100000001b3;
    snprintf(ret, ETAG_SIZE, "\"%016" PRIx64 "\"", hash);
}

/* Whether an If-None-Match names `etag`, weakly compared. In no tag of ours there is a comma. */
static bool names(struct bytes if_none_match, struct bytes etag)
{
    while (if_none_match.ptr) {
        struct bytes tag = bytes_trim(bytes_split(&if_none_match, ','));

        if (tag.len > 2 && tag.ptr[0] == 'W' && tag.ptr[1] == '/')
            tag = bytes_of(tag.ptr + 2, tag.len - 2);
        if (bytes_equal(tag, etag) || bytes_equal(tag, BYTES("*")))
            return true;
    }
    return false;
}

/* -- the answer -------------------------------------------------------------------------------- */

/*
 * Nothing but the files themselves: what a hostile title would have run or loaded, the browser
 * refuses, even where the script had a hole.
 */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'; "
                             "require-trusted-types-for 'script'; trusted-types 'none'";

static void refuse(struct exchange *x)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "The page has no such file.");
    exchange_refuse(x, &problem);
}

void web_page_answer(struct exchange *x)
{
    const struct file *f = file_of(exchange_path(x));
    char etag[ETAG_SIZE];
    struct buffer body = {0};

    if (!f) {
        refuse(x);
        return;
    }
    make_etag(content_of(f), etag);

    /* no-cache: it may be kept, and is asked for again each time, so that it fits its daemon. */
    const struct http_field fields[] = {
        {"ETag", etag},
        {"Cache-Control", "no-cache"},
        {"Content-Security-Policy", policy},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {NULL, NULL},
    };
    bool is_known = names(exchange_header(x, "If-None-Match"), bytes_cstr(etag));

    /* Of a 304 only the length of the body goes out, as of an answer to HEAD. */
    buffer_append(&body, content_of(f).ptr, content_of(f).len);
    exchange_respond(x, is_known ? 304 : 200, f->content_type, fields, &body);
}
