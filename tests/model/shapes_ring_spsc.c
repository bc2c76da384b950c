/* SPDX-License-Identifier: MIT */
/* The rings of one producer and one consumer (evbus/ring_inline.h): pointers with the slot as flag, values
 * with cached indices; called, inline, in batches and in place, and closed from either end or by a third
 * thread.
 */
#include "ring_shape.h"

enum { POINTERS, VALUES, POINTERS_WRAP, VALUES_WRAP };

#define POINTER_RING                                                                                         \
    {                                                                                                        \
        .mode = EVB_RING_SPSC, .capacity = 2, .flags = EVB_RING_POINTERS                                     \
    }
#define VALUE_RING                                                                                           \
    {                                                                                                        \
        .mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = 16                                               \
    }

static const struct ring_kind kinds[] = {
    [POINTERS] = {POINTER_RING, 0},
    [VALUES] = {VALUE_RING, 0},
    [POINTERS_WRAP] = {POINTER_RING, UINT32_MAX}, /* the second element is at position 0 */
    [VALUES_WRAP] = {VALUE_RING, UINT32_MAX},
};

static void setup(void)
{
    ring_make(&kinds[explore_variant() & ~RING_EXACT]);
}

static void setup_full(void)
{
    setup();
    ring_fill(2);
}

/* ---- threads: one by one ---- */

static void put_three(void)
{
    put_all(3);
}

static void take_three(void)
{
    take_all(3);
}

static void try_to_put_three(void)
{
    for (uint32_t i = 0; i < 3; i++)
        (void)put();
}

static void try_to_take_three(void)
{
    for (uint32_t i = 0; i < 3; i++)
        (void)take();
}

/* Who has been told that there is room, or an element, finds it. */
static void fill_then_put_when_told(void)
{
    explore_check(put() == EVB_OK && put() == EVB_OK, "a new ring has no room");
    tell(1);
    wait_until_told(2);
    explore_check(put() == EVB_OK, "no room, and a pop is known");
    explore_check(put() == EVB_EFULL, "room for more than the capacity");
    tell(3);
}

static void take_when_told(void)
{
    wait_until_told(1);
    explore_check(take() == EVB_OK, "nothing inside, and a push is known");
    tell(2);
    wait_until_told(3);
    explore_check(take() == EVB_OK && take() == EVB_OK, "nothing inside, and a push is known");
    explore_check(take() == EVB_EEMPTY, "more than was pushed");
}

/* ---- batches ---- */

static void put_many_three(void)
{
    ring_put_all(evb_ring_try_push_many, 3, 3);
}

static void take_many_three(void)
{
    ring_take_all(evb_ring_try_pop_many, 3, 3);
}

static void try_to_put_many(void)
{
    (void)put_many(3);
    (void)put_many(2);
}

static void try_to_take_many(void)
{
    (void)take_many(2);
    (void)take_many(3);
}

/* ---- in place ---- */

/* n = 0 gives the room back; reserving again gives the same. */
static int32_t push_in_place_at_second_try(evb_ring *ring, const void *elems, uint32_t n)
{
    static const uint64_t nothing[RING_WORDS];
    void *room, *again;
    int32_t rc = evb_ring_reserve(ring, n, &room);

    if (rc < 0) return rc;
    EVB__RING_COPY_IN(room, nothing, shape.opts->elem_bytes);
    explore_check(evb_ring_commit(ring, 0) == EVB_OK, "room cannot be given back");
    explore_check(evb_ring_commit(ring, 1) == EVB_EINVAL, "room that was given back is there");
    rc = evb_ring_reserve(ring, n, &again);
    explore_check(rc == EVB_ECLOSED || (rc > 0 && again == room), "not the same room again");
    return push_in_place(ring, elems, n);
}

static void put_three_in_place(void)
{
    int32_t rc;

    while ((rc = ring_push_by(push_in_place_at_second_try, 2)) < 0)
        evb__thread_yield();
    ring_put_all(push_in_place, 3 - (uint32_t)rc, 2);
}

static void take_three_in_place(void)
{
    ring_take_all(pop_in_place, 3, 2);
}

/* ---- inline ---- */

static void put_three_inline(void)
{
    ring_put_all(push_inline, 3, 1);
}

