/* SPDX-License-Identifier: MIT */
/* The blocking calls and the eventcount (src/ring/wait.c, eventcount.h) over every kind of ring: a sleeper
 * that nobody wakes is a deadlock, which the explorer reports.
 *
 * Whoever waits here waits for ever, but where a shape is about time. "popper waited" and "pusher waited":
 * its call has been woken, or found that it was about to be.
 */
#include "ring_shape.h"

enum { POINTERS, VALUES, SEQ_MPMC, SEQ_SPMC, SWAP_MPMC, SEQ_OVERWRITE };

static const struct ring_kind kinds[] = {
    [POINTERS] = {{.mode = EVB_RING_SPSC, .capacity = 2, .flags = EVB_RING_POINTERS}, 0},
    [VALUES] = {{.mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = 8}, 0},
    [SEQ_MPMC] = {{.mode = EVB_RING_MPMC, .capacity = 2, .elem_bytes = 8, .progress = EVB_RING_SEQUENCED}, 0},
    [SEQ_SPMC] = {{.mode = EVB_RING_SPMC, .capacity = 2, .elem_bytes = 8, .progress = EVB_RING_SEQUENCED}, 0},
    [SWAP_MPMC] = {{.mode = EVB_RING_MPMC, .capacity = 2, .elem_bytes = 8}, 0},
    [SEQ_OVERWRITE] = {{.mode = EVB_RING_MPMC,
                        .capacity = 2,
                        .elem_bytes = 8,
                        .progress = EVB_RING_SEQUENCED,
                        .flags = EVB_RING_OVERWRITE},
                       0},
};

/* Slots of the threads, claimed in setup so that claiming is no part of a shape. */
static struct evb__self selves[4];

static void setup(void)
{
    ring_make(&kinds[explore_variant()]);
    for (uint32_t i = 0; i < sizeof selves / sizeof selves[0]; i++)
        explore_check(evb__reader_ready(&selves[i], evb__process_generation()) == EVB_OK, "no slot");
    *evb__self() = selves[0]; /* setup and finish run alone */
    explore_name(&shape.ring->front.c.s.pop_waiters, 4, "pop_waiters");
    explore_name(&shape.ring->front.c.s.push_waiters, 4, "push_waiters");
    explore_name(&shape.ring->pop_epoch, 4, "pop_epoch");
    explore_name(&shape.ring->push_epoch, 4, "push_epoch");
}

static void setup_full(void)
{
    setup();
    ring_fill(2);
}

/* Each thread first. */
static void here(void)
{
    *evb__self() = selves[explore_thread()];
}

/* ---- calls that wait ---- */

static int32_t push_until(evb_ring *ring, const void *elem, int64_t timeout_ns)
{
    uint32_t epoch = ring->push_epoch; /* past the model: what is there now */
    int32_t rc = evb_ring_push(ring, elem, timeout_ns);

    explore_check(rc == EVB_OK || rc == EVB_ECLOSED || (rc == EVB_ETIMEDOUT && timeout_ns > 0),
                  "a waiting push's answer");
    if (ring->push_epoch != epoch) explore_cover("pusher waited");
    if (rc == EVB_ETIMEDOUT) explore_cover("timed out");
    return rc;
}

static int32_t pop_until(evb_ring *ring, void *ret_elem, int64_t timeout_ns)
{
    uint32_t epoch = ring->pop_epoch;
    int32_t rc = evb_ring_pop(ring, ret_elem, timeout_ns);

    explore_check(rc == EVB_OK || rc == EVB_ECLOSED || (rc == EVB_ETIMEDOUT && timeout_ns > 0),
                  "a waiting pop's answer");
    if (ring->pop_epoch != epoch) explore_cover("popper waited");
    if (rc == EVB_ETIMEDOUT) explore_cover("timed out");
    return rc;
}

static int32_t push_waiting(evb_ring *ring, const void *elem, uint32_t n)
{
    (void)n;
    return push_until(ring, elem, EVB_FOREVER);
}

static int32_t pop_waiting(evb_ring *ring, void *ret_elem, uint32_t n)
{
    (void)n;
    return pop_until(ring, ret_elem, EVB_FOREVER);
}

/* The clock moves a microsecond at each look. */
static int32_t push_for_a_time(evb_ring *ring, const void *elem, uint32_t n)
{
    (void)n;
    return push_until(ring, elem, 1500);
}

