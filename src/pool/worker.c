/* SPDX-License-Identifier: MIT */
/* A worker: where it finds work, and how it sleeps. */
#include "pool/pool.h"

#include "base/clock.h"
#include "base/park.h"
#include "pool/idle.h"
#include "pool/timer.h"

#define SPIN_SURE 3u
#define SPIN_NS   20000 /* adaptive: what waking a worker costs */

/* ---- work and where it lies ---- */

static void run_runnable(void *runnable)
{
    struct evb__runnable *r = runnable;

    r->run(r, false);
}

void evb__pool_discard(evb_pool *pool, void *arg)
{
    if (pool->on_discard != NULL) pool->on_discard(arg);
}

static void discard(evb_pool *pool, const struct evb__task *task)
{
    struct evb__runnable *r = task->arg;

    if (task->fn == run_runnable)
        r->run(r, true);
    else
        evb__pool_discard(pool, task->arg);
}

static void execute(struct evb__worker *w, const struct evb__task *task)
{
    /* relaxed: a task that has begun when the pool is told to discard runs */
    if (evb__unlikely(evb__ld_rlx(&w->pool->state) >= EVB__POOL_DISCARDING))
        discard(w->pool, task);
    else
        task->fn(task->arg);
}

static int32_t inject_push(evb_pool *pool, const struct evb__task *task)
{
    struct evb__self *self = evb__self();
    int32_t rc = EVB_OK;

    if (evb__unlikely(self->generation != pool->generation)) rc = evb__reader_ready(self, pool->generation);
    return rc == EVB_OK ? evb__pool_inject(pool, self->number, task) : rc;
}

static uint32_t inject_pop(evb_pool *pool, struct evb__task *ret_tasks, uint32_t n)
{
    int32_t rc = evb_ring_try_pop_many(pool->inject, ret_tasks, n);

    return rc > 0 ? (uint32_t)rc : 0;
}

/* Puts taken tasks where others can steal them. They fit: the local ring was empty, and nobody else fills it.
 */
static void keep(struct evb__worker *w, const struct evb__task *tasks, uint32_t n)
{
    uint32_t fitted = evb__local_push(&w->local, tasks, n);

    evb__assert(fitted == n);
    (void)fitted;
    evb__pool_notify(w->pool); /* they were nowhere to be seen while we carried them over */
}

/* Strands and timers that fitted nowhere, oldest first. */
static uint32_t take_overflow(struct evb__worker *w, struct evb__task *ret_task)
{
    evb_pool *pool = w->pool;
    struct evb__runnable *list, *turned = NULL;

    if (evb__ld_rlx(&pool->overflow) == NULL) return 0; /* a look; the exchange takes */
    list = evb__xchg_sc(&pool->overflow, NULL);         /* pairs with overflow_push */
    while (list != NULL) {
        struct evb__runnable *next = list->next;

        list->next = turned;
        turned = list;
        list = next;
    }
    if (turned == NULL) return 0;
    *ret_task = (struct evb__task){run_runnable, turned};
    for (turned = turned->next; turned != NULL;) {
        struct evb__runnable *next = turned->next;

        evb__pool_schedule(pool, turned);
        turned = next;
    }
    return 1;
}

static uint32_t steal(struct evb__worker *w, struct evb__task *ret_tasks)
{
    evb_pool *pool = w->pool;
    uint32_t start;

    w->random =
        w->random * 1664525u + 1013904223u; /* Numerical Recipes' generator: only spreads the victims */
    start = w->random >> 16;
    for (uint32_t i = 0; i < pool->started; i++) {
        struct evb__worker *victim = &pool->workers[(start + i) % pool->started];
        uint32_t n;

        if (victim == w) continue;
        n = evb__local_steal(&victim->local, ret_tasks, EVB__POOL_BATCH);
        if (n != 0) return n;
    }
    return 0;
}

/* Slots and cells were written by another processor. Each pop would wait for its two lines in turn, because a
 * compare-and-swap lets nothing pass: asked for before, they come side by side. */
