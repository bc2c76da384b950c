/* SPDX-License-Identifier: MIT */
/* Pulling: evb_sub_next, its window, its waits; evb_sub_take and its records; dispatch. */
#include "queue_kit.h"

#include <string.h>

#include "base/clock.h"

static struct catcher seen;
static evb_sub *sub;

static void open_pulled(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("a.>", opts);
}

/* ---- next ---- */

TEST(an_empty_queue_answers_eempty_at_once_and_etimedout_in_time)
{
    const evb_event *ev = NULL;
    uint64_t delivery = 77;
    int64_t from;

    open_pulled((evb_sub_opts){0});
    kit_none(sub);
    from = evb__clock_mono();
    FAILS(evb_sub_next(sub, 20 * MS, &delivery, &ev), EVB_ETIMEDOUT);
    CHECK(evb__clock_mono() - from >= 20 * MS);
    FAILS(evb_sub_next(sub, 1, &delivery, &ev), EVB_ETIMEDOUT);
    EQ(delivery, 77);
    EQ_PTR(ev, NULL);
    kit_put("a.b", "x");
    OK(evb_sub_next(sub, 1, &delivery, &ev));
    CHECK(kit_is(ev, "x"));
    kit_leave(sub);
    kit_close();
}

struct puller {
    struct sleeper sleeper;
    int64_t timeout_ns;
    int32_t answer;
    uint64_t delivery;
    char text[16];
};

static void pull(void *arg)
{
    struct puller *p = arg;
    const evb_event *ev;

    p->answer = evb_sub_next(sub, p->timeout_ns, &p->delivery, &ev);
    if (p->answer == EVB_OK) {
        memcpy(p->text, ev->data, ev->size);
        p->text[ev->size] = '\0';
    }
}

static void wait_for_next(struct puller *p)
{
    memset(p, 0, sizeof *p);
    p->timeout_ns = EVB_FOREVER;
    sleeper_start(&p->sleeper, pull, p);
    CHECK(!sleeper_is_over(&p->sleeper));
}

TEST(a_waiting_puller_is_woken_by_whatever_brings_an_event)
{
    struct puller p;
    uint64_t delivery;

    open_pulled((evb_sub_opts){0});
    for (int how = 0; how < 7; how++) {
        uint64_t held = 0;

        if (how >= 3) {
            kit_put("a.b", "x");
            held = kit_take(sub, "x");
            if (how == 5) OK(evb_reject(sub, held, 1, NULL));
            if (how == 6) {
                OK(evb_release(sub, held));
                OK(evb_sub_pause(sub));
            }
        }
        wait_for_next(&p);
        switch (how) {
        case 0:
            kit_put("a.b", "x");
            break;
        case 1:
            EQ(evb_emit(kit.bus, "a.b", "x", 1), 1);
            break;
        case 2:
            EQ(kit_put_with("a.b", "x", (evb_publish_opts){.delay_ns = MS}), 1);
            break;
        case 3:
            OK(evb_nack(sub, held, 0));
            break;
        case 4:
            OK(evb_release(sub, held));
            break;
        case 5:
            EQ(evb_dlq_redrive(sub, 1), 1);
            break;
        default:
            OK(evb_sub_resume(sub));
        }
        sleeper_join(&p.sleeper);
        OK(p.answer);
        EQ_STR(p.text, "x");
        OK(evb_ack(sub, p.delivery));
    }
    delivery = p.delivery;
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    kit_leave(sub);
    kit_close();
}

TEST(each_event_wakes_one_puller_and_none_stays_asleep)
{
    struct puller p[4];

    open_pulled((evb_sub_opts){0});
    for (int i = 0; i < 4; i++)
        wait_for_next(&p[i]);
    for (int i = 0; i < 4; i++)
        kit_put("a.b", (const char *[]){"1", "2", "3", "4"}[i]);
    for (int i = 0; i < 4; i++) {
        sleeper_join(&p[i].sleeper);
        OK(p[i].answer);
        OK(evb_ack(sub, p[i].delivery));
        for (int k = 0; k < i; k++)
            NE(p[i].text[0], p[k].text[0]);
    }
    EQ(assert_law(sub).acked, 4);
    kit_leave(sub);
    kit_close();
}

