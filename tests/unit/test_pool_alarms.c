/* SPDX-License-Identifier: MIT */
/* Alarms of a pool: the timers of the library's own objects. When they run, and how they are given back.
 *
 * Most tests hold the clock themselves, as in test_pool_timers.c.
 */
#include "evb_test.h"

#include <evbus/pool.h>
#include <sched.h>

#include "base/clock.h"
#include "base/platform.h"
#include "gate.h"
#include "pool/timer.h"

#define SCALE(n) (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define MS       INT64_C(1000000)
#define HOUR     (INT64_C(3600000) * MS)
#define START    (1000 * MS)

static evb_pool *pool;
static struct evb__alarm *alarm_of; /* what the functions below set */
static EVB__ATOMIC(uint32_t) ran, gone, discarded;
static int64_t started_ns;

static void count(void *arg)
{
    (void)arg;
    (void)evb__add_acqrel(&ran, 1); /* pairs with runs */
}

static void count_gone(void *arg)
{
    EQ_PTR(arg, &ran);
    (void)evb__add_acqrel(&gone, 1); /* pairs with the tests' loads */
}

static void count_discarded(void *arg)
{
    (void)arg;
    (void)evb__add_acqrel(&discarded, 1);
}

static uint32_t runs(void)
{
    return evb__ld_acq(&ran); /* pairs with count */
}

static void open_pool(uint32_t threads)
{
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&gone, 0);
    evb__st_rlx(&discarded, 0);
    OK(evb_pool_create(
        &(evb_pool_opts){.threads = threads, .spin_us = UINT32_MAX, .on_discard = count_discarded}, &pool));
}

static struct evb__alarm *make(evb_task_fn fn)
{
    alarm_of = evb__alarm_make(pool, fn, &ran);
    CHECK(alarm_of != NULL);
    return alarm_of;
}

/* One worker, the clock in our hand, and one alarm. */
static struct evb__alarm *open_by_hand(evb_task_fn fn)
{
    evb_test_clock_install(START);
    open_pool(1);
    return make(fn);
}

static void close_by_hand(struct evb__alarm *alarm)
{
    CHECK(evb__alarm_free(alarm, NULL));
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), 0);
    evb_test_clock_remove();
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Lets the time become START + ms. Whatever was due then has run when it returns, also what such a run has
 * set; nothing that is due later. The only worker takes what is due in the order of the times: a timer of now
 * comes last. */
static void time_becomes(int64_t ms)
{
    evb_test_clock_advance(START + ms * MS - evb__clock_mono());
    for (int i = 0; i < 3; i++) {
        (void)ID(evb_pool_submit_after(pool, 0, nothing, NULL));
        OK(evb_pool_submit(pool, nothing, NULL, EVB_FOREVER));
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    }
}

/* ---- when ---- */

TEST(an_alarm_runs_once_and_not_before_its_time)
{
    struct evb__alarm *alarm = open_by_hand(count);

    evb__alarm_set(alarm, START + 100 * MS - MS / 2);
    time_becomes(99);
    EQ(runs(), 0);
    time_becomes(101);
    EQ(runs(), 1);
    time_becomes(500);
    EQ(runs(), 1);
    evb__alarm_set(alarm, START); /* long past: at once */
    time_becomes(501);
    EQ(runs(), 2);
    evb__alarm_set(alarm, INT64_MIN);
    time_becomes(502);
    EQ(runs(), 3);
    evb__alarm_set(alarm, INT64_MAX); /* never */
    time_becomes(100000);
    EQ(runs(), 3);
    close_by_hand(alarm);
}

TEST(of_several_times_the_last_one_set_counts)
{
    struct evb__alarm *alarm = open_by_hand(count);

    for (int64_t at = 0; at < 1000; at += 100) {
        evb__alarm_set(alarm, START + (at + 20) * MS);
        evb__alarm_set(alarm, START + (at + (at % 200 == 0 ? 10 : 40)) * MS);
        evb__alarm_set(alarm, START + (at + 30) * MS);
        time_becomes(at + 28);
        EQ(runs(), at / 100);
        time_becomes(at + 60);
        EQ(runs(), at / 100 + 1);
    }
    close_by_hand(alarm);
}

