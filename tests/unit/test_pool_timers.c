/* SPDX-License-Identifier: MIT */
/* Timers of a pool: when they run, how often, and how they are stopped.
 *
 * Most tests hold the clock themselves. The worker sleeps by the system's clock all the same, so after the
 * clock was moved it is given a task, which makes it look at the time.
 */
#include "evb_test.h"

#include <evbus/pool.h>
#include <sched.h>

#include "base/clock.h"
#include "base/platform.h"
#include "gate.h"
#include "pool/pool.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SCALE(n)     (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define MS           INT64_C(1000000)
#define HOUR         (INT64_C(3600000) * MS)
#define MANY         2000

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran, discarded;

static uint32_t runs(void)
{
    return evb__ld_acq(&ran); /* pairs with count */
}

static void count(void *arg)
{
    (void)arg;
    (void)evb__add_acqrel(&ran, 1); /* pairs with runs */
}

static void count_discarded(void *arg)
{
    (void)arg;
    (void)evb__add_acqrel(&discarded, 1);
}

static void open_with(evb_pool_opts opts)
{
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&discarded, 0);
    opts.on_discard = count_discarded;
    OK(evb_pool_create(&opts, &pool));
}

static void open_pool(uint32_t threads)
{
    open_with((evb_pool_opts){.threads = threads});
}

/* One worker and the clock in our hand. It does not spin: it would until we move the clock. */
static void open_by_hand(void)
{
    evb_test_clock_install(1000 * MS);
    open_with((evb_pool_opts){.threads = 1, .spin_us = UINT32_MAX});
}

static void nothing(void *arg)
{
    (void)arg;
}

static struct gate through = GATE_SHUT; /* always open: it counts who has come */
static uint32_t looks;

/* Every timer that was due when it was called has been run when it returns, if tests set them on even
 * milliseconds: a task of now, one millisecond later, comes behind them. */
static void look_at_the_time(void)
{
    gate_open(&through);
    evb_test_clock_advance(MS);
    (void)ID(evb_pool_submit_after(pool, 0, gate_hold, &through));
    OK(evb_pool_submit(pool, nothing, NULL, EVB_FOREVER));
    gate_wait_held(&through, ++looks);
    evb_test_clock_advance(MS);
}

/* Passes at least ns, and 2 ms for each look: a run may make another one due. */
static void pass(int64_t ns)
{
    evb_test_clock_advance(ns - 6 * MS);
    for (int i = 0; i < 3; i++)
        look_at_the_time();
}

static bool all_sleep(void *arg)
{
    (void)arg;
    return evb__ld_sc(&pool->idle) == (UINT64_C(1) << pool->started) - 1;
}

static bool ran_as_often(void *times)
{
    return runs() >= *(uint32_t *)times;
}

/* ---- when ---- */

TEST(a_timer_runs_once_and_not_before_its_time)
{
    open_by_hand();
    (void)ID(evb_pool_submit_after(pool, 100 * MS, count, NULL));
    pass(50 * MS);
    EQ(runs(), 0);
    pass(48 * MS); /* 98 */
    EQ(runs(), 0);
    pass(6 * MS);
    EQ(runs(), 1);
    pass(HOUR);
    EQ(runs(), 1);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), 0);
}

struct stamped {
    int64_t not_before;
    bool early;
};

static void stamp(void *arg)
{
    struct stamped *s = arg;

    s->early = evb__clock_mono() < s->not_before;
    count(NULL);
}

TEST(a_timer_between_two_steps_of_the_wheel_runs_after_its_time)
{
    for (int64_t beside = 0; beside < MS; beside += MS / 10 - 1) {
        struct stamped stamped;

        open_by_hand();
        evb_test_clock_advance(MS / 2);
        stamped.not_before = evb__clock_mono() + 20 * MS + beside;
        (void)ID(evb_pool_submit_after(pool, 20 * MS + beside, stamp, &stamped));
        for (int i = 0; i < 250; i++) { /* 25 ms, and at every step somebody looks */
            evb_test_clock_advance(MS / 10);
            OK(evb_pool_submit(pool, nothing, NULL, EVB_FOREVER));
            CHECK(evb_test_eventually(all_sleep, NULL));
        }
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(runs(), 1);
        CHECK(!stamped.early);
        evb_pool_destroy(pool);
        evb_test_clock_remove();
    }
}

