/* SPDX-License-Identifier: MIT */
/* From a publish to a queue: who is reached, what they see, what the publisher is told. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

static struct catcher seen, also;

static void open_seen(uint32_t workers)
{
    kit_open(workers);
    catcher_reset(&seen);
    catcher_reset(&also);
}

static evb_sub *watch(const char *pattern, struct catcher *c)
{
    return kit_sub(pattern, (evb_sub_opts){.handler = catch_event, .user = c});
}

/* ---- what a handler sees ---- */

TEST(a_handler_gets_what_was_published)
{
    uint64_t sequence = 0, position = 77;
    evb_sub *sub;

    open_seen(1);
    sub = watch("job.print", &seen);
    EQ(kit_put_with("job.print", "a report",
                    (evb_publish_opts){
                        .key = "k1", .key_len = 2, .ret_sequence = &sequence, .ret_position = &position}),
       1);
    SOON(kit_settled(sub));
    EQ(catcher_count(&seen), 1);
    EQ_STR(seen.log[0].topic, "job.print");
    EQ_STR(seen.log[0].data, "a report");
    EQ(seen.log[0].size, 8);
    EQ_STR(seen.log[0].key, "k1");
    EQ(seen.log[0].attempt, 1);
    EQ(seen.log[0].flags, 0);
    NE(sequence, 0);
    EQ(seen.log[0].sequence, sequence);
    EQ(position, 0);
    EQ(assert_law(sub).acked, 1);
    EQ(assert_law(sub).enqueued, 1);
    EQ(assert_law(sub).delivered, 1);
    EQ(assert_law(sub).redelivered, 0);
    kit_leave(sub);
    kit_close();
}

TEST(an_event_without_payload_arrives)
{
    const evb_event *ev;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 2});
    EQ(evb_publish(kit.bus, "a", NULL, 0, NULL), 1);
    OK(evb_ack(sub, kit_take_event(sub, "", &ev)));
    EQ(evb_publish(kit.bus, "a", "not looked at", 0, NULL), 1);
    OK(evb_ack(sub, kit_take_event(sub, "", &ev)));
    kit_leave(sub);
    kit_close();
}

TEST(payload_and_key_are_copied_before_the_publish_returns)
{
    char data[] = "payload", key[] = "key";
    const evb_event *ev;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 2});
    EQ(evb_publish(kit.bus, "a", data, 7, &(evb_publish_opts){.key = key, .key_len = 3}), 1);
    memset(data, 'x', sizeof data);
    memset(key, 'x', sizeof key);
    (void)kit_take_event(sub, "payload", &ev);
    EQ(ev->key_len, 3);
    EQ_MEM(ev->key, "key", 3);
    EQ(ev->topic_len, 1);
    EQ_STR(ev->topic, "a");
    kit_leave(sub);
    kit_close();
}

TEST(all_queues_share_one_copy_of_the_payload)
{
    const evb_event *events[3];
    evb_sub *subs[3];

    kit_open(1);
    for (int i = 0; i < 3; i++)
        subs[i] = kit_sub("a.>", (evb_sub_opts){.capacity = 4});
    EQ(kit_try("a.b", "once"), 3);
    for (int i = 0; i < 3; i++)
        (void)kit_take_event(subs[i], "once", &events[i]);
    EQ_PTR(events[0]->data, events[1]->data);
    EQ_PTR(events[1]->data, events[2]->data);
    EQ(events[0]->sequence, events[2]->sequence);
    NE((intptr_t)events[0], (intptr_t)events[1]);
    for (int i = 0; i < 3; i++)
        kit_leave(subs[i]);
    kit_close();
}

TEST(an_event_stays_readable_after_its_other_queues_have_settled_it)
{
    evb_sub *fast, *slow;
    const evb_event *ev;
    uint64_t delivery;

    kit_open(1);
    fast = kit_sub("a", (evb_sub_opts){0});
    slow = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_try("a", "still here"), 2);
    delivery = kit_take_event(slow, "still here", &ev);
    OK(evb_ack(fast, kit_take(fast, "still here")));
    kit_leave(fast);
    CHECK(kit_is(ev, "still here"));
    OK(evb_ack(slow, delivery));
    kit_leave(slow);
    kit_close();
}

/* ---- who is reached ---- */