TEST(a_stopped_alarm_does_not_run_until_it_is_set_again)
{
    struct evb__alarm *alarm = open_by_hand(count);

    evb__alarm_stop(alarm); /* never set */
    evb__alarm_set(alarm, START + 10 * MS);
    evb__alarm_stop(alarm);
    evb__alarm_stop(alarm);
    time_becomes(20);
    EQ(runs(), 0);
    evb__alarm_set(alarm, START + 30 * MS);
    time_becomes(40);
    EQ(runs(), 1);
    close_by_hand(alarm);
}

static void set_twice_inside(void *arg)
{
    count(arg);
    if (runs() > 3) return;
    evb__alarm_set(alarm_of, evb__clock_mono() + HOUR);
    evb__alarm_set(alarm_of, evb__clock_mono() + 10 * MS);
}

static void set_and_stop_inside(void *arg)
{
    count(arg);
    evb__alarm_set(alarm_of, evb__clock_mono());
    evb__alarm_stop(alarm_of);
}

TEST(an_alarm_may_set_and_stop_itself)
{
    struct evb__alarm *alarm = open_by_hand(set_twice_inside);

    evb__alarm_set(alarm, START);
    time_becomes(0);
    EQ(runs(), 1);
    time_becomes(8);
    EQ(runs(), 1);
    time_becomes(12);
    EQ(runs(), 2);
    time_becomes(30);
    EQ(runs(), 3);
    time_becomes(50);
    EQ(runs(), 4);
    time_becomes(100);
    EQ(runs(), 4);
    CHECK(evb__alarm_free(alarm, NULL));
    alarm = make(set_and_stop_inside);
    evb__alarm_set(alarm, START);
    time_becomes(200);
    EQ(runs(), 5);
    close_by_hand(alarm);
}

/* ---- queued ---- */

/* The only worker is held by a timer that was due together with the alarm, which is queued behind it. */
static struct evb__alarm *open_queued(struct gate *gate)
{
    struct evb__alarm *alarm = open_by_hand(count);

    gate_shut(gate);
    (void)ID(evb_pool_submit_after(pool, 2 * MS, gate_hold, gate));
    evb__alarm_set(alarm, START + 4 * MS);
    evb_test_clock_advance(10 * MS);
    OK(evb_pool_submit(pool, nothing, NULL, EVB_FOREVER));
    gate_wait_held(gate, 1);
    return alarm;
}

TEST(of_an_alarm_that_is_set_while_it_is_queued_the_new_time_counts)
{
    static const struct {
        int64_t due_ms;
        uint32_t at_once, later;
    } cases[] = {{2, 1, 1}, {10, 1, 1}, {30, 0, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gate gate = GATE_SHUT;
        struct evb__alarm *alarm = open_queued(&gate);

        evb__alarm_set(alarm, START + HOUR);
        evb__alarm_set(alarm, START + cases[i].due_ms * MS);
        gate_open(&gate);
        time_becomes(20);
        EQ(runs(), cases[i].at_once);
        time_becomes(40);
        EQ(runs(), cases[i].later);
        close_by_hand(alarm);
    }
}

TEST(an_alarm_that_is_stopped_while_it_is_queued_runs_once)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t was_set = 0; was_set < 2; was_set++) {
        struct evb__alarm *alarm = open_queued(&gate);

        if (was_set) evb__alarm_set(alarm, START + 30 * MS);
        evb__alarm_stop(alarm);
        gate_open(&gate);
        time_becomes(40);
        EQ(runs(), 1);
        close_by_hand(alarm);
    }
}

/* ---- threads ---- */

