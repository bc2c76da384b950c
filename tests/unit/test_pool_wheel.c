/* SPDX-License-Identifier: MIT */
/* The timer wheel against a list that is searched from end to end. */
#include "evb_test.h"

#include "pool/wheel.h"

#define ENTRIES 400u
#define LIMIT                                                                                                \
    (UINT64_C(1) << 47) /* ticks of the wheel: more milliseconds than an int64_t of nanoseconds has */

static struct evb__wheel wheel;
static struct evb__wheel_entry lower[EVB__WHEEL_CHUNK], upper[EVB__WHEEL_CHUNK];
static struct evb__wheel_entry *const chunks[] = {lower, upper};
static bool inside[ENTRIES];
static uint64_t due[ENTRIES], turn[ENTRIES], turns; /* turn: those of one tick come in the order of adding */

static uint64_t below(uint64_t bound)
{
    return evb__rng_below(evb_test_rng(), bound);
}

static void start(uint64_t now)
{
    evb__wheel_init(&wheel, now, chunks);
    for (uint32_t i = 0; i < ENTRIES; i++)
        inside[i] = false;
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

static struct evb__wheel_entry *entry(uint32_t i)
{
    return &chunks[i / EVB__WHEEL_CHUNK][i % EVB__WHEEL_CHUNK];
}

/* What adding and taking out answer is how the next tick is known without asking. */
static void add(uint32_t i, uint64_t tick)
{
    uint64_t before = evb__wheel_next(&wheel), next;

    entry(i)->tick = tick;
    next = evb__wheel_add(&wheel, i);
    due[i] = tick > wheel.now ? tick : wheel.now; /* one in the past is due at once */
    turn[i] = ++turns;
    inside[i] = true;
    EQ(entry(i)->tick, due[i]);
    CHECK(next <= due[i]);
    EQ(evb__wheel_next(&wheel), next < before ? next : before);
}

static void take_out(uint32_t i)
{
    uint64_t before = evb__wheel_next(&wheel), was = evb__wheel_remove(&wheel, i);

    inside[i] = false;
    CHECK(was >= before);
    if (was != before) EQ(evb__wheel_next(&wheel), before);
}

/* The one to be expired next. */
static uint32_t first(void)
{
    uint32_t least = ENTRIES;

    for (uint32_t i = 0; i < ENTRIES; i++)
        if (inside[i] &&
            (least == ENTRIES || due[i] < due[least] || (due[i] == due[least] && turn[i] < turn[least])))
            least = i;
    return least;
}

/* Everything up to that tick, the earliest first. Answers how many. */
static uint32_t expire(uint64_t upto)
{
    uint64_t before = wheel.now;
    uint32_t n = 0;

    for (;; n++) {
        uint32_t least = first(), i = evb__wheel_expire(&wheel, upto);

        if (i == EVB__WHEEL_NONE) {
            CHECK(least == ENTRIES || due[least] > upto);
            break;
        }
        EQ(i, least);
        CHECK(due[i] <= upto);
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
    EQ(wheel.levels, 0);
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
    EQ(evb__wheel_expire(&wheel, 1000000), EVB__WHEEL_NONE);
    EQ(wheel.now, 1000000);
    EQ(evb__wheel_expire(&wheel, 3), EVB__WHEEL_NONE);
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
        uint32_t least = first();

        EQ(evb__wheel_expire(&wheel, 20000), least);
        inside[least] = false;
        add(i, due[least] + below(2000)); /* a periodic timer */
    }
    EQ(expire(20000), ENTRIES / 2);
}

TEST(entries_of_one_tick_expire_in_the_order_in_which_they_were_added)
{
    for (uint32_t bits = 0; bits < 46; bits++) {
        uint64_t tick = below(LIMIT / 4) + (UINT64_C(1) << bits);

        start(tick - (UINT64_C(1) << bits));
        for (uint32_t i = 0; i < ENTRIES; i++) {
            add(i, tick);
            if (i % 8 == 7) EQ(expire(wheel.now + (tick - wheel.now) / 2), 0); /* they move down */
        }
        EQ(expire(tick), ENTRIES);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_does_what_a_sorted_list_does),
        cmocka_unit_test(an_empty_wheel_has_nothing_and_moves_on),
        cmocka_unit_test(every_distance_is_found_to_the_tick),
        cmocka_unit_test(entries_of_one_tick_expire_in_the_order_in_which_they_were_added),
        cmocka_unit_test(entries_added_while_others_expire_keep_the_order),
    };
    return EVB_TEST_MAIN("pool_wheel", tests, argc, argv);
}
