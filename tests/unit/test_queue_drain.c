/* SPDX-License-Identifier: MIT */
/* Drain and destroy: what is refused, what is waited for, what is handed out, who is told. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static struct gate gate = GATE_SHUT;
static evb_sub *sub;

static void open_with(uint32_t workers)
{
    kit_open(workers);
    gate_shut(&gate);
    catcher_reset(&seen);
}

static evb_sub *watch(const char *pattern)
{
    return kit_sub(pattern, (evb_sub_opts){.handler = catch_event, .user = &seen});
}

/* ---- what is refused ---- */

TEST(a_draining_bus_refuses_publishes_and_subscriptions)
{
    evb_topic *topic;
    evb_sub *none = NULL;
    evb_queue_stats before;
    void *loan, *late = NULL;

    open_with(1);
    OK(evb_topic_open(kit.bus, "a", &topic));
    sub = kit_sub("a", (evb_sub_opts){0});
    OK(evb_loan(kit.bus, 1, &loan));
    kit_put("a", "left");
    before = assert_law(sub);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    FAILS(kit_try("a", "x"), EVB_ECLOSED);
    FAILS(kit_try("nobody", "x"), EVB_ECLOSED);
    FAILS(evb_emit(kit.bus, "a", "x", 1), EVB_ECLOSED);
    FAILS(evb_topic_emit(topic, "x", 1), EVB_ECLOSED);
    FAILS(evb_topic_publish(topic, "x", 1, NULL), EVB_ECLOSED);
    FAILS(evb_publish_many(kit.bus, &(evb_message){.topic = "a"}, 1, NULL), EVB_ECLOSED);
    FAILS(evb_publish_loan(kit.bus, "a", loan, 1, NULL), EVB_ECLOSED);
    FAILS(evb_loan(kit.bus, 1, &late), EVB_ECLOSED);
    EQ_PTR(late, NULL);
    FAILS(evb_subscribe(kit.bus, "b", NULL, &none), EVB_ECLOSED);
    FAILS(evb_subscribe(kit.bus, "b", &(evb_sub_opts){.handler = catch_event, .user = &seen}, NULL),
          EVB_ECLOSED);
    EQ_PTR(none, NULL);
    NOTHING_CHANGED(sub, before);
    evb_loan_cancel(kit.bus, loan);
    evb_topic_close(topic);
    kit_leave(sub);
    kit_close();
}

TEST(listeners_hear_on_while_a_bus_drains)
{
    evb_topic *topic;

    open_with(1);
    (void)ID(evb_on(kit.bus, "l", catch_event, &seen));
    OK(evb_topic_open(kit.bus, "l", &topic));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(evb_emit(kit.bus, "l", "1", 1), 1);
    EQ(evb_topic_emit(topic, "2", 1), 1);
    FAILS(kit_try("l", "3"), EVB_ECLOSED);
    (void)ID(evb_on(kit.bus, "l", catch_event, &seen)); /* and come */
    EQ(evb_emit(kit.bus, "l", "4", 1), 2);
    EQ_STR(catcher_said(&seen), "1 2 4 4");
    evb_topic_close(topic);
    kit_close();
}

TEST(redriving_while_a_bus_drains_is_refused)
{
    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    OK(evb_reject(sub, kit_take(sub, "x"), 1, NULL));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER)); /* dead letters are not waited for */
    FAILS(evb_dlq_redrive(sub, 1), EVB_ECLOSED);
    EQ_STR(kit_dead(sub), "x");
    kit_leave(sub);
    kit_close();
}

/* ---- what is waited for ---- */

TEST(an_idle_bus_is_drained_at_once_and_again_and_again)
{
    open_with(1);
    OK(evb_bus_drain(kit.bus, 0));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    OK(evb_bus_drain(kit.bus, 1));
    kit_close();
    open_with(1);
    sub = watch("a");
    kit_put("a", "x");
    SOON(kit_settled(sub));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    OK(evb_bus_drain(kit.bus, 0));
    EQ(assert_law(sub).acked, 1);
    kit_leave(sub);
    OK(evb_bus_drain(kit.bus, 0));
    kit_close();
}

