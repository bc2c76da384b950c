/* SPDX-License-Identifier: MIT */
/* The inline calls between two threads: mixed with the functions, and what they owe to threads that wait
 * there. That they answer as the functions do is in the other programs: their tests run in both forms. */
#include <evbus/ring_inline.h>

#include "ring_crew.h"
#include "ring_now.h"

#include "base/barrier.h"
#include "base/thread.h"

static struct {
    evb_ring *ring, *back;
    uint32_t rounds;
} two;

static void in_spsc_rings(void (*thread)(uint32_t index, void *arg), uint32_t capacity, uint32_t rounds)
{
    for (uint32_t way = 0; way < 4; way++) {
        evb_ring_opts opts = {.mode = EVB_RING_SPSC, .capacity = capacity, .elem_bytes = sizeof(void *)};

        opts.flags = way % 2 == 0 ? EVB_RING_POINTERS : 0;
        evb__barrier_force_seq_cst(way / 2 != 0);
        evb__barrier_init();
        OK(evb_ring_create(&opts, &two.ring));
        OK(evb_ring_create(&opts, &two.back));
        two.rounds = EVB__TSAN ? rounds / 10 : rounds;
        evb_test_run_threads(2, thread, NULL);
        EQ(evb_ring_count(two.ring), 0);
        evb_ring_destroy(two.ring);
        evb_ring_destroy(two.back);
    }
    evb__barrier_force_seq_cst(false);
    evb__barrier_init();
}

/* Inline and called by turns of a coin: they may be mixed on one ring. */
static void mixed_calls(uint32_t index, void *arg)
{
    struct evb__rng rng;
    uintptr_t elem = 0;

    (void)arg;
    evb__rng_init(&rng, evb_test_seed() + index);
    for (uint32_t i = 1; i <= two.rounds; i++) {
        bool called = evb__rng_below(&rng, 2) == 0;
        int32_t rc;

        do {
            if (index == 0) elem = i;
            if (index == 0)
                rc = called ? evb_ring_push(two.ring, &elem, EVB_FOREVER)
                            : evb_ring_try_push_inline(two.ring, &elem);
            else
                rc = called ? evb_ring_pop(two.ring, &elem, EVB_FOREVER)
                            : evb_ring_try_pop_inline(two.ring, &elem);
            if (rc != EVB_OK) evb__thread_yield();
        } while (rc == EVB_EFULL || rc == EVB_EEMPTY);
        OK(rc);
        EQ(elem, i);
    }
}

TEST(inline_and_called_operations_mix_on_one_ring)
{
    in_spsc_rings(mixed_calls, 4, 100000);
    in_spsc_rings(mixed_calls, 1024, 200000);
}

/* Thread 0 pushes inline into one ring while the other may sleep in a pop; in the other ring, which is full,
 * thread 0 makes room inline while the other may sleep in a push. */
static void wakes_sleepers(uint32_t index, void *arg)
{
    struct evb__rng rng;
    uintptr_t elem = 1;

    (void)arg;
    evb__rng_init(&rng, evb_test_seed() + index);
    for (uint32_t i = 0; index == 0 && i < 2; i++)
        OK(evb_ring_push(two.back, &elem, EVB_FOREVER)); /* full, before the other one's first push */
    if (index == 0) {
        elem = two.rounds + 1;
        OK(evb_ring_push(two.ring, &elem, EVB_FOREVER)); /* begin */
    } else {
        OK(evb_ring_pop(two.ring, &elem, EVB_FOREVER));
    }
    for (uint32_t i = 1; i <= two.rounds; i++) {
        elem = i;
        if (index == 0) {
            dawdle(&rng);
            OK(evb_ring_try_push_inline(two.ring, &elem));
            dawdle(&rng);
            OK(evb_ring_try_pop_inline(two.back, &elem));
            while (evb_ring_count(two.back) < 2 || evb_ring_count(two.ring) != 0)
                evb__thread_yield(); /* until the other one has done both */
        } else {
            OK(evb_ring_pop(two.ring, &elem, EVB_FOREVER));
            EQ(elem, i);
            OK(evb_ring_push(two.back, &elem, EVB_FOREVER));
        }
    }
}

TEST(an_inline_operation_wakes_who_waits_in_a_called_one)
{
    in_spsc_rings(wakes_sleepers, 2, 3000);
}

TEST(notify_may_be_called_at_any_time)
{
    uintptr_t elem = 1;
    evb_ring *ring;

    evb_ring_notify(NULL);
    OK(evb_ring_create(&(evb_ring_opts){.mode = EVB_RING_SPSC, .capacity = 2}, &ring));
    evb_ring_notify(ring);
    OK(evb_ring_try_push_inline(ring, &elem));
    evb_ring_notify(ring);
    EQ(evb_ring_count(ring), 1);
    evb_ring_close(ring);
    evb_ring_notify(ring);
    OK(evb_ring_try_pop_inline(ring, &elem));
    FAILS(evb_ring_try_pop_inline(ring, &elem), EVB_ECLOSED);
    evb_ring_destroy(ring);
}

/* With nobody asleep there is nothing to do, and nothing is kept for who comes later. */
static void notify_nobody(void)
{
    uint64_t calls;

    shift(1);
    calls = evb_test_alloc_calls();
    for (uint32_t level = 0; level <= now.room; level++) {
        for (uint32_t i = 0; i < 100; i++)
            evb_ring_notify(now.ring);
        evb_ring_notify(NULL);
        count_is(level);
        if (level == 0) FAILS(evb_ring_pop(now.ring, now.one.bytes, 1000), EVB_ETIMEDOUT);
        if (level < now.room) OK(push_next());
    }
    if (refuses_when_full(now.kind)) FAILS(push_next(), EVB_EFULL);
    EQ(evb_ring_dropped(now.ring), 0);
    drain();
    evb_ring_notify(now.ring);
    FAILS(pop_next(), EVB_EEMPTY);
    EQ(evb_test_alloc_calls(), calls);
}

TEST(notify_of_no_ring_or_an_idle_one_does_nothing)
{
    in_each_kind(any, 4, notify_nobody);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST(inline_and_called_operations_mix_on_one_ring),
        RING_TEST(an_inline_operation_wakes_who_waits_in_a_called_one),
        RING_TEST(notify_may_be_called_at_any_time),
        RING_TEST_IN_BOTH_FORMS(notify_of_no_ring_or_an_idle_one_does_nothing),
    };
    return EVB_TEST_MAIN("ring_inline", tests, argc, argv);
}
