/* SPDX-License-Identifier: MIT */
/* The pool itself: made, given work, waited for, ended. */
#include "pool/pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/opts.h"
#include "base/park.h"
#include "pool/cpus.h"
#include "pool/idle.h"
#include "pool/timer.h"

#include <stdio.h>
#include <string.h>

#define CAPACITY_DEFAULT 4096u
#define CAPACITY_MAX     (UINT32_C(1) << 19) /* of a lock-free ring */
#define MANY             64u                 /* tasks of a submit_many that are pushed at a time */
#define UNSURE_NS        1000000 /* a sleep in which a wake-up may be missed: evb__eventcount_prepare */

/* ---- made and freed ---- */

static void free_pool(evb_pool *pool)
{
    evb__free(pool->workers, pool->threads * sizeof *pool->workers);
    evb_ring_destroy(pool->inject);
    evb__timers_destroy(pool);
    evb__free(pool, sizeof *pool);
}

static int32_t make_parts(evb_pool *pool, uint32_t capacity)
{
    evb_ring_opts inject = {.capacity = capacity, .elem_bytes = sizeof(struct evb__task)};
    int32_t rc = evb_ring_create(&inject, &pool->inject);

    if (rc == EVB_OK) rc = evb__timers_create(pool);
    if (rc != EVB_OK) return rc;
    pool->workers = evb__zalloc(pool->threads * sizeof *pool->workers, 128);
    if (pool->workers == NULL) return EVB_ENOMEM;
    for (uint32_t i = 0; i < pool->threads; i++) {
        struct evb__worker *w = &pool->workers[i];

        w->pool = pool;
        w->index = i;
        w->random = i;
        w->until = EVB__POOL_TURN;
    }
    return EVB_OK;
}

int32_t evb_pool_create(const evb_pool_opts *opts, evb_pool **ret_pool)
{
    evb_pool_opts o;
    evb_pool *pool;
    int32_t rc;

    if (ret_pool == NULL) return EVB_EINVAL;
    if ((rc = EVB__OPTS_READ(&o, opts)) != EVB_OK) return rc;
    if (o.threads > EVB__POOL_MAX_THREADS || o.queue_capacity > CAPACITY_MAX) return EVB_EINVAL;
    if ((rc = evb__readers_init(NULL, NULL)) != EVB_OK) return rc;
    pool = evb__zalloc(sizeof *pool, 128);
    if (pool == NULL) return EVB_ENOMEM;
    evb__lock_init(&pool->lock);
    pool->asymmetric = evb__barrier_asymmetric();
    pool->cpus = evb__cpus();
    pool->generation = evb__process_generation();
    pool->threads = o.threads != 0                       ? o.threads
                    : pool->cpus < EVB__POOL_MAX_THREADS ? pool->cpus
                                                         : EVB__POOL_MAX_THREADS;
    pool->spin_us = o.spin_us;
    pool->stack_bytes = o.stack_bytes;
    (void)snprintf(pool->name, sizeof pool->name, "%s", o.name != NULL ? o.name : "evbus");
    pool->on_thread_start = o.on_thread_start;
    pool->on_thread_stop = o.on_thread_stop;
    pool->on_discard = o.on_discard;
    pool->thread_user = o.thread_user;
    evb__init(&pool->refs, 1);
    evb__init(&pool->users, 1);
    rc = make_parts(pool, o.queue_capacity != 0 ? o.queue_capacity : CAPACITY_DEFAULT);
    if (rc != EVB_OK) {
        free_pool(pool);
        return rc;
    }
    *ret_pool = pool;
    return EVB_OK;
}

void evb__pool_ref(evb_pool *pool)
{
    (void)evb__add_rlx(&pool->refs, 1); /* relaxed: the caller has one */
}

void evb__pool_unref(evb_pool *pool)
{
    /* acq_rel: whoever frees it comes after all who have used it */
    if (evb__sub_acqrel(&pool->refs, 1) == 1) free_pool(pool);
}

/* ---- threads ---- */

/* Under the lock. All threads, or as many as the system lets us have. */
static int32_t start_locked(evb_pool *pool)
{
    int32_t rc = EVB_OK;
    uint32_t n = 0;

    /* They see state NEW until all exist, and wait for the lock below. */
    while (n < pool->threads) {
        char name[EVB__POOL_NAME + 12];

        (void)snprintf(name, sizeof name, "%.*s-%u", n < 10 ? 13 : 12, pool->name, (unsigned)n);
        rc = evb__thread_create(&pool->workers[n].thread, evb__worker_main, &pool->workers[n], name,
                                pool->stack_bytes);
        if (rc != EVB_OK) break;
        n++;
    }
    if (n == 0) return rc == EVB_EINVAL ? EVB_EINVAL : EVB_EAGAIN;
    pool->started = n;
    (void)evb__add_rlx(&pool->refs, n);          /* relaxed: the caller has one */
    evb__st_sc(&pool->state, EVB__POOL_RUNNING); /* release: started; pairs with evb__pool_admit */
    return EVB_OK;
}

