#include "server/web/web_page.h"

#include "server/problem.h"
#include "server/web/embedded.h"

/* -- the files --------------------------------------------------------------------------------- */

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
    static const struct http_field fields[] = {
        {"Content-Security-Policy", policy},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {NULL, NULL},
    };

    if (f)
        embedded_answer(x, f->content_type, content_of(f), fields);
    else
        refuse(x);
}
