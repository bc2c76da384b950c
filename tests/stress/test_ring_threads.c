/* SPDX-License-Identifier: MIT */
/* Threads that come and go, more of them than a ring has spare cells for, and two where the ring is made for
 * one. */
#include "ring_crew.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"

/* ---- threads come and go ---- */

/* One at a time, so that it may be a single end, too: joining hands it over. */
static void short_life(uint32_t index, void *arg)
{
    uintptr_t elem, *next = arg;

    (void)index;
    for (uint32_t i = 0; i < 3; i++) {
        elem = ++*next;
        OK(evb_ring_push(crew.ring, &elem, EVB_FOREVER));
    }
    for (uint32_t i = 0; i < 3; i++) {
        OK(evb_ring_pop(crew.ring, &elem, EVB_FOREVER));
        EQ(elem, *next - 3 + i); /* one stays behind for the next thread */
    }
}

static void generations_of_threads(void)
{
    uintptr_t next = 0, elem = 0;

    open_ring(&crew.ring, sizeof(void *), 8);
    elem = ++next;
    OK(evb_ring_push(crew.ring, &elem, EVB_FOREVER));
    for (uint32_t i = 0; i < SCALE(300); i++)
        evb_test_run_threads(1, short_life, &next);
    EQ(evb_ring_count(crew.ring), 1);
    evb_ring_destroy(crew.ring);
}

TEST(an_end_may_pass_from_one_short_lived_thread_to_the_next)
{
    in_each_crew(any, generations_of_threads);
}

#define ELEM_MAX 100

/* More threads than a ring has spare cells for from the start, all alive until the last one is done. */
#define CROWD 150

static struct {
    uint32_t turns, elem_bytes;
    struct evb_test_line line;
    EVB__ATOMIC(uint64_t) pushed, popped;
} crowd;

static void write_number(unsigned char *elem, uint32_t number)
{
    memset(elem, (int)(number & 0xFF), crowd.elem_bytes);
    memcpy(elem, &number, sizeof number);
}

static void crowd_thread(uint32_t index, void *arg)
{
    unsigned char elem[ELEM_MAX] = {0};
    uint32_t number;

    (void)arg;
    for (uint32_t i = 0; i < crowd.turns; i++) {
        number = index * 1000 + i;
        write_number(elem, number);
        OK(evb_ring_push(crew.ring, elem, EVB_FOREVER));
        (void)evb__add_rlx(&crowd.pushed, number); /* relaxed: a sum, read after the join */
        if (crew.kind->poppers == 1) continue;
        OK(evb_ring_pop(crew.ring, elem, EVB_FOREVER));
        memcpy(&number, elem, sizeof number);
        (void)evb__add_rlx(&crowd.popped, number); /* as above */
    }
    evb_test_line_wait(&crowd.line);
}

static void crowd_popper(uint32_t index, void *arg)
{
    unsigned char elem[ELEM_MAX] = {0};
    uint32_t number, turns = CROWD * crowd.turns;

    if (index != CROWD) {
        crowd_thread(index, arg);
        return;
    }
    for (uint32_t i = 0; i < turns && crew.kind->poppers == 1; i++) {
        OK(evb_ring_pop(crew.ring, elem, EVB_FOREVER));
        memcpy(&number, elem, sizeof number);
        (void)evb__add_rlx(&crowd.popped, number); /* as above */
    }
    evb_test_line_wait(&crowd.line);
}

static void one_crowd(uint32_t elem_bytes)
{
    crowd.elem_bytes = elem_bytes;
    evb__init(&crowd.pushed, 0);
    evb__init(&crowd.popped, 0);
    evb_test_line_init(&crowd.line, CROWD + 1);
    open_ring(&crew.ring, elem_bytes, 16);
    evb_test_run_threads(CROWD + 1, crowd_popper, NULL);
    EQ(evb_ring_count(crew.ring), 0);
    EQ(evb__ld_rlx(&crowd.pushed), evb__ld_rlx(&crowd.popped)); /* relaxed, both: joined */
    evb_ring_destroy(crew.ring);
    evb_test_line_destroy(&crowd.line);
}

static bool many_push_and_all_stays(const struct kind *kind)
{
    return many_push(kind) && refuses_when_full(kind);
}

static void crowds(void)
{
    crowd.turns = EVB__TSAN ? 2 : 5;
    one_crowd(8);
    one_crowd(ELEM_MAX);
}

static void small_crowds(void)
{
    crowd.turns = 1;
    one_crowd(8);
    one_crowd(ELEM_MAX);
}

TEST(more_than_64_threads_may_push_at_once)
{
    int64_t blocks = evb_test_alloc_live(), kept;

    in_each_crew(many_push_and_all_stays, crowds);
    kept = evb_test_alloc_live() - blocks; /* slots for so many threads, for the life of the process */
    CHECK(kept >= 0 && kept <= 3);
    evb_test_alloc_expect_kept(kept);
    in_each_crew(many_push_and_all_stays, small_crowds);
    EQ(evb_test_alloc_live() - blocks, kept);
}

/* ---- a single-producer or single-consumer end in the hands of two threads: debug builds notice ---- */

struct misuse {
    const struct kind *kind;
    bool push;
    bool listen; /* to the log */
};

static int64_t misuse_until;

static void misuse_logged(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)line;
    (void)user;
    if (strcmp(name, "ring_misuse") == 0) _exit(42);
}

static void misuse_end(uint32_t index, void *arg)
{
    const struct misuse *m = arg;
    void *elem = arg;

    for (uint32_t i = 0; i % 64 != 0 || now_ns() < misuse_until; i++) {
        if (index < 2 ? m->push : !m->push) /* two at the end in question, one at the other */
            (void)evb_ring_try_push(crew.ring, &elem);
        else
            (void)evb_ring_try_pop(crew.ring, &elem);
        elem = arg;
    }
}

static int misuse_in_the_child(void *arg)
{
    struct misuse *m = arg;

    crew.kind = m->kind;
    open_ring(&crew.ring, sizeof(void *), 8);
    if (m->listen) evb_set_log(misuse_logged, NULL, EVB_LOG_DEBUG);
    misuse_until = now_ns() + INT64_C(10000000000);
    evb_test_run_threads(3, misuse_end, m);
    return 1; /* ten seconds, and nobody noticed */
}

static void misuse_is_caught(const struct kind *kind, bool push)
{
    struct misuse m = {.kind = kind, .push = push, .listen = true};

    EQ(evb_test_in_child(misuse_in_the_child, &m), 42);
    m.listen = false;
    EQ(evb_test_in_child(misuse_in_the_child, &m), 128 + SIGABRT);
}

TEST(two_threads_at_a_single_producer_end_are_caught)
{
    if (EVB__TSAN) SKIP("ThreadSanitizer ends the child first: the race is real");
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (kinds[k].pushers == 1) misuse_is_caught(&kinds[k], true);
    }
}

TEST(two_threads_at_a_single_consumer_end_are_caught)
{
    if (EVB__TSAN) SKIP("ThreadSanitizer ends the child first: the race is real");
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (kinds[k].poppers == 1) misuse_is_caught(&kinds[k], false);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CREW_TEST(an_end_may_pass_from_one_short_lived_thread_to_the_next),
        CREW_TEST(more_than_64_threads_may_push_at_once),
        CREW_TEST(two_threads_at_a_single_producer_end_are_caught),
        CREW_TEST(two_threads_at_a_single_consumer_end_are_caught),
    };
    return EVB_TEST_MAIN("ring_threads", tests, argc, argv);
}
