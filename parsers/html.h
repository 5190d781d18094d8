/*
 * gumbo's tree of a text, built inside the arena (bump.h says how it is stopped), and the walk over
 * it. What gumbo does otherwise than the HTML standard and can be helped from outside is helped
 * here.
 *
 * Who looks at nodes includes <gumbo.h> for them; this header does without.
 */
#ifndef SKIMD_PARSERS_HTML_H
#define SKIMD_PARSERS_HTML_H

#include "core/base/bytes.h"

struct bump;
struct GumboInternalNode; /* GumboNode */

struct html {
    const struct GumboInternalNode *document; /* in the arena, never destroyed */
    const struct GumboInternalNode *root;     /* its html element */
    struct bytes text;                        /* as gumbo was given it */
    bool stand_ins;                           /* texts of the tree need html_restore() */
};

/*
 * Parses `text`, well-formed UTF-8 that stays valid as long as the tree is used. Leaves through
 * bump->escape over its memory, deadline or stack.
 */
void html_parse(struct bump *bump, struct bytes text, struct html *ret);

/*
 * Makes text[0..len), a copy of what a node of the tree holds, what the page has there: gumbo
 * replaces controls and noncharacters, so others stood for them. Changes it in place and returns
 * the length, which does not grow. `text` need not end between two characters.
 */
size_t html_restore(const struct html *html, char *text, size_t len);

/* The nodes of a tree in tree order, without recursion: the depth is the page's to choose. */
struct html_walk {
    struct bump *bump; /* where `levels` is */
    bool into_templates;
    struct html_level *levels; /* above the node that was given last */
    size_t depth, capacity;
};

/* A walk over `document`; the contents of templates, which are other documents, are left out or
 * not.
 */
void html_walk(struct html_walk *w, struct bump *bump, const struct GumboInternalNode *document,
               bool into_templates);

/* The next element (an element or a template, in gumbo's types), or NULL at the end. */
const struct GumboInternalNode *html_next(struct html_walk *w);

#endif
