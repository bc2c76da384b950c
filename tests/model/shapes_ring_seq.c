/* SPDX-License-Identifier: MIT */
/* The sequenced rings (src/ring/seq.h): many or single producers and consumers, batches, overwrite, and close
 * in each mode.
 *
 * Where the close of a single producer is not the matter most shapes run with the asymmetric barrier only:
 * without it every call ends with a read-modify-write of a word that all threads share, which orders what the
 * ring itself must order.
 */
#include "ring_shape.h"

enum { MPMC, MPMC_START, MPSC, SPMC, MPMC_OVERWRITE, MPSC_OVERWRITE };

/* Positions are doubled: the next after this one wraps. */
#define LAST (UINT64_MAX / 2)

static const struct ring_kind kinds[] = {
    [MPMC] = {{.mode = EVB_RING_MPMC, .capacity = 2, .elem_bytes = 8, .progress = EVB_RING_SEQUENCED}, LAST},
    [MPMC_START] = {{.mode = EVB_RING_MPMC, .capacity = 2, .elem_bytes = 24, .progress = EVB_RING_SEQUENCED},
                    0},
    [MPSC] = {{.mode = EVB_RING_MPSC, .capacity = 2, .elem_bytes = 16, .progress = EVB_RING_SEQUENCED},
              LAST - 1},
    [SPMC] = {{.mode = EVB_RING_SPMC, .capacity = 2, .elem_bytes = 8, .progress = EVB_RING_SEQUENCED},
              LAST - 1},
    [MPMC_OVERWRITE] = {{.mode = EVB_RING_MPMC,
                         .capacity = 2,
                         .elem_bytes = 8,
                         .progress = EVB_RING_SEQUENCED,
                         .flags = EVB_RING_OVERWRITE},
                        LAST},
    [MPSC_OVERWRITE] = {{.mode = EVB_RING_MPSC,
                         .capacity = 2,
                         .elem_bytes = 8,
                         .progress = EVB_RING_SEQUENCED,
                         .flags = EVB_RING_OVERWRITE},
                        LAST},
};

static void setup(void)
{
    ring_make(&kinds[explore_variant() & ~RING_EXACT]);
}

static void setup_one_inside(void)
{
    setup();
    ring_fill(1);
}

static void setup_full(void)
{
    setup();
    ring_fill(2);
}

/* ---- threads ---- */

static void try_to_put(void)
{
    (void)put();
}

static void try_to_take(void)
{
    (void)take();
}

static void try_to_take_twice(void)
{
    (void)take();
    (void)take();
}

static void put_one(void)
{
    put_all(1);
}

static void put_two(void)
{
    put_all(2);
}

static void put_three(void)
{
    put_all(3);
}

static void take_one(void)
{
    take_all(1);
}

static void take_two(void)
{
    take_all(2);
}

static void take_three(void)
{
    take_all(3);
}

static void put_two_at_once(void)
{
    ring_put_all(evb_ring_try_push_many, 2, 2);
}

static void put_three_at_once(void)
{
    ring_put_all(evb_ring_try_push_many, 3, 3);
}

static void take_two_at_once(void)
{
    ring_take_all(evb_ring_try_pop_many, 2, 2);
}

static void take_four_at_once(void)
{
    ring_take_all(evb_ring_try_pop_many, 4, 2);
}

static void take_three_at_once(void)
{
    ring_take_all(evb_ring_try_pop_many, 3, 3);
}

/* An overwriting push takes the oldest's place; only a thread that stands in the middle of a call is a
 * reason to refuse it. */
static void overwrite(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        explore_check(put() == EVB_OK, "an overwriting push");
    if (evb_ring_dropped(shape.ring) != 0) explore_cover("dropped");
}

static void overwrite_one(void)
{
    overwrite(1);
}

static void overwrite_three(void)
{
    overwrite(3);
}

static void overwrite_three_at_once(void)
{
    explore_check(put_many(3) == 3, "an overwriting push of several");
    if (evb_ring_dropped(shape.ring) != 0) explore_cover("dropped");
}

static void overwrite_until_refused(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        int32_t rc = put();

        explore_check(rc == EVB_OK || rc == EVB_ECLOSED, "an overwriting push");
    }
    if (evb_ring_dropped(shape.ring) != 0) explore_cover("dropped");
}

/* ---- told ---- */

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

/* ---- close ---- */

static void take_to_the_end(void)
{
    take_all(RING_NUMBERS);
}

static void take_to_the_end_and_on(void)
{
    take_all(RING_NUMBERS);
    explore_check(take() == EVB_ECLOSED && take() == EVB_ECLOSED, "EVB_ECLOSED was not the end");
}

