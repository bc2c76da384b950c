/* SPDX-License-Identifier: MIT */
/* Workers, src/pool/{idle.h,worker.c,pool.c,timer.c}, as a unit: who brings work, who sleeps, who looks, who
 * keeps the time, how it ends.
 *
 * The sources stand in this file whole, with a pool made by hand: two or three workers that run
 * evb__worker_main, small rings, no start. A worker that is named in `parked` begins in its sleep:
 * evb__worker_main without the way there. A lost wake-up shows as a deadlock: who waits for a task, and the
 * tasks that wait for each other, wait for ever. Time stands still but for parks that run out, and those run
 * out only when nothing else can go on.
 *
 *      script "sw"     s submit   l submit one that waits until all of these have begun   n submit one that
 * submits to its own worker and waits for that   m submit_many of 2 such   b submit_many of 4 simple ones   c
 * cancel the first timer of the setup   r schedule a runnable 1 to 5
 * timers that are due in so many milliseconds   k (later) such a timer that waits for the last one   a set an
 * alarm for one millisecond, which sets itself once more   A wait for its second run, for which tasks that
 * wait for each other wait too   w wait until all of the own have run   q wait_idle   e drain   x discard
 */
#include "explore.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/park.h"
#include "base/thread.h"
#include "pool/cpus.h"

static int64_t case_clock(void);
static int32_t case_park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns);
void evb__thread_detach(struct evb__thread *thread);

#include "pool/lock.h"

static void case_acquire(struct evb__lock *lock);
static void case_release(struct evb__lock *lock);

#define evb__lock_acquire case_acquire
#define evb__lock_release case_release
#define evb__clock_mono   case_clock
#define evb__park         case_park
#include "pool/pool.c"
#include "pool/timer.c"
#include "pool/worker.c"
#undef evb__clock_mono
#undef evb__park

#define ENOUGH .executions = EXPLORE_ENOUGH

enum { CASE_THREADS = 3, TASKS = 8, BY_SETUP = CASE_THREADS };

struct idle_case {
    const char *name, *script[CASE_THREADS];
    uint32_t workers, parked; /* parked: bits */
    uint32_t capacity;        /* of inject; 0: 2 */
    uint32_t inside;          /* simple tasks before the threads begin */
    uint32_t calm;            /* the workers let tasks gather: worker.c */
    const char *timers;       /* armed before the threads begin, as in a script */
    bool refused;             /* a submit may find the pool closed */
    int preemptions, spurious, stale_reads;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct idle_case cases[];

struct item {
    struct evb__runnable runnable; /* first */
    uint32_t by, number;
    char kind;
    int64_t due, latest, id; /* timers: not before, not a step of the wheel after */
    bool done;
};

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    evb_pool *pool;
    struct evb__mutex lock;
    struct evb__self selves[CASE_THREADS];
    EVB__ATOMIC(uint32_t) ran[CASE_THREADS + 1], began, child;
    uint64_t payload[CASE_THREADS + 1][TASKS];
    struct item items[CASE_THREADS + 1][TASKS];
    uint32_t accepted[CASE_THREADS + 1], finished, discarded, long_ones, stopped;
    struct evb__alarm *alarm;
    uint32_t alarms;
    int64_t now, alarm_due;
} st;

static const struct idle_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- stand-ins ---- */

/* The pool's lock has shapes of its own: shapes_pool_lock.c. */
static void case_acquire(struct evb__lock *lock)
{
    (void)lock;
    evb__mutex_lock(&st.lock);
}

static void case_release(struct evb__lock *lock)
{
    (void)lock;
    evb__mutex_unlock(&st.lock);
}

static int64_t case_clock(void)
{
    return st.now;
}

static int32_t case_park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    int64_t until = st.now + timeout_ns;
    int32_t rc = evb__park(word, expected, timeout_ns);

    /* Who has been woken meanwhile was not left asleep: that is the system being slow. */
    if (rc == EVB_ETIMEDOUT && timeout_ns > 0 && st.now < until && *word == expected) st.now = until;
    return rc;
}

void evb__thread_detach(struct evb__thread *thread)
{
    (void)thread;
}

uint32_t evb__cpus(void)
{
    return 2;
}

/* ---- tasks ---- */

static void wait_for(EVB__ATOMIC(uint32_t) *word, uint32_t least)
{
    uint32_t seen;

    while ((seen = evb__ld_acq(word)) < least)
        (void)evb__park(word, seen, EVB_FOREVER);
}

