/* SPDX-License-Identifier: MIT */
/* Groups: subscriptions of one name that compete for one queue, and come and go. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

static struct catcher seen[3];
static struct gate gate = GATE_SHUT;

static evb_sub *join(evb_sub_opts opts)
{
    opts.name = "group";
    return kit_sub("a.*", opts);
}

static evb_sub *join_working(struct catcher *c)
{
    return join((evb_sub_opts){.handler = catch_event, .user = c});
}

static void open_group(uint32_t workers)
{
    kit_open(workers);
    gate_shut(&gate);
    for (int i = 0; i < 3; i++)
        catcher_reset(&seen[i]);
}

/* ---- competing ---- */

TEST(each_event_goes_to_one_member)
{
    evb_sub *members[3];
    char text[16];

    open_group(1);
    for (int i = 0; i < 3; i++)
        members[i] = join((evb_sub_opts){0});
    EQ(evb_listener_count(kit.bus, "a.b"), 1);
    for (int i = 0; i < 9; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        kit_put("a.b", text);
    }
    for (int i = 0; i < 9; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        OK(evb_ack(members[i % 3], kit_take(members[i % 3], text)));
    }
    for (int i = 0; i < 3; i++) {
        kit_none(members[i]);
        EQ(assert_law(members[i]).acked, 9); /* the counters are the group's */
        kit_leave(members[i]);
    }
    kit_close();
}

TEST(whoever_is_free_gets_the_next_event)
{
    evb_sub *busy, *idle;

    open_group(2);
    busy = join_working(&seen[0]);
    seen[0].gate = &gate;
    kit_put("a.b", "1");
    gate_wait_held(&gate, 1);
    idle = join_working(&seen[1]);
    for (int i = 2; i <= 6; i++)
        kit_put("a.b", (const char *[]){"2", "3", "4", "5", "6"}[i - 2]);
    catcher_wait(&seen[1], 5);
    EQ_STR(catcher_said(&seen[1]), "2 3 4 5 6");
    EQ(catcher_count(&seen[0]), 1);
    gate_open(&gate);
    SOON(kit_settled(busy));
    kit_leave(busy);
    kit_leave(idle);
    kit_close();
}

TEST(all_members_together_run_as_many_handlers_as_their_concurrencies_say)
{
    evb_sub *members[2];

    open_group(5);
    seen[0].gate = &gate;
    members[0] = join((evb_sub_opts){.handler = catch_event, .user = &seen[0], .concurrency = 3});
    members[1] = join((evb_sub_opts){.handler = catch_event, .user = &seen[0], .concurrency = 1});
    for (int i = 0; i < 20; i++)
        kit_put("a.b", "x");
    gate_wait_held(&gate, 4);
    EQ(assert_law(members[0]).in_flight, 4);
    EQ(assert_law(members[0]).ready, 16);
    gate_open(&gate);
    SOON(kit_settled(members[0]));
    EQ(seen[0].most_inside, 4);
    kit_leave(members[0]);
    kit_leave(members[1]);
    kit_close();
}

TEST(one_handler_runs_at_a_time_unless_more_are_asked_for)
{
    evb_sub *sub;

    for (uint32_t concurrency = 0; concurrency <= 4; concurrency += 2) {
        open_group(4);
        sub = join((evb_sub_opts){.handler = catch_event, .user = &seen[0], .concurrency = concurrency});
        for (int i = 0; i < 500; i++)
            kit_put("a.b", "x");
        SOON(kit_settled(sub));
        CHECK(seen[0].most_inside <= (concurrency == 0 ? 1 : concurrency));
        EQ(catcher_count(&seen[0]), 500);
        kit_leave(sub);
        kit_close();
    }
}

