/* SPDX-License-Identifier: MIT */
/* A closed ring: nothing goes in, what is inside comes out, and then EVB_ECLOSED for good. */
#include "ring_now.h"

static void closed_full(void)
{
    fill();
    evb_ring_close(now.ring);
    pushes_answer_closed(); /* and not EFULL */
    for (uint32_t left = now.room; left > 0; left--) {
        count_is(left);
        OK(pop_next());
        pushes_answer_closed(); /* whatever room there is now */
    }
    pops_answer_closed();
    EQ(evb_ring_capacity(now.ring), now.room);
}

TEST(a_full_ring_that_is_closed_is_drained_and_takes_nothing_any_more)
{
    in_each_kind(any, 4, closed_full);
    in_shape(mpmc, 100, 64, closed_full);
    in_shape(mpmc_sequenced, 3, 1, closed_full);
    in_shape(spsc, 33, 1, closed_full);
}

static void closed_empty(void)
{
    if (now.in != 0) drain();
    evb_ring_close(now.ring);
    pops_answer_closed();
}

static void closed_empty_after_use(void)
{
    shift(now.room + 1);
    closed_empty();
}

TEST(an_empty_ring_that_is_closed_answers_eclosed_at_once)
{
    in_each_kind(any, 4, closed_empty);
    in_each_kind(any, 4, closed_empty_after_use);
    in_each_kind(any, 1, closed_empty_after_use);
}

static void closed_part_full(void)
{
    shift(now.room - 1);
    for (uint32_t i = 0; i < 3; i++)
        OK(push_next());
    evb_ring_close(now.ring);
    evb_ring_close(now.ring); /* again: nothing */
    pushes_answer_closed();
    EQ(pop_batch(2), 2);
    evb_ring_close(now.ring);
    count_is(1);
    EQ(pop_batch(2), 1); /* what there is, not ECLOSED yet */
    pops_answer_closed();
    evb_ring_close(now.ring);
    pops_answer_closed();
}

TEST(closing_again_does_nothing)
{
    in_each_kind(any, 4, closed_part_full);
}

static void left_in_a_closed_ring(void)
{
    fill();
    evb_ring_close(now.ring);
    OK(pop_next());
}

TEST(a_closed_ring_is_destroyed_with_what_is_inside)
{
    in_each_shape(any, left_in_a_closed_ring);
}

/* A refused push may leave traces inside: no number of them makes a pop think that something may come. */
static void refused_after_the_end(void)
{
    shift(now.room - 1);
    OK(push_next());
    evb_ring_close(now.ring);
    OK(pop_next());
    FAILS(pop_next(), EVB_ECLOSED);
    for (uint32_t refused = 0; refused < 3 * now.room + 2; refused++) {
        for (uint32_t i = 0; i < refused; i++)
            FAILS(push_next(), EVB_ECLOSED);
        FAILS(pop_next(), EVB_ECLOSED);
        if (refused > 0) FAILS(push_batch(lesser(refused, batch_limit())), EVB_ECLOSED);
        FAILS(pop_next(), EVB_ECLOSED);
        write_element(now.one.bytes, now.in);
        FAILS(evb_ring_push(now.ring, now.one.bytes, EVB_FOREVER), EVB_ECLOSED);
        FAILS(pop_next(), EVB_ECLOSED);
        FAILS(evb_ring_pop(now.ring, now.one.bytes, EVB_FOREVER), EVB_ECLOSED);
    }
    count_is(0);
}

TEST(after_eclosed_a_pop_answers_eclosed_again_however_many_pushes_are_refused_meanwhile)
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (uint32_t s = 0; s < STARTS; s++) {
            open_at(&kinds[k], sizeof(void *), 4, start_near_a_wrap(s, 4));
            refused_after_the_end();
            end_ring();
        }
    }
    in_each_kind(any, 1, refused_after_the_end);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(a_full_ring_that_is_closed_is_drained_and_takes_nothing_any_more),
        RING_TEST_IN_BOTH_FORMS(an_empty_ring_that_is_closed_answers_eclosed_at_once),
        RING_TEST_IN_BOTH_FORMS(closing_again_does_nothing),
        RING_TEST_IN_BOTH_FORMS(a_closed_ring_is_destroyed_with_what_is_inside),
        RING_TEST_IN_BOTH_FORMS(
            after_eclosed_a_pop_answers_eclosed_again_however_many_pushes_are_refused_meanwhile),
    };
    return EVB_TEST_MAIN("ring_close", tests, argc, argv);
}