TEST(a_queue_gets_what_its_pattern_matches_and_nothing_else)
{
    static const struct {
        uint32_t dialect;
        const char *pattern, *wanted[3], *unwanted[3];
    } cases[] = {
        {EVB_TOPICS_DOT, "a.b", {"a.b", NULL, NULL}, {"a", "a.b.c", "a.c"}},
        {EVB_TOPICS_DOT, "a.*", {"a.b", "a.c", NULL}, {"a", "a.b.c", "b.a"}},
        {EVB_TOPICS_DOT, "a.>", {"a.b", "a.b.c", NULL}, {"a", "b", "b.a"}},
        {EVB_TOPICS_DOT, ">", {"a", "a.b", "x.y.z"}, {NULL, NULL, NULL}},
        {EVB_TOPICS_MQTT, "a/#", {"a", "a/b", "a/b/c"}, {"b", "/a", NULL}},
        {EVB_TOPICS_MQTT, "+/b", {"a/b", "/b", NULL}, {"$a/b", "b", NULL}},
        {EVB_TOPICS_AMQP, "#.z", {"z", "a.z", "a.b.z"}, {"z.a", "", NULL}},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        evb_sub *sub;

        kit_open_with((evb_bus_opts){.dialect = cases[i].dialect, .drain_timeout_ns = 1});
        sub = kit_sub(cases[i].pattern, (evb_sub_opts){0});
        for (int k = 0; k < 3; k++) {
            if (cases[i].wanted[k] != NULL) {
                const evb_event *ev;

                EQ(evb_listener_count(kit.bus, cases[i].wanted[k]), 1);
                kit_put(cases[i].wanted[k], "x");
                OK(evb_ack(sub, kit_take_event(sub, "x", &ev)));
            }
            if (cases[i].unwanted[k] != NULL) {
                EQ(evb_listener_count(kit.bus, cases[i].unwanted[k]), 0);
                EQ(kit_try(cases[i].unwanted[k], "x"), 0);
            }
        }
        kit_none(sub);
        kit_leave(sub);
        kit_close();
    }
}

TEST(overlapping_patterns_are_queues_of_their_own)
{
    evb_sub *subs[4];

    kit_open(1);
    subs[0] = kit_sub("a.b", (evb_sub_opts){0});
    subs[1] = kit_sub("a.b", (evb_sub_opts){0});
    subs[2] = kit_sub("a.*", (evb_sub_opts){0});
    subs[3] = kit_sub(">", (evb_sub_opts){0});
    EQ(evb_listener_count(kit.bus, "a.b"), 4);
    EQ(kit_try("a.b", "x"), 4);
    EQ(kit_try("a.c", "y"), 2);
    EQ_STR(kit_rest(subs[0]), "x");
    EQ_STR(kit_rest(subs[1]), "x");
    EQ_STR(kit_rest(subs[2]), "x y");
    EQ_STR(kit_rest(subs[3]), "x y");
    for (int i = 0; i < 4; i++)
        kit_leave(subs[i]);
    EQ(evb_listener_count(kit.bus, "a.b"), 0);
    EQ(kit_try("a.b", "nobody"), 0);
    kit_close();
}

TEST(a_queue_gets_events_from_its_subscription_to_its_end_only)
{
    evb_topic *before;
    evb_sub *sub;

    kit_open(1);
    OK(evb_topic_open(kit.bus, "a", &before));
    EQ(evb_topic_publish(before, "x", 1, NULL), 0);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_none(sub);
    EQ(evb_topic_publish(before, "y", 1, NULL), 1);
    EQ_STR(kit_rest(sub), "y");
    kit_leave(sub);
    EQ(evb_topic_publish(before, "z", 1, NULL), 0);
    EQ(kit_try("a", "z"), 0);
    evb_topic_close(before);
    kit_close();
}

TEST(every_way_to_publish_reaches_queues)
{
    static const char *const patterns[] = {"a.b", "a.*", ">"};

    for (size_t i = 0; i < COUNT(patterns); i++) {
        evb_topic *topic;
        evb_sub *sub;
        void *loan;

        kit_open(1);
        OK(evb_topic_open(kit.bus, "a.b", &topic));
        sub = kit_sub(patterns[i], (evb_sub_opts){0});
        EQ(evb_publish(kit.bus, "a.b", "1", 1, NULL), 1);
        EQ(evb_emit(kit.bus, "a.b", "2", 1), 1);
        EQ(evb_topic_publish(topic, "3", 1, NULL), 1);
        EQ(evb_topic_emit(topic, "4", 1), 1);
        EQ(evb_publish_many(kit.bus, &(evb_message){.topic = "a.b", .data = "5", .size = 1}, 1, NULL), 1);
        OK(evb_loan(kit.bus, 1, &loan));
        memcpy(loan, "6", 1);
        EQ(evb_publish_loan(kit.bus, "a.b", loan, 1, NULL), 1);
        EQ_STR(kit_rest(sub), "1 2 3 4 5 6");
        kit_leave(sub);
        evb_topic_close(topic);
        kit_close();
    }
}