static void call_lines(const evb_ring *ring, uint32_t n)
{
    uint64_t at = evb__ld_rlx(&ring->head); /* relaxed, here and below: only what to ask for */

    for (uint32_t i = 0; i < n; i += 8)
        __builtin_prefetch((const void *)evb__swap_slot(ring, at + i), 1);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = evb__ld_rlx(evb__swap_slot(ring, at + i));

        __builtin_prefetch(ring->cells + (word & (EVB__SWAP_CELL - 1)) * sizeof(struct evb__task));
    }
}

static uint32_t take_shared(struct evb__worker *w, struct evb__task *ret_tasks)
{
    evb_pool *pool = w->pool;
    uint32_t share = evb__swap_about(pool->inject) / pool->started + 1;
    uint32_t n = share < EVB__POOL_BATCH ? share : EVB__POOL_BATCH;

    if (n > 2) call_lines(pool->inject, n);
    n = inject_pop(pool, ret_tasks, n);
    return n != 0 ? n : take_overflow(w, ret_tasks);
}

/* By turns what may always have something comes before the local ring, which may always have something. */
EVB__NOINLINE static bool find_in_turn(struct evb__worker *w, struct evb__task *ret_task)
{
    w->until = EVB__POOL_TURN;
    evb__timers_look(w);
    if (++w->turns % 2 == 0 && take_overflow(w, ret_task) != 0) return true;
    return inject_pop(w->pool, ret_task, 1) != 0;
}

/* The others of a catch go to the local ring. */
EVB__NOINLINE static bool find_elsewhere(struct evb__worker *w, struct evb__task *ret_task)
{
    struct evb__task tasks[EVB__POOL_BATCH];
    uint32_t n = take_shared(w, tasks);

    if (n == 0 && w->searching) n = steal(w, tasks);
    if (n == 0) return false;
    *ret_task = tasks[0];
    if (n > 1) keep(w, tasks + 1, n - 1);
    return true;
}

EVB__INLINE bool find(struct evb__worker *w, struct evb__task *ret_task)
{
    if (evb__unlikely(--w->until == 0) && find_in_turn(w, ret_task)) return true;
    return evb__local_pop(&w->local, ret_task, w->pool->started == 1) || find_elsewhere(w, ret_task);
}

/* Is there something to find? Looked at after idle was changed: seq_cst, see idle.h. */
bool evb__pool_has_work(const evb_pool *pool)
{
    if (evb__swap_filled(pool->inject) || evb__ld_sc(&pool->overflow) != NULL) return true;
    for (uint32_t i = 0; i < pool->started; i++)
        if (evb__local_filled(&pool->workers[i].local)) return true;
    return false;
}

/* ---- bringing work ---- */

void evb__pool_wake_worker(evb_pool *pool, uint32_t index)
{
    evb__st_rel(&pool->workers[index].woken, 1); /* pairs with doze: it has been taken out of idle */
    evb__wake_one(&pool->workers[index].woken);
}

void evb__pool_notify(evb_pool *pool)
{
    int32_t who = evb__idle_take(&pool->idle, &pool->keeper);

    if (evb__unlikely(who >= 0)) evb__pool_wake_worker(pool, (uint32_t)who);
}

int32_t evb__worker_push(struct evb__worker *w, struct evb__task task)
{
    if (evb__local_push(&w->local, &task, 1) == 0 && inject_push(w->pool, &task) != EVB_OK) return EVB_EFULL;
    evb__pool_notify(w->pool);
    return EVB_OK;
}

int32_t evb__pool_push_many(evb_pool *pool, const struct evb__task *tasks, uint32_t n)
{
    struct evb__worker *w = evb__worker_of(pool);
    int32_t rc = w != NULL ? (int32_t)evb__local_push(&w->local, tasks, n) : 0, more;

    if ((uint32_t)rc == n) return rc;
    more = evb_ring_try_push_many(pool->inject, tasks + rc, n - (uint32_t)rc);
    if (w != NULL && more == EVB_ECLOSED) more = EVB_EFULL; /* while the pool drains it has the local ring */
    return more > 0 ? rc + more : rc > 0 ? rc : more;
}

