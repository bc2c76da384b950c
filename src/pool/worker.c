/* SPDX-License-Identifier: MIT */
/* A worker: where it finds work, and how it sleeps. */
#include "pool/pool.h"

#include "base/clock.h"
#include "base/park.h"
#include "pool/idle.h"
#include "pool/timer.h"

#define SPIN_SURE  3u
#define LOOK_EVERY 8u    /* pauses of a spinning worker between two looks */
#define CALM_MAX   512u  /* pauses: no longer than waking up takes */
#define SPIN_NS    20000 /* adaptive: what waking a worker costs */

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

static uint32_t take_shared(struct evb__worker *w, struct evb__task *ret_tasks)
{
    evb_pool *pool = w->pool;
    uint32_t inside = evb__swap_about(pool->inject), n = inside / pool->started + 1;

    if (n > EVB__POOL_BATCH) n = EVB__POOL_BATCH;
    n = inject_pop(pool, ret_tasks, n);
    w->came = n != 0 && inside > n ? inside : n;
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

/* A stream of small tasks costs least in large pieces. Close behind its producers each task makes several
 * cache lines travel from one processor to the other, and back; far behind, they travel once for many tasks,
 * and who posts to a strand finds it scheduled already. So a spinning worker that has found several tasks,
 * but few, lets more of them gather next time: for `calm` pauses, as long as they keep coming, and not when
 * they come slower than one in four pauses. */
static uint32_t enough(const evb_pool *pool)
{
    return (pool->inject->front.c.s.mask + 1) / 4;
}

EVB__INLINE bool find(struct evb__worker *w, struct evb__task *ret_task)
{
    if (evb__unlikely(--w->until == 0) && find_in_turn(w, ret_task)) return true;
    if (evb__local_pop(&w->local, ret_task, w->pool->started == 1)) return true;
    if (w->calm > LOOK_EVERY && w->came < enough(w->pool) && !w->searching) return false; /* see gather */
    return find_elsewhere(w, ret_task);
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
    struct evb__worker *w = &pool->workers[index];

    evb__st_rlx(&w->woken_ns, evb__clock_mono()); /* relaxed: woken brings it */
    evb__st_rel(&w->woken, 1);                    /* pairs with doze: it has been taken out of idle */
    evb__wake_one(&w->woken);
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

/* The keeper says until when it sleeps, and then looks again: who sets an earlier timer either is seen here,
 * or sees that time and wakes it. Nanoseconds. */
static int64_t keep_time(struct evb__worker *w)
{
    evb_pool *pool = w->pool;
    uint64_t next;

    do {
        next = evb__ld_sc(&pool->next_due);
        evb__st_sc(&pool->keeper, evb__keeper(next, w->index)); /* pairs with the load in earlier (timer.c) */
    } while (evb__ld_sc(&pool->next_due) < next);
    return evb__timers_left(next);
}

/* Sleeps until woken or, as the keeper of the time, until a timer is due. true: by the time. */
static bool doze(struct evb__worker *w)
{
    evb_pool *pool = w->pool;
    uint64_t nobody = 0;
    bool keeper = evb__ld_sc(&pool->next_due) != UINT64_MAX &&
                  evb__cas_sc(&pool->keeper, &nobody, evb__keeper(UINT64_MAX, w->index));
    bool due = false;

    while (evb__ld_acq(&w->woken) == 0) { /* pairs with evb__pool_wake_worker */
        int64_t left = keeper ? keep_time(w) : EVB_FOREVER;

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
    int64_t asleep, until;

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
    if (doze(w)) {
        evb__timers_look(w);
        until = evb__clock_mono();
    } else {
        until = evb__ld_rlx(&w->woken_ns); /* relaxed: woken was acquired */
    }
    /* Work that comes sooner than a worker wakes up is worth waiting for next time. */
    if (until - asleep >= SPIN_NS)
        w->eager = w->eager > 0 ? w->eager - 1 : 0;
    else if (w->eager < SPIN_SURE)
        w->eager++;
    w->searching = true; /* whoever took us out of idle has counted us */
    return goes_on(w);
}

static void gather(const struct evb__worker *w)
{
    const evb_pool *pool = w->pool;
    uint32_t before = evb__swap_about(pool->inject);

    for (uint32_t turn = 0; before != 0 && before < enough(pool) && turn < w->calm; turn++) {
        evb__spin_pause(turn);
        if (turn % (4 * LOOK_EVERY) == 4 * LOOK_EVERY - 1) {
            uint32_t now = evb__swap_about(pool->inject);

            if (now <= before) break;
            before = now;
        }
    }
}

static void learn_calm(struct evb__worker *w)
{
    if (4 * w->came < w->calm)
        w->calm /= 2;
    else if (w->came > 1 && w->came < enough(w->pool) && w->calm < CALM_MAX)
        w->calm = w->calm < LOOK_EVERY ? 2 * LOOK_EVERY : 2 * w->calm;
}

/* A worker that looks around takes a CPU from a thread that could work, unless there is one to spare beside
 * the workers that are awake. */
static bool may_spin(const struct evb__worker *w)
{
    const evb_pool *pool = w->pool;
    uint64_t parked;

    if (pool->spin_us != 0) return pool->spin_us != UINT32_MAX;
    if (w->eager == 0) return false;
    parked = evb__ld_rlx(&pool->idle) & EVB__IDLE_PARKED_MASK; /* relaxed: about now */
    return pool->started - (uint32_t)__builtin_popcountll(parked) < pool->cpus;
}

/* Looks around for as long as waking would take, if work came that soon of late. */
static bool spin(struct evb__worker *w, struct evb__task *ret_task)
{
    evb_pool *pool = w->pool;
    int64_t budget = pool->spin_us == 0 ? SPIN_NS : (int64_t)pool->spin_us * 1000, start;

    if (!may_spin(w)) {
        w->calm = 0;
        return false;
    }
    start = evb__clock_mono();
    for (uint32_t turn = 0;; turn++) {
        evb__spin_pause(turn);
        if (turn % LOOK_EVERY != LOOK_EVERY - 1) continue;
        if (w->calm > LOOK_EVERY) gather(w);
        if (find(w, ret_task)) {
            learn_calm(w);
            if (w->eager < SPIN_SURE) w->eager++;
            return true;
        }
        if (evb__clock_mono() - start >= budget || !may_spin(w)) break;
    }
    w->calm /= 2;
    if (w->eager > 0) w->eager--;
    return false;
}

/* Timers, and nobody sleeps for them: who kept the time has been woken. Somebody who sleeps has to take over.
 */
static bool is_unkept(evb_pool *pool)
{
    return evb__ld_sc(&pool->next_due) != UINT64_MAX && evb__ld_sc(&pool->keeper) == 0;
}

/* It has found a task as a searcher. */
static void found(struct evb__worker *w)
{
    evb_pool *pool = w->pool;

    w->searching = false;
    if (evb__idle_found(&pool->idle) && (evb__pool_has_work(pool) || is_unkept(pool))) evb__pool_notify(pool);
}

static bool search(struct evb__worker *w, struct evb__task *ret_task)
{
    if (!w->searching) {
        w->searching = evb__idle_search(&w->pool->idle, w->pool->started);
        if ((!w->searching || w->calm <= LOOK_EVERY) && find_elsewhere(w, ret_task)) return true;
    }
    return w->searching && spin(w, ret_task);
}

/* false: the pool has ended. */
EVB__INLINE bool next_task(struct evb__worker *w, struct evb__task *ret_task)
{
    while (!find(w, ret_task) && !search(w, ret_task))
        if (!go_to_sleep(w)) return false;
    if (evb__unlikely(w->searching)) found(w);
    return true;
}

void evb__worker_main(void *worker)
{
    struct evb__worker *w = worker;
    evb_pool *pool = w->pool;
    struct evb__task task;

    evb__lock_acquire(&pool->lock); /* until all threads are started */
    evb__lock_release(&pool->lock);
    evb__self()->worker = w;
    if (pool->on_thread_start != NULL) pool->on_thread_start(pool->thread_user);
    while (next_task(w, &task))
        execute(w, &task);
    if (pool->on_thread_stop != NULL) pool->on_thread_stop(pool->thread_user);
    evb__pool_worker_ended(w); /* the pool may be gone afterwards */
}
