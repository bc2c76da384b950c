/* SPDX-License-Identifier: MIT */
/* Topics that are persisted: what is published or emitted on them is in the store before anybody gets it, or
 * nobody gets it.
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "fault_fs.h"

static struct fault_fs *fs;
static evb_store *store;
static evb_bus *bus;
static evb_sub *sub;

static void begin_with(const evb_store_opts *store_opts, evb_bus_opts bus_opts)
{
    fs = fault_fs_new();
    fault_fs_use(fs);
    OK(evb_store_open("/d", store_opts, &store));
    bus_opts.store = store;
    OK(evb_bus_create(&bus_opts, &bus));
    sub = NULL;
}

static void begin(void)
{
    begin_with(NULL, (evb_bus_opts){0});
    OK(evb_bus_persist(bus, "p.>"));
}

static void end(void)
{
    if (sub != NULL) OK(evb_unsubscribe(sub));
    evb_bus_destroy(bus);
    OK(evb_store_close(store));
    EQ(fault_fs_open_files(fs), 0);
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

/* All that is stored: "position stream topic data|" */
static const char *stored(void)
{
    static char text[4096];
    size_t at = 0;
    evb_reader *reader;
    evb_record r;

    text[0] = '\0';
    OK(evb_store_read(store, NULL, &reader));
    while (evb_reader_next(reader, 0, &r) == EVB_OK)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u %s %s %.*s|", (unsigned)r.position, r.stream,
                               r.topic, (int)r.size, (const char *)r.data);
    evb_reader_close(reader);
    return text;
}

static int32_t publish(const char *topic, const char *text, const evb_publish_opts *opts)
{
    return evb_publish(bus, topic, text, strlen(text), opts);
}

static uint64_t last;  /* position of the event that was heard last */
static uint32_t heard; /* so many */

static int32_t hear(const evb_event *ev, void *user)
{
    (void)user;
    heard++;
    last = ev->position;
    if (ev->position != 0) CHECK(evb_store_last_position(store) >= ev->position);
    return EVB_OK;
}

static void subscribe(const char *pattern, evb_sub_opts opts)
{
    OK(evb_subscribe(bus, pattern, &opts, &sub));
}

static uint64_t take(void)
{
    const evb_event *ev;
    uint64_t delivery, position;

    OK(evb_sub_next(sub, 0, &delivery, &ev));
    position = ev->position;
    evb_event_release(ev);
    OK(evb_ack(sub, delivery));
    return position;
}

TEST(an_event_of_a_persisted_topic_is_stored_before_listeners_and_queues_get_it)
{
    uint64_t position = 77;

    begin();
    heard = 0;
    (void)ID(evb_on(bus, "p.a", hear, NULL));
    subscribe("p.*", (evb_sub_opts){.capacity = 8});
    EQ(publish("p.a", "one", &(evb_publish_opts){.ret_position = &position}), 2);
    EQ(position, 1);
    EQ(heard, 1);
    EQ(last, 1);
    EQ(publish("p.b", "two", NULL), 1);
    EQ(publish("q.a", "three", &(evb_publish_opts){.ret_position = &position}), 0);
    EQ(position, 0);
    EQ_STR(stored(), "1 p.a p.a one|2 p.b p.b two|");
    EQ(take(), 1);
    EQ(take(), 2);
    end();
}

TEST(emits_are_stored_too_also_when_nobody_is_there)
{
    evb_topic *topic;

    begin();
    EQ(evb_emit(bus, "p.named", "a", 1), 0);
    OK(evb_topic_open(bus, "p.handle", &topic));
    EQ(evb_topic_emit(topic, "b", 1), 0);
    EQ(evb_topic_publish(topic, "c", 1, NULL), 0);
    heard = 0;
    (void)ID(evb_on(bus, "p.handle", hear, NULL));
    EQ(evb_topic_emit(topic, "d", 1), 1);
    EQ(last, 4);
    EQ(evb_emit(bus, "p.other", NULL, 0), 0);
    evb_topic_close(topic);
    EQ_STR(stored(), "1 p.named p.named a|2 p.handle p.handle b|3 p.handle p.handle c|"
                     "4 p.handle p.handle d|5 p.other p.other |");
    end();
}

TEST(a_pattern_persisted_twice_stores_once_and_patterns_that_overlap_too)
{
    begin();
    OK(evb_bus_persist(bus, "p.>"));
    OK(evb_bus_persist(bus, "p.a"));
    EQ(publish("p.a", "x", NULL), 0);
    EQ(evb_emit(bus, "p.b", "y", 1), 0);
    EQ_STR(stored(), "1 p.a p.a x|2 p.b p.b y|");
    end();
}