TEST(a_full_window_counts_as_nothing_to_take)
{
    struct puller p;
    uint64_t first, second;

    open_pulled((evb_sub_opts){.max_in_flight = 2});
    for (int i = 0; i < 4; i++)
        kit_put("a.b", (const char *[]){"1", "2", "3", "4"}[i]);
    first = kit_take(sub, "1");
    second = kit_take(sub, "2");
    kit_none(sub);
    EQ(assert_law(sub).ready, 2);
    wait_for_next(&p);
    OK(evb_ack(sub, second)); /* room in the window wakes, too */
    sleeper_join(&p.sleeper);
    EQ_STR(p.text, "3");
    kit_none(sub);
    OK(evb_nack(sub, first, HOUR)); /* what waits for its retry is not in the window */
    (void)kit_take(sub, "4");
    kit_none(sub);
    EQ(assert_law(sub).in_flight, 2);
    kit_leave(sub);
    kit_close();
}

TEST(without_a_window_of_its_own_there_are_256)
{
    open_pulled((evb_sub_opts){0});
    for (int i = 0; i < 300; i++)
        kit_put("a.b", "x");
    for (int i = 0; i < 256; i++)
        (void)kit_take(sub, "x");
    kit_none(sub);
    EQ(assert_law(sub).capacity, 1024);
    EQ(assert_law(sub).ready, 44);
    kit_leave(sub);
    kit_close();
}

TEST(a_puller_that_waits_is_told_when_its_member_leaves)
{
    struct puller p[2];

    open_pulled((evb_sub_opts){0});
    for (int i = 0; i < 2; i++)
        wait_for_next(&p[i]);
    OK(evb_unsubscribe(sub));
    for (int i = 0; i < 2; i++) {
        sleeper_join(&p[i].sleeper);
        EQ(p[i].answer, EVB_ECLOSED);
    }
    kit_close();
}

TEST(a_puller_that_waits_is_told_when_its_member_leaves_and_others_stay)
{
    struct puller p;
    evb_sub *stays;

    open_pulled((evb_sub_opts){.name = "group"});
    stays = kit_sub("a.>", (evb_sub_opts){.name = "group"});
    wait_for_next(&p);
    OK(evb_unsubscribe(sub));
    sleeper_join(&p.sleeper);
    EQ(p.answer, EVB_ECLOSED);
    kit_put("a.b", "x");
    EQ_STR(kit_rest(stays), "x");
    kit_leave(stays);
    kit_close();
}

static int32_t pull_inside(const evb_event *ev, void *user)
{
    uint64_t delivery;
    const evb_event *next;

    (void)catch_event(ev, user);
    FAILS(evb_sub_next(sub, EVB_FOREVER, &delivery, &next), EVB_EDEADLK);
    FAILS(evb_sub_next(sub, HOUR, &delivery, &next), EVB_EDEADLK);
    FAILS(evb_sub_next(sub, 0, &delivery, &next), EVB_EEMPTY);
    kit_put("a.b", "inside");
    OK(evb_sub_next(sub, EVB_FOREVER, &delivery, &next)); /* that need not wait */
    CHECK(kit_is(next, "inside"));
    OK(evb_ack(sub, delivery));
    return EVB_OK;
}

TEST(inside_a_callback_next_does_not_wait)
{
    evb_sub *handled;

    open_pulled((evb_sub_opts){0});
    catcher_reset(&seen);
    (void)ID(evb_on(kit.bus, "listener", pull_inside, &seen));
    EQ(kit_try("listener", "x"), 1);
    handled = kit_sub("handler", (evb_sub_opts){.handler = pull_inside, .user = &seen});
    kit_put("handler", "x");
    SOON(kit_settled(handled));
    EQ(catcher_count(&seen), 2);
    kit_leave(handled);
    kit_leave(sub);
    kit_close();
}

