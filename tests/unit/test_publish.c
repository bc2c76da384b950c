/* SPDX-License-Identifier: MIT */
/* The order of a publish, towards queues that say what they are asked (fake_sink.h): all or nothing, queues
 * before listeners, and what the publisher is told. Through a handle, a name with a record, and a name
 * without one. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "base/reader.h"
#include "fake_sink.h"

enum { HANDLE, RECORD, NO_RECORD, WAYS };

static struct {
    int way;
    const char *pattern; /* of what is to match "a.b" */
    evb_topic *topic;    /* HANDLE */
} world;

static void world_begin(int way)
{
    begin();
    world.way = way;
    world.pattern = way == NO_RECORD ? "a.*" : "a.b";
    world.topic = NULL;
    if (way == HANDLE) OK(evb_topic_open(bus, "a.b", &world.topic));
}

static void world_end(void)
{
    fake_end();
    evb_topic_close(world.topic);
    end();
}

static int32_t put(const evb_publish_opts *opts)
{
    trace[0] = '\0';
    return world.way == HANDLE ? evb_topic_publish(world.topic, "xyz", 3, opts)
                               : evb_publish(bus, "a.b", "xyz", 3, opts);
}

static int32_t emit(void)
{
    trace[0] = '\0';
    return world.way == HANDLE ? evb_topic_emit(world.topic, "xyz", 3) : evb_emit(bus, "a.b", "xyz", 3);
}

static struct fake *queue(const char *name)
{
    return fake_on(name, world.pattern);
}

static int64_t listener(const char *text)
{
    return listen_to(world.pattern, text, (evb_listen_opts){0});
}

#define EACH_WAY for (int way = 0; way < WAYS; way++)

/* ---- the order ---- */

TEST(room_is_reserved_in_all_queues_then_all_take_the_event_then_listeners_run)
{
    EACH_WAY {
        world_begin(way);
        (void)listener("x");
        (void)queue("a");
        (void)listener("y");
        (void)queue("b");
        EQ(put(NULL), 4);
        if (way == NO_RECORD) /* the trie's lists run from new to old */
            EQ_STR(trace, "b+a+b=a=xy");
        else
            EQ_STR(trace, "a+b+a=b=xy");
        world_end();
    }
}

TEST(an_emit_does_the_same)
{
    EACH_WAY {
        world_begin(way);
        (void)listener("x");
        (void)queue("a");
        EQ(emit(), 2);
        EQ_STR(trace, "a+a=x");
        world_end();
    }
}

TEST(an_emit_without_queues_reaches_listeners_only_and_has_no_sequence)
{
    EACH_WAY {
        world_begin(way);
        (void)listener("x");
        EQ(emit(), 1);
        EQ_STR(trace, "x");
        EQ(bus->sequence, 0);
        world_end();
    }
}

TEST(filters_are_asked_before_room_is_reserved)
{
    EACH_WAY {
        world_begin(way);
        fake_filter(queue("a"));
        fake_filter(queue("b"));
        EQ(put(NULL), 2);
        if (way == NO_RECORD)
            EQ_STR(trace, "b?a?b+a+b=a=");
        else
            EQ_STR(trace, "a?b?a+b+a=b=");
        world_end();
    }
}

TEST(a_queue_whose_filter_refuses_is_left_alone)
{
    EACH_WAY {
        struct fake *a;

        world_begin(way);
        a = queue("a");
        fake_filter(a);
        a->wanted = false;
        (void)listener("x");
        EQ(put(NULL), 1);
        EQ_STR(trace, "a?x");
        EQ(bus->sequence, 0);
        world_end();
    }
}

TEST(a_refusal_undoes_every_reservation_and_reaches_nobody)
{
    EACH_WAY {
        struct fake *a, *b;

        world_begin(way);
        a = queue(way == NO_RECORD ? "b" : "a");
        b = queue(way == NO_RECORD ? "a" : "b");
        (way == NO_RECORD ? a : b)->refuse = EVB_EFULL;
        (void)listener("x");
        FAILS(put(NULL), EVB_EFULL);
        EQ_STR(trace, "a+b#a-");
        FAILS(emit(), EVB_EFULL);
        EQ_STR(trace, "a+b#a-");
        EQ(bus->sequence, 0);
        (way == NO_RECORD ? a : b)->refuse = EVB_ETOOBIG;
        FAILS(put(NULL), EVB_ETOOBIG);
        EQ_STR(trace, "a+b#a-");
        world_end();
    }
}

