/* SPDX-License-Identifier: MIT */
/* Does the explorer find what is wrong with a ring? A Vyukov ring (the slot-sequence ring of evb_ring's
 * SEQUENCED mode in miniature), right and with one mistake at a time. */
#include "base/atomic.h"
#include "explore.h"

enum mistake {
    NONE,
    LOST_CAS,        /* claims by a plain store: two threads get one slot */
    LOST_FULL,       /* overwrites what was not popped */
    WRONG_RECYCLE,   /* frees the slot for the wrong lap */
    PUBLISH_RELAXED, /* the payload may be seen late */
    FREE_RELAXED,    /* the next push may overtake the read */
    LOAD_RELAXED,    /* sees the sequence without the payload */
};

enum { CAPACITY_MOST = 4 };

static struct {
    struct {
        EVB__ATOMIC(uint32_t) sequence;
        uint32_t value;
    } slot[CAPACITY_MOST];
    EVB__ATOMIC(uint32_t) head, tail;
    uint32_t capacity;
} ring;

static uint32_t pushed, popped_sum, popped; /* written where only one thread can be, or in finish */
static uint32_t sums[EXPLORE_THREADS], counts[EXPLORE_THREADS];

static enum mistake mistake(void)
{
    return (enum mistake)explore_variant();
}

static uint32_t load_sequence(uint32_t i)
{
    if (mistake() == LOAD_RELAXED) return evb__ld_rlx(&ring.slot[i].sequence);
    return evb__ld_acq(&ring.slot[i].sequence);
}

static bool claim(EVB__ATOMIC(uint32_t) * end, uint32_t *position)
{
    if (mistake() != LOST_CAS) return evb__cas_rlx(end, position, *position + 1);
    evb__st_rlx(end, *position + 1);
    return true;
}

static bool push(uint32_t value)
{
    uint32_t p = evb__ld_rlx(&ring.tail);

    for (;;) {
        uint32_t i = p % ring.capacity;
        int32_t d = (int32_t)(load_sequence(i) - p);

        if (d < 0 && mistake() != LOST_FULL) return false;
        if (d > 0) {
            p = evb__ld_rlx(&ring.tail);
        } else if (claim(&ring.tail, &p)) {
            EVB__PLAIN_WRITE(ring.slot[i].value, value);
            if (mistake() == PUBLISH_RELAXED)
                evb__st_rlx(&ring.slot[i].sequence, p + 1);
            else
                evb__st_rel(&ring.slot[i].sequence, p + 1);
            return true;
        }
    }
}

static bool pop(uint32_t *value)
{
    uint32_t p = evb__ld_rlx(&ring.head);

    for (;;) {
        uint32_t i = p % ring.capacity;
        int32_t d = (int32_t)(load_sequence(i) - (p + 1));

        if (d < 0) return false;
        if (d > 0) {
            p = evb__ld_rlx(&ring.head);
        } else if (claim(&ring.head, &p)) {
            uint32_t next = p + ring.capacity + (mistake() == WRONG_RECYCLE ? 1 : 0);

            *value = EVB__PLAIN_READ(ring.slot[i].value);
            if (mistake() == FREE_RELAXED)
                evb__st_rlx(&ring.slot[i].sequence, next);
            else
                evb__st_rel(&ring.slot[i].sequence, next);
            return true;
        }
    }
}

static void create(uint32_t capacity)
{
    ring.capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        evb__init(&ring.slot[i].sequence, i);
    explore_name(&ring.head, sizeof ring.head, "head");
    explore_name(&ring.tail, sizeof ring.tail, "tail");
    for (uint32_t i = 0; i < capacity; i++)
        explore_name(&ring.slot[i], sizeof ring.slot[i], "slot[%u]", i);
}

static void create_one(void)
{
    create(1);
}

static void create_two(void)
{
    create(2);
}

static void produce(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = 1u << (8 * explore_thread() + i);

        if (push(value)) sums[explore_thread()] += value;
    }
}

static void consume(uint32_t count)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!pop(&value)) continue;
        sums[explore_thread()] += value;
        counts[explore_thread()]++;
        explore_cover("popped beside the producers");
    }
}

static void produce_one(void)
{
    produce(1);
}

static void produce_three(void)
{
    produce(3);
}

static void consume_one(void)
{
    consume(1);
}

static void consume_three(void)
{
    consume(3);
}

/* Values are distinct powers of two: the sums are equal only if each came out exactly once. Then the ring
 * must hold its capacity, in order. */
static void conserve(unsigned producers, unsigned threads)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < threads; i++) {
        if (i < producers)
            pushed += sums[i];
        else
            popped_sum += sums[i];
        popped += counts[i];
    }
    for (unsigned i = 0; i < 2 * CAPACITY_MOST && pop(&value); i++)
        popped_sum += value;
    explore_check(pushed == popped_sum, "lost, duplicated or invented");
    for (uint32_t i = 0; i < ring.capacity; i++)
        explore_check(push(i), "full below its capacity");
    explore_check(!push(99), "more than its capacity");
    for (uint32_t i = 0; i < ring.capacity; i++)
        explore_check(pop(&value) && value == i, "out of order");
    explore_check(!pop(&value), "not empty at the end");
    if (popped != 0) explore_cover("some popped");
}

static void conserve_two_two(void)
{
    conserve(2, 4);
}

static void conserve_one_one(void)
{
    conserve(1, 2);
}

#define TWO_TWO                                                                                              \
    .setup = create_two, .threads = {produce_one, produce_one, consume_one, consume_one},                    \
    .finish = conserve_two_two
#define WRAPPING .setup = create_two, .threads = {produce_three, consume_three}, .finish = conserve_one_one

static const struct explore_shape shapes[] = {
    {.name = "ring_two_producers_two_consumers_is_right", TWO_TWO, .covers = {"popped beside the producers"}},
    {.name = "ring_that_wraps_is_right",
     WRAPPING,
     .preemptions = 3,
     .covers = {"popped beside the producers"}},
    {.name = "ring_with_lost_cas_is_found", TWO_TWO, .variant = LOST_CAS, .bug = ""},
    {.name = "ring_with_lost_full_check_is_found", WRAPPING, .variant = LOST_FULL, .bug = ""},
    {.name = "ring_with_wrong_recycle_stamp_is_found",
     TWO_TWO,
     .variant = WRONG_RECYCLE,
     .bug = "check failed"},
    {.name = "ring_with_relaxed_publish_is_found", TWO_TWO, .variant = PUBLISH_RELAXED, .bug = "data race"},
    {.name = "ring_with_relaxed_free_is_found", WRAPPING, .variant = FREE_RELAXED, .bug = "data race"},
    {.name = "ring_with_relaxed_load_is_found", TWO_TWO, .variant = LOAD_RELAXED, .bug = "data race"},
    {.name = "ring_of_capacity_one_is_found",
     .setup = create_one,
     .threads = {produce_one, produce_one, consume_one, consume_one},
     .finish = conserve_two_two,
     .bug = ""},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
