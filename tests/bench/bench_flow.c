/* SPDX-License-Identifier: MIT */
/* Runs the loops of a kernel in threads, and checks that what went in came out.
 *
 * One measurement makes the queue, starts the threads once and lets them run several times; the first run
 * warms up. With a thread on each CPU the median of short runs counts, and of those only the ones in which no
 * thread waited for its CPU (as in bench_parallel). With more threads than CPUs waiting is the subject: one
 * long run.
 */
#include "bench_flow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS       8u
#define RUNS_MAX   24u /* tries, where runs are dropped */
#define RUNS_LEAST 3u

struct flow_case {
    const struct flow_ring *ring;
    uint32_t pushers, poppers, wait, batch, capacity;
    bool pingpong, pinned;
    void *kept; /* pair only */
};

struct team {
    struct flow flow;
    struct flow_lane lane[FLOW_LANES];
    uint32_t lanes;
    bool quit; /* written before the barrier */
    pthread_barrier_t begin, over;
};

struct member {
    struct team *team;
    struct flow_lane *lane;
    pthread_t thread;
};

/* ---- threads ---- */

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *team = m->team;
    struct flow_lane *lane = m->lane;

    if (lane->cpu >= 0)
        bench_pin((uint32_t)lane->cpu);
    else
        bench_unpin();
    for (;;) {
        int64_t waited;

        pthread_barrier_wait(&team->begin);
        if (team->quit) break;
        /* A barrier wakes one after the other; all start together. */
        __atomic_add_fetch(&team->flow.aligned, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&team->flow.aligned, __ATOMIC_ACQUIRE) < team->lanes)
            sched_yield();
        waited = bench_waited_ns();
        lane->start = bench_now_ns();
        lane->loop(lane);
        lane->end = bench_now_ns();
        lane->waited = bench_waited_ns() - waited;
        pthread_barrier_wait(&team->over);
    }
    bench_waited_close();
    return NULL;
}

static void team_start(struct team *team, struct member *members)
{
    bench_require(pthread_barrier_init(&team->begin, NULL, team->lanes + 1) == 0, "pthread_barrier_init");
    bench_require(pthread_barrier_init(&team->over, NULL, team->lanes + 1) == 0, "pthread_barrier_init");
    for (uint32_t i = 0; i < team->lanes; i++) {
        members[i].team = team;
        members[i].lane = &team->lane[i];
        bench_require(pthread_create(&members[i].thread, NULL, member_main, &members[i]) == 0,
                      "pthread_create");
    }
}

static void team_end(struct team *team, struct member *members)
{
    team->quit = true;
    pthread_barrier_wait(&team->begin);
    for (uint32_t i = 0; i < team->lanes; i++)
        pthread_join(members[i].thread, NULL);
    pthread_barrier_destroy(&team->begin);
    pthread_barrier_destroy(&team->over);
}

/* ---- one run ---- */

static void run(struct team *team, uint32_t pushers, int64_t ns)
{
    const struct timespec nap = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)}, moment = {0, 50000};

    team->flow.stop = team->flow.ended = team->flow.aligned = 0;
    team->flow.pushers_left = pushers;
    for (uint32_t i = 0; i < team->lanes; i++) {
        struct flow_lane *lane = &team->lane[i];

        lane->first += lane->count; /* no value twice: the reader of a bare line knows a new one by that */
        lane->count = lane->sum = lane->torn = 0;
    }
    pthread_barrier_wait(&team->begin);
    while (__atomic_load_n(&team->flow.aligned, __ATOMIC_ACQUIRE) < team->lanes)
        nanosleep(&moment, NULL);
    nanosleep(&nap, NULL);
    __atomic_store_n(&team->flow.stop, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&team->over);
}