TEST(drain_waits_for_what_is_ready_in_flight_delayed_and_retrying)
{
    static const int32_t answers[] = {EVB_NACK, EVB_NACK};
    evb_queue_stats s;

    open_with(2);
    seen.answers = answers;
    seen.answer_count = 2;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event,
                                      .user = &seen,
                                      .retry = {.base_ns = 2 * MS, .cap_ns = 2 * MS}});
    for (int i = 0; i < 10; i++)
        kit_put("a", "x");
    EQ(kit_put_with("a", "later", (evb_publish_opts){.delay_ns = 3 * MS}), 1);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    CHECK(kit_settled(sub));
    s = assert_law(sub);
    EQ(s.acked, 11);
    EQ(s.nacked, 2);
    EQ(seen.inside, 0); /* not locked: no handler runs any more */
    kit_leave(sub);
    kit_close();
}

TEST(drain_waits_for_several_queues)
{
    evb_sub *subs[3];

    open_with(2);
    for (int i = 0; i < 3; i++)
        subs[i] = watch("a");
    for (int i = 0; i < 200; i++)
        EQ(kit_try("a", "x"), 3);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(catcher_count(&seen), 600);
    for (int i = 0; i < 3; i++) {
        EQ(assert_law(subs[i]).acked, 200);
        kit_leave(subs[i]);
    }
    kit_close();
}

TEST(a_drain_that_is_not_finished_in_time_says_so_and_goes_on_when_it_is_called_again)
{
    open_with(1);
    seen.gate = &gate;
    sub = watch("a");
    kit_put("a", "1");
    kit_put("a", "2");
    gate_wait_held(&gate, 1);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    FAILS(evb_bus_drain(kit.bus, 5 * MS), EVB_ETIMEDOUT);
    FAILS(kit_try("a", "no"), EVB_ECLOSED);
    FAILS(evb_bus_drain(kit.bus, 1), EVB_ETIMEDOUT);
    EQ(assert_law(sub).ready, 1);
    EQ(assert_law(sub).in_flight, 1);
    gate_open(&gate);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ_STR(catcher_said(&seen), "1 2");
    kit_leave(sub);
    kit_close();
}

TEST(a_paused_queue_is_not_resumed_by_a_drain)
{
    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_PAUSED});
    kit_put("a", "x");
    FAILS(evb_bus_drain(kit.bus, 5 * MS), EVB_ETIMEDOUT);
    EQ(catcher_count(&seen), 0);
    OK(evb_sub_resume(sub));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(catcher_count(&seen), 1);
    kit_leave(sub);
    kit_close();
}

static void drain(void *arg)
{
    *(int32_t *)arg = evb_bus_drain(kit.bus, EVB_FOREVER);
}

TEST(pulled_queues_are_emptied_by_their_pullers_while_the_bus_drains)
{
    struct sleeper drainer;
    const evb_event *ev;
    uint64_t delivery, held;
    int32_t answer = 77;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    kit_put("a", "3");
    held = kit_take(sub, "1");
    sleeper_start(&drainer, drain, &answer);
    CHECK(!sleeper_is_over(&drainer));
    FAILS(kit_try("a", "4"), EVB_ECLOSED);
    OK(evb_ack(sub, kit_take(sub, "2")));
    OK(evb_nack(sub, held, 0)); /* failures are tried again */
    OK(evb_ack(sub, kit_take(sub, "3")));
    held = kit_take_event(sub, "1", &ev);
    EQ(ev->attempt, 2);
    CHECK(!sleeper_is_over(&drainer));
    OK(evb_ack(sub, held));
    sleeper_join(&drainer);
    EQ(answer, 0);
    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_ECLOSED);
    FAILS(evb_sub_next(sub, EVB_FOREVER, &delivery, &ev), EVB_ECLOSED);
    EQ(assert_law(sub).acked, 3);
    kit_leave(sub);
    kit_close();
}

TEST(take_and_dispatch_hand_out_what_is_left_and_then_answer_closed)
{
    static _Alignas(8) unsigned char room[256];
    evb_sub *dispatched;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    dispatched =
        kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    EQ(kit_try("a", "x"), 2);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    EQ(evb_sub_take(sub, room, sizeof room, 10), 1);
    FAILS(evb_sub_take(sub, room, sizeof room, 10), EVB_ECLOSED);
    EQ(evb_sub_dispatch(dispatched, 10), 1);
    FAILS(evb_sub_dispatch(dispatched, 10), EVB_ECLOSED);
    OK(evb_bus_drain(kit.bus, 0));
    kit_leave(sub);
    kit_leave(dispatched);
    kit_close();
}

struct puller {
    struct sleeper sleeper;
    int32_t answer;
    uint64_t delivery;
};

static void pull(void *arg)
{
    struct puller *p = arg;
    const evb_event *ev;

    p->answer = evb_sub_next(sub, EVB_FOREVER, &p->delivery, &ev);
}

