/* SPDX-License-Identifier: MIT */
/* Arguments of the listener side: NULL, flags, options of every size, payload sizes, handles, and calls on a
 * bus that ends. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"

static evb_bus *bus;
static char trace[64]; /* something to point at */

static void begin(void)
{
    OK(evb_bus_create(NULL, &bus));
}

static void end(void)
{
    evb_bus_destroy(bus);
}

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static int32_t append(const char *pattern, uint32_t listeners, void *user)
{
    (void)pattern;
    (void)listeners;
    (void)user;
    return 0;
}

/* ---- payload limits ---- */

static void limit_is(uint32_t option, size_t limit)
{
    static char byte;
    evb_topic *topic;

    OK(evb_bus_create(&(evb_bus_opts){.max_payload_bytes = option}, &bus));
    OK(evb_topic_open(bus, "p", &topic));
    (void)ID(evb_on(bus, "p", ignore, NULL)); /* looks at no byte: the sizes need no memory */
    EQ(evb_emit(bus, "p", &byte, limit), 1);
    EQ(evb_topic_emit(topic, &byte, limit), 1);
    if (limit != SIZE_MAX) {
        FAILS(evb_emit(bus, "p", &byte, limit + 1), EVB_ETOOBIG);
        FAILS(evb_topic_emit(topic, &byte, limit + 1), EVB_ETOOBIG);
        FAILS(evb_emit(bus, "p", &byte, SIZE_MAX), EVB_ETOOBIG);
        FAILS(evb_topic_emit(topic, &byte, SIZE_MAX), EVB_ETOOBIG);
    }
    evb_topic_close(topic);
    end();
}

TEST(the_largest_payload_is_1_mib_unless_said_otherwise)
{
    limit_is(0, (size_t)1 << 20);
    limit_is(1, 1);
    limit_is(1000, 1000);
    limit_is(UINT32_MAX - 1, UINT32_MAX - 1);
    limit_is(UINT32_MAX, SIZE_MAX);
}

TEST(no_data_with_a_size_is_invalid)
{
    evb_topic *topic;

    begin();
    OK(evb_topic_open(bus, "p", &topic));
    for (int listened = 0; listened < 2; listened++) {
        FAILS(evb_emit(bus, "p", NULL, 1), EVB_EINVAL);
        FAILS(evb_emit(bus, "unlisted", NULL, 1), EVB_EINVAL);
        FAILS(evb_topic_emit(topic, NULL, 1), EVB_EINVAL);
        FAILS(evb_topic_emit(topic, NULL, (size_t)1 << 20), EVB_EINVAL);
        EQ(evb_topic_emit(topic, NULL, 0), listened);
        EQ(evb_topic_emit(topic, "", 0), listened);
        (void)ID(evb_on(bus, "p", ignore, NULL));
    }
    evb_topic_close(topic);
    end();
}

/* ---- bad arguments ---- */

