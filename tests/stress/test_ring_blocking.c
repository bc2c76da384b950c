/* SPDX-License-Identifier: MIT */
/* No wake-up is lost: threads that wait for one element or one place, which comes at any moment.
 *
 * A lost wake-up shows as a thread that sleeps for ever: the calls wait with EVB_FOREVER, and the runner's
 * time limit is the detector. */
#include "ring_crew.h"

#include "base/atomic.h"
#include "base/park.h"
#include "base/thread.h"

/* ---- one element at a time: each wake-up is the only one ---- */

static void ping_pong_thread(uint32_t index, void *arg)
{
    evb_ring *to = index == 0 ? crew.ring : crew.back, *from = index == 0 ? crew.back : crew.ring;
    const uint32_t *rounds = arg;
    uintptr_t ball;
    struct evb__rng rng;

    rng_of(&rng, index);
    for (uint32_t i = 1; i <= *rounds; i++) {
        ball = i;
        if (index == 0) OK(evb_ring_push(to, &ball, EVB_FOREVER));
        OK(evb_ring_pop(from, &ball, EVB_FOREVER));
        EQ(ball, i);
        dawdle(&rng);
        if (index == 1) OK(evb_ring_push(to, &ball, EVB_FOREVER));
    }
}

static void ping_pong(void)
{
    uint32_t rounds = SCALE(2000);

    open_ring(&crew.ring, sizeof(void *), 1);
    open_ring(&crew.back, sizeof(void *), 1);
    evb_test_run_threads(2, ping_pong_thread, &rounds);
    evb_ring_destroy(crew.ring);
    evb_ring_destroy(crew.back);
}

TEST(of_thousands_of_single_hand_overs_none_is_slept_through)
{
    in_each_crew(any, ping_pong);
}

static struct {
    uint32_t rounds;
    EVB__ATOMIC(uint32_t) done; /* calls of those who wait that have returned */
} singles;

static void wait_for_done(uint32_t n)
{
    while (evb__ld_acq(&singles.done) < n) /* pairs with the adds */
        evb__thread_yield();
}

/* Thread 0 pushes one element, and the next one when somebody has it. */
static void single_arrivals_thread(uint32_t index, void *arg)
{
    uintptr_t elem = 0;
    struct evb__rng rng;

    (void)arg;
    rng_of(&rng, index);
    if (index == 0) {
        for (uint32_t i = 1; i <= singles.rounds; i++) {
            elem = i;
            OK(evb_ring_push(crew.ring, &elem, EVB_FOREVER));
            wait_for_done(i);
            dawdle(&rng);
        }
        evb_ring_close(crew.ring);
        return;
    }
    while (evb_ring_pop(crew.ring, &elem, EVB_FOREVER) == EVB_OK) {
        (void)evb__add_rel(&singles.done, 1); /* pairs with wait_for_done */
        dawdle(&rng);
    }
}

static void single_arrivals(void)
{
    singles.rounds = SCALE(1200);
    evb__init(&singles.done, 0);
    open_ring(&crew.ring, sizeof(void *), 2);
    evb_test_run_threads(1 + crew.kind->poppers, single_arrivals_thread, NULL);
    EQ(evb__ld_rlx(&singles.done), singles.rounds); /* relaxed: joined */
    evb_ring_destroy(crew.ring);
}

TEST(every_single_arrival_wakes_one_of_those_who_wait_to_pop)
{
    in_each_crew(any, single_arrivals);
}

/* Thread 0 pops one element of a full ring, and the next one when somebody has used the room. */
static void single_departures_thread(uint32_t index, void *arg)
{
    uintptr_t elem = index + 1;
    struct evb__rng rng;

    (void)arg;
    rng_of(&rng, index);
    if (index == 0) {
        for (uint32_t i = 1; i <= singles.rounds; i++) {
            wait_for_done(evb_ring_capacity(crew.ring) + i - 1);
            EQ(evb_ring_count(crew.ring), evb_ring_capacity(crew.ring));
            dawdle(&rng);
            OK(evb_ring_pop(crew.ring, &elem, EVB_FOREVER));
        }
        wait_for_done(evb_ring_capacity(crew.ring) + singles.rounds);
        evb_ring_close(crew.ring);
        return;
    }
    while (evb_ring_push(crew.ring, &elem, EVB_FOREVER) == EVB_OK)
        (void)evb__add_rel(&singles.done, 1); /* pairs with wait_for_done */
}