TEST(a_queue_that_takes_nothing_any_more_is_skipped)
{
    EACH_WAY {
        struct fake *a;

        world_begin(way);
        a = queue("a");
        a->refuse = EVB_ECLOSED;
        (void)listener("x");
        EQ(put(NULL), 1);
        EQ_STR(trace, "a#x");
        EQ(emit(), 1);
        EQ_STR(trace, "a#x");
        world_end();
    }
}

TEST(an_event_that_a_queue_has_dropped_is_not_counted_but_has_a_sequence)
{
    EACH_WAY {
        struct fake *a;
        uint64_t sequence = 0;

        world_begin(way);
        a = queue("a");
        a->drops = true;
        (void)listener("x");
        EQ(put(&(evb_publish_opts){.ret_sequence = &sequence}), 1);
        EQ_STR(trace, "a+a/x");
        EQ(sequence, 1);
        EQ(bus->unroutable, 0);
        world_end();
    }
}

TEST(a_hundred_queues_take_one_event)
{
    EACH_WAY {
        struct fake *all[100];

        world_begin(way);
        fake_quiet = true;
        for (int i = 0; i < 100; i++)
            all[i] = queue("q");
        (void)listener("x");
        EQ(put(NULL), 101);
        EQ_STR(trace, "x");
        for (int i = 0; i < 100; i++) {
            struct evb__message *message = fake_take(all[i]);

            CHECK(message != NULL);
            EQ_MEM(message->event.data, "xyz", 3);
            EQ(message->event.sequence, 1);
            evb__message_unref(message);
        }
        all[99]->refuse = EVB_EFULL; /* the last or the first: the others are undone */
        FAILS(put(NULL), EVB_EFULL);
        all[99]->refuse = EVB_OK;
        all[0]->refuse = EVB_EFULL;
        FAILS(put(NULL), EVB_EFULL);
        world_end();
    }
}

/* ---- what the queues get ---- */

TEST(a_queue_gets_a_copy_with_its_key_and_headers)
{
    EACH_WAY {
        char payload[] = "payload", key[] = "key";
        evb_header header = {"name", "value", 5, 0};
        evb_publish_opts opts = {.key = key, .key_len = 3, .headers = &header, .header_count = 1};
        struct evb__message *m;
        struct fake *a;
        uint32_t length = 0;

        world_begin(way);
        a = queue("a");
        EQ(world.way == HANDLE ? evb_topic_publish(world.topic, payload, sizeof payload, &opts)
                               : evb_publish(bus, "a.b", payload, sizeof payload, &opts),
           1);
        memset(payload, '-', sizeof payload);
        memset(key, '-', sizeof key);
        m = fake_take(a);
        EQ(m->event.size, sizeof payload);
        EQ_STR(m->event.data, "payload");
        EQ((uintptr_t)m->event.data % 16, 0);
        EQ_STR(m->event.topic, "a.b");
        EQ(m->event.topic_len, 3);
        EQ(m->event.key_len, 3);
        EQ_MEM(m->event.key, "key", 3);
        EQ(m->event.flags, 0);
        EQ(m->event.attempt, 0);
        EQ(m->event.position, 0);
        EQ(m->bytes, sizeof payload + 3 + 4 + 5);
        EQ_MEM(evb__message_header(m, "name", &length), "value", 5);
        EQ(length, 5);
        evb__message_unref(m);
        world_end();
    }
}

TEST(all_queues_share_one_message)
{
    EACH_WAY {
        struct evb__message *first, *second;
        struct fake *a, *b;

        world_begin(way);
        a = queue("a");
        b = queue("b");
        EQ(put(NULL), 2);
        first = fake_take(a);
        second = fake_take(b);
        EQ_PTR(first, second);
        evb__message_unref(first);
        EQ_MEM(second->event.data, "xyz", 3); /* still there */
        evb__message_unref(second);
        world_end();
    }
}

