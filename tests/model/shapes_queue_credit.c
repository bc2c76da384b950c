/* SPDX-License-Identifier: MIT */
/* Credits, src/queue/credit.h, as a unit: publishers take and undo, somebody gives back under a lock.
 *
 * Beside the words stands what they ought to say, counted past the model after each call, so that it holds at
 * every moment: the limit is never passed, and who is refused has had no room at some moment of his call.
 * Where the limit is one event, `slot` is what it stands for: written by who has the credit, read by who
 * gives it back.
 *
 * A thread's script:
 *      t  takes a small event; T a large one
 *      g  gives the last one back; u undoes it
 *      h  hands all over to who collects: c
 *      o  gives back one that was inside from the start
 *      b  one small event in both queues or in none
 */
#include "explore.h"

#include <string.h>
#include "base/atomic.h"
#include "base/thread.h"
#include "queue/credit.h"

enum { CASE_THREADS = 4, HELD = 4, QUEUES = 2, SMALL = 4, LARGE = 6 };

#define START(events, bytes) ((uint64_t)(events)*EVB__CREDIT_ONE + (bytes))
#define START_OF_BOTH        UINT64_MAX /* the next credit carries in both fields */
#define START_OF_BYTES       START(5, EVB__CREDIT_BYTES_MAX - 2)
#define START_OF_EVENTS      START(EVB__CREDIT_EVENTS_MAX, 0)

struct credit_case {
    const char *name, *script[CASE_THREADS];
    uint32_t events; /* limit */
    uint64_t bytes;  /* limit; 0: as many as there can be */
    uint64_t start;  /* where the words begin */
    uint32_t inside; /* events without bytes that are there at the start */
    uint32_t taken;  /* exactly so many takes succeed; 0: it depends */
    bool never;      /* there is always room */
    bool exact;      /* no load is stale: a refusal is one at a moment of all threads */
    bool slot;
    int preemptions;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct credit_case cases[];

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    struct evb__credit credit[QUEUES];
    struct evb__mutex lock; /* of who gives back */
    struct {
        uint64_t events, bytes;
    } used[QUEUES];
    uint64_t slot;

    /* a call under way, and whether there has been no room since it began */
    uint64_t wanted[CASE_THREADS];
    uint32_t wanted_of[CASE_THREADS];
    bool no_room[CASE_THREADS];

    uint64_t cost[CASE_THREADS][HELD];
    uint32_t held[CASE_THREADS], collected[CASE_THREADS];
    EVB__ATOMIC(uint32_t) handed[CASE_THREADS];
    uint32_t taken, inside;
} st;

static const struct credit_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- what the words ought to say ---- */

static uint64_t limit_bytes(void)
{
    return this_case()->bytes != 0 ? this_case()->bytes : EVB__CREDIT_BYTES_MAX;
}

static bool has_room(uint32_t q, uint64_t cost)
{
    return st.used[q].events + cost / EVB__CREDIT_ONE <= this_case()->events &&
           st.used[q].bytes + cost % EVB__CREDIT_ONE <= limit_bytes();
}

static void look(void)
{
    for (uint32_t t = 0; t < CASE_THREADS; t++)
        if (st.wanted[t] != 0 && !has_room(st.wanted_of[t], st.wanted[t])) st.no_room[t] = true;
}

/* After each change of the words: cost has come, or gone. */
static void changed(uint32_t q, uint64_t come, uint64_t gone)
{
    const struct evb__credit *c = &st.credit[q];

    st.used[q].events += come / EVB__CREDIT_ONE - gone / EVB__CREDIT_ONE;
    st.used[q].bytes += come % EVB__CREDIT_ONE - gone % EVB__CREDIT_ONE;
    explore_check(has_room(q, 0), "above the limit");
    explore_check(c->reserved - c->done == START(st.used[q].events, st.used[q].bytes),
                  "the words say something else");
    explore_check(evb__credit_fits(c, c->reserved - c->done_seen, 0),
                  "done_seen is so old that the difference wraps");
    look();
}

/* ---- calls ---- */

static bool take(uint32_t q, uint64_t cost)
{
    uint32_t me = explore_thread();
    bool taken;

    st.wanted[me] = cost;
    st.wanted_of[me] = q;
    st.no_room[me] = false;
    look();
    taken = evb__credit_take(&st.credit[q], cost);
    st.wanted[me] = 0;
    explore_cover(taken ? "taken" : "refused");
    if (taken) changed(q, cost, 0);
    if (!taken) explore_check(!this_case()->never, "refused, and there is always room");
    if (!taken && this_case()->exact)
        explore_check(st.no_room[me], "refused, and there was room all the time");
    return taken;
}

