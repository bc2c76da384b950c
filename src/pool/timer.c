/* SPDX-License-Identifier: MIT */
/* Timers: arming, firing, canceling. The states stand in timer.h. */
#include "pool/timer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "pool/idle.h"
#include "pool/wheel.h"

#define TICK_NS    INT64_C(1000000)
#define CHUNKS_MAX 4096u /* a million timers */
#define FIRE_MAX   64u   /* at a look: the lock is short */
#define NONE       EVB__WHEEL_NONE

/* evb__wheel_entry.state, kind */
enum { FREE, ARMED, QUEUED, RUNNING };
enum { ONCE, EVERY, ALARM };

/* What is read when it fires, beside fn and arg. */
struct timer {
    struct evb__runnable runnable; /* first */
    evb_pool *pool;
    int64_t due_ns, period_ns; /* EVERY */
    uint32_t number;
};

/* A timer's parts lie apart: setting one that will be canceled touches entry and what, canceling it entry. */
struct chunk {
    struct evb__wheel_entry entry[EVB__WHEEL_CHUNK]; /* first: the wheel's */
    struct what {
        evb_task_fn fn;
        void *arg; /* of an ALARM: the alarm */
    } what[EVB__WHEEL_CHUNK];
    struct timer timer[EVB__WHEEL_CHUNK];
    uint64_t free[EVB__WHEEL_CHUNK / 64]; /* bits: FREE and nobody's */
};

struct evb__timers {
    struct evb__wheel wheel;
    uint32_t chunks;
    uint32_t outstanding; /* one-shots that are not FREE; others that are QUEUED or RUNNING */
    /* The next numbers: `taken` has bits from number `taken_from` on, which free no longer has. */
    uint64_t taken;
    uint32_t taken_from;
    uint32_t room_from;                           /* room[] below is 0 */
    uint64_t room[CHUNKS_MAX / 64];               /* bits: chunks with something in free */
    struct evb__wheel_entry *entries[CHUNKS_MAX]; /* each the beginning of a chunk */
};

struct evb__alarm {
    evb_pool *pool;
    uint32_t number; /* of its timer, which is its own and not found by an id; FREE: not set */
    evb_task_fn fn;
    void *arg;
    evb_task_fn gone;
    int64_t due_ns;
    bool again;      /* QUEUED or RUNNING: due_ns has been set since; armed when that is over */
    bool given_back; /* QUEUED or RUNNING: freed when that is over */
};

static void run_timer(struct evb__runnable *runnable, bool discard);

int32_t evb__timers_create(evb_pool *pool)
{
    struct evb__timers *t = evb__zalloc(sizeof *t, EVB__CACHE_LINE);

    if (t == NULL) return EVB_ENOMEM;
    evb__wheel_init(&t->wheel, (uint64_t)(evb__clock_mono() / TICK_NS), t->entries);
    pool->timers = t;
    evb__init(&pool->next_due, UINT64_MAX);
    return EVB_OK;
}

void evb__timers_destroy(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;

    if (t == NULL) return;
    for (uint32_t i = 0; i < t->chunks; i++)
        evb__free(t->entries[i], sizeof(struct chunk));
    evb__free(t, sizeof *t);
}

/* ---- records, under the lock ---- */

static struct chunk *chunk_of(const struct evb__timers *t, uint32_t number)
{
    return (struct chunk *)(void *)t->entries[number / EVB__WHEEL_CHUNK];
}

static struct evb__wheel_entry *entry_of(const struct evb__timers *t, uint32_t number)
{
    return &t->entries[number / EVB__WHEEL_CHUNK][number % EVB__WHEEL_CHUNK];
}

static struct timer *timer_of(const struct evb__timers *t, uint32_t number)
{
    return &chunk_of(t, number)->timer[number % EVB__WHEEL_CHUNK];
}

static struct what *what_of(const struct evb__timers *t, uint32_t number)
{
    return &chunk_of(t, number)->what[number % EVB__WHEEL_CHUNK];
}