TEST(a_puller_that_waits_is_told_when_the_bus_drains)
{
    struct puller p[2];

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    for (int i = 0; i < 2; i++)
        sleeper_start(&p[i].sleeper, pull, &p[i]);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    for (int i = 0; i < 2; i++) {
        sleeper_join(&p[i].sleeper);
        EQ(p[i].answer, EVB_ECLOSED);
    }
    kit_leave(sub);
    kit_close();
}

TEST(a_puller_that_waits_while_the_bus_drains_gets_what_is_given_back)
{
    struct puller p;
    uint64_t held;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    held = kit_take(sub, "x");
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    sleeper_start(&p.sleeper, pull, &p);
    CHECK(!sleeper_is_over(&p.sleeper)); /* something may still come */
    OK(evb_nack(sub, held, 0));
    sleeper_join(&p.sleeper);
    OK(p.answer);
    held = p.delivery;
    sleeper_start(&p.sleeper, pull, &p);
    OK(evb_ack(sub, held));
    sleeper_join(&p.sleeper);
    EQ(p.answer, EVB_ECLOSED);
    OK(evb_bus_drain(kit.bus, 0));
    kit_leave(sub);
    kit_close();
}

static int32_t drain_inside(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    FAILS(evb_bus_drain(kit.bus, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EDEADLK);
    return EVB_OK;
}

TEST(inside_a_callback_nobody_drains)
{
    open_with(1);
    (void)ID(evb_on(kit.bus, "l", drain_inside, &seen));
    EQ(kit_try("l", "x"), 1);
    sub = kit_sub("a", (evb_sub_opts){.handler = drain_inside, .user = &seen});
    kit_put("a", "x");
    SOON(kit_settled(sub));
    kit_put("a", "not even begun");
    SOON(kit_settled(sub));
    EQ(catcher_count(&seen), 3);
    kit_leave(sub);
    kit_close();
}

/* Passes the event on to the topic that user names, once the gate is open. */
static int32_t pass_on(const evb_event *ev, void *user)
{
    gate_hold(&gate);
    EQ(evb_publish(kit.bus, user, ev->data, ev->size, NULL), 1);
    return EVB_OK;
}

TEST(a_chain_of_queues_runs_to_its_end_while_the_bus_drains)
{
    evb_sub *first, *second, *third;

    open_with(2);
    first = kit_sub("one", (evb_sub_opts){.handler = pass_on, .user = (void *)"two"});
    second = kit_sub("two", (evb_sub_opts){.handler = pass_on, .user = (void *)"three"});
    third = watch("three");
    kit_put("one", "x");
    gate_wait_held(&gate, 1);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    FAILS(kit_try("one", "no"), EVB_ECLOSED); /* outside of a handler */
    gate_open(&gate);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(catcher_count(&seen), 1);
    EQ(assert_law(first).acked + assert_law(second).acked + assert_law(third).acked, 3);
    kit_leave(first);
    kit_leave(second);
    kit_leave(third);
    kit_close();
}

TEST(a_dispatched_handler_publishes_on_while_the_bus_drains)
{
    evb_sub *first, *second;

    open_with(1);
    gate_open(&gate);
    first =
        kit_sub("one", (evb_sub_opts){.handler = pass_on, .user = (void *)"two", .flags = EVB_SUB_DISPATCH});
    second = watch("two");
    kit_put("one", "x");
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    EQ(evb_sub_dispatch(first, 1), 1);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(catcher_count(&seen), 1);
    kit_leave(first);
    kit_leave(second);
    kit_close();
}

static int32_t publish_in_vain(const evb_event *ev, void *user)
{
    gate_hold(&gate);
    FAILS(evb_publish(kit.bus, "a", ev->data, ev->size, NULL), EVB_ECLOSED);
    return catch_event(ev, user);
}

TEST(a_handler_of_another_bus_is_refused_by_one_that_drains)
{
    evb_bus *other;
    evb_sub *theirs;

    open_with(1);
    OK(evb_bus_create(&(evb_bus_opts){.workers = 1, .drain_timeout_ns = 1}, &other));
    OK(evb_subscribe(other, "a", &(evb_sub_opts){.handler = publish_in_vain, .user = &seen}, &theirs));
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "keeps it draining");
    EQ(evb_publish(other, "a", "x", 1, NULL), 1);
    gate_wait_held(&gate, 1);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    gate_open(&gate);
    SOON(kit_settled(theirs));
    EQ(assert_law(sub).enqueued, 1);
    kit_leave(theirs);
    evb_bus_destroy(other);
    kit_leave(sub);
    kit_close();
}

