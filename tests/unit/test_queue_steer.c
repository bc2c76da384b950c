/* SPDX-License-Identifier: MIT */
/* Pausing, purging, filters, and the end of a subscription: whom it waits for, when user is given
 * back. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static struct gate gate = GATE_SHUT;
static evb_sub *sub;

static void open_watched(evb_sub_opts opts)
{
    kit_open(2);
    gate_shut(&gate);
    catcher_reset(&seen);
    opts.handler = catch_event;
    opts.user = &seen;
    sub = kit_sub("a", opts);
}

/* ---- pause, resume, purge ---- */

TEST(a_paused_subscription_accepts_and_hands_nothing_out)
{
    open_watched((evb_sub_opts){.capacity = 2});
    OK(evb_sub_pause(sub));
    OK(evb_sub_pause(sub));
    kit_put("a", "1");
    kit_put("a", "2");
    FAILS(kit_try("a", "3"), EVB_EFULL);
    EQ(assert_law(sub).ready, 2);
    EQ(catcher_count(&seen), 0);
    OK(evb_sub_resume(sub));
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 2");
    kit_leave(sub);
    kit_close();
}

TEST(a_subscription_may_begin_paused)
{
    open_watched((evb_sub_opts){.flags = EVB_SUB_PAUSED});
    kit_put("a", "1");
    EQ(assert_law(sub).ready, 1);
    EQ(assert_law(sub).delivered, 0);
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    kit_put("a", "2");
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 2");
    kit_leave(sub);
    kit_close();
}

TEST(handlers_that_run_go_on_while_it_is_paused_and_nothing_more_begins)
{
    open_watched((evb_sub_opts){0});
    seen.gate = &gate;
    kit_put("a", "1");
    gate_wait_held(&gate, 1);
    OK(evb_sub_pause(sub));
    kit_put("a", "2");
    gate_open(&gate);
    SOON(assert_law(sub).acked == 1);
    EQ(assert_law(sub).ready, 1);
    EQ(assert_law(sub).in_flight, 0);
    EQ(catcher_count(&seen), 1);
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
}

TEST(while_it_is_paused_pulling_finds_nothing_and_settling_works)
{
    static _Alignas(8) unsigned char room[256];
    uint64_t delivery;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    delivery = kit_take(sub, "1");
    OK(evb_sub_pause(sub));
    kit_none(sub);
    FAILS(evb_sub_take(sub, room, sizeof room, 1), EVB_EEMPTY);
    OK(evb_nack(sub, delivery, 0));
    kit_none(sub);
    EQ(assert_law(sub).ready, 2);
    OK(evb_sub_resume(sub));
    EQ_STR(kit_rest(sub), "2 1");
    kit_leave(sub);
    kit_close();
}

TEST(while_it_is_paused_dispatch_finds_nothing)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub(
        "a",
        (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH | EVB_SUB_PAUSED});
    kit_put("a", "1");
    FAILS(evb_sub_dispatch(sub, 1), EVB_EEMPTY);
    OK(evb_sub_resume(sub));
    EQ(evb_sub_dispatch(sub, 1), 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_purge_removes_what_is_ready_or_delayed_and_leaves_what_is_in_flight)
{
    uint64_t delivery, failed;
    evb_queue_stats s;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(evb_sub_purge(sub), 0);
    kit_put("a", "in flight");
    kit_put("a", "failed");
    kit_put("a", "ready");
    EQ(kit_put_with("a", "delayed", (evb_publish_opts){.delay_ns = HOUR}), 1);
    delivery = kit_take(sub, "in flight");
    failed = kit_take(sub, "failed");
    OK(evb_nack(sub, failed, HOUR));
    EQ(evb_sub_purge(sub), 3);
    s = assert_law(sub);
    EQ(s.purged, 3);
    EQ(s.ready + s.delayed, 0);
    EQ(s.in_flight, 1);
    OK(evb_nack(sub, delivery, 0));
    EQ_STR(kit_rest(sub), "in flight");
    kit_leave(sub);
    kit_close();
}

static int32_t steer_inside(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    OK(evb_sub_pause(sub));
    OK(evb_sub_resume(sub));
    EQ(assert_law(sub).in_flight, 1);
    if (kit_is(ev, "purge")) EQ(evb_sub_purge(sub), 2);
    return EVB_OK;
}

