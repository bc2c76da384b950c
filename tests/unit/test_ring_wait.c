/* SPDX-License-Identifier: MIT */
/* Timeouts, what waits inside callbacks, and what a waiting call does while nothing happens. */
#include "ring_now.h"

#include <evbus.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/barrier.h"
#include "ring/ring.h"

/* ---- timeouts ---- */

static int64_t real_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void tries_once(void)
{
    FAILS(evb_ring_pop(now.ring, now.one.bytes, 0), EVB_EEMPTY);
    fill();
    write_element(now.one.bytes, now.in);
    FAILS(evb_ring_push(now.ring, now.one.bytes, 0), EVB_EFULL);
    count_is(now.room);
    drain();
}

TEST(a_timeout_of_zero_tries_once)
{
    in_each_kind(refuses_when_full, 2, tries_once);
}

static void waits_in_vain(void)
{
    static const int64_t timeouts[] = {1, 50000, 3000000};
    int64_t began;

    for (size_t i = 0; i < COUNT(timeouts); i++) {
        began = real_ns();
        FAILS(evb_ring_pop(now.ring, now.one.bytes, timeouts[i]), EVB_ETIMEDOUT);
        CHECK(real_ns() - began >= timeouts[i]);
        if (overwrites(now.kind)) continue;
        fill();
        write_element(now.one.bytes, now.in);
        began = real_ns();
        FAILS(evb_ring_push(now.ring, now.one.bytes, timeouts[i]), EVB_ETIMEDOUT);
        CHECK(real_ns() - began >= timeouts[i]);
        count_is(now.room);
        drain();
    }
}

TEST(a_positive_timeout_ends_with_etimedout_and_not_before)
{
    in_each_kind(any, 2, waits_in_vain);
}

static void need_not_wait(void)
{
    static const int64_t timeouts[] = {0, 1, INT64_MAX, EVB_FOREVER};

    for (size_t i = 0; i < COUNT(timeouts); i++) {
        write_element(now.one.bytes, now.in++);
        OK(evb_ring_push(now.ring, now.one.bytes, timeouts[i]));
    }
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        OK(evb_ring_pop(now.ring, now.one.bytes, timeouts[i]));
        is_element(now.one.bytes, now.out++);
    }
    count_is(0);
}

TEST(a_call_that_need_not_wait_succeeds_whatever_the_timeout)
{
    in_each_kind(any, 4, need_not_wait);
    in_shape(mpmc, 1, 4, need_not_wait);
    in_shape(mpmc_sequenced, 4096, 4, need_not_wait);
}

static void bad_timeouts(void)
{
    static const int64_t wrong[] = {-2, -1000000000, INT64_MIN};

    for (uint32_t round = 0; round < 2; round++) { /* whether they would have to wait or not */
        for (size_t i = 0; i < COUNT(wrong); i++) {
            write_element(now.one.bytes, now.in);
            FAILS(evb_ring_push(now.ring, now.one.bytes, wrong[i]), EVB_EINVAL);
            FAILS(evb_ring_pop(now.ring, now.one.bytes, wrong[i]), EVB_EINVAL);
        }
        EQ(evb_ring_dropped(now.ring), 0);
        count_is(round * now.room);
        if (round == 0) fill();
    }
    drain();
}

TEST(a_timeout_below_minus_one_is_refused)
{
    in_each_kind(any, 2, bad_timeouts);
}

/* ---- a sleeper of an idle ring ---- */

#define IDLE_NS INT64_C(60000000)

/* How often this thread has gone to sleep. */
static int64_t times_asleep(void)
{
    struct rusage usage;

    OK(getrusage(RUSAGE_THREAD, &usage));
    return usage.ru_nvcsw;
}

static bool somebody_waits_to_pop(void *arg)
{
    (void)arg;
    return EVB__RING_LD_RLX(&now.ring->front.c.s.pop_waiters) != 0; /* relaxed: it only has to be seen */
}

/* Thread 0 sleeps until thread 1 pushes; it counts how often it fell asleep meanwhile. */
static void idle_thread(uint32_t index, void *arg)
{
    struct timespec idle = {.tv_sec = 0, .tv_nsec = IDLE_NS};
    int64_t *ret_asleep = arg;
    uintptr_t elem = 7;

    if (index == 0) {
        *ret_asleep = -times_asleep();
        OK(evb_ring_pop(now.ring, &elem, EVB_FOREVER));
        *ret_asleep += times_asleep();
        EQ(elem, 7);
        return;
    }
    CHECK(evb_test_eventually(somebody_waits_to_pop, NULL));
    (void)nanosleep(&idle, NULL); /* the time in which needless wake-ups are counted; nothing hangs on it */
    OK(evb_ring_try_push(now.ring, &elem));
}

