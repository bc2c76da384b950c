/* SPDX-License-Identifier: MIT */
/* evb_pool inside: who holds work, and how a worker gets it.
 *
 *      submit -> inject --+--> worker 0: local ring <-- steals -- worker 1
 *                         |
 *              overflow --+      what must be scheduled and fits nowhere
 *
 * inject is a lock-free ring that every thread pushes (its capacity is the pool's), local a small ring that
 * its worker fills and everybody takes from (local.h). A *runnable* is something that exists once and is
 * queued at most once: a strand, or a timer that is due; scheduling one cannot fail, because the overflow
 * list is linked through it. A task is 16 bytes by value.
 *
 * Invariant: a task or runnable is in exactly one place, or being run; whoever makes one visible looks at
 * `idle` afterwards, whoever goes to sleep says so in `idle` before he looks around (idle.h). Threads: any
 * may submit; the rest is the workers'. No lock is held while a task runs; `lock` guards starting, ending and
 * the timers.
 */
#ifndef EVB__POOL_POOL_H
#define EVB__POOL_POOL_H

#include <evbus/pool.h>
#include <evbus/ring.h>
#include <stdbool.h>
#include "base/atomic.h"
#include "base/reader.h"
#include "base/thread.h"
#include "pool/local.h"
#include "pool/lock.h"
#include "ring/swap.h"

#define EVB__POOL_MAX_THREADS 48u /* bits of idle */
#define EVB__POOL_BATCH       32u /* tasks taken at a time */
#define EVB__POOL_TURN        61u /* tasks; then other places than the local ring come first, and timers */
#define EVB__POOL_NAME        16u

/* run gets the runnable; discard: what it holds goes to on_discard instead. */
struct evb__runnable {
    struct evb__runnable *next; /* in overflow */
    void (*run)(struct evb__runnable *runnable, bool discard);
};

struct evb__worker {
    _Alignas(128) EVB__ATOMIC(uint32_t) woken; /* what it sleeps on; set by who has taken it out of idle */
    EVB__ATOMIC(int64_t) woken_ns;             /* when that was; before woken */

    /* its own */
    evb_pool *pool;
    uint32_t index;
    uint32_t turns; /* times that others than the local ring came first */
    uint32_t until; /* tasks until they do again */
    uint32_t random;
    uint32_t eager; /* how often of late work came soon, 0 to SPIN_SURE */
    uint32_t came;  /* how much was in inject when it last took from there */
    uint32_t calm;  /* pauses in which a spinning worker lets tasks gather */
    bool searching; /* counted in idle */
    struct evb__thread thread;
    EVB__ATOMIC(uint32_t) parting; /* WORKER_ENDED or POOL_ORPHANED: who comes second detaches the thread */
    struct evb__local local;
};

enum {
    EVB__WORKER_ENDED = 1,
    EVB__POOL_ORPHANED = 2 /* the pool was destroyed where its threads could not be waited for */
};

/* evb_pool.state, only rising */
enum {
    EVB__POOL_NEW = 0, /* no thread yet */
    EVB__POOL_RUNNING = 1,
    EVB__POOL_DRAINING = 2, /* closed from outside */
    EVB__POOL_DISCARDING = 3,
    EVB__POOL_ENDED = 4 /* workers leave; who schedules something now discards it himself */
};

struct evb_pool {
    /* constant */
    uint32_t generation, threads /* wanted */, spin_us;
    uint32_t cpus;
    size_t stack_bytes;
    char name[EVB__POOL_NAME];
    evb_task_fn on_thread_start, on_thread_stop, on_discard;
    void *thread_user;
    evb_ring *inject;
    struct evb__worker *workers;
    uint32_t started; /* threads that run; constant once state is not NEW */

    _Alignas(128) EVB__ATOMIC(uint64_t) idle; /* idle.h */
    EVB__ATOMIC(uint32_t) state;
    EVB__ATOMIC(uint64_t) keeper;   /* who sleeps for the timers, and until when: below; 0: nobody */
    EVB__ATOMIC(uint64_t) next_due; /* tick; UINT64_MAX: no timer */
    EVB__ATOMIC(uint32_t) refs;     /* of its memory: the users' together, one a thread, a strand, an alarm */
    EVB__ATOMIC(uint32_t) users; /* who made it until he destroys it, and each hold: it ends with the last */
    _Alignas(128) EVB__ATOMIC(struct evb__runnable *) overflow;

