/* SPDX-License-Identifier: MIT */
/* Elements that flow through a ring from several threads to several: each comes out once, whole and in its
 * order, or is counted as dropped, while both ends wait and time out. */
#include "ring_crew.h"

#include <evbus/ring_inline.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/thread.h"

/* ---- a flow: some threads push, some pop, until the last pusher closes ---- */

/* What the elements point at. Plain memory: written before the push and read after the pop, so a missing
 * order is a race that ThreadSanitizer sees, and so is an element that comes out twice. */
struct node {
    uint32_t pusher, number, check, seen;
};

static struct {
    struct node *nodes[CREW_MAX];
    uint32_t each; /* pushed by each pusher, at most */
    uint32_t pushed[CREW_MAX];
    int64_t until;
    bool dawdles, forever;
    bool storm; /* one more thread wakes everybody all the time */
    EVB__ATOMIC(uint32_t) pushing;
} flow;

static int64_t flow_timeout(struct evb__rng *rng)
{
    return flow.forever ? EVB_FOREVER : some_timeout(rng);
}

static void flow_push(uint32_t me)
{
    struct evb__rng rng;

    rng_of(&rng, me);
    for (uint32_t i = 0; i < flow.each && in_time(i, flow.until); i++) {
        struct node *node = &flow.nodes[me][i];
        int64_t timeout;
        int32_t rc;

        node->pusher = me;
        node->number = i;
        node->check = ~i;
        if (flow.dawdles && i % 8 == 0) dawdle(&rng);
        for (;;) {
            timeout = flow_timeout(&rng);
            rc = evb_ring_push(crew.ring, &node, timeout);
            if (rc == EVB_OK) break;
            FAILS(rc, timeout == 0 ? EVB_EFULL : EVB_ETIMEDOUT);
            if (timeout == EVB_FOREVER) return;
            evb__thread_yield();
        }
        flow.pushed[me]++;
    }
    if (evb__sub_acqrel(&flow.pushing, 1) == 1)
        evb_ring_close(crew.ring); /* pairs with itself: the last one */
}

static void flow_pop(uint32_t index)
{
    int64_t last[CREW_MAX];
    struct evb__rng rng;

    rng_of(&rng, index);
    for (uint32_t i = 0; i < CREW_MAX; i++)
        last[i] = -1;
    for (uint32_t turn = 0;; turn++) {
        int64_t timeout = flow_timeout(&rng);
        struct node *node = NULL;
        int32_t rc = evb_ring_pop(crew.ring, &node, timeout);

        if (rc == EVB_ECLOSED) break;
        if (rc != EVB_OK) {
            FAILS(rc, timeout == 0 ? EVB_EEMPTY : EVB_ETIMEDOUT);
            if (timeout == EVB_FOREVER) return;
            evb__thread_yield();
            continue;
        }
        EQ(node->check, ~node->number);
        CHECK((int64_t)node->number > last[node->pusher]); /* the order of each pusher */
        last[node->pusher] = node->number;
        node->seen++;
        if (flow.dawdles && turn % 8 == 0) dawdle(&rng);
    }
    FAILS(evb_ring_try_pop(crew.ring, &(void *){NULL}), EVB_ECLOSED); /* final */
}

static void flow_thread(uint32_t index, void *arg)
{
    (void)arg;
    if (index < crew.kind->pushers) {
        flow_push(index);
    } else if (index < crew.kind->pushers + crew.kind->poppers) {
        flow_pop(index);
    } else {
        while (evb__ld_acq(&flow.pushing) != 0) { /* pairs with flow_push; any moment will do */
            evb_ring_notify(crew.ring);
            evb__thread_yield();
        }
    }
}

/* Answers how many came out; *ret_pushed: of how many. */
static uint64_t run_flow(uint32_t capacity, uint32_t each, uint64_t *ret_pushed)
{
    uint32_t pushers = crew.kind->pushers;
    uint64_t seen = 0;

    flow.each = each;
    flow.until = now_ns() + RUN_NS;
    *ret_pushed = 0;
    for (uint32_t i = 0; i < pushers; i++) {
        flow.pushed[i] = 0;
        flow.nodes[i] = calloc(each, sizeof *flow.nodes[i]);
        if (flow.nodes[i] == NULL) abort();
    }
    evb__init(&flow.pushing, pushers);
    open_ring(&crew.ring, sizeof(void *), capacity);
    evb_test_run_threads(pushers + crew.kind->poppers + (flow.storm ? 1 : 0), flow_thread, NULL);
    EQ(evb_ring_count(crew.ring), 0);
    for (uint32_t i = 0; i < pushers; i++) {
        for (uint32_t n = 0; n < each; n++) {
            CHECK(flow.nodes[i][n].seen <= 1);
            seen += flow.nodes[i][n].seen;
        }
        *ret_pushed += flow.pushed[i];
        free(flow.nodes[i]);
    }
    return seen;
}

static void flow_keeps_all(uint32_t capacity, uint32_t each)
{
    uint64_t pushed, seen = run_flow(capacity, each, &pushed);

    EQ(seen, pushed);
    EQ(evb_ring_dropped(crew.ring), 0);
    evb_ring_destroy(crew.ring);
}

static void flow_set(bool forever, bool dawdles, bool storm)
{
    flow.forever = forever;
    flow.dawdles = dawdles;
    flow.storm = storm;
}

