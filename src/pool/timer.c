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
enum timer_kind { ONCE, EVERY, ALARM };

struct timer {
    struct evb__runnable runnable; /* first */
    struct evb__wheel_entry entry;
    evb_pool *pool;
    struct timer *next_free;
    evb_task_fn fn;
    void *arg;
    int64_t period_ns; /* EVERY */
    int64_t due_ns;
    uint32_t number, generation;
    enum timer_state state;
    enum timer_kind kind;
    bool canceled; /* QUEUED: will not run; RUNNING: will not be armed again */
};

/* FREE: not set. Its record is its own and not found by an id. */
struct evb__alarm {
    struct timer timer; /* first */
    evb_task_fn gone;
    bool again;      /* QUEUED or RUNNING: timer.due_ns has been set since; armed when that is over */
    bool given_back; /* QUEUED or RUNNING: freed when that is over */
};

struct evb__timers {
    struct evb__wheel wheel;
    struct timer *free;
    uint32_t chunks;
    uint32_t outstanding; /* one-shots that are not FREE; others that are QUEUED or RUNNING */
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

/* true: the next timer is an earlier one now. seq_cst: whoever goes to sleep looks at it after he has said so
 * (worker.c, doze). */
static bool publish_next_locked(evb_pool *pool)
{
    uint64_t before = evb__ld_rlx(&pool->next_due); /* changes under the lock */
    uint64_t next = evb__wheel_next(&pool->timers->wheel);

    if (next != before) evb__st_sc(&pool->next_due, next);
    return next < before;
}

/* ---- arming ---- */

/* The next timer has become an earlier one: the keeper must sleep shorter, so it is woken to look anew;
 * without one somebody must become it. after_run: the calling worker will itself, or sees to it that another
 * one does, when it has looked for its next task. */
static void earlier(evb_pool *pool, bool after_run)
{
    uint32_t keeper = evb__ld_sc(&pool->keeper); /* pairs with doze */
    struct evb__worker *w;

    if (keeper != 0) {
        if (evb__idle_take_this(&pool->idle, keeper - 1)) evb__pool_wake_worker(pool, keeper - 1);
    } else if (after_run && (w = evb__worker_of(pool)) != NULL) {
        w->unkept = true;
    } else {
        evb__pool_notify(pool);
    }
}

static int64_t submit_timer(evb_pool *pool, evb_task_fn fn, void *arg, int64_t first_ns, int64_t period_ns)
{
    struct timer *timer;
    int64_t now, id;
    int32_t rc;
    bool sooner;

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
    timer->kind = period_ns == 0 ? ONCE : EVERY;
    timer->period_ns = period_ns;
    timer->due_ns = first_ns < INT64_MAX - now ? now + first_ns : INT64_MAX;
    if (timer->kind == ONCE) pool->timers->outstanding++;
    arm_locked(timer);
    id = id_of(timer);
    sooner = publish_next_locked(pool);
    evb__mutex_unlock(&pool->lock);
    if (sooner) earlier(pool, false);
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
        if (timer->kind != ONCE) pool->timers->outstanding++;
        evb__pool_schedule(pool, &timer->runnable);
    }
    (void)publish_next_locked(pool);
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
    bool run, oneshot, sooner = false;

    evb__mutex_lock(&pool->lock);
    run = !timer->canceled;
    fn = timer->fn;
    arg = timer->arg;
    oneshot = timer->kind == ONCE;
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
        sooner = publish_next_locked(pool);
    }
    evb__mutex_unlock(&pool->lock);
    if (sooner) earlier(pool, true);
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
        if (timer->kind == ONCE) pool->timers->outstanding--;
        free_locked(timer);
        (void)publish_next_locked(pool);
        return EVB_OK;
    case QUEUED:
        timer->canceled = true;
        return EVB_OK;
    default: /* RUNNING */
        if (timer->kind == ONCE) return EVB_ENOTFOUND;
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
            oneshot = timer->kind == ONCE;
            if (oneshot) pool->timers->outstanding--;
            if (timer->kind == ALARM)
                timer->state = FREE; /* its owner gives it back */
            else
                free_locked(timer);
        }
        (void)publish_next_locked(pool);
        evb__mutex_unlock(&pool->lock);
        if (entry == NULL) return;
        if (oneshot) evb__pool_discard(pool, arg); /* without the lock: it is the user's */
    }
}

/* ---- alarms ---- */