TEST(by_the_systems_clock_no_timer_is_early)
{
    static struct stamped stamped[500];

    open_pool(2);
    for (size_t i = 0; i < COUNT(stamped); i++) {
        int64_t delay = (int64_t)evb__rng_below(evb_test_rng(), 30 * MS);

        if (i % 10 == 0) delay = 0;
        stamped[i].not_before = evb__clock_mono() + delay;
        (void)ID(evb_pool_submit_after(pool, delay, stamp, &stamped[i]));
    }
    OK(evb_pool_wait_idle(pool, EVB_FOREVER)); /* waits for timers that run once */
    EQ(runs(), COUNT(stamped));
    for (size_t i = 0; i < COUNT(stamped); i++)
        CHECK(!stamped[i].early);
    evb_pool_destroy(pool);
}

TEST(timers_of_no_delay_run_at_once_and_those_of_the_longest_never)
{
    int64_t never, never_again;

    open_pool(2);
    never = ID(evb_pool_submit_after(pool, INT64_MAX, count, NULL));
    never_again = ID(evb_pool_submit_every(pool, INT64_MAX, count, NULL));
    FAILS(evb_pool_wait_idle(pool, 2 * MS), EVB_ETIMEDOUT); /* the first is outstanding */
    OK(evb_pool_cancel(pool, never));
    for (int i = 0; i < 200; i++) {
        (void)ID(evb_pool_submit_after(pool, 0, count, NULL));
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(runs(), i + 1);
    }
    OK(evb_pool_cancel(pool, never_again));
    evb_pool_destroy(pool);
    EQ(runs(), 200);
}

static struct {
    uint32_t order[MANY], n; /* one worker writes */
} trace;

static void note(void *arg)
{
    if (trace.n < MANY) trace.order[trace.n] = (uint32_t)(uintptr_t)arg;
    trace.n++;
    count(NULL);
}

static void shuffled(uint32_t *numbers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t other = (uint32_t)evb__rng_below(evb_test_rng(), i), swap = numbers[i - 1];

        numbers[i - 1] = numbers[other];
        numbers[other] = swap;
    }
}

TEST(one_worker_runs_what_is_due_in_the_order_of_the_times)
{
    uint32_t numbers[MANY];

    for (uint32_t late = 0; late < 2; late++) {
        open_by_hand();
        trace.n = 0;
        shuffled(numbers, MANY);
        for (uint32_t i = 0; i < MANY; i++)
            (void)ID(
                evb_pool_submit_after(pool, (numbers[i] + 4) * 2 * MS, note, (void *)(uintptr_t)numbers[i]));
        if (late)
            pass(3 * MANY * MS); /* all at once */
        else
            while (runs() < MANY)
                pass((int64_t)(6 + 2 * evb__rng_below(evb_test_rng(), 40)) * MS);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(trace.n, MANY);
        for (uint32_t i = 0; i < MANY; i++)
            EQ(trace.order[i], i);
        evb_pool_destroy(pool);
        evb_test_clock_remove();
    }
}

