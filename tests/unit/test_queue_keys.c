/* SPDX-License-Identifier: MIT */
/* Events with a key: one of a key at a time, in order; all other keys go on; keys take turns. */
#include "queue_keyed.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

static struct catcher seen, others;
static struct gate gate = GATE_SHUT;
static evb_sub *sub;

static void open_pulled(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("k", opts);
}

static void open_working(uint32_t workers, evb_sub_opts opts)
{
    kit_open(workers);
    gate_shut(&gate);
    catcher_reset(&seen);
    catcher_reset(&others);
    if (opts.handler == NULL) opts.handler = catch_event;
    if (opts.user == NULL) opts.user = &seen;
    sub = kit_sub("k", opts);
}

static void end(void)
{
    kit_leave(sub);
    kit_close();
}

/* ---- one at a time, and nobody else waits ---- */

TEST(while_an_event_is_in_flight_those_of_its_key_wait_and_all_others_go_on)
{
    uint64_t a, b;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 A3 B1 B2 C1");
    a = kit_take(sub, "A1");
    b = kit_take(sub, "B1");
    (void)kit_take(sub, "C1");
    kit_none(sub);
    EQ(assert_law(sub).in_flight, 3);
    EQ(assert_law(sub).ready, 3);
    OK(evb_ack(sub, b));
    (void)kit_take(sub, "B2");
    kit_none(sub);
    OK(evb_ack(sub, a));
    a = kit_take(sub, "A2");
    kit_none(sub);
    OK(evb_ack(sub, a));
    (void)kit_take(sub, "A3");
    end();
}

TEST(events_without_a_key_wait_for_nobody)
{
    uint64_t one;

    open_pulled((evb_sub_opts){0});
    put("A1 -1 A2 -2 A3 -3");
    (void)kit_take(sub, "A1");
    one = kit_take(sub, "-1");
    (void)kit_take(sub, "-2");
    (void)kit_take(sub, "-3");
    kit_none(sub);
    OK(evb_release(sub, one));
    (void)kit_take(sub, "-1");
    kit_none(sub);
    end();
}

TEST(what_came_before_the_first_key_is_handed_out_before_it)
{
    open_pulled((evb_sub_opts){0});
    put("-1 -2");
    OK(evb_release(sub, kit_take(sub, "-1")));
    put("A1 -3 A2");
    EQ_STR(kit_rest(sub), "-1 -2 A1 -3 A2");
    end();
}

TEST(as_many_handlers_run_as_there_are_keys_and_never_two_of_one)
{
    open_working(4, (evb_sub_opts){.concurrency = 4});
    seen.gate = &gate;
    put("A1 A2 B1 A3 B2 C1");
    gate_wait_held(&gate, 3);
    EQ(assert_law(sub).in_flight, 3);
    EQ(assert_law(sub).ready, 3);
    put("D1");
    gate_wait_held(&gate, 4);
    EQ(catcher_count(&seen), 4);
    for (int i = 0; i < 4; i++)
        EQ(seen.log[i].data[1], '1');
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 7);
    EQ(seen.most_inside, 4);
    end();
}

TEST(one_key_keeps_four_handlers_from_running_at_once)
{
    char text[16], expected[600] = "";

    open_working(4, (evb_sub_opts){.concurrency = 4});
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "A%d", i);
        (void)snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%s",
                       i == 0 ? "" : " ", text);
        put(text);
    }
    SOON(kit_settled(sub));
    EQ(seen.most_inside, 1);
    EQ_STR(catcher_said(&seen), expected);
    end();
}