static void check(const struct team *team, uint32_t pushers, struct bench_result *ret)
{
    uint64_t in = 0, out = 0, in_sum = 0, out_sum = 0, torn = 0;

    for (uint32_t i = 0; i < team->lanes; i++) {
        const struct flow_lane *lane = &team->lane[i];

        *(i < pushers ? &in : &out) += lane->count;
        *(i < pushers ? &in_sum : &out_sum) += lane->sum;
        torn |= lane->torn;
    }
    if (in != out)
        bench_wrong(ret, "%llu elements pushed, %llu popped", (unsigned long long)in,
                    (unsigned long long)out);
    if (in_sum != out_sum) bench_wrong(ret, "the sums of what was pushed and popped differ");
    if (torn != 0) bench_wrong(ret, "an element came out different from how it went in");
    if (in == 0) bench_wrong(ret, "nothing was pushed");
}

/* ns an element; *ret_waited: the largest share of its time that a thread had no CPU. */
static double evaluate(const struct team *team, uint32_t pushers, double *ret_waited)
{
    int64_t start = team->lane[0].start, end = team->lane[0].end;
    uint64_t count = 0;

    *ret_waited = 0;
    for (uint32_t i = 0; i < team->lanes; i++) {
        const struct flow_lane *lane = &team->lane[i];
        double waited = (double)lane->waited / (double)(lane->end - lane->start + 1);

        if (i < pushers) count += lane->count;
        if (lane->start < start) start = lane->start;
        if (lane->end > end) end = lane->end;
        if (waited > *ret_waited) *ret_waited = waited;
    }
    return (double)(end - start) / (double)(count > 0 ? count : 1);
}

/* ---- one measurement ---- */

static void team_fill(struct team *team, const struct flow_case *c, void *ring, void *back)
{
    const struct flow_kernel *k = c->ring->kernel;

    team->lanes = c->pushers + c->poppers;
    for (uint32_t i = 0; i < team->lanes; i++) {
        struct flow_lane *lane = &team->lane[i];
        bool pusher = i < c->pushers;

        lane->flow = &team->flow;
        lane->ring = ring;
        lane->back = back;
        lane->wait = c->wait;
        lane->batch = c->batch;
        lane->poppers = c->poppers;
        lane->first = (uint64_t)i << 48;
        lane->cpu = c->pinned ? (int32_t)i : -1;
        if (c->pingpong)
            lane->loop = pusher ? k->ping : k->echo;
        else if (c->batch > 0)
            lane->loop = pusher ? k->push_many : k->pop_many;
        else
            lane->loop = pusher ? k->push : k->pop;
    }
}

/* A thread on each CPU: short runs, of which only those count in which all had their CPU. */
static void run_pinned(struct team *team, const struct flow_case *c, struct bench_result *ret)
{
    int64_t ns = (int64_t)bench_batch_ms() * 1000000 / RUNS;
    /* Who sleeps waits for a CPU a little each time it is woken: that belongs to what is measured. */
    double most = c->ring->kernel->blocking ? 0.5 : 0.1, clean[RUNS];
    uint32_t tries = 0, cleans = 0;

    run(team, c->pushers, ns); /* warm-up */
    check(team, c->pushers, ret);
    while (ret->wrong[0] == '\0' && cleans < RUNS && tries++ < RUNS_MAX) {
        double waited, value;

        run(team, c->pushers, ns);
        check(team, c->pushers, ret);
        value = evaluate(team, c->pushers, &waited);
        if (waited <= most) clean[cleans++] = value;
    }
    ret->busy = tries > 0 ? 1 - (double)cleans / (double)(tries < RUNS_MAX ? tries : RUNS_MAX) : 0;
    ret->crowded = cleans < RUNS_LEAST;
    ret->ns = bench_median(clean, cleans);
}

/* More threads than CPUs: one run, long beside the scheduler's slice of 3 to 4 ms. */
static void run_crowd(struct team *team, const struct flow_case *c, struct bench_result *ret)
{
    int64_t ns = (int64_t)bench_batch_ms() * 1000000;
    double waited;

    run(team, c->pushers, ns); /* warm-up */
    check(team, c->pushers, ret);
    run(team, c->pushers, 5 * ns);
    check(team, c->pushers, ret);
    ret->ns = evaluate(team, c->pushers, &waited);
}

