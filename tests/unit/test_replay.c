/* SPDX-License-Identifier: MIT */
/* evb_bus_replay: what is stored, once more, as events. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "fault_fs.h"

static struct fault_fs *fs;
static evb_store *store;
static evb_bus *bus;
static char text[1024];

static void begin(uint32_t dialect, const char *pattern)
{
    fs = fault_fs_new();
    fault_fs_use(fs);
    OK(evb_store_open("/d", &(evb_store_opts){.segment_bytes = 16384}, &store));
    OK(evb_bus_create(&(evb_bus_opts){.store = store, .dialect = dialect}, &bus));
    OK(evb_bus_persist(bus, pattern));
    text[0] = '\0';
}

static void end(void)
{
    evb_bus_destroy(bus);
    OK(evb_store_close(store));
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

static void publish(const char *topic, const char *data)
{
    EQ(evb_publish(bus, topic, data, strlen(data), NULL), 0);
}

static int32_t note(const evb_event *ev, void *user)
{
    size_t at = strlen(text);
    const char *stop_at = user;

    EQ(ev->flags, EVB_EVENT_REPLAYING);
    EQ(ev->attempt, 0);
    (void)snprintf(text + at, sizeof text - at, "%u %s %.*s|", (unsigned)ev->position, ev->topic,
                   (int)ev->size, (const char *)ev->data);
    return stop_at != NULL && strcmp(ev->topic, stop_at) == 0 ? EVB_REJECT : EVB_OK;
}

static const char *replayed(const char *pattern, uint64_t from, int32_t expected)
{
    text[0] = '\0';
    EQ(evb_bus_replay(bus, pattern, from, note, NULL), expected);
    return text;
}

TEST(the_events_of_a_pattern_come_in_order_from_a_position_on)
{
    begin(EVB_TOPICS_DOT, ">");
    EQ_STR(replayed(">", 0, 0), "");
    publish("a.1", "x");
    publish("b.1", "y");
    publish("a.2", "z");
    EQ_STR(replayed(">", 0, 3), "1 a.1 x|2 b.1 y|3 a.2 z|");
    EQ_STR(replayed("a.*", 1, 2), "1 a.1 x|3 a.2 z|");
    EQ_STR(replayed("a.*", 2, 1), "3 a.2 z|");
    EQ_STR(replayed("c", 0, 0), "");
    EQ_STR(replayed(">", 4, 0), "");
    end();
}

TEST(a_function_that_does_not_answer_ok_ends_it_and_its_event_counts)
{
    begin(EVB_TOPICS_DOT, ">");
    publish("a", "x");
    publish("b", "y");
    publish("c", "z");
    EQ(evb_bus_replay(bus, ">", 0, note, (void *)(uintptr_t) "b"), 2);
    EQ_STR(text, "1 a x|2 b y|");
    end();
}

TEST(patterns_are_of_the_dialect_of_the_bus)
{
    begin(EVB_TOPICS_MQTT, "#");
    publish("a/b", "x");
    publish("a//*", "y");
    publish("..", "z");
    EQ_STR(replayed("a/#", 0, 2), "1 a/b x|2 a//* y|");
    EQ_STR(replayed("+", 0, 1), "3 .. z|");
    EQ_STR(replayed("#", 0, 3), "1 a/b x|2 a//* y|3 .. z|");
    end();
    begin(EVB_TOPICS_AMQP, "#");
    FAILS(evb_publish(bus, "", "x", 1, NULL), EVB_EINVAL); /* no name for a stream */
    EQ(evb_publish(bus, "", "x", 1, &(evb_publish_opts){.stream = "s"}), 0);
    publish("*.#", "y");
    EQ_STR(replayed("#.#", 0, 2), "1  x|2 *.# y|");
    EQ_STR(replayed("*.*", 0, 1), "2 *.# y|");
    end();
}

static const evb_event *kept;
static int64_t kept_time;

static int32_t keep(const evb_event *ev, void *user)
{
    uint32_t size = 0;

    (void)user;
    EQ_MEM(evb_event_header(ev, "who", &size), "me", 2);
    EQ(size, 2);
    kept_time = evb_event_time_ns(ev);
    kept = evb_event_retain(ev);
    CHECK(kept != NULL);
    return EVB_OK;
}

