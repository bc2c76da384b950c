/* SPDX-License-Identifier: MIT */
/* Settlements: by a handler's result, by number; each once. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static evb_sub *sub;

/* What a settled attempt leaves in the counters. */
struct left {
    uint64_t acked, dead_lettered, nacked, released, ready, delayed;
};

static void counters_are(struct left want)
{
    evb_queue_stats s = assert_law(sub);

    EQ(s.acked, want.acked);
    EQ(s.dead_lettered, want.dead_lettered);
    EQ(s.nacked, want.nacked);
    EQ(s.released, want.released);
    EQ(s.ready, want.ready);
    EQ(s.delayed, want.delayed);
    EQ(s.in_flight, 0);
}

/* ---- a handler's result ---- */

TEST(each_result_of_a_handler_settles_its_event)
{
    static const struct {
        int32_t answer;
        uint32_t max_attempts;
        bool acked, rejected; /* neither: failed */
        int32_t code;
    } cases[] = {
        {EVB_OK, 1, true, false, 0},
        {EVB_NACK, 1, false, false, EVB_NACK},
        {EVB_EIO, 1, false, false, EVB_EIO},
        {-4711, 1, false, false, -4711},
        {INT32_MIN, 1, false, false, INT32_MIN},
        {EVB_REJECT, 5, false, true, EVB_REJECT},
        {EVB_DEFER, 1, false, false, EVB_NACK}, /* without evb_defer: as EVB_NACK */
        {5, 1, false, false, 5},                /* nobody knows what that means */
        {INT32_MAX, 1, false, false, INT32_MAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct letter letter;
        evb_queue_stats s;

        kit_open(1);
        catcher_reset(&seen);
        seen.answer = cases[i].answer;
        sub = kit_sub("a", (evb_sub_opts){.handler = catch_event,
                                          .user = &seen,
                                          .retry.max_attempts = cases[i].max_attempts});
        kit_put("a", "x");
        SOON(kit_settled(sub));
        EQ(catcher_count(&seen), 1);
        s = assert_law(sub);
        EQ(s.acked, cases[i].acked ? 1 : 0);
        EQ(s.dead_lettered, cases[i].acked ? 0 : 1);
        EQ(s.delivered, 1);
        if (!cases[i].acked && !cases[i].rejected) EQ(s.nacked, 1);
        EQ(kit_letters(sub, &letter, 1), cases[i].acked ? 0 : 1);
        if (!cases[i].acked) {
            EQ_STR(letter.reason, cases[i].rejected ? "rejected" : "delivery_limit");
            EQ(letter.death.error_code, cases[i].code);
            CHECK(!letter.has_text);
        }
        kit_leave(sub);
        kit_close();
    }
}

TEST(a_handler_that_releases_gets_the_event_again_and_no_attempt_is_counted)
{
    static const int32_t answers[] = {EVB_RELEASE, EVB_RELEASE, EVB_OK};

    kit_open(1);
    catcher_reset(&seen);
    seen.answers = answers;
    seen.answer_count = 3;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .retry.max_attempts = 1});
    kit_put("a", "x");
    catcher_wait(&seen, 3);
    SOON(kit_settled(sub));
    counters_are((struct left){.acked = 1, .released = 2});
    for (int i = 0; i < 3; i++) {
        EQ(seen.log[i].attempt, 1);
        EQ(seen.log[i].flags, i == 0 ? 0 : EVB_EVENT_REDELIVERED);
    }
    EQ(assert_law(sub).redelivered, 0); /* of these with attempt above 1 */
    EQ(assert_law(sub).delivered, 3);
    kit_leave(sub);
    kit_close();
}

TEST(a_handlers_result_settles_its_own_event_and_no_other)
{
    static const int32_t answers[] = {EVB_OK, EVB_REJECT, EVB_OK, EVB_REJECT};

    kit_open(1);
    catcher_reset(&seen);
    seen.answers = answers;
    seen.answer_count = 4;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen});
    OK(evb_sub_pause(sub));
    for (int i = 0; i < 4; i++)
        kit_put("a", (const char *[]){"1", "2", "3", "4"}[i]);
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    counters_are((struct left){.acked = 2, .dead_lettered = 2});
    EQ_STR(kit_dead(sub), "2 4");
    kit_leave(sub);
    kit_close();
}