TEST(a_key_is_taken_for_all_members_of_the_group)
{
    evb_sub *puller, *dispatcher;

    kit_open(1);
    gate_shut(&gate);
    catcher_reset(&seen);
    catcher_reset(&others);
    seen.gate = &gate;
    sub = kit_sub("k", (evb_sub_opts){.name = "group", .handler = catch_event, .user = &seen});
    puller = kit_sub("k", (evb_sub_opts){.name = "group"});
    dispatcher = kit_sub(
        "k",
        (evb_sub_opts){.name = "group", .handler = catch_event, .user = &others, .flags = EVB_SUB_DISPATCH});
    put("A1");
    gate_wait_held(&gate, 1);
    put("A2 B1 B2 C1");
    (void)kit_take(puller, "B1");
    EQ(evb_sub_dispatch(dispatcher, 0), 1);
    FAILS(evb_sub_dispatch(dispatcher, 0), EVB_EEMPTY);
    EQ_STR(catcher_said(&others), "C1");
    kit_none(puller);
    kit_leave(puller); /* B1 goes back, to the head of its key */
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "A1 B1 A2 B2");
    kit_leave(dispatcher);
    end();
}

TEST(each_subscription_has_its_own_keys)
{
    evb_sub *other;

    open_pulled((evb_sub_opts){0});
    other = kit_sub("k", (evb_sub_opts){0});
    EQ(kit_put_with("k", "A1", (evb_publish_opts){.key = "A", .key_len = 1}), 2);
    EQ(kit_put_with("k", "A2", (evb_publish_opts){.key = "A", .key_len = 1}), 2);
    (void)kit_take(sub, "A1");
    EQ_STR(kit_rest(other), "A1 A2");
    kit_none(sub);
    kit_leave(other);
    end();
}

/* ---- turns ---- */

TEST(keys_take_turns)
{
    open_pulled((evb_sub_opts){0});
    put("A1 A2 A3 A4 B1 C1 B2 -1");
    EQ_STR(kit_rest(sub), "A1 B1 C1 -1 A2 B2 A3 A4");
    end();
}

TEST(keys_take_turns_when_one_handler_works_through_a_backlog)
{
    uint32_t at = 0;

    open_working(1, (evb_sub_opts){0});
    seen.gate = &gate;
    put("A1");
    gate_wait_held(&gate, 1);
    for (uint32_t i = 0; i < 100; i++)
        put("A2");
    put("B1");
    gate_open(&gate);
    catcher_wait(&seen, 102); /* nobody looks into the queue meanwhile */
    SOON(kit_settled(sub));
    while (seen.log[at].data[0] != 'B')
        at++;
    CHECK(at <= 33); /* not behind all of the other key: 32 may pass, as lanes.h says */
    end();
}

TEST(keys_take_turns_when_they_begin_with_a_backlog)
{
    open_working(1, (evb_sub_opts){.flags = EVB_SUB_PAUSED});
    put("A1 A2 A3 B1 C1 C2");
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "A1 B1 C1 A2 C2 A3");
    end();
}

/* ---- order through failures ---- */

TEST(a_key_waits_for_the_retry_of_its_event)
{
    const evb_event *ev;
    uint64_t a;

    kit_open_by_hand();
    sub = kit_sub("k", (evb_sub_opts){0});
    put("A1 A2 B1 A3");
    OK(evb_nack(sub, kit_take(sub, "A1"), SECOND));
    EQ_STR(kit_rest(sub), "B1");
    EQ(assert_law(sub).delayed, 1);
    EQ(assert_law(sub).ready, 2);
    put("A4 B2");
    EQ_STR(kit_rest(sub), "B2");
    kit_pass(SECOND);
    a = kit_take_soon(sub, "A1", &ev);
    EQ(ev->attempt, 2);
    kit_none(sub);
    OK(evb_nack(sub, a, SECOND));
    kit_none(sub);
    kit_pass(SECOND);
    OK(evb_ack(sub, kit_take_soon(sub, "A1", &ev)));
    EQ_STR(kit_rest(sub), "A2 A3 A4");
    end();
}