static void take_three_inline(void)
{
    ring_take_all(pop_inline, 3, 1);
}

/* ---- close ---- */

static void put_close_put(void)
{
    (void)put();
    close_ring();
    explore_check(put() == EVB_ECLOSED, "a push after the producer's own close");
    explore_check(evb_ring_count(shape.ring) <= 1, "a refused push is counted");
}

static void take_to_the_end(void)
{
    take_all(RING_NUMBERS);
}

static void take_to_the_end_and_on(void)
{
    take_all(RING_NUMBERS);
    explore_check(take() == EVB_ECLOSED && take() == EVB_ECLOSED, "EVB_ECLOSED was not the end");
}

static void take_close_take(void)
{
    (void)take();
    close_ring();
    take_all(RING_NUMBERS);
}

static void put_until_refused(void)
{
    put_all(3);
}

static void put_one(void)
{
    (void)put();
}

static void close_and_tell(void)
{
    close_ring();
    tell(1);
}

static void put_when_told_of_the_close(void)
{
    wait_until_told(1);
    explore_check(put() == EVB_ECLOSED, "full or done, and the close is known");
}

static void take_when_told_of_the_close(void)
{
    wait_until_told(1);
    explore_check(take() == EVB_OK && take() == EVB_OK, "a close takes what was inside");
    take_all(RING_NUMBERS); /* EVB_EEMPTY is an answer as long as a push is under way */
}

static void put_two_inline_until_refused(void)
{
    ring_put_all(push_inline, 2, 1);
}

static void take_inline_to_the_end(void)
{
    ring_take_all(pop_inline, RING_NUMBERS, 1);
}

static void put_many_until_refused(void)
{
    (void)put_many(2);
    (void)put_many(2);
}

static void take_many_to_the_end(void)
{
    ring_take_all(evb_ring_try_pop_many, RING_NUMBERS, 2);
}

static void put_in_place_until_refused(void)
{
    (void)ring_push_by(push_in_place, 2);
    (void)ring_push_by(push_in_place, 1);
}

static void take_in_place_to_the_end(void)
{
    ring_take_all(pop_in_place, RING_NUMBERS, 2);
}

/* ---- count ---- */

static void put_two_and_tell(void)
{
    (void)put();
    (void)put();
    evb__add_acqrel(&told, 1);
}

static void take_one_and_tell(void)
{
    while (take() != EVB_OK)
        evb__thread_yield();
    evb__add_acqrel(&told, 1);
}

static void count(void)
{
    explore_check(evb_ring_count(shape.ring) <= 2, "more than the capacity is counted");
    if (evb__ld_acq(&told) != 2) return;
    explore_cover("counted at rest");
    explore_check(evb_ring_count(shape.ring) == 1, "the count at rest");
}

/* ---- shapes ---- */

#define BOTH   .barrier = EXPLORE_BOTH
#define INLINE .barrier = EXPLORE_MEMBARRIER /* otherwise the inline calls are the calls */
#define END    .setup = setup, .finish = ring_finish
#define REFUSES                                                                                              \
    .barrier = EXPLORE_MEMBARRIER, .barrier_may_refuse = true, .spurious = 3 /* each refusal is a wait */

