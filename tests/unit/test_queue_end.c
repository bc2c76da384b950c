/* SPDX-License-Identifier: MIT */
/* The end of a bus that has queues: running handlers, waiting callers, handles that live on, a
 * user's pool. / */
#include "queue_kit.h"

#include <dirent.h>
#include <string.h>

static struct catcher seen;
static struct gate gate = GATE_SHUT;
static evb_sub *sub;

static void open_with(uint32_t workers)
{
    kit_open(workers);
    gate_shut(&gate);
    catcher_reset(&seen);
}

static evb_sub *watch(const char *pattern)
{
    return kit_sub(pattern, (evb_sub_opts){.handler = catch_event, .user = &seen});
}

/* ---- handles of a bus that is gone ---- */

static int32_t look(const evb_event *ev, const evb_death *death, void *user)
{
    (void)ev;
    (void)death;
    (void)user;
    return 0;
}

static void everything_is_closed(evb_sub *gone, uint64_t delivery)
{
    static _Alignas(8) unsigned char room[64];
    evb_queue_stats s = {.struct_size = sizeof s};
    const evb_event *ev;
    uint64_t got;

    FAILS(evb_sub_pause(gone), EVB_ECLOSED);
    FAILS(evb_sub_resume(gone), EVB_ECLOSED);
    FAILS(evb_sub_purge(gone), EVB_ECLOSED);
    FAILS(evb_sub_next(gone, 0, &got, &ev), EVB_ECLOSED);
    FAILS(evb_sub_next(gone, EVB_FOREVER, &got, &ev), EVB_ECLOSED);
    FAILS(evb_sub_take(gone, room, sizeof room, 1), EVB_ECLOSED);
    FAILS(evb_sub_fd(gone), EVB_ECLOSED);
    FAILS(evb_ack(gone, delivery), EVB_ECLOSED);
    FAILS(evb_nack(gone, delivery, 0), EVB_ECLOSED);
    FAILS(evb_release(gone, delivery), EVB_ECLOSED);
    FAILS(evb_reject(gone, delivery, 1, "text"), EVB_ECLOSED);
    FAILS(evb_extend(gone, delivery, 0), EVB_ECLOSED);
    FAILS(evb_dlq_count(gone), EVB_ECLOSED);
    FAILS(evb_dlq_browse(gone, look, NULL), EVB_ECLOSED);
    FAILS(evb_dlq_redrive(gone, 1), EVB_ECLOSED);
    FAILS(evb_dlq_purge(gone), EVB_ECLOSED);
    FAILS(evb_sub_stats(gone, &s), EVB_ECLOSED);
}

TEST(a_handle_outlives_its_bus_and_answers_closed)
{
    const evb_event *ev;
    uint64_t delivery;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    for (int i = 0; i < 3; i++)
        kit_put("a", "in flight");
    OK(evb_reject(sub, kit_take(sub, "in flight"), 1, "letter"));
    delivery = kit_take_event(sub, "in flight", &ev);
    kit_close();
    everything_is_closed(sub, delivery);
    CHECK(kit_is(ev, "in flight")); /* readable until the handle is given back */
    EQ_STR(ev->topic, "a");
    OK(evb_unsubscribe(sub));
}

TEST(handles_of_every_kind_outlive_their_bus)
{
    evb_sub *subs[5];

    open_with(1);
    subs[0] = watch("a");
    subs[1] = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    subs[2] = kit_sub("a", (evb_sub_opts){.name = "group"});
    subs[3] = kit_sub("a", (evb_sub_opts){.name = "group"});
    subs[4] = kit_sub("a", (evb_sub_opts){.flags = EVB_SUB_PAUSED});
    CHECK(evb_sub_fd(subs[2]) >= 0);
    EQ(kit_try("a", "x"), 4);
    kit_close();
    FAILS(evb_sub_dispatch(subs[1], 1), EVB_ECLOSED);
    for (int i = 4; i >= 0; i--)
        OK(evb_unsubscribe(subs[i]));
}

/* ---- handlers ---- */

static void destroy(void *arg)
{
    evb_bus_destroy(arg);
}

TEST(destroy_waits_for_running_handlers_and_hands_out_nothing_more)
{
    struct sleeper destroyer;

    open_with(2);
    seen.gate = &gate;
    sub = watch("a");
    kit_put("a", "1");
    kit_put("a", "2");
    gate_wait_held(&gate, 1);
    sleeper_start(&destroyer, destroy, kit.bus);
    CHECK(!sleeper_is_over(&destroyer));
    gate_open(&gate);
    sleeper_join(&destroyer);
    EQ(catcher_count(&seen), 1); /* it drained for a nanosecond */
    OK(evb_unsubscribe(sub));
}

