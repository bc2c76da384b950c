/* SPDX-License-Identifier: MIT */
/* Peer: libuv's thread pool and timers, in the harness of the pools. Work is queued by a loop's own thread
 * and comes back to it (uv_queue_work, and a callback in the loop when it is done); so each thread that
 * submits has a loop here, and collects what has come back when its requests are used up. The pool is one a
 * process, with as many threads as UV_THREADPOOL_SIZE says at its first use: the argument says how many, and
 * the process has the cases with that many. Tasks cannot submit, and there are no strands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "bench_pool.h"

#define REQUESTS 4096u /* outstanding, as the capacity of our pool */

struct request {
    uv_work_t work; /* first */
    struct request *next_free;
    void (*fn)(void *arg);
    void *arg;
};

/* A thread's. The main thread's lasts: pools, of which libuv knows but one, come and go, and timers stay. */
struct side {
    uv_loop_t loop;
    struct request *unused, request[REQUESTS];
};

static __thread struct side *side;

static struct side *my_side(void)
{
    if (side != NULL) return side;
    side = calloc(1, sizeof *side);
    bench_require(side != NULL && uv_loop_init(&side->loop) == 0, "uv_loop_init");
    for (uint32_t i = 0; i < REQUESTS; i++) {
        side->request[i].next_free = side->unused;
        side->unused = &side->request[i];
    }
    return side;
}

static void close_side(void)
{
    bench_require(uv_loop_close(&side->loop) == 0, "uv_loop_close");
    free(side);
    side = NULL;
}

static void work(uv_work_t *w)
{
    struct request *r = (struct request *)w;

    r->fn(r->arg);
}

static void back(uv_work_t *w, int status)
{
    struct request *r = (struct request *)w;
    struct side *s = (struct side *)w->loop; /* first in it */

    (void)status;
    r->next_free = s->unused;
    s->unused = r;
}

static void queue(struct side *s, void (*fn)(void *arg), void *arg)
{
    struct request *r;

    while (s->unused == NULL)
        uv_run(&s->loop, UV_RUN_ONCE);
    r = s->unused;
    s->unused = r->next_free;
    r->fn = fn;
    r->arg = arg;
    bench_require(uv_queue_work(&s->loop, &r->work, work, back) == 0, "uv_queue_work");
}

static void *make(uint32_t threads)
{
    (void)threads; /* main has said it */
    return my_side();
}

static void end(void *pool)
{
    struct side *s = pool;

    uv_run(&s->loop, UV_RUN_DEFAULT); /* until all has come back */
}

/* A producer that is not the main thread ends after this. */
static void submit(void *of, uint64_t first, uint64_t n)
{
    struct side *s = my_side();

    for (uint64_t i = first; i < first + n; i++)
        queue(s, work_task, (void *)(uintptr_t)i);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    if (s != of) close_side();
}

static void submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    struct side *s = of;

    queue(s, fn, arg);
    uv_run(&s->loop, UV_RUN_NOWAIT); /* what has come back */
}

static void fired(uv_timer_t *timer)
{
    (void)timer;
}

struct timers {
    struct side *side;
    uint32_t n;
    uv_timer_t timer[];
};

static void *make_timers(void *pool, uint32_t n)
{
    struct timers *t = calloc(1, sizeof *t + n * sizeof t->timer[0]);

    bench_require(t != NULL, "no memory");
    t->side = pool;
    t->n = n;
    for (uint32_t i = 0; i < n; i++)
        bench_require(uv_timer_init(&t->side->loop, &t->timer[i]) == 0, "uv_timer_init");
    return t;
}

static void end_timers(void *timers)
{
    struct timers *t = timers;

    for (uint32_t i = 0; i < t->n; i++)
        uv_close((uv_handle_t *)&t->timer[i], NULL);
    uv_run(&t->side->loop, UV_RUN_DEFAULT);
    free(t);
}

static bool add_timer(void *timers, const int64_t *delay_ns, uint32_t n)
{
    struct timers *t = timers;
    int failed = 0;

    for (uint32_t i = 0; i < n; i++)
        failed |= uv_timer_start(&t->timer[i], fired, (uint64_t)(delay_ns[i] / 1000000), 0);
    return failed == 0;
}

static bool stop_timer(void *timers, const uint32_t *number, uint32_t n)
{
    struct timers *t = timers;
    bool ok = true;

    for (uint32_t i = 0; i < n; i++) {
        ok = ok && uv_is_active((uv_handle_t *)&t->timer[number[i]]);
        uv_timer_stop(&t->timer[number[i]]);
    }
    return ok;
}

int main(int argc, char **argv)
{
    static struct work_pool pool = {.impl = "libuv",
                                    .make = make,
                                    .end = end,
                                    .submit = submit,
                                    .submit_one = submit_one,
                                    .make_timers = make_timers,
                                    .end_timers = end_timers,
                                    .add_timer = add_timer,
                                    .stop_timer = stop_timer};

    if (argc != 2 || setenv("UV_THREADPOOL_SIZE", argv[1], 1) != 0) {
        fprintf(stderr, "usage: %s THREADS\n", argv[0]);
        return 2;
    }
    pool.only_workers = (uint32_t)atoi(argv[1]);
    bench_info("libuv", uv_version_string());
    work_add(&pool);
    return bench_main(1, argv);
}
