/*
 * What a page costs in a parser worker: its title or other fields (page_parse(), which stops early)
 * beside decoding and parsing the whole of it by gumbo. README.md in this folder says how it is
 * measured.
 *
 *     bench_parsers                  names of pages on stdin, one a line; none: made-up pages
 *     bench_parsers --memory title   KiB that a process takes for parsing them, one at a time
 *     bench_parsers --memory fields
 *     bench_parsers --memory whole
 */
#include "core/base/buffer.h"
#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/decode.h"
#include "parsers/html.h"
#include "parsers/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

enum {
    ROUNDS_DEFAULT = 5,
    ROUNDS_MAX = 99,
    MADE_UP_PAGES = 300,
    GZIP_LEVEL = 6,
    LINE = 4096,
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "bench_parsers: %s\n", what);
    exit(EXIT_FAILURE);
}

/* -- pages ---------------------------------------------------------------------------------------
 */

#define TITLE FIELD_BIT(FIELD_TITLE)
#define ALL   FIELDS_ALL
#define HEAD  ((ALL & ~fields_of_body()))

enum way {
    TITLE_PLAIN,
    TITLE_PLAIN_DECLARED, /* HTTP says which charset it is */
    HEAD_PLAIN,
    ALL_PLAIN,
    WHOLE_PLAIN,
    TITLE_GZIP,
    TITLE_GZIP_DECLARED,
    HEAD_GZIP,
    ALL_GZIP,
    WHOLE_GZIP,
    WAYS
};

struct page {
    struct buffer plain, gzip;
    double times[WAYS][ROUNDS_MAX], us[WAYS];
    uint64_t decoded[WAYS];
    bool from_prefix[WAYS];
};

static struct page *pages;
static size_t page_count;

static struct page *new_page(void)
{
    struct page *grown = realloc(pages, (page_count + 1) * sizeof *pages);

    if (!grown)
        die("out of memory");
    pages = grown;
    pages[page_count] = (struct page){0};
    return &pages[page_count++];
}

static void read_file(const char *name, struct buffer *out)
{
    FILE *f = fopen(name, "rb");
    char chunk[1 << 16];
    size_t got;

    if (!f)
        die(name);
    out->len = 0;
    while ((got = fread(chunk, 1, sizeof chunk, f)) > 0)
        buffer_append(out, chunk, got);
    fclose(f);
    if (out->failed)
        die("out of memory");
}

/* The same at every call: words of text, small pages more often than large ones. */
static void make_up(unsigned number, struct buffer *out)
{
    static const char *const words[] = {"the",    "of",     "and",    "page", "title", "worker",
                                        "header", "stream", "socket", "byte", "guard", "record"};
    uint32_t random = number * 2654435761u;
    size_t size = (size_t)1024 << (random >> 8) % 8;

    buffer_printf(out,
                  "<!doctype html>\n<html><head><meta charset=utf-8>"
                  "<title>Page %u &amp; more</title></head>\n<body>\n",
                  number);
    while (out->len < size) {
        buffer_text(out, "<p class=x>");
        for (int i = 0; i < 12; i++) {
            random = random * 1664525 + 1013904223;
            buffer_printf(out, "%s ", words[(random >> 16) % (sizeof words / sizeof words[0])]);
        }
        buffer_text(out, "</p>\n");
    }
    if (out->failed)
        die("out of memory");
}

static void load_pages(void)
{
    char name[LINE];

    while (fgets(name, sizeof name, stdin)) {
        name[strcspn(name, "\n")] = '\0';
        read_file(name, &new_page()->plain);
    }
    for (unsigned i = 0; page_count == i && i < MADE_UP_PAGES; i++)
        make_up(i, &new_page()->plain); /* no name was given */
}

