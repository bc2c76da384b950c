/* SPDX-License-Identifier: MIT */
/* Our pool, beside the plainest one: a queue under a mutex with a condition variable. The harness is
 * bench_pool_run.c.
 */
#include <evbus.h>
#include <pthread.h>
#include <stdlib.h>

#include "bench_pool.h"

/* ---- ours ---- */

static void *make(uint32_t threads)
{
    evb_pool_opts opts = {.struct_size = sizeof opts, .threads = threads};
    evb_pool *pool = NULL;

    return evb_pool_create(&opts, &pool) == EVB_OK ? pool : NULL;
}

static void end(void *pool)
{
    (void)evb_pool_shutdown(pool, EVB_DISCARD, EVB_FOREVER);
    evb_pool_destroy(pool);
}

static void submit(void *of, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        bench_require(evb_pool_submit(of, work_task, (void *)(uintptr_t)i, EVB_FOREVER) == EVB_OK, "submit");
}

static void submit_many(void *of, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i += WORK_MANY) {
        void *args[WORK_MANY];
        uint32_t done = 0;

        for (uint32_t k = 0; k < WORK_MANY; k++)
            args[k] = (void *)(uintptr_t)(i + k);
        while (done < WORK_MANY) {
            int32_t rc = evb_pool_submit_many(of, work_task, args + done, WORK_MANY - done);

            if (rc > 0) {
                done += (uint32_t)rc;
                continue;
            }
            /* full: this one waits for room */
            bench_require(rc == EVB_EFULL &&
                              evb_pool_submit(of, work_task, args[done], EVB_FOREVER) == EVB_OK,
                          "submit_many");
            done++;
        }
    }
}

static void submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    bench_require(evb_pool_submit(of, fn, arg, EVB_FOREVER) == EVB_OK, "submit");
}

static evb_pool *tree_pool;

/* depth in arg. What does not fit in the bounded queue is run here. */
static void branch(void *arg)
{
    uintptr_t depth = (uintptr_t)arg;

    work_task(NULL);
    for (int child = 0; child < 2 && depth > 1; child++)
        if (evb_pool_submit(tree_pool, branch, (void *)(depth - 1), 0) != EVB_OK) branch((void *)(depth - 1));
}

static void tree(void *of, uint32_t depth)
{
    tree_pool = of;
    bench_require(evb_pool_submit(of, branch, (void *)(uintptr_t)depth, EVB_FOREVER) == EVB_OK, "submit");
}

/* ---- strands ---- */

struct strands {
    evb_strand *strand[WORK_STRANDS];
    uint64_t left; /* hops */
};

static void *make_strands(void *pool)
{
    struct strands *s = calloc(1, sizeof *s);

    bench_require(s != NULL, "no memory");
    for (uint32_t i = 0; i < WORK_STRANDS; i++)
        bench_require(evb_strand_create(pool, 256, &s->strand[i]) == EVB_OK, "evb_strand_create");
    return s;
}

static void end_strands(void *strands)
{
    struct strands *s = strands;

    for (uint32_t i = 0; i < WORK_STRANDS; i++)
        evb_strand_destroy(s->strand[i]);
    free(s);
}

static void message(void *arg)
{
    work_message((uintptr_t)arg);
}

static void post(void *of, uint64_t first, uint64_t n)
{
    struct strands *s = of;

    for (uint64_t i = first; i < first + n; i++) {
        uint64_t m = work_nth(i, 1);

        bench_require(evb_strand_submit(s->strand[m & 0xffff], message, (void *)(uintptr_t)m, EVB_FOREVER) ==
                          EVB_OK,
                      "evb_strand_submit");
    }
}

static void post_many(void *of, uint64_t first, uint64_t n)
{
    struct strands *s = of;

    for (uint64_t i = first; i < first + n; i += WORK_POSTS) {
        evb_strand *strand = s->strand[work_nth(i, WORK_POSTS) & 0xffff];
        void *args[WORK_POSTS];
        uint32_t done = 0;

        for (uint32_t k = 0; k < WORK_POSTS; k++)
            args[k] = (void *)(uintptr_t)work_nth(i + k, WORK_POSTS);
        while (done < WORK_POSTS) {
            int32_t rc = evb_strand_submit_many(strand, message, args + done, WORK_POSTS - done);

            if (rc > 0) {
                done += (uint32_t)rc;
                continue;
            }
            bench_require(rc == EVB_EFULL &&
                              evb_strand_submit(strand, message, args[done], EVB_FOREVER) == EVB_OK,
                          "evb_strand_submit_many");
            done++;
        }
    }
}

