/* SPDX-License-Identifier: MIT */
/* A pool by its manual: options, threads, plain tasks, full queues, waiting. */
#include "evb_test.h"

#include <evbus.h>
#include <signal.h>
#include <string.h>

#include "base/atomic.h"
#include "gate.h"
#include "pool/cpus.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MANY         300

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran;

static void open_pool(evb_pool_opts opts)
{
    evb__st_rlx(&ran, 0); /* relaxed here and below: read when the pool is idle */
    OK(evb_pool_create(&opts, &pool));
}

static void count(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&ran, 1);
}

static void mark(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint32_t) *)arg, 1);
}

/* One worker, and a task that holds it: what is queued now stays queued. */
static void open_held(struct gate *gate, uint32_t capacity)
{
    open_pool((evb_pool_opts){.threads = 1, .queue_capacity = capacity});
    OK(evb_pool_submit(pool, gate_hold, gate, 0));
    gate_wait_held(gate, 1);
}

static void let_go(struct gate *gate)
{
    gate_open(gate);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    evb_pool_destroy(pool);
}

/* ---- options ---- */

TEST(a_pool_needs_no_options)
{
    OK(evb_pool_create(NULL, &pool));
    evb__st_rlx(&ran, 0);
    OK(evb_pool_submit(pool, count, NULL, EVB_FOREVER));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 1);
    evb_pool_destroy(pool);
}

TEST(options_out_of_range_are_refused)
{
    static const evb_pool_opts wrong[] = {
        {.threads = 49},
        {.threads = UINT32_MAX},
        {.queue_capacity = (1u << 19) + 1},
        {.queue_capacity = UINT32_MAX},
        {.struct_size = 3},
    };
    evb_pool *untouched = (evb_pool *)(void *)&ran;

    pool = untouched;
    for (size_t i = 0; i < COUNT(wrong); i++)
        FAILS(evb_pool_create(&wrong[i], &pool), EVB_EINVAL);
    EQ_PTR(pool, untouched);
    FAILS(evb_pool_create(NULL, NULL), EVB_EINVAL);
}

TEST(a_longer_options_struct_is_read_if_its_tail_is_zero)
{
    struct {
        evb_pool_opts opts;
        uint64_t tail;
    } longer = {.opts = {.struct_size = sizeof longer, .threads = 2}};

    OK(evb_pool_create(&longer.opts, &pool));
    evb_pool_destroy(pool);
    longer.tail = 1;
    FAILS(evb_pool_create(&longer.opts, &pool), EVB_ENOTSUP);
}

TEST(the_largest_pool_runs_with_every_thread)
{
    struct gate gate = GATE_SHUT;

    open_pool((evb_pool_opts){.threads = 48, .queue_capacity = 1u << 19});
    for (int i = 0; i < 48; i++)
        OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    gate_wait_held(&gate, 48);
    let_go(&gate);
}

TEST(the_queue_holds_its_capacity_rounded_up_to_a_power_of_two)
{
    static const uint32_t cases[][2] = {{2, 2}, {3, 4}, {4, 4}, {5, 8}, {100, 128}, {0, 4096}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct gate gate = GATE_SHUT;

        open_held(&gate, cases[i][0]);
        for (uint32_t n = 0; n < cases[i][1]; n++)
            OK(evb_pool_submit(pool, count, NULL, 0));
        FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_EFULL);
        let_go(&gate);
        EQ(evb__ld_rlx(&ran), cases[i][1]);
    }
}

