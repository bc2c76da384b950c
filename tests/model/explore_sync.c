/* SPDX-License-Identifier: MIT */
/* What threads wait with, in the explorer: mutex, park and wake, yield, join; and the asymmetric barrier. */
#include "explore_engine.h"

#include <evbus/base.h>
#include "base/atomic.h"
#include "base/barrier.h"
#include "base/park.h"
#include "base/thread.h"

static void block(enum x_state state)
{
    struct x_fiber *f = ex.cur;

    f->state = state;
    ex.enabled &= (uint8_t)~X_BIT(f);
    x_reschedule(X_BLOCK);
}

static void unblock(struct x_fiber *f)
{
    f->state = X_READY;
    ex.enabled |= X_BIT(f);
}

/* ---- mutex ---- */

static struct x_loc *mutex_loc(struct evb__mutex *mutex, const struct evb__x_site *site)
{
    struct x_loc *l = x_loc(mutex, site);

    if (mutex->owner > X_FIBERS)
        x_bug("%s of something that is no mutex: %s (%s:%d)", site->op, site->expr, x_base(site->file),
              site->line);
    return l;
}

void evb__x_mutex_init(struct evb__mutex *mutex, bool destroy, const struct evb__x_site *site)
{
    if (!ex.active) return;
    (void)x_loc(mutex, site);
    if (destroy && mutex->owner != 0)
        x_bug("a locked mutex is destroyed: %s (%s:%d)", site->expr, x_base(site->file), site->line);
    mutex->owner = 0;
}

static void take(struct evb__mutex *mutex, struct x_loc *l)
{
    struct x_fiber *f = ex.cur;

    mutex->owner = f->id + 1u;
    f->turn_begins = false;
    f->locks++;
    x_acquire(&f->view, l->unlocked);
}

void evb__x_lock(struct evb__mutex *mutex, const struct evb__x_site *site)
{
    struct x_fiber *f = ex.cur;
    struct x_loc *l;

    if (!ex.active) return;
    x_point();
    l = mutex_loc(mutex, site);
    if (mutex->owner == f->id + 1u)
        x_bug("deadlock: %s locks %s again (%s:%d)", x_fiber_name(f), site->expr, x_base(site->file),
              site->line);
    while (mutex->owner != 0) {
        x_trace(site, mutex, "waits for %s", x_fiber_name(&ex.fibers[mutex->owner - 1]));
        f->lock = l;
        block(X_LOCKING);
        l = mutex_loc(mutex, site);
    }
    take(mutex, l);
    x_trace(site, mutex, "%s", "");
}

bool evb__x_trylock(struct evb__mutex *mutex, const struct evb__x_site *site)
{
    struct x_loc *l;

    if (!ex.active) return true;
    if (!ex.shape->trylock) x_bug("explorer: the shape does not say that it uses trylock");
    x_point();
    l = mutex_loc(mutex, site);
    x_trace(site, mutex, "%s", mutex->owner == 0 ? "taken" : "refused");
    if (mutex->owner != 0) return false;
    take(mutex, l);
    return true;
}

void evb__x_unlock(struct evb__mutex *mutex, const struct evb__x_site *site)
{
    struct x_fiber *f = ex.cur;
    struct x_loc *l;

    if (!ex.active) return;
    /* Whether the lock is still held can be seen only by trylock: without it the point before the next access
     * is the same. */
    if (ex.shape->trylock) x_point();
    l = mutex_loc(mutex, site);
    if (mutex->owner != f->id + 1u)
        x_bug("%s unlocks %s, which it does not hold (%s:%d)", x_fiber_name(f), site->expr,
              x_base(site->file), site->line);
    mutex->owner = 0;
    f->locks--;
    l->unlocked = x_release(f);
    x_wrote(f);
    for (unsigned i = 0; i < X_FIBERS; i++)
        if (ex.fibers[i].state == X_LOCKING && ex.fibers[i].lock == l) unblock(&ex.fibers[i]);
    x_trace(site, mutex, "%s", "");
}

/* ---- spinning ---- */

/* A turn of a spin loop. If nobody has written anything since the turn began, another turn would see the
 * same: the fiber stands aside until somebody writes. A turn that read a stale value may see a newer one. */
static void spin(void)
{
    struct x_fiber *f = ex.cur;

    if (!ex.active) return;
    if (f->stale_since_yield || ex.writes - f->own_writes != f->others_writes) {
        x_reschedule(X_YIELD);
    } else {
        ex.spinning |= X_BIT(f);
        block(X_SPINNING);
        f->state = X_READY;
    }
    f->others_writes = ex.writes - f->own_writes;
    f->stale_since_yield = false;
}

void evb__thread_yield(void)
{
    spin();
}

void evb__spin_pause(uint32_t turn)
{
    (void)turn;
    spin();
}

/* ---- park ---- */

/* A time-out is long: whatever was stored before has become visible to all (C11 7.17.3p16). Only where the
 * shape is about the code that counts on that; elsewhere it would hide mistakes. */
static void time_passes(void)
{
    if (!ex.shape->barrier_may_refuse) return;
    for (int round = 0; round < 2; round++) /* twice: the first fences are told what the last ones knew */
        for (unsigned i = 0; i < X_FIBERS; i++)
            if (ex.fibers[i].state != X_UNUSED) x_fence(&ex.fibers[i]);
}

