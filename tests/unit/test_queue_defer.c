/* SPDX-License-Identifier: MIT */
/* Deferred deliveries and leases: an event taken over by its handler, and one whose holder says
 * nothing. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static evb_sub *sub;

/* ---- defer ---- */

#define HELD 16

static struct {
    int32_t answer;
    uint64_t deliveries[HELD];
    const evb_event *events[HELD];
    EVB__ATOMIC(uint32_t) count;
} held;

static int32_t defer(const evb_event *ev, void *user)
{
    uint32_t at = evb__ld_rlx(&held.count);
    int32_t answer = held.answer;

    OK(evb_defer(ev, &held.deliveries[at]));
    held.events[at] = ev;
    (void)catch_event(ev, user);
    evb__st_rel(&held.count, at + 1); /* pairs with the look of who settles it: the event may be gone then */
    return answer;
}

static void open_deferring(evb_sub_opts opts)
{
    memset(&held, 0, sizeof held);
    held.answer = EVB_DEFER;
    catcher_reset(&seen);
    opts.handler = defer;
    opts.user = &seen;
    sub = kit_sub("a", opts);
}

static uint64_t deferred(uint32_t n)
{
    SOON(evb__ld_acq(&held.count) > n); /* pairs with defer */
    return held.deliveries[n];
}

TEST(a_deferred_delivery_is_settled_later_by_its_number)
{
    kit_open(1);
    open_deferring((evb_sub_opts){.retry.max_attempts = 2});
    kit_put("a", "1");
    (void)deferred(0);
    EQ(assert_law(sub).in_flight, 1);
    kit_put("a", "2"); /* the handler is free for the next one */
    (void)deferred(1);
    EQ(assert_law(sub).in_flight, 2);
    OK(evb_ack(sub, deferred(1)));
    FAILS(evb_ack(sub, deferred(1)), EVB_ESTALE);
    OK(evb_nack(sub, deferred(0), 0));
    OK(evb_release(sub, deferred(2)));
    OK(evb_reject(sub, deferred(3), 3, "at last"));
    EQ_STR(catcher_said(&seen), "1 2 1 1");
    EQ(seen.log[2].attempt, 2);
    EQ(seen.log[3].attempt, 2);
    EQ(assert_law(sub).acked, 1);
    EQ_STR(kit_dead(sub), "1");
    kit_leave(sub);
    kit_close();
}

TEST(the_result_of_a_handler_that_has_deferred_is_ignored)
{
    static const int32_t answers[] = {EVB_OK, EVB_NACK, EVB_REJECT, EVB_RELEASE, EVB_EIO, EVB_DEFER, 77};

    for (size_t i = 0; i < COUNT(answers); i++) {
        kit_open(1);
        open_deferring((evb_sub_opts){0});
        held.answer = answers[i];
        kit_put("a", "1");
        (void)deferred(0);
        held.answer = EVB_OK;
        kit_put("a", "2"); /* one handler at a time: when it is called again, the first call is over */
        (void)deferred(1);
        EQ(assert_law(sub).in_flight, 2);
        EQ(assert_law(sub).nacked + assert_law(sub).released + assert_law(sub).dead_lettered, 0);
        OK(evb_ack(sub, deferred(0)));
        OK(evb_ack(sub, deferred(1)));
        EQ(catcher_count(&seen), 2);
        kit_leave(sub);
        kit_close();
    }
}

static struct gate inside = GATE_SHUT;

static int32_t defer_and_stay(const evb_event *ev, void *user)
{
    int32_t rc = defer(ev, user);

    gate_hold(&inside);
    return rc;
}

TEST(a_deferred_delivery_may_be_settled_while_its_handler_still_runs)
{
    for (int how = 0; how < 3; how++) {
        kit_open(2);
        gate_shut(&inside);
        memset(&held, 0, sizeof held);
        held.answer = EVB_DEFER;
        catcher_reset(&seen);
        sub = kit_sub("a", (evb_sub_opts){.handler = defer_and_stay, .user = &seen, .concurrency = 2});
        kit_put("a", "x");
        (void)deferred(0);
        gate_wait_held(&inside, 1);
        if (how == 0)
            OK(evb_ack(sub, deferred(0)));
        else if (how == 1)
            OK(evb_reject(sub, deferred(0), 0, NULL));
        else
            OK(evb_release(sub, deferred(0))); /* then the second handler gets it */
        if (how == 2) {
            gate_wait_held(&inside, 2);
            OK(evb_ack(sub, deferred(1)));
        }
        EQ(assert_law(sub).in_flight, 0);
        gate_open(&inside);
        kit_leave(sub);
        EQ(catcher_count(&seen), how == 2 ? 2 : 1);
        kit_close();
    }
}

