/* SPDX-License-Identifier: MIT */
/* Times to live: what is too old is never handed out, wherever in the queue it was. */
#include "queue_keyed.h"

#include <string.h>

static struct catcher seen;
static struct gate gate = GATE_SHUT;
static evb_sub *sub;

/* One worker, which is all the timer needs; the clock stands still until it is told. */
static void open_pulled(evb_sub_opts opts)
{
    kit_open_by_hand();
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k", opts);
}

static void open_working(evb_sub_opts opts)
{
    kit_open_by_hand_with(2);
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    gate_shut(&gate);
    catcher_reset(&seen);
    if (opts.handler == NULL) opts.handler = catch_event;
    opts.user = &seen;
    sub = kit_sub("k", opts);
}

static void end(void)
{
    kit_leave(sub);
    kit_close();
}

static void put_for(const char *texts, int64_t ttl_ns)
{
    put_with(texts, (evb_publish_opts){.ttl_ns = ttl_ns});
}

static bool expired(uint64_t n)
{
    return assert_law(sub).expired == n;
}

/* ---- where it lies ---- */

TEST(an_event_expires_at_the_head_in_the_middle_and_at_the_tail)
{
    open_pulled((evb_sub_opts){0});
    put_for("-1", SECOND);
    put("-2");
    put_for("-3", SECOND);
    put("-4");
    put_for("-5", SECOND);
    kit_pass(SECOND - 1);
    EQ(assert_law(sub).ready, 5); /* never early */
    kit_pass(1);
    SOON(expired(3)); /* nobody has tried to take one */
    EQ(assert_law(sub).ready, 2);
    EQ_STR(kit_rest(sub), "-2 -4");
    EQ(assert_law(sub).dead_lettered, 0);
    end();
}

TEST(each_expires_at_its_own_time_whatever_the_order)
{
    open_pulled((evb_sub_opts){0});
    put_for("-3", 3 * SECOND);
    put_for("-1", 1 * SECOND);
    put_for("-4", 4 * SECOND);
    put_for("-2", 2 * SECOND);
    for (uint64_t n = 1; n <= 3; n++) {
        kit_pass(SECOND);
        SOON(expired(n));
    }
    EQ_STR(kit_rest(sub), "-4");
    end();
}

TEST(an_event_that_is_too_old_is_not_handed_out_even_when_the_timer_is_late)
{
    evb_packed buf[8];

    open_pulled((evb_sub_opts){0});
    put_for("-1", SECOND);
    evb_test_clock_advance(SECOND); /* the worker is not given a chance to look */
    kit_none(sub);
    EQ(assert_law(sub).expired, 1);
    put_for("-2", SECOND);
    put("-3");
    evb_test_clock_advance(SECOND);
    EQ(evb_sub_take(sub, buf, sizeof buf, 10), 1);
    EQ(assert_law(sub).expired, 2);
    put_for("-4", SECOND);
    put("-5");
    evb_test_clock_advance(SECOND);
    EQ_STR(kit_rest(sub), "-5");
    EQ(assert_law(sub).expired, 3);
    end();
}

TEST(a_handler_never_gets_an_event_that_is_too_old)
{
    for (uint32_t concurrency = 1; concurrency <= 2; concurrency++) {
        open_working((evb_sub_opts){.concurrency = concurrency});
        seen.gate = &gate;
        put("-1 -2");
        gate_wait_held(&gate, concurrency);
        put_for("-3 -4", SECOND);
        put_for("-5", 3 * SECOND);
        evb_test_clock_advance(2 * SECOND);
        gate_open(&gate);
        SOON(kit_settled(sub));
        EQ(assert_law(sub).expired, 2);
        EQ(catcher_count(&seen), 3);
        EQ_STR(seen.log[2].data, "-5");
        end();
    }
}

TEST(dispatch_passes_over_what_is_too_old)
{
    open_working((evb_sub_opts){.flags = EVB_SUB_DISPATCH});
    put_for("-1", SECOND);
    put("-2");
    evb_test_clock_advance(SECOND);
    EQ(evb_sub_dispatch(sub, 0), 1);
    EQ_STR(catcher_said(&seen), "-2");
    EQ(assert_law(sub).expired, 1);
    end();
}

