/* SPDX-License-Identifier: MIT */
/* Strands: order, one at a time, capacity, the end of a strand, many of them. */
#include "evb_test.h"

#include <evbus.h>
#include <sched.h>

#include "base/atomic.h"
#include "base/platform.h"
#include "gate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SCALE(n)     (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define STRANDS      1000u

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran, discarded; /* relaxed: read when the pool is idle or has ended */

static void count(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&ran, 1);
}

static void count_discarded(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&discarded, 1);
}

static void open_pool(uint32_t threads, uint32_t capacity)
{
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&discarded, 0);
    OK(evb_pool_create(
        &(evb_pool_opts){.threads = threads, .queue_capacity = capacity, .on_discard = count_discarded},
        &pool));
}

static void idle(void)
{
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
}

/* A strand whose first task holds it. */
static evb_strand *held(struct gate *gate, uint32_t capacity)
{
    evb_strand *strand;

    gate_shut(gate);
    OK(evb_strand_create(pool, capacity, &strand));
    OK(evb_strand_submit(strand, gate_hold, gate, 0));
    gate_wait_held(gate, 1);
    return strand;
}

/* ---- arguments ---- */

TEST(every_call_refuses_null_and_impossible_arguments)
{
    evb_strand *untouched = (evb_strand *)(void *)&ran, *strand = untouched;

    open_pool(1, 0);
    FAILS(evb_strand_create(NULL, 0, &strand), EVB_EINVAL);
    FAILS(evb_strand_create(pool, (1u << 31) + 1, &strand), EVB_EINVAL);
    FAILS(evb_strand_create(pool, UINT32_MAX, &strand), EVB_EINVAL);
    FAILS(evb_strand_create(pool, 0, NULL), EVB_EINVAL);
    EQ_PTR(strand, untouched);
    OK(evb_strand_create(pool, 0, &strand));
    FAILS(evb_strand_submit(NULL, count, NULL, 0), EVB_EINVAL);
    FAILS(evb_strand_submit(strand, NULL, NULL, 0), EVB_EINVAL);
    FAILS(evb_strand_submit(strand, count, NULL, -2), EVB_EINVAL);
    FAILS(evb_strand_submit_many(NULL, count, (void *[1]){NULL}, 1), EVB_EINVAL);
    FAILS(evb_strand_submit_many(strand, NULL, (void *[1]){NULL}, 1), EVB_EINVAL);
    FAILS(evb_strand_submit_many(strand, count, NULL, 1), EVB_EINVAL);
    EQ(evb_strand_submit_many(strand, count, NULL, 0), 0);
    idle();
    EQ(evb__ld_rlx(&ran), 0);
    evb_strand_destroy(strand);
    evb_strand_destroy(NULL);
    evb_pool_destroy(pool);
}

/* ---- order ---- */

/* What the tasks of one strand share, not atomic: the strand alone keeps them apart. */
struct lane {
    evb_strand *strand;
    uint64_t next[4]; /* of each submitter */
    uint64_t total;
    EVB__ATOMIC(uint32_t) inside;
};

static struct lane lanes[8];

static void step(struct lane *lane, uint32_t submitter, uint64_t number)
{
    EQ(evb__add_rlx(&lane->inside, 1), 0); /* never two at once */
    EQ(lane->next[submitter], number);     /* in the order of the submits */
    lane->next[submitter] = number + 1;
    lane->total++;
    if (number % 64 == 0) sched_yield();
    EQ(evb__add_rlx(&lane->inside, (uint32_t)-1), 1);
}

/* An argument: lane, submitter and number. */
static void numbered(void *arg)
{
    uintptr_t a = (uintptr_t)arg;

    step(&lanes[a & 7], (a >> 3) & 3, a >> 5);
}

static void *argument(uint32_t lane, uint32_t submitter, uintptr_t number)
{
    return (void *)(number << 5 | submitter << 3 | lane);
}

static void submit_in_order(uint32_t index, void *arg)
{
    uint32_t each = *(const uint32_t *)arg;

    for (uint32_t n = 0; n < each; n++)
        for (uint32_t l = 0; l < COUNT(lanes); l++)
            OK(evb_strand_submit(lanes[l].strand, numbered, argument(l, index, n), EVB_FOREVER));
}