static void give(uint64_t cost)
{
    evb__mutex_lock(&st.lock);
    if (this_case()->slot) explore_check(EVB__PLAIN_READ(st.slot) == cost, "not what the publisher left");
    evb__credit_give(&st.credit[0], cost);
    changed(0, 0, cost);
    evb__mutex_unlock(&st.lock);
}

static void take_to_hold(uint32_t me, uint64_t cost)
{
    if (!take(0, cost)) return;
    st.taken++;
    explore_check(st.held[me] < HELD, "explorer: holds too many");
    st.cost[me][st.held[me]++] = cost;
    if (this_case()->slot) EVB__PLAIN_WRITE(st.slot, cost);
}

static void take_both(void)
{
    uint64_t cost = evb__credit_cost(1, SMALL);

    if (!take(0, cost)) return;
    if (take(1, cost)) {
        st.taken++;
        explore_cover("both");
        return;
    }
    evb__credit_undo(&st.credit[0], cost);
    changed(0, 0, cost);
    explore_cover("undone");
}

static void undo(uint32_t me)
{
    uint64_t cost = st.cost[me][--st.held[me]];

    evb__credit_undo(&st.credit[0], cost);
    changed(0, 0, cost);
    explore_cover("undone");
}

static void collect(uint32_t by)
{
    uint32_t handed = evb__ld_acq(&st.handed[by]);

    while (st.collected[by] < handed) {
        explore_cover("collected");
        give(st.cost[by][st.collected[by]++]);
    }
}

