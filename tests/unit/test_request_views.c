/* SPDX-License-Identifier: MIT */
/* What a request looks like to everybody who sees it, what a reply looks like, and what both refuse. */
#include <string.h>

#include "request_kit.h"

#define REQUEST ((uint32_t)EVB_EVENT_REQUEST)

static struct catcher seen;
static uint32_t filter_flags;

static int32_t look_at_flags(const evb_event *ev, void *user)
{
    (void)user;
    filter_flags = ev->flags;
    return 1;
}

/* ---- every view says that it is a request ---- */

TEST(listeners_and_their_filters_see_the_flag)
{
    kit_open(1);
    catcher_reset(&seen);
    filter_flags = 0;
    ID(evb_listen(kit.bus, "q", &(evb_listen_opts){.filter = look_at_flags}, catch_event, &seen));
    ID(evb_on(kit.bus, "q", echo, NULL));
    request_gives("q", "x", "x");
    EQ(seen.log[0].flags, REQUEST);
    EQ(filter_flags, REQUEST);
    EQ(evb_emit(kit.bus, "q2", "x", 1), 0);
    kit_close();
}

TEST(handlers_and_filters_of_queues_see_the_flag_on_every_attempt)
{
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    seen.answer = EVB_NACK;
    sub = kit_sub("q", (evb_sub_opts){.handler = catch_event,
                                      .user = &seen,
                                      .filter = look_at_flags,
                                      .retry = {.max_attempts = 2, .base_ns = 1, .cap_ns = 1}});
    filter_flags = 0;
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    EQ(filter_flags, REQUEST);
    catcher_wait(&seen, 2);
    EQ(seen.log[0].flags, REQUEST);
    EQ(seen.log[1].flags, REQUEST | (uint32_t)EVB_EVENT_REDELIVERED);
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
}

TEST(pulled_and_packed_requests_have_the_flag)
{
    static _Alignas(8) unsigned char room[256];
    const evb_packed *packed = (const void *)room;
    const evb_event *ev;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    delivery = kit_take_event(sub, "x", &ev);
    EQ(ev->flags, REQUEST);
    OK(evb_release(sub, delivery));
    EQ(evb_sub_take(sub, room, sizeof room, 1), 1);
    EQ(packed->flags, REQUEST | (uint32_t)EVB_EVENT_REDELIVERED);
    kit_put("q", "plain");
    EQ(evb_sub_take(sub, room, sizeof room, 1), 1);
    EQ(packed->flags, 0);
    kit_leave(sub);
    kit_close();
}

static int32_t look_at_letter(const evb_event *ev, const evb_death *death, void *user)
{
    (void)death;
    *(uint32_t *)user = ev->flags;
    FAILS(evb_reply(ev, "late", 4), EVB_ESTALE);
    return 0;
}

TEST(a_dead_request_has_the_flag_and_a_redriven_one_too)
{
    const evb_event *ev;
    uint64_t delivery;
    uint32_t flags = 0;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){0});
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    OK(evb_reject(sub, kit_take(sub, "x"), 1, "no"));
    OK(evb_dlq_browse(sub, look_at_letter, &flags));
    EQ(flags, REQUEST);
    EQ(evb_dlq_redrive(sub, 1), 1);
    delivery = kit_take_event(sub, "x", &ev);
    CHECK((ev->flags & REQUEST) != 0);
    CHECK((ev->flags & (uint32_t)EVB_EVENT_REDRIVEN) != 0);
    OK(evb_ack(sub, delivery));
    kit_leave(sub);
    kit_close();
}

TEST(a_retained_request_has_the_flag_with_and_without_queues)
{
    evb_sub *sub;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    for (int queues = 0; queues < 2; queues++) {
        if (queues != 0) sub = kit_sub("q", (evb_sub_opts){0});
        request_fails("q", "x", MS, EVB_ETIMEDOUT);
        EQ(kept()->flags, REQUEST);
        CHECK(kit_is(kept(), "x"));
        drop_kept();
    }
    kit_leave(sub);
    kit_close();
}

/* ---- the reply ---- */