void evb__pool_discard_overflow(evb_pool *pool)
{
    struct evb__runnable *list = evb__xchg_sc(&pool->overflow, NULL); /* pairs with overflow_push */

    while (list != NULL) {
        struct evb__runnable *next = list->next;

        list->run(list, true);
        list = next;
    }
}

static void overflow_push(evb_pool *pool, struct evb__runnable *runnable)
{
    struct evb__runnable *head = evb__ld_rlx(&pool->overflow); /* the CAS checks */

    do
        runnable->next = head;
    while (!evb__cas_sc(&pool->overflow, &head, runnable)); /* pairs with the exchange that takes the list */
    /* seq_cst against evb__pool_end: either it takes the list after us, or we see that there is nobody left.
     */
    if (evb__ld_sc(&pool->state) == EVB__POOL_ENDED) evb__pool_discard_overflow(pool);
}

void evb__pool_schedule(evb_pool *pool, struct evb__runnable *runnable)
{
    struct evb__task task = {run_runnable, runnable};
    struct evb__worker *w = evb__worker_of(pool);

    if ((w == NULL || evb__local_push(&w->local, &task, 1) == 0) && inject_push(pool, &task) != EVB_OK)
        overflow_push(pool, runnable);
    evb__pool_notify(pool);
}

/* ---- sleep ---- */

/* No submit succeeds any more. A push that was under way when the ring was closed may, until a pop has found
 * the ring closed and empty. */
static bool is_sealed(struct evb__worker *w)
{
    struct evb__task task;
    int32_t rc = evb_ring_try_pop(w->pool->inject, &task);

    if (rc == EVB_OK) keep(w, &task, 1);
    return rc == EVB_ECLOSED;
}

/* After is_sealed: nobody runs who could still bring something. */
static bool is_still(const evb_pool *pool)
{
    return evb__ld_sc(&pool->idle) == (UINT64_C(1) << pool->started) - 1 && !evb__pool_has_work(pool);
}

/* All workers sleep: who waits for that is told; a pool that is shut down is over when nothing is left. */
static void all_asleep(struct evb__worker *w)
{
    evb_pool *pool = w->pool;
    uint32_t state = evb__ld_sc(&pool->state);

    if ((state == EVB__POOL_DRAINING || state == EVB__POOL_DISCARDING) && is_sealed(w) && is_still(pool) &&
        evb__cas_sc(&pool->state, &state, EVB__POOL_ENDED)) {
        evb__pool_discard_overflow(pool); /* see overflow_push */
        for (uint32_t i = 0; i < pool->started; i++)
            if (evb__idle_take_this(&pool->idle, i)) evb__pool_wake_worker(pool, i);
    }
    evb__pool_changed(pool);
}

/* Sleeps until woken or, as the keeper of the time, until a timer is due. true: by the time. */
static bool doze(struct evb__worker *w)
{
    evb_pool *pool = w->pool;
    uint32_t nobody = 0;
    bool keeper =
        evb__ld_sc(&pool->next_due) != UINT64_MAX && evb__cas_sc(&pool->keeper, &nobody, w->index + 1);
    bool due = false;

    while (evb__ld_acq(&w->woken) == 0) { /* pairs with evb__pool_wake_worker */
        /* After keeper was set: who brings an earlier timer either is seen here or sees the keeper and wakes
         * it. */
        int64_t left = keeper ? evb__timers_left(pool) : EVB_FOREVER;

        if (left == 0 && evb__idle_take_this(&pool->idle, w->index)) {
            due = true;
            break;
        }
        (void)evb__park(&w->woken, 0, left == 0 ? EVB_FOREVER : left); /* 0: taken, so about to be woken */
    }
    if (keeper) evb__st_sc(&pool->keeper, 0);
    evb__st_rlx(&w->woken, 0); /* ours: nobody wakes who is not in idle */
    return due;
}

static bool goes_on(const struct evb__worker *w)
{
    return evb__ld_sc(&w->pool->state) != EVB__POOL_ENDED || evb__pool_has_work(w->pool);
}

