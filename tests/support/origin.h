/*
 * An HTTP/1.1 origin server for tests, in-process, that can misbehave in every way listed below.
 * One thread of its own runs an epoll loop; each answer is a small script (bytes, delays, how the
 * connection ends) that the loop plays. It listens on 127.x addresses only.
 *
 * What a path answers. D is milliseconds, N and BYTES are decimal; a query value is
 * percent-decoded. Everything is 200, text/html; charset=utf-8 and keep-alive unless said
 * otherwise.
 *
 *   /page/N               a page titled "Page N"; ?size=BYTES pads it, ?ms=D delays the answer
 *   /title?t=T            a page with T as it is between <title> and </title>
 *   /status/CODE          CODE with a page titled "Status CODE"; ?to=URL gives Location (default
 *                         for 301, 302, 303, 307, 308: /page/0), ?after=S gives Retry-After
 *   /redirect/N           N >= 1 redirects (302, relative Location), then /page/0
 *   /redirect-to?url=URL  302 to URL
 *   /loop                 302 to itself
 *   /echo                 the request's head as text/plain
 *   /type?ct=CT           a page with "Content-Type: CT"
 *   /charset?label=L      a page with charset=L, titled ?t=T (default: the bytes "caf\xE9")
 *   /gzip/N /deflate/N    page N (?size, ?ms) with that Content-Encoding; ?raw=1 makes /deflate
 *                         leave the zlib wrapper away, as some servers do
 *   /files/PATH           a file below the site directory, when there is one; never above it
 *
 *   /hold/NAME            a page titled "Hold NAME", once origin_release() opened the gate
 *   /slow?ms=D            the head at once, then a byte of the page every D (default 10)
 *   /drip-headers?ms=D    a byte every D from the first byte of the head on
 *   /huge?bytes=N         text/plain, N times 'x'
 *   /nested/N             N unclosed <div>, and only behind them the title "Nested N"
 *   /misnested/N          N times "<b><i><i>x</b>", and only behind them the title "Misnested N"
 *
 *   /reset                RST instead of an answer
 *   /reset-midway         half of the announced body, then RST
 *   /close                FIN instead of an answer
 *   /short                Content-Length is larger than the body, then FIN
 *   /long                 Content-Length is smaller than the body; the connection stays open
 *   /half-closed          half of the announced body, then shutdown(SHUT_WR); goes on reading
 *   /endless              a chunked body that never ends
 *   /endless-headers      header fields that never end
 *   /garbage              bytes that are not HTTP, then FIN
 *   /bad-chunk            a chunked body whose second chunk size is no number
 *   /lying-gzip           says Content-Encoding: gzip, is plain
 *   /gzip-bomb            256 KiB of gzip that inflate to 256 MiB of zeros; ?layers=2 is that
 *                         gzipped once more (Content-Encoding: gzip, gzip), about 1 KiB
 *
 * HEAD gets the same head and no body; a request body (Content-Length) is read and dropped. An
 * unknown path is a 404 titled "Status 404", a request that is not HTTP/1.x a 400, a head above 64
 * KiB a 431.
 *
 * Further addresses of the same port can play scripts, see origin_script.h.
 *
 * A request is in flight from its complete head until its last byte was given to the kernel or its
 * connection ended. A peer that shuts its side down while its answer is under way counts as gone.
 */
#ifndef SKIMD_TESTS_ORIGIN_H
#define SKIMD_TESTS_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

struct origin;

struct origin_options {
    const char *address; /* IPv4 literal in 127.0.0.0/8; NULL is 127.0.0.1 */
    uint16_t port;       /* 0: the kernel chooses */
    const char *site;    /* directory for /files/; NULL: none */
};

enum origin_counter {
    ORIGIN_ACCEPTED,      /* connections accepted since the start */
    ORIGIN_OPEN,          /* connections open now */
    ORIGIN_REQUESTS,      /* complete request heads seen since the start */
    ORIGIN_IN_FLIGHT,     /* requests in flight now */
    ORIGIN_MAX_IN_FLIGHT, /* the most that were ever in flight in one moment */
    ORIGIN_HELD,          /* requests waiting at the gate now */
    ORIGIN_COUNTERS,
};

/*
 * Starts a server; `options` may be NULL (all defaults) and is not kept. When it returns, the
 * socket accepts. Returns NULL with errno set: EINVAL for an address that is not in 127.0.0.0/8,
 * otherwise what the failing system call said.
 */
struct origin *origin_start(const struct origin_options *options);

/*
 * Closes every connection, whatever it is doing, joins the thread and frees everything. Accepts
 * NULL; returns NULL. Nobody may be inside another call for this origin.
 */
struct origin *origin_stop(struct origin *origin);

/* "http://127.0.0.1:PORT", no slash at the end; lives as long as the origin. Any thread. */
const char *origin_url(const struct origin *origin);
uint16_t origin_port(const struct origin *origin);

/* The counter as it is at this moment. Any thread. */
uint64_t origin_count(struct origin *origin, enum origin_counter counter);

/*
 * Block the calling thread until the counter is >= (<=) `value`, at most `timeout_ms`. False on
 * timeout. A value that was only passed through may go unnoticed. Any thread.
 */
bool origin_wait_at_least(struct origin *origin, enum origin_counter counter, uint64_t value,
                          unsigned timeout_ms);
bool origin_wait_at_most(struct origin *origin, enum origin_counter counter, uint64_t value,
                         unsigned timeout_ms);

/*
 * The gate of /hold/. It is closed at first. origin_release() opens it: all that wait are answered,
 * and so is whoever comes later, until origin_hold() closes it again. Any thread; neither waits.
 */
void origin_release(struct origin *origin);
void origin_hold(struct origin *origin);

#endif