TEST(what_queues_hold_is_not_touched_by_removing_all_listeners)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    catcher_reset(&seen);
    EQ(kit_try("a", "1"), 2);
    EQ(evb_off_all(kit.bus, "a"), 1);
    EQ(kit_try("a", "2"), 1);
    EQ(evb_off_all(kit.bus, NULL), 0);
    EQ(kit_try("a", "3"), 1);
    EQ_STR(kit_rest(sub), "1 2 3");
    for (int64_t id = 1; id < 4; id++) /* nor is a queue a listener that could be removed by a number */
        (void)evb_off(kit.bus, id);
    EQ(kit_try("a", "4"), 1);
    EQ_STR(kit_rest(sub), "4");
    kit_leave(sub);
    kit_close();
}

/* ---- what the publisher is told ---- */

static int32_t refuse(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 0;
}

TEST(the_result_counts_listeners_that_ran_and_groups_that_took_the_event)
{
    evb_sub *members[2], *alone, *picky;

    open_seen(1);
    EQ(kit_try("a", "nobody"), 0);
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    (void)ID(evb_on(kit.bus, "*", catch_event, &seen));
    (void)ID(evb_listen(kit.bus, "a", &(evb_listen_opts){.flags = EVB_MONITOR}, catch_event, &also));
    (void)ID(evb_listen(kit.bus, "a", &(evb_listen_opts){.filter = refuse}, catch_event, &also));
    EQ(kit_try("a", "listeners"), 2);
    alone = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_try("a", "and a queue"), 3);
    for (int i = 0; i < 2; i++)
        members[i] = kit_sub("a", (evb_sub_opts){.name = "group"});
    EQ(kit_try("a", "and a group"), 4);
    picky = kit_sub("a", (evb_sub_opts){.filter = refuse});
    EQ(kit_try("a", "not wanted"), 4);
    EQ(assert_law(picky).enqueued, 0);
    EQ(catcher_count(&seen), 8);
    EQ(catcher_count(&also), 4);
    kit_leave(alone);
    kit_leave(picky);
    kit_leave(members[0]);
    EQ(kit_try("a", "one member is a group"), 3);
    kit_leave(members[1]);
    kit_close();
}

TEST(a_mandatory_event_needs_somebody)
{
    const evb_publish_opts mandatory = {.flags = EVB_MANDATORY};
    evb_sub *sub;
    int64_t id;

    open_seen(1);
    FAILS(kit_put_with("a", "x", mandatory), EVB_ENOROUTE);
    FAILS(evb_publish_many(kit.bus, &(evb_message){.topic = "a"}, 1, &mandatory), EVB_ENOROUTE);
    id = ID(evb_on(kit.bus, "a", catch_event, &seen));
    EQ(kit_put_with("a", "x", mandatory), 1);
    OK(evb_off(kit.bus, id));
    FAILS(kit_put_with("a", "x", mandatory), EVB_ENOROUTE);
    sub = kit_sub("*", (evb_sub_opts){0});
    EQ(kit_put_with("a", "y", mandatory), 1);
    EQ_STR(kit_rest(sub), "y");
    kit_leave(sub);
    FAILS(kit_put_with("a", "x", mandatory), EVB_ENOROUTE);
    kit_close();
}

