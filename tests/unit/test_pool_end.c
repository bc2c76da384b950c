/* SPDX-License-Identifier: MIT */
/* The end of a pool: shutdown and destroy. */
#include "evb_test.h"

#include <evbus.h>
#include <sched.h>

#include "base/atomic.h"
#include "gate.h"
#include "pool/pool.h"

#define MANY 300

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran, discarded;
static EVB__ATOMIC(uint32_t) fate[MANY]; /* of each argument: runs, and 1000 for each discard */
static void *args[MANY];

/* relaxed throughout: read when the pool's threads have ended */
static void run(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint32_t) *)arg, 1);
    (void)evb__add_rlx(&ran, 1);
}

static void discard(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint32_t) *)arg, 1000);
    (void)evb__add_rlx(&discarded, 1);
}

static void open_pool(uint32_t threads)
{
    for (uint32_t i = 0; i < MANY; i++) {
        evb__st_rlx(&fate[i], 0);
        args[i] = &fate[i];
    }
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&discarded, 0);
    OK(evb_pool_create(&(evb_pool_opts){.threads = threads, .on_discard = discard}, &pool));
}

static void open_held(uint32_t threads, struct gate *gate)
{
    open_pool(threads);
    for (uint32_t i = 0; i < threads; i++)
        OK(evb_pool_submit(pool, gate_hold, gate, 0));
    gate_wait_held(gate, threads);
}

static void all_ran_or_were_discarded(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        CHECK(evb__ld_rlx(&fate[i]) == 1 || evb__ld_rlx(&fate[i]) == 1000);
    EQ(evb__ld_rlx(&ran) + evb__ld_rlx(&discarded), n);
}

static void takes_nothing(void)
{
    evb_strand *strand = NULL;

    FAILS(evb_pool_submit(pool, run, args[0], 0), EVB_ECLOSED);
    FAILS(evb_pool_submit(pool, run, args[0], EVB_FOREVER), EVB_ECLOSED);
    FAILS(evb_pool_submit_many(pool, run, args, 2), EVB_ECLOSED);
    FAILS(evb_pool_submit_after(pool, 0, run, args[0]), EVB_ECLOSED);
    FAILS(evb_pool_submit_every(pool, 1, run, args[0]), EVB_ECLOSED);
    FAILS(evb_strand_create(pool, 0, &strand), EVB_ECLOSED);
    EQ_PTR(strand, NULL);
}

/* ---- shutdown ---- */

TEST(a_pool_that_was_shut_down_takes_nothing_more)
{
    for (uint32_t used = 0; used < 2; used++) {
        for (uint32_t mode = EVB_DRAIN; mode <= EVB_DISCARD; mode++) {
            open_pool(2);
            if (used) OK(evb_pool_submit(pool, run, args[0], 0));
            OK(evb_pool_shutdown(pool, mode, EVB_FOREVER));
            takes_nothing();
            OK(evb_pool_shutdown(pool, EVB_DRAIN, 0)); /* again, and in the other mode */
            OK(evb_pool_shutdown(pool, EVB_DISCARD, EVB_FOREVER));
            OK(evb_pool_wait_idle(pool, 0));
            FAILS(evb_pool_cancel(pool, 1), EVB_ENOTFOUND);
            all_ran_or_were_discarded(used);
            evb_pool_destroy(pool);
        }
    }
}

TEST(shutdown_waits_as_long_as_it_is_told_and_goes_on_without_its_caller)
{
    struct gate gate = GATE_SHUT;

    open_held(2, &gate);
    EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 1), EVB_ETIMEDOUT);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 2000000), EVB_ETIMEDOUT);
    takes_nothing();
    FAILS(evb_pool_wait_idle(pool, 0), EVB_EAGAIN);
    gate_open(&gate);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), MANY);
    all_ran_or_were_discarded(MANY);
    evb_pool_destroy(pool);
}

TEST(destroy_drains)
{
    for (uint32_t threads = 1; threads <= 4; threads++) {
        open_pool(threads);
        EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&ran), MANY);
        all_ran_or_were_discarded(MANY);
    }
}

static void submit_a_hundred(void *gate)
{
    gate_hold(gate);
    for (uint32_t i = 0; i < 100; i++)
        OK(evb_pool_submit(pool, run, args[i], EVB_FOREVER));
}