TEST(handlers_dispatchers_and_pullers_may_mix)
{
    evb_sub *worker, *dispatcher, *puller;
    evb_queue_stats s;

    open_group(1);
    worker = join((evb_sub_opts){.handler = catch_event, .user = &seen[0]});
    dispatcher = join((evb_sub_opts){.handler = catch_event, .user = &seen[1], .flags = EVB_SUB_DISPATCH});
    puller = join((evb_sub_opts){0});
    seen[0].gate = &gate;
    kit_put("a.b", "1");
    gate_wait_held(&gate, 1); /* its only handler is busy */
    kit_put("a.b", "2");
    kit_put("a.b", "3");
    EQ(evb_sub_dispatch(dispatcher, 1), 1);
    OK(evb_ack(puller, kit_take(puller, "3")));
    EQ_STR(catcher_said(&seen[1]), "2");
    gate_open(&gate);
    SOON(kit_settled(worker));
    s = assert_law(puller);
    EQ(s.acked, 3);
    kit_leave(dispatcher);
    kit_leave(puller);
    kit_put("a.b", "4");
    catcher_wait(&seen[0], 2);
    kit_leave(worker);
    kit_close();
}

/* ---- joining ---- */

static int32_t any(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 1;
}

TEST(a_newcomer_with_another_pattern_or_other_options_is_refused)
{
    const evb_sub_opts others[] = {
        {.capacity = 7},
        {.capacity_bytes = 7},
        {.overflow = EVB_OVERFLOW_BLOCK},
        {.max_in_flight = 7},
        {.retry.max_attempts = 7},
        {.retry.jitter = EVB_JITTER_NONE},
        {.retry.base_ns = 7},
        {.retry.cap_ns = 7 * HOUR},
        {.retry.min_ns = 7},
        {.lease_ns = 7},
        {.dlq_capacity = 7},
        {.dlq_bytes = 7},
        {.flags = EVB_SUB_AT_MOST_ONCE},
        {.flags = EVB_SUB_DEAD_LETTER_DROPS},
        {.filter = any},
    };
    struct freed freed = {0};
    evb_queue_stats before;
    evb_sub *first, *none = NULL;

    open_group(1);
    first = join((evb_sub_opts){0});
    kit_put("a.b", "x");
    before = assert_law(first);
    for (size_t i = 0; i < COUNT(others); i++) {
        evb_sub_opts opts = others[i];

        opts.name = "group";
        opts.user = &freed;
        opts.free_user = count_freed;
        FAILS(evb_subscribe(kit.bus, "a.*", &opts, &none), EVB_ECONFLICT);
    }
    FAILS(evb_subscribe(kit.bus, "a.b", &(evb_sub_opts){.name = "group"}, &none), EVB_ECONFLICT);
    FAILS(evb_subscribe(kit.bus, ">", &(evb_sub_opts){.name = "group"}, &none), EVB_ECONFLICT);
    EQ_PTR(none, NULL);
    EQ(freed_times(&freed), 0);
    NOTHING_CHANGED(first, before);
    EQ_STR(kit_rest(first), "x");
    kit_leave(first);
    EQ(evb_listener_count(kit.bus, "a.b"), 0);
    first = kit_sub("a.b", (evb_sub_opts){.name = "group", .capacity = 7}); /* the name is free again */
    kit_leave(first);
    kit_close();
}

TEST(options_are_compared_with_their_defaults_filled_in)
{
    evb_sub *first, *second, *third;

    open_group(1);
    first = join((evb_sub_opts){0});
    second = join((evb_sub_opts){.struct_size = sizeof(evb_sub_opts),
                                 .capacity = 1024,
                                 .capacity_bytes = 16 << 20,
                                 .max_in_flight = 256,
                                 .retry = {.max_attempts = 5, .base_ns = 100 * MS, .cap_ns = 30 * SECOND},
                                 .lease_ns = 30 * SECOND,
                                 .dlq_capacity = 10000,
                                 .dlq_bytes = 64 << 20});
    third = join(
        (evb_sub_opts){.concurrency = 7, .handler = catch_event, .user = &seen[0], .flags = EVB_SUB_PAUSED});
    kit_leave(first);
    kit_leave(second);
    kit_leave(third);
    kit_close();
}

TEST(subscriptions_without_a_name_are_alone_whatever_they_have_in_common)
{
    evb_sub *subs[3];

    open_group(1);
    for (int i = 0; i < 3; i++)
        subs[i] = kit_sub("a.*", (evb_sub_opts){0});
    EQ(kit_try("a.b", "x"), 3);
    for (int i = 0; i < 3; i++) {
        EQ_STR(kit_rest(subs[i]), "x");
        kit_leave(subs[i]);
    }
    kit_close();
}