TEST(a_delayed_event_expires_before_it_is_due)
{
    open_pulled((evb_sub_opts){0});
    put_with("-1", (evb_publish_opts){.ttl_ns = SECOND, .delay_ns = 3 * SECOND});
    put_with("-2", (evb_publish_opts){.ttl_ns = 3 * SECOND, .delay_ns = 2 * SECOND});
    put_with("-3", (evb_publish_opts){.ttl_ns = 2 * SECOND, .delay_ns = 2 * SECOND});
    EQ(assert_law(sub).delayed, 3);
    kit_pass(SECOND);
    SOON(expired(1));
    kit_pass(SECOND);
    SOON(expired(2));
    EQ(assert_law(sub).ready, 1);
    kit_pass(SECOND);
    SOON(expired(3)); /* the time runs while it is delayed */
    kit_none(sub);
    end();
}

TEST(a_retry_keeps_the_time_to_live_and_expires_while_it_waits)
{
    const evb_event *ev;

    open_pulled((evb_sub_opts){0});
    put_for("-1", 3 * SECOND);
    put_for("-2", 3 * SECOND);
    kit_pass(2 * SECOND);
    OK(evb_nack(sub, kit_take(sub, "-1"), HOUR));
    OK(evb_nack(sub, kit_take(sub, "-2"), SECOND / 2));
    EQ(assert_law(sub).delayed, 2);
    kit_pass(SECOND / 2);
    OK(evb_nack(sub, kit_take_soon(sub, "-2", &ev), 0));
    EQ(ev->attempt, 2);
    kit_pass(SECOND / 2);
    SOON(expired(2));
    EQ(assert_law(sub).delayed, 0);
    kit_none(sub);
    EQ(assert_law(sub).dead_lettered, 0);
    end();
}

TEST(in_flight_nothing_expires)
{
    uint64_t one, two, three;

    open_pulled((evb_sub_opts){0});
    put_for("-1 -2 -3", SECOND);
    one = kit_take(sub, "-1");
    two = kit_take(sub, "-2");
    three = kit_take(sub, "-3");
    kit_pass(20 * SECOND);
    EQ(assert_law(sub).in_flight, 3);
    OK(evb_ack(sub, one));
    EQ(assert_law(sub).acked, 1);
    OK(evb_release(sub, two)); /* not in flight any more */
    kit_none(sub);
    SOON(expired(1));
    OK(evb_nack(sub, three, 0));
    kit_none(sub);
    SOON(expired(2));
    FAILS(evb_ack(sub, two), EVB_ESTALE);
    end();
}

TEST(a_leaver_s_events_expire_when_they_are_too_old)
{
    evb_sub *leaver;

    open_pulled((evb_sub_opts){.name = "group"});
    leaver = kit_sub("k", (evb_sub_opts){.name = "group"});
    put_for("-1 A1", SECOND);
    put("A2");
    (void)kit_take(leaver, "-1");
    (void)kit_take(leaver, "A1");
    kit_pass(2 * SECOND);
    EQ(assert_law(sub).in_flight, 2);
    kit_leave(leaver);
    EQ_STR(kit_rest(sub), "A2");
    SOON(expired(2));
    end();
}

/* ---- with keys ---- */

TEST(behind_its_key_an_event_expires_and_the_order_of_the_others_stays)
{
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    put("A1");
    put_for("A2", SECOND);
    put("A3");
    put_for("A4", SECOND);
    put_for("A5", HOUR);
    put_for("A6", SECOND);
    a = kit_take(sub, "A1");
    kit_pass(SECOND);
    SOON(expired(3));
    kit_none(sub);
    put("A7");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A3 A5 A7");
    end();
}

TEST(a_key_is_free_when_the_event_that_leads_it_expires)
{
    open_pulled((evb_sub_opts){0});
    put_for("A1", SECOND);
    put("A2");
    put_for("B1", SECOND);
    OK(evb_nack(sub, kit_take(sub, "A1"), HOUR)); /* A2 waits for the retry */
    OK(evb_release(sub, kit_take(sub, "B1")));
    put("B2");
    kit_pass(SECOND);
    SOON(expired(2));
    EQ_STR(kit_rest(sub), "A2 B2");
    end();
}

/* ---- whose time it is ---- */

TEST(the_queue_s_time_is_every_event_s)
{
    evb_message msgs[] = {{.topic = "k", .data = "-3", .size = 2}, {.topic = "k", .data = "-4", .size = 2}};
    evb_topic *topic;

    open_pulled((evb_sub_opts){.ttl_ns = SECOND});
    OK(evb_topic_open(kit.bus, "k", &topic));
    put("-1 A1");
    EQ(evb_topic_publish(topic, "-2", 2, NULL), 1);
    EQ(evb_publish_many(kit.bus, msgs, COUNT(msgs), NULL), 2);
    kit_put("k", "-5"); /* without options */
    evb_topic_close(topic);
    kit_pass(SECOND);
    SOON(expired(6));
    end();
}

