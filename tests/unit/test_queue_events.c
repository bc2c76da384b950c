/* SPDX-License-Identifier: MIT */
/* Events that queues hold: headers, time, events kept beyond their callback, loans, batches, delays. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static struct catcher seen;

/* ---- headers ---- */

static const evb_header three[] = {
    {.name = "traceparent", .value = "00-4bf9", .value_len = 7},
    {.name = "empty", .value = NULL, .value_len = 0},
    {.name = "traceparent", .value = "second", .value_len = 6},
};

static void has_three(const evb_event *ev)
{
    uint32_t len = 77;

    EQ_MEM(evb_event_header(ev, "traceparent", &len), "00-4bf9", 7);
    EQ(len, 7);
    EQ_MEM(evb_event_header(ev, "traceparent", NULL), "00-4bf9", 7);
    CHECK(evb_event_header(ev, "empty", &len) != NULL);
    EQ(len, 0);
    len = 77;
    EQ_PTR(evb_event_header(ev, "missing", &len), NULL);
    EQ_PTR(evb_event_header(ev, "trace", &len), NULL);
    EQ_PTR(evb_event_header(ev, NULL, &len), NULL);
    EQ(len, 77);
}

static int32_t check_three(const evb_event *ev, void *user)
{
    has_three(ev);
    return catch_event(ev, user);
}

TEST(headers_are_found_by_name_in_handlers_listeners_and_pulled_events)
{
    const evb_publish_opts opts = {.headers = three, .header_count = 3};
    evb_sub *pulled, *handled;
    const evb_event *ev;

    kit_open(1);
    catcher_reset(&seen);
    (void)ID(evb_on(kit.bus, "a", check_three, &seen));
    EQ(kit_put_with("a", "listeners only", opts), 1);
    pulled = kit_sub("a", (evb_sub_opts){0});
    handled = kit_sub("a", (evb_sub_opts){.handler = check_three, .user = &seen});
    EQ(kit_put_with("a", "all", opts), 3);
    (void)kit_take_event(pulled, "all", &ev);
    has_three(ev);
    catcher_wait(&seen, 3);
    kit_leave(pulled);
    kit_leave(handled);
    kit_close();
}

TEST(headers_are_copied_before_the_publish_returns)
{
    char name[] = "name", value[] = "value";
    evb_header header = {.name = name, .value = value, .value_len = 5};
    const evb_event *ev;
    evb_sub *sub;
    uint32_t len;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_put_with("a", "x", (evb_publish_opts){.headers = &header, .header_count = 1}), 1);
    memset(name, 'z', 4);
    memset(value, 'z', 5);
    header.value_len = 1;
    (void)kit_take_event(sub, "x", &ev);
    EQ_MEM(evb_event_header(ev, "name", &len), "value", 5);
    EQ(len, 5);
    kit_leave(sub);
    kit_close();
}

TEST(an_event_without_headers_has_none)
{
    const evb_event *ev;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    (void)kit_take_event(sub, "x", &ev);
    EQ_PTR(evb_event_header(ev, "name", NULL), NULL);
    EQ_PTR(evb_event_header(NULL, "name", NULL), NULL);
    kit_leave(sub);
    kit_close();
}

/* ---- time ---- */

static int32_t has_no_time(const evb_event *ev, void *user)
{
    EQ(evb_event_time_ns(ev), 0);
    return catch_event(ev, user);
}

TEST(a_queued_event_knows_when_it_was_published_and_a_listeners_does_not)
{
    int64_t before, first;
    const evb_event *ev;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    EQ(evb_event_time_ns(NULL), 0);
    (void)ID(evb_on(kit.bus, "a", has_no_time, &seen));
    EQ(kit_try("a", "x"), 1);
    EQ(evb_off_all(kit.bus, NULL), 1);
    sub = kit_sub("a", (evb_sub_opts){0});
    before = evb__clock_wall();
    kit_put("a", "y");
    delivery = kit_take_event(sub, "y", &ev);
    first = evb_event_time_ns(ev);
    CHECK(first >= before - SECOND); /* the kernel's coarse clock */
    CHECK(first <= evb__clock_wall());
    OK(evb_nack(sub, delivery, 0)); /* a retry is not published anew */
    (void)kit_take_event(sub, "y", &ev);
    EQ(evb_event_time_ns(ev), first);
    kit_leave(sub);
    kit_close();
}