TEST(sequences_rise_and_are_written_to_the_publisher)
{
    EACH_WAY {
        uint64_t sequence = 0, position = 77, before = 0;
        evb_publish_opts opts = {.ret_sequence = &sequence, .ret_position = &position};
        struct fake *a;

        world_begin(way);
        a = queue("a");
        for (int i = 0; i < 10; i++) {
            struct evb__message *m;

            EQ(put(&opts), 1);
            CHECK(sequence > before);
            EQ(position, 0);
            m = fake_take(a);
            EQ(m->event.sequence, sequence);
            evb__message_unref(m);
            before = sequence;
            position = 77;
        }
        a->refuse = EVB_EFULL;
        FAILS(put(&opts), EVB_EFULL);
        EQ(sequence, before); /* untouched on failure */
        EQ(position, 77);
        world_end();
    }
}

TEST(a_message_knows_when_it_was_published)
{
    EACH_WAY {
        struct evb__message *m;
        struct fake *a;

        evb_test_clock_install(1000);
        world_begin(way);
        a = queue("a");
        evb_test_clock_advance(5);
        EQ(put(NULL), 1);
        m = fake_take(a);
        EQ(m->time_ns, EVB_TEST_WALL_START + 5);
        evb__message_unref(m);
        world_end();
        evb_test_clock_remove();
    }
}

/* ---- what the listeners see ---- */

static evb_event seen;
static const void *seen_payload;
static char seen_header[16];
static int64_t seen_time;

static int32_t look(const evb_event *ev, void *user)
{
    uint32_t length = 0;
    const void *value = evb_event_header(ev, "name", &length);

    (void)user;
    seen = *ev;
    seen_payload = ev->data;
    seen_time = evb_event_time_ns(ev);
    seen_header[0] = '\0';
    if (value != NULL) snprintf(seen_header, sizeof seen_header, "%.*s", (int)length, (const char *)value);
    return EVB_OK;
}

TEST(listeners_see_the_publishers_bytes_with_key_headers_and_sequence)
{
    EACH_WAY {
        evb_header header = {"name", "value", 5, 0};
        evb_publish_opts opts = {.key = "key", .key_len = 3, .headers = &header, .header_count = 1};
        const char *payload = "xyz";

        for (int queues = 0; queues < 2; queues++) {
            world_begin(way);
            if (queues) (void)queue("a");
            (void)ID(evb_on(bus, world.pattern, look, NULL));
            EQ(world.way == HANDLE ? evb_topic_publish(world.topic, payload, 3, &opts)
                                   : evb_publish(bus, "a.b", payload, 3, &opts),
               1 + queues);
            EQ_PTR(seen_payload, payload);
            EQ_STR(seen_header, "value");
            EQ(seen.key_len, 3);
            EQ_MEM(seen.key, "key", 3);
            EQ(seen.sequence, queues); /* 0 when only listeners match */
            EQ(seen.attempt, 0);
            EQ(seen.flags, 0);
            if (queues)
                CHECK(seen_time > 0);
            else
                EQ(seen_time, 0);
            world_end();
        }
    }
}

static int32_t take_from(const evb_event *ev, void *user)
{
    fake_empty(user);
    EQ_MEM(ev->data, "xyz", 3);
    EQ_MEM(evb_event_header(ev, "name", NULL), "v", 1);
    return EVB_OK;
}

TEST(listeners_see_the_headers_after_the_queues_have_settled)
{
    EACH_WAY {
        evb_header header = {"name", "v", 1, 0};
        struct fake *a;

        world_begin(way);
        a = queue("a");
        (void)ID(evb_on(bus, world.pattern, take_from, a));
        EQ(put(&(evb_publish_opts){.headers = &header, .header_count = 1}), 2);
        CHECK(fake_take(a) == NULL);
        world_end();
    }
}

static void in_filter_look(struct fake *fake, const evb_event *ev)
{
    (void)fake;
    (void)look(ev, NULL);
    EQ(ev->sequence, 0);
    CHECK(evb_event_time_ns(ev) == 0);
}