TEST(a_handler_may_steer_its_own_subscription)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = steer_inside, .user = &seen, .flags = EVB_SUB_PAUSED});
    kit_put("a", "1");
    kit_put("a", "purge");
    kit_put("a", "3");
    kit_put("a", "4");
    OK(evb_sub_resume(sub));
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "1 purge");
    EQ(assert_law(sub).purged, 2);
    kit_leave(sub);
    kit_close();
}

/* ---- filters ---- */

static struct {
    pthread_t thread;
    void *user;
    uint32_t asked, attempt, key_len;
} filtered;

static int32_t begins_with_y(const evb_event *ev, void *user)
{
    filtered.thread = pthread_self();
    filtered.user = user;
    filtered.asked++;
    filtered.attempt = ev->attempt;
    filtered.key_len = ev->key_len;
    EQ_STR(ev->topic, "a");
    if (ev->key_len > 0) EQ_MEM(evb_event_header(ev, "h", NULL), "v", 1);
    return ev->size > 0 && *(const char *)ev->data == 'y';
}

TEST(a_filter_is_asked_in_the_publisher_and_what_it_refuses_is_not_enqueued)
{
    const evb_header header = {.name = "h", .value = "v", .value_len = 1};

    memset(&filtered, 0, sizeof filtered);
    open_watched((evb_sub_opts){.filter = begins_with_y});
    EQ(kit_try("a", "no"), 0);
    CHECK(pthread_equal(filtered.thread, pthread_self()));
    EQ_PTR(filtered.user, &seen);
    EQ(filtered.attempt, 0);
    EQ(evb_publish(kit.bus, "a", "yes", 3,
                   &(evb_publish_opts){.key = "k", .key_len = 1, .headers = &header, .header_count = 1}),
       1);
    EQ(filtered.key_len, 1);
    EQ(evb_emit(kit.bus, "a", "no", 2), 0);
    EQ(evb_emit(kit.bus, "a", "yep", 3), 1);
    EQ(evb_emit(kit.bus, "b", "yes", 3), 0); /* not asked where the pattern does not match */
    EQ(filtered.asked, 4);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "yes yep");
    EQ(assert_law(sub).enqueued, 2);
    kit_leave(sub);
    kit_close();
}

TEST(a_full_queue_does_not_refuse_what_its_filter_does_not_want)
{
    kit_open(1);
    memset(&filtered, 0, sizeof filtered);
    sub = kit_sub("a", (evb_sub_opts){.filter = begins_with_y, .capacity = 1});
    EQ(kit_try("a", "yes"), 1);
    FAILS(kit_try("a", "yes"), EVB_EFULL);
    EQ(kit_try("a", "no"), 0);
    EQ(evb_publish(kit.bus, "a", NULL, 0, NULL), 0);
    EQ(assert_law(sub).enqueued, 1);
    kit_leave(sub);
    kit_close();
}

TEST(in_a_batch_every_event_is_filtered_by_itself)
{
    static const evb_message batch[] = {{.topic = "a", .data = "y1", .size = 2},
                                        {.topic = "a", .data = "n", .size = 1},
                                        {.topic = "a", .data = "y2", .size = 2}};

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.filter = begins_with_y, .capacity = 2});
    EQ(evb_publish_many(kit.bus, batch, 3, NULL), 2);
    EQ_STR(kit_rest(sub), "y1 y2");
    kit_leave(sub);
    kit_close();
}

/* ---- leaving ---- */

static void leave(void *arg)
{
    OK(evb_unsubscribe(arg));
    EQ(seen.inside, 0); /* not locked: nobody runs any more */
}

TEST(unsubscribe_waits_for_the_running_handlers)
{
    struct sleeper sleeper;

    open_watched((evb_sub_opts){.concurrency = 2});
    seen.gate = &gate;
    kit_put("a", "1");
    kit_put("a", "2");
    kit_put("a", "3");
    gate_wait_held(&gate, 2);
    sleeper_start(&sleeper, leave, sub);
    CHECK(!sleeper_is_over(&sleeper));
    EQ(kit_try("a", "nobody"), 0);
    gate_open(&gate);
    sleeper_join(&sleeper);
    EQ(catcher_count(&seen), 2); /* the third was discarded */
    kit_close();
}

