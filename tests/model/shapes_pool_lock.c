/* SPDX-License-Identifier: MIT */
/* The pool's lock, src/pool/lock.{h,c}, as a unit: taken by one compare-and-swap, given back by a store.
 *
 * What is done inside reads and writes plain data: two threads at once, or one that does not see what the one
 * before it wrote, is a race. A sleeper that nobody wakes is a deadlock.
 *
 *      script "lt"     l acquire and release   t try, and release if it was free
 */
#include "explore.h"

#include <evbus/base.h>
#include <string.h>
#include "base/park.h"

static int32_t case_park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns);

#define evb__park case_park
#include "pool/lock.c"
#undef evb__park

enum { CASE_THREADS = 4 };

struct lock_case {
    const char *name, *script[CASE_THREADS];
    bool may_refuse;
    int preemptions, spurious;
    enum explore_barrier barrier; /* 0: both */
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct lock_case cases[];

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    struct evb__lock lock;
    uint64_t data;
    uint32_t inside, works;
} st;

static const struct lock_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* A sleep without limit that ends by a wake-up, and one with a limit. */
static int32_t case_park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    int32_t rc = evb__park(word, expected, timeout_ns);

    if (rc == EVB_OK) explore_cover("slept");
    if (rc == EVB_ETIMEDOUT) explore_cover("woke up by itself");
    return rc;
}

static void work(void)
{
    uint64_t seen;

    explore_check(++st.inside == 1, "two inside");
    seen = EVB__PLAIN_READ(st.data);
    explore_point();
    explore_check(seen == st.works, "not what the one before wrote");
    EVB__PLAIN_WRITE(st.data, seen + 1);
    st.works++;
    st.inside--;
}

static void thread(void)
{
    for (const char *script = this_case()->script[explore_thread()]; *script != '\0'; script++) {
        if (*script == 'l') {
            evb__lock_acquire(&st.lock);
        } else if (!evb__lock_try(&st.lock)) {
            explore_cover("was taken");
            continue;
        }
        work();
        evb__lock_release(&st.lock);
    }
}

static void setup(void)
{
    evb__lock_init(&st.lock);
    explore_name(&st.lock.held, 4, "held");
    explore_name(&st.lock.waiters, 4, "waiters");
    explore_name(&st.lock.epoch, 4, "epoch");
}

static void finish(void)
{
    uint32_t least = 0;

    for (uint32_t t = 0; t < CASE_THREADS && this_case()->script[t] != NULL; t++)
        for (const char *s = this_case()->script[t]; *s != '\0'; s++)
            least += *s == 'l';
    explore_check(st.works >= least, "somebody was never inside");
    explore_check(evb__lock_try(&st.lock), "not free at the end");
}

const struct lock_case cases[] = {
    {.name = "two_threads", .script = {"l", "l"}, .preemptions = 4, .covers = {"slept"}},
    {.name = "two_threads_twice", .script = {"ll", "ll"}, .preemptions = 3, .covers = {"slept"}},
    {.name = "three_threads", .script = {"l", "l", "l"}, .executions = EXPLORE_ENOUGH, .covers = {"slept"}},
    {.name = "three_threads_of_which_one_again",
     .script = {"ll", "l", "l"},
     .executions = EXPLORE_ENOUGH,
     .covers = {"slept"}},
    {.name = "one_who_only_tries",
     .script = {"l", "tt", "l"},
     .executions = EXPLORE_ENOUGH,
     .covers = {"slept", "was taken"}},
    {.name = "the_barrier_is_refused",
     .script = {"l", "l", "l"},
     .may_refuse = true,
     .barrier = EXPLORE_MEMBARRIER,
     .executions = EXPLORE_ENOUGH,
     .covers = {"barrier refused", "woke up by itself"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct lock_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .spurious = c->spurious,
                                           .barrier = c->barrier,
                                           .barrier_may_refuse = c->may_refuse,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
