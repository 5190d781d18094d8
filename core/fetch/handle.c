#include "core/fetch/handle.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* We undo these in the workers, not here. */
#define CONTENT_CODINGS "gzip, deflate, br, zstd"
#define AGENT_NAME      "User-Agent: "

/* After a first failure the rest is left alone. */
#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(c, option, value) : rc

/*
 * libcurl keeps the certificates that it has loaded (7.87 on, for each multi handle) only where
 * they come from a file alone; Debian's has a directory, too, and would read all of it for each
 * connection. From 8.21 on NULL stands for the default directory again: that is slower, and right.
 */
static CURLcode set_tls_options(CURL *c, const struct engine *e)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* or newer */
    if (e->ca_file) {
        SET(CURLOPT_CAINFO, e->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (e->ca_file && e->options.proxy) { /* that the proxy itself is known by */
        SET(CURLOPT_PROXY_CAINFO, e->ca_file);
        SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    if (e->share)
        SET(CURLOPT_SHARE, e->share);
    return rc;
}

static CURLcode set_constant_options(CURL *c, const struct engine *e)
{
    CURLcode rc = CURLE_OK;

    /* CURLOPT_CURLU has it all. Without this a new handle would print that one's URL, for nobody;
     * where libcurl tries again on another connection it resolves this against that one. */
    SET(CURLOPT_URL, "/");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    /* A redirect is a fetch of its own: its origin has limits too. */
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    /* Neither of them from the environment: what NO_PROXY lists would go past proxy and guard. */
    SET(CURLOPT_PROXY, e->options.proxy ? e->options.proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* the head is the host's */
    SET(CURLOPT_HTTP_VERSION, e->http_version);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)e->options.connect_timeout_ms);
    /* Addresses come from us: a cache of them would only be walked through for each transfer. */
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    /* The one look-up left is the proxy's: one that hangs must not hold the loop up at the end. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    return rc == CURLE_OK ? set_tls_options(c, e) : rc;
}

bool handle_open(struct handle *h, const struct engine *e)
{
    h->easy = curl_easy_init();
    return h->easy && set_constant_options(h->easy, e) == CURLE_OK;
}

void handle_close(struct handle *h)
{
    if (h->easy)
        curl_easy_cleanup(h->easy);
    free(h->agent.data);
    *h = (struct handle){0};
}

/*
 * Our own fields stand in a list before the caller's, which is cheaper than libcurl's options for
 * them: those are formatted twice for each request. libcurl borrows the list, so the entries may
 * be changed in place.
 */
static CURLcode set_headers(struct handle *h, const struct transfer_request *request)
{
    static char codings[] = "Accept-Encoding: " CONTENT_CODINGS;
    struct curl_slist *theirs = request->headers ? request->headers->lines : NULL;
    size_t name = strlen(AGENT_NAME);

    h->codings = (struct curl_slist){.data = codings, .next = theirs};
    h->agent.next = request->identity ? theirs : &h->codings;
    if (h->agent.data && strcmp(h->agent.data + name, request->user_agent) == 0)
        return CURLE_OK;
    char *text;
    if (asprintf(&text, AGENT_NAME "%s", request->user_agent) < 0)
        return CURLE_OUT_OF_MEMORY;
    free(h->agent.data);
    h->agent.data = text;
    return curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, &h->agent);
}

/*
 * Without host and port the entry holds for whatever the URL says, so there is no name that libcurl
 * could spell in another way than we do, and go on to look up.
 */
static CURLcode set_pin(struct handle *h, const struct address *address)
{
    char ip[INET6_ADDRSTRLEN] = "";

    if (address && address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, ip, sizeof ip);
        snprintf(h->pin_text, sizeof h->pin_text, "::[%s]:%u", ip, ntohs(address->v6.sin6_port));
    } else if (address) {
        inet_ntop(AF_INET, &address->v4.sin_addr, ip, sizeof ip);
        snprintf(h->pin_text, sizeof h->pin_text, "::%s:%u", ip, ntohs(address->v4.sin_port));
    }
    if (h->is_pinned == (address != NULL))
        return CURLE_OK;
    h->is_pinned = address != NULL;
    h->pin.data = h->pin_text;
    return curl_easy_setopt(h->easy, CURLOPT_CONNECT_TO, address ? &h->pin : NULL);
}

static CURLcode set_insecure(struct handle *h, bool insecure)
{
    CURL *c = h->easy;
    CURLcode rc = CURLE_OK;

    if (h->insecure != insecure) {
        h->insecure = insecure;
        SET(CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
        SET(CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
    }
    return rc;
}

static CURLcode set_speed_limit(struct handle *h, long bytes, long seconds)
{
    CURL *c = h->easy;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_LOW_SPEED_LIMIT, bytes);
    SET(CURLOPT_LOW_SPEED_TIME, seconds);
    h->watches_speed = bytes > 0;
    return rc;
}

void handle_watch_speed(struct handle *h, const struct engine_options *options)
{
    if (options->low_speed_ms > 0 && options->low_speed_bytes > 0)
        set_speed_limit(h, (long)options->low_speed_bytes, (options->low_speed_ms + 999L) / 1000);
}

static CURLcode set_receive_buffer(struct handle *h, size_t bytes)
{
    if (h->receive_bytes == bytes)
        return CURLE_OK;
    h->receive_bytes = bytes;
    return curl_easy_setopt(h->easy, CURLOPT_BUFFERSIZE, (long)bytes);
}

bool handle_prepare(struct handle *h, const struct engine *e,
                    const struct transfer_request *request)
{
    /* Connections to a proxy are of use to others, but for those that lead through it. */
    bool last =
        request->last && engine_is_crowded(e) && (!e->options.proxy || request->target->is_tls);
    CURL *c = h->easy;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_CURLU, request->target->handle);
    if (rc == CURLE_OK)
        rc = set_headers(h, request);
    if (rc == CURLE_OK)
        rc = set_pin(h, request->address);
    if (rc == CURLE_OK)
        rc = set_insecure(h, request->insecure);
    if (rc == CURLE_OK && (h->receive_bytes == 0 || e->buffers_may_change))
        rc = set_receive_buffer(h, engine_receive_buffer(e));
    if (h->timeout_ms != request->timeout_ms)
        SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    if (h->last != last)
        SET(CURLOPT_FORBID_REUSE, last ? 1L : 0L);
    if (rc == CURLE_OK && h->watches_speed)
        rc = set_speed_limit(h, 0, 0);
    h->timeout_ms = request->timeout_ms;
    h->last = last;
    return rc == CURLE_OK;
}