static int32_t leave_inside(const evb_event *ev, void *user)
{
    struct freed *freed = user;

    (void)ev;
    EQ(freed_times(freed), 0);
    FAILS(evb_unsubscribe(sub), EVB_EDEADLK);
    EQ(freed_times(freed), 0); /* this very call still uses it */
    EQ(kit_try("a", "nobody"), 0);
    return EVB_NACK;
}

TEST(a_handler_that_unsubscribes_itself_finishes_and_is_not_called_again)
{
    struct freed freed = {0};

    kit_open(1);
    sub = kit_sub(
        "a", (evb_sub_opts){
                 .handler = leave_inside, .user = &freed, .free_user = count_freed, .flags = EVB_SUB_PAUSED});
    kit_put("a", "1");
    kit_put("a", "2");
    OK(evb_sub_resume(sub));
    SOON(freed_times(&freed) == 1);
    EQ(evb_listener_count(kit.bus, "a"), 0);
    EQ(kit_try("a", "nobody"), 0);
    kit_close();
    EQ(freed_times(&freed), 1);
}

static int32_t leave_dispatching(const evb_event *ev, void *user)
{
    return leave_inside(ev, user);
}

TEST(a_dispatched_handler_may_unsubscribe_itself_too)
{
    struct freed freed = {0};

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.handler = leave_dispatching,
                                      .user = &freed,
                                      .free_user = count_freed,
                                      .flags = EVB_SUB_DISPATCH});
    kit_put("a", "1");
    kit_put("a", "2");
    EQ(evb_sub_dispatch(sub, 10), 1);
    EQ(freed_times(&freed), 1);
    kit_close();
    EQ(freed_times(&freed), 1);
}

struct other {
    evb_sub *sub;
};

static int32_t leave_other(const evb_event *ev, void *user)
{
    struct other *other = user;

    (void)ev;
    FAILS(evb_unsubscribe(other->sub), EVB_EDEADLK);
    return EVB_OK;
}

TEST(a_listener_or_handler_that_unsubscribes_another_does_not_wait_and_it_has_left)
{
    struct other other;

    open_watched((evb_sub_opts){0});
    seen.gate = &gate;
    (void)ID(evb_on(kit.bus, "listener", leave_other, &other));
    other.sub = kit_sub("b", (evb_sub_opts){.handler = catch_event, .user = &seen});
    kit_put("b", "1");
    gate_wait_held(&gate, 1);
    EQ(kit_try("listener", "x"), 1);
    EQ(kit_try("b", "nobody"), 0);
    gate_open(&gate);
    kit_put("a", "2"); /* the rest of the bus goes on */
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
    EQ(catcher_count(&seen), 2);
}

/* ---- free_user ---- */

static int32_t quick(const evb_event *ev, void *user)
{
    (void)ev;
    EQ(freed_times(user), 0);
    return EVB_OK;
}

TEST(free_user_runs_once_when_a_member_leaves_whatever_it_is)
{
    static const evb_sub_opts kinds[] = {
        {.handler = quick},
        {.handler = quick, .concurrency = 8},
        {.handler = quick, .flags = EVB_SUB_DISPATCH},
        {0},
        {.filter = begins_with_y},
        {.handler = quick, .flags = EVB_SUB_PAUSED},
        {.handler = quick, .name = "named"},
    };

    for (size_t i = 0; i < COUNT(kinds); i++) {
        for (int events = 0; events < 2; events++) {
            struct freed freed = {0};
            evb_sub_opts opts = kinds[i];

            kit_open(1);
            opts.user = &freed;
            opts.free_user = count_freed;
            sub = kit_sub("a", opts);
            for (int k = 0; k < 3 * events; k++)
                kit_put("a", "yes");
            EQ(freed_times(&freed), 0);
            kit_leave(sub);
            EQ(freed_times(&freed), 1);
            kit_close();
            EQ(freed_times(&freed), 1);
        }
    }
}

TEST(free_user_runs_once_in_evb_bus_destroy_and_the_handle_stays_valid)
{
    struct freed freed = {0};
    evb_queue_stats s = {.struct_size = sizeof s};

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.handler = quick, .user = &freed, .free_user = count_freed});
    kit_put("a", "1");
    kit_close();
    EQ(freed_times(&freed), 1);
    FAILS(evb_sub_stats(sub, &s), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
    EQ(freed_times(&freed), 1);
}

