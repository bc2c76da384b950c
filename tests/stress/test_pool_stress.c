/* SPDX-License-Identifier: MIT */
/* Pools under many threads: nothing is lost, nothing is done twice, nobody sleeps beside work, and nobody
 * wakes up without. */
#include "evb_test.h"

#include <evbus/pool.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/platform.h"
#include "pool/pool.h"

#define SCALE(n)   (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define SUBMITTERS 4u
#define EACH       20000u

static evb_pool *pool;
static evb_strand *strand;
/* Of each argument: how often it ran, and 0x100 for each discard. relaxed: read when the pool is idle or over
 */
static EVB__ATOMIC(uint16_t) fate[SUBMITTERS][EACH];
static uint32_t accepted[SUBMITTERS]; /* each thread its own */
static EVB__ATOMIC(uint32_t) ran, discarded;

static void run(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint16_t) *)arg, 1);
    (void)evb__add_acqrel(&ran, 1); /* pairs with the load of who waits for it */
}

static void discard(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint16_t) *)arg, 0x100);
    (void)evb__add_rlx(&discarded, 1);
}

static void open_pool(evb_pool_opts opts)
{
    for (uint32_t s = 0; s < SUBMITTERS; s++) {
        for (uint32_t i = 0; i < EACH && evb__ld_rlx(&fate[s][i]) != 0; i++)
            evb__st_rlx(&fate[s][i], 0);
        accepted[s] = 0;
    }
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&discarded, 0);
    opts.on_discard = discard;
    OK(evb_pool_create(&opts, &pool));
}

/* Exactly what was accepted, each once. */
static void nothing_lost_nothing_twice(void)
{
    uint32_t total = 0;

    for (uint32_t s = 0; s < SUBMITTERS; s++) {
        for (uint32_t i = 0; i < accepted[s]; i++) {
            uint32_t f = evb__ld_rlx(&fate[s][i]);

            if (f != 1 && f != 0x100) EQ(f, 1);
        }
        if (accepted[s] < EACH) EQ(evb__ld_rlx(&fate[s][accepted[s]]), 0);
        total += accepted[s];
    }
    EQ(evb__ld_rlx(&ran) + evb__ld_rlx(&discarded), total);
}

/* ---- submitters and workers ---- */

static void submit_each(uint32_t index, void *arg)
{
    uint32_t n = *(const uint32_t *)arg;
    struct evb__rng rng;
    void *args[50];

    evb__rng_init(&rng, evb_test_seed() + index);
    while (accepted[index] < n) {
        uint32_t at = accepted[index], count = 1 + (uint32_t)evb__rng_below(&rng, 50);
        int32_t rc = 1;

        if (count > n - at) count = n - at;
        for (uint32_t i = 0; i < count; i++)
            args[i] = &fate[index][at + i];
        switch (evb__rng_below(&rng, 4)) {
        case 0:
            rc = evb_pool_submit_many(pool, run, args, count);
            break;
        case 1:
            rc = evb_strand_submit_many(strand, run, args, count);
            break;
        case 2:
            OK(evb_strand_submit(strand, run, args[0], EVB_FOREVER));
            break;
        default:
            OK(evb_pool_submit(pool, run, args[0], EVB_FOREVER));
        }
        if (rc > 0)
            accepted[index] += (uint32_t)rc;
        else if (rc != EVB_EFULL)
            OK(rc);
        else
            sched_yield();
    }
}

TEST(every_argument_of_several_submitters_runs_exactly_once)
{
    uint32_t n = SCALE(EACH);

    for (uint32_t threads = 1; threads <= 4; threads *= 2) {
        for (uint32_t capacity = 2; capacity <= 2048; capacity *= 32) {
            open_pool((evb_pool_opts){.threads = threads, .queue_capacity = capacity});
            OK(evb_strand_create(pool, capacity, &strand));
            evb_test_run_threads(SUBMITTERS, submit_each, &n);
            OK(evb_pool_wait_idle(pool, EVB_FOREVER));
            EQ(evb__ld_rlx(&ran), SUBMITTERS * n);
            nothing_lost_nothing_twice();
            evb_strand_destroy(strand);
            evb_pool_destroy(pool);
        }
    }
}

/* ---- submitters and the end ---- */

static struct {
    uint32_t mode, delay;
    int64_t timeout;
    bool strand, many;
    EVB__ATOMIC(uint32_t) submitting;
} end;

static int32_t submit_one_way(void **args, uint32_t count)
{
    if (!end.many)
        return end.strand ? evb_strand_submit(strand, run, args[0], end.timeout)
                          : evb_pool_submit(pool, run, args[0], end.timeout);
    return end.strand ? evb_strand_submit_many(strand, run, args, count)
                      : evb_pool_submit_many(pool, run, args, count);
}

static void submit_until_closed(uint32_t index)
{
    void *args[8];

    (void)evb__add_rlx(&end.submitting, 1);
    while (accepted[index] + 8 < EACH) {
        int32_t rc;

        for (uint32_t i = 0; i < 8; i++)
            args[i] = &fate[index][accepted[index] + i];
        rc = submit_one_way(args, 8);
        if (rc >= 0)
            accepted[index] += end.many ? (uint32_t)rc : 1;
        else if (rc == EVB_EFULL)
            sched_yield();
        else {
            FAILS(rc, EVB_ECLOSED);
            return;
        }
    }
}

