/* SPDX-License-Identifier: MIT */
/* The pool's functions, for one thread: pools, the list of what is scheduled, alarms, and sleeping. */
#include "executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/opts.h"
#include "base/park.h"
#include "base/rng.h"
#include "evb_test.h"
#include "pool/pool.h"
#include "pool/timer.h"
#include "queue/queue.h"

#define SCHEDULED_MAX 512u
#define CHOICES_MAX   (SCHEDULED_MAX + 128u)

struct evb__alarm {
    evb_pool *pool;
    evb_task_fn fn, gone;
    void *arg;
    int64_t due_ns; /* INT64_MAX: not set */
    bool queued, running, freed;
    struct evb__alarm *next, **link;
};

struct scheduled {
    evb_pool *pool; /* a reference */
    struct evb__runnable *runnable;
};

static struct {
    struct evb__rng rng;
    struct scheduled list[SCHEDULED_MAX];
    uint32_t count;
    struct evb__alarm *alarms;
    uint32_t alarm_count, pools, refusals;
    bool refused, timed_out;
    struct evb__runnable *runs; /* innermost */
    struct evb__worker worker;  /* who the thread is while it runs something */
} x;

uint64_t (*executor_rank)(const struct evb__runnable *runnable, void *alarm_arg);
void (*executor_on_look)(const struct evb__runnable *runs);
void (*executor_on_alarm)(void *arg);
void (*executor_on_hand_out)(const struct evb_sub *member);
void (*executor_on_sleep)(void);
void (*executor_stuck)(void);

static void broken(const char *what)
{
    fprintf(stderr, "executor: %s\n", what);
    abort();
}

static struct sleeper *sleepers; /* innermost first */

void executor_begin(uint64_t seed)
{
    memset(&x, 0, sizeof x); /* what a failed test has left is forgotten */
    sleepers = NULL;
    evb__rng_init(&x.rng, seed);
    evb_test_clock_install(1000000000);
}

const char *executor_left(void)
{
    return x.count != 0       ? "something is scheduled"
           : x.alarms != NULL ? "an alarm"
           : x.pools != 0     ? "a pool"
                              : NULL;
}

void executor_end(void)
{
    if (executor_left() != NULL) broken(executor_left());
    evb_test_clock_remove();
}

int64_t executor_now(void)
{
    return evb__clock_mono();
}

void executor_advance(int64_t ns)
{
    evb_test_clock_advance(ns);
}

void executor_refuse_threads(uint32_t n)
{
    x.refusals = n;
}

bool executor_refused(void)
{
    bool refused = x.refused;

    x.refused = false;
    return refused;
}

void executor_reseed(uint64_t seed)
{
    evb__rng_init(&x.rng, seed);
}

/* ---- pools ---- */

int32_t evb_pool_create(const evb_pool_opts *opts, evb_pool **ret_pool)
{
    evb_pool_opts o;
    evb_pool *pool;
    int32_t rc;

    if (ret_pool == NULL) return EVB_EINVAL;
    if ((rc = EVB__OPTS_READ(&o, opts)) != EVB_OK) return rc;
    if ((rc = evb__readers_init(NULL, NULL)) != EVB_OK) return rc;
    pool = evb__zalloc(sizeof *pool, 128);
    if (pool == NULL) return EVB_ENOMEM;
    pool->generation = evb__process_generation();
    pool->threads = o.threads != 0 ? o.threads : 1;
    evb__init(&pool->refs, 1);
    evb__init(&pool->users, 1);
    x.pools++;
    *ret_pool = pool;
    return EVB_OK;
}

void evb__pool_ref(evb_pool *pool)
{
    (void)evb__add_rlx(&pool->refs, 1); /* relaxed: one thread */
}

void evb__pool_unref(evb_pool *pool)
{
    if (evb__sub_acqrel(&pool->refs, 1) != 1) return;
    x.pools--;
    evb__free(pool, sizeof *pool);
}