static void submit_in_batches(uint32_t index, void *arg)
{
    uint32_t each = *(const uint32_t *)arg, next[COUNT(lanes)] = {0}, left = COUNT(lanes);
    void *args[100];

    while (left != 0) {
        for (uint32_t l = 0; l < COUNT(lanes); l++) {
            uint32_t n = each - next[l] < 100 ? each - next[l] : 100;
            int32_t rc;

            for (uint32_t i = 0; i < n; i++)
                args[i] = argument(l, index, next[l] + i);
            if (n == 0) continue;
            rc = evb_strand_submit_many(lanes[l].strand, numbered, args, n);
            if (rc == EVB_EFULL) {
                sched_yield();
                continue;
            }
            CHECK(rc > 0 && (uint32_t)rc <= n);
            next[l] += (uint32_t)rc;
            if (next[l] == each) left--;
        }
    }
}

static void in_order(void (*submit)(uint32_t, void *), uint32_t threads, uint32_t capacity)
{
    uint32_t each = SCALE(4000);

    open_pool(threads, 2);
    for (uint32_t l = 0; l < COUNT(lanes); l++) {
        lanes[l] = (struct lane){.strand = NULL};
        OK(evb_strand_create(pool, capacity, &lanes[l].strand));
    }
    evb_test_run_threads(4, submit, &each);
    idle();
    for (uint32_t l = 0; l < COUNT(lanes); l++) {
        EQ(lanes[l].total, 4 * each);
        evb_strand_destroy(lanes[l].strand);
    }
    evb_pool_destroy(pool);
}

TEST(tasks_of_a_strand_run_in_order_and_never_two_at_once)
{
    for (uint32_t threads = 1; threads <= 4; threads++)
        in_order(submit_in_order, threads, threads == 3 ? 2 : 64);
}

TEST(batches_of_a_strand_run_in_order_and_never_two_at_once)
{
    for (uint32_t threads = 1; threads <= 4; threads++)
        in_order(submit_in_batches, threads, threads == 3 ? 2 : 64);
}

TEST(a_strand_that_is_held_holds_no_other_strand)
{
    struct gate gate = GATE_SHUT;
    evb_strand *first, *second;

    open_pool(2, 0);
    first = held(&gate, 0);
    OK(evb_strand_create(pool, 0, &second));
    OK(evb_strand_submit(first, count, NULL, 0));
    for (int i = 0; i < 500; i++) {
        struct gate through = GATE_SHUT;

        gate_open(&through);
        OK(evb_strand_submit(second, gate_hold, &through, 0));
        gate_wait_held(&through, 1);
        (void)pthread_mutex_lock(&through.lock); /* it is out of the gate */
        (void)pthread_mutex_unlock(&through.lock);
    }
    EQ(evb__ld_rlx(&ran), 0); /* the first is held still */
    gate_open(&gate);
    idle();
    EQ(evb__ld_rlx(&ran), 1);
    evb_strand_destroy(first);
    evb_strand_destroy(second);
    evb_pool_destroy(pool);
}

/* ---- capacity ---- */

TEST(a_strand_holds_its_capacity_rounded_up_to_a_power_of_two)
{
    static const uint32_t cases[][2] = {{2, 2},     {3, 4},    {4, 4},         {5, 8},
                                        {100, 128}, {0, 1024}, {70000, 131072}};
    struct gate gate = GATE_SHUT;

    for (size_t i = 0; i < COUNT(cases); i++) {
        evb_strand *strand;

        open_pool(1, 0);
        strand = held(&gate, cases[i][0]);
        for (uint32_t lap = 0; lap < 3; lap++) {
            for (uint32_t n = 0; n < cases[i][1]; n++)
                OK(evb_strand_submit(strand, count, NULL, 0));
            FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_EFULL);
            gate_open(&gate);
            idle();
            EQ(evb__ld_rlx(&ran), (lap + 1) * cases[i][1]);
            gate_shut(&gate);
            OK(evb_strand_submit(strand, gate_hold, &gate, 0));
            gate_wait_held(&gate, 1);
        }
        gate_open(&gate);
        evb_strand_destroy(strand);
        evb_pool_destroy(pool);
    }
}