static void step(EVB__ATOMIC(uint32_t) *word)
{
    (void)evb__add_acqrel(word, 1);
    evb__wake_all(word);
}

static void child_task(void *arg)
{
    (void)arg;
    step(&st.child);
}

static void begin(struct item *item)
{
    explore_check(!item->done, "a task ran twice");
    item->done = true;
    explore_check(EVB__PLAIN_READ(st.payload[item->by][item->number]) == item->number,
                  "not what the submitter left");
}

static void task(void *arg)
{
    struct item *item = arg;

    begin(item);
    explore_check(st.now >= item->due, "a timer was early");
    explore_check(item->due == 0 || st.now < item->latest + 2 * TICK_NS, "a timer was slept past");
    if (item->kind == 'l') {
        step(&st.began);
        wait_for(&st.began, st.long_ones);
    }
    if (item->kind == 'n') {
        explore_check(evb_pool_submit(st.pool, child_task, NULL, 0) == EVB_OK,
                      "a worker's submit was refused");
        wait_for(&st.child, 1);
    }
    st.finished++;
    explore_cover("ran");
    step(&st.ran[item->by]);
}

static void set_alarm(void)
{
    st.alarm_due = st.now + TICK_NS;
    evb__alarm_set(st.alarm, st.alarm_due);
}

static void alarm_rings(void *arg)
{
    (void)arg;
    explore_check(++st.alarms <= 2, "an alarm ran once too often");
    explore_check(st.now >= st.alarm_due, "an alarm was early");
    explore_check(st.now < st.alarm_due + 2 * TICK_NS, "an alarm was slept past");
    if (st.alarms == 1) {
        set_alarm();
        return;
    }
    explore_cover("rang twice");
    step(&st.began);
}

static void run_item(struct evb__runnable *runnable, bool discarded)
{
    struct item *item = EVB__CONTAINER(runnable, struct item, runnable);

    if (!discarded) {
        task(item);
        return;
    }
    begin(item);
    st.discarded++;
    explore_cover("discarded");
    step(&st.ran[item->by]);
}

static void on_discard(void *arg)
{
    explore_check(arg != NULL, "what a task had submitted is discarded, and not drained");
    run_item(&((struct item *)arg)->runnable, true);
}

static void on_stop(void *user)
{
    (void)user;
    st.stopped++;
}

/* ---- threads ---- */

static struct item *next_item(uint32_t by, char kind)
{
    uint32_t number = st.accepted[by];
    struct item *item = &st.items[by][number];

    EVB__PLAIN_WRITE(st.payload[by][number], number);
    *item = (struct item){.by = by, .number = number, .kind = kind, .runnable = {.run = run_item}};
    st.accepted[by]++; /* it may run before the call returns */
    return item;
}

static void answered(uint32_t by, int64_t rc)
{
    if (rc >= 0) return;
    explore_check(rc == EVB_ECLOSED && this_case()->refused, "refused");
    explore_cover("closed");
    st.accepted[by]--;
}

static void submit(uint32_t by, char kind)
{
    answered(by, evb_pool_submit(st.pool, task, next_item(by, kind), 0));
}

static void submit_several(uint32_t by, char kind, uint32_t n)
{
    void *args[4];

    for (uint32_t i = 0; i < n; i++)
        args[i] = next_item(by, kind);
    explore_check(evb_pool_submit_many(st.pool, task, args, n) == (int32_t)n, "refused");
}

static void submit_timer_in(uint32_t by, char kind, int64_t ticks)
{
    struct item *item = next_item(by, kind);

    item->due = st.now + ticks * TICK_NS;
    item->latest = INT64_MAX - 2 * TICK_NS; /* the clock is read in the call */
    item->id = evb_pool_submit_after(st.pool, ticks * TICK_NS, task, item);
    item->latest = st.now + ticks * TICK_NS;
    answered(by, item->id);
}

static void cancel(void)
{
    struct item *item = &st.items[BY_SETUP][0];

    if (evb_pool_cancel(st.pool, item->id) != EVB_OK) return;
    explore_cover("canceled");
    begin(item);
    st.discarded++;
}

static void end(uint32_t mode)
{
    explore_check(evb_pool_shutdown(st.pool, mode, EVB_FOREVER) == EVB_OK, "not over");
    explore_check(st.stopped == this_case()->workers, "over, and a worker goes on");
}

