/* SPDX-License-Identifier: MIT */
/* The end of subscriptions and buses at any moment: while others publish, wait for room, wait for
 * events, run handlers, settle, drain. Everybody comes back, and what was accepted is accounted for. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "queue_kit.h"

#define SCALE(n) (EVB__TSAN ? (n) / 8 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define ROUNDS   (getenv("EVB_TEST_LONG") != NULL ? 6000u : 400u)

static evb_sub *pulled, *worked, *members[2];
static EVB__ATOMIC(uint32_t) accepted, handled, acked, going;
static uint32_t delay, last;

/* A moment that is another one each time. */
static void wait_a_while(void)
{
    for (uint32_t i = 0; i < delay; i++)
        evb__compiler_barrier();
}

static void set_up(uint32_t workers, int64_t drain_timeout_ns)
{
    struct evb__rng *rng = evb_test_rng();

    delay = (uint32_t)evb__rng_below(rng, UINT64_C(1) << evb__rng_below(rng, 15));
    evb__st_rlx(&accepted, 0);
    evb__st_rlx(&handled, 0);
    evb__st_rlx(&acked, 0);
    evb__st_rlx(&going, 0);
    kit_open_with((evb_bus_opts){.workers = workers, .drain_timeout_ns = drain_timeout_ns});
}

/* So that the end does not come before the beginning. */
static void all_are_going(uint32_t n)
{
    (void)evb__add_acqrel(&going, 1); /* pairs with the load */
    while (evb__ld_acq(&going) < n)
        sched_yield();
}

static int32_t handle(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    if (evb__add_rlx(&handled, 1) % 8 == 0) return EVB_RELEASE; /* relaxed: a count for the end */
    (void)evb__add_rlx(&acked, 1);
    return EVB_OK;
}

/* Until it is closed. Answers how it came to its end. */
static int32_t publish_on(const char *topic)
{
    int32_t rc;

    for (;;) {
        rc = kit_try(topic, "x");
        if (rc > 0)
            (void)evb__add_rlx(&accepted, (uint32_t)rc);
        else if (rc == EVB_EFULL)
            sched_yield();
        else
            return rc;
    }
}

static void pull_on(evb_sub *sub)
{
    const evb_event *ev;
    uint64_t delivery;
    int32_t rc;

    while ((rc = evb_sub_next(sub, EVB_FOREVER, &delivery, &ev)) == EVB_OK) {
        CHECK(kit_is(ev, "x"));
        if (evb_ack(sub, delivery) == EVB_OK) (void)evb__add_rlx(&acked, 1);
    }
    FAILS(rc, EVB_ECLOSED);
}

/* ---- drain ---- */

static void drain_among(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(6);
    switch (index) {
    case 0:
    case 1:
        FAILS(publish_on("x"), EVB_ECLOSED);
        break;
    case 2:
    case 3:
        pull_on(pulled);
        break;
    default:
        wait_a_while();
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    }
}

TEST(a_drain_at_any_moment_leaves_nothing_undone)
{
    for (uint32_t round = 0; round < SCALE(ROUNDS); round++) {
        uint32_t overflow = round % 2 ? EVB_OVERFLOW_BLOCK : EVB_OVERFLOW_REJECT;

        set_up(2, 1);
        pulled = kit_sub("x", (evb_sub_opts){.capacity = 3, .overflow = overflow});
        worked = kit_sub(
            "*", (evb_sub_opts){
                     .capacity = 4, .overflow = overflow, .handler = handle, .concurrency = 1 + round % 3});
        evb_test_run_threads(6, drain_among, NULL);
        CHECK(kit_settled(pulled));
        CHECK(kit_settled(worked));
        EQ(assert_law(pulled).acked + assert_law(worked).acked, evb__ld_rlx(&accepted));
        EQ(evb__ld_rlx(&acked), evb__ld_rlx(&accepted));
        kit_leave(pulled);
        kit_leave(worked);
        kit_close();
    }
}

/* A chain: what a handler publishes is waited for, too. Links are made and found in both orders. */

#define CHAIN 4u

static evb_sub *chain[CHAIN];
static const char *const links[CHAIN] = {"l0", "l1", "l2", "l3"};
static EVB__ATOMIC(uint32_t) ends;