TEST(a_replayed_event_has_key_headers_and_its_own_time_and_can_be_kept)
{
    const evb_header header = {.name = "who", .value = "me", .value_len = 2};
    int64_t published;

    evb_test_clock_install(0);
    begin(EVB_TOPICS_DOT, ">");
    published = EVB_TEST_WALL_START;
    EQ(evb_publish(bus, "a", "data", 4,
                   &(evb_publish_opts){.key = "k", .key_len = 1, .headers = &header, .header_count = 1}),
       0);
    evb_test_clock_advance(1000000000);
    EQ(evb_bus_replay(bus, "a", 0, keep, NULL), 1);
    EQ(kept_time, published);
    end();
    EQ_STR(kept->topic, "a");
    EQ_MEM(kept->data, "data", 4);
    EQ_MEM(kept->key, "k", 1);
    EQ(kept->position, 1);
    EQ(kept->flags, EVB_EVENT_REPLAYING);
    EQ(evb_event_time_ns(kept), published);
    EQ_MEM(evb_event_header(kept, "who", NULL), "me", 2);
    evb_event_release(kept);
}

static int32_t publish_more(const evb_event *ev, void *user)
{
    (void)user;
    publish("more", "x");
    FAILS(evb_bus_replay(bus, ">", 0, note, NULL), EVB_EDEADLK);
    return note(ev, NULL);
}

TEST(what_is_published_meanwhile_is_not_replayed_and_no_replay_begins_inside_a_callback)
{
    begin(EVB_TOPICS_DOT, ">");
    publish("a", "x");
    publish("b", "y");
    EQ(evb_bus_replay(bus, ">", 0, publish_more, NULL), 2);
    EQ_STR(text, "1 a x|2 b y|");
    EQ(evb_store_last_position(store), 4);
    end();
}

static int32_t destroy(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb_bus_destroy(bus);
    return EVB_OK;
}

TEST(the_function_may_destroy_the_bus)
{
    begin(EVB_TOPICS_DOT, ">");
    publish("a", "x");
    publish("b", "y");
    EQ(evb_bus_replay(bus, ">", 0, destroy, NULL), 1);
    OK(evb_store_close(store));
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

TEST(what_has_been_trimmed_is_said_to_be_gone_unless_one_asks_for_all_there_is)
{
    static const char kilobyte[1024];

    begin(EVB_TOPICS_DOT, ">");
    for (int i = 0; i < 40; i++)
        EQ(evb_publish(bus, "a", kilobyte, sizeof kilobyte, NULL), 0);
    CHECK(evb_store_trim(store, 30) > 0);
    CHECK(evb_store_first_position(store) > 2);
    FAILS(evb_bus_replay(bus, "a", 2, note, NULL), EVB_ETRUNCATED);
    text[0] = '\0';
    EQ(evb_bus_replay(bus, "a", 40, note, NULL), 1);
    text[0] = '\0';
    EQ(evb_bus_replay(bus, "a", 1, note, (void *)(uintptr_t) "a"), 1); /* the first that is kept */
    end();
}

TEST(bad_arguments_are_refused)
{
    begin(EVB_TOPICS_DOT, ">");
    FAILS(evb_bus_replay(NULL, ">", 0, note, NULL), EVB_EINVAL);
    FAILS(evb_bus_replay(bus, NULL, 0, note, NULL), EVB_EINVAL);
    FAILS(evb_bus_replay(bus, "a..b", 0, note, NULL), EVB_EINVAL);
    FAILS(evb_bus_replay(bus, ">", 0, NULL, NULL), EVB_EINVAL);
    end();
}

static int in_child(void *arg)
{
    (void)arg;
    if (evb_bus_replay(bus, ">", 0, note, NULL) != EVB_EFORKED) return 1;
    if (evb_bus_persist(bus, "x") != EVB_EFORKED) return 2;
    return evb_bus_create(&(evb_bus_opts){.store = store}, &bus) == EVB_EFORKED ? 0 : 3;
}

TEST(in_a_forked_child_bus_and_store_are_dead)
{
    begin(EVB_TOPICS_DOT, ">");
    EQ(evb_test_in_child(in_child, NULL), 0);
    end();
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(the_events_of_a_pattern_come_in_order_from_a_position_on),
        EACH(a_function_that_does_not_answer_ok_ends_it_and_its_event_counts),
        EACH(patterns_are_of_the_dialect_of_the_bus),
        EACH(a_replayed_event_has_key_headers_and_its_own_time_and_can_be_kept),
        EACH(what_is_published_meanwhile_is_not_replayed_and_no_replay_begins_inside_a_callback),
        EACH(the_function_may_destroy_the_bus),
        EACH(what_has_been_trimmed_is_said_to_be_gone_unless_one_asks_for_all_there_is),
        EACH(bad_arguments_are_refused),
        EACH(in_a_forked_child_bus_and_store_are_dead),
    };

    return EVB_TEST_MAIN("replay", tests, argc, argv);
}
