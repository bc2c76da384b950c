/* SPDX-License-Identifier: MIT */
/* Retries: how often, after how long, with which jitter. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static struct catcher seen;
static evb_sub *sub;

static void open_failing(evb_retry retry)
{
    kit_open_by_hand();
    catcher_reset(&seen);
    seen.answer = EVB_EIO;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .retry = retry});
}

static bool called(uint32_t n)
{
    return catcher_count(&seen) == n && assert_law(sub).in_flight == 0 && assert_law(sub).ready == 0;
}

/* ---- how often ---- */

TEST(an_event_is_tried_max_attempts_times_and_then_dead)
{
    for (uint32_t max = 1; max <= 7; max += 3) {
        struct letter letter;
        evb_queue_stats s;

        open_failing((evb_retry){.max_attempts = max, .base_ns = 1, .cap_ns = 1, .jitter = EVB_JITTER_NONE});
        kit_put("a", "x");
        for (uint32_t n = 1; n < max; n++) {
            SOON(called(n));
            EQ(assert_law(sub).delayed, 1);
            kit_pass(2 * MS);
        }
        SOON(kit_settled(sub));
        EQ(catcher_count(&seen), max);
        for (uint32_t n = 0; n < max; n++) {
            EQ(seen.log[n].attempt, n + 1);
            EQ(seen.log[n].flags, n == 0 ? 0 : EVB_EVENT_REDELIVERED);
        }
        s = assert_law(sub);
        EQ(s.delivered, max);
        EQ(s.redelivered, max - 1);
        EQ(s.nacked, max);
        EQ(s.dead_lettered, 1);
        EQ(kit_letters(sub, &letter, 1), 1);
        EQ_STR(letter.reason, "delivery_limit");
        EQ(letter.death.attempts, max);
        EQ(letter.death.error_code, EVB_EIO);
        kit_leave(sub);
        kit_close();
    }
}

TEST(without_a_policy_there_are_five_attempts)
{
    open_failing((evb_retry){0});
    kit_put("a", "x");
    for (uint32_t n = 1; n < 5; n++) {
        SOON(called(n));
        kit_pass(31 * SECOND);
    }
    SOON(kit_settled(sub));
    EQ(catcher_count(&seen), 5);
    EQ(assert_law(sub).dead_lettered, 1);
    kit_leave(sub);
    kit_close();
}

TEST(without_a_limit_an_event_is_tried_until_it_works)
{
    open_failing(
        (evb_retry){.max_attempts = UINT32_MAX, .base_ns = 1, .cap_ns = 1, .jitter = EVB_JITTER_NONE});
    kit_put("a", "x");
    for (uint32_t n = 1; n <= 100; n++) {
        SOON(called(n));
        if (n == 100) break;
        kit_pass(2 * MS);
    }
    EQ(assert_law(sub).delayed, 1);
    EQ(evb_sub_purge(sub), 1);
    kit_leave(sub);
    kit_close();
}

TEST(an_event_that_works_at_last_is_done)
{
    static const int32_t answers[] = {EVB_NACK, EVB_EIO, EVB_OK};
    evb_queue_stats s;

    open_failing((evb_retry){.max_attempts = 3, .base_ns = 1, .cap_ns = 1, .jitter = EVB_JITTER_NONE});
    seen.answers = answers;
    seen.answer_count = 3;
    kit_put("a", "x");
    SOON(called(1));
    kit_pass(2 * MS);
    SOON(called(2));
    kit_pass(2 * MS);
    SOON(kit_settled(sub));
    s = assert_law(sub);
    EQ(s.acked, 1);
    EQ(s.nacked, 2);
    EQ(s.dead_lettered, 0);
    kit_leave(sub);
    kit_close();
}

TEST(a_retry_that_waits_keeps_nobody_else_waiting)
{
    static const int32_t answers[] = {EVB_NACK};

    open_failing((evb_retry){.base_ns = HOUR, .cap_ns = HOUR, .jitter = EVB_JITTER_NONE});
    seen.answers = answers;
    seen.answer_count = 1;
    seen.answer = EVB_OK;
    kit_put("a", "fails");
    kit_put("a", "2");
    kit_put("a", "3");
    SOON(assert_law(sub).acked == 2);
    EQ(assert_law(sub).delayed, 1);
    kit_pass(HOUR);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "fails 2 3 fails");
    kit_leave(sub);
    kit_close();
}

TEST(a_retry_does_not_use_the_window)
{
    const evb_event *ev;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.max_in_flight = 1});
    kit_put("a", "1");
    kit_put("a", "2");
    OK(evb_nack(sub, kit_take(sub, "1"), HOUR));
    (void)kit_take_event(sub, "2", &ev);
    kit_none(sub);
    kit_leave(sub);
    kit_close();
}

