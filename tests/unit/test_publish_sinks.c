/* SPDX-License-Identifier: MIT */
/* Queues among the listeners: they count, they stand in snapshots and lists, and the calls that remove
 * listeners leave them alone. */
#include "evb_test.h"

#include <evbus.h>
#include <evbus/pool.h>
#include <stdio.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

/* ---- for users there is no such listener ---- */

TEST(off_and_off_wait_do_not_know_a_queues_id)
{
    for (int wild = 0; wild < 2; wild++) {
        struct fake *a;

        begin();
        a = fake_on("a", wild ? "a.*" : "a.b");
        FAILS(evb_off(bus, a->id), EVB_ENOTFOUND);
        FAILS(evb_off_wait(bus, a->id), EVB_ENOTFOUND);
        EQ_STR(publish("a.b", NULL), "a+a=");
        fake_off(a);
        FAILS(evb_off(bus, a->id + 1), EVB_ENOTFOUND);
        fake_end();
        end();
    }
}

TEST(off_all_leaves_queues_where_they_are)
{
    static const char *const patterns[] = {"a.b", "a.*"};

    for (int p = 0; p < 2; p++) {
        begin();
        (void)listen_to(patterns[p], "x", (evb_listen_opts){0});
        (void)fake_on("a", patterns[p]);
        (void)listen_to(patterns[p], "y", (evb_listen_opts){0});
        (void)fake_on("b", patterns[p]);
        (void)listen_to(patterns[p], "z", (evb_listen_opts){0});
        EQ(evb_off_all(bus, patterns[p]), 3);
        EQ(evb_off_all(bus, patterns[p]), 0);
        EQ(evb_listener_count(bus, "a.b"), 2);
        (void)listen_to(patterns[p], "x", (evb_listen_opts){0});
        EQ(evb_off_all(bus, NULL), 1);
        EQ(evb_off_all(bus, NULL), 0);
        EQ(evb_listener_count(bus, "a.b"), 2);
        EQ(strlen(publish("a.b", NULL)), 8);
        fake_end();
        EQ(evb_listener_count(bus, "a.b"), 0);
        end();
    }
}

TEST(listener_count_counts_queues)
{
    begin();
    (void)listen_to("a.b", "x", (evb_listen_opts){0});
    (void)fake_on("a", "a.b");
    (void)fake_on("b", "a.*");
    (void)fake_on("c", ">");
    EQ(evb_listener_count(bus, "a.b"), 4);
    EQ(evb_listener_count(bus, "a.unlisted"), 2);
    EQ(evb_listener_count(bus, "unlisted"), 1);
    fake_end();
    EQ(evb_listener_count(bus, "a.b"), 1);
    end();
}

static int32_t add_pattern(const char *pattern, uint32_t listeners, void *user)
{
    size_t at = strlen(user);

    (void)snprintf((char *)user + at, 64 - at, "%s:%u ", pattern, listeners);
    return 0;
}

TEST(patterns_names_queues)
{
    char text[64] = "";

    begin();
    (void)fake_on("a", "a.*");
    (void)fake_on("b", "b");
    (void)listen_to("b", "x", (evb_listen_opts){0});
    EQ(evb_patterns(bus, add_pattern, text), 0);
    EQ_STR(text, "a.*:1 b:2 ");
    fake_end();
    end();
}

TEST(many_queues_on_a_pattern_are_no_leak)
{
    begin();
    evb_bus_destroy(bus);
    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = 2}, &bus));
    for (int i = 0; i < 10; i++)
        (void)fake_on("q", "a");
    fake_end();
    end();
}

/* ---- snapshots ---- */

static bool has_flag(evb_topic *topic)
{
    struct evb__snapshot *snapshot = evb__ld_rlx(&topic->snapshot);

    return snapshot != NULL && snapshot->flags == EVB__SNAPSHOT_QUEUES;
}

