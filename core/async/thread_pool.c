/*
 * The thread pool runs what blocks: thread tasks, and continuations that asked for a thread.
 * Two queues under one lock; continuations first, as they finish what was begun.
 */
#include "core/async/internal.h"

#include <errno.h>
#include <stdlib.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list tasks;
    struct job *first, **last;
    unsigned size, blocked;
    bool stopping;
    pthread_t *threads;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static task *next_task(void)
{
    struct list *link = list_pop_front(&pool.tasks);

    return link ? CONTAINER_OF(link, task, queued) : NULL;
}

static void *pool_main(void *arg)
{
    (void)arg;
    thread_role = ROLE_POOL;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        struct job *job = pool.first;
        task *t = NULL;
        if (job) {
            pool.first = job->next;
            if (!pool.first)
                pool.last = &pool.first;
        } else if (!(t = next_task())) {
            if (pool.stopping)
                break;
            pthread_cond_wait(&pool.work, &pool.lock);
            continue;
        }
        pthread_mutex_unlock(&pool.lock);
        if (job)
            job->run(job);
        else
            task_run_here(t);
        pthread_mutex_lock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

void thread_pool_submit(task *t)
{
    pthread_mutex_lock(&pool.lock);
    list_push_back(&pool.tasks, &t->queued);
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_signal(&pool.work);
}

bool thread_pool_withdraw(task *t)
{
    pthread_mutex_lock(&pool.lock);
    bool queued = !list_empty(&t->queued);
    list_remove(&t->queued);
    pthread_mutex_unlock(&pool.lock);
    return queued;
}

/* Once the threads are gone, the last turns of the loop run what is left. */
void thread_pool_post(struct job *job)
{
    pthread_mutex_lock(&pool.lock);
    bool open = pool.size > 0;
    if (open) {
        job->next = NULL;
        *pool.last = job;
        pool.last = &job->next;
    }
    pthread_mutex_unlock(&pool.lock);
    if (open)
        pthread_cond_signal(&pool.work);
    else
        loop_post(job);
}

bool thread_pool_block(void)
{
    pthread_mutex_lock(&pool.lock);
    bool allowed = pool.blocked + 1 < pool.size;
    pool.blocked += allowed;
    pthread_mutex_unlock(&pool.lock);
    return allowed;
}

void thread_pool_unblock(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.blocked--;
    pthread_mutex_unlock(&pool.lock);
}

int thread_pool_start(unsigned threads)
{
    pool.threads = calloc(threads, sizeof *pool.threads);
    if (!pool.threads)
        return -ENOMEM;
    list_init(&pool.tasks);
    pool.last = &pool.first;
    pool.stopping = false;
    for (pool.size = 0; pool.size < threads; pool.size++) {
        int rc = start_thread(&pool.threads[pool.size], pool_main);
        if (rc < 0) {
            thread_pool_stop();
            return rc;
        }
    }
    return 0;
}

void thread_pool_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_broadcast(&pool.work);
    for (unsigned i = 0; i < pool.size; i++)
        pthread_join(pool.threads[i], NULL);
    free(pool.threads);
    pool.threads = NULL;

    pthread_mutex_lock(&pool.lock);
    pool.size = 0;
    struct job *job = pool.first; /* posted after the last thread had looked */
    pool.first = NULL;
    pthread_mutex_unlock(&pool.lock);
    while (job) {
        struct job *next = job->next;
        loop_post(job);
        job = next;
    }
}