/* They are due two milliseconds beside every moment at which we look how many have run. */
TEST(of_many_timers_over_days_exactly_those_run_whose_time_has_come)
{
    static int64_t due[MANY], ids[MANY]; /* due INT64_MAX: canceled */
    int64_t now = 0;
    uint32_t expected = 0, canceled = 0;

    open_by_hand();
    for (uint32_t i = 0; i < MANY; i++) {
        due[i] = (int64_t)(10 + 4 * evb__rng_below(evb_test_rng(), UINT64_C(1) << (4 + i % 26))) * MS;
        ids[i] = ID(evb_pool_submit_after(pool, due[i], count, NULL));
    }
    for (int step = 0; now < 80 * 24 * HOUR; step++) {
        int64_t more = (int64_t)(8 + 4 * evb__rng_below(evb_test_rng(), UINT64_C(1) << (step / 4))) * MS;
        uint32_t i = (uint32_t)evb__rng_below(evb_test_rng(), MANY);

        pass(more);
        now += more;
        expected = canceled = 0;
        if (due[i] > now && due[i] != INT64_MAX) {
            OK(evb_pool_cancel(pool, ids[i]));
            due[i] = INT64_MAX;
        }
        for (uint32_t k = 0; k < MANY; k++) {
            expected += due[k] < now;
            canceled += due[k] == INT64_MAX;
        }
        EQ(runs(), expected);
    }
    EQ(expected + canceled, MANY);
    evb_pool_destroy(pool);
}

/* ---- who sleeps for whom ---- */

TEST(a_timer_set_before_the_one_that_is_slept_for_is_not_kept_waiting)
{
    uint32_t rounds = 100;

    for (uint32_t threads = 1; threads <= 3; threads++) {
        int64_t far;

        open_pool(threads);
        far = ID(evb_pool_submit_after(pool, HOUR, count, NULL));
        for (uint32_t i = 1; i <= rounds; i++) {
            if (i % 2) CHECK(evb_test_eventually(all_sleep, NULL));
            (void)ID(
                evb_pool_submit_after(pool, (int64_t)evb__rng_below(evb_test_rng(), 2 * MS), count, NULL));
            CHECK(evb_test_eventually(ran_as_often, &i));
        }
        OK(evb_pool_cancel(pool, far));
        evb_pool_destroy(pool);
        EQ(runs(), rounds);
    }
}

TEST(while_a_timers_run_is_held_another_worker_runs_the_next_timer)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t periodic = 0; periodic < 2; periodic++) {
        int64_t first;

        gate_shut(&gate);
        open_pool(2);
        first = periodic ? ID(evb_pool_submit_every(pool, MS, gate_hold, &gate))
                         : ID(evb_pool_submit_after(pool, MS, gate_hold, &gate));
        (void)ID(evb_pool_submit_after(pool, 20 * MS, count, NULL));
        gate_wait_held(&gate, 1);
        CHECK(evb_test_eventually(ran_as_often, &(uint32_t){1}));
        (void)evb_pool_cancel(pool, first);
        gate_open(&gate);
        evb_pool_destroy(pool);
    }
}

TEST(while_a_task_is_held_another_worker_runs_the_timer_that_was_armed_again)
{
    struct gate gate = GATE_SHUT;

    open_pool(2);
    (void)ID(evb_pool_submit_every(pool, MS, count, NULL));
    for (uint32_t n = 3; n < 30; n += 3) {
        CHECK(evb_test_eventually(ran_as_often, &n));
        if (n == 3) OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    }
    gate_open(&gate);
    evb_pool_destroy(pool);
}

TEST(a_periodic_timer_is_not_kept_waiting_by_a_timer_that_is_far_away)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        int64_t far;

        open_with((evb_pool_opts){.threads = threads, .spin_us = UINT32_MAX});
        far = ID(evb_pool_submit_after(pool, HOUR, count, NULL));
        (void)ID(evb_pool_submit_every(pool, MS, count, NULL));
        CHECK(evb_test_eventually(ran_as_often, &(uint32_t){50}));
        OK(evb_pool_cancel(pool, far));
        evb_pool_destroy(pool);
    }
}

/* ---- again and again ---- */

TEST(a_periodic_timer_runs_once_a_period)
{
    open_by_hand();
    (void)ID(evb_pool_submit_every(pool, 100 * MS, count, NULL));
    pass(90 * MS);
    EQ(runs(), 0);
    pass(20 * MS); /* 110 */
    for (uint32_t i = 1; i < 50; i++) {
        EQ(runs(), i);
        pass(100 * MS);
    }
    OK(evb_pool_wait_idle(pool, EVB_FOREVER)); /* does not wait for periodic ones */
    evb_pool_destroy(pool);
    EQ(runs(), 50);
    EQ(evb__ld_rlx(&discarded), 0);
}

