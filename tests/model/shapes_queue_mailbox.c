/* SPDX-License-Identifier: MIT */
/* The mailbox, src/queue/mailbox.h, as a unit: who pushes and looks at tell against who empties it, sets tell
 * and looks again.
 *
 * Around it stands the least that a queue is: a lock, a list of what is ready, pullers that sleep on an
 * epoch, and an unlock that looks as that of queue/wake.c does. An event that nobody hears of leaves a puller
 * asleep for ever, which is a deadlock. The queue itself is in shapes_queue_wake.c.
 *
 * A thread's script:
 *      p  publishes
 *      n  waits for the next one; q too, or for the end; a for those of all publishers
 *      t  takes one if there is any
 *      l  locks and unlocks
 *      s  shuts: pullers go home, what comes from now on is swept up
 */
#include "explore.h"

#include <evbus/base.h>
#include <evbus/ring.h>
#include <string.h>
#include "base/park.h"
#include "base/reader.h"
#include "base/thread.h"
#include "queue/mailbox.h"

#define ENOUGH .executions = EXPLORE_ENOUGH

enum { CASE_THREADS = 4, EVENTS = 4, READY = 16 };

struct mailbox_case {
    const char *name, *script[CASE_THREADS];
    uint32_t inside; /* events in the box at the start: its capacity is 2 */

    int preemptions, stale_reads;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct mailbox_case cases[];

struct evb__delivery {
    uint32_t by, number, payload;
};

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    struct evb__mailbox box;
    struct evb__mutex lock;
    EVB__ATOMIC(uint32_t) epoch;
    struct evb__self selves[CASE_THREADS];
    struct evb__delivery event[CASE_THREADS + 1][EVENTS];

    /* under the lock */
    struct evb__delivery *ready[READY];
    uint32_t head, tail, pullers;
    bool shut;

    uint32_t published[CASE_THREADS + 1], taken[CASE_THREADS + 1], got, swept;
} st;

static const struct mailbox_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- the queue ---- */

static void append(struct evb__delivery *d)
{
    explore_check(st.tail < READY, "explorer: more than there can be");
    st.ready[st.tail++] = d;
}

static void empty_locked(void)
{
    struct evb__delivery *d;

    while ((d = evb__mailbox_pop(&st.box)) != NULL)
        append(d);
}

static void consume(struct evb__delivery *d)
{
    explore_check(EVB__PLAIN_READ(d->payload) == d->number + 100, "not what the publisher left");
    explore_check(d->number == st.taken[d->by], "lost, doubled or out of order");
    st.taken[d->by]++;
}

static struct evb__delivery *take_locked(void)
{
    empty_locked();
    return st.head != st.tail ? st.ready[st.head++] : NULL;
}

static void sweep_locked(void)
{
    do {
        struct evb__delivery *d;

        while ((d = take_locked()) != NULL) {
            consume(d);
            st.swept++;
            explore_cover("swept");
        }
    } while (!evb__mailbox_ask(&st.box));
}

/* true: pullers are to be woken. */
static bool look_locked(void)
{
    for (;;) {
        empty_locked();
        if (st.shut) {
            sweep_locked();
            return false;
        }
        if (st.head != st.tail || st.pullers == 0) {
            evb__mailbox_hush(&st.box);
            return st.pullers != 0;
        }
        if (evb__mailbox_ask(&st.box)) return false;
        explore_cover("something came meanwhile");
    }
}

static void unlock(void)
{
    bool wakes = look_locked();

    if (wakes) (void)evb__add_rel(&st.epoch, 1); /* pairs with the load in next */
    evb__mutex_unlock(&st.lock);
    if (wakes) evb__wake_all(&st.epoch);
}

/* ---- calls ---- */

static void publish(uint32_t by)
{
    uint32_t number = st.published[by]++;
    struct evb__delivery *d = &st.event[by][number];

    d->by = by;
    d->number = number;
    EVB__PLAIN_WRITE(d->payload, number + 100);
    if (evb__mailbox_push(&st.box, d)) {
        if (!evb__mailbox_told(&st.box)) {
            explore_cover("not told");
            return;
        }
        explore_cover("told");
        evb__mutex_lock(&st.lock);
    } else {
        explore_cover("the box is full");
        evb__mutex_lock(&st.lock);
        empty_locked(); /* this thread's earlier ones */
        append(d);
    }
    unlock();
}

static void take(void)
{
    struct evb__delivery *d;

    evb__mutex_lock(&st.lock);
    d = take_locked();
    unlock();
    if (d == NULL) return;
    consume(d);
    st.got++;
}

static void next(bool or_shut)
{
    for (;;) {
        struct evb__delivery *d;
        uint32_t key;

        evb__mutex_lock(&st.lock);
        d = take_locked();
        if (d != NULL || (or_shut && st.shut)) {
            if (d != NULL) consume(d);
            unlock();
            if (d != NULL) st.got++;
            return;
        }
        key = evb__ld_acq(&st.epoch); /* pairs with unlock */
        st.pullers++;
        unlock();
        explore_cover("a puller waits");
        (void)evb__park(&st.epoch, key, EVB_FOREVER);
        evb__mutex_lock(&st.lock);
        st.pullers--;
        unlock();
    }
}

