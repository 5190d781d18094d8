/*
 * The encoding that a meta element declares: <meta charset=...>, or <meta http-equiv=content-type
 * content="text/html; charset=...">.
 */
#ifndef SKIMD_PARSERS_META_H
#define SKIMD_PARSERS_META_H

#include "parsers/label.h"
#include "parsers/tag.h"

/* The values of a meta element's attributes; `ptr` is NULL for one that it does not have. */
struct meta_attributes {
    struct bytes charset, http_equiv, content;
};

/*
 * Reads them from a tag, behind its "<meta" and up to its '>', where the scan is then; of two
 * attributes of a name the first counts. Character references stay as they are written. False when
 * the bytes end first.
 */
bool meta_read_tag(struct tag_scan *scan, struct meta_attributes *ret);

/*
 * The encoding that the element declares, as the parse finds it (HTML standard, "in head" insertion
 * mode, a start tag "meta"); CHARSET_NONE when it declares none that is known. UTF-16 and
 * x-user-defined are replaced as charset_of_inner_label() does.
 */
enum charset meta_charset(const struct meta_attributes *attributes);

/*
 * For attributes as meta_read_tag() has them, where the parse may have others: a value with a
 * character reference or a byte beyond ASCII in it is not plain, and may be anything. False: the
 * element declares nothing for sure. *ret_plain says that meta_charset() tells what it declares.
 */
bool meta_may_declare(const struct meta_attributes *attributes, bool *ret_plain);

/*
 * The label in a content attribute (HTML standard, "algorithm for extracting a character encoding
 * from a meta element"), borrowed from it; empty without one.
 */
struct bytes meta_content_label(struct bytes content);

#endif