TEST(a_snapshot_has_the_flag_as_long_as_it_has_a_queue)
{
    struct fake *a, *b;
    evb_topic *topic;
    int64_t x;

    begin();
    OK(evb_topic_open(bus, "a.b", &topic));
    CHECK(!has_flag(topic));
    a = fake_on("a", "a.b"); /* alone: its own record */
    CHECK(has_flag(topic));
    x = listen_to("a.b", "x", (evb_listen_opts){0});
    CHECK(has_flag(topic));
    fake_off(a); /* alone again */
    CHECK(!has_flag(topic));
    (void)listen_to("a.*", "y", (evb_listen_opts){0});
    CHECK(!has_flag(topic));
    for (int i = 0; i < 20; i++) /* many live ones: a removal does not compact by itself */
        (void)ID(evb_on(bus, "a.b", ignore, NULL));
    a = fake_on("a", "a.b");
    CHECK(has_flag(topic));
    b = fake_on("b", "a.*");
    fake_off(a);
    CHECK(has_flag(topic));
    fake_off(b);
    CHECK(!has_flag(topic));
    EQ(evb_topic_emit(topic, NULL, 0), 22);
    OK(evb_off(bus, x));
    evb_topic_close(topic);
    fake_end();
    end();
}

TEST(without_memory_the_flag_may_stay_and_emits_work_all_the_same)
{
    evb_topic *topic;
    struct fake *a;

    begin();
    OK(evb_topic_open(bus, "a.b", &topic));
    for (int i = 0; i < 20; i++)
        (void)ID(evb_on(bus, "a.b", ignore, NULL));
    a = fake_on("a", "a.b");
    evb_test_alloc_fail_from(1);
    fake_off(a);
    evb_test_alloc_fail_off();
    CHECK(has_flag(topic));
    EQ(evb_topic_emit(topic, NULL, 0), 20);
    EQ(evb_emit(bus, "a.b", NULL, 0), 20);
    EQ(evb_topic_publish(topic, NULL, 0, NULL), 20);
    EQ(bus->sequence, 0);
    evb_topic_close(topic);
    fake_end();
    end();
}

TEST(a_block_without_the_flag_is_never_appended_to_by_a_queue)
{
    uint32_t replaced = 0, room = 0;
    evb_topic *topic;

    begin();
    OK(evb_topic_open(bus, "a.b", &topic));
    for (int i = 0; i < 40; i++) {
        struct evb__snapshot *before = evb__ld_rlx(&topic->snapshot);
        struct evb__snapshot_block *block;

        (void)ID(evb_on(bus, "a.b", ignore, NULL));
        if (i < 20 || evb__ld_rlx(&topic->snapshot) != before) continue;
        block = EVB__CONTAINER(before, struct evb__snapshot_block, head);
        room = block->capacity - evb__ld_rlx(&block->head.count);
        if (room != 0) break;
    }
    CHECK(room != 0);
    for (int i = 0; i < 20; i++) {
        struct evb__snapshot *before = evb__ld_rlx(&topic->snapshot);

        (void)fake_on("q", "a.b");
        if (evb__ld_rlx(&topic->snapshot) != before) replaced++;
        if (i == 0) EQ(replaced, 1);
    }
    CHECK(replaced < 20); /* but one with it is */
    evb_topic_close(topic);
    fake_end();
    end();
}

TEST(queues_of_every_kind_of_pattern_are_reached_in_every_dialect)
{
    static const struct {
        uint32_t dialect;
        const char *topic, *patterns[4];
    } rows[] = {
        {EVB_TOPICS_DOT, "a.b", {"a.b", "*.b", "a.>", ">"}},
        {EVB_TOPICS_MQTT, "a/b", {"a/b", "+/b", "a/#", "a/b/#"}},
        {EVB_TOPICS_AMQP, "a.b", {"a.b", "#.b", "#.b.#", "#"}},
    };

    for (size_t r = 0; r < 3; r++) {
        for (int literal = 0; literal < 2; literal++) {
            struct fake *f[4];

            begin_dialect(rows[r].dialect);
            for (int p = 1 - literal; p < 4; p++)
                f[p] = fake_on("q", rows[r].patterns[p]);
            EQ(evb_publish(bus, rows[r].topic, NULL, 0, NULL), 3 + literal);
            EQ(evb_emit(bus, rows[r].topic, NULL, 0), 3 + literal);
            for (int p = 1 - literal; p < 4; p++)
                EQ(f[p]->events, 2); /* each once an event */
            fake_end();
            end();
        }
    }
}