TEST(a_queue_with_a_handler_is_not_pulled)
{
    const evb_event *ev;
    uint64_t delivery, buf[64];

    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_PAUSED});
    kit_put("a", "x");
    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_ENOTSUP);
    FAILS(evb_sub_next(sub, EVB_FOREVER, &delivery, &ev), EVB_ENOTSUP);
    FAILS(evb_sub_take(sub, buf, sizeof buf, 1), EVB_ENOTSUP);
    FAILS(evb_sub_dispatch(sub, 1), EVB_ENOTSUP);
    FAILS(evb_sub_fd(sub), EVB_ENOTSUP);
    EQ(assert_law(sub).ready, 1);
    kit_leave(sub);
    kit_close();
}

/* ---- take ---- */

static _Alignas(8) unsigned char room[4096];

/* The record at *at is this event; goes on to the next one. */
static void record_is(size_t *at, const char *topic, const char *key, const char *data, uint64_t sequence)
{
    evb_packed head;
    const unsigned char *body = room + *at + sizeof head;

    memcpy(&head, room + *at, sizeof head);
    EQ(head.size % 8, 0);
    CHECK(head.size >= sizeof head + strlen(topic) + 1 + strlen(key) + strlen(data));
    CHECK(head.size < sizeof head + strlen(topic) + 1 + strlen(key) + strlen(data) + 8);
    EQ(head.topic_len, strlen(topic));
    EQ(head.key_len, strlen(key));
    EQ(head.data_len, strlen(data));
    EQ(head.sequence, sequence);
    CHECK(head.time_ns > 0);
    EQ(head.attempt, 1);
    EQ(head.flags, 0);
    EQ_MEM(body, topic, strlen(topic) + 1);
    if (key[0] != '\0') EQ_MEM(body + strlen(topic) + 1, key, strlen(key));
    if (data[0] != '\0') EQ_MEM(body + strlen(topic) + 1 + strlen(key), data, strlen(data));
    for (size_t i = sizeof head + strlen(topic) + 1 + strlen(key) + strlen(data); i < head.size; i++)
        EQ(room[*at + i], 0);
    *at += head.size;
}

TEST(take_packs_events_one_behind_the_other_and_settles_them)
{
    uint64_t sequences[3];
    size_t at = 0;

    open_pulled((evb_sub_opts){0});
    EQ(kit_put_with("a.b", "first", (evb_publish_opts){.ret_sequence = &sequences[0]}), 1);
    EQ(kit_put_with("a.long.topic", "",
                    (evb_publish_opts){.key = "the key", .key_len = 7, .ret_sequence = &sequences[1]}),
       1);
    EQ(kit_put_with("a.c", "third, longer",
                    (evb_publish_opts){.key = "k", .key_len = 1, .ret_sequence = &sequences[2]}),
       1);
    memset(room, 0xEE, sizeof room);
    EQ(evb_sub_take(sub, room, sizeof room, 100), 3);
    record_is(&at, "a.b", "", "first", sequences[0]);
    record_is(&at, "a.long.topic", "the key", "", sequences[1]);
    record_is(&at, "a.c", "k", "third, longer", sequences[2]);
    for (size_t i = at; i < sizeof room; i++)
        EQ(room[i], 0xEE);
    EQ(assert_law(sub).acked, 3);
    EQ(assert_law(sub).in_flight, 0);
    EQ(assert_law(sub).delivered, 3);
    FAILS(evb_sub_take(sub, room, sizeof room, 100), EVB_EEMPTY);
    kit_leave(sub);
    kit_close();
}

