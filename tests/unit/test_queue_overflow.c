/* SPDX-License-Identifier: MIT */
/* Full queues: what counts, who is refused, who waits, what is dropped. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

static struct catcher seen;
static char refused[64];

/* ---- reject ---- */

TEST(a_publish_to_a_full_reject_queue_reaches_nobody)
{
    evb_sub *full, *wide;
    evb_queue_stats before;

    kit_open(1);
    catcher_reset(&seen);
    wide = kit_sub(">", (evb_sub_opts){0});
    full = kit_sub("a", (evb_sub_opts){.capacity = 2, .name = "narrow"});
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    EQ(kit_try("a", "1"), 3);
    EQ(kit_try("a", "2"), 3);
    before = assert_law(wide);
    memset(refused, 'x', sizeof refused);
    FAILS(kit_put_with("a", "3", (evb_publish_opts){.ret_refused = refused, .refused_cap = sizeof refused}),
          EVB_EFULL);
    EQ_STR(refused, "narrow");
    FAILS(evb_emit(kit.bus, "a", "3", 1), EVB_EFULL);
    NOTHING_CHANGED(wide, before);
    EQ(assert_law(full).enqueued, 2);
    EQ(catcher_count(&seen), 2);
    EQ(kit_try("b", "elsewhere"), 1); /* one full queue is nobody else's trouble */
    OK(evb_ack(full, kit_take(full, "1")));
    EQ(kit_try("a", "4"), 3);
    EQ_STR(kit_rest(full), "2 4");
    EQ_STR(kit_rest(wide), "1 2 elsewhere 4");
    kit_leave(full);
    kit_leave(wide);
    kit_close();
}

TEST(a_refused_batch_reaches_nobody)
{
    static const evb_message batch[] = {{.topic = "b", .data = "1", .size = 1},
                                        {.topic = "a", .data = "2", .size = 1},
                                        {.topic = "a", .data = "3", .size = 1}};
    evb_sub *a, *b;

    kit_open(1);
    b = kit_sub("b", (evb_sub_opts){0});
    a = kit_sub("a", (evb_sub_opts){.capacity = 2});
    kit_put("a", "0");
    FAILS(evb_publish_many(kit.bus, batch, 3, NULL), EVB_EFULL);
    EQ(assert_law(b).enqueued, 0);
    EQ(assert_law(a).enqueued, 1);
    EQ(evb_publish_many(kit.bus, batch, 2, NULL), 2); /* what was reserved has been given back */
    EQ_STR(kit_rest(a), "0 2");
    EQ(evb_publish_many(kit.bus, batch, 3, NULL), 3);
    EQ_STR(kit_rest(a), "2 3");
    EQ_STR(kit_rest(b), "1 1");
    kit_leave(a);
    kit_leave(b);
    kit_close();
}

TEST(a_refused_batch_keeps_no_room_anywhere)
{
    static const evb_message batch[] = {{.topic = "a", .data = "1", .size = 1},
                                        {.topic = "b", .data = "2", .size = 1},
                                        {.topic = "c", .data = "3", .size = 1}};

    for (int full = 0; full < 3; full++) {
        evb_sub *subs[3];

        kit_open(1);
        for (int i = 0; i < 3; i++)
            subs[i] = kit_sub(batch[i].topic, (evb_sub_opts){.capacity = 1});
        kit_put(batch[full].topic, "full");
        for (int again = 0; again < 3; again++)
            FAILS(evb_publish_many(kit.bus, batch, 3, NULL), EVB_EFULL);
        EQ_STR(kit_rest(subs[full]), "full");
        EQ(evb_publish_many(kit.bus, batch, 3, NULL), 3);
        for (int i = 0; i < 3; i++)
            kit_leave(subs[i]);
        kit_close();
    }
}

TEST(the_name_of_the_full_queue_is_cut_to_the_room_for_it)
{
    char small[8];
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 1, .name = "a-long-name"});
    kit_put("a", "1");
    memset(small, 'x', sizeof small);
    FAILS(kit_put_with("a", "2", (evb_publish_opts){.ret_refused = small, .refused_cap = 5}), EVB_EFULL);
    EQ_MEM(small, "a-lo\0xxx", 8);
    memset(small, 'x', sizeof small);
    FAILS(kit_put_with("a", "2", (evb_publish_opts){.ret_refused = small, .refused_cap = 0}), EVB_EFULL);
    EQ(small[0], 'x');
    FAILS(kit_put_with("a", "2", (evb_publish_opts){.refused_cap = 5}), EVB_EFULL);
    (void)kit_rest(sub);
    EQ(kit_put_with("a", "2", (evb_publish_opts){.ret_refused = small, .refused_cap = 5}), 1);
    EQ(small[0], 'x'); /* untouched where nobody refused */
    kit_leave(sub);
    kit_close();
}

