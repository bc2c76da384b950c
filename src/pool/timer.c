/* SPDX-License-Identifier: MIT */
/* Timers: arming, firing, canceling. The states stand in timer.h. */
#include "pool/timer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/park.h"
#include "pool/idle.h"
#include "pool/wheel.h"

#include <string.h>

#define TICK_NS    INT64_C(1000000)
#define CHUNK      256u
#define CHUNKS_MAX 4096u /* a million timers */
#define FIRE_MAX   64u   /* at a look: the lock is short */

enum timer_state { FREE, ARMED, QUEUED, RUNNING };

struct timer {
    struct evb__runnable runnable; /* first */
    struct evb__wheel_entry entry;
    evb_pool *pool;
    struct timer *next_free;
    evb_task_fn fn;
    void *arg;
    int64_t period_ns; /* 0: one-shot */
    int64_t due_ns;
    uint32_t number, generation;
    enum timer_state state;
    bool canceled; /* QUEUED: will not run; RUNNING: will not be armed again */
};

struct evb__timers {
    struct evb__wheel wheel;
    struct timer *free;
    uint32_t chunks;
    uint32_t outstanding; /* one-shots that are not FREE; periodic ones that are QUEUED or RUNNING */
    struct timer *chunk[CHUNKS_MAX];
};

static void run_timer(struct evb__runnable *runnable, bool discard);

int32_t evb__timers_create(evb_pool *pool)
{
    pool->timers = evb__zalloc(sizeof *pool->timers, EVB__CACHE_LINE);
    if (pool->timers == NULL) return EVB_ENOMEM;
    evb__wheel_init(&pool->timers->wheel, (uint64_t)(evb__clock_mono() / TICK_NS));
    evb__init(&pool->next_due, UINT64_MAX);
    return EVB_OK;
}

void evb__timers_destroy(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;

    if (t == NULL) return;
    for (uint32_t i = 0; i < t->chunks; i++)
        evb__free(t->chunk[i], CHUNK * sizeof(struct timer));
    evb__free(t, sizeof *t);
}

/* ---- records, under the lock ---- */

static int32_t add_chunk_locked(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;
    struct timer *chunk;

    if (t->chunks == CHUNKS_MAX) return EVB_ENOMEM;
    chunk = evb__zalloc(CHUNK * sizeof *chunk, EVB__CACHE_LINE);
    if (chunk == NULL) return EVB_ENOMEM;
    for (uint32_t i = CHUNK; i-- > 0;) {
        chunk[i].runnable.run = run_timer;
        chunk[i].pool = pool;
        chunk[i].number = t->chunks * CHUNK + i;
        chunk[i].generation = 1;
        chunk[i].next_free = t->free;
        t->free = &chunk[i];
    }
    t->chunk[t->chunks++] = chunk;
    return EVB_OK;
}

static int64_t id_of(const struct timer *timer)
{
    return (int64_t)timer->generation << 32 | timer->number;
}

static struct timer *find_locked(const evb_pool *pool, int64_t id)
{
    uint32_t number = (uint32_t)id, generation = (uint32_t)(id >> 32);
    struct timer *timer;

    if (number / CHUNK >= pool->timers->chunks) return NULL;
    timer = &pool->timers->chunk[number / CHUNK][number % CHUNK];
    return timer->generation == generation && timer->state != FREE ? timer : NULL;
}

static void free_locked(struct timer *timer)
{
    struct evb__timers *t = timer->pool->timers;

    timer->state = FREE;
    timer->canceled = false;
    timer->generation = timer->generation == INT32_MAX ? 1 : timer->generation + 1; /* ids stay positive */
    timer->next_free = t->free;
    t->free = timer;
}

static void arm_locked(struct timer *timer)
{
    evb_pool *pool = timer->pool;

    timer->state = ARMED;
    timer->entry.tick = (uint64_t)(timer->due_ns / TICK_NS) + (timer->due_ns % TICK_NS != 0);
    evb__wheel_add(&pool->timers->wheel, &timer->entry);
}

/* seq_cst: whoever goes to sleep looks at it after he has said so (worker.c, doze). */
static void publish_next_locked(evb_pool *pool)
{
    evb__st_sc(&pool->next_due, evb__wheel_next(&pool->timers->wheel));
}

/* ---- arming ---- */