/* Memory is used again: what the event before had must not show. */
TEST(every_way_to_publish_gives_a_whole_event)
{
    const evb_publish_opts all = {.headers = three, .header_count = 3, .key = "key", .key_len = 3};
    uint64_t last = 0;
    evb_topic *topic;
    evb_sub *sub;

    kit_open(1);
    OK(evb_topic_open(kit.bus, "a.b", &topic));
    sub = kit_sub("a.*", (evb_sub_opts){0});
    for (int way = 0; way < 12; way++) {
        const evb_message batch = {.topic = "a.b", .data = "payload", .size = 7};
        const evb_event *ev;
        void *loan;

        EQ(kit_put_with("a.b", "payload", all), 1);
        OK(evb_ack(sub, kit_take_event(sub, "payload", &ev)));
        switch (way % 6) {
        case 0:
            EQ(evb_publish(kit.bus, "a.b", "payload", 7, NULL), 1);
            break;
        case 1:
            EQ(evb_topic_publish(topic, "payload", 7, NULL), 1);
            break;
        case 2:
            EQ(evb_emit(kit.bus, "a.b", "payload", 7), 1);
            break;
        case 3:
            EQ(evb_topic_emit(topic, "payload", 7), 1);
            break;
        case 4:
            EQ(evb_publish_many(kit.bus, &batch, 1, NULL), 1);
            break;
        default:
            OK(evb_loan(kit.bus, 7, &loan));
            memcpy(loan, "payload", 7);
            EQ(evb_publish_loan(kit.bus, "a.b", loan, 7, NULL), 1);
        }
        OK(evb_release(sub, kit_take_event(sub, "payload", &ev)));
        (void)kit_take_event(sub, "payload", &ev);
        EQ_STR(ev->topic, "a.b");
        EQ(ev->topic_len, 3);
        EQ(ev->key_len, 0);
        EQ_PTR(ev->key, NULL);
        EQ(ev->position, 0);
        EQ(ev->attempt, 1);
        EQ_PTR(evb_event_header(ev, "traceparent", NULL), NULL);
        CHECK(evb_event_time_ns(ev) > 0);
        CHECK(ev->sequence > last);
        last = ev->sequence;
        EQ(evb_sub_purge(sub), 0);
    }
    evb_topic_close(topic);
    kit_leave(sub);
    kit_close();
}

/* ---- kept events ---- */

static const evb_event *kept;

static int32_t keep(const evb_event *ev, void *user)
{
    kept = evb_event_retain(ev);
    return catch_event(ev, user);
}

static void kept_is(const char *data, const char *topic)
{
    CHECK(kept != NULL);
    CHECK(kit_is(kept, data));
    EQ_STR(kept->topic, topic);
    EQ(kept->topic_len, strlen(topic));
}

TEST(an_event_kept_by_a_listener_outlives_the_emitters_bytes)
{
    char data[] = "the emitter's own", topic[] = "a.b", key[] = "key";

    kit_open(1);
    catcher_reset(&seen);
    (void)ID(evb_on(kit.bus, "a.*", keep, &seen));
    EQ(evb_emit(kit.bus, topic, data, 17), 1);
    memset(data, 'x', sizeof data);
    memset(topic, 'x', 3);
    kept_is("the emitter's own", "a.b");
    evb_event_release(kept);
    memcpy(topic, "a.c", 3);
    EQ(evb_publish(kit.bus, topic, "with all", 8,
                   &(evb_publish_opts){.headers = three, .header_count = 3, .key = key, .key_len = 3}),
       1);
    memset(topic, 'x', 3);
    memset(key, 'x', 3);
    kept_is("with all", "a.c");
    has_three(kept);
    EQ(kept->key_len, 3);
    EQ_MEM(kept->key, "key", 3);
    evb_event_release(kept);
    EQ(evb_emit(kit.bus, "a.b", NULL, 0), 1);
    kept_is("", "a.b");
    evb_event_release(kept);
    kit_close();
}