EVB__COLD int32_t evb__pool_admit_slow(evb_pool *pool)
{
    uint32_t state = evb__ld_acq(&pool->state); /* pairs with start_locked */
    int32_t rc = EVB_OK;

    if (state == EVB__POOL_NEW) {
        evb__lock_acquire(&pool->lock);
        state = evb__ld_rlx(&pool->state); /* changes from NEW under the lock */
        if (state == EVB__POOL_NEW) rc = start_locked(pool);
        evb__lock_release(&pool->lock);
        if (state == EVB__POOL_NEW || state == EVB__POOL_RUNNING) return rc;
    }
    /* While it drains, what runs may still bring more. */
    return state == EVB__POOL_DRAINING && evb__worker_of(pool) != NULL ? EVB_OK : EVB_ECLOSED;
}

/* The last that a worker does with the pool. */
void evb__pool_worker_ended(struct evb__worker *worker)
{
    evb_pool *pool = worker->pool;
    struct evb__self *self = evb__self();

    self->worker = NULL;
    /* acq_rel: nobody will join us; pairs with orphan */
    if (evb__xchg_acqrel(&worker->parting, EVB__WORKER_ENDED) == EVB__POOL_ORPHANED)
        evb__thread_detach(&worker->thread);
    (void)evb__add_acqrel(&pool->left, 1); /* pairs with the load in is_over */
    evb__pool_changed(pool);
    evb__pool_unref(pool); /* start_locked's; the pool may be gone */
}

/* ---- work ---- */

bool evb__pool_must_not_wait(const evb_pool *pool)
{
    return evb__worker_of(pool) != NULL || evb__in_callback(evb__self());
}

/* To a pool that is full, or whose threads do not run, or from its own worker. */
EVB__COLD static int32_t submit_slowly(evb_pool *pool, const struct evb__task *task, int64_t timeout_ns)
{
    struct evb__worker *w;
    int32_t rc;

    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    if ((rc = evb__pool_admit(pool)) != EVB_OK) return rc;
    w = evb__worker_of(pool);
    if (w != NULL) {
        rc = evb__worker_push(w, *task);
        return rc == EVB_EFULL && timeout_ns != 0 ? EVB_EDEADLK : rc;
    }
    rc = evb_ring_push(pool->inject, task, timeout_ns);
    if (rc == EVB_OK) evb__pool_notify(pool);
    return rc;
}

