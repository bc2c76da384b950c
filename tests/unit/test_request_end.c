/* SPDX-License-Identifier: MIT */
/* Requests that wait while their bus is drained or destroyed, and replies that come afterwards. */
#include <string.h>

#include "request_kit.h"

/* ---- drain ---- */

static void drain_all(void *arg)
{
    *(int32_t *)arg = evb_bus_drain(kit.bus, EVB_FOREVER);
}

TEST(a_drain_lets_queued_requests_be_replied_to)
{
    struct asked first, second;
    struct sleeper drainer;
    const evb_event *ev;
    uint64_t delivery;
    int32_t drained;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    asked_begin(&first, "q", "1", EVB_FOREVER);
    asked_begin(&second, "q", "2", EVB_FOREVER);
    sleeper_start(&drainer, drain_all, &drained);
    CHECK(!sleeper_is_over(&first.sleeper));
    delivery = kit_take_event(sub, "1", &ev);
    OK(evb_reply(ev, "reply", 5));
    asked_ends(&first, EVB_OK, "reply");
    OK(evb_ack(sub, delivery));
    CHECK(!sleeper_is_over(&second.sleeper));
    OK(evb_ack(sub, kit_take(sub, "2"))); /* settled without a reply: the last chance has gone */
    sleeper_join(&drainer);
    OK(drained);
    asked_ends(&second, EVB_ECLOSED, NULL);
    kit_leave(sub);
    kit_close();
}

TEST(a_drain_that_runs_out_of_time_sends_requesters_home)
{
    struct asked a;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    asked_begin(&a, "q", "x", EVB_FOREVER);
    FAILS(evb_bus_drain(kit.bus, MS), EVB_ETIMEDOUT);
    asked_ends(&a, EVB_ECLOSED, NULL);
    OK(evb_ack(sub, kit_take(sub, "x")));
    kit_leave(sub);
    kit_close();
}

TEST(a_drain_that_only_begins_lets_requests_wait)
{
    const evb_event *ev;
    struct asked a;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    asked_begin(&a, "q", "x", EVB_FOREVER);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    delivery = kit_take_event(sub, "x", &ev);
    OK(evb_reply(ev, "reply", 5));
    OK(evb_ack(sub, delivery));
    asked_ends(&a, EVB_OK, "reply");
    OK(evb_bus_drain(kit.bus, 0));
    kit_leave(sub);
    kit_close();
}

TEST(a_drain_of_a_bus_without_queues_ends_requests_that_wait)
{
    struct asked a;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    asked_begin(&a, "q", "x", EVB_FOREVER);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    asked_ends(&a, EVB_ECLOSED, NULL);
    FAILS(evb_reply(kept(), "late", 4), EVB_ESTALE);
    EQ(late_replies(), 1);
    drop_kept();
    kit_close();
}

TEST(a_draining_bus_takes_no_request)
{
    evb_sub *sub;

    kit_open(1);
    ID(evb_on(kit.bus, "a", echo, NULL));
    sub = kit_sub("q", (evb_sub_opts){0});
    kit_put("q", "x");
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    request_fails("a", "x", EVB_FOREVER, EVB_ECLOSED);
    request_fails("nobody", "x", EVB_FOREVER, EVB_ECLOSED);
    OK(evb_ack(sub, kit_take(sub, "x")));
    OK(evb_bus_drain(kit.bus, 0));
    request_fails("a", "x", EVB_FOREVER, EVB_ECLOSED);
    kit_leave(sub);
    kit_close();
}

TEST(a_drain_ends_a_request_that_waits_for_room)
{
    struct asked a;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    kit_put("q", "first");
    asked_begin(&a, "q", "x", EVB_FOREVER);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    asked_ends(&a, EVB_ECLOSED, NULL);
    OK(evb_ack(sub, kit_take(sub, "first")));
    kit_leave(sub);
    kit_close();
}

/* ---- destroy ---- */