static void compress_page(struct page *page)
{
    z_stream z = {0};
    size_t bound = compressBound((uLong)page->plain.len) + 64;

    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        !buffer_reserve(&page->gzip, bound))
        die("out of memory");
    z.next_in = (Bytef *)page->plain.ptr;
    z.avail_in = (uInt)page->plain.len;
    z.next_out = (Bytef *)page->gzip.ptr;
    z.avail_out = (uInt)bound;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        die("deflate fails");
    page->gzip.len = bound - z.avail_out;
    deflateEnd(&z);
}

/* -- what is measured ----------------------------------------------------------------------------
 */

static struct page_parser *parser;
static struct bump bump;
static struct decoder *decoder;

static void set_up(void)
{
    decoder = decoder_create();
    if (!decoder || bump_init(&bump, BUMP_LIMIT_DEFAULT) < 0 || page_parser_create(0, &parser) < 0)
        die("out of memory");
}

static bool is_gzip(enum way way)
{
    return way >= TITLE_GZIP;
}

static field_set fields_of(enum way way)
{
    switch (way) {
    case HEAD_PLAIN:
    case HEAD_GZIP:
        return HEAD;
    case ALL_PLAIN:
    case ALL_GZIP:
        return ALL;
    default:
        return TITLE;
    }
}

/* The way that a worker goes. */
static void parse(struct page *page, enum way way)
{
    bool declared = way == TITLE_PLAIN_DECLARED || way == TITLE_GZIP_DECLARED;
    struct page_facts facts;
    struct page_request request = {
        .body = buffer_bytes(is_gzip(way) ? &page->gzip : &page->plain),
        .content_type = declared ? BYTES("text/html; charset=utf-8") : BYTES("text/html"),
        .content_encoding = is_gzip(way) ? BYTES("gzip") : BYTES(""),
        .url = BYTES("http://a.example/"),
        .fields = fields_of(way),
        .max_decoded_bytes = 64 << 20,
        .deadline_ns = CLOCK_NEVER,
    };

    if (page_parse(parser, &request, &facts) != PAGE_OK)
        die("a page cannot be parsed");
    page->decoded[way] = facts.decoded_bytes;
    page->from_prefix[way] = facts.from_prefix;
}

static struct bytes inflate_whole(struct bytes body)
{
    const struct decode_limits limits = {.max_bytes = 64 << 20, .deadline_ns = CLOCK_NEVER};
    char *text = bump_alloc(&bump, 0);
    size_t len = 0, capacity = 0, got;

    if (decoder_begin(decoder, body, BYTES("gzip"), &limits) < 0)
        die("a page cannot be decoded");
    do {
        if (capacity - len < DECODE_CHUNK) {
            bump_resize_last(&bump, text, capacity, 2 * capacity + DECODE_CHUNK);
            capacity = 2 * capacity + DECODE_CHUNK;
        }
        if (decoder_read(decoder, text + len, capacity - len, &got) < 0)
            die("a page cannot be decoded");
        len += got;
    } while (got > 0);
    bump_resize_last(&bump, text, capacity, len);
    return bytes_of(text, len);
}

/* All of it decoded, made UTF-8 and parsed by gumbo in the same arena; no title is looked for. */
static void whole(struct page *page, bool gzip)
{
    struct bytes text;
    struct html html;

    bump_begin(&bump, CLOCK_NEVER);
    if (setjmp(bump.escape))
        die("a page takes too much memory");
    struct bytes body =
        gzip ? inflate_whole(buffer_bytes(&page->gzip)) : buffer_bytes(&page->plain);
    if (convert_to_utf8(NULL, &bump, charset_guess(body, false), body, false, &text) < 0)
        die("a page cannot be read");
    html_parse(&bump, text, &html);
}

/* CPU time: other work on the machine does not count. */
static double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double measure(struct page *page, enum way way)
{
    double start = now_us();

    if (way == WHOLE_PLAIN || way == WHOLE_GZIP)
        whole(page, is_gzip(way));
    else
        parse(page, way);
    return now_us() - start;
}

/* -- the table -----------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/*
 * All pages in one way, then in the next, and that several times over; a page's time is the median.
 * So the code is where it is in a worker that does nothing else, and a page's bytes have been away.
 */