TEST(filters_see_payload_key_and_headers)
{
    EACH_WAY {
        evb_header header = {"name", "value", 5, 0};
        struct fake *a;

        world_begin(way);
        a = queue("a");
        fake_filter(a);
        a->in_filter = in_filter_look;
        EQ(put(&(evb_publish_opts){.key = "k", .key_len = 1, .headers = &header, .header_count = 1}), 1);
        EQ_STR(seen_header, "value");
        EQ_MEM(seen_payload, "xyz", 3);
        EQ_STR(seen.topic, "a.b");
        EQ(seen.key_len, 1);
        world_end();
    }
}

static void in_filter_listen(struct fake *fake, const evb_event *ev)
{
    (void)ev;
    fake->in_filter = NULL;
    (void)listener("y");
    (void)queue("b");
}

TEST(who_joins_in_a_filter_waits_for_the_next_event)
{
    EACH_WAY {
        struct fake *a;

        world_begin(way);
        a = queue("a");
        fake_filter(a);
        (void)listener("x");
        a->in_filter = in_filter_listen;
        EQ(put(NULL), 2);
        EQ_STR(trace, "a?a+a=x");
        EQ(put(NULL), 4);
        world_end();
    }
}

/* ---- what the publisher is told ---- */

static int32_t refuse_all(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 0;
}

TEST(the_result_counts_listeners_as_an_emit_does_and_queues_that_took_it)
{
    EACH_WAY {
        world_begin(way);
        (void)queue("a");
        (void)listener("x");
        (void)listen_to(world.pattern, "m", (evb_listen_opts){.flags = EVB_MONITOR});
        (void)listen_to(world.pattern, "f", (evb_listen_opts){.filter = refuse_all});
        (void)listen_to(world.pattern, "o", (evb_listen_opts){.flags = EVB_ONCE});
        EQ(put(NULL), 3);
        EQ(put(NULL), 2); /* the once has gone */
        EQ(emit(), 2);
        world_end();
    }
}

TEST(a_publish_that_nobody_matches_is_unroutable)
{
    EACH_WAY {
        world_begin(way);
        EQ(put(NULL), 0);
        EQ(bus->unroutable, 1);
        EQ(bus->published, 0);
        (void)listener("x");
        EQ(put(NULL), 1);
        EQ(bus->unroutable, 1);
        EQ(bus->published, 1);
        (void)queue("a");
        EQ(put(NULL), 2); /* counted by its sequence */
        EQ(bus->published, 1);
        EQ(bus->sequence, 1);
        EQ(emit(), 2);
        EQ(bus->published, 1);
        EQ(bus->sequence, 2);
        world_end();
    }
}

TEST(a_mandatory_publish_needs_a_queue_that_wants_it_or_a_listener_that_counts)
{
    EACH_WAY {
        evb_publish_opts opts = {.flags = EVB_MANDATORY};
        struct fake *a;
        int64_t id;

        world_begin(way);
        FAILS(put(&opts), EVB_ENOROUTE);
        (void)listen_to(world.pattern, "m", (evb_listen_opts){.flags = EVB_MONITOR});
        FAILS(put(&opts), EVB_ENOROUTE);
        EQ_STR(trace, ""); /* not even the monitor */
        EQ(bus->unroutable, 2);
        id = listener("x");
        EQ(put(&opts), 1);
        OK(evb_off(bus, id));
        FAILS(put(&opts), EVB_ENOROUTE);
        id = listen_to(world.pattern, "f", (evb_listen_opts){.filter = refuse_all});
        EQ(put(&opts), 0); /* its filter is asked too late */
        OK(evb_off(bus, id));
        a = queue("a");
        EQ(put(&opts), 1);
        fake_filter(a);
        a->wanted = false;
        FAILS(put(&opts), EVB_ENOROUTE);
        a->wanted = true;
        a->refuse = EVB_ECLOSED;
        FAILS(put(&opts), EVB_ENOROUTE);
        EQ_STR(trace, "a?a#");
        world_end();
    }
}

TEST(a_delayed_event_reaches_queues_only)
{
    EACH_WAY {
        evb_publish_opts opts = {.delay_ns = 77};
        struct evb__message *m;
        struct fake *a;

        world_begin(way);
        (void)listener("x");
        EQ(put(&opts), 0);
        EQ_STR(trace, "");
        opts.flags = EVB_MANDATORY;
        FAILS(put(&opts), EVB_ENOROUTE);
        a = queue("a");
        EQ(put(&opts), 1);
        EQ_STR(trace, "a+a=");
        m = fake_take(a);
        EQ(evb__message_more(m)->delay_ns, 77);
        evb__message_unref(m);
        world_end();
    }
}