static void shut(void)
{
    evb__mutex_lock(&st.lock);
    st.shut = true;
    (void)evb__add_rel(&st.epoch, 1);
    unlock();
    evb__wake_all(&st.epoch);
}

static uint32_t to_come(void)
{
    uint32_t count = this_case()->inside;

    for (uint32_t t = 0; t < CASE_THREADS && this_case()->script[t] != NULL; t++)
        for (const char *at = this_case()->script[t]; *at != '\0'; at++)
            count += *at == 'p';
    return count;
}

static void call(uint32_t me, char what)
{
    switch (what) {
    case 'p':
        publish(me);
        break;
    case 'n':
    case 'q':
        next(what == 'q');
        break;
    case 't':
        take();
        break;
    case 'l':
        evb__mutex_lock(&st.lock);
        unlock();
        break;
    case 'a':
        for (uint32_t left = to_come(); left != 0; left--)
            next(false);
        break;
    case 's':
        shut();
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void thread(void)
{
    uint32_t me = explore_thread();

    *evb__self() = st.selves[me];
    for (const char *script = this_case()->script[me]; *script != '\0'; script++)
        call(me, *script);
}

/* ---- before and after ---- */

static void setup(void)
{
    evb_ring_opts opts = {.mode = EVB_RING_MPSC, .capacity = 2};

    evb__mutex_init(&st.lock);
    explore_check(evb_ring_create(&opts, &st.box.ring) == EVB_OK, "no ring");
    for (uint32_t t = 0; t < CASE_THREADS; t++)
        explore_check(evb__reader_ready(&st.selves[t], evb__process_generation()) == EVB_OK, "no slot");
    *evb__self() = st.selves[0];
    explore_name(&st.box.tell, sizeof st.box.tell, "tell");
    explore_name(&st.epoch, sizeof st.epoch, "epoch");
    for (uint32_t i = 0; i < this_case()->inside; i++)
        publish(CASE_THREADS);
}

/* Nothing is left over: what lies in the box or is ready will be found by the next who comes. */
static void finish(void)
{
    struct evb__delivery *d;
    uint32_t in_box = 0;

    explore_check(!st.shut || !evb__swap_filled(st.box.ring), "shut, and nobody has swept");
    explore_check(st.pullers == 0, "a puller has left and is counted");
    while ((d = take_locked()) != NULL) {
        consume(d);
        in_box++;
    }
    for (uint32_t by = 0; by <= CASE_THREADS; by++)
        explore_check(st.taken[by] == st.published[by], "an event is lost");
    explore_check(st.got + st.swept + in_box == to_come(), "more or fewer than published");
    evb_ring_destroy(st.box.ring);
    evb__mutex_destroy(&st.lock);
}

const struct mailbox_case cases[] = {
    {.name = "a_puller_hears_of_an_event",
     .script = {"p", "n"},
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "a_puller_hears_of_two_events",
     .script = {"pp", "nn"},
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "a_puller_hears_of_two_publishers",
     .script = {"p", "p", "nn"},
     ENOUGH,
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "two_pullers_hear_of_two_events",
     .script = {"pp", "n", "n"},
     ENOUGH,
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "two_pullers_hear_of_two_publishers",
     .script = {"p", "p", "n", "n"},
     ENOUGH,
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "a_puller_beside_one_who_only_takes",
     .script = {"pp", "n", "t"},
     .inside = 1,
     ENOUGH,
     .covers = {"told", "not told", "a puller waits"}},
    {.name = "a_puller_beside_one_who_only_locks",
     .script = {"p", "n", "l"},
     ENOUGH,
     .covers = {"told", "not told", "a puller waits", "something came meanwhile"}},
    {.name = "a_full_box_goes_through_the_lock_in_order",
     .script = {"pp", "a"},
     .inside = 1,
     ENOUGH,
     .covers = {"told", "not told", "the box is full"}},
    {.name = "a_full_box_of_two_publishers",
     .script = {"pp", "p", "a"},
     .inside = 1,
     ENOUGH,
     .covers = {"not told", "the box is full"}},
    {.name = "shut_sends_pullers_home", .script = {"q", "q", "s"}, ENOUGH, .covers = {"a puller waits"}},
    {.name = "shut_sweeps_up_what_still_comes",
     .script = {"p", "s"},
     .covers = {"told", "not told", "swept"}},
    {.name = "shut_sweeps_up_what_two_still_bring",
     .script = {"p", "pp", "s"},
     ENOUGH,
     .covers = {"told", "not told", "swept"}},
    {.name = "shut_with_a_puller_and_a_publisher",
     .script = {"p", "q", "s"},
     ENOUGH,
     .covers = {"told", "not told", "swept", "a puller waits"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct mailbox_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .stale_reads = c->stale_reads,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
