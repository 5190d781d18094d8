#include "parsers/text.h"

#include "parsers/bump.h"
#include "parsers/collapse.h"
#include "parsers/html.h"

#include <gumbo.h>

/* -- what elements do -------------------------------------------------------------------------- */

/* By the "rendered text collection steps" of innerText (HTML standard), and what the section
 * "Rendering" says of `display`. Elements that are not here are inline. */
enum role {
    INLINE,
    HIDDEN,    /* neither it nor what is in it is shown */
    BLOCK,     /* on lines of its own */
    PARAGRAPH, /* the same, parted by an empty line */
    PRE,       /* a block that keeps its white space */
    ROW,       /* a block of cells */
    CELL,      /* parted by a tab from the one in front of it */
    BREAK,     /* ends a line */
    CHOICE,    /* shows its options and nothing else that is in it */
};

static const unsigned char roles[GUMBO_TAG_LAST] = {
    /* display: none */
    [GUMBO_TAG_HEAD] = HIDDEN,
    [GUMBO_TAG_TITLE] = HIDDEN,
    [GUMBO_TAG_STYLE] = HIDDEN,
    [GUMBO_TAG_SCRIPT] = HIDDEN,
    [GUMBO_TAG_TEMPLATE] = HIDDEN,
    [GUMBO_TAG_DATALIST] = HIDDEN,
    [GUMBO_TAG_NOEMBED] = HIDDEN,
    [GUMBO_TAG_NOFRAMES] = HIDDEN,
    [GUMBO_TAG_RP] = HIDDEN,
    /* for who has no scripts, as a browser has */
    [GUMBO_TAG_NOSCRIPT] = HIDDEN,
    /* replaced elements: what is in them is for who cannot show them, or what an input begins with
     */
    [GUMBO_TAG_IFRAME] = HIDDEN,
    [GUMBO_TAG_VIDEO] = HIDDEN,
    [GUMBO_TAG_AUDIO] = HIDDEN,
    [GUMBO_TAG_CANVAS] = HIDDEN,
    [GUMBO_TAG_OBJECT] = HIDDEN,
    [GUMBO_TAG_PROGRESS] = HIDDEN,
    [GUMBO_TAG_METER] = HIDDEN,
    [GUMBO_TAG_TEXTAREA] = HIDDEN,
    /* innerText has the labels of a drawing; they make no text without it */
    [GUMBO_TAG_SVG] = HIDDEN,
    /* innerText has all options, chosen or not */
    [GUMBO_TAG_SELECT] = CHOICE,
    [GUMBO_TAG_OPTGROUP] = CHOICE,
    [GUMBO_TAG_OPTION] = BLOCK,
    /* display: block, list-item and the like */
    [GUMBO_TAG_BODY] = BLOCK,
    [GUMBO_TAG_ADDRESS] = BLOCK,
    [GUMBO_TAG_BLOCKQUOTE] = BLOCK,
    [GUMBO_TAG_CENTER] = BLOCK,
    [GUMBO_TAG_DIV] = BLOCK,
    [GUMBO_TAG_FIGURE] = BLOCK,
    [GUMBO_TAG_FIGCAPTION] = BLOCK,
    [GUMBO_TAG_FOOTER] = BLOCK,
    [GUMBO_TAG_FORM] = BLOCK,
    [GUMBO_TAG_HEADER] = BLOCK,
    [GUMBO_TAG_HR] = BLOCK,
    [GUMBO_TAG_MAIN] = BLOCK,
    [GUMBO_TAG_ARTICLE] = BLOCK,
    [GUMBO_TAG_ASIDE] = BLOCK,
    [GUMBO_TAG_NAV] = BLOCK,
    [GUMBO_TAG_SECTION] = BLOCK,
    [GUMBO_TAG_HGROUP] = BLOCK,
    [GUMBO_TAG_H1] = BLOCK,
    [GUMBO_TAG_H2] = BLOCK,
    [GUMBO_TAG_H3] = BLOCK,
    [GUMBO_TAG_H4] = BLOCK,
    [GUMBO_TAG_H5] = BLOCK,
    [GUMBO_TAG_H6] = BLOCK,
    [GUMBO_TAG_DIR] = BLOCK,
    [GUMBO_TAG_MENU] = BLOCK,
    [GUMBO_TAG_OL] = BLOCK,
    [GUMBO_TAG_UL] = BLOCK,
    [GUMBO_TAG_LI] = BLOCK,
    [GUMBO_TAG_DL] = BLOCK,
    [GUMBO_TAG_DT] = BLOCK,
    [GUMBO_TAG_DD] = BLOCK,
    [GUMBO_TAG_FIELDSET] = BLOCK,
    [GUMBO_TAG_LEGEND] = BLOCK,
    [GUMBO_TAG_DETAILS] = BLOCK, /* as if open: who reads opens it */
    [GUMBO_TAG_SUMMARY] = BLOCK,
    [GUMBO_TAG_TABLE] = BLOCK,
    [GUMBO_TAG_CAPTION] = BLOCK,
    [GUMBO_TAG_P] = PARAGRAPH,
    [GUMBO_TAG_PRE] = PRE,
    [GUMBO_TAG_LISTING] = PRE,
    [GUMBO_TAG_PLAINTEXT] = PRE,
    [GUMBO_TAG_XMP] = PRE,
    [GUMBO_TAG_TR] = ROW,
    [GUMBO_TAG_TD] = CELL,
    [GUMBO_TAG_TH] = CELL,
    [GUMBO_TAG_BR] = BREAK,
};