static int32_t pop_for_a_time(evb_ring *ring, void *ret_elem, uint32_t n)
{
    (void)n;
    return pop_until(ring, ret_elem, 1500);
}

static void wait_to_put(uint32_t n)
{
    here();
    ring_put_all(push_waiting, n, 1);
}

static void wait_to_take(uint32_t n)
{
    here();
    ring_take_all(pop_waiting, n, 1);
}

static void wait_to_put_one(void)
{
    wait_to_put(1);
}

static void wait_to_put_two(void)
{
    wait_to_put(2);
}

static void wait_to_take_one(void)
{
    wait_to_take(1);
}

static void wait_to_take_two(void)
{
    wait_to_take(2);
}

static void wait_to_take_three(void)
{
    wait_to_take(3);
}

static void wait_to_take_to_the_end(void)
{
    wait_to_take(RING_NUMBERS);
}

static void put_for_a_time(void)
{
    here();
    (void)ring_push_by(push_for_a_time, 1);
}

static void take_for_a_time(void)
{
    here();
    (void)ring_pop_by(pop_for_a_time, 1);
}

/* ---- calls that do not wait, and wake ---- */

static void try_to_put(void)
{
    here();
    (void)put();
}

static void put_two(void)
{
    here();
    explore_check(put() == EVB_OK && put() == EVB_OK, "no room in a new ring");
}

static void try_to_take(void)
{
    here();
    (void)take();
}

static void take_two(void)
{
    here();
    explore_check(take() == EVB_OK && take() == EVB_OK, "nothing in a full ring");
}

static void put_two_at_once(void)
{
    here();
    explore_check(put_many(2) == 2, "no room in a new ring");
}

static void take_two_at_once(void)
{
    here();
    explore_check(take_many(2) == 2, "nothing in a full ring");
}

static void put_two_inline(void)
{
    here();
    for (uint32_t i = 0; i < 2; i++)
        explore_check(ring_push_by(push_inline, 1) == EVB_OK, "no room in a new ring");
}

static void take_two_inline(void)
{
    here();
    for (uint32_t i = 0; i < 2; i++)
        explore_check(ring_pop_by(pop_inline, 1) == EVB_OK, "nothing in a full ring");
}

static void try_to_put_inline(void)
{
    here();
    (void)ring_push_by(push_inline, 1);
}

static void put_two_in_place(void)
{
    here();
    for (uint32_t i = 0; i < 2; i++)
        explore_check(ring_push_by(push_in_place, 1) == 1, "no room in a new ring");
}

static void try_to_put_in_place(void)
{
    here();
    (void)ring_push_by(push_in_place, 1);
}

static void take_two_in_place(void)
{
    here();
    for (uint32_t i = 0; i < 2; i++)
        explore_check(ring_pop_by(pop_in_place, 1) == 1, "nothing in a full ring");
}

/* ---- close, notify ---- */

static void close_it(void)
{
    close_ring();
}

static void notify(void)
{
    evb_ring_notify(shape.ring);
}

/* ---- shapes ---- */

#define NEW(...)    .setup = setup, .finish = ring_finish, .threads = {__VA_ARGS__}
#define FULL(...)   .setup = setup_full, .finish = ring_finish, .threads = {__VA_ARGS__}
#define COVERS(...) .covers = {__VA_ARGS__}
#define BOTH        .barrier = EXPLORE_BOTH
#define MEMBARRIER  .barrier = EXPLORE_MEMBARRIER
#define INLINE      MEMBARRIER /* otherwise the inline calls are the calls */
/* Without random walks: PCT lets the same sleeper run out of time again and again, and never the closer. */
#define REFUSES                                                                                              \
    .barrier = EXPLORE_MEMBARRIER, .barrier_may_refuse = true, .spurious = 3, .executions = 100000,          \
    .random = UINT64_MAX
#define MANY    .executions = 100000, .random = 6000 /* where the search does not end */
#define KIND(k) .variant = k

/* One at each end. The closer comes first where sleeps are short: the first sleeper runs out of time first.
 */
