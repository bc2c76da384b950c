/* SPDX-License-Identifier: MIT */
/* Publishing without memory: EVB_ENOMEM, nobody is reached, nothing stays reserved, and the next try works.
 */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

static char payload[300];
static const evb_header headers[] = {{"one", "1", 1, 0}, {"two", "22", 2, 0}};
static const evb_publish_opts full_opts = {.key = "key", .key_len = 3, .headers = headers, .header_count = 2};
static const evb_message messages[] = {
    {.topic = "a.b", .data = payload, .size = sizeof payload},
    {.topic = "c.d", .data = payload, .size = 1, .key = "k", .key_len = 1},
    {.topic = "a.b", .headers = headers, .header_count = 2},
};
static evb_topic *handle;

static int32_t by_emit(void)
{
    return evb_emit(bus, "a.b", payload, sizeof payload);
}

static int32_t by_emit_unlisted(void)
{
    return evb_emit(bus, "a.unlisted", payload, sizeof payload);
}

static int32_t by_handle(void)
{
    return evb_topic_publish(handle, payload, sizeof payload, &full_opts);
}

static int32_t by_name(void)
{
    return evb_publish(bus, "a.b", payload, sizeof payload, &full_opts);
}

static int32_t by_many(void)
{
    return evb_publish_many(bus, messages, 3, NULL);
}

static int32_t by_loan(void)
{
    void *data = NULL;
    int32_t status = evb_loan(bus, 100, &data);

    if (status != EVB_OK) {
        CHECK(data == NULL);
        return status;
    }
    status = evb_publish_loan(bus, "a.b", data, 100, &full_opts);
    if (status < 0) evb_loan_cancel(bus, data);
    return status;
}

static const struct {
    int32_t (*put)(void);
    uint32_t events; /* for a queue of ">" */
} ways[] = {{by_emit, 1}, {by_emit_unlisted, 1}, {by_handle, 1}, {by_name, 1}, {by_many, 3}, {by_loan, 1}};

static struct {
    size_t way;
    uint32_t queues;
    uint32_t heard;
} now;

static int32_t count(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    now.heard++;
    return EVB_OK;
}

/* With its k-th allocation failing, alone or with all that follow. Answers false when it has so many no more.
 */
static bool fails_cleanly(uint64_t k, bool all)
{
    uint32_t events = ways[now.way].events;
    struct fake *f[100];
    uint64_t before;
    int32_t reached;
    bool met;

    begin();
    OK(evb_topic_open(bus, "a.b", &handle));
    fake_quiet = true;
    for (uint32_t i = 0; i < now.queues; i++)
        f[i] = fake_on("q", ">");
    (void)ID(evb_on(bus, ">", count, NULL));
    now.heard = 0;
    before = evb__ld_rlx(&bus->sequence);
    if (all)
        evb_test_alloc_fail_from(k);
    else
        evb_test_alloc_fail_once_at(k);
    reached = ways[now.way].put();
    evb_test_alloc_fail_off();
    met = evb_test_alloc_faults() != 0;
    if (met) {
        EQ(reached, EVB_ENOMEM);
        EQ(now.heard, 0);
        EQ(bus->sequence, before);
        for (uint32_t i = 0; i < now.queues; i++) {
            EQ(f[i]->events, 0);
            EQ(f[i]->bytes, 0);
        }
        reached = ways[now.way].put(); /* the next try */
    }
    EQ(reached, events * (now.queues + 1));
    EQ(now.heard, events);
    for (uint32_t i = 0; i < now.queues; i++)
        EQ(f[i]->events, events);
    evb_topic_close(handle);
    fake_end();
    end();
    return met;
}

TEST(without_memory_nobody_is_reached_and_nothing_stays_reserved)
{
    static const uint32_t queues[] = {1, 3, 32, 33, 100};
    uint32_t faults = 0;

    for (now.way = 0; now.way < sizeof ways / sizeof ways[0]; now.way++) {
        for (size_t q = 0; q < sizeof queues / sizeof queues[0]; q++) {
            now.queues = queues[q];
            for (int all = 0; all < 2; all++)
                for (uint64_t k = 1; fails_cleanly(k, all != 0); k++)
                    faults++;
        }
    }
    CHECK(faults > 50);
}

TEST(an_emit_without_queues_needs_no_memory)
{
    uint64_t calls;

    begin();
    OK(evb_topic_open(bus, "a.b", &handle));
    (void)ID(evb_on(bus, ">", count, NULL));
    EQ(by_emit(), 1); /* the thread's first one may need a slot */
    calls = evb_test_alloc_calls();
    EQ(by_emit(), 1);
    EQ(by_emit_unlisted(), 1);
    EQ(by_handle(), 1); /* a publish that only listeners get neither */
    EQ(by_name(), 1);
    EQ(evb_test_alloc_calls(), calls);
    evb_topic_close(handle);
    end();
}

TEST(a_publish_to_queues_makes_one_allocation_up_to_32_queues)
{
    for (uint32_t queues = 1; queues <= 32; queues += 31) {
        uint64_t calls;

        begin();
        OK(evb_topic_open(bus, "a.b", &handle));
        fake_quiet = true;
        for (uint32_t i = 0; i < queues; i++)
            (void)fake_on("q", ">");
        calls = evb_test_alloc_calls();
        EQ(by_name(), queues);
        EQ(by_handle(), queues);
        EQ(by_emit_unlisted(), queues);
        CHECK(evb_test_alloc_calls() <= calls + 3);
        evb_topic_close(handle);
        fake_end();
        end();
    }
}

static void listen_and_leave(void *pattern)
{
    struct fake *a = NULL;

    if (!OK_OR_NOMEM(evb_bus_create(NULL, &bus))) return;
    trace[0] = '\0';
    (void)OK_OR_NOMEM(fake_try_on("a", pattern, &a));
    EQ(bus->sinks, a != NULL ? 1 : 0);
    if (a != NULL) EQ(evb_listener_count(bus, "a.b"), 1);
    fake_end();
    end();
}

TEST(a_queue_that_finds_no_memory_for_its_place_leaves_nothing_behind)
{
    static char literal[] = "a.b", wildcard[] = "a.*";

    CHECK(evb_test_alloc_sweep(listen_and_leave, literal) > 2);
    CHECK(evb_test_alloc_sweep(listen_and_leave, wildcard) > 2);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_nobody_is_reached_and_nothing_stays_reserved),
        cmocka_unit_test(an_emit_without_queues_needs_no_memory),
        cmocka_unit_test(a_publish_to_queues_makes_one_allocation_up_to_32_queues),
        cmocka_unit_test(a_queue_that_finds_no_memory_for_its_place_leaves_nothing_behind),
    };
    return EVB_TEST_MAIN("publish_memory", tests, argc, argv);
}