TEST(tasks_that_have_not_begun_count_against_the_capacity)
{
    struct gate gate = GATE_SHUT, worker = GATE_SHUT;
    evb_strand *strand;
    uint32_t accepted = 0;

    open_pool(1, 0);
    OK(evb_strand_create(pool, 8, &strand));
    OK(evb_pool_submit(pool, gate_hold, &worker, 0));
    gate_wait_held(&worker, 1);
    OK(evb_strand_submit(strand, gate_hold, &gate, 0));
    for (int i = 0; i < 7; i++)
        OK(evb_strand_submit(strand, count, NULL, 0));
    FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_EFULL);
    gate_open(&worker);
    gate_wait_held(&gate, 1); /* one runs, seven wait: there is room for one */
    while (evb_strand_submit(strand, count, NULL, 0) == EVB_OK)
        accepted++;
    gate_open(&gate);
    idle();
    EQ(accepted, 1);
    EQ(evb__ld_rlx(&ran), 7 + accepted);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
}

TEST(submit_many_takes_as_many_as_there_is_room_for_from_the_front)
{
    struct gate gate = GATE_SHUT;
    void *args[20];

    lanes[0] = (struct lane){.strand = NULL};
    for (uint32_t i = 0; i < COUNT(args); i++)
        args[i] = argument(0, 0, i);
    open_pool(2, 0);
    lanes[0].strand = held(&gate, 8);
    EQ(evb_strand_submit_many(lanes[0].strand, numbered, args, 5), 5);
    EQ(evb_strand_submit_many(lanes[0].strand, numbered, args + 5, 15), 3);
    FAILS(evb_strand_submit_many(lanes[0].strand, numbered, args, 1), EVB_EFULL);
    EQ(evb_strand_submit_many(lanes[0].strand, numbered, args, 0), 0);
    gate_open(&gate);
    idle();
    EQ(lanes[0].total, 8); /* 0 to 7: step has looked */
    evb_strand_destroy(lanes[0].strand);
    evb_pool_destroy(pool);
}

TEST(a_submit_waits_for_room_as_long_as_it_is_told)
{
    struct gate gate = GATE_SHUT;
    evb_strand *strand;

    open_pool(1, 0);
    strand = held(&gate, 2);
    EQ(evb_strand_submit_many(strand, count, (void *[3]){NULL}, 3), 2);
    FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_EFULL);
    FAILS(evb_strand_submit(strand, count, NULL, 1), EVB_ETIMEDOUT);
    FAILS(evb_strand_submit(strand, count, NULL, 2000000), EVB_ETIMEDOUT);
    gate_open(&gate);
    OK(evb_strand_submit(strand, count, NULL, INT64_MAX));
    idle();
    EQ(evb__ld_rlx(&ran), 3);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
}

static void fill_own_strand(void *arg)
{
    evb_strand *strand = *(evb_strand **)arg;

    while (evb_strand_submit(strand, count, NULL, 0) == EVB_OK)
        (void)evb__add_rlx(&discarded, 1); /* counts what was accepted */
    FAILS(evb_strand_submit(strand, count, NULL, 1), EVB_EDEADLK);
    FAILS(evb_strand_submit(strand, count, NULL, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_strand_submit_many(strand, count, &arg, 1), EVB_EFULL);
}

TEST(a_task_that_would_wait_for_its_own_strand_is_told_so)
{
    evb_strand *strand;

    open_pool(1, 0);
    OK(evb_strand_create(pool, 4, &strand));
    OK(evb_strand_submit(strand, fill_own_strand, &strand, 0));
    idle();
    EQ(evb__ld_rlx(&discarded), 4);
    EQ(evb__ld_rlx(&ran), 4);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
}

static int32_t wait_in_a_listener(const evb_event *ev, void *strand)
{
    (void)ev;
    FAILS(evb_strand_submit(strand, count, NULL, 1), EVB_EDEADLK);
    FAILS(evb_strand_submit(strand, count, NULL, EVB_FOREVER), EVB_EDEADLK);
    FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_EFULL);
    return EVB_OK;
}