static void call(uint32_t me, char what)
{
    bool holds = st.held[me] > st.handed[me];

    switch (what) {
    case 't':
        take_to_hold(me, evb__credit_cost(1, SMALL));
        break;
    case 'T':
        take_to_hold(me, evb__credit_cost(1, LARGE));
        break;
    case 'g':
        if (holds) give(st.cost[me][--st.held[me]]);
        break;
    case 'u':
        if (holds) undo(me);
        break;
    case 'h':
        if (holds) evb__st_rel(&st.handed[me], st.held[me]);
        break;
    case 'c':
        for (uint32_t by = 0; by < CASE_THREADS; by++)
            if (by != me) collect(by);
        break;
    case 'o':
        st.inside--;
        give(evb__credit_cost(1, 0));
        break;
    case 'b':
        take_both();
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void thread(void)
{
    uint32_t me = explore_thread();

    for (const char *script = this_case()->script[me]; *script != '\0'; script++)
        call(me, *script);
}

/* ---- before and after ---- */

static void setup(void)
{
    const struct credit_case *c = this_case();

    evb__mutex_init(&st.lock);
    for (uint32_t q = 0; q < QUEUES; q++) {
        evb__credit_init(&st.credit[q], c->events, limit_bytes(), c->start);
        explore_name(&st.credit[q].reserved, 8, "reserved[%u]", q);
        explore_name(&st.credit[q].done_seen, 8, "done_seen[%u]", q);
        explore_name(&st.credit[q].done, 8, "done[%u]", q);
    }
    st.inside = c->inside;
    if (c->inside != 0) {
        uint64_t cost = evb__credit_cost(c->inside, 0);

        explore_check(evb__credit_take(&st.credit[0], cost), "refused");
        changed(0, cost, 0);
    }
    explore_name(&st.slot, sizeof st.slot, "slot");
}

static void finish(void)
{
    if (this_case()->taken != 0)
        explore_check(st.taken == this_case()->taken, "more or fewer than there is room for");
    for (uint32_t q = 0; q < QUEUES; q++) {
        explore_check(evb__credit_used(&st.credit[q]) == START(st.used[q].events, st.used[q].bytes),
                      "a credit is lost");
        if (st.used[q].events < this_case()->events && st.used[q].bytes + SMALL <= limit_bytes())
            explore_check(evb__credit_take(&st.credit[q], evb__credit_cost(1, SMALL)),
                          "room that nobody can have");
    }
    evb__mutex_destroy(&st.lock);
}

const struct credit_case cases[] = {
    {.name = "one_credit_passes_between_two_publishers",
     .events = 1,
     .slot = true,
     .script = {"tgtg", "tg"},
     .covers = {"taken", "refused"}},
    {.name = "one_credit_is_given_back_by_another_thread",
     .events = 1,
     .slot = true,
     .script = {"th", "th", "cc"},
     .covers = {"taken", "refused", "collected"}},
    {.name = "one_credit_is_seen_to_be_free_by_another_publisher",
     .events = 1,
     .slot = true,
     .script = {"tht", "t", "c"},
     .covers = {"taken", "refused", "collected"}},
    {.name = "three_publishers_and_two_credits",
     .events = 2,
     .taken = 2,
     .script = {"t", "t", "t"},
     .covers = {"taken", "refused"}},
    {.name = "undo_gives_the_credit_to_others",
     .events = 1,
     .slot = true,
     .script = {"tu", "tu", "t"},
     .covers = {"taken", "refused", "undone"}},
    {.name = "there_is_always_room_beside_one_who_gives_back",
     .events = 2,
     .never = true,
     .script = {"tgtg", "tgtg"},
     .covers = {"taken"}},
    {.name = "there_is_always_room_beside_one_who_undoes",
     .events = 2,
     .never = true,
     .script = {"tutu", "tgtg"},
     .covers = {"taken", "undone"}},
    {.name = "there_is_always_room_beside_two",
     .events = 3,
     .never = true,
     .executions = EXPLORE_ENOUGH,
     .script = {"tgt", "tgt", "tut"},
     .covers = {"taken", "undone"}},
    {.name = "bytes_are_the_limit",
     .events = 3,
     .bytes = 10,
     .script = {"T", "tg", "T"},
     .covers = {"taken", "refused"}},
    {.name = "bytes_are_given_back",
     .events = 3,
     .bytes = 10,
     .never = true,
     .script = {"TgTg", "tgtg"},
     .covers = {"taken"}},
    {.name = "refused_only_without_room_two_who_give_back",
     .events = 1,
     .exact = true,
     .preemptions = 3,
     .script = {"tgt", "tgt"},
     .covers = {"taken", "refused"}},
    {.name = "refused_only_without_room_beside_one_who_undoes",
     .events = 1,
     .exact = true,
     .preemptions = 3,
     .script = {"tutu", "tgt"},
     .covers = {"taken", "refused", "undone"}},
    {.name = "refused_only_without_room_three_and_one_who_collects",
     .events = 2,
     .exact = true,
     .executions = 3 * EXPLORE_ENOUGH,
     .script = {"tht", "tht", "t", "cc"},
     .covers = {"taken", "refused", "collected"}},
    {.name = "refused_only_without_room_for_its_bytes",
     .events = 3,
     .bytes = 10,
     .exact = true,
     .script = {"TgT", "tu", "T"},
     .covers = {"taken", "refused", "undone"}},
    {.name = "both_fields_wrap",
     .events = 2,
     .bytes = 8,
     .start = START_OF_BOTH,
     .never = true,
     .script = {"tgtg", "tutg"},
     .covers = {"taken", "undone"}},
    {.name = "both_fields_wrap_without_room",
     .events = 1,
     .start = START_OF_BOTH,
     .exact = true,
     .script = {"tgt", "tu", "t"},
     .covers = {"taken", "refused", "undone"}},
    {.name = "bytes_wrap",
     .events = 3,
     .bytes = 10,
     .start = START_OF_BYTES,
     .script = {"TgTg", "tutg", "T"},
     .covers = {"taken", "refused", "undone"}},
    {.name = "events_wrap",
     .events = 2,
     .start = START_OF_EVENTS,
     .taken = 2,
     .script = {"t", "t", "t"},
     .covers = {"taken", "refused"}},
    {.name = "largest_capacity_is_not_passed",
     .events = EVB__CREDIT_EVENTS_MAX,
     .inside = EVB__CREDIT_EVENTS_MAX,
     .script = {"t", "ot", "t"},
     .covers = {"taken", "refused"}},
    {.name = "largest_capacity_refuses_only_without_room",
     .events = EVB__CREDIT_EVENTS_MAX,
     .inside = EVB__CREDIT_EVENTS_MAX,
     .exact = true,
     .script = {"t", "oot", "t"},
     .covers = {"taken", "refused"}},
    {.name = "in_both_queues_or_in_none",
     .events = 1,
     .taken = 1,
     .script = {"b", "b"},
     .covers = {"taken", "refused", "both"}},
    {.name = "in_both_queues_or_in_none_three_publishers",
     .events = 2,
     .bytes = 10,
     .taken = 2,
     .script = {"b", "b", "b"},
     .covers = {"taken", "refused", "both"}},
    {.name = "in_both_queues_or_in_none_beside_one_who_undoes",
     .events = 1,
     .script = {"b", "tu", "b"},
     .covers = {"taken", "refused", "both", "undone"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct credit_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .stale_reads = c->exact ? EXPLORE_NONE : 0,
                                           .random = c->exact ? UINT64_MAX : 0, /* their loads may be stale */
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
