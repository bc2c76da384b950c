/* SPDX-License-Identifier: MIT */
/* A ring that is closed while threads push, pop and sleep: everybody wakes, what was accepted comes out, and
 * EVB_ECLOSED is the last word. */
#include "ring_crew.h"

#include "base/atomic.h"

static struct {
    struct evb_test_line line;
    uint32_t rounds;
    bool full;
} closing;

static void begin_to_close(void)
{
    open_ring(&crew.ring, sizeof(void *), 2);
    for (uintptr_t i = 1; closing.full && i <= 2; i++)
        OK(evb_ring_try_push(crew.ring, &i));
}

/* What was inside is still there, and then nothing. */
static void end_of_closing(void)
{
    uintptr_t elem = 1;

    for (uintptr_t i = 1; closing.full && i <= 2; i++) {
        OK(evb_ring_pop(crew.ring, &elem, EVB_FOREVER));
        EQ(elem, i);
    }
    FAILS(evb_ring_pop(crew.ring, &elem, EVB_FOREVER), EVB_ECLOSED);
    FAILS(evb_ring_push(crew.ring, &elem, EVB_FOREVER), EVB_ECLOSED);
    evb_ring_destroy(crew.ring);
}

static void closing_thread(uint32_t index, void *arg)
{
    uintptr_t elem = 9;
    struct evb__rng rng;

    (void)arg;
    rng_of(&rng, index);
    for (uint32_t i = 0; i < closing.rounds; i++) {
        int64_t timeout = evb__rng_below(&rng, 2) == 0 ? EVB_FOREVER : INT64_C(3600000000000);

        if (index == 0) begin_to_close();
        evb_test_line_wait(&closing.line);
        if (index == 0) {
            dawdle(&rng);
            evb_ring_close(crew.ring);
        } else if (closing.full) {
            FAILS(evb_ring_push(crew.ring, &elem, timeout), EVB_ECLOSED);
        } else {
            FAILS(evb_ring_pop(crew.ring, &elem, timeout), EVB_ECLOSED);
        }
        evb_test_line_wait(&closing.line);
        if (index == 0) end_of_closing();
    }
}

static void close_wakes(bool full, uint32_t sleepers)
{
    closing.full = full;
    closing.rounds = SCALE(400);
    evb_test_line_init(&closing.line, 1 + sleepers);
    evb_test_run_threads(1 + sleepers, closing_thread, NULL);
    evb_test_line_destroy(&closing.line);
}

static void close_wakes_poppers(void)
{
    close_wakes(false, crew.kind->poppers);
}

static void close_wakes_pushers(void)
{
    close_wakes(true, crew.kind->pushers);
}

TEST(close_wakes_everybody_who_waits_to_pop)
{
    in_each_crew(any, close_wakes_poppers);
}

TEST(close_wakes_everybody_who_waits_to_push)
{
    in_each_crew(refuses_when_full, close_wakes_pushers);
}

/* Threads push and pop as fast as they can; somebody closes. */
static struct {
    struct evb_test_line line;
    uint32_t rounds;
    EVB__ATOMIC(uint64_t) pushed, popped, pushed_sum, popped_sum;
    EVB__ATOMIC(uint32_t) over; /* a pop has answered ECLOSED */
} traffic;

static void traffic_push(uint32_t index)
{
    uint64_t pushed = 0, sum = 0;
    uintptr_t elem;

    for (uint32_t i = 1;; i++) {
        uint32_t over = evb__ld_acq(&traffic.over); /* pairs with traffic_pop */
        int32_t rc;

        elem = (uintptr_t)index << 24 | i;
        rc = evb_ring_push(crew.ring, &elem, EVB_FOREVER);
        if (rc != EVB_OK) {
            FAILS(rc, EVB_ECLOSED);
            break;
        }
        EQ(over, 0); /* ECLOSED was the last word */
        pushed++;
        sum += elem;
    }
    (void)evb__add_rlx(&traffic.pushed, pushed); /* relaxed, both: read behind the line */
    (void)evb__add_rlx(&traffic.pushed_sum, sum);
}

