/* SPDX-License-Identifier: MIT */
/* Calls on a ring with NULL, with nothing to do, and with elements that are none. */
#include "ring_now.h"

#include <string.h>

/* ---- NULL ---- */

TEST(a_null_ring_answers_einval_zero_or_nothing)
{
    unsigned char bytes[8] = {0};
    const void *shown = bytes;
    void *room = bytes;

    evb_ring_destroy(NULL);
    evb_ring_close(NULL);
    EQ(evb_ring_count(NULL), 0);
    EQ(evb_ring_capacity(NULL), 0);
    EQ(evb_ring_dropped(NULL), 0);
    FAILS(evb_ring_try_push(NULL, bytes), EVB_EINVAL);
    FAILS(evb_ring_try_pop(NULL, bytes), EVB_EINVAL);
    FAILS(evb_ring_push(NULL, bytes, EVB_FOREVER), EVB_EINVAL);
    FAILS(evb_ring_pop(NULL, bytes, EVB_FOREVER), EVB_EINVAL);
    FAILS(evb_ring_try_push_many(NULL, bytes, 1), EVB_EINVAL);
    FAILS(evb_ring_try_pop_many(NULL, bytes, 1), EVB_EINVAL);
    FAILS(evb_ring_reserve(NULL, 1, &room), EVB_EINVAL);
    FAILS(evb_ring_commit(NULL, 1), EVB_EINVAL);
    FAILS(evb_ring_peek(NULL, 1, &shown), EVB_EINVAL);
    FAILS(evb_ring_consume(NULL, 1), EVB_EINVAL);
    EQ_PTR(room, bytes);
    EQ_PTR(shown, bytes);
}

static void null_elements_are_refused(void)
{
    static const int64_t timeouts[] = {0, 1, 1000000, INT64_MAX, EVB_FOREVER};

    for (uint32_t round = 0; round < 3; round++) { /* empty, one inside, full */
        uint32_t inside = evb_ring_count(now.ring);

        FAILS(evb_ring_try_push(now.ring, NULL), EVB_EINVAL);
        FAILS(evb_ring_try_pop(now.ring, NULL), EVB_EINVAL);
        for (size_t i = 0; i < COUNT(timeouts); i++) {
            FAILS(evb_ring_push(now.ring, NULL, timeouts[i]), EVB_EINVAL);
            FAILS(evb_ring_pop(now.ring, NULL, timeouts[i]), EVB_EINVAL);
        }
        FAILS(evb_ring_try_push_many(now.ring, NULL, 1), EVB_EINVAL);
        FAILS(evb_ring_try_pop_many(now.ring, NULL, 1), EVB_EINVAL);
        FAILS(evb_ring_try_push_many(now.ring, NULL, UINT32_MAX), EVB_EINVAL);
        FAILS(evb_ring_try_pop_many(now.ring, NULL, UINT32_MAX), EVB_EINVAL);
        EQ(evb_ring_dropped(now.ring), 0);
        count_is(inside);
        if (round == 0)
            OK(push_next());
        else
            fill();
    }
    drain();
}

TEST(null_elements_are_refused_and_change_nothing)
{
    in_each_kind(any, 4, null_elements_are_refused);
}

static void null_pointer_is_no_element(void)
{
    void *batch[3] = {&now, NULL, &now}, *null = NULL, *out;

    FAILS(evb_ring_try_push(now.ring, &null), EVB_EINVAL);
    FAILS(evb_ring_push(now.ring, &null, 0), EVB_EINVAL);
    FAILS(evb_ring_push(now.ring, &null, EVB_FOREVER), EVB_EINVAL);
    FAILS(evb_ring_try_push_many(now.ring, &null, 1), EVB_EINVAL);
    FAILS(evb_ring_try_push_many(now.ring, &batch[1], 2), EVB_EINVAL);
    FAILS(evb_ring_try_push_many(now.ring, batch, 3), EVB_EINVAL); /* an error: nothing was done */
    EQ(evb_ring_count(now.ring), 0);
    FAILS(evb_ring_try_pop(now.ring, &out), EVB_EEMPTY);
    fill();
    FAILS(evb_ring_try_push(now.ring, &null), EVB_EINVAL);
    drain();
}

