/* SPDX-License-Identifier: MIT */
/* Request and reply, rule by rule: who may reply, from where, and what the requester gets. */
#include <string.h>

#include "request_kit.h"

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static int32_t refuse(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 0;
}

/* ---- who replies ---- */

TEST(a_listener_replies_before_the_requester_sleeps)
{
    kit_open(1);
    ID(evb_on(kit.bus, "q", echo, NULL));
    request_gives("q", "hello", "hello");
    request_gives("q", "", "");
    kit_close();
}

TEST(a_listener_of_a_wildcard_replies_to_a_name_without_a_record)
{
    kit_open(1);
    ID(evb_on(kit.bus, "q.>", echo, NULL));
    request_gives("q.never.seen", "hello", "hello");
    kit_close();
}

TEST(a_handler_on_a_worker_replies)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.handler = echo});
    for (int i = 0; i < 100; i++)
        request_gives("q", "hello", "hello");
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 100);
    kit_leave(sub);
    kit_close();
}

TEST(who_pulls_replies_with_the_event_it_was_shown)
{
    const evb_event *ev;
    struct asked a;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    asked_begin(&a, "q", "pulled", EVB_FOREVER);
    delivery = kit_take_event(sub, "pulled", &ev);
    OK(evb_reply(ev, "reply", 5));
    asked_ends(&a, EVB_OK, "reply");
    OK(evb_ack(sub, delivery));
    kit_leave(sub);
    kit_close();
}

TEST(a_retained_request_is_replied_to_later_and_from_another_thread)
{
    struct asked a;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    asked_begin(&a, "q", "keep me", EVB_FOREVER);
    CHECK(!sleeper_is_over(&a.sleeper));
    CHECK(kit_is(kept(), "keep me"));
    OK(evb_reply(kept(), "later", 5));
    asked_ends(&a, EVB_OK, "later");
    drop_kept();
    kit_close();
}

static uint64_t deferred;
static evb_sub *deferring;
static const evb_event *deferred_event;

static int32_t defer(const evb_event *ev, void *user)
{
    (void)user;
    deferred_event = ev;
    OK(evb_defer(ev, &deferred));
    return EVB_OK;
}

TEST(a_deferred_request_is_replied_to_later)
{
    struct asked a;

    kit_open(1);
    deferring = kit_sub("q", (evb_sub_opts){.handler = defer, .flags = EVB_SUB_DISPATCH});
    asked_begin(&a, "q", "defer me", EVB_FOREVER);
    EQ(evb_sub_dispatch(deferring, 1), 1);
    OK(evb_reply(deferred_event, "later", 5));
    asked_ends(&a, EVB_OK, "later");
    OK(evb_ack(deferring, deferred));
    kit_leave(deferring);
    kit_close();
}

/* ---- who does not ---- */

TEST(a_request_that_nobody_matches_has_no_responders_at_once)
{
    kit_open(1);
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    ID(evb_on(kit.bus, "other", echo, NULL));
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    kit_close();
}

TEST(monitors_and_listeners_that_refuse_are_no_responders)
{
    kit_open(1);
    ID(evb_listen(kit.bus, "q", &(evb_listen_opts){.flags = EVB_MONITOR}, ignore, NULL));
    ID(evb_listen(kit.bus, "q", &(evb_listen_opts){.filter = refuse}, echo, NULL));
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    kit_close();
}

TEST(a_monitor_that_replies_all_the_same_is_heard)
{
    kit_open(1);
    ID(evb_listen(kit.bus, "q", &(evb_listen_opts){.flags = EVB_MONITOR}, echo, NULL));
    request_gives("q", "hello", "hello");
    kit_close();
}

TEST(a_queue_that_drops_the_newcomer_is_no_responder)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_DROP_NEWEST});
    kit_put("q", "first");
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    EQ(assert_law(sub).dropped, 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_queue_whose_filter_refuses_is_no_responder)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.filter = refuse});
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    kit_leave(sub);
    kit_close();
}

TEST(a_responder_that_does_not_reply_times_out)
{
    evb_sub *sub;

    kit_open(1);
    ID(evb_on(kit.bus, "a", ignore, NULL));
    request_fails("a", "x", MS, EVB_ETIMEDOUT);
    sub = kit_sub("q", (evb_sub_opts){0});
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    EQ_STR(kit_rest(sub), "x"); /* it is an event like any other */
    kit_leave(sub);
    kit_close();
}

/* ---- the first reply ---- */

static int32_t second_status;

static int32_t reply_twice(const evb_event *ev, void *user)
{
    (void)user;
    OK(evb_reply(ev, "first", 5));
    second_status = evb_reply(ev, "second", 6);
    return EVB_OK;
}

