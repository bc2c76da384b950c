/* SPDX-License-Identifier: MIT */
/* Room inside the ring to write to and to read from: reserve, commit, peek, consume. */
#include "ring_now.h"

static void is_shown(const void *shown, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        is_element((const unsigned char *)shown + (size_t)i * now.elem_bytes, now.out + i);
}

static void reserve_and_commit(uint32_t n)
{
    uint32_t inside = (uint32_t)(now.in - now.out),
             fits = lesser(lesser(n, now.room - inside), to_the_end(now.in));
    void *room = NULL;

    EQ(evb_ring_reserve(now.ring, n, &room), fits);
    write_reserved(room, fits);
    count_is(inside); /* nothing is visible yet */
    OK(evb_ring_commit(now.ring, fits));
    now.in += fits;
    count_is(inside + fits);
}

static void peek_and_consume(uint32_t n)
{
    uint32_t inside = (uint32_t)(now.in - now.out), shows = lesser(lesser(n, inside), to_the_end(now.out));
    const void *shown = NULL;

    EQ(evb_ring_peek(now.ring, n, &shown), shows);
    is_shown(shown, shows);
    count_is(inside); /* nothing has left */
    OK(evb_ring_consume(now.ring, shows));
    now.out += shows;
    count_is(inside - shows);
}

static void in_place_laps(void)
{
    const uint32_t wanted[] = {1, now.room, 2, now.room - 1, UINT32_MAX, 3};
    void *room = &now;
    const void *shown = &now;

    for (uint32_t i = 0; i < 24; i++) {
        FAILS(evb_ring_peek(now.ring, 1, &shown), EVB_EEMPTY);
        while (now.in - now.out < now.room)
            reserve_and_commit(wanted[i % COUNT(wanted)]);
        FAILS(evb_ring_reserve(now.ring, 1, &room), EVB_EFULL);
        while (now.out < now.in)
            peek_and_consume(wanted[(i / 2) % COUNT(wanted)]);
        shift(1);
    }
    EQ_PTR(room, &now);
    EQ_PTR(shown, &now);
}

TEST(reserve_and_peek_give_what_lies_there_up_to_the_end_of_the_ring)
{
    in_each_shape(in_place, in_place_laps);
}

static void same_room_again(void)
{
    void *room = NULL, *again = NULL;

    shift(3);
    EQ(evb_ring_reserve(now.ring, 2, &room), 2);
    EQ(evb_ring_reserve(now.ring, 2, &again), 2);
    EQ_PTR(again, room);
    EQ(evb_ring_reserve(now.ring, 5, &again), 5);
    EQ_PTR(again, room);
    EQ(evb_ring_reserve(now.ring, 1, &again), 1);
    EQ_PTR(again, room);
    write_reserved(room, 1);
    OK(evb_ring_commit(now.ring, 1));
    now.in++;
    EQ(evb_ring_reserve(now.ring, 1, &again), 1);
    EQ_PTR(again, (unsigned char *)room + now.elem_bytes);
    drain();
}

TEST(reserving_again_gives_the_same_room)
{
    in_shape(spsc, 12, 8, same_room_again);
}

static void partial_commits(void)
{
    void *room = NULL;

    EQ(evb_ring_reserve(now.ring, 6, &room), 6);
    write_reserved(room, 6);
    OK(evb_ring_commit(now.ring, 4));
    now.in += 4;
    count_is(4);
    FAILS(evb_ring_commit(now.ring, 1), EVB_EINVAL); /* the rest went back */
    OK(evb_ring_commit(now.ring, 0));
    EQ(evb_ring_reserve(now.ring, 2, &room), 2);
    OK(evb_ring_commit(now.ring, 0)); /* gives it back */
    FAILS(evb_ring_commit(now.ring, 1), EVB_EINVAL);
    count_is(4);
    OK(push_next());
    count_is(5);
    drain();
    FAILS(pop_next(), EVB_EEMPTY);
}

TEST(commit_publishes_the_first_of_the_reserved_and_gives_the_rest_back)
{
    in_shape(spsc, 40, 8, partial_commits);
}