/* ---- after how long ---- */

static int64_t took; /* from the failure to the next attempt, in whole milliseconds by our hand */

/* Passes time in steps until there is another call. */
static void measure(uint32_t calls, int64_t limit_ms)
{
    int64_t from = evb__clock_mono();

    SOON(called(calls));
    while (catcher_count(&seen) == calls && evb__clock_mono() - from <= limit_ms * MS)
        kit_pass(MS);
    SOON(catcher_count(&seen) > calls); /* late at most by our hand */
    took = (evb__clock_mono() - from) / MS;
}

TEST(without_jitter_the_delay_doubles_up_to_the_cap)
{
    static const int64_t delays[] = {10, 20, 40, 80, 100, 100};

    open_failing(
        (evb_retry){.max_attempts = 10, .base_ns = 10 * MS, .cap_ns = 100 * MS, .jitter = EVB_JITTER_NONE});
    kit_put("a", "x");
    for (uint32_t i = 0; i < COUNT(delays); i++) {
        SOON(called(i + 1));
        kit_pass((delays[i] - 2) * MS);
        EQ(catcher_count(&seen), i + 1); /* never early */
        kit_pass(4 * MS);
        SOON(called(i + 2));
    }
    EQ(evb_sub_purge(sub), 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_base_as_large_as_the_cap_is_a_fixed_delay)
{
    open_failing(
        (evb_retry){.max_attempts = 10, .base_ns = 50 * MS, .cap_ns = 50 * MS, .jitter = EVB_JITTER_NONE});
    kit_put("a", "x");
    for (uint32_t i = 1; i < 6; i++) {
        SOON(called(i));
        kit_pass(48 * MS);
        EQ(catcher_count(&seen), i);
        kit_pass(4 * MS);
        SOON(called(i + 1));
    }
    kit_leave(sub);
    kit_close();
}

TEST(far_beyond_the_cap_the_delay_does_not_overflow)
{
    open_failing(
        (evb_retry){.max_attempts = UINT32_MAX, .base_ns = MS, .cap_ns = 10 * MS, .jitter = EVB_JITTER_NONE});
    kit_put("a", "x");
    for (uint32_t i = 1; i < 150; i++) {
        SOON(called(i));
        if (i >= 5) {
            kit_pass(8 * MS);
            EQ(catcher_count(&seen), i);
        }
        kit_pass(12 * MS);
    }
    SOON(called(150));
    kit_leave(sub);
    kit_close();
}

/* Delays of one jitter: lowest is the part of e = 40, 80, 160 ms that is waited at least. */
static void delays_are_within(evb_retry retry, double lowest, bool vary)
{
    int64_t shortest = INT64_MAX, longest = 0;

    open_failing(retry);
    for (uint32_t round = 0; round < 12; round++) {
        int64_t e = 40;

        catcher_reset(&seen);
        seen.answer = EVB_NACK;
        kit_put("a", "x");
        for (uint32_t n = 1; n <= 3; n++, e *= 2) {
            measure(n, e + 4);
            CHECK(took >= (int64_t)((double)e * lowest) - 1);
            CHECK(took <= e + 5);
            CHECK(catcher_count(&seen) == n + 1);
            if (n == 3 && took < shortest) shortest = took;
            if (n == 3 && took > longest) longest = took;
        }
        SOON(called(4));
        EQ(evb_sub_purge(sub), 1);
    }
    if (vary)
        CHECK(longest - shortest > 10); /* of 160 ms: 12 draws so close to each other do not happen */
    else
        CHECK(longest - shortest <= 6);
    kit_leave(sub);
    kit_close();
}

TEST(full_jitter_draws_between_zero_and_the_delay)
{
    delays_are_within((evb_retry){.max_attempts = 10, .base_ns = 40 * MS, .jitter = EVB_JITTER_FULL}, 0,
                      true);
}

TEST(equal_jitter_draws_between_half_the_delay_and_the_delay)
{
    delays_are_within((evb_retry){.max_attempts = 10, .base_ns = 40 * MS, .jitter = EVB_JITTER_EQUAL}, 0.5,
                      true);
}

TEST(no_jitter_draws_nothing)
{
    delays_are_within((evb_retry){.max_attempts = 10, .base_ns = 40 * MS, .jitter = EVB_JITTER_NONE}, 1,
                      false);
}

TEST(no_delay_is_shorter_than_the_minimum)
{
    open_failing((evb_retry){.max_attempts = 40, .base_ns = MS, .cap_ns = 4 * MS, .min_ns = 50 * MS});
    kit_put("a", "x");
    for (uint32_t i = 1; i < 20; i++) {
        SOON(called(i));
        kit_pass(48 * MS);
        EQ(catcher_count(&seen), i);
        kit_pass(8 * MS);
        SOON(called(i + 1));
    }
    kit_leave(sub);
    kit_close();
}

TEST(a_nack_may_name_its_own_delay_or_leave_it_to_the_policy)
{
    const evb_event *ev;

    kit_open_by_hand();
    sub = kit_sub(
        "a", (evb_sub_opts){.retry = {.base_ns = 100 * MS, .cap_ns = 100 * MS, .jitter = EVB_JITTER_NONE}});
    kit_put("a", "x");
    OK(evb_nack(sub, kit_take(sub, "x"), 20 * MS));
    EQ(assert_law(sub).delayed, 1);
    kit_pass(18 * MS);
    kit_none(sub);
    kit_pass(4 * MS);
    OK(evb_nack(sub, kit_take_soon(sub, "x", &ev), EVB_DELAY_POLICY));
    kit_pass(98 * MS);
    kit_none(sub);
    kit_pass(4 * MS);
    OK(evb_nack(sub, kit_take_soon(sub, "x", &ev), 0));
    OK(evb_nack(sub, kit_take(sub, "x"), INT64_MAX));
    kit_pass(1000 * HOUR);
    kit_none(sub);
    EQ(assert_law(sub).delayed, 1);
    EQ(evb_sub_purge(sub), 1);
    kit_leave(sub);
    kit_close();
}

TEST(by_the_systems_clock_no_retry_is_early)
{
    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.max_in_flight = 64});
    for (int i = 0; i < 20; i++) {
        int64_t due = evb__clock_mono() + (1 + i % 5) * MS;
        const evb_event *ev;
        uint64_t delivery;

        kit_put("a", "x");
        OK(evb_nack(sub, kit_take(sub, "x"), (1 + i % 5) * MS));
        OK(evb_sub_next(sub, EVB_FOREVER, &delivery, &ev));
        CHECK(evb__clock_mono() >= due);
        EQ(ev->attempt, 2);
        OK(evb_ack(sub, delivery));
    }
    kit_leave(sub);
    kit_close();
}