static void measure(void *state, struct bench_result *ret)
{
    const struct flow_case *c = state;
    struct member members[FLOW_LANES];
    struct team *team;
    void *ring, *back;

    if (c->pinned && bench_cpus() < 2) {
        bench_skip(ret, "needs 2 CPUs");
        return;
    }
    ring = c->ring->make(c->ring, c->capacity);
    back = c->pingpong ? c->ring->make(c->ring, c->capacity) : ring;
    bench_require(ring != NULL && back != NULL, c->ring->impl);
    bench_require(posix_memalign((void **)&team, FLOW_LINE, sizeof *team) == 0, "no memory");
    memset(team, 0, sizeof *team);
    team_fill(team, c, ring, back);
    team_start(team, members);
    if (c->pinned)
        run_pinned(team, c, ret);
    else
        run_crowd(team, c, ret);
    team_end(team, members);
    free(team);
    if (back != ring) c->ring->end(back);
    c->ring->end(ring);
}

static bool pair(void *state, uint64_t n)
{
    struct flow_case *c = state;

    if (c->kept == NULL) c->kept = c->ring->make(c->ring, c->capacity);
    bench_require(c->kept != NULL, c->ring->impl);
    return c->ring->kernel->pair(c->kept, n);
}

/* ---- cases ---- */

static struct flow_case *new_case(const struct flow_ring *ring, uint32_t pushers, uint32_t poppers)
{
    struct flow_case *c = calloc(1, sizeof *c);

    bench_require(c != NULL, "no memory");
    c->ring = ring;
    c->pushers = pushers;
    c->poppers = poppers;
    c->capacity = FLOW_CAPACITY;
    c->pinned = pushers + poppers <= 2;
    return c;
}

void flow_add_pair(const struct flow_ring *ring)
{
    char name[40];

    snprintf(name, sizeof name, "ring/pair/%s/%u%s", ring->mode, ring->kernel->elem_bytes,
             ring->kernel->blocking ? "/block" : "");
    bench_add(name, ring->impl, pair, new_case(ring, 1, 0));
}

void flow_add_stream(const struct flow_ring *ring, uint32_t pushers, uint32_t poppers, uint32_t wait,
                     uint32_t capacity)
{
    struct flow_case *c = new_case(ring, pushers, poppers);
    char name[40];

    c->wait = wait;
    c->capacity = capacity;
    snprintf(name, sizeof name, "ring/%u-%u/%s/%u/%s%s", pushers, poppers, ring->mode,
             ring->kernel->elem_bytes,
             ring->kernel->blocking ? "block"
             : wait == FLOW_YIELD   ? "yield"
                                    : "spin",
             capacity == FLOW_LARGE ? "/64k" : "");
    bench_add_measured(name, ring->impl, 1, measure, c);
}

void flow_add_batch(const struct flow_ring *ring, uint32_t batch)
{
    struct flow_case *c = new_case(ring, 1, 1);
    char name[40];

    c->batch = batch;
    snprintf(name, sizeof name, "ring/batch/%s/%u/%u", ring->mode, ring->kernel->elem_bytes, batch);
    bench_add_measured(name, ring->impl, 1, measure, c);
}

void flow_add_pingpong(const struct flow_ring *ring)
{
    struct flow_case *c = new_case(ring, 1, 1);
    char name[40];

    c->pingpong = true;
    snprintf(name, sizeof name, "ring/pingpong/%s/%u%s", ring->mode, ring->kernel->elem_bytes,
             ring->kernel->blocking ? "/block" : "");
    bench_add_measured(name, ring->impl, 1, measure, c);
}

void flow_add_all(const struct flow_ring *ring)
{
    bool many = strcmp(ring->mode, "mpmc") == 0;

    flow_add_pair(ring);
    flow_add_stream(ring, 1, 1, FLOW_SPIN, FLOW_CAPACITY);
    if (many) flow_add_stream(ring, 4, 4, FLOW_SPIN, FLOW_CAPACITY);
    if (many && !ring->kernel->blocking) flow_add_stream(ring, 4, 4, FLOW_YIELD, FLOW_CAPACITY);
    if (ring->kernel->push_many != NULL) {
        flow_add_batch(ring, 16);
        flow_add_batch(ring, 64);
    }
    flow_add_pingpong(ring);
}