TEST(key_headers_stream_and_time_are_stored_with_it)
{
    const evb_header headers[] = {{.name = "who", .value = "me", .value_len = 2}};
    evb_reader *reader;
    evb_record r;

    begin();
    EQ(publish("p.a", "x",
               &(evb_publish_opts){
                   .stream = "orders", .key = "k", .key_len = 1, .headers = headers, .header_count = 1}),
       0);
    OK(evb_store_read(store, NULL, &reader));
    OK(evb_reader_next(reader, 0, &r));
    EQ_STR(r.stream, "orders");
    EQ_STR(r.topic, "p.a");
    EQ_MEM(r.key, "k", 1);
    EQ(r.key_len, 1);
    EQ(r.header_count, 1);
    EQ_STR(r.headers[0].name, "who");
    CHECK(r.time_ns != 0);
    evb_reader_close(reader);
    end();
}

/* Whoever says where it goes, or how safe it is to be, says that it goes there. */
TEST(durable_and_stream_persist_a_single_event_and_durable_syncs_it_whatever_the_level)
{
    struct fault_fs_counts then;

    begin_with(&(evb_store_opts){.sync = EVB_SYNC_OS}, (evb_bus_opts){0});
    then = fault_fs_counts(fs);
    EQ(publish("q", "x", &(evb_publish_opts){.stream = "s"}), 0);
    EQ(fault_fs_since(fs, &then, FAULT_FS_DATASYNC), 0);
    EQ(publish("q", "y", &(evb_publish_opts){.flags = EVB_DURABLE}), 0);
    EQ(fault_fs_since(fs, &then, FAULT_FS_DATASYNC), 1);
    EQ_STR(stored(), "1 s q x|2 q q y|");
    end();
}

TEST(without_a_store_all_of_it_is_refused)
{
    static char long_name[300];

    OK(evb_bus_create(NULL, &bus));
    FAILS(evb_bus_persist(bus, "p"), EVB_EINVAL);
    FAILS(evb_bus_replay(bus, "p", 0, hear, NULL), EVB_EINVAL);
    FAILS(publish("p", "x", &(evb_publish_opts){.flags = EVB_DURABLE}), EVB_EINVAL);
    FAILS(publish("p", "x", &(evb_publish_opts){.stream = "s"}), EVB_EINVAL);
    evb_bus_destroy(bus);
    begin();
    FAILS(evb_bus_persist(NULL, "p"), EVB_EINVAL);
    FAILS(evb_bus_persist(bus, NULL), EVB_EINVAL);
    FAILS(evb_bus_persist(bus, "a..b"), EVB_EINVAL);
    FAILS(publish("p.a", "x", &(evb_publish_opts){.stream = ""}), EVB_EINVAL);
    memset(long_name, 's', sizeof long_name - 1);
    FAILS(publish("p.a", "x", &(evb_publish_opts){.stream = long_name}), EVB_EINVAL);
    EQ_STR(stored(), "");
    end();
}

TEST(the_store_of_a_bus_cannot_be_closed_before_it)
{
    begin();
    FAILS(evb_store_close(store), EVB_EBUSY);
    EQ(publish("p.a", "x", NULL), 0);
    end();
}