static void run(size_t rounds)
{
    for (size_t round = 0; round < rounds; round++)
        for (int way = 0; way < WAYS; way++)
            for (size_t i = 0; i < page_count; i++)
                pages[i].times[way][round] = measure(&pages[i], (enum way)way);
    for (size_t i = 0; i < page_count; i++)
        for (int way = 0; way < WAYS; way++)
            pages[i].us[way] = median(pages[i].times[way], rounds);
}

struct figures {
    double median, mean;
};

static struct figures figures_of(enum way way)
{
    double *times = malloc(page_count * sizeof *times), sum = 0;

    if (!times)
        die("out of memory");
    for (size_t i = 0; i < page_count; i++)
        sum += times[i] = pages[i].us[way];
    struct figures f = {median(times, page_count), sum / (double)page_count};
    free(times);
    return f;
}

static void print_row(const char *what, enum way way)
{
    struct figures t = figures_of(way), w = figures_of(is_gzip(way) ? WHOLE_GZIP : WHOLE_PLAIN);
    uint64_t bytes = 0, decoded = 0;
    size_t from_prefix = 0;

    for (size_t i = 0; i < page_count; i++) {
        bytes += pages[i].plain.len;
        decoded += pages[i].decoded[way];
        from_prefix += pages[i].from_prefix[way];
    }
    printf("| %s | %.1f | %.0f | %.1f | %.1f | %.0f | %.1f | %.0f %% | %zu |\n", what, t.median,
           w.median, w.median / t.median, t.mean, w.mean, w.mean / t.mean,
           100.0 * (double)decoded / (double)bytes, from_prefix);
}

static void print_table(void)
{
    size_t bytes = 0;

    for (size_t i = 0; i < page_count; i++)
        bytes += pages[i].plain.len;
    printf("%zu pages, %zu KiB on average.\n\n", page_count, bytes / 1024 / page_count);
    printf(
        "| what | median us | whole | times | mean us | whole | times | decoded | by a beginning "
        "|\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    print_row("title", TITLE_PLAIN);
    print_row("title, charset in HTTP", TITLE_PLAIN_DECLARED);
    print_row("all of the head", HEAD_PLAIN);
    print_row("all fields", ALL_PLAIN);
    print_row("title, gzip", TITLE_GZIP);
    print_row("title, gzip, charset in HTTP", TITLE_GZIP_DECLARED);
    print_row("all of the head, gzip", HEAD_GZIP);
    print_row("all fields, gzip", ALL_GZIP);
}

/* -- memory --------------------------------------------------------------------------------------
 */

/* A line of /proc/self/status, in KiB. */
static long status_kib(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[LINE];
    long kib = -1;

    while (f && kib < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

/* The growth of the process while it parses gzip bodies that are there already. */
static void print_memory(const char *what)
{
    enum way way = strcmp(what, "title") == 0    ? TITLE_GZIP
                   : strcmp(what, "fields") == 0 ? ALL_GZIP
                                                 : WHOLE_GZIP;
    long before = status_kib("VmHWM:");

    for (size_t i = 0; i < page_count; i++)
        (void)measure(&pages[i], way);
    printf("%ld\n", status_kib("VmHWM:") - before);
}

int main(int argc, char **argv)
{
    const char *rounds = getenv("ROUNDS");
    size_t count = rounds ? strtoul(rounds, NULL, 10) : ROUNDS_DEFAULT;
    bool memory = argc == 3 && strcmp(argv[1], "--memory") == 0;

    if ((argc > 1 && !memory) || count < 1 || count > ROUNDS_MAX)
        die("usage: bench_parsers [--memory title|fields|whole] < NAMES; ROUNDS=1..99");
    load_pages();
    for (size_t i = 0; i < page_count; i++)
        compress_page(&pages[i]);
    set_up();
    if (memory) {
        print_memory(argv[2]);
        return 0;
    }
    run(count);
    print_table();
    return 0;
}