TEST(the_same_name_on_another_bus_is_another_group)
{
    evb_bus *other;
    evb_sub *here, *there;

    open_group(1);
    OK(evb_bus_create(NULL, &other));
    here = join((evb_sub_opts){0});
    OK(evb_subscribe(other, "b", &(evb_sub_opts){.name = "group", .capacity = 7}, &there));
    kit_put("a.b", "x");
    kit_none(there);
    EQ(evb_publish(other, "b", "y", 1, NULL), 1);
    EQ_STR(kit_rest(there), "y");
    EQ_STR(kit_rest(here), "x");
    kit_leave(here);
    kit_leave(there);
    evb_bus_destroy(other);
    kit_close();
}

TEST(a_newcomer_takes_part_in_the_backlog)
{
    evb_sub *first, *second;

    open_group(1);
    first = join((evb_sub_opts){0});
    for (int i = 0; i < 4; i++)
        kit_put("a.b", "x");
    second = join_working(&seen[0]);
    catcher_wait(&seen[0], 4);
    SOON(kit_settled(first));
    kit_leave(first);
    kit_leave(second);
    kit_close();
}

/* ---- leaving ---- */

TEST(a_leaver_releases_what_it_held_to_the_others)
{
    const evb_event *ev;
    evb_sub *leaver, *stays;
    uint64_t one, two;

    open_group(1);
    leaver = join((evb_sub_opts){0});
    stays = join((evb_sub_opts){0});
    for (int i = 1; i <= 3; i++)
        kit_put("a.b", (const char *[]){"1", "2", "3"}[i - 1]);
    (void)kit_take(leaver, "1");
    (void)kit_take(leaver, "2");
    EQ(assert_law(stays).in_flight, 2);
    kit_leave(leaver);
    EQ(assert_law(stays).in_flight, 0);
    EQ(assert_law(stays).released, 2);
    one = kit_take_event(stays, "1", &ev); /* at the head, in their order */
    EQ(ev->attempt, 1);
    EQ(ev->flags, EVB_EVENT_REDELIVERED);
    two = kit_take_event(stays, "2", &ev);
    EQ(ev->attempt, 1);
    OK(evb_ack(stays, one));
    OK(evb_ack(stays, two));
    EQ_STR(kit_rest(stays), "3");
    kit_leave(stays);
    kit_close();
}

static struct {
    uint64_t delivery;
    EVB__ATOMIC(uint32_t) done;
} deferred;

static int32_t defer(const evb_event *ev, void *user)
{
    OK(evb_defer(ev, &deferred.delivery));
    evb__st_rel(&deferred.done, 1); /* pairs with the test's look */
    (void)catch_event(ev, user);
    return EVB_DEFER;
}

TEST(what_a_leaver_had_deferred_is_released_too)
{
    evb_sub *leaver, *stays;

    open_group(1);
    evb__st_rlx(&deferred.done, 0);
    leaver = join((evb_sub_opts){.handler = defer, .user = &seen[0]});
    stays = join((evb_sub_opts){0});
    kit_put("a.b", "x");
    SOON(evb__ld_acq(&deferred.done) != 0); /* pairs with defer */
    kit_leave(leaver);
    OK(evb_ack(stays, kit_take(stays, "x")));
    FAILS(evb_ack(stays, deferred.delivery), EVB_ESTALE);
    kit_leave(stays);
    kit_close();
}

static void leave(void *arg)
{
    OK(evb_unsubscribe(arg));
}

TEST(a_leaver_waits_for_its_own_handlers_and_not_for_others)
{
    struct gate others = GATE_SHUT;
    struct sleeper sleeper;
    evb_sub *leaver, *stays;

    open_group(2);
    seen[0].gate = &gate;
    seen[1].gate = &others;
    leaver = join_working(&seen[0]);
    kit_put("a.b", "1");
    gate_wait_held(&gate, 1);
    stays = join_working(&seen[1]);
    kit_put("a.b", "2");
    gate_wait_held(&others, 1);
    sleeper_start(&sleeper, leave, leaver);
    CHECK(!sleeper_is_over(&sleeper));
    kit_put("a.b", "3"); /* not for the one that leaves */
    gate_open(&gate);
    sleeper_join(&sleeper);
    EQ(assert_law(stays).acked, 1); /* its handler has returned and that counts */
    EQ(assert_law(stays).in_flight, 1);
    gate_open(&others);
    SOON(kit_settled(stays));
    EQ_STR(catcher_said(&seen[0]), "1");
    EQ_STR(catcher_said(&seen[1]), "2 3");
    kit_leave(stays);
    kit_close();
}