TEST(a_topic_that_is_opened_knows_the_queues_that_are_there)
{
    evb_topic *topic;
    struct fake *a;

    begin();
    a = fake_on("a", "a.*");
    OK(evb_topic_open(bus, "a.b", &topic));
    EQ(evb_topic_emit(topic, NULL, 0), 1);
    fake_off(a);
    EQ(evb_topic_emit(topic, NULL, 0), 0);
    evb_topic_close(topic);
    fake_end();
    end();
}

/* ---- registering ---- */

TEST(sink_listen_answers_as_evb_listen_does)
{
    struct fake *a = NULL;

    begin();
    FAILS(fake_try_on("a", "a..b", &a), EVB_EINVAL);
    FAILS(fake_try_on("a", NULL, &a), EVB_EINVAL);
    evb_test_alloc_fail_from(1);
    FAILS(fake_try_on("a", "a.b", &a), EVB_ENOMEM);
    evb_test_alloc_fail_off();
    CHECK(a == NULL);
    EQ(bus->sinks, 0);
    EQ(bus->listeners, 0);
    end();
}

TEST(off_of_a_queue_that_is_gone_is_nothing)
{
    struct fake *a;
    int64_t id;

    begin();
    a = fake_on("a", "a.b");
    id = a->id;
    fake_off(a);
    evb__sink_off(bus, id);
    EQ(bus->sinks, 0);
    fake_end();
    end();
}

static int off_in_the_child(void *id)
{
    evb__sink_off(bus, *(const int64_t *)id);
    EQ(bus->sinks, 1);
    return 0;
}

TEST(off_in_a_forked_child_is_nothing)
{
    struct fake *a;

    begin();
    a = fake_on("a", "a.b");
    EQ(evb_test_in_child(off_in_the_child, &a->id), 0);
    fake_end();
    end();
}

/* ---- the end of a bus ---- */

static struct {
    struct evb__queues queues; /* first */
    uint32_t ended, freed;
    int32_t publish, emit; /* what they answered in the end */
} set;

static void end_set(evb_bus *ending)
{
    CHECK(!evb__in_callback(evb__self()));
    EQ_PTR(ending, bus);
    set.ended++;
    set.publish = evb_publish(bus, "a.b", NULL, 0, NULL);
    set.emit = evb_emit(bus, "x", NULL, 0);
}

static void free_set(struct evb__queues *queues)
{
    EQ_PTR(queues, &set.queues);
    EQ(set.ended, 1);
    set.freed++;
}

static void begin_with_set(void)
{
    begin();
    memset(&set, 0, sizeof set);
    set.queues.end = end_set;
    set.queues.free = free_set;
    evb__st_rel(&bus->queues, &set.queues);
    (void)listen_to("x", "x", (evb_listen_opts){0});
}

TEST(destroy_ends_the_queues_while_listeners_are_there_and_publishes_are_refused)
{
    evb_topic *topic;

    begin_with_set();
    (void)fake_on("a", "a.b");
    OK(evb_topic_open(bus, "y", &topic));
    trace[0] = '\0';
    end();
    EQ_STR(trace, "xa!");
    EQ(set.ended, 1);
    EQ(set.publish, EVB_ECLOSED);
    EQ(set.emit, 1);
    EQ(set.freed, 0); /* a handle holds the bus' memory */
    evb_topic_close(topic);
    EQ(set.freed, 1);
    fake_forget();
}

static int32_t destroy(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb_bus_destroy(bus);
    EQ(set.ended, 0); /* not inside a callback */
    return EVB_OK;
}