/* ---- what counts ---- */

TEST(what_is_in_flight_delayed_or_waits_for_its_retry_counts_toward_the_capacity)
{
    uint64_t one, two;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 3});
    kit_put("a", "1");
    kit_put("a", "2");
    one = kit_take(sub, "1");
    two = kit_take(sub, "2");
    EQ(kit_put_with("a", "3", (evb_publish_opts){.delay_ns = HOUR}), 1);
    FAILS(kit_try("a", "4"), EVB_EFULL);
    OK(evb_nack(sub, one, HOUR));
    EQ(assert_law(sub).delayed, 2);
    FAILS(kit_try("a", "4"), EVB_EFULL);
    OK(evb_release(sub, two));
    FAILS(kit_try("a", "4"), EVB_EFULL);
    OK(evb_ack(sub, kit_take(sub, "2")));
    kit_put("a", "4");
    FAILS(kit_try("a", "5"), EVB_EFULL);
    OK(evb_reject(sub, kit_take(sub, "4"), 0, NULL)); /* a dead letter has room of its own */
    kit_put("a", "5");
    EQ(evb_sub_purge(sub), 3);
    for (int i = 0; i < 3; i++)
        kit_put("a", "6");
    FAILS(kit_try("a", "7"), EVB_EFULL);
    kit_leave(sub);
    kit_close();
}

TEST(an_event_that_a_handler_works_on_counts_toward_the_capacity)
{
    struct gate gate = GATE_SHUT;
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    seen.gate = &gate;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .capacity = 2});
    kit_put("a", "1");
    gate_wait_held(&gate, 1);
    EQ(assert_law(sub).in_flight, 1);
    kit_put("a", "2");
    FAILS(kit_try("a", "3"), EVB_EFULL);
    gate_open(&gate);
    SOON(kit_settled(sub));
    kit_put("a", "3");
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 2 3");
    kit_leave(sub);
    kit_close();
}

TEST(bytes_of_payload_key_and_headers_are_limited_too)
{
    static const char kilo[1024] = "payload";
    const evb_header header = {.name = "header", .value = kilo, .value_len = 500};
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity_bytes = 4096});
    for (int i = 0; i < 3; i++)
        EQ(evb_publish(kit.bus, "a", kilo, sizeof kilo, NULL), 1);
    EQ(evb_publish(kit.bus, "a", kilo, 1024 - 200, NULL), 1);
    FAILS(evb_publish(kit.bus, "a", kilo, 201, NULL), EVB_EFULL);
    FAILS(evb_publish(kit.bus, "a", kilo, 1, &(evb_publish_opts){.key = kilo, .key_len = 200}), EVB_EFULL);
    FAILS(evb_publish(kit.bus, "a", kilo, 0, &(evb_publish_opts){.headers = &header, .header_count = 1}),
          EVB_EFULL);
    EQ(evb_publish(kit.bus, "a", NULL, 0, NULL), 1); /* that takes no bytes */
    EQ(evb_publish(kit.bus, "a", kilo, 100, &(evb_publish_opts){.key = kilo, .key_len = 100}), 1);
    FAILS(evb_publish(kit.bus, "a", kilo, 1, NULL), EVB_EFULL);
    EQ(assert_law(sub).enqueued, 6);
    EQ(evb_sub_purge(sub), 6);
    for (int i = 0; i < 4; i++)
        EQ(evb_publish(kit.bus, "a", kilo, sizeof kilo, NULL), 1);
    FAILS(evb_publish(kit.bus, "a", kilo, 1, NULL), EVB_EFULL);
    kit_leave(sub);
    kit_close();
}