TEST(a_quota_pays_for_its_share_of_cpus_rounded_up)
{
    static const struct {
        const char *text;
        uint32_t cpus; /* 0: no limit */
    } cases[] = {
        {"max 100000\n", 0},
        {"100000 100000\n", 1},
        {"50000 100000", 1},
        {"1 100000", 1},
        {"100001 100000\n", 2},
        {"150000 100000", 2},
        {"200000 100000", 2},
        {"200001 100000", 3},
        {"-1 100000", 0},
        {"0 100000", 0},
        {"100000 0", 0},
        {"100000", 0},
        {"", 0},
        {"\n", 0},
        {"100000 max", 0},
        {"4000000 1000", 4000},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        EQ(evb__cpus_of_quota(cases[i].text), cases[i].cpus);
    CHECK(evb__cpus_of_quota("9223372036854775807 1") > 0);
    CHECK(evb__cpus() > 0);
}

/* ---- arguments ---- */

TEST(every_call_refuses_null_and_impossible_arguments)
{
    void *args[1] = {NULL};

    open_pool((evb_pool_opts){.threads = 1});
    FAILS(evb_pool_submit(NULL, count, NULL, 0), EVB_EINVAL);
    FAILS(evb_pool_submit(pool, NULL, NULL, 0), EVB_EINVAL);
    FAILS(evb_pool_submit(pool, count, NULL, -2), EVB_EINVAL);
    FAILS(evb_pool_submit_many(NULL, count, args, 1), EVB_EINVAL);
    FAILS(evb_pool_submit_many(pool, NULL, args, 1), EVB_EINVAL);
    FAILS(evb_pool_submit_many(pool, count, NULL, 1), EVB_EINVAL);
    FAILS(evb_pool_submit_after(NULL, 0, count, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_after(pool, -1, count, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_after(pool, 0, NULL, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_every(NULL, 1, count, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_every(pool, 0, count, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_every(pool, -1, count, NULL), EVB_EINVAL);
    FAILS(evb_pool_submit_every(pool, 1, NULL, NULL), EVB_EINVAL);
    FAILS(evb_pool_cancel(NULL, 1), EVB_EINVAL);
    FAILS(evb_pool_cancel(pool, 0), EVB_EINVAL);
    FAILS(evb_pool_cancel(pool, -1), EVB_EINVAL);
    FAILS(evb_pool_cancel_wait(NULL, 1), EVB_EINVAL);
    FAILS(evb_pool_cancel_wait(pool, 0), EVB_EINVAL);
    FAILS(evb_pool_cancel_wait(pool, INT64_MIN), EVB_EINVAL);
    FAILS(evb_pool_wait_idle(NULL, 0), EVB_EINVAL);
    FAILS(evb_pool_wait_idle(pool, -2), EVB_EINVAL);
    FAILS(evb_pool_shutdown(NULL, EVB_DRAIN, 0), EVB_EINVAL);
    FAILS(evb_pool_shutdown(pool, 2, 0), EVB_EINVAL);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, -2), EVB_EINVAL);
    OK(evb_pool_submit(pool, count, NULL, 0)); /* none of it has closed the pool */
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 1);
    evb_pool_destroy(pool);
    evb_pool_destroy(NULL);
}

/* ---- threads ---- */

static struct {
    EVB__ATOMIC(uint32_t) starts, stops;
    char names[48][16];
    size_t stack_bytes;
    int signals_blocked;
} seen;
static _Thread_local bool started_here;

static void look(void *user)
{
    uint32_t who = evb__add_rlx(&seen.starts, 1);
    pthread_attr_t attr;
    sigset_t mask;

    EQ_PTR(user, &seen);
    CHECK(!started_here);
    started_here = true;
    (void)pthread_getname_np(pthread_self(), seen.names[who], sizeof seen.names[who]);
    if (who != 0) return;
    EQ(pthread_getattr_np(pthread_self(), &attr), 0);
    EQ(pthread_attr_getstacksize(&attr, &seen.stack_bytes), 0);
    (void)pthread_attr_destroy(&attr);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    seen.signals_blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM);
}

static void stop(void *user)
{
    EQ_PTR(user, &seen);
    CHECK(started_here);
    started_here = false;
    (void)evb__add_rlx(&seen.stops, 1);
}

static void needs_the_start(void *arg)
{
    CHECK(started_here);
    count(arg);
}

static void open_seen(uint32_t threads, const char *name, size_t stack_bytes)
{
    memset(&seen.names, 0, sizeof seen.names);
    evb__st_rlx(&seen.starts, 0);
    evb__st_rlx(&seen.stops, 0);
    open_pool((evb_pool_opts){.threads = threads,
                              .name = name,
                              .stack_bytes = stack_bytes,
                              .on_thread_start = look,
                              .on_thread_stop = stop,
                              .thread_user = &seen});
}

static bool named(const char *name)
{
    for (uint32_t i = 0; i < COUNT(seen.names); i++)
        if (strcmp(seen.names[i], name) == 0) return true;
    return false;
}

TEST(threads_start_with_the_first_work_and_are_told_of_their_start_and_stop_once)
{
    open_seen(3, NULL, 0);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&seen.starts), 0);
    for (int i = 0; i < MANY; i++)
        OK(evb_pool_submit(pool, needs_the_start, NULL, EVB_FOREVER));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&seen.starts), 3);
    EQ(evb__ld_rlx(&seen.stops), 0);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    EQ(evb__ld_rlx(&seen.starts), 3);
    EQ(evb__ld_rlx(&seen.stops), 3);
    EQ(evb__ld_rlx(&ran), MANY);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&seen.stops), 3);
}