/* Of a pool that does not run. */
int32_t evb__pool_admit_slow(evb_pool *pool)
{
    if (evb__ld_rlx(&pool->state) != EVB__POOL_NEW) /* relaxed: one thread */
        return evb__ld_rlx(&pool->state) == EVB__POOL_DRAINING && evb__worker_of(pool) != NULL ? EVB_OK
                                                                                               : EVB_ECLOSED;
    if (x.refusals != 0) {
        x.refusals--;
        x.refused = true;
        return EVB_EAGAIN;
    }
    pool->started = pool->threads;
    evb__st_sc(&pool->state, EVB__POOL_RUNNING);
    return EVB_OK;
}

bool evb__pool_must_not_wait(const evb_pool *pool)
{
    return evb__worker_of(pool) != NULL || evb__in_callback(evb__self());
}

static void run_scheduled(uint32_t which);

/* The pool's work is done, or given up; alarms do nothing any more. */
static int32_t end_pool(evb_pool *pool, uint32_t mode)
{
    if (evb__ld_rlx(&pool->state) < EVB__POOL_DRAINING) /* relaxed: one thread */
        evb__st_sc(&pool->state, mode == EVB_DISCARD ? EVB__POOL_DISCARDING : EVB__POOL_DRAINING);
    for (struct evb__alarm *a = x.alarms; a != NULL; a = a->next)
        if (a->pool == pool) a->due_ns = INT64_MAX;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK; /* what is scheduled runs in later steps */
    for (uint32_t i = 0; i < x.count;) {
        if (x.list[i].pool != pool) {
            i++;
            continue;
        }
        run_scheduled(i);
        i = 0;
    }
    evb__st_sc(&pool->state, EVB__POOL_ENDED);
    return EVB_OK;
}