TEST(a_null_pointer_is_no_element_of_a_ring_of_pointers)
{
    in_each_kind(of_pointers, 4, null_pointer_is_no_element);
}

/* Wherever it stands: also behind what there is room for. */
static void null_in_a_batch(void)
{
    void *null = NULL;

    for (uint32_t level = 0; level <= now.room; level++) {
        for (uint32_t n = 1; n <= batch_limit(); n++) {
            for (uint32_t at = 0; at < n; at++) {
                write_many(n);
                memcpy(many_at(at), &null, sizeof null);
                FAILS(evb_ring_try_push_many(now.ring, now.many.bytes, n), EVB_EINVAL);
                count_is(level);
            }
        }
        if (level < now.room) OK(push_next());
    }
    drain();
    FAILS(pop_next(), EVB_EEMPTY);
}

TEST(a_null_pointer_anywhere_in_a_batch_is_refused_and_nothing_of_the_batch_is_pushed)
{
    in_each_kind(of_pointers, 4, null_in_a_batch);
}

static void null_pointer_is_bytes(void)
{
    void *null = NULL, *out = &now;

    OK(evb_ring_try_push(now.ring, &null));
    OK(evb_ring_try_pop(now.ring, &out));
    EQ_PTR(out, NULL);
    FAILS(evb_ring_try_pop(now.ring, &out), EVB_EEMPTY);
}

TEST(a_null_pointer_is_bytes_like_any_others_to_a_ring_of_values)
{
    in_each_kind(of_values, 4, null_pointer_is_bytes);
}

/* ---- batches of none ---- */

static void none_is_zero(void)
{
    uint32_t inside = evb_ring_count(now.ring);

    EQ(evb_ring_try_push_many(now.ring, NULL, 0), 0);
    EQ(evb_ring_try_push_many(now.ring, now.many.bytes, 0), 0);
    EQ(evb_ring_try_pop_many(now.ring, NULL, 0), 0);
    EQ(evb_ring_try_pop_many(now.ring, now.many.bytes, 0), 0);
    EQ(evb_ring_dropped(now.ring), 0);
    count_is(inside);
}

static void batches_of_none(void)
{
    for (uint32_t level = 0; level <= now.room; level++) {
        none_is_zero();
        count_is(level);
        if (level < now.room) OK(push_next());
    }
    drain();
}

TEST(a_batch_of_none_answers_zero_and_does_nothing)
{
    in_each_kind(any, 4, batches_of_none);
}

static void none_in_every_state(void)
{
    none_is_zero(); /* empty */
    fill();
    none_is_zero();
    evb_ring_close(now.ring); /* full and closed */
    none_is_zero();
    drain(); /* no call has found it empty yet */
    none_is_zero();
    FAILS(pop_next(), EVB_ECLOSED);
    none_is_zero();
    FAILS(pop_next(), EVB_ECLOSED);
}

TEST(a_batch_of_none_answers_zero_on_a_full_an_empty_and_a_closed_ring)
{
    in_each_kind(any, 4, none_in_every_state);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST(a_null_ring_answers_einval_zero_or_nothing),
        RING_TEST_IN_BOTH_FORMS(null_elements_are_refused_and_change_nothing),
        RING_TEST_IN_BOTH_FORMS(a_null_pointer_is_no_element_of_a_ring_of_pointers),
        RING_TEST_IN_BOTH_FORMS(
            a_null_pointer_anywhere_in_a_batch_is_refused_and_nothing_of_the_batch_is_pushed),
        RING_TEST_IN_BOTH_FORMS(a_null_pointer_is_bytes_like_any_others_to_a_ring_of_values),
        RING_TEST_IN_BOTH_FORMS(a_batch_of_none_answers_zero_and_does_nothing),
        RING_TEST_IN_BOTH_FORMS(a_batch_of_none_answers_zero_on_a_full_an_empty_and_a_closed_ring),
    };
    return EVB_TEST_MAIN("ring_arguments", tests, argc, argv);
}
