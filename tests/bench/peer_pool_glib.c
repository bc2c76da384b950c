/* SPDX-License-Identifier: MIT */
/* Peer: GLib's GThreadPool, in the harness of the pools. Such a pool calls one function with what is pushed,
 * so what is pushed says what it is: a number for work_task (odd), the depth of a branch (2 modulo 4), or the
 * address of a job. The pool is exclusive: its threads are its own, and start with it. It is unbounded, and
 * has neither strands nor timers nor a call for many.
 */
#include <glib.h>
#include <stdlib.h>

#include "bench_pool.h"

struct job {
    void (*fn)(void *arg);
    void *arg;
};

static void run(gpointer data, gpointer user);

static void push(GThreadPool *pool, uintptr_t data)
{
    bench_require(g_thread_pool_push(pool, (gpointer)data, NULL), "g_thread_pool_push");
}

static void branch(GThreadPool *pool, uintptr_t depth)
{
    work_task(NULL);
    for (int child = 0; child < 2 && depth > 1; child++)
        push(pool, (depth - 1) << 2 | 2);
}

static void run(gpointer data, gpointer user)
{
    uintptr_t word = (uintptr_t)data;
    GThreadPool **pool = user;

    if (word & 1) {
        work_task((void *)(word >> 1));
    } else if (word & 2) {
        branch(*pool, word >> 2);
    } else {
        struct job *job = data;

        job->fn(job->arg);
        free(job);
    }
}

/* The pool's own address is what run gets: it is known only after the threads have started. */
static void *make(uint32_t threads)
{
    GThreadPool **pool = calloc(1, sizeof *pool);

    if (pool == NULL) return NULL;
    *pool = g_thread_pool_new(run, pool, (gint)threads, TRUE, NULL);
    bench_require(*pool != NULL, "g_thread_pool_new");
    return pool;
}

static void end(void *of)
{
    GThreadPool **pool = of;

    g_thread_pool_free(*pool, FALSE, TRUE);
    free(pool);
}

static void submit(void *of, uint64_t first, uint64_t n)
{
    GThreadPool *pool = *(GThreadPool **)of;

    for (uint64_t i = first; i < first + n; i++)
        push(pool, (uintptr_t)i << 1 | 1);
}

static void submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    struct job *job = malloc(sizeof *job);

    bench_require(job != NULL, "no memory");
    *job = (struct job){fn, arg};
    push(*(GThreadPool **)of, (uintptr_t)job);
}

static void tree(void *of, uint32_t depth)
{
    push(*(GThreadPool **)of, (uintptr_t)depth << 2 | 2);
}

int main(int argc, char **argv)
{
    static const struct work_pool pool = {
        .impl = "glib", .make = make, .end = end, .submit = submit, .submit_one = submit_one, .tree = tree};
    char version[32];

    g_snprintf(version, sizeof version, "%u.%u.%u", glib_major_version, glib_minor_version,
               glib_micro_version);
    bench_info("glib", version);
    work_add(&pool);
    return bench_main(argc, argv);
}
