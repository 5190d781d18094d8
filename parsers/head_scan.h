/*
 * The title of a page, and the charset that its head declares, found in the page's bytes without a
 * tree. This is no parser: it reads what nearly all heads are made of, and of anything else it says
 * that it does not know. What it does tell is what the parse of the whole page tells (html.h).
 *
 *     <!DOCTYPE html> <html> <head> <meta charset=utf-8> <script>...</script> <title>A &amp;
 * B</title> each token passed over as the tokenizer ends it                               ▲ the
 * answer
 *
 * Why that is so (HTML standard, section 13.2.6, tree construction). What is passed over is
 *
 *   white space, comments, DOCTYPEs, <!...> and <?...> (bogus comments, or DOCTYPEs)
 *   html, head                              start tags; where there is one already they are ignored
 *   base basefont bgsound link meta         elements without content
 *   title style noframes script             with content that has no tags in it
 *   noscript                                with nothing in it but those that may stand in a head's
 *   end tags of those but html and head     where nothing of the kind is open they are ignored
 *
 * - None of them leaves the modes "initial", "before html", "before head" and "in head", whatever
 *   the order: a start tag other than html and head makes the head if there is none, white space is
 *   dropped or put into the head. So a title that is met was put into the head, and is the first of
 *   the page: a title that is certain, by title.h.
 * - All else may leave those modes, or opens an element whose content is another matter (template,
 *   svg), or is a case for the standard's small print: the scan is lost there, for good. That may
 *   be text, NUL, a character reference, `</head>`, `<` without a name.
 * - A comment, a tag and a DOCTYPE end where the tokenizer ends them. A `>` in quotes ends no tag,
 *   but does end a DOCTYPE, an abrupt one. A comment with `--!>`, which ends it, is not known here.
 * - Content of title, style, noframes and script ends at its own end tag, in a script with the
 *   standard's states for `<!--` and `<script` in it.
 * - The first meta element that declares a charset is the first of the page for the same reasons
 *   (late_meta.h). One with a reference or non-ASCII in what would declare it is not known.
 *
 * Bytes are read as they are, in any encoding that keeps ASCII (charset_keeps_ascii()): what ends a
 * token, or makes a name, means the same in all of them.
 */
#ifndef SKIMD_PARSERS_HEAD_SCAN_H
#define SKIMD_PARSERS_HEAD_SCAN_H

#include "parsers/label.h"

/* A scan of bytes of which more may come. The first is set to begin with, the rest zeroed. */
struct head_scan {
    bool wants_charset; /* else meta elements are no matter */

    size_t at; /* so far the page is read: behind a token */
    bool in_noscript;
    bool is_lost;
    bool has_title;
    size_t title_start, title_end; /* the content of its title, between the tags */
    enum charset charset;          /* what the first meta element that declares one declares */
};

enum head_scan_result {
    HEAD_SCAN_FOUND, /* what was to be found */
    HEAD_SCAN_MORE,  /* nothing is known against what was read, but the bytes end */
    HEAD_SCAN_LOST,  /* what comes at scan->at, and behind it, only a parse tells */
};

/*
 * Goes on until the title is found, and where it is wanted a charset that is declared. `page` has
 * no byte order mark; the same bytes with more behind them at each call. In any case what *scan has
 * is right: a title that is set, a charset, and that none is declared up to scan->at. Takes time
 * for the bytes behind scan->at, once. Pure.
 */
enum head_scan_result head_scan(struct head_scan *scan, struct bytes page);

#endif
