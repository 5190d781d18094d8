/*
 * The title of an HTML document, as document.title gives it (HTML standard, "the title element"):
 * the first title element of the HTML namespace in tree order, its text without ASCII white space
 * at the ends and with one space for each run inside. Contents of a template are another
 * document's; a title of SVG or MathML is of another namespace.
 *
 * gumbo runs inside the arena: see bump.h for how it is stopped.
 */
#ifndef SKIMD_PARSERS_TITLE_H
#define SKIMD_PARSERS_TITLE_H

#include "core/base/bytes.h"

struct bump;

enum { TITLE_MAX = 16 << 10 }; /* bytes; a longer title is cut between two characters */

struct title {
    bool found;        /* false: no title element; an empty one is found with an empty text */
    bool truncated;    /* text was longer than TITLE_MAX */
    struct bytes text; /* well-formed UTF-8, in the arena */
};

/*
 * Parses `html` (well-formed UTF-8) and finds its title. Everything, the title too, is allocated
 * from `bump`; over its memory, deadline or stack the call leaves through bump->escape. Never
 * recurses by the depth of the page.
 */
void title_find(struct bump *bump, struct bytes html, struct title *ret);

#endif