static bool has(const GumboElement *element, const char *attribute)
{
    return gumbo_get_attribute(&element->attributes, attribute) != NULL;
}

/* Whether it bears this name, for which some versions of gumbo have a tag. */
static bool is_named(const GumboElement *element, struct bytes name)
{
    GumboStringPiece tag = element->original_tag;

    if (element->tag != GUMBO_TAG_UNKNOWN)
        return bytes_equal(bytes_cstr(gumbo_normalized_tagname(element->tag)), name);
    if (!tag.data)
        return false;
    gumbo_tag_from_original_text(&tag);
    return tag.data && bytes_equal_nocase(bytes_of(tag.data, tag.length), name);
}

static enum role role_of(const GumboNode *node)
{
    const GumboElement *element = &node->v.element;

    if (element->tag_namespace == GUMBO_NAMESPACE_SVG)
        return HIDDEN;
    if (element->tag_namespace == GUMBO_NAMESPACE_MATHML)
        return element->tag == GUMBO_TAG_ANNOTATION_XML || is_named(element, BYTES("annotation"))
                   ? HIDDEN
                   : INLINE;
    if (has(element, "hidden"))
        return HIDDEN;
    if (is_named(element, BYTES("dialog")))
        return has(element, "open") ? BLOCK : HIDDEN;
    if (is_named(element, BYTES("search")))
        return BLOCK;
    return (enum role)roles[element->tag];
}

/* -- writing ----------------------------------------------------------------------------------- */

enum { LINES_MAX = 2 }; /* line breaks in a row, but in a pre: one empty line */

/* What stands between two characters is not written before the second of them is there. */
struct writer {
    char *text;
    size_t most, len;
    size_t breaks;     /* pending: those of br, and of a pre */
    unsigned required; /* pending: those that blocks ask for, which take each other's place */
    size_t tabs;       /* pending */
    bool space;        /* pending */
    bool full;
    bool row_begins; /* no cell of this row was entered */
    unsigned pre;    /* how many are open */
};

static void put(struct writer *w, const char *bytes, size_t len)
{
    size_t room = w->most - w->len, n = len < room ? len : room;

    memcpy(w->text + w->len, bytes, n);
    w->len += n;
    w->full |= n < len;
}

static void put_many(struct writer *w, char c, size_t count)
{
    for (; count > 0 && !w->full; count--)
        put(w, &c, 1);
}

/* Writes what is pending; nothing at the beginning. */
static void put_pending(struct writer *w)
{
    size_t lines = w->breaks + w->required;

    if (lines > LINES_MAX) /* a pre may have more */
        lines = w->breaks > LINES_MAX ? w->breaks : LINES_MAX;
    if (w->len > 0) {
        put_many(w, '\n', lines);
        put_many(w, '\t', w->tabs);
        put_many(w, ' ', w->space);
    }
    w->breaks = w->tabs = 0;
    w->required = 0;
    w->space = false;
}