TEST(what_can_never_have_room_is_too_big_for_reject_and_block_and_dropped_by_the_others)
{
    static const char kilo[1024] = "payload";

    for (uint32_t overflow = EVB_OVERFLOW_REJECT; overflow <= EVB_OVERFLOW_CONFLATE; overflow++) {
        bool refuses = overflow == EVB_OVERFLOW_REJECT || overflow == EVB_OVERFLOW_BLOCK;
        evb_queue_stats s;
        evb_sub *sub, *other;

        kit_open(1);
        sub = kit_sub("a", (evb_sub_opts){.capacity_bytes = 1000, .overflow = overflow});
        other = kit_sub("a", (evb_sub_opts){0});
        EQ(kit_try("a", "kept"), 2);
        if (refuses) {
            FAILS(evb_publish(kit.bus, "a", kilo, 1001, NULL), EVB_ETOOBIG);
            EQ(assert_law(other).enqueued, 1);
        } else {
            EQ(evb_publish(kit.bus, "a", kilo, 1001, NULL), 1);
            EQ(assert_law(other).enqueued, 2);
        }
        s = assert_law(sub);
        EQ(s.dropped, refuses ? 0 : 1);
        EQ(s.enqueued, refuses ? 1 : 2);
        EQ_STR(kit_rest(sub), "kept"); /* nothing was evicted in vain */
        EQ(evb_publish(kit.bus, "a", kilo, 1000, NULL), 2);
        kit_leave(sub);
        kit_leave(other);
        kit_close();
    }
}

TEST(a_full_reject_queue_refuses_in_any_place_among_others)
{
    for (int at = 0; at < 3; at++) {
        evb_sub *subs[3];

        kit_open(1);
        for (int i = 0; i < 3; i++) {
            subs[i] = kit_sub(
                "a", (evb_sub_opts){.capacity = i == at ? 1 : 2,
                                    .overflow = i == at ? EVB_OVERFLOW_REJECT : EVB_OVERFLOW_DROP_OLDEST});
        }
        EQ(kit_try("a", "1"), 3);
        for (int again = 0; again < 5; again++)
            FAILS(kit_try("a", "2"), EVB_EFULL);
        for (int i = 0; i < 3; i++) {
            EQ(assert_law(subs[i]).enqueued, 1);
            EQ(assert_law(subs[i]).dropped, 0);
        }
        EQ(evb_sub_purge(subs[at]), 1);
        EQ(kit_try("a", "3"), 3);
        for (int i = 0; i < 3; i++)
            kit_leave(subs[i]);
        kit_close();
    }
}

TEST(a_queue_that_drops_never_refuses_for_the_others)
{
    evb_sub *lossy, *strict;

    kit_open(1);
    lossy = kit_sub("a", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_DROP_NEWEST});
    strict = kit_sub("a", (evb_sub_opts){.capacity = 3});
    EQ(kit_try("a", "1"), 2);
    EQ(kit_try("a", "2"), 1); /* a dropped newcomer is not counted */
    EQ(kit_try("a", "3"), 1);
    FAILS(kit_try("a", "4"), EVB_EFULL);
    EQ(assert_law(lossy).dropped, 2);
    EQ_STR(kit_rest(lossy), "1");
    EQ_STR(kit_rest(strict), "1 2 3");
    kit_leave(lossy);
    kit_leave(strict);
    kit_close();
}

/* ---- drop ---- */

TEST(drop_oldest_evicts_the_oldest_ready_event)
{
    evb_queue_stats s;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 3, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    for (int i = 0; i < 8; i++)
        kit_put("a", (const char *[]){"0", "1", "2", "3", "4", "5", "6", "7"}[i]);
    s = assert_law(sub);
    EQ(s.enqueued, 8);
    EQ(s.dropped, 5);
    EQ(s.ready, 3);
    EQ(s.dlq_depth, 0);
    EQ_STR(kit_rest(sub), "5 6 7");
    kit_leave(sub);
    kit_close();
}

TEST(drop_oldest_makes_room_for_the_bytes_of_the_newcomer)
{
    static const char kilo[1024] = "new";
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity_bytes = 100, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    for (int i = 0; i < 10; i++)
        EQ(evb_publish(kit.bus, "a", "0123456789", 10, NULL), 1);
    EQ(assert_law(sub).dropped, 0);
    EQ(evb_publish(kit.bus, "a", kilo, 25, NULL), 1);
    EQ(assert_law(sub).dropped, 3);
    EQ(assert_law(sub).ready, 8);
    EQ(evb_publish(kit.bus, "a", kilo, 100, NULL), 1);
    EQ(assert_law(sub).ready, 1);
    EQ(assert_law(sub).dropped, 11);
    kit_leave(sub);
    kit_close();
}