int32_t evb_pool_submit(evb_pool *pool, evb_task_fn fn, void *arg, int64_t timeout_ns)
{
    struct evb__task task = {fn, arg};
    const struct evb__self *self = evb__self();

    if (pool == NULL || fn == NULL || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    /* the same generation: this is the process that made it, and the thread has its number */
    if (evb__likely(self->generation == pool->generation && self->worker == NULL &&
                    evb__ld_acq(&pool->state) == EVB__POOL_RUNNING) && /* pairs with start_locked */
        evb__likely(evb__pool_inject(pool, self->number, &task) == EVB_OK)) {
        evb__pool_notify(pool);
        return EVB_OK;
    }
    return submit_slowly(pool, &task, timeout_ns);
}

int32_t evb_pool_submit_many(evb_pool *pool, evb_task_fn fn, void *const *args, uint32_t n)
{
    struct evb__task tasks[MANY];
    uint32_t done = 0;
    int32_t rc;

    if (pool == NULL || fn == NULL || (args == NULL && n != 0)) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    rc = evb__pool_admit(pool);
    if (rc != EVB_OK || n == 0) return rc;
    if (n > INT32_MAX) n = INT32_MAX;
    while (done < n) {
        uint32_t count = n - done < MANY ? n - done : MANY;

        for (uint32_t i = 0; i < count; i++)
            tasks[i] = (struct evb__task){fn, args[done + i]};
        rc = evb__pool_push_many(pool, tasks, count);
        if (rc < 0) break;
        done += (uint32_t)rc;
        evb__pool_notify(pool);
        if ((uint32_t)rc < count) break;
    }
    return done != 0 ? (int32_t)done : rc;
}

/* ---- wait and end ---- */

void evb__pool_changed(evb_pool *pool)
{
    if (evb__unlikely(evb__eventcount_look(&pool->waiters, pool->asymmetric)))
        evb__eventcount_wake(&pool->waiters, &pool->changes);
}

static bool is_over(void *arg)
{
    evb_pool *pool = arg;
    uint32_t state = evb__ld_acq(&pool->state);

    /* pairs with evb__pool_worker_ended */
    return state == EVB__POOL_ENDED && evb__ld_acq(&pool->left) == pool->started;
}

/* No task is queued or running, no one-shot timer outstanding. */
static bool is_quiet(void *arg)
{
    evb_pool *pool = arg;
    uint32_t state = evb__ld_acq(&pool->state); /* pairs with start_locked */
    uint64_t all = (UINT64_C(1) << pool->started) - 1;

    if (state == EVB__POOL_NEW) return true;
    if (state == EVB__POOL_ENDED) return is_over(pool);
    /* Twice the same, and nothing to be found in between: so at the second look nothing ran. */
    if (evb__ld_sc(&pool->idle) != all || evb__pool_has_work(pool)) return false;
    return evb__ld_sc(&pool->idle) == all && !evb__timers_outstanding(pool);
}

int32_t evb__pool_wait(evb_pool *pool, bool (*done)(void *arg), void *arg, int64_t timeout_ns)
{
    int64_t deadline = evb__deadline(timeout_ns);

    for (;;) {
        bool sure;
        uint32_t key = evb__eventcount_prepare(&pool->waiters, &pool->changes, pool->asymmetric, &sure);
        int64_t left;

        if (done(arg)) return EVB_OK; /* after the registration: what comes later wakes us */
        left = evb__remaining(deadline);
        if (left == 0) return timeout_ns == 0 ? EVB_EAGAIN : EVB_ETIMEDOUT;
        if (!sure && (left == EVB_FOREVER || left > UNSURE_NS)) left = UNSURE_NS;
        (void)evb__park(&pool->changes, key, left);
    }
}

int32_t evb_pool_wait_idle(evb_pool *pool, int64_t timeout_ns)
{
    if (pool == NULL || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK;
    return evb__pool_wait(pool, is_quiet, pool, timeout_ns);
}

/* Closes the pool to work from outside; workers leave when nothing is left. */
static void begin_end(evb_pool *pool, uint32_t mode)
{
    uint32_t wanted = mode == EVB_DISCARD ? EVB__POOL_DISCARDING : EVB__POOL_DRAINING, state;

    evb_ring_close(pool->inject); /* first: who sees the state sees the ring closed, worker.c all_asleep */
    evb__lock_acquire(&pool->lock);
    state = evb__ld_sc(&pool->state);
    if (state == EVB__POOL_NEW) wanted = EVB__POOL_ENDED; /* there is no thread, and no work */
    while (state < wanted && !evb__cas_sc(&pool->state, &state, wanted)) { /* against all_asleep */
    }
    evb__lock_release(&pool->lock);
    evb__timers_cancel_all(pool);
    /* All asleep? Then one has to find that out. */
    for (uint32_t i = 0; i < pool->started; i++) {
        if (!evb__idle_take_this(&pool->idle, i)) continue;
        evb__pool_wake_worker(pool, i);
        break;
    }
}

static void join(evb_pool *pool)
{
    bool mine;

    evb__lock_acquire(&pool->lock);
    mine = !pool->joined;
    pool->joined = true;
    evb__lock_release(&pool->lock);
    for (uint32_t i = 0; mine && i < pool->started; i++)
        evb__thread_join(&pool->workers[i].thread);
}

int32_t evb_pool_shutdown(evb_pool *pool, uint32_t mode, int64_t timeout_ns)
{
    int32_t rc;

    if (pool == NULL || mode > EVB_DISCARD || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK;
    begin_end(pool, mode);
    rc = evb__pool_wait(pool, is_over, pool, timeout_ns);
    if (rc == EVB_OK) join(pool);
    return rc;
}

/* The threads cannot be joined here: each detaches itself when it ends; those that have ended are detached
 * now. */
static void orphan(evb_pool *pool)
{
    bool joined;

    evb__lock_acquire(&pool->lock);
    joined = pool->joined;
    pool->joined = true;
    evb__lock_release(&pool->lock);
    for (uint32_t i = 0; !joined && i < pool->started; i++) {
        struct evb__worker *w = &pool->workers[i];

        /* acq_rel: pairs with evb__pool_worker_ended */
        if (evb__xchg_acqrel(&w->parting, EVB__POOL_ORPHANED) == EVB__WORKER_ENDED)
            evb__thread_detach(&w->thread);
    }
}

void evb__pool_hold(evb_pool *pool)
{
    (void)evb__add_rlx(&pool->users, 1); /* relaxed: the caller is one, or has it from one */
}

void evb__pool_release(evb_pool *pool)
{
    if (!evb__pool_ours(pool)) return;
    /* acq_rel: who ends it comes after all who have used it */
    if (evb__sub_acqrel(&pool->users, 1) != 1) return;
    if (evb__pool_must_not_wait(pool)) {
        begin_end(pool, EVB_DRAIN);
        orphan(pool);
    } else {
        (void)evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER);
    }
    evb__pool_unref(pool);
}

void evb_pool_destroy(evb_pool *pool)
{
    if (pool != NULL) evb__pool_release(pool);
}
