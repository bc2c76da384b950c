/* SPDX-License-Identifier: MIT */
/* The harness of bench_pool.h. */
#include "bench_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define LINE        128
#define TALLIES     64u
#define RUNS        5u  /* that count */
#define RUNS_MAX    12u /* tries */
#define LOOK_NS     20000
#define TREE_DEPTH  16u
#define WAKES       40u
#define WAKE_GAP_NS 300000
#define CPU_TASKS   100u
#define IDLE_NS     300000000
#define TIMERS_MAX  100000u

/* ---- tasks ---- */

/* A thread's own, on a line of its own; read by the main thread while it is written. */
struct tally {
    uint64_t count, sum; /* atomic */
    char pad[LINE - 16];
};

/* A strand's: its tasks see what the one before wrote. */
struct lane {
    uint64_t next; /* the number of the next message */
    char pad[64 - 8];
};

static struct tally tallies[TALLIES];
static uint32_t tallies_used; /* atomic */
static __thread struct tally *tally;
static struct lane lanes[WORK_STRANDS];
static uint32_t out_of_order; /* atomic */

static inline void add(uint64_t *word, uint64_t more)
{
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void take_tally(void)
{
    uint32_t i = __atomic_fetch_add(&tallies_used, 1, __ATOMIC_RELAXED) % TALLIES;

    tally = &tallies[i];
}

/* Threads of pools that have ended leave their tallies to later ones. */
static void reset_tallies(void)
{
    memset(tallies, 0, sizeof tallies);
    memset(lanes, 0, sizeof lanes);
}

void work_task(void *number)
{
    if (tally == NULL) take_tally();
    add(&tally->sum, (uint64_t)(uintptr_t)number);
    add(&tally->count, 1);
}

void work_message(uint64_t message)
{
    struct lane *lane = &lanes[message & 0xffff];

    if (lane->next != message >> 16) __atomic_store_n(&out_of_order, 1, __ATOMIC_RELAXED);
    lane->next = (message >> 16) + 1;
    work_task(NULL);
}

static uint64_t tasks_run(uint64_t *ret_sum)
{
    uint64_t count = 0;

    *ret_sum = 0;
    for (uint32_t i = 0; i < TALLIES; i++) {
        count += __atomic_load_n(&tallies[i].count, __ATOMIC_RELAXED);
        *ret_sum += __atomic_load_n(&tallies[i].sum, __ATOMIC_RELAXED);
    }
    return count;
}

/* ---- streams: producers bring tasks, until all have run ---- */

enum shape { SUBMIT, MANY, TREE, STRAND, STRAND8, HOP };

struct stream {
    const struct work_pool *pool;
    enum shape shape;
    uint32_t producers, workers;
    uint64_t n; /* of one run, 0: not calibrated yet */
    void *made, *strands;
    uint64_t brought; /* so far, in this pool */
    pthread_barrier_t line;
};

struct producer {
    struct stream *stream;
    uint64_t first;
    int64_t waited;
    pthread_t thread;
};

static void bring(struct stream *s, uint64_t first, uint64_t n)
{
    const struct work_pool *pool = s->pool;

    switch (s->shape) {
    case SUBMIT:
        pool->submit(s->made, first, n);
        break;
    case MANY:
        pool->submit_many(s->made, first, n);
        break;
    case TREE:
        for (uint64_t i = 0; i < n >> TREE_DEPTH; i++)
            pool->tree(s->made, TREE_DEPTH);
        break;
    case STRAND:
        pool->post(s->strands, first, n);
        break;
    case STRAND8:
        pool->post_many(s->strands, first, n);
        break;
    case HOP:
        pool->hop(s->strands, n);
        break;
    }
}

static void *producer_main(void *arg)
{
    struct producer *p = arg;
    int64_t waited = bench_waited_ns();

    pthread_barrier_wait(&p->stream->line);
    bring(p->stream, p->first, p->stream->n);
    p->waited = bench_waited_ns() - waited;
    bench_waited_close();
    return NULL;
}

/* Runs may differ from what was brought only by tasks of trees, which say how many they are. */
static uint64_t expected(const struct stream *s, uint64_t n)
{
    return s->shape == TREE ? (n >> TREE_DEPTH) * ((UINT64_C(1) << TREE_DEPTH) - 1) : n;
}

/* Seldom looked at: who looks takes the line away from who counts. */
static void wait_for(uint64_t n)
{
    uint64_t sum;

    while (tasks_run(&sum) < n) {
        int64_t until = bench_now_ns() + LOOK_NS;

        while (bench_now_ns() < until)
            sched_yield();
    }
}

/* ns for all of it; *ret_waited: the largest share of it that a producer had no CPU. */
static double run_stream(struct stream *s, double *ret_waited)
{
    struct producer p[BENCH_THREADS];
    int64_t start, waited = bench_waited_ns(), most = 0;

    if (s->producers == 1) {
        start = bench_now_ns();
        bring(s, s->brought, s->n);
        s->brought += s->n;
        wait_for(expected(s, s->brought));
    } else {
        pthread_barrier_init(&s->line, NULL, s->producers + 1);
        for (uint32_t i = 0; i < s->producers; i++) {
            p[i].stream = s;
            p[i].first = s->brought;
            s->brought += s->n;
            bench_require(pthread_create(&p[i].thread, NULL, producer_main, &p[i]) == 0, "pthread_create");
        }
        pthread_barrier_wait(&s->line);
        start = bench_now_ns();
        for (uint32_t i = 0; i < s->producers; i++) {
            pthread_join(p[i].thread, NULL);
            if (p[i].waited > most) most = p[i].waited;
        }
        wait_for(s->brought);
        pthread_barrier_destroy(&s->line);
    }
    start = bench_now_ns() - start;
    waited = s->producers == 1 ? bench_waited_ns() - waited : most;
    *ret_waited = (double)waited / (double)(start + 1);
    return (double)start;
}

static void check(const struct stream *s, struct bench_result *ret)
{
    uint64_t sum, count = tasks_run(&sum);

    if (__atomic_load_n(&out_of_order, __ATOMIC_RELAXED)) bench_wrong(ret, "messages out of order");
    if (count != expected(s, s->brought)) bench_wrong(ret, "more tasks run than submitted");
    if (s->shape == SUBMIT || s->shape == MANY)
        if (sum != count * (count - 1) / 2) bench_wrong(ret, "the sums of what was submitted and run differ");
}

static void open_stream(struct stream *s)
{
    reset_tallies();
    s->brought = 0;
    s->made = s->pool->make(s->workers);
    bench_require(s->made != NULL, s->pool->impl);
    s->strands = s->shape >= STRAND ? s->pool->make_strands(s->made) : NULL;
}

static void close_stream(struct stream *s)
{
    if (s->strands != NULL) s->pool->end_strands(s->strands);
    s->pool->end(s->made);
}

/* Enough for a slice of the time of one number, in whole turns of everything. */
static void calibrate(struct stream *s)
{
    uint64_t unit = s->shape == TREE      ? UINT64_C(1) << TREE_DEPTH
                    : s->shape == STRAND  ? WORK_STRANDS
                    : s->shape == STRAND8 ? WORK_STRANDS * WORK_POSTS
                                          : WORK_MANY;
    double want = bench_batch_ms() * 1e6 / RUNS, waited;
    uint32_t enough = 0;

    for (s->n = unit; enough < 3 && s->n < UINT64_C(1) << 30;) /* three times: once may be bad luck */
        if (run_stream(s, &waited) >= want)
            enough++;
        else
            s->n *= 2, enough = 0;
}

static void measure_stream(void *state, struct bench_result *ret)
{
    struct stream *s = state;
    double clean[RUNS], any[RUNS_MAX], waited;
    uint32_t cleans = 0, tries = 0;

    bench_unpin(); /* before the pool's threads are made */
    open_stream(s);
    if (s->n == 0) calibrate(s);
    run_stream(s, &waited); /* warm-up */
    while (cleans < RUNS && tries < RUNS_MAX) {
        double ns = run_stream(s, &waited) / (double)(expected(s, s->n) * s->producers);

        any[tries++] = ns;
        if (waited <= 0.1) clean[cleans++] = ns;
    }
    check(s, ret);
    close_stream(s);
    bench_pin(0);
    ret->busy = 1 - (double)cleans / (double)tries;
    ret->ns = cleans >= 2 ? bench_median(clean, cleans) : bench_median(any, tries);
}

/* ---- wake ---- */

struct wake {
    const struct work_pool *pool;
    uint32_t workers;
    int64_t began_ns; /* atomic */
};

static void begin(void *arg)
{
    __atomic_store_n((int64_t *)arg, bench_now_ns(), __ATOMIC_RELEASE);
}

static void wait_ns(int64_t until_ns)
{
    while (bench_now_ns() < until_ns)
        sched_yield();
}

static void measure_wake(void *state, struct bench_result *ret)
{
    struct wake *w = state;
    double start[WAKES], call[WAKES];
    void *pool;

    bench_unpin();
    pool = w->pool->make(w->workers);
    bench_require(pool != NULL, w->pool->impl);
    for (uint32_t i = 0; i < WAKES; i++) {
        int64_t at, began;

        __atomic_store_n(&w->began_ns, 0, __ATOMIC_RELAXED);
        wait_ns(bench_now_ns() + WAKE_GAP_NS);
        at = bench_now_ns();
        w->pool->submit_one(pool, begin, &w->began_ns);
        call[i] = (double)(bench_now_ns() - at);
        while ((began = __atomic_load_n(&w->began_ns, __ATOMIC_ACQUIRE)) == 0)
            sched_yield();
        start[i] = (double)(began - at);
    }
    w->pool->end(pool);
    bench_pin(0);
    ret->ns = bench_median(start, WAKES);
    bench_extra(ret, "submit_call_ns", bench_median(call, WAKES));
}

/* ---- CPU ---- */

static double cpu_ns(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e9 +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1e3;
}

/* What all threads but this one use between two calls. */
struct usage {
    double ns, switches;
};

static struct usage used_by_others(void)
{
    struct rusage all, mine;

    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &mine);
    return (struct usage){cpu_ns(&all) - cpu_ns(&mine), (double)(all.ru_nvcsw - mine.ru_nvcsw)};
}

