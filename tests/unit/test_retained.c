/* SPDX-License-Identifier: MIT */
/* Events that topics keep for newcomers: what EVB_RETAIN promises listeners, rule by rule.
 * test_retained_queues.c has queues, test_retained_threads.c several threads. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "heard.h"

#define SECOND INT64_C(1000000000)

/* ---- a listener that writes down what it gets: "topic=payload" and ! if it was kept ---- */

static char got[1024];

static int32_t note(const evb_event *ev, void *user)
{
    size_t n = strlen(got);

    (void)user;
    (void)snprintf(got + n, sizeof got - n, "%s%s=%.*s%s", n == 0 ? "" : " ", ev->topic, (int)ev->size,
                   ev->data == NULL ? "" : (const char *)ev->data,
                   (ev->flags & EVB_EVENT_RETAINED) != 0 ? "!" : "");
    return EVB_OK;
}

static int32_t keep_with(const char *topic, const char *text, evb_publish_opts opts)
{
    opts.flags |= EVB_RETAIN;
    return evb_publish(bus, topic, text, strlen(text), &opts);
}

static int32_t keep(const char *topic, const char *text)
{
    return keep_with(topic, text, (evb_publish_opts){0});
}

/* What a newcomer is shown. */
static const char *shown(const char *pattern)
{
    got[0] = '\0';
    OK(evb_off(bus, ID(evb_on(bus, pattern, note, NULL))));
    return got;
}

TEST(a_new_listener_gets_what_its_topics_keep_in_order_of_publication)
{
    begin();
    EQ(keep("a.one", "1"), 0);
    EQ(keep("b", "2"), 0);
    EQ(keep("a.two", "3"), 0);
    EQ(keep("a.one", "4"), 0);
    EQ_STR(shown("a.*"), "a.two=3! a.one=4!");
    EQ_STR(shown(">"), "b=2! a.two=3! a.one=4!");
    EQ_STR(shown("b"), "b=2!");
    EQ_STR(shown("c"), "");
    EQ_STR(shown("a"), "");
    end();
}

TEST(every_form_of_registering_shows_what_is_kept_before_the_id_is_known)
{
    begin();
    (void)keep("a", "1");
    got[0] = '\0';
    (void)ID(evb_on(bus, "a", note, NULL));
    (void)ID(evb_prepend(bus, "a", note, NULL));
    (void)ID(evb_listen(bus, ">", &(evb_listen_opts){.priority = 3, .flags = EVB_MONITOR}, note, NULL));
    (void)ID(evb_once(bus, "*", note, NULL));
    EQ_STR(got, "a=1! a=1! a=1! a=1!");
    end();
}

TEST(after_that_a_listener_gets_what_is_published_unmarked)
{
    begin();
    (void)keep("a", "1");
    got[0] = '\0';
    (void)ID(evb_on(bus, "a", note, NULL));
    EQ(keep("a", "2"), 1);
    EQ(evb_publish(bus, "a", "3", 1, NULL), 1);
    EQ(evb_emit(bus, "a", "4", 1), 1);
    EQ_STR(got, "a=1! a=2 a=3 a=4");
    EQ_STR(shown("a"), "a=2!");
    end();
}

TEST(an_empty_payload_clears_and_is_delivered_itself)
{
    begin();
    (void)keep("a", "1");
    (void)keep("b", "2");
    got[0] = '\0';
    (void)ID(evb_on(bus, "a", note, NULL));
    EQ(keep("a", ""), 1);
    EQ_STR(got, "a=1! a=");
    EQ_STR(shown(">"), "b=2!");
    EQ(keep("never", ""), 0);
    EQ(bus->retained.count, 1);
    end();
}