/* ---- by number ---- */

static void open_pulled(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("a", opts);
}

TEST(an_ack_is_the_end_of_the_event)
{
    open_pulled((evb_sub_opts){0});
    kit_put("a", "1");
    OK(evb_ack(sub, kit_take(sub, "1")));
    counters_are((struct left){.acked = 1});
    kit_none(sub);
    kit_leave(sub);
    kit_close();
}

TEST(a_nack_without_delay_puts_the_event_at_the_tail_with_one_attempt_more)
{
    const evb_event *ev;
    uint64_t delivery;

    open_pulled((evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    delivery = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 1);
    EQ(ev->flags, 0);
    OK(evb_nack(sub, delivery, 0));
    counters_are((struct left){.nacked = 1, .ready = 2});
    OK(evb_ack(sub, kit_take(sub, "2")));
    delivery = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 2);
    EQ(ev->flags, EVB_EVENT_REDELIVERED);
    EQ(assert_law(sub).redelivered, 1);
    OK(evb_ack(sub, delivery));
    counters_are((struct left){.nacked = 1, .acked = 2});
    kit_leave(sub);
    kit_close();
}

TEST(a_release_puts_the_event_at_the_head_with_the_same_attempt)
{
    const evb_event *ev;
    uint64_t delivery;

    open_pulled((evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    OK(evb_release(sub, kit_take(sub, "1")));
    counters_are((struct left){.released = 1, .ready = 2});
    delivery = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 1);
    EQ(ev->flags, EVB_EVENT_REDELIVERED);
    OK(evb_nack(sub, delivery, 0));
    OK(evb_ack(sub, kit_take(sub, "2")));
    delivery = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 2);
    OK(evb_release(sub, delivery));
    delivery = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 2);
    OK(evb_ack(sub, delivery));
    kit_leave(sub);
    kit_close();
}

TEST(a_reject_makes_a_dead_letter_at_once_with_code_and_text)
{
    static char longest[300];
    struct letter letters[3];

    memset(longest, 'x', sizeof longest - 1);
    open_pulled((evb_sub_opts){.name = "strict"});
    kit_put("a", "1");
    kit_put("a", "2");
    kit_put("a", "3");
    OK(evb_reject(sub, kit_take(sub, "1"), -7, "no such flight"));
    OK(evb_reject(sub, kit_take(sub, "2"), 4711, NULL));
    OK(evb_reject(sub, kit_take(sub, "3"), 0, longest));
    counters_are((struct left){.dead_lettered = 3});
    EQ(kit_letters(sub, letters, 3), 3);
    EQ_STR(letters[0].reason, "rejected");
    EQ_STR(letters[0].text, "no such flight");
    EQ_STR(letters[0].subscription, "strict");
    EQ(letters[0].death.error_code, -7);
    EQ(letters[0].death.attempts, 1);
    EQ(letters[1].death.error_code, 4711);
    CHECK(!letters[1].has_text);
    CHECK(strlen(letters[2].text) <= 256);
    CHECK(strlen(letters[2].text) >= 250);
    kit_leave(sub);
    kit_close();
}

/* ---- once ---- */

#define SETTLEMENTS 5

static int32_t settle(uint32_t how, evb_sub *who, uint64_t delivery)
{
    switch (how) {
    case 0:
        return evb_ack(who, delivery);
    case 1:
        return evb_nack(who, delivery, 0);
    case 2:
        return evb_release(who, delivery);
    case 3:
        return evb_reject(who, delivery, 1, "text");
    default:
        return evb_extend(who, delivery, 0);
    }
}

static void all_stale(uint64_t delivery)
{
    for (uint32_t how = 0; how < SETTLEMENTS; how++) {
        evb_queue_stats before = assert_law(sub);

        FAILS(settle(how, sub, delivery), EVB_ESTALE);
        NOTHING_CHANGED(sub, before);
        EQ(assert_law(sub).stale, before.stale + 1);
    }
}

