/* SPDX-License-Identifier: MIT */
/* Several measured threads at once: each repeats its batch until the time is over.
 *
 * What is asked is the cost while all of them run, so a slice counts only when neither its own thread nor any
 * other waited for a CPU: without that, on a busy machine, most slices would be those of one thread
 * that has the lock for itself while the other waits for a CPU. Windows are repeated until there are enough
 * such slices, or given up after WINDOWS.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define SLICES_KEPT 4096u
#define WINDOWS     12u
#define ENOUGH      BENCH_SLICES

struct span {
    int64_t start, end;
    bool waited; /* for a CPU, more than a tenth of the time: waking after a lock waits a little, too */
};

struct lane {
    struct bench_worker *worker;
    uint32_t index, spans, cleans;
    struct span span[SLICES_KEPT];
    double clean[SLICES_KEPT * WINDOWS]; /* ns an operation, of all windows */
    pthread_t thread;
};

static atomic_uint arrived, go, stop;
static cpu_set_t all; /* of the process, before bench_main pins the main thread: threads inherit the mask */
static bool all_known;

__attribute__((constructor)) static void remember_affinity(void)
{
    all_known = sched_getaffinity(0, sizeof all, &all) == 0;
}

int bench_pin(uint32_t which)
{
    cpu_set_t one;

    for (size_t cpu = 0; all_known && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || which-- != 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0 ? (int)cpu : -1;
    }
    return -1;
}

void bench_unpin(void)
{
    if (all_known) sched_setaffinity(0, sizeof all, &all);
}

uint32_t bench_cpus(void)
{
    return all_known ? (uint32_t)CPU_COUNT(&all) : 0;
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    struct bench_worker *w = lane->worker;

    bench_pin(lane->index);
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&go) == 0)
        sched_yield();
    if (!w->batch(w->state, w->n)) w->wrong = true; /* warm-up */
    /* stop is looked at between slices only: a look at each operation would be part of what is measured. */
    while (atomic_load_explicit(&stop, memory_order_relaxed) == 0 && !w->wrong) {
        struct span *span = &lane->span[lane->spans];
        int64_t waited = bench_waited_ns();

        span->start = bench_now_ns();
        if (!w->batch(w->state, w->n)) w->wrong = true;
        span->end = bench_now_ns();
        span->waited = (bench_waited_ns() - waited) * 10 > span->end - span->start;
        if (lane->spans + 1 < SLICES_KEPT)
            lane->spans++; /* later ones share the last place: the window was generous */
    }
    bench_waited_close();
    return NULL;
}

static void run_window(struct lane *lanes, uint32_t count)
{
    struct timespec nap = {(time_t)(bench_batch_ms() / 1000), (long)(bench_batch_ms() % 1000) * 1000000};

    atomic_store(&arrived, 0);
    atomic_store(&go, 0);
    atomic_store(&stop, 0);
    for (uint32_t i = 0; i < count; i++) {
        lanes[i].spans = 0;
        bench_require(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) == 0, "pthread_create");
    }
    while (atomic_load(&arrived) < count)
        sched_yield();
    atomic_store(&go, 1);
    nanosleep(&nap, NULL);
    atomic_store(&stop, 1);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(lanes[i].thread, NULL);
}

/* Was this lane on its CPU from start to end? Slices of a lane are in order of time and leave no gap but the
 * look at the clock. */
static bool ran_through(const struct lane *lane, int64_t start, int64_t end)
{
    const struct span *last = lane->spans > 0 ? &lane->span[lane->spans - 1] : NULL;

    if (last == NULL || lane->span[0].start > start || last->end < end) return false;
    for (uint32_t i = 0; i < lane->spans; i++) {
        if (lane->span[i].start > end) break;
        if (lane->span[i].end >= start && lane->span[i].waited) return false;
    }
    return true;
}

static void collect(struct lane *lanes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct lane *lane = &lanes[i];

        for (uint32_t k = 0; k < lane->spans; k++) {
            const struct span *span = &lane->span[k];
            bool clean = true;

            for (uint32_t other = 0; other < count; other++)
                clean = clean && ran_through(&lanes[other], span->start, span->end);
            if (clean)
                lane->clean[lane->cleans++] = (double)(span->end - span->start) / (double)lane->worker->n;
        }
    }
}

static bool enough(const struct lane *lanes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (lanes[i].cleans < ENOUGH) return false;
    }
    return true;
}

bool bench_parallel(struct bench_worker *workers, uint32_t count, struct bench_result *ret)
{
    struct lane *lanes;
    uint32_t windows = 0;

    if (bench_cpus() < count) {
        bench_skip(ret, "needs %u CPUs", count);
        return false;
    }
    lanes = calloc(count, sizeof *lanes);
    bench_require(lanes != NULL, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        lanes[i].worker = &workers[i];
        lanes[i].index = i;
        workers[i].wrong = false;
    }
    bench_unpin();
    do {
        run_window(lanes, count);
        collect(lanes, count);
    } while (++windows < WINDOWS && !enough(lanes, count));
    for (uint32_t i = 0; i < count; i++) {
        workers[i].ns = bench_median(lanes[i].clean, lanes[i].cleans);
        if (lanes[i].cleans < ENOUGH / 4) ret->crowded = true;
        if (workers[i].wrong) bench_wrong(ret, "thread %u: the batch did not do what it should", i);
    }
    free(lanes);
    bench_pin(0);
    return true;
}
