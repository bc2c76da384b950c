/* SPDX-License-Identifier: MIT */
/* Events that topics keep for newcomers: queues. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "queue_kit.h"

static int32_t keep_with(const char *topic, const char *text, evb_publish_opts opts)
{
    opts.flags |= EVB_RETAIN;
    return evb_publish(kit.bus, topic, text, strlen(text), &opts);
}

static int32_t keep(const char *topic, const char *text)
{
    return keep_with(topic, text, (evb_publish_opts){0});
}

static void keep_three(void)
{
    EQ(keep("a", "1"), 0);
    EQ(keep("b", "2"), 0);
    EQ(keep("c", "3"), 0);
}

TEST(a_new_queue_has_what_its_topics_keep_first_and_marked)
{
    const evb_event *ev;
    uint64_t delivery;
    evb_sub *sub;

    kit_open(1);
    keep_three();
    sub = kit_sub(">", (evb_sub_opts){0});
    EQ(keep("a", "4"), 1);
    OK(evb_ack(sub, kit_take_event(sub, "1", &ev)));
    delivery = kit_take_event(sub, "2", &ev);
    EQ(ev->flags, EVB_EVENT_RETAINED);
    EQ(ev->attempt, 1);
    EQ(ev->sequence, 2);
    OK(evb_nack(sub, delivery, 0));
    OK(evb_ack(sub, kit_take_event(sub, "3", &ev)));
    OK(evb_ack(sub, kit_take_event(sub, "4", &ev)));
    EQ(ev->flags, 0);
    OK(evb_ack(sub, kit_take_event(sub, "2", &ev)));
    EQ(ev->flags, EVB_EVENT_RETAINED | EVB_EVENT_REDELIVERED);
    kit_leave(sub);
    kit_close();
}

TEST(a_later_member_gets_nothing_of_it)
{
    evb_sub *first, *second;

    kit_open(1);
    keep_three();
    first = kit_sub("a", (evb_sub_opts){.name = "group"});
    EQ_STR(kit_rest(first), "1");
    second = kit_sub("a", (evb_sub_opts){.name = "group"});
    kit_none(second);
    kit_leave(second);
    kit_leave(first);
    kit_close();
}

TEST(a_handler_is_called_with_what_is_kept)
{
    static struct catcher catcher;
    evb_sub *sub;

    catcher_reset(&catcher);
    kit_open(1);
    keep_three();
    sub = kit_sub(">", (evb_sub_opts){.handler = catch_event, .user = &catcher});
    catcher_wait(&catcher, 3);
    EQ_STR(catcher_said(&catcher), "1 2 3");
    EQ(catcher.log[0].flags, EVB_EVENT_RETAINED);
    SOON(kit_settled(sub));
    kit_leave(sub);
    kit_close();
}

static int32_t not_two(const evb_event *ev, void *user)
{
    (void)user;
    CHECK(evb__in_callback(evb__self()));
    return (ev->flags & EVB_EVENT_RETAINED) != 0 && *(const char *)ev->data != '2';
}

TEST(the_filter_of_a_queue_applies)
{
    evb_sub *sub;

    kit_open(1);
    keep_three();
    sub = kit_sub(">", (evb_sub_opts){.filter = not_two});
    EQ_STR(kit_rest(sub), "1 3");
    kit_leave(sub);
    kit_close();
}

static void overflow(uint32_t policy, const char *text, uint64_t dropped)
{
    evb_queue_stats stats = {0};
    evb_sub *sub;

    kit_open(1);
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    keep_three();
    sub = kit_sub(">", (evb_sub_opts){.capacity = 2, .overflow = policy});
    OK(evb_sub_stats(sub, &stats));
    EQ(stats.enqueued, 3);
    EQ(stats.dropped, dropped);
    EQ_STR(kit_rest(sub), text);
    kit_leave(sub);
    kit_close();
}

TEST(what_does_not_fit_is_dropped_by_the_policy_and_counted)
{
    overflow(EVB_OVERFLOW_REJECT, "1 2", 1);
    overflow(EVB_OVERFLOW_BLOCK, "1 2", 1);
    overflow(EVB_OVERFLOW_DROP_NEWEST, "1 2", 1);
    overflow(EVB_OVERFLOW_DROP_OLDEST, "2 3", 1);
    overflow(EVB_OVERFLOW_CONFLATE, "2 3", 1);
}

TEST(what_is_kept_lives_on_in_a_queue_for_the_rest_of_its_ttl)
{
    evb_sub *sub;

    kit_open_by_hand();
    EQ(keep_with("a", "1", (evb_publish_opts){.ttl_ns = 10 * SECOND}), 0);
    kit_pass(4 * SECOND);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_pass(6 * SECOND);
    SOON(kit_settled(sub));
    kit_none(sub);
    kit_leave(sub);
    kit_close();
}

static void keep_and_subscribe(void *arg)
{
    evb_sub *sub = NULL;
    evb_bus *made = NULL;

    (void)arg;
    if (!OK_OR_NOMEM(evb_bus_create(NULL, &made))) return;
    kit.bus = made;
    if (OK_OR_NOMEM(keep("a", "1")) && OK_OR_NOMEM(keep("b", "2"))) {
        if (OK_OR_NOMEM(evb_subscribe(kit.bus, ">", NULL, &sub))) {
            evb_queue_stats stats = {0};

            OK(evb_sub_stats(sub, &stats));
            EQ(stats.enqueued, 2);
            (void)evb_sub_purge(sub);
            OK(evb_unsubscribe(sub));
        }
    }
    EQ(kit.bus->retained.showing, 0);
    evb_bus_destroy(kit.bus);
}

TEST(without_memory_a_queue_is_not_made_and_nothing_is_lost)
{
    CHECK(evb_test_alloc_sweep(keep_and_subscribe, NULL) > 10);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_queue_has_what_its_topics_keep_first_and_marked),
        cmocka_unit_test(a_later_member_gets_nothing_of_it),
        cmocka_unit_test(a_handler_is_called_with_what_is_kept),
        cmocka_unit_test(the_filter_of_a_queue_applies),
        cmocka_unit_test(what_does_not_fit_is_dropped_by_the_policy_and_counted),
        cmocka_unit_test(what_is_kept_lives_on_in_a_queue_for_the_rest_of_its_ttl),
        cmocka_unit_test(without_memory_a_queue_is_not_made_and_nothing_is_lost),
    };
    return EVB_TEST_MAIN("retained_queues", tests, argc, argv);
}