TEST(take_stops_at_max_and_where_the_room_ends)
{
    evb_packed head;
    size_t one;

    open_pulled((evb_sub_opts){0});
    for (int i = 0; i < 6; i++)
        kit_put("a.b", "12345678");
    EQ(evb_sub_take(sub, room, sizeof room, 1), 1);
    memcpy(&head, room, sizeof head);
    one = head.size;
    memset(room, 0xEE, sizeof room);
    EQ(evb_sub_take(sub, room, 3 * one - 1, 100), 2);
    EQ(room[2 * one], 0xEE);
    EQ(evb_sub_take(sub, room, one, 100), 1);
    memset(room, 0xEE, sizeof room);
    FAILS(evb_sub_take(sub, room, one - 1, 100), EVB_ETOOBIG); /* it stays */
    EQ(room[0], 0xEE);
    FAILS(evb_sub_take(sub, room, 0, 100), EVB_ETOOBIG);
    EQ(assert_law(sub).ready, 2);
    EQ(assert_law(sub).acked, 4);
    EQ(evb_sub_take(sub, room, one, 100), 1);
    (void)kit_take(sub, "12345678");
    kit_leave(sub);
    kit_close();
}

TEST(take_needs_no_window)
{
    open_pulled((evb_sub_opts){.max_in_flight = 1});
    for (int i = 0; i < 3; i++)
        kit_put("a.b", (const char *[]){"1", "2", "3"}[i]);
    EQ(evb_sub_take(sub, room, sizeof room, 2), 2);
    EQ(evb_sub_take(sub, room, sizeof room, 2), 1);
    EQ(assert_law(sub).acked, 3);
    kit_leave(sub);
    kit_close();
}

TEST(take_tells_what_has_been_tried_before)
{
    evb_packed head;

    open_pulled((evb_sub_opts){0});
    kit_put("a.b", "x");
    OK(evb_nack(sub, kit_take(sub, "x"), 0));
    EQ(evb_sub_take(sub, room, sizeof room, 1), 1);
    memcpy(&head, room, sizeof head);
    EQ(head.attempt, 2);
    EQ(head.flags, EVB_EVENT_REDELIVERED);
    EQ(assert_law(sub).redelivered, 1);
    kit_leave(sub);
    kit_close();
}

TEST(bad_arguments_of_take_take_nothing)
{
    open_pulled((evb_sub_opts){0});
    kit_put("a.b", "x");
    FAILS(evb_sub_take(sub, NULL, 100, 1), EVB_EINVAL);
    FAILS(evb_sub_take(sub, room + 4, 100, 1), EVB_EINVAL);
    FAILS(evb_sub_take(sub, room + 1, 100, 1), EVB_EINVAL);
    FAILS(evb_sub_take(sub, room, 100, 0), EVB_EINVAL);
    FAILS(evb_sub_take(NULL, room, 100, 1), EVB_EINVAL);
    EQ(assert_law(sub).ready, 1);
    EQ(evb_sub_take(sub, room, 100, 1), 1);
    kit_leave(sub);
    kit_close();
}

/* ---- dispatch ---- */

TEST(dispatch_runs_the_handler_here_for_as_many_events_as_it_was_told)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    FAILS(evb_sub_dispatch(sub, 10), EVB_EEMPTY);
    for (int i = 0; i < 5; i++)
        kit_put("a", (const char *[]){"1", "2", "3", "4", "5"}[i]);
    EQ(catcher_count(&seen), 0);
    EQ(evb_sub_dispatch(sub, 2), 2);
    EQ_STR(catcher_said(&seen), "1 2");
    EQ(evb_sub_dispatch(sub, 0), 3);
    FAILS(evb_sub_dispatch(sub, 0), EVB_EEMPTY);
    for (int i = 0; i < 100; i++)
        kit_put("a", "x");
    EQ(evb_sub_dispatch(sub, 0), 64);
    EQ(evb_sub_dispatch(sub, UINT32_MAX), 36);
    EQ(assert_law(sub).acked, 105);
    kit_leave(sub);
    kit_close();
}

static int32_t dispatch_inside(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    FAILS(evb_sub_dispatch(sub, 1), EVB_EDEADLK);
    return ev->attempt == 1 ? EVB_NACK : EVB_OK;
}

