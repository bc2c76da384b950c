/* SPDX-License-Identifier: MIT */
/* Changes from inside a callback: who subscribes, leaves or ends the bus while a publish, a filter,
 * a handler or a walk over dead letters is under way. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static struct freed freed;
static evb_sub *sub, *made;

static void begin(void)
{
    evb__st_rlx(&freed.times, 0);
    catcher_reset(&seen);
    made = NULL;
    kit_open(2);
}

static evb_sub *working(const char *pattern, evb_handler handler)
{
    return kit_sub(pattern, (evb_sub_opts){.handler = handler, .user = &freed, .free_user = count_freed});
}

/* ---- coming ---- */

static int32_t subscribe_another(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    if (made == NULL) made = kit_sub("a", (evb_sub_opts){0});
    return EVB_OK;
}

TEST(a_queue_subscribed_by_a_listener_is_not_reached_by_the_publish_that_runs)
{
    begin();
    (void)ID(evb_on(kit.bus, "a", subscribe_another, NULL));
    EQ(kit_try("a", "1"), 1);
    EQ(kit_try("a", "2"), 2);
    EQ_STR(kit_rest(made), "2");
    kit_leave(made);
    kit_close();
}

TEST(a_handler_may_subscribe)
{
    begin();
    sub = working("h", subscribe_another);
    kit_put("h", "x");
    SOON(kit_settled(sub));
    kit_put("a", "y");
    EQ_STR(kit_rest(made), "y");
    kit_leave(sub);
    kit_leave(made);
    kit_close();
}

static int32_t subscribe_and_want(const evb_event *ev, void *user)
{
    (void)subscribe_another(ev, user);
    return 1;
}

TEST(a_filter_may_subscribe)
{
    begin();
    sub = kit_sub("a", (evb_sub_opts){.filter = subscribe_and_want});
    CHECK(kit_try("a", "1") >= 1);
    EQ(kit_try("a", "2"), 2);
    EQ_STR(kit_rest(sub), "1 2");
    (void)kit_rest(made);
    kit_leave(sub);
    kit_leave(made);
    kit_close();
}

static void come_back(void *user)
{
    count_freed(user);
    made = kit_sub("b", (evb_sub_opts){.name = "group", .capacity = 7});
}

TEST(free_user_may_subscribe_and_the_name_is_free_then)
{
    begin();
    sub = kit_sub("a", (evb_sub_opts){.name = "group", .user = &freed, .free_user = come_back});
    kit_put("a", "x");
    OK(evb_unsubscribe(sub));
    EQ(freed_times(&freed), 1);
    kit_put("b", "y");
    EQ_STR(kit_rest(made), "y");
    kit_leave(made);
    kit_close();
}

/* ---- leaving ---- */

static int32_t leave_and_want(const evb_event *ev, void *user)
{
    (void)ev;
    EQ(freed_times(user), 0);
    if (sub == NULL) return 1;
    FAILS(evb_unsubscribe(sub), EVB_EDEADLK);
    sub = NULL;
    EQ(freed_times(user), 0); /* this very call still uses it */
    return 1;
}

TEST(a_filter_that_unsubscribes_its_own_queue_keeps_the_event_from_it)
{
    begin();
    sub = kit_sub("a", (evb_sub_opts){.filter = leave_and_want, .user = &freed, .free_user = count_freed});
    made = kit_sub("a", (evb_sub_opts){0});
    EQ(kit_try("a", "x"), 1);
    EQ(freed_times(&freed), 1);
    EQ(kit_try("a", "y"), 1);
    EQ_STR(kit_rest(made), "x y");
    kit_leave(made);
    kit_close();
    EQ(freed_times(&freed), 1);
}

static int32_t leave_other(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    if (made != NULL) FAILS(evb_unsubscribe(made), EVB_EDEADLK);
    made = NULL;
    return 1;
}

TEST(a_queue_unsubscribed_by_the_filter_of_another_is_not_reached_any_more)
{
    for (int first = 0; first < 2; first++) {
        begin();
        if (first) made = kit_sub("a", (evb_sub_opts){.user = &freed, .free_user = count_freed});
        sub = kit_sub("a", (evb_sub_opts){.filter = leave_other});
        if (!first) made = kit_sub("a", (evb_sub_opts){.user = &freed, .free_user = count_freed});
        EQ(kit_try("a", "x"), 1);
        EQ(kit_try("a", "y"), 1);
        EQ(freed_times(&freed), 1);
        EQ_STR(kit_rest(sub), "x y");
        kit_leave(sub);
        kit_close();
    }
}

TEST(a_listener_that_unsubscribes_a_queue_does_not_undo_what_that_has_taken)
{
    begin();
    made = kit_sub("a", (evb_sub_opts){.user = &freed, .free_user = count_freed});
    (void)ID(evb_on(kit.bus, "a", leave_other, NULL));
    EQ(kit_try("a", "x"), 2); /* it had taken the event when the listener ran */
    EQ(freed_times(&freed), 1);
    EQ(kit_try("a", "y"), 1);
    kit_close();
}