TEST(a_destroyed_bus_sends_who_waits_home)
{
    struct asked listened, queued, blocked;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    ID(evb_on(kit.bus, "a", keep_it, NULL));
    asked_begin(&listened, "a", "x", EVB_FOREVER);
    asked_begin(&queued, "q", "x", EVB_FOREVER);
    asked_begin(&blocked, "q", "x", EVB_FOREVER);
    kit_close();
    asked_ends(&listened, EVB_ECLOSED, NULL);
    asked_ends(&queued, EVB_ECLOSED, NULL);
    asked_ends(&blocked, EVB_ECLOSED, NULL);
    FAILS(evb_reply(kept(), "late", 4), EVB_ECLOSED);
    FAILS(evb_reply(kept(), "late", 4), EVB_ECLOSED);
    drop_kept();
    (void)evb_unsubscribe(sub);
}

TEST(a_destroy_lets_handlers_reply_while_it_drains)
{
    struct asked first, second;
    evb_sub *sub;

    kit_open_with((evb_bus_opts){.workers = 1, .drain_timeout_ns = INT64_MAX});
    sub = kit_sub("q", (evb_sub_opts){.handler = echo, .flags = EVB_SUB_PAUSED});
    asked_begin(&first, "q", "1", EVB_FOREVER);
    asked_begin(&second, "q", "2", EVB_FOREVER);
    OK(evb_sub_resume(sub));
    kit_close();
    asked_ends(&first, EVB_OK, "1");
    asked_ends(&second, EVB_OK, "2");
    (void)evb_unsubscribe(sub);
}

static int32_t destroy_it(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb_bus_destroy(kit.bus);
    return EVB_OK;
}

TEST(a_bus_that_its_listener_destroys_ends_the_request_that_called_it)
{
    kit_open(1);
    ID(evb_on(kit.bus, "q", destroy_it, NULL));
    request_fails("q", "x", EVB_FOREVER, EVB_ECLOSED);
    kit.bus = NULL;
    kit_close();
}

static int32_t reply_and_destroy(const evb_event *ev, void *user)
{
    (void)user;
    evb_bus_destroy(kit.bus);
    return evb_reply(ev, "last", 4);
}

TEST(a_listener_that_has_destroyed_the_bus_may_still_reply)
{
    const evb_event *reply = NULL;
    evb_bus *bus;

    kit_open(1);
    bus = kit.bus;
    ID(evb_on(bus, "q", reply_and_destroy, NULL));
    OK(evb_request(bus, "q", "x", 1, EVB_FOREVER, &reply));
    CHECK(kit_is(reply, "last"));
    evb_event_release(reply);
    kit.bus = NULL;
    kit_close();
}

TEST(a_retained_request_keeps_what_a_reply_needs_when_the_bus_has_ended)
{
    const evb_event *again;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    kit_close();
    again = evb_event_retain(kept());
    EQ_PTR(again, kept());
    drop_kept();
    FAILS(evb_reply(again, "late", 4), EVB_ECLOSED);
    FAILS(evb_reply(again, NULL, 1), EVB_EINVAL);
    CHECK(kit_is(again, "x"));
    evb_event_release(again);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_lets_queued_requests_be_replied_to),
        cmocka_unit_test(a_drain_that_runs_out_of_time_sends_requesters_home),
        cmocka_unit_test(a_drain_that_only_begins_lets_requests_wait),
        cmocka_unit_test(a_drain_of_a_bus_without_queues_ends_requests_that_wait),
        cmocka_unit_test(a_draining_bus_takes_no_request),
        cmocka_unit_test(a_drain_ends_a_request_that_waits_for_room),
        cmocka_unit_test(a_destroyed_bus_sends_who_waits_home),
        cmocka_unit_test(a_destroy_lets_handlers_reply_while_it_drains),
        cmocka_unit_test(a_bus_that_its_listener_destroys_ends_the_request_that_called_it),
        cmocka_unit_test(a_listener_that_has_destroyed_the_bus_may_still_reply),
        cmocka_unit_test(a_retained_request_keeps_what_a_reply_needs_when_the_bus_has_ended),
    };
    return EVB_TEST_MAIN("request_end", tests, argc, argv);
}