TEST(an_event_kept_by_a_handler_outlives_its_queue_and_its_bus)
{
    const evb_event *again;
    uint64_t sequence;
    evb_sub *sub;

    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a.b", (evb_sub_opts){.handler = keep, .user = &seen});
    EQ(evb_publish(kit.bus, "a.b", "kept", 4,
                   &(evb_publish_opts){.headers = three, .header_count = 3, .ret_sequence = &sequence}),
       1);
    SOON(kit_settled(sub));
    kept_is("kept", "a.b");
    again = evb_event_retain(kept);
    CHECK(again != NULL);
    kit_leave(sub);
    kit_close();
    kept_is("kept", "a.b");
    EQ(kept->sequence, sequence);
    EQ(kept->attempt, 1);
    has_three(kept);
    CHECK(evb_event_time_ns(kept) > 0);
    evb_event_release(kept);
    CHECK(kit_is(again, "kept"));
    evb_event_release(again);
    evb_event_release(NULL);
    EQ_PTR(evb_event_retain(NULL), NULL);
}

TEST(a_pulled_event_may_be_kept_beyond_its_settlement)
{
    const evb_event *ev;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 1});
    kit_put("a", "kept");
    delivery = kit_take_event(sub, "kept", &ev);
    kept = evb_event_retain(ev);
    OK(evb_ack(sub, delivery));
    kit_put("a", "next"); /* its room is free: what is kept takes none */
    OK(evb_ack(sub, kit_take(sub, "next")));
    kit_leave(sub);
    kept_is("kept", "a");
    evb_event_release(kept);
    kit_close();
}

/* ---- loans ---- */

TEST(a_loan_is_delivered_without_a_copy)
{
    const evb_event *ev;
    evb_sub *sub;
    void *loan;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    OK(evb_loan(kit.bus, 100, &loan));
    EQ((uintptr_t)loan % _Alignof(max_align_t), 0);
    memcpy(loan, "in place", 8);
    EQ(evb_publish_loan(kit.bus, "a", loan, 8,
                        &(evb_publish_opts){.key = "k", .key_len = 1, .headers = three, .header_count = 3}),
       1);
    (void)kit_take_event(sub, "in place", &ev);
    EQ_PTR(ev->data, loan);
    EQ_MEM(ev->key, "k", 1);
    has_three(ev);
    kit_leave(sub);
    kit_close();
}

TEST(a_loan_that_is_published_to_listeners_or_to_nobody_is_given_back)
{
    void *loan;

    kit_open(1);
    catcher_reset(&seen);
    OK(evb_loan(kit.bus, 4, &loan));
    memcpy(loan, "none", 4);
    EQ(evb_publish_loan(kit.bus, "a", loan, 4, NULL), 0);
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    OK(evb_loan(kit.bus, 4, &loan));
    memcpy(loan, "some", 4);
    EQ(evb_publish_loan(kit.bus, "a", loan, 4, NULL), 1);
    EQ_STR(catcher_said(&seen), "some");
    kit_close();
}

