/* SPDX-License-Identifier: MIT */
/* Queues when the system refuses threads or descriptors, or their pool is shut down: what was
 * refused has done nothing, and works later. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "queue_kit.h"

#define MIB   ((size_t)1 << 20)
#define STACK (64 * MIB) /* more than the C library keeps for later */

static struct catcher seen;
static struct freed freed;
static evb_pool *pool;
static evb_sub *sub;

static void open_on_pool(size_t stack_bytes)
{
    evb__st_rlx(&freed.times, 0);
    catcher_reset(&seen);
    OK(evb_pool_create(&(evb_pool_opts){.threads = 1, .stack_bytes = stack_bytes}, &pool));
    kit_open_with((evb_bus_opts){.pool = pool, .drain_timeout_ns = 1});
}

static void close_on_pool(void)
{
    kit_close();
    evb_pool_destroy(pool);
}

static int32_t subscribe_working(evb_sub **ret_sub)
{
    return evb_subscribe(kit.bus, "a",
                         &(evb_sub_opts){.handler = catch_event, .user = &seen, .name = "group"}, ret_sub);
}

static int32_t subscribe_counted(evb_sub **ret_sub)
{
    return evb_subscribe(kit.bus, "b",
                         &(evb_sub_opts){.handler = catch_event, .user = &freed, .free_user = count_freed},
                         ret_sub);
}

/* ---- no thread can be had ---- */

TEST(a_handler_whose_pool_has_no_thread_is_not_subscribed)
{
    evb_sub *none = NULL;

    open_on_pool(1); /* stacks that no thread can have */
    CHECK(subscribe_working(&none) < 0);
    CHECK(subscribe_counted(&none) < 0);
    EQ_PTR(none, NULL);
    EQ(freed_times(&freed), 0);
    EQ(evb_listener_count(kit.bus, "a"), 0);
    EQ(kit_try("a", "nobody"), 0);
    sub = kit_sub("a", (evb_sub_opts){.name = "group", .lease_ns = INT64_MAX}); /* the name is free */
    kit_put("a", "x");
    CHECK(subscribe_working(&none) < 0); /* another lease, and no thread */
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    close_on_pool();
}

TEST(what_needs_a_timer_says_that_there_is_no_thread_and_loses_nothing)
{
    const evb_event *ev = NULL;
    evb_queue_stats before;
    uint64_t delivery = 77;

    open_on_pool(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    before = assert_law(sub);
    CHECK(evb_sub_next(sub, 0, &delivery, &ev) < 0); /* it has a lease */
    EQ(delivery, 77);
    EQ_PTR(ev, NULL);
    NOTHING_CHANGED(sub, before);
    {
        static _Alignas(8) unsigned char room[256];

        EQ(evb_sub_take(sub, room, sizeof room, 1), 1); /* that needs none */
    }
    kit_leave(sub);
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = INT64_MAX});
    kit_put("a", "x");
    delivery = kit_take(sub, "x");
    before = assert_law(sub);
    CHECK(evb_nack(sub, delivery, HOUR) < 0);
    NOTHING_CHANGED(sub, before); /* still open */
    OK(evb_nack(sub, delivery, 0));
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    close_on_pool();
}

TEST(a_delayed_event_comes_also_where_no_thread_keeps_the_time)
{
    const evb_event *ev;
    uint64_t delivery;

    open_on_pool(1);
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = INT64_MAX});
    EQ(kit_put_with("a", "x", (evb_publish_opts){.delay_ns = MS}), 1);
    OK(evb_sub_next(sub, EVB_FOREVER, &delivery, &ev));
    CHECK(kit_is(ev, "x"));
    kit_leave(sub);
    close_on_pool();
}

static struct rlimit unlimited;

static bool leave_address_space(size_t bytes)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (statm == NULL) return false;
    if (fscanf(statm, "%lu", &pages) != 1) pages = 0;
    (void)fclose(statm);
    if (pages == 0 || getrlimit(RLIMIT_AS, &unlimited) != 0) return false;
    limit = unlimited;
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    return setrlimit(RLIMIT_AS, &limit) == 0;
}