TEST(a_reply_is_an_event_of_its_own_and_outlives_the_bus)
{
    const evb_event *reply = NULL, *again;

    kit_open(1);
    ID(evb_on(kit.bus, "q.*", echo, NULL));
    OK(evb_request(kit.bus, "q.a", "data", 4, EVB_FOREVER, &reply));
    kit_close();
    EQ_STR(reply->topic, "q.a");
    EQ(reply->topic_len, 3);
    CHECK(kit_is(reply, "data"));
    EQ(reply->flags, 0);
    EQ(reply->attempt, 0);
    EQ(reply->sequence, 0);
    EQ(reply->position, 0);
    EQ_PTR(reply->key, NULL);
    EQ(reply->key_len, 0);
    CHECK(evb_event_time_ns(reply) > 0);
    EQ_PTR(evb_event_header(reply, "any", NULL), NULL);
    FAILS(evb_reply(reply, "x", 1), EVB_ENOTSUP);
    again = evb_event_retain(reply);
    EQ_PTR(again, reply);
    evb_event_release(reply);
    CHECK(kit_is(again, "data"));
    evb_event_release(again);
}

static int32_t reply_nothing(const evb_event *ev, void *user)
{
    (void)user;
    return evb_reply(ev, NULL, 0);
}

TEST(a_reply_may_be_empty)
{
    const evb_event *reply = NULL;

    kit_open(1);
    ID(evb_on(kit.bus, "q", reply_nothing, NULL));
    OK(evb_request(kit.bus, "q", NULL, 0, EVB_FOREVER, &reply));
    EQ(reply->size, 0);
    evb_event_release(reply);
    kit_close();
}

/* ---- what is refused ---- */

static int32_t inner_status;

static int32_t request_inside(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    inner_status = request_try("inner", "x", EVB_FOREVER);
    return EVB_OK;
}

static void request_inside_free(void *user)
{
    (void)user;
    inner_status = request_try("inner", "x", EVB_FOREVER);
}

TEST(inside_a_callback_a_request_is_refused_and_nobody_gets_it)
{
    int64_t id;
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    ID(evb_on(kit.bus, "inner", catch_event, &seen));
    ID(evb_on(kit.bus, "listener", request_inside, NULL));
    EQ(evb_emit(kit.bus, "listener", NULL, 0), 1);
    FAILS(inner_status, EVB_EDEADLK);

    inner_status = 0;
    sub = kit_sub("handler", (evb_sub_opts){.handler = request_inside});
    kit_put("handler", "x");
    SOON(kit_settled(sub));
    FAILS(inner_status, EVB_EDEADLK);
    kit_leave(sub);

    inner_status = 0;
    id = ID(evb_listen(kit.bus, "free", &(evb_listen_opts){.free_user = request_inside_free}, echo, NULL));
    OK(evb_off(kit.bus, id));
    FAILS(inner_status, EVB_EDEADLK);
    EQ(catcher_count(&seen), 0);
    kit_close();
}

TEST(bad_arguments_of_a_request_are_refused)
{
    const evb_event *reply = NULL;

    kit_open(1);
    catcher_reset(&seen);
    ID(evb_on(kit.bus, "q", catch_event, &seen));
    FAILS(evb_request(NULL, "q", "x", 1, EVB_FOREVER, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, NULL, "x", 1, EVB_FOREVER, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "q", NULL, 1, EVB_FOREVER, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "q", "x", 1, 0, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "q", "x", 1, -2, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "q", "x", 1, EVB_FOREVER, NULL), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "a..b", "x", 1, EVB_FOREVER, &reply), EVB_EINVAL);
    FAILS(evb_request(kit.bus, "$q", "x", 1, EVB_FOREVER, &reply), EVB_EINVAL);
    EQ_PTR(reply, NULL);
    EQ(catcher_count(&seen), 0);
    kit_close();
}

static int32_t reply_badly(const evb_event *ev, void *user)
{
    (void)user;
    FAILS(evb_reply(NULL, "x", 1), EVB_EINVAL);
    FAILS(evb_reply(ev, NULL, 1), EVB_EINVAL);
    FAILS(evb_reply(ev, "123456789", 9), EVB_ETOOBIG);
    return evb_reply(ev, "12345678", 8); /* no try has used it up */
}

TEST(bad_replies_are_refused_and_a_good_one_still_counts)
{
    kit_open_with((evb_bus_opts){.workers = 1, .max_payload_bytes = 8});
    ID(evb_on(kit.bus, "q", reply_badly, NULL));
    request_gives("q", "x", "12345678");
    request_fails("q", "123456789", EVB_FOREVER, EVB_ETOOBIG);
    EQ(late_replies(), 0);
    kit_close();
}