static void hop_on(void *arg)
{
    struct strands *s = arg;
    uint64_t left = s->left;

    s->left = left - 1;
    work_task((void *)1);
    if (left > 1)
        bench_require(evb_strand_submit(s->strand[left % 2], hop_on, s, 0) == EVB_OK, "evb_strand_submit");
}

static void hop(void *of, uint64_t n)
{
    struct strands *s = of;

    s->left = n;
    bench_require(evb_strand_submit(s->strand[0], hop_on, s, EVB_FOREVER) == EVB_OK, "evb_strand_submit");
}

/* ---- timers ---- */

struct timers {
    evb_pool *pool;
    int64_t id[];
};

static void *make_timers(void *pool, uint32_t n)
{
    struct timers *t = calloc(1, sizeof *t + n * sizeof t->id[0]);

    bench_require(t != NULL, "no memory");
    t->pool = pool;
    return t;
}

static bool add_timer(void *timers, const int64_t *delay_ns, uint32_t n)
{
    struct timers *t = timers;
    bool ok = true;

    for (uint32_t i = 0; i < n; i++) {
        t->id[i] = evb_pool_submit_after(t->pool, delay_ns[i], work_task, NULL);
        ok = ok && t->id[i] > 0;
    }
    return ok;
}

static bool stop_timer(void *timers, const uint32_t *number, uint32_t n)
{
    struct timers *t = timers;
    int32_t failed = 0;

    for (uint32_t i = 0; i < n; i++)
        failed |= evb_pool_cancel(t->pool, t->id[number[i]]);
    return failed == 0;
}

/* ---- a mutex and a condition variable ---- */

#define MUTEX_CAPACITY 4096u

struct mutex_pool {
    pthread_mutex_t lock;
    pthread_cond_t filled, drained;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } task[MUTEX_CAPACITY];
    uint64_t head, tail;
    bool over;
    uint32_t threads;
    pthread_t thread[BENCH_THREADS];
};

static void *mutex_worker(void *arg)
{
    struct mutex_pool *p = arg;

    for (;;) {
        void (*fn)(void *);
        void *task_arg;

        pthread_mutex_lock(&p->lock);
        while (p->head == p->tail && !p->over)
            pthread_cond_wait(&p->filled, &p->lock);
        if (p->head == p->tail) break;
        fn = p->task[p->head % MUTEX_CAPACITY].fn;
        task_arg = p->task[p->head++ % MUTEX_CAPACITY].arg;
        pthread_cond_signal(&p->drained);
        pthread_mutex_unlock(&p->lock);
        fn(task_arg);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void *mutex_make(uint32_t threads)
{
    struct mutex_pool *p = calloc(1, sizeof *p);

    if (p == NULL) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->filled, NULL);
    pthread_cond_init(&p->drained, NULL);
    p->threads = threads;
    for (uint32_t i = 0; i < threads; i++)
        bench_require(pthread_create(&p->thread[i], NULL, mutex_worker, p) == 0, "pthread_create");
    return p;
}

static void mutex_end(void *pool)
{
    struct mutex_pool *p = pool;

    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_broadcast(&p->filled);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    free(p);
}

static void mutex_submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    struct mutex_pool *p = of;

    pthread_mutex_lock(&p->lock);
    while (p->tail - p->head == MUTEX_CAPACITY)
        pthread_cond_wait(&p->drained, &p->lock);
    p->task[p->tail % MUTEX_CAPACITY].fn = fn;
    p->task[p->tail++ % MUTEX_CAPACITY].arg = arg;
    pthread_cond_signal(&p->filled);
    pthread_mutex_unlock(&p->lock);
}

static void mutex_submit(void *of, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        mutex_submit_one(of, work_task, (void *)(uintptr_t)i);
}

int main(int argc, char **argv)
{
    static const struct work_pool ours = {.impl = "evbus",
                                          .make = make,
                                          .end = end,
                                          .submit = submit,
                                          .submit_many = submit_many,
                                          .submit_one = submit_one,
                                          .tree = tree,
                                          .make_strands = make_strands,
                                          .end_strands = end_strands,
                                          .post = post,
                                          .post_many = post_many,
                                          .hop = hop,
                                          .make_timers = make_timers,
                                          .end_timers = free,
                                          .add_timer = add_timer,
                                          .stop_timer = stop_timer};
    static const struct work_pool plain = {.impl = "mutex",
                                           .make = mutex_make,
                                           .end = mutex_end,
                                           .submit = mutex_submit,
                                           .submit_one = mutex_submit_one};

    bench_info("evbus", evb_version_string());
    work_add(&ours);
    work_add(&plain);
    return bench_main(argc, argv);
}