TEST(of_a_mandatory_batch_nothing_is_delivered_when_one_event_has_nobody)
{
    static const evb_message two[] = {{.topic = "a", .data = "1", .size = 1},
                                      {.topic = "b", .data = "2", .size = 1}};
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    FAILS(evb_publish_many(kit.bus, two, 2, &(evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    kit_none(sub);
    EQ(assert_law(sub).enqueued, 0);
    EQ(evb_publish_many(kit.bus, two, 2, NULL), 1);
    EQ_STR(kit_rest(sub), "1");
    kit_leave(sub);
    kit_close();
}

TEST(a_sequence_is_zero_when_only_listeners_match_and_the_same_for_all_when_a_queue_does)
{
    uint64_t sequence = 77, first;
    const evb_event *ev;
    evb_sub *sub;

    open_seen(1);
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    EQ(kit_put_with("a", "x", (evb_publish_opts){.ret_sequence = &sequence}), 1);
    EQ(sequence, 0);
    EQ(seen.log[0].sequence, 0);
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_put_with("a", "y", (evb_publish_opts){.ret_sequence = &first}), 2);
    NE(first, 0);
    EQ(seen.log[1].sequence, first);
    EQ(seen.log[1].attempt, 0);
    OK(evb_ack(sub, kit_take_event(sub, "y", &ev)));
    EQ(kit_put_with("a", "z", (evb_publish_opts){.ret_sequence = &sequence}), 2);
    CHECK(sequence > first);
    (void)kit_take_event(sub, "z", &ev);
    EQ(ev->sequence, sequence);
    kit_leave(sub);
    kit_close();
}

/* ---- order ---- */

static int32_t look_into(const evb_event *ev, void *user)
{
    (void)ev;
    EQ(assert_law(user).ready, 1);
    return EVB_OK;
}

TEST(a_queue_has_the_event_when_the_listeners_run)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    (void)ID(evb_on(kit.bus, "a", look_into, sub));
    EQ(kit_try("a", "x"), 2);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

#define PUBLISHERS 4u
#define EACH       400u

static struct {
    evb_topic *topic;
    EVB__ATOMIC(uint32_t) last[PUBLISHERS + 1], out_of_order;
    EVB__ATOMIC(uint64_t) sequence[PUBLISHERS + 1];
    EVB__ATOMIC(uint32_t) handled;
} order;

struct numbered {
    uint32_t publisher, number;
};

/* One handler at a time: plain loads and stores would do, but for the test's own look. */
static int32_t follow(const evb_event *ev, void *user)
{
    struct numbered n;

    (void)user;
    memcpy(&n, ev->data, sizeof n);
    if (n.number != evb__ld_rlx(&order.last[n.publisher]) + 1) (void)evb__add_rlx(&order.out_of_order, 1);
    if (ev->sequence <= evb__ld_rlx(&order.sequence[n.publisher])) (void)evb__add_rlx(&order.out_of_order, 1);
    evb__st_rlx(&order.last[n.publisher], n.number);
    evb__st_rlx(&order.sequence[n.publisher], ev->sequence);
    (void)evb__add_acqrel(&order.handled, 1); /* pairs with the load of who waits for it */
    return EVB_OK;
}

static void publish_numbers(uint32_t index, void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= EACH; i++) {
        struct numbered n = {index, i};

        EQ(i % 2 ? evb_publish(kit.bus, "n", &n, sizeof n, NULL) : evb_topic_emit(order.topic, &n, sizeof n),
           1);
    }
}

TEST(what_one_thread_publishes_arrives_in_order)
{
    static const uint32_t overflows[] = {EVB_OVERFLOW_REJECT, EVB_OVERFLOW_BLOCK, EVB_OVERFLOW_DROP_OLDEST};

    for (size_t k = 0; k < COUNT(overflows); k++) {
        evb_sub *sub;

        memset(&order, 0, sizeof order);
        kit_open(2);
        OK(evb_topic_open(kit.bus, "n", &order.topic));
        sub = kit_sub(
            "n", (evb_sub_opts){.handler = follow,
                                .overflow = overflows[k],
                                .capacity = overflows[k] == EVB_OVERFLOW_BLOCK ? 16 : PUBLISHERS * EACH});
        evb_test_run_threads(PUBLISHERS, publish_numbers, NULL);
        SOON(evb__ld_acq(&order.handled) == PUBLISHERS * EACH);
        EQ(evb__ld_rlx(&order.out_of_order), 0);
        SOON(kit_settled(sub));
        EQ(assert_law(sub).acked, PUBLISHERS * EACH);
        kit_leave(sub);
        evb_topic_close(order.topic);
        kit_close();
    }
}

TEST(a_pulled_queue_hands_out_in_the_order_in_which_it_accepted)
{
    char text[16];
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a.>", (evb_sub_opts){.capacity = 3000}); /* more than goes into any first place */
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        kit_put(i % 2 ? "a.b" : "a.c.d", text);
    }
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        OK(evb_ack(sub, kit_take(sub, text)));
    }
    kit_none(sub);
    EQ(assert_law(sub).acked, 3000);
    kit_leave(sub);
    kit_close();
}

