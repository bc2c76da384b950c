/* SPDX-License-Identifier: MIT */
/* Turns, src/store/turns.c: who has drawn a number under the store's lock does his part in the order of the
 * numbers.
 *
 * The part writes plain data: out of order, two at once, or not seeing what the one before it wrote, fails.
 * A turn that nobody passes on is a deadlock.
 *
 *      script "dd"     d draw, wait, work, pass
 */
#include "explore.h"

#include <evbus/base.h>
#include <string.h>
#include "base/park.h"

static int32_t case_park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    int32_t rc = evb__park(word, expected, timeout_ns);

    if (rc == EVB_OK) explore_cover("slept");
    return rc;
}

#define evb__park case_park
#include "store/turns.c"
#undef evb__park

enum { CASE_THREADS = 4 };

struct turns_case {
    const char *name, *script[CASE_THREADS];
    int preemptions, spurious;
    uint64_t executions;
};

extern const struct turns_case cases[];

static struct {
    struct evb__mutex store;
    struct evb__turns turns;
    uint64_t works; /* plain: turns done */
    uint32_t inside;
} st;

static const struct turns_case *this_case(void)
{
    return &cases[explore_variant()];
}

static void take_a_turn(void)
{
    uint64_t mine, seen;

    evb__mutex_lock(&st.store);
    mine = ++st.turns.drawn;
    evb__mutex_unlock(&st.store);
    evb__turns_wait(&st.turns, mine);
    explore_check(++st.inside == 1, "two at once");
    seen = EVB__PLAIN_READ(st.works);
    explore_point();
    explore_check(seen + 1 == mine, "not in the order of the numbers");
    EVB__PLAIN_WRITE(st.works, mine);
    st.inside--;
    evb__turns_pass(&st.turns);
}

static void thread(void)
{
    for (const char *script = this_case()->script[explore_thread()]; *script != '\0'; script++)
        take_a_turn();
}

static void setup(void)
{
    evb__mutex_init(&st.store);
    evb__turns_init(&st.turns);
    st.works = 0;
    st.inside = 0;
}

static void finish(void)
{
    explore_check(st.turns.passed == st.turns.drawn && st.works == st.turns.drawn, "a turn is missing");
    explore_check(st.turns.first == NULL, "somebody waits at the end");
    evb__turns_destroy(&st.turns);
    evb__mutex_destroy(&st.store);
}

const struct turns_case cases[] = {
    {.name = "two_threads", .script = {"d", "d"}, .preemptions = 4},
    {.name = "two_threads_twice", .script = {"dd", "dd"}, .preemptions = 3},
    {.name = "three_threads", .script = {"d", "d", "d"}, .preemptions = 3},
    {.name = "three_threads_that_wake_by_themselves",
     .script = {"d", "d", "d"},
     .preemptions = 2,
     .spurious = 1},
    {.name = "four_threads", .script = {"d", "d", "d", "d"}, .executions = EXPLORE_ENOUGH},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct turns_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .spurious = c->spurious,
                                           .executions = c->executions,
                                           .covers = {"slept"}};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
    }
    return explore_main(argc, argv, shapes, count);
}