/* The next timer has become an earlier one: the keeper must sleep shorter, so it is woken to look anew;
 * without one somebody must become it. */
static void earlier(evb_pool *pool)
{
    uint32_t keeper = evb__ld_sc(&pool->keeper); /* pairs with doze */

    if (keeper == 0)
        evb__pool_notify(pool);
    else if (evb__idle_take_this(&pool->idle, keeper - 1))
        evb__pool_wake_worker(pool, keeper - 1);
}

static int64_t submit_timer(evb_pool *pool, evb_task_fn fn, void *arg, int64_t first_ns, int64_t period_ns)
{
    struct timer *timer;
    uint64_t before;
    int64_t now, id;
    int32_t rc;

    rc = evb__pool_admit(pool);
    if (rc != EVB_OK) return rc;
    now = evb__clock_mono();
    evb__mutex_lock(&pool->lock);
    rc = evb__ld_rlx(&pool->state) != EVB__POOL_RUNNING ? EVB_ECLOSED : EVB_OK; /* changes under the lock */
    if (rc == EVB_OK && pool->timers->free == NULL) rc = add_chunk_locked(pool);
    if (rc != EVB_OK) {
        evb__mutex_unlock(&pool->lock);
        return rc;
    }
    timer = pool->timers->free;
    pool->timers->free = timer->next_free;
    timer->fn = fn;
    timer->arg = arg;
    timer->period_ns = period_ns;
    timer->due_ns = first_ns < INT64_MAX - now ? now + first_ns : INT64_MAX;
    if (period_ns == 0) pool->timers->outstanding++;
    before = evb__ld_rlx(&pool->next_due); /* changes under the lock */
    arm_locked(timer);
    id = id_of(timer);
    publish_next_locked(pool);
    evb__mutex_unlock(&pool->lock);
    if (evb__ld_rlx(&pool->next_due) < before) earlier(pool);
    return id;
}

int64_t evb_pool_submit_after(evb_pool *pool, int64_t delay_ns, evb_task_fn fn, void *arg)
{
    if (pool == NULL || fn == NULL || delay_ns < 0) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    return submit_timer(pool, fn, arg, delay_ns, 0);
}

int64_t evb_pool_submit_every(evb_pool *pool, int64_t period_ns, evb_task_fn fn, void *arg)
{
    if (pool == NULL || fn == NULL || period_ns <= 0) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    return submit_timer(pool, fn, arg, period_ns, period_ns);
}

/* ---- firing ---- */

int64_t evb__timers_left(const evb_pool *pool)
{
    uint64_t next = evb__ld_sc(&pool->next_due); /* after keeper was set: pairs with publish_next_locked */
    int64_t left;

    if (next == UINT64_MAX) return EVB_FOREVER;
    left = (int64_t)next * TICK_NS - evb__clock_mono();
    return left > 0 ? left : 0;
}

void evb__timers_look(struct evb__worker *worker)
{
    evb_pool *pool = worker->pool;
    uint64_t next = evb__ld_rlx(&pool->next_due), now; /* relaxed: a look; the lock decides */

    if (next == UINT64_MAX) return;
    now = (uint64_t)(evb__clock_mono() / TICK_NS);
    if (next > now) return;
    evb__mutex_lock(&pool->lock);
    for (uint32_t i = 0; i < FIRE_MAX; i++) {
        struct evb__wheel_entry *entry = evb__wheel_expire(&pool->timers->wheel, now);
        struct timer *timer;

        if (entry == NULL) break;
        timer = EVB__CONTAINER(entry, struct timer, entry);
        timer->state = QUEUED;
        if (timer->period_ns != 0) pool->timers->outstanding++;
        evb__pool_schedule(pool, &timer->runnable);
    }
    publish_next_locked(pool);
    evb__mutex_unlock(&pool->lock);
}

/* The run after this one: one period after it was due; what was missed beyond one run is skipped. */
static int64_t due_next(const struct timer *timer, int64_t now)
{
    int64_t missed = (now - timer->due_ns) / timer->period_ns;

    if (missed > 1) return timer->due_ns + missed * timer->period_ns;
    return timer->due_ns < INT64_MAX - timer->period_ns ? timer->due_ns + timer->period_ns : INT64_MAX;
}

