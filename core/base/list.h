/*
 * An intrusive, circular, doubly linked list. A `struct list` is both the head and the link that
 * is embedded in a member. A removed link points to itself, so removing it again does nothing.
 */
#ifndef SKIMD_BASE_LIST_H
#define SKIMD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* The struct of type `type` whose field `field` is at `ptr`. */
#define CONTAINER_OF(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_push_back(head->next, link);
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Removes and returns the first link, or NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *first = head->next;

    if (first == head)
        return NULL;
    /* clang's analyzer loses sight of links that were removed, and takes them for freed ones. */
    list_remove(first); /* NOLINT(clang-analyzer-unix.Malloc) */
    return first;
}

#define LIST_FOR(link, head)                                                                       \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

#endif
