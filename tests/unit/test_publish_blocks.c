/* SPDX-License-Identifier: MIT */
/* The memory of messages (bus/blocks.h): used again, exchanged between threads, bounded, and given back with
 * the last bus that had a queue, wherever it lies. That nothing stays behind is checked after every test by
 * the runner. */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "bus/blocks.h"
#include "bus/message.h"
#include "fake_sink.h"

/* ---- by itself ---- */

TEST(without_a_holder_blocks_go_straight_to_the_allocator)
{
    int64_t live = evb_test_alloc_live();
    uint8_t kind;
    void *block = evb__block_alloc(100, 100, &kind);

    EQ(evb_test_alloc_live(), live + 1);
    evb__block_free(block, kind, 100);
    EQ(evb_test_alloc_live(), live);
}

TEST(a_block_has_at_least_what_was_asked_for)
{
    evb__blocks_hold();
    for (size_t size = 1; size <= EVB__BLOCK_MAX + 300; size++) {
        uint8_t kind;
        void *block = evb__block_alloc(size, size, &kind);

        EQ(kind == EVB__BLOCK_LARGE, size > EVB__BLOCK_MAX);
        EQ((uintptr_t)block % (kind == EVB__BLOCK_LARGE ? EVB__ALIGN_MIN : EVB__CACHE_LINE), 0);
        memset(block, 1, size);
        evb__block_free(block, kind, size);
    }
    evb__blocks_release();
}

/* This thread has a slot, and so a cache. */
static void begin_with_queue(struct fake **ret_queue)
{
    begin();
    *ret_queue = fake_on("q", "a.*");
    fake_quiet = true;
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    fake_empty(*ret_queue);
}

TEST(what_is_freed_is_used_again)
{
    struct fake *q;
    uint64_t calls;

    begin_with_queue(&q);
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    fake_empty(q);
    calls = evb_test_alloc_calls();
    for (int i = 0; i < 100; i++) {
        EQ(evb_emit(bus, "a.b", NULL, 0), 1);
        fake_empty(q);
    }
    EQ(evb_test_alloc_calls(), calls);
    fake_end();
    end();
}

TEST(what_is_kept_is_bounded)
{
    enum { EVENTS = 20000 };
    static char payload[1000];
    int64_t before;
    struct fake *q;

    begin_with_queue(&q);
    before = evb_test_alloc_live_bytes();
    for (int i = 0; i < EVENTS; i++)
        EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    CHECK(evb_test_alloc_live_bytes() - before > EVENTS * (int64_t)sizeof payload);
    fake_empty(q);
    /* the depot, and two magazines of this thread */
    CHECK(evb_test_alloc_live_bytes() - before <= (int64_t)EVB__BLOCKS_KEPT + 64 * (int64_t)EVB__BLOCK_MAX);
    fake_end();
    end();
}

TEST(large_messages_are_not_kept)
{
    static char payload[5000];
    int64_t before;
    struct fake *q;

    begin_with_queue(&q);
    before = evb_test_alloc_live();
    EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    EQ(evb_test_alloc_live(), before + 1);
    fake_empty(q);
    EQ(evb_test_alloc_live(), before);
    fake_end();
    end();
}

TEST(the_last_of_several_buses_gives_the_memory_back)
{
    struct fake *q;
    evb_bus *first;
    int64_t live;

    live = evb_test_alloc_live();
    begin_with_queue(&q);
    first = bus;
    fake_end();
    begin_with_queue(&q);
    for (int i = 0; i < 1000; i++)
        EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    fake_end(); /* frees them all, into the caches */
    end();
    CHECK(evb_test_alloc_live() > live + 100);
    evb_bus_destroy(first);
    EQ(evb_test_alloc_live(), live);
}

static const evb_event *kept;

static int32_t keep(const evb_event *ev, void *user)
{
    (void)user;
    kept = evb_event_retain(ev);
    return EVB_OK;
}

TEST(a_message_that_outlives_the_caches_goes_to_the_allocator)
{
    struct fake *q;
    int64_t live = evb_test_alloc_live();

    begin_with_queue(&q);
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_emit(bus, "a.b", "kept", 5), 2);
    fake_end();
    end();
    EQ_STR(kept->data, "kept");
    evb_event_release(kept);
    EQ(evb_test_alloc_live(), live);
}

/* ---- threads ---- */

static EVB__ATOMIC(uint32_t) stage; /* 2 * round: the publisher's turn; + 1: the consumer's */
static struct fake *shared;
enum { TURNS = 40, BATCH = 200 };

static void publish_or_consume(uint32_t index, void *arg)
{
    (void)arg;
    EQ(evb_emit(bus, "nobody", NULL, 0), 0); /* so that the thread has a slot, and with it a cache */
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        while (evb__ld_acq(&stage) != 2 * turn + index) /* pairs with the store below */
            evb__thread_yield();
        if (index == 0)
            for (int i = 0; i < BATCH; i++)
                EQ(evb_emit(bus, "a.b", "payload", 8), 1);
        else
            fake_empty(shared);
        evb__st_rel(&stage, 2 * turn + index + 1);
    }
}

