/* SPDX-License-Identifier: MIT */
/* The timer wheel against a list that is searched from end to end. */
#include "evb_test.h"

#include "pool/wheel.h"

#define ENTRIES 400u
#define LIMIT                                                                                                \
    (UINT64_C(1) << 47) /* ticks of the wheel: more milliseconds than an int64_t of nanoseconds has */

static struct evb__wheel wheel;
static struct evb__wheel_entry entries[ENTRIES];
static bool inside[ENTRIES];
static uint64_t due[ENTRIES];

static uint64_t below(uint64_t bound)
{
    return evb__rng_below(evb_test_rng(), bound);
}

static void start(uint64_t now)
{
    evb__wheel_init(&wheel, now);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        entries[i] = (struct evb__wheel_entry){.next = NULL};
        inside[i] = false;
    }
}

static uint64_t earliest(void)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = 0; i < ENTRIES; i++)
        if (inside[i] && due[i] < least) least = due[i];
    return least;
}

static void next_is_not_late(void)
{
    uint64_t least = earliest(), next = evb__wheel_next(&wheel);

    if (least == UINT64_MAX) {
        EQ(next, UINT64_MAX);
        return;
    }
    CHECK(next <= least);
    CHECK(next >= wheel.now);
}

static void add(uint32_t i, uint64_t tick)
{
    entries[i].tick = tick;
    evb__wheel_add(&wheel, &entries[i]);
    due[i] = tick > wheel.now ? tick : wheel.now; /* one in the past is due at once */
    inside[i] = true;
    EQ(entries[i].tick, due[i]);
    CHECK(entries[i].prev != NULL);
}

static void take_out(uint32_t i)
{
    evb__wheel_remove(&wheel, &entries[i]);
    inside[i] = false;
    EQ_PTR(entries[i].prev, NULL);
}

/* Everything up to that tick, the earliest first. Answers how many. */
static uint32_t expire(uint64_t upto)
{
    uint64_t before = wheel.now;
    uint32_t n = 0;

    for (;; n++) {
        uint64_t least = earliest();
        const struct evb__wheel_entry *entry = evb__wheel_expire(&wheel, upto);
        size_t i = (size_t)(entry - entries);

        if (entry == NULL) {
            CHECK(least > upto);
            break;
        }
        CHECK(i < ENTRIES && inside[i]);
        EQ(due[i], least);
        CHECK(least <= upto);
        EQ_PTR(entry->prev, NULL);
        inside[i] = false;
    }
    EQ(wheel.now, upto > before ? upto : before);
    return n;
}

/* Near, at every distance alike, or just beside where a slot of some level begins. */
static uint64_t some_tick(void)
{
    uint64_t bits = below(46), distance = below(UINT64_C(1) << (bits + 1)), tick = wheel.now + distance;

    switch (below(8)) {
    case 0:
        return wheel.now - below(wheel.now < 100 ? wheel.now + 1 : 100);
    case 1:
        tick = (tick >> bits << bits) + below(3);
        break;
    case 2:
        tick = wheel.now + below(130);
        break;
    default:
        break;
    }
    if (tick < wheel.now) tick = wheel.now;
    return tick < LIMIT ? tick : LIMIT - 1;
}

static uint64_t some_advance(void)
{
    uint64_t least = earliest(), upto;

    switch (below(4)) {
    case 0:
        upto = wheel.now + below(70);
        break;
    case 1:
        upto = least == UINT64_MAX ? wheel.now : least - (least > 0 && below(2));
        break;
    case 2:
        upto = evb__wheel_next(&wheel); /* what the pool sleeps for */
        if (upto == UINT64_MAX) upto = wheel.now;
        break;
    default:
        upto = wheel.now + below(UINT64_C(1) << below(30));
        break;
    }
    return upto < LIMIT ? upto : LIMIT - 1;
}

static void random_life(uint64_t now, uint32_t steps)
{
    uint32_t expired = 0, removed = 0;

    start(now);
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t i = (uint32_t)below(ENTRIES);

        switch (below(8)) {
        case 0:
            expired += expire(some_advance());
            break;
        case 1:
            if (!inside[i]) break;
            take_out(i);
            removed++;
            break;
        default:
            if (!inside[i]) add(i, some_tick());
        }
        next_is_not_late();
    }
    CHECK(expired > 0 && removed > 0);
    (void)expire(UINT64_MAX - 1); /* as a pool's shutdown does: everything, in order */
    EQ(evb__wheel_next(&wheel), UINT64_MAX);
    for (uint32_t level = 0; level < EVB__WHEEL_LEVELS; level++)
        EQ(wheel.occupied[level], 0);
}

TEST(the_wheel_does_what_a_sorted_list_does)
{
    for (int round = 0; round < 20; round++)
        random_life(below(UINT64_C(1) << (1 + below(45))), 5000);
    random_life(0, 5000);
    random_life((UINT64_C(1) << 42) - 5, 5000); /* every group of bits is about to turn over */
    random_life(LIMIT / 2 - 1, 5000);
}

TEST(an_empty_wheel_has_nothing_and_moves_on)
{
    start(7);
    EQ(evb__wheel_next(&wheel), UINT64_MAX);
    EQ_PTR(evb__wheel_expire(&wheel, 1000000), NULL);
    EQ(wheel.now, 1000000);
    EQ_PTR(evb__wheel_expire(&wheel, 3), NULL);
    EQ(wheel.now, 1000000); /* never back */
}

TEST(every_distance_is_found_to_the_tick)
{
    for (uint32_t bits = 0; bits < 46; bits++) {
        for (int64_t beside = -1; beside <= 1; beside++) {
            uint64_t now = below(LIMIT / 4), tick = now + (UINT64_C(1) << bits);

            if (bits > 0) tick = (uint64_t)((int64_t)tick + beside);
            start(now);
            add(0, tick);
            EQ(expire(tick - 1), 0);
            EQ(expire(tick), 1);
        }
    }
}

TEST(entries_added_while_others_expire_keep_the_order)
{
    start(1000);
    for (uint32_t i = 0; i < ENTRIES / 2; i++)
        add(i, 1000 + below(10000));
    for (uint32_t i = ENTRIES / 2; i < ENTRIES; i++) {
        uint64_t least = earliest();
        const struct evb__wheel_entry *entry = evb__wheel_expire(&wheel, 20000);

        EQ(due[entry - entries], least);
        inside[entry - entries] = false;
        add(i, least + below(2000)); /* a periodic timer */
    }
    EQ(expire(20000), ENTRIES / 2);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_does_what_a_sorted_list_does),
        cmocka_unit_test(an_empty_wheel_has_nothing_and_moves_on),
        cmocka_unit_test(every_distance_is_found_to_the_tick),
        cmocka_unit_test(entries_added_while_others_expire_keep_the_order),
    };
    return EVB_TEST_MAIN("pool_wheel", tests, argc, argv);
}