TEST(null_arguments_are_invalid)
{
    evb_topic *topic = (evb_topic *)&bus;

    begin();
    FAILS(evb_bus_create(NULL, NULL), EVB_EINVAL);
    FAILS(evb_on(NULL, "a", ignore, NULL), EVB_EINVAL);
    FAILS(evb_on(bus, NULL, ignore, NULL), EVB_EINVAL);
    FAILS(evb_on(bus, "a", NULL, NULL), EVB_EINVAL);
    FAILS(evb_once(NULL, "a", ignore, NULL), EVB_EINVAL);
    FAILS(evb_once(bus, NULL, ignore, NULL), EVB_EINVAL);
    FAILS(evb_once(bus, "a", NULL, NULL), EVB_EINVAL);
    FAILS(evb_prepend(NULL, "a", ignore, NULL), EVB_EINVAL);
    FAILS(evb_prepend(bus, NULL, ignore, NULL), EVB_EINVAL);
    FAILS(evb_prepend(bus, "a", NULL, NULL), EVB_EINVAL);
    FAILS(evb_listen(NULL, "a", NULL, ignore, NULL), EVB_EINVAL);
    FAILS(evb_listen(bus, NULL, NULL, ignore, NULL), EVB_EINVAL);
    FAILS(evb_listen(bus, "a", NULL, NULL, NULL), EVB_EINVAL);
    FAILS(evb_off(NULL, 1), EVB_EINVAL);
    FAILS(evb_off_wait(NULL, 1), EVB_EINVAL);
    FAILS(evb_off_all(NULL, "a"), EVB_EINVAL);
    FAILS(evb_off_all(NULL, NULL), EVB_EINVAL);
    FAILS(evb_off_owner(NULL, bus), EVB_EINVAL);
    FAILS(evb_off_owner(bus, NULL), EVB_EINVAL);
    FAILS(evb_listener_count(NULL, "a"), EVB_EINVAL);
    FAILS(evb_listener_count(bus, NULL), EVB_EINVAL);
    FAILS(evb_patterns(NULL, append, NULL), EVB_EINVAL);
    FAILS(evb_patterns(bus, NULL, NULL), EVB_EINVAL);
    FAILS(evb_emit(NULL, "a", NULL, 0), EVB_EINVAL);
    FAILS(evb_emit(bus, NULL, NULL, 0), EVB_EINVAL);
    FAILS(evb_topic_open(NULL, "a", &topic), EVB_EINVAL);
    FAILS(evb_topic_open(bus, NULL, &topic), EVB_EINVAL);
    FAILS(evb_topic_open(bus, "a", NULL), EVB_EINVAL);
    EQ_PTR(topic, &bus); /* untouched */
    FAILS(evb_topic_emit(NULL, NULL, 0), EVB_EINVAL);
    FAILS(evb_topic_matches(EVB_TOPICS_DOT, NULL, "a"), EVB_EINVAL);
    FAILS(evb_topic_matches(EVB_TOPICS_DOT, "a", NULL), EVB_EINVAL);
    evb_topic_close(NULL);
    evb_bus_destroy(NULL);
    EQ(bus->listeners + bus->topics, 0);
    end();
}

TEST(unknown_flags_are_invalid_and_known_ones_combine)
{
    begin();
    for (uint32_t bit = 0; bit < 32; bit++) {
        evb_listen_opts o = {.flags = 1u << bit};

        if (bit < 3)
            (void)ID(evb_listen(bus, "a", &o, ignore, NULL));
        else
            FAILS(evb_listen(bus, "a", &o, ignore, NULL), EVB_EINVAL);
    }
    FAILS(evb_listen(bus, "a", &(evb_listen_opts){.flags = UINT32_MAX}, ignore, NULL), EVB_EINVAL);
    (void)ID(evb_listen(bus, "a", &(evb_listen_opts){.flags = EVB_ONCE | EVB_PREPEND | EVB_MONITOR}, ignore,
                        NULL));
    EQ(evb_off_all(bus, "a"), 4);
    end();
}

TEST(bus_options_are_checked)
{
    evb_bus *untouched = (evb_bus *)&trace, *made = untouched;
    int something;

    FAILS(evb_bus_create(&(evb_bus_opts){.dialect = 3}, &made), EVB_EINVAL);
    FAILS(evb_bus_create(&(evb_bus_opts){.dialect = UINT32_MAX}, &made), EVB_EINVAL);
    FAILS(evb_bus_create(&(evb_bus_opts){.flags = 1}, &made), EVB_EINVAL);
    FAILS(evb_bus_create(&(evb_bus_opts){.drain_timeout_ns = -2}, &made), EVB_EINVAL);
    FAILS(evb_bus_create(&(evb_bus_opts){.drain_timeout_ns = INT64_MIN}, &made), EVB_EINVAL);
    FAILS(evb_bus_create(&(evb_bus_opts){.schemas = (evb_schemas *)&something}, &made), EVB_ENOTSUP);
    EQ_PTR(made, untouched);
    OK(evb_bus_create(
        &(evb_bus_opts){.drain_timeout_ns = EVB_FOREVER, .workers = 3, .dedup_window = 1, .name = ""},
        &made));
    evb_bus_destroy(made);
    OK(evb_bus_create(&(evb_bus_opts){.drain_timeout_ns = INT64_MAX, .hook_mask = UINT32_MAX}, &made));
    evb_bus_destroy(made);
}