TEST(what_one_thread_frees_another_one_uses)
{
    uint64_t calls;

    begin_with_queue(&shared);
    evb__st_rlx(&stage, 0);
    calls = evb_test_alloc_calls();
    evb_test_run_threads(2, publish_or_consume, NULL);
    /* the consumer keeps up to two magazines; the rest comes back every time */
    CHECK(evb_test_alloc_calls() - calls < 3 * BATCH);
    fake_end();
    end();
}

static void leave_something(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) return;
    EQ(evb_emit(bus, "a.b", "payload", 8), 1);
    fake_empty(shared);
}

TEST(what_ended_threads_have_kept_is_given_back)
{
    begin_with_queue(&shared);
    for (int i = 0; i < 20; i++)
        evb_test_run_threads(2, leave_something, NULL);
    fake_end();
    end();
}

static EVB__ATOMIC(uint32_t) users;

/* Retained copies live in blocks, with buses and without. */
static void use_blocks(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        for (int i = 0; i < 300 || evb__ld_acq(&users) != 0; i++) { /* pairs with the sub below */
            evb__blocks_hold();
            if (i % 3 == 0) evb__thread_yield();
            evb__blocks_release();
        }
        return;
    }
    for (int i = 0; i < 3000; i++) {
        const evb_event *mine[40];

        for (int k = 0; k < 40; k++) {
            mine[k] = evb_event_retain(kept);
            EQ_PTR(mine[k], kept);
        }
        for (int k = 0; k < 40; k++) {
            size_t size = 100 + 60 * (size_t)k;
            uint8_t kind;
            char *block = evb__block_alloc(size, size, &kind);

            memset(block, k, size);
            evb_event_release(mine[k]);
            evb__block_free(block, kind, size);
        }
    }
    (void)evb__sub_rel(&users, 1);
}

TEST(caches_open_and_close_under_their_users)
{
    begin();
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_emit(bus, "a.b", "payload", 8), 1);
    evb__st_rlx(&users, 2);
    evb_test_run_threads(3, use_blocks, NULL);
    evb_event_release(kept);
    end();
}

static struct evb_test_line all_have_slots;

static void emit_in_thread(uint32_t index, void *arg)
{
    uint8_t kind[80];
    void *blocks[80];

    (void)index;
    (void)arg;
    EQ(evb_topic_emit(arg, NULL, 0), 0); /* as in publish_or_consume */
    evb_test_line_wait(&all_have_slots);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 80; i++)
            blocks[i] = evb__block_alloc(64, 64, &kind[i]);
        for (int i = 0; i < 80; i++)
            evb__block_free(blocks[i], kind[i], 64);
    }
}

TEST(more_threads_than_caches_do_without)
{
    int64_t live = evb_test_alloc_live();
    evb_topic *topic;

    begin_with_queue(&shared);
    OK(evb_topic_open(bus, "b", &topic));
    evb_test_line_init(&all_have_slots, 70);
    evb_test_run_threads(70, emit_in_thread, topic);
    evb_test_line_destroy(&all_have_slots);
    evb_topic_close(topic);
    fake_end();
    end();
    CHECK(evb_test_alloc_live() - live <= 1);
    evb_test_alloc_expect_kept(evb_test_alloc_live() - live); /* slots for so many threads: base/reader.c */
}

/* ---- fork ---- */

static int publish_in_the_child(void *unused)
{
    struct fake *q;

    (void)unused;
    evb_event_release(kept); /* of the parent's */
    bus = NULL;
    fake_restart();
    begin_with_queue(&q);
    for (int i = 0; i < 1000; i++)
        EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    fake_end();
    end();
    return 0;
}

TEST(a_forked_child_begins_with_caches_of_its_own)
{
    struct fake *q;

    begin_with_queue(&q);
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_emit(bus, "a.b", "kept", 5), 2);
    for (int i = 0; i < 200; i++)
        EQ(evb_emit(bus, "a.c", NULL, 0), 1);
    fake_empty(q);
    EQ(evb_test_in_child(publish_in_the_child, NULL), 0);
    evb_event_release(kept);
    fake_end();
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_holder_blocks_go_straight_to_the_allocator),
        cmocka_unit_test(a_block_has_at_least_what_was_asked_for),
        cmocka_unit_test(what_is_freed_is_used_again),
        cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(large_messages_are_not_kept),
        cmocka_unit_test(the_last_of_several_buses_gives_the_memory_back),
        cmocka_unit_test(a_message_that_outlives_the_caches_goes_to_the_allocator),
        cmocka_unit_test(what_one_thread_frees_another_one_uses),
        cmocka_unit_test(what_ended_threads_have_kept_is_given_back),
        cmocka_unit_test(caches_open_and_close_under_their_users),
        cmocka_unit_test(more_threads_than_caches_do_without),
        cmocka_unit_test(a_forked_child_begins_with_caches_of_its_own),
    };
    return EVB_TEST_MAIN("publish_blocks", tests, argc, argv);
}