static void take_to_the_end_and_tell(void)
{
    take_all(RING_NUMBERS);
    tell(1);
}

static void take_when_told_of_the_end(void)
{
    wait_until_told(1);
    explore_check(take() == EVB_ECLOSED, "the end, and it is known");
}

static void close_then_try_to_put_twice(void)
{
    close_ring();
    (void)put();
    (void)put();
}

static void take_many_to_the_end(void)
{
    ring_take_all(evb_ring_try_pop_many, RING_NUMBERS, 2);
}

static void try_to_put_two_at_once(void)
{
    (void)put_many(2);
}

static void put_close_put(void)
{
    (void)put();
    close_ring();
    explore_check(put() == EVB_ECLOSED, "a push after the thread's own close");
}

static void take_close_take(void)
{
    (void)take();
    close_ring();
    take_all(RING_NUMBERS);
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
    take_all(RING_NUMBERS); /* EVB_EEMPTY is an answer as long as a single producer's push is under way */
}

/* ---- shapes ---- */

#define END(...)    .setup = setup, .finish = ring_finish, .threads = {__VA_ARGS__}
#define HALF(...)   .setup = setup_one_inside, .finish = ring_finish, .threads = {__VA_ARGS__}
#define FULL(...)   .setup = setup_full, .finish = ring_finish, .threads = {__VA_ARGS__}
#define COVERS(...) .covers = {__VA_ARGS__}
#define EASY        .barrier = EXPLORE_MEMBARRIER
#define BOTH        .barrier = EXPLORE_BOTH
#define MANY        .executions = 150000 /* where the search does not end */