TEST(the_name_of_a_bus_is_copied_and_cut_at_63_bytes)
{
    char name[200];

    memset(name, 'n', sizeof name);
    name[199] = '\0';
    OK(evb_bus_create(&(evb_bus_opts){.name = name}, &bus));
    memset(name, 'm', 20);
    EQ(strlen(bus->name), 63);
    EQ(strspn(bus->name, "n"), 63);
    end();
}

/* ---- struct_size ---- */

struct newer_listen_opts {
    evb_listen_opts known;
    char unknown[24];
};

struct newer_bus_opts {
    evb_bus_opts known;
    char unknown[24];
};

TEST(listen_options_of_every_size_follow_the_rules)
{
    struct newer_listen_opts n = {.known = {.flags = EVB_MONITOR}};

    begin();
    (void)ID(evb_listen(bus, "a", &n.known, ignore, NULL)); /* 0: the first layout */
    for (uint32_t size = 1; size < sizeof(evb_listen_opts); size++) {
        n.known.struct_size = size;
        FAILS(evb_listen(bus, "a", &n.known, ignore, NULL), EVB_EINVAL);
    }
    for (uint32_t size = sizeof(evb_listen_opts); size <= sizeof n; size++) {
        n.known.struct_size = size;
        (void)ID(evb_listen(bus, "a", &n.known, ignore, NULL));
    }
    for (uint32_t at = 0; at < sizeof n.unknown; at++) {
        n.unknown[at] = 1;
        n.known.struct_size = (uint32_t)offsetof(struct newer_listen_opts, unknown) + at + 1;
        FAILS(evb_listen(bus, "a", &n.known, ignore, NULL), EVB_ENOTSUP);
        n.known.struct_size--; /* the byte is not part of it */
        (void)ID(evb_listen(bus, "a", &n.known, ignore, NULL));
        n.unknown[at] = 0;
    }
    EQ(evb_listener_count(bus, "a"), 0); /* monitors all of them: the known fields were read */
    end();
}

TEST(bus_options_of_every_size_follow_the_rules)
{
    struct newer_bus_opts n = {.known = {.dialect = EVB_TOPICS_MQTT}};
    evb_bus *untouched = (evb_bus *)&trace, *made;

    for (uint32_t size = 0; size <= sizeof n; size++) {
        n.known.struct_size = size;
        made = untouched;
        if (size == 0 || size >= sizeof(evb_bus_opts)) {
            OK(evb_bus_create(&n.known, &made));
            EQ(evb_emit(made, "a/", NULL, 0), 0); /* as MQTT has it */
            FAILS(evb_emit(made, "", NULL, 0), EVB_EINVAL);
            evb_bus_destroy(made);
        } else {
            FAILS(evb_bus_create(&n.known, &made), EVB_EINVAL);
            EQ_PTR(made, untouched);
        }
    }
    made = untouched;
    n.unknown[23] = 1;
    FAILS(evb_bus_create(&n.known, &made), EVB_ENOTSUP);
    n.known.struct_size = sizeof n - 1;
    OK(evb_bus_create(&n.known, &made));
    evb_bus_destroy(made);
}

/* ---- handles ---- */