static void require_lines(struct writer *w, unsigned lines)
{
    if (w->required < lines)
        w->required = lines;
    w->tabs = 0;
    w->space = false;
}

static void end_line(struct writer *w)
{
    w->breaks++;
    w->tabs = 0;
    w->space = false;
}

/* -- texts ------------------------------------------------------------------------------------- */

static void put_white_space(struct writer *w, char c)
{
    if (!w->pre) {
        w->space = w->breaks + w->required + w->tabs == 0;
    } else if (c == '\n') {
        end_line(w);
    } else if (w->len > 0) {
        put_pending(w);
        put(w, c == '\t' ? "\t" : " ", 1);
    }
}

static void put_text(struct writer *w, const char *text)
{
    while (*text && !w->full) {
        size_t word = 0;

        while (text[word] && !ascii_is_space(text[word]))
            word++;
        if (word == 0) {
            put_white_space(w, *text++);
            continue;
        }
        put_pending(w);
        put(w, text, word);
        text += word;
    }
}

/* -- elements ---------------------------------------------------------------------------------- */

/* False: what is in it is left out. */
static bool enter(struct writer *w, const GumboNode *node)
{
    switch (role_of(node)) {
    case HIDDEN:
        return false;
    case PRE:
        w->pre++;
        require_lines(w, 1);
        break;
    case ROW:
        w->row_begins = true;
        require_lines(w, 1);
        break;
    case BLOCK:
        require_lines(w, 1);
        break;
    case PARAGRAPH:
        require_lines(w, 2);
        break;
    case CELL:
        w->tabs += !w->row_begins;
        w->space = false;
        w->row_begins = false;
        break;
    case BREAK:
        if (w->breaks < LINES_MAX)
            end_line(w);
        break;
    case INLINE:
    case CHOICE:
        break;
    }
    return true;
}

static void leave(struct writer *w, const GumboNode *node)
{
    switch (role_of(node)) {
    case PRE:
        w->pre--;
        w->breaks -= w->breaks > 0; /* the last one ends its last line and begins none */
        require_lines(w, 1);
        break;
    case ROW:
        w->row_begins = false; /* the cells of the table around it go on */
        require_lines(w, 1);
        break;
    case BLOCK:
        require_lines(w, 1);
        break;
    case PARAGRAPH:
        require_lines(w, 2);
        break;
    case HIDDEN:
    case CELL:
    case BREAK:
    case INLINE:
    case CHOICE:
        break;
    }
}

/* The first body element among the children of the root, or NULL: a frameset has none. */
static const GumboNode *body_of(const GumboNode *root)
{
    const GumboVector *children = &root->v.element.children;

    for (unsigned i = 0; i < children->length; i++) {
        const GumboNode *child = children->data[i];
        if (child->type == GUMBO_NODE_ELEMENT && child->v.element.tag == GUMBO_TAG_BODY)
            return child;
    }
    return NULL;
}

size_t text_of(struct bump *bump, const struct html *html, char *to, size_t most, bool *ret_cut)
{
    struct writer w = {.text = to, .most = most};
    const GumboNode *body = html->root ? body_of(html->root) : NULL, *node;
    struct html_walk walk;

    *ret_cut = false;
    if (!body || role_of(body) == HIDDEN)
        return 0;
    html_walk_element(&walk, bump, body);
    for (enum html_event event; !w.full && (event = html_step(&walk, &node)) != HTML_END;) {
        if (event == HTML_LEAVE)
            leave(&w, node);
        else if (event == HTML_ENTER && !enter(&w, node))
            html_skip(&walk);
        else if (event == HTML_TEXT && roles[node->parent->v.element.tag] != CHOICE)
            put_text(&w, node->v.text.text);
    }
    *ret_cut = w.full;
    size_t len = html_restore(html, to, w.len);
    return w.full ? collapse_cut(to, len) : bytes_trim(bytes_of(to, len)).len;
}