static void call(uint32_t by, const char **script)
{
    char what = *(*script)++;

    if (what >= '1' && what <= '5') {
        bool waits = **script == 'k';

        if (waits) (*script)++;
        submit_timer_in(by, waits ? 'l' : 's', what - '0');
        return;
    }
    switch (what) {
    case 's':
    case 'l':
    case 'n':
        submit(by, what);
        break;
    case 'm':
        submit_several(by, 'l', 2);
        break;
    case 'b':
        submit_several(by, 's', 4);
        break;
    case 'c':
        cancel();
        break;
    case 'r':
        evb__pool_schedule(st.pool, &next_item(by, 's')->runnable);
        break;
    case 'a':
        set_alarm();
        break;
    case 'A':
        wait_for(&st.began, st.long_ones);
        break;
    case 'w':
        wait_for(&st.ran[by], st.accepted[by]);
        break;
    case 'q':
        explore_check(evb_pool_wait_idle(st.pool, EVB_FOREVER) == EVB_OK, "not idle");
        for (uint32_t i = 0; i < st.accepted[by]; i++)
            explore_check(st.items[by][i].done, "idle, and not run");
        break;
    case 'e':
    case 'x':
        end(what == 'e' ? EVB_DRAIN : EVB_DISCARD);
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void thread(void)
{
    uint32_t t = explore_thread();

    *evb__self() = st.selves[t];
    for (const char *script = this_case()->script[t]; *script != '\0';)
        call(t, &script);
}

/* evb__worker_main from within go_to_sleep on. */
static void begin_asleep(struct evb__worker *w)
{
    struct evb__task next;

    evb__self()->worker = w;
    if (doze(w)) evb__timers_look(w);
    w->searching = true;
    if (evb__ld_sc(&w->pool->state) != EVB__POOL_ENDED || evb__pool_has_work(w->pool))
        while (next_task(w, &next))
            execute(w, &next);
    w->pool->on_thread_stop(NULL);
    evb__pool_worker_ended(w);
}

static void worker(void *arg)
{
    struct evb__worker *w = arg;

    if (this_case()->parked >> w->index & 1)
        begin_asleep(w);
    else
        evb__worker_main(w);
}

/* ---- before and after ---- */

static void make_pool(uint32_t workers)
{
    uint32_t capacity = this_case()->capacity != 0 ? this_case()->capacity : 2;
    evb_ring_opts inject = {.capacity = capacity, .elem_bytes = sizeof(struct evb__task)};
    evb_pool *pool = evb__zalloc(sizeof *pool, 128);

    evb__mutex_init(&st.lock);
    pool->asymmetric = evb__barrier_asymmetric();
    pool->generation = evb__process_generation();
    pool->threads = pool->started = workers;
    pool->spin_us = UINT32_MAX;
    pool->on_discard = on_discard;
    pool->on_thread_stop = on_stop;
    evb__init(&pool->refs, 1 + workers);
    evb__init(&pool->users, 1);
    evb__init(&pool->state, EVB__POOL_RUNNING);
    evb__init(&pool->idle, this_case()->parked);
    explore_check(evb_ring_create(&inject, &pool->inject) == EVB_OK, "no ring");
    explore_check(evb__timers_create(pool) == EVB_OK, "no timers");
    pool->workers = evb__zalloc(workers * sizeof *pool->workers, 128);
    for (uint32_t i = 0; i < workers; i++) {
        struct evb__worker *w = &pool->workers[i];

        w->pool = pool;
        w->index = i;
        w->random = i;
        w->calm = this_case()->calm;
        explore_name(&w->local, sizeof w->local, "local[%u]", i);
        explore_name(&w->woken, 4, "woken[%u]", i);
    }
    st.pool = pool;
    explore_name(&pool->idle, 8, "idle");
    explore_name(&pool->state, 4, "state");
    explore_name(&pool->keeper, 8, "keeper");
    explore_name(&pool->next_due, 8, "next_due");
    explore_name(&pool->overflow, 8, "overflow");
    explore_name(pool->inject, sizeof *pool->inject, "inject");
    explore_name(pool->inject->front.c.s.slots, capacity * 8, "inject.slots");
}

static void setup(void)
{
    const struct idle_case *c = this_case();
    const char *timers = c->timers != NULL ? c->timers : "";

    st.now = 1000 * TICK_NS;
    for (uint32_t i = 0; i < sizeof st.selves / sizeof st.selves[0]; i++)
        (void)evb__reader_ready(&st.selves[i], evb__process_generation());
    *evb__self() = st.selves[0];
    make_pool(c->workers);
    for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
        for (const char *s = c->script[t]; *s != '\0'; s++)
            st.long_ones += *s == 'm' ? 2 : *s == 'l' || *s == 'k' || *s == 'a';
    st.alarm = evb__alarm_make(st.pool, alarm_rings, NULL);
    while (*timers != '\0')
        call(BY_SETUP, &timers);
    for (uint32_t i = 0; i < c->inside; i++) {
        struct evb__task one = {task, next_item(BY_SETUP, 's')};

        explore_check(evb_ring_try_push(st.pool->inject, &one) == EVB_OK, "a full ring");
    }
    for (uint32_t i = 0; i < c->workers; i++)
        (void)evb__thread_create(&st.pool->workers[i].thread, worker, &st.pool->workers[i], NULL, 0);
}

static void finish(void)
{
    uint32_t accepted = 0;

    evb_pool_destroy(st.pool);
    explore_check(evb__alarm_free(st.alarm, NULL), "an alarm runs on");
    explore_check(!explore_blocks_alive(st.pool), "not freed at the end");
    for (uint32_t by = 0; by <= CASE_THREADS; by++) {
        accepted += st.accepted[by];
        for (uint32_t i = 0; i < st.accepted[by]; i++)
            explore_check(st.items[by][i].done, "accepted, and neither run nor discarded");
    }
    explore_check(st.finished + st.discarded == accepted, "more than were accepted");
}

/* ---- the cases ---- */

const struct idle_case cases[] = {
    /* ---- submit against sleep ---- */
    {.name = "submit_to_a_sleeping_worker", .workers = 1, .parked = 1, .script = {"sw"}, .covers = {"ran"}},
    {.name = "submit_to_a_worker_that_goes_to_sleep",
     .workers = 1,
     .script = {"sw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "submit_to_two_sleeping_workers",
     .workers = 2,
     .parked = 3,
     .script = {"sw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "submit_while_the_last_worker_goes_to_sleep",
     .workers = 2,
     .parked = 1,
     .script = {"sw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "submit_two_in_a_row", .workers = 1, .parked = 1, .script = {"swsw"}, ENOUGH, .covers = {"ran"}},
    {.name = "two_submitters_and_a_sleeping_worker",
     .workers = 1,
     .parked = 1,
     .script = {"sw", "sw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_submitters_and_a_worker", .workers = 1, .script = {"sw", "sw"}, ENOUGH, .covers = {"ran"}},
    {.name = "submit_to_a_worker_that_lets_tasks_gather",
     .workers = 1,
     .capacity = 8,
     .calm = 16,
     .script = {"sw"},
     ENOUGH,
     .covers = {"ran"}},

    /* ---- no work beside a sleeping worker ---- */
    {.name = "two_long_tasks_of_two_submitters_to_workers_that_let_tasks_gather",
     .workers = 2,
     .parked = 2,
     .capacity = 8,
     .calm = 16,
     .script = {"lw", "lw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_long_tasks_wake_two_workers",
     .workers = 2,
     .parked = 3,
     .script = {"llw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_long_tasks_of_two_submitters",
     .workers = 2,
     .parked = 3,
     .script = {"lw", "lw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_long_tasks_while_a_worker_goes_to_sleep",
     .workers = 2,
     .parked = 2,
     .script = {"lw", "lw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_long_tasks_in_a_batch",
     .workers = 2,
     .parked = 3,
     .script = {"mw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_batch_taken_by_one_who_did_not_search",
     .workers = 2,
     .parked = 2,
     .script = {"mw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_batch_of_short_tasks_is_run_by_two",
     .workers = 2,
     .parked = 2,
     .capacity = 4,
     .script = {"bw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_task_submits_and_runs_on",
     .workers = 2,
     .parked = 3,
     .script = {"nw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_task_submits_while_a_worker_goes_to_sleep",
     .workers = 2,
     .parked = 1,
     .script = {"nw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "three_long_tasks_and_three_workers",
     .workers = 3,
     .parked = 7,
     .capacity = 4,
     .script = {"lw", "lw", "lw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "what_fits_nowhere_is_found",
     .workers = 1,
     .inside = 2,
     .script = {"rw"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "what_fits_nowhere_wakes_a_worker",
     .workers = 2,
     .parked = 2,
     .inside = 2,
     .script = {"rw", "rw"},
     ENOUGH,
     .covers = {"ran"}},

    /* ---- time ---- */
    {.name = "a_timer_makes_a_keeper",
     .workers = 1,
     .parked = 1,
     .script = {"2w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "a_timer_while_the_worker_goes_to_sleep",
     .workers = 1,
     .script = {"2w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "an_earlier_timer_against_the_keeper",
     .workers = 1,
     .timers = "5",
     .script = {"2w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "two_earlier_timers_against_the_keeper",
     .workers = 1,
     .parked = 1,
     .timers = "5",
     .script = {"3w", "1w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "an_earlier_timer_against_two_workers",
     .workers = 2,
     .parked = 3,
     .timers = "5",
     .script = {"2w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "an_earlier_timer_against_a_keeper_whose_time_was_canceled",
     .workers = 1,
     .timers = "25",
     .script = {"c3w"},
     ENOUGH,
     .covers = {"ran", "canceled"}},
    {.name = "a_keeper_that_works_leaves_the_time_to_another",
     .workers = 2,
     .parked = 3,
     .script = {"1k2kw"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "work_for_the_keeper_leaves_the_time_to_another",
     .workers = 2,
     .parked = 1,
     .script = {"2klw"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "an_alarm_sets_itself_beside_a_later_timer",
     .workers = 2,
     .parked = 3,
     .script = {"4aAw"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran", "rang twice"}},
    {.name = "an_alarm_sets_itself_before_a_task_that_waits_for_it",
     .workers = 2,
     .parked = 3,
     .script = {"a1kAw"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran", "rang twice"}},
    {.name = "an_alarm_sets_itself_against_an_earlier_timer",
     .workers = 1,
     .parked = 1,
     .script = {"a", "1w"},
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},

    /* ---- wait and end ---- */
    {.name = "wait_idle_after_a_submit",
     .workers = 1,
     .parked = 1,
     .script = {"sq"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "wait_idle_with_two_workers",
     .workers = 2,
     .parked = 2,
     .script = {"sq"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "drain_of_a_sleeping_pool", .workers = 2, .parked = 3, .script = {"e"}, ENOUGH},
    {.name = "drain_while_workers_go_to_sleep", .workers = 2, .script = {"e"}, ENOUGH},
    {.name = "drain_runs_what_was_submitted",
     .workers = 1,
     .parked = 1,
     .script = {"se"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "drain_runs_what_tasks_submit",
     .workers = 2,
     .parked = 3,
     .script = {"ne"},
     ENOUGH,
     .covers = {"ran"}},
    {.name = "drain_while_one_sleeps_and_a_task_submits",
     .workers = 2,
     .parked = 1,
     .script = {"ne"},
     .spurious = EXPLORE_NONE,
     .stale_reads = EXPLORE_NONE,
     ENOUGH,
     .covers = {"ran"}},
    {.name = "drain_against_a_submit",
     .workers = 1,
     .parked = 1,
     .script = {"s", "e"},
     .refused = true,
     ENOUGH,
     .covers = {"ran", "closed"}},
    {.name = "drain_against_a_submit_and_a_worker_awake",
     .workers = 1,
     .script = {"s", "e"},
     .refused = true,
     ENOUGH,
     .covers = {"ran", "closed"}},
    {.name = "discard_against_a_submit_and_a_worker_awake",
     .workers = 1,
     .script = {"s", "x"},
     .refused = true,
     ENOUGH,
     .covers = {"closed", "discarded"}},
    {.name = "drain_against_a_submit_of_two_workers",
     .workers = 2,
     .parked = 3,
     .script = {"s", "e"},
     .refused = true,
     ENOUGH,
     .covers = {"ran", "closed"}},
    {.name = "drain_against_a_runnable",
     .workers = 1,
     .parked = 1,
     .script = {"r", "e"},
     ENOUGH,
     .covers = {"ran", "discarded"}},
    {.name = "discard_against_a_submit",
     .workers = 1,
     .parked = 1,
     .script = {"s", "x"},
     .refused = true,
     ENOUGH,
     .covers = {"ran", "closed", "discarded"}},
    {.name = "two_who_drain", .workers = 1, .parked = 1, .script = {"e", "e"}, ENOUGH},
    {.name = "drain_discards_timers",
     .workers = 1,
     .parked = 1,
     .script = {"2", "e"},
     .refused = true,
     .spurious = EXPLORE_NONE,
     ENOUGH,
     .covers = {"discarded", "closed"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct idle_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .spurious = c->spurious,
                                           .stale_reads = c->stale_reads,
                                           .barrier = EXPLORE_MEMBARRIER,
                                           .random = 10000,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
