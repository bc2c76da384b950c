/* SPDX-License-Identifier: MIT */
/* A ring after fork: the child has none of it, the parent notices nothing. */
#include "ring_now.h"

static int calls_in_the_child(void *arg)
{
    static const int64_t timeouts[] = {0, 1, 1000000, EVB_FOREVER};
    int64_t blocks = evb_test_alloc_live();
    const void *shown = &now;
    void *room = &now;

    for (uint32_t again = 0; again < 2; again++) {
        write_element(now.one.bytes, now.in);
        FAILS(evb_ring_try_push(now.ring, now.one.bytes), EVB_EFORKED);
        FAILS(evb_ring_try_pop(now.ring, now.one.bytes), EVB_EFORKED);
        for (size_t i = 0; i < COUNT(timeouts); i++) {
            FAILS(evb_ring_push(now.ring, now.one.bytes, timeouts[i]), EVB_EFORKED);
            FAILS(evb_ring_pop(now.ring, now.one.bytes, timeouts[i]), EVB_EFORKED);
        }
        write_many(2);
        FAILS(evb_ring_try_push_many(now.ring, now.many.bytes, 2), EVB_EFORKED);
        FAILS(evb_ring_try_pop_many(now.ring, now.many.bytes, 2), EVB_EFORKED);
        if (in_place(now.kind)) {
            FAILS(evb_ring_reserve(now.ring, 1, &room), EVB_EFORKED);
            FAILS(evb_ring_commit(now.ring, 0), EVB_EFORKED);
            FAILS(evb_ring_peek(now.ring, 1, &shown), EVB_EFORKED);
            FAILS(evb_ring_consume(now.ring, 0), EVB_EFORKED);
        }
        evb_ring_close(now.ring); /* nothing: the answers stay */
    }
    EQ_PTR(room, &now);
    EQ_PTR(shown, &now);
    EQ(evb_ring_capacity(now.ring), now.room);
    evb_ring_destroy(now.ring);
    EQ(evb_test_alloc_live(), blocks);  /* its memory stays */
    open_at(arg, sizeof(void *), 4, 0); /* one of its own */
    shift(now.room + 1);
    fill();
    evb_ring_close(now.ring);
    drain();
    pops_answer_closed();
    end_ring();
    return 0;
}

static void parent_and_child(void)
{
    for (uint32_t round = 0; round < 3; round++) { /* empty, one inside, full */
        EQ(evb_test_in_child(calls_in_the_child, (void *)(uintptr_t)now.kind), 0);
        if (round == 0)
            OK(push_next());
        else
            fill();
    }
    drain(); /* the parent has noticed nothing */
    shift(now.room + 1);
    evb_ring_close(now.ring);
    pops_answer_closed();
}

TEST(in_a_child_an_inherited_ring_answers_eforked_and_the_parent_goes_on)
{
    in_each_kind(any, 4, parent_and_child);
}

static int closed_in_the_parent(void *arg)
{
    (void)arg;
    FAILS(evb_ring_try_push(now.ring, now.one.bytes), EVB_EFORKED);
    FAILS(evb_ring_try_pop(now.ring, now.one.bytes), EVB_EFORKED);
    FAILS(evb_ring_pop(now.ring, now.one.bytes, EVB_FOREVER), EVB_EFORKED);
    return 0;
}

static void fork_a_closed_one(void)
{
    evb_ring_close(now.ring);
    write_element(now.one.bytes, 1);
    EQ(evb_test_in_child(closed_in_the_parent, NULL), 0);
}

TEST(in_a_child_a_ring_that_was_closed_before_answers_eforked_too)
{
    in_each_kind(any, 4, fork_a_closed_one);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(in_a_child_an_inherited_ring_answers_eforked_and_the_parent_goes_on),
        RING_TEST(in_a_child_a_ring_that_was_closed_before_answers_eforked_too),
    };
    return EVB_TEST_MAIN("ring_fork", tests, argc, argv);
}
