/* SPDX-License-Identifier: MIT */
/* Strands, src/pool/strand.{h,c}, as a unit: posts against runs, against full, against the end.
 *
 * The source stands in this file whole. What it needs of a pool is here: evb__pool_schedule hands the strand
 * over by one release store that one worker loads with acquire, each time another word. So nothing but the
 * strand's own word orders one runner before the next.
 *
 *      script "pp"     p submit   f submit and wait for room   m submit_many of 2   w wait until all own have
 * run t submit a task that submits one to its own strand   d destroy when the other posters are done D
 * destroy at once   r work   x work, but discard
 */
#include "explore.h"

#include <string.h>
#include "pool/strand.c"

#define ENOUGH .executions = EXPLORE_ENOUGH

enum {
    CASE_THREADS = 4,
    TOKENS = 80,
    POSTERS = CASE_THREADS + 2,
    BY_SETUP = CASE_THREADS,
    BY_TASK = CASE_THREADS + 1
};

struct strand_case {
    const char *name, *script[CASE_THREADS];
    uint32_t capacity;
    uint64_t start;                      /* where tail and head begin, in tasks */
    uint32_t inside;                     /* tasks before the threads begin */
    uint32_t accepted;                   /* exactly so many of the posts are, 0: it depends */
    bool never_full, small_visits, late; /* late: the workers begin when all posts are over */
    int preemptions;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct strand_case cases[];

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    evb_pool pool;
    evb_strand *strand;
    EVB__ATOMIC(struct evb__runnable *) token[TOKENS];
    EVB__ATOMIC(uint32_t) ran[POSTERS], done[POSTERS], step;
    uint64_t payload[POSTERS][TOKENS]; /* what a poster leaves for its task */
    uint64_t owned;                    /* what each task leaves for the next */
    uint32_t tokens, taken, visits, running, pools, posters, posters_done;
    uint32_t accepted[POSTERS], began[POSTERS], last_runner;
    uint64_t head;
    bool destroyed;
} st;

static const struct strand_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- the pool ---- */

void evb__pool_schedule(evb_pool *pool, struct evb__runnable *runnable)
{
    explore_check(pool == &st.pool, "another pool");
    explore_check(st.taken == st.tokens, "the strand is queued twice");
    explore_check(st.tokens < TOKENS, "explorer: too many tokens");
    evb__st_rel(&st.token[st.tokens], runnable);
    st.tokens++;
}

void evb__pool_ref(evb_pool *pool)
{
    (void)pool;
    st.pools++;
}

void evb__pool_unref(evb_pool *pool)
{
    (void)pool;
    explore_check(st.pools == 1, "the strand gives its pool back twice");
    st.pools--;
}

int32_t evb__pool_admit_slow(evb_pool *pool)
{
    (void)pool;
    return EVB_OK;
}

bool evb__pool_must_not_wait(const evb_pool *pool)
{
    (void)pool;
    return false;
}

/* ---- tasks ---- */

static void task(void *arg);

static void here(bool discarded, void *arg)
{
    uint32_t by = (uint32_t)(uintptr_t)arg >> 8, number = (uint32_t)(uintptr_t)arg & 0xff;

    explore_check(++st.running == 1, "two tasks of the strand at once");
    explore_check(number == st.began[by], "lost, doubled, or out of order");
    st.began[by]++;
    explore_check(EVB__PLAIN_READ(st.payload[by][number]) == number, "not what the poster left");
    EVB__PLAIN_WRITE(st.owned, EVB__PLAIN_READ(st.owned) + 1);
    if (st.last_runner != explore_thread() && st.last_runner != UINT32_MAX)
        explore_cover("another runs the next task");
    st.last_runner = explore_thread();
    explore_point();
    explore_cover(discarded ? "discarded" : "ran");
    st.running--;
    evb__st_rel(&st.ran[by], number + 1);
}

void evb__pool_discard(evb_pool *pool, void *arg)
{
    (void)pool;
    here(true, arg);
}

static void *made(uint32_t by, uint32_t ahead)
{
    uint32_t number = st.accepted[by] + ahead;

    EVB__PLAIN_WRITE(st.payload[by][number], number);
    return (void *)(uintptr_t)(by << 8 | number);
}