/* false: the pool has ended. */
static bool go_to_sleep(struct evb__worker *w)
{
    evb_pool *pool = w->pool;
    uint64_t all = (UINT64_C(1) << pool->started) - 1;
    uint64_t idle = evb__idle_park(&pool->idle, w->index, w->searching);
    int64_t asleep;

    w->searching = false;
    /* Whoever ends the pool wakes those who are in idle then; who comes later sees it here. */
    if (!evb__pool_has_work(pool) && evb__ld_sc(&pool->state) != EVB__POOL_ENDED && idle == all)
        all_asleep(w);
    if (evb__pool_has_work(pool) || evb__ld_sc(&pool->state) == EVB__POOL_ENDED) {
        if (evb__idle_take_this(&pool->idle, w->index)) {
            w->searching = true;
            return goes_on(w);
        }
    }
    asleep = evb__clock_mono();
    if (doze(w)) evb__timers_look(w);
    /* Work that comes sooner than a worker wakes up is worth waiting for next time. */
    if (evb__clock_mono() - asleep >= 2 * SPIN_NS)
        w->eager = w->eager > 0 ? w->eager - 1 : 0;
    else if (w->eager < SPIN_SURE)
        w->eager++;
    w->searching = true; /* whoever took us out of idle has counted us */
    return goes_on(w);
}

/* Looks around for as long as waking would take, if work came that soon of late. */
static bool spin(struct evb__worker *w, struct evb__task *ret_task)
{
    evb_pool *pool = w->pool;
    int64_t budget = pool->spin_us == 0 ? SPIN_NS : (int64_t)pool->spin_us * 1000, start;

    if (pool->spin_us == UINT32_MAX || (pool->spin_us == 0 && w->eager == 0)) return false;
    start = evb__clock_mono();
    for (uint32_t turn = 0;; turn++) {
        evb__spin_pause(turn);
        if (turn % 8 != 7) continue;
        if (find(w, ret_task)) {
            if (w->eager < SPIN_SURE) w->eager++;
            return true;
        }
        if (evb__clock_mono() - start >= budget) break;
    }
    if (w->eager > 0) w->eager--;
    return false;
}

/* Timers, and nobody sleeps for them: who kept the time has been woken. Somebody who sleeps has to take over.
 */
static bool is_unkept(evb_pool *pool)
{
    return evb__ld_sc(&pool->next_due) != UINT64_MAX && evb__ld_sc(&pool->keeper) == 0;
}

/* It has found a task as a searcher, or with a timer unkept. */
static void found(struct evb__worker *w)
{
    evb_pool *pool = w->pool;

    if (w->searching ? evb__idle_found(&pool->idle) && (evb__pool_has_work(pool) || is_unkept(pool))
                     : is_unkept(pool))
        evb__pool_notify(pool);
    w->searching = w->unkept = false;
}

static bool search(struct evb__worker *w, struct evb__task *ret_task)
{
    if (!w->searching) {
        w->searching = evb__idle_search(&w->pool->idle, w->pool->started);
        if (w->searching && find(w, ret_task)) return true;
    }
    return w->searching && spin(w, ret_task);
}

/* false: the pool has ended. */
EVB__INLINE bool next_task(struct evb__worker *w, struct evb__task *ret_task)
{
    while (!find(w, ret_task) && !search(w, ret_task))
        if (!go_to_sleep(w)) return false;
    if (evb__unlikely(w->searching || w->unkept)) found(w);
    return true;
}

void evb__worker_main(void *worker)
{
    struct evb__worker *w = worker;
    evb_pool *pool = w->pool;
    struct evb__task task;

    evb__mutex_lock(&pool->lock); /* until all threads are started */
    evb__mutex_unlock(&pool->lock);
    evb__self()->worker = w;
    if (pool->on_thread_start != NULL) pool->on_thread_start(pool->thread_user);
    while (next_task(w, &task))
        execute(w, &task);
    if (pool->on_thread_stop != NULL) pool->on_thread_stop(pool->thread_user);
    evb__pool_worker_ended(w); /* the pool may be gone afterwards */
}