TEST(an_alarm_starts_the_threads_that_it_needs)
{
    struct evb__alarm *alarm;

    for (uint32_t ready = 0; ready < 2; ready++) {
        open_pool(2);
        alarm = make(count);
        EQ(pool->started, 0);
        if (ready) OK(evb__alarm_ready(alarm));
        if (ready) EQ(pool->started, 2);
        evb__alarm_set(alarm, evb__clock_mono() + MS);
        EQ(pool->started, 2);
        while (runs() == 0)
            (void)sched_yield();
        while (!evb__alarm_free(alarm, count_gone) && evb__ld_acq(&gone) == 0) /* pairs with count_gone */
            (void)sched_yield();
        evb_pool_destroy(pool);
    }
}

static bool ran_as_often(void *times)
{
    return runs() >= *(uint32_t *)times;
}

static bool came_to_rest(void *arg)
{
    (void)arg;
    return evb_pool_wait_idle(pool, 0) == EVB_OK;
}

static void set_soon(void *arg)
{
    count(arg);
    if (runs() < 100) evb__alarm_set(alarm_of, evb__clock_mono() + MS / 2);
}

TEST(an_alarm_that_sets_itself_is_not_kept_waiting_by_one_that_is_far_away)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct evb__alarm *far, *alarm;

        open_pool(threads);
        far = make(count);
        evb__alarm_set(far, evb__clock_mono() + HOUR);
        alarm = make(set_soon);
        evb__alarm_set(alarm, 0);
        CHECK(evb_test_eventually(ran_as_often, &(uint32_t){100}));
        CHECK(evb_test_eventually(came_to_rest, NULL));
        CHECK(evb__alarm_free(far, NULL));
        CHECK(evb__alarm_free(alarm, NULL));
        evb_pool_destroy(pool);
    }
}

static EVB__ATOMIC(uint32_t) inside;

static void alone(void *arg)
{
    EQ(evb__add_acqrel(&inside, 1), 0);
    if (runs() % 2 == 0) evb__alarm_set(alarm_of, 0);
    (void)sched_yield();
    EQ(evb__add_acqrel(&inside, (uint32_t)-1), 1);
    count(arg);
}

static void set_again_and_again(uint32_t index, void *arg)
{
    (void)arg;
    for (int i = 0; i < SCALE(3000); i++) {
        evb__alarm_set(alarm_of, i % 8 == 0 ? evb__clock_mono() + MS / 4 : 0);
        if (i % 16 == 0 && index == 0) evb__alarm_stop(alarm_of);
        if (i % 8 == 0) (void)sched_yield();
    }
    evb__alarm_set(alarm_of, 0);
}

TEST(runs_of_one_alarm_never_overlap_and_the_last_set_is_followed_by_one)
{
    uint32_t before;

    open_pool(3);
    (void)make(alone);
    evb_test_run_threads(2, set_again_and_again, NULL);
    CHECK(evb_test_eventually(came_to_rest, NULL));
    before = runs();
    evb__alarm_set(alarm_of, 0);
    before++;
    CHECK(evb_test_eventually(ran_as_often, &before));
    if (!evb__alarm_free(alarm_of, count_gone)) {
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(evb__ld_rlx(&gone), 1);
    }
    evb_pool_destroy(pool);
}

TEST(who_waits_for_an_idle_pool_waits_for_alarms_that_run_and_not_for_those_that_are_set)
{
    struct gate gate = GATE_SHUT;
    struct evb__alarm *far, *held;

    open_pool(2);
    far = make(count);
    evb__alarm_set(far, evb__clock_mono() + HOUR);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    held = evb__alarm_make(pool, gate_hold, &gate);
    evb__alarm_set(held, 0);
    gate_wait_held(&gate, 1);
    FAILS(evb_pool_wait_idle(pool, MS), EVB_ETIMEDOUT);
    gate_open(&gate);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    CHECK(evb__alarm_free(far, NULL));
    CHECK(evb__alarm_free(held, NULL));
    evb_pool_destroy(pool);
    EQ(runs(), 0);
}

/* ---- given back ---- */