TEST(a_deferred_event_stays_readable_until_it_is_settled)
{
    static char data[1000];

    memset(data, 'd', sizeof data);
    kit_open(1);
    open_deferring((evb_sub_opts){0});
    EQ(evb_publish(kit.bus, "a", data, sizeof data, &(evb_publish_opts){.key = "key", .key_len = 3}), 1);
    (void)deferred(0);
    for (int i = 0; i < 5; i++) { /* others come and go */
        kit_put("a", "x");
        OK(evb_ack(sub, deferred((uint32_t)i + 1)));
    }
    EQ(held.events[0]->size, sizeof data);
    EQ_MEM(held.events[0]->data, data, sizeof data);
    EQ_MEM(held.events[0]->key, "key", 3);
    EQ_STR(held.events[0]->topic, "a");
    EQ(held.events[0]->attempt, 1);
    OK(evb_ack(sub, deferred(0)));
    kit_leave(sub);
    kit_close();
}

static int32_t defer_in_vain(const evb_event *ev, void *user)
{
    uint64_t delivery = 77;

    FAILS(evb_defer(ev, &delivery), *(const int32_t *)user);
    EQ(delivery, 77);
    return EVB_OK;
}

TEST(a_listeners_event_and_one_at_most_once_cannot_be_deferred)
{
    static int32_t notsup = EVB_ENOTSUP;
    const evb_event *ev;
    uint64_t delivery;
    evb_sub *pulled;

    kit_open(1);
    (void)ID(evb_on(kit.bus, "a", defer_in_vain, &notsup));
    EQ(kit_try("a", "emit"), 1);
    sub = kit_sub("a",
                  (evb_sub_opts){.handler = defer_in_vain, .user = &notsup, .flags = EVB_SUB_AT_MOST_ONCE});
    EQ(kit_try("a", "once"), 2); /* the listener's event is not the queue's, though it has the same message */
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 1);
    kit_leave(sub);
    pulled = kit_sub("b", (evb_sub_opts){0});
    kit_put("b", "pulled");
    (void)kit_take_event(pulled, "pulled", &ev);
    CHECK(evb_defer(ev, &delivery) < 0);
    FAILS(evb_defer(NULL, &delivery), EVB_EINVAL);
    FAILS(evb_defer(ev, NULL), EVB_EINVAL);
    EQ(assert_law(pulled).in_flight, 1);
    kit_leave(pulled);
    kit_close();
}

static int32_t defer_twice(const evb_event *ev, void *user)
{
    uint64_t delivery = 77;

    FAILS(evb_defer(ev, NULL), EVB_EINVAL);
    OK(evb_defer(ev, &held.deliveries[0]));
    FAILS(evb_defer(ev, &delivery), EVB_EEXIST);
    EQ(delivery, 77);
    (void)catch_event(ev, user);
    evb__st_rel(&held.count, 1); /* as in defer */
    return EVB_DEFER;
}

TEST(an_event_is_deferred_once)
{
    kit_open(1);
    memset(&held, 0, sizeof held);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = defer_twice, .user = &seen});
    kit_put("a", "x");
    OK(evb_ack(sub, deferred(0)));
    EQ(assert_law(sub).acked, 1);
    kit_leave(sub);
    kit_close();
}

static int32_t defer_while_there_is_room(const evb_event *ev, void *user)
{
    uint64_t delivery = 77;

    if (evb__ld_rlx(&held.count) < 2) return defer(ev, user);
    (void)catch_event(ev, user);
    FAILS(evb_defer(ev, &delivery), EVB_EFULL);
    EQ(delivery, 77);
    return EVB_OK;
}