TEST(a_loan_stays_the_callers_when_its_publish_fails)
{
    evb_sub *sub;
    void *loan;

    kit_open(1);
    OK(evb_loan(kit.bus, 4, &loan));
    memcpy(loan, "data", 4);
    FAILS(evb_publish_loan(kit.bus, "a", loan, 4, &(evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 1});
    kit_put("a", "full");
    FAILS(evb_publish_loan(kit.bus, "a", loan, 4, NULL), EVB_EFULL);
    FAILS(evb_publish_loan(kit.bus, "a..b", loan, 4, NULL), EVB_EINVAL);
    EQ_MEM(loan, "data", 4);
    OK(evb_ack(sub, kit_take(sub, "full")));
    EQ(evb_publish_loan(kit.bus, "a", loan, 4, NULL), 1);
    EQ_STR(kit_rest(sub), "data");
    kit_leave(sub);
    kit_close();
}

TEST(a_loan_may_be_canceled_also_when_its_bus_is_gone)
{
    evb_bus *bus;
    void *loans[3];

    kit_open(1);
    bus = kit.bus;
    for (int i = 0; i < 3; i++)
        OK(evb_loan(bus, (size_t)i * 1000, &loans[i]));
    evb_loan_cancel(bus, loans[0]);
    evb_loan_cancel(bus, NULL);
    evb_loan_cancel(bus, loans[1]);
    kit_close();
    memset(loans[2], 'x', 2000);
    evb_loan_cancel(bus, loans[2]);
}

TEST(only_as_much_as_was_lent_can_be_published)
{
    evb_bus *other;
    evb_sub *sub;
    void *loan;

    kit_open(1);
    OK(evb_bus_create(NULL, &other));
    sub = kit_sub("a", (evb_sub_opts){0});
    OK(evb_loan(kit.bus, 10, &loan));
    CHECK(evb_publish_loan(kit.bus, "a", loan, 11, NULL) < 0);
    FAILS(evb_publish_loan(other, "a", loan, 10, NULL), EVB_EINVAL);
    FAILS(evb_publish_loan(kit.bus, "a", NULL, 0, NULL), EVB_EINVAL);
    EQ(assert_law(sub).enqueued, 0);
    memcpy(loan, "0123456789", 10);
    EQ(evb_publish_loan(kit.bus, "a", loan, 5, NULL), 1);
    EQ_STR(kit_rest(sub), "01234");
    FAILS(evb_loan(kit.bus, (1 << 20) + 1, &loan), EVB_ETOOBIG);
    FAILS(evb_loan(kit.bus, 1, NULL), EVB_EINVAL);
    FAILS(evb_loan(NULL, 1, &loan), EVB_EINVAL);
    kit_leave(sub);
    evb_bus_destroy(other);
    kit_close();
}

/* ---- batches ---- */

TEST(a_batch_arrives_in_order_and_answers_the_sum)
{
    const evb_message batch[] = {
        {.topic = "a.1", .data = "one", .size = 3, .key = "k1", .key_len = 2},
        {.topic = "b.1", .data = "two", .size = 3},
        {.topic = "a.2", .data = NULL, .size = 0, .headers = three, .header_count = 3},
        {.topic = "c", .data = "nobody", .size = 6},
    };
    evb_sub *a, *all;
    const evb_event *ev;

    kit_open(1);
    a = kit_sub("a.*", (evb_sub_opts){0});
    all = kit_sub("*.*", (evb_sub_opts){0});
    EQ(evb_publish_many(kit.bus, batch, 4, &(evb_publish_opts){.key = "not used", .key_len = 8}), 5);
    OK(evb_ack(a, kit_take_event(a, "one", &ev)));
    (void)kit_take_event(a, "", &ev);
    has_three(ev);
    EQ(ev->key_len, 0);
    EQ_STR(ev->topic, "a.2");
    (void)kit_take_event(all, "one", &ev);
    EQ(ev->key_len, 2);
    EQ_MEM(ev->key, "k1", 2);
    (void)kit_take_event(all, "two", &ev);
    EQ_STR(ev->topic, "b.1");
    EQ(ev->key_len, 0);
    (void)kit_take_event(all, "", &ev);
    EQ(evb_publish_many(kit.bus, NULL, 0, NULL), 0);
    kit_leave(a);
    kit_leave(all);
    kit_close();
}

TEST(the_events_of_a_batch_have_rising_sequences)
{
    evb_message batch[50];
    uint64_t last = 0;
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    for (size_t i = 0; i < COUNT(batch); i++)
        batch[i] = (evb_message){.topic = "a", .data = "x", .size = 1};
    EQ(evb_publish_many(kit.bus, batch, COUNT(batch), NULL), COUNT(batch));
    for (size_t i = 0; i < COUNT(batch); i++) {
        const evb_event *ev;

        (void)kit_take_event(sub, "x", &ev);
        CHECK(ev->sequence > last);
        last = ev->sequence;
    }
    kit_leave(sub);
    kit_close();
}

TEST(each_queue_gets_its_part_of_a_batch_in_the_order_of_the_batch)
{
    enum { MANY = 120 };
    static char texts[MANY][16];
    evb_message batch[MANY];
    evb_sub *subs[3];

    kit_open(1);
    for (int i = 0; i < 3; i++)
        subs[i] = kit_sub((const char *[]){"a", ">", "b"}[i], (evb_sub_opts){0});
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%d", i);
        batch[i] = (evb_message){.topic = i * 7 % 3 ? "a" : "b", .data = texts[i], .size = strlen(texts[i])};
    }
    EQ(evb_publish_many(kit.bus, batch, MANY, NULL), 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        evb_sub *other = i * 7 % 3 ? subs[0] : subs[2];

        OK(evb_ack(subs[1], kit_take(subs[1], texts[i])));
        OK(evb_ack(other, kit_take(other, texts[i])));
    }
    for (int i = 0; i < 3; i++) {
        kit_none(subs[i]);
        kit_leave(subs[i]);
    }
    kit_close();
}

/* ---- delays ---- */