TEST(a_second_settlement_is_stale_and_changes_nothing)
{
    for (uint32_t first = 0; first < 4; first++) {
        uint64_t delivery;

        open_pulled((evb_sub_opts){0});
        kit_put("a", "1");
        delivery = kit_take(sub, "1");
        OK(settle(4, sub, delivery)); /* to extend does not end it */
        OK(settle(first, sub, delivery));
        all_stale(delivery);
        if (first == 1 || first == 2) { /* it is there again, under another number */
            uint64_t again = kit_take(sub, "1");

            NE(again, delivery);
            all_stale(delivery);
            EQ(assert_law(sub).in_flight, 1);
            OK(evb_ack(sub, again));
            all_stale(again);
        }
        kit_leave(sub);
        kit_close();
    }
}

TEST(no_number_comes_again_soon)
{
    uint64_t first, last = 0;

    open_pulled((evb_sub_opts){0});
    kit_put("a", "1");
    first = kit_take(sub, "1");
    OK(evb_release(sub, first));
    for (int i = 0; i < 1000; i++) {
        last = kit_take(sub, "1");
        NE(last, first);
        OK(evb_release(sub, last));
    }
    all_stale(first);
    all_stale(last);
    kit_leave(sub);
    kit_close();
}

TEST(a_delivery_of_another_subscription_is_refused_and_stays_open)
{
    uint64_t mine, theirs;
    evb_sub *other;

    open_pulled((evb_sub_opts){0});
    other = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_try("a", "1"), 2);
    mine = kit_take(sub, "1");
    theirs = kit_take(other, "1");
    NE(mine, theirs);
    for (uint32_t how = 0; how < SETTLEMENTS; how++) {
        evb_queue_stats before[2] = {assert_law(sub), assert_law(other)};

        FAILS(settle(how, sub, theirs), EVB_EINVAL);
        FAILS(settle(how, other, mine), EVB_EINVAL);
        NOTHING_CHANGED(sub, before[0]);
        NOTHING_CHANGED(other, before[1]);
    }
    OK(evb_ack(sub, mine));
    OK(evb_ack(other, theirs));
    kit_leave(sub);
    kit_leave(other);
    kit_close();
}

TEST(numbers_that_never_were_are_refused)
{
    uint64_t delivery;

    open_pulled((evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    delivery = kit_take(sub, "1");
    for (uint32_t bit = 0; bit <= 64; bit++) {
        uint64_t wrong = bit == 64 ? 0 : delivery ^ (UINT64_C(1) << bit);

        for (uint32_t how = 0; how < SETTLEMENTS; how++) {
            evb_queue_stats before = assert_law(sub);
            int32_t rc = settle(how, sub, wrong);

            CHECK(rc == EVB_ESTALE || rc == EVB_EINVAL);
            NOTHING_CHANGED(sub, before);
        }
    }
    FAILS(evb_nack(sub, delivery, -2), EVB_EINVAL);
    FAILS(evb_extend(sub, delivery, -1), EVB_EINVAL);
    OK(evb_ack(sub, delivery));
    kit_leave(sub);
    kit_close();
}

/* Several threads settle the same deliveries at the same time, each in its way. */
#define SETTLERS 4u
#define RACES    500u

static struct {
    uint64_t deliveries[RACES];
    EVB__ATOMIC(uint32_t) won, stale;
} race;

static void settle_all(uint32_t index, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < RACES; i++) {
        int32_t rc = settle(index % 4, sub, race.deliveries[i]);

        if (rc == EVB_OK)
            (void)evb__add_rlx(&race.won, 1);
        else if (rc == EVB_ESTALE)
            (void)evb__add_rlx(&race.stale, 1);
        else
            OK(rc);
    }
}

TEST(of_settlements_at_the_same_time_one_wins)
{
    evb_queue_stats s;

    open_pulled((evb_sub_opts){.max_in_flight = RACES, .capacity = RACES});
    evb__st_rlx(&race.won, 0);
    evb__st_rlx(&race.stale, 0);
    for (uint32_t i = 0; i < RACES; i++)
        kit_put("a", "x");
    for (uint32_t i = 0; i < RACES; i++)
        race.deliveries[i] = kit_take(sub, "x");
    evb_test_run_threads(SETTLERS, settle_all, NULL);
    EQ(evb__ld_rlx(&race.won), RACES);
    EQ(evb__ld_rlx(&race.stale), (SETTLERS - 1) * RACES);
    s = assert_law(sub);
    EQ(s.acked + s.dead_lettered + s.ready, RACES);
    EQ(s.in_flight, 0);
    EQ(s.stale, (SETTLERS - 1) * RACES);
    EQ(s.nacked + s.released, s.ready);
    kit_leave(sub);
    kit_close();
}

/* ---- at most once ---- */

TEST(at_most_once_is_settled_when_it_is_handed_to_the_handler_whatever_that_says)
{
    static const int32_t answers[] = {EVB_OK, EVB_NACK, EVB_REJECT, EVB_RELEASE, EVB_EIO, EVB_DEFER, 77};

    kit_open(1);
    catcher_reset(&seen);
    seen.answers = answers;
    seen.answer_count = COUNT(answers);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_AT_MOST_ONCE});
    for (size_t i = 0; i < COUNT(answers); i++)
        kit_put("a", "x");
    catcher_wait(&seen, COUNT(answers));
    SOON(kit_settled(sub));
    EQ(catcher_count(&seen), COUNT(answers));
    EQ(assert_law(sub).acked, COUNT(answers));
    EQ(assert_law(sub).dead_lettered, 0);
    EQ(evb_dlq_count(sub), 0);
    kit_leave(sub);
    kit_close();
}