TEST(the_first_reply_wins_and_the_second_is_stale)
{
    kit_open(1);
    ID(evb_on(kit.bus, "q", reply_twice, NULL));
    ID(evb_on(kit.bus, "q", echo, NULL)); /* too late as well: a listener's error */
    request_gives("q", "x", "first");
    FAILS(second_status, EVB_ESTALE);
    EQ(late_replies(), 2);
    kit_close();
}

TEST(a_reply_after_the_time_is_stale_and_counted)
{
    const evb_event *later;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    request_fails("q", "one", MS, EVB_ETIMEDOUT);
    EQ(late_replies(), 0);
    FAILS(evb_reply(kept(), "late", 4), EVB_ESTALE);
    EQ(late_replies(), 1);
    later = kept();
    request_fails("q", "two", MS, EVB_ETIMEDOUT); /* in the same place: another number */
    FAILS(evb_reply(later, "late", 4), EVB_ESTALE);
    FAILS(evb_reply(kept(), "late", 4), EVB_ESTALE);
    EQ(late_replies(), 3);
    evb_event_release(later);
    drop_kept();
    kit_close();
}

TEST(a_late_reply_does_not_reach_who_waits_in_the_same_place_now)
{
    const evb_event *old;
    struct asked a;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    request_fails("q", "old", MS, EVB_ETIMEDOUT);
    old = kept();
    asked_begin(&a, "q", "new", EVB_FOREVER);
    FAILS(evb_reply(old, "wrong", 5), EVB_ESTALE);
    OK(evb_reply(kept(), "right", 5));
    asked_ends(&a, EVB_OK, "right");
    evb_event_release(old);
    drop_kept();
    kit_close();
}

TEST(a_request_without_responders_cannot_be_replied_to_later)
{
    kit_open(1);
    ID(evb_listen(kit.bus, "q", &(evb_listen_opts){.flags = EVB_MONITOR}, keep_it, NULL));
    request_fails("q", "x", EVB_FOREVER, EVB_ENORESPONDERS);
    FAILS(evb_reply(kept(), "late", 4), EVB_ESTALE);
    drop_kept();
    kit_close();
}

static int32_t fail_once(const evb_event *ev, void *user)
{
    (void)user;
    if (ev->attempt == 1) {
        OK(evb_reply(ev, "first", 5));
        return EVB_NACK;
    }
    return evb_reply(ev, "second", 6) == EVB_ESTALE ? EVB_OK : EVB_REJECT;
}

TEST(a_handler_that_replies_and_fails_gets_the_request_again)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.handler = fail_once, .retry = {.base_ns = 1, .cap_ns = 1}});
    request_gives("q", "x", "first");
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 1);
    kit_leave(sub);
    kit_close();
}

/* ---- many at once ---- */

TEST(many_wait_at_the_same_time_and_each_gets_its_own)
{
    enum { MANY = 20 };
    static struct asked asked[MANY];
    static const char *const texts[MANY] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
                                            "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"};
    const evb_event *requests[MANY];

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    for (int i = 0; i < MANY; i++) {
        asked_begin(&asked[i], "q", texts[i], EVB_FOREVER);
        requests[i] = kept();
    }
    for (int i = MANY; i-- > 0;) /* the other way round */
        OK(evb_reply(requests[i], texts[i], 1));
    for (int i = 0; i < MANY; i++) {
        asked_ends(&asked[i], EVB_OK, texts[i]);
        evb_event_release(requests[i]);
    }
    forget_kept();
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_replies_before_the_requester_sleeps),
        cmocka_unit_test(a_listener_of_a_wildcard_replies_to_a_name_without_a_record),
        cmocka_unit_test(a_handler_on_a_worker_replies),
        cmocka_unit_test(who_pulls_replies_with_the_event_it_was_shown),
        cmocka_unit_test(a_retained_request_is_replied_to_later_and_from_another_thread),
        cmocka_unit_test(a_deferred_request_is_replied_to_later),
        cmocka_unit_test(a_request_that_nobody_matches_has_no_responders_at_once),
        cmocka_unit_test(monitors_and_listeners_that_refuse_are_no_responders),
        cmocka_unit_test(a_monitor_that_replies_all_the_same_is_heard),
        cmocka_unit_test(a_queue_that_drops_the_newcomer_is_no_responder),
        cmocka_unit_test(a_queue_whose_filter_refuses_is_no_responder),
        cmocka_unit_test(a_responder_that_does_not_reply_times_out),
        cmocka_unit_test(the_first_reply_wins_and_the_second_is_stale),
        cmocka_unit_test(a_reply_after_the_time_is_stale_and_counted),
        cmocka_unit_test(a_late_reply_does_not_reach_who_waits_in_the_same_place_now),
        cmocka_unit_test(a_request_without_responders_cannot_be_replied_to_later),
        cmocka_unit_test(a_handler_that_replies_and_fails_gets_the_request_again),
        cmocka_unit_test(many_wait_at_the_same_time_and_each_gets_its_own),
    };
    return EVB_TEST_MAIN("request", tests, argc, argv);
}