TEST(of_missed_runs_one_is_made_up_for_and_the_rest_is_skipped)
{
    static const struct {
        int64_t late;
        uint32_t runs;
    } cases[] = {{0, 1}, {50, 1}, {150, 2}, {250, 2}, {1050, 2}, {100050, 2}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        open_by_hand();
        (void)ID(evb_pool_submit_every(pool, 100 * MS, count, NULL));
        pass((110 + cases[i].late) * MS);
        EQ(runs(), cases[i].runs);
        for (uint32_t more = 1; more < 5; more++) { /* and then it goes on as before */
            pass(100 * MS);
            EQ(runs(), cases[i].runs + more);
        }
        evb_pool_destroy(pool);
        evb_test_clock_remove();
    }
}

static EVB__ATOMIC(uint32_t) inside;

static void alone(void *arg)
{
    (void)arg;
    EQ(evb__add_acqrel(&inside, 1), 0);
    (void)sched_yield();
    EQ(evb__add_acqrel(&inside, (uint32_t)-1), 1);
    count(NULL);
}

TEST(runs_of_one_periodic_timer_never_overlap)
{
    open_pool(4);
    (void)ID(evb_pool_submit_every(pool, 1, alone, NULL)); /* due again before it has ended */
    CHECK(evb_test_eventually(ran_as_often, &(uint32_t){200}));
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&inside), 0);
}

/* ---- canceling ---- */

TEST(a_timer_canceled_before_its_time_never_runs_and_is_handed_to_nobody)
{
    int64_t once, every;

    open_by_hand();
    once = ID(evb_pool_submit_after(pool, 10 * MS, count, NULL));
    every = ID(evb_pool_submit_every(pool, 10 * MS, count, NULL));
    NE(once, every);
    OK(evb_pool_cancel(pool, once));
    OK(evb_pool_cancel_wait(pool, every));
    FAILS(evb_pool_cancel(pool, once), EVB_ENOTFOUND);
    FAILS(evb_pool_cancel_wait(pool, every), EVB_ENOTFOUND);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    pass(HOUR);
    EQ(runs(), 0);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), 0);
}

/* Of two timers that are due the first holds the only worker: the second is on its way to run. */
TEST(a_timer_canceled_while_it_is_queued_does_not_run)
{
    for (uint32_t waits = 0; waits < 2; waits++) {
        int32_t (*cancel)(evb_pool *, int64_t) = waits ? evb_pool_cancel_wait : evb_pool_cancel;
        struct gate gate = GATE_SHUT;
        int64_t once, every, first;

        open_by_hand();
        first = ID(evb_pool_submit_after(pool, 10 * MS, gate_hold, &gate));
        once = ID(evb_pool_submit_after(pool, 20 * MS, count, NULL));
        every = ID(evb_pool_submit_every(pool, 30 * MS, count, NULL));
        evb_test_clock_advance(100 * MS);
        OK(evb_pool_submit(pool, nothing, NULL, 0));
        gate_wait_held(&gate, 1);
        OK(cancel(pool, once));
        OK(cancel(pool, every));
        FAILS(cancel(pool, once), EVB_ENOTFOUND);
        FAILS(cancel(pool, every), EVB_ENOTFOUND);
        FAILS(evb_pool_cancel(pool, first), EVB_ENOTFOUND); /* it runs once, and has begun */
        gate_open(&gate);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        pass(HOUR);
        EQ(runs(), 0);
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&discarded), 0);
        evb_test_clock_remove();
    }
}

