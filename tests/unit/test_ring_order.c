/* SPDX-License-Identifier: MIT */
/* What is pushed comes out in order, exactly the capacity fits, and the count says so: one by one, by
 * batches, at every position and every fill level. */
#include "ring_now.h"

#include <string.h>

#include "base/rng.h"

/* ---- one by one ---- */

static void laps(void)
{
    uint32_t rounds = SANITIZED ? 3 : 5;

    for (uint32_t lap = 0; lap < rounds; lap++) {
        FAILS(pop_next(), EVB_EEMPTY);
        for (uint32_t i = 0; i < now.room; i++) {
            OK(push_next());
            count_is(i + 1);
        }
        FAILS(push_next(), EVB_EFULL);
        FAILS(push_next(), EVB_EFULL);
        count_is(now.room);
        for (uint32_t i = now.room; i > 0; i--) {
            OK(pop_next());
            count_is(i - 1);
        }
        FAILS(pop_next(), EVB_EEMPTY);
        shift(1); /* the next lap begins one position further */
    }
    EQ(evb_ring_dropped(now.ring), 0);
}

TEST(exactly_the_capacity_fits_lap_after_lap_and_comes_out_in_order)
{
    in_each_shape(refuses_when_full, laps);
}

/* Neither end waits for a whole lap: one in, one out, at every fill level. */
static void levels(void)
{
    for (uint32_t level = 0; level < now.room; level = level * 2 + 1) {
        while (evb_ring_count(now.ring) < level)
            OK(push_next());
        for (uint32_t i = 0; i < 2 * now.room + 1 && i < 200; i++) {
            OK(push_next());
            count_is(level + 1);
            OK(pop_next());
            count_is(level);
        }
    }
    drain();
    FAILS(pop_next(), EVB_EEMPTY);
    EQ(evb_ring_dropped(now.ring), 0);
}

TEST(the_order_and_the_count_hold_at_every_fill_level)
{
    in_each_shape(any, levels);
}

static void leave_it_full(void)
{
    fill();
}

TEST(destroy_frees_what_is_still_inside)
{
    in_each_shape(any, leave_it_full);
}

TEST(a_new_ring_at_the_place_of_an_old_one_starts_empty)
{
    for (uint32_t i = 0; i < (SANITIZED ? 500u : 5000u); i++) {
        const struct kind *kind = &kinds[evb__rng_below(evb_test_rng(), COUNT(kinds))];

        open_at(kind, sizeof(void *), 4, 0);
        FAILS(pop_next(), EVB_EEMPTY);
        OK(push_next());
        OK(push_next());
        OK(pop_next());
        OK(push_next()); /* two stay inside */
        end_ring();
    }
}

#define SIDE_BY_SIDE 100

TEST(many_rings_in_one_thread_do_not_mix)
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        evb_ring_opts opts = opts_of(&kinds[k], 0, 4);
        evb_ring *ring[SIDE_BY_SIDE];
        uintptr_t in, out;

        for (uintptr_t i = 0; i < SIDE_BY_SIDE; i++)
            OK(evb_ring_create(&opts, &ring[i]));
        for (uintptr_t round = 1; round <= 3; round++) {
            for (uintptr_t i = 0; i < SIDE_BY_SIDE; i++) {
                in = round * 1000 + i;
                OK(evb_ring_try_push(ring[i], &in));
            }
        }
        for (uintptr_t round = 1; round <= 3; round++) {
            for (uintptr_t i = 0; i < SIDE_BY_SIDE; i++) {
                OK(evb_ring_try_pop(ring[i], &out));
                EQ(out, round * 1000 + i);
            }
        }
        for (uintptr_t i = 0; i < SIDE_BY_SIDE; i++)
            evb_ring_destroy(ring[i]);
    }
}

static void no_allocation_after_the_first_push(void)
{
    uint64_t calls;

    shift(1);
    calls = evb_test_alloc_calls();
    shift(3 * now.room);
    (void)push_batch(batch_limit());
    if (overwrites(now.kind)) now.out = now.in - now.room;
    (void)pop_batch(1);
    (void)pop_batch(now.room);
    FAILS(evb_ring_pop(now.ring, now.one.bytes, 1), EVB_ETIMEDOUT);
    evb_ring_close(now.ring);
    EQ(evb_test_alloc_calls(), calls);
}