static void nap(int64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

static void measure_cpu(void *state, struct bench_result *ret)
{
    struct wake *w = state;
    struct usage before, after;
    int64_t next;
    void *pool;

    bench_unpin();
    pool = w->pool->make(w->workers);
    bench_require(pool != NULL, w->pool->impl);
    w->pool->submit_one(pool, begin, &w->began_ns);
    nap(5000000);
    before = used_by_others();
    next = bench_now_ns();
    for (uint32_t i = 0; i < CPU_TASKS; i++) {
        struct timespec t = {(time_t)(next / 1000000000), (long)(next % 1000000000)};

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        w->pool->submit_one(pool, begin, &w->began_ns);
        next += 1000000;
    }
    nap(1000000);
    after = used_by_others();
    w->pool->end(pool);
    bench_pin(0);
    ret->ns = (after.ns - before.ns) / CPU_TASKS;
    bench_extra(ret, "switches_a_task", (after.switches - before.switches) / CPU_TASKS);
}

static void measure_idle(void *state, struct bench_result *ret)
{
    struct wake *w = state;
    struct usage before, after;
    void *pool;

    bench_unpin();
    pool = w->pool->make(w->workers);
    bench_require(pool != NULL, w->pool->impl);
    for (uint32_t i = 0; i < 100; i++)
        w->pool->submit_one(pool, begin, &w->began_ns);
    nap(20000000); /* until they have come to rest */
    before = used_by_others();
    nap(IDLE_NS);
    after = used_by_others();
    w->pool->end(pool);
    bench_pin(0);
    ret->ns = (after.ns - before.ns) * 1e9 / IDLE_NS;
    bench_extra(ret, "switches_a_second", (after.switches - before.switches) * 1e9 / IDLE_NS);
}

/* ---- timers ---- */

struct timers {
    const struct work_pool *pool;
    uint32_t n;
    bool stop; /* which side is measured */
    void *made, *timers;
    int64_t delay_ns[TIMERS_MAX];
    uint32_t order[TIMERS_MAX];
};

static void prepare(struct timers *t)
{
    uint32_t random = 12345;

    if (t->made != NULL) return;
    t->made = t->pool->make(1);
    bench_require(t->made != NULL, t->pool->impl);
    t->timers = t->pool->make_timers(t->made, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        t->delay_ns[i] = 1000000000 + (int64_t)bench_pick(&random, 3599000) * 1000000;
    for (uint32_t i = 0; i < t->n; i++) { /* Fisher-Yates, inside out */
        uint32_t k = bench_pick(&random, i + 1);

        t->order[i] = t->order[k];
        t->order[k] = i;
    }
}

static void measure_timers(void *state, struct bench_result *ret)
{
    struct timers *t = state;
    double value[64];
    uint32_t values = 0;
    int64_t begin_ns = bench_now_ns();

    bench_unpin();
    prepare(t);
    while (values < 64 && (values < 3 || bench_now_ns() - begin_ns < (int64_t)bench_batch_ms() * 2000000)) {
        uint32_t times = 1 + 10000 / t->n; /* so that the clock is not what is measured */
        int64_t took = 0;

        for (uint32_t i = 0; i < times; i++) {
            int64_t start = bench_now_ns(), middle;
            bool ok = t->pool->add_timer(t->timers, t->delay_ns, t->n);

            middle = bench_now_ns();
            ok = t->pool->stop_timer(t->timers, t->order, t->n) && ok;
            took += t->stop ? bench_now_ns() - middle : middle - start;
            if (!ok) bench_wrong(ret, "a timer was not set, or was not there any more");
        }
        value[values++] = (double)took / (double)t->n / times;
    }
    bench_pin(0);
    ret->ns = bench_median(value, values);
}

static bool one_timer(void *state, uint64_t n)
{
    struct timers *t = state;
    bool ok = true;

    prepare(t);
    for (uint64_t i = 0; i < n; i++)
        ok = t->pool->add_timer(t->timers, t->delay_ns, 1) && t->pool->stop_timer(t->timers, t->order, 1) &&
             ok;
    return ok;
}

/* ---- cases ---- */

static void *state_of(size_t size)
{
    void *state = calloc(1, size); /* lasts as long as the program */

    bench_require(state != NULL, "no memory");
    return state;
}

static bool can_have(const struct work_pool *pool, uint32_t workers)
{
    return pool->only_workers == 0 || pool->only_workers == workers;
}

static void add_stream(const struct work_pool *pool, enum shape shape, const char *name, uint32_t producers,
                       uint32_t workers)
{
    struct stream *s;
    char full[40];

    if (!can_have(pool, workers)) return;
    s = state_of(sizeof *s);
    s->pool = pool;
    s->shape = shape;
    s->producers = producers;
    s->workers = workers;
    if (shape == SUBMIT || shape == MANY)
        snprintf(full, sizeof full, "pool/%s/%up%uw", name, producers, workers);
    else
        snprintf(full, sizeof full, "pool/%s/%uw", name, workers);
    bench_add_measured(full, pool->impl, 1, measure_stream, s);
}

static void add_wake(const struct work_pool *pool, const char *name, uint32_t workers, uint32_t every,
                     bench_measure_fn measure)
{
    struct wake *w;
    char full[40];

    if (!can_have(pool, workers)) return;
    w = state_of(sizeof *w);
    w->pool = pool;
    w->workers = workers;
    snprintf(full, sizeof full, "pool/%s/%uw", name, workers);
    bench_add_measured(full, pool->impl, every, measure, w);
}

static void add_timers(const struct work_pool *pool, uint32_t n, bool stop)
{
    struct timers *t = state_of(sizeof *t);
    char full[40];

    t->pool = pool;
    t->n = n;
    t->stop = stop;
    if (n == 1) {
        bench_add("pool/timer/both/1", pool->impl, one_timer, t);
        return;
    }
    snprintf(full, sizeof full, "pool/timer/%s/%uk", stop ? "stop" : "add", n / 1000);
    bench_add_measured(full, pool->impl, 1, measure_timers, t);
}

void work_add(const struct work_pool *pool)
{
    if (pool->submit != NULL) {
        add_stream(pool, SUBMIT, "submit", 1, 1);
        add_stream(pool, SUBMIT, "submit", 1, 2);
        add_stream(pool, SUBMIT, "submit", 1, 4);
        add_stream(pool, SUBMIT, "submit", 2, 1);
        add_stream(pool, SUBMIT, "submit", 2, 2);
    }
    for (uint32_t workers = 1; workers <= 2; workers++) {
        if (pool->submit_many != NULL) add_stream(pool, MANY, "many", 1, workers);
        if (pool->tree != NULL) add_stream(pool, TREE, "tree", 1, workers);
        if (pool->post != NULL) add_stream(pool, STRAND, "strand", 1, workers);
        if (pool->post_many != NULL) add_stream(pool, STRAND8, "strand8", 1, workers);
        if (pool->hop != NULL) add_stream(pool, HOP, "hop", 1, workers);
    }
    if (pool->submit_one != NULL) {
        add_wake(pool, "wake", 2, 1, measure_wake);
        add_wake(pool, "cpu", 4, 1, measure_cpu);
        add_wake(pool, "idle", 4, 3, measure_idle);
    }
    if (pool->make_timers != NULL && can_have(pool, 1)) {
        add_timers(pool, 1, false);
        for (uint32_t n = 1000; n <= TIMERS_MAX; n *= 100) {
            add_timers(pool, n, false);
            add_timers(pool, n, true);
        }
    }
}