static void too_much(void)
{
    const void *shown = NULL;
    void *room = NULL;

    FAILS(evb_ring_commit(now.ring, 1), EVB_EINVAL); /* nothing reserved */
    FAILS(evb_ring_consume(now.ring, 1), EVB_EINVAL);
    OK(evb_ring_commit(now.ring, 0));
    OK(evb_ring_consume(now.ring, 0));
    EQ(evb_ring_reserve(now.ring, 3, &room), 3);
    write_reserved(room, 3);
    FAILS(evb_ring_commit(now.ring, 4), EVB_EINVAL);
    FAILS(evb_ring_commit(now.ring, UINT32_MAX), EVB_EINVAL);
    count_is(0);
    FAILS(pop_next(), EVB_EEMPTY);
    OK(evb_ring_commit(now.ring, 3)); /* the mistakes have changed nothing */
    now.in += 3;
    EQ(evb_ring_peek(now.ring, 2, &shown), 2);
    FAILS(evb_ring_consume(now.ring, 3), EVB_EINVAL);
    FAILS(evb_ring_consume(now.ring, UINT32_MAX), EVB_EINVAL);
    count_is(3);
    is_shown(shown, 2);
    OK(evb_ring_consume(now.ring, 2));
    now.out += 2;
    FAILS(evb_ring_consume(now.ring, 1), EVB_EINVAL);
    drain();
}

TEST(to_commit_or_consume_more_than_was_given_is_refused_and_changes_nothing)
{
    in_shape(spsc, 16, 4, too_much);
}

static void in_place_arguments(void)
{
    const void *shown = &now;
    void *room = &now;

    OK(push_next());
    FAILS(evb_ring_reserve(now.ring, 0, &room), EVB_EINVAL);
    FAILS(evb_ring_reserve(now.ring, 1, NULL), EVB_EINVAL);
    FAILS(evb_ring_peek(now.ring, 0, &shown), EVB_EINVAL);
    FAILS(evb_ring_peek(now.ring, 1, NULL), EVB_EINVAL);
    EQ_PTR(room, &now);
    EQ_PTR(shown, &now);
    FAILS(evb_ring_commit(now.ring, 1), EVB_EINVAL);
    FAILS(evb_ring_consume(now.ring, 1), EVB_EINVAL);
    count_is(1);
    drain();
}

TEST(reserve_and_peek_refuse_null_and_zero)
{
    in_shape(spsc, 8, 4, in_place_arguments);
}

static void peek_twice(void)
{
    const void *shown = NULL, *again = NULL;

    for (uint32_t i = 0; i < 3; i++)
        OK(push_next());
    EQ(evb_ring_peek(now.ring, 2, &shown), 2);
    EQ(evb_ring_peek(now.ring, 9, &again), 3);
    EQ_PTR(again, shown);
    OK(evb_ring_consume(now.ring, 0));
    count_is(3);
    EQ(evb_ring_peek(now.ring, 1, &again), 1);
    EQ_PTR(again, shown);
    OK(evb_ring_consume(now.ring, 1));
    now.out++;
    EQ(evb_ring_peek(now.ring, 1, &again), 1);
    EQ_PTR(again, (const unsigned char *)shown + now.elem_bytes);
    drain();
}

TEST(peek_removes_nothing_and_shows_the_same_again)
{
    in_shape(spsc, 24, 4, peek_twice);
}

static void mixed_forms(void)
{
    for (uint32_t i = 0; i < 40; i++) {
        OK(push_next());
        reserve_and_commit(2);
        (void)push_batch(2);
        peek_and_consume(2);
        OK(pop_next());
        (void)pop_batch(2);
        if (i % 3 == 0) drain();
    }
    drain();
}

TEST(in_place_calls_mix_with_those_that_copy)
{
    in_shape(spsc, 33, 16, mixed_forms);
}

/* ---- other kinds ---- */

static bool not_in_place(const struct kind *kind)
{
    return !in_place(kind);
}

static void in_place_is_not_supported(void)
{
    const void *shown = &now;
    void *room = &now;

    OK(push_next());
    FAILS(evb_ring_reserve(now.ring, 1, &room), EVB_ENOTSUP);
    FAILS(evb_ring_commit(now.ring, 0), EVB_ENOTSUP);
    FAILS(evb_ring_commit(now.ring, 1), EVB_ENOTSUP);
    FAILS(evb_ring_peek(now.ring, 1, &shown), EVB_ENOTSUP);
    FAILS(evb_ring_consume(now.ring, 0), EVB_ENOTSUP);
    FAILS(evb_ring_consume(now.ring, 1), EVB_ENOTSUP);
    EQ_PTR(room, &now);
    EQ_PTR(shown, &now);
    count_is(1);
    drain();
}