static int32_t reply_to_no_request(const evb_event *ev, void *user)
{
    inner_status = evb_reply(ev, "x", 1);
    EQ(ev->flags & REQUEST, 0);
    return keep_it(ev, user);
}

TEST(what_is_no_request_cannot_be_replied_to)
{
    evb_sub *sub;

    kit_open(1);
    ID(evb_on(kit.bus, "q", reply_to_no_request, NULL));
    EQ(evb_emit(kit.bus, "q", "x", 1), 1);
    FAILS(inner_status, EVB_ENOTSUP);
    FAILS(evb_reply(kept(), "x", 1), EVB_ENOTSUP);
    drop_kept();
    sub = kit_sub("q", (evb_sub_opts){0});
    EQ(kit_try("q", "x"), 2);
    FAILS(inner_status, EVB_ENOTSUP);
    FAILS(evb_reply(kept(), "x", 1), EVB_ENOTSUP);
    drop_kept();
    kit_leave(sub);
    kit_close();
}

/* ---- all or nothing, within the time ---- */

TEST(a_request_that_a_queue_refuses_reaches_nobody)
{
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1});
    kit_put("q", "first");
    ID(evb_on(kit.bus, "q", catch_event, &seen));
    request_fails("q", "x", EVB_FOREVER, EVB_EFULL);
    EQ(catcher_count(&seen), 0);
    EQ_STR(kit_rest(sub), "first");
    kit_leave(sub);
    kit_close();
}

TEST(waiting_for_room_is_within_the_same_time)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    kit_put("q", "first");
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    EQ_STR(kit_rest(sub), "first");
    kit_leave(sub);
    kit_close();
}

TEST(a_request_that_has_waited_for_room_is_replied_to)
{
    const evb_event *ev;
    struct asked a;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    kit_put("q", "first");
    asked_begin(&a, "q", "second", EVB_FOREVER);
    OK(evb_ack(sub, kit_take(sub, "first")));
    delivery = kit_take_soon(sub, "second", &ev);
    OK(evb_reply(ev, "reply", 5));
    OK(evb_ack(sub, delivery));
    asked_ends(&a, EVB_OK, "reply");
    kit_leave(sub);
    kit_close();
}

static int32_t reply_from_filter(const evb_event *ev, void *user)
{
    (void)user;
    OK(evb_reply(ev, "early", 5));
    return 1;
}

TEST(a_reply_to_a_request_that_is_then_refused_is_dropped)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("q", (evb_sub_opts){.capacity = 1});
    kit_put("q", "first");
    kit_leave(kit_sub("other", (evb_sub_opts){0}));
    {
        evb_sub *asking = kit_sub("q", (evb_sub_opts){.filter = reply_from_filter});

        request_fails("q", "x", EVB_FOREVER, EVB_EFULL);
        kit_leave(asking);
    }
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_and_their_filters_see_the_flag),
        cmocka_unit_test(handlers_and_filters_of_queues_see_the_flag_on_every_attempt),
        cmocka_unit_test(pulled_and_packed_requests_have_the_flag),
        cmocka_unit_test(a_dead_request_has_the_flag_and_a_redriven_one_too),
        cmocka_unit_test(a_retained_request_has_the_flag_with_and_without_queues),
        cmocka_unit_test(a_reply_is_an_event_of_its_own_and_outlives_the_bus),
        cmocka_unit_test(a_reply_may_be_empty),
        cmocka_unit_test(inside_a_callback_a_request_is_refused_and_nobody_gets_it),
        cmocka_unit_test(bad_arguments_of_a_request_are_refused),
        cmocka_unit_test(bad_replies_are_refused_and_a_good_one_still_counts),
        cmocka_unit_test(what_is_no_request_cannot_be_replied_to),
        cmocka_unit_test(a_request_that_a_queue_refuses_reaches_nobody),
        cmocka_unit_test(waiting_for_room_is_within_the_same_time),
        cmocka_unit_test(a_request_that_has_waited_for_room_is_replied_to),
        cmocka_unit_test(a_reply_to_a_request_that_is_then_refused_is_dropped),
    };
    return EVB_TEST_MAIN("request_views", tests, argc, argv);
}