#define PAIR(name_, kind)                                                                                    \
    {.name = name_ "_popper_is_woken",                                                                       \
     NEW(put_two, wait_to_take_two),                                                                         \
     COVERS("popper waited"),                                                                                \
     BOTH,                                                                                                   \
     MANY,                                                                                                   \
     KIND(kind)},                                                                                            \
        {.name = name_ "_pusher_is_woken",                                                                   \
         FULL(wait_to_put_two, take_two),                                                                    \
         COVERS("pusher waited"),                                                                            \
         BOTH,                                                                                               \
         MANY,                                                                                               \
         KIND(kind)},                                                                                        \
        {.name = name_ "_both_ends_wait",                                                                    \
         FULL(wait_to_put_one, wait_to_take_three),                                                          \
         COVERS("popper waited", "pusher waited"),                                                           \
         BOTH,                                                                                               \
         MANY,                                                                                               \
         KIND(kind)},                                                                                        \
        {.name = name_ "_close_during_a_push_wakes_the_popper",                                              \
         NEW(try_to_put, wait_to_take_to_the_end, close_it),                                                 \
         COVERS("popper waited", "refused", "over"),                                                         \
         BOTH,                                                                                               \
         MANY,                                                                                               \
         KIND(kind)},                                                                                        \
        {.name = name_ "_close_wakes_both_ends",                                                             \
         FULL(wait_to_put_one, wait_to_take_to_the_end, close_it),                                           \
         COVERS("popper waited", "pusher waited", "refused", "over"),                                        \
         BOTH,                                                                                               \
         MANY,                                                                                               \
         KIND(kind)},                                                                                        \
    {                                                                                                        \
        .name = name_ "_barrier_is_refused", NEW(close_it, wait_to_put_two, wait_to_take_to_the_end),        \
        COVERS("popper waited", "barrier refused"), REFUSES, KIND(kind)                                      \
    }

/* Two poppers. */
#define POPPERS(name_, kind, back_end)                                                                       \
    {.name = name_ "_two_poppers_are_woken",                                                                 \
     NEW(put_two, wait_to_take_one, wait_to_take_one),                                                       \
     COVERS("popper waited"),                                                                                \
     back_end,                                                                                               \
     MANY,                                                                                                   \
     KIND(kind)},                                                                                            \
    {                                                                                                        \
        .name = name_ "_close_wakes_two_poppers",                                                            \
        NEW(try_to_put, wait_to_take_to_the_end, wait_to_take_to_the_end, close_it),                         \
        COVERS("popper waited", "over"), back_end, MANY, KIND(kind)                                          \
    }

/* Two pushers. */
#define PUSHERS(name_, kind, back_end)                                                                       \
    {.name = name_ "_two_pushers_are_woken",                                                                 \
     FULL(wait_to_put_one, wait_to_put_one, take_two),                                                       \
     COVERS("pusher waited"),                                                                                \
     back_end,                                                                                               \
     MANY,                                                                                                   \
     KIND(kind)},                                                                                            \
    {                                                                                                        \
        .name = name_ "_close_wakes_two_pushers", FULL(wait_to_put_one, wait_to_put_one, close_it),          \
        COVERS("pusher waited", "refused"), back_end, MANY, KIND(kind)                                       \
    }