TEST(while_it_drains_its_own_tasks_may_still_submit)
{
    struct gate gate = GATE_SHUT;

    open_pool(2);
    OK(evb_pool_submit(pool, submit_a_hundred, &gate, 0));
    gate_wait_held(&gate, 1);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN);
    takes_nothing();
    gate_open(&gate);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 100);
    all_ran_or_were_discarded(100);
    evb_pool_destroy(pool);
}

static void fill_up(void *gate)
{
    uint32_t n = 0;
    int32_t rc;

    gate_hold(gate);
    while ((rc = evb_pool_submit_many(pool, run, args + n, MANY - n)) > 0 && n < MANY)
        n += (uint32_t)rc;
    if (n == MANY) return;
    FAILS(rc, EVB_EFULL);
    FAILS(evb_pool_submit(pool, run, args[n], 0), EVB_EFULL);
    FAILS(evb_pool_submit(pool, run, args[n], EVB_FOREVER), EVB_EDEADLK);
}

TEST(while_it_drains_its_own_tasks_are_told_when_it_is_full_not_that_it_is_closed)
{
    struct gate gate = GATE_SHUT;

    open_pool(1);
    OK(evb_pool_submit(pool, fill_up, &gate, 0));
    gate_wait_held(&gate, 1);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN);
    gate_open(&gate);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    all_ran_or_were_discarded(evb__ld_rlx(&ran));
    EQ(evb__ld_rlx(&discarded), 0);
    evb_pool_destroy(pool);
}

TEST(discard_hands_back_what_is_queued_and_lets_finish_what_runs)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct gate gate = GATE_SHUT;

        open_held(threads, &gate);
        EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
        FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
        takes_nothing();
        gate_open(&gate);
        OK(evb_pool_shutdown(pool, EVB_DISCARD, EVB_FOREVER));
        EQ(evb__ld_rlx(&discarded), MANY);
        all_ran_or_were_discarded(MANY);
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&discarded), MANY);
    }
}

TEST(a_pool_that_drains_can_be_told_to_discard_the_rest)
{
    struct gate gate = GATE_SHUT;

    open_held(1, &gate);
    EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN);
    FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN); /* does not take it back */
    gate_open(&gate);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), MANY);
    all_ran_or_were_discarded(MANY);
}

TEST(discarding_needs_no_function_for_it)
{
    struct gate gate = GATE_SHUT;

    open_pool(1);
    evb_pool_destroy(pool);
    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &pool));
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    gate_wait_held(&gate, 1);
    EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
    (void)ID(evb_pool_submit_after(pool, INT64_MAX, run, args[0]));
    FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
    gate_open(&gate);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&ran), 0);
}

TEST(shutdown_cancels_timers_and_hands_back_the_args_of_those_that_run_once)
{
    for (uint32_t mode = EVB_DRAIN; mode <= EVB_DISCARD; mode++) {
        int64_t id, every;

        open_pool(2);
        for (uint32_t i = 0; i < MANY; i++)
            id = ID(evb_pool_submit_after(pool, INT64_C(1000000000) * (i + 1000), run, args[i]));
        every = ID(evb_pool_submit_every(pool, INT64_MAX, run, &fate));
        OK(evb_pool_shutdown(pool, mode, EVB_FOREVER));
        EQ(evb__ld_rlx(&discarded), MANY);
        all_ran_or_were_discarded(MANY);
        FAILS(evb_pool_cancel(pool, id), EVB_ENOTFOUND);
        FAILS(evb_pool_cancel_wait(pool, every), EVB_ENOTFOUND);
        evb_pool_destroy(pool);
    }
}

/* ---- several at once ---- */

static EVB__ATOMIC(uint32_t) closed;

static void submit_until_closed(uint32_t index, void *gate)
{
    int32_t rc;

    if (index == 0) {
        while (evb_pool_submit(pool, run, args[0], 0) == EVB_OK) {
        }
        FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 1000000), EVB_ETIMEDOUT);
        while (evb__ld_acq(&closed) != 3) /* pairs with the addition below */
            sched_yield();
        gate_open(gate);
        return;
    }
    while ((rc = evb_pool_submit(pool, run, args[1], EVB_FOREVER)) == EVB_OK) {
    }
    FAILS(rc, EVB_ECLOSED);
    (void)evb__add_rel(&closed, 1); /* pairs with the load above */
}

