#include "tests/support/client.h"

#include "tests/support/transcript.h"

#include <check.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CLIENT_TIMEOUT_S = 60 };

static size_t append(char *data, size_t one, size_t n, void *arg)
{
    (void)one;
    buffer_append(arg, data, n);
    return n;
}

static struct curl_slist *fields_of(const char *fields)
{
    struct curl_slist *list = NULL;
    struct bytes rest = bytes_cstr(fields);
    char line[1024];

    while (rest.ptr) {
        struct bytes field = bytes_split(&rest, '\n');
        snprintf(line, sizeof line, "%.*s", (int)field.len, field.ptr);
        list = curl_slist_append(list, line);
    }
    return list;
}

int client_try(const struct client_request *r, struct client_answer *ret)
{
    char url[512];
    struct curl_slist *fields = fields_of(r->fields);
    CURL *c = curl_easy_init();

    *ret = (struct client_answer){0};
    snprintf(url, sizeof url, "%s%s", r->url, r->path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->method && strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)CLIENT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, append);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &ret->head);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &ret->body);
    if (r->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, r->ca_file);
    if (r->body.ptr) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body.ptr);
    }
    CURLcode rc = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &ret->status);
    if (rc == CURLE_OK)
        transcript_add(&(struct transcript_request){r->method, r->path, r->fields, r->body},
                       buffer_bytes(&ret->head), buffer_bytes(&ret->body));
    buffer_byte(&ret->head, '\0');
    buffer_byte(&ret->body, '\0');
    ck_assert(!ret->head.failed && !ret->body.failed);
    ret->body.len--;
    curl_slist_free_all(fields);
    curl_easy_cleanup(c);
    return (int)rc;
}

void client_ask(const struct client_request *r, struct client_answer *ret)
{
    int rc = client_try(r, ret);

    ck_assert_msg(rc == 0, "%s%s: %s", r->url, r->path, curl_easy_strerror((CURLcode)rc));
}

void client_free(struct client_answer *a)
{
    buffer_free(&a->head);
    buffer_free(&a->body);
}

const char *client_field(const struct client_answer *a, const char *name)
{
    static char value[512];
    struct bytes rest = bytes_cstr(a->head.ptr);

    value[0] = '\0';
    while (rest.ptr) {
        struct bytes line = bytes_split(&rest, '\n');
        struct bytes field = bytes_split(&line, ':');
        if (bytes_equal_nocase(field, bytes_cstr(name)) && line.ptr) {
            struct bytes trimmed = bytes_trim(line);
            snprintf(value, sizeof value, "%.*s", (int)trimmed.len, trimmed.ptr);
        }
    }
    return value;
}