TEST(drop_oldest_never_evicts_what_is_in_flight_and_then_drops_the_newcomer)
{
    uint64_t one, two;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    kit_put("a", "1");
    kit_put("a", "2");
    one = kit_take(sub, "1");
    kit_put("a", "3"); /* evicts 2 */
    EQ(assert_law(sub).dropped, 1);
    two = kit_take(sub, "3");
    EQ(kit_try("a", "4"), 0); /* nothing is ready */
    EQ(assert_law(sub).dropped, 2);
    EQ(assert_law(sub).enqueued, 4);
    kit_none(sub);
    OK(evb_ack(sub, one));
    OK(evb_ack(sub, two));
    kit_put("a", "5");
    EQ_STR(kit_rest(sub), "5");
    kit_leave(sub);
    kit_close();
}

TEST(drop_newest_keeps_what_is_there)
{
    evb_queue_stats s;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_DROP_NEWEST});
    kit_put("a", "1");
    kit_put("a", "2");
    EQ(kit_try("a", "3"), 0);
    EQ(kit_put_with("a", "4", (evb_publish_opts){.delay_ns = HOUR}), 0);
    s = assert_law(sub);
    EQ(s.enqueued, 4);
    EQ(s.dropped, 2);
    EQ_STR(kit_rest(sub), "1 2");
    kit_put("a", "5");
    EQ_STR(kit_rest(sub), "5");
    kit_leave(sub);
    kit_close();
}

TEST(what_overflow_drops_may_become_a_dead_letter)
{
    static const uint32_t overflows[] = {EVB_OVERFLOW_DROP_OLDEST, EVB_OVERFLOW_DROP_NEWEST,
                                         EVB_OVERFLOW_CONFLATE};

    for (size_t i = 0; i < COUNT(overflows); i++) {
        bool oldest = overflows[i] != EVB_OVERFLOW_DROP_NEWEST;
        struct letter letters[4];
        evb_queue_stats s;
        evb_sub *sub;

        kit_open(1);
        sub = kit_sub("a.*", (evb_sub_opts){.capacity = 2,
                                            .overflow = overflows[i],
                                            .flags = EVB_SUB_DEAD_LETTER_DROPS,
                                            .name = "lossy"});
        kit_put("a.1", "1");
        kit_put("a.2", "2");
        EQ(kit_try("a.3", "3"), oldest ? 1 : 0);
        s = assert_law(sub);
        EQ(s.enqueued, 3);
        EQ(s.dropped + s.dead_lettered, 1);
        EQ(kit_letters(sub, letters, 4), 1);
        EQ_STR(letters[0].reason, "maxlen");
        EQ_STR(letters[0].event.data, oldest ? "1" : "3");
        EQ_STR(letters[0].topic, oldest ? "a.1" : "a.3");
        EQ_STR(letters[0].subscription, "lossy");
        EQ(letters[0].death.attempts, 0);
        EQ(letters[0].death.times, 1);
        EQ_STR(kit_rest(sub), oldest ? "2 3" : "1 2");
        EQ(evb_dlq_redrive(sub, UINT32_MAX), 1);
        EQ_STR(kit_rest(sub), oldest ? "1" : "3");
        kit_leave(sub);
        kit_close();
    }
}

/* ---- conflate ---- */