static void answered(uint32_t by, int32_t rc)
{
    explore_check(rc == EVB_OK || rc == EVB_EFULL || rc == EVB_ECLOSED, "another answer");
    explore_check(rc != EVB_EFULL || !this_case()->never_full, "full, and there was room");
    explore_check(rc != EVB_ECLOSED || by == BY_TASK, "closed, and nobody did");
    if (rc == EVB_EFULL) explore_cover("full");
    if (rc == EVB_ECLOSED) explore_cover("closed");
}

static void post_one(uint32_t by, evb_task_fn fn, int64_t timeout_ns)
{
    void *arg = made(by, 0);
    int32_t rc;

    st.accepted[by]++; /* a task may run before its submit returns */
    rc = evb_strand_submit(st.strand, fn, arg, timeout_ns);
    if (rc != EVB_OK) st.accepted[by]--;
    answered(by, rc);
}

static void task(void *arg)
{
    here(false, arg);
}

static void task_that_posts(void *arg)
{
    here(false, arg);
    post_one(BY_TASK, task, 0);
}

static void post_two(uint32_t by)
{
    void *args[2] = {made(by, 0), made(by, 1)};
    int32_t rc;

    st.accepted[by] += 2;
    rc = evb_strand_submit_many(st.strand, task, args, 2);
    explore_check(rc <= 2 && rc != 0, "more than there were");
    st.accepted[by] -= rc < 0 ? 2 : 2 - (uint32_t)rc;
    if (rc == 1) explore_cover("cut short");
    answered(by, rc < 0 ? rc : EVB_OK);
}

/* ---- work ---- */

/* run_strand with BATCH 1 and PUBLISH_PAUSES 1, which are constants there: a strand that is scheduled again
 * after each task, and one whose next task stands claimed and not filled. */
static void run_small(struct evb__runnable *runnable, bool discard)
{
    evb_strand *strand = EVB__CONTAINER(runnable, evb_strand, runnable);
    uint64_t head = evb__ld_rlx(&strand->head);
    uint32_t pauses = 0;
    struct evb__task one;
    bool free_it;

    while (!evb__strand_next(strand, head, &one)) {
        if (evb__strand_leave(strand, head, &free_it)) {
            if (free_it) free_strand(strand);
            return;
        }
        if (pauses >= 1) {
            explore_cover("claimed and not filled");
            evb__pool_schedule(strand->pool, runnable);
            return;
        }
        evb__spin_pause(pauses++);
    }
    evb__st_rel(&strand->head, head + EVB__STRAND_ONE);
    wake_posts(strand);
    run_task(strand, &one, discard);
    evb__pool_schedule(strand->pool, runnable);
}

static void changed(void)
{
    (void)evb__add_rlx(&st.step, 1); /* who yields looks again */
}

static void work(bool discard)
{
    for (;;) {
        if (st.taken < st.tokens && (!this_case()->late || st.posters_done == st.posters)) {
            uint32_t mine = st.taken++;
            struct evb__runnable *r;

            st.visits++;
            while ((r = evb__ld_acq(&st.token[mine])) == NULL)
                evb__thread_yield();
            r->run(r, discard);
            st.visits--;
            changed();
        } else if (st.posters_done == st.posters && st.visits == 0 && st.taken == st.tokens) {
            return;
        } else {
            evb__thread_yield();
        }
    }
}

/* ---- posters ---- */

static void wait_for(EVB__ATOMIC(uint32_t) *word, uint32_t least)
{
    while (evb__ld_acq(word) < least)
        evb__thread_yield();
}

static void destroy(bool wait)
{
    explore_point();
    for (uint32_t t = 0; t < CASE_THREADS && this_case()->script[t] != NULL && wait; t++)
        if (t != explore_thread() && strchr("rx", *this_case()->script[t]) == NULL) wait_for(&st.done[t], 1);
    if (st.visits != 0) explore_cover("destroyed while it was visited");
    st.destroyed = true;
    evb_strand_destroy(st.strand);
    if (!explore_blocks_alive(st.strand)) explore_cover("freed by destroy");
}