TEST(the_last_leaver_discards_the_rest_and_a_new_group_begins_empty)
{
    evb_sub *first, *second;

    open_group(1);
    first = join((evb_sub_opts){0});
    second = join((evb_sub_opts){0});
    for (int i = 0; i < 3; i++)
        kit_put("a.b", "x");
    (void)kit_take(second, "x");
    EQ(kit_put_with("a.b", "later", (evb_publish_opts){.delay_ns = MS}), 1);
    kit_leave(first);
    EQ(assert_law(second).ready + assert_law(second).delayed, 3);
    kit_leave(second);
    EQ(kit_try("a.b", "nobody"), 0);
    first = join((evb_sub_opts){0});
    kit_none(first);
    EQ(assert_law(first).enqueued, 0);
    kit_put("a.b", "new");
    EQ_STR(kit_rest(first), "new");
    kit_leave(first);
    kit_close();
}

TEST(a_settlement_by_a_member_that_has_not_left_still_counts_after_others_have)
{
    evb_sub *members[3];
    uint64_t deliveries[3];

    open_group(1);
    for (int i = 0; i < 3; i++) {
        members[i] = join((evb_sub_opts){0});
        kit_put("a.b", "x");
        deliveries[i] = kit_take(members[i], "x");
    }
    kit_leave(members[0]);
    kit_leave(members[2]);
    OK(evb_ack(members[1], deliveries[1]));
    FAILS(evb_ack(members[1], deliveries[0]), EVB_ESTALE);
    EQ(assert_law(members[1]).ready, 2);
    EQ(assert_law(members[1]).acked, 1);
    EQ_STR(kit_rest(members[1]), "x x");
    kit_leave(members[1]);
    kit_close();
}

TEST(pause_resume_and_purge_are_about_the_whole_group)
{
    evb_sub *first, *second;

    open_group(1);
    first = join((evb_sub_opts){0});
    second = join_working(&seen[0]);
    OK(evb_sub_pause(first));
    kit_put("a.b", "1");
    kit_put("a.b", "2");
    kit_none(first);
    EQ(catcher_count(&seen[0]), 0);
    EQ(evb_sub_purge(second), 2);
    kit_put("a.b", "3");
    OK(evb_sub_resume(second));
    SOON(kit_settled(first));
    EQ_STR(catcher_said(&seen[0]), "3");
    kit_leave(first);
    kit_leave(second);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_event_goes_to_one_member),
        cmocka_unit_test(whoever_is_free_gets_the_next_event),
        cmocka_unit_test(all_members_together_run_as_many_handlers_as_their_concurrencies_say),
        cmocka_unit_test(one_handler_runs_at_a_time_unless_more_are_asked_for),
        cmocka_unit_test(handlers_dispatchers_and_pullers_may_mix),
        cmocka_unit_test(a_newcomer_with_another_pattern_or_other_options_is_refused),
        cmocka_unit_test(options_are_compared_with_their_defaults_filled_in),
        cmocka_unit_test(subscriptions_without_a_name_are_alone_whatever_they_have_in_common),
        cmocka_unit_test(the_same_name_on_another_bus_is_another_group),
        cmocka_unit_test(a_newcomer_takes_part_in_the_backlog),
        cmocka_unit_test(a_leaver_releases_what_it_held_to_the_others),
        cmocka_unit_test(what_a_leaver_had_deferred_is_released_too),
        cmocka_unit_test(a_leaver_waits_for_its_own_handlers_and_not_for_others),
        cmocka_unit_test(the_last_leaver_discards_the_rest_and_a_new_group_begins_empty),
        cmocka_unit_test(a_settlement_by_a_member_that_has_not_left_still_counts_after_others_have),
        cmocka_unit_test(pause_resume_and_purge_are_about_the_whole_group),
    };
    return EVB_TEST_MAIN("queue_groups", tests, argc, argv);
}
