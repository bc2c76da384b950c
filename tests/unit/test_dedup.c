/* SPDX-License-Identifier: MIT */
/* Duplicates: what dedup_id promises one thread. test_dedup_threads.c has several. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "fake_sink.h"

#define SECOND INT64_C(1000000000)

static char id_text[300];

static const char *id_of(uint32_t number)
{
    (void)snprintf(id_text, sizeof id_text, "id-%u", (unsigned)number);
    return id_text;
}

/* What evb_publish answers; its sequence. */
static int32_t send(const char *topic, const char *id, uint64_t *ret_sequence)
{
    return evb_publish(bus, topic, "x", 1, &(evb_publish_opts){.dedup_id = id, .ret_sequence = ret_sequence});
}

static void begin_with_window(uint32_t window)
{
    trace[0] = '\0';
    OK(evb_bus_create(&(evb_bus_opts){.dedup_window = window}, &bus));
}

TEST(a_duplicate_answers_0_with_the_first_sequence_and_reaches_nobody)
{
    uint64_t first = 0, again = 0, other = 0, position = 7;

    begin();
    (void)fake_on("q", "a");
    (void)listen_to("a", "l", (evb_listen_opts){0});
    EQ(send("a", "one", &first), 2);
    EQ(first, 1);
    EQ(send("a", "two", &other), 2);
    EQ(other, 2);
    trace[0] = '\0';
    EQ(evb_publish(bus, "a", "x", 1,
                   &(evb_publish_opts){.dedup_id = "one", .ret_sequence = &again, .ret_position = &position}),
       0);
    EQ(again, 1);
    EQ(position, 0);
    EQ_STR(trace, "");
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    fake_end();
    end();
}

TEST(a_publish_without_id_is_never_a_duplicate_and_touches_no_window)
{
    begin();
    (void)listen_to("a", "l", (evb_listen_opts){0});
    EQ(send("a", NULL, NULL), 1);
    EQ(send("a", NULL, NULL), 1);
    EQ(evb_emit(bus, "a", NULL, 0), 1);
    EQ(bus->dedup.buckets, 0); /* nothing has been allocated */
    EQ(evb__dedup_duplicates(&bus->dedup), 0);
    end();
}

