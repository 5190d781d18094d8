#include "server/http/identity.h"

#include <errno.h>
#include <stdlib.h>

struct http_identity {
    struct list link;
    struct tls_credentials *credentials;
    size_t connections;
};

void http_identities_init(struct http_identities *all)
{
    list_init(&all->all);
    all->newest = NULL;
}

int http_identities_renew(struct http_identities *all, const struct tls_identity *identity)
{
    struct http_identity *i = calloc(1, sizeof *i);
    int rc = i ? tls_credentials_new(identity, &i->credentials) : -ENOMEM;

    if (rc < 0) {
        free(i);
        return rc;
    }
    list_push_back(&all->all, &i->link);
    all->newest = i;
    http_identities_sweep(all);
    return 0;
}

struct http_identity *http_identity_show(struct http_identities *all, void *session)
{
    if (!all->newest || tls_credentials_show(all->newest->credentials, session) < 0)
        return NULL;
    all->newest->connections++;
    return all->newest;
}

void http_identity_leave(struct http_identity *identity)
{
    if (identity)
        identity->connections--;
}

static void drop(struct http_identity *i)
{
    list_remove(&i->link);
    tls_credentials_free(i->credentials);
    free(i);
}

void http_identities_sweep(struct http_identities *all)
{
    LIST_FOR (link, &all->all) {
        struct http_identity *i = CONTAINER_OF(link, struct http_identity, link);

        if (i->connections == 0 && i != all->newest)
            drop(i);
    }
}

void http_identities_end(struct http_identities *all)
{
    LIST_FOR (link, &all->all)
        drop(CONTAINER_OF(link, struct http_identity, link));
    all->newest = NULL;
}