static void submit_or_shut_down(uint32_t index, void *arg)
{
    (void)arg;
    if (index < SUBMITTERS - 1) {
        submit_until_closed(index);
        return;
    }
    while (evb__ld_rlx(&end.submitting) == 0)
        sched_yield();
    for (uint32_t i = 0; i < end.delay; i++)
        evb__compiler_barrier();
    OK(evb_pool_shutdown(pool, end.mode, EVB_FOREVER));
}

static void one_end(uint32_t round)
{
    struct evb__rng *rng = evb_test_rng();

    end.mode = round % 2;
    end.strand = round / 2 % 2;
    end.many = round / 4 % 2;
    end.timeout = evb__rng_below(rng, 2) ? EVB_FOREVER : 0;
    end.delay = (uint32_t)evb__rng_below(rng, UINT64_C(1) << evb__rng_below(rng, 18));
    evb__st_rlx(&end.submitting, 0);
    open_pool((evb_pool_opts){.threads = 1 + (uint32_t)evb__rng_below(rng, 4),
                              .queue_capacity = 2u << evb__rng_below(rng, 10)});
    OK(evb_strand_create(pool, 2u << evb__rng_below(rng, 8), &strand));
    evb_test_run_threads(SUBMITTERS, submit_or_shut_down, NULL);
    nothing_lost_nothing_twice();
    /* A strand that is submitted to in the last moment may find nobody left to run it. */
    if (end.mode == EVB_DRAIN && !end.strand) EQ(evb__ld_rlx(&discarded), 0);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
    nothing_lost_nothing_twice();
}

TEST(what_is_accepted_while_a_pool_is_shut_down_is_run_or_discarded)
{
    uint32_t rounds = SCALE(1600);

    for (uint32_t round = 0; round < rounds; round++)
        one_end(round);
}

/* ---- timers and those who cancel them ---- */

static int64_t timers[SUBMITTERS][EACH];

static void set_and_cancel(uint32_t index, void *arg)
{
    uint32_t n = *(const uint32_t *)arg, behind = 0;
    struct evb__rng rng;

    evb__rng_init(&rng, evb_test_seed() + index);
    for (uint32_t i = 0; i < n; i++) {
        int64_t delay = (int64_t)evb__rng_below(&rng, 3000000);

        timers[index][i] = ID(evb_pool_submit_after(pool, delay, run, &fate[index][i]));
        while (behind < i && evb__rng_below(&rng, 16) != 0) {
            int64_t id = timers[index][behind];
            int32_t rc = evb__rng_below(&rng, 2) ? evb_pool_cancel(pool, id) : evb_pool_cancel_wait(pool, id);

            /* Canceled: nobody has run it, or will. */
            if (rc == EVB_OK)
                (void)evb__add_rlx(&fate[index][behind], 0x1000);
            else
                FAILS(rc, EVB_ENOTFOUND);
            behind++;
        }
        if (i % 64 == 0) sched_yield();
    }
}

TEST(a_timer_that_races_with_its_cancel_has_run_or_was_canceled)
{
    uint32_t n = SCALE(6000), canceled = 0, have_run = 0;

    for (uint32_t threads = 1; threads <= 4; threads *= 2) {
        open_pool((evb_pool_opts){.threads = threads});
        memset((void *)timers, 0, sizeof timers);
        evb_test_run_threads(SUBMITTERS, set_and_cancel, &n);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        for (uint32_t s = 0; s < SUBMITTERS; s++) {
            for (uint32_t i = 0; i < n; i++) {
                uint32_t f = evb__ld_rlx(&fate[s][i]);

                if (f != 1 && f != 0x1000) EQ(f, 1);
                canceled += f == 0x1000;
                have_run += f == 1;
            }
        }
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&discarded), 0);
    }
    CHECK(canceled > 0 && have_run > 0);
}

/* ---- waking ---- */

static bool has_run(void *times)
{
    return evb__ld_acq(&ran) >= *(uint32_t *)times; /* pairs with run */
}

static void wait_for_run(uint32_t times)
{
    for (int i = 0; i < 1000; i++) {
        if (has_run(&times)) return;
        sched_yield();
    }
    CHECK(evb_test_eventually(has_run, &times));
}

/* Each comes a random moment after the one before it has run: while a worker goes to sleep, or when it
 * sleeps. */
TEST(a_single_task_never_lies_beside_sleeping_workers)
{
    uint32_t n = SCALE(EACH), first;

    for (uint32_t threads = 1; threads <= 4; threads++) {
        for (uint32_t spin = 0; spin < 2; spin++) {
            open_pool((evb_pool_opts){.threads = threads, .spin_us = spin ? 5 : UINT32_MAX});
            OK(evb_strand_create(pool, 2, &strand));
            first = n / 8;
            for (uint32_t i = 0; i < first; i++) {
                uint64_t pause =
                    evb__rng_below(evb_test_rng(), UINT64_C(1) << evb__rng_below(evb_test_rng(), 14));

                for (uint64_t p = 0; p < pause; p++)
                    evb__compiler_barrier();
                if (i % 3 == 0)
                    OK(evb_strand_submit(strand, run, &fate[0][i], 0));
                else
                    OK(evb_pool_submit(pool, run, &fate[0][i], 0));
                wait_for_run(i + 1);
            }
            accepted[0] = first;
            nothing_lost_nothing_twice();
            evb_strand_destroy(strand);
            evb_pool_destroy(pool);
        }
    }
}