TEST(handlers_keep_the_order_of_a_key_through_its_retries)
{
    static const int32_t answers[] = {EVB_EIO, EVB_NACK, EVB_EIO};

    open_working(2, (evb_sub_opts){.retry = {.base_ns = 1, .cap_ns = 1}});
    seen.answers = answers;
    seen.answer_count = COUNT(answers);
    put("A1 A2 A3");
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "A1 A1 A1 A1 A2 A3");
    EQ(assert_law(sub).acked, 3);
    end();
}

TEST(failed_without_a_delay_an_event_waits_its_turn_and_still_leads_its_key)
{
    const evb_event *ev;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 B1 C1");
    OK(evb_nack(sub, kit_take(sub, "A1"), 0));
    (void)kit_take(sub, "B1");
    (void)kit_take(sub, "C1");
    OK(evb_ack(sub, kit_take_event(sub, "A1", &ev)));
    (void)kit_take(sub, "A2");
    end();
}

TEST(what_is_released_comes_next_with_the_same_attempt)
{
    const evb_event *ev;
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 B1");
    OK(evb_release(sub, kit_take(sub, "A1")));
    a = kit_take_event(sub, "A1", &ev);
    EQ(ev->attempt, 1);
    EQ(ev->flags, EVB_EVENT_REDELIVERED);
    (void)kit_take(sub, "B1");
    kit_none(sub);
    OK(evb_release(sub, a));
    (void)kit_take(sub, "A1");
    kit_none(sub);
    end();
}

TEST(after_a_dead_letter_the_next_of_its_key_goes_on)
{
    open_pulled((evb_sub_opts){.retry = {.max_attempts = 2}});
    put("A1 A2 A3 B1");
    OK(evb_reject(sub, kit_take(sub, "A1"), 1, NULL));
    (void)kit_take(sub, "B1");
    OK(evb_nack(sub, kit_take(sub, "A2"), 0));
    OK(evb_nack(sub, kit_take(sub, "A2"), 0));
    EQ_STR(kit_rest(sub), "A3");
    EQ_STR(kit_dead(sub), "A1 A2");
    end();
}

TEST(a_redriven_letter_goes_behind_all_of_its_key)
{
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 A3");
    OK(evb_reject(sub, kit_take(sub, "A1"), 1, NULL));
    a = kit_take(sub, "A2");
    EQ(evb_dlq_redrive(sub, 1), 1);
    kit_none(sub);
    put("A4");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A3 A1 A4");
    end();
}

static struct {
    uint64_t delivery;
    EVB__ATOMIC(uint32_t) done;
} deferred;

/* A1 is deferred, the others are caught. */
static int32_t defer_first(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    if (!kit_is(ev, "A1")) return EVB_OK;
    OK(evb_defer(ev, &deferred.delivery));
    evb__st_rel(&deferred.done, 1); /* pairs with the test's look */
    return EVB_DEFER;
}

TEST(a_deferred_event_keeps_its_key_until_it_is_settled)
{
    for (uint32_t concurrency = 1; concurrency <= 2; concurrency++) {
        evb__st_rlx(&deferred.done, 0);
        open_working(2, (evb_sub_opts){.handler = defer_first, .concurrency = concurrency});
        put("A1 A2 B1");
        SOON(evb__ld_acq(&deferred.done) != 0 && assert_law(sub).acked == 1); /* pairs with defer_first */
        put("B2");
        SOON(assert_law(sub).acked == 2);
        EQ(assert_law(sub).in_flight, 1);
        EQ(assert_law(sub).ready, 1);
        OK(evb_ack(sub, deferred.delivery));
        SOON(kit_settled(sub));
        EQ_STR(catcher_said(&seen), "A1 B1 B2 A2");
        end();
    }
}