static void call(uint32_t t, char what)
{
    switch (what) {
    case 'p':
        post_one(t, task, 0);
        break;
    case 'f':
        post_one(t, task, EVB_FOREVER);
        break;
    case 't':
        post_one(t, task_that_posts, 0);
        break;
    case 'm':
        post_two(t);
        break;
    case 'w':
        wait_for(&st.ran[t], st.accepted[t]);
        break;
    case 'd':
    case 'D':
        destroy(what == 'd');
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void thread(void)
{
    uint32_t t = explore_thread();
    const char *script = this_case()->script[t];

    if (*script == 'r' || *script == 'x') {
        work(*script == 'x');
        return;
    }
    while (*script != '\0')
        call(t, *script++);
    evb__st_rel(&st.done[t], 1);
    st.posters_done++;
    changed();
}

/* ---- before and after ---- */

/* As if the strand had taken `start` tasks. */
static void begin_at(evb_strand *strand, uint64_t start)
{
    uint64_t capacity = strand->capacity / EVB__STRAND_ONE;

    evb__init(&strand->word, start * EVB__STRAND_ONE);
    evb__init(&strand->head, start * EVB__STRAND_ONE);
    evb__init(&strand->head_seen, start * EVB__STRAND_ONE);
    for (uint64_t i = 1; i <= capacity; i++)
        evb__init(&evb__strand_cell_at(strand, (start - i) * EVB__STRAND_ONE)->seq,
                  (start - i + 1) * EVB__STRAND_ONE);
}

static void setup(void)
{
    const struct strand_case *c = this_case();

    st.pool.generation = evb__process_generation();
    evb__init(&st.pool.state, EVB__POOL_RUNNING);
    st.last_runner = UINT32_MAX;
    explore_check(evb_strand_create(&st.pool, c->capacity, &st.strand) == EVB_OK, "no strand");
    if (c->start != 0) begin_at(st.strand, c->start);
    if (c->small_visits) st.strand->runnable.run = run_small;
    for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
        st.posters += strchr("rx", *c->script[t]) == NULL;
    for (uint32_t i = 0; i < c->inside; i++)
        post_one(BY_SETUP, task, 0);
    explore_name(&st.strand->word, 8, "word");
    explore_name(&st.strand->head, 8, "head");
    explore_name(&st.strand->head_seen, 8, "head_seen");
    explore_name(st.strand->cells, c->capacity * sizeof *st.strand->cells, "cells");
    explore_name(st.token, sizeof st.token, "token");
    explore_name(st.ran, sizeof st.ran, "ran");
    explore_name(st.done, sizeof st.done, "done");
}

static void finish(void)
{
    uint32_t accepted = 0;

    for (uint32_t by = 0; by < POSTERS; by++) {
        explore_check(st.began[by] == st.accepted[by], "accepted, and did not run");
        accepted += st.accepted[by];
    }
    explore_check(st.owned == accepted, "a task has not seen what the one before left");
    explore_check(this_case()->accepted == 0 || accepted == this_case()->accepted,
                  "not the whole capacity, or more");
    if (!st.destroyed) {
        explore_check(st.strand->word == (this_case()->start + accepted) * EVB__STRAND_ONE,
                      "not idle at the end");
        explore_check(st.strand->head == st.strand->word, "head is not tail at the end");
        evb_strand_destroy(st.strand);
    }
    explore_check(!explore_blocks_alive(st.strand), "not freed at the end");
    explore_check(st.pools == 0, "the strand keeps its pool");
}

/* ---- the cases ---- */

#define AT_WRAP ((UINT64_C(1) << 62) - 1) /* the tail before it wraps */

const struct strand_case cases[] = {
    {.name = "one_post_and_a_worker",
     .capacity = 2,
     .script = {"r", "p"},
     .preemptions = 4,
     .covers = {"ran"}},
    {.name = "three_posts_of_one_thread_and_a_worker",
     .capacity = 4,
     .script = {"r", "ppp"},
     .never_full = true,
     .covers = {"ran"}},
    {.name = "two_posters_and_a_worker",
     .capacity = 2,
     .script = {"r", "p", "p"},
     .never_full = true,
     .covers = {"ran"}},
    {.name = "two_posters_and_two_workers",
     .capacity = 2,
     .script = {"r", "r", "p", "p"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran", "another runs the next task"}},
    {.name = "two_posts_of_one_thread_and_two_workers",
     .capacity = 2,
     .script = {"r", "r", "pp"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran", "another runs the next task"}},
    {.name = "posts_after_runs_and_two_workers",
     .capacity = 2,
     .script = {"r", "r", "pwp"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran", "another runs the next task"}},

    /* ---- scheduled again ---- */
    {.name = "scheduled_again_after_each_task",
     .capacity = 2,
     .script = {"r", "r", "pp"},
     .small_visits = true,
     .never_full = true,
     ENOUGH,
     .covers = {"ran", "another runs the next task"}},
    {.name = "scheduled_again_before_a_post_has_filled",
     .capacity = 2,
     .script = {"r", "r", "p", "p"},
     .small_visits = true,
     .never_full = true,
     ENOUGH,
     .covers = {"ran", "another runs the next task", "claimed and not filled"}},
    {.name = "scheduled_again_after_a_whole_visit",
     .capacity = 64,
     .inside = 64,
     .script = {"r", "r", "f"},
     ENOUGH,
     .covers = {"ran", "another runs the next task"}},

    /* ---- full ---- */
    {.name = "full_is_exact_without_a_worker",
     .capacity = 2,
     .script = {"r", "pp", "pp"},
     .late = true,
     .accepted = 2,
     .covers = {"ran", "full"}},
    {.name = "full_is_exact_for_batches",
     .capacity = 2,
     .script = {"r", "m", "pm"},
     .late = true,
     .accepted = 2,
     .covers = {"ran", "full", "cut short"}},
    {.name = "full_against_a_run", .capacity = 2, .script = {"r", "ppp"}, .covers = {"ran", "full"}},
    {.name = "who_waits_for_its_own_finds_room",
     .capacity = 2,
     .script = {"r", "pwpw", "pwpw"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_post_stopped_for_laps_finds_room",
     .capacity = 2,
     .script = {"r", "p", "pwpwpw"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_post_stopped_between_others_finds_room",
     .capacity = 2,
     .script = {"r", "p", "ppwp"},
     ENOUGH,
     .covers = {"ran", "full"}},
    {.name = "who_waits_for_room_gets_it",
     .capacity = 2,
     .script = {"r", "fff"},
     .accepted = 3,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_who_wait_for_room_get_it",
     .capacity = 2,
     .inside = 1,
     .script = {"r", "ff", "f"},
     .accepted = 4,
     ENOUGH,
     .covers = {"ran"}},

    /* ---- next to where tail wraps ---- */
    {.name = "tail_wraps",
     .capacity = 2,
     .start = AT_WRAP,
     .script = {"r", "ppp"},
     .covers = {"ran", "full"}},
    {.name = "tail_wraps_under_two_posters",
     .capacity = 2,
     .start = AT_WRAP,
     .script = {"r", "p", "pwp"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "half_of_all_tails",
     .capacity = 2,
     .start = (UINT64_C(1) << 61) - 1,
     .script = {"r", "p", "pwp"},
     .never_full = true,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "tail_wraps_in_a_full_strand",
     .capacity = 2,
     .start = AT_WRAP,
     .script = {"r", "pp", "m"},
     .late = true,
     .accepted = 2,
     .covers = {"ran", "full"}},

    /* ---- the end ---- */
    {.name = "destroy_against_a_run",
     .capacity = 2,
     .script = {"r", "pD"},
     .preemptions = 4,
     .covers = {"ran", "destroyed while it was visited", "freed by destroy"}},
    {.name = "destroy_of_an_idle_one",
     .capacity = 2,
     .script = {"r", "pwD"},
     .preemptions = 3,
     .covers = {"ran", "freed by destroy"}},
    {.name = "destroy_of_one_that_never_ran",
     .capacity = 2,
     .script = {"r", "D"},
     .covers = {"freed by destroy"}},
    {.name = "destroy_after_the_posts_of_others",
     .capacity = 2,
     .script = {"r", "p", "pd"},
     ENOUGH,
     .covers = {"ran", "destroyed while it was visited", "freed by destroy"}},
    {.name = "destroy_with_two_workers",
     .capacity = 2,
     .script = {"r", "r", "ppD"},
     ENOUGH,
     .covers = {"ran", "destroyed while it was visited", "freed by destroy", "another runs the next task"}},
    {.name = "destroy_while_it_is_scheduled_again",
     .capacity = 2,
     .script = {"r", "r", "ppD"},
     .small_visits = true,
     ENOUGH,
     .covers = {"ran", "destroyed while it was visited", "another runs the next task"}},
    {.name = "a_task_posts_while_it_is_destroyed",
     .capacity = 2,
     .script = {"r", "tD"},
     .preemptions = 3,
     .covers = {"ran", "closed", "destroyed while it was visited", "freed by destroy"}},
    {.name = "what_is_inside_is_discarded",
     .capacity = 2,
     .script = {"x", "ppD"},
     .covers = {"discarded", "destroyed while it was visited", "freed by destroy"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct strand_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