TEST(a_pool_that_never_had_work_never_has_a_thread)
{
    open_seen(3, NULL, 0);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&seen.starts), 0);
    EQ(evb__ld_rlx(&seen.stops), 0);
}

TEST(threads_bear_the_name_of_the_pool_and_a_number)
{
    char name[] = "flights";

    open_seen(12, name, 0);
    name[0] = 'X'; /* it was copied */
    OK(evb_pool_submit(pool, count, NULL, 0));
    evb_pool_destroy(pool);
    CHECK(named("flights-0") && named("flights-9") && named("flights-10") && named("flights-11"));

    open_seen(2, NULL, 0);
    OK(evb_pool_submit(pool, count, NULL, 0));
    evb_pool_destroy(pool);
    CHECK(named("evbus-0") && named("evbus-1"));
}

TEST(a_long_name_is_cut_at_fifteen_bytes_and_keeps_the_number)
{
    open_seen(11, "a name of far more than fifteen bytes", 0);
    OK(evb_pool_submit(pool, count, NULL, 0));
    evb_pool_destroy(pool);
    CHECK(named("a name of far-0") && named("a name of fa-10"));
}

TEST(threads_have_the_stack_asked_for_and_no_signals)
{
    open_seen(1, NULL, 1 << 20);
    OK(evb_pool_submit(pool, count, NULL, 0));
    evb_pool_destroy(pool);
    CHECK(seen.stack_bytes >= 1 << 20 && seen.stack_bytes < 2 << 20);
    CHECK(seen.signals_blocked);
}

/* ---- plain tasks ---- */

TEST(every_task_runs_once_with_its_argument)
{
    static EVB__ATOMIC(uint32_t) runs[MANY];
    void *args[MANY];

    for (uint32_t threads = 1; threads <= 4; threads++) {
        for (uint32_t i = 0; i < MANY; i++) {
            evb__st_rlx(&runs[i], 0);
            args[i] = &runs[i];
        }
        open_pool((evb_pool_opts){.threads = threads});
        for (uint32_t i = 0; i < MANY / 2; i++)
            OK(evb_pool_submit(pool, mark, args[i], EVB_FOREVER));
        EQ(evb_pool_submit_many(pool, mark, args + MANY / 2, MANY / 2), MANY / 2);
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        for (uint32_t i = 0; i < MANY; i++)
            EQ(evb__ld_rlx(&runs[i]), 1);
        evb_pool_destroy(pool);
    }
}

TEST(submit_many_takes_as_many_as_there_is_room_for_from_the_front)
{
    static EVB__ATOMIC(uint32_t) runs[MANY];
    struct gate gate = GATE_SHUT;
    void *args[MANY];

    for (uint32_t i = 0; i < MANY; i++)
        args[i] = &runs[i];
    open_held(&gate, 128);
    EQ(evb_pool_submit_many(pool, mark, NULL, 0), 0);
    EQ(evb_pool_submit_many(pool, mark, args, 5), 5);
    EQ(evb_pool_submit_many(pool, mark, args + 5, MANY - 5), 123); /* more than one batch, not all */
    FAILS(evb_pool_submit_many(pool, mark, args, 1), EVB_EFULL);
    FAILS(evb_pool_submit_many(pool, mark, args, MANY), EVB_EFULL);
    EQ(evb_pool_submit_many(pool, mark, args, 0), 0);
    let_go(&gate);
    for (uint32_t i = 0; i < MANY; i++)
        EQ(evb__ld_rlx(&runs[i]), i < 128);
}