TEST(an_id_has_1_to_255_bytes)
{
    char longest[257];

    begin();
    memset(longest, 'i', sizeof longest);
    longest[256] = '\0';
    FAILS(send("a", longest, NULL), EVB_ETOOBIG);
    FAILS(send("a", "", NULL), EVB_EINVAL);
    longest[255] = '\0';
    EQ(send("a", longest, NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 0);
    EQ(send("a", longest, NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    longest[254] = '\0'; /* another one */
    EQ(send("a", longest, NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    end();
}

TEST(one_window_serves_all_topics_handles_and_loans)
{
    evb_publish_opts opts = {.dedup_id = "one"};
    evb_topic *topic;
    void *data;

    begin();
    (void)listen_to(">", "l", (evb_listen_opts){0});
    OK(evb_topic_open(bus, "b", &topic));
    EQ(send("a", "one", NULL), 1);
    EQ(send("b", "one", NULL), 0);
    EQ(send("c.unlisted", "one", NULL), 0);
    EQ(evb_topic_publish(topic, "x", 1, &opts), 0);
    OK(evb_loan(bus, 8, &data));
    EQ(evb_publish_loan(bus, "a", data, 8, &opts), 0); /* takes the loan, or it would leak */
    opts.dedup_id = "two";
    EQ(evb_topic_publish(topic, "x", 1, &opts), 1);
    EQ(send("a", "two", NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 5);
    evb_topic_close(topic);
    end();
}

TEST(publish_many_does_not_look_at_the_id)
{
    evb_message m = {.topic = "a"};

    begin();
    (void)listen_to("a", "l", (evb_listen_opts){0});
    for (int i = 0; i < 2; i++)
        EQ(evb_publish_many(bus, &m, 1, &(evb_publish_opts){.dedup_id = ""}), 1);
    EQ(bus->dedup.buckets, 0);
    end();
}

TEST(the_window_counts_ids_and_the_oldest_goes)
{
    begin_with_window(2);
    (void)listen_to("a", "l", (evb_listen_opts){0});
    EQ(send("a", "one", NULL), 1);
    EQ(send("a", "two", NULL), 1);
    EQ(send("a", "one", NULL), 0); /* does not make it younger */
    EQ(send("a", "three", NULL), 1);
    EQ(send("a", "two", NULL), 0);
    EQ(send("a", "three", NULL), 0);
    EQ(send("a", "one", NULL), 1);
    EQ(send("a", "two", NULL), 1);
    end();
}

TEST(the_window_holds_65536_ids_unless_told_otherwise)
{
    begin();
    for (uint32_t i = 0; i < 65536; i++)
        EQ(send("a", id_of(i), NULL), 0);
    EQ(bus->dedup.remembered, 65536);
    EQ(send("a", id_of(0), NULL), 0);
    EQ(send("a", id_of(65535), NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 2);
    EQ(send("a", id_of(65536), NULL), 0);
    EQ(bus->dedup.remembered, 65536);
    EQ(send("a", id_of(1), NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 3);
    EQ(send("a", id_of(0), NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 3);
    end();
}

TEST(an_id_is_remembered_for_two_minutes_from_its_first_publish)
{
    begin();
    evb_test_clock_install(1000 * SECOND);
    (void)listen_to("a", "l", (evb_listen_opts){0});
    EQ(send("a", "one", NULL), 1);
    evb_test_clock_advance(60 * SECOND);
    EQ(send("a", "two", NULL), 1);
    EQ(send("a", "one", NULL), 0);
    evb_test_clock_advance(60 * SECOND - 1);
    EQ(send("a", "one", NULL), 0);
    evb_test_clock_advance(1);
    EQ(send("a", "one", NULL), 1);
    EQ(send("a", "two", NULL), 0);
    evb_test_clock_step_wall(-1000 * SECOND); /* the date does not matter */
    EQ(send("a", "one", NULL), 0);
    end();
    evb_test_clock_remove();
}

TEST(mandatory_does_not_apply_to_a_duplicate)
{
    evb_publish_opts opts = {.dedup_id = "one", .flags = EVB_MANDATORY};
    int64_t id;

    begin();
    id = listen_to("a", "l", (evb_listen_opts){0});
    EQ(evb_publish(bus, "a", "x", 1, &opts), 1);
    OK(evb_off(bus, id));
    EQ(evb_publish(bus, "a", "x", 1, &opts), 0);
    end();
}

TEST(an_id_that_reached_nobody_is_remembered)
{
    begin();
    EQ(send("a", "one", NULL), 0);
    (void)listen_to("a", "l", (evb_listen_opts){0});
    EQ(send("a", "one", NULL), 0);
    EQ_STR(trace, "");
    end();
}

TEST(an_id_whose_publish_failed_is_not_remembered)
{
    evb_publish_opts mandatory = {.dedup_id = "one", .flags = EVB_MANDATORY};
    struct fake *f;

    begin();
    FAILS(evb_publish(bus, "a", "x", 1, &mandatory), EVB_ENOROUTE);
    f = fake_on("q", "a");
    f->refuse = EVB_EFULL;
    FAILS(send("a", "one", NULL), EVB_EFULL);
    f->refuse = EVB_ETOOBIG;
    FAILS(send("a", "one", NULL), EVB_ETOOBIG);
    f->refuse = EVB_EAGAIN;
    FAILS(send("a", "one", NULL), EVB_ETIMEDOUT); /* the fake's wait */
    FAILS(evb_publish(bus, "a", "x", 1, &(evb_publish_opts){.dedup_id = "one", .flags = EVB_NOWAIT}),
          EVB_EFULL);
    EQ(bus->dedup.pending + bus->dedup.remembered, 0);
    f->refuse = EVB_OK;
    EQ(send("a", "one", NULL), 1);
    OK(evb_bus_drain(bus, 0));
    FAILS(send("a", "two", NULL), EVB_ECLOSED);
    EQ(bus->dedup.pending, 0);
    EQ(bus->dedup.remembered, 1);
    fake_end();
    end();
}

static int32_t find_room(struct fake *f, int64_t deadline_ns)
{
    (void)deadline_ns;
    EQ(bus->dedup.pending, 1); /* claimed while it waits */
    f->refuse = EVB_OK;
    return EVB_OK;
}

TEST(a_publish_that_waited_for_room_asks_for_its_id_once)
{
    struct fake *f;

    begin();
    f = fake_on("q", "a");
    f->refuse = EVB_EAGAIN;
    f->in_wait = find_room;
    EQ(send("a", "one", NULL), 1);
    EQ(send("a", "one", NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    fake_end();
    end();
}

static int32_t listener_status, filter_status;

static int32_t send_again(const evb_event *ev, void *user)
{
    (void)user;
    listener_status = send(ev->topic, "one", NULL);
    return EVB_OK;
}

TEST(a_listener_that_publishes_the_id_it_was_called_with_publishes_a_duplicate)
{
    begin();
    listener_status = -1;
    (void)ID(evb_on(bus, "a", send_again, NULL));
    EQ(send("a", "one", NULL), 1);
    EQ(listener_status, 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    end();
}

static void send_from_filter(struct fake *f, const evb_event *ev)
{
    f->in_filter = NULL;
    filter_status = send(ev->topic, "one", NULL);
}

static int32_t find_room_armed(struct fake *f, int64_t deadline_ns)
{
    (void)deadline_ns;
    f->refuse = EVB_OK;
    f->in_filter = send_from_filter;
    return EVB_OK;
}

TEST(a_filter_that_publishes_the_id_it_is_asked_about_again_is_told_to_try_again)
{
    struct fake *f;

    begin();
    f = fake_on("q", "a");
    fake_filter(f);
    f->wanted = true;
    f->refuse = EVB_EAGAIN;
    f->in_wait = find_room_armed;
    filter_status = 1;
    EQ(send("a", "one", NULL), 1);
    EQ(filter_status, EVB_EAGAIN);
    EQ(send("a", "one", NULL), 0);
    fake_end();
    end();
}

TEST(filters_are_asked_before_the_id_is_looked_up)
{
    struct fake *f;

    begin();
    f = fake_on("q", "a");
    fake_filter(f);
    f->wanted = false;
    EQ(send("a", "one", NULL), 0);
    trace[0] = '\0';
    EQ(send("a", "one", NULL), 0);
    EQ_STR(trace, "q?");
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    fake_end();
    end();
}

static void publish_with_memory_for_the_bus(void *arg)
{
    evb_bus *made = NULL;

    (void)arg;
    if (!OK_OR_NOMEM(evb_bus_create(NULL, &made))) return;
    bus = made;
    for (uint32_t i = 0; i < 70; i++) {
        if (!OK_OR_NOMEM(send("a", id_of(i), NULL))) {
            EQ(bus->dedup.pending, 0);
            EQ(bus->dedup.remembered, i);
            break;
        }
        EQ(evb__dedup_duplicates(&bus->dedup), i);
        EQ(send("a", id_of(i), NULL), 0);
        EQ(evb__dedup_duplicates(&bus->dedup), i + 1);
    }
    end();
}

TEST(without_memory_nothing_is_remembered_and_nobody_is_reached)
{
    CHECK(evb_test_alloc_sweep(publish_with_memory_for_the_bus, NULL) > 70);
}

static int publish_in_child(void *arg)
{
    uint64_t sequence = 9;

    (void)arg;
    FAILS(send("a", "one", &sequence), EVB_EFORKED);
    EQ(sequence, 9);
    return 0;
}

TEST(a_forked_child_is_refused)
{
    begin();
    EQ(send("a", "one", NULL), 0);
    EQ(evb_test_in_child(publish_in_child, NULL), 0);
    EQ(send("a", "one", NULL), 0);
    EQ(evb__dedup_duplicates(&bus->dedup), 1);
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duplicate_answers_0_with_the_first_sequence_and_reaches_nobody),
        cmocka_unit_test(a_publish_without_id_is_never_a_duplicate_and_touches_no_window),
        cmocka_unit_test(an_id_has_1_to_255_bytes),
        cmocka_unit_test(one_window_serves_all_topics_handles_and_loans),
        cmocka_unit_test(publish_many_does_not_look_at_the_id),
        cmocka_unit_test(the_window_counts_ids_and_the_oldest_goes),
        cmocka_unit_test(the_window_holds_65536_ids_unless_told_otherwise),
        cmocka_unit_test(an_id_is_remembered_for_two_minutes_from_its_first_publish),
        cmocka_unit_test(mandatory_does_not_apply_to_a_duplicate),
        cmocka_unit_test(an_id_that_reached_nobody_is_remembered),
        cmocka_unit_test(an_id_whose_publish_failed_is_not_remembered),
        cmocka_unit_test(a_publish_that_waited_for_room_asks_for_its_id_once),
        cmocka_unit_test(a_listener_that_publishes_the_id_it_was_called_with_publishes_a_duplicate),
        cmocka_unit_test(a_filter_that_publishes_the_id_it_is_asked_about_again_is_told_to_try_again),
        cmocka_unit_test(filters_are_asked_before_the_id_is_looked_up),
        cmocka_unit_test(without_memory_nothing_is_remembered_and_nobody_is_reached),
        cmocka_unit_test(a_forked_child_is_refused),
    };
    return EVB_TEST_MAIN("dedup", tests, argc, argv);
}