TEST(a_periodic_timer_canceled_while_it_runs_runs_no_more)
{
    struct gate gate = GATE_SHUT;
    int64_t id;

    open_by_hand();
    id = ID(evb_pool_submit_every(pool, 10 * MS, gate_hold, &gate));
    evb_test_clock_advance(10 * MS);
    OK(evb_pool_submit(pool, nothing, NULL, 0));
    gate_wait_held(&gate, 1);
    OK(evb_pool_cancel(pool, id));
    FAILS(evb_pool_cancel(pool, id), EVB_ENOTFOUND);
    gate_open(&gate);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    pass(HOUR);
    EQ(gate.came, 1);
    FAILS(evb_pool_cancel_wait(pool, id), EVB_ENOTFOUND);
    evb_pool_destroy(pool);
}

static struct {
    struct gate gate;
    int64_t id;
    bool over; /* not atomic: who has waited may read it */
    int32_t expected;
} held = {.gate = GATE_SHUT};

static void hold(void *arg)
{
    gate_hold(&held.gate);
    held.over = true;
    count(arg);
}

static bool somebody_waits(void *arg)
{
    (void)arg;
    return EVB__RING_LD_ACQ(&pool->waiters) != 0;
}

static void cancel_or_open(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        CHECK(evb_test_eventually(somebody_waits, NULL));
        CHECK(!held.over);
        gate_open(&held.gate);
        return;
    }
    FAILS(evb_pool_cancel_wait(pool, held.id), held.expected);
    CHECK(held.over);
}

TEST(cancel_wait_waits_for_the_run_that_is_under_way)
{
    for (uint32_t kind = 0; kind < 3; kind++) {
        open_pool(2);
        gate_shut(&held.gate);
        held.over = false;
        held.id = kind == 0 ? ID(evb_pool_submit_after(pool, 1, hold, NULL))
                            : ID(evb_pool_submit_every(pool, 1, hold, NULL));
        gate_wait_held(&held.gate, 1);
        if (kind == 2)
            OK(evb_pool_cancel(pool, held.id)); /* then there is nothing to cancel, but to wait for */
        held.expected = kind == 1 ? EVB_OK : EVB_ENOTFOUND;
        evb_test_run_threads(2, cancel_or_open, NULL);
        EQ(runs(), 1);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(runs(), 1);
        evb_pool_destroy(pool);
    }
}

static void cancel_own(void *arg)
{
    (void)arg;
    gate_hold(&held.gate); /* until the id is known */
    FAILS(evb_pool_cancel_wait(pool, held.id), EVB_EDEADLK);
    FAILS(evb_pool_cancel(pool, held.id), EVB_ENOTFOUND);
    FAILS(evb_pool_cancel_wait(pool, held.id), EVB_EDEADLK);
    count(NULL);
}

TEST(a_timer_that_waits_for_its_own_run_is_told_so_and_canceled)
{
    for (uint32_t every = 0; every < 2; every++) {
        open_by_hand();
        gate_shut(&held.gate);
        held.id = every ? ID(evb_pool_submit_every(pool, 10 * MS, cancel_own, NULL))
                        : ID(evb_pool_submit_after(pool, 10 * MS, cancel_own, NULL));
        gate_open(&held.gate);
        pass(20 * MS);
        EQ(runs(), 1);
        pass(HOUR);
        EQ(runs(), 1);
        FAILS(evb_pool_cancel_wait(pool, held.id), EVB_ENOTFOUND);
        evb_pool_destroy(pool);
        evb_test_clock_remove();
    }
}

static void cancel_from_within(void *arg)
{
    gate_hold(&held.gate);
    OK(evb_pool_cancel(pool, held.id));
    count(arg);
}

TEST(a_periodic_timer_may_cancel_itself)
{
    open_pool(2);
    gate_shut(&held.gate);
    held.id = ID(evb_pool_submit_every(pool, 1, cancel_from_within, NULL));
    gate_open(&held.gate);
    CHECK(evb_test_eventually(ran_as_often, &(uint32_t){1}));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    FAILS(evb_pool_cancel_wait(pool, held.id), EVB_ENOTFOUND);
    EQ(runs(), 1);
    evb_pool_destroy(pool);
}