TEST(retries_of_many_events_each_come_at_their_time)
{
    enum { MANY = 500 };
    static uint64_t deliveries[MANY];
    char text[16];

    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.max_in_flight = MANY});
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof text, "%d", i * 37 % MANY);
        kit_put("a", text);
        deliveries[i] = kit_take(sub, text);
    }
    for (int i = 0; i < MANY; i++)
        OK(evb_nack(sub, deliveries[i], (i * 37 % MANY) * 2 * MS + MS));
    for (int i = 0; i < MANY; i++) { /* at 2i there are those of 1, 3, ... 2i - 1 */
        const evb_event *ev;
        uint64_t delivery;

        kit_none(sub);
        kit_pass(2 * MS);
        (void)snprintf(text, sizeof text, "%d", i);
        delivery = kit_take_soon(sub, text, &ev);
        EQ(ev->size, strlen(text));
        OK(evb_ack(sub, delivery));
    }
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_tried_max_attempts_times_and_then_dead),
        cmocka_unit_test(without_a_policy_there_are_five_attempts),
        cmocka_unit_test(without_a_limit_an_event_is_tried_until_it_works),
        cmocka_unit_test(an_event_that_works_at_last_is_done),
        cmocka_unit_test(a_retry_that_waits_keeps_nobody_else_waiting),
        cmocka_unit_test(a_retry_does_not_use_the_window),
        cmocka_unit_test(without_jitter_the_delay_doubles_up_to_the_cap),
        cmocka_unit_test(a_base_as_large_as_the_cap_is_a_fixed_delay),
        cmocka_unit_test(far_beyond_the_cap_the_delay_does_not_overflow),
        cmocka_unit_test(full_jitter_draws_between_zero_and_the_delay),
        cmocka_unit_test(equal_jitter_draws_between_half_the_delay_and_the_delay),
        cmocka_unit_test(no_jitter_draws_nothing),
        cmocka_unit_test(no_delay_is_shorter_than_the_minimum),
        cmocka_unit_test(a_nack_may_name_its_own_delay_or_leave_it_to_the_policy),
        cmocka_unit_test(by_the_systems_clock_no_retry_is_early),
        cmocka_unit_test(retries_of_many_events_each_come_at_their_time),
    };
    return EVB_TEST_MAIN("queue_retry", tests, argc, argv);
}