TEST(a_submit_that_waits_for_room_is_told_of_the_shutdown)
{
    struct gate gate = GATE_SHUT;

    open_held(1, &gate);
    evb__st_rlx(&closed, 0);
    evb_test_run_threads(4, submit_until_closed, &gate);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&ran), 0);
    EQ(evb__ld_rlx(&discarded), 4096);
}

static void shut_down(uint32_t index, void *arg)
{
    (void)arg;
    OK(evb_pool_shutdown(pool, index % 2, EVB_FOREVER));
    takes_nothing();
}

TEST(shutdowns_of_several_threads_at_once_all_wait_for_the_end)
{
    for (int round = 0; round < 20; round++) {
        open_pool(2);
        EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
        evb_test_run_threads(3, shut_down, NULL);
        all_ran_or_were_discarded(MANY);
        evb_pool_destroy(pool);
    }
}

/* ---- destroy where it cannot wait ---- */

static struct gate over = GATE_SHUT; /* not on a stack: who opens it may be in it when others have gone on */

/* Of two workers. */
static void stopped(void *arg)
{
    static EVB__ATOMIC(uint32_t) stops;

    (void)arg;
    if (evb__add_acqrel(&stops, 1) % 2 == 1) gate_open(&over); /* both, in turn */
}

static void open_two_that_stop(void)
{
    open_pool(2);
    evb_pool_destroy(pool);
    gate_shut(&over);
    OK(evb_pool_create(&(evb_pool_opts){.threads = 2, .on_thread_stop = stopped, .on_discard = discard},
                       &pool));
}

static void destroy_in_a_worker(void *held)
{
    gate_hold(held);
    EQ(evb_pool_submit_many(pool, run, args, 100), 100);
    evb_pool_destroy(pool);
}

TEST(a_pool_destroyed_in_its_own_worker_ends_when_the_task_returns_and_its_queue_is_empty)
{
    struct gate gate = GATE_SHUT;

    open_two_that_stop();
    OK(evb_pool_submit(pool, destroy_in_a_worker, &gate, 0));
    EQ(evb_pool_submit_many(pool, run, args + 100, 100), 100);
    gate_open(&gate);
    gate_hold(&over);
    EQ(evb__ld_rlx(&ran), 200);
    all_ran_or_were_discarded(200);
    /* The runner waits for the threads to go, and sees whether anything was left behind. */
}

static int32_t destroy_in_listener(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb_pool_destroy(pool);
    return EVB_OK;
}

TEST(a_pool_destroyed_in_a_listener_runs_what_is_queued)
{
    struct gate gate = GATE_SHUT;
    evb_bus *bus;

    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", destroy_in_listener, NULL));
    open_two_that_stop();
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    EQ(evb_pool_submit_many(pool, run, args, 100), 100);
    EQ(evb_emit(bus, "a", NULL, 0), 1); /* does not wait for the gate */
    gate_open(&gate);
    gate_hold(&over);
    EQ(evb__ld_rlx(&ran), 100);
    evb_bus_destroy(bus);
}

/* ---- a pool that a bus uses ---- */

static void works(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        OK(evb_pool_submit(pool, run, args[i], EVB_FOREVER));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), n);
}

TEST(a_pool_that_is_held_works_until_both_its_user_and_the_last_holder_are_done)
{
    for (uint32_t order = 0; order < 3; order++) { /* at which step the user destroys it */
        open_two_that_stop();
        evb__pool_hold(pool);
        evb__pool_hold(pool);
        for (uint32_t step = 0; step < 2; step++)
            if (step == order)
                evb_pool_destroy(pool);
            else
                evb__pool_release(pool);
        works(100);
        CHECK(!gate_is_open(&over));
        if (order == 2)
            evb_pool_destroy(pool);
        else
            evb__pool_release(pool);
        CHECK(gate_is_open(&over)); /* joined: what destroy promises */
        all_ran_or_were_discarded(100);
    }
}

TEST(the_last_release_drains_what_is_queued)
{
    struct gate gate = GATE_SHUT;

    open_two_that_stop();
    evb__pool_hold(pool);
    evb_pool_destroy(pool);
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
    gate_open(&gate);
    evb__pool_release(pool);
    EQ(evb__ld_rlx(&ran), MANY);
    all_ran_or_were_discarded(MANY);
}