TEST(a_listener_that_would_wait_for_room_is_told_so)
{
    struct gate gate = GATE_SHUT;
    evb_strand *strand;
    evb_bus *bus;

    open_pool(1, 0);
    strand = held(&gate, 2);
    OK(evb_bus_create(NULL, &bus));
    (void)ID(evb_on(bus, "a", wait_in_a_listener, strand));
    EQ(evb_strand_submit_many(strand, count, (void *[2]){NULL}, 2), 2);
    EQ(evb_emit(bus, "a", NULL, 0), 1);
    gate_open(&gate);
    idle();
    EQ(evb__ld_rlx(&ran), 2);
    evb_bus_destroy(bus);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
}

/* ---- the end of a strand ---- */

TEST(what_is_queued_on_a_destroyed_strand_still_runs)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t threads = 1; threads <= 2; threads++) {
        evb_strand *strand;

        open_pool(threads, 0);
        strand = held(&gate, 256);
        for (int i = 0; i < 200; i++)
            OK(evb_strand_submit(strand, count, NULL, 0));
        evb_strand_destroy(strand);
        gate_open(&gate);
        idle();
        EQ(evb__ld_rlx(&ran), 200);
        evb_pool_destroy(pool);
    }
}

static void destroy_own_strand(void *strand)
{
    OK(evb_strand_submit(strand, count, NULL, 0));
    evb_strand_destroy(strand);
}

TEST(a_strand_may_be_destroyed_by_its_own_task)
{
    open_pool(2, 0);
    for (int i = 0; i < 100; i++) {
        evb_strand *strand;

        OK(evb_strand_create(pool, 8, &strand));
        OK(evb_strand_submit(strand, destroy_own_strand, strand, 0));
        idle();
    }
    EQ(evb__ld_rlx(&ran), 100);
    evb_pool_destroy(pool);
}

TEST(a_strand_outlives_the_shutdown_of_its_pool_and_the_pool)
{
    evb_strand *strand;

    for (uint32_t mode = EVB_DRAIN; mode <= EVB_DISCARD; mode++) {
        open_pool(1, 0);
        OK(evb_strand_create(pool, 4, &strand));
        OK(evb_strand_submit(strand, count, NULL, 0));
        OK(evb_pool_shutdown(pool, mode, EVB_FOREVER));
        EQ(evb__ld_rlx(&ran) + evb__ld_rlx(&discarded), 1);
        FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_ECLOSED);
        FAILS(evb_strand_submit(strand, count, NULL, EVB_FOREVER), EVB_ECLOSED);
        FAILS(evb_strand_submit_many(strand, count, (void *[1]){NULL}, 1), EVB_ECLOSED);
        evb_pool_destroy(pool);
        FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_ECLOSED);
        evb_strand_destroy(strand);
    }
}

TEST(shutdown_drains_strands_whether_destroyed_or_not)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t destroyed = 0; destroyed < 2; destroyed++) {
        evb_strand *strand;

        open_pool(2, 0);
        strand = held(&gate, 512);
        for (int i = 0; i < 300; i++)
            OK(evb_strand_submit(strand, count, NULL, 0));
        FAILS(evb_pool_shutdown(pool, EVB_DRAIN, 0), EVB_EAGAIN);
        FAILS(evb_strand_submit(strand, count, NULL, 0), EVB_ECLOSED);
        if (destroyed) evb_strand_destroy(strand);
        gate_open(&gate);
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&ran), 300);
        if (!destroyed) evb_strand_destroy(strand);
    }
}

TEST(discard_hands_back_what_is_queued_on_strands)
{
    struct gate gate = GATE_SHUT;

    for (uint32_t destroyed = 0; destroyed < 2; destroyed++) {
        evb_strand *strand;

        open_pool(2, 0);
        strand = held(&gate, 512);
        for (int i = 0; i < 300; i++)
            OK(evb_strand_submit(strand, count, NULL, 0));
        FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
        if (destroyed) evb_strand_destroy(strand);
        gate_open(&gate);
        evb_pool_destroy(pool);
        EQ(evb__ld_rlx(&ran), 0);
        EQ(evb__ld_rlx(&discarded), 300);
        if (!destroyed) evb_strand_destroy(strand);
    }
}