int32_t evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    static const int32_t surprise[] = {EVB_OK, EVB_OK, EVB_ETIMEDOUT};
    struct x_fiber *f = ex.cur;
    uint32_t value;
    unsigned taken;

    x_point();
    value = x_word(f, word);
    x_trace(NULL, word, "park while %#x: %s", expected, value == expected ? "sleeps" : "has changed");
    if (value != expected) return EVB_EAGAIN;
    if (timeout_ns == 0) return EVB_ETIMEDOUT;
    /* To be woken for no reason, or by the clock, at some time: as if it only stood aside. */
    if (f->spurious_left != 0 && (taken = x_choose(timeout_ns > 0 ? 3 : 2)) != 0) {
        if (f->spurious_left > 0) f->spurious_left--;
        x_reschedule(X_YIELD);
        if (taken == 2) time_passes();
        x_trace(NULL, word, "park ends: %s", taken == 1 ? "spurious" : "time-out");
        return surprise[taken];
    }
    f->parked = word;
    f->park_timed = timeout_ns > 0;
    f->park_result = 0;
    block(X_PARKED);
    if (f->park_result != 0) time_passes();
    x_trace(NULL, word, "park ends: %s", f->park_result == 0 ? "woken" : "time-out");
    return f->park_result == 0 ? EVB_OK : EVB_ETIMEDOUT;
}

/* The address alone counts: like the system call, waking does not touch the word. */
static void wake(const uint32_t *word, bool all)
{
    struct x_fiber *sleepers[X_FIBERS];
    unsigned count = 0;

    if (!ex.active) return;
    x_point();
    for (unsigned i = 0; i < X_FIBERS; i++)
        if (ex.fibers[i].state == X_PARKED && ex.fibers[i].parked == word) sleepers[count++] = &ex.fibers[i];
    x_trace(NULL, word, "wake %s: %u sleep", all ? "all" : "one", count);
    if (count != 0 && !all) {
        sleepers[0] = sleepers[x_choose(count)];
        count = 1;
    }
    for (unsigned i = 0; i < count; i++)
        unblock(sleepers[i]);
}

void evb__wake_one(EVB__ATOMIC(uint32_t) *word)
{
    wake(word, false);
}

void evb__wake_all(EVB__ATOMIC(uint32_t) *word)
{
    wake(word, true);
}

/* ---- threads ---- */

int32_t evb__thread_create(struct evb__thread *thread, void (*main)(void *arg), void *arg, const char *name,
                           size_t stack_bytes)
{
    struct x_fiber *f;

    (void)name;
    (void)stack_bytes;
    x_point();
    f = x_spawn(main, arg);
    if (f == NULL) return EVB_EAGAIN;
    thread->fiber = f->id;
    x_trace(NULL, NULL, "creates %s", x_fiber_name(f));
    return EVB_OK;
}

void evb__thread_join(struct evb__thread *thread)
{
    struct x_fiber *f = &ex.fibers[thread->fiber];

    x_point();
    while (f->state != X_DONE) {
        ex.cur->joining = f->id;
        block(X_JOINING);
    }
    x_view_join(&ex.cur->view, &f->view);
    x_trace(NULL, NULL, "joined %s", x_fiber_name(f));
}

void *evb__explore_local(size_t size)
{
    if (size > X_LOCAL) x_bug("explorer: thread-local storage of %zu bytes", size);
    return ex.cur->local;
}

/* ---- the asymmetric barrier ---- */

void evb__barrier_init(void)
{
}

bool evb__barrier_asymmetric(void)
{
    return ex.how.asymmetric;
}

void evb__barrier_report(void)
{
}

void evb__barrier_force_seq_cst(bool force)
{
    (void)force;
}

/* membarrier(2): a full fence in the caller, one in each other thread at some moment between call and return,
 * one in the caller. The threads go on meanwhile, so each fence falls at a point of its own. A fence at a
 * fixed place of the reader would be too strong: it would order two readers' light halves against each other,
 * which this call does not. Threads that have ended stand for readers that are idle: their stores reach the
 * caller, too, as late as possible, because a fence without later loads can only tell others more. */
int32_t evb__barrier_heavy(void)
{
    struct x_fiber *me = ex.cur;
    unsigned left = 0;

    if (!ex.active || !evb__barrier_asymmetric()) return EVB_OK;
    x_point();
    if (ex.shape->barrier_may_refuse && (ex.refused || x_choose(2) == 1)) {
        ex.refused = true;
        explore_cover("barrier refused");
        x_trace(NULL, NULL, "membarrier: refused");
        return EVB_ENOTSUP;
    }
    x_trace(NULL, NULL, "membarrier: begins");
    x_fence(me);
    for (unsigned i = 1; i < X_FIBERS; i++)
        if (i != me->id && ex.fibers[i].state != X_UNUSED && ex.fibers[i].state != X_DONE) left |= 1u << i;
    while (left != 0) {
        unsigned skip, rest = left;

        x_reschedule(X_FREE_POINT); /* the caller is in the kernel: others going on is no preemption */
        skip = x_choose((unsigned)__builtin_popcount(left));
        while (skip-- != 0)
            rest &= rest - 1;
        rest &= -rest;
        left &= ~rest;
        me->turn_begins = false;
        x_fence(&ex.fibers[__builtin_ctz(rest)]);
        x_trace(NULL, NULL, "membarrier: fence in %s", x_fiber_name(&ex.fibers[__builtin_ctz(rest)]));
    }
    for (unsigned i = 1; i < X_FIBERS; i++)
        if (ex.fibers[i].state == X_DONE) x_fence(&ex.fibers[i]);
    x_fence(me);
    x_trace(NULL, NULL, "membarrier: ends");
    return EVB_OK;
}