EVB__COLD static int32_t add_chunk_locked(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;
    uint32_t at = t->chunks;
    struct chunk *chunk;

    if (at == CHUNKS_MAX) return EVB_ENOMEM;
    chunk = evb__zalloc(sizeof *chunk, EVB__CACHE_LINE);
    if (chunk == NULL) return EVB_ENOMEM;
    for (uint32_t i = 0; i < EVB__WHEEL_CHUNK; i++) {
        chunk->entry[i].generation = 1;
        chunk->timer[i].runnable.run = run_timer;
        chunk->timer[i].pool = pool;
        chunk->timer[i].number = at * EVB__WHEEL_CHUNK + i;
    }
    for (uint32_t i = 0; i < EVB__WHEEL_CHUNK / 64; i++)
        chunk->free[i] = ~UINT64_C(0);
    t->entries[at] = chunk->entry;
    t->chunks = at + 1;
    t->room[at / 64] |= UINT64_C(1) << at % 64;
    if (at / 64 < t->room_from) t->room_from = at / 64;
    return EVB_OK;
}

/* The lowest 64 in a row with some that are nobody's, so that timers which are set one after the other lie
 * so.
 */
EVB__COLD static int32_t take_some_locked(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;
    uint64_t *word;
    uint32_t at;

    while (t->room_from < CHUNKS_MAX / 64 && t->room[t->room_from] == 0)
        t->room_from++;
    if (t->room_from == CHUNKS_MAX / 64 && add_chunk_locked(pool) != EVB_OK) return EVB_ENOMEM;
    at = t->room_from * 64 + (uint32_t)__builtin_ctzll(t->room[t->room_from]);
    word = chunk_of(t, at * EVB__WHEEL_CHUNK)->free;
    t->taken_from = at * EVB__WHEEL_CHUNK;
    for (; *word == 0; word++)
        t->taken_from += 64;
    t->taken = *word;
    *word = 0;
    word = chunk_of(t, at * EVB__WHEEL_CHUNK)->free;
    if ((word[0] | word[1] | word[2] | word[3]) == 0) t->room[at / 64] &= ~(UINT64_C(1) << at % 64);
    return EVB_OK;
}

/* NONE: no memory. */
static uint32_t take_locked(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;
    uint32_t number;

    if (evb__unlikely(t->taken == 0) && take_some_locked(pool) != EVB_OK) return NONE;
    number = t->taken_from + (uint32_t)__builtin_ctzll(t->taken);
    t->taken &= t->taken - 1;
    return number;
}

static void free_locked(struct evb__timers *t, uint32_t number)
{
    struct evb__wheel_entry *entry = entry_of(t, number);
    uint32_t at = number / EVB__WHEEL_CHUNK;
    uint64_t *word = &chunk_of(t, number)->free[number % EVB__WHEEL_CHUNK / 64];

    entry->state = FREE;
    entry->canceled = false;
    entry->generation = entry->generation == INT32_MAX ? 1 : entry->generation + 1; /* ids stay positive */
    if (*word == 0) {
        t->room[at / 64] |= UINT64_C(1) << at % 64;
        if (at / 64 < t->room_from) t->room_from = at / 64;
    }
    *word |= UINT64_C(1) << number % 64;
}

static int64_t id_of(const struct evb__timers *t, uint32_t number)
{
    return (int64_t)entry_of(t, number)->generation << 32 | number;
}

/* NULL: there is none, or no longer. Alarms have no ids. */
static struct evb__wheel_entry *find_locked(const struct evb__timers *t, int64_t id)
{
    uint32_t number = (uint32_t)id, generation = (uint32_t)(id >> 32);
    struct evb__wheel_entry *entry;

    if (number / EVB__WHEEL_CHUNK >= t->chunks) return NULL;
    entry = entry_of(t, number);
    return entry->generation == generation && entry->state != FREE && entry->kind != ALARM ? entry : NULL;
}

