/* SPDX-License-Identifier: MIT */
/* The lock of a queue, and what must not be left undone when it is released: somebody idle hears of what is
 * ready. */
#include "queue/queue.h"

#include "base/log.h"
#include "ring/eventcount.h"

#include <string.h>

void evb__queue_lock(struct evb__queue *q)
{
    evb__bias_lock(&q->lock);
}

bool evb__queue_is_over_locked(const struct evb__queue *q)
{
    if (q->stopped) return true;
    return evb__ld_acq(&q->bus->draining) != 0 && evb__queue_is_dry(q); /* pairs with evb_bus_drain */
}

/* It is something's turn: those who may take it are woken, one runner (who will do the same), all pullers. */
static void offer_locked(struct evb__queue *q, struct evb__wakes *wakes)
{
    struct evb__runner *runner = q->idle;

    evb__mailbox_hush(&q->mailbox);
    if (runner != NULL && !q->pool_gone) {
        q->idle = runner->next;
        runner->next = NULL;
        q->active++;
        (void)evb__add_rlx(&runner->member->refs, 1); /* its own: until it is idle again */
        wakes->schedule = runner;
    }
    /* With a full window nothing more is pulled: whoever settles looks again. */
    wakes->pullers = q->pullers != 0 && q->open < q->opts.max_in_flight;
    if (q->watchers != 0) evb__tell_watchers_locked(q, q->open >= q->opts.max_in_flight);
}

static bool somebody_idle(const struct evb__queue *q)
{
    return (q->idle != NULL && !q->pool_gone) || q->pullers != 0 || q->watchers != 0;
}

/* Closed: what publishers had reserved before still comes, and is discarded. */
static void sweep_locked(struct evb__queue *q)
{
    do /* who leaves a lane may have looked into the mailbox, too */
        q->counted.discarded += evb__remove_all_locked(q);
    while (q->ready.head != NULL || !evb__mailbox_ask(&q->mailbox));
}

void evb__queue_look_locked(struct evb__queue *q, struct evb__wakes *wakes)
{
    memset(wakes, 0, sizeof *wakes);
    for (;;) {
        evb__mailbox_empty_locked(q);
        if (q->stopped) {
            sweep_locked(q);
            break;
        }
        if (q->paused) {
            evb__mailbox_hush(&q->mailbox);
            break;
        }
        if (!evb__ready_is_empty_locked(q)) {
            offer_locked(q, wakes);
            break;
        }
        if (!somebody_idle(q)) {
            evb__mailbox_hush(&q->mailbox);
            break;
        }
        if (evb__mailbox_ask(&q->mailbox)) break;
    }
    if (evb__ld_acq(&q->bus->draining) != 0 && evb__queue_is_dry(q)) {
        wakes->drained = true;
        wakes->pullers = q->pullers != 0;
        if (q->watchers != 0) evb__tell_watchers_locked(q, false);
    }
    if (wakes->pullers) (void)evb__add_rel(&q->pull_epoch, 1); /* pairs with the load of who goes to sleep */
    wakes->room = q->room;
    q->room = false;
    wakes->buried = wakes->dropped = wakes->stuck = 0;
    if (evb__likely((q->buried | q->dropped | q->stuck) == 0) || evb__self()->quiet) return;
    wakes->buried = q->buried;
    wakes->dropped = q->dropped;
    wakes->stuck = q->stuck;
    q->buried = q->dropped = q->stuck = 0;
}

static EVB__COLD void report(const struct evb__queue *q, const struct evb__wakes *wakes)
{
    char name[80];

    (void)evb__log_quote(name, sizeof name, q->name, strlen(q->name));
    if (wakes->buried != 0)
        evb__log(EVB_LOG_WARN, "message_dead_lettered", "subscription=%s count=%u", name,
                 (unsigned)wakes->buried);
    if (wakes->dropped != 0)
        evb__log(EVB_LOG_WARN, "messages_dropped", "subscription=%s count=%u", name,
                 (unsigned)wakes->dropped);
    if (wakes->stuck != 0)
        evb__log(EVB_LOG_WARN, "handler_stuck", "subscription=%s handlers=%u", name, (unsigned)wakes->stuck);
}

void evb__queue_wake(struct evb__queue *q, const struct evb__wakes *wakes)
{
    if (wakes->schedule != NULL) evb__pool_schedule(q->pool, &wakes->schedule->runnable);
    if (wakes->pullers) evb__wake_all(&q->pull_epoch);
    if (wakes->room && q->opts.overflow == EVB_OVERFLOW_BLOCK &&
        evb__eventcount_look(&q->room_waiters, q->lock.asymmetric))
        evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
    if (evb__unlikely(wakes->drained)) evb__queues_changed(q->bus);
    if (evb__unlikely(wakes->buried != 0 || wakes->dropped != 0 || wakes->stuck != 0)) report(q, wakes);
}

void evb__queue_unlock(struct evb__queue *q)
{
    struct evb__wakes wakes;

    evb__queue_look_locked(q, &wakes);
    /* wake reads the queue once it is unlocked: nobody may free it meanwhile; the caller has a reference */
    evb__bias_unlock(&q->lock);
    evb__queue_wake(q, &wakes);
}