int32_t evb_pool_shutdown(evb_pool *pool, uint32_t mode, int64_t timeout_ns)
{
    if (pool == NULL || mode > EVB_DISCARD || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK;
    return end_pool(pool, mode);
}

void evb__pool_hold(evb_pool *pool)
{
    (void)evb__add_rlx(&pool->users, 1); /* relaxed: one thread */
}

void evb__pool_release(evb_pool *pool)
{
    if (evb__sub_acqrel(&pool->users, 1) != 1) return;
    (void)end_pool(pool, EVB_DRAIN);
    evb__pool_unref(pool);
}

void evb_pool_destroy(evb_pool *pool)
{
    if (pool != NULL) evb__pool_release(pool);
}

/* ---- what is scheduled ---- */

bool evb__pool_has_work(const evb_pool *pool)
{
    if (executor_on_look != NULL && x.runs != NULL) executor_on_look(x.runs);
    for (uint32_t i = 0; i < x.count; i++)
        if (x.list[i].pool == pool) return true;
    return false;
}

void evb__pool_schedule(evb_pool *pool, struct evb__runnable *runnable)
{
    if (evb__ld_rlx(&pool->state) == EVB__POOL_ENDED) { /* relaxed: one thread */
        runnable->run(runnable, true);
        return;
    }
    if (x.count == SCHEDULED_MAX) broken("too much is scheduled");
    for (uint32_t i = 0; i < x.count; i++)
        if (x.list[i].runnable == runnable) broken("a runnable is scheduled twice");
    evb__pool_ref(pool);
    x.list[x.count++] = (struct scheduled){pool, runnable};
}

/* As a worker of that pool. */
static void *become_worker(evb_pool *pool, evb_pool **ret_before)
{
    struct evb__self *self = evb__self();
    void *before = self->worker;

    *ret_before = x.worker.pool;
    x.worker.pool = pool;
    self->worker = &x.worker;
    return before;
}

static void unbecome_worker(void *before, evb_pool *pool_before)
{
    evb__self()->worker = before;
    x.worker.pool = pool_before;
}

static void run_scheduled(uint32_t which)
{
    struct scheduled s = x.list[which];
    evb_pool *pool_before;
    struct evb__runnable *outer = x.runs;
    void *before = become_worker(s.pool, &pool_before);
    uint32_t state = evb__ld_rlx(&s.pool->state); /* relaxed: one thread */

    x.count--;
    for (uint32_t i = which; i < x.count; i++)
        x.list[i] = x.list[i + 1];
    x.runs = s.runnable;
    s.runnable->run(s.runnable, state >= EVB__POOL_DISCARDING);
    x.runs = outer;
    unbecome_worker(before, pool_before);
    evb__pool_unref(s.pool);
}

/* ---- alarms ---- */

struct evb__alarm *evb__alarm_make(evb_pool *pool, evb_task_fn fn, void *arg)
{
    struct evb__alarm *a = evb__zalloc(sizeof *a, EVB__ALIGN_MIN);

    if (a == NULL) return NULL;
    *a = (struct evb__alarm){.pool = pool, .fn = fn, .arg = arg, .due_ns = INT64_MAX};
    evb__pool_ref(pool);
    a->next = x.alarms;
    a->link = &x.alarms;
    if (a->next != NULL) a->next->link = &a->next;
    x.alarms = a;
    x.alarm_count++;
    return a;
}

int32_t evb__alarm_ready(struct evb__alarm *a)
{
    return evb__pool_admit(a->pool);
}

void evb__alarm_set(struct evb__alarm *a, int64_t due_ns)
{
    if (a->freed) broken("an alarm is set that has been given back");
    if (evb__ld_rlx(&a->pool->state) >= EVB__POOL_DRAINING) return; /* relaxed: one thread */
    a->queued = false;
    a->due_ns = due_ns;
}

void evb__alarm_stop(struct evb__alarm *a)
{
    if (a->freed) broken("an alarm is stopped that has been given back");
    a->due_ns = INT64_MAX;
}

static void free_alarm(struct evb__alarm *a)
{
    if (a->next != NULL) a->next->link = a->link;
    *a->link = a->next;
    x.alarm_count--;
    evb__pool_unref(a->pool);
    evb__free(a, sizeof *a);
}

bool evb__alarm_free(struct evb__alarm *a, evb_task_fn gone)
{
    if (a->freed) broken("an alarm is given back twice");
    a->freed = true;
    a->gone = gone;
    a->due_ns = INT64_MAX;
    if (a->queued || a->running) return false;
    free_alarm(a);
    return true;
}

static void run_alarm(struct evb__alarm *a)
{
    evb_pool *pool = a->pool, *pool_before;
    void *before;

    evb__pool_ref(pool);
    before = become_worker(pool, &pool_before);
    a->queued = false;
    a->running = true;
    if (!a->freed) {
        if (executor_on_alarm != NULL) executor_on_alarm(a->arg);
        a->fn(a->arg);
    }
    a->running = false;
    if (a->freed) {
        evb_task_fn gone = a->gone;
        void *arg = a->arg;

        free_alarm(a);
        if (gone != NULL) gone(arg);
    }
    unbecome_worker(before, pool_before);
    evb__pool_unref(pool);
}

static bool can_go(const struct evb__alarm *a, int64_t now)
{
    return !a->running && (a->queued || a->due_ns <= now);
}

static void step_alarm(struct evb__alarm *a)
{
    if (!a->queued) {
        a->queued = true;
        a->due_ns = INT64_MAX;
    } else {
        run_alarm(a);
    }
}

int64_t executor_next_alarm(void)
{
    int64_t next = INT64_MAX;

    for (const struct evb__alarm *a = x.alarms; a != NULL; a = a->next)
        if (a->due_ns < next) next = a->due_ns;
    return next;
}

/* ---- steps ---- */

uint32_t executor_ready(void)
{
    int64_t now = executor_now();
    uint32_t n = x.count;

    for (const struct evb__alarm *a = x.alarms; a != NULL; a = a->next)
        n += can_go(a, now);
    return n;
}

struct choice {
    uint64_t rank;
    uint32_t scheduled; /* index in the list, or */
    struct evb__alarm *alarm;
};

static uint32_t insert(struct choice *choices, uint32_t n, struct choice c)
{
    uint32_t at = n;

    for (; at > 0 && choices[at - 1].rank > c.rank; at--)
        choices[at] = choices[at - 1];
    choices[at] = c;
    return n + 1;
}

/* Sorted by rank. */
static uint32_t gather(struct choice *choices)
{
    int64_t now = executor_now();
    uint32_t n = 0;

    for (uint32_t i = 0; i < x.count; i++) {
        uint64_t r = executor_rank != NULL ? executor_rank(x.list[i].runnable, NULL) : 0;

        n = insert(choices, n, (struct choice){.rank = 2 * r, .scheduled = i});
    }
    for (struct evb__alarm *a = x.alarms; a != NULL; a = a->next) {
        uint64_t r = executor_rank != NULL ? executor_rank(NULL, a->arg) : 0;

        if (can_go(a, now) && n < CHOICES_MAX)
            n = insert(choices, n, (struct choice){.rank = 2 * r + 1, .alarm = a});
    }
    return n;
}

bool executor_step(void)
{
    struct choice choices[CHOICES_MAX];
    uint32_t n = gather(choices), which = (uint32_t)evb__rng_below(&x.rng, n);

    if (n == 0) return false;
    if (choices[which].alarm != NULL)
        step_alarm(choices[which].alarm);
    else
        run_scheduled(choices[which].scheduled);
    return true;
}

/* ---- handing out ---- */

struct evb__delivery *__real_evb__hand_out_locked(struct evb__queue *queue, evb_sub *member,
                                                  struct evb__handling *h);
struct evb__delivery *__wrap_evb__hand_out_locked(struct evb__queue *queue, evb_sub *member,
                                                  struct evb__handling *h);

struct evb__delivery *__wrap_evb__hand_out_locked(struct evb__queue *queue, evb_sub *member,
                                                  struct evb__handling *h)
{
    if (executor_on_hand_out != NULL) executor_on_hand_out(member);
    return __real_evb__hand_out_locked(queue, member, h);
}

/* ---- lanes ---- */

void __real_evb__lane_leave_locked(struct evb__queue *queue, struct evb__delivery *d);
void __wrap_evb__lane_leave_locked(struct evb__queue *queue, struct evb__delivery *d);

/* The library looks into the mailbox now and then; here always, so that the model need not count: whose turn
 * comes last is behind all that has been accepted. */
void __wrap_evb__lane_leave_locked(struct evb__queue *queue, struct evb__delivery *d)
{
    if (d->lane == EVB__LANE_LEADS) evb__mailbox_empty_locked(queue);
    __real_evb__lane_leave_locked(queue, d);
}

/* ---- sleeping ---- */

struct sleeper {
    const void *word;
    bool woken;
    struct sleeper *outer;
};

int32_t __wrap_evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns);
void __wrap_evb__wake_one(EVB__ATOMIC(uint32_t) *word);
void __wrap_evb__wake_all(EVB__ATOMIC(uint32_t) *word);