static void submit_two(void *depth)
{
    uintptr_t left = (uintptr_t)depth;

    count(NULL);
    if (left == 0) return;
    OK(evb_pool_submit(pool, submit_two, (void *)(left - 1), EVB_FOREVER));
    OK(evb_pool_submit(pool, submit_two, (void *)(left - 1), EVB_FOREVER));
}

TEST(wait_idle_waits_for_the_tasks_of_tasks)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        open_pool((evb_pool_opts){.threads = threads});
        OK(evb_pool_submit(pool, submit_two, (void *)8, 0));
        OK(evb_pool_wait_idle(pool, EVB_FOREVER));
        EQ(evb__ld_rlx(&ran), (1 << 9) - 1);
        evb_pool_destroy(pool);
    }
}

TEST(wait_idle_says_what_it_found)
{
    struct gate gate = GATE_SHUT;

    open_pool((evb_pool_opts){.threads = 2});
    OK(evb_pool_wait_idle(pool, 0)); /* never had work */
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    FAILS(evb_pool_wait_idle(pool, 0), EVB_EAGAIN); /* queued, or running */
    gate_wait_held(&gate, 1);
    FAILS(evb_pool_wait_idle(pool, 0), EVB_EAGAIN);
    FAILS(evb_pool_wait_idle(pool, 1), EVB_ETIMEDOUT);
    FAILS(evb_pool_wait_idle(pool, 2000000), EVB_ETIMEDOUT);
    gate_open(&gate);
    OK(evb_pool_wait_idle(pool, INT64_MAX));
    OK(evb_pool_wait_idle(pool, 0)); /* and stays so */
    evb_pool_destroy(pool);
}

/* ---- a full queue ---- */

TEST(a_submit_waits_for_room_as_long_as_it_is_told)
{
    struct gate gate = GATE_SHUT;

    open_held(&gate, 2);
    EQ(evb_pool_submit_many(pool, count, (void *[3]){NULL}, 3), 2);
    FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_EFULL);
    FAILS(evb_pool_submit(pool, count, NULL, 1), EVB_ETIMEDOUT);
    FAILS(evb_pool_submit(pool, count, NULL, 2000000), EVB_ETIMEDOUT);
    let_go(&gate);
    EQ(evb__ld_rlx(&ran), 2); /* a submit that was refused has left nothing */
}

static void submit_or_open(uint32_t index, void *gate)
{
    if (index != 0) {
        for (int i = 0; i < MANY; i++)
            OK(evb_pool_submit(pool, count, NULL, EVB_FOREVER));
        return;
    }
    while (evb_pool_submit(pool, count, NULL, 0) != EVB_EFULL) {
        (void)evb__add_rlx(&ran, (uint32_t)-1); /* ours are not counted */
    }
    gate_open(gate);
}

TEST(submits_that_wait_for_room_go_on_when_there_is_room)
{
    struct gate gate = GATE_SHUT;

    open_held(&gate, 4);
    evb_test_run_threads(4, submit_or_open, &gate);
    let_go(&gate);
    EQ(evb__ld_rlx(&ran), 3 * MANY);
}

/* ---- what would wait for itself ---- */

static struct gate other = GATE_SHUT;
static int64_t timer;

static void wait_in_a_worker(void *arg)
{
    uint32_t n = 0;

    (void)arg;
    FAILS(evb_pool_wait_idle(pool, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_wait_idle(pool, 0), EVB_EDEADLK);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EDEADLK);
    while (evb_pool_submit(pool, count, NULL, 0) == EVB_OK)
        n++;
    CHECK(n >= 4);
    FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_EFULL);
    FAILS(evb_pool_submit(pool, count, NULL, 1), EVB_EDEADLK);
    FAILS(evb_pool_submit(pool, count, NULL, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_submit_many(pool, count, &arg, 1), EVB_EFULL);
    (void)evb__add_rlx(&ran, (uint32_t) - (int32_t)n);
}

TEST(what_would_wait_for_its_own_pool_is_told_so)
{
    open_pool((evb_pool_opts){.threads = 1, .queue_capacity = 4});
    OK(evb_pool_submit(pool, wait_in_a_worker, NULL, 0));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 0); /* what was accepted ran, what was not did not */
    evb_pool_destroy(pool);
}