static int32_t leave_while_browsing(const evb_event *ev, const evb_death *death, void *user)
{
    (void)user;
    FAILS(evb_unsubscribe(sub), EVB_EDEADLK);
    CHECK(kit_is(ev, "1"));
    EQ_STR(death->reason, "rejected");
    EQ_STR(death->topic, "a");
    return 1;
}

TEST(a_walk_over_dead_letters_may_unsubscribe_and_finish)
{
    begin();
    sub = kit_sub("a", (evb_sub_opts){.user = &freed, .free_user = count_freed});
    for (int i = 0; i < 3; i++) {
        kit_put("a", "1");
        OK(evb_reject(sub, kit_take(sub, "1"), 1, NULL));
    }
    EQ(evb_dlq_browse(sub, leave_while_browsing, NULL), 1);
    EQ(freed_times(&freed), 1);
    kit_close();
}

static int32_t leave_group(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    if (made != NULL) FAILS(evb_unsubscribe(made), EVB_EDEADLK);
    made = NULL;
    return EVB_OK;
}

TEST(a_handler_that_unsubscribes_another_member_gets_what_that_held)
{
    begin();
    made = kit_sub("a", (evb_sub_opts){.name = "group"});
    kit_put("a", "1");
    (void)kit_take(made, "1");
    sub = kit_sub("a", (evb_sub_opts){.name = "group", .handler = leave_group, .user = &seen});
    kit_put("a", "2");
    catcher_wait(&seen, 2);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "2 1");
    EQ(assert_law(sub).released, 1);
    kit_leave(sub);
    kit_close();
}

/* ---- the end of the bus ---- */

static int32_t destroy_and_want(const evb_event *ev, void *user)
{
    (void)ev;
    EQ(freed_times(user), 0);
    evb_bus_destroy(kit.bus);
    EQ(freed_times(user), 0);
    return 1;
}

TEST(a_bus_destroyed_by_a_filter_ends_when_the_publish_returns)
{
    const evb_event *ev;
    uint64_t delivery;

    begin();
    sub = kit_sub("a", (evb_sub_opts){.filter = destroy_and_want, .user = &freed, .free_user = count_freed});
    made = kit_sub("a", (evb_sub_opts){0});
    FAILS(kit_try("a", "x"), EVB_ECLOSED);
    EQ(freed_times(&freed), 1);
    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
    OK(evb_unsubscribe(made));
}

static int32_t destroy_while_browsing(const evb_event *ev, const evb_death *death, void *user)
{
    (void)death;
    (void)user;
    evb_bus_destroy(kit.bus);
    CHECK(kit_is(ev, "1"));
    return 7;
}

TEST(a_bus_destroyed_by_a_walk_over_dead_letters_ends_when_that_returns)
{
    begin();
    sub = kit_sub("a", (evb_sub_opts){.user = &freed, .free_user = count_freed});
    kit_put("a", "1");
    OK(evb_reject(sub, kit_take(sub, "1"), 1, NULL));
    EQ(evb_dlq_browse(sub, destroy_while_browsing, NULL), 7);
    EQ(freed_times(&freed), 1);
    FAILS(evb_dlq_count(sub), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
}

/* ---- nesting ---- */

static uint32_t depth, deepest;

static int32_t publish_again(const evb_event *ev, void *user)
{
    int32_t rc;

    (void)user;
    if (++depth > deepest) deepest = depth;
    rc = evb_publish(kit.bus, "a", ev->data, ev->size, NULL);
    if (rc < 0 && rc != EVB_EFULL) FAILS(rc, EVB_ERECURSION);
    depth--;
    return 1;
}

TEST(a_filter_that_publishes_to_its_own_topic_is_stopped_at_a_depth_of_64)
{
    begin();
    depth = deepest = 0;
    sub = kit_sub("a", (evb_sub_opts){.filter = publish_again, .capacity = 1000});
    EQ(kit_try("a", "x"), 1);
    EQ(deepest, 64);
    EQ(assert_law(sub).enqueued, 64);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_subscribed_by_a_listener_is_not_reached_by_the_publish_that_runs),
        cmocka_unit_test(a_handler_may_subscribe),
        cmocka_unit_test(a_filter_may_subscribe),
        cmocka_unit_test(free_user_may_subscribe_and_the_name_is_free_then),
        cmocka_unit_test(a_filter_that_unsubscribes_its_own_queue_keeps_the_event_from_it),
        cmocka_unit_test(a_queue_unsubscribed_by_the_filter_of_another_is_not_reached_any_more),
        cmocka_unit_test(a_listener_that_unsubscribes_a_queue_does_not_undo_what_that_has_taken),
        cmocka_unit_test(a_walk_over_dead_letters_may_unsubscribe_and_finish),
        cmocka_unit_test(a_handler_that_unsubscribes_another_member_gets_what_that_held),
        cmocka_unit_test(a_bus_destroyed_by_a_filter_ends_when_the_publish_returns),
        cmocka_unit_test(a_bus_destroyed_by_a_walk_over_dead_letters_ends_when_that_returns),
        cmocka_unit_test(a_filter_that_publishes_to_its_own_topic_is_stopped_at_a_depth_of_64),
    };
    return EVB_TEST_MAIN("queue_mutation", tests, argc, argv);
}