TEST(opening_a_name_twice_gives_the_same_handle_and_each_open_needs_its_close)
{
    evb_topic *a, *b, *c;

    begin();
    OK(evb_topic_open(bus, "h", &a));
    OK(evb_topic_open(bus, "h", &b));
    OK(evb_topic_open(bus, "i", &c));
    EQ_PTR(a, b);
    CHECK(a != c);
    evb_topic_close(a);
    (void)ID(evb_on(bus, "h", ignore, NULL));
    EQ(evb_topic_emit(b, NULL, 0), 1);
    evb_topic_close(b);
    evb_topic_close(c);
    EQ(bus->topics, 1); /* "h" is named by its listener */
    EQ(evb_off_all(bus, NULL), 1);
    EQ(bus->topics, 0);
    end();
}

TEST(a_handle_outlives_its_bus_and_answers_closed)
{
    evb_topic *a, *b;

    begin();
    OK(evb_topic_open(bus, "h", &a));
    OK(evb_topic_open(bus, "h", &b));
    (void)ID(evb_on(bus, "h", ignore, NULL));
    end();
    FAILS(evb_topic_emit(a, NULL, 0), EVB_ECLOSED);
    FAILS(evb_topic_emit(a, "x", 1), EVB_ECLOSED);
    evb_topic_close(a);
    FAILS(evb_topic_emit(b, NULL, 0), EVB_ECLOSED);
    evb_topic_close(b);
}

TEST(a_handle_cannot_be_opened_more_often_than_can_be_counted)
{
    evb_topic *a, *b = (evb_topic *)&trace;

    begin();
    OK(evb_topic_open(bus, "h", &a));
    a->refs = UINT32_MAX;
    FAILS(evb_topic_open(bus, "h", &b), EVB_EFULL);
    EQ_PTR(b, (evb_topic *)&trace);
    a->refs = 1;
    evb_topic_close(a);
    end();
}

static int32_t bus_is_closed(const evb_event *ev, void *user)
{
    evb_topic *topic;

    (void)ev;
    (void)user;
    evb_bus_destroy(bus);
    FAILS(evb_on(bus, "a", ignore, NULL), EVB_ECLOSED);
    FAILS(evb_once(bus, "a.*", ignore, NULL), EVB_ECLOSED);
    FAILS(evb_prepend(bus, "a", ignore, NULL), EVB_ECLOSED);
    FAILS(evb_listen(bus, "a", NULL, ignore, NULL), EVB_ECLOSED);
    FAILS(evb_emit(bus, "a", NULL, 0), EVB_ECLOSED);
    FAILS(evb_topic_open(bus, "a", &topic), EVB_ECLOSED);
    FAILS(evb_listener_count(bus, "a"), EVB_ECLOSED);
    FAILS(evb_patterns(bus, append, NULL), EVB_ECLOSED);
    EQ(evb_off_all(bus, NULL), 0);
    return EVB_OK;
}

TEST(calls_on_a_bus_that_is_being_destroyed_answer_closed)
{
    begin();
    (void)ID(evb_on(bus, "a.*", bus_is_closed, NULL));
    (void)ID(evb_on(bus, "a", ignore, NULL));
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_payload_is_1_mib_unless_said_otherwise),
        cmocka_unit_test(no_data_with_a_size_is_invalid),
        cmocka_unit_test(null_arguments_are_invalid),
        cmocka_unit_test(unknown_flags_are_invalid_and_known_ones_combine),
        cmocka_unit_test(bus_options_are_checked),
        cmocka_unit_test(the_name_of_a_bus_is_copied_and_cut_at_63_bytes),
        cmocka_unit_test(listen_options_of_every_size_follow_the_rules),
        cmocka_unit_test(bus_options_of_every_size_follow_the_rules),
        cmocka_unit_test(opening_a_name_twice_gives_the_same_handle_and_each_open_needs_its_close),
        cmocka_unit_test(a_handle_outlives_its_bus_and_answers_closed),
        cmocka_unit_test(a_handle_cannot_be_opened_more_often_than_can_be_counted),
        cmocka_unit_test(calls_on_a_bus_that_is_being_destroyed_answer_closed),
    };
    return EVB_TEST_MAIN("bus_arguments", tests, argc, argv);
}
