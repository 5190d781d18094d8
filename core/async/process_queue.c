#include "core/async/process_queue.h"

#include "core/async/internal.h"

void scope_queue_init(struct scope_queue *s)
{
    list_init(&s->tasks);
    list_init(&s->turn);
}

void process_queue_init(struct process_queue *q)
{
    list_init(&q->turns);
}

bool process_queue_empty(const struct process_queue *q)
{
    return list_empty(&q->turns);
}

void process_queue_push(struct process_queue *q, task *t)
{
    struct scope_queue *s = scope_queue_of(t->scope);

    list_push_back(&s->tasks, &t->waiting);
    if (list_empty(&s->turn))
        list_push_back(&q->turns, &s->turn);
}

void process_queue_push_again(struct process_queue *q, task *t)
{
    struct scope_queue *s = scope_queue_of(t->scope);

    list_push_front(&s->tasks, &t->waiting);
    list_remove(&s->turn);
    list_push_front(&q->turns, &s->turn);
}

task *process_queue_pop(struct process_queue *q)
{
    struct list *turn = list_pop_front(&q->turns);

    if (!turn)
        return NULL;
    struct scope_queue *s = CONTAINER_OF(turn, struct scope_queue, turn);
    struct list *link = list_pop_front(&s->tasks);
    if (!list_empty(&s->tasks))
        list_push_back(&q->turns, &s->turn);
    return CONTAINER_OF(link, task, waiting);
}

bool process_queue_withdraw(task *t)
{
    struct scope_queue *s = scope_queue_of(t->scope);

    if (list_empty(&t->waiting))
        return false;
    list_remove(&t->waiting);
    if (list_empty(&s->tasks))
        list_remove(&s->turn);
    return true;
}