static const struct explore_shape shapes[] = {
    /* one by one */
    {.name = "mpmc_one_and_one_come_out_in_order",
     END(put_three, take_three),
     COVERS("full", "empty"),
     BOTH,
     .variant = MPMC},
    {.name = "mpmc_large_elements_come_out_in_order",
     END(put_three, take_three),
     COVERS("full", "empty"),
     EASY,
     .variant = MPMC_START},
    {.name = "mpmc_two_and_two_at_a_ring_with_one_inside",
     HALF(try_to_put, try_to_put, try_to_take, try_to_take),
     COVERS("full", "empty"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_two_and_two_wait_for_each_other",
     END(put_one, put_one, take_one, take_one),
     COVERS("empty"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_two_and_one",
     END(put_one, put_two, take_three),
     COVERS("full", "empty"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_one_and_two",
     END(put_three, take_one, take_two),
     COVERS("full", "empty"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpsc_two_and_one",
     END(put_one, put_two, take_three),
     COVERS("full", "empty"),
     EASY,
     MANY,
     .variant = MPSC},
    {.name = "mpsc_one_and_one_come_out_in_order",
     END(put_three, take_three),
     COVERS("full", "empty"),
     EASY,
     .variant = MPSC},
    {.name = "spmc_one_and_two",
     END(put_three, take_one, take_two),
     COVERS("full", "empty"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_one_and_one_come_out_in_order",
     END(put_three, take_three),
     COVERS("full", "empty"),
     EASY,
     .variant = SPMC},

    /* exact */
    {.name = "mpmc_full_and_empty_are_exact",
     HALF(try_to_put, try_to_put, try_to_take_twice),
     COVERS("full", "empty"),
     EASY,
     RING_EXACTLY,
     .variant = MPMC | RING_EXACT},
    {.name = "mpsc_full_and_empty_are_exact",
     HALF(try_to_put, try_to_put, try_to_take_twice),
     COVERS("full", "empty"),
     EASY,
     RING_EXACTLY,
     .variant = MPSC | RING_EXACT},
    {.name = "spmc_full_and_empty_are_exact",
     HALF(put_two, try_to_take, try_to_take),
     COVERS("full", "empty"),
     EASY,
     RING_EXACTLY,
     .variant = SPMC | RING_EXACT},
    {.name = "mpmc_full_and_empty_are_exact_for_who_was_told",
     END(fill_then_put_when_told, take_when_told),
     EASY,
     .variant = MPMC},
    {.name = "mpsc_full_and_empty_are_exact_for_who_was_told",
     END(fill_then_put_when_told, take_when_told),
     EASY,
     .variant = MPSC},
    {.name = "spmc_full_and_empty_are_exact_for_who_was_told",
     END(fill_then_put_when_told, take_when_told),
     EASY,
     .variant = SPMC},

    /* several at once */
    {.name = "mpmc_batches_of_two_and_one",
     END(put_two_at_once, put_two_at_once, take_four_at_once),
     COVERS("full", "empty", "several at once"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_batches_of_two_and_two",
     END(put_two_at_once, put_two_at_once, take_two_at_once, take_two_at_once),
     COVERS("full", "empty", "several at once"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpsc_batches",
     END(put_two_at_once, put_two_at_once, take_four_at_once),
     COVERS("full", "empty", "several at once"),
     EASY,
     MANY,
     .variant = MPSC},
    {.name = "spmc_batches",
     END(put_three_at_once, take_one, take_two_at_once),
     COVERS("full", "empty", "several at once"),
     EASY,
     MANY,
     .variant = SPMC},
    {.name = "mpmc_batches_beyond_the_capacity",
     END(put_three_at_once, take_three_at_once),
     COVERS("full", "empty", "several at once"),
     EASY,
     .variant = MPMC},

    /* overwrite */
    {.name = "mpmc_overwrite_drops_the_oldest",
     END(overwrite_three, try_to_take_twice),
     COVERS("dropped", "empty"),
     EASY,
     .variant = MPMC_OVERWRITE},
    {.name = "mpmc_overwrite_by_two",
     FULL(overwrite_one, overwrite_one, try_to_take),
     COVERS("dropped"),
     EASY,
     MANY,
     .variant = MPMC_OVERWRITE},
    {.name = "mpsc_overwrite_by_two",
     FULL(overwrite_one, overwrite_one, try_to_take_twice),
     COVERS("dropped", "empty"),
     EASY,
     MANY,
     .variant = MPSC_OVERWRITE},
    {.name = "mpmc_overwrite_by_a_batch",
     HALF(overwrite_three_at_once, try_to_take_twice),
     COVERS("dropped"),
     EASY,
     .variant = MPMC_OVERWRITE},
    {.name = "mpmc_overwrite_and_close",
     FULL(overwrite_until_refused, take_to_the_end, close_ring),
     COVERS("dropped", "refused", "over"),
     EASY,
     MANY,
     .variant = MPMC_OVERWRITE},

    /* close */
    {.name = "mpmc_close_during_a_push",
     END(try_to_put, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_close_during_two_pushes",
     END(try_to_put, try_to_put, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_close_before_two_poppers",
     END(try_to_put, take_to_the_end, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_close_by_a_producer",
     END(put_close_put, take_to_the_end),
     COVERS("refused", "over"),
     EASY,
     .variant = MPMC},
    {.name = "mpmc_close_by_a_consumer",
     END(put_three, take_close_take),
     COVERS("refused", "over"),
     EASY,
     .variant = MPMC},
    {.name = "mpmc_close_by_two",
     END(put_two, take_close_take, close_ring),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_close_of_batches",
     END(try_to_put_two_at_once, take_many_to_the_end, close_ring),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpmc_close_that_is_known_is_answered",
     FULL(put_when_told_of_the_close, take_when_told_of_the_close, close_and_tell),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "mpsc_close_during_two_pushes",
     END(try_to_put, try_to_put, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPSC},
    {.name = "spmc_close_during_a_push",
     END(try_to_put, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     BOTH,
     .executions = 300000,
     .variant = SPMC},
    {.name = "spmc_close_during_pushes",
     END(put_three, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_close_before_two_poppers",
     END(put_two, take_to_the_end, take_to_the_end, close_ring),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_end_is_final",
     END(close_then_try_to_put_twice, take_to_the_end_and_on),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_end_is_final_for_who_was_told",
     END(close_then_try_to_put_twice, take_to_the_end_and_tell, take_when_told_of_the_end),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "mpmc_end_is_final",
     END(close_then_try_to_put_twice, take_to_the_end_and_on, take_to_the_end_and_on),
     COVERS("refused", "over"),
     EASY,
     MANY,
     .variant = MPMC},
    {.name = "spmc_close_by_the_producer",
     END(put_close_put, take_to_the_end),
     COVERS("refused", "over"),
     BOTH,
     .variant = SPMC},
    {.name = "spmc_close_by_a_consumer",
     END(put_three, take_close_take),
     COVERS("refused", "over"),
     BOTH,
     .variant = SPMC},
    {.name = "spmc_close_of_batches",
     END(try_to_put_two_at_once, take_many_to_the_end, close_ring),
     COVERS("refused", "over"),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_close_that_is_known_is_answered",
     FULL(put_when_told_of_the_close, take_when_told_of_the_close, close_and_tell),
     BOTH,
     MANY,
     .variant = SPMC},
    {.name = "spmc_close_whose_barrier_is_refused",
     END(put_two, take_to_the_end, close_ring),
     COVERS("refused", "over", "barrier refused"),
     EASY,
     MANY,
     .variant = SPMC,
     .barrier_may_refuse = true,
     .spurious = 3 /* each refusal is a wait */},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