TEST(no_more_than_max_in_flight_deliveries_are_deferred)
{
    kit_open(1);
    memset(&held, 0, sizeof held);
    held.answer = EVB_DEFER;
    catcher_reset(&seen);
    sub =
        kit_sub("a", (evb_sub_opts){.handler = defer_while_there_is_room, .user = &seen, .max_in_flight = 2});
    for (int i = 0; i < 4; i++)
        kit_put("a", "x");
    catcher_wait(&seen, 4);
    SOON(assert_law(sub).acked == 2);
    EQ(assert_law(sub).in_flight, 2);
    OK(evb_ack(sub, deferred(0)));
    evb__st_rel(&held.count, 1);
    kit_put("a", "x"); /* there is room again */
    catcher_wait(&seen, 5);
    SOON(evb__ld_acq(&held.count) == 2);
    SOON(assert_law(sub).in_flight == 2);
    kit_leave(sub);
    kit_close();
}

/* ---- leases ---- */

TEST(a_lease_that_has_run_out_is_a_failed_attempt)
{
    struct letter letter;
    const evb_event *ev;
    uint64_t delivery;

    kit_open_by_hand();
    sub = kit_sub(
        "a",
        (evb_sub_opts){
            .lease_ns = 100 * MS,
            .retry = {.max_attempts = 2, .base_ns = 50 * MS, .cap_ns = 50 * MS, .jitter = EVB_JITTER_NONE}});
    kit_put("a", "x");
    delivery = kit_take(sub, "x");
    kit_pass(98 * MS);
    EQ(assert_law(sub).in_flight, 1);
    kit_pass(4 * MS);
    SOON(assert_law(sub).in_flight == 0);
    EQ(assert_law(sub).nacked, 1);
    EQ(assert_law(sub).delayed, 1);
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    EQ(assert_law(sub).stale, 1);
    kit_pass(46 * MS); /* 148 */
    kit_none(sub);
    kit_pass(10 * MS);
    delivery = kit_take_soon(sub, "x", &ev);
    EQ(ev->attempt, 2);
    kit_pass(110 * MS);
    SOON(assert_law(sub).dead_lettered == 1);
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ_STR(letter.reason, "delivery_limit");
    EQ(letter.death.error_code, EVB_ETIMEDOUT);
    EQ_STR(letter.text, "lease expired");
    EQ(letter.death.attempts, 2);
    kit_leave(sub);
    kit_close();
}

TEST(a_settlement_before_the_lease_runs_out_is_in_time)
{
    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = 100 * MS});
    kit_put("a", "1");
    {
        uint64_t delivery = kit_take(sub, "1");

        kit_pass(98 * MS);
        OK(evb_ack(sub, delivery));
    }
    kit_pass(HOUR);
    EQ(assert_law(sub).acked, 1);
    EQ(assert_law(sub).nacked, 0);
    kit_leave(sub);
    kit_close();
}

TEST(to_extend_starts_the_lease_anew)
{
    uint64_t delivery;

    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = 100 * MS});
    kit_put("a", "x");
    delivery = kit_take(sub, "x");
    for (int i = 0; i < 5; i++) {
        kit_pass(90 * MS);
        OK(evb_extend(sub, delivery, 0));
    }
    OK(evb_extend(sub, delivery, HOUR));
    kit_pass(HOUR - 10 * MS);
    EQ(assert_law(sub).in_flight, 1);
    OK(evb_extend(sub, delivery, 20 * MS)); /* shorter, too */
    kit_pass(15 * MS);
    EQ(assert_law(sub).in_flight, 1);
    OK(evb_extend(sub, delivery, INT64_MAX));
    kit_pass(1000 * HOUR);
    EQ(assert_law(sub).in_flight, 1);
    OK(evb_extend(sub, delivery, 5 * MS));
    kit_pass(8 * MS);
    SOON(assert_law(sub).in_flight == 0);
    FAILS(evb_extend(sub, delivery, 0), EVB_ESTALE);
    EQ(assert_law(sub).nacked, 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_lease_without_end_never_runs_out)
{
    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = INT64_MAX});
    kit_put("a", "x");
    {
        uint64_t delivery = kit_take(sub, "x");

        kit_pass(100000 * HOUR);
        EQ(assert_law(sub).in_flight, 1);
        OK(evb_ack(sub, delivery));
    }
    kit_leave(sub);
    kit_close();
}