static void cancel_wait_in_a_worker(void *arg)
{
    (void)arg;
    FAILS(evb_pool_cancel_wait(pool, timer), EVB_EDEADLK);
    FAILS(evb_pool_cancel(pool, timer), EVB_ENOTFOUND); /* it has canceled it */
    gate_open(&other);
}

TEST(cancel_wait_in_another_worker_cancels_and_does_not_wait)
{
    gate_shut(&other);
    open_pool((evb_pool_opts){.threads = 2});
    timer = ID(evb_pool_submit_every(pool, 1, gate_hold, &other));
    gate_wait_held(&other, 1);
    OK(evb_pool_submit(pool, cancel_wait_in_a_worker, NULL, 0));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(other.came, 1);
    evb_pool_destroy(pool);
}

static void wait_for_the_other(void *of)
{
    OK(evb_pool_submit(of, count, NULL, EVB_FOREVER));
    OK(evb_pool_wait_idle(of, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 1);
    OK(evb_pool_shutdown(of, EVB_DRAIN, EVB_FOREVER));
}

TEST(a_task_may_wait_for_another_pool)
{
    evb_pool *second;

    open_pool((evb_pool_opts){.threads = 1});
    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &second));
    OK(evb_pool_submit(pool, wait_for_the_other, second, 0));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    evb_pool_destroy(pool);
    evb_pool_destroy(second);
}

static int32_t wait_in_a_listener(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_EFULL);
    FAILS(evb_pool_submit(pool, count, NULL, 1), EVB_EDEADLK);
    FAILS(evb_pool_submit(pool, count, NULL, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_wait_idle(pool, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_pool_cancel_wait(pool, timer), EVB_EDEADLK);
    FAILS(evb_pool_cancel(pool, timer), EVB_ENOTFOUND);
    return EVB_OK;
}

TEST(what_would_wait_inside_a_listener_is_told_so)
{
    evb_bus *bus;

    gate_shut(&other);
    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", wait_in_a_listener, NULL));
    open_pool((evb_pool_opts){.threads = 1, .queue_capacity = 2});
    timer = ID(evb_pool_submit_every(pool, 1, gate_hold, &other));
    gate_wait_held(&other, 1);
    OK(evb_pool_submit(pool, count, NULL, 0));
    OK(evb_pool_submit(pool, count, NULL, 0));
    EQ(evb_emit(bus, "a", NULL, 0), 1);
    gate_open(&other);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 2);
    evb_pool_destroy(pool);
    evb_bus_destroy(bus);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_needs_no_options),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_longer_options_struct_is_read_if_its_tail_is_zero),
        cmocka_unit_test(the_largest_pool_runs_with_every_thread),
        cmocka_unit_test(the_queue_holds_its_capacity_rounded_up_to_a_power_of_two),
        cmocka_unit_test(a_quota_pays_for_its_share_of_cpus_rounded_up),
        cmocka_unit_test(every_call_refuses_null_and_impossible_arguments),
        cmocka_unit_test(threads_start_with_the_first_work_and_are_told_of_their_start_and_stop_once),
        cmocka_unit_test(a_pool_that_never_had_work_never_has_a_thread),
        cmocka_unit_test(threads_bear_the_name_of_the_pool_and_a_number),
        cmocka_unit_test(a_long_name_is_cut_at_fifteen_bytes_and_keeps_the_number),
        cmocka_unit_test(threads_have_the_stack_asked_for_and_no_signals),
        cmocka_unit_test(every_task_runs_once_with_its_argument),
        cmocka_unit_test(submit_many_takes_as_many_as_there_is_room_for_from_the_front),
        cmocka_unit_test(wait_idle_waits_for_the_tasks_of_tasks),
        cmocka_unit_test(wait_idle_says_what_it_found),
        cmocka_unit_test(a_submit_waits_for_room_as_long_as_it_is_told),
        cmocka_unit_test(submits_that_wait_for_room_go_on_when_there_is_room),
        cmocka_unit_test(what_would_wait_for_its_own_pool_is_told_so),
        cmocka_unit_test(cancel_wait_in_another_worker_cancels_and_does_not_wait),
        cmocka_unit_test(a_task_may_wait_for_another_pool),
        cmocka_unit_test(what_would_wait_inside_a_listener_is_told_so),
    };
    return EVB_TEST_MAIN("pool", tests, argc, argv);
}