/* ---- inside callbacks ---- */

static int32_t publish_more(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    if (ev->size > 1) EQ(evb_publish(bus, ev->topic, ev->data, ev->size - 1, NULL), 2);
    return EVB_OK;
}

TEST(a_listener_may_publish_and_does_so_depth_first)
{
    EACH_WAY {
        world_begin(way);
        (void)queue("a");
        (void)ID(evb_on(bus, world.pattern, publish_more, letter("x")));
        EQ(put(NULL), 2);
        EQ_STR(trace, "a+a=xa+a=xa+a=x");
        world_end();
    }
}

static int32_t deepest;

static int32_t go_deeper(const evb_event *ev, void *user)
{
    int32_t status = evb_publish(bus, ev->topic, NULL, 0, NULL);

    (void)user;
    if (status < 0) deepest = status;
    return EVB_OK;
}

TEST(publishes_nest_as_deep_as_emits)
{
    world_begin(RECORD);
    fake_quiet = true;
    (void)queue("a");
    (void)ID(evb_on(bus, "a.b", go_deeper, NULL));
    EQ(put(NULL), 2);
    EQ(deepest, EVB_ERECURSION);
    EQ(bus->sequence, EVB__EMIT_DEPTH);
    world_end();
}

static int32_t hook_status;

static void publish_in_hook(const evb_hook_info *info, void *user)
{
    (void)user;
    hook_status = evb_publish(info->bus, "a", NULL, 0, NULL);
}

static int32_t answer_error(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return -1;
}

TEST(a_hook_may_not_publish)
{
    begin();
    evb_bus_destroy(bus);
    OK(evb_bus_create(&(evb_bus_opts){.hook = publish_in_hook}, &bus));
    (void)ID(evb_on(bus, "a", answer_error, NULL));
    (void)fake_on("a", "a");
    EQ(evb_publish(bus, "a", NULL, 0, NULL), 2);
    EQ(hook_status, EVB_ERECURSION);
    fake_end();
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_reserved_in_all_queues_then_all_take_the_event_then_listeners_run),
        cmocka_unit_test(an_emit_does_the_same),
        cmocka_unit_test(an_emit_without_queues_reaches_listeners_only_and_has_no_sequence),
        cmocka_unit_test(filters_are_asked_before_room_is_reserved),
        cmocka_unit_test(a_queue_whose_filter_refuses_is_left_alone),
        cmocka_unit_test(a_refusal_undoes_every_reservation_and_reaches_nobody),
        cmocka_unit_test(a_queue_that_takes_nothing_any_more_is_skipped),
        cmocka_unit_test(an_event_that_a_queue_has_dropped_is_not_counted_but_has_a_sequence),
        cmocka_unit_test(a_hundred_queues_take_one_event),
        cmocka_unit_test(a_queue_gets_a_copy_with_its_key_and_headers),
        cmocka_unit_test(all_queues_share_one_message),
        cmocka_unit_test(sequences_rise_and_are_written_to_the_publisher),
        cmocka_unit_test(a_message_knows_when_it_was_published),
        cmocka_unit_test(listeners_see_the_publishers_bytes_with_key_headers_and_sequence),
        cmocka_unit_test(listeners_see_the_headers_after_the_queues_have_settled),
        cmocka_unit_test(filters_see_payload_key_and_headers),
        cmocka_unit_test(who_joins_in_a_filter_waits_for_the_next_event),
        cmocka_unit_test(the_result_counts_listeners_as_an_emit_does_and_queues_that_took_it),
        cmocka_unit_test(a_publish_that_nobody_matches_is_unroutable),
        cmocka_unit_test(a_mandatory_publish_needs_a_queue_that_wants_it_or_a_listener_that_counts),
        cmocka_unit_test(a_delayed_event_reaches_queues_only),
        cmocka_unit_test(a_listener_may_publish_and_does_so_depth_first),
        cmocka_unit_test(publishes_nest_as_deep_as_emits),
        cmocka_unit_test(a_hook_may_not_publish),
    };
    return EVB_TEST_MAIN("publish", tests, argc, argv);
}