TEST(whoever_waits_for_an_idle_pool_is_told)
{
    uint32_t n = SCALE(6000);

    for (uint32_t threads = 1; threads <= 3; threads++) {
        open_pool((evb_pool_opts){.threads = threads});
        for (uint32_t i = 0; i < n; i++) {
            OK(evb_pool_submit(pool, run, &fate[0][i], 0));
            if (i % 5 == 0) OK(evb_pool_submit(pool, run, &fate[1][i / 5], 0));
            OK(evb_pool_wait_idle(pool, EVB_FOREVER));
            EQ(evb__ld_rlx(&ran), i + 2 + i / 5);
        }
        accepted[0] = n;
        accepted[1] = (n + 4) / 5;
        nothing_lost_nothing_twice();
        evb_pool_destroy(pool);
    }
}

/* ---- an idle pool ---- */

#define WORKERS 4u

static pid_t worker_ids[WORKERS];
static EVB__ATOMIC(uint32_t) known;

static void note_thread(void *arg)
{
    uint32_t who = evb__add_rlx(&known, 1);

    (void)arg;
    if (who < WORKERS) worker_ids[who] = (pid_t)syscall(SYS_gettid);
}

/* How often the workers have been put on a processor and gone off it; -1: not to be known here. */
static long switches(void)
{
    long sum = 0;

    for (uint32_t i = 0; i < WORKERS; i++) {
        char path[64], line[128];
        int found = 0;
        FILE *status;

        (void)snprintf(path, sizeof path, "/proc/self/task/%ld/status", (long)worker_ids[i]);
        status = fopen(path, "r");
        if (status == NULL) return -1;
        while (fgets(line, sizeof line, status) != NULL) {
            long n;

            if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %ld", &n) == 1) {
                sum += n;
                found++;
            }
        }
        (void)fclose(status);
        if (found != 2) return -1;
    }
    return sum;
}

static bool all_sleep(void *arg)
{
    (void)arg;
    return evb__ld_sc(&pool->idle) == (UINT64_C(1) << WORKERS) - 1;
}

/* Work of another pool: what the idle one does meanwhile is counted. */
static void work_elsewhere(void)
{
    uint32_t n = SCALE(EACH);
    evb_pool *other;

    OK(evb_pool_create(&(evb_pool_opts){.threads = 2}, &other));
    for (uint32_t i = 0; i < n; i++)
        OK(evb_pool_submit(other, run, &fate[0][i], EVB_FOREVER));
    for (int i = 0; i < 100; i++) { /* and timers of its own: a stretch of time */
        (void)ID(evb_pool_submit_after(other, 1000000, run, &fate[1][i]));
        OK(evb_pool_wait_idle(other, EVB_FOREVER));
    }
    evb_pool_destroy(other);
}

static void stays_asleep(bool timer)
{
    int64_t id = 0;
    long before, after;

    open_pool((evb_pool_opts){.threads = WORKERS, .on_thread_start = note_thread});
    evb__st_rlx(&known, 0);
    if (timer) id = ID(evb_pool_submit_after(pool, INT64_C(3600000000000), run, &fate[2][0]));
    OK(evb_pool_submit(pool, run, &fate[3][0], 0));
    wait_for_run(1);
    CHECK(evb_test_eventually(all_sleep, NULL));
    EQ(evb__ld_acq(&known), WORKERS);
    before = switches();
    work_elsewhere();
    after = switches();
    if (timer) OK(evb_pool_cancel(pool, id));
    evb_pool_destroy(pool);
    if (before < 0) SKIP("no /proc that says how often a thread was put on a processor");
    /* A few: they say that they sleep a moment before they do. */
    CHECK(after - before <= 4 * (long)WORKERS);
}

TEST(an_idle_pool_does_not_wake_up)
{
    stays_asleep(false);
}

TEST(an_idle_pool_with_a_timer_far_away_does_not_wake_up)
{
    stays_asleep(true);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_argument_of_several_submitters_runs_exactly_once),
        cmocka_unit_test(what_is_accepted_while_a_pool_is_shut_down_is_run_or_discarded),
        cmocka_unit_test(a_timer_that_races_with_its_cancel_has_run_or_was_canceled),
        cmocka_unit_test(a_single_task_never_lies_beside_sleeping_workers),
        cmocka_unit_test(whoever_waits_for_an_idle_pool_is_told),
        cmocka_unit_test(an_idle_pool_does_not_wake_up),
        cmocka_unit_test(an_idle_pool_with_a_timer_far_away_does_not_wake_up),
    };
    return EVB_TEST_MAIN("pool_stress", tests, argc, argv);
}