TEST(dispatch_settles_as_workers_do_and_not_inside_a_callback)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = dispatch_inside,
                                      .user = &seen,
                                      .flags = EVB_SUB_DISPATCH,
                                      .retry = {.base_ns = 1, .cap_ns = 1}});
    kit_put("a", "1");
    kit_put("a", "2");
    EQ(evb_sub_dispatch(sub, 2), 2);
    EQ(assert_law(sub).nacked, 2);
    SOON(assert_law(sub).ready == 2);
    EQ(evb_sub_dispatch(sub, 10), 2);
    EQ(assert_law(sub).acked, 2);
    kit_leave(sub);
    kit_close();
}

static struct gate held = GATE_SHUT;

static void dispatch_all(uint32_t index, void *arg)
{
    uint32_t *ran = arg;
    int32_t rc;

    while ((rc = evb_sub_dispatch(sub, 3)) > 0)
        ran[index] += (uint32_t)rc;
    FAILS(rc, EVB_EEMPTY);
}

TEST(several_threads_may_dispatch_one_subscription)
{
    uint32_t ran[4] = {0};

    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub(
        "a",
        (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH, .concurrency = 4});
    for (int i = 0; i < 1000; i++)
        kit_put("a", "x");
    evb_test_run_threads(4, dispatch_all, ran);
    while (evb_sub_dispatch(sub, 0) > 0) /* what the concurrency kept one from taking */
        continue;
    EQ(catcher_count(&seen), 1000);
    CHECK(ran[0] + ran[1] + ran[2] + ran[3] <= 1000);
    EQ(assert_law(sub).acked, 1000);
    kit_leave(sub);
    kit_close();
}

static void dispatch_one(void *arg)
{
    *(int32_t *)arg = evb_sub_dispatch(sub, 1);
}

static void leave(void *arg)
{
    OK(evb_unsubscribe(arg));
    EQ(seen.inside, 0); /* not locked: nobody runs any more */
}

TEST(unsubscribe_waits_for_a_dispatch_that_runs)
{
    struct sleeper dispatcher, leaver;
    int32_t answer = 0;

    kit_open(1);
    catcher_reset(&seen);
    gate_shut(&held);
    seen.gate = &held;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    kit_put("a", "1");
    kit_put("a", "2");
    sleeper_start(&dispatcher, dispatch_one, &answer);
    gate_wait_held(&held, 1);
    EQ(assert_law(sub).in_flight, 1);
    sleeper_start(&leaver, leave, sub);
    CHECK(!sleeper_is_over(&leaver));
    gate_open(&held);
    sleeper_join(&leaver);
    sleeper_join(&dispatcher);
    EQ(answer, 1);
    EQ(catcher_count(&seen), 1);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_queue_answers_eempty_at_once_and_etimedout_in_time),
        cmocka_unit_test(a_waiting_puller_is_woken_by_whatever_brings_an_event),
        cmocka_unit_test(each_event_wakes_one_puller_and_none_stays_asleep),
        cmocka_unit_test(a_full_window_counts_as_nothing_to_take),
        cmocka_unit_test(without_a_window_of_its_own_there_are_256),
        cmocka_unit_test(a_puller_that_waits_is_told_when_its_member_leaves),
        cmocka_unit_test(a_puller_that_waits_is_told_when_its_member_leaves_and_others_stay),
        cmocka_unit_test(inside_a_callback_next_does_not_wait),
        cmocka_unit_test(a_queue_with_a_handler_is_not_pulled),
        cmocka_unit_test(take_packs_events_one_behind_the_other_and_settles_them),
        cmocka_unit_test(take_stops_at_max_and_where_the_room_ends),
        cmocka_unit_test(take_needs_no_window),
        cmocka_unit_test(take_tells_what_has_been_tried_before),
        cmocka_unit_test(bad_arguments_of_take_take_nothing),
        cmocka_unit_test(dispatch_runs_the_handler_here_for_as_many_events_as_it_was_told),
        cmocka_unit_test(dispatch_settles_as_workers_do_and_not_inside_a_callback),
        cmocka_unit_test(several_threads_may_dispatch_one_subscription),
        cmocka_unit_test(unsubscribe_waits_for_a_dispatch_that_runs),
    };
    return EVB_TEST_MAIN("queue_pull", tests, argc, argv);
}