/* Queued or running no longer: armed anew, or not set. true: the next timer is an earlier one now. */
static bool settle_locked(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->timer.pool;
    bool again;

    pool->timers->outstanding--;
    alarm->timer.state = FREE;
    again = alarm->again && evb__ld_rlx(&pool->state) == EVB__POOL_RUNNING; /* changes under the lock */
    alarm->again = false;
    if (!again) return false;
    arm_locked(&alarm->timer);
    return publish_next_locked(pool);
}

static void give_back(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->timer.pool;

    evb__free(alarm, sizeof *alarm);
    evb__pool_unref(pool);
}

static void run_alarm(struct evb__runnable *runnable, bool discard)
{
    struct evb__alarm *alarm = EVB__CONTAINER(runnable, struct evb__alarm, timer.runnable);
    evb_pool *pool = alarm->timer.pool;
    evb_task_fn gone;
    bool run, given_back, sooner;

    evb__mutex_lock(&pool->lock);
    /* Set while it was queued: what counts is the new time. */
    run = !discard && !alarm->given_back && (!alarm->again || alarm->timer.due_ns <= evb__clock_mono());
    if (run) alarm->again = false;
    alarm->timer.state = RUNNING;
    evb__mutex_unlock(&pool->lock);

    if (run) alarm->timer.fn(alarm->timer.arg);

    evb__mutex_lock(&pool->lock);
    given_back = alarm->given_back;
    gone = alarm->gone;
    sooner = settle_locked(alarm);
    evb__mutex_unlock(&pool->lock);
    if (sooner) earlier(pool, true);
    evb__pool_changed(pool); /* evb_pool_wait_idle */
    if (!given_back) return; /* from here on it is its owner's, who may have given it back by now */
    if (gone != NULL) gone(alarm->timer.arg);
    give_back(alarm);
}

struct evb__alarm *evb__alarm_make(evb_pool *pool, evb_task_fn fn, void *arg)
{
    struct evb__alarm *alarm = evb__zalloc(sizeof *alarm, EVB__CACHE_LINE);

    if (alarm == NULL) return NULL;
    alarm->timer.runnable.run = run_alarm;
    alarm->timer.pool = pool;
    alarm->timer.fn = fn;
    alarm->timer.arg = arg;
    alarm->timer.kind = ALARM;
    evb__pool_ref(pool);
    return alarm;
}

int32_t evb__alarm_ready(struct evb__alarm *alarm)
{
    return evb__pool_ours(alarm->timer.pool) ? evb__pool_admit(alarm->timer.pool) : EVB_EFORKED;
}

void evb__alarm_set(struct evb__alarm *alarm, int64_t due_ns)
{
    struct timer *timer = &alarm->timer;
    evb_pool *pool = timer->pool;
    bool sooner = false;

    /* Where no thread can be had, it waits until some other call brings one. */
    if (evb__alarm_ready(alarm) == EVB_EFORKED) return;
    evb__mutex_lock(&pool->lock);
    if (evb__ld_rlx(&pool->state) <= EVB__POOL_RUNNING) { /* changes under the lock */
        timer->due_ns = due_ns > 0 ? due_ns : 0;
        if (timer->state == ARMED) evb__wheel_remove(&pool->timers->wheel, &timer->entry);
        if (timer->state == QUEUED || timer->state == RUNNING) {
            alarm->again = true;
        } else {
            arm_locked(timer);
            sooner = publish_next_locked(pool);
        }
    }
    evb__mutex_unlock(&pool->lock);
    if (sooner) earlier(pool, false);
}

/* Takes the time away; does not touch a run that has been queued. */
static void unset_locked(struct evb__alarm *alarm)
{
    alarm->again = false;
    if (alarm->timer.state != ARMED) return;
    evb__wheel_remove(&alarm->timer.pool->timers->wheel, &alarm->timer.entry);
    alarm->timer.state = FREE;
    (void)publish_next_locked(alarm->timer.pool);
}

void evb__alarm_stop(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->timer.pool;

    if (!evb__pool_ours(pool)) return;
    evb__mutex_lock(&pool->lock);
    unset_locked(alarm);
    evb__mutex_unlock(&pool->lock);
}

bool evb__alarm_free(struct evb__alarm *alarm, evb_task_fn gone)
{
    evb_pool *pool = alarm->timer.pool;
    bool over;

    if (!evb__pool_ours(pool)) return true; /* in a forked child nobody runs, and the memory stays */
    evb__mutex_lock(&pool->lock);
    unset_locked(alarm);
    over = alarm->timer.state == FREE;
    alarm->given_back = !over;
    alarm->gone = gone;
    evb__mutex_unlock(&pool->lock);
    if (over) give_back(alarm);
    return over;
}