static void waiting_for_ever(void)
{
    flow_set(true, false, false);
    flow_keeps_all(2, SCALE(6000));
    flow_keeps_all(64, SCALE(6000));
    flow_set(true, true, false);
    flow_keeps_all(2, SCALE(2500));
}

TEST(what_is_pushed_comes_out_once_and_in_order_when_both_ends_wait)
{
    in_each_crew(refuses_when_full, waiting_for_ever);
}

static void timeouts_of_all_lengths(void)
{
    flow_set(false, true, false);
    flow_keeps_all(2, SCALE(4000));
    flow_set(false, false, false);
    flow_keeps_all(8, SCALE(4000));
}

TEST(a_timeout_that_races_with_an_arrival_loses_nothing)
{
    in_each_crew(refuses_when_full, timeouts_of_all_lengths);
}

static void notified_all_the_time(void)
{
    flow_set(false, false, true);
    flow_keeps_all(2, SCALE(2000));
}

TEST(to_be_woken_for_nothing_loses_nothing)
{
    in_each_crew(refuses_when_full, notified_all_the_time);
}

/* Every push succeeds at once; what came out and what was dropped is what went in. */
static void overwriting_flow(uint32_t capacity, uint32_t each)
{
    uint64_t pushed, seen = run_flow(capacity, each, &pushed);

    EQ(seen + evb_ring_dropped(crew.ring), pushed);
    evb_ring_destroy(crew.ring);
}

static void four_overwrite(void)
{
    flow_set(true, false, false);
    overwriting_flow(2, SCALE(30000));
    overwriting_flow(64, SCALE(30000));
    flow_set(true, true, false);
    overwriting_flow(4, SCALE(3000));
}

TEST(four_that_overwrite_never_wait_and_what_is_lost_is_counted)
{
    in_each_crew(overwrites, four_overwrite);
}

/* ---- elements of several words ---- */

#define ELEM_MAX 100

static struct {
    uint32_t elem_bytes, each;
    int64_t until;
    EVB__ATOMIC(uint32_t) pushing;
    EVB__ATOMIC(uint64_t) sum, pushed, popped; /* sum: of those popped less those pushed */
} words;

static void write_words(unsigned char *elem, uint32_t number)
{
    memcpy(elem, &number, sizeof number);
    for (uint32_t i = sizeof number; i < words.elem_bytes; i++)
        elem[i] = (unsigned char)(number * 7 + i);
}

static void words_thread(uint32_t index, void *arg)
{
    unsigned char elem[ELEM_MAX], want[ELEM_MAX];
    uint64_t sum = 0, pushed = 0, popped = 0;
    uint32_t number;

    (void)arg;
    if (index < crew.kind->pushers) {
        for (uint32_t i = 0; i < words.each && in_time(i, words.until); i++) {
            number = index * words.each + i + 1;
            write_words(elem, number);
            OK(evb_ring_push(crew.ring, elem, EVB_FOREVER));
            sum += number;
            pushed++;
        }
        (void)evb__add_rlx(&words.sum, 0 - sum); /* modulo 2^64; relaxed, both: read after the join */
        (void)evb__add_rlx(&words.pushed, pushed);
        if (evb__sub_acqrel(&words.pushing, 1) == 1) evb_ring_close(crew.ring); /* as in flow_push */
        return;
    }
    while (evb_ring_pop(crew.ring, elem, EVB_FOREVER) == EVB_OK) {
        memcpy(&number, elem, sizeof number);
        write_words(want, number);
        EQ_MEM(elem, want, words.elem_bytes);
        sum += number;
        popped++;
    }
    (void)evb__add_rlx(&words.sum, sum); /* relaxed, both: read after the join */
    (void)evb__add_rlx(&words.popped, popped);
}

static void several_words(void)
{
    static const uint32_t sizes[] = {4, 12, 24, 32, 33, ELEM_MAX};

    for (size_t s = 0; s < COUNT(sizes); s++) {
        words.elem_bytes = sizes[s];
        words.each = SCALE(2000);
        words.until = now_ns() + RUN_NS;
        evb__init(&words.pushing, crew.kind->pushers);
        evb__init(&words.sum, 0);
        evb__init(&words.pushed, 0);
        evb__init(&words.popped, 0);
        open_ring(&crew.ring, sizes[s], s % 2 == 0 ? 2 : 16);
        evb_test_run_threads(crew.kind->pushers + crew.kind->poppers, words_thread, NULL);
        EQ(evb__ld_rlx(&words.popped), evb__ld_rlx(&words.pushed)); /* relaxed, all: joined */
        EQ(evb__ld_rlx(&words.sum), 0);
        evb_ring_destroy(crew.ring);
    }
}

static bool keeps_all_values(const struct kind *kind)
{
    return refuses_when_full(kind) && of_values(kind);
}

TEST(elements_of_any_size_are_never_torn)
{
    in_each_crew(keeps_all_values, several_words);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CREW_TEST(what_is_pushed_comes_out_once_and_in_order_when_both_ends_wait),
        CREW_TEST(a_timeout_that_races_with_an_arrival_loses_nothing),
        CREW_TEST(to_be_woken_for_nothing_loses_nothing),
        CREW_TEST(four_that_overwrite_never_wait_and_what_is_lost_is_counted),
        CREW_TEST(elements_of_any_size_are_never_torn),
    };
    return EVB_TEST_MAIN("ring_flow", tests, argc, argv);
}