TEST(what_nobody_can_get_is_not_stored)
{
    begin();
    FAILS(publish("p.a", "x", &(evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    subscribe("p.*", (evb_sub_opts){.capacity = 1});
    EQ(publish("p.a", "fits", NULL), 1);
    FAILS(publish("p.a", "full", NULL), EVB_EFULL);
    EQ_STR(stored(), "1 p.a p.a fits|");
    EQ(take(), 1);
    end();
}

/* ---- the store refuses ---- */

static void refuse(int32_t status, uint32_t kinds)
{
    fault_fs_plan(fs, &(struct fault_fs_fault){
                          .what = FAULT_FS_FAIL, .status = status, .kinds = kinds, .path = ".seg"});
}

TEST(an_event_that_the_store_refuses_has_reached_nobody_and_a_later_one_goes_through)
{
    evb_queue_stats stats = {.struct_size = sizeof stats};
    uint64_t sequence;
    uint32_t retained = 0;
    void *loan;

    begin();
    heard = 0;
    (void)ID(evb_on(bus, "p.a", hear, NULL));
    subscribe("p.*", (evb_sub_opts){.capacity = 3});
    EQ(publish("p.a", "first", NULL), 2);
    refuse(EVB_ENOSPC, FAULT_FS_KIND(FAULT_FS_PWRITE) | FAULT_FS_KIND(FAULT_FS_ALLOCATE));
    FAILS(publish("p.a", "lost", NULL), EVB_ENOSPC);
    FAILS(evb_emit(bus, "p.a", "lost", 4), EVB_ENOSPC);
    FAILS(publish("p.a", "kept", &(evb_publish_opts){.flags = EVB_RETAIN}), EVB_ENOSPC);
    FAILS(publish("p.a", "id", &(evb_publish_opts){.dedup_id = "1"}), EVB_ENOSPC);
    FAILS(evb_publish_many(bus, (evb_message[]){{.topic = "p.a"}, {.topic = "p.b"}}, 2, NULL), EVB_ENOSPC);
    OK(evb_loan(bus, 4, &loan));
    memcpy(loan, "loan", 4);
    FAILS(evb_publish_loan(bus, "p.a", loan, 4, NULL), EVB_ENOSPC);
    EQ(heard, 1);
    OK(evb_sub_stats(sub, &stats));
    EQ(stats.enqueued, 1);

    fault_fs_plan_clear(fs);
    EQ(publish("p.a", "id", &(evb_publish_opts){.dedup_id = "1", .ret_sequence = &sequence}), 2);
    CHECK(sequence != 0);
    EQ(take(), 1);
    EQ(evb_publish_loan(bus, "p.a", loan, 4, NULL), 2);
    /* nothing was kept by the topic */
    (void)ID(evb_on(bus, "p.a", hear, &retained));
    EQ(heard, 3);
    EQ_STR(stored(), "1 p.a p.a first|2 p.a p.a id|3 p.a p.a loan|");
    EQ(take(), 2);
    EQ(take(), 3);
    end();
}

TEST(a_store_that_has_failed_is_told_to_publishers_and_others_go_on)
{
    begin();
    subscribe(">", (evb_sub_opts){.capacity = 8});
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    refuse(EVB_EIO, FAULT_FS_KIND(FAULT_FS_DATASYNC));
    FAILS(publish("p.a", "x", NULL), EVB_EIO);
    fault_fs_plan_clear(fs);
    FAILS(publish("p.a", "x", NULL), EVB_EPOISONED);
    EQ(publish("q", "x", NULL), 1);
    EQ(take(), 0);
    OK(evb_unsubscribe(sub));
    evb_bus_destroy(bus);
    FAILS(evb_store_close(store), EVB_EPOISONED);
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

/* ---- many ---- */

TEST(many_events_are_one_write_and_one_sync_at_positions_in_their_order)
{
    const evb_message msgs[] = {{.topic = "p.a", .data = "1", .size = 1},
                                {.topic = "q.a", .data = "-", .size = 1},
                                {.topic = "p.a", .data = "2", .size = 1},
                                {.topic = "p.b", .data = "3", .size = 1},
                                {.topic = "p.a", .data = "4", .size = 1}};
    struct fault_fs_counts then;
    uint64_t position;

    begin();
    heard = 0;
    (void)ID(evb_on(bus, "p.a", hear, NULL));
    subscribe(">", (evb_sub_opts){.capacity = 8});
    then = fault_fs_counts(fs);
    EQ(evb_publish_many(bus, msgs, 5, &(evb_publish_opts){.ret_position = &position}), 8);
    EQ(position, 4);
    EQ(fault_fs_since(fs, &then, FAULT_FS_PWRITE), 1);
    EQ(fault_fs_since(fs, &then, FAULT_FS_DATASYNC), 1);
    EQ(heard, 3);
    EQ(last, 4);
    EQ_STR(stored(), "1 p.a p.a 1|2 p.a p.a 2|3 p.b p.b 3|4 p.a p.a 4|");
    for (uint64_t i = 1, expected = 1; i <= 5; i++)
        EQ(take(), i == 2 ? 0 : expected++);
    EQ(evb_publish_many(bus, msgs, 2, &(evb_publish_opts){.stream = "s", .flags = EVB_RETAIN}), 3);
    EQ(take(), 5);
    EQ(take(), 6);
    EQ(last, 5);
    end();
}

TEST(many_events_that_the_store_can_never_take_at_once_are_refused_whole)
{
    static char big[3000];
    const evb_message msgs[] = {{.topic = "p.a", .data = big, .size = sizeof big},
                                {.topic = "p.b", .data = big, .size = sizeof big}};

    begin_with(&(evb_store_opts){.segment_bytes = 16384}, (evb_bus_opts){0});
    OK(evb_bus_persist(bus, ">"));
    subscribe(">", (evb_sub_opts){.capacity = 8});
    FAILS(evb_publish_many(bus, msgs, 2, NULL), EVB_ETOOBIG);
    EQ_STR(stored(), "");
    EQ(evb_publish_many(bus, msgs, 1, NULL), 1);
    /* segments are rolled on the way */
    for (uint32_t i = 2; i < 40; i++)
        EQ(evb_publish_many(bus, msgs + i % 2, 1, &(evb_publish_opts){.ret_position = &last}),
           1 + 0 * take());
    EQ(last, 39);
    end();
}

/* ---- order ---- */

enum { PUBLISHERS = 6, EACH_PUBLISHES = 200 };

static void publish_some(uint32_t index, void *arg)
{
    char topic[16];

    (void)arg;
    (void)snprintf(topic, sizeof topic, "p.%u", (unsigned)index);
    for (uint32_t i = 0; i < EACH_PUBLISHES; i++)
        EQ(publish(topic, "x", i % 8 == 7 ? &(evb_publish_opts){.flags = EVB_RETAIN} : NULL), 1);
}

TEST(a_queue_gets_the_events_of_many_publishers_in_the_order_of_their_positions)
{
    begin();
    subscribe("p.>", (evb_sub_opts){.capacity = 4096});
    evb_test_run_threads(PUBLISHERS, publish_some, NULL);
    for (uint64_t i = 1; i <= PUBLISHERS * EACH_PUBLISHES; i++)
        EQ(take(), i);
    end();
}

static uint32_t told;

static void publish_of_drops(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)line;
    (void)user;
    if (strcmp(name, "messages_dropped") != 0) return;
    told++;
    EQ(publish("p.log", "dropped", NULL), 0);
    FAILS(publish("p.a", "again", &(evb_publish_opts){.flags = EVB_MANDATORY, .key_len = 1}), EVB_EINVAL);
}

/* User code that publishes would wait for the turn of the very publish that has called it. */
TEST(what_a_publish_has_to_log_is_logged_when_its_turn_is_over)
{
    const evb_message two[] = {{.topic = "p.a", .data = "3", .size = 1},
                               {.topic = "p.a", .data = "4", .size = 1}};

    begin();
    subscribe("p.a", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    evb_set_log(publish_of_drops, NULL, EVB_LOG_WARN);
    told = 0;
    for (uint32_t i = 0; i < 3; i++)
        EQ(publish("p.a", "x", NULL), 1);
    EQ(told, 1);
    EQ(evb_publish_many(bus, two, 2, NULL), 2);
    EQ(told, 2);
    evb_set_log(NULL, NULL, EVB_LOG_WARN);
    EQ(take(), 5);
    EQ(take(), 6);
    end();
}

/* ---- memory ---- */

static void all_calls(void *arg)
{
    evb_bus *own;

    (void)arg;
    if (!OK_OR_NOMEM(evb_bus_create(&(evb_bus_opts){.store = store}, &own))) return;
    if (OK_OR_NOMEM(evb_bus_persist(own, "p.>")) && OK_OR_NOMEM(evb_publish(own, "p.a", "x", 1, NULL)) &&
        OK_OR_NOMEM(evb_publish_many(own, (evb_message[]){{.topic = "p.b"}, {.topic = "p.c"}}, 2, NULL)))
        (void)OK_OR_NOMEM(evb_bus_replay(own, "p.>", 0, hear, NULL));
    evb_bus_destroy(own);
}

TEST(a_refused_allocation_leaves_everything_as_it_was)
{
    begin();
    for (const char *topic = "p.a\0p.b\0p.c\0"; *topic != '\0'; topic += 4)
        EQ(publish(topic, "the store knows its stream", NULL), 0);
    CHECK(evb_test_alloc_sweep(all_calls, NULL) > 8);
    end();
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(an_event_of_a_persisted_topic_is_stored_before_listeners_and_queues_get_it),
        EACH(emits_are_stored_too_also_when_nobody_is_there),
        EACH(a_pattern_persisted_twice_stores_once_and_patterns_that_overlap_too),
        EACH(key_headers_stream_and_time_are_stored_with_it),
        EACH(durable_and_stream_persist_a_single_event_and_durable_syncs_it_whatever_the_level),
        EACH(without_a_store_all_of_it_is_refused),
        EACH(the_store_of_a_bus_cannot_be_closed_before_it),
        EACH(what_nobody_can_get_is_not_stored),
        EACH(an_event_that_the_store_refuses_has_reached_nobody_and_a_later_one_goes_through),
        EACH(a_store_that_has_failed_is_told_to_publishers_and_others_go_on),
        EACH(many_events_are_one_write_and_one_sync_at_positions_in_their_order),
        EACH(many_events_that_the_store_can_never_take_at_once_are_refused_whole),
        EACH(a_queue_gets_the_events_of_many_publishers_in_the_order_of_their_positions),
        EACH(what_a_publish_has_to_log_is_logged_when_its_turn_is_over),
        EACH(a_refused_allocation_leaves_everything_as_it_was),
    };

    return EVB_TEST_MAIN("persist", tests, argc, argv);
}