TEST(an_alarm_that_is_given_back_before_its_time_does_not_run)
{
    struct evb__alarm *alarm = open_by_hand(count);

    CHECK(evb__alarm_free(make(count), count_gone)); /* never set */
    evb__alarm_set(make(count), START + 10 * MS);
    CHECK(evb__alarm_free(alarm_of, count_gone));
    time_becomes(20);
    EQ(runs(), 0);
    EQ(evb__ld_rlx(&gone), 0);
    close_by_hand(alarm);
}

TEST(an_alarm_that_is_given_back_while_it_is_queued_does_not_begin_and_says_when_it_is_gone)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t was_set = 0; was_set < 2; was_set++) {
        struct evb__alarm *alarm = open_queued(&gate);

        if (was_set) evb__alarm_set(alarm, 0);
        CHECK(!evb__alarm_free(alarm, count_gone));
        EQ(evb__ld_acq(&gone), 0);
        gate_open(&gate);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(runs(), 0);
        EQ(evb__ld_acq(&gone), 1); /* pairs with count_gone */
        evb_pool_destroy(pool);
        evb_test_clock_remove();
    }
}

static struct gate held = GATE_SHUT;

static void hold(void *arg)
{
    gate_hold(&held);
    count(arg);
}

static void check_over(void *arg)
{
    EQ(runs(), 1);
    count_gone(arg);
}

TEST(an_alarm_that_is_given_back_while_it_runs_says_when_it_is_gone)
{
    for (uint32_t again = 0; again < 2; again++) {
        open_pool(2);
        gate_shut(&held);
        evb__alarm_set(make(hold), 0);
        gate_wait_held(&held, 1);
        if (again) evb__alarm_set(alarm_of, 0); /* forgotten */
        CHECK(!evb__alarm_free(alarm_of, check_over));
        EQ(evb__ld_acq(&gone), 0);
        gate_open(&held);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(runs(), 1);
        EQ(evb__ld_acq(&gone), 1);
        evb_pool_destroy(pool);
    }
}

static void give_back_inside(void *arg)
{
    evb__alarm_set(alarm_of, 0);
    CHECK(!evb__alarm_free(alarm_of, check_over));
    EQ(evb__ld_acq(&gone), 0);
    count(arg);
}

TEST(an_alarm_may_give_itself_back)
{
    open_pool(2);
    evb__alarm_set(make(give_back_inside), 0);
    while (evb__ld_acq(&gone) == 0) /* pairs with count_gone */
        (void)sched_yield();
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(runs(), 1);
    EQ(evb__ld_acq(&gone), 1);
    evb_pool_destroy(pool);
}

/* Each alarm is its thread's: set, set again and given back at any moment of its life. */
static void life_after_life(uint32_t index, void *arg)
{
    struct evb__rng rng;
    uint32_t late = 0;

    (void)arg;
    evb__rng_init(&rng, evb_test_seed() + index);
    for (int i = 0; i < SCALE(3000); i++) {
        struct evb__alarm *alarm = evb__alarm_make(pool, count, &ran);

        CHECK(alarm != NULL);
        for (uint64_t sets = evb__rng_below(&rng, 4); sets > 0; sets--) {
            evb__alarm_set(alarm, started_ns + (int64_t)evb__rng_below(&rng, 2 * MS));
            if (evb__rng_below(&rng, 4) == 0) evb__alarm_stop(alarm);
            if (evb__rng_below(&rng, 4) == 0) (void)sched_yield();
        }
        late += !evb__alarm_free(alarm, count_gone);
    }
    (void)evb__add_acqrel(&discarded, late); /* borrowed: how often gone has to be called */
}

TEST(alarms_given_back_at_any_moment_are_gone_once)
{
    open_pool(2);
    started_ns = evb__clock_mono();
    evb_test_run_threads(2, life_after_life, NULL);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_acq(&gone), evb__ld_acq(&discarded));
    evb_pool_destroy(pool);
}

/* ---- the end of the pool ---- */