TEST(the_shorter_of_the_two_times_holds)
{
    open_pulled((evb_sub_opts){.ttl_ns = 2 * SECOND});
    put_for("-1", SECOND);
    put_for("-2", HOUR);
    put("-3");
    kit_pass(SECOND);
    SOON(expired(1));
    kit_pass(SECOND);
    SOON(expired(3));
    end();
}

TEST(each_queue_has_its_own_time)
{
    evb_sub *other;

    open_pulled((evb_sub_opts){.ttl_ns = SECOND});
    other = kit_sub("k", (evb_sub_opts){0});
    EQ(kit_try("k", "x"), 2);
    kit_pass(SECOND);
    SOON(expired(1));
    EQ_STR(kit_rest(other), "x");
    kit_leave(other);
    end();
}

TEST(the_time_of_many_messages_is_their_publish_s)
{
    evb_message msgs[] = {{.topic = "k", .data = "-1", .size = 2},
                          {.topic = "k", .data = "A1", .size = 2, .key = "A", .key_len = 1}};

    open_pulled((evb_sub_opts){0});
    EQ(evb_publish_many(kit.bus, msgs, COUNT(msgs), &(evb_publish_opts){.ttl_ns = SECOND}), 2);
    put("A2");
    kit_pass(SECOND);
    SOON(expired(2));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(the_longest_times_are_for_ever)
{
    open_pulled((evb_sub_opts){.ttl_ns = INT64_MAX});
    put("-1");
    put_for("-2", INT64_MAX);
    put_for("-3", INT64_MAX - 1);
    kit_pass(1000 * HOUR);
    EQ_STR(kit_rest(sub), "-1 -2 -3");
    end();
}

TEST(negative_times_are_refused)
{
    evb_sub *none = NULL;

    open_pulled((evb_sub_opts){0});
    FAILS(kit_put_with("k", "x", (evb_publish_opts){.ttl_ns = -1}), EVB_EINVAL);
    FAILS(kit_put_with("k", "x", (evb_publish_opts){.ttl_ns = INT64_MIN}), EVB_EINVAL);
    FAILS(evb_subscribe(kit.bus, "k", &(evb_sub_opts){.ttl_ns = -1}, &none), EVB_EINVAL);
    EQ_PTR(none, NULL);
    end();
}

TEST(members_of_a_group_must_agree_on_the_time)
{
    evb_sub *none = NULL;

    open_pulled((evb_sub_opts){.name = "group", .ttl_ns = SECOND});
    FAILS(evb_subscribe(kit.bus, "k", &(evb_sub_opts){.name = "group"}, &none), EVB_ECONFLICT);
    EQ_PTR(none, NULL);
    end();
}

/* ---- dead letters ---- */

TEST(what_expires_becomes_a_dead_letter_when_that_is_asked_for)
{
    struct letter letters[3];

    open_pulled((evb_sub_opts){.flags = EVB_SUB_DEAD_LETTER_EXPIRED});
    put_for("-1", SECOND);
    put_for("A1", SECOND);
    put_with("-2", (evb_publish_opts){.ttl_ns = SECOND, .delay_ns = HOUR});
    OK(evb_nack(sub, kit_take(sub, "-1"), HOUR));
    kit_pass(SECOND);
    SOON(evb_dlq_count(sub) == 3);
    EQ(kit_letters(sub, letters, 3), 3);
    for (int i = 0; i < 3; i++) {
        bool tried = strcmp(letters[i].event.data, "-1") == 0;

        EQ_STR(letters[i].reason, "expired");
        EQ(letters[i].death.error_code, EVB_ETIMEDOUT);
        EQ(letters[i].death.attempts, tried ? 1 : 0);
        EQ(letters[i].death.times, 1);
        CHECK(!letters[i].has_text);
    }
    EQ(assert_law(sub).expired, 0); /* counted once */
    EQ(assert_law(sub).dead_lettered, 3);
    end();
}

TEST(a_dead_letter_does_not_expire)
{
    open_pulled((evb_sub_opts){.ttl_ns = SECOND});
    put_for("-1", SECOND);
    OK(evb_reject(sub, kit_take(sub, "-1"), 1, NULL));
    kit_pass(HOUR);
    EQ_STR(kit_dead(sub), "-1");
    EQ(assert_law(sub).expired, 0);
    end();
}

TEST(a_redriven_letter_has_its_whole_time_again)
{
    for (int own = 0; own < 2; own++) {
        struct letter letter;

        open_pulled((evb_sub_opts){.flags = EVB_SUB_DEAD_LETTER_EXPIRED, .ttl_ns = own ? 0 : 2 * SECOND});
        put_for("A1", own ? 2 * SECOND : 0);
        kit_pass(2 * SECOND);
        SOON(evb_dlq_count(sub) == 1);
        kit_pass(HOUR);
        EQ(evb_dlq_redrive(sub, 1), 1);
        kit_pass(SECOND);
        EQ(assert_law(sub).ready, 1);
        kit_pass(SECOND);
        SOON(evb_dlq_count(sub) == 1);
        EQ(kit_letters(sub, &letter, 1), 1);
        EQ(letter.death.times, 2);
        EQ(letter.death.redrives, 1);
        EQ(evb_dlq_redrive(sub, 1), 1);
        EQ_STR(kit_rest(sub), "A1");
        end();
    }
}

/* ---- without anybody there ---- */

TEST(what_nobody_takes_expires_by_the_timer)
{
    kit_open(1); /* the real clock; its only worker has nothing else to do */
    sub = kit_sub("k", (evb_sub_opts){.ttl_ns = MS});
    put("-1 A1 A2");
    SOON(expired(3));
    end();
}

TEST(a_paused_queue_expires_too)
{
    open_working((evb_sub_opts){.ttl_ns = SECOND, .flags = EVB_SUB_PAUSED});
    put("-1 A1 A2");
    kit_pass(SECOND);
    SOON(expired(3));
    OK(evb_sub_resume(sub));
    EQ(catcher_count(&seen), 0);
    end();
}

static void pull(void *arg)
{
    const evb_event *ev;
    uint64_t delivery;

    OK(evb_sub_next(arg, EVB_FOREVER, &delivery, &ev));
    CHECK(kit_is(ev, "A2"));
    OK(evb_ack(arg, delivery));
}

TEST(a_sleeping_puller_gets_what_waited_behind_an_expired_event)
{
    struct sleeper sleeper;

    open_pulled((evb_sub_opts){0});
    put_for("A1", SECOND);
    put("A2");
    OK(evb_nack(sub, kit_take(sub, "A1"), HOUR));
    sleeper_start(&sleeper, pull, sub);
    CHECK(!sleeper_is_over(&sleeper));
    kit_pass(SECOND);
    SOON(sleeper_is_over(&sleeper));
    sleeper_join(&sleeper);
    EQ(assert_law(sub).expired, 1);
    end();
}

static void drain(void *arg)
{
    (void)arg;
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
}

TEST(a_drain_does_not_wait_for_what_has_expired)
{
    struct sleeper sleeper;

    open_pulled((evb_sub_opts){.ttl_ns = SECOND});
    put("-1 A1 A2");
    OK(evb_nack(sub, kit_take(sub, "-1"), HOUR));
    sleeper_start(&sleeper, drain, NULL);
    CHECK(!sleeper_is_over(&sleeper));
    kit_pass(SECOND);
    SOON(sleeper_is_over(&sleeper));
    sleeper_join(&sleeper);
    EQ(assert_law(sub).expired, 3);
    end();
}

/* ---- room ---- */

TEST(what_has_expired_leaves_room)
{
    open_pulled((evb_sub_opts){.capacity = 2, .capacity_bytes = 8});
    put_for("-1", SECOND);
    put_for("A1", SECOND); /* bytes: 2, and 3 with its key */
    FAILS(kit_try("k", "x"), EVB_EFULL);
    kit_pass(SECOND);
    SOON(expired(2));
    kit_put("k", "eight ok");
    EQ_STR(kit_rest(sub), "eight ok");
    end();
}

static void publish(void *arg)
{
    EQ(kit_try("k", arg), 1);
}

TEST(a_publisher_that_waits_for_room_goes_on_when_something_expires)
{
    struct sleeper sleeper;

    open_pulled((evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    put_for("-1", SECOND);
    sleeper_start(&sleeper, publish, "-2");
    CHECK(!sleeper_is_over(&sleeper));
    kit_pass(SECOND);
    SOON(sleeper_is_over(&sleeper));
    sleeper_join(&sleeper);
    EQ_STR(kit_rest(sub), "-2");
    EQ(assert_law(sub).expired, 1);
    end();
}

TEST(a_publisher_goes_on_when_a_worker_comes_upon_something_expired)
{
    struct sleeper sleeper;

    kit_open_by_hand();
    gate_shut(&gate);
    catcher_reset(&seen);
    seen.gate = &gate;
    sub = kit_sub("k", (evb_sub_opts){.handler = catch_event,
                                      .user = &seen,
                                      .capacity = 2,
                                      .overflow = EVB_OVERFLOW_BLOCK,
                                      .flags = EVB_SUB_PAUSED});
    put_for("-1", SECOND);
    put("-2");
    sleeper_start(&sleeper, publish, "-3");
    evb_test_clock_advance(SECOND);
    OK(evb_sub_resume(sub)); /* the only worker finds -1 too old, or its alarm has */
    gate_wait_held(&gate, 1);
    sleeper_join(&sleeper); /* while -2 is in its handler */
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "-2 -3");
    end();
}

TEST(eviction_and_expiry_do_not_meet)
{
    open_pulled((evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_DROP_OLDEST, .ttl_ns = SECOND});
    put("A1 A2 A3 -1 A4");
    EQ(assert_law(sub).dropped, 3);
    kit_pass(SECOND);
    SOON(expired(2));
    put("A5");
    EQ_STR(kit_rest(sub), "A5");
    end();
}

TEST(a_newer_event_takes_the_place_of_an_older_one_and_its_time)
{
    open_pulled((evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    put_for("A1", SECOND);
    put_for("A2", 3 * SECOND);
    kit_pass(SECOND);
    EQ(assert_law(sub).ready, 1);
    kit_pass(2 * SECOND);
    SOON(expired(1));
    EQ(assert_law(sub).conflated, 1);
    put("A3");
    EQ_STR(kit_rest(sub), "A3");
    end();
}

TEST(a_purge_takes_what_would_have_expired)
{
    open_pulled((evb_sub_opts){.ttl_ns = SECOND});
    put("A1 A2 -1");
    OK(evb_nack(sub, kit_take(sub, "A1"), HOUR));
    EQ(evb_sub_purge(sub), 3);
    kit_pass(HOUR);
    EQ(assert_law(sub).expired, 0);
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_expires_at_the_head_in_the_middle_and_at_the_tail),
        cmocka_unit_test(each_expires_at_its_own_time_whatever_the_order),
        cmocka_unit_test(an_event_that_is_too_old_is_not_handed_out_even_when_the_timer_is_late),
        cmocka_unit_test(a_handler_never_gets_an_event_that_is_too_old),
        cmocka_unit_test(dispatch_passes_over_what_is_too_old),
        cmocka_unit_test(a_delayed_event_expires_before_it_is_due),
        cmocka_unit_test(a_retry_keeps_the_time_to_live_and_expires_while_it_waits),
        cmocka_unit_test(in_flight_nothing_expires),
        cmocka_unit_test(a_leaver_s_events_expire_when_they_are_too_old),
        cmocka_unit_test(behind_its_key_an_event_expires_and_the_order_of_the_others_stays),
        cmocka_unit_test(a_key_is_free_when_the_event_that_leads_it_expires),
        cmocka_unit_test(the_queue_s_time_is_every_event_s),
        cmocka_unit_test(the_shorter_of_the_two_times_holds),
        cmocka_unit_test(each_queue_has_its_own_time),
        cmocka_unit_test(the_time_of_many_messages_is_their_publish_s),
        cmocka_unit_test(the_longest_times_are_for_ever),
        cmocka_unit_test(negative_times_are_refused),
        cmocka_unit_test(members_of_a_group_must_agree_on_the_time),
        cmocka_unit_test(what_expires_becomes_a_dead_letter_when_that_is_asked_for),
        cmocka_unit_test(a_dead_letter_does_not_expire),
        cmocka_unit_test(a_redriven_letter_has_its_whole_time_again),
        cmocka_unit_test(what_nobody_takes_expires_by_the_timer),
        cmocka_unit_test(a_paused_queue_expires_too),
        cmocka_unit_test(a_sleeping_puller_gets_what_waited_behind_an_expired_event),
        cmocka_unit_test(a_drain_does_not_wait_for_what_has_expired),
        cmocka_unit_test(what_has_expired_leaves_room),
        cmocka_unit_test(a_publisher_that_waits_for_room_goes_on_when_something_expires),
        cmocka_unit_test(a_publisher_goes_on_when_a_worker_comes_upon_something_expired),
        cmocka_unit_test(eviction_and_expiry_do_not_meet),
        cmocka_unit_test(a_newer_event_takes_the_place_of_an_older_one_and_its_time),
        cmocka_unit_test(a_purge_takes_what_would_have_expired),
    };
    return EVB_TEST_MAIN("queue_ttl", tests, argc, argv);
}