/* ---- arming ---- */

/* true: the next timer is an earlier one now. seq_cst: whoever goes to sleep looks at it after he has said so
 * (worker.c, doze). */
static bool arm_locked(evb_pool *pool, uint32_t number, int64_t due_ns)
{
    struct evb__wheel_entry *entry = entry_of(pool->timers, number);
    uint64_t next;

    entry->state = ARMED;
    entry->tick = ((uint64_t)due_ns + (TICK_NS - 1)) / TICK_NS;
    next = evb__wheel_add(&pool->timers->wheel, number);
    if (next >= evb__ld_rlx(&pool->next_due)) return false; /* changes under the lock */
    evb__st_sc(&pool->next_due, next);
    return true;
}

/* What is next may come later now. release: who does not see it yet wakes up for nothing, once. */
static void put_off_locked(evb_pool *pool)
{
    evb__st_rel(&pool->next_due, evb__wheel_next(&pool->timers->wheel));
}

static void disarm_locked(evb_pool *pool, uint32_t number)
{
    if (evb__wheel_remove(&pool->timers->wheel, number) == evb__ld_rlx(&pool->next_due)) put_off_locked(pool);
}

/* The next timer has become an earlier one: the keeper, if it means to sleep longer, is woken to look anew;
 * without one somebody must become it. after_run: the calling worker looks for its next task now. If it finds
 * none it keeps the time itself; if it finds one nobody who sleeps has missed what was armed before that
 * (idle.h), and the last who finds sees that nobody keeps the time (worker.c, found). */
EVB__COLD static void earlier(evb_pool *pool, bool after_run)
{
    uint64_t next = evb__ld_rlx(&pool->next_due); /* relaxed: ours, or an earlier one's, who comes here too */
    uint64_t keeper = evb__ld_sc(&pool->keeper);  /* after next_due was stored: pairs with keep_time */

    if (keeper == 0) {
        if (!after_run) evb__pool_notify(pool);
    } else if (evb__keeper_until(keeper) > next &&
               evb__idle_take_this(&pool->idle, evb__keeper_index(keeper))) {
        evb__pool_wake_worker(pool, evb__keeper_index(keeper));
    }
}