TEST(destroy_lets_queues_finish_for_as_long_as_it_was_told)
{
    kit_open_with((evb_bus_opts){.workers = 1, .drain_timeout_ns = INT64_MAX});
    catcher_reset(&seen);
    sub = watch("a");
    for (int i = 0; i < 500; i++)
        kit_put("a", "x");
    EQ(kit_put_with("a", "later", (evb_publish_opts){.delay_ns = 2 * MS}), 1);
    kit_close();
    EQ(catcher_count(&seen), 501);
    OK(evb_unsubscribe(sub));
}

TEST(by_default_destroy_lets_queues_finish)
{
    kit_open_with((evb_bus_opts){0});
    catcher_reset(&seen);
    OK(evb_subscribe(kit.bus, "a", &(evb_sub_opts){.handler = catch_event, .user = &seen}, NULL));
    for (int i = 0; i < 100; i++)
        kit_put("a", "x");
    kit_close();
    EQ(catcher_count(&seen), 100);
}

TEST(destroy_does_not_wait_again_for_what_a_drain_has_waited_for_in_vain)
{
    kit_open_with((evb_bus_opts){.drain_timeout_ns = INT64_MAX});
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "nobody takes it");
    FAILS(evb_bus_drain(kit.bus, MS), EVB_ETIMEDOUT);
    kit_close(); /* the test's time limit is the limit */
    OK(evb_unsubscribe(sub));
}

static int32_t destroy_inside(const evb_event *ev, void *user)
{
    struct freed *freed = user;

    (void)ev;
    EQ(freed_times(freed), 0);
    evb_bus_destroy(kit.bus);
    EQ(freed_times(freed), 0); /* this very call still uses it */
    return EVB_OK;
}

TEST(a_bus_destroyed_by_a_handler_ends_when_that_returns)
{
    struct freed freed = {0};

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.handler = destroy_inside, .user = &freed, .free_user = count_freed});
    kit_put("a", "x");
    SOON(freed_times(&freed) == 1);
    {
        evb_queue_stats s = {.struct_size = sizeof s};

        SOON(evb_sub_stats(sub, &s) == EVB_ECLOSED);
    }
    OK(evb_unsubscribe(sub));
    EQ(freed_times(&freed), 1);
}

static int32_t destroy_in_listener(const evb_event *ev, void *user)
{
    (void)ev;
    evb_bus_destroy(user);
    return EVB_OK;
}

TEST(a_bus_with_queues_may_be_destroyed_by_a_listener)
{
    open_with(2);
    seen.gate = &gate;
    sub = watch("a");
    kit_put("a", "x");
    gate_wait_held(&gate, 1);
    gate_open(&gate);
    (void)ID(evb_on(kit.bus, "l", destroy_in_listener, kit.bus));
    EQ(evb_emit(kit.bus, "l", NULL, 0), 1);
    FAILS(evb_sub_pause(sub), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
    EQ(catcher_count(&seen), 1);
    EQ(seen.inside, 0); /* not locked: the handler had returned when the emit did */
}

TEST(a_bus_destroyed_by_a_dispatched_handler_ends_when_the_dispatch_returns)
{
    struct freed freed = {0};

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.handler = destroy_inside,
                                      .user = &freed,
                                      .free_user = count_freed,
                                      .flags = EVB_SUB_DISPATCH});
    kit_put("a", "1");
    kit_put("a", "2");
    EQ(evb_sub_dispatch(sub, 10), 1);
    EQ(freed_times(&freed), 1);
    FAILS(evb_sub_pause(sub), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
}

/* ---- waiting callers ---- */

struct puller {
    struct sleeper sleeper;
    int32_t answer;
};

static void pull(void *arg)
{
    struct puller *p = arg;
    const evb_event *ev;
    uint64_t delivery;

    p->answer = evb_sub_next(sub, EVB_FOREVER, &delivery, &ev);
}

TEST(a_puller_that_waits_is_told_when_the_bus_is_destroyed)
{
    struct puller p[3];

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    for (int i = 0; i < 3; i++)
        sleeper_start(&p[i].sleeper, pull, &p[i]);
    kit_close();
    for (int i = 0; i < 3; i++) {
        sleeper_join(&p[i].sleeper);
        EQ(p[i].answer, EVB_ECLOSED);
    }
    OK(evb_unsubscribe(sub));
}

/* ---- a pool of the user's ---- */