TEST(discard_hands_back_what_waits_behind_a_task_of_the_same_strand)
{
    struct gate gate = GATE_SHUT, worker = GATE_SHUT;
    evb_strand *strand;

    open_pool(1, 0);
    OK(evb_strand_create(pool, 0, &strand));
    OK(evb_pool_submit(pool, gate_hold, &worker, 0));
    gate_wait_held(&worker, 1);
    OK(evb_strand_submit(strand, gate_hold, &gate, 0));
    for (int i = 0; i < 20; i++)
        OK(evb_strand_submit(strand, count, NULL, 0));
    gate_open(&worker);
    gate_wait_held(&gate, 1); /* one has begun, twenty are queued */
    FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EAGAIN);
    gate_open(&gate);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&ran), 0);
    EQ(evb__ld_rlx(&discarded), 20);
    evb_strand_destroy(strand);
}

/* ---- fairness: one worker, and somebody who always has work ---- */

static struct {
    evb_strand *strand;
    EVB__ATOMIC(uint32_t) enough;
} busy;

static void again_on_the_strand(void *arg)
{
    (void)arg;
    if (evb__ld_rlx(&busy.enough) == 0) OK(evb_strand_submit(busy.strand, again_on_the_strand, NULL, 0));
}

static void again_in_the_pool(void *arg)
{
    (void)arg;
    if (evb__ld_rlx(&busy.enough) == 0) OK(evb_pool_submit(pool, again_in_the_pool, NULL, 0));
}

static void that_is_enough(void *arg)
{
    (void)arg;
    evb__st_rlx(&busy.enough, 1);
}

static void open_busy(uint32_t capacity)
{
    evb__st_rlx(&busy.enough, 0);
    open_pool(1, capacity);
    OK(evb_strand_create(pool, 8, &busy.strand));
}

static void close_busy(void)
{
    idle(); /* or the test's time limit */
    evb_strand_destroy(busy.strand);
    evb_pool_destroy(pool);
}

TEST(a_strand_that_always_has_work_lets_others_run)
{
    evb_strand *other;

    open_busy(0);
    OK(evb_strand_create(pool, 0, &other));
    OK(evb_strand_submit(busy.strand, again_on_the_strand, NULL, 0));
    OK(evb_strand_submit(other, that_is_enough, NULL, 0));
    close_busy();
    evb_strand_destroy(other);
}

TEST(a_strand_that_always_has_work_lets_plain_tasks_and_timers_run)
{
    open_busy(0);
    OK(evb_strand_submit(busy.strand, again_on_the_strand, NULL, 0));
    OK(evb_pool_submit(pool, that_is_enough, NULL, 0));
    close_busy();

    open_busy(0);
    OK(evb_strand_submit(busy.strand, again_on_the_strand, NULL, 0));
    (void)ID(evb_pool_submit_after(pool, 1000000, that_is_enough, NULL));
    close_busy();
}

TEST(tasks_that_always_bring_more_let_a_strand_run)
{
    open_busy(0);
    OK(evb_pool_submit(pool, again_in_the_pool, NULL, 0));
    OK(evb_strand_submit(busy.strand, that_is_enough, NULL, 0));
    close_busy();
}

TEST(tasks_that_always_bring_more_let_a_strand_run_that_became_ready_when_the_queue_was_full)
{
    struct gate gate = GATE_SHUT;

    open_busy(2);
    OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    gate_wait_held(&gate, 1);
    EQ(evb_pool_submit_many(pool, again_in_the_pool, (void *[2]){NULL}, 2), 2);
    FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_EFULL);
    OK(evb_strand_submit(busy.strand, that_is_enough, NULL, 0));
    gate_open(&gate);
    close_busy();
}

/* ---- many ---- */

static struct {
    evb_strand *strands[STRANDS];
    uint32_t visits[STRANDS]; /* not atomic: the strand's own */
    uint32_t total, end;      /* not atomic: who has the token */
} ring;

static void pass(void *arg)
{
    uint32_t at = (uint32_t)(uintptr_t)arg, next = (at + 1) % STRANDS;

    ring.visits[at]++;
    if (++ring.total == ring.end) return;
    OK(evb_strand_submit(ring.strands[next], pass, (void *)(uintptr_t)next, 0));
}

static void open_ring(uint32_t threads)
{
    open_pool(threads, 0);
    ring.total = 0;
    for (uint32_t i = 0; i < STRANDS; i++) {
        ring.visits[i] = 0;
        OK(evb_strand_create(pool, 2, &ring.strands[i]));
    }
}

static void close_ring(void)
{
    for (uint32_t i = 0; i < STRANDS; i++)
        evb_strand_destroy(ring.strands[i]);
    evb_pool_destroy(pool);
}

