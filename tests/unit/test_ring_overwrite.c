/* SPDX-License-Identifier: MIT */
/* Rings that drop their oldest when they are full. */
#include "ring_now.h"

static void overwriting(void)
{
    uint64_t dropped = 0;

    for (uint32_t i = 0; i < 3 * now.room + 1; i++) {
        uint32_t inside = (uint32_t)(now.in - now.out);

        OK(push_next());
        if (inside == now.room) { /* the oldest went */
            now.out++;
            dropped++;
        }
        EQ(evb_ring_dropped(now.ring), dropped);
        count_is(lesser(inside + 1, now.room));
    }
    OK(pop_next());
    OK(push_next()); /* room again: nothing goes */
    EQ(evb_ring_dropped(now.ring), dropped);
    drain();
    FAILS(pop_next(), EVB_EEMPTY);
    EQ(evb_ring_dropped(now.ring), dropped);
}

TEST(overwrite_drops_the_oldest_and_counts_it)
{
    in_each_shape(overwrites, overwriting);
}

static void overwriting_batches(void)
{
    const uint32_t sizes[] = {1, now.room - 1, now.room, now.room + 1, batch_limit()};
    uint64_t dropped = 0;

    for (size_t s = 0; s < COUNT(sizes); s++) {
        for (uint32_t level = 0; level <= now.room; level += lesser(now.room, 1 + now.room / 4)) {
            uint32_t all = level + sizes[s], kept = lesser(all, now.room);

            for (uint32_t i = 0; i < level; i++)
                OK(push_next());
            EQ(push_batch(sizes[s]), sizes[s]); /* there is always room */
            now.out += all - kept;
            dropped += all - kept;
            EQ(evb_ring_dropped(now.ring), dropped);
            count_is(kept);
            drain();
            shift(1);
        }
    }
}

TEST(an_overwriting_batch_is_taken_whole_and_the_newest_stay)
{
    in_each_shape(overwrites, overwriting_batches);
}

static void overwriting_never_waits(void)
{
    fill();
    for (uint32_t i = 0; i < now.room + 1; i++) {
        write_element(now.one.bytes, now.in++);
        OK(evb_ring_push(now.ring, now.one.bytes, i % 2 == 0 ? EVB_FOREVER : (int64_t)i));
        now.out++;
    }
    EQ(evb_ring_dropped(now.ring), now.room + 1);
    drain();
}

TEST(a_push_that_overwrites_never_waits)
{
    in_each_kind(overwrites, 2, overwriting_never_waits);
    in_each_kind(overwrites, 64, overwriting_never_waits);
}

TEST(positions_next_to_a_wrap_change_nothing_in_what_is_dropped)
{
    static const uint32_t capacities[] = {1, 2, 4, 8, 64};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!overwrites(&kinds[k])) continue;
        for (size_t c = 0; c < COUNT(capacities); c++) {
            for (uint32_t s = 0; s < STARTS; s++) {
                open_at(&kinds[k], sizeof(void *), capacities[c],
                        start_near_a_wrap(s, rounded(capacities[c])));
                overwriting_batches();
                end_ring();
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(overwrite_drops_the_oldest_and_counts_it),
        RING_TEST_IN_BOTH_FORMS(an_overwriting_batch_is_taken_whole_and_the_newest_stay),
        RING_TEST_IN_BOTH_FORMS(a_push_that_overwrites_never_waits),
        RING_TEST_IN_BOTH_FORMS(positions_next_to_a_wrap_change_nothing_in_what_is_dropped),
    };
    return EVB_TEST_MAIN("ring_overwrite", tests, argc, argv);
}