static void run_timer(struct evb__runnable *runnable, bool discard)
{
    struct timer *timer = EVB__CONTAINER(runnable, struct timer, runnable);
    evb_pool *pool = timer->pool;
    evb_task_fn fn;
    void *arg;
    bool run, oneshot;

    evb__mutex_lock(&pool->lock);
    run = !timer->canceled;
    fn = timer->fn;
    arg = timer->arg;
    oneshot = timer->period_ns == 0;
    timer->state = RUNNING;
    evb__mutex_unlock(&pool->lock);

    if (run && !discard)
        fn(arg);
    else if (run && oneshot)
        evb__pool_discard(pool, arg);

    evb__mutex_lock(&pool->lock);
    pool->timers->outstanding--;
    if (oneshot || timer->canceled || discard || evb__ld_rlx(&pool->state) != EVB__POOL_RUNNING) {
        free_locked(timer);
    } else {
        timer->due_ns = due_next(timer, evb__clock_mono());
        arm_locked(timer);
        publish_next_locked(pool);
    }
    evb__mutex_unlock(&pool->lock);
    evb__pool_changed(pool); /* evb_pool_cancel_wait */
}

/* ---- canceling ---- */

static int32_t cancel_locked(evb_pool *pool, int64_t id)
{
    struct timer *timer = find_locked(pool, id);

    if (timer == NULL || timer->canceled) return EVB_ENOTFOUND;
    switch (timer->state) {
    case ARMED:
        evb__wheel_remove(&pool->timers->wheel, &timer->entry);
        if (timer->period_ns == 0) pool->timers->outstanding--;
        free_locked(timer);
        publish_next_locked(pool);
        return EVB_OK;
    case QUEUED:
        timer->canceled = true;
        return EVB_OK;
    default: /* RUNNING */
        if (timer->period_ns == 0) return EVB_ENOTFOUND;
        timer->canceled = true;
        return EVB_OK;
    }
}

int32_t evb_pool_cancel(evb_pool *pool, int64_t timer_id)
{
    int32_t rc;

    if (pool == NULL || timer_id <= 0) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    evb__mutex_lock(&pool->lock);
    rc = cancel_locked(pool, timer_id);
    evb__mutex_unlock(&pool->lock);
    evb__pool_changed(pool); /* evb_pool_wait_idle */
    return rc;
}

static bool runs(evb_pool *pool, int64_t id)
{
    const struct timer *timer;
    bool running;

    evb__mutex_lock(&pool->lock);
    timer = find_locked(pool, id);
    running = timer != NULL && timer->state == RUNNING;
    evb__mutex_unlock(&pool->lock);
    return running;
}

int32_t evb_pool_cancel_wait(evb_pool *pool, int64_t timer_id)
{
    int32_t rc = evb_pool_cancel(pool, timer_id);

    if (rc != EVB_OK && rc != EVB_ENOTFOUND) return rc;
    if (!runs(pool, timer_id)) return rc;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK;
    for (;;) {
        uint32_t key = evb__ld_acq(&pool->changes); /* pairs with evb__pool_changed */

        (void)evb__xchg_acqrel(&pool->waiters,
                               1); /* pairs with evb__pool_changed: the later sees the earlier */
        if (!runs(pool, timer_id)) return rc;
        (void)evb__park(&pool->changes, key, EVB_FOREVER);
    }
}

bool evb__timers_outstanding(evb_pool *pool)
{
    bool any;

    evb__mutex_lock(&pool->lock);
    any = pool->timers->outstanding != 0;
    evb__mutex_unlock(&pool->lock);
    return any;
}

void evb__timers_cancel_all(evb_pool *pool)
{
    for (;;) {
        struct evb__wheel_entry *entry;
        struct timer *timer;
        void *arg = NULL;
        bool oneshot = false;

        evb__mutex_lock(&pool->lock);
        entry = evb__wheel_expire(&pool->timers->wheel, UINT64_MAX - 1);
        if (entry != NULL) {
            timer = EVB__CONTAINER(entry, struct timer, entry);
            arg = timer->arg;
            oneshot = timer->period_ns == 0;
            if (oneshot) pool->timers->outstanding--;
            free_locked(timer);
        }
        publish_next_locked(pool);
        evb__mutex_unlock(&pool->lock);
        if (entry == NULL) return;
        if (oneshot) evb__pool_discard(pool, arg); /* without the lock: it is the user's */
    }
}