static void sleeps_until_the_push(void)
{
    int64_t asleep = 0;

    evb_test_run_threads(2, idle_thread, &asleep);
    CHECK(asleep <= 5);
}

TEST(a_pop_for_ever_on_an_idle_overwriting_ring_sleeps_until_the_push)
{
    for (int back_end = 0; back_end < 2; back_end++) {
        evb__barrier_force_seq_cst(back_end != 0);
        evb__barrier_init();
        in_each_kind(overwrites, 4, sleeps_until_the_push);
    }
    evb__barrier_force_seq_cst(false);
    evb__barrier_init();
}

/* ---- inside callbacks ---- */

/* A callback cannot end a test: it notes what it was answered. */
struct answers {
    int32_t pop_empty[3], push_room, push_many, push_full[4], pop, pop_many, pop_closed;
};

static int32_t ask_inside(const evb_event *ev, void *user)
{
    struct answers *a = user;
    void *elems[4], *elem = a;

    (void)ev;
    for (uint32_t i = 0; i < COUNT(elems); i++)
        elems[i] = a;
    a->pop_empty[0] = evb_ring_pop(now.ring, &elem, EVB_FOREVER);
    a->pop_empty[1] = evb_ring_pop(now.ring, &elem, 1000000);
    a->pop_empty[2] = evb_ring_pop(now.ring, &elem, 0);
    a->push_room = evb_ring_push(now.ring, &elem, EVB_FOREVER);
    a->push_many = evb_ring_try_push_many(now.ring, elems, 1);
    a->push_full[0] = evb_ring_push(now.ring, &elem, EVB_FOREVER);
    a->push_full[1] = evb_ring_push(now.ring, &elem, 1000000);
    a->push_full[2] = evb_ring_push(now.ring, &elem, 0);
    a->push_full[3] = try_push(now.ring, &elem);
    a->pop = evb_ring_pop(now.ring, &elem, EVB_FOREVER);
    a->pop_many = evb_ring_try_pop_many(now.ring, elems, 4);
    evb_ring_close(now.ring);
    a->pop_closed = evb_ring_pop(now.ring, &elem, EVB_FOREVER);
    return EVB_OK;
}

static void inside_a_listener(void)
{
    struct answers a;
    evb_bus *bus;

    memset(&a, 0x55, sizeof a);
    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", ask_inside, &a));
    EQ(evb_emit(bus, "a", NULL, 0), 1);
    evb_bus_destroy(bus);
    FAILS(a.pop_empty[0], EVB_EDEADLK);
    FAILS(a.pop_empty[1], EVB_EDEADLK);
    FAILS(a.pop_empty[2], EVB_EEMPTY);
    OK(a.push_room);
    EQ(a.push_many, 1);
    for (uint32_t i = 0; i < 2; i++)
        FAILS(a.push_full[i], overwrites(now.kind) ? EVB_OK : EVB_EDEADLK);
    for (uint32_t i = 2; i < 4; i++)
        FAILS(a.push_full[i], overwrites(now.kind) ? EVB_OK : EVB_EFULL);
    OK(a.pop);
    EQ(a.pop_many, 1);
    FAILS(a.pop_closed, EVB_ECLOSED);
}

TEST(inside_a_listener_what_would_wait_answers_edeadlk_and_the_rest_works)
{
    in_each_kind(any, 2, inside_a_listener);
}

static int32_t pop_inside_a_walk(const char *pattern, uint32_t listeners, void *user)
{
    (void)pattern;
    (void)listeners;
    return evb_ring_pop(now.ring, user, EVB_FOREVER);
}

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static void inside_a_walk(void)
{
    void *elem;
    evb_bus *bus;

    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", ignore, NULL));
    FAILS(evb_patterns(bus, pop_inside_a_walk, &elem), EVB_EDEADLK);
    evb_bus_destroy(bus);
    FAILS(evb_ring_pop(now.ring, &elem, 1), EVB_ETIMEDOUT); /* outside again it waits */
}

TEST(inside_a_walk_over_patterns_a_pop_that_would_wait_answers_edeadlk)
{
    in_each_kind(any, 2, inside_a_walk);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST(a_timeout_of_zero_tries_once),
        RING_TEST(a_positive_timeout_ends_with_etimedout_and_not_before),
        RING_TEST(a_call_that_need_not_wait_succeeds_whatever_the_timeout),
        RING_TEST(a_timeout_below_minus_one_is_refused),
        RING_TEST(a_pop_for_ever_on_an_idle_overwriting_ring_sleeps_until_the_push),
        RING_TEST_IN_BOTH_FORMS(inside_a_listener_what_would_wait_answers_edeadlk_and_the_rest_works),
        RING_TEST(inside_a_walk_over_patterns_a_pop_that_would_wait_answers_edeadlk),
    };
    return EVB_TEST_MAIN("ring_wait", tests, argc, argv);
}