TEST(an_event_whose_lease_has_run_out_comes_before_the_others_of_its_key)
{
    const evb_event *ev;
    uint64_t late, a;

    kit_open_by_hand();
    sub = kit_sub("k",
                  (evb_sub_opts){.lease_ns = SECOND,
                                 .retry = {.base_ns = SECOND, .cap_ns = SECOND, .jitter = EVB_JITTER_NONE}});
    put("A1 A2 B1");
    late = kit_take(sub, "A1");
    OK(evb_ack(sub, kit_take(sub, "B1")));
    kit_pass(SECOND);
    SOON(assert_law(sub).delayed == 1);
    kit_none(sub);
    kit_pass(SECOND);
    a = kit_take_soon(sub, "A1", &ev);
    EQ(ev->attempt, 2);
    FAILS(evb_ack(sub, late), EVB_ESTALE);
    kit_none(sub);
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(what_a_leaver_held_comes_before_the_others_of_its_key)
{
    evb_sub *leaver;

    open_pulled((evb_sub_opts){.name = "group"});
    leaver = kit_sub("k", (evb_sub_opts){.name = "group"});
    put("A1 A2 B1 B2 C1");
    (void)kit_take(leaver, "A1");
    (void)kit_take(leaver, "B1");
    kit_leave(leaver);
    EQ_STR(kit_rest(sub), "A1 B1 C1 A2 B2");
    end();
}

/* ---- at most once ---- */

TEST(at_most_once_a_key_is_taken_until_the_handler_has_returned)
{
    open_working(3, (evb_sub_opts){.concurrency = 3, .flags = EVB_SUB_AT_MOST_ONCE});
    seen.gate = &gate;
    seen.answer = EVB_NACK;
    put("A1 A2 B1 B2 A3");
    gate_wait_held(&gate, 2);
    EQ(assert_law(sub).acked, 2); /* settled when they were handed out */
    EQ(assert_law(sub).ready, 3);
    EQ(evb_sub_purge(sub), 3);
    put("A4");
    EQ(assert_law(sub).ready, 1);
    EQ(catcher_count(&seen), 2);
    gate_open(&gate);
    SOON(assert_law(sub).acked == 3);
    catcher_wait(&seen, 3);
    EQ_STR(seen.log[2].data, "A4");
    end();
}

TEST(at_most_once_a_pulled_event_keeps_nobody_waiting)
{
    open_pulled((evb_sub_opts){.flags = EVB_SUB_AT_MOST_ONCE});
    put("A1 A2 B1 A3");
    (void)kit_take(sub, "A1");
    (void)kit_take(sub, "A2");
    (void)kit_take(sub, "B1");
    (void)kit_take(sub, "A3");
    end();
}

/* ---- removed from the middle ---- */

TEST(a_purge_removes_those_that_wait_and_leaves_the_key_to_the_one_in_flight)
{
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 B1 A3");
    a = kit_take(sub, "A1");
    EQ(evb_sub_purge(sub), 3);
    put("A4 B2");
    EQ_STR(kit_rest(sub), "B2");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A4");
    end();
}

TEST(a_purge_of_an_event_that_waits_for_its_retry_opens_its_key)
{
    open_pulled((evb_sub_opts){0});
    put("A1 A2");
    OK(evb_nack(sub, kit_take(sub, "A1"), HOUR));
    kit_none(sub);
    EQ(evb_sub_purge(sub), 2);
    put("A3");
    EQ_STR(kit_rest(sub), "A3");
    end();
}

TEST(overflow_takes_the_oldest_whether_it_leads_or_waits)
{
    uint64_t a;

    open_pulled((evb_sub_opts){.capacity = 3, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    put("A1 A2 A3 A4"); /* A1 led */
    a = kit_take(sub, "A2");
    put("A5"); /* A3 waited */
    kit_none(sub);
    put("B1"); /* A4 did */
    (void)kit_take(sub, "B1");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A5");
    EQ(assert_law(sub).dropped, 3);
    end();
}

TEST(a_newer_one_of_a_key_replaces_the_one_that_waits)
{
    uint64_t a;

    open_pulled((evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    put("A1 B1 A2");
    a = kit_take(sub, "B1");
    OK(evb_release(sub, a));
    EQ_STR(kit_rest(sub), "B1 A2");
    put("A3");
    a = kit_take(sub, "A3");
    put("A4 A5 B2 A6");
    EQ_STR(kit_rest(sub), "B2");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A6");
    EQ(assert_law(sub).conflated, 3);
    end();
}

/* ---- in batches, by hand ---- */

/* What evb_sub_take brings, up to max: "a b c". */
static const char *take(uint32_t max)
{
    static char text[256];
    union {
        evb_packed head;
        char bytes[4096];
    } buf;
    const char *at = buf.bytes;
    int32_t n = evb_sub_take(sub, buf.bytes, sizeof buf.bytes, max);

    text[0] = '\0';
    if (n < 0) FAILS(n, EVB_EEMPTY);
    for (int32_t i = 0; i < n; i++) {
        evb_packed head;
        size_t len = strlen(text);

        memcpy(&head, at, sizeof head);
        (void)snprintf(text + len, sizeof text - len, "%s%.*s", len == 0 ? "" : " ", (int)head.data_len,
                       at + sizeof head + head.topic_len + 1 + head.key_len);
        at += head.size;
    }
    return text;
}

TEST(a_batch_has_all_of_a_key_in_order_and_none_that_another_one_keeps_waiting)
{
    uint64_t b;

    open_pulled((evb_sub_opts){0});
    put("A1 A2 A3 B1 B2");
    EQ_STR(take(2), "A1 B1");
    EQ_STR(take(1), "A2");
    b = kit_take(sub, "B2");
    put("B3 C1");
    EQ_STR(take(10), "A3 C1");
    EQ_STR(take(10), "");
    OK(evb_ack(sub, b));
    EQ_STR(take(10), "B3");
    end();
}

static void dispatch(void *arg)
{
    EQ(evb_sub_dispatch(arg, 1), 1);
}

TEST(those_who_dispatch_do_not_meet_in_one_key)
{
    struct sleeper sleeper;

    open_working(1, (evb_sub_opts){.flags = EVB_SUB_DISPATCH});
    seen.gate = &gate;
    put("A1 A2 B1");
    sleeper_start(&sleeper, dispatch, sub);
    gate_wait_held(&gate, 1);
    seen.gate = NULL;
    EQ(evb_sub_dispatch(sub, 0), 1);
    FAILS(evb_sub_dispatch(sub, 0), EVB_EEMPTY);
    gate_open(&gate);
    sleeper_join(&sleeper);
    EQ(evb_sub_dispatch(sub, 0), 1);
    EQ_STR(catcher_said(&seen), "A1 B1 A2");
    end();
}

/* ---- somebody hears of a key that is free again ---- */

static void pull(void *arg)
{
    const evb_event *ev;
    uint64_t delivery;

    OK(evb_sub_next(arg, EVB_FOREVER, &delivery, &ev));
    CHECK(kit_is(ev, "A2"));
    OK(evb_ack(arg, delivery));
}

TEST(a_sleeping_puller_wakes_up_when_a_key_is_free_again)
{
    struct sleeper sleeper;
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1 A2");
    a = kit_take(sub, "A1");
    sleeper_start(&sleeper, pull, sub);
    CHECK(!sleeper_is_over(&sleeper));
    OK(evb_ack(sub, a));
    sleeper_join(&sleeper);
    end();
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

TEST(the_descriptor_tells_of_a_key_that_is_free_again)
{
    uint64_t a;
    int fd;

    open_pulled((evb_sub_opts){0});
    fd = (int)ID(evb_sub_fd(sub));
    put("A1 A2");
    CHECK(readable(fd));
    a = kit_take(sub, "A1");
    kit_none(sub);
    CHECK(!readable(fd));
    put("A3");
    CHECK(!readable(fd)); /* nothing that could be taken */
    OK(evb_ack(sub, a));
    CHECK(readable(fd));
    EQ_STR(kit_rest(sub), "A2 A3");
    end();
}

TEST(a_pause_holds_a_key_that_becomes_free)
{
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1 A2");
    a = kit_take(sub, "A1");
    OK(evb_sub_pause(sub));
    OK(evb_ack(sub, a));
    kit_none(sub);
    OK(evb_sub_resume(sub));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

static void drain(void *arg)
{
    (void)arg;
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
}

TEST(a_drain_waits_for_those_that_wait_behind_their_key)
{
    struct sleeper sleeper;

    open_working(2, (evb_sub_opts){.concurrency = 2});
    seen.gate = &gate;
    put("A1 A2 A3 B1");
    gate_wait_held(&gate, 2);
    sleeper_start(&sleeper, drain, NULL);
    CHECK(!sleeper_is_over(&sleeper));
    gate_open(&gate);
    sleeper_join(&sleeper);
    EQ(assert_law(sub).acked, 4);
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_an_event_is_in_flight_those_of_its_key_wait_and_all_others_go_on),
        cmocka_unit_test(events_without_a_key_wait_for_nobody),
        cmocka_unit_test(what_came_before_the_first_key_is_handed_out_before_it),
        cmocka_unit_test(as_many_handlers_run_as_there_are_keys_and_never_two_of_one),
        cmocka_unit_test(one_key_keeps_four_handlers_from_running_at_once),
        cmocka_unit_test(a_key_is_taken_for_all_members_of_the_group),
        cmocka_unit_test(each_subscription_has_its_own_keys),
        cmocka_unit_test(keys_take_turns),
        cmocka_unit_test(keys_take_turns_when_one_handler_works_through_a_backlog),
        cmocka_unit_test(keys_take_turns_when_they_begin_with_a_backlog),
        cmocka_unit_test(a_key_waits_for_the_retry_of_its_event),
        cmocka_unit_test(handlers_keep_the_order_of_a_key_through_its_retries),
        cmocka_unit_test(failed_without_a_delay_an_event_waits_its_turn_and_still_leads_its_key),
        cmocka_unit_test(what_is_released_comes_next_with_the_same_attempt),
        cmocka_unit_test(after_a_dead_letter_the_next_of_its_key_goes_on),
        cmocka_unit_test(a_redriven_letter_goes_behind_all_of_its_key),
        cmocka_unit_test(a_deferred_event_keeps_its_key_until_it_is_settled),
        cmocka_unit_test(an_event_whose_lease_has_run_out_comes_before_the_others_of_its_key),
        cmocka_unit_test(what_a_leaver_held_comes_before_the_others_of_its_key),
        cmocka_unit_test(at_most_once_a_key_is_taken_until_the_handler_has_returned),
        cmocka_unit_test(at_most_once_a_pulled_event_keeps_nobody_waiting),
        cmocka_unit_test(a_purge_removes_those_that_wait_and_leaves_the_key_to_the_one_in_flight),
        cmocka_unit_test(a_purge_of_an_event_that_waits_for_its_retry_opens_its_key),
        cmocka_unit_test(overflow_takes_the_oldest_whether_it_leads_or_waits),
        cmocka_unit_test(a_newer_one_of_a_key_replaces_the_one_that_waits),
        cmocka_unit_test(a_batch_has_all_of_a_key_in_order_and_none_that_another_one_keeps_waiting),
        cmocka_unit_test(those_who_dispatch_do_not_meet_in_one_key),
        cmocka_unit_test(a_sleeping_puller_wakes_up_when_a_key_is_free_again),
        cmocka_unit_test(the_descriptor_tells_of_a_key_that_is_free_again),
        cmocka_unit_test(a_pause_holds_a_key_that_becomes_free),
        cmocka_unit_test(a_drain_waits_for_those_that_wait_behind_their_key),
    };
    return EVB_TEST_MAIN("queue_keys", tests, argc, argv);
}