TEST(a_delayed_event_reaches_queues_only_and_not_before_its_time)
{
    const evb_event *ev;
    evb_sub *sub;

    kit_open_by_hand();
    catcher_reset(&seen);
    (void)ID(evb_on(kit.bus, "a", catch_event, &seen));
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_put_with("a", "later", (evb_publish_opts){.delay_ns = 100 * MS}), 1);
    EQ(assert_law(sub).delayed, 1);
    EQ(assert_law(sub).ready, 0);
    kit_put_with("a", "now", (evb_publish_opts){0});
    OK(evb_ack(sub, kit_take(sub, "now")));
    kit_pass(98 * MS);
    kit_none(sub);
    kit_pass(4 * MS);
    OK(evb_ack(sub, kit_take_soon(sub, "later", &ev)));
    EQ(assert_law(sub).delayed, 0);
    EQ_STR(catcher_said(&seen), "now");
    kit_leave(sub);
    kit_close();
}

TEST(delayed_events_arrive_in_the_order_of_their_times)
{
    static const struct {
        const char *text;
        int64_t delay;
    } events[] = {{"5", 50}, {"2", 20}, {"9", 90}, {"1", 10}, {"7", 70}, {"hour", 3600000}};
    evb_sub *sub;

    kit_open_by_hand();
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen});
    for (size_t i = 0; i < COUNT(events); i++)
        EQ(kit_put_with("a", events[i].text, (evb_publish_opts){.delay_ns = events[i].delay * MS}), 1);
    EQ(assert_law(sub).delayed, 6);
    kit_pass(30 * MS);
    SOON(catcher_count(&seen) >= 2);
    kit_pass(100 * MS);
    SOON(assert_law(sub).acked == 5);
    EQ_STR(catcher_said(&seen), "1 2 5 7 9");
    EQ(assert_law(sub).delayed, 1);
    kit_pass(HOUR);
    SOON(kit_settled(sub));
    EQ(seen.log[5].attempt, 1);
    kit_leave(sub);
    kit_close();
}

TEST(delayed_events_count_toward_the_capacity)
{
    evb_sub *sub;

    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.capacity = 2});
    EQ(kit_put_with("a", "1", (evb_publish_opts){.delay_ns = INT64_C(87600) * HOUR}), 1); /* ten years */
    EQ(kit_put_with("a", "2", (evb_publish_opts){.delay_ns = 1}), 1);
    EQ(assert_law(sub).delayed, 2); /* however short */
    FAILS(kit_try("a", "3"), EVB_EFULL);
    EQ(evb_sub_purge(sub), 2);
    EQ(assert_law(sub).purged, 2);
    kit_put("a", "4");
    EQ_STR(kit_rest(sub), "4");
    kit_pass(HOUR);
    kit_none(sub);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_found_by_name_in_handlers_listeners_and_pulled_events),
        cmocka_unit_test(headers_are_copied_before_the_publish_returns),
        cmocka_unit_test(an_event_without_headers_has_none),
        cmocka_unit_test(a_queued_event_knows_when_it_was_published_and_a_listeners_does_not),
        cmocka_unit_test(every_way_to_publish_gives_a_whole_event),
        cmocka_unit_test(an_event_kept_by_a_listener_outlives_the_emitters_bytes),
        cmocka_unit_test(an_event_kept_by_a_handler_outlives_its_queue_and_its_bus),
        cmocka_unit_test(a_pulled_event_may_be_kept_beyond_its_settlement),
        cmocka_unit_test(a_loan_is_delivered_without_a_copy),
        cmocka_unit_test(a_loan_that_is_published_to_listeners_or_to_nobody_is_given_back),
        cmocka_unit_test(a_loan_stays_the_callers_when_its_publish_fails),
        cmocka_unit_test(a_loan_may_be_canceled_also_when_its_bus_is_gone),
        cmocka_unit_test(only_as_much_as_was_lent_can_be_published),
        cmocka_unit_test(a_batch_arrives_in_order_and_answers_the_sum),
        cmocka_unit_test(the_events_of_a_batch_have_rising_sequences),
        cmocka_unit_test(each_queue_gets_its_part_of_a_batch_in_the_order_of_the_batch),
        cmocka_unit_test(a_delayed_event_reaches_queues_only_and_not_before_its_time),
        cmocka_unit_test(delayed_events_arrive_in_the_order_of_their_times),
        cmocka_unit_test(delayed_events_count_toward_the_capacity),
    };
    return EVB_TEST_MAIN("queue_events", tests, argc, argv);
}
