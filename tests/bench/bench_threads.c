/* SPDX-License-Identifier: MIT */
/* Two threads on one bus: both emit on the same topic, or one emits while the other adds and removes a
 * listener.
 *
 * The listeners count in thread-local memory: a shared counter would measure itself. The row of one thread
 * runs the same code, so it is the reference of the others.
 */
#include <evbus.h>
#include <stdatomic.h>

#include "bench.h"

#ifndef BENCH_IMPL
#define BENCH_IMPL "evbus"
#endif
#define LISTENERS 4
#define CHUNK     16384 /* long beside the look at clock and scheduler between two slices */

static _Thread_local uint64_t fixed_calls, guest_calls;

/* Listeners that came and went leave traces in a topic for a while, so churn has a topic of its own. */
static evb_bus *bus;
static evb_topic *quiet, *churned;

static int32_t count_fixed(const evb_event *ev, void *user)
{
    (void)user;
    fixed_calls += *(const uint64_t *)ev->data;
    return EVB_OK;
}

static int32_t count_guest(const evb_event *ev, void *user)
{
    (void)user;
    guest_calls += *(const uint64_t *)ev->data;
    return EVB_OK;
}

/* The four that stay are called by every emit, the guest by those that say so in their result. */
static bool emit_batch(void *arg, uint64_t n)
{
    evb_topic *topic = *(evb_topic **)arg;
    uint64_t one = 1, fixed = fixed_calls, guest = guest_calls, reached = 0;

    for (uint64_t i = 0; i < n; i++)
        reached += (uint64_t)evb_topic_emit(topic, &one, sizeof one);
    fixed = fixed_calls - fixed;
    guest = guest_calls - guest;
    return fixed == n * LISTENERS && reached == fixed + guest;
}

struct churn {
    bool with_free_user;
    uint64_t pairs;
    atomic_uint_fast64_t freed; /* either thread may run the last free_user */
};

static void count_free(void *user)
{
    atomic_fetch_add(&((struct churn *)user)->freed, 1);
}

static bool churn_batch(void *arg, uint64_t n)
{
    struct churn *c = arg;
    evb_listen_opts opts = {.struct_size = sizeof opts, .free_user = c->with_free_user ? count_free : NULL};
    uint64_t failed = 0;

    for (uint64_t i = 0; i < n; i++) {
        int64_t id = evb_listen(bus, "threads.churned", &opts, count_guest, c);

        failed += id <= 0 || evb_off(bus, id) != EVB_OK;
    }
    c->pairs += n;
    return failed == 0;
}

static void emitters(struct bench_result *ret, uint32_t count, evb_topic **topic)
{
    struct bench_worker workers[BENCH_THREADS] = {{NULL, NULL, 0, 0, false}};
    double sum = 0;

    for (uint32_t i = 0; i < count; i++)
        workers[i] = (struct bench_worker){emit_batch, topic, CHUNK, 0, false};
    if (!bench_parallel(workers, count, ret)) return;
    for (uint32_t i = 0; i < count; i++)
        sum += workers[i].ns;
    ret->ns = sum / count;
}

static void one_thread(void *state, struct bench_result *ret)
{
    (void)state;
    emitters(ret, 1, &quiet);
}

static void after_churn(void *state, struct bench_result *ret)
{
    (void)state;
    emitters(ret, 1, &churned);
}

static void two_threads(void *state, struct bench_result *ret)
{
    (void)state;
    emitters(ret, 2, &quiet);
}

static void under_churn(void *state, struct bench_result *ret)
{
    static struct churn
        c; /* static: a free_user that came late must be counted, not write into a dead frame */
    struct bench_worker workers[2] = {{emit_batch, &churned, CHUNK, 0, false},
                                      {churn_batch, &c, 64, 0, false}};

    c.with_free_user = state != NULL;
    c.pairs = 0;
    atomic_store(&c.freed, 0);
    if (!bench_parallel(workers, 2, ret)) return;
    ret->ns = workers[0].ns;
    bench_extra(ret, "pair_ns", workers[1].ns);
    /* Both threads are gone: no emit can see a guest, so each one's free_user has run, once. */
    if (c.with_free_user && atomic_load(&c.freed) != c.pairs)
        bench_wrong(ret, "%llu pairs, %llu calls of free_user", (unsigned long long)c.pairs,
                    (unsigned long long)atomic_load(&c.freed));
    if (evb_listener_count(bus, "threads.churned") != LISTENERS) bench_wrong(ret, "a listener is left over");
}

int main(int argc, char **argv)
{
    bench_info("evbus", evb_version_string());
    bench_require(evb_bus_create(NULL, &bus) == EVB_OK, "evb_bus_create");
    bench_require(evb_topic_open(bus, "threads.quiet", &quiet) == EVB_OK, "evb_topic_open");
    bench_require(evb_topic_open(bus, "threads.churned", &churned) == EVB_OK, "evb_topic_open");
    for (uint32_t i = 0; i < LISTENERS; i++) {
        bench_require(evb_on(bus, "threads.quiet", count_fixed, NULL) > 0, "evb_on");
        bench_require(evb_on(bus, "threads.churned", count_fixed, NULL) > 0, "evb_on");
    }
    bench_add_measured("threads/1", BENCH_IMPL, 1, one_thread, NULL);
    bench_add_measured("threads/2", BENCH_IMPL, 1, two_threads, NULL);
    bench_add_measured("churn/after", BENCH_IMPL, 1, after_churn, NULL); /* one thread, the churn is over */
    bench_add_measured("churn/plain", BENCH_IMPL, 1, under_churn, NULL);
    bench_add_measured("churn/free_user", BENCH_IMPL, 1, under_churn, &bus); /* any non-NULL state */
    return bench_main(argc, argv);
}