TEST(inside_a_callback_the_queues_end_when_it_returns)
{
    begin_with_set();
    (void)fake_on("a", "a.b");
    (void)ID(evb_on(bus, "d", destroy, NULL));
    trace[0] = '\0';
    EQ(evb_emit(bus, "d", NULL, 0), 1);
    EQ_STR(trace, "a!"); /* listeners and sinks have gone at once */
    EQ(set.ended, 1);
    EQ(set.publish, EVB_ECLOSED);
    EQ(set.emit, EVB_ECLOSED);
    EQ(set.freed, 1);
    fake_forget();
}

TEST(the_options_for_queues_are_kept)
{
    begin();
    EQ(bus->workers, 0);
    CHECK(bus->pool == NULL);
    EQ(bus->drain_timeout_ns, INT64_C(5000000000));
    end();
    OK(evb_bus_create(&(evb_bus_opts){.workers = 3, .drain_timeout_ns = 77}, &bus));
    EQ(bus->workers, 3);
    EQ(bus->drain_timeout_ns, 77);
    end();
    OK(evb_bus_create(&(evb_bus_opts){.drain_timeout_ns = INT64_MAX}, &bus));
    EQ(bus->drain_timeout_ns, EVB_FOREVER);
    end();
    OK(evb_bus_create(&(evb_bus_opts){.drain_timeout_ns = EVB_FOREVER}, &bus));
    EQ(bus->drain_timeout_ns, EVB_FOREVER);
    end();
}

static void run_nothing(void *arg)
{
    (void)arg;
}

TEST(a_pool_is_in_use_until_its_bus_has_ended)
{
    evb_pool *pool;

    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &pool));
    OK(evb_bus_create(&(evb_bus_opts){.pool = pool}, &bus));
    EQ_PTR(bus->pool, pool);
    evb_pool_destroy(pool); /* takes effect when the bus gives it back */
    OK(evb_pool_submit(pool, run_nothing, NULL, 0));
    end();
}

static int create_in_the_child(void *pool)
{
    evb_bus *made;

    FAILS(evb_bus_create(&(evb_bus_opts){.pool = pool}, &made), EVB_EFORKED);
    return 0;
}

TEST(a_pool_made_before_fork_is_refused)
{
    evb_pool *pool;

    OK(evb_pool_create(&(evb_pool_opts){.threads = 1}, &pool));
    EQ(evb_test_in_child(create_in_the_child, pool), 0);
    evb_pool_destroy(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_and_off_wait_do_not_know_a_queues_id),
        cmocka_unit_test(off_all_leaves_queues_where_they_are),
        cmocka_unit_test(listener_count_counts_queues),
        cmocka_unit_test(patterns_names_queues),
        cmocka_unit_test(many_queues_on_a_pattern_are_no_leak),
        cmocka_unit_test(a_snapshot_has_the_flag_as_long_as_it_has_a_queue),
        cmocka_unit_test(without_memory_the_flag_may_stay_and_emits_work_all_the_same),
        cmocka_unit_test(a_block_without_the_flag_is_never_appended_to_by_a_queue),
        cmocka_unit_test(queues_of_every_kind_of_pattern_are_reached_in_every_dialect),
        cmocka_unit_test(a_topic_that_is_opened_knows_the_queues_that_are_there),
        cmocka_unit_test(sink_listen_answers_as_evb_listen_does),
        cmocka_unit_test(off_of_a_queue_that_is_gone_is_nothing),
        cmocka_unit_test(off_in_a_forked_child_is_nothing),
        cmocka_unit_test(destroy_ends_the_queues_while_listeners_are_there_and_publishes_are_refused),
        cmocka_unit_test(inside_a_callback_the_queues_end_when_it_returns),
        cmocka_unit_test(the_options_for_queues_are_kept),
        cmocka_unit_test(a_pool_is_in_use_until_its_bus_has_ended),
        cmocka_unit_test(a_pool_made_before_fork_is_refused),
    };
    return EVB_TEST_MAIN("publish_sinks", tests, argc, argv);
}