TEST(at_most_once_a_running_handler_takes_no_room)
{
    struct gate gate = GATE_SHUT;

    kit_open(1);
    catcher_reset(&seen);
    seen.gate = &gate;
    sub = kit_sub(
        "a",
        (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_AT_MOST_ONCE, .capacity = 1});
    kit_put("a", "1");
    gate_wait_held(&gate, 1);
    EQ(assert_law(sub).acked, 1);
    kit_put("a", "2");
    FAILS(kit_try("a", "3"), EVB_EFULL);
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 2");
    kit_leave(sub);
    kit_close();
}

TEST(at_most_once_a_pulled_event_is_settled_and_its_number_only_frees_it)
{
    const evb_event *ev;
    uint64_t delivery;

    open_pulled((evb_sub_opts){.flags = EVB_SUB_AT_MOST_ONCE, .capacity = 1});
    kit_put("a", "1");
    delivery = kit_take_event(sub, "1", &ev);
    EQ(assert_law(sub).acked, 1);
    EQ(assert_law(sub).in_flight, 0);
    kit_put("a", "2");
    for (uint32_t how = 1; how < SETTLEMENTS; how++) {
        evb_queue_stats before = assert_law(sub);

        FAILS(settle(how, sub, delivery), EVB_ENOTSUP);
        NOTHING_CHANGED(sub, before);
    }
    CHECK(kit_is(ev, "1")); /* readable until */
    OK(evb_ack(sub, delivery));
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    (void)kit_take(sub, "2");
    kit_leave(sub); /* frees what was not acked */
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_result_of_a_handler_settles_its_event),
        cmocka_unit_test(a_handler_that_releases_gets_the_event_again_and_no_attempt_is_counted),
        cmocka_unit_test(a_handlers_result_settles_its_own_event_and_no_other),
        cmocka_unit_test(an_ack_is_the_end_of_the_event),
        cmocka_unit_test(a_nack_without_delay_puts_the_event_at_the_tail_with_one_attempt_more),
        cmocka_unit_test(a_release_puts_the_event_at_the_head_with_the_same_attempt),
        cmocka_unit_test(a_reject_makes_a_dead_letter_at_once_with_code_and_text),
        cmocka_unit_test(a_second_settlement_is_stale_and_changes_nothing),
        cmocka_unit_test(no_number_comes_again_soon),
        cmocka_unit_test(a_delivery_of_another_subscription_is_refused_and_stays_open),
        cmocka_unit_test(numbers_that_never_were_are_refused),
        cmocka_unit_test(of_settlements_at_the_same_time_one_wins),
        cmocka_unit_test(at_most_once_is_settled_when_it_is_handed_to_the_handler_whatever_that_says),
        cmocka_unit_test(at_most_once_a_running_handler_takes_no_room),
        cmocka_unit_test(at_most_once_a_pulled_event_is_settled_and_its_number_only_frees_it),
    };
    return EVB_TEST_MAIN("queue_settle", tests, argc, argv);
}
