/*
 * An element of gumbo's tree, and what its attributes say. For those who look at nodes.
 */
#ifndef SKIMD_PARSERS_ELEMENT_H
#define SKIMD_PARSERS_ELEMENT_H

#include "core/base/bytes.h"

#include <gumbo.h>

struct bump;
struct html;

/* Whether the node is such an element of the HTML namespace, and no template. */
bool element_is(const GumboNode *node, GumboTag tag);

/*
 * The value of an attribute as the page has it (html_restore()), well-formed UTF-8, in the arena;
 * ptr is NULL without the attribute. `name` in lower case.
 */
struct bytes element_attribute(struct bump *bump, const struct html *html, const GumboNode *element,
                               const char *name);

/* The same with ASCII white space stripped and collapsed. */
struct bytes element_words(struct bump *bump, const struct html *html, const GumboNode *element,
                           const char *name);

/* Takes the first word off a list that white space parts; empty: there is none. */
struct bytes element_next_word(struct bytes *words);

/* Whether `word` is among the words of an attribute like rel or class (in any case). */
bool element_has_word(const GumboNode *element, const char *name, struct bytes word);

#endif