/* ---- from inside a callback ---- */

static int32_t pass_on(const evb_event *ev, void *user)
{
    EQ(evb_publish(kit.bus, user, ev->data, ev->size, NULL), 1);
    return EVB_OK;
}

TEST(a_handler_and_a_listener_may_publish)
{
    evb_sub *first, *second, *third;

    open_seen(1);
    first = kit_sub("one", (evb_sub_opts){.handler = pass_on, .user = (void *)"two"});
    (void)ID(evb_on(kit.bus, "two", pass_on, (void *)"three"));
    second = kit_sub("three", (evb_sub_opts){.handler = pass_on, .user = (void *)"four"});
    third = watch("four", &seen);
    kit_put("one", "round");
    kit_put("one", "and round");
    catcher_wait(&seen, 2);
    EQ_STR(catcher_said(&seen), "round and round");
    SOON(kit_settled(first) && kit_settled(second) && kit_settled(third));
    kit_leave(first);
    kit_leave(second);
    kit_leave(third);
    kit_close();
}

static int32_t count_down(const evb_event *ev, void *user)
{
    int n;

    memcpy(&n, ev->data, sizeof n);
    n--;
    if (n > 0) EQ(evb_publish(kit.bus, "down", &n, sizeof n, NULL), 1);
    return catch_event(ev, user);
}

TEST(a_handler_may_publish_to_its_own_queue)
{
    int n = 200;
    evb_sub *sub;

    open_seen(1);
    sub = kit_sub("down", (evb_sub_opts){.handler = count_down, .user = &seen, .capacity = 2});
    EQ(evb_publish(kit.bus, "down", &n, sizeof n, NULL), 1);
    catcher_wait(&seen, 200);
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 200);
    kit_leave(sub);
    kit_close();
}

static int32_t nothing(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

TEST(a_subscription_whose_handle_nobody_wants_lives_as_long_as_the_bus)
{
    struct freed freed = {0};

    open_seen(1);
    OK(evb_subscribe(kit.bus, "a", &(evb_sub_opts){.handler = catch_event, .user = &seen}, NULL));
    OK(evb_subscribe(kit.bus, "b",
                     &(evb_sub_opts){.handler = nothing, .user = &freed, .free_user = count_freed}, NULL));
    kit_put("a", "1");
    catcher_wait(&seen, 1);
    kit_put("b", "2");
    kit_put("a", "3");
    catcher_wait(&seen, 2);
    EQ(freed_times(&freed), 0);
    kit_close();
    EQ(freed_times(&freed), 1);
    EQ_STR(catcher_said(&seen), "1 3");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_gets_what_was_published),
        cmocka_unit_test(an_event_without_payload_arrives),
        cmocka_unit_test(payload_and_key_are_copied_before_the_publish_returns),
        cmocka_unit_test(all_queues_share_one_copy_of_the_payload),
        cmocka_unit_test(an_event_stays_readable_after_its_other_queues_have_settled_it),
        cmocka_unit_test(a_queue_gets_what_its_pattern_matches_and_nothing_else),
        cmocka_unit_test(overlapping_patterns_are_queues_of_their_own),
        cmocka_unit_test(a_queue_gets_events_from_its_subscription_to_its_end_only),
        cmocka_unit_test(every_way_to_publish_reaches_queues),
        cmocka_unit_test(what_queues_hold_is_not_touched_by_removing_all_listeners),
        cmocka_unit_test(the_result_counts_listeners_that_ran_and_groups_that_took_the_event),
        cmocka_unit_test(a_mandatory_event_needs_somebody),
        cmocka_unit_test(of_a_mandatory_batch_nothing_is_delivered_when_one_event_has_nobody),
        cmocka_unit_test(a_sequence_is_zero_when_only_listeners_match_and_the_same_for_all_when_a_queue_does),
        cmocka_unit_test(a_queue_has_the_event_when_the_listeners_run),
        cmocka_unit_test(what_one_thread_publishes_arrives_in_order),
        cmocka_unit_test(a_pulled_queue_hands_out_in_the_order_in_which_it_accepted),
        cmocka_unit_test(a_handler_and_a_listener_may_publish),
        cmocka_unit_test(a_handler_may_publish_to_its_own_queue),
        cmocka_unit_test(a_subscription_whose_handle_nobody_wants_lives_as_long_as_the_bus),
    };
    return EVB_TEST_MAIN("queue_publish", tests, argc, argv);
}