TEST(after_shutdown_an_alarm_is_not_run_any_more_and_setting_it_does_nothing)
{
    for (uint32_t mode = EVB_DRAIN; mode <= EVB_DISCARD; mode++) {
        for (uint32_t started = 0; started < 2; started++) {
            struct evb__alarm *never, *alarm;

            open_pool(2);
            never = make(count);
            alarm = make(count);
            if (started) evb__alarm_set(alarm, evb__clock_mono() + HOUR);
            OK(evb_pool_shutdown(pool, mode, EVB_FOREVER));
            evb__alarm_set(alarm, 0);
            evb__alarm_set(never, 0);
            evb__alarm_stop(alarm);
            FAILS(evb__alarm_ready(alarm), EVB_ECLOSED);
            if (started) CHECK(evb__alarm_free(alarm, count_gone));
            evb_pool_destroy(pool);
            evb__alarm_set(never, 0); /* it keeps the memory */
            CHECK(evb__alarm_free(never, count_gone));
            if (!started) CHECK(evb__alarm_free(alarm, count_gone));
            EQ(runs() + evb__ld_rlx(&gone) + evb__ld_rlx(&discarded), 0);
        }
    }
}

TEST(an_alarm_that_is_queued_when_the_pool_ends_is_run_or_discarded_in_silence)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t mode = EVB_DRAIN; mode <= EVB_DISCARD; mode++) {
        for (uint32_t given_back = 0; given_back < 2; given_back++) {
            struct evb__alarm *alarm = open_queued(&gate);

            FAILS(evb_pool_shutdown(pool, mode, 0), EVB_EAGAIN);
            if (given_back) CHECK(!evb__alarm_free(alarm, count_gone));
            gate_open(&gate);
            OK(evb_pool_shutdown(pool, mode, EVB_FOREVER));
            EQ(runs(), mode == EVB_DRAIN && !given_back);
            EQ(evb__ld_rlx(&gone), given_back);
            EQ(evb__ld_rlx(&discarded), 0);
            if (!given_back) CHECK(evb__alarm_free(alarm, count_gone));
            evb_pool_destroy(pool);
            evb_test_clock_remove();
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alarm_runs_once_and_not_before_its_time),
        cmocka_unit_test(of_several_times_the_last_one_set_counts),
        cmocka_unit_test(a_stopped_alarm_does_not_run_until_it_is_set_again),
        cmocka_unit_test(an_alarm_may_set_and_stop_itself),
        cmocka_unit_test(of_an_alarm_that_is_set_while_it_is_queued_the_new_time_counts),
        cmocka_unit_test(an_alarm_that_is_stopped_while_it_is_queued_runs_once),
        cmocka_unit_test(an_alarm_starts_the_threads_that_it_needs),
        cmocka_unit_test(an_alarm_that_sets_itself_is_not_kept_waiting_by_one_that_is_far_away),
        cmocka_unit_test(runs_of_one_alarm_never_overlap_and_the_last_set_is_followed_by_one),
        cmocka_unit_test(who_waits_for_an_idle_pool_waits_for_alarms_that_run_and_not_for_those_that_are_set),
        cmocka_unit_test(an_alarm_that_is_given_back_before_its_time_does_not_run),
        cmocka_unit_test(
            an_alarm_that_is_given_back_while_it_is_queued_does_not_begin_and_says_when_it_is_gone),
        cmocka_unit_test(an_alarm_that_is_given_back_while_it_runs_says_when_it_is_gone),
        cmocka_unit_test(an_alarm_may_give_itself_back),
        cmocka_unit_test(alarms_given_back_at_any_moment_are_gone_once),
        cmocka_unit_test(after_shutdown_an_alarm_is_not_run_any_more_and_setting_it_does_nothing),
        cmocka_unit_test(an_alarm_that_is_queued_when_the_pool_ends_is_run_or_discarded_in_silence),
    };
    return EVB_TEST_MAIN("pool_alarms", tests, argc, argv);
}