TEST(after_its_first_push_a_thread_allocates_nothing)
{
    in_each_kind(any, 8, no_allocation_after_the_first_push);
}

/* ---- batches ---- */

/* One batch of n into a ring with `level` inside, and everything out again by batches of m. */
static void one_batch(uint32_t level, uint32_t n, uint32_t m)
{
    uint32_t room = now.room - level;

    for (uint32_t i = 0; i < level; i++)
        OK(push_next());
    if (room == 0) {
        FAILS(push_batch(n), EVB_EFULL);
    } else {
        EQ(push_batch(n), lesser(n, room));
    }
    count_is(level + lesser(n, room));
    while (now.out < now.in) {
        uint32_t inside = (uint32_t)(now.in - now.out);

        EQ(pop_batch(m), lesser(m, inside));
        count_is(inside - lesser(m, inside));
    }
    FAILS(pop_batch(m), EVB_EEMPTY);
}

static void batches(void)
{
    uint32_t limit = batch_limit();
    uint32_t sizes[] = {1, 2, now.room - 1, now.room, now.room + 1, limit};
    uint32_t levels_of[] = {0, 1, now.room / 2, now.room - 1, now.room};
    bool big = now.elem_bytes * now.room > 60000; /* then a few of them will do */

    for (size_t l = 0; l < COUNT(levels_of); l++) {
        for (size_t s = 0; s < COUNT(sizes); s++) {
            if (big && (l + s) % 4 != 3) continue;
            one_batch(levels_of[l], sizes[s], sizes[(s + l) % COUNT(sizes)]);
            shift(1); /* the next one begins elsewhere */
        }
    }
    shift(now.room - (uint32_t)(now.in % now.room)); /* to the start of the ring, then across its end */
    shift(now.room - 1);
    one_batch(0, now.room, now.room);
    EQ(evb_ring_dropped(now.ring), 0);
}

TEST(a_batch_takes_as_many_from_the_front_as_there_is_room_for)
{
    in_each_shape(refuses_when_full, batches);
}

/* ---- positions next to a wrap ---- */

static void everything_briefly(void)
{
    laps();
    for (uint32_t i = 0; i < 3; i++) {
        one_batch(i % now.room, now.room, 2);
        shift(1);
    }
    fill();
    evb_ring_close(now.ring);
    drain();
    pops_answer_closed();
}

TEST(positions_next_to_a_wrap_change_nothing)
{
    static const uint32_t capacities[] = {1, 2, 4, 8, 64};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!refuses_when_full(&kinds[k])) continue; /* test_ring_overwrite.c */
        for (size_t c = 0; c < COUNT(capacities); c++) {
            for (uint32_t s = 0; s < STARTS; s++) {
                open_at(&kinds[k], sizeof(void *), capacities[c],
                        start_near_a_wrap(s, rounded(capacities[c])));
                everything_briefly();
                end_ring();
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(exactly_the_capacity_fits_lap_after_lap_and_comes_out_in_order),
        RING_TEST_IN_BOTH_FORMS(the_order_and_the_count_hold_at_every_fill_level),
        RING_TEST_IN_BOTH_FORMS(destroy_frees_what_is_still_inside),
        RING_TEST_IN_BOTH_FORMS(a_new_ring_at_the_place_of_an_old_one_starts_empty),
        RING_TEST_IN_BOTH_FORMS(many_rings_in_one_thread_do_not_mix),
        RING_TEST_IN_BOTH_FORMS(after_its_first_push_a_thread_allocates_nothing),
        RING_TEST_IN_BOTH_FORMS(a_batch_takes_as_many_from_the_front_as_there_is_room_for),
        RING_TEST_IN_BOTH_FORMS(positions_next_to_a_wrap_change_nothing),
    };
    return EVB_TEST_MAIN("ring_order", tests, argc, argv);
}