TEST(leases_run_out_each_at_its_time)
{
    uint64_t deliveries[20];

    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = HOUR, .retry.base_ns = HOUR, .retry.cap_ns = HOUR});
    for (int i = 0; i < 20; i++)
        kit_put("a", "x");
    for (int i = 0; i < 20; i++) { /* in no order */
        deliveries[i] = kit_take(sub, "x");
        OK(evb_extend(sub, deliveries[i], (1 + (i * 7) % 20) * 10 * MS - MS));
    }
    for (uint32_t n = 1; n <= 20; n++) {
        kit_pass(8 * MS);
        EQ(assert_law(sub).in_flight, 20 - (n - 1));
        kit_pass(2 * MS);
        SOON(assert_law(sub).in_flight == 20 - n);
    }
    for (int i = 0; i < 20; i++)
        FAILS(evb_ack(sub, deliveries[i]), EVB_ESTALE);
    EQ(assert_law(sub).stale, 20);
    kit_leave(sub);
    kit_close();
}

TEST(a_deferred_delivery_has_a_lease_and_a_running_handler_has_none)
{
    struct gate gate = GATE_SHUT;

    kit_open_by_hand();
    open_deferring((evb_sub_opts){.lease_ns = 100 * MS, .retry.max_attempts = 1});
    kit_put("a", "deferred");
    (void)deferred(0);
    SOON(assert_law(sub).in_flight == 1);
    kit_pass(90 * MS);
    EQ(assert_law(sub).in_flight, 1);
    kit_pass(20 * MS);
    SOON(assert_law(sub).dead_lettered == 1);
    FAILS(evb_ack(sub, deferred(0)), EVB_ESTALE);
    kit_leave(sub);

    catcher_reset(&seen); /* its gate holds the only worker: nobody could look at a lease but us */
    seen.gate = &gate;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen});
    kit_put("a", "slow");
    gate_wait_held(&gate, 1);
    evb_test_clock_advance(HOUR);
    EQ(assert_law(sub).in_flight, 1);
    EQ(assert_law(sub).nacked, 0);
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 1);
    EQ(catcher_count(&seen), 1);
    kit_leave(sub);
    kit_close();
}

TEST(what_a_dispatched_handler_has_deferred_has_a_lease_that_somebody_keeps)
{
    kit_open(1);
    open_deferring((evb_sub_opts){.flags = EVB_SUB_DISPATCH, .lease_ns = MS, .retry.max_attempts = 1});
    held.answer = EVB_OK; /* does not matter */
    kit_put("a", "x");
    EQ(evb_sub_dispatch(sub, 1), 1);
    SOON(assert_law(sub).dead_lettered == 1);
    FAILS(evb_ack(sub, deferred(0)), EVB_ESTALE);
    kit_leave(sub);
    kit_close();
}

TEST(by_the_systems_clock_a_lease_runs_out_too)
{
    const evb_event *ev;
    uint64_t delivery, again;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.lease_ns = MS, .retry = {.base_ns = 1, .cap_ns = 1}});
    kit_put("a", "x");
    delivery = kit_take(sub, "x");
    OK(evb_sub_next(sub, EVB_FOREVER, &again,
                    &ev)); /* wakes when the lease has run out and the retry is due */
    NE(again, delivery);
    EQ(ev->attempt, 2);
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deferred_delivery_is_settled_later_by_its_number),
        cmocka_unit_test(the_result_of_a_handler_that_has_deferred_is_ignored),
        cmocka_unit_test(a_deferred_delivery_may_be_settled_while_its_handler_still_runs),
        cmocka_unit_test(a_deferred_event_stays_readable_until_it_is_settled),
        cmocka_unit_test(a_listeners_event_and_one_at_most_once_cannot_be_deferred),
        cmocka_unit_test(an_event_is_deferred_once),
        cmocka_unit_test(no_more_than_max_in_flight_deliveries_are_deferred),
        cmocka_unit_test(a_lease_that_has_run_out_is_a_failed_attempt),
        cmocka_unit_test(a_settlement_before_the_lease_runs_out_is_in_time),
        cmocka_unit_test(to_extend_starts_the_lease_anew),
        cmocka_unit_test(a_lease_without_end_never_runs_out),
        cmocka_unit_test(leases_run_out_each_at_its_time),
        cmocka_unit_test(a_deferred_delivery_has_a_lease_and_a_running_handler_has_none),
        cmocka_unit_test(what_a_dispatched_handler_has_deferred_has_a_lease_that_somebody_keeps),
        cmocka_unit_test(by_the_systems_clock_a_lease_runs_out_too),
    };
    return EVB_TEST_MAIN("queue_defer", tests, argc, argv);
}