    /* evb_pool_wait_idle and evb_pool_shutdown sleep on `changes`, which steps when all workers sleep, when a
     * one-shot timer ends, when a worker leaves */
    uint32_t waiters, asymmetric; /* ring/eventcount.h */
    EVB__ATOMIC(uint32_t) changes;
    EVB__ATOMIC(uint32_t) left; /* workers that have ended */

    struct evb__lock lock; /* start, end, timers */
    struct evb__timers *timers;
    bool joined;
};

/* evb_pool.keeper: | tick, 56 bits | index + 1 | */
EVB__INLINE uint64_t evb__keeper(uint64_t until, uint32_t index)
{
    return until << 8 | (index + 1); /* of UINT64_MAX the lower bits stay: later than all ticks */
}

EVB__INLINE uint32_t evb__keeper_index(uint64_t keeper)
{
    return (uint32_t)(keeper & 0xff) - 1;
}

EVB__INLINE uint64_t evb__keeper_until(uint64_t keeper)
{
    return keeper >> 8;
}

EVB__INLINE bool evb__pool_ours(const evb_pool *pool)
{
    return pool->generation == evb__process_generation();
}

/* The calling thread's worker, if it is one of this pool. */
EVB__INLINE struct evb__worker *evb__worker_of(const evb_pool *pool)
{
    struct evb__worker *worker = evb__self()->worker;

    return worker != NULL && worker->pool == pool ? worker : NULL;
}

/* pool.c */
void evb__pool_ref(evb_pool *pool);
void evb__pool_unref(evb_pool *pool);
/* A bus uses the pool: evb_pool_destroy, called meanwhile, takes effect in the last release. */
void evb__pool_hold(evb_pool *pool);
void evb__pool_release(evb_pool *pool);
int32_t evb__pool_admit_slow(evb_pool *pool);
bool evb__pool_must_not_wait(const evb_pool *pool);
void evb__pool_worker_ended(struct evb__worker *worker);
void evb__pool_changed(evb_pool *pool); /* something that waiters wait for may have come */
/* Until done(arg). EVB_OK, EVB_ETIMEDOUT, with timeout_ns 0 EVB_EAGAIN. */
int32_t evb__pool_wait(evb_pool *pool, bool (*done)(void *arg), void *arg, int64_t timeout_ns);

/* May the calling thread bring work? Starts the threads. EVB_OK, EVB_ECLOSED, EVB_EAGAIN. */
EVB__INLINE int32_t evb__pool_admit(evb_pool *pool)
{
    /* pairs with start_locked */
    return evb__likely(evb__ld_acq(&pool->state) == EVB__POOL_RUNNING) ? EVB_OK : evb__pool_admit_slow(pool);
}

/* Into inject, without waiting: evb_ring_try_push, in line, for a thread that is known to have this number.
 * Nobody waits for elements there, so nobody is woken. */
EVB__INLINE int32_t evb__pool_inject(evb_pool *pool, uint32_t thread, const struct evb__task *task)
{
    int32_t rc =
        evb__swap_push(pool->inject, thread, task, 1, sizeof *task, sizeof *task, EVB__SWAP_WORDS, false);

    return rc > 0 ? EVB_OK : rc;
}

/* worker.c */
void evb__worker_main(void *worker);
int32_t evb__worker_push(struct evb__worker *worker, struct evb__task task); /* EVB_OK or EVB_EFULL */
int32_t evb__pool_push_many(evb_pool *pool, const struct evb__task *tasks, uint32_t n); /* count or error */
void evb__pool_schedule(evb_pool *pool, struct evb__runnable *runnable);                /* cannot fail */
void evb__pool_notify(evb_pool *pool); /* work has become visible */
void evb__pool_wake_worker(evb_pool *pool, uint32_t index);
bool evb__pool_has_work(const evb_pool *pool);
void evb__pool_discard(evb_pool *pool, void *arg);
void evb__pool_discard_overflow(evb_pool *pool);

#endif