TEST(one_token_round_a_thousand_strands_visits_each_exactly_as_often)
{
    uint32_t laps = SCALE(100);

    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        open_ring(threads);
        ring.end = laps * STRANDS;
        OK(evb_strand_submit(ring.strands[0], pass, NULL, 0));
        idle();
        EQ(ring.total, ring.end);
        for (uint32_t i = 0; i < STRANDS; i++)
            EQ(ring.visits[i], laps);
        close_ring();
    }
}

static EVB__ATOMIC(uint32_t) hops;

/* A token with a life of its own; many at once, so that workers have something to steal. */
static void hop(void *arg)
{
    uintptr_t left = (uintptr_t)arg / STRANDS, at = (uintptr_t)arg % STRANDS, next = (at * 31 + 7) % STRANDS;

    ring.visits[at]++;
    (void)evb__add_rlx(&hops, 1);
    if (left == 0) return;
    /* Two thousand tokens never fill a strand of that size. */
    OK(evb_strand_submit(ring.strands[next], hop, (void *)((left - 1) * STRANDS + next), 0));
}

TEST(many_tokens_over_a_thousand_strands_are_neither_lost_nor_doubled)
{
    uint32_t life = SCALE(100), visits = 0;

    open_pool(4, 16);
    evb__st_rlx(&hops, 0);
    for (uint32_t i = 0; i < STRANDS; i++) {
        ring.visits[i] = 0;
        OK(evb_strand_create(pool, 2 * STRANDS, &ring.strands[i]));
    }
    for (uint32_t i = 0; i < 2 * STRANDS; i++)
        OK(evb_strand_submit(ring.strands[i % STRANDS], hop,
                             (void *)(uintptr_t)(life * STRANDS + i % STRANDS), 0));
    idle();
    for (uint32_t i = 0; i < STRANDS; i++)
        visits += ring.visits[i];
    EQ(evb__ld_rlx(&hops), 2 * STRANDS * (life + 1));
    EQ(visits, evb__ld_rlx(&hops));
    close_ring();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_refuses_null_and_impossible_arguments),
        cmocka_unit_test(tasks_of_a_strand_run_in_order_and_never_two_at_once),
        cmocka_unit_test(batches_of_a_strand_run_in_order_and_never_two_at_once),
        cmocka_unit_test(a_strand_that_is_held_holds_no_other_strand),
        cmocka_unit_test(a_strand_holds_its_capacity_rounded_up_to_a_power_of_two),
        cmocka_unit_test(tasks_that_have_not_begun_count_against_the_capacity),
        cmocka_unit_test(submit_many_takes_as_many_as_there_is_room_for_from_the_front),
        cmocka_unit_test(a_submit_waits_for_room_as_long_as_it_is_told),
        cmocka_unit_test(a_task_that_would_wait_for_its_own_strand_is_told_so),
        cmocka_unit_test(a_listener_that_would_wait_for_room_is_told_so),
        cmocka_unit_test(what_is_queued_on_a_destroyed_strand_still_runs),
        cmocka_unit_test(a_strand_may_be_destroyed_by_its_own_task),
        cmocka_unit_test(a_strand_outlives_the_shutdown_of_its_pool_and_the_pool),
        cmocka_unit_test(shutdown_drains_strands_whether_destroyed_or_not),
        cmocka_unit_test(discard_hands_back_what_is_queued_on_strands),
        cmocka_unit_test(discard_hands_back_what_waits_behind_a_task_of_the_same_strand),
        cmocka_unit_test(a_strand_that_always_has_work_lets_others_run),
        cmocka_unit_test(a_strand_that_always_has_work_lets_plain_tasks_and_timers_run),
        cmocka_unit_test(tasks_that_always_bring_more_let_a_strand_run),
        cmocka_unit_test(
            tasks_that_always_bring_more_let_a_strand_run_that_became_ready_when_the_queue_was_full),
        cmocka_unit_test(one_token_round_a_thousand_strands_visits_each_exactly_as_often),
        cmocka_unit_test(many_tokens_over_a_thousand_strands_are_neither_lost_nor_doubled),
    };
    return EVB_TEST_MAIN("pool_strands", tests, argc, argv);
}