TEST(a_bus_uses_the_pool_it_was_given_and_gives_it_back)
{
    evb_pool *pool;
    struct gate task = GATE_SHUT;

    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &pool));
    kit_open_with((evb_bus_opts){.pool = pool, .drain_timeout_ns = 1});
    catcher_reset(&seen);
    sub = watch("a");
    OK(evb_pool_submit(pool, gate_hold, &task, EVB_FOREVER));
    gate_wait_held(&task, 1);
    kit_put("a", "x"); /* its only thread is busy: that is the pool */
    EQ(assert_law(sub).ready, 1);
    EQ(assert_law(sub).delivered, 0);
    gate_open(&task);
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
    gate_shut(&task);
    gate_open(&task);
    OK(evb_pool_submit(pool, gate_hold, &task, EVB_FOREVER)); /* it is the user's again */
    gate_wait_held(&task, 1);
    evb_pool_destroy(pool);
}

TEST(a_pool_destroyed_while_a_bus_uses_it_ends_with_the_bus)
{
    evb_pool *pool;

    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &pool));
    kit_open_with((evb_bus_opts){.pool = pool, .drain_timeout_ns = 1});
    catcher_reset(&seen);
    sub = watch("a");
    kit_put("a", "1");
    SOON(kit_settled(sub));
    evb_pool_destroy(pool);
    kit_put("a", "2"); /* nothing has changed yet */
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 2");
    kit_leave(sub);
    kit_close(); /* the runner looks for threads that are left */
}

TEST(two_buses_may_share_a_pool)
{
    evb_pool *pool;
    evb_bus *buses[2];
    evb_sub *subs[2];

    OK(evb_pool_create(&(evb_pool_opts){.threads = 2}, &pool));
    catcher_reset(&seen);
    for (int i = 0; i < 2; i++) {
        OK(evb_bus_create(&(evb_bus_opts){.pool = pool, .drain_timeout_ns = 1}, &buses[i]));
        OK(evb_subscribe(buses[i], "a", &(evb_sub_opts){.handler = catch_event, .user = &seen}, &subs[i]));
    }
    evb_pool_destroy(pool);
    for (int i = 0; i < 2; i++)
        EQ(evb_publish(buses[i], "a", "x", 1, NULL), 1);
    catcher_wait(&seen, 2);
    kit_leave(subs[0]);
    evb_bus_destroy(buses[0]);
    EQ(evb_publish(buses[1], "a", "y", 1, NULL), 1);
    catcher_wait(&seen, 3);
    kit_leave(subs[1]);
    evb_bus_destroy(buses[1]);
}

static uint32_t threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    uint32_t n = 0;

    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL) (void)closedir(dir);
    return n;
}

TEST(a_bus_that_is_only_pulled_and_published_to_starts_no_thread)
{
    uint32_t before = threads();

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = INT64_MAX});
    kit_put("a", "x");
    OK(evb_nack(sub, kit_take(sub, "x"), 0));
    OK(evb_ack(sub, kit_take(sub, "x")));
    {
        evb_sub *dispatched =
            kit_sub("b", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
        kit_put("b", "x");
        EQ(evb_sub_dispatch(dispatched, 1), 1);
        kit_leave(dispatched);
    }
    EQ(threads(), before);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_outlives_its_bus_and_answers_closed),
        cmocka_unit_test(handles_of_every_kind_outlive_their_bus),
        cmocka_unit_test(destroy_waits_for_running_handlers_and_hands_out_nothing_more),
        cmocka_unit_test(destroy_lets_queues_finish_for_as_long_as_it_was_told),
        cmocka_unit_test(by_default_destroy_lets_queues_finish),
        cmocka_unit_test(destroy_does_not_wait_again_for_what_a_drain_has_waited_for_in_vain),
        cmocka_unit_test(a_bus_destroyed_by_a_handler_ends_when_that_returns),
        cmocka_unit_test(a_bus_with_queues_may_be_destroyed_by_a_listener),
        cmocka_unit_test(a_bus_destroyed_by_a_dispatched_handler_ends_when_the_dispatch_returns),
        cmocka_unit_test(a_puller_that_waits_is_told_when_the_bus_is_destroyed),
        cmocka_unit_test(a_bus_uses_the_pool_it_was_given_and_gives_it_back),
        cmocka_unit_test(a_pool_destroyed_while_a_bus_uses_it_ends_with_the_bus),
        cmocka_unit_test(two_buses_may_share_a_pool),
        cmocka_unit_test(a_bus_that_is_only_pulled_and_published_to_starts_no_thread),
    };
    return EVB_TEST_MAIN("queue_end", tests, argc, argv);
}