TEST(each_member_of_a_group_has_its_own_user_and_gives_it_back)
{
    struct freed freed[3] = {{0}, {0}, {0}};
    evb_sub *members[3];

    kit_open(1);
    for (int i = 0; i < 3; i++) {
        members[i] = kit_sub(
            "a",
            (evb_sub_opts){.name = "group", .handler = quick, .user = &freed[i], .free_user = count_freed});
    }
    kit_leave(members[1]);
    EQ(freed_times(&freed[1]), 1);
    kit_put("a", "x");
    SOON(kit_settled(members[0]));
    kit_leave(members[0]);
    kit_leave(members[2]);
    for (int i = 0; i < 3; i++)
        EQ(freed_times(&freed[i]), 1);
    kit_close();
}

static int32_t user_is_alive(const evb_event *ev, void *user)
{
    (void)ev;
    EQ(freed_times(user), 0);
    return 1;
}

TEST(the_user_of_the_groups_filter_lives_as_long_as_the_filter_may_be_asked)
{
    struct freed freed[2] = {{0}, {0}};
    evb_sub *first, *second;

    kit_open(1);
    first = kit_sub(
        "a", (evb_sub_opts){
                 .name = "group", .filter = user_is_alive, .user = &freed[0], .free_user = count_freed});
    second = kit_sub(
        "a", (evb_sub_opts){
                 .name = "group", .filter = user_is_alive, .user = &freed[1], .free_user = count_freed});
    kit_leave(first); /* whose user the filter gets */
    kit_put("a", "x");
    EQ_STR(kit_rest(second), "x");
    kit_leave(second);
    EQ(freed_times(&freed[0]), 1);
    EQ(freed_times(&freed[1]), 1);
    kit_close();
}

static void publish_when_freed(void *user)
{
    count_freed(user);
    EQ(kit_try("b", "farewell"), 1);
    FAILS(evb_bus_drain(kit.bus, EVB_FOREVER), EVB_EDEADLK);
}

TEST(free_user_is_a_callback_that_may_publish_and_not_wait)
{
    struct freed freed = {0};
    evb_sub *b;

    kit_open(1);
    b = kit_sub("b", (evb_sub_opts){0});
    sub = kit_sub("a", (evb_sub_opts){.handler = quick, .user = &freed, .free_user = publish_when_freed});
    kit_put("a", "x");
    kit_leave(sub);
    EQ(freed_times(&freed), 1);
    EQ_STR(kit_rest(b), "farewell");
    kit_leave(b);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_subscription_accepts_and_hands_nothing_out),
        cmocka_unit_test(a_subscription_may_begin_paused),
        cmocka_unit_test(handlers_that_run_go_on_while_it_is_paused_and_nothing_more_begins),
        cmocka_unit_test(while_it_is_paused_pulling_finds_nothing_and_settling_works),
        cmocka_unit_test(while_it_is_paused_dispatch_finds_nothing),
        cmocka_unit_test(a_purge_removes_what_is_ready_or_delayed_and_leaves_what_is_in_flight),
        cmocka_unit_test(a_handler_may_steer_its_own_subscription),
        cmocka_unit_test(a_filter_is_asked_in_the_publisher_and_what_it_refuses_is_not_enqueued),
        cmocka_unit_test(a_full_queue_does_not_refuse_what_its_filter_does_not_want),
        cmocka_unit_test(in_a_batch_every_event_is_filtered_by_itself),
        cmocka_unit_test(unsubscribe_waits_for_the_running_handlers),
        cmocka_unit_test(a_handler_that_unsubscribes_itself_finishes_and_is_not_called_again),
        cmocka_unit_test(a_dispatched_handler_may_unsubscribe_itself_too),
        cmocka_unit_test(a_listener_or_handler_that_unsubscribes_another_does_not_wait_and_it_has_left),
        cmocka_unit_test(free_user_runs_once_when_a_member_leaves_whatever_it_is),
        cmocka_unit_test(free_user_runs_once_in_evb_bus_destroy_and_the_handle_stays_valid),
        cmocka_unit_test(each_member_of_a_group_has_its_own_user_and_gives_it_back),
        cmocka_unit_test(the_user_of_the_groups_filter_lives_as_long_as_the_filter_may_be_asked),
        cmocka_unit_test(free_user_is_a_callback_that_may_publish_and_not_wait),
    };
    return EVB_TEST_MAIN("queue_steer", tests, argc, argv);
}