TEST(drain_waits_for_a_running_handler_also_when_its_event_was_settled_before)
{
    struct sleeper drainer;
    int32_t answer = 77;

    open_with(1);
    seen.gate = &gate;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_AT_MOST_ONCE});
    kit_put("a", "x");
    gate_wait_held(&gate, 1);
    sleeper_start(&drainer, drain, &answer);
    CHECK(!sleeper_is_over(&drainer));
    gate_open(&gate);
    sleeper_join(&drainer);
    EQ(answer, 0);
    EQ(seen.inside, 0); /* not locked: nobody runs any more */
    kit_leave(sub);
    kit_close();
}

TEST(several_threads_may_drain_one_bus)
{
    struct sleeper drainers[3];
    int32_t answers[3];

    open_with(1);
    seen.gate = &gate;
    sub = watch("a");
    kit_put("a", "x");
    gate_wait_held(&gate, 1);
    for (int i = 0; i < 3; i++)
        sleeper_start(&drainers[i], drain, &answers[i]);
    gate_open(&gate);
    for (int i = 0; i < 3; i++) {
        sleeper_join(&drainers[i]);
        EQ(answers[i], 0);
    }
    kit_leave(sub);
    kit_close();
}

TEST(a_queue_whose_last_member_leaves_is_not_waited_for)
{
    struct sleeper drainer;
    int32_t answer = 77;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "nobody will take it");
    sleeper_start(&drainer, drain, &answer);
    CHECK(!sleeper_is_over(&drainer));
    kit_leave(sub);
    sleeper_join(&drainer);
    EQ(answer, 0);
    kit_close();
}

TEST(a_purge_ends_a_drain)
{
    struct sleeper drainer;
    int32_t answer = 77;

    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){.flags = EVB_SUB_PAUSED});
    kit_put("a", "x");
    EQ(kit_try("a", "y"), 1);
    sleeper_start(&drainer, drain, &answer);
    EQ(evb_sub_purge(sub), 2);
    sleeper_join(&drainer);
    EQ(answer, 0);
    kit_leave(sub);
    kit_close();
}

TEST(a_timeout_that_is_none_begins_nothing)
{
    open_with(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    FAILS(evb_bus_drain(kit.bus, -2), EVB_EINVAL);
    FAILS(evb_bus_drain(NULL, 0), EVB_EINVAL);
    kit_put("a", "still open");
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_draining_bus_refuses_publishes_and_subscriptions),
        cmocka_unit_test(listeners_hear_on_while_a_bus_drains),
        cmocka_unit_test(redriving_while_a_bus_drains_is_refused),
        cmocka_unit_test(an_idle_bus_is_drained_at_once_and_again_and_again),
        cmocka_unit_test(drain_waits_for_what_is_ready_in_flight_delayed_and_retrying),
        cmocka_unit_test(drain_waits_for_several_queues),
        cmocka_unit_test(a_drain_that_is_not_finished_in_time_says_so_and_goes_on_when_it_is_called_again),
        cmocka_unit_test(a_paused_queue_is_not_resumed_by_a_drain),
        cmocka_unit_test(pulled_queues_are_emptied_by_their_pullers_while_the_bus_drains),
        cmocka_unit_test(take_and_dispatch_hand_out_what_is_left_and_then_answer_closed),
        cmocka_unit_test(a_puller_that_waits_is_told_when_the_bus_drains),
        cmocka_unit_test(a_puller_that_waits_while_the_bus_drains_gets_what_is_given_back),
        cmocka_unit_test(inside_a_callback_nobody_drains),
        cmocka_unit_test(a_chain_of_queues_runs_to_its_end_while_the_bus_drains),
        cmocka_unit_test(a_dispatched_handler_publishes_on_while_the_bus_drains),
        cmocka_unit_test(a_handler_of_another_bus_is_refused_by_one_that_drains),
        cmocka_unit_test(drain_waits_for_a_running_handler_also_when_its_event_was_settled_before),
        cmocka_unit_test(several_threads_may_drain_one_bus),
        cmocka_unit_test(a_queue_whose_last_member_leaves_is_not_waited_for),
        cmocka_unit_test(a_purge_ends_a_drain),
        cmocka_unit_test(a_timeout_that_is_none_begins_nothing),
    };
    return EVB_TEST_MAIN("queue_drain", tests, argc, argv);
}