TEST(a_pool_that_is_held_is_shut_down_at_once_when_its_user_says_so)
{
    open_two_that_stop();
    evb__pool_hold(pool);
    works(10);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    CHECK(gate_is_open(&over));
    evb_pool_destroy(pool);
    takes_nothing();
    evb__pool_release(pool);
    all_ran_or_were_discarded(10);
}

static void release_in_a_worker(void *held)
{
    gate_hold(held);
    EQ(evb_pool_submit_many(pool, run, args, 100), 100);
    evb__pool_release(pool);
}

TEST(a_pool_released_in_its_own_worker_ends_when_the_task_returns_and_its_queue_is_empty)
{
    struct gate gate = GATE_SHUT;

    open_two_that_stop();
    evb__pool_hold(pool);
    OK(evb_pool_submit(pool, release_in_a_worker, &gate, 0));
    EQ(evb_pool_submit_many(pool, run, args + 100, 100), 100);
    evb_pool_destroy(pool);
    gate_open(&gate);
    gate_hold(&over);
    EQ(evb__ld_rlx(&ran), 200);
    all_ran_or_were_discarded(200);
}

static int32_t release_in_listener(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb__pool_release(pool);
    return EVB_OK;
}

TEST(a_pool_released_in_a_listener_runs_what_is_queued)
{
    struct gate gate = GATE_SHUT;
    evb_bus *bus;

    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", release_in_listener, NULL));
    open_two_that_stop();
    evb__pool_hold(pool);
    evb_pool_destroy(pool);
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    EQ(evb_pool_submit_many(pool, run, args, 100), 100);
    EQ(evb_emit(bus, "a", NULL, 0), 1); /* does not wait for the gate */
    gate_open(&gate);
    gate_hold(&over);
    EQ(evb__ld_rlx(&ran), 100);
    evb_bus_destroy(bus);
}

static void release(uint32_t index, void *arg)
{
    (void)arg;
    EQ(evb_pool_submit_many(pool, run, args + 10 * index, 10), 10);
    if (index == 0)
        evb_pool_destroy(pool);
    else
        evb__pool_release(pool);
}

TEST(of_users_that_let_go_at_once_the_last_one_ends_it)
{
    for (int round = 0; round < 20; round++) {
        open_pool(2);
        for (int i = 1; i < 4; i++)
            evb__pool_hold(pool);
        evb_test_run_threads(4, release, NULL);
        EQ(evb__ld_rlx(&ran), 40);
        all_ran_or_were_discarded(40);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_that_was_shut_down_takes_nothing_more),
        cmocka_unit_test(shutdown_waits_as_long_as_it_is_told_and_goes_on_without_its_caller),
        cmocka_unit_test(destroy_drains),
        cmocka_unit_test(while_it_drains_its_own_tasks_may_still_submit),
        cmocka_unit_test(while_it_drains_its_own_tasks_are_told_when_it_is_full_not_that_it_is_closed),
        cmocka_unit_test(discard_hands_back_what_is_queued_and_lets_finish_what_runs),
        cmocka_unit_test(a_pool_that_drains_can_be_told_to_discard_the_rest),
        cmocka_unit_test(discarding_needs_no_function_for_it),
        cmocka_unit_test(shutdown_cancels_timers_and_hands_back_the_args_of_those_that_run_once),
        cmocka_unit_test(a_submit_that_waits_for_room_is_told_of_the_shutdown),
        cmocka_unit_test(shutdowns_of_several_threads_at_once_all_wait_for_the_end),
        cmocka_unit_test(
            a_pool_destroyed_in_its_own_worker_ends_when_the_task_returns_and_its_queue_is_empty),
        cmocka_unit_test(a_pool_destroyed_in_a_listener_runs_what_is_queued),
        cmocka_unit_test(a_pool_that_is_held_works_until_both_its_user_and_the_last_holder_are_done),
        cmocka_unit_test(the_last_release_drains_what_is_queued),
        cmocka_unit_test(a_pool_that_is_held_is_shut_down_at_once_when_its_user_says_so),
        cmocka_unit_test(a_pool_released_in_its_own_worker_ends_when_the_task_returns_and_its_queue_is_empty),
        cmocka_unit_test(a_pool_released_in_a_listener_runs_what_is_queued),
        cmocka_unit_test(of_users_that_let_go_at_once_the_last_one_ends_it),
    };
    return EVB_TEST_MAIN("pool_end", tests, argc, argv);
}