static void single_departures(void)
{
    singles.rounds = SCALE(1200);
    evb__init(&singles.done, 0);
    open_ring(&crew.ring, sizeof(void *), 2);
    evb_test_run_threads(1 + crew.kind->pushers, single_departures_thread, NULL);
    EQ(evb__ld_rlx(&singles.done), singles.rounds + 2); /* relaxed: joined */
    evb_ring_destroy(crew.ring);
}

TEST(every_single_departure_wakes_one_of_those_who_wait_to_push)
{
    in_each_crew(refuses_when_full, single_departures);
}

/* ---- the moment of falling asleep ---- */

/* A waiting call looks around for some microseconds, registers, looks once more and sleeps. Without an order
 * between registration and last look, and between an operation and its look for sleepers, both can miss each
 * other; that takes them to meet within nanoseconds. So thread 0 lets pass about as long as the looking
 * around takes, in fine steps, from the moment that the other one calls. */
static struct {
    uint32_t rounds;
    bool push; /* thread 1 waits to push */
    EVB__ATOMIC(uint32_t) calling, done;
} moment;

static void wait_until(EVB__ATOMIC(uint32_t) *count, uint32_t n)
{
    for (uint32_t turn = 0; evb__ld_acq(count) < n; turn++) /* pairs with moment_thread */
        evb__spin_pause(turn);
}

static void moment_thread(uint32_t index, void *arg)
{
    uintptr_t elem = 1;
    struct evb__rng rng;

    (void)arg;
    rng_of(&rng, index);
    for (uint32_t i = 1; i <= moment.rounds; i++) {
        if (index == 0) {
            int64_t until;

            wait_until(&moment.calling, i);
            until = now_ns() + 2000 + (int64_t)evb__rng_below(&rng, 14000);
            while (now_ns() < until) {
            }
            if (moment.push)
                OK(evb_ring_try_pop(crew.ring, &elem));
            else
                OK(evb_ring_try_push(crew.ring, &elem));
            wait_until(&moment.done, i);
        } else {
            evb__st_rel(&moment.calling, i); /* pairs with wait_until */
            if (moment.push)
                OK(evb_ring_push(crew.ring, &elem, EVB_FOREVER));
            else
                OK(evb_ring_pop(crew.ring, &elem, EVB_FOREVER));
            evb__st_rel(&moment.done, i); /* pairs with wait_until */
        }
    }
}

static void moments(bool push)
{
    uintptr_t elem = 1;

    /* An operation of many threads is a locked one, which leaves little to be missed. */
    moment.rounds =
        crew.asymmetric && (crew.kind->pushers == 1 || crew.kind->poppers == 1) ? SCALE(5000) : SCALE(500);
    moment.push = push;
    evb__init(&moment.calling, 0);
    evb__init(&moment.done, 0);
    open_ring(&crew.ring, sizeof(void *), 2);
    while (push && evb_ring_count(crew.ring) < 2)
        OK(evb_ring_try_push(crew.ring, &elem));
    evb_test_run_threads(2, moment_thread, NULL);
    evb_ring_destroy(crew.ring);
}

static void moments_of_poppers(void)
{
    moments(false);
}

static void moments_of_pushers(void)
{
    moments(true);
}

TEST(a_push_at_the_moment_of_falling_asleep_is_seen)
{
    in_each_crew(refuses_when_full, moments_of_poppers);
}

TEST(a_pop_at_the_moment_of_falling_asleep_is_seen)
{
    in_each_crew(refuses_when_full, moments_of_pushers);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CREW_TEST(of_thousands_of_single_hand_overs_none_is_slept_through),
        CREW_TEST(every_single_arrival_wakes_one_of_those_who_wait_to_pop),
        CREW_TEST(every_single_departure_wakes_one_of_those_who_wait_to_push),
        CREW_TEST(a_push_at_the_moment_of_falling_asleep_is_seen),
        CREW_TEST(a_pop_at_the_moment_of_falling_asleep_is_seen),
    };
    return EVB_TEST_MAIN("ring_blocking", tests, argc, argv);
}