static void traffic_pop(void)
{
    uint64_t popped = 0, sum = 0;
    uintptr_t elem = 0;
    int32_t rc;

    while ((rc = evb_ring_pop(crew.ring, &elem, EVB_FOREVER)) == EVB_OK) {
        popped++;
        sum += elem;
    }
    evb__st_rel(&traffic.over, 1); /* pairs with traffic_push */
    FAILS(rc, EVB_ECLOSED);
    FAILS(evb_ring_try_pop(crew.ring, &elem), EVB_ECLOSED);
    (void)evb__add_rlx(&traffic.popped, popped); /* as in traffic_push */
    (void)evb__add_rlx(&traffic.popped_sum, sum);
}

static void traffic_thread(uint32_t index, void *arg)
{
    struct evb__rng rng;

    (void)arg;
    rng_of(&rng, index);
    for (uint32_t i = 0; i < traffic.rounds; i++) {
        if (index == 0) {
            evb__init(&traffic.pushed, 0);
            evb__init(&traffic.popped, 0);
            evb__init(&traffic.pushed_sum, 0);
            evb__init(&traffic.popped_sum, 0);
            evb__init(&traffic.over, 0);
            open_ring(&crew.ring, sizeof(void *), i % 2 == 0 ? 2 : 16);
        }
        evb_test_line_wait(&traffic.line);
        if (index == 0) {
            dawdle(&rng);
            evb_ring_close(crew.ring);
        } else if (index <= crew.kind->pushers) {
            traffic_push(index);
        } else {
            traffic_pop();
        }
        evb_test_line_wait(&traffic.line);
        if (index != 0) continue;
        EQ(evb_ring_count(crew.ring), 0);
        /* relaxed, all: behind the line */
        EQ(evb__ld_rlx(&traffic.popped) + evb_ring_dropped(crew.ring), evb__ld_rlx(&traffic.pushed));
        if (!overwrites(crew.kind)) EQ(evb__ld_rlx(&traffic.popped_sum), evb__ld_rlx(&traffic.pushed_sum));
        evb_ring_destroy(crew.ring);
    }
}

static void close_in_traffic(void)
{
    uint32_t threads = 1 + crew.kind->pushers + crew.kind->poppers;

    /* Those who overwrite never sleep: the one who closes waits for a core. */
    traffic.rounds = overwrites(crew.kind) ? SCALE(30) : SCALE(300);
    evb_test_line_init(&traffic.line, threads);
    evb_test_run_threads(threads, traffic_thread, NULL);
    evb_test_line_destroy(&traffic.line);
}

TEST(what_was_accepted_before_close_comes_out_and_nothing_after_eclosed)
{
    in_each_crew(any, close_in_traffic);
}

/* Somebody who does not know yet goes on pushing; no pop may take it for a push under way. */
static void hammering_thread(uint32_t index, void *arg)
{
    const uint32_t *rounds = arg;
    uintptr_t elem = 1;

    for (uint32_t i = 0; i < *rounds; i++) {
        bool push = index < crew.kind->pushers;
        int32_t rc = push ? evb_ring_try_push(crew.ring, &elem) : evb_ring_try_pop(crew.ring, &elem);

        if (rc == EVB_ECLOSED) continue;
        FAILS(rc, EVB_ECLOSED);
        return;
    }
}

static void hammer_when_over(void)
{
    uint32_t rounds = SCALE(400000);
    uintptr_t elem = 1;

    open_ring(&crew.ring, sizeof(void *), 2);
    OK(evb_ring_try_push(crew.ring, &elem));
    evb_ring_close(crew.ring);
    OK(evb_ring_try_pop(crew.ring, &elem));
    FAILS(evb_ring_try_pop(crew.ring, &elem), EVB_ECLOSED);
    evb_test_run_threads(crew.kind->pushers + crew.kind->poppers, hammering_thread, &rounds);
    evb_ring_destroy(crew.ring);
}

TEST(after_eclosed_every_pop_answers_eclosed_whoever_still_tries_to_push)
{
    in_each_crew(any, hammer_when_over);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CREW_TEST(close_wakes_everybody_who_waits_to_pop),
        CREW_TEST(close_wakes_everybody_who_waits_to_push),
        CREW_TEST(what_was_accepted_before_close_comes_out_and_nothing_after_eclosed),
        CREW_TEST(after_eclosed_every_pop_answers_eclosed_whoever_still_tries_to_push),
    };
    return EVB_TEST_MAIN("ring_closing", tests, argc, argv);
}