static const struct explore_shape shapes[] = {
    PAIR("pointers", POINTERS),
    PAIR("values", VALUES),
    PAIR("seq_mpmc", SEQ_MPMC),
    PAIR("seq_spmc", SEQ_SPMC),
    PAIR("swap_mpmc", SWAP_MPMC),
    POPPERS("seq_mpmc", SEQ_MPMC, BOTH),
    POPPERS("seq_spmc", SEQ_SPMC, MEMBARRIER),
    POPPERS("swap_mpmc", SWAP_MPMC, MEMBARRIER),
    PUSHERS("seq_mpmc", SEQ_MPMC, BOTH),
    PUSHERS("swap_mpmc", SWAP_MPMC, MEMBARRIER),
    {.name = "seq_mpmc_two_pushers_wake_a_popper",
     NEW(try_to_put, try_to_put, wait_to_take_two),
     COVERS("popper waited"),
     MEMBARRIER,
     MANY,
     KIND(SEQ_MPMC)},
    {.name = "seq_mpmc_two_poppers_are_woken_by_a_batch",
     NEW(put_two_at_once, wait_to_take_one, wait_to_take_one),
     COVERS("popper waited"),
     MEMBARRIER,
     MANY,
     KIND(SEQ_MPMC)},
    {.name = "seq_mpmc_two_pushers_are_woken_by_a_batch",
     FULL(wait_to_put_one, wait_to_put_one, take_two_at_once),
     COVERS("pusher waited"),
     MEMBARRIER,
     MANY,
     KIND(SEQ_MPMC)},
    {.name = "seq_mpmc_two_and_two_wait",
     NEW(wait_to_put_two, wait_to_put_two, wait_to_take_two, wait_to_take_two),
     COVERS("popper waited", "pusher waited"),
     MEMBARRIER,
     MANY,
     KIND(SEQ_MPMC)},
    {.name = "seq_spmc_barrier_is_refused_to_two_poppers",
     NEW(close_it, try_to_put, wait_to_take_to_the_end, wait_to_take_to_the_end),
     COVERS("over", "barrier refused"),
     REFUSES,
     KIND(SEQ_SPMC)},

    /* The other calls wake too. */
    {.name = "pointers_inline_push_wakes",
     NEW(put_two_inline, wait_to_take_two),
     COVERS("popper waited"),
     INLINE,
     MANY,
     KIND(POINTERS)},
    {.name = "pointers_inline_pop_wakes",
     FULL(wait_to_put_two, take_two_inline),
     COVERS("pusher waited"),
     INLINE,
     MANY,
     KIND(POINTERS)},
    {.name = "pointers_inline_push_that_is_refused_wakes",
     NEW(try_to_put_inline, wait_to_take_to_the_end, close_it),
     COVERS("popper waited", "refused", "over"),
     INLINE,
     MANY,
     KIND(POINTERS)},
    {.name = "values_inline_push_wakes",
     NEW(put_two_inline, wait_to_take_two),
     COVERS("popper waited"),
     INLINE,
     MANY,
     KIND(VALUES)},
    {.name = "values_inline_pop_wakes",
     FULL(wait_to_put_two, take_two_inline),
     COVERS("pusher waited"),
     INLINE,
     MANY,
     KIND(VALUES)},
    {.name = "values_inline_push_that_is_refused_wakes",
     NEW(try_to_put_inline, wait_to_take_to_the_end, close_it),
     COVERS("popper waited", "refused", "over"),
     INLINE,
     MANY,
     KIND(VALUES)},
    {.name = "values_commit_wakes",
     NEW(put_two_in_place, wait_to_take_two),
     COVERS("popper waited"),
     BOTH,
     MANY,
     KIND(VALUES)},
    {.name = "values_consume_wakes",
     FULL(wait_to_put_two, take_two_in_place),
     COVERS("pusher waited"),
     BOTH,
     MANY,
     KIND(VALUES)},
    {.name = "values_commit_that_is_refused_wakes",
     NEW(try_to_put_in_place, wait_to_take_to_the_end, close_it),
     COVERS("popper waited", "refused", "over"),
     BOTH,
     MANY,
     KIND(VALUES)},

    /* Time. */
    {.name = "pointers_pop_times_out", NEW(take_for_a_time), COVERS("timed out"), BOTH, KIND(POINTERS)},
    {.name = "pointers_push_times_out", FULL(put_for_a_time), COVERS("timed out"), BOTH, KIND(POINTERS)},
    {.name = "pointers_pop_in_time_or_not",
     NEW(try_to_put, take_for_a_time),
     COVERS("timed out", "popper waited"),
     BOTH,
     MANY,
     KIND(POINTERS)},
    {.name = "seq_mpmc_pop_in_time_or_not",
     NEW(try_to_put, take_for_a_time, wait_to_take_one, try_to_put),
     COVERS("timed out", "popper waited"),
     BOTH,
     MANY,
     KIND(SEQ_MPMC)},
    {.name = "swap_mpmc_push_in_time_or_not",
     FULL(put_for_a_time, try_to_take),
     COVERS("timed out", "pusher waited"),
     BOTH,
     MANY,
     KIND(SWAP_MPMC)},

    /* Woken for nothing. */
    {.name = "notified_popper_goes_on_waiting",
     NEW(put_two, wait_to_take_two, notify),
     COVERS("popper waited"),
     MEMBARRIER,
     MANY,
     KIND(POINTERS)},
    {.name = "notified_pusher_goes_on_waiting",
     FULL(wait_to_put_two, take_two, notify),
     COVERS("pusher waited"),
     MEMBARRIER,
     MANY,
     KIND(VALUES)},

    /* A push that overwrites waits only while another thread stands in the middle of a call. */
    {.name = "overwriting_push_does_not_wait_for_poppers",
     FULL(wait_to_put_one, try_to_take, wait_to_put_one),
     MEMBARRIER,
     MANY,
     KIND(SEQ_OVERWRITE)},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