#define SHAPES(form, VARIANT)                                                                                \
    {.name = form "_come_out_in_order",                                                                      \
     END,                                                                                                    \
     BOTH,                                                                                                   \
     .variant = VARIANT##_WRAP,                                                                              \
     .threads = {put_three, take_three},                                                                     \
     .covers = {"full", "empty"}},                                                                           \
        {.name = form "_full_and_empty_are_exact",                                                           \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT##_WRAP | RING_EXACT,                                                             \
         RING_EXACTLY,                                                                                       \
         .preemptions = 4,                                                                                   \
         .threads = {try_to_put_three, try_to_take_three},                                                   \
         .covers = {"full", "empty"}},                                                                       \
        {.name = form "_full_and_empty_are_exact_for_who_was_told",                                          \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT##_WRAP,                                                                          \
         .threads = {fill_then_put_when_told, take_when_told}},                                              \
        {.name = form "_in_batches",                                                                         \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT##_WRAP,                                                                          \
         .threads = {put_many_three, take_many_three},                                                       \
         .covers = {"full", "empty", "several at once"}},                                                    \
        {.name = form "_in_batches_take_all_that_is_there",                                                  \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT##_WRAP | RING_EXACT,                                                             \
         RING_EXACTLY,                                                                                       \
         .threads = {try_to_put_many, try_to_take_many},                                                     \
         .covers = {"full", "empty"}},                                                                       \
        {.name = form "_inline",                                                                             \
         END,                                                                                                \
         INLINE,                                                                                             \
         .variant = VARIANT##_WRAP,                                                                          \
         .threads = {put_three_inline, take_three_inline},                                                   \
         .covers = {"full", "empty"}},                                                                       \
        {.name = form "_inline_beside_calls",                                                                \
         END,                                                                                                \
         INLINE,                                                                                             \
         .variant = VARIANT,                                                                                 \
         .threads = {put_three_inline, take_three},                                                          \
         .covers = {"full", "empty"}},                                                                       \
        {.name = form "_close_by_the_producer",                                                              \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .threads = {put_close_put, take_to_the_end},                                                        \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_by_the_consumer",                                                              \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .threads = {put_until_refused, take_close_take},                                                    \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_by_a_third",                                                                   \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT##_WRAP,                                                                          \
         .executions = 150000,                                                                               \
         .threads = {put_until_refused, take_to_the_end, close_ring},                                        \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_during_a_push",                                                                \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .executions = 250000,                                                                               \
         .threads = {put_one, take_to_the_end, close_ring},                                                  \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_end_is_final",                                                                       \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .executions = 150000,                                                                               \
         .threads = {try_to_put_three, take_to_the_end_and_on, close_ring},                                  \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_by_two",                                                                       \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .executions = 100000,                                                                               \
         .threads = {put_until_refused, take_close_take, close_ring},                                        \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_whose_barrier_is_refused",                                                     \
         END,                                                                                                \
         REFUSES,                                                                                            \
         .variant = VARIANT,                                                                                 \
         .executions = 100000,                                                                               \
         .threads = {put_until_refused, take_to_the_end, close_ring},                                        \
         .covers = {"refused", "over", "barrier refused"}},                                                  \
        {.name = form "_close_that_is_known_is_answered",                                                    \
         .setup = setup_full,                                                                                \
         .finish = ring_finish,                                                                              \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .executions = 100000,                                                                               \
         .threads = {put_when_told_of_the_close, take_when_told_of_the_close, close_and_tell}},              \
        {.name = form "_close_of_batches",                                                                   \
         END,                                                                                                \
         BOTH,                                                                                               \
         .variant = VARIANT,                                                                                 \
         .executions = 100000,                                                                               \
         .threads = {put_many_until_refused, take_many_to_the_end, close_ring},                              \
         .covers = {"refused", "over"}},                                                                     \
        {.name = form "_close_of_inline_calls",                                                              \
         END,                                                                                                \
         INLINE,                                                                                             \
         .variant = VARIANT,                                                                                 \
         .executions = 100000,                                                                               \
         .threads = {put_two_inline_until_refused, take_inline_to_the_end, close_ring},                      \
         .covers = {"refused", "over"}},                                                                     \
    {                                                                                                        \
        .name = form "_are_counted_exactly_at_rest", END, BOTH, .variant = VARIANT##_WRAP,                   \
        .executions = 100000, .threads = {put_two_and_tell, take_one_and_tell, count}, .covers = {           \
            "counted at rest"                                                                                \
        }                                                                                                    \
    }

static const struct explore_shape shapes[] = {
    SHAPES("pointers", POINTERS),
    SHAPES("values", VALUES),
    {.name = "values_in_place",
     END,
     BOTH,
     .variant = VALUES_WRAP,
     .threads = {put_three_in_place, take_three_in_place},
     .covers = {"full", "empty", "several at once"}},
    {.name = "values_close_of_what_is_in_place",
     END,
     BOTH,
     .variant = VALUES,
     .executions = 100000,
     .threads = {put_in_place_until_refused, take_in_place_to_the_end, close_ring},
     .covers = {"refused", "over", "closed between reserve and commit"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