void __wrap_evb__wake_all(EVB__ATOMIC(uint32_t) *word)
{
    for (struct sleeper *s = sleepers; s != NULL; s = s->outer)
        if (s->word == (const void *)word) s->woken = true;
}

void __wrap_evb__wake_one(EVB__ATOMIC(uint32_t) *word)
{
    for (struct sleeper *s = sleepers; s != NULL; s = s->outer)
        if (s->word == (const void *)word && !s->woken) {
            s->woken = true;
            return;
        }
}

/* To what happens next: an alarm, or the end of the wait. */
static void let_time_pass(int64_t end)
{
    int64_t next = executor_next_alarm(), now = executor_now();

    if (end < next) next = end;
    if (next == INT64_MAX) {
        if (executor_stuck != NULL) executor_stuck();
        broken("a call sleeps for ever");
    }
    if (next > now) executor_advance(next - now);
}

int32_t __wrap_evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    struct sleeper me = {.word = (const void *)word, .outer = sleepers};
    int64_t end = timeout_ns != EVB_FOREVER ? executor_now() + timeout_ns : INT64_MAX;

    if (evb__ld_acq(word) != expected) return EVB_EAGAIN; /* acquire: as the caller's own load */
    x.timed_out = false;
    if (executor_on_sleep != NULL) executor_on_sleep();
    sleepers = &me;
    while (!me.woken && executor_now() < end)
        if ((end != INT64_MAX && evb__rng_below(&x.rng, 4) == 0) || !executor_step()) let_time_pass(end);
    sleepers = me.outer;
    x.timed_out = !me.woken;
    return me.woken ? EVB_OK : EVB_ETIMEDOUT;
}

bool executor_slept_in_vain(void)
{
    return x.timed_out;
}