static int32_t to_the_next_link(const evb_event *ev, void *user)
{
    uint32_t link = (uint32_t)((evb_sub **)user - chain);

    if (link + 1 == CHAIN)
        (void)evb__add_rlx(&ends, 1); /* relaxed: read when all is over */
    else
        EQ(evb_publish(kit.bus, links[link + 1], ev->data, ev->size, NULL), 1);
    return EVB_OK;
}

static void drain_a_chain(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(2);
    if (index == 0) {
        for (int32_t rc = 1, i = 0; rc == 1 && i < (delay % 3 ? 1 : 20); i++) {
            rc = kit_try(links[0], "x");
            if (rc == 1) (void)evb__add_rlx(&accepted, 1);
        }
    } else {
        wait_a_while();
        if (delay % 2 == 0) /* looks again and again, at every moment of an event's way */
            for (int32_t rc = EVB_EAGAIN; rc != EVB_OK;)
                if ((rc = evb_bus_drain(kit.bus, 0)) != EVB_OK) FAILS(rc, EVB_EAGAIN);
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
        last = evb__ld_rlx(&ends);
    }
}

TEST(a_drain_at_any_moment_waits_for_the_end_of_a_chain)
{
    for (uint32_t round = 0; round < 4 * SCALE(ROUNDS); round++) {
        set_up(2, 1);
        evb__st_rlx(&ends, 0);
        for (uint32_t i = 0; i < CHAIN; i++) {
            uint32_t link = round % 2 ? CHAIN - 1 - i : i;

            chain[link] =
                kit_sub(links[link], (evb_sub_opts){.handler = to_the_next_link,
                                                    .user = &chain[link],
                                                    .flags = round % 4 == 3 ? EVB_SUB_AT_MOST_ONCE : 0});
        }
        evb_test_run_threads(2, drain_a_chain, NULL);
        EQ(last, evb__ld_rlx(&accepted)); /* when drain had returned all had come to the end */
        for (uint32_t i = 0; i < CHAIN; i++)
            kit_leave(chain[i]);
        kit_close();
    }
}

/* ---- members leave ---- */

/* Calls on a handle may be under way when it is given back, and none may begin: so each puller waits
 * once. */
static struct puller {
    struct sleeper sleeper;
    evb_sub *sub;
    int32_t answer;
} pullers[4];

static void pull_once(void *arg)
{
    struct puller *p = arg;
    const evb_event *ev;
    uint64_t delivery;

    p->answer = evb_sub_next(p->sub, EVB_FOREVER, &delivery, &ev);
}

static void leave_among(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(3);
    wait_a_while();
    if (index < 2) {
        OK(evb_unsubscribe(members[index]));
        return;
    }
    for (int i = 0; i < 2; i++)
        if (kit_try("x", "x") == 1) (void)evb__add_rlx(&accepted, 1);
}

TEST(members_that_leave_while_others_wait_in_next_send_them_home)
{
    for (uint32_t round = 0; round < SCALE(ROUNDS) / 4; round++) {
        uint32_t got = 0;

        set_up(1, 1);
        for (int i = 0; i < 2; i++)
            members[i] = kit_sub("x", (evb_sub_opts){.name = round % 2 ? "group" : NULL});
        for (int i = 0; i < 4; i++) {
            pullers[i].sub = members[i % 2];
            sleeper_start(&pullers[i].sleeper, pull_once, &pullers[i]);
        }
        evb_test_run_threads(3, leave_among, NULL);
        for (int i = 0; i < 4; i++) {
            sleeper_join(&pullers[i].sleeper);
            if (pullers[i].answer == EVB_OK)
                got++;
            else
                FAILS(pullers[i].answer, EVB_ECLOSED);
        }
        EQ(evb_listener_count(kit.bus, "x"), 0);
        CHECK(got <= 4);
        kit_close();
    }
}

static struct freed freed;

static int32_t handle_counted(const evb_event *ev, void *user)
{
    EQ(freed_times(user), 0);
    return handle(ev, NULL);
}