TEST(a_publish_that_fails_keeps_nothing_and_clears_nothing)
{
    begin();
    FAILS(keep_with("a", "1", (evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    EQ_STR(shown("a"), "");
    (void)keep("a", "2");
    FAILS(keep_with("a", "", (evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    FAILS(keep_with("a", "3", (evb_publish_opts){.delay_ns = 1}), EVB_EINVAL);
    EQ_STR(shown("a"), "a=2!");
    end();
}

static const evb_event *taken;

static int32_t take(const evb_event *ev, void *user)
{
    (void)user;
    taken = evb_event_retain(ev);
    return EVB_OK;
}

TEST(a_kept_event_that_a_listener_retains_outlives_the_bus)
{
    evb_header header = {"name", "value", 5, 0};
    uint32_t len = 0;

    begin();
    (void)keep_with("a", "payload",
                    (evb_publish_opts){.key = "key", .key_len = 3, .headers = &header, .header_count = 1});
    (void)ID(evb_on(bus, "a", take, NULL));
    end();
    EQ_MEM(taken->data, "payload", 7);
    EQ_STR(taken->topic, "a");
    EQ(taken->flags, EVB_EVENT_RETAINED);
    EQ(taken->attempt, 0);
    EQ(taken->sequence, 1);
    EQ_MEM(taken->key, "key", 3);
    EQ_MEM(evb_event_header(taken, "name", &len), "value", 5);
    CHECK(evb_event_time_ns(taken) > 0);
    evb_event_release(taken);
}

TEST(handles_loans_and_many_retain_too)
{
    evb_publish_opts opts = {.flags = EVB_RETAIN};
    evb_message m[] = {{.topic = "m.1", .data = "1", .size = 1},
                       {.topic = "m.2", .data = "2", .size = 1},
                       {.topic = "m.1", .size = 0},
                       {.topic = "m.1", .data = "3", .size = 1}};
    evb_topic *topic;
    void *data;

    begin();
    OK(evb_topic_open(bus, "h", &topic));
    EQ(evb_topic_publish(topic, "1", 1, &opts), 0);
    OK(evb_loan(bus, 8, &data));
    memcpy(data, "2", 1);
    EQ(evb_publish_loan(bus, "l", data, 1, &opts), 0);
    EQ(evb_publish_many(bus, m, 4, &opts), 0);
    EQ_STR(shown(">"), "h=1! l=2! m.2=2! m.1=3!");
    evb_topic_close(topic);
    end();
}

TEST(the_patterns_of_every_dialect_find_what_is_kept)
{
    begin_dialect(EVB_TOPICS_MQTT);
    (void)keep("a/b", "1");
    (void)keep("$sys/b", "2");
    EQ_STR(shown("#"), "a/b=1!");
    EQ_STR(shown("+/b"), "a/b=1!");
    EQ_STR(shown("$sys/#"), "$sys/b=2!");
    EQ_STR(shown("a/b/#"), "a/b=1!");
    end();
    begin_dialect(EVB_TOPICS_AMQP);
    (void)keep("a.b.c", "1");
    (void)keep("", "2");
    EQ_STR(shown("#.c"), "a.b.c=1!");
    EQ_STR(shown("#"), "a.b.c=1! =2!");
    EQ_STR(shown(""), "=2!");
    end();
}

TEST(what_has_outlived_its_ttl_is_not_shown_and_dropped)
{
    begin();
    evb_test_clock_install(1000 * SECOND);
    (void)keep_with("a", "1", (evb_publish_opts){.ttl_ns = 10 * SECOND});
    (void)keep("b", "2");
    evb_test_clock_advance(10 * SECOND - 1);
    EQ_STR(shown(">"), "a=1! b=2!");
    evb_test_clock_advance(1);
    EQ(bus->retained.count, 2);
    EQ_STR(shown(">"), "b=2!");
    EQ(bus->retained.count, 1);
    EQ(bus->retained.timed, 0);
    end();
    evb_test_clock_remove();
}

TEST(of_more_than_65536_topics_the_oldest_goes)
{
    char topic[32];

    begin();
    for (uint32_t i = 0; i <= EVB__RETAINED_MAX; i++) {
        (void)snprintf(topic, sizeof topic, "t.%u", (unsigned)i);
        EQ(keep(topic, "x"), 0);
        if (i == 1) EQ(keep("t.0", "again"), 0); /* so that t.1 is the oldest */
    }
    EQ(bus->retained.count, EVB__RETAINED_MAX);
    EQ_STR(shown("t.0"), "t.0=again!");
    EQ_STR(shown("t.1"), "");
    EQ_STR(shown("t.2"), "t.2=x!");
    end();
}

static int32_t wants_b(const evb_event *ev, void *user)
{
    (void)user;
    return ev->topic[0] == 'b' && (ev->flags & EVB_EVENT_RETAINED) != 0;
}

TEST(the_filter_applies_and_a_once_is_used_up_by_the_first_it_wants)
{
    int64_t id;

    begin();
    (void)keep("a", "1");
    (void)keep("b", "2");
    (void)keep("b.c", "3");
    got[0] = '\0';
    (void)ID(evb_listen(bus, ">", &(evb_listen_opts){.filter = wants_b}, note, NULL));
    EQ_STR(got, "b=2! b.c=3!");
    got[0] = '\0';
    id = ID(evb_listen(bus, ">", &(evb_listen_opts){.filter = wants_b, .flags = EVB_ONCE}, note, NULL));
    EQ_STR(got, "b=2!");
    FAILS(evb_off(bus, id), EVB_ENOTFOUND);
    end();
}

static uint32_t freed;

static void count_free(void *user)
{
    (void)user;
    freed++;
}

static int32_t off_owner(const evb_event *ev, void *user)
{
    (void)note(ev, user);
    (void)evb_off_owner(bus, user);
    EQ(freed, 0); /* its own call is under way */
    return EVB_OK;
}

TEST(a_listener_that_removes_itself_is_shown_nothing_more_and_freed)
{
    int owner;

    begin();
    freed = 0;
    (void)keep("a", "1");
    (void)keep("b", "2");
    got[0] = '\0';
    (void)ID(evb_listen(bus, ">", &(evb_listen_opts){.owner = &owner, .free_user = count_free}, off_owner,
                        &owner));
    EQ_STR(got, "a=1!");
    EQ(freed, 1);
    EQ(evb_emit(bus, "a", NULL, 0), 0);
    EQ(bus->retained.showing, 0);
    end();
    EQ(freed, 1);
}

static int32_t destroy(const evb_event *ev, void *user)
{
    (void)note(ev, user);
    evb_bus_destroy(bus);
    return EVB_OK;
}

TEST(a_bus_destroyed_by_a_listener_that_is_shown_something_ends_when_the_call_returns)
{
    begin();
    (void)keep("a", "1");
    (void)keep("b", "2");
    got[0] = '\0';
    (void)ID(evb_on(bus, ">", destroy, NULL));
    EQ_STR(got, "a=1!");
}

static int32_t publish_more(const evb_event *ev, void *user)
{
    (void)note(ev, user);
    if (strcmp(ev->topic, "a") != 0 || ev->size != 1 || *(const char *)ev->data != '1') return EVB_OK;
    (void)keep("b", "3");
    (void)keep("c", "");
    (void)evb_publish(bus, "a", "x", 1, NULL); /* it is not in yet */
    (void)keep("a", "");
    return EVB_OK;
}

TEST(what_is_kept_or_cleared_while_a_listener_is_shown_things_it_gets_once_and_in_order)
{
    begin();
    (void)keep("a", "1");
    (void)keep("b", "2");
    (void)keep("c", "2");
    got[0] = '\0';
    (void)ID(evb_on(bus, ">", publish_more, NULL));
    EQ_STR(got, "a=1! b=2! c=2! b=3! c=! a=!"); /* b=2 and c=2 were on their way */
    EQ(bus->retained.count, 1);
    EQ(bus->retained.cleared, 0);
    EQ(keep("b", "4"), 1);
    EQ_STR(shown(">"), "b=4!");
    end();
}

static int32_t publish_for_ever(const evb_event *ev, void *user)
{
    uint32_t *calls = user;

    (void)ev;
    if (++*calls < 10000) (void)keep("a", "x");
    return EVB_OK;
}

TEST(a_listener_that_is_kept_busy_for_ever_is_let_in)
{
    uint32_t calls = 0;

    begin();
    (void)keep("a", "1");
    (void)ID(evb_on(bus, "a", publish_for_ever, &calls));
    CHECK(calls > EVB__SHOW_ROUNDS);
    EQ(bus->retained.showing, 0);
    end();
}

static int32_t answer_wrong(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return -7;
}

TEST(an_error_is_counted_and_does_not_matter_to_the_call)
{
    begin();
    (void)keep("a", "1");
    (void)ID(evb_on(bus, "a", answer_wrong, NULL));
    EQ(evb__ld_rlx(&bus->errors), 1);
    end();
}

static int32_t nest(const evb_event *ev, void *user)
{
    uint32_t *depth = user;

    (void)ev;
    if (++*depth < EVB__EMIT_DEPTH)
        EQ(evb_emit(bus, "deep", NULL, 0), 1);
    else
        FAILS(evb_on(bus, "a", note, NULL), EVB_ERECURSION);
    return EVB_OK;
}

TEST(nested_64_deep_a_listener_to_which_something_is_to_be_shown_is_refused)
{
    uint32_t depth = 0;

    begin();
    (void)ID(evb_on(bus, "deep", nest, &depth));
    (void)keep("a", "1");
    EQ(evb_emit(bus, "deep", NULL, 0), 1);
    EQ(depth, EVB__EMIT_DEPTH);
    EQ(evb_listener_count(bus, "a"), 0);
    end();
}

static void keep_and_listen(void *arg)
{
    evb_bus *made = NULL;
    int64_t id;

    (void)arg;
    if (!OK_OR_NOMEM(evb_bus_create(NULL, &made))) return;
    bus = made;
    for (int i = 0; i < 3; i++) {
        char topic[8];

        (void)snprintf(topic, sizeof topic, "t.%d", i);
        if (!OK_OR_NOMEM(keep(topic, "1"))) {
            EQ(bus->retained.count, i);
            goto out;
        }
    }
    got[0] = '\0';
    id = evb_on(bus, ">", note, NULL);
    if (!OK_OR_NOMEM(id)) {
        EQ_STR(got, "");
        EQ(bus->retained.showing, 0);
    } else {
        EQ_STR(got, "t.0=1! t.1=1! t.2=1!");
    }
out:
    end();
}

TEST(without_memory_nothing_is_kept_and_nobody_is_shown_anything)
{
    CHECK(evb_test_alloc_sweep(keep_and_listen, NULL) > 10);
}

static int in_child(void *arg)
{
    (void)arg;
    FAILS(keep("a", "2"), EVB_EFORKED);
    FAILS(evb_on(bus, "a", note, NULL), EVB_EFORKED);
    return 0;
}

TEST(a_forked_child_is_refused_and_the_parent_keeps_what_it_has)
{
    begin();
    (void)keep("a", "1");
    EQ(evb_test_in_child(in_child, NULL), 0);
    EQ_STR(shown("a"), "a=1!");
    end();
}

TEST(a_drained_bus_refuses_the_publish_and_still_shows_what_it_keeps)
{
    begin();
    (void)keep("a", "1");
    OK(evb_bus_drain(bus, 0));
    FAILS(keep("a", "2"), EVB_ECLOSED);
    EQ_STR(shown("a"), "a=1!");
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_listener_gets_what_its_topics_keep_in_order_of_publication),
        cmocka_unit_test(every_form_of_registering_shows_what_is_kept_before_the_id_is_known),
        cmocka_unit_test(after_that_a_listener_gets_what_is_published_unmarked),
        cmocka_unit_test(an_empty_payload_clears_and_is_delivered_itself),
        cmocka_unit_test(a_publish_that_fails_keeps_nothing_and_clears_nothing),
        cmocka_unit_test(a_kept_event_that_a_listener_retains_outlives_the_bus),
        cmocka_unit_test(handles_loans_and_many_retain_too),
        cmocka_unit_test(the_patterns_of_every_dialect_find_what_is_kept),
        cmocka_unit_test(what_has_outlived_its_ttl_is_not_shown_and_dropped),
        cmocka_unit_test(of_more_than_65536_topics_the_oldest_goes),
        cmocka_unit_test(the_filter_applies_and_a_once_is_used_up_by_the_first_it_wants),
        cmocka_unit_test(a_listener_that_removes_itself_is_shown_nothing_more_and_freed),
        cmocka_unit_test(a_bus_destroyed_by_a_listener_that_is_shown_something_ends_when_the_call_returns),
        cmocka_unit_test(what_is_kept_or_cleared_while_a_listener_is_shown_things_it_gets_once_and_in_order),
        cmocka_unit_test(a_listener_that_is_kept_busy_for_ever_is_let_in),
        cmocka_unit_test(an_error_is_counted_and_does_not_matter_to_the_call),
        cmocka_unit_test(nested_64_deep_a_listener_to_which_something_is_to_be_shown_is_refused),
        cmocka_unit_test(without_memory_nothing_is_kept_and_nobody_is_shown_anything),
        cmocka_unit_test(a_forked_child_is_refused_and_the_parent_keeps_what_it_has),
        cmocka_unit_test(a_drained_bus_refuses_the_publish_and_still_shows_what_it_keeps),
    };
    return EVB_TEST_MAIN("retained", tests, argc, argv);
}