TEST(a_subscription_that_the_system_refused_a_thread_works_when_it_is_made_again)
{
    evb_sub *none = NULL;
    int32_t answers[2];

    if (EVB_TEST_ASAN || EVB__TSAN || evb_test_plain_alloc())
        SKIP("a sanitizer ends the program when a stack cannot be mapped");
    open_on_pool(STACK);
    if (!leave_address_space(STACK / 2)) {
        close_on_pool();
        SKIP("no /proc, or no limit for address space");
    }
    answers[0] = subscribe_working(&none);
    answers[1] = subscribe_counted(&none);
    EQ(setrlimit(RLIMIT_AS, &unlimited), 0);
    FAILS(answers[0], EVB_EAGAIN);
    FAILS(answers[1], EVB_EAGAIN);
    EQ_PTR(none, NULL);
    EQ(freed_times(&freed), 0);
    EQ(evb_listener_count(kit.bus, "a"), 0);
    OK(subscribe_working(&sub));
    kit_put("a", "x");
    SOON(kit_settled(sub));
    EQ(catcher_count(&seen), 1);
    kit_leave(sub);
    close_on_pool();
}

TEST(a_bus_of_its_own_pool_may_be_refused_threads_too)
{
    evb_sub *none = NULL;
    int32_t answer;

    if (EVB_TEST_ASAN || EVB__TSAN || evb_test_plain_alloc())
        SKIP("a sanitizer ends the program when a stack cannot be mapped");
    catcher_reset(&seen);
    kit_open(1);
    if (!leave_address_space(4 * MIB)) { /* less than the stack of a thread by default */
        kit_close();
        SKIP("no /proc, or no limit for address space");
    }
    answer = subscribe_working(&none);
    EQ(setrlimit(RLIMIT_AS, &unlimited), 0);
    if (answer == EVB_OK) { /* the C library had a stack left over */
        kit_leave(none);
        kit_close();
        SKIP("the C library keeps stacks");
    }
    FAILS(answer, EVB_EAGAIN);
    OK(subscribe_working(&sub));
    kit_put("a", "x");
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
}

/* ---- no descriptor can be had ---- */

TEST(a_descriptor_that_the_system_refuses_is_there_later)
{
    struct rlimit limit;
    int32_t fd;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(getrlimit(RLIMIT_NOFILE, &unlimited), 0);
    limit = unlimited;
    limit.rlim_cur = 1;
    EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    fd = evb_sub_fd(sub);
    EQ(setrlimit(RLIMIT_NOFILE, &unlimited), 0);
    FAILS(fd, EVB_EAGAIN);
    kit_put("a", "x");
    EQ_STR(kit_rest(sub), "x");
    CHECK(evb_sub_fd(sub) >= 0);
    kit_leave(sub);
    kit_close();
}

/* ---- the pool goes first ---- */

TEST(events_stay_when_the_user_shuts_the_pool_down)
{
    evb_sub *none = NULL;

    open_on_pool(0);
    OK(subscribe_working(&sub));
    kit_put("a", "1");
    SOON(kit_settled(sub));
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    kit_put("a", "2"); /* accepted, and nobody is there to take it */
    kit_put("a", "3");
    EQ(assert_law(sub).ready, 2);
    FAILS(subscribe_counted(&none), EVB_ECLOSED);
    EQ(freed_times(&freed), 0);
    EQ_PTR(none, NULL);
    FAILS(evb_bus_drain(kit.bus, 5 * MS), EVB_ETIMEDOUT);
    EQ(evb_sub_purge(sub), 2);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ_STR(catcher_said(&seen), "1");
    kit_leave(sub);
    close_on_pool();
}

TEST(a_pool_shut_down_while_handlers_run_lets_them_finish)
{
    struct gate gate = GATE_SHUT;

    open_on_pool(0);
    seen.gate = &gate;
    OK(subscribe_working(&sub));
    kit_put("a", "1");
    kit_put("a", "2");
    gate_wait_held(&gate, 1);
    FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
    gate_open(&gate);
    OK(evb_pool_shutdown(pool, EVB_DISCARD, EVB_FOREVER));
    {
        evb_queue_stats s = assert_law(sub);

        EQ(s.in_flight, 0);
        CHECK(s.acked >= 1);
        EQ(s.acked + s.ready, 2);
    }
    kit_leave(sub);
    close_on_pool();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_whose_pool_has_no_thread_is_not_subscribed),
        cmocka_unit_test(what_needs_a_timer_says_that_there_is_no_thread_and_loses_nothing),
        cmocka_unit_test(a_delayed_event_comes_also_where_no_thread_keeps_the_time),
        cmocka_unit_test(a_subscription_that_the_system_refused_a_thread_works_when_it_is_made_again),
        cmocka_unit_test(a_bus_of_its_own_pool_may_be_refused_threads_too),
        cmocka_unit_test(a_descriptor_that_the_system_refuses_is_there_later),
        cmocka_unit_test(events_stay_when_the_user_shuts_the_pool_down),
        cmocka_unit_test(a_pool_shut_down_while_handlers_run_lets_them_finish),
    };
    return EVB_TEST_MAIN("queue_threads", tests, argc, argv);
}
