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

/* -- walking ----------------------------------------------------------------------------------- */

/* A tree in tree order, without recursion: the depth is the page's to choose. */
struct html_walk {
    struct bump *bump; /* where `levels` is: what was allocated before is not the latest any more */
    bool into_templates;
    struct html_level *levels; /* above what was given last */
    size_t depth, capacity;
};

enum html_event {
    HTML_END,   /* there is no more */
    HTML_ENTER, /* an element (an element or a template, in gumbo's types) */
    HTML_LEAVE, /* the end of one that was entered */
    HTML_TEXT,  /* a text; in gumbo's types a text, a CDATA section, or white space alone */
};

/* A walk over `document`; the contents of templates, which are other documents, are left out or
 * not.
 */
void html_walk(struct html_walk *w, struct bump *bump, const struct GumboInternalNode *document,
               bool into_templates);

/* A walk over what is in `element`, which is not given itself, without contents of templates. */
void html_walk_element(struct html_walk *w, struct bump *bump,
                       const struct GumboInternalNode *element);

/*
 * What comes next; *ret is its node, and stays as it is at the end. Comments are left out. What an
 * HTML_TEXT holds, and a value of an attribute, needs html_restore() in the end; the stand-ins
 * contain no ASCII.
 */
enum html_event html_step(struct html_walk *w, const struct GumboInternalNode **ret);

/* Right after an HTML_ENTER: leaves out what is in the element, so that its HTML_LEAVE is next. */
void html_skip(struct html_walk *w);

/* The next element, or NULL at the end: html_step() for who only looks at HTML_ENTER. */
const struct GumboInternalNode *html_next(struct html_walk *w);

/*
 * The text of an element and of all in it, as textContent gives it but for two things: scripts and
 * styles are left out, and a br parts words. ASCII white space is stripped and collapsed, controls
 * are restored. At most `most` bytes of well-formed UTF-8, in the arena; *ret_cut says that there
 * was more. Takes time for all that is in the element, however little of it is text.
 */
struct bytes html_collapsed_text(struct bump *bump, const struct html *html,
                                 const struct GumboInternalNode *element, size_t most,
                                 bool *ret_cut);

#endif