static void leave_workers(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(3);
    if (index < 2) {
        (void)publish_on("x");
        return;
    }
    wait_a_while();
    OK(evb_unsubscribe(worked));
    EQ(freed_times(&freed), 1);
    last = evb__ld_rlx(&handled);
}

TEST(when_unsubscribe_has_returned_no_handler_runs_and_user_was_given_back)
{
    for (uint32_t round = 0; round < SCALE(ROUNDS); round++) {
        set_up(2, 1);
        evb__st_rlx(&freed.times, 0);
        worked = kit_sub("x", (evb_sub_opts){.capacity = 5,
                                             .overflow = round % 2 ? EVB_OVERFLOW_BLOCK : EVB_OVERFLOW_REJECT,
                                             .handler = handle_counted,
                                             .user = &freed,
                                             .free_user = count_freed,
                                             .concurrency = 1 + round % 2});
        evb_test_run_threads(3, leave_workers, NULL);
        kit_close();
        EQ(evb__ld_rlx(&handled), last);
        EQ(freed_times(&freed), 1);
    }
}

/* ---- the bus is destroyed ---- */

static void destroy_among(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(4);
    switch (index) {
    case 0:
    case 1:
        pull_on(pulled);
        break;
    case 2: { /* steers until it is over */
        int32_t rc;

        while ((rc = evb_sub_pause(worked)) == EVB_OK && (rc = evb_sub_resume(worked)) == EVB_OK)
            sched_yield();
        FAILS(rc, EVB_ECLOSED);
        break;
    }
    default:
        wait_a_while();
        evb_bus_destroy(kit.bus);
    }
}

TEST(a_bus_destroyed_while_its_subscriptions_are_used_tells_everybody)
{
    for (uint32_t round = 0; round < SCALE(ROUNDS); round++) {
        set_up(2, round % 3 == 0 ? 1 : HOUR);
        pulled = kit_sub("x", (evb_sub_opts){.capacity = 100});
        worked = kit_sub("*", (evb_sub_opts){.capacity = 100, .handler = handle});
        for (int i = 0; i < 20; i++)
            EQ(kit_try("x", "x"), 2);
        if (round % 3 != 0) EQ(kit_put_with("y", "later", (evb_publish_opts){.delay_ns = 1000}), 1);
        evb_test_run_threads(4, destroy_among, NULL);
        if (round % 3 != 0) EQ(evb__ld_rlx(&acked), 41);
        OK(evb_unsubscribe(pulled));
        OK(evb_unsubscribe(worked));
    }
}

/* ---- one wait after the other, woken by the same end ---- */

static int32_t hold_or_not(const evb_event *ev, void *user)
{
    wait_a_while();
    return handle(ev, user);
}

static void end_all(uint32_t index, void *arg)
{
    (void)arg;
    all_are_going(5);
    switch (index) {
    case 0:
    case 1:
        (void)publish_on("x");
        break;
    case 2:
        pull_on(pulled);
        break;
    case 3:
        wait_a_while();
        OK(evb_unsubscribe(worked)); /* waits for its handler */
        break;
    default:
        wait_a_while();
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    }
}

TEST(a_drain_and_a_leaver_at_the_same_time_both_come_to_an_end)
{
    for (uint32_t round = 0; round < SCALE(ROUNDS); round++) {
        set_up(1 + round % 2, 1);
        pulled = kit_sub("x", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_BLOCK});
        worked = kit_sub(
            "x", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_BLOCK, .handler = hold_or_not});
        evb_test_run_threads(5, end_all, NULL);
        CHECK(kit_settled(pulled));
        kit_leave(pulled);
        kit_close();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_at_any_moment_leaves_nothing_undone),
        cmocka_unit_test(a_drain_at_any_moment_waits_for_the_end_of_a_chain),
        cmocka_unit_test(members_that_leave_while_others_wait_in_next_send_them_home),
        cmocka_unit_test(when_unsubscribe_has_returned_no_handler_runs_and_user_was_given_back),
        cmocka_unit_test(a_bus_destroyed_while_its_subscriptions_are_used_tells_everybody),
        cmocka_unit_test(a_drain_and_a_leaver_at_the_same_time_both_come_to_an_end),
    };
    return EVB_TEST_MAIN("queue_closing", tests, argc, argv);
}