TEST(conflate_replaces_the_ready_event_of_the_same_key)
{
    evb_queue_stats s;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("p.*", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    EQ(kit_put_key("p.x", "a1", "a"), 1);
    EQ(kit_put_key("p.x", "b1", "b"), 1);
    EQ(kit_put_key("p.x", "c1", "c"), 1);
    EQ(kit_put_key("p.y", "a2", "a"), 1); /* the key counts, not the topic, and not only when it is full */
    EQ(kit_put_key("p.y", "c2", "c"), 1);
    s = assert_law(sub);
    EQ(s.enqueued, 5);
    EQ(s.conflated, 2);
    EQ(s.dropped, 0);
    EQ_STR(kit_rest(sub), "b1 a2 c2");
    kit_leave(sub);
    kit_close();
}

TEST(conflate_goes_by_topic_where_there_is_no_key)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("p.*", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    kit_put("p.x", "x1");
    kit_put("p.y", "y1");
    EQ(kit_put_key("p.x", "keyed", "p.x"), 1); /* a key that reads as a topic is none */
    kit_put("p.x", "x2");
    EQ(assert_law(sub).conflated, 1);
    EQ_STR(kit_rest(sub), "y1 keyed x2");
    kit_leave(sub);
    kit_close();
}

TEST(conflate_leaves_alone_what_is_in_flight_or_delayed)
{
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("p", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    kit_put("p", "1");
    delivery = kit_take(sub, "1");
    EQ(kit_put_with("p", "delayed", (evb_publish_opts){.delay_ns = HOUR}), 1);
    kit_put("p", "2");
    EQ(assert_law(sub).conflated, 0);
    kit_put("p", "3");
    EQ(assert_law(sub).conflated, 1);
    EQ(assert_law(sub).in_flight, 1);
    EQ(assert_law(sub).delayed, 1);
    OK(evb_ack(sub, delivery));
    EQ_STR(kit_rest(sub), "3");
    kit_leave(sub);
    kit_close();
}

TEST(a_full_conflating_queue_drops_its_oldest_for_a_new_key)
{
    evb_queue_stats s;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("p", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE, .capacity = 2});
    EQ(kit_put_key("p", "a1", "a"), 1);
    EQ(kit_put_key("p", "b1", "b"), 1);
    EQ(kit_put_key("p", "b2", "b"), 1); /* full, but one of its own goes */
    EQ(assert_law(sub).dropped, 0);
    EQ(kit_put_key("p", "c1", "c"), 1);
    s = assert_law(sub);
    EQ(s.conflated, 1);
    EQ(s.dropped, 1);
    EQ_STR(kit_rest(sub), "b2 c1");
    kit_leave(sub);
    kit_close();
}

TEST(conflate_keeps_the_last_of_each_of_many_keys)
{
    char key[32], text[32];
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("p", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE, .capacity = 300});
    for (int round = 0; round < 5; round++) {
        for (int k = 0; k < 300; k++) {
            (void)snprintf(key, sizeof key, "key-%d", k);
            (void)snprintf(text, sizeof text, "%d/%d", k, round);
            EQ(kit_put_key("p", text, key), 1);
        }
    }
    EQ(assert_law(sub).conflated, 1200);
    for (int k = 0; k < 300; k++) {
        (void)snprintf(text, sizeof text, "%d/4", k);
        OK(evb_ack(sub, kit_take(sub, text)));
    }
    kit_none(sub);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_to_a_full_reject_queue_reaches_nobody),
        cmocka_unit_test(a_refused_batch_reaches_nobody),
        cmocka_unit_test(a_refused_batch_keeps_no_room_anywhere),
        cmocka_unit_test(the_name_of_the_full_queue_is_cut_to_the_room_for_it),
        cmocka_unit_test(what_is_in_flight_delayed_or_waits_for_its_retry_counts_toward_the_capacity),
        cmocka_unit_test(an_event_that_a_handler_works_on_counts_toward_the_capacity),
        cmocka_unit_test(bytes_of_payload_key_and_headers_are_limited_too),
        cmocka_unit_test(what_can_never_have_room_is_too_big_for_reject_and_block_and_dropped_by_the_others),
        cmocka_unit_test(a_full_reject_queue_refuses_in_any_place_among_others),
        cmocka_unit_test(a_queue_that_drops_never_refuses_for_the_others),
        cmocka_unit_test(drop_oldest_evicts_the_oldest_ready_event),
        cmocka_unit_test(drop_oldest_makes_room_for_the_bytes_of_the_newcomer),
        cmocka_unit_test(drop_oldest_never_evicts_what_is_in_flight_and_then_drops_the_newcomer),
        cmocka_unit_test(drop_newest_keeps_what_is_there),
        cmocka_unit_test(what_overflow_drops_may_become_a_dead_letter),
        cmocka_unit_test(conflate_replaces_the_ready_event_of_the_same_key),
        cmocka_unit_test(conflate_goes_by_topic_where_there_is_no_key),
        cmocka_unit_test(conflate_leaves_alone_what_is_in_flight_or_delayed),
        cmocka_unit_test(a_full_conflating_queue_drops_its_oldest_for_a_new_key),
        cmocka_unit_test(conflate_keeps_the_last_of_each_of_many_keys),
    };
    return EVB_TEST_MAIN("queue_overflow", tests, argc, argv);
}