TEST(an_old_id_finds_nothing_and_hits_no_younger_timer)
{
    int64_t old = 0, ids[3];

    open_by_hand();
    for (int i = 0; i < 1000; i++) { /* the same record again and again */
        int64_t id = ID(evb_pool_submit_after(pool, HOUR, count, NULL));

        NE(id, old);
        if (old != 0) FAILS(evb_pool_cancel(pool, old), EVB_ENOTFOUND);
        OK(evb_pool_cancel(pool, id));
        old = id;
    }
    ids[0] = ID(evb_pool_submit_after(pool, 10 * MS, count, NULL));
    pass(20 * MS);
    EQ(runs(), 1);
    ids[1] = ID(evb_pool_submit_after(pool, 10 * MS, count, NULL));
    FAILS(evb_pool_cancel(pool, ids[0]), EVB_ENOTFOUND); /* it has run */
    FAILS(evb_pool_cancel_wait(pool, ids[0]), EVB_ENOTFOUND);
    pass(20 * MS);
    EQ(runs(), 2);
    evb_pool_destroy(pool);
}

TEST(ids_that_never_were_find_nothing)
{
    static const int64_t ids[] = {1,
                                  2,
                                  255,
                                  256,
                                  257,
                                  INT32_MAX,
                                  INT64_C(1) << 32,
                                  (INT64_C(1) << 32) + 1,
                                  (INT64_C(2) << 32) + 1,
                                  INT64_C(1) << 62,
                                  INT64_MAX};

    open_pool(1);
    for (size_t i = 0; i < COUNT(ids); i++) {
        FAILS(evb_pool_cancel(pool, ids[i]), EVB_ENOTFOUND);
        FAILS(evb_pool_cancel_wait(pool, ids[i]), EVB_ENOTFOUND);
    }
    evb_pool_destroy(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_runs_once_and_not_before_its_time),
        cmocka_unit_test(a_timer_between_two_steps_of_the_wheel_runs_after_its_time),
        cmocka_unit_test(by_the_systems_clock_no_timer_is_early),
        cmocka_unit_test(timers_of_no_delay_run_at_once_and_those_of_the_longest_never),
        cmocka_unit_test(one_worker_runs_what_is_due_in_the_order_of_the_times),
        cmocka_unit_test(of_many_timers_over_days_exactly_those_run_whose_time_has_come),
        cmocka_unit_test(a_timer_set_before_the_one_that_is_slept_for_is_not_kept_waiting),
        cmocka_unit_test(while_a_timers_run_is_held_another_worker_runs_the_next_timer),
        cmocka_unit_test(while_a_task_is_held_another_worker_runs_the_timer_that_was_armed_again),
        cmocka_unit_test(a_periodic_timer_is_not_kept_waiting_by_a_timer_that_is_far_away),
        cmocka_unit_test(a_periodic_timer_runs_once_a_period),
        cmocka_unit_test(of_missed_runs_one_is_made_up_for_and_the_rest_is_skipped),
        cmocka_unit_test(runs_of_one_periodic_timer_never_overlap),
        cmocka_unit_test(a_timer_canceled_before_its_time_never_runs_and_is_handed_to_nobody),
        cmocka_unit_test(a_timer_canceled_while_it_is_queued_does_not_run),
        cmocka_unit_test(a_periodic_timer_canceled_while_it_runs_runs_no_more),
        cmocka_unit_test(cancel_wait_waits_for_the_run_that_is_under_way),
        cmocka_unit_test(a_timer_that_waits_for_its_own_run_is_told_so_and_canceled),
        cmocka_unit_test(a_periodic_timer_may_cancel_itself),
        cmocka_unit_test(an_old_id_finds_nothing_and_hits_no_younger_timer),
        cmocka_unit_test(ids_that_never_were_find_nothing),
    };
    return EVB_TEST_MAIN("pool_timers", tests, argc, argv);
}