static int64_t submit_timer(evb_pool *pool, evb_task_fn fn, void *arg, int64_t first_ns, int64_t period_ns)
{
    int64_t now, due, id = EVB_ENOMEM;
    uint32_t number;
    bool sooner = false;
    int32_t rc = evb__pool_admit(pool);

    if (evb__unlikely(rc != EVB_OK)) return rc;
    now = evb__clock_mono();
    due = first_ns < INT64_MAX - now ? now + first_ns : INT64_MAX;
    evb__lock_acquire(&pool->lock);
    if (evb__unlikely(evb__ld_rlx(&pool->state) != EVB__POOL_RUNNING)) { /* changes under the lock */
        id = EVB_ECLOSED;
    } else if ((number = take_locked(pool)) != NONE) {
        entry_of(pool->timers, number)->kind = period_ns == 0 ? ONCE : EVERY;
        *what_of(pool->timers, number) = (struct what){fn, arg};
        if (period_ns == 0) {
            pool->timers->outstanding++;
        } else {
            timer_of(pool->timers, number)->due_ns = due;
            timer_of(pool->timers, number)->period_ns = period_ns;
        }
        sooner = arm_locked(pool, number, due);
        id = id_of(pool->timers, number);
    }
    evb__lock_release(&pool->lock);
    if (evb__unlikely(sooner)) earlier(pool, false);
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

int64_t evb__timers_left(uint64_t tick)
{
    int64_t left;

    if (tick == UINT64_MAX) return EVB_FOREVER;
    left = (int64_t)tick * TICK_NS - evb__clock_mono();
    return left > 0 ? left : 0;
}

void evb__timers_look(struct evb__worker *worker)
{
    evb_pool *pool = worker->pool;
    struct evb__timers *t = pool->timers;
    uint64_t next = evb__ld_rlx(&pool->next_due), now; /* relaxed: a look; the lock decides */
    struct evb__runnable *due[FIRE_MAX];
    uint32_t n = 0, number;

    if (next == UINT64_MAX) return;
    now = (uint64_t)(evb__clock_mono() / TICK_NS);
    if (next > now) return;
    evb__lock_acquire(&pool->lock);
    while (n < FIRE_MAX && (number = evb__wheel_expire(&t->wheel, now)) != NONE) {
        entry_of(t, number)->state = QUEUED;
        if (entry_of(t, number)->kind != ONCE) t->outstanding++;
        due[n++] = &timer_of(t, number)->runnable;
    }
    put_off_locked(pool);
    evb__lock_release(&pool->lock);
    for (uint32_t i = 0; i < n; i++)
        evb__pool_schedule(pool, due[i]);
}

/* The run after this one: one period after it was due; what was missed beyond one run is skipped. */
static int64_t due_next(const struct timer *timer, int64_t now)
{
    int64_t missed = (now - timer->due_ns) / timer->period_ns;

    if (missed > 1) return timer->due_ns + missed * timer->period_ns;
    return timer->due_ns < INT64_MAX - timer->period_ns ? timer->due_ns + timer->period_ns : INT64_MAX;
}

/* A one-shot or periodic one has been run, or not. true: the next timer is an earlier one now. */
static bool settle_locked(struct timer *timer, bool last)
{
    evb_pool *pool = timer->pool;
    struct evb__wheel_entry *entry = entry_of(pool->timers, timer->number);

    pool->timers->outstanding--;
    if (last || entry->canceled || evb__ld_rlx(&pool->state) != EVB__POOL_RUNNING) {
        free_locked(pool->timers, timer->number);
        return false;
    }
    timer->due_ns = due_next(timer, evb__clock_mono());
    return arm_locked(pool, timer->number, timer->due_ns);
}

static void run_timer(struct evb__runnable *runnable, bool discard)
{
    struct timer *timer = EVB__CONTAINER(runnable, struct timer, runnable);
    evb_pool *pool = timer->pool;
    struct evb__wheel_entry *entry;
    struct what what;
    bool run, once, sooner;

    evb__lock_acquire(&pool->lock);
    entry = entry_of(pool->timers, timer->number);
    what = *what_of(pool->timers, timer->number);
    run = !entry->canceled;
    once = entry->kind == ONCE;
    entry->state = RUNNING;
    evb__lock_release(&pool->lock);

    if (run && !discard)
        what.fn(what.arg);
    else if (run && once)
        evb__pool_discard(pool, what.arg);

    evb__lock_acquire(&pool->lock);
    sooner = settle_locked(timer, once || discard);
    evb__lock_release(&pool->lock);
    if (sooner) earlier(pool, true);
    evb__pool_changed(pool); /* evb_pool_cancel_wait */
}

/* ---- canceling ---- */

static int32_t cancel_locked(evb_pool *pool, int64_t id)
{
    struct evb__wheel_entry *entry = find_locked(pool->timers, id);

    if (entry == NULL || entry->canceled) return EVB_ENOTFOUND;
    switch (entry->state) {
    case ARMED:
        if (entry->kind == ONCE) pool->timers->outstanding--;
        disarm_locked(pool, (uint32_t)id);
        free_locked(pool->timers, (uint32_t)id);
        return EVB_OK;
    case QUEUED:
        entry->canceled = true;
        return EVB_OK;
    default: /* RUNNING */
        if (entry->kind == ONCE) return EVB_ENOTFOUND;
        entry->canceled = true;
        return EVB_OK;
    }
}

int32_t evb_pool_cancel(evb_pool *pool, int64_t timer_id)
{
    int32_t rc;

    if (pool == NULL || timer_id <= 0) return EVB_EINVAL;
    if (!evb__pool_ours(pool)) return EVB_EFORKED;
    evb__lock_acquire(&pool->lock);
    rc = cancel_locked(pool, timer_id);
    evb__lock_release(&pool->lock);
    evb__pool_changed(pool); /* evb_pool_wait_idle */
    return rc;
}

static bool runs(evb_pool *pool, int64_t id)
{
    const struct evb__wheel_entry *entry;
    bool running;

    evb__lock_acquire(&pool->lock);
    entry = find_locked(pool->timers, id);
    running = entry != NULL && entry->state == RUNNING;
    evb__lock_release(&pool->lock);
    return running;
}

struct awaited {
    evb_pool *pool;
    int64_t id;
};

static bool is_run_over(void *arg)
{
    const struct awaited *run = arg;

    return !runs(run->pool, run->id);
}

int32_t evb_pool_cancel_wait(evb_pool *pool, int64_t timer_id)
{
    struct awaited run = {pool, timer_id};
    int32_t rc = evb_pool_cancel(pool, timer_id);

    if (rc != EVB_OK && rc != EVB_ENOTFOUND) return rc;
    if (!runs(pool, timer_id)) return rc;
    if (evb__pool_must_not_wait(pool)) return EVB_EDEADLK;
    (void)evb__pool_wait(pool, is_run_over, &run, EVB_FOREVER);
    return rc;
}

bool evb__timers_outstanding(evb_pool *pool)
{
    bool any;

    evb__lock_acquire(&pool->lock);
    any = pool->timers->outstanding != 0;
    evb__lock_release(&pool->lock);
    return any;
}

void evb__timers_cancel_all(evb_pool *pool)
{
    struct evb__timers *t = pool->timers;

    for (;;) {
        void *arg = NULL;
        bool once = false;
        uint32_t number;

        evb__lock_acquire(&pool->lock);
        number = evb__wheel_expire(&t->wheel, UINT64_MAX - 1);
        if (number != NONE) {
            arg = what_of(t, number)->arg;
            once = entry_of(t, number)->kind == ONCE;
            if (once) t->outstanding--;
            if (entry_of(t, number)->kind == ALARM)
                entry_of(t, number)->state = FREE; /* its owner gives it back */
            else
                free_locked(t, number);
        }
        put_off_locked(pool);
        evb__lock_release(&pool->lock);
        if (number == NONE) return;
        if (once) evb__pool_discard(pool, arg); /* without the lock: it is the user's */
    }
}

/* ---- alarms ---- */

/* Queued or running no longer: armed anew, or not set. true: the next timer is an earlier one now. */
static bool settle_alarm_locked(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->pool;
    bool again = alarm->again && evb__ld_rlx(&pool->state) == EVB__POOL_RUNNING; /* changes under the lock */

    pool->timers->outstanding--;
    entry_of(pool->timers, alarm->number)->state = FREE;
    alarm->again = false;
    return again && arm_locked(pool, alarm->number, alarm->due_ns);
}

static void give_back(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->pool;

    evb__lock_acquire(&pool->lock);
    timer_of(pool->timers, alarm->number)->runnable.run = run_timer;
    free_locked(pool->timers, alarm->number);
    evb__lock_release(&pool->lock);
    evb__free(alarm, sizeof *alarm);
    evb__pool_unref(pool);
}

static void run_alarm(struct evb__runnable *runnable, bool discard)
{
    const struct timer *timer = EVB__CONTAINER(runnable, struct timer, runnable);
    evb_pool *pool = timer->pool;
    struct evb__alarm *alarm;
    evb_task_fn gone;
    bool run, given_back, sooner;

    evb__lock_acquire(&pool->lock);
    alarm = what_of(pool->timers, timer->number)->arg;
    /* Set while it was queued: what counts is the new time. */
    run = !discard && !alarm->given_back && (!alarm->again || alarm->due_ns <= evb__clock_mono());
    if (run) alarm->again = false;
    entry_of(pool->timers, timer->number)->state = RUNNING;
    evb__lock_release(&pool->lock);

    if (run) alarm->fn(alarm->arg);

    evb__lock_acquire(&pool->lock);
    given_back = alarm->given_back;
    gone = alarm->gone;
    sooner = settle_alarm_locked(alarm);
    evb__lock_release(&pool->lock);
    if (sooner) earlier(pool, true);
    evb__pool_changed(pool); /* evb_pool_wait_idle */
    if (!given_back) return; /* from here on it is its owner's, who may have given it back by now */
    if (gone != NULL) gone(alarm->arg);
    give_back(alarm);
}

struct evb__alarm *evb__alarm_make(evb_pool *pool, evb_task_fn fn, void *arg)
{
    struct evb__alarm *alarm = evb__zalloc(sizeof *alarm, EVB__CACHE_LINE);

    if (alarm == NULL) return NULL;
    alarm->pool = pool;
    alarm->fn = fn;
    alarm->arg = arg;
    evb__lock_acquire(&pool->lock);
    alarm->number = take_locked(pool);
    if (alarm->number != NONE) {
        entry_of(pool->timers, alarm->number)->kind = ALARM;
        what_of(pool->timers, alarm->number)->arg = alarm;
        timer_of(pool->timers, alarm->number)->runnable.run = run_alarm;
    }
    evb__lock_release(&pool->lock);
    if (alarm->number == NONE) {
        evb__free(alarm, sizeof *alarm);
        return NULL;
    }
    evb__pool_ref(pool);
    return alarm;
}

int32_t evb__alarm_ready(struct evb__alarm *alarm)
{
    return evb__pool_ours(alarm->pool) ? evb__pool_admit(alarm->pool) : EVB_EFORKED;
}

void evb__alarm_set(struct evb__alarm *alarm, int64_t due_ns)
{
    evb_pool *pool = alarm->pool;
    bool sooner = false;

    /* Where no thread can be had, it waits until some other call brings one. */
    if (evb__unlikely(evb__alarm_ready(alarm) == EVB_EFORKED)) return;
    evb__lock_acquire(&pool->lock);
    if (evb__likely(evb__ld_rlx(&pool->state) <= EVB__POOL_RUNNING)) { /* changes under the lock */
        uint32_t state = entry_of(pool->timers, alarm->number)->state;

        alarm->due_ns = due_ns > 0 ? due_ns : 0;
        if (state == ARMED) disarm_locked(pool, alarm->number);
        if (state == QUEUED || state == RUNNING)
            alarm->again = true;
        else
            sooner = arm_locked(pool, alarm->number, alarm->due_ns);
    }
    evb__lock_release(&pool->lock);
    if (sooner) earlier(pool, false);
}

/* Takes the time away; does not touch a run that has been queued. */
static void unset_locked(struct evb__alarm *alarm)
{
    struct evb__wheel_entry *entry = entry_of(alarm->pool->timers, alarm->number);

    alarm->again = false;
    if (entry->state != ARMED) return;
    disarm_locked(alarm->pool, alarm->number);
    entry->state = FREE;
}

void evb__alarm_stop(struct evb__alarm *alarm)
{
    evb_pool *pool = alarm->pool;

    if (!evb__pool_ours(pool)) return;
    evb__lock_acquire(&pool->lock);
    unset_locked(alarm);
    evb__lock_release(&pool->lock);
}

bool evb__alarm_free(struct evb__alarm *alarm, evb_task_fn gone)
{
    evb_pool *pool = alarm->pool;
    bool over;

    if (!evb__pool_ours(pool)) return true; /* in a forked child nobody runs, and the memory stays */
    evb__lock_acquire(&pool->lock);
    unset_locked(alarm);
    over = entry_of(pool->timers, alarm->number)->state == FREE;
    alarm->given_back = !over;
    alarm->gone = gone;
    evb__lock_release(&pool->lock);
    if (over) give_back(alarm);
    return over;
}
