#include "core/fetch/fetch_error.h"

#include <stddef.h>

struct code_info {
    const char *name;
    const char *message;
    enum fetch_retry retry;
};

static const struct code_info codes[] = {[FETCH_OK] = {"ok", "No error", FETCH_RETRY_NEVER},
#define X(constant, name, message, retry)                                                          \
    [FETCH_##constant] = {(name), (message), FETCH_RETRY_##retry},
                                         FETCH_CODES(X)
#undef X
};

static const struct code_info *code_info(int code)
{
    if (code < FETCH_OK || (size_t)code >= sizeof codes / sizeof *codes)
        code = FETCH_INTERNAL;
    return &codes[code];
}

const char *fetch_code_name(int code)
{
    return code_info(code)->name;
}

const char *fetch_code_message(int code)
{
    return code_info(code)->message;
}

bool fetch_code_retryable(int code, enum fetch_phase phase)
{
    switch (code_info(code)->retry) {
    case FETCH_RETRY_NEVER:
        return false;
    case FETCH_RETRY_ALWAYS:
        return true;
    case FETCH_RETRY_BEFORE_BYTES:
        return phase != FETCH_RECEIVING;
    }
    return false;
}

enum fetch_code fetch_code_of_curl(CURLcode result, enum fetch_phase phase)
{
    /*
     * CURLcode has a hundred values, most of them for protocols that are switched off or for errors
     * in our own use of libcurl, and the running library may know more than its header: here, other
     * than in our own enums, a default is right.
     */
    switch (result) {
    case CURLE_OK:
        return FETCH_OK;

    case CURLE_URL_MALFORMAT:
        return FETCH_INVALID_URL;
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* Once connected, it is an answer in HTTP/0.9 or with an HTTP version out of the blue. */
        return phase == FETCH_CONNECTING ? FETCH_UNSUPPORTED_SCHEME : FETCH_PROTOCOL_ERROR;

    case CURLE_COULDNT_RESOLVE_HOST:
        return FETCH_DNS_FAILURE;

    case CURLE_COULDNT_RESOLVE_PROXY: /* the proxy is the way to the host, not the host */
    case CURLE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_QUIC_CONNECT_ERROR:
    case CURLE_GOT_NOTHING: /* closed without a byte; libcurl 7 calls that receiving */
        return FETCH_CONNECT_FAILURE;

    case CURLE_SEND_ERROR: /* reset or closed while the request was sent */
    case CURLE_RECV_ERROR: /* reset while reading; broken chunks in libcurl 7 and 8 */
        return phase == FETCH_RECEIVING ? FETCH_PROTOCOL_ERROR : FETCH_CONNECT_FAILURE;

    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: /* the server wants a certificate from us */
    case CURLE_SSL_SHUTDOWN_FAILED:
#if LIBCURL_VERSION_NUM >= 0x080800
    case CURLE_ECH_REQUIRED:
#endif
        return FETCH_TLS_FAILURE;

    case CURLE_OPERATION_TIMEDOUT:
        return FETCH_TIMEOUT; /* in every phase; the phase says whether to try again */

    case CURLE_TOO_MANY_REDIRECTS:
        return FETCH_TOO_MANY_REDIRECTS;

    case CURLE_FILESIZE_EXCEEDED:
        return FETCH_BODY_TOO_LARGE;

    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:         /* ended before Content-Length or the last chunk */
    case CURLE_BAD_CONTENT_ENCODING: /* an unknown Transfer-Encoding: contents are not decoded here
                                      */
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP3:
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE: /* a header line beyond what libcurl takes */
#endif
        return FETCH_PROTOCOL_ERROR;

    /* Our own mistakes and shortages, but for what libcurl says so of an answer it cannot read. */
    case CURLE_OUT_OF_MEMORY:         /* before 8.6: a header line beyond 100 KiB */
    case CURLE_BAD_FUNCTION_ARGUMENT: /* a trailer without a colon, a folded line without a first */
        return phase == FETCH_RECEIVING ? FETCH_PROTOCOL_ERROR : FETCH_INTERNAL;

    /*
     * What is left: a callback of ours that did not leave its cause (CURLE_WRITE_ERROR,
     * CURLE_ABORTED_BY_CALLBACK), trouble of this machine (CURLE_SSL_CACERT_BADFILE and the other
     * local TLS files and engines, CURLE_INTERFACE_FAILED, CURLE_UNRECOVERABLE_POLL), misuse of
     * libcurl, features that are never asked for, other protocols.
     */
    default:
        return FETCH_INTERNAL;
    }
}

enum fetch_phase fetch_phase_of_curl(CURL *easy)
{
    curl_off_t first_byte = 0, ready = 0;
    long header_bytes = 0, tunnel = 0;

    /* What a proxy answers instead of a tunnel is not from the host: that was not reached. */
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
    if (tunnel != 0 && tunnel / 100 != 2)
        return FETCH_CONNECTING;
    curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
    curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &header_bytes);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
    if (first_byte > 0 || header_bytes > 0)
        return FETCH_RECEIVING;
    return ready > 0 ? FETCH_WAITING : FETCH_CONNECTING;
}