TEST(in_place_calls_are_not_supported_by_other_kinds)
{
    in_each_kind(not_in_place, 4, in_place_is_not_supported);
}

static void not_supported_whatever_the_arguments(void)
{
    const void *shown = &now;
    void *room = &now;

    for (uint32_t round = 0; round < 3; round++) { /* empty, full, closed */
        FAILS(evb_ring_reserve(now.ring, 0, &room), EVB_ENOTSUP);
        FAILS(evb_ring_reserve(now.ring, 1, NULL), EVB_ENOTSUP);
        FAILS(evb_ring_reserve(now.ring, 0, NULL), EVB_ENOTSUP);
        FAILS(evb_ring_commit(now.ring, UINT32_MAX), EVB_ENOTSUP);
        FAILS(evb_ring_peek(now.ring, 0, &shown), EVB_ENOTSUP);
        FAILS(evb_ring_peek(now.ring, 1, NULL), EVB_ENOTSUP);
        FAILS(evb_ring_peek(now.ring, 0, NULL), EVB_ENOTSUP);
        FAILS(evb_ring_consume(now.ring, UINT32_MAX), EVB_ENOTSUP);
        if (round == 0) fill();
        if (round == 1) evb_ring_close(now.ring);
    }
    EQ_PTR(room, &now);
    EQ_PTR(shown, &now);
    drain();
}

TEST(that_a_kind_has_no_in_place_calls_is_said_before_their_arguments_are_looked_at)
{
    in_each_kind(not_in_place, 4, not_supported_whatever_the_arguments);
}

/* ---- close ---- */

static void commit_after_close(void)
{
    const void *shown = NULL;
    void *room = NULL;

    OK(push_next());
    EQ(evb_ring_reserve(now.ring, 2, &room), 2);
    write_reserved(room, 2);
    evb_ring_close(now.ring);
    FAILS(evb_ring_commit(now.ring, 2), EVB_ECLOSED);
    count_is(1);
    EQ(evb_ring_peek(now.ring, 4, &shown), 1); /* what was in before is still shown */
    is_shown(shown, 1);
    OK(evb_ring_consume(now.ring, 1));
    now.out++;
    pops_answer_closed();
}

TEST(a_commit_after_close_publishes_nothing)
{
    in_shape(spsc, 16, 4, commit_after_close);
    in_shape(spsc, 3, 64, commit_after_close);
}

static void commit_of_none_after_close(void)
{
    void *room = NULL;

    OK(push_next());
    EQ(evb_ring_reserve(now.ring, 2, &room), 2);
    evb_ring_close(now.ring);
    OK(evb_ring_commit(now.ring, 0)); /* gives the room back */
    OK(evb_ring_commit(now.ring, 0)); /* there is none any more */
    FAILS(evb_ring_commit(now.ring, 1), EVB_EINVAL);
    count_is(1);
    OK(pop_next());
    pops_answer_closed();
    OK(evb_ring_commit(now.ring, 0));
    pops_answer_closed();
}

TEST(a_commit_of_none_after_close_answers_ok)
{
    in_shape(spsc, 16, 4, commit_of_none_after_close);
    in_shape(spsc, 3, 64, commit_of_none_after_close);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(reserve_and_peek_give_what_lies_there_up_to_the_end_of_the_ring),
        RING_TEST_IN_BOTH_FORMS(reserving_again_gives_the_same_room),
        RING_TEST_IN_BOTH_FORMS(commit_publishes_the_first_of_the_reserved_and_gives_the_rest_back),
        RING_TEST_IN_BOTH_FORMS(to_commit_or_consume_more_than_was_given_is_refused_and_changes_nothing),
        RING_TEST_IN_BOTH_FORMS(reserve_and_peek_refuse_null_and_zero),
        RING_TEST_IN_BOTH_FORMS(peek_removes_nothing_and_shows_the_same_again),
        RING_TEST_IN_BOTH_FORMS(in_place_calls_mix_with_those_that_copy),
        RING_TEST_IN_BOTH_FORMS(in_place_calls_are_not_supported_by_other_kinds),
        RING_TEST_IN_BOTH_FORMS(
            that_a_kind_has_no_in_place_calls_is_said_before_their_arguments_are_looked_at),
        RING_TEST_IN_BOTH_FORMS(a_commit_after_close_publishes_nothing),
        RING_TEST_IN_BOTH_FORMS(a_commit_of_none_after_close_answers_ok),
    };
    return EVB_TEST_MAIN("ring_in_place", tests, argc, argv);
}
